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

#include "access/relation.h"
#include "access/table.h"
#include "api/api.h"
#include "api/block_ranges.h"
#include "api/map_reader.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "server/base/shared_state.h"
#include "server/flush/buffers.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(ckpx_changed_blocks);
PG_FUNCTION_INFO_V1(ckpx_dirty_tree);
PG_FUNCTION_INFO_V1(ckpx_wal_by_relation);

/*
 * Raise an error where a relation has no map: it has no files, or its changes
 * are not in WAL.
 */
static void
check_mapped(Relation rel)
{
	if (!RELKIND_HAS_STORAGE(rel->rd_rel->relkind))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("relation \"%s\" has no storage",
						RelationGetRelationName(rel)),
				 rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ||
				 rel->rd_rel->relkind == RELKIND_PARTITIONED_INDEX ?
				 errhint("Ask for its partitions one by one.") : 0));
	if (!RelationIsPermanent(rel))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("relation \"%s\" is not in the map",
						RelationGetRelationName(rel)),
				 errdetail("Changes of temporary and unlogged relations are not written to WAL.")));
}

/* The physical identity that a relation has now. */
static CkpxRelKey
relation_key(Oid relid)
{
	Relation	rel = try_relation_open(relid, AccessShareLock);
	CkpxRelKey	key;

	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	check_mapped(rel);
	key.tablespace = CKPX_LOCATOR_TABLESPACE(CKPX_RELATION_LOCATOR(rel));
	key.database = CKPX_LOCATOR_DATABASE(CKPX_RELATION_LOCATOR(rel));
	key.relation = CKPX_LOCATOR_NUMBER(CKPX_RELATION_LOCATOR(rel));
	key.fork = MAIN_FORKNUM;
	relation_close(rel, AccessShareLock);
	return key;
}

/*
 * Read the map of a range given as the arguments start_lsn and end_lsn; see
 * ckpx_map_read_range in map_reader.h.
 */
static void
read_range(FunctionCallInfo fcinfo, CkpxMap *map, const CkpxRelKey *relation)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("start_lsn must not be null")));
	ckpx_map_read_range(map, ckpx_lsn_argument(fcinfo, 0), ckpx_lsn_argument(fcinfo, 1), relation);
}

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
	ckpx_row_int8(row, (int64) counters->records);
	ckpx_row_int8(row, (int64) counters->wal_bytes);
	ckpx_row_int8(row, (int64) counters->fpi);
	ckpx_row_int8(row, (int64) counters->tuples_inserted);
	ckpx_row_int8(row, (int64) counters->tuples_deleted);
}

/* Put out the ranges gathered so far, as a row of 'relation'. */
static void
put_blocks(FunctionCallInfo fcinfo, const CkpxMap *map,
		   const CkpxRelation *relation, CkpxRanges *ranges, bool first,
		   const uint64 *dirty_blocks)
{
	CkpxRow		row;

	ckpx_row_begin(&row);
	add_identity(&row, &relation->key);
	if (relation->blocks.limit_block == InvalidBlockNumber)
		ckpx_row_null(&row);
	else
		ckpx_row_int8(&row, relation->blocks.limit_block);
	ckpx_row_int8(&row, (int64) ranges->nblocks);
	ckpx_row_datum(&row, ckpx_ranges_value(ranges));
	ckpx_row_lsn(&row, map->covered_to);
	if (dirty_blocks != NULL)
	{
		/* a fork's counters are told once, so that sums come out right */
		if (first)
		{
			add_counters(&row, &relation->counters);
			ckpx_row_int8(&row, (int64) *dirty_blocks);
		}
		else
			for (int i = 0; i < 6; i++)
				ckpx_row_null(&row);
	}
	ckpx_put_row(fcinfo, &row);
	ckpx_ranges_reset(ranges);
}

/* Put out one relation fork: one row, or more where it has many ranges. */
static void
put_relation(FunctionCallInfo fcinfo, const CkpxMap *map,
			 const CkpxRelation *relation, CkpxRanges *ranges,
			 const uint64 *dirty_blocks)
{
	CkpxBlockSetIterator it;
	BlockNumber start;
	BlockNumber end;
	bool		first = true;

	ckpx_block_set_iterate(&it, &relation->blocks, 0);
	while (ckpx_block_set_next_range(&it, &start, &end))
	{
		ckpx_ranges_add(ranges, start, end);
		if (ckpx_ranges_full(ranges))
		{
			CHECK_FOR_INTERRUPTS();
			put_blocks(fcinfo, map, relation, ranges, first, dirty_blocks);
			first = false;
		}
	}
	if (first || ranges->nranges > 0)
		put_blocks(fcinfo, map, relation, ranges, first, dirty_blocks);
}

/* Put out a whole map; 'dirty_blocks' has a count for each relation, or is
 * NULL where the columns of ckpx_dirty_tree are not wanted. */
static void
put_map(FunctionCallInfo fcinfo, const CkpxMap *map,
		const uint64 *dirty_blocks)
{
	CkpxRanges	ranges;

	ckpx_ranges_init(&ranges);
	for (uint32 i = 0; i < map->nrelations; i++)
	{
		CHECK_FOR_INTERRUPTS();
		put_relation(fcinfo, map, map->relations[i], &ranges,
					 dirty_blocks != NULL ? &dirty_blocks[i] : NULL);
	}

	if (map->nrelations == 0)
	{
		CkpxRow		row;

		ckpx_row_begin(&row);
		for (int i = 0; i < 7; i++)
			ckpx_row_null(&row);
		ckpx_row_lsn(&row, map->covered_to);
		if (dirty_blocks != NULL)
			for (int i = 0; i < 6; i++)
				ckpx_row_null(&row);
		ckpx_put_row(fcinfo, &row);
	}
}

Datum
ckpx_changed_blocks(PG_FUNCTION_ARGS)
{
	CkpxMap		map;
	CkpxRelKey	key;

	ckpx_require_installed();
	if (!PG_ARGISNULL(2))
		key = relation_key(PG_GETARG_OID(2));
	read_range(fcinfo, &map, PG_ARGISNULL(2) ? NULL : &key);

	ckpx_begin_rows(fcinfo);
	put_map(fcinfo, &map, NULL);
	return (Datum) 0;
}

static int
compare_to_relation(const void *key, const void *element)
{
	return ckpx_rel_key_compare(key,
								&(*(CkpxRelation *const *) element)->key);
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
	CkpxRelation **relations = dirty->map->relations;
	CkpxRelation **relation = bsearch(key, relations, dirty->map->nrelations,
									  sizeof(CkpxRelation *),
									  compare_to_relation);

	if (relation != NULL &&
		ckpx_block_set_changed(&(*relation)->blocks, block))
		dirty->counts[relation - relations]++;
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
	ckpx_map_read_logtail(&map, ckpx_normalize_lsn(start_lsn),
						  ckpx_normalize_lsn(end_lsn));

	ckpx_begin_rows(fcinfo);
	put_map(fcinfo, &map, count_dirty_blocks(&map));
	return (Datum) 0;
}

/* The relation's OID, if the file belongs to this database. */
static Oid
resolve_relation(const CkpxRelKey *key)
{
	if (key->relation == CKPX_DATABASE_WIDE ||
		(key->database != MyDatabaseId && key->database != InvalidOid))
		return InvalidOid;
	return ckpx_relid_of_file(key->tablespace, key->relation);
}

Datum
ckpx_wal_by_relation(PG_FUNCTION_ARGS)
{
	CkpxMap		map;
	uint32		i = 0;

	ckpx_require_installed();
	read_range(fcinfo, &map, NULL);

	ckpx_begin_rows(fcinfo);
	while (i < map.nrelations)
	{
		CkpxRelKey	key = map.relations[i]->key;
		CkpxRelCounters sum = {0};
		CkpxRow		row;
		Oid			relid;

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
		ckpx_row_begin(&row);
		ckpx_row_oid(&row, key.tablespace);
		ckpx_row_oid(&row, key.database);
		ckpx_row_oid(&row, key.relation);
		relid = resolve_relation(&key);
		if (OidIsValid(relid))
			ckpx_row_oid(&row, relid);
		else
			ckpx_row_null(&row);
		add_counters(&row, &sum);
		ckpx_put_row(fcinfo, &row);
	}
	return (Datum) 0;
}
