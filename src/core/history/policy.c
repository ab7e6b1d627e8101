/*-------------------------------------------------------------------------
 *
 * policy.c
 *		Pure decisions.
 *
 * The reasons are tried in the order in which they tell a person most: what
 * was asked for, the ordinary rhythm, then the safety nets.  The order
 * does not change whether a checkpoint is made, only what it is called.
 *
 *-------------------------------------------------------------------------
 */
#include "core/history/policy.h"

CkpxReason
ckpx_policy_incremental(const CkpxCheckpointPolicy *policy,
						const CkpxCheckpointInput *input)
{
	if (input->forced)
		return CKPX_REASON_FORCED;

	/* There is no range to cut. */
	if (input->wal_bytes == 0)
		return CKPX_REASON_NONE;

	if ((input->first ||
		 input->since_last_cut_ms >= policy->min_incremental_interval_ms) &&
		(policy->min_count <= 0 ||
		 input->nxacts >= (uint64) policy->min_count))
		return CKPX_REASON_COUNT;

	if (policy->max_incremental_interval_ms > 0 &&
		input->since_last_cut_ms >= policy->max_incremental_interval_ms &&
		input->anything_changed)
		return CKPX_REASON_TIME;

	if (policy->max_incremental_wal > 0 &&
		input->wal_bytes >= policy->max_incremental_wal)
		return CKPX_REASON_WAL;

	/* More than half; the division rounds down, which fits odd numbers too. */
	if (input->retained_wal > policy->max_retained_wal / 2)
		return CKPX_REASON_RETENTION;

	return CKPX_REASON_NONE;
}

const char *
ckpx_reason_name(CkpxReason reason)
{
	static const char *const names[] = {
		[CKPX_REASON_NONE] = "none",
		[CKPX_REASON_FORCED] = "forced",
		[CKPX_REASON_COUNT] = "count",
		[CKPX_REASON_TIME] = "time",
		[CKPX_REASON_WAL] = "wal",
		[CKPX_REASON_RETENTION] = "retention"
	};

	return CKPX_NAME_OF(names, reason);
}
