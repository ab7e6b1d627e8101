/*-------------------------------------------------------------------------
 *
 * map_reader.c
 *		The map of any range, from objects and the logtail.
 *
 * Why nothing is missed.  Inputs are chosen under one hold of the shared lock:
 * first the objects, see ckpx_entry_store_collect(), then the segments from
 * the end of the last one on are pinned.  What the choice says of the objects
 * is copied afterwards, while no index has moved.  The runner forgets a
 * segment only after the incremental that holds its range is finished, which
 * it learns under the same lock; so at the moment of the choice each LSN up to
 * the collected position lies in a chosen incremental, in a pinned segment, or
 * in neither because it is a real hole.
 * A pinned segment stays until it is unpinned; an object may be removed at
 * any time, and then the choice is made again: what replaced it is in the
 * store before it went.
 *
 * Merging is ordered (block_set.h).  Segments may overlap the last object,
 * where a segment was not trimmed yet; appending such a segment is harmless:
 * the blocks it makes the map forget lie at or after its limit, which the map
 * takes over, so they are still changed.
 *
 * For one relation nothing is gathered but its own forks and its database's
 * row, which are in the tree from the start: objects find those through their
 * table of contents, segments are read through in place.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "access/relation.h"
#include "api/api.h"
#include "api/map_reader.h"
#include "api/wait.h"
#include "catalog/pg_class.h"
#include "core/format/range_map.h"
#include "miscadmin.h"
#include "server/base/entry_walk.h"
#include "server/base/fault.h"
#include "server/base/shared_state.h"
#include "server/logtail/logtail.h"
#include "server/store/object_file.h"
#include "server/wal/source.h"

/* How often the choice is made anew when an object has gone. */
#define MAX_CHOICES			10

/* What a map is made of: entries first, then pinned segments. */
typedef struct MapInputs
{
	uint32		nentries;
	CkpxEntrySpan *entries;
	uint32		nsegments;
	CkpxSegmentRef *segments;
	XLogRecPtr	missing;		/* first LSN not covered, or Invalid */
	XLogRecPtr	oldest_end;		/* or the oldest end that a global answers */
	bool		gap_found;		/* 'gap' explains what is missing */
	CkpxGap		gap;
} MapInputs;

/* A map in the making. */
typedef struct MapMerge
{
	CkpxRangeMap range;
	bool		missing_ok;		/* give up where an object has gone */
} MapMerge;

/*
 * Find how far the segments adjoin, from 'start_lsn' on, up to 'end_lsn'.
 */
static XLogRecPtr
follow_segments(const CkpxSegmentRef *segments, uint32 nsegments,
				XLogRecPtr start_lsn, XLogRecPtr end_lsn)
{
	XLogRecPtr	reached = start_lsn;

	for (uint32 i = 0; i < nsegments && reached < end_lsn; i++)
	{
		if (segments[i].info.range.start_lsn > reached)
			break;
		reached = Max(reached, segments[i].info.range.end_lsn);
	}
	return reached;
}

/*
 * Choose what answers [start_lsn, end_lsn), and pin the segments among it.
 * False where entries have moved before all were copied.
 */
static bool
choose_inputs(MapInputs *inputs, XLogRecPtr start_lsn, XLogRecPtr end_lsn,
			  bool at_once)
{
	const CkpxEntryStore *store = CkpxShared->store;
	CkpxCollectResult result;
	CkpxChosenTurns turns = {0};
	XLogRecPtr	reached;
	uint32	   *chosen;

	/*
	 * Under the lock nothing is allocated, for nothing may fail there; and no
	 * page is touched for the first time, which takes longer than the choice.
	 */
	chosen = palloc0(sizeof(uint32) * store->max_entries);
	inputs->entries = palloc0(sizeof(CkpxEntrySpan) * store->max_entries);
	inputs->segments = ckpx_logtail_make_room();

	ckpx_lock_history(LW_SHARED);
	ckpx_entry_store_collect(store, start_lsn, end_lsn, true, chosen, &result);
	inputs->nentries = result.nchosen;
	reached = result.nchosen > 0 ? result.checkpointed : start_lsn;
	inputs->oldest_end = result.oldest_end;

	/*
	 * The logtail belongs to the open epoch.  Where the same LSNs were
	 * written twice, an older epoch's answer must not run on into it.
	 */
	if (reached < end_lsn && result.epoch != 0 &&
		result.epoch == store->epoch)
	{
		inputs->nsegments = ckpx_logtail_pin_into(inputs->segments, reached,
												  end_lsn);
		reached = follow_segments(inputs->segments, inputs->nsegments,
								  reached, end_lsn);
	}

	if (reached < end_lsn)
	{
		const CkpxGap *gap = ckpx_entry_store_gap_at(store, reached);

		inputs->missing = reached;
		inputs->gap_found = gap != NULL;
		if (gap != NULL)
			inputs->gap = *gap;
	}

	/* To copy takes longer than to choose. */
	turns.count = result.nchosen;
	turns.length = at_once ? store->max_entries : CKPX_ENTRIES_PER_TURN;
	while (ckpx_chosen_turn_next(&turns))
	{
		for (uint32 i = turns.begin; i < turns.end; i++)
			inputs->entries[i] = ckpx_entry_store_span(store, chosen[i]);
	}
	pfree(chosen);
	return !turns.moved;
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
	entry->range.epoch = span->epoch;
	entry->range.timeline = span->timeline;
	entry->range.start_lsn = span->start_lsn;
	entry->range.end_lsn = span->end_lsn;
	entry->version = span->version;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	found = ckpx_shared_entry(entry);
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

/* Raise an error where the choice does not answer the whole range. */
static void
check_inputs(const MapInputs *inputs, XLogRecPtr start_lsn, XLogRecPtr end_lsn)
{
	if (inputs->oldest_end != InvalidXLogRecPtr)
		ckpx_report_stale(start_lsn, end_lsn, inputs->oldest_end,
						  InvalidXLogRecPtr);
	if (inputs->missing != InvalidXLogRecPtr)
		report_hole(inputs, start_lsn, end_lsn);
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

/*
 * Append an object to the tree: what it says of changes in the range.  False
 * where the object has gone, before or while it was read.
 */
static bool
merge_object(MapMerge *merge, const CkpxEntry *entry)
{
	CkpxRangeMap *range = &merge->range;
	CkpxObjectFile *file = ckpx_object_file_open(entry, merge->missing_ok);
	CkpxRelation **forks = NULL;
	uint32		nforks = 0;
	bool		gone;

	if (file == NULL)
		return false;
	if (!ckpx_range_map_enter(range, ckpx_object_file_parts(file)))
		ckpx_report_stale(range->start_lsn, range->end_lsn,
						  ckpx_object_file_tombstones_from(file),
						  InvalidXLogRecPtr);

	if (range->one_relation)
		forks = ckpx_dirty_tree_sorted(range->tree, &nforks);
	for (uint32 i = 0; i < nforks; i++)
	{
		CHECK_FOR_INTERRUPTS();
		(void) ckpx_object_file_find(file, &forks[i]->key, range->start_lsn,
									 forks[i]);
	}
	if (!range->one_relation)
		ckpx_object_file_merge(file, range->start_lsn, range->tree);
	gone = ckpx_object_file_gone(file);
	ckpx_object_file_close(file);
	return !gone;
}

/* Append a segment; false where it was spilled and its object has gone. */
static bool
merge_segment(MapMerge *merge, const CkpxSegmentRef *segment)
{
	CkpxRelationView view;
	Size		offset = 0;
	const char *problem = NULL;

	if (segment->bytes == NULL)
	{
		CkpxEntry	entry;

		ckpx_segment_entry(&entry, &segment->info);
		return merge_object(merge, &entry);
	}
	ckpx_range_map_note(&merge->range, &segment->info.range);
	while (ckpx_relation_view_next(segment->bytes, segment->info.bytes,
								   &offset, &view, &problem))
	{
		CHECK_FOR_INTERRUPTS();
		if (ckpx_range_map_wants(&merge->range, &view.key) &&
			!ckpx_dirty_tree_merge_view(merge->range.tree, &view, &problem))
			break;
	}
	if (problem != NULL)
		report_damage(segment->info.range.start_lsn,
					  segment->info.range.end_lsn, problem);
	return true;
}

/* Merge all inputs in order; false when an object has gone meanwhile. */
static bool
merge_inputs(MapMerge *merge, const MapInputs *inputs)
{
	for (uint32 i = 0; i < inputs->nentries; i++)
	{
		CkpxEntry	entry;

		copy_entry(&inputs->entries[i], &entry);
		if (!merge_object(merge, &entry))
			return false;
	}
	for (uint32 i = 0; i < inputs->nsegments; i++)
	{
		if (!merge_segment(merge, &inputs->segments[i]))
			return false;
	}
	return true;
}

/* List what was gathered. */
static void
finish_map(CkpxMap *map, MapMerge *merge)
{
	map->relations = ckpx_range_map_finish(&merge->range, &map->nrelations);
	map->covered_to = merge->range.end_lsn;
	memcpy(map->custom_rmgrs, merge->range.custom_rmgrs,
		   CKPX_RMGR_BITMAP_BYTES);
}

/* Read the map of [start_lsn, end_lsn), which is collected already. */
static void
read_map(CkpxMap *map, XLogRecPtr start_lsn, XLogRecPtr end_lsn,
		 const CkpxRelKey *relation)
{
	MapMerge	merge = {0};
	volatile bool done = false;
	volatile int choices = 0;

	ckpx_range_map_begin(&merge.range, CurrentMemoryContext, start_lsn,
						 end_lsn, relation);
	if (start_lsn >= end_lsn)
		done = true;
	while (!done)
	{
		MapInputs  *inputs = palloc0(sizeof(MapInputs));

		PG_TRY();
		{
			choices++;
			merge.missing_ok = choices < MAX_CHOICES;
			if (choose_inputs(inputs, start_lsn, end_lsn, !merge.missing_ok))
			{
				check_inputs(inputs, start_lsn, end_lsn);
				CKPX_FAULT("map-chosen");
				done = merge_inputs(&merge, inputs);
			}
		}
		PG_FINALLY();
		{
			release_inputs(inputs);
		}
		PG_END_TRY();
		if (!done)
		{
			/* What this choice gathered is of no use. */
			ckpx_dirty_tree_free(merge.range.tree);
			ckpx_range_map_begin(&merge.range, CurrentMemoryContext,
								 start_lsn, end_lsn, relation);
		}
	}
	finish_map(map, &merge);
}

/* Read the map of a range, waiting until it is collected. */
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
		ckpx_wal_normalize_lsn(end_lsn);
	start_lsn = ckpx_wal_normalize_lsn(start_lsn);
	if (target < start_lsn)
		target = start_lsn;

	ckpx_wait_for_collect(target);
	read_map(map, start_lsn, target, relation);

	/* the same place by the name that the caller knows */
	if (end_lsn != InvalidXLogRecPtr)
		map->covered_to = end_lsn;
}

/*
 * Raise an error where a relation has no map: it has no files, or its changes
 * are not in WAL.
 */
static void
check_mapped(Relation rel)
{
	if (!RELKIND_HAS_STORAGE(rel->rd_rel->relkind))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("relation \"%s\" has no storage",
						RelationGetRelationName(rel)),
				 rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ||
				 rel->rd_rel->relkind == RELKIND_PARTITIONED_INDEX ?
				 errhint("Ask for its partitions one by one.") : 0));
	if (!RelationIsPermanent(rel))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("relation \"%s\" is not in the map",
						RelationGetRelationName(rel)),
				 errdetail("Changes of temporary and unlogged relations are not written to WAL.")));
}

/* The physical identity that a relation has now. */
CkpxRelKey
ckpx_map_relation_key(Oid relid)
{
	Relation	rel = try_relation_open(relid, AccessShareLock);
	CkpxRelKey	key;

	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	check_mapped(rel);
	key.tablespace = CKPX_LOCATOR_TABLESPACE(CKPX_RELATION_LOCATOR(rel));
	key.database = CKPX_LOCATOR_DATABASE(CKPX_RELATION_LOCATOR(rel));
	key.relation = CKPX_LOCATOR_NUMBER(CKPX_RELATION_LOCATOR(rel));
	key.fork = MAIN_FORKNUM;
	relation_close(rel, AccessShareLock);
	return key;
}

/* Read the map of the range that the first two arguments name. */
void
ckpx_map_read_arguments(FunctionCallInfo fcinfo, CkpxMap *map,
						const CkpxRelKey *relation)
{
	ckpx_require_argument(fcinfo, 0, "start_lsn");
	ckpx_map_read_range(map, ckpx_lsn_argument(fcinfo, 0),
						ckpx_lsn_argument(fcinfo, 1), relation);
}

/* Read the map of what the logtail has of a range. */
void
ckpx_map_read_logtail(CkpxMap *map, XLogRecPtr start_lsn, XLogRecPtr end_lsn)
{
	MapMerge	merge = {0};
	MapInputs	inputs = {0};
	XLogRecPtr	begin;

	inputs.segments = ckpx_logtail_make_room();

	ckpx_lock_history(LW_SHARED);
	if (end_lsn == InvalidXLogRecPtr || end_lsn > CkpxShared->collected_lsn)
		end_lsn = CkpxShared->collected_lsn;
	if (start_lsn < end_lsn)
		inputs.nsegments = ckpx_logtail_pin_into(inputs.segments, start_lsn,
												 end_lsn);
	LWLockRelease(CkpxShared->lock);

	begin = inputs.nsegments > 0 ? inputs.segments[0].info.range.start_lsn :
		end_lsn;
	PG_TRY();
	{
		if (start_lsn != InvalidXLogRecPtr && start_lsn < begin)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("the logtail does not reach back to %X/%X",
							LSN_FORMAT_ARGS(start_lsn)),
					 errdetail("It begins at %X/%X.", LSN_FORMAT_ARGS(begin)),
					 errhint("Use ckpx_changed_blocks() for older changes.")));
		ckpx_range_map_begin(&merge.range, CurrentMemoryContext, start_lsn,
							 end_lsn, NULL);
		(void) merge_inputs(&merge, &inputs);
	}
	PG_FINALLY();
	{
		release_inputs(&inputs);
	}
	PG_END_TRY();
	finish_map(map, &merge);
}

/*
 * Raise an error where the map may lack blocks: no decoder vouches for a
 * resource manager that wrote records.
 */
void
ckpx_map_require_decoders(const CkpxMap *map, const char *hint)
{
	for (int id = 0; id < CKPX_RMGR_BITMAP_BYTES * 8; id++)
	{
		if ((map->custom_rmgrs[id / 8] & (1 << (id % 8))) == 0)
			continue;
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("block map up to %X/%X does not tell all changes of custom resource manager %d",
						LSN_FORMAT_ARGS(map->covered_to), id),
				 errdetail("It was made while no decoder for that resource manager's records was registered."),
				 errhint("%s", hint)));
	}
}

static int
compare_to_relation(const void *key, const void *element)
{
	return ckpx_rel_key_compare(key,
								&(*(CkpxRelation *const *) element)->key);
}

CkpxRelation **
ckpx_map_find(const CkpxMap *map, const CkpxRelKey *key)
{
	return bsearch(key, map->relations, map->nrelations,
				   sizeof(CkpxRelation *), compare_to_relation);
}
