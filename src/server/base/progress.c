/*-------------------------------------------------------------------------
 *
 * progress.c
 *		How far the jobs of the ckpx checkpointer are.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "server/base/progress.h"
#include "server/base/shared_state.h"

/* The lock is not worth taking for every single relation. */
#define REPORT_EVERY		64

/* The present job; CKPX_NJOBS: none. */
static CkpxJobKind present_job = CKPX_NJOBS;

void
ckpx_progress_begin(CkpxJobKind job)
{
	CkpxJobProgress *progress = &CkpxShared->jobs[job];
	TimestampTz now = GetCurrentTimestamp();

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	if (progress->started_at == 0)
	{
		memset(progress, 0, sizeof(*progress));
		progress->started_at = now;
	}
	LWLockRelease(CkpxShared->lock);
	present_job = job;
}

void
ckpx_progress_end(CkpxJobKind job)
{
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	CkpxShared->jobs[job].started_at = 0;
	LWLockRelease(CkpxShared->lock);
	if (present_job == job)
		present_job = CKPX_NJOBS;
}

void
ckpx_progress_leave(void)
{
	if (present_job != CKPX_NJOBS && present_job != CKPX_JOB_GLOBAL)
		ckpx_progress_end(present_job);
	present_job = CKPX_NJOBS;
}

void
ckpx_progress_phase(CkpxJobPhase phase, uint64 total)
{
	CkpxJobProgress *progress;

	if (present_job == CKPX_NJOBS)
		return;
	progress = &CkpxShared->jobs[present_job];
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	progress->phase = phase;
	progress->done = 0;
	progress->total = total;
	LWLockRelease(CkpxShared->lock);
}

void
ckpx_progress_done(uint64 done)
{
	CkpxJobProgress *progress;

	if (present_job == CKPX_NJOBS)
		return;
	progress = &CkpxShared->jobs[present_job];

	/* Nobody else writes it, so it can be read without the lock. */
	if (done < progress->done + REPORT_EVERY && done != progress->total)
		return;
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	progress->done = done;
	LWLockRelease(CkpxShared->lock);
}

const char *
ckpx_job_name(CkpxJobKind job)
{
	switch (job)
	{
		case CKPX_JOB_INCREMENTAL:
			return "incremental";
		case CKPX_JOB_GLOBAL:
			return "global";
		case CKPX_JOB_BACKUP:
			return "backup";
		case CKPX_JOB_SPILL:
			return "spill";
		case CKPX_JOB_GC:
			return "gc";
		case CKPX_NJOBS:
			break;
	}
	return "unknown";
}

const char *
ckpx_job_phase_name(CkpxJobPhase phase)
{
	switch (phase)
	{
		case CKPX_JOB_PHASE_START:
			return "starting";
		case CKPX_JOB_PHASE_COLLECT:
			return "collecting segments";
		case CKPX_JOB_PHASE_OPEN:
			return "opening objects";
		case CKPX_JOB_PHASE_MERGE:
			return "merging relations";
		case CKPX_JOB_PHASE_WRITE:
			return "writing relations";
		case CKPX_JOB_PHASE_PUBLISH:
			return "publishing";
		case CKPX_JOB_PHASE_REMOVE:
			return "removing files";
	}
	return "unknown";
}
