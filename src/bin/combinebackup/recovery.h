/*-------------------------------------------------------------------------
 *
 * recovery.h
 *		Settings for point-in-time recovery.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BIN_RECOVERY_H
#define CKPX_BIN_RECOVERY_H

#include "postgres_fe.h"

typedef struct RecoveryOptions
{
	const char *time;
	const char *lsn;
	const char *name;
	const char *xid;
	const char *action;
	const char *restore_command;
} RecoveryOptions;

/*
 * The lines for postgresql.auto.conf in new memory; NULL where nothing was
 * asked for, or with *problem (static text) where it cannot be.
 */
extern char *recovery_lines(const RecoveryOptions *options,
							const char **problem);

/*
 * "YYYY-MM-DD HH:MM:SS+HH[:MM]", or with Z or UTC, as seconds since 1970.
 * False where it is something else: without a zone nobody but the server
 * knows which moment is meant.
 */
extern bool recovery_parse_time(const char *text, int64 *seconds);

#endif							/* CKPX_BIN_RECOVERY_H */
