/*-------------------------------------------------------------------------
 *
 * decode.h
 *		What one WAL record changes: the only file that knows records.
 *
 * A decoder takes whole records in order and gathers the blocks they change
 * in a dirty tree, until the tree is taken.  Over the trees it carries what
 * outlives them: sequences that may still change without WAL, open
 * transactions and created forks (wal/xacts.h).
 *
 * Used by wal/source.c only.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_WAL_DECODE_H
#define CKPX_WAL_DECODE_H

#include "postgres.h"

#include "access/xlogreader.h"
#include "server/wal/source.h"
#include "server/wal/xacts.h"

/* A power of two. */
#define CKPX_RELATION_CACHE		256

typedef struct CkpxWalDecoder
{
	MemoryContext context;
	CkpxWalXacts *xacts;
	HTAB	   *sequences;		/* active ones, by key */
	XLogRecPtr	checkpoint_redo;	/* of the newest checkpoint record */

	/* Since the last tree was taken. */
	MemoryContext tree_context; /* child of 'context' */
	CkpxDirtyTree *tree;
	CkpxDirtyTree *appended;	/* see CkpxWalCut */
	CkpxRelation *cache[CKPX_RELATION_CACHE];	/* into 'tree', by hash */
	uint64		nxacts;
	uint64		nrecords;
	XLogRecPtr	last_change_lsn;
	XLogRecPtr	unlogged_upto;	/* pages of sequences may have changed without
								 * a record until here; Invalid: none did */
	uint8		custom_rmgrs[CKPX_RMGR_BITMAP_BYTES];
	uint32		ncheckpoints;
	uint32		max_checkpoints;
	CkpxHistoryItem *checkpoints;	/* in tree_context */
} CkpxWalDecoder;

extern CkpxWalDecoder *ckpx_wal_decoder_create(MemoryContext context,
											   CkpxFirstRecordCallback callback);

/*
 * Decode the reader's present record.  What it returns is CKPX_BREAK_NONE,
 * SPECIAL or MINIMAL; the record has no effect on the tree in the latter two
 * cases.
 */
extern CkpxWalBreak ckpx_wal_decoder_apply(CkpxWalDecoder *decoder,
										   XLogReaderState *reader);

/* The wal_level from this record on, or -1: it does not say. */
extern int	ckpx_wal_decoder_wal_level(XLogReaderState *reader);

/*
 * Is it the end of a transaction, a checkpoint or an end of recovery, with the
 * time at which it was written?
 */
extern bool ckpx_wal_decoder_has_time(XLogReaderState *reader);

extern void ckpx_wal_decoder_add_sequence(CkpxWalDecoder *decoder,
										  const CkpxRelKey *key,
										  XLogRecPtr lsn);

/*
 * Complete the tree and hand it over with the counters; begin a new one.  The
 * range of 'cut' is set already.  The context's new parent is 'parent'.
 */
extern void ckpx_wal_decoder_take(CkpxWalDecoder *decoder,
								  MemoryContext parent, CkpxWalCut *cut);

/* Throw away what has gathered since the last tree was taken. */
extern void ckpx_wal_decoder_discard(CkpxWalDecoder *decoder);

#endif							/* CKPX_WAL_DECODE_H */
