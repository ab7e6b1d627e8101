/*-------------------------------------------------------------------------
 *
 * publish.h
 *		The manifest: writing it, and removing what no manifest names.
 *
 * Only the checkpointer calls these; it is the only writer of manifests, so
 * there is one order of them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_PUBLISH_H
#define CKPX_PUBLISH_H

#include "postgres.h"

#include "core/format/manifest.h"

/*
 * Write the next manifest: the finished entries of the store, and 'added'
 * (NULL: none) as if it were finished.  Spilled segments that 'added' covers
 * are left out.  When it returns, the manifest is durable and the shared
 * state knows its sequence and release point; the entry itself is the
 * caller's to finish.
 */
extern void ckpx_publish(const CkpxEntry *added);

/*
 * Write the next manifest without 'removed', which are entries of the store in
 * its order.  They are the caller's to remove.
 */
extern void ckpx_publish_without(const CkpxEntrySpan *removed,
								 uint32 nremoved);

/*
 * Where WAL could be released to if a manifest with these entries were the
 * older one: the start of the last record of its newest range.
 */
extern XLogRecPtr ckpx_release_point(const CkpxManifest *manifest);

/*
 * Remove files of ours that neither kept manifest names, temporary files
 * among them.  Does nothing when either manifest cannot be read, nor while
 * CkpxShared->keep_files is set.  The checkpointer says whether a global is in
 * work, whose files stay.
 */
extern void ckpx_sweep(void);
extern void ckpx_sweep_spare_global(bool in_work);

/*
 * Have the files removed that no manifest names: the checkpointer calls
 * _when_due as soon as its other work is done.
 */
extern void ckpx_sweep_want(void);
extern bool ckpx_sweep_is_due(void);
extern void ckpx_sweep_when_due(void);

/*
 * Remove the object of an entry that neither of the two newest manifests
 * names any more.  Where nothing else may be removed.
 */
extern void ckpx_remove_object(const CkpxEntrySpan *span, uint32 nparts);

#endif							/* CKPX_PUBLISH_H */
