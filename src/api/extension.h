/*-------------------------------------------------------------------------
 *
 * extension.h
 *		What is said when the extension is created or dropped.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_EXTENSION_H
#define CKPX_EXTENSION_H

/* Have DROP EXTENSION ckpx tell what it leaves.  Called from _PG_init. */
extern void ckpx_extension_watch_drop(void);

#endif							/* CKPX_EXTENSION_H */
