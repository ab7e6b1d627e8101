/*-------------------------------------------------------------------------
 *
 * chain.h
 *		Where the reading of WAL begins: boot, new epochs, breaks.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_CHAIN_H
#define CKPX_CHAIN_H

#include "postgres.h"

#include "server/process/runner.h"

/* Why an epoch ended; see ckpx_gaps. */
#define CKPX_REASON_RETAINED	"more WAL would have been held than \"ckpx.max_retained_wal\" allows"

/* One step towards CKPX_CHAIN_FOLLOWING; ms until the next. */
extern long ckpx_chain_step(CkpxRunner *runner);

/*
 * Have all that read the history wait until it is loaded again.  True: a job
 * still runs; to be called again until it has ended.
 */
extern bool ckpx_chain_unload(void);

/* Reading cannot go on; 'at_once' gives up what is not finished. */
extern void ckpx_chain_break(CkpxRunner *runner, const char *reason,
							 XLogRecPtr min_lsn, bool at_once);

/*
 * Have the errors of ckpx_runner_failed() come so many times without WAL being
 * collected past where they come from?  After CKPX_STUCK_ERRORS the chain
 * breaks where they came from; one more, and it breaks at the end of what is
 * in objects.
 */
#define CKPX_STUCK_ERRORS		5

extern bool ckpx_chain_is_stuck(uint32 errors);
extern void ckpx_chain_stuck_reason(char *reason, Size size);

/*
 * All before 'lsn', where reading stands, is collected.  Takes the lock; the
 * caller wakes the waiters.
 */
extern void ckpx_chain_set_collected(CkpxRunner *runner, XLogRecPtr lsn);

/* 64-bit transaction id of one that is not in the far past or future. */
extern uint64 ckpx_widen_xid(TransactionId xid);

#endif							/* CKPX_CHAIN_H */
