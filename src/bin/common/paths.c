/*-------------------------------------------------------------------------
 *
 * paths.c
 *		Names of files in a data directory, as a backup or a server gives them.
 *
 * Each directory on the way is opened in the one before, with O_NOFOLLOW.  So
 * nothing that another process puts into the place of a directory meanwhile
 * leads out of the tree.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/common/paths.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/block.h"

#define MAX_SEGMENT		(MaxBlockNumber / RELSEG_SIZE)
#define OPEN_DIRECTORY	(O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* What follows the last slash. */
static const char *
last_component(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? path : slash + 1;
}

static bool
has_prefix(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Return the reason why 'path' must not be used, or NULL. */
const char *
path_check(const char *path)
{
	const char *component = path;
	size_t		length = strlen(path);

	if (length == 0)
		return "name is empty";
	if (!has_prefix(last_component(path), PATH_INCREMENTAL))
		length += PATH_INCREMENTAL_LENGTH;
	if (length >= MAXPGPATH)
		return "name is too long";
	if (path[0] == '/')
		return "name is absolute";

	for (const char *at = path;; at++)
	{
		unsigned char c = (unsigned char) *at;

		if (c == '/' || c == '\0')
		{
			size_t		n = at - component;

			if (n == 0)
				return "name has an empty component";
			if (n <= 2 && memcmp(component, "..", n) == 0)
				return "name has a component \".\" or \"..\"";
			component = at + 1;
			if (c == '\0')
				return NULL;
		}
		else if (c < ' ' || c == 0x7F)
			return "name has a control character";
	}
}

/*
 * Read a decimal number from 1 to 'max' without leading zeros and move *at
 * behind it.
 */
static bool
take_number(const char **at, uint32 max, uint32 *number)
{
	uint64		sum = 0;

	if (**at < '1' || **at > '9')
		return false;
	for (; **at >= '0' && **at <= '9'; (*at)++)
	{
		sum = sum * 10 + (**at - '0');
		if (sum > max)
			return false;
	}
	*number = (uint32) sum;
	return true;
}

/* Take "16384", "16384.1", "16384_vm.2" and the like apart. */
static bool
parse_relation_file(const char *name, PathParts *parts)
{
	uint32		number;

	if (!take_number(&name, PG_UINT32_MAX, &number))
		return false;
	parts->fork = MAIN_FORKNUM;
	if (*name == '_')
	{
		int			length = forkname_chars(name + 1, &parts->fork);

		if (length <= 0)
			return false;
		name += 1 + length;
	}
	parts->segment = 0;
	if (*name == '.')
	{
		name++;
		if (!take_number(&name, MAX_SEGMENT, &parts->segment))
			return false;
	}
	return *name == '\0';
}

/* Is the last component in a directory that holds relations? */
static bool
in_relation_directory(const char *path)
{
	uint32		oid;

	if (has_prefix(path, "global/"))
		return strchr(path + strlen("global/"), '/') == NULL;
	if (has_prefix(path, "base/"))
		path += strlen("base/");
	else if (has_prefix(path, "pg_tblspc/"))
	{
		path += strlen("pg_tblspc/");
		if (!take_number(&path, PG_UINT32_MAX, &oid) ||
			!has_prefix(path, "/" TABLESPACE_VERSION_DIRECTORY "/"))
			return false;
		path += strlen("/" TABLESPACE_VERSION_DIRECTORY "/");
	}
	else
		return false;
	return take_number(&path, PG_UINT32_MAX, &oid) && *path == '/' &&
		strchr(path + 1, '/') == NULL;
}

/* Take a checked name apart. */
void
path_parse(const char *path, PathParts *parts)
{
	const char *name = last_component(path);

	memset(parts, 0, sizeof(*parts));
	strlcpy(parts->name, path, sizeof(parts->name));
	if (strcmp(path, "global/pg_control") == 0)
		parts->kind = PATH_CONTROL;
	else if (has_prefix(path, "pg_wal/"))
		parts->kind = PATH_WAL;
	if (!in_relation_directory(path))
		return;

	if (has_prefix(name, PATH_INCREMENTAL))
	{
		name += PATH_INCREMENTAL_LENGTH;
		parts->incremental = true;
	}
	if (parse_relation_file(name, parts))
	{
		parts->kind = parts->fork == FSM_FORKNUM ? PATH_FSM : PATH_RELATION;
		if (parts->incremental)
			path_incremental(path, parts->name);
	}
	else
	{
		parts->fork = MAIN_FORKNUM;
		parts->segment = 0;
		parts->incremental = false;
	}
}

/* Add INCREMENTAL. before the last component, or take it away. */
void
path_incremental(const char *path, char *result)
{
	const char *name = last_component(path);
	const char *prefix = PATH_INCREMENTAL;

	if (has_prefix(name, prefix))
	{
		snprintf(result, MAXPGPATH, "%.*s%s", (int) (name - path), path,
				 name + PATH_INCREMENTAL_LENGTH);
		return;
	}
	snprintf(result, MAXPGPATH, "%.*s%s%s", (int) (name - path), path, prefix,
			 name);
}

static void
close_keeping_errno(int fd)
{
	int			save_errno = errno;

	close(fd);
	errno = save_errno;
}

/* Open a directory in 'parent', made before unless 'mode' is 0. */
static int
open_directory(int parent, const char *name, mode_t mode)
{
	int			fd = openat(parent, name, OPEN_DIRECTORY);

	if (fd >= 0 || errno != ENOENT || mode == 0)
		return fd;
	if (mkdirat(parent, name, mode) != 0 && errno != EEXIST)
		return -1;
	return openat(parent, name, OPEN_DIRECTORY);
}

/* Open the directory that 'path' is in. */
int
path_open_parent(int root, const char *path, mode_t dir_mode,
				 const char **last)
{
	int			dir = openat(root, ".", OPEN_DIRECTORY);
	const char *slash;

	while (dir >= 0 && (slash = strchr(path, '/')) != NULL)
	{
		char		name[MAXPGPATH];
		int			next;

		strlcpy(name, path, Min(sizeof(name), slash - path + 1));
		next = open_directory(dir, name, dir_mode);
		close_keeping_errno(dir);
		dir = next;
		path = slash + 1;
	}
	*last = path;
	return dir;
}

/* Open a file or directory below 'root', following no link. */
int
path_open(int root, const char *path, int flags, mode_t mode, mode_t dir_mode)
{
	bool		directory = (flags & O_DIRECTORY) != 0;
	const char *name;
	struct stat st;
	int			fd;
	int			dir;

	dir = path_open_parent(root, path, (flags & O_CREAT) ? dir_mode : 0,
						   &name);
	if (dir < 0)
		return -1;

	/* a FIFO must not hold us up before we know that it is one */
	fd = openat(dir, name, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, mode);
	close_keeping_errno(dir);
	if (fd < 0 || directory)
		return fd;
	if (fstat(fd, &st) == 0)
	{
		if (S_ISREG(st.st_mode))
			return fd;
		errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
	}
	close_keeping_errno(fd);
	return -1;
}

/* mkdir -p */
int
path_mkdir(int root, const char *path, mode_t mode)
{
	const char *name;
	int			fd = -1;
	int			dir = path_open_parent(root, path, mode, &name);

	if (dir < 0)
		return -1;
	fd = open_directory(dir, name, mode);
	close_keeping_errno(dir);
	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

/* unlink */
int
path_unlink(int root, const char *path)
{
	const char *name;
	int			result;
	int			dir = path_open_parent(root, path, 0, &name);

	if (dir < 0)
		return -1;
	result = unlinkat(dir, name, 0);
	close_keeping_errno(dir);
	return result;
}
