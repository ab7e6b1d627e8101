/*-------------------------------------------------------------------------
 *
 * durability.c
 *		How far changes are on disk, and having the flusher bring it further.
 *
 * durable_lsn says: every change of the present epoch whose record starts
 * before it is on disk; a change without a record, as a sequence's page has
 * them, counts as one at the position that WAL had then.  It moves for one of
 * these reasons, and never back:
 *
 *	- PostgreSQL completed a checkpoint, on a standby a restartpoint: its redo
 *	  point.  pg_control tells, and is written after all pages were synced.
 *	- The flusher made a durable pass over [durable_lsn, U): U.
 *	- An incremental was finished: that was only done when its end was durable,
 *	  and holds after a restart, too.  An epoch starts there for the same
 *	  reason: of it, nothing lies before.
 *	- No block changed between it and the last cut: the last cut.  So an idle
 *	  server, which skips checkpoints, finishes its entries as well.
 *
 * One thing is not in it: files under construction.  Who builds an index or
 * rewrites a table writes outside shared buffers and syncs, or (from 17 on)
 * only registers the file to be synced, at the end.  The relation is listed as
 * undurable until its transaction has ended and, after that, a checkpoint of
 * PostgreSQL has begun and was completed, or a durable pass was made: each
 * pass syncs all files of this kind, although their blocks may have been in
 * an earlier range.  How far that is true says synced_lsn.  It is not enough
 * that nothing changed since, so it may stay behind durable_lsn.  Where there
 * are more of them than can be handed to the flusher, as after a restore of
 * thousands of tables, PostgreSQL is asked for a checkpoint instead.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "access/xlog.h"
#include "catalog/pg_control.h"
#include "common/controldata_utils.h"
#include "miscadmin.h"
#include "postmaster/bgwriter.h"
#include "server/base/options.h"
#include "server/flush/shared.h"
#include "server/process/durability.h"
#include "server/process/runner.h"

/* A checkpoint that was asked for and has not come is asked for again. */
#define CKPX_ASK_AGAIN_MS	30000

/*
 * Redo point of the last completed checkpoint or restartpoint, or Invalid
 * when it cannot be told right now.
 */
static XLogRecPtr
completed_redo(void)
{
	ControlFileData *control;
	bool		crc_ok;
	XLogRecPtr	redo;

	LWLockAcquire(ControlFileLock, LW_SHARED);
	control = get_controlfile(DataDir, &crc_ok);
	LWLockRelease(ControlFileLock);
	redo = crc_ok ? control->checkPointCopy.redo : InvalidXLogRecPtr;
	if (crc_ok)
	{
		bool		in_recovery = RecoveryInProgress();

		LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
		ckpx_history_look(&CkpxShared->history, in_recovery,
						  control->checkPoint, &control->checkPointCopy);
		LWLockRelease(CkpxShared->lock);
	}
	pfree(control);
	return redo;
}

/* The last record in the logtail that changed a block. */
static XLogRecPtr
last_change(void)
{
	CkpxSegmentInfo *infos;
	uint32		ninfos;
	XLogRecPtr	last = InvalidXLogRecPtr;

	infos = ckpx_logtail_copy(&ninfos);
	for (uint32 i = 0; i < ninfos; i++)
		last = Max(last, infos[i].range.last_change_lsn);
	pfree(infos);
	return last;
}

/*
 * Have PostgreSQL make durable what lies before 'upto'.  A standby has to wait
 * for its primary's checkpoints.
 */
static void
ask_for_checkpoint(XLogRecPtr upto)
{
	static XLogRecPtr asked_upto = InvalidXLogRecPtr;
	static uint64 asked_ms = 0;
	uint64		now = ckpx_clock_ms();

	if (RecoveryInProgress() ||
		(upto <= asked_upto && now - asked_ms < CKPX_ASK_AGAIN_MS))
		return;
	asked_upto = upto;
	asked_ms = now;
	RequestCheckpoint(CHECKPOINT_IMMEDIATE | CHECKPOINT_FORCE);
}

/*
 * Have the flusher make durable what lies before 'upto', which is decoded.
 * Does nothing where it is at work already or has failed just now: the caller
 * comes again.
 */
void
ckpx_durability_request(CkpxRunner *runner, XLogRecPtr upto)
{
	CkpxFlushShared *flush = CkpxShared->flush;
	CkpxRelKey *builds;
	uint32		nbuilds;
	XLogRecPtr	from;
	XLogRecPtr	to;
	XLogRecPtr	synced;
	bool		asked = false;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	synced = flush->synced_lsn;
	LWLockRelease(CkpxShared->lock);
	nbuilds = ckpx_wal_source_builds(runner->source, synced, &builds, &from,
									 &to);

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	flush->too_many_builds = nbuilds > CKPX_JOB_LIST;
	if (CkpxShared->workers[CKPX_WORKER_FLUSHER].pid != 0 &&
		flush->range_request == InvalidXLogRecPtr &&
		flush->range_retry_ms <= ckpx_clock_ms() &&
		(upto > CkpxShared->durable_lsn || nbuilds > 0) &&
		upto <= CkpxShared->collected_lsn &&
		nbuilds <= CKPX_JOB_LIST)
	{
		flush->range_request = upto;
		flush->nbuilds = nbuilds;
		memcpy(flush->builds, builds, sizeof(CkpxRelKey) * nbuilds);
		asked = true;
	}
	LWLockRelease(CkpxShared->lock);
	pfree(builds);
	if (asked)
		ckpx_wake_worker(CKPX_WORKER_FLUSHER);
	else if (nbuilds > CKPX_JOB_LIST)
		ask_for_checkpoint(upto);
}

/*
 * Find out how far changes are durable, and serve backends that want more.
 */
void
ckpx_durability_step(CkpxRunner *runner)
{
	CkpxFlushShared *flush = CkpxShared->flush;
	XLogRecPtr	redo = completed_redo();
	XLogRecPtr	changed = last_change();
	XLogRecPtr	durable;
	XLogRecPtr	before;
	XLogRecPtr	wanted;
	XLogRecPtr	from;
	XLogRecPtr	to;
	XLogRecPtr	synced;
	XLogRecPtr	final;
	CkpxRelKey *builds;
	uint32		nbuilds;
	bool		changes;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	before = CkpxShared->durable_lsn;
	durable = Max(before, redo);
	durable = Max(durable, ckpx_entry_store_checkpointed(CkpxShared->store));
	if (durable > changed)
		durable = Max(durable, CkpxShared->collected_lsn);
	CkpxShared->durable_lsn = durable;
	flush->completed_redo = Max(flush->completed_redo, redo);
	flush->synced_lsn = Max(flush->synced_lsn, redo);
	synced = flush->synced_lsn;
	wanted = Min(flush->range_wanted, CkpxShared->collected_lsn);
	LWLockRelease(CkpxShared->lock);

	nbuilds = ckpx_wal_source_builds(runner->source, synced, &builds, &from,
									 &to);
	pfree(builds);
	final = nbuilds > 0 ? synced : durable;
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	changes = durable > before || flush->undurable_at != final ||
		flush->undurable_from != from || flush->undurable_to != to;
	flush->undurable_from = from;
	flush->undurable_to = to;
	flush->undurable_at = final;
	LWLockRelease(CkpxShared->lock);
	if (changes)
		ConditionVariableBroadcast(&CkpxShared->progress);
	if (wanted > final)
		ckpx_durability_request(runner, wanted);
}
