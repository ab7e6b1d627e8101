/*-------------------------------------------------------------------------
 *
 * fault_functions.c
 *		ckpx_fault_add, ckpx_fault_wakeup, ckpx_fault_remove, ckpx_fault_list.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include <math.h>

#include "api/api.h"
#include "server/base/fault.h"
#include "server/base/shared_state.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(ckpx_fault_add);
PG_FUNCTION_INFO_V1(ckpx_fault_wakeup);
PG_FUNCTION_INFO_V1(ckpx_fault_remove);
PG_FUNCTION_INFO_V1(ckpx_fault_list);

#define FREQUENCY_FIELDS	4

static void
check_name(const char *name)
{
	if (ckpx_fault_point(name) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown fault point \"%s\"", name),
				 errhint("ckpx_fault_list() shows all of them.")));
}

static void
report_frequency(const char *frequency)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid frequency \"%s\"", frequency),
			 errdetail("It is \"start:end:skip:probability\": start and skip are at least 1, end is at least start or empty, probability is between 0 and 1.")));
}

/* Parse a whole number of at least 'min'; 'empty' where there is none. */
static uint64
parse_count(const char *frequency, const char *field, uint64 min, uint64 empty)
{
	char	   *end;
	uint64		value;

	if (field[0] == '\0')
		return empty;
	if (strspn(field, "0123456789") != strlen(field))
		report_frequency(frequency);
	errno = 0;
	value = strtoull(field, &end, 10);
	if (errno != 0 || *end != '\0' || value < min)
		report_frequency(frequency);
	return value;
}

/*
 * Parse "start:end:skip:probability".  Fields may be left out at the end, or
 * be empty: from the first pass, for ever, every pass, always.
 */
static void
parse_frequency(const char *frequency, CkpxFault *fault)
{
	char	   *fields[FREQUENCY_FIELDS] = {"", "", "", ""};
	char	   *copy = pstrdup(frequency);
	char	   *end;
	int			nfields = 0;

	fields[nfields++] = copy;
	for (char *at = copy; *at != '\0'; at++)
	{
		if (*at != ':')
			continue;
		*at = '\0';
		if (nfields == FREQUENCY_FIELDS)
			report_frequency(frequency);
		fields[nfields++] = at + 1;
	}

	fault->start = parse_count(frequency, fields[0], 1, 1);
	fault->end = parse_count(frequency, fields[1], fault->start,
							 PG_UINT64_MAX);
	fault->skip = parse_count(frequency, fields[2], 1, 1);
	if (fields[3][0] != '\0')
	{
		fault->probability = strtod(fields[3], &end);
		if (*end != '\0' || isnan(fault->probability) ||
			fault->probability < 0 || fault->probability > 1)
			report_frequency(frequency);
	}
}

/* Check that the argument is one that the action understands. */
static void
check_argument(CkpxFaultAction action, const char *argument)
{
	bool		valid;

	if (strlen(argument) >= CKPX_FAULT_ARGUMENT_MAX)
		valid = false;
	else if (action == CKPX_FAULT_SLEEP || action == CKPX_FAULT_VALUE)
		valid = argument[0] != '\0' && strlen(argument) <= 9 &&
			strspn(argument, "0123456789") == strlen(argument);
	else if (action == CKPX_FAULT_ERROR)
		valid = argument[0] == '\0' ||
			strcmp(argument, "enospc") == 0 || strcmp(argument, "eio") == 0 ||
			(strlen(argument) == 5 &&
			 strspn(argument, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 5 &&
			 strncmp(argument, "00", 2) != 0);
	else
		valid = argument[0] == '\0';

	if (!valid)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid argument \"%s\" of fault action \"%s\"",
						argument, ckpx_fault_action_name(action)),
				 errdetail("\"sleep\" takes milliseconds, \"value\" a number, \"error\" nothing, a SQLSTATE, \"enospc\" or \"eio\", the other actions nothing.")));
}

Datum
ckpx_fault_add(PG_FUNCTION_ARGS)
{
	CkpxFault	fault = {0};
	char	   *name;
	char	   *action;
	char	   *argument;

	ckpx_require_preload();
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("name and action must not be null")));

	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	check_name(name);
	strlcpy(fault.name, name, sizeof(fault.name));
	action = text_to_cstring(PG_GETARG_TEXT_PP(1));
	fault.action = ckpx_fault_action(action);
	if (fault.action == CKPX_FAULT_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown fault action \"%s\"", action),
				 errhint("Use \"error\", \"sleep\", \"wait\", \"crash\" or \"exit\".")));

	fault.start = 1;
	fault.end = PG_UINT64_MAX;
	fault.skip = 1;
	fault.probability = 1.0;
	if (!PG_ARGISNULL(2))
		parse_frequency(text_to_cstring(PG_GETARG_TEXT_PP(2)), &fault);

	argument = PG_ARGISNULL(3) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(3));
	check_argument(fault.action, argument);
	strlcpy(fault.argument, argument, sizeof(fault.argument));

	if (!ckpx_fault_set(&fault))
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("too many faults are set"),
				 errdetail("At most %d can be set at a time.",
						   CKPX_MAX_FAULTS)));
	PG_RETURN_VOID();
}

/* Wake or remove the fault that the first argument names. */
static Datum
change_fault(FunctionCallInfo fcinfo, bool (*change) (const char *name))
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));

	ckpx_require_preload();
	check_name(name);
	if (!change(name))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("no fault is set at \"%s\"", name)));
	PG_RETURN_VOID();
}

Datum
ckpx_fault_wakeup(PG_FUNCTION_ARGS)
{
	return change_fault(fcinfo, ckpx_fault_wake);
}

Datum
ckpx_fault_remove(PG_FUNCTION_ARGS)
{
	return change_fault(fcinfo, ckpx_fault_unset);
}

Datum
ckpx_fault_list(PG_FUNCTION_ARGS)
{
	CkpxRow		row;

	ckpx_begin_rows(fcinfo, &row);

	for (const CkpxFaultPoint *point = ckpx_fault_points; point->name; point++)
	{
		CkpxFault	fault;

		ckpx_row_text(&row, point->name);
		ckpx_row_text(&row, point->description);
		if (ckpx_fault_get(point->name, &fault))
		{
			char	   *end = fault.end == PG_UINT64_MAX ? "" :
				psprintf(UINT64_FORMAT, fault.end);

			ckpx_row_text(&row, ckpx_fault_action_name(fault.action));
			ckpx_row_text(&row,
						  psprintf(UINT64_FORMAT ":%s:" UINT64_FORMAT ":%g",
								   fault.start, end, fault.skip,
								   fault.probability));
			ckpx_row_text(&row, fault.argument);
			ckpx_row_int8(&row, fault.passed);
			ckpx_row_int8(&row, fault.fired);
			ckpx_row_int4(&row, fault.waiting);
		}
		else
			ckpx_row_nulls(&row, 6);
		ckpx_put_row(&row);
	}
	return (Datum) 0;
}
