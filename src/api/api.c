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
#include "access/xlogrecovery.h"
#include "api/api.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "server/base/shared_state.h"
#include "server/wal/source.h"
#include "utils/array.h"
#include "utils/builtins.h"

/* Where WAL ends at present. */
XLogRecPtr
ckpx_wal_end(void)
{
	return RecoveryInProgress() ? GetXLogReplayRecPtr(NULL) :
		GetXLogInsertRecPtr();
}

/* Flush WAL up to its present end, and return that. */
XLogRecPtr
ckpx_flush_wal_end(void)
{
	XLogRecPtr	end = ckpx_wal_normalize_lsn(ckpx_wal_end());

	if (!RecoveryInProgress())
		XLogFlush(end);
	return end;
}

/* Raise an error where an LSN lies in the future. */
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

/* Raise an error where a range ends before it starts. */
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

/* Raise an error where a range is upside down or ends in the future. */
void
ckpx_check_past_range(XLogRecPtr start_lsn, XLogRecPtr end_lsn)
{
	ckpx_check_range(start_lsn, end_lsn);
	ckpx_check_past("start_lsn", start_lsn,
					"Wait until it is reached with ckpx_wait_collected().");
	ckpx_check_past("end_lsn", end_lsn,
					"Use NULL for the present end, or wait with ckpx_wait_collected().");
}

/* Raise the error of a range that is not answered any more. */
void
ckpx_report_stale(XLogRecPtr start_lsn, XLogRecPtr end_lsn,
				  XLogRecPtr oldest_end, XLogRecPtr oldest)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("range %X/%X - %X/%X is stale",
					LSN_FORMAT_ARGS(start_lsn), LSN_FORMAT_ARGS(end_lsn)),
			 oldest_end != InvalidXLogRecPtr ?
			 errdetail("The oldest end that can be answered is %X/%X.",
					   LSN_FORMAT_ARGS(oldest_end)) :
			 errdetail("The oldest LSN that can be answered is %X/%X.",
					   LSN_FORMAT_ARGS(oldest)),
			 oldest_end != InvalidXLogRecPtr ?
			 errhint("Ask for a later end.") :
			 errhint("Take a full copy and start from there.")));
}

/* Raise an error where an argument is null. */
void
ckpx_require_argument(FunctionCallInfo fcinfo, int argument, const char *name)
{
	if (PG_ARGISNULL(argument))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name)));
}

/* Check an argument that says up to where, and flush WAL up to it. */
XLogRecPtr
ckpx_upto_argument(FunctionCallInfo fcinfo, int argument, const char *name)
{
	XLogRecPtr	upto = ckpx_lsn_argument(fcinfo, argument);
	XLogRecPtr	end;

	ckpx_check_past(name, upto, "Use NULL for the present end.");
	end = ckpx_flush_wal_end();
	return upto == InvalidXLogRecPtr ? end : ckpx_wal_normalize_lsn(upto);
}

/* Make a deadline of an interval argument. */
uint64
ckpx_deadline_argument(FunctionCallInfo fcinfo, int argument, int default_ms)
{
	Interval   *interval;
	double		ms;

	if (PG_ARGISNULL(argument))
		return default_ms < 0 ? CKPX_NO_DEADLINE :
			ckpx_clock_ms() + default_ms;

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
	return ckpx_clock_ms() + (uint64) ms;
}

/* Add an LSN, or NULL. */
void
ckpx_row_lsn(CkpxRow *row, XLogRecPtr lsn)
{
	if (lsn == InvalidXLogRecPtr)
		ckpx_row_nulls(row, 1);
	else
		ckpx_row_datum(row, LSNGetDatum(lsn));
}

/* Add a time, or NULL. */
void
ckpx_row_time(CkpxRow *row, int64 timestamp)
{
	if (timestamp == 0)
		ckpx_row_nulls(row, 1);
	else
		ckpx_row_datum(row, TimestampTzGetDatum(timestamp));
}

/*
 * Copy a text, and make it valid.
 *
 * What is in shared memory belongs to no database: a pin may have got its name
 * in one of another encoding, and a message that was cut to fit may end within
 * a character.  Such text must not get into this database as it is.
 */
char *
ckpx_valid_text(const char *text)
{
	char	   *copy = pstrdup(text);

	if (!pg_verifymbstr(copy, strlen(copy), true))
	{
		for (char *c = copy; *c != '\0'; c++)
			if (IS_HIGHBIT_SET(*c))
				*c = '?';
	}
	return copy;
}

/* Add a text, or NULL where it is empty. */
void
ckpx_row_text(CkpxRow *row, const char *text)
{
	if (text == NULL || text[0] == '\0')
		ckpx_row_nulls(row, 1);
	else
		ckpx_row_datum(row, CStringGetTextDatum(ckpx_valid_text(text)));
}

/* Add the relation of this database that has the file, or NULL. */
void
ckpx_row_relation(CkpxRow *row, const CkpxRelKey *key)
{
	Oid			relid = InvalidOid;

	if (key->relation != CKPX_DATABASE_WIDE &&
		(key->database == MyDatabaseId || key->database == InvalidOid))
		relid = ckpx_relid_of_file(key->tablespace, key->relation);
	if (OidIsValid(relid))
		ckpx_row_oid(row, relid);
	else
		ckpx_row_nulls(row, 1);
}

/* Add an int8[]. */
void
ckpx_row_int8s(CkpxRow *row, const uint64 *values, int count)
{
	Datum	   *datums = palloc(sizeof(Datum) * count);

	for (int i = 0; i < count; i++)
		datums[i] = Int64GetDatum((int64) values[i]);
	ckpx_row_datum(row,
				   PointerGetDatum(construct_array(datums, count, INT8OID,
												   sizeof(int64),
												   FLOAT8PASSBYVAL,
												   TYPALIGN_DOUBLE)));
}

/* Add an int4[] of the bits that are set. */
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

/* Ready the result of a function that returns a set of rows. */
void
ckpx_begin_rows(FunctionCallInfo fcinfo, CkpxRow *row)
{
	ckpx_require_preload();
	InitMaterializedSRF(fcinfo, 0);
	row->result = (ReturnSetInfo *) fcinfo->resultinfo;
	row->ncolumns = 0;
}

/* The library may be newer than the script that declared the function. */
static void
check_columns(TupleDesc desc, const CkpxRow *row)
{
	if (desc->natts != row->ncolumns)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("function result has %d columns, the library returns %d",
						desc->natts, row->ncolumns),
				 errhint("Run ALTER EXTENSION ckpx UPDATE.")));
}

/* Append the row to the result, and begin the next one. */
void
ckpx_put_row(CkpxRow *row)
{
	ReturnSetInfo *result = row->result;

	check_columns(result->setDesc, row);
	tuplestore_putvalues(result->setResult, result->setDesc,
						 row->values, row->nulls);
	row->ncolumns = 0;
}

/* Make the result of a function that returns one row. */
Datum
ckpx_single_row(FunctionCallInfo fcinfo, CkpxRow *row)
{
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "function must return a row");
	check_columns(desc, row);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc),
											 row->values, row->nulls));
}
