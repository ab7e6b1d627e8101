/*-------------------------------------------------------------------------
 *
 * test_xid_lsn.c
 *		A lower bound for the first record of all xids from xmin on: never
 *		higher than the truth, whatever was folded or forgotten.
 *
 *-------------------------------------------------------------------------
 */
#include "core/map/xid_lsn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "test_random.h"

static CkpxXidLsn *map;

static int
setup(void **arg)
{
	map = malloc(sizeof(CkpxXidLsn));
	memset(map, 0x5a, sizeof(CkpxXidLsn));
	ckpx_xid_lsn_reset(map, 1000);
	return 0;
}

static int
teardown(void **arg)
{
	free(map);
	return 0;
}

static void
expect(uint64 xmin, XLogRecPtr want)
{
	XLogRecPtr	lsn = 42;

	assert_true(ckpx_xid_lsn_lower_bound(map, xmin, &lsn));
	assert_int_equal(lsn, want);
}

static void
expect_unknown(uint64 xmin)
{
	XLogRecPtr	lsn = 42;

	assert_false(ckpx_xid_lsn_lower_bound(map, xmin, &lsn));
	assert_int_equal(lsn, InvalidXLogRecPtr);
}

static void
test_empty(void **arg)
{
	expect_unknown(0);
	expect_unknown(999);
	expect(1000, InvalidXLogRecPtr);
	expect(PG_UINT64_MAX, InvalidXLogRecPtr);
}

/* Without folding the answer is exact. */
static void
test_exact(void **arg)
{
	ckpx_xid_lsn_note(map, 1002, 300);
	ckpx_xid_lsn_note(map, 1000, 500);
	ckpx_xid_lsn_note(map, 1005, 400);
	assert_int_equal(map->shift, 0);
	expect(1000, 300);
	expect(1002, 300);
	expect(1003, 400);
	expect(1005, 400);
	expect(1006, InvalidXLogRecPtr);
}

/* Only the first record of a transaction counts, told twice or not. */
static void
test_lowest_counts(void **arg)
{
	ckpx_xid_lsn_note(map, 1002, 300);
	ckpx_xid_lsn_note(map, 1002, 400);
	expect(1002, 300);
	ckpx_xid_lsn_note(map, 1002, 200);
	expect(1002, 200);
}

/* A transaction from before tracking began is not known by its record. */
static void
test_older_than_tracking(void **arg)
{
	ckpx_xid_lsn_note(map, 999, 100);
	ckpx_xid_lsn_note(map, 1001, 300);
	expect_unknown(999);
	expect(1000, 300);
}

static void
test_forget(void **arg)
{
	for (uint64 xid = 1000; xid < 1100; xid++)
		ckpx_xid_lsn_note(map, xid, xid * 10);
	ckpx_xid_lsn_forget_before(map, 1050);
	expect_unknown(1049);
	expect(1050, 10500);
	expect(1099, 10990);
	ckpx_xid_lsn_forget_before(map, 1020);	/* backwards: nothing */
	expect_unknown(1049);
	ckpx_xid_lsn_note(map, 1049, 1);
	expect(1050, 10500);
	ckpx_xid_lsn_forget_before(map, 5000);	/* all */
	expect_unknown(4999);
	expect(5000, InvalidXLogRecPtr);
	ckpx_xid_lsn_note(map, 5000, 7);
	expect(5000, 7);
}

/* Forgotten places of the ring do not come back when it wraps. */
static void
test_wrap(void **arg)
{
	for (uint64 xid = 1000; xid < 1000 + 20 * CKPX_XID_BUCKETS; xid++)
	{
		ckpx_xid_lsn_note(map, xid, xid);
		if (xid >= 1100)
		{
			ckpx_xid_lsn_forget_before(map, xid - 100);
			expect(xid - 100, xid - 100);
			expect(xid, xid);
		}
	}
	assert_int_equal(map->shift, 0);
}

/* The ring holds exactly its size; one more folds. */
static void
test_fold(void **arg)
{
	ckpx_xid_lsn_note(map, 1000, 100);
	ckpx_xid_lsn_note(map, 1001, 50);
	ckpx_xid_lsn_note(map, 1000 + CKPX_XID_BUCKETS - 1, 900);
	assert_int_equal(map->shift, 0);
	ckpx_xid_lsn_note(map, 1000 + CKPX_XID_BUCKETS, 950);
	assert_int_equal(map->shift, 1);
	expect(1000, 50);
	expect(1001, 50);
	expect(1002, 900);
	expect(1000 + CKPX_XID_BUCKETS, 950);
}

/* Forgetting a part of a bucket keeps the rest, and its lower bound. */
static void
test_forget_part_of_bucket(void **arg)
{
	ckpx_xid_lsn_note(map, 1000 + 8 * CKPX_XID_BUCKETS, 900);
	assert_true(map->shift >= 3);
	ckpx_xid_lsn_note(map, 1000 + 7 * CKPX_XID_BUCKETS, 800);
	ckpx_xid_lsn_note(map, 1008, 10);
	ckpx_xid_lsn_note(map, 1015, 20);
	ckpx_xid_lsn_forget_before(map, 1015);
	expect_unknown(1014);
	{
		XLogRecPtr	lsn;

		assert_true(ckpx_xid_lsn_lower_bound(map, 1015, &lsn));
		assert_true(lsn != InvalidXLogRecPtr && lsn <= 20);
	}
}

/* After a long span of xids the map gets exact again for new ones. */
static void
test_shrink(void **arg)
{
	uint64		far = UINT64CONST(1) << 31;

	ckpx_xid_lsn_note(map, 1000, 100);
	ckpx_xid_lsn_note(map, far, 200);
	assert_true(map->shift > 10);
	expect(1001, 100);			/* coarse, but not too high */
	ckpx_xid_lsn_forget_before(map, far);
	for (uint64 xid = far; xid < far + 2000; xid++)
		ckpx_xid_lsn_note(map, xid, xid);
	ckpx_xid_lsn_forget_before(map, far + 1900);
	assert_int_equal(map->shift, 0);
	expect(far + 1950, far + 1950);
}

static void
test_largest_xids(void **arg)
{
	ckpx_xid_lsn_note(map, PG_UINT64_MAX, 900);
	ckpx_xid_lsn_note(map, 1000, 800);
	expect(PG_UINT64_MAX, 900);
	ckpx_xid_lsn_forget_before(map, PG_UINT64_MAX);
	expect(PG_UINT64_MAX, 900);
	expect_unknown(PG_UINT64_MAX - 1);
}

/*
 * Random streams against a plain map.  Xids are given out in nearly ascending
 * order, sometimes with a jump; first records come late for some; the oldest
 * needed xid follows at a random distance, sometimes stuck for long.
 */
#define MODEL_MAX	30000

static void
test_random(void **arg)
{
	static struct
	{
		uint64		xid;
		XLogRecPtr	lsn;
	}			model[MODEL_MAX];

	for (uint64 run = 1; run <= 60; run++)
	{
		uint64		next_xid = run * 777;
		uint64		known_from = next_xid;
		XLogRecPtr	next_lsn = 1000;
		int			count = 0;
		int			steps = 200 + (int) (run * 60);
		uint64		jump = UINT64CONST(1) << (run % 24);
		bool		must_be_exact = true;

		random_state = UINT64CONST(0x9E3779B97F4A7C15) * run;
		ckpx_xid_lsn_reset(map, known_from);

		for (int step = 0; step < steps; step++)
		{
			uint64		what = next_random() % 100;

			if (what < 70 && count < MODEL_MAX)
			{
				uint64		back = next_random() % 40;
				uint64		xid;

				next_xid += (what == 0) ? jump : next_random() % 3;
				xid = (next_xid > back) ? next_xid - back : next_xid;
				next_lsn += next_random() % 50;
				model[count].xid = xid;
				model[count].lsn = next_lsn;
				count++;
				ckpx_xid_lsn_note(map, xid, next_lsn);
			}
			else if (what < 73 && step % 1000 < 700)
			{
				uint64		span = next_xid - known_from;

				known_from += span ? next_random() % (span + 10) : 0;
				ckpx_xid_lsn_forget_before(map, known_from);
			}
			if (map->shift > 0)
				must_be_exact = false;

			if (what > 60)
			{
				uint64		xmin = known_from +
				next_random() % (next_xid - Min(known_from, next_xid) + 5);
				XLogRecPtr	truth = InvalidXLogRecPtr;
				XLogRecPtr	lsn;

				for (int i = 0; i < count; i++)
				{
					if (model[i].xid >= xmin &&
						(truth == InvalidXLogRecPtr || model[i].lsn < truth))
						truth = model[i].lsn;
				}
				assert_true(ckpx_xid_lsn_lower_bound(map, xmin, &lsn));
				if (truth != InvalidXLogRecPtr)
				{
					assert_true(lsn != InvalidXLogRecPtr);
					assert_true(lsn <= truth);
				}
				if (must_be_exact)
					assert_int_equal(lsn, truth);
				if (known_from > 0)
					assert_false(ckpx_xid_lsn_lower_bound(map, known_from - 1,
														  &lsn));
			}
		}
	}
}

#define unit(name)	cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		unit(test_empty),
		unit(test_exact),
		unit(test_lowest_counts),
		unit(test_older_than_tracking),
		unit(test_forget),
		unit(test_wrap),
		unit(test_fold),
		unit(test_forget_part_of_bucket),
		unit(test_shrink),
		unit(test_largest_xids),
		unit(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
