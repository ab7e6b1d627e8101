/*-------------------------------------------------------------------------
 *
 * block_ranges.h
 *		Builds an int8multirange from ascending runs of block numbers.
 *
 * A builder holds at most CKPX_MAX_ROW_RANGES runs, so that no value comes
 * near the largest allocation (a run takes about 21 bytes); when it is full
 * the caller takes the value, puts out a row and goes on.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BLOCK_RANGES_H
#define CKPX_BLOCK_RANGES_H

#include "postgres.h"

#include "storage/block.h"
#include "utils/rangetypes.h"
#include "utils/typcache.h"

#define CKPX_MAX_ROW_RANGES		1000000

typedef struct CkpxRanges
{
	TypeCacheEntry *range_type;
	MemoryContext context;		/* holds the runs and the value; reset by
								 * _reset */
	RangeType **ranges;
	uint32		nranges;
	uint32		maxranges;
	uint64		nblocks;		/* in the runs that have an end */
} CkpxRanges;

extern void ckpx_ranges_init(CkpxRanges *ranges);

/* Add [from, to), which lies behind the last one and does not touch it. */
extern void ckpx_ranges_add(CkpxRanges *ranges, uint64 from, uint64 to);

/* Add what begins at 'from' and has no end, after which nothing is added. */
extern void ckpx_ranges_add_from(CkpxRanges *ranges, uint64 from);

static inline bool
ckpx_ranges_full(const CkpxRanges *ranges)
{
	return ranges->nranges >= CKPX_MAX_ROW_RANGES;
}

/* The value so far, good until _reset, which also forgets all runs. */
extern Datum ckpx_ranges_value(CkpxRanges *ranges);
extern void ckpx_ranges_reset(CkpxRanges *ranges);

#endif							/* CKPX_BLOCK_RANGES_H */
