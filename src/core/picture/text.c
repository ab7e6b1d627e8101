/*-------------------------------------------------------------------------
 *
 * text.c
 *		The history as lines of text.
 *
 * A row is painted column by column into a line; what characters it took is
 * noted, and the legend explains those.
 *
 *-------------------------------------------------------------------------
 */
#include "core/picture/text.h"

#include "mb/pg_wchar.h"

/* In front of each row. */
#define LABEL_WIDTH			7

/* From one label of the axis to the next. */
#define TICK_COLUMNS		20
#define TICK_COLUMNS_NARROW 16

/* The rows, each with characters of its own. */
typedef enum Row
{
	ROW_MAP = 0,
	ROW_INCREMENTAL,
	ROW_GLOBAL,
	ROW_ENDS,					/* other globals, backups */
	ROW_PINS,
	ROW_WAL,
	ROW_POINTS,
	ROW_AXIS,
	NROWS
} Row;

typedef struct Legend
{
	Row			row;
	char		character;
	const char *text;
} Legend;

static const Legend legend[] = {
	{ROW_MAP, '=', "known"},
	{ROW_MAP, '-', "known, in memory only"},
	{ROW_MAP, 'x', "of WAL that was rolled back, does not count"},
	{ROW_MAP, '?', "not tracked"},
	{ROW_MAP, '!', "lost"},
	{ROW_INCREMENTAL, '|', "one begins"},
	{ROW_INCREMENTAL, '.', "goes on"},
	{ROW_INCREMENTAL, '9', "that many begin"},
	{ROW_INCREMENTAL, 'X', "ten or more"},
	{ROW_INCREMENTAL, 'C', "a hundred or more"},
	{ROW_INCREMENTAL, 'M', "a thousand or more"},
	{ROW_INCREMENTAL, 'p', "pending or being written"},
	{ROW_GLOBAL, '[', "the newest global begins"},
	{ROW_GLOBAL, '-', "goes on"},
	{ROW_GLOBAL, '|', "a layer ends"},
	{ROW_GLOBAL, ']', "it ends"},
	{ROW_ENDS, '|', "one ends"},
	{ROW_ENDS, '9', "that many end"},
	{ROW_ENDS, 'X', "ten or more"},
	{ROW_ENDS, 'C', "a hundred or more"},
	{ROW_ENDS, 'M', "a thousand or more"},
	{ROW_ENDS, 'p', "pending or being written"},
	{ROW_PINS, 'a', "one pin, listed above"},
	{ROW_PINS, '9', "that many"},
	{ROW_PINS, 'X', "ten or more"},
	{ROW_WAL, 'h', "held, in a checkpoint already"},
	{ROW_WAL, 'm', "held, decoded"},
	{ROW_WAL, 'p', "held for the pending incremental"},
	{ROW_WAL, 'u', "held, not decoded yet"},
	{ROW_POINTS, 'o', "online checkpoint of PostgreSQL"},
	{ROW_POINTS, 's', "shutdown"},
	{ROW_POINTS, 'e', "end of recovery"},
	{ROW_POINTS, 'r', "restartpoint"},
	{ROW_POINTS, '9', "that many"},
	{ROW_POINTS, 'X', "ten or more"},
	{ROW_POINTS, 'C', "a hundred or more"},
	{ROW_AXIS, '~', "cut short, nothing is there"},
};

static const char *const row_names[NROWS] = {
	"map, the worst in each column", "incr.", "global", "older, backup",
	"pins", "WAL", "PG", "axis"
};

static const char map_characters[CKPX_NCELLS] = " x-=?!";
static const char wal_characters[CKPX_NHOLDS] = " hmpu";
static const char point_characters[] = "oser";

typedef struct Drawing
{
	const CkpxTimeline *timeline;
	StringInfo	out;
	int			width;
	int			ncolumns;
	char	   *line;			/* ncolumns characters and a '\0' */
	uint8	   *cells;
	CkpxBucket *buckets;
	bool		used[NROWS][128];
} Drawing;

/* Width and bytes of the character at 'text'; what must not be written: 0. */
static int
character_at(const char *text, int encoding, int *nbytes)
{
	unsigned char c = (unsigned char) *text;

	*nbytes = 1;
	if (c < 0x20 || c == 0x7f)
		return 0;
	if (c < 0x80)
		return 1;
	*nbytes = pg_encoding_mblen_bounded(encoding, text);
	return Max(pg_encoding_dsplen(encoding, text), 0);
}

/* Append one word; returns its width, of which 'width' is the most. */
static int
put_word(StringInfo out, const char *word, const char *end, int width,
		 int encoding)
{
	int			used = 0;

	while (word < end)
	{
		int			nbytes;
		int			columns = character_at(word, encoding, &nbytes);
		bool		control = columns == 0 && nbytes == 1;

		columns = control ? 1 : columns;
		if (used + columns > width)
			break;
		if (control)
			appendStringInfoChar(out, '?');
		else
			appendBinaryStringInfo(out, word, nbytes);
		used += columns;
		word += nbytes;
	}
	return used;
}

void
ckpx_text_wrap(StringInfo out, const char *text, int width, int indent,
			   int encoding)
{
	int			used = 0;

	while (*text != '\0')
	{
		const char *end = text;
		int			columns = 0;

		if (*text == '\n' || *text == ' ')
		{
			if (*text++ == '\n')
			{
				appendStringInfoChar(out, '\n');
				used = 0;
			}
			continue;
		}
		while (*end != '\0' && *end != ' ' && *end != '\n')
		{
			int			nbytes;

			columns += Max(character_at(end, encoding, &nbytes), 0);
			end += nbytes;
		}
		if (used > 0 && used + 1 + columns > width)
		{
			appendStringInfo(out, "\n%*s", indent, "");
			used = indent;
		}
		else if (used > 0)
		{
			appendStringInfoChar(out, ' ');
			used++;
		}
		used += put_word(out, text, end, width - used, encoding);
		text = end;
	}
	if (used > 0)
		appendStringInfoChar(out, '\n');
}

/* A line of the picture, without spaces at its end. */
static void
put_line(Drawing *drawing, const char *label, Row row)
{
	int			n = drawing->ncolumns;

	while (n > 0 && drawing->line[n - 1] == ' ')
		n--;
	for (int i = 0; i < n; i++)
		drawing->used[row][(unsigned char) drawing->line[i] & 127] = true;
	appendStringInfo(drawing->out, "%-*s%.*s\n", n > 0 ? LABEL_WIDTH : 0,
					 label, n, drawing->line);
}

static void
clear_line(Drawing *drawing)
{
	memset(drawing->line, ' ', drawing->ncolumns);
	drawing->line[drawing->ncolumns] = '\0';
}

/* One character for a number above 1. */
static char
count_character(uint32 count)
{
	return count < 10 ? (char) ('0' + count) : count < 100 ? 'X' :
		count < 1000 ? 'C' : 'M';
}

static void
put_cells(Drawing *drawing, const char *label, Row row,
		  const char *characters)
{
	for (int i = 0; i < drawing->ncolumns; i++)
		drawing->line[i] = characters[drawing->cells[i]];
	put_line(drawing, label, row);
}

/* The objects of a kind; the newest global is drawn by put_global(). */
static void
put_entries(Drawing *drawing, const CkpxLane *lane, const CkpxAxis *axis,
			CkpxEntryKind kind, const char *label, Row row)
{
	bool		by_end = kind != CKPX_KIND_INCREMENTAL;
	bool		any = false;

	ckpx_timeline_paint_entries(drawing->timeline, lane, axis, kind, by_end,
								drawing->buckets);
	clear_line(drawing);
	for (int i = 0; i < drawing->ncolumns; i++)
	{
		const CkpxBucket *bucket = &drawing->buckets[i];
		uint32		count = bucket->count;

		if (kind == CKPX_KIND_GLOBAL && lane->newest_global >= 0 &&
			count > 0 && bucket->first <= lane->newest_global &&
			lane->newest_global <= bucket->last)
			count--;
		if (count > 0 || bucket->inside)
			any = true;
		if (bucket->unfinished && (count == 1 || bucket->inside))
			drawing->line[i] = 'p';
		else if (count > 1)
			drawing->line[i] = count_character(count);
		else if (count == 1)
			drawing->line[i] = '|';
		else if (bucket->inside)
			drawing->line[i] = '.';
	}
	if (any)
		put_line(drawing, label, row);
}

static void
put_global(Drawing *drawing, const CkpxLane *lane, const CkpxAxis *axis)
{
	const CkpxEntrySpan *span;
	int			first,
				last;

	if (lane->newest_global < 0)
		return;
	span = &drawing->timeline->in->entries[lane->newest_global].span;
	if (!ckpx_axis_columns(axis, span->start_lsn, span->end_lsn, &first,
						   &last))
		return;
	clear_line(drawing);
	memset(drawing->line + first, '-', last - first + 1);
	for (uint32 i = 0; i < lane->nlayers; i++)
	{
		int			begin,
					column;

		if (ckpx_axis_columns(axis, span->start_lsn, lane->layers[i].end_lsn,
							  &begin, &column) &&
			lane->layers[i].end_lsn <= axis->to)
			drawing->line[column] = '|';
	}
	if (span->start_lsn >= axis->from)
		drawing->line[first] = '[';
	drawing->line[last] = ']';
	put_line(drawing, "global", ROW_GLOBAL);
}

static void
put_lane(Drawing *drawing, const CkpxLane *lane, const CkpxAxis *axis)
{
	StringInfoData text;

	initStringInfo(&text);
	ckpx_timeline_lane_text(drawing->timeline, lane, &text);
	ckpx_text_wrap(drawing->out, text.data, drawing->width, 2,
				   drawing->timeline->in->encoding);
	pfree(text.data);

	ckpx_timeline_paint_map(drawing->timeline, lane, axis, drawing->cells);
	put_cells(drawing, "map", ROW_MAP, map_characters);
	put_entries(drawing, lane, axis, CKPX_KIND_INCREMENTAL, "incr.",
				ROW_INCREMENTAL);
	put_global(drawing, lane, axis);
	put_entries(drawing, lane, axis, CKPX_KIND_GLOBAL, "older", ROW_ENDS);
	put_entries(drawing, lane, axis, CKPX_KIND_BACKUP, "backup", ROW_ENDS);
}

/* Single LSNs: a character for one, a number for several. */
static void
put_single_lsns(Drawing *drawing, const CkpxAxis *axis, bool pins)
{
	const CkpxTimelineInput *in = drawing->timeline->in;
	uint32		n = pins ? in->npins : in->npoints;
	bool		any = false;

	memset(drawing->buckets, 0, sizeof(CkpxBucket) * drawing->ncolumns);
	clear_line(drawing);
	for (uint32 i = 0; i < n; i++)
	{
		XLogRecPtr	lsn = pins ? in->pins[i].lsn : in->points[i].lsn;
		CkpxBucket *bucket;
		int			column,
					last;

		if (!ckpx_axis_columns(axis, lsn, lsn, &column, &last))
			continue;
		any = true;
		bucket = &drawing->buckets[column];
		if (++bucket->count > 1)
			drawing->line[column] = count_character(bucket->count);
		else if (!pins)
			drawing->line[column] = point_characters[in->points[i].kind];
		else
			drawing->line[column] = i < 26 ? (char) ('a' + (int) i) : '|';
	}
	if (any)
		put_line(drawing, pins ? "pins" : "PG", pins ? ROW_PINS : ROW_POINTS);
}

/*
 * Labels of the axis.  That of its end is written first, then each of the
 * others that has room between the one before it and the end.
 */
typedef struct Labels
{
	Drawing    *drawing;
	int			from;			/* columns that are free */
	int			to;
} Labels;

static void
begin_labels(Labels *labels, Drawing *drawing, const char *at_end)
{
	int			length = (int) strlen(at_end);

	clear_line(drawing);
	labels->drawing = drawing;
	labels->from = 0;
	labels->to = drawing->ncolumns - length - 1;
	memcpy(drawing->line + drawing->ncolumns - length, at_end, length);
}

static void
put_label(Labels *labels, int column, const char *label)
{
	int			length = (int) strlen(label);

	if (column < labels->from || column + length > labels->to)
		return;
	memcpy(labels->drawing->line + column, label, length);
	labels->from = column + length + 1;
}

static int
tick_step(const Drawing *drawing)
{
	return drawing->ncolumns < 80 ? TICK_COLUMNS_NARROW : TICK_COLUMNS;
}

/* The time at an LSN, "" where none is known. */
static char *
time_label(const CkpxTimeline *timeline, XLogRecPtr lsn, bool days,
		   char *text)
{
	int64		time = ckpx_timeline_time(timeline, lsn);

	if (time == 0)
		return "";
	timeline->in->format_time(text, time);
	text[days ? strlen("2000-01-01 00:00") : strlen("2000-01-01 00:00:00")] =
		'\0';
	return text + strlen(days ? "2000-" : "2000-01-01 ");
}

/* The times at the ticks, with the day if the picture is longer than one. */
static void
put_times(Drawing *drawing, const CkpxAxis *axis)
{
	const CkpxTimeline *timeline = drawing->timeline;
	int64		begin = ckpx_timeline_time(timeline, axis->from);
	int64		end = ckpx_timeline_time(timeline, axis->to);
	bool		days = begin == 0 || end - begin > INT64CONST(86400000000);
	char		text[CKPX_TIME_TEXT_MAX];
	Labels		labels;

	begin_labels(&labels, drawing, time_label(timeline, axis->to, days, text));
	for (int column = 0; column < drawing->ncolumns;
		 column += tick_step(drawing))
		put_label(&labels, column,
				  time_label(timeline, ckpx_axis_lsn(axis, column), days,
							 text));
	put_line(drawing, "time", ROW_AXIS);
}

static void
put_ticks(Drawing *drawing, const CkpxAxis *axis)
{
	memset(drawing->line, '-', drawing->ncolumns);
	for (int column = 0; column < drawing->ncolumns;
		 column += tick_step(drawing))
		drawing->line[column] = '+';
	drawing->line[drawing->ncolumns - 1] = '+';
	for (uint32 i = 0; i < axis->npieces; i++)
	{
		int			first,
					last;

		if (!axis->pieces[i].is_short)
			continue;
		(void) ckpx_axis_columns(axis, axis->pieces[i].from,
								 axis->pieces[i].to, &first, &last);
		drawing->line[(first + last) / 2] = '~';
	}
	put_line(drawing, "", ROW_AXIS);
}

static void
put_axis(Drawing *drawing, const CkpxAxis *axis)
{
	char		label[32];
	Labels		labels;

	put_ticks(drawing, axis);
	snprintf(label, sizeof(label), "%X/%X", LSN_FORMAT_ARGS(axis->to));
	begin_labels(&labels, drawing, label);
	for (int column = 0; column < drawing->ncolumns;
		 column += tick_step(drawing))
	{
		snprintf(label, sizeof(label), "%X/%X",
				 LSN_FORMAT_ARGS(ckpx_axis_lsn(axis, column)));
		put_label(&labels, column, label);
	}
	put_line(drawing, "LSN", ROW_AXIS);
	put_times(drawing, axis);
}

/* What belongs to no epoch, below the lanes. */
static void
put_bottom(Drawing *drawing, const CkpxAxis *axis)
{
	put_single_lsns(drawing, axis, true);
	if (drawing->timeline->in->released_lsn != InvalidXLogRecPtr)
	{
		ckpx_timeline_paint_wal(drawing->timeline, axis, drawing->cells);
		put_cells(drawing, "WAL", ROW_WAL, wal_characters);
	}
	put_single_lsns(drawing, axis, false);
	put_axis(drawing, axis);
}

/* Explain the characters that were used. */
static void
put_legend(Drawing *drawing)
{
	StringInfoData text;
	Row			row = NROWS;

	for (char c = '2'; c < '9'; c++)
	{
		for (int i = 0; i < ROW_AXIS; i++)
			drawing->used[i]['9'] |= drawing->used[i][(int) c];
	}
	for (char c = 'b'; c <= 'z'; c++)
		drawing->used[ROW_PINS]['a'] |= drawing->used[ROW_PINS][(int) c];

	initStringInfo(&text);
	for (int i = 0; i < lengthof(legend); i++)
	{
		const Legend *item = &legend[i];

		if (!drawing->used[item->row][(int) item->character])
			continue;
		if (item->row != row)
			appendStringInfo(&text, "%s%s: ", row == NROWS ? "" : "\n",
							 row_names[item->row]);
		else
			appendStringInfoString(&text, ", ");
		row = item->row;
		if (item->character == '9')
			appendStringInfo(&text, "2-9 %s", item->text);
		else if (item->row == ROW_PINS && item->character == 'a')
			appendStringInfo(&text, "a-z %s", item->text);
		else
			appendStringInfo(&text, "%c %s", item->character, item->text);
	}
	appendStringInfoChar(&text, '\n');
	ckpx_text_wrap(drawing->out, text.data, drawing->width, 2,
				   drawing->timeline->in->encoding);
	pfree(text.data);
}

/* "--- the newest 12 MB ---------" */
static void
put_title(Drawing *drawing, const char *text, uint64 bytes)
{
	StringInfoData title;

	initStringInfo(&title);
	appendStringInfo(&title, "--- %s ", text);
	ckpx_timeline_bytes(&title, bytes);
	appendStringInfoChar(&title, ' ');
	while (title.len < drawing->width)
		appendStringInfoChar(&title, '-');
	appendStringInfo(drawing->out, "%s\n", title.data);
	pfree(title.data);
}

static void
put_pictures(Drawing *drawing)
{
	const CkpxTimeline *timeline = drawing->timeline;
	CkpxAxis	axis;
	CkpxAxis	tail;

	drawing->line = palloc(drawing->ncolumns + 1);
	drawing->cells = palloc(drawing->ncolumns);
	drawing->buckets = palloc(sizeof(CkpxBucket) * drawing->ncolumns);
	ckpx_timeline_axis(timeline, drawing->ncolumns, &axis);
	put_title(drawing, "all,", axis.to - axis.from);
	for (uint32 i = 0; i < timeline->nlanes; i++)
		put_lane(drawing, &timeline->lanes[i], &axis);
	put_bottom(drawing, &axis);
	if (ckpx_timeline_tail_axis(timeline, &axis, &tail))
	{
		put_title(drawing, "the newest", tail.to - tail.from);
		put_lane(drawing, &timeline->lanes[0], &tail);
		put_bottom(drawing, &tail);
		pfree(tail.pieces);
	}
	put_legend(drawing);
	pfree(axis.pieces);
	pfree(drawing->buckets);
	pfree(drawing->cells);
	pfree(drawing->line);
}

void
ckpx_text_draw(const CkpxTimeline *timeline, int width, StringInfo out)
{
	Drawing		drawing = {0};
	StringInfoData text;
	int			encoding = timeline->in->encoding;

	drawing.timeline = timeline;
	drawing.out = out;
	drawing.width = width;
	drawing.ncolumns = width - LABEL_WIDTH;

	initStringInfo(&text);
	ckpx_timeline_facts(timeline, &text);
	ckpx_text_wrap(out, text.data, width, 2, encoding);
	if (timeline->from < timeline->to)
		put_pictures(&drawing);
	resetStringInfo(&text);
	ckpx_timeline_gaps(timeline, &text);
	ckpx_text_wrap(out, text.data, width, 2, encoding);
	pfree(text.data);
}
