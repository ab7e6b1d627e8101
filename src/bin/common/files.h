/*-------------------------------------------------------------------------
 *
 * files.h
 *		Copying, syncing, locking and room on disk, for both programs.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BIN_FILES_H
#define CKPX_BIN_FILES_H

#include "postgres_fe.h"

typedef enum CopyMethod
{
	COPY_METHOD_READ,			/* read and write of 1 MB */
	COPY_METHOD_RANGE,			/* copy_file_range; read and write where the
								 * file systems do not have it */
	COPY_METHOD_CLONE			/* FICLONE, never replaced by a copy */
} CopyMethod;

/*
 * Copy 'length' bytes at the same offset; false with errno set: ENODATA where
 * the source is shorter, EOPNOTSUPP or EXDEV where it cannot be cloned.
 */
extern bool copy_bytes(int from, int to, uint64 offset, uint64 length,
					   CopyMethod method);

/* Copy a whole file. */
extern bool copy_file(int from, int to, CopyMethod method);

/* write() or pwrite() all of it; ENOSPC where nothing was written. */
extern bool write_all(int fd, const char *bytes, size_t length);
extern bool pwrite_all(int fd, const char *bytes, size_t length,
					   uint64 offset);

/*
 * The whole of a file that is open, with a zero byte behind it, in new memory;
 * NULL with errno set, EFBIG where it has more than 'max' bytes.
 */
extern char *read_whole_file(int fd, size_t max, size_t *length);

/* Bytes that are free to this user in the file system of an open directory. */
extern bool free_space(int dir, uint64 *bytes);

/* Are two open files, or directories, in one file system? */
extern bool same_file_system(int one, int other);

/*
 * Lock a file that is open for writing, until it is closed or the process
 * ends; lock_file() opens it in a directory, with O_CREAT in 'flags' if it is
 * to be made.  False with errno EAGAIN where another process has it.
 */
extern bool lock_descriptor(int fd);
extern bool lock_file(int dir, const char *name, int flags, int *fd);

/*
 * Remove a file, link, or directory with all that is in it, following no link.
 */
extern bool remove_tree(int parent, const char *name);

/*
 * fsync a directory tree, without what symbolic links lead to, nor files that
 * have other links, too.
 */
extern bool sync_tree(int dir);

/*
 * Is it the data directory of a server that runs, or that may have been
 * started since the directory was made as a backup?
 */
extern bool is_live_cluster(int dir);

#endif							/* CKPX_BIN_FILES_H */
