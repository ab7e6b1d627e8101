/*-------------------------------------------------------------------------
 *
 * backup_mark.c
 *		The mark of a backup's checkpoint record.
 *
 * PostgreSQL's own tools do not write it into the label.  Then the record is
 * read from the WAL that the backup brings.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/common/backup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/rmgr.h"
#include "access/xlog_internal.h"
#include "access/xlogrecord.h"
#include "bin/common/files.h"
#include "bin/common/paths.h"
#include "bin/common/tar_fetch.h"
#include "port/pg_crc32c.h"

/* Of a checkpoint's record: with one short header before its data. */
#define RECORD_LENGTH \
	(SizeOfXLogRecord + SizeOfXLogRecordDataHeaderShort + sizeof(CheckPoint))

/* The segment's bytes, or NULL where the backup does not have it. */
static char *
read_segment(const Backup *backup, const char *segment, size_t *length)
{
	size_t		max = backup->control.xlog_seg_size;
	char		name[MAXPGPATH];
	TarWanted	wanted = {.name = name,.max = max};
	static const char *const archives[] = {
		"pg_wal.tar", "base.tar", "base.tar.zst"
	};
	char	   *problem = NULL;
	char	   *bytes = NULL;

	snprintf(name, sizeof(name), XLOGDIR "/%s", segment);
	if (!backup->tar)
	{
		int			fd = path_open(backup->dir, name, O_RDONLY, 0, 0);

		if (fd < 0)
			return NULL;
		bytes = read_whole_file(fd, max, length);
		close(fd);
		return bytes;
	}
	for (int i = 0; i < lengthof(archives) && bytes == NULL; i++)
	{
		struct stat st;

		/* pg_basebackup's tar of WAL has no directory in its names */
		wanted.name = i == 0 ? segment : name;
		if (fstatat(backup->dir, archives[i], &st, 0) != 0)
			continue;
		if (tar_fetch(backup->dir, archives[i], &wanted, 1, &problem))
		{
			bytes = wanted.bytes;
			*length = wanted.length;
		}
		else
			pg_free(problem);
	}
	return bytes;
}

/* Take a record together that may go on behind a page's header. */
static bool
gather_record(const char *segment, size_t length, XLogRecPtr lsn,
			  uint32 segment_size, char *record)
{
	size_t		at = XLogSegmentOffset(lsn, segment_size);
	size_t		done = 0;

	while (done < RECORD_LENGTH)
	{
		size_t		n = XLOG_BLCKSZ - at % XLOG_BLCKSZ;

		if (at % XLOG_BLCKSZ == 0)
		{
			at += SizeOfXLogShortPHD;
			n -= SizeOfXLogShortPHD;
		}
		n = Min(n, RECORD_LENGTH - done);
		if (at > length || n > length - at)
			return false;
		memcpy(record + done, segment + at, n);
		done += n;
		at += n;
	}
	return true;
}

/* Take the mark from a checkpoint's record; false if it is not one. */
static bool
take_record(const char *bytes, CheckpointMark *mark)
{
	XLogRecord	record;
	CheckPoint	checkpoint;
	pg_crc32c	crc;

	memcpy(&record, bytes, sizeof(record));
	memcpy(&checkpoint, bytes + RECORD_LENGTH - sizeof(CheckPoint),
		   sizeof(checkpoint));
	if (record.xl_tot_len != RECORD_LENGTH || record.xl_rmid != RM_XLOG_ID ||
		((record.xl_info & ~XLR_INFO_MASK) != XLOG_CHECKPOINT_ONLINE &&
		 (record.xl_info & ~XLR_INFO_MASK) != XLOG_CHECKPOINT_SHUTDOWN))
		return false;
	INIT_CRC32C(crc);
	COMP_CRC32C(crc, bytes + SizeOfXLogRecord,
				RECORD_LENGTH - SizeOfXLogRecord);
	COMP_CRC32C(crc, bytes, offsetof(XLogRecord, xl_crc));
	FIN_CRC32C(crc);
	if (!EQ_CRC32C(crc, record.xl_crc))
		return false;
	mark->redo = checkpoint.redo;
	mark->time = checkpoint.time;
	mark->crc = record.xl_crc;
	mark->has_crc = true;
	return true;
}

/* The mark from the record in the backup's WAL; false if it is not there. */
static bool
mark_from_wal(const Backup *backup, CheckpointMark *mark)
{
	const uint32 segment_size = backup->control.xlog_seg_size;
	char		name[MAXFNAMELEN];
	char		record[RECORD_LENGTH];
	XLogSegNo	segno;
	size_t		length;
	char	   *segment;
	bool		ok;

	XLByteToSeg(backup->label.checkpoint_lsn, segno, segment_size);
	XLogFileName(name, backup->label.start_tli, segno, segment_size);
	segment = read_segment(backup, name, &length);
	if (segment == NULL)
		return false;
	mark->lsn = backup->label.checkpoint_lsn;
	ok = gather_record(segment, length, mark->lsn, segment_size, record) &&
		take_record(record, mark) && mark->redo == backup->label.start_lsn;
	pg_free(segment);
	return ok;
}

/* The mark of the backup's checkpoint. */
bool
backup_mark(Backup *backup, CheckpointMark *mark, char **problem)
{
	const ControlFileData *control = &backup->control;

	*problem = NULL;
	memset(mark, 0, sizeof(*mark));
	if (backup->label.mark.lsn != InvalidXLogRecPtr)
		*mark = backup->label.mark;
	else if (!mark_from_wal(backup, mark))
	{
		memset(mark, 0, sizeof(*mark));
		mark->lsn = control->checkPoint;
		mark->redo = control->checkPointCopy.redo;
		mark->time = control->checkPointCopy.time;
	}
	if (mark->lsn == InvalidXLogRecPtr)
		*problem = psprintf("backup \"%s\" names no checkpoint",
							backup->path);
	return *problem == NULL;
}
