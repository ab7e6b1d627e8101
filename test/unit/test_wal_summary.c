/*-------------------------------------------------------------------------
 *
 * test_wal_summary.c
 *		Maps in the form of WAL summary files, read back by a reader that is
 *		written after the description in wal_summary.h.
 *
 *-------------------------------------------------------------------------
 */
#include "core/bytes.h"
#include "core/format/wal_summary.h"
#include "lib/stringinfo.h"
#include "test_maps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "test_random.h"

static StringInfoData file;
static CkpxWalSummary summary;

static void
append(void *arg, const char *bytes, Size length)
{
	appendBinaryStringInfo(arg, bytes, (int) length);
}

static void
begin(void)
{
	initStringInfo(&file);
	ckpx_wal_summary_begin(&summary, append, &file);
}

/* Make a relation's row: what 'blocks' has, with a limit. */
static CkpxRelation
row(Oid relation, BlockNumber limit)
{
	CkpxRelKey	key = {1663, 5, relation, VISIBILITYMAP_FORKNUM};
	CkpxRelation result;

	ckpx_relation_init(&result, &key, NULL);
	result.counters.records = 1;
	ckpx_block_set_set_limit(&result.blocks, limit);
	return result;
}

static Size position;

static uint32
take32(void)
{
	uint32		value;

	assert_true(position + 4 <= (Size) file.len);
	memcpy(&value, file.data + position, 4);
	position += 4;
	return value;
}

static uint16
take16(void)
{
	uint16		value;

	assert_true(position + 2 <= (Size) file.len);
	memcpy(&value, file.data + position, 2);
	position += 2;
	return value;
}

/* Read a fork and compare; its chunks' numbers of fields go to 'nfields'. */
static void
reads_as(const CkpxRelation *relation, uint16 *nfields)
{
	uint32		limit;
	uint32		nchunks;
	CkpxBlockSet found;

	assert_int_equal(take32(), relation->key.tablespace);
	assert_int_equal(take32(), relation->key.database);
	assert_int_equal(take32(), relation->key.relation);
	assert_int_equal(take32(), relation->key.fork);
	limit = take32();
	assert_int_equal(limit, relation->blocks.limit_block);
	nchunks = take32();
	for (uint32 i = 0; i < nchunks; i++)
		nfields[i] = take16();
	assert_true(nchunks == 0 || nfields[nchunks - 1] > 0);

	ckpx_block_set_init(&found, NULL);
	for (uint32 i = 0; i < nchunks; i++)
	{
		for (uint32 field = 0; field < nfields[i]; field++)
		{
			uint16		value = take16();

			if (nfields[i] < 4096)
				assert_true(ckpx_block_set_add(&found, i * 65536 + value));
			for (uint32 bit = 0; nfields[i] == 4096 && bit < 16; bit++)
			{
				if (value & (1 << bit))
					ckpx_block_set_add(&found, i * 65536 + field * 16 + bit);
			}
		}
	}
	assert_int_equal(ckpx_block_set_count(&found),
					 ckpx_block_set_count(&relation->blocks));
	ckpx_block_set_subtract(&found, &relation->blocks);
	assert_int_equal(ckpx_block_set_count(&found), 0);
	ckpx_block_set_reset(&found);
}

static void
reads_as_end(void)
{
	uint32		crc = ckpx_crc(file.data, file.len - 4);

	for (int i = 0; i < 6; i++)
		assert_int_equal(take32(), 0);
	assert_int_equal(take32(), crc);
	assert_int_equal(position, file.len);
	pfree(file.data);
}

static void
test_nothing(void **state)
{
	begin();
	ckpx_wal_summary_end(&summary);
	position = 0;
	assert_int_equal(take32(), 0x652b137b);
	reads_as_end();
}

static void
test_forks(void **state)
{
	CkpxRelation rows[6];
	uint16		nfields[65536];

	begin();
	rows[0] = row(1, InvalidBlockNumber);	/* counters only */
	rows[1] = row(2, 0);		/* dropped */
	rows[2] = row(3, InvalidBlockNumber);
	test_add_range(&rows[2].blocks, 7, 8);
	rows[3] = row(4, 10);		/* an array at its longest */
	test_add_range(&rows[3].blocks, 65536, 65536 + 4095);
	rows[4] = row(5, InvalidBlockNumber);	/* a bitmap at its smallest */
	test_add_range(&rows[4].blocks, 3 * 65536 + 5, 3 * 65536 + 5 + 4096);
	test_add_range(&rows[4].blocks, 4 * 65536 - 1, 4 * 65536 + 1);
	rows[5] = row(6, InvalidBlockNumber);	/* the last block that can be */
	ckpx_block_set_add(&rows[5].blocks, MaxBlockNumber);
	for (int i = 0; i < (int) lengthof(rows); i++)
		ckpx_wal_summary_add(&summary, &rows[i]);
	ckpx_wal_summary_end(&summary);

	position = 4;
	reads_as(&rows[1], nfields);
	reads_as(&rows[2], nfields);
	assert_int_equal(nfields[0], 1);
	reads_as(&rows[3], nfields);
	assert_int_equal(nfields[0], 0);
	assert_int_equal(nfields[1], 4095);
	reads_as(&rows[4], nfields);
	assert_int_equal(nfields[3], 4096);
	assert_int_equal(nfields[4], 1);
	reads_as(&rows[5], nfields);
	assert_int_equal(nfields[65535], 1);
	reads_as_end();
	for (int i = 0; i < (int) lengthof(rows); i++)
		ckpx_block_set_reset(&rows[i].blocks);
}

static void
test_random(void **state)
{
	static const uint32 spreads[] = {100, 5000, 70000, 10000000};
	uint16		nfields[65536];

	for (int round = 0; round < 40; round++)
	{
		CkpxRelation relation = row(1, round);
		uint32		n = 1 + next_random() % 20000;

		for (uint32 i = 0; i < n; i++)
			ckpx_block_set_add(&relation.blocks,
							   next_random() % spreads[round % 4]);
		begin();
		ckpx_wal_summary_add(&summary, &relation);
		ckpx_wal_summary_end(&summary);
		position = 4;
		reads_as(&relation, nfields);
		reads_as_end();
		ckpx_block_set_reset(&relation.blocks);
	}
}

static void
test_name(void **state)
{
	char		name[CKPX_WAL_SUMMARY_NAME];

	ckpx_wal_summary_name(name, 2, UINT64CONST(0x1A2B3C4D5),
						  UINT64CONST(0x200000028));
	assert_string_equal(name, "0000000200000001A2B3C4D50000000200000028.summary");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_forks),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
