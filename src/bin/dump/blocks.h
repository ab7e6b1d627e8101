/*-------------------------------------------------------------------------
 *
 * blocks.h
 *		The command "blocks": which blocks changed in a range.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_DUMP_BLOCKS_H
#define CKPX_DUMP_BLOCKS_H

#include "bin/dump/options.h"

/* 'paths' are one directory or objects; returns the exit code. */
extern int	blocks_run(const Options *options, char **paths, int npaths);

#endif							/* CKPX_DUMP_BLOCKS_H */
