/*-------------------------------------------------------------------------
 *
 * entry_store_damage.c
 *		What is left of an epoch when an object of it cannot be read.
 *
 * While all objects are there, an epoch is one chain.  What nothing else holds
 * of a lost object's range is a hole, recorded as damage, and holes divide the
 * chain into stretches.  Each stretch goes on answering what lies in it.  Only
 * the last one grows: incrementals continue it, and globals begin where it
 * does, so that neither claims to know the hole and both go on.
 *
 * The last stretch is found by following what adjoins from the end of the
 * chain back, not by the recorded damage alone: that is kept in a list of
 * bounded size, while what is not there does not adjoin, whatever the reason.
 *
 *-------------------------------------------------------------------------
 */
#include "core/history/entry_store_internal.h"

/*
 * Holes that one lost object may leave.  More of them are recorded as one,
 * with what lies between them: the list of gaps must not be flooded.
 */
#define MAX_HOLES			32

/* Does the entry answer anything on its own? */
static inline bool
is_answer(const CkpxEntryStore *store, uint32 index)
{
	const CkpxEntrySpan *span = &spans_of(store)[index];

	return is_finished(store, index) &&
		(span->kind == CKPX_KIND_INCREMENTAL ||
		 span->kind == CKPX_KIND_GLOBAL);
}

/*
 * How far do finished incrementals and globals of an epoch hold the range from
 * 'lsn' on without a hole?  'lsn' where none holds it.
 */
static XLogRecPtr
held_upto(const CkpxEntryStore *store, uint32 epoch, XLogRecPtr lsn)
{
	const CkpxEntrySpan *spans = spans_of(store);

	/* What does not begin at or before 'lsn' now is not needed later. */
	for (uint32 i = ckpx_entry_store_ending_after(store, epoch, lsn);
		 i < store->nentries && spans[i].epoch == epoch;
		 i++)
	{
		if (is_answer(store, i) && spans[i].start_lsn <= lsn)
			lsn = spans[i].end_lsn;
	}
	return lsn;
}

/* Where, behind 'lsn', does the next object begin?  PG_UINT64_MAX: nowhere. */
static XLogRecPtr
held_again_from(const CkpxEntryStore *store, uint32 epoch, XLogRecPtr lsn)
{
	const CkpxEntrySpan *spans = spans_of(store);
	XLogRecPtr	next = PG_UINT64_MAX;

	for (uint32 i = ckpx_entry_store_ending_after(store, epoch, lsn);
		 i < store->nentries && spans[i].epoch == epoch;
		 i++)
	{
		if (is_answer(store, i))
			next = Min(next, spans[i].start_lsn);
	}
	return next;
}

uint32
ckpx_entry_store_lose(CkpxEntryStore *store, const CkpxEntry *entry, int64 now,
					  const char *reason)
{
	CkpxEntry	lost = *entry;	/* 'entry' may be the one that is removed */
	XLogRecPtr	position = lost.start_lsn;
	uint32		nholes = 0;

	(void) ckpx_entry_store_remove(store, lost.kind, lost.epoch,
								   lost.start_lsn, lost.end_lsn);
	if (lost.kind != CKPX_KIND_INCREMENTAL && lost.kind != CKPX_KIND_GLOBAL)
		return 0;

	for (;;)
	{
		XLogRecPtr	next;

		position = held_upto(store, lost.epoch, position);
		if (position >= lost.end_lsn)
			return nholes;
		next = lost.end_lsn;
		if (++nholes < MAX_HOLES)
			next = Min(next, held_again_from(store, lost.epoch, position));
		ckpx_entry_store_add_damage(store, lost.epoch, lost.timeline, position,
									next, now, reason);
		position = next;
	}
}

void
ckpx_entry_store_forget_tail(CkpxEntryStore *store)
{
	XLogRecPtr	end = store->epoch_start;
	uint32		kept = 0;

	for (uint32 i = epoch_begin(store, store->epoch); i < store->nentries; i++)
	{
		if (is_answer(store, i))
			end = Max(end, spans_of(store)[i].end_lsn);
	}

	for (uint32 i = 0; i < store->ngaps; i++)
	{
		CkpxGap		gap = store->gaps[i];

		if (gap.damaged && gap.epoch == store->epoch)
		{
			if (gap.from_lsn >= end)
				continue;
			gap.to_lsn = Min(gap.to_lsn, end);
		}
		store->gaps[kept++] = gap;
	}
	store->ngaps = kept;
}

/* Does a finished global hold all of a damaged range? */
static bool
is_healed(const CkpxEntryStore *store, const CkpxGap *gap)
{
	const CkpxEntrySpan *spans = spans_of(store);

	for (uint32 i = ckpx_entry_store_ending_after(store, gap->epoch,
												  gap->to_lsn - 1);
		 i < store->nentries && spans[i].epoch == gap->epoch;
		 i++)
	{
		if (spans[i].kind == CKPX_KIND_GLOBAL && is_answer(store, i) &&
			spans[i].start_lsn <= gap->from_lsn)
			return true;
	}
	return false;
}

XLogRecPtr
ckpx_entry_store_stretch_start(const CkpxEntryStore *store)
{
	XLogRecPtr	start = ckpx_entry_store_checkpointed(store);

	for (uint32 i = epoch_end(store, store->epoch); i-- > 0;)
	{
		const CkpxEntrySpan *span = &spans_of(store)[i];

		if (span->epoch != store->epoch || span->end_lsn < start)
			break;
		if (!is_answer(store, i))
			continue;
		if (span->kind == CKPX_KIND_GLOBAL || span->end_lsn == start)
			start = Min(start, span->start_lsn);
	}

	/* Damage counts also where the entry was not taken away. */
	for (uint32 i = 0; i < store->ngaps; i++)
	{
		const CkpxGap *gap = &store->gaps[i];

		if (gap->damaged && gap->epoch == store->epoch &&
			gap->to_lsn > start && !is_healed(store, gap))
			start = gap->to_lsn;
	}
	return start;
}

const CkpxEntry *
ckpx_entry_store_previous_global(const CkpxEntryStore *store)
{
	const CkpxEntry *newest = ckpx_store_newest_of(store, store->epoch,
												   CKPX_KIND_GLOBAL, true);

	return newest != NULL &&
		newest->end_lsn > ckpx_entry_store_stretch_start(store) ? newest : NULL;
}
