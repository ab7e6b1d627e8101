/*-------------------------------------------------------------------------
 *
 * global_job.c
 *		Globals: the previous one and the incrementals after it, merged.
 *
 * A global can be large while an incremental must never wait for it, and both
 * are made by one process.  So the job is not one call but a state that lives
 * between the checkpointer's steps: each step merges for a few dozen
 * milliseconds and returns, and whatever else is due (an incremental, a spill,
 * a manifest) runs before the next one.  A relation is merged within one step,
 * because only its own map need be in memory then.
 *
 * The merge reads all inputs in the order of their keys at once.  Each of them
 * keeps one section, which is small or has a single record; that one is let
 * go as soon as it is through.  So the memory does not depend on the size of
 * the inputs but on the largest map of one relation.
 *
 * What an error of any job leaves behind is cleaned up by closing all files of
 * the process, those of a global in work among them.  Then what it had written
 * is removed and it is begun anew.
 *
 * The entry is PENDING for a moment only, when it is inserted and after a
 * crash.  Who dies in the middle leaves a RUNNING entry, which the next
 * process finds and sets back, and files that no manifest names, which it
 * removes.  Published is in the same order as an incremental: object,
 * manifest, memory, tickets.
 *
 *-------------------------------------------------------------------------
 */
#include "server/compat.h"

#include "core/layers.h"
#include "miscadmin.h"
#include "server/fault.h"
#include "server/files.h"
#include "server/job.h"
#include "server/observers.h"
#include "server/options.h"
#include "server/publish.h"
#include "server/workers.h"
#include "storage/fd.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* How long one step merges. */
#define SLICE_MS				50

/*
 * Files that are open at the same time: every part of every input.  PostgreSQL
 * leaves a third of its descriptors to transient files.  What does not fit
 * goes to the next global.
 */
#define MAX_INPUT_FILES			100
#define OTHER_FILES				16

typedef struct GlobalInput
{
	CkpxEntry	entry;
	CkpxObjectFile *file;
	bool		more;			/* 'key' is that of its next record */
	CkpxRelKey	key;
	uint32		first_source;	/* layer 0 of its records is this source */
} GlobalInput;

typedef struct GlobalJob
{
	MemoryContext context;		/* of everything here */
	CkpxEntryTicket ticket;
	CkpxEntry	entry;
	uint64		attempt;
	CkpxPhase	phase;
	TimestampTz started_at;
	int64		interval;		/* of recent layers, in microseconds */

	uint32		ninputs;		/* newest first, the previous global last */
	GlobalInput *inputs;
	CkpxLayerPlan plan;
	CkpxLayerMerge merge;

	CkpxObjectHeader header;
	CkpxObjectOptions options;
	uint32		part;
	CkpxOutput *output;			/* of the present part, or NULL */
	CkpxObjectWriter *writer;
	CkpxRelKey	written;		/* the key written last, if 'any_written' */
	bool		any_written;
} GlobalJob;

/* The global in work, or NULL. */
static GlobalJob *current_job = NULL;

/*
 * Remove what the job has written of its object so far.  A part that was
 * renamed in an attempt whose manifest failed may be named by that manifest:
 * then it stays, and the next attempt writes it anew.
 */
static void
remove_files(const GlobalJob *job)
{
	const CkpxEntry *entry = &job->entry;
	char		name[CKPX_NAME_MAX];

	ckpx_object_name(name, entry->kind, entry->epoch, entry->timeline,
					 entry->start_lsn, entry->end_lsn, job->part);
	ckpx_temporary_name(name);
	ckpx_remove_file_quietly(name);

	if (job->phase == CKPX_PHASE_PUBLISH ||
		entry->failed_phase == CKPX_PHASE_PUBLISH)
		return;
	for (uint32 part = 0; part <= job->part; part++)
	{
		ckpx_object_name(name, entry->kind, entry->epoch, entry->timeline,
						 entry->start_lsn, entry->end_lsn, part);
		ckpx_remove_file_quietly(name);
	}
}

void
ckpx_global_forget(void)
{
	GlobalJob  *job = current_job;

	if (job == NULL)
		return;
	current_job = NULL;
	remove_files(job);
	MemoryContextDelete(job->context);
}

/* The same while its files are still open. */
static void
drop_job(void)
{
	GlobalJob  *job = current_job;

	for (uint32 i = 0; i < job->ninputs; i++)
	{
		if (job->inputs[i].file != NULL)
			ckpx_object_file_close(job->inputs[i].file);
	}
	ckpx_output_abort(job->output);
	ckpx_global_forget();
}

/* ------------------------------------------------------------
 * The entry
 * ------------------------------------------------------------
 */

/* How many files a global may have open. */
static uint32
max_input_files(void)
{
	return (uint32) Max(2, Min(MAX_INPUT_FILES,
							   max_safe_fds / 3 - OTHER_FILES));
}

/*
 * Append the next finished incremental that is not in a global to the range
 * of 'entry'; false when there is none, or no room for it.
 */
static bool
take_incremental(CkpxEntry *entry, const CkpxEntry *incremental,
				 uint32 *nfiles)
{
	uint32		nparts = Max(incremental->nparts, 1);

	if (incremental->start_lsn != entry->end_lsn)
		return false;

	/* One always fits, whatever its size, or nothing ever would. */
	if (entry->timeline != 0 && *nfiles + nparts > max_input_files())
		return false;
	*nfiles += nparts;
	entry->timeline = incremental->timeline;
	entry->end_lsn = incremental->end_lsn;
	entry->last_record = incremental->last_record;
	entry->last_change_lsn = Max(entry->last_change_lsn,
								 incremental->last_change_lsn);
	entry->nxacts += incremental->nxacts;
	entry->wal_bytes += incremental->wal_bytes;
	entry->next_xid = incremental->next_xid;
	entry->clock_ms = incremental->clock_ms;
	entry->open_xacts = incremental->open_xacts;
	entry->truncate_lsn = incremental->truncate_lsn;
	for (int b = 0; b < CKPX_RMGR_BITMAP_BYTES; b++)
		entry->custom_rmgrs[b] |= incremental->custom_rmgrs[b];
	return true;
}

/*
 * Insert a new entry if one is wanted; caller holds the lock.  Requests that
 * a finished global covers are no requests any more.
 */
static bool
create_entry(CkpxEntry *entry)
{
	CkpxEntryStore *store = CkpxShared->store;
	const CkpxEntry *previous = ckpx_entry_store_newest(store,
														CKPX_KIND_GLOBAL, true);
	XLogRecPtr	covered = store->epoch_start;
	uint32		nfiles = 0;

	if (previous != NULL)
		covered = previous->end_lsn;
	if (CkpxShared->global_request <= covered &&
		ckpx_entry_store_uncovered(store) < (uint32) ckpx_global_min_count)
		return false;

	memset(entry, 0, sizeof(CkpxEntry));
	if (previous != NULL)
	{
		nfiles = Max(previous->nparts, 1);
		entry->last_change_lsn = previous->last_change_lsn;
		entry->nxacts = previous->nxacts;
		entry->wal_bytes = previous->wal_bytes;
		memcpy(entry->custom_rmgrs, previous->custom_rmgrs,
			   CKPX_RMGR_BITMAP_BYTES);
	}
	entry->kind = CKPX_KIND_GLOBAL;
	entry->epoch = store->epoch;
	entry->start_lsn = store->epoch_start;
	entry->end_lsn = covered;
	entry->created_at = GetCurrentTimestamp();
	for (uint32 i = 0; i < store->nentries; i++)
	{
		const CkpxEntry *incremental = &store->entries[i];

		if (incremental->epoch != store->epoch ||
			incremental->kind != CKPX_KIND_INCREMENTAL ||
			incremental->end_lsn <= entry->end_lsn)
			continue;
		if (incremental->state != CKPX_ENTRY_FINISHED ||
			!take_incremental(entry, incremental, &nfiles))
			break;
	}
	return entry->end_lsn > covered &&
		ckpx_entry_transition(entry, CKPX_EVENT_CREATE) &&
		ckpx_entry_store_insert(store, entry) == CKPX_STORE_OK;
}

/*
 * Find the entry to work on, or make it; false when nothing is due.
 */
static bool
start_entry(CkpxEntryTicket *ticket, long *wait_ms)
{
	CkpxEntry  *entry;
	CkpxEntry	created;
	uint64		now = ckpx_clock_ms();
	bool		due = false;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	if (ckpx_enabled && !CkpxShared->disabled && !CkpxShared->uninstalled)
	{
		entry = ckpx_entry_store_newest(CkpxShared->store, CKPX_KIND_GLOBAL,
										false);
		if ((entry == NULL || entry->state == CKPX_ENTRY_FINISHED) &&
			create_entry(&created))
			entry = ckpx_entry_store_find(CkpxShared->store, created.kind,
										  created.epoch, created.start_lsn,
										  created.end_lsn);
		if (entry != NULL && entry->state == CKPX_ENTRY_PENDING)
			(void) ckpx_entry_transition(entry, CKPX_EVENT_START);
		if (entry != NULL && entry->state == CKPX_ENTRY_RUNNING)
		{
			due = entry->retry_clock_ms <= now;
			if (!due)
				*wait_ms = Min(*wait_ms,
							   (long) (entry->retry_clock_ms - now));
			ticket->kind = entry->kind;
			ticket->epoch = entry->epoch;
			ticket->start_lsn = entry->start_lsn;
			ticket->end_lsn = entry->end_lsn;
		}
	}
	LWLockRelease(CkpxShared->lock);
	return due;
}

/* ------------------------------------------------------------
 * Reading and merging
 * ------------------------------------------------------------
 */

/*
 * List the inputs of the job's entry.  When the epoch began goes to
 * *begun_at.
 */
static void
choose_inputs(GlobalJob *job, int64 *begun_at)
{
	const CkpxEntryStore *store = CkpxShared->store;
	const CkpxEntry *previous;
	XLogRecPtr	position;
	uint32		n = 0;

	/* The store cannot grow beyond its fixed size, so allocate first. */
	job->inputs = palloc0(sizeof(GlobalInput) * (MAX_INPUT_FILES + 2));

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	previous = ckpx_entry_store_newest(CkpxShared->store, CKPX_KIND_GLOBAL,
									   true);
	position = previous != NULL ? previous->end_lsn : job->entry.start_lsn;
	for (uint32 i = store->nentries; i-- > 0;)
	{
		const CkpxEntry *entry = &store->entries[i];

		if (entry->epoch != job->entry.epoch ||
			entry->kind != CKPX_KIND_INCREMENTAL ||
			entry->state != CKPX_ENTRY_FINISHED ||
			entry->end_lsn > job->entry.end_lsn)
			continue;
		if (entry->end_lsn <= position || n > MAX_INPUT_FILES)
			break;
		job->inputs[n++].entry = *entry;
	}
	if (previous != NULL)
		job->inputs[n++].entry = *previous;
	for (uint32 i = 0; i < store->ngaps; i++)
	{
		if (store->gaps[i].epoch == job->entry.epoch &&
			!store->gaps[i].damaged)
			*begun_at = store->gaps[i].detected_at;
	}
	LWLockRelease(CkpxShared->lock);

	/* A global over a hole would claim to know what was never read. */
	job->ninputs = n;
	for (uint32 i = 0; i < n; i++)
	{
		XLogRecPtr	begin = job->inputs[i].entry.start_lsn;
		XLogRecPtr	expected = job->entry.start_lsn;

		if (i + 1 < n)
			expected = job->inputs[i + 1].entry.end_lsn;
		if (begin != expected)
			elog(ERROR, "inputs of a global do not adjoin at %X/%X",
				 LSN_FORMAT_ARGS(begin));
	}
	if (n == 0 || job->inputs[0].entry.end_lsn != job->entry.end_lsn)
		elog(ERROR, "inputs of a global do not reach %X/%X",
			 LSN_FORMAT_ARGS(job->entry.end_lsn));
}

static void
advance_input(GlobalInput *input)
{
	input->more = ckpx_object_file_peek(input->file, &input->key);
}

/*
 * Write one layer of one relation; callback of the merge.  A part ends
 * between two relations.
 */
static void begin_part(GlobalJob *job);
static void end_part(GlobalJob *job, bool last);

static void
write_layer(void *arg, const CkpxRelation *relation, uint32 layer)
{
	GlobalJob  *job = arg;

	if (!job->any_written ||
		!ckpx_rel_key_equal(&job->written, &relation->key))
	{
		if (job->any_written && ckpx_object_written(job->writer) >=
			(uint64) ckpx_checkpoint_size * 1024)
		{
			end_part(job, false);
			job->part++;
			begin_part(job);
		}
		job->written = relation->key;
		job->any_written = true;
	}
	ckpx_object_add_layer(job->writer, relation, layer);
}

/*
 * Open the inputs and plan the layers.
 */
static void
open_inputs(GlobalJob *job)
{
	CkpxLayer  *sources;
	uint32	   *target;
	uint32		nsources = 0;
	int64		begun_at = PG_INT64_MAX;
	XLogRecPtr	tombstones_from = InvalidXLogRecPtr;

	choose_inputs(job, &begun_at);
	sources = palloc(sizeof(CkpxLayer) * (job->ninputs + CKPX_MAX_LAYERS));
	target = palloc(sizeof(uint32) * (job->ninputs + CKPX_MAX_LAYERS));

	for (uint32 i = 0; i < job->ninputs; i++)
	{
		GlobalInput *input = &job->inputs[i];
		const CkpxObjectHeader *header;

		CHECK_FOR_INTERRUPTS();
		input->file = ckpx_object_file_open(&input->entry, false);
		header = ckpx_object_file_header(input->file);
		input->first_source = nsources;
		if (input->entry.kind == CKPX_KIND_GLOBAL)
		{
			memcpy(&sources[nsources], header->layers,
				   sizeof(CkpxLayer) * header->nlayers);
			nsources += header->nlayers;
			tombstones_from = ckpx_object_file_tombstones_from(input->file);
		}
		else
		{
			sources[nsources].end_lsn = input->entry.end_lsn;
			sources[nsources].end_time = input->entry.created_at;
			nsources++;
		}
		advance_input(input);
	}
	ckpx_layers_plan(&job->plan, sources, nsources, begun_at, job->interval,
					 target);
	ckpx_layer_merge_begin(&job->merge, CurrentMemoryContext, &job->plan,
						   target, tombstones_from, write_layer, job);
	pfree(sources);
}

/*
 * Merge everything about the lowest key of all inputs; false when there is
 * none.
 */
static bool
merge_relation(GlobalJob *job)
{
	const CkpxRelKey *lowest = NULL;
	CkpxRelKey	key;

	for (uint32 i = 0; i < job->ninputs; i++)
	{
		if (job->inputs[i].more &&
			(lowest == NULL ||
			 ckpx_rel_key_compare(&job->inputs[i].key, lowest) < 0))
			lowest = &job->inputs[i].key;
	}
	if (lowest == NULL)
		return false;

	key = *lowest;
	for (uint32 i = 0; i < job->ninputs; i++)
	{
		GlobalInput *input = &job->inputs[i];

		while (input->more && ckpx_rel_key_equal(&input->key, &key))
		{
			CkpxRelationView view;
			const char *problem = NULL;

			CHECK_FOR_INTERRUPTS();
			if (!ckpx_object_file_next(input->file, &view) ||
				!ckpx_layer_merge_add(&job->merge, &view,
									  input->first_source + view.layer,
									  &problem))
			{
				char		name[CKPX_NAME_MAX];

				ckpx_object_name(name, input->entry.kind, input->entry.epoch,
								 input->entry.timeline,
								 input->entry.start_lsn,
								 input->entry.end_lsn, 0);
				ereport(ERROR,
						(errcode(ERRCODE_DATA_CORRUPTED),
						 errmsg("checkpoint object \"%s\" is damaged", name),
						 problem != NULL ? errdetail("%s", problem) : 0));
			}
			advance_input(input);
		}
	}
	return true;
}

/* ------------------------------------------------------------
 * Writing
 * ------------------------------------------------------------
 */

static void
prepare_header(GlobalJob *job)
{
	const CkpxEntry *entry = &job->entry;
	CkpxObjectHeader *header = &job->header;
	const CkpxObjectHeader *newest;

	header->version = CKPX_OBJECT_VERSION;
	header->kind = entry->kind;
	header->epoch = entry->epoch;
	header->timeline = entry->timeline;
	header->start_lsn = entry->start_lsn;
	header->end_lsn = entry->end_lsn;
	header->last_record = entry->last_record;
	header->last_change_lsn = entry->last_change_lsn;
	header->truncate_lsn = entry->truncate_lsn;
	header->created_at = entry->created_at;
	header->written_at = GetCurrentTimestamp();
	header->nxacts = entry->nxacts;
	header->wal_bytes = entry->wal_bytes;
	memcpy(header->custom_rmgrs, entry->custom_rmgrs, CKPX_RMGR_BITMAP_BYTES);
	header->nlayers = job->plan.nlayers;
	memcpy(header->layers, job->plan.layers,
		   sizeof(CkpxLayer) * job->plan.nlayers);

	/* The global ends where its newest incremental does. */
	newest = ckpx_object_file_header(job->inputs[0].file);
	header->nopen_xacts = newest->nopen_xacts;
	header->open_xacts = newest->open_xacts;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	header->identity = CkpxShared->identity;
	LWLockRelease(CkpxShared->lock);

	job->options.section_rows = ckpx_checkpoint_block_rows;
	job->options.section_bytes = CKPX_SECTION_BYTES;
	job->options.compression = ckpx_compression;
}

static void
begin_part(GlobalJob *job)
{
	const CkpxEntry *entry = &job->entry;
	char		name[CKPX_NAME_MAX];

	ckpx_object_name(name, entry->kind, entry->epoch, entry->timeline,
					 entry->start_lsn, entry->end_lsn, job->part);
	job->output = ckpx_output_create(name, "global");
	job->header.part = job->part;
	job->writer = ckpx_object_begin(CurrentMemoryContext, &job->header,
									&job->options, ckpx_output_write,
									job->output);
}

static void
end_part(GlobalJob *job, bool last)
{
	CkpxObjectTotals totals;

	memset(&totals, 0, sizeof(totals));
	totals.last_part = last;
	totals.tombstones_from = job->merge.tombstones_from;
	ckpx_object_end(job->writer, &totals);
	job->writer = NULL;
	job->entry.size_bytes += ckpx_output_bytes(job->output);
	ckpx_output_publish(job->output);
	job->output = NULL;

	job->entry.nblocks += totals.nblocks;
	job->entry.undurable += totals.undurable;
}

/* ------------------------------------------------------------
 * The job
 * ------------------------------------------------------------
 */

static void
begin_global(GlobalJob *job)
{
	job->phase = CKPX_PHASE_COLLECT;
	CKPX_FAULT("global-start");
	open_inputs(job);
	prepare_header(job);

	job->phase = CKPX_PHASE_WRITE;
	job->entry.version = CKPX_OBJECT_VERSION;
	job->entry.nrelations = 0;
	job->entry.nblocks = 0;
	job->entry.undurable = 0;
	job->entry.size_bytes = 0;
	begin_part(job);
}

/*
 * The object is whole: publish it.
 */
static void
finish_global(GlobalJob *job)
{
	CkpxEntry  *entry = &job->entry;
	CkpxEntry  *shared_entry;

	ckpx_layer_merge_finish(&job->merge);
	end_part(job, true);
	entry->nparts = job->part + 1;
	entry->nrelations = job->merge.nrelations;

	job->phase = CKPX_PHASE_PUBLISH;
	entry->state = CKPX_ENTRY_FINISHED;
	entry->finished_at = GetCurrentTimestamp();
	entry->write_ms = (entry->finished_at - job->started_at) / 1000;
	entry->pending_ms = Max(0, (job->started_at - entry->created_at) / 1000);
	entry->last_error[0] = '\0';
	entry->failed_phase = CKPX_PHASE_NONE;
	entry->post_pending = ckpx_post_command_is_set();
	ckpx_job_check(entry);
	ckpx_publish(entry);

	CKPX_FAULT("global-published");
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	shared_entry = ckpx_entry_store_find(CkpxShared->store, entry->kind,
										 entry->epoch, entry->start_lsn,
										 entry->end_lsn);
	if (shared_entry != NULL && shared_entry->state == CKPX_ENTRY_RUNNING)
	{
		/* A cancel that came after the last safe point came too late. */
		*shared_entry = *entry;
		shared_entry->cancelled = false;
		shared_entry->state = CKPX_ENTRY_RUNNING;
		(void) ckpx_entry_transition(shared_entry, CKPX_EVENT_FINISH);
	}
	CkpxShared->stat.globals_done++;
	LWLockRelease(CkpxShared->lock);
	ConditionVariableBroadcast(&CkpxShared->progress);

	ckpx_job_log_finished(entry);
	ckpx_announce(entry, CKPX_CHECKPOINT_FINISHED);
}

/*
 * Go on for a while; true when the global is finished.
 */
static bool
run_slice(GlobalJob *job)
{
	uint64		until = ckpx_clock_ms() + SLICE_MS;

	if (job->phase == CKPX_PHASE_NONE)
		begin_global(job);
	do
	{
		CKPX_FAULT("global-relation");
		ckpx_job_check(&job->entry);
		if (!merge_relation(job))
		{
			finish_global(job);
			return true;
		}
	} while (ckpx_clock_ms() < until);
	return false;
}

static void
note_failure(const GlobalJob *job, const ErrorData *error)
{
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	CkpxShared->global_failed = job->attempt;
	strlcpy(CkpxShared->global_error, error->message, CKPX_ERROR_TEXT_MAX);
	LWLockRelease(CkpxShared->lock);

	/* This one tells who waits. */
	ckpx_job_note_failure(&job->ticket, job->phase, error);
}

bool
ckpx_global_force(void)
{
	const CkpxEntry *newest;
	bool		any;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	newest = ckpx_entry_store_newest(CkpxShared->store, CKPX_KIND_GLOBAL,
									 false);
	any = ckpx_entry_store_uncovered(CkpxShared->store) > 0 &&
		(newest == NULL || newest->state == CKPX_ENTRY_FINISHED ||
		 newest->attempts == 0);
	CkpxShared->global_request =
		Max(CkpxShared->global_request,
			ckpx_entry_store_checkpointed(CkpxShared->store));
	LWLockRelease(CkpxShared->lock);
	return any;
}

/*
 * Make the job of a running entry.
 */
static void
create_job(const CkpxEntryTicket *ticket)
{
	MemoryContext context;
	GlobalJob  *job;

	context = AllocSetContextCreate(TopMemoryContext, "ckpx global",
									ALLOCSET_DEFAULT_SIZES);
	job = MemoryContextAllocZero(context, sizeof(GlobalJob));
	job->context = context;
	job->ticket = *ticket;
	job->started_at = GetCurrentTimestamp();
	job->interval = (int64) ckpx_global_version_interval * 1000;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	job->attempt = ++CkpxShared->global_started;
	LWLockRelease(CkpxShared->lock);

	current_job = job;
	if (!ckpx_job_copy_running(ticket, &job->entry))
		drop_job();
}

void
ckpx_global_step(long *wait_ms)
{
	MemoryContext context = CurrentMemoryContext;
	CkpxEntryTicket tickets[CKPX_QUEUE_BATCH];
	CkpxEntryTicket ticket;
	CkpxEntry	entry;
	uint32		ntickets;

	/* They only say that there may be something to do. */
	ntickets = ckpx_dequeue(CKPX_QUEUE_GLOBAL, tickets, CKPX_QUEUE_BATCH);
	ckpx_dequeue_done(CKPX_QUEUE_GLOBAL, ntickets);

	if (current_job == NULL && !start_entry(&ticket, wait_ms))
		return;
	if (!ckpx_job_begin(true))
		return;

	/* The history may have been loaded anew, or a new epoch begun. */
	if (current_job == NULL)
		create_job(&ticket);
	else if (!ckpx_job_copy_running(&current_job->ticket, &entry))
		drop_job();
	if (current_job == NULL)
	{
		ckpx_job_end();
		return;
	}

	ckpx_worker_report(CKPX_WORKER_CHECKPOINTER, CKPX_WORKER_BUSY, "global");
	PG_TRY();
	{
		MemoryContextSwitchTo(current_job->context);
		if (run_slice(current_job))
			drop_job();
		MemoryContextSwitchTo(context);
	}
	PG_CATCH();
	{
		GlobalJob	failed;
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		failed = *current_job;
		error = ckpx_job_catch(context);
		if (error->sqlerrcode != ERRCODE_QUERY_CANCELED)
		{
			if (!ckpx_error_is_external(error))
				ReThrowError(error);
			note_failure(&failed, error);
		}
	}
	PG_END_TRY();
	ckpx_job_end();
	*wait_ms = 0;
}
