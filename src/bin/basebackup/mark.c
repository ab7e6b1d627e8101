/*-------------------------------------------------------------------------
 *
 * mark.c
 *		Checkpoint records, as ckpx on the server has decoded them.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/basebackup/mark.h"

#include "bin/basebackup/run.h"

bool
mark_read(Session *session, XLogRecPtr lsn, CheckpointMark *mark)
{
	char		lsn_text[32];
	const char *params[1] = {lsn_text};
	PGresult   *result;
	uint64		number;
	bool		good = true;

	memset(mark, 0, sizeof(*mark));
	snprintf(lsn_text, sizeof(lsn_text), "%X/%X", LSN_FORMAT_ARGS(lsn));
	result = session_query(session,
						   "SELECT redo, crc, floor(extract(epoch FROM \"time\"))::bigint"
						   " FROM %s.ckpx_checkpoint_mark($1::pg_lsn)",
						   1, params, false);
	if (result == NULL)
		return false;
	if (PQntuples(result) == 1 && !PQgetisnull(result, 0, 0) &&
		!PQgetisnull(result, 0, 1))
	{
		good = session_lsn(PQgetvalue(result, 0, 0), &mark->redo) &&
			session_number(PQgetvalue(result, 0, 1), PG_UINT32_MAX, &number);
		if (good)
		{
			mark->crc = number;
			mark->has_crc = true;
			mark->time = strtoll(PQgetvalue(result, 0, 2), NULL, 10);
			mark->lsn = lsn;
		}
	}
	PQclear(result);
	return good;
}

/*
 * Why is a mark not known?  If changes behind it are not, the view of gaps
 * says so; else the record is one of another history.
 */
static char *
why_unknown(Session *session, const CheckpointMark *mark)
{
	char		lsn_text[32];
	const char *params[1] = {lsn_text};
	char	   *gap;

	snprintf(lsn_text, sizeof(lsn_text), "%X/%X", LSN_FORMAT_ARGS(mark->lsn));
	gap = session_value(session,
						"SELECT 'changes from ' || from_lsn || ' to ' || to_lsn"
						" || ' are not known: ' || reason"
						" FROM %s.ckpx_gaps WHERE to_lsn > $1::pg_lsn"
						" ORDER BY epoch DESC, to_lsn DESC LIMIT 1",
						1, params);
	if (gap != NULL)
		return gap;
	return psprintf("ckpx has not read the checkpoint record at %s on this server",
					lsn_text);
}

bool
mark_prove(Session *session, const CheckpointMark *mark, char **problem)
{
	CheckpointMark here;

	if (!mark_read(session, mark->lsn, &here))
		return false;
	if (here.lsn == InvalidXLogRecPtr)
	{
		*problem = why_unknown(session, mark);
		return false;
	}
	if (here.redo == mark->redo &&
		(!mark->has_crc || here.crc == mark->crc) &&
		(mark->time == 0 || here.time == mark->time))
		return true;
	*problem = psprintf("the checkpoint record at %X/%X is another one on this server: the backup belongs to a history that was left",
						LSN_FORMAT_ARGS(mark->lsn));
	return false;
}
