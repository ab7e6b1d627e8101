/*-------------------------------------------------------------------------
 *
 * names.c
 *		Every file and folder name that ckpx owns.
 *
 * Building puts fixed-width fields one after the other.  Parsing reads them
 * back loosely, builds the name again from what it read and accepts only if
 * both agree byte for byte.  So there is one description of a name, and no
 * spelling can be accepted that is never produced: no lower-case digit, no
 * sign or space, no leading zero in a part number, nothing behind the end,
 * and no '/', because building never writes one.
 *
 *-------------------------------------------------------------------------
 */
#include "core/format/names.h"

#include "core/bytes.h"
#include "port/pg_bitutils.h"
#include "port/pg_bswap.h"

#define OBJECT_SUFFIX		".ckpx"
#define MANIFEST_PREFIX		"meta_"
#define MANIFEST_SUFFIX		".json"
#define TEMPORARY_SUFFIX	".tmp"
#define DAMAGED_SUFFIX		".damaged"

/* Prefixes of object names by kind, all of one length. */
#define OBJECT_PREFIX_LENGTH	4
static const char *const object_prefix[] = {
	[CKPX_KIND_NONE] = NULL,
	[CKPX_KIND_INCREMENTAL] = "inc_",
	[CKPX_KIND_GLOBAL] = "glo_",
	[CKPX_KIND_BACKUP] = "bak_",
	[CKPX_KIND_SEGMENT] = "seg_"
};

/*
 * Writers: each puts its text at 'at' and returns the place behind it.
 */
/*
 * Eight hex digits, the first one in the highest byte, all at once, for ten
 * thousand names may be wanted in one answer.  First each nibble is brought
 * into a byte of its own; those above 9 are the ones that a 6 carries into the
 * next nibble.
 */
static inline uint64
hex_digits(uint32 value)
{
	uint64		x = value;
	uint64		letters;

	x = (x | x << 16) & UINT64CONST(0x0000FFFF0000FFFF);
	x = (x | x << 8) & UINT64CONST(0x00FF00FF00FF00FF);
	x = (x | x << 4) & UINT64CONST(0x0F0F0F0F0F0F0F0F);
	letters = ((x + UINT64CONST(0x0606060606060606)) >> 4) &
		UINT64CONST(0x0101010101010101);
	return x + UINT64CONST(0x3030303030303030) + letters * ('A' - '0' - 10);
}

static inline char *
put_hex8(char *at, uint32 value)
{
	uint64		digits = pg_hton64(hex_digits(value));

	memcpy(at, &digits, sizeof(digits));
	return at + 8;
}

static inline char *
put_hex16(char *at, uint64 value)
{
	return put_hex8(put_hex8(at, (uint32) (value >> 32)), (uint32) value);
}

/* The same without leading zeros; there is room for all eight. */
static inline char *
put_short_hex(char *at, uint32 value)
{
	int			width = value == 0 ? 1 : pg_leftmost_one_pos32(value) / 4 + 1;
	uint64		digits = pg_hton64(hex_digits(value) << (8 * (8 - width)));

	memcpy(at, &digits, sizeof(digits));
	return at + width;
}

static char *
put_decimal(char *at, uint32 value)
{
	char		digits[10];
	int			n = 0;

	do
	{
		digits[n++] = '0' + value % 10;
		value /= 10;
	} while (value != 0);
	while (n > 0)
		*at++ = digits[--n];
	return at;
}

/*
 * Readers: each moves *at behind what it took and returns false where the
 * text does not go on as expected.  They never pass the closing zero byte.
 */
static bool
take_text(const char **at, const char *text)
{
	Size		length = strlen(text);

	if (strncmp(*at, text, length) != 0)
		return false;
	*at += length;
	return true;
}

/* Take at least one and at most 'width' hex digits, width <= 16. */
static bool
take_hex(const char **at, int width, uint64 *value)
{
	int			n = 0;

	*value = 0;
	for (; n < width; n++, (*at)++)
	{
		char		c = **at;

		if (c >= '0' && c <= '9')
			*value = (*value << 4) | (uint64) (c - '0');
		else if (c >= 'A' && c <= 'F')
			*value = (*value << 4) | (uint64) (c - 'A' + 10);
		else
			break;
	}
	return n > 0;
}

static bool
take_decimal(const char **at, uint32 *value)
{
	uint64		sum = 0;
	int			n = 0;

	for (; n < 10 && **at >= '0' && **at <= '9'; n++, (*at)++)
		sum = sum * 10 + (uint64) (**at - '0');
	*value = (uint32) sum;
	return n > 0 && sum <= PG_UINT32_MAX;
}

/*
 * Write the name of part 'part' of an object.
 */
int
ckpx_object_name(char *name, CkpxEntryKind kind, uint32 epoch,
				 TimeLineID timeline, XLogRecPtr start_lsn,
				 XLogRecPtr end_lsn, uint32 part)
{
	char	   *at = name;

	Assert(kind > CKPX_KIND_NONE && kind <= CKPX_KIND_SEGMENT);

	memcpy(at, object_prefix[kind], OBJECT_PREFIX_LENGTH);
	at += OBJECT_PREFIX_LENGTH;
	at = put_hex8(at, epoch);
	at = ckpx_put_text(at, "_");
	at = put_hex8(at, timeline);
	at = ckpx_put_text(at, "_");
	at = put_hex16(at, start_lsn);
	at = ckpx_put_text(at, "_");
	at = put_hex16(at, end_lsn);
	at = ckpx_put_text(at, OBJECT_SUFFIX);
	if (part != 0)
	{
		at = ckpx_put_text(at, ".");
		at = put_decimal(at, part);
	}
	*at = '\0';
	return (int) (at - name);
}

int
ckpx_entry_object_name(char *name, const CkpxEntry *entry, uint32 part)
{
	return ckpx_object_name(name, entry->kind, entry->range.epoch,
							entry->range.timeline, entry->range.start_lsn,
							entry->range.end_lsn, part);
}

/*
 * Write the name of a manifest.
 */
int
ckpx_manifest_name(char *name, uint64 sequence, XLogRecPtr start_lsn,
				   XLogRecPtr end_lsn)
{
	char	   *at = name;

	at = ckpx_put_text(at, MANIFEST_PREFIX);
	at = put_hex16(at, sequence);
	at = ckpx_put_text(at, "_");
	at = put_hex16(at, start_lsn);
	at = ckpx_put_text(at, "_");
	at = put_hex16(at, end_lsn);
	at = ckpx_put_text(at, MANIFEST_SUFFIX);
	*at = '\0';
	return (int) (at - name);
}

/*
 * Write the name of the folder of one data directory.
 */
int
ckpx_folder_name(char *name, uint64 system_identifier, uint64 node_id)
{
	char	   *at = name;

	at = put_hex16(at, system_identifier);
	at = ckpx_put_text(at, "-");
	at = put_hex16(at, node_id);
	*at = '\0';
	return (int) (at - name);
}

void
ckpx_temporary_name(char *name)
{
	Size		length = strlen(name);

	Assert(length + sizeof(TEMPORARY_SUFFIX) <= CKPX_NAME_MAX);
	memcpy(name + length, TEMPORARY_SUFFIX, sizeof(TEMPORARY_SUFFIX));
}

void
ckpx_damaged_name(char *name)
{
	Size		length = strlen(name);

	Assert(length + sizeof(DAMAGED_SUFFIX) <= CKPX_NAME_MAX);
	memcpy(name + length, DAMAGED_SUFFIX, sizeof(DAMAGED_SUFFIX));
}

/*
 * Read the fields of an object's name, and build the name again into
 * 'rebuilt'.
 */
static bool
take_object(const char *name, CkpxName *parsed, char *rebuilt)
{
	const char *at = name;
	uint64		epoch;
	uint64		timeline;

	for (int kind = CKPX_KIND_INCREMENTAL; kind <= CKPX_KIND_SEGMENT; kind++)
	{
		if (take_text(&at, object_prefix[kind]))
		{
			parsed->kind = (CkpxEntryKind) kind;
			break;
		}
	}
	if (parsed->kind == CKPX_KIND_NONE)
		return false;
	if (!take_hex(&at, 8, &epoch) || !take_text(&at, "_") ||
		!take_hex(&at, 8, &timeline) || !take_text(&at, "_") ||
		!take_hex(&at, 16, &parsed->start_lsn) || !take_text(&at, "_") ||
		!take_hex(&at, 16, &parsed->end_lsn) ||
		!take_text(&at, OBJECT_SUFFIX))
		return false;
	parsed->epoch = (uint32) epoch;
	parsed->timeline = (TimeLineID) timeline;

	/* without a number, building again settles whether ".tmp" follows */
	if (at[0] == '.' && at[1] >= '1' && at[1] <= '9')
	{
		at++;
		if (!take_decimal(&at, &parsed->part))
			return false;
	}
	ckpx_object_name(rebuilt, parsed->kind, parsed->epoch, parsed->timeline,
					 parsed->start_lsn, parsed->end_lsn, parsed->part);
	return true;
}

static bool
take_manifest(const char *name, CkpxName *parsed, char *rebuilt)
{
	const char *at = name;

	if (!take_text(&at, MANIFEST_PREFIX) ||
		!take_hex(&at, 16, &parsed->sequence) || !take_text(&at, "_") ||
		!take_hex(&at, 16, &parsed->start_lsn) || !take_text(&at, "_") ||
		!take_hex(&at, 16, &parsed->end_lsn))
		return false;
	ckpx_manifest_name(rebuilt, parsed->sequence, parsed->start_lsn,
					   parsed->end_lsn);
	return true;
}

/*
 * Parse a file name.
 */
void
ckpx_parse_name(const char *name, CkpxName *parsed)
{
	char		rebuilt[CKPX_NAME_MAX];

	memset(parsed, 0, sizeof(*parsed));
	if (take_object(name, parsed, rebuilt))
		parsed->type = CKPX_NAME_OBJECT;
	else
	{
		memset(parsed, 0, sizeof(*parsed));
		if (take_manifest(name, parsed, rebuilt))
			parsed->type = CKPX_NAME_MANIFEST;
	}

	if (parsed->type != CKPX_NAME_UNKNOWN)
	{
		Size		length = strlen(rebuilt);

		if (strcmp(name, rebuilt) == 0)
			return;
		if (parsed->type == CKPX_NAME_OBJECT)
		{
			ckpx_damaged_name(rebuilt);
			if (strcmp(name, rebuilt) == 0)
			{
				parsed->type = CKPX_NAME_DAMAGED;
				return;
			}
			rebuilt[length] = '\0';
		}
		ckpx_temporary_name(rebuilt);
		if (strcmp(name, rebuilt) == 0)
		{
			parsed->type = CKPX_NAME_TEMPORARY;
			return;
		}
	}

	/* leave nothing of a foreign name behind */
	memset(parsed, 0, sizeof(*parsed));
}

/*
 * Parse a folder's name; the results are set only where it is one.
 */
bool
ckpx_parse_folder_name(const char *name, uint64 *system_identifier,
					   uint64 *node_id)
{
	const char *at = name;
	uint64		system;
	uint64		node;
	char		rebuilt[CKPX_NAME_MAX];

	if (!take_hex(&at, 16, &system) || !take_text(&at, "-") ||
		!take_hex(&at, 16, &node))
		return false;
	ckpx_folder_name(rebuilt, system, node);
	if (strcmp(name, rebuilt) != 0)
		return false;
	*system_identifier = system;
	*node_id = node;
	return true;
}

/*
 * Write an LSN as PostgreSQL prints it.
 */
int
ckpx_lsn_text(char *text, XLogRecPtr lsn)
{
	char	   *at = text;

	at = put_short_hex(at, (uint32) (lsn >> 32));
	*at++ = '/';
	at = put_short_hex(at, (uint32) lsn);
	*at = '\0';
	return (int) (at - text);
}

/*
 * Read an LSN back; *lsn is set only where 'text' is one.
 */
bool
ckpx_parse_lsn(const char *text, XLogRecPtr *lsn)
{
	const char *at = text;
	uint64		high;
	uint64		low;
	char		rebuilt[CKPX_LSN_TEXT_MAX];

	if (!take_hex(&at, 8, &high) || !take_text(&at, "/") ||
		!take_hex(&at, 8, &low))
		return false;
	ckpx_lsn_text(rebuilt, (high << 32) | low);
	if (strcmp(text, rebuilt) != 0)
		return false;
	*lsn = (high << 32) | low;
	return true;
}
