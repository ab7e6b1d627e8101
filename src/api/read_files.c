/*-------------------------------------------------------------------------
 *
 * read_files.c
 *		ckpx_read_list and ckpx_read_files: a backup reads data files.
 *
 * A list of files, with the blocks that are wanted of them, is put into the
 * session's memory by one call and read by another, which takes no arguments:
 *
 *	COPY (SELECT ckpx_read_files()) TO STDOUT (FORMAT binary)
 *
 * COPY has no parameters, and a list in the text of a statement would stand in
 * logs and in pg_stat_statements.  In the select list the function gives one
 * row per call, while in FROM all rows would be gathered first.
 *
 * Files are read as they are, past shared buffers, while PostgreSQL writes
 * them.  That is what base backups do: a page that is torn has an image in WAL
 * since the backup's start, and so carries an LSN at or after it.
 *
 * A call may be the last one of its reading, by an error or a LIMIT, and the
 * file open then is none that PostgreSQL knows of.  So the memory of a reading
 * has a callback, which closes it whenever and however that memory goes.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include <unistd.h>

#include "access/xlog.h"
#include "api/api.h"
#include "api/backup_slot.h"
#include "api/data_files.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port/pg_bswap.h"
#include "storage/bufpage.h"
#include "storage/checksum.h"
#include "storage/fd.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/multirangetypes.h"

PG_FUNCTION_INFO_V1(ckpx_read_list);
PG_FUNCTION_INFO_V1(ckpx_read_files);

#define MAX_LISTED_FILES	65536
#define ROW_BLOCKS			16
#define ROW_BYTES			(ROW_BLOCKS * BLCKSZ)

/* Rows begin with the file's number and what they are. */
#define ROW_HEADER_BYTES	5
#define ROW_DATA			'D'
#define ROW_END				'E'
#define ROW_VANISHED		'V'
#define ROW_CHECKSUM		'C'

/* Blocks [from, to) of a segment; beyond its end there may be none. */
typedef struct BlockRun
{
	uint32		from;
	uint32		to;
} BlockRun;

typedef struct ListedFile
{
	char	   *path;
	CkpxDataFile name;
	bool		whole;
	uint32		nruns;
	BlockRun   *runs;			/* unless whole */
} ListedFile;

typedef struct FileList
{
	MemoryContext context;		/* holds all of it */
	NameData	slot;
	XLogRecPtr	start_lsn;
	bool		verify_checksums;
	uint32		nfiles;
	ListedFile *files;
} FileList;

typedef struct Reading
{
	uint64		list_number;	/* of the list that is read */
	uint32		file;			/* the file in it, which is open unless */
	int			fd;				/* this is -1 */
	uint64		length;			/* that it had when it was opened */
	uint32		run;			/* the run that comes next */
	uint64		offset;			/* what is left of the present one, */
	uint64		stop;			/* in bytes */
	uint32		nwrong;			/* blocks with wrong checksums, not told yet */
	BlockNumber wrong[ROW_BLOCKS];
	bytea	   *row;
	char	   *page;			/* one page, aligned */
	CkpxCall   *call;
	MemoryContextCallback callback;
} Reading;

/* The list of this session, and how many there were so far. */
static FileList *present_list = NULL;
static uint64 nlists = 0;

static void
check_path(ListedFile *file)
{
	if (!ckpx_data_path_is_clean(file->path))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("path of a file is not a relative one without \".\", \"..\" and control characters")));
	ckpx_data_file_parse(&file->name, file->path);
	if (file->name.kind < CKPX_FILE_RELATION)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("file \"%s\" is not part of a backup", file->path)));
	if (file->name.kind == CKPX_FILE_CONTROL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("file \"%s\" cannot be read with others", file->path),
				 errhint("Use ckpx_read_control().")));
}

/* Set the blocks that are wanted of a file. */
static void
set_blocks(ListedFile *file, TypeCacheEntry *range_type, Datum blocks)
{
	int32		nranges;
	RangeType **ranges;

	if (file->name.kind == CKPX_FILE_OTHER)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("file \"%s\" has no blocks", file->path),
				 errhint("Read it whole, with NULL for its blocks.")));

	multirange_deserialize(range_type, DatumGetMultirangeTypeP(blocks),
						   &nranges, &ranges);
	file->runs = palloc(sizeof(BlockRun) * Max(nranges, 1));
	for (int32 i = 0; i < nranges; i++)
	{
		RangeBound	lower;
		RangeBound	upper;
		bool		empty;
		int64		from;
		int64		to;

		range_deserialize(range_type, ranges[i], &lower, &upper, &empty);
		from = lower.infinite ? -1 : DatumGetInt64(lower.val);
		to = upper.infinite ? RELSEG_SIZE : DatumGetInt64(upper.val);
		if (from < 0 || from >= RELSEG_SIZE || to > RELSEG_SIZE)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("blocks of file \"%s\" do not lie in a segment",
							file->path),
					 errdetail("A segment has the blocks 0 to %d.",
							   RELSEG_SIZE - 1)));
		file->runs[file->nruns].from = (uint32) from;
		file->runs[file->nruns++].to = (uint32) to;
	}
}

/* Take the arrays apart into 'list', in the current memory context. */
static void
fill_list(FileList *list, ArrayType *paths, ArrayType *blocks)
{
	TypeCacheEntry *type = lookup_type_cache(INT8MULTIRANGEOID,
											 TYPECACHE_MULTIRANGE_INFO);
	Datum	   *path_values;
	Datum	   *block_values;
	bool	   *path_nulls;
	bool	   *block_nulls;
	int			npaths;
	int			nblocks;

	deconstruct_array(paths, BYTEAOID, -1, false, TYPALIGN_INT,
					  &path_values, &path_nulls, &npaths);
	deconstruct_array(blocks, INT8MULTIRANGEOID, type->typlen, type->typbyval,
					  type->typalign, &block_values, &block_nulls, &nblocks);
	if (npaths != nblocks)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("paths and blocks must have the same number of elements")));
	if (npaths > MAX_LISTED_FILES)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("list has more than %d files", MAX_LISTED_FILES)));

	list->files = palloc0(sizeof(ListedFile) * Max(npaths, 1));
	for (int i = 0; i < npaths; i++)
	{
		ListedFile *file = &list->files[i];

		CHECK_FOR_INTERRUPTS();
		if (path_nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("path of a file must not be null")));

		/* Bytes behind a zero would be looked at by nothing. */
		file->path = text_to_cstring(DatumGetTextPP(path_values[i]));
		if (strlen(file->path) != VARSIZE_ANY_EXHDR(path_values[i]))
			file->path[0] = '\0';
		check_path(file);
		file->whole = block_nulls[i];
		if (!file->whole)
			set_blocks(file, type->rngtype, block_values[i]);
	}
	list->nfiles = (uint32) npaths;
}

Datum
ckpx_read_list(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {
		"slot", "start_lsn", "paths", "blocks", "verify_checksums"
	};
	MemoryContext context;
	MemoryContext old;
	FileList   *list;

	ckpx_require_installed();
	for (int i = 0; i < (int) lengthof(names); i++)
		ckpx_require_argument(fcinfo, i, names[i]);
	ckpx_require_backup(NameStr(*PG_GETARG_NAME(0)));
	ckpx_check_past("start_lsn", PG_GETARG_LSN(1),
					"Take it from pg_backup_start().");

	/* It becomes the session's when nothing can fail any more. */
	context = AllocSetContextCreate(CurrentMemoryContext, "ckpx file list",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	list = palloc0(sizeof(FileList));
	list->context = context;
	list->slot = *PG_GETARG_NAME(0);
	list->start_lsn = PG_GETARG_LSN(1);
	list->verify_checksums = PG_GETARG_BOOL(4) && DataChecksumsEnabled();
	fill_list(list, PG_GETARG_ARRAYTYPE_P(2), PG_GETARG_ARRAYTYPE_P(3));
	MemoryContextSwitchTo(old);

	MemoryContextSetParent(context, TopMemoryContext);
	if (present_list != NULL)
		MemoryContextDelete(present_list->context);
	present_list = list;
	nlists++;
	PG_RETURN_VOID();
}

static void
close_file(Reading *reading)
{
	if (reading->fd >= 0)
		close(reading->fd);
	reading->fd = -1;
}

static void
end_reading(void *arg)
{
	close_file(arg);
	ReleaseExternalFD();
}

static Reading *
begin_reading(MemoryContext context)
{
	MemoryContext old;
	Reading    *reading;

	ckpx_require_installed();
	if (present_list == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this session has no list of files"),
				 errhint("Call ckpx_read_list() first.")));
	ckpx_require_backup(NameStr(present_list->slot));

	old = MemoryContextSwitchTo(context);
	reading = palloc0(sizeof(Reading));
	reading->list_number = nlists;
	reading->fd = -1;
	reading->row = palloc(VARHDRSZ + ROW_HEADER_BYTES + sizeof(uint64) +
						  ROW_BYTES);
	reading->page = palloc(BLCKSZ);
	reading->call = ckpx_call_begin(context, CKPX_JOB_READ_FILES);
	ckpx_call_phase(reading->call, CKPX_JOB_PHASE_READ, present_list->nfiles);

	ReserveExternalFD();
	reading->callback.func = end_reading;
	reading->callback.arg = reading;
	MemoryContextRegisterResetCallback(context, &reading->callback);
	MemoryContextSwitchTo(old);
	return reading;
}

/* Begin a row; returns where its contents go. */
static char *
begin_row(Reading *reading, char type)
{
	char	   *at = VARDATA(reading->row);
	uint32		file = pg_hton32(reading->file);

	memcpy(at, &file, sizeof(file));
	at[sizeof(file)] = type;
	return at + ROW_HEADER_BYTES;
}

/* End a row with contents of so many bytes. */
static Datum
end_row(Reading *reading, Size length)
{
	SET_VARSIZE(reading->row, VARHDRSZ + ROW_HEADER_BYTES + length);
	return PointerGetDatum(reading->row);
}

static Datum
number_row(Reading *reading, char type, uint64 number)
{
	char	   *at = begin_row(reading, type);

	number = pg_hton64(number);
	memcpy(at, &number, sizeof(number));
	return end_row(reading, sizeof(number));
}

static Datum
checksum_row(Reading *reading)
{
	char	   *at = begin_row(reading, ROW_CHECKSUM);
	uint32		block = pg_hton32(reading->wrong[0]);

	reading->nwrong--;
	memmove(&reading->wrong[0], &reading->wrong[1],
			sizeof(BlockNumber) * reading->nwrong);
	memcpy(at, &block, sizeof(block));
	return end_row(reading, sizeof(block));
}

/* Open the present file; false: it does not exist any more. */
static bool
open_file(Reading *reading, const ListedFile *file)
{
	struct stat st;

	ckpx_require_backup(NameStr(present_list->slot));
	reading->fd = ckpx_data_file_open(file->path, &st);
	if (reading->fd < 0)
	{
		if (errno == ENOENT &&
			ckpx_data_file_may_vanish(&file->name, file->path))
			return false;
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\": %m", file->path)));
	}
	reading->length = (uint64) st.st_size;
	reading->run = 0;
	reading->offset = 0;
	reading->stop = file->whole ? reading->length : 0;
	return true;
}

/* Go on to the next blocks that are wanted; false: there are no more. */
static bool
next_run(Reading *reading, const ListedFile *file)
{
	while (reading->offset >= reading->stop)
	{
		const BlockRun *run = &file->runs[reading->run];

		if (file->whole || reading->run == file->nruns)
			return false;
		reading->run++;
		reading->offset = (uint64) run->from * BLCKSZ;
		reading->stop = Min((uint64) run->to * BLCKSZ, reading->length);
	}
	return true;
}

/* Read up to 'length' bytes of the present file; fewer at its end. */
static Size
read_bytes(const Reading *reading, const ListedFile *file, char *bytes,
		   Size length, uint64 offset)
{
	Size		done = 0;

	while (done < length)
	{
		ssize_t		n;

		pgstat_report_wait_start(WAIT_EVENT_BASEBACKUP_READ);
		n = pg_pread(reading->fd, bytes + done, length - done,
					 (off_t) (offset + done));
		pgstat_report_wait_end();
		if (n < 0 && errno == EINTR)
		{
			CHECK_FOR_INTERRUPTS();
			continue;
		}
		if (n < 0)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not read file \"%s\": %m", file->path)));
		if (n == 0)
			break;
		done += (Size) n;
	}
	return done;
}

/*
 * Must the page have the right checksum, and has it another one?  Pages from
 * the backup's start on may be torn; recovery replaces them.
 */
static bool
is_page_wrong(char *page, BlockNumber block, uint16 *computed)
{
	if (PageIsNew(page) || PageGetLSN(page) >= present_list->start_lsn)
		return false;
	*computed = pg_checksum_page(page, block);
	return *computed != ((PageHeader) page)->pd_checksum;
}

/* Look at the checksums of the pages that were read from 'offset' on. */
static void
check_pages(Reading *reading, const ListedFile *file, char *bytes,
			Size length, uint64 offset)
{
	BlockNumber first = (BlockNumber) (offset / BLCKSZ);
	BlockNumber before = file->name.segment * (BlockNumber) RELSEG_SIZE;

	for (uint32 i = 0; i < length / BLCKSZ; i++)
	{
		char	   *page = reading->page;
		uint16		computed;

		memcpy(page, bytes + (Size) i * BLCKSZ, BLCKSZ);
		if (!is_page_wrong(page, before + first + i, &computed))
			continue;

		/* It may have been read while it was written. */
		if (read_bytes(reading, file, page, BLCKSZ,
					   offset + (uint64) i * BLCKSZ) != BLCKSZ)
			continue;			/* or be cut off meanwhile */
		memcpy(bytes + (Size) i * BLCKSZ, page, BLCKSZ);
		if (!is_page_wrong(page, before + first + i, &computed))
			continue;

		reading->wrong[reading->nwrong++] = first + i;
		ereport(WARNING,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("block %u of file \"%s\" has a wrong checksum",
						first + i, file->path),
				 errdetail("It has %04X, computed is %04X.",
						   ((PageHeader) page)->pd_checksum, computed)));
	}
}

/* The row of what comes next of the present run; false: the file has ended. */
static bool
data_row(Reading *reading, const ListedFile *file, Datum *row)
{
	char	   *at = begin_row(reading, ROW_DATA);
	char	   *bytes = at + sizeof(uint64);
	uint64		offset = reading->offset;
	uint64		number = pg_hton64(offset);
	Size		length;

	length = read_bytes(reading, file, bytes,
						(Size) Min(reading->stop - offset, ROW_BYTES), offset);
	if (length == 0)
		return false;
	memcpy(at, &number, sizeof(number));
	if (present_list->verify_checksums && file->name.kind != CKPX_FILE_OTHER)
		check_pages(reading, file, bytes, length, offset);
	reading->offset += length;
	*row = end_row(reading, sizeof(number) + length);
	return true;
}

/* The last row of a file that was read. */
static Datum
end_file(Reading *reading, const ListedFile *file)
{
	uint64		length = reading->offset;
	Datum		row;
	struct stat st;

	if (!file->whole)
	{
		if (fstat(reading->fd, &st) != 0)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not stat file \"%s\": %m", file->path)));
		length = (uint64) st.st_size;
	}
	row = number_row(reading, ROW_END, length);
	close_file(reading);
	ckpx_call_done(reading->call, ++reading->file);
	return row;
}

/* Make the next row; false: there are no more. */
static bool
next_row(Reading *reading, Datum *row)
{
	const ListedFile *file;

	if (reading->list_number != nlists)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("list of files was replaced while its files were read")));
	if (reading->nwrong > 0)
	{
		*row = checksum_row(reading);
		return true;
	}
	if (reading->file == present_list->nfiles)
		return false;

	file = &present_list->files[reading->file];
	if (reading->fd < 0 && !open_file(reading, file))
	{
		(void) begin_row(reading, ROW_VANISHED);
		*row = end_row(reading, 0);
		ckpx_call_done(reading->call, ++reading->file);
		return true;
	}
	if (!next_run(reading, file) || !data_row(reading, file, row))
		*row = end_file(reading, file);
	return true;
}

Datum
ckpx_read_files(PG_FUNCTION_ARGS)
{
	FuncCallContext *context;
	Datum		row;

	if (SRF_IS_FIRSTCALL())
	{
		context = SRF_FIRSTCALL_INIT();
		context->user_fctx = begin_reading(context->multi_call_memory_ctx);
	}
	context = SRF_PERCALL_SETUP();
	CHECK_FOR_INTERRUPTS();
	if (next_row(context->user_fctx, &row))
		SRF_RETURN_NEXT(context, row);
	SRF_RETURN_DONE(context);
}
