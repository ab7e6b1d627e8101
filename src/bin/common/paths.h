/*-------------------------------------------------------------------------
 *
 * paths.h
 *		Names of files in a data directory, as a backup or a server gives them.
 *
 * Such a name is believed only after path_check(): relative, without empty
 * components, "." or "..", without control bytes, and shorter than MAXPGPATH.
 * A file is opened component by component below a directory that is open, so
 * that a link on the way leads nowhere.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BIN_PATHS_H
#define CKPX_BIN_PATHS_H

#include "postgres_fe.h"

#include "common/relpath.h"

typedef enum PathKind
{
	PATH_OTHER,
	PATH_RELATION,				/* segment of a main, vm or init fork */
	PATH_FSM,					/* segment of a free space map */
	PATH_WAL,					/* anything in pg_wal */
	PATH_CONTROL				/* global/pg_control */
} PathKind;

typedef struct PathParts
{
	PathKind	kind;
	ForkNumber	fork;			/* of relation and fsm */
	uint32		segment;		/* the same */
	bool		incremental;	/* the last component begins with
								 * INCREMENTAL., and 'name' is the path
								 * without it */
	char		name[MAXPGPATH];
} PathParts;

/* The reason why a name is refused (static text), or NULL. */
extern const char *path_check(const char *path);

/* Take a checked name apart. */
extern void path_parse(const char *path, PathParts *parts);

/* The same file with or without INCREMENTAL. before its last component. */
extern void path_incremental(const char *path, char *result);

/*
 * Open a checked name below the directory 'root' without following a link in
 * any component; -1 and errno as openat().  What is opened to be read must be
 * a regular file; else errno is ELOOP, EISDIR or EINVAL.  With O_CREAT missing
 * directories are made, with 'dir_mode'.
 */
extern int	path_open(int root, const char *path, int flags, mode_t mode,
					  mode_t dir_mode);

/* The same for mkdir, mkdir -p and unlink. */
extern int	path_mkdir(int root, const char *path, mode_t mode);
extern int	path_unlink(int root, const char *path);

#endif							/* CKPX_BIN_PATHS_H */
