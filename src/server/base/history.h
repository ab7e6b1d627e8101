/*-------------------------------------------------------------------------
 *
 * history.h
 *		The newest checkpoints that were seen, PostgreSQL's and ckpx's: what
 *		the view ckpx_history shows.
 *
 * A ring of fixed size in shared memory.  What is lost when it is full is the
 * oldest item; all are lost with the shared memory.  It is for people:
 * nothing is decided by it.
 *
 * CkpxShared->lock guards everything here.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_HISTORY_H
#define CKPX_HISTORY_H

#include "postgres.h"

#include "catalog/pg_control.h"
#include "core/history/entry.h"
#include "utils/timestamp.h"

/* Some 56 bytes each. */
#define CKPX_HISTORY_SIZE		1000

typedef enum CkpxHistoryKind
{
	/* finished entries of ckpx */
	CKPX_HISTORY_INCREMENTAL = 0,
	CKPX_HISTORY_GLOBAL,
	CKPX_HISTORY_BACKUP,

	/* PostgreSQL's; the first three are records in WAL */
	CKPX_HISTORY_ONLINE,
	CKPX_HISTORY_SHUTDOWN,		/* also one at the end of crash recovery: the
								 * record is the same */
	CKPX_HISTORY_END_OF_RECOVERY,
	CKPX_HISTORY_RESTARTPOINT
} CkpxHistoryKind;

typedef struct CkpxHistoryItem
{
	CkpxHistoryKind kind;
	uint32		epoch;			/* of ckpx's */
	TimeLineID	timeline;
	uint32		crc;			/* of PostgreSQL's: of the record */
	XLogRecPtr	start_lsn;		/* of the range; or the redo point, Invalid at
								 * an end of recovery without checkpoint */
	XLogRecPtr	end_lsn;		/* of the range; or start of the record */
	TimestampTz started_at;		/* the range's cut; or the record's time */
	TimestampTz seen_at;
	uint64		size_bytes;		/* of ckpx's */
} CkpxHistoryItem;

typedef struct CkpxHistory
{
	uint64		nseen;			/* the n-th lies at n % CKPX_HISTORY_SIZE */
	XLogRecPtr	control_lsn;	/* the checkpoint in pg_control at the last
								 * look */
	CkpxHistoryItem items[CKPX_HISTORY_SIZE];
} CkpxHistory;

/*
 * Add a checkpoint of PostgreSQL.  WAL may be read again after a restart of
 * the runner: what is there already is not added twice.
 */
extern void ckpx_history_add(CkpxHistory *history,
							 const CkpxHistoryItem *item);

/* Add an entry that is finished. */
extern void ckpx_history_add_entry(CkpxHistory *history,
								   const CkpxEntry *entry);

/*
 * What pg_control says.  Restartpoints write no WAL: one has completed where
 * this changes in recovery.
 */
extern void ckpx_history_look(CkpxHistory *history, bool in_recovery,
							  XLogRecPtr checkpoint_lsn,
							  const CheckPoint *checkpoint);

extern bool ckpx_history_is_own(CkpxHistoryKind kind);
extern const char *ckpx_history_kind_name(CkpxHistoryKind kind);

#endif							/* CKPX_HISTORY_H */
