/*-------------------------------------------------------------------------
 *
 * damage_job.c
 *		Objects that cannot be read: from the first who notices to the gap.
 *
 * Whoever reads an object and finds damage, a backend or a job, fails with an
 * error and names the object here (ckpx_suspect()).  It is then read again to
 * its end, since who only reads must not be able to change the history.  If
 * it is damaged, or gone while its folder is there, its entry leaves the
 * store, and what nothing else holds of its range becomes a gap.  On both
 * sides of that answers go on; the chain goes on; and the next global begins
 * behind it (entry_store_damage.c).  So a merge that fails over a damaged
 * input is not repeated as it was.
 *
 * Memory changes first: from then on no answer uses the object.  If we die
 * before the manifest says so, the next one who reads it comes to the same
 * end.
 *
 * A spilled segment is needed whole for the next incremental.  A start knows
 * what to do without it: decode its WAL again, or begin a new epoch.  So the
 * runner is asked to load the history anew.
 *
 *-------------------------------------------------------------------------
 */
#include "server/compat.h"

#include "core/names.h"
#include "miscadmin.h"
#include "server/job.h"
#include "server/node.h"
#include "server/object_file.h"
#include "server/observers.h"
#include "server/workers.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/*
 * The unfinished global of the open epoch may have lost an input: what is to
 * be made now has another range.  Caller holds the lock.
 */
static void
forget_unfinished_global(CkpxEntryStore *store)
{
	CkpxEntry  *global = ckpx_entry_store_newest(store, CKPX_KIND_GLOBAL,
												 false);

	if (global == NULL || global->state == CKPX_ENTRY_FINISHED)
		return;
	(void) ckpx_entry_transition(global, CKPX_EVENT_ABANDON);
	(void) ckpx_entry_store_remove(store, global->kind, global->epoch,
								   global->start_lsn, global->end_lsn);
}

/*
 * Take the entry out of the history.
 */
static void
lose(const CkpxEntry *entry, const char *problem)
{
	CkpxEntryStore *store = CkpxShared->store;
	char		name[CKPX_NAME_MAX];
	char		reason[CKPX_GAP_REASON_MAX];
	uint32		nholes = 0;

	ckpx_object_name(name, entry->kind, entry->epoch, entry->timeline,
					 entry->start_lsn, entry->end_lsn, 0);
	ckpx_object_file_loss(reason, entry);

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	if (entry->kind == CKPX_KIND_SEGMENT)
		CkpxShared->reload_request = true;
	else
	{
		nholes = ckpx_entry_store_lose(store, entry, GetCurrentTimestamp(),
									   reason);
		if (entry->epoch == store->epoch &&
			entry->kind != CKPX_KIND_BACKUP)
		{
			forget_unfinished_global(store);

			/*
			 * A start before the next incremental could decode the newest
			 * range again: hold its WAL, until manifests know more.
			 */
			CkpxShared->manifest_release[0] = InvalidXLogRecPtr;
			CkpxShared->manifest_release[1] = InvalidXLogRecPtr;
		}
		CkpxShared->publish_requested++;
		CkpxShared->stat.gaps += nholes;
	}
	LWLockRelease(CkpxShared->lock);
	ConditionVariableBroadcast(&CkpxShared->progress);
	if (entry->kind == CKPX_KIND_SEGMENT)
		ckpx_wake_worker(CKPX_WORKER_RUNNER);
	else
		ckpx_announce(entry, CKPX_CHECKPOINT_REMOVED);

	ereport(WARNING,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("ckpx checkpoint object \"%s\" is missing or damaged",
					name),
			 errdetail("%s", problem),
			 entry->kind == CKPX_KIND_SEGMENT ?
			 errhint("Its WAL is read again, if it is still there.") :
			 nholes == 0 ?
			 errhint("It is not used any more.  No answer needs it.") :
			 errhint("What only it knew is missing from now on; see the view ckpx_gaps.")));
	ckpx_worker_note(CKPX_WORKER_CHECKPOINTER, problem);
}

/*
 * Is the object of a finished entry really damaged?
 */
static void
look_at(const CkpxEntryTicket *suspect)
{
	const CkpxEntry *found;
	CkpxEntry	entry;
	char	   *problem;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	found = ckpx_entry_store_find(CkpxShared->store, suspect->kind,
								  suspect->epoch, suspect->start_lsn,
								  suspect->end_lsn);
	if (found != NULL)
		entry = *found;
	LWLockRelease(CkpxShared->lock);

	/* It may have been collected, or be in the making. */
	if (found == NULL || entry.state != CKPX_ENTRY_FINISHED)
		return;
	if (ckpx_object_file_verify(&entry, &problem))
		return;

	/* Files that are away together with their folder may come back. */
	if (!ckpx_folder_is_there())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("folder \"%s\" is not there", CkpxShared->folder)));
	lose(&entry, problem);
}

/*
 * A look that fails ends there: who finds the damage again, tells again.
 */
static void
look_guarded(const CkpxEntryTicket *suspect)
{
	MemoryContext context = CurrentMemoryContext;

	if (!ckpx_job_begin(false))
		return;
	ckpx_worker_report(CKPX_WORKER_CHECKPOINTER, CKPX_WORKER_BUSY,
					   "looking at a damaged object");
	PG_TRY();
	{
		look_at(suspect);
	}
	PG_CATCH();
	{
		ErrorData  *error = ckpx_job_catch(context);

		if (!ckpx_error_is_external(error))
			ReThrowError(error);
		LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
		CkpxShared->stat.jobs_failed++;
		LWLockRelease(CkpxShared->lock);
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("ckpx could not look at a damaged object: %s",
						error->message)));
		ckpx_worker_note(CKPX_WORKER_CHECKPOINTER, error->message);
	}
	PG_END_TRY();
	ckpx_job_end();
}

void
ckpx_damage_step(void)
{
	CkpxEntryTicket suspects[CKPX_MAX_SUSPECTS];
	uint32		nsuspects;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	nsuspects = CkpxShared->nsuspects;
	memcpy(suspects, CkpxShared->suspects,
		   sizeof(CkpxEntryTicket) * nsuspects);
	CkpxShared->nsuspects = 0;
	LWLockRelease(CkpxShared->lock);

	for (uint32 i = 0; i < nsuspects; i++)
	{
		CHECK_FOR_INTERRUPTS();
		look_guarded(&suspects[i]);
	}
}
