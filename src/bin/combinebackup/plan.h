/*-------------------------------------------------------------------------
 *
 * plan.h
 *		What the output consists of, and where each file comes from.
 *
 * Made from the manifests alone, and from a look at what a plain newest
 * backup's directory holds: directories, which follow the newest backup, and
 * WAL, which no manifest lists.
 *
 * Problems as in workers.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BIN_PLAN_H
#define CKPX_BIN_PLAN_H

#include "postgres_fe.h"

#include "bin/combinebackup/target.h"
#include "bin/combinebackup/spaces.h"
#include "bin/common/backup.h"

typedef struct Plan
{
	int			nbackups;
	Backup	  **backups;		/* newest first */
	Tree	   *trees;
	int			ntargets;
	Target	   *targets;		/* sorted by path */
	int			ndirectories;
	char	  **directories;	/* of a plain newest backup, parents first */
	bool		recovery;		/* standby.signal is left out */
	uint64		unlisted_bytes; /* of files that no manifest lists */
	uint64		read_bytes;		/* of all sources */
} Plan;

/* 'chain' is the full first.  'recovery': without standby.signal. */
extern char *plan_make(Plan *plan, Backup **chain, int nbackups,
					   Mapping *mappings, bool recovery);

/* The target of this name, or NULL. */
extern Target *plan_find(const Plan *plan, const char *path);

/*
 * May the newest backup have this file although its manifest does not name it?
 * Its size counts against the length of the WAL that the backup needs.
 */
extern char *plan_unlisted(Plan *plan, const char *path, uint64 size);

/* Is it one of the files that are made at the end, or by nobody? */
extern bool plan_is_special(const char *path);

/* Is it a file that may differ from what the manifest says? */
extern bool plan_may_differ(const char *path);

#endif							/* CKPX_BIN_PLAN_H */
