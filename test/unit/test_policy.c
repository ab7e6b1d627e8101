/*-------------------------------------------------------------------------
 *
 * test_policy.c
 *		When an incremental is made, as a table of cases.
 *
 *-------------------------------------------------------------------------
 */
#include "core/history/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

/* Settings: interval 60 s, 100 transactions, 600 s, 1000 bytes, 5000 bytes. */
static const CkpxCheckpointPolicy usual = {60000, 100, 600000, 1000, 5000};
static const CkpxCheckpointPolicy nets_off = {60000, 100, 0, 0, 5000};
static const CkpxCheckpointPolicy odd_cap = {60000, 100, 0, 0, 5001};
static const CkpxCheckpointPolicy any_count = {60000, 0, 0, 0, 5000};

#define HUGE_XACTS	(UINT64CONST(1) << 63)

static const struct
{
	const char *name;
	const CkpxCheckpointPolicy *policy;
	CkpxCheckpointInput input;	/* first, forced, age, xacts, WAL, changed,
								 * retained */
	CkpxReason	reason;
}			cases[] =
{
	{"nothing", &usual, {false, false, 0, 0, 0, false, 0}, CKPX_REASON_NONE},
	{"forced", &usual, {false, true, 0, 0, 1, false, 0}, CKPX_REASON_FORCED},
	{"forced, no WAL", &usual, {false, true, 0, 0, 0, false, 0}, CKPX_REASON_FORCED},
	{"forced wins", &usual, {true, true, 900000, 999, 9999, true, 9999}, CKPX_REASON_FORCED},

	{"no WAL, all else due", &usual, {true, false, 900000, 999, 0, true, 9999}, CKPX_REASON_NONE},

	{"count and interval, exactly", &usual, {false, false, 60000, 100, 1, false, 0}, CKPX_REASON_COUNT},
	{"count, interval not passed", &usual, {false, false, 59999, 100, 1, false, 0}, CKPX_REASON_NONE},
	{"interval, count not reached", &usual, {false, false, 60000, 99, 1, true, 0}, CKPX_REASON_NONE},
	{"first needs no interval", &usual, {true, false, 0, 100, 1, false, 0}, CKPX_REASON_COUNT},
	{"first needs the count", &usual, {true, false, 0, 99, 1, true, 0}, CKPX_REASON_NONE},
	{"negative age", &usual, {false, false, -1, 100, 1, true, 0}, CKPX_REASON_NONE},
	{"more transactions than an int64", &usual, {false, false, 60000, HUGE_XACTS, 1, false, 0}, CKPX_REASON_COUNT},
	{"count of 0", &any_count, {false, false, 60000, 0, 1, false, 0}, CKPX_REASON_COUNT},
	{"count of 0, too early", &any_count, {false, false, 59999, 0, 1, false, 0}, CKPX_REASON_NONE},

	{"time, exactly", &usual, {false, false, 600000, 0, 1, true, 0}, CKPX_REASON_TIME},
	{"time, too early", &usual, {false, false, 599999, 0, 1, true, 0}, CKPX_REASON_NONE},
	{"time, no block changed", &usual, {false, false, 600000, 0, 1, false, 0}, CKPX_REASON_NONE},
	{"time, first", &usual, {true, false, 599999, 0, 1, true, 0}, CKPX_REASON_NONE},
	{"time, first, passed", &usual, {true, false, 600000, 0, 1, true, 0}, CKPX_REASON_TIME},
	{"time off", &nets_off, {false, false, PG_INT64_MAX, 0, 1, true, 0}, CKPX_REASON_NONE},
	{"count is named before time", &usual, {false, false, 600000, 100, 1, true, 0}, CKPX_REASON_COUNT},

	{"WAL, exactly", &usual, {false, false, 0, 0, 1000, false, 0}, CKPX_REASON_WAL},
	{"WAL, one less", &usual, {false, false, 0, 0, 999, true, 0}, CKPX_REASON_NONE},
	{"WAL off", &nets_off, {false, false, 0, 0, PG_UINT64_MAX, true, 0}, CKPX_REASON_NONE},
	{"time is named before WAL", &usual, {false, false, 600000, 0, 1000, true, 0}, CKPX_REASON_TIME},

	{"half is held", &usual, {false, false, 0, 0, 1, false, 2500}, CKPX_REASON_NONE},
	{"more than half is held", &usual, {false, false, 0, 0, 1, false, 2501}, CKPX_REASON_RETENTION},
	{"odd cap, less than half", &odd_cap, {false, false, 0, 0, 1, false, 2500}, CKPX_REASON_NONE},
	{"odd cap, more than half", &odd_cap, {false, false, 0, 0, 1, false, 2501}, CKPX_REASON_RETENTION},
	{"retention, nets off", &nets_off, {false, false, 0, 0, 1, false, PG_UINT64_MAX}, CKPX_REASON_RETENTION},
	{"WAL is named before retention", &usual, {false, false, 0, 0, 1000, false, 2501}, CKPX_REASON_WAL},
};

static void
test_cases(void **arg)
{
	for (int i = 0; i < lengthof(cases); i++)
	{
		CkpxReason	reason = ckpx_policy_incremental(cases[i].policy,
													 &cases[i].input);

		if (reason != cases[i].reason)
			fail_msg("%s: expected %s, got %s", cases[i].name,
					 ckpx_reason_name(cases[i].reason),
					 ckpx_reason_name(reason));
	}
}

static void
test_names(void **arg)
{
	assert_string_equal(ckpx_reason_name(CKPX_REASON_NONE), "none");
	assert_string_equal(ckpx_reason_name(CKPX_REASON_FORCED), "forced");
	assert_string_equal(ckpx_reason_name(CKPX_REASON_COUNT), "count");
	assert_string_equal(ckpx_reason_name(CKPX_REASON_TIME), "time");
	assert_string_equal(ckpx_reason_name(CKPX_REASON_WAL), "wal");
	assert_string_equal(ckpx_reason_name(CKPX_REASON_RETENTION), "retention");
	assert_string_equal(ckpx_reason_name((CkpxReason) 99), "unknown");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
