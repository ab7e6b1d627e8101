/*-------------------------------------------------------------------------
 *
 * manifest.h
 *		backup_manifest, versions 1 and 2: read, looked up, written.
 *
 * Version 2, of PostgreSQL 17, adds the system identifier.  A manifest is
 * believed after its own SHA-256 line was right; every name passes
 * path_check() and occurs once; sizes are not negative.
 *
 * A ManifestFile stays where it is until the manifest is freed.  One that a
 * manifest holds has no more of 'checksum' than checksum_length bytes, so it
 * must not be copied by assignment.  Threads may look up and walk at the same
 * time, and nothing else.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BIN_MANIFEST_H
#define CKPX_BIN_MANIFEST_H

#include "postgres_fe.h"

#include "access/xlogdefs.h"
#include "common/checksum_helper.h"

typedef struct ManifestFile
{
	char	   *path;			/* checked */
	uint64		size;
	int64		modified;		/* seconds since 1970 */
	pg_checksum_type checksum_type;
	uint8		checksum_length;
	uint8		checksum[PG_CHECKSUM_MAX_LENGTH];
} ManifestFile;

typedef struct ManifestWalRange
{
	TimeLineID	timeline;
	XLogRecPtr	start_lsn;
	XLogRecPtr	end_lsn;
} ManifestWalRange;

typedef struct Manifest
{
	int			version;		/* 1 or 2 */
	uint64		system_identifier;	/* 0 in version 1 */
	uint32		nfiles;
	uint32		nranges;
	ManifestWalRange *ranges;
	struct manifest_files_hash *files;	/* see manifest_find, _sorted */
	struct manifest_chunk *chunks;	/* their memory */
} Manifest;

typedef struct ManifestOutput ManifestOutput;

/*
 * Read a whole file's text, in memory that is bounded by its length; NULL with
 * *problem in new memory.
 */
extern Manifest *manifest_parse(const char *text, size_t length,
								char **problem);
extern void manifest_free(Manifest *manifest);

extern Manifest *manifest_create(int version, uint64 system_identifier);

/* Bytes of a checksum of this type. */
extern int	manifest_checksum_length(pg_checksum_type type);

/*
 * Add a file; false if it is there already.  It is copied with its path.  The
 * memory of one that is removed is freed with the manifest.
 */
extern bool manifest_add(Manifest *manifest, const ManifestFile *file);
extern void manifest_remove(Manifest *manifest, const char *path);
extern void manifest_add_range(Manifest *manifest, TimeLineID timeline,
							   XLogRecPtr start_lsn, XLogRecPtr end_lsn);

/* NULL if the file is not there. */
extern ManifestFile *manifest_find(const Manifest *manifest,
								   const char *path);

/* The files sorted by path; an array of nfiles pointers in new memory. */
extern ManifestFile **manifest_sorted(const Manifest *manifest);

/*
 * Write the text, with its checksum line, to the file that 'fd' has open:
 * files sorted by path, in bounded memory.  Returns false with errno set.
 */
extern bool manifest_write(const Manifest *manifest, int fd);

/*
 * The same text without a Manifest: the files one by one, each once, then the
 * WAL ranges and the checksum line.  The last call frees, and tells whether
 * all was written; if not, errno is of what failed first.
 */
extern ManifestOutput *manifest_output_begin(int fd, int version,
											 uint64 system_identifier);
extern void manifest_output_file(ManifestOutput *output,
								 const ManifestFile *file);
extern bool manifest_output_end(ManifestOutput *output,
								const ManifestWalRange *ranges,
								uint32 nranges);

#endif							/* CKPX_BIN_MANIFEST_H */
