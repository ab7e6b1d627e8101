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
 * - A sequence's page changes with every value, its record comes with every
 *   32nd: see wal/changes.c.
 *
 * Free space maps are not tracked: they are hints and never complete.
 *
 * Which blocks of a heap got rows is noted apart, while ckpx.flush is on.  It
 * is no part of the map, only the flusher asks for it.
 *
 * To support another resource manager:
 *
 * - One whose records name all blocks that they change needs nothing:
 *   decode_blocks() takes them.
 * - One of an extension registers a decoder, see ckpx.h; nothing changes here.
 * - One of PostgreSQL's gets a case in decode_more(), with a function that
 *   says in the words of wal/changes.h what a record does, and returns whether
 *   the record is known where it may carry XLR_SPECIAL_REL_UPDATE; and one in
 *   ckpx_wal_record_wants_data(), if it looks at the main data.  Pages that
 *   change along with those that are named, as of the visibility map, belong
 *   in decode_blocks().  test/lib/CkpxOracle.pm has the same rules once more.
 *
 * What is done here for each block is kept to a few comparisons: a cache finds
 * the relation, another one knows the block, and the relation's last VM block
 * need not be marked again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "server/wal/decode.h"

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
#include "server/wal/custom.h"
#include "storage/bufpage.h"
#include "storage/standbydefs.h"

#define HEAPBLOCKS_PER_VM_PAGE \
	CKPX_HEAPBLOCKS_PER_VM_PAGE(MAXALIGN(SizeOfPageHeaderData))

StaticAssertDecl(BLCKSZ != 8192 || HEAPBLOCKS_PER_VM_PAGE == 32672,
				 "visibility map layout");
StaticAssertDecl(MAX_FORKNUM == INIT_FORKNUM, "forks of a dropped relation");
StaticAssertDecl(CKPX_RMGR_BITMAP_BYTES * 8 > RM_MAX_ID, "rmgr bitmap");

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

static pg_noinline void
mark_vm(CkpxWalChanges *changes, CkpxRelation *heap, BlockNumber vm_block)
{
	CkpxRelKey	key = heap->key;

	key.fork = VISIBILITYMAP_FORKNUM;
	(void) ckpx_dirty_tree_mark(changes->tree, &key, vm_block);
	heap->last_vm_block = vm_block;
}

/*
 * Records by resource manager.  Those that may carry XLR_SPECIAL_REL_UPDATE
 * return whether they are known.
 */

/*
 * The info XLOG_CHECKPOINT_REDO, and the level in the records of checkpoints,
 * came with PostgreSQL 17.
 */
int
ckpx_wal_record_level(const CkpxWalRecord *record)
{
	const char *at = record->data;
	int			level;

	if (record->rmid != RM_XLOG_ID)
		return -1;
	switch (record->info & ~XLR_INFO_MASK)
	{
		case XLOG_PARAMETER_CHANGE:
			at += offsetof(xl_parameter_change, wal_level);
			break;
#ifdef XLOG_CHECKPOINT_REDO
		case XLOG_CHECKPOINT_REDO:
			break;
		case XLOG_CHECKPOINT_SHUTDOWN:
			at += offsetof(CheckPoint, wal_level);
			break;
		case XLOG_END_OF_RECOVERY:
			at += offsetof(xl_end_of_recovery, wal_level);
			break;
#endif
		default:
			return -1;
	}
	memcpy(&level, at, sizeof(level));
	return level;
}

/* Note a checkpoint, or an end of recovery, for ckpx_history. */
static void
note_checkpoint(CkpxWalChanges *changes, const CkpxWalRecord *record)
{
	uint8		info = record->info & ~XLR_INFO_MASK;
	CkpxHistoryItem *item;

	if (info == XLOG_END_OF_RECOVERY)
	{
		xl_end_of_recovery end = {0};

		/* Newer majors append to it. */
		memcpy(&end, record->data,
			   Min(sizeof(end), record->data_length));
		item = ckpx_wal_changes_checkpoint(changes,
										   CKPX_HISTORY_END_OF_RECOVERY,
										   record->start);
		item->timeline = end.ThisTimeLineID;
		item->started_at = end.end_time;
	}
	else
	{
		CheckPoint	checkpoint;

		memcpy(&checkpoint, record->data, sizeof(checkpoint));
		item = ckpx_wal_changes_checkpoint(changes,
										   info == XLOG_CHECKPOINT_ONLINE ?
										   CKPX_HISTORY_ONLINE :
										   CKPX_HISTORY_SHUTDOWN,
										   record->start);
		item->timeline = checkpoint.ThisTimeLineID;
		item->start_lsn = checkpoint.redo;
		item->started_at = time_t_to_timestamptz(checkpoint.time);
	}
	item->crc = record->crc;
}

static void
decode_xlog(CkpxWalChanges *changes, const CkpxWalRecord *record)
{
	uint8		info = record->info & ~XLR_INFO_MASK;

	if (info == XLOG_CHECKPOINT_ONLINE || info == XLOG_CHECKPOINT_SHUTDOWN)
	{
		CheckPoint	checkpoint;

		memcpy(&checkpoint, record->data, sizeof(checkpoint));
		ckpx_wal_changes_settle(changes, checkpoint.redo);
	}
	if (info == XLOG_CHECKPOINT_ONLINE || info == XLOG_CHECKPOINT_SHUTDOWN ||
		info == XLOG_END_OF_RECOVERY)
		note_checkpoint(changes, record);
	if (info == XLOG_CHECKPOINT_SHUTDOWN || info == XLOG_END_OF_RECOVERY)
		ckpx_wal_xacts_shutdown(changes->xacts, record->end);
}

/* A transaction ended, and with it these relations went. */
static void
end_xact(CkpxWalChanges *changes, const CkpxWalRecord *record,
		 TransactionId xid, int nlocators, const RelFileLocator *locators,
		 int nsubxacts, const TransactionId *subxacts)
{
	for (int i = 0; i < nlocators; i++)
	{
		for (int fork = 0; fork <= MAX_FORKNUM; fork++)
		{
			CkpxRelKey	key = make_key(locators[i], (ForkNumber) fork);

			ckpx_wal_changes_drop_fork(changes, &key, record->start);
		}
	}
	changes->nxacts++;
	ckpx_wal_xacts_end(changes->xacts,
					   TransactionIdIsValid(xid) ? xid : record->xid,
					   nsubxacts, subxacts, record->end);
}

static bool
decode_xact(CkpxWalChanges *changes, const CkpxWalRecord *record)
{
	uint8		info = record->info;
	char	   *data = record->data;

	switch (info & XLOG_XACT_OPMASK)
	{
		case XLOG_XACT_COMMIT:
		case XLOG_XACT_COMMIT_PREPARED:
			{
				xl_xact_parsed_commit parsed;

				if (!(info & XLOG_XACT_HAS_INFO))
				{
					end_xact(changes, record, InvalidTransactionId, 0, NULL,
							 0, NULL);
					return true;
				}
				ParseCommitRecord(info, (xl_xact_commit *) data, &parsed);
				end_xact(changes, record, parsed.twophase_xid,
						 CKPX_XACT_NLOCATORS(&parsed),
						 CKPX_XACT_LOCATORS(&parsed), parsed.nsubxacts,
						 parsed.subxacts);
				return true;
			}

		case XLOG_XACT_ABORT:
		case XLOG_XACT_ABORT_PREPARED:
			{
				xl_xact_parsed_abort parsed;

				ParseAbortRecord(info, (xl_xact_abort *) data, &parsed);
				end_xact(changes, record, parsed.twophase_xid,
						 CKPX_XACT_NLOCATORS(&parsed),
						 CKPX_XACT_LOCATORS(&parsed), parsed.nsubxacts,
						 parsed.subxacts);
				return true;
			}

		case XLOG_XACT_PREPARE:
			{
				xl_xact_parsed_prepare parsed;

				ParsePrepareRecord(info, (xl_xact_prepare *) data, &parsed);
				ckpx_wal_xacts_prepare(changes->xacts, parsed.twophase_xid,
									   parsed.nsubxacts, parsed.subxacts);
				return true;
			}

		case XLOG_XACT_ASSIGNMENT:
			{
				xl_xact_assignment *assignment = (xl_xact_assignment *) data;

				ckpx_wal_xacts_assign(changes->xacts, assignment->xtop,
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
decode_smgr(CkpxWalChanges *changes, const CkpxWalRecord *record)
{
	uint8		info = record->info & ~XLR_INFO_MASK;

	if (info == XLOG_SMGR_CREATE)
	{
		xl_smgr_create *create = (xl_smgr_create *) record->data;
		CkpxRelKey	key = make_key(CKPX_SMGR_LOCATOR(create),
								   create->forkNum);

		ckpx_wal_changes_create_fork(changes, &key, record->xid,
									 record->start);
		return true;
	}

	if (info == XLOG_SMGR_TRUNCATE)
	{
		xl_smgr_truncate *truncate =
			(xl_smgr_truncate *) record->data;
		BlockNumber length = truncate->blkno;
		CkpxRelKey	key;

		if (truncate->flags & SMGR_TRUNCATE_HEAP)
		{
			key = make_key(CKPX_SMGR_LOCATOR(truncate), MAIN_FORKNUM);
			ckpx_wal_changes_truncate_fork(changes, &key, length,
										   record->start);
		}
		if (truncate->flags & SMGR_TRUNCATE_VM)
		{
			BlockNumber vm_length = length / HEAPBLOCKS_PER_VM_PAGE;
			bool		edge = length % HEAPBLOCKS_PER_VM_PAGE != 0;

			key = make_key(CKPX_SMGR_LOCATOR(truncate),
						   VISIBILITYMAP_FORKNUM);
			ckpx_wal_changes_truncate_fork(changes, &key,
										   vm_length + (edge ? 1 : 0),
										   record->start);
			if (edge)
				(void) ckpx_dirty_tree_mark(changes->tree, &key, vm_length);
		}
		return true;
	}
	return false;
}

static bool
decode_dbase(CkpxWalChanges *changes, const CkpxWalRecord *record)
{
	char	   *data = record->data;

	switch (record->info & ~XLR_INFO_MASK)
	{
		case XLOG_DBASE_CREATE_FILE_COPY:
			{
				xl_dbase_create_file_copy_rec *create =
					(xl_dbase_create_file_copy_rec *) data;

				ckpx_wal_changes_database(changes, create->tablespace_id,
										  create->db_id, false,
										  record->start);
				return true;
			}

		case XLOG_DBASE_CREATE_WAL_LOG:
			{
				xl_dbase_create_wal_log_rec *create =
					(xl_dbase_create_wal_log_rec *) data;

				ckpx_wal_changes_database(changes, create->tablespace_id,
										  create->db_id, false,
										  record->start);
				return true;
			}

		case XLOG_DBASE_DROP:
			{
				xl_dbase_drop_rec *drop = (xl_dbase_drop_rec *) data;

				for (int i = 0; i < drop->ntablespaces; i++)
					ckpx_wal_changes_database(changes, drop->tablespace_ids[i],
											  drop->db_id, true,
											  record->start);
				return true;
			}
	}
	return false;
}

static void
decode_standby(CkpxWalChanges *changes, const CkpxWalRecord *record)
{
	xl_running_xacts *running = (xl_running_xacts *) record->data;

	if ((record->info & ~XLR_INFO_MASK) != XLOG_RUNNING_XACTS)
		return;
	ckpx_wal_xacts_running(changes->xacts, running->xcnt + running->subxcnt,
						   running->xids, running->oldestRunningXid,
						   running->nextXid, running->subxid_overflow,
						   record->end);
}

/*
 * Block references
 */

/*
 * From the first heap record on it is known which blocks of a heap get rows.
 * What other records changed before counts as such.
 */
static pg_noinline void
begin_heap(CkpxWalChanges *changes, CkpxRelation *heap)
{
	heap->appended = ckpx_dirty_tree_get(changes->appended, &heap->key);
	ckpx_block_set_union(&heap->appended->blocks, &heap->blocks);
}

/*
 * Count the rows of a heap record.  New ones are in the block that it names
 * first.
 */
static inline void
count_tuples(CkpxRelation *relation, RmgrId rmid, const CkpxWalRecord *record)
{
	uint8		op = record->info & XLOG_HEAP_OPMASK;
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
		inserted = ((xl_heap_multi_insert *) record->data)->ntuples;

	if (inserted == 0)
		return;
	relation->counters.tuples_inserted += inserted;
	if (relation->appended != NULL)
		(void) ckpx_block_set_add(&relation->appended->blocks,
								  record->blocks[0].block);
}

/* Images of pages that only got hint bits. */
static inline bool
is_hint_image(const CkpxWalRecord *record)
{
	return record->rmid == RM_XLOG_ID &&
		(record->info & ~XLR_INFO_MASK) == XLOG_FPI_FOR_HINT;
}

static inline void
decode_blocks(CkpxWalChanges *changes, const CkpxWalRecord *record)
{
	RmgrId		rmid = record->rmid;
	bool		is_heap = rmid == RM_HEAP_ID || rmid == RM_HEAP2_ID;
	const CkpxWalBlock *end = record->blocks + record->nblocks;
	CkpxRelation *first = NULL;
	CkpxRelation *previous = NULL;

	for (const CkpxWalBlock *block = record->blocks; block < end; block++)
	{
		CkpxRelation *relation;

		if (block->key.fork == FSM_FORKNUM)
			continue;

		relation = ckpx_wal_changes_get(changes, &block->key, record->xid);
		if (changes->appended != NULL && relation->appended == NULL &&
			is_heap && block->key.fork == MAIN_FORKNUM)
			begin_heap(changes, relation);
		ckpx_wal_changes_add(changes, relation, block->block);
		if (block->image)
			relation->counters.fpi++;
		if (first == NULL)
		{
			first = relation;
			relation->counters.records++;
			relation->counters.wal_bytes += record->length;
		}
		else if (relation != previous && relation != first)
			relation->counters.records++;
		previous = relation;

		if (is_heap)
		{
			BlockNumber vm_block = block->block / HEAPBLOCKS_PER_VM_PAGE;

			if (block->key.fork == MAIN_FORKNUM &&
				unlikely(vm_block != relation->last_vm_block))
				mark_vm(changes, relation, vm_block);
		}
		else if (rmid == RM_SPGIST_ID)
			(void) ckpx_block_set_add(&relation->blocks, 0);
		else if (rmid == RM_SEQ_ID)
			ckpx_wal_changes_sequence(changes, &relation->key,
									  record->start);
		else if (relation->appended != NULL && !is_hint_image(record))
			(void) ckpx_block_set_add(&relation->appended->blocks,
									  block->block);
	}

	if (first == NULL)
		return;
	if (is_heap)
		count_tuples(first, rmid, record);
	changes->last_change_lsn = record->start;
}

/*
 * What a record does apart from changing the blocks that it names.  Returns
 * whether it is known where it may carry XLR_SPECIAL_REL_UPDATE.
 */
static pg_noinline bool
decode_more(CkpxWalChanges *changes, const CkpxWalRecord *record)
{
	switch (record->rmid)
	{
		case RM_XLOG_ID:
			decode_xlog(changes, record);
			return false;
		case RM_XACT_ID:
			return decode_xact(changes, record);
		case RM_SMGR_ID:
			return decode_smgr(changes, record);
		case RM_DBASE_ID:
			return decode_dbase(changes, record);
		case RM_STANDBY_ID:
			decode_standby(changes, record);
			return false;
		default:
			return record->rmid >= RM_MIN_CUSTOM_ID &&
				ckpx_wal_decode_custom(changes, record);
	}
}

CkpxDecodeResult
ckpx_wal_decode(CkpxWalChanges *changes, const CkpxWalRecord *record,
				bool at_beginning)
{
	RmgrId		rmid = record->rmid;
	TransactionId xid = record->xid;
	bool		special = (record->info & XLR_SPECIAL_REL_UPDATE) != 0;
	bool		plain;

	if (TransactionIdIsValid(xid))
		ckpx_wal_xacts_note(changes->xacts, xid, record->start);

	if (rmid == RM_XLOG_ID &&
		ckpx_wal_record_level(record) == WAL_LEVEL_MINIMAL)
	{
		/*
		 * The shutdown of a server whose wal_level was minimal is a good
		 * beginning: what was done without WAL lies before it, and with ckpx
		 * running the level is another one.
		 */
		if (at_beginning &&
			(record->info & ~XLR_INFO_MASK) == XLOG_CHECKPOINT_SHUTDOWN)
			return CKPX_DECODED;
		return CKPX_DECODE_MINIMAL;
	}

	/* These, most of all records, change the blocks that they name. */
	plain = rmid == RM_HEAP_ID || rmid == RM_HEAP2_ID || rmid == RM_BTREE_ID;
	if (!plain && decode_more(changes, record))
		special = false;
	if (special)
		return CKPX_DECODE_SPECIAL;

	if (record->nblocks > 0)
		decode_blocks(changes, record);
	changes->nrecords++;
	return CKPX_DECODED;
}
