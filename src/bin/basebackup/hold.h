/*-------------------------------------------------------------------------
 *
 * hold.h
 *		The session that holds the server in backup mode.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BASEBACKUP_HOLD_H
#define CKPX_BASEBACKUP_HOLD_H

#include "bin/basebackup/job.h"

/* Connect and look at the server; false after run_fail(). */
extern bool hold_look(Job *job);

/* A slot, and the backup's start. */
extern bool hold_start(Job *job);

/* A slot only, that holds nothing, for a dry run. */
extern bool hold_token(Job *job);

/* Let the slot go on to what has been fetched. */
extern bool hold_advance_slot(Job *job, XLogRecPtr lsn);

/* Where flushed (standby: replayed) WAL ends now. */
extern bool hold_position(Job *job, uint64 *lsn);

/* pg_control, the backup's stop, and the mark of its checkpoint. */
extern bool hold_stop(Job *job);

/* Wait for the archive to have the last WAL file. */
extern bool hold_await_archive(Job *job);

/* Bytes of all databases: how large a full backup would be. */
extern uint64 hold_cluster_size(Job *job);

/*
 * After a failure: has the session ended that holds slot and backup?  Then the
 * others failed because of it, each in its own way; *reason in new memory.
 */
extern bool hold_lost(Job *job, char **reason);

#endif							/* CKPX_BASEBACKUP_HOLD_H */
