/*-------------------------------------------------------------------------
 *
 * global.c
 *		Globals: the life of the job that makes one.
 *
 *	global.c		steps, publishing, failure
 *	global_entry.c	which range the next global covers, and when
 *	global_merge.c	inputs, merge and object
 *
 * Each step merges for a few dozen milliseconds and returns, and whatever
 * else is due (an incremental, a spill, a manifest) runs before the next one.
 *
 * What an error of any job leaves behind is cleaned up by closing all files
 * of the process, those of a global in work among them.  Then a sweep removes
 * what it had written, and it is begun anew.
 *
 * The entry is PENDING for a moment only, when it is inserted and after a
 * crash.  A process that dies in the middle leaves a RUNNING entry, which the
 * next one finds and sets back, and files that no manifest names, which it
 * removes.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "server/base/fault.h"
#include "server/base/options.h"
#include "server/jobs/global_entry.h"
#include "server/jobs/global_merge.h"
#include "server/jobs/job.h"
#include "server/jobs/steps.h"
#include "server/store/publish.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* How long one step merges. */
#define SLICE_MS				50

typedef struct GlobalJob
{
	MemoryContext context;		/* of the merge; NULL: no global is in work */
	CkpxEntryTicket ticket;
	uint64		attempt;
	CkpxPhase	phase;
	TimestampTz started_at;
	uint64		started_ms;		/* the same by the monotonic clock */
	CkpxGlobalMerge merge;
} GlobalJob;

/* The global in work; what is said of the last attempt stays. */
static GlobalJob job;

static void
drop_job(bool closed)
{
	MemoryContext context = job.context;

	if (context == NULL)
		return;
	job.context = NULL;
	ckpx_sweep_spare_global(false);
	ckpx_progress_end(CKPX_JOB_GLOBAL);
	ckpx_global_merge_drop(&job.merge, closed);
	MemoryContextDelete(context);
}

/* An error of a job has closed all files. */
static void
forget_job(void)
{
	drop_job(true);
}

/*
 * The object is whole: publish it.
 */
static void
finish_global(void)
{
	CkpxEntry  *entry = &job.merge.entry;

	ckpx_global_merge_end(&job.merge);
	job.phase = CKPX_PHASE_PUBLISH;
	ckpx_job_publish(entry, job.started_ms,
					 Max(0, (job.started_at -
							 entry->range.created_at) / 1000));
	CKPX_FAULT("global-published");
	ckpx_job_finish(entry);
}

/*
 * Go on for a while; the work of ckpx_job_run().
 */
static void
run_slice(void *arg)
{
	MemoryContext old = MemoryContextSwitchTo(job.context);
	uint64		until = ckpx_clock_ms() + SLICE_MS;
	bool		more;

	ckpx_progress_begin(CKPX_JOB_GLOBAL);
	if (job.phase == CKPX_PHASE_NONE)
	{
		job.phase = CKPX_PHASE_COLLECT;
		CKPX_FAULT("global-start");
		ckpx_global_merge_begin(&job.merge);
		job.phase = CKPX_PHASE_WRITE;
	}
	do
	{
		CKPX_FAULT("global-relation");
		ckpx_job_check(&job.merge.entry);
		more = ckpx_global_merge_relation(&job.merge);
	} while (more && ckpx_clock_ms() < until);

	if (!more)
		finish_global();
	MemoryContextSwitchTo(old);
	if (!more)
		drop_job(false);
}

static void
note_failure(const ErrorData *error)
{
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	CkpxShared->global_failed = job.attempt;
	strlcpy(CkpxShared->global_error, error->message, CKPX_ERROR_TEXT_MAX);
	LWLockRelease(CkpxShared->lock);

	/* This one wakes those that wait. */
	ckpx_job_note_failure(&job.ticket, job.phase, error);
}

/*
 * Make the job of a running entry; false where it is not there any more.
 */
static bool
create_job(const CkpxEntryTicket *ticket)
{
	memset(&job, 0, sizeof(job));
	job.ticket = *ticket;
	job.started_at = GetCurrentTimestamp();
	job.started_ms = ckpx_clock_ms();

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	job.attempt = ++CkpxShared->global_started;
	LWLockRelease(CkpxShared->lock);

	if (!ckpx_job_copy_running(ticket, &job.merge.entry))
		return false;
	job.context = AllocSetContextCreate(TopMemoryContext, "ckpx global",
										ALLOCSET_DEFAULT_SIZES);
	ckpx_job_at_catch(forget_job);
	ckpx_sweep_spare_global(true);
	return true;
}

void
ckpx_global_step(long *wait_ms)
{
	CkpxEntryTicket ticket;
	CkpxEntry	entry;
	uint32		ntickets;
	bool		ready;

	ntickets = ckpx_dequeue(CKPX_QUEUE_GLOBAL, NULL, CKPX_QUEUE_BATCH);
	ckpx_dequeue_done(CKPX_QUEUE_GLOBAL, ntickets);

	if (job.context == NULL && !ckpx_global_start_entry(&ticket, wait_ms))
		return;
	if (!ckpx_job_begin(true))
		return;

	if (job.context == NULL)
		ready = create_job(&ticket);
	else
	{
		/* The history may have been loaded anew, or a new epoch begun. */
		ready = ckpx_job_copy_running(&job.ticket, &entry);
		if (!ready)
		{
			drop_job(false);
			ckpx_sweep_want();
		}
	}
	if (ready)
	{
		ErrorData  *error = ckpx_job_run("global", run_slice, NULL);

		if (error != NULL && error->sqlerrcode != ERRCODE_QUERY_CANCELED)
			note_failure(error);
		*wait_ms = 0;
	}
	ckpx_job_end();
}
