/*-------------------------------------------------------------------------
 *
 * manifest.c
 *		The fields of the metadata file, and the file as text.
 *
 * A field that is added here is written and read; a mask of 64 bits bounds
 * how many an object may have.  The text has one entry on each line, in the
 * order of the tables.  The caller writes it under a temporary name, so
 * nothing here may be seen half done.
 *
 *-------------------------------------------------------------------------
 */
#include "core/format/manifest_internal.h"
#include "core/format/names.h"

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
	ENTRY("truncate_lsn", FIELD_TRUNCATE, range),
	ENTRY("created_at", FIELD_TIME, range.created_at),
	ENTRY("finished_at", FIELD_TIME, finished_at),
	ENTRY("pending_ms", FIELD_TIME, pending_ms),
	ENTRY("write_ms", FIELD_TIME, write_ms),
	ENTRY("post_pending", FIELD_BOOL, post_pending)
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
	{"entries", entry_fields, lengthof(entry_fields), sizeof(CkpxEntry),
		CKPX_MANIFEST_MAX_ENTRIES, offsetof(CkpxManifest, entries),
	offsetof(CkpxManifest, nentries)},
	{"gaps", gap_fields, lengthof(gap_fields), sizeof(CkpxGap),
		CKPX_MAX_GAPS, offsetof(CkpxManifest, gaps),
	offsetof(CkpxManifest, ngaps)},
	{"pins", pin_fields, lengthof(pin_fields), sizeof(CkpxPin),
		CKPX_MANIFEST_MAX_PINS, offsetof(CkpxManifest, pins),
	offsetof(CkpxManifest, npins)},
	{"backups", backup_fields, lengthof(backup_fields),
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

/*
 * Append 'value', at most 'room' bytes, as a JSON string.  Bytes from 0x80 on
 * go as they are.
 */
static void
append_text(StringInfo text, const char *value, Size room)
{
	appendStringInfoChar(text, '"');
	for (Size i = 0; i < room && value[i] != '\0'; i++)
	{
		unsigned char c = (unsigned char) value[i];

		if (c == '"' || c == '\\')
		{
			appendStringInfoChar(text, '\\');
			appendStringInfoChar(text, (char) c);
		}
		else if (c < 0x20 || c == 0x7f)
			appendStringInfo(text, "\\u%04X", c);
		else
			appendStringInfoChar(text, (char) c);
	}
	appendStringInfoChar(text, '"');
}

static void
append_value(StringInfo text, const Field *field, const char *base)
{
	const void *at = base + field->offset;
	const CkpxEntry *entry;
	char		lsn[CKPX_LSN_TEXT_MAX];

	switch (field->type)
	{
		case FIELD_U32:
			appendStringInfo(text, "%u", *(const uint32 *) at);
			break;
		case FIELD_U64:
			appendStringInfo(text, UINT64_FORMAT, *(const uint64 *) at);
			break;
		case FIELD_TIME:
			appendStringInfo(text, INT64_FORMAT, *(const int64 *) at);
			break;
		case FIELD_BOOL:
			appendStringInfoString(text,
								   *(const bool *) at ? "true" : "false");
			break;
		case FIELD_LSN:
			ckpx_lsn_text(lsn, *(const XLogRecPtr *) at);
			appendStringInfo(text, "\"%s\"", lsn);
			break;
		case FIELD_TRUNCATE:
			entry = (const CkpxEntry *) base;
			ckpx_lsn_text(lsn, ckpx_range_truncate_lsn(&entry->range,
													   entry->kind));
			appendStringInfo(text, "\"%s\"", lsn);
			break;
		case FIELD_HEX:
			appendStringInfo(text, "\"%08X%08X\"",
							 LSN_FORMAT_ARGS(*(const uint64 *) at));
			break;
		case FIELD_DECIMAL:
			appendStringInfo(text, "\"" UINT64_FORMAT "\"",
							 *(const uint64 *) at);
			break;
		case FIELD_KIND:
			appendStringInfo(text, "\"%s\"",
							 ckpx_manifest_kinds[*(const CkpxEntryKind *) at]);
			break;
		case FIELD_RMGRS:
			appendStringInfoChar(text, '"');
			for (int i = 0; i < CKPX_RMGR_BITMAP_BYTES; i++)
			{
				uint8		byte = ((const uint8 *) at)[i];

				appendStringInfoChar(text, ckpx_manifest_hex[byte >> 4]);
				appendStringInfoChar(text, ckpx_manifest_hex[byte & 15]);
			}
			appendStringInfoChar(text, '"');
			break;
		case FIELD_TEXT:
			append_text(text, at, field->room - 1);
			break;
		case FIELD_IGNORED:
			break;
	}
}

/*
 * Append one item of a list as a line, without its end.
 */
static void
append_item(StringInfo text, const List *list, const char *item)
{
	for (int i = 0; i < list->nfields; i++)
	{
		appendStringInfo(text, "%s\"%s\": ", i == 0 ? "{ " : ", ",
						 list->fields[i].name);
		append_value(text, &list->fields[i], item);
	}
	appendStringInfoString(text, " }");
}

static void
append_list(StringInfo text, const List *list, const char *items, uint32 count)
{
	bool		first = true;

	appendStringInfo(text, "\"%s\": [\n", list->name);
	for (uint32 i = 0; i < count; i++)
	{
		const char *item = items + i * list->item_size;

		if (list->fields == ckpx_manifest_lists[0].fields &&
			((const CkpxEntry *) item)->state != CKPX_ENTRY_FINISHED)
			continue;
		if (!first)
			appendStringInfoString(text, ",\n");
		append_item(text, list, item);
		first = false;
	}
	appendStringInfoString(text, first ? "],\n" : "\n],\n");
}

void
ckpx_manifest_encode(StringInfo text, const CkpxManifest *manifest)
{
	CkpxManifest *readable = unconstify(CkpxManifest *, manifest);
	int			start = text->len;

	Assert(manifest->version == CKPX_MANIFEST_VERSION);

	for (int i = 0; i < NTOP_FIELDS; i++)
	{
		const Field *field = &ckpx_manifest_top[i];

		if (field->type == FIELD_IGNORED)
			continue;
		appendStringInfo(text, "%s\"%s\": ", i == 0 ? "{ " : "", field->name);
		append_value(text, field, (const char *) manifest);
		appendStringInfoString(text, ",\n");
	}
	for (int i = 0; i < NLISTS; i++)
	{
		const List *list = &ckpx_manifest_lists[i];

		append_list(text, list,
					*ckpx_manifest_items(list, readable),
					*ckpx_manifest_count(list, readable));
	}

	appendStringInfo(text, CHECKSUM_BEFORE "%08X" CHECKSUM_AFTER,
					 ckpx_crc(text->data + start, text->len - start));
}
