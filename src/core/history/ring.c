/*-------------------------------------------------------------------------
 *
 * ring.c
 *		A bounded queue of fixed-size tickets.
 *
 * Oldest ticket at 'head', the next free place 'depth' places further, both
 * modulo the capacity.  Counting the depth instead of keeping a tail makes
 * full and empty different without a wasted place.
 *
 *-------------------------------------------------------------------------
 */
#include "core/history/ring.h"

#define TICKETS(ring)	((char *) (ring) + MAXALIGN(sizeof(CkpxRing)))

static char *
ticket_at(CkpxRing *ring, uint32 position)
{
	/* 64 bits: the sum may exceed 32 where the capacity is huge */
	uint64		index = ((uint64) ring->head + position) % ring->capacity;

	return TICKETS(ring) + (Size) index * ring->ticket_size;
}

Size
ckpx_ring_size(uint32 capacity, uint32 ticket_size)
{
	return MAXALIGN(sizeof(CkpxRing)) + (Size) capacity * ticket_size;
}

void
ckpx_ring_init(CkpxRing *ring, uint32 capacity, uint32 ticket_size)
{
	Assert(capacity > 0);

	memset(ring, 0, sizeof(CkpxRing));
	ring->capacity = capacity;
	ring->ticket_size = ticket_size;
}

bool
ckpx_ring_push(CkpxRing *ring, const void *ticket)
{
	if (ring->depth >= ring->capacity)
	{
		ring->rejected++;
		return false;
	}

	if (ring->ticket_size > 0)
		memcpy(ticket_at(ring, ring->depth), ticket, ring->ticket_size);
	ring->depth++;
	ring->enqueued++;
	ring->high_water = Max(ring->high_water, ring->depth);
	return true;
}

uint32
ckpx_ring_take(CkpxRing *ring, void *tickets, uint32 max, int64 now)
{
	uint32		count = Min(max, ring->depth);
	char	   *to = tickets;

	if (count == 0)
		return 0;

	for (uint32 i = 0; i < count && ring->ticket_size > 0; i++)
	{
		memcpy(to, ticket_at(ring, i), ring->ticket_size);
		to += ring->ticket_size;
	}

	ring->head = (uint32) (((uint64) ring->head + count) % ring->capacity);
	ring->depth -= count;
	ring->largest_batch = Max(ring->largest_batch, count);
	ring->running_since = now;
	return count;
}

void
ckpx_ring_done(CkpxRing *ring, uint32 count)
{
	ring->handled += count;
	ring->running_since = 0;
}
