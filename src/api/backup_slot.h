/*-------------------------------------------------------------------------
 *
 * backup_slot.h
 *		The running backup that a call belongs to.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BACKUP_SLOT_H
#define CKPX_BACKUP_SLOT_H

#include "postgres.h"

/*
 * Raise 55000 unless 'name' is a temporary physical replication slot of this
 * server that a session holds now.  Such a slot ends with its session, and
 * backup mode with it: a connection that was led to another node, or outlived
 * the backup, reads nothing.
 */
extern void ckpx_require_backup(const char *name);

#endif							/* CKPX_BACKUP_SLOT_H */
