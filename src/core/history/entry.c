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

/* The same of what WAL tells of the range. */
static const char *
range_difference(const CkpxRange *a, const CkpxRange *b)
{
	const CkpxRecordMark *left = &a->last_record;
	const CkpxRecordMark *right = &b->last_record;

	if (left->start != InvalidXLogRecPtr && right->start != InvalidXLogRecPtr)
	{
		if (left->start != right->start)
			return "last_record_start";
		if (left->length != right->length)
			return "last_record_length";
		if (left->crc != right->crc)
			return "last_record_crc";
		if (left->run_start != right->run_start)
			return "run_start";
		if (left->run_hash != right->run_hash)
			return "run_hash";
	}
	if (a->last_change_lsn != b->last_change_lsn)
		return "last_change_lsn";
	if (a->nxacts != b->nxacts)
		return "nxacts";
	if (a->wal_bytes != b->wal_bytes)
		return "wal_bytes";
	if (memcmp(a->custom_rmgrs, b->custom_rmgrs, CKPX_RMGR_BITMAP_BYTES) != 0)
		return "custom_rmgrs";
	if (a->created_at != b->created_at)
		return "created_at";
	return NULL;
}

const char *
ckpx_entry_difference(const CkpxEntry *a, const CkpxEntry *b)
{
	if (a->kind != b->kind)
		return "kind";
	if (a->range.epoch != b->range.epoch)
		return "epoch";
	if (a->range.timeline != b->range.timeline)
		return "timeline";
	if (a->range.start_lsn != b->range.start_lsn)
		return "start_lsn";
	if (a->range.end_lsn != b->range.end_lsn)
		return "end_lsn";
	if (a->nrelations != b->nrelations)
		return "nrelations";
	if (a->nblocks != b->nblocks)
		return "nblocks";
	if (a->version != b->version)
		return "version";
	if (a->nparts != b->nparts)
		return "nparts";
	if (a->size_bytes != b->size_bytes)
		return "size_bytes";
	if (a->open_xacts != b->open_xacts)
		return "open_xacts";
	if (a->undurable != b->undurable)
		return "undurable";
	return range_difference(&a->range, &b->range);
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
