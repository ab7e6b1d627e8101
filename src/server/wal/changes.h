/*-------------------------------------------------------------------------
 *
 * changes.h
 *		What the records since the last cut have changed, and what is carried
 *		over cuts.
 *
 * The idea: whatever a record is, it does one of a few things.  It changes a
 * block, creates, truncates or drops a fork, makes or removes a database, logs
 * a sequence, is a checkpoint, or says something about transactions
 * (wal/xacts.h).  This file knows what follows from each of them, and no
 * record: wal/decode.c tells it what PostgreSQL's records do, wal/custom.c the
 * same of records of custom resource managers.
 *
 * Blocks gather in a dirty tree, until the tree is taken.  Over the trees are
 * carried the sequences that may still change without WAL, open transactions
 * and created forks.  Free space maps are left out here: nothing happens for a
 * fork that is one.
 *
 * 'lsn' is the start of the record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_WAL_CHANGES_H
#define CKPX_WAL_CHANGES_H

#include "postgres.h"

#include "server/wal/cut.h"
#include "server/wal/xacts.h"

/* Powers of two. */
#define CKPX_RELATION_CACHE		256
#define CKPX_KNOWN_BLOCKS		512

/* A block that is in its relation's set. */
typedef struct CkpxKnownBlock
{
	CkpxRelation *relation;
	BlockNumber block;
} CkpxKnownBlock;

typedef struct CkpxWalChanges
{
	MemoryContext context;
	CkpxWalXacts *xacts;
	HTAB	   *sequences;		/* active ones, by key */

	/* Since the last tree was taken. */
	MemoryContext tree_context; /* child of 'context' */
	CkpxDirtyTree *tree;
	CkpxDirtyTree *appended;	/* see CkpxWalCut */
	CkpxRelation *cache[CKPX_RELATION_CACHE];	/* into 'tree', by hash */
	CkpxKnownBlock known[CKPX_KNOWN_BLOCKS];	/* by hash: hot blocks are
												 * added once */
	uint64		nxacts;
	uint64		nrecords;
	XLogRecPtr	last_change_lsn;
	XLogRecPtr	unlogged_upto;	/* pages of sequences may have changed without
								 * a record until here; Invalid: none did */
	uint8		custom_rmgrs[CKPX_RMGR_BITMAP_BYTES];
	uint32		ncheckpoints;
	uint32		max_checkpoints;
	CkpxHistoryItem *checkpoints;	/* in tree_context */
} CkpxWalChanges;

extern CkpxWalChanges *ckpx_wal_changes_create(MemoryContext context,
											   CkpxFirstRecordCallback first);

/*
 * Complete the tree and hand it over with the counters; begin a new one.  The
 * range of 'cut' is set already.  The context's new parent is 'parent'.
 */
extern void ckpx_wal_changes_take(CkpxWalChanges *changes,
								  MemoryContext parent, CkpxWalCut *cut);

/* Throw away what has gathered since the last tree was taken. */
extern void ckpx_wal_changes_discard(CkpxWalChanges *changes);

/*
 * Find or make the relation of a block that 'xid' (may be invalid) changed; to
 * be called for each record, so that the fork's owner becomes known.
 */
extern CkpxRelation *ckpx_wal_changes_find(CkpxWalChanges *changes,
										   const CkpxRelKey *key,
										   TransactionId xid);

static inline uint32
ckpx_wal_cache_slot(const CkpxRelKey *key)
{
	StaticAssertStmt(CKPX_RELATION_CACHE == 256, "this makes 8 bits");
	return ((key->relation * 0x9E3779B1u) >> 24) ^ key->fork;
}

/* The same; nearly always the cache has it. */
static inline CkpxRelation *
ckpx_wal_changes_get(CkpxWalChanges *changes, const CkpxRelKey *key,
					 TransactionId xid)
{
	CkpxRelation *relation = changes->cache[ckpx_wal_cache_slot(key)];

	if (likely(relation != NULL && ckpx_rel_key_equal(&relation->key, key)))
		return relation;
	return ckpx_wal_changes_find(changes, key, xid);
}

/* A block changed: add it to the set of its relation. */
static inline void
ckpx_wal_changes_add(CkpxWalChanges *changes, CkpxRelation *relation,
					 BlockNumber block)
{
	CkpxKnownBlock *known =
		&changes->known[(relation->key.relation * 31 + relation->key.fork +
						 block) % CKPX_KNOWN_BLOCKS];

	if (known->block == block && known->relation == relation)
		return;
	(void) ckpx_block_set_add(&relation->blocks, block);
	known->relation = relation;
	known->block = block;
}

/* A fork was created by 'xid' (may be invalid), truncated, or dropped. */
extern void ckpx_wal_changes_create_fork(CkpxWalChanges *changes,
										 const CkpxRelKey *key,
										 TransactionId xid, XLogRecPtr lsn);
extern void ckpx_wal_changes_truncate_fork(CkpxWalChanges *changes,
										   const CkpxRelKey *key,
										   BlockNumber length, XLogRecPtr lsn);
extern void ckpx_wal_changes_drop_fork(CkpxWalChanges *changes,
									   const CkpxRelKey *key, XLogRecPtr lsn);

/* A database in one tablespace appeared or went. */
extern void ckpx_wal_changes_database(CkpxWalChanges *changes, Oid tablespace,
									  Oid database, bool dropped,
									  XLogRecPtr lsn);

/*
 * A sequence was logged: its page may change without a record until a
 * checkpoint with a redo point behind 'lsn' settles it.
 */
extern void ckpx_wal_changes_sequence(CkpxWalChanges *changes,
									  const CkpxRelKey *key, XLogRecPtr lsn);
extern void ckpx_wal_changes_settle(CkpxWalChanges *changes, XLogRecPtr redo);

/* Room for one more checkpoint, for ckpx_history. */
extern CkpxHistoryItem *ckpx_wal_changes_checkpoint(CkpxWalChanges *changes,
													CkpxHistoryKind kind,
													XLogRecPtr lsn);

#endif							/* CKPX_WAL_CHANGES_H */
