/*-------------------------------------------------------------------------
 *
 * label.c
 *		backup_label: where a backup's WAL starts, and which one it needs.
 *
 * Lines are taken in any order, as PostgreSQL 17 writes those of an increment
 * last; a line that is not known is ignored.  A known one that occurs twice is
 * refused, because a label's own text may have line ends in it.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/common/label.h"

#include "common/logging.h"
#include "lib/stringinfo.h"

#define INCREMENTAL_LSN	"INCREMENTAL FROM LSN: "
#define INCREMENTAL_TLI	"INCREMENTAL FROM TLI: "
#define LABEL_ID		"ckpx id "
#define LABEL_PARENT	" parent "
#define NO_PARENT		"none"

/* Read a number and move *at behind it; 'base' is 10 or 16. */
static bool
take_number(const char **at, int base, uint64 max, uint64 *number)
{
	const char *start = *at;
	uint64		sum = 0;

	for (;; (*at)++)
	{
		char		c = **at;
		uint64		digit;

		if (c >= '0' && c <= '9')
			digit = c - '0';
		else if (base == 16 && c >= 'A' && c <= 'F')
			digit = c - 'A' + 10;
		else if (base == 16 && c >= 'a' && c <= 'f')
			digit = c - 'a' + 10;
		else
			break;
		if (sum > (max - digit) / base)
			return false;
		sum = sum * base + digit;
	}
	*number = sum;
	return *at > start;
}

static bool
take_text(const char **at, const char *text)
{
	size_t		length = strlen(text);

	if (strncmp(*at, text, length) != 0)
		return false;
	*at += length;
	return true;
}

static bool
take_lsn(const char **at, XLogRecPtr *lsn)
{
	uint64		high;
	uint64		low;

	if (!take_number(at, 16, PG_UINT32_MAX, &high) || !take_text(at, "/") ||
		!take_number(at, 16, PG_UINT32_MAX, &low))
		return false;
	*lsn = high << 32 | low;
	return *lsn != InvalidXLogRecPtr;
}

static bool
take_timeline(const char **at, TimeLineID *tli)
{
	uint64		number;

	if (!take_number(at, 10, PG_UINT32_MAX, &number))
		return false;
	*tli = (TimeLineID) number;
	return number != 0;
}

/* Two lines give the timeline. */
static bool
set_timeline(BackupLabel *label, TimeLineID tli)
{
	if (tli == 0 || (label->start_tli != 0 && label->start_tli != tli))
		return false;
	label->start_tli = tli;
	return true;
}

/* "X/X (file 24 digits)": the file's first 8 digits are the timeline. */
static bool
parse_start(BackupLabel *label, const char *at)
{
	char		digits[9];
	const char *end = digits;
	uint64		number;

	if (!take_lsn(&at, &label->start_lsn) || !take_text(&at, " (file "))
		return false;
	if (strspn(at, "0123456789ABCDEF") != 24 || strcmp(at + 24, ")") != 0)
		return false;
	strlcpy(digits, at, sizeof(digits));
	return take_number(&end, 16, PG_UINT32_MAX, &number) &&
		set_timeline(label, (TimeLineID) number);
}

static bool
parse_checkpoint(BackupLabel *label, const char *at)
{
	return take_lsn(&at, &label->checkpoint_lsn) && *at == '\0';
}

static bool
parse_from(BackupLabel *label, const char *at)
{
	label->from_standby = strcmp(at, "standby") == 0;
	return label->from_standby || strcmp(at, "primary") == 0;
}

static bool
parse_time(BackupLabel *label, const char *at)
{
	strlcpy(label->start_time, at, sizeof(label->start_time));
	return true;
}

/* Copy an id and move *at behind it. */
static bool
take_id(const char **at, char *id)
{
	if (strspn(*at, "0123456789abcdef") != BACKUP_ID_LENGTH)
		return false;
	strlcpy(id, *at, BACKUP_ID_LENGTH + 1);
	*at += BACKUP_ID_LENGTH;
	return true;
}

/* A label that is not ours is no error. */
static bool
parse_label(BackupLabel *label, const char *at)
{
	if (!take_text(&at, LABEL_ID) || !take_id(&at, label->id) ||
		!take_text(&at, LABEL_PARENT) ||
		!(take_text(&at, NO_PARENT) || take_id(&at, label->parent)) ||
		*at != '\0')
	{
		label->id[0] = '\0';
		label->parent[0] = '\0';
	}
	return true;
}

static bool
parse_timeline(BackupLabel *label, const char *at)
{
	TimeLineID	tli;

	return take_timeline(&at, &tli) && *at == '\0' &&
		set_timeline(label, tli);
}

static bool
parse_incremental_lsn(BackupLabel *label, const char *at)
{
	return take_lsn(&at, &label->incremental_lsn) && *at == '\0';
}

static bool
parse_incremental_tli(BackupLabel *label, const char *at)
{
	return take_timeline(&at, &label->incremental_tli) && *at == '\0';
}

static bool
parse_mark(BackupLabel *label, const char *at)
{
	CheckpointMark *mark = &label->mark;
	const char *crc;
	uint64		number;

	if (!take_lsn(&at, &mark->lsn) || !take_text(&at, " CRC "))
		return false;
	crc = at;
	if (!take_number(&at, 16, PG_UINT32_MAX, &number) || at - crc != 8)
		return false;
	mark->crc = (uint32) number;
	mark->has_crc = true;
	if (!take_text(&at, " TIME ") ||
		!take_number(&at, 10, PG_INT64_MAX, &number) || *at != '\0')
		return false;
	mark->time = (int64) number;
	return true;
}

/* The lines that are known, and what is said where one is wrong. */
typedef struct LabelLine
{
	const char *prefix;
	bool		(*parse) (BackupLabel *label, const char *at);
	bool		needed;
	const char *wrong;
	const char *missing;
} LabelLine;

static const LabelLine lines[] = {
	{"START WAL LOCATION: ", parse_start, true,
	"wrong line START WAL LOCATION", "line START WAL LOCATION is missing"},
	{"CHECKPOINT LOCATION: ", parse_checkpoint, true,
		"wrong line CHECKPOINT LOCATION",
	"line CHECKPOINT LOCATION is missing"},
	{"BACKUP FROM: ", parse_from, false, "wrong line BACKUP FROM", NULL},
	{"START TIME: ", parse_time, false, "wrong line START TIME", NULL},
	{"LABEL: ", parse_label, false, "wrong line LABEL", NULL},
	{"START TIMELINE: ", parse_timeline, true,
	"wrong line START TIMELINE", "line START TIMELINE is missing"},
	{INCREMENTAL_LSN, parse_incremental_lsn, false,
	"wrong line INCREMENTAL FROM LSN", NULL},
	{INCREMENTAL_TLI, parse_incremental_tli, false,
	"wrong line INCREMENTAL FROM TLI", NULL},
	{"CKPX CHECKPOINT: ", parse_mark, false,
	"wrong line CKPX CHECKPOINT", NULL}
};

/* Take one line, without its end, apart; 'seen' has a bit for each known. */
static bool
parse_line(BackupLabel *label, const char *line, uint32 *seen,
		   const char **problem)
{
	for (int i = 0; i < lengthof(lines); i++)
	{
		const char *at = line;

		if (!take_text(&at, lines[i].prefix))
			continue;
		if ((*seen & (1 << i)) != 0 || !lines[i].parse(label, at))
		{
			*problem = lines[i].wrong;
			return false;
		}
		*seen |= 1 << i;
	}
	return true;
}

/* What the lines say together. */
static const char *
check_meaning(const BackupLabel *label, uint32 seen)
{
	for (int i = 0; i < lengthof(lines); i++)
		if (lines[i].needed && (seen & (1 << i)) == 0)
			return lines[i].missing;
	if ((label->incremental_lsn == InvalidXLogRecPtr) !=
		(label->incremental_tli == 0))
		return "one of the lines INCREMENTAL FROM is missing";
	if (label->incremental_lsn > label->start_lsn)
		return "start of an increment precedes the backup that it needs";
	if (label->start_lsn > label->checkpoint_lsn)
		return "checkpoint precedes its redo point";
	if (label->mark.lsn != InvalidXLogRecPtr &&
		label->mark.lsn != label->checkpoint_lsn)
		return "line CKPX CHECKPOINT is of another checkpoint";
	return NULL;
}

/*
 * Take a label apart.
 */
bool
label_parse(BackupLabel *label, const char *text, size_t length,
			const char **problem)
{
	char	   *copy;
	uint32		seen = 0;

	memset(label, 0, sizeof(*label));
	*problem = NULL;
	if (length > LABEL_MAX_BYTES)
		*problem = "label is too long";
	else if (length == 0 || text[length - 1] != '\n')
		*problem = "label does not end with a line";
	else if (memchr(text, '\0', length) != NULL)
		*problem = "label is not text";
	if (*problem != NULL)
		return false;

	copy = pg_malloc(length);
	memcpy(copy, text, length);
	copy[length - 1] = '\0';
	for (char *line = copy; line != NULL && *problem == NULL;)
	{
		char	   *end = strchr(line, '\n');

		if (end != NULL)
			*end++ = '\0';
		if (parse_line(label, line, &seen, problem))
			line = end;
	}
	pg_free(copy);
	if (*problem == NULL)
		*problem = check_meaning(label, seen);
	if (*problem != NULL)
		return false;
	if (label->mark.lsn != InvalidXLogRecPtr)
		label->mark.redo = label->start_lsn;
	return true;
}

/* What pg_backup_start() is given, in new memory. */
char *
label_argument(const char *id, const char *parent)
{
	return psprintf(LABEL_ID "%s" LABEL_PARENT "%s", id,
					parent != NULL && parent[0] != '\0' ? parent : NO_PARENT);
}

/* The file from what pg_backup_stop() returned, in new memory. */
char *
label_format(const char *labelfile, XLogRecPtr incremental_lsn,
			 TimeLineID incremental_tli, const CheckpointMark *mark)
{
	StringInfoData text;

	initStringInfo(&text);
	if (incremental_lsn != InvalidXLogRecPtr)
		appendStringInfo(&text,
						 INCREMENTAL_LSN "%X/%X\n" INCREMENTAL_TLI "%u\n",
						 LSN_FORMAT_ARGS(incremental_lsn), incremental_tli);
	appendStringInfoString(&text, labelfile);
	if (text.len > 0 && text.data[text.len - 1] != '\n')
		appendStringInfoChar(&text, '\n');
	if (mark != NULL && mark->lsn != InvalidXLogRecPtr && mark->has_crc)
		appendStringInfo(&text, "CKPX CHECKPOINT: %X/%X CRC %08X TIME "
						 INT64_FORMAT "\n", LSN_FORMAT_ARGS(mark->lsn),
						 mark->crc, mark->time);
	return text.data;
}

/* The label without the lines of an increment, in new memory. */
char *
label_without_increment(const char *text)
{
	StringInfoData result;

	initStringInfo(&result);
	while (*text != '\0')
	{
		const char *line = text;
		const char *end = strchr(line, '\n');

		text = end != NULL ? end + 1 : line + strlen(line);
		if (!take_text(&line, INCREMENTAL_LSN) &&
			!take_text(&line, INCREMENTAL_TLI))
			appendBinaryStringInfo(&result, line, (int) (text - line));
	}
	return result.data;
}

/* A new random id. */
void
label_make_id(char *id)
{
	uint8		bytes[BACKUP_ID_LENGTH / 2];

	if (!pg_strong_random(bytes, sizeof(bytes)))
		pg_fatal("could not generate a random identifier");
	for (int i = 0; i < lengthof(bytes); i++)
		snprintf(id + 2 * i, 3, "%02x", bytes[i]);
}
