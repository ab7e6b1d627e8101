/*-------------------------------------------------------------------------
 *
 * sheet.h
 *		The flusher's list of relations, and what policy makes of it.
 *
 * With ckpx.flush on the flusher brings the sheet up to date at each tick, by
 * a walk over the buffer headers, and puts tickets for what is to be done now
 * into the dirty queue.  Otherwise nothing is decided: the sheet only
 * remembers which relations were flushed, or could not be, and
 * ckpx_sheet_read() counts dirty buffers in the calling process.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_FLUSH_SHEET_H
#define CKPX_FLUSH_SHEET_H

#include "postgres.h"

#include "server/flush/shared.h"

/*
 * Flusher: _update looks at the buffers, brings the sheet up to date, decides,
 * and puts tickets into the queue; _close ends that when ckpx.flush is not on
 * any more, and costs nothing where it is done already.
 */
extern void ckpx_sheet_update(void);
extern void ckpx_sheet_close(void);

/*
 * Flusher: note that changes of a relation before 'lsn' are on disk, or that
 * a durable pass up to 'upto' (Invalid: a policy pass) over it failed.  A
 * relation gets a line for it if there is room.
 */
extern void ckpx_sheet_flushed(const CkpxRelKey *key, XLogRecPtr lsn);
extern void ckpx_sheet_failed(const CkpxRelKey *key, XLogRecPtr upto,
							  const char *error);

/*
 * Any process: the lines of the sheet, sorted, in the current memory context.
 * 'kept' tells whether the flusher keeps it up to date.  If not, dirty blocks
 * are counted now, and nothing is known of append and delete bytes.
 */
extern CkpxFlushRelation *ckpx_sheet_read(uint32 *count, bool *kept);

#endif							/* CKPX_FLUSH_SHEET_H */
