/*-------------------------------------------------------------------------
 *
 * sheet.h
 *		The flusher's list of relations, and what policy makes of it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_FLUSH_SHEET_H
#define CKPX_FLUSH_SHEET_H

#include "postgres.h"

#include "server/flush/shared.h"

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

#endif							/* CKPX_FLUSH_SHEET_H */
