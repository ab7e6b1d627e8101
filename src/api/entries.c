/*-------------------------------------------------------------------------
 *
 * entries.c
 *		The rows of ckpx_checkpoints, and ckpx_checkpoints_after.
 *
 * Entries are copied under the lock, a turn at a time, rows are made of the
 * copies.  A spilled segment is an entry only in manifests; it is part of the
 * logtail and not shown.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "api/api.h"
#include "api/wait.h"
#include "core/format/names.h"
#include "miscadmin.h"
#include "server/base/entry_walk.h"

PG_FUNCTION_INFO_V1(ckpx_get_checkpoints);
PG_FUNCTION_INFO_V1(ckpx_checkpoints_after);

static void
put_entry(CkpxRow *row, const CkpxEntry *entry)
{
	bool		finished = entry->state == CKPX_ENTRY_FINISHED;
	char		name[CKPX_NAME_MAX] = "";

	if (finished)
		ckpx_entry_object_name(name, entry, 0);
	ckpx_row_text(row, ckpx_kind_name(entry->kind));
	ckpx_row_text(row, ckpx_state_name(entry->state));
	ckpx_row_lsn(row, entry->range.start_lsn);
	ckpx_row_lsn(row, entry->range.end_lsn);
	ckpx_row_int8(row, entry->range.timeline);
	ckpx_row_int8(row, entry->range.epoch);
	ckpx_row_text(row, name);
	ckpx_row_int4_if(row, finished, entry->version);
	ckpx_row_int8_if(row, finished, entry->size_bytes);
	ckpx_row_int8(row, entry->nrelations);
	ckpx_row_int8(row, entry->nblocks);
	ckpx_row_int8(row, entry->range.nxacts);
	ckpx_row_int4(row, entry->open_xacts);
	ckpx_row_lsn(row, finished ?
				 ckpx_range_truncate_lsn(&entry->range, entry->kind) :
				 InvalidXLogRecPtr);
	ckpx_row_int4(row, entry->undurable);
	ckpx_row_time(row, entry->range.created_at);
	ckpx_row_time(row, entry->finished_at);
	ckpx_row_int8_if(row, finished, entry->pending_ms);
	ckpx_row_int8_if(row, finished, entry->write_ms);
	ckpx_row_text(row, finished ? NULL : entry->waiting_for);
	ckpx_row_int4(row, entry->attempts);
	ckpx_row_text(row, entry->failed_phase == CKPX_PHASE_NONE ? NULL :
				  ckpx_phase_name(entry->failed_phase));
	ckpx_row_text(row, entry->last_error);
	ckpx_put_row(row);
}

Datum
ckpx_get_checkpoints(PG_FUNCTION_ARGS)
{
	CkpxEntryWalk walk = {0};
	CkpxEntry  *entries;
	CkpxRow		row;

	ckpx_begin_rows(fcinfo, &row);
	entries = palloc(sizeof(CkpxEntry) * CKPX_ENTRIES_PER_TURN);

	ckpx_wait_for_view();
	while (ckpx_entry_walk_next(&walk, LW_SHARED))
	{
		uint32		n = 0;

		for (uint32 i = walk.begin; i < walk.end; i++)
		{
			const CkpxEntry *entry = ckpx_entry_store_at(CkpxShared->store,
														 i);

			if (entry->kind != CKPX_KIND_SEGMENT)
				entries[n++] = *entry;
		}
		ckpx_entry_walk_pause(&walk);
		for (uint32 i = 0; i < n; i++)
			put_entry(&row, &entries[i]);
	}
	pfree(entries);
	return (Datum) 0;
}

/*
 * Copy up to 'count' entries from 'lsn' on, and no more than a turn.  What
 * does not continue 'previous_end' (Invalid: whatever comes), or is of another
 * epoch than *epoch (0: whatever is open), ends the answer.
 */
static uint32
copy_after(XLogRecPtr lsn, uint32 count, XLogRecPtr previous_end,
		   uint32 *epoch, CkpxEntry *entries)
{
	const CkpxEntryStore *store = CkpxShared->store;
	uint32		chosen[CKPX_ENTRIES_PER_TURN];
	uint32		nchosen = 0;

	ckpx_lock_history(LW_SHARED);
	if (*epoch == 0 || *epoch == store->epoch)
		nchosen = ckpx_entry_store_after(store, lsn,
										 Min(count, lengthof(chosen)), chosen);
	for (uint32 i = 0; i < nchosen; i++)
		entries[i] = *ckpx_entry_store_at(store, chosen[i]);
	*epoch = store->epoch;
	LWLockRelease(CkpxShared->lock);

	if (nchosen > 0 && previous_end != InvalidXLogRecPtr &&
		entries[0].range.start_lsn != previous_end)
		return 0;
	return nchosen;
}

/*
 * A long answer is put together from several looks at the history.  Each goes
 * on where the one before it ended; where garbage collection has taken what
 * comes there, the answer ends, as it may do anywhere: the caller asks again
 * from its end on.
 */
Datum
ckpx_checkpoints_after(PG_FUNCTION_ARGS)
{
	XLogRecPtr	lsn = PG_GETARG_LSN(0);
	int32		count = PG_GETARG_INT32(1);
	XLogRecPtr	previous_end = InvalidXLogRecPtr;
	uint32		epoch = 0;
	CkpxEntry  *entries;
	CkpxRow		row;
	uint32		n;

	ckpx_require_installed();
	if (count < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("count must not be negative")));

	ckpx_begin_rows(fcinfo, &row);
	entries = palloc(sizeof(CkpxEntry) * CKPX_ENTRIES_PER_TURN);
	while (count > 0 &&
		   (n = copy_after(lsn, count, previous_end, &epoch, entries)) > 0)
	{
		CHECK_FOR_INTERRUPTS();
		for (uint32 i = 0; i < n; i++)
			put_entry(&row, &entries[i]);
		lsn = previous_end = entries[n - 1].range.end_lsn;
		count -= (int32) n;
	}
	pfree(entries);
	return (Datum) 0;
}
