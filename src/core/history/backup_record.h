/*-------------------------------------------------------------------------
 *
 * backup_record.h
 *		Backups that a client program has made and reported.
 *
 * ckpx makes no use of these: they are kept for monitoring, which asks the
 * server and not the place where backups are kept.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BACKUP_RECORD_H
#define CKPX_BACKUP_RECORD_H

#include "core/types.h"

/* The newest that are kept, 120 kB of shared memory. */
#define CKPX_MAX_BACKUPS		1000

#define CKPX_BACKUP_ID_DIGITS	32	/* lower-case hex */

typedef struct CkpxBackupRecord
{
	char		id[CKPX_BACKUP_ID_DIGITS + 1];
	char		parent[CKPX_BACKUP_ID_DIGITS + 1];	/* "": a full backup */
	TimeLineID	timeline;
	XLogRecPtr	start_lsn;
	XLogRecPtr	stop_lsn;
	uint64		bytes;
	int64		finished_at;	/* TimestampTz of the report */
} CkpxBackupRecord;

static inline bool
ckpx_backup_id_is_valid(const char *id)
{
	return strlen(id) == CKPX_BACKUP_ID_DIGITS &&
		strspn(id, "0123456789abcdef") == CKPX_BACKUP_ID_DIGITS;
}

#endif							/* CKPX_BACKUP_RECORD_H */
