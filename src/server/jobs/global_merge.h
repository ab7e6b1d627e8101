/*-------------------------------------------------------------------------
 *
 * global_merge.h
 *		The inputs of a global, merged into its object.
 *
 * The idea: a global can be large while an incremental must never wait for
 * it, and both are made by one process.  So the merge is not one call but a
 * state, CkpxGlobalMerge, that lives between the checkpointer's steps.
 *
 * Only the checkpointer calls these, with the memory context of the merge as
 * the current one.  Errors are raised; the merge is then forgotten as a whole.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_GLOBAL_MERGE_H
#define CKPX_GLOBAL_MERGE_H

#include "postgres.h"

#include "core/map/layers.h"
#include "server/base/shared_state.h"
#include "server/store/object_file.h"
#include "server/store/object_output.h"

typedef struct CkpxGlobalInput
{
	CkpxEntry	entry;
	CkpxObjectFile *file;
	bool		more;			/* 'key' is that of its next record */
	CkpxRelKey	key;
	uint32		first_source;	/* layer 0 of its records is this source */
} CkpxGlobalInput;

typedef struct CkpxGlobalMerge
{
	CkpxEntry	entry;			/* of the global; the caller copies it */

	uint32		ninputs;		/* newest first, the previous global last */
	CkpxGlobalInput *inputs;
	uint64		nrelations;		/* forks of all inputs, and how many */
	uint64		nmerged;		/* of these are merged */
	CkpxLayerPlan plan;
	CkpxLayerMerge merge;
	bool		undurable_known;	/* those still undurable are these: */
	uint32		nundurable;
	CkpxRelKey *undurable;		/* in key order */
	CkpxObjectOutput *output;	/* NULL: not begun, or at its end */
} CkpxGlobalMerge;

/*
 * Choose and open what is merged, plan the layers, of which recent ones last
 * ckpx.global_version_interval, and begin the object.
 */
extern void ckpx_global_merge_begin(CkpxGlobalMerge *job);

/*
 * Merge and write everything about the lowest key of all inputs; false when
 * there is none.
 */
extern bool ckpx_global_merge_relation(CkpxGlobalMerge *job);

/* The object is whole: complete it and the entry's counts. */
extern void ckpx_global_merge_end(CkpxGlobalMerge *job);

/*
 * Close the inputs and remove what was written of the object, unless it was
 * completed.  'closed': the files are closed already.
 */
extern void ckpx_global_merge_drop(CkpxGlobalMerge *job, bool closed);

#endif							/* CKPX_GLOBAL_MERGE_H */
