/*-------------------------------------------------------------------------
 *
 * output.h
 *		What the program prints: tables for people, or one JSON object.
 *
 * A command prints sections, each of them one thing or many of a kind.  A
 * thing is a row of fields, put one after the other; each row of a section has
 * the same.  As text, one thing is a line for each field, many are a table; as
 * JSON, an object or an array of them.
 *
 * Texts may come from files that nobody vouches for: control characters are
 * not printed as they are, and JSON is always valid UTF-8.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_DUMP_OUTPUT_H
#define CKPX_DUMP_OUTPUT_H

#include "core/map/block_set.h"

extern void output_begin(bool json);

/* Write what is left; ends the program where that fails. */
extern void output_end(void);

/* Begin a section; it ends where the next one begins. */
extern void output_one(const char *name);
extern void output_many(const char *name);

/* The fields of a row, and its end.  'name' is borrowed for good. */
extern void output_text(const char *name, const char *value);
extern void output_number(const char *name, uint64 value);
extern void output_bool(const char *name, bool value);
extern void output_lsn(const char *name, XLogRecPtr value); /* 0: null */
extern void output_time(const char *name, int64 value); /* 0: null */
extern void output_null(const char *name);
extern void output_hex(const char *name, uint64 value, int digits);
extern void output_row(void);

/* Make a text from a file fit for a terminal; it is changed and returned. */
extern char *output_printable(char *text);

/*
 * Listed blocks as ranges, at most OUTPUT_RANGES of them from 'it' on; false:
 * there are more, for another row.
 */
#define OUTPUT_RANGES		10000
extern bool output_ranges(const char *name, CkpxBlockSetIterator *it);

#endif							/* CKPX_DUMP_OUTPUT_H */
