/*-------------------------------------------------------------------------
 *
 * output_plain.c
 *		A backup as plain files.
 *
 * A tablespace with a place outside the data directory goes where -T says,
 * into a directory that must be empty, and only a link made here leads there:
 * the place of the live tablespace is never touched.  An increment, which
 * nobody starts, has it in its own pg_tblspc if nothing was said.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/basebackup/output_plain.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bin/basebackup/run.h"
#include "bin/common/files.h"
#include "bin/common/paths.h"
#include "common/file_utils.h"

struct PlainSink
{
	Output	   *output;
	int			root;
	char		name[MAXPGPATH];	/* in the root, of the open file */
	int			fd;
};

static const char *
mapped(const Options *options, const char *old_dir)
{
	for (TablespaceMapping *one = options->mappings; one; one = one->next)
	{
		if (strcmp(one->old_dir, old_dir) == 0)
			return one->new_dir;
	}
	return NULL;
}

static bool
is_empty(int fd)
{
	DIR		   *dir = fdopendir(dup(fd));
	struct dirent *entry;
	bool		empty = true;

	if (dir == NULL)
		return false;
	rewinddir(dir);
	while ((entry = readdir(dir)) != NULL)
	{
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			empty = false;
	}
	closedir(dir);
	return empty;
}

/* Without a place of its own: a directory where the link would be. */
static bool
make_inside(Output *output, OutputRoot *root, const char *link_name)
{
	root->path = psprintf("%s/%s", output->partial, link_name);
	root->fd = path_mkdir(output->dir, link_name, output->dir_mode) != 0 ? -1 :
		path_open(output->dir, link_name, O_RDONLY | O_DIRECTORY, 0, 0);
	if (root->fd < 0)
		run_fail("could not create directory \"%s\": %m", root->path);
	return root->fd >= 0;
}

static bool
make_tablespace(Output *output, OutputRoot *root)
{
	const char *place = mapped(output->options, root->link);
	char		link_name[MAXPGPATH];

	strlcpy(link_name, root->prefix, sizeof(link_name));
	link_name[root->prefix_length - 1] = '\0';
	if (place == NULL && output->incremental)
		return make_inside(output, root, link_name);
	if (place == NULL)
	{
		char	   *message = psprintf("no place was given for the tablespace in \"%s\"",
									   root->link);
		char	   *hint = psprintf("Use -T %s=NEWDIR, or the tar format.",
									root->link);

		run_fail_with(message, NULL, hint);
		return false;
	}
	root->path = pg_strdup(place);
	if (pg_mkdir_p(pg_strdup(place), output->dir_mode) != 0 && errno != EEXIST)
	{
		run_fail("could not create directory \"%s\": %m", place);
		return false;
	}
	root->fd = open(place, O_RDONLY | O_DIRECTORY);
	if (root->fd < 0)
	{
		run_fail("could not open directory \"%s\": %m", place);
		return false;
	}
	if (!output->options->resume && !is_empty(root->fd))
	{
		run_fail("directory \"%s\" exists but is not empty", place);
		return false;
	}
	if (path_mkdir(output->dir, "pg_tblspc", output->dir_mode) != 0 ||
		(unlinkat(output->dir, link_name, 0) != 0 && errno != ENOENT) ||
		symlinkat(place, output->dir, link_name) != 0)
	{
		run_fail("could not create symbolic link \"%s/%s\": %m",
				 output->partial, link_name);
		return false;
	}
	return true;
}

bool
plain_output_create(Output *output, const Plan *plan)
{
	output->roots[0].path = pg_strdup(output->partial);
	output->roots[0].fd = output->dir;
	for (int i = 1; i < output->nroots; i++)
	{
		if (!make_tablespace(output, &output->roots[i]))
			return false;
	}
	return plain_output_directories(output, plan);
}

bool
plain_output_directories(Output *output, const Plan *plan)
{
	for (uint32 i = 0; i < plan->ndirectories; i++)
	{
		const char *rest;
		OutputRoot *root = &output->roots[output_root(output,
													  plan->directories[i],
													  &rest)];

		if (path_mkdir(root->fd, rest, output->dir_mode) != 0)
		{
			run_fail("could not create directory \"%s/%s\": %m", root->path,
					 rest);
			return false;
		}
	}
	return true;
}

bool
plain_output_finish(Output *output)
{
	if (!output->options->sync)
		return true;
	for (int i = 0; i < output->nroots; i++)
	{
		if (!sync_tree(output->roots[i].fd))
		{
			run_fail("could not sync directory \"%s\": %m",
					 output->roots[i].path);
			return false;
		}
		if (i > 0 && is_absolute_path(output->roots[i].path) &&
			fsync_parent_path(output->roots[i].path) != 0)
		{
			run_fail("could not sync the parent of directory \"%s\"",
					 output->roots[i].path);
			return false;
		}
	}
	return true;
}

PlainSink *
plain_sink_create(Output *output)
{
	PlainSink  *sink = pg_malloc0(sizeof(PlainSink));

	sink->output = output;
	sink->fd = -1;
	return sink;
}

static bool
fail(PlainSink *sink, const char *what)
{
	run_fail("could not %s file \"%s/%s\": %m", what,
			 sink->output->roots[sink->root].path, sink->name);
	return false;
}

bool
plain_sink_begin(PlainSink *sink, const char *path)
{
	const char *rest;

	sink->root = output_root(sink->output, path, &rest);
	strlcpy(sink->name, rest, sizeof(sink->name));
	sink->fd = path_open(sink->output->roots[sink->root].fd, rest,
						 O_WRONLY | O_CREAT | O_TRUNC,
						 sink->output->file_mode, sink->output->dir_mode);
	return sink->fd >= 0 || fail(sink, "create");
}

bool
plain_sink_write(PlainSink *sink, const char *bytes, size_t length)
{
	return write_all(sink->fd, bytes, length) || fail(sink, "write");
}

bool
plain_sink_end(PlainSink *sink)
{
	int			fd = sink->fd;

	sink->fd = -1;
	return close(fd) == 0 || fail(sink, "close");
}

bool
plain_sink_abort(PlainSink *sink)
{
	close(sink->fd);
	sink->fd = -1;
	return path_unlink(sink->output->roots[sink->root].fd, sink->name) == 0 ||
		fail(sink, "remove");
}

void
plain_sink_free(PlainSink *sink)
{
	if (sink == NULL)
		return;
	if (sink->fd >= 0)
		close(sink->fd);
	free(sink);
}
