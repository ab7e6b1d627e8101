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

/* Register all four with the postmaster; from _PG_init(). */
extern void ckpx_workers_register(void);

/*
 * Note in shared memory which of them max_worker_processes has room for; from
 * shmem_startup_hook.
 */
extern void ckpx_workers_startup(void);

/*
 * The loops.  The step of each, ckpx_runner_step() and so on, does what is to
 * be done now and returns in how many milliseconds it wants to be called
 * again, if nobody wakes it before.  The current memory context is reset after
 * each step.
 */
extern PGDLLEXPORT void ckpx_runner_main(Datum arg);
extern PGDLLEXPORT void ckpx_flusher_main(Datum arg);
extern PGDLLEXPORT void ckpx_checkpointer_main(Datum arg);
extern PGDLLEXPORT void ckpx_observer_main(Datum arg);

#endif							/* CKPX_WORKERS_H */
