/*-------------------------------------------------------------------------
 *
 * wal_records.c
 *		Are the records in WAL whole?
 *
 * A record whose end a crash kept from being written is followed by a page
 * that says so, and is left out.  Behind a switch of segments there are only
 * page headers and zeros.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/combinebackup/wal_records.h"

#include "access/rmgr.h"
#include "access/xlog_internal.h"
#include "catalog/pg_control.h"

/*
 * Begin where a record or a page begins.
 */
void
wal_records_begin(WalRecords *records, uint32 segment_size, XLogRecPtr start,
				  XLogRecPtr end)
{
	memset(records, 0, sizeof(*records));
	records->segment_size = segment_size;
	records->next = start;
	records->end = end;
}

/* Where does the first record of a segment begin that follows a switch? */
static XLogRecPtr
next_segment(const WalRecords *records, XLogRecPtr lsn)
{
	return lsn - lsn % records->segment_size + records->segment_size;
}

/* The record is complete: compare its CRC, and find the next one. */
static const char *
end_record(WalRecords *records)
{
	const XLogRecord *header = &records->header;
	pg_crc32c	crc = records->crc;

	COMP_CRC32C(crc, header, offsetof(XLogRecord, xl_crc));
	FIN_CRC32C(crc);
	if (!EQ_CRC32C(crc, header->xl_crc))
		return "has a wrong checksum";
	records->begin = InvalidXLogRecPtr;
	records->next = MAXALIGN64(records->next);
	if (header->xl_rmid == RM_XLOG_ID &&
		(header->xl_info & ~XLR_INFO_MASK) == XLOG_SWITCH &&
		records->next % records->segment_size != 0)
		records->next = next_segment(records, records->next);
	return NULL;
}

/* Take bytes of the record, at most those of this page; NULL, or a problem. */
static const char *
take_bytes(WalRecords *records, const char *page)
{
	size_t		offset = records->next % XLOG_BLCKSZ;
	uint32		room = XLOG_BLCKSZ - offset;
	uint32		n;

	if (records->done < SizeOfXLogRecord)
	{
		n = Min(room, SizeOfXLogRecord - records->done);
		memcpy((char *) &records->header + records->done, page + offset, n);
	}
	else
	{
		n = Min(room, records->header.xl_tot_len - records->done);
		COMP_CRC32C(records->crc, page + offset, n);
	}
	records->done += n;
	records->next += n;
	/* the length is in the first bytes, which are never parted */
	if (records->header.xl_tot_len < SizeOfXLogRecord)
		return "has a wrong length";
	if (records->done < records->header.xl_tot_len)
		return NULL;
	return end_record(records);
}

/*
 * The beginning of a page; NULL, or a problem.  A record that the page before
 * did not end goes on, or was given up.  The rest of one whose beginning was
 * not seen is passed over.
 */
static const char *
take_page_header(WalRecords *records, const char *page)
{
	const XLogPageHeaderData *header = (const XLogPageHeaderData *) page;
	bool		goes_on = (header->xlp_info & XLP_FIRST_IS_CONTRECORD) != 0;

	records->next += XLogPageHeaderSize(header);
	if (records->begin == InvalidXLogRecPtr)
	{
		if (goes_on)
			records->next += Min(MAXALIGN64(header->xlp_rem_len),
								 XLOG_BLCKSZ - XLogPageHeaderSize(header));
		return NULL;
	}
	if (header->xlp_info & XLP_FIRST_IS_OVERWRITE_CONTRECORD)
	{
		records->begin = InvalidXLogRecPtr;
		return NULL;
	}
	if (!goes_on ||
		header->xlp_rem_len != records->header.xl_tot_len - records->done)
		return "does not go on in the next page";
	return NULL;
}

/*
 * Is the page needed?
 */
bool
wal_records_need(const WalRecords *records, XLogRecPtr address)
{
	return records->next < address + XLOG_BLCKSZ;
}

/*
 * Look at one page.
 */
const char *
wal_records_page(WalRecords *records, const char *page, XLogRecPtr address,
				 XLogRecPtr *where)
{
	XLogRecPtr	page_end = address + XLOG_BLCKSZ;
	const char *problem = NULL;

	*where = records->begin != InvalidXLogRecPtr ? records->begin :
		records->next;
	if (!wal_records_need(records, address))
		return NULL;
	if (records->next < address)
		return "does not go on";
	if (records->next == address)
		problem = take_page_header(records, page);
	while (problem == NULL && records->next < page_end &&
		   (records->begin != InvalidXLogRecPtr ||
			records->next < records->end))
	{
		if (records->begin == InvalidXLogRecPtr)
		{
			records->begin = records->next;
			records->done = 0;
			memset(&records->header, 0, sizeof(records->header));
			INIT_CRC32C(records->crc);
		}
		*where = records->begin;
		problem = take_bytes(records, page);
	}
	return problem;
}

/*
 * Does the last record go on behind the end?
 */
bool
wal_records_incomplete(const WalRecords *records, XLogRecPtr *where)
{
	*where = records->begin;
	return records->begin != InvalidXLogRecPtr;
}
