/*-------------------------------------------------------------------------
 *
 * shared_state.h
 *		What the four workers and all backends share.
 *
 * Locks, in the order in which they may be taken (never the other way):
 *
 *	1. CkpxShared->lock			everything in CkpxSharedState that is not
 *								marked otherwise: entries, queues, workers,
 *								the runner's status
 *	2. CkpxShared->logtail_lock the segment list (logtail.h)
 *	3. CkpxShared->xid_lock		the map from xid to first LSN
 *	4. DSA's own locks
 *
 * All are held for memory operations only: never across I/O, an ereport(), a
 * large palloc() or a wait, and never for a walk over all entries (see
 * entry_walk.h).  Builds with assertions look at that: lock_check.c.  A
 * process that waits for a change sleeps on 'progress', which is broadcast
 * after each change that may be waited for.
 *
 * How an incremental checkpoint goes through the processes:
 *
 *	1. runner: decodes WAL, cuts, adds the segment to the logtail, and moves
 *	   collected_lsn.
 *	2. runner: inserts a PENDING entry [checkpointed, cut).
 *	3. runner: waits (tick by tick) until it is committed and durable, then
 *	   START, and a ticket for the incremental queue.
 *	4. checkpointer: takes the ticket, reads the segments, writes the object,
 *	   publishes a manifest that lists the entry as finished, then FINISH,
 *	   checkpointed_lsn moves, progress is broadcast; a ticket for the wait
 *	   queue, then one for the post queue.
 *	5. runner: trims the logtail, moves and saves the slot.
 *
 * A worker that dies leaves its entry RUNNING; the checkpointer finds it so
 * at its next start, ABANDONs it and the runner starts it again.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_SHARED_STATE_H
#define CKPX_SHARED_STATE_H

#include "postgres.h"

#include "core/format/manifest.h"
#include "core/format/object_format.h"
#include "core/history/entry_store.h"
#include "core/history/ring.h"
#include "core/map/xid_lsn.h"
#include "port/atomics.h"
#include "server/base/clock.h"
#include "server/base/history.h"
#include "server/base/lock_check.h"
#include "server/base/progress.h"
#include "storage/condition_variable.h"
#include "storage/lwlock.h"
#include "storage/latch.h"

#define CKPX_SLOT_NAME		"ckpx"

typedef enum CkpxWorkerId
{
	CKPX_WORKER_RUNNER = 0,
	CKPX_WORKER_FLUSHER,
	CKPX_WORKER_CHECKPOINTER,
	CKPX_WORKER_OBSERVER,
	CKPX_NWORKERS
} CkpxWorkerId;

typedef enum CkpxWorkerState
{
	CKPX_WORKER_STOPPED = 0,
	CKPX_WORKER_STARTING,
	CKPX_WORKER_IDLE,
	CKPX_WORKER_BUSY,
	CKPX_WORKER_BACKING_OFF,	/* waits after a failure */
	CKPX_WORKER_BLOCKED			/* cannot work: see 'problem' */
} CkpxWorkerState;

typedef struct CkpxWorkerStatus
{
	bool		registered;		/* max_worker_processes has room for it */
	int			pid;			/* 0: not running */
	Latch	   *latch;			/* valid while pid is set */
	CkpxWorkerState state;
	char		activity[64];
	TimestampTz since;			/* of this state */
	uint64		starts;			/* processes started so far */
	uint32		failures;		/* in a row; sets the back-off */
	uint64		errors;			/* since the server started */
	char		last_error[CKPX_ERROR_TEXT_MAX];
	TimestampTz last_error_at;
} CkpxWorkerStatus;

typedef enum CkpxQueueId
{
	CKPX_QUEUE_DIRTY = 0,
	CKPX_QUEUE_WAIT,
	CKPX_QUEUE_INCREMENTAL,
	CKPX_QUEUE_GLOBAL,
	CKPX_QUEUE_POST,
	CKPX_QUEUE_GC,
	CKPX_NQUEUES
} CkpxQueueId;

/*
 * Tickets.  Small, fixed size; what they mean is found under the lock.  Those
 * of the wait, incremental, global and gc queue say nothing: their consumer
 * looks at the entries and the manifests.
 */
typedef struct CkpxDirtyTicket
{
	Oid			tablespace;
	Oid			database;
	Oid			relation;
	uint32		reason;			/* a CkpxFlushReason */
	XLogRecPtr	upto;			/* durable pass up to here; Invalid: policy */
	uint64		request;		/* of a backend, see flush/shared.h; or 0 */
} CkpxDirtyTicket;

/* Which entry; the post queue's ticket, and elsewhere the name of an entry. */
typedef struct CkpxEntryTicket
{
	CkpxEntryKind kind;
	uint32		epoch;
	XLogRecPtr	start_lsn;
	XLogRecPtr	end_lsn;
	TimeLineID	timeline;		/* post queue only */
	int			event;			/* post queue only: a CkpxEventType */
} CkpxEntryTicket;

/* The name of an entry. */
static inline CkpxEntryTicket
ckpx_entry_ticket(const CkpxEntry *entry)
{
	CkpxEntryTicket ticket = {0};

	ticket.kind = entry->kind;
	ticket.epoch = entry->range.epoch;
	ticket.start_lsn = entry->range.start_lsn;
	ticket.end_lsn = entry->range.end_lsn;
	return ticket;
}

/* Counters for ckpx_stat; all under 'lock'. */
typedef struct CkpxStat
{
	uint64		incrementals_done;
	uint64		globals_done;
	uint64		backups_done;
	uint64		segments_spilled;
	uint64		incrementals_removed;
	uint64		globals_removed;
	uint64		backups_removed;
	uint64		jobs_failed;
	uint64		commands_done;	/* post commands that succeeded */
	uint64		commands_failed;
	uint64		commands_overridden;	/* objects removed although their post
										 * command had not succeeded */
	uint64		caps_reached;	/* times that max_entries or
								 * max_directory_size made room before its
								 * time */
	uint64		pending_ms_total;
	uint64		pending_ms_max;
	uint64		pending_histogram[CKPX_PENDING_BUCKETS];
	uint64		write_ms_total;
	uint64		wal_bytes_read;
	uint64		records_read;
	uint64		flush_passes;
	uint64		blocks_written;
	uint64		fsyncs;
	uint64		flush_ms;
	uint64		gaps;
	TimestampTz stats_reset;
} CkpxStat;

/*
 * What a backend wants from the checkpointer and waits for; see request.h.
 */
typedef enum CkpxRequestState
{
	CKPX_REQUEST_FREE = 0,
	CKPX_REQUEST_WAITING,
	CKPX_REQUEST_RUNNING,
	CKPX_REQUEST_DONE,
	CKPX_REQUEST_FAILED
} CkpxRequestState;

typedef enum CkpxRequestKind
{
	CKPX_REQUEST_GC = 0,
	CKPX_REQUEST_BACKUP
} CkpxRequestKind;

#define CKPX_REQUEST_TEXT_MAX	320

typedef struct CkpxRequest
{
	CkpxRequestState state;
	CkpxRequestKind kind;
	uint64		id;

	/* the question */
	XLogRecPtr	lsn;
	uint32		epoch;			/* of which it is asked; backup only */
	bool		dry_run;

	/* the answer */
	bool		again;			/* collecting began anew: ask once more */
	uint32		count;
	int			sqlerrcode;		/* of a failure, with its message in 'text' */
	char		text[CKPX_REQUEST_TEXT_MAX];
} CkpxRequest;

#define CKPX_MAX_REQUESTS	64

/*
 * An object that could not be read, or seemed to be damaged.  The checkpointer
 * looks at it until that is settled: jobs/damage.c.  Clocks are monotonic.
 */
typedef struct CkpxSuspect
{
	CkpxEntryTicket entry;
	uint64		since_ms;		/* it may be absent from here on for a while */
	uint64		look_ms;		/* it is looked at next */
	uint32		looks;			/* in vain */
} CkpxSuspect;

/* What does not fit is found again. */
#define CKPX_MAX_SUSPECTS	64

#define CKPX_PROBLEM_MAX	256
#define CKPX_MAX_PINS		64
#define CKPX_JOB_LIST		4096

typedef struct CkpxSharedState
{
	/* set once, at postmaster start */
	LWLock	   *lock;
	LWLock	   *logtail_lock;
	LWLock	   *xid_lock;
	int			dsa_tranche;
	CkpxRing   *queues[CKPX_NQUEUES];
	struct CkpxLogtail *logtail;
	CkpxXidLsn *xid_lsn;		/* under xid_lock */
	CkpxEntryStore *store;		/* under lock */

	ConditionVariable progress;

	CkpxWorkerStatus workers[CKPX_NWORKERS];

	/* what the runner knows; under lock */
	bool		booted;			/* history loaded, identity known */
	bool		disabled;		/* ckpx_disable() */
	bool		uninstalled;	/* ckpx_uninstall() */
	bool		uninstall_done; /* slot and files are gone */
	uint64		cancels;		/* calls of ckpx_cancel_pending() */
	char		problem[CKPX_PROBLEM_MAX];	/* why nothing goes on, or ""; see
											 * also ckpx_find_problem() */
	int			worker_processes_needed;	/* least max_worker_processes */
	CkpxIdentity identity;
	char		folder[MAXPGPATH];	/* of this data directory's files */
	XLogRecPtr	collected_lsn;	/* the logtail reaches so far */

	/*
	 * Errors that end the runner while it reads WAL, before anything new is
	 * collected; see ckpx_runner_failed().
	 */
	XLogRecPtr	collected_max;	/* highest collected_lsn of the epoch */
	XLogRecPtr	stuck_position; /* how far WAL was read at the last one */
	uint32		stuck_errors;	/* without getting past that */
	bool		gave_up_slot;	/* the slot was dropped because of
								 * ckpx.max_retained_wal; a new epoch has not
								 * begun yet */
	XLogRecPtr	durable_lsn;	/* every change of the epoch before it is on
								 * disk, files under construction aside (see
								 * flush/durable.h) */
	XLogRecPtr	released_lsn;	/* the slot's restart_lsn, saved */
	uint8		custom_rmgrs[CKPX_RMGR_BITMAP_BYTES];	/* in this epoch */
	uint64		next_tick_ms;	/* monotonic; 0: not known */
	uint64		known_xid;		/* transactions from here on are known from
								 * their first record; 0: none is */

	/* manifests; under lock */
	uint64		manifest_sequence;	/* of the newest published */
	uint64		manifest_used;	/* highest sequence ever given to a manifest,
								 * which may have got its name although its
								 * publishing failed */
	XLogRecPtr	manifest_release[2];	/* release point named by the newest
										 * and by the one before it */
	uint64		publish_requested;	/* a manifest is wanted: bump, wake the */
	uint64		publish_done;	/* checkpointer; done when equal or above */
	uint64		publish_failures;	/* attempts that failed, the last with: */
	char		publish_error[CKPX_ERROR_TEXT_MAX];
	bool		keep_files;		/* the boot had to fall back: nothing goes
								 * that it found but did not know, */
	uint64		keep_sequence;	/* and no manifest up to this one */
	bool		pins_loaded;	/* from then on memory knows pins and backups
								 * better than any manifest */
	bool		gc_stuck;		/* the caps are reached and nothing more can
								 * be removed */
	bool		removing;		/* GC has chosen what goes: no pin can come in
								 * before it is gone */
	uint64		loaded_ms;		/* monotonic time of the first load */
	uint32		npins;
	CkpxPin		pins[CKPX_MAX_PINS];
	uint32		nbackups;		/* reported, the newest last */
	CkpxBackupRecord backups[CKPX_MAX_BACKUPS];

	/*
	 * What the runner hands to the job with START: transactions of the range
	 * that are still open, relations whose files may not be durable.  The
	 * lists are cut off at their size, the counts are honest.
	 */
	uint32		nopen_xacts;
	CkpxOpenXact open_xacts[CKPX_JOB_LIST];
	uint32		nundurable;
	CkpxRelKey	undurable[CKPX_JOB_LIST];
	XLogRecPtr	undurable_upto; /* end of that range; Invalid: none was handed
								 * over since the history was loaded */

	/*
	 * Transactions open at collected_lsn, for a backup that ends there.  The
	 * list is cut off as well, the count is honest.
	 */
	uint32		ntail_xacts;
	CkpxOpenXact tail_xacts[CKPX_JOB_LIST];

	/*
	 * Segments that end at or before this are to be written to disk; Invalid:
	 * none.  Set by the runner, set back by the checkpointer when it has done
	 * what it could.
	 */
	XLogRecPtr	spill_request;

	/* End of the cut that the runner is writing to disk; Invalid: none. */
	XLogRecPtr	cut_in_work_end;
	bool		job_running;	/* the checkpointer is inside a job */
	int			checkpointer_step;	/* part of its round that it is in, or was
									 * in when it ended; for itself alone */

	/*
	 * Requests of backends to the runner; under lock.  A requester raises the
	 * LSN, wakes the runner and waits on 'progress' for collected_lsn or the
	 * checkpointed end to reach it.
	 */
	XLogRecPtr	collect_request;	/* collect at least so far */
	XLogRecPtr	checkpoint_request; /* finish an incremental that reaches it */

	/*
	 * Transactions that have written and wait for a checkpoint entry, so that
	 * they cannot end before it is finished; by the number of their PGPROC,
	 * MaxBackends of them.  A backend that exits may leave its xid here: that
	 * transaction does not run any more.
	 */
	TransactionId *waiting_xids;

	CkpxRequest requests[CKPX_MAX_REQUESTS];
	uint64		next_request_id;

	uint32		nsuspects;		/* objects in doubt, under lock */
	CkpxSuspect suspects[CKPX_MAX_SUSPECTS];
	uint64		absent_since_ms;	/* a start waits for objects since then;
									 * 0: for none */
	bool		reload_request; /* the runner is to load the history anew */

	struct CkpxFlushShared *flush;	/* under lock, see flush/shared.h */

	/*
	 * Globals, under lock.  A requester raises global_request, notes
	 * global_started, wakes the checkpointer and waits on 'progress' until a
	 * finished global reaches the LSN (done) or global_failed is higher than
	 * what it noted (failed, with global_error): only an attempt that began
	 * after the request counts as its own.
	 */
	XLogRecPtr	global_request; /* finish a global that reaches it */
	uint64		global_started; /* attempts begun so far */
	uint64		global_failed;	/* number of the last one that failed */
	char		global_error[CKPX_ERROR_TEXT_MAX];

	/* for the views; under lock */
	CkpxJobProgress jobs[CKPX_NJOBS];
	CkpxCallProgress calls[CKPX_MAX_CALLS];
	CkpxHistory history;
	CkpxStat	stat;
} CkpxSharedState;

extern CkpxSharedState *CkpxShared; /* NULL when not preloaded */

/* Name and number of the locks that ckpx.c asks for. */
#define CKPX_TRANCHE		"ckpx"
#define CKPX_NLOCKS			3

/*
 * Parts of the shared memory, for ckpx.c: the size, and what sets up the part
 * at 'place' and makes it known to this process; 'found': another process has
 * set it up.  CkpxSharedState is the first; the others are in it by a pointer.
 */
extern Size ckpx_shared_state_size(void);
extern void ckpx_shared_state_init(void *place, bool found);
extern Size ckpx_queues_size(void);
extern void ckpx_queues_init(void *place, bool found);
extern Size ckpx_entries_size(void);
extern void ckpx_entries_init(void *place, bool found);
extern Size ckpx_xids_size(void);
extern void ckpx_xids_init(void *place, bool found);
extern Size ckpx_waiting_xids_size(void);
extern void ckpx_waiting_xids_init(void *place, bool found);

/*
 * Raise 55000 with the hint that helps where ckpx is not preloaded or, the
 * second, was uninstalled.  Views show what there is even then; everything
 * that answers or acts requires the second.
 */
#define CKPX_PRELOAD_HINT \
	"Add \"ckpx\" to \"shared_preload_libraries\" and restart the server."
#define CKPX_UNINSTALLED_FILE	"ckpx_uninstalled"

/* What ckpx_runner says from then on, and the hint of every error. */
#define CKPX_UNINSTALLED_PROBLEM \
	"ckpx was uninstalled; to use it again, remove the file \"" CKPX_UNINSTALLED_FILE "\" and restart the server"
#define CKPX_UNINSTALLED_HINT \
	"To use it again, remove the file \"" CKPX_UNINSTALLED_FILE "\" from the data directory and restart the server; otherwise take \"ckpx\" out of \"shared_preload_libraries\"."
extern void ckpx_require_preload(void);
extern void ckpx_require_installed(void);

/* Was ckpx_uninstall() called?  Takes 'lock' shared. */
extern bool ckpx_is_uninstalled(void);

/* Wake a worker (no lock needed; takes 'lock' shared). */
extern void ckpx_wake_worker(CkpxWorkerId worker);

/*
 * Put a ticket into a queue and wake its worker.  False when the queue is
 * full; counted.  Takes 'lock' exclusively.
 */
extern bool ckpx_enqueue(CkpxQueueId queue, const void *ticket);
extern uint32 ckpx_dequeue(CkpxQueueId queue, void *tickets, uint32 max);
extern void ckpx_dequeue_done(CkpxQueueId queue, uint32 count);

/*
 * Have the checkpointer look at an object that seems to be damaged.  Takes
 * 'lock' exclusively.
 */
extern void ckpx_suspect(const CkpxEntryTicket *entry);

/*
 * The entry of the store that a ticket, or a copy of it, stands for; NULL
 * where it is not there.  Caller holds 'lock'.
 */
extern CkpxEntry *ckpx_ticket_entry(const CkpxEntryTicket *ticket);
extern CkpxEntry *ckpx_shared_entry(const CkpxEntry *copy);

/* How long an object may be absent before it is lost. */
extern uint64 ckpx_patience_ms(void);
extern const char *ckpx_queue_name(CkpxQueueId queue);
extern const char *ckpx_worker_name(CkpxWorkerId worker);
extern const char *ckpx_worker_state_name(CkpxWorkerState state);

/* Set or clear ("" or NULL) CkpxShared->problem; logs a change. */
extern void ckpx_set_problem(const char *text);

/*
 * Why something cannot go on, and what helps: the text that was set, workers
 * for which max_worker_processes has no room, workers that have failed more
 * than once in a row.  False where nothing is wrong.
 *
 * 'workers' is a set of bits, 1 << CkpxWorkerId: only these are looked at.
 * The caller holds the lock.
 */
typedef struct CkpxProblem
{
	char		text[CKPX_PROBLEM_MAX];
	char		hint[CKPX_PROBLEM_MAX];
} CkpxProblem;

#define CKPX_ALL_WORKERS	((1 << CKPX_NWORKERS) - 1)

extern bool ckpx_find_problem(int workers, CkpxProblem *problem);

/*
 * Wait on 'progress' until 'reached' returns true for 'arg' (called with
 * 'lock' held shared) or the deadline on the monotonic clock has passed (then
 * false).  Cancelable.
 *
 * What ends the wait with error 55000: the worker fails meanwhile, with its
 * last error as detail; ckpx_find_problem() finds that it or the runner cannot
 * go on; ckpx_uninstall(), with the error of ckpx_require_installed().
 */
typedef enum CkpxWaitMode
{
	CKPX_WAIT_STRICT,			/* all of these */
	CKPX_WAIT_DESPITE_PROBLEM,	/* the worker does this whatever
								 * CkpxShared->problem says and whether the
								 * runner goes on or not, as long as the
								 * history is loaded */
	CKPX_WAIT_UNINSTALL,		/* and the runner does this even then */
	CKPX_WAIT_FLUSH				/* none: 'reached' looks at the flusher; looks
								 * each ckpx.force_flush_check_interval */
} CkpxWaitMode;

#define CKPX_NO_DEADLINE	PG_UINT64_MAX

typedef bool (*CkpxReached) (void *arg);
extern bool ckpx_wait_until(CkpxReached reached, void *arg, uint64 deadline,
							CkpxWorkerId worker, CkpxWaitMode mode);

#endif							/* CKPX_SHARED_STATE_H */
