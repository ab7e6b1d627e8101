/*-------------------------------------------------------------------------
 *
 * wal_history.c
 *		ckpx_wal_history: what relations added to WAL, by time.
 *
 * An incremental has counters for each relation fork, and the time of its end.
 * So its WAL counts for the bucket in which it ends; what is in no incremental
 * yet counts for the present one.  The answer is as fine as the incrementals
 * are: see ckpx.max_incremental_interval.
 *
 * A bucket of which WAL is not known, because an incremental is gone or there
 * is a gap, says so: its sums are too small.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "api/api.h"
#include "api/map_reader.h"
#include "api/relation_names.h"
#include "api/wait.h"
#include "core/map/dirty_tree.h"
#include "miscadmin.h"
#include "server/base/entry_walk.h"
#include "server/store/object_file.h"
#include "utils/hsearch.h"

PG_FUNCTION_INFO_V1(ckpx_wal_history);

#define HISTORY_SPAN	USECS_PER_DAY

/* A finished incremental. */
typedef struct Incremental
{
	CkpxEntrySpan span;
	int64		ended_at;
} Incremental;

/* The sums of a relation in a bucket; the key's fork is MAIN. */
typedef struct BucketKey
{
	int64		bucket;
	CkpxRelKey	relation;
} BucketKey;

typedef struct BucketSum
{
	BucketKey	key;
	CkpxRelCounters counters;
} BucketSum;

/* The answer in the making: buckets are numbered from 2000-01-01 on. */
typedef struct WalHistory
{
	int64		width;			/* in microseconds */
	int64		first;			/* bucket */
	int64		last;
	bool	   *incomplete;		/* of each bucket from first to last */
	bool		one_relation;
	CkpxRelKey	wanted;
	HTAB	   *sums;
} WalHistory;

/* The bucket of a time; one before the answer's first is the one before it. */
static int64
bucket_of(const WalHistory *history, int64 time)
{
	int64		bucket = time / history->width;

	return Min(Max(bucket, history->first - 1), history->last);
}

/* Read the argument bucket, in microseconds. */
static int64
width_argument(FunctionCallInfo fcinfo)
{
	const Interval *interval;
	int64		width;

	ckpx_require_argument(fcinfo, 1, "bucket");
	interval = PG_GETARG_INTERVAL_P(1);
	width = interval->month != 0 || interval->day < 0 || interval->day > 1 ?
		0 : interval->day * USECS_PER_DAY + interval->time;
	if (width < USECS_PER_MINUTE || width > HISTORY_SPAN)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("bucket must be between one minute and one day")));
	return width;
}

/* Buckets from 'from' to 'to' lack something. */
static void
mark_incomplete(WalHistory *history, int64 from, int64 to)
{
	for (int64 i = Max(from, history->first); i <= to; i++)
		history->incomplete[i - history->first] = true;
}

/* Add counters to a relation's sums; those of all its forks go together. */
static void
add_counters(WalHistory *history, int64 bucket, const CkpxRelKey *key,
			 const CkpxRelCounters *counters)
{
	BucketKey	wanted;
	BucketSum  *sum;
	bool		found;

	memset(&wanted, 0, sizeof(wanted));
	wanted.bucket = bucket;
	wanted.relation = *key;
	wanted.relation.fork = MAIN_FORKNUM;
	sum = hash_search(history->sums, &wanted, HASH_ENTER, &found);
	if (!found)
		memset(&sum->counters, 0, sizeof(CkpxRelCounters));
	sum->counters.records += counters->records;
	sum->counters.wal_bytes += counters->wal_bytes;
	sum->counters.fpi += counters->fpi;
	sum->counters.tuples_inserted += counters->tuples_inserted;
	sum->counters.tuples_deleted += counters->tuples_deleted;
}

static bool
is_wanted(const WalHistory *history, const CkpxRelKey *key)
{
	return !history->one_relation ||
		(key->relation == history->wanted.relation &&
		 key->database == history->wanted.database &&
		 key->tablespace == history->wanted.tablespace);
}

/* Where the finished incrementals end; epoch 0: none is open. */
typedef struct Tail
{
	uint32		epoch;
	XLogRecPtr	start_lsn;
} Tail;

/*
 * Copy the finished incrementals that end at or after 'since', and the one
 * before them, in order, up to where the tail begins: what is finished after
 * that is read as a part of the tail.
 */
static Incremental *
copy_incrementals(int64 since, uint32 *count, Tail *tail)
{
	CkpxEntryWalk walk = {0};
	Incremental *list = palloc(sizeof(Incremental) *
							   CkpxShared->store->max_entries);
	uint32		n = 0;

	ckpx_lock_history(LW_SHARED);
	tail->epoch = CkpxShared->store->epoch;
	tail->start_lsn = ckpx_entry_store_checkpointed(CkpxShared->store);
	LWLockRelease(CkpxShared->lock);

	while (ckpx_entry_walk_next(&walk, LW_SHARED))
	{
		for (uint32 i = walk.begin; i < walk.end; i++)
		{
			const CkpxEntry *entry = ckpx_entry_store_at(CkpxShared->store,
														 i);

			if (entry->kind != CKPX_KIND_INCREMENTAL ||
				entry->state != CKPX_ENTRY_FINISHED ||
				entry->range.epoch > tail->epoch ||
				(entry->range.epoch == tail->epoch &&
				 entry->range.end_lsn > tail->start_lsn) ||
				n == CkpxShared->store->max_entries)
				continue;
			if (n > 0 && list[n - 1].ended_at < since)
				n--;
			list[n].span = ckpx_entry_store_span(CkpxShared->store, i);
			list[n++].ended_at = entry->range.created_at;
		}
	}
	*count = n;
	return list;
}

/* Add what an object says of the forks of the one relation. */
static void
add_forks(WalHistory *history, CkpxObjectFile *file, int64 bucket)
{
	CkpxRelKey	key = history->wanted;

	for (ForkNumber fork = MAIN_FORKNUM; fork <= INIT_FORKNUM; fork++)
	{
		CkpxRelation relation;

		key.fork = fork;
		ckpx_relation_init(&relation, &key, CurrentMemoryContext);
		if (ckpx_object_file_find(file, &key, InvalidXLogRecPtr, &relation))
			add_counters(history, bucket, &key, &relation.counters);
		ckpx_block_set_reset(&relation.blocks);
	}
}

/* Add what one incremental says of the wanted relations. */
static void
add_incremental(WalHistory *history, const Incremental *incremental,
				int64 bucket)
{
	const CkpxEntrySpan *span = &incremental->span;
	CkpxEntry	entry = {0};
	CkpxObjectFile *file;
	CkpxRelationView view;

	entry.kind = CKPX_KIND_INCREMENTAL;
	entry.state = CKPX_ENTRY_FINISHED;
	entry.range.epoch = span->epoch;
	entry.range.timeline = span->timeline;
	entry.range.start_lsn = span->start_lsn;
	entry.range.end_lsn = span->end_lsn;
	entry.version = span->version;
	file = ckpx_object_file_open(&entry, true);
	if (file == NULL)
	{
		mark_incomplete(history, bucket, bucket);
		return;
	}
	if (history->one_relation)
		add_forks(history, file, bucket);
	else
	{
		while (ckpx_object_file_next(file, &view))
		{
			CHECK_FOR_INTERRUPTS();
			add_counters(history, bucket, &view.key, &view.counters);
		}
	}
	if (ckpx_object_file_gone(file))
		mark_incomplete(history, bucket, bucket);
	ckpx_object_file_close(file);
}

/* Add all incrementals, and note where one does not continue the other. */
static void
add_incrementals(WalHistory *history, const Incremental *list, uint32 count,
				 const Tail *tail)
{
	const Incremental *previous = NULL;

	for (uint32 i = 0; i < count; i++)
	{
		int64		bucket = bucket_of(history, list[i].ended_at);

		CHECK_FOR_INTERRUPTS();
		if (previous == NULL ||
			previous->span.epoch != list[i].span.epoch ||
			previous->span.end_lsn != list[i].span.start_lsn)
			mark_incomplete(history, previous == NULL ? history->first :
							bucket_of(history, previous->ended_at), bucket);
		if (bucket >= history->first)
			add_incremental(history, &list[i], bucket);
		previous = &list[i];
	}
	if (previous == NULL || previous->span.epoch != tail->epoch ||
		previous->span.end_lsn != tail->start_lsn)
		mark_incomplete(history, previous == NULL ? history->first :
						bucket_of(history, previous->ended_at), history->last);
}

/* Add what is in no incremental yet. */
static void
add_tail(WalHistory *history, XLogRecPtr tail)
{
	CkpxMap		map;

	ckpx_map_read_range(&map, tail, InvalidXLogRecPtr,
						history->one_relation ? &history->wanted : NULL);
	for (uint32 i = 0; i < map.nrelations; i++)
	{
		const CkpxRelation *relation = map.relations[i];

		if (is_wanted(history, &relation->key))
			add_counters(history, history->last, &relation->key,
						 &relation->counters);
	}
}

/* A row for a relation in a bucket. */
static void
put_sum(CkpxRow *row, const WalHistory *history, const CkpxNames *names,
		int64 bucket, const CkpxRelKey *key, const CkpxRelCounters *counters)
{
	ckpx_row_datum(row, TimestampTzGetDatum(bucket * history->width));
	ckpx_row_oid(row, key->tablespace);
	ckpx_row_oid(row, key->database);
	ckpx_row_oid(row, key->relation);
	ckpx_row_names(row, names, key);
	ckpx_row_int8(row, counters->records);
	ckpx_row_int8(row, counters->wal_bytes);
	ckpx_row_int8(row, counters->fpi);
	ckpx_row_int8(row, counters->tuples_inserted);
	ckpx_row_int8(row, counters->tuples_deleted);
	ckpx_row_bool(row, !history->incomplete[bucket - history->first]);
	ckpx_put_row(row);
}

/*
 * Put out the sums: of one relation a row for each bucket, of all relations
 * those that there are.
 */
static void
put_sums(FunctionCallInfo fcinfo, const WalHistory *history)
{
	static const CkpxRelCounters nothing = {0};
	CkpxNames  *names = ckpx_names_create();
	HASH_SEQ_STATUS seq;
	BucketSum  *sum;
	CkpxRow		row;

	ckpx_begin_rows(fcinfo, &row);
	if (history->one_relation)
		ckpx_names_want(names, &history->wanted);
	hash_seq_init(&seq, history->sums);
	while ((sum = hash_seq_search(&seq)) != NULL)
		ckpx_names_want(names, &sum->key.relation);
	ckpx_names_find(names);

	if (!history->one_relation)
	{
		hash_seq_init(&seq, history->sums);
		while ((sum = hash_seq_search(&seq)) != NULL)
			put_sum(&row, history, names, sum->key.bucket, &sum->key.relation,
					&sum->counters);
		return;
	}
	for (int64 bucket = history->first; bucket <= history->last; bucket++)
	{
		BucketKey	key;

		memset(&key, 0, sizeof(key));
		key.bucket = bucket;
		key.relation = history->wanted;
		sum = hash_search(history->sums, &key, HASH_FIND, NULL);
		put_sum(&row, history, names, bucket, &history->wanted,
				sum == NULL ? &nothing : &sum->counters);
	}
}

Datum
ckpx_wal_history(PG_FUNCTION_ARGS)
{
	WalHistory	history = {0};
	HASHCTL		control = {0};
	TimestampTz now = GetCurrentTimestamp();
	Incremental *list;
	uint32		count;
	Tail		tail;

	ckpx_require_installed();
	history.width = width_argument(fcinfo);
	history.first = (now - HISTORY_SPAN) / history.width;
	history.last = now / history.width;
	history.incomplete = palloc0(sizeof(bool) *
								 (history.last - history.first + 1));
	history.one_relation = !PG_ARGISNULL(0);
	if (history.one_relation)
		history.wanted = ckpx_map_relation_key(PG_GETARG_OID(0));
	control.keysize = sizeof(BucketKey);
	control.entrysize = sizeof(BucketSum);
	control.hcxt = CurrentMemoryContext;
	history.sums = hash_create("ckpx history", 256, &control,
							   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);

	list = copy_incrementals(history.first * history.width, &count, &tail);
	add_incrementals(&history, list, count, &tail);
	if (tail.epoch != 0)
		add_tail(&history, tail.start_lsn);
	put_sums(fcinfo, &history);
	return (Datum) 0;
}
