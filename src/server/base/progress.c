/*-------------------------------------------------------------------------
 *
 * progress.c
 *		How far the jobs of the ckpx checkpointer, and calls of sessions, are.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "server/base/progress.h"
#include "miscadmin.h"
#include "server/base/shared_state.h"
#include "utils/memutils.h"

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

struct CkpxCall
{
	CkpxCallProgress *place;	/* in shared memory; NULL: none */
	MemoryContextCallback callback;
};

static void
forget_call(void *arg)
{
	ckpx_call_end(arg);
}

CkpxCall *
ckpx_call_begin(MemoryContext context, CkpxJobKind job)
{
	CkpxCall   *call = MemoryContextAllocZero(context, sizeof(CkpxCall));
	TimestampTz now = GetCurrentTimestamp();

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < CKPX_MAX_CALLS && call->place == NULL; i++)
	{
		CkpxCallProgress *place = &CkpxShared->calls[i];

		if (place->pid != 0)
			continue;
		memset(place, 0, sizeof(*place));
		place->pid = MyProcPid;
		place->job = job;
		place->progress.started_at = now;
		call->place = place;
	}
	LWLockRelease(CkpxShared->lock);

	call->callback.func = forget_call;
	call->callback.arg = call;
	MemoryContextRegisterResetCallback(context, &call->callback);
	return call;
}

void
ckpx_call_phase(CkpxCall *call, CkpxJobPhase phase, uint64 total)
{
	if (call->place == NULL)
		return;
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	call->place->progress.phase = phase;
	call->place->progress.done = 0;
	call->place->progress.total = total;
	LWLockRelease(CkpxShared->lock);
}

void
ckpx_call_done(CkpxCall *call, uint64 done)
{
	/* Only this process writes it, so it can be read without the lock. */
	if (call->place == NULL ||
		(done < call->place->progress.done + REPORT_EVERY &&
		 done != call->place->progress.total))
		return;
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	call->place->progress.done = done;
	LWLockRelease(CkpxShared->lock);
}

void
ckpx_call_end(CkpxCall *call)
{
	if (call->place == NULL)
		return;
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	call->place->pid = 0;
	LWLockRelease(CkpxShared->lock);
	call->place = NULL;
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
		case CKPX_JOB_LIST_FILES:
			return "list files";
		case CKPX_JOB_READ_FILES:
			return "read files";
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
		case CKPX_JOB_PHASE_MAP:
			return "reading the map";
		case CKPX_JOB_PHASE_LIST:
			return "listing files";
		case CKPX_JOB_PHASE_READ:
			return "reading files";
	}
	return "unknown";
}
