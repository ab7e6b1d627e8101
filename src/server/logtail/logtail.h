/*-------------------------------------------------------------------------
 *
 * logtail.h
 *		What has been decoded and is not yet in a finished incremental: a list
 *		of segments in shared memory, one per cut, adjoining.
 *
 * A segment's map is one allocation in a DSA area of fixed size, in the byte
 * form of dirty_tree.h, so any backend reads it in place.  Behind it, in the
 * same form, is what only the flusher asks for, with ckpx.flush on: the blocks
 * of heaps that were thinned, that is, changed without getting a row.  Readers
 * pin a segment; a pinned segment that is trimmed or merged away lives on
 * until it is unpinned, which also happens at the end of the process.
 *
 * When half of the memory is taken, or the list is full, adjoining segments
 * are merged, never across 'boundary' (a pending entry's end); when that is
 * not enough the runner has segments spilled to disk: such a segment has no
 * bytes in memory and is read from its object.
 *
 * The marks of all segments lie in one list of fixed size beside them, those
 * of spilled ones too: segments are merged and spilled, a mark stays where it
 * is.
 *
 * Only the runner adds, merges and trims.  Any process may pin, and one that
 * spills may mark: first mark_spilling (merging then leaves the segment
 * alone), then the object, then mark_spilled, or mark_spilling(false) if that
 * failed.  logtail_lock guards the list and is taken here, so the caller must
 * not hold it; the bytes of a pinned segment need no lock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_LOGTAIL_H
#define CKPX_LOGTAIL_H

#include "postgres.h"

#include "core/format/object_format.h"
#include "core/history/entry.h"
#include "core/history/mark.h"
#include "core/map/dirty_tree.h"
#include "utils/dsa.h"

#define CKPX_MAX_SEGMENTS	512

/* Everything about a segment but its bytes. */
typedef struct CkpxSegmentInfo
{
	CkpxRange	range;
	uint32		nrelations;
	uint64		nblocks;
	Size		bytes;			/* length of its byte form */
	Size		thinned_bytes;	/* length of what is behind that */
	uint64		redo_ms;		/* end_lsn is a redo point of PostgreSQL that
								 * is known since then (monotonic); 0: it is
								 * not one */
	bool		spilled;		/* in an object file, not in memory */
	bool		spilling;		/* its object is being written */
	uint32		nparts;			/* spilled: files of its object */
} CkpxSegmentInfo;

typedef struct CkpxLogtail CkpxLogtail;

/*
 * The entry that a spilled segment's object has, but for its version: an older
 * ckpx may have written it.
 */
extern void ckpx_segment_entry(CkpxEntry *entry, const CkpxSegmentInfo *info);

/* A pinned segment. */
typedef struct CkpxSegmentRef
{
	uint32		slot;
	CkpxSegmentInfo info;
	const char *bytes;			/* NULL when spilled, never NULL otherwise */
	const char *thinned;		/* the same */
} CkpxSegmentRef;

extern Size ckpx_logtail_shmem_size(void);
extern void ckpx_logtail_shmem_init(void *place, bool found);

/*
 * Runner: append a cut, taking 'tree' by value; nrelations, nblocks and bytes
 * are taken from it, and whether it is spilled from the function's name.
 * 'appended' has a row for each heap of the tree, with those of its blocks
 * that got rows, or is NULL; where memory is short the segment does without.
 * False when there is no room even after merging on both sides of 'boundary'
 * (InvalidXLogRecPtr: anywhere); the segment was not added then.  The segment
 * must start where the last one ended, in the same epoch, or the list be
 * empty; anything else is an error.
 */
extern bool ckpx_logtail_add(const CkpxSegmentInfo *info,
							 const CkpxDirtyTree *tree,
							 const CkpxDirtyTree *appended,
							 XLogRecPtr boundary);

/* Runner: the end of the last segment, if that is 'lsn', is a redo point. */
extern void ckpx_logtail_mark_redo(XLogRecPtr lsn, uint64 redo_ms);

/* Runner: append a segment whose object is on disk (at boot). */
extern bool ckpx_logtail_add_spilled(const CkpxSegmentInfo *info);

/*
 * Runner: add the marks of the segment that is added next; to say it twice is
 * harmless.
 */
extern void ckpx_logtail_add_marks(const CkpxMark *marks, uint32 count);

/*
 * The marks in [start_lsn, end_lsn), at most 'room' of them; returns how many.
 * Fails never, so 'lock' may be held.
 */
extern uint32 ckpx_logtail_marks(XLogRecPtr start_lsn, XLogRecPtr end_lsn,
								 CkpxMark *marks, uint32 room);

/* Runner: merge what can be merged; true if anything was won. */
extern bool ckpx_logtail_merge(XLogRecPtr boundary);

/* Runner: forget segments that end at or before 'lsn'. */
extern void ckpx_logtail_trim(XLogRecPtr lsn);

/* Runner: forget everything (a new epoch). */
extern void ckpx_logtail_clear(void);

/*
 * The object of the segment with exactly this range is being written, or is
 * not any more; false where there is no such segment in memory, so that its
 * object would be of no use.
 */
extern bool ckpx_logtail_mark_spilling(const CkpxRange *range, bool spilling);

/*
 * The segment with exactly this range is in an object now; its bytes are freed
 * once nobody has them pinned.  False where it has left the list meanwhile.
 */
extern bool ckpx_logtail_mark_spilled(const CkpxRange *range, uint32 nparts);

/*
 * Pin every segment that overlaps [start_lsn, end_lsn), in order; an array
 * from the current memory context, which _unpin does not free.  The caller
 * unpins in PG_FINALLY; _unpin_all gives back every pin of this process, for
 * the error block of a worker.  _copy gives infos only, pinning nothing.
 */
extern CkpxSegmentRef *ckpx_logtail_pin(XLogRecPtr start_lsn,
										XLogRecPtr end_lsn, uint32 *count);

/*
 * The same in two steps, for a caller that holds 'lock': the first one, which
 * may fail, gives the array, the second one fills it and returns how many.
 */
extern CkpxSegmentRef *ckpx_logtail_make_room(void);
extern uint32 ckpx_logtail_pin_into(CkpxSegmentRef *refs,
									XLogRecPtr start_lsn, XLogRecPtr end_lsn);
extern void ckpx_logtail_unpin(CkpxSegmentRef *refs, uint32 count);
extern void ckpx_logtail_unpin_all(void);
extern CkpxSegmentInfo *ckpx_logtail_copy(uint32 *count);

/* From which LSN on are the changes of a relation of interest? */
typedef XLogRecPtr (*CkpxSinceCallback) (void *arg, const CkpxRelKey *key);

/*
 * The blocks that all these segments together only thinned, in a tree from the
 * current memory context; a relation of which none is left may have an empty
 * row.  Segments that end at or before what 'since' says of a relation do not
 * count for it ('since' NULL: all count), one that it lies in counts as a
 * whole.  All blocks of a segment without thinned ones count as having got
 * rows.  What is spilled is not known and does not count.
 */
extern CkpxDirtyTree *ckpx_segments_thinned(const CkpxSegmentRef *refs,
											uint32 count,
											CkpxSinceCallback since,
											void *arg);

/* Bytes in use, bytes there are, segments in the list; any may be NULL. */
extern void ckpx_logtail_usage(Size *used, Size *total, uint32 *nsegments);

#endif							/* CKPX_LOGTAIL_H */
