/*-------------------------------------------------------------------------
 *
 * range_map.h
 *		The map of a range, put together from objects and what follows them.
 *
 * The idea: an answer is made of what ckpx_entry_store_collect() chooses, in
 * ascending order of LSN, each whole.  A global is always the first: its
 * layers that end at or before the range's start say nothing about it, and it
 * cannot answer a range that ends before its tombstones LSN.  Where it has
 * removed tombstones within the range, visibility maps are completed at the
 * end.
 *
 * A map of one relation has the rows of its forks and of its database from
 * the start, and takes in nothing else.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_RANGE_MAP_H
#define CKPX_RANGE_MAP_H

#include "core/format/object_parts.h"

typedef struct CkpxRangeMap
{
	XLogRecPtr	start_lsn;
	XLogRecPtr	end_lsn;
	bool		one_relation;
	bool		incomplete;		/* tombstones of the range were removed */
	uint8		custom_rmgrs[CKPX_RMGR_BITMAP_BYTES];	/* of all that was
														 * appended */
	CkpxDirtyTree *tree;
} CkpxRangeMap;

/*
 * Begin the map of [start_lsn, end_lsn), of all relations or, unless NULL, of
 * one ('relation', whose fork is ignored) and the row of its database.
 */
extern void ckpx_range_map_begin(CkpxRangeMap *map, CkpxMemory mem,
								 XLogRecPtr start_lsn, XLogRecPtr end_lsn,
								 const CkpxRelKey *relation);

/* Does the map take in rows of this key? */
extern bool ckpx_range_map_wants(const CkpxRangeMap *map,
								 const CkpxRelKey *key);

/*
 * Note that an object is appended now; false where it is a global that does
 * not answer the range, which has to end at its tombstones LSN or later.  The
 * caller then appends its records, with ckpx_object_parts_append() or, of one
 * relation, ckpx_object_parts_find() for each row of the tree.
 */
extern bool ckpx_range_map_enter(CkpxRangeMap *map,
								 const CkpxObjectParts *parts);

/* Note the resource managers of a range that was appended otherwise. */
extern void ckpx_range_map_note(CkpxRangeMap *map, const CkpxRange *range);

/*
 * All is appended: an array of the relations that something is known of, in
 * the order of their keys, from the map's memory.
 */
extern CkpxRelation **ckpx_range_map_finish(CkpxRangeMap *map,
											uint32 *nrelations);

#endif							/* CKPX_RANGE_MAP_H */
