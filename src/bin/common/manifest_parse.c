/*-------------------------------------------------------------------------
 *
 * manifest_parse.c
 *		The text of backup_manifest, verified and read.
 *
 * Nothing is read before the checksum line at the end agrees with the bytes
 * before it.  A scan bounds the nesting before PostgreSQL's parser, which
 * recurses, sees the text.  The callbacks cannot stop the parser; they note
 * the first problem and ignore what follows.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/common/manifest.h"

#include "bin/common/paths.h"
#include "common/cryptohash.h"
#include "common/logging.h"
#include "common/sha2.h"
#include "core/format/json_compat.h"

/* The object, a list in it, an object in that. */
#define MAX_DEPTH		3

#define CHECKSUM_BEFORE	"\"Manifest-Checksum\": \""
#define CHECKSUM_DIGITS	(2 * PG_SHA256_DIGEST_LENGTH)
#define CHECKSUM_AFTER	"\"}\n"
#define CHECKSUM_LINE_LENGTH \
	(sizeof(CHECKSUM_BEFORE) - 1 + CHECKSUM_DIGITS + \
	 sizeof(CHECKSUM_AFTER) - 1)

typedef enum FieldId
{
	FIELD_NONE,
	FIELD_VERSION,
	FIELD_SYSTEM,
	FIELD_FILES,
	FIELD_RANGES,
	FIELD_MANIFEST_CHECKSUM,
	FIELD_PATH,
	FIELD_ENCODED_PATH,
	FIELD_SIZE,
	FIELD_MODIFIED,
	FIELD_ALGORITHM,
	FIELD_CHECKSUM,
	FIELD_TIMELINE,
	FIELD_START_LSN,
	FIELD_END_LSN
} FieldId;

/* 'list' is the list in whose items the field stands, or FIELD_NONE. */
typedef struct Field
{
	FieldId		list;
	const char *name;
	JsonTokenType token;		/* of a list: JSON_TOKEN_ARRAY_START */
} Field;

static const Field fields[] = {
	[FIELD_VERSION] = {FIELD_NONE, "PostgreSQL-Backup-Manifest-Version", JSON_TOKEN_NUMBER},
	[FIELD_SYSTEM] = {FIELD_NONE, "System-Identifier", JSON_TOKEN_NUMBER},
	[FIELD_FILES] = {FIELD_NONE, "Files", JSON_TOKEN_ARRAY_START},
	[FIELD_RANGES] = {FIELD_NONE, "WAL-Ranges", JSON_TOKEN_ARRAY_START},
	[FIELD_MANIFEST_CHECKSUM] = {FIELD_NONE, "Manifest-Checksum", JSON_TOKEN_STRING},
	[FIELD_PATH] = {FIELD_FILES, "Path", JSON_TOKEN_STRING},
	[FIELD_ENCODED_PATH] = {FIELD_FILES, "Encoded-Path", JSON_TOKEN_STRING},
	[FIELD_SIZE] = {FIELD_FILES, "Size", JSON_TOKEN_NUMBER},
	[FIELD_MODIFIED] = {FIELD_FILES, "Last-Modified", JSON_TOKEN_STRING},
	[FIELD_ALGORITHM] = {FIELD_FILES, "Checksum-Algorithm", JSON_TOKEN_STRING},
	[FIELD_CHECKSUM] = {FIELD_FILES, "Checksum", JSON_TOKEN_STRING},
	[FIELD_TIMELINE] = {FIELD_RANGES, "Timeline", JSON_TOKEN_NUMBER},
	[FIELD_START_LSN] = {FIELD_RANGES, "Start-LSN", JSON_TOKEN_STRING},
	[FIELD_END_LSN] = {FIELD_RANGES, "End-LSN", JSON_TOKEN_STRING}
};

#define BIT(field)		(1 << (field))

/*
 * Where the parser stands.  'list' is the list that is open, 'field' the field
 * whose value comes next.  What an item's fields said is gathered in 'file' or
 * 'range' until it ends.
 */
typedef struct ParseState
{
	Manifest   *manifest;
	char	   *problem;
	int			depth;			/* objects and lists that are open */
	FieldId		list;
	FieldId		field;
	uint32		top_seen;		/* bits of fields */
	uint32		item_seen;
	ManifestFile file;
	char		path[MAXPGPATH];
	ManifestWalRange range;
} ParseState;

static void
note_problem(ParseState *state, const char *text)
{
	if (state->problem == NULL)
		state->problem = pstrdup(text);
}

/* Read a decimal number that must be all of 'text'. */
static bool
parse_number(const char *text, uint64 max, uint64 *number)
{
	uint64		sum = 0;

	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++)
	{
		uint64		digit = (uint64) (unsigned char) *text - '0';

		if (digit > Min(max, 9) || sum > (max - digit) / 10)
			return false;
		sum = sum * 10 + digit;
	}
	*number = sum;
	return true;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Read pairs of digits, all of 'text'; the number of bytes, or -1. */
static int
parse_hex(const char *text, uint8 *bytes, int room)
{
	int			n = 0;

	for (; *text != '\0'; text += 2)
	{
		int			high = hex_digit(text[0]);
		int			low = hex_digit(text[1]);

		if (high < 0 || low < 0 || n == room)
			return -1;
		bytes[n++] = (uint8) (high << 4 | low);
	}
	return n;
}

static bool
parse_lsn(const char *text, XLogRecPtr *lsn)
{
	uint32		halves[2] = {0, 0};

	for (int i = 0; i < 2; i++)
	{
		const char *start = text;

		for (; hex_digit(*text) >= 0; text++)
			halves[i] = halves[i] << 4 | hex_digit(*text);
		if (text == start || text - start > 8)
			return false;
		if (*text != (i == 0 ? '/' : '\0'))
			return false;
		text++;
	}
	*lsn = (uint64) halves[0] << 32 | halves[1];
	return true;
}

/* Days from 1970 of a date of the Gregorian calendar. */
static int64
days_since_1970(int64 year, int month, int day)
{
	int64		era_years;

	/* years that begin in March have their leap day at the end */
	if (month <= 2)
	{
		year--;
		month += 12;
	}
	era_years = year * 365 + year / 4 - year / 100 + year / 400;
	return era_years + (153 * (month - 3) + 2) / 5 + day - 1 - 719468;
}

/* "2026-01-02 03:04:05 GMT" */
static bool
parse_time(const char *text, int64 *seconds)
{
	static const struct
	{
		char		after;
		int			least,
					most;
	}			parts[] = {
		{'-', 1, 999999}, {'-', 1, 12}, {' ', 1, 31},
		{':', 0, 23}, {':', 0, 59}, {' ', 0, 60}
	};
	int			values[lengthof(parts)];

	for (int i = 0; i < lengthof(parts); i++)
	{
		const char *start = text;

		values[i] = 0;
		for (; *text >= '0' && *text <= '9' && text - start < 6; text++)
			values[i] = values[i] * 10 + (*text - '0');
		if (text == start || *text++ != parts[i].after ||
			values[i] < parts[i].least || values[i] > parts[i].most)
			return false;
	}
	*seconds = days_since_1970(values[0], values[1], values[2]) *
		INT64CONST(86400) + values[3] * 3600 + values[4] * 60 + values[5];
	return strcmp(text, "GMT") == 0;
}

/* Read a value into its place; false if the field does not allow it. */
static bool
parse_value(ParseState *state, char *token)
{
	ManifestFile *file = &state->file;
	uint64		number;
	int			length;

	switch (state->field)
	{
		case FIELD_VERSION:
			if (!parse_number(token, 2, &number) || number < 1)
				return false;
			state->manifest->version = (int) number;
			return true;
		case FIELD_SYSTEM:
			return parse_number(token, PG_UINT64_MAX,
								&state->manifest->system_identifier);
		case FIELD_MANIFEST_CHECKSUM:
			return true;		/* was compared before */
		case FIELD_PATH:
			return strlcpy(state->path, token, MAXPGPATH) < MAXPGPATH;
		case FIELD_ENCODED_PATH:
			length = parse_hex(token, (uint8 *) state->path, MAXPGPATH - 1);
			if (length < 0 || memchr(state->path, '\0', length) != NULL)
				return false;
			state->path[length] = '\0';
			return true;
		case FIELD_SIZE:
			return parse_number(token, PG_INT64_MAX, &file->size);
		case FIELD_MODIFIED:
			return parse_time(token, &file->modified);
		case FIELD_ALGORITHM:
			return pg_checksum_parse_type(token, &file->checksum_type) &&
				file->checksum_type != CHECKSUM_TYPE_NONE;
		case FIELD_CHECKSUM:
			length = parse_hex(token, file->checksum, PG_CHECKSUM_MAX_LENGTH);
			file->checksum_length = (uint8) Max(length, 0);
			return length > 0;
		case FIELD_TIMELINE:
			if (!parse_number(token, PG_UINT32_MAX, &number) || number == 0)
				return false;
			state->range.timeline = (TimeLineID) number;
			return true;
		case FIELD_START_LSN:
			return parse_lsn(token, &state->range.start_lsn);
		case FIELD_END_LSN:
			return parse_lsn(token, &state->range.end_lsn);
		default:
			return false;
	}
}

static void
finish_file(ParseState *state)
{
	ManifestFile *file = &state->file;
	uint32		seen = state->item_seen;
	const char *reason = NULL;

	if (((seen & BIT(FIELD_PATH)) != 0) ==
		((seen & BIT(FIELD_ENCODED_PATH)) != 0))
		note_problem(state, "file without a path, or with two");
	else if ((seen & BIT(FIELD_SIZE)) == 0)
		reason = "size is missing";
	else if (file->checksum_length !=
			 manifest_checksum_length(file->checksum_type))
		reason = "checksum does not agree with its algorithm";
	else if ((reason = path_check(state->path)) == NULL)
	{
		file->path = state->path;
		if (!manifest_add(state->manifest, file))
			reason = "occurs twice";
	}
	if (reason != NULL)
	{
		/* a path that was refused may have control characters */
		for (char *c = state->path; *c != '\0'; c++)
			if ((unsigned char) *c < ' ' || *c == 0x7F)
				*c = '?';
		state->problem = psprintf("file \"%s\": %s", state->path, reason);
	}
}

static void
finish_range(ParseState *state)
{
	const uint32 all = BIT(FIELD_TIMELINE) | BIT(FIELD_START_LSN) |
		BIT(FIELD_END_LSN);

	if (state->item_seen != all)
		note_problem(state, "WAL range lacks a field");
	else if (state->range.start_lsn > state->range.end_lsn)
		note_problem(state, "WAL range ends before it starts");
	else
		manifest_add_range(state->manifest, state->range.timeline,
						   state->range.start_lsn, state->range.end_lsn);
}

static CKPX_JSON_RESULT
on_object_start(void *arg)
{
	ParseState *state = arg;

	state->depth++;
	if (state->depth == 2)
		note_problem(state, "object where none belongs");
	state->item_seen = 0;
	memset(&state->file, 0, sizeof(state->file));
	memset(&state->range, 0, sizeof(state->range));
	state->path[0] = '\0';
	CKPX_JSON_RETURN;
}

static CKPX_JSON_RESULT
on_object_end(void *arg)
{
	ParseState *state = arg;

	state->depth--;
	if (state->problem == NULL && state->list == FIELD_FILES)
		finish_file(state);
	else if (state->problem == NULL && state->list == FIELD_RANGES)
		finish_range(state);
	CKPX_JSON_RETURN;
}

static CKPX_JSON_RESULT
on_array_start(void *arg)
{
	ParseState *state = arg;

	state->depth++;
	if (state->depth != 2 || state->field == FIELD_NONE ||
		fields[state->field].token != JSON_TOKEN_ARRAY_START)
		note_problem(state, "list where none belongs");
	state->list = state->field;
	state->field = FIELD_NONE;
	CKPX_JSON_RETURN;
}

static CKPX_JSON_RESULT
on_array_end(void *arg)
{
	ParseState *state = arg;

	state->depth--;
	state->list = FIELD_NONE;
	CKPX_JSON_RETURN;
}

static CKPX_JSON_RESULT
on_field_start(void *arg, char *name, bool isnull)
{
	ParseState *state = arg;
	uint32	   *seen;

	seen = state->depth == 3 ? &state->item_seen : &state->top_seen;
	state->field = FIELD_NONE;
	for (int i = FIELD_VERSION; i < lengthof(fields); i++)
		if (fields[i].list == state->list && strcmp(fields[i].name, name) == 0)
			state->field = i;
	if (state->field == FIELD_NONE)
		note_problem(state, "unknown field");
	else if ((*seen & BIT(state->field)) != 0)
		note_problem(state, "field occurs twice");
	*seen |= BIT(state->field);
	CKPX_JSON_RETURN;
}

static CKPX_JSON_RESULT
on_field_end(void *arg, char *name, bool isnull)
{
	ParseState *state = arg;

	state->field = FIELD_NONE;
	pfree(name);
	CKPX_JSON_RETURN;
}

static CKPX_JSON_RESULT
on_scalar(void *arg, char *token, JsonTokenType type)
{
	ParseState *state = arg;

	if (state->problem == NULL)
	{
		if (state->field == FIELD_NONE)
			note_problem(state, "value where none belongs");
		else if (fields[state->field].token != type || token == NULL ||
				 !parse_value(state, token))
			state->problem = psprintf("wrong value of field \"%s\"",
									  fields[state->field].name);
	}
	if (token != NULL)
		pfree(token);
	CKPX_JSON_RETURN;
}

/* Is the text nested no deeper than a manifest is? */
static bool
nesting_is_bounded(const char *text, size_t length)
{
	bool		in_string = false;
	int			depth = 0;

	for (size_t i = 0; i < length; i++)
	{
		char		c = text[i];

		if (in_string && c == '\\')
			i++;
		else if (c == '"')
			in_string = !in_string;
		else if (in_string)
			continue;
		else if (c == '{' || c == '[')
		{
			if (++depth > MAX_DEPTH)
				return false;
		}
		else if (c == '}' || c == ']')
			depth--;
	}
	return true;
}

/* Do the bytes agree with the digits of the checksum line? */
static bool
checksum_agrees(const char *text, size_t length, const char *digits)
{
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
	return true;
#else
	pg_cryptohash_ctx *sha256 = pg_cryptohash_create(PG_SHA256);
	uint8		computed[PG_SHA256_DIGEST_LENGTH];
	uint8		expected[PG_SHA256_DIGEST_LENGTH];
	char		copy[CHECKSUM_DIGITS + 1];

	if (sha256 == NULL || pg_cryptohash_init(sha256) < 0 ||
		pg_cryptohash_update(sha256, (const uint8 *) text, length) < 0 ||
		pg_cryptohash_final(sha256, computed, sizeof(computed)) < 0)
		pg_fatal("could not compute checksum of backup manifest");
	pg_cryptohash_free(sha256);
	memcpy(copy, digits, CHECKSUM_DIGITS);
	copy[CHECKSUM_DIGITS] = '\0';
	return parse_hex(copy, expected, sizeof(expected)) == sizeof(expected) &&
		memcmp(computed, expected, sizeof(expected)) == 0;
#endif
}

/* What is wrong with the text as a whole, or NULL. */
static const char *
check_frame(const char *text, size_t length)
{
	const char *last;

	if (length > PG_INT32_MAX)
		return "manifest is too large";
	if (length <= CHECKSUM_LINE_LENGTH)
		return "manifest is too short";
	last = text + length - CHECKSUM_LINE_LENGTH;
	if (last[-1] != '\n' ||
		memcmp(last, CHECKSUM_BEFORE, sizeof(CHECKSUM_BEFORE) - 1) != 0 ||
		memcmp(text + length - (sizeof(CHECKSUM_AFTER) - 1), CHECKSUM_AFTER,
			   sizeof(CHECKSUM_AFTER) - 1) != 0)
		return "manifest does not end with its checksum line";
	if (!checksum_agrees(text, last - text,
						 last + sizeof(CHECKSUM_BEFORE) - 1))
		return "manifest does not match its checksum";
	if (!nesting_is_bounded(text, length))
		return "manifest is nested too deeply";
	return NULL;
}

/* Are all fields of the manifest itself there? */
static void
check_fields(ParseState *state)
{
	uint32		all = BIT(FIELD_VERSION) | BIT(FIELD_FILES) |
		BIT(FIELD_RANGES) | BIT(FIELD_MANIFEST_CHECKSUM);

	if (state->manifest->version == 2)
		all |= BIT(FIELD_SYSTEM);
	if ((state->top_seen & all) != all)
		note_problem(state, "manifest lacks a field");
	else if (state->top_seen != all)
		note_problem(state, "manifest has a field of another version");
}

/*
 * Read a whole file's text.
 */
Manifest *
manifest_parse(const char *text, size_t length, char **problem)
{
	const char *reason = check_frame(text, length);
	ParseState	state = {0};
	JsonSemAction sem = {0};

	*problem = NULL;
	if (reason != NULL)
	{
		*problem = pstrdup(reason);
		return NULL;
	}
	state.manifest = manifest_create(0, 0);
	sem.semstate = &state;
	sem.object_start = on_object_start;
	sem.object_end = on_object_end;
	sem.array_start = on_array_start;
	sem.array_end = on_array_end;
	sem.object_field_start = on_field_start;
	sem.object_field_end = on_field_end;
	sem.scalar = on_scalar;

	if (!ckpx_json_parse(text, length, &sem))
		note_problem(&state, "manifest is not valid JSON");
	check_fields(&state);
	if (state.problem != NULL)
	{
		*problem = state.problem;
		manifest_free(state.manifest);
		return NULL;
	}
	return state.manifest;
}
