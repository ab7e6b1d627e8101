/*-------------------------------------------------------------------------
 *
 * wal_check.h
 *		Is the WAL that a backup needs in it?
 *
 * The manifest's ranges name the segments.  Of each page up to the end the
 * header is looked at: its magic number says the major, its address that the
 * segment is that one and was not recycled, the first one's system identifier
 * the cluster.  Records are not read; recovery does that.
 *
 * Problems as in workers.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BIN_WAL_CHECK_H
#define CKPX_BIN_WAL_CHECK_H

#include "postgres_fe.h"

#include "bin/combinebackup/stream.h"
#include "bin/common/backup.h"

typedef struct WalSegment
{
	char		path[MAXPGPATH];	/* pg_wal/... */
	XLogRecPtr	start;
	XLogRecPtr	end;			/* of what is needed of it */
	bool		optional;		/* the next timeline's file has it, too */
	bool		seen;
} WalSegment;

typedef struct WalCheck
{
	const Backup *backup;
	int			nsegments;
	WalSegment *segments;
} WalCheck;

/* A problem where the ranges make no sense. */
extern char *wal_check_begin(WalCheck *check, const Backup *backup);

/* The segment of this name, NULL where it is not needed. */
extern WalSegment *wal_check_find(const WalCheck *check, const char *path);

/* Read a needed segment. */
extern char *wal_check_read(const WalCheck *check, WalSegment *segment,
							Stream *stream);

/*
 * After all were read: what is missing.  *none where none was there at all,
 * as in a backup whose WAL is in an archive.
 */
extern char *wal_check_end(WalCheck *check, bool *none);

#endif							/* CKPX_BIN_WAL_CHECK_H */
