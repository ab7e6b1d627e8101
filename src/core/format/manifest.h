/*-------------------------------------------------------------------------
 *
 * manifest.h
 *		The metadata file: everything that a start needs to know, as text.
 *
 * A manifest is JSON with a fixed layout, one entry per line, closed by a
 * line with the CRC-32C of all bytes before it, so that a person can read it
 * and a program can trust it.  Each is complete in itself.  FORMAT.md has the
 * fields.
 *
 * It is written with every checkpoint and pin, so it is written in pieces: a
 * long history is never in memory as a whole, neither its entries nor the
 * text.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_MANIFEST_H
#define CKPX_MANIFEST_H

#include "core/history/backup_record.h"
#include "core/history/gc_plan.h"
#include "lib/stringinfo.h"

#define CKPX_MANIFEST_VERSION	3

/*
 * Bounds that a reader insists on.  The largest number of the longest entries
 * fits into the largest text, and that into one allocation of the server.
 */
#define CKPX_MANIFEST_MAX_BYTES		1000000000
#define CKPX_MANIFEST_MAX_ENTRIES	1000000
#define CKPX_MANIFEST_MAX_PINS		10000

typedef struct CkpxManifest
{
	uint32		version;		/* CKPX_MANIFEST_VERSION; read: up to it */
	uint64		sequence;		/* each manifest's is one higher */
	CkpxIdentity identity;
	int64		written_at;

	uint32		epoch;			/* the open epoch */
	TimeLineID	timeline;
	XLogRecPtr	epoch_start;
	uint64		known_xid;		/* transactions from this one on are known
								 * from their first record; 0: none is */
	uint32		global_version_interval_s;	/* in force when written */

	/* finished entries of every kind, spilled segments among them */
	uint32		nentries;
	CkpxEntry  *entries;
	uint32		ngaps;
	CkpxGap    *gaps;
	uint32		npins;
	CkpxPin    *pins;
	uint32		nbackups;		/* in the order in which they were reported */
	CkpxBackupRecord *backups;	/* version 1: none */
} CkpxManifest;

/*
 * Write a manifest in pieces of at most CKPX_MANIFEST_PIECE_BYTES, all but
 * the last one nearly as long, by calls of 'write', which may leave by an
 * error.  _begin writes what stands in front of the entries; then come the
 * entries, as many calls as it takes, those that are not finished are left
 * out; _end writes the rest and frees the writer.  'manifest' stays until
 * then; its own entries are not looked at.  Memory is of the context in which
 * _begin was called.
 */
typedef struct CkpxManifestWriter CkpxManifestWriter;
typedef void (*CkpxManifestWrite) (void *arg, const char *bytes, Size length);

#define CKPX_MANIFEST_PIECE_BYTES	(256 * 1024)

extern CkpxManifestWriter *ckpx_manifest_begin(const CkpxManifest *manifest,
											   CkpxManifestWrite write,
											   void *arg);
extern void ckpx_manifest_add(CkpxManifestWriter *writer,
							  const CkpxEntry *entries, uint32 nentries);
extern void ckpx_manifest_end(CkpxManifestWriter *writer);

/* Append the whole file's text, of the entries in 'manifest'. */
extern void ckpx_manifest_encode(StringInfo text,
								 const CkpxManifest *manifest);

/*
 * Read a whole file's text, of this version or an earlier one.  First the
 * checksum line is verified, then the text is read, then every number and
 * every list is checked.  Arrays come from the current memory context (NULL
 * where a list is empty); entries come back finished, in the order of the
 * file, without their failures.  False with *problem set (static text), and an
 * empty manifest, where anything is not as it must be; unknown fields are a
 * problem too, a newer version has its own message.
 */
extern bool ckpx_manifest_decode(CkpxManifest *manifest, const char *text,
								 Size length, const char **problem);

/*
 * The same for a long history's entries alone: each goes to 'visit', in the
 * order of the file, and none is kept.  Where the result is false, what was
 * visited tells nothing.
 */
typedef void (*CkpxManifestVisit) (void *arg, const CkpxEntry *entry);

extern bool ckpx_manifest_visit(const char *text, Size length,
								CkpxManifestVisit visit, void *arg,
								const char **problem);

/* Free the arrays that _decode made. */
extern void ckpx_manifest_free(CkpxManifest *manifest);

#endif							/* CKPX_MANIFEST_H */
