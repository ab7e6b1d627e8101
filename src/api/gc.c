/*-------------------------------------------------------------------------
 *
 * gc.c
 *		ckpx_gc, ckpx_pin, ckpx_unpin and the rows of the view ckpx_pins.
 *
 * A pin counts from the moment at which it is in shared memory, and is
 * promised to the caller when a manifest with it is durable.  While garbage
 * collection is about to remove what it has chosen, no pin comes in: it would
 * come too late for that.  A call that fails leaves the pins as they were.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "api/api.h"
#include "api/wait.h"
#include "miscadmin.h"
#include "server/base/request.h"
#include "server/wal/source.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

PG_FUNCTION_INFO_V1(ckpx_gc);
PG_FUNCTION_INFO_V1(ckpx_pin);
PG_FUNCTION_INFO_V1(ckpx_unpin);
PG_FUNCTION_INFO_V1(ckpx_get_pins);

Datum
ckpx_gc(PG_FUNCTION_ARGS)
{
	CkpxRequest request = {0};

	ckpx_require_installed();
	request.kind = CKPX_REQUEST_GC;
	request.lsn = ckpx_lsn_argument(fcinfo, 0);
	request.dry_run = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1);
	ckpx_check_past("upto", request.lsn,
					"Use NULL for everything that a global checkpoint covers.");
	if (request.lsn != InvalidXLogRecPtr)
		request.lsn = ckpx_wal_normalize_lsn(request.lsn);

	if (!ckpx_enqueue(CKPX_QUEUE_GC, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("the gc queue of ckpx is full"),
				 errhint("Try again later; see the view ckpx_queues.")));
	ckpx_request(&request);
	PG_RETURN_INT32((int32) request.count);
}

/*-------------------------------------------------------------------------
 * Pins
 *-------------------------------------------------------------------------
 */

/* The place of a pin; -1: there is none.  Caller holds the lock. */
static int
find_pin(const char *name)
{
	for (uint32 i = 0; i < CkpxShared->npins; i++)
	{
		if (strcmp(CkpxShared->pins[i].name, name) == 0)
			return (int) i;
	}
	return -1;
}

static bool
is_expired(const CkpxPin *pin)
{
	return pin->expires_at != 0 && pin->expires_clock_ms <= ckpx_clock_ms();
}

/* Caller holds the lock. */
static void
remove_pin(int i)
{
	CkpxShared->npins--;
	memmove(&CkpxShared->pins[i], &CkpxShared->pins[i + 1],
			sizeof(CkpxPin) * (CkpxShared->npins - i));
}

/*
 * Wait until a manifest has the change: 'pin' was added, or removed.  Undo the
 * change where that fails.
 */
static void
publish_change(CkpxPublishWait *wait, const CkpxPin *pin, bool added)
{
	PG_TRY();
	{
		ckpx_wait_for_publish(wait);
	}
	PG_CATCH();
	{
		int			i;

		/* The manifest still has what was removed, so it must be seen. */
		LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
		i = find_pin(pin->name);
		if (added && i >= 0 &&
			CkpxShared->pins[i].created_at == pin->created_at)
			remove_pin(i);
		else if (!added && i < 0 && CkpxShared->npins < CKPX_MAX_PINS)
			CkpxShared->pins[CkpxShared->npins++] = *pin;
		CkpxShared->publish_requested++;
		LWLockRelease(CkpxShared->lock);
		ckpx_wake_worker(CKPX_WORKER_CHECKPOINTER);
		PG_RE_THROW();
	}
	PG_END_TRY();
}

static bool
is_not_removing(void *arg)
{
	return !CkpxShared->removing;
}

static char *
name_argument(FunctionCallInfo fcinfo)
{
	char	   *name;

	ckpx_require_argument(fcinfo, 0, "name");
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (name[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("name of a pin must not be empty")));
	if (strlen(name) >= CKPX_PIN_NAME_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_NAME_TOO_LONG),
				 errmsg("name of a pin is too long"),
				 errdetail("It has %zu bytes, %d are allowed.", strlen(name),
						   CKPX_PIN_NAME_MAX - 1)));
	for (const char *c = name; *c != '\0'; c++)
	{
		if ((unsigned char) *c < ' ' || *c == 0x7f)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("name of a pin must not contain control characters")));
	}
	return name;
}

/* When a pin expires that is made now; 0: never. */
static TimestampTz
expiry_argument(FunctionCallInfo fcinfo, TimestampTz now)
{
	TimestampTz expires_at;
	Datum		sum;

	if (PG_ARGISNULL(2))
		return 0;
	sum = DirectFunctionCall2(timestamptz_pl_interval,
							  TimestampTzGetDatum(now), PG_GETARG_DATUM(2));
	expires_at = DatumGetTimestampTz(sum);
	if (expires_at <= now)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("ttl must be greater than zero"),
				 errhint("Use NULL for a pin that does not expire.")));
	return TIMESTAMP_NOT_FINITE(expires_at) ? 0 : expires_at;
}

typedef enum PinResult
{
	PIN_OK,
	PIN_REMOVING,
	PIN_PAST,
	PIN_DUPLICATE,
	PIN_TOO_MANY
} PinResult;

/* Raise the error of a pin that cannot be made. */
static void
report_pin(PinResult result, const CkpxPin *pin, XLogRecPtr oldest)
{
	switch (result)
	{
		case PIN_OK:
		case PIN_REMOVING:
			break;
		case PIN_PAST:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("%X/%X lies in the past: nothing that old is kept",
							LSN_FORMAT_ARGS(pin->lsn)),
					 errdetail("The oldest answerable LSN is %X/%X.",
							   LSN_FORMAT_ARGS(oldest)),
					 errhint("Pin this LSN or a later one.")));
			break;
		case PIN_DUPLICATE:
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_OBJECT),
					 errmsg("pin \"%s\" already exists", pin->name),
					 errhint("To move it, make a new one under another name and then call ckpx_unpin().")));
			break;
		case PIN_TOO_MANY:
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("too many pins"),
					 errdetail("There can be %d.", CKPX_MAX_PINS),
					 errhint("Remove one with ckpx_unpin().")));
			break;
	}
}

/*
 * Put the pin into shared memory; an error where it may not be there, and
 * false where that is not known yet.
 */
static bool
try_pin(const CkpxPin *pin, CkpxPublishWait *wait)
{
	CkpxEntryStore *store = CkpxShared->store;
	const CkpxEntry *newest;
	CkpxPin    *place;
	PinResult	result = PIN_OK;
	XLogRecPtr	oldest;
	int			i;

	ckpx_lock_history(LW_EXCLUSIVE);
	oldest = ckpx_entry_store_oldest(store);
	i = find_pin(pin->name);
	if (i >= 0 && is_expired(&CkpxShared->pins[i]))
	{
		remove_pin(i);
		i = -1;
	}
	if (CkpxShared->removing)
		result = PIN_REMOVING;
	else if (i >= 0)
		result = PIN_DUPLICATE;
	else if (pin->lsn < oldest)
		result = PIN_PAST;
	else if (CkpxShared->npins >= CKPX_MAX_PINS)
		result = PIN_TOO_MANY;
	else
	{
		place = &CkpxShared->pins[CkpxShared->npins++];
		*place = *pin;
		place->epoch = store->epoch;
		newest = ckpx_entry_store_newest(store, CKPX_KIND_GLOBAL, true);
		if (newest != NULL)
			place->global_lsn = newest->range.end_lsn;
		ckpx_request_publish(wait);
	}
	LWLockRelease(CkpxShared->lock);

	report_pin(result, pin, oldest);
	return result == PIN_OK;
}

Datum
ckpx_pin(PG_FUNCTION_ARGS)
{
	CkpxPin		pin;
	CkpxNow		now;
	CkpxPublishWait wait;

	ckpx_require_installed();
	memset(&pin, 0, sizeof(pin));
	strlcpy(pin.name, name_argument(fcinfo), sizeof(pin.name));
	ckpx_require_argument(fcinfo, 1, "lsn");
	pin.lsn = ckpx_lsn_argument(fcinfo, 1);
	ckpx_check_past("lsn", pin.lsn, "Pin this LSN or an earlier one.");
	pin.lsn = ckpx_wal_normalize_lsn(pin.lsn);
	now = ckpx_now();
	pin.created_at = now.time;
	pin.expires_at = expiry_argument(fcinfo, now.time);
	pin.expires_clock_ms = ckpx_age_end(&now, now.time, pin.expires_at);

	while (!try_pin(&pin, &wait))
		(void) ckpx_wait_until(is_not_removing, NULL, CKPX_NO_DEADLINE,
							   CKPX_WORKER_CHECKPOINTER,
							   CKPX_WAIT_DESPITE_PROBLEM);
	publish_change(&wait, &pin, true);
	PG_RETURN_VOID();
}

Datum
ckpx_unpin(PG_FUNCTION_ARGS)
{
	CkpxPin		pin;
	CkpxPublishWait wait;
	char	   *name;
	int			i;

	ckpx_require_installed();
	name = name_argument(fcinfo);

	ckpx_lock_history(LW_EXCLUSIVE);
	i = find_pin(name);
	if (i >= 0)
	{
		pin = CkpxShared->pins[i];
		remove_pin(i);
		ckpx_request_publish(&wait);
	}
	LWLockRelease(CkpxShared->lock);
	if (i < 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("pin \"%s\" does not exist", name)));

	publish_change(&wait, &pin, false);
	PG_RETURN_VOID();
}

Datum
ckpx_get_pins(PG_FUNCTION_ARGS)
{
	CkpxPin    *pins = palloc(sizeof(CkpxPin) * CKPX_MAX_PINS);
	uint32		npins;
	CkpxRow		row;

	ckpx_begin_rows(fcinfo, &row);
	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	npins = CkpxShared->npins;
	memcpy(pins, CkpxShared->pins, sizeof(CkpxPin) * npins);
	LWLockRelease(CkpxShared->lock);

	for (uint32 i = 0; i < npins; i++)
	{
		if (is_expired(&pins[i]))
			continue;
		ckpx_row_text(&row, pins[i].name);
		ckpx_row_lsn(&row, pins[i].lsn);
		ckpx_row_time(&row, pins[i].created_at);
		ckpx_row_time(&row, pins[i].expires_at);
		ckpx_put_row(&row);
	}
	return (Datum) 0;
}
