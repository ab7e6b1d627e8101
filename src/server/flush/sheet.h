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

#endif							/* CKPX_FLUSH_SHEET_H */
