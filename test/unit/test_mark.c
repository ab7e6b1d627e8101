/*-------------------------------------------------------------------------
 *
 * test_mark.c
 *		Lists of marks: ascending, the newest kept.
 *
 *-------------------------------------------------------------------------
 */
#include "core/history/mark.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static CkpxMarks marks;

/* Append marks at first, first + 10, ... */
static void
append(XLogRecPtr first, uint32 count)
{
	CkpxMark   *items = palloc0(sizeof(CkpxMark) * count + 1);

	for (uint32 i = 0; i < count; i++)
		items[i].lsn = items[i].redo = first + 10 * i;
	ckpx_marks_append(&marks, items, count);
	pfree(items);
}

/* The list is first, first + 10, ..., last. */
static void
expect(XLogRecPtr first, XLogRecPtr last)
{
	assert_int_equal(marks.count, (last - first) / 10 + 1);
	for (uint32 i = 0; i < marks.count; i++)
	{
		assert_int_equal(marks.items[i].lsn, first + 10 * i);
		assert_int_equal(marks.items[i].redo, marks.items[i].lsn);
	}
}

static int
setup(void **state)
{
	marks.count = 0;
	return 0;
}

static void
known_ones_are_left_out(void **state)
{
	append(100, 0);
	assert_int_equal(marks.count, 0);
	append(100, 3);
	append(100, 3);
	expect(100, 120);
	append(110, 4);
	expect(100, 140);
	append(90, 1);
	expect(100, 140);
}

static void
newest_are_kept(void **state)
{
	append(100, CKPX_MAX_MARKS - 1);
	append(100 + 10 * (CKPX_MAX_MARKS - 1), 1);
	expect(100, 100 + 10 * (CKPX_MAX_MARKS - 1));
	append(100 + 10 * CKPX_MAX_MARKS, 3);
	expect(130, 120 + 10 * CKPX_MAX_MARKS);
	append(1000000, 2 * CKPX_MAX_MARKS);
	expect(1000000 + 10 * CKPX_MAX_MARKS,
		   1000000 + 10 * (2 * CKPX_MAX_MARKS - 1));
}

static void
forgetting(void **state)
{
	ckpx_marks_forget(&marks, 100);
	assert_int_equal(marks.count, 0);
	append(100, 5);
	ckpx_marks_forget(&marks, 100);
	expect(100, 140);
	ckpx_marks_forget(&marks, 111);
	expect(120, 140);
	ckpx_marks_forget(&marks, 141);
	assert_int_equal(marks.count, 0);
}

static void
finding(void **state)
{
	append(100, 5);
	assert_int_equal(ckpx_marks_find(marks.items, marks.count, 0), 0);
	assert_int_equal(ckpx_marks_find(marks.items, marks.count, 100), 0);
	assert_int_equal(ckpx_marks_find(marks.items, marks.count, 101), 1);
	assert_int_equal(ckpx_marks_find(marks.items, marks.count, 140), 4);
	assert_int_equal(ckpx_marks_find(marks.items, marks.count, 141), 5);
	assert_int_equal(ckpx_marks_find(NULL, 0, 141), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(known_ones_are_left_out, setup),
		cmocka_unit_test_setup(newest_are_kept, setup),
		cmocka_unit_test_setup(forgetting, setup),
		cmocka_unit_test_setup(finding, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
