/*-------------------------------------------------------------------------
 *
 * durability.h
 *		What tells how far changes are on disk, and having the flusher bring
 *		it further.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_DURABILITY_H
#define CKPX_DURABILITY_H

#include "postgres.h"

#include "server/process/runner.h"

/* Find out how far changes are durable, and serve backends that want more. */
extern void ckpx_durability_step(CkpxRunner *runner);

/*
 * Have the flusher make durable what lies before 'upto', which is decoded.
 * Does nothing where it is at work already or has failed just now: the caller
 * comes again.
 */
extern void ckpx_durability_request(CkpxRunner *runner, XLogRecPtr upto);

#endif							/* CKPX_DURABILITY_H */
