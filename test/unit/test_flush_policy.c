/*-------------------------------------------------------------------------
 *
 * test_flush_policy.c
 *		Which relations are flushed and why, as tables of cases.
 *
 *-------------------------------------------------------------------------
 */
#include "core/history/flush_policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define MB		((uint64) 1024 * 1024)
#define NOW		((int64) 1000000)
#define N		CKPX_FLUSH_NONE

/* Cap 64 MB (target 56 MB), capacity of one relation 20 MB. */
static const CkpxFlushPolicy usual = {64 * MB, 20 * MB};
static const CkpxFlushPolicy no_limits = {0, 0};

/* One relation */
static const struct
{
	const char *name;
	const CkpxFlushPolicy *policy;
	CkpxFlushInput input;		/* forced, unsynced, deadline, append,
								 * delete */
	CkpxFlushReason reason;
}			single[] =
{
	{"clean", &usual, {false, false, 0, 0, 0}, N},
	{"clean, deadline passed", &usual, {false, false, NOW - 1, 0, 0}, N},
	{"clean, its sync failed", &usual, {false, true, NOW - 1, 0, 0}, CKPX_FLUSH_DEADLINE},
	{"clean, its sync failed, later", &usual, {false, true, NOW + 1, 0, 0}, N},
	{"clean, forced", &usual, {true, false, 0, 0, 0}, CKPX_FLUSH_FORCED},
	{"forced wins", &usual, {true, false, NOW - 1, 99 * MB, 0}, CKPX_FLUSH_FORCED},
	{"one page", &usual, {false, false, 0, 8192, 0}, N},
	{"deadline, exactly", &usual, {false, false, NOW, 8192, 0}, CKPX_FLUSH_DEADLINE},
	{"deadline, not yet", &usual, {false, false, NOW + 1, 8192, 0}, N},
	{"deadline is named before capacity", &usual, {false, false, NOW, 30 * MB, 0}, CKPX_FLUSH_DEADLINE},
	{"capacity, exactly", &usual, {false, false, 0, 20 * MB, 0}, N},
	{"capacity, one more", &usual, {false, false, 0, 20 * MB, 1}, CKPX_FLUSH_CAPACITY},
	{"first sight is not skipped", &usual, {false, false, NOW + 300000, 21 * MB, 0}, CKPX_FLUSH_CAPACITY},
	{"no capacity", &no_limits, {false, false, 0, 999 * MB, 0}, N},
	{"deletes", &usual, {false, false, 0, 1 * MB - 1, 5 * MB / 2 + 1}, CKPX_FLUSH_DELETES},
	{"deletes, exactly", &usual, {false, false, 0, 0, 5 * MB / 2}, N},
	{"deletes with appends", &usual, {false, false, 0, 1 * MB, 3 * MB}, N},
	{"capacity is named before deletes", &usual, {false, false, 0, 0, 21 * MB}, CKPX_FLUSH_CAPACITY},
};

static void
one_relation(void **state)
{
	for (int i = 0; i < lengthof(single); i++)
	{
		CkpxFlushReason reason;

		ckpx_flush_decide(single[i].policy, NOW, &single[i].input, 1, &reason);
		if (reason != single[i].reason)
			fail_msg("%s: %s instead of %s", single[i].name,
					 ckpx_flush_reason_name(reason),
					 ckpx_flush_reason_name(single[i].reason));
	}
}

/* Several relations; the rest of an array is clean */
#define R	6
#define PRESSURE	CKPX_FLUSH_PRESSURE

static const struct
{
	const char *name;
	CkpxFlushInput inputs[R];
	CkpxFlushReason reasons[R];
}			several[] =
{
	{"below the cap", {{false, false, 0, 20 * MB, 0}, {false, false, 0, 20 * MB, 0}, {false, false, 0, 20 * MB, 0}}, {N, N, N}},
	{"largest first until under the target",
	{{false, false, 0, 10 * MB, 0}, {false, false, 0, 19 * MB, 0}, {false, false, 0, 20 * MB, 0}, {false, false, 0, 18 * MB, 0}},
	{N, N, PRESSURE, N}},
	{"of equals the first",
	{{false, false, 0, 16 * MB, 0}, {false, false, 0, 16 * MB, 0}, {false, false, 0, 16 * MB, 0}, {false, false, 0, 16 * MB, 0}},
	{PRESSURE, N, N, N}},
	{"two are needed",
	{{false, false, 0, 20 * MB, 0}, {false, false, 0, 20 * MB, 0}, {false, false, 0, 20 * MB, 0}, {false, false, 0, 19 * MB, 0}},
	{PRESSURE, PRESSURE, N, N}},
	{"other reasons relieve first",
	{{false, false, 0, 30 * MB, 0}, {false, false, 0, 20 * MB, 0}, {false, false, 0, 20 * MB, 0}},
	{CKPX_FLUSH_CAPACITY, N, N}},
	{"small appends are left alone",
	{{false, false, 0, 1 * MB, 2 * MB}, {false, false, 0, 20 * MB, 0}, {false, false, 0, 20 * MB, 0}, {false, false, 0, 20 * MB, 0}, {false, false, NOW, 9 * MB, 0}},
	{N, PRESSURE, N, N, CKPX_FLUSH_DEADLINE}},
	{"delete bytes count for the size",
	{{false, false, 0, 12 * MB, 0}, {false, false, 0, 11 * MB, 9 * MB}, {false, false, 0, 19 * MB, 0}, {false, false, 0, 19 * MB, 0}},
	{N, PRESSURE, N, N}},
};

static void
several_relations(void **state)
{
	for (int i = 0; i < lengthof(several); i++)
	{
		CkpxFlushReason reasons[R];

		ckpx_flush_decide(&usual, NOW, several[i].inputs, R, reasons);
		for (int r = 0; r < R; r++)
			if (reasons[r] != several[i].reasons[r])
				fail_msg("%s, relation %d: %s instead of %s",
						 several[i].name, r,
						 ckpx_flush_reason_name(reasons[r]),
						 ckpx_flush_reason_name(several[i].reasons[r]));
	}
}

static void
nothing_at_all(void **state)
{
	ckpx_flush_decide(&usual, NOW, NULL, 0, NULL);
}

static void
pressure(void **state)
{
	assert_true(ckpx_flush_pressure(&usual, 0) == 0.0);
	assert_true(ckpx_flush_pressure(&usual, 32 * MB) == 0.5);
	assert_true(ckpx_flush_pressure(&usual, 64 * MB) == 1.0);
	assert_true(ckpx_flush_pressure(&usual, PG_UINT64_MAX) == 1.0);
	assert_true(ckpx_flush_pressure(&no_limits, 64 * MB) == 0.0);
}

static void
deadlines(void **state)
{
	int64		low = PG_INT64_MAX;
	int64		high = 0;

	for (uint32 jitter = 0; jitter < 1000; jitter++)
	{
		int64		deadline = ckpx_flush_deadline(NOW, 60000, jitter);

		low = Min(low, deadline);
		high = Max(high, deadline);
	}
	assert_int_equal(low, NOW + 270000);
	assert_int_equal(high, NOW + 330000);
	assert_int_equal(ckpx_flush_deadline(NOW, 60000, 10), NOW + 300000);
	assert_int_equal(ckpx_flush_deadline(NOW, 60000, CKPX_FLUSH_LATEST), high);
}

static void
late_in_the_cycle(void **state)
{
	assert_false(ckpx_flush_is_late(0, 30000, 0, 1000));
	assert_false(ckpx_flush_is_late(25499, 30000, 849, 1000));
	assert_true(ckpx_flush_is_late(25500, 30000, 0, 1000));
	assert_true(ckpx_flush_is_late(0, 30000, 850, 1000));
	assert_false(ckpx_flush_is_late(0, 0, 0, 0));
	assert_true(ckpx_flush_is_late(99999, 30000, 0, 0));
}

static void
left_of_a_part_of_the_cycle(void **state)
{
	/* by time, by WAL at the rate so far, and when it is over */
	assert_int_equal(ckpx_flush_left_ms(20000, 30000, 0, 1000, 0.9), 7000);
	assert_int_equal(ckpx_flush_left_ms(20000, 30000, 10, 1000, 0.9), 7000);
	assert_int_equal(ckpx_flush_left_ms(10000, 30000, 800, 1000, 0.9), 1250);
	assert_int_equal(ckpx_flush_left_ms(27000, 30000, 0, 1000, 0.9), 0);
	assert_int_equal(ckpx_flush_left_ms(10000, 30000, 900, 1000, 0.9), 0);
	assert_int_equal(ckpx_flush_left_ms(0, 30000, 0, 1000, 0.0), 0);

	/* no time has gone by, so there is no rate */
	assert_int_equal(ckpx_flush_left_ms(0, 30000, 10, 1000, 0.9), 27000);
	assert_int_equal(ckpx_flush_left_ms(0, 30000, 900, 1000, 0.9), 0);
}

static void
late_writes_are_spread_over_the_rest_of_the_cycle(void **state)
{
	/* by time, by WAL at the rate so far, and when it is over */
	assert_int_equal(ckpx_flush_window_ms(25000, 30000, 0, 1000), 4000);
	assert_int_equal(ckpx_flush_window_ms(25000, 30000, 10, 1000), 4000);
	assert_int_equal(ckpx_flush_window_ms(10000, 30000, 800, 1000), 2000);
	assert_int_equal(ckpx_flush_window_ms(30000, 30000, 0, 1000), 0);
	assert_int_equal(ckpx_flush_window_ms(99999, 30000, 0, 0), 0);
	assert_int_equal(ckpx_flush_window_ms(1000, 30000, 2000, 1000), 0);
	assert_int_equal(ckpx_flush_window_ms(PG_INT64_MAX, 1, PG_UINT64_MAX, 1), 0);

	assert_int_equal(ckpx_flush_pace_ms(0, 1000, 4000), 0);
	assert_int_equal(ckpx_flush_pace_ms(250, 1000, 4000), 1000);
	assert_int_equal(ckpx_flush_pace_ms(1000, 1000, 4000), 4000);
	assert_int_equal(ckpx_flush_pace_ms(500, 1000, 0), 0);
	assert_int_equal(ckpx_flush_pace_ms(0, 0, 4000), 0);
}

static void
names(void **state)
{
	for (int i = 0; i < CKPX_FLUSH_NREASONS; i++)
		assert_string_not_equal(ckpx_flush_reason_name(i), "unknown");
	assert_string_equal(ckpx_flush_reason_name(CKPX_FLUSH_NREASONS), "unknown");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_relation),
		cmocka_unit_test(several_relations),
		cmocka_unit_test(nothing_at_all),
		cmocka_unit_test(pressure),
		cmocka_unit_test(deadlines),
		cmocka_unit_test(late_in_the_cycle),
		cmocka_unit_test(left_of_a_part_of_the_cycle),
		cmocka_unit_test(late_writes_are_spread_over_the_rest_of_the_cycle),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
