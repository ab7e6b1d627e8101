/*-------------------------------------------------------------------------
 *
 * family.h
 *		All backups in a directory, and which goes on from which.
 *
 * Names that end with ".partial" are backups in the making; ".forward" is a
 * full that --into was making, ".previous" the one before it, ".removed" a
 * backup that was being removed.  A killed call leaves them; none of them is
 * listed as a backup.
 *
 * Problems as in workers.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BIN_FAMILY_H
#define CKPX_BIN_FAMILY_H

#include "postgres_fe.h"

#include "bin/common/backup.h"

typedef struct Member
{
	Backup	   *backup;			/* not loaded */
	int			parent;			/* in the array; -1: a full, or missing */
	int			root;			/* the full; -1: an ancestor is missing */
	uint64		bytes;			/* on disk */
	int64		end_time;
	bool		is_parent;		/* another one goes on from it */
} Member;

/* A backup in the making. */
typedef struct Unfinished
{
	char	   *name;
	XLogRecPtr	parent_lsn;		/* Invalid: a full, or not known yet */
	TimeLineID	parent_tli;
	char		parent[BACKUP_ID_LENGTH + 1];
} Unfinished;

typedef struct Family
{
	char	   *directory;
	int			nmembers;
	Member	   *members;		/* by start LSN */
	int			nunfinished;
	Unfinished *unfinished;
	int			nremains;
	char	  **remains;		/* names of what killed calls left */
} Family;

extern char *family_read(Family *family, const char *directory);

/* The last component of a path. */
extern const char *family_name(const char *path);

/* Does the unfinished backup go on from this one? */
extern bool family_goes_on(const Unfinished *unfinished,
						   const Backup *parent);

/* Is it a name that --into or a removal gives? */
extern bool family_is_remains(const char *name);

/*
 * Remove a directory beside the backups so that at no moment it looks like a
 * backup that it is not.
 */
extern char *family_remove(const char *directory, const char *name);

#endif							/* CKPX_BIN_FAMILY_H */
