/*-------------------------------------------------------------------------
 *
 * axis.h
 *		An axis of LSNs: which column of a picture an LSN falls into.
 *
 * The idea: the axis is linear where something is shown, so that lengths can
 * be compared.  Where nothing is, it is cut short: a new epoch may begin
 * terabytes behind the last one, and would press everything else into a
 * single column.  All that is cut short takes at most a fifth of the columns.
 *
 * Memory comes from the current context (frontend: malloc), and stays the
 * caller's.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_AXIS_H
#define CKPX_AXIS_H

#include "core/types.h"

typedef struct CkpxInterval
{
	XLogRecPtr	from;
	XLogRecPtr	to;				/* not before 'from' */
} CkpxInterval;

typedef struct CkpxAxisPiece
{
	XLogRecPtr	from;
	XLogRecPtr	to;
	double		at;				/* column of 'from' */
	double		width;			/* in columns */
	bool		is_short;		/* nothing is there, and it was cut short */
} CkpxAxisPiece;

typedef struct CkpxAxis
{
	XLogRecPtr	from;
	XLogRecPtr	to;
	int			ncolumns;
	uint32		npieces;
	CkpxAxisPiece *pieces;		/* adjoining, ascending */
} CkpxAxis;

/*
 * Lay out 'ncolumns' columns over [from, to), which is not empty.  'shown' is
 * where there is something, in any order; it is sorted.
 */
extern void ckpx_axis_make(CkpxAxis *axis, CkpxInterval *shown, uint32 nshown,
						   XLogRecPtr from, XLogRecPtr to, int ncolumns);

/* The place of an LSN, 0 to ncolumns; what lies outside is at an end. */
extern double ckpx_axis_place(const CkpxAxis *axis, XLogRecPtr lsn);

/* The LSN at a place. */
extern XLogRecPtr ckpx_axis_lsn(const CkpxAxis *axis, double place);

/*
 * The columns of [from, to), at least one; false where all of it lies outside
 * the axis.  A single LSN is from = to.
 */
extern bool ckpx_axis_columns(const CkpxAxis *axis, XLogRecPtr from,
							  XLogRecPtr to, int *first, int *last);

#endif							/* CKPX_AXIS_H */
