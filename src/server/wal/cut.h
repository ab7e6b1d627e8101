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

#include "core/map/dirty_tree.h"
#include "server/base/history.h"

/* What one cut took. */
typedef struct CkpxWalCut
{
	XLogRecPtr	start_lsn;
	XLogRecPtr	end_lsn;		/* = start_lsn when nothing was decoded */
	TimeLineID	timeline;		/* of end_lsn */
	CkpxDirtyTree *tree;		/* in a memory context of its own */
	CkpxDirtyTree *appended;	/* there too: of each heap's main fork, the
								 * blocks that got rows */
	MemoryContext context;		/* delete it when done with the trees */
	uint64		nxacts;			/* transactions that ended; an aborted
								 * subtransaction counts as one */
	uint64		nrecords;
	uint64		wal_bytes;		/* end_lsn - start_lsn */
	XLogRecPtr	last_change_lsn;	/* start of the last record that changed a
									 * block, or where the page of a sequence
									 * may have changed without one; or
									 * Invalid */
	CkpxRecordMark last_record; /* the last record decoded (of an earlier cut,
								 * if this one is empty), and its run */
	uint8		custom_rmgrs[CKPX_RMGR_BITMAP_BYTES];	/* ids >= 128 seen */
	uint32		ncheckpoints;	/* of PostgreSQL, for ckpx_history */
	CkpxHistoryItem *checkpoints;	/* in 'context' */
} CkpxWalCut;

/*
 * Called for each transaction at its first record ('xid' may be a
 * subtransaction's, which may be told again with later LSNs).  May take a
 * lock; must not raise an error.
 */
typedef void (*CkpxFirstRecordCallback) (TransactionId xid, XLogRecPtr lsn);

#endif							/* CKPX_WAL_CUT_H */
