/*-------------------------------------------------------------------------
 *
 * pass.c
 *		Durable passes and policy passes.
 *
 * The steps of a durable pass up to U, and why they are in this order:
 *
 *	1. U is in the buffers: its WAL is flushed, so every insertion before it
 *	   has ended, and a change marks its buffer dirty before its record is
 *	   inserted.  On a standby replay has passed U.
 *	2. Some changes are the other way round: record first, then the buffer,
 *	   or the file (an in-place update, a truncation).  They delay
 *	   checkpoints, and delay us for the same reason: wait for those that are
 *	   under way now.  Replay has no such things.
 *	3. Only now look at the buffers.  What is clean here has been written to
 *	   its file by somebody.
 *	4. Write each dirty one once.  A buffer that holds another block by the
 *	   time we come to it was written before that.
 *	5. Sync every file that holds a changed block, from any process, and the
 *	   file that a truncation cut.
 *	6. Wait for truncations that are under way, as a checkpoint does: buffers
 *	   that we found gone may not be gone from the file yet.
 *
 * A pass over a range takes blocks and files from the map; a pass over
 * relations takes all of their dirty buffers and all of their files, so it
 * needs no map.
 *
 * A file that is not there is an error unless the map shows why: dropped or
 * truncated, or its whole database is gone.  Files go after, and sometimes
 * before, the record that says so, which therefore may not be decoded yet.
 * So the pass ends the rest of its work first and then waits a little for the
 * explanation.  A visibility map need not exist: the map names its blocks
 * whether there is one or not.
 *
 * Opening each file by its path gives a descriptor of the file that is there
 * now.  An fsync that fails is a PANIC unless data_sync_retry is set: Linux
 * tells of a failed write once, so the process that is told must not go on.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include <fcntl.h>
#include <unistd.h>

#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "server/base/fault.h"
#include "server/base/worker_status.h"
#include "server/flush/buffers.h"
#include "server/flush/pass.h"
#include "server/flush/shared.h"
#include "server/logtail/logtail.h"
#include "server/store/object_file.h"
#include "storage/fd.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/inval.h"
#include "utils/memutils.h"

#define DELAY_POLL_MS			10
#define EXPLANATION_POLL_MS		100
#define EXPLANATION_POLLS		50

/* A file that was not there. */
typedef struct MissingFile
{
	CkpxRelKey	key;
	uint32		segment;
} MissingFile;

/* Blocks written by policy in this checkpoint cycle. */
static MemoryContext cycle_context = NULL;
static CkpxDirtyTree *cycle_tree;
static XLogRecPtr cycle_redo;

/*
 * Steps 1, 2 and 6
 */

static void
wait_for_delayers(int type)
{
	VirtualTransactionId *vxids;
	int			nvxids;

	if (RecoveryInProgress())
		return;
	vxids = GetVirtualXIDsDelayingChkpt(&nvxids, type);
	while (nvxids > 0 && HaveVirtualXIDsDelayingChkpt(vxids, nvxids, type))
		ckpx_worker_wait(DELAY_POLL_MS);
	pfree(vxids);
}

static void
wait_until_in_buffers(XLogRecPtr upto, CkpxFlushReason reason)
{
	ckpx_flush_progress(CKPX_FLUSH_PHASE_WAIT, reason, 0, 0);
	CKPX_FAULT("flush-begin");
	while (RecoveryInProgress() && GetXLogReplayRecPtr(NULL) < upto)
		ckpx_worker_wait(DELAY_POLL_MS);
	if (!RecoveryInProgress() && GetFlushRecPtr(NULL) < upto)
		elog(ERROR, "flush pass up to %X/%X beyond the end of WAL",
			 LSN_FORMAT_ARGS(upto));
	wait_for_delayers(DELAY_CHKPT_START);
	ckpx_flush_progress(CKPX_FLUSH_PHASE_SCAN, reason, 0, 0);
	CKPX_FAULT("flush-scan");
}

/*
 * Step 4
 */

static void
write_all(const CkpxDirtyBuffers *found, const CkpxWriteOptions *options,
		  CkpxPassResult *result)
{
	result->blocks_written += ckpx_dirty_buffers_write(found, options);
	CKPX_FAULT("flush-written");
}

/*
 * Step 5
 */

/*
 * Sync one segment of a fork; false if it is not there.
 */
static bool
sync_segment(const CkpxRelKey *key, uint32 segment, CkpxPassResult *result)
{
	char	   *path = ckpx_relation_path(key->tablespace, key->database,
										  key->relation,
										  (ForkNumber) key->fork);
	int			fd;

	/* A barrier that closes all descriptors waits for one fsync only. */
	ckpx_worker_interrupts();

	if (segment > 0)
	{
		char	   *base = path;

		path = psprintf("%s.%u", base, segment);
		pfree(base);
	}
	fd = OpenTransientFile(path, O_RDWR | PG_BINARY);
	if (fd < 0)
	{
		if (errno != ENOENT)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not open file \"%s\": %m", path)));
		pfree(path);
		return false;
	}

	CKPX_FAULT("flush-fsync");
	pgstat_report_wait_start(WAIT_EVENT_DATA_FILE_IMMEDIATE_SYNC);
	if (pg_fsync(fd) != 0)
		ereport(data_sync_elevel(ERROR),
				(errcode_for_file_access(),
				 errmsg("could not fsync file \"%s\": %m", path)));
	pgstat_report_wait_end();
	if (CloseTransientFile(fd) != 0)
		ereport(data_sync_elevel(ERROR),
				(errcode_for_file_access(),
				 errmsg("could not close file \"%s\": %m", path)));
	pfree(path);
	result->fsyncs++;
	return true;
}

/* Sync all segments from 'segment' on; returns the first that is not there. */
static uint32
sync_from(const CkpxRelKey *key, uint32 segment, CkpxPassResult *result)
{
	while (sync_segment(key, segment, result))
		segment++;
	return segment;
}

static void
note_missing(List **missing, const CkpxRelKey *key, uint32 segment)
{
	MissingFile *file;

	if (key->fork == VISIBILITYMAP_FORKNUM)
		return;
	file = palloc(sizeof(MissingFile));
	file->key = *key;
	file->segment = segment;
	*missing = lappend(*missing, file);
}

/*
 * Sync what changed of one fork.  Where it was truncated or created, all from
 * there on, and at least the segment that was cut.
 */
static void
sync_fork(const CkpxRelation *relation, List **missing,
		  CkpxPassResult *result)
{
	const CkpxRelKey *key = &relation->key;
	BlockNumber limit = relation->blocks.limit_block;
	uint32		first_new = limit == InvalidBlockNumber ?
		PG_UINT32_MAX : limit / RELSEG_SIZE;
	BlockNumber from = 0;

	for (;;)
	{
		CkpxBlockSetIterator it;
		BlockNumber block;
		uint32		segment;

		ckpx_block_set_iterate(&it, &relation->blocks, from);
		if (!ckpx_block_set_next(&it, &block))
			break;
		segment = block / RELSEG_SIZE;
		if (segment >= first_new)
			break;
		if (!sync_segment(key, segment, result))
			note_missing(missing, key, segment);
		if (segment >= MaxBlockNumber / RELSEG_SIZE)
			break;
		from = (segment + 1) * (BlockNumber) RELSEG_SIZE;
	}

	if (first_new != PG_UINT32_MAX &&
		sync_from(key, first_new, result) == first_new &&
		(relation->flags & CKPX_REL_DROPPED) == 0)
		note_missing(missing, key, first_new);
}

/*
 * The map of a range
 */

/*
 * Read what the logtail has of [start, upto), and what else the segments at
 * both ends hold: that makes the map larger, never smaller.  NULL where the
 * logtail begins later by now.
 */
static CkpxDirtyTree *
read_range(XLogRecPtr start, XLogRecPtr upto)
{
	CkpxDirtyTree *tree = ckpx_dirty_tree_create(CurrentMemoryContext);
	CkpxSegmentRef *refs;
	uint32		nrefs;
	volatile bool reaches = false;

	refs = ckpx_logtail_pin(start, upto, &nrefs);
	PG_TRY();
	{
		reaches = nrefs > 0 && refs[0].info.range.start_lsn <= start &&
			refs[nrefs - 1].info.range.end_lsn >= upto;
		for (uint32 i = 0; i < nrefs && reaches; i++)
		{
			const CkpxSegmentInfo *info = &refs[i].info;
			const char *problem;

			CHECK_FOR_INTERRUPTS();
			if (info->spilled)
			{
				CkpxEntry	entry;

				ckpx_segment_entry(&entry, info);
				reaches = ckpx_object_merge(&entry, true, tree);
			}
			else if (!ckpx_dirty_tree_merge_bytes(tree, refs[i].bytes,
												  info->bytes, &problem))
				elog(ERROR, "logtail segment in memory is damaged: %s",
					 problem);
		}
	}
	PG_FINALLY();
	{
		ckpx_logtail_unpin(refs, nrefs);
	}
	PG_END_TRY();

	if (!reaches)
	{
		ckpx_dirty_tree_free(tree);
		return NULL;
	}
	return tree;
}

/* The row of a fork, with that of its whole database beside it. */
static bool
is_changed(const CkpxDirtyTree *tree, const CkpxRelKey *key,
		   BlockNumber block)
{
	CkpxRelKey	database = {key->tablespace, key->database,
	CKPX_DATABASE_WIDE, MAIN_FORKNUM};
	const CkpxRelation *relation = ckpx_dirty_tree_find(tree, key);

	return (relation != NULL &&
			ckpx_block_set_changed(&relation->blocks, block)) ||
		ckpx_dirty_tree_find(tree, &database) != NULL;
}

static bool
is_in_map(void *arg, const CkpxRelKey *key, BlockNumber block)
{
	return key->fork != FSM_FORKNUM && is_changed(arg, key, block);
}

/* Does the map say why the file is not there? */
static bool
is_explained(const CkpxDirtyTree *tree, const MissingFile *file)
{
	CkpxRelKey	database = {file->key.tablespace, file->key.database,
	CKPX_DATABASE_WIDE, MAIN_FORKNUM};
	const CkpxRelation *relation = ckpx_dirty_tree_find(tree, &file->key);

	return (relation != NULL &&
			((relation->flags & CKPX_REL_DROPPED) != 0 ||
			 relation->blocks.limit_block <
			 (uint64) file->segment * RELSEG_SIZE)) ||
		ckpx_dirty_tree_find(tree, &database) != NULL;
}

/* Have the runner decode all that there is, and wait until it has. */
static XLogRecPtr
collect_all(void)
{
	XLogRecPtr	end;
	XLogRecPtr	collected;

	if (RecoveryInProgress())
		end = GetXLogReplayRecPtr(NULL);
	else
	{
		end = GetXLogInsertRecPtr();
		XLogFlush(end);
		end = GetFlushRecPtr(NULL);
	}
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	CkpxShared->collect_request = Max(CkpxShared->collect_request, end);
	LWLockRelease(CkpxShared->lock);
	ckpx_wake_worker(CKPX_WORKER_RUNNER);

	ckpx_worker_wait(EXPLANATION_POLL_MS);
	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	collected = CkpxShared->collected_lsn;
	LWLockRelease(CkpxShared->lock);
	return collected;
}

/*
 * Find out why files were not there; an error where it remains unknown.
 */
static void
explain_missing(List *missing, const CkpxDirtyTree *tree, XLogRecPtr start)
{
	CkpxDirtyTree *later = NULL;
	ListCell   *cell;

	for (int i = 0; missing != NIL; i++)
	{
		foreach(cell, missing)
		{
			if (is_explained(tree, lfirst(cell)))
				missing = foreach_delete_current(missing, cell);
		}
		if (missing == NIL)
			return;
		if (i == EXPLANATION_POLLS)
			break;
		if (later != NULL)
			ckpx_dirty_tree_free(later);
		later = read_range(start, collect_all());
		if (later == NULL)
			return;				/* the range is finished by now */
		tree = later;
	}

	if (missing != NIL)
	{
		const MissingFile *file = linitial(missing);

		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FILE),
				 errmsg("file \"%s\", segment %u, is missing",
						ckpx_relation_path(file->key.tablespace,
										   file->key.database,
										   file->key.relation,
										   (ForkNumber) file->key.fork),
						file->segment),
				 errdetail("WAL names blocks of it and does not say that it was dropped or truncated.")));
	}
}

/*
 * The passes
 */

bool
ckpx_pass_range(XLogRecPtr start, XLogRecPtr upto, const CkpxRelKey *builds,
				uint32 nbuilds, CkpxPassResult *result)
{
	CkpxWriteOptions options = {CKPX_FLUSH_CHECKPOINT, true};
	CkpxDirtyBuffers found;
	CkpxDirtyTree *tree = start < upto ? read_range(start, upto) :
		ckpx_dirty_tree_create(CurrentMemoryContext);
	CkpxRelation **relations;
	uint32		nrelations;
	List	   *missing = NIL;

	if (tree == NULL)
		return false;

	wait_until_in_buffers(upto, options.reason);
	ckpx_dirty_buffers_find(&found, is_in_map, tree);
	write_all(&found, &options, result);

	relations = ckpx_dirty_tree_sorted(tree, &nrelations);
	for (uint32 i = 0; i < nrelations; i++)
	{
		if (relations[i]->key.relation == CKPX_DATABASE_WIDE ||
			relations[i]->key.fork == FSM_FORKNUM)
			continue;
		ckpx_flush_progress(CKPX_FLUSH_PHASE_SYNC, options.reason, i,
							nrelations + nbuilds);
		sync_fork(relations[i], &missing, result);
	}

	/* Dropped ones may still be among these. */
	for (uint32 i = 0; i < nbuilds; i++)
		(void) sync_from(&builds[i], 0, result);

	wait_for_delayers(DELAY_CHKPT_COMPLETE);
	explain_missing(missing, tree, start);
	return true;
}

/* What a pass over relations is about. */
typedef struct PassKeys
{
	const CkpxRelKey *keys;
	uint32		nkeys;
	const CkpxDirtyTree *hot;	/* leave these blocks alone; or NULL */
	uint64	   *written;		/* blocks written of each */
} PassKeys;

static bool
is_of_relation(void *arg, const CkpxRelKey *key, BlockNumber block)
{
	const PassKeys *pass = arg;

	return ckpx_find_key(pass->keys, pass->nkeys, key) != NULL;
}

static void
count_written(void *arg, const CkpxRelKey *key, BlockNumber block)
{
	PassKeys   *pass = arg;

	pass->written[ckpx_find_key(pass->keys, pass->nkeys, key) - pass->keys]++;
}

void
ckpx_pass_relations(const CkpxRelKey *keys, uint32 nkeys, XLogRecPtr upto,
					CkpxFlushReason reason, bool *missing, uint64 *written,
					CkpxPassResult *result)
{
	PassKeys	pass = {keys, nkeys, NULL, written};
	CkpxWriteOptions options = {reason, true, 0, count_written, &pass};
	CkpxDirtyBuffers found;

	memset(written, 0, sizeof(uint64) * nkeys);

	wait_until_in_buffers(upto, reason);
	ckpx_dirty_buffers_find(&found, is_of_relation, &pass);
	write_all(&found, &options, result);

	for (uint32 i = 0; i < nkeys; i++)
	{
		ckpx_flush_progress(CKPX_FLUSH_PHASE_SYNC, reason, i, nkeys);
		for (int fork = 0; fork <= MAX_FORKNUM; fork++)
		{
			CkpxRelKey	key = keys[i];
			uint32		nsegments;

			key.fork = fork;
			nsegments = sync_from(&key, 0, result);
			if (fork == MAIN_FORKNUM)
				missing[i] = nsegments == 0;
		}
	}
	wait_for_delayers(DELAY_CHKPT_COMPLETE);
}

static bool
is_for_policy(void *arg, const CkpxRelKey *key, BlockNumber block)
{
	const PassKeys *pass = arg;
	const CkpxRelation *written;

	if (ckpx_find_key(pass->keys, pass->nkeys, key) == NULL)
		return false;
	if (pass->hot != NULL && is_changed(pass->hot, key, block))
		return false;
	written = ckpx_dirty_tree_find(cycle_tree, key);
	return written == NULL ||
		!ckpx_block_set_contains(&written->blocks, block);
}

static void
note_written(void *arg, const CkpxRelKey *key, BlockNumber block)
{
	(void) ckpx_dirty_tree_mark(cycle_tree, key, block);
}

/* The map of the newest cut. */
static CkpxDirtyTree *
newest_cut(void)
{
	CkpxSegmentInfo *infos;
	uint32		ninfos;

	infos = ckpx_logtail_copy(&ninfos);
	if (ninfos == 0)
		return NULL;
	return read_range(infos[ninfos - 1].range.start_lsn,
					  infos[ninfos - 1].range.end_lsn);
}

void
ckpx_pass_policy(const CkpxRelKey *keys, uint32 nkeys, CkpxFlushReason reason,
				 bool late, int64 window_ms, XLogRecPtr redo,
				 CkpxPassResult *result)
{
	CkpxWriteOptions options = {reason, false, window_ms, note_written};
	PassKeys	pass = {keys, nkeys, late ? NULL : newest_cut()};
	CkpxDirtyBuffers found;

	if (cycle_context == NULL)
		cycle_context = AllocSetContextCreate(TopMemoryContext,
											  "ckpx flush cycle",
											  ALLOCSET_DEFAULT_SIZES);
	if (cycle_tree == NULL || cycle_redo != redo)
	{
		cycle_tree = NULL;
		MemoryContextReset(cycle_context);
		cycle_tree = ckpx_dirty_tree_create(cycle_context);
		cycle_redo = redo;
	}

	ckpx_flush_progress(CKPX_FLUSH_PHASE_SCAN, reason, 0, 0);
	ckpx_dirty_buffers_find(&found, is_for_policy, &pass);
	result->blocks_written += ckpx_dirty_buffers_write(&found, &options);
}
