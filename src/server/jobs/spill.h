/*-------------------------------------------------------------------------
 *
 * spill.h
 *		Segments of the logtail as objects on disk; the checkpointer's step is
 *		in steps.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_SPILL_H
#define CKPX_SPILL_H

#include "server/logtail/logtail.h"

/*
 * Runner: write a cut to disk at once and make it a spilled segment, which
 * must be the next one and follow only spilled ones.  False: there is no room
 * for its entry or segment now, and nothing was changed.  Errors are raised
 * with nothing left behind.
 */
extern bool ckpx_spill_cut(const CkpxSegmentInfo *info,
						   const CkpxDirtyTree *tree);

/* Checkpointer: no object of a segment is being written any more. */
extern void ckpx_spill_forget(void);

#endif							/* CKPX_SPILL_H */
