/*-------------------------------------------------------------------------
 *
 * list.h
 *		What a directory of backups holds, and what of it may go.
 *
 * Problems as in workers.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BIN_LIST_H
#define CKPX_BIN_LIST_H

#include "postgres_fe.h"

/* Print the chains, indented, and all that is no backup. */
extern char *list_backups(const char *directory);

/*
 * Remove whole chains, and what killed calls of --into and --expire left.
 *
 * 'keep': the newest so many chains stay.  'keep_days' (keep < 0): all stay
 * that recovery to any moment of so many days before 'now' can need: chains
 * with a backup in that time, and that of the newest backup before it.
 *
 * A chain that an unfinished backup goes on from stays, and so does an
 * increment whose full is elsewhere.
 */
extern char *expire_backups(const char *directory, int keep, int keep_days,
							int64 now, bool dry_run);

#endif							/* CKPX_BIN_LIST_H */
