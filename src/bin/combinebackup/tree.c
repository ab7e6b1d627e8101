/*-------------------------------------------------------------------------
 *
 * tree.c
 *		A data directory with its tablespaces, read or made.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/combinebackup/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bin/common/paths.h"
#include "common/file_perm.h"

#define SPACES "pg_tblspc"

/*
 * Add a tablespace; the path becomes the tree's.
 */
void
tree_add_space(Tree *tree, Oid oid, char *path, int dir)
{
	TreeSpace  *space;

	tree->spaces = pg_realloc(tree->spaces,
							  sizeof(TreeSpace) * (tree->nspaces + 1));
	space = &tree->spaces[tree->nspaces++];
	space->oid = oid;
	space->path = path;
	space->dir = dir;
}

/*
 * Close what is open but for the root, which is the backup's.
 */
void
tree_close(Tree *tree)
{
	for (int i = 0; i < tree->nspaces; i++)
		if (tree->spaces[i].dir >= 0)
			close(tree->spaces[i].dir);
	pg_free(tree->spaces);
	tree->spaces = NULL;
	tree->nspaces = 0;
}

/*
 * The space that a file is in.
 */
int
tree_find_space(const Tree *tree, const char *path)
{
	if (strncmp(path, SPACES "/", strlen(SPACES "/")) == 0)
		for (int i = 0; i < tree->nspaces; i++)
			if (tree->spaces[i].path != NULL &&
				tree->spaces[i].oid == atooid(path + strlen(SPACES "/")))
				return i;
	return -1;
}

/*
 * The directory below which 'path' is, and *rest of it there.
 */
static int
root_of(const Tree *tree, const char *path, const char **rest)
{
	*rest = path;
	if (strncmp(path, SPACES "/", strlen(SPACES "/")) == 0)
	{
		const char *oid = path + strlen(SPACES "/");
		const char *end = strchr(oid, '/');

		for (int i = 0; end != NULL && i < tree->nspaces; i++)
			if (tree->spaces[i].dir >= 0 && tree->spaces[i].oid == atooid(oid))
			{
				*rest = end + 1;
				return tree->spaces[i].dir;
			}
	}
	return tree->root;
}

/*
 * Open a file.
 */
int
tree_open(const Tree *tree, const char *path, int flags)
{
	const char *rest;
	int			root = root_of(tree, path, &rest);

	return path_open(root, rest, flags | O_CLOEXEC, pg_file_create_mode,
					 pg_dir_create_mode);
}

/*
 * Make a directory with its parents.
 */
int
tree_mkdir(const Tree *tree, const char *path)
{
	const char *rest;
	int			root = root_of(tree, path, &rest);

	return path_mkdir(root, rest, pg_dir_create_mode);
}

/*
 * Remove a file.
 */
int
tree_unlink(const Tree *tree, const char *path)
{
	const char *rest;
	int			root = root_of(tree, path, &rest);

	return path_unlink(root, rest);
}

/*
 * Make a hard link, following no other link on either side.
 */
int
tree_link(const Tree *tree, const char *path, const Tree *from,
		  const char *from_path)
{
	const char *rest;
	const char *from_name;
	const char *name;
	int			root = root_of(from, from_path, &rest);
	int			from_dir = path_open_parent(root, rest, 0, &from_name);
	int			dir;
	int			result = -1;

	root = root_of(tree, path, &rest);
	dir = path_open_parent(root, rest, pg_dir_create_mode, &name);
	if (from_dir >= 0 && dir >= 0)
		result = linkat(from_dir, from_name, dir, name, 0);
	if (from_dir >= 0)
		close(from_dir);
	if (dir >= 0)
		close(dir);
	return result;
}

/*
 * fsync the directory of a file.
 */
int
tree_sync_parent(const Tree *tree, const char *path)
{
	const char *rest;
	int			root = root_of(tree, path, &rest);
	char		parent[MAXPGPATH];
	int			fd;
	int			result;

	strlcpy(parent, rest, sizeof(parent));
	get_parent_directory(parent);
	fd = openat(root, parent[0] ? parent : ".",
				O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	result = fsync(fd);
	close(fd);
	return result;
}

typedef struct Walk
{
	const Tree *tree;
	TreeFunction found;
	void	   *arg;
} Walk;

static char *walk_directory(Walk *walk, int parent, const char *name,
							const char *path, bool follow);

/* One entry of a directory; 'path' is its name in the data directory. */
static char *
walk_entry(Walk *walk, int dir, const char *name, const char *path)
{
	const char *refused = path_check(path);
	struct stat st;
	char	   *problem;

	if (refused != NULL)
		return psprintf("name \"%s\" in \"%s\": %s", path, walk->tree->path,
						refused);
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return psprintf("could not stat \"%s/%s\": %m", walk->tree->path, path);
	if (S_ISREG(st.st_mode))
		return walk->found(walk->arg, path, false, st.st_size, st.st_mtime);

	/* Links in pg_tblspc were judged when the tree was looked at. */
	if (S_ISLNK(st.st_mode) && strncmp(path, SPACES "/", 10) == 0 &&
		strchr(path + 10, '/') == NULL)
		return walk_directory(walk, dir, name, path, true);
	if (!S_ISDIR(st.st_mode))
		return psprintf("\"%s/%s\" is neither a file nor a directory\n"
						"A backup that holds links cannot be combined; put in its place what it leads to.",
						walk->tree->path, path);
	problem = walk->found(walk->arg, path, true, 0, 0);
	return problem ? problem : walk_directory(walk, dir, name, path, false);
}

static char *
walk_directory(Walk *walk, int parent, const char *name, const char *path,
			   bool follow)
{
	int			fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC |
							(follow ? 0 : O_NOFOLLOW));
	DIR		   *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	char	   *problem = NULL;

	if (dir == NULL)
		return psprintf("could not open directory \"%s/%s\": %m",
						walk->tree->path, path);
	while (errno = 0, problem == NULL && (entry = readdir(dir)) != NULL)
	{
		char		below[MAXPGPATH * 2];

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		snprintf(below, sizeof(below), "%s%s%s", path, *path ? "/" : "",
				 entry->d_name);
		problem = walk_entry(walk, fd, entry->d_name, below);
	}
	if (problem == NULL && errno != 0)
		problem = psprintf("could not read directory \"%s/%s\": %m",
						   walk->tree->path, path);
	closedir(dir);
	return problem;
}

/*
 * Call 'found' for each file and directory.
 */
char *
tree_walk(const Tree *tree, TreeFunction found, void *arg)
{
	Walk		walk = {tree, found, arg};

	return walk_directory(&walk, tree->root, ".", "", false);
}
