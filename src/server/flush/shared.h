/*-------------------------------------------------------------------------
 *
 * shared.h
 *		What the flusher shares with the runner and with backends.
 *
 * Durability comes from the flusher in two ways.  Ranges of WAL are a matter
 * of flush/durable.h.
 *
 * Single relations: a backend takes a request slot, puts one ticket for each
 * file into the dirty queue and waits for its slot's counts to reach the
 * total.  Every ticket taken is counted as done, missing or failed, unless
 * the flusher dies: its number of starts then tells the backend to ask again.
 * A slot whose owner has died is free.
 *
 * The list of relations is the flusher's own work sheet (flush/sheet.h), laid
 * open for the view ckpx_dirty_tables and for its next process.
 *
 * CkpxShared->lock guards everything here.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_FLUSH_SHARED_H
#define CKPX_FLUSH_SHARED_H

#include "postgres.h"

#include "core/history/flush_policy.h"
#include "server/base/shared_state.h"

#define CKPX_FLUSH_SLOTS		32
#define CKPX_FLUSH_RELATIONS	1024

/* One backend that waits for relations to be flushed. */
typedef struct CkpxFlushSlot
{
	uint64		request;		/* number of the request, or 0: free */
	int			pid;			/* of its owner */
	uint32		ntotal;			/* tickets put into the queue */
	uint32		ndone;
	uint32		nmissing;		/* done, but its file was not there */
	uint32		nfailed;
	uint64		blocks_written;
	char		error[CKPX_ERROR_TEXT_MAX]; /* of the last one that failed */
} CkpxFlushSlot;

/* A relation with dirty buffers, or one that was flushed. */
typedef struct CkpxFlushRelation
{
	CkpxRelKey	key;			/* fork 0: all forks together */
	uint64		dirty_blocks;	/* at the last look; 0 while nobody looks */
	uint64		append_bytes;
	uint64		delete_bytes;
	int64		deadline_ms;	/* monotonic; 0: none, it is clean */
	XLogRecPtr	dirty_from;		/* where WAL ended when it got its deadline */
	XLogRecPtr	flushed_lsn;	/* its changes before this are on disk */
	CkpxFlushReason reason;		/* why it would be flushed now */
	char		last_error[CKPX_ERROR_TEXT_MAX];
} CkpxFlushRelation;

/* What passes did, by reason. */
typedef struct CkpxFlushCounters
{
	uint64		passes;
	uint64		blocks_written;
	uint64		fsyncs;
	uint64		usec;
	uint64		failures;
} CkpxFlushCounters;

typedef enum CkpxFlushPhase
{
	CKPX_FLUSH_PHASE_NONE = 0,	/* no pass at work */
	CKPX_FLUSH_PHASE_WAIT,		/* for replay, or for changes half made */
	CKPX_FLUSH_PHASE_SCAN,		/* of the buffer headers */
	CKPX_FLUSH_PHASE_WRITE,		/* counts blocks */
	CKPX_FLUSH_PHASE_SYNC		/* counts relation forks */
} CkpxFlushPhase;

/* The pass at work. */
typedef struct CkpxFlushProgress
{
	CkpxFlushPhase phase;
	CkpxFlushReason reason;
	uint64		done;
	uint64		total;
	TimestampTz started_at;
} CkpxFlushProgress;

typedef struct CkpxFlushShared
{
	/* ranges: flush/durable.c */
	XLogRecPtr	range_wanted;	/* by backends */
	XLogRecPtr	range_request;	/* by the runner; Invalid: none */
	uint32		nbuilds;		/* files to be synced although no block of
								 * theirs may be in the range */
	CkpxRelKey	builds[CKPX_JOB_LIST];
	bool		too_many_builds;	/* a checkpoint is needed instead */
	uint32		range_failures; /* in a row */
	uint64		range_retry_ms; /* not before this, monotonic */
	char		range_error[CKPX_ERROR_TEXT_MAX];

	/* the runner's knowledge: flush/durable.c */
	XLogRecPtr	completed_redo; /* of PostgreSQL's last completed checkpoint */
	XLogRecPtr	synced_lsn;		/* files built by transactions that ended
								 * before it are synced; the flusher moves it,
								 * too */
	XLogRecPtr	undurable_from; /* files under construction: the WAL that */
	XLogRecPtr	undurable_to;	/* holds their changes; Invalid: none */
	XLogRecPtr	undurable_at;	/* how far this, and durable_lsn, are final */

	/* relations */
	uint64		last_request;
	CkpxFlushSlot slots[CKPX_FLUSH_SLOTS];
	bool		sheet_kept;		/* up to date, by the flusher's ticks */
	double		pressure;		/* while it is kept */
	uint32		nrelations;		/* in the order of their keys */
	CkpxFlushRelation relations[CKPX_FLUSH_RELATIONS];

	CkpxFlushProgress progress;
	CkpxFlushCounters counters[CKPX_FLUSH_NREASONS];
} CkpxFlushShared;

/* A part of the shared memory, see shared_state.h. */
extern Size ckpx_flush_shmem_size(void);
extern void ckpx_flush_shmem_init(void *place, bool found);

/* The progress of the pass at work; phase NONE: it is over. */
extern void ckpx_flush_progress(CkpxFlushPhase phase, CkpxFlushReason reason,
								uint64 done, uint64 total);

/* Does somebody wait for a durable pass? */
extern bool ckpx_flush_urgent(void);

/*
 * A backend's request slots.  _begin takes one, false when all are taken;
 * _add asks for one file, false when the dirty queue is full; _end gives the
 * slot back.  None of these waits.
 */
extern bool ckpx_flush_begin(uint64 *request);
extern bool ckpx_flush_add(uint64 request, const CkpxRelKey *key,
						   XLogRecPtr upto);
extern void ckpx_flush_end(uint64 request);

/* The slot of a request, or NULL where it is over.  Caller holds the lock. */
extern CkpxFlushSlot *ckpx_flush_slot(uint64 request);

/* Bring keys in order, each once; returns how many are left. */
extern uint32 ckpx_sort_keys(CkpxRelKey *keys, uint32 nkeys);

/* The key of the relation of this fork among keys with fork 0, or NULL. */
extern const CkpxRelKey *ckpx_find_key(const CkpxRelKey *keys, uint32 nkeys,
									   const CkpxRelKey *key);

#endif							/* CKPX_FLUSH_SHARED_H */
