/*-------------------------------------------------------------------------
 *
 * flusher.h
 *		The parts of the flusher: passes (flush/pass.c), the list of relations
 *		(flush/sheet.c), hints to the kernel (flush/writeback.c), and the step
 *		that joins them (flusher.c).
 *
 * A durable pass up to an LSN leaves every change before it, of what it is
 * about, on disk, whatever happens to these blocks meanwhile.  It always ends:
 * each buffer is visited once.  A policy pass only writes, to leave less to
 * PostgreSQL's checkpoint, and proves nothing.
 *
 * Passes raise errors; the step catches them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_FLUSHER_H
#define CKPX_FLUSHER_H

#include "postgres.h"

#include "server/flush/shared.h"

/* What a pass did. */
typedef struct CkpxPassResult
{
	uint64		blocks_written;
	uint64		fsyncs;
} CkpxPassResult;

/*
 * Durable pass over everything that changed in [start, upto), which must be
 * collected and in the logtail, and over the files 'builds'; over these alone
 * where the range is empty.  False where the
 * logtail begins after 'start' by now: it was trimmed, because the range has
 * become durable otherwise.
 */
extern bool ckpx_pass_range(XLogRecPtr start, XLogRecPtr upto,
							const CkpxRelKey *builds, uint32 nbuilds,
							CkpxPassResult *result);

/*
 * Durable pass over whole relations, whose keys are in order.  WAL must be
 * flushed up to 'upto', on a standby replayed.  missing[i] says that the file
 * of keys[i] is not there, written[i] is how many blocks of it were written.
 */
extern void ckpx_pass_relations(const CkpxRelKey *keys, uint32 nkeys,
								XLogRecPtr upto, CkpxFlushReason reason,
								bool *missing, uint64 *written,
								CkpxPassResult *result);

/*
 * Policy pass over relations, taking 'window_ms' for its writes.  Blocks in
 * the newest cut are left alone unless it is 'late' in the checkpoint cycle; a
 * block is written once in a cycle, which is known by its redo point.
 */
extern void ckpx_pass_policy(const CkpxRelKey *keys, uint32 nkeys,
							 CkpxFlushReason reason, bool late,
							 int64 window_ms, XLogRecPtr redo,
							 CkpxPassResult *result);

/* The progress of the pass at work; phase NONE: it is over. */
extern void ckpx_flush_progress(CkpxFlushPhase phase, CkpxFlushReason reason,
								uint64 done, uint64 total);

/* Does somebody wait for a durable pass? */
extern bool ckpx_flush_urgent(void);

/*
 * The work sheet: look at the buffers, bring the list of relations up to
 * date, and decide.  Tickets for what is to be done now go to the dirty
 * queue.  _flushed notes that changes before 'lsn' of a relation are on disk,
 * and lists it if there is room; _failed notes an error if it is listed.
 */
extern void ckpx_sheet_update(void);
extern void ckpx_sheet_flushed(const CkpxRelKey *key, XLogRecPtr lsn);
extern void ckpx_sheet_failed(const CkpxRelKey *key, const char *error);

/*
 * Is it the time for writes by policy, how long may they take, and in which
 * cycle are we?
 */
extern bool ckpx_sheet_is_late(XLogRecPtr *redo, int64 *window_ms);

/*
 * How long until the checkpoint that began this cycle has written its pages
 * and syncs files, if it is spread as checkpoint_completion_target says; 0: it
 * is past that.
 */
extern int64 ckpx_sheet_sync_ms(XLogRecPtr *redo);

/*
 * With ckpx.flush on, before PostgreSQL syncs, ask the kernel to write back
 * the part of the changed files that is due now.  To be called about every second, in a pass too;
 * more often does no harm.
 */
extern void ckpx_writeback_step(void);

#endif							/* CKPX_FLUSHER_H */
