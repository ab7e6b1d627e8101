/*-------------------------------------------------------------------------
 *
 * node.c
 *		Whose store it is: the folder of this data directory, its lock, and the
 *		node identifier.
 *
 * Two data directories may share one absolute ckpx.directory, as a standby or
 * a clone does that copied the settings along; each would take the other's
 * objects for orphans and remove them.  So each has a folder of its own below
 * it, named after a random identifier that is kept in the data directory
 * together with what tells that from a copy, see core/format/node_record.h: in
 * a copy it does not fit, and the copy gets an identifier of its own.
 *
 * If we die after the node file was written and before the folder was made,
 * the next start makes it, or takes it over, see adopt_folder().
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file_perm.h"
#include "core/format/node_record.h"
#include "miscadmin.h"
#include "server/base/options.h"
#include "server/base/shared_state.h"
#include "server/store/files.h"
#include "server/store/node.h"
#include "storage/fd.h"
#include "utils/memutils.h"

/* Make one folder, if it is not there, and its name durable. */
static void
make_folder(const char *path)
{
	char		parent[MAXPGPATH];

	if (MakePGDirectory(path) != 0)
	{
		struct stat st;

		if (errno != EEXIST)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not create directory \"%s\": %m", path)));
		if (stat(path, &st) != 0)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not stat directory \"%s\": %m", path)));
		if (!S_ISDIR(st.st_mode))
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("\"%s\" is not a directory", path)));
	}

	/*
	 * Also where it was there already: the process that made it may have
	 * ended before this.  A parent that we may not open (an absolute
	 * directory of the administrator's) is passed over.
	 */
	strlcpy(parent, path, MAXPGPATH);
	get_parent_directory(parent);
	(void) fsync_fname_ext(parent[0] != '\0' ? parent : ".", true, true,
						   ERROR);
}

/*
 * Give the folder of the data directory that this one is a copy of our own
 * name.  Only for a store inside the data directory, where the folder was
 * copied along and no other server looks at it; and only if it is the only
 * one of this cluster, so that there is no doubt which history is ours.
 *
 * Dying before the rename leaves everything as it was, and the next start
 * does it.
 */
static void
adopt_folder(const char *directory)
{
	DIR		   *dir;
	struct dirent *de;
	struct stat st;
	char		found[MAXPGPATH] = "";
	int			nfound = 0;

	if (stat(CkpxShared->folder, &st) == 0)
		return;

	dir = AllocateDir(directory);
	while ((de = ReadDir(dir, directory)) != NULL)
	{
		uint64		cluster;
		uint64		node_id;

		if (!ckpx_parse_folder_name(de->d_name, &cluster, &node_id) ||
			cluster != CkpxShared->identity.system_identifier)
			continue;
		snprintf(found, MAXPGPATH, "%s/%s", directory, de->d_name);
		nfound++;
	}
	FreeDir(dir);
	if (nfound != 1)
		return;

	if (rename(found, CkpxShared->folder) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not rename directory \"%s\" to \"%s\": %m",
						found, CkpxShared->folder)));
	fsync_fname(directory, true);
	ereport(LOG,
			(errmsg("ckpx took over the directory \"%s\" of the data directory that this one is a copy of",
					found)));
}

bool
ckpx_folder_find(void)
{
	char		directory[MAXPGPATH];
	struct stat st;

	strlcpy(directory, ckpx_directory, MAXPGPATH);
	canonicalize_path(directory);
	if (!is_absolute_path(directory) && stat(directory, &st) == 0)
		adopt_folder(directory);
	return stat(CkpxShared->folder, &st) == 0 || errno != ENOENT;
}

void
ckpx_folder_create(void)
{
	char		directory[MAXPGPATH];

	strlcpy(directory, ckpx_directory, MAXPGPATH);
	canonicalize_path(directory);
	make_folder(directory);
	make_folder(CkpxShared->folder);
}

bool
ckpx_folder_is_there(void)
{
	char		path[MAXPGPATH];

	ckpx_store_path(path, CKPX_LOCK_FILE);
	return access(path, F_OK) == 0;
}

bool
ckpx_folder_lock(void)
{
	/* Kept open: the lock goes with the process. */
	static int	lock_fd = -1;
	static char locked_path[MAXPGPATH];
	char		path[MAXPGPATH];
	struct flock lock;
	int			fd;
	int			save_errno;

	ckpx_store_path(path, CKPX_LOCK_FILE);
	if (lock_fd >= 0)
	{
		if (strcmp(path, locked_path) == 0)
			return true;
		close(lock_fd);
		ReleaseExternalFD();
		lock_fd = -1;
	}

	ReserveExternalFD();
	fd = BasicOpenFile(path, O_RDWR | O_CREAT | O_CLOEXEC | PG_BINARY);
	if (fd < 0)
	{
		save_errno = errno;
		ReleaseExternalFD();
		errno = save_errno;
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open lock file \"%s\": %m", path)));
	}

	memset(&lock, 0, sizeof(lock));
	lock.l_type = F_WRLCK;
	lock.l_whence = SEEK_SET;
	if (fcntl(fd, F_SETLK, &lock) != 0)
	{
		save_errno = errno;
		close(fd);
		ReleaseExternalFD();
		errno = save_errno;
		if (errno == EACCES || errno == EAGAIN)
			return false;
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not lock file \"%s\": %m", path)));
	}
	lock_fd = fd;
	strlcpy(locked_path, path, MAXPGPATH);
	return true;
}

/*
 * What tells the data directory from a copy of it, as it is now.  False, with
 * errno, where it cannot be looked at.
 */
static bool
look_quietly(CkpxNodeRecord *seen)
{
	struct stat st;
#ifdef STATX_BTIME
	struct statx stx;
#endif

	memset(seen, 0, sizeof(*seen));
	if (stat(DataDir, &st) != 0)
		return false;
	seen->inode = (uint64) st.st_ino;
	seen->device = (uint64) st.st_dev;
#ifdef STATX_BTIME
	/* Kernels and file systems that know no time of birth say so. */
	if (statx(AT_FDCWD, DataDir, 0, STATX_BTIME, &stx) == 0 &&
		(stx.stx_mask & STATX_BTIME) != 0)
		seen->birth_ns = stx.stx_btime.tv_sec * INT64CONST(1000000000) +
			stx.stx_btime.tv_nsec;
#endif
	return true;
}

static void
look_at_data_directory(CkpxNodeRecord *seen)
{
	if (!look_quietly(seen))
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not stat directory \"%s\": %m", DataDir)));
}

static void
write_record(const char *path, const CkpxNodeRecord *record)
{
	char		text[CKPX_NODE_RECORD_MAX];
	int			length = ckpx_node_record_encode(text, record);

	ckpx_write_file(path, text, length, "identity");
}

static void
node_path(char *path)
{
	snprintf(path, MAXPGPATH, "%s/%s", DataDir, CKPX_NODE_FILE);
}

/* Read the node file; *damaged where it is there and cannot be used. */
static bool
read_record(const char *path, CkpxNodeRecord *record, bool *damaged)
{
	Size		length;
	char	   *text = ckpx_read_file_at(path, MaxAllocSize - 1, &length);
	bool		valid;

	*damaged = false;
	if (text == NULL)
		return false;
	valid = length < CKPX_NODE_RECORD_MAX && strlen(text) == length &&
		ckpx_node_record_decode(record, text);
	pfree(text);
	*damaged = !valid;
	return valid;
}

void
ckpx_node_confirm(uint64 node_id)
{
	CkpxNodeRecord record;
	char		path[MAXPGPATH];

	look_at_data_directory(&record);
	record.node_id = node_id;
	node_path(path);
	write_record(path, &record);
}

uint64
ckpx_node_identity(CkpxNodeKind *kind)
{
	CkpxNodeRecord record;
	CkpxNodeRecord seen;
	char		path[MAXPGPATH];
	bool		damaged;

	*kind = CKPX_NODE_KNOWN;
	look_at_data_directory(&seen);
	node_path(path);
	if (read_record(path, &record, &damaged))
	{
		if (ckpx_node_record_fits(&record, &seen))
		{
			if (record.device != seen.device ||
				record.birth_ns != seen.birth_ns)
				*kind = CKPX_NODE_MOVED;
			return record.node_id;
		}
		*kind = CKPX_NODE_COPY;
		ereport(LOG,
				(errmsg("data directory is a copy, ckpx gives it a new node identifier"),
				 errdetail("File \"%s\" is of another directory.", path)));
	}
	else if (damaged)
	{
		*kind = CKPX_NODE_COPY;
		ereport(WARNING,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("file \"%s\" is damaged, ckpx gives this data directory a new node identifier",
						path)));
	}
	return ckpx_node_renew();
}

static uint64
random_node_id(void)
{
	uint64		node_id;

	do
	{
		if (!pg_strong_random(&node_id, sizeof(node_id)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not generate a random node identifier")));
	} while (node_id == 0);
	return node_id;
}

uint64
ckpx_node_renew(void)
{
	uint64		node_id = random_node_id();

	ckpx_node_confirm(node_id);
	return node_id;
}

/*
 * Several sessions may do this at once, so each has a file of its own until
 * it is whole.
 */
void
ckpx_node_stamp(const char *path)
{
	CkpxNodeRecord record;
	char		own_path[MAXPGPATH];

	look_at_data_directory(&record);
	record.node_id = random_node_id();
	snprintf(own_path, sizeof(own_path), "%s.%d", path, MyProcPid);
	write_record(own_path, &record);
	(void) durable_rename(own_path, path, ERROR);
}

/*
 * Read a record without raising an error, in any process; false where it is
 * missing, unreadable or damaged.
 */
static bool
read_quietly(const char *path, CkpxNodeRecord *record)
{
	char		text[CKPX_NODE_RECORD_MAX];
	ssize_t		length;
	int			fd = open(path, O_RDONLY | PG_BINARY, 0);

	if (fd < 0)
		return false;
	length = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (length < 0)
		return false;
	text[length] = '\0';
	return strlen(text) == length && ckpx_node_record_decode(record, text);
}

bool
ckpx_node_is_foreign_stamp(const char *path)
{
	CkpxNodeRecord record;
	CkpxNodeRecord seen;

	return look_quietly(&seen) && read_quietly(path, &record) &&
		!ckpx_node_record_fits(&record, &seen);
}

uint64
ckpx_node_known_id(void)
{
	CkpxNodeRecord record;
	CkpxNodeRecord seen;
	char		path[MAXPGPATH];

	node_path(path);
	if (!look_quietly(&seen) || !read_quietly(path, &record) ||
		!ckpx_node_record_fits(&record, &seen))
		return 0;
	return record.node_id;
}
