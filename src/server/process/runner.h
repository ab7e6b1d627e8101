/*-------------------------------------------------------------------------
 *
 * runner.h
 *		The cron: follow WAL, cut, schedule checkpoints, release WAL.
 *
 * One process holds one CkpxRunner.  Split over runner.c (the step, reading,
 * cutting), chain.c (where reading begins: boot, epochs, breaks),
 * durability.c (what is on disk) and schedule.c (checkpoint entries).
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_RUNNER_H
#define CKPX_RUNNER_H

#include "postgres.h"

#include "server/logtail/logtail.h"
#include "server/process/replay.h"
#include "server/wal/source.h"

/* Why an epoch ended; see ckpx_gaps. */
#define CKPX_REASON_RETAINED	"more WAL would have been held than \"ckpx.max_retained_wal\" allows"

/* More than one lies ahead only where reading is behind. */
#define CKPX_REDO_POINTS	16

typedef struct CkpxRedoPoint
{
	XLogRecPtr	lsn;
	uint64		known_ms;		/* monotonic time at which it became known */
} CkpxRedoPoint;

typedef enum CkpxChainState
{
	CKPX_CHAIN_NONE = 0,		/* not booted */
	CKPX_CHAIN_FOLLOWING,		/* reading WAL */
	CKPX_CHAIN_BEHIND,			/* replay has not come to the end of what is
								 * known */
	CKPX_CHAIN_CLOSING,			/* reading broke off; what was decoded is
								 * being brought into a last incremental */
	CKPX_CHAIN_NEW_EPOCH		/* a new epoch is to begin */
} CkpxChainState;

typedef struct CkpxRunner
{
	MemoryContext context;		/* lives as long as the process */
	CkpxWalSource *source;
	CkpxChainState chain;
	CkpxBoot	boot;			/* what the boot found */

	/* a cut that found no room in the logtail yet */
	bool		held;
	CkpxWalCut	cut;
	CkpxSegmentInfo cut_info;

	/* redo points of PostgreSQL that reading has not passed, in order */
	uint32		nredos;
	CkpxRedoPoint redos[CKPX_REDO_POINTS];
	XLogRecPtr	newest_redo;	/* that was noted */

	uint64		last_cut_ms;	/* monotonic */
	uint64		last_read_lsn;	/* how far WAL has been counted */

	/* the break that leads to a new epoch */
	char		reason[96];
	XLogRecPtr	from_lsn;		/* end of what is known and proven */
	XLogRecPtr	min_lsn;		/* the epoch may not begin before this */
	uint64		closing_until_ms;
	uint64		checkpoint_asked_ms;	/* of PostgreSQL */
	uint64		epoch_begun_ms; /* the newest epoch that this process began */

	/* what an entry has waited for, to log it seldom */
	uint64		waiting_logged_ms;
	uint64		waiting_log_after_ms;
} CkpxRunner;

/*
 * runner.c: all before 'lsn', where reading stands, is collected.  Takes the
 * lock; the caller tells those who wait.
 */
extern void ckpx_set_collected(CkpxRunner *runner, XLogRecPtr lsn);

/* chain.c: one step towards CKPX_CHAIN_FOLLOWING; ms until the next. */
extern long ckpx_chain_step(CkpxRunner *runner);

/* chain.c: reading cannot go on; 'at_once' gives up what is not finished. */
extern void ckpx_chain_break(CkpxRunner *runner, const char *reason,
							 XLogRecPtr min_lsn, bool at_once);

/*
 * chain.c: have the errors of ckpx_runner_failed() come so many times without
 * WAL being collected past where they come from?  After CKPX_STUCK_ERRORS the chain breaks
 * where they came from; one more, and it breaks at the end of what is in
 * objects.
 */
#define CKPX_STUCK_ERRORS		5

extern bool ckpx_chain_is_stuck(uint32 errors);
extern void ckpx_chain_stuck_reason(char *reason, Size size);

/* durability.c: how far changes are on disk; bring it further. */
extern void ckpx_durability_step(CkpxRunner *runner);
extern void ckpx_durability_request(CkpxRunner *runner, XLogRecPtr upto);

/* schedule.c: create, advance and retry entries. */
extern void ckpx_schedule(CkpxRunner *runner);

/*
 * schedule.c: no segment may reach over this LSN: the end of the unfinished
 * incremental, or where the next one begins.
 */
extern XLogRecPtr ckpx_schedule_boundary(void);

/* 64-bit transaction id of one that is not in the far past or future. */
extern uint64 ckpx_widen_xid(TransactionId xid);

#endif							/* CKPX_RUNNER_H */
