/*-------------------------------------------------------------------------
 *
 * blocks.c
 *		ckpx_changed_blocks, ckpx_dirty_tree and ckpx_wal_by_relation: the map
 *		of a range as rows.
 *
 * covered_to is the LSN from which the next call goes on; it is in every row,
 * and a map without any relation is one row with nothing else, so that a
 * consumer which chains calls can never lose it.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "api/api.h"
#include "api/block_ranges.h"
#include "api/map_reader.h"
#include "api/relation_names.h"
#include "miscadmin.h"
#include "server/base/shared_state.h"
#include "server/flush/buffers.h"
#include "server/wal/source.h"

PG_FUNCTION_INFO_V1(ckpx_changed_blocks);
PG_FUNCTION_INFO_V1(ckpx_dirty_tree);
PG_FUNCTION_INFO_V1(ckpx_wal_by_relation);

/* The columns that name a relation fork. */
static void
add_identity(CkpxRow *row, const CkpxRelKey *key)
{
	ckpx_row_oid(row, key->tablespace);
	ckpx_row_oid(row, key->database);
	ckpx_row_oid(row, key->relation);
	ckpx_row_text(row, forkNames[key->fork]);
}

static void
add_counters(CkpxRow *row, const CkpxRelCounters *counters)
{
	ckpx_row_int8(row, counters->records);
	ckpx_row_int8(row, counters->wal_bytes);
	ckpx_row_int8(row, counters->fpi);
	ckpx_row_int8(row, counters->tuples_inserted);
	ckpx_row_int8(row, counters->tuples_deleted);
}

/* A map on its way out. */
typedef struct MapRows
{
	CkpxRow		row;
	CkpxRanges	ranges;
	XLogRecPtr	covered_to;
	bool		counted;		/* the columns of ckpx_dirty_tree are wanted */
} MapRows;

/* Columns that ckpx_dirty_tree adds to those of ckpx_changed_blocks. */
#define COUNT_COLUMNS		6

/*
 * Put out the ranges gathered so far, as a row of 'relation'.  A fork's counts
 * are told once, in its first row, so that sums come out right.
 */
static void
put_blocks(MapRows *out, const CkpxRelation *relation, bool first,
		   uint64 dirty_blocks)
{
	CkpxRow    *row = &out->row;
	BlockNumber limit = relation->blocks.limit_block;

	add_identity(row, &relation->key);
	ckpx_row_int8_if(row, limit != InvalidBlockNumber, limit);
	ckpx_row_int8(row, out->ranges.nblocks);
	ckpx_row_datum(row, ckpx_ranges_value(&out->ranges));
	ckpx_row_lsn(row, out->covered_to);
	if (out->counted && first)
	{
		add_counters(row, &relation->counters);
		ckpx_row_int8(row, dirty_blocks);
	}
	else if (out->counted)
		ckpx_row_nulls(row, COUNT_COLUMNS);
	ckpx_put_row(row);
	ckpx_ranges_reset(&out->ranges);
}

/* Put out one relation fork: one row, or more where it has many ranges. */
static void
put_relation(MapRows *out, const CkpxRelation *relation, uint64 dirty_blocks)
{
	CkpxBlockSetIterator it;
	BlockNumber start;
	BlockNumber end;
	bool		first = true;

	ckpx_block_set_iterate(&it, &relation->blocks, 0);
	while (ckpx_block_set_next_range(&it, &start, &end))
	{
		ckpx_ranges_add(&out->ranges, start, end);
		if (ckpx_ranges_full(&out->ranges))
		{
			CHECK_FOR_INTERRUPTS();
			put_blocks(out, relation, first, dirty_blocks);
			first = false;
		}
	}
	if (first || out->ranges.nranges > 0)
		put_blocks(out, relation, first, dirty_blocks);
}

/*
 * Put out a whole map; 'dirty_blocks' has a count for each relation, or is
 * NULL where the columns of ckpx_dirty_tree are not wanted.
 */
static Datum
put_map(FunctionCallInfo fcinfo, const CkpxMap *map,
		const uint64 *dirty_blocks)
{
	MapRows		out;

	ckpx_begin_rows(fcinfo, &out.row);
	ckpx_ranges_init(&out.ranges);
	out.covered_to = map->covered_to;
	out.counted = dirty_blocks != NULL;
	for (uint32 i = 0; i < map->nrelations; i++)
	{
		CHECK_FOR_INTERRUPTS();
		put_relation(&out, map->relations[i],
					 out.counted ? dirty_blocks[i] : 0);
	}
	if (map->nrelations == 0)
	{
		ckpx_row_nulls(&out.row, 7);
		ckpx_row_lsn(&out.row, map->covered_to);
		ckpx_row_nulls(&out.row, out.counted ? COUNT_COLUMNS : 0);
		ckpx_put_row(&out.row);
	}
	return (Datum) 0;
}

Datum
ckpx_changed_blocks(PG_FUNCTION_ARGS)
{
	CkpxMap		map;
	CkpxRelKey	key;

	ckpx_require_installed();
	if (!PG_ARGISNULL(2))
		key = ckpx_map_relation_key(PG_GETARG_OID(2));
	ckpx_map_read_arguments(fcinfo, &map, PG_ARGISNULL(2) ? NULL : &key);
	return put_map(fcinfo, &map, NULL);
}

/* The map, and for each of its relations a count. */
typedef struct DirtyCounts
{
	const CkpxMap *map;
	uint64	   *counts;
} DirtyCounts;

static void
count_if_changed(void *arg, const CkpxRelKey *key, BlockNumber block,
				 int buffer)
{
	const DirtyCounts *dirty = arg;
	CkpxRelation **relation = ckpx_map_find(dirty->map, key);

	if (relation != NULL &&
		ckpx_block_set_changed(&(*relation)->blocks, block))
		dirty->counts[relation - dirty->map->relations]++;
}

/*
 * Count, for each relation of the map, the changed blocks that are dirty in
 * shared buffers now.
 */
static uint64 *
count_dirty_blocks(const CkpxMap *map)
{
	DirtyCounts dirty = {map};

	dirty.counts = palloc0(sizeof(uint64) * (map->nrelations + 1));
	ckpx_dirty_buffers_walk(count_if_changed, &dirty);
	return dirty.counts;
}

Datum
ckpx_dirty_tree(PG_FUNCTION_ARGS)
{
	XLogRecPtr	start_lsn = ckpx_lsn_argument(fcinfo, 0);
	XLogRecPtr	end_lsn = ckpx_lsn_argument(fcinfo, 1);
	CkpxMap		map;

	ckpx_require_installed();
	ckpx_check_past_range(start_lsn, end_lsn);
	ckpx_map_read_logtail(&map, ckpx_wal_normalize_lsn(start_lsn),
						  ckpx_wal_normalize_lsn(end_lsn));
	return put_map(fcinfo, &map, count_dirty_blocks(&map));
}

Datum
ckpx_wal_by_relation(PG_FUNCTION_ARGS)
{
	CkpxMap		map;
	CkpxNames  *names;
	uint32		i = 0;
	CkpxRow		row;

	ckpx_require_installed();
	ckpx_map_read_arguments(fcinfo, &map, NULL);
	names = ckpx_names_create();
	for (uint32 n = 0; n < map.nrelations; n++)
		ckpx_names_want(names, &map.relations[n]->key);
	ckpx_names_find(names);

	ckpx_begin_rows(fcinfo, &row);
	while (i < map.nrelations)
	{
		CkpxRelKey	key = map.relations[i]->key;
		CkpxRelCounters sum = {0};

		/* a relation's forks stand side by side */
		for (; i < map.nrelations &&
			 map.relations[i]->key.relation == key.relation &&
			 map.relations[i]->key.database == key.database &&
			 map.relations[i]->key.tablespace == key.tablespace; i++)
		{
			const CkpxRelCounters *counters = &map.relations[i]->counters;

			sum.records += counters->records;
			sum.wal_bytes += counters->wal_bytes;
			sum.fpi += counters->fpi;
			sum.tuples_inserted += counters->tuples_inserted;
			sum.tuples_deleted += counters->tuples_deleted;
		}

		CHECK_FOR_INTERRUPTS();
		ckpx_row_oid(&row, key.tablespace);
		ckpx_row_oid(&row, key.database);
		ckpx_row_oid(&row, key.relation);
		ckpx_row_relation(&row, &key);
		add_counters(&row, &sum);
		ckpx_row_names(&row, names, &key);
		ckpx_put_row(&row);
	}
	return (Datum) 0;
}
