/*-------------------------------------------------------------------------
 *
 * c_api.c
 *		The table of functions that ckpx.h offers to other extensions.
 *
 * The contract stands in ckpx.h; nothing here does more than translate.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "api/api.h"
#include "api/c_api.h"
#include "api/map_reader.h"
#include "ckpx.h"
#include "miscadmin.h"
#include "server/base/shared_state.h"
#include "utils/memutils.h"

static void
tell_relation(const CkpxRelation *relation, const CkpxMapReader *reader,
			  void *arg)
{
	CkpxBlockSetIterator it;
	BlockNumber from;
	BlockNumber to;
	CkpxMapRow	row;

	row.fork.tablespace = relation->key.tablespace;
	row.fork.database = relation->key.database;
	row.fork.relation = relation->key.relation;
	row.fork.fork = (ForkNumber) relation->key.fork;
	row.limit_block = relation->blocks.limit_block;
	row.nblocks = ckpx_block_set_count(&relation->blocks);
	if (!reader->row(&row, arg) || reader->run == NULL)
		return;

	ckpx_block_set_iterate(&it, &relation->blocks, 0);
	while (ckpx_block_set_next_range(&it, &from, &to))
		reader->run(&row, from, to, arg);
}

static XLogRecPtr
read_map(XLogRecPtr start_lsn, XLogRecPtr end_lsn, const CkpxFork *relation,
		 const CkpxMapReader *reader, void *arg)
{
	MemoryContext old = CurrentMemoryContext;
	MemoryContext context;
	CkpxRelKey	key = {0};
	CkpxMap		map;

	ckpx_require_installed();
	if (relation != NULL)
	{
		key.tablespace = relation->tablespace;
		key.database = relation->database;
		key.relation = relation->relation;
	}

	/* The map may be large, and the caller's context may live long. */
	context = AllocSetContextCreate(old, "ckpx map", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	ckpx_map_read_range(&map, Max(start_lsn, CKPX_FIRST_LSN), end_lsn,
						relation != NULL ? &key : NULL);
	MemoryContextSwitchTo(old);

	for (uint32 i = 0; i < map.nrelations; i++)
	{
		CHECK_FOR_INTERRUPTS();
		tell_relation(map.relations[i], reader, arg);
	}
	MemoryContextDelete(context);
	return map.covered_to;
}

static XLogRecPtr
collected_lsn(void)
{
	XLogRecPtr	lsn;

	ckpx_require_preload();
	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	lsn = CkpxShared->collected_lsn;
	LWLockRelease(CkpxShared->lock);
	return lsn;
}

static XLogRecPtr
checkpointed_lsn(void)
{
	XLogRecPtr	lsn;

	ckpx_require_preload();
	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	lsn = ckpx_entry_store_checkpointed(CkpxShared->store);
	LWLockRelease(CkpxShared->lock);
	return lsn;
}

static const CkpxApi api = {
	.api_version = CKPX_API_VERSION,
	.read_map = read_map,
	.collected_lsn = collected_lsn,
	.checkpointed_lsn = checkpointed_lsn
};

void
ckpx_c_api_publish(void)
{
	*find_rendezvous_variable(CKPX_API_VARIABLE) = unconstify(CkpxApi *, &api);
}
