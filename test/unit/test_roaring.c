/*-------------------------------------------------------------------------
 *
 * test_roaring.c
 *		The serialized form of block sets against an independent library.
 *
 * What ckpx writes, libroaring must read as the same set; what libroaring
 * writes, with and without run containers, ckpx must read.  Where neither
 * uses runs, the bytes must be equal.  The packed form becomes the portable one
 * here by what FORMAT.md says of it, byte for byte.
 *
 *-------------------------------------------------------------------------
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/map/block_set.h"
#include "test_maps.h"
#include "test_random.h"

#include <roaring/roaring.h>

#define COOKIE_NO_RUNS	12346
#define COOKIE_RUNS		12347

static uint32
cookie_of(const char *bytes)
{
	return (uint8) bytes[0] | (uint8) bytes[1] << 8;
}

static void
assert_same(const CkpxBlockSet *set, const roaring_bitmap_t *bitmap)
{
	uint64		n = roaring_bitmap_get_cardinality(bitmap);
	uint32	   *values = malloc(Max(n, 1) * sizeof(uint32));
	CkpxBlockSetIterator it;
	BlockNumber block;
	uint64		i;

	roaring_bitmap_to_uint32_array(bitmap, values);
	assert_int_equal(ckpx_block_set_count(set), n);
	ckpx_block_set_iterate(&it, set, 0);
	for (i = 0; i < n; i++)
	{
		assert_true(ckpx_block_set_next(&it, &block));
		assert_int_equal(block, values[i]);
	}
	assert_false(ckpx_block_set_next(&it, &block));
	free(values);
}

/*
 * Make the same bitmap without run containers, by adding value by value:
 * version 0.2 of roaring_bitmap_remove_run_compression() does not end for a
 * run that reaches the container's last value.
 */
static roaring_bitmap_t *
without_runs(const roaring_bitmap_t *bitmap)
{
	uint64		n = roaring_bitmap_get_cardinality(bitmap);
	uint32	   *values = malloc(Max(n, 1) * sizeof(uint32));
	roaring_bitmap_t *copy;

	roaring_bitmap_to_uint32_array(bitmap, values);
	copy = roaring_bitmap_of_ptr(n, values);
	free(values);
	return copy;
}

/* Write 'set' with ckpx and read it with libroaring. */
static void
assert_they_read_ours(const CkpxBlockSet *set,
					  const roaring_bitmap_t *bitmap)
{
	Size		length = ckpx_block_set_serialized_size(set);
	char	   *bytes = malloc(length);
	roaring_bitmap_t *copy;
	roaring_bitmap_t *best;

	assert_int_equal(ckpx_block_set_serialize(set, bytes), length);
	assert_int_equal(roaring_bitmap_portable_deserialize_size(bytes, length),
					 length);
	copy = roaring_bitmap_portable_deserialize_safe(bytes, length);
	assert_non_null(copy);
	assert_true(roaring_bitmap_equals(copy, bitmap));
	assert_same(set, copy);

	/*
	 * Ours is as small as theirs, but that we do not use runs for the sake of
	 * the shorter header alone.
	 */
	best = roaring_bitmap_copy(bitmap);
	roaring_bitmap_run_optimize(best);
	assert_true(length <= roaring_bitmap_portable_size_in_bytes(best) + 15);

	/* Without runs there is only one way to write a set. */
	if (cookie_of(bytes) == COOKIE_NO_RUNS)
	{
		char	   *theirs;

		roaring_bitmap_free(best);
		best = without_runs(bitmap);
		assert_int_equal(roaring_bitmap_portable_size_in_bytes(best), length);
		theirs = malloc(length);
		roaring_bitmap_portable_serialize(best, theirs);
		assert_memory_equal(bytes, theirs, length);
		free(theirs);
	}
	else
		assert_int_equal(cookie_of(bytes), COOKIE_RUNS);

	roaring_bitmap_free(best);
	roaring_bitmap_free(copy);
	free(bytes);
}

/*
 * The packed form, read as FORMAT.md has it and without any of ckpx's code.
 */
typedef struct Packed
{
	const uint8 *at;
	uint8	   *to;
} Packed;

static uint32
copy_bytes(Packed *p, int n)
{
	uint32		value = p->at[0];

	if (n >= 2)
		value |= (uint32) p->at[1] << 8;
	memcpy(p->to, p->at, n);
	p->at += n;
	p->to += n;
	return value;
}

static void
put_u16(uint8 *at, uint32 value)
{
	at[0] = (uint8) value;
	at[1] = (uint8) (value >> 8);
}

static uint32
bit_of(const uint8 *row, uint32 i)
{
	return (row[i / 8] >> (i % 8)) & 1;
}

/* Take a code of 'n' values. */
static void
take_code(Packed *p, uint32 n, uint32 *values)
{
	uint32		k = p->at[0];
	const uint8 *low = p->at + 1;
	const uint8 *high = low + (n * k + 7) / 8;
	uint32		bit = 0;
	uint32		value = 0;

	for (uint32 i = 0; i < n; i++)
	{
		uint32		gap = 0;

		while (!bit_of(high, bit++))
			gap++;
		for (uint32 j = k; j-- > 0;)
			gap = gap * 2 + bit_of(low, i * k + j);
		value += gap;
		values[i] = value++;
	}
	p->at = high + (bit + 7) / 8;
}

static void
take_container(Packed *p, bool has_runs, uint32 count)
{
	uint32		values[4096];
	uint32		ranks[4096];

	if (has_runs)
	{
		uint32		nruns = copy_bytes(p, 2);

		if (nruns < 16)
		{
			copy_bytes(p, nruns * 4);
			return;
		}
		take_code(p, nruns, values);
		take_code(p, nruns, ranks);
		for (uint32 i = 0; i < nruns; i++, p->to += 4)
		{
			put_u16(p->to, values[i]);
			put_u16(p->to + 2, i == 0 ? ranks[0] :
					ranks[i] - ranks[i - 1] - 1);
		}
	}
	else if (count > 4096)
		copy_bytes(p, 8192);
	else if (count < 16)
		copy_bytes(p, count * 2);
	else
	{
		take_code(p, count, values);
		for (uint32 i = 0; i < count; i++, p->to += 2)
			put_u16(p->to, values[i]);
	}
}

/* Make portable bytes of packed ones; their lengths. */
static Size
unpack(const char *packed, char *bytes, Size *packed_length)
{
	Packed		p = {(const uint8 *) packed, (uint8 *) bytes};
	const uint8 *flags = NULL;
	const uint8 *keys;
	uint8	   *offsets = NULL;
	uint32		cookie = cookie_of(packed);
	uint32		n;

	if (cookie == COOKIE_NO_RUNS + 2)
	{
		put_u16(p.to, COOKIE_NO_RUNS);
		p.at += 2;
		p.to += 2;
		(void) copy_bytes(&p, 2);
		n = copy_bytes(&p, 4);
		if (n == 0)
			n = 65536;
	}
	else
	{
		assert_int_equal(cookie, COOKIE_RUNS + 2);
		put_u16(p.to, COOKIE_RUNS);
		p.at += 2;
		p.to += 2;
		n = copy_bytes(&p, 2) + 1;
		flags = p.at;
		copy_bytes(&p, (n + 7) / 8);
	}
	keys = p.at;
	copy_bytes(&p, n * 4);
	if (flags == NULL || n >= 4)
	{
		offsets = p.to;
		p.to += n * 4;
	}
	for (uint32 i = 0; i < n; i++)
	{
		uint32		at = (uint32) (p.to - (uint8 *) bytes);

		if (offsets != NULL)
		{
			put_u16(offsets + i * 4, at);
			put_u16(offsets + i * 4 + 2, at >> 16);
		}
		take_container(&p, flags != NULL && bit_of(flags, i),
					   (keys[i * 4 + 2] | keys[i * 4 + 3] << 8) + 1);
	}
	*packed_length = (const char *) p.at - packed;
	return (char *) p.to - bytes;
}

/* What ckpx packs is, unpacked, what it serializes. */
static void
assert_packed_is_portable(const CkpxBlockSet *set)
{
	Size		length = ckpx_block_set_serialized_size(set);
	char	   *bytes = malloc(length);
	char	   *packed = malloc(length);
	char	   *unpacked = malloc(length);
	Size		packed_length = ckpx_block_set_pack(set, packed);
	Size		taken = 0;

	(void) ckpx_block_set_serialize(set, bytes);
	if (cookie_of(packed) == cookie_of(bytes))
	{
		assert_int_equal(packed_length, length);
		assert_memory_equal(packed, bytes, length);
	}
	else
	{
		assert_true(packed_length < length);
		assert_int_equal(unpack(packed, unpacked, &taken), length);
		assert_int_equal(taken, packed_length);
		assert_memory_equal(unpacked, bytes, length);
	}
	free(unpacked);
	free(packed);
	free(bytes);
}

/* Write 'bitmap' as it is with libroaring and read it with ckpx. */
static void
assert_we_read_theirs(const roaring_bitmap_t *bitmap)
{
	Size		length = roaring_bitmap_portable_size_in_bytes(bitmap);
	char	   *bytes = malloc(length);
	CkpxBlockSet set;
	const char *problem;

	assert_int_equal(roaring_bitmap_portable_serialize(bitmap, bytes),
					 length);
	ckpx_block_set_init(&set, NULL);
	assert_true(ckpx_block_set_deserialize(&set, bytes, length, &problem));
	assert_null(problem);
	assert_same(&set, bitmap);
	ckpx_block_set_reset(&set);
	free(bytes);
}

/* Both directions, their side with and without run containers. */
static void
check_both(const CkpxBlockSet *set, const roaring_bitmap_t *bitmap)
{
	roaring_bitmap_t *copy = roaring_bitmap_copy(bitmap);

	assert_same(set, bitmap);
	assert_they_read_ours(set, bitmap);
	assert_packed_is_portable(set);
	assert_we_read_theirs(bitmap);
	roaring_bitmap_run_optimize(copy);
	assert_we_read_theirs(copy);
	roaring_bitmap_free(copy);
	copy = without_runs(bitmap);
	assert_we_read_theirs(copy);
	roaring_bitmap_free(copy);
}

typedef struct Pair
{
	CkpxBlockSet set;
	roaring_bitmap_t *bitmap;
} Pair;

static void
pair_init(Pair *pair)
{
	ckpx_block_set_init(&pair->set, NULL);
	pair->bitmap = roaring_bitmap_create();
}

static void
pair_add(Pair *pair, BlockNumber block)
{
	ckpx_block_set_add(&pair->set, block);
	roaring_bitmap_add(pair->bitmap, block);
}

static void
pair_add_range(Pair *pair, BlockNumber from, BlockNumber to)
{
	test_add_range(&pair->set, from, to);
	if (from < to)
		roaring_bitmap_add_range_closed(pair->bitmap, from, to - 1);
}

static void
pair_check_and_free(Pair *pair)
{
	check_both(&pair->set, pair->bitmap);
	ckpx_block_set_reset(&pair->set);
	roaring_bitmap_free(pair->bitmap);
}

static void
empty(void **state)
{
	Pair		pair;

	pair_init(&pair);
	pair_check_and_free(&pair);
}

static void
one_block(void **state)
{
	static const BlockNumber blocks[] =
	{0, 65535, 65536, 0x7fffffff, 0x80000000, 0xfffffffe};
	int			i;

	for (i = 0; i < lengthof(blocks); i++)
	{
		Pair		pair;

		pair_init(&pair);
		pair_add(&pair, blocks[i]);
		pair_check_and_free(&pair);
	}
}

/* Around 4096 values the container changes from array to bitmap. */
static void
array_and_bitmap_threshold(void **state)
{
	uint32		n;

	for (n = 4094; n <= 4099; n++)
	{
		Pair		pair;
		uint32		i;

		pair_init(&pair);
		for (i = 0; i < n; i++)
			pair_add(&pair, 0x20000 + i * 13);
		assert_int_equal(ckpx_block_set_serialized_size(&pair.set),
						 16 + (n <= 4096 ? n * 2 : 8192));
		pair_check_and_free(&pair);
	}
}

/* In memory a chunk changes its form at other sizes. */
static void
memory_thresholds(void **state)
{
	static const uint32 sizes[] =
	{7, 8, 9, 31, 32, 33, 127, 128, 129, 511, 512, 513, 1023, 1024, 1025};
	int			i;

	for (i = 0; i < lengthof(sizes); i++)
	{
		Pair		pair;
		uint32		j;

		pair_init(&pair);
		for (j = sizes[i]; j > 0; j--)
			pair_add(&pair, j * 2);
		pair_check_and_free(&pair);
	}
}

static void
full_chunks(void **state)
{
	Pair		pair;

	pair_init(&pair);
	pair_add_range(&pair, 0, 5 * 65536);
	pair_check_and_free(&pair);

	pair_init(&pair);
	pair_add_range(&pair, 0xffff0000, 0xffffffff);
	pair_check_and_free(&pair);
}

/* Run containers, with the offset header from four containers on. */
static void
runs_in_few_and_many_containers(void **state)
{
	uint32		n;
	uint32		mixed;

	for (mixed = 0; mixed < 3; mixed++)
		for (n = 1; n <= 20; n++)
		{
			Pair		pair;
			uint32		i;

			pair_init(&pair);
			for (i = 0; i < n; i++)
			{
				if (mixed == 0 || i % 3 == mixed)
					pair_add_range(&pair, i * 65536 * 7 + 100,
								   i * 65536 * 7 + 900);
				else
				{
					pair_add(&pair, i * 65536 * 7 + 5);
					pair_add(&pair, i * 65536 * 7 + 77);
				}
			}
			pair_check_and_free(&pair);
		}
}

/* Where a run container is as long as the other kind, or off by a little. */
static void
runs_of_almost_equal_size(void **state)
{
	uint32		nruns;

	for (nruns = 2040; nruns <= 2050; nruns++)
	{
		Pair		pair;
		uint32		i;

		pair_init(&pair);
		for (i = 0; i < nruns; i++)
			pair_add_range(&pair, i * 30, i * 30 + 12);
		pair_check_and_free(&pair);
	}
	for (nruns = 1; nruns <= 40; nruns++)
	{
		Pair		pair;
		uint32		i;

		/* runs of two cost what the array costs, but for the count */
		pair_init(&pair);
		for (i = 0; i < nruns; i++)
			pair_add_range(&pair, i * 30, i * 30 + (i == 0 ? 3 : 2));
		pair_check_and_free(&pair);
	}
}

static void
random_sets(uint64 seed, int rounds)
{
	TestRandom	r;

	test_random_seed(&r, seed);
	while (rounds-- > 0)
	{
		uint32		parts = test_random_below(&r, 12);
		Pair		pair;

		pair_init(&pair);
		while (parts-- > 0)
		{
			uint32		base = test_random_below(&r, 14) << 16;
			uint32		n = test_random_below(&r, 6000);
			uint32		i;

			if (test_random_below(&r, 4) == 0)
				base = test_random_below(&r, 0xfffe) << 16;
			switch (test_random_below(&r, 4))
			{
				case 0:			/* sparse or dense, at random */
					for (i = 0; i < n; i++)
						pair_add(&pair, base + test_random_below(&r, 65536));
					break;
				case 1:			/* every second or third */
					for (i = 0; i < n; i++)
						pair_add(&pair, base + i * (2 + n % 2));
					break;
				case 2:			/* a long run over chunk borders */
					base += test_random_below(&r, 65536);
					pair_add_range(&pair, base, base + n * 20);
					break;
				default:		/* short runs */
					for (i = 0; i < n / 40; i++)
					{
						uint32		from = base +
							test_random_below(&r, 65000);

						pair_add_range(&pair, from, from + 1 +
									   test_random_below(&r, 200));
					}
			}
		}
		pair_check_and_free(&pair);
	}
}

static void
random_sets_1(void **state)
{
	random_sets(1, 400);
}

static void
random_sets_2(void **state)
{
	random_sets(2, 400);
}

/* Union, subtraction and a limit agree with theirs. */
static void
algebra_agrees(void **state)
{
	TestRandom	r;
	int			round;

	test_random_seed(&r, 3);
	for (round = 0; round < 300; round++)
	{
		Pair		a;
		Pair		b;
		uint32		n = test_random_below(&r, 5000);
		uint32		span = 1 + test_random_below(&r, 400000);

		pair_init(&a);
		pair_init(&b);
		while (n-- > 0)
		{
			pair_add(&a, test_random_below(&r, span));
			if (n % 3 == 0)
				pair_add(&b, test_random_below(&r, span));
		}
		if (round % 2)
			pair_add_range(&b, span / 3, span / 2);
		if (round % 3 == 0)
		{
			ckpx_block_set_union(&a.set, &b.set);
			roaring_bitmap_or_inplace(a.bitmap, b.bitmap);
		}
		else if (round % 3 == 1)
		{
			ckpx_block_set_subtract(&a.set, &b.set);
			roaring_bitmap_andnot_inplace(a.bitmap, b.bitmap);
		}
		else
		{
			ckpx_block_set_set_limit(&a.set, span / 2);
			roaring_bitmap_remove_range_closed(a.bitmap, span / 2,
											   0xffffffff);
		}
		pair_check_and_free(&a);
		pair_check_and_free(&b);
	}
}

/* Their set may hold 2^32 - 1, which is no block. */
static void
their_invalid_block_is_rejected(void **state)
{
	uint32		n;

	for (n = 1; n < 20000; n += 5000)
	{
		roaring_bitmap_t *bitmap = roaring_bitmap_create();
		CkpxBlockSet set;
		const char *problem;
		Size		length;
		char	   *bytes;
		uint32		i;

		for (i = 0; i < n; i++)
			roaring_bitmap_add(bitmap, 0xffffffff - i * 3);
		length = roaring_bitmap_portable_size_in_bytes(bitmap);
		bytes = malloc(length);
		roaring_bitmap_portable_serialize(bitmap, bytes);
		ckpx_block_set_init(&set, NULL);
		assert_false(ckpx_block_set_deserialize(&set, bytes, length,
												&problem));
		assert_non_null(problem);
		ckpx_block_set_reset(&set);
		roaring_bitmap_free(bitmap);
		free(bytes);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty),
		cmocka_unit_test(one_block),
		cmocka_unit_test(array_and_bitmap_threshold),
		cmocka_unit_test(memory_thresholds),
		cmocka_unit_test(full_chunks),
		cmocka_unit_test(runs_in_few_and_many_containers),
		cmocka_unit_test(runs_of_almost_equal_size),
		cmocka_unit_test(random_sets_1),
		cmocka_unit_test(random_sets_2),
		cmocka_unit_test(algebra_agrees),
		cmocka_unit_test(their_invalid_block_is_rejected),
	};

	return cmocka_run_group_tests_name("roaring", tests, NULL, NULL);
}
