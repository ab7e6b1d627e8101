/*-------------------------------------------------------------------------
 *
 * buffers.c
 *		Finding dirty shared buffers, and writing them.
 *
 * Between two pages, never with a pin or a lock held, the writer handles
 * interrupts, accepts invalidations and keeps to its rate.  Before each
 * relation it forgets all open files: a descriptor kept across a drop could
 * write into a file that is gone while its number is used again.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "miscadmin.h"
#include "server/base/fault.h"
#include "server/base/options.h"
#include "server/base/worker_status.h"
#include "server/flush/buffers.h"
#include "server/flush/shared.h"
#include "server/flush/writeback.h"
#include "storage/bufmgr.h"
#include "utils/inval.h"

#define HEADERS_PER_CHECK		16384
#define BLOCKS_PER_REPORT		64
#define BLOCKS_PER_PAUSE		8
#define FIRST_BUFFERS			1024

/*
 * Finding
 */

/*
 * Call 'callback' for each dirty buffer of a permanent relation, in the order
 * of the buffers.  The callback runs without lock or pin and may raise an
 * error.  The buffer may be clean, or hold another block, by then.
 */
void
ckpx_dirty_buffers_walk(CkpxDirtyCallback callback, void *arg)
{
	const uint32 flags = BM_DIRTY | BM_VALID | BM_TAG_VALID | BM_PERMANENT;

	/* What the caller waited for is visible from here on. */
	pg_memory_barrier();

	for (int i = 0; i < NBuffers; i++)
	{
		BufferDesc *buffer = GetBufferDescriptor(i);
		BufferTag	tag;
		uint32		state;
		CkpxRelKey	key;

		if (i % HEADERS_PER_CHECK == 0)
			CHECK_FOR_INTERRUPTS();
		if ((pg_atomic_read_u32(&buffer->state) & BM_DIRTY) == 0)
			continue;
		state = LockBufHdr(buffer);
		tag = buffer->tag;
		UnlockBufHdr(buffer, state);
		if ((state & flags) != flags)
			continue;

		key.tablespace = CKPX_LOCATOR_TABLESPACE(CKPX_TAG_LOCATOR(tag));
		key.database = CKPX_LOCATOR_DATABASE(CKPX_TAG_LOCATOR(tag));
		key.relation = CKPX_LOCATOR_NUMBER(CKPX_TAG_LOCATOR(tag));
		key.fork = tag.forkNum;
		callback(arg, &key, tag.blockNum, i);
	}
}

/* Which relations' dirty buffers to count; no keys: those of all. */
typedef struct DirtyCount
{
	const CkpxRelKey *keys;
	uint32		nkeys;
	uint64		count;
} DirtyCount;

static void
count_if_listed(void *arg, const CkpxRelKey *key, BlockNumber block,
				int buffer)
{
	DirtyCount *count = arg;

	if (count->nkeys == 0 ||
		ckpx_find_key(count->keys, count->nkeys, key) != NULL)
		count->count++;
}

/*
 * Count the dirty buffers of these relations, all of their forks.
 */
uint64
ckpx_dirty_buffers_count(const CkpxRelKey *keys, uint32 nkeys)
{
	DirtyCount	count = {keys, nkeys, 0};

	ckpx_dirty_buffers_walk(count_if_listed, &count);
	return count.count;
}

/* What a search wants, and what it has found. */
typedef struct Search
{
	CkpxDirtyBuffers *found;
	CkpxBlockWanted wanted;
	void	   *arg;
} Search;

static void
add_if_wanted(void *arg, const CkpxRelKey *key, BlockNumber block, int buffer)
{
	const Search *search = arg;
	CkpxDirtyBuffers *found = search->found;
	CkpxDirtyBuffer *entry;

	if (!search->wanted(search->arg, key, block))
		return;
	if (found->count == found->max)
	{
		found->max *= 2;
		found->buffers = repalloc_huge(found->buffers,
									   sizeof(CkpxDirtyBuffer) * found->max);
	}
	entry = &found->buffers[found->count++];
	entry->key = *key;
	entry->block = block;
	entry->buffer = buffer;
}

static int
compare_buffers(const void *a, const void *b)
{
	const CkpxDirtyBuffer *x = a;
	const CkpxDirtyBuffer *y = b;
	int			result = ckpx_rel_key_compare(&x->key, &y->key);

	if (result != 0)
		return result;
	return x->block < y->block ? -1 : x->block > y->block;
}

/*
 * Find the dirty buffers that 'wanted' says yes to, sorted.
 */
void
ckpx_dirty_buffers_find(CkpxDirtyBuffers *found, CkpxBlockWanted wanted,
						void *arg)
{
	Search		search = {found, wanted, arg};

	found->count = 0;
	found->max = FIRST_BUFFERS;
	found->buffers = palloc(sizeof(CkpxDirtyBuffer) * found->max);
	ckpx_dirty_buffers_walk(add_if_wanted, &search);
	qsort(found->buffers, found->count, sizeof(CkpxDirtyBuffer),
		  compare_buffers);
}

/*
 * Writing
 */

/* How far WAL is flushed: no page before it makes us flush WAL. */
static XLogRecPtr
flushed_wal(void)
{
	return RecoveryInProgress() ? PG_UINT64_MAX : GetFlushRecPtr(NULL);
}

static RelFileLocator
entry_locator(const CkpxRelKey *key)
{
	return ckpx_locator(key->tablespace, key->database, key->relation);
}

/*
 * Write one buffer if it still holds the block and is dirty.
 */
static bool
write_buffer(const CkpxDirtyBuffer *entry, XLogRecPtr wal_limit)
{
	BufferDesc *header = GetBufferDescriptor(entry->buffer);
	Buffer		buffer = entry->buffer + 1;
	bool		dirty;

	if (!ReadRecentBuffer(entry_locator(&entry->key),
						  (ForkNumber) entry->key.fork, entry->block, buffer))
		return false;

	CKPX_FAULT("flush-pin");
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	dirty = (pg_atomic_read_u32(&header->state) & BM_DIRTY) != 0 &&
		BufferGetLSNAtomic(buffer) <= wal_limit;
	if (dirty)
		FlushOneBuffer(buffer);
	UnlockReleaseBuffer(buffer);
	return dirty;
}

/* May what is left of these be left out now? */
static bool
is_overtaken(const CkpxWriteOptions *options)
{
	return !options->durable && ckpx_flush_urgent();
}

/*
 * Sleep as long as the blocks so far are ahead of the rate limit or of their
 * time, unless something else is in more of a hurry.
 */
static void
keep_pace(const CkpxWriteOptions *options, uint64 started_ms, uint64 written,
		  uint64 done, uint64 total)
{
	for (;;)
	{
		uint64		kilobytes = written * (BLCKSZ / 1024);
		uint64		pace_ms = (uint64) ckpx_flush_pace_ms(done, total,
														  options->window_ms);
		uint64		now = ckpx_clock_ms();

		if (ckpx_flush_rate_limit > 0)
			pace_ms = Max(pace_ms, kilobytes * 1000 /
						  (uint64) ckpx_flush_rate_limit);
		if (started_ms + pace_ms <= now || is_overtaken(options))
			break;
		ckpx_writeback_step();
		ckpx_worker_wait((long) Min(started_ms + pace_ms - now, 1000));
	}
}

uint64
ckpx_dirty_buffers_write(const CkpxDirtyBuffers *found,
						 const CkpxWriteOptions *options)
{
	WritebackContext writeback;
	uint64		written = 0;
	uint64		started_ms = ckpx_clock_ms();

	WritebackContextInit(&writeback, &checkpoint_flush_after);
	ckpx_flush_progress(CKPX_FLUSH_PHASE_WRITE, options->reason, 0,
						found->count);

	for (uint32 i = 0; i < found->count; i++)
	{
		const CkpxDirtyBuffer *entry = &found->buffers[i];

		if (i == 0 || !ckpx_rel_key_equal(&entry->key, &entry[-1].key))
		{
			ckpx_issue_writebacks(&writeback);
			AcceptInvalidationMessages();
			ckpx_smgr_forget_all();
		}

		CKPX_FAULT("flush-write");
		if (write_buffer(entry, options->durable ? PG_UINT64_MAX :
						 flushed_wal()))
		{
			BufferTag	tag;

			ckpx_init_tag(&tag, entry_locator(&entry->key),
						  (ForkNumber) entry->key.fork, entry->block);
			written++;
			if (options->written != NULL)
				options->written(options->arg, &entry->key, entry->block);
			ckpx_schedule_writeback(&writeback, &tag);
		}

		if (i % BLOCKS_PER_PAUSE == 0)
		{
			ckpx_worker_interrupts();
			AcceptInvalidationMessages();
			keep_pace(options, started_ms, written, i, found->count);
		}
		if (i % BLOCKS_PER_REPORT == 0)
		{
			ckpx_flush_progress(CKPX_FLUSH_PHASE_WRITE, options->reason, i,
								found->count);
			if (is_overtaken(options))
				break;
		}
	}
	ckpx_issue_writebacks(&writeback);
	return written;
}
