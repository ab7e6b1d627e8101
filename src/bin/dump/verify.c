/*-------------------------------------------------------------------------
 *
 * verify.c
 *		The command "verify": reads everything and says what is damaged.
 *
 * Every byte of an object is under a checksum, so reading it to its end
 * through the decoders proves it.  Then it must say what the manifest says
 * about it.
 *
 * Of a directory, all manifests are read, all objects that one of them names,
 * and all others.  A server may be at work in it: an object that is not there
 * any more is no damage if the manifests that named it are not either, and one
 * that no manifest names may be in work.  Nor is it news that an object is
 * damaged which the newest manifest has left out for that.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/dump/verify.h"

#include <unistd.h>

#include "bin/dump/output.h"
#include "bin/dump/store.h"
#include "common/logging.h"

/* What is said of holes, at most: each search looks at all objects. */
#define MAX_HOLES			100

typedef struct Verify
{
	uint64		nmanifests;
	uint64		nobjects;
	uint64		bytes;
	uint64		nunnamed;		/* of the objects */
	uint64		ndamaged;
} Verify;

/* Print a row of the table of what is damaged. */
static void
damaged(Verify *verify, const char *path, const char *text)
{
	verify->ndamaged++;
	output_text("file", path);
	output_text("problem", text);
	output_row();
}

/*
 * Read all records, with their blocks; NULL or what is wrong.  *nforks counts
 * a fork once, whatever layers it is in.
 */
static const char *
read_records(Object *object, uint32 *nforks)
{
	CkpxRelationView view;
	CkpxRelKey	last = {0};
	const char *text = NULL;

	*nforks = 0;
	while (ckpx_object_parts_next(&object->parts, &view, &text))
	{
		CkpxRelation relation;
		bool		good;

		if (*nforks == 0 || !ckpx_rel_key_equal(&last, &view.key))
			(*nforks)++;
		last = view.key;
		ckpx_relation_init(&relation, &view.key, NULL);
		good = ckpx_relation_merge_view(&relation, &view, &text);
		ckpx_block_set_reset(&relation.blocks);
		if (!good)
			break;
	}
	return text;
}

/* Does an object say what its entry says?  NULL, or in what they differ. */
static const char *
entry_problem(const Object *object, const CkpxEntry *entry, uint32 nforks)
{
	CkpxEntry	found;
	const char *field;

	ckpx_object_parts_describe(&object->parts, &found);
	found.nrelations = nforks;
	field = ckpx_entry_difference(entry, &found);
	return field == NULL ? NULL :
		psprintf("the manifest has another value of \"%s\"", field);
}

/*
 * Verify an object to its last byte.  'entry' is what a manifest says about
 * it, or what its name says ('named' false), or NULL.
 */
static bool
verify_object(Verify *verify, const char *path, const CkpxEntry *entry,
			  bool named, const CkpxIdentity *own, Problem *problem)
{
	Object	   *object = object_open(path, entry, own, problem);
	const char *text;
	uint32		nforks;

	if (object == NULL)
		return false;
	verify->nobjects++;
	verify->bytes += object->parts.size_bytes;
	text = read_records(object, &nforks);
	if (text == NULL && named)
	{
		text = entry_problem(object, entry, nforks);
		object->parts.last = 0;
	}
	if (text != NULL)
		object_problem(object, text, problem);
	object_close(object);
	return text == NULL;
}

/*-------------------------------------------------------------------------
 * A directory
 *-------------------------------------------------------------------------
 */

/* Has another manifest, before this one, the same entry? */
static bool
is_verified(const Store *store, uint32 manifest, const CkpxEntry *entry,
			char ***names)
{
	char		name[CKPX_NAME_MAX];
	StoreFile	file;

	ckpx_entry_object_name(name, entry, 0);
	ckpx_parse_name(name, &file.name);
	file.file = name;
	for (uint32 i = 0; i < manifest; i++)
	{
		if (store->manifests[i].good &&
			entry_names_have(names[i], store->manifests[i].manifest.nentries,
							 &file))
			return true;
	}
	return false;
}

/*
 * Has the server found an object to be damaged?  Then it keeps it under a
 * second name, until no manifest names the first one.
 */
static bool
is_known(const char *path)
{
	char	   *kept = psprintf("%s.damaged", path);
	bool		known = access(kept, F_OK) == 0;

	pfree(kept);
	return known;
}

static void
verify_named(Verify *verify, const Store *store, uint32 number,
			 char ***names)
{
	const StoreManifest *manifest = &store->manifests[number];

	for (uint32 i = 0; i < manifest->manifest.nentries; i++)
	{
		const CkpxEntry *entry = &manifest->manifest.entries[i];
		Problem		problem;
		char	   *path;

		if (is_verified(store, number, entry, names))
			continue;
		path = store_object_path(store, entry);
		if (!verify_object(verify, path, entry, true,
						   &manifest->manifest.identity, &problem) &&
			!(problem.missing && access(manifest->path, F_OK) != 0) &&
			!(manifest != store->used && is_known(path)))
			damaged(verify, problem.path, problem.text);
		pfree(path);
	}
}

/* Objects that no manifest names; parts go with the first one. */
static void
verify_others(Verify *verify, const Store *store, char ***names)
{
	for (uint32 i = 0; i < store->nfiles; i++)
	{
		const StoreFile *file = &store->files[i];
		CkpxEntry	entry = {0};
		Problem		problem;
		bool		named = false;
		char	   *path;

		if (file->name.type != CKPX_NAME_OBJECT)
			continue;
		for (uint32 j = 0; j < store->nmanifests && !named; j++)
			named = store->manifests[j].good &&
				entry_names_have(names[j],
								 store->manifests[j].manifest.nentries, file);
		if (named || file->name.part != 0)
			continue;
		verify->nunnamed++;
		entry.kind = file->name.kind;
		entry.range.epoch = file->name.epoch;
		entry.range.timeline = file->name.timeline;
		entry.range.start_lsn = file->name.start_lsn;
		entry.range.end_lsn = file->name.end_lsn;
		path = psprintf("%s/%s", store->path, file->file);
		if (!verify_object(verify, path, &entry, false,
						   store->used != NULL ?
						   &store->used->manifest.identity : NULL, &problem) &&
			!problem.missing && !is_known(path))
			damaged(verify, problem.path, problem.text);
		pfree(path);
	}
}

/*
 * What lies in no object between the first and the last of an epoch must be a
 * gap that is known.
 */
static void
verify_chain(Verify *verify, const StoreManifest *used)
{
	const CkpxManifest *manifest = &used->manifest;
	CkpxEntryStore *store;
	uint32		nholes = 0;

	store = palloc(ckpx_entry_store_size(manifest->nentries + 1));
	ckpx_entry_store_init(store, manifest->nentries + 1);
	ckpx_entry_store_restore(store, manifest->epoch, manifest->timeline,
							 manifest->epoch_start, manifest->gaps,
							 manifest->ngaps);
	for (uint32 i = 0; i < manifest->nentries; i++)
	{
		const CkpxEntry *entry = &manifest->entries[i];
		CkpxStoreResult result = ckpx_entry_store_load(store, entry);
		char		text[CKPX_ENTRY_TEXT_MAX];

		if (result != CKPX_STORE_OK)
			damaged(verify, used->path,
					psprintf("%s is there twice, or not in its epoch",
							 ckpx_entry_text(entry, text)));
	}
	for (uint32 i = 0; i < store->nentries && nholes < MAX_HOLES;)
	{
		uint32		epoch = ckpx_entry_store_at(store, i)->range.epoch;
		XLogRecPtr	from = InvalidXLogRecPtr;
		XLogRecPtr	to;

		for (; nholes < MAX_HOLES &&
			 ckpx_entry_store_hole(store, epoch, &from, &to); from = to)
		{
			damaged(verify, used->path,
					psprintf("no object of epoch %u has %X/%X - %X/%X, and no gap says so",
							 epoch, LSN_FORMAT_ARGS(from),
							 LSN_FORMAT_ARGS(to)));
			nholes++;
		}
		i = ckpx_entry_store_ending_after(store, epoch, PG_UINT64_MAX);
	}
	pfree(store);
}

static void
verify_directory(Verify *verify, const char *path)
{
	Store	   *store = store_read(path);
	char	 ***names = palloc0(sizeof(char **) * (store->nmanifests + 1));

	for (uint32 i = 0; i < store->nmanifests; i++)
	{
		StoreManifest *manifest = &store->manifests[i];

		if (manifest->good)
			names[i] = entry_names(manifest->manifest.entries,
								   manifest->manifest.nentries);
		else if (!manifest->problem.missing)
			damaged(verify, manifest->path, manifest->problem.text);
		verify->nmanifests++;
	}
	if (store->used == NULL)
		damaged(verify, store->path, "there is no manifest that can be read");
	for (uint32 i = 0; i < store->nmanifests; i++)
	{
		if (store->manifests[i].good)
			verify_named(verify, store, i, names);
	}
	verify_others(verify, store, names);
	if (store->used != NULL)
		verify_chain(verify, store->used);
}

/*-------------------------------------------------------------------------
 * Files
 *-------------------------------------------------------------------------
 */

static void
verify_file(Verify *verify, const char *path, FileKind kind)
{
	CkpxManifest manifest;
	Problem		problem;

	if (kind == FILE_MANIFEST)
	{
		verify->nmanifests++;
		if (manifest_read(path, &manifest, &problem))
			ckpx_manifest_free(&manifest);
		else
			damaged(verify, problem.path, problem.text);
	}
	else if (!verify_object(verify, path, NULL, false, NULL, &problem))
		damaged(verify, problem.path, problem.text);
}

int
verify_run(const Options *options, char **paths, int npaths)
{
	Verify		verify = {0};

	/* A path that is wrong is an error before anything is printed. */
	for (int i = 0; i < npaths; i++)
		(void) file_kind(paths[i]);

	output_begin(options->json);
	output_many("damaged");
	for (int i = 0; i < npaths; i++)
	{
		FileKind	kind = file_kind(paths[i]);

		if (kind == FILE_DIRECTORY)
			verify_directory(&verify, paths[i]);
		else
			verify_file(&verify, paths[i], kind);
	}
	output_one("verified");
	output_number("manifests", verify.nmanifests);
	output_number("objects", verify.nobjects);
	output_number("bytes", verify.bytes);
	output_number("unnamed", verify.nunnamed);
	output_number("damaged", verify.ndamaged);
	output_row();
	output_end();
	return verify.ndamaged > 0 ? EXIT_DAMAGE : 0;
}
