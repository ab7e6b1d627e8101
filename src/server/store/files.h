/*-------------------------------------------------------------------------
 *
 * files.h
 *		The store's folder: durable writing, bounded reading, removal.
 *
 * Paths are always CkpxShared->folder plus a name that names.h built or
 * parsed.  Errors are raised with errcode_for_file_access() and the path.
 *
 * Publishing: the file is written as <name>.tmp, fsynced, renamed to <name>
 * (durable_rename() syncs the folder too).  A file that was not published is
 * removed by _abort or, after a crash, at the next start.  When _publish
 * itself raises an error, the file may already have its final name: the same
 * name must be written again, or be counted as possibly there.
 *
 * Outside a transaction an error leaves descriptors open until the worker's
 * error block calls AtEOXact_Files(); _abort comes before that.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_FILES_H
#define CKPX_FILES_H

#include "postgres.h"

#include "core/format/names.h"
#include "nodes/pg_list.h"

typedef struct CkpxOutput CkpxOutput;

/* Long work is done in pieces, with a look at interrupts between them. */
#define CKPX_IO_PIECE_BYTES	(1024 * 1024)

/*
 * Build the path of a file of the store; 'path' has MAXPGPATH bytes.  An error
 * before ckpx has started, and where 'name' leads out of the folder.
 */
extern void ckpx_store_path(char *path, const char *name);

/*
 * Write a new file; bytes go through a buffer.  'what', a static string, names
 * fault points: <what>-create, -write, -fsync, -rename, -renamed.  _abort
 * closes and removes the temporary file ('closed': its descriptor is closed
 * already); it raises no error, so it may be called in PG_CATCH, and does
 * nothing for NULL or after _publish returned.
 */
extern CkpxOutput *ckpx_output_create(const char *path, const char *what);
extern void ckpx_output_write(void *output, const char *bytes, Size length);
extern void ckpx_output_publish(CkpxOutput *output);
extern void ckpx_output_abort(CkpxOutput *output, bool closed);

/* Bytes given to _write so far. */
extern uint64 ckpx_output_bytes(const CkpxOutput *output);

/* All of that for a file whose bytes are there at once. */
extern void ckpx_write_file(const char *path, const char *bytes, Size length,
							const char *what);

/*
 * Read a whole file, at most 'max' bytes, with a zero byte behind it; NULL
 * when it is not there.
 */
extern char *ckpx_read_file(const char *name, Size max, Size *length);
extern char *ckpx_read_file_at(const char *path, Size max, Size *length);

/* Remove a file of the folder; a missing one is no error. */
extern void ckpx_remove_file(const char *name, int elevel);

/* A file of ours in the folder. */
typedef struct CkpxStoreFile
{
	CkpxName	name;			/* parsed from: */
	char		file[CKPX_NAME_MAX];
} CkpxStoreFile;

/*
 * List the files of a type, CKPX_NAME_UNKNOWN: of all types of ours, as
 * CkpxStoreFile, in ascending order of their names; so manifests are in that
 * of their sequences.  Empty before the first start.
 */
extern List *ckpx_list_files(CkpxNameType type);

/* Sum of the sizes of the files of ours; 0 before the first start. */
extern uint64 ckpx_directory_bytes(void);

#endif							/* CKPX_FILES_H */
