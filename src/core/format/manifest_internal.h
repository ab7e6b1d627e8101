/*-------------------------------------------------------------------------
 *
 * manifest_internal.h
 *		What the writer and the readers of manifests share: the tables that
 *		describe the file.
 *
 * The idea: the file itself and each of its lists are described by a table of
 * fields: name, type and place in the struct.  The writer walks the table and
 * so do the readers, so they cannot disagree.
 *
 *	manifest.c			the tables and the writer
 *	manifest_decode.c	the reader, and what holds for every version
 *	manifest_json.c		the reader of versions 1 and 2
 *	manifest_values.c	what both readers do with a value
 *
 * Only these include this header, and test/fuzz.  The tables are constants.
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
	FIELD_RMGRS,				/* bytes in upper-case hex digits, without the
								 * zero bytes at the end */
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

/*
 * The lists of the file, in its order.  Versions 1 and 2 have 'nold' fields
 * more, which stand behind the others in the table.
 */
typedef struct List
{
	const char *name;
	const Field *fields;
	int			nfields;
	int			nold;
	Size		item_size;
	uint32		max_items;
	Size		items_offset;	/* of the array's pointer in CkpxManifest */
	Size		count_offset;
} List;

#define NLISTS				4

/* The fields in front of the lists; the first is on the file's first line. */
#define NTOP_FIELDS			16

extern const Field ckpx_manifest_top[NTOP_FIELDS];

extern const List ckpx_manifest_lists[NLISTS];

/* The words of the file; the names shown to people are elsewhere. */
extern const char *const ckpx_manifest_kinds[CKPX_KIND_SEGMENT + 1];

extern const char ckpx_manifest_hex[];

/* Problems that both readers find. */
#define PROBLEM_VALUE		"manifest has a value that its field does not allow"
#define PROBLEM_LONG_LIST	"manifest has a list that is too long"

/* Where a manifest keeps the array of a list, and its length. */
extern char **ckpx_manifest_items(const List *list, CkpxManifest *manifest);
extern uint32 *ckpx_manifest_count(const List *list, CkpxManifest *manifest);

/*
 * Append an item of zeros to a list, which has room for *room; NULL where the
 * list may have no more.
 */
extern char *ckpx_manifest_append(const List *list, CkpxManifest *manifest,
								  uint32 *room);

/*
 * Read upper-case hex digits, which must be all of 'text', into at most
 * 'nbytes' bytes; returns how many, -1 where it is something else.
 */
extern int	ckpx_manifest_parse_hex(const char *text, uint8 *bytes,
									int nbytes);

/*
 * Read a value into its place below 'base'; false if it is not of the field's
 * type.  'quoted': it was a string, and is that without its quotation marks
 * and escapes.
 */
extern bool ckpx_manifest_parse_value(const Field *field, char *base,
									  const char *token, bool quoted);

#define LAST_JSON_VERSION	2

/*
 * Read the text of version 1 or 2, whose frame is verified; what it says is
 * not checked.  Returns the problem or NULL; either way arrays may have been
 * made.
 */
extern const char *ckpx_manifest_read_json(CkpxManifest *manifest,
										   const char *text, Size length,
										   uint32 version);

#endif							/* CKPX_MANIFEST_INTERNAL_H */
