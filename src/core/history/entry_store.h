/*-------------------------------------------------------------------------
 *
 * entry_store.h
 *		The ordered history: epochs, gaps, incrementals, globals, backups; and
 *		the questions that are asked of it.  One concept in two files, see
 *		entry_store_internal.h.
 *
 * The idea: an epoch is an unbroken chain on one WAL history.  Within an
 * epoch incrementals adjoin, [a, b) [b, c) [c, d) ..., the last one possibly
 * unfinished.  A global of the epoch starts at the epoch's start and ends at
 * the end of an incremental.  Where objects were lost, what is missing divides
 * the epoch into stretches; then a global starts where the last stretch does,
 * and what lies in an earlier one answers on its own.  Between epochs lies a
 * gap, of which only the first missing LSN and the reason are known.  No
 * answer crosses an epoch.
 *
 * WAL can be rolled back: a data directory that was restored writes the same
 * LSNs again, with other content.  So epochs may overlap in LSNs, and then
 * the newer one is the truth: an object of an older epoch may only be used
 * where it ends at or before the from_lsn and the to_lsn of every later
 * epoch's gap.  Where the gap that closed an epoch is not known any more, the
 * epoch does not answer.
 *
 * Backups and spilled segments lie in the store so that the manifest lists
 * them.  They belong to no chain, and no answer is made of them, but for one
 * case: when an epoch ended behind a backup that continues its last
 * incremental, as in a copy of the data directory, the backup is its end.
 *
 * The store is a flat struct in memory that the caller gives (in the server:
 * shared memory, guarded by one lock that the caller holds); it holds no
 * pointers.  Pointers and indexes to entries that it gives out are good until
 * the next insertion or removal, at most as long as the lock is held.  All
 * times are arguments.
 *
 * A walk over a long history releases the lock from time to time and goes on
 * behind the last entry that it saw, with ckpx_entry_store_behind().  It may
 * miss an entry that is inserted meanwhile, but no part of the history: an
 * entry is removed only after the one that replaces it was finished, and that
 * one ends at the same place or later, where the walk has not been yet.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_ENTRY_STORE_H
#define CKPX_ENTRY_STORE_H

#include "core/history/entry.h"

#define CKPX_MAX_GAPS		256
#define CKPX_GAP_REASON_MAX 96

/*
 * Epoch 'epoch' begins at to_lsn; what lies in [from_lsn, to_lsn) was not
 * tracked.  The first epoch has one too, with from_lsn InvalidXLogRecPtr.
 *
 * from_lsn is the LSN up to which the WAL that older epochs were read from is
 * proven to be the WAL of this history: the end of what was known, or, where
 * WAL was rolled back, no more than the LSN at which the histories part (it
 * may lie before or after to_lsn).  With InvalidXLogRecPtr nothing is proven,
 * and no older epoch answers from then on.
 *
 * Damage within an epoch is a gap as well: 'damaged' is set and no
 * incremental or global covers [from_lsn, to_lsn), all or a part of the range
 * of an unreadable object.
 */
typedef struct CkpxGap
{
	uint32		epoch;
	TimeLineID	timeline;		/* on which the epoch begins */
	XLogRecPtr	from_lsn;
	XLogRecPtr	to_lsn;
	int64		detected_at;	/* TimestampTz */
	uint64		clock_ms;		/* the same by the monotonic clock; 0: garbage
								 * collection has not seen it yet.  Not in
								 * manifests */
	bool		damaged;
	char		reason[CKPX_GAP_REASON_MAX];
} CkpxGap;

/*
 * What orders an entry and names its object, once more: 32 bytes of several
 * hundred.  A second array holds these, so that a search through a long
 * history reads a few pages of memory and not all of it.  'finished' is what
 * the store knows: an entry may have become finished in its place since then,
 * and then its timeline and version may be others as well.  So only spans with
 * 'finished' are good for themselves; of the few others see the entry.
 */
typedef struct CkpxEntrySpan
{
	XLogRecPtr	start_lsn;
	XLogRecPtr	end_lsn;
	uint32		epoch;
	TimeLineID	timeline;
	uint32		version;
	uint16		kind;			/* CkpxEntryKind */
	bool		finished;
} CkpxEntrySpan;

typedef struct CkpxEntryStore
{
	uint32		epoch;			/* the open epoch; 0: none yet */
	TimeLineID	timeline;		/* where tracking stands */
	XLogRecPtr	epoch_start;	/* the open epoch's first LSN */
	uint32		max_entries;
	uint32		nentries;
	uint64		moves;			/* changes whenever an index that was given
								 * out may mean another entry or none */
	uint32		ngaps;			/* the newest CKPX_MAX_GAPS are kept */
	CkpxGap		gaps[CKPX_MAX_GAPS];
	CkpxEntry	pool[FLEXIBLE_ARRAY_MEMBER];	/* in no order */

	/*
	 * Behind max_entries of these: as many CkpxEntrySpan, of which the first
	 * nentries are in order: by epoch, end_lsn, kind with globals behind
	 * incrementals, start_lsn; and as many numbers that say in the same order
	 * where in the pool each entry is, and then where the free places are. So
	 * an entry stays where it is when others come and go: 100,000 entries are
	 * 50 MB, too much to be moved while the lock is held.
	 */
} CkpxEntryStore;

/* Entry 'index' of the order, below nentries. */
static inline CkpxEntry *
ckpx_entry_store_at(const CkpxEntryStore *store, uint32 index)
{
	const void *spans = &store->pool[store->max_entries];
	const void *places = (const CkpxEntrySpan *) spans + store->max_entries;

	return unconstify(CkpxEntry *,
					  &store->pool[((const uint32 *) places)[index]]);
}

typedef enum CkpxStoreResult
{
	CKPX_STORE_OK = 0,
	CKPX_STORE_FULL,			/* max_entries reached */
	CKPX_STORE_NOT_CONTIGUOUS,	/* does not start where the last one ended */
	CKPX_STORE_UNFINISHED,		/* the previous one of its kind is not
								 * finished */
	CKPX_STORE_STALE,			/* a global not newer than the newest */
	CKPX_STORE_WRONG_EPOCH,
	CKPX_STORE_BAD_RANGE,		/* start >= end, or outside the epoch */
	CKPX_STORE_DUPLICATE,		/* it is there already */
	CKPX_STORE_BAD_ENTRY		/* no such kind, or not in the right state */
} CkpxStoreResult;

extern Size ckpx_entry_store_size(uint32 max_entries);
extern void ckpx_entry_store_init(CkpxEntryStore *store, uint32 max_entries);

/*
 * Take over the epoch and the gaps that a manifest holds, into a store that
 * was just initialized; its entries are loaded after that.  Of more than
 * CKPX_MAX_GAPS gaps the last ones are taken.
 */
extern void ckpx_entry_store_restore(CkpxEntryStore *store, uint32 epoch,
									 TimeLineID timeline,
									 XLogRecPtr epoch_start,
									 const CkpxGap *gaps, uint32 ngaps);

/*
 * Begin epoch store->epoch + 1 at 'start_lsn' and record the gap before it,
 * which starts at 'from_lsn' (the end of what was known, see CkpxGap;
 * InvalidXLogRecPtr at the very first).  Unfinished entries of the old epoch
 * are removed.  'reason' is cut off at a character where it is too long.
 */
extern void ckpx_entry_store_begin_epoch(CkpxEntryStore *store,
										 TimeLineID timeline,
										 XLogRecPtr from_lsn,
										 XLogRecPtr start_lsn, int64 now,
										 const char *reason);

/*
 * Record that no incremental of 'epoch' covers [from_lsn, to_lsn) any more,
 * because its object is damaged.  The caller removes the entry.  A range that
 * is recorded already is not recorded again.  Not for a backup, nor for a
 * global whose incrementals are still there: these leave no hole.
 */
extern void ckpx_entry_store_add_damage(CkpxEntryStore *store, uint32 epoch,
										TimeLineID timeline,
										XLogRecPtr from_lsn,
										XLogRecPtr to_lsn, int64 now,
										const char *reason);

/*
 * An object of 'entry' cannot be read.  Remove the entry, unless it is not
 * there or running, and record as damage what no other finished incremental
 * or global of its epoch holds of its range; returns how many ranges that
 * were.  Where the last one ends, ckpx_entry_store_checkpointed() does not
 * move.  A backup or a segment leaves no hole.
 */
extern uint32 ckpx_entry_store_lose(CkpxEntryStore *store,
									const CkpxEntry *entry, int64 now,
									const char *reason);

/*
 * Find a hole in an epoch: what lies between its finished incrementals and
 * globals in none of them, at or behind *from_lsn (Invalid: anywhere), and is
 * no recorded damage.  False: there is none.
 */
extern bool ckpx_entry_store_hole(const CkpxEntryStore *store, uint32 epoch,
								  XLogRecPtr *from_lsn, XLogRecPtr *to_lsn);

/*
 * Forget damage of the open epoch behind all that is finished in it: for a
 * start, which decodes that range again or begins a new epoch.
 */
extern void ckpx_entry_store_forget_tail(CkpxEntryStore *store);

/*
 * Forget the gaps that are 'keep_ms' old and that nothing in the store needs
 * any more: those before the oldest epoch that has entries.  One without a
 * monotonic time stays.  Returns how many.
 */
extern uint32 ckpx_entry_store_forget_gaps(CkpxEntryStore *store,
										   uint64 now_ms, int64 keep_ms);

/*
 * The gap that explains why 'lsn' is in no object: of those that end behind it
 * the one that ends first; NULL: there is none.
 */
extern const CkpxGap *ckpx_entry_store_gap_at(const CkpxEntryStore *store,
											  XLogRecPtr lsn);

/*
 * The only way in.  A new entry (PENDING) of the open epoch must pass every
 * check:
 *
 *	incremental	starts at ckpx_entry_store_checkpointed(), with no other
 *				unfinished one;
 *	global		spans the start of the last stretch to the end of a finished
 *				incremental, newer than the newest finished global, with no
 *				other unfinished one, and its sources are there: that global,
 *				if it is of the stretch, and an unbroken chain of
 *				incrementals after it;
 *	backup		starts at the epoch's start or at the end of a finished
 *				incremental or global, with no other unfinished one;
 *	segment		lies in the epoch.
 *
 * _load takes FINISHED entries from a manifest, of any epoch up to the open
 * one, in any order (ascending is fast), and checks the range only.
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

/*
 * Remove the entry of the same identity; false if it is not there, or if it is
 * running: its job owns it, and must abandon it first.
 */
extern bool ckpx_entry_store_remove(CkpxEntryStore *store,
									const CkpxEntry *entry);

/*
 * Remove all of these, which are in the order of the store; returns how many
 * were there.  One pass over the store, however many they are.
 */
extern uint32 ckpx_entry_store_remove_all(CkpxEntryStore *store,
										  const CkpxEntrySpan *keys,
										  uint32 count);

/* The span of entry 'index', up to date. */
extern CkpxEntrySpan ckpx_entry_store_span(const CkpxEntryStore *store,
										   uint32 index);

/*
 * Index of the first entry behind 'last' in the order of the store, whether
 * that is still there or not; or nentries.  Behind {0} lies the first one.
 */
extern uint32 ckpx_entry_store_behind(const CkpxEntryStore *store,
									  const CkpxEntrySpan *last);

/* The same by epoch and LSN: the first that ends after 'lsn'. */
extern uint32 ckpx_entry_store_ending_after(const CkpxEntryStore *store,
											uint32 epoch, XLogRecPtr lsn);

/*
 * Index of the first entry from 'index' on that may not be finished, or
 * nentries.  Of a long history these are a few.
 */
extern uint32 ckpx_entry_store_next_open(const CkpxEntryStore *store,
										 uint32 index);

/* The newest of a kind in the open epoch, in any state, or finished only. */
extern CkpxEntry *ckpx_entry_store_newest(const CkpxEntryStore *store,
										  CkpxEntryKind kind,
										  bool finished_only);

/*
 * Where the next incremental begins: the end of the newest finished
 * incremental of the open epoch, of its newest finished global where that
 * lies later (its incrementals may be collected), or of a later damaged range;
 * else the epoch's start.  InvalidXLogRecPtr when no epoch is open.
 */
extern XLogRecPtr ckpx_entry_store_checkpointed(const CkpxEntryStore *store);

/*
 * Where the last stretch of the open epoch begins, and with it the next
 * global: the epoch's start, unless something was lost.  At _checkpointed()
 * where nothing is behind the last loss yet.
 */
extern XLogRecPtr ckpx_entry_store_stretch_start(const CkpxEntryStore *store);

/* The newest finished global of the last stretch, or NULL. */
extern const CkpxEntry *ckpx_entry_store_previous_global(const CkpxEntryStore *store);

/*
 * Finished incrementals of the last stretch that are in no finished global:
 * what a new one would take in.
 */
extern uint32 ckpx_entry_store_uncovered(const CkpxEntryStore *store);

/*
 * The lowest LSN from which a finished incremental or global answers, in any
 * epoch; not after the open epoch's start.
 */
extern XLogRecPtr ckpx_entry_store_oldest(const CkpxEntryStore *store);

/*
 * The lowest LSN that finished entries of the open epoch can still answer
 * from: the lowest start of an incremental or global; the epoch's start if
 * there are none.
 */
extern XLogRecPtr ckpx_entry_store_low_water_mark(const CkpxEntryStore *store);

/*
 * Which finished objects answer [start, end)?  First the newest finished
 * global that holds the start, if there is one, then the finished incrementals
 * that overlap the range behind it, as long as each begins where the one
 * before it ends.  In a closed epoch a backup may be the last: the one that
 * continues the last incremental there.  With 'incrementals_first' the
 * incrementals in the range of the global answer in its place where they all
 * are there: they are more objects, but tell changes apart best.
 *
 * The indexes of the chosen entries are written to 'chosen' (room for
 * store->nentries), in order; formatting an answer is the caller's, so that
 * it need not be done under the lock.
 *
 * start_lsn InvalidXLogRecPtr means the beginning of the newest epoch that
 * begins at or before end_lsn; end_lsn is required and not before start_lsn.
 * The epoch is the one that holds start_lsn (where several do, because WAL was
 * rolled back, the newest).  An epoch holds its start and all that follows,
 * up to the gap that closed it.
 *
 * The incrementals chosen adjoin each other and the global; the walk stops
 * before a damaged range.  An object is chosen whole, so the cover may begin
 * before start_lsn and end after end_lsn.  Where nothing is chosen although
 * the range is not empty, 'oldest' and 'stale' are filled.
 *
 * A global that has removed tombstones does not know what an end before the
 * last of them needs: it is passed over, and where the range has no complete
 * answer without it, that is stale, too.
 */
typedef struct CkpxCollectResult
{
	uint32		nchosen;
	XLogRecPtr	from_lsn;		/* start of the first object chosen */
	XLogRecPtr	checkpointed;	/* end of the cover; Invalid: nothing found */
	bool		complete;		/* [start, end) is covered by the objects */
	XLogRecPtr	missing_from;	/* first LSN not covered, if not complete;
								 * Invalid: no start was given, and no epoch
								 * begins early enough */
	bool		stale;			/* end lies at or before the beginning of
								 * every epoch that is kept, or before
								 * 'oldest_end' */
	XLogRecPtr	oldest_end;		/* the oldest end that the global answers
								 * which was passed over; or Invalid */
	uint32		oldest_epoch;	/* the kept epoch that begins first; 1: what
								 * is stale was never tracked */
	XLogRecPtr	oldest;			/* oldest answerable LSN, for the message */
	uint32		epoch;			/* the epoch that holds the start; 0: none */
} CkpxCollectResult;

extern void ckpx_entry_store_collect(const CkpxEntryStore *store,
									 XLogRecPtr start_lsn, XLogRecPtr end_lsn,
									 bool incrementals_first, uint32 *chosen,
									 CkpxCollectResult *result);

/*
 * Finished incrementals of the open epoch that start at or after 'lsn', in
 * order, at most 'count', stopping at the first that is not finished; their
 * indexes to 'chosen'; returns how many.
 */
extern uint32 ckpx_entry_store_after(const CkpxEntryStore *store,
									 XLogRecPtr lsn, uint32 count,
									 uint32 *chosen);

#endif							/* CKPX_ENTRY_STORE_H */
