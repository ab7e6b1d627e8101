/*-------------------------------------------------------------------------
 *
 * backup.c
 *		The tail that ckpx_backup_checkpoint() writes behind an incremental.
 *
 * A backup entry holds what lies between the newest finished incremental and
 * the present, so that a copy of the data directory knows its changes up to
 * the moment of the call and not only up to the last incremental.  It is no
 * part of this node's chain: the next incremental begins where the last one
 * ended and covers the same range again.  A copied data directory loads it as
 * the last range of the epoch that it was copied from (replay.c).
 *
 * The job chooses where the tail begins.  Only this process finishes
 * incrementals, so that cannot change while it writes.
 *
 * An entry lives RUNNING only inside the job: whatever fails takes it away
 * again, and the request fails.  If we die, the next process takes up the
 * request anew.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "core/format/names.h"
#include "miscadmin.h"
#include "server/base/announce.h"
#include "server/base/fault.h"
#include "server/base/request.h"
#include "server/jobs/job.h"
#include "server/jobs/steps.h"
#include "server/logtail/logtail.h"
#include "utils/timestamp.h"

/*
 * Find the object that the tail continues: the finished incremental, or where
 * that was collected the global, that ends at 'end_lsn'.  Caller holds the
 * lock.
 */
static const CkpxEntry *
find_base(XLogRecPtr end_lsn)
{
	const CkpxEntry *base;

	base = ckpx_entry_store_newest(CkpxShared->store, CKPX_KIND_INCREMENTAL,
								   true);
	if (base == NULL || base->range.end_lsn != end_lsn)
		base = ckpx_entry_store_newest(CkpxShared->store, CKPX_KIND_GLOBAL,
									   true);
	return base != NULL && base->range.end_lsn == end_lsn ? base : NULL;
}

/*
 * Fill the tail's range from the segments that it holds.
 */
static void
gather_tail(CkpxRange *tail)
{
	XLogRecPtr	end_lsn = tail->end_lsn;
	CkpxSegmentInfo *infos;
	uint32		ninfos;

	tail->end_lsn = tail->start_lsn;
	infos = ckpx_logtail_copy(&ninfos);
	for (uint32 i = 0; i < ninfos; i++)
	{
		if (infos[i].range.start_lsn == tail->end_lsn &&
			infos[i].range.end_lsn <= end_lsn)
			ckpx_range_append(tail, &infos[i].range);
	}
	pfree(infos);

	/* Where segments are missing, ckpx_job_gather() says so. */
	tail->end_lsn = end_lsn;
}

/*
 * Insert the tail and make it RUNNING.  False: a backup with just this range
 * is there already, and *tail is it.
 */
static bool
insert_tail(CkpxEntry *tail)
{
	CkpxStoreResult result;
	CkpxEntry  *entry;

	(void) ckpx_entry_transition(tail, CKPX_EVENT_CREATE);
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	result = ckpx_entry_store_insert(CkpxShared->store, tail);
	entry = ckpx_shared_entry(tail);
	if (result == CKPX_STORE_OK)
		(void) ckpx_entry_transition(entry, CKPX_EVENT_START);
	if (entry != NULL)
		*tail = *entry;
	LWLockRelease(CkpxShared->lock);

	if (result == CKPX_STORE_FULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("no room for a backup checkpoint among \"ckpx.max_entries\" entries")));
	if (result != CKPX_STORE_OK && result != CKPX_STORE_DUPLICATE)
		elog(ERROR, "could not insert backup checkpoint: result %d",
			 (int) result);
	return result == CKPX_STORE_OK;
}

static void
remove_tail(const CkpxEntry *tail)
{
	CkpxEntry  *entry;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	entry = ckpx_shared_entry(tail);
	if (entry != NULL && ckpx_entry_transition(entry, CKPX_EVENT_ABANDON))
		(void) ckpx_entry_store_remove(CkpxShared->store, tail);
	LWLockRelease(CkpxShared->lock);
	ConditionVariableBroadcast(&CkpxShared->progress);
}

/*
 * Write and publish the tail.
 */
static void
write_tail(CkpxEntry *tail, const CkpxOpenXact *open_xacts)
{
	CkpxDirtyTree *tree;
	uint64		started_ms = ckpx_clock_ms();

	ckpx_progress_begin(CKPX_JOB_BACKUP);
	CKPX_FAULT("backup-start");
	tree = ckpx_dirty_tree_create(CurrentMemoryContext);
	ckpx_job_gather(tree, &tail->range);
	ckpx_job_write(tail, tree, open_xacts,
				   Min(tail->open_xacts, CKPX_JOB_LIST), "backup");
	ckpx_job_publish(tail, started_ms, 0);
	CKPX_FAULT("backup-published");
	ckpx_job_finish(tail);
}

/*
 * Do what the request asks for and write its answer; the work of
 * ckpx_job_run().
 */
static void
run_backup(void *arg)
{
	CkpxRequest *request = arg;
	const CkpxEntry *found;
	CkpxEntry	base;
	CkpxEntry	tail;
	CkpxOpenXact *open_xacts = palloc(sizeof(CkpxOpenXact) * CKPX_JOB_LIST);
	char		base_name[CKPX_NAME_MAX];
	char		tail_name[CKPX_NAME_MAX] = "";

	memset(&tail, 0, sizeof(tail));
	tail.kind = CKPX_KIND_BACKUP;
	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	tail.range.epoch = CkpxShared->store->epoch;
	tail.range.timeline = CkpxShared->store->timeline;
	tail.range.start_lsn = ckpx_entry_store_checkpointed(CkpxShared->store);
	tail.range.end_lsn = CkpxShared->collected_lsn;
	tail.open_xacts = CkpxShared->ntail_xacts;
	memcpy(open_xacts, CkpxShared->tail_xacts,
		   sizeof(CkpxOpenXact) * Min(tail.open_xacts, CKPX_JOB_LIST));
	found = find_base(tail.range.start_lsn);
	if (found != NULL)
		base = *found;
	LWLockRelease(CkpxShared->lock);

	/* The runner has begun anew and has not come so far again. */
	request->again = tail.range.epoch == request->epoch &&
		tail.range.end_lsn < request->lsn;
	if (request->again)
		return;
	if (found == NULL || tail.range.epoch != request->epoch)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the chain of ckpx broke while a backup checkpoint was made"),
				 errhint("Call the function again; see the view ckpx_gaps.")));

	/* A tail in which no WAL lies has no object. */
	if (tail.range.start_lsn < tail.range.end_lsn)
	{
		gather_tail(&tail.range);
		if (insert_tail(&tail))
		{
			ckpx_announce(&tail, CKPX_CHECKPOINT_RUNNING);
			PG_TRY();
			{
				write_tail(&tail, open_xacts);
			}
			PG_CATCH();
			{
				remove_tail(&tail);
				PG_RE_THROW();
			}
			PG_END_TRY();
		}
		ckpx_entry_object_name(tail_name, &tail, 0);
	}

	ckpx_entry_object_name(base_name, &base, 0);
	snprintf(request->text, sizeof(request->text), "%s:%u:%X/%X:%s:%X/%X",
			 base_name, base.version, LSN_FORMAT_ARGS(tail.range.end_lsn),
			 tail_name, LSN_FORMAT_ARGS(tail.range.start_lsn));
}

void
ckpx_backup_step(long *wait_ms)
{
	CkpxRequest request;

	while (ckpx_job_take(CKPX_REQUEST_BACKUP, true, &request))
	{
		ErrorData  *error = ckpx_job_run("backup", run_backup, &request);

		if (error != NULL)
			ckpx_job_count_failure();
		ckpx_job_end();
		ckpx_request_answer(&request, error);
	}
}
