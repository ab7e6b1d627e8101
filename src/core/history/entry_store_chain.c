/*-------------------------------------------------------------------------
 *
 * entry_store_chain.c
 *		The chain that the entries of an epoch form: where it ends, what may
 *		continue it, what of it answers a range, and what is left of it where
 *		an object cannot be read.
 *
 * What ckpx_entry_store_insert() lets in is all that the rest relies on: it
 * refuses an incremental that does not adjoin, and a global over a hole, which
 * would claim to know what was never read.
 *
 * Only finished incrementals and globals answer (and, at the end of a closed
 * epoch, the backup that continues it), and only within the limit of their
 * epoch.
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

/*-------------------------------------------------------------------------
 * The end of the chain
 *-------------------------------------------------------------------------
 */

XLogRecPtr
ckpx_entry_store_checkpointed(const CkpxEntryStore *store)
{
	XLogRecPtr	lsn = store->epoch_start;
	const CkpxEntry *entry;

	if (store->epoch == 0)
		return InvalidXLogRecPtr;

	entry = ckpx_entry_store_newest(store, CKPX_KIND_INCREMENTAL, true);
	if (entry)
		lsn = Max(lsn, entry->range.end_lsn);
	entry = ckpx_entry_store_newest(store, CKPX_KIND_GLOBAL, true);
	if (entry)
		lsn = Max(lsn, entry->range.end_lsn);
	for (uint32 i = 0; i < store->ngaps; i++)
	{
		if (store->gaps[i].damaged && store->gaps[i].epoch == store->epoch)
			lsn = Max(lsn, store->gaps[i].to_lsn);
	}
	return lsn;
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
	const CkpxEntry *newest = ckpx_entry_store_newest(store,
													  CKPX_KIND_GLOBAL, true);

	return newest != NULL &&
		newest->range.end_lsn > ckpx_entry_store_stretch_start(store) ?
		newest : NULL;
}

uint32
ckpx_entry_store_uncovered(const CkpxEntryStore *store)
{
	XLogRecPtr	start = ckpx_entry_store_stretch_start(store);
	uint32		count = 0;

	/* A global sorts behind the incremental that ends where it does. */
	for (uint32 i = epoch_end(store, store->epoch); i-- > 0;)
	{
		const CkpxEntrySpan *span = &spans_of(store)[i];

		if (span->epoch != store->epoch || span->end_lsn <= start)
			break;
		if (!is_finished(store, i))
			continue;
		if (span->kind == CKPX_KIND_GLOBAL)
			break;
		if (span->kind == CKPX_KIND_INCREMENTAL)
			count++;
	}
	return count;
}

/*-------------------------------------------------------------------------
 * The way in
 *-------------------------------------------------------------------------
 */

/*
 * Note which entries have become finished.  Every kind but segments, which
 * come finished, has at most one that is not, so this finds little to do.
 */
static void
settle_spans(CkpxEntryStore *store)
{
	CkpxEntrySpan *spans = spans_of(store);

	for (uint32 i = ckpx_entry_store_next_open(store, 0);
		 i < store->nentries;
		 i = ckpx_entry_store_next_open(store, i + 1))
	{
		if (is_finished(store, i))
			ckpx_store_describe(&spans[i], ckpx_entry_store_at(store, i));
	}
}

static CkpxStoreResult
check_new_global(const CkpxEntryStore *store, const CkpxEntry *entry)
{
	const CkpxEntry *previous = ckpx_entry_store_previous_global(store);
	XLogRecPtr	position = ckpx_entry_store_stretch_start(store);
	CkpxEpochView view;

	if (entry->range.start_lsn != position)
		return CKPX_STORE_BAD_RANGE;

	if (previous)
	{
		if (entry->range.end_lsn <= previous->range.end_lsn)
			return CKPX_STORE_STALE;
		if (previous->range.start_lsn != position)
			return CKPX_STORE_NOT_CONTIGUOUS;
		position = previous->range.end_lsn;
	}

	/* A global over a hole would claim to know what was never read. */
	if (!ckpx_epoch_newest(store, &view) ||
		ckpx_epoch_walk(store, &view, position, true, entry->range.end_lsn,
						NULL, NULL) != entry->range.end_lsn)
		return CKPX_STORE_NOT_CONTIGUOUS;
	return CKPX_STORE_OK;
}

static CkpxStoreResult
check_new_backup(const CkpxEntryStore *store, const CkpxEntry *entry)
{
	const CkpxEntrySpan *spans = spans_of(store);

	if (entry->range.start_lsn == store->epoch_start)
		return CKPX_STORE_OK;

	for (uint32 i = ckpx_entry_store_ending_after(store, store->epoch,
												  entry->range.start_lsn - 1);
		 i < store->nentries && spans[i].end_lsn == entry->range.start_lsn;
		 i++)
	{
		if (is_answer(store, i))
			return CKPX_STORE_OK;
	}
	return CKPX_STORE_NOT_CONTIGUOUS;
}

CkpxStoreResult
ckpx_entry_store_insert(CkpxEntryStore *store, const CkpxEntry *entry)
{
	CkpxStoreResult result = CKPX_STORE_OK;
	const CkpxEntry *previous;

	if (entry->state != CKPX_ENTRY_PENDING)
		return CKPX_STORE_BAD_ENTRY;
	if (store->epoch == 0 || entry->range.epoch != store->epoch)
		return CKPX_STORE_WRONG_EPOCH;
	if (entry->range.start_lsn >= entry->range.end_lsn ||
		entry->range.start_lsn < store->epoch_start)
		return CKPX_STORE_BAD_RANGE;

	if (entry->kind != CKPX_KIND_SEGMENT)
	{
		previous = ckpx_entry_store_newest(store, entry->kind, false);
		if (previous && previous->state != CKPX_ENTRY_FINISHED)
			return CKPX_STORE_UNFINISHED;
	}

	switch (entry->kind)
	{
		case CKPX_KIND_INCREMENTAL:
			if (entry->range.start_lsn != ckpx_entry_store_checkpointed(store))
				result = CKPX_STORE_NOT_CONTIGUOUS;
			break;
		case CKPX_KIND_GLOBAL:
			result = check_new_global(store, entry);
			break;
		case CKPX_KIND_BACKUP:
			result = check_new_backup(store, entry);
			break;
		case CKPX_KIND_SEGMENT:
			break;
		default:
			result = CKPX_STORE_BAD_ENTRY;
			break;
	}
	if (result != CKPX_STORE_OK)
		return result;
	settle_spans(store);
	return ckpx_store_place(store, entry);
}

/*-------------------------------------------------------------------------
 * What answers
 *-------------------------------------------------------------------------
 */

/*
 * The lowest start of a finished incremental or global from 'index' on;
 * PG_UINT64_MAX where none is.
 */
static XLogRecPtr
oldest_from(const CkpxEntryStore *store, uint32 index)
{
	XLogRecPtr	lsn = PG_UINT64_MAX;

	for (uint32 i = index; i < store->nentries; i++)
	{
		if (is_answer(store, i))
			lsn = Min(lsn, spans_of(store)[i].start_lsn);
	}
	return lsn;
}

XLogRecPtr
ckpx_entry_store_oldest(const CkpxEntryStore *store)
{
	return Min(store->epoch_start, oldest_from(store, 0));
}

XLogRecPtr
ckpx_entry_store_low_water_mark(const CkpxEntryStore *store)
{
	XLogRecPtr	lsn = oldest_from(store, epoch_begin(store, store->epoch));

	return lsn != PG_UINT64_MAX ? lsn : store->epoch_start;
}

/*
 * Nothing answered: find out what the oldest kept epoch is, and whether the
 * question lies before it.
 */
static void
judge_age(const CkpxEntryStore *store, XLogRecPtr end_lsn,
		  CkpxCollectResult *result)
{
	const CkpxEntrySpan *spans = spans_of(store);
	CkpxEpochView view;
	XLogRecPtr	kept_from = PG_UINT64_MAX;
	XLogRecPtr	oldest = PG_UINT64_MAX;

	for (bool more = ckpx_epoch_newest(store, &view); more;
		 more = ckpx_epoch_older(store, &view))
	{
		bool		kept = (view.epoch == store->epoch);

		for (uint32 i = epoch_begin(store, view.epoch);
			 i < store->nentries && spans[i].epoch == view.epoch &&
			 spans[i].end_lsn <= view.limit; i++)
		{
			if (is_answer(store, i))
			{
				kept = true;
				oldest = Min(oldest, spans[i].start_lsn);
			}
		}
		if (kept && view.start < kept_from)
		{
			kept_from = view.start;
			result->oldest_epoch = view.epoch;
		}
	}
	if (result->oldest_epoch == 0)
		return;					/* no epoch yet */

	result->oldest = oldest != PG_UINT64_MAX ? oldest : kept_from;
	result->stale = end_lsn <= kept_from;
}

/*
 * The newest finished global that holds 'start_lsn' and answers a range that
 * ends at 'end_lsn'; the index, or nentries.  *oldest_end becomes the oldest
 * end that those answer which hold the start and were passed over.
 */
static uint32
find_global(const CkpxEntryStore *store, const CkpxEpochView *view,
			XLogRecPtr start_lsn, XLogRecPtr end_lsn, XLogRecPtr *oldest_end)
{
	for (uint32 i = ckpx_entry_store_ending_after(store, view->epoch,
												  view->limit);
		 i-- > 0;)
	{
		const CkpxEntrySpan *span = &spans_of(store)[i];
		const CkpxEntry *entry;

		if (span->epoch != view->epoch || span->end_lsn <= start_lsn)
			break;
		if (span->kind != CKPX_KIND_GLOBAL || !is_finished(store, i) ||
			span->start_lsn > start_lsn)
			continue;
		entry = ckpx_entry_store_at(store, i);
		if (end_lsn >= entry->tombstones_from)
			return i;
		if (*oldest_end == InvalidXLogRecPtr ||
			*oldest_end > entry->tombstones_from)
			*oldest_end = entry->tombstones_from;
	}
	return store->nentries;
}

/*
 * Find the newest epoch that holds 'start_lsn' or, without one, that begins at
 * or before 'end_lsn'.
 */
static bool
find_epoch(const CkpxEntryStore *store, XLogRecPtr start_lsn,
		   XLogRecPtr end_lsn, CkpxEpochView *view)
{
	for (bool more = ckpx_epoch_newest(store, view); more;
		 more = ckpx_epoch_older(store, view))
	{
		if (start_lsn == InvalidXLogRecPtr ? view->start <= end_lsn :
			view->start <= start_lsn && start_lsn < view->limit)
			return true;
	}
	return false;
}

/*
 * Choose what answers the range, which is not empty, in one epoch; returns how
 * far that goes, 'start_lsn' where nothing is chosen.
 */
static XLogRecPtr
choose(const CkpxEntryStore *store, const CkpxEpochView *view,
	   XLogRecPtr start_lsn, XLogRecPtr end_lsn, bool incrementals_first,
	   uint32 *chosen, CkpxCollectResult *result)
{
	XLogRecPtr	position;
	XLogRecPtr	upto;
	uint32		cover;

	cover = find_global(store, view, start_lsn, end_lsn, &result->oldest_end);
	if (cover == store->nentries)
		return ckpx_epoch_walk(store, view, start_lsn, false, end_lsn, chosen,
							   &result->nchosen);

	upto = spans_of(store)[cover].end_lsn;
	if (incrementals_first)
	{
		position = ckpx_epoch_walk(store, view, start_lsn, false, end_lsn,
								   chosen, &result->nchosen);
		if (position >= Min(upto, end_lsn))
			return position;
	}
	chosen[0] = cover;
	result->nchosen = 1;
	return ckpx_epoch_walk(store, view, upto, true, end_lsn, chosen,
						   &result->nchosen);
}

void
ckpx_entry_store_collect(const CkpxEntryStore *store, XLogRecPtr start_lsn,
						 XLogRecPtr end_lsn, bool incrementals_first,
						 uint32 *chosen, CkpxCollectResult *result)
{
	CkpxEpochView view;
	bool		found = find_epoch(store, start_lsn, end_lsn, &view);

	memset(result, 0, sizeof(CkpxCollectResult));
	if (found)
	{
		result->epoch = view.epoch;
		if (start_lsn == InvalidXLogRecPtr)
			start_lsn = view.start;
	}

	if (start_lsn == end_lsn)
	{
		result->complete = true;
		return;
	}

	if (found && start_lsn < end_lsn)
	{
		XLogRecPtr	position = choose(store, &view, start_lsn, end_lsn,
									  incrementals_first, chosen, result);

		result->complete = position >= end_lsn;
		if (result->complete)
			result->oldest_end = InvalidXLogRecPtr;
		else if (result->oldest_end != InvalidXLogRecPtr)
		{
			/* A part of an answer would hide that the rest is not gone. */
			result->nchosen = 0;
			result->missing_from = start_lsn;
			result->stale = true;
			return;
		}
		if (result->nchosen > 0)
		{
			result->from_lsn = spans_of(store)[chosen[0]].start_lsn;
			result->checkpointed = position;
			if (!result->complete)
				result->missing_from = position;
			return;
		}
	}

	result->missing_from = start_lsn;
	judge_age(store, end_lsn, result);
}

uint32
ckpx_entry_store_after(const CkpxEntryStore *store, XLogRecPtr lsn,
					   uint32 count, uint32 *chosen)
{
	uint32		nchosen = 0;

	/* What starts at or after 'lsn' ends after it. */
	for (uint32 i = ckpx_entry_store_ending_after(store, store->epoch, lsn);
		 i < store->nentries && nchosen < count; i++)
	{
		const CkpxEntrySpan *span = &spans_of(store)[i];

		if (span->kind != CKPX_KIND_INCREMENTAL)
			continue;
		if (!is_finished(store, i))
			break;
		if (span->start_lsn >= lsn)
			chosen[nchosen++] = i;
	}
	return nchosen;
}

/*-------------------------------------------------------------------------
 * What is left
 *-------------------------------------------------------------------------
 */

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
	XLogRecPtr	position = lost.range.start_lsn;
	uint32		nholes = 0;

	(void) ckpx_entry_store_remove(store, &lost);
	if (lost.kind != CKPX_KIND_INCREMENTAL && lost.kind != CKPX_KIND_GLOBAL)
		return 0;

	for (;;)
	{
		XLogRecPtr	next;

		position = held_upto(store, lost.range.epoch, position);
		if (position >= lost.range.end_lsn)
			return nholes;
		next = lost.range.end_lsn;
		if (++nholes < MAX_HOLES)
			next = Min(next, held_again_from(store, lost.range.epoch,
											 position));
		ckpx_entry_store_add_damage(store, lost.range.epoch,
									lost.range.timeline, position, next, now,
									reason);
		position = next;
	}
}

/* How far does recorded damage reach from 'lsn' on?  'lsn': there is none. */
static XLogRecPtr
damaged_upto(const CkpxEntryStore *store, uint32 epoch, XLogRecPtr lsn)
{
	for (uint32 i = 0; i < store->ngaps; i++)
	{
		const CkpxGap *gap = &store->gaps[i];

		if (gap->damaged && gap->epoch == epoch && gap->from_lsn <= lsn &&
			gap->to_lsn > lsn)
			lsn = gap->to_lsn;
	}
	return lsn;
}

bool
ckpx_entry_store_hole(const CkpxEntryStore *store, uint32 epoch,
					  XLogRecPtr *from_lsn, XLogRecPtr *to_lsn)
{
	XLogRecPtr	position = *from_lsn;
	XLogRecPtr	before;

	if (position == InvalidXLogRecPtr)
		position = held_again_from(store, epoch, InvalidXLogRecPtr);
	do
	{
		before = position;
		position = held_upto(store, epoch, position);
		position = damaged_upto(store, epoch, position);
	} while (position != before);

	*from_lsn = position;
	*to_lsn = held_again_from(store, epoch, position);
	if (*to_lsn == PG_UINT64_MAX)
		return false;
	for (uint32 i = 0; i < store->ngaps; i++)
	{
		const CkpxGap *gap = &store->gaps[i];

		if (gap->damaged && gap->epoch == epoch && gap->from_lsn > position)
			*to_lsn = Min(*to_lsn, gap->from_lsn);
	}
	return true;
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
