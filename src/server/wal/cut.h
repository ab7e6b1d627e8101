/*-------------------------------------------------------------------------
 *
 * cut.h
 *		What reading WAL gives: cuts, and the first record of each transaction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_WAL_CUT_H
#define CKPX_WAL_CUT_H

#include "postgres.h"

#include "core/history/range.h"
#include "core/map/dirty_tree.h"
#include "server/base/history.h"

/* What one cut took. */
typedef struct CkpxWalCut
{
	CkpxRange	range;			/* epoch, times and next_xid: the runner's to
								 * fill in */
	CkpxDirtyTree *tree;		/* in a memory context of its own */
	CkpxDirtyTree *appended;	/* there too: of each heap's main fork, the
								 * blocks that got rows; NULL: not known, as
								 * ckpx.flush was not on when the cut began */
	MemoryContext context;		/* delete it when done with the trees */
	uint64		nrecords;
	uint32		ncheckpoints;	/* of PostgreSQL, for ckpx_history and marks */
	CkpxHistoryItem *checkpoints;	/* in 'context' */
} CkpxWalCut;

/*
 * Called for each transaction at its first record ('xid' may be a
 * subtransaction's, which may be told again with later LSNs).  May take a
 * lock; must not raise an error.
 */
typedef void (*CkpxFirstRecordCallback) (TransactionId xid, XLogRecPtr lsn);

#endif							/* CKPX_WAL_CUT_H */
