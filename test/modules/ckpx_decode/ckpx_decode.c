/*-------------------------------------------------------------------------
 *
 * ckpx_decode.c
 *		The decoder of ckpx over a given range of WAL.
 *
 * The map that ckpx answers from is made of cuts, and its ranges end where
 * cuts ended.  Another map of a range with ends of its own, like a WAL
 * summary of PostgreSQL, can only be compared block by block with what the
 * decoder makes of exactly that range.  So this library contains the decoder
 * once more, alone: no cuts, no memory shared with anybody, no files.
 *
 * A range that does not begin at a redo point lacks the sequences that were
 * logged before it and may change without WAL in it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "server/base/fault.h"
#include "server/base/options.h"
#include "server/wal/source.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(ckpx_decode);

/* What reads WAL asks for faults and for a setting; no fault is ever set. */
pg_atomic_uint32 *ckpx_fault_active = NULL;
int			ckpx_flush_mode = CKPX_FLUSH_MODE_ON;

void
ckpx_fault_fire(const char *name)
{
}

static void
note_first_record(TransactionId xid, XLogRecPtr lsn)
{
}

/* The listed blocks, as an int8multirange is written. */
static text *
blocks_text(const CkpxBlockSet *blocks)
{
	CkpxBlockSetIterator it;
	BlockNumber start;
	BlockNumber end;
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoChar(&buf, '{');
	ckpx_block_set_iterate(&it, blocks, 0);
	while (ckpx_block_set_next_range(&it, &start, &end))
		appendStringInfo(&buf, "%s[%u,%u)", buf.len > 1 ? "," : "", start, end);
	appendStringInfoChar(&buf, '}');
	return cstring_to_text_with_len(buf.data, buf.len);
}

static void
put_relation(ReturnSetInfo *result, const CkpxRelation *relation)
{
	Datum		values[6];
	bool		nulls[6] = {0};

	values[0] = ObjectIdGetDatum(relation->key.tablespace);
	values[1] = ObjectIdGetDatum(relation->key.database);
	values[2] = ObjectIdGetDatum(relation->key.relation);
	values[3] = CStringGetTextDatum(forkNames[relation->key.fork]);
	values[4] = Int64GetDatum((int64) relation->blocks.limit_block);
	nulls[4] = relation->blocks.limit_block == InvalidBlockNumber;
	values[5] = PointerGetDatum(blocks_text(&relation->blocks));
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

Datum
ckpx_decode(PG_FUNCTION_ARGS)
{
	XLogRecPtr	start = ckpx_wal_normalize_lsn(PG_GETARG_LSN(0));
	XLogRecPtr	end = ckpx_wal_normalize_lsn(PG_GETARG_LSN(1));
	TimeLineID	timeline;
	CkpxWalSource *source;
	CkpxWalResult result;
	CkpxWalCut	cut;
	CkpxRelation **relations;
	uint32		nrelations;

	if (start >= end || end > ckpx_wal_read_limit(&timeline))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("not a range of flushed WAL")));

	InitMaterializedSRF(fcinfo, 0);
	source = ckpx_wal_source_create(CurrentMemoryContext, note_first_record);
	ckpx_wal_source_begin(source, start, timeline);
	do
		result = ckpx_wal_source_read(source, end, 0);
	while (result == CKPX_WAL_REDO);
	if (result == CKPX_WAL_BROKEN)
		ereport(ERROR,
				(errmsg("%s", ckpx_wal_source_problem(source)->text)));

	/* An end within a record would make the map one of another range. */
	ckpx_wal_source_cut(source, &cut);
	if (cut.range.start_lsn != start || cut.range.end_lsn != end)
		ereport(ERROR,
				(errmsg("decoded [%X/%X, %X/%X) instead",
						LSN_FORMAT_ARGS(cut.range.start_lsn),
						LSN_FORMAT_ARGS(cut.range.end_lsn))));

	relations = ckpx_dirty_tree_sorted(cut.tree, &nrelations);
	for (uint32 i = 0; i < nrelations; i++)
		put_relation((ReturnSetInfo *) fcinfo->resultinfo, relations[i]);
	ckpx_wal_source_free(source);
	return (Datum) 0;
}
