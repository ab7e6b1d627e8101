/*-------------------------------------------------------------------------
 *
 * show.h
 *		The command "show": what is in one object or manifest.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_DUMP_SHOW_H
#define CKPX_DUMP_SHOW_H

#include "bin/dump/options.h"

/* Returns the exit code. */
extern int	show_run(const Options *options, const char *path);

#endif							/* CKPX_DUMP_SHOW_H */
