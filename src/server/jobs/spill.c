/*-------------------------------------------------------------------------
 *
 * spill.c
 *		Spilling: segments of the logtail become objects on disk, so that the
 *		memory and the WAL they hold can go before their entry is finished.
 *
 * The runner asks by setting spill_request, when the logtail's memory is full
 * or too much WAL is held.  Each segment is written and published on its own,
 * and stays readable all the while: only when its entry lies in the store
 * does ckpx_logtail_mark_spilled() let its memory go.  Dying before that
 * leaves the segment in memory as well, and its WAL unreleased or its object
 * named by the manifest, from which the next boot loads it.
 *
 * The objects of segments must continue each other, since a boot goes on only
 * where the chain does.  So they are written in order, and where one has
 * changed meanwhile, because the runner merged it, the rest has to wait.
 *
 * A cut that does not fit into the memory even where nothing else is in it
 * (a commit record can name more dropped files than any setting foresaw) never
 * becomes a segment in memory: the runner itself writes its object.  No
 * manifest names it yet, so nothing is released for it, and if we die it is
 * decoded again; but a sweep must leave it alone: its end is in the shared
 * state until its entry is.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "miscadmin.h"
#include "server/base/fault.h"
#include "server/base/request.h"
#include "server/base/worker_status.h"
#include "server/jobs/job.h"
#include "server/jobs/spill.h"
#include "server/jobs/steps.h"
#include "server/store/object_output.h"
#include "server/store/publish.h"
#include "utils/timestamp.h"

/*
 * Write one segment of the logtail to disk and publish it; false where there
 * is no such segment any more.
 */
static bool
spill_segment(const CkpxSegmentInfo *info)
{
	CkpxDirtyTree *tree;
	CkpxEntry	entry;
	bool		full;

	/*
	 * The manifest that names the object lets WAL go, so there must be room
	 * for its entry before anything is written.  Only this process and, while
	 * no entry is pending, the runner insert entries: two places do.
	 */
	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	full = CkpxShared->store->nentries + 2 > CkpxShared->store->max_entries;
	LWLockRelease(CkpxShared->lock);
	if (full)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("no room for a logtail segment among \"ckpx.max_entries\" entries")));

	if (!ckpx_logtail_mark_spilling(&info->range, true))
		return false;
	tree = ckpx_dirty_tree_create(CurrentMemoryContext);
	ckpx_job_gather(tree, &info->range);
	ckpx_segment_entry(&entry, info);
	ckpx_job_write(&entry, tree, NULL, 0, "segment");
	ckpx_progress_phase(CKPX_JOB_PHASE_PUBLISH, 1);
	entry.finished_at = GetCurrentTimestamp();
	ckpx_publish(&entry);

	CKPX_FAULT("spill-published");
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	if (ckpx_entry_store_load(CkpxShared->store, &entry) != CKPX_STORE_OK)
	{
		LWLockRelease(CkpxShared->lock);
		elog(ERROR, "could not keep the entry of a spilled segment");
	}
	CkpxShared->stat.segments_spilled++;
	LWLockRelease(CkpxShared->lock);

	(void) ckpx_logtail_mark_spilled(&info->range, entry.nparts);
	ConditionVariableBroadcast(&CkpxShared->progress);

	(void) ckpx_enqueue(CKPX_QUEUE_WAIT, NULL);
	ereport(DEBUG1,
			(errmsg_internal("ckpx spilled logtail segment %X/%X-%X/%X",
							 LSN_FORMAT_ARGS(info->range.start_lsn),
							 LSN_FORMAT_ARGS(info->range.end_lsn))));
	return true;
}

/*
 * Write the segments that end at or before *arg, in order; the work of
 * ckpx_job_run().
 */
static void
spill_segments(void *arg)
{
	XLogRecPtr	upto = *(XLogRecPtr *) arg;
	CkpxSegmentInfo *infos;
	uint32		ninfos;

	ckpx_progress_begin(CKPX_JOB_SPILL);
	infos = ckpx_logtail_copy(&ninfos);
	for (uint32 i = 0; i < ninfos; i++)
	{
		if (infos[i].spilled)
			continue;
		if (infos[i].range.end_lsn > upto || !spill_segment(&infos[i]))
			break;
		CHECK_FOR_INTERRUPTS();
	}
}

/*
 * Note that no object of a segment is being written any more.
 */
void
ckpx_spill_forget(void)
{
	CkpxSegmentInfo *infos;
	uint32		ninfos;

	infos = ckpx_logtail_copy(&ninfos);
	for (uint32 i = 0; i < ninfos; i++)
	{
		if (infos[i].spilling)
			(void) ckpx_logtail_mark_spilling(&infos[i].range, false);
	}
	pfree(infos);
}

/*
 * Serve the runner's wish to have segments written out.  Whatever happens,
 * the request ends: the runner asks again if it still has no room.
 */
void
ckpx_spill_step(long *wait_ms)
{
	XLogRecPtr	upto;
	ErrorData  *error;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	upto = CkpxShared->spill_request;
	LWLockRelease(CkpxShared->lock);
	if (upto == InvalidXLogRecPtr || !ckpx_job_begin(false))
		return;

	error = ckpx_job_run("spill", spill_segments, &upto);
	if (error != NULL)
	{
		ckpx_spill_forget();
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("ckpx could not spill the logtail: %s",
						error->message)));
		ckpx_job_count_failure();
	}
	ckpx_job_end();

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	CkpxShared->spill_request = InvalidXLogRecPtr;
	LWLockRelease(CkpxShared->lock);
	ConditionVariableBroadcast(&CkpxShared->progress);
	ckpx_wake_worker(CKPX_WORKER_RUNNER);
}

/*
 * Say, or with InvalidXLogRecPtr take back, that the object of a cut that ends
 * here is being written.  False where its entry has no room: there must be one
 * place for it, and two that the checkpointer may take before.
 */
static bool
set_cut_in_work(XLogRecPtr end_lsn)
{
	bool		room;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	room = CkpxShared->store->nentries + 3 <= CkpxShared->store->max_entries;
	CkpxShared->cut_in_work_end = room ? end_lsn : InvalidXLogRecPtr;
	LWLockRelease(CkpxShared->lock);
	return room;
}

/* Add the entry of a cut whose segment is in the logtail. */
static void
keep_cut(const CkpxEntry *entry)
{
	bool		kept;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	kept = ckpx_entry_store_load(CkpxShared->store, entry) == CKPX_STORE_OK;
	CkpxShared->stat.segments_spilled++;
	CkpxShared->publish_requested++;
	LWLockRelease(CkpxShared->lock);
	if (!kept)
		elog(ERROR, "could not keep the entry of a spilled cut");
	ckpx_wake_worker(CKPX_WORKER_CHECKPOINTER);
}

/*
 * Write a cut to disk at once, as a spilled segment of the logtail.
 */
bool
ckpx_spill_cut(const CkpxSegmentInfo *given, const CkpxDirtyTree *tree)
{
	CkpxSegmentInfo info = *given;
	CkpxEntry	entry;
	volatile bool added = false;

	if (!set_cut_in_work(info.range.end_lsn))
		return false;
	ckpx_segment_entry(&entry, &info);
	PG_TRY();
	{
		ckpx_job_write(&entry, tree, NULL, 0, "segment");
		entry.finished_at = GetCurrentTimestamp();
		info.nrelations = entry.nrelations;
		info.nblocks = entry.nblocks;
		info.nparts = entry.nparts;
		added = ckpx_logtail_add_spilled(&info);
		if (added)
			keep_cut(&entry);
	}
	PG_FINALLY();
	{
		/* No manifest can name it, and the runner does not sweep. */
		if (!added)
			ckpx_object_remove_quietly(&entry, entry.nparts + 1);
		(void) set_cut_in_work(InvalidXLogRecPtr);
	}
	PG_END_TRY();
	if (!added)
		return false;

	ereport(LOG,
			(errmsg_plural("ckpx wrote a cut of %u relation, which its memory could not hold, to disk",
						   "ckpx wrote a cut of %u relations, which its memory could not hold, to disk",
						   info.nrelations, info.nrelations),
			 errhint("Consider raising \"ckpx.logtail_memory\".")));
	return true;
}
