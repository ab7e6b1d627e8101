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

#include "core/manifest.h"
#include "core/names.h"
#include "core/object_format.h"

typedef struct CkpxOutput CkpxOutput;

/* In the data directory: who it is; in the store's folder: whose it is. */
#define CKPX_NODE_FILE		"ckpx_node"
#define CKPX_LOCK_FILE		"lock"

/*
 * Write a new file; bytes go through a buffer.  'what', a static string, names
 * fault points: <what>-create, -write, -fsync, -rename, -renamed.  _abort
 * closes and removes the temporary file; it raises no error, so it may be
 * called in PG_CATCH, and does nothing for NULL or after _publish returned.
 */
extern CkpxOutput *ckpx_output_create(const char *name, const char *what);
extern void ckpx_output_write(void *output, const char *bytes, Size length);
extern void ckpx_output_publish(CkpxOutput *output);

/* Bytes given to _write so far. */
extern uint64 ckpx_output_bytes(const CkpxOutput *output);
extern void ckpx_output_abort(CkpxOutput *output);

/*
 * Read a whole file, at most 'max' bytes, with a zero byte behind it; NULL
 * when it is not there.
 */
extern char *ckpx_read_file(const char *name, Size max, Size *length);

/* Remove a file of ours; a missing one is no error.  _quietly: or a WARNING. */
extern void ckpx_remove_file(const char *name);
extern void ckpx_remove_file_quietly(const char *name);

/* Call 'visit' with each name in the folder, in ascending order. */
extern void ckpx_list_files(void (*visit) (const char *name, void *arg),
							void *arg);

/*
 * Make ckpx.directory and CkpxShared->folder, which must be set and lie in it,
 * where they are not there yet.  Where ckpx.directory lies in the data
 * directory and holds the folder of the data directory that this one is a
 * copy of, that folder is taken over: its history is ours as well.
 */
extern void ckpx_folder_create(void);

/*
 * Take the folder for this process until it ends; true also if it has it
 * already.  False, with errno, while another process has it.
 */
extern bool ckpx_folder_lock(void);

/*
 * The identifier of this data directory, from CKPX_NODE_FILE in it.  Where
 * there is none, a new one is made; also where the file is damaged or names
 * another directory (device and inode), as it does in a copy: then *is_copy
 * is true.  Durable when it returns.
 */
extern uint64 ckpx_node_identity(bool *is_copy);

/*
 * An object for reading, through all its parts, from the present process.
 * 'missing_ok': NULL when the first part is not there.  Damage raises
 * ERRCODE_DATA_CORRUPTED naming the file.  Kind, epoch, timeline, range and,
 * where they are not 0, version, nparts and size_bytes must be those of the
 * entry; system identifier, major and block sizes those of this cluster.  All
 * parts of an object must have the same header but for the part's number.
 * All lives in the memory context of _open, with one descriptor per part.
 * _find leaves 'relation' as it is where the key is not there; _find_since
 * leaves out a global's layers that end at or before 'lsn'.  _peek tells the
 * key of the record that _next will visit, see object_format.h.
 */
typedef struct CkpxObjectFile CkpxObjectFile;

extern CkpxObjectFile *ckpx_object_file_open(const CkpxEntry *entry,
											 bool missing_ok);
extern const CkpxObjectHeader *ckpx_object_file_header(CkpxObjectFile *file);
extern bool ckpx_object_file_next(CkpxObjectFile *file,
								  CkpxRelationView *view);
extern bool ckpx_object_file_find(CkpxObjectFile *file, const CkpxRelKey *key,
								  CkpxRelation *relation);
extern bool ckpx_object_file_find_since(CkpxObjectFile *file,
										const CkpxRelKey *key, XLogRecPtr lsn,
										CkpxRelation *relation);
extern bool ckpx_object_file_peek(CkpxObjectFile *file, CkpxRelKey *key);

/* No range that ends before this is answered by the global; Invalid: any is. */
extern XLogRecPtr ckpx_object_file_tombstones_from(CkpxObjectFile *file);
extern void ckpx_object_file_close(CkpxObjectFile *file);

/*
 * Check header, footer, table of contents and size of every part without
 * reading the body; false with *problem, a palloc'd sentence that names the
 * file, also where a file is missing or its sectors cannot be read.
 */
extern bool ckpx_object_file_check(const CkpxEntry *entry, char **problem);

/* The same for one named file of which only the name is known; fills entry. */
extern bool ckpx_object_file_probe(const char *name, CkpxEntry *entry,
								   char **problem);

/* Sum of the sizes of the store's files, in bytes; 0 before the first start. */
extern uint64 ckpx_directory_bytes(void);

#endif							/* CKPX_FILES_H */
