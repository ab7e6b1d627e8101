/*-------------------------------------------------------------------------
 *
 * range.c
 *		ckpx_collect_range, ckpx_low_water_mark, ckpx_pending_count: which
 *		finished objects answer a range.
 *
 * ckpx_collect_range may have to name ten thousand objects, and tools call it
 * often.  Under the lock only the few fields that a name is made of are
 * copied; the text is then built in place in a value whose largest size is
 * known beforehand.
 *
 *-------------------------------------------------------------------------
 */
#include "server/compat.h"

#include "api/api.h"
#include "core/names.h"
#include "miscadmin.h"
#include "server/shared_state.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(ckpx_collect_range);
PG_FUNCTION_INFO_V1(ckpx_low_water_mark);
PG_FUNCTION_INFO_V1(ckpx_pending_count);

/* Longest version number with its separators. */
#define VERSION_TEXT_MAX	12

/* What a location is made of. */
typedef struct Location
{
	CkpxEntryKind kind;
	uint32		epoch;
	TimeLineID	timeline;
	uint32		version;
	XLogRecPtr	start_lsn;
	XLogRecPtr	end_lsn;
} Location;

/*
 * Copy what answers the range; the array has 'max_entries' elements, and so
 * has 'chosen'.
 */
static void
copy_locations(XLogRecPtr start_lsn, XLogRecPtr end_lsn, uint32 *chosen,
			   Location *locations, CkpxCollectResult *result)
{
	const CkpxEntryStore *store = CkpxShared->store;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	ckpx_entry_store_collect(store, start_lsn, end_lsn, chosen, result);
	for (uint32 i = 0; i < result->nchosen; i++)
	{
		const CkpxEntry *entry = &store->entries[chosen[i]];
		Location   *location = &locations[i];

		location->kind = entry->kind;
		location->epoch = entry->epoch;
		location->timeline = entry->timeline;
		location->version = entry->version;
		location->start_lsn = entry->start_lsn;
		location->end_lsn = entry->end_lsn;
	}
	LWLockRelease(CkpxShared->lock);
}

/* Build "loc;version;loc;version;...;[from_to]", or an empty text. */
static text *
format_locations(const Location *locations, const CkpxCollectResult *result)
{
	Size		size = VARHDRSZ + 2 * CKPX_LSN_TEXT_MAX + 3 +
		(Size) result->nchosen * (CKPX_NAME_MAX + VERSION_TEXT_MAX);
	text	   *value = palloc(size);
	char	   *at = VARDATA(value);

	for (uint32 i = 0; i < result->nchosen; i++)
	{
		const Location *location = &locations[i];

		at += ckpx_object_name(at, location->kind, location->epoch,
							   location->timeline, location->start_lsn,
							   location->end_lsn, 0);
		*at++ = ';';
		at += pg_ultoa_n(location->version, at);
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
	XLogRecPtr	start_lsn = ckpx_lsn_argument(fcinfo, 0);
	XLogRecPtr	end_lsn = ckpx_lsn_argument(fcinfo, 1);
	CkpxCollectResult result;
	Location   *locations;
	uint32	   *chosen;
	CkpxRow		row;

	ckpx_require_preload();
	if (!PG_ARGISNULL(1))
		ckpx_check_range(start_lsn, end_lsn);
	else
		end_lsn = Max(ckpx_normalize_lsn(ckpx_wal_end()), start_lsn);

	chosen = palloc(sizeof(uint32) * CkpxShared->store->max_entries);
	locations = MemoryContextAllocHuge(CurrentMemoryContext,
									   sizeof(Location) *
									   CkpxShared->store->max_entries);
	copy_locations(start_lsn, end_lsn, chosen, locations, &result);

	if (result.stale)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("range %X/%X - %X/%X is stale",
						LSN_FORMAT_ARGS(start_lsn), LSN_FORMAT_ARGS(end_lsn)),
				 errdetail("The oldest LSN that can be answered is %X/%X.",
						   LSN_FORMAT_ARGS(result.oldest)),
				 errhint("Take a full copy and start from there.")));

	ckpx_row_begin(&row);
	ckpx_row_datum(&row,
				   PointerGetDatum(format_locations(locations, &result)));
	ckpx_row_lsn(&row, result.checkpointed);
	ckpx_row_bool(&row, result.complete);
	if (result.complete || result.missing_from == InvalidXLogRecPtr)
		ckpx_row_null(&row);
	else if (result.missing_from == start_lsn && !PG_ARGISNULL(0))
		ckpx_row_datum(&row, PG_GETARG_DATUM(0));
	else
		ckpx_row_lsn(&row, result.missing_from);
	return ckpx_single_row(fcinfo, &row);
}

Datum
ckpx_low_water_mark(PG_FUNCTION_ARGS)
{
	XLogRecPtr	lsn;

	ckpx_require_preload();
	LWLockAcquire(CkpxShared->lock, LW_SHARED);
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

	ckpx_require_preload();
	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	count = ckpx_entry_store_uncovered(CkpxShared->store);
	LWLockRelease(CkpxShared->lock);

	PG_RETURN_INT32((int32) count);
}
