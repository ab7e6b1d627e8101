/*-------------------------------------------------------------------------
 *
 * test_age.c
 *		Ages under a clock that is set forward and back, over a load.
 *
 *-------------------------------------------------------------------------
 */
#include "core/history/age.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define SECOND	INT64CONST(1000000)
#define DAY		(86400 * SECOND)
#define YEAR	(365 * DAY)

/* The machine started 5 s ago. */
static const CkpxNow now = {100 * YEAR, 5000};

static int64
age_of(int64 time)
{
	uint64		clock_ms = ckpx_age_begin(&now, time);

	assert_true(clock_ms != 0);
	return ckpx_age_ms(clock_ms, now.clock_ms);
}

static int64
left_of(int64 created_at, int64 expires_at)
{
	uint64		end = ckpx_age_end(&now, created_at, expires_at);

	assert_true(end >= now.clock_ms);
	return (int64) (end - now.clock_ms);
}

static void
test_past(void **arg)
{
	assert_int_equal(age_of(now.time), 0);
	assert_int_equal(age_of(now.time - 1), 0);
	assert_int_equal(age_of(now.time - 3 * SECOND), 3000);

	/* what was before the machine started */
	assert_int_equal(age_of(now.time - DAY), 86400000);
	assert_int_equal(age_of(now.time - YEAR), INT64CONST(365) * 86400000);
	assert_int_equal(age_of(0), INT64CONST(36500) * 86400000);
	assert_true(age_of(PG_INT64_MIN) > age_of(0));

	/* just 0 stands for what is not known */
	assert_int_equal(ckpx_age_begin(&now, now.time - 5 * SECOND), 1);
	assert_int_equal(age_of(now.time - 5 * SECOND), 4999);
}

static void
test_future(void **arg)
{
	assert_int_equal(ckpx_age_begin(&now, now.time + 1), 0);
	assert_int_equal(ckpx_age_begin(&now, now.time + YEAR), 0);
	assert_int_equal(ckpx_age_begin(&now, PG_INT64_MAX), 0);
}

static void
test_goes_on(void **arg)
{
	uint64		clock_ms = ckpx_age_begin(&now, now.time - DAY);

	assert_int_equal(ckpx_age_ms(clock_ms, now.clock_ms + 1000), 86401000);
	assert_int_equal(ckpx_age_ms(now.clock_ms, now.clock_ms - 1), 0);
}

static void
test_end(void **arg)
{
	/* what was made in the past */
	assert_int_equal(left_of(now.time - DAY, now.time + DAY), 86400000);
	assert_int_equal(left_of(now.time - DAY, now.time), 0);
	assert_int_equal(left_of(now.time - YEAR, now.time - DAY), 0);
	assert_int_equal(left_of(PG_INT64_MIN, now.time + SECOND), 1000);

	/* part of a millisecond counts as one */
	assert_int_equal(left_of(now.time, now.time + 1), 1);
	assert_int_equal(left_of(now.time, now.time + 1000), 1);
	assert_int_equal(left_of(now.time, now.time + 1001), 2);

	/* the clock that made it was ahead: no longer than it was to last */
	assert_int_equal(left_of(now.time + YEAR, now.time + YEAR + DAY), 86400000);
	assert_int_equal(left_of(now.time + YEAR, now.time + YEAR), 0);
	assert_int_equal(left_of(now.time + YEAR, now.time + DAY), 0);
	assert_int_equal(left_of(PG_INT64_MAX - SECOND, PG_INT64_MAX), 1000);
	assert_true(left_of(PG_INT64_MIN, PG_INT64_MAX) > 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_past),
		cmocka_unit_test(test_future),
		cmocka_unit_test(test_goes_on),
		cmocka_unit_test(test_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
