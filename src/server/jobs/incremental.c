/*-------------------------------------------------------------------------
 *
 * incremental.c
 *		Incremental checkpoints: write one, publish it, finish its entry.
 *
 * A job owns its entry from START to FINISH.  It gathers the range's segments
 * into one tree, writes the object, publishes a manifest that names it, and
 * only then marks the entry as finished.  Dying between any two of these
 * leaves either an object that no manifest names, or a manifest that knows
 * more than memory did, which the next boot reads.
 *
 * Failures of the surroundings (a full disk, a damaged spilled segment) are
 * caught here: the entry stays RUNNING with the error written on it, and is
 * tried again after a growing pause.  Anything else ends the process.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include <sys/stat.h>

#include "common/relpath.h"
#include "miscadmin.h"
#include "server/base/announce.h"
#include "server/base/fault.h"
#include "server/base/options.h"
#include "server/base/worker_status.h"
#include "server/jobs/job.h"
#include "server/store/publish.h"
#include "utils/timestamp.h"

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

	ckpx_progress_phase(CKPX_JOB_PHASE_LENGTHS, nrelations);
	for (uint32 i = 0; i < nrelations; i++)
	{
		ckpx_progress_done(i);
		if (relations[i]->key.relation != CKPX_DATABASE_WIDE &&
			(relations[i]->flags & CKPX_REL_DROPPED) == 0)
			relations[i]->length_hint = fork_length(&relations[i]->key);
		CHECK_FOR_INTERRUPTS();
	}
	pfree(relations);
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
	uint64		started_ms = ckpx_clock_ms();
	CkpxEntry  *shared_entry;
	bool		had_segments = false;
	CkpxWaitTicket release;
	CkpxEntryTicket next;

	*phase = CKPX_PHASE_COLLECT;
	ckpx_progress_begin(CKPX_JOB_INCREMENTAL);
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
	ckpx_progress_phase(CKPX_JOB_PHASE_PUBLISH, 1);
	entry->state = CKPX_ENTRY_FINISHED;
	entry->finished_at = GetCurrentTimestamp();
	entry->write_ms = ckpx_age_ms(started_ms, ckpx_clock_ms());
	entry->pending_ms = ckpx_age_ms(entry->clock_ms, started_ms);
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
		CkpxEntrySpan other = ckpx_entry_store_span(CkpxShared->store, i);

		if (other.kind == CKPX_KIND_SEGMENT && other.epoch == entry->epoch &&
			other.end_lsn <= entry->end_lsn &&
			ckpx_entry_store_remove(CkpxShared->store, CKPX_KIND_SEGMENT,
									other.epoch, other.start_lsn,
									other.end_lsn))
			had_segments = true;
		else
			i++;
	}
	CkpxShared->stat.incrementals_done++;
	CkpxShared->stat.pending_ms_total += entry->pending_ms;
	CkpxShared->stat.pending_ms_max = Max(CkpxShared->stat.pending_ms_max,
										  (uint64) entry->pending_ms);
	CkpxShared->stat.pending_histogram[ckpx_entry_pending_bucket(entry->pending_ms)]++;
	ckpx_history_add_entry(&CkpxShared->history, entry);
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
 * Find an incremental whose time to be tried has come; else say when the next
 * one's comes.
 */
static bool
due_entry(CkpxEntryTicket *ticket, long *wait_ms)
{
	const CkpxEntryStore *store = CkpxShared->store;
	uint64		now = ckpx_clock_ms();
	bool		enabled;
	bool		found = false;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	enabled = ckpx_enabled && !CkpxShared->disabled;
	for (uint32 i = ckpx_entry_store_next_open(store, 0);
		 enabled && i < store->nentries && !found;
		 i = ckpx_entry_store_next_open(store, i + 1))
	{
		const CkpxEntry *entry = ckpx_entry_store_at(store, i);

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

void
ckpx_incremental_step(long *wait_ms)
{
	CkpxEntryTicket tickets[CKPX_QUEUE_BATCH];
	CkpxEntryTicket ticket;
	uint32		ntickets;

	/*
	 * The tickets say that there is something to do; what it is, the store
	 * says.  So a ticket that was refused, or taken by a process that died,
	 * is no loss.
	 */
	ntickets = ckpx_dequeue(CKPX_QUEUE_INCREMENTAL, tickets,
							CKPX_QUEUE_BATCH);
	if (due_entry(&ticket, wait_ms))
	{
		job_incremental(&ticket);
		*wait_ms = 0;
	}
	ckpx_dequeue_done(CKPX_QUEUE_INCREMENTAL, ntickets);
}
