/*-------------------------------------------------------------------------
 *
 * range.h
 *		A stretch of WAL, and all that is known of it but the map.
 *
 * The idea: a range begins as what the runner cuts.  It goes through the
 * logtail and an entry into an object, and at a start back again, and on the
 * way adjoining ranges become one.  So cut, segment, entry and object each
 * have this struct as their 'range': what is passed on is assigned, and one
 * function knows what becomes of each member where ranges are joined.
 *
 * Fixed size, no pointers: it lies in shared memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_RANGE_H
#define CKPX_RANGE_H

#include "core/types.h"

typedef struct CkpxRange
{
	uint32		epoch;
	TimeLineID	timeline;		/* of its end */
	XLogRecPtr	start_lsn;
	XLogRecPtr	end_lsn;
	CkpxRecordMark last_record; /* the last records before end_lsn */
	XLogRecPtr	last_change_lsn;	/* start of the last record in it that
									 * changed a block, or where the page of a
									 * sequence may have changed without one;
									 * InvalidXLogRecPtr: no block changed */
	uint64		nxacts;			/* transactions that ended in it; an aborted
								 * subtransaction counts as one */
	uint64		wal_bytes;
	uint8		custom_rmgrs[CKPX_RMGR_BITMAP_BYTES];	/* ids >= 128 seen */
	int64		created_at;		/* TimestampTz of the cut at its end */

	/* of that cut as well, but not in files */
	uint32		next_xid;		/* nextXid when it was decoded; the range is
								 * committed once no older one is open */
	uint64		clock_ms;		/* monotonic time; of a range that was loaded
								 * see ckpx_age_begin() */
} CkpxRange;

/*
 * Let 'range' go on to the end of 'next', which continues it.  A range that
 * ends where it starts, of which only its epoch and that place are set, is a
 * good beginning.
 */
extern void ckpx_range_append(CkpxRange *range, const CkpxRange *next);

/*
 * WAL before this is not needed once the object of a range is there: a start
 * reads on from the last record.  Invalid for a backup, from which no start
 * reads on.
 */
static inline XLogRecPtr
ckpx_range_truncate_lsn(const CkpxRange *range, CkpxEntryKind kind)
{
	return kind == CKPX_KIND_BACKUP ? InvalidXLogRecPtr :
		range->last_record.start;
}

#endif							/* CKPX_RANGE_H */
