/*-------------------------------------------------------------------------
 *
 * output.c
 *		The directory that is being made.
 *
 * What is removed after a failure is what this program made: a directory that
 * was there stays, empty.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/combinebackup/output.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bin/common/files.h"
#include "catalog/pg_control.h"
#include "common/file_perm.h"
#include "common/file_utils.h"
#include "common/logging.h"

#define LABEL "backup_label"
#define CONTROL "global/pg_control"

/* 17 and later say that this is an incremental backup; before, the first line
 * is not what a label begins with. */
#define POISONED_LABEL \
	"INCREMENTAL FROM LSN: 0/0\nINCREMENTAL FROM TLI: 1\n" \
	"ckpx_combinebackup did not finish.\n"

typedef struct Made
{
	struct Made *next;
	char	   *path;
	bool		was_there;
} Made;

static Made *made;

/* Remove what was made. */
static void
remove_made(void)
{
	for (; made != NULL; made = made->next)
	{
		pg_log_info("removing \"%s\"", made->path);
		if (!rmtree(made->path, !made->was_there))
			pg_log_error_hint("Remove what is left in \"%s\".", made->path);
	}
}

/* Refuse a place inside of a data directory or a backup. */
static char *
check_parents(const char *path)
{
	char		parent[MAXPGPATH];
	char		name[MAXPGPATH + 32];

	strlcpy(parent, path, sizeof(parent));
	for (;;)
	{
		static const char *const signs[] = {"PG_VERSION", "backup_manifest"};

		get_parent_directory(parent);
		for (int i = 0; i < lengthof(signs); i++)
		{
			snprintf(name, sizeof(name), "%s/%s", parent[0] ? parent : ".",
					 signs[i]);
			if (access(name, F_OK) == 0)
				return psprintf("\"%s\" lies inside of \"%s\", which has a file \"%s\"\n"
								"Choose a directory outside of data directories and backups.",
								path, parent, signs[i]);
		}
		if (parent[0] == '\0' || strcmp(parent, "/") == 0)
			return NULL;
	}
}

/* Is a place free: no directory yet, or an empty one? */
static char *
check_free(const char *path)
{
	char		resolved[MAXPGPATH];
	char	   *real = realpath(path, NULL);
	char	   *problem;
	int			state = pg_check_dir(path);

	strlcpy(resolved, real ? real : path, sizeof(resolved));
	free(real);
	problem = check_parents(resolved);
	if (problem != NULL)
		return problem;
	if (state < 0)
		return psprintf("could not look into \"%s\": %m", path);
	if (state > 1)
		return psprintf("directory \"%s\" exists and is not empty\n"
						"Remove what is in it, or choose another one.", path);
	return NULL;
}

/*
 * Where the output and its tablespaces are to go.
 */
char *
output_plan(Output *output, const char *path, const Tree *source,
			Mapping *mappings)
{
	char	   *problem = check_free(path);

	output->tree.path = path;
	output->tree.root = -1;
	for (int i = 0; problem == NULL && i < source->nspaces; i++)
	{
		const TreeSpace *space = &source->spaces[i];
		Mapping    *mapping = space->path ?
			mapping_find(mappings, space->path) : NULL;

		/* What lies inside the backup becomes a directory in pg_tblspc. */
		if (mapping != NULL)
		{
			problem = check_free(mapping->to);
			for (int j = 0; problem == NULL && j < output->tree.nspaces; j++)
				if (output->tree.spaces[j].path &&
					strcmp(output->tree.spaces[j].path, mapping->to) == 0)
					problem = psprintf("two tablespaces are to go to \"%s\"",
									   mapping->to);
			mapping->used = true;
		}
		else if (space->path != NULL && space->dir < 0)
			problem = psprintf("tablespace %u was in \"%s\", and where it is to go is not said\n"
							   "Say it with -T %s=NEWDIR; NEWDIR may be the same if it is empty.",
							   space->oid, space->path, space->path);
		tree_add_space(&output->tree, space->oid,
					   mapping ? mapping->to : NULL, -1);
	}
	return problem;
}

/* Make a directory, note that it was made, and open it. */
static char *
make_directory(const char *path, int *fd)
{
	Made	   *entry = pg_malloc0(sizeof(Made));
	char		copy[MAXPGPATH];

	entry->path = pg_strdup(path);
	entry->was_there = access(path, F_OK) == 0;
	strlcpy(copy, path, sizeof(copy));
	if (pg_mkdir_p(copy, pg_dir_create_mode) != 0 && !entry->was_there)
		return psprintf("could not create directory \"%s\": %m", path);
	entry->next = made;
	made = entry;
	if (chmod(path, pg_dir_create_mode) != 0)
		return psprintf("could not set permissions of \"%s\": %m", path);
	*fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*fd < 0)
		return psprintf("could not open directory \"%s\": %m", path);
	return NULL;
}

/*
 * Make the directories and the poisoned label.
 */
char *
output_create(Output *output)
{
	Tree	   *tree = &output->tree;
	char	   *problem;

	atexit(remove_made);
	problem = make_directory(tree->path, &tree->root);
	if (problem == NULL)
		problem = output_write(output, LABEL, POISONED_LABEL,
							   strlen(POISONED_LABEL));
	if (problem == NULL && tree_mkdir(tree, "pg_tblspc") != 0)
		problem = psprintf("could not create directory \"%s/pg_tblspc\": %m",
						   tree->path);
	for (int i = 0; problem == NULL && i < tree->nspaces; i++)
	{
		TreeSpace  *space = &tree->spaces[i];
		char		name[64];

		snprintf(name, sizeof(name), "pg_tblspc/%u", space->oid);
		if (space->path == NULL)
		{
			if (tree_mkdir(tree, name) != 0)
				problem = psprintf("could not create directory \"%s/%s\": %m",
								   tree->path, name);
			continue;
		}
		problem = make_directory(space->path, &space->dir);
		if (problem == NULL && symlinkat(space->path, tree->root, name) != 0)
			problem = psprintf("could not create link \"%s/%s\": %m",
							   tree->path, name);
	}
	return problem;
}

/* Open the nearest directory that is there: it tells the file system. */
static int
open_nearest(const char *path)
{
	char		parent[MAXPGPATH];
	int			fd;

	strlcpy(parent, path, sizeof(parent));
	while ((fd = open(parent[0] ? parent : ".",
					  O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 &&
		   errno == ENOENT && parent[0])
		get_parent_directory(parent);
	return fd;
}

/* The path of the output, or of one of its tablespaces. */
static const char *
place_of(const Output *output, int number)
{
	return number == 0 ? output->tree.path :
		output->tree.spaces[number - 1].path;
}

static char *
no_room(const char *path, uint64 needed, uint64 free_bytes)
{
	return psprintf("\"%s\" needs about %llu MB, but %llu MB are free there\n"
					"Make room, or choose another directory.", path,
					(unsigned long long) needed / (1024 * 1024) + 1,
					(unsigned long long) free_bytes / (1024 * 1024));
}

/*
 * Is there room?  Places in one file system share what is free there.
 */
char *
output_check_space(const Output *output, uint64 *needed)
{
	int			nplaces = output->tree.nspaces + 1;
	int		   *dirs = pg_malloc(sizeof(int) * nplaces);
	char	   *problem = NULL;

	for (int i = 0; i < nplaces; i++)
		dirs[i] = place_of(output, i) ? open_nearest(place_of(output, i)) : -1;
	for (int i = 0; problem == NULL && i < nplaces; i++)
	{
		uint64		free_bytes;

		for (int j = i + 1; j < nplaces; j++)
			if (same_file_system(dirs[i], dirs[j]))
			{
				needed[i] += needed[j];
				needed[j] = 0;
			}
		if (needed[i] > 0 && free_space(dirs[i], &free_bytes) &&
			free_bytes < needed[i])
			problem = no_room(place_of(output, i), needed[i], free_bytes);
	}
	for (int i = 0; i < nplaces; i++)
		if (dirs[i] >= 0)
			close(dirs[i]);
	pg_free(dirs);
	return problem;
}

/*
 * Write a file by way of another name, so that an older one is there until the
 * new one is complete.
 */
char *
output_write(const Output *output, const char *path, const char *bytes,
			 size_t length)
{
	char		temporary[MAXPGPATH];
	int			fd;
	bool		ok;

	snprintf(temporary, sizeof(temporary), "%s.tmp", path);
	fd = tree_open(&output->tree, temporary, O_WRONLY | O_CREAT | O_EXCL);
	ok = fd >= 0 && write_all(fd, bytes, length) &&
		(!output->sync || fsync(fd) == 0);
	if (fd >= 0 && close(fd) != 0)
		ok = false;
	if (ok)
		ok = renameat(output->tree.root, temporary, output->tree.root,
					  path) == 0 &&
			(!output->sync || tree_sync_parent(&output->tree, path) == 0);
	if (!ok)
		return psprintf("could not write \"%s/%s\": %m", output->tree.path,
						path);
	return NULL;
}

/* The manifest is too large for a buffer. */
static char *
write_manifest(Output *output, const Manifest *manifest)
{
	int			fd = tree_open(&output->tree, "backup_manifest",
							   O_WRONLY | O_CREAT | O_EXCL);
	bool		ok = fd >= 0 && manifest_write(manifest, fd);

	if (fd >= 0 && close(fd) != 0)
		ok = false;
	return ok ? NULL : psprintf("could not write \"%s/backup_manifest\": %m",
								output->tree.path);
}

/*
 * Sync everything, then let pg_control and the label in.
 */
char *
output_publish(Output *output, const Manifest *manifest,
			   const char *control, const char *label)
{
	Tree	   *tree = &output->tree;
	char	   *problem = NULL;

	if (manifest != NULL)
		problem = write_manifest(output, manifest);
	for (int i = 0; problem == NULL && output->sync && i < tree->nspaces; i++)
		if (tree->spaces[i].dir >= 0 && !sync_tree(tree->spaces[i].dir))
			problem = psprintf("could not sync \"%s\": %m",
							   tree->spaces[i].path);
	if (problem == NULL && output->sync && !sync_tree(tree->root))
		problem = psprintf("could not sync \"%s\": %m", tree->path);
	if (problem == NULL)
		problem = output_write(output, CONTROL, control,
							   PG_CONTROL_FILE_SIZE);
	if (problem == NULL)
		problem = output_write(output, LABEL, label, strlen(label));
	if (problem == NULL && output->sync && fsync_parent_path(tree->path) != 0)
		problem = psprintf("could not sync the directory of \"%s\": %m",
						   tree->path);
	if (problem == NULL)
		made = NULL;
	return problem;
}
