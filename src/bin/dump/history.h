/*-------------------------------------------------------------------------
 *
 * history.h
 *		The history that a store or some objects have, and the map of a range
 *		in it.
 *
 * Core chooses the objects of an answer and puts them together, as for the
 * server.  An object that cannot be used is lost to the history, with a
 * warning: what others hold of its range still answers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_DUMP_HISTORY_H
#define CKPX_DUMP_HISTORY_H

#include "bin/dump/store.h"
#include "core/format/range_map.h"

/* An object that the history has under another kind, or another path. */
typedef struct Source
{
	CkpxEntry	entry;			/* as the object has it */
	CkpxEntryKind kind;			/* as the history has it */
	char	   *path;
} Source;

typedef struct History
{
	CkpxEntryStore *entries;
	CkpxIdentity identity;
	const Store *store;			/* where objects are that are no source */
	uint32		nsources;
	Source	   *sources;
	TimeLineID	timeline;		/* of what the last map was made of; 0: of
								 * more than one */
} History;

/*
 * Of a store: what the server would begin with, as far as objects tell.  Of
 * files, which must be of the same epoch: what they hold, whatever kind they
 * are.  Both end the program where there is nothing.
 */
extern History *history_of_store(const Store *store);
extern History *history_of_files(char **paths, int npaths);

/*
 * Where what it knows without a hole begins, and where it ends; of files all
 * count.
 */
extern XLogRecPtr history_begin(const History *history);
extern XLogRecPtr history_end(const History *history);

/*
 * Begin 'map' and fill it.  Ends the program with the first missing LSN where
 * the range is not covered.
 */
extern void history_map(History *history, XLogRecPtr start_lsn,
						XLogRecPtr end_lsn, const CkpxRelKey *relation,
						CkpxRangeMap *map);

#endif							/* CKPX_DUMP_HISTORY_H */
