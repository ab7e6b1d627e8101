/*-------------------------------------------------------------------------
 *
 * recovery.c
 *		Settings for point-in-time recovery.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/combinebackup/recovery.h"

#include <ctype.h>

/* Add a line of a configuration file. */
static char *
add_setting(char *lines, const char *name, const char *value)
{
	char	   *quoted = pg_malloc(strlen(value) * 2 + 1);
	char	   *out = quoted;
	char	   *result;

	for (const char *c = value; *c; c++)
	{
		if (*c == '\'' || *c == '\\')
			*out++ = *c;
		*out++ = *c;
	}
	*out = '\0';
	result = psprintf("%s%s = '%s'\n", lines, name, quoted);
	pg_free(quoted);
	pg_free(lines);
	return result;
}

static bool
has_control_bytes(const char *value)
{
	for (; value && *value; value++)
		if (iscntrl((unsigned char) *value))
			return true;
	return false;
}

static const char *
check_options(const RecoveryOptions *options, const char *const *targets,
			  int ntargets)
{
	uint32		high;
	uint32		low;
	int			end = 0;

	if (ntargets > 1)
		return "only one of --target-time, --target-lsn, --target-name and --target-xid may be given";
	if (options->lsn && (sscanf(options->lsn, "%X/%X%n", &high, &low, &end) != 2
						 || options->lsn[end] != '\0'))
		return "--target-lsn must be an LSN such as 0/3000028";
	if (options->xid && (options->xid[0] == '\0' ||
						 strspn(options->xid, "0123456789") !=
						 strlen(options->xid)))
		return "--target-xid must be a number";
	if (options->action && strcmp(options->action, "pause") != 0 &&
		strcmp(options->action, "promote") != 0 &&
		strcmp(options->action, "shutdown") != 0)
		return "--target-action must be pause, promote or shutdown";
	if (options->action && ntargets == 0)
		return "--target-action needs a target";
	if (has_control_bytes(options->action) ||
		has_control_bytes(options->restore_command))
		return "a recovery setting has a control character in it";
	for (int i = 0; i < 4; i++)
		if (has_control_bytes(targets[i]))
			return "a recovery setting has a control character in it";
	return NULL;
}

/*
 * The lines for postgresql.auto.conf.  Targets that were not asked for are set
 * to nothing: the server's own file may have some, and two are refused.  The
 * one that was asked for comes last, since the server also refuses to set
 * another one to nothing behind it.
 */
char *
recovery_lines(const RecoveryOptions *options, const char **problem)
{
	const char *const names[] = {"recovery_target_time",
		"recovery_target_lsn", "recovery_target_name",
	"recovery_target_xid"};
	const char *const targets[] = {options->time, options->lsn,
	options->name, options->xid};
	char	   *lines;
	int			ntargets = 0;

	for (int i = 0; i < 4; i++)
		ntargets += targets[i] != NULL;
	*problem = check_options(options, targets, ntargets);
	if (*problem != NULL ||
		(ntargets == 0 && options->restore_command == NULL))
		return NULL;

	lines = add_setting(pg_strdup(""), "recovery_target", "");
	for (int i = 0; i < 4; i++)
		if (targets[i] == NULL)
			lines = add_setting(lines, names[i], "");
	for (int i = 0; i < 4; i++)
		if (targets[i] != NULL)
			lines = add_setting(lines, names[i], targets[i]);
	if (ntargets > 0)
		lines = add_setting(lines, "recovery_target_action",
							options->action ? options->action : "pause");
	if (options->restore_command)
		lines = add_setting(lines, "restore_command",
							options->restore_command);
	return lines;
}

/* Days from 1970-01-01, of the Gregorian calendar. */
static int64
days_of(int year, int month, int day)
{
	int			y = month > 2 ? year : year - 1;
	int			m = month > 2 ? month - 3 : month + 9;	/* from March */

	return (int64) y * 365 + y / 4 - y / 100 + y / 400 +
		(m * 153 + 2) / 5 + day - 1 - 719468;
}

/*
 * A time with its zone.
 */
bool
recovery_parse_time(const char *text, int64 *seconds)
{
	int			year,
				month,
				day,
				hour,
				minute,
				second,
				end = 0;
	int			zone_hours,
				zone_minutes = 0;

	if (sscanf(text, "%4d-%2d-%2d%*1[ T]%2d:%2d:%2d%n", &year, &month, &day,
			   &hour, &minute, &second, &end) != 6 || end == 0 ||
		year < 1970 || month < 1 || month > 12 || day < 1 || day > 31 ||
		hour < 0 || hour > 24 || minute < 0 || minute > 59 || second < 0 ||
		second > 60)
		return false;
	*seconds = ((days_of(year, month, day) * 24 + hour) * 60 + minute) * 60 +
		second;
	text += end;
	if (*text == '.')
		text += 1 + strspn(text + 1, "0123456789");
	text += strspn(text, " ");
	if (strcmp(text, "Z") == 0 || pg_strcasecmp(text, "UTC") == 0)
		return true;
	end = 0;
	if ((*text != '+' && *text != '-') ||
		(sscanf(text + 1, "%2d%n:%2d%n", &zone_hours, &end, &zone_minutes,
				&end) < 1) || text[1 + end] != '\0')
		return false;
	zone_minutes += zone_hours * 60;
	*seconds += (*text == '+' ? -60 : 60) * zone_minutes;
	return true;
}
