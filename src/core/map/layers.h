/*-------------------------------------------------------------------------
 *
 * layers.h
 *		The layers of a global: one map for each stretch of time in which its
 *		blocks changed last.
 *
 * The idea: a global replaces many incrementals, and must still tell what
 * changed since any LSN within it, not only since its start.  So it is a row
 * of maps, its layers, which adjoin as the incrementals did, and each block is
 * listed only in the layer of its last change.  Every layer keeps its own
 * limit block.  What changed since X is the union of *all* layers that end
 * after X, whatever the end of the question is: for a block that changed
 * before that end and again after it is listed in the later layer only.
 *
 * At a boundary between two layers that is exactly what the incrementals
 * would have said, within a layer it is more.  Layers are as fine as the
 * incrementals for some time before the global's end, and the older the
 * coarser before that, so their number is bounded.
 *
 * Layers are numbered from the newest, 0, to the oldest, and everything goes
 * through here newest first: then a block is known to be listed already when
 * an older layer names it, and one layer of one relation is all that must be
 * in memory at a time, beside the set of the blocks listed so far.  For the
 * same reason an answer is built by putting each layer before those that are
 * newer, see ckpx_relation_prepend_view().
 *
 * The tombstone of a dropped relation is kept in its layer until that is
 * older than the interval.  Then the relation leaves the global with all that
 * older layers say about it, unless a newer layer has something to say about
 * it too.  From then on nothing can be answered that ends before the drop,
 * because the relation was still there: tombstones_from.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_LAYERS_H
#define CKPX_LAYERS_H

#include "core/map/dirty_tree.h"

#define CKPX_MAX_LAYERS		64

/*
 * A layer begins where the next older one ends, the oldest at the global's
 * start.
 */
typedef struct CkpxLayer
{
	XLogRecPtr	end_lsn;
	int64		end_time;		/* TimestampTz of the cut at its end */
} CkpxLayer;

typedef struct CkpxLayerPlan
{
	uint32		nlayers;
	uint32		nrecent;		/* the first so many end within the interval */
	CkpxLayer	layers[CKPX_MAX_LAYERS];
} CkpxLayerPlan;

/*
 * Plan the layers of a global that is made of 'sources': the incrementals and
 * the layers of the global before them, newest first and adjoining, at least
 * one; the oldest begins at 'start_time'.  Source i goes to layer target[i].
 * Boundaries within 'interval' microseconds before the newest end are kept,
 * but no more than CKPX_MAX_RECENT_LAYERS of them; the others are thinned out
 * so that a layer is at most about as long as it is old.
 */
#define CKPX_MAX_RECENT_LAYERS	(CKPX_MAX_LAYERS - 4)

extern void ckpx_layers_plan(CkpxLayerPlan *plan, const CkpxLayer *sources,
							 uint32 nsources, int64 start_time,
							 int64 interval, uint32 *target);

/*
 * How many layers tell what changed since 'lsn': those numbered less.  All of
 * them for InvalidXLogRecPtr.
 */
extern uint32 ckpx_layers_since(const CkpxLayer *layers, uint32 nlayers,
								XLogRecPtr lsn);

/*
 * To be called for an answer that begins before tombstones_from, when all of
 * it is merged into 'tree': a visibility map may come to life without a record
 * about it, so where the relation was created in the range, and a tombstone
 * of its map may have been removed, all of the map counts as changed.
 */
extern void ckpx_layers_complete(CkpxDirtyTree *tree);

/*
 * Merging, with what _plan made.  Records are added in the order of their
 * keys, those of one key newest first, with the source that they come from;
 * 'emit' gets what each layer is to hold, in the same order.  After _finish,
 * tombstones_from tells up to where tombstones were removed; the value before
 * is the previous global's.
 *
 * _add returns false with *problem set where a record is damaged; the merge
 * cannot go on then.  'emit' may raise the server's error; all memory comes
 * from 'mem'.
 */
typedef void (*CkpxLayerEmit) (void *arg, const CkpxRelation *relation,
							   uint32 layer);

typedef struct CkpxLayerMerge
{
	CkpxMemory	mem;
	const CkpxLayerPlan *plan;
	const uint32 *target;
	CkpxLayerEmit emit;
	void	   *arg;
	XLogRecPtr	tombstones_from;
	uint32		nrelations;		/* keys that were emitted */

	bool		active;			/* a relation is being merged */
	bool		emitted;		/* one of its layers was */
	bool		removed;		/* it is left out */
	uint32		newest;			/* source of its newest record */
	uint32		layer;			/* of 'relation' */
	CkpxRelation relation;		/* what the layer has so far */
	CkpxBlockSet listed;		/* in newer layers; limit: their lowest */

	bool		kept_any;		/* the last key that was kept */
	CkpxRelKey	kept;
	bool		gone_any;		/* the last database that was left out */
	CkpxRelKey	gone;
	uint32		gone_source;
} CkpxLayerMerge;

extern void ckpx_layer_merge_begin(CkpxLayerMerge *merge, CkpxMemory mem,
								   const CkpxLayerPlan *plan,
								   const uint32 *target,
								   XLogRecPtr tombstones_from,
								   CkpxLayerEmit emit, void *arg);
extern bool ckpx_layer_merge_add(CkpxLayerMerge *merge,
								 const CkpxRelationView *view, uint32 source,
								 const char **problem);
extern void ckpx_layer_merge_finish(CkpxLayerMerge *merge);

#endif							/* CKPX_LAYERS_H */
