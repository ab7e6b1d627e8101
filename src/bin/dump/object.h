/*-------------------------------------------------------------------------
 *
 * object.h
 *		Files of a store, opened and read; an object through all its parts.
 *
 * The decoders are core's, so a file is judged here as the server judges it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_DUMP_OBJECT_H
#define CKPX_DUMP_OBJECT_H

#include "core/format/manifest.h"
#include "core/format/names.h"
#include "core/format/object_parts.h"

/* Why a file cannot be used. */
typedef struct Problem
{
	char	   *path;
	char	   *text;
	bool		missing;		/* it is not there */
} Problem;

/* Print it as an error, or as a warning. */
extern void problem_report(const Problem *problem);
extern void problem_warn(const Problem *problem);

typedef struct ObjectPart
{
	struct Object *object;
	char	   *path;
} ObjectPart;

typedef struct Object
{
	CkpxObjectParts parts;
	uint32		nfiles;
	ObjectPart **files;
	ObjectPart *reached;		/* the file that is open, or NULL */
	int			fd;
} Object;

/*
 * Open the object whose first part is at 'path', and verify headers, footers
 * and tables of contents of all its parts.  It must be what 'expected' means
 * (NULL: what its own header says) and of the cluster 'own' (NULL: any).
 * NULL with *problem set where it is not.
 */
extern Object *object_open(const char *path, const CkpxEntry *expected,
						   const CkpxIdentity *own, Problem *problem);
extern void object_close(Object *object);

/* A sentence about the part that was read last. */
extern void object_problem(const Object *object, const char *text,
						   Problem *problem);

/* Read and decode a manifest; false with *problem. */
extern bool manifest_read(const char *path, CkpxManifest *manifest,
						  Problem *problem);

typedef enum FileKind
{
	FILE_NONE = 0,
	FILE_OBJECT,
	FILE_MANIFEST,
	FILE_DIRECTORY
} FileKind;

/*
 * What a path is, by the name of a file or its first bytes.  Ends the program
 * where it cannot be read, or is none of these.
 */
extern FileKind file_kind(const char *path);

#endif							/* CKPX_DUMP_OBJECT_H */
