/*-------------------------------------------------------------------------
 *
 * manifest_encode.c
 *		The metadata file as text.
 *
 * One entry per line, in the order of the tables.  The caller writes the text
 * under a temporary name, so nothing here may be seen half done.
 *
 *-------------------------------------------------------------------------
 */
#include "core/format/manifest_internal.h"
#include "core/format/names.h"

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
	append_list(text, &ckpx_manifest_lists[0],
				(const char *) manifest->entries, manifest->nentries);
	append_list(text, &ckpx_manifest_lists[1], (const char *) manifest->gaps,
				manifest->ngaps);
	append_list(text, &ckpx_manifest_lists[2], (const char *) manifest->pins,
				manifest->npins);

	appendStringInfo(text, CHECKSUM_BEFORE "%08X" CHECKSUM_AFTER,
					 ckpx_manifest_crc(text->data + start, text->len - start));
}
