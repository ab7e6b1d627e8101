/*-------------------------------------------------------------------------
 *
 * control.c
 *		ckpx_checkpoint, ckpx_backup_checkpoint, ckpx_cancel_pending,
 *		ckpx_enable, ckpx_disable, ckpx_uninstall, ckpx_stat_reset and
 *		ckpx_read_object.
 *
 * Any number of sessions may call these at once.  Each sets its flag or makes
 * its request in one hold of the lock, and then waits for a state that is
 * reached whoever else called; none waits for another session.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog.h"
#include "api/api.h"
#include "core/format/names.h"
#include "miscadmin.h"
#include "postmaster/bgwriter.h"
#include "server/base/fault.h"
#include "server/base/options.h"
#include "server/base/request.h"
#include "server/flush/shared.h"
#include "server/store/files.h"
#include "server/store/uninstall_mark.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(ckpx_checkpoint);
PG_FUNCTION_INFO_V1(ckpx_backup_checkpoint);
PG_FUNCTION_INFO_V1(ckpx_cancel_pending);
PG_FUNCTION_INFO_V1(ckpx_uninstall);
PG_FUNCTION_INFO_V1(ckpx_enable);
PG_FUNCTION_INFO_V1(ckpx_disable);
PG_FUNCTION_INFO_V1(ckpx_stat_reset);
PG_FUNCTION_INFO_V1(ckpx_read_object);

/* What ckpx_checkpoint() waits for, and what it found when it woke up. */
typedef struct CheckpointWait
{
	XLogRecPtr	target;
	uint32		epoch;			/* in which it is to be reached */
	XLogRecPtr	helped;			/* PostgreSQL's checkpoint was asked for, for
								 * entries up to here */
	XLogRecPtr	checkpointed;	/* found */
	XLogRecPtr	waiting_end;	/* found: end of the pending entry that only a
								 * checkpoint of PostgreSQL can make durable,
								 * or Invalid */
	uint64		cancels;		/* as it was at the beginning */
	bool		enabled;		/* found */
	bool		cancelled;		/* found */
	bool		broken;			/* found */
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
	wait->cancelled = CkpxShared->cancels != wait->cancels;
	wait->waiting_end = InvalidXLogRecPtr;

	/* While the history is being loaded the store does not tell. */
	if (!CkpxShared->booted)
		return !wait->enabled || wait->cancelled;
	wait->checkpointed = ckpx_entry_store_checkpointed(CkpxShared->store);
	wait->broken = CkpxShared->store->epoch != wait->epoch;
	if (entry != NULL && entry->state == CKPX_ENTRY_PENDING &&
		entry->end_lsn > CkpxShared->durable_lsn && !ckpx_flush_usable() &&
		entry->end_lsn > wait->helped)
		wait->waiting_end = entry->end_lsn;

	return wait->checkpointed >= wait->target || !wait->enabled ||
		wait->cancelled || wait->broken ||
		wait->waiting_end != InvalidXLogRecPtr;
}

void
ckpx_report_disabled(void)
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
 * An entry is only written when its blocks are durable.  The runner has them
 * flushed, because somebody waits.  Where that cannot be (ckpx.flush is off,
 * the flusher does not run or has failed) a checkpoint of PostgreSQL hurries
 * it along on a primary, asked for once the entry is there: its end was decoded, so it lies before the redo point of a
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
		if (!ckpx_wait_for_entry(checkpoint_news, wait, left))
			return false;
		if (wait->broken)
			ckpx_report_broken();
		if (wait->checkpointed >= wait->target)
			return true;
		if (!wait->enabled)
			ckpx_report_disabled();
		if (wait->cancelled)
			ereport(ERROR,
					(errcode(ERRCODE_QUERY_CANCELED),
					 errmsg("checkpoint of ckpx was canceled"),
					 errdetail("Another session called ckpx_cancel_pending().")));

		wait->helped = wait->waiting_end;
		if (!RecoveryInProgress())
			RequestCheckpoint(CHECKPOINT_IMMEDIATE | CHECKPOINT_FORCE);
	}
}

/*
 * Finish an incremental that reaches 'target', which is flushed; returns the
 * LSN reached.
 */
XLogRecPtr
ckpx_checkpoint_upto(XLogRecPtr target, long timeout_ms)
{
	CheckpointWait wait = {0};
	bool		done;

	wait.target = target;
	ckpx_lock_history_exclusive();
	wait.epoch = CkpxShared->store->epoch;
	wait.checkpointed = ckpx_entry_store_checkpointed(CkpxShared->store);
	wait.enabled = ckpx_enabled && !CkpxShared->disabled;
	wait.cancels = CkpxShared->cancels;
	done = wait.checkpointed != InvalidXLogRecPtr &&
		wait.checkpointed >= wait.target;
	if (!done && wait.enabled &&
		CkpxShared->checkpoint_request < wait.target)
		CkpxShared->checkpoint_request = wait.target;
	LWLockRelease(CkpxShared->lock);

	if (done)
		return wait.checkpointed;
	if (!wait.enabled)
		ckpx_report_disabled();

	ckpx_wake_worker(CKPX_WORKER_RUNNER);
	if (!wait_for_checkpoint(&wait, timeout_ms))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("checkpoint of ckpx up to %X/%X was not finished in time",
						LSN_FORMAT_ARGS(wait.target)),
				 errdetail("Finished checkpoints reach %X/%X.",
						   LSN_FORMAT_ARGS(wait.checkpointed)),
				 errhint("The checkpoint goes on; see waiting_for in the view ckpx_checkpoints.")));
	return wait.checkpointed;
}

Datum
ckpx_checkpoint(PG_FUNCTION_ARGS)
{
	XLogRecPtr	end_lsn = ckpx_lsn_argument(fcinfo, 0);
	XLogRecPtr	target;
	long		timeout_ms;

	ckpx_require_installed();
	timeout_ms = ckpx_timeout_argument(fcinfo, 1);
	ckpx_check_past("end_lsn", end_lsn, "Use NULL for the present end.");

	target = ckpx_flush_wal_end();
	if (!PG_ARGISNULL(0))
		target = ckpx_normalize_lsn(end_lsn);
	PG_RETURN_LSN(ckpx_checkpoint_upto(target, timeout_ms));
}

/*
 * An incremental first, and then the tail behind it up to what was written
 * when the incremental had been made.
 */
Datum
ckpx_backup_checkpoint(PG_FUNCTION_ARGS)
{
	CkpxRequest request = {0};

	ckpx_require_installed();
	(void) ckpx_checkpoint_upto(ckpx_flush_wal_end(), -1);
	CKPX_FAULT("backup-incremental");

	ckpx_lock_history();
	request.epoch = CkpxShared->store->epoch;
	LWLockRelease(CkpxShared->lock);

	request.kind = CKPX_REQUEST_BACKUP;
	request.lsn = ckpx_flush_wal_end();
	do
	{
		ckpx_wait_for_collect(request.lsn);
		ckpx_request(&request);
	} while (request.again);
	PG_RETURN_TEXT_P(cstring_to_text(request.text));
}

/* What ckpx_cancel_pending() waits for. */
typedef struct CancelWait
{
	uint32		nmarked;		/* entries that this call has marked */
	CkpxEntryTicket marked[CKPX_NQUEUES];
	uint32		nothers;		/* marked by somebody else before */
	CkpxEntryTicket others[CKPX_NQUEUES];
	uint32		ngone;			/* found: of the first, how many are gone */
} CancelWait;

/* Is it decided?  Unfinished again means not yet.  Lock is held. */
static bool
is_decided(const CkpxEntryTicket *ticket, bool *gone)
{
	const CkpxEntry *entry = ckpx_entry_store_find(CkpxShared->store,
												   ticket->kind,
												   ticket->epoch,
												   ticket->start_lsn,
												   ticket->end_lsn);

	*gone = entry == NULL || !(entry->state == CKPX_ENTRY_FINISHED ||
							   entry->cancelled);
	return *gone || entry->state == CKPX_ENTRY_FINISHED;
}

static bool
all_decided(void *arg)
{
	CancelWait *wait = arg;
	bool		decided = true;
	bool		gone;

	wait->ngone = 0;
	for (uint32 i = 0; i < wait->nmarked; i++)
	{
		decided = is_decided(&wait->marked[i], &gone) && decided;
		if (gone)
			wait->ngone++;
	}
	for (uint32 i = 0; i < wait->nothers; i++)
		decided = is_decided(&wait->others[i], &gone) && decided;
	return decided;
}

static void
note_entry(CkpxEntryTicket *list, uint32 *n, const CkpxEntry *entry)
{
	CkpxEntryTicket *ticket = &list[*n];

	if (*n >= CKPX_NQUEUES)
		return;					/* there is one of each kind at most */
	ticket->kind = entry->kind;
	ticket->epoch = entry->epoch;
	ticket->start_lsn = entry->start_lsn;
	ticket->end_lsn = entry->end_lsn;
	(*n)++;
}

/*
 * A pending entry is nobody's and goes at once.  A running one belongs to its
 * job: it is marked, the job gives it up at its next safe point, or finishes
 * because it was past the last one, and the checkpointer takes it away.
 * Requests are withdrawn as well, or the runner would make the entry again;
 * who waits for one is told.
 */
Datum
ckpx_cancel_pending(PG_FUNCTION_ARGS)
{
	CkpxEntryStore *store;
	CancelWait	wait = {0};
	uint32		count = 0;

	ckpx_require_installed();
	store = CkpxShared->store;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	CkpxShared->cancels++;
	CkpxShared->checkpoint_request = InvalidXLogRecPtr;
	CkpxShared->global_request = InvalidXLogRecPtr;
	for (uint32 i = ckpx_entry_store_next_open(store, 0);
		 i < store->nentries;
		 i = ckpx_entry_store_next_open(store, i))
	{
		CkpxEntry  *entry = ckpx_entry_store_at(store, i);

		if (entry->state == CKPX_ENTRY_PENDING &&
			ckpx_entry_store_remove(store, entry->kind, entry->epoch,
									entry->start_lsn, entry->end_lsn))
		{
			count++;
			continue;
		}
		if (entry->state == CKPX_ENTRY_RUNNING)
		{
			if (entry->cancelled)
				note_entry(wait.others, &wait.nothers, entry);
			else
				note_entry(wait.marked, &wait.nmarked, entry);
			entry->cancelled = true;
		}
		i++;
	}
	LWLockRelease(CkpxShared->lock);

	ConditionVariableBroadcast(&CkpxShared->progress);
	ckpx_wake_worker(CKPX_WORKER_RUNNER);
	ckpx_wake_worker(CKPX_WORKER_CHECKPOINTER);
	(void) ckpx_wait_despite_problem(all_decided, &wait, -1,
									 CKPX_WORKER_CHECKPOINTER);
	PG_RETURN_INT32((int32) (count + wait.ngone));
}

/*
 * Is no job at work that has to end?  Where somebody has enabled checkpoints
 * again there is nothing left to wait for.  Called with the lock held.
 */
static bool
is_quiet(void *arg)
{
	return !CkpxShared->job_running || !CkpxShared->disabled ||
		CkpxShared->workers[CKPX_WORKER_CHECKPOINTER].pid == 0;
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
	ckpx_wake_worker(CKPX_WORKER_CHECKPOINTER);
}

Datum
ckpx_enable(PG_FUNCTION_ARGS)
{
	ckpx_require_installed();
	set_disabled(false);
	if (!ckpx_enabled)
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("checkpoints of ckpx stay off"),
				 errdetail("\"ckpx.enabled\" is off.")));
	PG_RETURN_VOID();
}

Datum
ckpx_disable(PG_FUNCTION_ARGS)
{
	ckpx_require_installed();
	set_disabled(true);
	(void) ckpx_wait_despite_problem(is_quiet, NULL, -1,
									 CKPX_WORKER_CHECKPOINTER);
	PG_RETURN_VOID();
}

static bool
is_uninstalled(void *arg)
{
	return CkpxShared->uninstall_done;
}

#define CKPX_UNINSTALL_REST \
	"Now call DROP EXTENSION ckpx in each database that has it, take \"ckpx\" out of \"shared_preload_libraries\" " \
	"and every ckpx.* setting out of the configuration, restart the server, " \
	"and remove the file " CKPX_UNINSTALLED_FILE " from the data directory."

/* What ckpx_uninstall() says when it is not called in earnest. */
static char *
uninstall_plan(void)
{
	char		folder[MAXPGPATH];
	int64		bytes;

	if (ckpx_is_uninstalled())
		return "ckpx was uninstalled. " CKPX_UNINSTALL_REST;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	strlcpy(folder, CkpxShared->folder, sizeof(folder));
	LWLockRelease(CkpxShared->lock);
	bytes = (int64) ckpx_directory_bytes();
	return psprintf("Nothing was done. ckpx_uninstall(really => true) would drop replication slot \"%s\", "
					"remove all checkpoints in directory \"%s\" (%s), and stop the workers. "
					"No range before that moment can be answered afterwards.",
					CKPX_SLOT_NAME,
					folder[0] != '\0' ? folder : ckpx_directory,
					text_to_cstring(DatumGetTextPP(DirectFunctionCall1(pg_size_pretty,
																	   Int64GetDatum(bytes)))));
}

/*
 * It destroys what cannot be made again, so a call without the argument, by
 * chance or out of curiosity, must be harmless.
 *
 * The runner holds the slot and the folder's lock, so it does the work; the
 * marker comes first, so that a start after a crash in the middle goes on
 * with it.
 */
Datum
ckpx_uninstall(PG_FUNCTION_ARGS)
{
	bool		really = !PG_ARGISNULL(0) && PG_GETARG_BOOL(0);

	ckpx_uninstall_require_preload();
	if (!superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be superuser to uninstall ckpx")));
	if (!really)
		PG_RETURN_TEXT_P(cstring_to_text(uninstall_plan()));

	ckpx_uninstall_mark();
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	CkpxShared->uninstalled = true;
	LWLockRelease(CkpxShared->lock);

	ConditionVariableBroadcast(&CkpxShared->progress);
	for (int i = 0; i < CKPX_NWORKERS; i++)
		ckpx_wake_worker((CkpxWorkerId) i);
	ckpx_wait_ignoring_problems(is_uninstalled, NULL);

	PG_RETURN_TEXT_P(cstring_to_text("ckpx has dropped its replication slot, removed its files and stopped its workers. "
									 CKPX_UNINSTALL_REST));
}

Datum
ckpx_stat_reset(PG_FUNCTION_ARGS)
{
	TimestampTz now = GetCurrentTimestamp();

	ckpx_require_preload();
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	memset(&CkpxShared->stat, 0, sizeof(CkpxStat));
	memset(CkpxShared->flush->counters, 0,
		   sizeof(CkpxShared->flush->counters));
	CkpxShared->stat.stats_reset = now;
	LWLockRelease(CkpxShared->lock);
	PG_RETURN_VOID();
}

static bool
is_folder_known(void *arg)
{
	return CkpxShared->folder[0] != '\0';
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
				 errdetail("A location is a file name that ckpx_collect_range() or the view ckpx_checkpoints returns.")));

	(void) ckpx_wait_despite_problem(is_folder_known, NULL, -1,
									 CKPX_WORKER_RUNNER);
	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	strlcpy(folder, CkpxShared->folder, sizeof(folder));
	LWLockRelease(CkpxShared->lock);
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

	ckpx_require_installed();
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	if (offset < 0 || (!PG_ARGISNULL(2) && length < 0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("offset and length must not be negative")));

	path = object_path(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	/* Somebody's link or pipe of that name must not lead elsewhere. */
	if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a regular file", path)));
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
