/*-------------------------------------------------------------------------
 *
 * ckpx_ptrack.c
 *		The map of ckpx in the form that pg_probackup asks an extension ptrack
 *		for: a bitmap for each segment file of a main fork.
 *
 * To pg_probackup a file without a bitmap is unchanged.  So a row of the map
 * that stands for a whole database becomes all of its files, and a limit all
 * blocks behind it.  Bits end where the file ends: what grows later is in the
 * WAL of the backup that asks.  A file that is not there has no bitmap.
 *
 * The map comes in the order of tablespace, database, relation and block, so
 * one bitmap at a time is enough.
 *
 * The API of ckpx checks no privileges.  The questions to ckpx's SQL objects
 * do, with the caller's rights, and each function asks one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/stat.h>

#include "ckpx.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/pg_lsn.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

PG_FUNCTION_INFO_V1(ckpx_ptrack_init_lsn);
PG_FUNCTION_INFO_V1(ckpx_ptrack_get_pagemapset);

typedef struct PageMaps
{
	ReturnSetInfo *result;
	CkpxFork	fork;			/* the fork whose runs come, or a database */
	BlockNumber limit_block;	/* of the fork */
	char	   *folder;			/* of the fork */
	char		path[MAXPGPATH];	/* of the segment */
	uint32		segment;
	uint32		nblocks;		/* of the segment; 0: it is not there */
	uint32		nset;			/* bits in the bitmap */
	uint32		nbytes;			/* bytes up to the last bit */
	uint8		bitmap[RELSEG_SIZE / BITS_PER_BYTE];
} PageMaps;

/*
 * Two extensions of one name cannot be told apart.  A placeholder is what a
 * configuration file makes; a library defines the setting.
 */
void
_PG_init(void)
{
	int			flags = GetConfigOptionFlags("ptrack.map_size", true);

	if (flags != 0 && (flags & GUC_CUSTOM_PLACEHOLDER) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("another library that defines \"ptrack.map_size\" is loaded"),
				 errhint("Remove that library from \"shared_preload_libraries\", or do without the extension \"ptrack\" of ckpx.")));
}

/*
 * Ask for one text of an SQL object of ckpx, in 'query' behind its schema;
 * NULL if there is none.
 */
static char *
ask_ckpx(const char *query)
{
	MemoryContext caller = CurrentMemoryContext;
	char	   *schema;
	char	   *answer = NULL;

	SPI_connect();
	if (SPI_execute("SELECT e.extnamespace::pg_catalog.regnamespace::text"
					" FROM pg_catalog.pg_extension e"
					" WHERE e.extname OPERATOR(pg_catalog.=) 'ckpx'",
					true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("extension \"%s\" does not exist", "ckpx")));
	schema = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	if (SPI_execute(psprintf(query, schema), true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read from extension ckpx");
	if (SPI_processed == 1)
	{
		answer = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
		if (answer != NULL)
			answer = MemoryContextStrdup(caller, answer);
	}
	SPI_finish();
	return answer;
}

/* pg_probackup takes 0/0 for "nothing is tracked". */
Datum
ckpx_ptrack_init_lsn(PG_FUNCTION_ARGS)
{
	char	   *lsn = ask_ckpx("SELECT %s.ckpx_low_water_mark()::text");

	PG_RETURN_DATUM(DirectFunctionCall1(pg_lsn_in,
										CStringGetDatum(lsn ? lsn : "0/0")));
}

/* Put out the bitmap of the present segment, if a block of it changed. */
static void
end_segment(PageMaps *maps)
{
	Datum		values[3];
	bool		nulls[3] = {false};
	bytea	   *bitmap;

	if (maps->nset > 0)
	{
		bitmap = (bytea *) palloc(VARHDRSZ + maps->nbytes);
		SET_VARSIZE(bitmap, VARHDRSZ + maps->nbytes);
		memcpy(VARDATA(bitmap), maps->bitmap, maps->nbytes);
		values[0] = CStringGetTextDatum(maps->path);
		values[1] = Int64GetDatum(maps->nset);
		values[2] = PointerGetDatum(bitmap);
		tuplestore_putvalues(maps->result->setResult, maps->result->setDesc,
							 values, nulls);
		pfree(DatumGetPointer(values[0]));
		pfree(bitmap);
		memset(maps->bitmap, 0, maps->nbytes);
	}
	maps->nset = 0;
	maps->nbytes = 0;
	maps->nblocks = 0;
}

/* Begin a segment; false if its file is not there. */
static bool
begin_segment(PageMaps *maps, Oid relation, uint32 segment)
{
	struct stat st;

	end_segment(maps);
	maps->segment = segment;
	if (segment == 0)
		snprintf(maps->path, MAXPGPATH, "%s/%u", maps->folder, relation);
	else
		snprintf(maps->path, MAXPGPATH, "%s/%u.%u", maps->folder, relation,
				 segment);
	if (stat(maps->path, &st) != 0)
	{
		if (errno != ENOENT)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not stat file \"%s\": %m", maps->path)));
		return false;
	}
	maps->nblocks = Min((st.st_size + BLCKSZ - 1) / BLCKSZ, RELSEG_SIZE);
	return true;
}

/* Set the bits [from, to) of the present segment, as far as it has blocks. */
static void
set_bits(PageMaps *maps, uint32 from, uint32 to)
{
	to = Min(to, maps->nblocks);
	for (uint32 block = from; block < to; block++)
	{
		uint8	   *byte = &maps->bitmap[block / BITS_PER_BYTE];
		uint8		bit = 1 << (block % BITS_PER_BYTE);

		maps->nset += (*byte & bit) == 0;
		*byte |= bit;
	}
	if (from < to)
		maps->nbytes = Max(maps->nbytes, (to - 1) / BITS_PER_BYTE + 1);
}

/* Is it the name of a segment of a main fork? */
static bool
parse_name(const char *name, Oid *relation, uint32 *segment)
{
	char		again[MAXPGPATH];

	*segment = 0;
	if (sscanf(name, "%u.%u", relation, segment) < 1)
		return false;
	snprintf(again, sizeof(again), *segment == 0 ? "%u" : "%u.%u", *relation,
			 *segment);
	return strcmp(name, again) == 0;
}

/* Put out all files of a database's folder. */
static void
put_database(PageMaps *maps)
{
	DIR		   *dir = AllocateDir(maps->folder);
	struct dirent *de;
	Oid			relation;
	uint32		segment;

	if (dir == NULL && errno == ENOENT)
		return;
	while ((de = ReadDir(dir, maps->folder)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (parse_name(de->d_name, &relation, &segment) &&
			begin_segment(maps, relation, segment))
			set_bits(maps, 0, RELSEG_SIZE);
	}
	FreeDir(dir);
	end_segment(maps);
}

/* Finish a fork: all blocks from the limit on. */
static void
end_fork(PageMaps *maps)
{
	uint32		segment = maps->limit_block / RELSEG_SIZE;
	uint32		from = maps->limit_block % RELSEG_SIZE;

	if (maps->limit_block != InvalidBlockNumber)
	{
		if (segment == maps->segment && maps->nblocks > 0)
			set_bits(maps, from, RELSEG_SIZE);
		else if (begin_segment(maps, maps->fork.relation, segment))
			set_bits(maps, from, RELSEG_SIZE);
		while (begin_segment(maps, maps->fork.relation, ++segment))
		{
			CHECK_FOR_INTERRUPTS();
			set_bits(maps, 0, RELSEG_SIZE);
		}
	}
	end_segment(maps);
	maps->limit_block = InvalidBlockNumber;
	maps->segment = PG_UINT32_MAX;
}

static bool
take_row(const CkpxMapRow *row, void *arg)
{
	PageMaps   *maps = arg;
	bool		same = row->fork.tablespace == maps->fork.tablespace &&
		row->fork.database == maps->fork.database;

	if (row->fork.fork != MAIN_FORKNUM)
		return false;
	if (same && maps->fork.relation == InvalidOid)
		return false;			/* put out with its database */
	end_fork(maps);
	if (!same && maps->folder != NULL)
		pfree(maps->folder);
	if (!same || maps->folder == NULL)
		maps->folder = GetDatabasePath(row->fork.database,
									   row->fork.tablespace);
	maps->fork = row->fork;
	if (row->fork.relation == InvalidOid)
	{
		put_database(maps);
		return false;
	}
	maps->limit_block = row->limit_block;
	return true;
}

static void
take_run(const CkpxMapRow *row, BlockNumber from, BlockNumber to, void *arg)
{
	PageMaps   *maps = arg;

	to = Min(to, row->limit_block);
	while (from < to)
	{
		uint32		segment = from / RELSEG_SIZE;
		uint64		stop = Min(to, ((uint64) segment + 1) * RELSEG_SIZE);

		if (segment != maps->segment)
			(void) begin_segment(maps, row->fork.relation, segment);
		set_bits(maps, from % RELSEG_SIZE, (stop - 1) % RELSEG_SIZE + 1);
		from = (BlockNumber) stop;
	}
}

Datum
ckpx_ptrack_get_pagemapset(PG_FUNCTION_ARGS)
{
	static const CkpxMapReader reader = {take_row, take_run};
	const CkpxApi *api = ckpx_get_api();
	PageMaps   *maps = palloc0(sizeof(PageMaps));
	char	   *rmgrs;

	/* Not STRICT: no rows would say that nothing changed. */
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("start_lsn must not be null")));
	if (api == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("ckpx is not loaded via \"shared_preload_libraries\"")));

	InitMaterializedSRF(fcinfo, 0);
	maps->result = (ReturnSetInfo *) fcinfo->resultinfo;
	maps->limit_block = InvalidBlockNumber;
	maps->segment = PG_UINT32_MAX;
	(void) api->read_map(PG_GETARG_LSN(0), InvalidXLogRecPtr, NULL, &reader,
						 maps);
	end_fork(maps);

	/* Of all that was read: the list only grows within an epoch. */
	rmgrs = ask_ckpx("SELECT r.custom_rmgrs::text FROM %s.ckpx_runner r"
					 " WHERE r.custom_rmgrs OPERATOR(pg_catalog.<>) '{}'");
	if (rmgrs != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the block map may lack changes of custom resource managers %s",
						rmgrs),
				 errdetail("No decoder for their records was registered in this epoch."),
				 errhint("Take a full backup, or one in another mode.")));
	return (Datum) 0;
}
