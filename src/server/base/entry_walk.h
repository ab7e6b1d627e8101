/*-------------------------------------------------------------------------
 *
 * entry_walk.h
 *		Looking at all entries without holding the lock for as long.
 *
 *	CkpxEntryWalk walk = {0};
 *
 *	while (ckpx_entry_walk_next(&walk, LW_SHARED))
 *		for (uint32 i = walk.begin; i < walk.end; i++)
 *			... ckpx_entry_store_at(CkpxShared->store, i) ...
 *
 * In the loop the lock is held, unless ckpx_entry_walk_pause() lets it go for
 * the rest of a turn; between two turns, and behind the last one, it is not.
 * The loop must not be left while it is held.  What may change under a walk
 * is said in entry_store.h; while a job runs, only the checkpointer, whose job
 * that is, makes an entry finished or takes a finished one away.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_ENTRY_WALK_H
#define CKPX_ENTRY_WALK_H

#include "server/base/shared_state.h"

typedef struct CkpxEntryWalk
{
	uint32		begin;			/* indexes of this turn */
	uint32		end;
	CkpxEntrySpan last;			/* seen in the turn before */
	bool		locked;
} CkpxEntryWalk;

/* The most that begin and end lie apart. */
#define CKPX_ENTRIES_PER_TURN	1000

/*
 * Take the lock for the next turn; false, and no lock, where no entry is left.
 * Any process; handles interrupts between turns.
 */
extern bool ckpx_entry_walk_next(CkpxEntryWalk *walk, LWLockMode mode);
extern void ckpx_entry_walk_pause(CkpxEntryWalk *walk);

/*
 * Looking at entries that were chosen, by their numbers in the choice:
 *
 *	... take the lock, choose 'count' entries ...
 *	turns.count = count;
 *	turns.length = CKPX_ENTRIES_PER_TURN;
 *	while (ckpx_chosen_turn_next(&turns))
 *		for (uint32 i = turns.begin; i < turns.end; i++)
 *			... ckpx_entry_store_at(CkpxShared->store, chosen[i]) ...
 *	if (turns.moved)
 *		... choose anew ...
 *
 * The first turn is under the hold under which was chosen.  Behind the last
 * one the lock is not held.  'moved': in between, an index has come to mean
 * another entry or none, and no more turn is given.
 */
typedef struct CkpxChosenTurns
{
	uint32		count;
	uint32		length;
	uint32		begin;			/* of this turn; begin as 0 */
	uint32		end;
	uint64		moves;			/* the store's, when was chosen */
	bool		moved;
} CkpxChosenTurns;

/*
 * Called with the lock held in shared mode, which is let go between turns, and
 * behind the last one; handles interrupts there.
 */
extern bool ckpx_chosen_turn_next(CkpxChosenTurns *turns);

#endif							/* CKPX_ENTRY_WALK_H */
