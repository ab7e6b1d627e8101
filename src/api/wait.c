/*-------------------------------------------------------------------------
 *
 * wait.c
 *		ckpx_wait, ckpx_wait_collected and ckpx_sync_point.
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
#include "access/xlog.h"
#include "api/api.h"
#include "miscadmin.h"
#include "server/base/shared_state.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(ckpx_wait);
PG_FUNCTION_INFO_V1(ckpx_wait_collected);
PG_FUNCTION_INFO_V1(ckpx_sync_point);

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
	wait.lsn = ckpx_normalize_lsn(PG_GETARG_LSN(0));
	done = ckpx_wait_for_entry(checkpoint_reached, &wait,
							   ckpx_timeout_argument(fcinfo, 1));
	if (wait.broken)
		ckpx_report_broken();
	PG_RETURN_BOOL(done);
}

Datum
ckpx_wait_collected(PG_FUNCTION_ARGS)
{
	LsnWait		wait = {0};
	long		timeout_ms;
	bool		done;

	ckpx_require_installed();
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	wait.lsn = ckpx_normalize_lsn(PG_GETARG_LSN(0));
	timeout_ms = ckpx_timeout_argument(fcinfo, 1);

	/*
	 * What is written already is collected at once; what is not comes with
	 * the runner's ordinary rounds.
	 */
	if (wait.lsn <= ckpx_wal_end())
	{
		(void) ckpx_flush_wal_end();
		ckpx_request_collect(wait.lsn);
	}
	done = ckpx_wait_until(collect_reached, &wait, timeout_ms,
						   CKPX_WORKER_RUNNER);
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
	ckpx_lock_history();
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
