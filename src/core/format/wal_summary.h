/*-------------------------------------------------------------------------
 *
 * wal_summary.h
 *		Writes a map in the form of the WAL summary files that PostgreSQL 17
 *		and later keep in pg_wal/summaries.
 *
 * Such a file says the same as a map does: per relation fork a limit block and
 * listed blocks.  So what reads summaries reads a map that was written as one:
 * pg_walsummary, and the incremental backups of a server whose own summaries
 * lack a range.  Flags and counters have no place in it.
 *
 * The form, with all numbers in the byte order of the machine:
 *
 *		magic, u32
 *		for each fork, in the order of the keys:
 *			tablespace, database, relation, fork, limit block, number of
 *			chunks: u32 each
 *			for each chunk of 65536 blocks, up to the last that is in use, u16:
 *			how many of the fields that follow it has
 *			for each chunk in use: below 4096 fields an array of ascending
 *			offsets, u16 each; with 4096 a bitmap, lowest bit first
 *		24 bytes of 0
 *		CRC-32C of all bytes before, u32
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_WAL_SUMMARY_H
#define CKPX_WAL_SUMMARY_H

#include "core/map/dirty_tree.h"
#include "port/pg_crc32c.h"

typedef void (*CkpxSummaryWrite) (void *arg, const char *bytes, Size length);

typedef struct CkpxWalSummary
{
	CkpxSummaryWrite write;
	void	   *arg;
	pg_crc32c	crc;
} CkpxWalSummary;

/*
 * Begin, add relations in the order of their keys, end.  A relation of which
 * no block is changed is left out.
 */
extern void ckpx_wal_summary_begin(CkpxWalSummary *summary,
								   CkpxSummaryWrite write, void *arg);
extern void ckpx_wal_summary_add(CkpxWalSummary *summary,
								 const CkpxRelation *relation);
extern void ckpx_wal_summary_end(CkpxWalSummary *summary);

/* Build the name of the file of a range; 'name' has CKPX_WAL_SUMMARY_NAME. */
#define CKPX_WAL_SUMMARY_NAME	64
extern void ckpx_wal_summary_name(char *name, TimeLineID timeline,
								  XLogRecPtr start_lsn, XLogRecPtr end_lsn);

#endif							/* CKPX_WAL_SUMMARY_H */
