/*-------------------------------------------------------------------------
 *
 * map_reader.h
 *		The map of any range, read in a backend from objects and the logtail.
 *
 * The inputs of a range, objects of finished incrementals and then segments
 * of the logtail, are chosen in one go under the lock, so that nothing falls
 * between them; they are merged in ascending LSN order.  An input is merged
 * whole or not at all: where a range starts or ends inside one, the map names
 * more blocks than it had to, never fewer.
 *
 * A range that is not covered without a hole is an error that names the first
 * missing LSN.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_MAP_READER_H
#define CKPX_MAP_READER_H

#include "postgres.h"

#include "core/map/dirty_tree.h"
#include "fmgr.h"

typedef struct CkpxMap
{
	uint32		nrelations;
	CkpxRelation **relations;	/* in key order */
	XLogRecPtr	covered_to;		/* the map is of [start, covered_to) */
	uint8		custom_rmgrs[CKPX_RMGR_BITMAP_BYTES];	/* of everything that
														 * was merged: records
														 * of them may have
														 * changed more */
} CkpxMap;

/*
 * Read the map of [start_lsn, end_lsn) into the current memory context: check
 * the arguments, which are a caller's, take the present end of WAL for an
 * invalid 'end_lsn', and wait until the end is collected.  'relation' (its
 * fork is ignored) restricts the map to one relation's forks and the
 * database-wide row of its database.
 */
extern void ckpx_map_read_range(CkpxMap *map, XLogRecPtr start_lsn,
								XLogRecPtr end_lsn,
								const CkpxRelKey *relation);

/*
 * The key of a relation as its files are now; the fork is MAIN.  Raises an
 * error where it has no map: it does not exist, has no files, or its changes
 * are not in WAL.  Its lock is released: a caller that goes on to read it
 * holds one of its own.
 */
extern CkpxRelKey ckpx_map_relation_key(Oid relid);

/* _map_read_range for the arguments start_lsn and end_lsn of a function. */
extern void ckpx_map_read_arguments(FunctionCallInfo fcinfo, CkpxMap *map,
									const CkpxRelKey *relation);

/*
 * The same from the logtail alone.  Invalid LSNs stand for its first and last
 * one; an end beyond what is collected is cut off there, see covered_to.
 */
extern void ckpx_map_read_logtail(CkpxMap *map, XLogRecPtr start_lsn,
								  XLogRecPtr end_lsn);

/*
 * Raise 55000 where custom_rmgrs is not empty; 'hint' says what the caller can
 * do.
 */
extern void ckpx_map_require_decoders(const CkpxMap *map, const char *hint);

/* Find a relation fork; NULL: the map does not have it. */
extern CkpxRelation **ckpx_map_find(const CkpxMap *map, const CkpxRelKey *key);

#endif							/* CKPX_MAP_READER_H */
