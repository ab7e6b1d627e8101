/*-------------------------------------------------------------------------
 *
 * entry_store.c
 *		The ordered history of checkpoint entries.
 *
 * All entries lie in one array, sorted by epoch, end, kind and start, so that
 * an epoch is a stretch of the array, "what ends after this LSN" is a binary
 * search, and the incrementals of an epoch are read in LSN order by skipping
 * the other kinds.  Insertion moves what lies behind, which is nearly always
 * nothing: entries are born at the end and loaded in order.
 *
 * Three rules keep an answer true, whatever the array holds:
 *
 *	- Only finished incrementals and globals are looked at.
 *	- An entry is used only where it ends within its epoch's limit, see
 *	  EpochView.  A whole object is used or none of it: its limit blocks are
 *	  exact at its end only.
 *	- Incrementals are followed only where one starts exactly at the end of
 *	  the one before it, so a hole, whatever made it, ends the walk.
 *
 *-------------------------------------------------------------------------
 */
#include "core/entry_store.h"

/*
 * An epoch as the gaps tell it: it holds the LSNs [start, limit), and objects
 * that end at or before 'limit' belong to the present history.
 */
typedef struct EpochView
{
	uint32		epoch;
	XLogRecPtr	start;
	XLogRecPtr	limit;			/* PG_UINT64_MAX: open */
	int			gap;			/* index of the gap before it, or -1 */
} EpochView;

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

static int
compare_entries(const CkpxEntry *a, const CkpxEntry *b)
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

		if (compare_entries(&store->entries[middle], key) < 0)
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
static uint32
first_ending_after(const CkpxEntryStore *store, uint32 epoch, XLogRecPtr lsn)
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

static inline uint32
epoch_begin(const CkpxEntryStore *store, uint32 epoch)
{
	return first_ending_after(store, epoch, 0);
}

static inline uint32
epoch_end(const CkpxEntryStore *store, uint32 epoch)
{
	return first_ending_after(store, epoch, PG_UINT64_MAX);
}

/* The newest entry of a kind in one epoch, or NULL. */
static const CkpxEntry *
newest_of(const CkpxEntryStore *store, uint32 epoch, CkpxEntryKind kind,
		  bool finished_only)
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

void
ckpx_entry_store_begin_epoch(CkpxEntryStore *store, TimeLineID timeline,
							 XLogRecPtr from_lsn, XLogRecPtr start_lsn,
							 int64 now, const char *reason)
{
	CkpxGap    *gap;
	uint32		kept = 0;

	for (uint32 i = 0; i < store->nentries; i++)
	{
		if (store->entries[i].state != CKPX_ENTRY_FINISHED)
			continue;
		if (kept != i)
			store->entries[kept] = store->entries[i];
		kept++;
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
ckpx_entry_store_forget_gaps(CkpxEntryStore *store, int64 detected_before)
{
	uint32		oldest_epoch = store->epoch;
	uint32		kept = 0;
	uint32		forgotten;

	if (store->nentries > 0)
		oldest_epoch = Min(oldest_epoch, store->entries[0].epoch);

	/*
	 * The gap of the oldest epoch itself tells where that begins.  The gaps
	 * of all later epochs bound what the older ones may answer.
	 */
	for (uint32 i = 0; i < store->ngaps; i++)
	{
		if (store->gaps[i].epoch < oldest_epoch &&
			store->gaps[i].detected_at < detected_before)
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
 * Epochs
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
static bool
newest_epoch(const CkpxEntryStore *store, EpochView *view)
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
static bool
older_epoch(const CkpxEntryStore *store, EpochView *view)
{
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
			 i < store->nentries && store->entries[i].epoch == view->epoch;
			 i++)
		{
			if (store->entries[i].kind == CKPX_KIND_INCREMENTAL ||
				store->entries[i].kind == CKPX_KIND_GLOBAL)
				view->start = Min(view->start, store->entries[i].start_lsn);
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
	const CkpxEntry *backup = &store->entries[index];

	if (backup->start_lsn != position || backup->end_lsn > stop ||
		backup->state != CKPX_ENTRY_FINISHED)
		return false;
	for (uint32 i = index + 1;
		 i < store->nentries && store->entries[i].epoch == backup->epoch;
		 i++)
	{
		const CkpxEntry *other = &store->entries[i];

		if (other->state == CKPX_ENTRY_FINISHED && other->end_lsn <= stop &&
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
static XLogRecPtr
walk_incrementals(const CkpxEntryStore *store, const EpochView *view,
				  XLogRecPtr position, bool exactly, XLogRecPtr upto,
				  uint32 *chosen, uint32 *nchosen)
{
	XLogRecPtr	stop = Min(view->limit,
						   next_damage(store, view->epoch, position));

	for (uint32 i = first_ending_after(store, view->epoch, position);
		 i < store->nentries && position < upto;
		 i++)
	{
		const CkpxEntry *entry = &store->entries[i];

		if (entry->epoch != view->epoch)
			break;
		if (entry->kind == CKPX_KIND_BACKUP)
		{
			/* One that ends within an incremental has nothing to add. */
			if (view->epoch == store->epoch ||
				!continues_epoch(store, i, position, stop))
				continue;
		}
		else if (entry->kind != CKPX_KIND_INCREMENTAL)
			continue;
		if (entry->state != CKPX_ENTRY_FINISHED || entry->end_lsn > stop)
			break;
		if (exactly ? entry->start_lsn != position
			: entry->start_lsn > position)
			break;

		if (chosen)
			chosen[(*nchosen)++] = i;
		position = entry->end_lsn;
		exactly = true;
	}
	return position;
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

	if (i < store->nentries && compare_entries(&store->entries[i], entry) == 0)
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
	const CkpxEntry *previous;
	XLogRecPtr	position = store->epoch_start;
	EpochView	view;

	if (entry->start_lsn != store->epoch_start)
		return CKPX_STORE_BAD_RANGE;

	previous = newest_of(store, store->epoch, CKPX_KIND_GLOBAL, true);
	if (previous)
	{
		if (entry->end_lsn <= previous->end_lsn)
			return CKPX_STORE_STALE;
		position = previous->end_lsn;
	}

	/* A global over a hole would claim to know what was never read. */
	if (!newest_epoch(store, &view) ||
		walk_incrementals(store, &view, position, true, entry->end_lsn,
						  NULL, NULL) != entry->end_lsn)
		return CKPX_STORE_NOT_CONTIGUOUS;
	return CKPX_STORE_OK;
}

static CkpxStoreResult
check_new_backup(const CkpxEntryStore *store, const CkpxEntry *entry)
{
	if (entry->start_lsn == store->epoch_start)
		return CKPX_STORE_OK;

	for (uint32 i = first_ending_after(store, store->epoch,
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
		previous = newest_of(store, store->epoch, entry->kind, false);
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
		compare_entries(&store->entries[i], &key) == 0)
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
	return unconstify(CkpxEntry *, newest_of(store, store->epoch, kind,
											 finished_only));
}

XLogRecPtr
ckpx_entry_store_checkpointed(const CkpxEntryStore *store)
{
	XLogRecPtr	lsn = store->epoch_start;
	const CkpxEntry *entry;

	if (store->epoch == 0)
		return InvalidXLogRecPtr;

	entry = newest_of(store, store->epoch, CKPX_KIND_INCREMENTAL, true);
	if (entry)
		lsn = Max(lsn, entry->end_lsn);
	entry = newest_of(store, store->epoch, CKPX_KIND_GLOBAL, true);
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
	uint32		count = 0;

	/* A global sorts behind the incremental that ends where it does. */
	for (uint32 i = epoch_end(store, store->epoch); i-- > 0;)
	{
		const CkpxEntry *entry = &store->entries[i];

		if (entry->epoch != store->epoch)
			break;
		if (entry->state != CKPX_ENTRY_FINISHED)
			continue;
		if (entry->kind == CKPX_KIND_GLOBAL)
			break;
		if (entry->kind == CKPX_KIND_INCREMENTAL)
			count++;
	}
	return count;
}

XLogRecPtr
ckpx_entry_store_low_water_mark(const CkpxEntryStore *store)
{
	const CkpxEntry *global = newest_of(store, store->epoch,
										CKPX_KIND_GLOBAL, true);
	XLogRecPtr	lsn = PG_UINT64_MAX;

	if (global)
		lsn = global->start_lsn;
	for (uint32 i = epoch_begin(store, store->epoch); i < store->nentries; i++)
	{
		const CkpxEntry *entry = &store->entries[i];

		if (entry->kind == CKPX_KIND_INCREMENTAL &&
			entry->state == CKPX_ENTRY_FINISHED)
		{
			lsn = Min(lsn, entry->start_lsn);
			break;				/* the oldest */
		}
	}
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
	EpochView	view;
	XLogRecPtr	kept_from = PG_UINT64_MAX;
	XLogRecPtr	oldest = PG_UINT64_MAX;

	for (bool more = newest_epoch(store, &view); more;
		 more = older_epoch(store, &view))
	{
		bool		kept = (view.epoch == store->epoch);

		for (uint32 i = epoch_begin(store, view.epoch);
			 i < store->nentries && store->entries[i].epoch == view.epoch &&
			 store->entries[i].end_lsn <= view.limit; i++)
		{
			const CkpxEntry *entry = &store->entries[i];

			if (entry->state == CKPX_ENTRY_FINISHED &&
				(entry->kind == CKPX_KIND_INCREMENTAL ||
				 entry->kind == CKPX_KIND_GLOBAL))
			{
				kept = true;
				oldest = Min(oldest, entry->start_lsn);
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
 * The newest finished global that holds 'start_lsn'; the index, or nentries.
 * All globals of an epoch begin where it does, so where the newest one ends
 * too early, older ones do as well.
 */
static uint32
find_global(const CkpxEntryStore *store, const EpochView *view,
			XLogRecPtr start_lsn)
{
	for (uint32 i = first_ending_after(store, view->epoch, view->limit);
		 i-- > 0;)
	{
		const CkpxEntry *entry = &store->entries[i];

		if (entry->epoch != view->epoch || entry->end_lsn <= start_lsn)
			break;
		if (entry->kind == CKPX_KIND_GLOBAL &&
			entry->state == CKPX_ENTRY_FINISHED &&
			entry->start_lsn <= start_lsn)
			return i;
	}
	return store->nentries;
}

bool
ckpx_entry_store_is_covered(const CkpxEntryStore *store,
							const CkpxEntry *entry)
{
	EpochView	view;
	uint32		global;

	if (entry->state != CKPX_ENTRY_FINISHED ||
		(entry->kind != CKPX_KIND_INCREMENTAL &&
		 entry->kind != CKPX_KIND_GLOBAL))
		return false;

	/* A global beyond its epoch's limit answers nothing, so covers nothing. */
	for (bool more = newest_epoch(store, &view); more;
		 more = older_epoch(store, &view))
	{
		if (view.epoch != entry->epoch)
			continue;
		global = find_global(store, &view, entry->start_lsn);
		if (global == store->nentries)
			return false;
		return entry->kind == CKPX_KIND_INCREMENTAL ?
			store->entries[global].end_lsn >= entry->end_lsn :
			store->entries[global].end_lsn > entry->end_lsn;
	}
	return false;
}

void
ckpx_entry_store_collect(const CkpxEntryStore *store, XLogRecPtr start_lsn,
						 XLogRecPtr end_lsn, uint32 *chosen,
						 CkpxCollectResult *result)
{
	EpochView	view;
	bool		found = false;

	memset(result, 0, sizeof(CkpxCollectResult));

	for (bool more = newest_epoch(store, &view); more && !found;)
	{
		if (start_lsn == InvalidXLogRecPtr)
			found = view.start <= end_lsn;
		else
			found = view.start <= start_lsn && start_lsn < view.limit;
		if (!found)
			more = older_epoch(store, &view);
	}
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
		XLogRecPtr	position = start_lsn;
		uint32		global = find_global(store, &view, start_lsn);

		if (global < store->nentries)
		{
			chosen[result->nchosen++] = global;
			position = store->entries[global].end_lsn;
		}
		position = walk_incrementals(store, &view, position,
									 result->nchosen > 0, end_lsn,
									 chosen, &result->nchosen);
		if (result->nchosen > 0)
		{
			result->from_lsn = store->entries[chosen[0]].start_lsn;
			result->checkpointed = position;
			result->complete = position >= end_lsn;
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
	for (uint32 i = first_ending_after(store, store->epoch, lsn);
		 i < store->nentries && nchosen < count; i++)
	{
		const CkpxEntry *entry = &store->entries[i];

		if (entry->kind != CKPX_KIND_INCREMENTAL)
			continue;
		if (entry->state != CKPX_ENTRY_FINISHED)
			break;
		if (entry->start_lsn >= lsn)
			chosen[nchosen++] = i;
	}
	return nchosen;
}

/*-------------------------------------------------------------------------
 * Check
 *-------------------------------------------------------------------------
 */

static const char *
check_gaps(const CkpxEntryStore *store)
{
	uint32		last_epoch = 0;

	if (store->ngaps > CKPX_MAX_GAPS)
		return "too many gaps";
	for (uint32 i = 0; i < store->ngaps; i++)
	{
		const CkpxGap *gap = &store->gaps[i];

		if (gap->epoch == 0 || gap->epoch > store->epoch)
			return "a gap belongs to no epoch";
		if (memchr(gap->reason, '\0', CKPX_GAP_REASON_MAX) == NULL)
			return "a gap's reason does not end";
		if (gap->damaged)
		{
			if (gap->from_lsn >= gap->to_lsn)
				return "a damaged range is empty";
			continue;
		}
		if (gap->epoch <= last_epoch)
			return "the gaps are not in the order of their epochs";
		last_epoch = gap->epoch;
		if (gap->epoch == store->epoch && gap->to_lsn != store->epoch_start)
			return "the open epoch does not begin where its gap ends";
	}
	return NULL;
}

/* Is [from, to) of 'epoch' without incrementals for a known reason? */
static bool
hole_is_known(const CkpxEntryStore *store, uint32 epoch, XLogRecPtr from,
			  XLogRecPtr to)
{
	const CkpxEntry *global = newest_of(store, epoch, CKPX_KIND_GLOBAL, true);
	bool		moved = true;

	if (global && global->start_lsn <= from)
		from = Max(from, global->end_lsn);

	/* Several damaged objects may lie side by side, in any order. */
	while (from < to && moved)
	{
		moved = false;
		for (uint32 i = 0; i < store->ngaps; i++)
		{
			const CkpxGap *gap = &store->gaps[i];

			if (gap->damaged && gap->epoch == epoch &&
				gap->from_lsn <= from && gap->to_lsn > from)
			{
				from = gap->to_lsn;
				moved = true;
			}
		}
	}
	return from >= to;
}

static const char *
check_entry(const CkpxEntryStore *store, const CkpxEntry *entry)
{
	if (entry->kind < CKPX_KIND_INCREMENTAL ||
		entry->kind > CKPX_KIND_SEGMENT)
		return "an entry has an unknown kind";
	if (entry->state < CKPX_ENTRY_PENDING ||
		entry->state > CKPX_ENTRY_FINISHED)
		return "an entry has an unknown state";
	if (entry->epoch == 0 || entry->epoch > store->epoch)
		return "an entry belongs to no epoch";
	if (entry->start_lsn >= entry->end_lsn)
		return "an entry's range is empty";
	if (entry->epoch < store->epoch && entry->state != CKPX_ENTRY_FINISHED)
		return "a closed epoch has an unfinished entry";
	if (entry->epoch == store->epoch && entry->start_lsn < store->epoch_start)
		return "an entry begins before its epoch";
	return NULL;
}

const char *
ckpx_entry_store_check(const CkpxEntryStore *store)
{
	const char *problem;
	const CkpxEntry *incremental = NULL;	/* the one before, in the epoch */
	const CkpxEntry *global = NULL;

	if (store->nentries > store->max_entries)
		return "too many entries";
	if ((problem = check_gaps(store)) != NULL)
		return problem;

	for (uint32 i = 0; i < store->nentries; i++)
	{
		const CkpxEntry *entry = &store->entries[i];
		bool		open = (entry->epoch == store->epoch);

		if ((problem = check_entry(store, entry)) != NULL)
			return problem;
		if (i > 0 && compare_entries(entry - 1, entry) >= 0)
			return "the entries are not in order";
		if (i > 0 && entry[-1].epoch != entry->epoch)
			incremental = global = NULL;

		if (entry->kind == CKPX_KIND_INCREMENTAL)
		{
			XLogRecPtr	previous_end = open ? store->epoch_start : 0;

			if (incremental)
			{
				if (incremental->state != CKPX_ENTRY_FINISHED)
					return "an unfinished incremental is not the newest";
				previous_end = incremental->end_lsn;
			}
			if (entry->start_lsn < previous_end)
				return "two incrementals overlap";
			if (global && entry->start_lsn < global->end_lsn)
				return "a global ends within an incremental";
			if (open && entry->start_lsn > previous_end &&
				!hole_is_known(store, entry->epoch, previous_end,
							   entry->start_lsn))
				return "an incremental is missing";
			incremental = entry;
		}
		else if (entry->kind == CKPX_KIND_GLOBAL)
		{
			if (open && entry->start_lsn != store->epoch_start)
				return "a global does not begin where its epoch does";
			if (global)
			{
				if (global->state != CKPX_ENTRY_FINISHED)
					return "an unfinished global is not the newest";
				if (global->end_lsn == entry->end_lsn)
					return "two globals end at the same place";
			}
			global = entry;
		}
	}
	return NULL;
}
