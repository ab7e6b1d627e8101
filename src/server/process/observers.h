/*-------------------------------------------------------------------------
 *
 * observers.h
 *		Telling others about checkpoints: the post queue, callbacks, the post
 *		command.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_OBSERVERS_H
#define CKPX_OBSERVERS_H

#include "postgres.h"

#include "ckpx.h"
#include "core/history/entry.h"

/*
 * Announce a change of 'entry' to the observers.  Never waits: what finds the
 * queue full is counted there and lost.  No lock may be held.
 */
extern void ckpx_announce(const CkpxEntry *entry, CkpxEventType type);

/*
 * post_command.c: run ckpx.post_checkpoint_command for finished checkpoints
 * that wait for it, oldest first.  Returns in how many ms it wants to be
 * called again.  Observer only.
 */
extern long ckpx_post_command_step(void);

#endif							/* CKPX_OBSERVERS_H */
