/*-------------------------------------------------------------------------
 *
 * views.c
 *		The rows behind the views ckpx_queues, ckpx_workers, ckpx_runner,
 *		ckpx_gaps, ckpx_stat, ckpx_dirty_tables, ckpx_flush_stat,
 *		ckpx_progress and ckpx_history.
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
#include "miscadmin.h"
#include "server/base/options.h"
#include "server/base/shared_state.h"
#include "server/flush/sheet.h"
#include "server/logtail/logtail.h"
#include "server/store/files.h"

PG_FUNCTION_INFO_V1(ckpx_get_queues);
PG_FUNCTION_INFO_V1(ckpx_get_workers);
PG_FUNCTION_INFO_V1(ckpx_get_runner);
PG_FUNCTION_INFO_V1(ckpx_get_gaps);
PG_FUNCTION_INFO_V1(ckpx_get_stat);
PG_FUNCTION_INFO_V1(ckpx_get_dirty_tables);
PG_FUNCTION_INFO_V1(ckpx_get_flush_stat);
PG_FUNCTION_INFO_V1(ckpx_get_progress);
PG_FUNCTION_INFO_V1(ckpx_get_history);

/* Copy a part of the shared state under the lock. */
static void
copy_shared(void *to, const void *from, Size size)
{
	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	memcpy(to, from, size);
	LWLockRelease(CkpxShared->lock);
}

Datum
ckpx_get_queues(PG_FUNCTION_ARGS)
{
	CkpxRing	rings[CKPX_NQUEUES];
	CkpxRow		row;

	ckpx_begin_rows(fcinfo, &row);
	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	for (int i = 0; i < CKPX_NQUEUES; i++)
		rings[i] = *CkpxShared->queues[i];
	LWLockRelease(CkpxShared->lock);

	for (int i = 0; i < CKPX_NQUEUES; i++)
	{
		const CkpxRing *ring = &rings[i];

		ckpx_row_text(&row, ckpx_queue_name((CkpxQueueId) i));
		ckpx_row_int4(&row, ring->capacity);
		ckpx_row_int4(&row, ring->depth);
		ckpx_row_int4(&row, ring->high_water);
		ckpx_row_int8(&row, ring->enqueued);
		ckpx_row_int8(&row, ring->handled);
		ckpx_row_int8(&row, ring->rejected);
		ckpx_row_int4(&row, ring->largest_batch);
		ckpx_row_time(&row, ring->running_since);
		ckpx_put_row(&row);
	}
	return (Datum) 0;
}

Datum
ckpx_get_workers(PG_FUNCTION_ARGS)
{
	CkpxWorkerStatus workers[CKPX_NWORKERS];
	CkpxRow		row;

	ckpx_begin_rows(fcinfo, &row);
	copy_shared(workers, CkpxShared->workers, sizeof(workers));

	for (int i = 0; i < CKPX_NWORKERS; i++)
	{
		const CkpxWorkerStatus *worker = &workers[i];

		ckpx_row_text(&row, ckpx_worker_name((CkpxWorkerId) i));
		ckpx_row_int4_if(&row, worker->pid != 0, worker->pid);
		ckpx_row_text(&row, ckpx_worker_state_name(worker->state));
		ckpx_row_text(&row, worker->activity);
		ckpx_row_time(&row, worker->since);
		/* the first start is none */
		ckpx_row_int8(&row, worker->starts > 0 ? worker->starts - 1 : 0);
		ckpx_row_text(&row, worker->last_error);
		ckpx_row_time(&row, worker->last_error_at);
		ckpx_put_row(&row);
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
	bool		has_pressure;
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
	copy->has_pressure = shared->flush->sheet_kept;
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
	ckpx_row_int8_if(row, from != InvalidXLogRecPtr && to != InvalidXLogRecPtr,
					 to > from ? to - from : 0);
}

/* The time until the next tick as an interval, never negative. */
static void
add_next_tick(CkpxRow *row, uint64 next_tick_ms)
{
	Interval   *interval;
	uint64		now = ckpx_clock_ms();

	if (next_tick_ms == 0)
	{
		ckpx_row_nulls(row, 1);
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

	ckpx_begin_rows(fcinfo, &row);
	copy_runner(&copy);
	ckpx_logtail_usage(&logtail_bytes, NULL, &nsegments);
	flushed_lsn = RecoveryInProgress() ? GetXLogReplayRecPtr(NULL) :
		GetFlushRecPtr(NULL);

	ckpx_row_bool(&row, copy.enabled);
	ckpx_row_text(&row, copy.problem.text);
	ckpx_row_int8_if(&row, copy.epoch != 0, copy.epoch);
	ckpx_row_int8_if(&row, copy.epoch != 0, copy.timeline);
	ckpx_row_lsn(&row, flushed_lsn);
	ckpx_row_lsn(&row, copy.collected_lsn);
	ckpx_row_lsn(&row, copy.checkpointed_lsn);
	ckpx_row_lsn(&row, copy.durable_lsn);
	ckpx_row_lsn(&row, copy.released_lsn);
	add_distance(&row, copy.released_lsn, flushed_lsn);
	add_distance(&row, copy.collected_lsn, flushed_lsn);
	ckpx_row_int8(&row, logtail_bytes);
	ckpx_row_int4(&row, nsegments);
	/* before the boot there is no directory to look at */
	ckpx_row_int8_if(&row, copy.booted, ckpx_directory_bytes());
	if (copy.has_pressure)
		ckpx_row_datum(&row, Float8GetDatum(copy.pressure));
	else
		ckpx_row_nulls(&row, 1);
	ckpx_row_rmgrs(&row, copy.custom_rmgrs);
	add_next_tick(&row, copy.next_tick_ms);
	ckpx_put_row(&row);
	return (Datum) 0;
}

Datum
ckpx_get_gaps(PG_FUNCTION_ARGS)
{
	CkpxGap    *gaps = palloc(sizeof(CkpxGap) * CKPX_MAX_GAPS);
	uint32		ngaps;
	CkpxRow		row;

	ckpx_begin_rows(fcinfo, &row);
	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	ngaps = CkpxShared->store->ngaps;
	memcpy(gaps, CkpxShared->store->gaps, sizeof(CkpxGap) * ngaps);
	LWLockRelease(CkpxShared->lock);

	for (uint32 i = 0; i < ngaps; i++)
	{
		ckpx_row_int8(&row, gaps[i].epoch);
		ckpx_row_int8(&row, gaps[i].timeline);
		ckpx_row_lsn(&row, gaps[i].from_lsn);
		ckpx_row_lsn(&row, gaps[i].to_lsn);
		ckpx_row_text(&row, gaps[i].reason);
		ckpx_row_time(&row, gaps[i].detected_at);
		ckpx_put_row(&row);
	}
	return (Datum) 0;
}

Datum
ckpx_get_stat(PG_FUNCTION_ARGS)
{
	CkpxStat	stat;
	CkpxRow		row;

	ckpx_begin_rows(fcinfo, &row);
	copy_shared(&stat, &CkpxShared->stat, sizeof(stat));

	ckpx_row_int8(&row, stat.incrementals_done);
	ckpx_row_int8(&row, stat.globals_done);
	ckpx_row_int8(&row, stat.backups_done);
	ckpx_row_int8(&row, stat.segments_spilled);
	ckpx_row_int8(&row, stat.incrementals_removed);
	ckpx_row_int8(&row, stat.globals_removed);
	ckpx_row_int8(&row, stat.backups_removed);
	ckpx_row_int8(&row, stat.jobs_failed);
	ckpx_row_int8(&row, stat.commands_done);
	ckpx_row_int8(&row, stat.commands_failed);
	ckpx_row_int8(&row, stat.commands_overridden);
	ckpx_row_int8(&row, stat.caps_reached);
	ckpx_row_int8(&row, stat.pending_ms_total);
	ckpx_row_int8(&row, stat.pending_ms_max);
	ckpx_row_int8s(&row, stat.pending_histogram, CKPX_PENDING_BUCKETS);
	ckpx_row_int8(&row, stat.write_ms_total);
	ckpx_row_int8(&row, stat.wal_bytes_read);
	ckpx_row_int8(&row, stat.records_read);
	ckpx_row_int8(&row, stat.flush_passes);
	ckpx_row_int8(&row, stat.blocks_written);
	ckpx_row_int8(&row, stat.fsyncs);
	ckpx_row_int8(&row, stat.flush_ms);
	ckpx_row_int8(&row, stat.gaps);
	ckpx_row_time(&row, stat.stats_reset);
	ckpx_put_row(&row);
	return (Datum) 0;
}

Datum
ckpx_get_dirty_tables(PG_FUNCTION_ARGS)
{
	CkpxFlushRelation *relations;
	uint32		nrelations;
	bool		kept;
	int64		clock = (int64) ckpx_clock_ms();
	TimestampTz now = GetCurrentTimestamp();
	CkpxRow		row;

	ckpx_begin_rows(fcinfo, &row);
	relations = ckpx_sheet_read(&nrelations, &kept);
	for (uint32 i = 0; i < nrelations; i++)
	{
		const CkpxFlushRelation *relation = &relations[i];

		CHECK_FOR_INTERRUPTS();
		ckpx_row_oid(&row, relation->key.database);
		ckpx_row_oid(&row, relation->key.tablespace);
		ckpx_row_oid(&row, relation->key.relation);
		ckpx_row_relation(&row, &relation->key);
		ckpx_row_int8(&row, relation->dirty_blocks);
		ckpx_row_int8_if(&row, kept, relation->append_bytes);
		ckpx_row_int8_if(&row, kept, relation->delete_bytes);
		ckpx_row_time(&row, relation->deadline_ms == 0 ? 0 :
					  now + (relation->deadline_ms - clock) * 1000);
		ckpx_row_lsn(&row, relation->flushed_lsn);
		ckpx_row_bool(&row, relation->reason != CKPX_FLUSH_NONE);
		ckpx_row_text(&row, relation->reason == CKPX_FLUSH_NONE ? NULL :
					  ckpx_flush_reason_name(relation->reason));
		ckpx_row_text(&row, relation->last_error);
		ckpx_put_row(&row);
	}
	return (Datum) 0;
}

Datum
ckpx_get_flush_stat(PG_FUNCTION_ARGS)
{
	CkpxFlushCounters counters[CKPX_FLUSH_NREASONS];
	CkpxRow		row;

	ckpx_begin_rows(fcinfo, &row);
	copy_shared(counters, CkpxShared->flush->counters, sizeof(counters));

	for (int i = CKPX_FLUSH_NONE + 1; i < CKPX_FLUSH_NREASONS; i++)
	{
		ckpx_row_text(&row, ckpx_flush_reason_name((CkpxFlushReason) i));
		ckpx_row_int8(&row, counters[i].passes);
		ckpx_row_int8(&row, counters[i].failures);
		ckpx_row_int8(&row, counters[i].blocks_written);
		ckpx_row_int8(&row, counters[i].blocks_written * BLCKSZ);
		ckpx_row_int8(&row, counters[i].fsyncs);
		ckpx_row_int8(&row, counters[i].usec / 1000);
		ckpx_put_row(&row);
	}
	return (Datum) 0;
}

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
put_progress(CkpxRow *row, int pid, const char *job,
			 const char *phase, uint64 done, uint64 total,
			 TimestampTz started_at)
{
	ckpx_row_int4(row, pid);
	ckpx_row_text(row, job);
	ckpx_row_text(row, phase);
	ckpx_row_int8(row, done);
	ckpx_row_int8(row, total);
	ckpx_row_time(row, started_at);
	ckpx_put_row(row);
}

Datum
ckpx_get_progress(PG_FUNCTION_ARGS)
{
	CkpxJobProgress jobs[CKPX_NJOBS];
	CkpxCallProgress calls[CKPX_MAX_CALLS];
	CkpxFlushProgress flush;
	int			checkpointer;
	int			flusher;
	CkpxRow		row;

	ckpx_begin_rows(fcinfo, &row);
	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	memcpy(jobs, CkpxShared->jobs, sizeof(jobs));
	memcpy(calls, CkpxShared->calls, sizeof(calls));
	checkpointer = CkpxShared->workers[CKPX_WORKER_CHECKPOINTER].pid;
	flush = CkpxShared->flush->progress;
	flusher = CkpxShared->workers[CKPX_WORKER_FLUSHER].pid;
	LWLockRelease(CkpxShared->lock);

	for (int i = 0; i < CKPX_NJOBS && checkpointer != 0; i++)
	{
		if (jobs[i].started_at != 0)
			put_progress(&row, checkpointer, ckpx_job_name((CkpxJobKind) i),
						 ckpx_job_phase_name(jobs[i].phase), jobs[i].done,
						 jobs[i].total, jobs[i].started_at);
	}
	if (flusher != 0 && flush.phase != CKPX_FLUSH_PHASE_NONE)
		put_progress(&row, flusher,
					 psprintf("flush (%s)",
							  ckpx_flush_reason_name(flush.reason)),
					 flush_phase_name(flush.phase), flush.done, flush.total,
					 flush.started_at);
	for (int i = 0; i < CKPX_MAX_CALLS; i++)
	{
		const CkpxJobProgress *progress = &calls[i].progress;

		if (calls[i].pid != 0)
			put_progress(&row, calls[i].pid, ckpx_job_name(calls[i].job),
						 ckpx_job_phase_name(progress->phase), progress->done,
						 progress->total, progress->started_at);
	}
	return (Datum) 0;
}

static void
put_item(CkpxRow *row, const CkpxHistoryItem *item)
{
	bool		own = ckpx_history_is_own(item->kind);

	ckpx_row_text(row, own ? "ckpx" : "postgresql");
	ckpx_row_text(row, ckpx_history_kind_name(item->kind));
	ckpx_row_int8(row, item->timeline);
	ckpx_row_int8_if(row, own, item->epoch);
	ckpx_row_lsn(row, own ? item->start_lsn : InvalidXLogRecPtr);
	ckpx_row_lsn(row, own ? item->end_lsn : InvalidXLogRecPtr);
	ckpx_row_lsn(row, own ? InvalidXLogRecPtr : item->start_lsn);
	ckpx_row_lsn(row, own ? InvalidXLogRecPtr : item->end_lsn);
	ckpx_row_time(row, item->started_at);
	ckpx_row_time(row, item->seen_at);
	ckpx_row_int8_if(row, own, item->size_bytes);
	ckpx_put_row(row);
}

Datum
ckpx_get_history(PG_FUNCTION_ARGS)
{
	CkpxHistory *history;
	uint64		oldest;
	CkpxRow		row;

	ckpx_begin_rows(fcinfo, &row);
	history = palloc(sizeof(CkpxHistory));

	copy_shared(history, &CkpxShared->history, sizeof(CkpxHistory));

	/* the newest first */
	oldest = history->nseen - Min(history->nseen, CKPX_HISTORY_SIZE);
	for (uint64 i = history->nseen; i > oldest; i--)
	{
		CHECK_FOR_INTERRUPTS();
		put_item(&row, &history->items[(i - 1) % CKPX_HISTORY_SIZE]);
	}
	pfree(history);
	return (Datum) 0;
}
