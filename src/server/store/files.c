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
 * error left open.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"
#include "server/base/fault.h"
#include "server/base/shared_state.h"
#include "server/base/wait_event.h"
#include "server/store/files.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#define OUTPUT_BUFFER_BYTES	(64 * 1024)

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

/*
 * Build the path of a file of the store.  The folder is set before anything
 * else uses it, and stays, so no lock is needed to read it.
 */
void
ckpx_store_path(char *path, const char *name)
{
	if (CkpxShared == NULL)
		ckpx_require_preload();
	if (CkpxShared->folder[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("ckpx has not started yet")));
	if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL)
		elog(ERROR, "file name \"%s\" leads out of the directory", name);
	if (snprintf(path, MAXPGPATH, "%s/%s", CkpxShared->folder, name) >= MAXPGPATH)
		ereport(ERROR,
				(errcode(ERRCODE_NAME_TOO_LONG),
				 errmsg("path of file \"%s\" in directory \"%s\" is too long",
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

/*
 * Create the temporary file of 'path'.  'what' names the fault points.
 */
CkpxOutput *
ckpx_output_create(const char *path, const char *what)
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

/* Hand bytes to the kernel. */
static void
output_write_out(CkpxOutput *output, const char *bytes, Size length)
{
	while (length > 0)
	{
		Size		piece = Min(length, CKPX_IO_PIECE_BYTES);
		ssize_t		done;

		CHECK_FOR_INTERRUPTS();
		output_fault(output, "write");

		errno = 0;
		pgstat_report_wait_start(ckpx_wait_event(CKPX_WAIT_FILE_WRITE));
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

/*
 * Write; the type is that of a CkpxObjectWrite callback.
 */
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

/*
 * Sync the file and give it its name, durably.
 */
void
ckpx_output_publish(CkpxOutput *output)
{
	int			fd = output->fd;
	int			rc;

	output_flush(output);

	output_fault(output, "fsync");
	pgstat_report_wait_start(ckpx_wait_event(CKPX_WAIT_FILE_SYNC));
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

/*
 * Close and remove the temporary file; 'closed': AtEOXact_Files() has closed
 * it.  Raises no error.
 */
void
ckpx_output_abort(CkpxOutput *output, bool closed)
{
	int			fd;

	pgstat_report_wait_end();
	if (output == NULL || output->published)
		return;

	fd = output->fd;
	output->fd = -1;
	if (fd >= 0 && !closed && CloseTransientFile(fd) != 0)
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

/*
 * Write a whole file and publish it.  On error nothing is left but perhaps,
 * see ckpx_output_publish(), the file itself.
 */
void
ckpx_write_file(const char *path, const char *bytes, Size length,
				const char *what)
{
	CkpxOutput *output = ckpx_output_create(path, what);

	PG_TRY();
	{
		ckpx_output_write(output, bytes, length);
		ckpx_output_publish(output);
	}
	PG_CATCH();
	{
		ckpx_output_abort(output, false);
		PG_RE_THROW();
	}
	PG_END_TRY();
}

/*
 * Read a whole file; NULL where it is not there.
 */
char *
ckpx_read_file_at(const char *path, Size max, Size *length)
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

	/* A zero byte behind it makes it a text. */
	bytes = MemoryContextAllocHuge(CurrentMemoryContext,
								   (Size) st.st_size + 1);
	while (offset < (Size) st.st_size)
	{
		ssize_t		done;

		CHECK_FOR_INTERRUPTS();
		pgstat_report_wait_start(ckpx_wait_event(CKPX_WAIT_FILE_READ));
		done = read(fd, bytes + offset,
					Min((Size) st.st_size - offset, CKPX_IO_PIECE_BYTES));
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

/*
 * The same for a file of the folder.
 */
char *
ckpx_read_file(const char *name, Size max, Size *length)
{
	char		path[MAXPGPATH];

	ckpx_store_path(path, name);
	return ckpx_read_file_at(path, max, length);
}

/*
 * Remove a file of the folder; trouble is reported at 'elevel', a missing file
 * is none.
 */
void
ckpx_remove_file(const char *name, int elevel)
{
	char		path[MAXPGPATH];

	ckpx_store_path(path, name);
	if (unlink(path) != 0 && errno != ENOENT)
		ereport(elevel,
				(errcode_for_file_access(),
				 errmsg("could not remove file \"%s\": %m", path)));
}

static int
compare_files(const ListCell *a, const ListCell *b)
{
	const CkpxStoreFile *left = lfirst(a);
	const CkpxStoreFile *right = lfirst(b);

	return strcmp(left->file, right->file);
}

/*
 * List the files of ours of a type, or of all types.
 */
List *
ckpx_list_files(CkpxNameType type)
{
	List	   *files = NIL;
	DIR		   *dir;
	struct dirent *de;

	if (CkpxShared == NULL)
		ckpx_require_preload();
	if (CkpxShared->folder[0] == '\0')
		return NIL;
	dir = AllocateDir(CkpxShared->folder);
	while ((de = ReadDir(dir, CkpxShared->folder)) != NULL)
	{
		CkpxName	name;
		CkpxStoreFile *file;

		CHECK_FOR_INTERRUPTS();
		ckpx_parse_name(de->d_name, &name);
		if (name.type == CKPX_NAME_UNKNOWN ||
			(type != CKPX_NAME_UNKNOWN && name.type != type))
			continue;
		file = palloc(sizeof(CkpxStoreFile));
		file->name = name;
		strlcpy(file->file, de->d_name, CKPX_NAME_MAX);
		files = lappend(files, file);
	}
	FreeDir(dir);
	list_sort(files, compare_files);
	return files;
}

/*
 * Add up the sizes of the files of ours.
 */
uint64
ckpx_directory_bytes(void)
{
	List	   *files = ckpx_list_files(CKPX_NAME_UNKNOWN);
	ListCell   *cell;
	uint64		bytes = 0;

	foreach(cell, files)
	{
		const CkpxStoreFile *file = lfirst(cell);
		char		path[MAXPGPATH];
		struct stat st;

		CHECK_FOR_INTERRUPTS();
		ckpx_store_path(path, file->file);
		if (stat(path, &st) == 0)
			bytes += st.st_size;
		else if (errno != ENOENT)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not stat file \"%s\": %m", path)));
	}
	list_free_deep(files);
	return bytes;
}
