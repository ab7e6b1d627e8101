/*-------------------------------------------------------------------------
 *
 * test_bin_wal_records.c
 *		WAL records as ckpx_combinebackup checks them, in handmade pages.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/combinebackup/wal_records.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "access/rmgr.h"
#include "access/xlog_internal.h"
#include "catalog/pg_control.h"

#define SEGMENT_PAGES	4
#define SEGMENT_SIZE	(SEGMENT_PAGES * XLOG_BLCKSZ)
#define PAGES			(3 * SEGMENT_PAGES)
#define BASE			((XLogRecPtr) 5 * SEGMENT_SIZE)

static char wal[PAGES * XLOG_BLCKSZ];
static bool is_record[PAGES * XLOG_BLCKSZ]; /* else header or padding */
static XLogRecPtr end;

static XLogPageHeader
page_header(XLogRecPtr lsn)
{
	return (XLogPageHeader) (wal + (lsn - BASE) / XLOG_BLCKSZ * XLOG_BLCKSZ);
}

static void
begin_wal(void)
{
	memset(wal, 0, sizeof(wal));
	memset(is_record, 0, sizeof(is_record));
	for (int i = 0; i < PAGES; i++)
		page_header(BASE + i * XLOG_BLCKSZ)->xlp_info =
			i % SEGMENT_PAGES == 0 ? XLP_LONG_HEADER : 0;
	end = BASE;
}

/* Pass over the header of a page that begins here. */
static void
skip_header(uint32 remaining)
{
	XLogPageHeader header;

	if (end % XLOG_BLCKSZ != 0)
		return;
	header = page_header(end);
	if (remaining > 0)
	{
		header->xlp_info |= XLP_FIRST_IS_CONTRECORD;
		header->xlp_rem_len = remaining;
	}
	end += XLogPageHeaderSize(header);
}

/* Append a record with so many bytes behind its header; its LSN. */
static XLogRecPtr
add_record(uint32 length, RmgrId rmid, uint8 info)
{
	uint32		total = SizeOfXLogRecord + length;
	char	   *bytes = calloc(1, total);
	XLogRecord *record = (XLogRecord *) bytes;
	XLogRecPtr	start;
	pg_crc32c	crc;

	record->xl_tot_len = total;
	record->xl_rmid = rmid;
	record->xl_info = info;
	for (uint32 i = SizeOfXLogRecord; i < total; i++)
		bytes[i] = (char) (i * 7 + total);
	INIT_CRC32C(crc);
	COMP_CRC32C(crc, bytes + SizeOfXLogRecord, length);
	COMP_CRC32C(crc, bytes, offsetof(XLogRecord, xl_crc));
	FIN_CRC32C(crc);
	record->xl_crc = crc;

	skip_header(0);
	start = end;
	for (uint32 i = 0; i < total; i++)
	{
		skip_header(total - i);
		is_record[end - BASE] = true;
		wal[end++ - BASE] = bytes[i];
	}
	end = MAXALIGN64(end);
	free(bytes);
	return start;
}

/* Look at pages from 'first' on, records from 'start' to 'stop'. */
static const char *
check(XLogRecPtr start, XLogRecPtr stop, int first, XLogRecPtr *where)
{
	WalRecords	records;
	const char *problem = NULL;

	wal_records_begin(&records, SEGMENT_SIZE, start, stop);
	for (int i = first; problem == NULL && i < PAGES &&
		 BASE + i * XLOG_BLCKSZ < stop; i++)
		problem = wal_records_page(&records, wal + i * XLOG_BLCKSZ,
								   BASE + i * XLOG_BLCKSZ, where);
	if (problem == NULL && wal_records_incomplete(&records, where))
		problem = "incomplete";
	return problem;
}

/* Records of many lengths: some end with a page, some with few bytes left. */
static XLogRecPtr
add_many(int count)
{
	XLogRecPtr	first = add_record(3, RM_HEAP_ID, 0);

	for (int i = 0; i < count; i++)
		add_record(i * 37 % 211, RM_HEAP_ID, 0);
	return first;
}

static void
test_whole(void **arg)
{
	XLogRecPtr	first;
	XLogRecPtr	middle;
	XLogRecPtr	where;

	begin_wal();
	first = add_many(200);
	middle = add_record(3 * XLOG_BLCKSZ, RM_HEAP_ID, 0);
	(void) add_many(20);
	assert_true(end > BASE + 5 * XLOG_BLCKSZ);
	assert_null(check(first, end, 0, &where));
	assert_null(check(middle, end, 0, &where));
	assert_null(check(middle, end, (middle - BASE) / XLOG_BLCKSZ, &where));

	/* from the beginning of a page into which a record reaches */
	assert_null(check(BASE + SEGMENT_SIZE, end, SEGMENT_PAGES, &where));

	/* to an end within, which is one of a record */
	assert_null(check(first, middle, 0, &where));
	assert_string_equal(check(first, middle + 8, 0, &where), "incomplete");
	assert_true(where == middle);
	assert_string_equal(check(first, end + 8, 0, &where),
						"has a wrong length");
	assert_true(where == end);
}

/* Every bit of a record matters. */
static void
test_flips(void **arg)
{
	XLogRecPtr	first;
	XLogRecPtr	where;

	begin_wal();
	first = add_many(60);
	(void) add_record(XLOG_BLCKSZ + 100, RM_HEAP_ID, 0);
	(void) add_many(10);
	for (int i = 0; i < end - BASE; i++)
	{
		if (!is_record[i])
			continue;
		wal[i] ^= 1 << i % 8;
		assert_non_null(check(first, end, 0, &where));
		assert_true(where <= BASE + i);
		wal[i] ^= 1 << i % 8;
	}

	/* and where the page says how much of it is left */
	assert_true(page_header(BASE + XLOG_BLCKSZ)->xlp_info &
				XLP_FIRST_IS_CONTRECORD);
	page_header(BASE + XLOG_BLCKSZ)->xlp_rem_len ^= 4;
	assert_string_equal(check(first, end, 0, &where),
						"does not go on in the next page");
}

static void
test_switch(void **arg)
{
	XLogRecPtr	first;
	XLogRecPtr	where;

	begin_wal();
	first = add_many(10);
	(void) add_record(0, RM_XLOG_ID, XLOG_SWITCH);
	end = BASE + SEGMENT_SIZE;
	(void) add_many(10);
	assert_null(check(first, end, 0, &where));

	/* what is between does not matter */
	memset(wal + XLOG_BLCKSZ, 'x', SEGMENT_SIZE - XLOG_BLCKSZ);
	assert_null(check(first, end, 0, &where));
	assert_null(check(first, BASE + SEGMENT_SIZE, 0, &where));

	/* without a switch there would have to be a record */
	begin_wal();
	first = add_many(10);
	(void) add_record(0, RM_XLOG_ID, XLOG_NOOP);
	end = BASE + SEGMENT_SIZE;
	(void) add_many(10);
	assert_string_equal(check(first, end, 0, &where), "has a wrong length");
}

/* A record that a crash cut off at a page's end. */
static void
test_given_up(void **arg)
{
	XLogRecPtr	first;
	XLogRecPtr	given_up;
	XLogRecPtr	where;
	XLogPageHeader header;

	begin_wal();
	first = add_many(10);
	given_up = add_record(2 * XLOG_BLCKSZ, RM_HEAP_ID, 0);
	end = BASE + XLOG_BLCKSZ;
	memset(wal + XLOG_BLCKSZ, 0, sizeof(wal) - XLOG_BLCKSZ);
	header = page_header(end);
	assert_string_equal(check(first, end, 0, &where), "incomplete");
	assert_true(where == given_up);
	(void) add_many(10);
	assert_string_equal(check(first, end, 0, &where),
						"does not go on in the next page");
	header->xlp_info |= XLP_FIRST_IS_OVERWRITE_CONTRECORD;
	assert_null(check(first, end, 0, &where));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_flips),
		cmocka_unit_test(test_switch),
		cmocka_unit_test(test_given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
