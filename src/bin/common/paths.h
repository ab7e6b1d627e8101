/*-------------------------------------------------------------------------
 *
 * paths.h
 *		Names of files in a data directory, as a backup or a server gives them.
 *
 * Such a name is believed only after path_check(): relative, without empty
 * components, "." or "..", without control bytes, and shorter than MAXPGPATH
 * also with INCREMENTAL. in it.  A file is opened component by component below
 * a directory that is open, so that a link on the way leads nowhere.
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
	bool		incremental;	/* relation or fsm, and the last component
								 * begins with INCREMENTAL. */
	char		name[MAXPGPATH];	/* the path, without INCREMENTAL. if
									 * 'incremental' */
} PathParts;

#define PATH_INCREMENTAL	"INCREMENTAL."
#define PATH_INCREMENTAL_LENGTH	(sizeof(PATH_INCREMENTAL) - 1)


/* The reason why a name is refused (static text), or NULL. */
extern const char *path_check(const char *path);

/* Take a checked name apart. */
extern void path_parse(const char *path, PathParts *parts);

/*
 * The same file with INCREMENTAL. before its last component, or without it
 * where it is there; 'result' has MAXPGPATH bytes.
 */
extern void path_incremental(const char *path, char *result);

/*
 * Open a checked name below the directory 'root' without following a link in
 * any component; -1 and errno as openat().  It must be a directory where
 * 'flags' has O_DIRECTORY, and a regular file otherwise; else errno is
 * ENOTDIR, ELOOP, EISDIR, ENXIO or EINVAL.  With O_CREAT missing directories
 * are made, with 'dir_mode'.
 */
extern int	path_open(int root, const char *path, int flags, mode_t mode,
					  mode_t dir_mode);

/*
 * Open the directory that has the name's last component, which *last is set
 * to, for renameat(), symlinkat(), fstatat() and the like.  Missing
 * directories are made unless 'dir_mode' is 0.
 */
extern int	path_open_parent(int root, const char *path, mode_t dir_mode,
							 const char **last);

/* mkdir -p and unlink; -1 and errno where they fail. */
extern int	path_mkdir(int root, const char *path, mode_t mode);
extern int	path_unlink(int root, const char *path);

#endif							/* CKPX_BIN_PATHS_H */
