/*-------------------------------------------------------------------------
 *
 * incremental.c
 *		Incremental checkpoints: write one, publish it, finish its entry.
 *
 * A job owns its entry from START to FINISH.  It gathers the range's segments
 * into one tree, writes the object, publishes it and finishes the entry.
 *
 * After failures of the surroundings (a full disk, a damaged spilled segment)
 * the entry stays RUNNING with the error written on it, and is tried again
 * after a growing pause.  Anything else ends the process.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "miscadmin.h"
#include "server/base/fault.h"
#include "server/base/options.h"
#include "server/jobs/job.h"
#include "server/jobs/steps.h"
#include "server/store/publish.h"

/* One attempt at an incremental. */
typedef struct IncrementalJob
{
	CkpxEntry	entry;			/* a copy of the one in the store */
	CkpxPhase	phase;			/* where it stands */
} IncrementalJob;

/*
 * Mark the relations whose files may hold blocks that were not synced.
 */
static void
mark_undurable(CkpxDirtyTree *tree, const CkpxRelKey *keys, uint32 nkeys,
			   bool all_created)
{
	for (uint32 i = 0; i < nkeys; i++)
	{
		CkpxRelation *relation = ckpx_dirty_tree_find(tree, &keys[i]);

		if (relation != NULL)
			relation->flags |= CKPX_REL_UNDURABLE;
	}

	if (all_created)
	{
		uint32		nrelations;
		CkpxRelation **relations = ckpx_dirty_tree_sorted(tree, &nrelations);

		for (uint32 i = 0; i < nrelations; i++)
		{
			if (relations[i]->flags & CKPX_REL_CREATED)
				relations[i]->flags |= CKPX_REL_UNDURABLE;
		}
		pfree(relations);
	}
}

/*
 * Gather the map of the entry's range and write its object.
 */
static void
write_incremental(IncrementalJob *job)
{
	CkpxEntry  *entry = &job->entry;
	CkpxDirtyTree *tree = ckpx_dirty_tree_create(CurrentMemoryContext);
	CkpxOpenXact *open_xacts = palloc(sizeof(CkpxOpenXact) * CKPX_JOB_LIST);
	CkpxRelKey *undurable = palloc(sizeof(CkpxRelKey) * CKPX_JOB_LIST);
	uint32		nopen;
	uint32		nundurable;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	entry->open_xacts = CkpxShared->nopen_xacts;
	nopen = Min(entry->open_xacts, CKPX_JOB_LIST);
	memcpy(open_xacts, CkpxShared->open_xacts, sizeof(CkpxOpenXact) * nopen);
	nundurable = CkpxShared->nundurable;
	memcpy(undurable, CkpxShared->undurable,
		   sizeof(CkpxRelKey) * Min(nundurable, CKPX_JOB_LIST));
	LWLockRelease(CkpxShared->lock);

	ckpx_job_gather(tree, &entry->range);
	mark_undurable(tree, undurable, Min(nundurable, CKPX_JOB_LIST),
				   nundurable > CKPX_JOB_LIST);

	job->phase = CKPX_PHASE_WRITE;
	ckpx_job_write(entry, tree, open_xacts, nopen, "object");
}

/*
 * Forget the spilled segments that the incremental covers.  Their WAL may go,
 * as far as the manifests say: the runner hears where that ends.
 */
static bool
forget_segments(const CkpxEntry *incremental)
{
	CkpxEntryStore *store = CkpxShared->store;
	bool		any = false;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	for (uint32 i = 0; i < store->nentries;)
	{
		CkpxEntrySpan span = ckpx_entry_store_span(store, i);

		if (span.kind == CKPX_KIND_SEGMENT &&
			span.epoch == incremental->range.epoch &&
			span.end_lsn <= incremental->range.end_lsn &&
			ckpx_entry_store_remove(store, ckpx_entry_store_at(store, i)))
			any = true;
		else
			i++;
	}
	LWLockRelease(CkpxShared->lock);

	/*
	 * A refused ticket is no loss: the runner moves the slot to the newest
	 * release point whenever it looks.
	 */
	(void) ckpx_enqueue(CKPX_QUEUE_WAIT, NULL);
	return any;
}

/*
 * Write, publish and finish one incremental; the work of ckpx_job_run().
 */
static void
run_incremental(void *arg)
{
	IncrementalJob *job = arg;
	CkpxEntry  *entry = &job->entry;
	uint64		started_ms = ckpx_clock_ms();
	bool		had_segments;

	job->phase = CKPX_PHASE_COLLECT;
	ckpx_progress_begin(CKPX_JOB_INCREMENTAL);
	CKPX_FAULT("job-start");
	write_incremental(job);

	job->phase = CKPX_PHASE_PUBLISH;
	ckpx_job_publish(entry, started_ms,
					 ckpx_age_ms(entry->range.clock_ms, started_ms));
	CKPX_FAULT("job-published");
	ckpx_job_finish(entry);
	had_segments = forget_segments(entry);
	ckpx_wake_worker(CKPX_WORKER_RUNNER);

	/* Perhaps it is time for a global: whether it is, is looked at then. */
	(void) ckpx_enqueue(CKPX_QUEUE_GLOBAL, NULL);

	if (had_segments)
		ckpx_sweep();
}

static void
job_incremental(const CkpxEntryTicket *ticket)
{
	IncrementalJob *job = palloc0(sizeof(IncrementalJob));

	if (!ckpx_job_begin(true))
		return;
	if (ckpx_job_copy_running(ticket, &job->entry))
	{
		ErrorData  *error = ckpx_job_run("incremental", run_incremental, job);

		if (error != NULL && error->sqlerrcode != ERRCODE_QUERY_CANCELED)
			ckpx_job_note_failure(ticket, job->phase, error);
	}
	ckpx_job_end();
}

/*
 * Find the unfinished incremental, if it is time to try it.
 */
static bool
due_entry(CkpxEntryTicket *ticket, long *wait_ms)
{
	const CkpxEntry *entry;
	bool		due;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	entry = ckpx_entry_store_newest(CkpxShared->store, CKPX_KIND_INCREMENTAL,
									false);
	due = ckpx_enabled && !CkpxShared->disabled &&
		ckpx_job_is_due(entry, ticket, wait_ms);
	LWLockRelease(CkpxShared->lock);
	return due;
}

void
ckpx_incremental_step(long *wait_ms)
{
	CkpxEntryTicket ticket;
	uint32		ntickets;

	ntickets = ckpx_dequeue(CKPX_QUEUE_INCREMENTAL, NULL, CKPX_QUEUE_BATCH);
	if (due_entry(&ticket, wait_ms))
	{
		job_incremental(&ticket);
		*wait_ms = 0;
	}
	ckpx_dequeue_done(CKPX_QUEUE_INCREMENTAL, ntickets);
}
