/*-------------------------------------------------------------------------
 *
 * manifest.c
 *		The fields of the metadata file, and the file as text.
 *
 * A field that is added here is written and read.  Each list begins with a
 * row of its fields' names, and has one item on each line, its values in that
 * order: names in each item would be most of a long history's text.
 *
 * Text is put into a buffer that has room for the longest item; where it has
 * not, what it holds is written, and the checksum goes on.  The caller writes
 * under a temporary name, so nothing here may be seen half done.
 *
 *-------------------------------------------------------------------------
 */
#include "core/format/manifest_internal.h"
#include "core/format/names.h"
#include "port/pg_bitutils.h"
#include "port/pg_bswap.h"

#define TOP(name, type, member) \
	{name, type, offsetof(CkpxManifest, member), 0}
#define ENTRY(name, type, member) \
	{name, type, offsetof(CkpxEntry, member), 0}
#define GAP(name, type, member, room) \
	{name, type, offsetof(CkpxGap, member), room}
#define PIN(name, type, member, room) \
	{name, type, offsetof(CkpxPin, member), room}
#define BACKUP(name, type, member, room) \
	{name, type, offsetof(CkpxBackupRecord, member), room}

const Field ckpx_manifest_top[] = {
	TOP("ckpx_manifest_version", FIELD_U32, version),
	TOP("sequence", FIELD_U64, sequence),
	TOP("written_at", FIELD_TIME, written_at),
	TOP("system_identifier", FIELD_DECIMAL, identity.system_identifier),
	TOP("node_id", FIELD_HEX, identity.node_id),
	TOP("pg_major", FIELD_U32, identity.pg_major),
	TOP("block_size", FIELD_U32, identity.block_size),
	TOP("segment_blocks", FIELD_U32, identity.segment_blocks),
	TOP("wal_segment_size", FIELD_U32, identity.wal_segment_size),
	TOP("checksum_version", FIELD_U32, identity.checksum_version),
	TOP("epoch", FIELD_U32, epoch),
	TOP("timeline", FIELD_U32, timeline),
	TOP("epoch_start", FIELD_LSN, epoch_start),
	TOP("known_xid", FIELD_U64, known_xid),
	TOP("global_version_interval_s", FIELD_U32, global_version_interval_s),
	{CHECKSUM_FIELD, FIELD_IGNORED, 0, 0}
};

StaticAssertDecl(lengthof(ckpx_manifest_top) == NTOP_FIELDS,
				 "all fields of the file's object");

static const Field entry_fields[] = {
	ENTRY("kind", FIELD_KIND, kind),
	ENTRY("epoch", FIELD_U32, range.epoch),
	ENTRY("timeline", FIELD_U32, range.timeline),
	ENTRY("start_lsn", FIELD_LSN, range.start_lsn),
	ENTRY("end_lsn", FIELD_LSN, range.end_lsn),
	ENTRY("last_record_start", FIELD_LSN, range.last_record.start),
	ENTRY("last_record_length", FIELD_U32, range.last_record.length),
	ENTRY("last_record_crc", FIELD_U32, range.last_record.crc),
	ENTRY("run_start", FIELD_LSN, range.last_record.run_start),
	ENTRY("run_hash", FIELD_U32, range.last_record.run_hash),
	ENTRY("nrelations", FIELD_U32, nrelations),
	ENTRY("nblocks", FIELD_U64, nblocks),
	ENTRY("nxacts", FIELD_U64, range.nxacts),
	ENTRY("wal_bytes", FIELD_U64, range.wal_bytes),
	ENTRY("last_change_lsn", FIELD_LSN, range.last_change_lsn),
	ENTRY("custom_rmgrs", FIELD_RMGRS, range.custom_rmgrs),
	ENTRY("version", FIELD_U32, version),
	ENTRY("nparts", FIELD_U32, nparts),
	ENTRY("size_bytes", FIELD_U64, size_bytes),
	ENTRY("open_xacts", FIELD_U32, open_xacts),
	ENTRY("undurable", FIELD_U32, undurable),
	ENTRY("created_at", FIELD_TIME, range.created_at),
	ENTRY("finished_at", FIELD_TIME, finished_at),
	ENTRY("pending_ms", FIELD_TIME, pending_ms),
	ENTRY("write_ms", FIELD_TIME, write_ms),
	ENTRY("post_pending", FIELD_BOOL, post_pending),

	/* of versions 1 and 2 */
	ENTRY("truncate_lsn", FIELD_TRUNCATE, range)
};

static const Field gap_fields[] = {
	GAP("epoch", FIELD_U32, epoch, 0),
	GAP("timeline", FIELD_U32, timeline, 0),
	GAP("from_lsn", FIELD_LSN, from_lsn, 0),
	GAP("to_lsn", FIELD_LSN, to_lsn, 0),
	GAP("detected_at", FIELD_TIME, detected_at, 0),
	GAP("damaged", FIELD_BOOL, damaged, 0),
	GAP("reason", FIELD_TEXT, reason, CKPX_GAP_REASON_MAX)
};

static const Field pin_fields[] = {
	PIN("name", FIELD_TEXT, name, CKPX_PIN_NAME_MAX),
	PIN("lsn", FIELD_LSN, lsn, 0),
	PIN("epoch", FIELD_U32, epoch, 0),
	PIN("global_lsn", FIELD_LSN, global_lsn, 0),
	PIN("created_at", FIELD_TIME, created_at, 0),
	PIN("expires_at", FIELD_TIME, expires_at, 0)
};

static const Field backup_fields[] = {
	BACKUP("id", FIELD_TEXT, id, CKPX_BACKUP_ID_DIGITS + 1),
	BACKUP("parent", FIELD_TEXT, parent, CKPX_BACKUP_ID_DIGITS + 1),
	BACKUP("timeline", FIELD_U32, timeline, 0),
	BACKUP("start_lsn", FIELD_LSN, start_lsn, 0),
	BACKUP("stop_lsn", FIELD_LSN, stop_lsn, 0),
	BACKUP("bytes", FIELD_U64, bytes, 0),
	BACKUP("finished_at", FIELD_TIME, finished_at, 0)
};

const List	ckpx_manifest_lists[NLISTS] = {
	{"entries", entry_fields, lengthof(entry_fields) - 1, 1, sizeof(CkpxEntry),
		CKPX_MANIFEST_MAX_ENTRIES, offsetof(CkpxManifest, entries),
	offsetof(CkpxManifest, nentries)},
	{"gaps", gap_fields, lengthof(gap_fields), 0, sizeof(CkpxGap),
		CKPX_MAX_GAPS, offsetof(CkpxManifest, gaps),
	offsetof(CkpxManifest, ngaps)},
	{"pins", pin_fields, lengthof(pin_fields), 0, sizeof(CkpxPin),
		CKPX_MANIFEST_MAX_PINS, offsetof(CkpxManifest, pins),
	offsetof(CkpxManifest, npins)},
	{"backups", backup_fields, lengthof(backup_fields), 0,
		sizeof(CkpxBackupRecord), CKPX_MAX_BACKUPS,
		offsetof(CkpxManifest, backups),
	offsetof(CkpxManifest, nbackups)}
};

const char *const ckpx_manifest_kinds[CKPX_KIND_SEGMENT + 1] = {
	[CKPX_KIND_NONE] = NULL,
	[CKPX_KIND_INCREMENTAL] = "incremental",
	[CKPX_KIND_GLOBAL] = "global",
	[CKPX_KIND_BACKUP] = "backup",
	[CKPX_KIND_SEGMENT] = "segment"
};

const char	ckpx_manifest_hex[] = "0123456789ABCDEF";

char	  **
ckpx_manifest_items(const List *list, CkpxManifest *manifest)
{
	return (char **) ((char *) manifest + list->items_offset);
}

uint32 *
ckpx_manifest_count(const List *list, CkpxManifest *manifest)
{
	return (uint32 *) ((char *) manifest + list->count_offset);
}

void
ckpx_manifest_free(CkpxManifest *manifest)
{
	for (int i = 0; i < NLISTS; i++)
	{
		char	  **items = ckpx_manifest_items(&ckpx_manifest_lists[i],
												manifest);

		if (*items != NULL)
			pfree(*items);
	}
	memset(manifest, 0, sizeof(*manifest));
}

/*-------------------------------------------------------------------------
 * Values: each function puts its text at 'at' and returns the place behind it.
 *-------------------------------------------------------------------------
 */

/*
 * The eight digits of a number below 100,000,000, each in a byte, the first in
 * the highest one: at once in lanes of a word, since one digit after the other
 * would be most of the work of a long history.  Multiplying by 10486 / 2^20 is
 * dividing by 100, where there are four digits; by 103 / 2^10 by 10, where
 * there are two.
 */
static inline uint64
decimal_digits(uint32 value)
{
	uint64		x = (uint64) (value / 10000) << 32 | value % 10000;
	uint64		high;

	high = ((x * 10486) >> 20) & UINT64CONST(0x0000007F0000007F);
	x = high << 16 | (x - high * 100);
	high = ((x * 103) >> 10) & UINT64CONST(0x000F000F000F000F);
	return high << 8 | (x - high * 10);
}

/* It may write seven bytes behind the number. */
static char *
put_decimal(char *at, uint64 value)
{
	uint64		digits;
	int			width = 8;

	if (value < 10)
	{
		*at = (char) ('0' + value);
		return at + 1;
	}
	if (value >= 100000000)
	{
		at = put_decimal(at, value / 100000000);
		digits = decimal_digits((uint32) (value % 100000000));
	}
	else
	{
		digits = decimal_digits((uint32) value);
		width = pg_leftmost_one_pos64(digits) / 8 + 1;
	}
	digits = (digits + UINT64CONST(0x3030303030303030)) << (8 * (8 - width));
	digits = pg_hton64(digits);
	memcpy(at, &digits, sizeof(digits));
	return at + width;
}

static char *
put_signed(char *at, int64 value)
{
	if (value >= 0)
		return put_decimal(at, (uint64) value);
	*at++ = '-';
	return put_decimal(at, ~(uint64) value + 1);
}

static char *
put_hex(char *at, const uint8 *bytes, int nbytes)
{
	for (int i = 0; i < nbytes; i++)
	{
		*at++ = ckpx_manifest_hex[bytes[i] >> 4];
		*at++ = ckpx_manifest_hex[bytes[i] & 15];
	}
	return at;
}

static char *
put_rmgrs(char *at, const uint8 *bytes)
{
	static const uint8 none[CKPX_RMGR_BITMAP_BYTES] = {0};
	int			nbytes = CKPX_RMGR_BITMAP_BYTES;

	if (memcmp(bytes, none, sizeof(none)) == 0)
		return at;
	while (bytes[nbytes - 1] == 0)
		nbytes--;
	return put_hex(at, bytes, nbytes);
}

/*
 * The inside of a JSON string.  Bytes from 0x80 on go as they are.
 */
static char *
put_escaped(char *at, const char *value, Size room)
{
	for (Size i = 0; i < room && value[i] != '\0'; i++)
	{
		uint8		c = (uint8) value[i];

		if (c < 0x20 || c == 0x7f)
		{
			at = ckpx_put_text(at, "\\u00");
			at = put_hex(at, &c, 1);
			continue;
		}
		if (c == '"' || c == '\\')
			*at++ = '\\';
		*at++ = (char) c;
	}
	return at;
}

/* The values that are strings, without quotation marks. */
static char *
put_string(char *at, const Field *field, const void *value)
{
	CkpxEntryKind kind;

	switch (field->type)
	{
		case FIELD_LSN:
			return at + ckpx_lsn_text(at, *(const XLogRecPtr *) value);
		case FIELD_HEX:
			{
				uint64		number = pg_hton64(*(const uint64 *) value);

				return put_hex(at, (const uint8 *) &number, sizeof(number));
			}
		case FIELD_DECIMAL:
			return put_decimal(at, *(const uint64 *) value);
		case FIELD_KIND:
			kind = *(const CkpxEntryKind *) value;
			return ckpx_put_text(at, ckpx_manifest_kinds[kind]);
		case FIELD_RMGRS:
			return put_rmgrs(at, value);
		case FIELD_TEXT:
			return put_escaped(at, value, field->room - 1);
		default:
			return at;
	}
}

static char *
put_value(char *at, const Field *field, const char *base)
{
	const void *value = base + field->offset;

	switch (field->type)
	{
		case FIELD_U32:
			return put_decimal(at, *(const uint32 *) value);
		case FIELD_U64:
			return put_decimal(at, *(const uint64 *) value);
		case FIELD_TIME:
			return put_signed(at, *(const int64 *) value);
		case FIELD_BOOL:
			return *(const bool *) value ? ckpx_put_text(at, "true") :
				ckpx_put_text(at, "false");
		default:
			*at++ = '"';
			at = put_string(at, field, value);
			*at++ = '"';
			return at;
	}
}

/*-------------------------------------------------------------------------
 * The file
 *-------------------------------------------------------------------------
 */

/*
 * 'at' is behind what the buffer holds.  ITEM_ROOM is more than the longest
 * item takes, a gap whose reason is all escapes, or a row of names.
 */
#define ITEM_ROOM			1024

struct CkpxManifestWriter
{
	const CkpxManifest *manifest;
	CkpxManifestWrite write;
	void	   *arg;
	pg_crc32c	crc;			/* of what was written */
	char	   *at;
	char		buffer[CKPX_MANIFEST_PIECE_BYTES];
};

static void
write_out(CkpxManifestWriter *writer)
{
	Size		length = (Size) (writer->at - writer->buffer);

	COMP_CRC32C(writer->crc, writer->buffer, length);
	writer->at = writer->buffer;
	writer->write(writer->arg, writer->buffer, length);
}

static void
make_room(CkpxManifestWriter *writer)
{
	if (writer->at > writer->buffer + sizeof(writer->buffer) - ITEM_ROOM)
		write_out(writer);
}

static void
begin_list(CkpxManifestWriter *writer, const List *list)
{
	char	   *at;

	make_room(writer);
	at = ckpx_put_text(writer->at, "\"");
	at = ckpx_put_text(at, list->name);
	at = ckpx_put_text(at, "\": [\n");
	for (int i = 0; i < list->nfields; i++)
	{
		at = ckpx_put_text(at, i == 0 ? "[\"" : ",\"");
		at = ckpx_put_text(at, list->fields[i].name);
		*at++ = '"';
	}
	*at++ = ']';
	writer->at = at;
}

static void
add_item(CkpxManifestWriter *writer, const List *list, const char *item)
{
	char	   *at;

	make_room(writer);
	at = ckpx_put_text(writer->at, ",\n[");
	for (int i = 0; i < list->nfields; i++)
	{
		if (i > 0)
			*at++ = ',';
		at = put_value(at, &list->fields[i], item);
	}
	*at++ = ']';
	Assert(at - writer->at <= ITEM_ROOM);
	writer->at = at;
}

static void
end_list(CkpxManifestWriter *writer)
{
	make_room(writer);
	writer->at = ckpx_put_text(writer->at, "\n],\n");
}

CkpxManifestWriter *
ckpx_manifest_begin(const CkpxManifest *manifest, CkpxManifestWrite write,
					void *arg)
{
	CkpxManifestWriter *writer = palloc(sizeof(CkpxManifestWriter));

	Assert(manifest->version == CKPX_MANIFEST_VERSION);

	writer->manifest = manifest;
	writer->write = write;
	writer->arg = arg;
	writer->at = writer->buffer;
	INIT_CRC32C(writer->crc);

	for (int i = 0; i < NTOP_FIELDS; i++)
	{
		const Field *field = &ckpx_manifest_top[i];
		char	   *at = writer->at;

		if (field->type == FIELD_IGNORED)
			continue;
		at = ckpx_put_text(at, i == 0 ? "{ \"" : "\"");
		at = ckpx_put_text(at, field->name);
		at = ckpx_put_text(at, "\": ");
		at = put_value(at, field, (const char *) manifest);
		writer->at = ckpx_put_text(at, ",\n");
	}
	begin_list(writer, &ckpx_manifest_lists[0]);
	return writer;
}

void
ckpx_manifest_add(CkpxManifestWriter *writer, const CkpxEntry *entries,
				  uint32 nentries)
{
	for (uint32 i = 0; i < nentries; i++)
	{
		if (entries[i].state == CKPX_ENTRY_FINISHED)
			add_item(writer, &ckpx_manifest_lists[0],
					 (const char *) &entries[i]);
	}
}

void
ckpx_manifest_end(CkpxManifestWriter *writer)
{
	CkpxManifest *manifest = unconstify(CkpxManifest *, writer->manifest);
	pg_crc32c	crc;

	end_list(writer);
	for (int i = 1; i < NLISTS; i++)
	{
		const List *list = &ckpx_manifest_lists[i];
		const char *items = *ckpx_manifest_items(list, manifest);
		uint32		count = *ckpx_manifest_count(list, manifest);

		begin_list(writer, list);
		for (uint32 j = 0; j < count; j++)
			add_item(writer, list, items + j * list->item_size);
		end_list(writer);
	}

	/* The checksum is of all that stands before it. */
	make_room(writer);
	crc = writer->crc;
	COMP_CRC32C(crc, writer->buffer, writer->at - writer->buffer);
	FIN_CRC32C(crc);
	writer->at += snprintf(writer->at, ITEM_ROOM,
						   CHECKSUM_BEFORE "%08X" CHECKSUM_AFTER, crc);
	write_out(writer);
	pfree(writer);
}

static void
append_piece(void *arg, const char *bytes, Size length)
{
	appendBinaryStringInfo((StringInfo) arg, bytes, (int) length);
}

void
ckpx_manifest_encode(StringInfo text, const CkpxManifest *manifest)
{
	CkpxManifestWriter *writer = ckpx_manifest_begin(manifest, append_piece,
													 text);

	ckpx_manifest_add(writer, manifest->entries, manifest->nentries);
	ckpx_manifest_end(writer);
}
