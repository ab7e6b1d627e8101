/*-------------------------------------------------------------------------
 *
 * activity_views.c
 *		The rows behind the views ckpx_progress and ckpx_history: what is done
 *		now, and what was done.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "api/api.h"
#include "miscadmin.h"
#include "server/base/shared_state.h"
#include "server/flush/shared.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(ckpx_get_progress);
PG_FUNCTION_INFO_V1(ckpx_get_history);

static const char *
flush_phase_name(CkpxFlushPhase phase)
{
	switch (phase)
	{
		case CKPX_FLUSH_PHASE_NONE:
			break;
		case CKPX_FLUSH_PHASE_WAIT:
			return "waiting";
		case CKPX_FLUSH_PHASE_SCAN:
			return "scanning buffers";
		case CKPX_FLUSH_PHASE_WRITE:
			return "writing blocks";
		case CKPX_FLUSH_PHASE_SYNC:
			return "syncing forks";
	}
	return "unknown";
}

static void
put_progress(FunctionCallInfo fcinfo, int pid, const char *job,
			 const char *phase, uint64 done, uint64 total,
			 TimestampTz started_at)
{
	CkpxRow		row;

	ckpx_row_begin(&row);
	ckpx_row_int4(&row, pid);
	ckpx_row_text(&row, job);
	ckpx_row_text(&row, phase);
	ckpx_row_int8(&row, (int64) done);
	ckpx_row_int8(&row, (int64) total);
	ckpx_row_time(&row, started_at);
	ckpx_put_row(fcinfo, &row);
}

Datum
ckpx_get_progress(PG_FUNCTION_ARGS)
{
	CkpxJobProgress jobs[CKPX_NJOBS];
	CkpxFlushProgress flush;
	int			checkpointer;
	int			flusher;

	ckpx_require_preload();
	ckpx_begin_rows(fcinfo);

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	memcpy(jobs, CkpxShared->jobs, sizeof(jobs));
	checkpointer = CkpxShared->workers[CKPX_WORKER_CHECKPOINTER].pid;
	flush = CkpxShared->flush->progress;
	flusher = CkpxShared->workers[CKPX_WORKER_FLUSHER].pid;
	LWLockRelease(CkpxShared->lock);

	for (int i = 0; i < CKPX_NJOBS && checkpointer != 0; i++)
	{
		if (jobs[i].started_at != 0)
			put_progress(fcinfo, checkpointer, ckpx_job_name((CkpxJobKind) i),
						 ckpx_job_phase_name(jobs[i].phase), jobs[i].done,
						 jobs[i].total, jobs[i].started_at);
	}
	if (flusher != 0 && flush.phase != CKPX_FLUSH_PHASE_NONE)
		put_progress(fcinfo, flusher,
					 psprintf("flush (%s)",
							  ckpx_flush_reason_name(flush.reason)),
					 flush_phase_name(flush.phase), flush.done, flush.total,
					 flush.started_at);
	return (Datum) 0;
}

static void
put_item(FunctionCallInfo fcinfo, const CkpxHistoryItem *item)
{
	bool		own = ckpx_history_is_own(item->kind);
	CkpxRow		row;

	ckpx_row_begin(&row);
	ckpx_row_text(&row, own ? "ckpx" : "postgresql");
	ckpx_row_text(&row, ckpx_history_kind_name(item->kind));
	ckpx_row_int8(&row, (int64) item->timeline);
	if (own)
		ckpx_row_int8(&row, (int64) item->epoch);
	else
		ckpx_row_null(&row);
	ckpx_row_lsn(&row, own ? item->start_lsn : InvalidXLogRecPtr);
	ckpx_row_lsn(&row, own ? item->end_lsn : InvalidXLogRecPtr);
	ckpx_row_lsn(&row, own ? InvalidXLogRecPtr : item->start_lsn);
	ckpx_row_lsn(&row, own ? InvalidXLogRecPtr : item->end_lsn);
	ckpx_row_time(&row, item->started_at);
	ckpx_row_time(&row, item->seen_at);
	if (own)
		ckpx_row_int8(&row, (int64) item->size_bytes);
	else
		ckpx_row_null(&row);
	ckpx_put_row(fcinfo, &row);
}

Datum
ckpx_get_history(PG_FUNCTION_ARGS)
{
	CkpxHistory *history;
	uint64		oldest;

	ckpx_require_preload();
	ckpx_begin_rows(fcinfo);
	history = palloc(sizeof(CkpxHistory));

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	memcpy(history, &CkpxShared->history, sizeof(CkpxHistory));
	LWLockRelease(CkpxShared->lock);

	/* the newest first */
	oldest = history->nseen - Min(history->nseen, CKPX_HISTORY_SIZE);
	for (uint64 i = history->nseen; i > oldest; i--)
	{
		CHECK_FOR_INTERRUPTS();
		put_item(fcinfo, &history->items[(i - 1) % CKPX_HISTORY_SIZE]);
	}
	pfree(history);
	return (Datum) 0;
}
