/*-------------------------------------------------------------------------
 *
 * entry.h
 *		One checkpoint entry, and the only function that moves it through its
 *		life.
 *
 *		           create              start                finish
 *		  NONE ------------> PENDING ----------> RUNNING ------------> FINISHED
 *		                          ^                |   |
 *		                          '-- abandon -----'   '--> fail: RUNNING,
 *		                                                    attempts + 1
 *
 * PENDING: the range is fixed, its end lies at a cut, and the entry waits
 * until the range's transactions have ended and its pages are durable.
 * RUNNING: one job owns the entry and writes its object.  FINISHED: object
 * and manifest are durable; nothing changes after that.  An entry that is
 * canceled leaves the store.
 *
 * A global or backup entry starts its life PENDING when it is asked for.  To
 * cancel an entry that is not running is to remove it from the store.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_ENTRY_H
#define CKPX_ENTRY_H

#include "core/history/range.h"

/* Where a job failed last, for people. */
typedef enum CkpxPhase
{
	CKPX_PHASE_NONE = 0,
	CKPX_PHASE_COLLECT,			/* reading segments or objects */
	CKPX_PHASE_WRITE,			/* writing the object */
	CKPX_PHASE_PUBLISH,			/* writing the manifest */
	CKPX_PHASE_COMMAND			/* the post command; the entry is finished */
} CkpxPhase;

#define CKPX_ERROR_TEXT_MAX		160

/*
 * Times are microseconds since 2000-01-01 (TimestampTz); durations are
 * milliseconds.  Fixed size, no pointers: entries live in shared memory.
 */
typedef struct CkpxEntry
{
	CkpxEntryKind kind;
	CkpxEntryState state;
	CkpxRange	range;
	uint32		version;		/* object format version, once it is written;
								 * here with all else that names the object,
								 * so that a long history is read quickly */

	/* what the range holds */
	uint32		nrelations;
	uint64		nblocks;

	/* result */
	uint32		nparts;
	uint64		size_bytes;
	uint32		open_xacts;		/* still open when it was written */
	uint32		undurable;		/* relations listed as not durable */
	XLogRecPtr	tombstones_from;	/* of a global: it answers no range that
									 * ends before; from the object, not in
									 * manifests */
	int64		finished_at;	/* 0: not finished */
	int64		pending_ms;
	int64		write_ms;
	bool		post_pending;	/* finished, and its post command has not
								 * succeeded yet */

	/* while it is running */
	bool		cancelled;		/* its job is to give it up */

	/* failures */
	uint32		attempts;		/* failed attempts so far */
	CkpxPhase	failed_phase;
	uint64		retry_clock_ms; /* monotonic time of the next attempt */
	char		last_error[CKPX_ERROR_TEXT_MAX];
	char		waiting_for[64];	/* what a pending entry waits for, or "" */
} CkpxEntry;

typedef enum CkpxEntryEvent
{
	CKPX_EVENT_CREATE,			/* NONE -> PENDING */
	CKPX_EVENT_START,			/* PENDING -> RUNNING */
	CKPX_EVENT_FAIL,			/* RUNNING -> RUNNING, counts the attempt */
	CKPX_EVENT_ABANDON,			/* RUNNING -> PENDING: its worker is gone */
	CKPX_EVENT_FINISH			/* RUNNING -> FINISHED */
} CkpxEntryEvent;

/*
 * Make the transition; false, and no change, if it is not allowed in the
 * entry's present state.  Nothing but 'state' is changed, and 'attempts' by
 * FAIL: the caller fills in times, phase, error and retry_clock_ms.
 */
extern bool ckpx_entry_transition(CkpxEntry *entry, CkpxEntryEvent event);

/*
 * Delay before the next attempt after 'attempts' failed ones: 1 s after the
 * first, doubling up to 1 min; none where nothing failed.
 */
extern uint64 ckpx_entry_backoff_ms(uint32 attempts);

/*
 * Waiting times are counted in buckets: below 10 ms, 100 ms, 1 s, 10 s, 100 s,
 * 1000 s, and longer.  Returns which one.
 */
#define CKPX_PENDING_BUCKETS	7
extern uint32 ckpx_entry_pending_bucket(uint64 pending_ms);

/*
 * The first of the fields that manifests and objects both have in which two
 * entries differ, by its name in manifests; NULL: they agree.  A last record
 * that one of them does not know is no difference.
 */
extern const char *ckpx_entry_difference(const CkpxEntry *a,
										 const CkpxEntry *b);

extern const char *ckpx_kind_name(CkpxEntryKind kind);	/* "incremental" */
extern const char *ckpx_state_name(CkpxEntryState state);	/* "pending" */
extern const char *ckpx_phase_name(CkpxPhase phase);	/* "write" */

/*
 * "incremental[finished] 0/1A2B3C8-0/2000028"; 'text' holds at least
 * CKPX_ENTRY_TEXT_MAX bytes and is returned.
 */
#define CKPX_ENTRY_TEXT_MAX		96
extern char *ckpx_entry_text(const CkpxEntry *entry, char *text);

#endif							/* CKPX_ENTRY_H */
