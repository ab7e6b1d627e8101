/*-------------------------------------------------------------------------
 *
 * record.h
 *		One WAL record, as far as ckpx looks at it.
 *
 * The idea: PostgreSQL's reader copies each record and all of its parts into
 * one piece of memory, to be replayed.  ckpx asks which blocks it names, and
 * of a few resource managers what else it says.  wal/source.c fills this in,
 * with the help of that reader or without it, see wal/walk.c.
 *
 * The record, and what it points to, is good until the next one is read.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_WAL_RECORD_H
#define CKPX_WAL_RECORD_H

#include "postgres.h"

#include "access/heapam_xlog.h"
#include "access/rmgr.h"
#include "access/xact.h"
#include "access/xlogreader.h"
#include "core/map/dirty_tree.h"
#include "port/pg_crc32c.h"

/* A block that the record names. */
typedef struct CkpxWalBlock
{
	CkpxRelKey	key;
	BlockNumber block;
	bool		image;			/* with an image that replay puts in place */
} CkpxWalBlock;

typedef struct CkpxWalRecord
{
	XLogRecPtr	start;
	XLogRecPtr	end;			/* where the next one begins */
	uint32		length;
	pg_crc32c	crc;
	TransactionId xid;
	uint8		info;
	RmgrId		rmid;
	int			nblocks;
	char	   *data;			/* its main data, aligned; NULL where
								 * ckpx_wal_record_wants_data() is false */
	uint32		data_length;
	XLogReaderState *reader;	/* has the record, too; NULL: PostgreSQL's
								 * reader was not asked */
	CkpxWalBlock blocks[XLR_MAX_BLOCK_ID + 1];	/* ascending by their ids */
} CkpxWalRecord;

/* Does wal/decode.c look at the main data of such records? */
static inline bool
ckpx_wal_record_wants_data(RmgrId rmid, uint8 info)
{
	switch (rmid)
	{
		case RM_XLOG_ID:
		case RM_SMGR_ID:
		case RM_DBASE_ID:
		case RM_STANDBY_ID:
			return true;
		case RM_XACT_ID:
			return (info & XLOG_XACT_OPMASK) != XLOG_XACT_COMMIT ||
				(info & XLOG_XACT_HAS_INFO) != 0;
		case RM_HEAP2_ID:
			return (info & XLOG_HEAP_OPMASK) == XLOG_HEAP2_MULTI_INSERT;
		default:
			return false;
	}
}

#endif							/* CKPX_WAL_RECORD_H */
