/*-------------------------------------------------------------------------
 *
 * list.h
 *		The command "list": what a store holds.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_DUMP_LIST_H
#define CKPX_DUMP_LIST_H

#include "bin/dump/options.h"

/* Returns the exit code. */
extern int	list_run(const Options *options, const char *directory);

#endif							/* CKPX_DUMP_LIST_H */
