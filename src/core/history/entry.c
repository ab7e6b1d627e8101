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

/* From which state to which does an event lead? */
typedef struct Transition
{
	CkpxEntryState from;
	CkpxEntryState to;
} Transition;

static const Transition transitions[] = {
	[CKPX_EVENT_CREATE] = {CKPX_ENTRY_NONE, CKPX_ENTRY_PENDING},
	[CKPX_EVENT_START] = {CKPX_ENTRY_PENDING, CKPX_ENTRY_RUNNING},
	[CKPX_EVENT_FAIL] = {CKPX_ENTRY_RUNNING, CKPX_ENTRY_RUNNING},
	[CKPX_EVENT_ABANDON] = {CKPX_ENTRY_RUNNING, CKPX_ENTRY_PENDING},
	[CKPX_EVENT_FINISH] = {CKPX_ENTRY_RUNNING, CKPX_ENTRY_FINISHED}
};

bool
ckpx_entry_transition(CkpxEntry *entry, CkpxEntryEvent event)
{
	if ((uint32) event >= lengthof(transitions) ||
		entry->state != transitions[event].from)
		return false;

	entry->state = transitions[event].to;

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
	static const char *const names[] = {
		[CKPX_KIND_NONE] = "none",
		[CKPX_KIND_INCREMENTAL] = "incremental",
		[CKPX_KIND_GLOBAL] = "global",
		[CKPX_KIND_BACKUP] = "backup",
		[CKPX_KIND_SEGMENT] = "segment"
	};

	return CKPX_NAME_OF(names, kind);
}

const char *
ckpx_state_name(CkpxEntryState state)
{
	static const char *const names[] = {
		[CKPX_ENTRY_NONE] = "none",
		[CKPX_ENTRY_PENDING] = "pending",
		[CKPX_ENTRY_RUNNING] = "running",
		[CKPX_ENTRY_FINISHED] = "finished"
	};

	return CKPX_NAME_OF(names, state);
}

const char *
ckpx_phase_name(CkpxPhase phase)
{
	static const char *const names[] = {
		[CKPX_PHASE_NONE] = "none",
		[CKPX_PHASE_COLLECT] = "collect",
		[CKPX_PHASE_WRITE] = "write",
		[CKPX_PHASE_PUBLISH] = "publish",
		[CKPX_PHASE_COMMAND] = "command"
	};

	return CKPX_NAME_OF(names, phase);
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
