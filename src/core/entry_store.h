/*-------------------------------------------------------------------------
 *
 * entry_store.h
 *		The ordered history: epochs, gaps, incrementals, globals, backups; and
 *		the questions that are asked of it.
 *
 * The idea: an epoch is an unbroken chain on one WAL history.  Within an
 * epoch incrementals adjoin, [a, b) [b, c) [c, d) ..., the last one possibly
 * unfinished.  A global of the epoch starts at the epoch's start and ends at
 * the end of an incremental.  Between epochs lies a gap, of which only the
 * first missing LSN and the reason are known.  No answer crosses an epoch.
 *
 * The store is a flat struct in memory that the caller gives (in the server:
 * shared memory, guarded by one lock that the caller holds); it holds no
 * pointers.  All times are arguments.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_ENTRY_STORE_H
#define CKPX_ENTRY_STORE_H

#include "core/entry.h"

#define CKPX_MAX_GAPS		256
#define CKPX_GAP_REASON_MAX 96

/*
 * Epoch 'epoch' begins at to_lsn; what lies in [from_lsn, to_lsn) was not
 * tracked.  The first epoch has one too, with from_lsn InvalidXLogRecPtr.
 * Damage within an epoch is a gap as well: 'damaged' is set and [from_lsn,
 * to_lsn) is the range of the unreadable object.
 */
typedef struct CkpxGap
{
	uint32		epoch;
	TimeLineID	timeline;		/* on which the epoch begins */
	XLogRecPtr	from_lsn;
	XLogRecPtr	to_lsn;
	int64		detected_at;	/* TimestampTz */
	bool		damaged;
	char		reason[CKPX_GAP_REASON_MAX];
} CkpxGap;

typedef struct CkpxEntryStore
{
	uint32		epoch;			/* the open epoch; 0: none yet */
	TimeLineID	timeline;		/* where tracking stands */
	XLogRecPtr	epoch_start;	/* the open epoch's first LSN */
	uint32		max_entries;
	uint32		nentries;
	uint32		ngaps;			/* the newest CKPX_MAX_GAPS are kept */
	CkpxGap		gaps[CKPX_MAX_GAPS];
	CkpxEntry	entries[FLEXIBLE_ARRAY_MEMBER]; /* by epoch, end_lsn, kind with
												 * globals behind
												 * incrementals, start_lsn */
} CkpxEntryStore;

typedef enum CkpxStoreResult
{
	CKPX_STORE_OK = 0,
	CKPX_STORE_FULL,			/* max_entries reached */
	CKPX_STORE_NOT_CONTIGUOUS,	/* does not start where the last one ended */
	CKPX_STORE_UNFINISHED,		/* the previous one of its kind is not finished */
	CKPX_STORE_STALE,			/* a global not newer than the newest */
	CKPX_STORE_WRONG_EPOCH,
	CKPX_STORE_BAD_RANGE		/* start >= end, or outside the epoch */
} CkpxStoreResult;

extern Size ckpx_entry_store_size(uint32 max_entries);
extern void ckpx_entry_store_init(CkpxEntryStore *store, uint32 max_entries);

/*
 * Begin epoch store->epoch + 1 at 'start_lsn' and record the gap before it,
 * which starts at 'from_lsn' (the end of what was known; InvalidXLogRecPtr
 * at the very first).  Unfinished entries of the old epoch are removed.
 */
extern void ckpx_entry_store_begin_epoch(CkpxEntryStore *store,
										 TimeLineID timeline,
										 XLogRecPtr from_lsn,
										 XLogRecPtr start_lsn, int64 now,
										 const char *reason);

/* Record damage of a range inside an epoch. */
extern void ckpx_entry_store_add_damage(CkpxEntryStore *store, uint32 epoch,
										TimeLineID timeline,
										XLogRecPtr from_lsn,
										XLogRecPtr to_lsn, int64 now,
										const char *reason);

/*
 * The only way in.  A new entry (PENDING) of the open epoch must pass every
 * check; _load takes FINISHED entries from a manifest, of any epoch, in any
 * order, and checks the range only.
 */
extern CkpxStoreResult ckpx_entry_store_insert(CkpxEntryStore *store,
											   const CkpxEntry *entry);
extern CkpxStoreResult ckpx_entry_store_load(CkpxEntryStore *store,
											 const CkpxEntry *entry);

/* Find by identity; NULL if it is not there. */
extern CkpxEntry *ckpx_entry_store_find(CkpxEntryStore *store,
										CkpxEntryKind kind, uint32 epoch,
										XLogRecPtr start_lsn,
										XLogRecPtr end_lsn);

/* Remove an entry by identity; false if it is not there. */
extern bool ckpx_entry_store_remove(CkpxEntryStore *store,
									CkpxEntryKind kind, uint32 epoch,
									XLogRecPtr start_lsn, XLogRecPtr end_lsn);

/* The newest of a kind in the open epoch, in any state, or finished only. */
extern CkpxEntry *ckpx_entry_store_newest(CkpxEntryStore *store,
										  CkpxEntryKind kind,
										  bool finished_only);

/*
 * The end of the newest finished incremental of the open epoch, or the
 * epoch's start: where the next incremental begins.  InvalidXLogRecPtr when
 * no epoch is open.
 */
extern XLogRecPtr ckpx_entry_store_checkpointed(CkpxEntryStore *store);

/* Finished incrementals of the open epoch newer than its newest finished global. */
extern uint32 ckpx_entry_store_uncovered(CkpxEntryStore *store);

/*
 * The lowest LSN that finished entries of the open epoch can still answer
 * from: the smaller of the oldest incremental's start and, if there is a
 * finished global, its start; the epoch's start if there are no entries.
 */
extern XLogRecPtr ckpx_entry_store_low_water_mark(CkpxEntryStore *store);

/*
 * Which finished objects answer [start, end)?  See DESIGN: the newest
 * finished global that overlaps the range, first, then the contiguous
 * finished incrementals after it that overlap.
 *
 * Called in two steps so that nothing is formatted under a lock: _collect
 * writes the indexes of the chosen entries, in order, to 'chosen' (room for
 * store->nentries) and fills the rest.
 *
 * start_lsn InvalidXLogRecPtr means the beginning of the epoch that holds
 * end_lsn; end_lsn is required.  The epoch is the one that holds start_lsn
 * (where several do, because WAL was rolled back, the newest on this history).
 */
typedef struct CkpxCollectResult
{
	uint32		nchosen;
	XLogRecPtr	from_lsn;		/* start of the first object chosen */
	XLogRecPtr	checkpointed;	/* end of the cover; Invalid: nothing found */
	bool		complete;		/* [start, end) is covered by the objects */
	XLogRecPtr	missing_from;	/* first LSN not covered, if not complete */
	bool		stale;			/* end lies before everything that is kept */
	XLogRecPtr	oldest;			/* oldest answerable LSN, for the message */
	uint32		epoch;			/* the epoch that answered */
} CkpxCollectResult;

extern void ckpx_entry_store_collect(const CkpxEntryStore *store,
									 XLogRecPtr start_lsn, XLogRecPtr end_lsn,
									 uint32 *chosen,
									 CkpxCollectResult *result);

/*
 * Finished incrementals of the open epoch that start at or after 'lsn', in
 * order, at most 'count', stopping at the first that is not finished; their
 * indexes to 'chosen'; returns how many.
 */
extern uint32 ckpx_entry_store_after(const CkpxEntryStore *store,
									 XLogRecPtr lsn, uint32 count,
									 uint32 *chosen);

/*
 * Check every invariant; NULL, or what is wrong (a static text).  For tests
 * and for a manifest that was just read.
 */
extern const char *ckpx_entry_store_check(const CkpxEntryStore *store);

#endif							/* CKPX_ENTRY_STORE_H */
