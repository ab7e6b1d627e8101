/*-------------------------------------------------------------------------
 *
 * backup_records.c
 *		ckpx_record_backup and the rows of the view ckpx_backups.
 *
 * A row is promised to the caller when a manifest with it is durable.  A call
 * that fails leaves the rows as they were: the one that was added goes, and
 * the one that made room for it, or had the same id, comes back to its place.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "api/api.h"
#include "api/wait.h"
#include "miscadmin.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(ckpx_record_backup);
PG_FUNCTION_INFO_V1(ckpx_get_backups);

/* The place of a row; -1: there is none.  Caller holds the lock. */
static int
find_row(const char *id)
{
	for (uint32 i = 0; i < CkpxShared->nbackups; i++)
	{
		if (strcmp(CkpxShared->backups[i].id, id) == 0)
			return (int) i;
	}
	return -1;
}

/* Caller holds the lock, here and below. */
static void
remove_row(uint32 i)
{
	CkpxShared->nbackups--;
	memmove(&CkpxShared->backups[i], &CkpxShared->backups[i + 1],
			sizeof(CkpxBackupRecord) * (CkpxShared->nbackups - i));
}

static void
insert_row(uint32 i, const CkpxBackupRecord *row)
{
	i = Min(i, CkpxShared->nbackups);
	memmove(&CkpxShared->backups[i + 1], &CkpxShared->backups[i],
			sizeof(CkpxBackupRecord) * (CkpxShared->nbackups - i));
	CkpxShared->backups[i] = *row;
	CkpxShared->nbackups++;
}

/*
 * Append a row.  The one that goes for it, of the same id or the oldest of too
 * many, is copied to *gone; returns its place, or -1.
 */
static int
append_row(const CkpxBackupRecord *row, CkpxBackupRecord *gone)
{
	int			i = find_row(row->id);

	if (i < 0 && CkpxShared->nbackups == CKPX_MAX_BACKUPS)
		i = 0;
	if (i >= 0)
	{
		*gone = CkpxShared->backups[i];
		remove_row(i);
	}
	insert_row(CkpxShared->nbackups, row);
	return i;
}

/* Take the row back. */
static void
undo(const CkpxBackupRecord *row, int place, const CkpxBackupRecord *gone)
{
	int			i;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	i = find_row(row->id);
	if (i >= 0 && CkpxShared->backups[i].finished_at == row->finished_at)
	{
		remove_row(i);
		if (place >= 0 && find_row(gone->id) < 0)
			insert_row(place, gone);
	}
	CkpxShared->publish_requested++;
	LWLockRelease(CkpxShared->lock);
	ckpx_wake_worker(CKPX_WORKER_CHECKPOINTER);
}

/* An id argument goes to 'id'. */
static void
id_argument(FunctionCallInfo fcinfo, int argument, const char *name, char *id)
{
	char	   *given = text_to_cstring(PG_GETARG_TEXT_PP(argument));

	if (!ckpx_backup_id_is_valid(given))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must have %d lower-case hexadecimal digits", name,
						CKPX_BACKUP_ID_DIGITS)));
	strcpy(id, given);
}

/* What is wrong with one of the numbers, or of two together. */
static void
check_numbers(const CkpxBackupRecord *row, int32 timeline, int64 bytes)
{
	if (timeline <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("timeline must be greater than zero")));
	if (bytes < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("bytes must not be negative")));
	if (strcmp(row->parent, row->id) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a backup must not be its own parent")));
	if (row->start_lsn > row->stop_lsn)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("start_lsn %X/%X is greater than stop_lsn %X/%X",
						LSN_FORMAT_ARGS(row->start_lsn),
						LSN_FORMAT_ARGS(row->stop_lsn))));
	ckpx_check_past("stop_lsn", row->stop_lsn,
					"Record a backup on the server that it was made of.");
}

Datum
ckpx_record_backup(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {
		"id", "parent", "timeline", "start_lsn", "stop_lsn", "bytes"
	};
	CkpxBackupRecord row;
	CkpxBackupRecord gone;
	CkpxPublishWait wait;
	int			place;

	ckpx_require_installed();
	for (int i = 0; i < (int) lengthof(names); i++)
	{
		if (i != 1)
			ckpx_require_argument(fcinfo, i, names[i]);
	}
	memset(&row, 0, sizeof(row));
	id_argument(fcinfo, 0, names[0], row.id);
	if (!PG_ARGISNULL(1))
		id_argument(fcinfo, 1, names[1], row.parent);
	row.timeline = (TimeLineID) PG_GETARG_INT32(2);
	row.start_lsn = ckpx_lsn_argument(fcinfo, 3);
	row.stop_lsn = ckpx_lsn_argument(fcinfo, 4);
	row.bytes = (uint64) PG_GETARG_INT64(5);
	check_numbers(&row, PG_GETARG_INT32(2), PG_GETARG_INT64(5));
	row.finished_at = GetCurrentTimestamp();

	ckpx_lock_history(LW_EXCLUSIVE);
	place = append_row(&row, &gone);
	ckpx_request_publish(&wait);
	LWLockRelease(CkpxShared->lock);

	PG_TRY();
	{
		ckpx_wait_for_publish(&wait);
	}
	PG_CATCH();
	{
		undo(&row, place, &gone);
		PG_RE_THROW();
	}
	PG_END_TRY();
	PG_RETURN_VOID();
}

Datum
ckpx_get_backups(PG_FUNCTION_ARGS)
{
	CkpxBackupRecord *rows = palloc(sizeof(CkpxBackupRecord) *
									CKPX_MAX_BACKUPS);
	uint32		nrows;
	CkpxRow		row;

	ckpx_begin_rows(fcinfo, &row);
	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	nrows = CkpxShared->nbackups;
	memcpy(rows, CkpxShared->backups, sizeof(CkpxBackupRecord) * nrows);
	LWLockRelease(CkpxShared->lock);

	for (uint32 i = 0; i < nrows; i++)
	{
		ckpx_row_text(&row, rows[i].id);
		ckpx_row_text(&row, rows[i].parent);
		ckpx_row_int4(&row, rows[i].timeline);
		ckpx_row_lsn(&row, rows[i].start_lsn);
		ckpx_row_lsn(&row, rows[i].stop_lsn);
		ckpx_row_int8(&row, rows[i].bytes);
		ckpx_row_time(&row, rows[i].finished_at);
		ckpx_put_row(&row);
	}
	return (Datum) 0;
}
