/*-------------------------------------------------------------------------
 *
 * combine.h
 *		A data directory out of a chain of backups.
 *
 * The newest backup's manifest says which files there are.  For each, the
 * manifests of the older ones tell which backup has it whole, before anything
 * is read.  Then the backups are read newest first, each tar once; within one
 * backup workers share its files, or its tars.
 *
 * Problems as in workers.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BIN_COMBINE_H
#define CKPX_BIN_COMBINE_H

#include "postgres_fe.h"

#include "bin/combinebackup/output.h"
#include "bin/combinebackup/target.h"
#include "bin/common/backup.h"

typedef struct CombineOptions
{
	Mapping    *mappings;
	bool		dry_run;
	bool		sync;
	bool		manifest;
	bool		progress;
	bool		link;			/* the full's unchanged files */
	bool		verify;			/* read again what was written, as the backups
								 * that it is made of will go */
	int			nworkers;
	CopyMethod	method;
	pg_checksum_type checksum_type;
	const char *recovery;		/* lines for postgresql.auto.conf, or NULL */
} CombineOptions;

/* Make 'output' out of a chain, the full first. */
extern char *combine(Backup **chain, int nbackups, const char *output,
					 const CombineOptions *options);

/* Is pg_control of the backup's time? */
extern char *combine_check_control(const Backup *backup);

#endif							/* CKPX_BIN_COMBINE_H */
