/*-------------------------------------------------------------------------
 *
 * xid_lsn.h
 *		From a transaction to the LSN of its first WAL record, in bounded
 *		memory.
 *
 * The idea: a commit touches no block, so "what changed since X" misses rows
 * that were written before X by a transaction which a reader's snapshot at X
 * did not see yet.  A reader must go back to the first record of the oldest
 * transaction that its snapshot did not see.  Every transaction that a
 * snapshot does not see has an xid at or after the snapshot's xmin, so a
 * lower bound over all xids from xmin on is enough, and is nearly tight
 * because first records come in nearly the order of xids.
 *
 * Xids are 64 bits wide here (FullTransactionId values).  They are kept in a
 * ring of buckets, each covering 2^shift consecutive xids with the smallest
 * first LSN of those seen.  When the xids in use no longer fit, shift grows
 * and neighbours are folded together; when few are in use it shrinks again.
 *
 * The struct holds no pointers and lives in shared memory; the caller locks.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_XID_LSN_H
#define CKPX_XID_LSN_H

#include "core/types.h"

#define CKPX_XID_BUCKETS	4096

typedef struct CkpxXidLsn
{
	uint64		known_from;		/* xids below this are not known: they may
								 * have records from before tracking began, or
								 * were forgotten */
	uint64		last_xid;		/* the highest xid noted */
	uint64		first_bucket;	/* bucket number (xid >> shift) of the oldest
								 * kept */
	uint32		nbuckets;		/* in use, from first_bucket on */
	uint32		shift;
	XLogRecPtr	lsn[CKPX_XID_BUCKETS];	/* by bucket number modulo the size;
										 * InvalidXLogRecPtr: none seen */
} CkpxXidLsn;

/* Forget all; tracking begins, no xid below 'known_from' is fully known. */
extern void ckpx_xid_lsn_reset(CkpxXidLsn *map, uint64 known_from);

/*
 * 'xid' wrote a record at 'lsn' (valid).  The smallest LSN noted counts, so it
 * is enough to call this for the first record, and harmless to call it for
 * others.  Xids come in any order; those below known_from are ignored.
 */
extern void ckpx_xid_lsn_note(CkpxXidLsn *map, uint64 xid, XLogRecPtr lsn);

/* No snapshot will ask about xids below 'xid' any more. */
extern void ckpx_xid_lsn_forget_before(CkpxXidLsn *map, uint64 xid);

/*
 * The smallest first LSN among xids >= 'xmin', or InvalidXLogRecPtr when none
 * has been seen.  False when xmin is older than what is known or was already
 * forgotten: no answer can be given then.
 */
extern bool ckpx_xid_lsn_lower_bound(const CkpxXidLsn *map, uint64 xmin,
									 XLogRecPtr *lsn);

#endif							/* CKPX_XID_LSN_H */
