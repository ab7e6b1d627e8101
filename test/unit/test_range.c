/*-------------------------------------------------------------------------
 *
 * test_range.c
 *		What becomes of each member where ranges are joined.
 *
 *-------------------------------------------------------------------------
 */
#include "core/history/range.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

/* Three ranges in a row; no byte of the struct is left out. */
static const CkpxRange first = {
	.epoch = 3, .timeline = 1, .start_lsn = 1000, .end_lsn = 1100,
	.last_record = {1090, 10, 0xA, 1050, 0xAA},
	.last_change_lsn = 1040, .nxacts = 2, .wal_bytes = 100,
	.custom_rmgrs = {[16] = 0x01}, .created_at = 50,
	.next_xid = 700, .clock_ms = 5
};

static const CkpxRange unchanged = {
	.epoch = 3, .timeline = 2, .start_lsn = 1100, .end_lsn = 1300,
	.last_record = {1290, 20, 0xB, 1250, 0xBB},
	.last_change_lsn = InvalidXLogRecPtr, .nxacts = 0, .wal_bytes = 200,
	.custom_rmgrs = {[16] = 0x80, [31] = 0x02}, .created_at = 60,
	.next_xid = 700, .clock_ms = 6
};

static const CkpxRange last = {
	.epoch = 3, .timeline = 2, .start_lsn = 1300, .end_lsn = 1600,
	.last_record = {1500, 30, 0xC, 1250, 0xCC},
	.last_change_lsn = 1310, .nxacts = 7, .wal_bytes = 300,
	.custom_rmgrs = {[31] = 0x01}, .created_at = 55,
	.next_xid = 3, .clock_ms = 7
};

static void
assert_same(const CkpxRange *range, const CkpxRange *expected)
{
	assert_memory_equal(range, expected, sizeof(CkpxRange));
}

static void
test_members(void **state)
{
	CkpxRange	range;
	CkpxRange	expected;

	memcpy(&range, &first, sizeof(range));
	ckpx_range_append(&range, &unchanged);
	memcpy(&expected, &unchanged, sizeof(expected));
	expected.start_lsn = 1000;
	expected.last_change_lsn = 1040;
	expected.nxacts = 2;
	expected.wal_bytes = 300;
	expected.custom_rmgrs[16] = 0x81;
	assert_same(&range, &expected);

	/* times and transaction ids are those of the end, not the highest */
	ckpx_range_append(&range, &last);
	memcpy(&expected, &last, sizeof(expected));
	expected.start_lsn = 1000;
	expected.nxacts = 9;
	expected.wal_bytes = 600;
	expected.custom_rmgrs[16] = 0x81;
	expected.custom_rmgrs[31] = 0x03;
	assert_same(&range, &expected);
}

static void
test_any_grouping(void **state)
{
	CkpxRange	left;
	CkpxRange	right;
	CkpxRange	whole;

	memcpy(&left, &first, sizeof(left));
	ckpx_range_append(&left, &unchanged);
	ckpx_range_append(&left, &last);

	memcpy(&right, &unchanged, sizeof(right));
	ckpx_range_append(&right, &last);
	memcpy(&whole, &first, sizeof(whole));
	ckpx_range_append(&whole, &right);
	assert_same(&whole, &left);
}

static void
test_from_nothing(void **state)
{
	CkpxRange	range;

	memset(&range, 0, sizeof(range));
	range.epoch = 3;
	range.start_lsn = range.end_lsn = 1000;
	ckpx_range_append(&range, &first);
	assert_same(&range, &first);
}

static void
test_truncate_lsn(void **state)
{
	assert_int_equal(ckpx_range_truncate_lsn(&first, CKPX_KIND_INCREMENTAL),
					 1090);
	assert_int_equal(ckpx_range_truncate_lsn(&first, CKPX_KIND_GLOBAL), 1090);
	assert_int_equal(ckpx_range_truncate_lsn(&first, CKPX_KIND_SEGMENT), 1090);
	assert_int_equal(ckpx_range_truncate_lsn(&first, CKPX_KIND_BACKUP),
					 InvalidXLogRecPtr);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_any_grouping),
		cmocka_unit_test(test_from_nothing),
		cmocka_unit_test(test_truncate_lsn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
