/*-------------------------------------------------------------------------
 *
 * checkpointer.h
 *		The ckpx checkpointer, which writes objects and manifests.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_CHECKPOINTER_H
#define CKPX_CHECKPOINTER_H

/* One round of its work, see workers.h. */
extern long ckpx_checkpointer_step(void);

#endif							/* CKPX_CHECKPOINTER_H */
