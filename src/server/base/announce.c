/*-------------------------------------------------------------------------
 *
 * announce.c
 *		Telling the observers what happens to a checkpoint.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "server/base/announce.h"
#include "server/base/shared_state.h"

StaticAssertDecl((int) CKPX_CHECKPOINT_INCREMENTAL ==
				 (int) CKPX_KIND_INCREMENTAL &&
				 (int) CKPX_CHECKPOINT_GLOBAL == (int) CKPX_KIND_GLOBAL &&
				 (int) CKPX_CHECKPOINT_BACKUP == (int) CKPX_KIND_BACKUP,
				 "kinds of ckpx.h are those of the entries");

/*
 * Put a ticket for the observer into the post queue.  Spilled segments are
 * nobody's checkpoint.
 */
void
ckpx_announce(const CkpxEntry *entry, CkpxEventType type)
{
	CkpxEntryTicket ticket;

	if (entry->kind == CKPX_KIND_SEGMENT)
		return;
	memset(&ticket, 0, sizeof(ticket));
	ticket.kind = entry->kind;
	ticket.epoch = entry->range.epoch;
	ticket.start_lsn = entry->range.start_lsn;
	ticket.end_lsn = entry->range.end_lsn;
	ticket.timeline = entry->range.timeline;
	ticket.event = (int) type;
	(void) ckpx_enqueue(CKPX_QUEUE_POST, &ticket);
}
