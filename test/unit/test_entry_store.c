/*-------------------------------------------------------------------------
 *
 * test_entry_store.c
 *		The history of entries: what gets in, what answers a range, and what
 *		becomes of both when an epoch ends, an object is damaged or WAL is
 *		rolled back.
 *
 * Two random tests look at it from two sides: one compares each answer with
 * a model that knows only lists, the other asks of each answer only whether
 * it is true, with one flag per LSN that says which epoch really watched it.
 *
 *-------------------------------------------------------------------------
 */
#include "core/history/entry_store.h"
#include "entry_store_check.h"
#include "gc_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>
#include <cmocka.h>

#include "test_random.h"

#define I	CKPX_KIND_INCREMENTAL
#define G	CKPX_KIND_GLOBAL
#define B	CKPX_KIND_BACKUP
#define S	CKPX_KIND_SEGMENT

#define MAX_ENTRIES		64

static CkpxEntryStore *store;
static uint32 chosen[MAX_ENTRIES];
static CkpxCollectResult result;

static CkpxEntry *
at(uint32 index)
{
	return ckpx_entry_store_at(store, index);
}

static CkpxEntry
make(CkpxEntryKind kind, uint32 epoch, XLogRecPtr start, XLogRecPtr end,
	 CkpxEntryState state)
{
	CkpxEntry	entry = {0};

	entry.kind = kind;
	entry.state = state;
	entry.range.epoch = epoch;
	entry.range.timeline = 1;
	entry.range.start_lsn = start;
	entry.range.end_lsn = end;
	return entry;
}

static CkpxStoreResult
insert(CkpxEntryKind kind, XLogRecPtr start, XLogRecPtr end)
{
	CkpxEntry	entry = make(kind, store->epoch, start, end,
							 CKPX_ENTRY_PENDING);

	return ckpx_entry_store_insert(store, &entry);
}

static CkpxStoreResult
load(CkpxEntryKind kind, uint32 epoch, XLogRecPtr start, XLogRecPtr end)
{
	CkpxEntry	entry = make(kind, epoch, start, end, CKPX_ENTRY_FINISHED);

	return ckpx_entry_store_load(store, &entry);
}

/* An entry of the open epoch, which is there. */
static CkpxEntry *
find(CkpxEntryKind kind, XLogRecPtr start, XLogRecPtr end)
{
	CkpxEntry  *entry = ckpx_entry_store_find(store, kind, store->epoch,
											  start, end);

	assert_non_null(entry);
	return entry;
}

static void
start(CkpxEntryKind kind, XLogRecPtr from, XLogRecPtr end)
{
	assert_true(ckpx_entry_transition(find(kind, from, end),
									  CKPX_EVENT_START));
}

static void
finish(CkpxEntryKind kind, XLogRecPtr from, XLogRecPtr end)
{
	start(kind, from, end);
	assert_true(ckpx_entry_transition(find(kind, from, end),
									  CKPX_EVENT_FINISH));
}

/* Insert and finish. */
static void
add(CkpxEntryKind kind, XLogRecPtr start, XLogRecPtr end)
{
	assert_int_equal(insert(kind, start, end), CKPX_STORE_OK);
	finish(kind, start, end);
}

static bool
take_out(CkpxEntryStore *from, CkpxEntryKind kind, uint32 epoch,
		 XLogRecPtr start, XLogRecPtr end)
{
	CkpxEntry	entry = {0};

	entry.kind = kind;
	entry.range.epoch = epoch;
	entry.range.start_lsn = start;
	entry.range.end_lsn = end;
	return ckpx_entry_store_remove(from, &entry);
}

static void
drop(CkpxEntryKind kind, uint32 epoch, XLogRecPtr start, XLogRecPtr end)
{
	assert_true(take_out(store, kind, epoch, start, end));
}

static void
begin(XLogRecPtr from, XLogRecPtr start)
{
	ckpx_entry_store_begin_epoch(store, 1, from, start, 1, "test");
}

static void
damage(uint32 epoch, XLogRecPtr from, XLogRecPtr to)
{
	ckpx_entry_store_add_damage(store, epoch, 1, from, to, 1, "damaged");
}

static void
check(void)
{
	const char *problem = ckpx_entry_store_check(store);

	if (problem)
		fail_msg("%s", problem);
}

static void
expect_problem(const char *want)
{
	const char *problem = ckpx_entry_store_check(store);

	assert_non_null(problem);
	assert_string_equal(problem, want);
}

/*
 * The same entries in the same order, wherever in the pool they are and
 * however they got there.
 */
static void
expect_same(const CkpxEntryStore *other)
{
	CkpxEntryStore head;

	memcpy(&head, other, offsetof(CkpxEntryStore, pool));
	head.moves = store->moves;
	assert_memory_equal(store, &head, offsetof(CkpxEntryStore, pool));
	for (uint32 i = 0; i < store->nentries; i++)
	{
		CkpxEntrySpan a = ckpx_entry_store_span(store, i);
		CkpxEntrySpan b = ckpx_entry_store_span(other, i);

		assert_memory_equal(&a, &b, sizeof(a));
		assert_memory_equal(at(i), ckpx_entry_store_at(other, i),
							sizeof(CkpxEntry));
	}
}

/* An object that may be lost, if ndoubtful is 1. */
static CkpxEntrySpan doubtful;
static uint32 ndoubtful = 0;

/* Compare a plan with the model. */
static void
plan(CkpxGcEntry *entries, const CkpxGcRules *rules, const CkpxPin *pins,
	 uint32 npins)
{
	CkpxEntryStore *head = malloc(offsetof(CkpxEntryStore, pool));
	CkpxGcHistory history = {head};
	bool		model_goes[MAX_ENTRIES];
	bool		model_lost[MAX_ENTRIES];

	memcpy(head, store, offsetof(CkpxEntryStore, pool));
	head->nentries = head->max_entries = 0;
	history.stretch = ckpx_entry_store_stretch_start(store);
	history.checkpointed = ckpx_entry_store_checkpointed(store);
	history.pins = pins;
	history.npins = npins;
	history.doubtful = &doubtful;
	history.ndoubtful = ndoubtful;
	for (uint32 i = 0; i < store->nentries; i++)
		ckpx_gc_describe(&entries[i], at(i));
	(void) ckpx_gc_plan(entries, store->nentries, &history, rules);
	gc_model_plan(store, &history, rules, model_goes, model_lost);
	for (uint32 i = 0; i < store->nentries; i++)
	{
		assert_int_equal(entries[i].goes, model_goes[i]);
		assert_int_equal(entries[i].lost, model_lost[i]);
	}
	free(head);
}

/* Does the entry go where only its being covered counts? */
static bool
goes(uint32 index)
{
	CkpxGcEntry entries[MAX_ENTRIES];
	CkpxGcRules rules = {0};

	rules.ignore_age = true;
	rules.keep_ms = PG_INT64_MAX;
	plan(entries, &rules, NULL, 0);
	return entries[index].goes;
}

static bool
is_covered(CkpxEntryKind kind, uint32 epoch, XLogRecPtr start, XLogRecPtr end)
{
	for (uint32 i = 0; i < store->nentries; i++)
	{
		if (at(i) == ckpx_entry_store_find(store, kind, epoch, start, end))
			return goes(i);
	}
	fail();
	return false;
}

/* The line of the scenarios' step that runs; zero where none does. */
static int	line_of_step = 0;

static int
setup(void **arg)
{
	store = malloc(ckpx_entry_store_size(MAX_ENTRIES));
	memset(store, 0x5a, ckpx_entry_store_size(MAX_ENTRIES));
	ckpx_entry_store_init(store, MAX_ENTRIES);
	return 0;
}

static int
teardown(void **arg)
{
	if (line_of_step != 0)
		print_message("the step of line %d failed\n", line_of_step);
	line_of_step = 0;
	free(store);
	return 0;
}

/* Epoch 1 from 100 with incrementals of 100 up to 'end'. */
static void
chain(XLogRecPtr end)
{
	begin(InvalidXLogRecPtr, 100);
	for (XLogRecPtr lsn = 100; lsn < end; lsn += 100)
		add(I, lsn, lsn + 100);
	check();
}

static void
collect(XLogRecPtr start, XLogRecPtr end)
{
	memset(&result, 0x5a, sizeof(result));
	ckpx_entry_store_collect(store, start, end, false, chosen, &result);
}

/* What was chosen, as "G100-300 I300-400". */
static const char *
chosen_text(void)
{
	static char text[MAX_ENTRIES * 16];
	int			n = 0;

	text[0] = '\0';
	for (uint32 i = 0; i < result.nchosen; i++)
	{
		const CkpxEntry *entry = at(chosen[i]);

		n += sprintf(text + n, "%s%c%d-%d", i ? " " : "",
					 "?IGBS"[entry->kind], (int) entry->range.start_lsn,
					 (int) entry->range.end_lsn);
	}
	return text;
}

/* The answer covers everything, with these objects. */
static void
expect_complete(XLogRecPtr start, XLogRecPtr end, const char *objects,
				XLogRecPtr from, XLogRecPtr checkpointed)
{
	collect(start, end);
	assert_string_equal(chosen_text(), objects);
	assert_true(result.complete);
	assert_int_equal(result.from_lsn, from);
	assert_int_equal(result.checkpointed, checkpointed);
	assert_int_equal(result.missing_from, InvalidXLogRecPtr);
	assert_false(result.stale);
}

/* The answer ends too early, at 'checkpointed'. */
static void
expect_part(XLogRecPtr start, XLogRecPtr end, const char *objects,
			XLogRecPtr from, XLogRecPtr checkpointed)
{
	collect(start, end);
	assert_string_equal(chosen_text(), objects);
	assert_false(result.complete);
	assert_int_equal(result.from_lsn, from);
	assert_int_equal(result.checkpointed, checkpointed);
	assert_int_equal(result.missing_from, checkpointed);
	assert_false(result.stale);
}

static void
expect_nothing(XLogRecPtr start, XLogRecPtr end)
{
	collect(start, end);
	assert_int_equal(result.nchosen, 0);
	assert_false(result.complete);
	assert_int_equal(result.from_lsn, InvalidXLogRecPtr);
	assert_int_equal(result.checkpointed, InvalidXLogRecPtr);
	assert_int_equal(result.missing_from, start);
	assert_false(result.stale);
}

static void
expect_stale(XLogRecPtr start, XLogRecPtr end, XLogRecPtr oldest)
{
	collect(start, end);
	assert_int_equal(result.nchosen, 0);
	assert_false(result.complete);
	assert_int_equal(result.checkpointed, InvalidXLogRecPtr);
	assert_true(result.stale);
	assert_int_equal(result.oldest, oldest);
}

/* Epoch 1 [100, 450), known to 450; epoch 2 from 500, cut up to 700. */
static void
two_epochs(void)
{
	chain(400);
	begin(450, 500);
	add(I, 500, 600);
	add(I, 600, 700);
}

static uint32
lose(CkpxEntryKind kind, XLogRecPtr start, XLogRecPtr end)
{
	CkpxEntry	entry = make(kind, store->epoch, start, end,
							 CKPX_ENTRY_FINISHED);
	uint32		nholes = ckpx_entry_store_lose(store, &entry, 5, "lost");

	assert_null(ckpx_entry_store_find(store, kind, store->epoch, start, end));
	check();
	return nholes;
}

/* The last gap is damage of this range. */
static void
expect_hole(XLogRecPtr from, XLogRecPtr to)
{
	const CkpxGap *gap = &store->gaps[store->ngaps - 1];

	assert_true(gap->damaged);
	assert_int_equal(gap->epoch, store->epoch);
	assert_int_equal(gap->from_lsn, from);
	assert_int_equal(gap->to_lsn, to);
	assert_int_equal(gap->detected_at, 5);
	assert_string_equal(gap->reason, "lost");
}

/*-------------------------------------------------------------------------
 * Scenarios: what is done to a store, and what it must answer then
 *-------------------------------------------------------------------------
 */

typedef struct Step
{
	void		(*run) (const struct Step *step);
	int			line;			/* of this file */
	CkpxEntryKind kind;
	uint32		epoch;
	XLogRecPtr	start;
	XLogRecPtr	end;
	const char *text;			/* the objects of an answer, or a problem */
	XLogRecPtr	from;			/* of an answer */
	XLogRecPtr	to;
	uint64		(*value) (void);
	uint64		want;
} Step;

#define MAX_STEPS	32

typedef struct Scenario
{
	const char *name;
	Step		steps[MAX_STEPS];	/* to the first without a function */
} Scenario;

#define STEP_FUNCTION(name, action) \
static void \
name(const Step *step) \
{ \
	action; \
}

STEP_FUNCTION(do_begin, begin(step->from, step->start))
STEP_FUNCTION(do_chain, chain(step->end))
STEP_FUNCTION(do_two_epochs, two_epochs())
STEP_FUNCTION(do_add, add(step->kind, step->start, step->end))
STEP_FUNCTION(do_start, start(step->kind, step->start, step->end))
STEP_FUNCTION(do_finish, finish(step->kind, step->start, step->end))
STEP_FUNCTION(do_drop, drop(step->kind, step->epoch, step->start, step->end))
STEP_FUNCTION(do_damage, damage(step->epoch, step->start, step->end))
STEP_FUNCTION(do_collect, collect(step->start, step->end))
STEP_FUNCTION(do_check, check())
STEP_FUNCTION(do_tombstones,
			  find(step->kind, step->start, step->end)->tombstones_from =
			  step->want)
STEP_FUNCTION(do_insert,
			  assert_int_equal(insert(step->kind, step->start, step->end),
							   step->want))
STEP_FUNCTION(do_load,
			  assert_int_equal(load(step->kind, step->epoch, step->start,
									step->end), step->want))
STEP_FUNCTION(do_lose,
			  assert_int_equal(lose(step->kind, step->start, step->end),
							   step->want))
STEP_FUNCTION(expects_complete,
			  expect_complete(step->start, step->end, step->text, step->from,
							  step->to))
STEP_FUNCTION(expects_part,
			  expect_part(step->start, step->end, step->text, step->from,
						  step->to))
STEP_FUNCTION(expects_nothing, expect_nothing(step->start, step->end))
STEP_FUNCTION(expects_stale,
			  expect_stale(step->start, step->end, step->want))
STEP_FUNCTION(expects_hole, expect_hole(step->start, step->end))
STEP_FUNCTION(expects_problem, expect_problem(step->text))
STEP_FUNCTION(expects_covered,
			  assert_int_equal(is_covered(step->kind, step->epoch,
										  step->start, step->end),
							   step->want))
STEP_FUNCTION(expects_value, assert_int_equal(step->value(), step->want))

static void
expects_newest(const Step *step)
{
	const CkpxEntry *newest = ckpx_entry_store_newest(store, step->kind,
													  step->want != 0);

	assert_int_equal(newest ? newest->range.end_lsn : 0, step->end);
}

#define VALUE(name, expression) \
static uint64 \
value_of_##name(void) \
{ \
	return (expression); \
}

VALUE(epoch, result.epoch)
VALUE(complete, result.complete)
VALUE(stale, result.stale)
VALUE(nchosen, result.nchosen)
VALUE(answered_to, result.checkpointed)
VALUE(missing_from, result.missing_from)
VALUE(oldest, result.oldest)
VALUE(oldest_epoch, result.oldest_epoch)
VALUE(oldest_end, result.oldest_end)
VALUE(ngaps, store->ngaps)
VALUE(checkpointed, ckpx_entry_store_checkpointed(store))
VALUE(low_water_mark, ckpx_entry_store_low_water_mark(store))
VALUE(stretch_start, ckpx_entry_store_stretch_start(store))
VALUE(uncovered, ckpx_entry_store_uncovered(store))

static uint64
value_of_previous_global(void)
{
	const CkpxEntry *previous = ckpx_entry_store_previous_global(store);

	return previous ? previous->range.start_lsn : 0;
}

#define STEP(function, ...) {.run = function, .line = __LINE__, __VA_ARGS__}
#define RANGE(s, e)			.start = s, .end = e

#define BEGIN(f, s)			STEP(do_begin, .from = f, .start = s)
#define CHAIN(e)			STEP(do_chain, .end = e)
#define ADD(k, s, e)		STEP(do_add, .kind = k, RANGE(s, e))
#define START(k, s, e)		STEP(do_start, .kind = k, RANGE(s, e))
#define FINISH(k, s, e)		STEP(do_finish, .kind = k, RANGE(s, e))
#define DROP(k, n, s, e)	STEP(do_drop, .kind = k, .epoch = n, RANGE(s, e))
#define DAMAGE(n, s, e)		STEP(do_damage, .epoch = n, RANGE(s, e))
#define COLLECT(s, e)		STEP(do_collect, RANGE(s, e))
#define TWO_EPOCHS			STEP(do_two_epochs, .epoch = 2)
#define CHECK				STEP(do_check, .epoch = 0)
#define TOMBSTONES(k, s, e, w) \
	STEP(do_tombstones, .kind = k, RANGE(s, e), .want = w)

/* What comes of it: CKPX_STORE_..., or the number of holes. */
#define INSERT(k, s, e, w) \
	STEP(do_insert, .kind = k, RANGE(s, e), .want = CKPX_STORE_##w)
#define LOAD(k, n, s, e, w) \
	STEP(do_load, .kind = k, .epoch = n, RANGE(s, e), .want = CKPX_STORE_##w)
#define LOSE(k, s, e, w)	STEP(do_lose, .kind = k, RANGE(s, e), .want = w)

/* Answers as expect_complete() and the others have them. */
#define COMPLETE(s, e, objects, f, t) \
	STEP(expects_complete, RANGE(s, e), .text = objects, .from = f, .to = t)
#define PART(s, e, objects, f, t) \
	STEP(expects_part, RANGE(s, e), .text = objects, .from = f, .to = t)
#define NOTHING(s, e)		STEP(expects_nothing, RANGE(s, e))
#define STALE(s, e, w)		STEP(expects_stale, RANGE(s, e), .want = w)
#define HOLE(s, e)			STEP(expects_hole, RANGE(s, e))
#define PROBLEM(t)			STEP(expects_problem, .text = t)
#define COVERED(k, n, s, e, w) \
	STEP(expects_covered, .kind = k, .epoch = n, RANGE(s, e), .want = w)
#define NEWEST(k, finished, e) \
	STEP(expects_newest, .kind = k, .end = e, .want = finished)
#define IS(name, w) \
	STEP(expects_value, .value = value_of_##name, .want = w)

/* A name, what is done and expected. */
static const Scenario scenarios[] = {
	/* ---- Insertion */
	/*
	 * An incremental starts where the one before it ended, and waits for it.
	 */
	{"insert_incremental", {
		BEGIN(0, 100),
		INSERT(I, 150, 200, NOT_CONTIGUOUS), INSERT(I, 100, 200, OK),
		INSERT(I, 200, 300, UNFINISHED), INSERT(I, 100, 200, UNFINISHED),
		FINISH(I, 100, 200),
		INSERT(I, 100, 200, NOT_CONTIGUOUS),
		INSERT(I, 150, 300, NOT_CONTIGUOUS),
		INSERT(I, 250, 300, NOT_CONTIGUOUS), INSERT(I, 200, 300, OK), CHECK}},
	{"insert_global", {
		CHAIN(400),
		INSERT(G, 200, 400, BAD_RANGE), INSERT(G, 100, 350, NOT_CONTIGUOUS),
		INSERT(G, 100, 500, NOT_CONTIGUOUS), INSERT(G, 100, 300, OK),
		INSERT(G, 100, 400, UNFINISHED),
		FINISH(G, 100, 300),
		INSERT(G, 100, 200, STALE), INSERT(G, 100, 300, STALE),
		INSERT(G, 100, 400, OK), CHECK}},
	/* The end of an incremental that is not finished is not an end. */
	{"insert_global_over_unfinished", {
		CHAIN(300),
		INSERT(I, 300, 400, OK), INSERT(G, 100, 400, NOT_CONTIGUOUS),
		INSERT(G, 100, 300, OK), CHECK}},
	/* A global needs its sources: the global before, and what follows that. */
	{"insert_global_needs_sources", {
		CHAIN(500), ADD(G, 100, 300), DROP(I, 1, 100, 200),
		DROP(I, 1, 200, 300),
		INSERT(G, 100, 500, OK),
		DROP(G, 1, 100, 500), DROP(I, 1, 300, 400),
		INSERT(G, 100, 500, BAD_RANGE),
		DAMAGE(1, 300, 400),
		INSERT(G, 100, 500, BAD_RANGE), CHECK}},
	{"insert_backup", {
		CHAIN(300),
		INSERT(B, 250, 320, NOT_CONTIGUOUS), INSERT(B, 300, 320, OK),
		INSERT(B, 300, 330, UNFINISHED),
		FINISH(B, 300, 320),
		INSERT(B, 300, 320, DUPLICATE), INSERT(B, 300, 330, OK),
		FINISH(B, 300, 330),
		INSERT(B, 100, 330, OK), CHECK}},
	{"insert_segment", {
		CHAIN(300),
		INSERT(S, 310, 320, OK), INSERT(S, 320, 330, OK),
		INSERT(S, 320, 330, DUPLICATE), INSERT(S, 50, 60, BAD_RANGE),
		ADD(I, 300, 330),
		CHECK}},
	/*
	 * When all incrementals are gone, the next begins where the global ends.
	 */
	{"checkpointed_by_global", {
		CHAIN(300), ADD(G, 100, 300), DROP(I, 1, 100, 200),
		DROP(I, 1, 200, 300),
		IS(checkpointed, 300), INSERT(I, 100, 400, NOT_CONTIGUOUS),
		INSERT(I, 300, 400, OK), IS(checkpointed, 300), CHECK}},
	/* The next incremental begins behind damage, not within it. */
	{"checkpointed_by_damage", {
		CHAIN(400), DROP(I, 1, 300, 400), DAMAGE(1, 300, 400),
		IS(checkpointed, 400), INSERT(I, 300, 500, NOT_CONTIGUOUS),
		ADD(I, 400, 500),
		CHECK,
		PART(150, 500, "I100-200 I200-300", 100, 300), NOTHING(300, 500),
		NOTHING(350, 500),
		COMPLETE(400, 500, "I400-500", 400, 500)}},

	/* ---- Collect, one epoch */
	{"collect_incrementals", {
		CHAIN(500),
		COMPLETE(100, 500, "I100-200 I200-300 I300-400 I400-500", 100, 500),
		COMPLETE(200, 300, "I200-300", 200, 300), IS(epoch, 1)}},
	{"collect_start_inside_incremental", {
		CHAIN(500),
		COMPLETE(250, 400, "I200-300 I300-400", 200, 400),
		COMPLETE(299, 300, "I200-300", 200, 300),
		COMPLETE(199, 201, "I100-200 I200-300", 100, 300)}},
	{"collect_end_at_entrys_end", {
		CHAIN(500),
		COMPLETE(200, 400, "I200-300 I300-400", 200, 400),
		COMPLETE(200, 399, "I200-300 I300-400", 200, 400),
		COMPLETE(200, 401, "I200-300 I300-400 I400-500", 200, 500)}},
	{"collect_empty_range", {
		CHAIN(300),
		COMPLETE(200, 200, "", 0, 0),
		COMPLETE(100, 100, "", 0, 0),
		COMPLETE(50, 50, "", 0, 0),
		COMPLETE(900, 900, "", 0, 0)}},
	{"collect_end_beyond_cover", {
		CHAIN(300),
		PART(150, 301, "I100-200 I200-300", 100, 300),
		PART(150, PG_UINT64_MAX, "I100-200 I200-300", 100, 300)}},
	{"collect_start_beyond_cover", {
		CHAIN(300),
		NOTHING(300, 400), NOTHING(350, 400), IS(epoch, 1), IS(oldest, 100)}},
	{"collect_start_before_first", {
		CHAIN(300),
		NOTHING(99, 300), IS(epoch, 0), NOTHING(1, PG_UINT64_MAX)}},
	{"collect_unfinished_is_not_there", {
		CHAIN(300),
		INSERT(I, 300, 400, OK),
		PART(200, 400, "I200-300", 200, 300), NOTHING(300, 400),
		START(I, 300, 400),
		PART(200, 400, "I200-300", 200, 300), INSERT(G, 100, 300, OK),
		PART(200, 400, "I200-300", 200, 300)}},
	{"collect_global_first", {
		CHAIN(500), ADD(G, 100, 300),
		COMPLETE(100, 500, "G100-300 I300-400 I400-500", 100, 500),
		COMPLETE(100, 200, "G100-300", 100, 300),
		COMPLETE(100, 300, "G100-300", 100, 300),
		COMPLETE(100, 301, "G100-300 I300-400", 100, 400)}},
	{"collect_start_inside_global", {
		CHAIN(500), ADD(G, 100, 300),
		COMPLETE(299, 500, "G100-300 I300-400 I400-500", 100, 500),
		COMPLETE(299, 300, "G100-300", 100, 300)}},
	{"collect_global_older_than_start", {
		CHAIN(500), ADD(G, 100, 300),
		COMPLETE(300, 500, "I300-400 I400-500", 300, 500),
		COMPLETE(350, 400, "I300-400", 300, 400)}},
	{"collect_newest_global", {
		CHAIN(500), ADD(G, 100, 200), ADD(G, 100, 400),
		COMPLETE(150, 500, "G100-400 I400-500", 100, 500),
		INSERT(G, 100, 500, OK),
		COMPLETE(150, 500, "G100-400 I400-500", 100, 500),
		FINISH(G, 100, 500),
		COMPLETE(150, 500, "G100-500", 100, 500)}},
	{"collect_after_gc", {
		CHAIN(500), ADD(G, 100, 400), DROP(I, 1, 100, 200),
		DROP(I, 1, 200, 300), DROP(I, 1, 300, 400),
		CHECK,
		COMPLETE(150, 500, "G100-400 I400-500", 100, 500),
		COMPLETE(150, 250, "G100-400", 100, 400)}},
	/* The incremental behind the global is gone: the answer ends there. */
	{"collect_hole_after_global", {
		CHAIN(500), ADD(G, 100, 300), DROP(I, 1, 300, 400),
		PROBLEM("an incremental is missing"),
		PART(150, 500, "G100-300", 100, 300), NOTHING(300, 500),
		NOTHING(399, 500),
		COMPLETE(400, 500, "I400-500", 400, 500)}},
	{"collect_hole", {
		CHAIN(600), DROP(I, 1, 300, 400),
		PART(150, 600, "I100-200 I200-300", 100, 300), NOTHING(300, 600),
		COMPLETE(450, 600, "I400-500 I500-600", 400, 600)}},
	{"collect_ignores_backups_and_segments", {
		CHAIN(300), ADD(B, 300, 350), ADD(S, 200, 300), ADD(S, 300, 400),
		PART(100, 400, "I100-200 I200-300", 100, 300), NOTHING(300, 350),
		IS(checkpointed, 300)}},
	{"collect_start_not_given", {
		CHAIN(300),
		COMPLETE(0, 200, "I100-200", 100, 200),
		PART(0, 400, "I100-200 I200-300", 100, 300),
		COMPLETE(0, 100, "", 0, 0)}},
	{"collect_empty_epoch", {
		BEGIN(0, 100),
		NOTHING(100, 200), IS(epoch, 1), IS(oldest, 100),
		COLLECT(0, 200),
		IS(complete, false), IS(missing_from, 100)}},
	/* Whatever a store holds that it should not, nothing false is answered. */
	{"collect_overlapping_incrementals", {
		BEGIN(0, 100),
		LOAD(I, 1, 100, 200, OK), LOAD(I, 1, 150, 300, OK),
		PROBLEM("two incrementals overlap"),
		PART(100, 300, "I100-200", 100, 200)}},

	/* ---- Collect, damage */
	{"damage_stops_the_walk", {
		CHAIN(600), DROP(I, 1, 300, 400), DAMAGE(1, 300, 400),
		CHECK,
		PART(100, 600, "I100-200 I200-300", 100, 300), NOTHING(300, 600),
		NOTHING(350, 360),
		COMPLETE(400, 600, "I400-500 I500-600", 400, 600)}},
	/* Even where the damaged entry was not taken away. */
	{"damage_with_entry", {
		CHAIN(600), DAMAGE(1, 300, 400),
		PART(100, 600, "I100-200 I200-300", 100, 300), NOTHING(350, 600),
		COMPLETE(400, 600, "I400-500 I500-600", 400, 600)}},
	{"damage_healed_by_global", {
		CHAIN(600), ADD(G, 100, 500), DROP(I, 1, 300, 400),
		DAMAGE(1, 300, 400),
		CHECK,
		COMPLETE(150, 600, "G100-500 I500-600", 100, 600),
		COMPLETE(350, 360, "G100-500", 100, 500)}},
	{"damage_behind_global", {
		CHAIN(600), ADD(G, 100, 300), DROP(I, 1, 400, 500),
		DAMAGE(1, 400, 500),
		CHECK,
		PART(150, 600, "G100-300 I300-400", 100, 400)}},
	{"damage_of_another_epoch", {
		CHAIN(300), BEGIN(300, 300), ADD(I, 300, 400), DAMAGE(1, 300, 400),
		COMPLETE(300, 400, "I300-400", 300, 400), IS(checkpointed, 400)}},
	/* No global over damage; the next one begins behind it. */
	{"damage_and_new_global", {
		CHAIN(500), DAMAGE(1, 200, 300),
		IS(stretch_start, 300), INSERT(G, 100, 500, BAD_RANGE),
		INSERT(G, 100, 200, BAD_RANGE), INSERT(G, 300, 500, OK)}},

	/* ---- Lost objects */
	{"lose_incremental", {
		CHAIN(600), ADD(G, 100, 200),
		LOSE(I, 300, 400, 1), HOLE(300, 400),
		/* found again: recorded once */
		LOSE(I, 300, 400, 1), IS(ngaps, 2),
		PART(100, 600, "G100-200 I200-300", 100, 300),
		COMPLETE(400, 600, "I400-500 I500-600", 400, 600),
		/* globals go on behind it, and take in what is there */
		IS(stretch_start, 400), IS(previous_global, 0), IS(uncovered, 2),
		ADD(G, 400, 500),
		IS(previous_global, 400), IS(uncovered, 1),
		ADD(I, 600, 700), ADD(G, 400, 700), DROP(G, 1, 400, 500),
		DROP(I, 1, 400, 500), DROP(I, 1, 500, 600), DROP(I, 1, 600, 700),
		CHECK,
		COMPLETE(450, 700, "G400-700", 400, 700),
		PART(150, 700, "G100-200 I200-300", 100, 300), IS(stretch_start, 400),
		IS(uncovered, 0), IS(low_water_mark, 100),
		COVERED(I, 1, 200, 300, false)}},
	/* A global holds the range: nothing is missing. */
	{"lose_healed_incremental", {
		CHAIN(400), ADD(G, 100, 300),
		LOSE(I, 200, 300, 0), IS(ngaps, 1), IS(stretch_start, 100),
		COMPLETE(250, 400, "G100-300 I300-400", 100, 400),
		INSERT(G, 100, 400, OK)}},
	/* The chain's end stays where it was. */
	{"lose_newest", {
		CHAIN(400),
		LOSE(I, 300, 400, 1), HOLE(300, 400), IS(checkpointed, 400),
		IS(stretch_start, 400), IS(uncovered, 0),
		ADD(I, 400, 500), ADD(G, 400, 500),
		CHECK}},
	/* While its incrementals are there, a global is no loss. */
	{"lose_global_with_incrementals", {
		CHAIN(500), ADD(G, 100, 400),
		LOSE(G, 100, 400, 0),
		COMPLETE(150, 500, "I100-200 I200-300 I300-400 I400-500", 100, 500),
		IS(uncovered, 4), INSERT(G, 100, 500, OK)}},
	/* Only what nothing else holds is missing. */
	{"lose_global", {
		CHAIN(600), ADD(G, 100, 200), ADD(G, 100, 500), DROP(I, 1, 100, 200),
		DROP(I, 1, 200, 300),
		LOSE(G, 100, 500, 1), HOLE(200, 300),
		PART(150, 600, "G100-200", 100, 200), NOTHING(250, 600),
		COMPLETE(350, 600, "I300-400 I400-500 I500-600", 300, 600),
		INSERT(G, 100, 600, BAD_RANGE),
		ADD(G, 300, 600),
		CHECK,
		COMPLETE(350, 600, "G300-600", 300, 600)}},
	{"lose_global_alone", {
		CHAIN(400), ADD(G, 100, 400), DROP(I, 1, 100, 200),
		DROP(I, 1, 200, 300), DROP(I, 1, 300, 400),
		LOSE(G, 100, 400, 1), HOLE(100, 400), IS(checkpointed, 400),
		NOTHING(100, 400),
		ADD(I, 400, 500), ADD(G, 400, 500),
		COMPLETE(400, 500, "G400-500", 400, 500), IS(low_water_mark, 400)}},
	/*
	 * Not known any more which blocks an end before the last tombstone needs.
	 */
	{"removed_tombstones", {
		CHAIN(500), ADD(G, 100, 300), ADD(G, 100, 400),
		TOMBSTONES(G, 100, 300, 200), TOMBSTONES(G, 100, 400, 350),
		/* an older global, or the incrementals */
		COMPLETE(150, 350, "G100-400", 100, 400),
		COMPLETE(150, 340, "G100-300 I300-400", 100, 400),
		COMPLETE(150, 200, "G100-300", 100, 300),
		COMPLETE(150, 190, "I100-200", 100, 200),
		DROP(I, 1, 100, 200), COLLECT(150, 190),
		IS(stale, true), IS(nchosen, 0), IS(answered_to, 0),
		IS(oldest_end, 200), IS(missing_from, 150),
		DROP(I, 1, 300, 400), COLLECT(150, 340),
		IS(stale, true), IS(oldest_end, 350),
		DROP(G, 1, 100, 300),
		/* a part of it is in an incremental */
		COLLECT(250, 320),
		IS(stale, true), IS(nchosen, 0),
		COMPLETE(150, 360, "G100-400", 100, 400),
		COMPLETE(150, 450, "G100-400 I400-500", 100, 500),
		/* what it covers is covered */
		COVERED(I, 1, 200, 300, true)}},

	/* ---- Collect, several epochs */
	{"epochs_answer_by_their_ranges", {
		TWO_EPOCHS,
		COMPLETE(100, 400, "I100-200 I200-300 I300-400", 100, 400),
		IS(epoch, 1),
		COMPLETE(500, 700, "I500-600 I600-700", 500, 700), IS(epoch, 2)}},
	{"answer_never_crosses_an_epoch", {
		TWO_EPOCHS,
		PART(200, 700, "I200-300 I300-400", 200, 400), IS(epoch, 1)}},
	/* Even where the epochs adjoin. */
	{"adjoining_epochs", {
		CHAIN(400), BEGIN(400, 400), ADD(I, 400, 500),
		PART(200, 500, "I200-300 I300-400", 200, 400),
		COMPLETE(200, 400, "I200-300 I300-400", 200, 400),
		COMPLETE(400, 500, "I400-500", 400, 500), IS(epoch, 2)}},
	{"start_in_gap", {
		TWO_EPOCHS,
		NOTHING(400, 700), IS(epoch, 1), NOTHING(450, 700), IS(epoch, 0),
		NOTHING(499, 700), IS(oldest, 100)}},
	{"no_start_in_two_epochs", {
		TWO_EPOCHS,
		COMPLETE(0, 700, "I500-600 I600-700", 500, 700),
		COMPLETE(0, 300, "I100-200 I200-300", 100, 300),
		PART(0, 470, "I100-200 I200-300 I300-400", 100, 400),
		COMPLETE(0, 500, "", 0, 0)}},
	{"global_of_closed_epoch", {
		CHAIN(400), ADD(G, 100, 300), BEGIN(450, 500), ADD(I, 500, 600),
		COMPLETE(150, 400, "G100-300 I300-400", 100, 400),
		PART(150, 600, "G100-300 I300-400", 100, 400)}},
	/* End at or before the oldest kept epoch. */
	{"stale", {
		TWO_EPOCHS,
		STALE(50, 100, 100), IS(oldest_epoch, 1),
		DROP(I, 1, 100, 200), DROP(I, 1, 200, 300),
		COMPLETE(300, 400, "I300-400", 300, 400), NOTHING(100, 200),
		IS(oldest, 300),
		DROP(I, 1, 300, 400),
		STALE(100, 200, 500), IS(oldest_epoch, 2), STALE(100, 500, 500),
		STALE(450, 500, 500), NOTHING(100, 501),
		COLLECT(0, 200),
		IS(stale, true), IS(oldest, 500), CHECK}},
	/* The oldest incremental of the epoch was lost: a hole, not stale. */
	{"not_stale_within_epoch", {
		CHAIN(400), DROP(I, 1, 100, 200), DAMAGE(1, 100, 200),
		CHECK, NOTHING(100, 150), IS(oldest, 200), STALE(50, 100, 200)}},
	/*
	 * A restored data directory writes 300 and after again, and is tracked
	 * again from there: the newer epoch wins wherever both hold an LSN, and
	 * the older one's objects that reach beyond are of no use.
	 */
	{"rolled_back", {
		CHAIN(600), BEGIN(300, 300),
		NOTHING(400, 500), IS(epoch, 2),
		ADD(I, 300, 450),
		COMPLETE(350, 450, "I300-450", 300, 450), IS(epoch, 2),
		COMPLETE(150, 300, "I100-200 I200-300", 100, 300),
		PART(150, 600, "I100-200 I200-300", 100, 300),
		PART(150, 400, "I100-200 I200-300", 100, 300)}},
	/* The histories part within an incremental: it is of no use as a whole. */
	{"rolled_back_within_incremental", {
		CHAIN(600), BEGIN(350, 350),
		PART(200, 400, "I200-300", 200, 300),
		PART(200, 340, "I200-300", 200, 300), NOTHING(310, 340),
		IS(epoch, 1)}},
	/* They part before tracking begins again. */
	{"rolled_back_then_untracked", {
		CHAIN(600), BEGIN(200, 500), ADD(I, 500, 600),
		PART(100, 600, "I100-200", 100, 200), NOTHING(250, 600), IS(epoch, 0),
		COMPLETE(500, 600, "I500-600", 500, 600)}},
	/* The caller told the old end, not where they part: the new start cuts. */
	{"rolled_back_with_old_end", {
		CHAIN(600), BEGIN(600, 300), ADD(I, 300, 600),
		COMPLETE(300, 600, "I300-600", 300, 600), IS(epoch, 2),
		PART(200, 600, "I200-300", 200, 300)}},
	{"rolled_back_global", {
		CHAIN(600), ADD(G, 100, 300), ADD(G, 100, 500), BEGIN(450, 450),
		PART(150, 600, "G100-300 I300-400", 100, 400),
		COVERED(I, 1, 300, 400, false), COVERED(I, 1, 200, 300, true)}},
	/* Rolled back over two epochs, the limit holds for both. */
	{"rolled_back_over_two_epochs", {
		TWO_EPOCHS, BEGIN(250, 300), ADD(I, 300, 650),
		PART(100, 700, "I100-200", 100, 200),
		COMPLETE(500, 600, "I300-650", 300, 650), IS(epoch, 3),
		NOTHING(260, 300)}},
	/* Nothing is proven about what was before. */
	{"unknown_past", {
		CHAIN(400), BEGIN(0, 500), ADD(I, 500, 600),
		STALE(100, 400, 500), NOTHING(100, 600),
		COMPLETE(500, 600, "I500-600", 500, 600)}},

	/* ---- The other questions */
	{"newest", {
		CHAIN(300),
		NEWEST(G, false, 0), INSERT(I, 300, 400, OK), NEWEST(I, false, 400),
		NEWEST(I, true, 300), INSERT(G, 100, 300, OK), NEWEST(G, false, 300),
		NEWEST(G, true, 0),
		ADD(B, 300, 350),
		NEWEST(B, true, 350),
		BEGIN(400, 400),
		NEWEST(I, false, 0)}},
	{"uncovered", {
		BEGIN(0, 100),
		IS(uncovered, 0),
		ADD(I, 100, 200), ADD(I, 200, 300), ADD(I, 300, 400),
		ADD(S, 400, 410), ADD(B, 400, 420),
		IS(uncovered, 3), INSERT(I, 400, 500, OK), IS(uncovered, 3),
		INSERT(G, 100, 300, OK), IS(uncovered, 3),
		FINISH(G, 100, 300),
		IS(uncovered, 1),
		FINISH(I, 400, 500),
		IS(uncovered, 2),
		ADD(G, 100, 500),
		IS(uncovered, 0),
		BEGIN(500, 500),
		IS(uncovered, 0)}},
	/* Of several globals the one that reaches farthest counts. */
	{"is_covered_by_any", {
		CHAIN(600),
		LOAD(G, 1, 100, 500, OK), LOAD(G, 1, 300, 400, OK),
		COVERED(G, 1, 300, 400, true), COVERED(I, 1, 400, 500, true),
		COVERED(I, 1, 500, 600, false)}},
	{"low_water_mark", {
		BEGIN(0, 100),
		IS(low_water_mark, 100), INSERT(I, 100, 200, OK),
		IS(low_water_mark, 100),
		FINISH(I, 100, 200), ADD(I, 200, 300), DROP(I, 1, 100, 200),
		IS(low_water_mark, 200), LOAD(G, 1, 100, 300, OK),
		IS(low_water_mark, 100),
		DROP(I, 1, 200, 300),
		IS(low_water_mark, 100),
		BEGIN(300, 400),
		IS(low_water_mark, 400)}},
};

static void
run_scenario(void **arg)
{
	const Scenario *scenario = *arg;

	for (const Step *step = scenario->steps; step->run != NULL; step++)
	{
		line_of_step = step->line;
		step->run(step);
	}
	line_of_step = 0;
}

/*-------------------------------------------------------------------------
 * Insertion
 *-------------------------------------------------------------------------
 */

static void
test_no_epoch(void **arg)
{
	assert_int_equal(insert(I, 100, 200), CKPX_STORE_WRONG_EPOCH);
	assert_int_equal(load(I, 1, 100, 200), CKPX_STORE_WRONG_EPOCH);
	assert_int_equal(ckpx_entry_store_checkpointed(store), InvalidXLogRecPtr);
	assert_int_equal(ckpx_entry_store_low_water_mark(store),
					 InvalidXLogRecPtr);
	assert_int_equal(ckpx_entry_store_uncovered(store), 0);
	assert_null(ckpx_entry_store_newest(store, I, false));
	assert_int_equal(ckpx_entry_store_after(store, 0, 9, chosen), 0);
	expect_nothing(100, 200);
	assert_int_equal(result.epoch, 0);
	expect_complete(100, 100, "", 0, 0);
	check();
}

static void
test_insert_bad(void **arg)
{
	CkpxEntry	entry;

	begin(InvalidXLogRecPtr, 100);
	assert_int_equal(insert(I, 100, 100), CKPX_STORE_BAD_RANGE);
	assert_int_equal(insert(I, 200, 100), CKPX_STORE_BAD_RANGE);
	assert_int_equal(insert(I, 99, 200), CKPX_STORE_BAD_RANGE);
	assert_int_equal(insert(CKPX_KIND_NONE, 100, 200), CKPX_STORE_BAD_ENTRY);
	assert_int_equal(insert((CkpxEntryKind) 9, 100, 200),
					 CKPX_STORE_BAD_ENTRY);
	entry = make(I, 1, 100, 200, CKPX_ENTRY_FINISHED);
	assert_int_equal(ckpx_entry_store_insert(store, &entry),
					 CKPX_STORE_BAD_ENTRY);
	entry = make(I, 2, 100, 200, CKPX_ENTRY_PENDING);
	assert_int_equal(ckpx_entry_store_insert(store, &entry),
					 CKPX_STORE_WRONG_EPOCH);
	assert_int_equal(store->nentries, 0);
}

static void
test_full(void **arg)
{
	begin(InvalidXLogRecPtr, 100);
	for (XLogRecPtr lsn = 100; lsn < 100 + MAX_ENTRIES; lsn++)
		add(I, lsn, lsn + 1);
	assert_int_equal(insert(I, 100 + MAX_ENTRIES, 200), CKPX_STORE_FULL);
	assert_int_equal(load(S, 1, 100, 200), CKPX_STORE_FULL);
	check();
	drop(I, 1, 100 + MAX_ENTRIES - 1, 100 + MAX_ENTRIES);
	assert_int_equal(insert(I, 100 + MAX_ENTRIES - 1, 200), CKPX_STORE_OK);
}

static void
test_load(void **arg)
{
	CkpxEntry	entry;

	ckpx_entry_store_restore(store, 3, 1, 1000, NULL, 0);
	assert_int_equal(load(I, 4, 1000, 1100), CKPX_STORE_WRONG_EPOCH);
	assert_int_equal(load(I, 0, 1000, 1100), CKPX_STORE_WRONG_EPOCH);
	assert_int_equal(load(I, 3, 900, 1100), CKPX_STORE_BAD_RANGE);
	assert_int_equal(load(I, 3, 1100, 1100), CKPX_STORE_BAD_RANGE);
	assert_int_equal(load((CkpxEntryKind) 5, 3, 1000, 1100),
					 CKPX_STORE_BAD_ENTRY);
	entry = make(I, 3, 1000, 1100, CKPX_ENTRY_PENDING);
	assert_int_equal(ckpx_entry_store_load(store, &entry),
					 CKPX_STORE_BAD_ENTRY);

	/* any order; globals go behind incrementals */
	assert_int_equal(load(G, 3, 1000, 1200), CKPX_STORE_OK);
	assert_int_equal(load(I, 3, 1100, 1200), CKPX_STORE_OK);
	assert_int_equal(load(B, 3, 1100, 1200), CKPX_STORE_OK);
	assert_int_equal(load(I, 1, 100, 200), CKPX_STORE_OK);
	assert_int_equal(load(I, 3, 1000, 1100), CKPX_STORE_OK);
	assert_int_equal(load(S, 3, 1200, 1210), CKPX_STORE_OK);
	assert_int_equal(load(I, 3, 1000, 1100), CKPX_STORE_DUPLICATE);
	assert_int_equal(store->nentries, 6);
	assert_int_equal(at(0)->range.epoch, 1);
	assert_int_equal(at(1)->range.end_lsn, 1100);
	assert_int_equal(at(2)->kind, I);
	assert_int_equal(at(3)->kind, B);
	assert_int_equal(at(4)->kind, G);
	assert_int_equal(at(5)->kind, S);
	check();
}

/* What a manifest holds makes the same store again. */
static void
test_restore(void **arg)
{
	CkpxEntryStore *other = malloc(ckpx_entry_store_size(MAX_ENTRIES));

	chain(400);
	begin(450, 500);
	add(I, 500, 600);
	add(G, 500, 600);
	damage(1, 200, 300);

	ckpx_entry_store_init(other, MAX_ENTRIES);
	ckpx_entry_store_restore(other, store->epoch, store->timeline,
							 store->epoch_start, store->gaps, store->ngaps);
	for (uint32 i = store->nentries; i-- > 0;)
		assert_int_equal(ckpx_entry_store_load(other, at(i)),
						 CKPX_STORE_OK);
	expect_same(other);
	assert_null(ckpx_entry_store_check(other));
	free(other);
}

static void
test_find_and_remove(void **arg)
{
	CkpxEntry  *entry;

	chain(300);
	add(G, 100, 300);
	entry = ckpx_entry_store_find(store, I, 1, 200, 300);
	assert_non_null(entry);
	assert_int_equal(entry->kind, I);
	assert_null(ckpx_entry_store_find(store, B, 1, 200, 300));
	assert_null(ckpx_entry_store_find(store, CKPX_KIND_NONE, 1, 200, 300));
	assert_null(ckpx_entry_store_find(store, I, 2, 200, 300));
	assert_null(ckpx_entry_store_find(store, I, 1, 100, 300));
	assert_null(ckpx_entry_store_find(store, I, 1, 200, 301));
	assert_false(take_out(store, I, 1, 100, 300));
	drop(G, 1, 100, 300);
	assert_false(take_out(store, G, 1, 100, 300));
	assert_int_equal(store->nentries, 2);
	check();
}

/* A running job owns its entry. */
static void
test_remove_running(void **arg)
{
	CkpxEntry  *entry;

	chain(100);
	assert_int_equal(insert(I, 100, 200), CKPX_STORE_OK);
	entry = ckpx_entry_store_find(store, I, 1, 100, 200);
	assert_true(ckpx_entry_transition(entry, CKPX_EVENT_START));
	assert_false(take_out(store, I, 1, 100, 200));
	assert_true(ckpx_entry_transition(entry, CKPX_EVENT_ABANDON));
	drop(I, 1, 100, 200);
	assert_int_equal(store->nentries, 0);
}

/* Removing many at once leaves what removing them one by one leaves. */
static void
test_remove_all(void **arg)
{
	CkpxEntryStore *other = malloc(ckpx_entry_store_size(MAX_ENTRIES));
	CkpxEntrySpan victims[MAX_ENTRIES + 2];
	CkpxEntry  *running;

	for (int run = 0; run < 200; run++)
	{
		uint32		count = 0;
		uint32		there = 0;

		ckpx_entry_store_init(store, MAX_ENTRIES);
		chain(700);
		add(G, 100, 500);
		assert_int_equal(insert(I, 700, 800), CKPX_STORE_OK);
		running = ckpx_entry_store_find(store, I, 1, 700, 800);
		assert_true(ckpx_entry_transition(running, CKPX_EVENT_START));
		memcpy(other, store, ckpx_entry_store_size(MAX_ENTRIES));

		if (next_random() % 2 == 0)
			victims[count++] = (CkpxEntrySpan) {50, 90, 1, 1, 0, I, true};
		for (uint32 i = 0; i < store->nentries; i++)
		{
			if (next_random() % 2 == 0)
				victims[count++] = ckpx_entry_store_span(store, i);
		}
		victims[count++] = (CkpxEntrySpan) {800, 900, 2, 1, 0, I, true};

		for (uint32 i = 0; i < count; i++)
			there += take_out(other, victims[i].kind, victims[i].epoch,
							  victims[i].start_lsn, victims[i].end_lsn);
		assert_int_equal(ckpx_entry_store_remove_all(store, victims, count),
						 there);
		expect_same(other);
	}
	free(other);
}

/* A span never says other than its entry, whenever that was finished. */
static void
test_spans(void **arg)
{
	CkpxEntry  *entry;
	CkpxEntrySpan span;

	chain(300);
	assert_int_equal(insert(I, 300, 400), CKPX_STORE_OK);
	assert_int_equal(ckpx_entry_store_next_open(store, 0), 2);
	assert_int_equal(ckpx_entry_store_next_open(store, 2), 2);
	assert_int_equal(ckpx_entry_store_next_open(store, 3), 3);
	span = ckpx_entry_store_span(store, 2);
	assert_false(span.finished);

	/* As a job does it: the entry is completed in its place. */
	entry = ckpx_entry_store_find(store, I, 1, 300, 400);
	assert_true(ckpx_entry_transition(entry, CKPX_EVENT_START));
	entry->version = 7;
	entry->range.timeline = 3;
	assert_true(ckpx_entry_transition(entry, CKPX_EVENT_FINISH));
	span = ckpx_entry_store_span(store, 2);
	assert_true(span.finished);
	assert_int_equal(span.kind, I);
	assert_int_equal(span.epoch, 1);
	assert_int_equal(span.start_lsn, 300);
	assert_int_equal(span.end_lsn, 400);
	assert_int_equal(span.version, 7);
	assert_int_equal(span.timeline, 3);
	collect(100, 400);
	assert_int_equal(result.nchosen, 3);

	/* The next one that comes in lets the store know. */
	assert_int_equal(insert(I, 400, 500), CKPX_STORE_OK);
	assert_int_equal(ckpx_entry_store_next_open(store, 0), 3);
	span = ckpx_entry_store_span(store, 2);
	assert_int_equal(span.version, 7);
	check();

	/* The entry is not to be changed any more. */
	at(2)->version = 8;
	expect_problem("an entry and its span disagree");
	at(2)->version = 7;
	check();
}

/* Whatever makes an index mean another entry is seen in 'moves'. */
static void
test_moves(void **arg)
{
	uint64		moves;

	chain(300);
	moves = store->moves;
	add(I, 300, 400);
	collect(100, 400);
	assert_false(take_out(store, G, 1, 100, 400));
	assert_int_equal(store->moves, moves);

	assert_int_equal(load(S, 1, 150, 250), CKPX_STORE_OK);
	assert_int_not_equal(store->moves, moves);
	moves = store->moves;
	drop(S, 1, 150, 250);
	assert_int_not_equal(store->moves, moves);
	moves = store->moves;
	ckpx_entry_store_begin_epoch(store, 2, 400, 500, 0, "");
	assert_int_not_equal(store->moves, moves);
	moves = store->moves;
	ckpx_entry_store_init(store, store->max_entries);
	assert_int_not_equal(store->moves, moves);
}

/*-------------------------------------------------------------------------
 * Epochs and gaps
 *-------------------------------------------------------------------------
 */

static void
test_begin_epoch(void **arg)
{
	chain(300);
	assert_int_equal(insert(I, 300, 400), CKPX_STORE_OK);
	assert_int_equal(insert(G, 100, 300), CKPX_STORE_OK);
	ckpx_entry_store_begin_epoch(store, 2, 450, 500, 77, "the slot was lost");
	assert_int_equal(store->epoch, 2);
	assert_int_equal(store->timeline, 2);
	assert_int_equal(store->nentries, 2);
	assert_int_equal(store->ngaps, 2);
	assert_int_equal(store->gaps[0].from_lsn, InvalidXLogRecPtr);
	assert_int_equal(store->gaps[1].epoch, 2);
	assert_int_equal(store->gaps[1].timeline, 2);
	assert_int_equal(store->gaps[1].from_lsn, 450);
	assert_int_equal(store->gaps[1].to_lsn, 500);
	assert_int_equal(store->gaps[1].detected_at, 77);
	assert_false(store->gaps[1].damaged);
	assert_string_equal(store->gaps[1].reason, "the slot was lost");
	assert_int_equal(ckpx_entry_store_checkpointed(store), 500);
	assert_int_equal(ckpx_entry_store_low_water_mark(store), 500);
	assert_null(ckpx_entry_store_newest(store, I, false));
	check();
}

static void
test_gap_at(void **arg)
{
	chain(300);
	assert_null(ckpx_entry_store_gap_at(store, 100));
	assert_int_equal(ckpx_entry_store_gap_at(store, 99)->to_lsn, 100);
	begin(450, 500);
	assert_int_equal(ckpx_entry_store_gap_at(store, 0)->to_lsn, 100);
	assert_int_equal(ckpx_entry_store_gap_at(store, 100)->to_lsn, 500);

	/* found last, and yet the first that ends behind the LSN */
	ckpx_entry_store_add_damage(store, 1, 1, 200, 300, 5, "lost");
	assert_int_equal(ckpx_entry_store_gap_at(store, 150)->from_lsn, 200);
	assert_int_equal(ckpx_entry_store_gap_at(store, 300)->from_lsn, 450);
	assert_null(ckpx_entry_store_gap_at(store, 500));
}

/* Expect the first hole at or behind 'from' of an epoch; 0, 0: none. */
static void
finds_hole(uint32 epoch, XLogRecPtr from, XLogRecPtr hole_from,
		   XLogRecPtr hole_to)
{
	XLogRecPtr	to;
	bool		found = ckpx_entry_store_hole(store, epoch, &from, &to);

	assert_int_equal(found, hole_to != 0);
	if (!found)
		return;
	assert_int_equal(from, hole_from);
	assert_int_equal(to, hole_to);
}

static void
test_holes(void **arg)
{
	chain(200);
	finds_hole(1, 0, 0, 0);
	finds_hole(2, 0, 0, 0);
	assert_int_equal(load(I, 1, 300, 400), CKPX_STORE_OK);
	assert_int_equal(load(I, 1, 600, 700), CKPX_STORE_OK);
	finds_hole(1, 0, 200, 300);
	finds_hole(1, 300, 400, 600);
	finds_hole(1, 600, 0, 0);

	/* damage explains the hole, or a part of it */
	ckpx_entry_store_add_damage(store, 1, 1, 200, 300, 5, "lost");
	finds_hole(1, 0, 400, 600);
	ckpx_entry_store_add_damage(store, 1, 1, 450, 500, 5, "lost");
	finds_hole(1, 0, 400, 450);
	finds_hole(1, 450, 500, 600);

	/* a global does, a backup does not */
	assert_int_equal(load(B, 1, 400, 600), CKPX_STORE_OK);
	finds_hole(1, 0, 400, 450);
	assert_int_equal(load(G, 1, 100, 700), CKPX_STORE_OK);
	finds_hole(1, 0, 0, 0);
	begin(750, 800);
	finds_hole(1, 0, 0, 0);
	finds_hole(2, 0, 0, 0);
}

static void
test_reason_is_cut(void **arg)
{
	char		reason[200];

	memset(reason, 'x', sizeof(reason));
	reason[CKPX_GAP_REASON_MAX - 1] = '\0';
	ckpx_entry_store_begin_epoch(store, 1, 0, 100, 1, reason);
	assert_string_equal(store->gaps[0].reason, reason);

	reason[CKPX_GAP_REASON_MAX - 1] = 'x';
	reason[199] = '\0';
	ckpx_entry_store_begin_epoch(store, 1, 100, 100, 1, reason);
	assert_int_equal(strlen(store->gaps[1].reason), CKPX_GAP_REASON_MAX - 1);

	/* a three-byte character across the end goes as a whole */
	memcpy(reason + CKPX_GAP_REASON_MAX - 3, "\xe2\x82\xac", 3);
	ckpx_entry_store_begin_epoch(store, 1, 100, 100, 1, reason);
	assert_int_equal(strlen(store->gaps[2].reason), CKPX_GAP_REASON_MAX - 3);

	/* one that just fits stays */
	memset(reason, 'x', 199);
	memcpy(reason + CKPX_GAP_REASON_MAX - 4, "\xe2\x82\xac", 3);
	ckpx_entry_store_begin_epoch(store, 1, 100, 100, 1, reason);
	assert_int_equal(strlen(store->gaps[3].reason), CKPX_GAP_REASON_MAX - 1);

	ckpx_entry_store_begin_epoch(store, 1, 100, 100, 1, NULL);
	assert_string_equal(store->gaps[4].reason, "");
	check();
}

/* The newest gaps stay; an epoch whose closing gap went does not answer. */
static void
test_gaps_overflow(void **arg)
{
	chain(200);
	begin(250, 300);
	add(I, 300, 400);
	expect_complete(100, 200, "I100-200", 100, 200);

	/* epoch 1's own gap goes: it begins with its first object */
	for (int i = 0; i < CKPX_MAX_GAPS - 1; i++)
		begin(1000 + i, 1000 + i);
	assert_int_equal(store->ngaps, CKPX_MAX_GAPS);
	assert_int_equal(store->gaps[0].epoch, 2);
	expect_complete(100, 200, "I100-200", 100, 200);
	expect_complete(InvalidXLogRecPtr, 200, "I100-200", 100, 200);
	expect_complete(300, 400, "I300-400", 300, 400);

	/* now the one that closed it */
	begin(2000, 2000);
	assert_int_equal(store->gaps[0].epoch, 3);
	expect_stale(100, 200, 300);
	expect_complete(300, 400, "I300-400", 300, 400);
	check();
}

static void
test_damage_is_recorded_once(void **arg)
{
	chain(400);
	damage(1, 200, 300);
	damage(1, 200, 300);
	damage(1, 220, 280);
	assert_int_equal(store->ngaps, 2);
	assert_true(store->gaps[1].damaged);
	assert_int_equal(store->gaps[1].from_lsn, 200);
	assert_int_equal(store->gaps[1].to_lsn, 300);
	damage(1, 200, 301);
	assert_int_equal(store->ngaps, 3);
}

static void
test_forget_gaps(void **arg)
{
	chain(200);
	ckpx_entry_store_begin_epoch(store, 1, 250, 300, 10, "second");
	ckpx_entry_store_begin_epoch(store, 1, 350, 400, 20, "third");
	for (uint32 i = 0; i < store->ngaps; i++)
		store->gaps[i].clock_ms = 100 + 10 * i;
	assert_int_equal(ckpx_entry_store_forget_gaps(store, 200, 0), 0);
	drop(I, 1, 100, 200);
	assert_int_equal(ckpx_entry_store_forget_gaps(store, 150, 51), 0);
	assert_int_equal(ckpx_entry_store_forget_gaps(store, 150, 50), 1);
	assert_int_equal(ckpx_entry_store_forget_gaps(store, 150, 41), 0);

	/* Nothing tells how old it is, whatever its date. */
	store->gaps[0].clock_ms = 0;
	assert_int_equal(ckpx_entry_store_forget_gaps(store, 150, 0), 0);
	store->gaps[0].clock_ms = 110;
	assert_int_equal(ckpx_entry_store_forget_gaps(store, 150, 40), 1);
	assert_int_equal(ckpx_entry_store_forget_gaps(store, 200, 0), 0);
	assert_int_equal(store->ngaps, 1);
	assert_int_equal(store->gaps[0].epoch, 3);
	check();
}

/*-------------------------------------------------------------------------
 * Collect, with incrementals before globals
 *-------------------------------------------------------------------------
 */

/* Incrementals stand in for a global where they hold all of its range. */
static void
test_collect_incrementals_first(void **arg)
{
	chain(600);
	add(G, 100, 300);
	add(G, 100, 500);

	ckpx_entry_store_collect(store, 150, 600, true, chosen, &result);
	assert_string_equal(chosen_text(),
						"I100-200 I200-300 I300-400 I400-500 I500-600");
	assert_true(result.complete);
	assert_int_equal(result.checkpointed, 600);

	/* as far as the range goes is enough */
	assert_true(take_out(store, I, 1, 400, 500));
	ckpx_entry_store_collect(store, 100, 400, true, chosen, &result);
	assert_string_equal(chosen_text(), "I100-200 I200-300 I300-400");

	/* otherwise none of them stands in */
	ckpx_entry_store_collect(store, 100, 600, true, chosen, &result);
	assert_string_equal(chosen_text(), "G100-500 I500-600");
	assert_true(result.complete);

	/* what a damaged range holds is not looked at */
	ckpx_entry_store_add_damage(store, 1, 1, 200, 300, 0, "damaged");
	ckpx_entry_store_collect(store, 100, 400, true, chosen, &result);
	assert_string_equal(chosen_text(), "G100-500");
}

/*-------------------------------------------------------------------------
 * Lost objects
 *-------------------------------------------------------------------------
 */

/* A backup or a segment is no part of the chain; a running entry stays. */
static void
test_lose_others(void **arg)
{
	CkpxEntry	entry;

	chain(300);
	assert_int_equal(load(B, 1, 300, 310), CKPX_STORE_OK);
	assert_int_equal(load(S, 1, 300, 320), CKPX_STORE_OK);
	assert_int_equal(lose(B, 300, 310), 0);
	assert_int_equal(lose(S, 300, 320), 0);
	assert_int_equal(store->ngaps, 1);
	assert_int_equal(insert(I, 300, 400), CKPX_STORE_OK);
	entry = *ckpx_entry_store_find(store, I, 1, 300, 400);
	start(I, 300, 400);
	(void) ckpx_entry_store_lose(store, &entry, 5, "lost");
	assert_non_null(ckpx_entry_store_find(store, I, 1, 300, 400));
}

/* One loss cannot push all gaps out of the list. */
static void
test_lose_many_holes(void **arg)
{
	uint32		nholes;

	begin(InvalidXLogRecPtr, 100);
	begin(100, 100);
	for (XLogRecPtr lsn = 100; lsn < 1000; lsn += 10)
		assert_int_equal(load(lsn % 20 == 0 ? B : I, 2, lsn, lsn + 10),
						 store->nentries < MAX_ENTRIES ? CKPX_STORE_OK :
						 CKPX_STORE_FULL);
	for (uint32 i = 0; i < store->nentries;)
	{
		if (at(i)->kind == B)
			drop(B, 2, at(i)->range.start_lsn, at(i)->range.end_lsn);
		else
			i++;
	}
	for (XLogRecPtr lsn = 750; lsn + 10 < 1500 &&
		 store->nentries + 1 < MAX_ENTRIES; lsn += 20)
		assert_int_equal(load(I, 2, lsn, lsn + 10), CKPX_STORE_OK);
	assert_int_equal(load(G, 2, 100, 1500), CKPX_STORE_OK);
	nholes = lose(G, 100, 1500);
	assert_int_equal(nholes, 32);
	assert_int_equal(store->ngaps, 34);
	assert_int_equal(store->gaps[0].epoch, 1);
	assert_int_equal(store->gaps[store->ngaps - 1].to_lsn, 1500);
	assert_int_equal(ckpx_entry_store_stretch_start(store), 1500);
}

/* A start decodes again what lies behind all that is finished. */
static void
test_forget_tail(void **arg)
{
	chain(600);
	assert_int_equal(lose(I, 200, 300), 1);
	assert_int_equal(lose(I, 400, 500), 1);
	assert_int_equal(lose(I, 500, 600), 1);
	assert_int_equal(ckpx_entry_store_checkpointed(store), 600);
	ckpx_entry_store_forget_tail(store);
	assert_int_equal(ckpx_entry_store_checkpointed(store), 400);
	expect_hole(200, 300);
	add(I, 400, 600);
	check();

	assert_int_equal(lose(I, 400, 600), 1);
	assert_int_equal(lose(I, 300, 400), 1);
	assert_int_equal(lose(I, 100, 200), 1);
	ckpx_entry_store_forget_tail(store);
	assert_int_equal(ckpx_entry_store_checkpointed(store), 100);
	assert_int_equal(store->ngaps, 1);
}

/*-------------------------------------------------------------------------
 * The other questions
 *-------------------------------------------------------------------------
 */

static void
test_is_covered(void **arg)
{
	chain(500);
	assert_int_equal(insert(G, 100, 300), CKPX_STORE_OK);
	assert_false(goes(0));
	finish(G, 100, 300);
	assert_true(goes(0));
	assert_true(goes(1));
	assert_int_equal(at(2)->kind, G);
	assert_false(goes(2));
	assert_false(goes(3));
	add(G, 100, 400);
	assert_true(goes(2));
	assert_int_equal(insert(I, 500, 600), CKPX_STORE_OK);
	assert_false(is_covered(I, 1, 500, 600));
}

static void
test_after(void **arg)
{
	chain(500);
	add(G, 100, 300);
	add(S, 300, 350);
	assert_int_equal(ckpx_entry_store_after(store, 0, 99, chosen), 4);
	assert_int_equal(ckpx_entry_store_after(store, 0, 0, chosen), 0);
	assert_int_equal(ckpx_entry_store_after(store, 0, 2, chosen), 2);
	assert_int_equal(at(chosen[0])->range.start_lsn, 100);
	assert_int_equal(at(chosen[1])->range.start_lsn, 200);
	assert_int_equal(ckpx_entry_store_after(store, 200, 99, chosen), 3);
	assert_int_equal(ckpx_entry_store_after(store, 201, 99, chosen), 2);
	assert_int_equal(at(chosen[0])->range.start_lsn, 300);
	assert_int_equal(at(chosen[1])->kind, I);
	assert_int_equal(ckpx_entry_store_after(store, 500, 99, chosen), 0);
	assert_int_equal(insert(I, 500, 600), CKPX_STORE_OK);
	assert_int_equal(ckpx_entry_store_after(store, 400, 99, chosen), 1);
	finish(I, 500, 600);
	assert_int_equal(ckpx_entry_store_after(store, 400, 99, chosen), 2);
	begin(600, 600);
	assert_int_equal(ckpx_entry_store_after(store, 0, 99, chosen), 0);
}

/* An entry skipped because it starts too early does not use up the count. */
static void
test_after_counts_what_it_gives(void **arg)
{
	chain(500);
	assert_int_equal(ckpx_entry_store_after(store, 150, 1, chosen), 1);
	assert_int_equal(at(chosen[0])->range.start_lsn, 200);
}

/*-------------------------------------------------------------------------
 * Check
 *-------------------------------------------------------------------------
 */

static void
test_check_finds_damage(void **arg)
{
	CkpxEntry	entry;

	chain(400);
	at(1)->state = CKPX_ENTRY_PENDING;
	expect_problem("an unfinished incremental is not the newest");
	at(1)->state = CKPX_ENTRY_NONE;
	expect_problem("an entry has an unknown state");
	at(1)->state = CKPX_ENTRY_FINISHED;
	at(1)->kind = CKPX_KIND_NONE;
	expect_problem("an entry has an unknown kind");
	at(1)->kind = I;
	at(1)->range.epoch = 2;
	expect_problem("an entry belongs to no epoch");
	at(1)->range.epoch = 1;
	at(1)->range.start_lsn = 300;
	expect_problem("an entry's range is empty");
	at(1)->range.start_lsn = 50;
	expect_problem("an entry begins before its epoch");
	at(1)->range.start_lsn = 150;
	expect_problem("two incrementals overlap");
	at(1)->range.start_lsn = 250;
	expect_problem("an incremental is missing");
	at(1)->range.start_lsn = 200;
	check();

	entry = *at(0);
	*at(0) = *at(1);
	*at(1) = entry;
	expect_problem("an incremental is missing");
	at(0)->kind = at(1)->kind = S;
	expect_problem("the entries are not in order");
}

static void
test_check_globals(void **arg)
{
	chain(400);
	assert_int_equal(load(G, 1, 200, 300), CKPX_STORE_OK);
	expect_problem("a global does not begin where a stretch does");
	drop(G, 1, 200, 300);
	assert_int_equal(load(G, 1, 100, 250), CKPX_STORE_OK);
	expect_problem("a global ends within an incremental");
	drop(G, 1, 100, 250);
	add(G, 100, 200);
	add(G, 100, 300);
	check();
	ckpx_entry_store_find(store, G, 1, 100, 200)->state = CKPX_ENTRY_RUNNING;
	expect_problem("an unfinished global is not the newest");
}

static void
test_check_gaps(void **arg)
{
	two_epochs();
	store->gaps[1].epoch = 3;
	expect_problem("a gap belongs to no epoch");
	store->gaps[1].epoch = 1;
	expect_problem("the gaps are not in the order of their epochs");
	store->gaps[1].epoch = 2;
	store->gaps[1].to_lsn = 501;
	expect_problem("the open epoch does not begin where its gap ends");
	store->gaps[1].to_lsn = 500;
	check();
	damage(1, 200, 200);
	expect_problem("a damaged range is empty");
	store->ngaps--;
	memset(store->gaps[0].reason, 'x', CKPX_GAP_REASON_MAX);
	expect_problem("a gap's reason does not end");
	store->gaps[0].reason[3] = '\0';
	store->ngaps = CKPX_MAX_GAPS + 1;
	expect_problem("too many gaps");
	store->ngaps = 2;
	store->nentries = MAX_ENTRIES + 1;
	expect_problem("too many entries");
}

/*-------------------------------------------------------------------------
 * Random histories
 *-------------------------------------------------------------------------
 */

#define WORLD	400				/* LSNs 1 .. WORLD */

typedef struct ModelEntry
{
	CkpxEntryKind kind;
	uint32		epoch;
	int			start;
	int			end;
	bool		finished;
} ModelEntry;

/* Lists only, no order, nothing clever. */
static struct
{
	int			nentries;
	ModelEntry	entries[MAX_ENTRIES];
	int			nepochs;		/* epochs 1 .. nepochs */
	int			from[64];		/* of the gap before epoch i */
	int			start[64];
	int			ndamage;
	struct
	{
		int			epoch;
		int			from;
		int			to;
	}			damage[256];
	int			position;		/* where WAL stands */

	/*
	 * Which epoch watched the WAL of the present history at this LSN, with
	 * its record in an object or still to come; 0: none.
	 */
	int			watched[WORLD + 2];
}			model;

static bool
model_damaged(int epoch, int from, int to)
{
	for (int i = 0; i < model.ndamage; i++)
	{
		if (model.damage[i].epoch == epoch && model.damage[i].from < to &&
			model.damage[i].to > from)
			return true;
	}
	return false;
}

static int
model_limit(int epoch)
{
	int			limit = PG_INT32_MAX;

	for (int later = epoch + 1; later <= model.nepochs; later++)
		limit = Min(limit, Min(model.from[later], model.start[later]));
	return limit;
}

static bool
model_usable(const ModelEntry *entry)
{
	return entry->finished && (entry->kind == I || entry->kind == G) &&
		entry->end <= model_limit(entry->epoch);
}

/* The answer by definition: the text of chosen_text(), and the cover's end. */
static const char *
model_collect(int start, int end, int *covered_to)
{
	static char text[MAX_ENTRIES * 16];
	int			epoch;
	int			position = start;
	int			n = 0;
	bool		any = false;

	text[0] = '\0';
	*covered_to = 0;
	for (epoch = model.nepochs; epoch > 0; epoch--)
	{
		if (model.start[epoch] <= start && start < model_limit(epoch))
			break;
	}
	if (epoch == 0)
		return text;

	{
		const ModelEntry *best = NULL;

		for (int i = 0; i < model.nentries; i++)
		{
			const ModelEntry *entry = &model.entries[i];

			if (entry->kind == G && entry->epoch == epoch &&
				model_usable(entry) && entry->start <= start &&
				entry->end > start &&
				(best == NULL || entry->end > best->end))
				best = entry;
		}
		if (best)
		{
			n += sprintf(text + n, "G%d-%d", best->start, best->end);
			position = best->end;
			any = true;
		}
	}

	while (position < end)
	{
		const ModelEntry *next = NULL;
		const ModelEntry *backup = NULL;

		for (int i = 0; i < model.nentries; i++)
		{
			const ModelEntry *entry = &model.entries[i];

			if (entry->kind == I && entry->epoch == epoch &&
				model_usable(entry) &&
				(any ? entry->start == position
				 : entry->start <= position && entry->end > position) &&
				!model_damaged(epoch, Max(entry->start, position), entry->end))
				next = entry;
		}

		/* Where a closed epoch's incrementals end, a backup may go on. */
		for (int i = 0; next == NULL && epoch < model.nepochs &&
			 i < model.nentries; i++)
		{
			const ModelEntry *entry = &model.entries[i];

			if (entry->kind == B && entry->epoch == epoch &&
				entry->finished && entry->end <= model_limit(epoch) &&
				entry->start == position &&
				!model_damaged(epoch, position, entry->end) &&
				(backup == NULL || entry->end > backup->end))
				backup = entry;
		}
		if (next == NULL)
			next = backup;
		if (next == NULL)
			break;
		n += sprintf(text + n, "%s%c%d-%d", any ? " " : "",
					 next == backup ? 'B' : 'I', next->start, next->end);
		position = next->end;
		any = true;
	}
	if (any)
		*covered_to = position;
	return text;
}

static void
model_add(CkpxEntryKind kind, int epoch, int start, int end, bool finished)
{
	ModelEntry *entry = &model.entries[model.nentries++];

	entry->kind = kind;
	entry->epoch = epoch;
	entry->start = start;
	entry->end = end;
	entry->finished = finished;
}

static void
model_remove(int i)
{
	model.entries[i] = model.entries[--model.nentries];
}

/* Begin an epoch, sometimes after a restore to an earlier point. */
static void
random_epoch(void)
{
	int			from = model.position;
	int			start;

	if (next_random() % 2)
		from -= next_random() % Min(model.position, 120);	/* rolled back */
	start = from + (next_random() % 3 ? next_random() % 20 : 0);
	if (start > WORLD - 50)
		start = from;
	if (start < 1)
		start = from = 1;

	/* what was not watched in the history up to here stays so */
	for (int lsn = from; lsn <= WORLD + 1; lsn++)
		model.watched[lsn] = 0;
	model.nepochs++;
	model.from[model.nepochs] = model.nepochs == 1 ? 0 : from;
	model.start[model.nepochs] = start;
	model.position = start;
	for (int i = model.nentries - 1; i >= 0; i--)
	{
		if (!model.entries[i].finished)
			model_remove(i);
	}
	begin(model.from[model.nepochs], start);
}

static void
random_incremental(void)
{
	int			start = (int) ckpx_entry_store_checkpointed(store);
	int			end = start + 1 + next_random() % 15;
	CkpxStoreResult inserted;
	bool		unfinished = false;

	if (end > WORLD)
		return;
	for (int i = 0; i < model.nentries; i++)
	{
		if (model.entries[i].kind == I && !model.entries[i].finished)
			unfinished = true;
	}
	inserted = insert(I, start, end);
	assert_int_equal(inserted, unfinished ? CKPX_STORE_UNFINISHED :
					 model.nentries >= MAX_ENTRIES ? CKPX_STORE_FULL :
					 CKPX_STORE_OK);
	if (inserted != CKPX_STORE_OK)
		return;
	model_add(I, model.nepochs, start, end, false);
	model.position = Max(model.position, end);
}

/* Finish or cancel what is unfinished. */
static void
random_end(void)
{
	for (int i = model.nentries - 1; i >= 0; i--)
	{
		ModelEntry *entry = &model.entries[i];

		if (entry->finished)
			continue;
		if (next_random() % 4 == 0)
		{
			drop(entry->kind, entry->epoch, entry->start, entry->end);
			model_remove(i);
			continue;
		}
		finish(entry->kind, entry->start, entry->end);
		entry->finished = true;
		if (entry->kind == I)
		{
			for (int lsn = entry->start; lsn < entry->end; lsn++)
				model.watched[lsn] = model.nepochs;
		}
	}
}

/* Does a finished entry of the open epoch hold the LSN? */
static bool
model_held(int epoch, int lsn)
{
	for (int i = 0; i < model.nentries; i++)
	{
		const ModelEntry *entry = &model.entries[i];

		if (entry->finished && (entry->kind == I || entry->kind == G) &&
			entry->epoch == epoch && entry->start <= lsn && lsn < entry->end)
			return true;
	}
	return false;
}

/* Behind the last LSN of the open epoch that was lost. */
static int
model_stretch_start(void)
{
	int			start = (int) ckpx_entry_store_checkpointed(store);

	while (start > model.start[model.nepochs] &&
		   model_held(model.nepochs, start - 1))
		start--;
	for (int i = 0; i < model.ndamage; i++)
	{
		bool		healed = false;

		for (int j = 0; j < model.nentries; j++)
		{
			const ModelEntry *entry = &model.entries[j];

			healed = healed || (entry->kind == G && entry->finished &&
								entry->epoch == model.damage[i].epoch &&
								entry->start <= model.damage[i].from &&
								entry->end >= model.damage[i].to);
		}
		if (!healed && model.damage[i].epoch == model.nepochs)
			start = Max(start, model.damage[i].to);
	}
	return start;
}

/* Whatever was lost, a global of what is behind it can be made. */
static void
random_global(void)
{
	const CkpxEntry *newest = ckpx_entry_store_newest(store, I, true);
	const CkpxEntry *any = ckpx_entry_store_newest(store, G, false);
	const CkpxEntry *previous;
	int			start = (int) ckpx_entry_store_stretch_start(store);
	CkpxStoreResult want = CKPX_STORE_OK;

	assert_int_equal(start, model_stretch_start());
	if (newest == NULL)
		return;
	previous = ckpx_entry_store_newest(store, G, true);
	if ((int) newest->range.end_lsn <= start)
		want = CKPX_STORE_BAD_RANGE;
	else if (any != NULL && any->state != CKPX_ENTRY_FINISHED)
		want = CKPX_STORE_UNFINISHED;
	else if (previous != NULL && previous->range.end_lsn >=
			 newest->range.end_lsn)
		want = CKPX_STORE_STALE;
	else if (store->nentries >= MAX_ENTRIES)
		want = CKPX_STORE_FULL;
	assert_int_equal(insert(G, start, newest->range.end_lsn), want);
	if (want == CKPX_STORE_OK)
		model_add(G, model.nepochs, start, (int) newest->range.end_lsn, false);
}

/* An object cannot be read: what nothing else holds of it is missing. */
static void
random_loss(void)
{
	ModelEntry	lost;
	CkpxEntry	entry;
	int			checkpointed = (int) ckpx_entry_store_checkpointed(store);
	int			i;

	if (model.nentries == 0 || model.ndamage >= 100)
		return;
	i = next_random() % model.nentries;
	lost = model.entries[i];
	if (!lost.finished)
		return;
	model_remove(i);
	entry = make(lost.kind, lost.epoch, lost.start, lost.end,
				 CKPX_ENTRY_FINISHED);
	(void) ckpx_entry_store_lose(store, &entry, 1, "lost");
	assert_int_equal(ckpx_entry_store_checkpointed(store), checkpointed);
	if (lost.kind != I && lost.kind != G)
		return;

	for (int lsn = lost.start; lsn < lost.end; lsn++)
	{
		if (model_held(lost.epoch, lsn))
			continue;
		if (lsn > lost.start && model.ndamage > 0 &&
			model.damage[model.ndamage - 1].epoch == lost.epoch &&
			model.damage[model.ndamage - 1].to == lsn &&
			!model_held(lost.epoch, lsn - 1))
			model.damage[model.ndamage - 1].to = lsn + 1;
		else
		{
			model.damage[model.ndamage].epoch = lost.epoch;
			model.damage[model.ndamage].from = lsn;
			model.damage[model.ndamage].to = lsn + 1;
			model.ndamage++;
		}
	}
}

static void
random_gc(void)
{
	for (int i = model.nentries - 1; i >= 0; i--)
	{
		ModelEntry *entry = &model.entries[i];
		const CkpxEntry *found = ckpx_entry_store_find(store, entry->kind,
													   entry->epoch,
													   entry->start,
													   entry->end);

		assert_non_null(found);
		if (next_random() % 2 &&
			(gc_model_is_covered(store, found) ||
			 ((int) entry->epoch < model.nepochs - 2 && entry->finished)))
		{
			drop(entry->kind, entry->epoch, entry->start, entry->end);
			model_remove(i);
		}
	}
}

/* Lose an incremental that no global covers. */
static void
random_damage(void)
{
	int			i;
	ModelEntry *entry;

	if (model.nentries == 0 || model.ndamage >= 100)
		return;
	i = next_random() % model.nentries;
	entry = &model.entries[i];
	if (entry->kind != I || !entry->finished)
		return;
	damage(entry->epoch, entry->start, entry->end);
	model.damage[model.ndamage].epoch = entry->epoch;
	model.damage[model.ndamage].from = entry->start;
	model.damage[model.ndamage].to = entry->end;
	model.ndamage++;
	if (next_random() % 4)
	{
		drop(I, entry->epoch, entry->start, entry->end);
		model_remove(i);
	}
}

static void
random_noise(void)
{
	CkpxEntryKind kind = next_random() % 2 ? S : B;
	int			start = model.position + (int) (next_random() % 5);

	if (load(kind, store->epoch, start, start + 5) != CKPX_STORE_OK)
		return;
	model_add(kind, model.nepochs, start, start + 5, true);

	/* A backup is made of WAL that its epoch has read. */
	for (int lsn = start; kind == B && lsn < Min(start + 5, WORLD + 2); lsn++)
		model.watched[lsn] = model.nepochs;
}

/* Times and pins at random, and a plan by rules at random. */
static void
random_plan(uint64 *ngone)
{
	CkpxGcEntry entries[MAX_ENTRIES];
	CkpxGcRules rules = {0};
	CkpxPin		pins[3] = {0};

	for (uint32 i = 0; i < store->nentries; i++)
	{
		at(i)->range.clock_ms = next_random() % 100;
		at(i)->post_pending = next_random() % 10 == 0;
	}
	for (uint32 i = 0; i < store->ngaps; i++)
		store->gaps[i].clock_ms = next_random() % 100;
	for (int i = 0; i < 3; i++)
	{
		pins[i].lsn = next_random() % WORLD;
		pins[i].epoch = next_random() % (store->epoch + 1);
		pins[i].global_lsn = next_random() % WORLD;
		pins[i].expires_at = next_random() % 2;
		pins[i].expires_clock_ms = next_random() % 200;
	}
	rules.now_ms = 100;
	rules.keep_ms = next_random() % 100;
	rules.ignore_age = next_random() % 2;
	rules.ignore_commands = next_random() % 2;
	if (next_random() % 4 == 0)
		rules.upto = next_random() % WORLD;
	if (next_random() % 4 == 0)
		rules.closed_upto = next_random() % (store->epoch + 1);
	if (store->nentries > 0 && next_random() % 2)
	{
		doubtful = ckpx_entry_store_span(store,
										 next_random() % store->nentries);
		ndoubtful = 1;
	}
	plan(entries, &rules, pins, next_random() % 4);
	ndoubtful = 0;
	for (uint32 i = 0; i < store->nentries; i++)
		*ngone += entries[i].goes;
}

/* Ask any range, compare with the model, and judge the answer by the truth. */
static void
random_question(void)
{
	int			start = 1 + next_random() % WORLD;
	int			end = start + 1 + next_random() % (WORLD - start + 30);
	int			covered_to;
	const char *want = model_collect(start, end, &covered_to);

	collect(start, end);
	if (strcmp(chosen_text(), want) != 0)
		fail_msg("%d-%d: expected \"%s\", got \"%s\"", start, end, want,
				 chosen_text());
	assert_int_equal(result.checkpointed, covered_to);
	assert_int_equal(result.complete, covered_to >= end);
	if (!result.complete)
		assert_int_equal(result.missing_from, covered_to ? covered_to : start);

	/* Each LSN answered for is in one object, of an epoch that watched it. */
	for (int lsn = start; lsn < Min(end, covered_to); lsn++)
	{
		bool		held = false;

		for (uint32 i = 0; i < result.nchosen; i++)
		{
			const CkpxEntry *entry = at(chosen[i]);

			assert_int_equal(entry->range.epoch, result.epoch);
			assert_int_equal(entry->state, CKPX_ENTRY_FINISHED);
			if (entry->range.start_lsn <= lsn && lsn < entry->range.end_lsn)
				held = true;
		}
		assert_true(held);
		assert_int_equal(model.watched[lsn], result.epoch);
	}
}

static void
test_random_histories(void **arg)
{
	uint64		answered = 0;
	uint64		asked = 0;
	uint64		ngone = 0;

	for (int run = 0; run < 400; run++)
	{
		memset(&model, 0, sizeof(model));
		model.position = 1 + next_random() % 100;
		ckpx_entry_store_init(store, MAX_ENTRIES);
		random_epoch();

		for (int step = 0; step < 200; step++)
		{
			uint64		what = next_random() % 100;

			if (what < 35)
				random_incremental();
			else if (what < 70)
				random_end();
			else if (what < 80)
				random_global();
			else if (what < 86)
				random_gc();
			else if (what < 87)
				random_damage();
			else if (what < 88)
				random_loss();
			else if (what < 91)
				random_noise();
			else if (what < 94 && model.nepochs < 60)
				random_epoch();

			assert_int_equal(store->nentries, model.nentries);
			check();
			random_plan(&ngone);
			for (int i = 0; i < 4; i++)
			{
				random_question();
				asked++;
				if (result.nchosen > 0)
					answered++;
			}
		}
	}

	/* The test is worth something only if there are answers. */
	assert_true(answered > asked / 10);
	assert_true(ngone > asked / 10);
}

/* Loading in any order makes the same array. */
static void
test_random_load_order(void **arg)
{
	for (int run = 0; run < 50; run++)
	{
		CkpxEntry	entries[MAX_ENTRIES];
		CkpxEntryStore *other = malloc(ckpx_entry_store_size(MAX_ENTRIES));
		int			count = 0;

		ckpx_entry_store_init(store, MAX_ENTRIES);
		ckpx_entry_store_restore(store, 3, 1, 1, NULL, 0);
		ckpx_entry_store_init(other, MAX_ENTRIES);
		ckpx_entry_store_restore(other, 3, 1, 1, NULL, 0);
		while (count < MAX_ENTRIES)
		{
			int			start = 1 + next_random() % 6;

			entries[count] = make((CkpxEntryKind) (1 + next_random() % 4),
								  1 + next_random() % 3, start,
								  start + 1 + next_random() % 6,
								  CKPX_ENTRY_FINISHED);
			if (ckpx_entry_store_load(store, &entries[count]) == CKPX_STORE_OK)
				count++;
		}
		for (int i = count - 1; i > 0; i--)
		{
			int			j = next_random() % (i + 1);
			CkpxEntry	swap = entries[i];

			entries[i] = entries[j];
			entries[j] = swap;
		}
		for (int i = 0; i < count; i++)
			assert_int_equal(ckpx_entry_store_load(other, &entries[i]),
							 CKPX_STORE_OK);
		expect_same(other);
		for (int i = 0; i < count; i++)
			drop(entries[i].kind, entries[i].range.epoch,
				 entries[i].range.start_lsn, entries[i].range.end_lsn);
		assert_int_equal(store->nentries, 0);
		free(other);
	}
}

/* The largest store still answers at once; the bound is loose, for slow hosts. */
static void
test_ten_thousand(void **arg)
{
	const uint32 count = 10000;
	CkpxEntryStore *large = malloc(ckpx_entry_store_size(count));
	uint32	   *indexes = malloc(count * sizeof(uint32));
	CkpxEntryStore *kept = store;
	struct timespec from;
	struct timespec to;
	double		us;

	store = large;
	ckpx_entry_store_init(large, count);
	begin(InvalidXLogRecPtr, 1000);
	for (uint32 i = 0; i < count; i++)
		assert_int_equal(load(I, 1, 1000 + i * 10, 1010 + i * 10),
						 CKPX_STORE_OK);
	check();

	clock_gettime(CLOCK_MONOTONIC, &from);
	for (int i = 0; i < 100; i++)
		ckpx_entry_store_collect(large, 1000, 1000 + count * 10, false,
								 indexes, &result);
	clock_gettime(CLOCK_MONOTONIC, &to);
	assert_int_equal(result.nchosen, count);
	assert_true(result.complete);
	us = ((to.tv_sec - from.tv_sec) * 1e9 + (to.tv_nsec - from.tv_nsec)) / 1e5;
	print_message("collect of all of %u entries: %.1f us\n", count, us);
	assert_true(us < 20000);

	clock_gettime(CLOCK_MONOTONIC, &from);
	for (int i = 0; i < 100; i++)
		ckpx_entry_store_collect(large, 1000 + (count - 10) * 10,
								 1000 + count * 10, false, indexes,
								 &result);
	clock_gettime(CLOCK_MONOTONIC, &to);
	assert_int_equal(result.nchosen, 10);
	us = ((to.tv_sec - from.tv_sec) * 1e9 + (to.tv_nsec - from.tv_nsec)) / 1e5;
	print_message("collect of the last 10 of %u: %.1f us\n", count, us);

	store = kept;
	free(indexes);
	free(large);
}

/*
 * Steps of a plan for 'n' entries: of twenty, one is a global and one a
 * backup.  Each entry is older than what is kept, nothing is pinned.
 */
static uint64
count_steps(uint32 n)
{
	CkpxGcEntry *entries = calloc(n, sizeof(CkpxGcEntry));
	CkpxGcHistory history = {store};
	CkpxGcRules rules = {0};
	uint32		ngone = 0;
	uint64		steps;

	begin(InvalidXLogRecPtr, 1000);
	for (uint32 i = 0; i < n; i++)
	{
		CkpxEntrySpan *span = &entries[i].span;

		span->epoch = store->epoch;
		span->kind = i % 20 == 18 ? B : i % 20 == 19 ? G : I;
		span->finished = true;
		span->start_lsn = span->kind == G ? 1000 : 1000 + i * 10;
		span->end_lsn = 1010 + i * 10;
	}
	history.stretch = store->epoch_start;
	history.checkpointed = 1000 + n * 10;
	rules.ignore_age = true;
	steps = ckpx_gc_plan(entries, n, &history, &rules);
	for (uint32 i = 0; i < n; i++)
		ngone += entries[i].goes;
	assert_int_equal(ngone, n - 1);		/* the newest global stays */
	free(entries);
	return steps;
}

/*
 * However long the history, a plan takes a few steps for each entry: as many as
 * a search through its globals does.
 */
static void
test_plan_steps(void **arg)
{
	uint64		thousand = count_steps(1000);
	uint64		many = count_steps(100000);

	print_message("steps of a plan: " UINT64_FORMAT " for 1,000 entries, "
				  UINT64_FORMAT " for 100,000\n", thousand, many);
	assert_true(thousand >= 1000);
	assert_true(many < 300 * thousand);
}

/* A walk that goes on by key sees what stays, and what comes behind it. */
static void
test_behind(void **arg)
{
	CkpxEntrySpan last = {0};

	assert_int_equal(ckpx_entry_store_behind(store, &last), 0);
	chain(400);
	assert_int_equal(ckpx_entry_store_behind(store, &last), 0);
	last = ckpx_entry_store_span(store, 1);
	assert_int_equal(ckpx_entry_store_behind(store, &last), 2);
	drop(I, 1, 100, 200);
	drop(I, 1, 200, 300);
	assert_int_equal(ckpx_entry_store_behind(store, &last), 0);
	assert_int_equal(load(G, 1, 100, 300), CKPX_STORE_OK);
	assert_int_equal(at(ckpx_entry_store_behind(store, &last))->kind, G);
	last = ckpx_entry_store_span(store, store->nentries - 1);
	assert_int_equal(ckpx_entry_store_behind(store, &last), store->nentries);
}

#define unit(name)	cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest functions[] = {
		unit(test_no_epoch),
		unit(test_insert_bad),
		unit(test_full),
		unit(test_load),
		unit(test_restore),
		unit(test_find_and_remove),
		unit(test_remove_running),
		unit(test_remove_all),
		unit(test_spans),
		unit(test_moves),
		unit(test_begin_epoch),
		unit(test_gap_at),
		unit(test_holes),
		unit(test_reason_is_cut),
		unit(test_gaps_overflow),
		unit(test_damage_is_recorded_once),
		unit(test_forget_gaps),
		unit(test_collect_incrementals_first),
		unit(test_lose_others),
		unit(test_lose_many_holes),
		unit(test_forget_tail),
		unit(test_is_covered),
		unit(test_plan_steps),
		unit(test_behind),
		unit(test_after),
		unit(test_after_counts_what_it_gives),
		unit(test_check_finds_damage),
		unit(test_check_globals),
		unit(test_check_gaps),
		unit(test_random_histories),
		unit(test_random_load_order),
		unit(test_ten_thousand),
	};
	struct CMUnitTest tests[lengthof(functions) + lengthof(scenarios)];

	memcpy(tests, functions, sizeof(functions));
	for (int i = 0; i < lengthof(scenarios); i++)
		tests[lengthof(functions) + i] = (struct CMUnitTest) {
			scenarios[i].name, run_scenario, setup, teardown,
			(void *) &scenarios[i]
		};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
