/*-------------------------------------------------------------------------
 *
 * tar_fetch.h
 *		A few small files out of a tar in a directory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BIN_TAR_FETCH_H
#define CKPX_BIN_TAR_FETCH_H

#include "postgres_fe.h"

typedef struct TarWanted
{
	const char *name;
	size_t		max;			/* bytes that it may have */
	char	   *bytes;			/* in new memory, with a zero byte behind
								 * them; NULL: not found */
	size_t		length;
} TarWanted;

/*
 * Fill 'wanted' from an archive (".tar" or ".tar.zst") in the directory
 * 'dir', which is read until all are found.  False with *problem in new
 * memory, which names the archive; what is not found is no problem.
 */
extern bool tar_fetch(int dir, const char *archive, TarWanted *wanted,
					  int nwanted, char **problem);

#endif							/* CKPX_BIN_TAR_FETCH_H */
