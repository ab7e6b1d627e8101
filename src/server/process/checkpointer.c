/*-------------------------------------------------------------------------
 *
 * checkpointer.c
 *		The ckpx checkpointer: one round of its work.
 *
 * It is the only process that writes objects and manifests, and it does one
 * thing at a time, in the order of what waits for it: a manifest that
 * somebody asked for, the spilling that the runner needs to read on,
 * incrementals, objects that could not be read, backups, a short turn of the
 * global in work, and garbage collection.
 *
 * What a process that died had in work is nobody's: the first round of a new
 * one takes it over, and sweeps away the files that no manifest names.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "miscadmin.h"
#include "server/base/fault.h"
#include "server/base/request.h"
#include "server/base/worker_status.h"
#include "server/jobs/job.h"
#include "server/jobs/spill.h"
#include "server/jobs/steps.h"
#include "server/logtail/logtail.h"
#include "server/process/checkpointer.h"
#include "server/store/publish.h"
#include "utils/memutils.h"

#define CKPX_IDLE_WAIT_MS		10000
#define CKPX_RETRY_MS			1000

/* This process has looked at what the one before it left. */
static bool recovered = false;

/*
 * Remove files that no manifest names.  Where that fails it is tried again.
 */
static void
work_sweep(void *arg)
{
	ckpx_sweep_when_due();
}

static void
sweep_step(long *wait_ms)
{
	ErrorData  *error;

	if (!ckpx_sweep_is_due())
		return;
	if (!ckpx_job_begin(false))
	{
		*wait_ms = Min(*wait_ms, CKPX_RETRY_MS);
		return;
	}
	error = ckpx_job_run(NULL, work_sweep, NULL);
	if (error != NULL)
	{
		*wait_ms = Min(*wait_ms, CKPX_RETRY_MS);
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("ckpx could not remove files that are not needed any more: %s",
						error->message)));
	}
	ckpx_job_end();
}

/*
 * Take away the running entries that ckpx_cancel_pending() has marked.  No
 * job runs here, so they are nobody's.  Their objects go with the sweep, as
 * far as no manifest on disk names them: a failed attempt may have got that
 * far.
 */
static void
remove_cancelled(void)
{
	CkpxEntryStore *store = CkpxShared->store;
	bool		any = false;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	for (uint32 i = ckpx_entry_store_next_open(store, 0);
		 i < store->nentries;
		 i = ckpx_entry_store_next_open(store, i))
	{
		CkpxEntry  *entry = ckpx_entry_store_at(store, i);

		if (entry->state == CKPX_ENTRY_RUNNING && entry->cancelled &&
			ckpx_entry_transition(entry, CKPX_EVENT_ABANDON) &&
			ckpx_entry_store_remove(store, entry))
			any = true;
		else
			i++;
	}
	LWLockRelease(CkpxShared->lock);

	if (!any)
		return;
	CKPX_FAULT("cancel-removed");
	ckpx_sweep_want();
	ConditionVariableBroadcast(&CkpxShared->progress);
}

static void
work_publish(void *arg)
{
	ckpx_publish(NULL);
}

/*
 * Write a manifest because a process asked for one: a new epoch, a pin.
 */
static void
publish_step(long *wait_ms)
{
	ErrorData  *error;
	bool		wanted;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	wanted = CkpxShared->publish_requested > CkpxShared->publish_done;
	LWLockRelease(CkpxShared->lock);
	if (!wanted)
		return;
	if (!ckpx_job_begin(false))
	{
		*wait_ms = Min(*wait_ms, CKPX_RETRY_MS);
		return;
	}
	error = ckpx_job_run(NULL, work_publish, NULL);
	if (error != NULL)
	{
		*wait_ms = Min(*wait_ms, CKPX_RETRY_MS);
		LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
		CkpxShared->publish_failures++;
		strlcpy(CkpxShared->publish_error, error->message,
				CKPX_ERROR_TEXT_MAX);
		LWLockRelease(CkpxShared->lock);
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("ckpx could not write a manifest: %s",
						error->message)));
	}
	ckpx_job_end();
	if (error == NULL)
		ckpx_wake_worker(CKPX_WORKER_RUNNER);
}

/*
 * Take over from a process that died: its job is nobody's now.
 */
static void
recover(void)
{
	CkpxEntryStore *store = CkpxShared->store;

	ckpx_spill_forget();
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	CkpxShared->job_running = false;
	CkpxShared->removing = false;
	CkpxShared->spill_request = InvalidXLogRecPtr;
	for (uint32 i = ckpx_entry_store_next_open(store, 0);
		 i < store->nentries;
		 i = ckpx_entry_store_next_open(store, i))
	{
		CkpxEntry  *entry = ckpx_entry_store_at(store, i);

		if (entry->state == CKPX_ENTRY_RUNNING)
			(void) ckpx_entry_transition(entry, CKPX_EVENT_ABANDON);

		/*
		 * A backup's request is taken up anew, with another range.  The
		 * session that canceled an entry waits for it to go.
		 */
		if ((entry->kind == CKPX_KIND_BACKUP || entry->cancelled) &&
			entry->state == CKPX_ENTRY_PENDING &&
			ckpx_entry_store_remove(store, entry))
			continue;
		i++;
	}
	LWLockRelease(CkpxShared->lock);
	ckpx_request_recover();
	ConditionVariableBroadcast(&CkpxShared->progress);
	ckpx_wake_worker(CKPX_WORKER_RUNNER);
}

static void (*const steps[]) (long *wait_ms) =
{
	publish_step,
		ckpx_spill_step,
		ckpx_incremental_step,
		ckpx_damage_step,
		ckpx_backup_step,
		ckpx_global_step,
		ckpx_gc_step,
		sweep_step
};

/*
 * Do the parts of a round from 'first' on.  Each is noted before it begins, so
 * that the next process knows which one ended this one.
 */
static void
do_steps(int first, long *wait_ms)
{
	for (int i = first; i < (int) lengthof(steps); i++)
	{
		CkpxShared->checkpointer_step = i;
		steps[i] (wait_ms);
		remove_cancelled();
	}
}

/* Objects that are in doubt are seen also between two looks at them. */
static void
report_idle(void)
{
	char		text[64] = "";
	uint32		nsuspects;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	nsuspects = CkpxShared->nsuspects;
	LWLockRelease(CkpxShared->lock);
	if (nsuspects > 0)
		snprintf(text, sizeof(text), "will look at unreadable objects again: %u",
				 nsuspects);
	ckpx_worker_report(CKPX_WORKER_CHECKPOINTER, CKPX_WORKER_IDLE, text);
}

/*
 * The first round of a process begins behind the part that ended the process
 * before it, and then takes all of them.  So an error that comes back each
 * time, while an incremental is written say, keeps neither garbage collection
 * nor requests from being done.
 */
long
ckpx_checkpointer_step(void)
{
	long		wait_ms = CKPX_IDLE_WAIT_MS;
	bool		booted;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	booted = CkpxShared->booted;
	LWLockRelease(CkpxShared->lock);

	if (!booted)
	{
		ckpx_worker_report(CKPX_WORKER_CHECKPOINTER, CKPX_WORKER_IDLE,
						   "waiting for the runner");
		return CKPX_IDLE_WAIT_MS;
	}
	if (!recovered)
	{
		recover();
		ckpx_sweep_want();
		recovered = true;
		do_steps(CkpxShared->checkpointer_step + 1, &wait_ms);
	}
	do_steps(0, &wait_ms);

	report_idle();
	ckpx_worker_healthy(CKPX_WORKER_CHECKPOINTER);
	return wait_ms;
}
