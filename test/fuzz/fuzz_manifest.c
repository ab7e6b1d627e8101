/*
 * Any bytes as a manifest: rejected with a reason, or written again and read
 * to the same.  Of the present version there is one text for what it says.
 */
#include "core/format/manifest_internal.h"

int			LLVMFuzzerTestOneInput(const uint8 *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8 *data, size_t size)
{
	CkpxManifest manifest;
	CkpxManifest again;
	uint32		version;
	StringInfoData text;
	const char *problem = NULL;
	char	   *copy = palloc(size + 1);

	memcpy(copy, data, size);
	copy[size] = '\0';
	if (ckpx_manifest_decode(&manifest, copy, size, &problem))
	{
		version = manifest.version;
		manifest.version = CKPX_MANIFEST_VERSION;
		initStringInfo(&text);
		ckpx_manifest_encode(&text, &manifest);
		if (version == CKPX_MANIFEST_VERSION &&
			(text.len != size ||
			 memcmp(text.data, copy, size - CHECKSUM_LINE_LENGTH) != 0))
			abort();
		if (!ckpx_manifest_decode(&again, text.data, text.len, &problem))
			abort();
		if (again.nentries != manifest.nentries ||
			again.ngaps != manifest.ngaps || again.npins != manifest.npins ||
			again.nbackups != manifest.nbackups ||
			again.sequence != manifest.sequence ||
			again.epoch != manifest.epoch)
			abort();
		ckpx_manifest_free(&again);
		ckpx_manifest_free(&manifest);
		pfree(text.data);
	}
	else if (problem == NULL)
		abort();
	pfree(copy);
	return 0;
}
