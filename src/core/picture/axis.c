/*-------------------------------------------------------------------------
 *
 * axis.c
 *		An axis of LSNs.
 *
 * The intervals are joined to runs; runs and the holes between them are the
 * pieces.  A hole counts with its length, but with no more than its share of a
 * quarter of all runs.
 *
 *-------------------------------------------------------------------------
 */
#include "core/picture/axis.h"

#include <math.h>

static int
compare_intervals(const void *a, const void *b)
{
	const CkpxInterval *left = a;
	const CkpxInterval *right = b;

	if (left->from != right->from)
		return left->from < right->from ? -1 : 1;
	if (left->to != right->to)
		return left->to < right->to ? -1 : 1;
	return 0;
}

static void
add_piece(CkpxAxis *axis, XLogRecPtr from, XLogRecPtr to, bool is_hole)
{
	CkpxAxisPiece *piece = &axis->pieces[axis->npieces];

	if (from >= to)
		return;
	piece->from = from;
	piece->to = to;
	piece->at = 0;
	piece->width = (double) (to - from);
	piece->is_short = is_hole;
	axis->npieces++;
}

/* Make pieces of the sorted intervals and of what lies between them. */
static void
add_pieces(CkpxAxis *axis, const CkpxInterval *shown, uint32 nshown)
{
	XLogRecPtr	run_from = axis->from;
	XLogRecPtr	run_to = axis->from;

	for (uint32 i = 0; i < nshown; i++)
	{
		XLogRecPtr	from = Max(shown[i].from, axis->from);
		XLogRecPtr	to = Min(shown[i].to, axis->to);

		if (from > to)
			continue;
		if (from > run_to)
		{
			add_piece(axis, run_from, run_to, false);
			add_piece(axis, run_to, from, true);
			run_from = from;
		}
		run_to = Max(run_to, to);
	}
	add_piece(axis, run_from, run_to, false);
	add_piece(axis, run_to, axis->to, true);
}

void
ckpx_axis_make(CkpxAxis *axis, CkpxInterval *shown, uint32 nshown,
			   XLogRecPtr from, XLogRecPtr to, int ncolumns)
{
	double		shown_length = 0;
	double		length = 0;
	uint32		nholes = 0;

	Assert(from < to && ncolumns > 0);
	axis->from = from;
	axis->to = to;
	axis->ncolumns = ncolumns;
	axis->npieces = 0;
	axis->pieces = palloc(sizeof(CkpxAxisPiece) * (2 * (Size) nshown + 2));
	qsort(shown, nshown, sizeof(CkpxInterval), compare_intervals);
	add_pieces(axis, shown, nshown);

	for (uint32 i = 0; i < axis->npieces; i++)
	{
		if (axis->pieces[i].is_short)
			nholes++;
		else
			shown_length += axis->pieces[i].width;
	}
	for (uint32 i = 0; i < axis->npieces; i++)
	{
		CkpxAxisPiece *piece = &axis->pieces[i];
		double		most = shown_length / (4 * Max(nholes, 3));

		if (piece->is_short && piece->width > most && shown_length > 0)
			piece->width = most;
		else
			piece->is_short = false;
		piece->at = length;
		length += piece->width;
	}
	for (uint32 i = 0; i < axis->npieces; i++)
	{
		axis->pieces[i].at *= ncolumns / length;
		axis->pieces[i].width *= ncolumns / length;
	}
}

double
ckpx_axis_place(const CkpxAxis *axis, XLogRecPtr lsn)
{
	const CkpxAxisPiece *piece;
	uint32		low = 0;
	uint32		high = axis->npieces - 1;

	if (lsn <= axis->from)
		return 0;
	if (lsn >= axis->to)
		return axis->ncolumns;

	/* the last piece that begins at or before the LSN */
	while (low < high)
	{
		uint32		middle = (low + high + 1) / 2;

		if (axis->pieces[middle].from <= lsn)
			low = middle;
		else
			high = middle - 1;
	}
	piece = &axis->pieces[low];
	return piece->at + piece->width * ((double) (lsn - piece->from) /
									   (double) (piece->to - piece->from));
}

XLogRecPtr
ckpx_axis_lsn(const CkpxAxis *axis, double place)
{
	uint32		i = 0;
	const CkpxAxisPiece *piece;

	if (place <= 0)
		return axis->from;
	if (place >= axis->ncolumns)
		return axis->to;
	while (i + 1 < axis->npieces && axis->pieces[i + 1].at <= place)
		i++;
	piece = &axis->pieces[i];
	return piece->from + (XLogRecPtr) ((double) (piece->to - piece->from) *
									   ((place - piece->at) / piece->width));
}

bool
ckpx_axis_columns(const CkpxAxis *axis, XLogRecPtr from, XLogRecPtr to,
				  int *first, int *last)
{
	/* what ends at a boundary of columns must not reach into the next one */
	const double rounding = 1e-6;

	if (from > axis->to || to < axis->from ||
		(from < to && (from >= axis->to || to <= axis->from)))
		return false;
	*first = (int) floor(ckpx_axis_place(axis, from) + rounding);
	*last = (int) ceil(ckpx_axis_place(axis, to) - rounding) - 1;
	*first = Min(*first, axis->ncolumns - 1);
	*last = Min(Max(*last, *first), axis->ncolumns - 1);
	return true;
}
