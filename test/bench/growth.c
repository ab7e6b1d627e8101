/*-------------------------------------------------------------------------
 *
 * growth.c
 *		What grows with a history, with relations, with changed blocks.
 *
 *	growth entries COUNT
 *	growth relations COUNT FOLDER
 *	growth blocks GIGABYTES FOLDER
 *
 * Each prints lines of a measure's name and its value.  Times are processor
 * time in ms, the shortest of a few runs; memory is the growth of the
 * process's peak resident size in MB.
 *
 * 'entries': a history of COUNT incrementals in one epoch, after it has been
 * looked at once.  What is done with all entries, and the longest that each of
 * the functions takes that the server calls under one hold of its lock.
 *
 * 'relations': COUNT relations with ten changed blocks each.  'blocks': a
 * database of so many GB in relations of 1 GB of which a thousandth of the
 * blocks changed, at random places.  The map is gathered as from WAL, made the byte
 * form of a logtail segment, written as an object; two objects are merged into
 * a global; an object answers for one relation, and for all.
 *
 *-------------------------------------------------------------------------
 */
#include "core/format/manifest.h"
#include "core/format/names.h"
#include "core/format/object_parts.h"
#include "core/format/range_map.h"
#include "core/history/entry_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define FIRST_RELATION		16384
#define RANGE_BYTES			UINT64CONST(0x1000000)
#define RELATION_BLOCKS		(1024 * (1024 * 1024 / BLCKSZ))
#define INTERVAL_USECS		(INT64CONST(3600) * 1000000)

/* As many entries as the server copies under one hold of the lock. */
#define TURN				1000

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
cpu_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

static void
print(const char *measure, double value)
{
	printf("%s\t%.6g\n", measure, value);
}

/*-------------------------------------------------------------------------
 * A history
 *-------------------------------------------------------------------------
 */

static CkpxEntryStore *store;
static CkpxManifest manifest;
static StringInfoData written;
static uint32 *chosen;
static CkpxEntrySpan *spans;
static CkpxGcEntry *candidates;
static uint64 sink;

static void
make_entry(CkpxEntry *entry, uint32 number)
{
	memset(entry, 0, sizeof(CkpxEntry));
	entry->kind = CKPX_KIND_INCREMENTAL;
	entry->state = CKPX_ENTRY_FINISHED;
	entry->range.epoch = 1;
	entry->range.timeline = 1;
	entry->range.start_lsn = (number + 1) * RANGE_BYTES;
	entry->range.end_lsn = (number + 2) * RANGE_BYTES;
	entry->range.last_record.start = entry->range.end_lsn - 100;
	entry->range.last_record.length = 56;
	entry->range.last_record.crc = (uint32) next_random();
	entry->range.last_record.run_start = entry->range.end_lsn - 5000;
	entry->range.last_record.run_hash = (uint32) next_random();
	entry->range.last_change_lsn = entry->range.end_lsn - 100;
	entry->range.nxacts = next_random() % 100000;
	entry->range.wal_bytes = RANGE_BYTES;
	entry->range.created_at = INT64CONST(800000000000000) +
		number * INT64CONST(60000000);
	entry->range.clock_ms = 1;
	entry->version = CKPX_OBJECT_VERSION;
	entry->nrelations = next_random() % 10000;
	entry->nblocks = next_random() % 1000000;
	entry->nparts = 1;
	entry->size_bytes = next_random() % 10000000;
	entry->finished_at = entry->range.created_at + 12345678;
	entry->pending_ms = 12345;
	entry->write_ms = 234;
}

static void
make_history(uint32 count)
{
	store = palloc(ckpx_entry_store_size(count + 1));
	ckpx_entry_store_init(store, count + 1);
	store->epoch = 1;
	store->timeline = 1;
	store->epoch_start = RANGE_BYTES;
	for (uint32 i = 0; i < count; i++)
	{
		CkpxEntry	entry;

		make_entry(&entry, i);
		if (ckpx_entry_store_load(store, &entry) != CKPX_STORE_OK)
			die("make", "entry not taken");
	}
	manifest.version = CKPX_MANIFEST_VERSION;
	manifest.sequence = 1;
	manifest.epoch = 1;
	manifest.timeline = 1;
	manifest.epoch_start = RANGE_BYTES;
	chosen = palloc0(sizeof(uint32) * (count + 1));
	spans = palloc0(sizeof(CkpxEntrySpan) * (count + 1));
	candidates = palloc0(sizeof(CkpxGcEntry) * (count + 1));
}

static void
count_bytes(void *arg, const char *bytes, Size length)
{
	sink += length;
}

static void
keep_bytes(void *arg, const char *bytes, Size length)
{
	appendBinaryStringInfo(&written, bytes, (int) length);
}

/* As server/store/publish.c: turns of entries are copied, then written. */
static void
write_manifest(CkpxManifestWrite write)
{
	CkpxManifestWriter *writer = ckpx_manifest_begin(&manifest, write, NULL);
	CkpxEntry  *turn = palloc(sizeof(CkpxEntry) * TURN);

	for (uint32 i = 0; i < store->nentries;)
	{
		uint32		n = 0;

		while (n < TURN && i < store->nentries)
			memcpy(&turn[n++], ckpx_entry_store_at(store, i++),
				   offsetof(CkpxEntry, cancelled));
		ckpx_manifest_add(writer, turn, n);
	}
	ckpx_manifest_end(writer);
	pfree(turn);
}

static void
publish(void)
{
	write_manifest(count_bytes);
}

/* As a start does: the manifest is read, its entries go into the store. */
static void
boot(void)
{
	CkpxManifest read;
	const char *problem;

	if (!ckpx_manifest_decode(&read, written.data, written.len, &problem))
		die("boot", problem);
	store->nentries = 0;
	for (uint32 i = 0; i < read.nentries; i++)
		(void) ckpx_entry_store_load(store, &read.entries[i]);
	if (store->nentries != read.nentries)
		die("boot", "entries are lost");
	ckpx_manifest_free(&read);
}

/* Everything but the newest tenth may go. */
static void
plan(void)
{
	CkpxGcHistory history = {0};
	CkpxGcRules rules = {0};
	uint32		n = 0;

	for (uint32 i = 0; i < store->nentries; i++)
		ckpx_gc_describe(&candidates[n++], ckpx_entry_store_at(store, i));
	candidates[n - n / 10 - 1].span.kind = CKPX_KIND_GLOBAL;
	candidates[n - n / 10 - 1].span.start_lsn = RANGE_BYTES;
	history.head = store;
	history.stretch = RANGE_BYTES;
	history.checkpointed = ckpx_entry_store_checkpointed(store);
	rules.now_ms = 1000000;
	(void) ckpx_gc_plan(candidates, n, &history, &rules);
}

/* Choose all; what was chosen is copied in turns. */
static void
collect(void)
{
	CkpxCollectResult result;

	ckpx_entry_store_collect(store, RANGE_BYTES, PG_UINT64_MAX, false, chosen,
							 &result);
	if (result.nchosen != store->nentries)
		die("collect", "not all entries answer");
}

static void
copy_all(void)
{
	for (uint32 i = 0; i < store->nentries; i++)
		spans[i] = ckpx_entry_store_span(store, i);
}

static void
collect_last(void)
{
	CkpxCollectResult result;

	ckpx_entry_store_collect(store, (store->nentries - 8) * RANGE_BYTES,
							 PG_UINT64_MAX, false, chosen, &result);
	sink += result.nchosen;
}

/* The names that ckpx_collect_range() returns. */
static void
name_objects(void)
{
	char		name[CKPX_NAME_MAX];

	for (uint32 i = 0; i < store->nentries; i++)
	{
		ckpx_object_name(name, (CkpxEntryKind) spans[i].kind, spans[i].epoch,
						 spans[i].timeline, spans[i].start_lsn,
						 spans[i].end_lsn, 0);
		sink += name[10];
	}
}

static void
oldest(void)
{
	sink += ckpx_entry_store_oldest(store);
	sink += ckpx_entry_store_low_water_mark(store);
}

static void
newest_global(void)
{
	sink += ckpx_entry_store_newest(store, CKPX_KIND_GLOBAL, true) != NULL;
}

static void
uncovered(void)
{
	sink += ckpx_entry_store_uncovered(store);
}

static void
copy_turn(void)
{
	static CkpxEntry turn[TURN];

	for (uint32 i = 0; i < TURN && i < store->nentries; i++)
		turn[i] = *ckpx_entry_store_at(store, i);
	sink += turn[0].nblocks;
}

/* A new entry at the end, and the oldest tenth removed and put back. */
static void
insert(void)
{
	CkpxEntry	entry;

	make_entry(&entry, store->nentries);
	if (ckpx_entry_store_load(store, &entry) != CKPX_STORE_OK ||
		!ckpx_entry_store_remove(store, &entry))
		die("insert", "entry not taken");
}

static void
remove_oldest(void)
{
	uint32		n = Max(store->nentries / 10, 1);

	for (uint32 i = 0; i < n; i++)
		spans[i] = ckpx_entry_store_span(store, i);
	if (ckpx_entry_store_remove_all(store, spans, n) != n)
		die("remove", "entries are not there");
}

/* The shortest of a few runs. */
static double
shortest(void (*work) (void), int runs)
{
	double		best = 1e9;

	for (int i = 0; i < runs; i++)
	{
		double		began = cpu_ms();

		work();
		best = Min(best, cpu_ms() - began);
	}
	return best;
}

static void
measure_entries(uint32 count)
{
	double		before;

	make_history(count);
	before = peak_mb();
	publish();
	print("publish, MB", peak_mb() - before);
	print("publish, ms", shortest(publish, 5));

	sink = 0;
	publish();
	print("manifest, MB", sink / 1e6);
	initStringInfo(&written);
	write_manifest(keep_bytes);
	before = peak_mb();
	boot();
	print("boot, MB", peak_mb() - before);
	print("boot, ms", shortest(boot, 3));
	print("plan of a removal, ms", shortest(plan, 5));

	print("copy the spans of all, ms", shortest(copy_all, 5));
	print("names of all objects, ms", shortest(name_objects, 5));
	print("lock: choose all, ms", shortest(collect, 5));
	print("lock: choose the last ten, ms", shortest(collect_last, 5));
	print("lock: oldest, ms", shortest(oldest, 5));
	print("lock: newest global, ms", shortest(newest_global, 5));
	print("lock: uncovered, ms", shortest(uncovered, 5));
	print("lock: copy a turn, ms", shortest(copy_turn, 5));
	print("lock: insert, ms", shortest(insert, 5));
	print("lock: remove a tenth, ms", shortest(remove_oldest, 1));
}

/*-------------------------------------------------------------------------
 * Maps
 *-------------------------------------------------------------------------
 */

static const CkpxObjectOptions options = {10000, 64 * 1024, CKPX_COMPRESSION_ZSTD};
static char folder[MAXPGPATH];

static void
mark(CkpxDirtyTree *tree, uint64 relation, uint64 block)
{
	CkpxRelKey	key = {1663, 5, 0, MAIN_FORKNUM};

	key.relation = (Oid) (FIRST_RELATION + relation);
	(void) ckpx_dirty_tree_mark(tree, &key, (BlockNumber) block);
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
	return pread(*(int *) arg, bytes, length, (off_t) offset) ==
		(ssize_t) length;
}

static FILE *
create_object(const char *name, CkpxEntryKind kind, const CkpxLayerPlan *layers,
			  uint32 first, uint32 last, CkpxObjectWriter **writer)
{
	CkpxObjectHeader header;
	char		path[MAXPGPATH * 2];
	FILE	   *file;

	memset(&header, 0, sizeof(header));
	header.version = CKPX_OBJECT_VERSION;
	header.kind = kind;
	header.range.epoch = 1;
	header.range.timeline = 1;
	header.range.start_lsn = (first + 1) * RANGE_BYTES;
	header.range.end_lsn = (last + 2) * RANGE_BYTES;
	header.range.created_at = (last + 1) * INTERVAL_USECS;
	if (layers != NULL)
	{
		header.nlayers = layers->nlayers;
		memcpy(header.layers, layers->layers,
			   sizeof(CkpxLayer) * layers->nlayers);
	}
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "wb");
	if (file == NULL)
		die(path, strerror(errno));
	*writer = ckpx_object_begin(CKPX_CURRENT_MEMORY, &header, &options,
								write_bytes, file);
	return file;
}

static void
end_object(FILE *file, CkpxObjectWriter *writer)
{
	CkpxObjectTotals totals = {0};

	totals.last_part = true;
	ckpx_object_end(writer, &totals);
	if (fclose(file) != 0)
		die("close", strerror(errno));
}

static CkpxObjectReader *
open_object(const char *name, int *fd)
{
	char		path[MAXPGPATH * 2];
	const char *problem;
	CkpxObjectReader *reader;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	*fd = open(path, O_RDONLY);
	if (*fd < 0)
		die(path, strerror(errno));
	reader = ckpx_object_open(CKPX_CURRENT_MEMORY, read_bytes, fd,
							  (uint64) lseek(*fd, 0, SEEK_END), &problem);
	if (reader == NULL)
		die(path, problem);
	return reader;
}

/* The byte form of a segment, piece by piece as the logtail takes it. */
static void
encode(CkpxRelation **sorted, uint32 nrelations)
{
	StringInfoData piece;

	initStringInfo(&piece);
	for (uint32 i = 0; i < nrelations; i++)
	{
		ckpx_relation_encode(&piece, sorted[i], 0, false);
		if (piece.len < 1024 * 1024)
			continue;
		sink += piece.len;
		resetStringInfo(&piece);
	}
	sink += piece.len;
	pfree(piece.data);
}

static void
write_incremental(const char *name, uint32 number, CkpxRelation **sorted,
				  uint32 nrelations)
{
	CkpxObjectWriter *writer;
	FILE	   *file = create_object(name, CKPX_KIND_INCREMENTAL, NULL, number,
									 number, &writer);

	for (uint32 i = 0; i < nrelations; i++)
		ckpx_object_add(writer, sorted[i], 0);
	end_object(file, writer);
}

static void
write_layer(void *arg, const CkpxRelation *relation, uint32 layer)
{
	ckpx_object_add((CkpxObjectWriter *) arg, relation, layer);
}

/* As server/jobs/global_merge.c, newest first. */
static void
merge_two(void)
{
	CkpxObjectReader *readers[2];
	int			fds[2];
	CkpxRelKey	keys[2];
	bool		more[2];
	CkpxLayer	sources[2];
	uint32		target[2];
	CkpxLayerPlan layers;
	CkpxLayerMerge merge;
	CkpxObjectWriter *writer;
	FILE	   *file;

	readers[0] = open_object("1", &fds[0]);
	readers[1] = open_object("0", &fds[1]);
	for (int i = 0; i < 2; i++)
	{
		const CkpxObjectHeader *header = ckpx_object_header(readers[i]);

		sources[i].end_lsn = header->range.end_lsn;
		sources[i].end_time = header->range.created_at;
		more[i] = ckpx_object_peek(readers[i], &keys[i]);
	}
	ckpx_layers_plan(&layers, sources, 2, 0, INTERVAL_USECS, target);
	file = create_object("global", CKPX_KIND_GLOBAL, &layers, 0, 1, &writer);
	ckpx_layer_merge_begin(&merge, CKPX_CURRENT_MEMORY, &layers, target,
						   InvalidXLogRecPtr, write_layer, writer);
	while (more[0] || more[1])
	{
		int			low = !more[0] ||
			(more[1] && ckpx_rel_key_compare(&keys[1], &keys[0]) < 0);
		CkpxRelKey	key = keys[low];

		for (int i = 0; i < 2; i++)
		{
			CkpxRelationView view;
			const char *problem = NULL;

			if (!more[i] || !ckpx_rel_key_equal(&keys[i], &key))
				continue;
			if (!ckpx_object_next(readers[i], &view, &problem) ||
				!ckpx_layer_merge_add(&merge, &view, i, &problem))
				die("merge", problem);
			more[i] = ckpx_object_peek(readers[i], &keys[i]);
		}
	}
	ckpx_layer_merge_finish(&merge);
	end_object(file, writer);
	for (int i = 0; i < 2; i++)
	{
		ckpx_object_close(readers[i]);
		close(fds[i]);
	}
}

/* The map of one relation from the global, which is opened for that. */
static void
answer_one(void)
{
	int			fd;
	CkpxObjectReader *reader = open_object("global", &fd);
	CkpxRelKey	key = {1663, 5, FIRST_RELATION, MAIN_FORKNUM};
	CkpxRelation relation;
	const char *problem;
	bool		found = false;

	ckpx_relation_init(&relation, &key, CKPX_CURRENT_MEMORY);
	if (!ckpx_object_find(reader, &key, RANGE_BYTES, &relation, &found,
						  &problem))
		die("answer", problem);
	sink += ckpx_block_set_count(&relation.blocks);
	ckpx_block_set_reset(&relation.blocks);
	ckpx_object_close(reader);
	close(fd);
}

/* That of all, as ranges of blocks. */
static void
answer_all(void)
{
	int			fd;
	CkpxObjectReader *reader = open_object("global", &fd);
	CkpxDirtyTree *tree = ckpx_dirty_tree_create(CKPX_CURRENT_MEMORY);
	CkpxRelationView view;
	CkpxRelation **sorted;
	const char *problem = NULL;
	uint32		nrelations;

	while (ckpx_object_next(reader, &view, &problem))
	{
		if (!ckpx_dirty_tree_prepend_view(tree, &view, &problem))
			break;
	}
	if (problem != NULL)
		die("answer", problem);
	sorted = ckpx_dirty_tree_sorted(tree, &nrelations);
	for (uint32 i = 0; i < nrelations; i++)
	{
		CkpxBlockSetIterator it;
		BlockNumber begin;
		BlockNumber end;

		ckpx_block_set_iterate(&it, &sorted[i]->blocks, 0);
		while (ckpx_block_set_next_range(&it, &begin, &end))
			sink += end - begin;
	}
	pfree(sorted);
	ckpx_dirty_tree_free(tree);
	ckpx_object_close(reader);
	close(fd);
}

/*
 * Two incrementals of 'nchanges' blocks, at random places in so many relations
 * of so many blocks; 0 blocks: the same number in each of small relations.
 */
static void
gather(CkpxDirtyTree *tree, uint64 nrelations, uint64 relation_blocks,
	   uint64 nchanges)
{
	for (uint64 i = 0; i < nchanges; i++)
	{
		if (relation_blocks == 0)
			mark(tree, i % nrelations, next_random() % 1000);
		else
			mark(tree, next_random() % nrelations,
				 next_random() % relation_blocks);
	}
}

static void
measure_map(uint64 nrelations, uint64 relation_blocks, uint64 nchanges)
{
	double		before = peak_mb();
	double		began;
	struct stat st;
	char		path[MAXPGPATH * 2];

	for (int i = 0; i < 2; i++)
	{
		CkpxDirtyTree *tree = ckpx_dirty_tree_create(CKPX_CURRENT_MEMORY);
		CkpxRelation **sorted;
		uint32		n;

		began = cpu_ms();
		gather(tree, nrelations, relation_blocks, nchanges);
		if (i == 0)
			print("gather, ms", cpu_ms() - began);
		began = cpu_ms();
		sorted = ckpx_dirty_tree_sorted(tree, &n);
		encode(sorted, n);
		if (i == 0)
		{
			print("cut, ms", cpu_ms() - began);
			print("map in memory, MB", peak_mb() - before);
		}
		began = cpu_ms();
		write_incremental(i == 0 ? "0" : "1", i, sorted, n);
		if (i == 0)
			print("write an incremental, ms", cpu_ms() - began);
		pfree(sorted);
		ckpx_dirty_tree_free(tree);
	}
	snprintf(path, sizeof(path), "%s/0", folder);
	if (stat(path, &st) != 0)
		die(path, strerror(errno));
	print("incremental, MB", st.st_size / 1e6);
	began = cpu_ms();
	merge_two();
	print("merge, ms", cpu_ms() - began);
	began = cpu_ms();
	answer_one();
	print("answer: one relation, ms", cpu_ms() - began);
	print("answer: all, ms", shortest(answer_all, 1));
}

int
main(int argc, char **argv)
{
	uint64		size = argc >= 3 ? strtoull(argv[2], NULL, 10) : 0;

	if (argc == 3 && strcmp(argv[1], "entries") == 0 && size >= 10)
	{
		measure_entries((uint32) size);
		return 0;
	}
	if (argc == 4 && size > 0)
	{
		strlcpy(folder, argv[3], sizeof(folder));
		if (strcmp(argv[1], "relations") == 0)
		{
			measure_map(size, 0, size * 10);
			return 0;
		}
		if (strcmp(argv[1], "blocks") == 0)
		{
			measure_map(size, RELATION_BLOCKS, size * RELATION_BLOCKS / 1000);
			return 0;
		}
	}
	fprintf(stderr, "usage: growth entries COUNT\n"
			"       growth relations COUNT FOLDER\n"
			"       growth blocks GIGABYTES FOLDER\n");
	return 2;
}
