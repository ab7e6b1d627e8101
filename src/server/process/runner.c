/*-------------------------------------------------------------------------
 *
 * runner.c
 *		The cron: follow WAL, cut, schedule checkpoints, release WAL.
 *
 * One step reads what WAL there is, and at each tick, or at once when
 * somebody waits for it, cuts what has gathered into a logtail segment.  Then
 * it looks at the checkpoint entries and at the slot.  No part of it waits
 * for anything: what cannot be done now is tried at the next step.
 *
 * collected_lsn moves after the segment is in the logtail and after every
 * transaction of it is in the xid map, so a reader that sees the one sees
 * the others.
 *
 * When a cut finds no room in the logtail even after merging, it is held
 * back, reading stops, and the checkpointer is asked to spill segments to
 * disk.  WAL that is not read is kept by the slot.  A cut that has no room
 * when all is spilled goes to disk itself.  Only when the slot holds more than
 * ckpx.max_retained_wal is history given up: the disk must not fill.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "access/transam.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "server/base/fault.h"
#include "server/base/options.h"
#include "server/base/worker_status.h"
#include "server/jobs/spill.h"
#include "server/process/chain.h"
#include "server/process/runner.h"
#include "server/process/schedule.h"
#include "server/process/uninstall.h"
#include "server/wal/retention.h"
#include "storage/ipc.h"
#include "storage/procarray.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/*
 * WAL read in one step.  Small enough that what it names always fits into the
 * logtail: a record of 50 bytes can add a relation of 88.
 */
#define CKPX_READ_BUDGET \
	Min((uint64) 16 * 1024 * 1024, (uint64) ckpx_logtail_memory * 1024 / 4)

#define CKPX_WAITER_POLL_MS		20
#define CKPX_LAG_SAMPLES		64

static CkpxRunner *runner = NULL;

/* Read limits of the past, for ckpx.collect_lag. */
typedef struct CkpxLagSample
{
	uint64		clock_ms;
	XLogRecPtr	lsn;
} CkpxLagSample;

/* This process reads WAL and cuts just now. */
static bool is_following = false;

static CkpxLagSample lag_samples[CKPX_LAG_SAMPLES];
static int	next_lag_sample = 0;

/* What backends have asked for and not got yet. */
typedef struct CkpxRequests
{
	XLogRecPtr	collected;
	XLogRecPtr	collect;
	bool		checkpoint;		/* somebody waits for a checkpoint */
	bool		spilling;
	bool		reload;
	bool		uninstalled;
} CkpxRequests;

static void
start_runner(void)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext,
												  "ckpx runner",
												  ALLOCSET_DEFAULT_SIZES);

	runner = MemoryContextAllocZero(context, sizeof(CkpxRunner));
	runner->context = context;
	ckpx_options_log();
}

static void
look_at_requests(CkpxRequests *requests)
{
	CkpxEntryStore *store = CkpxShared->store;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	requests->collected = CkpxShared->collected_lsn;
	requests->collect = Max(CkpxShared->collect_request,
							CkpxShared->checkpoint_request);
	/* While there can be none, looking often for its time would be in vain. */
	requests->checkpoint = ckpx_enabled && !CkpxShared->disabled &&
		CkpxShared->checkpoint_request > ckpx_entry_store_checkpointed(store);
	requests->spilling = CkpxShared->spill_request != InvalidXLogRecPtr;
	requests->reload = CkpxShared->reload_request;
	requests->uninstalled = CkpxShared->uninstalled;
	LWLockRelease(CkpxShared->lock);
}

/*
 * How far may be read: what was the end of WAL ckpx.collect_lag ago.
 */
static XLogRecPtr
lag_limit(void)
{
	uint64		now = ckpx_clock_ms();
	XLogRecPtr	limit = 1;
	TimeLineID	timeline;

	if (ckpx_collect_lag == 0)
		return InvalidXLogRecPtr;

	lag_samples[next_lag_sample].clock_ms = now;
	lag_samples[next_lag_sample].lsn = ckpx_wal_read_limit(&timeline);
	next_lag_sample = (next_lag_sample + 1) % CKPX_LAG_SAMPLES;

	for (int i = 0; i < CKPX_LAG_SAMPLES; i++)
	{
		if (lag_samples[i].clock_ms != 0 &&
			lag_samples[i].clock_ms + ckpx_collect_lag <= now)
			limit = Max(limit, lag_samples[i].lsn);
	}
	return limit;
}

/*
 * Note the redo point of PostgreSQL's newest checkpoint, which may just have
 * begun; on a standby WAL itself tells, from 17 on.
 */
static void
note_redo(void)
{
	XLogRecPtr	redo;

	if (RecoveryInProgress())
		return;
	redo = ckpx_wal_normalize_lsn(GetRedoRecPtr());
	if (redo <= runner->newest_redo)
		return;
	runner->newest_redo = redo;
	if (runner->nredos == CKPX_REDO_POINTS)
		memmove(&runner->redos[0], &runner->redos[1],
				sizeof(CkpxRedoPoint) * --runner->nredos);
	runner->redos[runner->nredos].lsn = redo;
	runner->redos[runner->nredos++].known_ms = ckpx_clock_ms();
}

/* Forget the redo points before 'lsn'; the first one that is left. */
static XLogRecPtr
next_redo(XLogRecPtr lsn)
{
	uint32		n = 0;

	while (n < runner->nredos && runner->redos[n].lsn < lsn)
		n++;
	runner->nredos -= n;
	memmove(&runner->redos[0], &runner->redos[n],
			sizeof(CkpxRedoPoint) * runner->nredos);
	return runner->nredos > 0 ? runner->redos[0].lsn : PG_UINT64_MAX;
}

/*
 * How far to read, and the next redo point, at which to stop in any case:
 * the WAL of a base backup begins at one, so what has changed since can be
 * told exactly where a segment begins there, too.
 *
 * A checkpoint sets its redo point while no WAL can be inserted.  So where the
 * end of flushed WAL is read first, every redo point before it is known, but
 * for one of a checkpoint that is just about to make it known: then the
 * answer is a little larger.
 */
static XLogRecPtr
read_upto(XLogRecPtr position, bool wanted, XLogRecPtr *redo)
{
	TimeLineID	timeline;
	XLogRecPtr	upto = ckpx_wal_read_limit(&timeline);
	XLogRecPtr	lagging = wanted ? InvalidXLogRecPtr : lag_limit();

	/* The end of a timeline is only noticed by reading on from there. */
	if (RecoveryInProgress())
		upto = PG_UINT64_MAX;
	if (lagging != InvalidXLogRecPtr)
		upto = Min(upto, lagging);

	note_redo();
	*redo = next_redo(position);
	return Min(upto, *redo);
}

/*
 * Ask the checkpointer to write segments to disk.
 */
static void
request_spill(void)
{
	bool		asked = false;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	if (CkpxShared->spill_request == InvalidXLogRecPtr)
	{
		CkpxShared->spill_request = PG_UINT64_MAX;
		asked = true;
	}
	LWLockRelease(CkpxShared->lock);
	if (asked)
		ckpx_wake_worker(CKPX_WORKER_CHECKPOINTER);
}

/*
 * Forget the segments that finished incrementals cover.
 */
static void
forget_finished_segments(void)
{
	XLogRecPtr	checkpointed;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	checkpointed = ckpx_entry_store_checkpointed(CkpxShared->store);
	LWLockRelease(CkpxShared->lock);

	CKPX_FAULT("logtail-trim");
	ckpx_logtail_trim(checkpointed);
}

/* Is there no segment left that could be spilled to make room? */
static bool
all_is_spilled(void)
{
	CkpxSegmentInfo *infos;
	uint32		ninfos;

	infos = ckpx_logtail_copy(&ninfos);
	for (uint32 i = 0; i < ninfos; i++)
	{
		if (!infos[i].spilled)
			return false;
	}
	return true;
}

/*
 * Give the marks of the held cut to the logtail.
 */
static void
keep_marks(void)
{
	const CkpxWalCut *cut = &runner->cut;
	CkpxMark   *marks = palloc(sizeof(CkpxMark) * cut->ncheckpoints + 1);
	uint32		nmarks = 0;

	for (uint32 i = 0; i < cut->ncheckpoints; i++)
	{
		const CkpxHistoryItem *item = &cut->checkpoints[i];

		if (item->kind == CKPX_HISTORY_END_OF_RECOVERY)
			continue;
		marks[nmarks].lsn = item->end_lsn;
		marks[nmarks].redo = item->start_lsn;
		marks[nmarks].timeline = item->timeline;
		marks[nmarks].crc = item->crc;
		marks[nmarks].time = item->started_at;
		nmarks++;
	}
	ckpx_logtail_add_marks(marks, nmarks);
	pfree(marks);
}

/*
 * Put the held cut into the logtail and show it to everybody.  False: there
 * is no room yet.
 */
static bool
publish_cut(void)
{
	CkpxWalCut *cut = &runner->cut;
	XLogRecPtr	boundary = ckpx_schedule_boundary();

	/*
	 * A merge must not join a segment that a finished incremental covers with
	 * one that the next incremental will read.  An entry that finishes after
	 * the boundary was looked up still has it there; one that had finished
	 * before has its segments forgotten here.
	 */
	forget_finished_segments();
	keep_marks();
	if (!ckpx_logtail_add(&runner->cut_info, cut->tree, cut->appended,
						  boundary) &&
		!(all_is_spilled() && ckpx_spill_cut(&runner->cut_info, cut->tree)))
		return false;

	CKPX_FAULT("cut-added");
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	CkpxShared->store->timeline = cut->range.timeline;
	CkpxShared->stat.wal_bytes_read += cut->range.wal_bytes;
	CkpxShared->stat.records_read += cut->nrecords;
	for (int i = 0; i < CKPX_RMGR_BITMAP_BYTES; i++)
		CkpxShared->custom_rmgrs[i] |= cut->range.custom_rmgrs[i];
	for (uint32 i = 0; i < cut->ncheckpoints; i++)
		ckpx_history_add(&CkpxShared->history, &cut->checkpoints[i]);
	LWLockRelease(CkpxShared->lock);
	ckpx_chain_set_collected(runner, cut->range.end_lsn);
	ConditionVariableBroadcast(&CkpxShared->progress);

	MemoryContextDelete(cut->context);
	runner->held = false;
	return true;
}

/*
 * Take what has gathered.  Nothing gathered, nothing to do, but that the last
 * cut may have been at a redo point of PostgreSQL, which is known since
 * 'redo_ms'; 0: it was not.
 */
static bool
take_cut(uint64 redo_ms)
{
	CkpxSegmentInfo *info = &runner->cut_info;
	CkpxWalCut *cut = &runner->cut;

	Assert(!runner->held);
	runner->last_cut_ms = ckpx_clock_ms();
	if (!ckpx_wal_source_pending(runner->source))
	{
		if (redo_ms != 0)
			ckpx_logtail_mark_redo(ckpx_wal_source_position(runner->source,
															NULL), redo_ms);
		return true;
	}

	CKPX_FAULT("cut-before");
	ckpx_wal_source_cut(runner->source, cut);
	runner->held = true;
	memset(info, 0, sizeof(*info));
	info->range = cut->range;
	info->range.epoch = CkpxShared->store->epoch;
	info->range.next_xid =
		XidFromFullTransactionId(ReadNextFullTransactionId());
	info->range.created_at = GetCurrentTimestamp();
	info->range.clock_ms = runner->last_cut_ms;
	info->redo_ms = redo_ms;
	return publish_cut();
}

/*
 * The errors that ended the processes before this one came from the same
 * place of WAL, and trying again has not helped.  What lies before it is read
 * and cut as always, and there the chain breaks.  False: it is not reached.
 */
static bool
break_where_stuck(void)
{
	XLogRecPtr	position;
	char		reason[sizeof(runner->reason)];

	(void) ckpx_wal_source_read(runner->source, CkpxShared->stuck_position,
								CKPX_READ_BUDGET);
	position = ckpx_wal_source_position(runner->source, NULL);
	if (position < CkpxShared->stuck_position)
		return false;
	if (!take_cut(0))
	{
		request_spill();
		return true;
	}
	ckpx_chain_stuck_reason(reason, sizeof(reason));
	ckpx_chain_break(runner, reason, ckpx_wal_normalize_lsn(position) + 1,
					 false);
	return true;
}

/*
 * Read WAL and cut where it is due.  *more: there is more to read now.
 */
static void
follow_wal(const CkpxRequests *requests, bool *more)
{
	CkpxWalResult result;
	bool		wanted = requests->collect > requests->collected;
	bool		due;
	uint64		redo_ms = 0;
	XLogRecPtr	position;
	XLogRecPtr	upto;
	XLogRecPtr	redo;

	*more = false;
	if (runner->held)
	{
		if (!publish_cut())
		{
			request_spill();
			return;
		}
	}
	if (ckpx_chain_is_stuck(CKPX_STUCK_ERRORS))
	{
		*more = !break_where_stuck();
		return;
	}

	position = ckpx_wal_source_position(runner->source, NULL);
	upto = read_upto(position, wanted, &redo);
	result = ckpx_wal_source_read(runner->source, upto, CKPX_READ_BUDGET);
	position = ckpx_wal_source_position(runner->source, NULL);
	if (position == redo)
	{
		redo_ms = runner->redos[0].known_ms;
		(void) next_redo(position + 1);
	}
	else if (result == CKPX_WAL_REDO)
		redo_ms = ckpx_clock_ms();
	*more = (result == CKPX_WAL_MORE && position < upto) ||
		result == CKPX_WAL_SWITCH || redo_ms != 0;

	due = redo_ms != 0 || result == CKPX_WAL_SWITCH ||
		result == CKPX_WAL_BROKEN ||
		ckpx_clock_ms() - runner->last_cut_ms >=
		(uint64) ckpx_collect_interval ||
		(wanted && position >= requests->collect) ||
		ckpx_wal_source_memory(runner->source) >
		(Size) ckpx_logtail_memory * 1024 / 8;

	if (due && !take_cut(redo_ms))
		request_spill();

	if (result == CKPX_WAL_BROKEN)
	{
		const CkpxWalProblem *problem;

		problem = ckpx_wal_source_problem(runner->source);
		if (!runner->held)
			ckpx_chain_break(runner, problem->text, problem->resume_lsn,
							 false);
	}
}

/*
 * Move the slot to where both kept manifests allow, and forget the segments
 * of finished incrementals.  The newer one may know less: where a checkpoint
 * is published and not yet finished in memory, the next manifest lacks it.
 */
static void
release_wal(void)
{
	uint32		ntickets;
	XLogRecPtr	release_lsn;
	XLogRecPtr	present;
	uint64		reserved = (uint64) ckpx_reserved_wal * 1024;

	ntickets = ckpx_dequeue(CKPX_QUEUE_WAIT, NULL, CKPX_QUEUE_BATCH);
	if (ntickets > 0)
		CKPX_FAULT("release-ticket");

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	release_lsn = Min(CkpxShared->manifest_release[0],
					  CkpxShared->manifest_release[1]);
	present = CkpxShared->collected_lsn;
	LWLockRelease(CkpxShared->lock);

	if (release_lsn != InvalidXLogRecPtr)
	{
		/* Reserved WAL counts from the present, and only ever holds back. */
		if (reserved > 0)
			release_lsn = Min(release_lsn,
							  present > reserved ? present - reserved : 1);
		if (release_lsn > ckpx_slot_restart_lsn())
		{
			ckpx_slot_advance(release_lsn);
			LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
			CkpxShared->released_lsn = release_lsn;
			LWLockRelease(CkpxShared->lock);
			ConditionVariableBroadcast(&CkpxShared->progress);
		}
	}
	ckpx_dequeue_done(CKPX_QUEUE_WAIT, ntickets);

	forget_finished_segments();
}

/*
 * Drop the slot; what it held will be missing.
 */
static void
give_up_slot(uint64 retained, uint64 cap)
{
	ereport(WARNING,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("ckpx gives up history: its slot holds " UINT64_FORMAT " MB of WAL, " UINT64_FORMAT " MB are allowed",
					retained / (1024 * 1024), cap / (1024 * 1024)),
			 errhint("See what the oldest entry of ckpx_checkpoints waits for, and the setting \"ckpx.max_retained_wal\".")));
	ckpx_slot_drop();
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	CkpxShared->gave_up_slot = true;
	LWLockRelease(CkpxShared->lock);
}

/*
 * Never hold more WAL than allowed, also while there is nothing to follow:
 * the slot may be left from before, and what keeps the runner from its work,
 * or ends it again and again, may last.
 */
void
ckpx_runner_guard(void)
{
	TimeLineID	timeline;
	uint64		retained = ckpx_slot_retained(ckpx_wal_read_limit(&timeline));
	uint64		cap = ckpx_slot_cap();

	if (retained <= cap)
		return;
	give_up_slot(retained, cap);

	/* What the slot held for these is not wanted any more. */
	if (runner == NULL)
		return;
	if (runner->chain == CKPX_CHAIN_CLOSING)
		runner->closing_until_ms = 0;
	else if (runner->chain == CKPX_CHAIN_BEHIND)
		runner->chain = CKPX_CHAIN_NONE;
}

/*
 * Count errors that come back in the same place.  An error of the
 * surroundings, a full disk or a file that cannot be read, does not count: it
 * can go by, and if it lasts, the limit of retained WAL ends it.
 */
void
ckpx_runner_failed(const ErrorData *error)
{
	TimeLineID	timeline;
	XLogRecPtr	position;

	if (!is_following || ckpx_error_is_external(error))
		return;
	position = ckpx_wal_source_position(runner->source, &timeline);

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	if (CkpxShared->collected_max > CkpxShared->stuck_position)
		CkpxShared->stuck_errors = 0;
	CkpxShared->stuck_position = position;
	CkpxShared->stuck_errors++;
	LWLockRelease(CkpxShared->lock);
}

/*
 * The same while the chain is followed: spill when it becomes much, give up
 * history when it is too much.
 */
static void
guard_retention(const CkpxRequests *requests)
{
	TimeLineID	timeline;
	XLogRecPtr	present = ckpx_wal_read_limit(&timeline);
	uint64		retained = ckpx_slot_retained(present);
	uint64		cap = ckpx_slot_cap();
	Size		used;

	if (retained > cap)
	{
		XLogRecPtr	position = ckpx_wal_source_position(runner->source,
														&timeline);

		give_up_slot(retained, cap);
		ckpx_chain_break(runner, CKPX_REASON_RETAINED, position, true);
		return;
	}
	if (retained > cap / 10 * 8 && !requests->spilling)
	{
		ckpx_logtail_usage(&used, NULL, NULL);
		if (used > 0)
			request_spill();
	}
}

/*
 * Nobody asks any more about transactions that every snapshot sees.
 */
static void
forget_old_xids(void)
{
	TransactionId oldest = GetOldestNonRemovableTransactionId(NULL);
	uint64		full_xid;

	if (!TransactionIdIsNormal(oldest))
		return;
	full_xid = ckpx_widen_xid(oldest);
	LWLockAcquire(CkpxShared->xid_lock, LW_EXCLUSIVE);
	ckpx_xid_lsn_forget_before(CkpxShared->xid_lsn, full_xid);
	LWLockRelease(CkpxShared->xid_lock);
}

/*
 * In how many ms is the next step due?  At the next tick, or soon where
 * something waits for it.
 */
static long
time_to_next_step(void)
{
	CkpxRequests requests;
	uint64		now = ckpx_clock_ms();
	long		wait_ms = ckpx_collect_interval;

	look_at_requests(&requests);
	if (now >= runner->last_cut_ms &&
		now - runner->last_cut_ms < (uint64) ckpx_collect_interval)
		wait_ms = ckpx_collect_interval - (long) (now - runner->last_cut_ms);
	if (requests.checkpoint || requests.collect > requests.collected ||
		runner->held)
		wait_ms = Min(wait_ms, CKPX_WAITER_POLL_MS);

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	CkpxShared->next_tick_ms = now + wait_ms;
	LWLockRelease(CkpxShared->lock);
	return Max(wait_ms, 1);
}

long
ckpx_runner_step(void)
{
	CkpxRequests requests;
	bool		more = false;
	long		wait_ms;

	if (runner == NULL)
		start_runner();

	look_at_requests(&requests);
	if (requests.uninstalled)
	{
		wait_ms = ckpx_uninstall_step();
		if (wait_ms > 0)
			return wait_ms;
		/* With exit code 0 the postmaster does not start it again. */
		proc_exit(0);
	}

	/* An object that the logtail needs is damaged: begin as after a death. */
	if (requests.reload && runner->chain == CKPX_CHAIN_FOLLOWING)
		runner->chain = CKPX_CHAIN_NONE;

	if (runner->chain != CKPX_CHAIN_FOLLOWING)
	{
		wait_ms = ckpx_chain_step(runner);
		if (runner->chain != CKPX_CHAIN_FOLLOWING)
		{
			ckpx_runner_guard();
			ckpx_worker_report(CKPX_WORKER_RUNNER,
							   CkpxShared->problem[0] != '\0' ?
							   CKPX_WORKER_BLOCKED : CKPX_WORKER_BUSY,
							   "finding where to begin");
			return wait_ms;
		}
	}

	/* First, so that nothing that fails below can keep it from being done. */
	guard_retention(&requests);
	if (runner->chain != CKPX_CHAIN_FOLLOWING)
		return 0;
	is_following = true;
	follow_wal(&requests, &more);
	is_following = false;
	if (runner->chain != CKPX_CHAIN_FOLLOWING)
		return 0;
	ckpx_schedule(runner);
	release_wal();
	ckpx_worker_healthy(CKPX_WORKER_RUNNER);

	if (more && !runner->held)
	{
		ckpx_worker_report(CKPX_WORKER_RUNNER, CKPX_WORKER_BUSY,
						   "reading WAL");
		return 0;
	}
	forget_old_xids();
	ckpx_worker_report(CKPX_WORKER_RUNNER, CKPX_WORKER_IDLE, "");
	return time_to_next_step();
}
