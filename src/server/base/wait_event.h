/*-------------------------------------------------------------------------
 *
 * wait_event.h
 *		What pg_stat_activity says while a process waits in ckpx.
 *
 * The type is Extension.  From PostgreSQL 17 on each event has the name below,
 * and pg_wait_events lists them; before 17 all are called Extension.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_WAIT_EVENT_H
#define CKPX_WAIT_EVENT_H

#include "postgres.h"

typedef enum CkpxWaitEvent
{
	CKPX_WAIT_WORKER_IDLE,		/* CkpxWorkerIdle */
	CKPX_WAIT_PROGRESS,			/* CkpxProgress */
	CKPX_WAIT_FLUSH_RETRY,		/* CkpxFlushRetry */
	CKPX_WAIT_FILE_READ,		/* CkpxFileRead */
	CKPX_WAIT_FILE_WRITE,		/* CkpxFileWrite */
	CKPX_WAIT_FILE_SYNC,		/* CkpxFileSync */
	CKPX_WAIT_FAULT				/* CkpxFault */
} CkpxWaitEvent;

#define CKPX_NWAIT_EVENTS	(CKPX_WAIT_FAULT + 1)

/*
 * Give the events their names.  While the server starts, so that every process
 * inherits them.
 */
extern void ckpx_wait_events_startup(void);

/* The event for WaitLatch() and pgstat_report_wait_start(). */
extern uint32 ckpx_wait_event(CkpxWaitEvent event);

#endif							/* CKPX_WAIT_EVENT_H */
