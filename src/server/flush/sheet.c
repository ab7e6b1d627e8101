/*-------------------------------------------------------------------------
 *
 * sheet.c
 *		The flusher's work sheet: which relations are dirty, how much, since
 *		when, and whether to flush them.
 *
 * At each tick one walk over the buffer headers gives the dirty blocks of each
 * relation; the logtail knows those of them that were only thinned since the
 * relation was flushed, and all others count as appended.  The sheet lies in
 * shared memory, of fixed size: where more relations are dirty than it has
 * lines, those with the most dirty blocks have one, so the others have no
 * deadline, which PostgreSQL's checkpoint makes good.
 *
 * Only the flusher changes the sheet, so it reads it without the lock.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "common/pg_prng.h"
#include "miscadmin.h"
#include "postmaster/bgwriter.h"
#include "server/base/options.h"
#include "server/flush/buffers.h"
#include "server/flush/cycle.h"
#include "server/flush/shared.h"
#include "server/flush/sheet.h"
#include "server/logtail/logtail.h"
#include "utils/hsearch.h"

/* A relation at this tick. */
typedef struct SheetRow
{
	CkpxRelKey	key;			/* for dynahash: first */
	uint64		dirty_blocks;
	uint64		thinned_blocks; /* of these, changed without getting rows */
	const CkpxRelation *thinned;	/* which those are, or NULL: none */
} SheetRow;

/* A walk over the buffers that counts dirty blocks by relation. */
typedef struct SheetCount
{
	HTAB	   *rows;
	const CkpxDirtyTree *thinned;	/* NULL: not known */
	SheetRow   *row;			/* of the last buffer */
} SheetCount;

static int
compare_relations(const void *a, const void *b)
{
	return ckpx_rel_key_compare(&((const CkpxFlushRelation *) a)->key,
								&((const CkpxFlushRelation *) b)->key);
}

static CkpxFlushRelation *
find_relation(const CkpxRelKey *key)
{
	CkpxFlushShared *flush = CkpxShared->flush;
	CkpxFlushRelation relation;

	relation.key = *key;
	relation.key.fork = MAIN_FORKNUM;
	return bsearch(&relation, flush->relations, flush->nrelations,
				   sizeof(CkpxFlushRelation), compare_relations);
}

/* From where on changes of a relation count, at this tick. */
static XLogRecPtr
flushed_lsn(void *arg, const CkpxRelKey *key)
{
	const XLogRecPtr *durable = arg;
	const CkpxFlushRelation *relation = find_relation(key);

	return relation == NULL ? *durable : Max(relation->flushed_lsn, *durable);
}

/* Which blocks were only thinned, as far as the logtail in memory knows. */
static CkpxDirtyTree *
find_thinned(XLogRecPtr durable)
{
	CkpxDirtyTree *volatile thinned = NULL;
	CkpxSegmentRef *refs;
	uint32		nrefs;

	refs = ckpx_logtail_pin(durable, PG_UINT64_MAX, &nrefs);
	PG_TRY();
	{
		thinned = ckpx_segments_thinned(refs, nrefs, flushed_lsn, &durable);
	}
	PG_FINALLY();
	{
		ckpx_logtail_unpin(refs, nrefs);
	}
	PG_END_TRY();
	return thinned;
}

/*
 * Neighbours often belong to the same relation, so the last row is
 * remembered.
 */
static void
count_buffer(void *arg, const CkpxRelKey *fork, BlockNumber block, int buffer)
{
	SheetCount *count = arg;
	CkpxRelKey	key = *fork;

	key.fork = MAIN_FORKNUM;
	if (count->row == NULL || !ckpx_rel_key_equal(&count->row->key, &key))
	{
		bool		found;

		count->row = hash_search(count->rows, &key, HASH_ENTER, &found);
		if (!found)
		{
			count->row->dirty_blocks = count->row->thinned_blocks = 0;
			count->row->thinned = count->thinned == NULL ? NULL :
				ckpx_dirty_tree_find(count->thinned, &key);
		}
	}
	count->row->dirty_blocks++;
	if (count->row->thinned != NULL && fork->fork == MAIN_FORKNUM &&
		ckpx_block_set_contains(&count->row->thinned->blocks, block))
		count->row->thinned_blocks++;
}

/* Count the dirty blocks of each permanent relation. */
static HTAB *
count_dirty(const CkpxDirtyTree *thinned)
{
	SheetCount	count = {.thinned = thinned};
	HASHCTL		control;

	control.keysize = sizeof(CkpxRelKey);
	control.entrysize = sizeof(SheetRow);
	control.hcxt = CurrentMemoryContext;
	count.rows = hash_create("ckpx flush sheet", 256, &control,
							 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	ckpx_dirty_buffers_walk(count_buffer, &count);
	return count.rows;
}

/* Dirtiest first; of clean ones those with something to tell. */
static int
compare_weight(const void *a, const void *b)
{
	const CkpxFlushRelation *x = a;
	const CkpxFlushRelation *y = b;

	if (x->dirty_blocks != y->dirty_blocks)
		return x->dirty_blocks > y->dirty_blocks ? -1 : 1;
	if (x->flushed_lsn != y->flushed_lsn)
		return x->flushed_lsn > y->flushed_lsn ? -1 : 1;
	return compare_relations(a, b);
}

/*
 * Make the new sheet out of the rows and the old one.
 */
static CkpxFlushRelation *
build_sheet(HTAB *rows, XLogRecPtr durable, uint32 *count)
{
	CkpxFlushShared *flush = CkpxShared->flush;
	CkpxFlushRelation *sheet;
	HASH_SEQ_STATUS scan;
	SheetRow   *row;
	uint64		now = ckpx_clock_ms();
	XLogRecPtr	collected;
	uint32		n = 0;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	collected = CkpxShared->collected_lsn;
	LWLockRelease(CkpxShared->lock);

	sheet = palloc0(sizeof(CkpxFlushRelation) *
					(hash_get_num_entries(rows) + flush->nrelations));
	hash_seq_init(&scan, rows);
	while ((row = hash_seq_search(&scan)) != NULL)
	{
		CkpxFlushRelation *relation = &sheet[n++];
		const CkpxFlushRelation *old = find_relation(&row->key);

		relation->key = row->key;
		if (old != NULL)
			*relation = *old;
		relation->dirty_blocks = row->dirty_blocks;
		relation->delete_bytes = row->thinned_blocks * BLCKSZ;
		relation->append_bytes = row->dirty_blocks * BLCKSZ -
			relation->delete_bytes;
		relation->flushed_lsn = Max(relation->flushed_lsn, durable);

		/*
		 * A pass over everything since then was one over this, too.  A
		 * deadline that is too far away is from before the setting changed.
		 */
		if (relation->deadline_ms == 0 || relation->dirty_from <= durable ||
			relation->deadline_ms >
			ckpx_flush_deadline((int64) now, ckpx_max_flush_interval,
								CKPX_FLUSH_LATEST))
		{
			relation->deadline_ms =
				ckpx_flush_deadline((int64) now, ckpx_max_flush_interval,
									pg_prng_uint32(&pg_global_prng_state));
			relation->dirty_from = collected;
		}
	}

	/*
	 * Clean ones are kept as long as there is something to tell, and with
	 * their deadline where the pass that made them clean has failed.
	 */
	for (uint32 i = 0; i < flush->nrelations; i++)
	{
		const CkpxFlushRelation *old = &flush->relations[i];

		bool		failed = old->last_error[0] != '\0' &&
			old->dirty_from > durable;

		if (hash_search(rows, &old->key, HASH_FIND, NULL) != NULL ||
			(old->flushed_lsn <= durable && !failed))
			continue;
		sheet[n] = *old;
		sheet[n].dirty_blocks = 0;
		sheet[n].append_bytes = sheet[n].delete_bytes = 0;
		if (!failed)
			sheet[n].deadline_ms = 0;
		n++;
	}

	if (n > CKPX_FLUSH_RELATIONS)
	{
		qsort(sheet, n, sizeof(CkpxFlushRelation), compare_weight);
		n = CKPX_FLUSH_RELATIONS;
	}
	qsort(sheet, n, sizeof(CkpxFlushRelation), compare_relations);
	*count = n;
	return sheet;
}

/*
 * Decide about the sheet; returns the pressure.
 */
static double
decide(CkpxFlushRelation *sheet, uint32 count)
{
	uint64		shared_bytes = (uint64) NBuffers * BLCKSZ;
	CkpxFlushPolicy policy;
	CkpxFlushInput *inputs = palloc0(sizeof(CkpxFlushInput) * (count + 1));
	CkpxFlushReason *reasons = palloc(sizeof(CkpxFlushReason) * (count + 1));
	uint64		total = 0;

	policy.memory_cap = ckpx_flush_memory_cap < 0 ? shared_bytes :
		(uint64) ckpx_flush_memory_cap * 1024;
	policy.table_capacity = ckpx_table_flush_capacity < 0 ? shared_bytes / 8 :
		(uint64) ckpx_table_flush_capacity * 1024;
	for (uint32 i = 0; i < count; i++)
	{
		inputs[i].unsynced = sheet[i].last_error[0] != '\0';
		inputs[i].deadline_ms = sheet[i].deadline_ms;
		inputs[i].append_bytes = sheet[i].append_bytes;
		inputs[i].delete_bytes = sheet[i].delete_bytes;
		total += sheet[i].dirty_blocks * BLCKSZ;
	}
	ckpx_flush_decide(&policy, (int64) ckpx_clock_ms(), inputs, count,
					  reasons);
	for (uint32 i = 0; i < count; i++)
		sheet[i].reason = reasons[i];
	return ckpx_flush_pressure(&policy, total);
}

/*
 * Put tickets for what is to be done now into the queue.  A refused ticket is
 * counted there, and the next tick tries again.
 */
static void
queue_tickets(const CkpxFlushRelation *sheet, uint32 count)
{
	XLogRecPtr	redo;
	XLogRecPtr	upto;
	int64		window_ms;
	bool		late = ckpx_cycle_is_late(&redo, &window_ms);

	upto = RecoveryInProgress() ? GetXLogReplayRecPtr(NULL) :
		GetFlushRecPtr(NULL);
	for (uint32 i = 0; i < count; i++)
	{
		CkpxDirtyTicket ticket = {
			.tablespace = sheet[i].key.tablespace,
			.database = sheet[i].key.database,
			.relation = sheet[i].key.relation,
			.reason = sheet[i].reason
		};

		if (sheet[i].reason == CKPX_FLUSH_NONE)
			continue;
		if (sheet[i].reason == CKPX_FLUSH_DEADLINE)
			ticket.upto = upto;
		else if (!late && sheet[i].reason != CKPX_FLUSH_PRESSURE)
			continue;
		if (!ckpx_enqueue(CKPX_QUEUE_DIRTY, &ticket))
			break;
	}
}

void
ckpx_sheet_update(void)
{
	CkpxFlushShared *flush = CkpxShared->flush;
	HTAB	   *rows;
	CkpxFlushRelation *sheet;
	XLogRecPtr	durable;
	uint32		count;
	double		pressure;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	durable = CkpxShared->durable_lsn;
	LWLockRelease(CkpxShared->lock);

	rows = count_dirty(find_thinned(durable));
	sheet = build_sheet(rows, durable, &count);
	pressure = decide(sheet, count);

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	memcpy(flush->relations, sheet, sizeof(CkpxFlushRelation) * count);
	flush->nrelations = count;
	flush->pressure = pressure;
	LWLockRelease(CkpxShared->lock);

	if (ckpx_flush_mode == CKPX_FLUSH_MODE_ON)
		queue_tickets(sheet, count);
}

/*
 * A new line in its place, or NULL where the sheet is full.  The lock is held
 * exclusively.
 */
static CkpxFlushRelation *
add_relation(const CkpxRelKey *key)
{
	CkpxFlushShared *flush = CkpxShared->flush;
	uint32		i = flush->nrelations;

	if (i == CKPX_FLUSH_RELATIONS)
		return NULL;
	while (i > 0 && ckpx_rel_key_compare(&flush->relations[i - 1].key, key) > 0)
		i--;
	memmove(&flush->relations[i + 1], &flush->relations[i],
			(flush->nrelations - i) * sizeof(CkpxFlushRelation));
	flush->nrelations++;
	memset(&flush->relations[i], 0, sizeof(CkpxFlushRelation));
	flush->relations[i].key = *key;
	return &flush->relations[i];
}

void
ckpx_sheet_flushed(const CkpxRelKey *key, XLogRecPtr lsn)
{
	CkpxFlushRelation *relation;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	relation = find_relation(key);
	if (relation == NULL)
		relation = add_relation(key);
	if (relation != NULL)
	{
		relation->flushed_lsn = Max(relation->flushed_lsn, lsn);
		relation->deadline_ms = 0;
		relation->last_error[0] = '\0';
	}
	LWLockRelease(CkpxShared->lock);
}

void
ckpx_sheet_failed(const CkpxRelKey *key, const char *error)
{
	CkpxFlushRelation *relation;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	relation = find_relation(key);
	if (relation != NULL)
		strlcpy(relation->last_error, error, CKPX_ERROR_TEXT_MAX);
	LWLockRelease(CkpxShared->lock);
}
