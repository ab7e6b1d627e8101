/*-------------------------------------------------------------------------
 *
 * summary_file.c
 *		Writes a map as a WAL summary file.
 *
 * A server takes a file for WAL that is summarized by its name alone, so the
 * name comes last: until then it ends with .tmp, which a server ignores.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/dump/summary_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file_perm.h"
#include "common/file_utils.h"
#include "common/logging.h"
#include "core/format/wal_summary.h"

typedef struct Output
{
	FILE	   *file;
	const char *temporary;
} Output;

static void
fail(const Output *output)
{
	int			save_errno = errno != 0 ? errno : ENOSPC;

	(void) unlink(output->temporary);
	errno = save_errno;
	pg_fatal("could not write file \"%s\": %m", output->temporary);
}

static void
write_bytes(void *arg, const char *bytes, Size length)
{
	Output	   *output = arg;

	errno = 0;
	if (length > 0 && fwrite(bytes, length, 1, output->file) != 1)
		fail(output);
}

void
summary_file_write(const char *path, TimeLineID timeline,
				   XLogRecPtr start_lsn, XLogRecPtr end_lsn,
				   CkpxRelation **relations, uint32 nrelations)
{
	char		name[CKPX_WAL_SUMMARY_NAME];
	struct stat st;
	CkpxWalSummary summary;
	Output		output;
	int			fd;

	ckpx_wal_summary_name(name, timeline, start_lsn, end_lsn);
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		path = psprintf("%s/%s", path, name);
	output.temporary = psprintf("%s.tmp", path);
	if (lstat(path, &st) == 0)
	{
		errno = EEXIST;
		pg_fatal("could not create file \"%s\": %m", path);
	}
	(void) unlink(output.temporary);	/* of a call that was killed */
	fd = open(output.temporary, O_WRONLY | O_CREAT | O_EXCL | PG_BINARY,
			  pg_file_create_mode);
	if (fd < 0 || (output.file = fdopen(fd, "wb")) == NULL)
		pg_fatal("could not create file \"%s\": %m", output.temporary);

	ckpx_wal_summary_begin(&summary, write_bytes, &output);
	for (uint32 i = 0; i < nrelations; i++)
		ckpx_wal_summary_add(&summary, relations[i]);
	ckpx_wal_summary_end(&summary);
	errno = 0;
	if (fclose(output.file) != 0)
		fail(&output);
	if (durable_rename(output.temporary, path) != 0)
	{
		(void) unlink(output.temporary);
		exit(1);
	}
}
