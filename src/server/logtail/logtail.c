/*-------------------------------------------------------------------------
 *
 * logtail.c
 *		The list of decoded segments in shared memory.
 *
 * How the memory is laid out is explained in logtail/internal.h.  A cut is
 * appended with all that is known of it, and its slot does not move while it
 * is in the list.  _add is where the room comes from: it merges neighbours
 * when half of the memory is taken, so that there is room for the largest
 * group, and once more where the cut does not fit.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "server/base/compat.h"
#include "server/logtail/internal.h"
#include "utils/memutils.h"

/* Remove 'count' slots of the list from 'index' on.  The lock is held. */
static void
list_remove(CkpxLogtail *logtail, uint32 index, uint32 count)
{
	for (uint32 i = index; i < index + count; i++)
	{
		uint32		number = logtail->order[i];

		logtail->slots[number].retired = true;
		ckpx_logtail_settle(logtail, number);
	}
	memmove(&logtail->order[index], &logtail->order[index + count],
			(logtail->nsegments - index - count) * sizeof(uint16));
	logtail->nsegments -= count;
}

/* The index in the list of the segment with this range, or nsegments. */
static uint32
list_find(CkpxLogtail *logtail, const CkpxRange *range)
{
	uint32		i;

	for (i = 0; i < logtail->nsegments; i++)
	{
		CkpxSegmentInfo *info = &logtail->slots[logtail->order[i]].info;

		if (info->range.start_lsn == range->start_lsn &&
			info->range.end_lsn == range->end_lsn)
			break;
	}
	return i;
}

/*
 * Append a segment to the list, with 'data' as its bytes.  False when there
 * is no slot.
 */
static bool
list_append(const CkpxSegmentInfo *info, dsa_pointer data)
{
	CkpxLogtail *logtail = CkpxShared->logtail;
	XLogRecPtr	previous_end = info->range.start_lsn;
	uint32		previous_epoch = info->range.epoch;
	bool		done = false;

	LWLockAcquire(CkpxShared->logtail_lock, LW_EXCLUSIVE);
	if (logtail->nsegments > 0)
	{
		uint16		last = logtail->order[logtail->nsegments - 1];

		previous_end = logtail->slots[last].info.range.end_lsn;
		previous_epoch = logtail->slots[last].info.range.epoch;
	}
	if (logtail->nfree > 0 && previous_end == info->range.start_lsn &&
		previous_epoch == info->range.epoch)
	{
		uint32		number = logtail->free[--logtail->nfree];
		CkpxSlot   *slot = &logtail->slots[number];

		slot->info = *info;
		slot->data = data;
		slot->allocated = ckpx_logtail_rounded(ckpx_segment_size(info));
		slot->pins = 0;
		slot->retired = false;
		logtail->used += slot->allocated;
		logtail->order[logtail->nsegments++] = number;
		done = true;
	}
	LWLockRelease(CkpxShared->logtail_lock);

	if (previous_end != info->range.start_lsn ||
		previous_epoch != info->range.epoch)
	{
		if (DsaPointerIsValid(data))
			dsa_free(ckpx_logtail_area, data);
		elog(ERROR, "segment %u at %X/%X does not follow the last one, %u up to %X/%X",
			 info->range.epoch, LSN_FORMAT_ARGS(info->range.start_lsn),
			 previous_epoch, LSN_FORMAT_ARGS(previous_end));
	}
	return done;
}

static void
check_range(const CkpxSegmentInfo *info)
{
	if (info->range.start_lsn >= info->range.end_lsn)
		elog(ERROR, "segment with the range %X/%X-%X/%X",
			 LSN_FORMAT_ARGS(info->range.start_lsn),
			 LSN_FORMAT_ARGS(info->range.end_lsn));
}

/* Is it time to merge, before 'size' more bytes are taken? */
static bool
merge_is_due(Size size)
{
	CkpxLogtail *logtail = CkpxShared->logtail;
	bool		due;

	LWLockAcquire(CkpxShared->logtail_lock, LW_EXCLUSIVE);
	if (logtail->used + size <= logtail->area_size / 2)
		logtail->merge_at = logtail->area_size / 2;
	due = logtail->used + size > logtail->merge_at;
	LWLockRelease(CkpxShared->logtail_lock);
	return due;
}

/* Wait with the next early merge until an eighth more is taken. */
static void
merge_was_done(void)
{
	CkpxLogtail *logtail = CkpxShared->logtail;

	LWLockAcquire(CkpxShared->logtail_lock, LW_EXCLUSIVE);
	logtail->merge_at = Max(logtail->area_size / 2,
							logtail->used + logtail->area_size / 8);
	LWLockRelease(CkpxShared->logtail_lock);
}

/* False where there is no memory, or no slot. */
static bool
store_and_append(const CkpxSegmentInfo *info, const CkpxSegmentRows *rows)
{
	dsa_pointer data;

	if (!ckpx_segment_store(info, rows, &data))
		return false;
	if (list_append(info, data))
		return true;
	if (DsaPointerIsValid(data))
		dsa_free(ckpx_logtail_area, data);
	return false;
}

bool
ckpx_logtail_add(const CkpxSegmentInfo *given, const CkpxDirtyTree *tree,
				 const CkpxDirtyTree *appended, XLogRecPtr boundary)
{
	CkpxSegmentInfo info = *given;
	CkpxSegmentRows rows;
	MemoryContext context;
	MemoryContext oldcontext;
	bool		added;

	check_range(given);
	ckpx_logtail_attach();

	context = AllocSetContextCreate(CurrentMemoryContext, "ckpx segment",
									ALLOCSET_DEFAULT_SIZES);
	oldcontext = MemoryContextSwitchTo(context);
	ckpx_segment_rows(&rows, tree, appended);
	ckpx_segment_measure(&info, &rows);
	info.spilled = false;
	info.spilling = false;
	info.nparts = 0;

	if (merge_is_due(ckpx_segment_size(&info)))
	{
		(void) ckpx_logtail_merge(boundary);
		merge_was_done();
	}
	added = store_and_append(&info, &rows);
	if (!added && ckpx_logtail_merge(boundary))
		added = store_and_append(&info, &rows);
	if (!added && rows.nthinned > 0)
	{
		rows.nthinned = 0;
		ckpx_segment_measure(&info, &rows);
		added = store_and_append(&info, &rows);
	}

	MemoryContextSwitchTo(oldcontext);
	MemoryContextDelete(context);
	return added;
}

bool
ckpx_logtail_add_spilled(const CkpxSegmentInfo *given)
{
	CkpxSegmentInfo info = *given;

	check_range(given);
	ckpx_logtail_attach();
	info.bytes = info.thinned_bytes = 0;
	info.spilled = true;
	info.spilling = false;
	return list_append(&info, InvalidDsaPointer);
}

void
ckpx_logtail_add_marks(const CkpxMark *marks, uint32 count)
{
	LWLockAcquire(CkpxShared->logtail_lock, LW_EXCLUSIVE);
	ckpx_marks_append(&CkpxShared->logtail->marks, marks, count);
	LWLockRelease(CkpxShared->logtail_lock);
}

uint32
ckpx_logtail_marks(XLogRecPtr start_lsn, XLogRecPtr end_lsn, CkpxMark *marks,
				   uint32 room)
{
	const CkpxMarks *all = &CkpxShared->logtail->marks;
	uint32		begin;
	uint32		count;

	LWLockAcquire(CkpxShared->logtail_lock, LW_SHARED);
	begin = ckpx_marks_find(all->items, all->count, start_lsn);
	count = ckpx_marks_find(all->items, all->count, end_lsn) - begin;
	count = Min(count, room);
	memcpy(marks, all->items + begin, sizeof(CkpxMark) * count);
	LWLockRelease(CkpxShared->logtail_lock);
	return count;
}

void
ckpx_logtail_trim(XLogRecPtr lsn)
{
	CkpxLogtail *logtail;
	XLogRecPtr	trimmed = InvalidXLogRecPtr;
	uint32		count = 0;

	ckpx_logtail_attach();
	logtail = CkpxShared->logtail;
	LWLockAcquire(CkpxShared->logtail_lock, LW_EXCLUSIVE);
	for (; count < logtail->nsegments; count++)
	{
		const CkpxRange *range =
			&logtail->slots[logtail->order[count]].info.range;

		if (range->end_lsn > lsn)
			break;
		trimmed = range->end_lsn;
	}
	ckpx_marks_forget(&logtail->marks, trimmed);
	list_remove(logtail, 0, count);
	LWLockRelease(CkpxShared->logtail_lock);
}

void
ckpx_logtail_clear(void)
{
	CkpxLogtail *logtail;

	ckpx_logtail_attach();
	logtail = CkpxShared->logtail;
	LWLockAcquire(CkpxShared->logtail_lock, LW_EXCLUSIVE);
	list_remove(logtail, 0, logtail->nsegments);
	logtail->marks.count = 0;
	LWLockRelease(CkpxShared->logtail_lock);
}

void
ckpx_logtail_mark_redo(XLogRecPtr lsn, uint64 redo_ms)
{
	CkpxLogtail *logtail;

	ckpx_logtail_attach();
	logtail = CkpxShared->logtail;
	LWLockAcquire(CkpxShared->logtail_lock, LW_EXCLUSIVE);
	if (logtail->nsegments > 0)
	{
		uint16		last = logtail->order[logtail->nsegments - 1];

		if (logtail->slots[last].info.range.end_lsn == lsn &&
			logtail->slots[last].info.redo_ms == 0)
			logtail->slots[last].info.redo_ms = redo_ms;
	}
	LWLockRelease(CkpxShared->logtail_lock);
}

bool
ckpx_logtail_mark_spilling(const CkpxRange *range, bool spilling)
{
	CkpxLogtail *logtail;
	uint32		index;
	bool		found = false;

	ckpx_logtail_attach();
	logtail = CkpxShared->logtail;
	LWLockAcquire(CkpxShared->logtail_lock, LW_EXCLUSIVE);
	index = list_find(logtail, range);
	if (index < logtail->nsegments)
	{
		CkpxSegmentInfo *info = &logtail->slots[logtail->order[index]].info;

		if (!info->spilled)
		{
			info->spilling = spilling;
			found = true;
		}
	}
	LWLockRelease(CkpxShared->logtail_lock);
	return found;
}

bool
ckpx_logtail_mark_spilled(const CkpxRange *range, uint32 nparts)
{
	CkpxLogtail *logtail;
	uint32		index;
	bool		found = false;

	ckpx_logtail_attach();
	logtail = CkpxShared->logtail;
	LWLockAcquire(CkpxShared->logtail_lock, LW_EXCLUSIVE);
	index = list_find(logtail, range);
	if (index < logtail->nsegments)
	{
		CkpxSlot   *slot = &logtail->slots[logtail->order[index]];

		slot->info.spilled = true;
		slot->info.spilling = false;
		slot->info.nparts = nparts;
		slot->info.bytes = slot->info.thinned_bytes = 0;

		/* Pins from before read on; the last unpin frees the bytes. */
		ckpx_logtail_settle(logtail, logtail->order[index]);
		found = true;
	}
	LWLockRelease(CkpxShared->logtail_lock);
	return found;
}

CkpxSegmentRef *
ckpx_logtail_make_room(void)
{
	ckpx_logtail_attach();
	return palloc(sizeof(CkpxSegmentRef) * CKPX_MAX_SEGMENTS);
}

uint32
ckpx_logtail_pin_into(CkpxSegmentRef *refs, XLogRecPtr start_lsn,
					  XLogRecPtr end_lsn)
{
	CkpxLogtail *logtail = CkpxShared->logtail;
	uint32		npinned = 0;

	/* An empty range overlaps nothing, also inside a segment. */
	if (start_lsn >= end_lsn)
		return 0;
	LWLockAcquire(CkpxShared->logtail_lock, LW_EXCLUSIVE);
	for (uint32 i = 0; i < logtail->nsegments; i++)
	{
		uint32		number = logtail->order[i];
		CkpxSegmentInfo *info = &logtail->slots[number].info;

		if (info->range.start_lsn < end_lsn && info->range.end_lsn > start_lsn)
			ckpx_logtail_pin_slot(logtail, number, &refs[npinned++]);
	}
	LWLockRelease(CkpxShared->logtail_lock);
	return npinned;
}

CkpxSegmentRef *
ckpx_logtail_pin(XLogRecPtr start_lsn, XLogRecPtr end_lsn, uint32 *count)
{
	CkpxSegmentRef *refs = ckpx_logtail_make_room();

	*count = ckpx_logtail_pin_into(refs, start_lsn, end_lsn);
	return refs;
}

CkpxSegmentInfo *
ckpx_logtail_copy(uint32 *count)
{
	CkpxLogtail *logtail;
	CkpxSegmentInfo *infos;

	if (CkpxShared == NULL)
		ckpx_require_preload();
	logtail = CkpxShared->logtail;
	infos = palloc(sizeof(CkpxSegmentInfo) * CKPX_MAX_SEGMENTS);
	LWLockAcquire(CkpxShared->logtail_lock, LW_SHARED);
	for (uint32 i = 0; i < logtail->nsegments; i++)
		infos[i] = logtail->slots[logtail->order[i]].info;
	*count = logtail->nsegments;
	LWLockRelease(CkpxShared->logtail_lock);
	return infos;
}

void
ckpx_logtail_usage(Size *used, Size *total, uint32 *nsegments)
{
	CkpxLogtail *logtail;

	if (CkpxShared == NULL)
		ckpx_require_preload();
	logtail = CkpxShared->logtail;
	LWLockAcquire(CkpxShared->logtail_lock, LW_SHARED);
	if (used)
		*used = logtail->used;
	if (total)
		*total = logtail->area_size;
	if (nsegments)
		*nsegments = logtail->nsegments;
	LWLockRelease(CkpxShared->logtail_lock);
}

void
ckpx_segment_entry(CkpxEntry *entry, const CkpxSegmentInfo *info)
{
	memset(entry, 0, sizeof(*entry));
	entry->kind = CKPX_KIND_SEGMENT;
	entry->state = CKPX_ENTRY_FINISHED;
	entry->range = info->range;
	entry->nrelations = info->nrelations;
	entry->nblocks = info->nblocks;
	entry->nparts = info->nparts;
}
