/*-------------------------------------------------------------------------
 *
 * pass.h
 *		One pass of the flusher over some of the changed blocks.
 *
 * A durable pass up to an LSN leaves every change before it, of what it is
 * about, on disk, whatever happens to these blocks meanwhile.  It always ends:
 * each buffer is visited once.  A policy pass only writes, to leave less to
 * PostgreSQL's checkpoint, and proves nothing.
 *
 * Passes raise errors; the flusher's step catches them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_FLUSH_PASS_H
#define CKPX_FLUSH_PASS_H

#include "postgres.h"

#include "server/flush/shared.h"

/* What a pass did. */
typedef struct CkpxPassResult
{
	uint64		blocks_written;
	uint64		fsyncs;
} CkpxPassResult;

/*
 * Durable pass over everything that changed in [start, upto), which must be
 * collected and in the logtail, and over the files 'builds'; over these alone
 * where the range is empty.  False where the
 * logtail begins after 'start' by now: it was trimmed, because the range has
 * become durable otherwise.
 */
extern bool ckpx_pass_range(XLogRecPtr start, XLogRecPtr upto,
							const CkpxRelKey *builds, uint32 nbuilds,
							CkpxPassResult *result);

/*
 * Durable pass over whole relations, whose keys are in order.  WAL must be
 * flushed up to 'upto', on a standby replayed.  missing[i] says that the file
 * of keys[i] is not there, written[i] is how many blocks of it were written.
 */
extern void ckpx_pass_relations(const CkpxRelKey *keys, uint32 nkeys,
								XLogRecPtr upto, CkpxFlushReason reason,
								bool *missing, uint64 *written,
								CkpxPassResult *result);

/*
 * Policy pass over relations, taking 'window_ms' for its writes.  Blocks in
 * the newest cut are left alone unless it is 'late' in the checkpoint cycle; a
 * block is written once in a cycle, which is known by its redo point.
 */
extern void ckpx_pass_policy(const CkpxRelKey *keys, uint32 nkeys,
							 CkpxFlushReason reason, bool late,
							 int64 window_ms, XLogRecPtr redo,
							 CkpxPassResult *result);

#endif							/* CKPX_FLUSH_PASS_H */
