/*-------------------------------------------------------------------------
 *
 * list.c
 *		The command "list": what a store holds.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/dump/list.h"

#include "bin/dump/output.h"
#include "bin/dump/print.h"
#include "bin/dump/store.h"

static void
print_manifests(const Store *store)
{
	output_many("manifests");
	for (uint32 i = 0; i < store->nmanifests; i++)
	{
		const StoreManifest *manifest = &store->manifests[i];

		output_text("file", manifest->file);
		output_text("state", manifest == store->used ? "used" :
					manifest->good ? "older" : "damaged");
		if (manifest->good)
			output_null("problem");
		else
			output_text("problem", manifest->problem.text);
		output_row();
	}
}

static const char *
file_what(const StoreFile *file)
{
	switch (file->name.type)
	{
		case CKPX_NAME_OBJECT:
			return ckpx_kind_name(file->name.kind);
		case CKPX_NAME_TEMPORARY:
			return "temporary";
		case CKPX_NAME_DAMAGED:
			return "damaged";
		default:
			return "manifest";
	}
}

/* Files that no manifest names. */
static void
print_other_files(const Store *store, char **names, uint32 nnames)
{
	output_many("unnamed");
	for (uint32 i = 0; i < store->nfiles; i++)
	{
		const StoreFile *file = &store->files[i];

		if (file->name.type == CKPX_NAME_MANIFEST ||
			entry_names_have(names, nnames, file))
			continue;
		output_text("what", file_what(file));
		output_number("bytes", file->size);
		output_text("file", file->file);
		output_row();
	}
}

/* The checkpoint records of PostgreSQL that objects have, each once. */
static int
print_all_marks(const Store *store)
{
	const CkpxManifest *manifest = &store->used->manifest;
	CkpxEntry  *entries = palloc(sizeof(CkpxEntry) *
								 ((Size) manifest->nentries + 1));
	XLogRecPtr	last = InvalidXLogRecPtr;
	uint32		epoch = 0;
	int			status = 0;

	if (manifest->nentries > 0)
		memcpy(entries, manifest->entries,
			   sizeof(CkpxEntry) * manifest->nentries);
	qsort(entries, manifest->nentries, sizeof(CkpxEntry),
		  (int (*) (const void *, const void *)) entry_compare);
	output_many("marks");
	for (uint32 i = 0; i < manifest->nentries; i++)
	{
		char	   *path = store_object_path(store, &entries[i]);
		const CkpxObjectHeader *header;
		Problem		problem;
		Object	   *object = object_open(path, &entries[i],
										 &manifest->identity, &problem);

		pfree(path);
		if (object == NULL)
		{
			problem_warn(&problem);
			status = EXIT_DAMAGE;
			continue;
		}
		header = ckpx_object_parts_header(&object->parts);
		if (header->range.epoch != epoch)
			last = InvalidXLogRecPtr;
		epoch = header->range.epoch;
		for (uint32 j = 0; j < header->nmarks; j++)
		{
			if (header->marks[j].lsn <= last)
				continue;
			last = header->marks[j].lsn;
			output_number("epoch", epoch);
			print_mark(&header->marks[j]);
			output_row();
		}
		object_close(object);
	}
	pfree(entries);
	return status;
}

int
list_run(const Options *options, const char *directory)
{
	Store	   *store = store_read(directory);
	int			status = store_warn(store) ? EXIT_DAMAGE : 0;
	const CkpxManifest *manifest;
	char	  **names = NULL;
	uint32		nnames = 0;

	output_begin(options->json);
	if (store->used == NULL)
		status = EXIT_DAMAGE;
	else
	{
		manifest = &store->used->manifest;
		print_manifest(manifest, store->used->file);
		print_entries(manifest);
		if (options->gaps)
			print_gaps(manifest);
		if (options->pins)
			print_pins(manifest);
		if (options->backups)
			print_backups(manifest);
		if (options->marks)
			status = Max(status, print_all_marks(store));
		names = entry_names(manifest->entries, manifest->nentries);
		nnames = manifest->nentries;
	}
	print_manifests(store);
	if (options->all || store->used == NULL)
		print_other_files(store, names, nnames);
	output_end();
	return status;
}
