/*-------------------------------------------------------------------------
 *
 * workers.h
 *		N threads that work off a list.
 *
 * A worker never ends the program: what fails is a problem in new memory,
 * whose text behind a newline, if there is one, is a hint.  The first problem
 * stops all of them, and so does a signal.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BIN_WORKERS_H
#define CKPX_BIN_WORKERS_H

#include "postgres_fe.h"

/* Does one item of the list; a problem or NULL. */
typedef char *(*WorkFunction) (void *arg, int item);

/* Let SIGINT, SIGTERM and SIGHUP set the flag that workers_stopped() reads. */
extern void workers_catch_signals(void);

/* Is the work to end: a signal came, or another worker has failed? */
extern bool workers_stopped(void);

/*
 * Do items 0 to nitems - 1 with so many threads; the first problem, or NULL.
 * Returns when no thread is at work any more.
 */
extern char *workers_run(int nworkers, int nitems, WorkFunction work,
						 void *arg);

/* Count bytes as done; with 'total' they are shown once a second. */
extern void progress_begin(bool show, uint64 total);
extern void progress_add(uint64 bytes);
extern void progress_end(void);

#endif							/* CKPX_BIN_WORKERS_H */
