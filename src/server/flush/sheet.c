/*-------------------------------------------------------------------------
 *
 * sheet.c
 *		The flusher's work sheet: which relations are dirty, how much, since
 *		when, and whether to flush them.
 *
 * At each tick with ckpx.flush on, one walk over the buffer headers gives the
 * dirty blocks of each relation; the logtail knows those of them that were
 * only thinned since the relation was flushed, and all others count as
 * appended.  The sheet lies in shared memory, of fixed size: where more
 * relations are dirty than it has lines, those with the most dirty blocks have
 * one, so the others have no deadline, which PostgreSQL's checkpoint makes
 * good.
 *
 * While ckpx.flush is not on, the lines have no dirty blocks and no deadlines,
 * and a line stays only for as long as it has news: how far the relation was
 * flushed, or that a flush failed.
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
#include "server/flush/durable.h"
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
find_line(CkpxFlushRelation *lines, uint32 count, const CkpxRelKey *key)
{
	CkpxFlushRelation relation;

	relation.key = *key;
	relation.key.fork = MAIN_FORKNUM;
	return bsearch(&relation, lines, count, sizeof(CkpxFlushRelation),
				   compare_relations);
}

static CkpxFlushRelation *
find_relation(const CkpxRelKey *key)
{
	return find_line(CkpxShared->flush->relations,
					 CkpxShared->flush->nrelations, key);
}

/* Was the relation's last flush in vain? */
static bool
has_failed(const CkpxFlushRelation *relation, XLogRecPtr durable)
{
	return relation->last_error[0] != '\0' && relation->dirty_from > durable;
}

/* Does a line tell more than durable_lsn does, its dirty blocks aside? */
static bool
has_news(const CkpxFlushRelation *relation, XLogRecPtr durable)
{
	return relation->flushed_lsn > durable || has_failed(relation, durable);
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
 * Make new lines, sorted, out of the rows and the old lines.  Those of clean
 * relations are kept as long as they have news, and with their deadline where
 * the pass that made them clean has failed.
 */
static CkpxFlushRelation *
make_lines(HTAB *rows, CkpxFlushRelation *old, uint32 nold,
		   XLogRecPtr durable, uint32 *count)
{
	CkpxFlushRelation *lines;
	CkpxFlushRelation *line;
	HASH_SEQ_STATUS scan;
	SheetRow   *row;

	lines = palloc0(sizeof(CkpxFlushRelation) *
					(hash_get_num_entries(rows) + nold));
	line = lines;
	hash_seq_init(&scan, rows);
	while ((row = hash_seq_search(&scan)) != NULL)
	{
		const CkpxFlushRelation *known = find_line(old, nold, &row->key);

		if (known != NULL)
			*line = *known;
		line->key = row->key;
		line->dirty_blocks = row->dirty_blocks;
		line->delete_bytes = row->thinned_blocks * BLCKSZ;
		line->append_bytes = row->dirty_blocks * BLCKSZ - line->delete_bytes;
		line->flushed_lsn = Max(line->flushed_lsn, durable);
		line++;
	}

	for (uint32 i = 0; i < nold; i++)
	{
		if (hash_search(rows, &old[i].key, HASH_FIND, NULL) != NULL ||
			!has_news(&old[i], durable))
			continue;
		*line = old[i];
		line->dirty_blocks = line->append_bytes = line->delete_bytes = 0;
		if (!has_failed(line, durable))
			line->deadline_ms = 0;
		line++;
	}
	*count = line - lines;
	qsort(lines, *count, sizeof(CkpxFlushRelation), compare_relations);
	return lines;
}

/*
 * Set the deadlines of dirty relations.  A pass over everything since a
 * deadline was set was one over its relation, too.  A deadline that is too far
 * away is from before the setting changed.
 */
static void
set_deadlines(CkpxFlushRelation *lines, uint32 count, XLogRecPtr durable)
{
	int64		now = (int64) ckpx_clock_ms();
	int64		latest = ckpx_flush_deadline(now, ckpx_max_flush_interval,
											 CKPX_FLUSH_LATEST);
	XLogRecPtr	collected;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	collected = CkpxShared->collected_lsn;
	LWLockRelease(CkpxShared->lock);

	for (uint32 i = 0; i < count; i++)
	{
		CkpxFlushRelation *line = &lines[i];

		if (line->dirty_blocks == 0 ||
			(line->deadline_ms != 0 && line->deadline_ms <= latest &&
			 line->dirty_from > durable))
			continue;
		line->deadline_ms =
			ckpx_flush_deadline(now, ckpx_max_flush_interval,
								pg_prng_uint32(&pg_global_prng_state));
		line->dirty_from = collected;
	}
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

/*
 * Bring the sheet up to date and put tickets for what is to be done now into
 * the queue.
 */
void
ckpx_sheet_update(void)
{
	CkpxFlushShared *flush = CkpxShared->flush;
	CkpxFlushRelation *lines;
	XLogRecPtr	durable = ckpx_durable_lsn();
	uint32		count;
	double		pressure;

	lines = make_lines(count_dirty(find_thinned(durable)), flush->relations,
					   flush->nrelations, durable, &count);
	if (count > CKPX_FLUSH_RELATIONS)
	{
		qsort(lines, count, sizeof(CkpxFlushRelation), compare_weight);
		count = CKPX_FLUSH_RELATIONS;
		qsort(lines, count, sizeof(CkpxFlushRelation), compare_relations);
	}
	set_deadlines(lines, count, durable);
	pressure = decide(lines, count);

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	memcpy(flush->relations, lines, sizeof(CkpxFlushRelation) * count);
	flush->nrelations = count;
	flush->pressure = pressure;
	flush->sheet_kept = true;
	LWLockRelease(CkpxShared->lock);

	queue_tickets(lines, count);
}

/* Drop the lines of clean relations without news.  The lock is held. */
static void
drop_old_lines(void)
{
	CkpxFlushShared *flush = CkpxShared->flush;
	uint32		n = 0;

	for (uint32 i = 0; i < flush->nrelations; i++)
	{
		if (flush->relations[i].dirty_blocks > 0 ||
			has_news(&flush->relations[i], CkpxShared->durable_lsn))
			flush->relations[n++] = flush->relations[i];
	}
	flush->nrelations = n;
}

/*
 * End what ckpx_sheet_update() began: nothing is known any more of what is
 * dirty, and nothing has a deadline.
 */
void
ckpx_sheet_close(void)
{
	CkpxFlushShared *flush = CkpxShared->flush;

	if (!flush->sheet_kept)
		return;
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	for (uint32 i = 0; i < flush->nrelations; i++)
	{
		flush->relations[i].dirty_blocks = 0;
		flush->relations[i].deadline_ms = 0;
		flush->relations[i].reason = CKPX_FLUSH_NONE;
	}
	drop_old_lines();
	flush->sheet_kept = false;
	LWLockRelease(CkpxShared->lock);
}

/*
 * Copy the sheet; where it is not kept, count dirty buffers now.
 */
CkpxFlushRelation *
ckpx_sheet_read(uint32 *count, bool *kept)
{
	const CkpxFlushShared *flush = CkpxShared->flush;
	CkpxFlushRelation *lines = palloc(sizeof(flush->relations));
	XLogRecPtr	durable;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	*kept = flush->sheet_kept;
	*count = flush->nrelations;
	memcpy(lines, flush->relations, sizeof(CkpxFlushRelation) * *count);
	durable = CkpxShared->durable_lsn;
	LWLockRelease(CkpxShared->lock);

	if (*kept)
		return lines;
	return make_lines(count_dirty(NULL), lines, *count, durable, count);
}

/*
 * Find the line of a relation, or put a new one in its place; NULL where the
 * sheet is full.  The lock is held exclusively.
 */
static CkpxFlushRelation *
get_relation(const CkpxRelKey *key)
{
	CkpxFlushShared *flush = CkpxShared->flush;
	CkpxFlushRelation *relation = find_relation(key);
	uint32		i;

	if (relation != NULL)
		return relation;
	if (flush->nrelations == CKPX_FLUSH_RELATIONS)
		drop_old_lines();
	i = flush->nrelations;
	if (i == CKPX_FLUSH_RELATIONS)
		return NULL;
	while (i > 0 &&
		   ckpx_rel_key_compare(&flush->relations[i - 1].key, key) > 0)
		i--;
	memmove(&flush->relations[i + 1], &flush->relations[i],
			(flush->nrelations - i) * sizeof(CkpxFlushRelation));
	flush->nrelations++;
	memset(&flush->relations[i], 0, sizeof(CkpxFlushRelation));
	flush->relations[i].key = *key;
	return &flush->relations[i];
}

/*
 * Note that changes of a relation before 'lsn' are on disk.
 */
void
ckpx_sheet_flushed(const CkpxRelKey *key, XLogRecPtr lsn)
{
	CkpxFlushRelation *relation;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	relation = get_relation(key);
	if (relation != NULL)
	{
		relation->flushed_lsn = Max(relation->flushed_lsn, lsn);
		relation->deadline_ms = 0;
		relation->last_error[0] = '\0';
	}
	LWLockRelease(CkpxShared->lock);
}

/*
 * Note that a pass over a relation failed.  What a durable one was to bring to
 * disk, changes before 'upto', is dirty from there at the latest.
 */
void
ckpx_sheet_failed(const CkpxRelKey *key, XLogRecPtr upto, const char *error)
{
	CkpxFlushRelation *relation;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	relation = get_relation(key);
	if (relation != NULL)
	{
		relation->dirty_from = Max(relation->dirty_from, upto);
		strlcpy(relation->last_error, error, CKPX_ERROR_TEXT_MAX);
	}
	LWLockRelease(CkpxShared->lock);
}
