/*-------------------------------------------------------------------------
 *
 * object_file.h
 *		Checkpoint objects as files, read through all their parts.
 *
 * Any process may read; nothing is shared.  Everything lives in the memory
 * context of _open and is let go by _close; outside a transaction an error
 * leaves descriptors open until the worker's error block calls
 * AtEOXact_Files().
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_OBJECT_FILE_H
#define CKPX_OBJECT_FILE_H

#include "postgres.h"

#include "core/format/names.h"
#include "core/format/object_parts.h"
#include "core/history/entry_store.h"

/*
 * An object for reading, through all its parts, from the present process.
 * Damage raises ERRCODE_DATA_CORRUPTED naming the file, and the checkpointer
 * looks at the object (no lock may be held); so does a missing file, but for:
 * 'missing_ok': the object may be removed at any time.  Then _open returns
 * NULL, and _next and _find return false with _gone being true from then
 * on, when a part is not there; ask _gone before believing a false.
 *
 * Kind, epoch, timeline, range and, where they are not 0, version, nparts and
 * size_bytes must be those of the entry; system identifier, major and block
 * sizes those of this cluster.  All parts of an object must have the same
 * header but for the part's number.  All lives in the memory context of _open,
 * with one descriptor, that of the part in use.
 *
 * _find appends what the object has of one key to 'relation', and leaves
 * that as it is where the key is not there; it leaves out a global's layers
 * that end at or before 'lsn'.  _peek tells the key of the record that _next
 * will visit, see object_format.h.
 */
typedef struct CkpxObjectFile CkpxObjectFile;

extern CkpxObjectFile *ckpx_object_file_open(const CkpxEntry *entry,
											 bool missing_ok);
extern const CkpxObjectHeader *ckpx_object_file_header(CkpxObjectFile *file);
extern const CkpxObjectParts *ckpx_object_file_parts(CkpxObjectFile *file);

/*
 * The marks in an object's header, from the current memory context, reading
 * its first part's header and table of contents only; false where the object
 * is gone.
 */
extern bool ckpx_object_file_marks(const CkpxEntry *entry, bool missing_ok,
								   CkpxMark **marks, uint32 *nmarks);

/*
 * The layers of a global, CKPX_MAX_LAYERS at most, read from the header of its
 * first part; returns how many.  For people: an object that is gone or cannot
 * be read is no error but has none; the checkpointer looks at it, if it should
 * be there.
 */
extern uint32 ckpx_object_file_layers(const CkpxEntry *entry,
									  CkpxLayer *layers);
extern bool ckpx_object_file_next(CkpxObjectFile *file,
								  CkpxRelationView *view);
extern bool ckpx_object_file_find(CkpxObjectFile *file,
								  const CkpxRelKey *key, XLogRecPtr lsn,
								  CkpxRelation *relation);
extern bool ckpx_object_file_peek(CkpxObjectFile *file, CkpxRelKey *key);
extern bool ckpx_object_file_gone(const CkpxObjectFile *file);

/* The global answers no range that ends before this; Invalid: it does any. */
extern XLogRecPtr ckpx_object_file_tombstones_from(CkpxObjectFile *file);
extern void ckpx_object_file_close(CkpxObjectFile *file);

/* Raise an error about the record that _next visited, or should have. */
extern void ckpx_object_file_damaged(CkpxObjectFile *file,
									 const char *problem);

/*
 * Read the records that remain and append them to 'tree': of a global those of
 * the layers that end after 'lsn', which is right only for the first object of
 * the tree.  Where the object has gone the tree holds a part of it.
 */
extern void ckpx_object_file_merge(CkpxObjectFile *file, XLogRecPtr lsn,
								   CkpxDirtyTree *tree);

/*
 * Open an object, append all of it to 'tree', close it; false where it has
 * gone and 'missing_ok'.
 */
extern bool ckpx_object_merge(const CkpxEntry *entry, bool missing_ok,
							  CkpxDirtyTree *tree);

/*
 * What a look at an object finds.  DAMAGED: its files are there, were read
 * twice, and both times the same was wrong.  ABSENT: a file is not there or
 * its sectors cannot be read, which may be over in a moment; what to do if it
 * lasts is up to the caller.  Whatever else keeps files from being read
 * (rights, descriptors) says nothing about the object and is raised.
 */
typedef enum CkpxObjectState
{
	CKPX_OBJECT_GOOD = 0,
	CKPX_OBJECT_DAMAGED,
	CKPX_OBJECT_ABSENT
} CkpxObjectState;

/*
 * Check header, footer, table of contents and size of every part, with 'body'
 * also all else by reading it to the end, and learn entry->tombstones_from.
 * Unless GOOD, *problem is a palloc'd sentence that names the file.
 */
extern CkpxObjectState ckpx_object_file_verify(CkpxEntry *entry, bool body,
											   char **problem);

/*
 * The same without the body for an object of which only the name of its first
 * file is known; fills entry and *identity.
 */
extern CkpxObjectState ckpx_object_file_probe(const CkpxName *name,
											  CkpxEntry *entry,
											  CkpxIdentity *identity,
											  char **problem);

/*
 * Give the files of an object a second name, by which they stay when the
 * object is removed: its damage may tell more than that it is there.
 */
extern void ckpx_object_file_keep(const CkpxEntry *entry);

/* The reason of the gap that its loss leaves, CKPX_GAP_REASON_MAX bytes. */
extern void ckpx_object_file_loss(char *reason, const CkpxEntry *entry);

#endif							/* CKPX_OBJECT_FILE_H */
