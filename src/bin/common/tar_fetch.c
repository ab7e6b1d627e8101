/*-------------------------------------------------------------------------
 *
 * tar_fetch.c
 *		A few small files out of a tar in a directory.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/common/tar_fetch.h"

#include <fcntl.h>
#include <unistd.h>

#include "bin/common/paths.h"
#include "bin/common/tar.h"

static ssize_t
read_archive(void *arg, char *buffer, size_t length)
{
	return read(*(int *) arg, buffer, length);
}

/* Take the member's bytes if it is wanted. */
static bool
fetch_member(TarReader *reader, const TarMember *member, TarWanted *wanted,
			 int nwanted, int *left, char **problem)
{
	for (int i = 0; i < nwanted; i++)
	{
		if (strcmp(wanted[i].name, member->name) != 0 ||
			member->type != TAR_FILE)
			continue;
		if (member->size > wanted[i].max)
		{
			*problem = psprintf("\"%s\" is too large", member->name);
			return false;
		}
		wanted[i].length = member->size;
		wanted[i].bytes = pg_malloc0(member->size + 1);
		if (tar_read(reader, wanted[i].bytes, member->size, problem) < 0)
			return false;
		(*left)--;
	}
	return true;
}

/* Fill 'wanted' from an archive. */
bool
tar_fetch(int dir, const char *archive, TarWanted *wanted, int nwanted,
		  char **problem)
{
	size_t		length = strlen(archive);
	bool		compressed = length > 4 &&
		strcmp(archive + length - 4, ".zst") == 0;
	int			fd = path_open(dir, archive, O_RDONLY, 0, 0);
	int			left = nwanted;
	TarReader  *reader;
	TarMember	member;
	char	   *reason = NULL;

	*problem = NULL;
	for (int i = 0; i < nwanted; i++)
		wanted[i].bytes = NULL;
	if (fd < 0)
	{
		*problem = psprintf("could not open file \"%s\": %m", archive);
		return false;
	}
	reader = tar_open(read_archive, &fd, compressed);
	while (left > 0 && reason == NULL && tar_next(reader, &member, &reason))
		fetch_member(reader, &member, wanted, nwanted, &left, &reason);
	tar_close(reader);
	close(fd);
	if (reason == NULL)
		return true;

	*problem = psprintf("archive \"%s\": %s", archive, reason);
	pg_free(reason);
	for (int i = 0; i < nwanted; i++)
	{
		pg_free(wanted[i].bytes);
		wanted[i].bytes = NULL;
	}
	return false;
}
