/*-------------------------------------------------------------------------
 *
 * wait_event.c
 *		What pg_stat_activity says while a process waits in ckpx.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "server/base/wait_event.h"

static const char *const names[CKPX_NWAIT_EVENTS] = {
	[CKPX_WAIT_WORKER_IDLE] = "CkpxWorkerIdle",
	[CKPX_WAIT_PROGRESS] = "CkpxProgress",
	[CKPX_WAIT_FLUSH_RETRY] = "CkpxFlushRetry",
	[CKPX_WAIT_FILE_READ] = "CkpxFileRead",
	[CKPX_WAIT_FILE_WRITE] = "CkpxFileWrite",
	[CKPX_WAIT_FILE_SYNC] = "CkpxFileSync",
	[CKPX_WAIT_FAULT] = "CkpxFault",
};

static uint32 events[CKPX_NWAIT_EVENTS];

void
ckpx_wait_events_startup(void)
{
	for (int i = 0; i < CKPX_NWAIT_EVENTS; i++)
		events[i] = ckpx_wait_event_new(names[i]);
}

uint32
ckpx_wait_event(CkpxWaitEvent event)
{
	return events[event];
}
