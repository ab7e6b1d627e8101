/*-------------------------------------------------------------------------
 *
 * svg.c
 *		The history as one SVG document.
 *
 * The body is drawn from top to bottom first, because the head must tell how
 * high it has become.  The columns of the axis are what bounds the size: there
 * are fewer of them the more lanes there are.
 *
 *-------------------------------------------------------------------------
 */
#include "core/picture/svg.h"
#include "core/picture/text.h"

#include "mb/pg_wchar.h"

/* Pixels. */
#define WIDTH				1000
#define MARGIN				16
#define PLOT_X				96
#define PLOT_WIDTH			(WIDTH - PLOT_X - MARGIN)
#define LINE_HEIGHT			17
#define ROW_HEIGHT			18
#define BAR_HEIGHT			12
#define TICK_WIDTH			128
#define MARK_WIDTH			12

/* Characters of a line of text. */
#define TEXT_COLUMNS		140

/* Columns of an axis, and of all lanes together. */
#define MAX_COLUMNS			447
#define MAX_LANE_COLUMNS	900

typedef struct Drawing
{
	const CkpxTimeline *timeline;
	StringInfo	out;
	const CkpxAxis *axis;
	double		scale;			/* pixels of a column */
	int			y;				/* of the next row */
	uint8	   *cells;
	CkpxBucket *buckets;
	StringInfoData title;		/* of the next element */
} Drawing;

static const char *const cell_classes[CKPX_NCELLS] = {
	"", "left", "mem", "known", "untracked", "lost"
};

static const char *const cell_names[CKPX_NCELLS] = {
	"", "of WAL that was rolled back, does not count",
	"known, in memory only", "known", "not tracked", "lost"
};

static const char *const hold_classes[CKPX_NHOLDS] = {
	"", "done", "mem", "pending", "unread"
};

static const char *const hold_names[CKPX_NHOLDS] = {
	"", "WAL held, in a checkpoint already",
	"WAL held until it is in a checkpoint",
	"WAL held by the pending incremental", "WAL not decoded yet"
};

static const char *const point_names[] = {
	"online checkpoint", "shutdown checkpoint", "end of recovery",
	"restartpoint"
};

static const char style[] =
"<style>"
".ckpx{color-scheme:light dark;background:#fff;"
"font:12px system-ui,sans-serif}"
".ckpx text{fill:#1f2328}.ckpx .h{font-size:16px;font-weight:600}"
".ckpx .b{font-weight:600}.ckpx .m{fill:#59636e}.ckpx .e{text-anchor:end}"
".ckpx .c{text-anchor:middle}"
".ckpx .bg{fill:#fff}.ckpx .track{fill:#eff1f3}.ckpx .grid{stroke:#d1d9e0}"
".ckpx .known{fill:#2f7d46}.ckpx .mem{fill:#8fcf9f}.ckpx .left{fill:#a8b0b8}"
".ckpx .untracked{fill:#ffe3b3;stroke:#9a6700;stroke-dasharray:3 2}"
".ckpx .lost{fill:#d1242f}"
".ckpx .i1{fill:#8db8f2}.ckpx .i2{fill:#5c93e0}.ckpx .i3{fill:#2f6fc9}"
".ckpx .i4{fill:#0b408f}"
".ckpx .glob{fill:#8250df}.ckpx .glob.odd{fill:#b392f0}"
".ckpx .backup{fill:#bf3989}"
".ckpx .pending{fill:#f2a33a}.ckpx .done{fill:#c4ccd4}"
".ckpx .unread{fill:#0e7490}.ckpx .pg{fill:#59636e}"
".ckpx .pin{stroke:#bc4c00;stroke-dasharray:4 3}"
".ckpx text.pinned{fill:#bc4c00;font-weight:600}"
"@media (prefers-color-scheme:dark){"
".ckpx{background:#0d1117}.ckpx text{fill:#e6edf3}.ckpx .m{fill:#9198a1}"
".ckpx .bg{fill:#0d1117}.ckpx .track{fill:#1b2129}.ckpx .grid{stroke:#3d444d}"
".ckpx .known{fill:#3fa55c}.ckpx .mem{fill:#235c33}.ckpx .left{fill:#59636e}"
".ckpx .untracked{fill:#4a3000;stroke:#d29922}"
".ckpx .lost{fill:#f85149}.ckpx .unread{fill:#22b8cf}"
".ckpx .i1{fill:#1f4a85}.ckpx .i2{fill:#2f6fc9}.ckpx .i3{fill:#6ea8fe}"
".ckpx .i4{fill:#b6d4fe}"
".ckpx .glob{fill:#8957e5}.ckpx .glob.odd{fill:#5a3a9e}"
".ckpx .backup{fill:#db61a2}"
".ckpx .pending{fill:#e3962e}.ckpx .done{fill:#59636e}.ckpx .pg{fill:#9198a1}"
".ckpx .pin{stroke:#f0883e}.ckpx text.pinned{fill:#f0883e}}"
"</style>";

void
ckpx_svg_escape(StringInfo out, const char *text, int encoding)
{
	while (*text != '\0')
	{
		unsigned char c = (unsigned char) *text;
		int			nbytes = 1;

		if (c == '&')
			appendStringInfoString(out, "&amp;");
		else if (c == '<')
			appendStringInfoString(out, "&lt;");
		else if (c == '>')
			appendStringInfoString(out, "&gt;");
		else if (c == '"')
			appendStringInfoString(out, "&quot;");
		else if (c == '\'')
			appendStringInfoString(out, "&#39;");
		else if ((c < 0x20 && c != '\n') || c == 0x7f)
			appendStringInfoChar(out, '?');
		else if (c < 0x80)
			appendStringInfoChar(out, (char) c);
		else
		{
			pg_wchar	code = 0;

			nbytes = pg_encoding_mblen_bounded(encoding, text);
			if (encoding == PG_UTF8 && nbytes > 1)
				code = utf8_to_unicode((const unsigned char *) text);
			/* no control characters, and nothing that XML does not have */
			if (code >= 0xa0 && (code & 0xffff) < 0xfffe &&
				(code < 0xd800 || code > 0xdfff))
				appendStringInfo(out, "&#%u;", (unsigned) code);
			else
				appendStringInfoChar(out, '?');
		}
		text += nbytes;
	}
}

/* Write a line of text. */
static void
put_text(Drawing *drawing, double x, int y, const char *classes,
		 const char *text)
{
	appendStringInfo(drawing->out, "<text x=\"%.1f\" y=\"%d\"", x, y);
	if (classes[0] != '\0')
		appendStringInfo(drawing->out, " class=\"%s\"", classes);
	appendStringInfoChar(drawing->out, '>');
	ckpx_svg_escape(drawing->out, text, drawing->timeline->in->encoding);
	appendStringInfoString(drawing->out, "</text>\n");
}

/* Write paragraphs, in lines. */
static void
put_paragraphs(Drawing *drawing, const char *text, const char *classes)
{
	StringInfoData lines;
	char	   *line;

	initStringInfo(&lines);
	ckpx_text_wrap(&lines, text, TEXT_COLUMNS, 2,
				   drawing->timeline->in->encoding);
	line = lines.data;
	while (*line != '\0')
	{
		char	   *end = strchr(line, '\n');

		*end = '\0';
		put_text(drawing, MARGIN + (line[0] == ' ' ? 12 : 0), drawing->y + 12,
				 classes, line + strspn(line, " "));
		drawing->y += LINE_HEIGHT;
		line = end + 1;
	}
	pfree(lines.data);
}

/* Start the tooltip of the next element. */
static StringInfo
title_of(Drawing *drawing, const char *text)
{
	resetStringInfo(&drawing->title);
	appendStringInfoString(&drawing->title, text);
	return &drawing->title;
}

static void
title_range(Drawing *drawing, XLogRecPtr from, XLogRecPtr to)
{
	appendStringInfo(&drawing->title, " %X/%X to %X/%X",
					 LSN_FORMAT_ARGS(from), LSN_FORMAT_ARGS(to));
}

static void
title_time(Drawing *drawing, int64 time)
{
	char		text[CKPX_TIME_TEXT_MAX];

	if (time == 0)
		return;
	drawing->timeline->in->format_time(text, time);
	appendStringInfo(&drawing->title, ", %s", text);
}

/* A bar in the present row over columns of the axis, with its tooltip. */
static void
put_bar(Drawing *drawing, const char *classes, double from, double to)
{
	double		width = Max((to - from) * drawing->scale, 1.2);

	/* a thin line stays between neighbours */
	if (width > 3)
		width -= 0.5;
	appendStringInfo(drawing->out,
					 "<rect class=\"%s\" x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\"><title>",
					 classes, PLOT_X + from * drawing->scale,
					 drawing->y + (ROW_HEIGHT - BAR_HEIGHT) / 2, width,
					 BAR_HEIGHT);
	ckpx_svg_escape(drawing->out, drawing->title.data,
					drawing->timeline->in->encoding);
	appendStringInfoString(drawing->out, "</title></rect>\n");
}

/* Begin a row: its name, and an empty bar. */
static void
begin_row(Drawing *drawing, const char *name)
{
	put_text(drawing, PLOT_X - 8, drawing->y + 13, "m e", name);
	appendStringInfo(drawing->out,
					 "<rect class=\"track\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"/>\n",
					 PLOT_X, drawing->y + (ROW_HEIGHT - BAR_HEIGHT) / 2,
					 PLOT_WIDTH, BAR_HEIGHT);
}

/* A row of cells: equal neighbours are one bar. */
static void
put_cells(Drawing *drawing, const char *name, const char *const *classes,
		  const char *const *names)
{
	const CkpxAxis *axis = drawing->axis;
	int			first = 0;

	begin_row(drawing, name);
	for (int i = 1; i <= axis->ncolumns; i++)
	{
		uint8		cell = drawing->cells[first];

		if (i < axis->ncolumns && drawing->cells[i] == cell)
			continue;
		if (cell != 0)
		{
			appendStringInfo(title_of(drawing, names[cell]), ", about");
			title_range(drawing, ckpx_axis_lsn(axis, first),
						ckpx_axis_lsn(axis, i));
			put_bar(drawing, classes[cell], first, i);
		}
		first = i;
	}
	drawing->y += ROW_HEIGHT;
}

/* The tooltip of what begins or ends in a column. */
static void
title_bucket(Drawing *drawing, const CkpxBucket *bucket, const char *name)
{
	const CkpxTimelineEntry *first =
		&drawing->timeline->in->entries[bucket->first];
	const CkpxTimelineEntry *last =
		&drawing->timeline->in->entries[bucket->last];

	resetStringInfo(&drawing->title);
	if (bucket->count > 1)
		appendStringInfo(&drawing->title, "%u %ss", bucket->count, name);
	else
		appendStringInfo(&drawing->title, "%s%s",
						 last->span.finished ? "" : "unfinished ", name);
	title_range(drawing, first->span.start_lsn, last->span.end_lsn);
	if (bucket->count == 1)
	{
		appendStringInfoString(&drawing->title, ", ");
		ckpx_timeline_bytes(&drawing->title, last->size_bytes);
	}
	title_time(drawing, last->cut_at);
}

static void
put_incrementals(Drawing *drawing, const CkpxLane *lane)
{
	const CkpxAxis *axis = drawing->axis;
	bool		any = false;

	ckpx_timeline_paint_entries(drawing->timeline, lane, axis,
								CKPX_KIND_INCREMENTAL, false,
								drawing->buckets);
	for (int i = 0; i < axis->ncolumns; i++)
	{
		const CkpxBucket *bucket = &drawing->buckets[i];
		int			end = i + 1;

		if (bucket->count == 0)
			continue;
		if (!any)
			begin_row(drawing, "incrementals");
		any = true;
		while (end < axis->ncolumns && drawing->buckets[end].inside &&
			   drawing->buckets[end].count == 0)
			end++;
		title_bucket(drawing, bucket, "incremental");
		put_bar(drawing, bucket->unfinished ? "pending" :
				bucket->count == 1 ? "i1" : bucket->count < 10 ? "i2" :
				bucket->count < 100 ? "i3" : "i4", i, end);
	}
	if (any)
		drawing->y += ROW_HEIGHT;
}

/* One layer of a global, or all of it. */
static void
put_layer(Drawing *drawing, XLogRecPtr from, XLogRecPtr to, int64 time,
		  const char *classes, const char *name)
{
	int			first,
				last;

	if (!ckpx_axis_columns(drawing->axis, from, to, &first, &last))
		return;
	title_of(drawing, name);
	title_range(drawing, from, to);
	title_time(drawing, time);
	put_bar(drawing, classes, ckpx_axis_place(drawing->axis, from),
			ckpx_axis_place(drawing->axis, to));
}

static void
put_newest_global(Drawing *drawing, const CkpxLane *lane)
{
	const CkpxTimelineEntry *entry;
	XLogRecPtr	from;
	int			first,
				last;

	if (lane->newest_global < 0)
		return;
	entry = &drawing->timeline->in->entries[lane->newest_global];
	if (!ckpx_axis_columns(drawing->axis, entry->span.start_lsn,
						   entry->span.end_lsn, &first, &last))
		return;
	begin_row(drawing, "global");
	if (lane->nlayers == 0)
		put_layer(drawing, entry->span.start_lsn, entry->span.end_lsn,
				  entry->cut_at, "glob", "global");
	from = entry->span.start_lsn;
	for (uint32 i = lane->nlayers; i-- > 0;)
	{
		put_layer(drawing, from, lane->layers[i].end_lsn,
				  lane->layers[i].end_time, i % 2 == 0 ? "glob" : "glob odd",
				  "layer of the newest global");
		from = lane->layers[i].end_lsn;
	}
	drawing->y += ROW_HEIGHT;
}

/* Where objects end: a tick for each column. */
static void
put_ends(Drawing *drawing, const CkpxLane *lane, CkpxEntryKind kind,
		 const char *row, const char *name, const char *classes)
{
	bool		any = false;

	ckpx_timeline_paint_entries(drawing->timeline, lane, drawing->axis, kind,
								true, drawing->buckets);
	for (int i = 0; i < drawing->axis->ncolumns; i++)
	{
		const CkpxBucket *bucket = &drawing->buckets[i];

		/* the newest global has a row of its own */
		if (bucket->count == 0 || (bucket->count == 1 &&
								   bucket->first == lane->newest_global))
			continue;
		if (!any)
			begin_row(drawing, row);
		any = true;
		title_bucket(drawing, bucket, name);
		put_bar(drawing, bucket->unfinished ? "pending" : classes, i, i + 1);
	}
	if (any)
		drawing->y += ROW_HEIGHT;
}

static void
put_lane(Drawing *drawing, const CkpxLane *lane)
{
	StringInfoData text;

	initStringInfo(&text);
	ckpx_timeline_lane_text(drawing->timeline, lane, &text);
	drawing->y += 4;
	put_text(drawing, PLOT_X, drawing->y + 12, "b", text.data);
	pfree(text.data);
	drawing->y += LINE_HEIGHT;
	ckpx_timeline_paint_map(drawing->timeline, lane, drawing->axis,
							drawing->cells);
	put_cells(drawing, "map", cell_classes, cell_names);
	put_incrementals(drawing, lane);
	put_newest_global(drawing, lane);
	put_ends(drawing, lane, CKPX_KIND_GLOBAL, "older globals", "global",
			 "glob");
	put_ends(drawing, lane, CKPX_KIND_BACKUP, "backups", "backup checkpoint",
			 "backup");
}

/* PostgreSQL's checkpoints: a tick for each column. */
static void
put_points(Drawing *drawing)
{
	const CkpxTimelineInput *in = drawing->timeline->in;
	bool		any = false;

	memset(drawing->buckets, 0, sizeof(CkpxBucket) * drawing->axis->ncolumns);
	for (uint32 i = 0; i < in->npoints; i++)
	{
		int			column,
					last;

		if (!ckpx_axis_columns(drawing->axis, in->points[i].lsn,
							   in->points[i].lsn, &column, &last))
			continue;
		drawing->buckets[column].count++;
		drawing->buckets[column].last = i;
		any = true;
	}
	if (!any)
		return;
	begin_row(drawing, "PostgreSQL");
	for (int i = 0; i < drawing->axis->ncolumns; i++)
	{
		const CkpxBucket *bucket = &drawing->buckets[i];
		const CkpxTimelinePoint *point;

		if (bucket->count == 0)
			continue;
		point = &in->points[bucket->last];
		resetStringInfo(&drawing->title);
		if (bucket->count > 1)
			appendStringInfo(&drawing->title, "%u checkpoints, the last: ",
							 bucket->count);
		appendStringInfo(&drawing->title, "%s at %X/%X",
						 point_names[point->kind],
						 LSN_FORMAT_ARGS(point->lsn));
		title_time(drawing, point->time);
		put_bar(drawing, "pg", i, i + Min(1, 2 / drawing->scale));
	}
	drawing->y += ROW_HEIGHT;
}

/*
 * Pins: lines over the whole picture, from 'top' on; those too near to be told
 * apart share a mark, which names them all.
 */
static void
put_pins(Drawing *drawing, int top)
{
	const CkpxTimelineInput *in = drawing->timeline->in;
	const int	nmarks = PLOT_WIDTH / MARK_WIDTH + 1;

	for (int mark = 0; mark < nmarks; mark++)
	{
		uint32		count = 0;
		uint32		one = 0;
		double		x = 0;
		char		label[16];

		resetStringInfo(&drawing->title);
		for (uint32 i = 0; i < in->npins; i++)
		{
			double		at = drawing->scale *
				ckpx_axis_place(drawing->axis, in->pins[i].lsn);

			if ((int) (at / MARK_WIDTH) != mark ||
				in->pins[i].lsn < drawing->axis->from)
				continue;
			one = i;
			x = PLOT_X + at;
			appendStringInfo(&drawing->title, "%s%s at %X/%X",
							 count++ > 0 ? ", " : "pin ", in->pins[i].name,
							 LSN_FORMAT_ARGS(in->pins[i].lsn));
		}
		if (count == 0)
			continue;
		if (count > 1 || one >= 26)
			snprintf(label, sizeof(label), "%u", count);
		else
			snprintf(label, sizeof(label), "%c", 'a' + (int) one);
		appendStringInfoString(drawing->out, "<g><title>");
		ckpx_svg_escape(drawing->out, drawing->title.data, in->encoding);
		appendStringInfo(drawing->out,
						 "</title><line class=\"pin\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>",
						 x, top, x, drawing->y);
		put_text(drawing, x, drawing->y + 12, "pinned c", label);
		appendStringInfoString(drawing->out, "</g>\n");
	}
	if (in->npins > 0)
	{
		put_text(drawing, PLOT_X - 8, drawing->y + 12, "m e", "pins");
		drawing->y += LINE_HEIGHT;
	}
}

/* Where the axis was cut short, and its ticks with LSNs and times. */
static void
put_axis(Drawing *drawing)
{
	const CkpxAxis *axis = drawing->axis;
	const CkpxTimeline *timeline = drawing->timeline;
	const int	nticks = PLOT_WIDTH / TICK_WIDTH;

	appendStringInfo(drawing->out,
					 "<line class=\"grid\" x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/>\n",
					 PLOT_X, drawing->y + 4, PLOT_X + PLOT_WIDTH,
					 drawing->y + 4);
	for (uint32 i = 0; i < axis->npieces; i++)
	{
		const CkpxAxisPiece *piece = &axis->pieces[i];

		if (piece->is_short)
			put_text(drawing,
					 PLOT_X + (piece->at + piece->width / 2) * drawing->scale,
					 drawing->y + 8, "m c", "//");
	}
	for (int i = 0; i <= nticks; i++)
	{
		double		place = (double) axis->ncolumns * i / nticks;
		double		x = PLOT_X + place * drawing->scale;
		XLogRecPtr	lsn = ckpx_axis_lsn(axis, place);
		int64		time = ckpx_timeline_time(timeline, lsn);
		const char *classes = i == 0 ? "m" : i == nticks ? "m e" : "m c";
		char		text[CKPX_TIME_TEXT_MAX];

		appendStringInfo(drawing->out,
						 "<line class=\"grid\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>\n",
						 x, drawing->y + 1, x, drawing->y + 8);
		snprintf(text, sizeof(text), "%X/%X", LSN_FORMAT_ARGS(lsn));
		put_text(drawing, x, drawing->y + 21, classes, text);
		if (time == 0)
			continue;
		timeline->in->format_time(text, time);
		/* the year is on top */
		put_text(drawing, x, drawing->y + 36, classes, text + strlen("2000-"));
	}
	drawing->y += 46;
}

/* One picture, of all or of the newest part. */
static void
put_picture(Drawing *drawing, const CkpxAxis *axis, uint32 nlanes,
			const char *name)
{
	const CkpxTimeline *timeline = drawing->timeline;
	int			top;

	drawing->axis = axis;
	drawing->scale = (double) PLOT_WIDTH / axis->ncolumns;
	title_of(drawing, name);
	ckpx_timeline_bytes(&drawing->title, axis->to - axis->from);
	drawing->y += 10;
	put_text(drawing, MARGIN, drawing->y + 12, "b", drawing->title.data);
	drawing->y += LINE_HEIGHT;
	top = drawing->y + 4;
	for (uint32 i = 0; i < nlanes; i++)
		put_lane(drawing, &timeline->lanes[i]);
	drawing->y += 4;
	if (timeline->in->released_lsn != InvalidXLogRecPtr)
	{
		ckpx_timeline_paint_wal(timeline, axis, drawing->cells);
		put_cells(drawing, "WAL held", hold_classes, hold_names);
	}
	put_points(drawing);
	put_pins(drawing, top);
	put_axis(drawing);
}

static void
put_legend(Drawing *drawing)
{
	static const char *const items[][2] = {
		{"known", "known"}, {"mem", "known, in memory only"},
		{"left", "rolled back"}, {"untracked", "not tracked"},
		{"lost", "lost"}, {"i1", "1 incremental"},
		{"i2", "2-9 in a column"}, {"i3", "10-99"}, {"i4", "100 or more"},
		{"glob", "global, its layers"}, {"glob odd", ""},
		{"pending", "pending"}, {"done", "WAL held, in a checkpoint already"},
		{"unread", "WAL not decoded yet"},
		{"backup", "backup"}, {"pg", "checkpoint of PostgreSQL"}
	};
	double		x = MARGIN;

	drawing->y += 6;
	for (int i = 0; i < lengthof(items); i++)
	{
		double		width = 18 + strlen(items[i][1]) * 6.6 + 10;

		if (x + width > WIDTH - MARGIN)
		{
			x = MARGIN;
			drawing->y += LINE_HEIGHT;
		}
		appendStringInfo(drawing->out,
						 "<rect class=\"%s\" x=\"%.1f\" y=\"%d\" width=\"12\" height=\"10\"/>\n",
						 items[i][0], x, drawing->y + 3);
		put_text(drawing, x + 17, drawing->y + 12, "", items[i][1]);
		x += width;
	}
	drawing->y += LINE_HEIGHT + 6;
}

static void
put_pictures(Drawing *drawing)
{
	const CkpxTimeline *timeline = drawing->timeline;

	/* before the first epoch there may be pins, but no lane */
	int			nlanes = Max((int) timeline->nlanes, 1);
	CkpxAxis	axis;
	CkpxAxis	tail;

	ckpx_timeline_axis(timeline,
					   Min(MAX_COLUMNS, MAX_LANE_COLUMNS / nlanes), &axis);
	drawing->cells = palloc(axis.ncolumns);
	drawing->buckets = palloc(sizeof(CkpxBucket) * axis.ncolumns);
	put_picture(drawing, &axis, timeline->nlanes, "All, ");
	if (ckpx_timeline_tail_axis(timeline, &axis, &tail))
	{
		put_picture(drawing, &tail, 1, "The newest ");
		pfree(tail.pieces);
	}
	put_legend(drawing);
	pfree(axis.pieces);
	pfree(drawing->buckets);
	pfree(drawing->cells);
}

void
ckpx_svg_draw(const CkpxTimeline *timeline, StringInfo out)
{
	const CkpxTimelineInput *in = timeline->in;
	Drawing		drawing = {0};
	StringInfoData body;
	StringInfoData facts;
	StringInfoData gaps;
	char		now[CKPX_TIME_TEXT_MAX];

	initStringInfo(&body);
	initStringInfo(&facts);
	initStringInfo(&drawing.title);
	drawing.timeline = timeline;
	drawing.out = &body;
	drawing.y = MARGIN;

	in->format_time(now, in->now);
	put_text(&drawing, MARGIN, drawing.y + 14, "h", "ckpx: history of the map");
	put_text(&drawing, WIDTH - MARGIN, drawing.y + 14, "m e", now);
	drawing.y += 28;
	ckpx_timeline_facts(timeline, &facts);
	put_paragraphs(&drawing, facts.data, "");
	if (timeline->from < timeline->to)
		put_pictures(&drawing);
	initStringInfo(&gaps);
	ckpx_timeline_gaps(timeline, &gaps);
	put_paragraphs(&drawing, gaps.data, "");
	drawing.y += MARGIN;

	appendStringInfo(out,
					 "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"ckpx\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\" aria-labelledby=\"ckpx-title ckpx-desc\">\n"
					 "<title id=\"ckpx-title\">ckpx: history of the map, %s</title>\n"
					 "<desc id=\"ckpx-desc\">",
					 WIDTH, drawing.y, WIDTH, drawing.y, now);
	ckpx_svg_escape(out, facts.data, in->encoding);
	ckpx_svg_escape(out, gaps.data, in->encoding);
	appendStringInfo(out,
					 "</desc>\n%s\n<rect class=\"bg\" width=\"%d\" height=\"%d\"/>\n%s</svg>\n",
					 style, WIDTH, drawing.y, body.data);
	pfree(gaps.data);
	pfree(drawing.title.data);
	pfree(facts.data);
	pfree(body.data);
}
