/*-------------------------------------------------------------------------
 *
 * map_reader.c
 *		The map of any range, from objects and the logtail.
 *
 * Why nothing is missed.  Inputs are chosen while the shared lock is held:
 * first the objects, see ckpx_entry_store_collect(), then, with the lock
 * still held, the segments from the end of the last one on are pinned.  The
 * runner forgets a segment only after the incremental that holds its range is
 * finished, which it learns under the same lock; so at the moment of the
 * choice each LSN up to the collected position lies in a chosen incremental,
 * in a pinned segment, or in neither because it is a real hole. A pinned
 * segment stays until it is unpinned; an object may be removed at any time,
 * and then the choice is made again: what replaced it is in the store before
 * it went.
 *
 * Merging is ordered (block_set.h).  Segments may overlap the last object,
 * where a segment was not trimmed yet; appending such a segment is harmless:
 * the blocks it makes the map forget lie at or after its limit, which the map
 * takes over, so they are still changed.
 *
 * For one relation nothing is gathered but its own forks and its database's
 * row: objects find those through their table of contents, segments are read
 * through in place.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "api/api.h"
#include "api/map_reader.h"
#include "miscadmin.h"
#include "server/base/fault.h"
#include "server/base/shared_state.h"
#include "server/logtail/logtail.h"
#include "server/store/object_file.h"

/* How often the choice is made anew when an object has gone. */
#define MAX_CHOICES			10

/* The database-wide row, and every fork but the free space map. */
#define MAX_ONE_RELATION	4

/* What a map is made of: entries first, then pinned segments. */
typedef struct MapInputs
{
	uint32		nentries;
	CkpxEntrySpan *entries;
	uint32		nsegments;
	CkpxSegmentRef *segments;
	XLogRecPtr	reached;		/* end of the cover */
	XLogRecPtr	missing;		/* first LSN not covered, or Invalid */
	XLogRecPtr	oldest_end;		/* or the oldest end that a global answers */
	bool		gap_found;		/* 'gap' explains what is missing */
	CkpxGap		gap;
} MapInputs;

/* One relation's forks, gathered outside a tree. */
typedef struct OneRelation
{
	CkpxRelation forks[MAX_ONE_RELATION];	/* in key order */
	bool		found[MAX_ONE_RELATION];
} OneRelation;

/*
 * Find the gap that explains why 'lsn' is missing: one that holds it, or the
 * first that begins at or after it.  Caller holds the lock.
 */
static bool
find_gap(XLogRecPtr lsn, CkpxGap *gap)
{
	const CkpxEntryStore *store = CkpxShared->store;

	const CkpxGap *best = NULL;

	/* Rows are in the order in which they were found. */
	for (uint32 i = 0; i < store->ngaps; i++)
	{
		const CkpxGap *g = &store->gaps[i];

		if (lsn < g->to_lsn && (best == NULL || g->to_lsn < best->to_lsn))
			best = g;
	}
	if (best != NULL)
		*gap = *best;
	return best != NULL;
}

/*
 * Do the segments adjoin, from 'start_lsn' on, up to 'end_lsn'?  Returns how
 * far they do.
 */
static XLogRecPtr
follow_segments(const CkpxSegmentRef *segments, uint32 nsegments,
				XLogRecPtr start_lsn, XLogRecPtr end_lsn)
{
	XLogRecPtr	reached = start_lsn;

	for (uint32 i = 0; i < nsegments && reached < end_lsn; i++)
	{
		if (segments[i].info.start_lsn > reached)
			break;
		reached = Max(reached, segments[i].info.end_lsn);
	}
	return reached;
}

/*
 * Choose what answers [start_lsn, end_lsn), and pin the segments among it.
 */
static void
choose_inputs(MapInputs *inputs, XLogRecPtr start_lsn, XLogRecPtr end_lsn)
{
	const CkpxEntryStore *store = CkpxShared->store;
	CkpxCollectResult result;
	uint32	   *chosen;

	/* Under the lock nothing is allocated, for nothing may fail there. */
	memset(inputs, 0, sizeof(MapInputs));
	chosen = palloc(sizeof(uint32) * store->max_entries);
	inputs->entries = palloc(sizeof(CkpxEntrySpan) * store->max_entries);
	inputs->segments = ckpx_logtail_make_room();

	ckpx_lock_history();
	ckpx_entry_store_collect(store, start_lsn, end_lsn, true, chosen, &result);
	for (uint32 i = 0; i < result.nchosen; i++)
		inputs->entries[i] = ckpx_entry_store_span(store, chosen[i]);
	inputs->nentries = result.nchosen;
	inputs->reached = result.nchosen > 0 ? result.checkpointed : start_lsn;
	inputs->oldest_end = result.oldest_end;

	/*
	 * The logtail belongs to the open epoch.  Where the same LSNs were
	 * written twice, an older epoch's answer must not run on into it.
	 */
	if (inputs->reached < end_lsn && result.epoch != 0 &&
		result.epoch == store->epoch)
	{
		inputs->nsegments = ckpx_logtail_pin_into(inputs->segments,
												  inputs->reached, end_lsn);
		inputs->reached = follow_segments(inputs->segments,
										  inputs->nsegments,
										  inputs->reached, end_lsn);
	}

	if (inputs->reached < end_lsn)
	{
		inputs->missing = inputs->reached;
		inputs->gap_found = find_gap(inputs->missing, &inputs->gap);
	}
	LWLockRelease(CkpxShared->lock);

	pfree(chosen);
}

/*
 * All that is known of a chosen object.  Of one that is gone by now, what its
 * span says: its file is opened or not.
 */
static void
copy_entry(const CkpxEntrySpan *span, CkpxEntry *entry)
{
	const CkpxEntry *found;

	memset(entry, 0, sizeof(CkpxEntry));
	entry->kind = (CkpxEntryKind) span->kind;
	entry->state = CKPX_ENTRY_FINISHED;
	entry->epoch = span->epoch;
	entry->timeline = span->timeline;
	entry->start_lsn = span->start_lsn;
	entry->end_lsn = span->end_lsn;
	entry->version = span->version;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	found = ckpx_entry_store_find(CkpxShared->store, entry->kind,
								  entry->epoch, entry->start_lsn,
								  entry->end_lsn);
	if (found != NULL && found->state == CKPX_ENTRY_FINISHED)
		*entry = *found;
	LWLockRelease(CkpxShared->lock);
}

static void
release_inputs(MapInputs *inputs)
{
	ckpx_logtail_unpin(inputs->segments, inputs->nsegments);
	inputs->nsegments = 0;
}

static void
report_hole(const MapInputs *inputs, XLogRecPtr start_lsn, XLogRecPtr end_lsn)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("no block map for %X/%X - %X/%X",
					LSN_FORMAT_ARGS(start_lsn), LSN_FORMAT_ARGS(end_lsn)),
			 errdetail("The first missing LSN is %X/%X.",
					   LSN_FORMAT_ARGS(inputs->missing)),
			 !inputs->gap_found ? 0 :
			 inputs->gap.from_lsn == InvalidXLogRecPtr ?
			 errhint("Tracking began at %X/%X.",
					 LSN_FORMAT_ARGS(inputs->gap.to_lsn)) :
			 errhint("Changes were not tracked between %X/%X and %X/%X: %s.",
					 LSN_FORMAT_ARGS(inputs->gap.from_lsn),
					 LSN_FORMAT_ARGS(inputs->gap.to_lsn),
					 inputs->gap.reason)));
}

static void
report_damage(XLogRecPtr start_lsn, XLogRecPtr end_lsn, const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("block map of %X/%X - %X/%X is damaged: %s",
					LSN_FORMAT_ARGS(start_lsn), LSN_FORMAT_ARGS(end_lsn),
					problem)));
}

/* The checkpointer is to look at an object. */
static void
suspect(const CkpxEntry *entry)
{
	CkpxEntryTicket ticket = {0};

	ticket.kind = entry->kind;
	ticket.epoch = entry->epoch;
	ticket.start_lsn = entry->start_lsn;
	ticket.end_lsn = entry->end_lsn;
	ckpx_suspect(&ticket);
}

/*
 * A global that has forgotten dropped relations does not know which blocks
 * they had changed by an end at which they were still there.
 */
static void
report_stale(XLogRecPtr start_lsn, XLogRecPtr end_lsn, XLogRecPtr oldest)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("range %X/%X - %X/%X is stale",
					LSN_FORMAT_ARGS(start_lsn), LSN_FORMAT_ARGS(end_lsn)),
			 errdetail("The oldest end that can be answered is %X/%X.",
					   LSN_FORMAT_ARGS(oldest)),
			 errhint("Ask for a later end.")));
}

/*
 * Append an object to the tree, or to the one relation: what it says of
 * changes in [start_lsn, end_lsn).  A global is always the first object, so
 * its layers may go into the tree one before the other, as they are read.
 * *incomplete is set where it has removed tombstones of the range.  False
 * where the object has gone, before or while it was read.
 */
static bool
merge_object(const CkpxEntry *entry, bool missing_ok, XLogRecPtr start_lsn,
			 XLogRecPtr end_lsn, CkpxDirtyTree *tree, OneRelation *one,
			 bool *incomplete)
{
	CkpxObjectFile *file = ckpx_object_file_open(entry, missing_ok);
	const CkpxObjectHeader *header;
	CkpxRelationView view;
	const char *problem = NULL;
	uint32		nlayers;
	bool		gone;

	if (file == NULL)
		return false;
	header = ckpx_object_file_header(file);
	nlayers = ckpx_layers_since(header->layers, header->nlayers, start_lsn);
	if (header->nlayers > 0 &&
		end_lsn < ckpx_object_file_tombstones_from(file))
		report_stale(start_lsn, end_lsn,
					 ckpx_object_file_tombstones_from(file));
	if (one != NULL)
	{
		for (int i = 0; i < MAX_ONE_RELATION; i++)
		{
			CHECK_FOR_INTERRUPTS();
			if (ckpx_object_file_find_since(file, &one->forks[i].key,
											start_lsn, &one->forks[i]))
				one->found[i] = true;
		}
	}
	else
	{
		while (ckpx_object_file_next(file, &view))
		{
			CHECK_FOR_INTERRUPTS();
			if (header->nlayers > 0 && view.layer >= nlayers)
				continue;
			if (header->nlayers > 0 ?
				!ckpx_dirty_tree_prepend_view(tree, &view, &problem) :
				!ckpx_dirty_tree_merge_view(tree, &view, &problem))
			{
				suspect(entry);
				report_damage(entry->start_lsn, entry->end_lsn, problem);
			}
		}
	}
	*incomplete = *incomplete ||
		start_lsn < ckpx_object_file_tombstones_from(file);
	gone = ckpx_object_file_gone(file);
	ckpx_object_file_close(file);
	return !gone;
}

/* Append a segment that lies in memory. */
static void
merge_segment(const CkpxSegmentRef *segment, CkpxDirtyTree *tree,
			  OneRelation *one)
{
	CkpxRelationView view;
	Size		offset = 0;
	const char *problem = NULL;

	while (ckpx_relation_view_next(segment->bytes, segment->info.bytes,
								   &offset, &view, &problem))
	{
		CHECK_FOR_INTERRUPTS();
		if (one == NULL)
		{
			if (!ckpx_dirty_tree_merge_view(tree, &view, &problem))
				break;
			continue;
		}
		for (int i = 0; i < MAX_ONE_RELATION; i++)
		{
			if (!ckpx_rel_key_equal(&view.key, &one->forks[i].key))
				continue;
			if (!ckpx_relation_merge_view(&one->forks[i], &view, &problem))
				break;
			one->found[i] = true;
		}
		if (problem != NULL)
			break;
	}
	if (problem != NULL)
		report_damage(segment->info.start_lsn, segment->info.end_lsn, problem);
}

/* ckpx_layers_complete() for one relation's forks. */
static void
complete_one(OneRelation *one)
{
	CkpxDirtyTree *tree = ckpx_dirty_tree_create(CurrentMemoryContext);

	for (int i = 0; i < MAX_ONE_RELATION; i++)
	{
		if (one->found[i])
			ckpx_relation_merge(ckpx_dirty_tree_get(tree, &one->forks[i].key),
								&one->forks[i]);
	}
	ckpx_layers_complete(tree);
	for (int i = 0; i < MAX_ONE_RELATION; i++)
	{
		const CkpxRelation *whole = ckpx_dirty_tree_find(tree,
														 &one->forks[i].key);

		if (whole == NULL)
			continue;
		one->found[i] = true;
		one->forks[i].blocks.limit_block = whole->blocks.limit_block;
	}
	ckpx_dirty_tree_free(tree);
}

/* Merge all inputs in order; false when an object has gone meanwhile. */
static bool
merge_inputs(const MapInputs *inputs, bool missing_ok, XLogRecPtr start_lsn,
			 XLogRecPtr end_lsn, CkpxDirtyTree *tree, OneRelation *one)
{
	bool		incomplete = false;

	for (uint32 i = 0; i < inputs->nentries; i++)
	{
		CkpxEntry	entry;

		copy_entry(&inputs->entries[i], &entry);
		if (!merge_object(&entry, missing_ok, start_lsn, end_lsn, tree, one,
						  &incomplete))
			return false;
	}
	for (uint32 i = 0; i < inputs->nsegments; i++)
	{
		const CkpxSegmentRef *segment = &inputs->segments[i];
		CkpxEntry	entry;

		if (segment->bytes != NULL)
		{
			merge_segment(segment, tree, one);
			continue;
		}
		ckpx_segment_entry(&entry, &segment->info);
		if (!merge_object(&entry, missing_ok, start_lsn, end_lsn, tree, one,
						  &incomplete))
			return false;
	}
	if (incomplete && tree != NULL)
		ckpx_layers_complete(tree);
	else if (incomplete)
		complete_one(one);
	return true;
}

static void
init_one_relation(OneRelation *one, const CkpxRelKey *relation)
{
	static const ForkNumber forks[MAX_ONE_RELATION] = {
		MAIN_FORKNUM, MAIN_FORKNUM, VISIBILITYMAP_FORKNUM, INIT_FORKNUM
	};

	memset(one, 0, sizeof(OneRelation));
	for (int i = 0; i < MAX_ONE_RELATION; i++)
	{
		CkpxRelKey	key = *relation;

		key.fork = forks[i];
		if (i == 0)
			key.relation = CKPX_DATABASE_WIDE;
		ckpx_relation_init(&one->forks[i], &key, CurrentMemoryContext);
	}
}

/* List what was gathered. */
static void
finish_map(CkpxMap *map, CkpxDirtyTree *tree, OneRelation *one)
{
	if (one == NULL)
	{
		map->tree = tree;
		map->relations = ckpx_dirty_tree_sorted(tree, &map->nrelations);
		return;
	}
	map->tree = NULL;
	map->nrelations = 0;
	map->relations = palloc(sizeof(CkpxRelation *) * MAX_ONE_RELATION);
	for (int i = 0; i < MAX_ONE_RELATION; i++)
		if (one->found[i])
			map->relations[map->nrelations++] = &one->forks[i];
}

void
ckpx_map_read(CkpxMap *map, XLogRecPtr start_lsn, XLogRecPtr end_lsn,
			  const CkpxRelKey *relation)
{
	CkpxDirtyTree *tree = NULL;
	OneRelation *one = NULL;
	bool		done = start_lsn >= end_lsn;
	volatile int choices = 0;

	memset(map, 0, sizeof(CkpxMap));
	map->covered_to = end_lsn;

	while (!done)
	{
		MapInputs	inputs;

		/*
		 * what a choice gathered whose object went away is left to the
		 * context
		 */
		if (relation == NULL)
			tree = ckpx_dirty_tree_create(CurrentMemoryContext);
		else
		{
			one = palloc(sizeof(OneRelation));
			init_one_relation(one, relation);
		}

		choose_inputs(&inputs, start_lsn, end_lsn);
		PG_TRY();
		{
			if (inputs.oldest_end != InvalidXLogRecPtr)
				report_stale(start_lsn, end_lsn, inputs.oldest_end);
			if (inputs.missing != InvalidXLogRecPtr)
				report_hole(&inputs, start_lsn, end_lsn);
			CKPX_FAULT("map-chosen");
			choices++;
			done = merge_inputs(&inputs, choices < MAX_CHOICES, start_lsn,
								end_lsn, tree, one);
		}
		PG_FINALLY();
		{
			release_inputs(&inputs);
		}
		PG_END_TRY();
		if (!done && tree != NULL)
			ckpx_dirty_tree_free(tree);
	}

	if (tree != NULL || one != NULL)
		finish_map(map, tree, one);
}

void
ckpx_map_read_range(CkpxMap *map, XLogRecPtr start_lsn, XLogRecPtr end_lsn,
					const CkpxRelKey *relation)
{
	XLogRecPtr	target;

	ckpx_check_past_range(start_lsn, end_lsn);

	/*
	 * With no end given, everything that is flushed now must be in the
	 * answer. The flush position may lie inside a record; the insert position
	 * is the end of one and not before it.
	 */
	target = end_lsn == InvalidXLogRecPtr ? ckpx_flush_wal_end() :
		ckpx_normalize_lsn(end_lsn);
	start_lsn = ckpx_normalize_lsn(start_lsn);
	if (target < start_lsn)
		target = start_lsn;

	ckpx_wait_for_collect(target);
	ckpx_map_read(map, start_lsn, target, relation);

	/* the same place by the name that the caller knows */
	if (end_lsn != InvalidXLogRecPtr)
		map->covered_to = end_lsn;
}

void
ckpx_map_read_logtail(CkpxMap *map, XLogRecPtr start_lsn, XLogRecPtr end_lsn)
{
	CkpxDirtyTree *tree = ckpx_dirty_tree_create(CurrentMemoryContext);
	MapInputs	inputs;
	XLogRecPtr	begin;

	memset(map, 0, sizeof(CkpxMap));
	memset(&inputs, 0, sizeof(inputs));
	inputs.segments = ckpx_logtail_make_room();

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	if (end_lsn == InvalidXLogRecPtr || end_lsn > CkpxShared->collected_lsn)
		end_lsn = CkpxShared->collected_lsn;
	if (start_lsn < end_lsn)
		inputs.nsegments = ckpx_logtail_pin_into(inputs.segments, start_lsn,
												 end_lsn);
	LWLockRelease(CkpxShared->lock);

	begin = inputs.nsegments > 0 ? inputs.segments[0].info.start_lsn : end_lsn;
	PG_TRY();
	{
		if (start_lsn != InvalidXLogRecPtr && start_lsn < begin)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("the logtail does not reach back to %X/%X",
							LSN_FORMAT_ARGS(start_lsn)),
					 errdetail("It begins at %X/%X.", LSN_FORMAT_ARGS(begin)),
					 errhint("Use ckpx_changed_blocks() for older changes.")));
		(void) merge_inputs(&inputs, false, start_lsn, end_lsn, tree, NULL);
	}
	PG_FINALLY();
	{
		release_inputs(&inputs);
	}
	PG_END_TRY();

	map->covered_to = end_lsn;
	finish_map(map, tree, NULL);
}
