/*-------------------------------------------------------------------------
 *
 * source.h
 *		From WAL to dirty trees.
 *
 * The source reads WAL from a known position on, never past what is flushed
 * (on a standby: replayed), and gathers what the records changed.  A cut
 * takes what has gathered: it covers [end of the previous cut, end of the
 * last decoded record) and is complete, because only whole records are ever
 * decoded.
 *
 * What the map holds beyond the records' own block references, because the
 * pages change without being named (see wal/decode.c for the reasons): the VM
 * page of every heap block, the VM page at a truncation's edge, block 0 of a
 * sequence until a checkpoint's redo point passes its last record, block 0
 * of an SP-GiST index, whole databases, created and dropped forks.
 *
 * Used by the runner only, in one process; no locks are held across calls.
 * Errors of the operating system are raised; what the WAL itself says is a
 * result.  On any error free the source and start anew.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_WAL_SOURCE_H
#define CKPX_WAL_SOURCE_H

#include "postgres.h"

#include "core/format/object_format.h"
#include "server/wal/cut.h"

typedef struct CkpxWalSource CkpxWalSource;

typedef enum CkpxWalResult
{
	CKPX_WAL_CAUGHT_UP = 0,		/* decoded all there is for now */
	CKPX_WAL_MORE,				/* the budget is used up, there is more */
	CKPX_WAL_SWITCH,			/* reached the end of a timeline: cut now; the
								 * next read goes on with the next timeline */
	CKPX_WAL_REDO,				/* the next record is a redo point of
								 * PostgreSQL: cut now; the next read goes on
								 * with it */
	CKPX_WAL_BROKEN				/* cannot go on: see ckpx_wal_source_problem */
} CkpxWalResult;

/* Why reading broke off. */
typedef enum CkpxWalBreak
{
	CKPX_BREAK_NONE = 0,
	CKPX_BREAK_GONE,			/* a WAL segment is missing */
	CKPX_BREAK_INVALID,			/* not the record that must be here */
	CKPX_BREAK_BEHIND,			/* resume only: WAL ends before the position;
								 * in recovery replay may still get there, on
								 * a primary it never will */
	CKPX_BREAK_SPECIAL,			/* an unknown record with
								 * XLR_SPECIAL_REL_UPDATE: the next epoch can
								 * begin right behind it */
	CKPX_BREAK_MINIMAL,			/* wal_level was minimal: the next epoch can
								 * begin where it is no longer, if that record
								 * has come */
	CKPX_BREAK_HISTORY			/* the position is not in this timeline's
								 * history */
} CkpxWalBreak;

typedef struct CkpxWalProblem
{
	CkpxWalBreak kind;
	XLogRecPtr	lsn;			/* where */
	XLogRecPtr	resume_lsn;		/* SPECIAL, MINIMAL: where the next epoch can
								 * begin; invalid: not known (yet) */
	XLogRecPtr	switch_lsn;		/* HISTORY: where this history left the
								 * position's timeline; invalid: it never was
								 * on it */
	char		text[160];		/* for the log and the gap's reason */
} CkpxWalProblem;

/*
 * Make a source in its own context below 'parent'.  Freeing it, or resetting
 * 'parent', closes its file.
 */
extern CkpxWalSource *ckpx_wal_source_create(MemoryContext parent,
											 CkpxFirstRecordCallback callback);
extern void ckpx_wal_source_free(CkpxWalSource *source);

/*
 * Begin a new chain at 'lsn' on 'timeline': the exact start of a record (a
 * redo point or the end of a record), or a page boundary with a record right
 * behind its header.  Where it is not that the first read says INVALID.
 *
 * What has gathered is thrown away: cut before.  Sequences are remembered, and
 * where the chain goes on at the old position (or at the resume_lsn of
 * SPECIAL) open transactions, too.  A new source that begins elsewhere than at
 * a redo point must be told the active sequences.
 */
extern void ckpx_wal_source_begin(CkpxWalSource *source, XLogRecPtr lsn,
								  TimeLineID timeline);

/*
 * Continue a chain: its last record is 'mark', its end 'lsn', on 'timeline'.
 * Reads that record again and makes sure that it is the same (length, CRC,
 * and its end is 'lsn'), and, unless WAL of it is gone, the whole run that it
 * ends (hash); the next record's xl_prev is checked by reading on.  False: one
 * of them is not, or the record's WAL is gone, or flushed WAL ends before
 * 'lsn', or 'lsn' is not in the history of the present timeline: see
 * ckpx_wal_source_problem.  A mark without a start is not checked, nor a run
 * without one.  Handles interrupts.
 */
extern bool ckpx_wal_source_resume(CkpxWalSource *source, XLogRecPtr lsn,
								   TimeLineID timeline,
								   const CkpxRecordMark *mark);

/*
 * After _resume: hand over what an earlier process knew at that position.
 * Sequences that may still change without WAL, transactions then open, and
 * relations made by one of those.
 */
extern void ckpx_wal_source_add_sequence(CkpxWalSource *source,
										 const CkpxRelKey *key);
extern void ckpx_wal_source_add_open_xact(CkpxWalSource *source,
										  TransactionId xid,
										  XLogRecPtr first_lsn);
extern void ckpx_wal_source_add_undurable(CkpxWalSource *source,
										  const CkpxRelKey *key);

/* Those transactions are all that were open. */
extern void ckpx_wal_source_set_complete(CkpxWalSource *source);

/*
 * Decode until caught up, 'upto' (Invalid: no bound) is reached or passed, or
 * 'max_bytes' of WAL are read (0: no bound).  Handles interrupts all along.
 * SWITCH may come where the position is a little before the switch point: a
 * record that was cut off there never happened.
 */
extern CkpxWalResult ckpx_wal_source_read(CkpxWalSource *source,
										  XLogRecPtr upto, uint64 max_bytes);
extern const CkpxWalProblem *ckpx_wal_source_problem(const CkpxWalSource *source);

/* End of the last decoded record, and its timeline. */
extern XLogRecPtr ckpx_wal_source_position(const CkpxWalSource *source,
										   TimeLineID *timeline);

/* Was anything decoded since the last cut? */
extern bool ckpx_wal_source_pending(const CkpxWalSource *source);

/* Memory in use, but for the bytes of WAL. */
extern Size ckpx_wal_source_memory(const CkpxWalSource *source);

/* Take what has gathered. */
extern void ckpx_wal_source_cut(CkpxWalSource *source, CkpxWalCut *cut);

/*
 * The one name of a position: where only a page's header lies between a page
 * boundary and 'lsn', the boundary.  A record ends at the boundary and the
 * next one starts behind the header, and both mean the same place; all ends
 * and starts of ranges that ckpx keeps are of the first kind.
 */
extern XLogRecPtr ckpx_wal_normalize_lsn(XLogRecPtr lsn);

/* How far WAL may be read now, and on which timeline it ends. */
extern XLogRecPtr ckpx_wal_read_limit(TimeLineID *timeline);

/*
 * Transactions open at the present position, by xid, palloc'd.  *complete is
 * false until a RUNNING_XACTS record has told of those that began before the
 * chain; their first_lsn is invalid: not known.  Subtransactions whose parent
 * is unknown count.
 */
extern uint32 ckpx_wal_source_open_xacts(const CkpxWalSource *source,
										 CkpxOpenXact **xacts,
										 bool *complete);

/*
 * Relations made by a transaction that is still open, or that ended after
 * 'redo': their files may hold blocks that are not synced yet, because
 * bulk builds write and sync outside shared buffers (keys, palloc'd).
 * Entries whose transaction ended before 'redo' are forgotten.
 */
extern uint32 ckpx_wal_source_undurable(CkpxWalSource *source, XLogRecPtr redo,
										CkpxRelKey **keys);

/*
 * The same relations from the other side, forgetting none: 'ended' are those
 * whose transaction ended at or after 'durable', so that their files have to
 * be synced once more before they can be forgotten (keys, palloc'd). [*from,
 * *to) holds every change of all of them; *to is PG_UINT64_MAX where a
 * transaction is still open, both are invalid where there is none.
 */
extern uint32 ckpx_wal_source_builds(const CkpxWalSource *source,
									 XLogRecPtr durable, CkpxRelKey **ended,
									 XLogRecPtr *from, XLogRecPtr *to);

#endif							/* CKPX_WAL_SOURCE_H */
