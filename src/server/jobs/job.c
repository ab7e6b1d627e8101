/*-------------------------------------------------------------------------
 *
 * job.c
 *		What the jobs of the ckpx checkpointer have in common: when one may
 *		begin, the segments of a range as a tree, a tree as an object, and what
 *		is noted when it fails.
 *
 * An object is written under a temporary name, synced and renamed, part by
 * part. An error removes what was renamed already; dying leaves a temporary
 * file, or an object that no manifest names, and both are removed by the next
 * sweep.
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
#include "server/base/worker_status.h"
#include "server/jobs/job.h"
#include "server/logtail/logtail.h"
#include "server/store/files.h"
#include "server/store/object_file.h"
#include "server/store/publish.h"

static void (*release_at_catch) (void) = NULL;

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
 * The runner waits for job_running to be false before it loads history, and
 * sets 'booted' back before it looks; ckpx_disable() and ckpx_uninstall() set
 * their flags before they look.  So whoever waits sees either the job, or a
 * job that will not begin.
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

void
ckpx_job_check(const CkpxEntry *entry)
{
	const CkpxEntry *found;
	bool		cancelled;

	CHECK_FOR_INTERRUPTS();

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	found = ckpx_entry_store_find(CkpxShared->store, entry->kind,
								  entry->epoch, entry->start_lsn,
								  entry->end_lsn);
	cancelled = CkpxShared->uninstalled ||
		(found != NULL && found->cancelled);
	LWLockRelease(CkpxShared->lock);

	if (cancelled)
		ereport(ERROR,
				(errcode(ERRCODE_QUERY_CANCELED),
				 errmsg("checkpoint was canceled")));
}

void
ckpx_job_gather(CkpxDirtyTree *tree, XLogRecPtr start_lsn, XLogRecPtr end_lsn,
				uint32 epoch)
{
	CkpxSegmentRef *refs;
	uint32		nrefs;
	XLogRecPtr	position = start_lsn;

	refs = ckpx_logtail_pin(start_lsn, end_lsn, &nrefs);
	ckpx_progress_phase(CKPX_JOB_PHASE_COLLECT, nrefs);
	PG_TRY();
	{
		for (uint32 i = 0; i < nrefs; i++)
		{
			const CkpxSegmentInfo *info = &refs[i].info;
			const char *problem;

			CHECK_FOR_INTERRUPTS();
			if (info->epoch != epoch || info->start_lsn != position ||
				info->end_lsn > end_lsn)
				elog(ERROR, "logtail segment %X/%X-%X/%X of epoch %u does not continue at %X/%X",
					 LSN_FORMAT_ARGS(info->start_lsn),
					 LSN_FORMAT_ARGS(info->end_lsn), info->epoch,
					 LSN_FORMAT_ARGS(position));
			position = info->end_lsn;

			if (info->spilled)
			{
				CkpxEntry	entry;
				CkpxObjectFile *file;
				CkpxRelationView view;

				ckpx_segment_entry(&entry, info);
				file = ckpx_object_file_open(&entry, false);
				while (ckpx_object_file_next(file, &view))
				{
					if (!ckpx_dirty_tree_merge_view(tree, &view, &problem))
						ereport(ERROR,
								(errcode(ERRCODE_DATA_CORRUPTED),
								 errmsg("spilled logtail segment is damaged: %s",
										problem)));
					CHECK_FOR_INTERRUPTS();
				}
				ckpx_object_file_close(file);
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

	if (position != end_lsn)
		elog(ERROR, "logtail ends at %X/%X before %X/%X",
			 LSN_FORMAT_ARGS(position), LSN_FORMAT_ARGS(end_lsn));
}

void
ckpx_job_write(CkpxEntry *entry, const CkpxDirtyTree *tree, const char *what,
			   const CkpxOpenXact *open_xacts, uint32 nopen_xacts)
{
	CkpxObjectHeader header;
	CkpxObjectOptions options;
	CkpxObjectTotals totals;
	CkpxRelation **relations;
	uint32		nrelations;
	uint32		next = 0;
	uint32		part = 0;
	uint64		max_bytes = (uint64) ckpx_checkpoint_size * 1024;

	memset(&header, 0, sizeof(header));
	header.version = CKPX_OBJECT_VERSION;
	header.kind = entry->kind;
	header.epoch = entry->epoch;
	header.timeline = entry->timeline;
	header.start_lsn = entry->start_lsn;
	header.end_lsn = entry->end_lsn;
	header.last_record = entry->last_record;
	header.last_change_lsn = entry->last_change_lsn;
	header.truncate_lsn = entry->truncate_lsn;
	header.created_at = entry->created_at;
	header.written_at = GetCurrentTimestamp();
	header.nxacts = entry->nxacts;
	header.wal_bytes = entry->wal_bytes;
	memcpy(header.custom_rmgrs, entry->custom_rmgrs,
		   CKPX_RMGR_BITMAP_BYTES);
	header.nopen_xacts = nopen_xacts;
	header.open_xacts = (CkpxOpenXact *) open_xacts;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	header.identity = CkpxShared->identity;
	LWLockRelease(CkpxShared->lock);

	options.section_rows = ckpx_checkpoint_block_rows;
	options.section_bytes = CKPX_SECTION_BYTES;
	options.compression = ckpx_compression;

	entry->version = CKPX_OBJECT_VERSION;
	entry->nrelations = 0;
	entry->nblocks = 0;
	entry->undurable = 0;
	entry->size_bytes = 0;

	relations = ckpx_dirty_tree_sorted(tree, &nrelations);
	ckpx_progress_phase(CKPX_JOB_PHASE_WRITE, nrelations);
	do
	{
		CkpxOutput *output;
		CkpxObjectWriter *writer;
		char		name[CKPX_NAME_MAX];

		ckpx_object_name(name, entry->kind, entry->epoch, entry->timeline,
						 entry->start_lsn, entry->end_lsn, part);
		output = ckpx_output_create(name, what);
		PG_TRY();
		{
			header.part = part;
			writer = ckpx_object_begin(CurrentMemoryContext, &header,
									   &options, ckpx_output_write, output);
			while (next < nrelations &&
				   ckpx_object_written(writer) < max_bytes)
			{
				ckpx_object_add(writer, relations[next++]);
				ckpx_job_check(entry);
				ckpx_progress_done(next);
			}
			memset(&totals, 0, sizeof(totals));
			totals.last_part = next >= nrelations;
			ckpx_object_end(writer, &totals);
			entry->size_bytes += ckpx_output_bytes(output);
			ckpx_output_publish(output);
		}
		PG_CATCH();
		{
			ckpx_output_abort(output);
			/* What an earlier attempt may have published stays. */
			while (entry->failed_phase != CKPX_PHASE_PUBLISH && part-- > 0)
			{
				ckpx_object_name(name, entry->kind, entry->epoch,
								 entry->timeline, entry->start_lsn,
								 entry->end_lsn, part);
				ckpx_remove_file_quietly(name);
			}
			PG_RE_THROW();
		}
		PG_END_TRY();

		entry->nrelations += totals.nrelations;
		entry->nblocks += totals.nblocks;
		entry->undurable += totals.undurable;
		part++;
	} while (next < nrelations);
	entry->nparts = part;
	pfree(relations);
}

bool
ckpx_job_copy_running(const CkpxEntryTicket *ticket, CkpxEntry *entry)
{
	CkpxEntry  *found;
	bool		ok;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	found = ckpx_entry_store_find(CkpxShared->store, ticket->kind,
								  ticket->epoch, ticket->start_lsn,
								  ticket->end_lsn);
	ok = found != NULL && found->state == CKPX_ENTRY_RUNNING;
	if (ok)
		*entry = *found;
	LWLockRelease(CkpxShared->lock);
	return ok;
}

void
ckpx_job_log_finished(const CkpxEntry *entry)
{
	char		text[CKPX_ENTRY_TEXT_MAX];

	ereport(ckpx_log_checkpoints ? LOG : DEBUG1,
			(errmsg("ckpx checkpoint complete: %s; %u relations, " UINT64_FORMAT " blocks, " UINT64_FORMAT " transactions; wrote " UINT64_FORMAT " bytes; pending=%.3f s, write=%.3f s; open transactions=%u, not durable=%u",
					ckpx_entry_text(entry, text), entry->nrelations,
					entry->nblocks, entry->nxacts, entry->size_bytes,
					entry->pending_ms / 1000.0, entry->write_ms / 1000.0,
					entry->open_xacts, entry->undurable),
			 errhidestmt(true), errhidecontext(true)));
}

void
ckpx_job_note_failure(const CkpxEntryTicket *ticket, CkpxPhase phase,
					  const ErrorData *error)
{
	CkpxEntry  *entry;
	CkpxEntry	copy;
	bool		failed = false;
	bool		changed = false;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	entry = ckpx_entry_store_find(CkpxShared->store, ticket->kind,
								  ticket->epoch, ticket->start_lsn,
								  ticket->end_lsn);
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

/*
 * Have 'release' called by every ckpx_job_catch().
 */
void
ckpx_job_at_catch(void (*release) (void))
{
	Assert(release_at_catch == NULL || release_at_catch == release);
	release_at_catch = release;
}

ErrorData *
ckpx_job_catch(MemoryContext context)
{
	ErrorData  *error = ckpx_worker_catch(context);

	if (release_at_catch != NULL)
		release_at_catch();

	/*
	 * Files that nobody names may be left: an object that has its name but no
	 * manifest, or what a manifest that has its name already replaces. The
	 * job may never be tried again.
	 */
	ckpx_sweep_want();
	return error;
}
