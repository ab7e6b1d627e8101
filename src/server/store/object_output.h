/*-------------------------------------------------------------------------
 *
 * object_output.h
 *		Checkpoint objects as files: writing one, part after part.
 *
 * Begin, add relations in the order of their keys (of a global also in that
 * of its layers), end; or abort.  Each part is written under a temporary name,
 * synced and renamed, see files.h.  A part ends between two relations as soon
 * as it has ckpx.checkpoint_size.
 *
 * The checkpointer calls these, and the runner for a cut that its memory
 * cannot hold.  Everything lives in the memory context of _begin, which must
 * be the current one in all calls.  Errors are raised; then _abort is due.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_OBJECT_OUTPUT_H
#define CKPX_OBJECT_OUTPUT_H

#include "postgres.h"

#include "core/format/object_format.h"
#include "core/history/entry.h"

typedef struct CkpxObjectOutput CkpxObjectOutput;

/*
 * Begin the object of 'entry', which is borrowed: its counts are set to those
 * of the object, by part.  'rest' says what the entry does not tell: open
 * transactions, layers and marks; its lists are borrowed as well.  'what', a
 * static string, names fault points.
 */
extern CkpxObjectOutput *ckpx_object_output_begin(CkpxEntry *entry,
												  const CkpxObjectHeader *rest,
												  const char *what);
extern void ckpx_object_output_add(CkpxObjectOutput *output,
								   const CkpxRelation *relation,
								   uint32 layer);
extern void ckpx_object_output_end(CkpxObjectOutput *output,
								   XLogRecPtr tombstones_from);

/*
 * Remove the file in work; parts that are complete are left to a sweep.
 * 'closed': the descriptors are closed already.  Raises no error; frees
 * nothing; does nothing for NULL.
 */
extern void ckpx_object_output_abort(CkpxObjectOutput *output, bool closed);

/* Remove the first 'nparts' files of an object; trouble is a WARNING. */
extern void ckpx_object_remove_quietly(const CkpxEntry *entry, uint32 nparts);

#endif							/* CKPX_OBJECT_OUTPUT_H */
