/*-------------------------------------------------------------------------
 *
 * memory.c
 *		The memory of the logtail: a DSA area of fixed size, and segments in
 *		their byte form in it.
 *
 * The area lies in main shared memory and is limited to its in-place part, so
 * that it never asks for a dynamic segment: that raises an error where
 * /dev/shm is full, whatever flags say.  No memory is therefore a normal
 * outcome here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "server/base/compat.h"
#include "server/base/options.h"
#include "server/logtail/internal.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/memutils.h"

dsa_area   *ckpx_logtail_area = NULL;

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
 * its children map it for themselves.
 */
void
ckpx_logtail_shmem_init(void *place, bool found)
{
	CkpxLogtail *logtail = place;
	dsa_area   *dsa;

	if (found)
		return;

	CkpxShared->logtail = logtail;
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

/* Make the area usable in this process.  May raise an error: no lock held. */
void
ckpx_logtail_map_area(void)
{
	CkpxLogtail *logtail;
	MemoryContext oldcontext;

	if (CkpxShared == NULL)
		ckpx_require_preload();
	logtail = CkpxShared->logtail;

	if (ckpx_logtail_area == NULL)
	{
		oldcontext = MemoryContextSwitchTo(TopMemoryContext);
		ckpx_logtail_area = dsa_attach_in_place(area_place(logtail), NULL);
		dsa_pin_mapping(ckpx_logtail_area);
		MemoryContextSwitchTo(oldcontext);

		/* Not done by detaching, as there is no segment of its own. */
		on_shmem_exit(dsa_on_shmem_exit_release_in_place,
					  PointerGetDatum(area_place(logtail)));
	}
}

/*
 * The size to allocate for 'size' bytes.  Up to 8 kB the area serves each of
 * some forty sizes from a block of 64 kB of its own, so with all of them in
 * use a small area would be full of nearly empty blocks; hence three sizes
 * only.  Larger ones are whole pages.
 */
Size
ckpx_logtail_rounded(Size size)
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

void
ckpx_logtail_free_data(CkpxLogtail *logtail, CkpxSlot *slot)
{
	if (DsaPointerIsValid(slot->data))
	{
		dsa_free(ckpx_logtail_area, slot->data);
		slot->data = InvalidDsaPointer;
		logtail->used -= slot->allocated;
		slot->allocated = 0;
	}
}

static Size
encoded_size(CkpxRelation **relations, uint32 count)
{
	Size		size = 0;

	for (uint32 i = 0; i < count; i++)
		size = add_size(size, ckpx_relation_encoded_size(relations[i]));
	return size;
}

void
ckpx_segment_measure(CkpxSegmentInfo *info, const CkpxSegmentRows *rows)
{
	info->nrelations = rows->nrelations;
	info->nblocks = 0;
	for (uint32 i = 0; i < rows->nrelations; i++)
		info->nblocks += ckpx_block_set_count(&rows->relations[i]->blocks);
	info->bytes = encoded_size(rows->relations, rows->nrelations);
	info->thinned_bytes = encoded_size(rows->thinned, rows->nthinned);
}

/*
 * Write relations to 'place', which has 'size' bytes.  One relation at a
 * time, because a whole tree may pass the limit of a StringInfo.
 */
static void
encode(CkpxRelation **relations, uint32 count, char *place, Size size)
{
	StringInfoData buf;
	Size		offset = 0;

	initStringInfo(&buf);
	for (uint32 i = 0; i < count; i++)
	{
		resetStringInfo(&buf);
		ckpx_relation_encode(&buf, relations[i], 0, false);
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

void
ckpx_segment_encode(const CkpxSegmentInfo *info, const CkpxSegmentRows *rows,
					char *place)
{
	encode(rows->relations, rows->nrelations, place, info->bytes);
	encode(rows->thinned, rows->nthinned, place + info->bytes,
		   info->thinned_bytes);
}

bool
ckpx_segment_store(const CkpxSegmentInfo *info, const CkpxSegmentRows *rows,
				   dsa_pointer *data)
{
	Size		size = ckpx_segment_size(info);
	dsa_pointer place;

	*data = InvalidDsaPointer;
	if (size == 0)
		return true;
	if (size > CkpxShared->logtail->area_size)
		return false;
	place = dsa_allocate_extended(ckpx_logtail_area,
								  ckpx_logtail_rounded(size),
								  DSA_ALLOC_HUGE | DSA_ALLOC_NO_OOM);
	if (!DsaPointerIsValid(place))
		return false;

	PG_TRY();
	{
		ckpx_segment_encode(info, rows,
							dsa_get_address(ckpx_logtail_area, place));
	}
	PG_CATCH();
	{
		dsa_free(ckpx_logtail_area, place);
		PG_RE_THROW();
	}
	PG_END_TRY();

	*data = place;
	return true;
}
