/*-------------------------------------------------------------------------
 *
 * post_command.h
 *		The command that runs after each checkpoint.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_POST_COMMAND_H
#define CKPX_POST_COMMAND_H

/*
 * Run ckpx.post_checkpoint_command for finished checkpoints that wait for it,
 * oldest first.  Returns in how many ms it wants to be called again.  Observer
 * only.
 */
extern long ckpx_post_command_step(void);

#endif							/* CKPX_POST_COMMAND_H */
