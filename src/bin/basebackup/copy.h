/*-------------------------------------------------------------------------
 *
 * copy.h
 *		Copying the files of a plan with several connections.
 *
 * Files are taken in lists: as many as fit into 64 MB, the largest first.
 * Each connection has two threads.  One always empties its socket into a
 * bounded buffer: a server's process that cannot send would make DROP
 * DATABASE, and on a standby replay, wait for it.  The other writes.  If it
 * makes no room for 10 s, the COPY is canceled, and what is left of the list
 * is taken later.  So is a list that a conflict with recovery has canceled, in
 * two halves.  For lists of unchanged files no connection is made.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BASEBACKUP_COPY_H
#define CKPX_BASEBACKUP_COPY_H

#include "postgres_fe.h"

#include "bin/basebackup/lists.h"
#include "bin/basebackup/output.h"
#include "bin/basebackup/session.h"

typedef struct CopyStart
{
	const Options *options;
	const char *slot;
	int			holder_pid;		/* of the server's process that has it */
	XLogRecPtr	start_lsn;
	const Parent *parent;		/* NULL: full */
	const char *recovery_conf;	/* what postgresql.auto.conf gets; or NULL */
	Output	   *output;
	Lists	   *lists;
	uint64		bytes;			/* received; atomic */
	uint64		bad_checksums;	/* atomic */
} CopyStart;

typedef struct Copiers Copiers;

/* Start the threads, which pull lists until none is left. */
extern Copiers *copy_begin(CopyStart *start);

/* Wait for all of them; false after run_fail(). */
extern bool copy_end(Copiers *copiers);

/* Does the session see the holder's slot in its hands? */
extern bool copy_check_holder(Session *session, const char *slot, int pid);

#endif							/* CKPX_BASEBACKUP_COPY_H */
