/*-------------------------------------------------------------------------
 *
 * quick_restart.c
 *		Have the postmaster start a worker of ckpx that has ended again at
 *		once, not five seconds later.
 *
 * Preloaded behind ckpx: by then the workers are registered, and nothing of
 * them runs yet.  How long a worker waits by itself after a failure stays as
 * it is.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "postmaster/bgworker_internals.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

static void
restart_at_once(RegisteredBgWorker *registered)
{
	BackgroundWorker *worker = &registered->rw_worker;

	if (strcmp(worker->bgw_library_name, "ckpx") == 0)
		worker->bgw_restart_time = 0;
}

void
_PG_init(void)
{
#if PG_VERSION_NUM >= 180000
	dlist_iter	iter;

	dlist_foreach(iter, &BackgroundWorkerList)
		restart_at_once(dlist_container(RegisteredBgWorker, rw_lnode,
										iter.cur));
#else
	slist_iter	iter;

	slist_foreach(iter, &BackgroundWorkerList)
		restart_at_once(slist_container(RegisteredBgWorker, rw_lnode,
										iter.cur));
#endif
}
