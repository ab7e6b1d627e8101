/*-------------------------------------------------------------------------
 *
 * block_set_internal.h
 *		What the set of blocks and its serialized form share: chunks.
 *
 * The idea: a chunk covers the 65536 blocks that share their high 16 bits.
 * It is a sorted array of the low 16 bits up to MAX_VALUES of them, then a
 * bitmap of 8 kB.  The array keeps a sparse set small (a table of 512 MB with
 * a hundred changed blocks takes a few hundred bytes), the bitmap makes
 * adding to a busy chunk one test of a bit.  The limit is a quarter of where
 * the serialized form changes over, because moving the tail of a long array
 * for each insert costs more than the memory is worth.
 *
 *	block_set.c			the set in memory
 *	block_set_roaring.c	the serialized form
 *	block_set_coded.c	what the packed form has in place of arrays
 *
 * Only these include this header, and test/unit.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BLOCK_SET_INTERNAL_H
#define CKPX_BLOCK_SET_INTERNAL_H

#include "core/map/block_set.h"
#include "port/pg_bitutils.h"

/* In memory: longest array, and when a shrinking bitmap becomes one again. */
#define FIRST_VALUES		8
#define MAX_VALUES			1024
#define SHRINK_VALUES		(MAX_VALUES / 2)

#define BITMAP_WORDS		(CKPX_CHUNK_BLOCKS / 64)
#define BITMAP_BYTES		(CKPX_CHUNK_BLOCKS / 8)

#define MAX_CHUNKS			65536

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
static inline uint32
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

/* block_set.c: set the bits [from, to), and return how many were not set. */
extern uint32 ckpx_bits_set(uint64 *words, uint32 from, uint32 to);
extern uint32 ckpx_bits_count(const uint64 *words);
extern uint32 ckpx_bits_to_values(const uint64 *words, uint16 *values);

/*
 * block_set.c: add to the chunk with this key, which is made if need be:
 * ascending distinct values, or a whole bitmap that is not empty.
 */
extern void ckpx_chunk_add_values(CkpxBlockSet *set, uint32 key,
								  const uint16 *values, uint32 n);
extern void ckpx_chunk_add_words(CkpxBlockSet *set, uint32 key,
								 const uint64 *words, uint32 n);

/*
 * block_set_coded.c: 'n' ascending distinct values as codes of their gaps.
 * From CKPX_CODED_MIN on these are shorter than two bytes for each value, and
 * _encode, which returns their length, writes no more than that.  _decode
 * reads within 'length' bytes and returns how many they took, or 0 where they
 * are no code of 'n' values.
 */
#define CKPX_CODED_MIN			16

extern Size ckpx_values_encode(const uint16 *values, uint32 n, char *bytes);
extern Size ckpx_values_decode(const char *bytes, Size length, uint32 n,
							   uint16 *values);

#endif							/* CKPX_BLOCK_SET_INTERNAL_H */
