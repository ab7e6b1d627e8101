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
choose_inputs(CkpxGlobalMerge *global, int64 *begun_at)
{
	const CkpxEntryStore *store = CkpxShared->store;
	const CkpxEntry *previous;
	XLogRecPtr	position;
	uint32		n = 0;

	/* The store cannot grow beyond its fixed size, so allocate first. */
	global	  ->inputs = palloc0(sizeof(CkpxGlobalInput) *
								 (CKPX_GLOBAL_MAX_INPUTS + 2));

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	previous = ckpx_entry_store_previous_global(store);
	position = previous != NULL ? previous->range.end_lsn :
		global	  ->entry.range.start_lsn;

	for (uint32 i = ckpx_entry_store_ending_after(store,
												  global->entry.range.epoch,
												  global->entry.range.end_lsn);
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
		global	  ->inputs[n++].entry = *entry;
	}
	if (previous != NULL)
		global	  ->inputs[n++].entry = *previous;

	for (uint32 i = 0; i < store->ngaps; i++)
	{
		if (store->gaps[i].epoch == global->entry.range.epoch &&
			!store->gaps[i].damaged)
			*begun_at = store->gaps[i].detected_at;
	}
	LWLockRelease(CkpxShared->lock);

	/* A global over a hole would claim to know what was never read. */
	global	  ->ninputs = n;

	for (uint32 i = 0; i < n; i++)
	{
		XLogRecPtr	begin = global->inputs[i].entry.range.start_lsn;
		XLogRecPtr	expected = global->entry.range.start_lsn;

		if (i + 1 < n)
			expected = global->inputs[i + 1].entry.range.end_lsn;

		if (begin != expected)
			elog(ERROR, "inputs of a global do not adjoin at %X/%X",
				 LSN_FORMAT_ARGS(begin));
	}
	if (n == 0 || global->inputs[0].entry.range.end_lsn !=
		global->entry.range.end_lsn)
		elog(ERROR, "inputs of a global do not reach %X/%X",
			 LSN_FORMAT_ARGS(global->entry.range.end_lsn));
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
	CkpxGlobalMerge *global = arg;

	ckpx_object_output_add(global->output, relation, layer);
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
learn_undurable(CkpxGlobalMerge *global)
{
	global	  ->undurable = palloc(sizeof(CkpxRelKey) * CKPX_JOB_LIST);

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	global	  ->undurable_known = CkpxShared->undurable_upto >=
		global->entry.range.end_lsn &&
		CkpxShared->nundurable <= CKPX_JOB_LIST;

	if (global->undurable_known)
	{
		global	  ->nundurable = CkpxShared->nundurable;

		memcpy(global->undurable, CkpxShared->undurable,
			   sizeof(CkpxRelKey) * global->nundurable);
	}
	LWLockRelease(CkpxShared->lock);
	if (global->nundurable > 0)
		qsort(global->undurable, global->nundurable, sizeof(CkpxRelKey),
			  compare_keys);
}

static bool
is_undurable(const CkpxGlobalMerge *global, const CkpxRelKey *key)
{
	return !global->undurable_known ||
		(global->nundurable > 0 &&
		 bsearch(key, global->undurable, global->nundurable, sizeof(CkpxRelKey),
				 compare_keys) != NULL);
}

/*
 * Open the inputs, plan the layers and begin the object.
 */
void
ckpx_global_merge_begin(CkpxGlobalMerge *global)
{
	const CkpxObjectHeader *newest;
	CkpxObjectHeader output_header = {0};
	CkpxLayer  *sources;
	uint32	   *target;
	uint32		nsources = 0;
	int64		begun_at = PG_INT64_MAX;
	XLogRecPtr	tombstones_from = InvalidXLogRecPtr;

	choose_inputs(global, &begun_at);
	ckpx_progress_phase(CKPX_JOB_PHASE_OPEN, global->ninputs);
	learn_undurable(global);
	sources = palloc(sizeof(CkpxLayer) * (global->ninputs + CKPX_MAX_LAYERS));
	target = palloc(sizeof(uint32) * (global->ninputs + CKPX_MAX_LAYERS));

	for (uint32 i = 0; i < global->ninputs; i++)
	{
		CkpxGlobalInput *input = &global->inputs[i];
		const CkpxObjectHeader *header;

		CHECK_FOR_INTERRUPTS();
		ckpx_progress_done(i);
		global	  ->nrelations += input->entry.nrelations;

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
	ckpx_layers_plan(&global->plan, sources, nsources, begun_at,
					 (int64) ckpx_global_version_interval * 1000, target);
	ckpx_layer_merge_begin(&global->merge, CurrentMemoryContext, &global->plan,
						   target, tombstones_from, write_layer, global);
	pfree(sources);

	/* The global ends where its newest incremental does. */
	newest = ckpx_object_file_header(global->inputs[0].file);
	output_header.nopen_xacts = newest->nopen_xacts;
	output_header.open_xacts = newest->open_xacts;
	output_header.nlayers = global->plan.nlayers;

	memcpy(output_header.layers, global->plan.layers,
		   sizeof(CkpxLayer) * global->plan.nlayers);
	global	  ->output = ckpx_object_output_create(&global->entry, &output_header,
												   "global");

	ckpx_progress_phase(CKPX_JOB_PHASE_MERGE, global->nrelations);
}

/*
 * Merge everything about the lowest key of all inputs; false when there is
 * none.
 */
bool
ckpx_global_merge_relation(CkpxGlobalMerge *global)
{
	const CkpxRelKey *lowest = NULL;
	CkpxRelKey	key;

	for (uint32 i = 0; i < global->ninputs; i++)
	{
		if (global->inputs[i].more &&
			(lowest == NULL ||
			 ckpx_rel_key_compare(&global->inputs[i].key, lowest) < 0))
			lowest = &global->inputs[i].key;
	}
	if (lowest == NULL)
		return false;

	key = *lowest;
	for (uint32 i = 0; i < global->ninputs; i++)
	{
		CkpxGlobalInput *input = &global->inputs[i];

		if (input->more && ckpx_rel_key_equal(&input->key, &key))
			global	  ->nmerged++;

		while (input->more && ckpx_rel_key_equal(&input->key, &key))
		{
			CkpxRelationView view;
			const char *problem = NULL;

			bool		ok;

			CHECK_FOR_INTERRUPTS();
			ok = ckpx_object_file_next(input->file, &view);
			if (ok && (view.flags & CKPX_REL_UNDURABLE) != 0 &&
				!is_undurable(global, &key))
				view.flags &= ~CKPX_REL_UNDURABLE;
			if (!ok || !ckpx_layer_merge_add(&global->merge, &view,
											 input->first_source + view.layer,
											 &problem))
				ckpx_object_file_damaged(input->file, problem);
			advance_input(input);
		}
	}
	ckpx_progress_done(global->nmerged);
	return true;
}

/*
 * Complete the object and the entry's counts.
 */
void
ckpx_global_merge_end(CkpxGlobalMerge *global)
{
	ckpx_layer_merge_finish(&global->merge);
	ckpx_object_output_end(global->output, global->merge.tombstones_from);
	global	  ->output = NULL;
	global	  ->entry.nrelations = global->merge.nrelations;
	global	  ->entry.tombstones_from = global->merge.tombstones_from;
}

/*
 * Close the inputs, and remove an object that was not completed.
 */
void
ckpx_global_merge_drop(CkpxGlobalMerge *global, bool closed)
{
	for (uint32 i = 0; i < global->ninputs && !closed; i++)
	{
		if (global->inputs[i].file != NULL)
			ckpx_object_file_close(global->inputs[i].file);
	}
	ckpx_object_output_abort(global->output, closed);
}
