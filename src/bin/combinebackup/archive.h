/*-------------------------------------------------------------------------
 *
 * archive.h
 *		The tar files of a backup, each read once as a stream.
 *
 * Members of OID.tar are files below pg_tblspc/OID; they appear under the
 * name that the manifest gives them.
 *
 * Problems as in workers.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BIN_ARCHIVE_H
#define CKPX_BIN_ARCHIVE_H

#include "postgres_fe.h"

#include "bin/common/backup.h"
#include "bin/common/tar.h"

typedef struct Archive
{
	char	   *name;			/* path of the tar file */
	Oid			tablespace;		/* 0: base */
	int			fd;
	TarReader  *reader;
} Archive;

/* The names of the tar files of a backup, base first, in new memory. */
extern char **archive_names(const Backup *backup, int *count,
							char **problem);

extern char *archive_open(Archive *archive, const Backup *backup,
						  const char *name);
extern void archive_close(Archive *archive);

/* As tar_next(), with the file of the tar in the problem. */
extern bool archive_next(Archive *archive, TarMember *member,
						 char **problem);

#endif							/* CKPX_BIN_ARCHIVE_H */
