/*-------------------------------------------------------------------------
 *
 * page_check.h
 *		Check the pages in a file of a backup.
 *
 * Problems as in workers.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BIN_PAGE_CHECK_H
#define CKPX_BIN_PAGE_CHECK_H

#include "postgres_fe.h"

#include "bin/combinebackup/stream.h"
#include "bin/common/backup.h"

/*
 * Read a file to its end: of an increment the header is checked, of a
 * relation the pages that did not change since the backup's start, if the
 * cluster has checksums.
 */
extern char *page_check(const Backup *backup, Stream *stream);

#endif							/* CKPX_BIN_PAGE_CHECK_H */
