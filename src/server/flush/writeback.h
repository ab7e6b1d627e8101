/*-------------------------------------------------------------------------
 *
 * writeback.h
 *		Hints to the kernel about the files with changes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_FLUSH_WRITEBACK_H
#define CKPX_FLUSH_WRITEBACK_H

/*
 * With ckpx.flush on, before PostgreSQL syncs, ask the kernel to write back
 * the part of the changed files that is due now.  To be called about every
 * second, in a pass too; more often does no harm.
 */
extern void ckpx_writeback_step(void);

#endif							/* CKPX_FLUSH_WRITEBACK_H */
