/*-------------------------------------------------------------------------
 *
 * control.c
 *		ckpx_cancel_pending, ckpx_enable, ckpx_disable, ckpx_uninstall,
 *		ckpx_stat_reset and ckpx_read_object.
 *
 * Any number of sessions may call these at once.  Each sets its flag or makes
 * its request in one hold of the lock, and then waits for a state that does
 * not depend on other calls; none waits for another session.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/api.h"
#include "core/format/names.h"
#include "miscadmin.h"
#include "server/base/options.h"
#include "server/flush/shared.h"
#include "server/store/files.h"
#include "server/store/uninstall_mark.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(ckpx_cancel_pending);
PG_FUNCTION_INFO_V1(ckpx_uninstall);
PG_FUNCTION_INFO_V1(ckpx_enable);
PG_FUNCTION_INFO_V1(ckpx_disable);
PG_FUNCTION_INFO_V1(ckpx_stat_reset);
PG_FUNCTION_INFO_V1(ckpx_read_object);

/* A running entry that ckpx_cancel_pending() waits for. */
typedef struct CanceledEntry
{
	CkpxEntryTicket id;
	bool		counts;			/* no other call has marked it before */
} CanceledEntry;

typedef struct CancelWait
{
	uint32		nentries;		/* there is one of each kind at most */
	CanceledEntry entries[CKPX_NQUEUES];
	uint32		ngone;			/* found: of those that count */
} CancelWait;

/*
 * Has each entry gone or been finished?  An unfinished one without the mark
 * is new and has the range of one that is gone.  Caller holds the lock.
 */
static bool
all_decided(void *arg)
{
	CancelWait *wait = arg;
	bool		decided = true;

	wait->ngone = 0;
	for (uint32 i = 0; i < wait->nentries; i++)
	{
		const CkpxEntry *entry = ckpx_ticket_entry(&wait->entries[i].id);

		if (entry == NULL ||
			(entry->state != CKPX_ENTRY_FINISHED && !entry->cancelled))
			wait->ngone += wait->entries[i].counts;
		else if (entry->state != CKPX_ENTRY_FINISHED)
			decided = false;
	}
	return decided;
}

static void
note_entry(CancelWait *wait, const CkpxEntry *entry)
{
	CanceledEntry *noted = &wait->entries[wait->nentries];

	if (wait->nentries >= lengthof(wait->entries))
		return;
	noted->id = ckpx_entry_ticket(entry);
	noted->counts = !entry->cancelled;
	wait->nentries++;
}

/*
 * A pending entry belongs to no job and goes at once.  A running one belongs
 * to its job: it is marked, the job gives it up at its next safe point, or
 * finishes because it was past the last one, and the checkpointer takes it
 * away.  Requests are withdrawn as well, or the runner would make the entry
 * again; the calls that wait for one end with an error.
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
			ckpx_entry_store_remove(store, entry))
		{
			count++;
			continue;
		}
		if (entry->state == CKPX_ENTRY_RUNNING)
		{
			note_entry(&wait, entry);
			entry->cancelled = true;
		}
		i++;
	}
	LWLockRelease(CkpxShared->lock);

	ConditionVariableBroadcast(&CkpxShared->progress);
	ckpx_wake_worker(CKPX_WORKER_RUNNER);
	ckpx_wake_worker(CKPX_WORKER_CHECKPOINTER);
	(void) ckpx_wait_until(all_decided, &wait, CKPX_NO_DEADLINE,
						   CKPX_WORKER_CHECKPOINTER,
						   CKPX_WAIT_DESPITE_PROBLEM);
	PG_RETURN_INT32((int32) (count + wait.ngone));
}

/*
 * Is no job at work that has to end?  After ckpx_enable() there is nothing
 * left to wait for.  Caller holds the lock.
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

	/* calls that wait for a checkpoint must learn that there will be none */
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
	(void) ckpx_wait_until(is_quiet, NULL, CKPX_NO_DEADLINE,
						   CKPX_WORKER_CHECKPOINTER,
						   CKPX_WAIT_DESPITE_PROBLEM);
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
	Datum		size;

	if (ckpx_is_uninstalled())
		return "ckpx was uninstalled. " CKPX_UNINSTALL_REST;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	strlcpy(folder, CkpxShared->folder, sizeof(folder));
	LWLockRelease(CkpxShared->lock);
	size = DirectFunctionCall1(pg_size_pretty,
							   Int64GetDatum((int64) ckpx_directory_bytes()));
	return psprintf("Nothing was done. ckpx_uninstall(really => true) would drop replication slot \"%s\", "
					"remove all checkpoints in directory \"%s\" (%s), and stop the workers. "
					"No range before that moment can be answered afterwards.",
					CKPX_SLOT_NAME,
					folder[0] != '\0' ? folder : ckpx_directory,
					TextDatumGetCString(size));
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
	(void) ckpx_wait_until(is_uninstalled, NULL, CKPX_NO_DEADLINE,
						   CKPX_WORKER_RUNNER, CKPX_WAIT_UNINSTALL);

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

/* Build the path of an object's file; an error where 'location' names none. */
static void
object_path(char *path, const char *location)
{
	CkpxName	name;

	ckpx_parse_name(location, &name);
	if (name.type != CKPX_NAME_OBJECT)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid location \"%s\"", location),
				 errdetail("A location is a file name that ckpx_collect_range() or the view ckpx_checkpoints returns.")));

	(void) ckpx_wait_until(is_folder_known, NULL, CKPX_NO_DEADLINE,
						   CKPX_WORKER_RUNNER, CKPX_WAIT_DESPITE_PROBLEM);
	ckpx_store_path(path, location);
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
	char		path[MAXPGPATH];
	int			fd;

	ckpx_require_installed();
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	if (offset < 0 || (!PG_ARGISNULL(2) && length < 0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("offset and length must not be negative")));

	object_path(path, text_to_cstring(PG_GETARG_TEXT_PP(0)));

	/* A link or a pipe of that name must not lead elsewhere. */
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
