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

/* Take a field of 'size' bytes at '*at'. */
static inline void
take(const char **at, void *field, Size size)
{
	memcpy(field, *at, size);
	*at += size;
}

/*
 * Read what a block's header says of its image, and check it as the reader
 * does; false: it is odd.  '*payload' grows by the image's length.
 */
static pg_attribute_always_inline bool
parse_image(const char **at, uint64 *payload, bool *apply)
{
	uint16		length;
	uint16		hole_offset;
	uint16		hole_length;
	uint8		info;
	bool		has_hole;
	bool		compressed;

	take(at, &length, sizeof(length));
	take(at, &hole_offset, sizeof(hole_offset));
	take(at, &info, sizeof(info));
	has_hole = (info & BKPIMAGE_HAS_HOLE) != 0;
	compressed = BKPIMAGE_COMPRESSED(info);
	if (!compressed)
		hole_length = BLCKSZ - length;
	else if (!has_hole)
		hole_length = 0;
	else
		take(at, &hole_length, sizeof(hole_length));

	*payload += length;
	*apply = (info & BKPIMAGE_APPLY) != 0;

	/* This says, too, that an image without both has all of the page. */
	return (hole_offset != 0) == has_hole && (hole_length != 0) == has_hole &&
		!(compressed && length == BLCKSZ);
}

/*
 * Read one block's header, its id being read; false: it is odd.  'previous' is
 * the block whose relation this one may share, or NULL.
 */
static pg_attribute_always_inline bool
parse_block(const char **at, CkpxWalBlock *block, const CkpxWalBlock *previous,
			uint64 *payload)
{
	uint8		flags;
	uint16		data_length;
	RelFileLocator locator;

	take(at, &flags, sizeof(flags));
	take(at, &data_length, sizeof(data_length));
	if (((flags & BKPBLOCK_HAS_DATA) != 0) != (data_length > 0))
		return false;
	*payload += data_length;

	block->image = false;
	if ((flags & BKPBLOCK_HAS_IMAGE) &&
		!parse_image(at, payload, &block->image))
		return false;

	if (flags & BKPBLOCK_SAME_REL)
	{
		if (previous == NULL)
			return false;
		block->key = previous->key;
	}
	else
	{
		take(at, &locator, sizeof(locator));
		block->key.tablespace = CKPX_LOCATOR_TABLESPACE(locator);
		block->key.database = CKPX_LOCATOR_DATABASE(locator);
		block->key.relation = CKPX_LOCATOR_NUMBER(locator);
	}
	block->key.fork = flags & BKPBLOCK_FORK_MASK;
	take(at, &block->block, sizeof(block->block));
	return true;
}

/*
 * Read the headers of the record's parts.  'bytes' are its first 'have' ones;
 * false: something is odd, or the headers go on behind these.  Each header is
 * read first, and then it is seen whether all of it was there: up to
 * CKPX_WALK_SLACK bytes more are looked at.
 */
static pg_attribute_always_inline bool
parse_parts(CkpxWalRecord *record, const char *bytes, uint32 have)
{
	const char *at = bytes + SizeOfXLogRecord;
	const char *upto = bytes + have;
	const char *end = bytes + record->length;
	CkpxWalBlock *block = record->blocks;
	const CkpxWalBlock *previous = NULL;
	int			nblocks = 0;
	int			last_id = -1;
	uint32		data_length = 0;
	uint64		payload = 0;

	while (end - at > (int64) payload)
	{
		uint8		id;

		take(&at, &id, sizeof(id));
		if (id <= XLR_MAX_BLOCK_ID)
		{
			if (id <= last_id ||
				!parse_block(&at, block, previous, &payload))
				return false;
			last_id = id;
			previous = block++;
			nblocks++;
		}
		else if (id == XLR_BLOCK_ID_DATA_SHORT)
		{
			data_length = (uint8) *at++;
			break;				/* the main data is always last */
		}
		else if (id == XLR_BLOCK_ID_DATA_LONG)
		{
			take(&at, &data_length, sizeof(data_length));
			break;
		}
		else if (id == XLR_BLOCK_ID_ORIGIN)
			at += sizeof(RepOriginId);
		else if (id == XLR_BLOCK_ID_TOPLEVEL_XID)
			at += sizeof(TransactionId);
		else
			return false;
		if (at > upto)
			return false;
	}
	record->nblocks = nblocks;
	record->data_length = data_length;
	return at <= upto && end - at == (int64) (payload + data_length);
}

/*
 * Find the next record's header, and check what it says by itself.  Returns
 * where it is; invalid: it is not for us, or is odd.
 */
static inline XLogRecPtr
find_header(CkpxWalSource *source)
{
	XLogReaderState *reader = source->reader;
	XLogRecPtr	at = reader->NextRecPtr;
	XLogRecPtr	page = at - at % XLOG_BLCKSZ;
	const XLogPageHeaderData *page_header;
	const XLogRecord *header;

	/* Without a record before it, only the reader begins. */
	if (page != source->walked_page &&
		(XLogRecPtrIsInvalid(reader->DecodeRecPtr) ||
		 page < source->chunk_from || !check_page(source, page)))
		return InvalidXLogRecPtr;
	if (at == page)				/* else it lies behind the header */
		at += SizeOfXLogShortPHD;
	page_header = (const XLogPageHeaderData *) chunk_at(source, page);
	if (at == page + SizeOfXLogShortPHD &&
		(page_header->xlp_info & XLP_FIRST_IS_CONTRECORD) != 0)
		return InvalidXLogRecPtr;

	/* Neither behind the good bytes nor divided by a page's end. */
	if (at + SizeOfXLogRecord > Min(page + XLOG_BLCKSZ, source->chunk_upto))
		return InvalidXLogRecPtr;
	header = (const XLogRecord *) chunk_at(source, at);
	if (header->xl_tot_len < SizeOfXLogRecord ||
		header->xl_tot_len > source->chunk_upto - at ||
		header->xl_rmid > RM_MAX_BUILTIN_ID ||
		header->xl_prev != reader->DecodeRecPtr)
		return InvalidXLogRecPtr;

	/* It goes on to the end of its segment. */
	if (header->xl_rmid == RM_XLOG_ID &&
		(header->xl_info & ~XLR_INFO_MASK) == XLOG_SWITCH)
		return InvalidXLogRecPtr;
	return at;
}

/* Is 'crc', of all that follows the header, the record's with its header? */
static inline bool
check_crc(const XLogRecord *header, pg_crc32c crc)
{
	COMP_CRC32C(crc, header, offsetof(XLogRecord, xl_crc));
	FIN_CRC32C(crc);
	return EQ_CRC32C(crc, header->xl_crc);
}

/*
 * Check a record that goes on over pages, and read its headers; record->length
 * is set, record->end will be.
 */
static pg_noinline bool
walk_pages(CkpxWalSource *source, XLogRecPtr start)
{
	CkpxWalRecord *record = &source->record;
	const char *bytes = chunk_at(source, start);
	uint32		length = record->length;
	uint32		here = XLOG_BLCKSZ - start % XLOG_BLCKSZ;
	uint32		got = here;
	XLogRecPtr	page = start + here;
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, bytes + SizeOfXLogRecord, here - SizeOfXLogRecord);
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
		COMP_CRC32C(crc, (const char *) header + SizeOfXLogShortPHD, piece);
		got += piece;
		record->end = page + SizeOfXLogShortPHD + MAXALIGN(piece);
		page += XLOG_BLCKSZ;
	}
	if (!check_crc((const XLogRecord *) bytes, crc))
		return false;

	/* Where the headers go on, too, they are put together. */
	if (parse_parts(record, bytes, here))
		return true;
	got = Min(length, CKPX_WALK_BYTES);
	copy_bytes(source, start, 0, got, source->walk_buffer);
	return parse_parts(record, source->walk_buffer, got);
}

/* The same of a record that ends on its page. */
static inline bool
walk_whole(CkpxWalSource *source, XLogRecPtr start)
{
	CkpxWalRecord *record = &source->record;
	const char *bytes = chunk_at(source, start);
	uint32		length = record->length;
	pg_crc32c	crc;

	record->end = start + MAXALIGN(length);
	INIT_CRC32C(crc);
	COMP_CRC32C(crc, bytes + SizeOfXLogRecord, length - SizeOfXLogRecord);
	return check_crc((const XLogRecord *) bytes, crc) &&
		parse_parts(record, bytes, length);
}

bool
ckpx_wal_walk(CkpxWalSource *source)
{
	XLogReaderState *reader = source->reader;
	CkpxWalRecord *record = &source->record;
	XLogRecPtr	start = find_header(source);
	const XLogRecord *header;

	if (XLogRecPtrIsInvalid(start))
		return false;
	header = (const XLogRecord *) chunk_at(source, start);
	record->length = header->xl_tot_len;
	if (unlikely(start % XLOG_BLCKSZ + record->length > XLOG_BLCKSZ) ?
		!walk_pages(source, start) : !walk_whole(source, start))
		return false;

	record->data = NULL;
	if (ckpx_wal_record_wants_data(header->xl_rmid, header->xl_info))
	{
		if (record->data_length > CKPX_WALK_BYTES)
			return false;
		record->data = source->walk_buffer;
		copy_bytes(source, start, record->length - record->data_length,
				   record->length, record->data);
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
