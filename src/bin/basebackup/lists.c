/*-------------------------------------------------------------------------
 *
 * lists.c
 *		The lists of files that connections pull.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/basebackup/lists.h"

#include "bin/basebackup/run.h"

#define LIST_BYTES		((uint64) 64 * 1024 * 1024)
#define LIST_MIN_BYTES	((uint64) 1024 * 1024)
#define LIST_FILES		4096
#define MAX_ATTEMPTS	20

/* A file costs something even if nothing of it is sent. */
#define FILE_COST		1024

struct Lists
{
	pthread_mutex_t lock;
	pthread_cond_t changed;
	FileList   *waiting;
	FileList   *done;
	uint32		in_work;
};

static int
compare_files(const void *a, const void *b)
{
	const PlanFile *first = *(PlanFile *const *) a;
	const PlanFile *second = *(PlanFile *const *) b;

	if (first->expected != second->expected)
		return first->expected > second->expected ? -1 : 1;
	return strcmp(first->path, second->path);
}

static FileList *
make_list(PlanFile **files, uint32 nfiles)
{
	FileList   *list = pg_malloc0(sizeof(FileList));

	list->files = pg_malloc(sizeof(PlanFile *) * Max(1, nfiles));
	memcpy(list->files, files, sizeof(PlanFile *) * nfiles);
	list->nfiles = nfiles;
	for (uint32 i = 0; i < nfiles; i++)
		list->bytes += files[i]->expected;
	return list;
}

/* Make lists of at most so many bytes, and append them. */
static void
make_lists(FileList **end, PlanFile **files, uint32 nfiles, uint64 most,
		   bool unchanged)
{
	while (*end != NULL)
		end = &(*end)->next;
	for (uint32 first = 0; first < nfiles;)
	{
		uint64		bytes = 0;
		uint32		n = 0;

		while (first + n < nfiles && n < LIST_FILES &&
			   (n == 0 || bytes < most))
			bytes += files[first + n++]->expected + FILE_COST;
		*end = make_list(files + first, n);
		(*end)->unchanged = unchanged;
		end = &(*end)->next;
		first += n;
	}
}

/*
 * What an unchanged file becomes is known from the list alone, so the server
 * does not open it again.  If it has vanished since, replay removes it; of one
 * that was dropped before and truncated then, an empty file may stay.
 */
static bool
is_unchanged(const PlanFile *file)
{
	return file->incremental && file->nblocks == 0;
}

Lists *
lists_create(Plan *plan, int jobs)
{
	Lists	   *lists = pg_malloc0(sizeof(Lists));
	PlanFile  **files = pg_malloc(sizeof(PlanFile *) * (plan->nfiles + 1));
	uint32		nfiles = 0;
	uint32		first = plan->nfiles;	/* of the unchanged, at the end */
	uint64		total = 0;

	pthread_mutex_init(&lists->lock, NULL);
	pthread_cond_init(&lists->changed, NULL);
	for (uint32 i = 0; i < plan->nfiles; i++)
	{
		PlanFile   *file = &plan->files[i];

		if (file->state != PLAN_TO_COPY)
			continue;
		if (is_unchanged(file))
			files[--first] = file;
		else
		{
			files[nfiles++] = file;
			total += file->expected + FILE_COST;
		}
	}
	qsort(files, nfiles, sizeof(PlanFile *), compare_files);

	/* Small enough that all connections have something to do to the end. */
	make_lists(&lists->waiting, files, nfiles,
			   Max(LIST_MIN_BYTES, Min(LIST_BYTES, total / (jobs * 4))),
			   false);
	make_lists(&lists->waiting, files + first, plan->nfiles - first,
			   LIST_BYTES, true);
	pfree(files);
	return lists;
}

FileList *
lists_take(Lists *lists)
{
	FileList   *list = NULL;

	pthread_mutex_lock(&lists->lock);
	while (lists->waiting == NULL && lists->in_work > 0 && !run_stopping())
		run_wait(&lists->changed, &lists->lock, 200);
	if (lists->waiting != NULL && !run_stopping())
	{
		list = lists->waiting;
		lists->waiting = list->next;
		list->next = NULL;
		lists->in_work++;
	}
	pthread_mutex_unlock(&lists->lock);
	return list;
}

void
lists_done(Lists *lists, FileList *list)
{
	pthread_mutex_lock(&lists->lock);
	list->next = lists->done;
	lists->done = list;
	lists->in_work--;
	pthread_cond_broadcast(&lists->changed);
	pthread_mutex_unlock(&lists->lock);
}

/* Put a list behind the others. */
static void
append(Lists *lists, FileList *list)
{
	FileList  **end = &lists->waiting;

	while (*end != NULL)
		end = &(*end)->next;
	*end = list;
}

void
lists_put_back(Lists *lists, FileList *list, bool halve)
{
	FileList   *halves[2] = {NULL, NULL};
	PlanFile  **files = list->files;
	uint32		nfiles = 0;
	uint32		half;

	/* what is copied already stays so */
	for (uint32 i = 0; i < list->nfiles; i++)
	{
		if (list->files[i]->state == PLAN_TO_COPY)
			files[nfiles++] = list->files[i];
	}
	if (++list->attempts > MAX_ATTEMPTS)
		run_fail("copying file \"%s\" was canceled %d times",
				 nfiles > 0 ? files[0]->path : "", list->attempts);
	half = halve ? (nfiles + 1) / 2 : nfiles;
	if (half > 0)
		halves[0] = make_list(files, half);
	if (nfiles > half)
		halves[1] = make_list(files + half, nfiles - half);
	pthread_mutex_lock(&lists->lock);
	for (int i = 0; i < 2; i++)
	{
		if (halves[i] == NULL)
			continue;
		halves[i]->attempts = list->attempts;
		append(lists, halves[i]);
	}
	lists->in_work--;
	pthread_cond_broadcast(&lists->changed);
	pthread_mutex_unlock(&lists->lock);
	file_list_free(list);
}

FileList *
lists_await(Lists *lists, int timeout_ms, bool *finished)
{
	FileList   *done;

	pthread_mutex_lock(&lists->lock);
	if (lists->done == NULL && (lists->in_work > 0 || lists->waiting != NULL))
		run_wait(&lists->changed, &lists->lock, timeout_ms);
	done = lists->done;
	lists->done = NULL;
	*finished = run_stopping() ||
		(lists->in_work == 0 && lists->waiting == NULL);
	pthread_mutex_unlock(&lists->lock);
	return done;
}

void
file_list_free(FileList *list)
{
	free(list->files);
	free(list);
}
