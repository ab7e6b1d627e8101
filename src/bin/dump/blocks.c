/*-------------------------------------------------------------------------
 *
 * blocks.c
 *		The command "blocks": which blocks changed in a range.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/dump/blocks.h"

#include "bin/dump/history.h"
#include "bin/dump/output.h"
#include "bin/dump/print.h"
#include "bin/dump/summary_file.h"
#include "common/logging.h"

static void
print_relation(const CkpxRelation *relation)
{
	CkpxBlockSetIterator it;
	bool		more = true;

	ckpx_block_set_iterate(&it, &relation->blocks, 0);
	while (more)
	{
		print_key(&relation->key);
		if (relation->blocks.limit_block != InvalidBlockNumber)
			output_number("limit_block", relation->blocks.limit_block);
		else
			output_null("limit_block");
		more = !output_ranges("blocks", &it);
		output_row();
	}
}

static bool
is_wanted(const Options *options, const CkpxRelKey *key)
{
	return !options->one_fork || key->relation == CKPX_DATABASE_WIDE ||
		key->fork == options->relation.fork;
}

static void
print_map(const Options *options, const CkpxRangeMap *map,
		  CkpxRelation **relations, uint32 nrelations)
{
	output_begin(options->json);
	output_one("range");
	output_lsn("start_lsn", map->start_lsn);
	output_lsn("end_lsn", map->end_lsn);
	output_row();
	output_many("relations");
	for (uint32 i = 0; i < nrelations; i++)
	{
		if (is_wanted(options, &relations[i]->key))
			print_relation(relations[i]);
	}
	output_end();
}

static History *
read_history(char **paths, int npaths)
{
	Store	   *store;

	for (int i = 0; i < npaths; i++)
	{
		FileKind	kind = file_kind(paths[i]);

		if (kind == FILE_MANIFEST)
			pg_fatal("\"%s\" is a manifest; give its directory", paths[i]);
		if (kind == FILE_DIRECTORY && npaths > 1)
			pg_fatal("\"%s\" is a directory; give it alone", paths[i]);
		if (kind == FILE_DIRECTORY)
		{
			store = store_read(paths[0]);
			(void) store_warn(store);
			return history_of_store(store);
		}
	}
	return history_of_files(paths, npaths);
}

int
blocks_run(const Options *options, char **paths, int npaths)
{
	History    *history = read_history(paths, npaths);
	XLogRecPtr	start_lsn = options->start_lsn;
	XLogRecPtr	end_lsn = options->end_lsn;
	CkpxRangeMap map;
	CkpxRelation **relations;
	uint32		nrelations;

	if (start_lsn == InvalidXLogRecPtr)
		start_lsn = history_begin(history);
	if (end_lsn == InvalidXLogRecPtr)
		end_lsn = Max(history_end(history), start_lsn);
	if (start_lsn > end_lsn)
		pg_fatal("start %X/%X lies behind end %X/%X",
				 LSN_FORMAT_ARGS(start_lsn), LSN_FORMAT_ARGS(end_lsn));

	history_map(history, start_lsn, end_lsn,
				options->one_relation ? &options->relation : NULL, &map);
	relations = ckpx_range_map_finish(&map, &nrelations);
	if (options->to_wal_summary != NULL)
	{
		if (history->timeline == 0)
			pg_fatal("the range %X/%X - %X/%X lies on more than one timeline",
					 LSN_FORMAT_ARGS(start_lsn), LSN_FORMAT_ARGS(end_lsn));
		summary_file_write(options->to_wal_summary, history->timeline,
						   start_lsn, end_lsn, relations, nrelations);
	}
	else
		print_map(options, &map, relations, nrelations);
	return 0;
}
