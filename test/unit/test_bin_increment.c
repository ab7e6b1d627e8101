/*-------------------------------------------------------------------------
 *
 * test_bin_increment.c
 *		Headers of incremental files: PostgreSQL 17's bytes, and damage.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/common/increment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "test_random.h"

static void
lengths(void **state)
{
	/* without blocks nothing is aligned */
	assert_int_equal(increment_header_length(0), 12);
	assert_int_equal(increment_file_length(0), 12);
	assert_int_equal(increment_header_length(1), BLCKSZ);
	assert_int_equal(increment_file_length(1), 2 * BLCKSZ);
	assert_int_equal(increment_header_length(BLCKSZ / 4 - 3), BLCKSZ);
	assert_int_equal(increment_header_length(BLCKSZ / 4 - 2), 2 * BLCKSZ);
	assert_true(increment_file_length(RELSEG_SIZE) ==
				65 * BLCKSZ + (uint64) RELSEG_SIZE * BLCKSZ);
}

static void
bytes(void **state)
{
	BlockNumber blocks[] = {0, 7, RELSEG_SIZE - 1};
	Increment	increment = {3, RELSEG_SIZE, blocks};
	uint32		expected[BLCKSZ / 4] = {
		0xd3ae1f0d, 3, RELSEG_SIZE, 0, 7, RELSEG_SIZE - 1
	};
	char		header[BLCKSZ];

	memset(header, 0xAA, sizeof(header));
	increment_encode(&increment, header);
	assert_memory_equal(header, expected, BLCKSZ);
}

/* Decode exactly these bytes; the reader must not look beyond them. */
static bool
decode(Increment *increment, const char *header, size_t length,
	   uint64 file_length, size_t *needed, const char **problem)
{
	char	   *copy = test_exact_copy(header, length);
	bool		ok = increment_decode(increment, copy, length, file_length,
									  needed, problem);

	free(copy);
	return ok;
}

static void
round_trip(void **state)
{
	for (int round = 0; round < 200; round++)
	{
		Increment	increment = {0};
		Increment	read;
		const char *problem;
		size_t		needed;
		size_t		length;
		char	   *header;

		increment.blocks = pg_malloc(RELSEG_SIZE * sizeof(BlockNumber));
		for (BlockNumber block = 0; block < RELSEG_SIZE; block++)
		{
			block += next_random() % (1 << round % 18);
			if (block < RELSEG_SIZE)
				increment.blocks[increment.nblocks++] = block;
		}
		if (round < 2)
			increment.nblocks = round;
		increment.truncation_length = next_random() % (RELSEG_SIZE + 1);
		length = increment_header_length(increment.nblocks);
		header = pg_malloc(length);
		increment_encode(&increment, header);

		/* as a stream: it says how much it wants */
		needed = 0;
		for (int step = 0;; step++)
		{
			size_t		have = needed;

			assert_in_range(step, 0, 2);
			if (decode(&read, header, have,
					   increment_file_length(increment.nblocks), &needed,
					   &problem))
				break;
			assert_null(problem);
			assert_true(needed > have && needed <= length);
		}
		assert_int_equal(read.nblocks, increment.nblocks);
		assert_int_equal(read.truncation_length, increment.truncation_length);
		if (read.nblocks > 0)
			assert_memory_equal(read.blocks, increment.blocks,
								read.nblocks * sizeof(BlockNumber));
		increment_free(&read);
		assert_null(read.blocks);
		pg_free(increment.blocks);
		pg_free(header);
	}
}

static void
expect_damage(const uint32 *numbers, uint64 file_length, const char *expected)
{
	char		header[BLCKSZ] = {0};
	Increment	increment;
	const char *problem;
	size_t		needed;

	memcpy(header, numbers, 6 * sizeof(uint32));
	if (decode(&increment, header, Min(file_length, sizeof(header)),
			   file_length, &needed, &problem))
		fail_msg("accepted, not: %s", expected);
	if (problem == NULL || strcmp(problem, expected) != 0)
		fail_msg("\"%s\", not \"%s\"", problem, expected);
	assert_null(increment.blocks);
}

static void
damage(void **state)
{
	const uint32 good[6] = {INCREMENT_MAGIC, 3, 10, 1, 2, RELSEG_SIZE - 1};
	const uint64 length = increment_file_length(3);
	uint32		bad[6];

#define BAD(place, value, text) \
	(memcpy(bad, good, sizeof(bad)), bad[place] = (value), \
	 expect_damage(bad, length, text))

	BAD(0, 0xd3ae1f0e, "wrong magic number of an incremental file");
	BAD(1, RELSEG_SIZE + 1, "number of blocks is larger than a segment");
	BAD(1, PG_UINT32_MAX, "number of blocks is larger than a segment");
	BAD(2, RELSEG_SIZE + 1, "truncation length is larger than a segment");
	BAD(1, 2, "length of file does not agree with number of blocks");
	BAD(1, 4, "length of file does not agree with number of blocks");
	BAD(3, 2, "block numbers do not ascend");
	BAD(4, 0, "block numbers do not ascend");
	BAD(5, RELSEG_SIZE, "block number is out of the segment");
	BAD(3, PG_UINT32_MAX, "block number is out of the segment");

	for (uint64 short_length = 0; short_length < 12; short_length++)
		expect_damage(good, short_length,
					  "file is too short for an incremental file");
	expect_damage(good, length - 1,
				  "length of file does not agree with number of blocks");
	expect_damage(good, length + 1,
				  "length of file does not agree with number of blocks");
	expect_damage(good, UINT64CONST(1) << 60,
				  "length of file does not agree with number of blocks");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lengths),
		cmocka_unit_test(bytes),
		cmocka_unit_test(round_trip),
		cmocka_unit_test(damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
