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
 * together with the directory's device and inode: in a copy these do not fit,
 * and the copy gets an identifier of its own.
 *
 * If we die after the node file was written and before the folder was made,
 * the next start makes it, or takes it over, see adopt_folder().
 *
 *-------------------------------------------------------------------------
 */
#include "server/compat.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file_perm.h"
#include "miscadmin.h"
#include "port/pg_crc32c.h"
#include "server/files.h"
#include "server/node.h"
#include "server/options.h"
#include "server/shared_state.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#define NODE_FILE_MAX_BYTES	1024

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
	 * Also where it was there already: whoever made it may have been ended
	 * before this.  A parent that we may not open (an absolute directory of
	 * the administrator's) is passed over.
	 */
	strlcpy(parent, path, MAXPGPATH);
	get_parent_directory(parent);
	(void) fsync_fname_ext(parent[0] != '\0' ? parent : ".", true, true,
						   ERROR);
}

/*
 * Give the folder of the data directory that this one is a copy of our own
 * name.  Only for a store inside the data directory, where the folder was
 * copied along and nobody else looks at it; and only if it is the only one
 * of this cluster, so that there is no doubt which history is ours.
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
		uint64		system_identifier;
		uint64		node_id;

		if (!ckpx_parse_folder_name(de->d_name, &system_identifier, &node_id) ||
			system_identifier != CkpxShared->identity.system_identifier)
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
				 errmsg("could not rename folder \"%s\" to \"%s\": %m",
						found, CkpxShared->folder)));
	fsync_fname(directory, true);
	ereport(LOG,
			(errmsg("ckpx took over the folder \"%s\" of the data directory that this one is a copy of",
					found)));
}

void
ckpx_folder_create(void)
{
	char		directory[MAXPGPATH];

	strlcpy(directory, ckpx_directory, MAXPGPATH);
	canonicalize_path(directory);
	make_folder(directory);
	if (!is_absolute_path(directory))
		adopt_folder(directory);
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

/* The text of the node file; returns its length. */
static int
node_text(char *text, uint64 node_id, uint64 device, uint64 inode)
{
	pg_crc32c	crc;
	int			length;

	length = snprintf(text, NODE_FILE_MAX_BYTES,
					  "ckpx node 1\n"
					  "id %016llX\n"
					  "device %016llX\n"
					  "inode %016llX\n",
					  (unsigned long long) node_id,
					  (unsigned long long) device,
					  (unsigned long long) inode);
	INIT_CRC32C(crc);
	COMP_CRC32C(crc, text, length);
	FIN_CRC32C(crc);
	return length + snprintf(text + length, NODE_FILE_MAX_BYTES - length,
							 "crc %08X\n", crc);
}

/* Read what node_text() wrote, and accept nothing else. */
static bool
node_parse(const char *text, uint64 *node_id, uint64 *device, uint64 *inode)
{
	char		rebuilt[NODE_FILE_MAX_BYTES];
	unsigned long long numbers[3];

	if (sscanf(text, "ckpx node 1\nid %16llX\ndevice %16llX\ninode %16llX\n",
			   &numbers[0], &numbers[1], &numbers[2]) != 3)
		return false;
	*node_id = numbers[0];
	*device = numbers[1];
	*inode = numbers[2];
	node_text(rebuilt, *node_id, *device, *inode);
	return strcmp(text, rebuilt) == 0 && *node_id != 0;
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

static void
stat_data_directory(struct stat *st)
{
	if (stat(DataDir, st) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not stat directory \"%s\": %m", DataDir)));
}

/* Make 'path' a node file of this data directory; durable when it returns. */
static void
write_node_file(const char *path, uint64 node_id, const struct stat *st)
{
	char		text[NODE_FILE_MAX_BYTES];
	int			length;
	CkpxOutput *output;

	length = node_text(text, node_id, (uint64) st->st_dev,
					   (uint64) st->st_ino);
	output = ckpx_output_create_at(path, "identity");
	PG_TRY();
	{
		ckpx_output_write(output, text, length);
		ckpx_output_publish(output);
	}
	PG_CATCH();
	{
		ckpx_output_abort(output);
		PG_RE_THROW();
	}
	PG_END_TRY();
}

uint64
ckpx_node_identity(bool *is_copy)
{
	struct stat st;
	char		path[MAXPGPATH];
	char	   *found;
	Size		length;
	uint64		node_id;
	uint64		device;
	uint64		inode;

	*is_copy = false;
	stat_data_directory(&st);
	snprintf(path, sizeof(path), "%s/%s", DataDir, CKPX_NODE_FILE);

	found = ckpx_read_file_at(path, MaxAllocSize - 1, &length);
	if (found != NULL)
	{
		bool		valid;

		valid = length < NODE_FILE_MAX_BYTES && strlen(found) == length &&
			node_parse(found, &node_id, &device, &inode);
		pfree(found);
		if (valid && device == (uint64) st.st_dev &&
			inode == (uint64) st.st_ino)
			return node_id;

		*is_copy = true;
		if (valid)
			ereport(LOG,
					(errmsg("data directory is a copy, ckpx gives it a new node identifier"),
					 errdetail("File \"%s\" is of another directory.", path)));
		else
			ereport(WARNING,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("file \"%s\" is damaged, ckpx gives this data directory a new node identifier",
							path)));
	}

	node_id = random_node_id();
	write_node_file(path, node_id, &st);
	return node_id;
}

/*
 * Several sessions may do this at once, so each has a file of its own until
 * it is whole.
 */
void
ckpx_node_stamp(const char *path)
{
	struct stat st;
	char		own_path[MAXPGPATH];

	stat_data_directory(&st);
	snprintf(own_path, sizeof(own_path), "%s.%d", path, MyProcPid);
	write_node_file(own_path, random_node_id(), &st);
	(void) durable_rename(own_path, path, ERROR);
}

/*
 * Read a node file without raising an error, in any process; false where it
 * is missing, unreadable or damaged.
 */
static bool
read_node_file(const char *path, uint64 *node_id, uint64 *device,
			   uint64 *inode)
{
	char		text[NODE_FILE_MAX_BYTES];
	ssize_t		length;
	int			fd = open(path, O_RDONLY | PG_BINARY, 0);

	if (fd < 0)
		return false;
	length = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (length < 0)
		return false;
	text[length] = '\0';
	return strlen(text) == length &&
		node_parse(text, node_id, device, inode);
}

bool
ckpx_node_is_foreign_stamp(const char *path)
{
	struct stat st;
	uint64		node_id;
	uint64		device;
	uint64		inode;

	return stat(DataDir, &st) == 0 &&
		read_node_file(path, &node_id, &device, &inode) &&
		!(device == (uint64) st.st_dev && inode == (uint64) st.st_ino);
}

uint64
ckpx_node_known_id(void)
{
	char		path[MAXPGPATH];
	uint64		node_id;
	uint64		device;
	uint64		inode;

	snprintf(path, sizeof(path), "%s/%s", DataDir, CKPX_NODE_FILE);
	if (!read_node_file(path, &node_id, &device, &inode) ||
		ckpx_node_is_foreign_stamp(path))
		return 0;
	return node_id;
}
