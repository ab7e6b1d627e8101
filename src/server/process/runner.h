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

/* One step of the runner, see workers.h. */
extern long ckpx_runner_step(void);

/*
 * What the runner has to see to also while it cannot do a step: at the start
 * of its process, and each second while it waits after failures.  And what it
 * notes of the error that ends its process.
 */
extern void ckpx_runner_guard(void);
extern void ckpx_runner_failed(const ErrorData *error);

#endif							/* CKPX_RUNNER_H */
