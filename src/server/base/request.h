/*-------------------------------------------------------------------------
 *
 * request.h
 *		What a backend wants from the checkpointer, and how it gets the
 *		answer.
 *
 *	1. backend: takes a free slot, fills in the question, WAITING, wakes the
 *	   checkpointer and sleeps on 'progress'.
 *	2. checkpointer: finds a WAITING request of the kind it serves, copies it,
 *	   RUNNING; does the work.
 *	3. checkpointer: writes the answer, DONE or FAILED, if the slot still holds
 *	   that request; broadcasts.
 *	4. backend: copies the answer, frees the slot.
 *
 * A backend that gives up (cancel, error, exit) frees its slot at any time;
 * the id tells the checkpointer that the answer has no reader.  A
 * checkpointer that starts anew sets what was RUNNING back to WAITING, and so
 * does one that cannot begin because the runner is loading the history.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_REQUEST_H
#define CKPX_REQUEST_H

#include "postgres.h"

#include "server/base/shared_state.h"

/*
 * Backend: ask, wait, and return the answer in *request, which holds kind and
 * question.  A failure is raised as an error with its own SQLSTATE; 53400
 * when all slots are taken.
 */
extern void ckpx_request(CkpxRequest *request);

/* Checkpointer: the oldest WAITING request of a kind; false: there is none. */
extern bool ckpx_request_take(CkpxRequestKind kind, CkpxRequest *request);

/*
 * Checkpointer: the job for 'request' could not begin ('checkpoint' as in
 * ckpx_job_begin()).  True: it is WAITING again, for the history to be loaded.
 * False: it FAILED for good, since ckpx is disabled or uninstalled.
 */
extern bool ckpx_request_put_back(const CkpxRequest *request, bool checkpoint);

/* Checkpointer: answer, with a failure unless 'error' is NULL. */
extern void ckpx_request_answer(CkpxRequest *request, const ErrorData *error);

/* Checkpointer, at its start: take up what a process before it left. */
extern void ckpx_request_recover(void);

#endif							/* CKPX_REQUEST_H */
