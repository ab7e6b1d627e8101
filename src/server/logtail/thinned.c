/*-------------------------------------------------------------------------
 *
 * thinned.c
 *		Which blocks of heaps were thinned: changed, but without a new row.
 *
 * A block is thinned in a range when it changed there and nothing shows that
 * it got a row.  So of two ranges together it is what was thinned in one of
 * them, less what changed in one of them without being thinned there:
 *
 *		thinned(A + B) = thinned(A) + thinned(B)
 *						 - (changed(A) - thinned(A))
 *						 - (changed(B) - thinned(B))
 *
 * Relations without a row have no such block, so they cost nothing: indexes,
 * and heaps that are only inserted into or updated in place.
 *
 * Only flush-ahead asks for thinned blocks, so they are kept while ckpx.flush
 * is on.  A segment that was cut or merged while it was not has no rows: all
 * of its blocks count as having got rows, which delays a flush at worst.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "server/logtail/internal.h"
#include "utils/memutils.h"

void
ckpx_segment_rows(CkpxSegmentRows *rows, const CkpxDirtyTree *tree,
				  const CkpxDirtyTree *appended)
{
	CkpxRelation **heaps;
	uint32		nheaps;

	rows->relations = ckpx_dirty_tree_sorted(tree, &rows->nrelations);
	rows->thinned = NULL;
	rows->nthinned = 0;
	if (appended == NULL)
		return;

	heaps = ckpx_dirty_tree_sorted(appended, &nheaps);
	rows->thinned = palloc(sizeof(CkpxRelation *) * Max(nheaps, 1));
	for (uint32 i = 0; i < nheaps; i++)
	{
		const CkpxRelation *all = ckpx_dirty_tree_find(tree, &heaps[i]->key);
		CkpxRelation *row = palloc(sizeof(CkpxRelation));

		if (all == NULL)
			continue;
		ckpx_relation_init(row, &heaps[i]->key, CurrentMemoryContext);
		ckpx_block_set_union(&row->blocks, &all->blocks);
		ckpx_block_set_subtract(&row->blocks, &heaps[i]->blocks);
		if (ckpx_block_set_count(&row->blocks) > 0)
			rows->thinned[rows->nthinned++] = row;
	}
}

/* The next record of a segment's bytes; damage is an error. */
static bool
next_view(const CkpxSegmentRef *ref, const char *bytes, Size length,
		  Size *offset, CkpxRelationView *view)
{
	const char *problem;

	if (ckpx_relation_view_next(bytes, length, offset, view, &problem))
		return true;
	if (problem != NULL)
		elog(ERROR, "segment %X/%X-%X/%X in shared memory is damaged: %s",
			 LSN_FORMAT_ARGS(ref->info.range.start_lsn),
			 LSN_FORMAT_ARGS(ref->info.range.end_lsn), problem);
	return false;
}

/* The blocks that a view lists, as a set of their own. */
static void
view_blocks(CkpxRelation *relation, const CkpxRelationView *view)
{
	const char *problem;

	ckpx_relation_init(relation, &view->key, CurrentMemoryContext);
	if (!ckpx_relation_merge_view(relation, view, &problem))
		elog(ERROR, "relation %u in shared memory is damaged: %s",
			 view->key.relation, problem);
}

static bool
is_wanted(const CkpxSegmentRef *ref, const CkpxRelKey *key,
		  CkpxSinceCallback since, void *arg)
{
	return since == NULL || ref->info.range.end_lsn > since(arg, key);
}

/* Add what one segment thinned. */
static void
add_thinned(CkpxDirtyTree *tree, const CkpxSegmentRef *ref,
			CkpxSinceCallback since, void *arg)
{
	CkpxRelationView view;
	Size		offset = 0;

	while (next_view(ref, ref->thinned, ref->info.thinned_bytes, &offset,
					 &view))
	{
		CkpxRelation blocks;

		CHECK_FOR_INTERRUPTS();
		if (!is_wanted(ref, &view.key, since, arg))
			continue;
		view_blocks(&blocks, &view);
		ckpx_block_set_union(&ckpx_dirty_tree_get(tree, &view.key)->blocks,
							 &blocks.blocks);
		ckpx_block_set_reset(&blocks.blocks);
	}
}

/*
 * Take away what one segment changed otherwise.  Both its runs of records are
 * sorted.
 */
static void
subtract_others(CkpxDirtyTree *tree, const CkpxSegmentRef *ref,
				CkpxSinceCallback since, void *arg)
{
	CkpxRelationView view;
	CkpxRelationView thinned;
	Size		offset = 0;
	Size		thinned_offset = 0;
	bool		more;

	more = next_view(ref, ref->thinned, ref->info.thinned_bytes,
					 &thinned_offset, &thinned);
	while (next_view(ref, ref->bytes, ref->info.bytes, &offset, &view))
	{
		CkpxRelation *row = ckpx_dirty_tree_find(tree, &view.key);
		CkpxRelation others;

		CHECK_FOR_INTERRUPTS();
		if (row == NULL || !is_wanted(ref, &view.key, since, arg))
			continue;
		while (more && ckpx_rel_key_compare(&thinned.key, &view.key) < 0)
			more = next_view(ref, ref->thinned, ref->info.thinned_bytes,
							 &thinned_offset, &thinned);

		view_blocks(&others, &view);
		if (more && ckpx_rel_key_equal(&thinned.key, &view.key))
		{
			CkpxRelation blocks;

			view_blocks(&blocks, &thinned);
			ckpx_block_set_subtract(&others.blocks, &blocks.blocks);
			ckpx_block_set_reset(&blocks.blocks);
		}
		ckpx_block_set_subtract(&row->blocks, &others.blocks);
		ckpx_block_set_reset(&others.blocks);
	}
}

CkpxDirtyTree *
ckpx_segments_thinned(const CkpxSegmentRef *refs, uint32 count,
					  CkpxSinceCallback since, void *arg)
{
	CkpxDirtyTree *tree = ckpx_dirty_tree_create(CurrentMemoryContext);

	for (uint32 i = 0; i < count; i++)
	{
		if (refs[i].bytes != NULL)
			add_thinned(tree, &refs[i], since, arg);
	}
	for (uint32 i = 0; i < count; i++)
	{
		if (refs[i].bytes != NULL)
			subtract_others(tree, &refs[i], since, arg);
	}
	return tree;
}
