/*-------------------------------------------------------------------------
 *
 * wal_records.h
 *		Are the records in WAL whole?
 *
 * Pages go in one after the other; of each record the CRC is computed as its
 * bytes go by, so that nothing is kept but its header.  What a record does is
 * not looked at.
 *
 * Pure: knows no file.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BIN_WAL_RECORDS_H
#define CKPX_BIN_WAL_RECORDS_H

#include "postgres_fe.h"

#include "access/xlogrecord.h"
#include "port/pg_crc32c.h"

typedef struct WalRecords
{
	uint32		segment_size;
	XLogRecPtr	end;			/* what begins here or later is not read */
	XLogRecPtr	next;			/* the next byte to look at */

	/* the record that the last page did not end; begin Invalid: none */
	XLogRecPtr	begin;
	XLogRecord	header;
	uint32		done;			/* bytes of it */
	pg_crc32c	crc;			/* of what follows the header */
} WalRecords;

/* Begin where a record begins, or a page. */
extern void wal_records_begin(WalRecords *records, uint32 segment_size,
							  XLogRecPtr start, XLogRecPtr end);

/*
 * Is there a record in the page at 'address'?  Not in pages that end before
 * the start, nor behind a switch of segments.
 */
extern bool wal_records_need(const WalRecords *records, XLogRecPtr address);

/*
 * Look at the page at 'address', whose header is right if it is needed.  NULL,
 * or what is wrong with the record that begins at *where.  A page that does
 * not follow the one before is wrong.
 */
extern const char *wal_records_page(WalRecords *records, const char *page,
									XLogRecPtr address, XLogRecPtr *where);

/*
 * After the last page: does the last record go on behind the end?  A timeline
 * that was left may end so, the WAL of a backup does not.
 */
extern bool wal_records_incomplete(const WalRecords *records,
								   XLogRecPtr *where);

#endif							/* CKPX_BIN_WAL_RECORDS_H */
