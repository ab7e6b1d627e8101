/*-------------------------------------------------------------------------
 *
 * observers.c
 *		The step of the ckpx observer: serves the post queue.
 *
 * Each ticket is one change in the life of one checkpoint.  It is handed to
 * the callbacks that other libraries have registered; what SQL waiters need,
 * they have learnt through 'progress' already.  Then the post command runs
 * for what waits for it: that stands in the entries, so it does not depend on
 * tickets.
 *
 * The callbacks' list was made by the postmaster and never changes here.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "ckpx.h"
#include "core/format/names.h"
#include "miscadmin.h"
#include "server/base/options.h"
#include "server/base/worker_status.h"
#include "server/process/observers.h"
#include "server/process/post_command.h"
#include "utils/memutils.h"

static const char *
event_name(CkpxEventType type)
{
	switch (type)
	{
		case CKPX_CHECKPOINT_FINISHED:
			return "finished";
		case CKPX_CHECKPOINT_PENDING:
			return "pending";
		case CKPX_CHECKPOINT_RUNNING:
			return "running";
		case CKPX_CHECKPOINT_FAILED:
			return "failed";
		case CKPX_CHECKPOINT_REMOVED:
			return "removed";
	}
	return "unknown";
}

/*
 * Call one observer.  What it raises is its own failure, not ours.
 */
static void
call_observer(const CkpxObserver *observer, const CkpxEvent *event)
{
	MemoryContext old = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(old, "ckpx observer",
												  ALLOCSET_DEFAULT_SIZES);

	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		observer->on_event(event, observer->arg);
	}
	PG_CATCH();
	{
		ErrorData  *error = ckpx_worker_catch(context);
		char		text[CKPX_ERROR_TEXT_MAX];

		snprintf(text, sizeof(text), "observer \"%s\" failed: %s",
				 observer->name, error->message);
		ckpx_worker_note(CKPX_WORKER_OBSERVER, text);
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("ckpx observer \"%s\" failed: %s", observer->name,
						error->message)));
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

static void
call_observers(const CkpxEvent *event)
{
	const CkpxObserver *observer;
	static bool warned = false;

	observer = *(const CkpxObserver **)
		find_rendezvous_variable(CKPX_OBSERVERS_VARIABLE);
	for (; observer != NULL; observer = observer->next)
	{
		if (observer->api_version <= CKPX_API_VERSION)
		{
			call_observer(observer, event);
			CHECK_FOR_INTERRUPTS();
		}
		else if (!warned)
		{
			warned = true;
			ereport(WARNING,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("observer \"%s\" is ignored: it was compiled for a newer ckpx",
							observer->name)));
		}
	}
}

static void
handle_ticket(const CkpxEntryTicket *ticket)
{
	CkpxEvent	event;
	char		name[CKPX_NAME_MAX];
	char		folder[MAXPGPATH];
	char	   *path;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	strlcpy(folder, CkpxShared->folder, sizeof(folder));
	LWLockRelease(CkpxShared->lock);

	memset(&event, 0, sizeof(event));
	event.type = (CkpxEventType) ticket->event;
	event.kind = (CkpxCheckpointKind) ticket->kind;
	event.epoch = ticket->epoch;
	event.timeline = ticket->timeline;
	event.start_lsn = ticket->start_lsn;
	event.end_lsn = ticket->end_lsn;
	ckpx_object_name(name, ticket->kind, ticket->epoch, ticket->timeline,
					 ticket->start_lsn, ticket->end_lsn, 0);
	path = is_absolute_path(folder) ?
		psprintf("%s/%s", folder, name) :
		psprintf("%s/%s/%s", DataDir, folder, name);
	event.path = path;

	ereport(DEBUG1,
			(errmsg_internal("ckpx announces: %s %s", name,
							 event_name(event.type))));
	call_observers(&event);
	pfree(path);				/* tickets may come for as long as we work */
}

long
ckpx_observer_step(void)
{
	CkpxEntryTicket ticket;
	long		wait_ms;

	while (ckpx_dequeue(CKPX_QUEUE_POST, &ticket, CKPX_POST_BATCH) > 0)
	{
		CHECK_FOR_INTERRUPTS();
		handle_ticket(&ticket);
		ckpx_dequeue_done(CKPX_QUEUE_POST, 1);
	}
	wait_ms = ckpx_post_command_step();
	ckpx_worker_healthy(CKPX_WORKER_OBSERVER);
	return wait_ms;
}
