/*-------------------------------------------------------------------------
 *
 * show.c
 *		The command "show": what is in one object or manifest.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/dump/show.h"

#include "bin/dump/object.h"
#include "bin/dump/output.h"
#include "bin/dump/print.h"

static int
show_manifest(const Options *options, const char *path)
{
	CkpxManifest manifest;
	Problem		problem;

	if (!manifest_read(path, &manifest, &problem))
	{
		problem_report(&problem);
		return EXIT_DAMAGE;
	}
	output_begin(options->json);
	print_manifest(&manifest, path);
	print_entries(&manifest);
	print_gaps(&manifest);
	print_pins(&manifest);
	print_backups(&manifest);
	output_end();
	return 0;
}

static void
print_rmgrs(const CkpxRange *range)
{
	char		text[CKPX_RMGR_BITMAP_BYTES * 8 * 4];
	int			length = 0;

	text[0] = '\0';
	for (int id = 0; id < CKPX_RMGR_BITMAP_BYTES * 8; id++)
	{
		if (range->custom_rmgrs[id / 8] & (1 << (id % 8)))
			length += snprintf(text + length, sizeof(text) - length, "%s%d",
							   length > 0 ? "," : "", id);
	}
	output_text("custom_rmgrs", text);
}

static void
print_header(const char *path, const Object *object)
{
	const CkpxObjectHeader *header = ckpx_object_parts_header(&object->parts);
	CkpxEntry	entry;

	ckpx_object_parts_describe(&object->parts, &entry);
	output_one("object");
	output_text("file", path);
	output_number("version", header->version);
	print_entry(&entry);
	output_time("written", header->written_at);
	print_identity(&header->identity);
	output_lsn("last_record_lsn", header->range.last_record.start);
	output_number("last_record_length", header->range.last_record.length);
	output_hex("last_record_crc", header->range.last_record.crc, 8);
	output_lsn("run_start", header->range.last_record.run_start);
	output_hex("run_hash", header->range.last_record.run_hash, 8);
	output_lsn("last_change_lsn", header->range.last_change_lsn);
	output_number("xacts", header->range.nxacts);
	output_number("wal_bytes", header->range.wal_bytes);
	print_rmgrs(&header->range);
	output_number("open_xacts", header->nopen_xacts);
	output_number("layers", header->nlayers);
	output_number("marks", header->nmarks);
	output_number("undurable", entry.undurable);
	output_lsn("tombstones_from", entry.tombstones_from);
	output_row();
}

static void
print_layers(const CkpxObjectHeader *header)
{
	output_many("layers");
	for (uint32 i = 0; i < header->nlayers; i++)
	{
		output_number("layer", i);
		output_lsn("start_lsn", i + 1 < header->nlayers ?
				   header->layers[i + 1].end_lsn : header->range.start_lsn);
		output_lsn("end_lsn", header->layers[i].end_lsn);
		output_time("end", header->layers[i].end_time);
		output_row();
	}
}

static void
print_open_xacts(const CkpxObjectHeader *header)
{
	output_many("open_xacts");
	for (uint32 i = 0; i < header->nopen_xacts; i++)
	{
		output_number("xid", header->open_xacts[i].xid);
		output_lsn("first_lsn", header->open_xacts[i].first_lsn);
		output_row();
	}
}

static void
print_flags(uint32 flags)
{
	static const char *const names[] = {
		"dropped", "created", "sequence", "undurable"
	};
	char		text[64] = "";

	for (int i = 0; i < (int) lengthof(names); i++)
	{
		if ((flags & (1 << i)) == 0)
			continue;
		if (text[0] != '\0')
			strlcat(text, ",", sizeof(text));
		strlcat(text, names[i], sizeof(text));
	}
	output_text("flags", text);
}

static void
print_record_fields(const CkpxRelationView *view, bool layered)
{
	print_key(&view->key);
	if (layered)
		output_number("layer", view->layer);
	print_flags(view->flags);
	if (view->limit_block != InvalidBlockNumber)
		output_number("limit_block", view->limit_block);
	else
		output_null("limit_block");
	output_number("nblocks", view->nblocks);
	output_number("records", view->counters.records);
	output_number("wal_bytes", view->counters.wal_bytes);
	output_number("fpi", view->counters.fpi);
	output_number("tuples_inserted", view->counters.tuples_inserted);
	output_number("tuples_deleted", view->counters.tuples_deleted);
}

/* Print a record; with its blocks, that may take several rows. */
static bool
print_record(const CkpxRelationView *view, bool layered, bool blocks,
			 const char **problem)
{
	CkpxRelation relation;
	CkpxBlockSetIterator it;
	bool		more = true;

	if (!blocks)
	{
		print_record_fields(view, layered);
		output_row();
		return true;
	}
	ckpx_relation_init(&relation, &view->key, NULL);
	if (!ckpx_relation_merge_view(&relation, view, problem))
		return false;
	ckpx_block_set_iterate(&it, &relation.blocks, 0);
	while (more)
	{
		print_record_fields(view, layered);
		more = !output_ranges("blocks", &it);
		output_row();
	}
	ckpx_block_set_reset(&relation.blocks);
	return true;
}

/* Print all records; false with *problem. */
static bool
print_records(const Options *options, Object *object, Problem *problem)
{
	const CkpxObjectHeader *header = ckpx_object_parts_header(&object->parts);
	CkpxRelationView view;
	const char *text = NULL;

	output_many("relations");
	while (ckpx_object_parts_next(&object->parts, &view, &text) &&
		   print_record(&view, header->nlayers > 0, options->blocks, &text))
		;
	if (text != NULL)
		object_problem(object, text, problem);
	return text == NULL;
}

static int
show_object(const Options *options, const char *path)
{
	Problem		problem;
	Object	   *object = object_open(path, NULL, NULL, &problem);
	const CkpxObjectHeader *header;
	bool		good = true;

	if (object == NULL)
	{
		problem_report(&problem);
		return EXIT_DAMAGE;
	}
	header = ckpx_object_parts_header(&object->parts);
	output_begin(options->json);
	print_header(path, object);
	if (header->nlayers > 0)
		print_layers(header);
	if (header->nopen_xacts > 0)
		print_open_xacts(header);
	if (options->marks)
		print_marks(header->marks, header->nmarks);
	if (options->relations || options->blocks)
		good = print_records(options, object, &problem);
	output_end();
	if (!good)
		problem_report(&problem);
	object_close(object);
	return good ? 0 : EXIT_DAMAGE;
}

int
show_run(const Options *options, const char *path)
{
	return file_kind(path) == FILE_MANIFEST ? show_manifest(options, path) :
		show_object(options, path);
}
