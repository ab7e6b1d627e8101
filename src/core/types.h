/*-------------------------------------------------------------------------
 *
 * types.h
 *		The few types that every part of ckpx shares.
 *
 * Everything under src/core is pure: it knows no setting, no shared memory,
 * no lock, no clock, no random number, no file and no ereport().  It compiles
 * for the server and with -DFRONTEND.  Trouble is reported by return value
 * and, where input is judged, by a 'problem' text that the caller may wrap in
 * an error of its own; such texts are static strings and are never freed.
 *
 * Memory comes from a CkpxMemory that the caller names: in the server a
 * memory context, so that an error or a reset frees everything at once; in a
 * frontend program it is always NULL and stands for malloc().
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_TYPES_H
#define CKPX_TYPES_H

#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "access/xlogdefs.h"
#include "common/relpath.h"
#include "storage/block.h"

#ifdef FRONTEND
typedef void *CkpxMemory;
#define CKPX_CURRENT_MEMORY		NULL
#define ckpx_alloc(mem, size)	palloc(size)
#define ckpx_alloc0(mem, size)	palloc0(size)
#else
typedef MemoryContext CkpxMemory;
#define CKPX_CURRENT_MEMORY		CurrentMemoryContext
#define ckpx_alloc(mem, size)	MemoryContextAllocHuge(mem, size)
#define ckpx_alloc0(mem, size) \
	memset(MemoryContextAllocHuge(mem, size), 0, size)
#endif

/* The name of an enum's value, from a table that has one for each. */
#define CKPX_NAME_OF(names, value) \
	((uint32) (value) < lengthof(names) ? (names)[value] : "unknown")

/* For functions that judge input: say what is wrong with it. */
static inline bool
ckpx_damaged(const char **problem, const char *text)
{
	*problem = text;
	return false;
}

/*
 * One fork of one relation, by physical identity.
 *
 * 'relation' 0 stands for the whole database in that tablespace: a row with
 * it means that every relation there may have changed (CREATE and DROP
 * DATABASE copy or remove files without naming blocks).  Fork is MAIN then.
 */
typedef struct CkpxRelKey
{
	Oid			tablespace;
	Oid			database;		/* 0 for a shared relation */
	Oid			relation;		/* relfilenode, or 0: the whole database */
	uint32		fork;			/* a ForkNumber */
} CkpxRelKey;

#define CKPX_DATABASE_WIDE	((Oid) 0)

static inline int
ckpx_rel_key_compare(const CkpxRelKey *a, const CkpxRelKey *b)
{
	if (a->tablespace != b->tablespace)
		return a->tablespace < b->tablespace ? -1 : 1;
	if (a->database != b->database)
		return a->database < b->database ? -1 : 1;
	if (a->relation != b->relation)
		return a->relation < b->relation ? -1 : 1;
	if (a->fork != b->fork)
		return a->fork < b->fork ? -1 : 1;
	return 0;
}

static inline bool
ckpx_rel_key_equal(const CkpxRelKey *a, const CkpxRelKey *b)
{
	return a->relation == b->relation && a->fork == b->fork &&
		a->database == b->database && a->tablespace == b->tablespace;
}

/*
 * The last WAL record of a range, so that a later reader can make sure that
 * the WAL it continues with is the WAL that the range was read from: a data
 * directory that was restored and started again writes the same LSNs with
 * other content.  start == InvalidXLogRecPtr means unknown.
 *
 * One record does not prove it: where the same work is done again, an insert
 * comes out byte for byte as it did before.  So there is the last run, too:
 * all records from the last one that carries a time (the end of a transaction
 * or of recovery, a checkpoint), which no two histories write alike, up to
 * this one.  Until an epoch has such a record the run begins with the epoch.
 */
typedef struct CkpxRecordMark
{
	XLogRecPtr	start;			/* where the record starts */
	uint32		length;			/* its xl_tot_len */
	uint32		crc;			/* its xl_crc */
	XLogRecPtr	run_start;		/* where the run's first record starts;
								 * invalid: unknown */
	uint32		run_hash;		/* of the xl_crc of all its records */
} CkpxRecordMark;

/*
 * The hash of a run that goes on with one more record; that of a single
 * record is its xl_crc.  A CRC of CRCs would not do: it is linear, so that the
 * same difference in two records can cancel out.
 */
static inline uint32
ckpx_run_hash(uint32 hash, uint32 crc)
{
	return hash ^ (crc + 0x9E3779B9u + (hash << 6) + (hash >> 2));
}

/*
 * Which cluster, and which copy of it, a file belongs to.  Files are used
 * only where every field agrees; otherwise a new epoch begins.
 */
typedef struct CkpxIdentity
{
	uint64		system_identifier;
	uint64		node_id;		/* random, one per data directory */
	uint32		pg_major;		/* 15, 16, ... */
	uint32		block_size;		/* BLCKSZ */
	uint32		segment_blocks; /* RELSEG_SIZE */
	uint32		wal_segment_size;
	uint32		checksum_version;	/* data_checksum_version */
} CkpxIdentity;

typedef enum CkpxEntryKind
{
	CKPX_KIND_NONE = 0,
	CKPX_KIND_INCREMENTAL,
	CKPX_KIND_GLOBAL,
	CKPX_KIND_BACKUP,
	CKPX_KIND_SEGMENT			/* a spilled piece of the logtail */
} CkpxEntryKind;

typedef enum CkpxEntryState
{
	CKPX_ENTRY_NONE = 0,
	CKPX_ENTRY_PENDING,
	CKPX_ENTRY_RUNNING,
	CKPX_ENTRY_FINISHED
} CkpxEntryState;

/* One bit for each resource manager id. */
#define CKPX_RMGR_BITMAP_BYTES	32

/* Heap blocks covered by one visibility map page (visibilitymap.c). */
#define CKPX_HEAPBLOCKS_PER_VM_PAGE(page_header_size) \
	((BLCKSZ - (page_header_size)) * 4)

/* Largest number that a file may hold where it means a count of blocks. */
#define CKPX_MAX_BLOCKS		((uint64) InvalidBlockNumber)

#endif							/* CKPX_TYPES_H */
