/*-------------------------------------------------------------------------
 *
 * entry_store_epochs.c
 *		Epochs, the gaps between them and within, and the walk along a chain
 *		of incrementals.
 *
 * Two rules keep an answer true, whatever the array holds:
 *
 *	- An entry is used only where it ends within its epoch's limit, see
 *	  CkpxEpochView.  A whole object is used or none of it: its limit blocks
 *	  are exact at its end only.
 *	- Incrementals are followed only where one starts exactly at the end of
 *	  the one before it, so a hole, whatever made it, ends the walk.
 *
 *-------------------------------------------------------------------------
 */
#include "core/history/age.h"
#include "core/history/entry_store_internal.h"

/* Copy a text, cut off between two characters where it does not fit. */
static void
copy_reason(char *to, const char *from)
{
	Size		length = from ? strlen(from) : 0;

	if (length >= CKPX_GAP_REASON_MAX)
	{
		length = CKPX_GAP_REASON_MAX - 1;

		/* The manifest is UTF-8: leave no part of a character behind. */
		while (length > 0 && ((unsigned char) from[length] & 0xc0) == 0x80)
			length--;
	}
	if (length > 0)
		memcpy(to, from, length);
	memset(to + length, 0, CKPX_GAP_REASON_MAX - length);
}

static CkpxGap *
append_gap(CkpxEntryStore *store)
{
	CkpxGap    *gap;

	/*
	 * Losing the oldest loses no block: an epoch whose closing gap is not
	 * known does not answer.
	 */
	if (store->ngaps == CKPX_MAX_GAPS)
	{
		memmove(&store->gaps[0], &store->gaps[1],
				(CKPX_MAX_GAPS - 1) * sizeof(CkpxGap));
		store->ngaps--;
	}
	gap = &store->gaps[store->ngaps++];
	memset(gap, 0, sizeof(CkpxGap));
	return gap;
}

/*-------------------------------------------------------------------------
 * Beginning an epoch, and its gaps
 *-------------------------------------------------------------------------
 */

void
ckpx_entry_store_begin_epoch(CkpxEntryStore *store, TimeLineID timeline,
							 XLogRecPtr from_lsn, XLogRecPtr start_lsn,
							 int64 now, const char *reason)
{
	CkpxGap    *gap;
	uint32		kept = 0;

	for (uint32 i = 0; i < store->nentries; i++)
	{
		if (is_finished(store, i))
			ckpx_store_keep(store, i, &kept);
	}
	store->nentries = kept;

	store->epoch++;
	store->timeline = timeline;
	store->epoch_start = start_lsn;

	gap = append_gap(store);
	gap->epoch = store->epoch;
	gap->timeline = timeline;
	gap->from_lsn = from_lsn;
	gap->to_lsn = start_lsn;
	gap->detected_at = now;
	copy_reason(gap->reason, reason);
}

void
ckpx_entry_store_add_damage(CkpxEntryStore *store, uint32 epoch,
							TimeLineID timeline, XLogRecPtr from_lsn,
							XLogRecPtr to_lsn, int64 now, const char *reason)
{
	CkpxGap    *gap;

	/* Each read of a damaged object finds the damage again. */
	for (uint32 i = 0; i < store->ngaps; i++)
	{
		gap = &store->gaps[i];
		if (gap->damaged && gap->epoch == epoch &&
			gap->from_lsn <= from_lsn && gap->to_lsn >= to_lsn)
			return;
	}

	gap = append_gap(store);
	gap->epoch = epoch;
	gap->timeline = timeline;
	gap->from_lsn = from_lsn;
	gap->to_lsn = to_lsn;
	gap->detected_at = now;
	gap->damaged = true;
	copy_reason(gap->reason, reason);
}

uint32
ckpx_entry_store_forget_gaps(CkpxEntryStore *store, uint64 now_ms,
							 int64 keep_ms)
{
	uint32		oldest_epoch = store->epoch;
	uint32		kept = 0;
	uint32		forgotten;

	if (store->nentries > 0)
		oldest_epoch = Min(oldest_epoch, spans_of(store)[0].epoch);

	/*
	 * The gap of the oldest epoch itself tells where that begins.  The gaps
	 * of all later epochs bound what the older ones may answer.
	 */
	for (uint32 i = 0; i < store->ngaps; i++)
	{
		if (store->gaps[i].epoch < oldest_epoch &&
			store->gaps[i].clock_ms != 0 &&
			ckpx_age_ms(store->gaps[i].clock_ms, now_ms) >= keep_ms)
			continue;
		if (kept != i)
			store->gaps[kept] = store->gaps[i];
		kept++;
	}
	forgotten = store->ngaps - kept;
	store->ngaps = kept;
	return forgotten;
}

/*-------------------------------------------------------------------------
 * Visiting epochs
 *-------------------------------------------------------------------------
 */

/* The last gap of an epoch's beginning among the first 'ngaps', or -1. */
static int
find_epoch_gap(const CkpxEntryStore *store, uint32 ngaps, uint32 epoch)
{
	for (int i = (int) ngaps - 1; i >= 0; i--)
	{
		if (!store->gaps[i].damaged && store->gaps[i].epoch == epoch)
			return i;
	}
	return -1;
}

/* Begin to visit the epochs, newest first.  False: no epoch is open. */
bool
ckpx_epoch_newest(const CkpxEntryStore *store, CkpxEpochView *view)
{
	if (store->epoch == 0)
		return false;
	view->epoch = store->epoch;
	view->start = store->epoch_start;
	view->limit = PG_UINT64_MAX;
	view->gap = find_epoch_gap(store, store->ngaps, store->epoch);
	return true;
}

/* Go on to the epoch before.  False: none can answer. */
bool
ckpx_epoch_older(const CkpxEntryStore *store, CkpxEpochView *view)
{
	const CkpxEntrySpan *spans = spans_of(store);
	const CkpxGap *closing;

	if (view->gap < 0 || view->epoch <= 1)
		return false;

	/*
	 * The limit only falls on the way back: what a later epoch rolled back is
	 * gone for all earlier ones.
	 */
	closing = &store->gaps[view->gap];
	view->limit = Min(view->limit, Min(closing->from_lsn, closing->to_lsn));
	view->epoch--;
	view->gap = find_epoch_gap(store, view->gap, view->epoch);

	if (view->gap >= 0)
		view->start = store->gaps[view->gap].to_lsn;
	else
	{
		/* Its own gap was dropped: it begins where its first object does. */
		view->start = PG_UINT64_MAX;
		for (uint32 i = epoch_begin(store, view->epoch);
			 i < store->nentries && spans[i].epoch == view->epoch;
			 i++)
		{
			if (spans[i].kind == CKPX_KIND_INCREMENTAL ||
				spans[i].kind == CKPX_KIND_GLOBAL)
				view->start = Min(view->start, spans[i].start_lsn);
		}
	}
	return true;
}

/*
 * Where does the first damaged range of 'epoch' that ends after 'lsn' begin?
 * Not before 'lsn'; PG_UINT64_MAX: there is none.
 */
static XLogRecPtr
next_damage(const CkpxEntryStore *store, uint32 epoch, XLogRecPtr lsn)
{
	XLogRecPtr	next = PG_UINT64_MAX;

	for (uint32 i = 0; i < store->ngaps; i++)
	{
		const CkpxGap *gap = &store->gaps[i];

		if (gap->damaged && gap->epoch == epoch && gap->to_lsn > lsn)
			next = Min(next, Max(gap->from_lsn, lsn));
	}
	return next;
}

/*
 * Is the backup at 'index' the longest that begins at 'position', where no
 * incremental does, and ends by 'stop'?
 */
static bool
continues_epoch(const CkpxEntryStore *store, uint32 index,
				XLogRecPtr position, XLogRecPtr stop)
{
	const CkpxEntrySpan *spans = spans_of(store);
	const CkpxEntrySpan *backup = &spans[index];

	if (backup->start_lsn != position || backup->end_lsn > stop ||
		!is_finished(store, index))
		return false;
	for (uint32 i = index + 1;
		 i < store->nentries && spans[i].epoch == backup->epoch;
		 i++)
	{
		const CkpxEntrySpan *other = &spans[i];

		if (is_finished(store, i) && other->end_lsn <= stop &&
			(other->kind == CKPX_KIND_INCREMENTAL ?
			 other->start_lsn <= position :
			 other->kind == CKPX_KIND_BACKUP && other->start_lsn == position))
			return false;
	}
	return true;
}

/*
 * Follow the finished incrementals of an epoch from 'position' on while they
 * begin before 'upto', and return where the last one ends.  The first must
 * start at 'position', or, if not 'exactly', hold it; each other one starts
 * where the one before it ends.  Their indexes go to 'chosen' (unless NULL)
 * from *nchosen on.
 *
 * In a closed epoch the last one may be followed by a backup that continues
 * it: where the epoch ended there, its tail is in no incremental.
 */
XLogRecPtr
ckpx_epoch_walk(const CkpxEntryStore *store, const CkpxEpochView *view,
				XLogRecPtr position, bool exactly, XLogRecPtr upto,
				uint32 *chosen, uint32 *nchosen)
{
	const CkpxEntrySpan *spans = spans_of(store);
	XLogRecPtr	stop = Min(view->limit,
						   next_damage(store, view->epoch, position));

	for (uint32 i = ckpx_entry_store_ending_after(store, view->epoch,
												  position);
		 i < store->nentries && position < upto;
		 i++)
	{
		const CkpxEntrySpan *span = &spans[i];

		if (span->epoch != view->epoch)
			break;
		if (span->kind == CKPX_KIND_BACKUP)
		{
			/* One that ends within an incremental has nothing to add. */
			if (view->epoch == store->epoch ||
				!continues_epoch(store, i, position, stop))
				continue;
		}
		else if (span->kind != CKPX_KIND_INCREMENTAL)
			continue;
		if (!is_finished(store, i) || span->end_lsn > stop)
			break;
		if (exactly ? span->start_lsn != position
			: span->start_lsn > position)
			break;

		if (chosen)
			chosen[(*nchosen)++] = i;
		position = span->end_lsn;
		exactly = true;
	}
	return position;
}
