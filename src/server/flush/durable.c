/*-------------------------------------------------------------------------
 *
 * durable.c
 *		How far changes are on disk, and ranges of them on their way there.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "core/history/entry.h"
#include "server/base/clock.h"
#include "server/base/options.h"
#include "server/flush/durable.h"

/*
 * Is all that lies before 'upto' and before the epoch on disk?  Only
 * PostgreSQL can tell: the redo point at which the epoch begins may be that of
 * a checkpoint which is not complete.
 */
static bool
before_epoch(XLogRecPtr upto)
{
	return CkpxShared->flush->completed_redo >=
		Min(upto, CkpxShared->store->epoch_start);
}

/*
 * Is every change in [start, end) on disk?  The caller holds the lock.
 */
bool
ckpx_durable_range(XLogRecPtr start, XLogRecPtr end)
{
	const CkpxFlushShared *flush = CkpxShared->flush;

	Assert(LWLockHeldByMe(CkpxShared->lock));
	if (end <= start)
		return true;
	if (end > CkpxShared->durable_lsn ||
		(start < CkpxShared->store->epoch_start && !before_epoch(end)))
		return false;

	/* Is any file under construction that was changed in the range? */
	return flush->undurable_from == InvalidXLogRecPtr ||
		flush->undurable_from >= end || flush->undurable_to <= start;
}

/*
 * Is the answer of ckpx_durable_range() for everything before 'upto' final?
 * All of that is on disk then, except in files that a transaction still
 * builds.  The runner may not have looked for these yet where durable_lsn has
 * moved.  The caller holds the lock.
 */
bool
ckpx_durable_is_final(XLogRecPtr upto)
{
	Assert(LWLockHeldByMe(CkpxShared->lock));
	return CkpxShared->booted && CkpxShared->flush->undurable_at >= upto &&
		before_epoch(upto);
}

/*
 * Can the flusher bring a range to disk?  The caller holds the lock.
 */
bool
ckpx_durable_usable(void)
{
	Assert(LWLockHeldByMe(CkpxShared->lock));
	return ckpx_flush_mode != CKPX_FLUSH_MODE_OFF &&
		CkpxShared->workers[CKPX_WORKER_FLUSHER].pid != 0 &&
		CkpxShared->flush->range_failures == 0;
}

/*
 * Are all changes up to the record that starts at 'last_change' on disk?  If
 * not, write to 'waiting' what they wait for.
 */
bool
ckpx_durable_reached(XLogRecPtr last_change, char *waiting, Size size)
{
	const CkpxFlushShared *flush = CkpxShared->flush;
	XLogRecPtr	durable;
	bool		usable;
	char		error[CKPX_ERROR_TEXT_MAX];

	if (last_change == InvalidXLogRecPtr)
		return true;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	durable = CkpxShared->durable_lsn;
	usable = ckpx_durable_usable() && !flush->too_many_builds;
	strlcpy(error, flush->range_error, sizeof(error));
	LWLockRelease(CkpxShared->lock);

	if (durable > last_change)
		return true;
	if (error[0] != '\0' && ckpx_flush_mode != CKPX_FLUSH_MODE_OFF)
		snprintf(waiting, size, "a flush: %s", error);
	else if (usable)
		strlcpy(waiting, "a flush of its blocks", size);
	else
		snprintf(waiting, size,
				 "a checkpoint of PostgreSQL that begins after %X/%X",
				 LSN_FORMAT_ARGS(last_change));
	return false;
}

XLogRecPtr
ckpx_durable_lsn(void)
{
	XLogRecPtr	durable;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	durable = CkpxShared->durable_lsn;
	LWLockRelease(CkpxShared->lock);
	return durable;
}

/*
 * Files built by transactions that ended before this are synced.
 */
XLogRecPtr
ckpx_durable_synced_lsn(void)
{
	XLogRecPtr	synced;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	synced = CkpxShared->flush->synced_lsn;
	LWLockRelease(CkpxShared->lock);
	return synced;
}

/*
 * Move durable_lsn as far as PostgreSQL's checkpoints, finished incrementals
 * and the absence of changes allow.
 */
void
ckpx_durable_learn(XLogRecPtr redo, XLogRecPtr last_change,
				   CkpxDurability *durability)
{
	CkpxFlushShared *flush = CkpxShared->flush;
	XLogRecPtr	durable;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	durable = Max(CkpxShared->durable_lsn, redo);
	durable = Max(durable, ckpx_entry_store_checkpointed(CkpxShared->store));
	if (durable > last_change)
		durable = Max(durable, CkpxShared->collected_lsn);
	durability->moved = durable > CkpxShared->durable_lsn ||
		redo > flush->completed_redo;
	CkpxShared->durable_lsn = durable;
	flush->completed_redo = Max(flush->completed_redo, redo);
	flush->synced_lsn = Max(flush->synced_lsn, redo);
	durability->durable = durable;
	durability->synced = flush->synced_lsn;
	durability->wanted = Min(flush->range_wanted, CkpxShared->collected_lsn);
	LWLockRelease(CkpxShared->lock);
}

/*
 * Note which WAL holds the changes of files under construction, and how far
 * this and durable_lsn are final.  Returns whether that is new.
 */
bool
ckpx_durable_set_builds(XLogRecPtr from, XLogRecPtr to, XLogRecPtr final)
{
	CkpxFlushShared *flush = CkpxShared->flush;
	bool		changes;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	changes = flush->undurable_at != final ||
		flush->undurable_from != from || flush->undurable_to != to;
	flush->undurable_from = from;
	flush->undurable_to = to;
	flush->undurable_at = final;
	LWLockRelease(CkpxShared->lock);
	return changes;
}

/*
 * A backend wants everything before 'upto' on disk.
 */
void
ckpx_durable_want(XLogRecPtr upto)
{
	CkpxFlushShared *flush = CkpxShared->flush;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	flush->range_wanted = Max(flush->range_wanted, upto);
	LWLockRelease(CkpxShared->lock);
}

/*
 * Leave a range to the flusher.  False where it is at work already, has failed
 * just now, or has nothing to do.
 */
bool
ckpx_durable_ask(XLogRecPtr upto, const CkpxRelKey *builds, uint32 nbuilds)
{
	CkpxFlushShared *flush = CkpxShared->flush;
	bool		asked = false;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	flush->too_many_builds = nbuilds > CKPX_JOB_LIST;
	if (CkpxShared->workers[CKPX_WORKER_FLUSHER].pid != 0 &&
		flush->range_request == InvalidXLogRecPtr &&
		flush->range_retry_ms <= ckpx_clock_ms() &&
		(upto > CkpxShared->durable_lsn || nbuilds > 0) &&
		upto <= CkpxShared->collected_lsn && !flush->too_many_builds)
	{
		flush->range_request = upto;
		flush->nbuilds = nbuilds;
		memcpy(flush->builds, builds, sizeof(CkpxRelKey) * nbuilds);
		asked = true;
	}
	LWLockRelease(CkpxShared->lock);
	if (asked)
		ckpx_wake_worker(CKPX_WORKER_FLUSHER);
	return asked;
}

/*
 * Copy the range that the flusher was asked for; false if there is none.
 */
bool
ckpx_durable_take(CkpxDurableRange *range)
{
	const CkpxFlushShared *flush = CkpxShared->flush;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	range->start = CkpxShared->durable_lsn;
	range->upto = flush->range_request;
	range->nbuilds = flush->nbuilds;
	memcpy(range->builds, flush->builds, sizeof(CkpxRelKey) * flush->nbuilds);
	LWLockRelease(CkpxShared->lock);
	return range->upto != InvalidXLogRecPtr;
}

/*
 * The pass over the range is over, and unless the range had become durable
 * otherwise, it has 'proven' that all before 'upto' is on disk.
 */
void
ckpx_durable_done(XLogRecPtr upto, bool proven)
{
	CkpxFlushShared *flush = CkpxShared->flush;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	if (proven)
	{
		CkpxShared->durable_lsn = Max(CkpxShared->durable_lsn, upto);
		flush->synced_lsn = Max(flush->synced_lsn, upto);
	}
	flush->range_request = InvalidXLogRecPtr;
	flush->range_failures = 0;
	flush->range_retry_ms = 0;
	flush->range_error[0] = '\0';
	LWLockRelease(CkpxShared->lock);
}

/*
 * The pass over the range has failed.
 */
void
ckpx_durable_failed(XLogRecPtr upto, const char *message)
{
	CkpxFlushShared *flush = CkpxShared->flush;
	bool		changed;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	changed = strncmp(flush->range_error, message,
					  CKPX_ERROR_TEXT_MAX - 1) != 0;
	strlcpy(flush->range_error, message, CKPX_ERROR_TEXT_MAX);
	flush->range_failures++;
	flush->range_retry_ms = ckpx_clock_ms() +
		ckpx_entry_backoff_ms(flush->range_failures);
	flush->range_request = InvalidXLogRecPtr;
	LWLockRelease(CkpxShared->lock);

	if (changed)
		ereport(LOG,
				(errmsg("ckpx could not make changes up to %X/%X durable: %s",
						LSN_FORMAT_ARGS(upto), message),
				 errdetail("It will be tried again.")));
}
