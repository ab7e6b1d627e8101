/*-------------------------------------------------------------------------
 *
 * pins.c
 *		Which segments of the logtail are pinned, and by this process.
 *
 * A process that dies by a signal takes all shared memory with it; one that
 * exits gives its pins back in a before_shmem_exit callback.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "server/base/compat.h"
#include "server/base/worker_status.h"
#include "server/logtail/internal.h"
#include "storage/ipc.h"

/* The pins that this process holds. */
static uint32 my_pins[CKPX_MAX_SEGMENTS];

static bool callbacks_registered = false;

/*
 * Free what waited for the last pin of a slot.  The lock is held exclusively.
 */
void
ckpx_logtail_settle(CkpxLogtail *logtail, uint32 number)
{
	CkpxSlot   *slot = &logtail->slots[number];

	if (slot->pins > 0)
		return;
	if (slot->retired)
	{
		ckpx_logtail_free_data(logtail, slot);
		slot->retired = false;
		logtail->free[logtail->nfree++] = number;
	}
	else if (slot->info.spilled)
		ckpx_logtail_free_data(logtail, slot);
}

/*
 * Pin the segment in 'number' and describe it.  The lock is held exclusively.
 */
void
ckpx_logtail_pin_slot(CkpxLogtail *logtail, uint32 number, CkpxSegmentRef *ref)
{
	CkpxSlot   *slot = &logtail->slots[number];

	slot->pins++;
	my_pins[number]++;
	ref->slot = number;
	ref->info = slot->info;
	if (slot->info.spilled)
		ref->bytes = NULL;
	else if (DsaPointerIsValid(slot->data))
		ref->bytes = dsa_get_address(ckpx_logtail_area, slot->data);
	else
		ref->bytes = "";
	ref->thinned = ref->bytes == NULL ? NULL : ref->bytes + ref->info.bytes;
}

/*
 * Give back these pins.
 */
void
ckpx_logtail_unpin(CkpxSegmentRef *refs, uint32 count)
{
	CkpxLogtail *logtail;

	if (count == 0)
		return;
	logtail = CkpxShared->logtail;
	LWLockAcquire(CkpxShared->logtail_lock, LW_EXCLUSIVE);
	for (uint32 i = 0; i < count; i++)
	{
		uint32		number = refs[i].slot;

		/* Given back already, by ckpx_logtail_unpin_all(). */
		if (my_pins[number] == 0)
			continue;
		my_pins[number]--;
		logtail->slots[number].pins--;
		ckpx_logtail_settle(logtail, number);
	}
	LWLockRelease(CkpxShared->logtail_lock);
}

/*
 * Give back all pins of this process.
 */
void
ckpx_logtail_unpin_all(void)
{
	CkpxLogtail *logtail;

	if (ckpx_logtail_area == NULL)
		return;
	logtail = CkpxShared->logtail;
	LWLockAcquire(CkpxShared->logtail_lock, LW_EXCLUSIVE);
	for (uint32 number = 0; number < CKPX_MAX_SEGMENTS; number++)
	{
		if (my_pins[number] == 0)
			continue;
		Assert(logtail->slots[number].pins >= my_pins[number]);
		logtail->slots[number].pins -= my_pins[number];
		my_pins[number] = 0;
		ckpx_logtail_settle(logtail, number);
	}
	LWLockRelease(CkpxShared->logtail_lock);
}

/* Give back at exit what this process still has pinned. */
static void
unpin_at_exit(int code, Datum arg)
{
	/*
	 * A FATAL error from within an allocation leaves its locks held; waiting
	 * for them would be waiting for ourselves.
	 */
	LWLockReleaseAll();
	ckpx_logtail_unpin_all();
}

/*
 * Make the area usable in this process, and have its pins given back when it
 * exits or a worker catches an error.  May raise an error: no lock held.
 */
void
ckpx_logtail_attach(void)
{
	ckpx_logtail_map_area();
	if (callbacks_registered)
		return;
	before_shmem_exit(unpin_at_exit, (Datum) 0);
	ckpx_worker_at_catch(ckpx_logtail_unpin_all);
	callbacks_registered = true;
}
