/*-------------------------------------------------------------------------
 *
 * blocks.h
 *		Which source each block of a file comes from.
 *
 * The sources of a file, increments and one whole file, are read newest
 * first, each once.  A block is taken from the first one that has it, unless
 * a newer source says that the file was shorter in between: the smallest
 * truncation length met so far is a limit, at and beyond which no older
 * source has a block.  What nobody gives is zero.
 *
 * PostgreSQL 17's pg_combinebackup looks only at the newest truncation
 * length; a file that was cut and grew again can then show deleted rows.
 *
 * Pure: knows no file.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BIN_BLOCKS_H
#define CKPX_BIN_BLOCKS_H

#include "postgres_fe.h"

#include "bin/common/increment.h"

typedef enum BlockSource
{
	BLOCK_ZERO,					/* no source has it */
	BLOCK_WRITTEN,				/* came from an increment */
	BLOCK_BASE					/* is to come from the whole file */
} BlockSource;

typedef struct Blocks
{
	bool		started;		/* has the newest source been seen? */
	BlockNumber length;			/* of the result */
	BlockNumber limit;			/* no older source has a block from here on */
	uint32		nwritten;
	uint8	   *written;		/* a bit per block; NULL: none yet */
} Blocks;

/*
 * Begin with a source; the first is the newest and says how long the result
 * is.  Ask blocks_take() about each of its blocks, then call
 * blocks_end_source().
 */
extern void blocks_begin_source(Blocks *blocks, const Increment *source);

/* Is the block of this source to be written?  If so, it counts as written. */
extern bool blocks_take(Blocks *blocks, BlockNumber block);
extern void blocks_end_source(Blocks *blocks, const Increment *source);

/*
 * The source of 'block', where the whole file has 'base_length' blocks.  *end
 * is the block to stop at, and becomes the end of the run of blocks that have
 * the same source.
 */
extern BlockSource blocks_source(const Blocks *blocks, BlockNumber block,
								 BlockNumber base_length, BlockNumber *end);

/* Is the result the whole file as it is? */
extern bool blocks_equal_base(const Blocks *blocks, BlockNumber base_length);
extern void blocks_free(Blocks *blocks);

#endif							/* CKPX_BIN_BLOCKS_H */
