/*-------------------------------------------------------------------------
 *
 * views.c
 *		The rows behind the views ckpx_queues, ckpx_workers, ckpx_runner,
 *		ckpx_gaps and ckpx_stat.
 *
 * Each copies what it shows under the lock, in one piece so that the columns
 * of a row fit together, and makes rows of the copy.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "api/api.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "server/base/options.h"
#include "server/base/shared_state.h"
#include "server/flush/shared.h"
#include "server/logtail/logtail.h"
#include "server/store/files.h"
#include "utils/array.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(ckpx_get_queues);
PG_FUNCTION_INFO_V1(ckpx_get_workers);
PG_FUNCTION_INFO_V1(ckpx_get_runner);
PG_FUNCTION_INFO_V1(ckpx_get_gaps);
PG_FUNCTION_INFO_V1(ckpx_get_stat);

Datum
ckpx_get_queues(PG_FUNCTION_ARGS)
{
	CkpxRing	rings[CKPX_NQUEUES];

	ckpx_require_preload();
	ckpx_begin_rows(fcinfo);

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	for (int i = 0; i < CKPX_NQUEUES; i++)
		rings[i] = *CkpxShared->queues[i];
	LWLockRelease(CkpxShared->lock);

	for (int i = 0; i < CKPX_NQUEUES; i++)
	{
		const CkpxRing *ring = &rings[i];
		CkpxRow		row;

		ckpx_row_begin(&row);
		ckpx_row_text(&row, ckpx_queue_name((CkpxQueueId) i));
		ckpx_row_int4(&row, (int32) ring->capacity);
		ckpx_row_int4(&row, (int32) ring->depth);
		ckpx_row_int4(&row, (int32) ring->high_water);
		ckpx_row_int8(&row, (int64) ring->enqueued);
		ckpx_row_int8(&row, (int64) ring->handled);
		ckpx_row_int8(&row, (int64) ring->rejected);
		ckpx_row_int4(&row, (int32) ring->largest_batch);
		ckpx_row_time(&row, ring->running_since);
		ckpx_put_row(fcinfo, &row);
	}
	return (Datum) 0;
}

Datum
ckpx_get_workers(PG_FUNCTION_ARGS)
{
	CkpxWorkerStatus workers[CKPX_NWORKERS];

	ckpx_require_preload();
	ckpx_begin_rows(fcinfo);

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	memcpy(workers, CkpxShared->workers, sizeof(workers));
	LWLockRelease(CkpxShared->lock);

	for (int i = 0; i < CKPX_NWORKERS; i++)
	{
		const CkpxWorkerStatus *worker = &workers[i];
		CkpxRow		row;

		ckpx_row_begin(&row);
		ckpx_row_text(&row, ckpx_worker_name((CkpxWorkerId) i));
		if (worker->pid != 0)
			ckpx_row_int4(&row, worker->pid);
		else
			ckpx_row_null(&row);
		ckpx_row_text(&row, ckpx_worker_state_name(worker->state));
		ckpx_row_text(&row, worker->activity);
		ckpx_row_time(&row, worker->since);
		/* the first start is none */
		ckpx_row_int8(&row,
					  worker->starts > 0 ? (int64) worker->starts - 1 : 0);
		ckpx_row_text(&row, worker->last_error);
		ckpx_row_time(&row, worker->last_error_at);
		ckpx_put_row(fcinfo, &row);
	}
	return (Datum) 0;
}

/* What of the shared state ckpx_runner shows. */
typedef struct RunnerCopy
{
	bool		booted;
	bool		enabled;
	CkpxProblem problem;
	uint32		epoch;
	TimeLineID	timeline;
	XLogRecPtr	collected_lsn;
	XLogRecPtr	checkpointed_lsn;
	XLogRecPtr	durable_lsn;
	XLogRecPtr	released_lsn;
	uint8		custom_rmgrs[CKPX_RMGR_BITMAP_BYTES];
	double		pressure;
	uint64		next_tick_ms;
} RunnerCopy;

static void
copy_runner(RunnerCopy *copy)
{
	const CkpxSharedState *shared = CkpxShared;

	LWLockAcquire(shared->lock, LW_SHARED);
	copy->booted = shared->booted;
	copy->enabled = ckpx_enabled && !shared->disabled && !shared->uninstalled;
	if (!ckpx_find_problem(CKPX_ALL_WORKERS, &copy->problem))
		copy->problem.text[0] = '\0';
	copy->epoch = shared->store->epoch;
	copy->timeline = shared->store->timeline;
	copy->collected_lsn = shared->collected_lsn;
	copy->checkpointed_lsn = ckpx_entry_store_checkpointed(shared->store);
	copy->durable_lsn = shared->durable_lsn;
	copy->pressure = shared->flush->pressure;
	copy->released_lsn = shared->released_lsn;
	memcpy(copy->custom_rmgrs, shared->custom_rmgrs,
		   sizeof(copy->custom_rmgrs));
	copy->next_tick_ms = shared->next_tick_ms;
	LWLockRelease(shared->lock);
}

/* The distance between two LSNs, NULL where either is unknown. */
static void
add_distance(CkpxRow *row, XLogRecPtr from, XLogRecPtr to)
{
	if (from == InvalidXLogRecPtr || to == InvalidXLogRecPtr)
		ckpx_row_null(row);
	else
		ckpx_row_int8(row, to > from ? (int64) (to - from) : 0);
}

/* The time until the next tick as an interval, never negative. */
static void
add_next_tick(CkpxRow *row, uint64 next_tick_ms)
{
	Interval   *interval;
	uint64		now = ckpx_clock_ms();

	if (next_tick_ms == 0)
	{
		ckpx_row_null(row);
		return;
	}
	interval = palloc0(sizeof(Interval));
	interval->time = next_tick_ms > now ? (next_tick_ms - now) * 1000 : 0;
	ckpx_row_datum(row, IntervalPGetDatum(interval));
}

Datum
ckpx_get_runner(PG_FUNCTION_ARGS)
{
	RunnerCopy	copy;
	Size		logtail_bytes;
	uint32		nsegments;
	XLogRecPtr	flushed_lsn;
	CkpxRow		row;

	ckpx_require_preload();
	ckpx_begin_rows(fcinfo);

	copy_runner(&copy);
	ckpx_logtail_usage(&logtail_bytes, NULL, &nsegments);
	flushed_lsn = RecoveryInProgress() ? GetXLogReplayRecPtr(NULL) :
		GetFlushRecPtr(NULL);

	ckpx_row_begin(&row);
	ckpx_row_bool(&row, copy.enabled);
	ckpx_row_text(&row, copy.problem.text);
	if (copy.epoch != 0)
	{
		ckpx_row_int8(&row, (int64) copy.epoch);
		ckpx_row_int8(&row, (int64) copy.timeline);
	}
	else
	{
		ckpx_row_null(&row);
		ckpx_row_null(&row);
	}
	ckpx_row_lsn(&row, flushed_lsn);
	ckpx_row_lsn(&row, copy.collected_lsn);
	ckpx_row_lsn(&row, copy.checkpointed_lsn);
	ckpx_row_lsn(&row, copy.durable_lsn);
	ckpx_row_lsn(&row, copy.released_lsn);
	add_distance(&row, copy.released_lsn, flushed_lsn);
	add_distance(&row, copy.collected_lsn, flushed_lsn);
	ckpx_row_int8(&row, (int64) logtail_bytes);
	ckpx_row_int4(&row, (int32) nsegments);
	/* before the boot there is no folder to look at */
	if (copy.booted)
		ckpx_row_int8(&row, (int64) ckpx_directory_bytes());
	else
		ckpx_row_null(&row);
	ckpx_row_datum(&row, Float8GetDatum(copy.pressure));
	ckpx_row_rmgrs(&row, copy.custom_rmgrs);
	add_next_tick(&row, copy.next_tick_ms);
	ckpx_put_row(fcinfo, &row);
	return (Datum) 0;
}

Datum
ckpx_get_gaps(PG_FUNCTION_ARGS)
{
	CkpxGap    *gaps = palloc(sizeof(CkpxGap) * CKPX_MAX_GAPS);
	uint32		ngaps;

	ckpx_require_preload();
	ckpx_begin_rows(fcinfo);

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	ngaps = CkpxShared->store->ngaps;
	memcpy(gaps, CkpxShared->store->gaps, sizeof(CkpxGap) * ngaps);
	LWLockRelease(CkpxShared->lock);

	for (uint32 i = 0; i < ngaps; i++)
	{
		CkpxRow		row;

		ckpx_row_begin(&row);
		ckpx_row_int8(&row, (int64) gaps[i].epoch);
		ckpx_row_int8(&row, (int64) gaps[i].timeline);
		ckpx_row_lsn(&row, gaps[i].from_lsn);
		ckpx_row_lsn(&row, gaps[i].to_lsn);
		ckpx_row_text(&row, gaps[i].reason);
		ckpx_row_time(&row, gaps[i].detected_at);
		ckpx_put_row(fcinfo, &row);
	}
	return (Datum) 0;
}

Datum
ckpx_get_stat(PG_FUNCTION_ARGS)
{
	CkpxStat	stat;
	CkpxRow		row;
	Datum		buckets[CKPX_PENDING_BUCKETS];
	ArrayType  *histogram;

	ckpx_require_preload();
	ckpx_begin_rows(fcinfo);

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	stat = CkpxShared->stat;
	LWLockRelease(CkpxShared->lock);

	ckpx_row_begin(&row);
	ckpx_row_int8(&row, (int64) stat.incrementals_done);
	ckpx_row_int8(&row, (int64) stat.globals_done);
	ckpx_row_int8(&row, (int64) stat.backups_done);
	ckpx_row_int8(&row, (int64) stat.segments_spilled);
	ckpx_row_int8(&row, (int64) stat.incrementals_removed);
	ckpx_row_int8(&row, (int64) stat.globals_removed);
	ckpx_row_int8(&row, (int64) stat.backups_removed);
	ckpx_row_int8(&row, (int64) stat.jobs_failed);
	ckpx_row_int8(&row, (int64) stat.commands_done);
	ckpx_row_int8(&row, (int64) stat.commands_failed);
	ckpx_row_int8(&row, (int64) stat.commands_overridden);
	ckpx_row_int8(&row, (int64) stat.caps_reached);
	ckpx_row_int8(&row, (int64) stat.pending_ms_total);
	ckpx_row_int8(&row, (int64) stat.pending_ms_max);
	for (int i = 0; i < CKPX_PENDING_BUCKETS; i++)
		buckets[i] = Int64GetDatum((int64) stat.pending_histogram[i]);
	histogram = construct_array(buckets, CKPX_PENDING_BUCKETS, INT8OID,
								sizeof(int64), FLOAT8PASSBYVAL,
								TYPALIGN_DOUBLE);
	ckpx_row_datum(&row, PointerGetDatum(histogram));
	ckpx_row_int8(&row, (int64) stat.write_ms_total);
	ckpx_row_int8(&row, (int64) stat.wal_bytes_read);
	ckpx_row_int8(&row, (int64) stat.records_read);
	ckpx_row_int8(&row, (int64) stat.flush_passes);
	ckpx_row_int8(&row, (int64) stat.blocks_written);
	ckpx_row_int8(&row, (int64) stat.fsyncs);
	ckpx_row_int8(&row, (int64) stat.flush_ms);
	ckpx_row_int8(&row, (int64) stat.gaps);
	ckpx_row_time(&row, stat.stats_reset);
	ckpx_put_row(fcinfo, &row);
	return (Datum) 0;
}
