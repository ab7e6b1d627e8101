/*-------------------------------------------------------------------------
 *
 * plan.h
 *		Which files a backup consists of, and what is copied of each.
 *
 * The server's list decides; every name, size and range in it is checked, for
 * a server may be anything.  Blocks at or beyond the length listed are never
 * asked for: they came after START, and replay brings them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BASEBACKUP_PLAN_H
#define CKPX_BASEBACKUP_PLAN_H

#include "postgres_fe.h"

#include "bin/basebackup/parent.h"
#include "bin/basebackup/session.h"
#include "storage/block.h"

typedef enum PlanKind
{
	PLAN_DIRECTORY,
	PLAN_TABLESPACE,
	PLAN_RELATION,
	PLAN_FSM,
	PLAN_FILE,
	PLAN_CONTROL
} PlanKind;

typedef enum PlanState
{
	PLAN_TO_COPY,
	PLAN_COPIED,
	PLAN_KEPT,					/* copied before the backup was resumed */
	PLAN_VANISHED
} PlanState;

typedef struct PlanFile
{
	char	   *path;			/* on the server */
	uint64		size;			/* as listed */
	int64		modified;		/* seconds since 1970 */
	uint64		expected;		/* bytes that are to be stored, about */
	uint8	   *blocks;			/* of an increment: a bit for each block below
								 * 'size', so that 1 TB takes 16 MB however
								 * many have changed; NULL: none */
	uint32		nblocks;		/* of which the bit is set */
	PlanKind	kind;
	PlanState	state;
	bool		incremental;	/* stored as INCREMENTAL.name */

	/* what is stored */
	uint64		stored;
	uint8	   *checksum;		/* NULL: none */
	uint8		checksum_length;
} PlanFile;

typedef struct PlanLink
{
	char	   *path;			/* pg_tblspc/OID */
	char	   *target;
} PlanLink;

typedef struct Plan
{
	PlanFile   *files;			/* of kinds from PLAN_RELATION to PLAN_FILE */
	uint32		nfiles;
	uint32		files_allocated;
	char	  **directories;
	uint32		ndirectories;
	PlanLink   *links;
	uint32		nlinks;
	uint64		bytes;			/* expected, of all files */
	uint64		blocks;			/* in increments' files */
	XLogRecPtr	covered_to;		/* the lowest that was told */
} Plan;

/*
 * Ask the server for its files.  'parent' NULL: all whole.  NULL after an
 * error, which the session has, or after run_fail().
 */
extern Plan *plan_list(Session *session, const char *slot,
					   XLogRecPtr start_lsn, const Parent *parent,
					   int reread);

/* Call 'function' for each row of such a list, for resuming. */
typedef bool (*PlanRow) (void *arg, PlanFile *file, bool whole);
extern bool plan_walk(Session *session, const char *slot,
					  XLogRecPtr start_lsn, XLogRecPtr since,
					  PlanRow function, void *arg);

/*
 * Find the next run of an increment's blocks at or behind *end, which is 0 for
 * the first one.  Without one *start is *end, and it returns false.
 */
extern bool plan_next_run(const PlanFile *file, BlockNumber *start,
						  BlockNumber *end);

/* The file's name in the backup, in 'result' of MAXPGPATH bytes. */
extern void plan_name(const PlanFile *file, char *result);

/* Can archives hold all names?  False after run_fail(). */
extern bool plan_check_tar(const Plan *plan);

extern void plan_free(Plan *plan);

#endif							/* CKPX_BASEBACKUP_PLAN_H */
