/*-------------------------------------------------------------------------
 *
 * archive.c
 *		The tar files of a backup, each read once as a stream.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/combinebackup/archive.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bin/common/paths.h"

static int
compare_names(const void *a, const void *b)
{
	Oid			left;
	Oid			right;

	(void) backup_tar_name(*(char *const *) a, &left);
	(void) backup_tar_name(*(char *const *) b, &right);
	return left < right ? -1 : left > right;
}

/*
 * The names of the tar files of a backup.
 */
char	  **
archive_names(const Backup *backup, int *count, char **problem)
{
	int			fd = openat(backup->dir, ".",
							O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR		   *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	char	  **names = NULL;
	Oid			oid;

	*count = 0;
	*problem = NULL;
	if (dir == NULL)
	{
		*problem = psprintf("could not read directory \"%s\": %m",
							backup->path);
		return NULL;
	}
	while ((entry = readdir(dir)) != NULL)
	{
		if (!backup_tar_name(entry->d_name, &oid))
			continue;
		names = pg_realloc(names, sizeof(char *) * (*count + 1));
		names[(*count)++] = pg_strdup(entry->d_name);
	}
	closedir(dir);
	if (*count > 0)
		qsort(names, *count, sizeof(char *), compare_names);
	for (int i = 1; i < *count && *problem == NULL; i++)
		if (compare_names(&names[i - 1], &names[i]) == 0)
			*problem = psprintf("\"%s\" has both \"%s\" and \"%s\"",
								backup->path, names[i - 1], names[i]);
	return names;
}

static ssize_t
read_file(void *arg, char *buffer, size_t length)
{
	return read(((Archive *) arg)->fd, buffer, length);
}

/*
 * Open a tar file of a backup.
 */
char *
archive_open(Archive *archive, const Backup *backup, const char *name)
{
	struct stat st;

	archive->name = psprintf("%s/%s", backup->path, name);
	archive->reader = NULL;
	(void) backup_tar_name(name, &archive->tablespace);
	archive->fd = path_open(backup->dir, name, O_RDONLY | O_CLOEXEC, 0, 0);
	if (archive->fd < 0 || fstat(archive->fd, &st) != 0)
		return psprintf("could not open \"%s\": %m", archive->name);
	archive->reader = tar_open(read_file, archive,
							   strcmp(name + strlen(name) - 4, ".zst") == 0);
	return NULL;
}

/*
 * Close it.
 */
void
archive_close(Archive *archive)
{
	if (archive->reader != NULL)
		tar_close(archive->reader);
	if (archive->fd >= 0)
		close(archive->fd);
	pg_free(archive->name);
}

/*
 * The next member, under its name in the data directory.
 */
bool
archive_next(Archive *archive, TarMember *member, char **problem)
{
	if (!tar_next(archive->reader, member, problem))
	{
		if (*problem != NULL)
			*problem = psprintf("\"%s\": %s\n"
								"The file is damaged or incomplete; take it from another copy of the backup.",
								archive->name, *problem);
		return false;
	}
	if (archive->tablespace != InvalidOid)
	{
		char		name[MAXPGPATH * 2];
		const char *refused;

		if (archive->tablespace == BACKUP_WAL_TAR)
			snprintf(name, sizeof(name), "pg_wal/%s", member->name);
		else
			snprintf(name, sizeof(name), "pg_tblspc/%u/%s",
					 archive->tablespace, member->name);
		refused = path_check(name);
		if (refused != NULL)
		{
			*problem = psprintf("\"%s\": name \"%s\": %s", archive->name,
								name, refused);
			return false;
		}
		strlcpy(member->name, name, sizeof(member->name));
	}
	return true;
}
