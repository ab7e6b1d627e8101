/*-------------------------------------------------------------------------
 *
 * mark.h
 *		Checkpoint records, as ckpx on the server has decoded them.
 *
 * Two clusters with the same system identifier, timeline and LSNs may have
 * gone different ways.  A checkpoint record has a CRC and a time; a server on
 * which ckpx has read the same one is of the same history up to there.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BASEBACKUP_MARK_H
#define CKPX_BASEBACKUP_MARK_H

#include "bin/basebackup/session.h"
#include "bin/common/label.h"

/* What is known of the record at 'lsn'; mark->lsn stays Invalid if nothing. */
extern bool mark_read(Session *session, XLogRecPtr lsn, CheckpointMark *mark);

/* Has ckpx read this record?  If not, *problem says why; else run_fail(). */
extern bool mark_prove(Session *session, const CheckpointMark *mark,
					   char **problem);

#endif							/* CKPX_BASEBACKUP_MARK_H */
