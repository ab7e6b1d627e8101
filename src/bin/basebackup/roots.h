/*-------------------------------------------------------------------------
 *
 * roots.h
 *		The directories or archives that a backup consists of.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BASEBACKUP_ROOTS_H
#define CKPX_BASEBACKUP_ROOTS_H

#include "postgres_fe.h"

#include <pthread.h>

#include "bin/basebackup/options.h"

/* The data directory itself, or a tablespace that a link leads to. */
typedef struct OutputRoot
{
	char	   *prefix;			/* "", or "pg_tblspc/OID/" */
	size_t		prefix_length;
	char	   *path;			/* of the directory, or of the archive */
	char	   *link;			/* what the link holds on the server */
	int			fd;
	pthread_mutex_t lock;		/* of an archive: its one writer */
} OutputRoot;

typedef struct Output
{
	const Options *options;
	int			dir;			/* DIRECTORY.partial */
	const char *partial;		/* its path */
	mode_t		dir_mode;
	mode_t		file_mode;
	bool		incremental;
	OutputRoot *roots;			/* the first is the data directory */
	int			nroots;
	uint64		bytes;			/* stored; atomic */
} Output;

/* Which root a path belongs to; *rest is the name there. */
extern int	output_root(const Output *output, const char *path,
						const char **rest);

#endif							/* CKPX_BASEBACKUP_ROOTS_H */
