/*-------------------------------------------------------------------------
 *
 * range.c
 *		ckpx_collect_range, ckpx_low_water_mark, ckpx_pending_count: which
 *		finished objects answer a range.
 *
 * ckpx_collect_range may have to name ten thousand objects, and tools call it
 * often.  Under the lock only the few fields that tell one name from the next
 * are copied; the text is then built in place in a value whose largest size is
 * known beforehand.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "api/api.h"
#include "core/format/names.h"
#include "miscadmin.h"
#include "server/base/shared_state.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(ckpx_collect_range);
PG_FUNCTION_INFO_V1(ckpx_low_water_mark);
PG_FUNCTION_INFO_V1(ckpx_pending_count);

/* Longest version number with its separators. */
#define VERSION_TEXT_MAX	12

/*
 * What a location is made of, besides what all have in common or have from
 * the one before: each begins where that ends, only the first may be a global,
 * and only the last a backup.
 */
typedef struct Location
{
	XLogRecPtr	end_lsn;
	TimeLineID	timeline;
	uint32		version;
} Location;

typedef struct LocationList
{
	CkpxCollectResult result;
	CkpxEntryKind first_kind;
	CkpxEntryKind last_kind;
	Location   *locations;		/* result.nchosen */
} LocationList;

/* Copy what answers the range. */
static void
copy_locations(LocationList *list, XLogRecPtr start_lsn, XLogRecPtr end_lsn)
{
	const CkpxEntryStore *store = CkpxShared->store;
	CkpxCollectResult *result = &list->result;
	uint32	   *chosen = palloc(sizeof(uint32) * store->max_entries);
	XLogRecPtr	begin PG_USED_FOR_ASSERTS_ONLY;

	list->first_kind = CKPX_KIND_INCREMENTAL;
	list->last_kind = CKPX_KIND_INCREMENTAL;
	list->locations = MemoryContextAllocHuge(CurrentMemoryContext,
											 sizeof(Location) *
											 store->max_entries);

	ckpx_lock_history();
	ckpx_entry_store_collect(store, start_lsn, end_lsn, false, chosen, result);
	begin = result->from_lsn;
	for (uint32 i = 0; i < result->nchosen; i++)
	{
		CkpxEntrySpan span = ckpx_entry_store_span(store, chosen[i]);
		Location   *location = &list->locations[i];

		Assert(span.epoch == result->epoch && span.start_lsn == begin);
		if (i == 0)
			list->first_kind = (CkpxEntryKind) span.kind;
		list->last_kind = (CkpxEntryKind) span.kind;
		location->end_lsn = begin = span.end_lsn;
		location->timeline = span.timeline;
		location->version = span.version;
	}
	LWLockRelease(CkpxShared->lock);
	pfree(chosen);
}

/* Build "loc;version;loc;version;...;[from_to]", or an empty text. */
static text *
format_locations(const LocationList *list)
{
	const CkpxCollectResult *result = &list->result;
	Size		size = VARHDRSZ + 2 * CKPX_LSN_TEXT_MAX + 3 +
		(Size) result->nchosen * (CKPX_NAME_MAX + VERSION_TEXT_MAX);
	text	   *value;
	char	   *at;
	XLogRecPtr	start_lsn = result->from_lsn;

	/*
	 * glibc asks the kernel for every piece as large as this, and pays a page
	 * fault for each of its pages, until one has been given back.  From then
	 * on such pieces come from the heap, and the copies that the executor
	 * makes of the row lie where the text has been.
	 */
	pfree(palloc(size));
	value = palloc(size);
	at = VARDATA(value);

	for (uint32 i = 0; i < result->nchosen; i++)
	{
		const Location *location = &list->locations[i];
		CkpxEntryKind kind = i == 0 ? list->first_kind :
			i == result->nchosen - 1 ? list->last_kind :
			CKPX_KIND_INCREMENTAL;

		at += ckpx_object_name(at, kind, result->epoch, location->timeline,
							   start_lsn, location->end_lsn, 0);
		*at++ = ';';
		at += pg_ultoa_n(location->version, at);
		*at++ = ';';
		start_lsn = location->end_lsn;
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
	XLogRecPtr	start_lsn = ckpx_lsn_argument(fcinfo, 0);
	XLogRecPtr	end_lsn = ckpx_lsn_argument(fcinfo, 1);
	const CkpxCollectResult *result;
	LocationList list;
	text	   *locations;
	Datum		answer;
	CkpxRow		row;

	ckpx_require_installed();
	if (!PG_ARGISNULL(1))
		ckpx_check_range(start_lsn, end_lsn);
	else
		end_lsn = Max(ckpx_normalize_lsn(ckpx_wal_end()), start_lsn);

	copy_locations(&list, start_lsn, end_lsn);
	result = &list.result;

	if (result->stale)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("range %X/%X - %X/%X is stale",
						LSN_FORMAT_ARGS(start_lsn), LSN_FORMAT_ARGS(end_lsn)),
				 result->oldest_end != InvalidXLogRecPtr ?
				 errdetail("The oldest end that can be answered is %X/%X.",
						   LSN_FORMAT_ARGS(result->oldest_end)) :
				 errdetail("The oldest LSN that can be answered is %X/%X.",
						   LSN_FORMAT_ARGS(result->oldest)),
				 result->oldest_end != InvalidXLogRecPtr ?
				 errhint("Ask for a later end.") :
				 errhint("Take a full copy and start from there.")));

	locations = format_locations(&list);
	pfree(list.locations);

	ckpx_row_begin(&row);
	ckpx_row_datum(&row, PointerGetDatum(locations));
	ckpx_row_lsn(&row, result->checkpointed);
	ckpx_row_bool(&row, result->complete);
	if (result->complete || result->missing_from == InvalidXLogRecPtr)
		ckpx_row_null(&row);
	else if (result->missing_from == start_lsn && !PG_ARGISNULL(0))
		ckpx_row_datum(&row, PG_GETARG_DATUM(0));
	else
		ckpx_row_lsn(&row, result->missing_from);

	/*
	 * The row has a copy.  A long text is given back before the caller copies
	 * it once more, so that the process need not grow and shrink each time.
	 */
	answer = ckpx_single_row(fcinfo, &row);
	pfree(locations);
	return answer;
}

Datum
ckpx_low_water_mark(PG_FUNCTION_ARGS)
{
	XLogRecPtr	lsn;

	ckpx_require_installed();
	ckpx_lock_history();
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
	ckpx_lock_history();
	count = ckpx_entry_store_uncovered(CkpxShared->store);
	LWLockRelease(CkpxShared->lock);

	PG_RETURN_INT32((int32) count);
}
