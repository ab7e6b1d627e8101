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
 * an end of flushed WAL at any byte that moves on step by step, and with bytes
 * that are not as they were written.  Records are made up in the place of
 * others, some with one thing wrong that their checksum covers, and a file is
 * replaced while it is read.
 *
 * The linker puts the functions called __wrap_... in place of those that the
 * source calls: the walk, the position of flushed WAL, and reading a file.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "access/timeline.h"
#include "access/xlog.h"
#include "catalog/pg_control.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "made_up.h"
#include "miscadmin.h"
#include "server/wal/source_internal.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"

PG_FUNCTION_INFO_V1(ckpx_compare_readers);

/* A stretch is at most so long. */
#define STRETCH_BYTES	(96 * 1024)
#define ZERO_BYTES		64
#define CHANGE_BYTES	(3 * XLOG_BLCKSZ)

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
	uint64		step_bytes;		/* but comes in steps; 0: at once */
	Change		change;
	Change		replaced;		/* instead, whenever the bytes at 'change' are
								 * read once more; without a length: the same */
} Reading;

/* What came of it. */
typedef struct Outcome
{
	StringInfoData text;		/* all that was said */
	CkpxWalResult result;
	uint64		nrecords;
	CkpxRecordMark mark;
	XLogRecPtr	position;
	TimeLineID	timeline;
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
static XLogRecPtr flushed;		/* of 'reading' */
static const Change *change = NULL; /* the present one of 'reading' */
static CkpxWalSource *source = NULL;
static Records *collecting = NULL;
static StringInfo telling = NULL;
static uint64 nwalked;
static uint64 nchanged;
static uint64 nbroken;
static List *history = NIL;
static bool walked_change;		/* the walk read the record that starts where
								 * bytes are changed */

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
	if (change != NULL && of->record.start == change->lsn)
		walked_change = true;
	return true;
}

XLogRecPtr
__wrap_GetFlushRecPtr(TimeLineID *timeline)
{
	XLogRecPtr	real = __real_GetFlushRecPtr(timeline);

	return reading != NULL ? Min(real, flushed) : real;
}

/* Behind the bytes that were asked for lies what looks like WAL, too. */
ssize_t
__wrap_pread(int file, void *buffer, size_t size, off_t at)
{
	XLogRecPtr	lsn;
	XLogRecPtr	from;
	XLogRecPtr	upto;
	ssize_t		got;

	if (reading == NULL || source == NULL)
		return __real_pread(file, buffer, size, at);
	got = __real_pread(file, buffer,
					   source->chunk + CHUNK_BYTES - (char *) buffer, at);
	if (got <= 0)
		return got;
	XLogSegNoOffsetToRecPtr(source->segment, at, wal_segment_size, lsn);
	from = Max(lsn, change->lsn);
	upto = Min(lsn + got, change->lsn + change->length);
	if (from < upto)
	{
		memcpy((char *) buffer + (from - lsn),
			   change->bytes + (from - change->lsn), upto - from);
		nchanged += upto - from;
		if (reading->replaced.length > 0)
			change = &reading->replaced;
	}
	return Min(got, (ssize_t) size);
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

	memset(out, 0, sizeof(*out));
	initStringInfo(&out->text);
	reading = what;
	change = &what->change;
	flushed = what->step_bytes > 0 ?
		Min(what->start + what->step_bytes, what->limit) : what->limit;
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
		out->position = ckpx_wal_source_position(source, &out->timeline);
		appendStringInfo(&out->text, "read: %d to %X/%X on %u\n", out->result,
						 LSN_FORMAT_ARGS(out->position), out->timeline);
		if (collecting != NULL)
			collect_record(collecting);
		else
			take_cut(out);
		if (out->result == CKPX_WAL_CAUGHT_UP && flushed < what->limit)
			flushed = Min(flushed + what->step_bytes, what->limit);
		else if (out->result == CKPX_WAL_CAUGHT_UP ||
				 out->result == CKPX_WAL_BROKEN)
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
	change = NULL;
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
	nbroken += out->result == CKPX_WAL_BROKEN;
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

/* The bytes of WAL as they are in the newest timeline's file. */
static void
read_bytes(XLogRecPtr lsn, char *bytes, uint32 length)
{
	TimeLineID	timeline = ((TimeLineHistoryEntry *) linitial(history))->tli;
	char		path[MAXPGPATH];
	XLogSegNo	segment;
	int			file;

	XLByteToSeg(lsn, segment, wal_segment_size);
	do
	{
		XLogFilePath(path, timeline, segment, wal_segment_size);
		file = open(path, O_RDONLY);
	} while (file < 0 && --timeline > 0);
	if (file < 0 ||
		__real_pread(file, bytes, length,
					 XLogSegmentOffset(lsn, wal_segment_size)) !=
		(ssize_t) length)
		elog(ERROR, "could not read %u bytes of \"%s\": %m", length, path);
	close(file);
}

/* Read from a record on. */
static void
set_start(Reading *what, XLogRecPtr lsn)
{
	what->start = lsn;
	what->timeline = tliOfPointInHistory(lsn, history);
}

/*
 * Find a record that begins right behind a page's header, from 'first' on; 0:
 * there is none.
 */
static uint32
find_first_of_page(const Records *records, uint32 first)
{
	for (uint32 i = Max(first, 1); i < records->count; i++)
	{
		if (records->starts[i] % XLOG_BLCKSZ == SizeOfXLogShortPHD)
			return i;
	}
	return 0;
}

/*
 * Change something in the stretch, which begins at or behind the record
 * 'first', or nothing.
 */
static void
change_bytes(pg_prng_state *random, const Records *records, uint32 first,
			 const Reading *what, Change *to)
{
	XLogRecPtr	lsn = what->start + random_below(random,
												 what->limit - what->start);
	uint32		kind = (uint32) random_below(random, 5);
	uint8		bits = 1 << random_below(random, 8);

	if (kind == 1)				/* a page's header, often its flags */
	{
		lsn -= lsn % XLOG_BLCKSZ;
		if (random_below(random, 2) == 0)
			lsn += offsetof(XLogPageHeaderData, xlp_info);
		else
			lsn += random_below(random, SizeOfXLogLongPHD);
	}
	else if (kind == 2)
	{
		/* Behind it a record begins, or so it was. */
		first = find_first_of_page(records, first);
		if (first == 0)
			return;
		lsn = records->starts[first] - SizeOfXLogShortPHD +
			offsetof(XLogPageHeaderData, xlp_info);
		bits = XLP_FIRST_IS_CONTRECORD;
	}
	if (kind == 0)
		return;
	to->lsn = lsn;
	to->length = kind == 3 ? ZERO_BYTES : 1;	/* what was never written */
	to->length = Min(to->length, XLOG_BLCKSZ - lsn % XLOG_BLCKSZ);
	read_bytes(lsn, to->bytes, to->length);
	if (kind == 3)
		memset(to->bytes, 0, to->length);
	else
		to->bytes[0] ^= bits;
}

/* How much to read between cuts. */
static uint64
random_cut(pg_prng_state *random)
{
	static const uint64 cuts[] = {0, 1, 300, 9000};

	return cuts[random_below(random, lengthof(cuts))];
}

/* One stretch at random. */
static void
compare_stretch(pg_prng_state *random, const Records *records, XLogRecPtr end)
{
	uint32		first = (uint32) random_below(random, records->count);
	Reading		what = {0};
	Outcome		out;

	set_start(&what, records->starts[first]);
	what.limit = what.start + 1 + random_below(random, STRETCH_BYTES);
	if (random_below(random, 4) == 0)
	{
		/* Shortly before a record ends. */
		uint32		last = first + 1 + (uint32) random_below(random, 200);

		last = Min(last, records->count - 1);
		what.limit = records->starts[last] - random_below(random, 64);
		what.limit = Max(what.limit, what.start + 1);
	}
	what.limit = Min(what.limit, end);
	what.cut_bytes = random_cut(random);
	if (random_below(random, 2) == 0)
		what.step_bytes = 1 +
			(what.limit - what.start) / (1 + random_below(random, 20));

	if (random_below(random, 3) == 0)
	{
		/* Resume where an undisturbed reading came to. */
		read_once(&what, true, &out);
		if (out.nrecords == 0)
			return;
		what.mark = out.mark;
		what.start = out.position;
		what.timeline = out.timeline;
		what.limit += random_below(random, STRETCH_BYTES);
		what.limit = Min(what.limit, end);
	}
	if (what.start < what.limit)
		change_bytes(random, records, first, &what, &what.change);
	read_twice(&what, &out);
}

/*
 * A file that is replaced.  At first a record says that it goes on on the next
 * page, which the walk looks at; then it ends where the page begins, and that
 * page's header is another one.
 */
static void
compare_replaced(pg_prng_state *random, const Records *records, XLogRecPtr end)
{
	uint32		next;
	Reading		what = {0};
	Outcome		out;
	XLogRecPtr	page;

	next = find_first_of_page(records,
							  (uint32) random_below(random, records->count));
	if (next < 2)
		return;
	page = records->starts[next] - SizeOfXLogShortPHD;
	set_start(&what, records->starts[next - 2]);
	what.limit = Min(page + XLOG_BLCKSZ, end);
	what.change.lsn = records->starts[next - 1];
	what.change.length = 1;
	read_bytes(what.change.lsn, what.change.bytes, 1);
	what.change.bytes[0] += 8;
	what.replaced.lsn = page + random_below(random, SizeOfXLogShortPHD);
	what.replaced.length = 1;
	read_bytes(what.replaced.lsn, what.replaced.bytes, 1);
	what.replaced.bytes[0] ^= 1 << random_below(random, 8);
	read_twice(&what, &out);
}

/*
 * Made-up records
 */

/* Copy a record from the bytes of its pages, or to them. */
static void
copy_record(char *pages, XLogRecPtr lsn, char *record, uint32 length,
			bool to_pages)
{
	while (length > 0)
	{
		uint32		piece;

		if (lsn % XLOG_BLCKSZ == 0)
		{
			lsn += SizeOfXLogShortPHD;
			pages += SizeOfXLogShortPHD;
		}
		piece = Min(length, XLOG_BLCKSZ - lsn % XLOG_BLCKSZ);
		if (to_pages)
			memcpy(pages, record, piece);
		else
			memcpy(record, pages, piece);
		pages += piece;
		lsn += piece;
		record += piece;
		length -= piece;
	}
}

/*
 * Make up a record in the place of another one, with a right checksum.  False:
 * this is no place for it.  *to gets its bytes.
 */
static bool
make_record(pg_prng_state *random, XLogRecPtr lsn, Mistake mistake, Change *to)
{
	uint32		room = XLOG_BLCKSZ - lsn % XLOG_BLCKSZ;
	uint32		length;
	XLogRecord *record;

	read_bytes(lsn, (char *) &length, sizeof(length));
	to->lsn = lsn;
	to->length = length;
	if (length > room)
		to->length += SizeOfXLogShortPHD *
			((length - room - 1) / (XLOG_BLCKSZ - SizeOfXLogShortPHD) + 1);
	if (to->length > CHANGE_BYTES ||
		XLogSegmentOffset(lsn, wal_segment_size) + to->length >
		wal_segment_size)
		return false;
	read_bytes(lsn, to->bytes, to->length);
	record = palloc(length);
	copy_record(to->bytes, lsn, (char *) record, length, false);

	if (!ckpx_made_up_record(random, record, length, mistake))
		return false;
	copy_record(to->bytes, lsn, (char *) record, length, true);
	return true;
}

/* May the walk not leave the record at *at to PostgreSQL's reader? */
static bool
must_walk(const Change *at, XLogRecPtr previous)
{
	XLogRecPtr	page = at->lsn - at->lsn % XLOG_BLCKSZ;
	XLogPageHeaderData header;

	read_bytes(page, (char *) &header, sizeof(header));
	return tliOfPointInHistory(previous, history) ==
		tliOfPointInHistory(at->lsn, history) &&
		(header.xlp_info & (XLP_LONG_HEADER |
							   XLP_FIRST_IS_OVERWRITE_CONTRECORD)) == 0 &&
		at->lsn + SizeOfXLogRecord <= page + XLOG_BLCKSZ &&
		previous / CHUNK_BYTES ==
		(at->lsn + at->length - 1) / CHUNK_BYTES;
}

/* A made-up record behind a few others. */
static void
compare_made_up(pg_prng_state *random, const Records *records, XLogRecPtr end)
{
	Mistake		mistake = random_below(random, 2) == 0 ? MISTAKE_NONE :
		(Mistake) random_below(random, MISTAKE_COUNT);
	Reading		what = {0};
	uint32		first;
	uint32		at;
	uint64		expected = 0;
	Outcome		out;

	for (int attempt = 0;; attempt++)
	{
		if (attempt == 20)
			return;
		at = 1 + (uint32) random_below(random, records->count - 1);
		while (mistake == MISTAKE_IMAGE_FULL && at + 1 < records->count &&
			   records->starts[at + 1] - records->starts[at] < BLCKSZ)
			at++;
		if (make_record(random, records->starts[at], mistake, &what.change))
			break;
	}

	first = at - 1 - (uint32) random_below(random, Min(at, 4));
	set_start(&what, records->starts[first]);
	what.limit = what.change.lsn + what.change.length +
		random_below(random, 2000);
	what.limit = Min(what.limit, end);
	what.cut_bytes = random_cut(random);
	walked_change = false;
	read_twice(&what, &out);

	if (mistake != MISTAKE_SOME_BIT &&
		(mistake == MISTAKE_NONE) == (out.result == CKPX_WAL_BROKEN))
		elog(ERROR, "mistake %d in the record at %X/%X: the result is %d",
			 mistake, LSN_FORMAT_ARGS(what.change.lsn), out.result);
	if (mistake == MISTAKE_NONE && !walked_change &&
		must_walk(&what.change, records->starts[at - 1]))
		elog(ERROR, "the walk does not read the record at %X/%X",
			 LSN_FORMAT_ARGS(what.change.lsn));

	/* Whatever the record says, none may be passed over. */
	while (first + expected < records->count &&
		   records->starts[first + expected] < out.position)
		expected++;
	if (out.result != CKPX_WAL_BROKEN && out.nrecords != expected)
		elog(ERROR, "read %llu of %llu records from %X/%X to %X/%X, the one at %X/%X changed",
			 (unsigned long long) out.nrecords,
			 (unsigned long long) expected,
			 LSN_FORMAT_ARGS(what.start), LSN_FORMAT_ARGS(out.position),
			 LSN_FORMAT_ARGS(what.change.lsn));
}

/*
 * (start_lsn, end_lsn, stretches, seed): the range is read whole, and so many
 * stretches of it, half as many made-up records and a tenth as many replaced
 * files.  Returns how many records it has, how many of them the walk read, how
 * many bytes were changed and how many readings broke off.
 */
Datum
ckpx_compare_readers(PG_FUNCTION_ARGS)
{
	int32		nstretches = PG_GETARG_INT32(2);
	XLogRecPtr	end = PG_GETARG_LSN(1);
	TimeLineID	present;
	Reading		what = {0};
	Outcome		out;
	Records		records = {0};
	pg_prng_state random;
	MemoryContext context;
	MemoryContext old_context;
	Datum		values[4];
	bool		nulls[4] = {0};
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	reading = NULL;
	change = NULL;
	source = NULL;
	collecting = NULL;
	telling = NULL;
	nwalked = nchanged = nbroken = 0;
	what.start = ckpx_wal_normalize_lsn(PG_GETARG_LSN(0));
	what.limit = end;
	if (end > ckpx_wal_read_limit(&present))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("not a range of flushed WAL")));

	history = readTimeLineHistory(present);
	what.timeline = tliOfPointInHistory(what.start, history);

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
		compare_stretch(&random, &records, end);
		if (i % 2 == 0)
			compare_made_up(&random, &records, end);
		if (i % 10 == 0)
			compare_replaced(&random, &records, end);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old_context);
	values[2] = Int64GetDatum((int64) nchanged);
	values[3] = Int64GetDatum((int64) nbroken);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc),
													  values, nulls)));
}
