/*-------------------------------------------------------------------------
 *
 * gc_model.c
 *		The rules of garbage collection, written down as plainly as possible.
 *
 *-------------------------------------------------------------------------
 */
#include "gc_model.h"

/* Up to where what an epoch knew is still true; 0: it answers nothing. */
static XLogRecPtr
limit_of(const CkpxEntryStore *store, uint32 epoch)
{
	XLogRecPtr	limit = PG_UINT64_MAX;

	for (uint32 later = epoch + 1; later <= store->epoch; later++)
	{
		const CkpxGap *closing = NULL;

		for (uint32 i = 0; i < store->ngaps; i++)
		{
			if (!store->gaps[i].damaged && store->gaps[i].epoch == later)
				closing = &store->gaps[i];
		}
		if (closing == NULL)
			return 0;
		limit = Min(limit, Min(closing->from_lsn, closing->to_lsn));
	}
	return limit;
}

bool
gc_model_is_covered(const CkpxEntryStore *store, const CkpxEntry *entry)
{
	XLogRecPtr	limit = limit_of(store, entry->range.epoch);

	if (entry->state != CKPX_ENTRY_FINISHED ||
		(entry->kind != CKPX_KIND_INCREMENTAL &&
		 entry->kind != CKPX_KIND_GLOBAL))
		return false;
	for (uint32 i = 0; i < store->nentries; i++)
	{
		const CkpxEntry *other = ckpx_entry_store_at(store, i);

		if (other->kind == CKPX_KIND_GLOBAL &&
			other->state == CKPX_ENTRY_FINISHED &&
			other->range.epoch == entry->range.epoch &&
			other->range.end_lsn <= limit &&
			other->range.start_lsn <= entry->range.start_lsn &&
			(entry->kind == CKPX_KIND_INCREMENTAL ?
			 other->range.end_lsn >= entry->range.end_lsn :
			 other->range.end_lsn > entry->range.end_lsn))
			return true;
	}
	return false;
}

static bool
is_pinned(const CkpxGcHistory *history, const CkpxEntry *entry, uint64 now)
{
	for (uint32 i = 0; i < history->npins; i++)
	{
		const CkpxPin *pin = &history->pins[i];
		bool		expired = pin->expires_at != 0 &&
			pin->expires_clock_ms <= now;
		bool		newer = entry->kind == CKPX_KIND_GLOBAL &&
			(entry->range.epoch > pin->epoch ||
			 (entry->range.epoch == pin->epoch &&
			  entry->range.end_lsn > pin->global_lsn));

		if (!expired && !newer && entry->range.end_lsn > pin->lsn)
			return true;
	}
	return false;
}

static int64
age_of(const CkpxGap *gap, uint64 now)
{
	return gap->clock_ms == 0 || gap->clock_ms > now ? 0 :
		(int64) (now - gap->clock_ms);
}

/* For how long no global can have covered the entry; -1: one can. */
static int64
closed_for(const CkpxEntryStore *store, const CkpxGcHistory *history,
		   const CkpxEntry *entry, uint64 now)
{
	int64		longest = -1;

	if (entry->range.epoch == store->epoch &&
		(entry->range.end_lsn > history->stretch ||
		 history->stretch == store->epoch_start))
		return -1;
	if (entry->range.epoch != store->epoch)
	{
		longest = PG_INT64_MAX;
		for (uint32 i = store->ngaps; i-- > 0;)
		{
			const CkpxGap *gap = &store->gaps[i];

			if (!gap->damaged && gap->epoch > entry->range.epoch)
				longest = gap->epoch == entry->range.epoch + 1 ?
					age_of(gap, now) : PG_INT64_MAX;
		}
	}
	for (uint32 i = 0; i < store->ngaps; i++)
	{
		const CkpxGap *gap = &store->gaps[i];

		if (gap->damaged && gap->epoch == entry->range.epoch &&
			gap->from_lsn >= entry->range.end_lsn)
			longest = Max(longest, age_of(gap, now));
	}
	return longest < 0 ? PG_INT64_MAX : longest;
}

/* Do all incrementals that overlap the backup go? */
static bool
backup_may_go(const CkpxEntryStore *store, const CkpxGcHistory *history,
			  const CkpxEntry *backup, const bool *goes)
{
	if (backup->range.epoch != store->epoch ||
		history->checkpointed < backup->range.end_lsn)
		return false;
	for (uint32 i = 0; i < store->nentries; i++)
	{
		const CkpxEntry *entry = ckpx_entry_store_at(store, i);

		if (entry->kind == CKPX_KIND_INCREMENTAL &&
			entry->range.epoch == backup->range.epoch && !goes[i] &&
			entry->range.start_lsn < backup->range.end_lsn &&
			entry->range.end_lsn > backup->range.start_lsn)
			return false;
	}
	return true;
}

static bool
may_go(const CkpxEntryStore *store, const CkpxGcHistory *history,
	   const CkpxEntry *entry, const CkpxGcRules *rules, const bool *goes,
	   bool *lost)
{
	int64		closed = closed_for(store, history, entry, rules->now_ms);
	uint64		since = entry->range.clock_ms != 0 ? entry->range.clock_ms :
		history->loaded_ms;

	if (entry->state != CKPX_ENTRY_FINISHED)
		return false;
	if (closed >= 0 && entry->kind == CKPX_KIND_SEGMENT)
		return entry->range.epoch != store->epoch;
	if (closed >= 0 && closed >= rules->keep_ms)
		return true;
	if (closed >= 0 && entry->range.epoch <= rules->closed_upto)
		return *lost = true;
	if (!gc_model_is_covered(store, entry) &&
		!(entry->kind == CKPX_KIND_BACKUP &&
		  backup_may_go(store, history, entry, goes)))
		return false;
	for (uint32 i = 0; i < history->ndoubtful; i++)
	{
		const CkpxEntrySpan *global = &history->doubtful[i];
		bool		overlaps = global->epoch == entry->range.epoch &&
			global->start_lsn < entry->range.end_lsn &&
			global->end_lsn > entry->range.start_lsn;

		if (global->kind == CKPX_KIND_GLOBAL && overlaps &&
			!(entry->kind == CKPX_KIND_GLOBAL &&
			  entry->range.end_lsn >= global->end_lsn))
			return false;
	}
	return rules->ignore_age || rules->keep_ms == 0 ||
		(since < rules->now_ms &&
		 (int64) (rules->now_ms - since) >= rules->keep_ms);
}

void
gc_model_plan(const CkpxEntryStore *store, const CkpxGcHistory *history,
			  const CkpxGcRules *rules, bool *goes, bool *lost)
{
	memset(goes, 0, store->nentries * sizeof(bool));
	memset(lost, 0, store->nentries * sizeof(bool));
	for (int backups = 0; backups < 2; backups++)
	{
		for (uint32 i = 0; i < store->nentries; i++)
		{
			const CkpxEntry *entry = ckpx_entry_store_at(store, i);
			bool		loss = false;

			if ((entry->kind == CKPX_KIND_BACKUP) != (backups == 1) ||
				(rules->upto != InvalidXLogRecPtr &&
				 entry->range.end_lsn > rules->upto) ||
				!may_go(store, history, entry, rules, goes, &loss) ||
				is_pinned(history, entry, rules->now_ms) ||
				(entry->post_pending && !rules->ignore_commands))
				continue;
			goes[i] = true;
			lost[i] = loss;
		}
	}
}
