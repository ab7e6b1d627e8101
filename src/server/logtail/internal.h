/*-------------------------------------------------------------------------
 *
 * internal.h
 *		What the parts of the logtail share: its shared memory.
 *
 * The idea: a segment is a slot: its info, a pointer into the DSA area, and a
 * count of pins.  'order' lists the slots of the logtail in LSN order; a slot
 * that is neither there nor in the free list is retired: it left the logtail
 * while a process had it pinned, and the last unpin frees it.  All of
 * that changes under logtail_lock, held exclusively, and nothing that can
 * raise an error happens while it is held.
 *
 *	logtail.c			the list
 *	logtail/merge.c		neighbours made one
 *	logtail/pins.c		pins, and what waits for the last one
 *	logtail/memory.c	the area and the bytes in it
 *	logtail/thinned.c	which blocks were only thinned
 *
 * Only these include this header.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_LOGTAIL_INTERNAL_H
#define CKPX_LOGTAIL_INTERNAL_H

#include "core/history/mark.h"
#include "server/base/shared_state.h"
#include "server/logtail/logtail.h"

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
	CkpxMarks	marks;			/* of all segments, and of the next */
	CkpxSlot	slots[CKPX_MAX_SEGMENTS];
};

/*
 * logtail/memory.c: the area as this process sees it; NULL before _map_area,
 * which _attach calls.
 */
extern dsa_area *ckpx_logtail_area;

extern void ckpx_logtail_map_area(void);

/* The size to allocate for 'size' bytes. */
extern Size ckpx_logtail_rounded(Size size);

/* What the bytes of a segment are made of: sorted relations. */
typedef struct CkpxSegmentRows
{
	CkpxRelation **relations;
	uint32		nrelations;
	CkpxRelation **thinned;
	uint32		nthinned;
} CkpxSegmentRows;

/*
 * Set what 'info' tells of the rows' number and size; write the rows to
 * 'place', which has just that size; or to shared memory that is allocated for
 * it.  _store is false where there is no memory; an empty tree needs none.
 */
extern void ckpx_segment_measure(CkpxSegmentInfo *info,
								 const CkpxSegmentRows *rows);
extern void ckpx_segment_encode(const CkpxSegmentInfo *info,
								const CkpxSegmentRows *rows, char *place);
extern bool ckpx_segment_store(const CkpxSegmentInfo *info,
							   const CkpxSegmentRows *rows,
							   dsa_pointer *data);

/* All bytes of a segment. */
static inline Size
ckpx_segment_size(const CkpxSegmentInfo *info)
{
	return info->bytes + info->thinned_bytes;
}

/*
 * logtail/thinned.c: the rows of a tree, with what was thinned unless
 * 'appended' is NULL; from the current memory context.
 */
extern void ckpx_segment_rows(CkpxSegmentRows *rows,
							  const CkpxDirtyTree *tree,
							  const CkpxDirtyTree *appended);

/* Let go of a slot's bytes.  The lock is held exclusively. */
extern void ckpx_logtail_free_data(CkpxLogtail *logtail, CkpxSlot *slot);

/*
 * logtail/pins.c: every function that follows a data pointer or pins calls
 * _attach first, which may raise an error: no lock held.  For the others the
 * lock is held exclusively: _pin_slot pins the segment in 'number' and
 * describes it, _settle frees what waited for the last pin.
 */
extern void ckpx_logtail_attach(void);
extern void ckpx_logtail_pin_slot(CkpxLogtail *logtail, uint32 number,
								  CkpxSegmentRef *ref);
extern void ckpx_logtail_settle(CkpxLogtail *logtail, uint32 number);

#endif							/* CKPX_LOGTAIL_INTERNAL_H */
