/*-------------------------------------------------------------------------
 *
 * backup.h
 *		A backup in a directory, plain or tar, and the chain that it ends.
 *
 * A backup whose manifest is missing was not finished and is none.  What a
 * chain is follows system identifier, timeline and start LSN; and the ids in
 * the labels, where the child is a backup of ckpx_basebackup.
 *
 * A manifest takes time and memory, and there may be many backups beside one
 * another.  What tells them apart stands in label and pg_control.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BIN_BACKUP_H
#define CKPX_BIN_BACKUP_H

#include "bin/common/label.h"
#include "bin/common/manifest.h"
#include "bin/common/tar_fetch.h"
#include "catalog/pg_control.h"

typedef struct Backup
{
	char	   *path;			/* of the directory */
	int			dir;			/* open, O_DIRECTORY */
	bool		tar;
	bool		compressed;		/* tar: zstd */
	uint64		system_identifier;
	BackupLabel label;
	char	   *label_text;
	ControlFileData control;	/* the copied pg_control, its CRC checked */
	TarWanted	label_file;		/* both as they were read */
	TarWanted	control_file;

	/* once backup_load() has read it */
	Manifest   *manifest;		/* NULL: not loaded */
	XLogRecPtr	end_lsn;		/* the highest end of the manifest's ranges */
	TimeLineID	end_tli;
} Backup;

/*
 * Open a directory as a backup: manifest, label and pg_control are read and
 * compared with one another.  NULL with *problem in new memory, which names
 * the file.  Label and pg_control must be as the manifest lists them.  Of a
 * tar only the members before what is looked for are read: with pg_control
 * near the end, most of it.
 */
extern Backup *backup_open(const char *path, char **problem);
extern void backup_close(Backup *backup);

/*
 * Read the manifest, unless it was, and compare label and pg_control with it;
 * false with *problem as from backup_open().  backup_unload() frees it.
 */
extern bool backup_load(Backup *backup, char **problem);
extern void backup_unload(Backup *backup);

/*
 * Is this a tar of the backup (base.tar.zst, 16385.tar)?  OID 0: base;
 * BACKUP_WAL_TAR: pg_wal.tar, which pg_basebackup -X stream makes.
 */
#define BACKUP_WAL_TAR		PG_UINT32_MAX

extern bool backup_tar_name(const char *name, Oid *tablespace);

/*
 * A name that ends with one of these is that of no backup: one in the making,
 * a full that --into makes, the full before it, a backup that is removed.
 */
#define SUFFIX_PARTIAL ".partial"
#define SUFFIX_FORWARD ".forward"
#define SUFFIX_PREVIOUS ".previous"
#define SUFFIX_REMOVED ".removed"

extern bool backup_has_suffix(const char *name, const char *suffix);

/*
 * All complete backups that are directories in 'directory' and have no such
 * name, sorted by name, opened but not loaded; what has a manifest and cannot
 * be opened is skipped with a warning.
 */
extern Backup **backup_siblings(const char *directory, int *count);

/* Does 'child' go on from 'parent'? */
extern bool backup_is_child(const Backup *child, const Backup *parent);

/*
 * The chain that ends with 'backup', from the full on, found among
 * 'candidates'.  The number of backups in it; 0 with *problem that names what
 * is missing, or found twice.  'chain' has room for 'ncandidates' + 1.
 */
extern int	backup_chain(Backup *backup, Backup **candidates, int ncandidates,
						 Backup **chain, char **problem);

/*
 * The mark of the backup's checkpoint: its label's line; else from the record
 * in its WAL; else, without a CRC, from its pg_control.
 */
extern bool backup_mark(Backup *backup, CheckpointMark *mark,
						char **problem);

#endif							/* CKPX_BIN_BACKUP_H */
