/*-------------------------------------------------------------------------
 *
 * test_object_format.c
 *		Checkpoint objects: round trips, searches, and every kind of damage.
 *
 *-------------------------------------------------------------------------
 */
#include "core/bytes.h"
#include "core/format/object_format.h"
#include "test_maps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "test_random.h"

#include "port/pg_crc32c.h"

/* Offsets as FORMAT.md has them, on purpose not shared with the code. */
#define HEADER_VERSION		8
#define HEADER_LENGTH		12
#define HEADER_KIND			16
#define HEADER_COMPRESSION	20
#define HEADER_EPOCH		60
#define HEADER_TIMELINE		64
#define HEADER_START		72
#define HEADER_END			80
#define HEADER_NOPEN		196
#define HEADER_NLAYERS		200
#define HEADER_NMARKS		204
#define HEADER_FIXED		208
#define HEADER_FIXED_1		204 /* in version 1, which has no marks */
#define TOC_ENTRY			40
#define TOC_OFFSET			16
#define TOC_STORED			24
#define TOC_RAW				28
#define TOC_NRECORDS		32
#define TOC_CRC				36
#define FOOTER				72
#define FOOTER_NBLOCKS		16
#define FOOTER_NSECTIONS	24
#define FOOTER_NRELATIONS	28
#define FOOTER_UNDURABLE	32
#define FOOTER_FLAGS		36
#define FOOTER_HEADER_CRC	40
#define FOOTER_TOC_CRC		44
#define FOOTER_TOMBSTONES	48
#define FOOTER_RESERVED		56
#define FOOTER_CRC			60

/* A file in memory. */
typedef struct File
{
	char	   *bytes;
	Size		length;
	Size		room;
	Size		largest_write;
	int			reads;
	Size		bytes_read;
} File;

static void
file_write(void *arg, const char *bytes, Size length)
{
	File	   *file = arg;

	if (file->length + length > file->room)
	{
		file->room = (file->length + length) * 2;
		file->bytes = realloc(file->bytes, file->room);
	}
	memcpy(file->bytes + file->length, bytes, length);
	file->length += length;
	file->largest_write = Max(file->largest_write, length);
}

static bool
file_read(void *arg, uint64 offset, char *bytes, Size length)
{
	File	   *file = arg;

	file->reads++;
	file->bytes_read += length;
	if (offset > file->length || length > file->length - offset)
		return false;
	memcpy(bytes, file->bytes + offset, length);
	return true;
}

static uint32
get_u32(const char *at)
{
	const unsigned char *b = (const unsigned char *) at;

	return b[0] | b[1] << 8 | b[2] << 16 | (uint32) b[3] << 24;
}

static void
set_u32(char *at, uint32 value)
{
	for (int i = 0; i < 4; i++)
		at[i] = (char) (value >> (8 * i));
}

static void
set_u64(char *at, uint64 value)
{
	set_u32(at, (uint32) value);
	set_u32(at + 4, (uint32) (value >> 32));
}

static uint32
crc_of(const char *bytes, Size length)
{
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, bytes, length);
	FIN_CRC32C(crc);
	return crc;
}

static char *
footer_of(File *file)
{
	return file->bytes + file->length - FOOTER;
}

static char *
toc_of(File *file)
{
	return file->bytes + get_u32(footer_of(file));
}

/* Make every CRC right again, after an edit of the bytes before it. */
static void
seal(File *file)
{
	char	   *footer = footer_of(file);
	uint32		length = get_u32(file->bytes + HEADER_LENGTH);
	uint32		nsections = get_u32(footer + FOOTER_NSECTIONS);
	uint32		crc;

	if (length >= HEADER_FIXED_1 + 4 && length < file->length)
	{
		crc = crc_of(file->bytes, length - 4);
		set_u32(file->bytes + length - 4, crc);
		set_u32(footer + FOOTER_HEADER_CRC, crc);
	}
	if (get_u32(footer) + (uint64) nsections * TOC_ENTRY + FOOTER ==
		file->length)
	{
		for (uint32 i = 0; i < nsections; i++)
		{
			char	   *entry = toc_of(file) + i * TOC_ENTRY;
			uint32		offset = get_u32(entry + TOC_OFFSET);
			uint32		stored = get_u32(entry + TOC_STORED);

			if (offset + (uint64) stored <= file->length)
				set_u32(entry + TOC_CRC, crc_of(file->bytes + offset, stored));
		}
		set_u32(footer + FOOTER_TOC_CRC,
				crc_of(toc_of(file), nsections * TOC_ENTRY));
	}
	set_u32(footer + FOOTER_CRC, crc_of(footer, FOOTER_CRC));
}

/* Those of the last header that any_header() has made. */
static CkpxMark any_marks[3];

static void
any_header(CkpxObjectHeader *h, uint32 nopen)
{
	memset(h, 0, sizeof(*h));
	h->version = CKPX_OBJECT_VERSION;
	h->kind = (CkpxEntryKind) (CKPX_KIND_INCREMENTAL + next_random() % 4);
	h->identity.system_identifier = next_random();
	h->identity.node_id = next_random();
	h->identity.pg_major = 15;
	h->identity.block_size = BLCKSZ;
	h->identity.segment_blocks = RELSEG_SIZE;
	h->identity.wal_segment_size = (uint32) next_random();
	h->identity.checksum_version = 1;
	h->range.epoch = 1 + (uint32) (next_random() >> 33);
	h->range.timeline = 1 + (uint32) (next_random() >> 33);
	h->range.start_lsn = next_random() >> 2;
	h->range.end_lsn = h->range.start_lsn + 4 + (next_random() >> 3);
	h->range.last_record.start = next_random();
	h->range.last_record.length = (uint32) next_random();
	h->range.last_record.crc = (uint32) next_random();
	h->range.last_record.run_start = next_random();
	h->range.last_record.run_hash = (uint32) next_random();
	h->range.last_change_lsn = next_random();
	h->part = (uint32) next_random();
	h->range.created_at = (int64) next_random();
	h->written_at = (int64) next_random();
	h->range.nxacts = next_random();
	h->range.wal_bytes = next_random();
	for (int i = 0; i < CKPX_RMGR_BITMAP_BYTES; i++)
		h->range.custom_rmgrs[i] = (uint8) next_random();
	if (h->kind == CKPX_KIND_GLOBAL)
	{
		h->nlayers = 1 + next_random() % 3;
		for (uint32 i = 0; i < h->nlayers; i++)
		{
			h->layers[i].end_lsn = h->range.end_lsn - i;
			h->layers[i].end_time = (int64) next_random();
		}
	}
	h->nmarks = next_random() % (lengthof(any_marks) + 1);
	h->marks = any_marks;
	for (uint32 i = 0; i < h->nmarks; i++)
	{
		any_marks[i].lsn = h->range.start_lsn + i;
		any_marks[i].redo = next_random();
		any_marks[i].timeline = (uint32) next_random();
		any_marks[i].crc = (uint32) next_random();
		any_marks[i].time = (int64) next_random();
	}
	h->nopen_xacts = nopen;
	h->open_xacts = palloc0((nopen + 1) * sizeof(CkpxOpenXact));
	for (uint32 i = 0; i < nopen; i++)
	{
		h->open_xacts[i].xid = (uint32) next_random();
		h->open_xacts[i].first_lsn = next_random();
	}
}

static int
by_xid(const void *a, const void *b)
{
	uint32		x = ((const CkpxOpenXact *) a)->xid;
	uint32		y = ((const CkpxOpenXact *) b)->xid;

	return x < y ? -1 : x > y;
}

static void
assert_same_header(const CkpxObjectHeader *in, const CkpxObjectHeader *out)
{
	CkpxObjectHeader a = *in;
	CkpxObjectHeader b = *out;

	if (a.nopen_xacts > 0)
		qsort(a.open_xacts, a.nopen_xacts, sizeof(CkpxOpenXact), by_xid);
	for (uint32 i = 0; i < a.nopen_xacts; i++)
		assert_true(a.open_xacts[i].xid == b.open_xacts[i].xid &&
					a.open_xacts[i].first_lsn == b.open_xacts[i].first_lsn);
	assert_int_equal(a.nmarks, b.nmarks);
	assert_memory_equal(a.marks, b.marks, a.nmarks * sizeof(CkpxMark));
	a.open_xacts = b.open_xacts = NULL;
	a.marks = b.marks = NULL;
	assert_memory_equal(&a, &b, sizeof(a));
}

/*
 * Relation number 'i' of a tree has a key that ascends with it, with gaps;
 * its content follows from random numbers.
 */
static CkpxRelKey
key_number(uint32 i)
{
	CkpxRelKey	key;

	key.tablespace = 1663 + i / 1000;
	key.database = 5 + (i / 100) % 10;
	key.relation = 16384 + (i / 4) % 25;
	key.fork = i % 4;
	return key;
}

static CkpxDirtyTree *
any_tree(uint32 nrelations, uint32 blocks)
{
	CkpxDirtyTree *tree = ckpx_dirty_tree_create(NULL);

	for (uint32 i = 0; i < nrelations; i++)
	{
		CkpxRelKey	key = key_number(i);
		CkpxRelation *rel = ckpx_dirty_tree_get(tree, &key);
		uint32		n = blocks ? (uint32) (next_random() % blocks) : 0;

		if (next_random() % 4 == 0)
			ckpx_block_set_set_limit(&rel->blocks,
									 (BlockNumber) next_random());
		for (uint32 b = 0; b < n; b++)
			ckpx_block_set_add(&rel->blocks,
							   (BlockNumber) (next_random() % 1000000));
		rel->flags = n == 0 && next_random() % 8 == 0 ? CKPX_REL_DROPPED :
			next_random() % 8 == 0 ? CKPX_REL_UNDURABLE | CKPX_REL_CREATED : 0;
		rel->counters.records = next_random();
		rel->counters.wal_bytes = next_random();
		rel->counters.fpi = next_random();
		rel->counters.tuples_inserted = next_random();
		rel->counters.tuples_deleted = next_random();
	}
	return tree;
}

static void
write_object(File *file, const CkpxObjectHeader *header,
			 const CkpxDirtyTree *tree, const CkpxObjectOptions *options,
			 CkpxObjectTotals *totals)
{
	uint32		count;
	CkpxRelation **sorted = ckpx_dirty_tree_sorted(tree, &count);
	CkpxObjectWriter *writer;

	memset(file, 0, sizeof(*file));
	writer = ckpx_object_begin(NULL, header, options, file_write, file);
	for (uint32 i = 0; i < count; i++)
		ckpx_object_add(writer, sorted[i], 0);
	totals->last_part = true;
	totals->tombstones_from = InvalidXLogRecPtr;
	ckpx_object_end(writer, totals);
	assert_true(totals->last_part);
	pfree(sorted);
}

static CkpxObjectReader *
must_open(File *file)
{
	const char *problem = "unset";
	CkpxObjectReader *reader = ckpx_object_open(NULL, file_read, file,
												file->length, &problem);

	if (reader == NULL)
		fail_msg("%s", problem);
	assert_null(problem);
	return reader;
}

/*
 * Read a whole object with all its blocks; NULL, or the first problem.
 */
static const char *
read_problem(File *file)
{
	const char *problem = NULL;
	CkpxRelationView view;
	CkpxObjectReader *reader = ckpx_object_open(NULL, file_read, file,
												file->length, &problem);
	CkpxDirtyTree *tree;

	if (reader == NULL)
	{
		assert_non_null(problem);
		return problem;
	}
	tree = ckpx_dirty_tree_create(NULL);
	while (ckpx_object_next(reader, &view, &problem))
	{
		if (!ckpx_dirty_tree_merge_view(tree, &view, &problem))
			break;
	}
	ckpx_dirty_tree_free(tree);
	ckpx_object_close(reader);
	return problem;
}

static void
expect_problem(File *file, const char *expected)
{
	const char *problem = read_problem(file);

	if (problem == NULL)
		fail_msg("accepted, expected \"%s\"", expected);
	assert_string_equal(problem, expected);
}

static void
assert_same_relation(const CkpxRelation *rel, const CkpxRelationView *view,
					 bool packed)
{
	StringInfoData encoded;
	CkpxRelationView again;
	Size		offset = 0;
	const char *problem;

	initStringInfo(&encoded);
	ckpx_relation_encode(&encoded, rel, 0, packed);
	assert_true(ckpx_relation_view_next(encoded.data, encoded.len, &offset,
										&again, &problem));
	assert_true(ckpx_rel_key_equal(&again.key, &view->key));
	assert_int_equal(again.flags, view->flags);
	assert_int_equal(again.limit_block, view->limit_block);
	assert_memory_equal(&again.counters, &view->counters,
						sizeof(again.counters));
	assert_true(again.nblocks == view->nblocks);
	assert_int_equal(again.roaring_length, view->roaring_length);
	assert_memory_equal(again.roaring, view->roaring, view->roaring_length);
	pfree(encoded.data);
}

/* Compare a whole object with the tree that it was written from. */
static void
assert_object(File *file, const CkpxObjectHeader *header,
			  const CkpxDirtyTree *tree, const CkpxObjectTotals *totals)
{
	CkpxObjectReader *reader = must_open(file);
	uint32		count;
	CkpxRelation **sorted = ckpx_dirty_tree_sorted(tree, &count);
	CkpxRelationView view;
	const char *problem;
	bool		packed = get_u32(file->bytes + HEADER_COMPRESSION) != 0;

	assert_same_header(header, ckpx_object_header(reader));
	assert_int_equal(ckpx_object_totals(reader)->nrelations, count);
	assert_int_equal(totals->nrelations, count);
	assert_true(ckpx_object_totals(reader)->nblocks ==
				test_tree_nblocks(tree));
	assert_true(totals->nblocks == test_tree_nblocks(tree));
	assert_int_equal(ckpx_object_totals(reader)->undurable, totals->undurable);
	assert_true(ckpx_object_totals(reader)->last_part == totals->last_part);

	for (uint32 i = 0; i < count; i++)
	{
		if (!ckpx_object_next(reader, &view, &problem))
			fail_msg("%s", problem ? problem : "end too early");
		assert_same_relation(sorted[i], &view, packed);
	}
	assert_false(ckpx_object_next(reader, &view, &problem));
	assert_null(problem);
	assert_false(ckpx_object_next(reader, &view, &problem));
	assert_null(problem);
	ckpx_object_close(reader);
	pfree(sorted);
}

static void
round_trips(void **state)
{
	for (int i = 0; i < 200; i++)
	{
		CkpxObjectHeader header;
		CkpxObjectTotals totals = {0};
		CkpxObjectOptions options;
		CkpxDirtyTree *tree;
		File		file;

		any_header(&header, i % 3 == 0 ? next_random() % 20 : 0);
		tree = any_tree(next_random() % 120, i % 10 == 0 ? 3000 : 30);
		options.section_rows = 1 + next_random() % 40;
		options.section_bytes = next_random() % 3 ? 65536 : next_random() % 999;
		options.compression = i % 2 ? CKPX_COMPRESSION_ZSTD :
			CKPX_COMPRESSION_NONE;
		write_object(&file, &header, tree, &options, &totals);
		assert_object(&file, &header, tree, &totals);
		assert_true(ckpx_get_u64(file.bytes + 124) ==
					(header.kind == CKPX_KIND_BACKUP ? InvalidXLogRecPtr :
					 header.range.last_record.start));

		ckpx_dirty_tree_free(tree);
		pfree(header.open_xacts);
		free(file.bytes);
	}
}

static void
empty_object(void **state)
{
	CkpxObjectOptions options = {100, 65536, CKPX_COMPRESSION_ZSTD};
	CkpxObjectTotals totals = {0};
	CkpxObjectHeader header;
	CkpxDirtyTree *tree = ckpx_dirty_tree_create(NULL);
	CkpxRelKey	key = key_number(0);
	CkpxRelation rel;
	CkpxObjectReader *reader;
	const char *problem;
	bool		found = true;
	File		file;

	any_header(&header, 0);
	write_object(&file, &header, tree, &options, &totals);
	assert_int_equal(file.length,
					 HEADER_FIXED + 16 * header.nlayers + 32 * header.nmarks +
					 4 + FOOTER);
	assert_object(&file, &header, tree, &totals);

	reader = must_open(&file);
	ckpx_relation_init(&rel, &key, NULL);
	assert_true(ckpx_object_find(reader, &key, InvalidXLogRecPtr, &rel, &found, &problem));
	assert_false(found);
	ckpx_object_close(reader);
	ckpx_dirty_tree_free(tree);
	pfree(header.open_xacts);
	free(file.bytes);
}

static void
sections_are_bounded(void **state)
{
	CkpxObjectOptions options = {7, 1000000, CKPX_COMPRESSION_NONE};
	CkpxObjectTotals totals = {0};
	CkpxObjectHeader header;
	CkpxDirtyTree *tree = any_tree(1000, 5);
	File		file;

	any_header(&header, 0);

	/* by rows */
	write_object(&file, &header, tree, &options, &totals);
	assert_int_equal(get_u32(footer_of(&file) + FOOTER_NSECTIONS),
					 (1000 + 6) / 7);
	for (uint32 i = 0; i < 1000 / 7; i++)
		assert_int_equal(get_u32(toc_of(&file) + i * TOC_ENTRY + TOC_NRECORDS),
						 7);
	assert_object(&file, &header, tree, &totals);
	free(file.bytes);

	/* by bytes, and one record each where none fits */
	options.section_rows = 1000000;
	options.section_bytes = 600;
	write_object(&file, &header, tree, &options, &totals);
	for (uint32 i = 0; i < get_u32(footer_of(&file) + FOOTER_NSECTIONS); i++)
		assert_true(get_u32(toc_of(&file) + i * TOC_ENTRY + TOC_RAW) <= 600);
	assert_object(&file, &header, tree, &totals);
	free(file.bytes);

	options.section_bytes = 0;
	options.compression = CKPX_COMPRESSION_ZSTD;
	write_object(&file, &header, tree, &options, &totals);
	assert_int_equal(get_u32(footer_of(&file) + FOOTER_NSECTIONS), 1000);
	assert_object(&file, &header, tree, &totals);
	free(file.bytes);

	ckpx_dirty_tree_free(tree);
	pfree(header.open_xacts);
}

/* Compression makes it smaller; the raw form is kept where it would not. */
static void
compression(void **state)
{
	CkpxObjectOptions none = {1000, 65536, CKPX_COMPRESSION_NONE};
	CkpxObjectOptions zstd = {1000, 65536, CKPX_COMPRESSION_ZSTD};
	CkpxObjectTotals totals = {0};
	CkpxObjectHeader header;
	CkpxDirtyTree *tree = any_tree(500, 50);
	File		plain;
	File		packed;

	any_header(&header, 0);
	write_object(&plain, &header, tree, &none, &totals);
	write_object(&packed, &header, tree, &zstd, &totals);
#ifdef USE_ZSTD
	assert_true(packed.length < plain.length);
	assert_object(&packed, &header, tree, &totals);

	/* against the header */
	set_u32(packed.bytes + HEADER_COMPRESSION, 0);
	seal(&packed);
	expect_problem(&packed,
				   "object has a compressed section, against its header");
	set_u32(packed.bytes + HEADER_COMPRESSION, 1);

	/* another decompressed size, a broken frame */
	set_u32(toc_of(&packed) + TOC_RAW,
			get_u32(toc_of(&packed) + TOC_RAW) + 1);
	seal(&packed);
	expect_problem(&packed,
				   "object has a section of another decompressed size");
	set_u32(toc_of(&packed) + TOC_RAW,
			get_u32(toc_of(&packed) + TOC_RAW) - 1);
	seal(&packed);
	assert_null(read_problem(&packed));
	for (int i = 0; i < 2000; i++)
	{
		Size		at = get_u32(packed.bytes + HEADER_LENGTH) +
			next_random() % get_u32(toc_of(&packed) + TOC_STORED);
		char		old = packed.bytes[at];

		packed.bytes[at] = (char) next_random();
		seal(&packed);
		(void) read_problem(&packed);
		packed.bytes[at] = old;
	}
#endif
	free(plain.bytes);
	free(packed.bytes);
	ckpx_dirty_tree_free(tree);
	pfree(header.open_xacts);
}

static void
finding(void **state)
{
	for (int c = 0; c < 2; c++)
	{
		CkpxObjectOptions options = {5, 65536, c};
		CkpxObjectTotals totals = {0};
		CkpxObjectHeader header;
		CkpxDirtyTree *full = any_tree(2000, 20);
		CkpxDirtyTree *tree = ckpx_dirty_tree_create(NULL);
		CkpxObjectReader *reader;
		CkpxRelation *rel;
		const char *problem;
		bool		found;
		File		file;

		/* every relation whose number is not a multiple of 3 */
		for (uint32 i = 0; i < 2000; i++)
		{
			CkpxRelKey	key = key_number(i);

			if (i % 3 != 0)
			{
				rel = ckpx_dirty_tree_get(tree, &key);
				ckpx_relation_merge(rel, ckpx_dirty_tree_find(full, &key));
			}
		}
		any_header(&header, 3);
		write_object(&file, &header, tree, &options, &totals);
		reader = must_open(&file);
		for (int i = 0; i < 4000; i++)
		{
			CkpxRelKey	key = key_number(i < 2000 ? i :
										 next_random() % 2100);
			CkpxRelation got;
			const CkpxRelation *want = ckpx_dirty_tree_find(tree, &key);

			ckpx_relation_init(&got, &key, NULL);
			assert_true(ckpx_object_find(reader, &key, InvalidXLogRecPtr, &got, &found,
										 &problem));
			assert_null(problem);
			assert_true(found == (want != NULL));
			if (found)
			{
				assert_true(ckpx_block_set_count(&got.blocks) ==
							ckpx_block_set_count(&want->blocks));
				assert_int_equal(got.blocks.limit_block,
								 want->blocks.limit_block);
				assert_memory_equal(&got.counters, &want->counters,
									sizeof(got.counters));
			}
			ckpx_block_set_reset(&got.blocks);
		}
		ckpx_object_close(reader);
		free(file.bytes);
		ckpx_dirty_tree_free(tree);
		ckpx_dirty_tree_free(full);
		pfree(header.open_xacts);
	}
}

/* One relation costs one section and no more. */
static void
finding_reads_one_section(void **state)
{
	CkpxObjectOptions options = {4, 65536, CKPX_COMPRESSION_NONE};
	CkpxObjectTotals totals = {0};
	CkpxObjectHeader header;
	CkpxDirtyTree *tree = any_tree(1000, 20);
	CkpxRelKey	key = key_number(777);
	CkpxRelKey	before = {0, 0, 0, 0};
	CkpxRelation rel;
	CkpxObjectReader *reader;
	const char *problem;
	bool		found;
	File		file;

	any_header(&header, 0);
	write_object(&file, &header, tree, &options, &totals);
	reader = must_open(&file);
	ckpx_relation_init(&rel, &key, NULL);

	file.reads = 0;
	assert_true(ckpx_object_find(reader, &before, InvalidXLogRecPtr, &rel, &found, &problem));
	assert_false(found);
	assert_int_equal(file.reads, 0);
	assert_true(ckpx_object_find(reader, &key, InvalidXLogRecPtr, &rel, &found, &problem));
	assert_true(found);
	assert_int_equal(file.reads, 1);
	assert_true(file.bytes_read < file.length);
	ckpx_block_set_reset(&rel.blocks);
	ckpx_object_close(reader);

	/* damage in another section is not seen by it, damage in its own is */
	for (uint32 i = 0; i < 250; i++)
	{
		uint32		at = get_u32(toc_of(&file) + i * TOC_ENTRY + TOC_OFFSET);

		file.bytes[at + 30] ^= 1;
		reader = must_open(&file);
		ckpx_relation_init(&rel, &key, NULL);
		if (i == 777 / 4)
		{
			assert_false(ckpx_object_find(reader, &key, InvalidXLogRecPtr, &rel, &found,
										  &problem));
			assert_string_equal(problem, "object has a section that does "
								"not match its checksum");
			assert_false(found);
		}
		else
		{
			assert_true(ckpx_object_find(reader, &key, InvalidXLogRecPtr, &rel, &found,
										 &problem));
			assert_true(found);
		}
		ckpx_block_set_reset(&rel.blocks);
		ckpx_object_close(reader);
		file.bytes[at + 30] ^= 1;
	}
	free(file.bytes);
	ckpx_dirty_tree_free(tree);
	pfree(header.open_xacts);
}

static void
next_and_find_mixed(void **state)
{
	CkpxObjectOptions options = {3, 65536, CKPX_COMPRESSION_ZSTD};
	CkpxObjectTotals totals = {0};
	CkpxObjectHeader header;
	CkpxDirtyTree *tree = any_tree(300, 10);
	CkpxObjectReader *reader;
	CkpxRelationView view;
	const char *problem;
	bool		found;
	File		file;

	any_header(&header, 0);
	write_object(&file, &header, tree, &options, &totals);
	reader = must_open(&file);
	for (uint32 i = 0; i < 300; i++)
	{
		CkpxRelKey	expected = key_number(i);
		CkpxRelKey	other = key_number(next_random() % 300);
		CkpxRelation rel;

		assert_true(ckpx_object_next(reader, &view, &problem));
		assert_true(ckpx_rel_key_equal(&view.key, &expected));
		ckpx_relation_init(&rel, &other, NULL);
		assert_true(ckpx_object_find(reader, &other, InvalidXLogRecPtr, &rel, &found, &problem));
		assert_true(found);
		ckpx_block_set_reset(&rel.blocks);
	}
	assert_false(ckpx_object_next(reader, &view, &problem));
	assert_null(problem);
	ckpx_object_close(reader);
	free(file.bytes);
	ckpx_dirty_tree_free(tree);
	pfree(header.open_xacts);
}

static void
several_parts(void **state)
{
	CkpxObjectOptions options = {10, 65536, CKPX_COMPRESSION_NONE};
	CkpxObjectHeader header;
	CkpxDirtyTree *tree = any_tree(1000, 20);
	uint32		count;
	CkpxRelation **sorted = ckpx_dirty_tree_sorted(tree, &count);
	File		files[64];
	uint32		nparts = 0;
	uint32		next = 0;
	CkpxRelationView view;
	const char *problem;

	any_header(&header, 2);
	while (next < count)
	{
		CkpxObjectWriter *writer;
		CkpxObjectTotals totals = {0};

		memset(&files[nparts], 0, sizeof(File));
		header.part = nparts;
		writer = ckpx_object_begin(NULL, &header, &options, file_write,
								   &files[nparts]);
		do
			ckpx_object_add(writer, sorted[next++], 0);
		while (next < count && ckpx_object_written(writer) < 20000);
		totals.last_part = (next == count);
		ckpx_object_end(writer, &totals);
		assert_true(files[nparts].length < 21000);
		nparts++;
	}
	assert_true(nparts > 3);

	next = 0;
	for (uint32 part = 0; part < nparts; part++)
	{
		CkpxObjectReader *reader = must_open(&files[part]);

		assert_int_equal(ckpx_object_header(reader)->part, part);
		assert_true(ckpx_object_totals(reader)->last_part ==
					(part == nparts - 1));
		while (ckpx_object_next(reader, &view, &problem))
			assert_same_relation(sorted[next++], &view, false);
		assert_null(problem);
		ckpx_object_close(reader);
		free(files[part].bytes);
	}
	assert_int_equal(next, count);
	pfree(sorted);
	ckpx_dirty_tree_free(tree);
	pfree(header.open_xacts);
}

/* The size is told exactly where nothing is compressed. */
static void
written_is_honest(void **state)
{
	CkpxObjectOptions options = {10, 65536, CKPX_COMPRESSION_NONE};
	CkpxObjectTotals totals = {0};
	CkpxObjectHeader header;
	CkpxDirtyTree *tree = any_tree(95, 20);
	uint32		count;
	CkpxRelation **sorted = ckpx_dirty_tree_sorted(tree, &count);
	File		file = {0};
	CkpxObjectWriter *writer;
	uint64		told;

	any_header(&header, 2);
	writer = ckpx_object_begin(NULL, &header, &options, file_write, &file);
	for (uint32 i = 0; i < count; i++)
		ckpx_object_add(writer, sorted[i], 0);
	told = ckpx_object_written(writer);
	ckpx_object_end(writer, &totals);
	assert_true(told == file.length);
	assert_false(totals.last_part);
	pfree(sorted);
	free(file.bytes);
	ckpx_dirty_tree_free(tree);
	pfree(header.open_xacts);
}

static void
small_file(File *file, int compression)
{
	CkpxObjectOptions options = {2, 65536, compression};
	CkpxObjectTotals totals = {0};
	CkpxObjectHeader header;
	CkpxDirtyTree *tree = any_tree(6, compression ? 60 : 12);

	any_header(&header, 2);
	header.kind = CKPX_KIND_INCREMENTAL;
	header.nlayers = 0;
	write_object(file, &header, tree, &options, &totals);
	assert_null(read_problem(file));
	ckpx_dirty_tree_free(tree);
	pfree(header.open_xacts);
}

static void
truncated_anywhere(void **state)
{
	for (int c = 0; c < 2; c++)
	{
		File		file;
		File		cut;

		small_file(&file, c);
		cut = file;
		for (Size length = 0; length < file.length; length++)
		{
			/* cut off, and cut off without that its size shows it */
			cut.bytes = malloc(length ? length : 1);
			memcpy(cut.bytes, file.bytes, length);
			cut.length = length;
			assert_non_null(read_problem(&cut));
			{
				const char *problem;

				assert_null(ckpx_object_open(NULL, file_read, &cut,
											 file.length, &problem));
				assert_non_null(problem);
			}
			free(cut.bytes);
		}

		/* something behind the end */
		cut.bytes = calloc(1, file.length + FOOTER);
		memcpy(cut.bytes, file.bytes, file.length);
		cut.length = file.length + 1;
		assert_non_null(read_problem(&cut));
		cut.length = file.length + FOOTER;
		memcpy(cut.bytes + file.length, footer_of(&file), FOOTER);
		expect_problem(&cut, "object footer has another file size");
		free(cut.bytes);
		free(file.bytes);
	}
}

static void
every_bit_flipped(void **state)
{
	for (int c = 0; c < 2; c++)
	{
		File		file;

		small_file(&file, c);
		for (Size i = 0; i < file.length * 8; i++)
		{
			file.bytes[i / 8] ^= (char) (1 << (i % 8));
			if (read_problem(&file) == NULL)
				fail_msg("flip of bit %d of byte %d was accepted",
						 (int) (i % 8), (int) (i / 8));
			file.bytes[i / 8] ^= (char) (1 << (i % 8));
		}
		assert_null(read_problem(&file));
		free(file.bytes);
	}
}

/* Damage that carries right checksums: never a crash. */
static void
every_byte_changed_and_sealed(void **state)
{
	static const unsigned char values[] = {0, 1, 2, 0x7f, 0x80, 0xff};

	for (int c = 0; c < 2; c++)
	{
		File		file;
		File		bad;

		small_file(&file, c);
		bad = file;
		bad.bytes = malloc(file.length);
		for (Size i = 0; i < file.length; i++)
		{
			for (int v = 0; v < lengthof(values); v++)
			{
				memcpy(bad.bytes, file.bytes, file.length);
				bad.bytes[i] = (char) values[v];
				seal(&bad);
				(void) read_problem(&bad);
			}
		}
		free(bad.bytes);
		free(file.bytes);
	}
}

/* Set four bytes at 'at', seal, expect the problem, and put them back. */
static void
expect_edit(File *file, char *at, uint32 value, const char *expected)
{
	char	   *copy = malloc(file->length);

	memcpy(copy, file->bytes, file->length);
	set_u32(at, value);
	seal(file);
	expect_problem(file, expected);
	memcpy(file->bytes, copy, file->length);
	free(copy);
	assert_null(read_problem(file));
}

static void
header_checked(void **state)
{
	File		file;
	char	   *h;

	small_file(&file, CKPX_COMPRESSION_NONE);
	h = file.bytes;
	expect_edit(&file, h, 0, "file is not a checkpoint object");
	expect_edit(&file, h + HEADER_VERSION, 4,
				"object is of a newer version than this one can read");
	expect_edit(&file, h + HEADER_VERSION, 1,
				"object header has an impossible number of transactions");
	expect_edit(&file, h + HEADER_VERSION, 0,
				"object is of an unknown version");
	expect_edit(&file, h + HEADER_LENGTH, 0,
				"object header has an impossible length");
	expect_edit(&file, h + HEADER_LENGTH, HEADER_FIXED_1 + 3,
				"object header has an impossible length");
	expect_edit(&file, h + HEADER_LENGTH, HEADER_FIXED + 3,
				"object header has an impossible length");
	expect_edit(&file, h + HEADER_LENGTH, (uint32) file.length - FOOTER + 1,
				"object header has an impossible length");
	expect_edit(&file, h + HEADER_LENGTH, PG_UINT32_MAX,
				"object header has an impossible length");
	expect_edit(&file, h + HEADER_KIND, 0, "object is of an unknown kind");
	expect_edit(&file, h + HEADER_KIND, 5, "object is of an unknown kind");
	expect_edit(&file, h + HEADER_COMPRESSION, 2,
				"object is compressed by an unknown method");
	expect_edit(&file, h + HEADER_EPOCH, 0,
				"object has no epoch or no timeline");
	expect_edit(&file, h + HEADER_TIMELINE, 0,
				"object has no epoch or no timeline");
	expect_edit(&file, h + HEADER_START + 4, PG_UINT32_MAX,
				"object's range is empty");
	expect_edit(&file, h + HEADER_NLAYERS, 1,
				"object header has an impossible number of layers");
	expect_edit(&file, h + HEADER_NOPEN, 1,
				"object header has an impossible number of transactions");
	expect_edit(&file, h + HEADER_NOPEN, 3,
				"object header has an impossible number of transactions");
	expect_edit(&file, h + HEADER_NOPEN, CKPX_MAX_OPEN_XACTS + 1,
				"object header has an impossible number of transactions");
	/* 12 n wraps round to the right length */
	expect_edit(&file, h + HEADER_NOPEN, 2 + 0x40000000,
				"object header has an impossible number of transactions");
	expect_edit(&file, h + HEADER_FIXED, PG_UINT32_MAX,
				"object header has its transactions out of order");

	/* without sealing */
	h[HEADER_EPOCH] ^= 1;
	expect_problem(&file, "object header does not match its checksum");
	free(file.bytes);
}

/* Version 2 differs in that it has no packed block sets. */
static void
version_2_is_read(void **state)
{
	CkpxObjectOptions options = {7, 65536, CKPX_COMPRESSION_NONE};
	CkpxObjectTotals totals = {0};
	CkpxObjectHeader header;
	CkpxDirtyTree *tree = any_tree(50, 300);
	File		file;

	any_header(&header, 3);
	write_object(&file, &header, tree, &options, &totals);
	set_u32(file.bytes + HEADER_VERSION, 2);
	seal(&file);
	header.version = 2;
	assert_object(&file, &header, tree, &totals);

	free(file.bytes);
	ckpx_dirty_tree_free(tree);
	pfree(header.open_xacts);
}

/* Scattered blocks take about a byte, and are what they were. */
static void
scattered_blocks_are_packed(void **state)
{
	CkpxObjectOptions none = {7, 65536, CKPX_COMPRESSION_NONE};
	CkpxObjectOptions zstd = {7, 65536, CKPX_COMPRESSION_ZSTD};
	CkpxObjectTotals totals = {0};
	CkpxObjectHeader header;
	CkpxDirtyTree *tree = ckpx_dirty_tree_create(NULL);
	CkpxRelKey	key = key_number(1);
	File		plain;
	File		packed;

	for (int i = 0; i < 2100; i++)
		(void) ckpx_dirty_tree_mark(tree, &key,
									(BlockNumber) (next_random() % 83000));
	any_header(&header, 0);
	write_object(&plain, &header, tree, &none, &totals);
	assert_object(&plain, &header, tree, &totals);
	assert_true(plain.length > 2 * totals.nblocks);
	write_object(&packed, &header, tree, &zstd, &totals);
	assert_object(&packed, &header, tree, &totals);
#ifdef USE_ZSTD
	assert_true(packed.length < plain.length - 11 * totals.nblocks / 10);
#endif

	free(plain.bytes);
	free(packed.bytes);
	ckpx_dirty_tree_free(tree);
	pfree(header.open_xacts);
}

static void
marks_checked(void **state)
{
	CkpxObjectOptions options = {2, 65536, CKPX_COMPRESSION_NONE};
	CkpxObjectTotals totals = {0};
	CkpxObjectHeader header;
	CkpxDirtyTree *tree = any_tree(6, 12);
	const char *number = "object header has an impossible number of marks";
	const char *order = "object header has its marks out of order";
	File		file;
	char	   *marks;

	any_header(&header, 2);
	header.kind = CKPX_KIND_INCREMENTAL;
	header.nlayers = 0;
	memset(header.layers, 0, sizeof(header.layers));
	header.range.start_lsn = 100;
	header.range.end_lsn = 200;
	header.nmarks = 3;
	for (int i = 0; i < 3; i++)
		any_marks[i].lsn = 100 + 10 * i;
	write_object(&file, &header, tree, &options, &totals);
	assert_object(&file, &header, tree, &totals);

	marks = file.bytes + HEADER_FIXED + 2 * 12;
	assert_int_equal(get_u32(marks), 100);
	expect_edit(&file, file.bytes + HEADER_NMARKS, CKPX_MAX_MARKS + 1, number);
	expect_edit(&file, file.bytes + HEADER_NMARKS, 2,
				"object header has an impossible number of transactions");
	expect_edit(&file, marks, 99, order);
	expect_edit(&file, marks, 110, order);
	expect_edit(&file, marks + 64, 110, order);
	expect_edit(&file, marks + 64, 200, order);

	free(file.bytes);
	ckpx_dirty_tree_free(tree);
	pfree(header.open_xacts);
}

/* An object with as many marks as there may be. */
static void
full_of_marks(void **state)
{
	CkpxObjectOptions options = {100, 65536, CKPX_COMPRESSION_ZSTD};
	CkpxObjectTotals totals = {0};
	CkpxObjectHeader header;
	CkpxDirtyTree *tree = any_tree(2, 2);
	File		file;

	any_header(&header, 0);
	header.range.end_lsn = header.range.start_lsn + CKPX_MAX_MARKS;
	header.kind = CKPX_KIND_BACKUP;
	header.nlayers = 0;
	memset(header.layers, 0, sizeof(header.layers));
	header.nmarks = CKPX_MAX_MARKS;
	header.marks = palloc0(sizeof(CkpxMark) * CKPX_MAX_MARKS);
	for (uint32 i = 0; i < CKPX_MAX_MARKS; i++)
		header.marks[i].lsn = header.range.start_lsn + i;
	write_object(&file, &header, tree, &options, &totals);
	assert_object(&file, &header, tree, &totals);

	free(file.bytes);
	ckpx_dirty_tree_free(tree);
	pfree(header.marks);
	pfree(header.open_xacts);
}

static void
footer_checked(void **state)
{
	File		file;
	char	   *f;
	uint32		toc;

	small_file(&file, CKPX_COMPRESSION_NONE);
	f = footer_of(&file);
	toc = get_u32(f);
	expect_edit(&file, f + FOOTER_CRC + 4, 0,
				"object does not end with its footer");
	expect_edit(&file, f + 8, (uint32) file.length + 1,
				"object footer has another file size");
	expect_edit(&file, f + 12, 1, "object footer has another file size");
	expect_edit(&file, f + 0, toc + 1,
				"object footer has an impossible table of contents");
	expect_edit(&file, f + 0, 0,
				"object footer has an impossible table of contents");
	expect_edit(&file, f + FOOTER_NSECTIONS, 2,
				"object footer has an impossible table of contents");
	expect_edit(&file, f + FOOTER_NSECTIONS, CKPX_MAX_SECTIONS,
				"object footer has an impossible table of contents");
	expect_edit(&file, f + FOOTER_NSECTIONS, CKPX_MAX_SECTIONS + 1,
				"object has too many sections");
	expect_edit(&file, f + FOOTER_NSECTIONS, PG_UINT32_MAX,
				"object has too many sections");
	expect_edit(&file, f + FOOTER_NRELATIONS, 7,
				"object's sections do not add up to its totals");
	expect_edit(&file, f + FOOTER_NBLOCKS,
				get_u32(f + FOOTER_NBLOCKS) + 1,
				"object's relations do not add up to its totals");
	expect_edit(&file, f + FOOTER_NBLOCKS + 4, PG_UINT32_MAX,
				"object footer has impossible totals");
	expect_edit(&file, f + FOOTER_UNDURABLE, 7,
				"object footer has impossible totals");
	expect_edit(&file, f + FOOTER_UNDURABLE,
				get_u32(f + FOOTER_UNDURABLE) ? 0 : 1,
				"object's relations do not add up to its totals");
	expect_edit(&file, f + FOOTER_FLAGS, 2,
				"object footer has something in a reserved place");
	expect_edit(&file, f + FOOTER_TOMBSTONES, 1,
				"object footer has an impossible end of tombstones");
	expect_edit(&file, f + FOOTER_RESERVED, 1,
				"object footer has something in a reserved place");

	/* a footer that is right but of another file */
	set_u32(f + FOOTER_HEADER_CRC, 1);
	set_u32(f + FOOTER_CRC, crc_of(f, FOOTER_CRC));
	expect_problem(&file, "object footer belongs to another header");
	f[0] ^= 1;
	expect_problem(&file, "object footer does not match its checksum");
	free(file.bytes);
}

/* What only a global has. */
static void
layers_checked(void **state)
{
	CkpxObjectOptions options = {2, 65536, CKPX_COMPRESSION_NONE};
	CkpxObjectTotals totals = {0};
	CkpxObjectHeader header;
	CkpxDirtyTree *tree = any_tree(6, 12);
	const char *number = "object header has an impossible number of layers";
	const char *order = "object header has its layers out of order";
	const char *tombstones = "object footer has an impossible end of tombstones";
	File		file;
	char	   *layers;
	char	   *first;

	any_header(&header, 2);
	header.kind = CKPX_KIND_GLOBAL;
	header.range.start_lsn = 100;
	header.range.end_lsn = 200;
	header.nlayers = 3;
	header.nmarks = 0;
	for (int i = 0; i < 3; i++)
		header.layers[i].end_lsn = 200 - 10 * i;
	write_object(&file, &header, tree, &options, &totals);
	assert_object(&file, &header, tree, &totals);

	layers = file.bytes + HEADER_FIXED + 2 * 12;
	assert_int_equal(get_u32(layers), 200);
	expect_edit(&file, file.bytes + HEADER_KIND, CKPX_KIND_INCREMENTAL,
				number);
	expect_edit(&file, file.bytes + HEADER_NLAYERS, 0, number);
	expect_edit(&file, file.bytes + HEADER_NLAYERS, CKPX_MAX_LAYERS + 1,
				number);
	expect_edit(&file, file.bytes + HEADER_NLAYERS, 2,
				"object header has an impossible number of transactions");
	expect_edit(&file, layers, 201, order);
	expect_edit(&file, layers, 199, order);
	expect_edit(&file, layers + 16, 200, order);
	expect_edit(&file, layers + 32, 190, order);
	expect_edit(&file, layers + 32, 100, order);

	expect_edit(&file, footer_of(&file) + FOOTER_TOMBSTONES, 100, tombstones);
	expect_edit(&file, footer_of(&file) + FOOTER_TOMBSTONES, 201, tombstones);

	/* a record's layer stands in its bytes 18 and 19 */
	first = file.bytes + get_u32(toc_of(&file) + TOC_OFFSET);
	expect_edit(&file, first + 16, 1 << 16,
				"object has a section with its relations out of order");
	first += get_u32(first);
	expect_edit(&file, first + 16, get_u32(first + 16) | 3 << 16,
				"object has a relation in a layer that is not there");

	free(file.bytes);
	ckpx_dirty_tree_free(tree);
	pfree(header.open_xacts);
}

static void
toc_checked(void **state)
{
	const char *order = "object's table of contents is out of order";
	const char *follow = "object's sections do not follow one another";
	const char *size = "object has a section of impossible size";
	File		file;
	char	   *toc;

	small_file(&file, CKPX_COMPRESSION_NONE);
	toc = toc_of(&file);

	expect_edit(&file, toc, PG_UINT32_MAX, order);
	expect_edit(&file, toc + 2 * TOC_ENTRY, 0, order);
	expect_edit(&file, toc + TOC_OFFSET, 1, follow);
	expect_edit(&file, toc + TOC_ENTRY + TOC_OFFSET,
				get_u32(toc + TOC_OFFSET), follow);
	expect_edit(&file, toc + TOC_ENTRY + TOC_OFFSET + 4, 1, follow);
	expect_edit(&file, toc + TOC_STORED, PG_UINT32_MAX, follow);
	expect_edit(&file, toc + 2 * TOC_ENTRY + TOC_STORED,
				get_u32(toc + 2 * TOC_ENTRY + TOC_STORED) + 1, follow);
	expect_edit(&file, toc + 2 * TOC_ENTRY + TOC_STORED,
				get_u32(toc + 2 * TOC_ENTRY + TOC_STORED) - 1,
				"object has a compressed section, against its header");
	expect_edit(&file, toc + TOC_STORED, 0, size);
	expect_edit(&file, toc + TOC_RAW, 0, size);
	expect_edit(&file, toc + TOC_RAW, CKPX_MAX_SECTION_BYTES + 1, size);
	expect_edit(&file, toc + TOC_RAW, get_u32(toc + TOC_RAW) + 1,
				"object has a compressed section, against its header");
	expect_edit(&file, toc + TOC_NRECORDS, 0, size);
	expect_edit(&file, toc + TOC_NRECORDS, PG_UINT32_MAX, size);
	expect_edit(&file, toc + TOC_NRECORDS, 1,
				"object's sections do not add up to its totals");
	free(file.bytes);
}

/* Right in sum, wrong in each. */
static void
toc_sum_checked(void **state)
{
	File		file;
	char	   *toc;

	small_file(&file, CKPX_COMPRESSION_NONE);
	toc = toc_of(&file);
	set_u32(toc + TOC_NRECORDS, 1);
	set_u32(toc + TOC_ENTRY + TOC_NRECORDS, 3);
	seal(&file);
	expect_problem(&file,
				   "object has a section with another number of relations");
	set_u32(toc + TOC_NRECORDS, 2);
	set_u32(toc + TOC_ENTRY + TOC_NRECORDS, 2);
	seal(&file);
	assert_null(read_problem(&file));

	/* damage of the table itself */
	toc[3] ^= 1;
	expect_problem(&file,
				   "object's table of contents does not match its checksum");
	free(file.bytes);
}

/* Keys out of order within a section, and between two. */
static void
key_order_checked(void **state)
{
	const char *order = "object has a section with its relations out of order";
	File		file;
	char	   *first;
	char	   *second;

	small_file(&file, CKPX_COMPRESSION_NONE);
	first = file.bytes + get_u32(toc_of(&file) + TOC_OFFSET);
	second = first + get_u32(first);

	/* a record's key stands from its byte 4 to 20, the fork last */
	expect_edit(&file, second + 16, 0, order);	/* equal keys */
	expect_edit(&file, second + 4, 0, order);
	expect_edit(&file, first + 4, 1, order);	/* not as the table says */
	expect_edit(&file, second + 4, 9999, "object's sections overlap");
	expect_edit(&file, second + 16, 2, "object's sections overlap");

	/* damage that only the records know */
	expect_edit(&file, first, 0, "relation record is too short");
	expect_edit(&file, first, PG_UINT32_MAX, "relation record is truncated");

	/* unsealed */
	first[40] ^= 1;
	expect_problem(&file,
				   "object has a section that does not match its checksum");
	free(file.bytes);
}

/* A file that shrinks, or cannot be read, after it was opened. */
static void
reading_fails(void **state)
{
	File		file;
	CkpxObjectReader *reader;
	CkpxRelationView view;
	CkpxRelKey	key = key_number(0);
	CkpxRelation rel;
	const char *problem = NULL;
	bool		found;

	small_file(&file, CKPX_COMPRESSION_NONE);
	reader = must_open(&file);
	file.length = 100;
	assert_false(ckpx_object_next(reader, &view, &problem));
	assert_string_equal(problem, "file is too short");
	ckpx_relation_init(&rel, &key, NULL);
	assert_false(ckpx_object_find(reader, &key, InvalidXLogRecPtr, &rel, &found, &problem));
	assert_string_equal(problem, "file is too short");
	ckpx_object_close(reader);
	free(file.bytes);
}

/* Random bytes between right magics. */
static void
random_bytes(void **state)
{
	for (int i = 0; i < 20000; i++)
	{
		File		file;
		Size		length = 272 + next_random() % 600;

		memset(&file, 0, sizeof(file));
		file.bytes = malloc(length);
		file.length = length;
		for (Size b = 0; b < length; b++)
			file.bytes[b] = (char) next_random();
		memcpy(file.bytes, "\x89" "CKPX\r\n", 8);
		set_u32(file.bytes + HEADER_VERSION, 1);
		set_u32(file.bytes + HEADER_LENGTH, HEADER_FIXED + 4);
		set_u32(file.bytes + HEADER_KIND, 1);
		set_u32(file.bytes + HEADER_NOPEN, 0);
		set_u32(file.bytes + HEADER_NLAYERS, 0);
		memcpy(file.bytes + length - 8, "CKPXEND\n", 8);
		set_u64(footer_of(&file), HEADER_FIXED + 4);
		set_u64(footer_of(&file) + 8, length);
		set_u32(footer_of(&file) + FOOTER_NSECTIONS,
				(uint32) ((length - HEADER_FIXED - 4 - FOOTER) /
						  TOC_ENTRY));
		seal(&file);
		assert_non_null(read_problem(&file));
		free(file.bytes);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trips),
		cmocka_unit_test(empty_object),
		cmocka_unit_test(sections_are_bounded),
		cmocka_unit_test(compression),
		cmocka_unit_test(finding),
		cmocka_unit_test(finding_reads_one_section),
		cmocka_unit_test(next_and_find_mixed),
		cmocka_unit_test(several_parts),
		cmocka_unit_test(written_is_honest),
		cmocka_unit_test(truncated_anywhere),
		cmocka_unit_test(every_bit_flipped),
		cmocka_unit_test(every_byte_changed_and_sealed),
		cmocka_unit_test(header_checked),
		cmocka_unit_test(version_2_is_read),
		cmocka_unit_test(scattered_blocks_are_packed),
		cmocka_unit_test(layers_checked),
		cmocka_unit_test(marks_checked),
		cmocka_unit_test(full_of_marks),
		cmocka_unit_test(footer_checked),
		cmocka_unit_test(toc_checked),
		cmocka_unit_test(toc_sum_checked),
		cmocka_unit_test(key_order_checked),
		cmocka_unit_test(reading_fails),
		cmocka_unit_test(random_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
