/*-------------------------------------------------------------------------
 *
 * wal_check.h
 *		Is the WAL that a backup needs in it?
 *
 * The manifest's ranges name the segments.  Of each page that has a record up
 * to the end the header is looked at: its magic number says the major, its
 * address that the segment is that one and was not recycled, the first one's
 * system identifier the cluster.  Of each record from the backup's start to
 * its end the CRC is compared; one that goes on in the next segment can be
 * only where that one is read next.
 *
 * Problems as in workers.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BIN_WAL_CHECK_H
#define CKPX_BIN_WAL_CHECK_H

#include "postgres_fe.h"

#include "bin/combinebackup/stream.h"
#include "bin/combinebackup/wal_records.h"
#include "bin/common/backup.h"

typedef struct WalSegment
{
	char		path[64];		/* pg_wal/... */
	XLogRecPtr	start;
	XLogRecPtr	end;			/* of what is needed of it */
	XLogRecPtr	range_start;	/* what is needed of its timeline */
	XLogRecPtr	range_end;
	bool		optional;		/* the next timeline's file has it, too */
	bool		seen;
} WalSegment;

typedef struct WalCheck
{
	const Backup *backup;
	int			nsegments;
	WalSegment *segments;
} WalCheck;

/* Begin with zeros; not for several threads. */
typedef struct WalReader
{
	WalRecords	records;
	const WalSegment *last;		/* that was read; NULL: none, or damaged */
} WalReader;

/* A problem where the ranges make no sense. */
extern char *wal_check_begin(WalCheck *check, const Backup *backup);

/* The segment of this name, NULL where it is not needed. */
extern WalSegment *wal_check_find(const WalCheck *check, const char *path);

/* Read a needed segment. */
extern char *wal_check_read(const WalCheck *check, WalSegment *segment,
							Stream *stream, WalReader *reader);

/*
 * The same for a file in a tree, which need not be there unless a manifest has
 * an 'entry' for it, as in stream_open_file().
 */
extern char *wal_check_file(const WalCheck *check, WalSegment *segment,
							const Tree *tree, const ManifestFile *entry,
							WalReader *reader);

/*
 * After all were read: what is missing.  *none where none was there at all,
 * as in a backup whose WAL is in an archive.
 */
extern char *wal_check_end(WalCheck *check, bool *none);
extern void wal_check_free(WalCheck *check);

#endif							/* CKPX_BIN_WAL_CHECK_H */
