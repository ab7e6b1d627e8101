/*
 * Any bytes as a manifest: rejected with a reason, or written again and read
 * to the same.
 */
#include "core/format/manifest.h"

int			LLVMFuzzerTestOneInput(const uint8 *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8 *data, size_t size)
{
	CkpxManifest manifest;
	CkpxManifest again;
	StringInfoData text;
	const char *problem = NULL;
	char	   *copy = palloc(size + 1);

	memcpy(copy, data, size);
	copy[size] = '\0';
	if (ckpx_manifest_decode(&manifest, copy, size, &problem))
	{
		manifest.version = CKPX_MANIFEST_VERSION;
		initStringInfo(&text);
		ckpx_manifest_encode(&text, &manifest);
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
