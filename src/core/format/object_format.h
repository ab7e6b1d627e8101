/*-------------------------------------------------------------------------
 *
 * object_format.h
 *		A checkpoint object: encode, read, verify.  FORMAT.md has the offsets.
 *
 * An object is a header, sections of relation records (dirty_tree.h) in key
 * order, a table of contents with the first key, place, sizes and CRC of each
 * section, and a footer with the totals.  The header says what the file is
 * and can be judged alone; the footer proves that the file is whole; one
 * relation is read through the table of contents without the rest.  Each part
 * has its own CRC-32C.  Everything is little endian.
 *
 * A global's records belong to layers (layers.h), whose ends are in the
 * header: a relation has a record for each layer that has something to say
 * about it, one behind the other, newest first.  All other objects have one
 * record for each relation.
 *
 * A large object is split into parts, each a complete file of this format
 * with its number in the header, totals of its own, and the same numbers
 * about the range in each header; key order continues over parts, which the
 * reader of several parts must check.  Only the last part's footer has
 * last_part set.  All records of a relation lie in the same part.
 *
 * Writing goes through a callback that takes the next bytes, reading through
 * one that reads at an offset, so nothing here knows a file.  Both may raise
 * the server's error; nothing needs to be cleaned up then but memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_OBJECT_FORMAT_H
#define CKPX_OBJECT_FORMAT_H

#include "core/history/mark.h"
#include "core/history/range.h"
#include "core/map/layers.h"

#define CKPX_OBJECT_VERSION		3

#define CKPX_COMPRESSION_NONE	0
#define CKPX_COMPRESSION_ZSTD	1

/*
 * Bounds that a reader insists on.  A section has room for the largest record
 * that can be (a bitmap container for each of the 65536 chunks of a fork, 513
 * MiB) and fits, like its compressed form at its worst, into one allocation
 * of the server.  The open transactions are more than PostgreSQL can have.
 */
#define CKPX_MAX_SECTION_BYTES	(640 * 1024 * 1024)
#define CKPX_MAX_SECTIONS		(1024 * 1024)
#define CKPX_MAX_OPEN_XACTS		(1024 * 1024)

/* A transaction that was open at the object's end. */
typedef struct CkpxOpenXact
{
	uint32		xid;
	XLogRecPtr	first_lsn;		/* of its first record */
} CkpxOpenXact;

typedef struct CkpxObjectHeader
{
	uint32		version;		/* CKPX_OBJECT_VERSION; read: up to it */
	CkpxEntryKind kind;
	CkpxIdentity identity;
	CkpxRange	range;			/* without next_xid and clock_ms */
	uint32		part;			/* 0, 1, ... */
	int64		written_at;
	uint32		nopen_xacts;	/* at most CKPX_MAX_OPEN_XACTS */
	CkpxOpenXact *open_xacts;	/* read: by xid, from the reader's memory; to
								 * write: in any order */
	uint32		nlayers;		/* of a global, newest first; else 0 */
	CkpxLayer	layers[CKPX_MAX_LAYERS];
	uint32		nmarks;			/* at most CKPX_MAX_MARKS; version 1: none */
	CkpxMark   *marks;			/* ascending, within the range; read: from the
								 * reader's memory */
} CkpxObjectHeader;

/* Of one file, that is, of one part. */
typedef struct CkpxObjectTotals
{
	uint32		nrelations;		/* records: in a global, one for each layer */
	uint64		nblocks;
	uint32		undurable;		/* records with CKPX_REL_UNDURABLE */
	bool		last_part;
	XLogRecPtr	tombstones_from;	/* of a global: no answer that ends before
									 * this; Invalid: none was removed */
} CkpxObjectTotals;

typedef struct CkpxObjectOptions
{
	uint32		section_rows;	/* at most so many relation records */
	uint32		section_bytes;	/* at most so many bytes before compression,
								 * but at least one record */
	int			compression;	/* CKPX_COMPRESSION_...; what is not built in
								 * is written without.  Block sets are packed
								 * where there is any */
} CkpxObjectOptions;

/*
 * Writing: begin, add in order of key and layer, end.  Memory: one section,
 * its compressed form, and 40 bytes for each section so far.  After the
 * greater half of CKPX_MAX_SECTIONS a file's sections become larger than asked
 * for, so that their number stays within the bound.
 */
typedef void (*CkpxObjectWrite) (void *arg, const char *bytes, Size length);
typedef struct CkpxObjectWriter CkpxObjectWriter;

extern CkpxObjectWriter *ckpx_object_begin(CkpxMemory mem,
										   const CkpxObjectHeader *header,
										   const CkpxObjectOptions *options,
										   CkpxObjectWrite write, void *arg);
extern void ckpx_object_add(CkpxObjectWriter *writer,
							const CkpxRelation *relation, uint32 layer);

/*
 * About the size of the file if it ended now: bytes handed to the callback so
 * far, those gathered and not yet compressed, table of contents and footer.
 */
extern uint64 ckpx_object_written(const CkpxObjectWriter *writer);

/*
 * Write the rest, fill *totals (last_part and tombstones_from are input), free
 * the writer.
 */
extern void ckpx_object_end(CkpxObjectWriter *writer,
							CkpxObjectTotals *totals);

/*
 * Reading.  The callback reads exactly 'length' bytes at 'offset' or returns
 * false (a short file, which becomes a problem "file is too short").
 *
 * _open reads and verifies header, footer and table of contents of a file of
 * 'size' bytes.  _find appends what the object has of one key to 'relation'
 * (made with ckpx_relation_init), reading only the sections that hold it, and
 * without the layers that end at or before 'lsn'; *found tells whether it was
 * there.  _next visits every record in order of key and
 * layer, section by section, and at the end compares the totals; the view is
 * good until the next call for this reader; calls may be mixed.  _peek tells
 * the key of the record that _next will visit, or false where there is none,
 * without reading a section for it, and frees the section before it if that
 * is through: a merge of many objects holds no more than it looks at.
 * _next and _find return false (_open: NULL) with *problem
 * set where the bytes are not what they must be, and _next returns false with
 * *problem NULL at the end.
 */
typedef bool (*CkpxObjectRead) (void *arg, uint64 offset, char *bytes,
								Size length);
typedef struct CkpxObjectReader CkpxObjectReader;

extern CkpxObjectReader *ckpx_object_open(CkpxMemory mem, CkpxObjectRead read,
										  void *arg, uint64 size,
										  const char **problem);
extern const CkpxObjectHeader *ckpx_object_header(const CkpxObjectReader *reader);
extern const CkpxObjectTotals *ckpx_object_totals(const CkpxObjectReader *reader);
extern bool ckpx_object_find(CkpxObjectReader *reader, const CkpxRelKey *key,
							 XLogRecPtr lsn, CkpxRelation *relation,
							 bool *found, const char **problem);
extern bool ckpx_object_next(CkpxObjectReader *reader, CkpxRelationView *view,
							 const char **problem);
extern bool ckpx_object_peek(CkpxObjectReader *reader, CkpxRelKey *key);
extern void ckpx_object_close(CkpxObjectReader *reader);

#endif							/* CKPX_OBJECT_FORMAT_H */
