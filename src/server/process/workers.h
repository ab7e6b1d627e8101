/*-------------------------------------------------------------------------
 *
 * workers.h
 *		The life of the four background workers.
 *
 * A worker is a loop: take interrupts, do one step, wait for its latch.  A
 * step that raises an error ends the process with exit code 1; the postmaster
 * starts it again after five seconds, and it waits longer, up to a minute,
 * if it failed several times in a row.  That is the only way in which a
 * worker recovers, so starting anew must always lead to a good state.
 *
 * SIGTERM ends a worker, SIGHUP reloads its settings, SIGINT means nothing to
 * it: there is no query of which pg_cancel_backend() could speak.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_WORKERS_H
#define CKPX_WORKERS_H

#include "postgres.h"

#include "server/base/shared_state.h"

/* Register all four with the postmaster; from _PG_init(). */
extern void ckpx_workers_register(void);

/*
 * Note in shared memory which of them max_worker_processes has room for; from
 * shmem_startup_hook.
 */
extern void ckpx_workers_startup(void);

/*
 * The steps.  Each does what is to be done now and returns in how many
 * milliseconds it wants to be called again, if nobody wakes it before.  The
 * current memory context is reset after each step.
 */
extern long ckpx_runner_step(void);
extern long ckpx_checkpointer_step(void);
extern long ckpx_flusher_step(void);
extern long ckpx_observer_step(void);

/*
 * What the runner has to see to also while it cannot do a step: at the start
 * of its process, and each second while it waits after failures.  And what it
 * notes of the error that ends its process.
 */
extern void ckpx_runner_guard(void);
extern void ckpx_runner_failed(const ErrorData *error);

/* In a step that goes well: the worker is healthy, start its back-off anew. */
extern void ckpx_worker_healthy(CkpxWorkerId worker);

/* Handle everything that others want from this worker. */
extern void ckpx_worker_interrupts(void);

/*
 * Wait for the latch, at most 'timeout_ms', and handle interrupts.  Where a
 * step does so and the latch is set, the next step follows at once.
 */
extern void ckpx_worker_wait(long timeout_ms);

/*
 * Show an error of a job in the worker's row.  It is no failure of the
 * worker: nobody's waiting ends with it.
 */
extern void ckpx_worker_note(CkpxWorkerId worker, const char *message);

/*
 * Clean up after an error that was caught inside a step (locks, waits, pins,
 * files) and return the error, from the current memory context.
 */
extern ErrorData *ckpx_worker_catch(MemoryContext context);

/* Is this an error of the surroundings, so that trying again makes sense? */
extern bool ckpx_error_is_external(const ErrorData *error);

extern PGDLLEXPORT void ckpx_runner_main(Datum arg);
extern PGDLLEXPORT void ckpx_flusher_main(Datum arg);
extern PGDLLEXPORT void ckpx_checkpointer_main(Datum arg);
extern PGDLLEXPORT void ckpx_observer_main(Datum arg);

#endif							/* CKPX_WORKERS_H */
