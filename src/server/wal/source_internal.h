/*-------------------------------------------------------------------------
 *
 * source_internal.h
 *		What the parts of the WAL source share: the source itself.
 *
 *	wal/source.c	records: from a position to whole records, and the chain
 *	wal/walk.c		most records, without PostgreSQL's reader
 *	wal/pages.c		pages: the limit, timelines, segment files
 *
 * The upper part asks for records and learns from 'status' why it got none;
 * the lower one is called back by PostgreSQL's reader for each page.  Only
 * these three include this header.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_WAL_SOURCE_INTERNAL_H
#define CKPX_WAL_SOURCE_INTERNAL_H

#include "access/xlog_internal.h"
#include "access/xlogreader.h"
#include "nodes/pg_list.h"
#include "server/wal/decode.h"
#include "server/wal/record.h"
#include "server/wal/source.h"

/* Divides every WAL segment size, so that a chunk never spans two segments. */
#define CHUNK_BYTES		(256 * 1024)

/* More than the headers of any record, and most records' main data. */
#define CKPX_WALK_BYTES	4096

/* More than the header of any one part of a record. */
#define CKPX_WALK_SLACK	32

/* Why page_read returned without a page. */
typedef enum ReadStatus
{
	READ_OK = 0,
	READ_AT_LIMIT,				/* the record does not end below the limit */
	READ_LATER,					/* not there yet for another reason */
	READ_GONE,					/* the segment is missing */
	READ_SHORT,					/* the segment is too short */
	READ_BROKEN					/* 'problem' is set */
} ReadStatus;

struct CkpxWalSource
{
	MemoryContext parent;
	MemoryContext context;
	MemoryContextCallback on_reset; /* closes the file */
	XLogReaderState *reader;
	CkpxWalRecord record;		/* the present one */
	CkpxWalChanges *changes;

	/* Where we are. */
	XLogRecPtr	position;		/* end of the last decoded record */
	TimeLineID	timeline;		/* that 'position' is on */
	CkpxRecordMark last_record;
	XLogRecPtr	cut_start;		/* end of the last cut */
	bool		switch_reported;	/* go on with 'next_timeline' */
	bool		at_beginning;	/* nothing read since _begin() */
	bool		redo_reported;	/* 'record' is the one that is next */
	CkpxWalProblem problem;

	/* How far we may read. */
	XLogRecPtr	limit;
	XLogRecPtr	switch_point;	/* where 'timeline' ends; Invalid: nowhere */
	TimeLineID	next_timeline;
	TimeLineID	history_timeline;	/* at the limit; 0: none */
	List	   *history;		/* its TimeLineHistoryEntry's, newest first */

	/* The open file, and the chunk read from it. */
	int			file;			/* or -1 */
	XLogSegNo	segment;
	TimeLineID	file_timeline;
	char		path[MAXPGPATH];	/* of the file, or of the missing one */
	ReadStatus	status;			/* of the last page_read */
	char	   *chunk;
	bool		padded;			/* the reader's page ends with zeros */
	XLogRecPtr	chunk_base;		/* LSN of chunk[0], a multiple of its size */
	XLogRecPtr	chunk_from;		/* the bytes of [from, upto) are good; a
								 * page's start */
	XLogRecPtr	chunk_upto;

	/* The walk; see wal/walk.c. */
	XLogRecPtr	walked_page;	/* its header was checked, in this chunk */
	char	   *walk_buffer;
};

/* Say why reading broke off, for ckpx_wal_source_problem(). */
extern void ckpx_wal_broke(CkpxWalSource *source, CkpxWalBreak kind,
						   XLogRecPtr lsn,
						   const char *format,...) pg_attribute_printf(4, 5);

/* Forget the file and every byte that came from it. */
extern void ckpx_wal_start_over(CkpxWalSource *source);

/* MemoryContextCallback: close the file of the source 'arg'. */
extern void ckpx_wal_close_on_reset(void *arg);

/*
 * Look how far WAL may be read now.  False: the position is not in the
 * present history, and the problem is set.
 */
extern bool ckpx_wal_update_limit(CkpxWalSource *source);

/*
 * Read the next record without PostgreSQL's reader, whose position moves as if
 * it had read it.  False: nothing has happened, let the reader read it.
 */
extern bool ckpx_wal_walk(CkpxWalSource *source);

/* XLogReader's callback: at least 'length' bytes of the page at 'page'. */
extern int	ckpx_wal_read_page(XLogReaderState *reader, XLogRecPtr page,
							   int length, XLogRecPtr record_lsn,
							   char *buffer);

#endif							/* CKPX_WAL_SOURCE_INTERNAL_H */
