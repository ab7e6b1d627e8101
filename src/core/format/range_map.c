/*-------------------------------------------------------------------------
 *
 * range_map.c
 *		The map of a range, put together from objects and what follows them.
 *
 *-------------------------------------------------------------------------
 */
#include "core/format/range_map.h"

void
ckpx_range_map_begin(CkpxRangeMap *map, CkpxMemory mem, XLogRecPtr start_lsn,
					 XLogRecPtr end_lsn, const CkpxRelKey *relation)
{
	static const ForkNumber forks[] = {
		MAIN_FORKNUM, VISIBILITYMAP_FORKNUM, INIT_FORKNUM
	};
	CkpxRelKey	key;

	memset(map, 0, sizeof(CkpxRangeMap));
	map->start_lsn = start_lsn;
	map->end_lsn = end_lsn;
	map->one_relation = relation != NULL;
	map->tree = ckpx_dirty_tree_create(mem);
	if (relation == NULL)
		return;
	key = *relation;
	for (int i = 0; i < (int) lengthof(forks); i++)
	{
		key.fork = forks[i];
		(void) ckpx_dirty_tree_get(map->tree, &key);
	}
	key.relation = CKPX_DATABASE_WIDE;
	key.fork = MAIN_FORKNUM;
	(void) ckpx_dirty_tree_get(map->tree, &key);
}

bool
ckpx_range_map_wants(const CkpxRangeMap *map, const CkpxRelKey *key)
{
	return !map->one_relation || ckpx_dirty_tree_find(map->tree, key) != NULL;
}

void
ckpx_range_map_note(CkpxRangeMap *map, const CkpxRange *range)
{
	for (int i = 0; i < CKPX_RMGR_BITMAP_BYTES; i++)
		map->custom_rmgrs[i] |= range->custom_rmgrs[i];
}

bool
ckpx_range_map_enter(CkpxRangeMap *map, const CkpxObjectParts *parts)
{
	XLogRecPtr	tombstones_from = ckpx_object_parts_tombstones_from(parts);

	if (map->end_lsn < tombstones_from)
		return false;
	if (map->start_lsn < tombstones_from)
		map->incomplete = true;
	ckpx_range_map_note(map, &ckpx_object_parts_header(parts)->range);
	return true;
}

CkpxRelation **
ckpx_range_map_finish(CkpxRangeMap *map, uint32 *nrelations)
{
	CkpxRelation **relations;
	uint32		n;

	if (map->incomplete)
		ckpx_layers_complete(map->tree);
	relations = ckpx_dirty_tree_sorted(map->tree, &n);
	*nrelations = 0;
	for (uint32 i = 0; i < n; i++)
	{
		/* the rows of one relation were there before anything was found */
		if (!map->one_relation || !ckpx_relation_is_blank(relations[i]))
			relations[(*nrelations)++] = relations[i];
	}
	return relations;
}
