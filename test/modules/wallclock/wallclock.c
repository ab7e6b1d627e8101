/*-------------------------------------------------------------------------
 *
 * wallclock.c
 *		A wall clock that can be set, forward and back: for LD_PRELOAD, under
 *		a server.
 *
 * The file that WALLCLOCK_FILE names holds by how many seconds the processes'
 * wall clock is ahead of the machine's: an int64 in the machine's byte order.
 * It is mapped, so all of them see a change at once.  The monotonic clock goes
 * on as it does.
 *
 *-------------------------------------------------------------------------
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *offset;

static void __attribute__((constructor))
map_offset(void)
{
	const char *path = getenv("WALLCLOCK_FILE");
	int			fd;
	void	   *place = MAP_FAILED;

	if (path == NULL)
		return;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
	{
		place = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
		close(fd);
	}
	if (place == MAP_FAILED)
	{
		/* With the right time no test would see anything. */
		fprintf(stderr, "wallclock: could not map file \"%s\": %s\n", path,
				strerror(errno));
		abort();
	}
	offset = place;
}

/* PGXS hides symbols since 16; these are to be found. */
#pragma GCC visibility push(default)

int
clock_gettime(clockid_t clock, struct timespec *now)
{
	int			result = (int) syscall(SYS_clock_gettime, clock, now);

	if (result == 0 && offset != NULL &&
		(clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		now->tv_sec += *offset;
	return result;
}

int
gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec precise;

	(void) zone;
	if (clock_gettime(CLOCK_REALTIME, &precise) != 0)
		return -1;
	now->tv_sec = precise.tv_sec;
	now->tv_usec = precise.tv_nsec / 1000;
	return 0;
}

time_t
time(time_t *now)
{
	struct timespec precise;

	(void) clock_gettime(CLOCK_REALTIME, &precise);
	if (now != NULL)
		*now = precise.tv_sec;
	return precise.tv_sec;
}

#pragma GCC visibility pop
