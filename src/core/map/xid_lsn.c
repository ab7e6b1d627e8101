/*-------------------------------------------------------------------------
 *
 * xid_lsn.c
 *		From a transaction to the LSN of its first WAL record.
 *
 * Bucket number b covers the xids [b << shift, (b + 1) << shift) and lies at
 * index b modulo CKPX_XID_BUCKETS.  Invariants:
 *
 *	- first_bucket is the bucket of known_from, so a bucket below it can never
 *	  be needed again; nothing but known_from decides where the ring begins;
 *	- places outside [first_bucket, first_bucket + nbuckets) hold
 *	  InvalidXLogRecPtr, so the ring can grow without clearing;
 *	- a bucket's LSN is never higher than the first LSN of any xid in it that
 *	  is not below known_from.
 *
 * Everything that loses precision (folding two buckets, spreading one over
 * two, keeping a bucket of which a part was forgotten) may make a bucket's
 * LSN lower than it need be, never higher: a reader then reads more than it
 * must, and misses nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "core/map/xid_lsn.h"

#define PLACE(bucket)	((bucket) % CKPX_XID_BUCKETS)

/*
 * Spread only when the ring is nearly empty: a shift that swings around the
 * ring's size would copy it again and again.
 */
#define SPREAD_BELOW	(CKPX_XID_BUCKETS / 8)

static inline void
keep_lower(XLogRecPtr *place, XLogRecPtr lsn)
{
	if (*place == InvalidXLogRecPtr || lsn < *place)
		*place = lsn;
}

/*
 * Go over to buckets of 2^'shift' xids.  The new ring is built aside: the
 * old and the new place of a bucket have nothing to do with each other.
 */
static void
change_shift(CkpxXidLsn *map, uint32 shift)
{
	XLogRecPtr	old[CKPX_XID_BUCKETS];
	uint32		old_shift = map->shift;
	uint64		old_first = map->first_bucket;
	uint32		old_nbuckets = map->nbuckets;

	memcpy(old, map->lsn, sizeof(old));
	memset(map->lsn, 0, sizeof(map->lsn));
	map->shift = shift;
	map->first_bucket = map->known_from >> shift;
	map->nbuckets = 0;

	for (uint32 i = 0; i < old_nbuckets; i++)
	{
		XLogRecPtr	lsn = old[PLACE(old_first + i)];
		uint64		from;
		uint64		to;

		if (lsn == InvalidXLogRecPtr)
			continue;

		/*
		 * All new buckets that share an xid in use with the old one.  Without
		 * the upper end a coarse bucket would hold the xids yet to come down
		 * to its LSN.
		 */
		from = ((old_first + i) << old_shift) >> shift;
		to = (((old_first + i) << old_shift) +
			  ((UINT64CONST(1) << old_shift) - 1)) >> shift;
		from = Max(from, map->first_bucket);
		to = Min(to, map->last_xid >> shift);
		if (from > to)
			continue;			/* what is left of it was forgotten */
		Assert(to - map->first_bucket < CKPX_XID_BUCKETS);
		for (uint64 n = 0; n <= to - from; n++)
			keep_lower(&map->lsn[PLACE(from + n)], lsn);
		map->nbuckets = (uint32) (to - map->first_bucket) + 1;
	}
}

void
ckpx_xid_lsn_reset(CkpxXidLsn *map, uint64 known_from)
{
	memset(map, 0, sizeof(CkpxXidLsn));
	map->known_from = known_from;
	map->first_bucket = known_from;
}

void
ckpx_xid_lsn_note(CkpxXidLsn *map, uint64 xid, XLogRecPtr lsn)
{
	uint32		shift = map->shift;
	uint64		bucket;

	Assert(lsn != InvalidXLogRecPtr);

	/* No answer that is given from now on could depend on this xid. */
	if (xid < map->known_from)
		return;

	map->last_xid = Max(map->last_xid, xid);
	while ((xid >> shift) - (map->known_from >> shift) >= CKPX_XID_BUCKETS)
		shift++;
	if (shift != map->shift)
		change_shift(map, shift);

	bucket = xid >> map->shift;
	keep_lower(&map->lsn[PLACE(bucket)], lsn);
	if (bucket - map->first_bucket >= map->nbuckets)
		map->nbuckets = (uint32) (bucket - map->first_bucket) + 1;
}

void
ckpx_xid_lsn_forget_before(CkpxXidLsn *map, uint64 xid)
{
	uint64		first;
	uint32		shift;

	if (xid <= map->known_from)
		return;

	/* The bucket that holds 'xid' stays: a part of it is still asked for. */
	first = xid >> map->shift;
	while (map->nbuckets > 0 && map->first_bucket < first)
	{
		map->lsn[PLACE(map->first_bucket)] = InvalidXLogRecPtr;
		map->first_bucket++;
		map->nbuckets--;
	}
	map->first_bucket = first;
	map->known_from = xid;

	/* Be exact again when a long span of xids is over. */
	shift = map->shift;
	while (shift > 0 &&
		   (map->nbuckets == 0 ||
			(map->last_xid >> shift) - (xid >> shift) < SPREAD_BELOW))
		shift--;
	if (shift != map->shift)
		change_shift(map, shift);
}

bool
ckpx_xid_lsn_lower_bound(const CkpxXidLsn *map, uint64 xmin, XLogRecPtr *lsn)
{
	uint64		first = xmin >> map->shift;

	*lsn = InvalidXLogRecPtr;
	if (xmin < map->known_from)
		return false;

	for (uint64 i = first - map->first_bucket; i < map->nbuckets; i++)
	{
		XLogRecPtr	seen = map->lsn[PLACE(map->first_bucket + i)];

		if (seen != InvalidXLogRecPtr)
			keep_lower(lsn, seen);
	}
	return true;
}
