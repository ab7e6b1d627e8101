/*-------------------------------------------------------------------------
 *
 * uninstall_mark.c
 *		The marker file of a data directory from which ckpx was taken out.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include <sys/stat.h>

#include "access/xlog.h"
#include "core/format/names.h"
#include "miscadmin.h"
#include "server/base/options.h"
#include "server/base/shared_state.h"
#include "server/store/node.h"
#include "server/store/uninstall_mark.h"
#include "storage/fd.h"
#include "utils/guc.h"

/*
 * Make the marker; it is durable when this returns.
 */
void
ckpx_uninstall_mark(void)
{
	char		path[MAXPGPATH];

	snprintf(path, sizeof(path), "%s/%s", DataDir, CKPX_UNINSTALLED_FILE);
	ckpx_node_stamp(path);
}

static bool
file_exists(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0;
}

/*
 * Is the marker there?  One of another data directory is removed.
 */
bool
ckpx_uninstall_is_marked(bool *complete)
{
	char		path[MAXPGPATH];

	snprintf(path, sizeof(path), "%s/%s", DataDir, CKPX_NODE_FILE);
	*complete = !file_exists(path);

	snprintf(path, sizeof(path), "%s/%s", DataDir, CKPX_UNINSTALLED_FILE);
	if (!ckpx_node_is_foreign_stamp(path))
		return file_exists(path);
	if (durable_unlink(path, LOG) == 0)
		ereport(LOG,
				(errmsg("data directory is a copy of one from which ckpx was uninstalled, ckpx is used here"),
				 errdetail("File \"%s\" was removed.", path),
				 errhint("To stop this, call ckpx_uninstall(really => true) here or take \"ckpx\" out of \"shared_preload_libraries\".")));
	return false;
}

/*
 * After a crash of another process the workers that have ended for good do
 * not come again, so what they knew must be known here.
 */
void
ckpx_uninstall_startup(void)
{
	bool		complete;

	if (!ckpx_uninstall_is_marked(&complete))
		return;
	CkpxShared->uninstalled = true;
	CkpxShared->uninstall_done = complete;
	strlcpy(CkpxShared->problem, CKPX_UNINSTALLED_PROBLEM, CKPX_PROBLEM_MAX);
}

/*
 * Where our files are, if they are to be removed by hand.  Other servers may
 * use a directory outside the data directory, so only our own folder in it is
 * named; empty where that is not known.
 */
static void
find_files_unloaded(char *path)
{
	const char *directory = GetConfigOption("ckpx.directory", true, false);
	uint64		node_id = ckpx_node_known_id();
	char		name[CKPX_NAME_MAX];

	path[0] = '\0';
	if (directory == NULL || directory[0] == '\0')
		directory = CKPX_DEFAULT_DIRECTORY;
	if (!is_absolute_path(directory))
		snprintf(path, MAXPGPATH, "%s/%s", DataDir, directory);
	else if (node_id != 0)
	{
		ckpx_folder_name(name, GetSystemIdentifier(), node_id);
		snprintf(path, MAXPGPATH, "%s/%s", directory, name);
	}
}

/*
 * Where ckpx is not preloaded, raise the error of ckpx_require_preload(), with
 * a hint that says what is to be removed by hand.
 */
void
ckpx_uninstall_require_preload(void)
{
	char		path[MAXPGPATH];

	if (CkpxShared != NULL)
		return;
	find_files_unloaded(path);
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("ckpx must be loaded via \"shared_preload_libraries\""),
			 path[0] == '\0' ?
			 errhint("%s  Or call pg_drop_replication_slot('%s').",
					 CKPX_PRELOAD_HINT, CKPX_SLOT_NAME) :
			 errhint("%s  Or call pg_drop_replication_slot('%s'), and remove the directory \"%s\" and the file \"%s/%s\".",
					 CKPX_PRELOAD_HINT, CKPX_SLOT_NAME, path, DataDir,
					 CKPX_NODE_FILE)));
}
