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
 * (entry_store_chain.c).  So a merge that fails over a damaged input is not
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
#include "server/jobs/steps.h"
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
	(void) ckpx_entry_store_remove(store, newest);
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

	ckpx_entry_object_name(name, entry, 0);
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
		if (entry->range.epoch == store->epoch &&
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

/* A look at the object of a suspect, and what came of it. */
typedef struct Look
{
	CkpxSuspect suspect;
	uint32		index;			/* in the list */
	bool		patient;		/* what is absent may come back */
	const char *reason;			/* of the doubt that remains; or NULL */
	bool		absent;			/* to be patient is all there is to do */
} Look;

/*
 * Look at the object of a finished entry; the work of ckpx_job_run().
 */
static void
look_at(void *arg)
{
	Look	   *look = arg;
	const CkpxEntry *found;
	CkpxEntry	entry;
	CkpxObjectState state;
	char	   *problem;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	found = ckpx_ticket_entry(&look->suspect.entry);
	if (found != NULL)
		entry = *found;
	LWLockRelease(CkpxShared->lock);

	/* It may have been collected, or be in the making. */
	if (found == NULL || entry.state != CKPX_ENTRY_FINISHED)
		return;

	state = ckpx_object_file_verify(&entry, true, &problem);
	if (state == CKPX_OBJECT_GOOD)
	{
		char		text[CKPX_ENTRY_TEXT_MAX];

		if (look->suspect.looks > 0)
			ereport(LOG,
					(errmsg("ckpx can read a checkpoint object again: %s",
							ckpx_entry_text(&entry, text))));
	}
	else if (!ckpx_folder_is_there())
		look->reason = psprintf("Directory \"%s\" is not there.",
								CkpxShared->folder);
	else if (state == CKPX_OBJECT_ABSENT && look->patient)
	{
		look->absent = true;
		look->reason = problem;
	}
	else
		lose(&entry, &look->suspect, problem);
}

/*
 * Put off the next look before this one: a process that ends in it must not
 * end in it again at once.
 */
static void
begin_look(const Look *look)
{
	CkpxSuspect *suspect = &CkpxShared->suspects[look->index];

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
end_look(const Look *look, uint64 patience_ms)
{
	CkpxSuspect *suspect = &CkpxShared->suspects[look->index];
	uint64		now = ckpx_clock_ms();
	bool		first;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	first = suspect->looks == 1;
	if (look->reason == NULL)
		*suspect = CkpxShared->suspects[--CkpxShared->nsuspects];
	else if (!look->absent)
		suspect->since_ms = now;
	else if (now < suspect->since_ms + patience_ms)
		suspect->look_ms = Min(suspect->look_ms,
							   suspect->since_ms + patience_ms);
	LWLockRelease(CkpxShared->lock);

	if (look->reason == NULL)
		return;
	if (first)
		ereport(LOG,
				(errmsg("ckpx cannot read a checkpoint object and looks at it again"),
				 errdetail("%s", look->reason)));
	ckpx_worker_note(CKPX_WORKER_CHECKPOINTER, look->reason);
}

/*
 * Look at a suspect in a job.  An error of the surroundings says nothing about
 * the object.
 */
static void
look_guarded(Look *look, uint64 patience_ms)
{
	ErrorData  *error;

	if (!ckpx_job_begin(false))
		return;
	look->patient = ckpx_clock_ms() - look->suspect.since_ms < patience_ms;
	begin_look(look);
	error = ckpx_job_run("looking at an unreadable object", look_at, look);
	if (error != NULL)
	{
		ckpx_job_count_failure();
		look->reason = error->message;
		look->absent = false;
	}
	end_look(look, patience_ms);
	ckpx_job_end();
}

/*
 * Find the suspect that is to be looked at next; false where there is none.
 */
static bool
next_suspect(Look *look)
{
	uint32		nsuspects;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	nsuspects = CkpxShared->nsuspects;
	for (uint32 i = 0; i < nsuspects; i++)
	{
		if (i == 0 || CkpxShared->suspects[i].look_ms < look->suspect.look_ms)
		{
			look->suspect = CkpxShared->suspects[i];
			look->index = i;
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
	Look		look = {0};
	uint64		patience_ms = ckpx_patience_ms();
	uint64		now = ckpx_clock_ms();

	if (!next_suspect(&look))
		return;
	if (look.suspect.look_ms <= now)
	{
		look_guarded(&look, patience_ms);
		if (!next_suspect(&look))
			return;
	}
	*wait_ms = Min(*wait_ms,
				   look.suspect.look_ms > now ?
				   (long) (look.suspect.look_ms - now) : 0);
}
