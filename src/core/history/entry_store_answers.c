/*-------------------------------------------------------------------------
 *
 * entry_store_answers.c
 *		What is asked of the history: where it ends, and what answers a range.
 *
 * Only finished incrementals and globals answer (and, at the end of a closed
 * epoch, the backup that continues it), and only within the limit of their
 * epoch: entry_store_epochs.c finds them.
 *
 *-------------------------------------------------------------------------
 */
#include "core/history/entry_store_internal.h"

XLogRecPtr
ckpx_entry_store_checkpointed(const CkpxEntryStore *store)
{
	XLogRecPtr	lsn = store->epoch_start;
	const CkpxEntry *entry;

	if (store->epoch == 0)
		return InvalidXLogRecPtr;

	entry = ckpx_store_newest_of(store, store->epoch, CKPX_KIND_INCREMENTAL,
								 true);
	if (entry)
		lsn = Max(lsn, entry->end_lsn);
	entry = ckpx_store_newest_of(store, store->epoch, CKPX_KIND_GLOBAL, true);
	if (entry)
		lsn = Max(lsn, entry->end_lsn);
	for (uint32 i = 0; i < store->ngaps; i++)
	{
		if (store->gaps[i].damaged && store->gaps[i].epoch == store->epoch)
			lsn = Max(lsn, store->gaps[i].to_lsn);
	}
	return lsn;
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
		const CkpxEntrySpan *span = &spans_of(store)[i];

		if (is_finished(store, i) &&
			(span->kind == CKPX_KIND_INCREMENTAL ||
			 span->kind == CKPX_KIND_GLOBAL))
			lsn = Min(lsn, span->start_lsn);
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
			if (is_finished(store, i) &&
				(spans[i].kind == CKPX_KIND_INCREMENTAL ||
				 spans[i].kind == CKPX_KIND_GLOBAL))
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
	uint32 global = find_global(store, view, start_lsn, end_lsn,
								&result->oldest_end);

	if (global == store->nentries)
		return ckpx_epoch_walk(store, view, start_lsn, false, end_lsn, chosen,
							   &result->nchosen);

	upto = spans_of(store)[global].end_lsn;
	if (incrementals_first)
	{
		position = ckpx_epoch_walk(store, view, start_lsn, false, end_lsn,
								   chosen, &result->nchosen);
		if (position >= Min(upto, end_lsn))
			return position;
	}
	chosen[0] = global;

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
