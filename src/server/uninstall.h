/*-------------------------------------------------------------------------
 *
 * uninstall.h
 *		Taking ckpx out of a data directory.
 *
 * A marker file in the data directory says that ckpx is not wanted here: as
 * long as it is there no worker runs, although the library may still be
 * preloaded.  Removal goes on at the next start if it was interrupted.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_UNINSTALL_H
#define CKPX_UNINSTALL_H

#include "postgres.h"

#define CKPX_UNINSTALLED_FILE	"ckpx_uninstalled"

/* Make the marker; durable when it returns.  Any process. */
extern void ckpx_uninstall_mark(void);

/* Is the marker there?  *complete: and nothing is left to remove. */
extern bool ckpx_uninstall_is_marked(bool *complete);

/*
 * Runner: drop the slot, remove the files, tell who waits.  Returns in how
 * many ms it wants to be called again; 0 when all is done.
 */
extern long ckpx_uninstall_step(void);

#endif							/* CKPX_UNINSTALL_H */
