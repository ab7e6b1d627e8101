/*-------------------------------------------------------------------------
 *
 * files.c
 *		Copying, syncing, locking and room on disk, for both programs.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/common/files.h"

#include <unistd.h>

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
