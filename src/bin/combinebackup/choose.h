/*-------------------------------------------------------------------------
 *
 * choose.h
 *		Which backups a call means.
 *
 * Problems as in workers.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BIN_CHOOSE_H
#define CKPX_BIN_CHOOSE_H

#include "postgres_fe.h"

#include "bin/common/backup.h"

/*
 * The chain that is to be combined, the full first: of one backup, whose
 * ancestors stand beside it; or of a list of all, in this order.  Ancestors
 * are not loaded.
 */
extern char *choose_chain(char *const *paths, int npaths, Backup ***chain,
						  int *nbackups);

/* A problem that names both system identifiers. */
extern char *choose_other_cluster(const Backup *backup, const Backup *other);

/*
 * With a directory of backups in place of a backup: the newest of them that
 * had ended at 'when', in seconds since 1970, in new memory.
 */
extern char *choose_before(const char *directory, int64 when, char **path);
extern bool choose_is_backup(const char *path);

/* Load a backup among others; false with a warning if that is not possible. */
extern bool choose_load(Backup *backup);

/*
 * When a backup had ended: the newest time of its files.  Of a backup by
 * pg_basebackup this is the time of a file that changed while it ran.
 */
extern int64 backup_end_time(const Backup *backup);

#endif							/* CKPX_BIN_CHOOSE_H */
