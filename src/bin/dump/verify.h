/*-------------------------------------------------------------------------
 *
 * verify.h
 *		The command "verify": reads everything and says what is damaged.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_DUMP_VERIFY_H
#define CKPX_DUMP_VERIFY_H

#include "bin/dump/options.h"

/* Returns the exit code. */
extern int	verify_run(const Options *options, char **paths, int npaths);

#endif							/* CKPX_DUMP_VERIFY_H */
