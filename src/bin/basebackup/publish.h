/*-------------------------------------------------------------------------
 *
 * publish.h
 *		From all files copied to a backup with its name.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BASEBACKUP_PUBLISH_H
#define CKPX_BASEBACKUP_PUBLISH_H

#include "bin/basebackup/job.h"

/* Label, tablespace map and pg_control, which comes last. */
extern bool publish_control_files(Job *job);

/* Manifest, sync, rename. */
extern bool publish_backup(Job *job);

/* The server's row and the pin; the backup is complete whatever they say. */
extern bool publish_record(Job *job);

#endif							/* CKPX_BASEBACKUP_PUBLISH_H */
