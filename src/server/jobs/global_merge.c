/*-------------------------------------------------------------------------
 *
 * global_merge.c
 *		The previous global and the incrementals after it, merged into a new
 *		one.
 *
 * The merge reads all inputs in the order of their keys at once.  Each of
 * them keeps one section, which is small or has a single record; that one is
 * let go as soon as it is through.  So the memory does not depend on the size
 * of the inputs but on the largest map of one relation.
 *
 * A relation is merged within one step of the job, because only its own map
 * need be in memory then, and parts end between two relations.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "miscadmin.h"
#include "server/base/fault.h"
#include "server/base/options.h"
#include "server/jobs/global_entry.h"
#include "server/jobs/global_merge.h"

/*
 * List the inputs of the job's entry.  When the epoch began goes to
 * *begun_at.
 */
static void
choose_inputs(CkpxGlobalMerge *job, int64 *begun_at)
{
	const CkpxEntryStore *store = CkpxShared->store;
	const CkpxEntry *previous;
	XLogRecPtr	position;
	uint32		n = 0;

	/* The store cannot grow beyond its fixed size, so allocate first. */
	job->inputs = palloc0(sizeof(CkpxGlobalInput) *
						  (CKPX_GLOBAL_MAX_INPUTS + 2));

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	previous = ckpx_entry_store_previous_global(store);
	position = previous != NULL ? previous->range.end_lsn :
		job->entry.range.start_lsn;

	for (uint32 i = ckpx_entry_store_ending_after(store,
												  job->entry.range.epoch,
												  job->entry.range.end_lsn);
		 i-- > 0;)
	{
		const CkpxEntry *entry;

		if (ckpx_entry_store_span(store, i).kind != CKPX_KIND_INCREMENTAL)
			continue;
		entry = ckpx_entry_store_at(store, i);
		if (entry->state != CKPX_ENTRY_FINISHED)
			continue;
		if (entry->range.end_lsn <= position || n > CKPX_GLOBAL_MAX_INPUTS)
			break;
		job->inputs[n++].entry = *entry;
	}
	if (previous != NULL)
		job->inputs[n++].entry = *previous;

	for (uint32 i = 0; i < store->ngaps; i++)
	{
		if (store->gaps[i].epoch == job->entry.range.epoch &&
			!store->gaps[i].damaged)
			*begun_at = store->gaps[i].detected_at;
	}
	LWLockRelease(CkpxShared->lock);

	/* A global over a hole would claim to know what was never read. */
	job->ninputs = n;

	for (uint32 i = 0; i < n; i++)
	{
		XLogRecPtr	begin = job->inputs[i].entry.range.start_lsn;
		XLogRecPtr	expected = job->entry.range.start_lsn;

		if (i + 1 < n)
			expected = job->inputs[i + 1].entry.range.end_lsn;

		if (begin != expected)
			elog(ERROR, "inputs of a global do not adjoin at %X/%X",
				 LSN_FORMAT_ARGS(begin));
	}
	if (n == 0 || job->inputs[0].entry.range.end_lsn !=
		job->entry.range.end_lsn)
		elog(ERROR, "inputs of a global do not reach %X/%X",
			 LSN_FORMAT_ARGS(job->entry.range.end_lsn));
}

static void
advance_input(CkpxGlobalInput *input)
{
	input->more = ckpx_object_file_peek(input->file, &input->key);
}

/* Write one layer of one relation; callback of the merge. */
static void
write_layer(void *arg, const CkpxRelation *relation, uint32 layer)
{
	CkpxGlobalMerge *job = arg;

	ckpx_object_output_add(job->output, relation, layer);
}

static int
compare_keys(const void *a, const void *b)
{
	return ckpx_rel_key_compare(a, b);
}

/*
 * Learn which relations are undurable even now, if the runner has told since
 * the global's end: what an input says of others is over.
 */
static void
learn_undurable(CkpxGlobalMerge *job)
{
	job->undurable = palloc(sizeof(CkpxRelKey) * CKPX_JOB_LIST);

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	job->undurable_known = CkpxShared->undurable_upto >=
		job->entry.range.end_lsn &&
		CkpxShared->nundurable <= CKPX_JOB_LIST;

	if (job->undurable_known)
	{
		job->nundurable = CkpxShared->nundurable;

		memcpy(job->undurable, CkpxShared->undurable,
			   sizeof(CkpxRelKey) * job->nundurable);
	}
	LWLockRelease(CkpxShared->lock);
	if (job->nundurable > 0)
		qsort(job->undurable, job->nundurable, sizeof(CkpxRelKey),
			  compare_keys);
}

static bool
is_undurable(const CkpxGlobalMerge *job, const CkpxRelKey *key)
{
	return !job->undurable_known ||
		(job->nundurable > 0 &&
		 bsearch(key, job->undurable, job->nundurable, sizeof(CkpxRelKey),
				 compare_keys) != NULL);
}

/* Put the newest marks of all inputs, which are open, into a header. */
static void
gather_marks(const CkpxGlobalMerge *job, CkpxObjectHeader *header)
{
	CkpxMarks  *marks = palloc(sizeof(CkpxMarks));

	marks->count = 0;
	for (uint32 i = job->ninputs; i-- > 0;)
	{
		const CkpxObjectHeader *input;

		input = ckpx_object_file_header(job->inputs[i].file);
		ckpx_marks_append(marks, input->marks, input->nmarks);
	}
	header->nmarks = marks->count;
	header->marks = marks->items;
}

/*
 * Open the inputs, plan the layers and begin the object.
 */
void
ckpx_global_merge_begin(CkpxGlobalMerge *job)
{
	const CkpxObjectHeader *newest;
	CkpxObjectHeader output_header = {0};
	CkpxLayer  *sources;
	uint32	   *target;
	uint32		nsources = 0;
	int64		begun_at = PG_INT64_MAX;
	XLogRecPtr	tombstones_from = InvalidXLogRecPtr;

	choose_inputs(job, &begun_at);
	ckpx_progress_phase(CKPX_JOB_PHASE_OPEN, job->ninputs);
	learn_undurable(job);
	sources = palloc(sizeof(CkpxLayer) * (job->ninputs + CKPX_MAX_LAYERS));
	target = palloc(sizeof(uint32) * (job->ninputs + CKPX_MAX_LAYERS));

	for (uint32 i = 0; i < job->ninputs; i++)
	{
		CkpxGlobalInput *input = &job->inputs[i];
		const CkpxObjectHeader *header;

		CHECK_FOR_INTERRUPTS();
		ckpx_progress_done(i);
		job->nrelations += input->entry.nrelations;

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
			sources[nsources].end_lsn = input->entry.range.end_lsn;
			sources[nsources].end_time = input->entry.range.created_at;
			nsources++;
		}
		advance_input(input);
	}
	ckpx_layers_plan(&job->plan, sources, nsources, begun_at,
					 (int64) ckpx_global_version_interval * 1000, target);
	ckpx_layer_merge_begin(&job->merge, CurrentMemoryContext, &job->plan,
						   target, tombstones_from, write_layer, job);
	pfree(sources);

	/* The global ends where its newest incremental does. */
	newest = ckpx_object_file_header(job->inputs[0].file);
	output_header.nopen_xacts = newest->nopen_xacts;
	output_header.open_xacts = newest->open_xacts;
	output_header.nlayers = job->plan.nlayers;
	gather_marks(job, &output_header);
	memcpy(output_header.layers, job->plan.layers,
		   sizeof(CkpxLayer) * job->plan.nlayers);
	job->output = ckpx_object_output_begin(&job->entry, &output_header,
										   "global");

	ckpx_progress_phase(CKPX_JOB_PHASE_MERGE, job->nrelations);
}

/*
 * Merge everything about the lowest key of all inputs; false when there is
 * none.
 */
bool
ckpx_global_merge_relation(CkpxGlobalMerge *job)
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
		CkpxGlobalInput *input = &job->inputs[i];

		if (input->more && ckpx_rel_key_equal(&input->key, &key))
			job->nmerged++;

		while (input->more && ckpx_rel_key_equal(&input->key, &key))
		{
			CkpxRelationView view;
			const char *problem = NULL;

			bool		ok;

			CHECK_FOR_INTERRUPTS();
			ok = ckpx_object_file_next(input->file, &view);
			if (ok && (view.flags & CKPX_REL_UNDURABLE) != 0 &&
				!is_undurable(job, &key))
				view.flags &= ~CKPX_REL_UNDURABLE;
			if (!ok || !ckpx_layer_merge_add(&job->merge, &view,
											 input->first_source + view.layer,
											 &problem))
				ckpx_object_file_damaged(input->file, problem);
			advance_input(input);
		}
	}
	ckpx_progress_done(job->nmerged);
	return true;
}

/*
 * Complete the object and the entry's counts.
 */
void
ckpx_global_merge_end(CkpxGlobalMerge *job)
{
	ckpx_layer_merge_finish(&job->merge);
	ckpx_object_output_end(job->output, job->merge.tombstones_from);
	job->output = NULL;
	job->entry.nrelations = job->merge.nrelations;
	job->entry.tombstones_from = job->merge.tombstones_from;
}

/*
 * Close the inputs and the object, which may not be complete.
 */
void
ckpx_global_merge_drop(CkpxGlobalMerge *job, bool closed)
{
	for (uint32 i = 0; i < job->ninputs && !closed; i++)
	{
		if (job->inputs[i].file != NULL)
			ckpx_object_file_close(job->inputs[i].file);
	}
	ckpx_object_output_abort(job->output, closed);
}
