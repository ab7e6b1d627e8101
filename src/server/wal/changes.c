/*-------------------------------------------------------------------------
 *
 * changes.c
 *		What the records since the last cut have changed, and what is carried
 *		over cuts.
 *
 * Sequences.  A sequence is logged 32 values ahead, its page changes with
 * every value.  The next value after a checkpoint's redo point is logged
 * again.  So from its record until a checkpoint record with a later redo
 * point has come by, a sequence may change without any record: it is in every
 * tree until then, that of the checkpoint record included, for the change may
 * have happened right before it.  Such a change has no LSN of its own: it
 * counts as made right before the end of each cut that the sequence is
 * carried over, and right before the redo point that ends this.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "server/base/options.h"
#include "server/wal/changes.h"

#include "utils/memutils.h"

typedef struct ActiveSequence
{
	CkpxRelKey	key;			/* for dynahash: first */
	XLogRecPtr	last_lsn;		/* start of its last record, or invalid:
								 * before the chain */
} ActiveSequence;

/*
 * The tree and what is carried over trees
 */

static void
begin_tree(CkpxWalChanges *changes)
{
	HASH_SEQ_STATUS scan;
	ActiveSequence *sequence;

	changes->tree_context = AllocSetContextCreate(changes->context,
												  "ckpx dirty tree",
												  ALLOCSET_DEFAULT_SIZES);
	changes->tree = ckpx_dirty_tree_create(changes->tree_context);
	changes->appended = ckpx_flush_mode == CKPX_FLUSH_MODE_ON ?
		ckpx_dirty_tree_create(changes->tree_context) : NULL;
	memset(changes->cache, 0, sizeof(changes->cache));
	memset(changes->known, 0, sizeof(changes->known));
	changes->nxacts = 0;
	changes->nrecords = 0;
	changes->last_change_lsn = InvalidXLogRecPtr;
	changes->unlogged_upto = InvalidXLogRecPtr;
	memset(changes->custom_rmgrs, 0, sizeof(changes->custom_rmgrs));
	changes->ncheckpoints = 0;
	changes->max_checkpoints = 0;
	changes->checkpoints = NULL;

	hash_seq_init(&scan, changes->sequences);
	while ((sequence = hash_seq_search(&scan)) != NULL)
		(void) ckpx_dirty_tree_mark(changes->tree, &sequence->key, 0);
}

CkpxWalChanges *
ckpx_wal_changes_create(MemoryContext context,
						CkpxFirstRecordCallback callback)
{
	CkpxWalChanges *changes;
	HASHCTL		control;

	changes = MemoryContextAllocZero(context, sizeof(CkpxWalChanges));
	changes->context = context;
	changes->xacts = ckpx_wal_xacts_create(context, callback);

	control.keysize = sizeof(CkpxRelKey);
	control.entrysize = sizeof(ActiveSequence);
	control.hcxt = context;
	changes->sequences = hash_create("ckpx active sequences", 64, &control,
									 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	begin_tree(changes);
	return changes;
}

void
ckpx_wal_changes_take(CkpxWalChanges *changes, MemoryContext parent,
					  CkpxWalCut *cut)
{
	HASH_SEQ_STATUS scan;
	ActiveSequence *sequence;

	hash_seq_init(&scan, changes->sequences);
	while ((sequence = hash_seq_search(&scan)) != NULL)
	{
		CkpxRelation *relation;

		relation = ckpx_dirty_tree_mark(changes->tree, &sequence->key, 0);
		relation->flags |= CKPX_REL_SEQUENCE;
		changes->unlogged_upto = cut->range.end_lsn;
	}
	if (changes->unlogged_upto > cut->range.start_lsn)
		changes->last_change_lsn = Max(changes->last_change_lsn,
									   changes->unlogged_upto - 1);

	cut->tree = changes->tree;
	cut->appended = changes->appended;
	cut->context = changes->tree_context;
	cut->range.nxacts = changes->nxacts;
	cut->nrecords = changes->nrecords;
	cut->range.last_change_lsn = changes->last_change_lsn;
	memcpy(cut->range.custom_rmgrs, changes->custom_rmgrs,
		   sizeof(cut->range.custom_rmgrs));
	cut->ncheckpoints = changes->ncheckpoints;
	cut->checkpoints = changes->checkpoints;

	/* The old tree stays where it is until the new one exists. */
	begin_tree(changes);
	MemoryContextSetParent(cut->context, parent);
}

void
ckpx_wal_changes_discard(CkpxWalChanges *changes)
{
	MemoryContextDelete(changes->tree_context);
	begin_tree(changes);
}

/*
 * Relations
 */

pg_noinline CkpxRelation *
ckpx_wal_changes_find(CkpxWalChanges *changes,
					  const CkpxRelKey *key, TransactionId xid)
{
	CkpxRelation *relation = ckpx_dirty_tree_get(changes->tree, key);

	/* Ask again at the next record where the fork's owner is not known. */
	if (ckpx_wal_xacts_touched(changes->xacts, key, xid))
		changes->cache[ckpx_wal_cache_slot(key)] = relation;
	return relation;
}

/* A fork is about to lose blocks. */
static void
forget_known(CkpxWalChanges *changes)
{
	memset(changes->known, 0, sizeof(changes->known));
}

/* The fork's history begins anew: nothing about it may be remembered. */
static void
forget_fork(CkpxWalChanges *changes, const CkpxRelKey *key)
{
	forget_known(changes);
	changes->cache[ckpx_wal_cache_slot(key)] = NULL;
	if (hash_get_num_entries(changes->sequences) > 0)
		(void) hash_search(changes->sequences, key, HASH_REMOVE, NULL);
	ckpx_wal_xacts_dropped(changes->xacts, key);
}

void
ckpx_wal_changes_create_fork(CkpxWalChanges *changes, const CkpxRelKey *key,
							 TransactionId xid, XLogRecPtr lsn)
{
	if (key->fork == FSM_FORKNUM)
		return;
	forget_fork(changes, key);
	ckpx_dirty_tree_create_fork(changes->tree, key);
	ckpx_wal_xacts_created(changes->xacts, key, xid, lsn);
	changes->last_change_lsn = lsn;
}

void
ckpx_wal_changes_truncate_fork(CkpxWalChanges *changes, const CkpxRelKey *key,
							   BlockNumber length, XLogRecPtr lsn)
{
	if (key->fork == FSM_FORKNUM)
		return;
	forget_known(changes);
	ckpx_dirty_tree_truncate_fork(changes->tree, key, length);
	changes->last_change_lsn = lsn;
}

void
ckpx_wal_changes_drop_fork(CkpxWalChanges *changes, const CkpxRelKey *key,
						   XLogRecPtr lsn)
{
	if (key->fork == FSM_FORKNUM)
		return;
	forget_fork(changes, key);
	ckpx_dirty_tree_drop_fork(changes->tree, key);
	changes->last_change_lsn = lsn;
}

void
ckpx_wal_changes_database(CkpxWalChanges *changes, Oid tablespace,
						  Oid database, bool dropped, XLogRecPtr lsn)
{
	CkpxRelKey	key = {tablespace, database, CKPX_DATABASE_WIDE, MAIN_FORKNUM};
	HASH_SEQ_STATUS scan;
	ActiveSequence *sequence;

	hash_seq_init(&scan, changes->sequences);
	while ((sequence = hash_seq_search(&scan)) != NULL)
	{
		if (sequence->key.tablespace == tablespace &&
			sequence->key.database == database)
			(void) hash_search(changes->sequences, &sequence->key,
							   HASH_REMOVE, NULL);
	}
	ckpx_wal_xacts_dropped_database(changes->xacts, tablespace, database);

	if (dropped)
		ckpx_dirty_tree_drop_fork(changes->tree, &key);
	else
		ckpx_dirty_tree_create_fork(changes->tree, &key);
	changes->last_change_lsn = lsn;
}

/*
 * Sequences
 */

void
ckpx_wal_changes_sequence(CkpxWalChanges *changes, const CkpxRelKey *key,
						  XLogRecPtr lsn)
{
	ActiveSequence *sequence;

	sequence = hash_search(changes->sequences, key, HASH_ENTER, NULL);
	sequence->last_lsn = lsn;
	(void) ckpx_dirty_tree_mark(changes->tree, key, 0);
}

/* Every sequence logged before 'redo' will be logged at its next change. */
void
ckpx_wal_changes_settle(CkpxWalChanges *changes, XLogRecPtr redo)
{
	HASH_SEQ_STATUS scan;
	ActiveSequence *sequence;

	hash_seq_init(&scan, changes->sequences);
	while ((sequence = hash_seq_search(&scan)) != NULL)
	{
		if (sequence->last_lsn >= redo)
			continue;
		(void) hash_search(changes->sequences, &sequence->key, HASH_REMOVE,
						   NULL);
		changes->unlogged_upto = Max(changes->unlogged_upto, redo);
	}
}

CkpxHistoryItem *
ckpx_wal_changes_checkpoint(CkpxWalChanges *changes, CkpxHistoryKind kind,
							XLogRecPtr lsn)
{
	CkpxHistoryItem *item;

	if (changes->ncheckpoints == changes->max_checkpoints)
	{
		changes->max_checkpoints = Max(8, changes->max_checkpoints * 2);
		item = MemoryContextAlloc(changes->tree_context,
								  sizeof(*item) * changes->max_checkpoints);
		if (changes->ncheckpoints > 0)
		{
			memcpy(item, changes->checkpoints,
				   sizeof(*item) * changes->ncheckpoints);
			pfree(changes->checkpoints);
		}
		changes->checkpoints = item;
	}
	item = &changes->checkpoints[changes->ncheckpoints++];
	memset(item, 0, sizeof(*item));
	item->kind = kind;
	item->end_lsn = lsn;
	return item;
}
