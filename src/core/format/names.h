/*-------------------------------------------------------------------------
 *
 * names.h
 *		Every file and folder name that ckpx owns: build and parse together.
 *
 *	inc_<epoch>_<tli>_<start>_<end>.ckpx	an incremental's object
 *	glo_..., bak_..., seg_...				global, backup, logtail segment
 *	inc_....ckpx.<part>						further parts, from 1 (decimal)
 *	meta_<sequence>_<start>_<end>.json		a manifest
 *	<any of these>.tmp						not published yet
 *	<object>.damaged						kept for a look, see jobs/damage.c
 *	<system identifier>-<node id>			the folder of one data directory
 *
 * epoch and tli are 8 upper-case hex digits; LSNs, sequence, system identifier
 * and node id 16.  Parsing accepts exactly what building produces, nothing
 * else, so that a name from a user or from a directory can never lead outside
 * the folder.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_NAMES_H
#define CKPX_NAMES_H

#include "core/history/entry.h"

#define CKPX_NAME_MAX		96	/* longest name and zero byte, rounded up */

typedef enum CkpxNameType
{
	CKPX_NAME_UNKNOWN = 0,		/* not ours: leave it alone */
	CKPX_NAME_OBJECT,
	CKPX_NAME_MANIFEST,
	CKPX_NAME_TEMPORARY,		/* an object or manifest that was not
								 * published */
	CKPX_NAME_DAMAGED			/* what was an object */
} CkpxNameType;

typedef struct CkpxName
{
	CkpxNameType type;
	CkpxEntryKind kind;			/* objects */
	uint32		epoch;			/* objects */
	TimeLineID	timeline;		/* objects */
	uint64		sequence;		/* manifests */
	XLogRecPtr	start_lsn;
	XLogRecPtr	end_lsn;
	uint32		part;			/* objects: 0, or a further part's number */
} CkpxName;						/* an unpublished manifest has kind NONE */

/* Build into 'name', CKPX_NAME_MAX bytes; return its length. */
extern int	ckpx_object_name(char *name, CkpxEntryKind kind, uint32 epoch,
							 TimeLineID timeline, XLogRecPtr start_lsn,
							 XLogRecPtr end_lsn, uint32 part);
extern int	ckpx_entry_object_name(char *name, const CkpxEntry *entry,
								   uint32 part);
extern int	ckpx_manifest_name(char *name, uint64 sequence,
							   XLogRecPtr start_lsn, XLogRecPtr end_lsn);
extern int	ckpx_folder_name(char *name, uint64 system_identifier,
							 uint64 node_id);

/* Append ".tmp" to a name in a CKPX_NAME_MAX buffer. */
extern void ckpx_temporary_name(char *name);

/* Append ".damaged" likewise, to the name of an object. */
extern void ckpx_damaged_name(char *name);

/* Parse a file name; type is CKPX_NAME_UNKNOWN for anything foreign. */
extern void ckpx_parse_name(const char *name, CkpxName *parsed);
extern bool ckpx_parse_folder_name(const char *name,
								   uint64 *system_identifier,
								   uint64 *node_id);

/* "X/X" as PostgreSQL prints an LSN, without snprintf; returns the length. */
#define CKPX_LSN_TEXT_MAX	20
extern int	ckpx_lsn_text(char *text, XLogRecPtr lsn);

/* Parse what ckpx_lsn_text() writes and nothing else; false if it is not. */
extern bool ckpx_parse_lsn(const char *text, XLogRecPtr *lsn);

#endif							/* CKPX_NAMES_H */
