/*-------------------------------------------------------------------------
 *
 * output.h
 *		Where a backup is written to: plain files, or tar.
 *
 * An Output is the backup as a whole, used by the main thread; a Sink is one
 * thread's way into it.  A file is begun with its size, written from its
 * beginning to its end, and ended; until then it can be given up.  Its
 * checksum is computed on the way.  sink_commit() puts what was ended where
 * it belongs.
 *
 * Tar: threads do not wait for one another.  Each makes members and compresses
 * them by itself, into memory, and into a file without a name once there is
 * much; sink_commit() appends all of it to the archive.  So members are
 * complete and contiguous, and the archive has only one writer at a time.
 *
 * Everything that fails has called run_fail() with the path.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BASEBACKUP_OUTPUT_H
#define CKPX_BASEBACKUP_OUTPUT_H

#include "postgres_fe.h"

#include "bin/basebackup/plan.h"
#include "bin/basebackup/roots.h"

typedef struct Sink Sink;

/*
 * Make directories, links and archives of a plan.  'dir' is the open
 * DIRECTORY.partial.  NULL after run_fail().
 */
extern Output *output_create(const Options *options, int dir,
							 const char *partial, mode_t dir_mode,
							 bool incremental, const Plan *plan);

/* Make a plan's directories in a plain output, unless they are there. */
extern bool output_directories(Output *output, const Plan *plan);

/* After the last commit: the ends of archives; sync, unless it is off. */
extern bool output_finish(Output *output);

extern Sink *sink_create(Output *output);
extern bool sink_begin(Sink *sink, const char *path, uint64 size,
					   int64 modified);
extern bool sink_write(Sink *sink, const char *bytes, size_t length);

/* Write zeros up to 'end' of the file. */
extern bool sink_fill(Sink *sink, uint64 end);

/*
 * What the file did not get is zeros.  The checksum is in 'checksum' of
 * PG_CHECKSUM_MAX_LENGTH, *length of it.
 */
extern bool sink_end(Sink *sink, uint8 *checksum, int *length);

/* Give up the file that was begun, as if it had not been. */
extern bool sink_abort(Sink *sink);
extern bool sink_commit(Sink *sink);
extern void sink_free(Sink *sink);

/* A whole small file at once; 'file' (may be NULL) gets size and checksum. */
extern bool sink_put(Sink *sink, const char *path, const char *bytes,
					 size_t length, int64 modified, PlanFile *file);

#endif							/* CKPX_BASEBACKUP_OUTPUT_H */
