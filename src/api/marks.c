/*-------------------------------------------------------------------------
 *
 * marks.c
 *		ckpx_checkpoint_mark: what was decoded of a checkpoint record.
 *
 * The mark is in the object that holds the LSN, or in the logtail.  Which one
 * is chosen as for a map (api/map_reader.c): under the shared lock, so that
 * nothing falls between an incremental that finishes and the logtail, and
 * again where the object has gone before it was read.  Of a history that was
 * left, as by recovery to an earlier point, a newer epoch holds the LSN.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "api/api.h"
#include "api/wait.h"
#include "miscadmin.h"
#include "server/logtail/logtail.h"
#include "server/store/object_file.h"

PG_FUNCTION_INFO_V1(ckpx_checkpoint_mark);

/* How often the choice is made anew when an object has gone. */
#define MAX_CHOICES			10

/*
 * Find the object that holds 'lsn', without its counts; false: there is none.
 * Then *known tells whether the logtail has the mark.
 */
static bool
choose_object(XLogRecPtr lsn, CkpxEntry *entry, CkpxMark *mark, bool *known)
{
	const CkpxEntryStore *store = CkpxShared->store;
	uint32	   *chosen = palloc(sizeof(uint32) * store->max_entries);
	CkpxCollectResult result;
	bool		found;

	*known = false;
	memset(entry, 0, sizeof(CkpxEntry));
	ckpx_lock_history(LW_SHARED);

	/*
	 * Up to whatever end, for a global that has removed tombstones still
	 * knows its marks.
	 */
	ckpx_entry_store_collect(store, lsn, PG_UINT64_MAX, true, chosen, &result);
	found = result.nchosen > 0 && result.checkpointed > lsn;
	if (found)
	{
		CkpxEntrySpan span = ckpx_entry_store_span(store, chosen[0]);

		entry->kind = (CkpxEntryKind) span.kind;
		entry->range.epoch = span.epoch;
		entry->range.timeline = span.timeline;
		entry->range.start_lsn = span.start_lsn;
		entry->range.end_lsn = span.end_lsn;
		entry->version = span.version;
	}
	else if (result.epoch != 0 && result.epoch == store->epoch)
		*known = ckpx_logtail_marks(lsn, lsn + 1, mark, 1) == 1;
	LWLockRelease(CkpxShared->lock);

	pfree(chosen);
	return found;
}

/* Find the mark of 'lsn', which is collected; false: it is not known. */
static bool
find_mark(XLogRecPtr lsn, CkpxMark *mark)
{
	CkpxEntry	entry;
	bool		known;

	for (int choices = 1; choose_object(lsn, &entry, mark, &known); choices++)
	{
		CkpxMark   *marks;
		uint32		nmarks;
		uint32		i;

		CHECK_FOR_INTERRUPTS();
		if (!ckpx_object_file_marks(&entry, choices < MAX_CHOICES, &marks,
									&nmarks))
			continue;
		i = ckpx_marks_find(marks, nmarks, lsn);
		known = i < nmarks && marks[i].lsn == lsn;
		if (known)
			*mark = marks[i];
		pfree(marks);
		break;
	}
	return known;
}

Datum
ckpx_checkpoint_mark(PG_FUNCTION_ARGS)
{
	CkpxMark	mark;
	CkpxRow		row = {0};
	XLogRecPtr	lsn;

	ckpx_require_installed();
	lsn = ckpx_lsn_argument(fcinfo, 0);
	if (lsn == InvalidXLogRecPtr || lsn >= ckpx_wal_end())
		ckpx_row_nulls(&row, 4);
	else
	{
		ckpx_wait_for_collect(lsn + 1);
		if (find_mark(lsn, &mark))
		{
			ckpx_row_lsn(&row, mark.redo);
			ckpx_row_int4(&row, mark.timeline);
			ckpx_row_int8(&row, mark.crc);
			ckpx_row_datum(&row, TimestampTzGetDatum(mark.time));
		}
		else
			ckpx_row_nulls(&row, 4);
	}
	return ckpx_single_row(fcinfo, &row);
}
