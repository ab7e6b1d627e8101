/*-------------------------------------------------------------------------
 *
 * memory.c
 *		How much memory the map of a large database takes.
 *
 *	memory DATABASE-MB RELATION-MB PERMILLE
 *
 * A database of that size, in relations of one size, of which so many in a
 * thousand blocks change at random places.  Prints the distinct blocks, what
 * malloc() has handed out for the map, the size of the byte form, and the
 * growth of the process's peak resident size, all sizes in MB; and the time
 * for each block, in nanoseconds.
 *
 *-------------------------------------------------------------------------
 */
#include "core/map/dirty_tree.h"

#include <malloc.h>
#include <time.h>

#include "bench.h"

static uint64 random_state = UINT64CONST(0x9E3779B97F4A7C15);

/* xorshift64*: the same numbers in every run. */
static uint64
next_random(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * UINT64CONST(0x2545F4914F6CDD1D);
}

static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

int
main(int argc, char **argv)
{
	uint64		blocks_per_mb = 1024 * 1024 / BLCKSZ;
	uint64		relation_blocks;
	uint64		nblocks;
	uint64		nchanges;
	CkpxDirtyTree *tree;
	CkpxRelation **sorted;
	uint32		nrelations;
	uint64		distinct = 0;
	uint64		encoded = 0;
	Size		allocated;
	double		peak_before;
	double		peak;
	double		started;
	double		took;

	if (argc != 4)
	{
		fprintf(stderr, "usage: memory DATABASE-MB RELATION-MB PERMILLE\n");
		return 2;
	}
	nblocks = strtoull(argv[1], NULL, 10) * blocks_per_mb;
	relation_blocks = strtoull(argv[2], NULL, 10) * blocks_per_mb;
	nchanges = nblocks / 1000 * strtoull(argv[3], NULL, 10);
	if (nblocks == 0 || relation_blocks == 0)
		return 2;

	peak_before = peak_mb();
	allocated = mallinfo2().uordblks;
	started = seconds();
	tree = ckpx_dirty_tree_create(CKPX_CURRENT_MEMORY);
	for (uint64 i = 0; i < nchanges; i++)
	{
		uint64		block = next_random() % nblocks;
		CkpxRelKey	key = {1663, 5, 0, MAIN_FORKNUM};

		key.relation = 16384 + (Oid) (block / relation_blocks);
		(void) ckpx_dirty_tree_mark(tree, &key,
									(BlockNumber) (block % relation_blocks));
	}
	took = seconds() - started;
	peak = peak_mb() - peak_before;
	allocated = mallinfo2().uordblks - allocated;

	sorted = ckpx_dirty_tree_sorted(tree, &nrelations);
	for (uint32 i = 0; i < nrelations; i++)
	{
		distinct += ckpx_block_set_count(&sorted[i]->blocks);
		encoded += ckpx_relation_encoded_size(sorted[i]);
	}

	printf("%llu %.1f %.1f %.1f %.0f\n",
		   (unsigned long long) distinct, allocated / 1048576.0,
		   encoded / 1048576.0, peak, took * 1e9 / nchanges);
	return 0;
}
