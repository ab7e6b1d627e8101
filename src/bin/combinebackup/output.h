/*-------------------------------------------------------------------------
 *
 * output.h
 *		The directory that is being made.
 *
 * From its first moment to its last but one it has a backup_label that every
 * server refuses, and no pg_control: whatever ends the program in between, no
 * server starts on half a copy.  When all else is there and synced, pg_control
 * comes, then the real label, each synced.
 *
 * The directory and the tablespaces' are new or empty.  None lies inside a
 * data directory or a backup.
 *
 * Problems as in workers.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BIN_OUTPUT_H
#define CKPX_BIN_OUTPUT_H

#include "postgres_fe.h"

#include "bin/combinebackup/spaces.h"
#include "bin/common/manifest.h"

typedef struct Output
{
	Tree		tree;
	bool		sync;
} Output;

/*
 * Where the tablespaces of 'source' are to go.  Nothing is made yet; what is
 * in the way is a problem.
 */
extern char *output_plan(Output *output, const char *path,
						 const Tree *source, Mapping *mappings);

/*
 * Make the directories and the label that a server refuses.  From here on,
 * what was made is removed when the program ends without output_publish().
 */
extern char *output_create(Output *output);

/*
 * Bytes that are needed against those that are free: in the output itself,
 * then in each of its tree's spaces; the array is changed.
 */
extern char *output_check_space(const Output *output, uint64 *needed);

/* Write a file of these bytes; an older one is replaced at once. */
extern char *output_write(const Output *output, const char *path,
						  const char *bytes, size_t length);

/*
 * Sync everything, then let pg_control and the label in.  'manifest' may be
 * NULL; the output is complete when this returns without a problem.
 */
extern char *output_publish(Output *output, const Manifest *manifest,
							const char *control, const char *label);

#endif							/* CKPX_BIN_OUTPUT_H */
