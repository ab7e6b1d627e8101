/*-------------------------------------------------------------------------
 *
 * files.c
 *		The store's folder: durable writing, bounded reading, removal.
 *
 * Writing.  If we die before the rename, a temporary file is left, which no
 * one reads; if we die after it, the file is whole, because it was synced
 * under its temporary name.  Whether the new name itself has reached the disk
 * is certain only when ckpx_output_publish() has returned: after an error
 * from it the file may be there or not.
 *
 * A failed fsync is an ordinary error here, not a panic: the file is thrown
 * away and written anew by the next attempt, from what is in memory, so
 * nothing is lost when the kernel forgets the dirty pages.
 *
 * Descriptors are those of OpenTransientFile(), so that the end of a
 * transaction, or AtEOXact_Files() in a worker's error block, closes what an
 * error left open.  An object keeps the descriptors of all its parts while it
 * is read: it then stays readable when the files are removed meanwhile.
 *
 * Long work is cut into pieces of a megabyte with a look at interrupts
 * between them.
 *
 *-------------------------------------------------------------------------
 */
#include "server/compat.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file_perm.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "port/pg_crc32c.h"
#include "server/fault.h"
#include "server/files.h"
#include "server/options.h"
#include "server/shared_state.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#define OUTPUT_BUFFER_BYTES	(64 * 1024)
#define IO_PIECE_BYTES		(1024 * 1024)
#define NODE_FILE_MAX_BYTES	1024

/* More parts than any object has; a bound for a damaged one. */
#define MAX_PARTS			65536

struct CkpxOutput
{
	int			fd;				/* -1: closed */
	bool		published;
	const char *what;
	uint64		total;			/* given to us */
	uint64		written;		/* to the file */
	Size		buffered;
	char	   *buffer;
	char		temporary[MAXPGPATH];
	char		path[MAXPGPATH];
};

/* One file of an object. */
typedef struct ObjectPart
{
	int			fd;				/* -1: not open */
	int			read_errno;		/* of a read that failed */
	uint64		size;
	CkpxObjectReader *reader;	/* NULL: not opened */
	char		name[CKPX_NAME_MAX];
	char		path[MAXPGPATH];
} ObjectPart;

struct CkpxObjectFile
{
	MemoryContext context;
	uint32		nparts;
	ObjectPart **parts;
	uint32		current;		/* the part that _next is in */
	bool		part_begun;		/* a record of it was returned */
	bool		any_key;
	CkpxRelKey	last_key;
};

/*
 * Build the path of a file of the store.  The folder is set before anything
 * else uses it, and stays, so no lock is needed to read it.
 */
static void
store_path(char *path, const char *name)
{
	if (CkpxShared == NULL)
		ckpx_require_preload();
	if (CkpxShared->folder[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("ckpx has not started yet")));
	if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL)
		elog(ERROR, "file name \"%s\" leads out of the folder", name);
	if (snprintf(path, MAXPGPATH, "%s/%s", CkpxShared->folder, name) >= MAXPGPATH)
		ereport(ERROR,
				(errcode(ERRCODE_NAME_TOO_LONG),
				 errmsg("path of file \"%s\" in folder \"%s\" is too long",
						name, CkpxShared->folder)));
}

/* A fault point whose name depends on what is written. */
static void
output_fault(const CkpxOutput *output, const char *step)
{
	char		name[64];

	if (likely(ckpx_fault_active == NULL ||
			   pg_atomic_read_u32(ckpx_fault_active) == 0))
		return;
	snprintf(name, sizeof(name), "%s-%s", output->what, step);
	ckpx_fault_fire(name);
}

/* ------------------------------------------------------------
 * Writing
 * ------------------------------------------------------------
 */

static CkpxOutput *
output_create(const char *path, const char *what)
{
	CkpxOutput *output = palloc0(sizeof(CkpxOutput));

	output->fd = -1;
	output->what = what;
	output->buffer = palloc(OUTPUT_BUFFER_BYTES);
	strlcpy(output->path, path, MAXPGPATH);
	if (snprintf(output->temporary, MAXPGPATH, "%s.tmp", path) >= MAXPGPATH)
		ereport(ERROR,
				(errcode(ERRCODE_NAME_TOO_LONG),
				 errmsg("path \"%s.tmp\" is too long", path)));

	output_fault(output, "create");
	output->fd = OpenTransientFile(output->temporary,
								   O_WRONLY | O_CREAT | O_TRUNC | PG_BINARY);
	if (output->fd < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not create file \"%s\": %m",
						output->temporary)));
	return output;
}

CkpxOutput *
ckpx_output_create(const char *name, const char *what)
{
	char		path[MAXPGPATH];

	store_path(path, name);
	return output_create(path, what);
}

/* Hand bytes to the kernel. */
static void
output_write_out(CkpxOutput *output, const char *bytes, Size length)
{
	while (length > 0)
	{
		Size		piece = Min(length, IO_PIECE_BYTES);
		ssize_t		done;

		CHECK_FOR_INTERRUPTS();
		output_fault(output, "write");

		errno = 0;
		pgstat_report_wait_start(PG_WAIT_EXTENSION);
		done = write(output->fd, bytes, piece);
		pgstat_report_wait_end();

		if (done < 0 && errno == EINTR)
			continue;
		if (done != (ssize_t) piece)
		{
			/* A short write without a reason means a full disk. */
			if (done >= 0 || errno == 0)
				errno = ENOSPC;
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not write file \"%s\": %m",
							output->temporary)));
		}

#ifdef HAVE_SYNC_FILE_RANGE

		/*
		 * Let the kernel begin now, so that the fsync at the end is short:
		 * while it runs, WAL on the same disk waits.  An error shows there.
		 */
		if (enableFsync && piece >= OUTPUT_BUFFER_BYTES)
			(void) sync_file_range(output->fd, output->written, piece,
								   SYNC_FILE_RANGE_WRITE);
#endif
		output->written += piece;
		bytes += piece;
		length -= piece;
	}
}

static void
output_flush(CkpxOutput *output)
{
	Size		buffered = output->buffered;

	output->buffered = 0;
	output_write_out(output, output->buffer, buffered);
}

/* Write; the type of 'arg' is that of a CkpxObjectWrite callback. */
void
ckpx_output_write(void *arg, const char *bytes, Size length)
{
	CkpxOutput *output = arg;

	output->total += length;
	if (length >= OUTPUT_BUFFER_BYTES)
	{
		output_flush(output);
		output_write_out(output, bytes, length);
		return;
	}
	if (length > OUTPUT_BUFFER_BYTES - output->buffered)
		output_flush(output);
	memcpy(output->buffer + output->buffered, bytes, length);
	output->buffered += length;
}

uint64
ckpx_output_bytes(const CkpxOutput *output)
{
	return output->total;
}

void
ckpx_output_publish(CkpxOutput *output)
{
	int			fd = output->fd;
	int			rc;

	output_flush(output);

	output_fault(output, "fsync");
	pgstat_report_wait_start(PG_WAIT_EXTENSION);
	rc = pg_fsync(fd);
	pgstat_report_wait_end();
	if (rc != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not fsync file \"%s\": %m",
						output->temporary)));

	/* Whatever closing says, the descriptor is gone. */
	output->fd = -1;
	if (CloseTransientFile(fd) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not close file \"%s\": %m",
						output->temporary)));

	output_fault(output, "rename");
	(void) durable_rename(output->temporary, output->path, ERROR);
	output->published = true;
	output_fault(output, "renamed");

	/* The struct stays, so that an abort after this does no harm. */
	pfree(output->buffer);
	output->buffer = NULL;
}

void
ckpx_output_abort(CkpxOutput *output)
{
	int			fd;

	pgstat_report_wait_end();
	if (output == NULL || output->published)
		return;

	fd = output->fd;
	output->fd = -1;
	if (fd >= 0 && CloseTransientFile(fd) != 0)
		ereport(WARNING,
				(errcode_for_file_access(),
				 errmsg("could not close file \"%s\": %m",
						output->temporary)));
	if (unlink(output->temporary) != 0 && errno != ENOENT)
		ereport(WARNING,
				(errcode_for_file_access(),
				 errmsg("could not remove file \"%s\": %m",
						output->temporary)));
}

/* ------------------------------------------------------------
 * Whole files
 * ------------------------------------------------------------
 */

static char *
read_whole_file(const char *path, Size max, Size *length)
{
	struct stat st;
	char	   *bytes;
	Size		offset = 0;
	int			fd;

	fd = OpenTransientFile(path, O_RDONLY | PG_BINARY);
	if (fd < 0)
	{
		if (errno == ENOENT)
			return NULL;
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\": %m", path)));
	}
	if (fstat(fd, &st) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not stat file \"%s\": %m", path)));
	if (!S_ISREG(st.st_mode))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a regular file", path)));
	if ((uint64) st.st_size > max)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("file \"%s\" is too large", path),
				 errdetail("It has %lld bytes, at most %zu are possible.",
						   (long long) st.st_size, max)));

	/* A zero byte behind it, for whoever takes it as text. */
	bytes = MemoryContextAllocHuge(CurrentMemoryContext,
								   (Size) st.st_size + 1);
	while (offset < (Size) st.st_size)
	{
		ssize_t		done;

		CHECK_FOR_INTERRUPTS();
		pgstat_report_wait_start(PG_WAIT_EXTENSION);
		done = read(fd, bytes + offset,
					Min((Size) st.st_size - offset, IO_PIECE_BYTES));
		pgstat_report_wait_end();
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not read file \"%s\": %m", path)));
		if (done == 0)
			break;
		offset += done;
	}
	bytes[offset] = '\0';
	*length = offset;

	(void) CloseTransientFile(fd);
	return bytes;
}

char *
ckpx_read_file(const char *name, Size max, Size *length)
{
	char		path[MAXPGPATH];

	store_path(path, name);
	return read_whole_file(path, max, length);
}

static void
remove_file(const char *name, int elevel)
{
	char		path[MAXPGPATH];

	store_path(path, name);
	if (unlink(path) != 0 && errno != ENOENT)
		ereport(elevel,
				(errcode_for_file_access(),
				 errmsg("could not remove file \"%s\": %m", path)));
}

void
ckpx_remove_file(const char *name)
{
	remove_file(name, ERROR);
}

void
ckpx_remove_file_quietly(const char *name)
{
	remove_file(name, WARNING);
}

/* The names in the folder, in ascending order. */
static int
compare_names(const ListCell *a, const ListCell *b)
{
	return strcmp(lfirst(a), lfirst(b));
}

static List *
list_names(void)
{
	List	   *names = NIL;
	DIR		   *dir;
	struct dirent *de;

	if (CkpxShared == NULL)
		ckpx_require_preload();
	if (CkpxShared->folder[0] == '\0')
		return NIL;
	dir = AllocateDir(CkpxShared->folder);
	while ((de = ReadDir(dir, CkpxShared->folder)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
			names = lappend(names, pstrdup(de->d_name));
	}
	FreeDir(dir);
	list_sort(names, compare_names);
	return names;
}

void
ckpx_list_files(void (*visit) (const char *name, void *arg), void *arg)
{
	List	   *names = list_names();
	ListCell   *cell;

	foreach(cell, names)
		visit(lfirst(cell), arg);
	list_free_deep(names);
}

uint64
ckpx_directory_bytes(void)
{
	List	   *names = list_names();
	ListCell   *cell;
	uint64		bytes = 0;

	foreach(cell, names)
	{
		CkpxName	parsed;
		char		path[MAXPGPATH];
		struct stat st;

		CHECK_FOR_INTERRUPTS();
		ckpx_parse_name(lfirst(cell), &parsed);
		if (parsed.type == CKPX_NAME_UNKNOWN)
			continue;
		store_path(path, lfirst(cell));
		if (stat(path, &st) == 0)
			bytes += st.st_size;
		else if (errno != ENOENT)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not stat file \"%s\": %m", path)));
	}
	list_free_deep(names);
	return bytes;
}

/* ------------------------------------------------------------
 * The folder and the node
 * ------------------------------------------------------------
 */

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
ckpx_folder_lock(void)
{
	/* Kept open: the lock goes with the process. */
	static int	lock_fd = -1;
	static char locked_path[MAXPGPATH];
	char		path[MAXPGPATH];
	struct flock lock;
	int			fd;
	int			save_errno;

	store_path(path, CKPX_LOCK_FILE);
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

uint64
ckpx_node_identity(bool *is_copy)
{
	struct stat st;
	char		path[MAXPGPATH];
	char		text[NODE_FILE_MAX_BYTES];
	char	   *found;
	Size		length;
	uint64		node_id;
	uint64		device;
	uint64		inode;
	CkpxOutput *output;

	*is_copy = false;
	if (stat(DataDir, &st) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not stat directory \"%s\": %m", DataDir)));
	snprintf(path, sizeof(path), "%s/%s", DataDir, CKPX_NODE_FILE);

	found = read_whole_file(path, MaxAllocSize - 1, &length);
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

	do
	{
		if (!pg_strong_random(&node_id, sizeof(node_id)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not generate a random node identifier")));
	} while (node_id == 0);

	length = node_text(text, node_id, (uint64) st.st_dev, (uint64) st.st_ino);
	output = output_create(path, "identity");
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
	return node_id;
}

/* ------------------------------------------------------------
 * Objects
 * ------------------------------------------------------------
 */

/* CkpxObjectRead callback. */
static bool
read_part(void *arg, uint64 offset, char *bytes, Size length)
{
	ObjectPart *part = arg;

	while (length > 0)
	{
		ssize_t		done;

		CHECK_FOR_INTERRUPTS();
		pgstat_report_wait_start(PG_WAIT_EXTENSION);
		done = pg_pread(part->fd, bytes, Min(length, IO_PIECE_BYTES),
						(off_t) offset);
		pgstat_report_wait_end();
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
		{
			/* A bad sector is damage like any other. */
			part->read_errno = errno;
			if (errno == EIO)
				return false;
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not read file \"%s\": %m", part->path)));
		}
		if (done == 0)
			return false;
		offset += done;
		bytes += done;
		length -= done;
	}
	return true;
}

/* What is wrong with a part, as a palloc'd sentence that names the file. */
static char *
part_problem(const ObjectPart *part, const char *problem)
{
	if (part->read_errno != 0)
		return psprintf("Could not read file \"%s\": %s.", part->path,
						strerror(part->read_errno));
	return psprintf("File \"%s\": %s.", part->path,
					problem != NULL ? problem : "unknown problem");
}

/*
 * Close one part.  Its descriptor may have been closed by the end of a
 * transaction, but then nobody gets here any more.
 */
static void
part_close(ObjectPart *part)
{
	if (part->reader != NULL)
		ckpx_object_close(part->reader);
	part->reader = NULL;
	if (part->fd >= 0)
		(void) CloseTransientFile(part->fd);
	part->fd = -1;
}

/* Is this a file of our cluster?  NULL, or what is wrong. */
static const char *
identity_problem(const CkpxIdentity *found)
{
	CkpxIdentity own;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	own = CkpxShared->identity;
	LWLockRelease(CkpxShared->lock);

	/*
	 * The node identifier is another one in what a copy has taken over, and
	 * what a later epoch changed (checksums, WAL segment size) does not make
	 * an older object wrong.
	 */
	if (own.system_identifier == 0)
		return NULL;
	if (found->system_identifier != own.system_identifier)
		return "it belongs to another cluster";
	if (found->pg_major != own.pg_major)
		return "it belongs to another major version of PostgreSQL";
	if (found->block_size != own.block_size ||
		found->segment_blocks != own.segment_blocks)
		return "it was written with another block or segment size";
	return NULL;
}

/* Does a part's header say what the name says?  NULL, or what is wrong. */
static const char *
header_problem(const CkpxObjectHeader *header, const CkpxEntry *entry,
			   uint32 part)
{
	if (header->kind != entry->kind)
		return "it is an object of another kind";
	if (header->epoch != entry->epoch)
		return "it is of another epoch";
	if (header->timeline != entry->timeline)
		return "it is of another timeline";
	if (header->start_lsn != entry->start_lsn ||
		header->end_lsn != entry->end_lsn)
		return "it is of another range";
	if (header->part != part)
		return "it is another part";
	if (entry->version != 0 && header->version != entry->version)
		return "it has another format version than its entry";
	return identity_problem(&header->identity);
}

/*
 * Parts left by an earlier attempt must not be taken for parts of this
 * object: every header but its part number comes from one writing.
 */
static const char *
siblings_problem(const CkpxObjectHeader *a, const CkpxObjectHeader *b)
{
	if (a->written_at != b->written_at || a->created_at != b->created_at ||
		a->identity.node_id != b->identity.node_id ||
		a->last_record.start != b->last_record.start ||
		a->last_record.crc != b->last_record.crc ||
		a->last_change_lsn != b->last_change_lsn)
		return "it was not written together with the first part";
	return NULL;
}

/*
 * Open part 'number' and verify everything but its sections.  False with
 * *problem set, which is NULL where the file is not there.
 */
static bool
part_open(CkpxObjectFile *file, const CkpxEntry *entry, uint32 number,
		  char **problem)
{
	ObjectPart *part;
	struct stat st;
	const char *text = NULL;

	part = palloc0(sizeof(ObjectPart));
	part->fd = -1;
	ckpx_object_name(part->name, entry->kind, entry->epoch, entry->timeline,
					 entry->start_lsn, entry->end_lsn, number);
	store_path(part->path, part->name);

	file->parts = file->nparts == 0 ? palloc(sizeof(ObjectPart *)) :
		repalloc(file->parts, sizeof(ObjectPart *) * (file->nparts + 1));
	file->parts[file->nparts++] = part;

	*problem = NULL;
	part->fd = OpenTransientFile(part->path, O_RDONLY | PG_BINARY);
	if (part->fd < 0)
	{
		if (errno == ENOENT)
			return false;
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\": %m", part->path)));
	}
	if (fstat(part->fd, &st) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not stat file \"%s\": %m", part->path)));
	if (!S_ISREG(st.st_mode))
		text = "it is not a regular file";
	else
	{
		part->size = st.st_size;
		part->reader = ckpx_object_open(file->context, read_part, part,
										part->size, &text);
		if (part->reader != NULL)
		{
			const CkpxObjectHeader *header = ckpx_object_header(part->reader);

			text = header_problem(header, entry, number);
			if (text == NULL && number > 0)
				text = siblings_problem(ckpx_object_header(file->parts[0]->reader),
										header);
			if (text == NULL)
				return true;
		}
	}
	*problem = part_problem(part, text);
	return false;
}

/*
 * Open all parts.  False with *problem set, NULL where the first part is not
 * there.  Where the entry knows how many parts and bytes there are, both must
 * agree.
 */
static bool
parts_open(CkpxObjectFile *file, const CkpxEntry *entry, char **problem)
{
	uint64		size = 0;

	for (uint32 number = 0;; number++)
	{
		ObjectPart *part;

		CHECK_FOR_INTERRUPTS();
		if (number >= MAX_PARTS)
		{
			*problem = psprintf("File \"%s\": there is no last part.",
								file->parts[0]->path);
			return false;
		}
		if (!part_open(file, entry, number, problem))
		{
			if (*problem == NULL && number > 0)
				*problem = psprintf("File \"%s\" is missing.",
									file->parts[number]->path);
			return false;
		}
		part = file->parts[number];
		size += part->size;
		if (ckpx_object_totals(part->reader)->last_part)
			break;
	}
	if (entry->nparts != 0 && entry->nparts != file->nparts)
	{
		*problem = psprintf("File \"%s\": the object has %u parts instead of %u.",
							file->parts[0]->path, file->nparts, entry->nparts);
		return false;
	}
	if (entry->size_bytes != 0 && entry->size_bytes != size)
	{
		*problem = psprintf("File \"%s\": the object has " UINT64_FORMAT " bytes instead of " UINT64_FORMAT ".",
							file->parts[0]->path, size, entry->size_bytes);
		return false;
	}
	return true;
}

static CkpxObjectFile *
object_file_create(void)
{
	CkpxObjectFile *file = palloc0(sizeof(CkpxObjectFile));

	file->context = CurrentMemoryContext;
	return file;
}

void
ckpx_object_file_close(CkpxObjectFile *file)
{
	for (uint32 i = 0; i < file->nparts; i++)
	{
		part_close(file->parts[i]);
		pfree(file->parts[i]);
	}
	if (file->parts != NULL)
		pfree(file->parts);
	pfree(file);
}

static void
damaged(const char *name, const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("checkpoint object \"%s\" is damaged", name),
			 errdetail("%s", problem)));
}

CkpxObjectFile *
ckpx_object_file_open(const CkpxEntry *entry, bool missing_ok)
{
	CkpxObjectFile *file = object_file_create();
	char	   *problem;

	if (parts_open(file, entry, &problem))
		return file;

	if (problem == NULL && missing_ok)
	{
		ckpx_object_file_close(file);
		return NULL;
	}
	if (problem == NULL)
	{
		char		path[MAXPGPATH];

		strlcpy(path, file->parts[0]->path, MAXPGPATH);
		ckpx_object_file_close(file);
		errno = ENOENT;
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\": %m", path)));
	}
	else
	{
		char		name[CKPX_NAME_MAX];

		strlcpy(name, file->parts[0]->name, CKPX_NAME_MAX);
		ckpx_object_file_close(file);
		damaged(name, problem);
	}
	return NULL;				/* not reached */
}

const CkpxObjectHeader *
ckpx_object_file_header(CkpxObjectFile *file)
{
	return ckpx_object_header(file->parts[0]->reader);
}

bool
ckpx_object_file_next(CkpxObjectFile *file, CkpxRelationView *view)
{
	while (file->current < file->nparts)
	{
		ObjectPart *part = file->parts[file->current];
		const char *problem = NULL;

		if (ckpx_object_next(part->reader, view, &problem))
		{
			/* Within a part the reader sees to the order. */
			if (!file->part_begun && file->any_key &&
				ckpx_rel_key_compare(&file->last_key, &view->key) >= 0)
				damaged(part->name,
						part_problem(part, "its relations do not continue those of the part before it"));
			file->part_begun = true;
			file->any_key = true;
			file->last_key = view->key;
			return true;
		}
		if (problem != NULL)
			damaged(part->name, part_problem(part, problem));
		file->current++;
		file->part_begun = false;
	}
	return false;
}

/*
 * Every part is asked: that costs no reading where the key lies outside it,
 * and nothing can be missed.
 */
bool
ckpx_object_file_find_since(CkpxObjectFile *file, const CkpxRelKey *key,
							XLogRecPtr lsn, CkpxRelation *relation)
{
	bool		found = false;

	for (uint32 i = 0; i < file->nparts; i++)
	{
		ObjectPart *part = file->parts[i];
		const char *problem = NULL;
		bool		here = false;

		if (!ckpx_object_find_since(part->reader, key, lsn, relation, &here,
									&problem))
			damaged(part->name, part_problem(part, problem));
		found = found || here;
	}
	return found;
}

bool
ckpx_object_file_find(CkpxObjectFile *file, const CkpxRelKey *key,
					  CkpxRelation *relation)
{
	return ckpx_object_file_find_since(file, key, InvalidXLogRecPtr,
									   relation);
}

/*
 * At the end of a part _next is asked all the same: that is where its totals
 * are verified, and it goes on to the next part.
 */
bool
ckpx_object_file_peek(CkpxObjectFile *file, CkpxRelKey *key)
{
	while (file->current < file->nparts)
	{
		ObjectPart *part = file->parts[file->current];
		CkpxRelationView view;
		const char *problem = NULL;

		if (ckpx_object_peek(part->reader, key))
			return true;
		if (ckpx_object_next(part->reader, &view, &problem))
			problem = "a record came from nowhere";
		if (problem != NULL)
			damaged(part->name, part_problem(part, problem));
		file->current++;
		file->part_begun = false;
	}
	return false;
}

XLogRecPtr
ckpx_object_file_tombstones_from(CkpxObjectFile *file)
{
	XLogRecPtr	lsn = InvalidXLogRecPtr;

	for (uint32 i = 0; i < file->nparts; i++)
		lsn = Max(lsn,
				  ckpx_object_totals(file->parts[i]->reader)->tombstones_from);
	return lsn;
}

/*
 * Open an object, and close it again, for its header and totals.
 */
static bool
object_file_examine(const CkpxEntry *expected, CkpxEntry *entry,
					char **problem)
{
	MemoryContext context;
	MemoryContext oldcontext;
	CkpxObjectFile *file;
	char	   *text = NULL;
	bool		valid;

	context = AllocSetContextCreate(CurrentMemoryContext,
									"ckpx object check",
									ALLOCSET_DEFAULT_SIZES);
	oldcontext = MemoryContextSwitchTo(context);
	file = object_file_create();
	valid = parts_open(file, expected, &text);

	if (!valid && text == NULL)
		text = psprintf("File \"%s\" is missing.", file->parts[0]->path);
	if (valid && entry != NULL)
	{
		const CkpxObjectHeader *header = ckpx_object_file_header(file);

		memset(entry, 0, sizeof(CkpxEntry));
		entry->kind = header->kind;
		entry->state = CKPX_ENTRY_FINISHED;
		entry->epoch = header->epoch;
		entry->timeline = header->timeline;
		entry->start_lsn = header->start_lsn;
		entry->end_lsn = header->end_lsn;
		entry->last_record = header->last_record;
		entry->last_change_lsn = header->last_change_lsn;
		entry->truncate_lsn = header->truncate_lsn;
		entry->nxacts = header->nxacts;
		entry->wal_bytes = header->wal_bytes;
		memcpy(entry->custom_rmgrs, header->custom_rmgrs,
			   CKPX_RMGR_BITMAP_BYTES);
		entry->version = header->version;
		entry->open_xacts = header->nopen_xacts;
		entry->created_at = header->created_at;
		entry->finished_at = header->written_at;
		entry->nparts = file->nparts;
		for (uint32 i = 0; i < file->nparts; i++)
		{
			const CkpxObjectTotals *totals;

			totals = ckpx_object_totals(file->parts[i]->reader);
			entry->nrelations += totals->nrelations;
			entry->nblocks += totals->nblocks;
			entry->undurable += totals->undurable;
			entry->size_bytes += file->parts[i]->size;
		}
	}

	MemoryContextSwitchTo(oldcontext);
	if (!valid)
		*problem = pstrdup(text);
	ckpx_object_file_close(file);
	MemoryContextDelete(context);
	return valid;
}

bool
ckpx_object_file_check(const CkpxEntry *entry, char **problem)
{
	return object_file_examine(entry, NULL, problem);
}

bool
ckpx_object_file_probe(const char *name, CkpxEntry *entry, char **problem)
{
	CkpxEntry	expected;
	CkpxName	parsed;

	ckpx_parse_name(name, &parsed);
	if (parsed.type != CKPX_NAME_OBJECT || parsed.part != 0)
	{
		*problem = psprintf("\"%s\" is not the name of a checkpoint object.",
							name);
		return false;
	}
	memset(&expected, 0, sizeof(expected));
	expected.kind = parsed.kind;
	expected.epoch = parsed.epoch;
	expected.timeline = parsed.timeline;
	expected.start_lsn = parsed.start_lsn;
	expected.end_lsn = parsed.end_lsn;
	return object_file_examine(&expected, entry, problem);
}
