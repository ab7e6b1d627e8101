/*-------------------------------------------------------------------------
 *
 * checkpoint.c
 *		ckpx_checkpoint, ckpx_global_checkpoint and ckpx_backup_checkpoint.
 *
 * The request for an incremental or a global is an LSN that only rises, so any
 * number of requests are served by one checkpoint.  Whether an attempt at a
 * global failed concerns a caller only if the attempt began after the request:
 * the number of attempts is noted together with raising the LSN.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "access/xlog.h"
#include "api/api.h"
#include "api/wait.h"
#include "miscadmin.h"
#include "postmaster/bgwriter.h"
#include "server/base/fault.h"
#include "server/base/options.h"
#include "server/base/request.h"
#include "server/flush/durable.h"
#include "server/logtail/logtail.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(ckpx_checkpoint);
PG_FUNCTION_INFO_V1(ckpx_global_checkpoint);
PG_FUNCTION_INFO_V1(ckpx_backup_checkpoint);

/* What a call waits for, and what it found when it looked last. */
typedef struct Goal
{
	XLogRecPtr	target;
	uint32		epoch;			/* in which it is to be reached */
	uint64		cancels;		/* calls of ckpx_cancel_pending() before */
	XLogRecPtr	helped;			/* a checkpoint of PostgreSQL was asked for
								 * entries up to here */
	uint64		attempts;		/* of a global, begun before */

	/* found */
	XLogRecPtr	reached;		/* end of what is finished */
	bool		enabled;
	bool		canceled;
	bool		broken;			/* another epoch has begun */
	XLogRecPtr	waiting_end;	/* end of the pending entry that only a
								 * checkpoint of PostgreSQL can make durable,
								 * or Invalid */
	bool		failed;			/* an attempt of our own at a global did */
	char		error[CKPX_ERROR_TEXT_MAX];
} Goal;

/* Set the goal.  Caller holds the lock. */
static void
set_goal(Goal *goal, XLogRecPtr target)
{
	memset(goal, 0, sizeof(Goal));
	goal->target = target;
	goal->epoch = CkpxShared->store->epoch;
	goal->cancels = CkpxShared->cancels;
}

/*
 * Is the wait over?  'reached' counts once the history is loaded: until then
 * the store does not tell.  Caller holds the lock.
 */
static bool
goal_settled(Goal *goal, XLogRecPtr reached)
{
	goal->enabled = ckpx_enabled && !CkpxShared->disabled;
	goal->canceled = CkpxShared->cancels != goal->cancels;
	if (CkpxShared->booted)
	{
		goal->reached = reached;
		goal->broken = CkpxShared->store->epoch != goal->epoch;
	}
	return goal->reached >= goal->target || !goal->enabled ||
		goal->canceled || goal->broken;
}

/* Raise an error if the goal is out of reach. */
static void
check_goal(const Goal *goal)
{
	if (goal->broken)
		ckpx_report_broken();
	if (goal->reached >= goal->target)
		return;
	if (goal->failed)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("global checkpoint of ckpx up to %X/%X failed",
						LSN_FORMAT_ARGS(goal->target)),
				 errdetail("The error was: %s.", goal->error),
				 errhint("It will be tried again; see the view ckpx_checkpoints.")));
	if (goal->canceled)
		ereport(ERROR,
				(errcode(ERRCODE_QUERY_CANCELED),
				 errmsg("checkpoint of ckpx was canceled"),
				 errdetail("Another session called ckpx_cancel_pending().")));
	if (!goal->enabled)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("checkpoints of ckpx are disabled"),
				 ckpx_enabled ?
				 errhint("Call ckpx_enable() first.") :
				 errhint("Set \"ckpx.enabled\" to on first.")));
}

/* Is there anything for finish_incremental() to do?  Lock is held. */
static bool
incremental_wait_over(void *arg)
{
	Goal	   *goal = arg;
	CkpxEntryStore *store = CkpxShared->store;
	const CkpxEntry *entry = ckpx_entry_store_newest(store,
													 CKPX_KIND_INCREMENTAL,
													 false);
	bool		over;

	over = goal_settled(goal, ckpx_entry_store_checkpointed(store));
	goal->waiting_end = InvalidXLogRecPtr;
	if (CkpxShared->booted &&
		entry != NULL && entry->state == CKPX_ENTRY_PENDING &&
		entry->range.end_lsn > CkpxShared->durable_lsn &&
		!ckpx_durable_usable() &&
		entry->range.end_lsn > goal->helped)
		goal->waiting_end = entry->range.end_lsn;
	return over || goal->waiting_end != InvalidXLogRecPtr;
}

/*
 * Finish an incremental that reaches 'target', which is flushed; returns the
 * LSN reached.
 *
 * An entry is only written when its blocks are durable.  The runner has them
 * flushed, because a call waits.  Where that cannot be (ckpx.flush is off,
 * the flusher does not run or has failed) a checkpoint of PostgreSQL hurries
 * it along on a primary, asked for once the entry is there: its end was
 * decoded, so it lies before the redo point of a checkpoint that begins now.
 * Asked for any earlier, the entry could end behind that redo point and wait
 * for the next one.  On a standby the primary's checkpoints decide.
 */
static XLogRecPtr
finish_incremental(XLogRecPtr target, uint64 deadline)
{
	Goal		goal;

	ckpx_lock_history_until(LW_EXCLUSIVE, deadline);
	set_goal(&goal, target);
	(void) incremental_wait_over(&goal);
	if (goal.reached < target && goal.enabled)
		CkpxShared->checkpoint_request = Max(CkpxShared->checkpoint_request,
											 target);
	LWLockRelease(CkpxShared->lock);
	ckpx_wake_worker(CKPX_WORKER_RUNNER);

	for (;;)
	{
		check_goal(&goal);
		if (goal.reached >= target)
			return goal.reached;
		if (goal.waiting_end != InvalidXLogRecPtr)
		{
			goal.helped = goal.waiting_end;
			if (!RecoveryInProgress())
				RequestCheckpoint(CHECKPOINT_IMMEDIATE | CHECKPOINT_FORCE);
		}
		if (!ckpx_wait_for_entry(incremental_wait_over, &goal, deadline))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("checkpoint of ckpx up to %X/%X was not finished in time",
							LSN_FORMAT_ARGS(target)),
					 errdetail("Finished checkpoints reach %X/%X.",
							   LSN_FORMAT_ARGS(goal.reached)),
					 errhint("The checkpoint goes on; see waiting_for in the view ckpx_checkpoints.")));
	}
}

Datum
ckpx_checkpoint(PG_FUNCTION_ARGS)
{
	uint64		deadline;

	ckpx_require_installed();
	deadline = ckpx_deadline_argument(fcinfo, 1, -1);
	PG_RETURN_LSN(finish_incremental(ckpx_upto_argument(fcinfo, 0, "end_lsn"),
									 deadline));
}

/* The end of the newest finished global.  Caller holds the lock. */
static XLogRecPtr
covered_lsn(void)
{
	const CkpxEntry *newest = ckpx_entry_store_newest(CkpxShared->store,
													  CKPX_KIND_GLOBAL, true);

	return newest != NULL ? newest->range.end_lsn : InvalidXLogRecPtr;
}

/*
 * How far a global can reach now.  The end of the chain may be a lost range,
 * which none will cover.  Caller holds the lock.
 */
static XLogRecPtr
target_lsn(void)
{
	const CkpxEntry *newest;

	if (ckpx_entry_store_uncovered(CkpxShared->store) == 0)
		return covered_lsn();
	newest = ckpx_entry_store_newest(CkpxShared->store,
									 CKPX_KIND_INCREMENTAL, true);
	return newest->range.end_lsn;
}

/* Has any block changed in what is collected and not in a checkpoint? */
static bool
anything_changed(XLogRecPtr checkpointed)
{
	CkpxSegmentInfo *infos;
	uint32		ninfos;
	bool		changed = false;

	infos = ckpx_logtail_copy(&ninfos);
	for (uint32 i = 0; i < ninfos; i++)
		changed = changed || (infos[i].range.end_lsn > checkpointed &&
							  infos[i].range.last_change_lsn >= checkpointed &&
							  infos[i].range.last_change_lsn !=
							  InvalidXLogRecPtr);
	return changed;
}

/* Raise the error of a global that was not finished before the deadline. */
static void
report_late_global(XLogRecPtr target, XLogRecPtr reached, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("global checkpoint of ckpx up to %X/%X was not finished in time",
					LSN_FORMAT_ARGS(target)),
			 reached == InvalidXLogRecPtr ?
			 errdetail("There is no finished global checkpoint.") :
			 errdetail("Finished global checkpoints reach %X/%X.",
					   LSN_FORMAT_ARGS(reached)),
			 errhint("%s", hint)));
}

/*
 * Make an incremental where there is nothing for a global to take in, and
 * something to be known.
 */
static void
prepare_incremental(uint64 deadline)
{
	XLogRecPtr	end = ckpx_flush_wal_end();
	XLogRecPtr	checkpointed;
	bool		uncovered;
	bool		any_global;
	XLogRecPtr	covered;

	ckpx_lock_history_until(LW_SHARED, deadline);
	covered = covered_lsn();
	uncovered = ckpx_entry_store_uncovered(CkpxShared->store) > 0;
	any_global = ckpx_entry_store_previous_global(CkpxShared->store) != NULL;
	checkpointed = ckpx_entry_store_checkpointed(CkpxShared->store);
	LWLockRelease(CkpxShared->lock);

	if (uncovered)
		return;
	if (any_global)
	{
		if (!ckpx_wait_for_collect_until(end, deadline))
			report_late_global(end, covered,
							   "WAL is still being decoded; see the views ckpx_runner and ckpx_workers.");
		if (!anything_changed(checkpointed))
			return;
	}
	(void) finish_incremental(end, deadline);
}

/* Has the request come to an end?  Lock is held. */
static bool
global_wait_over(void *arg)
{
	Goal	   *goal = arg;
	bool		over = goal_settled(goal, covered_lsn());

	goal->failed = CkpxShared->global_failed > goal->attempts;
	strlcpy(goal->error, CkpxShared->global_error, sizeof(goal->error));
	return over || goal->failed;
}

Datum
ckpx_global_checkpoint(PG_FUNCTION_ARGS)
{
	uint64		deadline;
	CkpxEntry  *entry;
	Goal		goal;

	ckpx_require_installed();
	deadline = ckpx_deadline_argument(fcinfo, 0, -1);
	prepare_incremental(deadline);

	ckpx_lock_history_until(LW_EXCLUSIVE, deadline);
	set_goal(&goal, target_lsn());
	goal.attempts = CkpxShared->global_started;
	CkpxShared->global_request = Max(CkpxShared->global_request, goal.target);

	/* One that waits for its next attempt makes it now. */
	entry = ckpx_entry_store_newest(CkpxShared->store, CKPX_KIND_GLOBAL,
									false);
	if (entry != NULL && entry->state == CKPX_ENTRY_RUNNING)
		entry->retry_clock_ms = 0;
	LWLockRelease(CkpxShared->lock);

	/* A refused ticket is no loss: the request itself is noted. */
	if (!ckpx_enqueue(CKPX_QUEUE_GLOBAL, NULL))
		ckpx_wake_worker(CKPX_WORKER_CHECKPOINTER);

	if (!ckpx_wait_until(global_wait_over, &goal, deadline,
						 CKPX_WORKER_CHECKPOINTER, CKPX_WAIT_STRICT))
		report_late_global(goal.target, goal.reached,
						   "The checkpoint goes on; see the view ckpx_checkpoints.");
	check_goal(&goal);
	PG_RETURN_LSN(goal.reached);
}

/*
 * An incremental first, and then the tail behind it up to what was written
 * when the incremental had been made.
 */
Datum
ckpx_backup_checkpoint(PG_FUNCTION_ARGS)
{
	CkpxRequest request = {0};

	ckpx_require_installed();
	(void) finish_incremental(ckpx_flush_wal_end(), CKPX_NO_DEADLINE);
	CKPX_FAULT("backup-incremental");

	ckpx_lock_history(LW_SHARED);
	request.epoch = CkpxShared->store->epoch;
	LWLockRelease(CkpxShared->lock);

	request.kind = CKPX_REQUEST_BACKUP;
	request.lsn = ckpx_flush_wal_end();
	do
	{
		ckpx_wait_for_collect(request.lsn);
		ckpx_request(&request);
	} while (request.again);
	PG_RETURN_TEXT_P(cstring_to_text(request.text));
}
