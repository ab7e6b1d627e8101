/*-------------------------------------------------------------------------
 *
 * announce.h
 *		Telling the observers what happens to a checkpoint.
 *
 * Any process; what comes of it is done by the ckpx observer,
 * process/observers.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_ANNOUNCE_H
#define CKPX_ANNOUNCE_H

#include "postgres.h"

#include "ckpx.h"
#include "core/history/entry.h"

/*
 * Announce a change of 'entry' to the observers.  Never waits: what finds the
 * queue full is counted there and lost.  No lock may be held.
 */
extern void ckpx_announce(const CkpxEntry *entry, CkpxEventType type);

#endif							/* CKPX_ANNOUNCE_H */
