/*-------------------------------------------------------------------------
 *
 * flush.c
 *		ckpx_flush_table, ckpx_flush and ckpx_is_flushed.
 *
 * ckpx_flush_table() works on files, not on relations: it finds out which
 * files the relation consists of, lets go of all locks, has the files flushed,
 * and looks again.  Where the relation has other files by then, because it was
 * rewritten, truncated or moved, these are flushed as well.  So it never keeps
 * a session from a lock, and what it has done in the end is true of the
 * relation as it is.
 *
 * Whatever goes wrong in the flusher is tried again until the time is up; the
 * answer then says what is left, and a warning says why.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xlog.h"
#include "api/api.h"
#include "api/wait.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "server/base/options.h"
#include "server/base/wait_event.h"
#include "server/flush/buffers.h"
#include "server/flush/durable.h"
#include "server/wal/source.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(ckpx_flush_table);
PG_FUNCTION_INFO_V1(ckpx_flush);
PG_FUNCTION_INFO_V1(ckpx_is_flushed);

#define LOCK_POLL_MS	50
#define FIRST_FILES		16

/* The files of what is to be flushed. */
typedef struct FileList
{
	CkpxRelKey *keys;
	uint32		nkeys;
	uint32		maxkeys;
	Oid			locked;			/* see collect_files() */
} FileList;

typedef enum FlushOutcome
{
	FLUSH_DONE,
	FLUSH_MISSING,				/* done, but files were not there */
	FLUSH_FAILED,				/* see error */
	FLUSH_TIMEOUT
} FlushOutcome;

/*
 * Let at most 'longest_ms' go by; false when the deadline has come.
 */
static bool
wait_a_moment(uint64 deadline, int longest_ms)
{
	uint64		now = ckpx_clock_ms();

	if (now >= deadline)
		return false;
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 (long) Min(deadline - now, longest_ms),
					 ckpx_wait_event(CKPX_WAIT_FLUSH_RETRY));
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	return true;
}

/*
 * Which files
 */

static void
add_file(FileList *files, Oid relid, Form_pg_class form)
{
	CkpxRelKey *key;

	if (files->nkeys == files->maxkeys)
	{
		files->maxkeys *= 2;
		files->keys = repalloc_huge(files->keys,
									sizeof(CkpxRelKey) * files->maxkeys);
	}
	key = &files->keys[files->nkeys++];
	key->tablespace = OidIsValid(form->reltablespace) ?
		form->reltablespace : MyDatabaseTableSpace;
	key->database = form->relisshared ? InvalidOid : MyDatabaseId;
	key->relation = OidIsValid(form->relfilenode) ? form->relfilenode :
		ckpx_mapped_file(relid, form->relisshared);
	key->fork = MAIN_FORKNUM;
}

/*
 * Wait until no transaction can be rewriting the relation; false where the
 * deadline comes first.  The lock manager has no limit for one wait apart from
 * lock_timeout, which raises an error, so this polls.  The deadlock detector
 * does not see that: the lock is given back at once, and no other one of
 * this function is held meanwhile.
 */
static bool
wait_for_rewrite(Oid relid, uint64 deadline)
{
	while (!ConditionalLockRelationOid(relid, AccessShareLock))
	{
		if (!wait_a_moment(deadline, LOCK_POLL_MS))
			return false;
	}
	UnlockRelationOid(relid, AccessShareLock);
	return true;
}

static List *
index_list(Oid relid)
{
	List	   *indexes = NIL;
	Relation	pg_index = table_open(IndexRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_index_indrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(pg_index, IndexIndrelidIndexId, true, NULL, 1,
							  &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		indexes = lappend_oid(indexes,
							  ((Form_pg_index) GETSTRUCT(tuple))->indexrelid);
	systable_endscan(scan);
	table_close(pg_index, AccessShareLock);
	return indexes;
}

/*
 * Add a relation's file, and those of its indexes and its TOAST table; a
 * relation that has no file, or is gone meanwhile, adds nothing.  What the
 * catalogs say is read without a lock, so that the files are known where the
 * time is up before there is one.
 */
static void
add_relation(FileList *files, Oid relid, uint64 deadline)
{
	HeapTuple	tuple;
	Form_pg_class form;
	List	   *indexes;
	Oid			toast;
	ListCell   *cell;

	if (!wait_for_rewrite(relid, deadline) && !OidIsValid(files->locked))
		files->locked = relid;
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	if (!HeapTupleIsValid(tuple))
		return;
	form = (Form_pg_class) GETSTRUCT(tuple);
	if (!RELKIND_HAS_STORAGE(form->relkind) ||
		form->relpersistence != RELPERSISTENCE_PERMANENT)
	{
		ReleaseSysCache(tuple);
		return;
	}
	add_file(files, relid, form);
	indexes = form->relhasindex ? index_list(relid) : NIL;
	toast = form->reltoastrelid;
	ReleaseSysCache(tuple);

	foreach(cell, indexes)
		add_relation(files, lfirst_oid(cell), deadline);
	if (OidIsValid(toast))
		add_relation(files, toast, deadline);
}

/* Raise an error where there is nothing that could be flushed. */
static void
check_flushable(Form_pg_class form)
{
	const char *problem = NULL;

	if (form->relkind == RELKIND_FOREIGN_TABLE)
		problem = "A foreign table has no files here.";
	else if (!RELKIND_HAS_STORAGE(form->relkind))
		problem = "It has no files.";
	else if (form->relpersistence == RELPERSISTENCE_TEMP)
		problem = "Temporary relations do not outlive their session.";
	else if (form->relpersistence != RELPERSISTENCE_PERMANENT)
		problem = "Unlogged relations do not outlive a crash, on disk or not.";
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("cannot flush relation \"%s\"", NameStr(form->relname)),
				 errdetail("%s", problem)));
}

/*
 * Find the files that the relation consists of.  files->locked becomes one of
 * its parts that was still locked at the deadline, or invalid.
 */
static void
collect_files(Oid relid, uint64 deadline, FileList *files)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class form;
	List	   *relations;
	ListCell   *cell;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	form = (Form_pg_class) GETSTRUCT(tuple);
	if (form->relkind == RELKIND_PARTITIONED_TABLE ||
		form->relkind == RELKIND_PARTITIONED_INDEX)
		relations = find_all_inheritors(relid, NoLock, NULL);
	else
	{
		check_flushable(form);
		relations = list_make1_oid(relid);
	}
	ReleaseSysCache(tuple);

	memset(files, 0, sizeof(*files));
	files->maxkeys = FIRST_FILES;
	files->keys = palloc(sizeof(CkpxRelKey) * FIRST_FILES);
	foreach(cell, relations)
		add_relation(files, lfirst_oid(cell), deadline);
	files->nkeys = ckpx_sort_keys(files->keys, files->nkeys);
}

/*
 * Asking the flusher
 */

typedef struct SlotWait
{
	uint64		request;
	uint64		starts;			/* of the flusher; 0: not known yet */
	uint64		blocks_written; /* found */
	FlushOutcome outcome;		/* found */
	char	   *error;			/* found */
} SlotWait;

/*
 * Has the slot all its answers, or has the flusher ended, which is to be
 * asked again then?
 */
static bool
is_answered(void *arg)
{
	SlotWait   *wait = arg;
	const CkpxFlushSlot *slot = ckpx_flush_slot(wait->request);
	const CkpxWorkerStatus *flusher =
		&CkpxShared->workers[CKPX_WORKER_FLUSHER];

	if (wait->starts == 0)
		wait->starts = flusher->starts;
	wait->blocks_written = slot->blocks_written;
	if (slot->ndone + slot->nfailed >= slot->ntotal)
	{
		strlcpy(wait->error, slot->error, CKPX_ERROR_TEXT_MAX);
		wait->outcome = slot->nfailed > 0 ? FLUSH_FAILED :
			slot->nmissing > 0 ? FLUSH_MISSING : FLUSH_DONE;
		return true;
	}
	if (flusher->starts == wait->starts && flusher->pid != 0)
		return false;
	strlcpy(wait->error, flusher->last_error[0] != '\0' ?
			flusher->last_error : "the flusher is not running",
			CKPX_ERROR_TEXT_MAX);
	wait->outcome = FLUSH_FAILED;
	return true;
}

/* Ask once for at most CKPX_QUEUE_BATCH files. */
static FlushOutcome
flush_batch(const CkpxRelKey *keys, uint32 nkeys, XLogRecPtr upto,
			uint64 deadline, uint64 *blocks_written, char *error)
{
	SlotWait	wait = {.outcome = FLUSH_TIMEOUT,.error = error};

	if (!ckpx_flush_begin(&wait.request))
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("too many flushes are being waited for"),
				 errdetail("There can be %d at a time.", CKPX_FLUSH_SLOTS)));
	PG_TRY();
	{
		for (uint32 i = 0; i < nkeys; i++)
		{
			if (!ckpx_flush_add(wait.request, &keys[i], upto))
				ereport(ERROR,
						(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						 errmsg("the queue of relations to be flushed is full"),
						 errhint("Try again later, or raise \"ckpx.dirty_queue_size\".")));
		}
		(void) ckpx_wait_until(is_answered, &wait, deadline,
							   CKPX_WORKER_FLUSHER, CKPX_WAIT_FLUSH);
	}
	PG_FINALLY();
	{
		ckpx_flush_end(wait.request);
	}
	PG_END_TRY();
	*blocks_written += wait.blocks_written;
	return wait.outcome;
}

/*
 * Have all files of the list flushed.  False when the time is up; *missing
 * says that some were not there.
 */
static bool
flush_files(const FileList *files, XLogRecPtr upto, uint64 deadline,
			uint64 *blocks_written, bool *missing, char *error)
{
	uint32		done = 0;

	*missing = false;
	while (done < files->nkeys)
	{
		uint32		n = Min(files->nkeys - done, CKPX_QUEUE_BATCH);

		switch (flush_batch(files->keys + done, n, upto, deadline,
							blocks_written, error))
		{
			case FLUSH_MISSING:
				*missing = true;
				/* FALLTHROUGH */
			case FLUSH_DONE:
				error[0] = '\0';
				done += n;
				break;
			case FLUSH_FAILED:
				if (!wait_a_moment(deadline, ckpx_force_flush_check_interval))
					return false;
				break;
			case FLUSH_TIMEOUT:
				return false;
		}
	}
	return true;
}

static bool
same_files(const FileList *a, const FileList *b)
{
	return a->nkeys == b->nkeys &&
		(a->nkeys == 0 ||
		 memcmp(a->keys, b->keys, sizeof(CkpxRelKey) * a->nkeys) == 0);
}

static Datum
flush_result(FunctionCallInfo fcinfo, bool flushed, uint64 blocks_written,
			 uint64 blocks_remaining)
{
	CkpxRow		row = {0};

	ckpx_row_bool(&row, flushed);
	ckpx_row_int8(&row, blocks_written);
	ckpx_row_int8(&row, blocks_remaining);
	return ckpx_single_row(fcinfo, &row);
}

static void
warn_not_flushed(const char *error)
{
	if (error[0] != '\0')
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("could not flush in time: %s", error)));
}

Datum
ckpx_flush_table(PG_FUNCTION_ARGS)
{
	char		error[CKPX_ERROR_TEXT_MAX] = "";
	uint64		blocks_written = 0;
	uint64		deadline;
	XLogRecPtr	upto;
	FileList	files;
	Oid			relid;

	ckpx_require_installed();
	ckpx_require_argument(fcinfo, 0, "rel");
	relid = PG_GETARG_OID(0);
	deadline = ckpx_deadline_argument(fcinfo, 2, ckpx_force_flush_timeout);
	upto = ckpx_upto_argument(fcinfo, 1, "upto");

	collect_files(relid, deadline, &files);
	while (!OidIsValid(files.locked))
	{
		FileList	present;
		bool		missing;

		if (!flush_files(&files, upto, deadline, &blocks_written, &missing,
						 error))
			break;

		/* Are these still the relation's files? */
		AcceptInvalidationMessages();
		collect_files(relid, deadline, &present);
		if (!OidIsValid(present.locked) && same_files(&files, &present))
		{
			if (missing)
				ereport(ERROR,
						(errcode(ERRCODE_UNDEFINED_FILE),
						 errmsg("a file of relation \"%s\" is missing",
								get_rel_name(relid))));
			return flush_result(fcinfo, true, blocks_written, 0);
		}
		files = present;
	}

	if (OidIsValid(files.locked))
		snprintf(error, sizeof(error), "relation \"%s\" is locked",
				 get_rel_name(files.locked));
	warn_not_flushed(error);
	return flush_result(fcinfo, false, blocks_written,
						files.nkeys == 0 ? 0 :
						ckpx_dirty_buffers_count(files.keys, files.nkeys));
}

/*
 * Ranges
 */

/*
 * What ckpx_flush() waits for: not only for durable_lsn, but also until the
 * runner has looked again which files are under construction.
 */
typedef struct RangeWait
{
	XLogRecPtr	upto;
	bool		flushed;		/* found */
} RangeWait;

static bool
range_reached(void *arg)
{
	RangeWait  *wait = arg;

	wait->flushed = ckpx_durable_range(InvalidXLogRecPtr, wait->upto);
	return ckpx_durable_is_final(wait->upto);
}

Datum
ckpx_flush(PG_FUNCTION_ARGS)
{
	CkpxFlushShared *flush = CkpxShared != NULL ? CkpxShared->flush : NULL;
	char		error[CKPX_ERROR_TEXT_MAX] = "";
	uint64		deadline;
	uint64		before;
	uint64		after;
	RangeWait	wait = {0};
	bool		reached;

	ckpx_require_installed();
	deadline = ckpx_deadline_argument(fcinfo, 1, ckpx_force_flush_timeout);
	wait.upto = ckpx_upto_argument(fcinfo, 0, "upto");

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	before = flush->counters[CKPX_FLUSH_CHECKPOINT].blocks_written;
	LWLockRelease(CkpxShared->lock);
	ckpx_durable_want(wait.upto);
	ckpx_request_collect(wait.upto);
	ckpx_wake_worker(CKPX_WORKER_RUNNER);

	reached = ckpx_wait_until(range_reached, &wait, deadline,
							  CKPX_WORKER_RUNNER, CKPX_WAIT_STRICT);

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	after = flush->counters[CKPX_FLUSH_CHECKPOINT].blocks_written;
	strlcpy(error, flush->range_error, sizeof(error));
	LWLockRelease(CkpxShared->lock);

	if (!reached)
	{
		warn_not_flushed(error);
		return flush_result(fcinfo, false, after - before,
							ckpx_dirty_buffers_count(NULL, 0));
	}
	if (!wait.flushed)
		ereport(NOTICE,
				(errmsg("files that a transaction is still building are not durable before it ends")));
	return flush_result(fcinfo, wait.flushed, after - before, 0);
}

Datum
ckpx_is_flushed(PG_FUNCTION_ARGS)
{
	XLogRecPtr	start_lsn;
	XLogRecPtr	end_lsn;
	bool		flushed;

	ckpx_require_installed();
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	start_lsn = ckpx_lsn_argument(fcinfo, 0);
	end_lsn = ckpx_lsn_argument(fcinfo, 1);
	ckpx_check_range(start_lsn, end_lsn);
	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	flushed = CkpxShared->booted &&
		ckpx_durable_range(ckpx_wal_normalize_lsn(start_lsn),
						   ckpx_wal_normalize_lsn(end_lsn));
	LWLockRelease(CkpxShared->lock);
	PG_RETURN_BOOL(flushed);
}
