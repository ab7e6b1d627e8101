/*-------------------------------------------------------------------------
 *
 * timeline.c
 *		ckpx_timeline and ckpx_timeline_svg: pictures of the history.
 *
 * What they show is gathered here and drawn by core/picture.  Entries are
 * copied under the lock, a turn at a time, and all else in one piece behind
 * them, into memory that was there before.  Layers are in no entry: those of
 * the newest global of each lane are read from the head of its file, without
 * the lock.  A global that is gone by then, or cannot be read, is drawn
 * without layers.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "api/api.h"
#include "api/wait.h"
#include "core/picture/svg.h"
#include "core/picture/text.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "server/base/entry_walk.h"
#include "server/store/object_file.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(ckpx_timeline);
PG_FUNCTION_INFO_V1(ckpx_timeline_svg);

/* Write a time in the session's time zone, in one form for all sessions. */
static void
format_time(char *text, int64 time)
{
	struct pg_tm tm;
	fsec_t		fsec;
	int			tz;

	if (timestamp2tm(time, &tz, &tm, &fsec, NULL, NULL) != 0)
		memset(&tm, 0, sizeof(tm));
	snprintf(text, CKPX_TIME_TEXT_MAX, "%04d-%02d-%02d %02d:%02d:%02d",
			 tm.tm_year, tm.tm_mon, tm.tm_mday, tm.tm_hour, tm.tm_min,
			 tm.tm_sec);
}

/* Copy what is looked at in an entry. */
static void
copy_entry(CkpxTimelineEntry *copy, const CkpxEntry *entry, uint32 index)
{
	copy->span = ckpx_entry_store_span(CkpxShared->store, index);
	copy->span.finished = (entry->state == CKPX_ENTRY_FINISHED);
	copy->running = (entry->state == CKPX_ENTRY_RUNNING);
	copy->cut_at = entry->range.created_at;
	copy->size_bytes = entry->size_bytes;
}

static void
copy_entries(CkpxTimelineInput *in)
{
	Size		room = Max(CkpxShared->store->max_entries, 1);
	CkpxTimelineEntry *entries = palloc(sizeof(CkpxTimelineEntry) * room);
	char		waiting_for[sizeof(((CkpxEntry *) NULL)->waiting_for)] = "";
	CkpxEntryWalk walk = {0};

	while (ckpx_entry_walk_next(&walk, LW_SHARED))
	{
		for (uint32 i = walk.begin; i < walk.end && in->nentries < room; i++)
		{
			const CkpxEntry *entry = ckpx_entry_store_at(CkpxShared->store,
														 i);

			if (entry->kind == CKPX_KIND_SEGMENT)
				continue;
			copy_entry(&entries[in->nentries++], entry, i);
			if (entry->kind == CKPX_KIND_INCREMENTAL &&
				entry->state != CKPX_ENTRY_FINISHED)
				strlcpy(waiting_for, entry->waiting_for, sizeof(waiting_for));
		}
	}
	in->entries = entries;
	in->waiting_for = ckpx_valid_text(waiting_for);
}

/* Of ckpx_history the checkpoints of PostgreSQL. */
static void
choose_points(CkpxTimelineInput *in, const CkpxHistory *history)
{
	CkpxTimelinePoint *points =
		palloc(sizeof(CkpxTimelinePoint) * CKPX_HISTORY_SIZE);
	uint64		nitems = Min(history->nseen, CKPX_HISTORY_SIZE);

	for (uint64 i = history->nseen - nitems; i < history->nseen; i++)
	{
		const CkpxHistoryItem *item = &history->items[i % CKPX_HISTORY_SIZE];
		CkpxTimelinePoint *point = &points[in->npoints];

		if (ckpx_history_is_own(item->kind))
			continue;
		point->lsn = item->start_lsn != InvalidXLogRecPtr ?
			item->start_lsn : item->end_lsn;
		point->time = item->started_at;
		point->kind = item->kind == CKPX_HISTORY_ONLINE ? CKPX_POINT_ONLINE :
			item->kind == CKPX_HISTORY_SHUTDOWN ? CKPX_POINT_SHUTDOWN :
			item->kind == CKPX_HISTORY_RESTARTPOINT ?
			CKPX_POINT_RESTARTPOINT : CKPX_POINT_END_OF_RECOVERY;
		in->npoints++;
	}
	in->points = points;
}

/* Copy all but the entries. */
static void
copy_head(CkpxTimelineInput *in)
{
	const CkpxSharedState *shared = CkpxShared;
	CkpxGap    *gaps = palloc(sizeof(CkpxGap) * CKPX_MAX_GAPS);
	CkpxPin    *pins = palloc(sizeof(CkpxPin) * CKPX_MAX_PINS);
	CkpxHistory *history = palloc(sizeof(CkpxHistory));
	CkpxProblem problem;

	in->flushed_lsn = RecoveryInProgress() ? GetXLogReplayRecPtr(NULL) :
		GetFlushRecPtr(NULL);

	LWLockAcquire(shared->lock, LW_SHARED);
	in->epoch = shared->store->epoch;
	in->timeline = shared->store->timeline;
	in->epoch_start = shared->store->epoch_start;
	in->checkpointed_lsn = ckpx_entry_store_checkpointed(shared->store);
	in->collected_lsn = shared->collected_lsn;
	in->released_lsn = shared->released_lsn;
	in->ngaps = shared->store->ngaps;
	memcpy(gaps, shared->store->gaps, sizeof(CkpxGap) * in->ngaps);
	in->npins = shared->npins;
	memcpy(pins, shared->pins, sizeof(CkpxPin) * in->npins);
	memcpy(history, &shared->history, sizeof(CkpxHistory));
	if (!ckpx_find_problem(CKPX_ALL_WORKERS, &problem))
		problem.text[0] = '\0';
	LWLockRelease(shared->lock);

	/* what was flushed after the look may be collected by now */
	in->flushed_lsn = Max(in->flushed_lsn, in->collected_lsn);
	for (uint32 i = 0; i < in->ngaps; i++)
		strlcpy(gaps[i].reason, ckpx_valid_text(gaps[i].reason),
				sizeof(gaps[i].reason));
	for (uint32 i = 0; i < in->npins; i++)
		strlcpy(pins[i].name, ckpx_valid_text(pins[i].name),
				sizeof(pins[i].name));
	in->gaps = gaps;
	in->pins = pins;
	in->problem = ckpx_valid_text(problem.text);
	choose_points(in, history);
	pfree(history);
}

/* Read the layers of the newest global of a lane. */
static void
read_layers(const CkpxTimelineInput *in, CkpxLane *lane)
{
	const CkpxEntrySpan *span;
	CkpxLayer  *layers;
	CkpxEntry	entry;

	if (lane->newest_global < 0)
		return;
	span = &in->entries[lane->newest_global].span;
	layers = palloc(sizeof(CkpxLayer) * CKPX_MAX_LAYERS);
	memset(&entry, 0, sizeof(entry));
	entry.kind = CKPX_KIND_GLOBAL;
	entry.range.epoch = span->epoch;
	entry.range.timeline = span->timeline;
	entry.range.start_lsn = span->start_lsn;
	entry.range.end_lsn = span->end_lsn;
	entry.version = span->version;
	lane->nlayers = ckpx_object_file_layers(&entry, layers);
	lane->layers = layers;
}

/* Gather all, in memory of the current context. */
static void
prepare(CkpxTimeline *timeline, CkpxTimelineInput *in)
{
	ckpx_require_preload();
	ckpx_wait_for_view();

	memset(in, 0, sizeof(CkpxTimelineInput));
	in->now = GetCurrentTimestamp();
	in->encoding = GetDatabaseEncoding();
	in->format_time = format_time;
	copy_entries(in);
	copy_head(in);
	ckpx_timeline_prepare(timeline, in);
	for (uint32 i = 0; i < timeline->nlanes; i++)
	{
		CHECK_FOR_INTERRUPTS();
		read_layers(in, &timeline->lanes[i]);
	}
}

/* The lines of a text; *line moves on to the next one. */
static Datum
next_line(char **line)
{
	char	   *end = strchr(*line, '\n');
	Datum		value = PointerGetDatum(cstring_to_text_with_len(*line,
																 end - *line));

	*line = end + 1;
	return value;
}

Datum
ckpx_timeline(PG_FUNCTION_ARGS)
{
	FuncCallContext *context;
	char	   *line;

	if (SRF_IS_FIRSTCALL())
	{
		int			width;
		CkpxTimeline timeline;
		CkpxTimelineInput in;
		StringInfoData picture;
		MemoryContext old;

		ckpx_require_preload();
		ckpx_require_argument(fcinfo, 0, "width");
		width = PG_GETARG_INT32(0);
		if (width < CKPX_TEXT_MIN_WIDTH || width > CKPX_TEXT_MAX_WIDTH)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("width must be between %d and %d",
							CKPX_TEXT_MIN_WIDTH, CKPX_TEXT_MAX_WIDTH)));

		context = SRF_FIRSTCALL_INIT();
		old = MemoryContextSwitchTo(context->multi_call_memory_ctx);
		initStringInfo(&picture);
		prepare(&timeline, &in);
		ckpx_text_draw(&timeline, width, &picture);
		context->user_fctx = picture.data;
		MemoryContextSwitchTo(old);
	}
	context = SRF_PERCALL_SETUP();
	line = context->user_fctx;
	if (*line != '\0')
	{
		Datum		value = next_line(&line);

		context->user_fctx = line;
		SRF_RETURN_NEXT(context, value);
	}
	SRF_RETURN_DONE(context);
}

Datum
ckpx_timeline_svg(PG_FUNCTION_ARGS)
{
	CkpxTimeline timeline;
	CkpxTimelineInput in;
	StringInfoData picture;

	initStringInfo(&picture);
	prepare(&timeline, &in);
	ckpx_svg_draw(&timeline, &picture);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(picture.data, picture.len));
}
