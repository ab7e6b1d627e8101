/*-------------------------------------------------------------------------
 *
 * entry_store_internal.h
 *		What the parts of the entry store share: the order of its array, and
 *		the epochs seen through their gaps.
 *
 * The idea: the spans of all entries lie in one array, sorted by epoch, end,
 * kind and start, so that an epoch is a stretch of the array, "what ends after
 * this LSN" is a binary search, and the incrementals of an epoch are read in
 * LSN order by skipping the other kinds.  The entries themselves, fifteen
 * times as large, lie in a pool in no order and never move; a second array, in
 * the order of the first, has their places.  The open epoch is one of many:
 * every question that may reach back goes through a CkpxEpochView, which
 * knows how much of an epoch later ones have left true.
 *
 *	entry_store.c		the array, its epochs and gaps, and the walk along a
 *						chain
 *	entry_store_chain.c	what may continue a chain, what answers, what is left;
 *						uses the first, which knows nothing of it
 *	gc_plan.c			what may go
 *
 * Only these three include this header, and in test/unit what looks at the
 * invariants.  What entry_store.h says of locks, of memory and of how long
 * indexes are good holds here as well.  Nothing here fails: what is not there
 * is NULL, false, or the index behind the last entry.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_ENTRY_STORE_INTERNAL_H
#define CKPX_ENTRY_STORE_INTERNAL_H

#include "core/history/entry_store.h"

/* The spans, one for each entry. */
static inline CkpxEntrySpan *
spans_of(const CkpxEntryStore *store)
{
	return (CkpxEntrySpan *) unconstify(CkpxEntry *,
										&store->pool[store->max_entries]);
}

/* Where in the pool the entries are, and behind them the free places. */
static inline uint32 *
places_of(const CkpxEntryStore *store)
{
	return (uint32 *) &spans_of(store)[store->max_entries];
}

/* Is the entry finished?  The span says yes at once, the entry knows. */
static inline bool
is_finished(const CkpxEntryStore *store, uint32 index)
{
	return spans_of(store)[index].finished ||
		ckpx_entry_store_at(store, index)->state == CKPX_ENTRY_FINISHED;
}

/* Does the entry answer anything on its own? */
static inline bool
is_answer(const CkpxEntryStore *store, uint32 index)
{
	const CkpxEntrySpan *span = &spans_of(store)[index];

	return is_finished(store, index) &&
		(span->kind == CKPX_KIND_INCREMENTAL ||
		 span->kind == CKPX_KIND_GLOBAL);
}

/* entry_store.c: put an entry in its place. */
extern CkpxStoreResult ckpx_store_place(CkpxEntryStore *store,
										const CkpxEntry *entry);

/* entry_store.c: what the span of an entry must be. */
extern void ckpx_store_describe(CkpxEntrySpan *span, const CkpxEntry *entry);

/* entry_store.c: the order of the arrays, as a comparison: -1, 0 or 1. */
extern int	ckpx_store_compare(const CkpxEntrySpan *a,
							   const CkpxEntrySpan *b);

/* Where an epoch begins in the array, and where the next one does. */
static inline uint32
epoch_begin(const CkpxEntryStore *store, uint32 epoch)
{
	return ckpx_entry_store_ending_after(store, epoch, 0);
}

static inline uint32
epoch_end(const CkpxEntryStore *store, uint32 epoch)
{
	return ckpx_entry_store_ending_after(store, epoch, PG_UINT64_MAX);
}

/*
 * An epoch as the gaps tell it: it holds the LSNs [start, limit), and objects
 * that end at or before 'limit' belong to the present history.
 */
typedef struct CkpxEpochView
{
	uint32		epoch;
	XLogRecPtr	start;
	XLogRecPtr	limit;			/* PG_UINT64_MAX: open */
	int			gap;			/* index of the gap before it, or -1 */
} CkpxEpochView;

/*
 * entry_store.c: visit the epochs, newest first.  _newest is false
 * where no epoch is open, _older where none before it can answer.
 */
extern bool ckpx_epoch_newest(const CkpxEntryStore *store,
							  CkpxEpochView *view);
extern bool ckpx_epoch_older(const CkpxEntryStore *store, CkpxEpochView *view);

/*
 * entry_store.c: follow the finished incrementals of an epoch from 'position'
 * on while they begin before 'upto', and return where the last one ends.
 */
extern XLogRecPtr ckpx_epoch_walk(const CkpxEntryStore *store,
								  const CkpxEpochView *view,
								  XLogRecPtr position, bool exactly,
								  XLogRecPtr upto, uint32 *chosen,
								  uint32 *nchosen);

#endif							/* CKPX_ENTRY_STORE_INTERNAL_H */
