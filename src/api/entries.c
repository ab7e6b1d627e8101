/*-------------------------------------------------------------------------
 *
 * entries.c
 *		The rows of ckpx_checkpoints, and ckpx_checkpoints_after.
 *
 * Entries are copied under the lock, rows are made of the copies.  A spilled
 * segment is an entry only in manifests; it is part of the logtail and not
 * shown.
 *
 *-------------------------------------------------------------------------
 */
#include "server/compat.h"

#include "api/api.h"
#include "core/names.h"
#include "miscadmin.h"
#include "server/shared_state.h"

PG_FUNCTION_INFO_V1(ckpx_get_checkpoints);
PG_FUNCTION_INFO_V1(ckpx_checkpoints_after);

/* The columns that an entry has only once it is finished. */
static void
add_result(CkpxRow *row, const CkpxEntry *entry)
{
	char		name[CKPX_NAME_MAX];

	if (entry->state != CKPX_ENTRY_FINISHED)
	{
		for (int i = 0; i < 3; i++)
			ckpx_row_null(row);
		return;
	}
	ckpx_object_name(name, entry->kind, entry->epoch, entry->timeline,
					 entry->start_lsn, entry->end_lsn, 0);
	ckpx_row_text(row, name);
	ckpx_row_int4(row, (int32) entry->version);
	ckpx_row_int8(row, (int64) entry->size_bytes);
}

static void
put_entry(FunctionCallInfo fcinfo, const CkpxEntry *entry)
{
	bool		finished = entry->state == CKPX_ENTRY_FINISHED;
	CkpxRow		row;

	ckpx_row_begin(&row);
	ckpx_row_text(&row, ckpx_kind_name(entry->kind));
	ckpx_row_text(&row, ckpx_state_name(entry->state));
	ckpx_row_lsn(&row, entry->start_lsn);
	ckpx_row_lsn(&row, entry->end_lsn);
	ckpx_row_int8(&row, (int64) entry->timeline);
	ckpx_row_int8(&row, (int64) entry->epoch);
	add_result(&row, entry);
	ckpx_row_int8(&row, (int64) entry->nrelations);
	ckpx_row_int8(&row, (int64) entry->nblocks);
	ckpx_row_int8(&row, (int64) entry->nxacts);
	ckpx_row_int4(&row, (int32) entry->open_xacts);
	ckpx_row_lsn(&row, entry->truncate_lsn);
	ckpx_row_int4(&row, (int32) entry->undurable);
	ckpx_row_time(&row, entry->created_at);
	ckpx_row_time(&row, entry->finished_at);
	if (finished)
	{
		ckpx_row_int8(&row, entry->pending_ms);
		ckpx_row_int8(&row, entry->write_ms);
	}
	else
	{
		ckpx_row_null(&row);
		ckpx_row_null(&row);
	}
	ckpx_row_text(&row, finished ? NULL : entry->waiting_for);
	ckpx_row_int4(&row, (int32) entry->attempts);
	ckpx_row_text(&row, entry->failed_phase == CKPX_PHASE_NONE ? NULL :
				  ckpx_phase_name(entry->failed_phase));
	ckpx_row_text(&row, entry->last_error);
	ckpx_put_row(fcinfo, &row);
}

/* Room for a copy of every entry. */
static CkpxEntry *
alloc_entries(void)
{
	return MemoryContextAllocHuge(CurrentMemoryContext,
								  sizeof(CkpxEntry) *
								  CkpxShared->store->max_entries);
}

/*
 * Is the history loaded, or is there a reason why it cannot be?  A view for
 * people must not hang or fail when something is wrong.
 */
static bool
is_shown(void *arg)
{
	CkpxProblem problem;

	return CkpxShared->booted || CkpxShared->uninstalled ||
		ckpx_find_problem(1 << CKPX_WORKER_RUNNER, &problem) ||
		CkpxShared->workers[CKPX_WORKER_RUNNER].pid == 0;
}

Datum
ckpx_get_checkpoints(PG_FUNCTION_ARGS)
{
	const CkpxEntryStore *store;
	CkpxEntry  *entries;
	uint32		nentries = 0;

	ckpx_require_preload();
	ckpx_begin_rows(fcinfo);
	entries = alloc_entries();

	store = CkpxShared->store;
	(void) ckpx_wait_until(is_shown, NULL, -1, CKPX_WORKER_RUNNER);
	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	for (uint32 i = 0; i < store->nentries; i++)
		if (store->entries[i].kind != CKPX_KIND_SEGMENT)
			entries[nentries++] = store->entries[i];
	LWLockRelease(CkpxShared->lock);

	for (uint32 i = 0; i < nentries; i++)
	{
		CHECK_FOR_INTERRUPTS();
		put_entry(fcinfo, &entries[i]);
	}
	pfree(entries);
	return (Datum) 0;
}

Datum
ckpx_checkpoints_after(PG_FUNCTION_ARGS)
{
	XLogRecPtr	lsn = PG_GETARG_LSN(0);
	int32		count = PG_GETARG_INT32(1);
	uint32	   *chosen;
	CkpxEntry  *entries;
	uint32		nchosen;

	ckpx_require_installed();
	if (count < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("count must not be negative")));

	ckpx_begin_rows(fcinfo);
	count = Min((uint32) count, CkpxShared->store->max_entries);
	chosen = palloc(sizeof(uint32) * Max(count, 1));
	entries = alloc_entries();

	ckpx_lock_history();
	nchosen = ckpx_entry_store_after(CkpxShared->store, lsn, (uint32) count,
									 chosen);
	for (uint32 i = 0; i < nchosen; i++)
		entries[i] = CkpxShared->store->entries[chosen[i]];
	LWLockRelease(CkpxShared->lock);

	for (uint32 i = 0; i < nchosen; i++)
	{
		CHECK_FOR_INTERRUPTS();
		put_entry(fcinfo, &entries[i]);
	}
	pfree(entries);
	return (Datum) 0;
}
