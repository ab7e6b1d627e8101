/*-------------------------------------------------------------------------
 *
 * xacts.c
 *		Which transactions are open at the position that WAL was decoded to,
 *		and which relation forks they have made.
 *
 * A RUNNING_XACTS record is made from shared memory, which a transaction
 * leaves only after it has written its end to WAL.  So the record may list
 * transactions whose end was decoded already.  They must not come back: once
 * the list is complete nothing is taken from such records any more, every
 * transaction shows itself by its first record; until then, a bit is kept for
 * each that has ended.  What such a record says about the oldest running xid
 * is always right.
 *
 * Every fork with a known owner that is still open is in the owner's chain,
 * so that ending a transaction costs nothing if it has created nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "server/wal/xacts.h"

#include "access/transam.h"
#include "common/hashfn.h"
#include "server/base/compat.h"
#include "utils/memutils.h"

typedef struct CreatedFork
{
	CkpxRelKey	key;			/* for dynahash: first */
	TransactionId xid;			/* the owner, or invalid: not known */
	XLogRecPtr	start_lsn;		/* of its creation; 1: before the chain */
	XLogRecPtr	end_lsn;		/* of the owner's last record; invalid: the
								 * owner is open or not known */
	bool		orphan;			/* blocks seen, but the owner is not known */
	TransactionId horizon;		/* an orphan's owner is older than this */
	struct CreatedFork *previous;	/* in the owner's chain while it is open */
	struct CreatedFork *next;
} CreatedFork;

typedef enum XactState
{
	XACT_OPEN = 0,
	XACT_PREPARED
} XactState;

typedef struct OpenXact
{
	TransactionId xid;
	char		status;			/* for simplehash */
	uint8		state;			/* an XactState */
	XLogRecPtr	first_lsn;
	CreatedFork *created;
} OpenXact;

#define SH_PREFIX			xacthash
#define SH_ELEMENT_TYPE		OpenXact
#define SH_KEY_TYPE			TransactionId
#define SH_KEY				xid
#define SH_HASH_KEY(tb, k)	murmurhash32(k)
#define SH_EQUAL(tb, a, b)	((a) == (b))
#define SH_SCOPE			static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/*
 * Transactions that have ended, while the list is not complete.  There may be
 * a great many, of which hardly one is asked for.
 */
#define XIDS_PER_PAGE		4096

typedef struct EndedPage
{
	uint32		number;			/* xid / XIDS_PER_PAGE */
	char		status;			/* for simplehash */
	uint64		bits[XIDS_PER_PAGE / 64];
} EndedPage;

#define SH_PREFIX			endedhash
#define SH_ELEMENT_TYPE		EndedPage
#define SH_KEY_TYPE			uint32
#define SH_KEY				number
#define SH_HASH_KEY(tb, k)	murmurhash32(k)
#define SH_EQUAL(tb, a, b)	((a) == (b))
#define SH_SCOPE			static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

#define FIRST_XACTS			256
#define FIRST_ENDED_PAGES	8
#define FIRST_FORKS			64

CkpxWalXacts *
ckpx_wal_xacts_create(MemoryContext context, CkpxFirstRecordCallback callback)
{
	CkpxWalXacts *xacts;
	HASHCTL		control;

	xacts = MemoryContextAllocZero(context, sizeof(CkpxWalXacts));
	xacts->context = context;
	xacts->callback = callback;
	xacts->open = xacthash_create(context, FIRST_XACTS, NULL);
	xacts->ended = endedhash_create(context, FIRST_ENDED_PAGES, NULL);

	control.keysize = sizeof(CkpxRelKey);
	control.entrysize = sizeof(CreatedFork);
	control.hcxt = context;
	xacts->created = hash_create("ckpx created forks", FIRST_FORKS, &control,
								 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	return xacts;
}

/*
 * Chains of created forks
 */

static void
chain_fork(OpenXact *xact, CreatedFork *fork)
{
	fork->previous = NULL;
	fork->next = xact->created;
	if (fork->next != NULL)
		fork->next->previous = fork;
	xact->created = fork;
}

static void
unchain_fork(CkpxWalXacts *xacts, CreatedFork *fork)
{
	if (fork->previous != NULL)
		fork->previous->next = fork->next;
	else
	{
		OpenXact   *xact = xacthash_lookup(xacts->open, fork->xid);

		Assert(xact != NULL && xact->created == fork);
		xact->created = fork->next;
	}
	if (fork->next != NULL)
		fork->next->previous = fork->previous;
	fork->previous = fork->next = NULL;
}

/* The owner of a chain ended with the record that ends at 'lsn'. */
static void
end_chain(CreatedFork *fork, XLogRecPtr lsn)
{
	while (fork != NULL)
	{
		CreatedFork *next = fork->next;

		fork->end_lsn = lsn;
		fork->previous = fork->next = NULL;
		fork = next;
	}
}

/* Is the fork in the chain of an open transaction? */
static inline bool
is_chained(const CreatedFork *fork)
{
	return TransactionIdIsValid(fork->xid) &&
		XLogRecPtrIsInvalid(fork->end_lsn);
}

static void
set_orphan(CkpxWalXacts *xacts, CreatedFork *fork, bool orphan)
{
	if (fork->orphan != orphan)
		xacts->norphans += orphan ? 1 : -1;
	fork->orphan = orphan;
	fork->horizon = InvalidTransactionId;
}

static void
remove_fork(CkpxWalXacts *xacts, CreatedFork *fork)
{
	if (is_chained(fork))
		unchain_fork(xacts, fork);
	set_orphan(xacts, fork, false);
	hash_search(xacts->created, &fork->key, HASH_REMOVE, NULL);
	xacts->ncreated--;
}

/*
 * Transactions
 */

/* Find or make the entry of 'xid'; only a new one gets 'lsn'. */
static OpenXact *
get_xact(CkpxWalXacts *xacts, TransactionId xid, XLogRecPtr lsn, bool *isnew)
{
	bool		found;
	OpenXact   *xact = xacthash_insert(xacts->open, xid, &found);

	if (!found)
	{
		xact->state = XACT_OPEN;
		xact->first_lsn = lsn;
		xact->created = NULL;
	}
	if (isnew != NULL)
		*isnew = !found;
	return xact;
}

void
ckpx_wal_xacts_first(CkpxWalXacts *xacts, TransactionId xid, XLogRecPtr lsn)
{
	bool		isnew;
	OpenXact   *xact = get_xact(xacts, xid, lsn, &isnew);

	xacts->recent[xid % CKPX_RECENT_XIDS] = xid;

	/*
	 * A RUNNING_XACTS record also lists transactions that have an xid but no
	 * record yet.  Where this is not the first record after all, the callback
	 * has been called for an earlier one, or answers nothing for the xid.
	 */
	if (xacts->callback != NULL &&
		(isnew || XLogRecPtrIsInvalid(xact->first_lsn)))
		xacts->callback(xid, lsn);
}

void
ckpx_wal_xacts_add(CkpxWalXacts *xacts, TransactionId xid,
				   XLogRecPtr first_lsn)
{
	OpenXact   *xact = get_xact(xacts, xid, first_lsn, NULL);

	/*
	 * Whether it was prepared is not known.  Keeping it over a shutdown is
	 * the safe side: the next RUNNING_XACTS record settles it.
	 */
	xact->state = XACT_PREPARED;
}

/*
 * A burst of transactions leaves a large table behind, and a large table is a
 * slow one, for its few entries are never in the cache.
 */
static void
shrink_table(CkpxWalXacts *xacts)
{
	xacthash_hash *old = xacts->open;
	xacthash_iterator it;
	OpenXact   *xact;

	if (old->size <= 4 * FIRST_XACTS || old->size / 16 < old->members)
		return;
	xacts->open = xacthash_create(xacts->context,
								  Max(FIRST_XACTS, 2 * old->members), NULL);
	xacthash_start_iterate(old, &it);
	while ((xact = xacthash_iterate(old, &it)) != NULL)
	{
		bool		found;
		OpenXact   *copy = xacthash_insert(xacts->open, xact->xid, &found);

		copy->state = xact->state;
		copy->first_lsn = xact->first_lsn;
		copy->created = xact->created;
	}
	xacthash_destroy(old);
}

static void
note_ended(CkpxWalXacts *xacts, TransactionId xid)
{
	bool		found;
	EndedPage  *page = endedhash_insert(xacts->ended, xid / XIDS_PER_PAGE,
										&found);

	if (!found)
		memset(page->bits, 0, sizeof(page->bits));
	page->bits[xid % XIDS_PER_PAGE / 64] |= UINT64CONST(1) << xid % 64;
}

static bool
has_ended(const CkpxWalXacts *xacts, TransactionId xid)
{
	const EndedPage *page = endedhash_lookup(xacts->ended,
											 xid / XIDS_PER_PAGE);

	return page != NULL &&
		(page->bits[xid % XIDS_PER_PAGE / 64] &
		 (UINT64CONST(1) << xid % 64)) != 0;
}

/* Forget each page of which every transaction is older than 'oldest'. */
static void
forget_ended(CkpxWalXacts *xacts, TransactionId oldest)
{
	endedhash_iterator it;
	EndedPage  *page;

	endedhash_start_iterate(xacts->ended, &it);
	while ((page = endedhash_iterate(xacts->ended, &it)) != NULL)
	{
		TransactionId last = page->number * XIDS_PER_PAGE + XIDS_PER_PAGE - 1;

		if (TransactionIdPrecedes(last, oldest))
			endedhash_delete_item(xacts->ended, page);
	}
}

static void
forget_xact(CkpxWalXacts *xacts, OpenXact *xact, XLogRecPtr lsn)
{
	TransactionId *recent = &xacts->recent[xact->xid % CKPX_RECENT_XIDS];

	end_chain(xact->created, lsn);
	xact->created = NULL;
	if (*recent == xact->xid)
		*recent = InvalidTransactionId;
	xacthash_delete_item(xacts->open, xact);
}

void
ckpx_wal_xacts_end(CkpxWalXacts *xacts, TransactionId xid, int nsubxacts,
				   const TransactionId *subxacts, XLogRecPtr lsn)
{
	OpenXact   *xact;

	for (int i = -1; i < nsubxacts; i++)
	{
		TransactionId ended = i < 0 ? xid : subxacts[i];

		if (!TransactionIdIsValid(ended))
			continue;
		xact = xacthash_lookup(xacts->open, ended);
		if (xact != NULL)
			forget_xact(xacts, xact, lsn);
		if (!xacts->complete)
			note_ended(xacts, ended);
	}
}

void
ckpx_wal_xacts_prepare(CkpxWalXacts *xacts, TransactionId xid, int nsubxacts,
					   const TransactionId *subxacts)
{
	for (int i = -1; i < nsubxacts; i++)
	{
		OpenXact   *xact = xacthash_lookup(xacts->open,
										   i < 0 ? xid : subxacts[i]);

		if (xact != NULL)
			xact->state = XACT_PREPARED;
	}
}

void
ckpx_wal_xacts_assign(CkpxWalXacts *xacts, TransactionId xid, int nsubxacts,
					  const TransactionId *subxacts)
{
	for (int i = 0; i < nsubxacts; i++)
	{
		OpenXact   *sub = xacthash_lookup(xacts->open, subxacts[i]);
		OpenXact   *top;
		XLogRecPtr	first_lsn;
		CreatedFork *fork;

		if (sub == NULL)
			continue;
		first_lsn = sub->first_lsn;
		fork = sub->created;
		sub->created = NULL;
		forget_xact(xacts, sub, InvalidXLogRecPtr);

		/* Only now: making or removing an entry moves others. */
		top = get_xact(xacts, xid, first_lsn, NULL);
		top->first_lsn = Min(top->first_lsn, first_lsn);
		while (fork != NULL)
		{
			CreatedFork *next = fork->next;

			fork->xid = xid;
			chain_fork(top, fork);
			fork = next;
		}
	}
}

void
ckpx_wal_xacts_shutdown(CkpxWalXacts *xacts, XLogRecPtr lsn)
{
	xacthash_iterator it;
	OpenXact   *xact;

	xacthash_start_iterate(xacts->open, &it);
	while ((xact = xacthash_iterate(xacts->open, &it)) != NULL)
	{
		if (xact->state != XACT_PREPARED)
			forget_xact(xacts, xact, lsn);
	}
	endedhash_reset(xacts->ended);
}

void
ckpx_wal_xacts_reset(CkpxWalXacts *xacts, XLogRecPtr lsn)
{
	xacthash_iterator it;
	OpenXact   *xact;

	xacthash_start_iterate(xacts->open, &it);
	while ((xact = xacthash_iterate(xacts->open, &it)) != NULL)
		end_chain(xact->created, lsn);
	xacthash_reset(xacts->open);
	endedhash_reset(xacts->ended);
	memset(xacts->recent, 0, sizeof(xacts->recent));
	xacts->complete = false;
}

/*
 * An orphan's owner had an xid when the fork's blocks were logged, so it is
 * older than the next xid at any later moment, and has ended once no such xid
 * is running.
 */
static void
settle_orphans(CkpxWalXacts *xacts, TransactionId oldest, TransactionId next,
			   XLogRecPtr lsn)
{
	HASH_SEQ_STATUS scan;
	CreatedFork *fork;

	hash_seq_init(&scan, xacts->created);
	while ((fork = hash_seq_search(&scan)) != NULL)
	{
		if (!fork->orphan)
			continue;
		if (!TransactionIdIsValid(fork->horizon))
			fork->horizon = next;
		else if (TransactionIdFollowsOrEquals(oldest, fork->horizon))
		{
			set_orphan(xacts, fork, false);
			fork->end_lsn = lsn;
		}
	}
}

void
ckpx_wal_xacts_running(CkpxWalXacts *xacts, int nxids,
					   const TransactionId *xids, TransactionId oldest,
					   TransactionId next, bool overflowed, XLogRecPtr lsn)
{
	xacthash_iterator it;
	OpenXact   *xact;

	if (!xacts->complete)
	{
		for (int i = 0; i < nxids; i++)
		{
			if (!has_ended(xacts, xids[i]))
				(void) get_xact(xacts, xids[i], InvalidXLogRecPtr, NULL);
		}
		if (overflowed)
			forget_ended(xacts, oldest);
		else
		{
			xacts->complete = true;
			endedhash_reset(xacts->ended);
		}
	}

	xacthash_start_iterate(xacts->open, &it);
	while ((xact = xacthash_iterate(xacts->open, &it)) != NULL)
	{
		if (TransactionIdPrecedes(xact->xid, oldest))
			forget_xact(xacts, xact, lsn);
	}
	shrink_table(xacts);

	if (xacts->norphans > 0)
		settle_orphans(xacts, oldest, next, lsn);
}

static int
compare_open_xacts(const void *a, const void *b)
{
	uint32		x = ((const CkpxOpenXact *) a)->xid;
	uint32		y = ((const CkpxOpenXact *) b)->xid;

	return x < y ? -1 : x > y;
}

uint32
ckpx_wal_xacts_list(const CkpxWalXacts *xacts, CkpxOpenXact **list)
{
	xacthash_iterator it;
	OpenXact   *xact;
	uint32		count = 0;

	*list = MemoryContextAllocHuge(CurrentMemoryContext,
								   sizeof(CkpxOpenXact) *
								   Max(xacts->open->members, 1));
	xacthash_start_iterate(xacts->open, &it);
	while ((xact = xacthash_iterate(xacts->open, &it)) != NULL)
	{
		(*list)[count].xid = xact->xid;
		(*list)[count].first_lsn = xact->first_lsn;
		count++;
	}
	qsort(*list, count, sizeof(CkpxOpenXact), compare_open_xacts);
	return count;
}

/*
 * Created forks
 */

static CreatedFork *
add_fork(CkpxWalXacts *xacts, const CkpxRelKey *key)
{
	CreatedFork *fork;
	bool		found;

	fork = hash_search(xacts->created, key, HASH_FIND, NULL);
	if (fork != NULL)
		remove_fork(xacts, fork);
	fork = hash_search(xacts->created, key, HASH_ENTER, &found);
	Assert(!found);
	fork->xid = InvalidTransactionId;
	fork->start_lsn = 1;
	fork->end_lsn = InvalidXLogRecPtr;
	fork->orphan = false;
	fork->horizon = InvalidTransactionId;
	fork->previous = fork->next = NULL;
	xacts->ncreated++;
	return fork;
}

static void
set_owner(CkpxWalXacts *xacts, CreatedFork *fork, TransactionId xid)
{
	OpenXact   *xact = xacthash_lookup(xacts->open, xid);

	Assert(xact != NULL);		/* the record with this xid was noted */
	set_orphan(xacts, fork, false);
	fork->xid = xid;
	chain_fork(xact, fork);
}

void
ckpx_wal_xacts_created(CkpxWalXacts *xacts, const CkpxRelKey *key,
					   TransactionId xid, XLogRecPtr lsn)
{
	CreatedFork *fork = add_fork(xacts, key);

	fork->start_lsn = lsn;

	if (TransactionIdIsValid(xid))
		set_owner(xacts, fork, xid);
}

bool
ckpx_wal_xacts_touched(CkpxWalXacts *xacts, const CkpxRelKey *key,
					   TransactionId xid)
{
	CreatedFork *fork;

	if (xacts->ncreated == 0)
		return true;
	fork = hash_search(xacts->created, key, HASH_FIND, NULL);
	if (fork == NULL || TransactionIdIsValid(fork->xid) ||
		!XLogRecPtrIsInvalid(fork->end_lsn))
		return true;

	if (TransactionIdIsValid(xid))
	{
		set_owner(xacts, fork, xid);
		return true;
	}
	set_orphan(xacts, fork, true);
	return false;
}

void
ckpx_wal_xacts_dropped(CkpxWalXacts *xacts, const CkpxRelKey *key)
{
	CreatedFork *fork;

	if (xacts->ncreated == 0)
		return;
	fork = hash_search(xacts->created, key, HASH_FIND, NULL);
	if (fork != NULL)
		remove_fork(xacts, fork);
}

void
ckpx_wal_xacts_dropped_database(CkpxWalXacts *xacts, Oid tablespace,
								Oid database)
{
	HASH_SEQ_STATUS scan;
	CreatedFork *fork;

	hash_seq_init(&scan, xacts->created);
	while ((fork = hash_seq_search(&scan)) != NULL)
	{
		if (fork->key.tablespace == tablespace &&
			fork->key.database == database)
			remove_fork(xacts, fork);
	}
}

void
ckpx_wal_xacts_add_undurable(CkpxWalXacts *xacts, const CkpxRelKey *key)
{
	set_orphan(xacts, add_fork(xacts, key), true);
}

uint32
ckpx_wal_xacts_undurable(CkpxWalXacts *xacts, XLogRecPtr redo,
						 CkpxRelKey **keys)
{
	HASH_SEQ_STATUS scan;
	CreatedFork *fork;
	uint32		count = 0;

	*keys = MemoryContextAllocHuge(CurrentMemoryContext,
								   sizeof(CkpxRelKey) *
								   Max(xacts->ncreated, 1));
	hash_seq_init(&scan, xacts->created);
	while ((fork = hash_seq_search(&scan)) != NULL)
	{
		if (!XLogRecPtrIsInvalid(fork->end_lsn))
		{
			if (fork->end_lsn <= redo)
				remove_fork(xacts, fork);
			else
				(*keys)[count++] = fork->key;
		}
		else if (fork->orphan || TransactionIdIsValid(fork->xid))
			(*keys)[count++] = fork->key;
	}
	return count;
}

uint32
ckpx_wal_xacts_builds(const CkpxWalXacts *xacts, XLogRecPtr durable,
					  CkpxRelKey **ended, XLogRecPtr *from, XLogRecPtr *to)
{
	HASH_SEQ_STATUS scan;
	CreatedFork *fork;
	uint32		count = 0;

	*ended = MemoryContextAllocHuge(CurrentMemoryContext,
									sizeof(CkpxRelKey) *
									Max(xacts->ncreated, 1));
	*from = *to = InvalidXLogRecPtr;
	hash_seq_init(&scan, xacts->created);
	while ((fork = hash_seq_search(&scan)) != NULL)
	{
		XLogRecPtr	end = fork->end_lsn;

		if (!XLogRecPtrIsInvalid(end))
		{
			if (end <= durable)
				continue;
			(*ended)[count++] = fork->key;
		}
		else if (fork->orphan || TransactionIdIsValid(fork->xid))
			end = PG_UINT64_MAX;
		else
			continue;
		if (XLogRecPtrIsInvalid(*from) || fork->start_lsn < *from)
			*from = fork->start_lsn;
		*to = Max(*to, end);
	}
	return count;
}
