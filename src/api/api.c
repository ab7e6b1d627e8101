/*-------------------------------------------------------------------------
 *
 * api.c
 *		What the SQL-callable functions share.
 *
 * A backend that needs a position to be collected makes sure first that the
 * WAL up to it can be read at all.  On a primary that means to flush up to
 * the insert position: an LSN that a user got from a function that shows
 * bytes written may lie in the middle of a record, and only when the whole
 * record is flushed can the position be passed.  On a standby replay stops
 * behind whole records only.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "access/htup_details.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogrecovery.h"
#include "api/api.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "server/base/shared_state.h"
#include "server/wal/source.h"
#include "storage/proc.h"
#include "utils/array.h"
#include "utils/builtins.h"

XLogRecPtr
ckpx_normalize_lsn(XLogRecPtr lsn)
{
	return ckpx_wal_normalize_lsn(lsn);
}

XLogRecPtr
ckpx_wal_end(void)
{
	return RecoveryInProgress() ? GetXLogReplayRecPtr(NULL) :
		GetXLogInsertRecPtr();
}

XLogRecPtr
ckpx_flush_wal_end(void)
{
	XLogRecPtr	end = ckpx_normalize_lsn(ckpx_wal_end());

	if (!RecoveryInProgress())
		XLogFlush(end);
	return end;
}

void
ckpx_check_past(const char *argument, XLogRecPtr lsn, const char *hint)
{
	XLogRecPtr	end = ckpx_wal_end();

	if (lsn > end)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s %X/%X lies in the future", argument,
						LSN_FORMAT_ARGS(lsn)),
				 RecoveryInProgress() ?
				 errdetail("WAL is replayed up to %X/%X.",
						   LSN_FORMAT_ARGS(end)) :
				 errdetail("WAL ends at %X/%X.", LSN_FORMAT_ARGS(end)),
				 errhint("%s", hint)));
}

void
ckpx_check_range(XLogRecPtr start_lsn, XLogRecPtr end_lsn)
{
	if (end_lsn != InvalidXLogRecPtr && start_lsn > end_lsn)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("start_lsn %X/%X is greater than end_lsn %X/%X",
						LSN_FORMAT_ARGS(start_lsn),
						LSN_FORMAT_ARGS(end_lsn))));
}

void
ckpx_check_past_range(XLogRecPtr start_lsn, XLogRecPtr end_lsn)
{
	ckpx_check_range(start_lsn, end_lsn);
	ckpx_check_past("start_lsn", start_lsn,
					"Wait until it is reached with ckpx_wait_collected().");
	ckpx_check_past("end_lsn", end_lsn,
					"Use NULL for the present end, or wait with ckpx_wait_collected().");
}

static bool
collect_reached(void *arg)
{
	return CkpxShared->collected_lsn >= *(XLogRecPtr *) arg;
}

void
ckpx_request_collect(XLogRecPtr target)
{
	bool		needed;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	needed = CkpxShared->collected_lsn < target;
	if (needed && CkpxShared->collect_request < target)
		CkpxShared->collect_request = target;
	LWLockRelease(CkpxShared->lock);

	if (needed)
		ckpx_wake_worker(CKPX_WORKER_RUNNER);
}

void
ckpx_wait_for_collect(XLogRecPtr target)
{
	bool		done;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	done = collect_reached(&target);
	LWLockRelease(CkpxShared->lock);
	if (done)
		return;

	(void) ckpx_flush_wal_end();
	ckpx_request_collect(target);

	/* A history without room for more checkpoints does not stop reading. */
	(void) ckpx_wait_despite_problem(collect_reached, &target, -1,
									 CKPX_WORKER_RUNNER);
}

static bool
is_booted(void *arg)
{
	return CkpxShared->booted;
}

void
ckpx_wait_for_boot(void)
{
	bool		booted;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	booted = is_booted(NULL);
	LWLockRelease(CkpxShared->lock);
	if (!booted)
		(void) ckpx_wait_until(is_booted, NULL, -1, CKPX_WORKER_RUNNER);
}

static void
lock_history(LWLockMode mode)
{
	for (;;)
	{
		ckpx_wait_for_boot();
		LWLockAcquire(CkpxShared->lock, mode);
		if (is_booted(NULL))
			return;
		LWLockRelease(CkpxShared->lock);
	}
}

void
ckpx_lock_history(void)
{
	lock_history(LW_SHARED);
}

void
ckpx_lock_history_exclusive(void)
{
	lock_history(LW_EXCLUSIVE);
}

void
ckpx_report_broken(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("ckpx lost track of changes while the function waited"),
			 errdetail("A new epoch has begun."),
			 errhint("See the view ckpx_gaps, and call the function again.")));
}

static void
set_waiting_xid(TransactionId xid)
{
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	CkpxShared->waiting_xids[MyProc - ProcGlobal->allProcs] = xid;
	LWLockRelease(CkpxShared->lock);
}

bool
ckpx_wait_for_entry(CkpxReached reached, void *arg, long timeout_ms)
{
	TransactionId xid = GetTopTransactionIdIfAny();
	volatile bool done = false;

	if (!TransactionIdIsValid(xid))
		return ckpx_wait_until(reached, arg, timeout_ms,
							   CKPX_WORKER_CHECKPOINTER);

	set_waiting_xid(xid);
	ckpx_wake_worker(CKPX_WORKER_RUNNER);
	PG_TRY();
	{
		done = ckpx_wait_until(reached, arg, timeout_ms,
							   CKPX_WORKER_CHECKPOINTER);
	}
	PG_FINALLY();
	{
		/* The transaction may go on after the error of a subtransaction. */
		set_waiting_xid(InvalidTransactionId);
	}
	PG_END_TRY();
	return done;
}

long
ckpx_timeout_argument(FunctionCallInfo fcinfo, int argument)
{
	Interval   *interval;
	double		ms;

	if (PG_ARGISNULL(argument))
		return -1;

	interval = PG_GETARG_INTERVAL_P(argument);
	if (interval->month != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("timeout must not contain months or years"),
				 errdetail("Their length is not defined.")));
	ms = interval->day * 86400000.0 + interval->time / 1000.0;
	if (ms < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("timeout must not be negative")));
	if (ms > INT_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("timeout must not be longer than %d milliseconds",
						INT_MAX)));
	return (long) ms;
}

void
ckpx_row_lsn(CkpxRow *row, XLogRecPtr lsn)
{
	if (lsn == InvalidXLogRecPtr)
		ckpx_row_null(row);
	else
		ckpx_row_datum(row, LSNGetDatum(lsn));
}

void
ckpx_row_time(CkpxRow *row, int64 timestamp)
{
	if (timestamp == 0)
		ckpx_row_null(row);
	else
		ckpx_row_datum(row, TimestampTzGetDatum(timestamp));
}

/*
 * What is in shared memory belongs to no database: a pin may have got its name
 * in one of another encoding, and a message that was cut to fit may end within
 * a character.  Such text must not get into this database as it is.
 */
void
ckpx_row_text(CkpxRow *row, const char *text)
{
	char	   *copy;

	if (text == NULL || text[0] == '\0')
	{
		ckpx_row_null(row);
		return;
	}

	copy = pstrdup(text);
	if (!pg_verifymbstr(copy, strlen(copy), true))
	{
		for (char *c = copy; *c != '\0'; c++)
			if (IS_HIGHBIT_SET(*c))
				*c = '?';
	}
	ckpx_row_datum(row, CStringGetTextDatum(copy));
}

void
ckpx_row_int8(CkpxRow *row, int64 value)
{
	ckpx_row_datum(row, Int64GetDatum(value));
}

void
ckpx_row_int4(CkpxRow *row, int32 value)
{
	ckpx_row_datum(row, Int32GetDatum(value));
}

void
ckpx_row_bool(CkpxRow *row, bool value)
{
	ckpx_row_datum(row, BoolGetDatum(value));
}

void
ckpx_row_oid(CkpxRow *row, Oid value)
{
	ckpx_row_datum(row, ObjectIdGetDatum(value));
}

void
ckpx_row_rmgrs(CkpxRow *row, const uint8 *bitmap)
{
	Datum		ids[CKPX_RMGR_BITMAP_BYTES * 8];
	int			nids = 0;

	for (int id = 0; id < CKPX_RMGR_BITMAP_BYTES * 8; id++)
		if (bitmap[id / 8] & (1 << (id % 8)))
			ids[nids++] = Int32GetDatum(id);
	ckpx_row_datum(row,
				   PointerGetDatum(construct_array(ids, nids, INT4OID,
												   sizeof(int32), true,
												   TYPALIGN_INT)));
}

void
ckpx_begin_rows(FunctionCallInfo fcinfo)
{
	InitMaterializedSRF(fcinfo, 0);
}

void
ckpx_put_row(FunctionCallInfo fcinfo, CkpxRow *row)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	/* the library may be newer than the script that declared the function */
	if (row->ncolumns != result->setDesc->natts)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("function result has %d columns, the library returns %d",
						result->setDesc->natts, row->ncolumns),
				 errhint("Run ALTER EXTENSION ckpx UPDATE.")));
	tuplestore_putvalues(result->setResult, result->setDesc,
						 row->values, row->nulls);
}

Datum
ckpx_single_row(FunctionCallInfo fcinfo, CkpxRow *row)
{
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE ||
		desc->natts != row->ncolumns)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("function result does not fit the library"),
				 errhint("Run ALTER EXTENSION ckpx UPDATE.")));
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc),
											 row->values, row->nulls));
}
