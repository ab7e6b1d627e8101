/*-------------------------------------------------------------------------
 *
 * shared.c
 *		What the flusher shares with the runner and with backends.
 *
 * A request's number tells its slot, and is never used again, so a ticket of
 * a request that is over finds nobody.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "miscadmin.h"
#include "server/base/options.h"
#include "server/flush/shared.h"
#include "storage/procarray.h"

Size
ckpx_flush_shmem_size(void)
{
	return sizeof(CkpxFlushShared);
}

void
ckpx_flush_shmem_init(void *place, bool found)
{
	if (found)
		return;
	CkpxShared->flush = place;
	memset(place, 0, sizeof(CkpxFlushShared));
}

/*
 * Show the progress of the pass at work.
 */
void
ckpx_flush_progress(CkpxFlushPhase phase, CkpxFlushReason reason, uint64 done,
					uint64 total)
{
	CkpxFlushProgress *progress = &CkpxShared->flush->progress;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	progress->phase = phase;
	progress->reason = reason;
	progress->done = done;
	progress->total = total;
	LWLockRelease(CkpxShared->lock);
}

/*
 * Does a durable pass, or any ticket, wait for the flusher?
 */
bool
ckpx_flush_urgent(void)
{
	bool		urgent;

	/* Policy's own tickets are in no hurry, but all are taken at once. */
	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	urgent = CkpxShared->flush->range_request != InvalidXLogRecPtr ||
		CkpxShared->queues[CKPX_QUEUE_DIRTY]->depth > 0;
	LWLockRelease(CkpxShared->lock);
	return urgent;
}

CkpxFlushSlot *
ckpx_flush_slot(uint64 request)
{
	CkpxFlushShared *flush = CkpxShared->flush;
	CkpxFlushSlot *slot = &flush->slots[request % CKPX_FLUSH_SLOTS];

	Assert(LWLockHeldByMe(CkpxShared->lock));
	return request != 0 && slot->request == request ? slot : NULL;
}

/* A slot is free when its owner gave it back, or is not there any more. */
static bool
slot_is_free(const CkpxFlushSlot *slot)
{
	return slot->request == 0 || BackendPidGetProc(slot->pid) == NULL;
}

bool
ckpx_flush_begin(uint64 *request)
{
	CkpxFlushShared *flush = CkpxShared->flush;

	*request = 0;
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < CKPX_FLUSH_SLOTS && *request == 0; i++)
	{
		uint64		number = ++flush->last_request;
		CkpxFlushSlot *slot = &flush->slots[number % CKPX_FLUSH_SLOTS];

		if (!slot_is_free(slot))
			continue;
		memset(slot, 0, sizeof(*slot));
		slot->request = *request = number;
		slot->pid = MyProcPid;
	}
	LWLockRelease(CkpxShared->lock);
	return *request != 0;
}

bool
ckpx_flush_add(uint64 request, const CkpxRelKey *key, XLogRecPtr upto)
{
	CkpxDirtyTicket ticket = {
		.tablespace = key->tablespace,
		.database = key->database,
		.relation = key->relation,
		.reason = CKPX_FLUSH_FORCED,
		.upto = upto,
		.request = request
	};
	CkpxFlushSlot *slot;

	/* Counted before it is there, or the flusher could be faster. */
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	slot = ckpx_flush_slot(request);
	slot->ntotal++;
	LWLockRelease(CkpxShared->lock);
	return ckpx_enqueue(CKPX_QUEUE_DIRTY, &ticket);
}

void
ckpx_flush_end(uint64 request)
{
	CkpxFlushSlot *slot;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	slot = ckpx_flush_slot(request);
	if (slot != NULL)
		slot->request = 0;
	LWLockRelease(CkpxShared->lock);
}

static int
compare_keys(const void *a, const void *b)
{
	return ckpx_rel_key_compare(a, b);
}

uint32
ckpx_sort_keys(CkpxRelKey *keys, uint32 nkeys)
{
	uint32		n = 0;

	qsort(keys, nkeys, sizeof(CkpxRelKey), compare_keys);
	for (uint32 i = 0; i < nkeys; i++)
	{
		if (i == 0 || !ckpx_rel_key_equal(&keys[i], &keys[n - 1]))
			keys[n++] = keys[i];
	}
	return n;
}

const CkpxRelKey *
ckpx_find_key(const CkpxRelKey *keys, uint32 nkeys, const CkpxRelKey *key)
{
	CkpxRelKey	relation = *key;

	relation.fork = MAIN_FORKNUM;
	return bsearch(&relation, keys, nkeys, sizeof(CkpxRelKey), compare_keys);
}
