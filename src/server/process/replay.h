/*-------------------------------------------------------------------------
 *
 * replay.h
 *		Boot: from the files on disk to the history in shared memory.
 *
 * Called by the runner while 'booted' is false and no job runs, so nobody
 * else writes the entry store.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_REPLAY_H
#define CKPX_REPLAY_H

#include "postgres.h"

#include "core/history/entry.h"

#define CKPX_REASON_COPY	"data directory is a copy"

/* What was found, and where decoding has to go on. */
typedef struct CkpxBoot
{
	bool		have_history;	/* some epoch is known */
	bool		have_entry;		/* 'last' is set: the chain's newest range */
	CkpxEntry	last;
	XLogRecPtr	known_end;		/* end of what is known */
	TimeLineID	timeline;		/* of known_end */
	bool		lost_end;		/* more was known, but its objects are lost */
	bool		copied;			/* the data directory is a copy */
	bool		inside;			/* the store lies in the data directory, so it
								 * was copied or restored together with it */
	char		break_reason[96];	/* not "": a new epoch is needed */
} CkpxBoot;

/* Load manifest and objects into the entry store and the logtail. */
extern void ckpx_replay_load(CkpxBoot *boot);

#endif							/* CKPX_REPLAY_H */
