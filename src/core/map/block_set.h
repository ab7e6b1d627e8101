/*-------------------------------------------------------------------------
 *
 * block_set.h
 *		The set of changed blocks of one relation fork, and its limit block.
 *
 * The idea: a list of changed blocks is not enough.  When a fork is truncated
 * to n blocks and grows again, the blocks at n and after are new, even those
 * that no record has touched since: they are zero and must not be taken from
 * an older copy.  The limit block says so.  It is the smallest length that
 * the fork had within the range (InvalidBlockNumber: it never shrank), and
 *
 *		changed(b)  :=  b is listed, or b >= limit_block
 *
 * Two sets of adjoining ranges may only be merged in ascending order: the
 * later set's limit first (it forgets the earlier blocks at or after it),
 * then the later set's blocks.  In the wrong order, blocks are lost.
 *
 * Blocks lie in chunks of 65536, each a sorted array of 16-bit offsets while
 * it is small and a bitmap after that, so that adding a block which is there
 * already, or adding to a chunk with thousands, costs a few nanoseconds.
 * The serialized form is the Roaring bitmap "portable" format, so any
 * language's Roaring library reads it; it does not hold the limit block.  The
 * packed form takes about half of it where blocks are scattered.
 *
 * A set is embedded in its owner's struct and owns its chunks.  Nothing here
 * takes a lock or fails, except where bytes from outside are judged.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BLOCK_SET_H
#define CKPX_BLOCK_SET_H

#include "core/types.h"

#define CKPX_CHUNK_BLOCKS		65536

struct CkpxBlockChunk;

typedef struct CkpxBlockSet
{
	BlockNumber limit_block;	/* InvalidBlockNumber: never shrank */
	uint32		nchunks;		/* chunks in use */
	uint32		maxchunks;		/* chunks allocated */
	uint32		last_chunk;		/* index of the chunk that was used last */
	struct CkpxBlockChunk *chunks;	/* sorted by their high 16 bits */
	CkpxMemory	mem;
} CkpxBlockSet;

/* Make 'set' empty, without a limit; it will allocate from 'mem'. */
extern void ckpx_block_set_init(CkpxBlockSet *set, CkpxMemory mem);

/* Free the chunks and make the set empty, without a limit. */
extern void ckpx_block_set_reset(CkpxBlockSet *set);

/*
 * Add a block; true if it was not there.  'block' is a valid block number;
 * InvalidBlockNumber is never stored (false).
 */
extern bool ckpx_block_set_add(CkpxBlockSet *set, BlockNumber block);

/*
 * Lower the limit to 'limit' and forget the blocks at or after it.  A limit
 * higher than the present one changes nothing; an equal one forgets blocks.
 */
extern void ckpx_block_set_set_limit(CkpxBlockSet *set, BlockNumber limit);

/* Is the block listed?  (Listed only: the limit is not looked at.) */
extern bool ckpx_block_set_contains(const CkpxBlockSet *set,
									BlockNumber block);

/* Is the block changed: listed, or at or after the limit? */
extern bool ckpx_block_set_changed(const CkpxBlockSet *set,
								   BlockNumber block);

/*
 * Append a later range's set: its limit first, then its blocks.  What is
 * changed does not depend on how a row of ranges is grouped for merging, only
 * on their order.  Which blocks at or after the limit are listed may differ.
 */
extern void ckpx_block_set_merge(CkpxBlockSet *set, const CkpxBlockSet *later);

/* Add the blocks of 'other', ignoring its limit. */
extern void ckpx_block_set_union(CkpxBlockSet *set, const CkpxBlockSet *other);

/* Remove the blocks of 'other' from the list; limits stay as they are. */
extern void ckpx_block_set_subtract(CkpxBlockSet *set,
									const CkpxBlockSet *other);

/* Count the listed blocks; walks the chunks. */
extern uint64 ckpx_block_set_count(const CkpxBlockSet *set);

/*
 * Visit the listed blocks in ascending order, block by block or as maximal
 * runs [*start, *end) (end may be 2^32 - 1, one past the last block number,
 * so it still fits).  The set must not change meanwhile.
 */
typedef struct CkpxBlockSetIterator
{
	const CkpxBlockSet *set;
	uint32		chunk;			/* index into set->chunks */
	uint32		position;		/* array index, or bit number */
} CkpxBlockSetIterator;

/* Start at the first listed block >= 'from'. */
extern void ckpx_block_set_iterate(CkpxBlockSetIterator *it,
								   const CkpxBlockSet *set, BlockNumber from);
extern bool ckpx_block_set_next(CkpxBlockSetIterator *it, BlockNumber *block);

/* After a run, _next and _next_range go on behind it. */
extern bool ckpx_block_set_next_range(CkpxBlockSetIterator *it,
									  BlockNumber *start, BlockNumber *end);

/*
 * Roaring portable format of the listed blocks (specification: the
 * RoaringFormatSpec repository).  Run containers are written where they are
 * smaller, and read always.
 *
 * _serialize writes exactly _serialized_size bytes and returns that number:
 * at most about 512 MB, for a fork that has changes in all 65536 chunks.
 * _deserialize adds the blocks found in 'bytes' to the set ('length' must be
 * used up exactly); it never reads outside them, accepts only what the format
 * allows (sorted keys, sorted distinct values, honest cardinalities, no block
 * number InvalidBlockNumber), and on damage returns false with *problem set;
 * the set may then hold a part of the blocks and should be reset.
 *
 * _pack writes the packed form, which FORMAT.md describes, and returns its
 * size; 'bytes' has room for the portable form, and the packed one is never
 * longer.  It is the portable form itself where no container has enough
 * values or runs for a code.  _deserialize reads both.
 */
extern Size ckpx_block_set_serialized_size(const CkpxBlockSet *set);
extern Size ckpx_block_set_serialize(const CkpxBlockSet *set, char *bytes);
extern Size ckpx_block_set_pack(const CkpxBlockSet *set, char *bytes);
extern bool ckpx_block_set_deserialize(CkpxBlockSet *set, const char *bytes,
									   Size length, const char **problem);

#endif							/* CKPX_BLOCK_SET_H */
