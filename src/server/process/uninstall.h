/*-------------------------------------------------------------------------
 *
 * uninstall.h
 *		Taking ckpx out of a data directory that is marked so, see
 *		store/uninstall_mark.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_UNINSTALL_H
#define CKPX_UNINSTALL_H

/*
 * Runner: drop the slot, remove the files, wake the waiters.  Returns in how
 * many ms it wants to be called again; 0 when all is done.
 */
extern long ckpx_uninstall_step(void);

#endif							/* CKPX_UNINSTALL_H */
