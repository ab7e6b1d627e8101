/*-------------------------------------------------------------------------
 *
 * compare.c
 *		The same WAL read with the walk and by PostgreSQL's reader alone.
 *
 * Most records are read without PostgreSQL's reader (wal/walk.c).  Nothing
 * else may come of it: not in the map, not in what is known of transactions,
 * not in where reading stops and what is said about it.  So the source reads
 * a range twice, and all that it says is written down and compared: the whole
 * range first, then stretches of it at random, cut and resumed at random, with
 * an end of flushed WAL at any byte, and with bytes that are not as they were
 * written.
 *
 * The linker puts the functions called __wrap_... in place of those that the
 * source calls: the walk, the position of flushed WAL, and reading a file.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "access/xlog.h"
#include "catalog/pg_control.h"
#include "common/pg_prng.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "server/wal/source_internal.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"

PG_FUNCTION_INFO_V1(ckpx_compare_readers);

/* A stretch is at most so long. */
#define STRETCH_BYTES	(96 * 1024)
#define CHANGE_BYTES	64

/* Bytes that are not as they were written: 'bytes' at 'lsn'. */
typedef struct Change
{
	XLogRecPtr	lsn;
	uint32		length;			/* 0: none */
	char		bytes[CHANGE_BYTES];
} Change;

/* One reading of a stretch. */
typedef struct Reading
{
	XLogRecPtr	start;			/* begin here, or behind 'mark' */
	TimeLineID	timeline;
	CkpxRecordMark mark;		/* of a resumption; else without a start */
	uint64		cut_bytes;		/* cut whenever so much is read; 0: only at
								 * redo points */
	XLogRecPtr	limit;			/* flushed WAL ends here */
	Change		change;
} Reading;

/* What came of it. */
typedef struct Outcome
{
	StringInfoData text;		/* all that was said */
	CkpxWalResult result;
	uint64		nrecords;
	CkpxRecordMark mark;
	XLogRecPtr	position;
} Outcome;

/* Each record of the range. */
typedef struct Records
{
	XLogRecPtr *starts;
	uint32		count;
	uint32		max;
} Records;

static bool walks = false;
static const Reading *reading = NULL;
static CkpxWalSource *source = NULL;
static Records *collecting = NULL;
static StringInfo telling = NULL;
static uint64 nwalked;
static uint64 nchanged;

/*
 * In place of what the source calls
 */

extern bool __real_ckpx_wal_walk(CkpxWalSource *source);
extern bool __wrap_ckpx_wal_walk(CkpxWalSource *source);
extern XLogRecPtr __real_GetFlushRecPtr(TimeLineID *timeline);
extern XLogRecPtr __wrap_GetFlushRecPtr(TimeLineID *timeline);
extern ssize_t __real_pread(int file, void *buffer, size_t size, off_t at);
extern ssize_t __wrap_pread(int file, void *buffer, size_t size, off_t at);

bool
__wrap_ckpx_wal_walk(CkpxWalSource *of)
{
	if (reading != NULL && !walks)
		return false;
	if (!__real_ckpx_wal_walk(of))
		return false;
	nwalked++;
	return true;
}

XLogRecPtr
__wrap_GetFlushRecPtr(TimeLineID *timeline)
{
	XLogRecPtr	flushed = __real_GetFlushRecPtr(timeline);

	return reading != NULL ? Min(flushed, reading->limit) : flushed;
}

ssize_t
__wrap_pread(int file, void *buffer, size_t size, off_t at)
{
	ssize_t		got = __real_pread(file, buffer, size, at);
	XLogRecPtr	lsn;

	if (reading == NULL || source == NULL || got <= 0)
		return got;
	XLogSegNoOffsetToRecPtr(source->segment, at, wal_segment_size, lsn);
	for (uint32 i = 0; i < reading->change.length; i++)
	{
		XLogRecPtr	place = reading->change.lsn + i;

		if (place < lsn || place >= lsn + got)
			continue;
		((char *) buffer)[place - lsn] = reading->change.bytes[i];
		nchanged++;
	}
	return got;
}

/*
 * Reading and writing down
 */

static void
write_relations(StringInfo text, CkpxDirtyTree *tree)
{
	uint32		count;
	CkpxRelation **relations = ckpx_dirty_tree_sorted(tree, &count);

	for (uint32 i = 0; i < count; i++)
	{
		const CkpxRelation *relation = relations[i];
		const CkpxRelCounters *counters = &relation->counters;
		CkpxBlockSetIterator it;
		BlockNumber from;
		BlockNumber to;

		appendStringInfo(text, "%u/%u/%u/%u flags %x limit %u counters %llu %llu %llu %llu %llu:",
						 relation->key.tablespace, relation->key.database,
						 relation->key.relation, relation->key.fork,
						 relation->flags, relation->blocks.limit_block,
						 (unsigned long long) counters->records,
						 (unsigned long long) counters->wal_bytes,
						 (unsigned long long) counters->fpi,
						 (unsigned long long) counters->tuples_inserted,
						 (unsigned long long) counters->tuples_deleted);
		ckpx_block_set_iterate(&it, &relation->blocks, 0);
		while (ckpx_block_set_next_range(&it, &from, &to))
			appendStringInfo(text, " %u-%u", from, to);
		appendStringInfoChar(text, '\n');
	}
}

static void
write_mark(StringInfo text, const CkpxRecordMark *mark)
{
	appendStringInfo(text, " mark %X/%X %u %x run %X/%X %x\n",
					 LSN_FORMAT_ARGS(mark->start), mark->length, mark->crc,
					 LSN_FORMAT_ARGS(mark->run_start), mark->run_hash);
}

static void
write_xacts(StringInfo text)
{
	CkpxOpenXact *xacts;
	CkpxRelKey *keys;
	bool		complete;
	uint32		count = ckpx_wal_source_open_xacts(source, &xacts, &complete);

	appendStringInfo(text, "open%s:", complete ? "" : " (not complete)");
	for (uint32 i = 0; i < count; i++)
		appendStringInfo(text, " %u@%X/%X", xacts[i].xid,
						 LSN_FORMAT_ARGS(xacts[i].first_lsn));
	count = ckpx_wal_source_undurable(source, InvalidXLogRecPtr, &keys);
	appendStringInfo(text, "\n%u undurable\n", count);
}

static void
take_cut(Outcome *out)
{
	CkpxWalCut	cut;

	ckpx_wal_source_cut(source, &cut);
	appendStringInfo(&out->text, "cut %X/%X - %X/%X change %X/%X xacts %llu records %llu",
					 LSN_FORMAT_ARGS(cut.range.start_lsn),
					 LSN_FORMAT_ARGS(cut.range.end_lsn),
					 LSN_FORMAT_ARGS(cut.range.last_change_lsn),
					 (unsigned long long) cut.range.nxacts,
					 (unsigned long long) cut.nrecords);
	write_mark(&out->text, &cut.range.last_record);
	for (uint32 i = 0; i < cut.ncheckpoints; i++)
		appendStringInfo(&out->text, "checkpoint %d %X/%X %X/%X %x\n",
						 cut.checkpoints[i].kind,
						 LSN_FORMAT_ARGS(cut.checkpoints[i].start_lsn),
						 LSN_FORMAT_ARGS(cut.checkpoints[i].end_lsn),
						 cut.checkpoints[i].crc);
	write_relations(&out->text, cut.tree);
	write_xacts(&out->text);
	out->nrecords += cut.nrecords;
	out->mark = cut.range.last_record;
	MemoryContextDelete(cut.context);
}

/* The order in which transactions show themselves counts, too. */
static void
note_first_record(TransactionId xid, XLogRecPtr lsn)
{
	if (telling != NULL)
		appendStringInfo(telling, "first %u@%X/%X\n", xid,
						 LSN_FORMAT_ARGS(lsn));
}

/* Note the start of the record that was read last. */
static void
collect_record(Records *records)
{
	XLogRecPtr	start = source->last_record.start;

	if (XLogRecPtrIsInvalid(start) ||
		(records->count > 0 && records->starts[records->count - 1] == start))
		return;
	if (records->count == records->max)
	{
		records->max *= 2;
		records->starts = repalloc_huge(records->starts,
										sizeof(XLogRecPtr) * records->max);
	}
	records->starts[records->count++] = start;
}

/* Read the stretch once; 'out' is initialized here. */
static void
read_once(const Reading *what, bool with_walk, Outcome *out)
{
	const CkpxWalProblem *problem;
	TimeLineID	timeline;

	memset(out, 0, sizeof(*out));
	initStringInfo(&out->text);
	reading = what;
	walks = with_walk;
	telling = collecting == NULL ? &out->text : NULL;
	source = ckpx_wal_source_create(CurrentMemoryContext, note_first_record);
	if (XLogRecPtrIsInvalid(what->mark.start))
		ckpx_wal_source_begin(source, what->start, what->timeline);
	else
		appendStringInfo(&out->text, "resumed: %d\n",
						 ckpx_wal_source_resume(source, what->start,
												what->timeline, &what->mark));
	for (;;)
	{
		out->result = ckpx_wal_source_read(source, InvalidXLogRecPtr,
										   what->cut_bytes);
		out->position = ckpx_wal_source_position(source, &timeline);
		appendStringInfo(&out->text, "read: %d to %X/%X on %u\n", out->result,
						 LSN_FORMAT_ARGS(out->position), timeline);
		if (collecting != NULL)
			collect_record(collecting);
		else
			take_cut(out);
		if (out->result != CKPX_WAL_MORE && out->result != CKPX_WAL_REDO)
			break;
		CHECK_FOR_INTERRUPTS();
	}
	problem = ckpx_wal_source_problem(source);
	appendStringInfo(&out->text, "problem %d at %X/%X, %X/%X, %X/%X: %s\n",
					 problem->kind, LSN_FORMAT_ARGS(problem->lsn),
					 LSN_FORMAT_ARGS(problem->resume_lsn),
					 LSN_FORMAT_ARGS(problem->switch_lsn), problem->text);
	if (collecting == NULL)
		take_cut(out);
	ckpx_wal_source_free(source);
	source = NULL;
	reading = NULL;
	telling = NULL;
}

/* Read the stretch both ways; an error where anything differs. */
static void
read_twice(const Reading *what, Outcome *out)
{
	Outcome		plain;
	const char *a;
	const char *b;

	read_once(what, false, &plain);
	read_once(what, true, out);
	a = plain.text.data;
	b = out->text.data;
	if (strcmp(a, b) == 0)
		return;
	while (*a == *b)
		a++, b++;
	while (a > plain.text.data && a[-1] != '\n')
		a--, b--;
	ereport(ERROR,
			(errmsg("the readers differ from %X/%X on, limit %X/%X, cuts %llu, %u bytes changed at %X/%X",
					LSN_FORMAT_ARGS(what->start), LSN_FORMAT_ARGS(what->limit),
					(unsigned long long) what->cut_bytes, what->change.length,
					LSN_FORMAT_ARGS(what->change.lsn)),
			 errdetail("Without the walk: %.300s\nWith it: %.300s", a, b)));
}

/*
 * What a stretch may meet
 */

static uint64
random_below(pg_prng_state *random, uint64 bound)
{
	return pg_prng_uint64(random) % bound;
}

/* The bytes of WAL as they are in the file. */
static void
read_bytes(TimeLineID timeline, XLogRecPtr lsn, char *bytes, uint32 length)
{
	char		path[MAXPGPATH];
	XLogSegNo	segment;
	int			file;

	XLByteToSeg(lsn, segment, wal_segment_size);
	XLogFilePath(path, timeline, segment, wal_segment_size);
	file = open(path, O_RDONLY);
	if (file < 0 ||
		__real_pread(file, bytes, length,
					 XLogSegmentOffset(lsn, wal_segment_size)) !=
		(ssize_t) length)
		elog(ERROR, "could not read %u bytes of \"%s\": %m", length, path);
	close(file);
}

/* Is more of the record looked at than its headers and blocks? */
static bool
has_more(const XLogRecord *record)
{
	uint8		info = record->xl_info & ~XLR_INFO_MASK;

	if (record->xl_rmid == RM_XLOG_ID)
		return info != XLOG_FPI && info != XLOG_FPI_FOR_HINT;
	return record->xl_rmid <= RM_HEAP2_ID ||
		record->xl_rmid > RM_MAX_BUILTIN_ID;
}

/*
 * A record whose checksum is right, but not what its headers say, or its link
 * to the record before it.
 */
static bool
change_record(pg_prng_state *random, const Reading *what, XLogRecPtr lsn,
			  Change *change)
{
	uint32		room = XLOG_BLCKSZ - lsn % XLOG_BLCKSZ;
	char		page[XLOG_BLCKSZ];
	XLogRecord *record = (XLogRecord *) page;
	uint32		at;
	pg_crc32c	crc;

	if (room < SizeOfXLogRecord)
		return false;
	read_bytes(what->timeline, lsn, page, room);
	if (record->xl_tot_len > room || has_more(record) ||
		record->xl_tot_len <= SizeOfXLogRecord + 2)
		return false;
	switch (random_below(random, 8))
	{
		case 0:
			at = offsetof(XLogRecord, xl_prev) +
				random_below(random, sizeof(XLogRecPtr));
			break;
		case 1:
		case 2:
		case 3:
			at = SizeOfXLogRecord + random_below(random, 2);
			break;
		default:
			at = SizeOfXLogRecord + random_below(random, CHANGE_BYTES -
												 SizeOfXLogRecord);
	}
	at = Min(at, record->xl_tot_len - 1);
	page[at] ^= 1 << random_below(random, 8);
	INIT_CRC32C(crc);
	COMP_CRC32C(crc, page + SizeOfXLogRecord,
				record->xl_tot_len - SizeOfXLogRecord);
	COMP_CRC32C(crc, page, offsetof(XLogRecord, xl_crc));
	FIN_CRC32C(crc);
	record->xl_crc = crc;
	change->lsn = lsn;
	change->length = Min(record->xl_tot_len, CHANGE_BYTES);
	memcpy(change->bytes, page, change->length);
	return true;
}

/* Change something in the stretch, or nothing. */
static void
change_bytes(pg_prng_state *random, const Reading *what, Change *change)
{
	XLogRecPtr	lsn = what->start + random_below(random,
												 what->limit - what->start);
	uint32		kind = (uint32) random_below(random, 4);

	if (kind == 0)
		return;
	change->length = 1;
	if (kind == 1)				/* a page's header, often its flags */
	{
		lsn -= lsn % XLOG_BLCKSZ;
		if (random_below(random, 2) == 0)
			lsn += offsetof(XLogPageHeaderData, xlp_info);
		else
			lsn += random_below(random, SizeOfXLogLongPHD);
	}
	else if (kind == 2)			/* what was never written */
		change->length = CHANGE_BYTES;
	change->lsn = lsn;
	change->length = Min(change->length,
						 XLOG_BLCKSZ - lsn % XLOG_BLCKSZ);
	read_bytes(what->timeline, lsn, change->bytes, change->length);
	if (kind == 2)
		memset(change->bytes, 0, change->length);
	else
		change->bytes[0] ^= 1 << random_below(random, 8);
}

/* One stretch at random. */
static void
compare_stretch(pg_prng_state *random, const Records *records,
				TimeLineID timeline, XLogRecPtr end, Outcome *out)
{
	static const uint64 cuts[] = {0, 1, 300, 9000};
	uint32		first = (uint32) random_below(random, records->count);
	Reading		what = {0};
	uint32		last;

	what.start = records->starts[first];
	what.timeline = timeline;
	what.limit = what.start + 1 + random_below(random, STRETCH_BYTES);
	if (random_below(random, 4) == 0)
	{
		/* Shortly before a record ends. */
		last = first + 1 + (uint32) random_below(random, 200);
		last = Min(last, records->count - 1);
		what.limit = records->starts[last] - random_below(random, 64);
		what.limit = Max(what.limit, what.start + 1);
	}
	what.limit = Min(what.limit, end);
	what.cut_bytes = cuts[random_below(random, lengthof(cuts))];

	if (random_below(random, 3) == 0)
	{
		/* Resume where an undisturbed reading came to. */
		read_once(&what, true, out);
		if (out->nrecords == 0)
			return;
		what.mark = out->mark;
		what.start = out->position;
		what.limit += random_below(random, STRETCH_BYTES);
		what.limit = Min(what.limit, end);
	}

	last = first;
	while (last + 1 < records->count &&
		   records->starts[last + 1] < what.limit && random_below(random, 100))
		last++;
	if (random_below(random, 3) == 0 &&
		change_record(random, &what, records->starts[last], &what.change))
	{
		uint64		expected = 0;

		read_twice(&what, out);

		/* Whatever the record says, none may be passed over. */
		for (uint32 i = first; i < records->count; i++)
			expected += records->starts[i] >= what.start &&
				records->starts[i] < out->position;
		if (out->result != CKPX_WAL_BROKEN && out->nrecords != expected)
			elog(ERROR, "read %llu of %llu records from %X/%X to %X/%X, the one at %X/%X changed",
				 (unsigned long long) out->nrecords,
				 (unsigned long long) expected,
				 LSN_FORMAT_ARGS(what.start), LSN_FORMAT_ARGS(out->position),
				 LSN_FORMAT_ARGS(what.change.lsn));
		return;
	}
	if (what.start < what.limit)
		change_bytes(random, &what, &what.change);
	read_twice(&what, out);
}

/*
 * (start_lsn, end_lsn, stretches, seed): the range is read whole and so many
 * stretches of it.  Returns how many records it has, how many of them the walk
 * read, how many bytes were changed for the stretches and how many of these
 * broke off.
 */
Datum
ckpx_compare_readers(PG_FUNCTION_ARGS)
{
	int32		nstretches = PG_GETARG_INT32(2);
	XLogRecPtr	end = PG_GETARG_LSN(1);
	Reading		what = {0};
	Outcome		out;
	Records		records = {0};
	pg_prng_state random;
	MemoryContext context;
	MemoryContext old_context;
	int64		nbroken = 0;
	Datum		values[4];
	bool		nulls[4] = {0};
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	reading = NULL;
	source = NULL;
	collecting = NULL;
	telling = NULL;
	nwalked = nchanged = 0;
	what.start = ckpx_wal_normalize_lsn(PG_GETARG_LSN(0));
	what.limit = end;
	if (end > ckpx_wal_read_limit(&what.timeline))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("not a range of flushed WAL")));

	read_twice(&what, &out);
	values[0] = Int64GetDatum((int64) out.nrecords);
	values[1] = Int64GetDatum((int64) nwalked);

	/* Every record's start, told by reading one at a time. */
	what.cut_bytes = 1;
	records.max = 1024;
	records.starts = palloc(sizeof(XLogRecPtr) * records.max);
	collecting = &records;
	read_once(&what, false, &out);
	collecting = NULL;

	context = AllocSetContextCreate(CurrentMemoryContext, "ckpx stretch",
									ALLOCSET_DEFAULT_SIZES);
	pg_prng_seed(&random, (uint64) PG_GETARG_INT64(3));
	old_context = MemoryContextSwitchTo(context);
	for (int32 i = 0; i < nstretches; i++)
	{
		compare_stretch(&random, &records, what.timeline, end, &out);
		nbroken += out.result == CKPX_WAL_BROKEN;
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old_context);
	values[2] = Int64GetDatum((int64) nchanged);
	values[3] = Int64GetDatum(nbroken);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc),
													  values, nulls)));
}
