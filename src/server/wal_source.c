/*-------------------------------------------------------------------------
 *
 * wal_source.c
 *		Reading WAL: from a position to whole records, over timelines, and
 *		never past what is safe to read.
 *
 * What a record changes is wal_decode.c's matter.
 *
 * The limit.  WAL is read up to the flush LSN, in recovery up to the replay
 * LSN.  What lies below will not change any more while this process lives,
 * so a record is either whole or not there yet; at the limit the reader fails
 * without a word and tries the same record again later.
 *
 * Chunks.  WAL is read in chunks of up to 128 kB, large enough to make the
 * cost of the system call vanish and small enough for the second-level cache.
 * The bytes of a chunk are good below the limit that was known before they
 * were read; only the bytes after that are read again later.  XLogReader looks
 * at pages right in the chunk: page_read points readBuf there instead of
 * copying.  That is sound because a page always lies at the same place in the
 * chunk, and because XLogReader asks again whenever it needs another page or
 * more of the same one.  It also means that XLogReaderFree() must not be used;
 * the memory context takes everything.
 *
 * Timelines.  The history of the timeline that is present at the limit says
 * which file holds a segment: the newest timeline of the history that has a
 * part in it, for a new timeline's first segment begins with a copy of the old
 * one's bytes up to the switch point, while the old one's last segment may be
 * renamed or missing.  The reader itself does not notice a switch: it goes on
 * with the next record, across a record that was cut off by the switch, and
 * checks its link to the previous one.  'timeline' is the one that the
 * position is on; while a switch point lies ahead it is the limit, and to
 * arrive there is reported once.
 *
 * A new timeline becomes visible as present only when promotion is over; its
 * files change a little earlier.  A segment that is missing in recovery and
 * holds the limit is therefore waited for.
 *
 * Cut-off records.  After a crash or a promotion the last record may lack its
 * end.  PostgreSQL continues on the next page, flagged as overwriting, and the
 * reader passes over the pieces.  If the record's first page was not complete
 * the record is simply overwritten; it was never read, for the flushed part
 * ended within it, and the process that saw that part is gone with the crash.
 *
 * Trouble.  A file may be replaced or renamed under an open descriptor, so
 * anything unexpected closes the file, looks at the limit and the history anew
 * and tries once more before it is believed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "server/wal_source.h"

#include <fcntl.h>
#include <unistd.h>

#include "access/timeline.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogrecovery.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "server/compat.h"
#include "server/wal_decode.h"
#include "storage/fd.h"
#include "utils/memutils.h"

/* Divides every WAL segment size, so that a chunk never spans two segments. */
#define CHUNK_BYTES		(128 * 1024)

/* Why page_read returned without a page. */
typedef enum ReadStatus
{
	READ_OK = 0,
	READ_AT_LIMIT,				/* the record does not end below the limit */
	READ_LATER,					/* not there yet for another reason */
	READ_GONE,					/* the segment is missing */
	READ_SHORT,					/* the segment is too short */
	READ_BROKEN					/* 'problem' is set */
} ReadStatus;

struct CkpxWalSource
{
	MemoryContext parent;
	MemoryContext context;
	MemoryContextCallback on_reset; /* closes the file */
	XLogReaderState *reader;
	CkpxWalDecoder *decoder;

	/* Where we are. */
	XLogRecPtr	position;		/* end of the last decoded record */
	TimeLineID	timeline;		/* that 'position' is on */
	CkpxRecordMark last_record;
	XLogRecPtr	cut_start;		/* end of the last cut */
	bool		switch_reported;	/* go on with 'next_timeline' */
	CkpxWalProblem problem;

	/* How far we may read. */
	XLogRecPtr	limit;
	XLogRecPtr	switch_point;	/* where 'timeline' ends, invalid: it does not */
	TimeLineID	next_timeline;
	TimeLineID	history_timeline;	/* present timeline at the limit, 0: none */
	List	   *history;		/* its TimeLineHistoryEntry's, newest first */

	/* The open file, and the chunk read from it. */
	int			file;			/* or -1 */
	XLogSegNo	segment;
	TimeLineID	file_timeline;
	char		path[MAXPGPATH];	/* of the file, or of the missing one */
	ReadStatus	status;			/* of the last page_read */
	char	   *chunk;
	XLogRecPtr	chunk_base;		/* LSN of chunk[0], a multiple of its size */
	XLogRecPtr	chunk_from;		/* the bytes of [from, upto) are good */
	XLogRecPtr	chunk_upto;
};

/*
 * Problems
 */

static void set_problem(CkpxWalSource *source, CkpxWalBreak kind,
						XLogRecPtr lsn, XLogRecPtr resume_lsn,
						const char *format,...) pg_attribute_printf(5, 6);

static void
set_problem(CkpxWalSource *source, CkpxWalBreak kind, XLogRecPtr lsn,
			XLogRecPtr resume_lsn, const char *format,...)
{
	va_list		args;

	source->problem.kind = kind;
	source->problem.lsn = lsn;
	source->problem.resume_lsn = resume_lsn;
	va_start(args, format);
	vsnprintf(source->problem.text, sizeof(source->problem.text), format,
			  args);
	va_end(args);
}

const CkpxWalProblem *
ckpx_wal_source_problem(const CkpxWalSource *source)
{
	return &source->problem;
}

static void
close_file(CkpxWalSource *source)
{
	if (source->file >= 0)
		(void) close(source->file);
	source->file = -1;
	source->chunk_from = source->chunk_upto = InvalidXLogRecPtr;
}

static void
close_file_on_reset(void *arg)
{
	close_file((CkpxWalSource *) arg);
}

/* Forget the file and every byte that came from it. */
static void
start_over(CkpxWalSource *source)
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
	XLogRecPtr	header = XLogSegmentOffset(lsn - offset, wal_segment_size) == 0 ?
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

	if (!RecoveryInProgress() || present >= timeline)
		return false;
	history = readTimeLineHistory(timeline);
	return find_switch_point(history, present, &switch_point, NULL) &&
		!XLogRecPtrIsInvalid(switch_point) && limit <= switch_point;
}

/*
 * Look how far WAL may be read now.  False: the position is not in the
 * present history.
 */
static bool
update_limit(CkpxWalSource *source)
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
				set_problem(source, CKPX_BREAK_BEHIND, limit,
							InvalidXLogRecPtr,
							"replay has not reached timeline %u yet",
							source->timeline);
			else
				set_problem(source, CKPX_BREAK_HISTORY, source->position,
							InvalidXLogRecPtr,
							"timeline %u is not in the history of timeline %u",
							source->timeline, present);
			return false;
		}
		if (source->position > source->switch_point)
		{
			set_problem(source, CKPX_BREAK_HISTORY, source->switch_point,
						InvalidXLogRecPtr,
						"timeline %u was left at %X/%X, before %X/%X",
						source->timeline,
						LSN_FORMAT_ARGS(source->switch_point),
						LSN_FORMAT_ARGS(source->position));
			return false;
		}
		limit = Min(limit, source->switch_point);
	}
	if (limit < source->limit)
		start_over(source);		/* what lies behind it is void */
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
		source->chunk_from = source->chunk_upto = from;
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
		source->chunk_from = source->chunk_upto = from - from % XLOG_BLCKSZ;

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

/* XLogReader's callback: at least 'length' bytes of the page at 'page'. */
static int
read_page(XLogReaderState *reader, XLogRecPtr page, int length,
		  XLogRecPtr record_lsn, char *buffer)
{
	CkpxWalSource *source = (CkpxWalSource *) reader->private_data;

	CHECK_FOR_INTERRUPTS();

	source->status = READ_OK;
	if (page + length > source->limit)
	{
		if (!update_limit(source))
			source->status = READ_BROKEN;
		else if (page + length > source->limit)
			source->status = READ_AT_LIMIT;
	}
	if (source->status == READ_OK)
		source->status = fill_chunk(source, page, page + length);
	if (source->status != READ_OK)
		return -1;

	reader->readBuf = source->chunk + (page - source->chunk_base);
	reader->seg.ws_tli = source->file_timeline;
	return (int) Min(XLOG_BLCKSZ, source->chunk_upto - page);
}

/*
 * Records
 */

/*
 * Read the next record into the reader.  False: source->status says whether
 * it is READ_AT_LIMIT, READ_LATER or READ_BROKEN.  Runs in the source's
 * context.
 */
static bool
next_record(CkpxWalSource *source)
{
	XLogReaderState *reader = source->reader;

	for (int attempt = 0;; attempt++)
	{
		XLogRecPtr	at = reader->NextRecPtr;
		char	   *message = NULL;

		/* Spare the reader an attempt that cannot succeed. */
		if (at >= source->limit)
		{
			if (!update_limit(source))
			{
				source->status = READ_BROKEN;
				return false;
			}
			if (at >= source->limit)
			{
				source->status = READ_AT_LIMIT;
				return false;
			}
		}

		source->status = READ_OK;
		if (XLogReadRecord(reader, &message) != NULL)
			return true;

		/* A page header and nothing behind it makes no message. */
		if (source->status == READ_OK && message == NULL)
			source->status = READ_LATER;
		if (source->status == READ_AT_LIMIT || source->status == READ_LATER ||
			source->status == READ_BROKEN)
			return false;

		if (attempt > 0)
		{
			if (source->status == READ_GONE)
				set_problem(source, CKPX_BREAK_GONE, at, InvalidXLogRecPtr,
							"WAL file \"%s\" is missing", source->path);
			else if (source->status == READ_SHORT)
				set_problem(source, CKPX_BREAK_INVALID, at, InvalidXLogRecPtr,
							"WAL file \"%s\" is too short", source->path);
			else
				set_problem(source, CKPX_BREAK_INVALID, at, InvalidXLogRecPtr,
							"%s", message);
			source->status = READ_BROKEN;
			return false;
		}
		start_over(source);
		if (!update_limit(source))
		{
			source->status = READ_BROKEN;
			return false;
		}
	}
}

/* Let the reader begin at a record, or behind the header of a page. */
static void
begin_read(CkpxWalSource *source, XLogRecPtr lsn)
{
	/* Up to 15, XLogBeginRead() takes only the start of a record. */
	if (lsn % XLOG_BLCKSZ == 0)
		lsn += XLogSegmentOffset(lsn, wal_segment_size) == 0 ?
			SizeOfXLogLongPHD : SizeOfXLogShortPHD;

	start_over(source);
	source->reader->latestPagePtr = InvalidXLogRecPtr;
	source->reader->latestPageTLI = 0;
	XLogBeginRead(source->reader, lsn);
}

/*
 * wal_level was minimal: find the record from which on it is not.  Returns
 * its end, or InvalidXLogRecPtr if it has not come yet.
 */
static XLogRecPtr
skip_minimal(CkpxWalSource *source)
{
	while (next_record(source))
	{
		if (ckpx_wal_decoder_wal_level(source->reader) > WAL_LEVEL_MINIMAL)
			return source->reader->EndRecPtr;
	}
	return InvalidXLogRecPtr;
}

/*
 * The interface
 */

CkpxWalSource *
ckpx_wal_source_create(MemoryContext parent, CkpxFirstRecordCallback callback)
{
	MemoryContext context;
	MemoryContext old_context;
	CkpxWalSource *source;

	context = AllocSetContextCreate(parent, "ckpx WAL source",
									ALLOCSET_DEFAULT_SIZES);
	old_context = MemoryContextSwitchTo(context);

	source = palloc0(sizeof(CkpxWalSource));
	source->parent = parent;
	source->context = context;
	source->file = -1;
	source->on_reset.func = close_file_on_reset;
	source->on_reset.arg = source;
	MemoryContextRegisterResetCallback(context, &source->on_reset);

	source->chunk = palloc(CHUNK_BYTES);
	source->reader = XLogReaderAllocate(wal_segment_size, NULL,
										XL_ROUTINE(.page_read = read_page),
										source);
	if (source->reader == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory"),
				 errdetail("Failed while allocating a WAL reading processor.")));
	source->reader->system_identifier = GetSystemIdentifier();
	source->decoder = ckpx_wal_decoder_create(context, callback);

	MemoryContextSwitchTo(old_context);
	return source;
}

void
ckpx_wal_source_free(CkpxWalSource *source)
{
	MemoryContextDelete(source->context);
}

/*
 * What both ways to begin have in common.  What is known of transactions is
 * right only where the new position goes on from the old one, if need be over
 * the one record that broke the chain.  Sequences are kept in any case: one
 * too many does no harm.
 */
static void
set_position(CkpxWalSource *source, XLogRecPtr lsn, TimeLineID timeline)
{
	bool		goes_on = lsn == source->position ||
		(source->problem.kind == CKPX_BREAK_SPECIAL &&
		 lsn == source->problem.resume_lsn);

	if (!XLogRecPtrIsInvalid(source->position))
	{
		ckpx_wal_decoder_discard(source->decoder);
		if (!goes_on)
			ckpx_wal_xacts_reset(source->decoder->xacts, lsn);
	}
	source->position = lsn;
	source->timeline = timeline;
	source->cut_start = lsn;
	source->switch_reported = false;
	source->limit = InvalidXLogRecPtr;
	memset(&source->last_record, 0, sizeof(source->last_record));
	memset(&source->problem, 0, sizeof(source->problem));
}

void
ckpx_wal_source_begin(CkpxWalSource *source, XLogRecPtr lsn,
					  TimeLineID timeline)
{
	set_position(source, lsn, timeline);
	begin_read(source, lsn);
}

/* Read the record 'mark' once more and compare it. */
static bool
check_last_record(CkpxWalSource *source, const CkpxRecordMark *mark)
{
	XLogReaderState *reader = source->reader;
	const XLogRecord *header;

	if (!update_limit(source))
		return false;
	if (source->limit < source->position)
	{
		set_problem(source, CKPX_BREAK_BEHIND, source->limit,
					InvalidXLogRecPtr, "WAL ends at %X/%X, before %X/%X",
					LSN_FORMAT_ARGS(source->limit),
					LSN_FORMAT_ARGS(source->position));
		return false;
	}
	if (XLogRecPtrIsInvalid(mark->start))
		return true;			/* nothing to compare with */

	if (!next_record(source))
	{
		if (source->status == READ_LATER)
			set_problem(source, CKPX_BREAK_BEHIND, mark->start,
						InvalidXLogRecPtr,
						"WAL file \"%s\" is not there yet", source->path);
		else if (source->status == READ_AT_LIMIT)
			set_problem(source, CKPX_BREAK_INVALID, mark->start,
						InvalidXLogRecPtr,
						"the record at %X/%X is not complete",
						LSN_FORMAT_ARGS(mark->start));
		return false;
	}
	header = &reader->record->header;
	if (reader->ReadRecPtr != mark->start ||
		reader->EndRecPtr != source->position ||
		header->xl_tot_len != mark->length || header->xl_crc != mark->crc)
	{
		set_problem(source, CKPX_BREAK_INVALID, mark->start,
					InvalidXLogRecPtr,
					"the record at %X/%X is not the one that was read before",
					LSN_FORMAT_ARGS(mark->start));
		return false;
	}
	source->last_record = *mark;
	return true;
}

bool
ckpx_wal_source_resume(CkpxWalSource *source, XLogRecPtr lsn,
					   TimeLineID timeline, const CkpxRecordMark *mark)
{
	MemoryContext old_context = MemoryContextSwitchTo(source->context);
	bool		result;

	set_position(source, lsn, timeline);
	begin_read(source, XLogRecPtrIsInvalid(mark->start) ? lsn : mark->start);
	result = check_last_record(source, mark);
	MemoryContextSwitchTo(old_context);
	return result;
}

void
ckpx_wal_source_add_sequence(CkpxWalSource *source, const CkpxRelKey *key)
{
	ckpx_wal_decoder_add_sequence(source->decoder, key, source->position);
}

void
ckpx_wal_source_add_open_xact(CkpxWalSource *source, TransactionId xid,
							  XLogRecPtr first_lsn)
{
	ckpx_wal_xacts_add(source->decoder->xacts, xid, first_lsn);
}

void
ckpx_wal_source_add_undurable(CkpxWalSource *source, const CkpxRelKey *key)
{
	ckpx_wal_xacts_add_undurable(source->decoder->xacts, key);
}

/* Decode records until there is a reason to stop. */
static CkpxWalResult
read_records(CkpxWalSource *source, XLogRecPtr upto, uint64 max_bytes)
{
	XLogReaderState *reader = source->reader;
	XLogRecPtr	stop = PG_UINT64_MAX;

	if (!update_limit(source))
		return CKPX_WAL_BROKEN;
	if (!XLogRecPtrIsInvalid(upto))
		stop = upto;
	if (max_bytes > 0)
		stop = Min(stop, source->position + max_bytes);

	while (source->position < stop)
	{
		CkpxWalBreak broken;

		if (!next_record(source))
		{
			if (source->status == READ_BROKEN)
				return CKPX_WAL_BROKEN;
			if (source->status == READ_AT_LIMIT &&
				source->limit == source->switch_point)
			{
				/* Everything of this timeline that counts is decoded. */
				source->switch_reported = true;
				return CKPX_WAL_SWITCH;
			}
			return CKPX_WAL_CAUGHT_UP;
		}

		broken = ckpx_wal_decoder_apply(source->decoder, reader);
		if (unlikely(broken != CKPX_BREAK_NONE))
		{
			XLogRecPtr	at = reader->ReadRecPtr;

			if (broken == CKPX_BREAK_MINIMAL)
				set_problem(source, broken, at, skip_minimal(source),
							"wal_level was \"minimal\"");
			else
				set_problem(source, broken, at, reader->EndRecPtr,
							"unknown record changes relation files: resource manager %u, info %02X",
							XLogRecGetRmid(reader), XLogRecGetInfo(reader));
			return CKPX_WAL_BROKEN;
		}

		source->position = reader->EndRecPtr;
		source->last_record.start = reader->ReadRecPtr;
		source->last_record.length = XLogRecGetTotalLen(reader);
		source->last_record.crc = reader->record->header.xl_crc;
	}
	return source->position < source->limit ? CKPX_WAL_MORE : CKPX_WAL_CAUGHT_UP;
}

CkpxWalResult
ckpx_wal_source_read(CkpxWalSource *source, XLogRecPtr upto, uint64 max_bytes)
{
	MemoryContext old_context;
	CkpxWalResult result;

	Assert(!XLogRecPtrIsInvalid(source->position));
	if (source->problem.kind != CKPX_BREAK_NONE)
		return CKPX_WAL_BROKEN;

	if (source->switch_reported)
	{
		/* The same bytes, but from the next timeline's file. */
		start_over(source);
		source->timeline = source->next_timeline;
		source->switch_reported = false;
	}

	/* XLogReader allocates in the current context. */
	old_context = MemoryContextSwitchTo(source->context);
	result = read_records(source, upto, max_bytes);
	MemoryContextSwitchTo(old_context);
	return result;
}

XLogRecPtr
ckpx_wal_source_position(const CkpxWalSource *source, TimeLineID *timeline)
{
	if (timeline != NULL)
		*timeline = source->timeline;
	return source->position;
}

bool
ckpx_wal_source_pending(const CkpxWalSource *source)
{
	return source->decoder->nrecords > 0;
}

Size
ckpx_wal_source_memory(const CkpxWalSource *source)
{
	return MemoryContextMemAllocated(source->context, true);
}

void
ckpx_wal_source_cut(CkpxWalSource *source, CkpxWalCut *cut)
{
	ckpx_wal_decoder_take(source->decoder, source->parent, cut);
	cut->start_lsn = source->cut_start;
	cut->end_lsn = source->position;
	cut->timeline = source->timeline;
	cut->wal_bytes = source->position - source->cut_start;
	cut->last_record = source->last_record;
	source->cut_start = source->position;
}

XLogRecPtr
ckpx_wal_source_checkpoint_redo(const CkpxWalSource *source)
{
	return source->decoder->checkpoint_redo;
}

uint32
ckpx_wal_source_open_xacts(const CkpxWalSource *source, CkpxOpenXact **xacts,
						   bool *complete)
{
	*complete = source->decoder->xacts->complete;
	return ckpx_wal_xacts_list(source->decoder->xacts, xacts);
}

uint32
ckpx_wal_source_undurable(CkpxWalSource *source, XLogRecPtr redo,
						  CkpxRelKey **keys)
{
	return ckpx_wal_xacts_undurable(source->decoder->xacts, redo, keys);
}

uint32
ckpx_wal_source_builds(const CkpxWalSource *source, XLogRecPtr durable,
					   CkpxRelKey **ended, XLogRecPtr *from, XLogRecPtr *to)
{
	return ckpx_wal_xacts_builds(source->decoder->xacts, durable, ended,
								 from, to);
}
