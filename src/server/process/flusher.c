/*-------------------------------------------------------------------------
 *
 * flusher.c
 *		The step of the ckpx flusher.
 *
 * One step serves one batch of the dirty queue, what was asked for first,
 * then one range, then what policy wants; so a range that somebody waits for
 * and relations that somebody waits for take turns, and policy waits for
 * both: it leaves off in the middle when one of them comes.
 *
 * Errors of the surroundings are written where they belong (on the request,
 * on the range, on the relation) and tried again by the asker, after a
 * pause.  Any other error ends the process.  A ticket that dies with it is
 * put in again by the backend that waits, or found anew by the next tick.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "server/base/options.h"
#include "server/base/worker_status.h"
#include "server/flush/cycle.h"
#include "server/flush/durable.h"
#include "server/flush/pass.h"
#include "server/flush/shared.h"
#include "server/flush/sheet.h"
#include "server/flush/writeback.h"
#include "server/process/flusher.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define IDLE_WAIT_MS		1000
#define NOTHING_WAIT_MS		60000	/* whatever comes wakes the flusher */
#define LATE_TICK_MS		1000

static uint64 last_tick_ms = 0;
static uint64 next_tick_ms = 0;
static bool started = false;

/* Begin and end of a pass, for the view and the counters. */
static void
begin_pass(CkpxFlushReason reason, instr_time *start)
{
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	CkpxShared->flush->progress.started_at = GetCurrentTimestamp();
	LWLockRelease(CkpxShared->lock);
	ckpx_worker_report(CKPX_WORKER_FLUSHER, CKPX_WORKER_BUSY,
					   ckpx_flush_reason_name(reason));
	INSTR_TIME_SET_CURRENT(*start);
}

static void
end_pass(CkpxFlushReason reason, const instr_time *start,
		 const CkpxPassResult *result, bool failed)
{
	CkpxFlushShared *flush = CkpxShared->flush;
	CkpxFlushCounters *counters = &flush->counters[reason];
	instr_time	elapsed;

	INSTR_TIME_SET_CURRENT(elapsed);
	INSTR_TIME_SUBTRACT(elapsed, *start);

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	flush->progress.phase = CKPX_FLUSH_PHASE_NONE;
	counters->passes++;
	counters->blocks_written += result->blocks_written;
	counters->fsyncs += result->fsyncs;
	counters->usec += INSTR_TIME_GET_MICROSEC(elapsed);
	if (failed)
		counters->failures++;
	CkpxShared->stat.flush_passes++;
	CkpxShared->stat.blocks_written += result->blocks_written;
	CkpxShared->stat.fsyncs += result->fsyncs;
	CkpxShared->stat.flush_ms += INSTR_TIME_GET_MILLISEC(elapsed);
	LWLockRelease(CkpxShared->lock);
}

/*
 * Ranges
 */

/*
 * Serve the runner's request, if there is one.
 */
static bool
serve_range(void)
{
	MemoryContext context = CurrentMemoryContext;
	CkpxDurableRange *range = palloc(sizeof(CkpxDurableRange));
	CkpxPassResult result = {0};
	instr_time	start_time;
	volatile bool failed = false;

	if (!ckpx_durable_take(range))
		return false;

	begin_pass(CKPX_FLUSH_CHECKPOINT, &start_time);
	PG_TRY();
	{
		bool		proven = ckpx_pass_range(range->start, range->upto,
											 range->builds, range->nbuilds,
											 &result);

		ckpx_durable_done(range->upto, proven);
	}
	PG_CATCH();
	{
		ErrorData  *error = ckpx_worker_catch(context);

		end_pass(CKPX_FLUSH_CHECKPOINT, &start_time, &result, true);
		ckpx_durable_failed(range->upto, error->message);
		ConditionVariableBroadcast(&CkpxShared->progress);
		if (!ckpx_error_is_external(error))
			ReThrowError(error);
		failed = true;
	}
	PG_END_TRY();

	if (!failed)
		end_pass(CKPX_FLUSH_CHECKPOINT, &start_time, &result, false);
	ConditionVariableBroadcast(&CkpxShared->progress);
	ckpx_wake_worker(CKPX_WORKER_RUNNER);
	return true;
}

/*
 * Tickets
 */

static CkpxRelKey
ticket_key(const CkpxDirtyTicket *ticket)
{
	CkpxRelKey	key = {ticket->tablespace, ticket->database,
	ticket->relation, MAIN_FORKNUM};

	return key;
}

/* Tell the backend that waits for a ticket what came of it. */
static void
answer(const CkpxDirtyTicket *ticket, bool missing, uint64 blocks_written,
	   const char *error)
{
	CkpxFlushSlot *slot;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	slot = ckpx_flush_slot(ticket->request);
	if (slot != NULL)
	{
		slot->blocks_written += blocks_written;
		if (error != NULL)
		{
			slot->nfailed++;
			strlcpy(slot->error, error, CKPX_ERROR_TEXT_MAX);
		}
		else
		{
			slot->ndone++;
			if (missing)
				slot->nmissing++;
		}
	}
	LWLockRelease(CkpxShared->lock);
}

/*
 * Answer all tickets of one reason with an error.
 */
static void
fail_tickets(const CkpxDirtyTicket *tickets, uint32 ntickets,
			 CkpxFlushReason reason, const char *message)
{
	for (uint32 i = 0; i < ntickets; i++)
	{
		if (tickets[i].reason == reason)
			answer(&tickets[i], false, 0, message);
	}
	ConditionVariableBroadcast(&CkpxShared->progress);
}

/*
 * A pass over relations, durable up to 'upto', or, Invalid, by policy.
 */
static void
pass_over(const CkpxRelKey *keys, uint32 nkeys, CkpxFlushReason reason,
		  XLogRecPtr upto, bool *missing, uint64 *written,
		  CkpxPassResult *result)
{
	XLogRecPtr	redo;
	int64		window_ms;
	bool		late;

	if (upto != InvalidXLogRecPtr)
	{
		ckpx_pass_relations(keys, nkeys, upto, reason, missing, written,
							result);
		return;
	}
	late = ckpx_cycle_is_late(&redo, &window_ms);
	ckpx_pass_policy(keys, nkeys, reason, late, late ? window_ms : 0, redo,
					 result);
}

/*
 * Serve tickets of one reason together.
 */
static void
serve_tickets(const CkpxDirtyTicket *tickets, uint32 ntickets,
			  CkpxFlushReason reason)
{
	MemoryContext context = CurrentMemoryContext;
	CkpxRelKey	keys[CKPX_QUEUE_BATCH];
	bool		missing[CKPX_QUEUE_BATCH];
	uint64		written[CKPX_QUEUE_BATCH];
	CkpxPassResult result = {0};
	instr_time	start_time;
	volatile XLogRecPtr upto = InvalidXLogRecPtr;
	volatile bool failed = false;
	volatile uint32 nkeys = 0;

	for (uint32 i = 0; i < ntickets; i++)
	{
		if (tickets[i].reason != reason)
			continue;
		keys[nkeys++] = ticket_key(&tickets[i]);
		upto = Max(upto, tickets[i].upto);
	}
	if (nkeys == 0)
		return;
	nkeys = ckpx_sort_keys(keys, nkeys);

	begin_pass(reason, &start_time);
	PG_TRY();
	{
		pass_over(keys, nkeys, reason, upto, missing, written, &result);
	}
	PG_CATCH();
	{
		ErrorData  *error = ckpx_worker_catch(context);

		failed = true;
		end_pass(reason, &start_time, &result, true);
		for (uint32 i = 0; i < nkeys; i++)
			ckpx_sheet_failed(&keys[i], upto, error->message);
		fail_tickets(tickets, ntickets, reason, error->message);
		if (!ckpx_error_is_external(error))
			ReThrowError(error);
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg_plural("ckpx could not flush %u relation: %s",
							   "ckpx could not flush %u relations: %s",
							   nkeys, nkeys, error->message)));
	}
	PG_END_TRY();
	if (failed)
		return;

	end_pass(reason, &start_time, &result, false);
	if (upto == InvalidXLogRecPtr)
		return;
	for (uint32 i = 0; i < nkeys; i++)
	{
		if (!missing[i])
			ckpx_sheet_flushed(&keys[i], upto);
	}
	for (uint32 i = 0; i < ntickets; i++)
	{
		CkpxRelKey	key = ticket_key(&tickets[i]);
		uint32		k;

		if (tickets[i].reason != reason)
			continue;
		k = ckpx_find_key(keys, nkeys, &key) - keys;
		answer(&tickets[i], missing[k], written[k], NULL);
	}
	ConditionVariableBroadcast(&CkpxShared->progress);
}

/*
 * Flush-ahead: look at the buffers at each tick, when nothing else is to be
 * done.  The end of a checkpoint cycle is short: look every second whether it
 * has come, and do not wait for the tick then.  Returns in how many ms to come
 * again; 0: something was done.
 */
static long
flush_ahead(bool idle)
{
	uint64		now = ckpx_clock_ms();
	XLogRecPtr	redo;
	int64		window_ms;

	if (ckpx_flush_mode != CKPX_FLUSH_MODE_ON)
	{
		ckpx_sheet_close();
		return NOTHING_WAIT_MS;
	}
	if (ckpx_cycle_is_late(&redo, &window_ms))
		next_tick_ms = Min(next_tick_ms, last_tick_ms + LATE_TICK_MS);
	if (idle && now >= next_tick_ms)
	{
		last_tick_ms = now;
		next_tick_ms = now + ckpx_collect_interval;
		ckpx_sheet_update();
		return 0;
	}
	return (long) Min(next_tick_ms > now ? next_tick_ms - now : 1,
					  IDLE_WAIT_MS);
}

long
ckpx_flusher_step(void)
{
	CkpxDirtyTicket tickets[CKPX_QUEUE_BATCH];
	uint32		ntickets;
	long		wait_ms;
	bool		booted;
	bool		busy;

	if (!started)
	{
		/* The process before this one may have died in a pass. */
		ckpx_flush_progress(CKPX_FLUSH_PHASE_NONE, CKPX_FLUSH_NONE, 0, 0);
		ckpx_dequeue_done(CKPX_QUEUE_DIRTY, 0);
		started = true;
	}

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	booted = CkpxShared->booted;
	LWLockRelease(CkpxShared->lock);

	if (booted)
		ckpx_writeback_step();
	ntickets = ckpx_dequeue(CKPX_QUEUE_DIRTY, tickets, CKPX_QUEUE_BATCH);
	serve_tickets(tickets, ntickets, CKPX_FLUSH_FORCED);
	busy = booted && serve_range();
	for (int reason = CKPX_FLUSH_DEADLINE; reason < CKPX_FLUSH_CHECKPOINT;
		 reason++)
		serve_tickets(tickets, ntickets, (CkpxFlushReason) reason);
	ckpx_dequeue_done(CKPX_QUEUE_DIRTY, ntickets);

	wait_ms = flush_ahead(booted && ntickets == 0);
	ckpx_worker_report(CKPX_WORKER_FLUSHER, CKPX_WORKER_IDLE, "");
	ckpx_worker_healthy(CKPX_WORKER_FLUSHER);
	return busy || ntickets > 0 ? 0 : wait_ms;
}
