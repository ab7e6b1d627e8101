/*-------------------------------------------------------------------------
 *
 * entry_store.c
 *		The ordered history of checkpoint entries: the array, its epochs, the
 *		gaps between them and within, and the walk along a chain of
 *		incrementals.
 *
 * The order is explained in entry_store_internal.h.  Insertion moves the spans
 * that lie behind, which is nearly always none: entries are born at the end
 * and loaded in order.
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

/* Order of kinds with the same epoch and end. */
static int
kind_rank(CkpxEntryKind kind)
{
	switch (kind)
	{
		case CKPX_KIND_NONE:
		case CKPX_KIND_INCREMENTAL:
			return 0;
		case CKPX_KIND_SEGMENT:
			return 1;
		case CKPX_KIND_BACKUP:
			return 2;
		case CKPX_KIND_GLOBAL:
			return 3;
	}
	return 4;
}

void
ckpx_store_describe(CkpxEntrySpan *span, const CkpxEntry *entry)
{
	memset(span, 0, sizeof(CkpxEntrySpan));
	span->start_lsn = entry->range.start_lsn;
	span->end_lsn = entry->range.end_lsn;
	span->epoch = entry->range.epoch;
	span->timeline = entry->range.timeline;
	span->version = entry->version;
	span->kind = (uint16) entry->kind;
	span->finished = (entry->state == CKPX_ENTRY_FINISHED);
}

int
ckpx_store_compare(const CkpxEntrySpan *a, const CkpxEntrySpan *b)
{
	int			rank_a;
	int			rank_b;

	if (a->epoch != b->epoch)
		return a->epoch < b->epoch ? -1 : 1;
	if (a->end_lsn != b->end_lsn)
		return a->end_lsn < b->end_lsn ? -1 : 1;
	rank_a = kind_rank((CkpxEntryKind) a->kind);
	rank_b = kind_rank((CkpxEntryKind) b->kind);
	if (rank_a != rank_b)
		return rank_a < rank_b ? -1 : 1;
	if (a->start_lsn != b->start_lsn)
		return a->start_lsn < b->start_lsn ? -1 : 1;
	return 0;
}

/* Index of the first entry that is not before 'key'. */
static uint32
lower_bound(const CkpxEntryStore *store, const CkpxEntrySpan *key)
{
	const CkpxEntrySpan *spans = spans_of(store);
	uint32		low = 0;
	uint32		high = store->nentries;

	while (low < high)
	{
		uint32		middle = low + (high - low) / 2;

		if (ckpx_store_compare(&spans[middle], key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/*
 * Index of the first entry of 'epoch' that ends after 'lsn', or where the
 * next epoch begins.  With lsn 0: where 'epoch' begins.
 */
uint32
ckpx_entry_store_ending_after(const CkpxEntryStore *store, uint32 epoch,
							  XLogRecPtr lsn)
{
	const CkpxEntrySpan *spans = spans_of(store);
	uint32		low = 0;
	uint32		high = store->nentries;

	while (low < high)
	{
		uint32		middle = low + (high - low) / 2;
		const CkpxEntrySpan *span = &spans[middle];

		if (span->epoch < epoch ||
			(span->epoch == epoch && span->end_lsn <= lsn))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/*-------------------------------------------------------------------------
 * Setting up
 *-------------------------------------------------------------------------
 */

Size
ckpx_entry_store_size(uint32 max_entries)
{
	return offsetof(CkpxEntryStore, pool) + (Size) max_entries *
		(sizeof(CkpxEntry) + sizeof(CkpxEntrySpan) + sizeof(uint32));
}

void
ckpx_entry_store_init(CkpxEntryStore *store, uint32 max_entries)
{
	uint64		moves = store->moves + 1;	/* whatever it was */

	memset(store, 0, offsetof(CkpxEntryStore, pool));
	store->moves = moves;
	store->max_entries = max_entries;
	for (uint32 i = 0; i < max_entries; i++)
		places_of(store)[i] = i;
}

void
ckpx_entry_store_restore(CkpxEntryStore *store, uint32 epoch,
						 TimeLineID timeline, XLogRecPtr epoch_start,
						 const CkpxGap *gaps, uint32 ngaps)
{
	uint32		skip = ngaps > CKPX_MAX_GAPS ? ngaps - CKPX_MAX_GAPS : 0;

	Assert(store->nentries == 0 && store->ngaps == 0);

	store->epoch = epoch;
	store->timeline = timeline;
	store->epoch_start = epoch_start;
	store->ngaps = ngaps - skip;
	if (store->ngaps > 0)
		memcpy(store->gaps, gaps + skip, store->ngaps * sizeof(CkpxGap));
	for (uint32 i = 0; i < store->ngaps; i++)
		store->gaps[i].reason[CKPX_GAP_REASON_MAX - 1] = '\0';
}

/*-------------------------------------------------------------------------
 * In and out
 *-------------------------------------------------------------------------
 */

/* Put an entry in its place. */
CkpxStoreResult
ckpx_store_place(CkpxEntryStore *store, const CkpxEntry *entry)
{
	CkpxEntrySpan *spans = spans_of(store);
	uint32	   *places = places_of(store);
	CkpxEntrySpan span;
	uint32		place;
	uint32		i;

	ckpx_store_describe(&span, entry);
	i = lower_bound(store, &span);
	if (i < store->nentries && ckpx_store_compare(&spans[i], &span) == 0)
		return CKPX_STORE_DUPLICATE;
	if (store->nentries >= store->max_entries)
		return CKPX_STORE_FULL;

	if (i < store->nentries)
		store->moves++;
	place = places[store->nentries];
	memmove(&places[i + 1], &places[i],
			(store->nentries - i) * sizeof(uint32));
	memmove(&spans[i + 1], &spans[i],
			(store->nentries - i) * sizeof(CkpxEntrySpan));
	store->pool[place] = *entry;
	places[i] = place;
	spans[i] = span;
	store->nentries++;
	return CKPX_STORE_OK;
}

CkpxStoreResult
ckpx_entry_store_load(CkpxEntryStore *store, const CkpxEntry *entry)
{
	if (entry->state != CKPX_ENTRY_FINISHED ||
		entry->kind < CKPX_KIND_INCREMENTAL ||
		entry->kind > CKPX_KIND_SEGMENT)
		return CKPX_STORE_BAD_ENTRY;
	if (entry->range.epoch == 0 || entry->range.epoch > store->epoch)
		return CKPX_STORE_WRONG_EPOCH;
	if (entry->range.start_lsn >= entry->range.end_lsn ||
		(entry->range.epoch == store->epoch &&
		 entry->range.start_lsn < store->epoch_start))
		return CKPX_STORE_BAD_RANGE;
	return ckpx_store_place(store, entry);
}

CkpxEntry *
ckpx_entry_store_find(CkpxEntryStore *store, CkpxEntryKind kind, uint32 epoch,
					  XLogRecPtr start_lsn, XLogRecPtr end_lsn)
{
	CkpxEntrySpan key = {0};
	uint32		i;

	key.kind = (uint16) kind;
	key.epoch = epoch;
	key.start_lsn = start_lsn;
	key.end_lsn = end_lsn;
	i = lower_bound(store, &key);
	if (i < store->nentries && spans_of(store)[i].kind == kind &&
		ckpx_store_compare(&spans_of(store)[i], &key) == 0)
		return ckpx_entry_store_at(store, i);
	return NULL;
}

bool
ckpx_entry_store_remove(CkpxEntryStore *store, const CkpxEntry *entry)
{
	CkpxEntrySpan key;

	ckpx_store_describe(&key, entry);
	return ckpx_entry_store_remove_all(store, &key, 1) == 1;
}

/*
 * Keep entry 'index' while the array is made denser: it gets the next index,
 * *kept.  What is passed over is behind all that is kept, and goes when the
 * caller sets nentries.
 */
static void
keep_entry(CkpxEntryStore *store, uint32 index, uint32 *kept)
{
	CkpxEntrySpan *spans = spans_of(store);
	uint32	   *places = places_of(store);
	uint32		to = (*kept)++;

	if (to != index)
	{
		uint32		place = places[index];

		places[index] = places[to];
		places[to] = place;
		spans[to] = spans[index];
	}
}

uint32
ckpx_entry_store_remove_all(CkpxEntryStore *store, const CkpxEntrySpan *keys,
							uint32 count)
{
	uint32		next = 0;
	uint32		kept = count > 0 ? lower_bound(store, &keys[0]) :
		store->nentries;
	uint32		removed;

	for (uint32 i = kept; i < store->nentries; i++)
	{
		const CkpxEntrySpan *span = &spans_of(store)[i];
		int			order = -1;

		while (next < count &&
			   (order = ckpx_store_compare(span, &keys[next])) > 0)
			next++;				/* it is not there */
		if (next < count && order == 0 &&
			(span->finished || ckpx_entry_store_at(store, i)->state !=
			 CKPX_ENTRY_RUNNING))
			continue;
		keep_entry(store, i, &kept);
	}
	removed = store->nentries - kept;
	store->nentries = kept;
	if (removed > 0)
		store->moves++;
	return removed;
}

/*-------------------------------------------------------------------------
 * Looking around
 *-------------------------------------------------------------------------
 */

CkpxEntry *
ckpx_entry_store_newest(const CkpxEntryStore *store, CkpxEntryKind kind,
						bool finished_only)
{
	for (uint32 i = epoch_end(store, store->epoch); i-- > 0;)
	{
		const CkpxEntrySpan *span = &spans_of(store)[i];

		if (span->epoch != store->epoch)
			break;
		if (span->kind == kind && (!finished_only || is_finished(store, i)))
			return ckpx_entry_store_at(store, i);
	}
	return NULL;
}

CkpxEntrySpan
ckpx_entry_store_span(const CkpxEntryStore *store, uint32 index)
{
	CkpxEntrySpan span = spans_of(store)[index];

	if (!span.finished)
		ckpx_store_describe(&span, ckpx_entry_store_at(store, index));
	return span;
}

uint32
ckpx_entry_store_next_open(const CkpxEntryStore *store, uint32 index)
{
	const CkpxEntrySpan *spans = spans_of(store);

	while (index < store->nentries && spans[index].finished)
		index++;
	return index;
}

uint32
ckpx_entry_store_behind(const CkpxEntryStore *store, const CkpxEntrySpan *last)
{
	uint32		index = lower_bound(store, last);

	if (index < store->nentries &&
		ckpx_store_compare(&spans_of(store)[index], last) == 0)
		index++;
	return index;
}

/*-------------------------------------------------------------------------
 * Beginning an epoch, and its gaps
 *-------------------------------------------------------------------------
 */

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

static void
append_gap(CkpxEntryStore *store, uint32 epoch, TimeLineID timeline,
		   XLogRecPtr from_lsn, XLogRecPtr to_lsn, int64 now, bool damaged,
		   const char *reason)
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
	gap->epoch = epoch;
	gap->timeline = timeline;
	gap->from_lsn = from_lsn;
	gap->to_lsn = to_lsn;
	gap->detected_at = now;
	gap->damaged = damaged;
	copy_reason(gap->reason, reason);
}

void
ckpx_entry_store_begin_epoch(CkpxEntryStore *store, TimeLineID timeline,
							 XLogRecPtr from_lsn, XLogRecPtr start_lsn,
							 int64 now, const char *reason)
{
	uint32		kept = 0;

	for (uint32 i = 0; i < store->nentries; i++)
	{
		if (is_finished(store, i))
			keep_entry(store, i, &kept);
	}
	store->nentries = kept;
	store->moves++;

	store->epoch++;
	store->timeline = timeline;
	store->epoch_start = start_lsn;

	append_gap(store, store->epoch, timeline, from_lsn, start_lsn, now, false,
			   reason);
}

void
ckpx_entry_store_add_damage(CkpxEntryStore *store, uint32 epoch,
							TimeLineID timeline, XLogRecPtr from_lsn,
							XLogRecPtr to_lsn, int64 now, const char *reason)
{
	/* Each read of a damaged object finds the damage again. */
	for (uint32 i = 0; i < store->ngaps; i++)
	{
		const CkpxGap *gap = &store->gaps[i];

		if (gap->damaged && gap->epoch == epoch &&
			gap->from_lsn <= from_lsn && gap->to_lsn >= to_lsn)
			return;
	}

	append_gap(store, epoch, timeline, from_lsn, to_lsn, now, true, reason);
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

const CkpxGap *
ckpx_entry_store_gap_at(const CkpxEntryStore *store, XLogRecPtr lsn)
{
	const CkpxGap *best = NULL;

	/* Rows are in the order in which they were found. */
	for (uint32 i = 0; i < store->ngaps; i++)
	{
		const CkpxGap *gap = &store->gaps[i];

		if (lsn < gap->to_lsn && (best == NULL || gap->to_lsn < best->to_lsn))
			best = gap;
	}
	return best;
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
