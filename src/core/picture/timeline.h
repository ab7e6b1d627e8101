/*-------------------------------------------------------------------------
 *
 * timeline.h
 *		What a picture of the history shows, whatever it is drawn with.
 *
 * The idea: epochs may overlap in LSNs where WAL was rolled back, so each of
 * the newest has a lane of its own, newest first, and all older ones share the
 * last lane.  A lane is painted in columns: of all that falls into a column
 * the worst wins, so that a hole is seen however narrow it is, and objects
 * are counted.  When the newest part, with what holds WAL, would be pressed
 * into a few columns, it is drawn once more in a picture of its own.
 *
 * Use: fill a CkpxTimelineInput, ckpx_timeline_prepare(), give the lanes the
 * layers of their newest globals where these are known, then draw with text.h
 * or svg.h.  The same input gives the same picture.  The input is borrowed
 * until then.  Memory comes from the current context (frontend: malloc).
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_TIMELINE_H
#define CKPX_TIMELINE_H

#include "core/history/gc_plan.h"
#include "core/map/layers.h"
#include "core/picture/axis.h"
#include "lib/stringinfo.h"

/* What is looked at in an entry; segments are left out. */
typedef struct CkpxTimelineEntry
{
	CkpxEntrySpan span;			/* with the entry's state in 'finished' */
	bool		running;
	int64		cut_at;			/* TimestampTz; 0: not known */
	uint64		size_bytes;
} CkpxTimelineEntry;

/* Checkpoints of PostgreSQL. */
typedef enum CkpxPointKind
{
	CKPX_POINT_ONLINE = 0,
	CKPX_POINT_SHUTDOWN,
	CKPX_POINT_END_OF_RECOVERY,
	CKPX_POINT_RESTARTPOINT
} CkpxPointKind;

typedef struct CkpxTimelinePoint
{
	XLogRecPtr	lsn;			/* redo point, or the record */
	int64		time;
	CkpxPointKind kind;
} CkpxTimelinePoint;

#define CKPX_TIME_TEXT_MAX	32

typedef struct CkpxTimelineInput
{
	int64		now;
	uint32		epoch;			/* the open one; 0: none yet */
	TimeLineID	timeline;
	XLogRecPtr	epoch_start;
	XLogRecPtr	checkpointed_lsn;	/* these may be Invalid */
	XLogRecPtr	collected_lsn;
	XLogRecPtr	flushed_lsn;
	XLogRecPtr	released_lsn;

	const CkpxTimelineEntry *entries;	/* in the order of the store */
	uint32		nentries;
	const CkpxGap *gaps;
	uint32		ngaps;
	const CkpxPin *pins;
	uint32		npins;
	const CkpxTimelinePoint *points;
	uint32		npoints;

	const char *problem;		/* or "" */
	const char *waiting_for;	/* of the unfinished incremental, or "" */
	int			encoding;		/* a pg_enc: of all texts, which are valid */

	/* writes "2000-01-01 00:00:00", CKPX_TIME_TEXT_MAX bytes at most */
	void		(*format_time) (char *text, int64 time);
} CkpxTimelineInput;

/* One epoch, or all those up to last_epoch. */
typedef struct CkpxLane
{
	uint32		epoch;			/* the newest in it */
	bool		folded;			/* and all older ones */
	XLogRecPtr	start_lsn;		/* Invalid: not known, or folded */
	uint32		begin;			/* of the entries */
	uint32		end;
	uint32		nincrementals;	/* finished; so are all that are counted */
	uint32		nglobals;
	uint32		nbackups;
	uint64		size_bytes;

	int64		newest_global;	/* an index; -1: none, or folded */
	uint32		nlayers;		/* of that one; 0: not known */
	const CkpxLayer *layers;	/* newest first */
} CkpxLane;

#define CKPX_MAX_LANES		6

typedef struct CkpxTimeline
{
	const CkpxTimelineInput *in;
	uint32		nlanes;
	CkpxLane	lanes[CKPX_MAX_LANES];	/* newest first */
	XLogRecPtr	from;			/* all that is shown; empty: nothing is */
	XLogRecPtr	to;
	XLogRecPtr	tail_from;		/* where the newest part begins */
	CkpxInterval *shown;
	uint32		nshown;
} CkpxTimeline;

extern void ckpx_timeline_prepare(CkpxTimeline *timeline,
								  const CkpxTimelineInput *in);

/* The axes of the whole and, if it returns true, of the newest part. */
extern void ckpx_timeline_axis(const CkpxTimeline *timeline, int ncolumns,
							   CkpxAxis *axis);
extern bool ckpx_timeline_tail_axis(const CkpxTimeline *timeline,
									const CkpxAxis *whole, CkpxAxis *axis);

/* What is known of a column; of several the last one of these is shown. */
typedef enum CkpxCell
{
	CKPX_CELL_NONE = 0,
	CKPX_CELL_LEFT,				/* of WAL that was rolled back */
	CKPX_CELL_MEMORY,			/* decoded, in no object yet */
	CKPX_CELL_KNOWN,
	CKPX_CELL_UNTRACKED,		/* before an epoch */
	CKPX_CELL_LOST,				/* damaged objects */
	CKPX_NCELLS
} CkpxCell;

extern void ckpx_timeline_paint_map(const CkpxTimeline *timeline,
									const CkpxLane *lane,
									const CkpxAxis *axis, uint8 *cells);

/* What holds WAL. */
typedef enum CkpxHold
{
	CKPX_HOLD_NONE = 0,
	CKPX_HOLD_DONE,				/* in objects; two manifests must know them */
	CKPX_HOLD_MEMORY,			/* decoded */
	CKPX_HOLD_PENDING,			/* of the unfinished incremental */
	CKPX_HOLD_UNREAD,			/* not decoded yet */
	CKPX_NHOLDS
} CkpxHold;

extern void ckpx_timeline_paint_wal(const CkpxTimeline *timeline,
									const CkpxAxis *axis, uint8 *cells);

/* The objects of a kind in a column. */
typedef struct CkpxBucket
{
	uint32		count;			/* so many begin here (by_end: end) */
	uint32		first;			/* the first and last of these entries */
	uint32		last;
	bool		inside;			/* one is here, which began before */
	bool		unfinished;		/* the last one */
} CkpxBucket;

/* Unless 'by_end' they are counted where they begin. */
extern void ckpx_timeline_paint_entries(const CkpxTimeline *timeline,
										const CkpxLane *lane,
										const CkpxAxis *axis,
										CkpxEntryKind kind, bool by_end,
										CkpxBucket *buckets);

/* When was this LSN written, at the latest?  0: not known. */
extern int64 ckpx_timeline_time(const CkpxTimeline *timeline, XLogRecPtr lsn);

/*
 * What is to be read before the picture and, the second, after it: the gaps.
 * Lines that end in '\n'.
 */
extern void ckpx_timeline_facts(const CkpxTimeline *timeline, StringInfo out);
extern void ckpx_timeline_gaps(const CkpxTimeline *timeline, StringInfo out);

/* "epoch 2, 10 incrementals, 1 global, 12 MB" */
extern void ckpx_timeline_lane_text(const CkpxTimeline *timeline,
									const CkpxLane *lane, StringInfo out);
extern void ckpx_timeline_bytes(StringInfo out, uint64 bytes);

#endif							/* CKPX_TIMELINE_H */
