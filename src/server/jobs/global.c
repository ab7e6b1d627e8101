/*-------------------------------------------------------------------------
 *
 * global.c
 *		Globals: the life of the job that makes one.
 *
 * Each step merges for a few dozen milliseconds and returns, and whatever
 * else is due (an incremental, a spill, a manifest) runs before the next one.
 *
 * What an error of any job leaves behind is cleaned up by closing all files
 * of the process, those of a global in work among them.  Then what it had
 * written is removed and it is begun anew.
 *
 * The entry is PENDING for a moment only, when it is inserted and after a
 * crash. Who dies in the middle leaves a RUNNING entry, which the next
 * process finds and sets back, and files that no manifest names, which it
 * removes.  Published is in the same order as an incremental: object,
 * manifest, memory, tickets.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "server/base/announce.h"
#include "server/base/fault.h"
#include "server/base/options.h"
#include "server/base/worker_status.h"
#include "server/jobs/global_internal.h"
#include "server/jobs/job.h"
#include "server/store/publish.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* How long one step merges. */
#define SLICE_MS				50

/* The global in work, or NULL. */
static CkpxGlobalJob *current_job = NULL;

/*
 * Remove what the job has written of its object so far.  A part that was
 * renamed in an attempt whose manifest failed may be named by that manifest:
 * then it stays, and the next attempt writes it anew.
 */
static void
remove_files(const CkpxGlobalJob *job)
{
	const CkpxEntry *entry = &job->entry;
	char		name[CKPX_NAME_MAX];

	ckpx_object_name(name, entry->kind, entry->epoch, entry->timeline,
					 entry->start_lsn, entry->end_lsn, job->part);
	ckpx_temporary_name(name);
	ckpx_remove_file_quietly(name);

	if (job->phase == CKPX_PHASE_PUBLISH ||
		entry->failed_phase == CKPX_PHASE_PUBLISH)
		return;
	for (uint32 part = 0; part <= job->part; part++)
	{
		ckpx_object_name(name, entry->kind, entry->epoch, entry->timeline,
						 entry->start_lsn, entry->end_lsn, part);
		ckpx_remove_file_quietly(name);
	}
}

static void
forget_job(void)
{
	CkpxGlobalJob *job = current_job;

	if (job == NULL)
		return;
	current_job = NULL;
	ckpx_progress_end(CKPX_JOB_GLOBAL);
	remove_files(job);
	MemoryContextDelete(job->context);
}

/* The same while its files are still open. */
static void
drop_job(void)
{
	CkpxGlobalJob *job = current_job;

	for (uint32 i = 0; i < job->ninputs; i++)
	{
		if (job->inputs[i].file != NULL)
			ckpx_object_file_close(job->inputs[i].file);
	}
	ckpx_output_abort(job->output);
	forget_job();
}

static void
begin_global(CkpxGlobalJob *job)
{
	job->phase = CKPX_PHASE_COLLECT;
	CKPX_FAULT("global-start");
	ckpx_global_open_inputs(job);
	ckpx_global_prepare_header(job);

	job->phase = CKPX_PHASE_WRITE;
	job->entry.version = CKPX_OBJECT_VERSION;
	job->entry.nrelations = 0;
	job->entry.nblocks = 0;
	job->entry.undurable = 0;
	job->entry.size_bytes = 0;
	ckpx_global_begin_part(job);
	ckpx_progress_phase(CKPX_JOB_PHASE_MERGE, job->nrelations);
}

/*
 * The object is whole: publish it.
 */
static void
finish_global(CkpxGlobalJob *job)
{
	CkpxEntry  *entry = &job->entry;
	CkpxEntry  *shared_entry;

	ckpx_layer_merge_finish(&job->merge);
	ckpx_global_end_part(job, true);
	entry->nparts = job->part + 1;
	entry->nrelations = job->merge.nrelations;
	entry->tombstones_from = job->merge.tombstones_from;

	job->phase = CKPX_PHASE_PUBLISH;
	ckpx_progress_phase(CKPX_JOB_PHASE_PUBLISH, 1);
	entry->state = CKPX_ENTRY_FINISHED;
	entry->finished_at = GetCurrentTimestamp();
	entry->write_ms = ckpx_age_ms(job->started_ms, ckpx_clock_ms());
	entry->pending_ms = Max(0, (job->started_at - entry->created_at) / 1000);
	entry->last_error[0] = '\0';
	entry->failed_phase = CKPX_PHASE_NONE;
	entry->post_pending = ckpx_post_command_is_set();
	ckpx_job_check(entry);
	ckpx_publish(entry);

	CKPX_FAULT("global-published");
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	shared_entry = ckpx_entry_store_find(CkpxShared->store, entry->kind,
										 entry->epoch, entry->start_lsn,
										 entry->end_lsn);
	if (shared_entry != NULL && shared_entry->state == CKPX_ENTRY_RUNNING)
	{
		/* A cancel that came after the last safe point came too late. */
		*shared_entry = *entry;
		shared_entry->cancelled = false;
		shared_entry->state = CKPX_ENTRY_RUNNING;
		(void) ckpx_entry_transition(shared_entry, CKPX_EVENT_FINISH);
	}
	CkpxShared->stat.globals_done++;
	ckpx_history_add_entry(&CkpxShared->history, entry);
	LWLockRelease(CkpxShared->lock);
	ConditionVariableBroadcast(&CkpxShared->progress);

	ckpx_job_log_finished(entry);
	ckpx_announce(entry, CKPX_CHECKPOINT_FINISHED);
}

/*
 * Go on for a while; true when the global is finished.
 */
static bool
run_slice(CkpxGlobalJob *job)
{
	uint64		until = ckpx_clock_ms() + SLICE_MS;

	ckpx_progress_begin(CKPX_JOB_GLOBAL);
	if (job->phase == CKPX_PHASE_NONE)
		begin_global(job);
	do
	{
		CKPX_FAULT("global-relation");
		ckpx_job_check(&job->entry);
		if (!ckpx_global_merge_relation(job))
		{
			finish_global(job);
			return true;
		}
	} while (ckpx_clock_ms() < until);
	return false;
}

static void
note_failure(const CkpxGlobalJob *job, const ErrorData *error)
{
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	CkpxShared->global_failed = job->attempt;
	strlcpy(CkpxShared->global_error, error->message, CKPX_ERROR_TEXT_MAX);
	LWLockRelease(CkpxShared->lock);

	/* This one tells who waits. */
	ckpx_job_note_failure(&job->ticket, job->phase, error);
}

/*
 * Make the job of a running entry.
 */
static void
create_job(const CkpxEntryTicket *ticket)
{
	MemoryContext context;
	CkpxGlobalJob *job;

	context = AllocSetContextCreate(TopMemoryContext, "ckpx global",
									ALLOCSET_DEFAULT_SIZES);
	job = MemoryContextAllocZero(context, sizeof(CkpxGlobalJob));
	job->context = context;
	job->ticket = *ticket;
	job->started_at = GetCurrentTimestamp();
	job->started_ms = ckpx_clock_ms();
	job->interval = (int64) ckpx_global_version_interval * 1000;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	job->attempt = ++CkpxShared->global_started;
	LWLockRelease(CkpxShared->lock);

	current_job = job;
	ckpx_job_at_catch(forget_job);
	if (!ckpx_job_copy_running(ticket, &job->entry))
		drop_job();
}

void
ckpx_global_step(long *wait_ms)
{
	MemoryContext context = CurrentMemoryContext;
	CkpxEntryTicket tickets[CKPX_QUEUE_BATCH];
	CkpxEntryTicket ticket;
	CkpxEntry	entry;
	uint32		ntickets;

	/* They only say that there may be something to do. */
	ntickets = ckpx_dequeue(CKPX_QUEUE_GLOBAL, tickets, CKPX_QUEUE_BATCH);
	ckpx_dequeue_done(CKPX_QUEUE_GLOBAL, ntickets);

	if (current_job == NULL && !ckpx_global_start_entry(&ticket, wait_ms))
		return;
	if (!ckpx_job_begin(true))
		return;

	/* The history may have been loaded anew, or a new epoch begun. */
	if (current_job == NULL)
		create_job(&ticket);
	else if (!ckpx_job_copy_running(&current_job->ticket, &entry))
		drop_job();
	if (current_job == NULL)
	{
		ckpx_job_end();
		return;
	}

	ckpx_worker_report(CKPX_WORKER_CHECKPOINTER, CKPX_WORKER_BUSY, "global");
	PG_TRY();
	{
		bool		done;

		MemoryContextSwitchTo(current_job->context);
		done = run_slice(current_job);
		MemoryContextSwitchTo(context);
		if (done)
			drop_job();
	}
	PG_CATCH();
	{
		CkpxGlobalJob failed;
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		failed = *current_job;
		error = ckpx_job_catch(context);
		if (error->sqlerrcode != ERRCODE_QUERY_CANCELED)
		{
			if (!ckpx_error_is_external(error))
				ReThrowError(error);
			note_failure(&failed, error);
		}
	}
	PG_END_TRY();
	ckpx_job_end();
	*wait_ms = 0;
}
