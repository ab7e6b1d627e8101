/*-------------------------------------------------------------------------
 *
 * manifest_json.c
 *		Reading the manifests of versions 1 and 2.
 *
 * In these an item of a list is an object, so that every value has its name
 * before it, and what is between the first line and the last one may be any
 * JSON that says the same.  Version 1 has no list of backups.
 *
 * A scan bounds the nesting and the escapes before PostgreSQL's parser, which
 * recurses and which in the server converts escapes with functions that may
 * raise errors, sees the text.  "Every field exactly once" is a bit mask of
 * 64 bits, which bounds how many an object may have.
 *
 *-------------------------------------------------------------------------
 */
#include "core/format/manifest_internal.h"

#include "core/format/json_compat.h"

#define NLISTS_1			3	/* lists of version 1 */

/* The file's object, a list in it, an entry in that. */
#define MAX_DEPTH			3

/*
 * Where the parser stands.  'field' is the field whose value comes next, or
 * NULL; 'list' the list whose value comes next or in which we are.  The
 * manifest's own arrays grow item by item; 'room' is what the present one
 * can hold.
 */
typedef struct ParseState
{
	CkpxManifest *manifest;
	const char *problem;
	int			nlists;			/* of this version */
	int			depth;			/* objects and lists that are open */
	const Field *field;
	const List *list;
	uint32		room;
	char	   *item;			/* the last one of the list */
	uint64		top_seen;		/* bits of ckpx_manifest_top */
	uint32		lists_seen;		/* bits of lists */
	uint64		item_seen;		/* bits of the list's fields */
} ParseState;

static int
nfields_of(const List *list)
{
	return list->nfields + list->nold;
}

static CKPX_JSON_RESULT
on_object_start(void *arg)
{
	ParseState *state = arg;

	state->depth++;
	if (state->problem != NULL)
		CKPX_JSON_RETURN;
	if (state->depth == 1)
		CKPX_JSON_RETURN;
	if (state->depth != 3 || state->list == NULL)
	{
		state->problem = "manifest has an object where none belongs";
		CKPX_JSON_RETURN;
	}

	state->item = ckpx_manifest_append(state->list, state->manifest,
									   &state->room);
	if (state->item == NULL)
		state->problem = PROBLEM_LONG_LIST;
	state->item_seen = 0;
	CKPX_JSON_RETURN;
}

static CKPX_JSON_RESULT
on_object_end(void *arg)
{
	ParseState *state = arg;

	state->depth--;
	if (state->problem != NULL)
		CKPX_JSON_RETURN;
	if (state->depth == 0)
	{
		if (state->top_seen != (UINT64CONST(1) << NTOP_FIELDS) - 1 ||
			state->lists_seen != (1 << state->nlists) - 1)
			state->problem = "manifest lacks a field";
	}
	else if (state->item_seen !=
			 (UINT64CONST(1) << nfields_of(state->list)) - 1)
		state->problem = "manifest has a list item that lacks a field";
	CKPX_JSON_RETURN;
}

static CKPX_JSON_RESULT
on_array_start(void *arg)
{
	ParseState *state = arg;

	state->depth++;
	if (state->problem == NULL && (state->depth != 2 || state->list == NULL))
		state->problem = "manifest has a list where none belongs";
	state->room = 0;
	CKPX_JSON_RETURN;
}

static CKPX_JSON_RESULT
on_array_end(void *arg)
{
	ParseState *state = arg;

	state->depth--;
	if (state->depth == 1)
		state->list = NULL;
	CKPX_JSON_RETURN;
}

/*
 * Look a name up in a table; note it in *seen.
 */
static const Field *
find_field(const Field *fields, int nfields, const char *name, uint64 *seen,
		   const char **problem)
{
	for (int i = 0; i < nfields; i++)
	{
		if (strcmp(fields[i].name, name) == 0)
		{
			if (*seen & (UINT64CONST(1) << i))
				*problem = "manifest has a field twice";
			*seen |= UINT64CONST(1) << i;
			return &fields[i];
		}
	}
	*problem = "manifest has an unknown field";
	return NULL;
}

static CKPX_JSON_RESULT
on_field_start(void *arg, char *name, bool isnull)
{
	ParseState *state = arg;

	if (state->problem != NULL)
		CKPX_JSON_RETURN;
	if (state->depth == 3)
	{
		state->field = find_field(state->list->fields,
								  nfields_of(state->list), name,
								  &state->item_seen, &state->problem);
		CKPX_JSON_RETURN;
	}

	for (int i = 0; i < state->nlists; i++)
	{
		if (strcmp(ckpx_manifest_lists[i].name, name) == 0)
		{
			if (state->lists_seen & (1 << i))
				state->problem = "manifest has a field twice";
			state->lists_seen |= 1 << i;
			state->list = &ckpx_manifest_lists[i];
			CKPX_JSON_RETURN;
		}
	}
	state->field = find_field(ckpx_manifest_top, NTOP_FIELDS, name,
							  &state->top_seen, &state->problem);
	CKPX_JSON_RETURN;
}

static CKPX_JSON_RESULT
on_field_end(void *arg, char *name, bool isnull)
{
	ParseState *state = arg;

	state->field = NULL;
	pfree(name);
	CKPX_JSON_RETURN;
}

/* Here all bytes of a bitmap are written. */
static bool
value_is_whole(const Field *field, const char *token, JsonTokenType type)
{
	return field->type != FIELD_RMGRS || type != JSON_TOKEN_STRING ||
		strlen(token) == 2 * CKPX_RMGR_BITMAP_BYTES;
}

static CKPX_JSON_RESULT
on_scalar(void *arg, char *token, JsonTokenType type)
{
	ParseState *state = arg;

	if (state->problem == NULL)
	{
		char	   *base = state->depth == 3 ? state->item :
			(char *) state->manifest;

		if (state->field == NULL)
			state->problem = "manifest has a value where none belongs";
		else if (!value_is_whole(state->field, token, type) ||
				 !ckpx_manifest_parse_value(state->field, base, token,
											type == JSON_TOKEN_STRING))
			state->problem = PROBLEM_VALUE;
	}
	if (token != NULL)
		pfree(token);
	CKPX_JSON_RETURN;
}

/*
 * Is the text within what may be handed to the parser: nested as deeply as a
 * manifest is, without escapes for characters that are not ASCII?
 */
static const char *
scan_text(const char *text, Size length)
{
	bool		in_string = false;
	int			depth = 0;

	for (Size i = 0; i < length; i++)
	{
		char		c = text[i];

		if (in_string && c == '\\')
		{
			i++;
			if (i < length && text[i] != 'u')
				continue;
			if (length - i < 5 || text[i + 1] != '0' || text[i + 2] != '0' ||
				text[i + 3] < '0' || text[i + 3] > '7')
				return "manifest has an escape that it must not have";
		}
		else if (c == '"')
			in_string = !in_string;
		else if (!in_string && (c == '{' || c == '['))
		{
			if (++depth > MAX_DEPTH)
				return "manifest is nested too deeply";
		}
		else if (!in_string && (c == '}' || c == ']'))
			depth--;
	}
	return NULL;
}

const char *
ckpx_manifest_read_json(CkpxManifest *manifest, const char *text, Size length,
						uint32 version)
{
	ParseState	state;
	JsonSemAction sem;
	const char *problem = scan_text(text, length);

	if (problem != NULL)
		return problem;

	memset(&state, 0, sizeof(state));
	state.manifest = manifest;
	state.nlists = version == 1 ? NLISTS_1 : NLISTS;
	memset(&sem, 0, sizeof(sem));
	sem.semstate = &state;
	sem.object_start = on_object_start;
	sem.object_end = on_object_end;
	sem.array_start = on_array_start;
	sem.array_end = on_array_end;
	sem.object_field_start = on_field_start;
	sem.object_field_end = on_field_end;
	sem.scalar = on_scalar;
	if (!ckpx_json_parse(text, length, &sem))
		return "manifest is not valid JSON";
	return state.problem;
}
