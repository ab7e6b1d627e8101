/*-------------------------------------------------------------------------
 *
 * api.h
 *		What the SQL-callable functions share: arguments, LSNs, waiting, rows.
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

/*
 * The start of a WAL page has two names: its first byte, and the first byte
 * behind its header, where PostgreSQL says that the next record will start.
 * Records end, and ranges are cut, at the former.  Returns that one for both,
 * and every other LSN as it is; never makes a valid LSN invalid.
 */
extern XLogRecPtr ckpx_normalize_lsn(XLogRecPtr lsn);

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

/* Ask the runner to collect at least up to 'target', and wait for it. */
extern void ckpx_request_collect(XLogRecPtr target);
extern void ckpx_wait_for_collect(XLogRecPtr target);

/*
 * Wait until the history is loaded: while the runner starts anew, the store
 * may be empty or half filled.  To be called before the store is read.
 */
extern void ckpx_wait_for_boot(void);

/* The same, and take CkpxShared->lock shared: what is read then is loaded. */
extern void ckpx_lock_history(void);
extern void ckpx_lock_history_exclusive(void);

/* Raise 55000: a new epoch began while one of the old was waited for. */
extern void ckpx_report_broken(void);

/*
 * ckpx_wait_until() for what a finished incremental brings.  No entry waits
 * meanwhile for the caller's own transaction to end.
 */
extern bool ckpx_wait_for_entry(CkpxReached reached, void *arg,
								long timeout_ms);

/*
 * Wait until finished incrementals reach 'target', having asked for one; the
 * end reached.  Errors as ckpx_checkpoint() has them.
 */
extern XLogRecPtr ckpx_checkpoint_upto(XLogRecPtr target, long timeout_ms);
extern void ckpx_report_disabled(void);

/* A timeout in milliseconds from an interval argument; -1 for NULL. */
extern long ckpx_timeout_argument(FunctionCallInfo fcinfo, int argument);

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

/* A row under construction: values are set one after the other. */
#define CKPX_MAX_COLUMNS	32

typedef struct CkpxRow
{
	int			ncolumns;
	Datum		values[CKPX_MAX_COLUMNS];
	bool		nulls[CKPX_MAX_COLUMNS];
} CkpxRow;

static inline void
ckpx_row_begin(CkpxRow *row)
{
	row->ncolumns = 0;
}

static inline void
ckpx_row_datum(CkpxRow *row, Datum value)
{
	Assert(row->ncolumns < CKPX_MAX_COLUMNS);
	row->values[row->ncolumns] = value;
	row->nulls[row->ncolumns++] = false;
}

static inline void
ckpx_row_null(CkpxRow *row)
{
	Assert(row->ncolumns < CKPX_MAX_COLUMNS);
	row->values[row->ncolumns] = (Datum) 0;
	row->nulls[row->ncolumns++] = true;
}

/* An LSN, a time, a text, a number: NULL where they say "none". */
extern void ckpx_row_lsn(CkpxRow *row, XLogRecPtr lsn);
extern void ckpx_row_time(CkpxRow *row, int64 timestamp);
extern void ckpx_row_text(CkpxRow *row, const char *text);
extern void ckpx_row_int8(CkpxRow *row, int64 value);
extern void ckpx_row_int4(CkpxRow *row, int32 value);
extern void ckpx_row_bool(CkpxRow *row, bool value);
extern void ckpx_row_oid(CkpxRow *row, Oid value);

/* An int4[] of the resource managers whose bits are set. */
extern void ckpx_row_rmgrs(CkpxRow *row, const uint8 *bitmap);

/*
 * Sets of rows: _begin_rows readies the result, _put_row appends one, whose
 * number of columns must be that of the declared result.  _single_row is the
 * result of a function with OUT parameters.
 */
extern void ckpx_begin_rows(FunctionCallInfo fcinfo);
extern void ckpx_put_row(FunctionCallInfo fcinfo, CkpxRow *row);
extern Datum ckpx_single_row(FunctionCallInfo fcinfo, CkpxRow *row);

#endif							/* CKPX_API_H */
