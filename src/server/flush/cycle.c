/*-------------------------------------------------------------------------
 *
 * cycle.c
 *		Where the flusher is in PostgreSQL's checkpoint cycle.
 *
 * A process that starts within a cycle takes it for one that begins then.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "core/history/flush_policy.h"
#include "postmaster/bgwriter.h"
#include "server/base/clock.h"
#include "server/flush/cycle.h"

/* The checkpoint cycle, as far as this process has seen it. */
static XLogRecPtr cycle_redo = InvalidXLogRecPtr;
static uint64 cycle_begun_ms;

/* Where we are in the checkpoint cycle. */
typedef struct Cycle
{
	int64		age_ms;
	int64		timeout_ms;
	uint64		wal;
	uint64		max_wal;
} Cycle;

static void
look_at_cycle(Cycle *cycle, XLogRecPtr *redo)
{
	uint64		now = ckpx_clock_ms();
	XLogRecPtr	present;

	*redo = GetRedoRecPtr();
	if (*redo != cycle_redo)
	{
		cycle_redo = *redo;
		cycle_begun_ms = now;
	}
	present = RecoveryInProgress() ? GetXLogReplayRecPtr(NULL) :
		GetXLogInsertRecPtr();
	cycle->age_ms = (int64) (now - cycle_begun_ms);
	cycle->timeout_ms = (int64) CheckPointTimeout * 1000;
	cycle->wal = present > *redo ? present - *redo : 0;
	cycle->max_wal = (uint64) CheckPointSegments * wal_segment_size;
}

/*
 * Is it the time for writes by policy, and how long may they take?
 */
bool
ckpx_cycle_is_late(XLogRecPtr *redo, int64 *window_ms)
{
	Cycle		cycle;

	look_at_cycle(&cycle, redo);
	*window_ms = ckpx_flush_window_ms(cycle.age_ms, cycle.timeout_ms,
									  cycle.wal, cycle.max_wal);
	return ckpx_flush_is_late(cycle.age_ms, cycle.timeout_ms, cycle.wal,
							  cycle.max_wal);
}

/*
 * How long until the checkpoint that began this cycle syncs files?
 */
int64
ckpx_cycle_sync_ms(XLogRecPtr *redo)
{
	Cycle		cycle;

	look_at_cycle(&cycle, redo);
	return ckpx_flush_left_ms(cycle.age_ms, cycle.timeout_ms, cycle.wal,
							  cycle.max_wal, CheckPointCompletionTarget);
}
