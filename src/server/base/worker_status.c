/*-------------------------------------------------------------------------
 *
 * worker_status.c
 *		What a background worker's code calls wherever it is: its row in shared
 *		memory, its waits, and what follows an error that it has caught.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "server/base/wait_event.h"
#include "server/base/worker_status.h"
#include "storage/condition_variable.h"
#include "storage/fd.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

/*
 * The latch was set while a step waited for something of its own, and the step
 * may have looked before at what it was set for.
 */
static bool woken = false;

static void (*release_at_catch) (void) = NULL;

/*
 * Set state and activity in the worker's row.  Takes 'lock' exclusively.
 */
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

/*
 * Set the last error in the worker's row without counting a failure.  Takes
 * 'lock' exclusively.
 */
void
ckpx_worker_note(CkpxWorkerId worker, const char *message)
{
	CkpxWorkerStatus *status = &CkpxShared->workers[worker];
	TimestampTz now = GetCurrentTimestamp();

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	status->last_error_at = now;
	strlcpy(status->last_error, message, sizeof(status->last_error));
	LWLockRelease(CkpxShared->lock);
}

/*
 * Forget the failures in a row, which set the back-off of the next process.
 */
void
ckpx_worker_healthy(CkpxWorkerId worker)
{
	CkpxWorkerStatus *status = &CkpxShared->workers[worker];

	if (status->failures == 0)
		return;
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	status->failures = 0;
	LWLockRelease(CkpxShared->lock);
}

/*
 * Take interrupts, and read the settings anew after SIGHUP.
 */
void
ckpx_worker_interrupts(void)
{
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

/*
 * Wait for the latch, at most 'timeout_ms'.
 */
void
ckpx_worker_wait(long timeout_ms)
{
	int			events;

	events = WaitLatch(MyLatch,
					   WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					   timeout_ms, ckpx_wait_event(CKPX_WAIT_WORKER_IDLE));
	if (events & WL_LATCH_SET)
		woken = true;
	ResetLatch(MyLatch);
	ckpx_worker_interrupts();
}

/*
 * Has the latch ended a wait since the last call?
 */
bool
ckpx_worker_woken(void)
{
	bool		result = woken;

	woken = false;
	return result;
}

/*
 * Have 'release' called by every ckpx_worker_catch() of this process.
 */
void
ckpx_worker_at_catch(void (*release) (void))
{
	Assert(release_at_catch == NULL || release_at_catch == release);
	release_at_catch = release;
}

/*
 * Clean up after an error as an aborted transaction would, and return a copy
 * of it in 'context', which becomes the current one.
 */
ErrorData *
ckpx_worker_catch(MemoryContext context)
{
	ErrorData  *error;

	HOLD_INTERRUPTS();
	LWLockReleaseAll();
	ConditionVariableCancelSleep();
	pgstat_report_wait_end();
	ckpx_abort_buffer_io();
	if (AuxProcessResourceOwner != NULL)
		ReleaseAuxProcessResources(false);
	AtEOXact_Files(false);
	if (release_at_catch != NULL)
		release_at_catch();
	RESUME_INTERRUPTS();

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	return error;
}

/*
 * Is this an error of the surroundings, so that trying again makes sense?
 */
bool
ckpx_error_is_external(const ErrorData *error)
{
	int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	return category == ERRCODE_INSUFFICIENT_RESOURCES ||
		category == ERRCODE_SYSTEM_ERROR ||
		category == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE ||
		error->sqlerrcode == ERRCODE_DATA_CORRUPTED ||
	/* files: permission denied, a read-only disk; not a directory */
		error->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE ||
		error->sqlerrcode == ERRCODE_WRONG_OBJECT_TYPE;
}
