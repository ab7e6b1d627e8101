/*-------------------------------------------------------------------------
 *
 * run.c
 *		What all threads of one backup share: its phase, its end, its rate.
 *
 * A signal only sets a flag.  Threads wait for sockets and for one another
 * with a limit, and look at it each time.  Where libpq waits without one, for
 * a connection, a second signal ends the program: what it leaves is the same.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/basebackup/run.h"

#include <signal.h>
#include <time.h>

static pthread_mutex_t run_lock = PTHREAD_MUTEX_INITIALIZER;
static volatile sig_atomic_t signaled = 0;
static volatile bool failed = false;
static char *failure_message;
static char *failure_detail;
static char *failure_hint;
static const char *failure_phase;
static const char *present_phase = "starting";
static const char *volatile signaled_phase;

/* When what was transferred so far may have been. */
static int64 throttle_start_ms;
static uint64 throttle_bytes;

static void
handle_signal(int number)
{
	if (signaled != 0)
	{
		/* delivered when this returns */
		pqsignal(number, SIG_DFL);
		raise(number);
		return;
	}
	signaled_phase = present_phase;
	signaled = number;
}

void
run_begin(void)
{
	pqsignal(SIGINT, handle_signal);
	pqsignal(SIGTERM, handle_signal);
	pqsignal(SIGPIPE, SIG_IGN);
}

void
run_phase(const char *phase)
{
	present_phase = phase;
	pg_log_debug("%s", phase);
}

/* What fails after a signal fails because of it. */
void
run_fail_with(const char *message, const char *detail, const char *hint)
{
	pthread_mutex_lock(&run_lock);
	if (!failed && signaled != 0)
	{
		failure_message = psprintf("canceled by signal %d", (int) signaled);
		failure_detail = NULL;
		failure_hint = NULL;
		failure_phase = signaled_phase;
		failed = true;
	}
	else if (!failed)
	{
		failure_message = pg_strdup(message);
		failure_detail = detail ? pg_strdup(detail) : NULL;
		failure_hint = hint ? pg_strdup(hint) : NULL;
		failure_phase = present_phase;
		failed = true;
	}
	pthread_mutex_unlock(&run_lock);
}

void
run_fail(const char *fmt,...)
{
	char		message[2 * MAXPGPATH + 1024];
	int			save_errno = errno;
	va_list		args;

	errno = save_errno;
	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	run_fail_with(message, NULL, NULL);
}

bool
run_stopping(void)
{
	return failed || signaled != 0;
}

bool
run_signaled(void)
{
	return signaled != 0;
}

bool
run_failure(const char **message, const char **detail, const char **hint,
			const char **phase)
{
	if (!failed && signaled != 0)
		run_fail("canceled");
	pthread_mutex_lock(&run_lock);
	*message = failure_message;
	*detail = failure_detail;
	*hint = failure_hint;
	*phase = failure_phase;
	pthread_mutex_unlock(&run_lock);
	return failed;
}

void
run_forget_failure(void)
{
	pthread_mutex_lock(&run_lock);
	failed = false;
	pthread_mutex_unlock(&run_lock);
}

void
run_warning(const char *fmt,...)
{
	va_list		args;

	pthread_mutex_lock(&run_lock);
	va_start(args, fmt);
	pg_log_generic_v(PG_LOG_WARNING, PG_LOG_PRIMARY, fmt, args);
	va_end(args);
	pthread_mutex_unlock(&run_lock);
}

void
run_thread(pthread_t *thread, void *(*function) (void *), void *arg)
{
	sigset_t	block;
	sigset_t	before;
	int			error;

	sigemptyset(&block);
	sigaddset(&block, SIGINT);
	sigaddset(&block, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &block, &before);
	error = pthread_create(thread, NULL, function, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error != 0)
		pg_fatal("could not create a thread: %s", strerror(error));
}

int64
run_clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/*
 * The sleeps are short, so that a server that has to send never waits long:
 * what is ahead of its time by more is slept off piece by piece.
 */
void
run_throttle(uint64 rate, size_t bytes)
{
	int64		ahead_ms;

	if (rate == 0)
		return;
	pthread_mutex_lock(&run_lock);
	if (throttle_start_ms == 0)
		throttle_start_ms = run_clock_ms();
	throttle_bytes += bytes;
	ahead_ms = throttle_start_ms + (int64) (throttle_bytes * 1000 / rate) -
		run_clock_ms();
	pthread_mutex_unlock(&run_lock);
	while (ahead_ms > 0 && !run_stopping())
	{
		int64		now_ms = Min(ahead_ms, 100);

		pg_usleep(now_ms * 1000);
		ahead_ms -= now_ms;
	}
}

bool
run_wait(pthread_cond_t *cond, pthread_mutex_t *lock, int timeout_ms)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += (timeout_ms % 1000) * 1000000L;
	if (until.tv_nsec >= 1000000000L)
	{
		until.tv_sec++;
		until.tv_nsec -= 1000000000L;
	}
	return pthread_cond_timedwait(cond, lock, &until) != ETIMEDOUT;
}
