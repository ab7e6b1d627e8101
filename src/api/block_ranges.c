/*-------------------------------------------------------------------------
 *
 * block_ranges.c
 *		Builds an int8multirange from ascending runs of block numbers.
 *
 * Runs are handed over in the canonical form of int8range, lower bound
 * inclusive and upper bound exclusive, in order and apart from each other, so
 * what make_multirange() does to bring ranges in order costs one pass.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "api/block_ranges.h"
#include "catalog/pg_type.h"
#include "utils/memutils.h"
#include "utils/multirangetypes.h"

#define FIRST_RANGES		64

void
ckpx_ranges_init(CkpxRanges *ranges)
{
	memset(ranges, 0, sizeof(CkpxRanges));
	ranges->range_type = lookup_type_cache(INT8RANGEOID,
										   TYPECACHE_RANGE_INFO);
	ranges->context = AllocSetContextCreate(CurrentMemoryContext,
											"ckpx block ranges",
											ALLOCSET_DEFAULT_SIZES);
	ranges->maxranges = FIRST_RANGES;
	ranges->ranges = palloc(sizeof(RangeType *) * ranges->maxranges);
}

static void
add_range(CkpxRanges *ranges, uint64 from, uint64 to, bool endless)
{
	/* val, infinite, inclusive, lower */
	RangeBound	lower = {Int64GetDatum((int64) from), false, true, true};
	RangeBound	upper = {Int64GetDatum((int64) to), endless, false, false};
	MemoryContext old;

	if (ranges->nranges == ranges->maxranges)
	{
		ranges->maxranges *= 2;
		ranges->ranges = repalloc(ranges->ranges,
								  sizeof(RangeType *) * ranges->maxranges);
	}

	old = MemoryContextSwitchTo(ranges->context);
	ranges->ranges[ranges->nranges++] =
		ckpx_range_serialize(ranges->range_type, &lower, &upper);
	MemoryContextSwitchTo(old);
}

void
ckpx_ranges_add(CkpxRanges *ranges, uint64 from, uint64 to)
{
	Assert(from < to);
	add_range(ranges, from, to, false);
	ranges->nblocks += to - from;
}

void
ckpx_ranges_add_from(CkpxRanges *ranges, uint64 from)
{
	add_range(ranges, from, 0, true);
}

Datum
ckpx_ranges_value(CkpxRanges *ranges)
{
	MemoryContext old = MemoryContextSwitchTo(ranges->context);
	MultirangeType *value;

	value = make_multirange(INT8MULTIRANGEOID, ranges->range_type,
							(int32) ranges->nranges, ranges->ranges);
	MemoryContextSwitchTo(old);
	return PointerGetDatum(value);
}

void
ckpx_ranges_reset(CkpxRanges *ranges)
{
	MemoryContextReset(ranges->context);
	ranges->nranges = 0;
	ranges->nblocks = 0;
}
