/*-------------------------------------------------------------------------
 *
 * policy.h
 *		Pure decisions: time, counts and settings in, a decision with its
 *		reason out.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_POLICY_H
#define CKPX_POLICY_H

#include "core/history/entry.h"

/* Settings, in the units of their GUCs' comments. */
typedef struct CkpxCheckpointPolicy
{
	int64		min_incremental_interval_ms;
	int64		min_count;		/* transactions */
	int64		max_incremental_interval_ms;	/* 0: off */
	uint64		max_incremental_wal;	/* bytes, 0: off */
	uint64		max_retained_wal;	/* bytes */
} CkpxCheckpointPolicy;

/* What has gathered between the newest finished end and the last cut. */
typedef struct CkpxCheckpointInput
{
	bool		first;			/* no incremental in this epoch yet */
	bool		forced;			/* it was asked for */
	int64		since_last_cut_ms;	/* age of the newest incremental's cut; of
									 * the epoch's begin if it is the first */
	uint64		nxacts;			/* transactions ended since */
	uint64		wal_bytes;		/* WAL since */
	bool		anything_changed;	/* any block changed since */
	uint64		retained_wal;	/* WAL that ckpx holds back now, bytes */
} CkpxCheckpointInput;

typedef enum CkpxReason
{
	CKPX_REASON_NONE = 0,		/* do nothing */
	CKPX_REASON_FORCED,
	CKPX_REASON_COUNT,			/* interval passed and enough transactions */
	CKPX_REASON_TIME,			/* max interval passed and something changed */
	CKPX_REASON_WAL,			/* max_incremental_wal has gone by */
	CKPX_REASON_RETENTION		/* over half of max_retained_wal is held */
} CkpxReason;

/*
 * Make a new incremental now?
 *
 * Forced: yes.  An empty stretch of WAL (wal_bytes 0): never else.  COUNT:
 * min_count transactions and (first or the interval passed).  The first of an
 * epoch needs no interval there; TIME always needs one.  Limits count as
 * reached when met exactly, except that RETENTION takes more than half.
 */
extern CkpxReason ckpx_policy_incremental(const CkpxCheckpointPolicy *policy,
										  const CkpxCheckpointInput *input);
extern const char *ckpx_reason_name(CkpxReason reason);

#endif							/* CKPX_POLICY_H */
