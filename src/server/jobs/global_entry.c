/*-------------------------------------------------------------------------
 *
 * global_entry.c
 *		Which range the next global covers, and when it is made.
 *
 * A global is made when ckpx.global_min_count incrementals are in none, or
 * when somebody asked for it.  It takes as many of them as files can be open
 * at the same time, one for each; what does not fit goes to the next one.  It
 * begins where the last stretch of the epoch does: behind what was lost.
 * Nothing is remembered but the entry itself: a PENDING or RUNNING global that
 * is in the store is the one to work on.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "server/base/options.h"
#include "server/jobs/global_entry.h"
#include "server/jobs/job.h"
#include "storage/fd.h"
#include "utils/timestamp.h"

/* Of the descriptors that are there for transient files, left to others. */
#define OTHER_FILES				16

/*
 * How many inputs a global may have; one incremental fits always, also behind
 * a previous global.
 */
static uint32
max_inputs(void)
{
	return (uint32) Max(2, Min(CKPX_GLOBAL_MAX_INPUTS,
							   max_safe_fds / 3 - OTHER_FILES));
}

/*
 * Append the next finished incremental that is not in a global to the range
 * of 'entry'; false when there is none, or no room for it.
 */
static bool
take_incremental(CkpxEntry *entry, const CkpxEntry *incremental,
				 uint32 *ninputs)
{
	if (incremental->range.start_lsn != entry->range.end_lsn ||
		*ninputs >= max_inputs())
		return false;
	(*ninputs)++;
	ckpx_range_append(&entry->range, &incremental->range);
	entry->open_xacts = incremental->open_xacts;
	return true;
}

/*
 * Insert a new entry if one is wanted; caller holds the lock.  Requests that
 * a finished global covers are no requests any more.
 */
static bool
create_entry(CkpxEntry *entry)
{
	CkpxEntryStore *store = CkpxShared->store;
	uint32		chosen[CKPX_GLOBAL_MAX_INPUTS + 1];
	uint32		nchosen;
	const CkpxEntry *previous = ckpx_entry_store_previous_global(store);
	XLogRecPtr	start_lsn = ckpx_entry_store_stretch_start(store);
	XLogRecPtr	covered = start_lsn;
	uint32		ninputs = 0;

	if (previous != NULL)
		covered = previous->range.end_lsn;
	if (CkpxShared->global_request <= covered &&
		ckpx_entry_store_uncovered(store) < (uint32) ckpx_global_min_count)
		return false;

	memset(entry, 0, sizeof(CkpxEntry));
	if (previous != NULL)
	{
		ninputs = 1;
		entry->range = previous->range;
	}
	entry->kind = CKPX_KIND_GLOBAL;
	entry->range.epoch = store->epoch;
	entry->range.start_lsn = start_lsn;
	entry->range.end_lsn = covered;
	nchosen = ckpx_entry_store_after(store, covered, lengthof(chosen), chosen);
	for (uint32 i = 0; i < nchosen; i++)
	{
		if (!take_incremental(entry, ckpx_entry_store_at(store, chosen[i]),
							  &ninputs))
			break;
	}
	entry->range.created_at = GetCurrentTimestamp();
	return entry->range.end_lsn > covered &&
		ckpx_entry_transition(entry, CKPX_EVENT_CREATE) &&
		ckpx_entry_store_insert(store, entry) == CKPX_STORE_OK;
}

/*
 * Find the entry to work on, or make it; false when nothing is due.
 */
bool
ckpx_global_start_entry(CkpxEntryTicket *ticket, long *wait_ms)
{
	CkpxEntry  *entry;
	CkpxEntry	created;
	bool		due = false;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	if (ckpx_enabled && !CkpxShared->disabled && !CkpxShared->uninstalled)
	{
		entry = ckpx_entry_store_newest(CkpxShared->store, CKPX_KIND_GLOBAL,
										false);
		if ((entry == NULL || entry->state == CKPX_ENTRY_FINISHED) &&
			create_entry(&created))
			entry = ckpx_shared_entry(&created);
		if (entry != NULL && entry->state == CKPX_ENTRY_PENDING)
			(void) ckpx_entry_transition(entry, CKPX_EVENT_START);
		due = ckpx_job_is_due(entry, ticket, wait_ms);
	}
	LWLockRelease(CkpxShared->lock);
	return due;
}

/*
 * Have a global made of all incrementals that are in none.
 */
bool
ckpx_global_force(void)
{
	const CkpxEntry *newest;
	bool		any;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	newest = ckpx_entry_store_newest(CkpxShared->store, CKPX_KIND_GLOBAL,
									 false);
	any = ckpx_enabled && !CkpxShared->disabled &&
		ckpx_entry_store_uncovered(CkpxShared->store) > 0 &&
		(newest == NULL || newest->state == CKPX_ENTRY_FINISHED ||
		 newest->attempts == 0);
	CkpxShared->global_request =
		Max(CkpxShared->global_request,
			ckpx_entry_store_checkpointed(CkpxShared->store));
	LWLockRelease(CkpxShared->lock);
	return any;
}
