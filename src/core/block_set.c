/*-------------------------------------------------------------------------
 *
 * block_set.c
 *		The set of changed blocks of one relation fork, and its limit block.
 *
 * A chunk covers the 65536 blocks that share their high 16 bits.  It is a
 * sorted array of the low 16 bits up to MAX_VALUES of them, then a bitmap of
 * 8 kB.  The array keeps a sparse set small (a table of 512 MB with a hundred
 * changed blocks takes a few hundred bytes), the bitmap makes adding to a busy
 * chunk one test of a bit.  The limit is a quarter of where the serialized
 * form changes over, because moving the tail of a long array for each insert
 * costs more than the memory is worth.
 *
 * Invariants, after every call:
 *	- chunks are sorted by key, without duplicates, and none is empty;
 *	- 'count' of a chunk is exactly the number of blocks in it;
 *	- values of an array are ascending and distinct;
 *	- a bitmap holds more than SHRINK_VALUES blocks (adding makes one only where
 *	  two parts meet that are more than MAX_VALUES together);
 *	- bit 65535 of chunk 65535 (InvalidBlockNumber) is never set.
 *
 * They also hold if an allocation raises an error in the server: memory is
 * allocated first, and a chunk is entered into the list together with its
 * first block.  What was being added may then be missing, so whoever catches
 * such an error must not use the set.
 *
 * The serialized form of n containers, sorted by key, all little endian:
 *
 *		without any run container:
 *			uint32	12346
 *			uint32	n
 *		with at least one:
 *			uint32	12347 | (n - 1) << 16
 *			bytes	(n + 7) / 8: bit i (lowest first) = container i has runs
 *		then:
 *			n times	uint16 key, uint16 number of values - 1
 *			n times	uint32 offset of the container from the first byte;
 *					left out if there are run containers and n < 4
 *			n containers, one after the other:
 *				runs			uint16 r, then r times
 *								uint16 first, uint16 length - 1
 *				<= 4096 values	uint16 each
 *				more			1024 uint64, lowest value in the lowest bit
 *
 *-------------------------------------------------------------------------
 */
#include "core/block_set.h"

#include "core/bytes.h"
#include "port/pg_bitutils.h"

/* In memory: longest array, and when a shrinking bitmap becomes one again. */
#define FIRST_VALUES		8
#define MAX_VALUES			1024
#define SHRINK_VALUES		(MAX_VALUES / 2)

#define BITMAP_WORDS		(CKPX_CHUNK_BLOCKS / 64)
#define BITMAP_BYTES		(CKPX_CHUNK_BLOCKS / 8)

#define MAX_CHUNKS			65536

/* The serialized form. */
#define COOKIE_NO_RUNS		12346
#define COOKIE_RUNS			12347
#define ARRAY_CONTAINER_MAX 4096
#define NO_OFFSETS_BELOW	4	/* with run containers only */

typedef struct CkpxBlockChunk
{
	union
	{
		uint16	   *values;
		uint64	   *words;
	}			u;
	uint32		count;			/* blocks in the chunk */
	uint16		capacity;		/* allocated values; 0: it is a bitmap */
	uint16		key;			/* high 16 bits of the block numbers */
} CkpxBlockChunk;

typedef enum ContainerKind
{
	CONTAINER_ARRAY = 0,
	CONTAINER_BITMAP,
	CONTAINER_RUNS
} ContainerKind;

static inline uint32
block_key(BlockNumber block)
{
	return block >> 16;
}

static inline uint32
block_low(BlockNumber block)
{
	return block & 0xffff;
}

static inline BlockNumber
chunk_base(const CkpxBlockChunk *chunk)
{
	return (BlockNumber) chunk->key << 16;
}

static inline bool
chunk_is_bitmap(const CkpxBlockChunk *chunk)
{
	return chunk->capacity == 0;
}

/*
 * Bits of words [0, BITMAP_WORDS)
 */

static inline bool
bit_is_set(const uint64 *words, uint32 bit)
{
	return (words[bit >> 6] >> (bit & 63)) & 1;
}

/* Return the first bit >= 'from' that differs from 'flip', or 65536. */
static uint32
next_bit(const uint64 *words, uint32 from, uint64 flip)
{
	uint32		i = from >> 6;
	uint64		word;

	if (from >= CKPX_CHUNK_BLOCKS)
		return CKPX_CHUNK_BLOCKS;
	word = (words[i] ^ flip) & (~UINT64CONST(0) << (from & 63));
	while (word == 0)
	{
		if (++i == BITMAP_WORDS)
			return CKPX_CHUNK_BLOCKS;
		word = words[i] ^ flip;
	}
	return i * 64 + pg_rightmost_one_pos64(word);
}

static inline uint32
next_set_bit(const uint64 *words, uint32 from)
{
	return next_bit(words, from, 0);
}

static inline uint32
next_clear_bit(const uint64 *words, uint32 from)
{
	return next_bit(words, from, ~UINT64CONST(0));
}

/* The bits of word 'i' that lie in [from, to); from < to <= 65536. */
static inline uint64
word_mask(uint32 i, uint32 from, uint32 to)
{
	uint64		mask = ~UINT64CONST(0);

	if (i == from >> 6)
		mask &= ~UINT64CONST(0) << (from & 63);
	if (i == (to - 1) >> 6)
		mask &= ~UINT64CONST(0) >> (63 - ((to - 1) & 63));
	return mask;
}

/* Set the bits [from, to), and return how many were clear. */
static uint32
set_bits(uint64 *words, uint32 from, uint32 to)
{
	uint32		added = 0;
	uint32		i;

	for (i = from >> 6; i <= (to - 1) >> 6; i++)
	{
		uint64		mask = word_mask(i, from, to);

		added += pg_popcount64(mask & ~words[i]);
		words[i] |= mask;
	}
	return added;
}

/* Clear the bits [from, to), and return how many were set. */
static uint32
clear_bits(uint64 *words, uint32 from, uint32 to)
{
	uint32		removed = 0;
	uint32		i;

	for (i = from >> 6; i <= (to - 1) >> 6; i++)
	{
		uint64		mask = word_mask(i, from, to);

		removed += pg_popcount64(mask & words[i]);
		words[i] &= ~mask;
	}
	return removed;
}

static uint32
count_bits(const uint64 *words)
{
	uint32		count = 0;
	int			i;

	for (i = 0; i < BITMAP_WORDS; i++)
		count += pg_popcount64(words[i]);
	return count;
}

/* Write the set bits in ascending order to 'values', and return how many. */
static uint32
bits_to_values(const uint64 *words, uint16 *values)
{
	uint32		n = 0;
	uint32		i;

	for (i = 0; i < BITMAP_WORDS; i++)
	{
		uint64		word = words[i];

		while (word != 0)
		{
			values[n++] = (uint16) (i * 64 + pg_rightmost_one_pos64(word));
			word &= word - 1;
		}
	}
	return n;
}

/*
 * Return the index of the first of 'n' ascending values that is >= 'low'
 * (which may be 65536).
 */
static uint32
values_lower_bound(const uint16 *values, uint32 n, uint32 low)
{
	const uint16 *base = values;

	/* Halve without a branch that depends on the values: they are random. */
	while (n > 1)
	{
		uint32		half = n / 2;

		base += half * (base[half - 1] < low);
		n -= half;
	}
	return (uint32) (base - values) + (n == 1 && *base < low);
}

/*
 * One chunk
 */

static Size
chunk_memory(const CkpxBlockChunk *chunk)
{
	return chunk_is_bitmap(chunk) ? BITMAP_BYTES :
		chunk->capacity * sizeof(uint16);
}

/* The allocation step for an array of 'n' values. */
static uint32
array_capacity(uint32 n)
{
	uint32		capacity = FIRST_VALUES;

	while (capacity < n)
		capacity *= 4;
	return Min(capacity, MAX_VALUES);
}

static void
chunk_grow_array(CkpxBlockSet *set, CkpxBlockChunk *chunk, uint32 n)
{
	uint32		capacity = array_capacity(n);
	uint16	   *values = ckpx_alloc(set->mem, capacity * sizeof(uint16));

	memcpy(values, chunk->u.values, chunk->count * sizeof(uint16));
	pfree(chunk->u.values);
	chunk->u.values = values;
	chunk->capacity = (uint16) capacity;
}

static void
chunk_to_bitmap(CkpxBlockSet *set, CkpxBlockChunk *chunk)
{
	uint64	   *words = ckpx_alloc0(set->mem, BITMAP_BYTES);
	uint32		i;

	for (i = 0; i < chunk->count; i++)
		words[chunk->u.values[i] >> 6] |=
			UINT64CONST(1) << (chunk->u.values[i] & 63);
	pfree(chunk->u.values);
	chunk->u.words = words;
	chunk->capacity = 0;
}

/* Turn a bitmap that has become sparse into an array. */
static void
chunk_shrink(CkpxBlockSet *set, CkpxBlockChunk *chunk)
{
	uint32		capacity;
	uint16	   *values;

	if (!chunk_is_bitmap(chunk) || chunk->count > SHRINK_VALUES)
		return;

	capacity = array_capacity(chunk->count);
	values = ckpx_alloc(set->mem, capacity * sizeof(uint16));
	(void) bits_to_values(chunk->u.words, values);
	pfree(chunk->u.words);
	chunk->u.values = values;
	chunk->capacity = (uint16) capacity;
}

static void
chunk_free(CkpxBlockChunk *chunk)
{
	pfree(chunk->u.values);		/* either member: the same pointer */
}

static bool
chunk_contains(const CkpxBlockChunk *chunk, uint32 low)
{
	uint32		i;

	if (chunk_is_bitmap(chunk))
		return bit_is_set(chunk->u.words, low);
	i = values_lower_bound(chunk->u.values, chunk->count, low);
	return i < chunk->count && chunk->u.values[i] == low;
}

/* Count the maximal runs of consecutive values. */
static uint32
chunk_count_runs(const CkpxBlockChunk *chunk)
{
	uint32		nruns = 0;
	uint32		i;

	if (chunk_is_bitmap(chunk))
	{
		uint64		carry = 0;

		/* A run starts at each set bit whose lower neighbour is clear. */
		for (i = 0; i < BITMAP_WORDS; i++)
		{
			uint64		word = chunk->u.words[i];

			nruns += pg_popcount64(word & ~((word << 1) | carry));
			carry = word >> 63;
		}
		return nruns;
	}

	for (i = 0; i < chunk->count; i++)
		if (i == 0 || chunk->u.values[i] != chunk->u.values[i - 1] + 1)
			nruns++;
	return nruns;
}

/*
 * Add 'n' ascending distinct values to an array that has room for them.
 *
 * Both arrays are walked from their ends, so the result can be built in place
 * in the free tail; values found in both leave a hole before it.
 */
static void
array_merge(CkpxBlockChunk *chunk, const uint16 *add, uint32 n)
{
	uint16	   *values = chunk->u.values;
	uint32		i = chunk->count;
	uint32		j = n;
	uint32		to = i + n;
	uint32		hole;

	Assert(to <= chunk->capacity);

	while (i > 0 && j > 0)
	{
		if (values[i - 1] > add[j - 1])
			values[--to] = values[--i];
		else
		{
			if (values[i - 1] == add[j - 1])
				i--;
			values[--to] = add[--j];
		}
	}
	while (j > 0)
		values[--to] = add[--j];

	/* values[0, i) are in place; the rest lies at [to, count + n). */
	hole = to - i;
	if (hole > 0)
		memmove(values + i, values + to,
				(chunk->count + n - to) * sizeof(uint16));
	chunk->count += n - hole;
}

/*
 * The list of chunks
 */

/* Return the index of the first chunk whose key is >= 'key'. */
static uint32
find_chunk(const CkpxBlockSet *set, uint32 key)
{
	const CkpxBlockChunk *chunks = set->chunks;
	uint32		low = 0;
	uint32		high = set->nchunks;

	if (set->last_chunk < high && chunks[set->last_chunk].key == key)
		return set->last_chunk;
	if (high == 0 || chunks[high - 1].key < key)
		return high;

	/*
	 * Keys ascend, so the chunk cannot lie behind index 'key'; and where no
	 * chunk before it is missing, it lies right there.
	 */
	if (key < high)
	{
		if (chunks[key].key == key)
			return key;
		high = key;
	}
	while (low < high)
	{
		uint32		middle = (low + high) / 2;

		if (chunks[middle].key < key)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool
chunk_is_at(const CkpxBlockSet *set, uint32 i, uint32 key)
{
	return i < set->nchunks && set->chunks[i].key == key;
}

/*
 * Insert a chunk at index 'i', with room for 'n' values.  The caller must put
 * the first one in at once.
 */
static CkpxBlockChunk *
insert_chunk(CkpxBlockSet *set, uint32 i, uint32 key, uint32 n)
{
	CkpxBlockChunk *chunk;
	CkpxBlockChunk new_chunk;

	Assert(set->nchunks < MAX_CHUNKS);

	if (set->nchunks == set->maxchunks)
	{
		uint32		maxchunks = Max(set->maxchunks * 2, 1);
		CkpxBlockChunk *chunks;

		chunks = ckpx_alloc(set->mem, maxchunks * sizeof(CkpxBlockChunk));
		if (set->chunks != NULL)
		{
			memcpy(chunks, set->chunks,
				   set->nchunks * sizeof(CkpxBlockChunk));
			pfree(set->chunks);
		}
		set->chunks = chunks;
		set->maxchunks = maxchunks;
	}

	new_chunk.key = (uint16) key;
	new_chunk.count = 0;
	if (n > MAX_VALUES)
	{
		new_chunk.capacity = 0;
		new_chunk.u.words = ckpx_alloc0(set->mem, BITMAP_BYTES);
	}
	else
	{
		new_chunk.capacity = (uint16) array_capacity(n);
		new_chunk.u.values = ckpx_alloc(set->mem,
										new_chunk.capacity * sizeof(uint16));
	}

	chunk = &set->chunks[i];
	memmove(chunk + 1, chunk, (set->nchunks - i) * sizeof(CkpxBlockChunk));
	*chunk = new_chunk;
	set->nchunks++;
	return chunk;
}

/*
 * Find or make the chunk of 'key' and give it room for 'n' more values; n is
 * at least 1 and the caller must put them in at once.
 */
static CkpxBlockChunk *
reserve_chunk(CkpxBlockSet *set, uint32 key, uint32 n)
{
	uint32		i = find_chunk(set, key);
	CkpxBlockChunk *chunk;

	Assert(n > 0);

	set->last_chunk = i;
	if (!chunk_is_at(set, i, key))
		return insert_chunk(set, i, key, n);

	chunk = &set->chunks[i];
	if (!chunk_is_bitmap(chunk))
	{
		if (chunk->count + n > MAX_VALUES)
			chunk_to_bitmap(set, chunk);
		else if (chunk->count + n > chunk->capacity)
			chunk_grow_array(set, chunk, chunk->count + n);
	}
	return chunk;
}

/* Add 'n' > 0 ascending distinct values to the chunk of 'key'. */
static void
add_values(CkpxBlockSet *set, uint32 key, const uint16 *values, uint32 n)
{
	CkpxBlockChunk *chunk = reserve_chunk(set, key, n);
	uint32		i;

	if (!chunk_is_bitmap(chunk))
	{
		array_merge(chunk, values, n);
		return;
	}
	for (i = 0; i < n; i++)
	{
		uint64	   *word = &chunk->u.words[values[i] >> 6];
		uint64		bit = UINT64CONST(1) << (values[i] & 63);

		chunk->count += (*word & bit) == 0;
		*word |= bit;
	}
}

/* Add the bits of 'words', 'n' > 0 of them, to the chunk of 'key'. */
static void
add_words(CkpxBlockSet *set, uint32 key, const uint64 *words, uint32 n)
{
	CkpxBlockChunk *chunk = reserve_chunk(set, key, n);
	uint32		i;

	if (!chunk_is_bitmap(chunk))
	{
		uint16		values[MAX_VALUES];

		array_merge(chunk, values, bits_to_values(words, values));
		return;
	}
	for (i = 0; i < BITMAP_WORDS; i++)
		chunk->u.words[i] |= words[i];
	chunk->count = count_bits(chunk->u.words);
}

/* Add the values [from, to) to the chunk of 'key'; from < to <= 65536. */
static void
add_value_range(CkpxBlockSet *set, uint32 key, uint32 from, uint32 to)
{
	CkpxBlockChunk *chunk = reserve_chunk(set, key, to - from);
	uint16	   *values = chunk->u.values;
	uint32		first;
	uint32		last;
	uint32		i;

	if (chunk_is_bitmap(chunk))
	{
		chunk->count += set_bits(chunk->u.words, from, to);
		return;
	}

	/* Replace the values that lie in the range by the whole range. */
	first = values_lower_bound(values, chunk->count, from);
	last = values_lower_bound(values, chunk->count, to);
	memmove(values + first + (to - from), values + last,
			(chunk->count - last) * sizeof(uint16));
	for (i = from; i < to; i++)
		values[first + (i - from)] = (uint16) i;
	chunk->count = chunk->count - (last - first) + (to - from);
}

/*
 * The set
 */

void
ckpx_block_set_init(CkpxBlockSet *set, CkpxMemory mem)
{
	memset(set, 0, sizeof(CkpxBlockSet));
	set->limit_block = InvalidBlockNumber;
	set->mem = mem;
}

void
ckpx_block_set_reset(CkpxBlockSet *set)
{
	uint32		i;

	for (i = 0; i < set->nchunks; i++)
		chunk_free(&set->chunks[i]);
	if (set->chunks != NULL)
		pfree(set->chunks);
	ckpx_block_set_init(set, set->mem);
}

bool
ckpx_block_set_add(CkpxBlockSet *set, BlockNumber block)
{
	uint32		key = block_key(block);
	uint32		low = block_low(block);
	CkpxBlockChunk *chunk;
	uint32		i;

	if (block == InvalidBlockNumber)
		return false;

	i = find_chunk(set, key);
	set->last_chunk = i;
	if (!chunk_is_at(set, i, key))
	{
		chunk = insert_chunk(set, i, key, 1);
		chunk->u.values[0] = (uint16) low;
		chunk->count = 1;
		return true;
	}

	chunk = &set->chunks[i];
	if (!chunk_is_bitmap(chunk))
	{
		uint16		last = chunk->u.values[chunk->count - 1];

		/* The page at the end of a table that grows: again, or the next. */
		if (last == low)
			return false;
		if (last < low)
			i = chunk->count;
		else
		{
			i = values_lower_bound(chunk->u.values, chunk->count, low);
			if (chunk->u.values[i] == low)
				return false;
		}
		if (chunk->count < MAX_VALUES)
		{
			if (chunk->count == chunk->capacity)
				chunk_grow_array(set, chunk, chunk->count + 1);
			memmove(chunk->u.values + i + 1, chunk->u.values + i,
					(chunk->count - i) * sizeof(uint16));
			chunk->u.values[i] = (uint16) low;
			chunk->count++;
			return true;
		}
		chunk_to_bitmap(set, chunk);
	}

	if (bit_is_set(chunk->u.words, low))
		return false;
	chunk->u.words[low >> 6] |= UINT64CONST(1) << (low & 63);
	chunk->count++;
	return true;
}

void
ckpx_block_set_add_range(CkpxBlockSet *set, BlockNumber from, BlockNumber to)
{
	while (from < to)
	{
		/* 'to' is at most 2^32 - 1, so the last chunk never ends at 65536 */
		if (block_key(from) == block_key(to))
		{
			add_value_range(set, block_key(from), block_low(from),
							block_low(to));
			break;
		}
		add_value_range(set, block_key(from), block_low(from),
						CKPX_CHUNK_BLOCKS);
		from = (block_key(from) + 1) << 16;
	}
}

void
ckpx_block_set_set_limit(CkpxBlockSet *set, BlockNumber limit)
{
	uint32		keep;
	uint32		i;

	if (limit > set->limit_block || limit == InvalidBlockNumber)
		return;
	set->limit_block = limit;

	/* 'keep' chunks stay; the one that holds the limit loses its end. */
	keep = find_chunk(set, block_key(limit));
	if (chunk_is_at(set, keep, block_key(limit)) && block_low(limit) > 0)
	{
		CkpxBlockChunk *chunk = &set->chunks[keep];

		if (chunk_is_bitmap(chunk))
			chunk->count -= clear_bits(chunk->u.words, block_low(limit),
									   CKPX_CHUNK_BLOCKS);
		else
			chunk->count = values_lower_bound(chunk->u.values, chunk->count,
											  block_low(limit));
		if (chunk->count > 0)
			keep++;
	}

	for (i = keep; i < set->nchunks; i++)
		chunk_free(&set->chunks[i]);
	set->nchunks = keep;
	if (keep > 0)
		chunk_shrink(set, &set->chunks[keep - 1]);
}

bool
ckpx_block_set_contains(const CkpxBlockSet *set, BlockNumber block)
{
	uint32		i = find_chunk(set, block_key(block));

	return chunk_is_at(set, i, block_key(block)) &&
		chunk_contains(&set->chunks[i], block_low(block));
}

bool
ckpx_block_set_changed(const CkpxBlockSet *set, BlockNumber block)
{
	return block >= set->limit_block || ckpx_block_set_contains(set, block);
}

void
ckpx_block_set_merge(CkpxBlockSet *set, const CkpxBlockSet *later)
{
	if (set == later)
		return;

	/*
	 * The limit must come first: it speaks of the length within the later
	 * range, at a time when the blocks listed here were there already, while
	 * the later set's own blocks were written after it.
	 */
	ckpx_block_set_set_limit(set, later->limit_block);
	ckpx_block_set_union(set, later);
}

void
ckpx_block_set_union(CkpxBlockSet *set, const CkpxBlockSet *other)
{
	uint32		i;

	if (set == other)
		return;
	for (i = 0; i < other->nchunks; i++)
	{
		const CkpxBlockChunk *chunk = &other->chunks[i];

		if (chunk_is_bitmap(chunk))
			add_words(set, chunk->key, chunk->u.words, chunk->count);
		else
			add_values(set, chunk->key, chunk->u.values, chunk->count);
	}
}

/* Remove from a chunk what 'other', a chunk of the same key, holds. */
static void
chunk_subtract(CkpxBlockChunk *chunk, const CkpxBlockChunk *other)
{
	uint32		i;

	if (!chunk_is_bitmap(chunk))
	{
		uint32		kept = 0;

		for (i = 0; i < chunk->count; i++)
			if (!chunk_contains(other, chunk->u.values[i]))
				chunk->u.values[kept++] = chunk->u.values[i];
		chunk->count = kept;
	}
	else if (!chunk_is_bitmap(other))
	{
		for (i = 0; i < other->count; i++)
			chunk->count -= clear_bits(chunk->u.words, other->u.values[i],
									   (uint32) other->u.values[i] + 1);
	}
	else
	{
		for (i = 0; i < BITMAP_WORDS; i++)
			chunk->u.words[i] &= ~other->u.words[i];
		chunk->count = count_bits(chunk->u.words);
	}
}

void
ckpx_block_set_subtract(CkpxBlockSet *set, const CkpxBlockSet *other)
{
	uint32		kept = 0;
	uint32		i;
	uint32		j = 0;

	if (set == other)
	{
		BlockNumber limit_block = set->limit_block;

		ckpx_block_set_reset(set);
		set->limit_block = limit_block;
		return;
	}

	for (i = 0; i < set->nchunks; i++)
	{
		CkpxBlockChunk chunk = set->chunks[i];

		while (j < other->nchunks && other->chunks[j].key < chunk.key)
			j++;
		if (j < other->nchunks && other->chunks[j].key == chunk.key)
			chunk_subtract(&chunk, &other->chunks[j]);

		if (chunk.count == 0)
			chunk_free(&chunk);
		else
			set->chunks[kept++] = chunk;
	}
	set->nchunks = kept;

	/* Allocates, so only now that the list is in order again. */
	for (i = 0; i < kept; i++)
		chunk_shrink(set, &set->chunks[i]);
}

uint64
ckpx_block_set_count(const CkpxBlockSet *set)
{
	uint64		count = 0;
	uint32		i;

	for (i = 0; i < set->nchunks; i++)
		count += set->chunks[i].count;
	return count;
}

Size
ckpx_block_set_memory(const CkpxBlockSet *set)
{
	Size		size = set->maxchunks * sizeof(CkpxBlockChunk);
	uint32		i;

	for (i = 0; i < set->nchunks; i++)
		size += chunk_memory(&set->chunks[i]);
	return size;
}

/*
 * Iteration
 */

void
ckpx_block_set_iterate(CkpxBlockSetIterator *it, const CkpxBlockSet *set,
					   BlockNumber from)
{
	it->set = set;
	it->chunk = find_chunk(set, block_key(from));
	it->position = 0;
	if (chunk_is_at(set, it->chunk, block_key(from)))
	{
		const CkpxBlockChunk *chunk = &set->chunks[it->chunk];

		if (chunk_is_bitmap(chunk))
			it->position = block_low(from);
		else
			it->position = values_lower_bound(chunk->u.values, chunk->count,
											  block_low(from));
	}
}

bool
ckpx_block_set_next(CkpxBlockSetIterator *it, BlockNumber *block)
{
	for (; it->chunk < it->set->nchunks; it->chunk++, it->position = 0)
	{
		const CkpxBlockChunk *chunk = &it->set->chunks[it->chunk];

		if (chunk_is_bitmap(chunk))
		{
			uint32		bit = next_set_bit(chunk->u.words, it->position);

			if (bit < CKPX_CHUNK_BLOCKS)
			{
				it->position = bit + 1;
				*block = chunk_base(chunk) + bit;
				return true;
			}
		}
		else if (it->position < chunk->count)
		{
			*block = chunk_base(chunk) + chunk->u.values[it->position++];
			return true;
		}
	}
	return false;
}

bool
ckpx_block_set_next_range(CkpxBlockSetIterator *it, BlockNumber *start,
						  BlockNumber *end)
{
	const CkpxBlockSet *set = it->set;

	if (!ckpx_block_set_next(it, start))
		return false;
	*end = *start + 1;

	for (;;)
	{
		const CkpxBlockChunk *chunk = &set->chunks[it->chunk];

		if (chunk_is_bitmap(chunk))
		{
			it->position = next_clear_bit(chunk->u.words, it->position);
			*end = chunk_base(chunk) + it->position;
		}
		else
		{
			while (it->position < chunk->count &&
				   chunk_base(chunk) + chunk->u.values[it->position] == *end)
			{
				it->position++;
				(*end)++;
			}
		}

		/* Only a run that ends where the next chunk begins goes on there. */
		if (it->chunk + 1 >= set->nchunks ||
			chunk_base(&set->chunks[it->chunk + 1]) != *end)
			break;
		it->chunk++;
		it->position = 0;
	}
	return true;
}

/*
 * Serialized form: write
 */

/* Choose the container of a chunk; *nruns is set in any case. */
static ContainerKind
choose_container(const CkpxBlockChunk *chunk, uint32 *nruns, Size *size)
{
	ContainerKind kind;

	if (chunk->count <= ARRAY_CONTAINER_MAX)
	{
		kind = CONTAINER_ARRAY;
		*size = chunk->count * sizeof(uint16);
	}
	else
	{
		kind = CONTAINER_BITMAP;
		*size = BITMAP_BYTES;
	}

	*nruns = chunk_count_runs(chunk);
	if (2 + 4 * (Size) *nruns < *size)
	{
		kind = CONTAINER_RUNS;
		*size = 2 + 4 * (Size) *nruns;
	}
	return kind;
}

/* Bytes before the first of 'n' containers. */
static Size
header_size(uint32 n, bool has_runs)
{
	Size		size;

	size = has_runs ? 4 + ((Size) n + 7) / 8 : 8;
	size += (Size) n * 4;
	if (!has_runs || n >= NO_OFFSETS_BELOW)
		size += (Size) n * 4;
	return size;
}

static Size
measure(const CkpxBlockSet *set, bool *has_runs)
{
	Size		bodies = 0;
	uint32		i;

	*has_runs = false;
	for (i = 0; i < set->nchunks; i++)
	{
		uint32		nruns;
		Size		size;

		if (choose_container(&set->chunks[i], &nruns, &size) == CONTAINER_RUNS)
			*has_runs = true;
		bodies += size;
	}
	return header_size(set->nchunks, *has_runs) + bodies;
}

/* Write one container's body. */
static void
write_container(const CkpxBlockChunk *chunk, ContainerKind kind, uint32 nruns,
				char *bytes)
{
	CkpxBlockSet one;
	CkpxBlockSetIterator it;
	BlockNumber block;
	BlockNumber end;
	uint32		i;

	if (kind == CONTAINER_BITMAP)
	{
		Assert(chunk_is_bitmap(chunk));
		for (i = 0; i < BITMAP_WORDS; i++)
			ckpx_put_u64(bytes + i * 8, chunk->u.words[i]);
		return;
	}

	/* A set of this chunk alone, to use the iterator. */
	ckpx_block_set_init(&one, CKPX_CURRENT_MEMORY);
	one.chunks = unconstify(CkpxBlockChunk *, chunk);
	one.nchunks = 1;
	ckpx_block_set_iterate(&it, &one, 0);

	if (kind == CONTAINER_ARRAY)
	{
		for (; ckpx_block_set_next(&it, &block); bytes += 2)
			ckpx_put_u16(bytes, (uint16) block_low(block));
		return;
	}

	ckpx_put_u16(bytes, (uint16) nruns);
	bytes += 2;
	for (; ckpx_block_set_next_range(&it, &block, &end); bytes += 4)
	{
		ckpx_put_u16(bytes, (uint16) block_low(block));
		ckpx_put_u16(bytes + 2, (uint16) (end - block - 1));
	}
}

Size
ckpx_block_set_serialized_size(const CkpxBlockSet *set)
{
	bool		has_runs;

	return measure(set, &has_runs);
}

Size
ckpx_block_set_serialize(const CkpxBlockSet *set, char *bytes)
{
	uint32		n = set->nchunks;
	bool		has_runs;
	Size		total = measure(set, &has_runs);
	Size		at = header_size(n, has_runs);
	char	   *flags = NULL;
	char	   *keys;
	char	   *offsets = NULL;
	uint32		i;

	if (has_runs)
	{
		ckpx_put_u32(bytes, COOKIE_RUNS | ((n - 1) << 16));
		flags = bytes + 4;
		memset(flags, 0, (n + 7) / 8);
		keys = flags + (n + 7) / 8;
	}
	else
	{
		ckpx_put_u32(bytes, COOKIE_NO_RUNS);
		ckpx_put_u32(bytes + 4, n);
		keys = bytes + 8;
	}
	if (!has_runs || n >= NO_OFFSETS_BELOW)
		offsets = keys + (Size) n * 4;

	for (i = 0; i < n; i++)
	{
		const CkpxBlockChunk *chunk = &set->chunks[i];
		uint32		nruns;
		Size		size;
		ContainerKind kind = choose_container(chunk, &nruns, &size);

		if (kind == CONTAINER_RUNS)
			flags[i / 8] |= (char) (1 << (i % 8));
		ckpx_put_u16(keys + (Size) i * 4, chunk->key);
		ckpx_put_u16(keys + (Size) i * 4 + 2, (uint16) (chunk->count - 1));
		if (offsets != NULL)
			ckpx_put_u32(offsets + (Size) i * 4, (uint32) at);
		write_container(chunk, kind, nruns, bytes + at);
		at += size;
	}

	Assert(at == total);
	return total;
}

/*
 * Serialized form: read
 */

/* What the bytes' header says, all of it checked against their length. */
typedef struct RoaringHeader
{
	uint32		n;				/* containers */
	const char *flags;			/* which have runs, or NULL: none */
	const char *keys;
	const char *offsets;		/* or NULL */
	Size		size;			/* of the header */
} RoaringHeader;

static bool
damaged(const char **problem, const char *text)
{
	*problem = text;
	return false;
}

static bool
read_header(const char *bytes, Size length, RoaringHeader *header,
			const char **problem)
{
	uint32		cookie;
	Size		flag_bytes;

	memset(header, 0, sizeof(RoaringHeader));
	if (length < 8)
		return damaged(problem, "block set is too short");

	cookie = ckpx_get_u32(bytes);
	if (cookie == COOKIE_NO_RUNS)
	{
		header->n = ckpx_get_u32(bytes + 4);
		if (header->n > MAX_CHUNKS)
			return damaged(problem, "block set has too many containers");
	}
	else if ((cookie & 0xffff) == COOKIE_RUNS)
	{
		header->n = (cookie >> 16) + 1;
		header->flags = bytes + 4;
	}
	else
		return damaged(problem, "block set has no valid cookie");

	header->size = header_size(header->n, header->flags != NULL);
	if (header->size > length)
		return damaged(problem, "block set header is truncated");

	if (header->flags != NULL)
	{
		flag_bytes = ((Size) header->n + 7) / 8;
		header->keys = header->flags + flag_bytes;
		if (header->n % 8 != 0 &&
			((uint8) header->flags[flag_bytes - 1] >> (header->n % 8)) != 0)
			return damaged(problem, "block set has flags of no container");
	}
	else
		header->keys = bytes + 8;
	if (header->flags == NULL || header->n >= NO_OFFSETS_BELOW)
		header->offsets = header->keys + (Size) header->n * 4;
	return true;
}

static bool
read_array(CkpxBlockSet *set, uint32 key, const char *body, uint32 count,
		   const char **problem)
{
	uint16		values[ARRAY_CONTAINER_MAX];
	uint32		i;

	for (i = 0; i < count; i++)
	{
		values[i] = ckpx_get_u16(body + i * 2);
		if (i > 0 && values[i] <= values[i - 1])
			return damaged(problem, "block set has values out of order");
	}
	if (key == 0xffff && values[count - 1] == 0xffff)
		return damaged(problem, "block set holds an invalid block number");
	add_values(set, key, values, count);
	return true;
}

static bool
read_bitmap(CkpxBlockSet *set, uint32 key, const char *body, uint32 count,
			const char **problem)
{
	uint64		words[BITMAP_WORDS];
	uint32		i;

	for (i = 0; i < BITMAP_WORDS; i++)
		words[i] = ckpx_get_u64(body + i * 8);
	if (count_bits(words) != count)
		return damaged(problem, "block set has a wrong number of values");
	if (key == 0xffff && bit_is_set(words, 0xffff))
		return damaged(problem, "block set holds an invalid block number");
	add_words(set, key, words, count);
	return true;
}

static bool
read_runs(CkpxBlockSet *set, uint32 key, const char *body, uint32 nruns,
		  uint32 count, const char **problem)
{
	uint64		words[BITMAP_WORDS];
	uint32		total = 0;
	uint32		next = 0;		/* lowest value that may come */
	uint32		i;

	memset(words, 0, sizeof(words));
	for (i = 0; i < nruns; i++)
	{
		uint32		from = ckpx_get_u16(body + i * 4);
		uint32		to = from + ckpx_get_u16(body + i * 4 + 2) + 1;

		if (from < next)
			return damaged(problem, "block set has runs out of order");
		if (to > CKPX_CHUNK_BLOCKS)
			return damaged(problem, "block set has a run that is too long");
		total += set_bits(words, from, to);
		next = to;
	}
	if (total != count)
		return damaged(problem, "block set has a wrong number of values");
	if (key == 0xffff && bit_is_set(words, 0xffff))
		return damaged(problem, "block set holds an invalid block number");
	add_words(set, key, words, count);
	return true;
}

bool
ckpx_block_set_deserialize(CkpxBlockSet *set, const char *bytes, Size length,
						   const char **problem)
{
	RoaringHeader header;
	Size		at;
	uint32		i;

	*problem = NULL;
	if (!read_header(bytes, length, &header, problem))
		return false;

	at = header.size;
	for (i = 0; i < header.n; i++)
	{
		uint32		key = ckpx_get_u16(header.keys + (Size) i * 4);
		uint32		count = ckpx_get_u16(header.keys + (Size) i * 4 + 2) + 1;
		Size		left = length - at;

		if (i > 0 && key <= ckpx_get_u16(header.keys + (Size) (i - 1) * 4))
			return damaged(problem, "block set has containers out of order");
		if (header.offsets != NULL &&
			ckpx_get_u32(header.offsets + (Size) i * 4) != at)
			return damaged(problem, "block set has a wrong container offset");

		if (header.flags != NULL &&
			((uint8) header.flags[i / 8] >> (i % 8)) & 1)
		{
			uint32		nruns;

			if (left < 2)
				return damaged(problem, "block set is truncated");
			nruns = ckpx_get_u16(bytes + at);
			if ((left - 2) / 4 < nruns)
				return damaged(problem, "block set is truncated");
			if (!read_runs(set, key, bytes + at + 2, nruns, count, problem))
				return false;
			at += 2 + (Size) nruns * 4;
		}
		else if (count <= ARRAY_CONTAINER_MAX)
		{
			if (left / 2 < count)
				return damaged(problem, "block set is truncated");
			if (!read_array(set, key, bytes + at, count, problem))
				return false;
			at += (Size) count * 2;
		}
		else
		{
			if (left < BITMAP_BYTES)
				return damaged(problem, "block set is truncated");
			if (!read_bitmap(set, key, bytes + at, count, problem))
				return false;
			at += BITMAP_BYTES;
		}
	}

	if (at != length)
		return damaged(problem, "block set is followed by other bytes");
	return true;
}
