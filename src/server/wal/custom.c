/*-------------------------------------------------------------------------
 *
 * custom.c
 *		Records of custom resource managers, through the decoders of ckpx.h.
 *
 * A record that no decoder covers is not lost: the blocks that it names count
 * like those of any other record.  That such a resource manager was there is
 * noted in the cut, since it may change more than it names.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "ckpx.h"
#include "server/wal/custom.h"

typedef struct DecoderSink
{
	CkpxBlockSink sink;			/* first: it is what the callbacks get */
	CkpxWalChanges *changes;
	const CkpxWalRecord *record;
} DecoderSink;

static CkpxRelKey
sink_key(const CkpxFork *fork)
{
	CkpxRelKey	key = {fork->tablespace, fork->database, fork->relation,
	(uint32) fork->fork};

	if (fork->fork < 0 || fork->fork > MAX_FORKNUM)
		elog(ERROR, "decoder of a resource manager handed over fork %d",
			 (int) fork->fork);
	return key;
}

static void
sink_create(CkpxBlockSink *sink, const CkpxFork *fork)
{
	DecoderSink *state = (DecoderSink *) sink;
	CkpxRelKey	key = sink_key(fork);
	XLogRecPtr	lsn = state->record->start;

	if (key.relation == CKPX_DATABASE_WIDE)
		ckpx_wal_changes_database(state->changes, key.tablespace, key.database,
								  false, lsn);
	else
		ckpx_wal_changes_create_fork(state->changes, &key,
									 state->record->xid, lsn);
}

static void
sink_drop(CkpxBlockSink *sink, const CkpxFork *fork)
{
	DecoderSink *state = (DecoderSink *) sink;
	CkpxRelKey	key = sink_key(fork);
	XLogRecPtr	lsn = state->record->start;

	if (key.relation == CKPX_DATABASE_WIDE)
		ckpx_wal_changes_database(state->changes, key.tablespace, key.database,
								  true, lsn);
	else
		ckpx_wal_changes_drop_fork(state->changes, &key, lsn);
}

static void
sink_truncate(CkpxBlockSink *sink, const CkpxFork *fork, BlockNumber nblocks)
{
	DecoderSink *state = (DecoderSink *) sink;
	CkpxRelKey	key = sink_key(fork);

	if (key.relation == CKPX_DATABASE_WIDE || nblocks == InvalidBlockNumber)
		elog(ERROR, "decoder of a resource manager handed over a truncation that cannot be");
	ckpx_wal_changes_truncate_fork(state->changes, &key, nblocks,
								   state->record->start);
}

static void
sink_block(CkpxBlockSink *sink, const CkpxFork *fork, BlockNumber block)
{
	DecoderSink *state = (DecoderSink *) sink;
	CkpxRelKey	key = sink_key(fork);
	CkpxRelation *relation;

	if (key.relation == CKPX_DATABASE_WIDE || block == InvalidBlockNumber)
		elog(ERROR, "decoder of a resource manager handed over a block that cannot be");
	if (fork->fork == FSM_FORKNUM)
		return;
	relation = ckpx_wal_changes_get(state->changes, &key,
									state->record->xid);
	(void) ckpx_block_set_add(&relation->blocks, block);
	if (relation->appended != NULL)
		(void) ckpx_block_set_add(&relation->appended->blocks, block);
	state->changes->last_change_lsn = state->record->start;
}

/*
 * Find the decoder of a resource manager; the list is what the postmaster
 * made, and never changes.
 */
static const CkpxDecoder *
find_decoder(RmgrId rmid)
{
	const CkpxDecoder *found;
	static bool warned = false;

	found = *(const CkpxDecoder **)
		find_rendezvous_variable(CKPX_DECODERS_VARIABLE);
	for (; found != NULL; found = found->next)
	{
		if (found->rmid != rmid)
			continue;
		if (found->api_version <= CKPX_API_VERSION)
			return found;
		if (!warned)
			ereport(WARNING,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("decoder of resource manager %d is ignored: it was compiled for a newer ckpx",
							rmid)));
		warned = true;
	}
	return NULL;
}

bool
ckpx_wal_decode_custom(CkpxWalChanges *changes, const CkpxWalRecord *record)
{
	RmgrId		rmid = record->rmid;
	const CkpxDecoder *custom = find_decoder(rmid);
	DecoderSink state;

	state.sink.block = sink_block;
	state.sink.truncate = sink_truncate;
	state.sink.create = sink_create;
	state.sink.drop = sink_drop;
	state.changes = changes;
	state.record = record;
	if (custom != NULL &&
		custom->decode(record->reader, &state.sink,
					   custom->arg) == CKPX_RECORD_COVERED)
		return true;
	changes->custom_rmgrs[rmid / 8] |= 1 << (rmid % 8);
	return false;
}
