/*-------------------------------------------------------------------------
 *
 * global_entry.h
 *		Which range the next global covers, and when it is made.
 *
 * Only the checkpointer calls these.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_GLOBAL_ENTRY_H
#define CKPX_GLOBAL_ENTRY_H

#include "postgres.h"

#include "server/base/shared_state.h"

/*
 * Inputs that are merged at the same time, each with one file open.
 * PostgreSQL leaves a third of its descriptors to transient files.  What does
 * not fit goes to the next global.
 */
#define CKPX_GLOBAL_MAX_INPUTS	100

/*
 * Find the entry to work on, or make it, and set it RUNNING; false when
 * nothing is due.  *wait_ms is lowered to when the next attempt is.
 */
extern bool ckpx_global_start_entry(CkpxEntryTicket *ticket, long *wait_ms);

/*
 * Have a global made of all incrementals that are in none, by the next steps;
 * false where there are none, or an attempt has failed.
 */
extern bool ckpx_global_force(void);

#endif							/* CKPX_GLOBAL_ENTRY_H */
