/*-------------------------------------------------------------------------
 *
 * entry.c
 *		The life of a checkpoint entry, and its text form.
 *
 * ckpx_entry_transition() is the only place that writes an entry's state.
 * It changes nothing else, except for the count of failed attempts, so that
 * the diagram in the header can be checked against one switch.  What belongs
 * to a transition (times, the error's text, the object's size) is filled in
 * by the caller, which knows the clock.
 *
 *-------------------------------------------------------------------------
 */
#include "core/history/entry.h"

#define BACKOFF_FIRST_MS	1000
#define BACKOFF_LAST_MS		60000

bool
ckpx_entry_transition(CkpxEntry *entry, CkpxEntryEvent event)
{
	CkpxEntryState from = CKPX_ENTRY_NONE;
	CkpxEntryState to = CKPX_ENTRY_NONE;

	switch (event)
	{
		case CKPX_EVENT_CREATE:
			from = CKPX_ENTRY_NONE;
			to = CKPX_ENTRY_PENDING;
			break;
		case CKPX_EVENT_START:
			from = CKPX_ENTRY_PENDING;
			to = CKPX_ENTRY_RUNNING;
			break;
		case CKPX_EVENT_FAIL:
			from = CKPX_ENTRY_RUNNING;
			to = CKPX_ENTRY_RUNNING;
			break;
		case CKPX_EVENT_ABANDON:
			from = CKPX_ENTRY_RUNNING;
			to = CKPX_ENTRY_PENDING;
			break;
		case CKPX_EVENT_FINISH:
			from = CKPX_ENTRY_RUNNING;
			to = CKPX_ENTRY_FINISHED;
			break;
		case CKPX_EVENT_CANCEL:
			from = CKPX_ENTRY_PENDING;
			to = CKPX_ENTRY_NONE;
			break;
		default:
			return false;
	}

	if (entry->state != from)
		return false;

	entry->state = to;

	/* The count stops rather than start the back-off again at 1 s. */
	if (event == CKPX_EVENT_FAIL && entry->attempts < PG_UINT32_MAX)
		entry->attempts++;
	return true;
}

uint64
ckpx_entry_backoff_ms(uint32 attempts)
{
	uint64		delay = BACKOFF_FIRST_MS;

	if (attempts == 0)
		return 0;

	while (--attempts > 0 && delay < BACKOFF_LAST_MS)
		delay *= 2;
	return Min(delay, BACKOFF_LAST_MS);
}

uint32
ckpx_entry_pending_bucket(uint64 pending_ms)
{
	uint32		bucket = 0;

	for (uint64 bound = 10;
		 bucket < CKPX_PENDING_BUCKETS - 1 && pending_ms >= bound;
		 bound *= 10)
		bucket++;
	return bucket;
}

const char *
ckpx_kind_name(CkpxEntryKind kind)
{
	switch (kind)
	{
		case CKPX_KIND_NONE:
			return "none";
		case CKPX_KIND_INCREMENTAL:
			return "incremental";
		case CKPX_KIND_GLOBAL:
			return "global";
		case CKPX_KIND_BACKUP:
			return "backup";
		case CKPX_KIND_SEGMENT:
			return "segment";
	}
	return "unknown";
}

const char *
ckpx_state_name(CkpxEntryState state)
{
	switch (state)
	{
		case CKPX_ENTRY_NONE:
			return "none";
		case CKPX_ENTRY_PENDING:
			return "pending";
		case CKPX_ENTRY_RUNNING:
			return "running";
		case CKPX_ENTRY_FINISHED:
			return "finished";
	}
	return "unknown";
}

const char *
ckpx_phase_name(CkpxPhase phase)
{
	switch (phase)
	{
		case CKPX_PHASE_NONE:
			return "none";
		case CKPX_PHASE_COLLECT:
			return "collect";
		case CKPX_PHASE_WRITE:
			return "write";
		case CKPX_PHASE_PUBLISH:
			return "publish";
		case CKPX_PHASE_RELEASE:
			return "release";
		case CKPX_PHASE_FLUSH:
			return "flush";
		case CKPX_PHASE_GC:
			return "gc";
		case CKPX_PHASE_COMMAND:
			return "command";
	}
	return "unknown";
}

char *
ckpx_entry_text(const CkpxEntry *entry, char *text)
{
	snprintf(text, CKPX_ENTRY_TEXT_MAX, "%s[%s] %X/%X-%X/%X",
			 ckpx_kind_name(entry->kind), ckpx_state_name(entry->state),
			 LSN_FORMAT_ARGS(entry->range.start_lsn),
			 LSN_FORMAT_ARGS(entry->range.end_lsn));
	return text;
}
