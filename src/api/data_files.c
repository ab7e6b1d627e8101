/*-------------------------------------------------------------------------
 *
 * data_files.c
 *		The files of the data directory: which of them are copied, and how.
 *
 * What a backup leaves out is what BASE_BACKUP leaves out, and what belongs to
 * this server's ckpx: a restored server makes its own.
 *
 * An unlogged relation has an init fork and others with contents that no
 * recovery keeps.  Only the directory tells which relations these are, so the
 * walk reads a database's directory twice: first for the init forks.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog.h"
#include "api/data_files.h"
#include "catalog/pg_tablespace_d.h"
#include "common/file_utils.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/syslogger.h"
#include "server/base/options.h"
#include "server/base/shared_state.h"
#include "server/store/node.h"
#include "storage/dsm_impl.h"
#include "storage/fd.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/relcache.h"

#define CONTROL_FILE		"global/pg_control"
#define TABLESPACES			"pg_tblspc"

/*
 * Not in the map, and needed in a copy that is kept up to date by it: a name
 * that ends in '/' is a directory with all that is in it, '*' stands for any
 * characters but '/'.  FSM forks change without WAL.  The SLRUs, the relation
 * maps, two-phase files, origins and mappings of logical decoding and the
 * control file are written by other means than pages of relations.  The
 * control file is the last: it must be copied last.
 *
 * Each of these has the same contents in every copy of this cluster, on
 * whatever host.  What belongs to one server stays out, a copy has its own:
 * configuration (ALTER SYSTEM's, too: a standby has its primary_conninfo
 * there), signal files, backup_label, postmaster.pid and .opts, pg_replslot,
 * the store of ckpx.  So does what PostgreSQL removes or makes anew at a start
 * (see emptied_directories, pg_stat, pgsql_tmp, pg_internal.init, temporary
 * relations, and unlogged ones but for their init forks, which the map has),
 * and pg_wal: what a copy needs of it depends on how it is made.
 * docs/incremental-copy.md goes through all of them.
 */
const char *const ckpx_always_whole[CKPX_ALWAYS_WHOLE] = {
	"PG_VERSION",
	"pg_xact/",
	"pg_multixact/",
	"pg_commit_ts/",
	"pg_twophase/",
	"pg_logical/",
	"global/*_fsm*",
	"base/*/*_fsm*",
	"global/pg_filenode.map",
	CONTROL_FILE
};

/* Directories, wherever they are, whose contents no backup has. */
static const char *const emptied_directories[] = {
	PG_STAT_TMP_DIR, "pg_replslot", PG_DYNSHMEM_DIR, "pg_notify", "pg_serial",
	"pg_snapshots", "pg_subtrans"
};

/*
 * Files that no backup has, wherever they are.  The first names are
 * beginnings, which the temporary files of the same names have, too.
 */
static const char *const excluded_names[] = {
	PG_TEMP_FILE_PREFIX, RELCACHE_INIT_FILENAME,
	PG_AUTOCONF_FILENAME ".tmp", LOG_METAINFO_DATAFILE_TMP, BACKUP_LABEL_FILE,
	TABLESPACE_MAP, "backup_manifest", "postmaster.pid", "postmaster.opts",
	".DS_Store"
};
#define NPREFIXES			2

/* ckpx's own, in the data directory itself. */
static const char *const own_names[] = {
	CKPX_NODE_FILE, CKPX_NODE_FILE ".tmp",
	CKPX_UNINSTALLED_FILE, CKPX_UNINSTALLED_FILE ".tmp"
};

/* Files there that PostgreSQL removes while it runs. */
static const char *const passing_names[] = {
	LOG_METAINFO_DATAFILE, RECOVERY_SIGNAL_FILE, STANDBY_SIGNAL_FILE,
	PROMOTE_SIGNAL_FILE
};

typedef struct Walk
{
	CkpxFoundCallback callback;
	void	   *arg;
	List	   *inside;			/* tablespaces in the data directory, relative
								 * to it */
} Walk;

const char *
ckpx_file_kind_name(CkpxFileKind kind)
{
	static const char *const names[] = {
		"excluded", "directory", "directory", "tablespace", "relation", "fsm",
		"file", "control"
	};

	return CKPX_NAME_OF(names, kind);
}

static bool
is_listed(const char *const *names, int nnames, const char *name)
{
	for (int i = 0; i < nnames; i++)
	{
		if (strcmp(names[i], name) == 0)
			return true;
	}
	return false;
}

static bool
is_excluded_name(const char *name)
{
	for (int i = 0; i < NPREFIXES; i++)
	{
		if (strncmp(name, excluded_names[i], strlen(excluded_names[i])) == 0)
			return true;
	}
	return is_listed(excluded_names, lengthof(excluded_names), name);
}

/*
 * A path relative to the data directory, where an absolute one lies in it.
 * Links may be on the way to either.
 */
static bool
path_inside(const char *path, char *inside)
{
	char		real[MAXPGPATH];
	char		top[MAXPGPATH];
	char	   *found;

	found = realpath(path, NULL);
	strlcpy(real, found != NULL ? found : path, MAXPGPATH);
	free(found);
	found = realpath(DataDir, NULL);
	strlcpy(top, found != NULL ? found : DataDir, MAXPGPATH);
	free(found);

	if (!path_is_prefix_of_path(top, real) || strcmp(top, real) == 0)
		return false;
	strlcpy(inside, real + strlen(top) + 1, MAXPGPATH);
	return true;
}

/* ckpx.directory, relative to the data directory; '' where it is elsewhere. */
static const char *
own_directory(void)
{
	static char directory[MAXPGPATH];
	static bool known = false;

	if (known)
		return directory;
	strlcpy(directory, ckpx_directory, MAXPGPATH);
	canonicalize_path(directory);
	if (is_absolute_path(directory) &&
		!path_inside(ckpx_directory, directory))
		directory[0] = '\0';
	known = true;
	return directory;
}

bool
ckpx_data_path_is_clean(const char *path)
{
	const char *at = path;

	if (strlen(path) >= MAXPGPATH)
		return false;
	for (const char *c = path; *c != '\0'; c++)
	{
		if ((unsigned char) *c < ' ' || *c == '\177')
			return false;
	}
	for (;;)
	{
		Size		length = strcspn(at, "/");

		if (length == 0 || (length <= 2 && strspn(at, ".") >= length))
			return false;
		if (at[length] == '\0')
			return true;
		at += length + 1;
	}
}

/* Read a number without leading zeros and move '*at' behind it. */
static bool
parse_number(const char **at, uint32 *number)
{
	char	   *end;
	unsigned long value;

	if (**at < '1' || **at > '9')
		return false;
	errno = 0;
	value = strtoul(*at, &end, 10);
	if (errno != 0 || value > PG_UINT32_MAX)
		return false;
	*number = (uint32) value;
	*at = end;
	return true;
}

/* Read a piece of text that must be there. */
static bool
parse_text(const char **at, const char *text)
{
	Size		length = strlen(text);

	if (strncmp(*at, text, length) != 0)
		return false;
	*at += length;
	return true;
}

/*
 * Read the directory of a database, or of the shared relations, with the '/'
 * behind it.
 */
static bool
parse_database(const char **at, CkpxRelKey *key)
{
	key->database = InvalidOid;
	key->tablespace = GLOBALTABLESPACE_OID;
	if (parse_text(at, "global/"))
		return true;
	key->tablespace = DEFAULTTABLESPACE_OID;
	if (parse_text(at, "base/"))
		return parse_number(at, &key->database) && parse_text(at, "/");
	return parse_text(at, TABLESPACES "/") &&
		parse_number(at, &key->tablespace) &&
		parse_text(at, "/" TABLESPACE_VERSION_DIRECTORY "/") &&
		parse_number(at, &key->database) && parse_text(at, "/");
}

/* Read "1234_vm.5", which must be all that is left. */
static bool
parse_relation(const char *at, CkpxDataFile *file)
{
	ForkNumber	fork = MAIN_FORKNUM;

	file->segment = 0;
	if (!parse_number(&at, &file->key.relation))
		return false;
	if (*at == '_')
	{
		int			length = forkname_chars(at + 1, &fork);

		if (length <= 0)
			return false;
		at += length + 1;
	}
	file->key.fork = fork;
	if (*at == '.')
	{
		at++;
		if (!parse_number(&at, &file->segment))
			return false;
	}
	return *at == '\0';
}

/* The kind that the components of a path make of it; OTHER: none. */
static CkpxFileKind
kind_of_components(const char *path)
{
	const char *own = own_directory();
	bool		top = true;

	if (own[0] != '\0' && path_is_prefix_of_path(own, path))
		return CKPX_FILE_EXCLUDED;
	for (const char *at = path;; top = false)
	{
		char		name[MAXPGPATH];
		Size		length = strcspn(at, "/");
		bool		last = at[length] == '\0';

		strlcpy(name, at, length + 1);
		if (is_excluded_name(name) ||
			(top && is_listed(own_names, lengthof(own_names), name)))
			return CKPX_FILE_EXCLUDED;
		if (is_listed(emptied_directories, lengthof(emptied_directories),
					  name) ||
			(top && strcmp(name, XLOGDIR) == 0))
			return last ? CKPX_FILE_EMPTIED : CKPX_FILE_EXCLUDED;
		if (last)
			return CKPX_FILE_OTHER;
		at += length + 1;
	}
}

void
ckpx_data_file_parse(CkpxDataFile *file, const char *path)
{
	const char *at = path;

	memset(file, 0, sizeof(CkpxDataFile));
	file->kind = kind_of_components(path);
	if (file->kind != CKPX_FILE_OTHER)
		return;
	if (strcmp(path, CONTROL_FILE) == 0)
		file->kind = CKPX_FILE_CONTROL;
	else if (!parse_database(&at, &file->key))
		return;
	else if (parse_relation(at, file))
		file->kind = file->key.fork == FSM_FORKNUM ? CKPX_FILE_FSM :
			CKPX_FILE_RELATION;
	else if (file->key.database != InvalidOid && looks_like_temp_rel_name(at))
		file->kind = CKPX_FILE_EXCLUDED;
}

bool
ckpx_data_file_may_vanish(const CkpxDataFile *file, const char *path)
{
	if (file->kind == CKPX_FILE_RELATION || file->kind == CKPX_FILE_FSM)
		return true;
	if (strchr(path, '/') == NULL)
		return is_listed(passing_names, lengthof(passing_names), path);
	return strncmp(path, "global/", strlen("global/")) != 0;
}

/*
 * Does a component that ends where 'rest' begins have to be followed, as the
 * link of a tablespace?
 */
static bool
is_tablespace_link(const char *path, const char *rest)
{
	const char *at = path;
	Oid			tablespace;

	return parse_text(&at, TABLESPACES "/") &&
		parse_number(&at, &tablespace) && at == rest &&
		parse_text(&at, "/" TABLESPACE_VERSION_DIRECTORY "/");
}

int
ckpx_data_file_open(const char *path, struct stat *st)
{
	const char *at = path;
	int			dir = AT_FDCWD;
	int			fd;
	int			save_errno;

	for (;;)
	{
		char		name[MAXPGPATH];
		Size		length = strcspn(at, "/");
		bool		last = at[length] == '\0';
		int			flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;

		if (!last)
			flags |= O_DIRECTORY;
		if (!is_tablespace_link(path, at + length))
			flags |= O_NOFOLLOW;
		strlcpy(name, at, length + 1);
		fd = openat(dir, name, flags);
		save_errno = errno;
		if (dir != AT_FDCWD)
			close(dir);
		errno = save_errno;
		if (fd < 0 || last)
			break;
		dir = fd;
		at += length + 1;
	}

	if (fd >= 0 && (fstat(fd, st) != 0 || !S_ISREG(st->st_mode)))
	{
		save_errno = S_ISREG(st->st_mode) ? errno : EINVAL;
		close(fd);
		errno = save_errno;
		fd = -1;
	}
	return fd;
}

bool
ckpx_read_tablespace_link(const char *path, char *target)
{
	ssize_t		length = readlink(path, target, MAXPGPATH);

	if (length < 0 && errno == ENOENT)
		return false;
	if (length < 0 && errno == EINVAL)
		length = 0;				/* not a symbolic link */
	if (length < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read symbolic link \"%s\": %m", path)));
	if (length >= MAXPGPATH)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("symbolic link \"%s\" target is too long", path)));
	target[length] = '\0';
	return true;
}

char *
ckpx_segment_path(const char *path, uint32 segment)
{
	return segment == 0 ? pstrdup(path) : psprintf("%s.%u", path, segment);
}

/* The directory's tablespaces that lie inside the data directory. */
static List *
find_inside(void)
{
	List	   *inside = NIL;
	DIR		   *dir = AllocateDir(TABLESPACES);
	struct dirent *de;

	while ((de = ReadDir(dir, TABLESPACES)) != NULL)
	{
		char		path[MAXPGPATH];
		char		target[MAXPGPATH];
		char		relative[MAXPGPATH];

		if (strspn(de->d_name, "0123456789") != strlen(de->d_name))
			continue;
		snprintf(path, MAXPGPATH, TABLESPACES "/%s", de->d_name);
		if (ckpx_read_tablespace_link(path, target) && target[0] != '\0' &&
			path_inside(target, relative))
			inside = lappend(inside, pstrdup(relative));
	}
	FreeDir(dir);
	return inside;
}

static bool
is_inside(const Walk *walk, const char *path)
{
	ListCell   *cell;

	foreach(cell, walk->inside)
	{
		if (strcmp(lfirst(cell), path) == 0)
			return true;
	}
	return false;
}

static int
compare_oids(const void *a, const void *b)
{
	Oid			x = *(const Oid *) a;
	Oid			y = *(const Oid *) b;

	return x < y ? -1 : x > y;
}

/* The relations with init forks in a database's directory, in order. */
static Oid *
find_unlogged(const char *path, int *count)
{
	int			max = 64;
	Oid		   *found = palloc(sizeof(Oid) * max);
	DIR		   *dir = AllocateDir(path);
	struct dirent *de;

	*count = 0;
	while ((de = ReadDirExtended(dir, path, DEBUG1)) != NULL)
	{
		CkpxDataFile file;

		CHECK_FOR_INTERRUPTS();
		if (!parse_relation(de->d_name, &file) ||
			file.key.fork != INIT_FORKNUM)
			continue;
		if (*count == max)
			found = repalloc(found, sizeof(Oid) * (max *= 2));
		found[(*count)++] = file.key.relation;
	}
	if (dir != NULL)
		FreeDir(dir);
	qsort(found, *count, sizeof(Oid), compare_oids);
	return found;
}

/* Has the relation of this file an init fork, and is the file not it? */
static bool
is_unlogged(const CkpxDataFile *name, const Oid *unlogged, int nunlogged)
{
	if ((name->kind != CKPX_FILE_RELATION && name->kind != CKPX_FILE_FSM) ||
		name->key.fork == INIT_FORKNUM || nunlogged == 0)
		return false;
	return bsearch(&name->key.relation, unlogged, nunlogged, sizeof(Oid),
				   compare_oids) != NULL;
}

static void
found_file(const Walk *walk, const CkpxDataFile *name, const char *path,
		   const char *link, const struct stat *st)
{
	CkpxFoundFile file = {*name, path, link, *st};

	walk->callback(walk->arg, &file);
}

static bool
stat_file(const char *path, struct stat *st)
{
	if (lstat(path, st) == 0)
		return true;
	if (errno != ENOENT)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not stat file \"%s\": %m", path)));
	return false;
}

/* A directory without its contents; a link to one counts as one. */
static void
found_emptied(const Walk *walk, const CkpxDataFile *name, const char *path,
			  const struct stat *st)
{
	static const char *const in_wal[] = {
		XLOGDIR "/archive_status",
#ifdef CKPX_WAL_SUMMARIES
		CKPX_WAL_SUMMARIES
#endif
	};

	found_file(walk, name, path, NULL, st);
	if (strcmp(path, XLOGDIR) != 0)
		return;
	for (int i = 0; i < (int) lengthof(in_wal); i++)
		found_file(walk, name, in_wal[i], NULL, st);
}

static void walk_directory(const Walk *walk, const char *path);

static void
walk_tablespace(const Walk *walk, CkpxDataFile *name, const char *path,
				const struct stat *st)
{
	char		target[MAXPGPATH];
	char	   *version = psprintf("%s/" TABLESPACE_VERSION_DIRECTORY, path);
	struct stat version_st;

	if (!ckpx_read_tablespace_link(path, target))
		return;
	name->kind = CKPX_FILE_TABLESPACE;
	found_file(walk, name, path, target, st);
	if (!stat_file(version, &version_st))
		return;
	name->kind = CKPX_FILE_DIRECTORY;
	found_file(walk, name, version, NULL, &version_st);
	walk_directory(walk, version);
}

/* Visit one entry of a directory, which is not excluded. */
static void
walk_entry(const Walk *walk, CkpxDataFile *name, const char *path)
{
	const char *at = path;
	Oid			tablespace;
	struct stat st;

	if (name->kind == CKPX_FILE_CONTROL || !stat_file(path, &st))
		return;
	if (name->kind == CKPX_FILE_EMPTIED)
		found_emptied(walk, name, path, &st);
	else if (S_ISLNK(st.st_mode) && parse_text(&at, TABLESPACES "/") &&
			 parse_number(&at, &tablespace) && *at == '\0')
		walk_tablespace(walk, name, path, &st);
	else if (S_ISDIR(st.st_mode))
	{
		name->kind = CKPX_FILE_DIRECTORY;
		found_file(walk, name, path, NULL, &st);
		if (!is_inside(walk, path))
			walk_directory(walk, path);
	}
	else if (S_ISREG(st.st_mode))
		found_file(walk, name, path, NULL, &st);
	else
		ereport(WARNING,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("skipping special file \"%s\"", path)));
}

/* Visit the contents of a directory; '' is the data directory. */
static void
walk_directory(const Walk *walk, const char *path)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "ckpx walk",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	const char *folder = path[0] == '\0' ? "." : path;
	char	   *slash = path[0] == '\0' ? "" : psprintf("%s/", path);
	const char *at = slash;
	CkpxRelKey	key;
	Oid		   *unlogged = NULL;
	int			nunlogged = 0;
	DIR		   *dir;
	struct dirent *de;

	check_stack_depth();
	if (parse_database(&at, &key) && *at == '\0' && key.database != InvalidOid)
		unlogged = find_unlogged(path, &nunlogged);

	dir = AllocateDir(folder);
	if (dir == NULL && errno != ENOENT)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open directory \"%s\": %m", folder)));
	while (dir != NULL && (de = ReadDir(dir, folder)) != NULL)
	{
		char		entry[MAXPGPATH * 2];
		CkpxDataFile name;

		CHECK_FOR_INTERRUPTS();
		if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
			continue;
		snprintf(entry, sizeof(entry), "%s%s", slash, de->d_name);
		if (!ckpx_data_path_is_clean(entry))
		{
			ereport(WARNING,
					(errcode(ERRCODE_INVALID_NAME),
					 errmsg("skipping a file in directory \"%s\"", folder),
					 errdetail("Its name is too long or has control characters.")));
			continue;
		}
		ckpx_data_file_parse(&name, entry);
		if (name.kind == CKPX_FILE_EXCLUDED ||
			is_unlogged(&name, unlogged, nunlogged))
			continue;
		walk_entry(walk, &name, entry);
	}
	if (dir != NULL)
		FreeDir(dir);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

void
ckpx_data_files_walk(CkpxFoundCallback callback, void *arg)
{
	Walk		walk = {callback, arg, find_inside()};
	CkpxDataFile control;
	struct stat st;

	walk_directory(&walk, "");
	ckpx_data_file_parse(&control, CONTROL_FILE);
	if (!stat_file(CONTROL_FILE, &st))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FILE),
				 errmsg("file \"%s\" does not exist", CONTROL_FILE)));
	found_file(&walk, &control, CONTROL_FILE, NULL, &st);
}
