/*-------------------------------------------------------------------------
 *
 * summary_file.h
 *		Writes a map as a WAL summary file.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_DUMP_SUMMARY_FILE_H
#define CKPX_DUMP_SUMMARY_FILE_H

#include "core/map/dirty_tree.h"

/*
 * Write the file 'path', or one with the name of the range if 'path' is a
 * directory.  It must not exist.  Synced when this returns; ends the program
 * on trouble, and leaves no file then.
 */
extern void summary_file_write(const char *path, TimeLineID timeline,
							   XLogRecPtr start_lsn, XLogRecPtr end_lsn,
							   CkpxRelation **relations, uint32 nrelations);

#endif							/* CKPX_DUMP_SUMMARY_FILE_H */
