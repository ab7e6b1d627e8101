/*-------------------------------------------------------------------------
 *
 * xacts.h
 *		Which transactions are open at the position that WAL was decoded to,
 *		and which relation forks they have made.
 *
 * The idea: WAL does not say when a transaction begins, only when it ends, and
 * not always even that: a crash ends transactions silently.  An xid is open
 * from its first record to the commit or abort record that lists it, and is
 * forgotten when a shutdown, an end of recovery or a RUNNING_XACTS record
 * shows that it cannot be running any more.  Prepared transactions outlive
 * shutdowns.
 *
 * Relation forks are tracked from their creation until they are dropped or
 * the caller finds them durable: a bulk build writes and syncs a new fork
 * outside shared buffers, so that nothing else vouches for its blocks until
 * its transaction has ended.  A creation record often carries no xid, because
 * the transaction gets one a little later; the first record with an xid that
 * names a block of the fork tells the owner then, as no other transaction can
 * see the fork.  A fork without blocks in WAL has nothing that could be lost.
 *
 * Used by wal/changes.c, wal/decode.c and wal/source.c only.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_WAL_XACTS_H
#define CKPX_WAL_XACTS_H

#include "postgres.h"

#include "core/format/object_format.h"
#include "server/wal/cut.h"
#include "utils/hsearch.h"

struct xacthash_hash;
struct endedhash_hash;

/* A power of two. */
#define CKPX_RECENT_XIDS	64

typedef struct CkpxWalXacts
{
	MemoryContext context;
	CkpxFirstRecordCallback callback;	/* or NULL */
	TransactionId recent[CKPX_RECENT_XIDS]; /* known to be in 'open', by xid
											 * modulo the size: spares a
											 * lookup for most records */
	struct xacthash_hash *open;
	struct endedhash_hash *ended;	/* empty once the list is complete */
	bool		complete;		/* all that began before the chain are known */
	HTAB	   *created;		/* forks, by key */
	uint32		ncreated;
	uint32		norphans;		/* of those: blocks seen, owner not known */
} CkpxWalXacts;

extern CkpxWalXacts *ckpx_wal_xacts_create(MemoryContext context,
										   CkpxFirstRecordCallback callback);

/* Forget all transactions; created forks stay, their owners have ended. */
extern void ckpx_wal_xacts_reset(CkpxWalXacts *xacts, XLogRecPtr lsn);

extern void ckpx_wal_xacts_first(CkpxWalXacts *xacts, TransactionId xid,
								 XLogRecPtr lsn);

/* There is a record of 'xid' at 'lsn'. */
static inline void
ckpx_wal_xacts_note(CkpxWalXacts *xacts, TransactionId xid, XLogRecPtr lsn)
{
	if (unlikely(xacts->recent[xid % CKPX_RECENT_XIDS] != xid))
		ckpx_wal_xacts_first(xacts, xid, lsn);
}

/* An earlier process knew 'xid' as open. */
extern void ckpx_wal_xacts_add(CkpxWalXacts *xacts, TransactionId xid,
							   XLogRecPtr first_lsn);

/* The transaction and those listed ended by the record that ends at 'lsn'. */
extern void ckpx_wal_xacts_end(CkpxWalXacts *xacts, TransactionId xid,
							   int nsubxacts, const TransactionId *subxacts,
							   XLogRecPtr lsn);
extern void ckpx_wal_xacts_prepare(CkpxWalXacts *xacts, TransactionId xid,
								   int nsubxacts,
								   const TransactionId *subxacts);

/*
 * The subtransactions belong to 'xid' and need not be remembered by
 * themselves; this bounds the memory that one transaction can take.
 */
extern void ckpx_wal_xacts_assign(CkpxWalXacts *xacts, TransactionId xid,
								  int nsubxacts,
								  const TransactionId *subxacts);

/* No transaction is running, except for prepared ones. */
extern void ckpx_wal_xacts_shutdown(CkpxWalXacts *xacts, XLogRecPtr lsn);

/*
 * 'xids' were running when the record that ends at 'lsn' was made, none is
 * older than 'oldest'.  Subtransactions are among them unless 'overflowed'.
 */
extern void ckpx_wal_xacts_running(CkpxWalXacts *xacts, int nxids,
								   const TransactionId *xids,
								   TransactionId oldest, TransactionId next,
								   bool overflowed, XLogRecPtr lsn);

/* Open transactions by xid, palloc'd. */
extern uint32 ckpx_wal_xacts_list(const CkpxWalXacts *xacts,
								  CkpxOpenXact **list);

/* A fork was created at 'lsn' by 'xid', which may be invalid: not known. */
extern void ckpx_wal_xacts_created(CkpxWalXacts *xacts, const CkpxRelKey *key,
								   TransactionId xid, XLogRecPtr lsn);

/*
 * A record of 'xid' (may be invalid) names a block of the fork.  False: the
 * owner is not known yet, tell the next record, too.
 */
extern bool ckpx_wal_xacts_touched(CkpxWalXacts *xacts, const CkpxRelKey *key,
								   TransactionId xid);

/* The fork is gone; or all those of a database in one tablespace. */
extern void ckpx_wal_xacts_dropped(CkpxWalXacts *xacts,
								   const CkpxRelKey *key);
extern void ckpx_wal_xacts_dropped_database(CkpxWalXacts *xacts,
											Oid tablespace, Oid database);

/* See ckpx_wal_source_undurable(). */
extern void ckpx_wal_xacts_add_undurable(CkpxWalXacts *xacts,
										 const CkpxRelKey *key);
extern uint32 ckpx_wal_xacts_undurable(CkpxWalXacts *xacts, XLogRecPtr redo,
									   CkpxRelKey **keys);

/* See ckpx_wal_source_builds(). */
extern uint32 ckpx_wal_xacts_builds(const CkpxWalXacts *xacts,
									XLogRecPtr durable, CkpxRelKey **ended,
									XLogRecPtr *from, XLogRecPtr *to);

#endif							/* CKPX_WAL_XACTS_H */
