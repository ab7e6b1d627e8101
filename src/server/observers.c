/*-------------------------------------------------------------------------
 *
 * observers.c
 *		The step of the ckpx observer: serves the post queue.
 *
 * Each ticket announces a finished checkpoint.  What SQL waiters need, they
 * have learnt through 'progress' already.
 *
 *-------------------------------------------------------------------------
 */
#include "server/compat.h"

#include "miscadmin.h"
#include "server/options.h"
#include "server/workers.h"

#define CKPX_OBSERVER_IDLE_MS	60000

long
ckpx_observer_step(void)
{
	CkpxEntryTicket ticket;

	while (ckpx_dequeue(CKPX_QUEUE_POST, &ticket, CKPX_POST_BATCH) > 0)
	{
		char		start_text[CKPX_ENTRY_TEXT_MAX];
		CkpxEntry	entry;

		CHECK_FOR_INTERRUPTS();
		memset(&entry, 0, sizeof(entry));
		entry.kind = ticket.kind;
		entry.state = CKPX_ENTRY_FINISHED;
		entry.start_lsn = ticket.start_lsn;
		entry.end_lsn = ticket.end_lsn;
		ereport(DEBUG1,
				(errmsg_internal("ckpx announces %s",
								 ckpx_entry_text(&entry, start_text))));
		ckpx_dequeue_done(CKPX_QUEUE_POST, 1);
	}
	ckpx_worker_healthy(CKPX_WORKER_OBSERVER);
	return CKPX_OBSERVER_IDLE_MS;
}
