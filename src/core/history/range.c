/*-------------------------------------------------------------------------
 *
 * range.c
 *		Adjoining ranges made one.
 *
 *-------------------------------------------------------------------------
 */
#include "core/history/range.h"

/*
 * Let 'range' go on to the end of 'next', which continues it.
 *
 * Where it started stays, what was counted is added up, and everything else
 * is told of the end, so that it is that of 'next'.
 */
void
ckpx_range_append(CkpxRange *range, const CkpxRange *next)
{
	CkpxRange	before = *range;

	Assert(next->epoch == range->epoch && next->start_lsn == range->end_lsn);

	*range = *next;
	range->start_lsn = before.start_lsn;
	range->last_change_lsn = Max(before.last_change_lsn,
								 next->last_change_lsn);
	range->nxacts += before.nxacts;
	range->wal_bytes += before.wal_bytes;
	for (int i = 0; i < CKPX_RMGR_BITMAP_BYTES; i++)
		range->custom_rmgrs[i] |= before.custom_rmgrs[i];
}
