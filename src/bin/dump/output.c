/*-------------------------------------------------------------------------
 *
 * output.c
 *		What the program prints: tables for people, or one JSON object.
 *
 * The columns of a table are as wide as what is in them.  That is looked at
 * for a thousand rows at a time, so that memory stays bounded: later rows may
 * make a column wider, never narrower.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/dump/output.h"

#include <time.h>

#include "common/logging.h"
#include "core/format/names.h"
#include "datatype/timestamp.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#define MAX_FIELDS			40
#define BATCH_ROWS			1000

typedef enum SectionKind
{
	SECTION_NONE = 0,
	SECTION_ONE,
	SECTION_MANY
} SectionKind;

static bool json;
static SectionKind kind;
static uint32 nsections;
static uint64 nrows;			/* of the section */

/* The row in work: as it will be printed. */
static int	nfields;
static const char *names[MAX_FIELDS];
static char *values[MAX_FIELDS];
static bool right[MAX_FIELDS];	/* numbers, to be set to the right */

/* Rows of a table that are not printed yet. */
static int	nbatch;
static char **batch[BATCH_ROWS];
static int	widths[MAX_FIELDS];
static int	ncolumns;

void
output_begin(bool as_json)
{
	json = as_json;
}

/*-------------------------------------------------------------------------
 * Rows
 *-------------------------------------------------------------------------
 */

static void
put_cell(const char *text, int column)
{
	int			room = widths[column] - (int) strlen(text);

	if (column > 0)
		fputs("  ", stdout);
	if (right[column])
		printf("%*s%s", Max(room, 0), "", text);
	else if (column == ncolumns - 1)
		fputs(text, stdout);
	else
		printf("%s%*s", text, Max(room, 0), "");
}

static void
flush_batch(void)
{
	for (int row = 0; row < nbatch; row++)
	{
		for (int i = 0; i < ncolumns; i++)
			widths[i] = Max(widths[i], (int) strlen(batch[row][i]));
	}
	if (nbatch > 0 && nrows == nbatch)
	{
		for (int i = 0; i < ncolumns; i++)
			put_cell(names[i], i);
		printf("\n");
	}
	for (int row = 0; row < nbatch; row++)
	{
		for (int i = 0; i < ncolumns; i++)
		{
			put_cell(batch[row][i], i);
			pfree(batch[row][i]);
		}
		printf("\n");
		pfree(batch[row]);
	}
	nbatch = 0;
}

static void
end_section(void)
{
	if (kind == SECTION_MANY && json)
		printf(nrows > 0 ? "\n]" : "]");
	else if (kind == SECTION_MANY)
	{
		flush_batch();
		if (nrows == 0)
			printf("(none)\n");
	}
	kind = SECTION_NONE;
}

static void
begin_section(const char *name, SectionKind new_kind)
{
	end_section();
	kind = new_kind;
	if (json)
		printf("%s\n\"%s\": %s", nsections > 0 ? "," : "{", name,
			   kind == SECTION_MANY ? "[" : "");
	else
		printf("%s%s\n", nsections > 0 ? "\n" : "", name);
	nsections++;
	nrows = 0;
	memset(widths, 0, sizeof(widths));
	memset(right, 0, sizeof(right));
}

void
output_one(const char *name)
{
	begin_section(name, SECTION_ONE);
}

void
output_many(const char *name)
{
	begin_section(name, SECTION_MANY);
}

void
output_end(void)
{
	end_section();
	if (json)
		printf("\n}\n");
	if (fflush(stdout) != 0 || ferror(stdout))
		pg_fatal("could not write to standard output: %m");
}

static void
row_as_json(void)
{
	if (nrows > 1)
		printf(",");
	printf("%s{", kind == SECTION_MANY ? "\n" : "");
	for (int i = 0; i < nfields; i++)
	{
		printf("%s\"%s\": %s", i > 0 ? ", " : "", names[i], values[i]);
		pfree(values[i]);
	}
	printf("}");
}

void
output_row(void)
{
	nrows++;
	if (json)
		row_as_json();
	else if (kind == SECTION_ONE)
	{
		for (int i = 0; i < nfields; i++)
		{
			printf("  %-28s %s\n", names[i], values[i]);
			pfree(values[i]);
		}
	}
	else
	{
		if (nrows == 1)
		{
			ncolumns = nfields;
			for (int i = 0; i < nfields; i++)
				widths[i] = (int) strlen(names[i]);
		}
		batch[nbatch] = palloc(sizeof(char *) * nfields);
		memcpy(batch[nbatch], values, sizeof(char *) * nfields);
		if (++nbatch == BATCH_ROWS)
			flush_batch();
	}
	nfields = 0;
}

/*-------------------------------------------------------------------------
 * Fields
 *-------------------------------------------------------------------------
 */

/* Take a value, which is ours from now on. */
static void
put_field(const char *name, char *value, bool is_number)
{
	Assert(nfields < MAX_FIELDS);
	names[nfields] = name;
	right[nfields] = right[nfields] || is_number;
	values[nfields++] = value;
}

/* A text of any bytes as JSON. */
static char *
json_text(const char *value)
{
	int			length = (int) strlen(value);
	bool		utf8 = pg_encoding_verifymbstr(PG_UTF8, value,
											   length) == length;
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfoChar(&text, '"');
	for (const char *at = value; *at != '\0'; at++)
	{
		unsigned char byte = (unsigned char) *at;

		if (byte == '"' || byte == '\\')
			appendStringInfo(&text, "\\%c", byte);
		else if (byte < 0x20 || byte == 0x7f || (byte >= 0x80 && !utf8))
			appendStringInfo(&text, "\\u%04X", byte);
		else
			appendStringInfoChar(&text, (char) byte);
	}
	appendStringInfoChar(&text, '"');
	return text.data;
}

char *
output_printable(char *text)
{
	for (char *at = text; *at != '\0'; at++)
	{
		if ((unsigned char) *at < 0x20 || *at == 0x7f)
			*at = '?';
	}
	return text;
}

void
output_text(const char *name, const char *value)
{
	put_field(name, json ? json_text(value) :
			  output_printable(pstrdup(value)), false);
}

void
output_number(const char *name, uint64 value)
{
	put_field(name, psprintf(UINT64_FORMAT, value), true);
}

void
output_bool(const char *name, bool value)
{
	put_field(name, pstrdup(json ? (value ? "true" : "false") :
							value ? "yes" : "no"), false);
}

void
output_null(const char *name)
{
	put_field(name, pstrdup(json ? "null" : "-"), false);
}

void
output_lsn(const char *name, XLogRecPtr value)
{
	char		text[CKPX_LSN_TEXT_MAX];

	if (value == InvalidXLogRecPtr)
	{
		output_null(name);
		return;
	}
	ckpx_lsn_text(text, value);
	output_text(name, text);
}

void
output_hex(const char *name, uint64 value, int digits)
{
	char		text[32];

	snprintf(text, sizeof(text), "%08X%08X", LSN_FORMAT_ARGS(value));
	output_text(name, text + 16 - digits);
}

/*
 * A time in UTC, in the form that PostgreSQL reads.
 */
void
output_time(const char *name, int64 value)
{
	int64		seconds = value / USECS_PER_SEC;
	int64		fraction = value % USECS_PER_SEC;
	char		date[64];
	time_t		when;
	struct tm	tm;

	if (value == 0)
	{
		output_null(name);
		return;
	}
	if (fraction < 0)
	{
		seconds--;
		fraction += USECS_PER_SEC;
	}
	when = (time_t) (seconds + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) *
					 SECS_PER_DAY);
	if (gmtime_r(&when, &tm) == NULL ||
		strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm) == 0)
	{
		output_null(name);
		return;
	}
	snprintf(date + strlen(date), sizeof(date) - strlen(date), ".%06d+00",
			 (int) fraction);
	output_text(name, date);
}

bool
output_ranges(const char *name, CkpxBlockSetIterator *it)
{
	StringInfoData text;
	BlockNumber start;
	BlockNumber end;
	int			n = 0;

	initStringInfo(&text);
	appendStringInfoChar(&text, json ? '[' : '{');
	while (n < OUTPUT_RANGES && ckpx_block_set_next_range(it, &start, &end))
		appendStringInfo(&text, json ? "%s[%u,%u]" : "%s[%u,%u)",
						 n++ > 0 ? "," : "", start, end);
	appendStringInfoChar(&text, json ? ']' : '}');
	put_field(name, text.data, false);
	return n < OUTPUT_RANGES;
}
