/*-------------------------------------------------------------------------
 *
 * layers.c
 *		The layers of a global: planning, merging, answering.
 *
 * Why the union of the layers after X is right.  A block is changed since X
 * if some incremental after X lists it, or has a limit at or before it.  If
 * one lists it, so does the one of its last change, which ends after X as
 * well, and the layer of that is in the answer.  Limits are in the layers as
 * they were in the incrementals.  What a newer layer's limit makes changed
 * anyway need not be listed in an older one, for no answer has the older
 * layer without the newer.
 *
 * Why a removed tombstone does no harm.  When the newest record about a
 * relation says that it was dropped, and the answer's end lies after that,
 * the relation is not there at the end, and nothing about it is needed.
 * Should its number be used again, a later record says that it was created,
 * which has limit 0.  A relation with a newer record keeps everything.  The
 * forks of a relation hang together: a visibility map may come to life again
 * without a record of its own creation, so its tombstone stays while the main
 * fork's record does, and where it was removed before the relation was created
 * again, the answer is completed by ckpx_layers_complete().
 *
 * With a database's tombstone go its relations, which have none of their own.
 * But only those of which the last was heard in an older source: a database
 * that left a tablespace may have new relations there at once, without a
 * record about the database.
 *
 *-------------------------------------------------------------------------
 */
#include "core/map/layers.h"

/*
 * Planning
 */

/*
 * Join neighbours among the old layers while the result is at most 'factor'
 * times as long as it is old; returns how many layers there are then.  With
 * layers == NULL it is only counted.  'times' has the sources' ends, and
 * behind them the beginning of the oldest.
 */
static uint32
join_layers(const CkpxLayer *sources, const int64 *times, uint32 nsources,
			uint32 nkept, double factor, CkpxLayer *layers, uint32 *target)
{
	int64		newest = times[0];
	uint32		nlayers = 0;
	uint32		first = 0;		/* newest source of the present layer */

	for (uint32 i = 0; i < nsources; i++)
	{
		bool		joins = false;

		if (i > nkept)
		{
			/* A source begins where the next older one ends. */
			double		length = (double) (times[first] - times[i + 1]);
			double		age = (double) (newest - times[first]);

			joins = length <= age * factor;
		}
		if (!joins)
		{
			if (layers != NULL)
				layers[nlayers] = sources[i];
			first = i;
			nlayers++;
		}
		if (target != NULL)
			target[i] = nlayers - 1;
	}
	return nlayers;
}

void
ckpx_layers_plan(CkpxLayerPlan *plan, const CkpxLayer *sources,
				 uint32 nsources, int64 start_time, int64 interval,
				 uint32 *target)
{
	int64	   *times = palloc(sizeof(int64) * (nsources + 1));
	uint32		nwithin = 0;	/* sources that end within the interval */
	uint32		nkept;
	double		factor = 1;

	Assert(nsources > 0);

	/*
	 * A clock that was set back must not make a layer younger than newer
	 * ones.
	 */
	for (uint32 i = 0; i < nsources; i++)
	{
		Assert(i == 0 || sources[i].end_lsn < sources[i - 1].end_lsn);
		times[i] = sources[i].end_time;
		if (i > 0)
			times[i] = Min(times[i], times[i - 1]);
		if (times[0] - times[i] <= interval)
			nwithin = i + 1;
	}
	times[nsources] = Min(start_time, times[nsources - 1]);

	/*
	 * Sources 0 to nkept - 1 are layers of their own, and the oldest of them
	 * may begin anywhere: nkept is where the first old layer begins.
	 */
	nkept = Min(nwithin, CKPX_MAX_RECENT_LAYERS);
	while (join_layers(sources, times, nsources, nkept, factor, NULL,
					   NULL) > CKPX_MAX_LAYERS)
		factor *= 2;

	memset(plan, 0, sizeof(CkpxLayerPlan));
	plan->nlayers = join_layers(sources, times, nsources, nkept, factor,
								plan->layers, target);
	for (uint32 i = 0; i < nsources; i++)
	{
		/* A layer has the end of its newest source. */
		if (i < nwithin && (i == 0 || target[i] != target[i - 1]))
			plan->nrecent = target[i] + 1;
	}
	pfree(times);
}

uint32
ckpx_layers_since(const CkpxLayer *layers, uint32 nlayers, XLogRecPtr lsn)
{
	uint32		n = 0;

	while (n < nlayers && layers[n].end_lsn > lsn)
		n++;
	return n;
}

void
ckpx_layers_complete(CkpxDirtyTree *tree)
{
	uint32		nrelations;
	CkpxRelation **relations = ckpx_dirty_tree_sorted(tree, &nrelations);

	for (uint32 i = 0; i < nrelations; i++)
	{
		CkpxRelKey	key = relations[i]->key;

		if (key.relation == CKPX_DATABASE_WIDE || key.fork != MAIN_FORKNUM ||
			(relations[i]->flags & CKPX_REL_CREATED) == 0)
			continue;

		/* What is listed stays: it was written after the creation. */
		key.fork = VISIBILITYMAP_FORKNUM;
		ckpx_dirty_tree_get(tree, &key)->blocks.limit_block = 0;
	}
	pfree(relations);
}

/*
 * Merging
 */

void
ckpx_layer_merge_begin(CkpxLayerMerge *merge, CkpxMemory mem,
					   const CkpxLayerPlan *plan, const uint32 *target,
					   XLogRecPtr tombstones_from, CkpxLayerEmit emit,
					   void *arg)
{
	memset(merge, 0, sizeof(CkpxLayerMerge));
	merge->mem = mem;
	merge->plan = plan;
	merge->target = target;
	merge->tombstones_from = tombstones_from;
	merge->emit = emit;
	merge->arg = arg;
	ckpx_block_set_init(&merge->listed, mem);
}

static inline bool
same_database(const CkpxRelKey *a, const CkpxRelKey *b)
{
	return a->database == b->database && a->tablespace == b->tablespace;
}

/*
 * Is the relation, whose newest layer is in merge->relation, to be left out?
 */
static bool
is_removable(CkpxLayerMerge *merge)
{
	const CkpxRelation *relation = &merge->relation;
	const CkpxRelKey *key = &relation->key;

	/* Gone with its database, and nothing was heard of it since. */
	if (merge->gone_any && same_database(&merge->gone, key) &&
		merge->newest > merge->gone_source)
		return true;

	if (merge->layer < merge->plan->nrecent ||
		(relation->flags & CKPX_REL_DROPPED) == 0 ||
		relation->blocks.nchunks > 0)
		return false;
	if (merge->kept_any && same_database(&merge->kept, key) &&
		merge->kept.relation == key->relation)
		return false;

	merge->tombstones_from = Max(merge->tombstones_from,
								 merge->plan->layers[merge->layer].end_lsn);
	if (key->relation == CKPX_DATABASE_WIDE)
	{
		merge->gone_any = true;
		merge->gone = *key;
		merge->gone_source = merge->newest;
	}
	return true;
}

/*
 * The present layer of the present relation is complete: hand it out, without
 * what newer layers list.
 */
static void
finish_layer(CkpxLayerMerge *merge)
{
	CkpxRelation *relation = &merge->relation;
	CkpxBlockSet *blocks = &relation->blocks;
	BlockNumber limit = blocks->limit_block;

	if (!merge->emitted)
	{
		if (is_removable(merge))
			merge->removed = true;
		else
		{
			merge->emitted = true;
			merge->kept_any = true;
			merge->kept = relation->key;
			merge->nrelations++;
		}
	}
	if (merge->removed)
		return;

	/* Without its own limit, so that all blocks behind the newer one go. */
	blocks->limit_block = InvalidBlockNumber;
	ckpx_block_set_set_limit(blocks, merge->listed.limit_block);
	blocks->limit_block = limit;
	ckpx_block_set_subtract(blocks, &merge->listed);

	if (!ckpx_relation_is_blank(relation))
		merge->emit(merge->arg, relation, merge->layer);

	/* A lower limit here does not take back what newer layers list. */
	if (merge->listed.nchunks == 0)
	{
		BlockNumber lowest = Min(merge->listed.limit_block, limit);

		ckpx_block_set_reset(&merge->listed);
		merge->listed = *blocks;
		merge->listed.limit_block = lowest;
		ckpx_block_set_init(blocks, merge->mem);
	}
	else
	{
		ckpx_block_set_union(&merge->listed, blocks);
		merge->listed.limit_block = Min(merge->listed.limit_block, limit);
	}
}

static void
finish_relation(CkpxLayerMerge *merge)
{
	if (!merge->active)
		return;
	finish_layer(merge);
	ckpx_block_set_reset(&merge->relation.blocks);
	ckpx_block_set_reset(&merge->listed);
	merge->active = false;
}

bool
ckpx_layer_merge_add(CkpxLayerMerge *merge, const CkpxRelationView *view,
					 uint32 source, const char **problem)
{
	CkpxRelation *relation = &merge->relation;
	uint32		layer = merge->target[source];

	Assert(layer < merge->plan->nlayers);

	if (merge->active && !ckpx_rel_key_equal(&relation->key, &view->key))
	{
		Assert(ckpx_rel_key_compare(&relation->key, &view->key) < 0);
		finish_relation(merge);
	}
	else if (merge->active && merge->layer != layer)
	{
		Assert(merge->layer < layer);
		finish_layer(merge);
		ckpx_block_set_reset(&relation->blocks);
		ckpx_relation_init(relation, &view->key, merge->mem);
		merge->layer = layer;
	}

	if (!merge->active)
	{
		ckpx_relation_init(relation, &view->key, merge->mem);
		merge->active = true;
		merge->emitted = false;
		merge->removed = false;
		merge->newest = source;
		merge->layer = layer;
	}
	return merge->removed ||
		ckpx_relation_prepend_view(relation, view, problem);
}

void
ckpx_layer_merge_finish(CkpxLayerMerge *merge)
{
	finish_relation(merge);
}
