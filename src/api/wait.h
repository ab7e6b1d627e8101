/*-------------------------------------------------------------------------
 *
 * wait.h
 *		What the SQL-callable functions wait for.
 *
 * Everything here is built on ckpx_wait_until(), see shared_state.h: it may
 * raise errors, can be canceled, and is called without a lock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_WAIT_H
#define CKPX_WAIT_H

#include "postgres.h"

#include "server/base/shared_state.h"

/*
 * Ask the runner to collect at least up to 'target', and wait for it; _until
 * returns false when the deadline has passed first.
 */
extern void ckpx_request_collect(XLogRecPtr target);
extern void ckpx_wait_for_collect(XLogRecPtr target);
extern bool ckpx_wait_for_collect_until(XLogRecPtr target, uint64 deadline);

/*
 * Take CkpxShared->lock when the history is loaded: while the runner starts
 * anew, the store may be empty or half filled.  _until raises an error, 55000,
 * when the deadline has passed first.
 */
extern void ckpx_lock_history(LWLockMode mode);
extern void ckpx_lock_history_until(LWLockMode mode, uint64 deadline);

/*
 * For what shows the history to people: wait until it is loaded, or there is a
 * reason why it cannot be.
 */
extern void ckpx_wait_for_view(void);

/*
 * ckpx_wait_until() for what a finished checkpoint brings.  No entry waits
 * meanwhile for the caller's own transaction to end.
 */
extern bool ckpx_wait_for_entry(CkpxReached reached, void *arg,
								uint64 deadline);

/*
 * A manifest that is to hold a change of shared memory: _request asks for it,
 * while the lock is held under which the change was made; _wait_for returns
 * when it is durable, and raises an error where it cannot be written.
 */
typedef struct CkpxPublishWait
{
	uint64		wanted;			/* publish_done is to reach this */
	uint64		failures;		/* as they were before */
	bool		failed;			/* found */
	char		error[CKPX_ERROR_TEXT_MAX];
} CkpxPublishWait;

extern void ckpx_request_publish(CkpxPublishWait *wait);
extern void ckpx_wait_for_publish(CkpxPublishWait *wait);

/* Raise 55000: a new epoch began while one of the old was waited for. */
extern void ckpx_report_broken(void);

#endif							/* CKPX_WAIT_H */
