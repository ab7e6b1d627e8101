/*-------------------------------------------------------------------------
 *
 * entry_store.c
 *		The ordered history of checkpoint entries: the array, and the one way
 *		into it.
 *
 * The order is explained in entry_store_internal.h.  Insertion moves the spans
 * that lie behind, which is nearly always none: entries are born at the end
 * and loaded in order.
 *
 * What ckpx_entry_store_insert() lets in is all that the other parts rely on:
 * it refuses an incremental that does not adjoin, and a global over a hole,
 * which would claim to know what was never read.
 *
 *-------------------------------------------------------------------------
 */
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
	span->start_lsn = entry->start_lsn;
	span->end_lsn = entry->end_lsn;
	span->epoch = entry->epoch;
	span->timeline = entry->timeline;
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

/* The newest entry of a kind in one epoch, or NULL. */
const CkpxEntry *
ckpx_store_newest_of(const CkpxEntryStore *store, uint32 epoch,
					 CkpxEntryKind kind, bool finished_only)
{
	for (uint32 i = epoch_end(store, epoch); i-- > 0;)
	{
		const CkpxEntrySpan *span = &spans_of(store)[i];

		if (span->epoch != epoch)
			break;
		if (span->kind == kind && (!finished_only || is_finished(store, i)))
			return ckpx_entry_store_at(store, i);
	}
	return NULL;
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
	memset(store, 0, offsetof(CkpxEntryStore, pool));
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
static CkpxStoreResult
place_entry(CkpxEntryStore *store, const CkpxEntry *entry)
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

	if (entry->start_lsn != position)
		return CKPX_STORE_BAD_RANGE;

	if (previous)
	{
		if (entry->end_lsn <= previous->end_lsn)
			return CKPX_STORE_STALE;
		if (previous->start_lsn != position)
			return CKPX_STORE_NOT_CONTIGUOUS;
		position = previous->end_lsn;
	}

	/* A global over a hole would claim to know what was never read. */
	if (!ckpx_epoch_newest(store, &view) ||
		ckpx_epoch_walk(store, &view, position, true, entry->end_lsn,
						NULL, NULL) != entry->end_lsn)
		return CKPX_STORE_NOT_CONTIGUOUS;
	return CKPX_STORE_OK;
}

static CkpxStoreResult
check_new_backup(const CkpxEntryStore *store, const CkpxEntry *entry)
{
	const CkpxEntrySpan *spans = spans_of(store);

	if (entry->start_lsn == store->epoch_start)
		return CKPX_STORE_OK;

	for (uint32 i = ckpx_entry_store_ending_after(store, store->epoch,
												  entry->start_lsn - 1);
		 i < store->nentries && spans[i].end_lsn == entry->start_lsn;
		 i++)
	{
		if (is_finished(store, i) &&
			(spans[i].kind == CKPX_KIND_INCREMENTAL ||
			 spans[i].kind == CKPX_KIND_GLOBAL))
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
	if (store->epoch == 0 || entry->epoch != store->epoch)
		return CKPX_STORE_WRONG_EPOCH;
	if (entry->start_lsn >= entry->end_lsn ||
		entry->start_lsn < store->epoch_start)
		return CKPX_STORE_BAD_RANGE;

	if (entry->kind != CKPX_KIND_SEGMENT)
	{
		previous = ckpx_store_newest_of(store, store->epoch, entry->kind,
										false);
		if (previous && previous->state != CKPX_ENTRY_FINISHED)
			return CKPX_STORE_UNFINISHED;
	}

	switch (entry->kind)
	{
		case CKPX_KIND_INCREMENTAL:
			if (entry->start_lsn != ckpx_entry_store_checkpointed(store))
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
	return place_entry(store, entry);
}

CkpxStoreResult
ckpx_entry_store_load(CkpxEntryStore *store, const CkpxEntry *entry)
{
	if (entry->state != CKPX_ENTRY_FINISHED ||
		entry->kind < CKPX_KIND_INCREMENTAL ||
		entry->kind > CKPX_KIND_SEGMENT)
		return CKPX_STORE_BAD_ENTRY;
	if (entry->epoch == 0 || entry->epoch > store->epoch)
		return CKPX_STORE_WRONG_EPOCH;
	if (entry->start_lsn >= entry->end_lsn ||
		(entry->epoch == store->epoch &&
		 entry->start_lsn < store->epoch_start))
		return CKPX_STORE_BAD_RANGE;
	return place_entry(store, entry);
}

/* What finds an entry. */
static CkpxEntrySpan
span_of(CkpxEntryKind kind, uint32 epoch, XLogRecPtr start_lsn,
		XLogRecPtr end_lsn)
{
	CkpxEntrySpan span = {0};

	span.kind = (uint16) kind;
	span.epoch = epoch;
	span.start_lsn = start_lsn;
	span.end_lsn = end_lsn;
	return span;
}

CkpxEntry *
ckpx_entry_store_find(CkpxEntryStore *store, CkpxEntryKind kind, uint32 epoch,
					  XLogRecPtr start_lsn, XLogRecPtr end_lsn)
{
	CkpxEntrySpan key = span_of(kind, epoch, start_lsn, end_lsn);
	uint32		i;

	i = lower_bound(store, &key);
	if (i < store->nentries && spans_of(store)[i].kind == kind &&
		ckpx_store_compare(&spans_of(store)[i], &key) == 0)
		return ckpx_entry_store_at(store, i);
	return NULL;
}

bool
ckpx_entry_store_remove(CkpxEntryStore *store, CkpxEntryKind kind,
						uint32 epoch, XLogRecPtr start_lsn, XLogRecPtr end_lsn)
{
	CkpxEntrySpan key = span_of(kind, epoch, start_lsn, end_lsn);

	return ckpx_entry_store_remove_all(store, &key, 1) == 1;
}

void
ckpx_store_keep(CkpxEntryStore *store, uint32 index, uint32 *kept)
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
		ckpx_store_keep(store, i, &kept);
	}
	removed = store->nentries - kept;
	store->nentries = kept;
	return removed;
}

/*-------------------------------------------------------------------------
 * Looking around
 *-------------------------------------------------------------------------
 */

CkpxEntry *
ckpx_entry_store_newest(CkpxEntryStore *store, CkpxEntryKind kind,
						bool finished_only)
{
	return unconstify(CkpxEntry *,
					  ckpx_store_newest_of(store, store->epoch, kind,
										   finished_only));
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
