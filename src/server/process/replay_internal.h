/*-------------------------------------------------------------------------
 *
 * replay_internal.h
 *		What replay.c and replay_adopt.c share.  Only these include it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_REPLAY_INTERNAL_H
#define CKPX_REPLAY_INTERNAL_H

#include "core/format/manifest.h"
#include "core/format/names.h"
#include "server/process/replay.h"
#include "server/store/object_file.h"

#define CKPX_REASON_NO_MANIFEST	"no manifest could be read"

/*
 * An object is absent: raise an error, so that the boot is tried again, until
 * the patience for that is over.  Nothing is done in other states.
 */
extern void ckpx_replay_await(CkpxObjectState state, const char *problem);

/* By epoch, range and kind. */
extern int	ckpx_replay_compare_entries(const void *a, const void *b);

/*
 * replay_adopt.c: add the objects that no readable manifest names and that
 * continue what is known, or, 'from_nothing', are all that is.
 */
extern void ckpx_replay_adopt(CkpxManifest *manifest, bool from_nothing);

#endif							/* CKPX_REPLAY_INTERNAL_H */
