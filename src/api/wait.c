/*-------------------------------------------------------------------------
 *
 * wait.c
 *		What the SQL-callable functions wait for; ckpx_wait,
 *		ckpx_wait_collected and ckpx_sync_point.
 *
 * Why the answer of ckpx_sync_point() is safe.  Let S be the snapshot of the
 * calling transaction and X = S.xmin.  Whatever S does not see was written by
 * a transaction whose xid, or whose subtransaction's xid, is at or after X:
 * everything older had ended when S was taken.  The function first reads C,
 * the collected position, and then B, the smallest first LSN in the map of
 * xids at or after X.  The runner notes the first record of each xid before
 * it moves the collected position past it.  So a record by an xid >= X lies
 *
 *	- before C: then its transaction's first record does too, it was noted
 *	  before C became visible, and B, read later, is at or before it;
 *	- at or after C.
 *
 * Hence no such record lies before min(B, C), wherever WAL stands now.  Read
 * in the other order, a record noted between the two reads could be below C
 * and unknown to B.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "access/transam.h"
#include "api/api.h"
#include "api/wait.h"
#include "miscadmin.h"
#include "server/wal/source.h"
#include "storage/proc.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(ckpx_wait);
PG_FUNCTION_INFO_V1(ckpx_wait_collected);
PG_FUNCTION_INFO_V1(ckpx_sync_point);

static bool
is_collected(void *arg)
{
	return CkpxShared->collected_lsn >= *(XLogRecPtr *) arg;
}

/* Ask the runner to collect at least up to 'target'; does not wait. */
void
ckpx_request_collect(XLogRecPtr target)
{
	bool		needed;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	needed = !is_collected(&target);
	if (needed && CkpxShared->collect_request < target)
		CkpxShared->collect_request = target;
	LWLockRelease(CkpxShared->lock);

	if (needed)
		ckpx_wake_worker(CKPX_WORKER_RUNNER);
}

/*
 * Wait until WAL is collected up to 'target', which must be written already.
 * A history without room for more checkpoints does not stop reading.  False
 * after the deadline.
 */
bool
ckpx_wait_for_collect_until(XLogRecPtr target, uint64 deadline)
{
	bool		done;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	done = is_collected(&target);
	LWLockRelease(CkpxShared->lock);
	if (done)
		return true;

	(void) ckpx_flush_wal_end();
	ckpx_request_collect(target);
	return ckpx_wait_until(is_collected, &target, deadline,
						   CKPX_WORKER_RUNNER, CKPX_WAIT_DESPITE_PROBLEM);
}

/* The same without a deadline. */
void
ckpx_wait_for_collect(XLogRecPtr target)
{
	(void) ckpx_wait_for_collect_until(target, CKPX_NO_DEADLINE);
}

static bool
is_booted(void *arg)
{
	return CkpxShared->booted;
}

/* Take the lock when the history is loaded; an error after the deadline. */
void
ckpx_lock_history_until(LWLockMode mode, uint64 deadline)
{
	for (;;)
	{
		LWLockAcquire(CkpxShared->lock, mode);
		if (is_booted(NULL))
			return;
		LWLockRelease(CkpxShared->lock);
		if (!ckpx_wait_until(is_booted, NULL, deadline, CKPX_WORKER_RUNNER,
							 CKPX_WAIT_STRICT))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("ckpx has not loaded its history in time"),
					 errhint("Call the function again later; see the views ckpx_runner and ckpx_workers.")));
	}
}

/* The same without a deadline. */
void
ckpx_lock_history(LWLockMode mode)
{
	ckpx_lock_history_until(mode, CKPX_NO_DEADLINE);
}

static bool
is_shown(void *arg)
{
	CkpxProblem problem;

	return CkpxShared->booted || CkpxShared->uninstalled ||
		ckpx_find_problem(1 << CKPX_WORKER_RUNNER, &problem) ||
		CkpxShared->workers[CKPX_WORKER_RUNNER].pid == 0;
}

/*
 * Wait until the history is loaded, or there is a reason why it cannot be.  A
 * view for people must not hang or fail when something is wrong.
 */
void
ckpx_wait_for_view(void)
{
	(void) ckpx_wait_until(is_shown, NULL, CKPX_NO_DEADLINE,
						   CKPX_WORKER_RUNNER, CKPX_WAIT_STRICT);
}

/* Ask for a manifest.  Caller holds the lock. */
void
ckpx_request_publish(CkpxPublishWait *wait)
{
	wait->wanted = ++CkpxShared->publish_requested;
	wait->failures = CkpxShared->publish_failures;
	wait->failed = false;
}

static bool
is_published(void *arg)
{
	CkpxPublishWait *wait = arg;

	if (CkpxShared->publish_done >= wait->wanted)
		return true;
	if (CkpxShared->publish_failures == wait->failures)
		return false;
	wait->failed = true;
	strlcpy(wait->error, CkpxShared->publish_error, sizeof(wait->error));
	return true;
}

/* Wait until the manifest that was asked for is durable. */
void
ckpx_wait_for_publish(CkpxPublishWait *wait)
{
	ckpx_wake_worker(CKPX_WORKER_CHECKPOINTER);
	(void) ckpx_wait_until(is_published, wait, CKPX_NO_DEADLINE,
						   CKPX_WORKER_CHECKPOINTER,
						   CKPX_WAIT_DESPITE_PROBLEM);
	if (wait->failed)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("ckpx could not write a manifest with the change: %s",
						wait->error)));
}

/* Raise the error of a call during which the chain broke. */
void
ckpx_report_broken(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("ckpx lost track of changes while the function waited"),
			 errdetail("A new epoch has begun."),
			 errhint("See the view ckpx_gaps, and call the function again.")));
}

static void
set_waiting_xid(TransactionId xid)
{
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	CkpxShared->waiting_xids[MyProc - ProcGlobal->allProcs] = xid;
	LWLockRelease(CkpxShared->lock);
}

/*
 * Wait for what a finished checkpoint brings, and tell the runner not to wait
 * for the transaction of the caller.
 */
bool
ckpx_wait_for_entry(CkpxReached reached, void *arg, uint64 deadline)
{
	TransactionId xid = GetTopTransactionIdIfAny();
	volatile bool done = false;

	if (TransactionIdIsValid(xid))
	{
		set_waiting_xid(xid);
		ckpx_wake_worker(CKPX_WORKER_RUNNER);
	}
	PG_TRY();
	{
		done = ckpx_wait_until(reached, arg, deadline,
							   CKPX_WORKER_CHECKPOINTER, CKPX_WAIT_STRICT);
	}
	PG_FINALLY();
	{
		/* The transaction may go on after the error of a subtransaction. */
		if (TransactionIdIsValid(xid))
			set_waiting_xid(InvalidTransactionId);
	}
	PG_END_TRY();
	return done;
}

/* What ckpx_wait() and ckpx_wait_collected() wait for. */
typedef struct LsnWait
{
	XLogRecPtr	lsn;
	uint32		epoch;			/* in which the wait began; 0: not known yet */
	bool		broken;			/* found: a new one began behind 'lsn' */
} LsnWait;

/*
 * Is the position reached, where 'reached' is what has been reached by now?
 * While the history is being loaded nothing tells.
 */
static bool
lsn_reached(LsnWait *wait, XLogRecPtr reached)
{
	const CkpxEntryStore *store = CkpxShared->store;

	if (!CkpxShared->booted)
		return false;
	if (wait->epoch == 0)
		wait->epoch = store->epoch;
	wait->broken = store->epoch != wait->epoch &&
		store->epoch_start >= wait->lsn;
	return reached >= wait->lsn;
}

static bool
checkpoint_reached(void *arg)
{
	return lsn_reached(arg, ckpx_entry_store_checkpointed(CkpxShared->store));
}

static bool
collect_reached(void *arg)
{
	return lsn_reached(arg, CkpxShared->collected_lsn);
}

Datum
ckpx_wait(PG_FUNCTION_ARGS)
{
	LsnWait		wait = {0};
	bool		done;

	ckpx_require_installed();
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	wait.lsn = ckpx_wal_normalize_lsn(PG_GETARG_LSN(0));
	done = ckpx_wait_for_entry(checkpoint_reached, &wait,
							   ckpx_deadline_argument(fcinfo, 1, -1));
	if (wait.broken)
		ckpx_report_broken();
	PG_RETURN_BOOL(done);
}

/*
 * What is written already is collected at once; what is not comes with the
 * runner's ordinary rounds.
 */
Datum
ckpx_wait_collected(PG_FUNCTION_ARGS)
{
	LsnWait		wait = {0};
	uint64		deadline;
	bool		done;

	ckpx_require_installed();
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	wait.lsn = ckpx_wal_normalize_lsn(PG_GETARG_LSN(0));
	deadline = ckpx_deadline_argument(fcinfo, 1, -1);

	if (wait.lsn <= ckpx_wal_end())
	{
		(void) ckpx_flush_wal_end();
		ckpx_request_collect(wait.lsn);
	}
	done = ckpx_wait_until(collect_reached, &wait, deadline,
						   CKPX_WORKER_RUNNER, CKPX_WAIT_STRICT);
	if (wait.broken)
		ckpx_report_broken();
	PG_RETURN_BOOL(done);
}

/* The 64-bit xid of a snapshot's xmin, which is never in the future. */
static uint64
full_xid(TransactionId xid)
{
	uint64		next = U64FromFullTransactionId(ReadNextFullTransactionId());
	uint64		epoch = next >> 32;

	if (!TransactionIdIsNormal(xid))
		return xid;
	if (xid > (TransactionId) next)
		epoch--;
	return (epoch << 32) | xid;
}

Datum
ckpx_sync_point(PG_FUNCTION_ARGS)
{
	Snapshot	snapshot;
	uint64		xmin;
	XLogRecPtr	collected;
	XLogRecPtr	first;
	bool		known;

	ckpx_require_installed();
	if (!ActiveSnapshotSet())
		ereport(ERROR,
				(errcode(ERRCODE_NO_ACTIVE_SQL_TRANSACTION),
				 errmsg("ckpx_sync_point() needs a snapshot")));
	snapshot = GetActiveSnapshot();
	xmin = full_xid(snapshot->xmin);

	/* in this order: see the top of the file */
	ckpx_lock_history(LW_SHARED);
	collected = CkpxShared->collected_lsn;
	LWLockRelease(CkpxShared->lock);

	LWLockAcquire(CkpxShared->xid_lock, LW_SHARED);
	known = ckpx_xid_lsn_lower_bound(CkpxShared->xid_lsn, xmin, &first);
	LWLockRelease(CkpxShared->xid_lock);

	if (!known)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no sync point is known for this snapshot"),
				 errdetail("It does not see transactions that may have begun before tracking did, or it is too old."),
				 errhint("Call ckpx_sync_point() first in a new transaction; after a start of the server, when the transactions open then have ended.")));

	if (first != InvalidXLogRecPtr && first < collected)
		PG_RETURN_LSN(first);
	PG_RETURN_LSN(collected);
}
