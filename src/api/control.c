/*-------------------------------------------------------------------------
 *
 * control.c
 *		ckpx_checkpoint, ckpx_enable, ckpx_disable, ckpx_stat_reset and
 *		ckpx_read_object.
 *
 *-------------------------------------------------------------------------
 */
#include "server/compat.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog.h"
#include "api/api.h"
#include "core/names.h"
#include "miscadmin.h"
#include "postmaster/bgwriter.h"
#include "server/options.h"
#include "server/shared_state.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(ckpx_checkpoint);
PG_FUNCTION_INFO_V1(ckpx_enable);
PG_FUNCTION_INFO_V1(ckpx_disable);
PG_FUNCTION_INFO_V1(ckpx_stat_reset);
PG_FUNCTION_INFO_V1(ckpx_read_object);

/* What ckpx_checkpoint() waits for, and what it found when it woke up. */
typedef struct CheckpointWait
{
	XLogRecPtr	target;
	XLogRecPtr	helped;			/* PostgreSQL's checkpoint was asked for, for
								 * entries up to here */
	XLogRecPtr	checkpointed;	/* found */
	XLogRecPtr	waiting_end;	/* found: end of the pending entry that is not
								 * durable yet, or Invalid */
	bool		enabled;		/* found */
} CheckpointWait;

/* Is there anything for ckpx_checkpoint() to do?  Called with the lock held. */
static bool
checkpoint_news(void *arg)
{
	CheckpointWait *wait = arg;
	const CkpxEntry *entry = ckpx_entry_store_newest(CkpxShared->store,
													 CKPX_KIND_INCREMENTAL,
													 false);

	wait->enabled = ckpx_enabled && !CkpxShared->disabled;
	wait->checkpointed = ckpx_entry_store_checkpointed(CkpxShared->store);
	wait->waiting_end = InvalidXLogRecPtr;
	if (entry != NULL && entry->state == CKPX_ENTRY_PENDING &&
		entry->end_lsn > CkpxShared->durable_lsn &&
		entry->end_lsn > wait->helped)
		wait->waiting_end = entry->end_lsn;

	return wait->checkpointed >= wait->target || !wait->enabled ||
		wait->waiting_end != InvalidXLogRecPtr;
}

static void
report_disabled(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("checkpoints of ckpx are disabled"),
			 ckpx_enabled ?
			 errhint("Call ckpx_enable() first.") :
			 errhint("Set \"ckpx.enabled\" to on first.")));
}

/*
 * Wait until finished checkpoints reach wait->target; false when the time is
 * up.
 *
 * An entry is only written when its blocks are durable.  On a primary that is
 * hurried along with a checkpoint of PostgreSQL, asked for once the entry is
 * there: its end was decoded, so it lies before the redo point of a
 * checkpoint that begins now.  Asked for any earlier, the entry could end
 * behind that redo point and wait for the next one.  On a standby the
 * primary's checkpoints decide.
 */
static bool
wait_for_checkpoint(CheckpointWait *wait, long timeout_ms)
{
	uint64		deadline = ckpx_clock_ms() + (timeout_ms < 0 ? 0 : timeout_ms);

	for (;;)
	{
		long		left = -1;

		if (timeout_ms >= 0)
		{
			uint64		now = ckpx_clock_ms();

			left = now < deadline ? (long) (deadline - now) : 0;
		}
		if (!ckpx_wait_until(checkpoint_news, wait, left,
							 CKPX_WORKER_CHECKPOINTER))
			return false;
		if (wait->checkpointed >= wait->target)
			return true;
		if (!wait->enabled)
			report_disabled();

		wait->helped = wait->waiting_end;
		if (!RecoveryInProgress())
			RequestCheckpoint(CHECKPOINT_IMMEDIATE | CHECKPOINT_FORCE);
	}
}

Datum
ckpx_checkpoint(PG_FUNCTION_ARGS)
{
	XLogRecPtr	end_lsn = ckpx_lsn_argument(fcinfo, 0);
	long		timeout_ms;
	CheckpointWait wait = {0};
	bool		done;

	ckpx_require_preload();
	timeout_ms = ckpx_timeout_argument(fcinfo, 1);
	ckpx_check_past("end_lsn", end_lsn);

	wait.target = ckpx_flush_wal_end();
	if (!PG_ARGISNULL(0))
		wait.target = ckpx_normalize_lsn(end_lsn);

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	wait.checkpointed = ckpx_entry_store_checkpointed(CkpxShared->store);
	wait.enabled = ckpx_enabled && !CkpxShared->disabled;
	done = wait.checkpointed != InvalidXLogRecPtr &&
		wait.checkpointed >= wait.target;
	if (!done && wait.enabled &&
		CkpxShared->checkpoint_request < wait.target)
		CkpxShared->checkpoint_request = wait.target;
	LWLockRelease(CkpxShared->lock);

	if (done)
		PG_RETURN_LSN(wait.checkpointed);
	if (!wait.enabled)
		report_disabled();

	ckpx_wake_worker(CKPX_WORKER_RUNNER);
	if (!wait_for_checkpoint(&wait, timeout_ms))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("checkpoint of ckpx up to %X/%X was not finished in time",
						LSN_FORMAT_ARGS(wait.target)),
				 errdetail("Finished checkpoints reach %X/%X.",
						   LSN_FORMAT_ARGS(wait.checkpointed)),
				 errhint("The checkpoint goes on; see waiting_for in the view ckpx_checkpoints.")));
	PG_RETURN_LSN(wait.checkpointed);
}

/* Is no job at work?  Called with the lock held. */
static bool
no_job_running(void *arg)
{
	const CkpxEntryStore *store = CkpxShared->store;
	uint64		now = ckpx_clock_ms();

	for (uint32 i = store->nentries; i > 0; i--)
	{
		const CkpxEntry *entry = &store->entries[i - 1];

		/* one that failed and waits for its next attempt is not at work */
		if (entry->state == CKPX_ENTRY_RUNNING &&
			!(entry->attempts > 0 && entry->retry_clock_ms > now))
			return false;
	}
	return true;
}

static void
set_disabled(bool disabled)
{
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	CkpxShared->disabled = disabled;
	LWLockRelease(CkpxShared->lock);

	/* who waits for a checkpoint must learn that there will be none */
	ConditionVariableBroadcast(&CkpxShared->progress);
	ckpx_wake_worker(CKPX_WORKER_RUNNER);
}

Datum
ckpx_enable(PG_FUNCTION_ARGS)
{
	ckpx_require_preload();
	set_disabled(false);
	if (!ckpx_enabled)
		ereport(WARNING,
				(errmsg("checkpoints of ckpx stay off"),
				 errdetail("\"ckpx.enabled\" is off.")));
	PG_RETURN_VOID();
}

Datum
ckpx_disable(PG_FUNCTION_ARGS)
{
	ckpx_require_preload();
	set_disabled(true);
	(void) ckpx_wait_until(no_job_running, NULL, -1,
						   CKPX_WORKER_CHECKPOINTER);
	PG_RETURN_VOID();
}

Datum
ckpx_stat_reset(PG_FUNCTION_ARGS)
{
	TimestampTz now = GetCurrentTimestamp();

	ckpx_require_preload();
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	memset(&CkpxShared->stat, 0, sizeof(CkpxStat));
	CkpxShared->stat.stats_reset = now;
	LWLockRelease(CkpxShared->lock);
	PG_RETURN_VOID();
}

/* The path of an object's file; an error where 'location' names none. */
static char *
object_path(const char *location)
{
	char		folder[MAXPGPATH];
	CkpxName	name;

	ckpx_parse_name(location, &name);
	if (name.type != CKPX_NAME_OBJECT)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid location \"%s\"", location),
				 errhint("Use a location from ckpx_collect_range() or the view ckpx_checkpoints.")));

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	strlcpy(folder, CkpxShared->folder, sizeof(folder));
	LWLockRelease(CkpxShared->lock);
	if (folder[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("ckpx has not started yet"),
				 errhint("See the view ckpx_runner.")));
	return psprintf("%s/%s", folder, location);
}

/* Read exactly 'length' bytes at 'offset', in bounded steps. */
static void
read_bytes(int fd, const char *path, char *bytes, off_t offset, Size length)
{
	while (length > 0)
	{
		ssize_t		n = pg_pread(fd, bytes, Min(length, 1024 * 1024), offset);

		CHECK_FOR_INTERRUPTS();
		if (n < 0)
		{
			if (errno == EINTR)
				continue;
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not read file \"%s\": %m", path)));
		}
		if (n == 0)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("file \"%s\" ended while it was read", path)));
		bytes += n;
		offset += n;
		length -= n;
	}
}

Datum
ckpx_read_object(PG_FUNCTION_ARGS)
{
	int64		offset = PG_ARGISNULL(1) ? 0 : PG_GETARG_INT64(1);
	int64		length = PG_ARGISNULL(2) ? -1 : PG_GETARG_INT64(2);
	struct stat st;
	bytea	   *result;
	char	   *path;
	int			fd;

	ckpx_require_preload();
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	if (offset < 0 || (!PG_ARGISNULL(2) && length < 0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("offset and length must not be negative")));

	path = object_path(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	fd = OpenTransientFile(path, O_RDONLY | PG_BINARY);
	if (fd < 0 || fstat(fd, &st) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\": %m", path)));

	if (offset > st.st_size)
		offset = st.st_size;
	if (length < 0 || length > st.st_size - offset)
		length = st.st_size - offset;
	if (length > (int64) (MaxAllocSize - VARHDRSZ))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("requested length is too large"),
				 errhint("Read the object in several pieces.")));

	result = palloc(VARHDRSZ + length);
	SET_VARSIZE(result, VARHDRSZ + length);
	read_bytes(fd, path, VARDATA(result), (off_t) offset, (Size) length);
	CloseTransientFile(fd);
	PG_RETURN_BYTEA_P(result);
}
