/*-------------------------------------------------------------------------
 *
 * target.h
 *		One file of the output, made while its sources are read.
 *
 * Increments are applied newest first, then the whole file completes it.  The
 * last step reads the file that it makes, or takes the bytes as they go by,
 * for the checksum in the output's manifest.  At any moment at most one worker
 * is at one target.
 *
 * Problems as in workers.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BIN_TARGET_H
#define CKPX_BIN_TARGET_H

#include "postgres_fe.h"

#include "bin/combinebackup/blocks.h"
#include "bin/combinebackup/stream.h"
#include "bin/combinebackup/tree.h"
#include "bin/common/files.h"

typedef struct TargetSettings
{
	Tree	   *tree;			/* of the output */
	CopyMethod	method;			/* of what is taken as it is */
	bool		link;			/* hard links instead of copies */
	bool		manifest;		/* are checksums needed? */
	pg_checksum_type checksum_type;
} TargetSettings;

typedef struct Target
{
	char	   *path;
	const ManifestFile *newest; /* in the newest backup's manifest; NULL: not
								 * there, as WAL */
	int			base;			/* which backup, newest first, has it whole */
	int			seen_in;		/* the last backup in which it was found */
	uint64		room;			/* that it takes, about */
	bool		changed;		/* after the full */
	bool		created;
	bool		finished;
	bool		linked;			/* it is a file of the full */
	Blocks		blocks;
	ManifestFile result;
} Target;

/* Apply an INCREMENTAL file; the stream is finished, but not closed. */
extern char *target_apply(Target *target, const TargetSettings *settings,
						  Stream *stream);

/* Complete the file from the whole one; the same. */
extern char *target_finish(Target *target, const TargetSettings *settings,
						   Stream *stream);

/* Fill target->result from the file as it is. */
extern char *target_checksum(Target *target, const TargetSettings *settings);

#endif							/* CKPX_BIN_TARGET_H */
