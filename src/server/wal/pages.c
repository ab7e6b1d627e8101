/*-------------------------------------------------------------------------
 *
 * pages.c
 *		Pages of WAL: how far they may be read, which file they are in, and
 *		reading them.
 *
 * The limit.  WAL is read up to the flush LSN, in recovery up to the replay
 * LSN.  What lies below will not change any more while this process lives, so
 * a record is either whole or not there yet; at the limit the reader fails
 * without a word and tries the same record again later.
 *
 * Chunks.  WAL is read in chunks of up to 256 kB, large enough to make the
 * cost of the system call vanish and small enough for the second-level cache.
 * The bytes of a chunk are good below the limit that was known before they
 * were read; only the bytes after that are read again later.  XLogReader
 * looks at pages right in the chunk: page_read points readBuf there instead
 * of copying.  That is sound because a page always lies at the same place in
 * the chunk, and because XLogReader asks again whenever it needs another page
 * or more of the same one.  It also means that XLogReaderFree() must not be
 * used; the memory context takes everything.
 *
 * Timelines.  The history of the timeline that is present at the limit says
 * which file holds a segment: the newest timeline of the history that has a
 * part in it, for a new timeline's first segment begins with a copy of the
 * old one's bytes up to the switch point, while the old one's last segment
 * may be renamed or missing.
 *
 * A new timeline becomes visible as present only when promotion is over; its
 * files change a little earlier.  A segment that is missing in recovery and
 * holds the limit is therefore waited for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "server/wal/source_internal.h"

#include <fcntl.h>
#include <unistd.h>

#include "access/timeline.h"
#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "server/base/compat.h"
#include "server/base/fault.h"
#include "storage/fd.h"

/*
 * Problems
 */

void
ckpx_wal_broke(CkpxWalSource *source, CkpxWalBreak kind, XLogRecPtr lsn,
			   const char *format,...)
{
	va_list		args;

	source->problem.kind = kind;
	source->problem.lsn = lsn;
	source->problem.resume_lsn = InvalidXLogRecPtr;
	source->problem.switch_lsn = InvalidXLogRecPtr;
	va_start(args, format);
	vsnprintf(source->problem.text, sizeof(source->problem.text), format,
			  args);
	va_end(args);
}

/* No byte of the chunk is good; the first one will be that at 'page'. */
static void
empty_chunk(CkpxWalSource *source, XLogRecPtr page)
{
	source->chunk_from = source->chunk_upto = page;
	source->walked_page = InvalidXLogRecPtr;
}

static void
close_file(CkpxWalSource *source)
{
	if (source->file >= 0)
		(void) close(source->file);
	source->file = -1;
	empty_chunk(source, InvalidXLogRecPtr);
}

void
ckpx_wal_close_on_reset(void *arg)
{
	close_file((CkpxWalSource *) arg);
}

/* Forget the file and every byte that came from it. */
void
ckpx_wal_start_over(CkpxWalSource *source)
{
	close_file(source);
	source->reader->readLen = 0;
}

/*
 * The limit and the timelines
 */

XLogRecPtr
ckpx_wal_normalize_lsn(XLogRecPtr lsn)
{
	XLogRecPtr	offset = lsn % XLOG_BLCKSZ;
	XLogRecPtr	header =
		XLogSegmentOffset(lsn - offset, wal_segment_size) == 0 ?
		SizeOfXLogLongPHD : SizeOfXLogShortPHD;

	if (offset > header || offset == lsn)
		return lsn;
	return lsn - offset;
}

XLogRecPtr
ckpx_wal_read_limit(TimeLineID *timeline)
{
	if (RecoveryInProgress())
		return GetXLogReplayRecPtr(timeline);
	return GetFlushRecPtr(timeline);
}

/* Find the switch point at which 'timeline' ends in a history. */
static bool
find_switch_point(List *history, TimeLineID timeline, XLogRecPtr *switch_point,
				  TimeLineID *next_timeline)
{
	if (!tliInHistory(timeline, history))
		return false;
	*switch_point = tliSwitchPoint(timeline, history, next_timeline);
	return true;
}

/*
 * In recovery replay starts over at an older point after a restart, perhaps
 * on an older timeline than the position's.  Is that all, or are we on
 * another branch?
 */
static bool
is_behind(TimeLineID present, XLogRecPtr limit, TimeLineID timeline)
{
	List	   *history;
	XLogRecPtr	switch_point;
	bool		behind;

	if (!RecoveryInProgress() || present >= timeline)
		return false;
	history = readTimeLineHistory(timeline);
	behind = find_switch_point(history, present, &switch_point, NULL) &&
		!XLogRecPtrIsInvalid(switch_point) && limit <= switch_point;
	list_free_deep(history);	/* we are asked again and again */
	return behind;
}

/*
 * Look how far WAL may be read now.  False: the position is not in the
 * present history.
 */
bool
ckpx_wal_update_limit(CkpxWalSource *source)
{
	XLogRecPtr	limit;
	TimeLineID	present;

	limit = ckpx_wal_read_limit(&present);

	if (present != source->history_timeline)
	{
		list_free_deep(source->history);
		source->history = NIL;
		source->history_timeline = 0;
		source->history = readTimeLineHistory(present);
		source->history_timeline = present;
	}

	source->switch_point = InvalidXLogRecPtr;
	if (present != source->timeline)
	{
		if (!find_switch_point(source->history, source->timeline,
							   &source->switch_point, &source->next_timeline))
		{
			if (is_behind(present, limit, source->timeline))
				ckpx_wal_broke(source, CKPX_BREAK_BEHIND, limit,
							   "replay has not reached timeline %u yet",
							   source->timeline);
			else
				ckpx_wal_broke(source, CKPX_BREAK_HISTORY, source->position,
							   "timeline %u is not in the history of timeline %u",
							   source->timeline, present);
			return false;
		}
		if (source->position > source->switch_point)
		{
			ckpx_wal_broke(source, CKPX_BREAK_HISTORY, source->switch_point,
						   "timeline %u was left at %X/%X, before %X/%X",
						   source->timeline,
						   LSN_FORMAT_ARGS(source->switch_point),
						   LSN_FORMAT_ARGS(source->position));
			source->problem.switch_lsn = source->switch_point;
			return false;
		}
		limit = Min(limit, source->switch_point);
	}
	if (limit < source->limit)
		ckpx_wal_start_over(source);	/* what lies behind it is void */
	source->limit = limit;
	return true;
}

/*
 * Files and chunks
 */

/* Open the file that holds a segment; false: there is none. */
static bool
open_segment(CkpxWalSource *source, XLogSegNo segment)
{
	XLogRecPtr	start;
	XLogRecPtr	end;
	ListCell   *cell;

	if (source->file >= 0 && source->segment == segment)
		return true;
	close_file(source);

	XLogSegNoOffsetToRecPtr(segment, 0, wal_segment_size, start);
	end = start + wal_segment_size;
	foreach(cell, source->history)
	{
		TimeLineHistoryEntry *entry = (TimeLineHistoryEntry *) lfirst(cell);

		if (entry->begin >= end ||
			(!XLogRecPtrIsInvalid(entry->end) && entry->end <= start))
			continue;

		XLogFilePath(source->path, entry->tli, segment, wal_segment_size);
		source->file = BasicOpenFile(source->path, O_RDONLY | PG_BINARY);
		if (source->file >= 0)
		{
			source->segment = segment;
			source->file_timeline = entry->tli;
			return true;
		}
		if (errno != ENOENT)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not open file \"%s\": %m", source->path)));
	}
	return false;
}

/*
 * Make the bytes [from, upto) available in the chunk; 'from' is the start of
 * a page, all of it lies below the limit.
 */
static ReadStatus
fill_chunk(CkpxWalSource *source, XLogRecPtr from, XLogRecPtr upto)
{
	XLogRecPtr	base = from - from % CHUNK_BYTES;
	XLogRecPtr	end = Min(base + CHUNK_BYTES, source->limit);
	XLogSegNo	segment;

	if (source->chunk_base == base && source->chunk_from <= from &&
		source->chunk_upto >= from)
	{
		if (upto <= source->chunk_upto)
			return READ_OK;
		from = source->chunk_upto;	/* go on behind the good bytes */
	}
	else
	{
		source->chunk_base = base;
		empty_chunk(source, from);
	}

	XLByteToSeg(base, segment, wal_segment_size);
	if (!open_segment(source, segment))
	{
		XLogSegNo	last;

		/* Promotion renames files before it shows the new timeline. */
		XLByteToPrevSeg(source->limit, last, wal_segment_size);
		if (segment == last && RecoveryInProgress() &&
			XLogRecPtrIsInvalid(source->switch_point))
			return READ_LATER;
		return READ_GONE;
	}
	/* Opening another file has emptied the chunk. */
	source->chunk_base = base;
	if (source->chunk_upto != from)
		empty_chunk(source, from - from % XLOG_BLCKSZ);

	CKPX_FAULT("wal-read");
	while (source->chunk_upto < end)
	{
		ssize_t		nbytes;

		pgstat_report_wait_start(WAIT_EVENT_WAL_READ);
		nbytes = pg_pread(source->file,
						  source->chunk + (source->chunk_upto - base),
						  end - source->chunk_upto,
						  (off_t) XLogSegmentOffset(source->chunk_upto,
													wal_segment_size));
		pgstat_report_wait_end();
		if (nbytes < 0)
		{
			if (errno == EINTR)
				continue;
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not read file \"%s\", offset %u: %m",
							source->path,
							(uint32) XLogSegmentOffset(source->chunk_upto,
													   wal_segment_size))));
		}
		if (nbytes == 0)
			break;
		source->chunk_upto += nbytes;
	}
	return source->chunk_upto >= upto ? READ_OK : READ_SHORT;
}

/* What PostgreSQL writes first behind a record that was cut off. */
#define OVERWRITE_BYTES \
	(SizeOfXLogLongPHD + \
	 MAXALIGN(SizeOfXLogRecord + SizeOfXLogRecordDataHeaderShort + \
			  sizeof(xl_overwrite_contrecord)))

/*
 * Does the page say that the record before it was cut off?
 *
 * In some minor versions, 16.2 among them, PostgreSQL's reader asks for all
 * that the cut-off record would have on the page before it looks at the page's
 * header.  So much WAL there may never be while nothing goes on.
 */
static bool
is_overwritten(CkpxWalSource *source, XLogRecPtr page, XLogRecPtr record_lsn)
{
	XLogPageHeader header;

	if (record_lsn >= page || page + OVERWRITE_BYTES > source->limit ||
		fill_chunk(source, page, page + OVERWRITE_BYTES) != READ_OK)
		return false;
	header = (XLogPageHeader) (source->chunk + (page - source->chunk_base));
	return (header->xlp_info & XLP_FIRST_IS_OVERWRITE_CONTRECORD) != 0;
}

/* XLogReader's callback: at least 'length' bytes of the page at 'page'. */
int
ckpx_wal_read_page(XLogReaderState *reader, XLogRecPtr page, int length,
				   XLogRecPtr record_lsn, char *buffer)
{
	CkpxWalSource *source = (CkpxWalSource *) reader->private_data;

	CHECK_FOR_INTERRUPTS();

	source->status = READ_OK;
	if (page + length > source->limit)
	{
		if (!ckpx_wal_update_limit(source))
			source->status = READ_BROKEN;
		else if (page + length > source->limit)
			source->status = READ_AT_LIMIT;
	}
	if (source->status == READ_AT_LIMIT &&
		is_overwritten(source, page, record_lsn))
	{
		/* The header is all that is looked at; see next_record(). */
		source->status = READ_OK;
		source->padded = true;
		reader->readBuf = source->chunk + (page - source->chunk_base);
		memset(reader->readBuf + (source->chunk_upto - page), 0,
			   page + XLOG_BLCKSZ - source->chunk_upto);
		reader->seg.ws_tli = source->file_timeline;
		return length;
	}
	if (source->status == READ_OK)
		source->status = fill_chunk(source, page, page + length);
	if (source->status != READ_OK)
		return -1;

	reader->readBuf = source->chunk + (page - source->chunk_base);
	reader->seg.ws_tli = source->file_timeline;
	return (int) Min(XLOG_BLCKSZ, source->chunk_upto - page);
}
