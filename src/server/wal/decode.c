/*-------------------------------------------------------------------------
 *
 * decode.c
 *		What one WAL record changes: the only file that knows records.
 *
 * Most records name the blocks that they change.  The rest of this file is
 * about changes that are not named:
 *
 * - Creating and dropping databases, creating, truncating and dropping
 *   relation forks.  They are applied before the record's block references.
 *   PostgreSQL marks every record that changes files in such a way with
 *   XLR_SPECIAL_REL_UPDATE; meeting one that is not known here means that
 *   nothing can be vouched for any more.
 * - Visibility map.  Inserting, updating, deleting and locking clear bits in
 *   a page that older releases do not name.  So each heap block named by a
 *   heap record brings its VM page with it.  Setting bits always names it.
 * - Truncation clears the rest of the last VM page that stays, without WAL
 *   unless hint bits are logged.
 * - SP-GiST keeps hints about free pages in its metapage, without WAL.
 * - A sequence is logged 32 values ahead, its page changes with every value.
 *   The next value after a checkpoint's redo point is logged again.  So from
 *   its record until a checkpoint record with a later redo point has come by,
 *   a sequence may change without any record: it is in every tree until then,
 *   that of the checkpoint record included, for the change may have happened
 *   right before it.  Such a change has no LSN of its own: it counts as made
 *   right before the end of each cut that the sequence is carried over, and
 *   right before the redo point that ends this.
 *
 * Free space maps are not tracked: they are hints and never complete.
 *
 * Which blocks of a heap got rows is noted apart.  It is no part of the map,
 * only the flusher asks for it.
 *
 * Nearly all time is spent in reading; what is done here for each block is
 * kept to a few comparisons: a cache finds the relation, and its last VM
 * block need not be marked again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "server/wal/decode_internal.h"

#include "access/heapam_xlog.h"
#include "access/rmgr.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "catalog/pg_control.h"
#include "catalog/storage_xlog.h"
#include "commands/dbcommands_xlog.h"
#include "server/base/compat.h"
#include "storage/bufpage.h"
#include "storage/standbydefs.h"
#include "utils/memutils.h"

#define HEAPBLOCKS_PER_VM_PAGE \
	CKPX_HEAPBLOCKS_PER_VM_PAGE(MAXALIGN(SizeOfPageHeaderData))

StaticAssertDecl(BLCKSZ != 8192 || HEAPBLOCKS_PER_VM_PAGE == 32672,
				 "visibility map layout");
StaticAssertDecl(MAX_FORKNUM == INIT_FORKNUM, "forks of a dropped relation");
StaticAssertDecl(CKPX_RMGR_BITMAP_BYTES * 8 > RM_MAX_ID, "rmgr bitmap");

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
begin_tree(CkpxWalDecoder *decoder)
{
	HASH_SEQ_STATUS scan;
	ActiveSequence *sequence;

	decoder->tree_context = AllocSetContextCreate(decoder->context,
												  "ckpx dirty tree",
												  ALLOCSET_DEFAULT_SIZES);
	decoder->tree = ckpx_dirty_tree_create(decoder->tree_context);
	decoder->appended = ckpx_dirty_tree_create(decoder->tree_context);
	memset(decoder->cache, 0, sizeof(decoder->cache));
	decoder->nxacts = 0;
	decoder->nrecords = 0;
	decoder->last_change_lsn = InvalidXLogRecPtr;
	decoder->unlogged_upto = InvalidXLogRecPtr;
	memset(decoder->custom_rmgrs, 0, sizeof(decoder->custom_rmgrs));
	decoder->ncheckpoints = 0;
	decoder->max_checkpoints = 0;
	decoder->checkpoints = NULL;

	hash_seq_init(&scan, decoder->sequences);
	while ((sequence = hash_seq_search(&scan)) != NULL)
		(void) ckpx_dirty_tree_mark(decoder->tree, &sequence->key, 0);
}

CkpxWalDecoder *
ckpx_wal_decoder_create(MemoryContext context,
						CkpxFirstRecordCallback callback)
{
	CkpxWalDecoder *decoder;
	HASHCTL		control;

	decoder = MemoryContextAllocZero(context, sizeof(CkpxWalDecoder));
	decoder->context = context;
	decoder->xacts = ckpx_wal_xacts_create(context, callback);

	control.keysize = sizeof(CkpxRelKey);
	control.entrysize = sizeof(ActiveSequence);
	control.hcxt = context;
	decoder->sequences = hash_create("ckpx active sequences", 64, &control,
									 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	begin_tree(decoder);
	return decoder;
}

void
ckpx_wal_decoder_take(CkpxWalDecoder *decoder, MemoryContext parent,
					  CkpxWalCut *cut)
{
	HASH_SEQ_STATUS scan;
	ActiveSequence *sequence;

	hash_seq_init(&scan, decoder->sequences);
	while ((sequence = hash_seq_search(&scan)) != NULL)
	{
		CkpxRelation *relation;

		relation = ckpx_dirty_tree_mark(decoder->tree, &sequence->key, 0);
		relation->flags |= CKPX_REL_SEQUENCE;
		decoder->unlogged_upto = cut->end_lsn;
	}
	if (decoder->unlogged_upto > cut->start_lsn)
		decoder->last_change_lsn = Max(decoder->last_change_lsn,
									   decoder->unlogged_upto - 1);

	cut->tree = decoder->tree;
	cut->appended = decoder->appended;
	cut->context = decoder->tree_context;
	cut->nxacts = decoder->nxacts;
	cut->nrecords = decoder->nrecords;
	cut->last_change_lsn = decoder->last_change_lsn;
	memcpy(cut->custom_rmgrs, decoder->custom_rmgrs,
		   sizeof(cut->custom_rmgrs));
	cut->ncheckpoints = decoder->ncheckpoints;
	cut->checkpoints = decoder->checkpoints;

	/* The old tree stays where it is until the new one exists. */
	begin_tree(decoder);
	MemoryContextSetParent(cut->context, parent);
}

void
ckpx_wal_decoder_discard(CkpxWalDecoder *decoder)
{
	MemoryContextDelete(decoder->tree_context);
	begin_tree(decoder);
}

static inline uint32
cache_slot(Oid relation, uint32 fork)
{
	return ((relation * 0x9E3779B1u) >> 24) ^ fork;
}

StaticAssertDecl(CKPX_RELATION_CACHE == 256, "cache_slot() makes 8 bits");

static inline CkpxRelKey
make_key(RelFileLocator locator, ForkNumber fork)
{
	CkpxRelKey	key;

	key.tablespace = CKPX_LOCATOR_TABLESPACE(locator);
	key.database = CKPX_LOCATOR_DATABASE(locator);
	key.relation = CKPX_LOCATOR_NUMBER(locator);
	key.fork = (uint32) fork;
	return key;
}

pg_noinline CkpxRelation *
ckpx_wal_decoder_find_relation(CkpxWalDecoder *decoder,
							   const CkpxRelKey *key, TransactionId xid)
{
	CkpxRelation *relation = ckpx_dirty_tree_get(decoder->tree, key);

	/* Ask again at the next record where the fork's owner is not known. */
	if (ckpx_wal_xacts_touched(decoder->xacts, key, xid))
		decoder->cache[cache_slot(key->relation, key->fork)] = relation;
	return relation;
}

static inline CkpxRelation *
get_relation(CkpxWalDecoder *decoder, RelFileLocator locator, ForkNumber fork,
			 TransactionId xid)
{
	CkpxRelKey	key = make_key(locator, fork);
	CkpxRelation *relation;

	relation = decoder->cache[cache_slot(key.relation, key.fork)];
	if (likely(relation != NULL && ckpx_rel_key_equal(&relation->key, &key)))
		return relation;
	return ckpx_wal_decoder_find_relation(decoder, &key, xid);
}

void
ckpx_wal_decoder_forget_fork(CkpxWalDecoder *decoder, const CkpxRelKey *key)
{
	decoder->cache[cache_slot(key->relation, key->fork)] = NULL;
	if (hash_get_num_entries(decoder->sequences) > 0)
		(void) hash_search(decoder->sequences, key, HASH_REMOVE, NULL);
	ckpx_wal_xacts_dropped(decoder->xacts, key);
}

static void
mark_vm(CkpxWalDecoder *decoder, CkpxRelation *heap, BlockNumber vm_block)
{
	CkpxRelKey	key = heap->key;

	key.fork = VISIBILITYMAP_FORKNUM;
	(void) ckpx_dirty_tree_mark(decoder->tree, &key, vm_block);
	heap->last_vm_block = vm_block;
}

/*
 * Sequences
 */

void
ckpx_wal_decoder_add_sequence(CkpxWalDecoder *decoder, const CkpxRelKey *key,
							  XLogRecPtr lsn)
{
	ActiveSequence *sequence;

	sequence = hash_search(decoder->sequences, key, HASH_ENTER, NULL);
	sequence->last_lsn = lsn;
	(void) ckpx_dirty_tree_mark(decoder->tree, key, 0);
}

/* Every sequence logged before 'redo' will be logged at its next change. */
static void
settle_sequences(CkpxWalDecoder *decoder, XLogRecPtr redo)
{
	HASH_SEQ_STATUS scan;
	ActiveSequence *sequence;

	hash_seq_init(&scan, decoder->sequences);
	while ((sequence = hash_seq_search(&scan)) != NULL)
	{
		if (sequence->last_lsn >= redo)
			continue;
		(void) hash_search(decoder->sequences, &sequence->key, HASH_REMOVE,
						   NULL);
		decoder->unlogged_upto = Max(decoder->unlogged_upto, redo);
	}
}

/*
 * Records by resource manager.  Those that may carry XLR_SPECIAL_REL_UPDATE
 * return whether they are known.
 */

int
ckpx_wal_decoder_wal_level(XLogReaderState *reader)
{
	uint8		info = XLogRecGetInfo(reader) & ~XLR_INFO_MASK;

	if (XLogRecGetRmid(reader) != RM_XLOG_ID)
		return -1;
	if (info == XLOG_PARAMETER_CHANGE)
	{
		xl_parameter_change change;

		memcpy(&change, XLogRecGetData(reader), sizeof(change));
		return change.wal_level;
	}
	return ckpx_record_wal_level(info, XLogRecGetData(reader));
}

bool
ckpx_wal_decoder_has_time(XLogReaderState *reader)
{
	uint8		info = XLogRecGetInfo(reader) & ~XLR_INFO_MASK;

	if (XLogRecGetRmid(reader) == RM_XACT_ID)
	{
		info &= XLOG_XACT_OPMASK;
		return info == XLOG_XACT_COMMIT || info == XLOG_XACT_ABORT ||
			info == XLOG_XACT_COMMIT_PREPARED ||
			info == XLOG_XACT_ABORT_PREPARED;
	}
	return XLogRecGetRmid(reader) == RM_XLOG_ID &&
		(info == XLOG_CHECKPOINT_ONLINE || info == XLOG_CHECKPOINT_SHUTDOWN ||
		 info == XLOG_END_OF_RECOVERY);
}

/* Room for one more checkpoint; the decoder is given its record. */
static CkpxHistoryItem *
add_checkpoint(CkpxWalDecoder *decoder, CkpxHistoryKind kind,
			   const XLogReaderState *reader)
{
	CkpxHistoryItem *item;

	if (decoder->ncheckpoints == decoder->max_checkpoints)
	{
		decoder->max_checkpoints = Max(8, decoder->max_checkpoints * 2);
		item = MemoryContextAlloc(decoder->tree_context,
								  sizeof(*item) * decoder->max_checkpoints);
		if (decoder->ncheckpoints > 0)
		{
			memcpy(item, decoder->checkpoints,
				   sizeof(*item) * decoder->ncheckpoints);
			pfree(decoder->checkpoints);
		}
		decoder->checkpoints = item;
	}
	item = &decoder->checkpoints[decoder->ncheckpoints++];
	memset(item, 0, sizeof(*item));
	item->kind = kind;
	item->end_lsn = reader->ReadRecPtr;
	return item;
}

/* Note a checkpoint, or an end of recovery, for ckpx_history. */
static void
note_checkpoint(CkpxWalDecoder *decoder, XLogReaderState *reader)
{
	uint8		info = XLogRecGetInfo(reader) & ~XLR_INFO_MASK;
	CkpxHistoryItem *item;

	if (info == XLOG_END_OF_RECOVERY)
	{
		xl_end_of_recovery end = {0};

		/* Newer majors append to it. */
		memcpy(&end, XLogRecGetData(reader),
			   Min(sizeof(end), XLogRecGetDataLen(reader)));
		item = add_checkpoint(decoder, CKPX_HISTORY_END_OF_RECOVERY, reader);
		item->timeline = end.ThisTimeLineID;
		item->started_at = end.end_time;
	}
	else
	{
		CheckPoint	checkpoint;

		memcpy(&checkpoint, XLogRecGetData(reader), sizeof(checkpoint));
		item = add_checkpoint(decoder,
							  info == XLOG_CHECKPOINT_ONLINE ?
							  CKPX_HISTORY_ONLINE : CKPX_HISTORY_SHUTDOWN,
							  reader);
		item->timeline = checkpoint.ThisTimeLineID;
		item->start_lsn = checkpoint.redo;
		item->started_at = time_t_to_timestamptz(checkpoint.time);
	}
}

static void
decode_xlog(CkpxWalDecoder *decoder, XLogReaderState *reader)
{
	uint8		info = XLogRecGetInfo(reader) & ~XLR_INFO_MASK;

	if (info == XLOG_CHECKPOINT_ONLINE || info == XLOG_CHECKPOINT_SHUTDOWN)
	{
		CheckPoint	checkpoint;

		memcpy(&checkpoint, XLogRecGetData(reader), sizeof(checkpoint));
		decoder->checkpoint_redo = Max(decoder->checkpoint_redo,
									   checkpoint.redo);
		settle_sequences(decoder, checkpoint.redo);
	}
	if (info == XLOG_CHECKPOINT_ONLINE || info == XLOG_CHECKPOINT_SHUTDOWN ||
		info == XLOG_END_OF_RECOVERY)
		note_checkpoint(decoder, reader);
	if (info == XLOG_CHECKPOINT_SHUTDOWN || info == XLOG_END_OF_RECOVERY)
		ckpx_wal_xacts_shutdown(decoder->xacts, reader->EndRecPtr);
}

static void
drop_relations(CkpxWalDecoder *decoder, XLogReaderState *reader,
			   int nlocators, const RelFileLocator *locators)
{
	for (int i = 0; i < nlocators; i++)
	{
		for (int fork = 0; fork <= MAX_FORKNUM; fork++)
		{
			CkpxRelKey	key = make_key(locators[i], (ForkNumber) fork);

			if (fork == FSM_FORKNUM)
				continue;
			ckpx_wal_decoder_forget_fork(decoder, &key);
			ckpx_dirty_tree_drop_fork(decoder->tree, &key);
		}
		decoder->last_change_lsn = reader->ReadRecPtr;
	}
}

static bool
decode_xact(CkpxWalDecoder *decoder, XLogReaderState *reader)
{
	uint8		info = XLogRecGetInfo(reader);
	char	   *data = XLogRecGetData(reader);
	TransactionId xid = XLogRecGetXid(reader);

	switch (info & XLOG_XACT_OPMASK)
	{
		case XLOG_XACT_COMMIT:
		case XLOG_XACT_COMMIT_PREPARED:
			{
				xl_xact_parsed_commit parsed;

				decoder->nxacts++;
				if (!(info & XLOG_XACT_HAS_INFO))
				{
					ckpx_wal_xacts_end(decoder->xacts, xid, 0, NULL,
									   reader->EndRecPtr);
					return true;
				}
				ParseCommitRecord(info, (xl_xact_commit *) data, &parsed);
				if (TransactionIdIsValid(parsed.twophase_xid))
					xid = parsed.twophase_xid;
				drop_relations(decoder, reader, CKPX_XACT_NLOCATORS(&parsed),
							   CKPX_XACT_LOCATORS(&parsed));
				ckpx_wal_xacts_end(decoder->xacts, xid, parsed.nsubxacts,
								   parsed.subxacts, reader->EndRecPtr);
				return true;
			}

		case XLOG_XACT_ABORT:
		case XLOG_XACT_ABORT_PREPARED:
			{
				xl_xact_parsed_abort parsed;

				decoder->nxacts++;
				ParseAbortRecord(info, (xl_xact_abort *) data, &parsed);
				if (TransactionIdIsValid(parsed.twophase_xid))
					xid = parsed.twophase_xid;
				drop_relations(decoder, reader, CKPX_XACT_NLOCATORS(&parsed),
							   CKPX_XACT_LOCATORS(&parsed));
				ckpx_wal_xacts_end(decoder->xacts, xid, parsed.nsubxacts,
								   parsed.subxacts, reader->EndRecPtr);
				return true;
			}

		case XLOG_XACT_PREPARE:
			{
				xl_xact_parsed_prepare parsed;

				ParsePrepareRecord(info, (xl_xact_prepare *) data, &parsed);
				ckpx_wal_xacts_prepare(decoder->xacts, parsed.twophase_xid,
									   parsed.nsubxacts, parsed.subxacts);
				return true;
			}

		case XLOG_XACT_ASSIGNMENT:
			{
				xl_xact_assignment *assignment = (xl_xact_assignment *) data;

				ckpx_wal_xacts_assign(decoder->xacts, assignment->xtop,
									  assignment->nsubxacts,
									  assignment->xsub);
				return true;
			}

		case XLOG_XACT_INVALIDATIONS:
			return true;
	}
	return false;
}

static bool
decode_smgr(CkpxWalDecoder *decoder, XLogReaderState *reader)
{
	uint8		info = XLogRecGetInfo(reader) & ~XLR_INFO_MASK;

	if (info == XLOG_SMGR_CREATE)
	{
		xl_smgr_create *create = (xl_smgr_create *) XLogRecGetData(reader);
		CkpxRelKey	key = make_key(CKPX_SMGR_LOCATOR(create),
								   create->forkNum);

		if (create->forkNum == FSM_FORKNUM)
			return true;
		ckpx_wal_decoder_forget_fork(decoder, &key);
		ckpx_dirty_tree_create_fork(decoder->tree, &key);
		ckpx_wal_xacts_created(decoder->xacts, &key, XLogRecGetXid(reader),
							   reader->ReadRecPtr);
		decoder->last_change_lsn = reader->ReadRecPtr;
		return true;
	}

	if (info == XLOG_SMGR_TRUNCATE)
	{
		xl_smgr_truncate *truncate = (xl_smgr_truncate *) XLogRecGetData(reader);
		BlockNumber length = truncate->blkno;
		CkpxRelKey	key;

		if (truncate->flags & SMGR_TRUNCATE_HEAP)
		{
			key = make_key(CKPX_SMGR_LOCATOR(truncate), MAIN_FORKNUM);
			ckpx_dirty_tree_truncate_fork(decoder->tree, &key, length);
			decoder->last_change_lsn = reader->ReadRecPtr;
		}
		if (truncate->flags & SMGR_TRUNCATE_VM)
		{
			BlockNumber vm_length = length / HEAPBLOCKS_PER_VM_PAGE;
			bool		edge = length % HEAPBLOCKS_PER_VM_PAGE != 0;

			key = make_key(CKPX_SMGR_LOCATOR(truncate),
						   VISIBILITYMAP_FORKNUM);
			ckpx_dirty_tree_truncate_fork(decoder->tree, &key,
										  vm_length + (edge ? 1 : 0));
			if (edge)
				(void) ckpx_dirty_tree_mark(decoder->tree, &key, vm_length);
			decoder->last_change_lsn = reader->ReadRecPtr;
		}
		return true;
	}
	return false;
}

void
ckpx_wal_decoder_change_database(CkpxWalDecoder *decoder,
								 XLogReaderState *reader, Oid tablespace,
								 Oid database, bool dropped)
{
	CkpxRelKey	key = {tablespace, database, CKPX_DATABASE_WIDE, MAIN_FORKNUM};
	HASH_SEQ_STATUS scan;
	ActiveSequence *sequence;

	hash_seq_init(&scan, decoder->sequences);
	while ((sequence = hash_seq_search(&scan)) != NULL)
	{
		if (sequence->key.tablespace == tablespace &&
			sequence->key.database == database)
			(void) hash_search(decoder->sequences, &sequence->key,
							   HASH_REMOVE, NULL);
	}
	ckpx_wal_xacts_dropped_database(decoder->xacts, tablespace, database);

	if (dropped)
		ckpx_dirty_tree_drop_fork(decoder->tree, &key);
	else
		ckpx_dirty_tree_create_fork(decoder->tree, &key);
	decoder->last_change_lsn = reader->ReadRecPtr;
}

static bool
decode_dbase(CkpxWalDecoder *decoder, XLogReaderState *reader)
{
	char	   *data = XLogRecGetData(reader);

	switch (XLogRecGetInfo(reader) & ~XLR_INFO_MASK)
	{
		case XLOG_DBASE_CREATE_FILE_COPY:
			{
				xl_dbase_create_file_copy_rec *create =
					(xl_dbase_create_file_copy_rec *) data;

				ckpx_wal_decoder_change_database(decoder, reader,
												 create->tablespace_id,
												 create->db_id, false);
				return true;
			}

		case XLOG_DBASE_CREATE_WAL_LOG:
			{
				xl_dbase_create_wal_log_rec *create =
					(xl_dbase_create_wal_log_rec *) data;

				ckpx_wal_decoder_change_database(decoder, reader,
												 create->tablespace_id,
												 create->db_id, false);
				return true;
			}

		case XLOG_DBASE_DROP:
			{
				xl_dbase_drop_rec *drop = (xl_dbase_drop_rec *) data;

				for (int i = 0; i < drop->ntablespaces; i++)
					ckpx_wal_decoder_change_database(decoder, reader,
													 drop->tablespace_ids[i],
													 drop->db_id, true);
				return true;
			}
	}
	return false;
}

static void
decode_standby(CkpxWalDecoder *decoder, XLogReaderState *reader)
{
	xl_running_xacts *running = (xl_running_xacts *) XLogRecGetData(reader);

	if ((XLogRecGetInfo(reader) & ~XLR_INFO_MASK) != XLOG_RUNNING_XACTS)
		return;
	ckpx_wal_xacts_running(decoder->xacts, running->xcnt + running->subxcnt,
						   running->xids, running->oldestRunningXid,
						   running->nextXid, running->subxid_overflow,
						   reader->EndRecPtr);
}

/*
 * Block references
 */

/*
 * From the first heap record on it is known which blocks of a heap get rows.
 * What other records changed before counts as such.
 */
static pg_noinline void
begin_heap(CkpxWalDecoder *decoder, CkpxRelation *heap)
{
	heap->appended = ckpx_dirty_tree_get(decoder->appended, &heap->key);
	ckpx_block_set_union(&heap->appended->blocks, &heap->blocks);
}

/*
 * Count the rows of a heap record.  New ones are in the block that it names
 * first.
 */
static inline void
count_tuples(CkpxRelation *relation, RmgrId rmid, XLogReaderState *reader)
{
	uint8		op = XLogRecGetInfo(reader) & XLOG_HEAP_OPMASK;
	uint64		inserted = 0;

	if (rmid == RM_HEAP_ID)
	{
		if (op == XLOG_HEAP_INSERT)
			inserted = 1;
		else if (op == XLOG_HEAP_DELETE)
			relation->counters.tuples_deleted++;
		else if (op == XLOG_HEAP_UPDATE || op == XLOG_HEAP_HOT_UPDATE)
		{
			inserted = 1;
			relation->counters.tuples_deleted++;
		}
	}
	else if (op == XLOG_HEAP2_MULTI_INSERT)
		inserted = ((xl_heap_multi_insert *) XLogRecGetData(reader))->ntuples;

	if (inserted == 0)
		return;
	relation->counters.tuples_inserted += inserted;
	if (likely(relation->appended != NULL))
		(void) ckpx_block_set_add(&relation->appended->blocks,
								  reader->record->blocks[0].blkno);
}

/* Images of pages that only got hint bits. */
static inline bool
is_hint_image(const DecodedXLogRecord *record)
{
	return record->header.xl_rmid == RM_XLOG_ID &&
		(record->header.xl_info & ~XLR_INFO_MASK) == XLOG_FPI_FOR_HINT;
}

static inline void
decode_blocks(CkpxWalDecoder *decoder, XLogReaderState *reader)
{
	DecodedXLogRecord *record = reader->record;
	RmgrId		rmid = record->header.xl_rmid;
	bool		is_heap = rmid == RM_HEAP_ID || rmid == RM_HEAP2_ID;
	CkpxRelation *first = NULL;
	CkpxRelation *previous = NULL;

	for (int id = 0; id <= record->max_block_id; id++)
	{
		DecodedBkpBlock *block = &record->blocks[id];
		CkpxRelation *relation;

		if (!block->in_use || block->forknum == FSM_FORKNUM)
			continue;

		relation = get_relation(decoder, CKPX_BLOCK_LOCATOR(block),
								block->forknum, record->header.xl_xid);
		if (is_heap && relation->appended == NULL &&
			block->forknum == MAIN_FORKNUM)
			begin_heap(decoder, relation);
		(void) ckpx_block_set_add(&relation->blocks, block->blkno);
		if (block->has_image && block->apply_image)
			relation->counters.fpi++;
		if (first == NULL)
		{
			first = relation;
			relation->counters.records++;
			relation->counters.wal_bytes += record->header.xl_tot_len;
		}
		else if (relation != previous && relation != first)
			relation->counters.records++;
		previous = relation;

		if (is_heap)
		{
			BlockNumber vm_block = block->blkno / HEAPBLOCKS_PER_VM_PAGE;

			if (block->forknum == MAIN_FORKNUM &&
				unlikely(vm_block != relation->last_vm_block))
				mark_vm(decoder, relation, vm_block);
		}
		else if (rmid == RM_SPGIST_ID)
			(void) ckpx_block_set_add(&relation->blocks, 0);
		else if (rmid == RM_SEQ_ID)
			ckpx_wal_decoder_add_sequence(decoder, &relation->key,
										  reader->ReadRecPtr);
		else if (relation->appended != NULL && !is_hint_image(record))
			(void) ckpx_block_set_add(&relation->appended->blocks,
									  block->blkno);
	}

	if (first == NULL)
		return;
	if (is_heap)
		count_tuples(first, rmid, reader);
	decoder->last_change_lsn = reader->ReadRecPtr;
}

CkpxWalBreak
ckpx_wal_decoder_apply(CkpxWalDecoder *decoder, XLogReaderState *reader)
{
	RmgrId		rmid = XLogRecGetRmid(reader);
	TransactionId xid = XLogRecGetXid(reader);
	bool		known = false;

	if (TransactionIdIsValid(xid))
		ckpx_wal_xacts_note(decoder->xacts, xid, reader->ReadRecPtr);

	switch (rmid)
	{
		case RM_XLOG_ID:
			if (ckpx_wal_decoder_wal_level(reader) == WAL_LEVEL_MINIMAL)
				return CKPX_BREAK_MINIMAL;
			decode_xlog(decoder, reader);
			break;
		case RM_XACT_ID:
			known = decode_xact(decoder, reader);
			break;
		case RM_SMGR_ID:
			known = decode_smgr(decoder, reader);
			break;
		case RM_DBASE_ID:
			known = decode_dbase(decoder, reader);
			break;
		case RM_STANDBY_ID:
			decode_standby(decoder, reader);
			break;
		default:
			if (rmid >= RM_MIN_CUSTOM_ID)
				known = ckpx_wal_decoder_custom(decoder, reader);
			break;
	}
	if (!known && (XLogRecGetInfo(reader) & XLR_SPECIAL_REL_UPDATE))
		return CKPX_BREAK_SPECIAL;

	if (XLogRecHasAnyBlockRefs(reader))
		decode_blocks(decoder, reader);
	decoder->nrecords++;
	return CKPX_BREAK_NONE;
}
