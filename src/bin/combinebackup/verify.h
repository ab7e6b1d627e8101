/*-------------------------------------------------------------------------
 *
 * verify.h
 *		Check backups without a server.
 *
 * All that a chain consists of is read: each file against its manifest, each
 * tar to its end, increments for their form, pages of relations against their
 * checksums where the cluster has them, and the WAL.  A page that changed
 * since the backup's start may be torn: recovery writes it anew.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BIN_VERIFY_H
#define CKPX_BIN_VERIFY_H

#include "postgres_fe.h"

#include "bin/common/backup.h"

/* Check each backup of a chain; what is wrong is reported.  Is all right? */
extern bool verify_chain(Backup **chain, int nbackups, int nworkers,
						 bool progress);

#endif							/* CKPX_BIN_VERIFY_H */
