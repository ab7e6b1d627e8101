/*-------------------------------------------------------------------------
 *
 * retention.h
 *		The physical replication slot "ckpx", which keeps the WAL that a
 *		restarted runner has to read again.
 *
 * The runner holds the slot for as long as it lives.  The slot's restart_lsn
 * is always the start of a record: of the last record of the newest range
 * that both kept manifests know, so that the next start can
 * make sure that the WAL is still the same.
 *
 * When the server wants to invalidate the slot, its checkpointer sends
 * SIGTERM to the runner and waits: the runner must react at once, in every
 * loop.  The next runner then finds the slot lost.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_WAL_RETENTION_H
#define CKPX_WAL_RETENTION_H

#include "postgres.h"

#include "access/xlogdefs.h"

typedef enum CkpxSlotState
{
	CKPX_SLOT_MISSING = 0,
	CKPX_SLOT_OK,				/* acquired, restart_lsn is set */
	CKPX_SLOT_LOST,				/* acquired, but its WAL is gone */
	CKPX_SLOT_FOREIGN			/* logical, or held by another process */
} CkpxSlotState;

/* Take hold of the slot if it is there. */
extern CkpxSlotState ckpx_slot_acquire_own(XLogRecPtr *restart_lsn);

/* Drop the slot; only this process may hold it. */
extern void ckpx_slot_drop(void);

/*
 * Create the slot, hold it, reserve WAL from the present redo point on, save
 * it; returns that point.  *problem (palloc'd) and InvalidXLogRecPtr when
 * there is no free slot.
 */
extern XLogRecPtr ckpx_slot_create_own(char **problem);

/*
 * Move the slot to 'lsn' (never backward) and save it.  When this returns,
 * the move is durable.
 */
extern void ckpx_slot_advance(XLogRecPtr lsn);

extern XLogRecPtr ckpx_slot_restart_lsn(void);

/* Bytes of WAL up to 'present' that the slot holds back. */
extern uint64 ckpx_slot_retained(XLogRecPtr present);

/*
 * The most that may be held: ckpx.max_retained_wal, kept below
 * max_slot_wal_keep_size, so that we give up before the server does.
 */
extern uint64 ckpx_slot_cap(void);

#endif							/* CKPX_WAL_RETENTION_H */
