/*-------------------------------------------------------------------------
 *
 * test_object_parts.c
 *		Objects of several parts, and the map of a range that objects make.
 *
 *-------------------------------------------------------------------------
 */
#include "core/format/range_map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

typedef struct File
{
	char		bytes[8192];
	Size		length;
} File;

static void
file_write(void *arg, const char *bytes, Size length)
{
	File	   *file = arg;

	assert_true(file->length + length <= sizeof(file->bytes));
	memcpy(file->bytes + file->length, bytes, length);
	file->length += length;
}

static bool
file_read(void *arg, uint64 offset, char *bytes, Size length)
{
	const File *file = arg;

	if (offset > file->length || length > file->length - offset)
		return false;
	memcpy(bytes, file->bytes + offset, length);
	return true;
}

/* A row of a file: one block of one relation's fork. */
typedef struct Row
{
	Oid			relation;
	uint32		fork;
	BlockNumber block;
	BlockNumber limit;			/* 0: none */
	uint32		layer;
	uint32		flags;
} Row;

/* The header of an object of [start, end). */
static CkpxObjectHeader
header_of(CkpxEntryKind kind, XLogRecPtr start_lsn, XLogRecPtr end_lsn)
{
	CkpxObjectHeader header = {.version = CKPX_OBJECT_VERSION,.kind = kind};

	header.identity.system_identifier = 7;
	header.identity.pg_major = 15;
	header.identity.block_size = BLCKSZ;
	header.identity.segment_blocks = RELSEG_SIZE;
	header.range.epoch = 1;
	header.range.timeline = 1;
	header.range.start_lsn = start_lsn;
	header.range.end_lsn = end_lsn;
	header.written_at = 99;
	return header;
}

static File *
write_part(const CkpxObjectHeader *header, bool last,
		   XLogRecPtr tombstones_from, const Row *rows, int nrows)
{
	CkpxObjectOptions options = {.section_rows = 2,.section_bytes = 1000};
	CkpxObjectTotals totals = {.last_part = last,.tombstones_from = tombstones_from};
	File	   *file = calloc(1, sizeof(File));
	CkpxObjectWriter *writer = ckpx_object_begin(NULL, header, &options,
												 file_write, file);

	for (int i = 0; i < nrows; i++)
	{
		CkpxRelKey	key = {1663, 5, rows[i].relation, rows[i].fork};
		CkpxRelation relation;

		ckpx_relation_init(&relation, &key, NULL);
		relation.flags = rows[i].flags;
		relation.counters.records = 1;
		if (rows[i].limit != 0)
			ckpx_block_set_set_limit(&relation.blocks, rows[i].limit);
		ckpx_block_set_add(&relation.blocks, rows[i].block);
		ckpx_object_add(writer, &relation, rows[i].layer);
		ckpx_block_set_reset(&relation.blocks);
	}
	ckpx_object_end(writer, &totals);
	return file;
}

static CkpxEntry
entry_of(const CkpxObjectHeader *header)
{
	CkpxEntry	entry = {.kind = header->kind,.range = header->range};

	return entry;
}

static const char *
add_part(CkpxObjectParts *parts, File *file, const CkpxEntry *expected)
{
	const char *problem = NULL;
	CkpxObjectReader *reader = ckpx_object_open(NULL, file_read, file,
												file->length, &problem);

	assert_null(problem);
	if (!ckpx_object_parts_add(parts, reader, file->length, expected,
							   &problem))
		assert_non_null(problem);
	return problem;
}

#define NPARTS 6				/* more than there is room for at first */

/* An object of NPARTS parts, a relation in each. */
static void
open_object(CkpxObjectParts *parts, File **files, uint32 swapped)
{
	CkpxObjectHeader header = header_of(CKPX_KIND_INCREMENTAL, 100, 200);
	CkpxEntry	entry = entry_of(&header);

	ckpx_object_parts_init(parts, NULL);
	for (uint32 i = 0; i < NPARTS; i++)
	{
		Row			row = {.relation = 10 + i,.block = i};

		if (i == swapped)
			row.relation = 10;
		header.part = i;
		files[i] = write_part(&header, i == NPARTS - 1, 0, &row, 1);
		assert_null(add_part(parts, files[i], &entry));
	}
}

static void
close_object(CkpxObjectParts *parts, File **files, int nfiles)
{
	ckpx_object_parts_close(parts);
	for (int i = 0; i < nfiles; i++)
		free(files[i]);
}

static void
test_parts_are_one(void **state)
{
	CkpxObjectParts parts;
	File	   *files[NPARTS];
	CkpxRelationView view;
	CkpxRelKey	key;
	CkpxEntry	entry;
	const char *problem;

	open_object(&parts, files, NPARTS);
	for (uint32 i = 0; i < NPARTS; i++)
	{
		assert_true(ckpx_object_parts_peek(&parts, &key, &problem));
		assert_int_equal(key.relation, 10 + i);
		assert_true(ckpx_object_parts_next(&parts, &view, &problem));
		assert_int_equal(view.key.relation, 10 + i);
		assert_int_equal(parts.last, i);
	}
	assert_false(ckpx_object_parts_peek(&parts, &key, &problem));
	assert_null(problem);
	assert_false(ckpx_object_parts_next(&parts, &view, &problem));
	assert_null(problem);

	ckpx_object_parts_describe(&parts, &entry);
	assert_int_equal(entry.kind, CKPX_KIND_INCREMENTAL);
	assert_int_equal(entry.nparts, NPARTS);
	assert_int_equal(entry.nrelations, NPARTS);
	assert_int_equal(entry.nblocks, NPARTS);
	assert_int_equal(entry.finished_at, 99);
	assert_int_equal(entry.range.end_lsn, 200);
	assert_int_equal(entry.size_bytes, parts.size_bytes);
	close_object(&parts, files, NPARTS);
}

static void
test_find_in_any_part(void **state)
{
	CkpxObjectParts parts;
	File	   *files[NPARTS];
	const char *problem;
	bool		found;

	open_object(&parts, files, NPARTS);
	for (uint32 i = 0; i <= NPARTS; i++)
	{
		CkpxRelKey	key = {1663, 5, 10 + i, MAIN_FORKNUM};
		CkpxRelation relation;

		ckpx_relation_init(&relation, &key, NULL);
		assert_true(ckpx_object_parts_find(&parts, &key, 0, &relation, &found,
										   &problem));
		assert_int_equal(found, i < NPARTS);
		assert_int_equal(ckpx_block_set_contains(&relation.blocks, i),
						 i < NPARTS);
		ckpx_block_set_reset(&relation.blocks);
	}
	close_object(&parts, files, NPARTS);
}

static void
test_keys_go_on_over_parts(void **state)
{
	CkpxObjectParts parts;
	File	   *files[NPARTS];
	CkpxRelationView view;
	const char *problem;

	open_object(&parts, files, 3);
	for (uint32 i = 0; i < 3; i++)
		assert_true(ckpx_object_parts_next(&parts, &view, &problem));
	assert_false(ckpx_object_parts_next(&parts, &view, &problem));
	assert_string_equal(problem, "its relations do not continue those of the part before it");
	assert_int_equal(parts.last, 3);
	close_object(&parts, files, NPARTS);
}

/* What a second part must not be. */
static void
test_foreign_parts(void **state)
{
	static const char *const expected[] = {
		"it is an object of another kind", "it is of another epoch",
		"it is of another timeline", "it is of another range",
		"it is of another range", "it is another part",
		"it was not written together with the first part",
		"it was not written together with the first part",
		"it was not written together with the first part",
		"it was not written together with the first part",
	"it was not written together with the first part"};

	for (int i = 0; i < (int) lengthof(expected); i++)
	{
		CkpxObjectHeader header = header_of(CKPX_KIND_INCREMENTAL, 100, 200);
		CkpxEntry	entry = entry_of(&header);
		Row			row = {.relation = 10};
		CkpxObjectParts parts;
		File	   *files[2];

		ckpx_object_parts_init(&parts, NULL);
		files[0] = write_part(&header, false, 0, &row, 1);
		assert_null(add_part(&parts, files[0], &entry));
		header.part = 1;
		switch (i)
		{
			case 0:
				header.kind = CKPX_KIND_SEGMENT;
				break;
			case 1:
				header.range.epoch++;
				break;
			case 2:
				header.range.timeline++;
				break;
			case 3:
				header.range.start_lsn++;
				break;
			case 4:
				header.range.end_lsn++;
				break;
			case 5:
				header.part++;
				break;
			case 6:
				header.written_at++;
				break;
			case 7:
				header.range.created_at++;
				break;
			case 8:
				header.identity.node_id++;
				break;
			case 9:
				header.range.last_record.crc++;
				break;
			case 10:
				header.range.last_change_lsn++;
				break;
		}
		row.relation = 11;
		files[1] = write_part(&header, true, 0, &row, 1);
		assert_string_equal(add_part(&parts, files[1], &entry), expected[i]);
		close_object(&parts, files, 2);
	}
}

static void
test_entry_of_another_version(void **state)
{
	CkpxObjectHeader header = header_of(CKPX_KIND_INCREMENTAL, 100, 200);
	CkpxEntry	entry = entry_of(&header);
	Row			row = {.relation = 10};
	CkpxObjectParts parts;
	File	   *file = write_part(&header, true, 0, &row, 1);

	entry.version = 1;
	ckpx_object_parts_init(&parts, NULL);
	assert_string_equal(add_part(&parts, file, &entry),
						"it has another format version than its entry");
	close_object(&parts, &file, 1);
}

static void
test_identity(void **state)
{
	CkpxObjectHeader header = header_of(CKPX_KIND_INCREMENTAL, 100, 200);
	CkpxIdentity own = header.identity;

	own.node_id++;
	own.checksum_version++;
	own.wal_segment_size++;
	assert_null(ckpx_identity_problem(&header.identity, &own));
	own.segment_blocks++;
	assert_string_equal(ckpx_identity_problem(&header.identity, &own),
						"it was written with another block or segment size");
	own.pg_major++;
	assert_string_equal(ckpx_identity_problem(&header.identity, &own),
						"it belongs to another major version of PostgreSQL");
	own.system_identifier++;
	assert_string_equal(ckpx_identity_problem(&header.identity, &own),
						"it belongs to another cluster");
}

/*
 * A global of two layers, [100, 150) and [150, 200), that has removed
 * tombstones up to 'tombstones_from'.  Relation 10 was made in the newer one.
 */
static File *
open_global(CkpxObjectParts *parts, XLogRecPtr tombstones_from)
{
	static const Row rows[] = {
		{.relation = 0,.fork = MAIN_FORKNUM,.block = 0,.layer = 1},
		{.relation = 10,.fork = MAIN_FORKNUM,.block = 1,.layer = 0,.flags = CKPX_REL_CREATED},
		{.relation = 10,.fork = MAIN_FORKNUM,.block = 2,.layer = 1},
		{.relation = 11,.fork = MAIN_FORKNUM,.block = 3,.layer = 1},
	};
	CkpxObjectHeader header = header_of(CKPX_KIND_GLOBAL, 100, 200);
	CkpxEntry	entry = entry_of(&header);
	File	   *file;

	header.range.custom_rmgrs[16] = 4;
	header.nlayers = 2;
	header.layers[0].end_lsn = 200;
	header.layers[1].end_lsn = 150;
	file = write_part(&header, true, tombstones_from, rows, lengthof(rows));
	ckpx_object_parts_init(parts, NULL);
	assert_null(add_part(parts, file, &entry));
	return file;
}

/* "RELATION.FORK:BLOCK..." of a map of [start, end), one after the other. */
static char *
map_text(XLogRecPtr start_lsn, XLogRecPtr end_lsn, Oid only,
		 XLogRecPtr tombstones_from)
{
	CkpxRelKey	wanted = {1663, 5, only, INIT_FORKNUM};
	StringInfoData text;
	CkpxRangeMap map;
	CkpxObjectParts parts;
	File	   *file = open_global(&parts, tombstones_from);
	CkpxRelationView view;
	CkpxRelation **relations;
	uint32		n;
	const char *problem;

	initStringInfo(&text);
	ckpx_range_map_begin(&map, NULL, start_lsn, end_lsn,
						 only != 0 ? &wanted : NULL);
	if (!ckpx_range_map_enter(&map, &parts))
		appendStringInfoString(&text, "stale");
	else if (only != 0)
	{
		bool		found;

		relations = ckpx_dirty_tree_sorted(map.tree, &n);
		assert_int_equal(n, 4);
		for (uint32 i = 0; i < n; i++)
			assert_true(ckpx_object_parts_find(&parts, &relations[i]->key,
											   start_lsn, relations[i],
											   &found, &problem));
		pfree(relations);
	}
	else
	{
		while (ckpx_object_parts_next(&parts, &view, &problem))
			assert_true(ckpx_object_parts_append(&parts, &view, start_lsn,
												 map.tree, &problem));
		assert_null(problem);
		assert_int_equal(map.custom_rmgrs[16], 4);
	}
	relations = ckpx_range_map_finish(&map, &n);
	for (uint32 i = 0; i < n; i++)
	{
		CkpxBlockSetIterator it;
		BlockNumber block;

		appendStringInfo(&text, "%s%u.%u", text.len > 0 ? " " : "",
						 relations[i]->key.relation, relations[i]->key.fork);
		ckpx_block_set_iterate(&it, &relations[i]->blocks, 0);
		while (ckpx_block_set_next(&it, &block))
			appendStringInfo(&text, ":%u", block);
		if (relations[i]->blocks.limit_block != InvalidBlockNumber)
			appendStringInfo(&text, "-%u", relations[i]->blocks.limit_block);
	}
	pfree(relations);
	ckpx_dirty_tree_free(map.tree);
	close_object(&parts, &file, 1);
	return text.data;
}

static void
test_map_of_a_range(void **state)
{
	assert_string_equal(map_text(100, 200, 0, 0), "0.0:0 10.0:1:2 11.0:3");
	/* a layer counts if it ends behind the start, whatever the end is */
	assert_string_equal(map_text(149, 150, 0, 0), "0.0:0 10.0:1:2 11.0:3");
	assert_string_equal(map_text(150, 200, 0, 0), "10.0:1");
}

static void
test_map_of_one_relation(void **state)
{
	assert_string_equal(map_text(100, 200, 10, 0), "0.0:0 10.0:1:2");
	assert_string_equal(map_text(150, 200, 10, 0), "10.0:1");
	assert_string_equal(map_text(150, 200, 11, 0), "");
}

static void
test_removed_tombstones(void **state)
{
	/* no end before them; from them on the visibility map is completed */
	assert_string_equal(map_text(100, 159, 0, 160), "stale");
	assert_string_equal(map_text(100, 160, 0, 160),
						"0.0:0 10.0:1:2 10.2-0 11.0:3");
	assert_string_equal(map_text(160, 200, 0, 160), "10.0:1");
	assert_string_equal(map_text(150, 200, 10, 160), "10.0:1 10.2-0");
}

static void
test_map_wants(void **state)
{
	CkpxRelKey	key = {1663, 5, 10, VISIBILITYMAP_FORKNUM};
	CkpxRelKey	other = {1663, 5, 11, MAIN_FORKNUM};
	CkpxRangeMap map;

	ckpx_range_map_begin(&map, NULL, 100, 200, &key);
	assert_true(ckpx_range_map_wants(&map, &key));
	assert_false(ckpx_range_map_wants(&map, &other));
	key.fork = FSM_FORKNUM;
	assert_false(ckpx_range_map_wants(&map, &key));
	ckpx_dirty_tree_free(map.tree);
	ckpx_range_map_begin(&map, NULL, 100, 200, NULL);
	assert_true(ckpx_range_map_wants(&map, &other));
	ckpx_dirty_tree_free(map.tree);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts_are_one),
		cmocka_unit_test(test_find_in_any_part),
		cmocka_unit_test(test_keys_go_on_over_parts),
		cmocka_unit_test(test_foreign_parts),
		cmocka_unit_test(test_entry_of_another_version),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_map_of_a_range),
		cmocka_unit_test(test_map_of_one_relation),
		cmocka_unit_test(test_removed_tombstones),
		cmocka_unit_test(test_map_wants),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
