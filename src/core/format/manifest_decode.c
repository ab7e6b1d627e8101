/*-------------------------------------------------------------------------
 *
 * manifest_decode.c
 *		The text of a metadata file, verified and read.
 *
 * Reading trusts nothing before the checksum line at the very end agrees with
 * the bytes before it, and little after that.  The layout is fixed to the
 * byte, so the reader takes what it expects piece by piece, and whatever does
 * not go on as expected is a problem; that is many times as quick as a parser
 * that knows all of JSON.  Versions 1 and 2 are read by one, see
 * manifest_json.c.
 *
 *-------------------------------------------------------------------------
 */
#include "core/format/manifest_internal.h"

#define PROBLEM_LAYOUT		"manifest does not have the layout of its version"

/* More than any value takes, escapes apart. */
#define TOKEN_ROOM			128

/* With 'visit' entries are handed out and not kept. */
typedef struct Cursor
{
	const char *at;
	const char *end;
	CkpxManifestVisit visit;
	void	   *arg;
	char		token[TOKEN_ROOM];
} Cursor;

/* Go on behind 'text', if that is what comes. */
static bool
take(Cursor *cursor, const char *text)
{
	Size		length = strlen(text);	/* mostly of a constant */

	if ((Size) (cursor->end - cursor->at) < length ||
		memcmp(cursor->at, text, length) != 0)
		return false;
	cursor->at += length;
	return true;
}

/*
 * Take what follows a backslash, as the writer makes it; 0: it does not.
 */
static char
take_escaped(Cursor *cursor)
{
	char		digits[3];
	uint8		byte;

	if (take(cursor, "\""))
		return '"';
	if (take(cursor, "\\"))
		return '\\';
	if (!take(cursor, "u00") || cursor->end - cursor->at < 2)
		return '\0';
	memcpy(digits, cursor->at, 2);
	digits[2] = '\0';
	cursor->at += 2;
	if (ckpx_manifest_parse_hex(digits, &byte, 1) != 1 ||
		(byte >= 0x20 && byte != 0x7f))
		return '\0';
	return (char) byte;
}

/*
 * Take a value into the cursor's token.
 */
static bool
take_token(Cursor *cursor, bool *quoted)
{
	int			length = 0;

	*quoted = take(cursor, "\"");
	while (cursor->at < cursor->end && length < TOKEN_ROOM - 1)
	{
		char		c = *cursor->at;

		if (*quoted ? c == '"' : c == ',' || c == ']')
			break;
		if ((uint8) c < 0x20 || c == 0x7f)
			return false;
		cursor->at++;
		if (*quoted && c == '\\' && (c = take_escaped(cursor)) == '\0')
			return false;
		cursor->token[length++] = c;
	}
	cursor->token[length] = '\0';
	return !*quoted || take(cursor, "\"");
}

/* The zero bytes at the end of a bitmap are not written. */
static bool
value_is_short(const Field *field, const char *token)
{
	Size		length = strlen(token);

	return field->type != FIELD_RMGRS || length < 2 ||
		strcmp(token + length - 2, "00") != 0;
}

static const char *
read_value(Cursor *cursor, const Field *field, char *base)
{
	bool		quoted;

	if (!take_token(cursor, &quoted) ||
		!value_is_short(field, cursor->token) ||
		!ckpx_manifest_parse_value(field, base, cursor->token, quoted))
		return PROBLEM_VALUE;
	return NULL;
}

/* How many lines come before one that begins with a bracket? */
static uint32
count_rows(const Cursor *cursor)
{
	const char *at = cursor->at;
	uint32		rows = 0;

	while ((at = memchr(at, '\n', cursor->end - at)) != NULL &&
		   ++at < cursor->end && *at != ']')
		rows++;
	return rows;
}

static const char *
check_entry(const CkpxManifest *manifest, const CkpxEntry *entry)
{
	if (entry->range.start_lsn >= entry->range.end_lsn)
		return "manifest has an entry whose range is empty";
	if (entry->range.epoch == 0 || entry->range.epoch > manifest->epoch)
		return "manifest has an entry of an epoch that did not begin";
	if (entry->range.timeline == 0)
		return "manifest has an entry without a timeline";
	if (entry->version == 0 || entry->nparts == 0)
		return "manifest has an entry without an object";
	return NULL;
}

/* Hand out the entry that was read last, and use its place again. */
static const char *
visit_entry(const Cursor *cursor, CkpxManifest *manifest)
{
	CkpxEntry  *entry = &manifest->entries[--manifest->nentries];
	const char *problem = check_entry(manifest, entry);

	if (problem != NULL)
		return problem;
	entry->state = CKPX_ENTRY_FINISHED;
	cursor->visit(cursor->arg, entry);
	return NULL;
}

static const char *
read_row(Cursor *cursor, const List *list, char *item)
{
	for (int i = 0; i < list->nfields; i++)
	{
		const char *problem;

		if (i > 0 && !take(cursor, ","))
			return PROBLEM_LAYOUT;
		problem = read_value(cursor, &list->fields[i], item);
		if (problem != NULL)
			return problem;
	}
	return NULL;
}

static const char *
read_list(Cursor *cursor, const List *list, CkpxManifest *manifest)
{
	bool		visited = cursor->visit != NULL &&
		list == &ckpx_manifest_lists[0];
	uint32		nitems = 0;
	uint32		room;

	if (!take(cursor, "\"") || !take(cursor, list->name) ||
		!take(cursor, "\": [\n"))
		return PROBLEM_LAYOUT;
	for (int i = 0; i < list->nfields; i++)
	{
		if (!take(cursor, i == 0 ? "[\"" : ",\"") ||
			!take(cursor, list->fields[i].name) || !take(cursor, "\""))
			return PROBLEM_LAYOUT;
	}
	room = visited ? 0 : count_rows(cursor);
	while (take(cursor, "],\n["))
	{
		char	   *item = ckpx_manifest_append(list, manifest, &room);
		const char *problem;

		if (item == NULL || ++nitems > list->max_items)
			return PROBLEM_LONG_LIST;
		problem = read_row(cursor, list, item);
		if (problem == NULL && visited)
			problem = visit_entry(cursor, manifest);
		if (problem != NULL)
			return problem;
	}
	return take(cursor, "]\n],\n") ? NULL : PROBLEM_LAYOUT;
}

/*
 * Read all lines but the last one.
 */
static const char *
read_text(CkpxManifest *manifest, const char *text, Size length,
		  CkpxManifestVisit visit, void *arg)
{
	Cursor		cursor;
	const char *problem;

	cursor.at = text;
	cursor.end = text + length - CHECKSUM_LINE_LENGTH;
	cursor.visit = visit;
	cursor.arg = arg;
	for (int i = 0; i < NTOP_FIELDS; i++)
	{
		const Field *field = &ckpx_manifest_top[i];

		if (field->type == FIELD_IGNORED)
			continue;
		if (!take(&cursor, i == 0 ? "{ \"" : "\"") ||
			!take(&cursor, field->name) || !take(&cursor, "\": "))
			return PROBLEM_LAYOUT;
		problem = read_value(&cursor, field, (char *) manifest);
		if (problem != NULL)
			return problem;
		if (!take(&cursor, ",\n"))
			return PROBLEM_LAYOUT;
	}
	for (int i = 0; i < NLISTS; i++)
	{
		problem = read_list(&cursor, &ckpx_manifest_lists[i], manifest);
		if (problem != NULL)
			return problem;
	}
	return cursor.at == cursor.end ? NULL : PROBLEM_LAYOUT;
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
 * Verify the last line, then the version on the first one, which goes into the
 * manifest.
 */
static const char *
check_frame(CkpxManifest *manifest, const char *text, Size length)
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
	if (!ckpx_manifest_parse_value(&ckpx_manifest_top[0], (char *) manifest,
								   digits, false) || manifest->version == 0)
		return "manifest does not begin as one";
	if (manifest->version > CKPX_MANIFEST_VERSION)
		return "manifest is of a newer version than this one can read";
	return NULL;
}

/*
 * Check what numbers mean, once all are there.
 */
static const char *
check_meaning(const CkpxManifest *manifest, uint32 version)
{
	if (manifest->version != version)
		return "manifest gives two versions";

	for (uint32 i = 0; i < manifest->nentries; i++)
	{
		const char *problem = check_entry(manifest, &manifest->entries[i]);

		if (problem != NULL)
			return problem;
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

static bool
read_manifest(CkpxManifest *manifest, const char *text, Size length,
			  CkpxManifestVisit visit, void *arg, const char **problem)
{
	uint32		version;

	memset(manifest, 0, sizeof(*manifest));
	*problem = check_frame(manifest, text, length);
	version = manifest->version;
	if (*problem == NULL)
		*problem = version <= LAST_JSON_VERSION ?
			ckpx_manifest_read_json(manifest, text, length, version) :
			read_text(manifest, text, length, visit, arg);
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

bool
ckpx_manifest_decode(CkpxManifest *manifest, const char *text, Size length,
					 const char **problem)
{
	return read_manifest(manifest, text, length, NULL, NULL, problem);
}

bool
ckpx_manifest_visit(const char *text, Size length, CkpxManifestVisit visit,
					void *arg, const char **problem)
{
	CkpxManifest manifest;

	if (!read_manifest(&manifest, text, length, visit, arg, problem))
		return false;

	/* Of an old version all are there. */
	for (uint32 i = 0; i < manifest.nentries; i++)
		visit(arg, &manifest.entries[i]);
	ckpx_manifest_free(&manifest);
	return true;
}
