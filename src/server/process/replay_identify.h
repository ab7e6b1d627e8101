/*-------------------------------------------------------------------------
 *
 * replay_identify.h
 *		Boot: whose data directory this is, and its folder.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_REPLAY_IDENTIFY_H
#define CKPX_REPLAY_IDENTIFY_H

#include "postgres.h"

#include "server/process/replay.h"
#include "server/store/object_file.h"

/* Learn the identity of this cluster; create and lock the store's folder. */
extern void ckpx_replay_identify(CkpxBoot *boot);

/*
 * An object is absent: raise an error, so that the boot is tried again, until
 * the patience for that is over.  Nothing is done in other states.
 */
extern void ckpx_replay_await(CkpxObjectState state, const char *problem);

#endif							/* CKPX_REPLAY_IDENTIFY_H */
