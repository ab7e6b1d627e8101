/*-------------------------------------------------------------------------
 *
 * pending.c
 *		What the library of both programs will bring; goes when it does.
 *
 * Weak symbols: the real functions replace them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include "bin/common/backup.h"
#include "common/logging.h"

#define PENDING __attribute__((weak))
#define MISSING(name) \
	pg_fatal("%s is not there yet", name)


PENDING bool
backup_mark(Backup *backup, CheckpointMark *mark, char **problem)
{
	MISSING("backup");
}

PENDING int
backup_chain(Backup *backup, Backup **candidates, int ncandidates,
			 Backup **chain, char **problem)
{
	MISSING("backup");
}

PENDING Backup **
backup_siblings(const char *directory, int *count)
{
	MISSING("backup");
}

PENDING bool
backup_tar_name(const char *name, Oid *tablespace)
{
	MISSING("backup");
}

PENDING Backup *
backup_open(const char *path, char **problem)
{
	MISSING("backup");
}
