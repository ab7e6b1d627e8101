/*
 * Any bytes as backup_manifest: rejected with a reason, or written again and
 * read to the same.
 */
#include "bin/common/manifest.h"

#include <sys/mman.h>
#include <unistd.h>

#include "bin/common/paths.h"

int			LLVMFuzzerTestOneInput(const uint8 *data, size_t size);

/* What the checksum line is once it is not compared. */
#define LAST_LINE	"\"Manifest-Checksum\": \"" \
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"}\n"

int
LLVMFuzzerTestOneInput(const uint8 *data, size_t size)
{
	size_t		length = size + sizeof(LAST_LINE) - 1;
	char	   *text = malloc(length);
	char	   *problem = NULL;
	Manifest   *manifest;

	memcpy(text, data, size);
	memcpy(text + size, LAST_LINE, sizeof(LAST_LINE) - 1);
	manifest = manifest_parse(text, length, &problem);
	free(text);
	if (manifest != NULL)
	{
		int			fd = memfd_create("manifest", 0);
		ManifestFile **files = manifest_sorted(manifest);
		Manifest   *again;
		off_t		end;

		if (!manifest_write(manifest, fd))
			abort();
		end = lseek(fd, 0, SEEK_END);
		text = malloc(end);
		if (pread(fd, text, end, 0) != end)
			abort();
		close(fd);
		again = manifest_parse(text, end, &problem);
		if (again == NULL || again->nfiles != manifest->nfiles ||
			again->nranges != manifest->nranges ||
			again->version != manifest->version ||
			again->system_identifier != manifest->system_identifier)
			abort();
		for (uint32 i = 0; i < manifest->nfiles; i++)
		{
			ManifestFile *file = manifest_find(again, files[i]->path);

			if (file == NULL || file->size != files[i]->size ||
				file->checksum_length != files[i]->checksum_length ||
				path_check(file->path) != NULL)
				abort();
		}
		free(files);
		free(text);
		manifest_free(again);
		manifest_free(manifest);
	}
	else if (problem == NULL)
		abort();
	free(problem);
	return 0;
}
