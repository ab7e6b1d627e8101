/*-------------------------------------------------------------------------
 *
 * uninstall_mark.h
 *		The marker file of a data directory from which ckpx was taken out.
 *
 * It says that ckpx is not wanted here: as long as it is there no worker runs,
 * although the library may still be preloaded.  Removal goes on at the next
 * start if it was interrupted.
 *
 * The marker is about one data directory.  A base backup carries it along, but
 * the server that is made from it has a configuration of its own, and where
 * that preloads the library changes are to be followed: a marker that was
 * copied is removed.  One made by hand, which names no directory, counts.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_UNINSTALL_MARK_H
#define CKPX_UNINSTALL_MARK_H

#include "postgres.h"

/* Make the marker; durable when it returns.  Any process. */
extern void ckpx_uninstall_mark(void);

/*
 * Is the marker there?  *complete: and nothing is left to remove.  Any
 * process, the postmaster too; removes the marker of another data directory.
 */
extern bool ckpx_uninstall_is_marked(bool *complete);

/* Tell shared memory, when it was just made. */
extern void ckpx_uninstall_startup(void);

/*
 * The error of ckpx_require_preload() for ckpx_uninstall(): its hint says what
 * is to be removed by hand where the library is not to be loaded again.
 */
extern void ckpx_uninstall_require_preload(void);

#endif							/* CKPX_UNINSTALL_MARK_H */
