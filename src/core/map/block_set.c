/*-------------------------------------------------------------------------
 *
 * block_set.c
 *		The set of changed blocks of one relation fork, and its limit block.
 *
 * Invariants, after every call:
 *	- chunks are sorted by key, without duplicates, and none is empty;
 *	- 'count' of a chunk is exactly the number of blocks in it;
 *	- values of an array are ascending and distinct;
 *	- a bitmap holds more than SHRINK_VALUES blocks (adding makes one only
 *	  where two parts meet that are more than MAX_VALUES together);
 *	- bit 65535 of chunk 65535 (InvalidBlockNumber) is never set.
 *
 * They also hold if an allocation raises an error in the server: memory is
 * allocated first, and a chunk is entered into the list together with its
 * first block.  What was being added may then be missing, so code that catches
 * such an error must not use the set.
 *
 *-------------------------------------------------------------------------
 */
#include "core/map/block_set_internal.h"

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
uint32
ckpx_bits_set(uint64 *words, uint32 from, uint32 to)
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

uint32
ckpx_bits_count(const uint64 *words)
{
	uint32		count = 0;
	int			i;

	for (i = 0; i < BITMAP_WORDS; i++)
		count += pg_popcount64(words[i]);
	return count;
}

/* Write the set bits in ascending order to 'values', and return how many. */
uint32
ckpx_bits_to_values(const uint64 *words, uint16 *values)
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
	(void) ckpx_bits_to_values(chunk->u.words, values);
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

	/* A chunk that was just made: all that reading a set does. */
	if (i == 0)
	{
		memcpy(values, add, n * sizeof(uint16));
		chunk->count = n;
		return;
	}

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
void
ckpx_chunk_add_values(CkpxBlockSet *set, uint32 key, const uint16 *values,
					  uint32 n)
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
void
ckpx_chunk_add_words(CkpxBlockSet *set, uint32 key, const uint64 *words,
					 uint32 n)
{
	CkpxBlockChunk *chunk = reserve_chunk(set, key, n);
	uint32		i;

	if (!chunk_is_bitmap(chunk))
	{
		uint16		values[MAX_VALUES];

		array_merge(chunk, values, ckpx_bits_to_values(words, values));
		return;
	}
	for (i = 0; i < BITMAP_WORDS; i++)
		chunk->u.words[i] |= words[i];
	chunk->count = ckpx_bits_count(chunk->u.words);
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
			ckpx_chunk_add_words(set, chunk->key, chunk->u.words,
								 chunk->count);
		else
			ckpx_chunk_add_values(set, chunk->key, chunk->u.values,
								  chunk->count);
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
		chunk->count = ckpx_bits_count(chunk->u.words);
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
