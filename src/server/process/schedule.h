/*-------------------------------------------------------------------------
 *
 * schedule.h
 *		Checkpoint entries: when to create one, when its job starts.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_SCHEDULE_H
#define CKPX_SCHEDULE_H

#include "postgres.h"

#include "server/process/runner.h"

/* Create, advance and retry entries. */
extern void ckpx_schedule(CkpxRunner *runner);

/*
 * No segment may reach over this LSN: the end of the unfinished incremental,
 * or where the next one begins.
 */
extern XLogRecPtr ckpx_schedule_boundary(void);

#endif							/* CKPX_SCHEDULE_H */
