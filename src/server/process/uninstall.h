/*-------------------------------------------------------------------------
 *
 * uninstall.h
 *		Taking ckpx out of a data directory.
 *
 * A marker file in the data directory says that ckpx is not wanted here: as
 * long as it is there no worker runs, although the library may still be
 * preloaded.  Removal goes on at the next start if it was interrupted.
 *
 * The marker is about one data directory.  A base backup carries it along, but
 * the server that is made from it has a configuration of its own, and where
 * that preloads the library changes are to be followed: a marker that was
 * copied is removed.  One made by hand, which names no directory, counts.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_UNINSTALL_H
#define CKPX_UNINSTALL_H

#include "postgres.h"

#define CKPX_UNINSTALLED_FILE	"ckpx_uninstalled"

/* What ckpx_runner says from then on, and the hint of every error. */
#define CKPX_UNINSTALLED_PROBLEM \
	"ckpx was uninstalled; to use it again, remove the file \"" CKPX_UNINSTALLED_FILE "\" and restart the server"
#define CKPX_UNINSTALLED_HINT \
	"To use it again, remove the file \"" CKPX_UNINSTALLED_FILE "\" from the data directory and restart the server; otherwise take \"ckpx\" out of \"shared_preload_libraries\"."

/* Make the marker; durable when it returns.  Any process. */
extern void ckpx_uninstall_mark(void);

/*
 * Is the marker there?  *complete: and nothing is left to remove.  Any
 * process, the postmaster too; removes the marker of another data directory.
 */
extern bool ckpx_uninstall_is_marked(bool *complete);

/*
 * Runner: drop the slot, remove the files, tell who waits.  Returns in how
 * many ms it wants to be called again; 0 when all is done.
 */
extern long ckpx_uninstall_step(void);

/*
 * The error of ckpx_require_preload() for ckpx_uninstall(): its hint says what
 * is to be removed by hand where the library is not to be loaded again.
 */
extern void ckpx_uninstall_require_preload(void);

#endif							/* CKPX_UNINSTALL_H */
