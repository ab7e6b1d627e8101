/*-------------------------------------------------------------------------
 *
 * buffers.h
 *		Finding dirty shared buffers, and writing them.
 *
 * Finding: one walk over the buffer headers.  It takes a header's lock only
 * where the buffer looks dirty without it.  That is no gamble: a change marks
 * its buffer dirty before its record is in WAL (a change that does it the
 * other way round delays checkpoints, and a durable pass has waited for
 * those), so a process that has seen the record flushed or replayed sees the
 * mark; and a mark that is gone was taken away after the page had been
 * written to the file.
 *
 * Writing: each buffer by itself.  It is pinned only if it still holds the
 * block, written under the share lock of its content, and unpinned before
 * anything else is done, so nobody ever waits for more than one page write.
 * A buffer that holds another block by then was written by the backend that
 * took it.
 *
 * Every process may walk; only workers write.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_FLUSH_BUFFERS_H
#define CKPX_FLUSH_BUFFERS_H

#include "postgres.h"

#include "core/history/flush_policy.h"
#include "core/types.h"

/* A dirty buffer that was found. */
typedef struct CkpxDirtyBuffer
{
	CkpxRelKey	key;
	BlockNumber block;
	int			buffer;			/* index of its header */
} CkpxDirtyBuffer;

typedef struct CkpxDirtyBuffers
{
	CkpxDirtyBuffer *buffers;
	uint32		count;
	uint32		max;
} CkpxDirtyBuffers;

/* Called with each dirty buffer; holds no lock and no pin. */
typedef void (*CkpxDirtyCallback) (void *arg, const CkpxRelKey *key,
								   BlockNumber block, int buffer);

/* Call 'callback' for each dirty buffer of a permanent relation. */
extern void ckpx_dirty_buffers_walk(CkpxDirtyCallback callback, void *arg);

/* Is this dirty block of interest? */
typedef bool (*CkpxBlockWanted) (void *arg, const CkpxRelKey *key,
								 BlockNumber block);

/*
 * Find the dirty buffers of permanent relations that 'wanted' says yes to, in
 * the order of relation, fork and block; in the current memory context.
 */
extern void ckpx_dirty_buffers_find(CkpxDirtyBuffers *found,
									CkpxBlockWanted wanted, void *arg);

/*
 * Count the dirty buffers of relations, whose keys are in order; all of their
 * forks.  No keys: of all permanent relations.
 */
extern uint64 ckpx_dirty_buffers_count(const CkpxRelKey *keys, uint32 nkeys);

/* How to write them. */
typedef struct CkpxWriteOptions
{
	CkpxFlushReason reason;		/* for ckpx_progress */
	bool		durable;		/* every one; else some may be left out: those
								 * whose WAL is not flushed yet, and all that
								 * is left when somebody waits for a durable
								 * pass */
	int64		window_ms;		/* do them evenly over this time; 0: at once */
	void		(*written) (void *arg, const CkpxRelKey *key,
							BlockNumber block); /* or NULL */
	void	   *arg;
} CkpxWriteOptions;

/* Write them, paced; returns how many were still dirty and were written. */
extern uint64 ckpx_dirty_buffers_write(const CkpxDirtyBuffers *found,
									   const CkpxWriteOptions *options);

#endif							/* CKPX_FLUSH_BUFFERS_H */
