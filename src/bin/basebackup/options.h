/*-------------------------------------------------------------------------
 *
 * options.h
 *		The command line of ckpx_basebackup.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BASEBACKUP_OPTIONS_H
#define CKPX_BASEBACKUP_OPTIONS_H

#include "postgres_fe.h"

#include "common/checksum_helper.h"

typedef struct TablespaceMapping
{
	char		old_dir[MAXPGPATH];
	char		new_dir[MAXPGPATH];
	struct TablespaceMapping *next;
} TablespaceMapping;

typedef struct Options
{
	const char *progname;
	char	   *directory;		/* without '/' at its end */
	char	   *parent;			/* NULL: full; "auto" */
	bool		full_on_gap;
	bool		tar;
	int			level;			/* zstd's; 0: not compressed */
	int			jobs;
	bool		fetch_wal;
	int			reread;			/* N of 1/N; 0: off */
	char	   *pin;			/* NULL: none */
	int			pin_days;
	bool		resume;
	bool		dry_run;
	bool		json;
	bool		fast_checkpoint;
	uint64		rate;			/* bytes a second; 0: no limit */
	bool		progress;
	bool		verbose;
	TablespaceMapping *mappings;
	bool		write_recovery;
	bool		sync;
	pg_checksum_type checksum_type;
	bool		verify_checksums;
	int			archive_timeout_s;

	/* connection */
	char	   *connstr;
	char	   *host;
	char	   *port;
	char	   *user;
	int			ask_password;	/* -1 never, 1 always, 0 if needed */
} Options;

/* Take the command line apart; what is wrong with it ends the program. */
extern void options_parse(Options *options, int argc, char **argv);

/*
 * After the parent is known: the format and compression that nobody chose.
 * Ends the program where options do not fit each other.
 */
extern void options_settle(Options *options, bool incremental);

#endif							/* CKPX_BASEBACKUP_OPTIONS_H */
