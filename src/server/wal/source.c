/*-------------------------------------------------------------------------
 *
 * source.c
 *		Reading WAL: from a position to whole records, over timelines, and
 *		never past what is safe to read.
 *
 * What a record changes is wal/decode.c's matter, where its bytes come from
 * that of wal/pages.c.
 *
 * Timelines.  The reader itself does not notice a switch: it goes on with the
 * next record, across a record that was cut off by the switch, and checks its
 * link to the previous one.  'timeline' is the one that the position is on;
 * while a switch point lies ahead it is the limit, and to arrive there is
 * reported once.
 *
 * Cut-off records.  After a crash or a promotion the last record may lack its
 * end.  PostgreSQL continues on the next page, flagged as overwriting, and
 * the reader passes over the pieces.  If the record's first page was not
 * complete the record is simply overwritten; it was never read, for the
 * flushed part ended within it, and the process that saw that part is gone
 * with the crash.
 *
 * Trouble.  A file may be replaced or renamed under an open descriptor, so
 * anything unexpected closes the file, looks at the limit and the history
 * anew and tries once more before it is believed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "server/wal/source_internal.h"

#include "access/xlog.h"
#include "catalog/pg_control.h"
#include "miscadmin.h"
#include "server/base/compat.h"
#include "utils/memutils.h"

/*
 * Records
 */

/* Note the record that PostgreSQL's reader has read. */
static void
take_from_reader(CkpxWalRecord *record, XLogReaderState *reader)
{
	const DecodedXLogRecord *decoded = reader->record;

	record->start = reader->ReadRecPtr;
	record->end = reader->EndRecPtr;
	record->length = decoded->header.xl_tot_len;
	record->crc = decoded->header.xl_crc;
	record->xid = decoded->header.xl_xid;
	record->info = decoded->header.xl_info;
	record->rmid = decoded->header.xl_rmid;
	record->data = decoded->main_data;
	record->data_length = decoded->main_data_len;
	record->reader = reader;
	record->nblocks = 0;
	for (int id = 0; id <= decoded->max_block_id; id++)
	{
		const DecodedBkpBlock *from = &decoded->blocks[id];
		CkpxWalBlock *block = &record->blocks[record->nblocks];

		if (!from->in_use)
			continue;
		block->key.tablespace =
			CKPX_LOCATOR_TABLESPACE(CKPX_BLOCK_LOCATOR(from));
		block->key.database = CKPX_LOCATOR_DATABASE(CKPX_BLOCK_LOCATOR(from));
		block->key.relation = CKPX_LOCATOR_NUMBER(CKPX_BLOCK_LOCATOR(from));
		block->key.fork = (uint32) from->forknum;
		block->block = from->blkno;
		block->image = from->has_image && from->apply_image;
		record->nblocks++;
	}
}

/*
 * Read the next record into source->record with PostgreSQL's reader.  False:
 * source->status says whether it is READ_AT_LIMIT, READ_LATER or READ_BROKEN.
 */
static bool
read_by_reader(CkpxWalSource *source)
{
	XLogReaderState *reader = source->reader;
	XLogRecPtr	at = reader->NextRecPtr;
	XLogRecPtr	previous = reader->DecodeRecPtr;

	for (int attempt = 0;; attempt++)
	{
		char	   *message = NULL;

		/* Spare the reader an attempt that cannot succeed. */
		if (at >= source->limit)
		{
			if (!ckpx_wal_update_limit(source))
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
		{
			if (source->padded)
				reader->readLen = 0;	/* the page is to be read again */
			source->padded = false;
			take_from_reader(&source->record, reader);
			return true;
		}

		/* It goes over a record that is whole but cannot be taken apart. */
		reader->NextRecPtr = at;
		reader->DecodeRecPtr = previous;

		/* A page header and nothing behind it makes no message. */
		if (source->status == READ_OK && message == NULL)
			source->status = READ_LATER;
		if (source->status == READ_AT_LIMIT || source->status == READ_LATER ||
			source->status == READ_BROKEN)
			return false;

		if (attempt > 0)
		{
			if (source->status == READ_GONE)
				ckpx_wal_broke(source, CKPX_BREAK_GONE, at, "WAL file \"%s\" is missing", source->path);
			else if (source->status == READ_SHORT)
				ckpx_wal_broke(source, CKPX_BREAK_INVALID, at,
							   "WAL file \"%s\" is too short", source->path);
			else
				ckpx_wal_broke(source, CKPX_BREAK_INVALID, at,
							   "%s", message);
			source->status = READ_BROKEN;
			return false;
		}
		ckpx_wal_start_over(source);
		if (!ckpx_wal_update_limit(source))
		{
			source->status = READ_BROKEN;
			return false;
		}
	}
}

/*
 * Read the next record into source->record.  False: as above.  Runs in the
 * source's context.
 */
static inline bool
next_record(CkpxWalSource *source)
{
	return ckpx_wal_walk(source) || read_by_reader(source);
}

/* Let the reader begin at a record, or behind the header of a page. */
static void
begin_read(CkpxWalSource *source, XLogRecPtr lsn)
{
	/* Up to 15, XLogBeginRead() takes only the start of a record. */
	if (lsn % XLOG_BLCKSZ == 0)
		lsn += XLogSegmentOffset(lsn, wal_segment_size) == 0 ?
			SizeOfXLogLongPHD : SizeOfXLogShortPHD;

	ckpx_wal_start_over(source);
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
		if (ckpx_wal_record_level(&source->record) > WAL_LEVEL_MINIMAL)
			return source->record.end;
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
	source->on_reset.func = ckpx_wal_close_on_reset;
	source->on_reset.arg = source;
	MemoryContextRegisterResetCallback(context, &source->on_reset);

	source->chunk = palloc0(CHUNK_BYTES + CKPX_WALK_SLACK);
	source->walk_buffer = palloc0(CKPX_WALK_BYTES + CKPX_WALK_SLACK);
	source->reader =
		XLogReaderAllocate(wal_segment_size, NULL,
						   XL_ROUTINE(.page_read = ckpx_wal_read_page),
						   source);
	if (source->reader == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory"),
				 errdetail("Failed while allocating a WAL reading processor.")));
	source->reader->system_identifier = GetSystemIdentifier();
	source->changes = ckpx_wal_changes_create(context, callback);

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
		ckpx_wal_changes_discard(source->changes);
		if (!goes_on)
			ckpx_wal_xacts_reset(source->changes->xacts, lsn);
	}
	source->position = lsn;
	source->timeline = timeline;
	source->cut_start = lsn;
	source->switch_reported = false;
	source->at_beginning = false;
	source->redo_reported = false;
	source->limit = InvalidXLogRecPtr;
	memset(&source->last_record, 0, sizeof(source->last_record));
	memset(&source->problem, 0, sizeof(source->problem));
}

void
ckpx_wal_source_begin(CkpxWalSource *source, XLogRecPtr lsn,
					  TimeLineID timeline)
{
	set_position(source, lsn, timeline);
	source->at_beginning = true;
	begin_read(source, lsn);
}

/*
 * Read the records from 'from' to 'mark' once more and compare them: the last
 * one, and the run where 'from' is its start.
 */
static bool
check_records(CkpxWalSource *source, const CkpxRecordMark *mark,
			  XLogRecPtr from)
{
	const CkpxWalRecord *record = &source->record;
	uint32		hash = 0;

	begin_read(source, from);
	if (!ckpx_wal_update_limit(source))
		return false;
	if (source->limit < source->position)
	{
		ckpx_wal_broke(source, CKPX_BREAK_BEHIND, source->limit,
					   "WAL ends at %X/%X, before %X/%X",
					   LSN_FORMAT_ARGS(source->limit),
					   LSN_FORMAT_ARGS(source->position));
		return false;
	}
	if (XLogRecPtrIsInvalid(mark->start))
		return true;			/* nothing to compare with */

	do
	{
		XLogRecPtr	at = source->reader->NextRecPtr;

		if (!next_record(source))
		{
			if (source->status == READ_LATER)
				ckpx_wal_broke(source, CKPX_BREAK_BEHIND, at,
							   "WAL file \"%s\" is not there yet",
							   source->path);
			else if (source->status == READ_AT_LIMIT)
				ckpx_wal_broke(source, CKPX_BREAK_INVALID, at,
							   "the record at %X/%X is not complete",
							   LSN_FORMAT_ARGS(at));
			return false;
		}
		hash = record->start == from ? record->crc :
			ckpx_run_hash(hash, record->crc);
	} while (record->end < source->position);

	if (record->start != mark->start || record->end != source->position ||
		record->length != mark->length || record->crc != mark->crc)
	{
		ckpx_wal_broke(source, CKPX_BREAK_INVALID, mark->start,
					   "the record at %X/%X is not the one that was read before",
					   LSN_FORMAT_ARGS(mark->start));
		return false;
	}
	if (from == mark->run_start && hash != mark->run_hash)
	{
		ckpx_wal_broke(source, CKPX_BREAK_INVALID, from, "the WAL from %X/%X to %X/%X is not what was read before",
					   LSN_FORMAT_ARGS(from),
					   LSN_FORMAT_ARGS(source->position));
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
	XLogRecPtr	from;
	bool		result;

	set_position(source, lsn, timeline);
	if (XLogRecPtrIsInvalid(mark->start))
		from = lsn;
	else if (!XLogRecPtrIsInvalid(mark->run_start))
		from = mark->run_start;
	else
		from = mark->start;
	result = check_records(source, mark, from);

	/*
	 * The slot holds the last record, and no more for the run's sake: where a
	 * long transaction writes alone, the run may reach back to PostgreSQL's
	 * last checkpoint.  Where WAL of it is gone, the last record has to do.
	 */
	if (!result && source->problem.kind == CKPX_BREAK_GONE &&
		from < mark->start)
	{
		memset(&source->problem, 0, sizeof(source->problem));
		result = check_records(source, mark, mark->start);
	}
	MemoryContextSwitchTo(old_context);
	return result;
}

void
ckpx_wal_source_add_sequence(CkpxWalSource *source, const CkpxRelKey *key)
{
	ckpx_wal_changes_sequence(source->changes, key, source->position);
}

void
ckpx_wal_source_add_open_xact(CkpxWalSource *source, TransactionId xid,
							  XLogRecPtr first_lsn)
{
	ckpx_wal_xacts_add(source->changes->xacts, xid, first_lsn);
}

void
ckpx_wal_source_set_complete(CkpxWalSource *source)
{
	source->changes->xacts->complete = true;
}

void
ckpx_wal_source_add_undurable(CkpxWalSource *source, const CkpxRelKey *key)
{
	ckpx_wal_xacts_add_undurable(source->changes->xacts, key);
}

/* The present record is the last one now. */
static inline void
note_record(CkpxRecordMark *mark, const CkpxWalRecord *record)
{
	mark->start = record->start;
	mark->length = record->length;
	mark->crc = record->crc;
	if (XLogRecPtrIsInvalid(mark->run_start) ||
		ckpx_wal_record_has_time(record))
	{
		mark->run_start = mark->start;
		mark->run_hash = mark->crc;
	}
	else
		mark->run_hash = ckpx_run_hash(mark->run_hash, mark->crc);
}

/* The chain breaks at the present record. */
static void
break_at_record(CkpxWalSource *source, CkpxDecodeResult decoded)
{
	const CkpxWalRecord *record = &source->record;
	XLogRecPtr	at = record->start;
	XLogRecPtr	resume_lsn = record->end;

	if (decoded == CKPX_DECODE_MINIMAL)
	{
		resume_lsn = skip_minimal(source);
		ckpx_wal_broke(source, CKPX_BREAK_MINIMAL, at,
					   "\"wal_level\" was \"minimal\"");
	}
	else
		ckpx_wal_broke(source, CKPX_BREAK_SPECIAL, at,
					   "unknown record changes relation files: resource manager %u, info %02X",
					   record->rmid, record->info);
	source->problem.resume_lsn = resume_lsn;
}

/* Decode records until there is a reason to stop. */
static CkpxWalResult
read_records(CkpxWalSource *source, XLogRecPtr upto, uint64 max_bytes)
{
	const CkpxWalRecord *record = &source->record;
	XLogRecPtr	stop = PG_UINT64_MAX;

	if (!ckpx_wal_update_limit(source))
		return CKPX_WAL_BROKEN;
	if (!XLogRecPtrIsInvalid(upto))
		stop = upto;
	if (max_bytes > 0)
		stop = Min(stop, source->position + max_bytes);

	while (source->position < stop)
	{
		CkpxDecodeResult decoded;
		bool		reported = source->redo_reported;

		source->redo_reported = false;
		if (!reported && !next_record(source))
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

		if (!reported && ckpx_wal_record_is_redo(record))
		{
			source->redo_reported = true;
			return CKPX_WAL_REDO;
		}

		decoded = ckpx_wal_decode(source->changes, record,
								  source->at_beginning);
		source->at_beginning = false;
		if (unlikely(decoded != CKPX_DECODED))
		{
			break_at_record(source, decoded);
			return CKPX_WAL_BROKEN;
		}

		source->position = record->end;
		note_record(&source->last_record, record);
	}
	return source->position < source->limit ?
		CKPX_WAL_MORE : CKPX_WAL_CAUGHT_UP;
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
		ckpx_wal_start_over(source);
		source->timeline = source->next_timeline;
		source->switch_reported = false;
	}

	/* XLogReader allocates in the current context. */
	old_context = MemoryContextSwitchTo(source->context);
	result = read_records(source, upto, max_bytes);
	MemoryContextSwitchTo(old_context);
	return result;
}

const CkpxWalProblem *
ckpx_wal_source_problem(const CkpxWalSource *source)
{
	return &source->problem;
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
	return source->changes->nrecords > 0;
}

Size
ckpx_wal_source_memory(const CkpxWalSource *source)
{
	return MemoryContextMemAllocated(source->context, true) - CHUNK_BYTES;
}

void
ckpx_wal_source_cut(CkpxWalSource *source, CkpxWalCut *cut)
{
	memset(&cut->range, 0, sizeof(cut->range));
	cut->range.timeline = source->timeline;
	cut->range.start_lsn = source->cut_start;
	cut->range.end_lsn = source->position;
	ckpx_wal_changes_take(source->changes, source->parent, cut);
	cut->range.wal_bytes = source->position - source->cut_start;
	cut->range.last_record = source->last_record;
	source->cut_start = source->position;
}

uint32
ckpx_wal_source_open_xacts(const CkpxWalSource *source, CkpxOpenXact **xacts,
						   bool *complete)
{
	*complete = source->changes->xacts->complete;
	return ckpx_wal_xacts_list(source->changes->xacts, xacts);
}

uint32
ckpx_wal_source_undurable(CkpxWalSource *source, XLogRecPtr redo,
						  CkpxRelKey **keys)
{
	return ckpx_wal_xacts_undurable(source->changes->xacts, redo, keys);
}

uint32
ckpx_wal_source_builds(const CkpxWalSource *source, XLogRecPtr durable,
					   CkpxRelKey **ended, XLogRecPtr *from, XLogRecPtr *to)
{
	return ckpx_wal_xacts_builds(source->changes->xacts, durable, ended,
								 from, to);
}
