/*-------------------------------------------------------------------------
 *
 * durability.c
 *		What tells how far changes are on disk, and having the flusher bring
 *		it further.
 *
 * What follows from all of this is kept in flush/durable.c.  durable_lsn moves
 * for one of these reasons:
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
 * One thing is not in it: files under construction.  A backend that builds an
 * index or rewrites a table writes outside shared buffers and syncs, or (from
 * 17 on) only registers the file to be synced, at the end.  The relation is
 * listed as undurable until its transaction has ended and, after that, a
 * checkpoint of PostgreSQL has begun and was completed, or a durable pass was
 * made: each pass syncs all files of this kind, although their blocks may have
 * been in an earlier range.  synced_lsn says how far that is true.  It is not
 * enough that nothing changed since, so it may stay behind durable_lsn.  Where
 * there are more of them than can be handed to the flusher, as after a restore
 * of thousands of tables, PostgreSQL is asked for a checkpoint instead.
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
#include "server/flush/durable.h"
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
	CkpxRelKey *builds;
	uint32		nbuilds;
	XLogRecPtr	from;
	XLogRecPtr	to;

	nbuilds = ckpx_wal_source_builds(runner->source, ckpx_durable_synced_lsn(),
									 &builds, &from, &to);
	if (!ckpx_durable_ask(upto, builds, nbuilds) && nbuilds > CKPX_JOB_LIST)
		ask_for_checkpoint(upto);
	pfree(builds);
}

/*
 * Find out how far changes are durable, and serve backends that want more.
 */
void
ckpx_durability_step(CkpxRunner *runner)
{
	CkpxDurability durability;
	XLogRecPtr	from;
	XLogRecPtr	to;
	XLogRecPtr	final;
	CkpxRelKey *builds;
	uint32		nbuilds;

	ckpx_durable_learn(completed_redo(), last_change(), &durability);
	nbuilds = ckpx_wal_source_builds(runner->source, durability.synced,
									 &builds, &from, &to);
	pfree(builds);
	final = nbuilds > 0 ? durability.synced : durability.durable;
	if (ckpx_durable_set_builds(from, to, final) || durability.moved)
		ConditionVariableBroadcast(&CkpxShared->progress);
	if (durability.wanted > final)
		ckpx_durability_request(runner, durability.wanted);
}
