/*-------------------------------------------------------------------------
 *
 * stream.h
 *		One file of a backup, read once from its beginning to its end.
 *
 * Its length and its checksum are those in the manifest, or it is a problem.
 * The length is compared before anything is read or allocated.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BIN_STREAM_H
#define CKPX_BIN_STREAM_H

#include "postgres_fe.h"

#include "bin/combinebackup/archive.h"
#include "bin/combinebackup/tree.h"
#include "bin/common/increment.h"
#include "bin/common/manifest.h"

#define STREAM_BUFFER	(1024 * 1024)

typedef struct Stream
{
	const char *place;			/* the backup or the tar */
	const char *path;			/* of the file in it */
	const ManifestFile *entry;	/* NULL: not in the manifest, as WAL */
	const Tree *tree;
	int			fd;				/* -1: a member of 'archive' */
	Archive    *archive;
	uint64		size;
	uint64		left;			/* not read yet */
	pg_checksum_context checksum;
} Stream;

/* Begin to read; after a problem there is nothing to close. */
extern char *stream_open_file(Stream *stream, const Tree *tree,
							  const char *path, const ManifestFile *entry);
extern char *stream_open_member(Stream *stream, Archive *archive,
								const TarMember *member,
								const ManifestFile *entry);

/* Read exactly 'length' bytes, which must be left. */
extern char *stream_read(Stream *stream, char *buffer, size_t length);

/* Read the header of an INCREMENTAL file, up to its first block. */
extern char *stream_read_increment(Stream *stream, Increment *increment);

/* Read what is left and compare the checksum. */
extern char *stream_finish(Stream *stream);

/* Close it, finished or not. */
extern void stream_close(Stream *stream);

#endif							/* CKPX_BIN_STREAM_H */
