/*-------------------------------------------------------------------------
 *
 * diff.h
 *		The command "diff": what one names and the other does not.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_DUMP_DIFF_H
#define CKPX_DUMP_DIFF_H

#include "bin/dump/options.h"

/* Two objects, or two manifests or directories; returns the exit code. */
extern int	diff_run(const Options *options, const char *a, const char *b);

#endif							/* CKPX_DUMP_DIFF_H */
