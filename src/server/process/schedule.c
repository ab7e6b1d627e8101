/*-------------------------------------------------------------------------
 *
 * schedule.c
 *		Checkpoint entries: when to create one, what it waits for, when its
 *		job starts.
 *
 * An incremental waits for two things.  Committed: every transaction that
 * wrote WAL before its end has ended, so that its end is a consistent point
 * for a reader of rows; but at most ckpx.commit_wait, because the block map
 * does not depend on commits, and not for those that wait for a checkpoint
 * themselves.  Durable: the pages that it names are on disk.
 *
 * durability.c knows what is durable.  Unless ckpx.flush is off, an entry that
 * a session waits for has its own range flushed at once, and any other one
 * when it has waited for two flush intervals, or two minutes: blocks that are
 * written again and again would otherwise keep it waiting for PostgreSQL's
 * next checkpoint.  With ckpx.flush off it waits for that checkpoint.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "access/transam.h"
#include "access/xlog.h"
#include "core/history/policy.h"
#include "miscadmin.h"
#include "server/base/announce.h"
#include "server/base/fault.h"
#include "server/base/options.h"
#include "server/flush/durable.h"
#include "server/process/durability.h"
#include "server/process/runner.h"
#include "server/process/schedule.h"
#include "server/wal/retention.h"
#include "storage/procarray.h"
#include "storage/standby.h"
#include "utils/snapmgr.h"

#define CKPX_WAIT_LOG_MS	120000
#define CKPX_STALLED_MS		120000

/*
 * Add up what the segments hold between the newest finished end and the last
 * cut that is not behind 'upto'.  'entry' gets all that an entry over exactly
 * that range needs.  *redo is the first redo point of PostgreSQL within it at
 * which the entry should end, or Invalid: one that no other one follows within
 * ckpx.min_incremental_interval, and before which anything changed.
 */
static void
gather_range(CkpxEntry *entry, XLogRecPtr upto, XLogRecPtr *redo)
{
	CkpxSegmentInfo *infos;
	uint32		ninfos;
	uint64		redo_ms = 0;

	memset(entry, 0, sizeof(*entry));
	entry->kind = CKPX_KIND_INCREMENTAL;
	*redo = InvalidXLogRecPtr;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	entry->range.epoch = CkpxShared->store->epoch;
	entry->range.start_lsn = ckpx_entry_store_checkpointed(CkpxShared->store);
	LWLockRelease(CkpxShared->lock);
	entry->range.end_lsn = entry->range.start_lsn;

	infos = ckpx_logtail_copy(&ninfos);
	for (uint32 i = 0; i < ninfos; i++)
	{
		const CkpxSegmentInfo *info = &infos[i];

		if (info->range.end_lsn <= entry->range.start_lsn)
			continue;
		if (info->range.end_lsn > upto)
			break;
		ckpx_range_append(&entry->range, &info->range);
		if (info->redo_ms != 0 &&
			entry->range.last_change_lsn != InvalidXLogRecPtr &&
			(*redo == InvalidXLogRecPtr ||
			 ckpx_age_ms(redo_ms, info->redo_ms) <
			 ckpx_min_incremental_interval))
		{
			*redo = info->range.end_lsn;
			redo_ms = info->redo_ms;
		}
	}
}

/*
 * How long ago was the newest incremental's cut?  One whose age is not known
 * is old: a clock that was ahead must not stop checkpoints until it is caught
 * up with.
 */
static int64
age_of_newest(const CkpxEntry *newest)
{
	return newest->range.clock_ms == 0 ? PG_INT64_MAX :
		ckpx_age_ms(newest->range.clock_ms, ckpx_clock_ms());
}

static bool
is_enabled(void)
{
	return ckpx_enabled && !CkpxShared->disabled && !CkpxShared->uninstalled;
}

/*
 * Ask policy about an entry over all that there is; 'input' has what does not
 * follow from the entry and the settings.
 */
static CkpxReason
reason_to_create(const CkpxEntry *entry, CkpxCheckpointInput *input)
{
	CkpxCheckpointPolicy policy;

	policy.min_incremental_interval_ms = ckpx_min_incremental_interval;
	policy.min_count = ckpx_min_count;
	policy.max_incremental_interval_ms = ckpx_max_incremental_interval;
	policy.max_incremental_wal = (uint64) ckpx_max_incremental_wal * 1024;
	policy.max_retained_wal = ckpx_slot_cap();

	input->anything_changed = entry->range.last_change_lsn !=
		InvalidXLogRecPtr;
	input->nxacts = entry->range.nxacts;
	input->wal_bytes = entry->range.wal_bytes;
	input->retained_wal = ckpx_slot_retained(entry->range.end_lsn);
	return ckpx_policy_incremental(&policy, input);
}

/*
 * Make 'entry' the one that is to be created, over all that there is or up to
 * a redo point of PostgreSQL.  CKPX_REASON_NONE: the time has not come.
 */
static CkpxReason
find_entry_to_create(CkpxEntry *entry)
{
	CkpxCheckpointInput input;
	CkpxEntry  *newest;
	CkpxReason	reason;
	XLogRecPtr	request;
	XLogRecPtr	redo;

	gather_range(entry, PG_UINT64_MAX, &redo);

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	newest = ckpx_entry_store_newest(CkpxShared->store,
									 CKPX_KIND_INCREMENTAL, false);

	/*
	 * Where all of them were collected, the global tells when the last cut
	 * was.
	 */
	if (newest == NULL)
		newest = ckpx_entry_store_newest(CkpxShared->store, CKPX_KIND_GLOBAL,
										 true);
	input.first = newest == NULL;
	input.since_last_cut_ms = newest != NULL ?
		age_of_newest(newest) : PG_INT64_MAX;
	request = CkpxShared->checkpoint_request;
	LWLockRelease(CkpxShared->lock);

	if (entry->range.end_lsn <= entry->range.start_lsn)
		return CKPX_REASON_NONE;

	/* A request is served once the cut has reached it. */
	input.forced = request > entry->range.start_lsn &&
		entry->range.end_lsn >= request;
	reason = reason_to_create(entry, &input);
	if (reason != CKPX_REASON_NONE && redo != InvalidXLogRecPtr)
		gather_range(entry, redo, &redo);
	return reason;
}

/*
 * Create a pending entry, if the time has come.  Policy looks at all that
 * there is up to the last cut, and decides when.  Where a checkpoint of
 * PostgreSQL began within that, the entry ends there and the rest is left to
 * the next one.  So what changed since the start of the WAL of a base backup
 * can be told exactly later on, too, and that very checkpoint makes the entry
 * durable.
 *
 * Which redo points are the start of a backup cannot be known in time, so all
 * are treated alike.  Only of checkpoints in quick succession all but the last
 * are passed over, lest they make as many entries: what changed since one of
 * those is answered from the entry's start, which is a superset.
 */
static void
maybe_create(CkpxRunner *runner)
{
	CkpxEntry	entry;
	CkpxReason	reason;
	CkpxStoreResult result;
	bool		gc_stuck;
	char		text[CKPX_ENTRY_TEXT_MAX];

	reason = find_entry_to_create(&entry);
	if (reason == CKPX_REASON_NONE)
		return;

	(void) ckpx_entry_transition(&entry, CKPX_EVENT_CREATE);
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	/* Two places stay free, for a global and for a spilled segment. */
	if (CkpxShared->store->nentries + 2 >= CkpxShared->store->max_entries)
		result = CKPX_STORE_FULL;
	else
		result = ckpx_entry_store_insert(CkpxShared->store, &entry);
	gc_stuck = CkpxShared->gc_stuck;
	LWLockRelease(CkpxShared->lock);

	if (result == CKPX_STORE_FULL)
	{
		/*
		 * The checkpointer makes room; only it can tell that it cannot.  The
		 * range goes on gathering, no part of the chain is lost.
		 */
		ckpx_wake_worker(CKPX_WORKER_CHECKPOINTER);
		if (gc_stuck)
			ckpx_set_problem("the history holds \"ckpx.max_entries\" entries and none can be removed; remove pins or raise \"ckpx.max_entries\"");
		return;
	}
	if (result != CKPX_STORE_OK)
		elog(ERROR, "could not insert checkpoint entry %s: result %d",
			 ckpx_entry_text(&entry, text), (int) result);
	ckpx_set_problem(NULL);
	runner->waiting_logged_ms = 0;
	runner->waiting_log_after_ms = CKPX_WAIT_LOG_MS;
	ConditionVariableBroadcast(&CkpxShared->progress);
	ckpx_announce(&entry, CKPX_CHECKPOINT_PENDING);
	CKPX_FAULT("entry-created");
	ereport(DEBUG1,
			(errmsg_internal("ckpx created %s, reason %s",
							 ckpx_entry_text(&entry, text),
							 ckpx_reason_name(reason))));
}

/*
 * The oldest transaction that does not wait for a checkpoint itself, or the
 * next xid where there is none; on a primary only.  Prepared ones included.
 */
static TransactionId
oldest_not_waiting(void)
{
	TransactionId *waiting = palloc(sizeof(TransactionId) * MaxBackends);
	int			nwaiting = 0;
	RunningTransactions running;
	TransactionId oldest;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	for (int i = 0; i < MaxBackends; i++)
	{
		if (TransactionIdIsValid(CkpxShared->waiting_xids[i]))
			waiting[nwaiting++] = CkpxShared->waiting_xids[i];
	}
	LWLockRelease(CkpxShared->lock);

	/* It returns with both locks held; what it returns is ours. */
	running = GetRunningTransactionData();
	LWLockRelease(ProcArrayLock);
	LWLockRelease(XidGenLock);

	/* Those of the top level come first. */
	oldest = running->nextXid;
	for (int i = 0; i < running->xcnt; i++)
	{
		TransactionId xid = running->xids[i];
		bool		is_waiting = false;

		for (int w = 0; w < nwaiting && !is_waiting; w++)
			is_waiting = waiting[w] == xid;
		if (!is_waiting && TransactionIdPrecedes(xid, oldest))
			oldest = xid;
	}
	pfree(waiting);
	return oldest;
}

/*
 * Has every transaction that wrote before the entry's end ended?  If not,
 * write the oldest one to 'waiting'.
 */
static bool
is_committed(CkpxRunner *runner, const CkpxEntry *entry, char *waiting,
			 Size size)
{
	TransactionId oldest = InvalidTransactionId;

	if (!TransactionIdIsNormal(entry->range.next_xid))
		return true;

	if (!RecoveryInProgress())
	{
		/* The first is cheap, and most of the time the answer. */
		if (!TransactionIdPrecedes(GetOldestActiveTransactionId(),
								   entry->range.next_xid))
			return true;
		oldest = oldest_not_waiting();
		if (!TransactionIdPrecedes(oldest, entry->range.next_xid))
			return true;
	}
	else
	{
		CkpxOpenXact *xacts;
		bool		complete;
		uint32		n = ckpx_wal_source_open_xacts(runner->source, &xacts,
												   &complete);

		if (!complete)
		{
			strlcpy(waiting, "the primary's list of running transactions",
					size);
			return false;
		}
		for (uint32 i = 0; i < n; i++)
		{
			if (TransactionIdPrecedes(xacts[i].xid, entry->range.next_xid) &&
				(!TransactionIdIsValid(oldest) ||
				 TransactionIdPrecedes(xacts[i].xid, oldest)))
				oldest = xacts[i].xid;
		}
		if (!TransactionIdIsValid(oldest))
			return true;
	}
	snprintf(waiting, size, "transaction %u", oldest);
	return false;
}

/*
 * Take those out of the list that have ended: the record that says so may not
 * be decoded yet.  Returns how many are left.
 *
 * TransactionIdIsInProgress() takes what precedes RecentXmin for ended.  A
 * process that takes no snapshots keeps the RecentXmin of its start, and after
 * 2^31 transactions every open one would precede it.
 */
static uint32
forget_ended(CkpxOpenXact *xacts, uint32 nxacts)
{
	uint32		kept = 0;

	RecentXmin = GetOldestActiveTransactionId();
	for (uint32 i = 0; i < nxacts; i++)
	{
		if (TransactionIdIsInProgress(xacts[i].xid))
			xacts[kept++] = xacts[i];
	}
	return kept;
}

/*
 * Give the job what only the runner knows.  Caller holds the lock.
 */
static void
hand_over(const CkpxEntry *entry, const CkpxOpenXact *xacts, uint32 nxacts,
		  bool others, const CkpxRelKey *keys, uint32 nkeys)
{
	uint32		n = 0;

	for (uint32 i = 0; i < nxacts; i++)
	{
		if (TransactionIdIsNormal(entry->range.next_xid) &&
			!TransactionIdPrecedes(xacts[i].xid, entry->range.next_xid))
			continue;
		if (xacts[i].first_lsn >= entry->range.end_lsn)
			continue;
		if (n < CKPX_JOB_LIST)
			CkpxShared->open_xacts[n] = xacts[i];
		n++;
	}

	/* One without an xid stands for those that nothing has told of yet. */
	if (others)
	{
		if (n < CKPX_JOB_LIST)
			memset(&CkpxShared->open_xacts[n], 0, sizeof(CkpxOpenXact));
		n++;
	}
	CkpxShared->nopen_xacts = n;
	CkpxShared->nundurable = nkeys;
	CkpxShared->undurable_upto = entry->range.end_lsn;
	memcpy(CkpxShared->undurable, keys,
		   sizeof(CkpxRelKey) * Min(nkeys, CKPX_JOB_LIST));
}

static void
log_long_wait(CkpxRunner *runner, const CkpxEntry *entry, const char *waiting)
{
	uint64		now = ckpx_clock_ms();
	char		text[CKPX_ENTRY_TEXT_MAX];

	if (runner->waiting_log_after_ms == 0)
		runner->waiting_log_after_ms = CKPX_WAIT_LOG_MS;
	if (entry->range.clock_ms == 0 || now < entry->range.clock_ms ||
		now - entry->range.clock_ms < runner->waiting_log_after_ms)
		return;
	runner->waiting_log_after_ms *= 2;
	ereport(ckpx_log_checkpoints ? LOG : DEBUG1,
			(errmsg("ckpx checkpoint %s has been waiting for %s for %.0f s",
					ckpx_entry_text(entry, text), waiting,
					(now - entry->range.clock_ms) / 1000.0)));
}

/*
 * Are the changes of the entry on disk?  If not, write to 'waiting' what for
 * it waits, and have them flushed if it is time.
 */
static bool
is_durable(CkpxRunner *runner, const CkpxEntry *entry, char *waiting,
		   Size size)
{
	uint64		now = ckpx_clock_ms();
	uint64		stalled_ms = Min(CKPX_STALLED_MS,
								 2 * (uint64) ckpx_max_flush_interval);
	bool		asked_for;

	if (ckpx_durable_reached(entry->range.last_change_lsn, waiting, size))
		return true;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	asked_for = CkpxShared->checkpoint_request > entry->range.start_lsn;
	LWLockRelease(CkpxShared->lock);
	if (ckpx_flush_mode != CKPX_FLUSH_MODE_OFF &&
		(asked_for || entry->range.clock_ms == 0 ||
		 now - entry->range.clock_ms >= stalled_ms))
		ckpx_durability_request(runner, entry->range.end_lsn);
	return false;
}

/*
 * Note on the pending entry what it waits for.
 */
static void
note_waiting(CkpxRunner *runner, const CkpxEntry *pending,
			 const char *waiting)
{
	CkpxEntry  *entry;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	entry = ckpx_shared_entry(pending);
	if (entry != NULL)
		strlcpy(entry->waiting_for, waiting, sizeof(entry->waiting_for));
	LWLockRelease(CkpxShared->lock);
	log_long_wait(runner, pending, waiting);
}

/*
 * Start the pending entry, unless it is gone or checkpoints are disabled
 * meanwhile.  'committed': all its transactions have ended.
 */
static void
start_entry(CkpxRunner *runner, const CkpxEntry *pending, bool committed)
{
	CkpxEntry  *entry;
	CkpxOpenXact *xacts;
	CkpxRelKey *keys;
	uint32		nxacts;
	uint32		nkeys;
	bool		complete;
	bool		started = false;

	nxacts = ckpx_wal_source_open_xacts(runner->source, &xacts, &complete);
	if (committed && !RecoveryInProgress())
		nxacts = forget_ended(xacts, nxacts);
	nkeys = ckpx_wal_source_undurable(runner->source,
									  ckpx_durable_synced_lsn(), &keys);

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	entry = ckpx_shared_entry(pending);
	if (entry != NULL && is_enabled() &&
		ckpx_entry_transition(entry, CKPX_EVENT_START))
	{
		entry->waiting_for[0] = '\0';
		hand_over(entry, xacts, nxacts, !committed && !complete, keys, nkeys);
		started = true;
	}
	LWLockRelease(CkpxShared->lock);
	if (!started)
		return;

	ConditionVariableBroadcast(&CkpxShared->progress);
	ckpx_announce(pending, CKPX_CHECKPOINT_RUNNING);
	CKPX_FAULT("entry-started");

	/* A refused ticket is no loss: the checkpointer looks at the store. */
	(void) ckpx_enqueue(CKPX_QUEUE_INCREMENTAL, NULL);
	ckpx_wake_worker(CKPX_WORKER_CHECKPOINTER);
}

/*
 * Start the pending entry if all that it waits for has happened.
 */
static void
maybe_start(CkpxRunner *runner, const CkpxEntry *pending)
{
	char		waiting[64] = "";
	bool		durable;
	bool		committed;

	/* Blocks can be written while transactions go on. */
	durable = is_durable(runner, pending, waiting, sizeof(waiting));
	committed = is_committed(runner, pending, waiting, sizeof(waiting));
	if (!durable ||
		(!committed && ckpx_commit_wait > 0 && pending->range.clock_ms != 0 &&
		 ckpx_clock_ms() - pending->range.clock_ms <
		 (uint64) ckpx_commit_wait))
		note_waiting(runner, pending, waiting);
	else
		start_entry(runner, pending, committed);
}

XLogRecPtr
ckpx_schedule_boundary(void)
{
	CkpxEntry  *newest;
	XLogRecPtr	boundary = InvalidXLogRecPtr;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	newest = ckpx_entry_store_newest(CkpxShared->store,
									 CKPX_KIND_INCREMENTAL, false);
	if (newest != NULL && newest->state != CKPX_ENTRY_FINISHED)
		boundary = newest->range.end_lsn;
	else
		boundary = ckpx_entry_store_checkpointed(CkpxShared->store);
	LWLockRelease(CkpxShared->lock);
	return boundary;
}

void
ckpx_schedule(CkpxRunner *runner)
{
	CkpxEntry	newest;
	CkpxEntry  *found;
	bool		enabled;

	ckpx_durability_step(runner);

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	enabled = is_enabled();
	found = ckpx_entry_store_newest(CkpxShared->store,
									CKPX_KIND_INCREMENTAL, false);
	if (found != NULL)
		newest = *found;
	LWLockRelease(CkpxShared->lock);

	if (!enabled)
		return;
	if (found == NULL || newest.state == CKPX_ENTRY_FINISHED)
	{
		maybe_create(runner);

		LWLockAcquire(CkpxShared->lock, LW_SHARED);
		found = ckpx_entry_store_newest(CkpxShared->store,
										CKPX_KIND_INCREMENTAL, false);
		if (found != NULL)
			newest = *found;
		LWLockRelease(CkpxShared->lock);
	}
	if (found != NULL && newest.state == CKPX_ENTRY_PENDING)
		maybe_start(runner, &newest);
}
