/*-------------------------------------------------------------------------
 *
 * history.c
 *		The newest checkpoints that were seen, PostgreSQL's and ckpx's.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "server/base/history.h"

static void
add(CkpxHistory *history, const CkpxHistoryItem *item, TimestampTz seen_at)
{
	CkpxHistoryItem *place;

	place = &history->items[history->nseen++ % CKPX_HISTORY_SIZE];
	*place = *item;
	place->seen_at = seen_at;
}

void
ckpx_history_add(CkpxHistory *history, const CkpxHistoryItem *item)
{
	uint64		n = Min(history->nseen, CKPX_HISTORY_SIZE);

	for (uint64 i = 0; i < n; i++)
	{
		const CkpxHistoryItem *other = &history->items[i];

		if (other->kind == item->kind && other->end_lsn == item->end_lsn &&
			other->timeline == item->timeline &&
			other->started_at == item->started_at)
			return;
	}
	add(history, item, GetCurrentTimestamp());
}

void
ckpx_history_add_entry(CkpxHistory *history, const CkpxEntry *entry)
{
	CkpxHistoryItem item = {0};

	item.kind = entry->kind == CKPX_KIND_GLOBAL ? CKPX_HISTORY_GLOBAL :
		entry->kind == CKPX_KIND_BACKUP ? CKPX_HISTORY_BACKUP :
		CKPX_HISTORY_INCREMENTAL;
	item.epoch = entry->range.epoch;
	item.timeline = entry->range.timeline;
	item.start_lsn = entry->range.start_lsn;
	item.end_lsn = entry->range.end_lsn;
	item.started_at = entry->range.created_at;
	item.size_bytes = entry->size_bytes;
	add(history, &item, entry->finished_at);
}

void
ckpx_history_look(CkpxHistory *history, bool in_recovery,
				  XLogRecPtr checkpoint_lsn, const CheckPoint *checkpoint)
{
	bool		changed = history->control_lsn != InvalidXLogRecPtr &&
		history->control_lsn != checkpoint_lsn;

	history->control_lsn = checkpoint_lsn;
	if (changed && in_recovery)
	{
		CkpxHistoryItem item = {0};

		item.kind = CKPX_HISTORY_RESTARTPOINT;
		item.timeline = checkpoint->ThisTimeLineID;
		item.start_lsn = checkpoint->redo;
		item.end_lsn = checkpoint_lsn;
		item.started_at = time_t_to_timestamptz(checkpoint->time);
		ckpx_history_add(history, &item);
	}
}

bool
ckpx_history_is_own(CkpxHistoryKind kind)
{
	return kind <= CKPX_HISTORY_BACKUP;
}

const char *
ckpx_history_kind_name(CkpxHistoryKind kind)
{
	switch (kind)
	{
		case CKPX_HISTORY_INCREMENTAL:
			return "incremental";
		case CKPX_HISTORY_GLOBAL:
			return "global";
		case CKPX_HISTORY_BACKUP:
			return "backup";
		case CKPX_HISTORY_ONLINE:
			return "online";
		case CKPX_HISTORY_SHUTDOWN:
			return "shutdown";
		case CKPX_HISTORY_END_OF_RECOVERY:
			return "end of recovery";
		case CKPX_HISTORY_RESTARTPOINT:
			return "restartpoint";
	}
	return "unknown";
}
