/*-------------------------------------------------------------------------
 *
 * replay_adopt.h
 *		Boot: objects that no readable manifest names.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_REPLAY_ADOPT_H
#define CKPX_REPLAY_ADOPT_H

#include "postgres.h"

#include "core/format/manifest.h"

#define CKPX_REASON_NO_MANIFEST	"no manifest could be read"

/* Compare entries by epoch, range and kind. */
extern int	ckpx_replay_compare_entries(const void *a, const void *b);

/*
 * Add the objects that no readable manifest names and that continue what is
 * known, or, 'from_nothing', are all that is.
 */
extern void ckpx_replay_adopt(CkpxManifest *manifest, bool from_nothing);

#endif							/* CKPX_REPLAY_ADOPT_H */
