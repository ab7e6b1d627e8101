/*-------------------------------------------------------------------------
 *
 * chain.c
 *		Where the reading of WAL begins: boot, new epochs, breaks.
 *
 * An epoch is an unbroken chain on one history of WAL.  At boot the chain of
 * the manifest goes on only if everything fits: the slot still holds the WAL
 * from the last known record on, that record is still there with the same
 * length and checksum, so are those before it back to one that carries a time
 * (as far as their WAL has not been removed), and its end lies in the history
 * of this timeline.  If anything does not, a new epoch begins, with a gap that
 * says why.
 *
 * A new epoch always begins at a redo point of PostgreSQL, with a new slot
 * that reserves WAL from there.  A redo point is the start of a record, and
 * nothing that was done to a page without WAL before it matters after it:
 * sequences log their next change anew.
 *
 * If we die anywhere in here, the next boot finds the same break again, or a
 * slot that is ahead of the manifest, which is a break too.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "access/timeline.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "postmaster/bgwriter.h"
#include "server/base/fault.h"
#include "server/base/options.h"
#include "server/base/worker_status.h"
#include "server/process/chain.h"
#include "server/process/replay.h"
#include "server/process/replay_identify.h"
#include "server/process/runner.h"
#include "server/process/schedule.h"
#include "server/store/object_file.h"
#include "server/wal/retention.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define CKPX_RETRY_MS			10000
#define CKPX_CLOSING_MS			60000
#define CKPX_REDO_WAIT_MS		200
#define CKPX_REPLAY_WAIT_MS		200
#define CKPX_JOB_WAIT_MS		50
#define CKPX_ASK_AGAIN_MS		30000

/*
 * The least time between two epochs of one process: where the settings allow
 * so little WAL that every epoch breaks at once, the server must not be kept
 * busy with checkpoints.
 */
#define CKPX_EPOCH_MIN_MS		10000

/*
 * First records that are decoded and not yet in the map of xids.  They come
 * there together: each lookup of the next xid takes a lock that every backend
 * needs for a new one.  ckpx_sync_point() looks for the records before
 * collected_lsn, and all of those are in the map.
 */
#define CKPX_NOTED_XIDS			256

static CkpxOpenXact noted[CKPX_NOTED_XIDS];
static uint32 nnoted = 0;

static uint64
next_full_xid(void)
{
	return U64FromFullTransactionId(ReadNextFullTransactionId());
}

static inline uint64
widen_xid(TransactionId xid, uint64 next)
{
	return next + (int64) (int32) (xid - (uint32) next);
}

uint64
ckpx_widen_xid(TransactionId xid)
{
	return widen_xid(xid, next_full_xid());
}

/*
 * Bring the first records that were noted into the map.
 */
static void
flush_noted(void)
{
	uint64		next;

	if (nnoted == 0)
		return;
	next = next_full_xid();
	LWLockAcquire(CkpxShared->xid_lock, LW_EXCLUSIVE);
	for (uint32 i = 0; i < nnoted; i++)
		ckpx_xid_lsn_note(CkpxShared->xid_lsn, widen_xid(noted[i].xid, next),
						  noted[i].first_lsn);
	LWLockRelease(CkpxShared->xid_lock);
	nnoted = 0;
}

/*
 * Called by the WAL source for each transaction's first record.
 */
static void
note_first_record(TransactionId xid, XLogRecPtr lsn)
{
	if (nnoted == CKPX_NOTED_XIDS)
		flush_noted();
	noted[nnoted].xid = xid;
	noted[nnoted].first_lsn = lsn;
	nnoted++;
}

bool
ckpx_chain_is_stuck(uint32 errors)
{
	bool		stuck;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	stuck = CkpxShared->stuck_errors >= errors &&
		CkpxShared->collected_max <= CkpxShared->stuck_position;
	LWLockRelease(CkpxShared->lock);
	return stuck;
}

void
ckpx_chain_stuck_reason(char *reason, Size size)
{
	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	snprintf(reason, size, "reading WAL at %X/%X failed %u times: %s",
			 LSN_FORMAT_ARGS(CkpxShared->stuck_position),
			 CkpxShared->stuck_errors,
			 CkpxShared->workers[CKPX_WORKER_RUNNER].last_error);
	LWLockRelease(CkpxShared->lock);
}

/*
 * Every transaction from 'known_from' on will be known by its first record.
 */
static void
reset_xids(uint64 known_from)
{
	LWLockAcquire(CkpxShared->xid_lock, LW_EXCLUSIVE);
	ckpx_xid_lsn_reset(CkpxShared->xid_lsn, known_from);
	LWLockRelease(CkpxShared->xid_lock);
}

/*
 * The same, unless a runner of this server has said it before.
 */
static void
reset_unknown_xids(uint64 known_from)
{
	LWLockAcquire(CkpxShared->xid_lock, LW_EXCLUSIVE);
	if (CkpxShared->xid_lsn->known_from == PG_UINT64_MAX)
		ckpx_xid_lsn_reset(CkpxShared->xid_lsn, known_from);
	LWLockRelease(CkpxShared->xid_lock);
}

static void
renew_source(CkpxRunner *runner)
{
	CkpxWalSource *old = runner->source;

	/* An error must not leave a source that is freed already. */
	runner->source = ckpx_wal_source_create(runner->context,
											note_first_record);
	if (old != NULL)
		ckpx_wal_source_free(old);
	nnoted = 0;					/* nothing of it is collected */
	if (runner->held)
	{
		MemoryContextDelete(runner->cut.context);
		runner->held = false;
	}
}

/*
 * What must hold before anything is touched; NULL, or why not.
 */
static const char *
check_server(void)
{
	if (!XLogIsNeeded())
		return "\"wal_level\" is \"minimal\"; set it to \"replica\" or \"logical\"";
	if (max_replication_slots <= 0)
		return "max_replication_slots is 0; ckpx needs one replication slot";
	return NULL;
}

/*
 * Hand over what the newest object knows of the state at its end: sequences
 * that may change without WAL, transactions that were open, relations whose
 * files may not be durable.
 */
static void
restore_state(CkpxRunner *runner, const CkpxEntry *last)
{
	CkpxObjectFile *file;
	CkpxRelationView view;
	const CkpxObjectHeader *header;
	XLogRecPtr	epoch_start;
	uint64		known_xid;
	uint64		next_xid = next_full_xid();
	bool		listed;
	bool		complete;

	file = ckpx_object_file_open(last, false);
	header = ckpx_object_file_header(file);

	/*
	 * A segment has no list, and that of others may be cut off.  Otherwise it
	 * has all open transactions with records of this epoch; one without an
	 * xid stands for older ones that nothing had told of.
	 */
	listed = last->kind != CKPX_KIND_SEGMENT &&
		header->nopen_xacts == last->open_xacts;
	complete = listed;
	for (uint32 i = 0; i < header->nopen_xacts; i++)
	{
		const CkpxOpenXact *xact = &header->open_xacts[i];

		if (TransactionIdIsValid(xact->xid))
			ckpx_wal_source_add_open_xact(runner->source, xact->xid,
										  xact->first_lsn);
		else
			complete = false;
	}
	if (complete)
		ckpx_wal_source_set_complete(runner->source);

	/* What a list lacks will be missing in the next objects, too. */
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	if (CkpxShared->known_xid == 0 || !listed)
		CkpxShared->known_xid = next_xid;
	known_xid = CkpxShared->known_xid;
	epoch_start = CkpxShared->store->epoch_start;
	LWLockRelease(CkpxShared->lock);

	reset_unknown_xids(known_xid);

	/* Where the first record is not known, it is one of this epoch. */
	for (uint32 i = 0; i < header->nopen_xacts; i++)
	{
		const CkpxOpenXact *xact = &header->open_xacts[i];

		if (TransactionIdIsValid(xact->xid))
			note_first_record(xact->xid, Max(xact->first_lsn, epoch_start));
	}

	while (ckpx_object_file_next(file, &view))
	{
		if (view.flags & CKPX_REL_SEQUENCE)
			ckpx_wal_source_add_sequence(runner->source, &view.key);
		if (view.flags & CKPX_REL_UNDURABLE)
			ckpx_wal_source_add_undurable(runner->source, &view.key);
		CHECK_FOR_INTERRUPTS();
	}
	ckpx_object_file_close(file);
}

/*
 * All before 'lsn' is collected, and these transactions are open there.
 */
void
ckpx_chain_set_collected(CkpxRunner *runner, XLogRecPtr lsn)
{
	CkpxOpenXact *xacts;
	bool		complete;
	uint32		nxacts = ckpx_wal_source_open_xacts(runner->source, &xacts,
													&complete);

	flush_noted();
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	CkpxShared->collected_lsn = lsn;
	CkpxShared->collected_max = Max(CkpxShared->collected_max, lsn);
	CkpxShared->ntail_xacts = nxacts;
	if (nxacts > 0)
		memcpy(CkpxShared->tail_xacts, xacts,
			   sizeof(CkpxOpenXact) * Min(nxacts, CKPX_JOB_LIST));
	LWLockRelease(CkpxShared->lock);
	pfree(xacts);
}

/*
 * From here on the history is usable.
 */
static void
set_booted(CkpxRunner *runner, XLogRecPtr collected_lsn)
{
	ckpx_chain_set_collected(runner, collected_lsn);
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	CkpxShared->booted = true;
	CkpxShared->reload_request = false;
	CkpxShared->absent_since_ms = 0;
	CkpxShared->undurable_upto = InvalidXLogRecPtr;
	CkpxShared->released_lsn = ckpx_slot_restart_lsn();
	CkpxShared->next_tick_ms = ckpx_clock_ms();
	LWLockRelease(CkpxShared->lock);
	ConditionVariableBroadcast(&CkpxShared->progress);
	ckpx_wake_worker(CKPX_WORKER_FLUSHER);
	ckpx_wake_worker(CKPX_WORKER_CHECKPOINTER);
	ckpx_wake_worker(CKPX_WORKER_OBSERVER);

	runner->chain = CKPX_CHAIN_FOLLOWING;
	runner->last_read_lsn = collected_lsn;
	runner->last_cut_ms = 0;
	ckpx_set_problem(NULL);
}

static void
want_epoch(CkpxRunner *runner, const char *reason, XLogRecPtr from_lsn,
		   XLogRecPtr min_lsn)
{
	strlcpy(runner->reason, reason, sizeof(runner->reason));
	runner->from_lsn = from_lsn;
	runner->min_lsn = min_lsn;
	runner->checkpoint_asked_ms = 0;
	runner->chain = CKPX_CHAIN_NEW_EPOCH;
}

/*
 * The chain's end is not in this timeline's history.  What an older timeline
 * wrote before the switch point is common to both, unless WAL was rolled back
 * on that timeline before, without a switch.  A store outside the data
 * directory may know such WAL, so there only a range counts whose last record
 * is found again.
 */
static XLogRecPtr
proven_before_switch(CkpxRunner *runner, const CkpxBoot *boot,
					 XLogRecPtr switch_lsn)
{
	const CkpxEntryStore *store = CkpxShared->store;

	if (boot->inside)
		return switch_lsn;

	/* Nobody else changes the store while it is not booted. */
	for (uint32 i = store->nentries; i > 0; i--)
	{
		const CkpxEntry *entry = ckpx_entry_store_at(store, i - 1);

		CHECK_FOR_INTERRUPTS();
		if (entry->range.epoch != store->epoch ||
			entry->kind != CKPX_KIND_INCREMENTAL ||
			entry->range.end_lsn > switch_lsn)
			continue;
		if (ckpx_wal_source_resume(runner->source, entry->range.end_lsn,
								   entry->range.timeline,
								   &entry->range.last_record))
			return entry->range.end_lsn;
		if (ckpx_wal_source_problem(runner->source)->kind == CKPX_BREAK_GONE)
			break;				/* so is all that is older */
	}
	return InvalidXLogRecPtr;
}

/*
 * A new epoch is needed although WAL was not looked at: up to where is what is
 * known about this very history?  Where the last known record is found again,
 * up to its end.  If it cannot be looked at any more, a store inside the data
 * directory is believed, which was copied or restored together with it.
 */
static XLogRecPtr
proven_end(CkpxRunner *runner, const CkpxBoot *boot)
{
	const CkpxWalProblem *problem;

	if (!boot->have_entry)
		return boot->inside ? boot->known_end : InvalidXLogRecPtr;
	if (ckpx_wal_source_resume(runner->source, boot->known_end,
							   boot->timeline, &boot->last.range.last_record))
		return boot->known_end;

	problem = ckpx_wal_source_problem(runner->source);
	if (problem->kind == CKPX_BREAK_HISTORY)
		return proven_before_switch(runner, boot, problem->switch_lsn);
	if (boot->inside &&
		(problem->kind == CKPX_BREAK_GONE ||
		 (problem->kind == CKPX_BREAK_BEHIND && RecoveryInProgress())))
		return boot->known_end;
	return InvalidXLogRecPtr;
}

/*
 * Go on behind the last range that is known, if its last record is still
 * there; else want an epoch.  A standby replays again what it had replayed
 * before it was restarted: that is a matter of waiting, the chain is BEHIND
 * until then.  A primary whose WAL ends earlier was rolled back.
 */
static void
resume_entry(CkpxRunner *runner)
{
	const CkpxBoot *boot = &runner->boot;
	CkpxWalProblem problem;
	XLogRecPtr	from_lsn = InvalidXLogRecPtr;
	bool		in_recovery = RecoveryInProgress();

	if (ckpx_wal_source_resume(runner->source, boot->known_end,
							   boot->timeline, &boot->last.range.last_record))
	{
		restore_state(runner, &boot->last);
		set_booted(runner, boot->known_end);
		return;
	}

	problem = *ckpx_wal_source_problem(runner->source);
	if (problem.kind == CKPX_BREAK_BEHIND && in_recovery)
	{
		/* Should recovery just have ended: the next step sees that. */
		ckpx_set_problem(problem.text);
		runner->chain = CKPX_CHAIN_BEHIND;
		return;
	}

	/*
	 * What the WAL here says is not what was known: from where on the
	 * histories differ cannot be told, except by a timeline's switch point.
	 */
	if (problem.kind == CKPX_BREAK_HISTORY)
		from_lsn = proven_before_switch(runner, boot, problem.switch_lsn);
	else if (problem.kind == CKPX_BREAK_GONE && boot->inside)
		from_lsn = boot->known_end;
	want_epoch(runner, problem.text, from_lsn, InvalidXLogRecPtr);
}

/*
 * Try to go on with the chain that the manifest knows; where that is not
 * possible, an epoch is wanted.
 */
static void
resume_chain(CkpxRunner *runner, CkpxSlotState slot, XLogRecPtr restart_lsn)
{
	const CkpxBoot *boot = &runner->boot;
	XLogRecPtr	needed = boot->have_entry ?
		boot->last.range.last_record.start : boot->known_end;
	XLogRecPtr	min_lsn = InvalidXLogRecPtr;
	const char *reason = NULL;
	char		stuck_reason[sizeof(runner->reason)];

	if (!boot->have_history)
	{
		want_epoch(runner, boot->copied ? CKPX_REASON_COPY : "tracking begins",
				   InvalidXLogRecPtr, InvalidXLogRecPtr);
		return;
	}

	renew_source(runner);
	if (boot->break_reason[0] != '\0')
		reason = boot->break_reason;
	else if (slot == CKPX_SLOT_MISSING)
		reason = CkpxShared->gave_up_slot ? CKPX_REASON_RETAINED :
			boot->copied ? CKPX_REASON_COPY : "replication slot is missing";
	else if (slot == CKPX_SLOT_LOST)
		reason = "replication slot was invalidated";
	else if (needed == InvalidXLogRecPtr ||
			 ckpx_wal_normalize_lsn(restart_lsn) > needed)
		reason = boot->lost_end ?
			"newest checkpoint objects are missing or damaged, and their WAL is gone" :
			boot->copied ? CKPX_REASON_COPY :
			"replication slot is ahead of the manifest";
	else if (ckpx_chain_is_stuck(CKPX_STUCK_ERRORS + 1))
	{
		ckpx_chain_stuck_reason(stuck_reason, sizeof(stuck_reason));
		reason = stuck_reason;
		min_lsn = ckpx_wal_normalize_lsn(CkpxShared->stuck_position) + 1;
	}

	if (reason != NULL)
	{
		XLogRecPtr	proven = proven_end(runner, boot);

		/*
		 * What the old epoch knows behind the new one's start answers nothing
		 * any more.  A copy that was promoted can begin late enough; a
		 * standby has to wait for its primary's checkpoints, and begins now.
		 */
		if (boot->copied && !RecoveryInProgress())
			min_lsn = Max(min_lsn, proven);
		want_epoch(runner, reason, proven, min_lsn);
	}
	else if (boot->have_entry)
		resume_entry(runner);
	else
	{
		TimeLineID	timeline;

		/* An epoch without a range yet: begin it again. */
		(void) ckpx_wal_read_limit(&timeline);
		timeline = tliOfPointInHistory(boot->known_end,
									   readTimeLineHistory(timeline));
		ckpx_wal_source_begin(runner->source, boot->known_end, timeline);
		reset_unknown_xids(next_full_xid());
		set_booted(runner, boot->known_end);
	}
}

/*
 * Have all that read the history wait until it is loaded again.  True: a job
 * still runs, which may read the logtail; then call this again until it has
 * ended.
 */
bool
ckpx_chain_unload(void)
{
	bool		job_running;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	CkpxShared->booted = false;
	job_running = CkpxShared->job_running &&
		CkpxShared->workers[CKPX_WORKER_CHECKPOINTER].pid != 0;
	LWLockRelease(CkpxShared->lock);
	return job_running;
}

/*
 * Load the history and find out whether its chain goes on.
 */
static long
boot_step(CkpxRunner *runner)
{
	MemoryContext context = CurrentMemoryContext;
	volatile long wait_ms = 0;
	const char *problem = check_server();
	bool		job_running;

	job_running = ckpx_chain_unload();
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	CkpxShared->collected_lsn = InvalidXLogRecPtr;
	CkpxShared->cut_in_work_end = InvalidXLogRecPtr;
	LWLockRelease(CkpxShared->lock);

	if (problem != NULL)
	{
		ckpx_set_problem(problem);
		return CKPX_RETRY_MS;
	}
	if (job_running)
		return CKPX_JOB_WAIT_MS;

	ckpx_worker_report(CKPX_WORKER_RUNNER, CKPX_WORKER_BUSY, "boot");
	PG_TRY();
	{
		CkpxSlotState slot;
		XLogRecPtr	restart_lsn;

		memset(&runner->boot, 0, sizeof(runner->boot));
		ckpx_replay_identify(&runner->boot);
		slot = ckpx_slot_acquire_own(&restart_lsn);
		if (slot == CKPX_SLOT_FOREIGN)
		{
			ckpx_set_problem("a replication slot named \"ckpx\" is logical or in use by another process");
			wait_ms = CKPX_RETRY_MS;
		}
		else
		{
			if (max_slot_wal_keep_size_mb < 0)
				ereport(WARNING,
						(errcode(ERRCODE_WARNING),
						 errmsg("\"max_slot_wal_keep_size\" does not limit the WAL that ckpx's slot holds while ckpx is not running"),
						 errhint("While it runs, \"ckpx.max_retained_wal\" does.")));
			ckpx_replay_load(&runner->boot);
			resume_chain(runner, slot, restart_lsn);
		}
	}
	PG_CATCH();
	{
		ErrorData  *error = ckpx_worker_catch(context);
		char		text[CKPX_PROBLEM_MAX];

		if (!ckpx_error_is_external(error) &&
			error->sqlerrcode != ERRCODE_OBJECT_IN_USE)
			ReThrowError(error);
		if (error->detail != NULL)
			snprintf(text, sizeof(text), "%s (%s)", error->message,
					 error->detail);
		else
			strlcpy(text, error->message, sizeof(text));
		ckpx_set_problem(text);
		wait_ms = CKPX_RETRY_MS;
	}
	PG_END_TRY();
	return wait_ms;
}

/*
 * May a new epoch begin?  Not before PostgreSQL's redo point has passed what
 * broke the old one; ask for a checkpoint then.
 */
static bool
may_begin_epoch(CkpxRunner *runner)
{
	uint64		clock = ckpx_clock_ms();

	if (runner->epoch_begun_ms != 0 &&
		clock - runner->epoch_begun_ms < CKPX_EPOCH_MIN_MS)
		return false;

	if (runner->min_lsn == InvalidXLogRecPtr ||
		GetRedoRecPtr() >= runner->min_lsn)
		return true;
	if (!RecoveryInProgress() &&
		(runner->checkpoint_asked_ms == 0 ||
		 clock - runner->checkpoint_asked_ms > CKPX_ASK_AGAIN_MS))
	{
		runner->checkpoint_asked_ms = clock;
		RequestCheckpoint(CHECKPOINT_IMMEDIATE | CHECKPOINT_FORCE);
	}
	return false;
}

/*
 * Put the new epoch into shared memory and return its number.
 */
static uint32
begin_epoch(const CkpxRunner *runner, TimeLineID timeline,
			XLogRecPtr start_lsn, uint64 next_xid)
{
	TimestampTz now = GetCurrentTimestamp();
	uint32		epoch;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	ckpx_entry_store_begin_epoch(CkpxShared->store, timeline,
								 runner->from_lsn, start_lsn, now,
								 runner->reason);
	epoch = CkpxShared->store->epoch;
	CkpxShared->known_xid = next_xid;
	CkpxShared->publish_requested++;
	CkpxShared->collected_max = InvalidXLogRecPtr;
	CkpxShared->stuck_errors = 0;
	CkpxShared->gave_up_slot = false;

	/*
	 * What the manifests of the old epoch would release means nothing here,
	 * where WAL may have been rolled back.
	 */
	CkpxShared->manifest_release[0] = InvalidXLogRecPtr;
	CkpxShared->manifest_release[1] = InvalidXLogRecPtr;
	CkpxShared->stat.gaps++;
	memset(CkpxShared->custom_rmgrs, 0, CKPX_RMGR_BITMAP_BYTES);
	LWLockRelease(CkpxShared->lock);
	return epoch;
}

/*
 * Begin a new epoch at PostgreSQL's present redo point, once that is not
 * before what broke the old one.
 */
static long
epoch_step(CkpxRunner *runner)
{
	XLogRecPtr	start_lsn;
	TimeLineID	timeline;
	char	   *problem;
	uint64		next_xid;
	uint32		epoch;

	if (!may_begin_epoch(runner))
		return CKPX_REDO_WAIT_MS;
	if (ckpx_chain_unload())
		return CKPX_JOB_WAIT_MS;

	CKPX_FAULT("epoch-begin");
	ckpx_slot_drop();
	start_lsn = ckpx_slot_create_own(&problem);
	if (start_lsn == InvalidXLogRecPtr)
	{
		ckpx_set_problem(problem);
		return CKPX_RETRY_MS;
	}
	next_xid = next_full_xid();

	(void) ckpx_wal_read_limit(&timeline);
	timeline = tliOfPointInHistory(start_lsn, readTimeLineHistory(timeline));
	start_lsn = ckpx_wal_normalize_lsn(start_lsn);

	renew_source(runner);
	ckpx_wal_source_begin(runner->source, start_lsn, timeline);
	ckpx_logtail_clear();
	reset_xids(next_xid);
	epoch = begin_epoch(runner, timeline, start_lsn, next_xid);

	if (epoch == 1)
		ereport(LOG,
				(errmsg("ckpx begins to track changes at %X/%X, timeline %u",
						LSN_FORMAT_ARGS(start_lsn), timeline)));
	else
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("ckpx lost track of changes; epoch %u begins at %X/%X",
						epoch, LSN_FORMAT_ARGS(start_lsn)),
				 errdetail("Reason: %s.  What is known ends at %X/%X.",
						   runner->reason, LSN_FORMAT_ARGS(runner->from_lsn)),
				 errhint("See the view ckpx_gaps.")));
	runner->epoch_begun_ms = ckpx_clock_ms();
	set_booted(runner, start_lsn);
	return 0;
}

/*
 * Reading broke off.  Unless that would cost too much, bring what has been
 * decoded into a last incremental first.
 */
void
ckpx_chain_break(CkpxRunner *runner, const char *reason, XLogRecPtr min_lsn,
				 bool at_once)
{
	XLogRecPtr	checkpointed;
	XLogRecPtr	collected;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	checkpointed = ckpx_entry_store_checkpointed(CkpxShared->store);
	collected = CkpxShared->collected_lsn;
	if (!at_once && collected > checkpointed)
		CkpxShared->checkpoint_request = Max(CkpxShared->checkpoint_request,
											 collected);
	LWLockRelease(CkpxShared->lock);

	ereport(LOG,
			(errmsg("ckpx cannot follow WAL any further: %s", reason)));
	want_epoch(runner, reason, checkpointed, min_lsn);
	if (!at_once && collected > checkpointed)
	{
		runner->chain = CKPX_CHAIN_CLOSING;
		runner->closing_until_ms = ckpx_clock_ms() + CKPX_CLOSING_MS;
		if (!RecoveryInProgress())
			RequestCheckpoint(CHECKPOINT_IMMEDIATE | CHECKPOINT_FORCE);
	}
}

static long
closing_step(CkpxRunner *runner)
{
	XLogRecPtr	checkpointed;
	XLogRecPtr	collected;

	ckpx_schedule(runner);

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	checkpointed = ckpx_entry_store_checkpointed(CkpxShared->store);
	collected = CkpxShared->collected_lsn;
	LWLockRelease(CkpxShared->lock);

	if (checkpointed >= collected ||
		ckpx_clock_ms() > runner->closing_until_ms)
	{
		runner->from_lsn = checkpointed;
		runner->chain = CKPX_CHAIN_NEW_EPOCH;
		return 0;
	}
	return 50;
}

long
ckpx_chain_step(CkpxRunner *runner)
{
	switch (runner->chain)
	{
		case CKPX_CHAIN_NONE:
			return boot_step(runner);
		case CKPX_CHAIN_BEHIND:
			resume_entry(runner);
			return runner->chain == CKPX_CHAIN_BEHIND ?
				CKPX_REPLAY_WAIT_MS : 0;
		case CKPX_CHAIN_CLOSING:
			return closing_step(runner);
		case CKPX_CHAIN_NEW_EPOCH:
			return epoch_step(runner);
		case CKPX_CHAIN_FOLLOWING:
			break;
	}
	return 0;
}
