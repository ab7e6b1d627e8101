/*-------------------------------------------------------------------------
 *
 * object_parts.h
 *		A checkpoint object read through all its parts as one.
 *
 * object_format.h reads one file.  Here is what makes several of them an
 * object: that a part is the one that its entry or its name means, that it was
 * written together with the first, so that parts left by an earlier attempt
 * are not taken for parts of this one, and that keys go on ascending from part
 * to part.  And what an object as a whole says: its counts, its tombstones,
 * which of its records tell of changes since an LSN.
 *
 * The caller opens the files and adds their readers in order, until the totals
 * of one have last_part set.  It keeps the readers' callbacks working, and
 * after an error tells by 'last' which part it was.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_OBJECT_PARTS_H
#define CKPX_OBJECT_PARTS_H

#include "core/format/object_format.h"
#include "core/history/entry.h"

/* More parts than any object has; a bound for a damaged one. */
#define CKPX_MAX_PARTS		65536

typedef struct CkpxObjectParts
{
	CkpxMemory	mem;
	uint32		nparts;
	CkpxObjectReader **readers;
	uint64		size_bytes;		/* of all parts so far */
	uint32		last;			/* the part that was looked at last */
	uint32		current;		/* the part that _next is in */
	bool		part_begun;		/* a record of it was returned */
	bool		any_key;
	CkpxRelKey	last_key;
} CkpxObjectParts;

extern void ckpx_object_parts_init(CkpxObjectParts *parts, CkpxMemory mem);

/*
 * Add the reader of the next part, a file of 'size' bytes.  False with
 * *problem where it is not that part of the object that 'expected' means, of
 * which kind, epoch, timeline, range and, unless 0, version are looked at.
 * The reader is kept in any case, and closed by _close.
 */
extern bool ckpx_object_parts_add(CkpxObjectParts *parts,
								  CkpxObjectReader *reader, uint64 size,
								  const CkpxEntry *expected,
								  const char **problem);

/*
 * May a cluster 'own' use a file of 'found'?  NULL, or what is wrong.  The
 * node identifier is another one in what a copy has taken over, and what a
 * later epoch changed (checksums, WAL segment size) does not make an older
 * object wrong.
 */
extern const char *ckpx_identity_problem(const CkpxIdentity *found,
										 const CkpxIdentity *own);

/* The header of the first part, which is that of all but for the number. */
extern const CkpxObjectHeader *ckpx_object_parts_header(const CkpxObjectParts *parts);

/* The global answers no range that ends before this; Invalid: it does any. */
extern XLogRecPtr ckpx_object_parts_tombstones_from(const CkpxObjectParts *parts);

/* The entry of an object, as far as its headers and footers tell. */
extern void ckpx_object_parts_describe(const CkpxObjectParts *parts,
									   CkpxEntry *entry);

/*
 * As ckpx_object_next(), _peek() and _find(), over all parts.  _peek returns
 * false with *problem NULL at the end.
 */
extern bool ckpx_object_parts_next(CkpxObjectParts *parts,
								   CkpxRelationView *view,
								   const char **problem);
extern bool ckpx_object_parts_peek(CkpxObjectParts *parts, CkpxRelKey *key,
								   const char **problem);
extern bool ckpx_object_parts_find(CkpxObjectParts *parts,
								   const CkpxRelKey *key, XLogRecPtr lsn,
								   CkpxRelation *relation, bool *found,
								   const char **problem);

/*
 * Append a record that _next visited to 'tree', unless it belongs to a layer
 * that ends at or before 'lsn'.  Of a global, layers come newest first, so
 * it must be the first object of the tree.
 */
extern bool ckpx_object_parts_append(const CkpxObjectParts *parts,
									 const CkpxRelationView *view,
									 XLogRecPtr lsn, CkpxDirtyTree *tree,
									 const char **problem);

/* Close the readers and free the list of them. */
extern void ckpx_object_parts_close(CkpxObjectParts *parts);

#endif							/* CKPX_OBJECT_PARTS_H */
