/*-------------------------------------------------------------------------
 *
 * entry_store.c
 *		The ordered history of checkpoint entries: the array, and the one way
 *		into it.
 *
 * The order is explained in entry_store_internal.h.  Insertion moves what
 * lies behind, which is nearly always nothing: entries are born at the end
 * and loaded in order.
 *
 * What ckpx_entry_store_insert() lets in is all that the other parts rely on:
 * it refuses an incremental that does not adjoin, and a global over a hole,
 * which would claim to know what was never read.
 *
 *-------------------------------------------------------------------------
 */
#include "core/entry_store_internal.h"

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

int
ckpx_store_compare(const CkpxEntry *a, const CkpxEntry *b)
{
	int			rank_a;
	int			rank_b;

	if (a->epoch != b->epoch)
		return a->epoch < b->epoch ? -1 : 1;
	if (a->end_lsn != b->end_lsn)
		return a->end_lsn < b->end_lsn ? -1 : 1;
	rank_a = kind_rank(a->kind);
	rank_b = kind_rank(b->kind);
	if (rank_a != rank_b)
		return rank_a < rank_b ? -1 : 1;
	if (a->start_lsn != b->start_lsn)
		return a->start_lsn < b->start_lsn ? -1 : 1;
	return 0;
}

/* Index of the first entry that is not before 'key'. */
static uint32
lower_bound(const CkpxEntryStore *store, const CkpxEntry *key)
{
	uint32		low = 0;
	uint32		high = store->nentries;

	while (low < high)
	{
		uint32		middle = low + (high - low) / 2;

		if (ckpx_store_compare(&store->entries[middle], key) < 0)
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
ckpx_store_ending_after(const CkpxEntryStore *store, uint32 epoch,
						XLogRecPtr lsn)
{
	uint32		low = 0;
	uint32		high = store->nentries;

	while (low < high)
	{
		uint32		middle = low + (high - low) / 2;
		const CkpxEntry *entry = &store->entries[middle];

		if (entry->epoch < epoch ||
			(entry->epoch == epoch && entry->end_lsn <= lsn))
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
		const CkpxEntry *entry = &store->entries[i];

		if (entry->epoch != epoch)
			break;
		if (entry->kind == kind &&
			(!finished_only || entry->state == CKPX_ENTRY_FINISHED))
			return entry;
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
	return offsetof(CkpxEntryStore, entries) +
		(Size) max_entries * sizeof(CkpxEntry);
}

void
ckpx_entry_store_init(CkpxEntryStore *store, uint32 max_entries)
{
	memset(store, 0, offsetof(CkpxEntryStore, entries));
	store->max_entries = max_entries;
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
	uint32		i = lower_bound(store, entry);

	if (i < store->nentries &&
		ckpx_store_compare(&store->entries[i], entry) == 0)
		return CKPX_STORE_DUPLICATE;
	if (store->nentries >= store->max_entries)
		return CKPX_STORE_FULL;

	memmove(&store->entries[i + 1], &store->entries[i],
			(store->nentries - i) * sizeof(CkpxEntry));
	store->entries[i] = *entry;
	store->nentries++;
	return CKPX_STORE_OK;
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
	if (entry->start_lsn == store->epoch_start)
		return CKPX_STORE_OK;

	for (uint32 i = ckpx_store_ending_after(store, store->epoch,
											entry->start_lsn - 1);
		 i < store->nentries &&
		 store->entries[i].end_lsn == entry->start_lsn;
		 i++)
	{
		if (store->entries[i].state == CKPX_ENTRY_FINISHED &&
			(store->entries[i].kind == CKPX_KIND_INCREMENTAL ||
			 store->entries[i].kind == CKPX_KIND_GLOBAL))
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

CkpxEntry *
ckpx_entry_store_find(CkpxEntryStore *store, CkpxEntryKind kind, uint32 epoch,
					  XLogRecPtr start_lsn, XLogRecPtr end_lsn)
{
	CkpxEntry	key = {0};
	uint32		i;

	key.kind = kind;
	key.epoch = epoch;
	key.start_lsn = start_lsn;
	key.end_lsn = end_lsn;
	i = lower_bound(store, &key);
	if (i < store->nentries && store->entries[i].kind == kind &&
		ckpx_store_compare(&store->entries[i], &key) == 0)
		return &store->entries[i];
	return NULL;
}

bool
ckpx_entry_store_remove(CkpxEntryStore *store, CkpxEntryKind kind,
						uint32 epoch, XLogRecPtr start_lsn, XLogRecPtr end_lsn)
{
	CkpxEntry  *entry = ckpx_entry_store_find(store, kind, epoch, start_lsn,
											  end_lsn);
	uint32		i;

	if (entry == NULL || entry->state == CKPX_ENTRY_RUNNING)
		return false;

	i = (uint32) (entry - store->entries);
	store->nentries--;
	memmove(entry, entry + 1, (store->nentries - i) * sizeof(CkpxEntry));
	return true;
}

/*-------------------------------------------------------------------------
 * Questions
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
