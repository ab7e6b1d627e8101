/*-------------------------------------------------------------------------
 *
 * job.c
 *		What the jobs of the ckpx checkpointer have in common: when one may
 *		begin, what follows an error, the segments of a range as a tree, a tree
 *		as an object, and the end of an entry, good or bad.
 *
 * The segments of a range cannot vanish under its job: the runner trims only
 * what a finished incremental covers.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "miscadmin.h"
#include "server/base/announce.h"
#include "server/base/options.h"
#include "server/base/request.h"
#include "server/base/worker_status.h"
#include "server/jobs/job.h"
#include "server/logtail/logtail.h"
#include "server/store/object_file.h"
#include "server/store/object_output.h"
#include "server/store/publish.h"
#include "utils/timestamp.h"

/* What ckpx_job_at_catch() was told. */
static void (*forget_after_error) (void) = NULL;

/*
 * Begin a job; false where none may begin now.
 *
 * The runner waits for job_running to be false before it loads history, and
 * sets 'booted' back before it looks; ckpx_disable() and ckpx_uninstall() set
 * their flags before they look.  So each of them sees either the job, or a job
 * that will not begin.
 */
bool
ckpx_job_begin(bool checkpoint)
{
	bool		ok;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	ok = CkpxShared->booted && !CkpxShared->uninstalled &&
		!(checkpoint && (CkpxShared->disabled || !ckpx_enabled));
	CkpxShared->job_running = ok;
	LWLockRelease(CkpxShared->lock);
	return ok;
}

/*
 * End the job that has begun.
 */
void
ckpx_job_end(void)
{
	ckpx_progress_leave();
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	CkpxShared->job_running = false;
	LWLockRelease(CkpxShared->lock);
	ConditionVariableBroadcast(&CkpxShared->progress);
}

/*
 * Take the next request of a kind whose job can begin, and begin it.
 */
bool
ckpx_job_take(CkpxRequestKind kind, bool checkpoint, CkpxRequest *request)
{
	while (ckpx_request_take(kind, request))
	{
		if (ckpx_job_begin(checkpoint))
			return true;
		if (ckpx_request_put_back(request, checkpoint))
			return false;
	}
	return false;
}

/*
 * Have 'forget' called after each error of a job.
 */
void
ckpx_job_at_catch(void (*forget) (void))
{
	forget_after_error = forget;
}

/*
 * Call work(arg) in the job that has begun, and catch the errors after which
 * it makes sense to try again.
 */
ErrorData *
ckpx_job_run(const char *activity, CkpxJobWork work, void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ErrorData  *volatile error = NULL;

	if (activity != NULL)
		ckpx_worker_report(CKPX_WORKER_CHECKPOINTER, CKPX_WORKER_BUSY,
						   activity);
	PG_TRY();
	{
		work(arg);
	}
	PG_CATCH();
	{
		error = ckpx_worker_catch(context);
		if (forget_after_error != NULL)
			forget_after_error();

		/*
		 * Files that nothing names may be left: an object that has its name
		 * but no manifest, or what a manifest that has its name already
		 * replaces.  The job may never be tried again.
		 */
		ckpx_sweep_want();
		if (!ckpx_error_is_external(error) &&
			error->sqlerrcode != ERRCODE_QUERY_CANCELED)
			ReThrowError(error);
	}
	PG_END_TRY();
	return error;
}

/*
 * Count a failed job in ckpx_stat.
 */
void
ckpx_job_count_failure(void)
{
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	CkpxShared->stat.jobs_failed++;
	LWLockRelease(CkpxShared->lock);
}

/*
 * Raise an error where the job of 'entry' is to end.
 */
void
ckpx_job_check(const CkpxEntry *entry)
{
	const CkpxEntry *found;
	bool		cancelled;

	CHECK_FOR_INTERRUPTS();

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	found = ckpx_shared_entry(entry);
	cancelled = CkpxShared->uninstalled ||
		(found != NULL && found->cancelled);
	LWLockRelease(CkpxShared->lock);

	if (cancelled)
		ereport(ERROR,
				(errcode(ERRCODE_QUERY_CANCELED),
				 errmsg("checkpoint was canceled")));
}

/*
 * Append the segments of a range to 'tree'.
 */
void
ckpx_job_gather(CkpxDirtyTree *tree, const CkpxRange *range)
{
	CkpxSegmentRef *refs;
	uint32		nrefs;
	XLogRecPtr	position = range->start_lsn;

	refs = ckpx_logtail_pin(range->start_lsn, range->end_lsn, &nrefs);
	ckpx_progress_phase(CKPX_JOB_PHASE_COLLECT, nrefs);
	PG_TRY();
	{
		for (uint32 i = 0; i < nrefs; i++)
		{
			const CkpxSegmentInfo *info = &refs[i].info;
			const char *problem;

			CHECK_FOR_INTERRUPTS();
			if (info->range.epoch != range->epoch ||
				info->range.start_lsn != position ||
				info->range.end_lsn > range->end_lsn)
				elog(ERROR, "logtail segment %X/%X-%X/%X of epoch %u does not continue at %X/%X",
					 LSN_FORMAT_ARGS(info->range.start_lsn),
					 LSN_FORMAT_ARGS(info->range.end_lsn), info->range.epoch,
					 LSN_FORMAT_ARGS(position));
			position = info->range.end_lsn;

			if (info->spilled)
			{
				CkpxEntry	entry;

				ckpx_segment_entry(&entry, info);
				(void) ckpx_object_merge(&entry, false, tree);
			}
			else if (!ckpx_dirty_tree_merge_bytes(tree, refs[i].bytes,
												  info->bytes, &problem))
				elog(ERROR, "logtail segment in memory is damaged: %s",
					 problem);
			ckpx_progress_done(i + 1);
		}
	}
	PG_FINALLY();
	{
		ckpx_logtail_unpin(refs, nrefs);
	}
	PG_END_TRY();

	if (position != range->end_lsn)
		elog(ERROR, "logtail ends at %X/%X before %X/%X",
			 LSN_FORMAT_ARGS(position), LSN_FORMAT_ARGS(range->end_lsn));
}

/*
 * Write 'tree' as the object of 'entry'.
 */
void
ckpx_job_write(CkpxEntry *entry, const CkpxDirtyTree *tree,
			   const CkpxOpenXact *open_xacts, uint32 nopen_xacts,
			   const char *what)
{
	CkpxObjectHeader header = {0};
	CkpxObjectOutput *output;
	CkpxRelation **relations;
	uint32		nrelations;

	header.nopen_xacts = nopen_xacts;
	header.open_xacts = unconstify(CkpxOpenXact *, open_xacts);
	header.marks = palloc(sizeof(CkpxMark) * CKPX_MAX_MARKS);
	header.nmarks = ckpx_logtail_marks(entry->range.start_lsn,
									   entry->range.end_lsn, header.marks,
									   CKPX_MAX_MARKS);
	relations = ckpx_dirty_tree_sorted(tree, &nrelations);
	ckpx_progress_phase(CKPX_JOB_PHASE_WRITE, nrelations);
	output = ckpx_object_output_begin(entry, &header, what);
	PG_TRY();
	{
		for (uint32 i = 0; i < nrelations; i++)
		{
			ckpx_object_output_add(output, relations[i], 0);
			ckpx_job_check(entry);
			ckpx_progress_done(i + 1);
		}
		ckpx_object_output_end(output, InvalidXLogRecPtr);
	}
	PG_CATCH();
	{
		ckpx_object_output_abort(output, false);
		PG_RE_THROW();
	}
	PG_END_TRY();
	pfree(relations);
	pfree(header.marks);
}

/*
 * Copy the entry that a ticket names, if it is there and RUNNING.
 */
bool
ckpx_job_copy_running(const CkpxEntryTicket *ticket, CkpxEntry *entry)
{
	const CkpxEntry *found;
	bool		ok;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	found = ckpx_ticket_entry(ticket);
	ok = found != NULL && found->state == CKPX_ENTRY_RUNNING;
	if (ok)
		*entry = *found;
	LWLockRelease(CkpxShared->lock);
	return ok;
}

/*
 * Is 'entry' running, and has the time come to try it?  Then *ticket is its
 * own; else *wait_ms is lowered to that time.  Caller holds the lock.
 */
bool
ckpx_job_is_due(const CkpxEntry *entry, CkpxEntryTicket *ticket,
				long *wait_ms)
{
	uint64		now = ckpx_clock_ms();

	if (entry == NULL || entry->state != CKPX_ENTRY_RUNNING)
		return false;
	if (entry->retry_clock_ms > now)
	{
		*wait_ms = Min(*wait_ms, (long) (entry->retry_clock_ms - now));
		return false;
	}
	*ticket = ckpx_entry_ticket(entry);
	return true;
}

/*
 * Complete the copy of a running entry and publish it.
 */
void
ckpx_job_publish(CkpxEntry *entry, uint64 started_ms, int64 pending_ms)
{
	ckpx_progress_phase(CKPX_JOB_PHASE_PUBLISH, 1);
	entry->finished_at = GetCurrentTimestamp();
	entry->write_ms = ckpx_age_ms(started_ms, ckpx_clock_ms());
	entry->pending_ms = pending_ms;
	entry->last_error[0] = '\0';
	entry->failed_phase = CKPX_PHASE_NONE;
	entry->waiting_for[0] = '\0';
	entry->post_pending = ckpx_post_command_is_set();
	ckpx_job_check(entry);
	(void) ckpx_entry_transition(entry, CKPX_EVENT_FINISH);
	ckpx_publish(entry);
}

/* Count a finished entry; caller holds the lock. */
static void
count_finished(const CkpxEntry *entry)
{
	CkpxStat   *stat = &CkpxShared->stat;
	uint32		bucket = ckpx_entry_pending_bucket(entry->pending_ms);

	if (entry->kind == CKPX_KIND_GLOBAL)
		stat->globals_done++;
	else if (entry->kind == CKPX_KIND_BACKUP)
		stat->backups_done++;
	else
	{
		stat->incrementals_done++;
		stat->pending_ms_total += entry->pending_ms;
		stat->pending_ms_max = Max(stat->pending_ms_max,
								   (uint64) entry->pending_ms);
		stat->pending_histogram[bucket]++;
		stat->write_ms_total += entry->write_ms;
	}
	ckpx_history_add_entry(&CkpxShared->history, entry);
}

static void
log_finished(const CkpxEntry *entry)
{
	char		text[CKPX_ENTRY_TEXT_MAX];

	ereport(ckpx_log_checkpoints ? LOG : DEBUG1,
			(errmsg("ckpx checkpoint complete: %s; %u relations, " UINT64_FORMAT " blocks, " UINT64_FORMAT " transactions; wrote " UINT64_FORMAT " bytes; pending=%.3f s, write=%.3f s; open transactions=%u, not durable=%u",
					ckpx_entry_text(entry, text), entry->nrelations,
					entry->nblocks, entry->range.nxacts, entry->size_bytes,
					entry->pending_ms / 1000.0, entry->write_ms / 1000.0,
					entry->open_xacts, entry->undurable),
			 errhidestmt(true), errhidecontext(true)));
}

/*
 * Finish the entry in memory as its published copy is.
 */
void
ckpx_job_finish(const CkpxEntry *entry)
{
	CkpxEntry  *shared;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	shared = ckpx_shared_entry(entry);

	/* A cancel that came after the last safe point came too late. */
	if (shared != NULL && ckpx_entry_transition(shared, CKPX_EVENT_FINISH))
		*shared = *entry;
	count_finished(entry);
	LWLockRelease(CkpxShared->lock);
	ConditionVariableBroadcast(&CkpxShared->progress);

	if (entry->kind != CKPX_KIND_BACKUP)
		log_finished(entry);
	ckpx_announce(entry, CKPX_CHECKPOINT_FINISHED);
}

/*
 * Write a failure on its entry.
 */
void
ckpx_job_note_failure(const CkpxEntryTicket *ticket, CkpxPhase phase,
					  const ErrorData *error)
{
	CkpxEntry  *entry;
	CkpxEntry	copy;
	bool		failed = false;
	bool		changed = false;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	entry = ckpx_ticket_entry(ticket);
	if (entry != NULL && ckpx_entry_transition(entry, CKPX_EVENT_FAIL))
	{
		changed = strncmp(entry->last_error, error->message,
						  CKPX_ERROR_TEXT_MAX - 1) != 0;
		entry->failed_phase = phase;
		entry->retry_clock_ms = ckpx_clock_ms() +
			ckpx_entry_backoff_ms(entry->attempts);
		strlcpy(entry->last_error, error->message, CKPX_ERROR_TEXT_MAX);
		copy = *entry;
		failed = true;
	}
	CkpxShared->stat.jobs_failed++;
	LWLockRelease(CkpxShared->lock);
	ConditionVariableBroadcast(&CkpxShared->progress);
	if (failed)
		ckpx_announce(&copy, CKPX_CHECKPOINT_FAILED);

	if (changed)
	{
		char		text[CKPX_ENTRY_TEXT_MAX];

		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("ckpx checkpoint failed in phase %s: %s",
						ckpx_phase_name(phase), error->message),
				 errdetail("%s; it will be tried again.",
						   ckpx_entry_text(&copy, text))));
	}
}
