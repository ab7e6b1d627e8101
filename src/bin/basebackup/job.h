/*-------------------------------------------------------------------------
 *
 * job.h
 *		One backup: what its phases hand over to one another.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BASEBACKUP_JOB_H
#define CKPX_BASEBACKUP_JOB_H

#include "postgres_fe.h"

#include "bin/basebackup/copy.h"
#include "bin/basebackup/wal.h"
#include "bin/common/label.h"

typedef struct Job
{
	Options    *options;
	int64		begin_ms;

	/* look */
	Session    *holder;			/* stays until the backup is published */
	ControlFileData control;	/* of the server, as it began */
	bool		standby;
	mode_t		dir_mode;
	Parent	   *parent;			/* NULL: full */
	char		id[BACKUP_ID_LENGTH + 1];

	/* DIRECTORY.partial */
	char	   *partial;
	int			dir;
	bool		made_partial;	/* by this run */
	int			progress_fd;	/* of the file "progress", locked */

	/* hold */
	char		slot[64];
	XLogRecPtr	start_lsn;
	TimeLineID	timeline;		/* of START, as the server told at its begin */
	Timelines  *timelines;

	/* list, copy */
	Plan	   *plan;
	Output	   *output;
	char	   *recovery_conf;	/* -R: what postgresql.auto.conf gets */
	uint64		bad_checksums;
	uint32		kept;			/* files taken over by --resume */

	/* stop */
	ControlFileData copied_control;
	char	   *control_bytes;	/* PG_CONTROL_FILE_SIZE */
	XLogRecPtr	stop_lsn;
	TimeLineID	stop_tli;
	char	   *label_text;		/* as PostgreSQL gave it */
	char	   *tablespace_map;
	BackupLabel label;
	CheckpointMark mark;		/* lsn Invalid: not known */

	/* publish */
	uint64		files;
} Job;

#endif							/* CKPX_BASEBACKUP_JOB_H */
