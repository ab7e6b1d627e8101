/*-------------------------------------------------------------------------
 *
 * timelines.h
 *		The history of timelines that a server is on.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BASEBACKUP_TIMELINES_H
#define CKPX_BASEBACKUP_TIMELINES_H

#include "postgres_fe.h"

#include "access/xlogdefs.h"
#include "bin/basebackup/session.h"

/* A timeline and where it was left; the last one has no end. */
typedef struct TimelinePart
{
	TimeLineID	timeline;
	XLogRecPtr	begin;
	XLogRecPtr	end;
} TimelinePart;

typedef struct Timelines
{
	TimelinePart *parts;		/* oldest first */
	int			count;
} Timelines;

/* The server's history up to a timeline; NULL after run_fail(). */
extern Timelines *timelines_read(Session *session, TimeLineID timeline);

/* Does a range of WAL lie on it?  If not, *problem says why. */
extern bool timelines_contain(const Timelines *timelines, TimeLineID timeline,
							  XLogRecPtr start_lsn, XLogRecPtr end_lsn,
							  char **problem);

#endif							/* CKPX_BASEBACKUP_TIMELINES_H */
