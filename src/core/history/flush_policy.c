/*-------------------------------------------------------------------------
 *
 * flush_policy.c
 *		Which relations to flush now, and why.
 *
 * Relations that are flushed for other reasons relieve the pressure, too, so
 * their bytes are taken off first.  The target lies an eighth below the cap:
 * flushing down to the cap itself would bring the pressure back at once.
 *
 *-------------------------------------------------------------------------
 */
#include "core/history/flush_policy.h"

/* In the last 15 percent of a checkpoint cycle policy writes are made. */
#define LATE_PERCENT		85
#define WINDOW_PERCENT		80
#define DEADLINE_INTERVALS	5
#define JITTER_STEPS		21

double
ckpx_flush_pressure(const CkpxFlushPolicy *policy, uint64 dirty_bytes)
{
	if (policy->memory_cap == 0)
		return 0.0;
	if (dirty_bytes >= policy->memory_cap)
		return 1.0;
	return (double) dirty_bytes / (double) policy->memory_cap;
}

static uint64
dirty_bytes_of(const CkpxFlushInput *input)
{
	return input->append_bytes + input->delete_bytes;
}

static CkpxFlushReason
reason_by_itself(const CkpxFlushPolicy *policy, int64 now_ms,
				 const CkpxFlushInput *input)
{
	if (input->forced)
		return CKPX_FLUSH_FORCED;
	if (dirty_bytes_of(input) == 0 && !input->unsynced)
		return CKPX_FLUSH_NONE;
	if (input->deadline_ms != 0 && input->deadline_ms <= now_ms)
		return CKPX_FLUSH_DEADLINE;
	if (policy->table_capacity > 0 &&
		dirty_bytes_of(input) > policy->table_capacity)
		return CKPX_FLUSH_CAPACITY;
	if (input->append_bytes < CKPX_FLUSH_SMALL_APPEND &&
		input->delete_bytes > CKPX_FLUSH_MANY_DELETES)
		return CKPX_FLUSH_DELETES;
	return CKPX_FLUSH_NONE;
}

/*
 * The largest relation that has no reason yet and may be taken under
 * pressure, or 'count'.  Of equals, the first.
 */
static uint32
find_largest(const CkpxFlushInput *inputs, uint32 count,
			 const CkpxFlushReason *reasons)
{
	uint32		largest = count;

	for (uint32 i = 0; i < count; i++)
	{
		if (reasons[i] != CKPX_FLUSH_NONE ||
			inputs[i].append_bytes <= CKPX_FLUSH_SMALL_APPEND)
			continue;
		if (largest == count ||
			dirty_bytes_of(&inputs[i]) > dirty_bytes_of(&inputs[largest]))
			largest = i;
	}
	return largest;
}

void
ckpx_flush_decide(const CkpxFlushPolicy *policy, int64 now_ms,
				  const CkpxFlushInput *inputs, uint32 count,
				  CkpxFlushReason *reasons)
{
	uint64		total = 0;
	uint64		staying = 0;
	uint64		target = policy->memory_cap - policy->memory_cap / 8;

	for (uint32 i = 0; i < count; i++)
	{
		reasons[i] = reason_by_itself(policy, now_ms, &inputs[i]);
		total += dirty_bytes_of(&inputs[i]);
		if (reasons[i] == CKPX_FLUSH_NONE)
			staying += dirty_bytes_of(&inputs[i]);
	}

	/* Each turn takes at least a megabyte, so the turns are few. */
	if (ckpx_flush_pressure(policy, total) < 1.0)
		return;
	while (staying > target)
	{
		uint32		largest = find_largest(inputs, count, reasons);

		if (largest == count)
			break;
		reasons[largest] = CKPX_FLUSH_PRESSURE;
		staying -= dirty_bytes_of(&inputs[largest]);
	}
}

int64
ckpx_flush_deadline(int64 now_ms, int64 flush_interval_ms, uint32 jitter)
{
	int64		gap = DEADLINE_INTERVALS * flush_interval_ms;
	int64		percent = 90 + (int64) (jitter % JITTER_STEPS);

	return now_ms + gap * percent / 100;
}

bool
ckpx_flush_is_late(int64 cycle_age_ms, int64 timeout_ms, uint64 cycle_wal,
				   uint64 max_cycle_wal)
{
	return (timeout_ms > 0 &&
			cycle_age_ms >= timeout_ms / 100 * LATE_PERCENT) ||
		(max_cycle_wal > 0 &&
		 cycle_wal >= max_cycle_wal / 100 * LATE_PERCENT);
}

int64
ckpx_flush_left_ms(int64 cycle_age_ms, int64 timeout_ms, uint64 cycle_wal,
				   uint64 max_cycle_wal, double part)
{
	double		left_ms = (double) timeout_ms * part - (double) cycle_age_ms;

	if (max_cycle_wal > 0 && cycle_wal > 0)
	{
		double		cycles = (double) max_cycle_wal * part /
			(double) cycle_wal;

		/* At the begin there is no rate yet. */
		if (cycle_age_ms > 0 || cycles <= 1.0)
			left_ms = Min(left_ms, (double) cycle_age_ms * (cycles - 1.0));
	}
	return left_ms <= 0.0 ? 0 : (int64) left_ms;
}

int64
ckpx_flush_window_ms(int64 cycle_age_ms, int64 timeout_ms, uint64 cycle_wal,
					 uint64 max_cycle_wal)
{
	return ckpx_flush_left_ms(cycle_age_ms, timeout_ms, cycle_wal,
							  max_cycle_wal, 1.0) * WINDOW_PERCENT / 100;
}

int64
ckpx_flush_pace_ms(uint64 done, uint64 total, int64 window_ms)
{
	return total == 0 ? 0 :
		(int64) ((double) window_ms * ((double) done / (double) total));
}

const char *
ckpx_flush_reason_name(CkpxFlushReason reason)
{
	switch (reason)
	{
		case CKPX_FLUSH_NONE:
			return "none";
		case CKPX_FLUSH_FORCED:
			return "forced";
		case CKPX_FLUSH_DEADLINE:
			return "deadline";
		case CKPX_FLUSH_CAPACITY:
			return "capacity";
		case CKPX_FLUSH_DELETES:
			return "deletes";
		case CKPX_FLUSH_PRESSURE:
			return "pressure";
		case CKPX_FLUSH_CHECKPOINT:
			return "checkpoint";
		case CKPX_FLUSH_NREASONS:
			break;
	}
	return "unknown";
}
