/*-------------------------------------------------------------------------
 *
 * test_bin_recovery.c
 *		Recovery settings and times of ckpx_combinebackup.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/combinebackup/recovery.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void
is_time(const char *text, int64 expected)
{
	int64		seconds = -1;

	assert_true(recovery_parse_time(text, &seconds));
	assert_int_equal(seconds, expected);
}

static void
is_no_time(const char *text)
{
	int64		seconds;

	assert_false(recovery_parse_time(text, &seconds));
}

static void
test_times(void **arg)
{
	is_time("1970-01-01 00:00:00Z", 0);
	is_time("1970-01-02 00:00:01 UTC", 86401);
	is_time("2024-02-29 23:59:59+00", 1709251199);
	is_time("2024-03-01T00:00:00Z", 1709251200);
	is_time("2100-03-01 00:00:00Z", INT64CONST(4107542400));
	is_time("2024-03-01 01:00:00+01", 1709251200);
	is_time("2024-02-29 18:30:00.123456-05:30", 1709251200);
	is_time("2024-03-01 05:45:00+05:45", 1709251200);
}

/* Without a zone the server's setting would decide. */
static void
test_no_times(void **arg)
{
	is_no_time("");
	is_no_time("yesterday");
	is_no_time("2024-03-01");
	is_no_time("2024-03-01 00:00:00");
	is_no_time("2024-03-01 00:00:00 Europe/Berlin");
	is_no_time("2024-13-01 00:00:00Z");
	is_no_time("2024-03-01 00:00:00+");
	is_no_time("2024-03-01 00:00:00+01x");
	is_no_time("2024-03-01 00:00:00+01:30x");
	is_no_time("2024-03-01 00:00:00Zx");
}

static void
test_lines(void **arg)
{
	RecoveryOptions options = {NULL};
	const char *problem;
	char	   *lines;

	assert_null(recovery_lines(&options, &problem));
	assert_null(problem);

	options.lsn = "1/ABCDEF";
	options.restore_command = "cp 'a\\b' %p";
	lines = recovery_lines(&options, &problem);
	assert_string_equal(lines,
						"recovery_target = ''\n"
						"recovery_target_time = ''\n"
						"recovery_target_name = ''\n"
						"recovery_target_xid = ''\n"
						"recovery_target_lsn = '1/ABCDEF'\n"
						"recovery_target_action = 'pause'\n"
						"restore_command = 'cp ''a\\\\b'' %p'\n");
	pg_free(lines);
}

static void
is_refused(RecoveryOptions options)
{
	const char *problem = NULL;

	assert_null(recovery_lines(&options, &problem));
	assert_non_null(problem);
}

static void
test_refused(void **arg)
{
	is_refused((RecoveryOptions) {.lsn = "0/1",.xid = "1"});
	is_refused((RecoveryOptions) {.lsn = "0"});
	is_refused((RecoveryOptions) {.lsn = "0/1 "});
	is_refused((RecoveryOptions) {.xid = ""});
	is_refused((RecoveryOptions) {.xid = "1x"});
	is_refused((RecoveryOptions) {.action = "promote"});
	is_refused((RecoveryOptions) {.xid = "1",.action = "stop"});
	is_refused((RecoveryOptions) {.name = "a\nshared_preload_libraries"});
	is_refused((RecoveryOptions) {.restore_command = "a\n"});
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_no_times),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
