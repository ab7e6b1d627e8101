/*-------------------------------------------------------------------------
 *
 * gc_plan.c
 *		Which entries of the history may go.
 *
 * Within an epoch an incremental or a global may go when a finished global of
 * the same epoch holds its range: finished means that the global's object and
 * a manifest that names it are durable, and as only finished entries count,
 * both kept manifests name the global before either stops naming what it
 * covers.  A backup goes with the incremental that covers it.  A closed epoch
 * gets no more globals, nor does what lies before a range that was lost, so
 * what is left of these goes by time.  A spilled segment of a closed epoch
 * answers nothing and goes at once.
 *
 * Ages go by the monotonic clock, see core/history/age.h: a wall clock that
 * is set neither lets anything go early nor keeps it for ever.  What was
 * loaded with a date in the future counts from the load.
 *
 * A pin holds what ends after its LSN: incrementals and backups, and those
 * globals that were there when the pin was made, since somebody may be
 * reading them; the epoch and its newest global at that time tell which these
 * are.  A global that is newer than the pin and was replaced since adds
 * nothing to what the incrementals and the newest global answer.
 *
 * A global that is in doubt, because its object could not be read, replaces
 * nothing: what it holds stays until the doubt is settled.
 *
 * An object whose post command has not succeeded stays as well, but only
 * until a cap is reached: otherwise a command that never succeeds would fill
 * the disk.
 *
 * How: one epoch after the other, from the newest on, as the limit of an
 * epoch is found on the way back.  Within an epoch, what a global covers is
 * looked up in a list of its globals, sorted by their start, in which each
 * element has the largest end so far: a search finds how far any global
 * reaches that begins at or before an entry.  Backups come last, since they
 * look at which incrementals stay: the lowest start of those, from each entry
 * on, answers that.  So a plan takes n log n steps, as many as it has entries
 * and a few.
 *
 *-------------------------------------------------------------------------
 */
#include "core/history/age.h"
#include "core/history/entry_store_internal.h"
#include "core/history/gc_plan.h"

typedef struct Cover
{
	XLogRecPtr	start_lsn;
	XLogRecPtr	end_lsn;
} Cover;

/* One epoch of the entries. */
typedef struct Epoch
{
	CkpxGcEntry *entries;
	uint32		nentries;
	Cover	   *covers;
	uint32		ncovers;
	int64		closed_age;		/* in ms; PG_INT64_MAX: not known, or the
								 * epoch is open */
} Epoch;

void
ckpx_gc_describe(CkpxGcEntry *gc, const CkpxEntry *entry)
{
	memset(gc, 0, sizeof(CkpxGcEntry));
	ckpx_store_describe(&gc->span, entry);
	gc->clock_ms = entry->range.clock_ms;
	gc->nparts = entry->nparts;
	gc->post_pending = entry->post_pending;
}

static int
compare_covers(const void *a, const void *b)
{
	const Cover *left = a;
	const Cover *right = b;

	if (left->start_lsn != right->start_lsn)
		return left->start_lsn < right->start_lsn ? -1 : 1;
	return 0;
}

/*
 * List the finished globals of an epoch.  One beyond the epoch's limit answers
 * nothing, so it covers nothing.
 */
static void
list_covers(Epoch *epoch, XLogRecPtr limit)
{
	epoch->ncovers = 0;
	for (uint32 i = 0; i < epoch->nentries; i++)
	{
		const CkpxEntrySpan *span = &epoch->entries[i].span;

		if (span->kind != CKPX_KIND_GLOBAL || !span->finished ||
			span->end_lsn > limit)
			continue;
		epoch->covers[epoch->ncovers].start_lsn = span->start_lsn;
		epoch->covers[epoch->ncovers].end_lsn = span->end_lsn;
		epoch->ncovers++;
	}
	if (epoch->ncovers > 1)
		qsort(epoch->covers, epoch->ncovers, sizeof(Cover),
			  compare_covers);
	for (uint32 i = 1; i < epoch->ncovers; i++)
		epoch->covers[i].end_lsn = Max(epoch->covers[i].end_lsn,
									   epoch->covers[i - 1].end_lsn);
}

/* The end of the globals that begin at or before 'lsn'; 0: there is none. */
static XLogRecPtr
covered_upto(const Epoch *epoch, XLogRecPtr lsn, uint64 *steps)
{
	uint32		low = 0;
	uint32		high = epoch->ncovers;

	while (low < high)
	{
		uint32		middle = low + (high - low) / 2;

		(*steps)++;
		if (epoch->covers[middle].start_lsn <= lsn)
			low = middle + 1;
		else
			high = middle;
	}
	return low > 0 ? epoch->covers[low - 1].end_lsn : 0;
}

static bool
is_covered(const Epoch *epoch, const CkpxEntrySpan *span, uint64 *steps)
{
	XLogRecPtr	upto = covered_upto(epoch, span->start_lsn, steps);

	return span->kind == CKPX_KIND_GLOBAL ? upto > span->end_lsn :
		upto >= span->end_lsn;
}

static bool
is_pinned(const CkpxGcHistory *history, const CkpxGcEntry *entry, uint64 now)
{
	const CkpxEntrySpan *span = &entry->span;

	for (uint32 i = 0; i < history->npins; i++)
	{
		const CkpxPin *pin = &history->pins[i];

		if (pin->expires_at != 0 && pin->expires_clock_ms <= now)
			continue;
		if (span->end_lsn <= pin->lsn)
			continue;
		/* The globals of an epoch finish in the order of their ends. */
		if (span->kind == CKPX_KIND_GLOBAL &&
			(span->epoch > pin->epoch ||
			 (span->epoch == pin->epoch && span->end_lsn > pin->global_lsn)))
			continue;
		return true;
	}
	return false;
}

/* How old is a gap, in ms?  Nothing, until a round has seen it. */
static int64
gap_age(const CkpxGap *gap, uint64 now)
{
	return gap->clock_ms == 0 ? 0 : ckpx_age_ms(gap->clock_ms, now);
}

/*
 * How long ago did the epoch end, in ms?  PG_INT64_MAX where that is not known
 * any more.
 */
static int64
closed_age(const CkpxEntryStore *head, uint32 epoch, uint64 now)
{
	for (uint32 i = 0; i < head->ngaps; i++)
	{
		const CkpxGap *gap = &head->gaps[i];

		if (!gap->damaged && gap->epoch > epoch)
			return gap->epoch == epoch + 1 ? gap_age(gap, now) : PG_INT64_MAX;
	}
	return PG_INT64_MAX;
}

/*
 * No global will ever cover what lies in a closed epoch or before a range that
 * was lost.  Does the entry, and for how long, in ms?  PG_INT64_MAX where that
 * is not known any more.
 */
static bool
is_closed(const CkpxGcHistory *history, const Epoch *epoch,
		  const CkpxEntrySpan *span, uint64 now, int64 *age)
{
	const CkpxEntryStore *head = history->head;
	int64		longest = -1;

	if (span->epoch != head->epoch)
		longest = epoch->closed_age;
	else if (span->end_lsn > history->stretch ||
			 history->stretch == head->epoch_start)
		return false;
	for (uint32 i = 0; i < head->ngaps; i++)
	{
		const CkpxGap *gap = &head->gaps[i];

		if (gap->damaged && gap->epoch == span->epoch &&
			gap->from_lsn >= span->end_lsn)
			longest = Max(longest, gap_age(gap, now));
	}
	*age = longest >= 0 ? longest : PG_INT64_MAX;
	return true;
}

/*
 * Is the backup's range in a finished global or in a finished incremental
 * that is going?
 */
static bool
backup_may_go(const CkpxGcHistory *history, const Epoch *epoch,
			  const CkpxEntrySpan *backup, uint64 *steps)
{
	uint32		low = 0;
	uint32		high = epoch->nentries;

	if (backup->epoch != history->head->epoch ||
		history->checkpointed < backup->end_lsn)
		return false;
	while (low < high)
	{
		uint32		middle = low + (high - low) / 2;

		(*steps)++;
		if (epoch->entries[middle].span.end_lsn <= backup->start_lsn)
			low = middle + 1;
		else
			high = middle;
	}
	return low == epoch->nentries ||
		epoch->entries[low].kept_from >= backup->end_lsn;
}

/*
 * May the entry be all that is left of its range, since a global that holds
 * it is in doubt?
 */
static bool
is_doubtful(const CkpxGcHistory *history, const CkpxEntrySpan *span)
{
	if (history->all_doubtful)
		return true;
	for (uint32 i = 0; i < history->ndoubtful; i++)
	{
		const CkpxEntrySpan *doubtful = &history->doubtful[i];

		if (doubtful->kind == CKPX_KIND_GLOBAL &&
			doubtful->epoch == span->epoch &&
			doubtful->start_lsn < span->end_lsn &&
			doubtful->end_lsn > span->start_lsn &&
			(span->kind != CKPX_KIND_GLOBAL ||
			 doubtful->end_lsn > span->end_lsn))
			return true;
	}
	return false;
}

/*
 * May this entry go, its pins and its command aside?
 */
static bool
is_dispensable(const CkpxGcHistory *history, const Epoch *epoch,
			   CkpxGcEntry *entry, const CkpxGcRules *rules, uint64 *steps)
{
	const CkpxEntrySpan *span = &entry->span;
	int64		age = 0;
	bool		closed = is_closed(history, epoch, span, rules->now_ms, &age);

	if (!span->finished)
		return false;
	if (closed && span->kind == CKPX_KIND_SEGMENT)
		return span->epoch != history->head->epoch;
	if (closed && age >= rules->keep_ms)
		return true;
	if (closed && span->epoch <= rules->closed_upto)
	{
		entry->lost = true;
		return true;
	}

	switch ((CkpxEntryKind) span->kind)
	{
		case CKPX_KIND_INCREMENTAL:
		case CKPX_KIND_GLOBAL:
			if (!is_covered(epoch, span, steps))
				return false;
			break;
		case CKPX_KIND_BACKUP:
			if (!backup_may_go(history, epoch, span, steps))
				return false;
			break;
		default:
			return false;
	}
	if (is_doubtful(history, span))
		return false;
	return rules->ignore_age ||
		ckpx_age_ms(entry->clock_ms != 0 ? entry->clock_ms :
					history->loaded_ms, rules->now_ms) >= rules->keep_ms;
}

static void
judge(const CkpxGcHistory *history, const Epoch *epoch,
	  CkpxGcEntry *entry, const CkpxGcRules *rules, uint64 *steps)
{
	(*steps)++;
	entry->lost = false;
	entry->goes = (rules->upto == InvalidXLogRecPtr ||
				   entry->span.end_lsn <= rules->upto) &&
		is_dispensable(history, epoch, entry, rules, steps) &&
		!is_pinned(history, entry, rules->now_ms) &&
		(!entry->post_pending || rules->ignore_commands);
	entry->lost = entry->lost && entry->goes;
}

static void
plan_epoch(const CkpxGcHistory *history, const Epoch *epoch,
		   const CkpxGcRules *rules, uint64 *steps)
{
	XLogRecPtr	kept_from = PG_UINT64_MAX;

	for (uint32 i = epoch->nentries; i-- > 0;)
	{
		CkpxGcEntry *entry = &epoch->entries[i];

		if (entry->span.kind != CKPX_KIND_BACKUP)
			judge(history, epoch, entry, rules, steps);
		if (entry->span.kind == CKPX_KIND_INCREMENTAL && !entry->goes)
			kept_from = Min(kept_from, entry->span.start_lsn);
		entry->kept_from = kept_from;
	}
	for (uint32 i = 0; i < epoch->nentries; i++)
	{
		if (epoch->entries[i].span.kind == CKPX_KIND_BACKUP)
			judge(history, epoch, &epoch->entries[i], rules, steps);
	}
}

uint64
ckpx_gc_plan(CkpxGcEntry *entries, uint32 nentries,
			 const CkpxGcHistory *history, const CkpxGcRules *rules)
{
	Epoch		epoch;
	CkpxEpochView view;
	bool		more = ckpx_epoch_newest(history->head, &view);
	uint64		steps = 0;
	uint32		nglobals = 0;
	uint32		end = nentries;

	for (uint32 i = 0; i < nentries; i++)
		nglobals += entries[i].span.kind == CKPX_KIND_GLOBAL;
	epoch.covers = palloc(sizeof(Cover) * Max(nglobals, 1));

	while (end > 0)
	{
		uint32		number = entries[end - 1].span.epoch;
		uint32		begin = end;

		while (begin > 0 && entries[begin - 1].span.epoch == number)
			begin--;
		while (more && view.epoch > number)
			more = ckpx_epoch_older(history->head, &view);

		epoch.entries = &entries[begin];
		epoch.nentries = end - begin;
		epoch.closed_age = closed_age(history->head, number, rules->now_ms);
		list_covers(&epoch, more && view.epoch == number ? view.limit : 0);
		plan_epoch(history, &epoch, rules, &steps);
		end = begin;
	}
	pfree(epoch.covers);
	return steps;
}
