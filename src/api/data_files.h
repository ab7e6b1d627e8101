/*-------------------------------------------------------------------------
 *
 * data_files.h
 *		The files of the data directory: which of them are copied, and how.
 *
 * Two copies are made of a data directory.  A backup becomes a data directory
 * of its own and has what BASE_BACKUP would send.  A copy that is kept up to
 * date by ckpx_changed_files() has its own configuration and WAL already, see
 * ckpx_always_whole.
 *
 * What a file is follows from its name alone, relative to the data directory,
 * and such names come from outside as well: ckpx_data_file_parse() judges any
 * bytes, and a file is opened only by a name that it took apart.
 *
 * Runs in backends, without locks.  Errors of files are raised, but for one
 * function that says so.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_DATA_FILES_H
#define CKPX_DATA_FILES_H

#include "postgres.h"

#include <sys/stat.h>

#include "core/types.h"

typedef enum CkpxFileKind
{
	CKPX_FILE_EXCLUDED = 0,		/* in no backup */
	CKPX_FILE_EMPTIED,			/* a directory of which no backup has the
								 * contents */
	CKPX_FILE_DIRECTORY,
	CKPX_FILE_TABLESPACE,		/* a link in pg_tblspc */
	CKPX_FILE_RELATION,			/* segment of a main, vm or init fork */
	CKPX_FILE_FSM,				/* segment of a free space map */
	CKPX_FILE_OTHER,
	CKPX_FILE_CONTROL			/* global/pg_control */
} CkpxFileKind;

typedef struct CkpxDataFile
{
	CkpxFileKind kind;
	CkpxRelKey	key;			/* of RELATION and FSM */
	uint32		segment;		/* the same */
} CkpxDataFile;

/* A file that the walk has found. */
typedef struct CkpxFoundFile
{
	CkpxDataFile name;
	const char *path;
	const char *link;			/* target of a TABLESPACE, else NULL */
	struct stat st;
} CkpxFoundFile;

typedef void (*CkpxFoundCallback) (void *arg, const CkpxFoundFile *file);

/* The name of a kind that a backup has. */
extern const char *ckpx_file_kind_name(CkpxFileKind kind);

/*
 * Is the name relative, shorter than MAXPGPATH, without empty components, "."
 * and "..", and without control characters?
 */
extern bool ckpx_data_path_is_clean(const char *path);

/*
 * Tell what a clean name is, of a file or directory that need not exist:
 * never DIRECTORY or TABLESPACE, which are OTHER by their names.
 */
extern void ckpx_data_file_parse(CkpxDataFile *file, const char *path);

/* May PostgreSQL, or DROP DATABASE, remove this file while it runs? */
extern bool ckpx_data_file_may_vanish(const CkpxDataFile *file,
									  const char *path);

/*
 * Open a clean name to be read, component by component, following no link but
 * that of a tablespace; the caller closes the descriptor and reports it to
 * fd.c.  Raises no error: -1 with errno, which is ELOOP or ENOTDIR where a
 * component is a link, and EINVAL where the file is not a regular one.
 */
extern int	ckpx_data_file_open(const char *path, struct stat *st);

/*
 * Visit what a backup has: directories before what is in them, pg_control
 * last.  A file that vanishes meanwhile is left out, a special one and one
 * whose name is not clean with a WARNING.  The callback's memory is freed
 * after each directory.
 */
extern void ckpx_data_files_walk(CkpxFoundCallback callback, void *arg);

/*
 * What the map does not hold and a copy by the map needs all the same, the
 * first CKPX_ALWAYS_WHOLE_EARLY before the databases' files.
 */
#define CKPX_ALWAYS_WHOLE	10
#define CKPX_ALWAYS_WHOLE_EARLY	9
extern const char *const ckpx_always_whole[CKPX_ALWAYS_WHOLE];

/*
 * The target of a tablespace's link; '' for a directory, which a tablespace
 * made with allow_in_place_tablespaces is.  False if it was dropped meanwhile.
 */
extern bool ckpx_read_tablespace_link(const char *path, char *target);

/* The path of a segment, palloc'd; segment 0 has no suffix. */
extern char *ckpx_segment_path(const char *path, uint32 segment);

#endif							/* CKPX_DATA_FILES_H */
