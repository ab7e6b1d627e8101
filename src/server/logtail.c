/*-------------------------------------------------------------------------
 *
 * logtail.c
 *		The list of decoded segments in shared memory.
 *
 * Slots.  A segment is a slot: its info, a pointer into the DSA area, and a
 * count of pins.  'order' lists the slots of the logtail in LSN order; a slot
 * that is neither there nor in the free list is retired: it left the logtail
 * while somebody had it pinned, and whoever unpins it last frees it.  All of
 * that changes under logtail_lock, held exclusively, and nothing that can
 * raise an error happens while it is held.
 *
 * Memory.  The DSA area lies in main shared memory and is limited to its
 * in-place part, so that it never asks for a dynamic segment: that raises an
 * error where /dev/shm is full, whatever flags say.  No memory is therefore a
 * normal outcome here.
 *
 * Merging never frees what it replaces before the replacement is complete:
 * the new bytes either get memory of their own, or are written over one of
 * the inputs that nobody else has pinned and that is large enough, by one
 * copy under the lock from a private buffer.  Where neither is possible the
 * group is split, and in the end left as it is.
 *
 * Which neighbours are merged is decided as in a binary counter: a group
 * takes in the one before it while that is not more than twice as large.
 * What is left grows by more than two from the end to the start, so there are
 * few segments, and each byte is rewritten a logarithmic number of times.
 * That needs room for the largest group, hence _add merges already when half
 * of the memory is taken.
 *
 * A process that dies by a signal takes all shared memory with it; one that
 * exits gives its pins back in a before_shmem_exit callback.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "server/compat.h"
#include "server/logtail.h"
#include "server/options.h"
#include "server/shared_state.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/memutils.h"

typedef struct CkpxSlot
{
	CkpxSegmentInfo info;
	dsa_pointer data;			/* InvalidDsaPointer: none, or no bytes */
	Size		allocated;		/* memory that 'data' has */
	uint32		pins;
	bool		retired;		/* free it at the last unpin */
} CkpxSlot;

struct CkpxLogtail
{
	Size		area_size;		/* of the DSA area behind this struct */
	Size		used;			/* sum of 'allocated' */
	Size		merge_at;		/* merge when 'used' would pass this */
	uint32		nsegments;
	uint32		nfree;
	uint16		order[CKPX_MAX_SEGMENTS];	/* slots in LSN order */
	uint16		free[CKPX_MAX_SEGMENTS];	/* a stack */
	CkpxSlot	slots[CKPX_MAX_SEGMENTS];
};

#define NO_SLOT		CKPX_MAX_SEGMENTS

/* What a small segment counts for, so that many empty ones get merged. */
#define MIN_WEIGHT	256

/* The area as this process sees it, and the pins that it holds. */
static dsa_area *area = NULL;
static bool exit_callback_registered = false;
static uint32 my_pins[CKPX_MAX_SEGMENTS];

/* Neighbours that _merge wants to make one. */
typedef struct MergeGroup
{
	uint32		first;			/* index into the copied list */
	uint32		count;
	Size		weight;
} MergeGroup;

static Size
area_size(void)
{
	Size		size = mul_size(ckpx_logtail_memory, 1024);

	/* Below this the area could not hold its own administration. */
	return MAXALIGN(Max(size, add_size(dsa_minimum_size(), 64 * 1024)));
}

static void *
area_place(CkpxLogtail *logtail)
{
	return (char *) logtail + MAXALIGN(sizeof(CkpxLogtail));
}

Size
ckpx_logtail_shmem_size(void)
{
	return add_size(MAXALIGN(sizeof(CkpxLogtail)), area_size());
}

/*
 * Set up the empty list and its area; the postmaster (or a single-user
 * server) does this, and lets go of the area at once: it never uses it, and
 * its children attach for themselves.
 */
void
ckpx_logtail_shmem_init(CkpxLogtail *logtail, bool found)
{
	dsa_area   *dsa;

	if (found)
		return;

	memset(logtail, 0, sizeof(CkpxLogtail));
	logtail->area_size = area_size();
	logtail->merge_at = logtail->area_size / 2;
	for (uint32 i = 0; i < CKPX_MAX_SEGMENTS; i++)
		logtail->free[i] = CKPX_MAX_SEGMENTS - 1 - i;
	logtail->nfree = CKPX_MAX_SEGMENTS;

	dsa = dsa_create_in_place(area_place(logtail), logtail->area_size,
							  CkpxShared->dsa_tranche, NULL);
	dsa_pin(dsa);
	dsa_set_size_limit(dsa, logtail->area_size);
	dsa_detach(dsa);
}

/* Give back at exit what this process still has pinned. */
static void
unpin_at_exit(int code, Datum arg)
{
	/*
	 * A FATAL error from within an allocation leaves its locks held; waiting
	 * for them would be waiting for ourselves.
	 */
	LWLockReleaseAll();
	ckpx_logtail_unpin_all();
}

/* Make the area usable in this process.  May raise an error: no lock held. */
static void
attach(void)
{
	CkpxLogtail *logtail;
	MemoryContext oldcontext;

	if (CkpxShared == NULL)
		ckpx_require_preload();
	logtail = CkpxShared->logtail;

	if (area == NULL)
	{
		oldcontext = MemoryContextSwitchTo(TopMemoryContext);
		area = dsa_attach_in_place(area_place(logtail), NULL);
		dsa_pin_mapping(area);
		MemoryContextSwitchTo(oldcontext);

		/* Not done by detaching, as there is no segment of its own. */
		on_shmem_exit(dsa_on_shmem_exit_release_in_place,
					  PointerGetDatum(area_place(logtail)));
	}
	if (!exit_callback_registered)
	{
		before_shmem_exit(unpin_at_exit, (Datum) 0);
		exit_callback_registered = true;
	}
}

/*
 * The size to allocate for 'size' bytes.  Up to 8 kB the area serves each of
 * some forty sizes from a block of 64 kB of its own, so with all of them in
 * use a small area would be full of nearly empty blocks; hence three sizes
 * only.  Larger ones are whole pages.
 */
static Size
rounded(Size size)
{
	if (size == 0)
		return 0;
	if (size <= 512)
		return 512;
	if (size <= 2048)
		return 2048;
	if (size <= 8192)
		return 8192;
	return TYPEALIGN(4096, size);
}

static void
slot_free_data(CkpxLogtail *logtail, CkpxSlot *slot)
{
	if (DsaPointerIsValid(slot->data))
	{
		dsa_free(area, slot->data);
		slot->data = InvalidDsaPointer;
		logtail->used -= slot->allocated;
		slot->allocated = 0;
	}
}

/* Do what waited for the last pin.  The lock is held. */
static void
slot_settle(CkpxLogtail *logtail, uint32 number)
{
	CkpxSlot   *slot = &logtail->slots[number];

	if (slot->pins > 0)
		return;
	if (slot->retired)
	{
		slot_free_data(logtail, slot);
		slot->retired = false;
		logtail->free[logtail->nfree++] = number;
	}
	else if (slot->info.spilled)
		slot_free_data(logtail, slot);
}

/* Remove 'count' slots of the list from 'index' on.  The lock is held. */
static void
list_remove(CkpxLogtail *logtail, uint32 index, uint32 count)
{
	for (uint32 i = index; i < index + count; i++)
	{
		uint32		number = logtail->order[i];

		logtail->slots[number].retired = true;
		slot_settle(logtail, number);
	}
	memmove(&logtail->order[index], &logtail->order[index + count],
			(logtail->nsegments - index - count) * sizeof(uint16));
	logtail->nsegments -= count;
}

/* The index in the list of the segment with this range, or nsegments. */
static uint32
list_find(CkpxLogtail *logtail, XLogRecPtr start_lsn, XLogRecPtr end_lsn)
{
	uint32		i;

	for (i = 0; i < logtail->nsegments; i++)
	{
		CkpxSegmentInfo *info = &logtail->slots[logtail->order[i]].info;

		if (info->start_lsn == start_lsn && info->end_lsn == end_lsn)
			break;
	}
	return i;
}

static Size
tree_size(CkpxRelation **relations, uint32 count)
{
	Size		size = 0;

	for (uint32 i = 0; i < count; i++)
		size = add_size(size, ckpx_relation_encoded_size(relations[i]));
	return size;
}

/*
 * Write the byte form to 'place', which has 'size' bytes.  One relation at a
 * time, because a whole tree may pass the limit of a StringInfo.
 */
static void
tree_encode(CkpxRelation **relations, uint32 count, char *place, Size size)
{
	StringInfoData buf;
	Size		offset = 0;

	initStringInfo(&buf);
	for (uint32 i = 0; i < count; i++)
	{
		resetStringInfo(&buf);
		ckpx_relation_encode(&buf, relations[i]);
		if ((Size) buf.len > size - offset)
			elog(ERROR, "relation record of %d bytes is longer than announced",
				 buf.len);
		memcpy(place + offset, buf.data, buf.len);
		offset += buf.len;
	}
	if (offset != size)
		elog(ERROR, "relation records of %zu bytes instead of %zu",
			 offset, size);
	pfree(buf.data);
}

/*
 * Allocate shared memory for the relations and fill it.  False where there is
 * no memory; an empty tree needs none.
 */
static bool
tree_store(CkpxRelation **relations, uint32 count, Size size,
		   dsa_pointer *data)
{
	dsa_pointer place;

	*data = InvalidDsaPointer;
	if (size == 0)
		return true;
	if (size > CkpxShared->logtail->area_size)
		return false;
	place = dsa_allocate_extended(area, rounded(size),
								  DSA_ALLOC_HUGE | DSA_ALLOC_NO_OOM);
	if (!DsaPointerIsValid(place))
		return false;

	PG_TRY();
	{
		tree_encode(relations, count, dsa_get_address(area, place), size);
	}
	PG_CATCH();
	{
		dsa_free(area, place);
		PG_RE_THROW();
	}
	PG_END_TRY();

	*data = place;
	return true;
}

/*
 * Append a segment to the list, with 'data' as its bytes.  False when there
 * is no slot.
 */
static bool
list_append(const CkpxSegmentInfo *info, dsa_pointer data)
{
	CkpxLogtail *logtail = CkpxShared->logtail;
	XLogRecPtr	previous_end = info->start_lsn;
	uint32		previous_epoch = info->epoch;
	bool		done = false;

	LWLockAcquire(CkpxShared->logtail_lock, LW_EXCLUSIVE);
	if (logtail->nsegments > 0)
	{
		uint16		last = logtail->order[logtail->nsegments - 1];

		previous_end = logtail->slots[last].info.end_lsn;
		previous_epoch = logtail->slots[last].info.epoch;
	}
	if (logtail->nfree > 0 && previous_end == info->start_lsn &&
		previous_epoch == info->epoch)
	{
		uint32		number = logtail->free[--logtail->nfree];
		CkpxSlot   *slot = &logtail->slots[number];

		slot->info = *info;
		slot->data = data;
		slot->allocated = rounded(info->bytes);
		slot->pins = 0;
		slot->retired = false;
		logtail->used += slot->allocated;
		logtail->order[logtail->nsegments++] = number;
		done = true;
	}
	LWLockRelease(CkpxShared->logtail_lock);

	if (previous_end != info->start_lsn || previous_epoch != info->epoch)
	{
		if (DsaPointerIsValid(data))
			dsa_free(area, data);
		elog(ERROR, "segment %u at %X/%X does not follow the last one, %u up to %X/%X",
			 info->epoch, LSN_FORMAT_ARGS(info->start_lsn),
			 previous_epoch, LSN_FORMAT_ARGS(previous_end));
	}
	return done;
}

static void
check_range(const CkpxSegmentInfo *info)
{
	if (info->start_lsn >= info->end_lsn)
		elog(ERROR, "segment with the range %X/%X-%X/%X",
			 LSN_FORMAT_ARGS(info->start_lsn), LSN_FORMAT_ARGS(info->end_lsn));
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

bool
ckpx_logtail_add(const CkpxSegmentInfo *given, const CkpxDirtyTree *tree,
				 XLogRecPtr boundary)
{
	CkpxSegmentInfo info = *given;
	CkpxRelation **relations;
	uint32		count;
	bool		added = false;

	check_range(given);
	attach();

	relations = ckpx_dirty_tree_sorted(tree, &count);
	info.nrelations = count;
	info.nblocks = ckpx_dirty_tree_nblocks(tree);
	info.bytes = tree_size(relations, count);
	info.spilled = false;
	info.spilling = false;
	info.nparts = 0;

	if (merge_is_due(info.bytes))
	{
		(void) ckpx_logtail_merge(boundary);
		merge_was_done();
	}
	for (int attempt = 0; !added && attempt < 2; attempt++)
	{
		dsa_pointer data;

		if (attempt > 0 && !ckpx_logtail_merge(boundary))
			break;
		if (!tree_store(relations, count, info.bytes, &data))
			continue;
		added = list_append(&info, data);
		if (!added && DsaPointerIsValid(data))
			dsa_free(area, data);
	}
	if (relations != NULL)
		pfree(relations);
	return added;
}

bool
ckpx_logtail_add_spilled(const CkpxSegmentInfo *given)
{
	CkpxSegmentInfo info = *given;

	check_range(given);
	attach();
	info.bytes = 0;
	info.spilled = true;
	info.spilling = false;
	return list_append(&info, InvalidDsaPointer);
}

/* Pin the segment in 'number' and describe it.  The lock is held. */
static void
pin_slot(CkpxLogtail *logtail, uint32 number, CkpxSegmentRef *ref)
{
	CkpxSlot   *slot = &logtail->slots[number];

	slot->pins++;
	my_pins[number]++;
	ref->slot = number;
	ref->info = slot->info;
	if (slot->info.spilled)
		ref->bytes = NULL;
	else if (DsaPointerIsValid(slot->data))
		ref->bytes = dsa_get_address(area, slot->data);
	else
		ref->bytes = "";
}

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
	info->start_lsn = refs[0].info.start_lsn;
	for (uint32 i = 0; i < count - 1; i++)
	{
		const CkpxSegmentInfo *part = &refs[i].info;

		info->last_change_lsn = Max(info->last_change_lsn,
									part->last_change_lsn);
		info->nxacts += part->nxacts;
		info->wal_bytes += part->wal_bytes;
		for (int b = 0; b < CKPX_RMGR_BITMAP_BYTES; b++)
			info->custom_rmgrs[b] |= part->custom_rmgrs[b];
	}
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
							slot->allocated >= info->bytes)))
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
		memcpy(dsa_get_address(area, slot->data), bytes, info->bytes);
	else
	{
		slot_free_data(logtail, slot);
		slot->data = data;
		slot->allocated = rounded(info->bytes);
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
	CkpxRelation **relations;
	uint32		nrelations;
	CkpxSegmentInfo info;
	dsa_pointer data;
	char	   *bytes;

	for (uint32 i = 0; i < count; i++)
	{
		const char *problem = NULL;

		if (!ckpx_dirty_tree_merge_bytes(tree, refs[i].bytes,
										 refs[i].info.bytes, &problem))
			elog(ERROR, "segment %X/%X-%X/%X in shared memory is damaged: %s",
				 LSN_FORMAT_ARGS(refs[i].info.start_lsn),
				 LSN_FORMAT_ARGS(refs[i].info.end_lsn),
				 problem ? problem : "unknown problem");
	}
	combine_info(&info, refs, count);
	relations = ckpx_dirty_tree_sorted(tree, &nrelations);
	info.nrelations = nrelations;
	info.nblocks = ckpx_dirty_tree_nblocks(tree);
	info.bytes = tree_size(relations, nrelations);

	if (tree_store(relations, nrelations, info.bytes, &data))
	{
		if (replace_group(members, count, &info, data, false, NULL))
			return true;
		if (DsaPointerIsValid(data))
			dsa_free(area, data);
		return false;
	}

	/* No memory beside the inputs: does it fit over one of them? */
	for (uint32 i = 0; i < count; i++)
	{
		if (rounded(refs[i].info.bytes) >= info.bytes)
		{
			bytes = MemoryContextAllocHuge(CurrentMemoryContext, info.bytes);
			tree_encode(relations, nrelations, bytes, info.bytes);
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
		pin_slot(logtail, members[i], &refs[i]);
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
	if (boundary == InvalidXLogRecPtr || info->end_lsn <= boundary)
		return 0;
	return info->start_lsn >= boundary ? 2 : 1;
}

/* May these two neighbours become one? */
static bool
may_join(const CkpxSegmentInfo *a, const CkpxSegmentInfo *b,
		 XLogRecPtr boundary)
{
	return is_mergeable(a) && is_mergeable(b) &&
		a->epoch == b->epoch && a->timeline == b->timeline &&
		a->end_lsn == b->start_lsn &&
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

	attach();
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
		groups[ngroups].weight = Max(infos[i].bytes, MIN_WEIGHT);
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

void
ckpx_logtail_trim(XLogRecPtr lsn)
{
	CkpxLogtail *logtail;
	uint32		count = 0;

	attach();
	logtail = CkpxShared->logtail;
	LWLockAcquire(CkpxShared->logtail_lock, LW_EXCLUSIVE);
	while (count < logtail->nsegments &&
		   logtail->slots[logtail->order[count]].info.end_lsn <= lsn)
		count++;
	list_remove(logtail, 0, count);
	LWLockRelease(CkpxShared->logtail_lock);
}

void
ckpx_logtail_clear(void)
{
	CkpxLogtail *logtail;

	attach();
	logtail = CkpxShared->logtail;
	LWLockAcquire(CkpxShared->logtail_lock, LW_EXCLUSIVE);
	list_remove(logtail, 0, logtail->nsegments);
	LWLockRelease(CkpxShared->logtail_lock);
}

bool
ckpx_logtail_mark_spilling(XLogRecPtr start_lsn, XLogRecPtr end_lsn,
						   bool spilling)
{
	CkpxLogtail *logtail;
	uint32		index;
	bool		found = false;

	attach();
	logtail = CkpxShared->logtail;
	LWLockAcquire(CkpxShared->logtail_lock, LW_EXCLUSIVE);
	index = list_find(logtail, start_lsn, end_lsn);
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
ckpx_logtail_mark_spilled(XLogRecPtr start_lsn, XLogRecPtr end_lsn,
						  uint32 nparts)
{
	CkpxLogtail *logtail;
	uint32		index;
	bool		found = false;

	attach();
	logtail = CkpxShared->logtail;
	LWLockAcquire(CkpxShared->logtail_lock, LW_EXCLUSIVE);
	index = list_find(logtail, start_lsn, end_lsn);
	if (index < logtail->nsegments)
	{
		CkpxSlot   *slot = &logtail->slots[logtail->order[index]];

		slot->info.spilled = true;
		slot->info.spilling = false;
		slot->info.nparts = nparts;
		slot->info.bytes = 0;

		/* Who pinned it before reads on; the last of them frees the bytes. */
		slot_settle(logtail, logtail->order[index]);
		found = true;
	}
	LWLockRelease(CkpxShared->logtail_lock);
	return found;
}

CkpxSegmentRef *
ckpx_logtail_pin(XLogRecPtr start_lsn, XLogRecPtr end_lsn, uint32 *count)
{
	CkpxLogtail *logtail;
	CkpxSegmentRef *refs;
	uint32		npinned = 0;

	attach();
	logtail = CkpxShared->logtail;
	refs = palloc(sizeof(CkpxSegmentRef) * CKPX_MAX_SEGMENTS);

	/* An empty range overlaps nothing, also inside a segment. */
	if (start_lsn < end_lsn)
	{
		LWLockAcquire(CkpxShared->logtail_lock, LW_EXCLUSIVE);
		for (uint32 i = 0; i < logtail->nsegments; i++)
		{
			uint32		number = logtail->order[i];
			CkpxSegmentInfo *info = &logtail->slots[number].info;

			if (info->start_lsn < end_lsn && info->end_lsn > start_lsn)
				pin_slot(logtail, number, &refs[npinned++]);
		}
		LWLockRelease(CkpxShared->logtail_lock);
	}
	*count = npinned;
	return refs;
}

void
ckpx_logtail_unpin(CkpxSegmentRef *refs, uint32 count)
{
	CkpxLogtail *logtail;

	if (count == 0)
		return;
	logtail = CkpxShared->logtail;
	LWLockAcquire(CkpxShared->logtail_lock, LW_EXCLUSIVE);
	for (uint32 i = 0; i < count; i++)
	{
		uint32		number = refs[i].slot;

		/* Given back already, by ckpx_logtail_unpin_all(). */
		if (my_pins[number] == 0)
			continue;
		my_pins[number]--;
		logtail->slots[number].pins--;
		slot_settle(logtail, number);
	}
	LWLockRelease(CkpxShared->logtail_lock);
}

void
ckpx_logtail_unpin_all(void)
{
	CkpxLogtail *logtail;

	if (area == NULL)
		return;
	logtail = CkpxShared->logtail;
	LWLockAcquire(CkpxShared->logtail_lock, LW_EXCLUSIVE);
	for (uint32 number = 0; number < CKPX_MAX_SEGMENTS; number++)
	{
		if (my_pins[number] == 0)
			continue;
		Assert(logtail->slots[number].pins >= my_pins[number]);
		logtail->slots[number].pins -= my_pins[number];
		my_pins[number] = 0;
		slot_settle(logtail, number);
	}
	LWLockRelease(CkpxShared->logtail_lock);
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
	entry->epoch = info->epoch;
	entry->timeline = info->timeline;
	entry->start_lsn = info->start_lsn;
	entry->end_lsn = info->end_lsn;
	entry->last_record = info->last_record;
	entry->last_change_lsn = info->last_change_lsn;
	entry->nrelations = info->nrelations;
	entry->nblocks = info->nblocks;
	entry->nxacts = info->nxacts;
	entry->wal_bytes = info->wal_bytes;
	memcpy(entry->custom_rmgrs, info->custom_rmgrs, CKPX_RMGR_BITMAP_BYTES);
	entry->next_xid = info->next_xid;
	entry->created_at = info->created_at;
	entry->version = CKPX_OBJECT_VERSION;
	entry->nparts = info->nparts;
}
