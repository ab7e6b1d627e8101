/*-------------------------------------------------------------------------
 *
 * lists.h
 *		The lists of files that connections pull.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BASEBACKUP_LISTS_H
#define CKPX_BASEBACKUP_LISTS_H

#include "postgres_fe.h"

#include "bin/basebackup/plan.h"

typedef struct FileList
{
	PlanFile  **files;
	uint32		nfiles;
	uint64		bytes;
	bool		unchanged;		/* all have no blocks: nothing is to be read */
	int			attempts;		/* how often it was canceled */
	struct FileList *next;
} FileList;

typedef struct Lists Lists;

/* All files of a plan that are to be copied, for so many connections. */
extern Lists *lists_create(Plan *plan, int jobs);

/*
 * The next list; waits while there may be one again, because a list that is
 * in work may come back.  NULL when all is copied or the run stops.
 */
extern FileList *lists_take(Lists *lists);

/* A list is copied; wakes lists_await(). */
extern void lists_done(Lists *lists, FileList *list);

/*
 * Take back what is left of a list, whose files are not copied: as a list, or
 * as two.  Fails the run after too many attempts.
 */
extern void lists_put_back(Lists *lists, FileList *list, bool halve);

/*
 * Wait a moment; the lists that were done since, for the main thread to free
 * with file_list_free().  *finished when no more will come.
 */
extern FileList *lists_await(Lists *lists, int timeout_ms, bool *finished);
extern void file_list_free(FileList *list);

#endif							/* CKPX_BASEBACKUP_LISTS_H */
