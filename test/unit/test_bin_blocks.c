/*-------------------------------------------------------------------------
 *
 * test_bin_blocks.c
 *		Which source each block of a combined file comes from.
 *
 * The model is a file of one number per block that is written, cut and grown
 * at random; a block that grew without being written is 0 and in no
 * increment, as when PostgreSQL extends a relation without WAL.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/combinebackup/blocks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "test_random.h"

#define MAX_BLOCKS 40
#define MAX_BACKUPS 6

typedef struct ModelFile
{
	uint32		length;
	uint32		value[MAX_BLOCKS];
	bool		changed[MAX_BLOCKS];	/* since the last backup */
	uint32		limit;			/* smallest length since then */
} ModelFile;

typedef struct ModelBackup
{
	Increment	increment;
	BlockNumber blocks[MAX_BLOCKS];
	uint32		value[MAX_BLOCKS];	/* of blocks[i]; of a full, of block i */
	uint32		length;			/* of a full */
} ModelBackup;

static void
change(ModelFile *file, uint32 *next_value)
{
	uint32		block = (uint32) (next_random() % MAX_BLOCKS);

	switch (next_random() % 4)
	{
		case 0:					/* cut */
			file->length = Min(file->length, block);
			file->limit = Min(file->limit, file->length);
			break;
		case 1:					/* grow by zeros */
			while (file->length < block)
				file->value[file->length++] = 0;
			break;
		default:				/* write a block, or the next one */
			if (file->length < MAX_BLOCKS && block >= file->length)
				block = file->length++;
			if (block >= file->length)
				return;
			file->value[block] = ++*next_value;
			file->changed[block] = true;
	}
}

/* What the map says of the range: changed, or behind the smallest length. */
static void
take_increment(ModelFile *file, ModelBackup *backup)
{
	Increment  *increment = &backup->increment;

	memset(increment, 0, sizeof(*increment));
	increment->truncation_length = file->length;
	increment->blocks = backup->blocks;
	for (uint32 block = 0; block < file->length; block++)
		if (file->changed[block] || block >= file->limit)
		{
			backup->value[increment->nblocks] = file->value[block];
			increment->blocks[increment->nblocks++] = block;
		}
}

static void
forget_changes(ModelFile *file)
{
	memset(file->changed, 0, sizeof(file->changed));
	file->limit = MAX_BLOCKS + 1;
}

/* Combine: backups[0] is the full. */
static uint32
combine_model(ModelBackup *backups, int nbackups, uint32 *result)
{
	Blocks		blocks = {false};
	uint32		length;

	memset(result, 0xff, MAX_BLOCKS * sizeof(uint32));
	for (int i = nbackups - 1; i > 0; i--)
	{
		Increment  *increment = &backups[i].increment;

		blocks_begin_source(&blocks, increment);
		for (uint32 j = 0; j < increment->nblocks; j++)
			if (blocks_take(&blocks, increment->blocks[j]))
				result[increment->blocks[j]] = backups[i].value[j];
		blocks_end_source(&blocks, increment);
	}
	length = blocks.length;
	for (BlockNumber block = 0, next; block < length; block = next)
	{
		BlockSource source;

		next = block + 1 + (BlockNumber) (next_random() % MAX_BLOCKS);
		source = blocks_source(&blocks, block, backups[0].length, &next);
		assert_in_range(next, block + 1, length);
		for (BlockNumber b = block; source != BLOCK_WRITTEN && b < next; b++)
			result[b] = source == BLOCK_BASE ? backups[0].value[b] : 0;
	}
	blocks_free(&blocks);
	return length;
}

static void
test_random_chains(void **arg)
{
	for (int round = 0; round < 20000; round++)
	{
		ModelFile	file = {0};
		ModelBackup backups[MAX_BACKUPS];
		int			nbackups = 2 + (int) (next_random() % (MAX_BACKUPS - 1));
		uint32		result[MAX_BLOCKS];
		uint32		next_value = 0;

		forget_changes(&file);
		for (int i = 0; i < nbackups; i++)
		{
			for (int n = (int) (next_random() % 12); n > 0; n--)
				change(&file, &next_value);
			if (i > 0)
				take_increment(&file, &backups[i]);
			else
			{
				backups[0].length = file.length;
				memcpy(backups[0].value, file.value, sizeof(file.value));
			}
			forget_changes(&file);
		}
		assert_int_equal(combine_model(backups, nbackups, result),
						 file.length);
		assert_memory_equal(result, file.value,
							file.length * sizeof(uint32));
	}
}

/* Cut to 5 in the first increment, grown by zeros before the second. */
static void
test_cut_and_grown(void **arg)
{
	Blocks		blocks = {false};
	BlockNumber one[] = {7};
	Increment	newest = {1, 10, one};
	Increment	older = {0, 5, NULL};
	BlockNumber end = 10;

	blocks_begin_source(&blocks, &newest);
	assert_true(blocks_take(&blocks, 7));
	blocks_end_source(&blocks, &newest);
	blocks_begin_source(&blocks, &older);
	blocks_end_source(&blocks, &older);
	assert_false(blocks_take(&blocks, 5));
	assert_true(blocks_take(&blocks, 4));

	assert_int_equal(blocks_source(&blocks, 0, 10, &end), BLOCK_BASE);
	assert_int_equal(end, 4);
	end = 10;
	assert_int_equal(blocks_source(&blocks, 5, 10, &end), BLOCK_ZERO);
	assert_int_equal(end, 7);
	end = 10;
	assert_int_equal(blocks_source(&blocks, 7, 10, &end), BLOCK_WRITTEN);
	assert_int_equal(end, 8);
	blocks_free(&blocks);
}

/* The newest wins; what an older one cut off is gone for what is older still. */
static void
test_newest_wins(void **arg)
{
	Blocks		blocks = {false};
	BlockNumber both[] = {1, 2};
	Increment	newest = {2, 4, both};

	blocks_begin_source(&blocks, &newest);
	assert_true(blocks_take(&blocks, 1));
	assert_true(blocks_take(&blocks, 2));
	blocks_end_source(&blocks, &newest);
	assert_false(blocks_take(&blocks, 2));
	assert_true(blocks_take(&blocks, 3));
	assert_false(blocks_take(&blocks, 4));
	assert_int_equal(blocks.nwritten, 3);
	blocks_free(&blocks);
}

/* A block at or beyond the length: the file grew while it was listed. */
static void
test_longer_than_listed(void **arg)
{
	Blocks		blocks = {false};
	BlockNumber last[] = {9};
	Increment	newest = {1, 4, last};
	BlockNumber end = 10;

	blocks_begin_source(&blocks, &newest);
	assert_int_equal(blocks.length, 10);
	assert_true(blocks_take(&blocks, 9));
	blocks_end_source(&blocks, &newest);
	assert_false(blocks_take(&blocks, 4));
	assert_int_equal(blocks_source(&blocks, 4, 10, &end), BLOCK_ZERO);
	assert_int_equal(end, 9);
	blocks_free(&blocks);
}

static void
test_equal_base(void **arg)
{
	Blocks		blocks = {false};
	Increment	empty = {0, 4, NULL};

	blocks_begin_source(&blocks, &empty);
	blocks_end_source(&blocks, &empty);
	assert_true(blocks_equal_base(&blocks, 4));
	assert_false(blocks_equal_base(&blocks, 3));
	assert_false(blocks_equal_base(&blocks, 5));
	empty.truncation_length = 3;
	blocks_end_source(&blocks, &empty);
	assert_false(blocks_equal_base(&blocks, 4));
}

static void
test_empty_file(void **arg)
{
	Blocks		blocks = {false};
	Increment	empty = {0, 0, NULL};

	blocks_begin_source(&blocks, &empty);
	assert_int_equal(blocks.length, 0);
	assert_false(blocks_take(&blocks, 0));
	blocks_end_source(&blocks, &empty);
	assert_true(blocks_equal_base(&blocks, 0));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_chains),
		cmocka_unit_test(test_cut_and_grown),
		cmocka_unit_test(test_newest_wins),
		cmocka_unit_test(test_longer_than_listed),
		cmocka_unit_test(test_equal_base),
		cmocka_unit_test(test_empty_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
