/*-------------------------------------------------------------------------
 *
 * read_wal.c
 *		ckpx_read_wal and ckpx_read_control: what a backup reads beside the
 *		data files.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/api.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port/pg_crc32c.h"
#include "storage/fd.h"
#include "storage/lwlock.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(ckpx_read_wal);
PG_FUNCTION_INFO_V1(ckpx_read_control);

#define MAX_WAL_BYTES		(16 * 1024 * 1024)
#define TIMELINE_DIGITS		8
#define CONTROL_FILE		"global/pg_control"

/* Build the path of a WAL segment, or of a timeline's history file. */
static void
wal_path(char *path, const char *name)
{
	if (IsXLogFileName(name) || IsTLHistoryFileName(name))
		snprintf(path, MAXPGPATH, XLOGDIR "/%s", name);
	else if (strlen(name) == TIMELINE_DIGITS &&
			 strspn(name, "0123456789ABCDEF") == TIMELINE_DIGITS)
		snprintf(path, MAXPGPATH, XLOGDIR "/%s.history", name);
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" is not the name of a WAL segment or history file",
						name)));
}

/* Open a regular file, not a link. */
static int
open_regular(const char *path, struct stat *st)
{
	int			fd = OpenTransientFile(path, O_RDONLY | PG_BINARY |
									   O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0 || fstat(fd, st) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\": %m", path)));
	if (!S_ISREG(st->st_mode))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a regular file", path)));
	return fd;
}

/* Read up to 'length' bytes; fewer at the end of the file. */
static Size
read_bytes(int fd, const char *path, char *bytes, Size length, off_t offset,
		   uint32 wait_event)
{
	Size		done = 0;

	while (done < length)
	{
		ssize_t		n;

		CHECK_FOR_INTERRUPTS();
		pgstat_report_wait_start(wait_event);
		n = pg_pread(fd, bytes + done, Min(length - done, 1024 * 1024),
					 offset + (off_t) done);
		pgstat_report_wait_end();
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not read file \"%s\": %m", path)));
		if (n == 0)
			break;
		done += (Size) n;
	}
	return done;
}

/*
 * What a segment's bytes are without the pages of zeros at their end.  After a
 * backup the server changes to the next segment, and most of the last one is
 * zeros.
 */
static Size
without_zeros(const char *bytes, Size length)
{
	static const char zeros[XLOG_BLCKSZ];

	while (length >= XLOG_BLCKSZ &&
		   memcmp(bytes + length - XLOG_BLCKSZ, zeros, XLOG_BLCKSZ) == 0)
		length -= XLOG_BLCKSZ;
	return length;
}

Datum
ckpx_read_wal(PG_FUNCTION_ARGS)
{
	int64		offset = PG_ARGISNULL(1) ? 0 : PG_GETARG_INT64(1);
	int64		length = PG_ARGISNULL(2) ? MAX_WAL_BYTES : PG_GETARG_INT64(2);
	char	   *name;
	char		path[MAXPGPATH];
	struct stat st;
	bytea	   *result;
	int			fd;

	ckpx_require_installed();
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (offset < 0 || length < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("offset and length must not be negative")));

	wal_path(path, name);
	fd = open_regular(path, &st);
	if (IsXLogFileName(name) && st.st_size != wal_segment_size)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("file \"%s\" is not a whole WAL segment", path),
				 errdetail("It has %lld bytes instead of %d.",
						   (long long) st.st_size, wal_segment_size)));
	offset = Min(offset, st.st_size);
	length = Min(Min(length, MAX_WAL_BYTES), st.st_size - offset);
	result = palloc(VARHDRSZ + (Size) length);
	length = (int64) read_bytes(fd, path, VARDATA(result), (Size) length,
								(off_t) offset, WAIT_EVENT_WAL_READ);
	if (IsXLogFileName(name))
		length = (int64) without_zeros(VARDATA(result), (Size) length);
	SET_VARSIZE(result, VARHDRSZ + (Size) length);
	CloseTransientFile(fd);
	PG_RETURN_BYTEA_P(result);
}

/*
 * The lock is held while the file is read, so that no write of it is seen
 * half done.  The write of another process holds it as well.
 */
Datum
ckpx_read_control(PG_FUNCTION_ARGS)
{
	bytea	   *result = palloc0(VARHDRSZ + PG_CONTROL_FILE_SIZE);
	ControlFileData control;
	struct stat st;
	pg_crc32c	crc;
	Size		length;
	int			fd;

	ckpx_require_installed();
	LWLockAcquire(ControlFileLock, LW_SHARED);
	fd = open_regular(CONTROL_FILE, &st);
	length = read_bytes(fd, CONTROL_FILE, VARDATA(result),
						PG_CONTROL_FILE_SIZE, 0,
						WAIT_EVENT_CONTROL_FILE_READ);
	LWLockRelease(ControlFileLock);
	CloseTransientFile(fd);

	memcpy(&control, VARDATA(result), sizeof(control));
	INIT_CRC32C(crc);
	COMP_CRC32C(crc, &control, offsetof(ControlFileData, crc));
	FIN_CRC32C(crc);
	if (length != PG_CONTROL_FILE_SIZE || !EQ_CRC32C(crc, control.crc))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("file \"%s\" is damaged", CONTROL_FILE),
				 length != PG_CONTROL_FILE_SIZE ?
				 errdetail("It has %zu bytes instead of %d.", length,
						   PG_CONTROL_FILE_SIZE) :
				 errdetail("Its checksum is %08X, computed is %08X.",
						   control.crc, crc)));
	SET_VARSIZE(result, VARHDRSZ + PG_CONTROL_FILE_SIZE);
	PG_RETURN_BYTEA_P(result);
}
