/*-------------------------------------------------------------------------
 *
 * age.c
 *		From wall-clock times to monotonic ones.
 *
 * Times come from files, so any of them may be as far away as an int64 goes:
 * differences are taken without sign, where they cannot overflow.
 *
 *-------------------------------------------------------------------------
 */
#include "core/history/age.h"

static inline uint64
not_zero(uint64 clock_ms)
{
	return clock_ms != 0 ? clock_ms : 1;
}

uint64
ckpx_age_begin(const CkpxNow *now, int64 time)
{
	if (time > now->time)
		return 0;
	return not_zero(now->clock_ms -
					((uint64) now->time - (uint64) time) / 1000);
}

uint64
ckpx_age_end(const CkpxNow *now, int64 created_at, int64 expires_at)
{
	int64		from = Max(created_at, now->time);
	uint64		left_us;

	if (expires_at <= from)
		return not_zero(now->clock_ms);
	left_us = (uint64) expires_at - (uint64) from;
	return not_zero(now->clock_ms + left_us / 1000 + (left_us % 1000 != 0));
}
