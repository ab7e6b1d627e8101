/*-------------------------------------------------------------------------
 *
 * files.c
 *		Copying, syncing, locking and room on disk, for both programs.
 *
 * Every name is opened in a directory that is open, with O_NOFOLLOW.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/common/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/fs.h>
#endif

#include "common/file_perm.h"

#define COPY_BYTES		(1024 * 1024)

static void
close_keeping_errno(int fd)
{
	int			save_errno = errno;

	close(fd);
	errno = save_errno;
}

/* write() all of it. */
bool
write_all(int fd, const char *bytes, size_t length)
{
	while (length > 0)
	{
		ssize_t		written = write(fd, bytes, length);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
		{
			/* nothing written and no error: there is no room */
			if (written == 0)
				errno = ENOSPC;
			return false;
		}
		bytes += written;
		length -= written;
	}
	return true;
}

/* pwrite() all of it. */
bool
pwrite_all(int fd, const char *bytes, size_t length, uint64 offset)
{
	while (length > 0)
	{
		ssize_t		written = pwrite(fd, bytes, length, (off_t) offset);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
		{
			if (written == 0)
				errno = ENOSPC;
			return false;
		}
		bytes += written;
		length -= written;
		offset += written;
	}
	return true;
}

/* Copy by reading and writing. */
static bool
copy_by_read(int from, int to, uint64 offset, uint64 length)
{
	char	   *buffer = pg_malloc(Max(Min(length, COPY_BYTES), 1));
	bool		ok = true;

	while (length > 0 && ok)
	{
		ssize_t		n = pread(from, buffer, Min(length, COPY_BYTES),
							  (off_t) offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			errno = ENODATA;
		ok = n > 0 && pwrite_all(to, buffer, n, offset);
		if (ok)
		{
			offset += n;
			length -= n;
		}
	}
	pg_free(buffer);
	return ok;
}

/* Let the kernel copy, as far as it can. */
static bool
copy_by_range(int from, int to, uint64 offset, uint64 length)
{
#ifdef __linux__
	off_t		at_from = (off_t) offset;
	off_t		at_to = (off_t) offset;

	while (length > 0)
	{
		ssize_t		n = copy_file_range(from, &at_from, to, &at_to,
										Min(length, (uint64) 1 << 30), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EXDEV && errno != EINVAL &&
			errno != ENOSYS && errno != EOPNOTSUPP)
			return false;

		/* some file systems say 0 though there is more */
		if (n <= 0)
			break;
		length -= n;
	}
	offset = (uint64) at_from;
#endif
	return copy_by_read(from, to, offset, length);
}

/* Copy bytes to the same place in another file. */
bool
copy_bytes(int from, int to, uint64 offset, uint64 length, CopyMethod method)
{
	switch (method)
	{
		case COPY_METHOD_READ:
			return copy_by_read(from, to, offset, length);
		case COPY_METHOD_RANGE:
			return copy_by_range(from, to, offset, length);
		case COPY_METHOD_CLONE:
			break;
	}
#ifdef FICLONERANGE
	{
		struct file_clone_range range = {
			.src_fd = from,.src_offset = offset,.src_length = length,
			.dest_offset = offset
		};

		return length == 0 || ioctl(to, FICLONERANGE, &range) == 0;
	}
#else
	errno = EOPNOTSUPP;
	return false;
#endif
}

/* Copy a whole file. */
bool
copy_file(int from, int to, CopyMethod method)
{
	struct stat st;

	if (fstat(from, &st) != 0)
		return false;
#ifdef FICLONE
	if (method == COPY_METHOD_CLONE)
		return ioctl(to, FICLONE, from) == 0;
#endif
	return copy_bytes(from, to, 0, st.st_size, method);
}

/* Read the whole of a file that is open. */
char *
read_whole_file(int fd, size_t max, size_t *length)
{
	struct stat st;
	char	   *bytes;
	size_t		n = 0;

	if (fstat(fd, &st) != 0)
		return NULL;
	if (st.st_size > max)
	{
		errno = EFBIG;
		return NULL;
	}
	bytes = pg_malloc(st.st_size + 1);
	while (n < st.st_size)
	{
		ssize_t		got = pread(fd, bytes + n, st.st_size - n, n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
		{
			pg_free(bytes);
			return NULL;
		}
		if (got == 0)
			break;
		n += got;
	}
	bytes[n] = '\0';
	*length = n;
	return bytes;
}

/* Bytes that are free to this user. */
bool
free_space(int dir, uint64 *bytes)
{
	struct statvfs st;

	if (fstatvfs(dir, &st) != 0)
		return false;
	*bytes = (uint64) st.f_bavail * st.f_frsize;
	return true;
}

/* Are both in one file system? */
bool
same_file_system(int one, int other)
{
	struct stat st;
	struct stat other_st;

	return fstat(one, &st) == 0 && fstat(other, &other_st) == 0 &&
		st.st_dev == other_st.st_dev;
}

/*
 * Lock an open file.  A lock of the process would go when any descriptor of
 * the file is closed, such as one that was synced, so it is taken only where
 * there is no other: a kernel without locks of open files says EINVAL.
 */
bool
lock_descriptor(int fd)
{
	struct flock lock = {.l_type = F_WRLCK,.l_whence = SEEK_SET};

#ifdef F_OFD_SETLK
	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return true;
	if (errno == EINVAL)
#endif
		if (fcntl(fd, F_SETLK, &lock) == 0)
			return true;
	if (errno == EACCES)
		errno = EAGAIN;
	return false;
}

/* Open a file, or make it with O_CREAT in 'flags', and lock it. */
bool
lock_file(int dir, const char *name, int flags, int *fd)
{
	*fd = openat(dir, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | flags,
				 pg_file_create_mode);
	if (*fd < 0)
		return false;
	if (lock_descriptor(*fd))
		return true;
	close_keeping_errno(*fd);
	*fd = -1;
	return false;
}

/* Open a directory, in which nothing was read, for readdir(). */
static DIR *
open_list(int parent, const char *name)
{
	int			fd = openat(parent, name,
							O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR		   *list = fd < 0 ? NULL : fdopendir(fd);

	if (list == NULL && fd >= 0)
		close_keeping_errno(fd);
	return list;
}

/* The next name but "." and "..", or NULL with errno set, or 0 at the end. */
static const char *
next_name(DIR *list)
{
	struct dirent *entry;

	do
	{
		errno = 0;
		entry = readdir(list);
	} while (entry != NULL && (strcmp(entry->d_name, ".") == 0 ||
							   strcmp(entry->d_name, "..") == 0));
	return entry == NULL ? NULL : entry->d_name;
}

static void
close_list(DIR *list)
{
	int			save_errno = errno;

	closedir(list);
	errno = save_errno;
}

/* Remove whatever has the name. */
bool
remove_tree(int parent, const char *name)
{
	struct stat st;
	const char *entry;
	DIR		   *list;
	bool		ok = true;

	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return false;
	if (!S_ISDIR(st.st_mode))
		return unlinkat(parent, name, 0) == 0;
	list = open_list(parent, name);
	if (list == NULL)
		return false;
	while (ok && (entry = next_name(list)) != NULL)
		ok = remove_tree(dirfd(list), entry);
	ok = ok && errno == 0;
	close_list(list);
	return ok && unlinkat(parent, name, AT_REMOVEDIR) == 0;
}

/* fsync a file, or only have the kernel begin to write it. */
static bool
sync_file(int dir, const char *name, bool begin)
{
	int			fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK |
							O_CLOEXEC);
	bool		ok = true;

	if (fd < 0)
		return false;
#ifdef SYNC_FILE_RANGE_WRITE
	if (begin)
		(void) sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
#endif
	if (!begin)
		ok = fsync(fd) == 0;
	close_keeping_errno(fd);
	return ok;
}

/*
 * A file with more links than this one is a file of another backup, and was
 * made durable with it.
 */
static bool
sync_list(DIR *list, bool begin)
{
	const char *entry;
	bool		ok = true;

	while (ok && (entry = next_name(list)) != NULL)
	{
		struct stat st;

		ok = fstatat(dirfd(list), entry, &st, AT_SYMLINK_NOFOLLOW) == 0;
		if (ok && S_ISREG(st.st_mode) && st.st_nlink == 1)
			ok = sync_file(dirfd(list), entry, begin);
		else if (ok && S_ISDIR(st.st_mode))
		{
			DIR		   *inner = open_list(dirfd(list), entry);

			ok = inner != NULL && sync_list(inner, begin);
			if (inner != NULL)
				close_list(inner);
		}
	}
	return ok && errno == 0 && (begin || fsync(dirfd(list)) == 0);
}

/* fsync a tree: what one file after the other would wait for begins first. */
bool
sync_tree(int dir)
{
	for (int pass = 0; pass < 2; pass++)
	{
		DIR		   *list = open_list(dir, ".");
		bool		ok = list != NULL && sync_list(list, pass == 0);

		if (list != NULL)
			close_list(list);
		if (!ok)
			return false;
	}
	return true;
}

static bool
exists(int dir, const char *name)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/*
 * A server that starts in a backup renames its label.
 */
bool
is_live_cluster(int dir)
{
	return exists(dir, "postmaster.pid") ||
		((exists(dir, "PG_VERSION") || exists(dir, "global/pg_control")) &&
		 !exists(dir, "backup_label"));
}
