/*-------------------------------------------------------------------------
 *
 * store.c
 *		A store's directory: its files and its manifests.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/dump/store.h"

#include <dirent.h>
#include <sys/stat.h>

#include "common/logging.h"

static int
compare_files(const void *a, const void *b)
{
	const StoreFile *left = a;
	const StoreFile *right = b;

	return strcmp(left->file, right->file);
}

/* List the files of ours; *folder becomes the name of a store in it. */
static void
list_files(Store *store, char **folder)
{
	DIR		   *dir = opendir(store->path);
	struct dirent *de;
	uint32		room = 64;
	int			nfolders = 0;

	if (dir == NULL)
		pg_fatal("could not open directory \"%s\": %m", store->path);
	store->files = palloc(sizeof(StoreFile) * room);
	store->nfiles = 0;
	while (errno = 0, (de = readdir(dir)) != NULL)
	{
		StoreFile  *file = &store->files[store->nfiles];
		uint64		system_identifier;
		uint64		node_id;
		struct stat st;
		char	   *path;

		if (ckpx_parse_folder_name(de->d_name, &system_identifier, &node_id))
		{
			*folder = pstrdup(de->d_name);
			nfolders++;
		}
		ckpx_parse_name(de->d_name, &file->name);
		if (file->name.type == CKPX_NAME_UNKNOWN)
			continue;
		file->file = pstrdup(de->d_name);
		path = psprintf("%s/%s", store->path, de->d_name);
		file->size = stat(path, &st) == 0 ? st.st_size : 0;
		pfree(path);
		if (++store->nfiles == room)
		{
			room *= 2;
			store->files = repalloc(store->files, sizeof(StoreFile) * room);
		}
	}
	if (errno != 0)
		pg_fatal("could not read directory \"%s\": %m", store->path);
	closedir(dir);
	if (store->nfiles == 0 && nfolders > 1)
		pg_fatal("directory \"%s\" holds the stores of several data directories",
				 store->path);
	if (store->nfiles == 0 && nfolders == 0)
		pg_fatal("directory \"%s\" has no file of ckpx", store->path);
	qsort(store->files, store->nfiles, sizeof(StoreFile), compare_files);
}

static void
read_manifests(Store *store)
{
	store->manifests = palloc0(sizeof(StoreManifest) * (store->nfiles + 1));
	for (uint32 i = store->nfiles; i-- > 0;)
	{
		const StoreFile *file = &store->files[i];
		StoreManifest *found;

		if (file->name.type != CKPX_NAME_MANIFEST)
			continue;
		found = &store->manifests[store->nmanifests++];
		found->file = file->file;
		found->path = psprintf("%s/%s", store->path, file->file);
		found->good = manifest_read(found->path, &found->manifest,
									&found->problem);
		if (found->good && found->manifest.sequence != file->name.sequence)
		{
			found->good = false;
			found->problem.path = found->path;
			found->problem.text = "its name does not have its sequence number";
		}
		if (found->good && store->used == NULL)
			store->used = found;
	}
}

Store *
store_read(const char *path)
{
	Store	   *store = palloc0(sizeof(Store));
	char	   *folder = NULL;

	store->path = pstrdup(path);
	canonicalize_path(store->path);
	list_files(store, &folder);
	if (store->nfiles == 0 && folder != NULL)
	{
		store->path = psprintf("%s/%s", store->path, folder);
		list_files(store, &folder);
	}
	read_manifests(store);
	return store;
}

char *
store_object_path(const Store *store, const CkpxEntry *entry)
{
	char		name[CKPX_NAME_MAX];

	ckpx_entry_object_name(name, entry, 0);
	return psprintf("%s/%s", store->path, name);
}

bool
store_warn(const Store *store)
{
	bool		any = false;

	for (uint32 i = 0; i < store->nmanifests; i++)
	{
		if (store->manifests[i].good)
			continue;
		problem_warn(&store->manifests[i].problem);
		any = true;
	}
	return any;
}

int
entry_compare(const CkpxEntry *a, const CkpxEntry *b)
{
	if (a->range.epoch != b->range.epoch)
		return a->range.epoch < b->range.epoch ? -1 : 1;
	if (a->range.start_lsn != b->range.start_lsn)
		return a->range.start_lsn < b->range.start_lsn ? -1 : 1;
	if (a->range.end_lsn != b->range.end_lsn)
		return a->range.end_lsn < b->range.end_lsn ? -1 : 1;
	return (int) a->kind - (int) b->kind;
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

char	  **
entry_names(const CkpxEntry *entries, uint32 nentries)
{
	char	  **names = palloc(sizeof(char *) * ((Size) nentries + 1));

	for (uint32 i = 0; i < nentries; i++)
	{
		char		name[CKPX_NAME_MAX];

		ckpx_entry_object_name(name, &entries[i], 0);
		names[i] = pstrdup(name);
	}
	qsort(names, nentries, sizeof(char *), compare_names);
	return names;
}

bool
entry_names_have(char **names, uint32 nnames, const StoreFile *file)
{
	char		name[CKPX_NAME_MAX];
	char	   *wanted = name;

	if (file->name.type != CKPX_NAME_OBJECT)
		return false;
	ckpx_object_name(name, file->name.kind, file->name.epoch,
					 file->name.timeline, file->name.start_lsn,
					 file->name.end_lsn, 0);
	return bsearch(&wanted, names, nnames, sizeof(char *),
				   compare_names) != NULL;
}
