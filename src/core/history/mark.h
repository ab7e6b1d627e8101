/*-------------------------------------------------------------------------
 *
 * mark.h
 *		Marks: which checkpoint records of PostgreSQL a history has.
 *
 * The idea: an LSN does not say on which history of WAL it lies.  A data
 * directory that was put back from a snapshot of storage goes on with the
 * same timeline, and with other records at the same places.  So what was
 * decoded of each checkpoint record is kept: all nodes that followed the same
 * WAL have the same marks, and a mark that one of them knows and another does
 * not, or has otherwise, tells that the two have parted.
 *
 * A list of them ascends by LSN.  It may lack marks, above all the oldest; it
 * has none that is wrong.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_MARK_H
#define CKPX_MARK_H

#include "core/types.h"

/* What a list has at most: 5 weeks of one each 5 minutes; 320 kB. */
#define CKPX_MAX_MARKS		10000

typedef struct CkpxMark
{
	XLogRecPtr	lsn;			/* where the record starts */
	XLogRecPtr	redo;
	TimeLineID	timeline;
	uint32		crc;			/* xl_crc */
	int64		time;			/* TimestampTz of the record */
} CkpxMark;

/* A list of the newest. */
typedef struct CkpxMarks
{
	uint32		count;
	CkpxMark	items[CKPX_MAX_MARKS];
} CkpxMarks;

/*
 * Append marks that ascend; those at or before the list's end are left out.
 * Where the list is full its oldest go.
 */
extern void ckpx_marks_append(CkpxMarks *marks, const CkpxMark *items,
							  uint32 count);

/* Forget the marks before 'lsn'. */
extern void ckpx_marks_forget(CkpxMarks *marks, XLogRecPtr lsn);

/* Index of the first mark at or after 'lsn', or 'count'. */
extern uint32 ckpx_marks_find(const CkpxMark *items, uint32 count,
							  XLogRecPtr lsn);

#endif							/* CKPX_MARK_H */
