/*-------------------------------------------------------------------------
 *
 * entry_store_check.c
 *		The invariants of the entry store, looked at one by one.
 *
 * This is the other way to see what ckpx_entry_store_insert() guarantees: it
 * trusts nothing that the store's own functions did.  The server does not need
 * it: whatever a manifest brings, an answer is true, see entry_store.c.
 *
 *-------------------------------------------------------------------------
 */
#include "core/history/entry_store_internal.h"
#include "entry_store_check.h"

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
	bool		moved = true;

	/* Several damaged objects may lie side by side, in any order. */
	while (from < to && moved)
	{
		moved = false;
		for (uint32 i = epoch_begin(store, epoch); i < store->nentries; i++)
		{
			const CkpxEntry *entry = ckpx_entry_store_at(store, i);

			if (entry->kind == CKPX_KIND_GLOBAL &&
				entry->range.epoch == epoch &&
				entry->state == CKPX_ENTRY_FINISHED &&
				entry->range.start_lsn <= from && entry->range.end_lsn > from)
			{
				from = entry->range.end_lsn;
				moved = true;
			}
		}
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

/* Does a stretch of the open epoch begin at 'lsn'? */
static bool
begins_stretch(const CkpxEntryStore *store, XLogRecPtr lsn)
{
	for (uint32 i = 0; i < store->ngaps; i++)
	{
		const CkpxGap *gap = &store->gaps[i];

		if (gap->damaged && gap->epoch == store->epoch && gap->to_lsn == lsn)
			return true;
	}
	return lsn == store->epoch_start;
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
	if (entry->range.epoch == 0 || entry->range.epoch > store->epoch)
		return "an entry belongs to no epoch";
	if (entry->range.start_lsn >= entry->range.end_lsn)
		return "an entry's range is empty";
	if (entry->range.epoch < store->epoch &&
		entry->state != CKPX_ENTRY_FINISHED)
		return "a closed epoch has an unfinished entry";
	if (entry->range.epoch == store->epoch &&
		entry->range.start_lsn < store->epoch_start)
		return "an entry begins before its epoch";
	return NULL;
}

/* The spans of finished entries are theirs, the others at least in place. */
static const char *
check_spans(const CkpxEntryStore *store)
{
	for (uint32 i = 0; i < store->nentries; i++)
	{
		const CkpxEntrySpan *span = &spans_of(store)[i];
		CkpxEntrySpan expected;

		ckpx_store_describe(&expected, ckpx_entry_store_at(store, i));
		if (span->finished ? memcmp(span, &expected, sizeof(expected)) != 0
			: ckpx_store_compare(span, &expected) != 0)
			return "an entry and its span disagree";
	}
	return NULL;
}

/* Each place of the pool is used once. */
static const char *
check_places(const CkpxEntryStore *store)
{
	bool	   *used = calloc(store->max_entries, sizeof(bool));
	const char *problem = NULL;

	for (uint32 i = 0; i < store->max_entries; i++)
	{
		uint32		place = places_of(store)[i];

		if (place >= store->max_entries || used[place])
			problem = "a place in the pool is used twice";
		else
			used[place] = true;
	}
	free(used);
	return problem;
}

const char *
ckpx_entry_store_check(const CkpxEntryStore *store)
{
	const char *problem;
	CkpxEntrySpan span;
	CkpxEntrySpan previous = {0};
	const CkpxEntry *incremental = NULL;	/* the one before, in the epoch */
	const CkpxEntry *global = NULL;

	if (store->nentries > store->max_entries)
		return "too many entries";
	if ((problem = check_places(store)) != NULL ||
		(problem = check_gaps(store)) != NULL)
		return problem;

	for (uint32 i = 0; i < store->nentries; i++)
	{
		const CkpxEntry *entry = ckpx_entry_store_at(store, i);
		bool		open = (entry->range.epoch == store->epoch);

		if ((problem = check_entry(store, entry)) != NULL)
			return problem;
		ckpx_store_describe(&span, entry);
		if (i > 0 && ckpx_store_compare(&previous, &span) >= 0)
			return "the entries are not in order";
		if (previous.epoch != entry->range.epoch)
			incremental = global = NULL;
		previous = span;

		if (entry->kind == CKPX_KIND_INCREMENTAL)
		{
			XLogRecPtr	previous_end = open ? store->epoch_start : 0;

			if (incremental)
			{
				if (incremental->state != CKPX_ENTRY_FINISHED)
					return "an unfinished incremental is not the newest";
				previous_end = incremental->range.end_lsn;
			}
			if (entry->range.start_lsn < previous_end)
				return "two incrementals overlap";
			if (global && entry->range.start_lsn < global->range.end_lsn)
				return "a global ends within an incremental";
			if (open && entry->range.start_lsn > previous_end &&
				!hole_is_known(store, entry->range.epoch, previous_end,
							   entry->range.start_lsn))
				return "an incremental is missing";
			incremental = entry;
		}
		else if (entry->kind == CKPX_KIND_GLOBAL)
		{
			if (open && !begins_stretch(store, entry->range.start_lsn))
				return "a global does not begin where a stretch does";
			if (global)
			{
				if (global->state != CKPX_ENTRY_FINISHED)
					return "an unfinished global is not the newest";
				if (global->range.end_lsn == entry->range.end_lsn)
					return "two globals end at the same place";
			}
			global = entry;
		}
	}
	return check_spans(store);
}
