/*-------------------------------------------------------------------------
 *
 * into.h
 *		A full backup moves forward without reading the server.
 *
 * FULL.forward is made beside FULL: files that did not change are hard links
 * to FULL's, all others are new.  No file of FULL is ever written, so FULL is
 * whole until the last moment.  Then FULL becomes FULL.previous, FULL.forward
 * becomes FULL, and the old full and the increments up to BACKUP go.
 *
 * The new full has the id of BACKUP: what goes on from BACKUP goes on from it.
 *
 * Whatever kills this, the same call finishes it: FULL.forward is made anew;
 * where only FULL.previous is there, it becomes FULL again; where FULL has
 * BACKUP's id already, only the removal is left.
 *
 * Problems as in workers.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BIN_INTO_H
#define CKPX_BIN_INTO_H

#include "postgres_fe.h"

#include "bin/combinebackup/combine.h"

extern char *roll_into(const char *backup, const char *full,
					   const CombineOptions *options);

#endif							/* CKPX_BIN_INTO_H */
