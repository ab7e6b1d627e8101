/*-------------------------------------------------------------------------
 *
 * clock.h
 *		The clocks; see core/history/age.h for what each of them is good for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_CLOCK_H
#define CKPX_CLOCK_H

#include "postgres.h"

#include "core/history/age.h"

/* Monotonic milliseconds, never 0; and both clocks. */
extern uint64 ckpx_clock_ms(void);
extern CkpxNow ckpx_now(void);

#endif							/* CKPX_CLOCK_H */
