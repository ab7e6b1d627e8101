/*-------------------------------------------------------------------------
 *
 * global.c
 *		ckpx_global_checkpoint.
 *
 * The request is an LSN that only rises, so any number of requests are served
 * by one global.  Whether an attempt failed concerns a caller only if the
 * attempt began after the request: the number of attempts is noted together
 * with raising the LSN.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "api/api.h"
#include "miscadmin.h"
#include "server/base/options.h"
#include "server/base/shared_state.h"
#include "server/logtail/logtail.h"

PG_FUNCTION_INFO_V1(ckpx_global_checkpoint);

typedef struct GlobalWait
{
	XLogRecPtr	target;
	uint32		epoch;			/* of the target */
	uint64		attempts;		/* begun before the request */
	uint64		cancels;		/* calls of ckpx_cancel_pending() before it */
	XLogRecPtr	covered;		/* found: end of the newest finished global */
	bool		failed;			/* found: an attempt of our own did */
	bool		enabled;		/* found */
	bool		cancelled;		/* found */
	bool		broken;			/* found */
	char		error[CKPX_ERROR_TEXT_MAX];
} GlobalWait;

/* Called with the lock held. */
static XLogRecPtr
covered_lsn(void)
{
	const CkpxEntry *newest = ckpx_entry_store_newest(CkpxShared->store,
													  CKPX_KIND_GLOBAL, true);

	return newest != NULL ? newest->end_lsn : InvalidXLogRecPtr;
}

/*
 * How far can a global reach now?  The end of the chain may be a lost range,
 * which none will cover.  Called with the lock held.
 */
static XLogRecPtr
target_lsn(void)
{
	const CkpxEntry *newest;

	if (ckpx_entry_store_uncovered(CkpxShared->store) == 0)
		return covered_lsn();
	newest = ckpx_entry_store_newest(CkpxShared->store,
									 CKPX_KIND_INCREMENTAL, true);
	return newest->end_lsn;
}

/* Has the request come to an end?  Called with the lock held. */
static bool
global_news(void *arg)
{
	GlobalWait *wait = arg;

	/* While the history is being loaded the store does not tell. */
	if (CkpxShared->booted)
	{
		wait->covered = covered_lsn();
		wait->broken = CkpxShared->store->epoch != wait->epoch;
	}
	wait->failed = CkpxShared->global_failed > wait->attempts;
	wait->enabled = ckpx_enabled && !CkpxShared->disabled;
	wait->cancelled = CkpxShared->cancels != wait->cancels;
	strlcpy(wait->error, CkpxShared->global_error, sizeof(wait->error));
	return wait->covered >= wait->target || wait->failed || !wait->enabled ||
		wait->cancelled || wait->broken;
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
		changed = changed || (infos[i].end_lsn > checkpointed &&
							  infos[i].last_change_lsn >= checkpointed &&
							  infos[i].last_change_lsn != InvalidXLogRecPtr);
	return changed;
}

/*
 * Make an incremental where there is nothing for a global to take in, and
 * something to be known.
 */
static void
prepare_incremental(long timeout_ms)
{
	XLogRecPtr	end = ckpx_flush_wal_end();
	XLogRecPtr	checkpointed;
	bool		uncovered;
	bool		any_global;

	ckpx_lock_history();
	uncovered = ckpx_entry_store_uncovered(CkpxShared->store) > 0;
	any_global = ckpx_entry_store_previous_global(CkpxShared->store) != NULL;
	checkpointed = ckpx_entry_store_checkpointed(CkpxShared->store);
	LWLockRelease(CkpxShared->lock);

	if (uncovered)
		return;
	if (any_global)
	{
		ckpx_wait_for_collect(end);
		if (!anything_changed(checkpointed))
			return;
	}
	(void) ckpx_checkpoint_upto(end, timeout_ms);
}

/* What is left of a timeout. */
static long
time_left(uint64 deadline)
{
	uint64		now = ckpx_clock_ms();

	return now < deadline ? (long) (deadline - now) : 0;
}

Datum
ckpx_global_checkpoint(PG_FUNCTION_ARGS)
{
	GlobalWait	wait = {0};
	long		timeout_ms;
	uint64		deadline;
	CkpxEntry  *entry;
	CkpxEntryTicket ticket = {0};

	ckpx_require_installed();
	timeout_ms = ckpx_timeout_argument(fcinfo, 0);
	deadline = ckpx_clock_ms() + Max(timeout_ms, 0);
	prepare_incremental(timeout_ms);

	ckpx_lock_history_exclusive();
	wait.target = target_lsn();
	wait.epoch = CkpxShared->store->epoch;
	wait.attempts = CkpxShared->global_started;
	wait.cancels = CkpxShared->cancels;
	CkpxShared->global_request = Max(CkpxShared->global_request, wait.target);

	/* One that waits for its next attempt makes it now. */
	entry = ckpx_entry_store_newest(CkpxShared->store, CKPX_KIND_GLOBAL,
									false);
	if (entry != NULL && entry->state == CKPX_ENTRY_RUNNING)
		entry->retry_clock_ms = 0;
	ticket.kind = CKPX_KIND_GLOBAL;
	ticket.epoch = CkpxShared->store->epoch;
	ticket.start_lsn = CkpxShared->store->epoch_start;
	ticket.end_lsn = wait.target;
	LWLockRelease(CkpxShared->lock);

	/* A refused ticket is no loss: the request itself is noted. */
	if (!ckpx_enqueue(CKPX_QUEUE_GLOBAL, &ticket))
		ckpx_wake_worker(CKPX_WORKER_CHECKPOINTER);

	if (!ckpx_wait_until(global_news, &wait,
						 timeout_ms < 0 ? -1 : time_left(deadline),
						 CKPX_WORKER_CHECKPOINTER))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("global checkpoint of ckpx up to %X/%X was not finished in time",
						LSN_FORMAT_ARGS(wait.target)),
				 wait.covered == InvalidXLogRecPtr ?
				 errdetail("There is no finished global checkpoint.") :
				 errdetail("Finished global checkpoints reach %X/%X.",
						   LSN_FORMAT_ARGS(wait.covered)),
				 errhint("The checkpoint goes on; see the view ckpx_checkpoints.")));
	if (wait.broken)
		ckpx_report_broken();
	if (wait.covered >= wait.target)
		PG_RETURN_LSN(wait.covered);
	if (wait.failed)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("global checkpoint of ckpx up to %X/%X failed",
						LSN_FORMAT_ARGS(wait.target)),
				 errdetail("The error was: %s.", wait.error),
				 errhint("It will be tried again; see the view ckpx_checkpoints.")));
	if (wait.cancelled)
		ereport(ERROR,
				(errcode(ERRCODE_QUERY_CANCELED),
				 errmsg("checkpoint of ckpx was canceled"),
				 errdetail("Another session called ckpx_cancel_pending().")));
	ckpx_report_disabled();
	PG_RETURN_NULL();			/* not reached */
}
