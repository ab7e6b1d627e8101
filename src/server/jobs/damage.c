/*-------------------------------------------------------------------------
 *
 * damage.c
 *		Objects that cannot be read: from the first doubt to the gap.
 *
 * A process that finds an object damaged or absent, a backend or a job, fails
 * with an error and names the object here (ckpx_suspect()).  What only reads
 * must not change the history, so the checkpointer looks for itself.
 *
 * An object whose files are there, and which reads wrong twice in the same
 * way, is damaged.  One that is away, or whose sectors cannot be read, may be
 * back in a moment: a file system is mounted again, a path to a disk is.  It
 * is looked at again, less and less often, and counts as lost when it was
 * absent for minutes.  Where the whole folder is away, or something else keeps
 * files from being read (rights, descriptors), that says nothing about the
 * object, so the minutes begin anew.  Until a doubt is settled, reading the
 * object is an error, and garbage collection removes nothing that only this
 * object would replace (jobs/gc.c).  The list of suspects is in shared memory:
 * a checkpointer that is started anew goes on with it.
 *
 * The entry of a damaged or lost object leaves the store, and what nothing
 * else holds of its range becomes a gap.  On both sides of that answers go on;
 * the chain goes on; and the next global begins behind it
 * (entry_store_damage.c).  So a merge that fails over a damaged input is not
 * repeated as it was.  The files stay under another name, to be examined.
 *
 * Memory changes first: from then on no answer uses the object.  If we die
 * before the manifest says so, the next process that reads it comes to the
 * same end.
 *
 * A spilled segment is needed whole for the next incremental.  A start knows
 * what to do without it: decode its WAL again, or begin a new epoch.  So the
 * runner is asked to load the history anew.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "core/format/names.h"
#include "miscadmin.h"
#include "server/base/announce.h"
#include "server/base/worker_status.h"
#include "server/jobs/job.h"
#include "server/store/node.h"
#include "server/store/object_file.h"
#include "server/store/publish.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/*
 * The unfinished global of the open epoch may have lost an input: what is to
 * be made now has another range.  Caller holds the lock.
 */
static void
forget_unfinished_global(CkpxEntryStore *store)
{
	CkpxEntry  *newest = ckpx_entry_store_newest(store, CKPX_KIND_GLOBAL,
												 false);

	if (newest == NULL || newest->state == CKPX_ENTRY_FINISHED)
		return;
	(void) ckpx_entry_transition(newest, CKPX_EVENT_ABANDON);
	(void) ckpx_entry_store_remove(store, newest->kind, newest->epoch,
								   newest->start_lsn, newest->end_lsn);
}

/*
 * Take the entry out of the history.
 */
static void
lose(const CkpxEntry *entry, const CkpxSuspect *suspect, const char *problem)
{
	CkpxEntryStore *store = CkpxShared->store;
	char		name[CKPX_NAME_MAX];
	char		reason[CKPX_GAP_REASON_MAX];
	uint32		nholes = 0;

	ckpx_object_name(name, entry->kind, entry->epoch, entry->timeline,
					 entry->start_lsn, entry->end_lsn, 0);
	ckpx_object_file_loss(reason, entry);
	ckpx_object_file_keep(entry);

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	if (entry->kind == CKPX_KIND_SEGMENT)
	{
		/* The start need not wait for it once more. */
		CkpxShared->reload_request = true;
		CkpxShared->absent_since_ms = suspect->since_ms;
	}
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
	{
		ckpx_announce(entry, CKPX_CHECKPOINT_REMOVED);
		ckpx_sweep_want();
	}

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
 * Look at the object of a finished entry.  NULL: the doubt is settled; or why
 * it is not.  'patient': what is absent may come back, and *absent says that
 * this is all there is to wait for.
 */
static const char *
look_at(const CkpxSuspect *suspect, bool patient, bool *absent)
{
	const CkpxEntry *found;
	CkpxEntry	entry;
	CkpxObjectState state;
	char	   *problem;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	found = ckpx_entry_store_find(CkpxShared->store, suspect->entry.kind,
								  suspect->entry.epoch,
								  suspect->entry.start_lsn,
								  suspect->entry.end_lsn);
	if (found != NULL)
		entry = *found;
	LWLockRelease(CkpxShared->lock);

	/* It may have been collected, or be in the making. */
	if (found == NULL || entry.state != CKPX_ENTRY_FINISHED)
		return NULL;

	state = ckpx_object_file_verify(&entry, &problem);
	if (state == CKPX_OBJECT_GOOD)
	{
		char		text[CKPX_ENTRY_TEXT_MAX];

		if (suspect->looks > 0)
			ereport(LOG,
					(errmsg("ckpx can read a checkpoint object again: %s",
							ckpx_entry_text(&entry, text))));
		return NULL;
	}
	if (!ckpx_folder_is_there())
		return psprintf("Directory \"%s\" is not there.", CkpxShared->folder);
	if (state == CKPX_OBJECT_ABSENT && patient)
	{
		*absent = true;
		return problem;
	}
	lose(&entry, suspect, problem);
	return NULL;
}

/*
 * Put off the next look before this one: a process that ends in it must not
 * end in it again at once.
 */
static void
begin_look(uint32 index)
{
	CkpxSuspect *suspect = &CkpxShared->suspects[index];

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	suspect->look_ms = ckpx_clock_ms() +
		ckpx_entry_backoff_ms(++suspect->looks);
	LWLockRelease(CkpxShared->lock);
}

/*
 * Strike a suspect off the list, unless there is a reason to look again.
 * Others only append to the list, so its place is still the same.
 */
static void
end_look(uint32 index, const char *reason, bool absent, uint64 patience_ms)
{
	CkpxSuspect *suspect = &CkpxShared->suspects[index];
	uint64		now = ckpx_clock_ms();
	bool		first;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	first = suspect->looks == 1;
	if (reason == NULL)
		*suspect = CkpxShared->suspects[--CkpxShared->nsuspects];
	else if (!absent)
		suspect->since_ms = now;
	else if (now < suspect->since_ms + patience_ms)
		suspect->look_ms = Min(suspect->look_ms,
							   suspect->since_ms + patience_ms);
	LWLockRelease(CkpxShared->lock);

	if (reason == NULL)
		return;
	if (first)
		ereport(LOG,
				(errmsg("ckpx cannot read a checkpoint object and looks at it again"),
				 errdetail("%s", reason)));
	ckpx_worker_note(CKPX_WORKER_CHECKPOINTER, reason);
}

/*
 * An error of the surroundings says nothing about the object.
 */
static void
look_guarded(const CkpxSuspect *suspect, uint32 index, uint64 patience_ms)
{
	MemoryContext context = CurrentMemoryContext;
	const char *volatile reason = NULL;
	volatile bool absent = false;

	if (!ckpx_job_begin(false))
		return;
	ckpx_worker_report(CKPX_WORKER_CHECKPOINTER, CKPX_WORKER_BUSY,
					   "looking at an unreadable object");
	begin_look(index);
	PG_TRY();
	{
		bool		is_absent = false;

		reason = look_at(suspect,
						 ckpx_clock_ms() - suspect->since_ms < patience_ms,
						 &is_absent);
		absent = is_absent;
	}
	PG_CATCH();
	{
		ErrorData  *error = ckpx_job_catch(context);

		if (!ckpx_error_is_external(error))
			ReThrowError(error);
		LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
		CkpxShared->stat.jobs_failed++;
		LWLockRelease(CkpxShared->lock);
		reason = error->message;
	}
	PG_END_TRY();
	end_look(index, reason, absent, patience_ms);
	ckpx_job_end();
}

/*
 * Find the suspect that is to be looked at next; false where there is none.
 */
static bool
next_suspect(CkpxSuspect *suspect, uint32 *index)
{
	uint32		nsuspects;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	nsuspects = CkpxShared->nsuspects;
	for (uint32 i = 0; i < nsuspects; i++)
	{
		if (i == 0 || CkpxShared->suspects[i].look_ms < suspect->look_ms)
		{
			*suspect = CkpxShared->suspects[i];
			*index = i;
		}
	}
	LWLockRelease(CkpxShared->lock);
	return nsuspects > 0;
}

/*
 * One look at a time: an object may be large, and there is other work.
 */
void
ckpx_damage_step(long *wait_ms)
{
	CkpxSuspect suspect;
	uint32		index;
	uint64		patience_ms = ckpx_patience_ms();
	uint64		now = ckpx_clock_ms();

	if (!next_suspect(&suspect, &index))
		return;
	if (suspect.look_ms <= now)
	{
		look_guarded(&suspect, index, patience_ms);
		if (!next_suspect(&suspect, &index))
			return;
	}
	*wait_ms = Min(*wait_ms,
				   suspect.look_ms > now ? (long) (suspect.look_ms - now) : 0);
}
