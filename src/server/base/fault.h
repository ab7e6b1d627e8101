/*-------------------------------------------------------------------------
 *
 * fault.h
 *		Named places at which a test can make something go wrong.
 *
 * CKPX_FAULT("object-fsync") costs one read of shared memory while no fault
 * is set.  With one set on that name it does the fault's action:
 *
 *	error	ereport(ERROR), SQLSTATE XX000, or what the argument says: a
 *			SQLSTATE of five characters, or "enospc" or "eio", which behave
 *			like a write that met a full or a broken disk
 *	value	where the place asks for a number, it gets 'argument'
 *	sleep	waits 'argument' milliseconds, interruptible
 *	wait	waits until ckpx_fault_wakeup() or until the fault is removed
 *	crash	ends the process as a crash would (the postmaster then restarts
 *			the cluster's processes)
 *	exit	ends the process with exit code 1
 *
 * Frequency is "start:end:skip:probability": the n-th time that the place is
 * passed (n counts from 1, over all processes), the fault fires if start <= n
 * <= end, (n - start) is a multiple of skip, and by chance 'probability'.
 * NULL means always.  Place names are lower case words joined by hyphens;
 * every name is registered in fault_points.h, so that a test can walk all of
 * them (ckpx_fault_list() shows them, set or not).
 *
 * CKPX_FAULT_FAILS("object-read") stands for a system call: with "enospc" or
 * "eio" it is true with errno set, in place of an error, and the caller goes on
 * as if the call had failed.  CKPX_FAULT_VALUE_OF("object-patience", number) is
 * 'number', or that of the action "value": a time for which no test can wait.
 *
 * May be called wherever an error may be raised: never with a spinlock or an
 * LWLock held.  Faults live in shared memory and are gone after a restart.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_FAULT_H
#define CKPX_FAULT_H

#include "postgres.h"
#include "port/atomics.h"

/* Number of faults that are set; NULL when the library is not preloaded. */
extern pg_atomic_uint32 *ckpx_fault_active;

extern void ckpx_fault_fire(const char *name);
extern bool ckpx_fault_fails(const char *name);
extern uint64 ckpx_fault_value(const char *name, uint64 otherwise);

#define CKPX_FAULT_IS_ACTIVE() \
	unlikely(ckpx_fault_active != NULL && \
			 pg_atomic_read_u32(ckpx_fault_active) != 0)

#define CKPX_FAULT(name) \
	do { \
		if (CKPX_FAULT_IS_ACTIVE()) \
			ckpx_fault_fire(name); \
	} while (0)

#define CKPX_FAULT_FAILS(name) \
	(CKPX_FAULT_IS_ACTIVE() && ckpx_fault_fails(name))

#define CKPX_FAULT_VALUE_OF(name, otherwise) \
	(CKPX_FAULT_IS_ACTIVE() ? ckpx_fault_value(name, otherwise) : (otherwise))

extern Size ckpx_fault_shmem_size(void);
extern void ckpx_fault_shmem_init(void *place, bool found);

#define CKPX_MAX_FAULTS			128 /* set at the same time */
#define CKPX_FAULT_NAME_MAX		48
#define CKPX_FAULT_ARGUMENT_MAX 64

typedef enum CkpxFaultAction
{
	CKPX_FAULT_NONE = 0,
	CKPX_FAULT_ERROR,
	CKPX_FAULT_VALUE,
	CKPX_FAULT_SLEEP,
	CKPX_FAULT_WAIT,
	CKPX_FAULT_CRASH,
	CKPX_FAULT_EXIT
} CkpxFaultAction;

/* One fault as it is set, and what came of it. */
typedef struct CkpxFault
{
	char		name[CKPX_FAULT_NAME_MAX];	/* "": this slot is free */
	CkpxFaultAction action;
	char		argument[CKPX_FAULT_ARGUMENT_MAX];
	uint64		start;			/* frequency; start 1, end UINT64_MAX, */
	uint64		end;			/* skip 1, probability 1: always */
	uint64		skip;
	double		probability;
	uint64		id;				/* tells this fault from a later one of the
								 * same name */
	uint64		passed;			/* times the place was passed */
	uint64		fired;
	uint64		wakeups;
	uint32		waiting;		/* processes that wait in it */
} CkpxFault;

/* A place: its name and what happens there; the list ends with name NULL. */
typedef struct CkpxFaultPoint
{
	const char *name;
	const char *description;
} CkpxFaultPoint;

extern const CkpxFaultPoint ckpx_fault_points[];
extern const CkpxFaultPoint *ckpx_fault_point(const char *name);

extern const char *ckpx_fault_action_name(CkpxFaultAction action);
extern CkpxFaultAction ckpx_fault_action(const char *name);

/*
 * Set a fault, in place of one of that name; false when all slots are taken.
 * _unset and _wake return false when none of that name is set.  _get copies
 * the one of that name, false likewise.
 */
extern bool ckpx_fault_set(const CkpxFault *fault);
extern bool ckpx_fault_unset(const char *name);
extern bool ckpx_fault_wake(const char *name);
extern bool ckpx_fault_get(const char *name, CkpxFault *fault);

#endif							/* CKPX_FAULT_H */
