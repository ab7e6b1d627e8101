/*-------------------------------------------------------------------------
 *
 * print.h
 *		Prints what manifests and objects hold, one row for each thing.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_DUMP_PRINT_H
#define CKPX_DUMP_PRINT_H

#include "core/format/manifest.h"
#include "core/format/object_format.h"

/* Fields only: the caller may put others before, and ends the row. */
extern void print_entry(const CkpxEntry *entry);
extern void print_gap(const CkpxGap *gap);
extern void print_pin(const CkpxPin *pin);
extern void print_backup(const CkpxBackupRecord *backup);
extern void print_mark(const CkpxMark *mark);
extern void print_identity(const CkpxIdentity *identity);
extern void print_key(const CkpxRelKey *key);

/* The file's own fields. */
extern void print_manifest(const CkpxManifest *manifest, const char *file);

/* Whole sections. */
extern void print_entries(const CkpxManifest *manifest);
extern void print_gaps(const CkpxManifest *manifest);
extern void print_pins(const CkpxManifest *manifest);
extern void print_backups(const CkpxManifest *manifest);
extern void print_marks(const CkpxMark *marks, uint32 nmarks);

#endif							/* CKPX_DUMP_PRINT_H */
