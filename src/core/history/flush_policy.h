/*-------------------------------------------------------------------------
 *
 * flush_policy.h
 *		Which relations to flush now, and why: time, jitter and pressure in,
 *		a reason for each relation out.
 *
 * A relation's dirty bytes are told apart into append bytes (blocks that got
 * rows, and those of which nothing is known) and delete bytes (blocks that
 * only lost rows or changed them: deletes, old versions, locks, pruning).  The
 * first rule that holds is the relation's reason:
 *
 *		FORCED		it was asked for
 *		DEADLINE	it has been dirty for five flush intervals, give or take
 *					a tenth, so that relations do not come due together
 *		CAPACITY	append + delete bytes are more than one relation may have
 *		DELETES		little was appended and much deleted
 *		PRESSURE	the dirty bytes of all together are at the cap: the
 *					largest first, until what would stay is under the target
 *
 * Relations with less than CKPX_FLUSH_SMALL_APPEND append bytes are not taken
 * under pressure: many small ones win little.  Nothing is drawn by lot, so the
 * same input always has the same answer.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_FLUSH_POLICY_H
#define CKPX_FLUSH_POLICY_H

#include "core/types.h"

#define CKPX_FLUSH_SMALL_APPEND		((uint64) 1024 * 1024)
#define CKPX_FLUSH_MANY_DELETES		((uint64) 2560 * 1024)

typedef enum CkpxFlushReason
{
	CKPX_FLUSH_NONE = 0,
	CKPX_FLUSH_FORCED,
	CKPX_FLUSH_DEADLINE,
	CKPX_FLUSH_CAPACITY,
	CKPX_FLUSH_DELETES,
	CKPX_FLUSH_PRESSURE,
	CKPX_FLUSH_CHECKPOINT,		/* a range of WAL was to become durable: never
								 * this module's answer */
	CKPX_FLUSH_NREASONS
} CkpxFlushReason;

typedef struct CkpxFlushPolicy
{
	uint64		memory_cap;		/* dirty bytes at which pressure is full */
	uint64		table_capacity; /* dirty bytes that one relation may have */
} CkpxFlushPolicy;

typedef struct CkpxFlushInput
{
	bool		forced;
	bool		unsynced;		/* written, but syncing failed: clean is not
								 * durable, so the deadline holds */
	int64		deadline_ms;	/* monotonic; 0: none */
	uint64		append_bytes;
	uint64		delete_bytes;
} CkpxFlushInput;

/* Dirty bytes against the cap, at most 1; 0 where there is no cap. */
extern double ckpx_flush_pressure(const CkpxFlushPolicy *policy,
								  uint64 dirty_bytes);

/*
 * Decide about all relations: reasons[i] is why inputs[i] is to be flushed
 * now, or NONE.
 */
extern void ckpx_flush_decide(const CkpxFlushPolicy *policy, int64 now_ms,
							  const CkpxFlushInput *inputs, uint32 count,
							  CkpxFlushReason *reasons);

/* The jitter that makes the latest deadline. */
#define CKPX_FLUSH_LATEST	20

/*
 * When a relation that is dirty from 'now_ms' on must have been flushed.
 * 'jitter' is any number; of it follows one of 21 factors, 0.90 to 1.10.
 */
extern int64 ckpx_flush_deadline(int64 now_ms, int64 flush_interval_ms,
								 uint32 jitter);

/*
 * Is it time for the writes by policy?  A page that is written once per
 * checkpoint cycle, shortly before the checkpoint, is one that the checkpoint
 * need not write; a page written earlier is often written again.  So it is
 * time in the last part of the cycle, judged by what is further: its time, or
 * the WAL that starts a checkpoint.
 */
extern bool ckpx_flush_is_late(int64 cycle_age_ms, int64 timeout_ms,
							   uint64 cycle_wal, uint64 max_cycle_wal);

/*
 * How long until 'part' (0 to 1) of a checkpoint cycle is over, by its time or
 * by its WAL at the rate so far, whichever is shorter; 0 if it is.
 */
extern int64 ckpx_flush_left_ms(int64 cycle_age_ms, int64 timeout_ms,
								uint64 cycle_wal, uint64 max_cycle_wal,
								double part);

/*
 * How long a pass of that time may take, so that it does its writes evenly and
 * is done before the checkpoint: most of what is left of the cycle.
 */
extern int64 ckpx_flush_window_ms(int64 cycle_age_ms, int64 timeout_ms,
								  uint64 cycle_wal, uint64 max_cycle_wal);

/* How long after the begin of such a pass block 'done' of 'total' is due. */
extern int64 ckpx_flush_pace_ms(uint64 done, uint64 total, int64 window_ms);

extern const char *ckpx_flush_reason_name(CkpxFlushReason reason);

#endif							/* CKPX_FLUSH_POLICY_H */
