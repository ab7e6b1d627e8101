/*-------------------------------------------------------------------------
 *
 * store.h
 *		A store's directory: its files, its manifests, and the history that
 *		the newest one of these tells.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_DUMP_STORE_H
#define CKPX_DUMP_STORE_H

#include "bin/dump/object.h"

typedef struct StoreFile
{
	CkpxName	name;
	char	   *file;			/* its name */
	uint64		size;
} StoreFile;

typedef struct StoreManifest
{
	char	   *file;			/* its name */
	char	   *path;
	bool		good;			/* else: */
	Problem		problem;
	CkpxManifest manifest;
} StoreManifest;

typedef struct Store
{
	char	   *path;
	uint32		nfiles;			/* files of ours, in the order of names */
	StoreFile  *files;
	uint32		nmanifests;		/* newest first */
	StoreManifest *manifests;
	StoreManifest *used;		/* the newest that is good, or NULL */
} Store;

/*
 * Read a store's directory, or ckpx.directory if it holds one store only.
 * Damaged manifests are noted; other trouble ends the program.
 */
extern Store *store_read(const char *path);

/* The path of the first part of an entry's object. */
extern char *store_object_path(const Store *store, const CkpxEntry *entry);

/* Warn of each manifest that cannot be used; true if there are any. */
extern bool store_warn(const Store *store);

/* The order of a history: by epoch, range and kind. */
extern int	entry_compare(const CkpxEntry *a, const CkpxEntry *b);

/*
 * The names of what a list of entries names, sorted; then whether one is among
 * them: the name of a file, also of a further part.
 */
extern char **entry_names(const CkpxEntry *entries, uint32 nentries);
extern bool entry_names_have(char **names, uint32 nnames,
							 const StoreFile *file);

#endif							/* CKPX_DUMP_STORE_H */
