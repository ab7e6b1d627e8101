/*-------------------------------------------------------------------------
 *
 * session.c
 *		A connection to the server, used by one thread.
 *
 * Nothing here waits in libpq without a limit but for connecting: a query is
 * sent, and the socket polled.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/basebackup/session.h"

#include <poll.h>
#include <sys/socket.h>

#include "bin/basebackup/run.h"
#include "common/string.h"
#include "fe_utils/string_utils.h"

#define MAX_KEYWORDS	64
#define POLL_MS			200

/* How long a run that stops waits for the answer to a cancel. */
#define STOP_MS			10000

/* Chosen or asked for once, then the same for all. */
static char *saved_password;
static char *schema;

/* Every timeout that this server knows is off, for this session. */
static const char *const settings_query =
"SELECT pg_catalog.set_config(name, CASE WHEN name = 'search_path'"
" THEN 'pg_catalog' ELSE '0' END, false)"
" FROM pg_catalog.pg_settings"
" WHERE name OPERATOR(pg_catalog.=) ANY (ARRAY['search_path',"
" 'statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout',"
" 'idle_session_timeout', 'transaction_timeout'])";

const char *
session_schema(void)
{
	return schema;
}

/* The keywords of a connection string and of the options, for libpq. */
static PGconn *
connect_once(const Options *options)
{
	const char *keywords[MAX_KEYWORDS + 8];
	const char *values[MAX_KEYWORDS + 8];
	PQconninfoOption *parsed = NULL;
	PGconn	   *conn;
	int			n = 0;

	keywords[n] = "dbname";
	values[n++] = "postgres";
	keywords[n] = "fallback_application_name";
	values[n++] = options->progname;
	if (options->connstr && (strchr(options->connstr, '=') ||
							 strstr(options->connstr, "://")))
	{
		char	   *problem = NULL;

		parsed = PQconninfoParse(options->connstr, &problem);
		if (parsed == NULL)
		{
			run_fail("%s", problem ? problem : "out of memory");
			return NULL;
		}
		for (PQconninfoOption *one = parsed; one->keyword; one++)
		{
			if (one->val == NULL || one->val[0] == '\0' || n >= MAX_KEYWORDS)
				continue;
			keywords[n] = one->keyword;
			values[n++] = one->val;
		}
	}
	else if (options->connstr)
	{
		keywords[n] = "dbname";
		values[n++] = options->connstr;
	}
	keywords[n] = "host";
	values[n++] = options->host;
	keywords[n] = "port";
	values[n++] = options->port;
	keywords[n] = "user";
	values[n++] = options->user;
	keywords[n] = "password";
	values[n++] = saved_password;
	keywords[n] = NULL;
	values[n] = NULL;
	conn = PQconnectdbParams(keywords, values, 0);
	PQconninfoFree(parsed);
	return conn;
}

static void
ignore_notice(void *arg, const PGresult *result)
{
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *severity = PQresultErrorField(result,
											  PG_DIAG_SEVERITY_NONLOCALIZED);

	if (message && severity && strcmp(severity, "WARNING") == 0)
		run_warning("server: %s", message);
}

/* Find the extension; the first session does, the others use the same. */
static bool
find_schema(Session *session)
{
	char	   *name;

	if (schema != NULL)
		return true;
	name = session_value(session,
						 "SELECT n.nspname FROM pg_extension e"
						 " JOIN pg_namespace n ON n.oid = e.extnamespace"
						 " WHERE e.extname = 'ckpx'", 0, NULL);
	if (run_stopping())
		return false;
	if (name == NULL)
	{
		char	   *message = psprintf("extension ckpx does not exist in database \"%s\"",
									   PQdb(session->conn));

		run_fail_with(message, NULL,
					  "Preload ckpx, use CREATE EXTENSION ckpx, or name the database that has it with -d.");
		pfree(message);
		return false;
	}
	schema = pg_strdup(fmtId(name));
	pfree(name);
	return true;
}

Session *
session_open(const Options *options)
{
	Session    *session = pg_malloc0(sizeof(Session));
	PGresult   *result;

	if (options->ask_password > 0 && saved_password == NULL)
		saved_password = simple_prompt("Password: ", false);
	session->conn = connect_once(options);
	if (session->conn && PQstatus(session->conn) == CONNECTION_BAD &&
		PQconnectionNeedsPassword(session->conn) &&
		options->ask_password >= 0 && saved_password == NULL)
	{
		PQfinish(session->conn);
		saved_password = simple_prompt("Password: ", false);
		session->conn = connect_once(options);
	}
	if (session->conn == NULL || PQstatus(session->conn) != CONNECTION_OK)
	{
		char	   *problem = pg_strdup(session->conn ?
										PQerrorMessage(session->conn) :
										"could not connect");

		pg_strip_crlf(problem);
		run_fail("%s", problem);
		pfree(problem);
		session_close(session);
		return NULL;
	}
	PQsetNoticeReceiver(session->conn, ignore_notice, NULL);
	session->pid = PQbackendPID(session->conn);
	result = session_query(session, settings_query, 0, NULL, false);
	PQclear(result);
	if (result == NULL || !find_schema(session))
	{
		session_close(session);
		return NULL;
	}
	return session;
}

void
session_close(Session *session)
{
	if (session == NULL)
		return;
	PQfinish(session->conn);
	free(session->message);
	free(session->detail);
	free(session->hint);
	free(session);
}

void
session_cancel(Session *session)
{
	char		problem[256];
	PGcancel   *cancel = PQgetCancel(session->conn);

	if (cancel != NULL)
		PQcancel(cancel, problem, sizeof(problem));
	PQfreeCancel(cancel);
	session->cancel_sent = true;
}

bool
session_poll(Session *session)
{
	struct pollfd fd = {.fd = PQsocket(session->conn),.events = POLLIN};

	if (fd.fd < 0)
		return false;
	if (run_stopping())
	{
		if (session->stop_ms == 0)
			session->stop_ms = run_clock_ms();
		if (!session->cancel_sent)
			session_cancel(session);
		else if (run_clock_ms() - session->stop_ms > STOP_MS)
			shutdown(fd.fd, SHUT_RDWR); /* libpq finds it lost */
	}
	if (poll(&fd, 1, POLL_MS) <= 0)
		return true;
	return PQconsumeInput(session->conn) != 0;
}

static char *
field(const PGresult *result, int code)
{
	const char *text = result ? PQresultErrorField(result, code) : NULL;

	return text ? pg_strdup(text) : NULL;
}

void
session_note_error(Session *session, const PGresult *result)
{
	const char *sqlstate = result ?
		PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;

	free(session->message);
	free(session->detail);
	free(session->hint);
	strlcpy(session->sqlstate, sqlstate ? sqlstate : "",
			sizeof(session->sqlstate));
	session->message = field(result, PG_DIAG_MESSAGE_PRIMARY);
	session->detail = field(result, PG_DIAG_MESSAGE_DETAIL);
	session->hint = field(result, PG_DIAG_MESSAGE_HINT);
	if (session->message == NULL)
	{
		const char *text = result ? PQresultErrorMessage(result) : "";

		if (text[0] == '\0')
			text = PQerrorMessage(session->conn);
		session->message = pg_strdup(text[0] ? text : "lost the connection to the server");
		pg_strip_crlf(session->message);
	}
}

void
session_fail(Session *session, const char *what)
{
	char	   *message = what ? psprintf("%s: %s", what, session->message) :
		pg_strdup(session->message);

	run_fail_with(message, session->detail, session->hint);
	pfree(message);
}

char *
session_problem(Session *session)
{
	if (session->detail == NULL)
		return pg_strdup(session->message);
	return psprintf("%s: %s", session->message, session->detail);
}

static bool
send_query(Session *session, const char *query, int nparams,
		   const char *const *params, bool binary)
{
	char	   *text = psprintf(query, schema, schema);
	bool		sent;

	session->cancel_sent = false;
	sent = PQsendQueryParams(session->conn, text, nparams, NULL, params,
							 NULL, NULL, binary ? 1 : 0) != 0;
	pfree(text);
	if (!sent)
		session_note_error(session, NULL);
	return sent;
}

/* The next result; NULL at the end.  *lost where the connection is. */
static PGresult *
next_result(Session *session, bool *lost)
{
	*lost = false;
	while (PQisBusy(session->conn))
	{
		if (!session_poll(session))
		{
			session_note_error(session, NULL);
			*lost = true;
			return NULL;
		}
	}
	return PQgetResult(session->conn);
}

PGresult *
session_try(Session *session, const char *query, int nparams,
			const char *const *params, bool binary)
{
	PGresult   *last = NULL;
	PGresult   *result;
	bool		lost;

	if (!send_query(session, query, nparams, params, binary))
		return NULL;
	while ((result = next_result(session, &lost)) != NULL)
	{
		PQclear(last);
		last = result;
	}
	if (!lost && last != NULL && PQresultStatus(last) == PGRES_TUPLES_OK)
		return last;
	if (!lost || last != NULL)
		session_note_error(session, last);
	PQclear(last);
	return NULL;
}

PGresult *
session_query(Session *session, const char *query, int nparams,
			  const char *const *params, bool binary)
{
	PGresult   *result = session_try(session, query, nparams, params, binary);

	if (result == NULL)
		session_fail(session, NULL);
	return result;
}

bool
session_begin_rows(Session *session, const char *query, int nparams,
				   const char *const *params)
{
	return send_query(session, query, nparams, params, false) &&
		PQsetSingleRowMode(session->conn) != 0;
}

PGresult *
session_row(Session *session, bool *error)
{
	PGresult   *result;
	bool		lost;

	*error = false;
	while ((result = next_result(session, &lost)) != NULL)
	{
		ExecStatusType status = PQresultStatus(result);

		if (status == PGRES_SINGLE_TUPLE)
			return result;
		if (status != PGRES_TUPLES_OK)
		{
			session_note_error(session, result);
			*error = true;
		}
		PQclear(result);
	}
	*error |= lost;
	return NULL;
}

char *
session_value(Session *session, const char *query, int nparams,
			  const char *const *params)
{
	PGresult   *result = session_query(session, query, nparams, params, false);
	char	   *value = NULL;

	if (result != NULL && PQntuples(result) > 0 && PQnfields(result) > 0 &&
		!PQgetisnull(result, 0, 0))
		value = pg_strdup(PQgetvalue(result, 0, 0));
	PQclear(result);
	return value;
}

bool
session_lsn(const char *text, uint64 *lsn)
{
	unsigned int high;
	unsigned int low;
	int			length = 0;

	if (text != NULL && sscanf(text, "%8X/%8X%n", &high, &low, &length) == 2 &&
		text[length] == '\0')
	{
		*lsn = ((uint64) high << 32) | low;
		return true;
	}
	run_fail("the server sent \"%.100s\" for an LSN", text ? text : "NULL");
	return false;
}

bool
session_number(const char *text, uint64 max, uint64 *number)
{
	char	   *end;

	errno = 0;
	if (text != NULL && text[0] >= '0' && text[0] <= '9')
	{
		*number = strtoull(text, &end, 10);
		if (errno == 0 && *end == '\0' && *number <= max)
			return true;
	}
	run_fail("the server sent \"%.100s\" for a number", text ? text : "NULL");
	return false;
}
