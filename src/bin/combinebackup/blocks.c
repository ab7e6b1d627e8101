/*-------------------------------------------------------------------------
 *
 * blocks.c
 *		Which source each block of a file comes from.
 *
 * The bits are made with the first block that is written, so that a file
 * without a change takes no memory beyond its entry.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/combinebackup/blocks.h"

static bool
is_written(const Blocks *blocks, BlockNumber block)
{
	return blocks->written != NULL &&
		(blocks->written[block / 8] & (1 << block % 8)) != 0;
}

/*
 * Begin with a source.
 */
void
blocks_begin_source(Blocks *blocks, const Increment *source)
{
	if (blocks->started)
		return;
	blocks->started = true;

	/* A file may have grown while its blocks were listed. */
	blocks->length = source->truncation_length;
	if (source->nblocks > 0)
		blocks->length = Max(blocks->length,
							 source->blocks[source->nblocks - 1] + 1);
	blocks->limit = blocks->length;
}

/*
 * Decide about a block of the source that was begun.
 */
bool
blocks_take(Blocks *blocks, BlockNumber block)
{
	if (block >= blocks->limit || is_written(blocks, block))
		return false;
	if (blocks->written == NULL)
		blocks->written = pg_malloc0(blocks->length / 8 + 1);
	blocks->written[block / 8] |= 1 << block % 8;
	blocks->nwritten++;
	return true;
}

/*
 * All older sources are without what this one has cut off.
 */
void
blocks_end_source(Blocks *blocks, const Increment *source)
{
	blocks->limit = Min(blocks->limit, source->truncation_length);
}

static BlockSource
source_of(const Blocks *blocks, BlockNumber block, BlockNumber base_length)
{
	if (is_written(blocks, block))
		return BLOCK_WRITTEN;
	return block < Min(blocks->limit, base_length) ? BLOCK_BASE : BLOCK_ZERO;
}

/*
 * The source of a block and of those behind it.
 */
BlockSource
blocks_source(const Blocks *blocks, BlockNumber block,
			  BlockNumber base_length, BlockNumber *end)
{
	BlockSource source = source_of(blocks, block, base_length);
	BlockNumber stop = Min(*end, blocks->length);

	Assert(block < stop);
	*end = block + 1;
	while (*end < stop && source_of(blocks, *end, base_length) == source)
		(*end)++;
	return source;
}

/*
 * Is the result the whole file as it is?
 */
bool
blocks_equal_base(const Blocks *blocks, BlockNumber base_length)
{
	return blocks->nwritten == 0 && blocks->length == base_length &&
		blocks->limit >= base_length;
}

/*
 * Give the bits back.
 */
void
blocks_free(Blocks *blocks)
{
	pg_free(blocks->written);
	blocks->written = NULL;
}
