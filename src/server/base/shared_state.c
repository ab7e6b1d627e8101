/*-------------------------------------------------------------------------
 *
 * shared_state.c
 *		Set-up of the shared memory, and the small operations on it that every
 *		process uses.
 *
 * Everything lies in the main shared memory segment and has its final size
 * from the start, so nothing here can fail for want of memory once the
 * server runs.  After a crash the postmaster makes the segment anew: nothing
 * in it needs to survive.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "server/base/fault.h"
#include "server/base/options.h"
#include "server/base/shared_state.h"
#include "server/base/wait_event.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#define CKPX_PATIENCE_MS	UINT64CONST(300000)

CkpxSharedState *CkpxShared = NULL;

typedef struct CkpxQueueDescription
{
	const char *name;
	Size		ticket_size;
	CkpxWorkerId worker;
} CkpxQueueDescription;

static const CkpxQueueDescription queue_descriptions[CKPX_NQUEUES] = {
	[CKPX_QUEUE_DIRTY] =
	{"dirty", sizeof(CkpxDirtyTicket), CKPX_WORKER_FLUSHER},
	[CKPX_QUEUE_WAIT] = {"wait", 0, CKPX_WORKER_RUNNER},
	[CKPX_QUEUE_INCREMENTAL] = {"incremental", 0, CKPX_WORKER_CHECKPOINTER},
	[CKPX_QUEUE_GLOBAL] = {"global", 0, CKPX_WORKER_CHECKPOINTER},
	[CKPX_QUEUE_POST] = {"post", sizeof(CkpxEntryTicket), CKPX_WORKER_OBSERVER},
	[CKPX_QUEUE_GC] = {"gc", 0, CKPX_WORKER_CHECKPOINTER},
};

static uint32
queue_capacity(CkpxQueueId queue)
{
	switch (queue)
	{
		case CKPX_QUEUE_DIRTY:
			return ckpx_dirty_queue_size;
		case CKPX_QUEUE_WAIT:
			return ckpx_wait_queue_size;
		case CKPX_QUEUE_INCREMENTAL:
		case CKPX_QUEUE_GLOBAL:
			return ckpx_checkpoint_queue_size;
		case CKPX_QUEUE_POST:
			return CKPX_POST_QUEUE_SIZE;
		case CKPX_QUEUE_GC:
			return CKPX_GC_QUEUE_SIZE;
		case CKPX_NQUEUES:
			break;
	}
	pg_unreachable();
}

Size
ckpx_shared_state_size(void)
{
	return sizeof(CkpxSharedState);
}

void
ckpx_shared_state_init(void *place, bool found)
{
	LWLockPadded *locks;

	CkpxShared = place;
	if (found)
		return;
	locks = GetNamedLWLockTranche(CKPX_TRANCHE);
	memset(CkpxShared, 0, sizeof(CkpxSharedState));
	CkpxShared->lock = &locks[0].lock;
	CkpxShared->logtail_lock = &locks[1].lock;
	CkpxShared->xid_lock = &locks[2].lock;
	CkpxShared->dsa_tranche = locks[0].lock.tranche;
#ifdef USE_ASSERT_CHECKING
	ckpx_lock_tranche = locks[0].lock.tranche;
#endif
	ConditionVariableInit(&CkpxShared->progress);
	CkpxShared->stat.stats_reset = GetCurrentTimestamp();
}

static Size
queue_size(CkpxQueueId queue)
{
	return MAXALIGN(ckpx_ring_size(queue_capacity(queue),
								   queue_descriptions[queue].ticket_size));
}

Size
ckpx_queues_size(void)
{
	Size		size = 0;

	for (int i = 0; i < CKPX_NQUEUES; i++)
		size = add_size(size, queue_size(i));
	return size;
}

void
ckpx_queues_init(void *place, bool found)
{
	char	   *next = place;

	if (found)
		return;
	for (int i = 0; i < CKPX_NQUEUES; i++)
	{
		CkpxShared->queues[i] = (CkpxRing *) next;
		ckpx_ring_init(CkpxShared->queues[i], queue_capacity(i),
					   queue_descriptions[i].ticket_size);
		next += queue_size(i);
	}
}

Size
ckpx_entries_size(void)
{
	return ckpx_entry_store_size(ckpx_max_entries);
}

void
ckpx_entries_init(void *place, bool found)
{
	if (found)
		return;
	CkpxShared->store = place;
	ckpx_entry_store_init(CkpxShared->store, ckpx_max_entries);
}

Size
ckpx_xids_size(void)
{
	return sizeof(CkpxXidLsn);
}

void
ckpx_xids_init(void *place, bool found)
{
	if (found)
		return;
	CkpxShared->xid_lsn = place;
	ckpx_xid_lsn_reset(CkpxShared->xid_lsn, PG_UINT64_MAX);
}

Size
ckpx_waiting_xids_size(void)
{
	return mul_size(sizeof(TransactionId), MaxBackends);
}

void
ckpx_waiting_xids_init(void *place, bool found)
{
	if (found)
		return;
	CkpxShared->waiting_xids = place;
	memset(place, 0, ckpx_waiting_xids_size());
}

void
ckpx_require_preload(void)
{
	if (CkpxShared == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("ckpx must be loaded via \"shared_preload_libraries\""),
				 errhint(CKPX_PRELOAD_HINT)));
}

static void
report_uninstalled(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("ckpx was uninstalled"),
			 errhint(CKPX_UNINSTALLED_HINT)));
}

bool
ckpx_is_uninstalled(void)
{
	bool		uninstalled;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	uninstalled = CkpxShared->uninstalled;
	LWLockRelease(CkpxShared->lock);
	return uninstalled;
}

void
ckpx_require_installed(void)
{
	ckpx_require_preload();
	if (ckpx_is_uninstalled())
		report_uninstalled();
}

void
ckpx_wake_worker(CkpxWorkerId worker)
{
	Latch	   *latch;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	latch = CkpxShared->workers[worker].pid != 0 ?
		CkpxShared->workers[worker].latch : NULL;
	LWLockRelease(CkpxShared->lock);

	/*
	 * The worker may end in between.  Its latch lies in a PGPROC, which is
	 * never freed, so the worst that happens is that somebody else wakes up
	 * for nothing.
	 */
	if (latch != NULL)
		SetLatch(latch);
}

bool
ckpx_enqueue(CkpxQueueId queue, const void *ticket)
{
	bool		ok;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	ok = ckpx_ring_push(CkpxShared->queues[queue], ticket);
	LWLockRelease(CkpxShared->lock);

	if (ok)
		ckpx_wake_worker(queue_descriptions[queue].worker);
	return ok;
}

uint32
ckpx_dequeue(CkpxQueueId queue, void *tickets, uint32 max)
{
	TimestampTz now = GetCurrentTimestamp();
	uint32		n;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	n = ckpx_ring_take(CkpxShared->queues[queue], tickets, max, now);
	LWLockRelease(CkpxShared->lock);
	return n;
}

void
ckpx_dequeue_done(CkpxQueueId queue, uint32 count)
{
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	ckpx_ring_done(CkpxShared->queues[queue], count);
	LWLockRelease(CkpxShared->lock);
}

void
ckpx_suspect(const CkpxEntryTicket *entry)
{
	uint64		now = ckpx_clock_ms();
	bool		known = false;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	for (uint32 i = 0; i < CkpxShared->nsuspects; i++)
	{
		const CkpxEntryTicket *other = &CkpxShared->suspects[i].entry;

		known = known || (other->kind == entry->kind &&
						  other->epoch == entry->epoch &&
						  other->start_lsn == entry->start_lsn &&
						  other->end_lsn == entry->end_lsn);
	}
	if (!known && CkpxShared->nsuspects < CKPX_MAX_SUSPECTS)
	{
		CkpxSuspect *suspect = &CkpxShared->suspects[CkpxShared->nsuspects++];

		suspect->entry = *entry;
		suspect->since_ms = suspect->look_ms = now;
		suspect->looks = 0;
	}
	LWLockRelease(CkpxShared->lock);
	ckpx_wake_worker(CKPX_WORKER_CHECKPOINTER);
}

/*
 * Find the entry that 'ticket' names in the store; NULL where it is not there.
 * Caller holds 'lock'.
 */
CkpxEntry *
ckpx_ticket_entry(const CkpxEntryTicket *ticket)
{
	return ckpx_entry_store_find(CkpxShared->store, ticket->kind,
								 ticket->epoch, ticket->start_lsn,
								 ticket->end_lsn);
}

/* Find the entry of the store that 'copy' was taken from, likewise. */
CkpxEntry *
ckpx_shared_entry(const CkpxEntry *copy)
{
	CkpxEntryTicket ticket = ckpx_entry_ticket(copy);

	return ckpx_ticket_entry(&ticket);
}

uint64
ckpx_patience_ms(void)
{
	return CKPX_FAULT_VALUE_OF("object-patience", CKPX_PATIENCE_MS);
}

const char *
ckpx_queue_name(CkpxQueueId queue)
{
	return queue_descriptions[queue].name;
}

const char *
ckpx_worker_name(CkpxWorkerId worker)
{
	switch (worker)
	{
		case CKPX_WORKER_RUNNER:
			return "runner";
		case CKPX_WORKER_FLUSHER:
			return "flusher";
		case CKPX_WORKER_CHECKPOINTER:
			return "checkpointer";
		case CKPX_WORKER_OBSERVER:
			return "observer";
		case CKPX_NWORKERS:
			break;
	}
	return "unknown";
}

const char *
ckpx_worker_state_name(CkpxWorkerState state)
{
	switch (state)
	{
		case CKPX_WORKER_STOPPED:
			return "stopped";
		case CKPX_WORKER_STARTING:
			return "starting";
		case CKPX_WORKER_IDLE:
			return "idle";
		case CKPX_WORKER_BUSY:
			return "busy";
		case CKPX_WORKER_BACKING_OFF:
			return "backing off";
		case CKPX_WORKER_BLOCKED:
			return "blocked";
	}
	return "unknown";
}

void
ckpx_set_problem(const char *text)
{
	bool		changed;

	if (text == NULL)
		text = "";
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	changed = strncmp(CkpxShared->problem, text, CKPX_PROBLEM_MAX - 1) != 0;
	if (changed)
		strlcpy(CkpxShared->problem, text, CKPX_PROBLEM_MAX);
	LWLockRelease(CkpxShared->lock);

	if (!changed)
		return;
	ConditionVariableBroadcast(&CkpxShared->progress);
	if (text[0] != '\0')
		ereport(LOG,
				(errmsg("ckpx cannot go on: %s", text)));
	else
		ereport(LOG,
				(errmsg("ckpx goes on")));
}

static void
report_missing_worker(CkpxWorkerId worker, CkpxProblem *problem)
{
	snprintf(problem->text, sizeof(problem->text),
			 "\"max_worker_processes\" is %d, which leaves no room for the ckpx %s; it must be at least %d",
			 max_worker_processes, ckpx_worker_name(worker),
			 CkpxShared->worker_processes_needed);
	snprintf(problem->hint, sizeof(problem->hint),
			 "Set \"max_worker_processes\" to %d or more and restart the server.",
			 CkpxShared->worker_processes_needed);
}

bool
ckpx_find_problem(int workers, CkpxProblem *problem)
{
	const CkpxSharedState *shared = CkpxShared;

	Assert(LWLockHeldByMe(shared->lock));
	if (shared->problem[0] != '\0')
	{
		strlcpy(problem->text, shared->problem, sizeof(problem->text));
		strlcpy(problem->hint,
				"It goes on by itself once this is resolved.",
				sizeof(problem->hint));
		return true;
	}
	for (int i = 0; i < CKPX_NWORKERS; i++)
	{
		const CkpxWorkerStatus *worker = &shared->workers[i];

		if ((workers & (1 << i)) == 0)
			continue;
		if (!worker->registered)
		{
			report_missing_worker((CkpxWorkerId) i, problem);
			return true;
		}
		if (worker->failures > 1)
		{
			snprintf(problem->text, sizeof(problem->text),
					 "the ckpx %s has failed %u times in a row, the last time with: %s",
					 ckpx_worker_name((CkpxWorkerId) i), worker->failures,
					 worker->last_error);
			strlcpy(problem->hint,
					"See the server log and the view ckpx_workers.",
					sizeof(problem->hint));
			return true;
		}
	}
	return false;
}

/* Why there is no use in waiting. */
typedef struct WaitObstacle
{
	bool		uninstalled;
	bool		has_problem;
	CkpxProblem problem;
	char		last_error[CKPX_ERROR_TEXT_MAX];	/* of the worker */
} WaitObstacle;

/*
 * Find what ends a wait for 'worker', which had 'errors' when it began.
 * Caller holds the lock.
 */
static bool
find_obstacle(CkpxWorkerId worker, CkpxWaitMode mode, uint64 errors,
			  WaitObstacle *obstacle)
{
	const CkpxWorkerStatus *status = &CkpxShared->workers[worker];
	bool		ignored = mode == CKPX_WAIT_UNINSTALL ||
		(mode == CKPX_WAIT_DESPITE_PROBLEM && CkpxShared->booted);
	int			workers = 1 << worker;

	if (!ignored)
		workers |= 1 << CKPX_WORKER_RUNNER;
	obstacle->uninstalled = CkpxShared->uninstalled &&
		mode != CKPX_WAIT_UNINSTALL;
	obstacle->has_problem =
		!(CkpxShared->problem[0] != '\0' && ignored) &&
		ckpx_find_problem(workers, &obstacle->problem);
	strlcpy(obstacle->last_error, status->last_error, CKPX_ERROR_TEXT_MAX);
	return obstacle->uninstalled || obstacle->has_problem ||
		status->errors != errors;
}

static void
report_obstacle(CkpxWorkerId worker, const WaitObstacle *obstacle)
{
	if (obstacle->uninstalled)
		report_uninstalled();
	if (obstacle->has_problem)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("ckpx cannot go on: %s", obstacle->problem.text),
				 errhint("%s", obstacle->problem.hint)));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("ckpx %s failed", ckpx_worker_name(worker)),
			 errdetail("Its last error was: %s.", obstacle->last_error),
			 errhint("See the server log and the view ckpx_workers.")));
}

/*
 * Wait on 'progress' until 'reached' is true or the deadline has passed; false
 * then.  Every change is broadcast: the sleep has a limit only to guard
 * against a worker that dies without a word.
 */
bool
ckpx_wait_until(CkpxReached reached, void *arg, uint64 deadline,
				CkpxWorkerId worker, CkpxWaitMode mode)
{
	int			longest_ms = mode == CKPX_WAIT_FLUSH ?
		ckpx_force_flush_check_interval : 1000;
	uint64		errors = 0;
	bool		first = true;
	bool		done;

	ConditionVariablePrepareToSleep(&CkpxShared->progress);
	for (;;)
	{
		WaitObstacle obstacle;
		bool		obstructed;
		uint64		now;

		CHECK_FOR_INTERRUPTS();
		LWLockAcquire(CkpxShared->lock, LW_SHARED);
		if (first)
			errors = CkpxShared->workers[worker].errors;
		first = false;
		done = reached(arg);
		obstructed = !done && mode != CKPX_WAIT_FLUSH &&
			find_obstacle(worker, mode, errors, &obstacle);
		LWLockRelease(CkpxShared->lock);

		if (done)
			break;
		if (obstructed)
			report_obstacle(worker, &obstacle);
		now = ckpx_clock_ms();
		if (now >= deadline)
			break;
		(void)
			ConditionVariableTimedSleep(&CkpxShared->progress,
										(long) Min(deadline - now, longest_ms),
										ckpx_wait_event(CKPX_WAIT_PROGRESS));
	}
	ConditionVariableCancelSleep();
	return done;
}
