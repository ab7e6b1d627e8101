/*-------------------------------------------------------------------------
 *
 * test_samples.c
 *		Files that released versions wrote are read by this one.
 *
 * test/data/VERSION holds what test/samples.sh wrote with that version; its
 * contents.txt is what SQL said of the incremental's range then, marks.txt what
 * it said of the checkpoint records in the global's range.  Version 1 of the
 * formats had no marks and no recorded backups; 1.0-2 is from when both had
 * version 2, 1.1 from when objects had version 3, with packed block sets.
 *
 *-------------------------------------------------------------------------
 */
#include "core/format/manifest.h"
#include "core/format/object_format.h"

#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

typedef struct Sample
{
	char	   *bytes;
	Size		length;
} Sample;

static Sample
load(const char *directory, const char *name)
{
	char		path[1024];
	Sample		sample;
	FILE	   *file;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "rb");
	assert_non_null(file);
	fseek(file, 0, SEEK_END);
	sample.length = ftell(file);
	rewind(file);
	sample.bytes = palloc0(sample.length + 1);
	assert_int_equal(fread(sample.bytes, 1, sample.length, file), sample.length);
	fclose(file);
	return sample;
}

static bool
read_sample(void *arg, uint64 offset, char *bytes, Size length)
{
	const Sample *sample = arg;

	if (offset > sample->length || length > sample->length - offset)
		return false;
	memcpy(bytes, sample->bytes + offset, length);
	return true;
}

static CkpxObjectReader *
open_sample(Sample *sample)
{
	const char *problem = NULL;
	CkpxObjectReader *reader = ckpx_object_open(NULL, read_sample, sample,
												sample->length, &problem);

	assert_null(problem);
	assert_non_null(reader);
	return reader;
}

/* Append a record in the words of contents.txt. */
static void
print_record(StringInfo text, const CkpxRelationView *view)
{
	static const char *const forks[] = {"main", "fsm", "vm", "init"};
	const char *problem = NULL;
	CkpxRelation relation;
	CkpxBlockSetIterator it;
	BlockNumber start,
				end;
	const char *comma = "";

	ckpx_relation_init(&relation, &view->key, NULL);
	assert_true(ckpx_relation_merge_view(&relation, view, &problem));
	appendStringInfo(text, "%u %u %u %s", view->key.tablespace,
					 view->key.database, view->key.relation,
					 forks[view->key.fork]);
	if (view->limit_block != InvalidBlockNumber)
		appendStringInfo(text, " %u", view->limit_block);
	appendStringInfoString(text, " {");
	ckpx_block_set_iterate(&it, &relation.blocks, 0);
	while (ckpx_block_set_next_range(&it, &start, &end))
	{
		appendStringInfo(text, "%s[%u,%u)", comma, start, end);
		comma = ",";
	}
	appendStringInfoString(text, "}\n");
	ckpx_block_set_reset(&relation.blocks);
}

static void
print_marks(StringInfo text, const CkpxObjectHeader *header)
{
	for (uint32 i = 0; i < header->nmarks; i++)
	{
		const CkpxMark *mark = &header->marks[i];

		appendStringInfo(text, "%X/%X %X/%X %u %u\n",
						 LSN_FORMAT_ARGS(mark->lsn),
						 LSN_FORMAT_ARGS(mark->redo), mark->timeline,
						 mark->crc);
	}
}

static void
check_version(const char *directory)
{
	Sample		incremental = load(directory, "incremental.ckpx");
	Sample		global = load(directory, "global.ckpx");
	Sample		manifest = load(directory, "manifest.json");
	Sample		contents = load(directory, "contents.txt");
	CkpxObjectReader *reader = open_sample(&incremental);
	CkpxObjectReader *global_reader = open_sample(&global);
	const CkpxObjectHeader *header = ckpx_object_header(reader);
	CkpxManifest m;
	CkpxRelationView view;
	StringInfoData text;
	const char *problem = NULL;
	uint32		nrecords = 0;
	int			named = 0;

	initStringInfo(&text);
	while (ckpx_object_next(reader, &view, &problem))
		print_record(&text, &view);
	assert_null(problem);
	assert_string_equal(text.data, contents.bytes);

	while (ckpx_object_next(global_reader, &view, &problem))
		nrecords++;
	assert_null(problem);
	assert_true(nrecords > 0);
	assert_int_equal(ckpx_object_header(global_reader)->kind, CKPX_KIND_GLOBAL);
	assert_int_equal(ckpx_object_totals(global_reader)->nrelations, nrecords);

	assert_true(ckpx_manifest_decode(&m, manifest.bytes, manifest.length,
									 &problem));
	for (uint32 i = 0; i < m.nentries; i++)
	{
		if (m.entries[i].kind == CKPX_KIND_INCREMENTAL &&
			m.entries[i].range.start_lsn == header->range.start_lsn &&
			m.entries[i].range.end_lsn == header->range.end_lsn)
			named++;
	}
	assert_int_equal(named, 1);

	resetStringInfo(&text);
	print_marks(&text, ckpx_object_header(global_reader));
	if (header->version == 1)
	{
		assert_int_equal(m.version, 1);
		assert_string_equal(text.data, "");
		assert_int_equal(header->nmarks, 0);
		assert_int_equal(m.nbackups, 0);
	}
	else
	{
		Sample		marks = load(directory, "marks.txt");

		assert_true(marks.length > 0);
		assert_string_equal(text.data, marks.bytes);
		assert_int_equal(m.nbackups, 1);
		assert_int_equal(m.backups[0].bytes, 1234);
		pfree(marks.bytes);
	}

	ckpx_object_close(reader);
	ckpx_object_close(global_reader);
	ckpx_manifest_free(&m);
	pfree(text.data);
	pfree(incremental.bytes);
	pfree(global.bytes);
	pfree(manifest.bytes);
	pfree(contents.bytes);
}

static void
every_version(void **state)
{
	glob_t		found;

	assert_int_equal(glob("../data/*", 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i++)
		check_version(found.gl_pathv[i]);
	globfree(&found);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
