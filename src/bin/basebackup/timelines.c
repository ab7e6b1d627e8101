/*-------------------------------------------------------------------------
 *
 * timelines.c
 *		The history of timelines that a server is on.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/basebackup/timelines.h"

#include "bin/basebackup/run.h"

#define MAX_TIMELINES	10000

/* One line of a history file: a timeline, and where it was left. */
static bool
add_timeline(Timelines *timelines, const char *line)
{
	TimelinePart *part;
	unsigned int timeline;
	unsigned int high;
	unsigned int low;

	line += strspn(line, " \t\r");
	if (*line == '\0' || *line == '#')
		return true;
	if (sscanf(line, "%u\t%X/%X", &timeline, &high, &low) != 3 ||
		timelines->count >= MAX_TIMELINES)
		return false;
	timelines->parts = pg_realloc(timelines->parts, sizeof(TimelinePart) *
								  (timelines->count + 2));
	part = &timelines->parts[timelines->count];
	part->timeline = timeline;
	part->begin = timelines->count > 0 ? part[-1].end : InvalidXLogRecPtr;
	part->end = ((uint64) high << 32) | low;
	if (part->end < part->begin ||
		(timelines->count > 0 && part[-1].timeline >= timeline))
		return false;
	timelines->count++;
	return true;
}

static bool
parse_history(Timelines *timelines, char *text)
{
	char	   *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line;
		 line = strtok_r(NULL, "\n", &save))
	{
		if (!add_timeline(timelines, line))
			return false;
	}
	return true;
}

Timelines *
timelines_read(Session *session, TimeLineID timeline)
{
	Timelines  *timelines = pg_malloc0(sizeof(Timelines));
	TimelinePart *last;

	timelines->parts = pg_malloc(sizeof(TimelinePart));
	if (timeline > 1)
	{
		char		name[32];
		const char *params[1] = {name};
		PGresult   *result;
		bool		good;

		snprintf(name, sizeof(name), "%08X.history", timeline);
		result = session_query(session, "SELECT %s.ckpx_read_wal($1)", 1,
							   params, true);
		if (result == NULL)
			return NULL;
		good = PQntuples(result) == 1 &&
			parse_history(timelines, PQgetvalue(result, 0, 0));
		PQclear(result);
		if (!good)
		{
			run_fail("the server sent a wrong history file \"%s\"", name);
			return NULL;
		}
	}
	last = &timelines->parts[timelines->count];
	last->timeline = timeline;
	last->begin = timelines->count > 0 ? last[-1].end : InvalidXLogRecPtr;
	last->end = PG_UINT64_MAX;
	timelines->count++;
	return timelines;
}

bool
timelines_contain(const Timelines *timelines, TimeLineID timeline,
				  XLogRecPtr start_lsn, XLogRecPtr end_lsn, char **problem)
{
	for (int i = 0; i < timelines->count; i++)
	{
		const TimelinePart *part = &timelines->parts[i];

		if (part->timeline != timeline)
			continue;
		if (start_lsn >= part->begin && end_lsn <= part->end)
			return true;
		if (end_lsn > part->end)
			*problem = psprintf("it needs WAL of timeline %u up to %X/%X, but this server left that timeline at %X/%X",
								timeline, LSN_FORMAT_ARGS(end_lsn),
								LSN_FORMAT_ARGS(part->end));
		else
			*problem = psprintf("it needs WAL of timeline %u from %X/%X on, but that timeline begins at %X/%X",
								timeline, LSN_FORMAT_ARGS(start_lsn),
								LSN_FORMAT_ARGS(part->begin));
		return false;
	}
	*problem = psprintf("timeline %u is not in this server's history", timeline);
	return false;
}
