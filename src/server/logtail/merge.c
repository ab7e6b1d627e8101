/*-------------------------------------------------------------------------
 *
 * merge.c
 *		Neighbours in the logtail made one, so that they take less room.
 *
 * Merging never frees what it replaces before the replacement is complete:
 * the new bytes either get memory of their own, or are written over one of
 * the inputs that nobody else has pinned and that is large enough, by one
 * copy under the lock from a private buffer.  Where neither is possible the
 * group is split, and in the end left as it is.
 *
 * Which neighbours are merged is decided as in a binary counter: a group
 * takes in the one before it while that is not more than twice as large. What
 * is left grows by more than two from the end to the start, so there are few
 * segments, and each byte is rewritten a logarithmic number of times.
 *
 * The inputs are pinned while they are read, without the lock.  Only the
 * runner merges, so no two merges meet; what the checkpointer spills
 * meanwhile is left alone.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "server/base/compat.h"
#include "server/base/options.h"
#include "server/logtail/internal.h"
#include "utils/memutils.h"

#define NO_SLOT		CKPX_MAX_SEGMENTS

/* What a small segment counts for, so that many empty ones get merged. */
#define MIN_WEIGHT	256

/* Neighbours that _merge wants to make one. */
typedef struct MergeGroup
{
	uint32		first;			/* index into the copied list */
	uint32		count;
	Size		weight;
} MergeGroup;

/* May the segment be merged with others? */
static bool
is_mergeable(const CkpxSegmentInfo *info)
{
	return !info->spilled && !info->spilling;
}

/* Do the members of a group still lie side by side in the list? */
static bool
group_is_intact(CkpxLogtail *logtail, const uint16 *members, uint32 count,
				uint32 *index)
{
	uint32		first;

	for (first = 0; first < logtail->nsegments; first++)
		if (logtail->order[first] == members[0])
			break;
	if (count > logtail->nsegments - first)
		return false;
	for (uint32 i = 0; i < count; i++)
	{
		if (logtail->order[first + i] != members[i] ||
			!is_mergeable(&logtail->slots[members[i]].info))
			return false;
	}
	*index = first;
	return true;
}

/* What is known of several adjoining segments together, the map aside. */
static void
combine_info(CkpxSegmentInfo *info, const CkpxSegmentRef *refs, uint32 count)
{
	*info = refs[count - 1].info;
	info->range = refs[0].info.range;
	for (uint32 i = 1; i < count; i++)
		ckpx_range_append(&info->range, &refs[i].info.range);
}

/*
 * Put the merged segment in the place of its inputs.  Its bytes are either
 * 'data', or, if 'overwrite', 'bytes', to be copied over one of the inputs.
 * The caller has one pin on each input; inputs that go are freed when it
 * unpins them.  False, with nothing changed, where it cannot be done.
 */
static bool
replace_group(const uint16 *members, uint32 count,
			  const CkpxSegmentInfo *info, dsa_pointer data,
			  bool overwrite, const char *bytes)
{
	CkpxLogtail *logtail = CkpxShared->logtail;
	uint32		target = NO_SLOT;
	uint32		index;
	CkpxSlot   *slot;

	LWLockAcquire(CkpxShared->logtail_lock, LW_EXCLUSIVE);

	/* The checkpointer may have spilled one of them meanwhile. */
	if (!group_is_intact(logtail, members, count, &index))
	{
		LWLockRelease(CkpxShared->logtail_lock);
		return false;
	}
	for (uint32 i = 0; i < count && target == NO_SLOT; i++)
	{
		slot = &logtail->slots[members[i]];
		if (slot->pins == 1 &&
			(!overwrite || (DsaPointerIsValid(slot->data) &&
							slot->allocated >= ckpx_segment_size(info))))
			target = members[i];
	}
	if (target == NO_SLOT && !overwrite && logtail->nfree > 0)
	{
		target = logtail->free[--logtail->nfree];
		logtail->slots[target].pins = 0;
		logtail->slots[target].retired = false;
		logtail->slots[target].data = InvalidDsaPointer;
		logtail->slots[target].allocated = 0;
	}
	if (target == NO_SLOT)
	{
		LWLockRelease(CkpxShared->logtail_lock);
		return false;
	}

	slot = &logtail->slots[target];
	if (overwrite)
		memcpy(dsa_get_address(ckpx_logtail_area, slot->data), bytes,
			   ckpx_segment_size(info));
	else
	{
		ckpx_logtail_free_data(logtail, slot);
		slot->data = data;
		slot->allocated = ckpx_logtail_rounded(ckpx_segment_size(info));
		logtail->used += slot->allocated;
	}
	slot->info = *info;

	for (uint32 i = 0; i < count; i++)
		if (members[i] != target)
			logtail->slots[members[i]].retired = true;
	logtail->order[index] = target;
	memmove(&logtail->order[index + 1], &logtail->order[index + count],
			(logtail->nsegments - index - count) * sizeof(uint16));
	logtail->nsegments -= count - 1;

	LWLockRelease(CkpxShared->logtail_lock);
	return true;
}

/* Merge pinned inputs; private memory comes from the current context. */
static bool
merge_pinned(const uint16 *members, const CkpxSegmentRef *refs, uint32 count)
{
	CkpxDirtyTree *tree = ckpx_dirty_tree_create(CurrentMemoryContext);
	CkpxSegmentRows rows = {0};
	CkpxSegmentInfo info;
	dsa_pointer data;
	char	   *bytes;

	for (uint32 i = 0; i < count; i++)
	{
		const char *problem = NULL;

		if (!ckpx_dirty_tree_merge_bytes(tree, refs[i].bytes,
										 refs[i].info.bytes, &problem))
			elog(ERROR, "segment %X/%X-%X/%X in shared memory is damaged: %s",
				 LSN_FORMAT_ARGS(refs[i].info.range.start_lsn),
				 LSN_FORMAT_ARGS(refs[i].info.range.end_lsn),
				 problem ? problem : "unknown problem");
	}
	combine_info(&info, refs, count);
	rows.relations = ckpx_dirty_tree_sorted(tree, &rows.nrelations);
	if (ckpx_flush_mode == CKPX_FLUSH_MODE_ON)
		rows.thinned =
			ckpx_dirty_tree_sorted(ckpx_segments_thinned(refs, count, NULL,
														 NULL),
								   &rows.nthinned);
	ckpx_segment_measure(&info, &rows);

	if (ckpx_segment_store(&info, &rows, &data))
	{
		if (replace_group(members, count, &info, data, false, NULL))
			return true;
		if (DsaPointerIsValid(data))
			dsa_free(ckpx_logtail_area, data);
		return false;
	}

	/* No memory beside the inputs: does it fit over one of them? */
	for (uint32 i = 0; i < count; i++)
	{
		if (ckpx_logtail_rounded(ckpx_segment_size(&refs[i].info)) >=
			ckpx_segment_size(&info))
		{
			bytes = MemoryContextAllocHuge(CurrentMemoryContext,
										   ckpx_segment_size(&info));
			ckpx_segment_encode(&info, &rows, bytes);
			return replace_group(members, count, &info, InvalidDsaPointer,
								 true, bytes);
		}
	}
	return false;
}

/* Make one segment of 'count' adjoining ones; false where it cannot be. */
static bool
merge_group(const uint16 *members, uint32 count)
{
	CkpxLogtail *logtail = CkpxShared->logtail;
	CkpxSegmentRef *refs;
	MemoryContext context;
	MemoryContext oldcontext;
	uint32		index;
	bool		intact;
	volatile bool merged = false;

	context = AllocSetContextCreate(CurrentMemoryContext,
									"ckpx logtail merge",
									ALLOCSET_DEFAULT_SIZES);
	oldcontext = MemoryContextSwitchTo(context);
	refs = palloc(sizeof(CkpxSegmentRef) * count);

	LWLockAcquire(CkpxShared->logtail_lock, LW_EXCLUSIVE);
	intact = group_is_intact(logtail, members, count, &index);
	for (uint32 i = 0; intact && i < count; i++)
		ckpx_logtail_pin_slot(logtail, members[i], &refs[i]);
	LWLockRelease(CkpxShared->logtail_lock);

	if (intact)
	{
		PG_TRY();
		{
			merged = merge_pinned(members, refs, count);
		}
		PG_CATCH();
		{
			ckpx_logtail_unpin(refs, count);
			PG_RE_THROW();
		}
		PG_END_TRY();
		ckpx_logtail_unpin(refs, count);
	}

	MemoryContextSwitchTo(oldcontext);
	MemoryContextDelete(context);
	return merged;
}

/* The same, in halves where the whole cannot be done. */
static bool
merge_group_or_halves(const uint16 *members, uint32 count)
{
	bool		first,
				second;

	if (count < 2)
		return false;
	if (merge_group(members, count))
		return true;
	if (count == 2)
		return false;
	first = merge_group_or_halves(members, count / 2);
	second = merge_group_or_halves(members + count / 2, count - count / 2);
	return first || second;
}

/* On which side of the boundary a segment lies; 1: across. */
static int
side_of(const CkpxSegmentInfo *info, XLogRecPtr boundary)
{
	if (boundary == InvalidXLogRecPtr || info->range.end_lsn <= boundary)
		return 0;
	return info->range.start_lsn >= boundary ? 2 : 1;
}

/* May these two neighbours become one? */
static bool
may_join(const CkpxSegmentInfo *a, const CkpxSegmentInfo *b,
		 XLogRecPtr boundary)
{
	return is_mergeable(a) && is_mergeable(b) &&
		a->range.epoch == b->range.epoch &&
		a->range.timeline == b->range.timeline &&
		a->range.end_lsn == b->range.start_lsn &&
		side_of(a, boundary) == side_of(b, boundary) &&
		side_of(a, boundary) != 1;
}

bool
ckpx_logtail_merge(XLogRecPtr boundary)
{
	CkpxLogtail *logtail;
	CkpxSegmentInfo *infos;
	uint16	   *members;
	MergeGroup *groups;
	uint32		ngroups = 0;
	uint32		count;
	bool		merged = false;

	ckpx_logtail_attach();
	logtail = CkpxShared->logtail;
	infos = palloc(sizeof(CkpxSegmentInfo) * CKPX_MAX_SEGMENTS);
	members = palloc(sizeof(uint16) * CKPX_MAX_SEGMENTS);
	groups = palloc(sizeof(MergeGroup) * CKPX_MAX_SEGMENTS);

	LWLockAcquire(CkpxShared->logtail_lock, LW_SHARED);
	count = logtail->nsegments;
	for (uint32 i = 0; i < count; i++)
	{
		members[i] = logtail->order[i];
		infos[i] = logtail->slots[members[i]].info;
	}
	LWLockRelease(CkpxShared->logtail_lock);

	for (uint32 i = 0; i < count; i++)
	{
		groups[ngroups].first = i;
		groups[ngroups].count = 1;
		groups[ngroups].weight = Max(ckpx_segment_size(&infos[i]),
									 MIN_WEIGHT);
		ngroups++;
		while (ngroups >= 2)
		{
			MergeGroup *older = &groups[ngroups - 2];
			MergeGroup *newer = &groups[ngroups - 1];

			if (older->weight / 2 > newer->weight ||
				!may_join(&infos[newer->first - 1], &infos[newer->first],
						  boundary))
				break;

			/* Two empty ones make one empty one, not a larger one. */
			if (older->weight > MIN_WEIGHT || newer->weight > MIN_WEIGHT)
				older->weight += newer->weight;
			older->count += newer->count;
			ngroups--;
		}
	}

	for (uint32 i = 0; i < ngroups; i++)
	{
		if (merge_group_or_halves(members + groups[i].first, groups[i].count))
			merged = true;
	}

	pfree(groups);
	pfree(members);
	pfree(infos);
	return merged;
}
