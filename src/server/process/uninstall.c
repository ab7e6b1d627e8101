/*-------------------------------------------------------------------------
 *
 * uninstall.c
 *		Taking ckpx out of a data directory.
 *
 * Order: the marker, the slot, the store's files and folder, and last the
 * file with the node's identity.  As long as that one is there, something may
 * be left, and a start with the marker goes on.  Without it a start touches
 * nothing: a slot that happens to have our name by then is not ours.
 *
 * Only files whose names are ours are removed; a folder that holds anything
 * else stays, with a WARNING.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog.h"
#include "miscadmin.h"
#include "server/base/fault.h"
#include "server/base/options.h"
#include "server/base/shared_state.h"
#include "server/logtail/logtail.h"
#include "server/process/chain.h"
#include "server/process/uninstall.h"
#include "server/store/files.h"
#include "server/store/node.h"
#include "server/store/uninstall_mark.h"
#include "server/wal/retention.h"
#include "storage/fd.h"

static void
remove_slot(void)
{
	XLogRecPtr	restart_lsn;

	if (MyReplicationSlot == NULL)
	{
		CkpxSlotState state = ckpx_slot_acquire_own(&restart_lsn);

		if (state == CKPX_SLOT_MISSING)
			return;
		if (state == CKPX_SLOT_FOREIGN)
		{
			ereport(WARNING,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("replication slot \"%s\" is not ckpx's own and stays",
							CKPX_SLOT_NAME)));
			return;
		}
	}
	ckpx_slot_drop();
}

/*
 * Learn our folder where the boot has not come so far.
 */
static void
find_folder(void)
{
	char		name[CKPX_NAME_MAX];
	CkpxNodeKind kind;
	uint64		node_id;

	if (CkpxShared->folder[0] != '\0')
		return;
	node_id = ckpx_node_identity(&kind);
	ckpx_folder_name(name, GetSystemIdentifier(), node_id);
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	snprintf(CkpxShared->folder, sizeof(CkpxShared->folder), "%s/%s",
			 ckpx_directory, name);
	LWLockRelease(CkpxShared->lock);
}

static void
remove_folder(void)
{
	struct stat st;
	char		path[MAXPGPATH];
	ListCell   *cell;

	find_folder();
	if (stat(CkpxShared->folder, &st) != 0)
		return;
	if (!ckpx_folder_lock())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("directory \"%s\" is in use by another server",
						CkpxShared->folder)));

	foreach(cell, ckpx_list_files(CKPX_NAME_UNKNOWN))
	{
		CHECK_FOR_INTERRUPTS();
		ckpx_remove_file(((CkpxStoreFile *) lfirst(cell))->file, ERROR);
	}
	snprintf(path, sizeof(path), "%s/%s", CkpxShared->folder, CKPX_LOCK_FILE);
	if (unlink(path) != 0 && errno != ENOENT)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not remove file \"%s\": %m", path)));
	if (rmdir(CkpxShared->folder) != 0)
		ereport(WARNING,
				(errcode_for_file_access(),
				 errmsg("could not remove directory \"%s\": %m",
						CkpxShared->folder)));

	/*
	 * One outside may serve other servers, and was not made for us alone.  It
	 * must not give our folder back after a loss of power, when the file with
	 * the identity, by which we would find it, is gone.
	 */
	if (is_absolute_path(ckpx_directory))
		fsync_fname(ckpx_directory, true);
	else
		(void) rmdir(ckpx_directory);
}

long
ckpx_uninstall_step(void)
{
	char		path[MAXPGPATH];
	bool		job_running = ckpx_chain_unload();
	bool		complete;

	ckpx_set_problem(CKPX_UNINSTALLED_PROBLEM);
	if (job_running)
		return 50;

	(void) ckpx_uninstall_is_marked(&complete);
	if (!complete)
	{
		CKPX_FAULT("uninstall-slot");
		remove_slot();
		CKPX_FAULT("uninstall-files");
		remove_folder();
		snprintf(path, sizeof(path), "%s/%s", DataDir, CKPX_NODE_FILE);
		durable_unlink(path, ERROR);
		ereport(LOG,
				(errmsg("ckpx dropped its replication slot and removed its files")));
	}
	else
		ereport(LOG,
				(errmsg("ckpx does nothing: it was uninstalled"),
				 errhint(CKPX_UNINSTALLED_HINT)));

	ckpx_logtail_clear();
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	ckpx_entry_store_init(CkpxShared->store, ckpx_max_entries);
	CkpxShared->npins = 0;
	CkpxShared->nbackups = 0;
	CkpxShared->collected_lsn = InvalidXLogRecPtr;
	CkpxShared->released_lsn = InvalidXLogRecPtr;
	CkpxShared->folder[0] = '\0';
	CkpxShared->uninstall_done = true;
	LWLockRelease(CkpxShared->lock);
	ConditionVariableBroadcast(&CkpxShared->progress);
	return 0;
}
