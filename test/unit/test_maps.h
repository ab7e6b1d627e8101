/*-------------------------------------------------------------------------
 *
 * test_maps.h
 *		What tests do with block sets and dirty trees and the server does not.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_TEST_MAPS_H
#define CKPX_TEST_MAPS_H

#include "core/map/block_set_internal.h"
#include "core/map/dirty_tree.h"

/* Add the blocks [from, to). */
static inline void
test_add_range(CkpxBlockSet *set, BlockNumber from, BlockNumber to)
{
	for (; from < to; from++)
		(void) ckpx_block_set_add(set, from);
}

/* Bytes that the set has allocated. */
static inline Size
test_set_memory(const CkpxBlockSet *set)
{
	Size		size = set->maxchunks * sizeof(CkpxBlockChunk);

	for (uint32 i = 0; i < set->nchunks; i++)
		size += chunk_is_bitmap(&set->chunks[i]) ? BITMAP_BYTES :
			set->chunks[i].capacity * sizeof(uint16);
	return size;
}

static inline uint32
test_tree_nrelations(const CkpxDirtyTree *tree)
{
	uint32		count;

	pfree(ckpx_dirty_tree_sorted(tree, &count));
	return count;
}

static inline uint64
test_tree_nblocks(const CkpxDirtyTree *tree)
{
	uint32		count;
	CkpxRelation **sorted = ckpx_dirty_tree_sorted(tree, &count);
	uint64		nblocks = 0;

	for (uint32 i = 0; i < count; i++)
		nblocks += ckpx_block_set_count(&sorted[i]->blocks);
	pfree(sorted);
	return nblocks;
}

/* Append every relation's record, in key order. */
static inline void
test_tree_encode(StringInfo buf, const CkpxDirtyTree *tree)
{
	uint32		count;
	CkpxRelation **sorted = ckpx_dirty_tree_sorted(tree, &count);

	for (uint32 i = 0; i < count; i++)
		ckpx_relation_encode(buf, sorted[i], 0, false);
	pfree(sorted);
}

/* Append the tree of the range that follows, without its byte form. */
static inline void
test_tree_merge(CkpxDirtyTree *tree, const CkpxDirtyTree *later)
{
	uint32		count;
	CkpxRelation **sorted = ckpx_dirty_tree_sorted(later, &count);

	for (uint32 i = 0; i < count; i++)
		ckpx_relation_merge(ckpx_dirty_tree_get(tree, &sorted[i]->key),
							sorted[i]);
	pfree(sorted);
}

#endif							/* CKPX_TEST_MAPS_H */
