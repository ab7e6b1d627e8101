/*-------------------------------------------------------------------------
 *
 * gc_plan.h
 *		Which entries of the history may go: the rules of garbage collection.
 *
 * The rules are explained in gc_plan.c.  They look at a copy of what
 * they need of each entry, 80 bytes of several hundred, so that the caller can
 * gather it in pieces; and at the head of a store: epochs and gaps.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_GC_PLAN_H
#define CKPX_GC_PLAN_H

#include "core/history/entry_store.h"

/* A name and an LSN that garbage collection must not pass. */
#define CKPX_PIN_NAME_MAX	64
typedef struct CkpxPin
{
	char		name[CKPX_PIN_NAME_MAX];
	XLogRecPtr	lsn;
	uint32		epoch;			/* when it was made, */
	XLogRecPtr	global_lsn;		/* and where its newest global ended; Invalid:
								 * it had none */
	int64		created_at;
	int64		expires_at;		/* 0: never */
	uint64		expires_clock_ms;	/* the same by the monotonic clock; not in
									 * manifests */
} CkpxPin;

typedef struct CkpxGcEntry
{
	CkpxEntrySpan span;
	uint64		clock_ms;		/* of its cut; 0: not known */
	uint32		nparts;
	bool		post_pending;

	/* the plan */
	bool		goes;
	bool		lost;			/* it goes for good, before its time */
	XLogRecPtr	kept_from;		/* for the plan itself: where the incrementals
								 * that stay begin, from this entry on */
} CkpxGcEntry;

typedef struct CkpxGcRules
{
	XLogRecPtr	upto;			/* what ends here or before; Invalid: all */
	bool		ignore_age;
	bool		ignore_commands;
	uint32		closed_upto;	/* in this epoch and older ones also what lies
								 * behind a gap; 0: not before its time */
	uint64		now_ms;			/* monotonic */
	int64		keep_ms;
} CkpxGcRules;

typedef struct CkpxGcHistory
{
	const CkpxEntryStore *head; /* of its entries nothing is used */
	XLogRecPtr	stretch;		/* ckpx_entry_store_stretch_start() */
	XLogRecPtr	checkpointed;	/* ckpx_entry_store_checkpointed() */
	uint64		loaded_ms;		/* when it was loaded: what has no time of its
								 * own counts from then on */
	const CkpxPin *pins;
	uint32		npins;
	const CkpxEntrySpan *doubtful;	/* entries whose objects may be lost */
	uint32		ndoubtful;
	bool		all_doubtful;	/* there may be more of them */
} CkpxGcHistory;

/* What is looked at in 'entry' of the store. */
extern void ckpx_gc_describe(CkpxGcEntry *gc, const CkpxEntry *entry);

/*
 * Say of each of the entries, which are in the order of the store, whether it
 * goes.  Returns how many steps that took, which grows with their number and
 * hardly faster.
 */
extern uint64 ckpx_gc_plan(CkpxGcEntry *entries, uint32 nentries,
						   const CkpxGcHistory *history,
						   const CkpxGcRules *rules);

#endif							/* CKPX_GC_PLAN_H */
