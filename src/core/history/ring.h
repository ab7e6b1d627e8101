/*-------------------------------------------------------------------------
 *
 * ring.h
 *		A bounded queue of fixed-size tickets in memory that the caller gives.
 *
 * Six of these lie in shared memory.  A full ring refuses, it never waits;
 * the refusal is counted.  The caller holds the lock.  No pointers inside.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_RING_H
#define CKPX_RING_H

#include "core/types.h"

typedef struct CkpxRing
{
	uint32		capacity;		/* tickets */
	uint32		ticket_size;	/* bytes */
	uint32		head;			/* index of the oldest */
	uint32		depth;			/* tickets waiting */
	uint32		high_water;		/* largest depth ever */
	uint32		largest_batch;	/* most tickets taken at once */
	uint64		enqueued;
	uint64		handled;
	uint64		rejected;
	int64		running_since;	/* TimestampTz of the batch in work; 0: none */
} CkpxRing;						/* the tickets follow, MAXALIGNed */

extern Size ckpx_ring_size(uint32 capacity, uint32 ticket_size);
extern void ckpx_ring_init(CkpxRing *ring, uint32 capacity,
						   uint32 ticket_size);

/*
 * Add a copy of 'ticket'; false when full.  Where the ticket size is 0 nothing
 * is copied, here and by _take: tickets are only counted.
 */
extern bool ckpx_ring_push(CkpxRing *ring, const void *ticket);

/*
 * Move up to 'max' of the oldest tickets to 'tickets' and note 'now' as
 * running_since; returns how many.  _done, called once for each batch, counts
 * them as handled and clears running_since; a restarted consumer, whose last
 * batch is lost, calls it with 0.
 */
extern uint32 ckpx_ring_take(CkpxRing *ring, void *tickets, uint32 max,
							 int64 now);
extern void ckpx_ring_done(CkpxRing *ring, uint32 count);

#endif							/* CKPX_RING_H */
