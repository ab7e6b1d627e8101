/*-------------------------------------------------------------------------
 *
 * timeline.c
 *		What a picture of the history shows.
 *
 * Which part of an old epoch still counts follows the rule of entry_store.h:
 * of an epoch nothing counts that ends behind the from_lsn or the to_lsn of
 * the gap of any later one.
 *
 *-------------------------------------------------------------------------
 */
#include "core/picture/timeline.h"

/* The newest part holds so many incrementals, ... */
#define TAIL_INCREMENTALS	10

/* ... and is drawn once more where it has less than this of the columns. */
#define TAIL_SHARE			0.25

/* So many gaps are listed. */
#define LISTED_GAPS			6

/* What of an epoch ends behind this does not count any more. */
static XLogRecPtr
epoch_limit(const CkpxTimelineInput *in, uint32 epoch)
{
	XLogRecPtr	limit = PG_UINT64_MAX;
	uint32		ngaps = 0;

	for (uint32 i = 0; i < in->ngaps; i++)
	{
		const CkpxGap *gap = &in->gaps[i];

		if (gap->damaged || gap->epoch <= epoch)
			continue;
		limit = Min(limit, Min(gap->from_lsn, gap->to_lsn));
		ngaps++;
	}
	/* each later epoch has one, unless it is forgotten */
	return ngaps == in->epoch - epoch ? limit : InvalidXLogRecPtr;
}

/* The newest epoch below 'epoch' of which anything is known; 0: none. */
static uint32
epoch_before(const CkpxTimelineInput *in, uint32 epoch)
{
	uint32		found = 0;

	for (uint32 i = 0; i < in->ngaps; i++)
	{
		if (in->gaps[i].epoch < epoch)
			found = Max(found, in->gaps[i].epoch);
	}
	for (uint32 i = in->nentries; i-- > 0;)
	{
		if (in->entries[i].span.epoch < epoch)
		{
			found = Max(found, in->entries[i].span.epoch);
			break;
		}
	}
	return found;
}

/* Find a lane's entries, and count them. */
static void
fill_lane(const CkpxTimelineInput *in, CkpxLane *lane)
{
	lane->newest_global = -1;
	lane->begin = lane->end = 0;
	for (uint32 i = 0; i < in->nentries; i++)
	{
		const CkpxTimelineEntry *entry = &in->entries[i];

		if (entry->span.epoch > lane->epoch)
			break;
		if (!lane->folded && entry->span.epoch < lane->epoch)
			lane->begin = i + 1;
		else if (entry->span.finished)
		{
			lane->size_bytes += entry->size_bytes;
			if (entry->span.kind == CKPX_KIND_INCREMENTAL)
				lane->nincrementals++;
			else if (entry->span.kind == CKPX_KIND_BACKUP)
				lane->nbackups++;
			else if (entry->span.kind == CKPX_KIND_GLOBAL)
			{
				lane->nglobals++;
				if (!lane->folded)
					lane->newest_global = i;
			}
		}
		lane->end = i + 1;
	}
	if (lane->folded)
		return;
	if (lane->epoch == in->epoch)
		lane->start_lsn = in->epoch_start;
	for (uint32 i = 0; i < in->ngaps; i++)
	{
		if (in->gaps[i].epoch == lane->epoch && !in->gaps[i].damaged)
			lane->start_lsn = in->gaps[i].to_lsn;
	}
}

static void
make_lanes(CkpxTimeline *timeline)
{
	const CkpxTimelineInput *in = timeline->in;
	uint32		epoch = in->epoch;

	while (epoch != 0)
	{
		CkpxLane   *lane = &timeline->lanes[timeline->nlanes++];

		memset(lane, 0, sizeof(CkpxLane));
		lane->epoch = epoch;
		epoch = epoch_before(in, epoch);
		if (timeline->nlanes == CKPX_MAX_LANES && epoch != 0)
		{
			lane->folded = true;
			epoch = 0;
		}
		fill_lane(in, lane);
	}
}

static void
show(CkpxTimeline *timeline, XLogRecPtr from, XLogRecPtr to)
{
	CkpxInterval *interval = &timeline->shown[timeline->nshown];

	if (from == InvalidXLogRecPtr || to < from)
		return;
	interval->from = from;
	interval->to = to;
	if (timeline->nshown++ == 0)
	{
		timeline->from = from;
		timeline->to = to;
	}
	timeline->from = Min(timeline->from, from);
	timeline->to = Max(timeline->to, to);
}

/* Gather all that has a place on the axis. */
static void
find_shown(CkpxTimeline *timeline)
{
	const CkpxTimelineInput *in = timeline->in;

	timeline->shown = palloc(sizeof(CkpxInterval) *
							 ((Size) in->nentries + 2 * in->ngaps +
							  in->npins + 3));
	for (uint32 i = 0; i < in->nentries; i++)
		show(timeline, in->entries[i].span.start_lsn,
			 in->entries[i].span.end_lsn);
	for (uint32 i = 0; i < in->ngaps; i++)
	{
		show(timeline, in->gaps[i].from_lsn, in->gaps[i].from_lsn);
		show(timeline, in->gaps[i].to_lsn, in->gaps[i].to_lsn);
	}
	for (uint32 i = 0; i < in->npins; i++)
		show(timeline, in->pins[i].lsn, in->pins[i].lsn);
	if (in->epoch != 0)
	{
		show(timeline, in->epoch_start, in->epoch_start);
		show(timeline, in->checkpointed_lsn,
			 Max(in->collected_lsn, in->flushed_lsn));
		show(timeline, in->released_lsn, in->flushed_lsn);
	}
}

/* The newest part: what holds WAL, and the last incrementals. */
static XLogRecPtr
find_tail(const CkpxTimeline *timeline)
{
	const CkpxTimelineInput *in = timeline->in;
	XLogRecPtr	from = timeline->to;
	int			n = 0;

	if (in->released_lsn != InvalidXLogRecPtr)
		from = Min(from, in->released_lsn);
	for (uint32 i = in->nentries; i-- > 0 && n < TAIL_INCREMENTALS;)
	{
		const CkpxEntrySpan *span = &in->entries[i].span;

		if (span->epoch != in->epoch)
			break;
		if (span->kind != CKPX_KIND_INCREMENTAL)
			continue;
		from = Min(from, span->start_lsn);
		n++;
	}
	return Max(from, in->epoch_start);
}

void
ckpx_timeline_prepare(CkpxTimeline *timeline, const CkpxTimelineInput *in)
{
	memset(timeline, 0, sizeof(CkpxTimeline));
	timeline->in = in;
	make_lanes(timeline);
	find_shown(timeline);
	timeline->tail_from = find_tail(timeline);
}

void
ckpx_timeline_axis(const CkpxTimeline *timeline, int ncolumns, CkpxAxis *axis)
{
	ckpx_axis_make(axis, timeline->shown, timeline->nshown, timeline->from,
				   timeline->to, ncolumns);
}

bool
ckpx_timeline_tail_axis(const CkpxTimeline *timeline, const CkpxAxis *whole,
						CkpxAxis *axis)
{
	if (timeline->tail_from >= timeline->to ||
		ckpx_axis_place(whole, timeline->tail_from) <
		(1 - TAIL_SHARE) * whole->ncolumns)
		return false;
	ckpx_axis_make(axis, timeline->shown, timeline->nshown,
				   timeline->tail_from, timeline->to, whole->ncolumns);
	return true;
}

/* Let these columns be at least as bad as 'value'. */
static void
paint(const CkpxAxis *axis, XLogRecPtr from, XLogRecPtr to, uint8 value,
	  uint8 *cells)
{
	int			first,
				last;

	if (from >= to || !ckpx_axis_columns(axis, from, to, &first, &last))
		return;
	for (int i = first; i <= last; i++)
		cells[i] = Max(cells[i], value);
}

void
ckpx_timeline_paint_map(const CkpxTimeline *timeline, const CkpxLane *lane,
						const CkpxAxis *axis, uint8 *cells)
{
	const CkpxTimelineInput *in = timeline->in;
	uint32		epoch = 0;
	XLogRecPtr	limit = InvalidXLogRecPtr;

	memset(cells, CKPX_CELL_NONE, axis->ncolumns);
	for (uint32 i = lane->begin; i < lane->end; i++)
	{
		const CkpxEntrySpan *span = &in->entries[i].span;

		/* a backup is a part of the chain only at the end of a closed one */
		if (!span->finished ||
			(span->kind == CKPX_KIND_BACKUP && span->epoch == in->epoch))
			continue;
		if (span->epoch != epoch)
		{
			epoch = span->epoch;
			limit = epoch_limit(in, epoch);
		}
		paint(axis, span->start_lsn, span->end_lsn,
			  span->end_lsn <= limit ? CKPX_CELL_KNOWN : CKPX_CELL_LEFT,
			  cells);
	}
	if (lane->epoch == in->epoch)
		paint(axis, in->checkpointed_lsn, in->collected_lsn, CKPX_CELL_MEMORY,
			  cells);
	for (uint32 i = 0; i < in->ngaps; i++)
	{
		const CkpxGap *gap = &in->gaps[i];

		if (gap->from_lsn != InvalidXLogRecPtr && gap->epoch <= lane->epoch &&
			(lane->folded || gap->epoch == lane->epoch))
			paint(axis, gap->from_lsn, gap->to_lsn,
				  gap->damaged ? CKPX_CELL_LOST : CKPX_CELL_UNTRACKED, cells);
	}
}

void
ckpx_timeline_paint_wal(const CkpxTimeline *timeline, const CkpxAxis *axis,
						uint8 *cells)
{
	const CkpxTimelineInput *in = timeline->in;

	memset(cells, CKPX_HOLD_NONE, axis->ncolumns);
	if (in->released_lsn == InvalidXLogRecPtr)
		return;
	paint(axis, in->released_lsn, in->flushed_lsn, CKPX_HOLD_DONE, cells);
	if (in->checkpointed_lsn != InvalidXLogRecPtr)
		paint(axis, Max(in->checkpointed_lsn, in->released_lsn),
			  in->flushed_lsn, CKPX_HOLD_MEMORY, cells);
	for (uint32 i = in->nentries; i-- > 0;)
	{
		const CkpxEntrySpan *span = &in->entries[i].span;

		if (span->epoch != in->epoch)
			break;
		if (span->kind == CKPX_KIND_INCREMENTAL && !span->finished)
			paint(axis, span->start_lsn, span->end_lsn, CKPX_HOLD_PENDING,
				  cells);
	}
	if (in->collected_lsn != InvalidXLogRecPtr)
		paint(axis, in->collected_lsn, in->flushed_lsn, CKPX_HOLD_UNREAD,
			  cells);
}

void
ckpx_timeline_paint_entries(const CkpxTimeline *timeline, const CkpxLane *lane,
							const CkpxAxis *axis, CkpxEntryKind kind,
							bool by_end, CkpxBucket *buckets)
{
	const CkpxTimelineInput *in = timeline->in;

	memset(buckets, 0, sizeof(CkpxBucket) * axis->ncolumns);
	for (uint32 i = lane->begin; i < lane->end; i++)
	{
		const CkpxEntrySpan *span = &in->entries[i].span;
		CkpxBucket *bucket;
		int			first,
					last;

		if (span->kind != kind ||
			!ckpx_axis_columns(axis, span->start_lsn, span->end_lsn,
							   &first, &last))
			continue;
		bucket = &buckets[by_end ? last : first];
		if (bucket->count++ == 0)
			bucket->first = i;
		bucket->last = i;
		bucket->unfinished = !span->finished;
		if (by_end)
			continue;
		for (int column = first + 1; column <= last; column++)
		{
			buckets[column].inside = true;
			buckets[column].unfinished = !span->finished;
		}
	}
}

/*
 * The time of the newest cut in the lane at or before 'lsn'; 0: none.  A
 * global's own time is that of its merge, later than the cut at its end, which
 * its newest layer has.
 */
static int64
lane_time(const CkpxTimelineInput *in, const CkpxLane *lane, XLogRecPtr lsn)
{
	XLogRecPtr	known = InvalidXLogRecPtr;
	int64		time = 0;

	for (uint32 i = lane->begin; i < lane->end; i++)
	{
		const CkpxTimelineEntry *entry = &in->entries[i];

		if (entry->span.kind != CKPX_KIND_GLOBAL &&
			entry->span.end_lsn <= lsn && entry->cut_at != 0)
		{
			known = entry->span.end_lsn;
			time = entry->cut_at;
		}
	}
	for (uint32 i = lane->nlayers; i-- > 0;)
	{
		if (lane->layers[i].end_lsn <= lsn && lane->layers[i].end_lsn > known)
			time = lane->layers[i].end_time;
	}
	for (uint32 i = 0; i < in->ngaps && time == 0; i++)
	{
		if (in->gaps[i].epoch == lane->epoch && !in->gaps[i].damaged &&
			in->gaps[i].to_lsn <= lsn)
			time = in->gaps[i].detected_at;
	}
	return time;
}

int64
ckpx_timeline_time(const CkpxTimeline *timeline, XLogRecPtr lsn)
{
	const CkpxTimelineInput *in = timeline->in;

	if (lsn >= in->flushed_lsn)
		return in->now;
	for (uint32 i = 0; i < timeline->nlanes; i++)
	{
		const CkpxLane *lane = &timeline->lanes[i];
		int64		time;

		if (lane->folded || lane->start_lsn > lsn)
			continue;
		time = lane_time(in, lane, lsn);
		if (time != 0)
			return time;
	}
	return 0;
}

void
ckpx_timeline_bytes(StringInfo out, uint64 bytes)
{
	static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB"};
	int			unit = 0;

	/* as pg_size_pretty() */
	while (bytes >= 10 * 1024 && unit < lengthof(units) - 1)
	{
		bytes = (bytes + 512) / 1024;
		unit++;
	}
	appendStringInfo(out, UINT64_FORMAT " %s", bytes, units[unit]);
}

static void
put_count(StringInfo out, uint32 count, const char *one)
{
	if (count > 0)
		appendStringInfo(out, ", %u %s%s", count, one, count == 1 ? "" : "s");
}

void
ckpx_timeline_lane_text(const CkpxTimeline *timeline, const CkpxLane *lane,
						StringInfo out)
{
	if (lane->folded)
		appendStringInfo(out, "epochs up to %u", lane->epoch);
	else
		appendStringInfo(out, "epoch %u", lane->epoch);
	if (lane->start_lsn != InvalidXLogRecPtr)
		appendStringInfo(out, " from %X/%X", LSN_FORMAT_ARGS(lane->start_lsn));
	put_count(out, lane->nincrementals, "incremental");
	put_count(out, lane->nglobals, "global");
	put_count(out, lane->nbackups, "backup");
	if (lane->nincrementals + lane->nglobals + lane->nbackups == 0)
		appendStringInfoString(out, ", no checkpoint");
	else
	{
		appendStringInfoString(out, ", ");
		ckpx_timeline_bytes(out, lane->size_bytes);
	}
}

/* " (2000-01-01 00:00:00)", or nothing. */
static void
put_time(const CkpxTimelineInput *in, StringInfo out, int64 time)
{
	char		text[CKPX_TIME_TEXT_MAX];

	if (time == 0)
		return;
	in->format_time(text, time);
	appendStringInfo(out, " (%s)", text);
}

/* An age in its largest unit, as "3 h". */
static void
put_age(const CkpxTimelineInput *in, StringInfo out, int64 time)
{
	int64		seconds = Max((in->now - time) / 1000000, 0);

	if (seconds < 120)
		appendStringInfo(out, "%d s", (int) seconds);
	else if (seconds < 120 * 60)
		appendStringInfo(out, "%d min", (int) (seconds / 60));
	else if (seconds < 48 * 3600)
		appendStringInfo(out, "%d h", (int) (seconds / 3600));
	else
		appendStringInfo(out, "%d days", (int) (seconds / 86400));
}

static void
put_covered(const CkpxTimeline *timeline, StringInfo out)
{
	const CkpxTimelineInput *in = timeline->in;
	const CkpxLane *lane = &timeline->lanes[0];
	XLogRecPtr	from = PG_UINT64_MAX;
	uint32		nholes = 0;

	for (uint32 i = lane->begin; i < lane->end; i++)
	{
		if (in->entries[i].span.finished)
			from = Min(from, in->entries[i].span.start_lsn);
	}
	if (from == PG_UINT64_MAX)
		from = in->epoch_start;
	for (uint32 i = 0; i < in->ngaps; i++)
	{
		if (in->gaps[i].damaged && in->gaps[i].epoch == in->epoch)
			nholes++;
	}
	appendStringInfo(out, "covered: %X/%X to %X/%X in epoch %u, timeline %u; ",
					 LSN_FORMAT_ARGS(from),
					 LSN_FORMAT_ARGS(Max(in->collected_lsn,
										 in->checkpointed_lsn)),
					 in->epoch, in->timeline);
	if (nholes == 0)
		appendStringInfoString(out, "no hole\n");
	else
		appendStringInfo(out, "%u hole%s in it\n", nholes,
						 nholes == 1 ? "" : "s");
}

static void
put_wal(const CkpxTimelineInput *in, StringInfo out)
{
	if (in->released_lsn == InvalidXLogRecPtr ||
		in->released_lsn >= in->flushed_lsn)
	{
		appendStringInfoString(out, "WAL held: none\n");
		return;
	}
	appendStringInfoString(out, "WAL held: ");
	ckpx_timeline_bytes(out, in->flushed_lsn - in->released_lsn);
	appendStringInfo(out, " from %X/%X on",
					 LSN_FORMAT_ARGS(in->released_lsn));
	if (in->collected_lsn != InvalidXLogRecPtr &&
		in->collected_lsn < in->flushed_lsn)
	{
		appendStringInfoString(out, ", of these ");
		ckpx_timeline_bytes(out, in->flushed_lsn - in->collected_lsn);
		appendStringInfoString(out, " not decoded");
	}
	for (uint32 i = in->nentries; i-- > 0;)
	{
		const CkpxTimelineEntry *entry = &in->entries[i];

		if (entry->span.finished || entry->span.kind != CKPX_KIND_INCREMENTAL)
			continue;
		appendStringInfo(out, "; an incremental is %s for ",
						 entry->running ? "being written" : "pending");
		put_age(in, out, entry->cut_at);
		if (in->waiting_for[0] != '\0')
			appendStringInfo(out, ", waiting for %s", in->waiting_for);
		break;
	}
	appendStringInfoChar(out, '\n');
}

static void
put_global(const CkpxTimeline *timeline, StringInfo out)
{
	const CkpxLane *lane = &timeline->lanes[0];
	const CkpxTimelineEntry *entry;

	if (lane->newest_global < 0)
	{
		appendStringInfoString(out, "newest global: none\n");
		return;
	}
	entry = &timeline->in->entries[lane->newest_global];
	appendStringInfo(out, "newest global: ends at %X/%X",
					 LSN_FORMAT_ARGS(entry->span.end_lsn));
	if (entry->cut_at != 0)
	{
		appendStringInfoString(out, ", ");
		put_age(timeline->in, out, entry->cut_at);
		appendStringInfoString(out, " old");
	}
	if (lane->nlayers > 0)
		appendStringInfo(out, ", %u layer%s", lane->nlayers,
						 lane->nlayers == 1 ? "" : "s");
	appendStringInfoChar(out, '\n');
}

/* Pins are named in the picture by letters, in their order. */
static void
put_pins(const CkpxTimelineInput *in, StringInfo out)
{
	appendStringInfoString(out, in->npins == 0 ? "pins: none" : "pins: ");
	for (uint32 i = 0; i < in->npins; i++)
	{
		if (i > 0)
			appendStringInfoString(out, ", ");
		if (i < 26)
			appendStringInfo(out, "%c ", 'a' + (int) i);
		appendStringInfo(out, "%s at %X/%X", in->pins[i].name,
						 LSN_FORMAT_ARGS(in->pins[i].lsn));
	}
	appendStringInfoChar(out, '\n');
}

void
ckpx_timeline_facts(const CkpxTimeline *timeline, StringInfo out)
{
	const CkpxTimelineInput *in = timeline->in;

	if (in->problem[0] != '\0')
		appendStringInfo(out, "problem: %s\n", in->problem);
	if (in->epoch == 0)
		appendStringInfoString(out, "covered: nothing, no epoch has begun\n");
	else
	{
		put_covered(timeline, out);
		put_wal(in, out);
		put_global(timeline, out);
	}
	put_pins(in, out);
}

static void
put_gap(const CkpxTimelineInput *in, const CkpxGap *gap, StringInfo out)
{
	if (gap->damaged)
		appendStringInfo(out, "lost (!): %X/%X to %X/%X of epoch %u",
						 LSN_FORMAT_ARGS(gap->from_lsn),
						 LSN_FORMAT_ARGS(gap->to_lsn), gap->epoch);
	else if (gap->from_lsn == InvalidXLogRecPtr)
		appendStringInfo(out, "not tracked: before %X/%X, epoch %u",
						 LSN_FORMAT_ARGS(gap->to_lsn), gap->epoch);
	else if (gap->from_lsn < gap->to_lsn)
		appendStringInfo(out, "not tracked (?): %X/%X to %X/%X, before epoch %u",
						 LSN_FORMAT_ARGS(gap->from_lsn),
						 LSN_FORMAT_ARGS(gap->to_lsn), gap->epoch);
	else
		appendStringInfo(out, "epoch %u begins at %X/%X, older ones count up to %X/%X",
						 gap->epoch, LSN_FORMAT_ARGS(gap->to_lsn),
						 LSN_FORMAT_ARGS(gap->from_lsn));
	appendStringInfo(out, ": %s", gap->reason);
	put_time(in, out, gap->detected_at);
	appendStringInfoChar(out, '\n');
}

void
ckpx_timeline_gaps(const CkpxTimeline *timeline, StringInfo out)
{
	const CkpxTimelineInput *in = timeline->in;
	uint32		nlisted = 0;
	uint32		nmore = 0;

	for (uint32 i = in->ngaps; i-- > 0;)
	{
		/* a history begins somewhere */
		if (in->gaps[i].epoch == 1 && !in->gaps[i].damaged)
			continue;
		if (nlisted < LISTED_GAPS)
		{
			put_gap(in, &in->gaps[i], out);
			nlisted++;
		}
		else
			nmore++;
	}
	if (nmore > 0)
		appendStringInfo(out, "%u more gaps: see ckpx_gaps\n", nmore);
}
