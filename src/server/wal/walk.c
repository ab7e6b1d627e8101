/*-------------------------------------------------------------------------
 *
 * walk.c
 *		Reading records right in the chunk, without PostgreSQL's reader.
 *
 * The reader checks each record, copies it whole where it crosses a page, and
 * copies it once more, part by part.  The walk checks the same and copies next
 * to nothing.  It takes only what is plain: a whole record of one of
 * PostgreSQL's resource managers, in the chunk, on pages with short headers.
 * All else is the reader's, which is asked for the very same record: the first
 * record of a chain, what crosses the chunk's end or has not arrived, the
 * first page of a segment, the end of a segment that was switched, records cut
 * off and overwritten, records of extensions, and everything that looks wrong.
 * So each message about WAL is the reader's, and the walk raises no error.
 *
 * Both share one position, that of the reader.  When the walk has read a
 * record, the reader's fields say what they would say had it been the reader:
 * where the record starts and ends, for the next one's link to it, and which
 * page was checked last, whose timeline none that follows may precede.
 *
 * The bytes of [chunk_from, chunk_upto) lie below the limit and do not change,
 * so a page's header is looked at once as long as the chunk is not emptied.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "server/wal/source_internal.h"

#include "catalog/pg_control.h"
#include "server/base/compat.h"

/* What can be said of a record's headers. */
typedef enum ParseResult
{
	PARSE_ODD = 0,
	PARSE_SHORT,				/* they go on behind the bytes at hand */
	PARSE_DONE
} ParseResult;

static inline const char *
chunk_at(const CkpxWalSource *source, XLogRecPtr lsn)
{
	return source->chunk + (lsn - source->chunk_base);
}

/*
 * Check the header of a page as the reader would.  False: something about it
 * is odd, or it has not arrived.
 */
static bool
check_page(CkpxWalSource *source, XLogRecPtr page)
{
	XLogReaderState *reader = source->reader;
	const XLogPageHeaderData *header;

	if (page + SizeOfXLogShortPHD > source->chunk_upto)
		return false;

	/*
	 * A segment is entered by the reader, which makes sure that the first
	 * page has a long header: that page is not for us.
	 */
	if (page / wal_segment_size != reader->seg.ws_segno)
		return false;

	header = (const XLogPageHeaderData *) chunk_at(source, page);
	if (header->xlp_magic != XLOG_PAGE_MAGIC ||
		(header->xlp_info & ~XLP_ALL_FLAGS) != 0 ||
		(header->xlp_info & (XLP_LONG_HEADER |
							 XLP_FIRST_IS_OVERWRITE_CONTRECORD)) != 0 ||
		header->xlp_pageaddr != page)
		return false;
	if (page > reader->latestPagePtr &&
		header->xlp_tli < reader->latestPageTLI)
		return false;

	reader->latestPagePtr = page;
	reader->latestPageTLI = header->xlp_tli;
	source->walked_page = page;
	return true;
}

/*
 * Go over the pages on which a record continues.  'got' bytes of it lie on the
 * first page, and are in '*crc'.
 */
static bool
walk_pages(CkpxWalSource *source, XLogRecPtr start, uint32 got, uint32 length,
		   pg_crc32c *crc, XLogRecPtr *end)
{
	XLogRecPtr	page = start + got;

	while (got < length)
	{
		const XLogPageHeaderData *header;
		uint32		piece = Min(length - got,
								XLOG_BLCKSZ - SizeOfXLogShortPHD);

		if (!check_page(source, page) ||
			page + SizeOfXLogShortPHD + piece > source->chunk_upto)
			return false;
		header = (const XLogPageHeaderData *) chunk_at(source, page);
		if ((header->xlp_info & XLP_FIRST_IS_CONTRECORD) == 0 ||
			header->xlp_rem_len != length - got)
			return false;
		COMP_CRC32C(*crc, (const char *) header + SizeOfXLogShortPHD, piece);
		got += piece;
		*end = page + SizeOfXLogShortPHD + MAXALIGN(piece);
		page += XLOG_BLCKSZ;
	}
	return true;
}

/* Copy the bytes [from, upto) of the record at 'start'. */
static void
copy_bytes(const CkpxWalSource *source, XLogRecPtr start, uint32 from,
		   uint32 upto, char *to)
{
	const uint32 page_bytes = XLOG_BLCKSZ - SizeOfXLogShortPHD;
	uint32		first = XLOG_BLCKSZ - start % XLOG_BLCKSZ;

	while (from < upto)
	{
		XLogRecPtr	at = start + from;
		uint32		piece = first - from;

		if (from >= first)
		{
			uint32		pages = (from - first) / page_bytes;

			at += (pages + 1) * SizeOfXLogShortPHD;
			piece = page_bytes - (from - first) % page_bytes;
		}
		piece = Min(piece, upto - from);
		memcpy(to, chunk_at(source, at), piece);
		to += piece;
		from += piece;
	}
}

/*
 * Take a field of 'size' bytes at '*at'; false: it is not all there.
 */
static inline bool
take(const char **at, const char *upto, void *field, Size size)
{
	if (upto - *at < (ptrdiff_t) size)
		return false;
	memcpy(field, *at, size);
	*at += size;
	return true;
}

/*
 * Read what a block's header says of its image, and check it as the reader
 * does.  '*payload' grows by the image's length.
 */
static ParseResult
parse_image(const char **at, const char *upto, uint64 *payload, bool *apply)
{
	uint16		length;
	uint16		hole_offset;
	uint16		hole_length;
	uint8		info;
	bool		has_hole;
	bool		compressed;

	if (!take(at, upto, &length, sizeof(length)) ||
		!take(at, upto, &hole_offset, sizeof(hole_offset)) ||
		!take(at, upto, &info, sizeof(info)))
		return PARSE_SHORT;
	has_hole = (info & BKPIMAGE_HAS_HOLE) != 0;
	compressed = BKPIMAGE_COMPRESSED(info);
	if (!compressed)
		hole_length = BLCKSZ - length;
	else if (!has_hole)
		hole_length = 0;
	else if (!take(at, upto, &hole_length, sizeof(hole_length)))
		return PARSE_SHORT;

	/* This says, too, that an image without both has all of the page. */
	if ((hole_offset != 0) != has_hole || (hole_length != 0) != has_hole ||
		(compressed && length == BLCKSZ))
		return PARSE_ODD;

	*payload += length;
	*apply = (info & BKPIMAGE_APPLY) != 0;
	return PARSE_DONE;
}

/*
 * Read one block's header, its id being read.  '*previous' is the block whose
 * relation this one may share; it becomes this one.
 */
static inline ParseResult
parse_block(const char **at, const char *upto, CkpxWalBlock *block,
			const CkpxWalBlock **previous, uint64 *payload)
{
	uint8		flags;
	uint16		data_length;
	RelFileLocator locator;

	if (!take(at, upto, &flags, sizeof(flags)) ||
		!take(at, upto, &data_length, sizeof(data_length)))
		return PARSE_SHORT;
	if (((flags & BKPBLOCK_HAS_DATA) != 0) != (data_length > 0))
		return PARSE_ODD;
	*payload += data_length;

	block->image = false;
	if (flags & BKPBLOCK_HAS_IMAGE)
	{
		ParseResult result = parse_image(at, upto, payload, &block->image);

		if (result != PARSE_DONE)
			return result;
	}

	if (flags & BKPBLOCK_SAME_REL)
	{
		if (*previous == NULL)
			return PARSE_ODD;
		block->key = (*previous)->key;
	}
	else
	{
		if (!take(at, upto, &locator, sizeof(locator)))
			return PARSE_SHORT;
		block->key.tablespace = CKPX_LOCATOR_TABLESPACE(locator);
		block->key.database = CKPX_LOCATOR_DATABASE(locator);
		block->key.relation = CKPX_LOCATOR_NUMBER(locator);
	}
	block->key.fork = flags & BKPBLOCK_FORK_MASK;
	if (!take(at, upto, &block->block, sizeof(block->block)))
		return PARSE_SHORT;
	*previous = block;
	return PARSE_DONE;
}

/*
 * Read the headers of the record's parts.  'bytes' are its first 'have' ones.
 */
static ParseResult
parse_parts(CkpxWalRecord *record, const char *bytes, uint32 have)
{
	const char *at = bytes + SizeOfXLogRecord;
	const char *upto = bytes + have;
	const CkpxWalBlock *previous = NULL;
	int			last_id = -1;
	uint64		payload = 0;

	record->nblocks = 0;
	record->data_length = 0;
	while (record->length - (uint32) (at - bytes) > payload)
	{
		uint8		id;
		uint8		length;
		char		ignored[sizeof(TransactionId)];
		ParseResult result;

		if (!take(&at, upto, &id, sizeof(id)))
			return PARSE_SHORT;
		if (id <= XLR_MAX_BLOCK_ID)
		{
			if (id <= last_id)
				return PARSE_ODD;
			last_id = id;
			result = parse_block(&at, upto, &record->blocks[record->nblocks],
								 &previous, &payload);
			if (result != PARSE_DONE)
				return result;
			record->nblocks++;
		}
		else if (id == XLR_BLOCK_ID_DATA_SHORT)
		{
			if (!take(&at, upto, &length, sizeof(length)))
				return PARSE_SHORT;
			record->data_length = length;
			break;				/* the main data is always last */
		}
		else if (id == XLR_BLOCK_ID_DATA_LONG)
		{
			if (!take(&at, upto, &record->data_length, sizeof(uint32)))
				return PARSE_SHORT;
			break;
		}
		else if (id == XLR_BLOCK_ID_ORIGIN)
		{
			if (!take(&at, upto, ignored, sizeof(RepOriginId)))
				return PARSE_SHORT;
		}
		else if (id == XLR_BLOCK_ID_TOPLEVEL_XID)
		{
			if (!take(&at, upto, ignored, sizeof(TransactionId)))
				return PARSE_SHORT;
		}
		else
			return PARSE_ODD;
	}
	payload += record->data_length;
	return record->length - (uint32) (at - bytes) == payload ?
		PARSE_DONE : PARSE_ODD;
}

/*
 * Find the next record's header, and check what it says by itself.  NULL: it
 * is not for us, or is odd.
 */
static const XLogRecord *
find_header(CkpxWalSource *source, XLogRecPtr *start)
{
	XLogReaderState *reader = source->reader;
	XLogRecPtr	at = reader->NextRecPtr;
	XLogRecPtr	page = at - at % XLOG_BLCKSZ;
	const XLogPageHeaderData *page_header;
	const XLogRecord *header;

	/* Without a record before it, only the reader begins. */
	if (XLogRecPtrIsInvalid(reader->DecodeRecPtr) ||
		at < source->chunk_from || at >= source->chunk_upto)
		return NULL;
	if (page != source->walked_page && !check_page(source, page))
		return NULL;
	if (at == page)				/* else it lies behind the header */
		at += SizeOfXLogShortPHD;
	page_header = (const XLogPageHeaderData *) chunk_at(source, page);
	if (at == page + SizeOfXLogShortPHD &&
		(page_header->xlp_info & XLP_FIRST_IS_CONTRECORD) != 0)
		return NULL;

	/* Neither behind the good bytes nor divided by a page's end. */
	if (at + SizeOfXLogRecord > Min(page + XLOG_BLCKSZ, source->chunk_upto))
		return NULL;
	header = (const XLogRecord *) chunk_at(source, at);
	if (header->xl_tot_len < SizeOfXLogRecord ||
		header->xl_tot_len > source->chunk_upto - at ||
		header->xl_rmid > RM_MAX_BUILTIN_ID ||
		header->xl_prev != reader->DecodeRecPtr)
		return NULL;

	/* It goes on to the end of its segment. */
	if (header->xl_rmid == RM_XLOG_ID &&
		(header->xl_info & ~XLR_INFO_MASK) == XLOG_SWITCH)
		return NULL;
	*start = at;
	return header;
}

bool
ckpx_wal_walk(CkpxWalSource *source)
{
	XLogReaderState *reader = source->reader;
	CkpxWalRecord *record = &source->record;
	XLogRecPtr	start = InvalidXLogRecPtr;
	const XLogRecord *header = find_header(source, &start);
	const char *bytes = (const char *) header;
	uint32		length;
	uint32		here;
	pg_crc32c	crc;
	ParseResult result;

	if (header == NULL)
		return false;
	length = header->xl_tot_len;
	here = Min(length, XLOG_BLCKSZ - start % XLOG_BLCKSZ);
	record->end = start + MAXALIGN(length);

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, bytes + SizeOfXLogRecord, here - SizeOfXLogRecord);
	if (here < length &&
		!walk_pages(source, start, here, length, &crc, &record->end))
		return false;
	COMP_CRC32C(crc, bytes, offsetof(XLogRecord, xl_crc));
	FIN_CRC32C(crc);
	if (!EQ_CRC32C(crc, header->xl_crc))
		return false;

	record->length = length;
	result = parse_parts(record, bytes, here);
	if (result == PARSE_SHORT && here < length)
	{
		uint32		have = Min(length, CKPX_WALK_BYTES);

		copy_bytes(source, start, 0, have, source->walk_buffer);
		result = parse_parts(record, source->walk_buffer, have);
	}
	if (result != PARSE_DONE)
		return false;

	record->data = NULL;
	if (ckpx_wal_record_wants_data(header->xl_rmid))
	{
		if (record->data_length > CKPX_WALK_BYTES)
			return false;
		record->data = source->walk_buffer;
		copy_bytes(source, start, length - record->data_length, length,
				   record->data);
	}
	record->start = start;
	record->crc = header->xl_crc;
	record->xid = header->xl_xid;
	record->info = header->xl_info;
	record->rmid = header->xl_rmid;
	record->reader = NULL;

	reader->ReadRecPtr = reader->DecodeRecPtr = start;
	reader->EndRecPtr = reader->NextRecPtr = record->end;
	return true;
}
