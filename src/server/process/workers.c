/*-------------------------------------------------------------------------
 *
 * workers.c
 *		The life of the four background workers.
 *
 * Runner, flusher and checkpointer are connected, to no database: they take
 * part in ProcSignal barriers, so that descriptors of dropped files are
 * closed, and must therefore handle interrupts in every loop.  The observer
 * runs commands of arbitrary length; it has shared memory only, so nobody
 * ever waits for it.
 *
 * The auxiliary resource owner is released in shmem_exit and again before
 * buffers are checked, so a pin or a file of a failed step never outlives
 * the process; an owner that we made ourselves would leak it.
 *
 * Invariant: a worker's pid is in shared memory exactly while the process can
 * be woken; its exit callback takes it out.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/bgworker_internals.h"
#include "postmaster/interrupt.h"
#include "server/base/fault.h"
#include "server/base/options.h"
#include "server/base/worker_status.h"
#include "server/process/checkpointer.h"
#include "server/process/flusher.h"
#include "server/process/observers.h"
#include "server/process/runner.h"
#include "server/process/workers.h"
#include "storage/condition_variable.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/smgr.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#define CKPX_RESTART_SECONDS	5
#define CKPX_MAX_BACKOFF_MS		60000
#define CKPX_GUARD_MS			1000

static CkpxWorkerId my_worker;

/* What came of the registration; only the postmaster knows. */
static bool is_registered[CKPX_NWORKERS];
static int	worker_processes_needed = 0;

/*
 * RegisterBackgroundWorker() only logs where max_worker_processes has no room,
 * so see whether the worker is in the list.
 */
static void
note_registration(CkpxWorkerId id, const char *name)
{
	CKPX_REGISTERED_ITER iter;
	int			nregistered = 0;

	CKPX_FOREACH_REGISTERED(iter)
	{
		nregistered++;
		if (strcmp(CKPX_REGISTERED_WORKER(iter)->bgw_name, name) == 0)
			is_registered[id] = true;
	}

	/* Those that follow need a place as well. */
	if (!is_registered[id])
		worker_processes_needed = Max(worker_processes_needed,
									  nregistered) + 1;
}

static void
register_worker(CkpxWorkerId id, const char *function, bool connected)
{
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS;
	if (connected)
		worker.bgw_flags |= BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_ConsistentState;
	worker.bgw_restart_time = CKPX_RESTART_SECONDS;
	strlcpy(worker.bgw_library_name, "ckpx", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, function,
			sizeof(worker.bgw_function_name));
	snprintf(worker.bgw_name, BGW_MAXLEN, "ckpx %s", ckpx_worker_name(id));
	snprintf(worker.bgw_type, BGW_MAXLEN, "ckpx %s", ckpx_worker_name(id));
	worker.bgw_main_arg = Int32GetDatum(id);
	RegisterBackgroundWorker(&worker);
	note_registration(id, worker.bgw_name);
}

void
ckpx_workers_register(void)
{
	register_worker(CKPX_WORKER_RUNNER, "ckpx_runner_main", true);
	register_worker(CKPX_WORKER_FLUSHER, "ckpx_flusher_main", true);
	register_worker(CKPX_WORKER_CHECKPOINTER, "ckpx_checkpointer_main", true);
	register_worker(CKPX_WORKER_OBSERVER, "ckpx_observer_main", false);
}

void
ckpx_workers_startup(void)
{
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < CKPX_NWORKERS; i++)
		CkpxShared->workers[i].registered = is_registered[i];
	CkpxShared->worker_processes_needed = worker_processes_needed;
	LWLockRelease(CkpxShared->lock);
}

/*
 * Take this process out of shared memory.  Waiters must learn that the worker
 * is gone, and that the job it may have been in is nobody's now: the runner
 * does not load the history while a job runs.
 */
static void
worker_exit(int code, Datum arg)
{
	CkpxWorkerStatus *status = &CkpxShared->workers[my_worker];

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	if (status->pid == MyProcPid)
	{
		status->pid = 0;
		status->latch = NULL;
		status->state = CKPX_WORKER_STOPPED;
		status->since = GetCurrentTimestamp();
		status->activity[0] = '\0';
		if (my_worker == CKPX_WORKER_CHECKPOINTER)
		{
			CkpxShared->job_running = false;
			memset(CkpxShared->jobs, 0, sizeof(CkpxShared->jobs));
		}
	}
	LWLockRelease(CkpxShared->lock);
	ConditionVariableBroadcast(&CkpxShared->progress);
}

static void
note_error(CkpxWorkerId worker, const char *message)
{
	CkpxWorkerStatus *status = &CkpxShared->workers[worker];
	TimestampTz now = GetCurrentTimestamp();

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	status->errors++;
	status->failures++;
	status->last_error_at = now;
	strlcpy(status->last_error, message, sizeof(status->last_error));
	LWLockRelease(CkpxShared->lock);
	ConditionVariableBroadcast(&CkpxShared->progress);
}

/*
 * If the processes before this one failed, wait before touching anything, but
 * for what 'guard' sees to.
 */
static void
worker_back_off(uint32 failures, void (*guard) (void))
{
	uint64		back_off_ms = 0;
	uint64		until;

	/* The postmaster has waited for five seconds already. */
	if (failures > 0)
		back_off_ms = Min(CKPX_MAX_BACKOFF_MS,
						  UINT64CONST(500) << Min(failures, 16));
	back_off_ms = CKPX_FAULT_VALUE_OF("worker-back-off", back_off_ms);
	if (back_off_ms == 0)
		return;

	until = ckpx_clock_ms() + back_off_ms;
	ckpx_worker_report(my_worker, CKPX_WORKER_BACKING_OFF, "");
	for (;;)
	{
		uint64		now = ckpx_clock_ms();

		if (now >= until)
			break;
		ckpx_worker_wait(Min((long) (until - now), CKPX_GUARD_MS));
		guard();
	}
}

static void
nothing_to_guard(void)
{
}

/*
 * Begin the process and put it into shared memory; returns how many processes
 * before it have failed in a row.
 */
static uint32
worker_begin(CkpxWorkerId worker, bool connected)
{
	CkpxWorkerStatus *status = &CkpxShared->workers[worker];
	uint32		failures;

	my_worker = worker;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGINT, SIG_IGN);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	if (connected)
	{
		BackgroundWorkerInitializeConnection(NULL, NULL, 0);
		CreateAuxProcessResourceOwner();
	}

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	status->pid = MyProcPid;
	status->latch = MyLatch;
	status->starts++;
	status->state = CKPX_WORKER_STARTING;
	status->since = GetCurrentTimestamp();
	failures = status->failures;
	LWLockRelease(CkpxShared->lock);
	before_shmem_exit(worker_exit, (Datum) 0);
	return failures;
}

/*
 * The loop of every worker.
 */
static void
worker_main(CkpxWorkerId worker, bool connected, long (*step) (void))
{
	sigjmp_buf	local_sigjmp_buf;
	MemoryContext context;
	uint32		failures = worker_begin(worker, connected);
	void		(*guard) (void) = worker == CKPX_WORKER_RUNNER ?
		ckpx_runner_guard : nothing_to_guard;

	context = AllocSetContextCreate(TopMemoryContext, "ckpx step",
									ALLOCSET_DEFAULT_SIZES);

	if (sigsetjmp(local_sigjmp_buf, 1) != 0)
	{
		ErrorData  *error;

		/* Since not using PG_TRY, must reset error stack by hand */
		error_context_stack = NULL;
		HOLD_INTERRUPTS();
		EmitErrorReport();
		error = ckpx_worker_catch(TopMemoryContext);
		if (worker == CKPX_WORKER_RUNNER)
			ckpx_runner_failed(error);
		note_error(worker, error->message ? error->message : "unknown error");
		proc_exit(1);
	}
	PG_exception_stack = &local_sigjmp_buf;

	guard();
	worker_back_off(failures, guard);
	ckpx_worker_report(worker, CKPX_WORKER_IDLE, "");

	for (;;)
	{
		long		wait_ms;

		ckpx_worker_interrupts();

		/* The runner has something to do before it ends like that. */
		if (worker != CKPX_WORKER_RUNNER && ckpx_is_uninstalled())
			proc_exit(0);

		/*
		 * No transaction ever ends here, so descriptors of files that were
		 * dropped must be let go by hand.
		 */
		if (connected)
		{
			AcceptInvalidationMessages();
			ckpx_smgr_forget_all();
		}

		(void) ckpx_worker_woken();
		MemoryContextSwitchTo(context);
		wait_ms = step();
		MemoryContextReset(context);

		if (wait_ms > 0 && !ckpx_worker_woken())
			ckpx_worker_wait(wait_ms);
	}
}

void
ckpx_runner_main(Datum arg)
{
	worker_main(CKPX_WORKER_RUNNER, true, ckpx_runner_step);
}

void
ckpx_flusher_main(Datum arg)
{
	worker_main(CKPX_WORKER_FLUSHER, true, ckpx_flusher_step);
}

void
ckpx_checkpointer_main(Datum arg)
{
	worker_main(CKPX_WORKER_CHECKPOINTER, true, ckpx_checkpointer_step);
}

void
ckpx_observer_main(Datum arg)
{
	worker_main(CKPX_WORKER_OBSERVER, false, ckpx_observer_step);
}
