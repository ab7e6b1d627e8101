/*-------------------------------------------------------------------------
 *
 * global_internal.h
 *		What the parts of the global job share.
 *
 * The idea: a global can be large while an incremental must never wait for
 * it, and both are made by one process.  So the job is not one call but a
 * state, CkpxGlobalJob, that lives between the checkpointer's steps.
 *
 *	jobs/global.c	the life of the job: steps, publishing, failure
 *	global_entry.c	which range the next global covers, and when
 *	global_merge.c	inputs, merge and output of the job
 *
 * Only the checkpointer calls these, with the job's memory context as the
 * current one where a job is an argument.  Errors are raised; the job is then
 * forgotten as a whole, see ckpx_job_catch().
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_GLOBAL_INTERNAL_H
#define CKPX_GLOBAL_INTERNAL_H

#include "postgres.h"

#include "core/map/layers.h"
#include "server/base/shared_state.h"
#include "server/store/files.h"
#include "server/store/object_file.h"

/*
 * Inputs that are merged at the same time, each with one file open.
 * PostgreSQL leaves a third of its descriptors to transient files.  What does
 * not fit goes to the next global.
 */
#define CKPX_GLOBAL_MAX_INPUTS	100

typedef struct CkpxGlobalInput
{
	CkpxEntry	entry;
	CkpxObjectFile *file;
	bool		more;			/* 'key' is that of its next record */
	CkpxRelKey	key;
	uint32		first_source;	/* layer 0 of its records is this source */
} CkpxGlobalInput;

typedef struct CkpxGlobalJob
{
	MemoryContext context;		/* of everything here */
	CkpxEntryTicket ticket;
	CkpxEntry	entry;
	uint64		attempt;
	CkpxPhase	phase;
	TimestampTz started_at;
	uint64		started_ms;		/* the same by the monotonic clock */
	int64		interval;		/* of recent layers, in microseconds */

	uint32		ninputs;		/* newest first, the previous global last */
	CkpxGlobalInput *inputs;
	uint64		nrelations;		/* relation forks of all inputs, and how many */
	uint64		nmerged;		/* of these are merged */
	CkpxLayerPlan plan;
	CkpxLayerMerge merge;
	bool		undurable_known;	/* those still undurable are these: */
	uint32		nundurable;
	CkpxRelKey *undurable;		/* in key order */

	CkpxObjectHeader header;
	CkpxObjectOptions options;
	uint32		part;
	CkpxOutput *output;			/* of the present part, or NULL */
	CkpxObjectWriter *writer;
	CkpxRelKey	written;		/* the key written last, if 'any_written' */
	bool		any_written;
} CkpxGlobalJob;

/*
 * global_entry.c: find the entry to work on, or make it, and set it RUNNING;
 * false when nothing is due.
 */
extern bool ckpx_global_start_entry(CkpxEntryTicket *ticket, long *wait_ms);

/*
 * global_merge.c, in the order of the calls.  _open_inputs chooses and opens
 * what is merged and plans the layers; _prepare_header then fills in what
 * every part begins with.
 */
extern void ckpx_global_open_inputs(CkpxGlobalJob *job);
extern void ckpx_global_prepare_header(CkpxGlobalJob *job);

/*
 * Begin a part of the object, and end it: 'last' with the totals of all.  In
 * between the merge does it by itself where a part has become too large.
 */
extern void ckpx_global_begin_part(CkpxGlobalJob *job);
extern void ckpx_global_end_part(CkpxGlobalJob *job, bool last);

/*
 * Merge and write everything about the lowest key of all inputs; false when
 * there is none.
 */
extern bool ckpx_global_merge_relation(CkpxGlobalJob *job);

#endif							/* CKPX_GLOBAL_INTERNAL_H */
