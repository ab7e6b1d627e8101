/*-------------------------------------------------------------------------
 *
 * retention.c
 *		The physical replication slot "ckpx".
 *
 * PostgreSQL offers no function to move a physical slot from C, so the steps
 * are taken here: set restart_lsn under the slot's spinlock, mark it dirty,
 * save it, let the server compute anew what it must keep.  Saving comes
 * first: if we die between the two, the slot on disk is ahead of what the
 * server holds in memory, which only keeps WAL a little longer.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "miscadmin.h"
#include "server/base/fault.h"
#include "server/base/options.h"
#include "server/base/shared_state.h"
#include "server/wal/retention.h"
#include "storage/lwlock.h"
#include "storage/spin.h"

CkpxSlotState
ckpx_slot_acquire_own(XLogRecPtr *restart_lsn)
{
	ReplicationSlot *slot;
	bool		foreign;
	bool		lost;

	*restart_lsn = InvalidXLogRecPtr;

	if (MyReplicationSlot == NULL)
	{
		LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
		slot = SearchNamedReplicationSlot(CKPX_SLOT_NAME, false);
		foreign = slot != NULL && !SlotIsPhysical(slot);
		if (slot != NULL && !foreign)
		{
			SpinLockAcquire(&slot->mutex);
			foreign = slot->active_pid != 0;
			SpinLockRelease(&slot->mutex);
		}
		LWLockRelease(ReplicationSlotControlLock);

		if (slot == NULL)
			return CKPX_SLOT_MISSING;
		if (foreign)
			return CKPX_SLOT_FOREIGN;
		ckpx_slot_acquire(CKPX_SLOT_NAME);
	}

	slot = MyReplicationSlot;
	SpinLockAcquire(&slot->mutex);
	lost = ckpx_slot_is_lost(slot) ||
		slot->data.restart_lsn == InvalidXLogRecPtr;
	*restart_lsn = slot->data.restart_lsn;
	SpinLockRelease(&slot->mutex);

	return lost ? CKPX_SLOT_LOST : CKPX_SLOT_OK;
}

void
ckpx_slot_drop(void)
{
	if (MyReplicationSlot != NULL)
		ReplicationSlotRelease();
	if (SearchNamedReplicationSlot(CKPX_SLOT_NAME, true) != NULL)
		ReplicationSlotDrop(CKPX_SLOT_NAME, true);
}

XLogRecPtr
ckpx_slot_create_own(char **problem)
{
	bool		have_free = false;

	*problem = NULL;
	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	for (int i = 0; i < max_replication_slots; i++)
	{
		if (!ReplicationSlotCtl->replication_slots[i].in_use)
			have_free = true;
	}
	LWLockRelease(ReplicationSlotControlLock);

	if (!have_free)
	{
		*problem = psprintf("all %d replication slots are in use; ckpx needs one, raise max_replication_slots",
							max_replication_slots);
		return InvalidXLogRecPtr;
	}

	CKPX_FAULT("slot-create");
	ckpx_slot_create(CKPX_SLOT_NAME);
	ReplicationSlotReserveWal();
	ReplicationSlotMarkDirty();
	ReplicationSlotSave();
	CKPX_FAULT("slot-created");
	return ckpx_slot_restart_lsn();
}

void
ckpx_slot_advance(XLogRecPtr lsn)
{
	ReplicationSlot *slot = MyReplicationSlot;
	bool		moved = false;

	if (slot == NULL || lsn == InvalidXLogRecPtr)
		return;

	CKPX_FAULT("slot-advance");
	SpinLockAcquire(&slot->mutex);
	if (slot->data.restart_lsn < lsn)
	{
		slot->data.restart_lsn = lsn;
		moved = true;
	}
	SpinLockRelease(&slot->mutex);

	if (!moved)
		return;
	ReplicationSlotMarkDirty();
	ReplicationSlotSave();
	CKPX_FAULT("slot-saved");
	ReplicationSlotsComputeRequiredLSN();
}

XLogRecPtr
ckpx_slot_restart_lsn(void)
{
	XLogRecPtr	lsn;

	if (MyReplicationSlot == NULL)
		return InvalidXLogRecPtr;
	SpinLockAcquire(&MyReplicationSlot->mutex);
	lsn = MyReplicationSlot->data.restart_lsn;
	SpinLockRelease(&MyReplicationSlot->mutex);
	return lsn;
}

/*
 * restart_lsn of our slot where we do not hold it, as before a boot that
 * cannot succeed: Invalid where there is none, or another process holds it.
 */
static XLogRecPtr
idle_restart_lsn(void)
{
	ReplicationSlot *slot;
	XLogRecPtr	lsn = InvalidXLogRecPtr;

	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	slot = SearchNamedReplicationSlot(CKPX_SLOT_NAME, false);
	if (slot != NULL && SlotIsPhysical(slot))
	{
		SpinLockAcquire(&slot->mutex);
		if (slot->active_pid == 0)
			lsn = slot->data.restart_lsn;
		SpinLockRelease(&slot->mutex);
	}
	LWLockRelease(ReplicationSlotControlLock);
	return lsn;
}

uint64
ckpx_slot_retained(XLogRecPtr present)
{
	XLogRecPtr	restart_lsn = MyReplicationSlot != NULL ?
		ckpx_slot_restart_lsn() : idle_restart_lsn();

	if (restart_lsn == InvalidXLogRecPtr || present < restart_lsn)
		return 0;
	return present - restart_lsn;
}

uint64
ckpx_slot_cap(void)
{
	uint64		cap = (uint64) ckpx_max_retained_wal * 1024;

	if (max_slot_wal_keep_size_mb >= 0)
	{
		uint64		server = (uint64) max_slot_wal_keep_size_mb * 1024 * 1024;

		/* The server counts whole segments; stay two below it if possible. */
		if (server > 4 * (uint64) wal_segment_size)
			server -= 2 * (uint64) wal_segment_size;
		else
			server /= 2;
		cap = Min(cap, server);
	}
	return cap;
}
