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

#include "access/xlogreader.h"
#include "server/wal/changes.h"

typedef enum CkpxDecodeResult
{
	CKPX_DECODED = 0,
	CKPX_DECODE_SPECIAL,		/* unknown, with XLR_SPECIAL_REL_UPDATE */
	CKPX_DECODE_MINIMAL			/* wal_level was minimal */
} CkpxDecodeResult;

/*
 * Decode the reader's present record; unless the result is CKPX_DECODED it has
 * no effect on the tree.  'at_beginning': it is the first one of a chain.
 */
extern CkpxDecodeResult ckpx_wal_decode(CkpxWalChanges *changes,
										XLogReaderState *reader,
										bool at_beginning);

/* The wal_level from this record on, or -1: it does not say. */
extern int	ckpx_wal_record_level(XLogReaderState *reader);

/*
 * Is it where a checkpoint's redo begins?  Up to 16 no record marks the redo
 * point of an online checkpoint.
 */
extern bool ckpx_wal_record_is_redo(XLogReaderState *reader);

/*
 * Is it the end of a transaction, a checkpoint or an end of recovery, with the
 * time at which it was written?
 */
extern bool ckpx_wal_record_has_time(XLogReaderState *reader);

#endif							/* CKPX_WAL_DECODE_H */
