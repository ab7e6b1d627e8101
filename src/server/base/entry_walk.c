/*-------------------------------------------------------------------------
 *
 * entry_walk.c
 *		Looking at all entries without holding the lock for as long.
 *
 * A turn is so short that a copy of its entries, half a megabyte, takes a
 * small part of a millisecond.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "server/base/entry_walk.h"
#include "server/base/fault.h"

void
ckpx_entry_walk_pause(CkpxEntryWalk *walk)
{
	if (!walk->locked)
		return;
	walk->last = ckpx_entry_store_span(CkpxShared->store, walk->end - 1);
	walk->locked = false;
	LWLockRelease(CkpxShared->lock);
}

bool
ckpx_entry_walk_next(CkpxEntryWalk *walk, LWLockMode mode)
{
	const CkpxEntryStore *store = CkpxShared->store;

	ckpx_entry_walk_pause(walk);
	CHECK_FOR_INTERRUPTS();

	LWLockAcquire(CkpxShared->lock, mode);
	walk->begin = ckpx_entry_store_behind(store, &walk->last);
	walk->end = Min(walk->begin + CKPX_ENTRIES_PER_TURN, store->nentries);
	walk->locked = walk->begin < walk->end;
	if (!walk->locked)
		LWLockRelease(CkpxShared->lock);
	return walk->locked;
}

bool
ckpx_chosen_turn_next(CkpxChosenTurns *turns)
{
	const CkpxEntryStore *store = CkpxShared->store;
	bool		first = turns->end == 0;

	turns->begin = turns->end;
	turns->end = Min(turns->begin + turns->length, turns->count);
	if (first)
		turns->moves = store->moves;
	else
	{
		LWLockRelease(CkpxShared->lock);
		CKPX_FAULT("chosen-turn");
		if (turns->begin == turns->count)
			return false;
		CHECK_FOR_INTERRUPTS();
		LWLockAcquire(CkpxShared->lock, LW_SHARED);
		turns->moved = store->moves != turns->moves;
	}
	if (turns->begin < turns->count && !turns->moved)
		return true;
	LWLockRelease(CkpxShared->lock);
	return false;
}
