/*-------------------------------------------------------------------------
 *
 * job.h
 *		What the jobs of the ckpx checkpointer share.
 *
 * A job runs between ckpx_job_begin() and ckpx_job_end(), and what may fail in
 * it within ckpx_job_run().  Jobs that make a checkpoint do not begin while
 * checkpoints are disabled, and none begins while the history is being loaded
 * or after ckpx_uninstall(): these wait until no job runs.
 *
 * A job that makes a checkpoint gathers, writes, publishes, and only then
 * finishes its entry, in that order.  Dying between any two of these leaves
 * either an object that no manifest names, or a manifest that knows more than
 * memory did, which the next start reads.
 *
 * Only the checkpointer calls these, but for what says otherwise.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_JOB_H
#define CKPX_JOB_H

#include "postgres.h"

#include "core/format/object_format.h"
#include "server/base/shared_state.h"

/* False: not now.  'checkpoint': this job makes a checkpoint entry. */
extern bool ckpx_job_begin(bool checkpoint);
extern void ckpx_job_end(void);

/*
 * Take the next request of a kind whose job can begin, and begin it; false
 * where there is none.
 */
extern bool ckpx_job_take(CkpxRequestKind kind, bool checkpoint,
						  CkpxRequest *request);

/*
 * Call work(arg) in the job that has begun, shown as 'activity' (NULL: as
 * before).  Returns NULL, or the error if the surroundings or a cancel caused
 * it (a full disk, a damaged object); any other error is raised.  After an
 * error all files of the process are closed and a sweep is due.
 */
typedef void (*CkpxJobWork) (void *arg);
extern ErrorData *ckpx_job_run(const char *activity, CkpxJobWork work,
							   void *arg);

/* Have 'forget' called after each error: its files are closed then. */
extern void ckpx_job_at_catch(void (*forget) (void));

/* Count a failed job in ckpx_stat. */
extern void ckpx_job_count_failure(void);

/*
 * A safe point: handles interrupts, and raises ERRCODE_QUERY_CANCELED when
 * ckpx_cancel_pending() or ckpx_uninstall() wants the job of 'entry' to end.
 * To be called where nothing is published yet.
 */
extern void ckpx_job_check(const CkpxEntry *entry);

/*
 * Is 'entry' (NULL: no) RUNNING, and has the time come to try it?  Then its
 * ticket is filled in, else *wait_ms is lowered to that time.  Caller holds
 * the lock.
 */
extern bool ckpx_job_is_due(const CkpxEntry *entry, CkpxEntryTicket *ticket,
							long *wait_ms);

/* Copy the entry that a ticket names, if it is there and RUNNING. */
extern bool ckpx_job_copy_running(const CkpxEntryTicket *ticket,
								  CkpxEntry *entry);

/*
 * Append the segments of a range to 'tree'.  They must cover it without a hole
 * and without reaching over its end.
 */
extern void ckpx_job_gather(CkpxDirtyTree *tree, const CkpxRange *range);

/*
 * Write 'tree' as the object of 'entry', in as many parts as needed, with the
 * marks that the logtail has of its range, and complete the entry's counts.
 * After an error a sweep removes what was written.  'what' names fault points,
 * see files.h.  The runner may call this too.
 */
extern void ckpx_job_write(CkpxEntry *entry, const CkpxDirtyTree *tree,
						   const CkpxOpenXact *open_xacts,
						   uint32 nopen_xacts, const char *what);

/*
 * Publish a copy of a RUNNING entry whose object is written: complete it, make
 * it FINISHED, and write a manifest that names it.
 */
extern void ckpx_job_publish(CkpxEntry *entry, uint64 started_ms,
							 int64 pending_ms);

/*
 * Finish the entry itself in memory as the published copy of it is, count it,
 * and tell all that wait for it.
 */
extern void ckpx_job_finish(const CkpxEntry *entry);

/*
 * Write the failure on the entry.  Logged when the text changes, so that a
 * disk that stays full says so once.
 */
extern void ckpx_job_note_failure(const CkpxEntryTicket *ticket,
								  CkpxPhase phase, const ErrorData *error);

#endif							/* CKPX_JOB_H */
