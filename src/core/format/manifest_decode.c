/*-------------------------------------------------------------------------
 *
 * manifest_decode.c
 *		The text of a metadata file, verified and read.
 *
 * Reading trusts nothing before the checksum line at the very end agrees with
 * the bytes before it, and little after that: a scan bounds the nesting and
 * the escapes before PostgreSQL's parser, which recurses and which in the
 * server converts escapes with functions that may raise errors, sees the
 * text.
 *
 *-------------------------------------------------------------------------
 */
#include "core/format/manifest_internal.h"

#include "core/format/json_compat.h"
#include "core/format/names.h"

/* The file's object, a list in it, an entry in that. */
#define MAX_DEPTH			3

/*
 * Read an unsigned decimal number that must be all of 'text': digits only,
 * no leading zero, at most 'max'.
 */
static bool
parse_decimal(const char *text, uint64 max, uint64 *value)
{
	uint64		sum = 0;

	if (text[0] == '\0' || (text[0] == '0' && text[1] != '\0'))
		return false;
	for (; *text != '\0'; text++)
	{
		uint64		digit = (uint64) (unsigned char) *text - '0';

		if (*text < '0' || *text > '9')
			return false;
		if (sum > max / 10 || sum * 10 > max - digit)
			return false;
		sum = sum * 10 + digit;
	}
	*value = sum;
	return true;
}

/* The same with an optional minus sign; there is no "-0". */
static bool
parse_signed(const char *text, int64 *value)
{
	bool		negative = (text[0] == '-');
	uint64		magnitude;

	if (!parse_decimal(text + (negative ? 1 : 0),
					   (uint64) PG_INT64_MAX + (negative ? 1 : 0), &magnitude))
		return false;
	if (negative && magnitude == 0)
		return false;
	*value = (int64) (negative ? ~magnitude + 1 : magnitude);
	return true;
}

/* Read 2 * 'nbytes' upper-case hex digits, which must be all of 'text'. */
static bool
parse_hex(const char *text, uint8 *bytes, int nbytes)
{
	if (strlen(text) != 2 * (Size) nbytes)
		return false;
	for (int i = 0; i < 2 * nbytes; i++)
	{
		const char *digit = strchr(ckpx_manifest_hex, text[i]);

		if (digit == NULL)
			return false;
		if (i % 2 == 0)
			bytes[i / 2] = (uint8) ((digit - ckpx_manifest_hex) << 4);
		else
			bytes[i / 2] |= (uint8) (digit - ckpx_manifest_hex);
	}
	return true;
}

/* Is the token one that the field's type is written as? */
static bool
token_fits(FieldType type, JsonTokenType token)
{
	switch (type)
	{
		case FIELD_U32:
		case FIELD_U64:
		case FIELD_TIME:
			return token == JSON_TOKEN_NUMBER;
		case FIELD_BOOL:
			return token == JSON_TOKEN_TRUE || token == JSON_TOKEN_FALSE;
		default:
			return token == JSON_TOKEN_STRING;
	}
}

/*
 * Read one value into its place; false if it is not of the field's type.
 */
static bool
parse_value(const Field *field, char *base, const char *token,
			JsonTokenType type)
{
	void	   *at = base + field->offset;
	uint64		number;
	uint8		bytes[8];

	if (!token_fits(field->type, type))
		return false;
	switch (field->type)
	{
		case FIELD_U32:
			if (!parse_decimal(token, PG_UINT32_MAX, &number))
				return false;
			*(uint32 *) at = (uint32) number;
			return true;
		case FIELD_U64:
		case FIELD_DECIMAL:
			return parse_decimal(token, PG_UINT64_MAX, (uint64 *) at);
		case FIELD_TIME:
			return parse_signed(token, (int64 *) at);
		case FIELD_LSN:
			return ckpx_parse_lsn(token, (XLogRecPtr *) at);
		case FIELD_TRUNCATE:
			return ckpx_parse_lsn(token, &number);
		case FIELD_HEX:
			if (!parse_hex(token, bytes, 8))
				return false;
			number = 0;
			for (int i = 0; i < 8; i++)
				number = (number << 8) | bytes[i];
			*(uint64 *) at = number;
			return true;
		case FIELD_KIND:
			for (int i = CKPX_KIND_INCREMENTAL; i <= CKPX_KIND_SEGMENT; i++)
			{
				if (strcmp(token, ckpx_manifest_kinds[i]) == 0)
				{
					*(CkpxEntryKind *) at = (CkpxEntryKind) i;
					return true;
				}
			}
			return false;
		case FIELD_RMGRS:
			return parse_hex(token, at, CKPX_RMGR_BITMAP_BYTES);
		case FIELD_TEXT:
			if (strlen(token) >= field->room)
				return false;
			strcpy(at, token);
			return true;
		case FIELD_IGNORED:
			return true;
		case FIELD_BOOL:
			*(bool *) at = (type == JSON_TOKEN_TRUE);
			return true;
	}
	return false;
}

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
	uint64		top_seen;		/* bits of ckpx_manifest_top */
	uint32		lists_seen;		/* bits of lists */
	uint64		item_seen;		/* bits of the list's fields */
} ParseState;

static CKPX_JSON_RESULT
on_object_start(void *arg)
{
	ParseState *state = arg;
	char	  **items;
	uint32	   *count;

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

	/* a new item at the end of the list */
	items = ckpx_manifest_items(state->list, state->manifest);
	count = ckpx_manifest_count(state->list, state->manifest);
	if (*count >= state->list->max_items)
	{
		state->problem = "manifest has a list that is too long";
		CKPX_JSON_RETURN;
	}
	if (*count == state->room)
	{
		state->room = Min(Max(state->room * 2, 16), state->list->max_items);
		if (*items == NULL)
			*items = palloc(state->room * state->list->item_size);
		else
			*items = repalloc(*items, state->room * state->list->item_size);
	}
	memset(*items + *count * state->list->item_size, 0,
		   state->list->item_size);
	(*count)++;
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
			 (UINT64CONST(1) << state->list->nfields) - 1)
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
		state->field = find_field(state->list->fields, state->list->nfields,
								  name, &state->item_seen, &state->problem);
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

static CKPX_JSON_RESULT
on_scalar(void *arg, char *token, JsonTokenType type)
{
	ParseState *state = arg;

	if (state->problem == NULL)
	{
		char	   *base = (char *) state->manifest;

		if (state->depth == 3)
			base = *ckpx_manifest_items(state->list, state->manifest) +
				(*ckpx_manifest_count(state->list, state->manifest) - 1) *
				state->list->item_size;

		if (state->field == NULL)
			state->problem = "manifest has a value where none belongs";
		else if (!parse_value(state->field, base, token, type))
			state->problem = "manifest has a value that its field does not allow";
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

/*
 * Do the bytes agree with the digits of the checksum line?
 */
static bool
checksum_agrees(const char *text, Size length, const char *digits)
{
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
	return true;
#else
	char		expected[CHECKSUM_DIGITS + 1];

	snprintf(expected, sizeof(expected), "%08X",
			 ckpx_crc(text, length));
	return memcmp(digits, expected, CHECKSUM_DIGITS) == 0;
#endif
}

/*
 * Verify the last line, then the version on the first one, which goes to
 * *version.
 */
static const char *
check_frame(const char *text, Size length, uint64 *version)
{
	const char *last;
	const char *end;
	char		digits[11];

	if (length > CKPX_MANIFEST_MAX_BYTES)
		return "manifest is too large";
	if (length < sizeof(FIRST_LINE) - 1 + CHECKSUM_LINE_LENGTH)
		return "manifest is too short";
	last = text + length - CHECKSUM_LINE_LENGTH;
	if (last[-1] != '\n' ||
		memcmp(last, CHECKSUM_BEFORE, sizeof(CHECKSUM_BEFORE) - 1) != 0 ||
		memcmp(text + length - (sizeof(CHECKSUM_AFTER) - 1), CHECKSUM_AFTER,
			   sizeof(CHECKSUM_AFTER) - 1) != 0)
		return "manifest does not end with its checksum line";
	if (!checksum_agrees(text, (Size) (last - text),
						 last + sizeof(CHECKSUM_BEFORE) - 1))
		return "manifest does not match its checksum";

	/* the line before the last ends with a newline, so this stays inside */
	if (memcmp(text, FIRST_LINE, sizeof(FIRST_LINE) - 1) != 0)
		return "manifest does not begin as one";
	text += sizeof(FIRST_LINE) - 1;
	end = text;
	while (*end != ',' && *end != '\n')
		end++;
	if (*end != ',' || (Size) (end - text) >= sizeof(digits))
		return "manifest does not begin as one";
	memcpy(digits, text, end - text);
	digits[end - text] = '\0';
	if (!parse_decimal(digits, PG_UINT32_MAX, version) || *version == 0)
		return "manifest does not begin as one";
	if (*version > CKPX_MANIFEST_VERSION)
		return "manifest is of a newer version than this one can read";
	return NULL;
}

/*
 * Check what numbers mean, once all are there.
 */
static const char *
check_meaning(const CkpxManifest *manifest, uint64 version)
{
	if (manifest->version != version)
		return "manifest gives two versions";

	for (uint32 i = 0; i < manifest->nentries; i++)
	{
		const CkpxEntry *entry = &manifest->entries[i];

		if (entry->range.start_lsn >= entry->range.end_lsn)
			return "manifest has an entry whose range is empty";
		if (entry->range.epoch == 0 || entry->range.epoch > manifest->epoch)
			return "manifest has an entry of an epoch that did not begin";
		if (entry->range.timeline == 0)
			return "manifest has an entry without a timeline";
		if (entry->version == 0 || entry->nparts == 0)
			return "manifest has an entry without an object";
	}
	for (uint32 i = 0; i < manifest->ngaps; i++)
	{
		const CkpxGap *gap = &manifest->gaps[i];

		/* after a rollback of WAL an epoch's gap may run backwards */
		if (gap->epoch == 0 || gap->epoch > manifest->epoch)
			return "manifest has a gap of an epoch that did not begin";
		if (gap->damaged && gap->from_lsn >= gap->to_lsn)
			return "manifest has a damaged range that is empty";
	}
	for (uint32 i = 0; i < manifest->nbackups; i++)
	{
		const CkpxBackupRecord *backup = &manifest->backups[i];

		if (!ckpx_backup_id_is_valid(backup->id) ||
			(backup->parent[0] != '\0' &&
			 !ckpx_backup_id_is_valid(backup->parent)))
			return "manifest has a backup with an impossible id";
	}
	return NULL;
}

bool
ckpx_manifest_decode(CkpxManifest *manifest, const char *text, Size length,
					 const char **problem)
{
	ParseState	state;
	JsonSemAction sem;
	uint64		version;

	memset(manifest, 0, sizeof(*manifest));
	memset(&state, 0, sizeof(state));
	state.manifest = manifest;
	memset(&sem, 0, sizeof(sem));
	sem.semstate = &state;
	sem.object_start = on_object_start;
	sem.object_end = on_object_end;
	sem.array_start = on_array_start;
	sem.array_end = on_array_end;
	sem.object_field_start = on_field_start;
	sem.object_field_end = on_field_end;
	sem.scalar = on_scalar;

	*problem = check_frame(text, length, &version);
	if (*problem == NULL)
		*problem = scan_text(text, length);
	if (*problem == NULL)
	{
		state.nlists = version == 1 ? NLISTS_1 : NLISTS;
		if (!ckpx_json_parse(text, length, &sem))
			state.problem = "manifest is not valid JSON";
		*problem = state.problem;
	}
	if (*problem == NULL)
		*problem = check_meaning(manifest, version);
	if (*problem != NULL)
	{
		ckpx_manifest_free(manifest);
		return false;
	}
	for (uint32 i = 0; i < manifest->nentries; i++)
		manifest->entries[i].state = CKPX_ENTRY_FINISHED;
	return true;
}
