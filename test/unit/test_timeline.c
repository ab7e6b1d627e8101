/*-------------------------------------------------------------------------
 *
 * test_timeline.c
 *		Pictures of the history: axis, what is painted, text, SVG.
 *
 *-------------------------------------------------------------------------
 */
#include "core/picture/svg.h"
#include "core/picture/text.h"
#include "mb/pg_wchar.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>
#include <cmocka.h>

#define MB			((uint64) 1024 * 1024)
#define SECOND		INT64CONST(1000000)

/* 2026-01-01 00:00:00 UTC as a TimestampTz */
#define FIRST_TIME	(INT64CONST(820540800) * SECOND)

static CkpxTimelineInput in;
static CkpxTimelineEntry *entries;
static CkpxGap gaps[CKPX_MAX_GAPS];
static CkpxPin pins[64];
static CkpxTimelinePoint points[1000];

static void
format_time(char *text, int64 time)
{
	time_t		seconds = (time_t) (time / SECOND + 946684800);

	strftime(text, CKPX_TIME_TEXT_MAX, "%Y-%m-%d %H:%M:%S", gmtime(&seconds));
}

/* ---- histories */

/* Nothing at all. */
static int
setup(void **state)
{
	memset(&in, 0, sizeof(in));
	free(entries);
	entries = NULL;
	in.now = FIRST_TIME;
	in.gaps = gaps;
	in.pins = pins;
	in.points = points;
	in.problem = in.waiting_for = "";
	in.encoding = PG_UTF8;
	in.format_time = format_time;
	return 0;
}

/* One entry, behind all others. */
static CkpxTimelineEntry *
add(CkpxEntryKind kind, uint32 epoch, XLogRecPtr start, XLogRecPtr end,
	int64 cut_at)
{
	CkpxTimelineEntry *entry;

	entries = realloc(entries, sizeof(*entries) * (in.nentries + 1));
	entry = &entries[in.nentries++];
	memset(entry, 0, sizeof(*entry));
	entry->span.kind = kind;
	entry->span.epoch = epoch;
	entry->span.timeline = 1;
	entry->span.start_lsn = start;
	entry->span.end_lsn = end;
	entry->span.finished = true;
	entry->cut_at = cut_at;
	entry->size_bytes = 10000;
	in.entries = entries;
	return entry;
}

/* The gap in front of an epoch, which becomes the open one. */
static void
begin_epoch(uint32 epoch, XLogRecPtr from, XLogRecPtr to, const char *reason)
{
	CkpxGap    *gap = &gaps[in.ngaps++];

	memset(gap, 0, sizeof(*gap));
	gap->epoch = in.epoch = epoch;
	gap->timeline = in.timeline = 1;
	gap->from_lsn = from;
	gap->to_lsn = in.epoch_start = to;
	gap->detected_at = in.now;
	strlcpy(gap->reason, reason, sizeof(gap->reason));
	in.checkpointed_lsn = in.collected_lsn = in.flushed_lsn = to;
	in.released_lsn = to;
}

static void
lose(uint32 epoch, XLogRecPtr from, XLogRecPtr to)
{
	CkpxGap    *gap = &gaps[in.ngaps++];

	memset(gap, 0, sizeof(*gap));
	gap->epoch = epoch;
	gap->from_lsn = from;
	gap->to_lsn = to;
	gap->damaged = true;
	gap->detected_at = in.now;
	strlcpy(gap->reason, "an object was damaged", sizeof(gap->reason));
}

static void
pin(const char *name, XLogRecPtr lsn)
{
	memset(&pins[in.npins], 0, sizeof(CkpxPin));
	strlcpy(pins[in.npins].name, name, CKPX_PIN_NAME_MAX);
	pins[in.npins++].lsn = lsn;
}

/*
 * Incrementals of the open epoch, each 'bytes' long, the n-th of each ten
 * larger ones; a checkpoint of PostgreSQL with every fifth.
 */
static void
grow(uint32 count, uint64 bytes, int64 interval)
{
	for (uint32 i = 0; i < count; i++)
	{
		XLogRecPtr	end = in.checkpointed_lsn + (i % 10 == 7 ? 3 : 1) * bytes;

		in.now += interval;
		add(CKPX_KIND_INCREMENTAL, in.epoch, in.checkpointed_lsn, end, in.now);
		if (i % 5 == 0 && in.npoints < lengthof(points))
		{
			points[in.npoints].lsn = in.checkpointed_lsn;
			points[in.npoints++].time = in.now;
		}
		in.checkpointed_lsn = end;
	}
	in.released_lsn = in.checkpointed_lsn - Min(count, 2) * bytes;
	in.collected_lsn = in.checkpointed_lsn + bytes;
	in.flushed_lsn = in.collected_lsn + bytes / 2;
}

/* A global over the open epoch so far. */
static void
add_global(void)
{
	add(CKPX_KIND_GLOBAL, in.epoch, in.epoch_start, in.checkpointed_lsn,
		in.now);
}

/* What the pictures are looked at with. */
static void
history(uint32 count)
{
	begin_epoch(1, InvalidXLogRecPtr, 16 * MB, "the first start");
	grow(count * 3 / 10, MB, 60 * SECOND);
	add_global();
	begin_epoch(2, in.collected_lsn, in.flushed_lsn + 200 * MB,
				"the replication slot was lost");
	grow(count * 2 / 10, MB, 60 * SECOND);
	add_global();
	begin_epoch(3, in.checkpointed_lsn - count * MB / 20,
				in.checkpointed_lsn - count * MB / 20,
				"WAL was rolled back");
	grow(count * 5 / 20, MB, 60 * SECOND);
	lose(3, in.checkpointed_lsn, in.checkpointed_lsn + MB * count / 30);
	in.checkpointed_lsn += MB * count / 30;
	grow(count * 5 / 20, MB, 60 * SECOND);
	add_global();
	grow(3, MB, 60 * SECOND);
	add(CKPX_KIND_INCREMENTAL, 3, in.checkpointed_lsn,
		in.checkpointed_lsn + MB / 2, in.now)->span.finished = false;
	in.waiting_for = "transaction 733";
	in.now += 180 * SECOND;
	pin("nightly", in.epoch_start + MB);
	pin("a & <b> \"c\" 'd' \001 \303\244", in.checkpointed_lsn - 5 * MB);
}

/* ---- help for the tests */

/* The text picture; layers are those of the newest lane's newest global. */
static char *
draw_text(int width, const CkpxLayer *layers, uint32 nlayers)
{
	CkpxTimeline timeline;
	StringInfoData out;

	initStringInfo(&out);
	ckpx_timeline_prepare(&timeline, &in);
	timeline.lanes[0].layers = layers;
	timeline.lanes[0].nlayers = nlayers;
	ckpx_text_draw(&timeline, width, &out);
	return out.data;
}

static char *
draw_svg(void)
{
	CkpxTimeline timeline;
	StringInfoData out;

	initStringInfo(&out);
	ckpx_timeline_prepare(&timeline, &in);
	ckpx_svg_draw(&timeline, &out);
	return out.data;
}

/* The picture has this line. */
static void
expect_line(const char *picture, const char *line)
{
	char	   *whole = psprintf("\n%s\n", line);
	char	   *all = psprintf("\n%s", picture);

	if (strstr(all, whole) == NULL)
		fail_msg("no line \"%s\" in:\n%s", line, picture);
	pfree(whole);
	pfree(all);
}

static void
expect_no(const char *picture, const char *text)
{
	if (strstr(picture, text) != NULL)
		fail_msg("\"%s\" in:\n%s", text, picture);
}

/* No line is wider than 'width' (all of it is ASCII). */
static void
expect_width(const char *picture, int width)
{
	while (*picture != '\0')
	{
		const char *end = strchr(picture, '\n');

		assert_non_null(end);
		if (end - picture > width)
			fail_msg("wider than %d: %.*s", width, (int) (end - picture),
					 picture);
		picture = end + 1;
	}
}

/*
 * Is it well-formed?  Elements are closed in order, attributes are quoted, no
 * '<' and no '&' but of references, only characters that XML has.
 */
static void
expect_xml(const char *text)
{
	char		open[32][32];
	int			depth = 0;
	int			nroots = 0;

	for (const char *c = text; *c != '\0'; c++)
	{
		assert_true(*c == '\n' || ((unsigned char) *c >= 0x20 &&
								   (unsigned char) *c < 0x7f));
		if (*c == '&')
			assert_true(strncmp(c, "&amp;", 5) == 0 ||
						strncmp(c, "&lt;", 4) == 0 ||
						strncmp(c, "&gt;", 4) == 0 ||
						strncmp(c, "&quot;", 6) == 0 ||
						(c[1] == '#' && c[2 + strspn(c + 2, "0123456789")] == ';'));
		if (depth == 0 && *c != '<')
			assert_int_equal(*c, '\n');
		if (*c != '<')
			continue;
		if (c[1] == '/')
		{
			size_t		length = strcspn(c + 2, ">");

			assert_true(depth > 0);
			depth--;
			assert_int_equal(strlen(open[depth]), length);
			assert_memory_equal(open[depth], c + 2, length);
			c += 2 + length;
			continue;
		}
		nroots += depth == 0;
		assert_true(depth < 32);
		strlcpy(open[depth], c + 1, Min(sizeof(open[0]),
										strcspn(c + 1, " />") + 1));
		c += 1 + strlen(open[depth]);
		while (*c == ' ')
		{
			c += 1 + strspn(c + 1, "abcdefghijklmnopqrstuvwxyz-B0123456789");
			assert_memory_equal(c, "=\"", 2);
			c += 2;
			c += strcspn(c, "\"<");
			assert_int_equal(*c++, '"');
		}
		if (*c == '/')
			c++;
		else
			depth++;
		assert_int_equal(*c, '>');
	}
	assert_int_equal(depth, 0);
	assert_int_equal(nroots, 1);
}

/* ---- the axis */

static void
axis_is_linear_where_something_is_shown(void **state)
{
	CkpxInterval shown[] = {{200, 300}, {100, 200}};
	CkpxAxis	axis;
	int			first,
				last;

	ckpx_axis_make(&axis, shown, 2, 100, 300, 50);
	assert_int_equal(axis.npieces, 1);
	assert_true(ckpx_axis_place(&axis, 100) == 0);
	assert_true(ckpx_axis_place(&axis, 200) == 25);
	assert_true(ckpx_axis_place(&axis, 300) == 50);
	assert_true(ckpx_axis_place(&axis, 1) == 0);
	assert_true(ckpx_axis_place(&axis, 1000) == 50);
	assert_int_equal(ckpx_axis_lsn(&axis, 25), 200);
	assert_int_equal(ckpx_axis_lsn(&axis, -1), 100);
	assert_int_equal(ckpx_axis_lsn(&axis, 50), 300);

	assert_true(ckpx_axis_columns(&axis, 100, 104, &first, &last));
	assert_int_equal(first, 0);
	assert_int_equal(last, 0);
	assert_true(ckpx_axis_columns(&axis, 100, 105, &first, &last));
	assert_int_equal(last, 1);
	assert_true(ckpx_axis_columns(&axis, 300, 300, &first, &last));
	assert_int_equal(first, 49);
	assert_int_equal(last, 49);
	assert_false(ckpx_axis_columns(&axis, 50, 100, &first, &last));
	assert_false(ckpx_axis_columns(&axis, 300, 400, &first, &last));
	assert_false(ckpx_axis_columns(&axis, 99, 99, &first, &last));
	pfree(axis.pieces);
}

/* Two stretches of 100 with a long hole between them. */
static void
axis_cuts_holes_short(void **state)
{
	CkpxInterval shown[] = {{1000000, 1000100}, {100, 200}};
	CkpxAxis	axis;

	ckpx_axis_make(&axis, shown, 2, 100, 1000100, 130);
	assert_int_equal(axis.npieces, 3);
	assert_true(axis.pieces[1].is_short);
	assert_false(axis.pieces[0].is_short);
	/* a twelfth of 200, of a length of 216.7 */
	assert_true(fabs(axis.pieces[0].width - 60) < 0.1);
	assert_true(fabs(axis.pieces[1].width - 10) < 0.1);
	assert_true(fabs(ckpx_axis_place(&axis, 1000000) - 70) < 0.1);
	assert_int_equal(ckpx_axis_lsn(&axis, 70.0001), 1000000);
	pfree(axis.pieces);

	/* a short hole keeps its length */
	shown[0].from = 100;
	shown[0].to = 200;
	shown[1].from = 210;
	shown[1].to = 300;
	ckpx_axis_make(&axis, shown, 2, 100, 300, 200);
	assert_true(ckpx_axis_place(&axis, 210) == 110);
	assert_false(axis.pieces[1].is_short);
	pfree(axis.pieces);
}

/* However many holes there are, they take a fifth. */
static void
axis_has_room_for_many_holes(void **state)
{
	static CkpxInterval shown[250];
	CkpxAxis	axis;
	double		holes = 0;

	for (int i = 0; i < lengthof(shown); i++)
	{
		shown[i].from = (XLogRecPtr) i * 1000000 + 1;
		shown[i].to = shown[i].from + 10;
	}
	ckpx_axis_make(&axis, shown, lengthof(shown), 1, shown[249].to, 1000);
	for (uint32 i = 0; i < axis.npieces; i++)
		holes += axis.pieces[i].is_short ? axis.pieces[i].width : 0;
	assert_true(holes > 150 && holes < 201);
	for (int i = 0; i < lengthof(shown); i++)
	{
		double		place = ckpx_axis_place(&axis, shown[i].from + 5);

		assert_in_range(ckpx_axis_lsn(&axis, place), shown[i].from + 4,
						shown[i].from + 5);
	}
	pfree(axis.pieces);
}

/* ---- text */

static void
nothing_yet(void **state)
{
	char	   *picture;

	in.problem = "the server's wal_level is minimal";
	picture = draw_text(100, NULL, 0);
	assert_string_equal(picture,
						"problem: the server's wal_level is minimal\n"
						"covered: nothing, no epoch has begun\n"
						"pins: none\n");
	pfree(picture);
	picture = draw_svg();
	expect_xml(picture);
	assert_non_null(strstr(picture, "no epoch has begun"));
	pfree(picture);

	/* an epoch that has just begun, without any WAL */
	begin_epoch(1, InvalidXLogRecPtr, 16 * MB, "the first start");
	picture = draw_text(100, NULL, 0);
	expect_line(picture, "covered: 0/1000000 to 0/1000000 in epoch 1, timeline 1; no hole");
	expect_no(picture, "map");
	pfree(picture);
}

static void
ten_incrementals(void **state)
{
	char	   *picture;

	begin_epoch(1, InvalidXLogRecPtr, 16 * MB, "the first start");
	for (int i = 0; i < 4; i++)
		add(CKPX_KIND_INCREMENTAL, 1, (16 + 8 * i) * MB, (24 + 8 * i) * MB,
			FIRST_TIME + i * 3600 * SECOND);
	add(CKPX_KIND_GLOBAL, 1, 16 * MB, 48 * MB, FIRST_TIME + 3 * 3600 * SECOND);
	add(CKPX_KIND_INCREMENTAL, 1, 48 * MB, 52 * MB, FIRST_TIME + 4 * 3600 * SECOND)->span.finished = false;
	in.now = FIRST_TIME + 5 * 3600 * SECOND;
	in.checkpointed_lsn = 48 * MB;
	in.released_lsn = 40 * MB;
	in.collected_lsn = 54 * MB;
	in.flushed_lsn = 56 * MB;
	pin("one", 20 * MB);
	points[0].lsn = 16 * MB;
	points[1].lsn = 48 * MB;
	points[1].kind = CKPX_POINT_SHUTDOWN;
	in.npoints = 2;

	in.waiting_for = "transaction 733";
	picture = draw_text(47, NULL, 0);
	expect_line(picture, "WAL held: 16 MB from 0/2800000 on, of these");
	expect_line(picture, "  2048 kB not decoded; an incremental is");
	expect_line(picture, "  pending for 60 min, waiting for transaction");
	expect_line(picture, "newest global: ends at 0/3000000, 2 h old");
	expect_line(picture, "map    ================================------");
	expect_line(picture, "incr.  |.......|.......|.......|.......pppp");
	expect_line(picture, "global [------------------------------]");
	expect_line(picture, "pins       a");
	expect_line(picture, "WAL                            hhhhhhhhppppmmuu");
	expect_line(picture, "PG     o                               s");
	expect_line(picture, "LSN    0/1000000       0/2000000      0/3800000");
	expect_line(picture, "time   00:00:00        01:00:00        05:00:00");
	expect_no(picture, "--- the newest");	/* it fills a half of the picture */
	pfree(picture);
}

/* The times of an axis are those of cuts, not of merges. */
static void
a_global_made_later(void **state)
{
	char	   *picture;

	begin_epoch(1, InvalidXLogRecPtr, 16 * MB, "the first start");
	add(CKPX_KIND_INCREMENTAL, 1, 16 * MB, 24 * MB, FIRST_TIME);
	add(CKPX_KIND_GLOBAL, 1, 16 * MB, 24 * MB, FIRST_TIME + 2 * 3600 * SECOND);
	add(CKPX_KIND_INCREMENTAL, 1, 24 * MB, 48 * MB, FIRST_TIME + 3600 * SECOND);
	in.now = FIRST_TIME + 3 * 3600 * SECOND;
	in.checkpointed_lsn = in.collected_lsn = in.flushed_lsn = 48 * MB;
	picture = draw_text(47, NULL, 0);
	expect_line(picture, "newest global: ends at 0/1800000, 60 min old");
	expect_line(picture, "time   00:00:00        00:00:00        03:00:00");
	pfree(picture);
}

static void
layers_of_the_newest_global(void **state)
{
	const CkpxLayer layers[] = {{40 * MB, FIRST_TIME}, {36 * MB, FIRST_TIME}, {24 * MB, FIRST_TIME}};
	char	   *picture;

	begin_epoch(1, InvalidXLogRecPtr, 8 * MB, "the first start");
	add(CKPX_KIND_GLOBAL, 1, 8 * MB, 16 * MB, in.now);
	add(CKPX_KIND_GLOBAL, 1, 8 * MB, 20 * MB, in.now);
	add(CKPX_KIND_BACKUP, 1, 20 * MB, 21 * MB, in.now);
	add(CKPX_KIND_GLOBAL, 1, 8 * MB, 40 * MB, in.now);
	in.checkpointed_lsn = in.collected_lsn = 40 * MB;
	in.flushed_lsn = in.released_lsn = 40 * MB;
	picture = draw_text(39, layers, 3);
	expect_line(picture, "map    ================================");
	expect_line(picture, "global [--------------|-----------|---]");
	expect_line(picture, "older         |   |");
	expect_line(picture, "backup             |");
	expect_line(picture, "newest global: ends at 0/2800000, 0 s");
	expect_line(picture, "  old, 3 layers");
	pfree(picture);
}

/* Columns that hold several say how many; a hole is seen however narrow. */
static void
neighbours_share_a_column(void **state)
{
	char	   *picture;

	begin_epoch(1, InvalidXLogRecPtr, 1000, "the first start");
	for (int i = 0; i < 33000; i++)
		if (i < 2000 || i == 4200 || i == 4300 || (i >= 6500 && i < 6550) || i > 32000)
			add(CKPX_KIND_INCREMENTAL, 1, 1000 + i, 1001 + i, in.now);
	add(CKPX_KIND_GLOBAL, 1, 1000, 34000, in.now);
	lose(1, 20000, 20001);
	in.checkpointed_lsn = in.collected_lsn = in.flushed_lsn = 34000;
	in.released_lsn = 34000;
	picture = draw_text(40, NULL, 0);
	expect_line(picture, "incr.  MM  2 X                         C");
	expect_line(picture, "map    ===================!=============");
	pfree(picture);
}

/* Two epochs at the same LSNs: what the newer one rolled back is marked. */
static void
epochs_overlap(void **state)
{
	char	   *picture;
	const char *older;

	begin_epoch(1, InvalidXLogRecPtr, 16 * MB, "the first start");
	add(CKPX_KIND_INCREMENTAL, 1, 16 * MB, 24 * MB, in.now);
	add(CKPX_KIND_INCREMENTAL, 1, 24 * MB, 32 * MB, in.now);
	begin_epoch(2, 24 * MB, 24 * MB, "WAL was rolled back");
	add(CKPX_KIND_INCREMENTAL, 2, 24 * MB, 48 * MB, in.now);
	in.checkpointed_lsn = in.collected_lsn = in.flushed_lsn = 48 * MB;
	in.released_lsn = 40 * MB;
	picture = draw_text(39, NULL, 0);
	expect_line(picture, "map            ========================");
	expect_line(picture, "map    ========xxxxxxxx");
	older = strstr(picture, "\nepoch 1 from");
	assert_non_null(older);
	assert_true(strstr(picture, "\nepoch 2 from") < older);
	pfree(picture);

	/* nothing is proven to be this history */
	gaps[1].from_lsn = InvalidXLogRecPtr;
	picture = draw_text(39, NULL, 0);
	expect_line(picture, "map    xxxxxxxxxxxxxxxx");
	pfree(picture);

	/* a gap of an epoch in between is not known any more */
	gaps[1].from_lsn = 24 * MB;
	gaps[1].epoch = entries[2].span.epoch = in.epoch = 3;
	picture = draw_text(39, NULL, 0);
	expect_line(picture, "map    xxxxxxxxxxxxxxxx");
	pfree(picture);
}

/* Old epochs share the last lane. */
static void
many_epochs(void **state)
{
	char	   *picture;

	for (uint32 epoch = 1; epoch <= 200; epoch++)
	{
		begin_epoch(epoch, epoch == 1 ? 0 : in.collected_lsn,
					in.collected_lsn + 16 * MB, "the slot was lost");
		grow(3, MB, SECOND);
	}
	picture = draw_text(120, NULL, 0);
	assert_non_null(strstr(picture, "\nepoch 196 from"));
	expect_no(picture, "\nepoch 195 from");
	assert_non_null(strstr(picture, "\nepochs up to 195, 585 incrementals,"));
	assert_non_null(strstr(picture, "\n193 more gaps: see ckpx_gaps\n"));
	expect_width(picture, 120);
	pfree(picture);
	picture = draw_svg();
	expect_xml(picture);
	assert_true(strlen(picture) < 300000);
	pfree(picture);
}

/* What is far away leaves room for what is shown. */
static void
a_pin_far_before(void **state)
{
	char	   *picture;

	begin_epoch(1, InvalidXLogRecPtr, UINT64CONST(1) << 50, "a jump");
	grow(10, MB, SECOND);
	pin("old", 16 * MB);
	picture = draw_text(100, NULL, 0);
	assert_non_null(strstr(picture, "\npins   a\n"));
	assert_non_null(strstr(picture, "~"));
	assert_non_null(strstr(picture, "|.....|"));
	pfree(picture);
}

/* Pins may be older than the first epoch. */
static void
pins_without_an_epoch(void **state)
{
	char	   *picture;

	pin("one", 16 * MB);
	pin("two", 32 * MB);
	picture = draw_text(100, NULL, 0);
	assert_non_null(strstr(picture, "no epoch has begun"));
	assert_non_null(strstr(picture, "\npins   a"));
	pfree(picture);
	picture = draw_svg();
	expect_xml(picture);
	assert_non_null(strstr(picture, "pin two at 0/2000000"));
	pfree(picture);
}

/* The last bit of a long history is drawn once more. */
static void
newest_part(void **state)
{
	char	   *picture;

	begin_epoch(1, InvalidXLogRecPtr, 16 * MB, "the first start");
	grow(1000, MB, 60 * SECOND);
	picture = draw_text(100, NULL, 0);
	assert_non_null(strstr(picture, "--- the newest "));
	assert_non_null(strstr(picture, "incr.  |.....|"));
	assert_non_null(strstr(picture, "incr.  XXXXXXX"));
	pfree(picture);
}

static void
every_width_and_length(void **state)
{
	static const uint32 counts[] = {0, 1, 10, 1000, 10000};
	static const int widths[] = {CKPX_TEXT_MIN_WIDTH, 41, 79, 100, 333, CKPX_TEXT_MAX_WIDTH};

	for (int i = 0; i < lengthof(counts); i++)
	{
		char	   *picture;

		setup(NULL);
		history(counts[i]);
		in.encoding = PG_SQL_ASCII;
		strlcpy(pins[1].name, "plain", CKPX_PIN_NAME_MAX);
		for (int j = 0; j < lengthof(widths); j++)
		{
			char	   *again = draw_text(widths[j], NULL, 0);

			picture = draw_text(widths[j], NULL, 0);
			assert_string_equal(picture, again);
			expect_width(picture, widths[j]);
			pfree(picture);
			pfree(again);
		}
		picture = draw_svg();
		expect_xml(picture);
		assert_true(strlen(picture) < 300000);
		pfree(picture);
	}
}

static void
wrapping(void **state)
{
	static const struct
	{
		const char *text;
		const char *lines;
	}			cases[] = {
		{"", ""},
		{"\n", "\n"},
		{"one two", "one two\n"},
		{"one two three four", "one two\n  three\n  four\n"},
		{"abcdefghijklmnop", "abcdefghij\n"},
		{"a\nb", "a\nb\n"},
		{"a\001b\177", "a?b?\n"},
		/* wide characters take two columns */
		{"\344\270\200\344\270\200\344\270\200\344\270\200\344\270\200\344\270\200", "\344\270\200\344\270\200\344\270\200\344\270\200\344\270\200\n"},
		{"12345 \303\244\303\244\303\244\303\244", "12345 \303\244\303\244\303\244\303\244\n"},
	};

	for (int i = 0; i < lengthof(cases); i++)
	{
		StringInfoData out;

		initStringInfo(&out);
		ckpx_text_wrap(&out, cases[i].text, 10, 2, PG_UTF8);
		assert_string_equal(out.data, cases[i].lines);
		pfree(out.data);
	}
}

/* ---- SVG */

static void
escaping(void **state)
{
	static const struct
	{
		const char *text;
		int			encoding;
		const char *escaped;
	}			cases[] = {
		{"", PG_UTF8, ""},
		{"a & <b> \"c\" 'd'", PG_UTF8, "a &amp; &lt;b&gt; &quot;c&quot; &#39;d&#39;"},
		{"&amp;", PG_UTF8, "&amp;amp;"},
		{"]]>", PG_UTF8, "]]&gt;"},
		{"1\0012\0373\1774\0335", PG_UTF8, "1?2?3?4?5"},
		{"a\tb\nc", PG_UTF8, "a?b\nc"},
		{"\303\244\360\237\220\230", PG_UTF8, "&#228;&#128024;"},
		{"\303\244", PG_SQL_ASCII, "??"},
		{"\344", PG_LATIN1, "?"},
		/* controls beyond ASCII, U+FFFF, U+1FFFE */
		{"\302\205 \357\277\277 \360\237\277\276", PG_UTF8, "? ? ?"},
	};

	for (int i = 0; i < lengthof(cases); i++)
	{
		StringInfoData out;

		initStringInfo(&out);
		ckpx_svg_escape(&out, cases[i].text, cases[i].encoding);
		assert_string_equal(out.data, cases[i].escaped);
		pfree(out.data);
	}
}

/* Names get into the document by every way, and nothing of it comes from elsewhere. */
static void
document_stands_alone(void **state)
{
	char	   *picture;

	history(100);
	in.problem = "</desc><script>";
	in.waiting_for = "\"]]>";
	strlcpy(gaps[2].reason, "<a x='y'>\303\244\001", CKPX_GAP_REASON_MAX);
	picture = draw_svg();
	expect_xml(picture);
	expect_no(picture, "<script");
	expect_no(picture, "<a ");
	expect_no(picture, "<image");
	expect_no(picture, "url(");
	expect_no(picture, "@import");
	expect_no(picture, "href=");
	assert_null(strstr(strstr(picture, "http://www.w3.org/2000/svg") + 1, "http"));
	assert_non_null(strstr(picture, "a &amp; &lt;b&gt; &quot;c&quot; &#39;d&#39; ? &#228;"));
	assert_non_null(strstr(picture, "<title id=\"ckpx-title\">"));
	assert_non_null(strstr(picture, "<desc id=\"ckpx-desc\">"));
	assert_non_null(strstr(picture, "prefers-color-scheme:dark"));
	assert_non_null(strstr(picture, "class=\"lost\""));
	assert_non_null(strstr(picture, "class=\"left\""));
	assert_non_null(strstr(picture, "class=\"untracked\""));
	pfree(picture);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(axis_is_linear_where_something_is_shown, setup),
		cmocka_unit_test_setup(axis_cuts_holes_short, setup),
		cmocka_unit_test_setup(axis_has_room_for_many_holes, setup),
		cmocka_unit_test_setup(nothing_yet, setup),
		cmocka_unit_test_setup(ten_incrementals, setup),
		cmocka_unit_test_setup(a_global_made_later, setup),
		cmocka_unit_test_setup(layers_of_the_newest_global, setup),
		cmocka_unit_test_setup(neighbours_share_a_column, setup),
		cmocka_unit_test_setup(epochs_overlap, setup),
		cmocka_unit_test_setup(many_epochs, setup),
		cmocka_unit_test_setup(a_pin_far_before, setup),
		cmocka_unit_test_setup(pins_without_an_epoch, setup),
		cmocka_unit_test_setup(newest_part, setup),
		cmocka_unit_test_setup(every_width_and_length, setup),
		cmocka_unit_test_setup(wrapping, setup),
		cmocka_unit_test_setup(escaping, setup),
		cmocka_unit_test_setup(document_stands_alone, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
