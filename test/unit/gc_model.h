/*-------------------------------------------------------------------------
 *
 * gc_model.h
 *		The rules of garbage collection, written down as plainly as possible:
 *		each entry is compared with every other.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GC_MODEL_H
#define GC_MODEL_H

#include "core/history/gc_plan.h"

/* Does a finished global of its epoch make a finished entry superfluous? */
extern bool gc_model_is_covered(const CkpxEntryStore *store,
								const CkpxEntry *entry);

/* Say of each entry of the store whether it goes, and whether that is a loss. */
extern void gc_model_plan(const CkpxEntryStore *store,
						  const CkpxGcHistory *history,
						  const CkpxGcRules *rules, bool *goes, bool *lost);

#endif							/* GC_MODEL_H */
