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
 * the same: the tablespaces, before all else, and ckpx_always_whole.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include <sys/stat.h>
#include <unistd.h>

#include "access/genam.h"
#include "access/table.h"
#include "api/api.h"
#include "api/block_ranges.h"
#include "api/data_files.h"
#include "api/map_reader.h"
#include "catalog/pg_database.h"
#include "catalog/pg_tablespace_d.h"
#include "miscadmin.h"
#include "server/base/shared_state.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(ckpx_changed_files);

/* The files on their way out. */
typedef struct FileRows
{
	CkpxRow		row;
	CkpxRanges	ranges;
	XLogRecPtr	covered_to;
} FileRows;

/* Put out a file that is copied whole. */
static void
put_whole(FileRows *out, const char *path)
{
	ckpx_row_text(&out->row, path);
	ckpx_row_bool(&out->row, true);
	ckpx_row_nulls(&out->row, 2);
	ckpx_row_lsn(&out->row, out->covered_to);
	ckpx_put_row(&out->row);
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
put_tablespaces(FileRows *out)
{
	DIR		   *dir = AllocateDir("pg_tblspc");
	struct dirent *de;

	while ((de = ReadDir(dir, "pg_tblspc")) != NULL)
	{
		char		path[MAXPGPATH];
		char		target[MAXPGPATH];

		CHECK_FOR_INTERRUPTS();

		/* PostgreSQL's own test of what a tablespace looks like */
		if (strspn(de->d_name, "0123456789") != strlen(de->d_name))
			continue;
		snprintf(path, MAXPGPATH, "pg_tblspc/%s", de->d_name);
		if (!ckpx_read_tablespace_link(path, target))
			continue;

		ckpx_row_text(&out->row, path);
		ckpx_row_bool(&out->row, false);
		ckpx_row_nulls(&out->row, 1);
		ckpx_row_datum(&out->row, CStringGetTextDatum(target));
		ckpx_row_lsn(&out->row, out->covered_to);
		ckpx_put_row(&out->row);

		put_whole(out, psprintf("%s/" TABLESPACE_VERSION_DIRECTORY "/*/*_fsm*",
								path));
	}
	FreeDir(dir);
}

/* Put out a segment with the ranges gathered, if there are any. */
static void
put_segment(FileRows *out, const char *path, uint32 segment)
{
	if (out->ranges.nranges == 0)
		return;
	ckpx_row_text(&out->row, ckpx_segment_path(path, segment));
	ckpx_row_bool(&out->row, false);
	ckpx_row_datum(&out->row, ckpx_ranges_value(&out->ranges));
	ckpx_row_nulls(&out->row, 1);
	ckpx_row_lsn(&out->row, out->covered_to);
	ckpx_put_row(&out->row);
	ckpx_ranges_reset(&out->ranges);
}

static bool
segment_exists(const char *path, uint32 segment)
{
	char	   *name = ckpx_segment_path(path, segment);
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
add_blocks(FileRows *out, const char *path, uint32 *segment, uint64 from,
		   uint64 to)
{
	while (from < to)
	{
		uint32		this = (uint32) (from / RELSEG_SIZE);
		uint64		base = (uint64) this * RELSEG_SIZE;
		uint64		stop = Min(to, base + RELSEG_SIZE);

		if (this != *segment)
			put_segment(out, path, *segment);
		*segment = this;
		ckpx_ranges_add(&out->ranges, from - base, stop - base);
		if (ckpx_ranges_full(&out->ranges))
			put_segment(out, path, this);
		from = stop;
	}
}

static void
put_fork(FileRows *out, const CkpxRelation *relation)
{
	const CkpxBlockSet *blocks = &relation->blocks;
	BlockNumber limit = blocks->limit_block;
	CkpxBlockSetIterator it;
	BlockNumber start;
	BlockNumber end;
	uint32		segment = 0;
	uint32		limit_segment = limit / RELSEG_SIZE;
	bool		whole = limit % RELSEG_SIZE == 0;
	char	   *path = ckpx_relation_path(relation->key.tablespace,
										  relation->key.database,
										  relation->key.relation,
										  relation->key.fork);

	ckpx_block_set_iterate(&it, blocks, 0);
	while (ckpx_block_set_next_range(&it, &start, &end) && start < limit)
		add_blocks(out, path, &segment, start, Min(end, limit));
	if (limit != InvalidBlockNumber && !whole)
		add_blocks(out, path, &segment, limit,
				   ((uint64) limit_segment + 1) * RELSEG_SIZE);
	put_segment(out, path, segment);
	if (limit == InvalidBlockNumber)
		return;

	if (whole)
		put_whole(out, ckpx_segment_path(path, limit_segment));
	for (segment = limit_segment + 1; segment_exists(path, segment); segment++)
	{
		CHECK_FOR_INTERRUPTS();
		put_whole(out, ckpx_segment_path(path, segment));
	}
}

/*
 * The files that each database has once, in its default tablespace.  They are
 * those that a new catalog snapshot sees; GetLatestSnapshot() is an error
 * beside a parallel query.
 */
static void
put_databases(FileRows *out)
{
	Relation	rel = table_open(DatabaseRelationId, AccessShareLock);
	SysScanDesc scan;
	HeapTuple	tuple;

	InvalidateCatalogSnapshot();
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);
		char	   *folder = GetDatabasePath(database->oid,
											 database->dattablespace);

		put_whole(out, psprintf("%s/PG_VERSION", folder));
		put_whole(out, psprintf("%s/pg_filenode.map", folder));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

Datum
ckpx_changed_files(PG_FUNCTION_ARGS)
{
	CkpxMap		map;
	FileRows	out;

	ckpx_require_installed();
	ckpx_map_read_arguments(fcinfo, &map, NULL);

	ckpx_begin_rows(fcinfo, &out.row);
	ckpx_ranges_init(&out.ranges);
	out.covered_to = map.covered_to;
	put_tablespaces(&out);
	for (uint32 i = 0; i < map.nrelations; i++)
	{
		const CkpxRelation *relation = map.relations[i];

		CHECK_FOR_INTERRUPTS();
		if (relation->key.relation == CKPX_DATABASE_WIDE)
		{
			char	   *path = GetDatabasePath(relation->key.database,
											   relation->key.tablespace);

			put_whole(&out, psprintf("%s/", path));
		}
		else
			put_fork(&out, relation);
	}

	for (int i = 0; i < CKPX_ALWAYS_WHOLE_EARLY; i++)
		put_whole(&out, ckpx_always_whole[i]);
	put_databases(&out);
	for (int i = CKPX_ALWAYS_WHOLE_EARLY; i < CKPX_ALWAYS_WHOLE; i++)
		put_whole(&out, ckpx_always_whole[i]);
	return (Datum) 0;
}
