/*-------------------------------------------------------------------------
 *
 * gc_job.c
 *		Garbage collection: what of the history may go, and its removal.
 *
 * Within an epoch an incremental or a global may go when a finished global of
 * the same epoch holds its range: finished means that the global's object and
 * a manifest that names it are durable, and as only finished entries count,
 * both kept manifests name the global before either stops naming what it
 * covers.  A backup goes with the incremental that covers it.  A closed epoch
 * gets no more globals, nor does what lies before a range that was lost, so
 * what is left of these goes by time.  A spilled segment of a closed epoch
 * answers nothing and goes at once.
 *
 * A pin holds what ends after its LSN: incrementals and backups, and those
 * globals that were there when the pin was made, since somebody may be
 * reading them.  A global that is newer than the pin and was replaced since
 * adds nothing to what the incrementals and the newest global answer.
 *
 * An object whose post command has not succeeded stays as well, but only
 * until a cap is reached: otherwise a command that never succeeds would fill
 * the disk.
 *
 * Removal: what goes is chosen and 'removing' is set in one hold of the lock,
 * so that no pin can come in between; a manifest without it is published;
 * then it leaves memory.  The manifest before that one still names the files,
 * so a second one is written at once, and then the files are removed.  If we
 * die anywhere in here, the next start sees a manifest with or without the
 * entries, and sweeps the files that neither kept manifest names.
 *
 *-------------------------------------------------------------------------
 */
#include "server/compat.h"

#include "miscadmin.h"
#include "server/fault.h"
#include "server/files.h"
#include "server/job.h"
#include "server/observers.h"
#include "server/options.h"
#include "server/publish.h"
#include "server/request.h"
#include "server/workers.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define CKPX_GC_ROUND_MS		60000

typedef struct GcRules
{
	XLogRecPtr	upto;			/* only what ends here or before; Invalid: all */
	bool		ignore_age;
	bool		ignore_commands;
	uint32		closed_upto;	/* in this epoch and older ones also what lies
								 * behind a gap; 0: not before its time */
	bool		dry_run;
} GcRules;

typedef struct GcPlan
{
	uint32		nvictims;
	CkpxEntry  *victims;		/* copies, in the store's order */
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
 * What may go; all with the lock held
 *-------------------------------------------------------------------------
 */

static bool
is_pinned(const CkpxEntry *entry, TimestampTz now)
{
	for (uint32 i = 0; i < CkpxShared->npins; i++)
	{
		const CkpxPin *pin = &CkpxShared->pins[i];

		if (pin->expires_at != 0 && pin->expires_at <= now)
			continue;
		if (entry->end_lsn <= pin->lsn)
			continue;
		if (entry->kind == CKPX_KIND_GLOBAL &&
			entry->finished_at > pin->created_at)
			continue;
		return true;
	}
	return false;
}

/*
 * When did the epoch end?  0 where that is not known any more.
 */
static TimestampTz
epoch_closed_at(const CkpxEntryStore *store, uint32 epoch)
{
	for (uint32 i = 0; i < store->ngaps; i++)
	{
		const CkpxGap *gap = &store->gaps[i];

		if (!gap->damaged && gap->epoch > epoch)
			return gap->epoch == epoch + 1 ? gap->detected_at : 0;
	}
	return 0;
}

/*
 * No global will ever cover what lies in a closed epoch or before a range that
 * was lost.  Does 'entry', and since when?  0 where that is not known any
 * more.  'stretch' is where the last stretch of the open epoch begins.
 */
static bool
is_closed(const CkpxEntryStore *store, const CkpxEntry *entry,
		  XLogRecPtr stretch, TimestampTz *since)
{
	TimestampTz at = DT_NOEND;

	if (entry->epoch != store->epoch)
		at = epoch_closed_at(store, entry->epoch);
	else if (entry->end_lsn > stretch || stretch == store->epoch_start)
		return false;
	for (uint32 i = 0; i < store->ngaps; i++)
	{
		const CkpxGap *gap = &store->gaps[i];

		if (gap->damaged && gap->epoch == entry->epoch &&
			gap->from_lsn >= entry->end_lsn)
			at = Min(at, gap->detected_at);
	}
	*since = at != DT_NOEND ? at : 0;
	return true;
}

static bool
is_old(TimestampTz since, TimestampTz now)
{
	return now - since >= (int64) ckpx_gc_keep_time * USECS_PER_SEC;
}

/*
 * Is the backup's range in a finished global or in a finished incremental
 * that is going?  'goes' tells of each entry whether it is.
 */
static bool
backup_may_go(const CkpxEntryStore *store, const CkpxEntry *backup,
			  const bool *goes)
{
	if (ckpx_entry_store_checkpointed(store) < backup->end_lsn)
		return false;
	for (uint32 i = 0; i < store->nentries; i++)
	{
		const CkpxEntry *entry = &store->entries[i];

		if (entry->kind == CKPX_KIND_INCREMENTAL &&
			entry->epoch == backup->epoch && !goes[i] &&
			entry->start_lsn < backup->end_lsn &&
			entry->end_lsn > backup->start_lsn)
			return false;
	}
	return true;
}

/*
 * May this entry go, its pins and its command aside?  *lost: it is gone for
 * good, before its time.
 */
static bool
is_dispensable(const CkpxEntryStore *store, const CkpxEntry *entry,
			   XLogRecPtr stretch, const bool *goes, const GcRules *rules,
			   TimestampTz now, bool *lost)
{
	TimestampTz since;
	bool		closed = is_closed(store, entry, stretch, &since);

	*lost = false;
	if (entry->state != CKPX_ENTRY_FINISHED)
		return false;
	if (closed && entry->kind == CKPX_KIND_SEGMENT)
		return entry->epoch != store->epoch;
	if (closed && is_old(since, now))
		return true;
	if (closed && entry->epoch <= rules->closed_upto)
	{
		*lost = true;
		return true;
	}

	switch (entry->kind)
	{
		case CKPX_KIND_INCREMENTAL:
		case CKPX_KIND_GLOBAL:
			if (!ckpx_entry_store_is_covered(store, entry))
				return false;
			break;
		case CKPX_KIND_BACKUP:
			if (entry->epoch != store->epoch ||
				!backup_may_go(store, entry, goes))
				return false;
			break;
		default:
			return false;
	}
	return rules->ignore_age || is_old(entry->created_at, now);
}

/*
 * Choose what goes.  Backups in a second pass: they look at what the first
 * one has chosen.
 */
static void
make_plan(GcPlan *plan, const GcRules *rules)
{
	const CkpxEntryStore *store = CkpxShared->store;
	TimestampTz now = GetCurrentTimestamp();
	bool	   *goes = palloc0(store->max_entries);
	CkpxEntry  *victims;
	XLogRecPtr	stretch;

	/* No allocation under the lock: there may be as many as there are. */
	victims = MemoryContextAllocHuge(CurrentMemoryContext,
									 sizeof(CkpxEntry) * (Size) store->max_entries);
	memset(plan, 0, sizeof(*plan));
	plan->victims = victims;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	stretch = ckpx_entry_store_stretch_start(store);
	for (int pass = 0; pass < 2; pass++)
	{
		for (uint32 i = 0; i < store->nentries; i++)
		{
			const CkpxEntry *entry = &store->entries[i];
			bool		lost;

			if ((entry->kind == CKPX_KIND_BACKUP) != (pass == 1))
				continue;
			if (rules->upto != InvalidXLogRecPtr &&
				entry->end_lsn > rules->upto)
				continue;
			if (!is_dispensable(store, entry, stretch, goes, rules, now,
								&lost) ||
				is_pinned(entry, now))
				continue;
			if (entry->post_pending && !rules->ignore_commands)
				continue;
			goes[i] = true;
			if (lost)
				plan->nlost++;
		}
	}
	for (uint32 i = 0; i < store->nentries; i++)
	{
		if (!goes[i])
			continue;
		victims[plan->nvictims++] = store->entries[i];
		plan->nremoved[store->entries[i].kind]++;
		if (store->entries[i].post_pending)
			plan->noverridden++;
	}
	if (!rules->dry_run && plan->nvictims > 0)
		CkpxShared->removing = true;
	LWLockRelease(CkpxShared->lock);
	pfree(goes);
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
	(void) ckpx_entry_store_forget_gaps(CkpxShared->store,
										GetCurrentTimestamp() -
										(int64) ckpx_gc_keep_time * USECS_PER_SEC);
}

static void
carry_out(const GcPlan *plan)
{
	CkpxEntryStore *store = CkpxShared->store;

	ckpx_progress_phase(CKPX_JOB_PHASE_PUBLISH, plan->nvictims);
	CKPX_FAULT("gc-chosen");
	ckpx_publish_without(plan->victims, plan->nvictims);

	CKPX_FAULT("gc-published");
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	(void) ckpx_entry_store_remove_all(store, plan->victims, plan->nvictims);
	forget_gaps();
	CkpxShared->stat.incrementals_removed += plan->nremoved[CKPX_KIND_INCREMENTAL];
	CkpxShared->stat.globals_removed += plan->nremoved[CKPX_KIND_GLOBAL];
	CkpxShared->stat.backups_removed += plan->nremoved[CKPX_KIND_BACKUP];
	CkpxShared->stat.commands_overridden += plan->noverridden;
	CkpxShared->removing = false;
	LWLockRelease(CkpxShared->lock);
	ConditionVariableBroadcast(&CkpxShared->progress);

	if (plan->noverridden > 0)
		ereport(WARNING,
				(errmsg("ckpx removes %u checkpoints whose post command has not succeeded",
						plan->noverridden),
				 errdetail("ckpx.max_entries or ckpx.max_directory_size is reached."),
				 errhint("See why ckpx.post_checkpoint_command fails in the view ckpx_workers.")));

	if (plan->nlost > 0)
		ereport(WARNING,
				(errmsg("ckpx removes %u checkpoints of ranges that nothing else answers",
						plan->nlost),
				 errdetail("ckpx.max_entries or ckpx.max_directory_size is reached; they lie before a gap, and ckpx.gc_keep_time is not over.")));

	/* Only the second manifest without them lets their files go. */
	ckpx_publish(NULL);
	CKPX_FAULT("gc-forgotten");
	if (CkpxShared->keep_files)
		ckpx_remove_objects(plan->victims, plan->nvictims);
	else
		ckpx_sweep();
	for (uint32 i = 0; i < plan->nvictims; i++)
		ckpx_announce(&plan->victims[i], CKPX_CHECKPOINT_REMOVED);

	ereport(ckpx_log_checkpoints ? LOG : DEBUG1,
			(errmsg("ckpx removed %u incrementals, %u globals, %u backups that are not needed any more",
					plan->nremoved[CKPX_KIND_INCREMENTAL],
					plan->nremoved[CKPX_KIND_GLOBAL],
					plan->nremoved[CKPX_KIND_BACKUP]),
			 errhidestmt(true), errhidecontext(true)));
}

/*
 * Forget pins that have expired and gaps that explain nothing any more.
 * They are in the next manifest no more, which need not be now.
 */
static void
forget_the_old(void)
{
	TimestampTz now = GetCurrentTimestamp();
	uint32		kept = 0;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	for (uint32 i = 0; i < CkpxShared->npins; i++)
	{
		const CkpxPin *pin = &CkpxShared->pins[i];

		if (pin->expires_at == 0 || pin->expires_at > now)
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
run_round(const GcRules *rules)
{
	GcPlan		plan;
	uint32		count;

	if (!rules->dry_run)
		forget_the_old();
	make_plan(&plan, rules);
	count = plan.nvictims - plan.nremoved[CKPX_KIND_SEGMENT];
	if (rules->dry_run || plan.nvictims == 0)
		return count;

	PG_TRY();
	{
		carry_out(&plan);
	}
	PG_CATCH();
	{
		end_removing();
		/* Memory may have forgotten already what the folder still has. */
		ckpx_job_want_sweep();
		PG_RE_THROW();
	}
	PG_END_TRY();
	pfree(plan.victims);
	return count;
}

/*-------------------------------------------------------------------------
 * The caps
 *-------------------------------------------------------------------------
 */

/*
 * Is a cap reached?  Entries count as too many while there is room yet for
 * what has to be inserted to get rid of them.
 */
static bool
is_under_pressure(const char **cap)
{
	const CkpxEntryStore *store = CkpxShared->store;
	uint32		nentries;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	nentries = store->nentries;
	LWLockRelease(CkpxShared->lock);

	*cap = "ckpx.max_entries";
	if (nentries + store->max_entries / 10 >= store->max_entries)
		return true;
	*cap = "ckpx.max_directory_size";
	return ckpx_max_directory_size > 0 &&
		ckpx_directory_bytes() > (uint64) ckpx_max_directory_size * 1024;
}

/* The oldest epoch with entries that is not older than 'epoch'; 0: none. */
static uint32
next_kept_epoch(uint32 epoch)
{
	const CkpxEntryStore *store = CkpxShared->store;
	uint32		found = 0;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	for (uint32 i = 0; i < store->nentries && found == 0; i++)
	{
		if (store->entries[i].epoch >= epoch)
			found = store->entries[i].epoch;
	}
	LWLockRelease(CkpxShared->lock);
	return found;
}

/*
 * Tell the runner whether room can still be made; and, once, the log that it
 * cannot: what is left is needed or pinned.
 */
static void
note_stuck(bool stuck, const char *cap)
{
	uint32		npins;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	CkpxShared->gc_stuck = stuck;
	npins = CkpxShared->npins;
	LWLockRelease(CkpxShared->lock);

	if (!stuck || stuck_logged)
		return;
	stuck_logged = true;
	ereport(WARNING,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("ckpx cannot keep to %s: nothing more can be removed", cap),
			 errdetail_plural("%u pin holds checkpoints.",
							  "%u pins hold checkpoints.", npins, npins),
			 errhint("Remove pins, or raise %s.", cap)));
}

/*
 * Make room: first what is covered whatever its age; then, with a global that
 * covers the rest, that too; then what waits for its command; and last what
 * lies before a gap, the oldest first.  What is pinned stays.
 */
static void
relieve_pressure(void)
{
	GcRules		rules = {0};
	const char *cap;
	bool		stuck = is_under_pressure(&cap);

	if (stuck && !pressure_logged)
	{
		pressure_logged = true;
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("ckpx reaches %s and removes what it can do without before its time",
						cap),
				 errhint("Consider raising %s, or lowering ckpx.gc_keep_time.",
						 cap)));
		LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
		CkpxShared->stat.caps_reached++;
		LWLockRelease(CkpxShared->lock);
	}

	if (stuck)
	{
		rules.ignore_age = true;
		(void) run_round(&rules);
		stuck = is_under_pressure(&cap);
	}
	if (stuck && ckpx_global_force())
	{
		/* When it is finished, this is called again. */
		note_stuck(false, NULL);
		return;
	}
	if (stuck)
	{
		rules.ignore_commands = true;
		(void) run_round(&rules);
		stuck = is_under_pressure(&cap);
	}
	while (stuck &&
		   (rules.closed_upto = next_kept_epoch(rules.closed_upto + 1)) != 0)
	{
		(void) run_round(&rules);
		stuck = is_under_pressure(&cap);
	}

	if (!stuck)
		pressure_logged = stuck_logged = false;
	note_stuck(stuck, cap);
}

/*-------------------------------------------------------------------------
 * The job
 *-------------------------------------------------------------------------
 */

static void
note_failure(const ErrorData *error)
{
	failures++;
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	CkpxShared->stat.jobs_failed++;
	LWLockRelease(CkpxShared->lock);
	if (failures == 1)
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("ckpx garbage collection failed: %s",
						error->message),
				 errdetail("It will be tried again.")));
	ckpx_worker_note(CKPX_WORKER_CHECKPOINTER, error->message);
}

/*
 * Run 'work' in the job that has begun, and end it; false, with *error, when
 * the surroundings failed.
 */
static bool
guarded(void (*work) (void *arg), void *arg, ErrorData **error)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool ok = true;

	ckpx_worker_report(CKPX_WORKER_CHECKPOINTER, CKPX_WORKER_BUSY, "gc");
	ckpx_progress_begin(CKPX_JOB_GC);
	PG_TRY();
	{
		work(arg);
	}
	PG_CATCH();
	{
		*error = ckpx_job_catch(context);
		if (!ckpx_error_is_external(*error))
			ReThrowError(*error);
		ok = false;
	}
	PG_END_TRY();
	ckpx_job_end();
	return ok;
}

static void
work_request(void *arg)
{
	CkpxRequest *request = arg;
	GcRules		rules = {0};

	rules.upto = request->lsn;
	rules.dry_run = request->dry_run;
	rules.ignore_age = true;
	request->count = run_round(&rules);
}

static void
serve_requests(void)
{
	CkpxRequest request;

	while (ckpx_request_take(CKPX_REQUEST_GC, &request))
	{
		ErrorData  *error = NULL;

		if (!ckpx_job_begin(false))
		{
			if (ckpx_request_put_back(&request, false))
				break;
			continue;
		}
		request.state = CKPX_REQUEST_DONE;
		request.count = 0;
		if (!guarded(work_request, &request, &error))
		{
			note_failure(error);
			request.state = CKPX_REQUEST_FAILED;
			request.sqlerrcode = error->sqlerrcode;
			strlcpy(request.text, error->message, sizeof(request.text));
		}
		ckpx_request_answer(&request);
	}
}

static void
work_round(void *arg)
{
	GcRules		rules = {0};

	(void) run_round(&rules);
	relieve_pressure();
}

/*
 * Is a round due: by time, by a ticket, because a global has finished, or
 * because a manifest was written and a cap may be reached?
 */
static bool
is_due(const CkpxGcTicket *tickets, uint32 ntickets, uint64 now)
{
	const CkpxEntry *global;
	XLogRecPtr	global_end = InvalidXLogRecPtr;
	uint64		sequence;
	bool		due = now >= next_round_ms;
	const char *cap;

	for (uint32 i = 0; i < ntickets; i++)
	{
		if (!tickets[i].forced)
			due = true;
	}

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	global = ckpx_entry_store_newest(CkpxShared->store, CKPX_KIND_GLOBAL,
									 true);
	if (global != NULL)
		global_end = global->end_lsn;
	sequence = CkpxShared->manifest_sequence;
	LWLockRelease(CkpxShared->lock);

	if (global_end != last_global_end)
		due = true;
	if (!due && failures == 0 && sequence != last_sequence)
		due = is_under_pressure(&cap);
	last_global_end = global_end;
	return due;
}

static void
due_round(uint64 now)
{
	ErrorData  *error = NULL;

	/* Not while the history is being loaded: then as soon as it is. */
	next_round_ms = 0;
	if (!ckpx_job_begin(false))
		return;

	next_round_ms = now + CKPX_GC_ROUND_MS;
	if (guarded(work_round, NULL, &error))
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
	CkpxGcTicket tickets[CKPX_QUEUE_BATCH];
	uint32		ntickets;
	uint64		now = ckpx_clock_ms();

	ntickets = ckpx_dequeue(CKPX_QUEUE_GC, tickets, CKPX_QUEUE_BATCH);
	serve_requests();

	if (is_due(tickets, ntickets, now))
		due_round(now);
	ckpx_dequeue_done(CKPX_QUEUE_GC, ntickets);

	if (next_round_ms > now)
		*wait_ms = Min(*wait_ms, (long) (next_round_ms - now));
}
