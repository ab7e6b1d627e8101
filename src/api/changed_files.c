/*-------------------------------------------------------------------------
 *
 * changed_files.c
 *		ckpx_changed_files: the map of a range as files to copy.
 *
 * A fork is a chain of segment files of RELSEG_SIZE blocks.  Listed blocks
 * before the limit block become block numbers within their segment.  From the
 * limit block on every block counts as changed, listed or not, up to a length
 * that WAL does not tell: the rest of the limit's segment is put out, and of
 * the segments behind it those that exist now.  One that comes into being
 * later was made by WAL after the range, which the next range names.
 *
 * A file that is named and does not exist was dropped or cut off; a copy must
 * not have it either.
 *
 * The rest of the answer is what the map does not hold and a copy needs all
 * the same: the tablespaces, before all else, and always_whole below.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include <sys/stat.h>
#include <unistd.h>

#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "api/api.h"
#include "api/block_ranges.h"
#include "api/map_reader.h"
#include "catalog/pg_database.h"
#include "catalog/pg_tablespace_d.h"
#include "miscadmin.h"
#include "server/base/shared_state.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(ckpx_changed_files);

/*
 * Not in the map, and needed in a copy: a name that ends in '/' is a
 * directory with all that is in it, '*' stands for any characters but '/'.
 * FSM forks change without WAL.  The SLRUs, the relation maps, two-phase
 * files, origins and mappings of logical decoding and the control file are
 * written by other means than pages of relations.  The control file is the
 * last: it must be copied last.
 *
 * Each of these has the same contents in every copy of this cluster, on
 * whatever host.  What belongs to one server stays out, a copy has its own:
 * configuration (ALTER SYSTEM's, too: a standby has its primary_conninfo
 * there), signal files, backup_label, postmaster.pid and .opts, pg_replslot,
 * the store of ckpx.  So does what PostgreSQL removes or makes anew at a start
 * (pg_subtrans, pg_notify, pg_serial, pg_snapshots, pg_dynshmem, pg_stat,
 * pg_stat_tmp, pgsql_tmp, pg_internal.init, temporary relations, and unlogged
 * ones but for their init forks, which the map has), and pg_wal: what a copy
 * needs of it depends on how it is made.  docs/incremental-copy.md goes
 * through all of them.
 */
static const char *const always_whole[] = {
	"PG_VERSION",
	"pg_xact/",
	"pg_multixact/",
	"pg_commit_ts/",
	"pg_twophase/",
	"pg_logical/",
	"global/*_fsm*",
	"base/*/*_fsm*",
	"global/pg_filenode.map",
	"global/pg_control"
};

/* Index of the first name that belongs behind the databases' files. */
#define FIRST_LATE_NAME		(lengthof(always_whole) - 1)

static void
put_file(FunctionCallInfo fcinfo, const CkpxMap *map, const char *path,
		 CkpxRanges *ranges)
{
	CkpxRow		row;

	ckpx_row_begin(&row);
	ckpx_row_text(&row, path);
	ckpx_row_bool(&row, ranges == NULL);
	if (ranges == NULL)
		ckpx_row_null(&row);
	else
		ckpx_row_datum(&row, ckpx_ranges_value(ranges));
	ckpx_row_null(&row);
	ckpx_row_lsn(&row, map->covered_to);
	ckpx_put_row(fcinfo, &row);
	if (ranges != NULL)
		ckpx_ranges_reset(ranges);
}

/*
 * The target of a tablespace's link; '' for a directory, which a tablespace
 * made with allow_in_place_tablespaces is.  False if it was dropped meanwhile.
 */
static bool
read_tablespace(const char *path, char *target)
{
	ssize_t		length = readlink(path, target, MAXPGPATH);

	if (length < 0 && errno == ENOENT)
		return false;
	if (length < 0 && errno == EINVAL)
		length = 0;				/* not a symbolic link */
	if (length < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read symbolic link \"%s\": %m", path)));
	if (length >= MAXPGPATH)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("symbolic link \"%s\" target is too long", path)));
	target[length] = '\0';
	return true;
}

/*
 * Put out the tablespaces that there are now, with their FSM forks.
 *
 * A link is never a file to copy, nor pg_tblspc a directory to mirror: on the
 * same host the copy's link would lead to our tablespace, and what starts
 * there would write into it.  So the row is neither whole nor has it blocks.
 *
 * The links are read after the range: a tablespace made in it has its link,
 * which CREATE TABLESPACE makes before its WAL record.  All that exist are put
 * out, so that a copy knows the dropped ones by their absence.
 */
static void
put_tablespaces(FunctionCallInfo fcinfo, const CkpxMap *map)
{
	DIR		   *dir = AllocateDir("pg_tblspc");
	struct dirent *de;

	while ((de = ReadDir(dir, "pg_tblspc")) != NULL)
	{
		CkpxRow		row;
		char		path[MAXPGPATH];
		char		pattern[MAXPGPATH];
		char		target[MAXPGPATH];

		CHECK_FOR_INTERRUPTS();

		/* PostgreSQL's own test of what a tablespace looks like */
		if (strspn(de->d_name, "0123456789") != strlen(de->d_name))
			continue;
		snprintf(path, MAXPGPATH, "pg_tblspc/%s", de->d_name);
		if (!read_tablespace(path, target))
			continue;

		ckpx_row_begin(&row);
		ckpx_row_text(&row, path);
		ckpx_row_bool(&row, false);
		ckpx_row_null(&row);
		ckpx_row_datum(&row, CStringGetTextDatum(target));
		ckpx_row_lsn(&row, map->covered_to);
		ckpx_put_row(fcinfo, &row);

		snprintf(pattern, MAXPGPATH,
				 "%s/" TABLESPACE_VERSION_DIRECTORY "/*/*_fsm*", path);
		put_file(fcinfo, map, pattern, NULL);
	}
	FreeDir(dir);
}

/* The path of a segment; segment 0 has no suffix. */
static char *
segment_path(const char *path, uint32 segment)
{
	return segment == 0 ? pstrdup(path) : psprintf("%s.%u", path, segment);
}

/* Put out a segment, whole or with the ranges gathered. */
static void
put_segment(FunctionCallInfo fcinfo, const CkpxMap *map, const char *path,
			uint32 segment, CkpxRanges *ranges)
{
	char	   *name = segment_path(path, segment);

	put_file(fcinfo, map, name, ranges);
	pfree(name);
}

static bool
segment_exists(const char *path, uint32 segment)
{
	char	   *name = segment_path(path, segment);
	struct stat st;
	bool		exists = stat(name, &st) == 0;

	if (!exists && errno != ENOENT)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not stat file \"%s\": %m", name)));
	pfree(name);
	return exists;
}

/*
 * Add the blocks [from, to) of the fork, putting out each segment that they
 * leave behind.  '*segment' is the one being gathered.
 */
static void
add_blocks(FunctionCallInfo fcinfo, const CkpxMap *map, const char *path,
		   CkpxRanges *ranges, uint32 *segment, uint64 from, uint64 to)
{
	while (from < to)
	{
		uint32		this = (uint32) (from / RELSEG_SIZE);
		uint64		base = (uint64) this * RELSEG_SIZE;
		uint64		stop = Min(to, base + RELSEG_SIZE);

		if (ranges->nranges > 0 && this != *segment)
			put_segment(fcinfo, map, path, *segment, ranges);
		*segment = this;
		ckpx_ranges_add(ranges, from - base, stop - base);
		if (ckpx_ranges_full(ranges))
			put_segment(fcinfo, map, path, this, ranges);
		from = stop;
	}
}

static void
put_fork(FunctionCallInfo fcinfo, const CkpxMap *map,
		 const CkpxRelation *relation, CkpxRanges *ranges)
{
	const CkpxBlockSet *blocks = &relation->blocks;
	BlockNumber limit = blocks->limit_block;
	CkpxBlockSetIterator it;
	BlockNumber start;
	BlockNumber end;
	uint32		segment = 0;
	uint32		limit_segment = limit / RELSEG_SIZE;
	char	   *path = ckpx_relation_path(relation->key.tablespace,
										  relation->key.database,
										  relation->key.relation,
										  relation->key.fork);

	ckpx_block_set_iterate(&it, blocks, 0);
	while (ckpx_block_set_next_range(&it, &start, &end) && start < limit)
		add_blocks(fcinfo, map, path, ranges, &segment, start,
				   Min(end, limit));

	if (limit != InvalidBlockNumber)
	{
		bool		whole = limit % RELSEG_SIZE == 0;

		if (!whole)
			add_blocks(fcinfo, map, path, ranges, &segment, limit,
					   ((uint64) limit_segment + 1) * RELSEG_SIZE);
		if (ranges->nranges > 0)
			put_segment(fcinfo, map, path, segment, ranges);
		if (whole)
			put_segment(fcinfo, map, path, limit_segment, NULL);
		for (segment = limit_segment + 1; segment_exists(path, segment);
			 segment++)
		{
			CHECK_FOR_INTERRUPTS();
			put_segment(fcinfo, map, path, segment, NULL);
		}
	}
	else if (ranges->nranges > 0)
		put_segment(fcinfo, map, path, segment, ranges);
	pfree(path);
}

static void
put_database_file(FunctionCallInfo fcinfo, const CkpxMap *map,
				  const char *folder, const char *name)
{
	char	   *path = psprintf("%s/%s", folder, name);

	put_file(fcinfo, map, path, NULL);
	pfree(path);
}

/* The files that each database has once, in its default tablespace. */
static void
put_databases(FunctionCallInfo fcinfo, const CkpxMap *map)
{
	Relation	rel = table_open(DatabaseRelationId, AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(rel, snapshot, 0, NULL);
	HeapTuple	tuple;

	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);
		char	   *folder = GetDatabasePath(database->oid,
											 database->dattablespace);

		put_database_file(fcinfo, map, folder, "PG_VERSION");
		put_database_file(fcinfo, map, folder, "pg_filenode.map");
		pfree(folder);
	}
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
}

Datum
ckpx_changed_files(PG_FUNCTION_ARGS)
{
	CkpxMap		map;
	CkpxRanges	ranges;

	ckpx_require_installed();
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("start_lsn must not be null")));
	ckpx_map_read_range(&map, ckpx_lsn_argument(fcinfo, 0), ckpx_lsn_argument(fcinfo, 1), NULL);

	ckpx_begin_rows(fcinfo);
	put_tablespaces(fcinfo, &map);
	ckpx_ranges_init(&ranges);
	for (uint32 i = 0; i < map.nrelations; i++)
	{
		const CkpxRelation *relation = map.relations[i];

		CHECK_FOR_INTERRUPTS();
		if (relation->key.relation == CKPX_DATABASE_WIDE)
		{
			char	   *folder = GetDatabasePath(relation->key.database,
												 relation->key.tablespace);

			put_database_file(fcinfo, &map, folder, "");
			pfree(folder);
		}
		else
			put_fork(fcinfo, &map, relation, &ranges);
	}

	for (int i = 0; i < (int) FIRST_LATE_NAME; i++)
		put_file(fcinfo, &map, always_whole[i], NULL);
	put_databases(fcinfo, &map);
	for (int i = FIRST_LATE_NAME; i < (int) lengthof(always_whole); i++)
		put_file(fcinfo, &map, always_whole[i], NULL);
	return (Datum) 0;
}
