/*-------------------------------------------------------------------------
 *
 * clock.c
 *		The clocks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <time.h>

#include "server/base/clock.h"
#include "utils/timestamp.h"

/*
 * Monotonic milliseconds, never 0.
 */
uint64
ckpx_clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64) now.tv_sec * 1000 + now.tv_nsec / 1000000 + 1;
}

/*
 * What both clocks say now.
 */
CkpxNow
ckpx_now(void)
{
	CkpxNow		now;

	now.time = GetCurrentTimestamp();
	now.clock_ms = ckpx_clock_ms();
	return now;
}
