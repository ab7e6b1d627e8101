/*-------------------------------------------------------------------------
 *
 * options.h
 *		What the commands are asked for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_DUMP_OPTIONS_H
#define CKPX_DUMP_OPTIONS_H

#include "core/types.h"

/* Exit codes. */
#define EXIT_DAMAGE			1
#define EXIT_USAGE			2

typedef struct Options
{
	bool		json;
	bool		all;
	bool		gaps;
	bool		pins;
	bool		marks;
	bool		backups;
	bool		relations;
	bool		blocks;
	bool		one_relation;
	bool		one_fork;		/* else all forks of: */
	CkpxRelKey	relation;
	XLogRecPtr	start_lsn;		/* Invalid: not given */
	XLogRecPtr	end_lsn;
	const char *to_wal_summary;
} Options;

/* Parse TABLESPACE/DATABASE/RELATION[.FORK] and an LSN; false if it is not. */
extern bool parse_relation(const char *text, Options *options);
extern bool parse_lsn(const char *text, XLogRecPtr *lsn);

#endif							/* CKPX_DUMP_OPTIONS_H */
