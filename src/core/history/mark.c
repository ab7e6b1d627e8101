/*-------------------------------------------------------------------------
 *
 * mark.c
 *		Marks: which checkpoint records of PostgreSQL a history has.
 *
 * A plain array: a mark comes with each checkpoint of PostgreSQL, so moving
 * all of a full list costs nothing that anybody sees.
 *
 *-------------------------------------------------------------------------
 */
#include "core/history/mark.h"

uint32
ckpx_marks_find(const CkpxMark *items, uint32 count, XLogRecPtr lsn)
{
	uint32		low = 0;
	uint32		high = count;

	while (low < high)
	{
		uint32		middle = low + (high - low) / 2;

		if (items[middle].lsn < lsn)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Forget the oldest 'count'. */
static void
drop_oldest(CkpxMarks *marks, uint32 count)
{
	marks->count -= count;
	memmove(marks->items, marks->items + count,
			sizeof(CkpxMark) * marks->count);
}

void
ckpx_marks_append(CkpxMarks *marks, const CkpxMark *items, uint32 count)
{
	uint32		known = 0;

	if (marks->count > 0)
		known = ckpx_marks_find(items, count,
								marks->items[marks->count - 1].lsn + 1);

	/* Of too many, the last ones. */
	if (count - known > CKPX_MAX_MARKS)
		known = count - CKPX_MAX_MARKS;
	items += known;
	count -= known;
	if (count == 0)
		return;
	if (count > CKPX_MAX_MARKS - marks->count)
		drop_oldest(marks, count - (CKPX_MAX_MARKS - marks->count));
	memcpy(marks->items + marks->count, items, sizeof(CkpxMark) * count);
	marks->count += count;
}

void
ckpx_marks_forget(CkpxMarks *marks, XLogRecPtr lsn)
{
	drop_oldest(marks, ckpx_marks_find(marks->items, marks->count, lsn));
}
