/*-------------------------------------------------------------------------
 *
 * replay_identify.c
 *		Boot: whose data directory this is, and its folder.
 *
 * A folder that is absent may be back in a moment, as an object may; so a data
 * directory that has a slot, and thus had a folder, waits for it.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include <sys/stat.h>

#include "access/xlog.h"
#include "catalog/pg_control.h"
#include "common/controldata_utils.h"
#include "miscadmin.h"
#include "replication/slot.h"
#include "server/base/options.h"
#include "server/base/shared_state.h"
#include "server/process/replay_identify.h"
#include "server/store/files.h"
#include "server/store/node.h"

/*
 * Where an object or the folder is absent, raise an error until the patience
 * for that is over.
 */
void
ckpx_replay_await(CkpxObjectState state, const char *problem)
{
	uint64		patience_ms = ckpx_patience_ms();
	uint64		now = ckpx_clock_ms();
	uint64		since;

	if (state != CKPX_OBJECT_ABSENT)
		return;

	/* One time for all that is absent; it ends with the boot. */
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	if (CkpxShared->absent_since_ms == 0)
		CkpxShared->absent_since_ms = now;
	since = CkpxShared->absent_since_ms;
	LWLockRelease(CkpxShared->lock);
	if (now - since < patience_ms)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg_plural("ckpx waits up to %d minute for files that cannot be read now",
							   "ckpx waits up to %d minutes for files that cannot be read now",
							   (int) (patience_ms / 60000),
							   (int) (patience_ms / 60000)),
				 errdetail("%s", problem)));
}

/*
 * The slot is made after the folder, so a data directory that has a slot had
 * a folder.  Do not make a new one, and with it a new history, too early.
 */
static void
await_folder(void)
{
	const char *folder = CkpxShared->folder;

	if (SearchNamedReplicationSlot(CKPX_SLOT_NAME, true) == NULL)
		return;
	ckpx_replay_await(CKPX_OBJECT_ABSENT,
					  psprintf("Directory \"%s\" is not there.", folder));
	ereport(WARNING,
			(errcode(ERRCODE_UNDEFINED_FILE),
			 errmsg("ckpx begins a new history, because directory \"%s\" is not there",
					folder)));
}

/*
 * Take the folder of this identity; false while another process has it.
 * 'known': there was one before.
 */
static bool
take_folder(const CkpxIdentity *identity, bool known)
{
	char		name[CKPX_NAME_MAX];
	char		folder[MAXPGPATH];

	ckpx_folder_name(name, identity->system_identifier, identity->node_id);
	snprintf(folder, sizeof(folder), "%s/%s", ckpx_directory, name);

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	CkpxShared->identity = *identity;
	strlcpy(CkpxShared->folder, folder, sizeof(CkpxShared->folder));
	LWLockRelease(CkpxShared->lock);

	if (!ckpx_folder_find() && known)
		await_folder();
	ckpx_folder_create();
	return ckpx_folder_lock();
}

/*
 * Learn the identity of this cluster; create and lock the store's folder.
 */
void
ckpx_replay_identify(CkpxBoot *boot)
{
	CkpxIdentity identity;
	CkpxNodeKind kind;
	ControlFileData *control;
	struct stat st;
	bool		crc_ok;
	bool		known;
	bool		taken;

	memset(&identity, 0, sizeof(identity));
	identity.system_identifier = GetSystemIdentifier();
	identity.pg_major = CKPX_PG_MAJOR;
	identity.block_size = BLCKSZ;
	identity.segment_blocks = RELSEG_SIZE;
	identity.wal_segment_size = wal_segment_size;
	control = get_controlfile(DataDir, &crc_ok);
	if (!crc_ok)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("control file is being written or damaged")));
	identity.checksum_version = control->data_checksum_version;
	pfree(control);

	boot->inside = !is_absolute_path(ckpx_directory);

	/* With an identifier made just now there is no folder of that name. */
	known = stat(CKPX_NODE_FILE, &st) == 0;
	identity.node_id = ckpx_node_identity(&kind);
	taken = take_folder(&identity, known && kind != CKPX_NODE_COPY);
	if (kind == CKPX_NODE_MOVED && taken)
		ckpx_node_confirm(identity.node_id);
	else if (kind == CKPX_NODE_MOVED)
	{
		/* Two servers have this identifier, and it was noted elsewhere. */
		ereport(LOG,
				(errmsg("data directory is a copy, ckpx gives it a new node identifier"),
				 errdetail("Directory \"%s\" is in use by another server.",
						   CkpxShared->folder)));
		kind = CKPX_NODE_COPY;
		identity.node_id = ckpx_node_renew();
		taken = take_folder(&identity, false);
	}
	boot->copied = kind == CKPX_NODE_COPY;
	if (!taken)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("directory \"%s\" is in use by another server",
						CkpxShared->folder),
				 errhint("Give each server its own \"ckpx.directory\".")));
}
