/*-------------------------------------------------------------------------
 *
 * merge.c
 *		Incrementals merged into a global, as the checkpointer does it.
 *
 *	merge make FOLDER COUNT DATABASE-MB RELATION-MB BLOCKS
 *	merge run FOLDER COUNT
 *	merge size FOLDER RELATIONS RELATION-BLOCKS BLOCKS
 *
 * 'make' writes the objects of COUNT incrementals, ten minutes apart, of a
 * database of that size in relations of one size.  Each names so many blocks
 * at random places; with 0 for BLOCKS every block of the database (but a few
 * at its end) is named by exactly one of them.
 *
 * 'run' merges them the way server/jobs/global_merge.c does: all files open, one
 * section of each in memory, the relations in the order of their keys.  Prints
 *
 *	blocks		listed in the inputs
 *	distinct	of these, as the global has them: those listed in it
 *	seconds		of processor time
 *	peak		growth of the peak resident size, in MB
 *	bytes		of the global
 *	union		bytes of an object with the union of all in one layer
 *	plain		bytes of the unions as Roaring bitmaps, not compressed
 *	records		in the global, one for each layer of a relation
 *	layers
 *
 * 'size' writes one incremental with so many blocks at random places in each
 * of its relations.  Prints
 *
 *	blocks		listed in it
 *	bytes		of the object
 *	plain		of its block sets as Roaring bitmaps, not compressed
 *	summary		of the same as a WAL summary file of PostgreSQL 17
 *
 *-------------------------------------------------------------------------
 */
#include "core/map/layers.h"
#include "core/format/object_format.h"
#include "core/format/wal_summary.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench.h"

#define FIRST_RELATION		16384
#define RANGE_BYTES			UINT64CONST(0x1000000)
#define RANGE_USECS			(INT64CONST(600) * 1000000)
#define INTERVAL_USECS		(INT64CONST(3600) * 1000000)

typedef struct Input
{
	int			fd;
	CkpxObjectReader *reader;
	bool		more;
	CkpxRelKey	key;
} Input;

typedef struct Output
{
	FILE	   *file;
	CkpxObjectWriter *writer;
} Output;

static const CkpxObjectOptions options = {10000, 64 * 1024, CKPX_COMPRESSION_ZSTD};

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

/* A number that belongs to 'value' for good. */
static uint64
mix(uint64 value)
{
	value = (value ^ (value >> 30)) * UINT64CONST(0xBF58476D1CE4E5B9);
	value = (value ^ (value >> 27)) * UINT64CONST(0x94D049BB133111EB);
	return value ^ (value >> 31);
}

static double
cpu_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
		(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void
write_bytes(void *arg, const char *bytes, Size length)
{
	if (fwrite(bytes, 1, length, (FILE *) arg) != length)
		die("write", strerror(errno));
}

static bool
read_bytes(void *arg, uint64 offset, char *bytes, Size length)
{
	return pread(*(int *) arg, bytes, length, (off_t) offset) == (ssize_t) length;
}

/* Incremental 'first' to 'last', numbered from 0. */
static void
describe(CkpxObjectHeader *header, CkpxEntryKind kind, uint32 first,
		 uint32 last)
{
	memset(header, 0, sizeof(CkpxObjectHeader));
	header->version = CKPX_OBJECT_VERSION;
	header->kind = kind;
	header->range.epoch = 1;
	header->range.timeline = 1;
	header->range.start_lsn = (first + 1) * RANGE_BYTES;
	header->range.end_lsn = (last + 2) * RANGE_BYTES;
	header->range.created_at = (last + 1) * RANGE_USECS;
}

static void
begin_output(Output *output, const char *path, const CkpxObjectHeader *header)
{
	output->file = fopen(path, "wb");
	if (output->file == NULL)
		die(path, strerror(errno));
	output->writer = ckpx_object_begin(CKPX_CURRENT_MEMORY, header, &options,
									   write_bytes, output->file);
}

static uint64
end_output(Output *output)
{
	CkpxObjectTotals totals = {0};
	uint64		size;

	totals.last_part = true;
	ckpx_object_end(output->writer, &totals);
	size = (uint64) ftell(output->file);
	if (fclose(output->file) != 0)
		die("close", strerror(errno));
	return size;
}

static void
make(const char *folder, uint32 count, uint64 nblocks, uint64 relation_blocks,
	 uint64 nchanges)
{
	for (uint32 i = 0; i < count; i++)
	{
		CkpxDirtyTree *tree = ckpx_dirty_tree_create(CKPX_CURRENT_MEMORY);
		CkpxRelation **sorted;
		CkpxObjectHeader header;
		Output		output;
		char		path[MAXPGPATH];
		uint32		nrelations;

		for (uint64 j = 0; j < (nchanges > 0 ? nchanges : nblocks / count); j++)
		{
			uint64		block = next_random() % nblocks;
			CkpxRelKey	key = {1663, 5, 0, MAIN_FORKNUM};

			/* All: of so many neighbours each is somebody else's. */
			if (nchanges == 0)
				block = j * count + (mix(j) + i) % count;
			key.relation = FIRST_RELATION + (Oid) (block / relation_blocks);
			(void) ckpx_dirty_tree_mark(tree, &key,
										(BlockNumber) (block % relation_blocks));
		}

		snprintf(path, sizeof(path), "%s/%u", folder, i);
		describe(&header, CKPX_KIND_INCREMENTAL, i, i);
		begin_output(&output, path, &header);
		sorted = ckpx_dirty_tree_sorted(tree, &nrelations);
		for (uint32 j = 0; j < nrelations; j++)
			ckpx_object_add(output.writer, sorted[j], 0);
		(void) end_output(&output);
		pfree(sorted);
		ckpx_dirty_tree_free(tree);
	}
}

static void
advance(Input *input)
{
	input->more = ckpx_object_peek(input->reader, &input->key);
}

/* Open the newest first, as the merge wants them. */
static Input *
open_inputs(const char *folder, uint32 count)
{
	Input	   *inputs = palloc0(sizeof(Input) * count);

	for (uint32 i = 0; i < count; i++)
	{
		char		path[MAXPGPATH];
		const char *problem;
		off_t		size;

		snprintf(path, sizeof(path), "%s/%u", folder, count - 1 - i);
		inputs[i].fd = open(path, O_RDONLY);
		if (inputs[i].fd < 0)
			die(path, strerror(errno));
		size = lseek(inputs[i].fd, 0, SEEK_END);
		inputs[i].reader = ckpx_object_open(CKPX_CURRENT_MEMORY, read_bytes,
											&inputs[i].fd, (uint64) size,
											&problem);
		if (inputs[i].reader == NULL)
			die(path, problem);
		advance(&inputs[i]);
	}
	return inputs;
}

static void
close_inputs(Input *inputs, uint32 count)
{
	for (uint32 i = 0; i < count; i++)
	{
		ckpx_object_close(inputs[i].reader);
		close(inputs[i].fd);
	}
	pfree(inputs);
}

static const CkpxRelKey *
lowest_key(const Input *inputs, uint32 count)
{
	const CkpxRelKey *lowest = NULL;

	for (uint32 i = 0; i < count; i++)
	{
		if (inputs[i].more &&
			(lowest == NULL ||
			 ckpx_rel_key_compare(&inputs[i].key, lowest) < 0))
			lowest = &inputs[i].key;
	}
	return lowest;
}

static void
write_layer(void *arg, const CkpxRelation *relation, uint32 layer)
{
	ckpx_object_add(((Output *) arg)->writer, relation, layer);
}

/*
 * Merge; 'flat': everything in one layer, else as a global is planned.
 * Returns the size of the object; *plain is the sum of its Roaring bitmaps.
 */
static uint64
merge(const char *folder, uint32 count, bool flat, uint64 *nblocks,
	  uint32 *nlayers, uint64 *plain)
{
	Input	   *inputs = open_inputs(folder, count);
	CkpxLayer  *sources = palloc(sizeof(CkpxLayer) * count);
	uint32	   *target = palloc(sizeof(uint32) * count);
	const CkpxRelKey *lowest;
	CkpxObjectReader *reader;
	CkpxRelationView view;
	CkpxObjectHeader header;
	CkpxLayerPlan plan;
	CkpxLayerMerge merge;
	Output		output;
	char		path[MAXPGPATH];
	const char *problem;
	uint64		size;
	int			fd;

	for (uint32 i = 0; i < count; i++)
	{
		const CkpxObjectHeader *input = ckpx_object_header(inputs[i].reader);

		sources[i].end_lsn = input->range.end_lsn;
		sources[i].end_time = input->range.created_at;
	}
	ckpx_layers_plan(&plan, sources, count, 0, INTERVAL_USECS, target);
	if (flat)
	{
		plan.nlayers = 1;
		memset(target, 0, sizeof(uint32) * count);
	}
	describe(&header, CKPX_KIND_GLOBAL, 0, count - 1);
	header.nlayers = plan.nlayers;
	memcpy(header.layers, plan.layers, sizeof(CkpxLayer) * plan.nlayers);
	snprintf(path, sizeof(path), "%s/global", folder);
	begin_output(&output, path, &header);
	ckpx_layer_merge_begin(&merge, CKPX_CURRENT_MEMORY, &plan, target,
						   InvalidXLogRecPtr, write_layer, &output);

	*nblocks = 0;
	while ((lowest = lowest_key(inputs, count)) != NULL)
	{
		CkpxRelKey	key = *lowest;

		for (uint32 i = 0; i < count; i++)
		{
			while (inputs[i].more &&
				   ckpx_rel_key_equal(&inputs[i].key, &key))
			{
				problem = NULL;
				if (!ckpx_object_next(inputs[i].reader, &view, &problem) ||
					!ckpx_layer_merge_add(&merge, &view, i, &problem))
					die("merge", problem);
				*nblocks += view.nblocks;
				advance(&inputs[i]);
			}
		}
	}
	ckpx_layer_merge_finish(&merge);
	size = end_output(&output);
	close_inputs(inputs, count);
	pfree(sources);
	pfree(target);

	*nlayers = plan.nlayers;
	*plain = 0;
	if (!flat)
		return size;			/* what follows is no part of a merge */

	fd = open(path, O_RDONLY);
	if (fd < 0)
		die(path, strerror(errno));
	reader = ckpx_object_open(CKPX_CURRENT_MEMORY, read_bytes, &fd, size,
							  &problem);
	if (reader == NULL)
		die(path, problem);
	while (ckpx_object_next(reader, &view, &problem))
	{
		CkpxRelation relation;

		ckpx_relation_init(&relation, &view.key, CKPX_CURRENT_MEMORY);
		if (!ckpx_relation_merge_view(&relation, &view, &problem))
			break;
		*plain += ckpx_block_set_serialized_size(&relation.blocks);
		ckpx_block_set_reset(&relation.blocks);
	}
	if (problem != NULL)
		die(path, problem);
	ckpx_object_close(reader);
	close(fd);
	return size;
}

/* What the global that was written last consists of. */
static CkpxObjectTotals
totals_of(const char *folder)
{
	char		path[MAXPGPATH];
	const char *problem;
	CkpxObjectReader *reader;
	CkpxObjectTotals totals;
	int			fd;

	snprintf(path, sizeof(path), "%s/global", folder);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		die(path, strerror(errno));
	reader = ckpx_object_open(CKPX_CURRENT_MEMORY, read_bytes, &fd,
							  (uint64) lseek(fd, 0, SEEK_END), &problem);
	if (reader == NULL)
		die(path, problem);
	totals = *ckpx_object_totals(reader);
	ckpx_object_close(reader);
	close(fd);
	return totals;
}

static void
count_bytes(void *arg, const char *bytes, Size length)
{
	*(uint64 *) arg += length;
}

static void
print_sizes(const char *folder, uint32 nrelations, uint32 relation_blocks,
			uint32 nblocks)
{
	CkpxObjectHeader header;
	CkpxWalSummary summary;
	Output		output;
	char		path[MAXPGPATH];
	uint64		plain = 0;
	uint64		summary_bytes = 0;

	snprintf(path, sizeof(path), "%s/size", folder);
	describe(&header, CKPX_KIND_INCREMENTAL, 0, 0);
	begin_output(&output, path, &header);
	ckpx_wal_summary_begin(&summary, count_bytes, &summary_bytes);
	for (uint32 i = 0; i < nrelations; i++)
	{
		CkpxRelKey	key = {1663, 5, FIRST_RELATION + i, MAIN_FORKNUM};
		CkpxRelation relation;

		ckpx_relation_init(&relation, &key, CKPX_CURRENT_MEMORY);
		for (uint32 n = 0; n < nblocks;)
		{
			BlockNumber block = n;

			if (nblocks < relation_blocks)
				block = (BlockNumber) (next_random() % relation_blocks);
			n += ckpx_block_set_add(&relation.blocks, block);
		}
		ckpx_object_add(output.writer, &relation, 0);
		ckpx_wal_summary_add(&summary, &relation);
		plain += ckpx_block_set_serialized_size(&relation.blocks);
		ckpx_block_set_reset(&relation.blocks);
	}
	ckpx_wal_summary_end(&summary);
	printf("%llu %llu %llu %llu\n",
		   (unsigned long long) nrelations * nblocks,
		   (unsigned long long) end_output(&output),
		   (unsigned long long) plain, (unsigned long long) summary_bytes);
}

int
main(int argc, char **argv)
{
	uint64		blocks_per_mb = 1024 * 1024 / BLCKSZ;

	if (argc == 7 && strcmp(argv[1], "make") == 0)
	{
		make(argv[2], (uint32) strtoul(argv[3], NULL, 10),
			 strtoull(argv[4], NULL, 10) * blocks_per_mb,
			 strtoull(argv[5], NULL, 10) * blocks_per_mb,
			 strtoull(argv[6], NULL, 10));
		return 0;
	}
	if (argc == 4 && strcmp(argv[1], "run") == 0)
	{
		uint32		count = (uint32) strtoul(argv[3], NULL, 10);
		double		peak_before = peak_mb();
		double		started = cpu_seconds();
		double		took;
		double		peak;
		uint64		nblocks;
		uint64		bytes;
		uint64		flat_bytes;
		uint64		plain;
		uint32		nlayers;
		uint32		one;
		CkpxObjectTotals totals;
		CkpxObjectTotals flat;

		bytes = merge(argv[2], count, false, &nblocks, &nlayers, &plain);
		took = cpu_seconds() - started;
		peak = peak_mb() - peak_before;
		totals = totals_of(argv[2]);
		flat_bytes = merge(argv[2], count, true, &nblocks, &one, &plain);
		flat = totals_of(argv[2]);

		/* Each block is in one layer only. */
		if (totals.nblocks != flat.nblocks)
			die("run", "layers and union list different numbers of blocks");
		printf("%llu %llu %.2f %.1f %llu %llu %llu %u %u\n",
			   (unsigned long long) nblocks,
			   (unsigned long long) totals.nblocks, took, peak,
			   (unsigned long long) bytes, (unsigned long long) flat_bytes,
			   (unsigned long long) plain, totals.nrelations, nlayers);
		return 0;
	}
	if (argc == 6 && strcmp(argv[1], "size") == 0)
	{
		print_sizes(argv[2], (uint32) strtoul(argv[3], NULL, 10),
					(uint32) strtoul(argv[4], NULL, 10),
					(uint32) strtoul(argv[5], NULL, 10));
		return 0;
	}
	fprintf(stderr, "usage: merge make FOLDER COUNT DATABASE-MB RELATION-MB BLOCKS\n"
			"       merge run FOLDER COUNT\n"
			"       merge size FOLDER RELATIONS RELATION-BLOCKS BLOCKS\n");
	return 2;
}
