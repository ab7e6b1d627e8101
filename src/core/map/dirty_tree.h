/*-------------------------------------------------------------------------
 *
 * dirty_tree.h
 *		Which blocks of which relation forks changed in one range of WAL, how
 *		often, and the flat byte form of such a map.
 *
 * A tree maps a CkpxRelKey to a CkpxRelation.  It is filled record by record
 * while WAL is decoded, merged in LSN order into longer ranges, and encoded
 * as a run of relation records: that byte form is what a logtail segment
 * holds in shared memory and what the sections of an object file hold, so a
 * record is read in place, without building a tree.
 *
 * Merging is ordered, see block_set.h.  A dropped relation stays as a
 * tombstone: limit 0 and the DROPPED flag; creating it again clears the flag
 * (relfilenode numbers are reused) and sets limit 0 as well.
 *
 * A relation that lists blocks is not dropped.  Code that adds blocks through
 * a relation's block set may leave the flag alone: encoding and merging clear
 * it.
 *
 * In the server, running out of memory raises an error.  What was being added
 * may be missing then, so the range must be read again into a new tree.
 *
 * Flags and counters of a later range 'L' are appended to 'E' so:
 *		DROPPED			set if L has it; cleared if L does not have it and
 *						shows that the fork exists (by a limit, blocks or
 *						CREATED); else kept, for L only has counters then
 *		CREATED			E or L
 *		UNDURABLE		E or L
 *		SEQUENCE		L (a range with a row for the sequence knows best)
 *		counters		sums, which stop at the largest number
 *
 * A database-wide row (relation 0, CKPX_DATABASE_WIDE) covers every relation
 * of that database in that tablespace.  A reader of one relation must look at
 * that row too.
 *
 * All memory comes from the tree's CkpxMemory and goes with
 * ckpx_dirty_tree_free() or a reset of the context.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_DIRTY_TREE_H
#define CKPX_DIRTY_TREE_H

#include "core/map/block_set.h"
#include "lib/stringinfo.h"

/* Relation flags; they go to disk, so the numbers stay. */
#define CKPX_REL_DROPPED	0x0001	/* tombstone: gone at the range's end */
#define CKPX_REL_CREATED	0x0002	/* its fork was created within the range */
#define CKPX_REL_SEQUENCE	0x0004	/* a sequence whose page may still change
									 * without WAL after the range's end */
#define CKPX_REL_UNDURABLE	0x0008	/* made by a transaction that was open
									 * when the object was written: its files
									 * may not be durable (bulk builds) */
#define CKPX_REL_FLAGS_KNOWN	0x000f

/* What WAL did to a relation fork in the range.  Sums when merged. */
typedef struct CkpxRelCounters
{
	uint64		records;		/* records with a reference to the fork */
	uint64		wal_bytes;		/* their bytes; a record that names several
								 * forks is counted at the first only */
	uint64		fpi;			/* full-page images */
	uint64		tuples_inserted;	/* heap rows: inserts, updates' new rows */
	uint64		tuples_deleted; /* heap rows: deletes, updates' old rows */
} CkpxRelCounters;

typedef struct CkpxRelation
{
	CkpxRelKey	key;
	uint32		flags;			/* CKPX_REL_... */
	CkpxRelCounters counters;
	CkpxBlockSet blocks;		/* with the limit block */
	BlockNumber last_vm_block;	/* decoder's shortcut: the VM block marked for
								 * this fork last; not encoded */
	struct CkpxRelation *appended;	/* decoder's shortcut: the row with those
									 * of the blocks that got rows; not
									 * encoded */
} CkpxRelation;

typedef struct CkpxDirtyTree CkpxDirtyTree;

extern CkpxDirtyTree *ckpx_dirty_tree_create(CkpxMemory mem);
extern void ckpx_dirty_tree_free(CkpxDirtyTree *tree);

/*
 * Find a relation fork, _get making it if it is not there.  The pointer is
 * good for as long as the tree: growing the tree does not move relations.
 */
extern CkpxRelation *ckpx_dirty_tree_get(CkpxDirtyTree *tree,
										 const CkpxRelKey *key);
extern CkpxRelation *ckpx_dirty_tree_find(const CkpxDirtyTree *tree,
										  const CkpxRelKey *key);

/* Add one block.  The common path of WAL decoding: a few nanoseconds. */
extern CkpxRelation *ckpx_dirty_tree_mark(CkpxDirtyTree *tree,
										  const CkpxRelKey *key,
										  BlockNumber block);

/* The fork was created, truncated to 'length' blocks, or dropped. */
extern void ckpx_dirty_tree_create_fork(CkpxDirtyTree *tree,
										const CkpxRelKey *key);
extern void ckpx_dirty_tree_truncate_fork(CkpxDirtyTree *tree,
										  const CkpxRelKey *key,
										  BlockNumber length);
extern void ckpx_dirty_tree_drop_fork(CkpxDirtyTree *tree,
									  const CkpxRelKey *key);

/* Append the relation of the range that follows; 'later' is not changed. */
extern void ckpx_relation_merge(CkpxRelation *relation,
								const CkpxRelation *later);

/*
 * All relations in key order, as an array from the tree's memory (pfree it);
 * *count is set.
 */
extern CkpxRelation **ckpx_dirty_tree_sorted(const CkpxDirtyTree *tree,
											 uint32 *count);

/*
 * The byte form: relation records one after the other, in key order, little
 * endian:
 *
 *		offset	size
 *		 0		 4		length of the record, these 4 bytes included
 *		 4		 4		tablespace
 *		 8		 4		database; 0 for a shared relation
 *		12		 4		relation (relfilenode); 0: the whole database
 *		16		 2		fork: 0 main, 1 fsm, 2 vm, 3 init; 0 for relation 0
 *		18		 2		layer, in the object of a global (layers.h); else 0
 *		20		 4		flags, CKPX_REL_...; others must be 0
 *		24		 4		limit block; 4294967295: never shrank
 *		28		 4		length hint in blocks; 4294967295: unknown
 *		32		 8		counter: records
 *		40		 8		counter: wal_bytes
 *		48		 8		counter: fpi
 *		56		 8		counter: tuples_inserted
 *		64		 8		counter: tuples_deleted
 *		72		 8		number of listed blocks, at most 4294967295
 *		80		 -		listed blocks in the Roaring portable format or in
 *						its packed form (block_set.h), to the record's end;
 *						8 bytes where none is listed
 *
 * A record has no padding, so records are at any alignment.
 */
#define CKPX_RELATION_HEADER_BYTES	80

/* A record as found in bytes; 'roaring' points into them. */
typedef struct CkpxRelationView
{
	CkpxRelKey	key;
	uint32		layer;
	uint32		flags;
	BlockNumber limit_block;
	CkpxRelCounters counters;
	uint64		nblocks;		/* listed blocks */
	const char *roaring;
	uint32		roaring_length;
} CkpxRelationView;

/*
 * Append one relation's record to 'buf', with a layer's number, at most
 * PG_UINT16_MAX, or 0 where there are no layers; 'packed': its blocks in the
 * packed form.  In the server a StringInfo takes less than 1 GB and raises an
 * error beyond that, so a caller with much to encode looks at
 * ckpx_relation_encoded_size() and empties 'buf' in time.
 */
extern void ckpx_relation_encode(StringInfo buf, const CkpxRelation *relation,
								 uint32 layer, bool packed);

/* Size that ckpx_relation_encode() will append; packed: at most so much. */
extern Size ckpx_relation_encoded_size(const CkpxRelation *relation);

/*
 * Read the record at *offset of 'bytes' and move *offset behind it.  False
 * at the end of the bytes (*problem NULL) or at damage (*problem set).  Every
 * length is checked against 'length' before it is used; the Roaring bytes
 * themselves are judged only when they are deserialized.
 */
extern bool ckpx_relation_view_next(const char *bytes, Size length,
									Size *offset, CkpxRelationView *view,
									const char **problem);

/*
 * Append a record of a later range to a relation, or to a tree.  On damage
 * false with *problem set; the relation is as before then, the tree may have
 * an empty row more.  The record's key is not compared with the relation's.
 */
extern bool ckpx_relation_merge_view(CkpxRelation *relation,
									 const CkpxRelationView *view,
									 const char **problem);
extern bool ckpx_dirty_tree_merge_view(CkpxDirtyTree *tree,
									   const CkpxRelationView *view,
									   const char **problem);

/*
 * The same for a record of an *earlier* range, which is put before what the
 * relation, or the tree, holds: the result is what appending in the order of
 * the ranges would have given.  A relation that holds nothing at all is taken
 * for one that has no row.
 */
extern bool ckpx_relation_prepend_view(CkpxRelation *relation,
									   const CkpxRelationView *view,
									   const char **problem);
extern bool ckpx_dirty_tree_prepend_view(CkpxDirtyTree *tree,
										 const CkpxRelationView *view,
										 const char **problem);

/* Does the relation hold nothing: no block, limit, flag or counter? */
extern bool ckpx_relation_is_blank(const CkpxRelation *relation);

/*
 * Append all records of 'bytes', which belong to one later range.  On damage
 * false; the tree may then hold a part of them and should be freed.
 */
extern bool ckpx_dirty_tree_merge_bytes(CkpxDirtyTree *tree,
										const char *bytes, Size length,
										const char **problem);

/*
 * Make a free-standing relation that merges views of one key and allocates
 * from 'mem'; ckpx_block_set_reset() of its blocks frees everything.
 */
extern void ckpx_relation_init(CkpxRelation *relation, const CkpxRelKey *key,
							   CkpxMemory mem);

#endif							/* CKPX_DIRTY_TREE_H */
