/*-------------------------------------------------------------------------
 *
 * wal.h
 *		Fetching the WAL of a backup, from START to STOP.
 *
 * One connection fetches segments as they are finished, while the others copy
 * files, so that the slot need not hold the WAL of the whole copy.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BASEBACKUP_WAL_H
#define CKPX_BASEBACKUP_WAL_H

#include "postgres_fe.h"

#include "bin/basebackup/copy.h"

typedef struct Wal Wal;

/* Start a thread with a connection of its own. */
extern Wal *wal_begin(const CopyStart *start, TimeLineID timeline,
					  const ControlFileData *control, bool standby);

/* All before this is in the output. */
extern XLogRecPtr wal_fetched(Wal *wal);

/*
 * Fetch the rest, up to STOP on the history that is known now, with the
 * history files, and end the thread.
 */
extern bool wal_end(Wal *wal, const Timelines *timelines,
					XLogRecPtr stop_lsn);

/* End the thread of a run that has failed. */
extern void wal_abandon(Wal *wal);

#endif							/* CKPX_BASEBACKUP_WAL_H */
