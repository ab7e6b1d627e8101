/*-------------------------------------------------------------------------
 *
 * test_wal_xacts.c
 *		Which transactions are open at a position of WAL, and which forks they
 *		have made: record by record, and at random against a model that knows
 *		what the server's shared memory would.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "server/wal/xacts.h"
#include "test_random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define NONE	((const TransactionId *) NULL)
#define ENOUGH	4096

static CkpxWalXacts *xacts;

/* What the callback was told. */
static TransactionId told_xids[ENOUGH];
static XLogRecPtr told_lsns[ENOUGH];
static int	ntold;

static void
tell(TransactionId xid, XLogRecPtr lsn)
{
	assert_true(ntold < ENOUGH);
	told_xids[ntold] = xid;
	told_lsns[ntold++] = lsn;
}

static int
setup(void **arg)
{
	xacts = ckpx_wal_xacts_create(NULL, tell);
	ntold = 0;
	return 0;
}

/* As after the first RUNNING_XACTS record, with nothing running. */
static int
setup_complete(void **arg)
{
	setup(arg);
	ckpx_wal_xacts_running(xacts, 0, NONE, 100, 100, false, 1);
	return 0;
}

/* The open transactions as "xid@lsn xid@lsn", by xid. */
static const char *
open_xacts(void)
{
	static char text[4096];
	CkpxOpenXact *list;
	uint32		n = ckpx_wal_xacts_list(xacts, &list);
	int			length = 0;

	text[0] = '\0';
	for (uint32 i = 0; i < n; i++)
		length += snprintf(text + length, sizeof(text) - length, "%s%u@%u",
						   i > 0 ? " " : "", list[i].xid,
						   (unsigned) list[i].first_lsn);
	pfree(list);
	return text;
}

static void
end_one(TransactionId xid, XLogRecPtr lsn)
{
	ckpx_wal_xacts_end(xacts, xid, 0, NULL, lsn);
}

static void
running(TransactionId xid, TransactionId oldest, TransactionId next,
		bool overflowed, XLogRecPtr lsn)
{
	ckpx_wal_xacts_running(xacts, TransactionIdIsValid(xid) ? 1 : 0, &xid,
						   oldest, next, overflowed, lsn);
}

static CkpxRelKey
fork_of(Oid relation)
{
	CkpxRelKey	key = {1663, 5, relation, 0};

	return key;
}

static void
created(Oid relation, TransactionId xid, XLogRecPtr lsn)
{
	CkpxRelKey	key = fork_of(relation);

	ckpx_wal_xacts_created(xacts, &key, xid, lsn);
}

static bool
touched(Oid relation, TransactionId xid)
{
	CkpxRelKey	key = fork_of(relation);

	return ckpx_wal_xacts_touched(xacts, &key, xid);
}

static int
compare_keys(const void *a, const void *b)
{
	Oid			x = ((const CkpxRelKey *) a)->relation;
	Oid			y = ((const CkpxRelKey *) b)->relation;

	return x < y ? -1 : x > y;
}

static const char *
names_of(CkpxRelKey *keys, uint32 n)
{
	static char text[4096];
	int			length = 0;

	qsort(keys, n, sizeof(CkpxRelKey), compare_keys);
	text[0] = '\0';
	for (uint32 i = 0; i < n; i++)
		length += snprintf(text + length, sizeof(text) - length, "%s%u",
						   i > 0 ? " " : "", keys[i].relation);
	pfree(keys);
	return text;
}

/* The forks that 'redo' does not vouch for; forgets those that it does. */
static const char *
undurable(XLogRecPtr redo)
{
	CkpxRelKey *keys;
	uint32		n = ckpx_wal_xacts_undurable(xacts, redo, &keys);

	return names_of(keys, n);
}

/* "ended from to" of the forks that 'durable' does not vouch for. */
static const char *
builds(XLogRecPtr durable)
{
	static char text[4200];
	CkpxRelKey *keys;
	XLogRecPtr	from;
	XLogRecPtr	to;
	uint32		n = ckpx_wal_xacts_builds(xacts, durable, &keys, &from, &to);

	snprintf(text, sizeof(text), "[%s] %u-%s%u", names_of(keys, n),
			 (unsigned) from, to == PG_UINT64_MAX ? "open" : "",
			 to == PG_UINT64_MAX ? 0 : (unsigned) to);
	return text;
}

/*
 * Transactions
 */

static void
test_first_record_and_end(void **arg)
{
	ckpx_wal_xacts_note(xacts, 105, 10);
	ckpx_wal_xacts_note(xacts, 103, 20);
	ckpx_wal_xacts_note(xacts, 105, 30);
	assert_string_equal(open_xacts(), "103@20 105@10");
	assert_int_equal(ntold, 2);
	assert_int_equal(told_xids[0], 105);
	assert_int_equal(told_lsns[1], 20);

	end_one(105, 40);
	assert_string_equal(open_xacts(), "103@20");
	end_one(103, 50);
	assert_string_equal(open_xacts(), "");
	/* An end without any record before it. */
	end_one(110, 60);
	assert_string_equal(open_xacts(), "");
	assert_int_equal(ntold, 2);
}

/* Two xids share a place among the recent ones. */
static void
test_recent_xids_collide(void **arg)
{
	ckpx_wal_xacts_note(xacts, 200, 10);
	ckpx_wal_xacts_note(xacts, 200 + CKPX_RECENT_XIDS, 20);
	ckpx_wal_xacts_note(xacts, 200, 30);
	assert_string_equal(open_xacts(), "200@10 264@20");
	end_one(200 + CKPX_RECENT_XIDS, 40);
	ckpx_wal_xacts_note(xacts, 200, 50);
	assert_string_equal(open_xacts(), "200@10");
	end_one(200, 60);
	/* A remembered xid that has ended does not hide one that begins. */
	ckpx_wal_xacts_note(xacts, 200, 70);
	assert_string_equal(open_xacts(), "200@70");
	assert_int_equal(ntold, 3);
}

static void
test_subtransactions(void **arg)
{
	const TransactionId aborted[] = {102};
	const TransactionId committed[] = {101, 103};

	ckpx_wal_xacts_note(xacts, 100, 10);
	ckpx_wal_xacts_note(xacts, 101, 20);
	ckpx_wal_xacts_note(xacts, 102, 30);
	ckpx_wal_xacts_note(xacts, 103, 40);
	/* An abort of a subtransaction, with an xid of its own. */
	ckpx_wal_xacts_end(xacts, 102, 0, aborted, 50);
	assert_string_equal(open_xacts(), "100@10 101@20 103@40");
	ckpx_wal_xacts_end(xacts, 100, 2, committed, 60);
	assert_string_equal(open_xacts(), "");
}

static void
test_assignment(void **arg)
{
	const TransactionId subs[] = {103, 104};

	/* The parent has written nothing itself. */
	ckpx_wal_xacts_note(xacts, 103, 10);
	ckpx_wal_xacts_note(xacts, 104, 20);
	ckpx_wal_xacts_assign(xacts, 100, 2, subs);
	assert_string_equal(open_xacts(), "100@10");

	/* It has: its own first record may be later or earlier. */
	ckpx_wal_xacts_note(xacts, 201, 40);
	ckpx_wal_xacts_note(xacts, 200, 50);
	ckpx_wal_xacts_assign(xacts, 200, 1, (const TransactionId[]) {201});
	ckpx_wal_xacts_note(xacts, 202, 60);
	ckpx_wal_xacts_assign(xacts, 200, 1, (const TransactionId[]) {202});
	assert_string_equal(open_xacts(), "100@10 200@40");

	/* One that is assigned and writes on ends with the parent. */
	ckpx_wal_xacts_note(xacts, 104, 70);
	assert_string_equal(open_xacts(), "100@10 104@70 200@40");
	ckpx_wal_xacts_end(xacts, 100, 2, subs, 80);
	assert_string_equal(open_xacts(), "200@40");

	/* What never wrote is nothing to be assigned. */
	ckpx_wal_xacts_assign(xacts, 300, 1, (const TransactionId[]) {301});
	assert_string_equal(open_xacts(), "200@40");
}

static void
test_prepared_outlives_shutdown(void **arg)
{
	const TransactionId subs[] = {101, 103};

	ckpx_wal_xacts_note(xacts, 100, 10);
	ckpx_wal_xacts_note(xacts, 101, 20);
	ckpx_wal_xacts_note(xacts, 102, 30);
	ckpx_wal_xacts_prepare(xacts, 100, 2, subs);
	ckpx_wal_xacts_shutdown(xacts, 50);
	assert_string_equal(open_xacts(), "100@10 101@20");

	/* 102 is over, so its next record would be a first one. */
	assert_int_equal(ntold, 3);
	ckpx_wal_xacts_note(xacts, 102, 60);
	assert_int_equal(ntold, 4);
	end_one(102, 70);

	ckpx_wal_xacts_end(xacts, 100, 2, subs, 80);
	assert_string_equal(open_xacts(), "");
}

/* What an earlier process knew may be prepared; the next record settles it. */
static void
test_taken_over(void **arg)
{
	ckpx_wal_xacts_add(xacts, 100, 10);
	ckpx_wal_xacts_add(xacts, 101, 20);
	ckpx_wal_xacts_shutdown(xacts, 50);
	assert_string_equal(open_xacts(), "100@10 101@20");
	assert_int_equal(ntold, 0);
	running(101, 101, 105, false, 60);
	assert_string_equal(open_xacts(), "101@20");
	end_one(101, 70);
	assert_string_equal(open_xacts(), "");
}

static void
test_running_purges(void **arg)
{
	ckpx_wal_xacts_note(xacts, 100, 10);
	ckpx_wal_xacts_note(xacts, 101, 20);
	ckpx_wal_xacts_note(xacts, 102, 30);

	/* A crash ended 100 and 101 without a word. */
	running(102, 102, 110, false, 50);
	assert_string_equal(open_xacts(), "102@30");
	/* A list that overflowed says as much about the oldest. */
	running(InvalidTransactionId, 103, 110, true, 60);
	assert_string_equal(open_xacts(), "");
}

/* Once complete, nothing is taken from the list: it may name what has ended. */
static void
test_running_names_what_has_ended(void **arg)
{
	ckpx_wal_xacts_note(xacts, 100, 10);
	end_one(100, 20);
	running(100, 100, 110, false, 30);
	assert_string_equal(open_xacts(), "");

	/* Nor before, but there the xid must be remembered. */
	ckpx_wal_xacts_reset(xacts, 40);
	assert_false(xacts->complete);
	ckpx_wal_xacts_note(xacts, 111, 50);
	end_one(111, 60);
	end_one(112, 65);
	assert_string_equal(open_xacts(), "");
	running(111, 111, 120, true, 70);
	assert_string_equal(open_xacts(), "");
	assert_false(xacts->complete);
	running(112, 111, 120, false, 80);
	assert_string_equal(open_xacts(), "");
	assert_true(xacts->complete);
}

/* It tells of transactions that began before the chain did. */
static void
test_running_completes(void **arg)
{
	const TransactionId xids[] = {100, 102, 103};

	ckpx_wal_xacts_note(xacts, 103, 10);
	ckpx_wal_xacts_running(xacts, 3, xids, 100, 105, true, 20);
	assert_string_equal(open_xacts(), "100@0 102@0 103@10");
	assert_false(xacts->complete);
	ckpx_wal_xacts_running(xacts, 3, xids, 100, 105, false, 30);
	assert_true(xacts->complete);
	end_one(102, 40);
	assert_string_equal(open_xacts(), "100@0 103@10");
	/* The next one that is new to us began after the chain. */
	running(104, 100, 106, false, 50);
	assert_string_equal(open_xacts(), "100@0 103@10");
}

/* One that it named may have written nothing yet: its first record counts. */
static void
test_named_before_its_first_record(void **arg)
{
	running(100, 100, 105, false, 10);
	assert_int_equal(ntold, 0);
	ckpx_wal_xacts_note(xacts, 100, 20);
	assert_int_equal(ntold, 1);
	assert_int_equal(told_xids[0], 100);
	assert_int_equal(told_lsns[0], 20);
	/* What it did before the chain began is not known. */
	assert_string_equal(open_xacts(), "100@0");
}

static void
test_reset(void **arg)
{
	ckpx_wal_xacts_note(xacts, 100, 10);
	created(1000, 100, 15);
	ckpx_wal_xacts_reset(xacts, 30);
	assert_string_equal(open_xacts(), "");
	assert_false(xacts->complete);
	/* The recent xids are forgotten, too. */
	ckpx_wal_xacts_note(xacts, 100, 40);
	assert_string_equal(open_xacts(), "100@40");
	/* The fork's owner, which bore the same xid, ended at 30. */
	end_one(100, 50);
	assert_string_equal(undurable(29), "1000");
	assert_string_equal(undurable(30), "");
}

/* Older and younger, beyond 2^32: by distance, not by number. */
static void
test_wraparound(void **arg)
{
	const TransactionId last = MaxTransactionId;

	running(InvalidTransactionId, last - 5, last - 5, false, 5);
	ckpx_wal_xacts_note(xacts, last - 1, 10);
	ckpx_wal_xacts_note(xacts, last, 20);
	ckpx_wal_xacts_note(xacts, FirstNormalTransactionId, 30);
	ckpx_wal_xacts_note(xacts, FirstNormalTransactionId + 1, 40);
	assert_string_equal(open_xacts(), "3@30 4@40 4294967294@10 4294967295@20");

	/* The oldest is from before: nothing after it goes. */
	running(last, last, FirstNormalTransactionId + 2, false, 50);
	assert_string_equal(open_xacts(), "3@30 4@40 4294967295@20");
	/* It is from after: what has the larger number is older. */
	running(4, FirstNormalTransactionId + 1, FirstNormalTransactionId + 2,
			false, 60);
	assert_string_equal(open_xacts(), "4@40");

	/* The same for the owners that are not known. */
	created(1000, InvalidTransactionId, 70);
	(void) touched(1000, InvalidTransactionId);
	running(last, last, FirstNormalTransactionId + 9, false, 80);
	running(last, last, FirstNormalTransactionId + 9, false, 90);
	assert_string_equal(undurable(1000), "1000");
	running(InvalidTransactionId, FirstNormalTransactionId + 9,
			FirstNormalTransactionId + 9, false, 100);
	assert_string_equal(undurable(99), "1000");
	assert_string_equal(undurable(100), "");
}

/* A burst of transactions, with forks of theirs, and a small table after it. */
static void
test_table_shrinks(void **arg)
{
	const int	n = 4000;

	for (int i = 0; i < n; i++)
		ckpx_wal_xacts_note(xacts, 1000 + i, 10 + i);
	created(1, 1000, 5000);
	created(2, 1000 + n - 1, 5000);
	for (int i = 1; i < n - 1; i++)
		end_one(1000 + i, 6000);
	running(1000, 1000, 1000 + n, false, 7000);
	assert_string_equal(open_xacts(), "1000@10 4999@4009");
	end_one(1000, 7500);
	assert_string_equal(undurable(7499), "1 2");
	assert_string_equal(undurable(7500), "2");
	end_one(1000 + n - 1, 8000);
	assert_string_equal(undurable(8000), "");
}

/*
 * Forks
 */

static void
test_fork_of_a_known_owner(void **arg)
{
	ckpx_wal_xacts_note(xacts, 100, 10);
	created(1000, 100, 20);
	created(1001, 100, 30);
	assert_true(touched(1000, 100));
	assert_string_equal(undurable(1000000), "1000 1001");
	assert_string_equal(builds(1000000), "[] 20-open0");

	end_one(100, 40);
	assert_string_equal(builds(39), "[1000 1001] 20-40");
	/* It forgets nothing. */
	assert_string_equal(builds(40), "[] 0-0");
	assert_string_equal(undurable(39), "1000 1001");
	assert_string_equal(undurable(40), "");
	assert_int_equal(xacts->ncreated, 0);
}

/* A creation record without an xid: the first block record that has one. */
static void
test_owner_is_learnt(void **arg)
{
	created(1000, InvalidTransactionId, 20);
	/* Without blocks there is nothing to lose. */
	assert_string_equal(undurable(1000), "");
	assert_string_equal(builds(0), "[] 0-0");

	/* A block, and no xid: not durable, whoever it is. */
	assert_false(touched(1000, InvalidTransactionId));
	assert_int_equal(xacts->norphans, 1);
	assert_string_equal(undurable(1000), "1000");
	assert_string_equal(builds(1000), "[] 20-open0");

	ckpx_wal_xacts_note(xacts, 100, 30);
	assert_true(touched(1000, 100));
	assert_int_equal(xacts->norphans, 0);
	/* Nobody else becomes the owner. */
	ckpx_wal_xacts_note(xacts, 101, 40);
	assert_true(touched(1000, 101));
	end_one(101, 50);
	assert_string_equal(undurable(1000), "1000");
	end_one(100, 60);
	assert_string_equal(undurable(59), "1000");
	assert_string_equal(undurable(60), "");
	/* What nobody tracks needs no second look. */
	assert_true(touched(1000, InvalidTransactionId));
}

/* An owner that never shows itself: over when none of its time is running. */
static void
test_orphans_are_settled(void **arg)
{
	const CkpxRelKey key = fork_of(1001);

	created(1000, InvalidTransactionId, 20);
	(void) touched(1000, InvalidTransactionId);
	ckpx_wal_xacts_add_undurable(xacts, &key);
	assert_int_equal(xacts->norphans, 2);

	/* The owner is older than 150. */
	running(120, 120, 150, false, 30);
	running(120, 149, 160, false, 40);
	assert_string_equal(undurable(1000), "1000 1001");
	running(InvalidTransactionId, 150, 160, false, 50);
	assert_int_equal(xacts->norphans, 0);
	assert_string_equal(builds(49), "[1000 1001] 1-50");
	assert_string_equal(undurable(49), "1000 1001");
	assert_string_equal(undurable(50), "");
}

/* Forks go with a subtransaction, or over to the parent that is told. */
static void
test_forks_of_subtransactions(void **arg)
{
	ckpx_wal_xacts_note(xacts, 101, 10);
	created(1000, 101, 11);
	ckpx_wal_xacts_note(xacts, 102, 12);
	created(1001, 102, 13);
	created(1002, 102, 14);
	ckpx_wal_xacts_note(xacts, 100, 15);
	created(1003, 100, 16);
	ckpx_wal_xacts_assign(xacts, 100, 1, (const TransactionId[]) {102});

	/* The chain of the parent has them all, and gives one up in its middle. */
	ckpx_wal_xacts_dropped(xacts, &(CkpxRelKey) {1663, 5, 1001, 0});
	end_one(101, 20);
	assert_string_equal(undurable(20), "1002 1003");
	ckpx_wal_xacts_end(xacts, 100, 1, (const TransactionId[]) {102}, 30);
	assert_string_equal(undurable(29), "1002 1003");
	assert_string_equal(undurable(30), "");
}

static void
test_forks_end_with_a_purge(void **arg)
{
	ckpx_wal_xacts_note(xacts, 100, 10);
	created(1000, 100, 11);
	ckpx_wal_xacts_note(xacts, 101, 12);
	created(1001, 101, 13);
	ckpx_wal_xacts_prepare(xacts, 101, 0, NULL);
	ckpx_wal_xacts_shutdown(xacts, 20);
	assert_string_equal(undurable(20), "1001");
	running(InvalidTransactionId, 102, 102, false, 30);
	assert_string_equal(undurable(29), "1001");
	assert_string_equal(undurable(30), "");
}

static void
test_forks_are_dropped(void **arg)
{
	CkpxRelKey	elsewhere = {1664, 5, 1000, 0};
	CkpxRelKey	other = {1663, 6, 1000, 0};
	CkpxRelKey	init = {1663, 5, 1000, 3};

	ckpx_wal_xacts_note(xacts, 100, 10);
	for (Oid relation = 1000; relation < 1005; relation++)
		created(relation, 100, 20);
	ckpx_wal_xacts_created(xacts, &elsewhere, 100, 21);
	ckpx_wal_xacts_created(xacts, &other, 100, 22);
	ckpx_wal_xacts_created(xacts, &init, 100, 23);
	assert_int_equal(xacts->ncreated, 8);

	/* First, last, and in the middle of the chain; and one that is not. */
	ckpx_wal_xacts_dropped(xacts, &init);
	ckpx_wal_xacts_dropped(xacts, &(CkpxRelKey) {1663, 5, 1000, 0});
	ckpx_wal_xacts_dropped(xacts, &(CkpxRelKey) {1663, 5, 1002, 0});
	ckpx_wal_xacts_dropped(xacts, &(CkpxRelKey) {1663, 5, 1002, 0});
	assert_int_equal(xacts->ncreated, 5);
	ckpx_wal_xacts_dropped_database(xacts, 1663, 5);
	assert_int_equal(xacts->ncreated, 2);
	assert_string_equal(undurable(1000), "1000 1000");
	ckpx_wal_xacts_dropped_database(xacts, 1664, 5);
	ckpx_wal_xacts_dropped_database(xacts, 1663, 6);
	assert_int_equal(xacts->ncreated, 0);
	end_one(100, 30);
	assert_string_equal(undurable(0), "");
}

/* The number is used again, in the same transaction or in another one. */
static void
test_fork_is_made_again(void **arg)
{
	ckpx_wal_xacts_note(xacts, 100, 10);
	ckpx_wal_xacts_note(xacts, 101, 11);
	created(1000, 100, 20);
	created(1001, 100, 21);
	created(1000, 100, 30);
	created(1001, 101, 31);
	assert_int_equal(xacts->ncreated, 2);
	end_one(100, 40);
	assert_string_equal(undurable(40), "1001");
	/* It was an orphan before. */
	created(1002, InvalidTransactionId, 50);
	(void) touched(1002, InvalidTransactionId);
	created(1002, 101, 51);
	assert_int_equal(xacts->norphans, 0);
	end_one(101, 60);
	assert_string_equal(undurable(60), "");
}

/*
 * At random
 *
 * The model is the server: which transactions are in its shared memory, which
 * of them have written WAL, and since when.  A transaction leaves shared memory
 * a while after it has written its end, so a RUNNING_XACTS record may name it.
 */

#define NXACTS		40
#define NSUBS		6
#define NFORKS		30

typedef struct ModelXact
{
	bool		used;			/* in shared memory */
	bool		ended;			/* its end is in WAL */
	bool		prepared;
	TransactionId xid;
	int			nsubs;
	TransactionId subs[NSUBS];
	XLogRecPtr	first[NSUBS + 1];	/* [0]: its own; 0: has not written */
	bool		assigned[NSUBS + 1];
} ModelXact;

typedef struct ModelFork
{
	bool		used;
	int			owner;			/* an index of model, or -1 */
	XLogRecPtr	end_lsn;
} ModelFork;

static TestRandom chance;
static ModelXact model[NXACTS];
static ModelFork forks[NFORKS];
static TransactionId next_xid;
static XLogRecPtr now;

static TransactionId
take_xid(void)
{
	TransactionId xid = next_xid;

	next_xid++;
	if (!TransactionIdIsNormal(next_xid))
		next_xid = FirstNormalTransactionId;
	return xid;
}

static TransactionId
xid_of(const ModelXact *xact, int which)
{
	return which == 0 ? xact->xid : xact->subs[which - 1];
}

static void
model_write(ModelXact *xact, int which)
{
	ntold = 0;
	ckpx_wal_xacts_note(xacts, xid_of(xact, which), now);
	if (xact->first[which] == 0)
	{
		/* Whatever is known of it, its first record is told. */
		assert_int_equal(ntold, 1);
		assert_int_equal(told_xids[0], xid_of(xact, which));
		xact->first[which] = now;
	}

	/* It is an entry of its own again. */
	if (xact->assigned[which])
	{
		xact->assigned[which] = false;
		xact->first[0] = Min(xact->first[0], xact->first[which]);
		xact->first[which] = now;
	}
}

static void
model_begin(ModelXact *xact)
{
	memset(xact, 0, sizeof(*xact));
	xact->used = true;
	xact->xid = take_xid();
}

static void
model_assign(ModelXact *xact)
{
	XLogRecPtr	first = xact->first[0];

	ckpx_wal_xacts_assign(xacts, xact->xid, xact->nsubs, xact->subs);
	for (int i = 1; i <= xact->nsubs; i++)
	{
		if (xact->first[i] == 0)
			continue;
		if (first == 0 || xact->first[i] < first)
			first = xact->first[i];
		xact->assigned[i] = true;
	}
	xact->first[0] = first;
}

static void
model_end(int n)
{
	ModelXact  *xact = &model[n];

	ckpx_wal_xacts_end(xacts, xact->xid, xact->nsubs, xact->subs, now);
	xact->ended = true;
	for (int i = 0; i < NFORKS; i++)
	{
		if (forks[i].used && forks[i].owner == n)
		{
			forks[i].owner = -1;
			forks[i].end_lsn = now;
		}
	}
}

static void
model_create(int n)
{
	int			fork = test_random_below(&chance, NFORKS);
	int			which = test_random_below(&chance, model[n].nsubs + 1);

	model_write(&model[n], which);
	created(1000 + fork, xid_of(&model[n], which), now);
	forks[fork].used = true;
	forks[fork].owner = n;
	forks[fork].end_lsn = 0;
}

static void
model_running(void)
{
	TransactionId xids[NXACTS * (NSUBS + 1)];
	TransactionId oldest = next_xid;
	bool		overflowed = test_random_below(&chance, 3) == 0;
	int			n = 0;

	for (int i = 0; i < NXACTS; i++)
	{
		ModelXact  *xact = &model[i];

		if (!xact->used)
			continue;
		for (int j = 0; j <= (overflowed ? 0 : xact->nsubs); j++)
			xids[n++] = xid_of(xact, j);
		if (TransactionIdPrecedes(xact->xid, oldest))
			oldest = xact->xid;
	}
	ckpx_wal_xacts_running(xacts, n, xids, oldest, next_xid, overflowed, now);
}

/* A restart of the server: only what is prepared stays. */
static void
model_shutdown(void)
{
	for (int i = 0; i < NXACTS; i++)
	{
		if (model[i].used && (!model[i].prepared || model[i].ended))
		{
			if (!model[i].ended)
			{
				model[i].ended = true;
				for (int j = 0; j < NFORKS; j++)
				{
					if (forks[j].used && forks[j].owner == i)
					{
						forks[j].owner = -1;
						forks[j].end_lsn = now;
					}
				}
			}
			model[i].used = false;
		}
	}
	ckpx_wal_xacts_shutdown(xacts, now);
}

static bool
has_entry(const ModelXact *xact, int which)
{
	return xact->used && !xact->ended && xact->first[which] != 0 &&
		!xact->assigned[which];
}

/*
 * All that is open and has written is listed, with the right position; and,
 * once complete, nothing else.
 */
static void
compare_with_model(bool complete)
{
	CkpxOpenXact *list;
	uint32		n = ckpx_wal_xacts_list(xacts, &list);
	uint32		expected = 0;
	CkpxRelKey *keys;
	uint32		nkeys;
	uint32		nforks = 0;

	for (int i = 0; i < NXACTS; i++)
	{
		for (int j = 0; j <= model[i].nsubs; j++)
		{
			uint32		k = 0;

			while (k < n && list[k].xid != xid_of(&model[i], j))
				k++;
			if (has_entry(&model[i], j))
			{
				assert_true(k < n);
				if (list[k].first_lsn != 0)
					assert_int_equal(list[k].first_lsn, model[i].first[j]);
				expected++;
			}
			else if (model[i].used && model[i].ended)
				assert_true(k == n);
		}
	}
	if (complete)
		assert_int_equal(n, expected);
	pfree(list);

	nkeys = ckpx_wal_xacts_undurable(xacts, now - 20, &keys);
	for (int i = 0; i < NFORKS; i++)
	{
		if (forks[i].used && forks[i].owner < 0 && forks[i].end_lsn <= now - 20)
			forks[i].used = false;
		nforks += forks[i].used;
	}
	assert_int_equal(nkeys, nforks);
	for (uint32 i = 0; i < nkeys; i++)
		assert_true(forks[keys[i].relation - 1000].used);
	pfree(keys);
}

static void
model_step(void)
{
	int			n = test_random_below(&chance, NXACTS);
	ModelXact  *xact = &model[n];

	now++;
	switch (test_random_below(&chance, 60))
	{
		case 0:
			model_shutdown();
			return;
		case 1:
		case 2:
			model_running();
			return;
	}
	if (!xact->used)
		model_begin(xact);
	else if (xact->ended)
		xact->used = false;
	else if (xact->prepared)
	{
		if (test_random_below(&chance, 4) == 0)
			model_end(n);
	}
	else
	{
		switch (test_random_below(&chance, 12))
		{
			case 0:
			case 1:
				model_end(n);
				break;
			case 2:
				/* The record itself has the xid. */
				model_write(xact, 0);
				ckpx_wal_xacts_prepare(xacts, xact->xid, xact->nsubs,
									   xact->subs);
				xact->prepared = true;
				break;
			case 3:
				model_assign(xact);
				break;
			case 4:
			case 5:
				model_create(n);
				break;
			case 6:
			case 7:
				if (xact->nsubs < NSUBS)
					xact->subs[xact->nsubs++] = take_xid();
				break;
			default:
				model_write(xact, test_random_below(&chance, xact->nsubs + 1));
		}
	}
}

static void
test_random(void **arg)
{
	for (uint64 seed = 1; seed <= 60; seed++)
	{
		bool		was_complete;

		test_random_seed(&chance, seed);
		xacts = ckpx_wal_xacts_create(NULL, tell);
		memset(model, 0, sizeof(model));
		memset(forks, 0, sizeof(forks));
		/* Some of them pass 2^32. */
		next_xid = MaxTransactionId - test_random_below(&chance, 2000);
		now = 100;
		was_complete = false;
		for (int step = 0; step < 3000; step++)
		{
			/*
			 * From before the list was complete it may name some that have
			 * not written yet; they are gone at the next shutdown.
			 */
			model_step();
			if (!was_complete && xacts->complete)
				model_shutdown();
			was_complete = xacts->complete;
			compare_with_model(was_complete);
		}
		assert_true(was_complete);
	}
}

int
main(void)
{
#define TEST(f)		cmocka_unit_test_setup(f, setup)
#define COMPLETE(f) cmocka_unit_test_setup(f, setup_complete)
	const struct CMUnitTest tests[] = {
		COMPLETE(test_first_record_and_end),
		COMPLETE(test_recent_xids_collide),
		COMPLETE(test_subtransactions),
		COMPLETE(test_assignment),
		COMPLETE(test_prepared_outlives_shutdown),
		TEST(test_taken_over),
		COMPLETE(test_running_purges),
		COMPLETE(test_running_names_what_has_ended),
		TEST(test_running_completes),
		TEST(test_named_before_its_first_record),
		COMPLETE(test_reset),
		TEST(test_wraparound),
		COMPLETE(test_table_shrinks),
		COMPLETE(test_fork_of_a_known_owner),
		COMPLETE(test_owner_is_learnt),
		COMPLETE(test_orphans_are_settled),
		COMPLETE(test_forks_of_subtransactions),
		COMPLETE(test_forks_end_with_a_purge),
		COMPLETE(test_forks_are_dropped),
		COMPLETE(test_fork_is_made_again),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
