/*-------------------------------------------------------------------------
 *
 * label.h
 *		backup_label: where a backup's WAL starts, and which one it needs.
 *
 * The lines are PostgreSQL's.  An increment's begin with INCREMENTAL FROM
 * LSN and TLI: a server before 17 ignores these lines at the end of a label
 * and would start from the increment; at the beginning it refuses them.
 *
 * Ours are the text behind LABEL, "ckpx id ... parent ...", and a last line
 * that a server ignores, with the mark of the backup's checkpoint record:
 * its LSN, CRC and time tell whether a cluster has the same history.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BIN_LABEL_H
#define CKPX_BIN_LABEL_H

#include "postgres_fe.h"

#include "access/xlogdefs.h"

#define BACKUP_ID_LENGTH	32	/* hexadecimal digits */
#define LABEL_MAX_BYTES		(64 * 1024)

typedef struct CheckpointMark
{
	XLogRecPtr	lsn;			/* of the checkpoint record */
	XLogRecPtr	redo;
	bool		has_crc;
	uint32		crc;			/* xl_crc of the record */
	int64		time;			/* of the record, seconds since 1970; 0: not
								 * known */
} CheckpointMark;

typedef struct BackupLabel
{
	XLogRecPtr	start_lsn;
	TimeLineID	start_tli;
	XLogRecPtr	checkpoint_lsn;
	XLogRecPtr	incremental_lsn;	/* Invalid: a full */
	TimeLineID	incremental_tli;
	bool		from_standby;
	char		start_time[64];
	char		id[BACKUP_ID_LENGTH + 1];	/* "": not ours */
	char		parent[BACKUP_ID_LENGTH + 1];	/* "": none, or not ours */
	CheckpointMark mark;		/* lsn Invalid: there is no such line */
} BackupLabel;

/* False with *problem (static text): a needed line is missing or wrong. */
extern bool label_parse(BackupLabel *label, const char *text, size_t length,
						const char **problem);

/* What pg_backup_start() is given. */
extern char *label_argument(const char *id, const char *parent);

/*
 * The file from what pg_backup_stop() returned: with the lines of an increment
 * if 'incremental_lsn' is valid, and with the mark's.  In new memory.
 */
extern char *label_format(const char *labelfile, XLogRecPtr incremental_lsn,
						  TimeLineID incremental_tli,
						  const CheckpointMark *mark);

/*
 * The label of a full backup that is made from a chain: without the lines of
 * an increment.  In new memory.
 */
extern char *label_without_increment(const char *text);

/* A new random id of BACKUP_ID_LENGTH digits, from pg_strong_random(). */
extern void label_make_id(char *id);

#endif							/* CKPX_BIN_LABEL_H */
