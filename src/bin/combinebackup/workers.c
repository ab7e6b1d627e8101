/*-------------------------------------------------------------------------
 *
 * workers.c
 *		N threads that work off a list.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/combinebackup/workers.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

typedef struct Crew
{
	int			nitems;
	WorkFunction work;
	void	   *arg;
	pthread_mutex_t mutex;		/* guards what follows */
	int			next;
	char	   *problem;
} Crew;

static volatile sig_atomic_t signal_came;
static volatile bool failed;	/* only ever set while threads run */

static pthread_mutex_t progress_mutex = PTHREAD_MUTEX_INITIALIZER;
static bool progress_shown;
static uint64 progress_total;
static uint64 progress_done;
static time_t progress_time;

static void
handle_signal(int signum)
{
	signal_came = signum;
}

/*
 * Let signals end the work in good order.
 */
void
workers_catch_signals(void)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	sigemptyset(&action.sa_mask);
	action.sa_handler = handle_signal;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/*
 * Is the work to end?
 */
bool
workers_stopped(void)
{
	return signal_came != 0 || failed;
}

static void *
worker_main(void *arg)
{
	Crew	   *crew = arg;

	for (;;)
	{
		int			item;
		char	   *problem;

		pthread_mutex_lock(&crew->mutex);
		item = crew->next++;
		pthread_mutex_unlock(&crew->mutex);
		if (item >= crew->nitems || workers_stopped())
			return NULL;

		problem = crew->work(crew->arg, item);
		if (problem == NULL)
			continue;
		pthread_mutex_lock(&crew->mutex);
		if (crew->problem == NULL)
			crew->problem = problem;
		failed = true;
		pthread_mutex_unlock(&crew->mutex);
		return NULL;
	}
}

/*
 * Do a list of items.
 */
char *
workers_run(int nworkers, int nitems, WorkFunction work, void *arg)
{
	Crew		crew = {nitems, work, arg};
	pthread_t  *threads;
	int			nstarted = 0;

	pthread_mutex_init(&crew.mutex, NULL);
	failed = false;
	threads = pg_malloc0(sizeof(pthread_t) * nworkers);

	/* This thread is one of them; too few others are no error. */
	while (nstarted < Min(nworkers, nitems) - 1 &&
		   pthread_create(&threads[nstarted], NULL, worker_main, &crew) == 0)
		nstarted++;
	worker_main(&crew);
	for (int i = 0; i < nstarted; i++)
		pthread_join(threads[i], NULL);
	pg_free(threads);
	pthread_mutex_destroy(&crew.mutex);
	failed = false;
	if (signal_came != 0)
		return pstrdup("canceled by a signal");
	return crew.problem;
}

static void
show_progress(void)
{
	fprintf(stderr, "%*llu/%llu kB (%d%%)%c", 10,
			(unsigned long long) progress_done / 1024,
			(unsigned long long) progress_total / 1024,
			progress_total == 0 ? 100 :
			(int) Min(progress_done * 100 / progress_total, 100),
			isatty(fileno(stderr)) ? '\r' : '\n');
	fflush(stderr);
}

/*
 * Begin to count.
 */
void
progress_begin(bool show, uint64 total)
{
	progress_shown = show;
	progress_total = total;
	progress_done = 0;
	progress_time = 0;
}

/*
 * Count bytes as done.
 */
void
progress_add(uint64 bytes)
{
	time_t		now;

	if (!progress_shown)
		return;
	now = time(NULL);
	pthread_mutex_lock(&progress_mutex);
	progress_done += bytes;
	if (now > progress_time)
	{
		progress_time = now;
		show_progress();
	}
	pthread_mutex_unlock(&progress_mutex);
}

/*
 * Show the end.
 */
void
progress_end(void)
{
	if (!progress_shown)
		return;
	progress_total = progress_done;
	show_progress();
	if (isatty(fileno(stderr)))
		fputc('\n', stderr);
}
