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

#include <time.h>

#include "miscadmin.h"
#include "pgstat.h"
#include "server/base/fault.h"
#include "server/base/options.h"
#include "server/base/shared_state.h"
#include "server/flush/shared.h"
#include "server/logtail/logtail.h"
#include "server/process/uninstall.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#define CKPX_TRANCHE		"ckpx"
#define CKPX_NLOCKS			4
#define CKPX_PATIENCE_MS	UINT64CONST(300000)

CkpxSharedState *CkpxShared = NULL;

typedef struct CkpxQueueDescription
{
	const char *name;
	Size		ticket_size;
	CkpxWorkerId worker;
} CkpxQueueDescription;

static const CkpxQueueDescription queue_descriptions[CKPX_NQUEUES] = {
	[CKPX_QUEUE_DIRTY] = {"dirty", sizeof(CkpxDirtyTicket), CKPX_WORKER_FLUSHER},
	[CKPX_QUEUE_WAIT] = {"wait", sizeof(CkpxWaitTicket), CKPX_WORKER_RUNNER},
	[CKPX_QUEUE_INCREMENTAL] = {"incremental", sizeof(CkpxEntryTicket), CKPX_WORKER_CHECKPOINTER},
	[CKPX_QUEUE_GLOBAL] = {"global", sizeof(CkpxEntryTicket), CKPX_WORKER_CHECKPOINTER},
	[CKPX_QUEUE_POST] = {"post", sizeof(CkpxEntryTicket), CKPX_WORKER_OBSERVER},
	[CKPX_QUEUE_GC] = {"gc", sizeof(CkpxGcTicket), CKPX_WORKER_CHECKPOINTER},
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

static Size
queues_size(void)
{
	Size		size = 0;

	for (int i = 0; i < CKPX_NQUEUES; i++)
		size = add_size(size,
						MAXALIGN(ckpx_ring_size(queue_capacity(i),
												queue_descriptions[i].ticket_size)));
	return size;
}

/*
 * Ask for memory and locks.  Called from shmem_request_hook.
 */
void
ckpx_shared_state_request(void)
{
	RequestAddinShmemSpace(MAXALIGN(sizeof(CkpxSharedState)));
	RequestAddinShmemSpace(queues_size());
	RequestAddinShmemSpace(MAXALIGN(ckpx_entry_store_size(ckpx_max_entries)));
	RequestAddinShmemSpace(MAXALIGN(sizeof(CkpxXidLsn)));
	RequestAddinShmemSpace(MAXALIGN(ckpx_logtail_shmem_size()));
	RequestAddinShmemSpace(MAXALIGN(ckpx_fault_shmem_size()));
	RequestAddinShmemSpace(MAXALIGN(sizeof(CkpxFlushShared)));
	RequestAddinShmemSpace(MAXALIGN(sizeof(TransactionId) * MaxBackends));
	RequestNamedLWLockTranche(CKPX_TRANCHE, CKPX_NLOCKS);
}

/*
 * Find the shared memory, and fill it if this is the first process.  Called
 * from shmem_startup_hook.
 */
void
ckpx_shared_state_startup(void)
{
	CkpxSharedState *shared;
	char	   *queues;
	void	   *logtail;
	void	   *fault;
	CkpxEntryStore *store;
	CkpxXidLsn *xid_lsn;
	CkpxFlushShared *flush;
	TransactionId *waiting_xids;
	bool		found;
	bool		logtail_found;
	bool		fault_found;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);

	shared = ShmemInitStruct("ckpx", sizeof(CkpxSharedState), &found);
	queues = ShmemInitStruct("ckpx queues", queues_size(), &found);
	store = ShmemInitStruct("ckpx entries",
							ckpx_entry_store_size(ckpx_max_entries), &found);
	xid_lsn = ShmemInitStruct("ckpx xids", sizeof(CkpxXidLsn), &found);
	logtail = ShmemInitStruct("ckpx logtail", ckpx_logtail_shmem_size(),
							  &logtail_found);
	fault = ShmemInitStruct("ckpx faults", ckpx_fault_shmem_size(),
							&fault_found);
	flush = ShmemInitStruct("ckpx flush", sizeof(CkpxFlushShared), &found);
	waiting_xids = ShmemInitStruct("ckpx waiting xids",
								   sizeof(TransactionId) * MaxBackends,
								   &found);

	if (!found)
	{
		LWLockPadded *locks = GetNamedLWLockTranche(CKPX_TRANCHE);

		memset(shared, 0, sizeof(CkpxSharedState));
		shared->lock = &locks[0].lock;
		shared->logtail_lock = &locks[1].lock;
		shared->xid_lock = &locks[2].lock;
		shared->dsa_tranche = locks[0].lock.tranche;
		shared->logtail = logtail;
		shared->store = store;
		shared->xid_lsn = xid_lsn;
		shared->flush = flush;
		shared->waiting_xids = waiting_xids;
		memset(flush, 0, sizeof(CkpxFlushShared));
		memset(waiting_xids, 0, sizeof(TransactionId) * MaxBackends);
		ConditionVariableInit(&shared->progress);
		for (int i = 0; i < CKPX_NQUEUES; i++)
		{
			shared->queues[i] = (CkpxRing *) queues;
			ckpx_ring_init(shared->queues[i], queue_capacity(i),
						   queue_descriptions[i].ticket_size);
			queues += MAXALIGN(ckpx_ring_size(queue_capacity(i),
											  queue_descriptions[i].ticket_size));
		}
		ckpx_entry_store_init(store, ckpx_max_entries);
		ckpx_xid_lsn_reset(xid_lsn, PG_UINT64_MAX);
		shared->stat.stats_reset = GetCurrentTimestamp();

		/*
		 * After a crash of another process the workers that have ended for
		 * good do not come again, so what they knew must be known here.
		 */
		shared->uninstalled =
			ckpx_uninstall_is_marked(&shared->uninstall_done);
		shared->uninstall_done &= shared->uninstalled;
		if (shared->uninstalled)
			strlcpy(shared->problem, CKPX_UNINSTALLED_PROBLEM,
					CKPX_PROBLEM_MAX);
	}

	CkpxShared = shared;
	ckpx_logtail_shmem_init(logtail, logtail_found);
	ckpx_fault_shmem_init(fault, fault_found);

	LWLockRelease(AddinShmemInitLock);
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

void
ckpx_worker_report(CkpxWorkerId worker, CkpxWorkerState state,
				   const char *activity)
{
	CkpxWorkerStatus *status = &CkpxShared->workers[worker];
	TimestampTz now = GetCurrentTimestamp();

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	if (status->state != state)
		status->since = now;
	status->state = state;
	strlcpy(status->activity, activity, sizeof(status->activity));
	LWLockRelease(CkpxShared->lock);
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

/* Which of CkpxShared->problem ends a wait. */
typedef enum WaitMode
{
	WAIT_ANY_PROBLEM,
	WAIT_PROBLEM_BEFORE_BOOT,	/* only while the history is not loaded */
	WAIT_NO_PROBLEM
} WaitMode;

/*
 * Is there a problem that ends the wait?  The caller holds the lock.
 */
static bool
find_wait_problem(CkpxWorkerId worker, WaitMode mode, CkpxProblem *problem)
{
	bool		ignored = mode == WAIT_NO_PROBLEM ||
		(mode == WAIT_PROBLEM_BEFORE_BOOT && CkpxShared->booted);

	if (CkpxShared->problem[0] != '\0' && ignored)
		return false;
	return ckpx_find_problem((1 << worker) | (1 << CKPX_WORKER_RUNNER),
							 problem);
}

/*
 * The sleep has a limit only to guard against a worker that dies without a
 * word: every change is broadcast.
 */
static bool
wait_for(CkpxReached reached, void *arg, long timeout_ms,
		 CkpxWorkerId worker, WaitMode mode)
{
	uint64		deadline = ckpx_clock_ms() + (timeout_ms < 0 ? 0 : timeout_ms);
	uint64		errors_at_start = 0;
	bool		first = true;

	ConditionVariablePrepareToSleep(&CkpxShared->progress);
	for (;;)
	{
		CkpxWorkerStatus status;
		CkpxProblem problem;
		bool		has_problem;
		bool		done;
		bool		uninstalled;
		long		wait_ms = 1000;

		CHECK_FOR_INTERRUPTS();

		LWLockAcquire(CkpxShared->lock, LW_SHARED);
		done = reached(arg);
		uninstalled = CkpxShared->uninstalled;
		status = CkpxShared->workers[worker];
		has_problem = find_wait_problem(worker, mode, &problem);
		LWLockRelease(CkpxShared->lock);

		if (done)
			break;
		if (first)
			errors_at_start = status.errors;
		first = false;

		uninstalled = uninstalled && mode != WAIT_NO_PROBLEM;
		if (uninstalled || has_problem || status.errors != errors_at_start)
			ConditionVariableCancelSleep();
		if (uninstalled)
			report_uninstalled();
		if (has_problem)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("ckpx cannot go on: %s", problem.text),
					 errhint("%s", problem.hint)));
		if (status.errors != errors_at_start)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("ckpx %s failed", ckpx_worker_name(worker)),
					 errdetail("Its last error was: %s.", status.last_error),
					 errhint("See the server log and the view ckpx_workers.")));

		if (timeout_ms >= 0)
		{
			uint64		now = ckpx_clock_ms();

			if (now >= deadline)
			{
				ConditionVariableCancelSleep();
				return false;
			}
			wait_ms = Min(wait_ms, (long) (deadline - now));
		}
		(void) ConditionVariableTimedSleep(&CkpxShared->progress, wait_ms,
										   PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
	return true;
}

bool
ckpx_wait_until(CkpxReached reached, void *arg, long timeout_ms,
				CkpxWorkerId worker)
{
	return wait_for(reached, arg, timeout_ms, worker, WAIT_ANY_PROBLEM);
}

bool
ckpx_wait_despite_problem(CkpxReached reached, void *arg, long timeout_ms,
						  CkpxWorkerId worker)
{
	return wait_for(reached, arg, timeout_ms, worker,
					WAIT_PROBLEM_BEFORE_BOOT);
}

void
ckpx_wait_ignoring_problems(CkpxReached reached, void *arg)
{
	(void) wait_for(reached, arg, -1, CKPX_WORKER_RUNNER, WAIT_NO_PROBLEM);
}

uint64
ckpx_clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64) now.tv_sec * 1000 + now.tv_nsec / 1000000 + 1;
}

CkpxNow
ckpx_now(void)
{
	CkpxNow		now;

	now.time = GetCurrentTimestamp();
	now.clock_ms = ckpx_clock_ms();
	return now;
}
