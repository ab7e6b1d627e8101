/*-------------------------------------------------------------------------
 *
 * changed_rows.c
 *		ckpx_changed_rows: the rows that live in changed blocks.
 *
 * The map tells the blocks; the server reads the rows, with a TID range scan
 * of each run of changed blocks, as the calling user and with the snapshot of
 * the calling statement.  So privileges and row security hold as in any query,
 * and the rows are those that a full scan by the same statement would give.
 *
 * The relation is locked before the map is read, and stays so to the end of
 * the transaction: its files cannot be replaced in between.  The map reaches
 * the end of WAL at the call, which is behind everything that the snapshot
 * sees.
 *
 * Only a table of another access method than heap can have been changed by
 * records of a custom resource manager.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "access/relation.h"
#include "api/api.h"
#include "api/map_reader.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tstoreReceiver.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

PG_FUNCTION_INFO_V1(ckpx_changed_rows);

/*
 * The query, where its rows go, and the runs of blocks that it is to read
 * next: run i is [from[i], to[i]).
 */
#define RUNS_MAX	10000

typedef struct RowScan
{
	SPIPlanPtr	plan;
	SPIExecuteOptions options;
	int			nruns;
	Datum	   *from;			/* TIDs of RUNS_MAX items */
	Datum	   *to;
	ItemPointerData *items;		/* twice as many */
} RowScan;

/* The relation whose row type the first argument has. */
static Oid
row_type_relation(FunctionCallInfo fcinfo)
{
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, 0);
	Oid			relid = OidIsValid(type) ? get_typ_typrelid(type) : InvalidOid;

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("first argument must have the row type of a table"),
				 errhint("Write NULL::schema.table.")));
	return relid;
}

/*
 * Have the planner scan by TID.  Undone with the returned level; an error
 * undoes it as well.
 */
static int
prefer_tid_scans(void)
{
	static const char *const settings[][2] = {
		{"enable_tidscan", "on"},
		{"enable_seqscan", "off"},
		{"max_parallel_workers_per_gather", "0"},
		{"jit", "off"},
		{"plan_cache_mode", "force_generic_plan"},
	};
	int			level = NewGUCNestLevel();

	for (int i = 0; i < (int) lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
								 false);
	return level;
}

/*
 * Prepare the query, whose rows go into the function's result.  It scans the
 * table once for each run, within one execution: the runs' bounds are
 * parameters of the inner scan, which OFFSET 0 keeps one.  A bare alias could
 * be a column's name, and an operator without its schema anybody's.
 */
static void
begin_scan(RowScan *scan, Relation rel, ReturnSetInfo *result)
{
	Oid			types[] = {TIDARRAYOID, TIDARRAYOID};
	ParamListInfo params = makeParamList(lengthof(types));
	DestReceiver *dest = CreateDestReceiver(DestTuplestore);
	char	   *schema = get_namespace_name(RelationGetNamespace(rel));
	const char *name;
	StringInfoData query;

	name = quote_qualified_identifier(schema, RelationGetRelationName(rel));
	initStringInfo(&query);
	appendStringInfo(&query,
					 "SELECT s.* FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) r(a, b),"
					 " LATERAL (SELECT t.ctid, (t.*)::%s FROM ONLY %s t"
					 " WHERE t.ctid OPERATOR(pg_catalog.>=) r.a"
					 " AND t.ctid OPERATOR(pg_catalog.<) r.b OFFSET 0) s",
					 name, name);
	scan->plan = SPI_prepare(query.data, lengthof(types), types);
	if (scan->plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s",
			 SPI_result_code_string(SPI_result));

	SetTuplestoreDestReceiverParams(dest, result->setResult,
									result->econtext->ecxt_per_query_memory,
									false, result->setDesc,
									"table was changed");
	for (int i = 0; i < (int) lengthof(types); i++)
	{
		params->params[i].ptype = TIDARRAYOID;
		params->params[i].pflags = PARAM_FLAG_CONST;
		params->params[i].isnull = false;
	}
	memset(&scan->options, 0, sizeof(scan->options));
	scan->options.params = params;
	scan->options.read_only = true;
	scan->options.dest = dest;
	scan->nruns = 0;
	scan->from = palloc(sizeof(Datum) * RUNS_MAX);
	scan->to = palloc(sizeof(Datum) * RUNS_MAX);
	scan->items = palloc(sizeof(ItemPointerData) * RUNS_MAX * 2);
}

static Datum
tid_array(Datum *tids, int ntids)
{
	return PointerGetDatum(construct_array(tids, ntids, TIDOID,
										   sizeof(ItemPointerData), false,
										   TYPALIGN_SHORT));
}

/* Put out the rows of the runs that were added. */
static void
scan_runs(RowScan *scan)
{
	ParamExternData *params = scan->options.params->params;
	int			code;

	if (scan->nruns == 0)
		return;
	CHECK_FOR_INTERRUPTS();
	params[0].value = tid_array(scan->from, scan->nruns);
	params[1].value = tid_array(scan->to, scan->nruns);
	code = SPI_execute_plan_extended(scan->plan, &scan->options);
	if (code != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_plan_extended failed: %s",
			 SPI_result_code_string(code));
	pfree(DatumGetPointer(params[0].value));
	pfree(DatumGetPointer(params[1].value));
	scan->nruns = 0;
}

/* Have the rows of the blocks [from, to) put out. */
static void
add_run(RowScan *scan, BlockNumber from, BlockNumber to)
{
	ItemPointer items = &scan->items[2 * scan->nruns];

	if (from >= to)
		return;
	ItemPointerSet(&items[0], from, 0);
	ItemPointerSet(&items[1], to, 0);
	scan->from[scan->nruns] = PointerGetDatum(&items[0]);
	scan->to[scan->nruns] = PointerGetDatum(&items[1]);
	if (++scan->nruns == RUNS_MAX)
		scan_runs(scan);
}

/*
 * Put out the rows of all changed blocks of a relation that has 'nblocks':
 * those listed, and all from the limit on.
 */
static void
scan_changed(RowScan *scan, const CkpxBlockSet *blocks, BlockNumber nblocks)
{
	BlockNumber limit = Min(blocks->limit_block, nblocks);
	CkpxBlockSetIterator it;
	BlockNumber from;
	BlockNumber to;

	ckpx_block_set_iterate(&it, blocks, 0);
	while (ckpx_block_set_next_range(&it, &from, &to) && from < limit)
		add_run(scan, from, Min(to, limit));
	add_run(scan, limit, nblocks);
}

Datum
ckpx_changed_rows(PG_FUNCTION_ARGS)
{
	Oid			relid = row_type_relation(fcinfo);
	Relation	rel;
	CkpxRelKey	key;
	CkpxRelation **found;
	XLogRecPtr	since;
	CkpxMap		map;
	RowScan		scan;
	BlockNumber nblocks;
	int			guc_level;

	ckpx_require_installed();
	ckpx_require_argument(fcinfo, 1, "since");
	rel = relation_open(relid, AccessShareLock);
	key = ckpx_map_relation_key(relid);
	since = ckpx_lsn_argument(fcinfo, 1);
	ckpx_check_past("since", since,
					"Take it from ckpx_sync_point().");
	ckpx_map_read_range(&map, since, InvalidXLogRecPtr, &key);
	if (rel->rd_rel->relam != HEAP_TABLE_AM_OID)
		ckpx_map_require_decoders(&map,
								  "Read all rows of the table. Changed ones need a decoder for all records of that resource manager in the epoch.");
	nblocks = RelationGetNumberOfBlocks(rel);

	InitMaterializedSRF(fcinfo, 0);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	guc_level = prefer_tid_scans();
	begin_scan(&scan, rel, (ReturnSetInfo *) fcinfo->resultinfo);
	key.fork = MAIN_FORKNUM;
	found = ckpx_map_find(&map, &key);
	key.relation = CKPX_DATABASE_WIDE;
	if (ckpx_map_find(&map, &key) != NULL)
		add_run(&scan, 0, nblocks);
	else if (found != NULL)
		scan_changed(&scan, &(*found)->blocks, nblocks);
	scan_runs(&scan);
	AtEOXact_GUC(true, guc_level);
	SPI_finish();
	relation_close(rel, NoLock);
	return (Datum) 0;
}
