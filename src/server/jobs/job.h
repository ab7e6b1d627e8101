/*-------------------------------------------------------------------------
 *
 * job.h
 *		What the jobs of the ckpx checkpointer share.
 *
 * A job runs between ckpx_job_begin() and ckpx_job_end().  Jobs that make a
 * checkpoint do not begin while checkpoints are disabled, and none begins
 * while the history is being loaded or after ckpx_uninstall().  Who disables
 * checkpoints or loads history waits until no job runs.
 *
 * Only the checkpointer calls these, but for what says otherwise.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_JOB_H
#define CKPX_JOB_H

#include "postgres.h"

#include "core/map/dirty_tree.h"
#include "server/base/shared_state.h"
#include "server/logtail/logtail.h"

/* Bytes of a section of an object before it is compressed, about. */
#define CKPX_SECTION_BYTES		(64 * 1024)

/* False: not now.  'checkpoint': this job makes a checkpoint entry. */
extern bool ckpx_job_begin(bool checkpoint);
extern void ckpx_job_end(void);

/*
 * A safe point: handles interrupts, and raises ERRCODE_QUERY_CANCELED when
 * ckpx_cancel_pending() or ckpx_uninstall() wants the job of 'entry' to end.
 * To be called where nothing is published yet.
 */
extern void ckpx_job_check(const CkpxEntry *entry);

/*
 * Append the segments of [start_lsn, end_lsn) to 'tree'.  They must cover the
 * range without a hole and without reaching over its end.
 */
extern void ckpx_job_gather(CkpxDirtyTree *tree, XLogRecPtr start_lsn,
							XLogRecPtr end_lsn, uint32 epoch);

/*
 * Write 'tree' as the object of 'entry', in as many parts as needed, and
 * complete the entry's counts.  On error no file is left behind.  'what'
 * names fault points, see files.h.
 */
extern void ckpx_job_write(CkpxEntry *entry, const CkpxDirtyTree *tree,
						   const char *what, const CkpxOpenXact *open_xacts,
						   uint32 nopen_xacts);

/*
 * jobs/gc.c: serve the gc queue and the requests of ckpx_gc(), and do what is
 * due by time or by the caps.  *wait_ms is lowered to when it wants to be
 * called again.
 */
extern void ckpx_gc_step(long *wait_ms);

/*
 * jobs/incremental.c: serve the incremental queue: write the incremental whose
 * time to be tried has come.  *wait_ms is lowered to when the next one's
 * comes.
 */
extern void ckpx_incremental_step(long *wait_ms);

/*
 * jobs/spill.c: write the segments that end at or before 'upto' to disk, as
 * the runner wants it.  Whatever happens, the request ends.
 */
extern void ckpx_spill_step(XLogRecPtr upto);

/*
 * jobs/damage.c: look at an object that could not be read, if one is due, and
 * take what is lost out of the history.  *wait_ms is lowered to when the next
 * one is due.
 */
extern void ckpx_damage_step(long *wait_ms);

/*
 * jobs/spill.c, for the runner: write a cut to disk at once and make it a
 * spilled segment, which must be the next one and follow only spilled ones.
 * False: there is no room for its entry or segment now, and nothing was
 * changed.  Errors are raised with nothing left behind.
 */
extern bool ckpx_spill_cut(const CkpxSegmentInfo *info,
						   const CkpxDirtyTree *tree);

/* jobs/backup.c: serve the requests of ckpx_backup_checkpoint(). */
extern void ckpx_backup_step(void);

/*
 * Clean up after an error that was caught around a job and return it, as
 * ckpx_worker_catch() does.  All files of the process are closed then, so a
 * global in work loses its own and is begun anew.
 */
extern ErrorData *ckpx_job_catch(MemoryContext context);

/* The function by which the global in work then loses its files. */
extern void ckpx_job_at_catch(void (*release) (void));

/* Copy the entry that a ticket names, if it is there and RUNNING. */
extern bool ckpx_job_copy_running(const CkpxEntryTicket *ticket,
								  CkpxEntry *entry);

/*
 * Write the failure on the entry.  Logged when the text changes, so that a
 * disk that stays full says so once.
 */
extern void ckpx_job_note_failure(const CkpxEntryTicket *ticket,
								  CkpxPhase phase, const ErrorData *error);
extern void ckpx_job_log_finished(const CkpxEntry *entry);

/*
 * jobs/global.c: begin a global if one is due, or go on with the one in work
 * for a while.  *wait_ms is lowered to when it wants to be called again.
 */
extern void ckpx_global_step(long *wait_ms);

/*
 * global_entry.c: have a global made of all incrementals that are in none, by
 * the next steps; false where there are none, or an attempt has failed.
 */
extern bool ckpx_global_force(void);

#endif							/* CKPX_JOB_H */
