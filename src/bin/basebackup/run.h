/*-------------------------------------------------------------------------
 *
 * run.h
 *		What all threads of one backup share: its phase, its end, its rate.
 *
 * The first failure counts, wherever it happens.  A function that failed has
 * called run_fail() and returns false or NULL; every loop that may last looks
 * at run_stopping().  Only the main thread prints the failure and exits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BASEBACKUP_RUN_H
#define CKPX_BASEBACKUP_RUN_H

#include "postgres_fe.h"

#include <pthread.h>

#include "common/logging.h"

/* Handle SIGINT and SIGTERM; all threads made later leave them to this one. */
extern void run_begin(void);

/* Name the phase for messages: "while ...". */
extern void run_phase(const char *phase);

extern void run_fail(const char *fmt,...) pg_attribute_printf(1, 2);

/* The same, with a detail and a hint; each may be NULL. */
extern void run_fail_with(const char *message, const char *detail,
						  const char *hint);

/* Did something fail, or was the program told to end? */
extern bool run_stopping(void);

/* Was it told to end? */
extern bool run_signaled(void);

/*
 * What failed, for the main thread; false if nothing did.  The strings may be
 * NULL but for the message.
 */
extern bool run_failure(const char **message, const char **detail,
						const char **hint, const char **phase);

/* Forget the failure of the main thread, which goes on in another way. */
extern void run_forget_failure(void);

/* A warning from any thread, not mixed with another one's. */
extern void run_warning(const char *fmt,...) pg_attribute_printf(1, 2);

/* Start a thread, in which signals are blocked. */
extern void run_thread(pthread_t *thread, void *(*function) (void *),
					   void *arg);

/* Milliseconds of a clock that nobody sets. */
extern int64 run_clock_ms(void);

/* Sleep until 'bytes' more fit into 'rate' bytes a second; 0: no limit. */
extern void run_throttle(uint64 rate, size_t bytes);

/* As pthread_cond_wait(), for at most so long; false if the time is over. */
extern bool run_wait(pthread_cond_t *cond, pthread_mutex_t *lock,
					 int timeout_ms);

#endif							/* CKPX_BASEBACKUP_RUN_H */
