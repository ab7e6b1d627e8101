/*-------------------------------------------------------------------------
 *
 * test_block_set.c
 *		Block sets against a model with one byte for each block.
 *
 * The model knows four chunks: 0, 1, 2 and the last one, 0xffff, so that runs
 * over chunk borders, missing chunks and the largest block number occur.
 *
 *-------------------------------------------------------------------------
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>

#include "core/map/block_set.h"
#include "test_maps.h"
#include "test_random.h"

#define LAST_BLOCK		((BlockNumber) 0xfffffffe)
#define MODEL_CHUNKS	4
#define MODEL_SIZE		(MODEL_CHUNKS * CKPX_CHUNK_BLOCKS - 1)

typedef struct Model
{
	uint8		listed[MODEL_SIZE];
	BlockNumber limit;
} Model;

static const uint32 model_keys[MODEL_CHUNKS] = {0, 1, 2, 0xffff};

static BlockNumber
model_block(uint32 i)
{
	return model_keys[i / CKPX_CHUNK_BLOCKS] << 16 | (i & 0xffff);
}

static void
model_clear(Model *m)
{
	memset(m->listed, 0, sizeof(m->listed));
	m->limit = InvalidBlockNumber;
}

static void
model_set_limit(Model *m, BlockNumber limit)
{
	uint32		i;

	if (limit > m->limit || limit == InvalidBlockNumber)
		return;
	m->limit = limit;
	for (i = MODEL_SIZE; i > 0 && model_block(i - 1) >= limit; i--)
		m->listed[i - 1] = 0;
}

static void
model_union(Model *m, const Model *other)
{
	uint32		i;

	for (i = 0; i < MODEL_SIZE; i++)
		m->listed[i] |= other->listed[i];
}

static void
model_subtract(Model *m, const Model *other)
{
	uint32		i;

	for (i = 0; i < MODEL_SIZE; i++)
		m->listed[i] &= !other->listed[i];
}

/* Assert that both sets list the same blocks. */
static void
assert_same_blocks(const CkpxBlockSet *a, const CkpxBlockSet *b)
{
	CkpxBlockSetIterator ia;
	CkpxBlockSetIterator ib;
	BlockNumber x = 0;
	BlockNumber y = 0;
	bool		more;

	ckpx_block_set_iterate(&ia, a, 0);
	ckpx_block_set_iterate(&ib, b, 0);
	while ((more = ckpx_block_set_next(&ia, &x)))
	{
		assert_true(ckpx_block_set_next(&ib, &y));
		assert_int_equal(x, y);
	}
	assert_false(ckpx_block_set_next(&ib, &y));
}

/* Serialize into exactly as many bytes as were announced (caller frees). */
static char *
serialize(const CkpxBlockSet *set, Size *length)
{
	char	   *bytes;

	*length = ckpx_block_set_serialized_size(set);
	bytes = malloc(*length);
	assert_int_equal(ckpx_block_set_serialize(set, bytes), *length);
	return bytes;
}

/* The packed form, in as many bytes as it has (caller frees). */
static char *
pack(const CkpxBlockSet *set, Size *length)
{
	char	   *bytes = malloc(ckpx_block_set_serialized_size(set));

	*length = ckpx_block_set_pack(set, bytes);
	assert_true(*length <= ckpx_block_set_serialized_size(set));
	return realloc(bytes, *length);
}

static void
assert_round_trip(const CkpxBlockSet *set)
{
	for (int packed = 0; packed < 2; packed++)
	{
		CkpxBlockSet copy;
		const char *problem;
		Size		length;
		char	   *bytes = packed ? pack(set, &length) :
			serialize(set, &length);

		ckpx_block_set_init(&copy, NULL);
		assert_true(ckpx_block_set_deserialize(&copy, bytes, length,
											   &problem));
		assert_null(problem);
		assert_int_equal(ckpx_block_set_count(&copy),
						 ckpx_block_set_count(set));
		assert_same_blocks(&copy, set);
		ckpx_block_set_reset(&copy);
		free(bytes);
	}
}

/* Compare by every means of reading a set. */
static void
check(const CkpxBlockSet *set, const Model *m, TestRandom *r)
{
	CkpxBlockSetIterator it;
	BlockNumber block;
	BlockNumber start;
	BlockNumber end;
	uint64		count = 0;
	uint32		i;
	int			n;

	assert_int_equal(set->limit_block, m->limit);

	/* block by block */
	ckpx_block_set_iterate(&it, set, 0);
	for (i = 0; i < MODEL_SIZE; i++)
		if (m->listed[i])
		{
			assert_true(ckpx_block_set_next(&it, &block));
			assert_int_equal(block, model_block(i));
			count++;
		}
	assert_false(ckpx_block_set_next(&it, &block));
	assert_false(ckpx_block_set_next(&it, &block));
	assert_int_equal(ckpx_block_set_count(set), count);

	/* by maximal runs */
	ckpx_block_set_iterate(&it, set, 0);
	for (i = 0; i < MODEL_SIZE;)
	{
		uint32		j;

		if (!m->listed[i])
		{
			i++;
			continue;
		}
		for (j = i + 1; j < MODEL_SIZE && m->listed[j] &&
			 model_block(j) == model_block(j - 1) + 1; j++)
			;
		assert_true(ckpx_block_set_next_range(&it, &start, &end));
		assert_int_equal(start, model_block(i));
		assert_int_equal(end, model_block(j - 1) + 1);
		i = j;
	}
	assert_false(ckpx_block_set_next_range(&it, &start, &end));

	/* from anywhere, and single questions */
	for (n = 0; n < 40; n++)
	{
		uint32		from = test_random_below(r, MODEL_SIZE);

		if (n < MODEL_CHUNKS)
			from = n * CKPX_CHUNK_BLOCKS;
		else if (n < 2 * MODEL_CHUNKS)
			from = Min((n - MODEL_CHUNKS + 1) * CKPX_CHUNK_BLOCKS,
					   MODEL_SIZE) - 1;
		assert_int_equal(ckpx_block_set_contains(set, model_block(from)),
						 m->listed[from]);
		assert_int_equal(ckpx_block_set_changed(set, model_block(from)),
						 m->listed[from] || model_block(from) >= m->limit);

		for (i = from; i < MODEL_SIZE && !m->listed[i]; i++)
			;
		ckpx_block_set_iterate(&it, set, model_block(from));
		assert_int_equal(ckpx_block_set_next(&it, &block), i < MODEL_SIZE);
		if (i == MODEL_SIZE)
			continue;
		assert_int_equal(block, model_block(i));
		ckpx_block_set_iterate(&it, set, model_block(from));
		assert_true(ckpx_block_set_next_range(&it, &start, &end));
		assert_int_equal(start, model_block(i));
		for (; i + 1 < MODEL_SIZE && m->listed[i + 1] &&
			 model_block(i + 1) == model_block(i) + 1; i++)
			;
		assert_int_equal(end, model_block(i) + 1);
	}

	/* a chunk not known to the model is empty */
	assert_false(ckpx_block_set_contains(set, 3 << 16));
	assert_false(ckpx_block_set_contains(set, 0xfffe1234));
	assert_false(ckpx_block_set_contains(set, InvalidBlockNumber));
}

/* A length that is often small, sometimes larger than a chunk. */
static uint32
random_length(TestRandom *r)
{
	switch (test_random_below(r, 4))
	{
		case 0:
			return test_random_below(r, 4);
		case 1:
			return test_random_below(r, 700);
		case 2:
			return test_random_below(r, 5000);
		default:
			return test_random_below(r, 140000);
	}
}

/* A model index that is often next to a chunk border. */
static uint32
random_index(TestRandom *r)
{
	uint32		i = test_random_below(r, MODEL_SIZE);

	if (test_random_below(r, 3) == 0)
	{
		i = (i / CKPX_CHUNK_BLOCKS) * CKPX_CHUNK_BLOCKS;
		i += test_random_below(r, 200);
		if (i >= 100)
			i -= 100;
	}
	return Min(i, MODEL_SIZE - 1);
}

static void
random_add(CkpxBlockSet *set, Model *m, TestRandom *r)
{
	uint32		window = 1 + random_length(r);
	uint32		base = random_index(r);
	uint32		n = test_random_below(r, test_random_below(r, 8) ? 60 : 3000);

	while (n-- > 0)
	{
		uint32		i = base + test_random_below(r, window);

		if (i >= MODEL_SIZE)
			continue;
		assert_int_equal(ckpx_block_set_add(set, model_block(i)),
						 !m->listed[i]);
		m->listed[i] = 1;
	}
}

static void
random_add_range(CkpxBlockSet *set, Model *m, TestRandom *r)
{
	uint32		from = random_index(r);
	uint32		to = from + random_length(r);
	uint32		border = (MODEL_CHUNKS - 1) * CKPX_CHUNK_BLOCKS;

	/* chunks 2 and 0xffff are not neighbours */
	to = Min(to, from < border ? border : MODEL_SIZE);
	test_add_range(set, model_block(from),
							 to > from ? model_block(to - 1) + 1 :
							 model_block(from));
	if (to > from)
		memset(m->listed + from, 1, to - from);
}

static void
random_limit(CkpxBlockSet *set, Model *m, TestRandom *r)
{
	BlockNumber limit = model_block(random_index(r));

	ckpx_block_set_set_limit(set, limit);
	model_set_limit(m, limit);
}

/* Fill a set and its model with a few random steps. */
static void
random_fill(CkpxBlockSet *set, Model *m, TestRandom *r, int steps)
{
	while (steps-- > 0)
	{
		uint32		what = test_random_below(r, 10);

		if (what < 5)
			random_add(set, m, r);
		else if (what < 9)
			random_add_range(set, m, r);
		else
			random_limit(set, m, r);
	}
}

static void
random_sequences(uint64 seed, int sequences)
{
	static Model m;
	static Model other_m;
	CkpxBlockSet set;
	CkpxBlockSet other;
	TestRandom	r;
	int			i;

	test_random_seed(&r, seed);
	for (i = 0; i < sequences; i++)
	{
		int			steps = 1 + test_random_below(&r, 6);

		ckpx_block_set_init(&set, NULL);
		model_clear(&m);
		random_fill(&set, &m, &r, test_random_below(&r, 4));
		while (steps-- > 0)
		{
			ckpx_block_set_init(&other, NULL);
			model_clear(&other_m);
			random_fill(&other, &other_m, &r, test_random_below(&r, 4));
			switch (test_random_below(&r, 4))
			{
				case 0:
					ckpx_block_set_merge(&set, &other);
					model_set_limit(&m, other_m.limit);
					model_union(&m, &other_m);
					break;
				case 1:
					ckpx_block_set_union(&set, &other);
					model_union(&m, &other_m);
					break;
				case 2:
					ckpx_block_set_subtract(&set, &other);
					model_subtract(&m, &other_m);
					break;
				default:
					random_fill(&set, &m, &r, 2);
			}
			ckpx_block_set_reset(&other);
		}
		check(&set, &m, &r);
		assert_round_trip(&set);
		ckpx_block_set_reset(&set);
	}
}

static void
random_sequences_1(void **state)
{
	random_sequences(1, 400);
}

static void
random_sequences_2(void **state)
{
	random_sequences(2, 400);
}

static void
random_sequences_3(void **state)
{
	random_sequences(3, 400);
}

/* Every step is checked, in a universe where chunks change their form. */
static void
random_steps_each_checked(void **state)
{
	static Model m;
	CkpxBlockSet set;
	TestRandom	r;
	int			i;

	test_random_seed(&r, 4);
	ckpx_block_set_init(&set, NULL);
	model_clear(&m);
	for (i = 0; i < 200; i++)
	{
		random_fill(&set, &m, &r, 1);
		check(&set, &m, &r);
		if (test_random_below(&r, 20) == 0)
		{
			ckpx_block_set_reset(&set);
			model_clear(&m);
			check(&set, &m, &r);
		}
	}
	ckpx_block_set_reset(&set);
}

/* Deserializing adds to what is there. */
static void
deserialize_is_union(void **state)
{
	static Model m;
	static Model other_m;
	CkpxBlockSet set;
	CkpxBlockSet other;
	TestRandom	r;
	int			i;

	test_random_seed(&r, 5);
	for (i = 0; i < 200; i++)
	{
		const char *problem;
		Size		length;
		char	   *bytes;

		ckpx_block_set_init(&set, NULL);
		ckpx_block_set_init(&other, NULL);
		model_clear(&m);
		model_clear(&other_m);
		random_fill(&set, &m, &r, 3);
		random_fill(&other, &other_m, &r, 3);
		bytes = serialize(&other, &length);
		assert_true(ckpx_block_set_deserialize(&set, bytes, length,
											   &problem));
		model_union(&m, &other_m);
		check(&set, &m, &r);
		free(bytes);
		ckpx_block_set_reset(&set);
		ckpx_block_set_reset(&other);
	}
}

/*
 * Edges
 */

static void
empty_set(void **state)
{
	CkpxBlockSet set;
	CkpxBlockSetIterator it;
	BlockNumber block;
	BlockNumber end;

	ckpx_block_set_init(&set, NULL);
	assert_int_equal(set.limit_block, InvalidBlockNumber);
	assert_int_equal(ckpx_block_set_count(&set), 0);
	assert_int_equal(test_set_memory(&set), 0);
	assert_false(ckpx_block_set_contains(&set, 0));
	assert_false(ckpx_block_set_changed(&set, LAST_BLOCK));
	ckpx_block_set_iterate(&it, &set, 0);
	assert_false(ckpx_block_set_next(&it, &block));
	assert_false(ckpx_block_set_next_range(&it, &block, &end));
	assert_int_equal(ckpx_block_set_serialized_size(&set), 8);
	assert_round_trip(&set);
	ckpx_block_set_reset(&set);
	ckpx_block_set_reset(&set);
}

static void
first_and_last_block(void **state)
{
	static const BlockNumber blocks[] =
	{0, 1, 65535, 65536, 65537, 0x7fffffff, 0x80000000, 0xfffeffff,
	0xffff0000, 0xfffffffe};
	CkpxBlockSet set;
	CkpxBlockSetIterator it;
	BlockNumber block;
	int			i;

	ckpx_block_set_init(&set, NULL);
	for (i = lengthof(blocks) - 1; i >= 0; i--)
	{
		assert_false(ckpx_block_set_contains(&set, blocks[i]));
		assert_true(ckpx_block_set_add(&set, blocks[i]));
		assert_false(ckpx_block_set_add(&set, blocks[i]));
		assert_true(ckpx_block_set_contains(&set, blocks[i]));
	}
	ckpx_block_set_iterate(&it, &set, 0);
	for (i = 0; i < lengthof(blocks); i++)
	{
		assert_true(ckpx_block_set_next(&it, &block));
		assert_int_equal(block, blocks[i]);
	}
	assert_false(ckpx_block_set_next(&it, &block));
	ckpx_block_set_iterate(&it, &set, 0xffffffff);
	assert_false(ckpx_block_set_next(&it, &block));
	assert_round_trip(&set);
	ckpx_block_set_reset(&set);
}

static void
invalid_block_is_never_stored(void **state)
{
	CkpxBlockSet set;

	ckpx_block_set_init(&set, NULL);
	assert_false(ckpx_block_set_add(&set, InvalidBlockNumber));
	assert_false(ckpx_block_set_contains(&set, InvalidBlockNumber));
	test_add_range(&set, InvalidBlockNumber, InvalidBlockNumber);
	assert_int_equal(ckpx_block_set_count(&set), 0);
	test_add_range(&set, 0xfffffff0, InvalidBlockNumber);
	assert_int_equal(ckpx_block_set_count(&set), 15);
	assert_true(ckpx_block_set_contains(&set, LAST_BLOCK));
	assert_false(ckpx_block_set_contains(&set, InvalidBlockNumber));
	ckpx_block_set_reset(&set);
}

static void
range_end_is_exclusive(void **state)
{
	CkpxBlockSet set;

	ckpx_block_set_init(&set, NULL);
	test_add_range(&set, 10, 10);
	test_add_range(&set, 11, 10);
	assert_int_equal(ckpx_block_set_count(&set), 0);
	test_add_range(&set, 10, 12);
	assert_true(ckpx_block_set_contains(&set, 10));
	assert_true(ckpx_block_set_contains(&set, 11));
	assert_false(ckpx_block_set_contains(&set, 12));
	assert_int_equal(ckpx_block_set_count(&set), 2);
	ckpx_block_set_reset(&set);
}

static void
range_that_ends_at_a_chunk_border(void **state)
{
	CkpxBlockSet set;
	CkpxBlockSetIterator it;
	BlockNumber start;
	BlockNumber end;

	ckpx_block_set_init(&set, NULL);
	test_add_range(&set, 65530, 65536);
	assert_int_equal(ckpx_block_set_count(&set), 6);
	assert_false(ckpx_block_set_contains(&set, 65536));
	test_add_range(&set, 65536, 3 * 65536);
	ckpx_block_set_iterate(&it, &set, 0);
	assert_true(ckpx_block_set_next_range(&it, &start, &end));
	assert_int_equal(start, 65530);
	assert_int_equal(end, 3 * 65536);
	assert_false(ckpx_block_set_next_range(&it, &start, &end));
	assert_round_trip(&set);
	ckpx_block_set_reset(&set);
}

static void
last_run_ends_at_invalid_block(void **state)
{
	CkpxBlockSet set;
	CkpxBlockSetIterator it;
	BlockNumber start;
	BlockNumber end;

	ckpx_block_set_init(&set, NULL);
	test_add_range(&set, 0xfffe0000, InvalidBlockNumber);
	ckpx_block_set_iterate(&it, &set, 0xffff0005);
	assert_true(ckpx_block_set_next_range(&it, &start, &end));
	assert_int_equal(start, 0xffff0005);
	assert_int_equal(end, InvalidBlockNumber);
	assert_false(ckpx_block_set_next_range(&it, &start, &end));
	assert_round_trip(&set);
	ckpx_block_set_reset(&set);
}

/* One block more at a time, in three orders, over every change of form. */
static void
array_grows_into_bitmap(void **state)
{
	int			order;

	for (order = 0; order < 3; order++)
	{
		CkpxBlockSet set;
		uint32		i;
		uint32		j;

		ckpx_block_set_init(&set, NULL);
		for (i = 0; i < 5000; i++)
		{
			/* 7919 is a prime that does not divide 5000 */
			j = order == 0 ? i : order == 1 ? 4999 - i : i * 7919 % 5000;
			assert_true(ckpx_block_set_add(&set, 65536 + j * 3));
			assert_false(ckpx_block_set_add(&set, 65536 + j * 3));
			assert_int_equal(ckpx_block_set_count(&set), i + 1);
		}
		for (i = 0; i < 15000; i++)
			assert_int_equal(ckpx_block_set_contains(&set, 65536 + i),
							 i % 3 == 0);
		assert_int_equal(test_set_memory(&set) / 8192, 1);
		ckpx_block_set_reset(&set);
	}
}

static void
bitmap_shrinks_into_array(void **state)
{
	CkpxBlockSet set;
	CkpxBlockSet rest;
	uint32		i;

	/* by a limit */
	ckpx_block_set_init(&set, NULL);
	for (i = 0; i < 5000; i++)
		ckpx_block_set_add(&set, i * 2);
	assert_true(test_set_memory(&set) > 8192);
	ckpx_block_set_set_limit(&set, 201);
	assert_int_equal(ckpx_block_set_count(&set), 101);
	assert_true(test_set_memory(&set) < 1024);
	for (i = 0; i < 1000; i++)
		assert_int_equal(ckpx_block_set_contains(&set, i),
						 i < 201 && i % 2 == 0);
	ckpx_block_set_reset(&set);

	/* by subtraction */
	ckpx_block_set_init(&set, NULL);
	ckpx_block_set_init(&rest, NULL);
	test_add_range(&set, 0, 65536);
	test_add_range(&rest, 10, 65530);
	ckpx_block_set_subtract(&set, &rest);
	assert_int_equal(ckpx_block_set_count(&set), 16);
	assert_true(test_set_memory(&set) < 1024);
	assert_true(ckpx_block_set_contains(&set, 9));
	assert_false(ckpx_block_set_contains(&set, 10));
	assert_true(ckpx_block_set_contains(&set, 65530));
	ckpx_block_set_reset(&set);
	ckpx_block_set_reset(&rest);
}

static void
subtract_all_leaves_no_chunk(void **state)
{
	CkpxBlockSet set;
	CkpxBlockSet all;

	ckpx_block_set_init(&set, NULL);
	ckpx_block_set_init(&all, NULL);
	ckpx_block_set_add(&set, 5);
	test_add_range(&set, 70000, 90000);
	ckpx_block_set_set_limit(&set, 80000);
	test_add_range(&all, 0, 200000);
	ckpx_block_set_subtract(&set, &all);
	assert_int_equal(ckpx_block_set_count(&set), 0);
	assert_int_equal(set.nchunks, 0);
	assert_int_equal(set.limit_block, 80000);
	assert_round_trip(&set);
	ckpx_block_set_reset(&set);
	ckpx_block_set_reset(&all);
}

static void
set_with_itself(void **state)
{
	CkpxBlockSet set;

	ckpx_block_set_init(&set, NULL);
	ckpx_block_set_set_limit(&set, 100);
	test_add_range(&set, 90, 110);
	ckpx_block_set_union(&set, &set);
	ckpx_block_set_merge(&set, &set);
	assert_int_equal(ckpx_block_set_count(&set), 20);
	ckpx_block_set_subtract(&set, &set);
	assert_int_equal(ckpx_block_set_count(&set), 0);
	assert_int_equal(set.limit_block, 100);
	ckpx_block_set_reset(&set);
}

/*
 * The limit
 */

static void
limit_forgets_blocks_at_and_after_it(void **state)
{
	CkpxBlockSet set;

	ckpx_block_set_init(&set, NULL);
	test_add_range(&set, 5, 200000);
	ckpx_block_set_set_limit(&set, 100000);
	assert_int_equal(ckpx_block_set_count(&set), 100000 - 5);
	assert_true(ckpx_block_set_contains(&set, 99999));
	assert_false(ckpx_block_set_contains(&set, 100000));
	assert_false(ckpx_block_set_changed(&set, 4));
	assert_true(ckpx_block_set_changed(&set, 99999));
	assert_true(ckpx_block_set_changed(&set, 100000));
	assert_true(ckpx_block_set_changed(&set, LAST_BLOCK));
	ckpx_block_set_reset(&set);
}

static void
limit_never_rises(void **state)
{
	CkpxBlockSet set;

	ckpx_block_set_init(&set, NULL);
	ckpx_block_set_set_limit(&set, 10);
	ckpx_block_set_add(&set, 50);
	ckpx_block_set_set_limit(&set, 20);
	assert_int_equal(set.limit_block, 10);
	assert_true(ckpx_block_set_contains(&set, 50));
	ckpx_block_set_set_limit(&set, InvalidBlockNumber);
	assert_int_equal(set.limit_block, 10);
	assert_true(ckpx_block_set_contains(&set, 50));
	ckpx_block_set_set_limit(&set, 10);
	assert_false(ckpx_block_set_contains(&set, 50));
	assert_true(ckpx_block_set_changed(&set, 50));
	ckpx_block_set_reset(&set);
}

static void
limit_at_chunk_border(void **state)
{
	CkpxBlockSet set;

	ckpx_block_set_init(&set, NULL);
	test_add_range(&set, 65500, 65600);
	ckpx_block_set_set_limit(&set, 65536);
	assert_int_equal(ckpx_block_set_count(&set), 36);
	assert_int_equal(set.nchunks, 1);
	ckpx_block_set_set_limit(&set, 65500);
	assert_int_equal(set.nchunks, 0);
	ckpx_block_set_set_limit(&set, 0);
	assert_true(ckpx_block_set_changed(&set, 0));
	assert_true(ckpx_block_set_add(&set, 0));
	ckpx_block_set_set_limit(&set, 0);
	assert_int_equal(ckpx_block_set_count(&set), 0);
	ckpx_block_set_reset(&set);
}

static void
blocks_after_the_limit_are_listed_again(void **state)
{
	CkpxBlockSet set;

	ckpx_block_set_init(&set, NULL);
	ckpx_block_set_set_limit(&set, 10);
	assert_true(ckpx_block_set_add(&set, 50));
	assert_true(ckpx_block_set_contains(&set, 50));
	assert_int_equal(ckpx_block_set_count(&set), 1);
	ckpx_block_set_reset(&set);
}

/*
 * An older range truncated to 10 blocks, a newer one wrote block 50.  Merged
 * in the order of the WAL, block 50 is listed; the other way it is forgotten.
 */
static void
merge_in_wrong_order_forgets_a_block(void **state)
{
	CkpxBlockSet older;
	CkpxBlockSet newer;
	CkpxBlockSet right;
	CkpxBlockSet wrong;

	ckpx_block_set_init(&older, NULL);
	ckpx_block_set_init(&newer, NULL);
	ckpx_block_set_init(&right, NULL);
	ckpx_block_set_init(&wrong, NULL);
	ckpx_block_set_set_limit(&older, 10);
	ckpx_block_set_add(&newer, 50);

	ckpx_block_set_merge(&right, &older);
	ckpx_block_set_merge(&right, &newer);
	assert_true(ckpx_block_set_contains(&right, 50));
	assert_int_equal(right.limit_block, 10);

	ckpx_block_set_merge(&wrong, &newer);
	ckpx_block_set_merge(&wrong, &older);
	assert_false(ckpx_block_set_contains(&wrong, 50));

	ckpx_block_set_reset(&older);
	ckpx_block_set_reset(&newer);
	ckpx_block_set_reset(&right);
	ckpx_block_set_reset(&wrong);
}

/* Within one range: the later set's own blocks survive its own limit. */
static void
merge_applies_limit_before_blocks(void **state)
{
	CkpxBlockSet set;
	CkpxBlockSet later;

	ckpx_block_set_init(&set, NULL);
	ckpx_block_set_init(&later, NULL);
	ckpx_block_set_add(&set, 5);
	ckpx_block_set_add(&set, 40);
	ckpx_block_set_set_limit(&later, 10);
	ckpx_block_set_add(&later, 50);
	ckpx_block_set_merge(&set, &later);
	assert_true(ckpx_block_set_contains(&set, 5));
	assert_false(ckpx_block_set_contains(&set, 40));
	assert_true(ckpx_block_set_contains(&set, 50));
	assert_true(ckpx_block_set_changed(&set, 40));
	ckpx_block_set_reset(&set);
	ckpx_block_set_reset(&later);
}

/* What is changed does not depend on the grouping of ordered ranges. */
static void
merge_grouping_does_not_matter(void **state)
{
	TestRandom	r;
	int			round;

	test_random_seed(&r, 6);
	for (round = 0; round < 3000; round++)
	{
		CkpxBlockSet part[3];
		CkpxBlockSet left;
		CkpxBlockSet right;
		CkpxBlockSet tail;
		int			i;

		for (i = 0; i < 3; i++)
		{
			int			n = test_random_below(&r, 6);

			ckpx_block_set_init(&part[i], NULL);
			while (n-- > 0)
			{
				if (test_random_below(&r, 3) == 0)
					ckpx_block_set_set_limit(&part[i],
											 test_random_below(&r, 30));
				else
					ckpx_block_set_add(&part[i], test_random_below(&r, 30));
			}
		}
		ckpx_block_set_init(&left, NULL);
		ckpx_block_set_init(&right, NULL);
		ckpx_block_set_init(&tail, NULL);
		for (i = 0; i < 3; i++)
			ckpx_block_set_merge(&left, &part[i]);
		ckpx_block_set_merge(&tail, &part[1]);
		ckpx_block_set_merge(&tail, &part[2]);
		ckpx_block_set_merge(&right, &part[0]);
		ckpx_block_set_merge(&right, &tail);
		assert_int_equal(left.limit_block, right.limit_block);
		for (i = 0; i < 32; i++)
			assert_int_equal(ckpx_block_set_changed(&left, i),
							 ckpx_block_set_changed(&right, i));
		for (i = 0; i < 3; i++)
			ckpx_block_set_reset(&part[i]);
		ckpx_block_set_reset(&left);
		ckpx_block_set_reset(&right);
		ckpx_block_set_reset(&tail);
	}
}

/*
 * Damage
 */

/* A set that was accepted must be one that could have been written. */
static void
assert_valid(const CkpxBlockSet *set)
{
	CkpxBlockSetIterator it;
	BlockNumber block;
	BlockNumber before = 0;
	uint64		count = 0;

	ckpx_block_set_iterate(&it, set, 0);
	while (ckpx_block_set_next(&it, &block))
	{
		assert_true(count == 0 || block > before);
		assert_true(block != InvalidBlockNumber);
		before = block;
		count++;
	}
	assert_int_equal(count, ckpx_block_set_count(set));
	assert_round_trip(set);
}

/* Read damaged bytes; true if they were accepted. */
static bool
try_bytes(const char *bytes, Size length)
{
	char	   *exact = test_exact_copy(bytes, length);
	CkpxBlockSet set;
	const char *problem = "unset";
	bool		ok;

	ckpx_block_set_init(&set, NULL);
	ok = ckpx_block_set_deserialize(&set, exact, length, &problem);
	assert_int_equal(ok, problem == NULL);
	if (ok)
		assert_valid(&set);
	ckpx_block_set_reset(&set);
	free(exact);
	return ok;
}

/* Six containers of all kinds, with the offset header. */
static void
make_mixed_set(CkpxBlockSet *set)
{
	uint32		i;

	ckpx_block_set_init(set, NULL);
	ckpx_block_set_add(set, 7);
	ckpx_block_set_add(set, 65535);
	for (i = 0; i < 300; i++)
		ckpx_block_set_add(set, 65536 + i * 5);
	for (i = 0; i < 40; i++)
		test_add_range(set, 0x20000 + i * 50, 0x20005 + i * (50 + i % 7));
	test_add_range(set, 0x30000, 0x30100);
	test_add_range(set, 0x30200, 0x30300);
	for (i = 0; i < 4200; i++)
		ckpx_block_set_add(set, 0x50000 + i * 3);
	ckpx_block_set_add(set, LAST_BLOCK);
}

/* Three, so that the offset header is left out. */
static void
make_small_run_set(CkpxBlockSet *set)
{
	ckpx_block_set_init(set, NULL);
	test_add_range(set, 100, 200);
	ckpx_block_set_add(set, 65536);
	test_add_range(set, 0xffff0000, InvalidBlockNumber);
}

typedef char *(*ToBytes) (const CkpxBlockSet *set, Size *length);

static void
check_truncations(void (*make) (CkpxBlockSet *set), ToBytes to_bytes)
{
	CkpxBlockSet set;
	Size		length;
	Size		i;
	char	   *bytes;

	make(&set);
	bytes = to_bytes(&set, &length);
	assert_true(try_bytes(bytes, length));
	for (i = 0; i < length; i++)
		assert_false(try_bytes(bytes, i));
	bytes = realloc(bytes, length + 1);
	bytes[length] = 0;
	assert_false(try_bytes(bytes, length + 1));
	free(bytes);
	ckpx_block_set_reset(&set);
}

static void
check_bit_flips(void (*make) (CkpxBlockSet *set), ToBytes to_bytes, int step)
{
	CkpxBlockSet set;
	Size		length;
	Size		i;
	char	   *bytes;

	make(&set);
	bytes = to_bytes(&set, &length);
	for (i = 0; i < length * 8; i += step)
	{
		bytes[i / 8] ^= (char) (1 << (i % 8));
		(void) try_bytes(bytes, length);
		bytes[i / 8] ^= (char) (1 << (i % 8));
	}
	free(bytes);
	ckpx_block_set_reset(&set);
}

static void
truncated_at_each_byte(void **state)
{
	check_truncations(make_mixed_set, serialize);
	check_truncations(make_mixed_set, pack);
	check_truncations(make_small_run_set, serialize);
}

static void
each_bit_flipped(void **state)
{
	check_bit_flips(make_mixed_set, serialize, 7);
	check_bit_flips(make_mixed_set, pack, 7);
	check_bit_flips(make_small_run_set, serialize, 1);
}

static void
random_bytes(void **state)
{
	TestRandom	r;
	char		bytes[600];
	int			round;

	test_random_seed(&r, 7);
	for (round = 0; round < 20000; round++)
	{
		Size		length = test_random_below(&r, sizeof(bytes));
		Size		i;

		for (i = 0; i < length; i++)
			bytes[i] = (char) (test_random_below(&r, 3) ? 0 :
							   test_random_next(&r));
		/* a right cookie and few containers, or nothing is reached */
		if (length >= 8)
		{
			bytes[0] = (char) (0x3a + test_random_below(&r, 4));
			bytes[1] = 0x30;
			bytes[2] = (char) (bytes[0] % 2 == 1 ?
							   test_random_below(&r, 6) : 0);
			bytes[3] = 0;
			if (bytes[0] % 2 == 0)
			{
				memset(bytes + 4, 0, 4);
				bytes[4] = (char) test_random_below(&r, 6);
			}
		}
		(void) try_bytes(bytes, length);
	}
}

#define assert_rejected(hex_bytes) \
	assert_false(try_bytes(hex_bytes, sizeof(hex_bytes) - 1))
#define assert_accepted(hex_bytes) \
	assert_true(try_bytes(hex_bytes, sizeof(hex_bytes) - 1))

static void
hand_made_arrays(void **state)
{
	/* one container: cookie, 1, key 0, 2 values, offset 16, values 1 2 */
	assert_accepted("\x3a\x30\0\0\1\0\0\0\0\0\1\0\x10\0\0\0\1\0\2\0");
	/* equal values, descending values */
	assert_rejected("\x3a\x30\0\0\1\0\0\0\0\0\1\0\x10\0\0\0\1\0\1\0");
	assert_rejected("\x3a\x30\0\0\1\0\0\0\0\0\1\0\x10\0\0\0\2\0\1\0");
	/* wrong offset */
	assert_rejected("\x3a\x30\0\0\1\0\0\0\0\0\1\0\x11\0\0\0\1\0\2\0");
	/* unknown cookie */
	assert_rejected("\x3e\x30\0\0\1\0\0\0\0\0\1\0\x10\0\0\0\1\0\2\0");
	assert_rejected("\x3a\x30\1\0\1\0\0\0\0\0\1\0\x10\0\0\0\1\0\2\0");
	/* the block number that means none */
	assert_accepted("\x3a\x30\0\0\1\0\0\0\xff\xff\0\0\x10\0\0\0\xfe\xff");
	assert_rejected("\x3a\x30\0\0\1\0\0\0\xff\xff\0\0\x10\0\0\0\xff\xff");
	/* two containers with the same key */
	assert_rejected("\x3a\x30\0\0\2\0\0\0\1\0\0\0\1\0\0\0\x18\0\0\0\x1a\0\0\0"
					"\1\0\2\0");
	assert_accepted("\x3a\x30\0\0\2\0\0\0\1\0\0\0\2\0\0\0\x18\0\0\0\x1a\0\0\0"
					"\1\0\2\0");
	/* more containers than there are keys */
	assert_rejected("\x3a\x30\0\0\1\0\1\0");
	assert_rejected("\x3a\x30\0\0\xff\xff\xff\xff");
}

static void
hand_made_runs(void **state)
{
	/* cookie with 1 container, run flag, key 0, 4 values, 2 runs: 1-2, 4-5 */
	assert_accepted("\x3b\x30\0\0\1\0\0\3\0\2\0\1\0\1\0\4\0\1\0");
	/* touching runs are allowed */
	assert_accepted("\x3b\x30\0\0\1\0\0\3\0\2\0\1\0\1\0\3\0\1\0");
	/* overlapping, descending, wrong sum, flag of no container */
	assert_rejected("\x3b\x30\0\0\1\0\0\3\0\2\0\1\0\1\0\2\0\1\0");
	assert_rejected("\x3b\x30\0\0\1\0\0\3\0\2\0\4\0\1\0\1\0\1\0");
	assert_rejected("\x3b\x30\0\0\1\0\0\4\0\2\0\1\0\1\0\4\0\1\0");
	assert_rejected("\x3b\x30\0\0\3\0\0\3\0\2\0\1\0\1\0\4\0\1\0");
	/* no run at all, more runs than bytes */
	assert_rejected("\x3b\x30\0\0\1\0\0\0\0\0\0");
	assert_rejected("\x3b\x30\0\0\1\0\0\3\0\3\0\1\0\1\0\4\0\1\0");
	/* a run over the chunk's end, and up to it */
	assert_rejected("\x3b\x30\0\0\1\0\0\1\0\1\0\xff\xff\1\0");
	assert_accepted("\x3b\x30\0\0\1\0\0\0\0\1\0\xff\xff\0\0");
	assert_rejected("\x3b\x30\0\0\1\xff\xff\0\0\1\0\xff\xff\0\0");
	/* the whole chunk */
	assert_accepted("\x3b\x30\0\0\1\0\0\xff\xff\1\0\0\0\xff\xff");
}

/* One container of 16 blocks, 17, or 16 runs of two blocks, packed. */
#define PACKED_16			"\x3c\x30\0\0\1\0\0\0\0\0\x0f\0"
#define PACKED_16_LAST		"\x3c\x30\0\0\1\0\0\0\xff\xff\x0f\0"
#define PACKED_17			"\x3c\x30\0\0\1\0\0\0\0\0\x10\0"
#define PACKED_RUNS			"\x3d\x30\0\0\1\0\0\x1f\0" "\x10\0"

static void
hand_made_codes(void **state)
{
#define ALL_12_BITS			"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" \
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"

	CkpxBlockSet set;
	const char *problem;
	static const char example[] = PACKED_16 "\1" "\3\0" "\x56\x55\x55\x55";

	/* gaps 3, 1, and then 2 each */
	ckpx_block_set_init(&set, NULL);
	assert_true(ckpx_block_set_deserialize(&set, example, sizeof(example) - 1,
										   &problem));
	assert_int_equal(ckpx_block_set_count(&set), 16);
	assert_true(ckpx_block_set_contains(&set, 3));
	for (uint32 i = 0; i < 15; i++)
		assert_true(ckpx_block_set_contains(&set, 5 + i * 3));
	ckpx_block_set_reset(&set);

	/* no code at all, too many low bits, more of them than bytes */
	assert_rejected(PACKED_16);
	assert_rejected(PACKED_16 "\x10" ALL_12_BITS ALL_12_BITS "\xff\xff");
	assert_rejected(PACKED_16 "\xff" ALL_12_BITS ALL_12_BITS "\xff\xff");
	assert_rejected(PACKED_16 "\xf" "\3\0" "\x56\x55\x55\x55");
	/* too few bits 1 in the upper row, one too many, a byte too many */
	assert_rejected(PACKED_16 "\1" "\3\0" "\x56\x55\x55\x15");
	assert_rejected(PACKED_16 "\1" "\3\0" "\x56\x55\x55\x15"
					"\0\0\0\0\0\0\0\0\0\0\0\0");
	assert_rejected(PACKED_16 "\1" "\3\0" "\x56\x55\x55\xd5");
	assert_rejected(PACKED_16 "\1" "\3\0" "\x56\x55\x55\x55\0");
	/* behind the low bits of an odd number of values */
	assert_accepted(PACKED_17 "\1" "\0\0\0" "\xff\xff\1");
	assert_rejected(PACKED_17 "\1" "\0\0\2" "\xff\xff\1");
	/* no low bits: neighbours */
	assert_accepted(PACKED_16 "\0" "\xff\xff");
	/* up to 65535, and beyond it; the block number that means none */
	assert_accepted(PACKED_16 "\xc" ALL_12_BITS "\xff\xff");
	assert_rejected(PACKED_16 "\xc" ALL_12_BITS "\xfe\xff\1");
	assert_rejected(PACKED_16_LAST "\xc" ALL_12_BITS "\xff\xff");
	/* 15 blocks have no code, and there are no offsets */
	assert_accepted("\x3c\x30\0\0\1\0\0\0\0\0\1\0\1\0\2\0");
	assert_rejected("\x3c\x30\0\0\1\0\0\0\0\0\1\0\x10\0\0\0\1\0\2\0");
}

static void
hand_made_coded_runs(void **state)
{
	/* first values 0, 4, ... 60; the last values are the 1st, 3rd, ... */
#define FIRSTS				"\2" "\xfc\xff\xff\xff" "\xff\xff"
#define LASTS				"\0" "\xaa\xaa\xaa\xaa"
	/* first values 0, 4, ... 56, and one more near the end */
#define FAR_FIRSTS			"\xc" "\x00\x30\x00\x03\x30\x00\x03\x30\x00\x03\x30\x00" \
	"\x03\x30\x00\x03\x30\x00\x03\x30\x00\x03"

	assert_accepted(PACKED_RUNS FIRSTS LASTS);
	/* cut off, broken, or more than two codes */
	assert_rejected(PACKED_RUNS);
	assert_rejected(PACKED_RUNS FIRSTS);
	assert_rejected(PACKED_RUNS "\x10" FIRSTS LASTS);
	assert_rejected(PACKED_RUNS FIRSTS "\0" "\xaa\xaa\xaa\x2a");
	assert_rejected(PACKED_RUNS FIRSTS LASTS "\0");
	/* runs that touch, that overlap */
	assert_accepted(PACKED_RUNS "\0" "\x55\x55\x55\x55" LASTS);
	assert_rejected(PACKED_RUNS "\0" "\xff\xff" LASTS);
	/* up to the chunk's end, and beyond it */
	assert_accepted(PACKED_RUNS FAR_FIRSTS "\x50\xfc" "\xff\x7f\0\x40" LASTS);
	assert_rejected(PACKED_RUNS FAR_FIRSTS "\x60\xfc" "\xff\x7f\0\x40" LASTS);
	/* another number of values, and of runs than an honest writer has */
	assert_rejected("\x3d\x30\0\0\1\0\0\x1e\0" "\x10\0" FIRSTS LASTS);
	assert_rejected("\x3d\x30\0\0\1\0\0\x1f\0" "\1\x8" FIRSTS LASTS);
}

/*
 * Every number of values with the largest sum of gaps, at which a code is
 * longest, and with smaller ones: never as long as the values.
 */
static void
codes_are_short(void **state)
{
	for (uint32 n = CKPX_CODED_MIN; n <= 4096; n++)
	{
		uint16		values[4096];
		uint16		copy[4096];
		char	   *bytes = malloc(n * sizeof(uint16));
		uint32		step = 0;

		for (uint32 last = n - 1; last < 65536;
			 last = last == 65535 ? 65536 : Min(last + step, 65535))
		{
			Size		size;

			step = n < 256 || n % 64 == 0 ? 1 + last / 5 : 65536;

			/* one long gap, before the last value */
			for (uint32 i = 0; i < n; i++)
				values[i] = (uint16) i;
			values[n - 1] = (uint16) last;
			size = ckpx_values_encode(values, n, bytes);
			assert_true(size < n * sizeof(uint16));
			assert_int_equal(ckpx_values_decode(bytes, size, n, copy), size);
			assert_memory_equal(values, copy, n * sizeof(uint16));
			assert_int_equal(ckpx_values_decode(bytes, size - 1, n, copy), 0);

			/* all gaps alike */
			for (uint32 i = 0; i < n; i++)
				values[i] = (uint16) ((uint64) (i + 1) * (last + 1) / n - 1);
			size = ckpx_values_encode(values, n, bytes);
			assert_true(size < n * sizeof(uint16));
			assert_int_equal(ckpx_values_decode(bytes, size, n, copy), size);
			assert_memory_equal(values, copy, n * sizeof(uint16));
		}
		free(bytes);
	}
}

/* FORMAT.md's code, with any number of low bits; the size. */
static Size
write_code(const uint16 *values, uint32 n, uint32 k, uint8 *bytes)
{
	Size		low = 8;
	Size		high = 8 * (1 + (n * k + 7) / 8);
	uint32		next = 0;

	memset(bytes, 0, 1 + (n * k + 7) / 8 + (n + (65536 >> k) + 7) / 8);
	bytes[0] = (uint8) k;
	for (uint32 i = 0; i < n; i++)
	{
		uint32		gap = values[i] - next;

		next = values[i] + 1;
		for (uint32 bit = 0; bit < k; bit++, low++)
			bytes[low / 8] |= ((gap >> bit) & 1) << (low % 8);
		high += gap >> k;
		bytes[high / 8] |= 1 << (high % 8);
		high++;
	}
	return (high + 7) / 8;
}

/*
 * Codes with fewer or more low bits than is best: read, with other bytes behind
 * them or without, and not where they are cut off.
 */
static void
codes_of_any_parameter(void **state)
{
	static const uint32 counts[] = {1, 2, 7, 8, 9, 15, 16, 17, 31, 64, 255,
	1024, 4096};
	uint16		values[4096];
	uint16		copy[4096];
	uint8	   *bytes = malloc(1 + 7680 + 8704);

	for (uint32 i = 0; i < lengthof(counts) * 4; i++)
	{
		uint32		n = counts[i / 4];

		for (uint32 j = 0; j < n; j++)
			values[j] = (uint16) (i % 4 == 0 ? j :	/* the lowest */
								  i % 4 == 1 ? 65536 - n + j :	/* the highest */
								  i % 4 == 2 ? (j + 1) * (65536 / n) - 1 :
								  j + (j == n - 1 ? 65536 - n : 0));
		for (uint32 k = 0; k <= 15; k++)
		{
			Size		size = write_code(values, n, k, bytes);
			char	   *exact = test_exact_copy((char *) bytes, size);
			char	   *longer = malloc(size + 20);

			assert_int_equal(ckpx_values_decode(exact, size, n, copy), size);
			assert_memory_equal(values, copy, n * sizeof(uint16));
			memcpy(longer, bytes, size);
			memset(longer + size, 0xff, 20);
			assert_int_equal(ckpx_values_decode(longer, size + 20, n, copy),
							 size);
			assert_memory_equal(values, copy, n * sizeof(uint16));
			free(exact);
			for (Size cut = size < 100 ? 0 : size - 20; cut < size; cut++)
			{
				exact = test_exact_copy((char *) bytes, cut);
				assert_int_equal(ckpx_values_decode(exact, cut, n, copy), 0);
				free(exact);
			}
			free(longer);
		}
	}
	free(bytes);
}

/*
 * Every choice of values at the edges of words and of the range: read as it
 * was written.  No other bytes with the same parameter say the same, so no
 * bit is passed over.
 */
static void
codes_of_all_subsets(void **state)
{
	static const uint16 edges[] = {0, 1, 2, 7, 63, 64, 255, 32767, 32768,
	65534, 65535};

	for (uint32 mask = 1; mask < 1 << lengthof(edges); mask++)
	{
		uint16		values[lengthof(edges)];
		uint16		copy[lengthof(edges)];
		char		bytes[128];
		char	   *exact;
		uint32		n = 0;
		Size		size;

		for (uint32 i = 0; i < lengthof(edges); i++)
			if (mask & (1 << i))
				values[n++] = edges[i];
		size = ckpx_values_encode(values, n, bytes);
		assert_true(size < sizeof(bytes));
		exact = test_exact_copy(bytes, size);
		assert_int_equal(ckpx_values_decode(exact, size, n, copy), size);
		assert_memory_equal(values, copy, n * sizeof(uint16));
		for (Size bit = 8; bit < size * 8; bit++)
		{
			exact[bit / 8] ^= (char) (1 << (bit % 8));
			if (ckpx_values_decode(exact, size, n, copy) == size)
				assert_memory_not_equal(values, copy, n * sizeof(uint16));
			exact[bit / 8] ^= (char) (1 << (bit % 8));
		}
		free(exact);
	}
}

/*
 * Blocks at the edges of chunks and of all block numbers, in every choice, next
 * to none or to enough for a code of blocks or of runs: packed, and read into
 * a set that has the others; then the limit at one of them.
 */
static void
edge_blocks_in_all_subsets(void **state)
{
	static const BlockNumber edges[] = {0, 1, 65534, 65535, 65536, 131071,
		0x7fffffff, 0x80000000, 0xfffeffff, 0xffff0000, 0xfffffffd,
	LAST_BLOCK};
	const uint32 nedges = lengthof(edges);

	for (uint32 round = 0; round < 3 << nedges; round++)
	{
		uint32		mask = round % (1 << nedges);
		uint32		length = round >> nedges;	/* of the runs */
		BlockNumber limit = edges[mask % nedges];
		CkpxBlockSet sets[2];
		CkpxBlockSet both;
		const char *problem = NULL;

		ckpx_block_set_init(&both, NULL);
		for (uint32 half = 0; half < 2; half++)
		{
			CkpxBlockSet *set = &sets[half];
			Size		size;
			char	   *bytes;

			ckpx_block_set_init(set, NULL);
			for (uint32 i = 0; i < nedges; i++)
				if (((mask >> i) & 1) == half)
					ckpx_block_set_add(set, edges[i]);
			for (uint32 i = 0; i < 16 && length > 0; i++)
			{
				BlockNumber from = 1000 + half * 500 + i * 10;

				test_add_range(set, from, from + 1 + (length - 1) * 3);
				test_add_range(set, 0xffff0000 + from,
							   0xffff0001 + from + (length - 1) * 3);
			}
			bytes = half == 0 ? pack(set, &size) : serialize(set, &size);
			assert_true(ckpx_block_set_deserialize(&both, bytes, size,
												   &problem));
			assert_null(problem);
			free(bytes);
		}
		assert_int_equal(ckpx_block_set_count(&both),
						 ckpx_block_set_count(&sets[0]) +
						 ckpx_block_set_count(&sets[1]));
		ckpx_block_set_set_limit(&both, limit);
		for (uint32 i = 0; i < nedges; i++)
		{
			assert_int_equal(ckpx_block_set_contains(&both, edges[i]),
							 edges[i] < limit);
			assert_true(ckpx_block_set_changed(&both, edges[i]));
		}
		ckpx_block_set_reset(&sets[0]);
		ckpx_block_set_reset(&sets[1]);
		ckpx_block_set_reset(&both);
	}
}

/* Random places cost a byte or less: what information theory asks, and 4 %. */
static void
scattered_blocks_cost_a_byte(void **state)
{
	static const uint32 listed[] = {500, 1000, 2000, 4000};

	for (int i = 0; i < lengthof(listed); i++)
	{
		CkpxBlockSet set;
		TestRandom	r;
		Size		length;
		double		p = listed[i] / 65536.0;
		double		least;

		test_random_seed(&r, 9 + i);
		ckpx_block_set_init(&set, NULL);
		while (ckpx_block_set_count(&set) < listed[i])
			ckpx_block_set_add(&set, test_random_below(&r, 65536));
		least = -8192 * (p * log2(p) + (1 - p) * log2(1 - p));
		free(pack(&set, &length));
		assert_true(length < least * 1.04 + 16);
		ckpx_block_set_reset(&set);
	}
}

/* The number of values in the header must be the number of bits. */
static void
bitmap_with_wrong_count(void **state)
{
	CkpxBlockSet set;
	Size		length;
	char	   *bytes;
	uint32		i;

	ckpx_block_set_init(&set, NULL);
	for (i = 0; i < 5000; i++)
		ckpx_block_set_add(&set, i * 4);
	bytes = serialize(&set, &length);
	assert_int_equal(length, 16 + 8192);
	assert_true(try_bytes(bytes, length));
	bytes[10]++;
	assert_false(try_bytes(bytes, length));
	bytes[10] -= 2;
	assert_false(try_bytes(bytes, length));
	bytes[10]++;
	bytes[16] = 0;
	assert_false(try_bytes(bytes, length));
	free(bytes);
	ckpx_block_set_reset(&set);
}

/* The bytes themselves, so that every machine writes the same. */
static void
written_bytes_are_fixed(void **state)
{
	CkpxBlockSet set;
	Size		length;
	char	   *bytes;

	ckpx_block_set_init(&set, NULL);
	ckpx_block_set_add(&set, 0x01020304);
	ckpx_block_set_add(&set, 0x01020506);
	bytes = serialize(&set, &length);
	assert_int_equal(length, 20);
	assert_memory_equal(bytes, "\x3a\x30\0\0\1\0\0\0\2\1\1\0\x10\0\0\0"
						"\4\3\6\5", 20);
	free(bytes);

	test_add_range(&set, 0x01020000, 0x01021000);
	bytes = serialize(&set, &length);
	assert_int_equal(length, 15);
	assert_memory_equal(bytes, "\x3b\x30\0\0\1\2\1\xff\x0f\1\0\0\0\xff\x0f",
						15);
	free(bytes);
	ckpx_block_set_reset(&set);
}

/*
 * Size: 1 TB of blocks in eight tables, 1 % of them changed at random.
 */
static void
one_terabyte_with_one_percent_changed(void **state)
{
	const uint32 table_blocks = 16 * 1024 * 1024;
	CkpxBlockSet set[8];
	TestRandom	r;
	Size		memory = 0;
	Size		written = 0;
	uint64		count = 0;
	int			i;
	uint32		n;

	test_random_seed(&r, 8);
	for (i = 0; i < 8; i++)
	{
		ckpx_block_set_init(&set[i], NULL);
		for (n = 0; n < table_blocks / 100; n++)
			ckpx_block_set_add(&set[i], test_random_below(&r, table_blocks));
		memory += test_set_memory(&set[i]);
		written += ckpx_block_set_serialized_size(&set[i]);
		count += ckpx_block_set_count(&set[i]);
	}
	print_message("%lu blocks: %lu bytes in memory, %lu written\n",
				  (unsigned long) count, (unsigned long) memory,
				  (unsigned long) written);
	assert_true(count > UINT64CONST(8) * table_blocks / 101);
	assert_true(memory < 16 * 1024 * 1024);
	assert_true(written < 3 * 1024 * 1024);
	for (i = 0; i < 8; i++)
		ckpx_block_set_reset(&set[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_set),
		cmocka_unit_test(first_and_last_block),
		cmocka_unit_test(invalid_block_is_never_stored),
		cmocka_unit_test(range_end_is_exclusive),
		cmocka_unit_test(range_that_ends_at_a_chunk_border),
		cmocka_unit_test(last_run_ends_at_invalid_block),
		cmocka_unit_test(array_grows_into_bitmap),
		cmocka_unit_test(bitmap_shrinks_into_array),
		cmocka_unit_test(subtract_all_leaves_no_chunk),
		cmocka_unit_test(set_with_itself),
		cmocka_unit_test(limit_forgets_blocks_at_and_after_it),
		cmocka_unit_test(limit_never_rises),
		cmocka_unit_test(limit_at_chunk_border),
		cmocka_unit_test(blocks_after_the_limit_are_listed_again),
		cmocka_unit_test(merge_in_wrong_order_forgets_a_block),
		cmocka_unit_test(merge_applies_limit_before_blocks),
		cmocka_unit_test(merge_grouping_does_not_matter),
		cmocka_unit_test(random_steps_each_checked),
		cmocka_unit_test(random_sequences_1),
		cmocka_unit_test(random_sequences_2),
		cmocka_unit_test(random_sequences_3),
		cmocka_unit_test(deserialize_is_union),
		cmocka_unit_test(truncated_at_each_byte),
		cmocka_unit_test(each_bit_flipped),
		cmocka_unit_test(random_bytes),
		cmocka_unit_test(hand_made_arrays),
		cmocka_unit_test(hand_made_runs),
		cmocka_unit_test(hand_made_codes),
		cmocka_unit_test(hand_made_coded_runs),
		cmocka_unit_test(codes_are_short),
		cmocka_unit_test(codes_of_any_parameter),
		cmocka_unit_test(codes_of_all_subsets),
		cmocka_unit_test(edge_blocks_in_all_subsets),
		cmocka_unit_test(scattered_blocks_cost_a_byte),
		cmocka_unit_test(bitmap_with_wrong_count),
		cmocka_unit_test(written_bytes_are_fixed),
		cmocka_unit_test(one_terabyte_with_one_percent_changed),
	};

	return cmocka_run_group_tests_name("block_set", tests, NULL, NULL);
}
