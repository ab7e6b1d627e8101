/*-------------------------------------------------------------------------
 *
 * steps.h
 *		The parts of the checkpointer's round that are jobs, each in the file
 *		of its name.
 *
 * A step does what is due.  It lowers *wait_ms to when it wants to be called
 * again.  What it does is found in the entry store and the shared state;
 * tickets in its queue only say that there may be something to do.  So a
 * ticket that was refused, or taken by a process that died, is no loss.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_STEPS_H
#define CKPX_STEPS_H

/* Write the segments to disk that the runner wants to have written. */
extern void ckpx_spill_step(long *wait_ms);

/* Write the incremental whose time to be tried has come. */
extern void ckpx_incremental_step(long *wait_ms);

/*
 * Look at an object that could not be read, and take what is lost out of the
 * history.
 */
extern void ckpx_damage_step(long *wait_ms);

/* Serve the requests of ckpx_backup_checkpoint(). */
extern void ckpx_backup_step(long *wait_ms);

/* Begin a global, or go on with the one in work for a while. */
extern void ckpx_global_step(long *wait_ms);

/*
 * Serve the requests of ckpx_gc(), and remove what may go by time or must go
 * because of the caps.
 */
extern void ckpx_gc_step(long *wait_ms);

#endif							/* CKPX_STEPS_H */
