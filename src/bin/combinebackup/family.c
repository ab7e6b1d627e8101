/*-------------------------------------------------------------------------
 *
 * family.c
 *		All backups in a directory, and which goes on from which.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/combinebackup/family.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bin/combinebackup/archive.h"
#include "bin/combinebackup/choose.h"
#include "bin/common/files.h"
#include "bin/common/paths.h"
#include "common/file_utils.h"
#include "common/logging.h"

/*
 * The last component of a path.
 */
const char *
family_name(const char *path)
{
	const char *separator = last_dir_separator(path);

	return separator ? separator + 1 : path;
}

/*
 * Is it a name that --into or a removal gives?
 */
bool
family_is_remains(const char *name)
{
	return backup_has_suffix(name, SUFFIX_FORWARD) ||
		backup_has_suffix(name, SUFFIX_PREVIOUS) ||
		backup_has_suffix(name, SUFFIX_REMOVED);
}

/* What an unfinished backup's label says about its parent. */
static void
read_unfinished(Unfinished *unfinished, int directory)
{
	char		text[8192] = "";
	char	   *line;
	uint32		high;
	uint32		low;
	int			dir = openat(directory, unfinished->name,
							 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int			fd = dir < 0 ? -1 :
		path_open(dir, "backup_label", O_RDONLY | O_CLOEXEC, 0, 0);

	if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0)
	{
		line = strstr(text, "INCREMENTAL FROM LSN: ");
		if (line && sscanf(line, "INCREMENTAL FROM LSN: %X/%X", &high,
						   &low) == 2)
			unfinished->parent_lsn = ((uint64) high << 32) | low;
		line = strstr(text, "INCREMENTAL FROM TLI: ");
		if (line)
			(void) sscanf(line, "INCREMENTAL FROM TLI: %u",
						  &unfinished->parent_tli);
		line = strstr(text, " parent ");
		if (line)
			(void) sscanf(line, " parent %32[0-9a-f]", unfinished->parent);
	}
	if (fd >= 0)
		close(fd);
	if (dir >= 0)
		close(dir);
}

/* Look for what is no backup. */
static char *
read_others(Family *family)
{
	int			fd = open(family->directory,
						  O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR		   *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (dir == NULL)
		return psprintf("could not read directory \"%s\": %m",
						family->directory);
	while ((entry = readdir(dir)) != NULL)
	{
		if (backup_has_suffix(entry->d_name, SUFFIX_PARTIAL))
		{
			Unfinished *unfinished;

			family->unfinished =
				pg_realloc(family->unfinished,
						   sizeof(Unfinished) * (family->nunfinished + 1));
			unfinished = &family->unfinished[family->nunfinished++];
			memset(unfinished, 0, sizeof(*unfinished));
			unfinished->name = pg_strdup(entry->d_name);
			read_unfinished(unfinished, fd);
		}
		else if (family_is_remains(entry->d_name))
		{
			family->remains = pg_realloc(family->remains, sizeof(char *) *
										 (family->nremains + 1));
			family->remains[family->nremains++] = pg_strdup(entry->d_name);
		}
	}
	closedir(dir);
	return NULL;
}

static bool
is_full(const Backup *backup)
{
	return backup->label.incremental_lsn == InvalidXLogRecPtr;
}

/*
 * In doubt it does: ids are compared only where both are known, as the label
 * may be half written.
 */
bool
family_goes_on(const Unfinished *unfinished, const Backup *parent)
{
	if (unfinished->parent[0] && parent->label.id[0])
		return strcmp(unfinished->parent, parent->label.id) == 0;
	return unfinished->parent_lsn != InvalidXLogRecPtr &&
		unfinished->parent_lsn == parent->label.start_lsn &&
		unfinished->parent_tli == parent->label.start_tli;
}

static int
compare_members(const void *a, const void *b)
{
	const Member *left = a;
	const Member *right = b;

	if (left->backup->label.start_lsn != right->backup->label.start_lsn)
		return left->backup->label.start_lsn <
			right->backup->label.start_lsn ? -1 : 1;
	return strcmp(left->backup->path, right->backup->path);
}

static uint64
bytes_of(const Backup *backup)
{
	uint64		bytes = 0;

	if (backup->tar)
	{
		int			count;
		char	   *problem;
		char	  **names = archive_names(backup, &count, &problem);

		for (int i = 0; i < count; i++)
		{
			struct stat st;

			if (fstatat(backup->dir, names[i], &st, AT_SYMLINK_NOFOLLOW) == 0)
				bytes += st.st_size;
			pg_free(names[i]);
		}
		pg_free(names);
	}
	else
	{
		ManifestFile **files = manifest_sorted(backup->manifest);

		for (uint32 i = 0; i < backup->manifest->nfiles; i++)
			bytes += files[i]->size;
		pg_free(files);
	}
	return bytes;
}

/*
 * Find each one's parent.  Of two with the same id, which a killed --into
 * leaves, the full is it.
 */
static void
find_parents(Family *family)
{
	for (int i = 0; i < family->nmembers; i++)
	{
		Member	   *member = &family->members[i];

		member->parent = -1;
		if (is_full(member->backup))
			continue;
		for (int j = 0; j < family->nmembers; j++)
		{
			Backup	   *other = family->members[j].backup;

			if (i != j && backup_is_child(member->backup, other) &&
				(member->parent < 0 || is_full(other)))
				member->parent = j;
		}
		if (member->parent >= 0)
			family->members[member->parent].is_parent = true;
	}
	for (int i = 0; i < family->nmembers; i++)
	{
		int			root = i;
		int			steps = 0;

		while (root >= 0 && !is_full(family->members[root].backup) &&
			   steps++ < family->nmembers)
			root = family->members[root].parent;
		family->members[i].root =
			root >= 0 && is_full(family->members[root].backup) ? root : -1;
	}
}

/*
 * Look at a directory of backups.
 */
char *
family_read(Family *family, const char *directory)
{
	Backup	  **backups;
	int			nbackups;
	char	   *problem;

	memset(family, 0, sizeof(*family));
	family->directory = pg_strdup(directory);
	problem = read_others(family);
	if (problem != NULL)
		return problem;
	backups = backup_siblings(directory, &nbackups);
	family->members = pg_malloc0(sizeof(Member) * (nbackups + 1));
	for (int i = 0; i < nbackups; i++)
	{
		Member	   *member = &family->members[family->nmembers];

		if (!choose_load(backups[i]))
		{
			backup_close(backups[i]);
			continue;
		}
		member->backup = backups[i];
		member->bytes = bytes_of(member->backup);
		member->end_time = backup_end_time(member->backup);
		backup_unload(member->backup);
		family->nmembers++;
	}
	pg_free(backups);
	qsort(family->members, family->nmembers, sizeof(Member), compare_members);
	find_parents(family);
	return NULL;
}

/* Say which tablespaces outside of it a backup that goes leaves. */
static void
warn_of_spaces(int backup)
{
	int			spaces = openat(backup, "pg_tblspc", O_RDONLY | O_DIRECTORY |
								O_NOFOLLOW | O_CLOEXEC);
	DIR		   *dir = spaces < 0 ? NULL : fdopendir(spaces);
	struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL)
	{
		char		target[MAXPGPATH];
		ssize_t		length = readlinkat(spaces, entry->d_name, target,
										sizeof(target) - 1);

		if (length > 0)
			pg_log_warning("directory \"%.*s\" of a removed backup's tablespace is left",
						   (int) length, target);
	}
	if (dir != NULL)
		closedir(dir);
}

/*
 * Remove a backup.  Its name says from the first moment on that it goes, and
 * without a manifest it is no backup even if another name is given to it.
 */
char *
family_remove(const char *directory, const char *name)
{
	char		removed[MAXPGPATH];
	char	   *problem = NULL;
	int			dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int			inside;

	if (dir < 0)
		return psprintf("could not open directory \"%s\": %m", directory);
	if (family_is_remains(name))
		strlcpy(removed, name, sizeof(removed));
	else
	{
		snprintf(removed, sizeof(removed), "%s" SUFFIX_REMOVED, name);
		if (renameat(dir, name, dir, removed) != 0 || fsync(dir) != 0)
			problem = psprintf("could not rename \"%s/%s\" to \"%s\": %m",
							   directory, name, removed);
	}
	if (problem == NULL)
	{
		inside = openat(dir, removed,
						O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (inside >= 0)
		{
			(void) unlinkat(inside, "backup_manifest", 0);
			(void) fsync(inside);
			warn_of_spaces(inside);
			close(inside);
		}
		if (!remove_tree(dir, removed))
			problem = psprintf("could not remove \"%s/%s\": %m", directory,
							   removed);
	}
	close(dir);
	return problem;
}
