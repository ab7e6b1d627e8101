/*-------------------------------------------------------------------------
 *
 * spaces.c
 *		Where the tablespaces of a backup are.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/combinebackup/spaces.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bin/combinebackup/archive.h"
#include "common/logging.h"

#define SPACES "pg_tblspc"
#define MAP_MAX_BYTES (1024 * 1024)

/*
 * Parse OLD=NEW.
 */
char *
mapping_add(Mapping **list, const char *argument)
{
	Mapping    *mapping = pg_malloc0(sizeof(Mapping));
	char	   *to = pg_malloc(strlen(argument) + 1);
	char	   *out;

	mapping->from = out = pg_strdup(argument);
	mapping->to = NULL;
	for (const char *in = argument; *in; in++)
	{
		if (in[0] == '\\' && in[1] == '=')
			*out++ = *++in;
		else if (*in == '=' && mapping->to == NULL)
		{
			*out = '\0';
			mapping->to = out = to;
		}
		else if (*in == '=')
			return psprintf("multiple \"=\" signs in tablespace mapping \"%s\"",
							argument);
		else
			*out++ = *in;
	}
	*out = '\0';
	if (mapping->to == NULL || !is_absolute_path(mapping->from) ||
		!is_absolute_path(mapping->to))
		return psprintf("invalid tablespace mapping \"%s\"\n"
						"Write OLDDIR=NEWDIR with absolute paths.", argument);
	canonicalize_path(mapping->from);
	canonicalize_path(mapping->to);
	if (mapping_find(*list, mapping->from) != NULL)
		return psprintf("tablespace \"%s\" is mapped twice", mapping->from);
	mapping->next = *list;
	*list = mapping;
	return NULL;
}

/*
 * The mapping of a directory, or NULL.
 */
Mapping *
mapping_find(Mapping *list, const char *from)
{
	char		path[MAXPGPATH];

	strlcpy(path, from, sizeof(path));
	canonicalize_path(path);
	while (list != NULL && strcmp(list->from, path) != 0)
		list = list->next;
	return list;
}

/* Does the link 'from' lead to a place inside the backup? */
static bool
is_inside(const char *backup, const char *from)
{
	char	   *outer = realpath(backup, NULL);
	char	   *inner = realpath(from, NULL);
	size_t		length = outer == NULL ? 0 : strlen(outer);
	bool		inside = outer != NULL && inner != NULL &&
		strncmp(inner, outer, length) == 0 && inner[length] == '/';

	free(outer);
	free(inner);
	return inside;
}

/* Open the tablespace that the link pg_tblspc/'name' leads to. */
static char *
open_space(Tree *tree, int spaces, const char *name, Mapping *mappings,
		   bool anywhere)
{
	char		target[MAXPGPATH];
	char		link[MAXPGPATH];
	ssize_t		length = readlinkat(spaces, name, target, sizeof(target) - 1);
	int			dir;

	snprintf(link, sizeof(link), "%s/" SPACES "/%s", tree->path, name);
	if (length <= 0)
		return psprintf("could not read symbolic link \"%s\": %m", link);
	target[length] = '\0';
	if (!anywhere && mapping_find(mappings, target) == NULL &&
		!is_inside(tree->path, link))
		return psprintf("link \"%s\" leads to \"%s\", outside of the backup\n"
						"If the tablespace of this backup is there, say where it is to go: -T %s=NEWDIR",
						link, target, target);
	dir = openat(spaces, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return psprintf("could not open directory \"%s\": %m", target);
	tree_add_space(tree, atooid(name), pg_strdup(target), dir);
	return NULL;
}

/* Does a manifest name a file in this tablespace? */
static bool
has_files_in(const Manifest *manifest, const char *oid)
{
	ManifestFile **files = manifest_sorted(manifest);
	char		prefix[64];
	bool		found = false;

	snprintf(prefix, sizeof(prefix), SPACES "/%s/", oid);
	for (uint32 i = 0; !found && i < manifest->nfiles; i++)
		found = strncmp(files[i]->path, prefix, strlen(prefix)) == 0;
	pg_free(files);
	return found;
}

/* Look at what is in pg_tblspc of a plain backup. */
static char *
look_at_spaces(Tree *tree, Mapping *mappings, bool anywhere,
			   const Manifest *newest)
{
	int			spaces = openat(tree->root, SPACES, O_RDONLY | O_DIRECTORY |
								O_NOFOLLOW | O_CLOEXEC);
	DIR		   *dir;
	struct dirent *entry;
	char	   *problem = NULL;

	if (spaces < 0)
		return psprintf("could not open directory \"%s/" SPACES "\": %m",
						tree->path);
	dir = fdopendir(spaces);
	if (dir == NULL)
		pg_fatal("could not read directory \"%s/" SPACES "\": %m", tree->path);
	while (problem == NULL && (entry = readdir(dir)) != NULL)
	{
		struct stat st;

		if (entry->d_name[0] == '.' && strspn(entry->d_name, "0123456789") == 0)
			continue;			/* . and .., the walk judges others */
		if (fstatat(spaces, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
			problem = psprintf("could not stat \"%s/" SPACES "/%s\": %m",
							   tree->path, entry->d_name);
		else if (strspn(entry->d_name, "0123456789") !=
				 strlen(entry->d_name) || atooid(entry->d_name) == 0 ||
				 !(S_ISLNK(st.st_mode) || S_ISDIR(st.st_mode)))
			problem = psprintf("\"%s/" SPACES "/%s\" is no tablespace",
							   tree->path, entry->d_name);
		else if (newest != NULL && !has_files_in(newest, entry->d_name))
			continue;
		else if (S_ISLNK(st.st_mode))
			problem = open_space(tree, spaces, entry->d_name, mappings,
								 anywhere);
		else
			tree_add_space(tree, atooid(entry->d_name), NULL, -1);
	}
	closedir(dir);
	return problem;
}

/* Read the member tablespace_map; *map is NULL where there is none. */
static char *
read_map(const Backup *backup, const char *base, char **map)
{
	Archive		archive;
	TarMember	member;
	char	   *problem = archive_open(&archive, backup, base);

	*map = NULL;
	while (problem == NULL && archive_next(&archive, &member, &problem))
	{
		size_t		length = 0;
		ssize_t		got;

		if (strcmp(member.name, "tablespace_map") != 0)
			continue;
		if (member.size > MAP_MAX_BYTES)
		{
			problem = psprintf("tablespace_map in \"%s\" is too large",
							   archive.name);
			break;
		}
		*map = pg_malloc(member.size + 1);
		while (length < member.size &&
			   (got = tar_read(archive.reader, *map + length,
							   member.size - length, &problem)) > 0)
			length += got;
		(*map)[length] = '\0';
		break;
	}
	archive_close(&archive);
	return problem;
}

/*
 * Add the tablespaces that tablespace_map names to the tree: lines of an OID
 * and a path, with a backslash before a backslash or a line's end in it.
 */
static char *
read_spaces(Tree *tree, const Backup *backup)
{
	int			nnames;
	char	   *problem;
	char	   *map = NULL;
	char	  **names = archive_names(backup, &nnames, &problem);

	if (problem == NULL && nnames > 1)
		problem = read_map(backup, names[0], &map);
	for (const char *in = map; problem == NULL && in && *in; in++)
	{
		char	   *path;
		char	   *out;
		char	   *space;
		Oid			oid = strtoul(in, &space, 10);

		if (oid == InvalidOid || *space != ' ')
			return psprintf("tablespace_map in \"%s\" is not valid",
							backup->path);
		path = out = pg_malloc(strlen(space));
		for (in = space + 1; *in != '\0' && *in != '\n'; in++)
		{
			if (*in == '\\' && in[1] != '\0')
				in++;
			*out++ = *in;
		}
		*out = '\0';
		tree_add_space(tree, oid, path, -1);
		if (*in == '\0')
			break;
	}
	pg_free(map);

	/* A tablespace without a line was a directory in pg_tblspc. */
	return problem;
}

static char *
look_at_backup(Tree *tree, Backup *backup, Mapping *mappings, bool anywhere,
			   const Manifest *newest)
{
	memset(tree, 0, sizeof(*tree));
	tree->path = backup->path;
	tree->root = backup->dir;
	return backup->tar ? read_spaces(tree, backup) :
		look_at_spaces(tree, mappings, anywhere, newest);
}

/*
 * Look at the tablespaces of a backup.
 */
char *
tree_of_backup(Tree *tree, Backup *backup, Mapping *mappings,
			   const Manifest *newest)
{
	return look_at_backup(tree, backup, mappings, false, newest);
}

/*
 * The same for one that is only to be read and compared with its manifest.
 */
char *
tree_of_backup_anywhere(Tree *tree, Backup *backup)
{
	return look_at_backup(tree, backup, NULL, true, NULL);
}
