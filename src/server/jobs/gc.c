/*-------------------------------------------------------------------------
 *
 * gc.c
 *		Garbage collection: when, and the removal of what may go.
 *
 * core/history/gc_plan.c decides what may go.  The files that are kept of lost
 * objects go by time, or first of all where the folder is too large.
 *
 * Removal: 'removing' keeps new pins out while what goes is chosen, and until
 * it has gone; a manifest without it is published; then it leaves memory.  The
 * manifest before that one still names the files, so a second one is written
 * at once, and then the files are removed.  If we die anywhere in here, the
 * next start sees a manifest with or without the entries, and sweeps the files
 * that neither kept manifest names.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include <sys/stat.h>

#include "core/history/age.h"
#include "core/history/gc_plan.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "server/base/announce.h"
#include "server/base/entry_walk.h"
#include "server/base/fault.h"
#include "server/base/options.h"
#include "server/base/request.h"
#include "server/base/worker_status.h"
#include "server/jobs/global_entry.h"
#include "server/jobs/job.h"
#include "server/jobs/steps.h"
#include "server/store/files.h"
#include "server/store/publish.h"
#include "utils/memutils.h"

#define CKPX_GC_ROUND_MS		60000

/* What goes, in the store's order. */
typedef struct GcPlan
{
	uint32		nvictims;
	CkpxEntrySpan *victims;
	uint32	   *nparts;			/* of their objects */
	uint32		nremoved[CKPX_KIND_SEGMENT + 1];	/* of them, by kind */
	uint32		noverridden;	/* of them, whose command had not succeeded */
	uint32		nlost;			/* of them, that nothing replaces and whose
								 * time was not over */
} GcPlan;

/* When the next round is due, and what has been seen so far. */
static uint64 next_round_ms = 0;
static XLogRecPtr last_global_end = InvalidXLogRecPtr;
static uint64 last_sequence = 0;
static uint32 failures = 0;
static bool pressure_logged = false;
static bool stuck_logged = false;

/*-------------------------------------------------------------------------
 * What may go
 *-------------------------------------------------------------------------
 */

static int64
keep_ms(void)
{
	return (int64) ckpx_gc_keep_time * 1000;
}

/*
 * Copy what the rules look at besides the entries.  If anything may go, no pin
 * can come in from now on.
 */
static void
copy_history(CkpxGcHistory *history, bool dry_run)
{
	const CkpxEntryStore *store = CkpxShared->store;
	CkpxEntryStore *head = palloc(offsetof(CkpxEntryStore, pool));
	CkpxPin    *pins = palloc(sizeof(CkpxPin) * CKPX_MAX_PINS);
	CkpxEntrySpan *doubtful = palloc0(sizeof(CkpxEntrySpan) *
									  CKPX_MAX_SUSPECTS);

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	memcpy(head, store, offsetof(CkpxEntryStore, pool));
	history->stretch = ckpx_entry_store_stretch_start(store);
	history->checkpointed = ckpx_entry_store_checkpointed(store);
	history->loaded_ms = CkpxShared->loaded_ms;
	history->npins = CkpxShared->npins;
	memcpy(pins, CkpxShared->pins, sizeof(CkpxPin) * history->npins);
	history->ndoubtful = CkpxShared->nsuspects;
	for (uint32 i = 0; i < history->ndoubtful; i++)
	{
		const CkpxEntryTicket *entry = &CkpxShared->suspects[i].entry;

		doubtful[i].kind = (uint16) entry->kind;
		doubtful[i].epoch = entry->epoch;
		doubtful[i].start_lsn = entry->start_lsn;
		doubtful[i].end_lsn = entry->end_lsn;
	}
	if (!dry_run)
		CkpxShared->removing = true;
	LWLockRelease(CkpxShared->lock);

	head->nentries = head->max_entries = 0;
	history->head = head;
	history->pins = pins;
	history->doubtful = doubtful;
	history->all_doubtful = history->ndoubtful == CKPX_MAX_SUSPECTS;
}

static void
add_victim(GcPlan *plan, const CkpxGcEntry *entry)
{
	plan->victims[plan->nvictims] = entry->span;
	plan->nparts[plan->nvictims] = entry->nparts;
	plan->nvictims++;
	plan->nremoved[entry->span.kind]++;
	if (entry->post_pending)
		plan->noverridden++;
	if (entry->lost)
		plan->nlost++;
}

/*
 * Choose what goes.  The entries are copied in turns.  Nothing that the rules
 * need changes between them: while this job runs no other process finishes an
 * entry or removes a finished one, and no pin comes in.  Those that are not
 * finished cannot go, and lie behind all that can.
 */
static void
make_plan(GcPlan *plan, CkpxGcRules *rules, bool dry_run)
{
	const uint32 max_entries = CkpxShared->store->max_entries;
	CkpxEntryWalk walk = {0};
	CkpxGcHistory history;
	CkpxGcEntry *entries;
	uint32		n = 0;

	memset(plan, 0, sizeof(*plan));
	entries = MemoryContextAllocHuge(CurrentMemoryContext,
									 sizeof(CkpxGcEntry) * (Size) max_entries);
	plan->victims = palloc(sizeof(CkpxEntrySpan) * max_entries);
	plan->nparts = palloc(sizeof(uint32) * max_entries);

	copy_history(&history, dry_run);
	while (ckpx_entry_walk_next(&walk, LW_SHARED))
	{
		for (uint32 i = walk.begin; i < walk.end; i++)
		{
			const CkpxEntry *entry = ckpx_entry_store_at(CkpxShared->store,
														 i);

			if (entry->state == CKPX_ENTRY_FINISHED)
				ckpx_gc_describe(&entries[n++], entry);
		}
	}

	rules->now_ms = ckpx_clock_ms();
	rules->keep_ms = keep_ms();
	(void) ckpx_gc_plan(entries, n, &history, rules);
	for (uint32 i = 0; i < n; i++)
	{
		if (entries[i].goes)
			add_victim(plan, &entries[i]);
	}
	pfree(entries);
}

/*-------------------------------------------------------------------------
 * Removal
 *-------------------------------------------------------------------------
 */

static void
end_removing(void)
{
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	CkpxShared->removing = false;
	LWLockRelease(CkpxShared->lock);
	ConditionVariableBroadcast(&CkpxShared->progress);
}

/* Forget gaps that explain nothing any more.  Caller holds the lock. */
static void
forget_gaps(void)
{
	(void) ckpx_entry_store_forget_gaps(CkpxShared->store, ckpx_clock_ms(),
										keep_ms());
}

static void
announce_removed(const CkpxEntrySpan *span)
{
	CkpxEntry	entry = {0};

	entry.kind = (CkpxEntryKind) span->kind;
	entry.range.epoch = span->epoch;
	entry.range.timeline = span->timeline;
	entry.range.start_lsn = span->start_lsn;
	entry.range.end_lsn = span->end_lsn;
	ckpx_announce(&entry, CKPX_CHECKPOINT_REMOVED);
}

static void
carry_out(const GcPlan *plan)
{
	CkpxStat   *stat = &CkpxShared->stat;

	ckpx_progress_phase(CKPX_JOB_PHASE_PUBLISH, plan->nvictims);
	CKPX_FAULT("gc-chosen");
	ckpx_publish_without(plan->victims, plan->nvictims);

	CKPX_FAULT("gc-published");
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	(void) ckpx_entry_store_remove_all(CkpxShared->store, plan->victims,
									   plan->nvictims);
	forget_gaps();
	stat->incrementals_removed += plan->nremoved[CKPX_KIND_INCREMENTAL];
	stat->globals_removed += plan->nremoved[CKPX_KIND_GLOBAL];
	stat->backups_removed += plan->nremoved[CKPX_KIND_BACKUP];
	stat->commands_overridden += plan->noverridden;
	CkpxShared->removing = false;
	LWLockRelease(CkpxShared->lock);
	ConditionVariableBroadcast(&CkpxShared->progress);

	if (plan->noverridden > 0)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg_plural("ckpx removes %u checkpoint whose post command has not succeeded",
							   "ckpx removes %u checkpoints whose post command has not succeeded",
							   plan->noverridden, plan->noverridden),
				 errdetail("\"ckpx.max_entries\" or \"ckpx.max_directory_size\" is reached."),
				 errhint("See why \"ckpx.post_checkpoint_command\" fails in the view ckpx_workers.")));

	if (plan->nlost > 0)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg_plural("ckpx removes %u checkpoint of a range that nothing else answers",
							   "ckpx removes %u checkpoints of ranges that nothing else answers",
							   plan->nlost, plan->nlost),
				 errdetail("\"ckpx.max_entries\" or \"ckpx.max_directory_size\" is reached.  What is removed lies before a gap, and \"ckpx.gc_keep_time\" is not over.")));

	/* Only the second manifest without them lets their files go. */
	ckpx_publish(NULL);
	CKPX_FAULT("gc-forgotten");
	if (CkpxShared->keep_files)
	{
		for (uint32 i = 0; i < plan->nvictims; i++)
			ckpx_remove_object(&plan->victims[i], plan->nparts[i]);
	}
	else
		ckpx_sweep();
	for (uint32 i = 0; i < plan->nvictims; i++)
		announce_removed(&plan->victims[i]);

	ereport(ckpx_log_checkpoints ? LOG : DEBUG1,
			(errmsg("ckpx removed %u incrementals, %u globals, %u backups that are not needed any more",
					plan->nremoved[CKPX_KIND_INCREMENTAL],
					plan->nremoved[CKPX_KIND_GLOBAL],
					plan->nremoved[CKPX_KIND_BACKUP]),
			 errhidestmt(true), errhidecontext(true)));
}

/*
 * Forget pins that have expired and gaps that explain nothing any more.
 * They are in the next manifest no more, which need not be now.  Gaps that are
 * new count from here.
 */
static void
forget_the_old(void)
{
	CkpxEntryStore *store = CkpxShared->store;
	uint64		now = ckpx_clock_ms();
	uint32		kept = 0;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	for (uint32 i = 0; i < store->ngaps; i++)
	{
		if (store->gaps[i].clock_ms == 0)
			store->gaps[i].clock_ms = now;
	}
	for (uint32 i = 0; i < CkpxShared->npins; i++)
	{
		const CkpxPin *pin = &CkpxShared->pins[i];

		if (pin->expires_at == 0 || pin->expires_clock_ms > now)
			CkpxShared->pins[kept++] = *pin;
	}
	CkpxShared->npins = kept;
	forget_gaps();
	LWLockRelease(CkpxShared->lock);
}

/*
 * One round; returns how many entries went, or would go.
 */
static uint32
run_round(CkpxGcRules *rules, bool dry_run)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "ckpx gc round",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	GcPlan		plan;

	if (!dry_run)
		forget_the_old();
	PG_TRY();
	{
		make_plan(&plan, rules, dry_run);
		if (!dry_run && plan.nvictims > 0)
			carry_out(&plan);
		else if (!dry_run)
			end_removing();
	}
	PG_CATCH();
	{
		if (!dry_run)
			end_removing();
		PG_RE_THROW();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return plan.nvictims - plan.nremoved[CKPX_KIND_SEGMENT];
}

/*-------------------------------------------------------------------------
 * The caps
 *-------------------------------------------------------------------------
 */

static bool
is_directory_full(void)
{
	return ckpx_max_directory_size > 0 &&
		ckpx_directory_bytes() > (uint64) ckpx_max_directory_size * 1024;
}

/*
 * Remove the files that are kept of lost objects: those whose time is over,
 * and the others as long as the folder is too large.  A file's last change of
 * status is when it got or lost a name.
 */
static void
remove_damaged(void)
{
	CkpxNow		now = ckpx_now();
	List	   *files = ckpx_list_files(CKPX_NAME_DAMAGED);
	ListCell   *cell;

	foreach(cell, files)
	{
		const CkpxStoreFile *file = lfirst(cell);
		struct stat st;
		char		path[MAXPGPATH];
		uint64		since;

		CHECK_FOR_INTERRUPTS();
		ckpx_store_path(path, file->file);
		if (stat(path, &st) != 0)
			continue;
		since = ckpx_age_begin(&now, time_t_to_timestamptz(st.st_ctime));
		if ((since != 0 && ckpx_age_ms(since, now.clock_ms) >= keep_ms()) ||
			is_directory_full())
			ckpx_remove_file(file->file, ERROR);
	}
}

/*
 * Which cap is reached?  NULL: none.  Entries count as too many while there is
 * room yet for what has to be inserted to get rid of them.
 */
static const char *
reached_cap(void)
{
	const CkpxEntryStore *store = CkpxShared->store;
	uint32		nentries;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	nentries = store->nentries;
	LWLockRelease(CkpxShared->lock);

	if (nentries + store->max_entries / 10 >= store->max_entries)
		return "ckpx.max_entries";
	return is_directory_full() ? "ckpx.max_directory_size" : NULL;
}

/* The oldest epoch with entries that is not older than 'epoch'; 0: none. */
static uint32
next_kept_epoch(uint32 epoch)
{
	const CkpxEntryStore *store = CkpxShared->store;
	uint32		found = 0;
	uint32		index;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	index = ckpx_entry_store_ending_after(store, epoch, InvalidXLogRecPtr);
	if (index < store->nentries)
		found = ckpx_entry_store_span(store, index).epoch;
	LWLockRelease(CkpxShared->lock);
	return found;
}

/*
 * Tell the runner whether room can still be made; and, once, the log that it
 * cannot: what is left is needed or pinned.  'cap': reached, or NULL.
 */
static void
note_stuck(const char *cap)
{
	uint32		npins;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	CkpxShared->gc_stuck = cap != NULL;
	npins = CkpxShared->npins;
	LWLockRelease(CkpxShared->lock);

	if (cap == NULL || stuck_logged)
		return;
	stuck_logged = true;
	ereport(WARNING,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("ckpx cannot keep to \"%s\": nothing more can be removed", cap),
			 errdetail_plural("%u pin holds checkpoints.",
							  "%u pins hold checkpoints.", npins, npins),
			 errhint("Remove pins, or raise \"%s\".", cap)));
}

/*
 * Make room: first what is covered whatever its age; then, with a global that
 * covers the rest, that too; then what waits for its command; and last what
 * lies before a gap, the oldest first.  What is pinned stays.
 */
static void
relieve_pressure(void)
{
	CkpxGcRules rules = {0};
	const char *cap = reached_cap();

	if (cap != NULL && !pressure_logged)
	{
		pressure_logged = true;
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("ckpx reaches \"%s\" and removes what it can do without before its time",
						cap),
				 errhint("Consider raising \"%s\", or lowering \"ckpx.gc_keep_time\".",
						 cap)));
		LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
		CkpxShared->stat.caps_reached++;
		LWLockRelease(CkpxShared->lock);
	}

	if (cap != NULL)
	{
		rules.ignore_age = true;
		(void) run_round(&rules, false);
		cap = reached_cap();
	}
	if (cap != NULL && ckpx_global_force())
	{
		/* When it is finished, this is called again. */
		note_stuck(NULL);
		return;
	}
	if (cap != NULL)
	{
		rules.ignore_commands = true;
		(void) run_round(&rules, false);
		cap = reached_cap();
	}
	while (cap != NULL &&
		   (rules.closed_upto = next_kept_epoch(rules.closed_upto + 1)) != 0)
	{
		(void) run_round(&rules, false);
		cap = reached_cap();
	}

	if (cap == NULL)
		pressure_logged = stuck_logged = false;
	note_stuck(cap);
}

/*-------------------------------------------------------------------------
 * The job
 *-------------------------------------------------------------------------
 */

static void
note_failure(const ErrorData *error)
{
	failures++;
	ckpx_job_count_failure();
	if (failures == 1)
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("ckpx garbage collection failed: %s",
						error->message),
				 errdetail("It will be tried again.")));
	ckpx_worker_note(CKPX_WORKER_CHECKPOINTER, error->message);
}

/* What ckpx_gc() asks for; the work of ckpx_job_run(). */
static void
work_request(void *arg)
{
	CkpxRequest *request = arg;
	CkpxGcRules rules = {0};

	ckpx_progress_begin(CKPX_JOB_GC);
	rules.upto = request->lsn;
	rules.ignore_age = true;
	request->count = run_round(&rules, request->dry_run);
}

static void
serve_requests(void)
{
	CkpxRequest request;

	while (ckpx_job_take(CKPX_REQUEST_GC, false, &request))
	{
		ErrorData  *error;

		request.count = 0;
		error = ckpx_job_run("gc", work_request, &request);
		ckpx_job_end();
		if (error != NULL)
			note_failure(error);
		ckpx_request_answer(&request, error);
	}
}

/* What is due; the work of ckpx_job_run(). */
static void
work_round(void *arg)
{
	CkpxGcRules rules = {0};

	ckpx_progress_begin(CKPX_JOB_GC);
	(void) run_round(&rules, false);
	remove_damaged();
	relieve_pressure();
}

/*
 * Is a round due: by time, because a global has finished, or because a
 * manifest was written and a cap may be reached?
 */
static bool
is_due(uint64 now)
{
	const CkpxEntry *newest;
	XLogRecPtr	global_end = InvalidXLogRecPtr;
	uint64		sequence;
	bool		due = now >= next_round_ms;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	newest = ckpx_entry_store_newest(CkpxShared->store, CKPX_KIND_GLOBAL,
									 true);
	if (newest != NULL)
		global_end = newest->range.end_lsn;
	sequence = CkpxShared->manifest_sequence;
	LWLockRelease(CkpxShared->lock);

	if (global_end != last_global_end)
		due = true;
	if (!due && failures == 0 && sequence != last_sequence)
		due = reached_cap() != NULL;
	last_global_end = global_end;
	return due;
}

static void
due_round(uint64 now)
{
	ErrorData  *error;

	/* Not while the history is being loaded: then as soon as it is. */
	next_round_ms = 0;
	if (!ckpx_job_begin(false))
		return;

	next_round_ms = now + CKPX_GC_ROUND_MS;
	error = ckpx_job_run("gc", work_round, NULL);
	ckpx_job_end();
	if (error == NULL)
		failures = 0;
	else
	{
		note_failure(error);
		next_round_ms = now + ckpx_entry_backoff_ms(failures);
	}
	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	last_sequence = CkpxShared->manifest_sequence;
	LWLockRelease(CkpxShared->lock);
}

void
ckpx_gc_step(long *wait_ms)
{
	uint32		ntickets;
	uint64		now = ckpx_clock_ms();

	ntickets = ckpx_dequeue(CKPX_QUEUE_GC, NULL, CKPX_QUEUE_BATCH);
	serve_requests();

	if (is_due(now))
		due_round(now);
	ckpx_dequeue_done(CKPX_QUEUE_GC, ntickets);

	if (next_round_ms > now)
		*wait_ms = Min(*wait_ms, (long) (next_round_ms - now));
}
