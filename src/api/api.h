/*-------------------------------------------------------------------------
 *
 * api.h
 *		What the SQL-callable functions share: arguments, LSNs, rows.
 *
 * All of it runs in an ordinary backend and may raise errors; nothing here is
 * called with a lock held.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_API_H
#define CKPX_API_H

#include "postgres.h"

#include "access/xlogdefs.h"
#include "core/map/dirty_tree.h"
#include "fmgr.h"
#include "funcapi.h"
#include "server/base/shared_state.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"

/* The end of WAL at present: inserted, on a standby replayed. */
extern XLogRecPtr ckpx_wal_end(void);

/* The same, flushed: what the workers can read when this has returned. */
extern XLogRecPtr ckpx_flush_wal_end(void);

/*
 * Check the order of a range's ends, that an LSN lies in the past, and both;
 * an invalid LSN stands for an argument that was not given and passes.  'hint'
 * says what the caller of this function can do.
 */
extern void ckpx_check_range(XLogRecPtr start_lsn, XLogRecPtr end_lsn);
extern void ckpx_check_past(const char *argument, XLogRecPtr lsn,
							const char *hint);
extern void ckpx_check_past_range(XLogRecPtr start_lsn, XLogRecPtr end_lsn);

/*
 * Raise 55000: what answered the range is gone, or, with a valid 'oldest_end',
 * a global that has forgotten dropped relations does not know which blocks
 * they had changed by an end at which they were still there.
 */
extern void ckpx_report_stale(XLogRecPtr start_lsn, XLogRecPtr end_lsn,
							  XLogRecPtr oldest_end, XLogRecPtr oldest);

/* Raise 22004 where an argument is null that must not be. */
extern void ckpx_require_argument(FunctionCallInfo fcinfo, int argument,
								  const char *name);

/*
 * The moment at which a call gives up, on the monotonic clock, from an
 * interval argument; for NULL that of 'default_ms', or never with -1.
 */
extern uint64 ckpx_deadline_argument(FunctionCallInfo fcinfo, int argument,
									 int default_ms);

/*
 * An LSN argument, InvalidXLogRecPtr for NULL.  '0/0', which is that value as
 * well, becomes the LSN after it: no record lies before either, and what the
 * user gave must never be taken for "not given".
 */
#define CKPX_FIRST_LSN		((XLogRecPtr) 1)

static inline XLogRecPtr
ckpx_lsn_argument(FunctionCallInfo fcinfo, int argument)
{
	if (PG_ARGISNULL(argument))
		return InvalidXLogRecPtr;
	return Max(PG_GETARG_LSN(argument), CKPX_FIRST_LSN);
}

/*
 * An argument that says up to where: checked, and the present end of WAL for
 * NULL.  WAL is flushed up to it.
 */
extern XLogRecPtr ckpx_upto_argument(FunctionCallInfo fcinfo, int argument,
									 const char *name);

/*
 * A row under construction: values are set one after the other.
 *
 * _begin_rows readies the result of a function that returns a set, for which
 * ckpx must be preloaded; _put_row appends a row to it and begins the next
 * one.  _single_row is the result of a function with OUT parameters, from a
 * row that began as {0}.  The number of columns must be that of the declared
 * result.
 */
#define CKPX_MAX_COLUMNS	32

typedef struct CkpxRow
{
	ReturnSetInfo *result;
	int			ncolumns;
	Datum		values[CKPX_MAX_COLUMNS];
	bool		nulls[CKPX_MAX_COLUMNS];
} CkpxRow;

extern void ckpx_begin_rows(FunctionCallInfo fcinfo, CkpxRow *row);
extern void ckpx_put_row(CkpxRow *row);
extern Datum ckpx_single_row(FunctionCallInfo fcinfo, CkpxRow *row);

static inline void
ckpx_row_datum(CkpxRow *row, Datum value)
{
	Assert(row->ncolumns < CKPX_MAX_COLUMNS);
	row->values[row->ncolumns] = value;
	row->nulls[row->ncolumns++] = false;
}

/* So many columns are NULL. */
static inline void
ckpx_row_nulls(CkpxRow *row, int count)
{
	Assert(row->ncolumns + count <= CKPX_MAX_COLUMNS);
	while (count-- > 0)
		row->nulls[row->ncolumns++] = true;
}

#define ckpx_row_bool(row, value)	ckpx_row_datum(row, BoolGetDatum(value))
#define ckpx_row_oid(row, value) \
	ckpx_row_datum(row, ObjectIdGetDatum(value))
#define ckpx_row_int4(row, value) \
	ckpx_row_datum(row, Int32GetDatum((int32) (value)))
#define ckpx_row_int8(row, value) \
	ckpx_row_datum(row, Int64GetDatum((int64) (value)))

/* NULL, and 'value' not evaluated, unless 'known'. */
#define ckpx_row_int4_if(row, known, value) \
	((known) ? ckpx_row_int4(row, value) : ckpx_row_nulls(row, 1))
#define ckpx_row_int8_if(row, known, value) \
	((known) ? ckpx_row_int8(row, value) : ckpx_row_nulls(row, 1))

/* An LSN, a time, a text: NULL where they say "none". */
extern void ckpx_row_lsn(CkpxRow *row, XLogRecPtr lsn);
extern void ckpx_row_time(CkpxRow *row, int64 timestamp);
extern void ckpx_row_text(CkpxRow *row, const char *text);

/*
 * A copy of a text of shared memory that is valid in this database's encoding.
 */
extern char *ckpx_valid_text(const char *text);

/* The relation that has this file, NULL where it is not of this database. */
extern void ckpx_row_relation(CkpxRow *row, const CkpxRelKey *key);

/* An int8[], and an int4[] of the resource managers whose bits are set. */
extern void ckpx_row_int8s(CkpxRow *row, const uint64 *values, int count);
extern void ckpx_row_rmgrs(CkpxRow *row, const uint8 *bitmap);

#endif							/* CKPX_API_H */
