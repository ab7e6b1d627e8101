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
	COPY_METHOD_RANGE,			/* copy_file_range */
	COPY_METHOD_CLONE			/* FICLONE */
} CopyMethod;

/* Copy 'length' bytes at the same offset; false with errno set. */
extern bool copy_bytes(int from, int to, uint64 offset, uint64 length,
					   CopyMethod method);

/* Copy a whole file; a clone is tried as such and not replaced by a copy. */
extern bool copy_file(int from, int to, CopyMethod method);

/* write() or pwrite() all of it; ENOSPC where nothing was written. */
extern bool write_all(int fd, const char *bytes, size_t length);
extern bool pwrite_all(int fd, const char *bytes, size_t length,
					   uint64 offset);

/* Bytes that are free to this user in the file system of an open directory. */
extern bool free_space(int dir, uint64 *bytes);

/*
 * Lock 'name' in an open directory (fcntl, until the process ends) and leave
 * it open.  False with errno EAGAIN where another process has it.
 */
extern bool lock_file(int dir, const char *name, int *fd);

/* Remove a directory with all that is in it, following no link. */
extern bool remove_tree(int parent, const char *name);

/* fsync a directory tree, file systems of links not included. */
extern bool sync_tree(int dir);

/* Is it the data directory of a server that runs, or may have run since? */
extern bool is_live_cluster(int dir);

#endif							/* CKPX_BIN_FILES_H */
