/*-------------------------------------------------------------------------
 *
 * fault.c
 *		Faults in shared memory, and what they do.
 *
 * The table is small and changes only in tests, so one spinlock guards it: it
 * is held to find a slot, to count and to copy, nothing else.  The fault acts
 * on its copy after the spinlock is released, because every action may raise
 * an error, sleep or end the process.
 *
 * A process that waits in a fault sleeps on one condition variable that serves
 * all faults.  It goes on when the fault it met is gone (told by its id, since
 * a name may be set again meanwhile) or its count of wakeups has grown.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "common/pg_prng.h"
#include "miscadmin.h"
#include "server/base/clock.h"
#include "server/base/compat.h"
#include "server/base/fault.h"
#include "server/base/wait_event.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/spin.h"

typedef struct FaultTable
{
	slock_t		mutex;
	uint64		next_id;
	CkpxFault	faults[CKPX_MAX_FAULTS];
	ConditionVariable changed;
	pg_atomic_uint32 active;	/* slots in use; read without the mutex */
} FaultTable;

pg_atomic_uint32 *ckpx_fault_active = NULL;

static FaultTable *table = NULL;

#define CKPX_FAULT_POINT(name, description) {name, description},
const CkpxFaultPoint ckpx_fault_points[] = {
#include "server/base/fault_points.h"
	{NULL, NULL}
};

static const char *const action_names[] = {
	[CKPX_FAULT_NONE] = "none",
	[CKPX_FAULT_ERROR] = "error",
	[CKPX_FAULT_VALUE] = "value",
	[CKPX_FAULT_SLEEP] = "sleep",
	[CKPX_FAULT_WAIT] = "wait",
	[CKPX_FAULT_CRASH] = "crash",
	[CKPX_FAULT_EXIT] = "exit"
};

Size
ckpx_fault_shmem_size(void)
{
	return MAXALIGN(sizeof(FaultTable));
}

void
ckpx_fault_shmem_init(void *place, bool found)
{
	table = place;
	ckpx_fault_active = &table->active;
	if (found)
		return;

	memset(table, 0, sizeof(FaultTable));
	SpinLockInit(&table->mutex);
	ConditionVariableInit(&table->changed);
	pg_atomic_init_u32(&table->active, 0);
}

/* Find a place in the registry; NULL when there is none of that name. */
const CkpxFaultPoint *
ckpx_fault_point(const char *name)
{
	for (const CkpxFaultPoint *point = ckpx_fault_points; point->name; point++)
		if (strcmp(point->name, name) == 0)
			return point;
	return NULL;
}

const char *
ckpx_fault_action_name(CkpxFaultAction action)
{
	return action_names[action];
}

/* Parse an action's name; CKPX_FAULT_NONE when it is none. */
CkpxFaultAction
ckpx_fault_action(const char *name)
{
	for (int i = CKPX_FAULT_ERROR; i < (int) lengthof(action_names); i++)
		if (strcmp(action_names[i], name) == 0)
			return (CkpxFaultAction) i;
	return CKPX_FAULT_NONE;
}

/* Find a set fault by name.  Caller holds the mutex. */
static CkpxFault *
find_fault(const char *name)
{
	for (int i = 0; i < CKPX_MAX_FAULTS; i++)
		if (strcmp(table->faults[i].name, name) == 0)
			return &table->faults[i];
	return NULL;
}

bool
ckpx_fault_set(const CkpxFault *fault)
{
	CkpxFault  *slot;

	Assert(fault->name[0] != '\0');

	SpinLockAcquire(&table->mutex);
	slot = find_fault(fault->name);
	if (slot == NULL)
	{
		slot = find_fault("");
		if (slot == NULL)
		{
			SpinLockRelease(&table->mutex);
			return false;
		}
		pg_atomic_fetch_add_u32(&table->active, 1);
	}
	*slot = *fault;
	slot->id = ++table->next_id;
	slot->passed = 0;
	slot->fired = 0;
	slot->wakeups = 0;
	slot->waiting = 0;
	SpinLockRelease(&table->mutex);

	/* processes that wait in a fault that was replaced go on */
	ConditionVariableBroadcast(&table->changed);
	return true;
}

bool
ckpx_fault_unset(const char *name)
{
	CkpxFault  *slot;

	SpinLockAcquire(&table->mutex);
	slot = find_fault(name);
	if (slot != NULL)
	{
		memset(slot, 0, sizeof(CkpxFault));
		pg_atomic_fetch_sub_u32(&table->active, 1);
	}
	SpinLockRelease(&table->mutex);

	if (slot != NULL)
		ConditionVariableBroadcast(&table->changed);
	return slot != NULL;
}

bool
ckpx_fault_wake(const char *name)
{
	CkpxFault  *slot;

	SpinLockAcquire(&table->mutex);
	slot = find_fault(name);
	if (slot != NULL)
		slot->wakeups++;
	SpinLockRelease(&table->mutex);

	if (slot != NULL)
		ConditionVariableBroadcast(&table->changed);
	return slot != NULL;
}

bool
ckpx_fault_get(const char *name, CkpxFault *fault)
{
	CkpxFault  *slot;

	SpinLockAcquire(&table->mutex);
	slot = find_fault(name);
	if (slot != NULL)
		*fault = *slot;
	SpinLockRelease(&table->mutex);
	return slot != NULL;
}

/* The errno that the action "error" stands for; 0: none. */
static int
error_number(const CkpxFault *fault)
{
	if (fault->action != CKPX_FAULT_ERROR)
		return 0;
	return strcmp(fault->argument, "enospc") == 0 ? ENOSPC :
		strcmp(fault->argument, "eio") == 0 ? EIO : 0;
}

static void
act_error(const CkpxFault *fault)
{
	int			code = ERRCODE_INTERNAL_ERROR;

	if (error_number(fault) != 0)
	{
		errno = error_number(fault);
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("fault \"%s\" was triggered: %m", fault->name)));
	}
	if (strlen(fault->argument) == 5)
		code = MAKE_SQLSTATE(fault->argument[0], fault->argument[1],
							 fault->argument[2], fault->argument[3],
							 fault->argument[4]);
	ereport(ERROR,
			(errcode(code),
			 errmsg("fault \"%s\" was triggered", fault->name)));
}

static void
act_sleep(const CkpxFault *fault)
{
	uint64		end = ckpx_clock_ms() + atol(fault->argument);

	for (;;)
	{
		uint64		now = ckpx_clock_ms();

		CHECK_FOR_INTERRUPTS();
		if (now >= end)
			break;
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 (long) (end - now), ckpx_wait_event(CKPX_WAIT_FAULT));
		ResetLatch(MyLatch);
	}

	/* the latch may have been set for somebody else's reason: pass it on */
	SetLatch(MyLatch);
}

/* Add 'change' to the waiters of the fault 'id', if it is still set. */
static void
count_waiter(const CkpxFault *fault, int change)
{
	CkpxFault  *slot;

	SpinLockAcquire(&table->mutex);
	slot = find_fault(fault->name);
	if (slot != NULL && slot->id == fault->id)
		slot->waiting += change;
	SpinLockRelease(&table->mutex);
}

/* The waiter goes on, or away: by an error or by the end of its process. */
static void
leave_wait(int code, Datum arg)
{
	ConditionVariableCancelSleep();
	count_waiter((const CkpxFault *) DatumGetPointer(arg), -1);
}

static void
act_wait(const CkpxFault *fault)
{
	count_waiter(fault, 1);
	PG_ENSURE_ERROR_CLEANUP(leave_wait, PointerGetDatum(fault));
	{
		ConditionVariablePrepareToSleep(&table->changed);
		for (;;)
		{
			CkpxFault	now;

			if (!ckpx_fault_get(fault->name, &now) ||
				now.id != fault->id || now.wakeups != fault->wakeups)
				break;
			ConditionVariableSleep(&table->changed,
								   ckpx_wait_event(CKPX_WAIT_FAULT));
			CHECK_FOR_INTERRUPTS();
		}
	}
	PG_END_ENSURE_ERROR_CLEANUP(leave_wait, PointerGetDatum(fault));
	leave_wait(0, PointerGetDatum(fault));

	/* Waiting may have swallowed a wakeup that was meant for the caller. */
	SetLatch(MyLatch);
}

/* Does the fault fire at its 'n'-th pass, chance aside? */
static bool
is_due(const CkpxFault *fault, uint64 n)
{
	return n >= fault->start && n <= fault->end &&
		(n - fault->start) % fault->skip == 0;
}

/*
 * The place 'name' is passed and faults are set: true, with a copy of it, if
 * one is set here and is due.
 */
static bool
take_fault(const char *name, CkpxFault *fault)
{
	CkpxFault  *slot;
	double		chance = pg_prng_double(&pg_global_prng_state);

	Assert(ckpx_fault_point(name) != NULL);

	SpinLockAcquire(&table->mutex);
	slot = find_fault(name);
	if (slot == NULL || !is_due(slot, ++slot->passed) ||
		chance >= slot->probability)
	{
		SpinLockRelease(&table->mutex);
		return false;
	}
	slot->fired++;
	*fault = *slot;
	SpinLockRelease(&table->mutex);
	return true;
}

static void
act(const CkpxFault *fault)
{
	switch (fault->action)
	{
		case CKPX_FAULT_NONE:
		case CKPX_FAULT_VALUE:
			break;
		case CKPX_FAULT_ERROR:
			act_error(fault);
			break;
		case CKPX_FAULT_SLEEP:
			act_sleep(fault);
			break;
		case CKPX_FAULT_WAIT:
			act_wait(fault);
			break;
		case CKPX_FAULT_CRASH:
			/* no cleanup at all: what a crash or kill -9 leaves behind */
			kill(getpid(), SIGKILL);
			break;
		case CKPX_FAULT_EXIT:
			proc_exit(1);
	}
}

void
ckpx_fault_fire(const char *name)
{
	CkpxFault	fault;

	if (take_fault(name, &fault))
		act(&fault);
}

bool
ckpx_fault_fails(const char *name)
{
	CkpxFault	fault;

	if (!take_fault(name, &fault))
		return false;
	if (error_number(&fault) == 0)
	{
		act(&fault);
		return false;
	}
	ereport(LOG, (errmsg("fault \"%s\" was triggered", fault.name)));
	errno = error_number(&fault);
	return true;
}

uint64
ckpx_fault_value(const char *name, uint64 otherwise)
{
	CkpxFault	fault;

	if (!take_fault(name, &fault))
		return otherwise;
	act(&fault);
	return fault.action == CKPX_FAULT_VALUE ?
		strtoull(fault.argument, NULL, 10) : otherwise;
}
