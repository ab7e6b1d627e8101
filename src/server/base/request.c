/*-------------------------------------------------------------------------
 *
 * request.c
 *		What a backend wants from the checkpointer, and how it gets the
 *		answer.
 *
 * All under CkpxShared->lock; the protocol stands in request.h.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "miscadmin.h"
#include "server/base/options.h"
#include "server/base/request.h"
#include "storage/ipc.h"

static CkpxRequest *
find_request(uint64 id)
{
	Assert(LWLockHeldByMe(CkpxShared->lock));
	for (int i = 0; i < CKPX_MAX_REQUESTS; i++)
	{
		CkpxRequest *request = &CkpxShared->requests[i];

		if (request->state != CKPX_REQUEST_FREE && request->id == id)
			return request;
	}
	return NULL;
}

static void
free_request(int code, Datum arg)
{
	CkpxRequest *request;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	request = find_request((uint64) DatumGetInt64(arg));
	if (request != NULL)
		request->state = CKPX_REQUEST_FREE;
	LWLockRelease(CkpxShared->lock);
}

/* Is there an answer?  Called with the lock held. */
static bool
is_answered(void *arg)
{
	CkpxRequest *copy = arg;
	const CkpxRequest *request = find_request(copy->id);

	Assert(request != NULL);
	if (request->state != CKPX_REQUEST_DONE &&
		request->state != CKPX_REQUEST_FAILED)
		return false;
	*copy = *request;
	return true;
}

void
ckpx_request(CkpxRequest *request)
{
	bool		found = false;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < CKPX_MAX_REQUESTS && !found; i++)
	{
		CkpxRequest *slot = &CkpxShared->requests[i];

		if (slot->state != CKPX_REQUEST_FREE)
			continue;
		found = true;
		request->state = CKPX_REQUEST_WAITING;
		request->id = ++CkpxShared->next_request_id;
		*slot = *request;
	}
	LWLockRelease(CkpxShared->lock);

	if (!found)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("too many sessions wait for the ckpx checkpointer"),
				 errhint("Try again later.")));

	/* Also a backend that is terminated must not leave its slot taken. */
	PG_ENSURE_ERROR_CLEANUP(free_request, Int64GetDatum((int64) request->id));
	{
		ckpx_wake_worker(CKPX_WORKER_CHECKPOINTER);
		(void) ckpx_wait_until(is_answered, request, CKPX_NO_DEADLINE,
							   CKPX_WORKER_CHECKPOINTER,
							   CKPX_WAIT_DESPITE_PROBLEM);
	}
	PG_END_ENSURE_ERROR_CLEANUP(free_request,
								Int64GetDatum((int64) request->id));
	free_request(0, Int64GetDatum((int64) request->id));

	if (request->state == CKPX_REQUEST_FAILED)
		ereport(ERROR,
				(errcode(request->sqlerrcode),
				 errmsg_internal("%s", request->text)));
}

bool
ckpx_request_take(CkpxRequestKind kind, CkpxRequest *request)
{
	CkpxRequest *oldest = NULL;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < CKPX_MAX_REQUESTS; i++)
	{
		CkpxRequest *slot = &CkpxShared->requests[i];

		if (slot->state == CKPX_REQUEST_WAITING && slot->kind == kind &&
			(oldest == NULL || slot->id < oldest->id))
			oldest = slot;
	}
	if (oldest != NULL)
	{
		oldest->state = CKPX_REQUEST_RUNNING;
		*request = *oldest;
	}
	LWLockRelease(CkpxShared->lock);
	return oldest != NULL;
}

bool
ckpx_request_put_back(const CkpxRequest *request, bool checkpoint)
{
	CkpxRequest *slot;
	const char *refusal = NULL;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	if (CkpxShared->uninstalled)
		refusal = "ckpx was uninstalled";
	else if (checkpoint && (CkpxShared->disabled || !ckpx_enabled))
		refusal = "checkpoints of ckpx are disabled";
	slot = find_request(request->id);
	if (slot != NULL && slot->state == CKPX_REQUEST_RUNNING)
	{
		slot->state = CKPX_REQUEST_WAITING;
		if (refusal != NULL)
		{
			slot->state = CKPX_REQUEST_FAILED;
			slot->sqlerrcode = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
			strlcpy(slot->text, refusal, sizeof(slot->text));
		}
	}
	LWLockRelease(CkpxShared->lock);
	ConditionVariableBroadcast(&CkpxShared->progress);
	return refusal == NULL;
}

/*
 * Answer: what is in *request, or that it failed with 'error'.
 */
void
ckpx_request_answer(CkpxRequest *request, const ErrorData *error)
{
	CkpxRequest *slot;

	request->state = CKPX_REQUEST_DONE;
	if (error != NULL)
	{
		request->state = CKPX_REQUEST_FAILED;
		request->sqlerrcode = error->sqlerrcode;
		strlcpy(request->text, error->message, sizeof(request->text));
	}
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	slot = find_request(request->id);
	if (slot != NULL && slot->state == CKPX_REQUEST_RUNNING)
		*slot = *request;
	LWLockRelease(CkpxShared->lock);
	ConditionVariableBroadcast(&CkpxShared->progress);
}

void
ckpx_request_recover(void)
{
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < CKPX_MAX_REQUESTS; i++)
	{
		if (CkpxShared->requests[i].state == CKPX_REQUEST_RUNNING)
			CkpxShared->requests[i].state = CKPX_REQUEST_WAITING;
	}
	LWLockRelease(CkpxShared->lock);
}
