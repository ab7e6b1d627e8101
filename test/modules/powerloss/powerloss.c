/*-------------------------------------------------------------------------
 *
 * powerloss.c
 *		What is on disk after a loss of power: for LD_PRELOAD, under a server.
 *
 * The idea: a file system promises only what was synced.  So it is enough to
 * take part in fsync(): the contents of a file that is synced, and the list of
 * names of a folder that is synced, are copied to a second place, the
 * "platter".  Everything else that a process does to files (writes, renames,
 * removals) is in the cache of the machine.  When all processes are gone, the
 * folders are made anew out of the platter: a loss of power in its worst form,
 * in which nothing survives that nobody synced.  Or one in which chance decides
 * for each name and each file whether what was not synced has made it.
 *
 * Files are known by inode and time of birth, since inodes are used again.
 * A name that was synced and whose file was not gives an empty file, as on
 * ext4.  Nothing is really synced.
 *
 * Environment:
 *
 *	POWERLOSS_ROOTS		folders, with all below them, separated by colons.
 *						"folder/prefix*" stands for what is called so in folder.
 *						Absolute and without symbolic links.
 *	POWERLOSS_PLATTER	a folder that exists
 *	POWERLOSS_FAIL		a file: while it is there, an fsync of a file whose path
 *						contains the file's text fails with EIO, and this file
 *						is removed, since an error is reported once; unless the
 *						text begins with an asterisk: then all of them fail
 *	POWERLOSS_LOG		a file that gets a line for each call on a path in a
 *						root: "sync PATH", "rename PATH", "unlink PATH"
 *	POWERLOSS_KILL		"CALL PATH": the process is killed when it makes that
 *						call, before it does anything
 *	POWERLOSS_DO		what a process that does nothing else does, as in
 *						"LD_PRELOAD=... POWERLOSS_DO=sync false", which succeeds
 *						only if the library is there:
 *						sync		everything is on the platter
 *						lose		make the folders anew
 *						lose SEED	the same, with survivors by chance
 *						show PATH	write what the platter has of a file
 *
 *-------------------------------------------------------------------------
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_ROOTS	8
#define KEY_MAX		64

/* Where a path may lie. */
typedef struct Root
{
	char		folder[PATH_MAX];
	char		prefix[NAME_MAX + 1];	/* "": everything in the folder */
} Root;

/* A name in a folder. */
typedef struct Name
{
	char		name[NAME_MAX + 1];
	char		key[KEY_MAX];
	mode_t		mode;
} Name;

typedef struct Names
{
	int			n;
	Name	   *names;
} Names;

static Root roots[MAX_ROOTS];
static int	nroots = -1;
static const char *platter;

__attribute__((format(printf, 1, 2), noreturn)) static void
die(const char *format,...)
{
	va_list		args;

	fprintf(stderr, "powerloss: ");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, ": %s\n", strerror(errno));
	/* Nothing that is claimed after this could be believed. */
	abort();
}

static void
join(char *path, const char *folder, const char *name)
{
	if (snprintf(path, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX)
		die("path \"%s/%s\" is too long", folder, name);
}

static void
read_environment(void)
{
	const char *list = getenv("POWERLOSS_ROOTS");

	if (nroots >= 0)
		return;
	nroots = 0;
	platter = getenv("POWERLOSS_PLATTER");
	while (platter != NULL && list != NULL && *list != '\0')
	{
		size_t		length = strcspn(list, ":");
		Root	   *root = &roots[nroots++];
		char	   *slash;

		if (nroots > MAX_ROOTS || length >= PATH_MAX)
			die("too many roots");
		memcpy(root->folder, list, length);
		root->folder[length] = '\0';
		if (length > 0 && root->folder[length - 1] == '*')
		{
			root->folder[length - 1] = '\0';
			slash = strrchr(root->folder, '/');
			if (slash == NULL)
				die("root \"%s\" is not absolute", root->folder);
			snprintf(root->prefix, sizeof(root->prefix), "%s", slash + 1);
			*slash = '\0';
		}
		list += length + (list[length] == ':');
	}
}

static bool
has_prefix(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

/*
 * The root that a path lies in, or that it is; NULL: none of our business.
 */
static const Root *
root_of(const char *path)
{
	for (int i = 0; i < nroots; i++)
	{
		size_t		length = strlen(roots[i].folder);

		if (strncmp(path, roots[i].folder, length) != 0)
			continue;
		if (path[length] == '\0' ||
			(path[length] == '/' &&
			 has_prefix(path + length + 1, roots[i].prefix)))
			return &roots[i];
	}
	return NULL;
}

/*
 * The path behind a descriptor; false where it has none (a pipe, a socket).
 * Where /proc does not tell, nothing could be kept, so we must not go on.
 */
static bool
path_of(int fd, char *path)
{
	static const char gone[] = " (deleted)";
	char		link[64];
	ssize_t		length;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, path, PATH_MAX - 1);
	if (length <= 0)
		die("could not read \"%s\"", link);
	path[length] = '\0';
	if ((size_t) length > strlen(gone) &&
		strcmp(path + length - strlen(gone), gone) == 0)
		path[length - strlen(gone)] = '\0';
	return path[0] == '/';
}

/* What a file is known by. */
static void
key_of(int folder, const char *name, char *key, mode_t *mode)
{
	struct statx st;

	if (statx(folder, name, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW,
			  STATX_BASIC_STATS | STATX_BTIME, &st) != 0)
	{
		/* It went while the folder was read. */
		if (errno != ENOENT)
			die("could not stat \"%s\"", name);
		key[0] = '\0';
		return;
	}
	*mode = st.stx_mode;
	snprintf(key, KEY_MAX, "%llu-%lld.%09u",
			 (unsigned long long) st.stx_ino,
			 (long long) st.stx_btime.tv_sec, st.stx_btime.tv_nsec);
}

static void
key_of_path(const char *path, char *key, mode_t *mode)
{
	key_of(AT_FDCWD, path, key, mode);
}

/* ------------------------------------------------------------
 * The platter: files/KEY and folders/KEY
 * ------------------------------------------------------------
 */

/* One process at a time writes to the platter. */
static int
lock_platter(void)
{
	char		path[PATH_MAX];
	int			fd;

	join(path, platter, "lock");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || flock(fd, LOCK_EX) != 0)
		die("could not lock \"%s\"", path);
	return fd;
}

static void
platter_path(char *path, const char *what, const char *key)
{
	if (snprintf(path, PATH_MAX, "%s/%s/%s", platter, what, key) >= PATH_MAX)
		die("path below \"%s\" is too long", platter);
}

/* Copy a whole file; from "" makes an empty one. */
static void
copy_file(const char *from, const char *to, mode_t mode)
{
	static char buffer[256 * 1024];
	ssize_t		length = 0;
	int			in = -1;
	int			out;

	out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode & 0777);
	if (out < 0)
		die("could not create \"%s\"", to);
	if (from[0] != '\0')
	{
		in = open(from, O_RDONLY | O_CLOEXEC);
		if (in < 0)
			die("could not open \"%s\"", from);
		while ((length = read(in, buffer, sizeof(buffer))) > 0)
		{
			if (write(out, buffer, length) != length)
				die("could not write \"%s\"", to);
		}
		close(in);
	}
	if (length < 0 || close(out) != 0)
		die("could not copy \"%s\" to \"%s\"", from, to);
}

static void
put_file(const char *from, const char *key, mode_t mode)
{
	char		path[PATH_MAX];
	char		temporary[PATH_MAX];

	platter_path(path, "files", key);
	platter_path(temporary, "files", "new");
	copy_file(from, temporary, mode | 0600);
	if (rename(temporary, path) != 0)
		die("could not rename \"%s\"", temporary);
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(((const Name *) a)->name, ((const Name *) b)->name);
}

static Name *
find_name(const Names *list, const char *name)
{
	for (int i = 0; i < list->n; i++)
		if (strcmp(list->names[i].name, name) == 0)
			return &list->names[i];
	return NULL;
}

static Name *
add_name(Names *list)
{
	list->names = realloc(list->names, sizeof(Name) * (list->n + 1));
	if (list->names == NULL)
		die("out of memory");
	return &list->names[list->n++];
}

/* The names that a folder has in the cache. */
static Names
list_cache(const char *folder, const char *prefix)
{
	Names		list = {0, NULL};
	DIR		   *dir = opendir(folder);
	struct dirent *de;

	if (dir == NULL)
	{
		if (errno == ENOENT)
			return list;
		die("could not open folder \"%s\"", folder);
	}
	while ((de = readdir(dir)) != NULL)
	{
		Name	   *name;

		if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0 ||
			!has_prefix(de->d_name, prefix))
			continue;
		name = add_name(&list);
		strcpy(name->name, de->d_name);
		key_of(dirfd(dir), de->d_name, name->key, &name->mode);
		if (name->key[0] == '\0')
			list.n--;
	}
	closedir(dir);
	qsort(list.names, list.n, sizeof(Name), compare_names);
	return list;
}

/* The names that a folder has on the platter. */
static Names
list_platter(const char *key)
{
	Names		list = {0, NULL};
	char		path[PATH_MAX];
	Name		name;
	FILE	   *file;

	platter_path(path, "folders", key);
	file = fopen(path, "re");
	if (file == NULL)
		return list;
	while (fscanf(file, "%o %63s %255[^\n]\n", &name.mode, name.key,
				  name.name) == 3)
		*add_name(&list) = name;
	fclose(file);
	return list;
}

static void
put_folder(const char *folder, const char *prefix, const char *key)
{
	Names		list = list_cache(folder, prefix);
	char		path[PATH_MAX];
	char		temporary[PATH_MAX];
	FILE	   *file;

	platter_path(path, "folders", key);
	platter_path(temporary, "folders", "new");
	file = fopen(temporary, "we");
	if (file == NULL)
		die("could not create \"%s\"", temporary);
	for (int i = 0; i < list.n; i++)
		fprintf(file, "%o %s %s\n", list.names[i].mode, list.names[i].key,
				list.names[i].name);
	if (fclose(file) != 0 || rename(temporary, path) != 0)
		die("could not write \"%s\"", path);
	free(list.names);
}

/* The part of a folder's names that counts. */
static const char *
prefix_in(const char *folder, const Root *root)
{
	return strcmp(folder, root->folder) == 0 ? root->prefix : "";
}

/* ------------------------------------------------------------
 * fsync()
 * ------------------------------------------------------------
 */

/* Is this the fsync that is to fail? */
static bool
is_to_fail(const char *path)
{
	const char *control = getenv("POWERLOSS_FAIL");
	char		text[PATH_MAX];
	size_t		length;
	FILE	   *file;

	if (control == NULL || (file = fopen(control, "re")) == NULL)
		return false;
	length = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[length] = '\0';
	text[strcspn(text, "\n")] = '\0';

	if (text[0] == '*')
		return strstr(path, text + 1) != NULL;

	/* Who removes it is the one who is told. */
	return text[0] != '\0' && strstr(path, text) != NULL &&
		unlink(control) == 0;
}

/* A process is about to do something that counts. */
static void
note_call(const char *call, const char *path)
{
	const char *log = getenv("POWERLOSS_LOG");
	const char *last = getenv("POWERLOSS_KILL");
	char		line[PATH_MAX + 16];
	int			fd;

	if ((log == NULL && last == NULL) || root_of(path) == NULL)
		return;
	snprintf(line, sizeof(line), "%s %s", call, path);
	if (last != NULL && strcmp(line, last) == 0)
		kill(getpid(), SIGKILL);
	if (log == NULL)
		return;
	strcat(line, "\n");
	fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, line, strlen(line)) != (ssize_t) strlen(line))
		die("could not write \"%s\"", log);
	close(fd);
}

static int
sync_descriptor(int fd)
{
	char		path[PATH_MAX];
	char		key[KEY_MAX];
	char		link[64];
	const Root *root;
	mode_t		mode;
	int			lock;
	int			save_errno = errno;

	read_environment();
	if (fcntl(fd, F_GETFD) < 0)
		return -1;
	if (!path_of(fd, path))
	{
		errno = EINVAL;
		return -1;
	}
	if (is_to_fail(path))
	{
		errno = EIO;
		return -1;
	}
	note_call("sync", path);
	root = root_of(path);
	if (root != NULL)
	{
		lock = lock_platter();
		key_of(fd, "", key, &mode);
		if (S_ISDIR(mode))
			put_folder(path, prefix_in(path, root), key);
		else
		{
			/* It may be open for writing only, or have no name any more. */
			snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
			put_file(link, key, mode);
		}
		close(lock);
	}
	errno = save_errno;
	return 0;
}

/* PGXS hides symbols since 16. */
#pragma GCC visibility push(default)

int
fsync(int fd)
{
	return sync_descriptor(fd);
}

int
fdatasync(int fd)
{
	return sync_descriptor(fd);
}

int
rename(const char *from, const char *to)
{
	int			(*next) (const char *, const char *) =
		(int (*) (const char *, const char *)) dlsym(RTLD_NEXT, "rename");

	read_environment();
	note_call("rename", from);
	return next(from, to);
}

int
unlinkat(int folder, const char *name, int flags)
{
	int			(*next) (int, const char *, int) =
		(int (*) (int, const char *, int)) dlsym(RTLD_NEXT, "unlinkat");
	char		path[PATH_MAX];
	char		whole[PATH_MAX];

	read_environment();
	if (folder != AT_FDCWD && path_of(folder, path))
	{
		join(whole, path, name);
		note_call("unlink", whole);
	}
	return next(folder, name, flags);
}

#pragma GCC visibility pop

/* Where another fsync() is the one that is called we would see nothing. */
static void
check_calls(void)
{
	Dl_info		called;
	Dl_info		ours;
	void	   *function = dlsym(RTLD_DEFAULT, "fsync");

	errno = 0;
	if (function == NULL || dladdr(function, &called) == 0 ||
		dladdr(&nroots, &ours) == 0 || called.dli_fbase != ours.dli_fbase)
		die("fsync() of another library is called");
}

/* ------------------------------------------------------------
 * Commands
 * ------------------------------------------------------------
 */

/* Everything in a folder is on the platter. */
static void
sync_folder(const char *folder, const char *prefix)
{
	Names		list = list_cache(folder, prefix);
	char		key[KEY_MAX];
	mode_t		mode;

	key_of_path(folder, key, &mode);
	if (key[0] != '\0')
		put_folder(folder, prefix, key);
	for (int i = 0; i < list.n; i++)
	{
		char		path[PATH_MAX];

		join(path, folder, list.names[i].name);
		if (S_ISDIR(list.names[i].mode))
			sync_folder(path, "");
		else if (S_ISREG(list.names[i].mode))
			put_file(path, list.names[i].key, list.names[i].mode);
	}
	free(list.names);
}

static void
empty_platter(void)
{
	const char *parts[] = {"files", "folders"};

	for (int i = 0; i < 2; i++)
	{
		char		folder[PATH_MAX];
		Names		list;

		join(folder, platter, parts[i]);
		if (mkdir(folder, 0700) != 0 && errno != EEXIST)
			die("could not create \"%s\"", folder);
		list = list_cache(folder, "");
		for (int j = 0; j < list.n; j++)
		{
			char		path[PATH_MAX];

			join(path, folder, list.names[j].name);
			if (unlink(path) != 0)
				die("could not remove \"%s\"", path);
		}
		free(list.names);
	}
}

static void
sync_all(void)
{
	empty_platter();
	for (int i = 0; i < nroots; i++)
		sync_folder(roots[i].folder, roots[i].prefix);
}

static void
remove_tree(const char *path)
{
	struct stat st;

	if (lstat(path, &st) != 0)
		die("could not stat \"%s\"", path);
	if (S_ISDIR(st.st_mode))
	{
		Names		list = list_cache(path, "");

		for (int i = 0; i < list.n; i++)
		{
			char		below[PATH_MAX];

			join(below, path, list.names[i].name);
			remove_tree(below);
		}
		free(list.names);
		if (rmdir(path) != 0)
			die("could not remove \"%s\"", path);
	}
	else if (unlink(path) != 0)
		die("could not remove \"%s\"", path);
}

/* Where in the cache a file is, by its key; false: nowhere. */
static bool
find_in_cache(const char *folder, const char *prefix, const char *key,
			  char *path)
{
	Names		list = list_cache(folder, prefix);
	bool		found = false;

	for (int i = 0; i < list.n && !found; i++)
	{
		char		below[PATH_MAX];

		join(below, folder, list.names[i].name);
		if (strcmp(list.names[i].key, key) == 0)
		{
			strcpy(path, below);
			found = true;
		}
		else if (S_ISDIR(list.names[i].mode))
			found = find_in_cache(below, "", key, path);
	}
	free(list.names);
	return found;
}

/* A small generator of our own: a seed means the same everywhere. */
static uint64_t chance_state;

static bool
chance(void)
{
	chance_state = chance_state * UINT64_C(6364136223846793005) +
		UINT64_C(1442695040888963407);
	return (chance_state >> 62) & 1;
}

/*
 * Make a file as it is after the loss.  With survivors its contents may be
 * those of the cache, or zeros in that length, where they differ.
 */
static void
rebuild_file(const Name *name, const char *to, bool survivors)
{
	char		durable[PATH_MAX];
	char		cached[PATH_MAX] = "";
	struct stat st;

	platter_path(durable, "files", name->key);
	if (access(durable, F_OK) != 0)
		durable[0] = '\0';
	for (int i = 0; survivors && i < nroots && cached[0] == '\0'; i++)
		(void) find_in_cache(roots[i].folder, roots[i].prefix, name->key,
							 cached);
	if (cached[0] != '\0' && chance())
	{
		copy_file(cached, to, name->mode);
		return;
	}
	copy_file(durable, to, name->mode);
	if (durable[0] == '\0' && cached[0] != '\0' && stat(cached, &st) == 0 &&
		chance() && truncate(to, st.st_size) != 0)
		die("could not extend \"%s\"", to);
}

/*
 * Make in 'to' the folder that is 'cached' in the cache, if it is there, and
 * has the 'key'.
 */
static void
rebuild_folder(const char *cached, const char *prefix, const char *key,
			   const char *to, bool survivors)
{
	Names		durable = list_platter(key);
	Names		list = durable;

	if (survivors && cached[0] != '\0')
	{
		Names		present = list_cache(cached, prefix);

		/* Each name that is not the same in both is there by chance. */
		list.n = 0;
		list.names = NULL;
		for (int i = 0; i < durable.n; i++)
		{
			Name	   *other = find_name(&present, durable.names[i].name);

			if (other == NULL)
			{
				if (chance())
					*add_name(&list) = durable.names[i];
			}
			else
				*add_name(&list) = strcmp(other->key, durable.names[i].key) == 0 ||
					chance() ? *other : durable.names[i];
		}
		for (int i = 0; i < present.n; i++)
		{
			if (find_name(&durable, present.names[i].name) == NULL && chance())
				*add_name(&list) = present.names[i];
		}
	}

	for (int i = 0; i < list.n; i++)
	{
		char		path[PATH_MAX];

		join(path, to, list.names[i].name);
		if (S_ISDIR(list.names[i].mode))
		{
			char		below[PATH_MAX] = "";

			for (int r = 0; r < nroots && below[0] == '\0'; r++)
				(void) find_in_cache(roots[r].folder, roots[r].prefix,
									 list.names[i].key, below);
			if (mkdir(path, list.names[i].mode & 0777) != 0)
				die("could not create \"%s\"", path);
			rebuild_folder(below, "", list.names[i].key, path, survivors);
		}
		else
			rebuild_file(&list.names[i], path, survivors);
	}
}

static void
lose(bool survivors)
{
	char		made[MAX_ROOTS][PATH_MAX];

	/* First all of the new, because the old may be looked into. */
	for (int i = 0; i < nroots; i++)
	{
		char		key[KEY_MAX];
		mode_t		mode;

		key_of_path(roots[i].folder, key, &mode);
		snprintf(made[i], PATH_MAX, "%s/made%d", platter, i);
		if (mkdir(made[i], 0700) != 0)
			die("could not create \"%s\"", made[i]);
		rebuild_folder(roots[i].folder, roots[i].prefix, key, made[i],
					   survivors);
	}
	for (int i = 0; i < nroots; i++)
	{
		Names		old = list_cache(roots[i].folder, roots[i].prefix);
		Names		new = list_cache(made[i], "");
		char		from[PATH_MAX];
		char		to[PATH_MAX];

		for (int j = 0; j < old.n; j++)
		{
			join(to, roots[i].folder, old.names[j].name);
			remove_tree(to);
		}
		for (int j = 0; j < new.n; j++)
		{
			join(from, made[i], new.names[j].name);
			join(to, roots[i].folder, new.names[j].name);
			if (rename(from, to) != 0)
				die("could not rename \"%s\" to \"%s\"", from, to);
		}
		remove_tree(made[i]);
	}
	sync_all();
}

static void
show(const char *path)
{
	static char buffer[64 * 1024];
	char		durable[PATH_MAX];
	char		key[KEY_MAX];
	mode_t		mode;
	ssize_t		length;
	int			fd;

	key_of_path(path, key, &mode);
	platter_path(durable, "files", key);
	fd = open(durable, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;					/* nothing of it was ever synced */
	while ((length = read(fd, buffer, sizeof(buffer))) > 0)
	{
		if (write(STDOUT_FILENO, buffer, length) != length)
			die("could not write");
	}
	close(fd);
}

__attribute__((constructor)) static void
command(void)
{
	const char *what = getenv("POWERLOSS_DO");

	check_calls();
	if (what == NULL)
		return;
	read_environment();
	if (nroots == 0)
		die("no roots or no platter");
	if (strcmp(what, "sync") == 0)
		sync_all();
	else if (strcmp(what, "lose") == 0)
		lose(false);
	else if (has_prefix(what, "lose "))
	{
		chance_state = strtoull(what + 5, NULL, 10);
		for (int i = 0; i < 10; i++)
			(void) chance();
		lose(true);
	}
	else if (has_prefix(what, "show "))
		show(what + 5);
	else
		die("unknown command \"%s\"", what);
	_exit(0);
}
