/*
 * Any bytes as a file name, a folder name, an LSN or a location: whatever
 * parses is built again to the same bytes, and leads nowhere else.
 */
#include "core/format/names.h"

int			LLVMFuzzerTestOneInput(const uint8 *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8 *data, size_t size)
{
	char		built[CKPX_NAME_MAX];
	char	   *name = palloc(size + 1);
	CkpxName	parsed;
	uint64		system_identifier;
	uint64		node_id;

	memcpy(name, data, size);
	name[size] = '\0';

	ckpx_parse_name(name, &parsed);
	if (parsed.type != CKPX_NAME_UNKNOWN && strchr(name, '/') != NULL)
		abort();
	if (parsed.type == CKPX_NAME_OBJECT)
	{
		ckpx_object_name(built, parsed.kind, parsed.epoch, parsed.timeline,
						 parsed.start_lsn, parsed.end_lsn, parsed.part);
		if (strcmp(built, name) != 0)
			abort();
	}
	if (parsed.type == CKPX_NAME_MANIFEST)
	{
		ckpx_manifest_name(built, parsed.sequence, parsed.start_lsn,
						   parsed.end_lsn);
		if (strcmp(built, name) != 0)
			abort();
	}
	if (ckpx_parse_folder_name(name, &system_identifier, &node_id))
	{
		ckpx_folder_name(built, system_identifier, node_id);
		if (strcmp(built, name) != 0)
			abort();
	}
	pfree(name);
	return 0;
}
