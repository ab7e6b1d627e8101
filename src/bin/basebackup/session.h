/*-------------------------------------------------------------------------
 *
 * session.h
 *		A connection to the server, used by one thread.
 *
 * Every session has search_path = pg_catalog, no timeouts, and the extension's
 * schema for qualified calls.  A query waits with an eye on run_stopping().
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BASEBACKUP_SESSION_H
#define CKPX_BASEBACKUP_SESSION_H

#include "postgres_fe.h"

#include "bin/basebackup/options.h"
#include "libpq-fe.h"
#include "pqexpbuffer.h"

#define SESSION_MAX_PARAMS	8

typedef struct Session
{
	PGconn	   *conn;
	int			pid;			/* of the server's process */
	bool		cancel_sent;	/* for the query that runs */
	int64		stop_ms;		/* when it saw that the run stops, or 0 */

	/* of the last error */
	char		sqlstate[6];	/* "": none from the server */
	char	   *message;
	char	   *detail;
	char	   *hint;
} Session;

/*
 * Connect; the first time a password may be asked for, so the main thread's
 * session comes first.  NULL after run_fail().
 */
extern Session *session_open(const Options *options);
extern void session_close(Session *session);

/* The extension's schema, quoted; set by the first session. */
extern const char *session_schema(void);

/*
 * Run a query; '%s' in it stands for the extension's schema.  The parameters
 * are text and end with the number given.  NULL after an error, which the
 * session has; session_fail() makes it the run's.
 */
extern PGresult *session_try(Session *session, const char *query,
							 int nparams, const char *const *params,
							 bool binary);
extern PGresult *session_query(Session *session, const char *query,
							   int nparams, const char *const *params,
							   bool binary);

/* Begin a query whose rows are then fetched one by one with session_row(). */
extern bool session_begin_rows(Session *session, const char *query,
							   int nparams, const char *const *params);

/* The next row in a result; NULL at the end, or after an error (*error). */
extern PGresult *session_row(Session *session, bool *error);

/* One value in new memory; NULL after a failure, or where it is NULL. */
extern char *session_value(Session *session, const char *query,
						   int nparams, const char *const *params);

/*
 * Wait until the socket can be read, at most 200 ms, and read; cancels the
 * query once if the run stops.  False if the connection is lost.
 */
extern bool session_poll(Session *session);
extern void session_cancel(Session *session);

/* Remember what a result or the connection says, for session_fail(). */
extern void session_note_error(Session *session, const PGresult *result);
extern void session_fail(Session *session, const char *what);

/* The last error with its detail, in new memory. */
extern char *session_problem(Session *session);

/* The value of a type in a result's text; run_fail() where it is none. */
extern bool session_lsn(const char *text, uint64 *lsn);
extern bool session_number(const char *text, uint64 max, uint64 *number);

#endif							/* CKPX_BASEBACKUP_SESSION_H */
