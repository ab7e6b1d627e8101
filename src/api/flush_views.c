/*-------------------------------------------------------------------------
 *
 * flush_views.c
 *		The rows behind the views ckpx_dirty_tables and ckpx_flush_stat.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "api/api.h"
#include "miscadmin.h"
#include "server/flush/shared.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(ckpx_get_dirty_tables);
PG_FUNCTION_INFO_V1(ckpx_get_flush_stat);

static void
add_relation_name(CkpxRow *row, const CkpxRelKey *key)
{
	Oid			relid = InvalidOid;

	if (key->database == MyDatabaseId || key->database == InvalidOid)
		relid = ckpx_relid_of_file(key->tablespace, key->relation);
	if (OidIsValid(relid))
		ckpx_row_oid(row, relid);
	else
		ckpx_row_null(row);
}

Datum
ckpx_get_dirty_tables(PG_FUNCTION_ARGS)
{
	CkpxFlushShared *flush;
	CkpxFlushRelation *relations;
	uint32		nrelations;
	int64		clock = (int64) ckpx_clock_ms();
	TimestampTz now = GetCurrentTimestamp();

	ckpx_require_preload();
	ckpx_begin_rows(fcinfo);
	flush = CkpxShared->flush;
	relations = palloc(sizeof(flush->relations));

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	nrelations = flush->nrelations;
	memcpy(relations, flush->relations,
		   sizeof(CkpxFlushRelation) * nrelations);
	LWLockRelease(CkpxShared->lock);

	for (uint32 i = 0; i < nrelations; i++)
	{
		const CkpxFlushRelation *relation = &relations[i];
		CkpxRow		row;

		CHECK_FOR_INTERRUPTS();
		ckpx_row_begin(&row);
		ckpx_row_oid(&row, relation->key.database);
		ckpx_row_oid(&row, relation->key.tablespace);
		ckpx_row_oid(&row, relation->key.relation);
		add_relation_name(&row, &relation->key);
		ckpx_row_int8(&row, (int64) relation->dirty_blocks);
		ckpx_row_int8(&row, (int64) relation->append_bytes);
		ckpx_row_int8(&row, (int64) relation->delete_bytes);
		ckpx_row_time(&row, relation->deadline_ms == 0 ? 0 :
					  now + (relation->deadline_ms - clock) * 1000);
		ckpx_row_lsn(&row, relation->flushed_lsn);
		ckpx_row_bool(&row, relation->reason != CKPX_FLUSH_NONE);
		ckpx_row_text(&row, relation->reason == CKPX_FLUSH_NONE ? NULL :
					  ckpx_flush_reason_name(relation->reason));
		ckpx_row_text(&row, relation->last_error);
		ckpx_put_row(fcinfo, &row);
	}
	return (Datum) 0;
}

Datum
ckpx_get_flush_stat(PG_FUNCTION_ARGS)
{
	CkpxFlushCounters counters[CKPX_FLUSH_NREASONS];

	ckpx_require_preload();
	ckpx_begin_rows(fcinfo);

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	memcpy(counters, CkpxShared->flush->counters, sizeof(counters));
	LWLockRelease(CkpxShared->lock);

	for (int i = CKPX_FLUSH_NONE + 1; i < CKPX_FLUSH_NREASONS; i++)
	{
		CkpxRow		row;

		ckpx_row_begin(&row);
		ckpx_row_text(&row, ckpx_flush_reason_name((CkpxFlushReason) i));
		ckpx_row_int8(&row, (int64) counters[i].passes);
		ckpx_row_int8(&row, (int64) counters[i].failures);
		ckpx_row_int8(&row, (int64) counters[i].blocks_written);
		ckpx_row_int8(&row, (int64) counters[i].blocks_written * BLCKSZ);
		ckpx_row_int8(&row, (int64) counters[i].fsyncs);
		ckpx_row_int8(&row, (int64) (counters[i].usec / 1000));
		ckpx_put_row(fcinfo, &row);
	}
	return (Datum) 0;
}
