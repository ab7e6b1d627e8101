/*-------------------------------------------------------------------------
 *
 * backup_files.c
 *		ckpx_backup_files: the files of a backup, and what changed in them.
 *
 * The map is read before the files are listed.  What happens between the two,
 * and after, is in the WAL from the backup's start on, which the map reaches
 * past, so a file that the map does not know may count as unchanged: if it was
 * made or replaced meanwhile, recovery does that again.
 *
 * The blocks of a file that was truncated are open at the top: how long the
 * file is when it is read, only its reader will know.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "api/api.h"
#include "api/backup_slot.h"
#include "api/block_ranges.h"
#include "api/data_files.h"
#include "api/map_reader.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(ckpx_backup_files);

/* A segment of which more than this much changed is copied whole. */
#define WHOLE_FROM_PERCENT	90

typedef struct Listing
{
	CkpxRow		row;
	CkpxRanges	ranges;
	const CkpxMap *map;			/* NULL: a full backup */
	MemoryContext context;		/* of one row */
	CkpxCall   *call;
	uint64		nfiles;
} Listing;

/* Gather the changed blocks of a segment; false: all of them, or nearly so. */
static bool
gather_blocks(CkpxRanges *ranges, const CkpxBlockSet *blocks, uint32 segment,
			  uint64 size)
{
	uint64		base = (uint64) segment * RELSEG_SIZE;
	uint64		stop = Min(base + RELSEG_SIZE, blocks->limit_block);
	uint64		nblocks = size / BLCKSZ;
	uint64		nchanged;
	CkpxBlockSetIterator it;
	BlockNumber start;
	BlockNumber end;

	if (blocks->limit_block <= base ||
		size % BLCKSZ != 0 || nblocks > RELSEG_SIZE)
		return false;
	ckpx_block_set_iterate(&it, blocks, (BlockNumber) base);
	while (ckpx_block_set_next_range(&it, &start, &end) && start < stop)
		ckpx_ranges_add(ranges, start - base, Min(end, stop) - base);

	nchanged = ranges->nblocks;
	if (stop < base + RELSEG_SIZE)
	{
		ckpx_ranges_add_from(ranges, stop - base);
		nchanged += nblocks - Min(nblocks, stop - base);
	}
	return nchanged * 100 <= nblocks * WHOLE_FROM_PERCENT;
}

/* Add the blocks of a file that changed, NULL for all of them. */
static void
add_blocks(Listing *out, const CkpxFoundFile *file)
{
	CkpxRelKey	everything = file->name.key;
	CkpxRelation **found;

	everything.relation = CKPX_DATABASE_WIDE;
	everything.fork = MAIN_FORKNUM;
	if (out->map == NULL || file->name.kind != CKPX_FILE_RELATION ||
		ckpx_map_find(out->map, &everything) != NULL)
	{
		ckpx_row_nulls(&out->row, 1);
		return;
	}

	ckpx_ranges_reset(&out->ranges);
	found = ckpx_map_find(out->map, &file->name.key);
	if (found != NULL && !gather_blocks(&out->ranges, &(*found)->blocks,
										file->name.segment,
										(uint64) file->st.st_size))
		ckpx_row_nulls(&out->row, 1);
	else
		ckpx_row_datum(&out->row, ckpx_ranges_value(&out->ranges));
}

static void
put_file(void *arg, const CkpxFoundFile *file)
{
	Listing    *out = arg;
	CkpxRow    *row = &out->row;
	MemoryContext old = MemoryContextSwitchTo(out->context);
	bool		sized = file->name.kind >= CKPX_FILE_RELATION;

	/* a bytea, like a text, is a length and the bytes */
	ckpx_row_datum(row, PointerGetDatum(cstring_to_text(file->path)));
	ckpx_row_text(row, ckpx_file_kind_name(file->name.kind));
	if (file->link != NULL)
		ckpx_row_datum(row, PointerGetDatum(cstring_to_text(file->link)));
	else
		ckpx_row_nulls(row, 1);
	ckpx_row_int8_if(row, sized, file->st.st_size);
	ckpx_row_time(row, time_t_to_timestamptz(file->st.st_mtime));
	add_blocks(out, file);
	ckpx_row_lsn(row, out->map == NULL ? InvalidXLogRecPtr :
				 out->map->covered_to);
	ckpx_put_row(row);

	MemoryContextSwitchTo(old);
	MemoryContextReset(out->context);
	ckpx_call_done(out->call, ++out->nfiles);
}

Datum
ckpx_backup_files(PG_FUNCTION_ARGS)
{
	XLogRecPtr	start_lsn = ckpx_lsn_argument(fcinfo, 1);
	XLogRecPtr	parent_start = ckpx_lsn_argument(fcinfo, 2);
	CkpxMap		map;
	Listing		out = {0};

	ckpx_require_installed();
	ckpx_require_argument(fcinfo, 0, "slot");
	ckpx_require_argument(fcinfo, 1, "start_lsn");
	ckpx_require_backup(NameStr(*PG_GETARG_NAME(0)));
	ckpx_check_past("start_lsn", start_lsn,
					"Take it from pg_backup_start().");
	if (parent_start > start_lsn)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parent_start %X/%X is greater than start_lsn %X/%X",
						LSN_FORMAT_ARGS(parent_start),
						LSN_FORMAT_ARGS(start_lsn)),
				 errhint("Take a backup that started earlier for the parent.")));

	ckpx_begin_rows(fcinfo, &out.row);
	ckpx_ranges_init(&out.ranges);
	out.context = AllocSetContextCreate(CurrentMemoryContext, "ckpx row",
										ALLOCSET_DEFAULT_SIZES);
	out.call = ckpx_call_begin(CurrentMemoryContext, CKPX_JOB_LIST_FILES);
	if (!PG_ARGISNULL(2))
	{
		ckpx_call_phase(out.call, CKPX_JOB_PHASE_MAP, 0);
		ckpx_map_read_range(&map, parent_start, InvalidXLogRecPtr, NULL);
		Assert(map.covered_to >= start_lsn);
		ckpx_map_require_decoders(&map,
								  "Take a full backup. Incremental ones need a decoder for all records of that resource manager in the epoch.");
		out.map = &map;
	}
	ckpx_call_phase(out.call, CKPX_JOB_PHASE_LIST, 0);
	ckpx_data_files_walk(put_file, &out);
	ckpx_call_end(out.call);
	return (Datum) 0;
}
