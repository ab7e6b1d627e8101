/*-------------------------------------------------------------------------
 *
 * manifest_internal.h
 *		What the writer and the reader of manifests share: the tables that
 *		describe the file.
 *
 * The idea: every JSON object of the file is described by one table of
 * fields: name, type and place in the struct.  The writer walks the table,
 * the reader looks names up in it, so both cannot disagree, and "every field
 * exactly once" is a bit mask.
 *
 *	manifest.c			the tables and the writer
 *	manifest_decode.c	the reader
 *
 * Only these two include this header.  The tables are constants.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_MANIFEST_INTERNAL_H
#define CKPX_MANIFEST_INTERNAL_H

#include "core/bytes.h"
#include "core/format/manifest.h"

#define FIRST_LINE			"{ \"ckpx_manifest_version\": "
#define CHECKSUM_FIELD		"Manifest-Checksum"
#define CHECKSUM_BEFORE		"\"" CHECKSUM_FIELD "\": \""
#define CHECKSUM_AFTER		"\"}\n"
#define CHECKSUM_DIGITS		8
#define CHECKSUM_LINE_LENGTH \
	(sizeof(CHECKSUM_BEFORE) - 1 + CHECKSUM_DIGITS + \
	 sizeof(CHECKSUM_AFTER) - 1)

typedef enum FieldType
{
	FIELD_U32,					/* number */
	FIELD_U64,					/* number */
	FIELD_TIME,					/* number, may be negative */
	FIELD_BOOL,					/* true or false */
	FIELD_LSN,					/* "X/X" */
	FIELD_HEX,					/* uint64 as 16 upper-case hex digits */
	FIELD_DECIMAL,				/* uint64 as a string of decimal digits */
	FIELD_KIND,					/* word for a CkpxEntryKind */
	FIELD_RMGRS,				/* 64 upper-case hex digits */
	FIELD_TRUNCATE,				/* "X/X", which follows from the entry */
	FIELD_TEXT,					/* string of less than 'room' bytes */
	FIELD_IGNORED				/* string that was looked at before */
} FieldType;

typedef struct Field
{
	const char *name;
	FieldType	type;
	Size		offset;			/* in the struct */
	Size		room;			/* FIELD_TEXT */
} Field;

/* The lists of the file, in its order. */
typedef struct List
{
	const char *name;
	const Field *fields;
	int			nfields;
	Size		item_size;
	uint32		max_items;
	Size		items_offset;	/* of the array's pointer in CkpxManifest */
	Size		count_offset;
} List;

#define NLISTS				4
#define NLISTS_1			3	/* of them in version 1 */

/* The fields in front of the lists; the first is on the file's first line. */
#define NTOP_FIELDS			16

extern const Field ckpx_manifest_top[NTOP_FIELDS];

extern const List ckpx_manifest_lists[NLISTS];

/* The words of the file; the names shown to people are elsewhere. */
extern const char *const ckpx_manifest_kinds[CKPX_KIND_SEGMENT + 1];

extern const char ckpx_manifest_hex[];

/* Where a manifest keeps the array of a list, and its length. */
extern char **ckpx_manifest_items(const List *list, CkpxManifest *manifest);
extern uint32 *ckpx_manifest_count(const List *list, CkpxManifest *manifest);

#endif							/* CKPX_MANIFEST_INTERNAL_H */
