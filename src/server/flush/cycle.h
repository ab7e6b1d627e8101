/*-------------------------------------------------------------------------
 *
 * cycle.h
 *		Where the flusher is in PostgreSQL's checkpoint cycle, which is known
 *		by its redo point.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_FLUSH_CYCLE_H
#define CKPX_FLUSH_CYCLE_H

#include "postgres.h"

#include "access/xlogdefs.h"

/*
 * Is it the time for writes by policy, how long may they take, and in which
 * cycle are we?
 */
extern bool ckpx_cycle_is_late(XLogRecPtr *redo, int64 *window_ms);

/*
 * How long until the checkpoint that began this cycle has written its pages
 * and syncs files, if it is spread as checkpoint_completion_target says; 0: it
 * is past that.
 */
extern int64 ckpx_cycle_sync_ms(XLogRecPtr *redo);

#endif							/* CKPX_FLUSH_CYCLE_H */
