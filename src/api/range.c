/*-------------------------------------------------------------------------
 *
 * range.c
 *		ckpx_collect_range, ckpx_collect_objects, ckpx_low_water_mark,
 *		ckpx_pending_count: which finished objects answer a range.
 *
 * ckpx_collect_range may have to name ten thousand objects, and tools call it
 * often.  Under the lock the entries are chosen and their spans copied; the
 * text is then built in place in a value whose largest size is known
 * beforehand.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "api/api.h"
#include "api/wait.h"
#include "core/format/names.h"
#include "miscadmin.h"
#include "server/base/entry_walk.h"
#include "server/base/shared_state.h"
#include "server/store/files.h"
#include "server/wal/source.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(ckpx_collect_range);
PG_FUNCTION_INFO_V1(ckpx_collect_objects);
PG_FUNCTION_INFO_V1(ckpx_low_water_mark);
PG_FUNCTION_INFO_V1(ckpx_pending_count);

/* How often a choice is made whose entries may move while they are copied. */
#define MAX_TRIES			4

/* Longest version number with its separators. */
#define VERSION_TEXT_MAX	12

/* What of an object's files is not in its span. */
typedef struct ObjectFiles
{
	uint64		size_bytes;
	uint32		nparts;
} ObjectFiles;

/*
 * Copy the spans of chosen entries, and unless 'files' is NULL what else is
 * known of their files, while the lock is held.
 */
static void
copy_chosen(const uint32 *chosen, uint32 begin, uint32 end,
			CkpxEntrySpan *spans, ObjectFiles *files)
{
	const CkpxEntryStore *store = CkpxShared->store;

	for (uint32 i = begin; i < end; i++)
	{
		spans[i] = ckpx_entry_store_span(store, chosen[i]);
		if (files != NULL)
		{
			const CkpxEntry *entry = ckpx_entry_store_at(store, chosen[i]);

			files[i].size_bytes = entry->size_bytes;
			files[i].nparts = entry->nparts;
		}
	}
}

/*
 * The spans of what answers the range, as many as *result says, and unless
 * 'files' is NULL what else is known of their files.
 *
 * All is chosen under one hold of the lock, into memory that was touched
 * before, but copied a turn at a time: to copy takes longer than to choose,
 * most of all into memory that was not.  Where entries have moved in between,
 * all is done anew, and the last time under one hold.
 */
static CkpxEntrySpan *
copy_spans(XLogRecPtr start_lsn, XLogRecPtr end_lsn, CkpxCollectResult *result,
		   ObjectFiles **files)
{
	const CkpxEntryStore *store = CkpxShared->store;
	uint32	   *chosen = palloc0(sizeof(uint32) * store->max_entries);
	CkpxEntrySpan *spans = palloc(sizeof(CkpxEntrySpan) * store->max_entries);
	ObjectFiles *copied_files = NULL;
	bool		copied = false;

	if (files != NULL)
		copied_files = *files = palloc(sizeof(ObjectFiles) *
									   store->max_entries);

	for (int tries = 1; !copied; tries++)
	{
		CkpxChosenTurns turns = {0};

		ckpx_lock_history(LW_SHARED);
		ckpx_entry_store_collect(store, start_lsn, end_lsn, false, chosen,
								 result);
		turns.count = result->nchosen;
		turns.length = tries < MAX_TRIES ? CKPX_ENTRIES_PER_TURN :
			store->max_entries;
		while (ckpx_chosen_turn_next(&turns))
			copy_chosen(chosen, turns.begin, turns.end, spans, copied_files);
		copied = !turns.moved;
	}
	pfree(chosen);
	return spans;
}

/*
 * The same for the arguments start_lsn and end_lsn, checked, which come back
 * as they are understood.
 */
static CkpxEntrySpan *
collect_arguments(FunctionCallInfo fcinfo, XLogRecPtr *start_lsn,
				  CkpxCollectResult *result, ObjectFiles **files)
{
	XLogRecPtr	end_lsn = ckpx_lsn_argument(fcinfo, 1);
	CkpxEntrySpan *spans;

	*start_lsn = ckpx_lsn_argument(fcinfo, 0);
	ckpx_require_installed();
	if (!PG_ARGISNULL(1))
		ckpx_check_range(*start_lsn, end_lsn);
	else
		end_lsn = Max(ckpx_wal_normalize_lsn(ckpx_wal_end()), *start_lsn);

	spans = copy_spans(*start_lsn, end_lsn, result, files);
	if (result->stale)
		ckpx_report_stale(*start_lsn, end_lsn, result->oldest_end,
						  result->oldest);
	return spans;
}

/* Build "loc;version;loc;version;...;[from_to]", or an empty text. */
static text *
format_locations(const CkpxEntrySpan *spans, const CkpxCollectResult *result)
{
	Size		size = VARHDRSZ + 2 * CKPX_LSN_TEXT_MAX + 3 +
		(Size) result->nchosen * (CKPX_NAME_MAX + VERSION_TEXT_MAX);
	text	   *value;
	char	   *at;

	/*
	 * glibc asks the kernel for every piece as large as this, and pays a page
	 * fault for each of its pages, until one as large has been given back.
	 * From then on such pieces come from the heap, which keeps twice as much.
	 * Spans, text and two copies that the executor makes of the row are less.
	 */
	pfree(palloc(2 * size));
	value = palloc(size);
	at = VARDATA(value);

	for (uint32 i = 0; i < result->nchosen; i++)
	{
		const CkpxEntrySpan *span = &spans[i];

		at += ckpx_object_name(at, (CkpxEntryKind) span->kind, span->epoch,
							   span->timeline, span->start_lsn, span->end_lsn,
							   0);
		*at++ = ';';
		at += pg_ultoa_n(span->version, at);
		*at++ = ';';
	}
	if (result->nchosen > 0)
	{
		*at++ = '[';
		at += ckpx_lsn_text(at, result->from_lsn);
		*at++ = '_';
		at += ckpx_lsn_text(at, result->checkpointed);
		*at++ = ']';
	}
	Assert((Size) (at - (char *) value) <= size);
	SET_VARSIZE(value, at - (char *) value);
	return value;
}

Datum
ckpx_collect_range(PG_FUNCTION_ARGS)
{
	XLogRecPtr	start_lsn;
	CkpxEntrySpan *spans;
	CkpxCollectResult result;
	text	   *locations;
	Datum		answer;
	CkpxRow		row = {0};

	spans = collect_arguments(fcinfo, &start_lsn, &result, NULL);
	locations = format_locations(spans, &result);
	pfree(spans);

	ckpx_row_datum(&row, PointerGetDatum(locations));
	ckpx_row_lsn(&row, result.checkpointed);
	ckpx_row_bool(&row, result.complete);
	if (result.complete || result.missing_from == InvalidXLogRecPtr)
		ckpx_row_nulls(&row, 1);
	else if (result.missing_from == start_lsn && !PG_ARGISNULL(0))
		ckpx_row_datum(&row, PG_GETARG_DATUM(0));
	else
		ckpx_row_lsn(&row, result.missing_from);

	/*
	 * The row has a copy.  A long text is given back before the caller copies
	 * it once more, so that the process need not grow and shrink each time.
	 */
	answer = ckpx_single_row(fcinfo, &row);
	pfree(locations);
	return answer;
}

Datum
ckpx_collect_objects(PG_FUNCTION_ARGS)
{
	XLogRecPtr	start_lsn;
	CkpxEntrySpan *spans;
	ObjectFiles *files;
	CkpxCollectResult result;
	CkpxRow		row;

	ckpx_begin_rows(fcinfo, &row);
	spans = collect_arguments(fcinfo, &start_lsn, &result, &files);
	for (uint32 i = 0; i < result.nchosen; i++)
	{
		const CkpxEntrySpan *span = &spans[i];
		char		name[CKPX_NAME_MAX];
		char		path[MAXPGPATH];

		ckpx_object_name(name, (CkpxEntryKind) span->kind, span->epoch,
						 span->timeline, span->start_lsn, span->end_lsn, 0);
		ckpx_store_path(path, name);
		ckpx_row_text(&row, ckpx_kind_name((CkpxEntryKind) span->kind));
		ckpx_row_text(&row, name);
		ckpx_row_int4(&row, span->version);
		ckpx_row_lsn(&row, span->start_lsn);
		ckpx_row_lsn(&row, span->end_lsn);
		ckpx_row_int8(&row, files[i].size_bytes);
		ckpx_row_text(&row, path);
		ckpx_row_int4(&row, files[i].nparts);
		ckpx_put_row(&row);
	}
	return (Datum) 0;
}

Datum
ckpx_low_water_mark(PG_FUNCTION_ARGS)
{
	XLogRecPtr	lsn;

	ckpx_require_installed();
	ckpx_lock_history(LW_SHARED);
	lsn = ckpx_entry_store_low_water_mark(CkpxShared->store);
	LWLockRelease(CkpxShared->lock);

	if (lsn == InvalidXLogRecPtr)
		PG_RETURN_NULL();
	PG_RETURN_LSN(lsn);
}

Datum
ckpx_pending_count(PG_FUNCTION_ARGS)
{
	uint32		count;

	ckpx_require_installed();
	ckpx_lock_history(LW_SHARED);
	count = ckpx_entry_store_uncovered(CkpxShared->store);
	LWLockRelease(CkpxShared->lock);

	PG_RETURN_INT32((int32) count);
}
