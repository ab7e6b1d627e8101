/*-------------------------------------------------------------------------
 *
 * worker_status.h
 *		What a background worker's code calls wherever it is: its row in shared
 *		memory, its waits, and what follows an error that it has caught.
 *
 * The processes themselves are in process/workers.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_WORKER_STATUS_H
#define CKPX_WORKER_STATUS_H

#include "postgres.h"

#include "server/base/shared_state.h"

/* Show in the worker's row what it does. */
extern void ckpx_worker_report(CkpxWorkerId worker, CkpxWorkerState state,
							   const char *activity);

/*
 * Show an error of a job in the worker's row.  It is no failure of the
 * worker: no wait ends with it.
 */
extern void ckpx_worker_note(CkpxWorkerId worker, const char *message);

/* In a step that goes well: the worker is healthy, start its back-off anew. */
extern void ckpx_worker_healthy(CkpxWorkerId worker);

/* Handle everything that others want from this worker. */
extern void ckpx_worker_interrupts(void);

/*
 * Wait for the latch, at most 'timeout_ms', and handle interrupts.  Where a
 * step does so and the latch is set, the next step follows at once.
 */
extern void ckpx_worker_wait(long timeout_ms);

/* Has the latch ended a ckpx_worker_wait() since this was last called? */
extern bool ckpx_worker_woken(void);

/*
 * Clean up after an error that was caught inside a step (locks, waits, pins,
 * files) and return the error, from the given memory context.
 */
extern ErrorData *ckpx_worker_catch(MemoryContext context);

/* The function by which the logtail then gives up what it has pinned. */
extern void ckpx_worker_at_catch(void (*release) (void));

/* Is this an error of the surroundings, so that trying again makes sense? */
extern bool ckpx_error_is_external(const ErrorData *error);

#endif							/* CKPX_WORKER_STATUS_H */
