/*-------------------------------------------------------------------------
 *
 * manifest_values.c
 *		What the readers of all versions of manifests do with a value.
 *
 * A value is accepted in the one form in which a writer puts it.
 *
 *-------------------------------------------------------------------------
 */
#include "core/format/manifest_internal.h"

#include "core/format/names.h"

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

int
ckpx_manifest_parse_hex(const char *text, uint8 *bytes, int nbytes)
{
	Size		length = strlen(text);

	if (length % 2 != 0 || length > 2 * (Size) nbytes)
		return -1;
	for (Size i = 0; i < length; i++)
	{
		const char *digit = strchr(ckpx_manifest_hex, text[i]);

		if (digit == NULL)
			return -1;
		if (i % 2 == 0)
			bytes[i / 2] = (uint8) ((digit - ckpx_manifest_hex) << 4);
		else
			bytes[i / 2] |= (uint8) (digit - ckpx_manifest_hex);
	}
	return (int) length / 2;
}

bool
ckpx_manifest_parse_value(const Field *field, char *base, const char *token,
						  bool quoted)
{
	void	   *at = base + field->offset;
	uint64		number;
	uint8		bytes[8];

	if (quoted != (field->type != FIELD_U32 && field->type != FIELD_U64 &&
				   field->type != FIELD_TIME && field->type != FIELD_BOOL))
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
		case FIELD_BOOL:
			*(bool *) at = strcmp(token, "true") == 0;
			return *(bool *) at || strcmp(token, "false") == 0;
		case FIELD_LSN:
			return ckpx_parse_lsn(token, (XLogRecPtr *) at);
		case FIELD_TRUNCATE:
			return ckpx_parse_lsn(token, &number);
		case FIELD_HEX:
			if (ckpx_manifest_parse_hex(token, bytes, 8) != 8)
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
			return ckpx_manifest_parse_hex(token, at,
										   CKPX_RMGR_BITMAP_BYTES) >= 0;
		case FIELD_TEXT:
			if (strlen(token) >= field->room)
				return false;
			strcpy(at, token);
			return true;
		case FIELD_IGNORED:
			return true;
	}
	return false;
}

char *
ckpx_manifest_append(const List *list, CkpxManifest *manifest, uint32 *room)
{
	char	  **items = ckpx_manifest_items(list, manifest);
	uint32	   *count = ckpx_manifest_count(list, manifest);
	char	   *item;

	if (*count >= list->max_items)
		return NULL;
	if (*items == NULL)
	{
		*room = Min(Max(*room, 16), list->max_items);
		*items = palloc(*room * list->item_size);
	}
	else if (*count == *room)
	{
		*room = Min(*room * 2, list->max_items);
		*items = repalloc(*items, *room * list->item_size);
	}
	item = *items + *count * list->item_size;
	memset(item, 0, list->item_size);
	(*count)++;
	return item;
}
