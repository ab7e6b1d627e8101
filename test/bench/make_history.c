/*-------------------------------------------------------------------------
 *
 * make_history.c
 *		A long history for a stopped server.
 *
 *	make_history FOLDER COUNT NRELATIONS NBLOCKS
 *		[TABLESPACE DATABASE RELFILENODE [FIRST NRELATIONS NBLOCKS]]
 *
 * FOLDER is the store's folder.  Its newest manifest is read; in its place
 * comes one that divides the range of its finished incrementals into COUNT
 * incrementals, each with an object that lists NRELATIONS relations of
 * NBLOCKS changed blocks, the FIRST of them another number.  If a relation is
 * named, it is one of them.  So everything outside the entries stays what
 * this cluster expects: identity, epoch, the range, the last WAL record
 * before its end.  Nothing is synced: the history is good for measuring only.
 *
 *-------------------------------------------------------------------------
 */
#include "core/format/manifest.h"
#include "core/format/names.h"
#include "core/format/object_format.h"

#include <dirent.h>

#define FIRST_RELATION	100000

static const char *folder;

static void pg_attribute_noreturn()
die(const char *what, const char *why)
{
	fprintf(stderr, "make_history: %s: %s\n", what, why);
	exit(1);
}

static FILE *
open_file(const char *name, const char *mode)
{
	char		path[MAXPGPATH];
	FILE	   *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, mode);
	if (file == NULL)
		die(path, strerror(errno));
	return file;
}

static void
close_file(FILE *file)
{
	if (fclose(file) != 0)
		die("close", strerror(errno));
}

static void
write_bytes(void *arg, const char *bytes, Size length)
{
	if (fwrite(bytes, 1, length, (FILE *) arg) != length)
		die("write", strerror(errno));
}

static void
read_newest_manifest(CkpxManifest *manifest)
{
	DIR		   *dir = opendir(folder);
	struct dirent *de;
	char		newest[MAXPGPATH] = "";
	uint64		sequence = 0;
	StringInfoData text;
	FILE	   *file;
	const char *problem;
	int			c;

	if (dir == NULL)
		die(folder, strerror(errno));
	while ((de = readdir(dir)) != NULL)
	{
		CkpxName	name;

		ckpx_parse_name(de->d_name, &name);
		if (name.type == CKPX_NAME_MANIFEST && name.sequence >= sequence)
		{
			sequence = name.sequence;
			strlcpy(newest, de->d_name, sizeof(newest));
		}
	}
	closedir(dir);
	if (newest[0] == '\0')
		die(folder, "no manifest");

	initStringInfo(&text);
	file = open_file(newest, "rb");
	while ((c = getc(file)) != EOF)
		appendStringInfoChar(&text, (char) c);
	close_file(file);
	if (!ckpx_manifest_decode(manifest, text.data, text.len, &problem))
		die(newest, problem);
}

/* The same relations in every object, with blocks that differ a little. */
static void
write_object(const CkpxManifest *manifest, CkpxEntry *entry, uint32 number,
			 uint32 nrelations, uint32 nblocks, const CkpxRelKey *named)
{
	CkpxDirtyTree *tree = ckpx_dirty_tree_create(CKPX_CURRENT_MEMORY);
	CkpxObjectOptions options = {10000, 64 * 1024, CKPX_COMPRESSION_ZSTD};
	CkpxObjectTotals totals = {0};
	CkpxObjectHeader header;
	CkpxObjectWriter *writer;
	CkpxRelation **sorted;
	char		name[CKPX_NAME_MAX];
	FILE	   *file;
	uint32		count;

	memset(&header, 0, sizeof(header));
	header.version = CKPX_OBJECT_VERSION;
	header.kind = entry->kind;
	header.identity = manifest->identity;
	header.range = entry->range;
	header.written_at = entry->finished_at;

	for (uint32 i = 0; i < nrelations; i++)
	{
		CkpxRelKey	key = {1663, 5, FIRST_RELATION + i, MAIN_FORKNUM};

		if (named != NULL && i == nrelations / 2)
			key = *named;
		for (uint32 block = 0; block < nblocks; block++)
			(void) ckpx_dirty_tree_mark(tree, &key,
										number * 3 + block * 7);
		entry->nblocks += nblocks;
	}
	entry->nrelations = nrelations;

	ckpx_object_name(name, entry->kind, entry->range.epoch,
					 entry->range.timeline, entry->range.start_lsn,
					 entry->range.end_lsn, 0);
	file = open_file(name, "wb");
	writer = ckpx_object_begin(CKPX_CURRENT_MEMORY, &header, &options,
							   write_bytes, file);
	sorted = ckpx_dirty_tree_sorted(tree, &count);
	for (uint32 i = 0; i < count; i++)
		ckpx_object_add(writer, sorted[i], 0);
	totals.last_part = true;
	ckpx_object_end(writer, &totals);
	entry->size_bytes = (uint64) ftell(file);
	close_file(file);
	pfree(sorted);
	ckpx_dirty_tree_free(tree);
}

int
main(int argc, char **argv)
{
	CkpxManifest manifest;
	CkpxEntry	first = {0};
	CkpxEntry	last = {0};
	CkpxEntry  *entries;
	CkpxRelKey	named = {0};
	StringInfoData text;
	char		name[CKPX_NAME_MAX];
	FILE	   *file;
	uint32		count;
	uint32		nfirst = 0;
	uint64		step;
	XLogRecPtr	last_ten;

	if (argc != 5 && argc != 8 && argc != 11)
	{
		fprintf(stderr, "usage: make_history FOLDER COUNT NRELATIONS NBLOCKS [TABLESPACE DATABASE RELFILENODE [FIRST NRELATIONS NBLOCKS]]\n");
		return 2;
	}
	folder = argv[1];
	count = (uint32) strtoul(argv[2], NULL, 10);
	if (argc >= 8)
	{
		named.tablespace = (Oid) strtoul(argv[5], NULL, 10);
		named.database = (Oid) strtoul(argv[6], NULL, 10);
		named.relation = (Oid) strtoul(argv[7], NULL, 10);
	}
	if (argc == 11)
		nfirst = (uint32) strtoul(argv[8], NULL, 10);

	read_newest_manifest(&manifest);
	for (uint32 i = 0; i < manifest.nentries; i++)
	{
		const CkpxEntry *entry = &manifest.entries[i];

		if (entry->kind != CKPX_KIND_INCREMENTAL ||
			entry->range.epoch != manifest.epoch)
			continue;
		if (first.kind == CKPX_KIND_NONE ||
			entry->range.start_lsn < first.range.start_lsn)
			first = *entry;
		if (entry->range.end_lsn > last.range.end_lsn)
			last = *entry;
	}
	if (first.kind == CKPX_KIND_NONE)
		die(folder, "no incremental to divide");
	step = (last.range.end_lsn - first.range.start_lsn) /
		Max(count, 1) / 8 * 8;
	if (count == 0 || step == 0)
		die(folder, "the range is too short for so many entries");

	entries = palloc0(sizeof(CkpxEntry) * count);
	for (uint32 i = 0; i < count; i++)
	{
		CkpxEntry  *entry = &entries[i];
		char	  **sizes = i < nfirst ? &argv[9] : &argv[3];

		*entry = last;
		entry->range.start_lsn = i == 0 ? first.range.start_lsn :
			entries[i - 1].range.end_lsn;
		if (i < count - 1)
		{
			entry->range.end_lsn = first.range.start_lsn + (i + 1) * step;
			entry->range.last_record.start = entry->range.end_lsn - 8;
			entry->range.last_change_lsn = entry->range.end_lsn - 8;
		}
		entry->range.wal_bytes = entry->range.end_lsn - entry->range.start_lsn;
		entry->nparts = 1;
		entry->open_xacts = 0;
		entry->undurable = 0;
		entry->nblocks = 0;
		write_object(&manifest, entry, i, (uint32) strtoul(sizes[0], NULL, 10),
					 (uint32) strtoul(sizes[1], NULL, 10),
					 argc >= 8 ? &named : NULL);
	}

	manifest.sequence++;
	manifest.entries = entries;
	manifest.nentries = count;
	initStringInfo(&text);
	ckpx_manifest_encode(&text, &manifest);
	ckpx_manifest_name(name, manifest.sequence, first.range.start_lsn,
					   last.range.end_lsn);
	file = open_file(name, "wb");
	write_bytes(file, text.data, text.len);
	close_file(file);

	last_ten = entries[count > 10 ? count - 10 : 0].range.start_lsn;
	printf("%X/%X %X/%X %X/%X\n", LSN_FORMAT_ARGS(first.range.start_lsn),
		   LSN_FORMAT_ARGS(last_ten), LSN_FORMAT_ARGS(last.range.end_lsn));
	return 0;
}
