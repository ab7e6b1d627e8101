/*-------------------------------------------------------------------------
 *
 * backup_slot.c
 *		The running backup that a call belongs to.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "api/backup_slot.h"
#include "storage/procarray.h"
#include "storage/spin.h"

/* Raise an error unless the slot's session runs. */
void
ckpx_require_backup(const char *name)
{
	ReplicationSlot *slot;
	bool		temporary = false;
	pid_t		pid = 0;

	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	slot = SearchNamedReplicationSlot(name, false);
	if (slot != NULL)
	{
		SpinLockAcquire(&slot->mutex);
		temporary = slot->data.persistency == RS_TEMPORARY &&
			SlotIsPhysical(slot);
		pid = slot->active_pid;
		SpinLockRelease(&slot->mutex);
	}
	LWLockRelease(ReplicationSlotControlLock);

	if (!temporary || pid == 0 || BackendPidGetProc(pid) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no backup with replication slot \"%s\" is running on this server",
						name),
				 slot == NULL ? errdetail("The slot does not exist.") :
				 !temporary ?
				 errdetail("The slot is not a temporary physical one.") :
				 errdetail("The slot is not active."),
				 errhint("The session that called pg_backup_start() must hold the slot until the backup has ended.")));
}
