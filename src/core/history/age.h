/*-------------------------------------------------------------------------
 *
 * age.h
 *		How old something is, whatever the wall clock does.
 *
 * The idea: a wall clock can be set, forward and back, so the difference of
 * two of its times is no age.  While the server runs, ages are differences of
 * the monotonic clock.  That one says nothing over a restart, so a load takes
 * the wall clock's word, once: how long ago was this, by the clock of now?
 * Times are written for people and for that moment only; nothing compares
 * them otherwise, and no order follows from them.
 *
 * At a load, a time in the future was written by a clock that was ahead, or is
 * read by one that is behind.  Its age is not known then, and the caller says
 * which side is safe: the next checkpoint does not wait for such an entry to
 * become old, removal counts from the load.  The time itself is kept as it is:
 * the clock that will be right later may be the one that wrote it.
 *
 * Monotonic times are in milliseconds, modulo 2^64: what happened before the
 * machine started has one as well.  0 stands for none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_AGE_H
#define CKPX_AGE_H

#include "core/types.h"

/* What both clocks say at one moment. */
typedef struct CkpxNow
{
	int64		time;			/* TimestampTz */
	uint64		clock_ms;		/* monotonic; not 0 */
} CkpxNow;

/*
 * When, by the monotonic clock, was what a load found dated 'time'?  0, not
 * known, where that lies in the future.
 */
extern uint64 ckpx_age_begin(const CkpxNow *now, int64 time);

/*
 * When, by the monotonic clock, is over what was made at 'created_at' to last
 * until 'expires_at'?  At 'expires_at', but after no more than its whole
 * length from now on.  Not 0.
 */
extern uint64 ckpx_age_end(const CkpxNow *now, int64 created_at,
						   int64 expires_at);

/* How many ms ago was 'clock_ms'?  Not negative. */
static inline int64
ckpx_age_ms(uint64 clock_ms, uint64 now_ms)
{
	int64		age = (int64) (now_ms - clock_ms);

	return Max(age, 0);
}

#endif							/* CKPX_AGE_H */
