/*-------------------------------------------------------------------------
 *
 * progress.h
 *		How far the jobs of the ckpx checkpointer, and calls of sessions, are:
 *		what the view ckpx_progress shows beside flush passes.
 *
 * A job says that it begins, which phase it is in and how much of that is
 * done.  A global goes on between other jobs, so each kind of job has a place
 * of its own, and one of them is the present one: the last that began or went
 * on.  Code that several jobs share reports for that one, and for nobody
 * where none is at work.
 *
 * Only the checkpointer calls ckpx_progress_...(), any session
 * ckpx_call_...(), without CkpxShared->lock, which they take.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_PROGRESS_H
#define CKPX_PROGRESS_H

#include "postgres.h"

#include "utils/timestamp.h"

typedef enum CkpxJobKind
{
	CKPX_JOB_INCREMENTAL = 0,
	CKPX_JOB_GLOBAL,
	CKPX_JOB_BACKUP,
	CKPX_JOB_SPILL,
	CKPX_JOB_GC,
	CKPX_NJOBS,

	/* of sessions */
	CKPX_JOB_LIST_FILES = CKPX_NJOBS,
	CKPX_JOB_READ_FILES
} CkpxJobKind;

typedef enum CkpxJobPhase
{
	CKPX_JOB_PHASE_START = 0,	/* counts nothing */
	CKPX_JOB_PHASE_COLLECT,		/* segments */
	CKPX_JOB_PHASE_OPEN,		/* objects to be merged */
	CKPX_JOB_PHASE_MERGE,		/* relation forks of all of these */
	CKPX_JOB_PHASE_WRITE,		/* relation forks */
	CKPX_JOB_PHASE_PUBLISH,		/* entries to be added or removed at once */
	CKPX_JOB_PHASE_REMOVE,		/* files */
	CKPX_JOB_PHASE_MAP,			/* counts nothing */
	CKPX_JOB_PHASE_LIST,		/* files; the total is not known */
	CKPX_JOB_PHASE_READ			/* files */
} CkpxJobPhase;

typedef struct CkpxJobProgress
{
	TimestampTz started_at;		/* 0: not at work */
	CkpxJobPhase phase;
	uint64		done;
	uint64		total;
} CkpxJobProgress;

/* Begin a job, or go on with one that has begun. */
extern void ckpx_progress_begin(CkpxJobKind job);

/* The job is over; no harm where it had not begun. */
extern void ckpx_progress_end(CkpxJobKind job);

/* The present job, unless it goes on later, is over. */
extern void ckpx_progress_leave(void);

/* The present job enters a phase; so much of it is done. */
extern void ckpx_progress_phase(CkpxJobPhase phase, uint64 total);
extern void ckpx_progress_done(uint64 done);

/*
 * A call of a session begins: its row stays until _end, or until 'context' is
 * reset, which an error does.  Where too many calls have rows it has none.
 */
#define CKPX_MAX_CALLS		64

typedef struct CkpxCallProgress
{
	int			pid;			/* 0: this place is free */
	CkpxJobKind job;
	CkpxJobProgress progress;
} CkpxCallProgress;

typedef struct CkpxCall CkpxCall;

extern CkpxCall *ckpx_call_begin(MemoryContext context, CkpxJobKind job);
extern void ckpx_call_phase(CkpxCall *call, CkpxJobPhase phase, uint64 total);
extern void ckpx_call_done(CkpxCall *call, uint64 done);
extern void ckpx_call_end(CkpxCall *call);

extern const char *ckpx_job_name(CkpxJobKind job);
extern const char *ckpx_job_phase_name(CkpxJobPhase phase);

#endif							/* CKPX_PROGRESS_H */
