/*-------------------------------------------------------------------------
 *
 * parent.h
 *		The backup that an increment goes on from.
 *
 * A parent is believed after it was proven that the server's history goes on
 * from it.  LSNs, timeline and system identifier do not do that: a data
 * directory put back from a snapshot has the same.  The mark of the parent's
 * checkpoint record does, if ckpx has read that record here.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BASEBACKUP_PARENT_H
#define CKPX_BASEBACKUP_PARENT_H

#include "postgres_fe.h"

#include "bin/basebackup/timelines.h"
#include "bin/common/backup.h"
#include "storage/block.h"

/* A line of a label: the backup has pages with wrong checksums. */
#define BAD_CHECKSUMS_LINE	"CKPX WRONG CHECKSUMS: "

typedef struct ParentLength ParentLength;

typedef struct Parent
{
	Backup	   *backup;
	Backup	  **chain;			/* from the full to 'backup'; all that is
								 * known */
	int			chain_length;	/* 0: the chain is not known */
	Manifest  **maps;			/* of each in it, only free space maps */
	CheckpointMark mark;
	ParentLength *lengths;		/* of its INCREMENTAL files, sorted */
	uint32		nlengths;
} Parent;

/*
 * Open the parent that was asked for; "auto" looks for the newest one beside
 * 'directory' that is proven.  NULL after run_fail(), or with *gap where there
 * is none that can be used.
 */
extern Parent *parent_choose(Session *session, const char *wanted,
							 const char *directory,
							 const ControlFileData *control, char **gap);

/*
 * Is the parent of the history of this server?  False with a reason in *gap,
 * or after run_fail().
 */
extern bool parent_prove(Parent *parent, Session *session,
						 const Timelines *timelines, char **gap);

/* Blocks of a file in the parent; false: the parent does not have it. */
extern bool parent_length(const Parent *parent, const char *path,
						  BlockNumber *length);

/* Is the file unchanged since the last whole copy of it in the chain? */
extern bool parent_has_same(const Parent *parent, const char *path,
							uint64 size, uint32 crc);

#endif							/* CKPX_BASEBACKUP_PARENT_H */
