/*-------------------------------------------------------------------------
 *
 * checkpoint_job.c
 *		What the ckpx checkpointer does: write incrementals, spill segments,
 *		publish.
 *
 * A job owns its entry from START to FINISH.  It gathers the range's segments
 * into one tree, writes the object under a temporary name, syncs it, renames
 * it, publishes a manifest that names it, and only then marks the entry as
 * finished.  Dying between any two of these leaves either a temporary file
 * or an object that no manifest names (both are removed by the next sweep),
 * or a manifest that knows more than memory did, which the next boot reads.
 *
 * Failures of the surroundings (a full disk, a damaged spilled segment) are
 * caught here: the entry stays RUNNING with the error written on it, and is
 * tried again after a growing pause.  Anything else ends the process.
 *
 * The segments of the range cannot vanish under the job: the runner trims
 * only what a finished incremental covers.
 *
 *-------------------------------------------------------------------------
 */
#include "server/compat.h"

#include <sys/stat.h>

#include "common/relpath.h"
#include "miscadmin.h"
#include "server/fault.h"
#include "server/files.h"
#include "server/job.h"
#include "server/logtail.h"
#include "server/observers.h"
#include "server/options.h"
#include "server/publish.h"
#include "server/request.h"
#include "server/workers.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define CKPX_IDLE_WAIT_MS		10000

/* This process has looked at what the one before it left. */
static bool recovered = false;

/*
 * The older manifest that was found may name what a garbage collection, cut
 * off by a crash, was about to remove: when the first manifest of our own has
 * replaced it, with this sequence, its objects are looked at again.
 */
static uint64 sweep_again_at = 0;

/*
 * Length of a relation fork in blocks, from the sizes of its files;
 * InvalidBlockNumber when it is not there.  Only a hint: the relation may
 * change at any moment.
 */
static BlockNumber
fork_length(const CkpxRelKey *key)
{
	char	   *base = ckpx_relation_path(key->tablespace, key->database,
										  key->relation,
										  (ForkNumber) key->fork);
	uint64		blocks = 0;
	bool		any = false;

	for (uint32 segment = 0;; segment++)
	{
		char		path[MAXPGPATH + 16];
		struct stat st;

		if (segment == 0)
			strlcpy(path, base, sizeof(path));
		else
			snprintf(path, sizeof(path), "%s.%u", base, segment);
		if (stat(path, &st) != 0)
			break;
		any = true;
		blocks += st.st_size / BLCKSZ;
		if (st.st_size < (off_t) RELSEG_SIZE * BLCKSZ)
			break;
	}
	pfree(base);
	if (!any || blocks >= InvalidBlockNumber)
		return InvalidBlockNumber;
	return (BlockNumber) blocks;
}

void
ckpx_job_gather(CkpxDirtyTree *tree, XLogRecPtr start_lsn, XLogRecPtr end_lsn,
				uint32 epoch)
{
	CkpxSegmentRef *refs;
	uint32		nrefs;
	XLogRecPtr	position = start_lsn;

	refs = ckpx_logtail_pin(start_lsn, end_lsn, &nrefs);
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
								 errmsg("spilled logtail segment is damaged"),
								 errdetail("%s", problem)));
					CHECK_FOR_INTERRUPTS();
				}
				ckpx_object_file_close(file);
			}
			else if (!ckpx_dirty_tree_merge_bytes(tree, refs[i].bytes,
												  info->bytes, &problem))
				elog(ERROR, "logtail segment in memory is damaged: %s",
					 problem);
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

/*
 * Mark the relations whose files may hold blocks that nobody has synced.
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

static void
note_lengths(CkpxDirtyTree *tree)
{
	uint32		nrelations;
	CkpxRelation **relations = ckpx_dirty_tree_sorted(tree, &nrelations);

	for (uint32 i = 0; i < nrelations; i++)
	{
		if (relations[i]->key.relation != CKPX_DATABASE_WIDE &&
			(relations[i]->flags & CKPX_REL_DROPPED) == 0)
			relations[i]->length_hint = fork_length(&relations[i]->key);
		CHECK_FOR_INTERRUPTS();
	}
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

/*
 * Write and publish one incremental.  *phase tells where it stands.
 */
static void
run_incremental(CkpxEntry *entry, CkpxPhase *phase)
{
	CkpxDirtyTree *tree;
	CkpxOpenXact *open_xacts;
	CkpxRelKey *undurable;
	uint32		nopen;
	uint32		nundurable;
	TimestampTz started_at = GetCurrentTimestamp();
	CkpxEntry  *shared_entry;
	bool		had_segments = false;
	CkpxWaitTicket release;
	CkpxEntryTicket next;

	*phase = CKPX_PHASE_COLLECT;
	CKPX_FAULT("job-start");

	open_xacts = palloc(sizeof(CkpxOpenXact) * CKPX_JOB_LIST);
	undurable = palloc(sizeof(CkpxRelKey) * CKPX_JOB_LIST);
	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	nopen = CkpxShared->nopen_xacts;
	memcpy(open_xacts, CkpxShared->open_xacts,
		   sizeof(CkpxOpenXact) * Min(nopen, CKPX_JOB_LIST));
	nundurable = CkpxShared->nundurable;
	memcpy(undurable, CkpxShared->undurable,
		   sizeof(CkpxRelKey) * Min(nundurable, CKPX_JOB_LIST));
	LWLockRelease(CkpxShared->lock);

	tree = ckpx_dirty_tree_create(CurrentMemoryContext);
	ckpx_job_gather(tree, entry->start_lsn, entry->end_lsn, entry->epoch);
	mark_undurable(tree, undurable, Min(nundurable, CKPX_JOB_LIST),
				   nundurable > CKPX_JOB_LIST);
	note_lengths(tree);

	*phase = CKPX_PHASE_WRITE;
	entry->open_xacts = nopen;
	entry->truncate_lsn = entry->last_record.start;
	ckpx_job_write(entry, tree, "object", open_xacts,
				   Min(nopen, CKPX_JOB_LIST));

	*phase = CKPX_PHASE_PUBLISH;
	entry->state = CKPX_ENTRY_FINISHED;
	entry->finished_at = GetCurrentTimestamp();
	entry->write_ms = (entry->finished_at - started_at) / 1000;
	entry->pending_ms = Max(0, (started_at - entry->created_at) / 1000);
	entry->last_error[0] = '\0';
	entry->failed_phase = CKPX_PHASE_NONE;
	entry->waiting_for[0] = '\0';
	entry->post_pending = ckpx_post_command_is_set();
	ckpx_job_check(entry);
	ckpx_publish(entry);

	CKPX_FAULT("job-published");
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	shared_entry = ckpx_entry_store_find(CkpxShared->store, entry->kind,
										 entry->epoch, entry->start_lsn,
										 entry->end_lsn);
	if (shared_entry != NULL && shared_entry->state == CKPX_ENTRY_RUNNING)
	{
		CkpxEntry	finished = *entry;

		/* A cancel that came after the last safe point came too late. */
		finished.state = CKPX_ENTRY_RUNNING;
		finished.cancelled = false;
		*shared_entry = finished;
		(void) ckpx_entry_transition(shared_entry, CKPX_EVENT_FINISH);
	}
	for (uint32 i = 0; i < CkpxShared->store->nentries;)
	{
		CkpxEntry  *other = &CkpxShared->store->entries[i];

		if (other->kind == CKPX_KIND_SEGMENT && other->epoch == entry->epoch &&
			other->end_lsn <= entry->end_lsn &&
			ckpx_entry_store_remove(CkpxShared->store, other->kind,
									other->epoch, other->start_lsn,
									other->end_lsn))
			had_segments = true;
		else
			i++;
	}
	CkpxShared->stat.incrementals_done++;
	CkpxShared->stat.pending_ms_total += entry->pending_ms;
	CkpxShared->stat.pending_ms_max = Max(CkpxShared->stat.pending_ms_max,
										  (uint64) entry->pending_ms);
	CkpxShared->stat.write_ms_total += entry->write_ms;
	release.release_lsn = CkpxShared->manifest_release[1];
	LWLockRelease(CkpxShared->lock);
	ConditionVariableBroadcast(&CkpxShared->progress);

	ckpx_job_log_finished(entry);

	/*
	 * A refused ticket is no loss: the runner moves the slot to the newest
	 * release point whenever it looks.
	 */
	(void) ckpx_enqueue(CKPX_QUEUE_WAIT, &release);
	ckpx_announce(entry, CKPX_CHECKPOINT_FINISHED);
	ckpx_wake_worker(CKPX_WORKER_RUNNER);

	/* Perhaps it is time for a global: whether it is, is looked at then. */
	next.kind = CKPX_KIND_GLOBAL;
	next.epoch = entry->epoch;
	next.start_lsn = entry->start_lsn;
	next.end_lsn = entry->end_lsn;
	(void) ckpx_enqueue(CKPX_QUEUE_GLOBAL, &next);

	if (had_segments)
		ckpx_sweep();
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

void
ckpx_job_end(void)
{
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
				 errmsg("checkpoint was cancelled")));
}

bool
ckpx_post_command_is_set(void)
{
	return ckpx_post_checkpoint_command != NULL &&
		ckpx_post_checkpoint_command[0] != '\0';
}

/*
 * Take away the running entries that ckpx_cancel_pending() has marked.  No
 * job runs here, so they are nobody's.  Their objects go with the sweep, as
 * far as no manifest on disk names them: a failed attempt may have got that
 * far.
 */
static void
remove_cancelled(void)
{
	bool		any = false;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	for (uint32 i = 0; i < CkpxShared->store->nentries;)
	{
		CkpxEntry  *entry = &CkpxShared->store->entries[i];

		if (entry->state == CKPX_ENTRY_RUNNING && entry->cancelled &&
			ckpx_entry_transition(entry, CKPX_EVENT_ABANDON) &&
			ckpx_entry_store_remove(CkpxShared->store, entry->kind,
									entry->epoch, entry->start_lsn,
									entry->end_lsn))
			any = true;
		else
			i++;
	}
	LWLockRelease(CkpxShared->lock);

	if (!any)
		return;
	CKPX_FAULT("cancel-removed");
	ckpx_sweep();
	ConditionVariableBroadcast(&CkpxShared->progress);
}

ErrorData *
ckpx_job_catch(MemoryContext context)
{
	ErrorData  *error = ckpx_worker_catch(context);

	ckpx_global_forget();
	return error;
}

static void
job_incremental(const CkpxEntryTicket *ticket)
{
	MemoryContext context = CurrentMemoryContext;
	volatile CkpxPhase phase = CKPX_PHASE_NONE;
	CkpxEntry  *entry = palloc(sizeof(CkpxEntry));

	if (!ckpx_job_begin(true))
		return;
	if (!ckpx_job_copy_running(ticket, entry))
	{
		ckpx_job_end();
		return;
	}

	ckpx_worker_report(CKPX_WORKER_CHECKPOINTER, CKPX_WORKER_BUSY,
					   "incremental");
	PG_TRY();
	{
		run_incremental(entry, (CkpxPhase *) &phase);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		/*
		 * Where publishing failed the object stays: its manifest may have
		 * been renamed and only the folder's sync failed.  Trying again
		 * writes it anew; if that never happens, a sweep decides by what the
		 * manifests on disk say.
		 */
		error = ckpx_job_catch(context);
		if (error->sqlerrcode != ERRCODE_QUERY_CANCELED)
		{
			if (!ckpx_error_is_external(error))
				ReThrowError(error);
			ckpx_job_note_failure(ticket, phase, error);
		}
	}
	PG_END_TRY();
	ckpx_job_end();
}

/*
 * Write one segment of the logtail to disk and publish it.
 */
static void
spill_segment(const CkpxSegmentInfo *info)
{
	CkpxDirtyTree *tree;
	CkpxEntry	entry;
	CkpxWaitTicket release;
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
				 errmsg("no room for a logtail segment among ckpx.max_entries entries")));

	if (!ckpx_logtail_mark_spilling(info->start_lsn, info->end_lsn, true))
		return;
	tree = ckpx_dirty_tree_create(CurrentMemoryContext);
	ckpx_job_gather(tree, info->start_lsn, info->end_lsn, info->epoch);
	ckpx_segment_entry(&entry, info);
	entry.truncate_lsn = info->last_record.start;
	ckpx_job_write(&entry, tree, "segment", NULL, 0);
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
	release.release_lsn = CkpxShared->manifest_release[1];
	LWLockRelease(CkpxShared->lock);

	(void) ckpx_logtail_mark_spilled(info->start_lsn, info->end_lsn,
									 entry.nparts);
	ConditionVariableBroadcast(&CkpxShared->progress);

	(void) ckpx_enqueue(CKPX_QUEUE_WAIT, &release);
	ereport(DEBUG1,
			(errmsg_internal("ckpx spilled logtail segment %X/%X-%X/%X",
							 LSN_FORMAT_ARGS(info->start_lsn),
							 LSN_FORMAT_ARGS(info->end_lsn))));
}

static void
end_spill(void)
{
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	CkpxShared->spill_request = InvalidXLogRecPtr;
	LWLockRelease(CkpxShared->lock);
	ConditionVariableBroadcast(&CkpxShared->progress);
	ckpx_wake_worker(CKPX_WORKER_RUNNER);
}

/*
 * Serve the runner's wish to have segments written out.  Whatever happens,
 * the request ends: the runner asks again if it still has no room.
 */
static void
job_spill(XLogRecPtr upto)
{
	MemoryContext context = CurrentMemoryContext;
	CkpxSegmentInfo *infos;
	uint32		ninfos;

	if (!ckpx_job_begin(false))
		return;
	ckpx_worker_report(CKPX_WORKER_CHECKPOINTER, CKPX_WORKER_BUSY, "spill");
	infos = ckpx_logtail_copy(&ninfos);
	PG_TRY();
	{
		for (uint32 i = 0; i < ninfos; i++)
		{
			if (!infos[i].spilled && infos[i].end_lsn <= upto)
				spill_segment(&infos[i]);
			CHECK_FOR_INTERRUPTS();
		}
	}
	PG_CATCH();
	{
		ErrorData  *error = ckpx_job_catch(context);

		for (uint32 i = 0; i < ninfos; i++)
			(void) ckpx_logtail_mark_spilling(infos[i].start_lsn,
											  infos[i].end_lsn, false);
		if (!ckpx_error_is_external(error) &&
			error->sqlerrcode != ERRCODE_QUERY_CANCELED)
			ReThrowError(error);
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("ckpx could not spill the logtail: %s",
						error->message)));
		LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
		CkpxShared->stat.jobs_failed++;
		LWLockRelease(CkpxShared->lock);
	}
	PG_END_TRY();
	ckpx_job_end();
	end_spill();
}

/*
 * Write a manifest because somebody asked for one: a new epoch, a pin.
 */
static bool
job_publish(void)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool ok = false;

	if (!ckpx_job_begin(false))
		return false;
	PG_TRY();
	{
		ckpx_publish(NULL);
		ok = true;
	}
	PG_CATCH();
	{
		ErrorData  *error = ckpx_job_catch(context);

		if (!ckpx_error_is_external(error))
			ReThrowError(error);
		LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
		CkpxShared->publish_failures++;
		strlcpy(CkpxShared->publish_error, error->message,
				CKPX_ERROR_TEXT_MAX);
		LWLockRelease(CkpxShared->lock);
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("ckpx could not write a manifest: %s",
						error->message)));
	}
	PG_END_TRY();
	ckpx_job_end();
	if (ok)
		ckpx_wake_worker(CKPX_WORKER_RUNNER);
	return ok;
}

/*
 * Take over from a process that died: its job is nobody's now.
 */
static void
recover(void)
{
	CkpxSegmentInfo *infos;
	uint32		ninfos;

	infos = ckpx_logtail_copy(&ninfos);
	for (uint32 i = 0; i < ninfos; i++)
	{
		if (infos[i].spilling)
			(void) ckpx_logtail_mark_spilling(infos[i].start_lsn,
											  infos[i].end_lsn, false);
	}

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	CkpxShared->job_running = false;
	CkpxShared->removing = false;
	CkpxShared->spill_request = InvalidXLogRecPtr;
	for (uint32 i = 0; i < CkpxShared->store->nentries;)
	{
		CkpxEntry  *entry = &CkpxShared->store->entries[i];

		if (entry->state == CKPX_ENTRY_RUNNING)
			(void) ckpx_entry_transition(entry, CKPX_EVENT_ABANDON);

		/*
		 * A backup's request is taken up anew, with another range.  Who
		 * cancelled an entry waits for it to go.
		 */
		if ((entry->kind == CKPX_KIND_BACKUP || entry->cancelled) &&
			entry->state == CKPX_ENTRY_PENDING &&
			ckpx_entry_store_remove(CkpxShared->store, entry->kind,
									entry->epoch, entry->start_lsn,
									entry->end_lsn))
			continue;
		i++;
	}
	LWLockRelease(CkpxShared->lock);
	ckpx_request_recover();
	ConditionVariableBroadcast(&CkpxShared->progress);
	ckpx_wake_worker(CKPX_WORKER_RUNNER);
}

/*
 * Find an incremental whose time to be tried has come; else say when the next
 * one's comes.
 */
static bool
due_entry(CkpxEntryTicket *ticket, long *wait_ms)
{
	uint64		now = ckpx_clock_ms();
	bool		enabled;
	bool		found = false;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	enabled = ckpx_enabled && !CkpxShared->disabled;
	for (uint32 i = 0;
		 enabled && i < CkpxShared->store->nentries && !found; i++)
	{
		const CkpxEntry *entry = &CkpxShared->store->entries[i];

		if (entry->kind != CKPX_KIND_INCREMENTAL ||
			entry->state != CKPX_ENTRY_RUNNING)
			continue;
		if (entry->retry_clock_ms > now)
		{
			*wait_ms = Min(*wait_ms, (long) (entry->retry_clock_ms - now));
			continue;
		}
		ticket->kind = entry->kind;
		ticket->epoch = entry->epoch;
		ticket->start_lsn = entry->start_lsn;
		ticket->end_lsn = entry->end_lsn;
		found = true;
	}
	LWLockRelease(CkpxShared->lock);
	return found;
}

long
ckpx_checkpointer_step(void)
{
	CkpxEntryTicket tickets[CKPX_QUEUE_BATCH];
	CkpxEntryTicket ticket;
	uint32		ntickets;
	long		wait_ms = CKPX_IDLE_WAIT_MS;
	bool		booted;
	bool		publish;
	bool		sweep;
	XLogRecPtr	spill;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	booted = CkpxShared->booted;
	LWLockRelease(CkpxShared->lock);

	if (!booted)
	{
		ckpx_worker_report(CKPX_WORKER_CHECKPOINTER, CKPX_WORKER_IDLE,
						   "waiting for the runner");
		return CKPX_IDLE_WAIT_MS;
	}
	if (!recovered)
	{
		recover();
		ckpx_sweep();
		LWLockAcquire(CkpxShared->lock, LW_SHARED);
		sweep_again_at = CkpxShared->manifest_sequence + 1;
		LWLockRelease(CkpxShared->lock);
		recovered = true;
	}

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	sweep = sweep_again_at != 0 &&
		CkpxShared->manifest_sequence >= sweep_again_at;
	publish = CkpxShared->publish_requested > CkpxShared->publish_done;
	spill = CkpxShared->spill_request;
	LWLockRelease(CkpxShared->lock);

	if (sweep)
	{
		ckpx_sweep();
		sweep_again_at = 0;
	}
	if (publish && !job_publish())
		wait_ms = 1000;
	if (spill != InvalidXLogRecPtr)
		job_spill(spill);
	remove_cancelled();

	/*
	 * The tickets say that there is something to do; what it is, the store
	 * says.  So a ticket that was refused, or taken by a process that died,
	 * is no loss.
	 */
	ntickets = ckpx_dequeue(CKPX_QUEUE_INCREMENTAL, tickets,
							CKPX_QUEUE_BATCH);
	if (due_entry(&ticket, &wait_ms))
	{
		job_incremental(&ticket);
		wait_ms = 0;
	}
	ckpx_dequeue_done(CKPX_QUEUE_INCREMENTAL, ntickets);
	remove_cancelled();
	ckpx_backup_step();
	ckpx_global_step(&wait_ms);
	remove_cancelled();
	ckpx_gc_step(&wait_ms);

	ckpx_worker_report(CKPX_WORKER_CHECKPOINTER, CKPX_WORKER_IDLE, "");
	ckpx_worker_healthy(CKPX_WORKER_CHECKPOINTER);
	return wait_ms;
}
