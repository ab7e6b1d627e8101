/*-------------------------------------------------------------------------
 *
 * ckpx.h
 *		What other extensions written in C can use of ckpx.
 *
 * This header is installed and needs nothing but the server's own headers.
 * All meetings go through rendezvous variables (find_rendezvous_variable()),
 * so a library that uses it needs no symbol of ckpx, may be loaded before or
 * after ckpx, and works without ckpx as well: then what it registered
 * has no effect, and ckpx_get_api() returns NULL.
 *
 * Three things are offered:
 *
 *	observers	a callback for each change in the life of a checkpoint
 *	decoders	a callback for the WAL records of a custom resource manager
 *	the API		the map of changed blocks without SPI
 *
 * Observers and decoders are registered from _PG_init() of a library in
 * shared_preload_libraries; every later registration is an error, because the
 * workers would not see it.  Registered structs must live as long as the
 * process: make them static.
 *
 * CKPX_API_VERSION grows when something here changes.  A struct carries the
 * version that it was compiled with in its first field; ckpx ignores, with a
 * WARNING, what was compiled with a newer one than its own.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_H
#define CKPX_H

#include "postgres.h"

#include "access/rmgr.h"
#include "access/xlogdefs.h"
#include "access/xlogreader.h"
#include "common/relpath.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/block.h"

#define CKPX_API_VERSION	1

/*
 * One fork of one relation, by physical identity.  'relation' 0 stands for
 * every relation of the database in that tablespace.
 */
typedef struct CkpxFork
{
	Oid			tablespace;
	Oid			database;		/* 0 for a shared relation */
	Oid			relation;		/* relfilenode */
	ForkNumber	fork;
} CkpxFork;

/*
 * Observers
 *
 * 'on_event' is called in the process "ckpx observer", once for each event
 * and observer, in the order of the events, some time after they happened:
 * the end of a checkpoint is announced when its object and a manifest with it
 * are durable and its WAL release was asked for.  Also checkpoints that were
 * forced are announced, globals and backups like incrementals.
 *
 * That process has access to shared memory but is connected to no database:
 * no transaction, no catalog, no SPI.  The current memory context is reset
 * after the call.  Long work keeps later events, and the post command,
 * waiting; a callback that waits must call CHECK_FOR_INTERRUPTS().  An ERROR
 * raised by it is logged and shown in ckpx_workers, locks are released, and
 * the next observer is called; the event does not come again.  A FATAL ends
 * the process, which is started again after five seconds.
 *
 * Events lie in a queue of fixed size, which is in shared memory: when it is
 * full (see ckpx_queues), or after a crash, events are lost.  What must not be
 * missed is found with the SQL functions, or is the post command's matter.
 */
typedef enum CkpxEventType
{
	CKPX_CHECKPOINT_FINISHED = 0,	/* durable; nothing changes after that */
	CKPX_CHECKPOINT_PENDING,	/* its range is fixed */
	CKPX_CHECKPOINT_RUNNING,	/* its object is being written */
	CKPX_CHECKPOINT_FAILED,		/* an attempt failed; it will be repeated */
	CKPX_CHECKPOINT_REMOVED		/* garbage collection took it away, or its
								 * object was found damaged */
} CkpxEventType;

typedef enum CkpxCheckpointKind
{
	CKPX_CHECKPOINT_INCREMENTAL = 1,
	CKPX_CHECKPOINT_GLOBAL,
	CKPX_CHECKPOINT_BACKUP
} CkpxCheckpointKind;

typedef struct CkpxEvent
{
	CkpxEventType type;
	CkpxCheckpointKind kind;
	uint32		epoch;
	TimeLineID	timeline;
	XLogRecPtr	start_lsn;		/* the range is [start_lsn, end_lsn) */
	XLogRecPtr	end_lsn;
	const char *path;			/* absolute path of its object, also where it
								 * is not there yet or any more; further parts
								 * have .1, .2, ... appended */
} CkpxEvent;

typedef struct CkpxObserver
{
	int			api_version;	/* CKPX_API_VERSION */
	const char *name;			/* for messages */
	void		(*on_event) (const CkpxEvent *event, void *arg);
	void	   *arg;
	struct CkpxObserver *next;	/* filled in by ckpx_register_observer() */
} CkpxObserver;

#define CKPX_OBSERVERS_VARIABLE		"ckpx_observers"

/*
 * Decoders
 *
 * A custom resource manager may change blocks that its records do not
 * register.  Without a decoder ckpx takes the registered ones, lists the
 * resource manager's id in ckpx_runner and in each object, and gives up its
 * history where a record has XLR_SPECIAL_REL_UPDATE set.
 *
 * 'decode' is called in the process "ckpx runner" for every record of 'rmid',
 * in the order of WAL, possibly again after a restart.  It sees only the
 * record: the state of the database is another one by then.  It must be fast,
 * must not write to the record, and hands over what the record changes through
 * the sink.  The promise of ckpx is that no changed block is missing; too
 * many are allowed.  An ERROR ends the process, which after a pause reads the
 * same record again: a record that is not understood is to be answered with
 * CKPX_RECORD_UNKNOWN.
 */
typedef enum CkpxRecordVerdict
{
	CKPX_RECORD_UNKNOWN = 0,	/* as if there were no decoder */
	CKPX_RECORD_COVERED			/* the blocks that the record registers and
								 * those handed over, possibly none, are all
								 * that it can change */
} CkpxRecordVerdict;

typedef struct CkpxBlockSink
{
	/* a block changes */
	void		(*block) (struct CkpxBlockSink *sink, const CkpxFork *fork,
						  BlockNumber block);

	/* the fork is cut to 'nblocks' blocks */
	void		(*truncate) (struct CkpxBlockSink *sink, const CkpxFork *fork,
							 BlockNumber nblocks);

	/* the fork is created or dropped; a database-wide row: both */
	void		(*create) (struct CkpxBlockSink *sink, const CkpxFork *fork);
	void		(*drop) (struct CkpxBlockSink *sink, const CkpxFork *fork);
} CkpxBlockSink;

typedef struct CkpxDecoder
{
	int			api_version;	/* CKPX_API_VERSION */
	RmgrId		rmid;			/* at least RM_MIN_CUSTOM_ID */
	CkpxRecordVerdict (*decode) (XLogReaderState *record,
								 CkpxBlockSink *sink, void *arg);
	void	   *arg;
	struct CkpxDecoder *next;	/* filled in by ckpx_register_decoder() */
} CkpxDecoder;

#define CKPX_DECODERS_VARIABLE		"ckpx_decoders"

/*
 * The API
 *
 * For ordinary backends and for workers that are connected to a database; not
 * for callbacks.  Errors are raised as by the SQL functions of the same
 * names; everything can be canceled.  No privilege is checked.
 */
typedef struct CkpxMapRow
{
	CkpxFork	fork;
	BlockNumber limit_block;	/* changed from here on; InvalidBlockNumber:
								 * no limit */
	uint64		nblocks;		/* blocks listed */
} CkpxMapRow;

typedef struct CkpxMapReader
{
	/* a fork; false: its runs are of no interest */
	bool		(*row) (const CkpxMapRow *row, void *arg);

	/* a run of listed blocks [from, to) of the fork before, ascending */
	void		(*run) (const CkpxMapRow *row, BlockNumber from,
						BlockNumber to, void *arg);
} CkpxMapReader;

typedef struct CkpxApi
{
	int			api_version;

	/*
	 * Read the map of [start_lsn, end_lsn), InvalidXLogRecPtr for the present
	 * end, of one relation (its fork is not looked at) or, with NULL, of all,
	 * in the order of tablespace, database, relation and fork.  A block is
	 * changed if it is in a run, or at or after the fork's limit_block, or if
	 * its database has a row of relation 0.  Returns the LSN up to which the
	 * map goes: where the next range begins.
	 */
	XLogRecPtr	(*read_map) (XLogRecPtr start_lsn, XLogRecPtr end_lsn,
							 const CkpxFork *relation,
							 const CkpxMapReader *reader, void *arg);

	/* How far WAL is collected, and finished checkpoints reach. */
	XLogRecPtr	(*collected_lsn) (void);
	XLogRecPtr	(*checkpointed_lsn) (void);
} CkpxApi;

#define CKPX_API_VARIABLE			"ckpx_api"

static inline void
ckpx_check_registration(void)
{
	if (!process_shared_preload_libraries_in_progress)
		elog(ERROR, "observers and decoders of ckpx must be registered from \"shared_preload_libraries\"");
}

static inline void
ckpx_register_observer(CkpxObserver *observer)
{
	void	  **list = find_rendezvous_variable(CKPX_OBSERVERS_VARIABLE);

	ckpx_check_registration();
	observer->next = (CkpxObserver *) *list;
	*list = observer;
}

static inline void
ckpx_register_decoder(CkpxDecoder *decoder)
{
	void	  **list = find_rendezvous_variable(CKPX_DECODERS_VARIABLE);

	ckpx_check_registration();
	decoder->next = (CkpxDecoder *) *list;
	*list = decoder;
}

/* NULL when ckpx is not preloaded, or is older than this header. */
static inline const CkpxApi *
ckpx_get_api(void)
{
	const CkpxApi **variable = (const CkpxApi **)
		find_rendezvous_variable(CKPX_API_VARIABLE);
	const CkpxApi *api = *variable;

	return api != NULL && api->api_version >= CKPX_API_VERSION ? api : NULL;
}

#endif							/* CKPX_H */
