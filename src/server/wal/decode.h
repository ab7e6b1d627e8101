/*-------------------------------------------------------------------------
 *
 * decode.h
 *		What one WAL record does: the only file that knows records.
 *
 * Used by wal/source.c only.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_WAL_DECODE_H
#define CKPX_WAL_DECODE_H

#include "postgres.h"

#include "access/rmgr.h"
#include "access/xact.h"
#include "catalog/pg_control.h"
#include "server/wal/changes.h"
#include "server/wal/record.h"

typedef enum CkpxDecodeResult
{
	CKPX_DECODED = 0,
	CKPX_DECODE_SPECIAL,		/* unknown, with XLR_SPECIAL_REL_UPDATE */
	CKPX_DECODE_MINIMAL			/* wal_level was minimal */
} CkpxDecodeResult;

/*
 * Decode a record; unless the result is CKPX_DECODED it has no effect on the
 * tree.  'at_beginning': it is the first one of a chain.
 */
extern CkpxDecodeResult ckpx_wal_decode(CkpxWalChanges *changes,
										const CkpxWalRecord *record,
										bool at_beginning);

/* The wal_level from this record on, or -1: it does not say. */
extern int	ckpx_wal_record_level(const CkpxWalRecord *record);

/*
 * Is it where a checkpoint's redo begins?  Up to 16 no record marks the redo
 * point of an online checkpoint.
 */
static inline bool
ckpx_wal_record_is_redo(const CkpxWalRecord *record)
{
	uint8		info = record->info & ~XLR_INFO_MASK;

	if (likely(record->rmid != RM_XLOG_ID))
		return false;
#ifdef XLOG_CHECKPOINT_REDO
	if (info == XLOG_CHECKPOINT_REDO)
		return true;
#endif
	return info == XLOG_CHECKPOINT_SHUTDOWN;
}

/*
 * Is it the end of a transaction, a checkpoint or an end of recovery, with the
 * time at which it was written?
 */
static inline bool
ckpx_wal_record_has_time(const CkpxWalRecord *record)
{
	uint8		info = record->info & ~XLR_INFO_MASK;

	if (record->rmid == RM_XACT_ID)
	{
		info &= XLOG_XACT_OPMASK;
		return info == XLOG_XACT_COMMIT || info == XLOG_XACT_ABORT ||
			info == XLOG_XACT_COMMIT_PREPARED ||
			info == XLOG_XACT_ABORT_PREPARED;
	}
	return record->rmid == RM_XLOG_ID &&
		(info == XLOG_CHECKPOINT_ONLINE || info == XLOG_CHECKPOINT_SHUTDOWN ||
		 info == XLOG_END_OF_RECOVERY);
}

#endif							/* CKPX_WAL_DECODE_H */
