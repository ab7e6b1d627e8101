/*-------------------------------------------------------------------------
 *
 * durable.h
 *		How far changes are on disk, and ranges of them on their way there.
 *
 * The one place that knows when something is durable.  durable_lsn says:
 * every change of the present epoch whose record starts before it is on disk;
 * a change without a record, as a sequence's page has them, counts as one at
 * the position that WAL had then.  It never goes back.  Files under
 * construction are apart from it: see process/durability.c, which gathers
 * what makes it move.
 *
 * A range: somebody wants every change before an LSN on disk.
 *	1. a backend calls _want() and wakes the runner; a pending entry needs no
 *	   such call, the runner itself knows it
 *	2. runner: _ask(), when the LSN is decoded, with the files that were under
 *	   construction, and wakes the flusher
 *	3. flusher: _take(), a durable pass over what changed in [start, upto),
 *	   then _done() or _failed(), and broadcasts; after a failure nobody can
 *	   ask before the time of the next try
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_FLUSH_DURABLE_H
#define CKPX_FLUSH_DURABLE_H

#include "postgres.h"

#include "server/flush/shared.h"

/* What the runner has found out. */
typedef struct CkpxDurability
{
	XLogRecPtr	durable;		/* durable_lsn */
	XLogRecPtr	synced;			/* files built by transactions that ended
								 * before it are synced */
	XLogRecPtr	wanted;			/* by backends, as far as it is decoded */
	bool		moved;			/* durable_lsn did */
} CkpxDurability;

/* A range that the flusher is to bring to disk. */
typedef struct CkpxDurableRange
{
	XLogRecPtr	start;
	XLogRecPtr	upto;
	uint32		nbuilds;
	CkpxRelKey	builds[CKPX_JOB_LIST];
} CkpxDurableRange;

/*
 * Answers, for callers that hold the lock: is every change in [start, end) on
 * disk, will the answer for all before 'upto' stay as it is, and can the
 * flusher bring a range to disk?  If it cannot, only PostgreSQL's checkpoints
 * do.
 */
extern bool ckpx_durable_range(XLogRecPtr start, XLogRecPtr end);
extern bool ckpx_durable_is_final(XLogRecPtr upto);
extern bool ckpx_durable_usable(void);

/*
 * The same for callers without the lock: are changes up to the record that
 * starts at 'last_change' on disk, and if not, what do they wait for?
 */
extern bool ckpx_durable_reached(XLogRecPtr last_change, char *waiting,
								 Size size);
extern XLogRecPtr ckpx_durable_lsn(void);
extern XLogRecPtr ckpx_durable_synced_lsn(void);

/*
 * Runner: learn the redo point of PostgreSQL's last completed checkpoint
 * (Invalid: not known) and the last change in the logtail; then, where the
 * files under construction are ('from' to 'to', Invalid: none), and how far
 * all of this is final.  True if a waiting process may see something new.
 */
extern void ckpx_durable_learn(XLogRecPtr redo, XLogRecPtr last_change,
							   CkpxDurability *durability);
extern bool ckpx_durable_set_builds(XLogRecPtr from, XLogRecPtr to,
									XLogRecPtr final);

/* The protocol of a range, see above.  None of these waits. */
extern void ckpx_durable_want(XLogRecPtr upto);
extern bool ckpx_durable_ask(XLogRecPtr upto, const CkpxRelKey *builds,
							 uint32 nbuilds);
extern bool ckpx_durable_take(CkpxDurableRange *range);
extern void ckpx_durable_done(XLogRecPtr upto, bool proven);
extern void ckpx_durable_failed(XLogRecPtr upto, const char *message);

#endif							/* CKPX_FLUSH_DURABLE_H */
