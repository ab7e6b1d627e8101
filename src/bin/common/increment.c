/*-------------------------------------------------------------------------
 *
 * increment.c
 *		The file INCREMENTAL.<name>: some blocks of a relation's segment.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/common/increment.h"

/* Magic, number of blocks, truncation length. */
#define FIXED_LENGTH	(3 * sizeof(uint32))

/* Bytes before the first block. */
size_t
increment_header_length(uint32 nblocks)
{
	size_t		length = FIXED_LENGTH + nblocks * sizeof(BlockNumber);

	if (nblocks > 0)
		length = TYPEALIGN(BLCKSZ, length);
	return length;
}

/* Bytes of the whole file. */
uint64
increment_file_length(uint32 nblocks)
{
	return increment_header_length(nblocks) + (uint64) nblocks * BLCKSZ;
}

/* Fill 'header', of increment_header_length() bytes. */
void
increment_encode(const Increment *increment, char *header)
{
	uint32		fixed[3] = {
		INCREMENT_MAGIC, increment->nblocks, increment->truncation_length
	};
	size_t		blocks = increment->nblocks * sizeof(BlockNumber);

	memset(header, 0, increment_header_length(increment->nblocks));
	memcpy(header, fixed, FIXED_LENGTH);
	if (blocks > 0)
		memcpy(header + FIXED_LENGTH, increment->blocks, blocks);
}

static bool
damaged(const char **problem, const char *text)
{
	*problem = text;
	return false;
}

/*
 * Copy the block numbers and check them.
 */
static bool
decode_blocks(Increment *increment, const char *bytes, const char **problem)
{
	size_t		length = increment->nblocks * sizeof(BlockNumber);
	BlockNumber *blocks;

	if (length == 0)
		return true;
	blocks = increment->blocks = pg_malloc(length);
	memcpy(blocks, bytes, length);
	for (uint32 i = 0; i < increment->nblocks; i++)
	{
		if (blocks[i] >= RELSEG_SIZE)
			return damaged(problem, "block number is out of the segment");
		if (i > 0 && blocks[i] <= blocks[i - 1])
			return damaged(problem, "block numbers do not ascend");
	}
	return true;
}

/*
 * Take a header apart.
 */
bool
increment_decode(Increment *increment, const char *bytes, size_t length,
				 uint64 file_length, size_t *needed, const char **problem)
{
	uint32		fixed[3];

	memset(increment, 0, sizeof(*increment));
	*problem = NULL;
	if (file_length < FIXED_LENGTH)
		return damaged(problem, "file is too short for an incremental file");
	*needed = FIXED_LENGTH;
	if (length < *needed)
		return false;
	memcpy(fixed, bytes, FIXED_LENGTH);
	if (fixed[0] != INCREMENT_MAGIC)
		return damaged(problem, "wrong magic number of an incremental file");
	if (fixed[1] > RELSEG_SIZE)
		return damaged(problem, "number of blocks is larger than a segment");
	if (fixed[2] > RELSEG_SIZE)
		return damaged(problem, "truncation length is larger than a segment");
	if (file_length != increment_file_length(fixed[1]))
		return damaged(problem,
					   "length of file does not agree with number of blocks");

	*needed = increment_header_length(fixed[1]);
	if (length < *needed)
		return false;
	increment->nblocks = fixed[1];
	increment->truncation_length = fixed[2];
	if (!decode_blocks(increment, bytes + FIXED_LENGTH, problem))
	{
		increment_free(increment);
		return false;
	}
	return true;
}

void
increment_free(Increment *increment)
{
	pg_free(increment->blocks);
	memset(increment, 0, sizeof(*increment));
}
