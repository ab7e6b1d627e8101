/*-------------------------------------------------------------------------
 *
 * compat.h
 *		Differences between the PostgreSQL majors; the only file under
 *		src/server and src/api that looks at PG_VERSION_NUM.
 *
 * The names of the newer majors are used throughout; 15 gets them from here.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_COMPAT_H
#define CKPX_COMPAT_H

#include "postgres.h"

#if PG_VERSION_NUM < 150000
#error "ckpx needs PostgreSQL 15 or later"
#endif
#define CKPX_PG_MAJOR	(PG_VERSION_NUM / 10000)

#include "access/xact.h"
#include "access/xlog_internal.h"
#include "access/xlogreader.h"
#include "catalog/pg_control.h"
#include "catalog/pg_database.h"
#include "common/relpath.h"
#include "replication/slot.h"
#include "storage/buf_internals.h"
#include "storage/bufmgr.h"
#include "storage/latch.h"
#include "storage/smgr.h"
#if PG_VERSION_NUM >= 180000
#include "storage/waiteventset.h"
#endif
#include "utils/acl.h"
#include "utils/rangetypes.h"
#include "utils/rel.h"
#include "utils/relmapper.h"
#if PG_VERSION_NUM >= 160000
#include "utils/relfilenumbermap.h"
#else
#include "utils/relfilenodemap.h"
#endif
#include "utils/wait_event.h"

/* A relation's physical identity: RelFileNode became RelFileLocator in 16. */
#if PG_VERSION_NUM < 160000
#include "storage/relfilenode.h"
typedef RelFileNode RelFileLocator;
typedef Oid RelFileNumber;
#define CKPX_LOCATOR_TABLESPACE(l)	((l).spcNode)
#define CKPX_LOCATOR_DATABASE(l)	((l).dbNode)
#define CKPX_LOCATOR_NUMBER(l)		((l).relNode)
#define CKPX_XACT_NLOCATORS(parsed) ((parsed)->nrels)
#define CKPX_XACT_LOCATORS(parsed)	((parsed)->xnodes)
#define CKPX_TAG_LOCATOR(tag)		((tag).rnode)
#define CKPX_SMGR_LOCATOR(xlrec)	((xlrec)->rnode)
#define CKPX_BLOCK_LOCATOR(block)	((block)->rnode)
#else
#include "storage/relfilelocator.h"
#define CKPX_LOCATOR_TABLESPACE(l)	((l).spcOid)
#define CKPX_LOCATOR_DATABASE(l)	((l).dbOid)
#define CKPX_LOCATOR_NUMBER(l)		((l).relNumber)
#define CKPX_XACT_NLOCATORS(parsed) ((parsed)->nrels)
#define CKPX_XACT_LOCATORS(parsed)	((parsed)->xlocators)
#define CKPX_TAG_LOCATOR(tag)		BufTagGetRelFileLocator(&(tag))
#define CKPX_SMGR_LOCATOR(xlrec)	((xlrec)->rlocator)
#define CKPX_BLOCK_LOCATOR(block)	((block)->rlocator)
#endif

/* The number that stands for "not a temporary relation" in smgropen(). */
#if PG_VERSION_NUM >= 170000
#define CKPX_NO_BACKEND		INVALID_PROC_NUMBER
#else
#define CKPX_NO_BACKEND		InvalidBackendId
#endif

/* Forget every SMgrRelation, so that no descriptor outlives its file. */
static inline void
ckpx_smgr_forget_all(void)
{
#if PG_VERSION_NUM >= 170000
	smgrdestroyall();
#else
	smgrcloseall();
#endif
}

static inline uint32
ckpx_wait_event_new(const char *name)
{
#if PG_VERSION_NUM >= 170000
	return WaitEventExtensionNew(name);
#else
	return PG_WAIT_EXTENSION;
#endif
}

static inline void
ckpx_slot_create(const char *name)
{
#if PG_VERSION_NUM >= 170000
	ReplicationSlotCreate(name, false, RS_PERSISTENT, false, false, false);
#else
	ReplicationSlotCreate(name, false, RS_PERSISTENT, false);
#endif
}

static inline void
ckpx_slot_acquire(const char *name)
{
#if PG_VERSION_NUM >= 180000
	ReplicationSlotAcquire(name, true, false);
#else
	ReplicationSlotAcquire(name, true);
#endif
}

/* Was the slot invalidated?  Caller holds the slot's spinlock. */
static inline bool
ckpx_slot_is_lost(const ReplicationSlot *slot)
{
#if PG_VERSION_NUM >= 160000
	return slot->data.invalidated != RS_INVAL_NONE;
#else
	return slot->data.restart_lsn == InvalidXLogRecPtr &&
		slot->data.invalidated_at != InvalidXLogRecPtr;
#endif
}

/* The physical identity of an open relation; mapped catalogs too. */
#if PG_VERSION_NUM >= 160000
#define CKPX_RELATION_LOCATOR(rel)	((rel)->rd_locator)
#else
#define CKPX_RELATION_LOCATOR(rel)	((rel)->rd_node)
#endif

/* The file of a mapped relation; or InvalidOid. */
static inline Oid
ckpx_mapped_file(Oid relid, bool shared)
{
#if PG_VERSION_NUM >= 160000
	return RelationMapOidToFilenumber(relid, shared);
#else
	return RelationMapOidToFilenode(relid, shared);
#endif
}

/* The file of a mapped relation of the database in this directory. */
static inline Oid
ckpx_mapped_file_of(char *database_path, Oid relid)
{
#if PG_VERSION_NUM >= 160000
	return RelationMapOidToFilenumberForDatabase(database_path, relid);
#else
	return RelationMapOidToFilenodeForDatabase(database_path, relid);
#endif
}

/* May the role connect to the database? */
static inline bool
ckpx_may_connect(Oid database, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(DatabaseRelationId, database, role,
						   ACL_CONNECT) == ACLCHECK_OK;
#else
	return pg_database_aclcheck(database, role, ACL_CONNECT) == ACLCHECK_OK;
#endif
}

/* The relation of the present database that has this file; or InvalidOid. */
static inline Oid
ckpx_relid_of_file(Oid tablespace, Oid number)
{
#if PG_VERSION_NUM >= 160000
	return RelidByRelfilenumber(tablespace, number);
#else
	return RelidByRelfilenode(tablespace, number);
#endif
}

/* Path of a fork's first segment, relative to the data directory; palloc'd. */
static inline char *
ckpx_relation_path(Oid tablespace, Oid database, Oid number, ForkNumber fork)
{
#if PG_VERSION_NUM >= 180000
	return pstrdup(GetRelationPath(database, tablespace, number,
								   CKPX_NO_BACKEND, fork).str);
#else
	return GetRelationPath(database, tablespace, number, CKPX_NO_BACKEND,
						   fork);
#endif
}

/* The file of a relation, as smgr and the buffer manager name it. */
static inline RelFileLocator
ckpx_locator(Oid tablespace, Oid database, Oid number)
{
	RelFileLocator locator;

	CKPX_LOCATOR_TABLESPACE(locator) = tablespace;
	CKPX_LOCATOR_DATABASE(locator) = database;
	CKPX_LOCATOR_NUMBER(locator) = number;
	return locator;
}

static inline void
ckpx_init_tag(BufferTag *tag, RelFileLocator locator, ForkNumber fork,
			  BlockNumber block)
{
#if PG_VERSION_NUM >= 160000
	InitBufferTag(tag, &locator, fork, block);
#else
	INIT_BUFFERTAG(*tag, locator, fork, block);
#endif
}

/*
 * Let go of a buffer write that an error broke off.  From 16 on the resource
 * owner knows of it.
 */
static inline void
ckpx_abort_buffer_io(void)
{
#if PG_VERSION_NUM < 160000
	AbortBufferIO();
#endif
	UnlockBuffers();
}

/* Tell the kernel to begin writing the page, soon. */
static inline void
ckpx_schedule_writeback(WritebackContext *context, BufferTag *tag)
{
#if PG_VERSION_NUM >= 160000
	ScheduleBufferTagForWriteback(context, IOCONTEXT_NORMAL, tag);
#else
	ScheduleBufferTagForWriteback(context, tag);
#endif
}

static inline void
ckpx_issue_writebacks(WritebackContext *context)
{
#if PG_VERSION_NUM >= 160000
	IssuePendingWritebacks(context, IOCONTEXT_NORMAL);
#else
	IssuePendingWritebacks(context);
#endif
}

/* Directory of WAL summaries, from 17 on. */
#if PG_VERSION_NUM >= 170000
#define CKPX_WAL_SUMMARIES	XLOGDIR "/summaries"
#endif

/* A range value from bounds that are canonical already. */
static inline RangeType *
ckpx_range_serialize(TypeCacheEntry *typcache, RangeBound *lower,
					 RangeBound *upper)
{
#if PG_VERSION_NUM >= 160000
	return range_serialize(typcache, lower, upper, false, NULL);
#else
	return range_serialize(typcache, lower, upper, false);
#endif
}

/* The list of registered background workers became a dlist in 18. */
#if PG_VERSION_NUM >= 180000
#define CKPX_REGISTERED_ITER			dlist_iter
#define CKPX_FOREACH_REGISTERED(iter) \
	dlist_foreach(iter, &BackgroundWorkerList)
#define CKPX_REGISTERED_WORKER(iter) \
	(&dlist_container(RegisteredBgWorker, rw_lnode, (iter).cur)->rw_worker)
#else
#define CKPX_REGISTERED_ITER			slist_iter
#define CKPX_FOREACH_REGISTERED(iter) \
	slist_foreach(iter, &BackgroundWorkerList)
#define CKPX_REGISTERED_WORKER(iter) \
	(&slist_container(RegisteredBgWorker, rw_lnode, (iter).cur)->rw_worker)
#endif

#endif							/* CKPX_COMPAT_H */
