/*-------------------------------------------------------------------------
 *
 * output_tar.c
 *		A backup as tar archives.
 *
 * Each thread has a TarWriter of its own for each archive, whose bytes gather
 * in memory, and beyond MEMORY_BYTES in a file without a name in the .partial
 * directory.  A small file is kept as it is until it ends, and only then
 * becomes a member; a large one begins with a frame of its own, so that it can
 * be taken back by cutting off what came since.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/basebackup/output_tar.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bin/basebackup/run.h"
#include "bin/common/files.h"
#include "bin/common/tar.h"

#define MEMORY_BYTES	(8 * 1024 * 1024)
#define SMALL_BYTES		(1024 * 1024)

/* What one thread has for one archive. */
typedef struct TarPart
{
	TarWriter  *writer;			/* NULL: nothing since the last commit */
	Output	   *output;
	bool		discard;		/* the writer's bytes are not wanted */
	char	   *memory;
	size_t		used;
	int			spool;			/* -1: none */
	uint64		spooled;		/* bytes in there, before those in memory */
} TarPart;

struct TarSink
{
	Output	   *output;
	TarPart    *parts;			/* one for each root */
	TarPart    *part;			/* of the file that was begun */
	TarMember	member;
	char	   *small;			/* SMALL_BYTES; its content if it is small */
	size_t		small_used;
	uint64		before_large;	/* length of the part before a large one */
};

static bool
spool_fail(Output *output)
{
	run_fail("could not write a temporary file in directory \"%s\": %m",
			 output->partial);
	return false;
}

/* Move what is in memory to the file without a name. */
static bool
spill(TarPart *part)
{
	if (part->spool < 0)
	{
		char		name[64];

		snprintf(name, sizeof(name), "spool.%p", (void *) part);
		part->spool = openat(part->output->dir, name,
							 O_RDWR | O_CREAT | O_EXCL, 0600);
		if (part->spool < 0 || unlinkat(part->output->dir, name, 0) != 0)
			return false;
	}
	if (!pwrite_all(part->spool, part->memory, part->used, part->spooled))
		return false;
	part->spooled += part->used;
	part->used = 0;
	return true;
}

/* What the TarWriter has made. */
static bool
take_bytes(void *arg, const char *bytes, size_t length)
{
	TarPart    *part = arg;

	if (part->discard)
		return false;
	if (part->memory == NULL)
		part->memory = pg_malloc(MEMORY_BYTES);
	while (length > 0)
	{
		size_t		now = Min(length, MEMORY_BYTES - part->used);

		if (now == 0)
		{
			if (!spill(part))
				return false;
			continue;
		}
		memcpy(part->memory + part->used, bytes, now);
		part->used += now;
		bytes += now;
		length -= now;
	}
	return true;
}

static void
discard(TarPart *part)
{
	if (part->writer == NULL)
		return;
	part->discard = true;
	(void) tar_finish(part->writer);
	part->writer = NULL;
	part->discard = false;
}

/* Forget all beyond a length. */
static bool
cut(TarPart *part, uint64 length)
{
	if (length >= part->spooled)
	{
		part->used = length - part->spooled;
		return true;
	}
	part->used = 0;
	part->spooled = length;
	return ftruncate(part->spool, length) == 0;
}

static TarWriter *
writer_of(TarPart *part)
{
	if (part->writer == NULL)
		part->writer = tar_create(take_bytes, part,
								  part->output->options->level);
	return part->writer;
}

TarSink *
tar_sink_create(Output *output)
{
	TarSink    *sink = pg_malloc0(sizeof(TarSink));

	sink->output = output;
	sink->small = pg_malloc(SMALL_BYTES);
	sink->parts = pg_malloc0(sizeof(TarPart) * output->nroots);
	for (int i = 0; i < output->nroots; i++)
	{
		sink->parts[i].output = output;
		sink->parts[i].spool = -1;
	}
	return sink;
}

static bool
member_fail(TarSink *sink)
{
	if (errno == ENAMETOOLONG)
		run_fail("file name is too long for the tar format: \"%s\"",
				 sink->member.name);
	else
		return spool_fail(sink->output);
	return false;
}

bool
tar_sink_begin(TarSink *sink, const char *path, uint64 size, int64 modified)
{
	const char *rest;
	int			root = output_root(sink->output, path, &rest);
	TarMember  *member = &sink->member;

	sink->part = &sink->parts[root];
	memset(member, 0, sizeof(*member));
	member->type = TAR_FILE;
	strlcpy(member->name, rest, sizeof(member->name));
	member->size = size;
	member->mode = sink->output->file_mode;
	member->modified = modified;
	sink->small_used = 0;
	if (size <= SMALL_BYTES)
		return true;
	if (!tar_flush(writer_of(sink->part)))
		return spool_fail(sink->output);
	sink->before_large = sink->part->spooled + sink->part->used;
	return tar_member(sink->part->writer, member) || member_fail(sink);
}

bool
tar_sink_write(TarSink *sink, const char *bytes, size_t length)
{
	if (sink->member.size > SMALL_BYTES)
		return tar_write(sink->part->writer, bytes, length) ||
			spool_fail(sink->output);
	memcpy(sink->small + sink->small_used, bytes, length);
	sink->small_used += length;
	return true;
}

bool
tar_sink_end(TarSink *sink)
{
	TarWriter  *writer = writer_of(sink->part);

	if (sink->member.size <= SMALL_BYTES)
	{
		if (!tar_member(writer, &sink->member))
			return member_fail(sink);
		if (!tar_write(writer, sink->small, sink->small_used))
			return spool_fail(sink->output);
	}
	return tar_member_end(writer) || spool_fail(sink->output);
}

bool
tar_sink_abort(TarSink *sink)
{
	if (sink->member.size <= SMALL_BYTES)
		return true;
	discard(sink->part);
	return cut(sink->part, sink->before_large) || spool_fail(sink->output);
}

/* Append a part to its archive. */
static bool
append(TarPart *part, OutputRoot *root)
{
	uint64		at = 0;
	char	   *buffer = part->spooled > 0 ? pg_malloc(TAR_FRAME_BYTES) : NULL;
	bool		good = true;

	pthread_mutex_lock(&root->lock);
	while (good && at < part->spooled)
	{
		ssize_t		n = pread(part->spool, buffer,
							  Min(TAR_FRAME_BYTES, part->spooled - at), at);

		if (n == 0)
			errno = EIO;
		good = n > 0 && write_all(root->fd, buffer, n);
		at += Max(n, 0);
	}
	if (good && part->used > 0)
		good = write_all(root->fd, part->memory, part->used);
	pthread_mutex_unlock(&root->lock);
	free(buffer);
	if (!good)
		run_fail("could not write file \"%s\": %m", root->path);
	return good;
}

bool
tar_sink_commit(TarSink *sink)
{
	for (int i = 0; i < sink->output->nroots; i++)
	{
		TarPart    *part = &sink->parts[i];

		if (part->writer == NULL)
			continue;
		if (!tar_flush(part->writer))
			return spool_fail(sink->output);
		if (!append(part, &sink->output->roots[i]))
			return false;
		if (!cut(part, 0))
			return spool_fail(sink->output);
	}
	return true;
}

void
tar_sink_free(TarSink *sink)
{
	if (sink == NULL)
		return;
	for (int i = 0; i < sink->output->nroots; i++)
	{
		discard(&sink->parts[i]);
		free(sink->parts[i].memory);
		if (sink->parts[i].spool >= 0)
			close(sink->parts[i].spool);
	}
	free(sink->parts);
	free(sink->small);
	free(sink);
}

static bool
open_archive(Output *output, int number)
{
	OutputRoot *root = &output->roots[number];
	const char *suffix = output->options->level > 0 ? ".zst" : "";
	char		name[64];

	if (number == 0)
		snprintf(name, sizeof(name), "base.tar%s", suffix);
	else
		snprintf(name, sizeof(name), "%u.tar%s",
				 (Oid) strtoul(root->prefix + strlen("pg_tblspc/"), NULL, 10),
				 suffix);
	root->path = psprintf("%s/%s", output->partial, name);
	root->fd = openat(output->dir, name, O_WRONLY | O_CREAT | O_EXCL,
					  output->file_mode);
	if (root->fd < 0)
		run_fail("could not create file \"%s\": %m", root->path);
	return root->fd >= 0;
}

bool
tar_output_create(Output *output, const Plan *plan)
{
	TarSink    *sink;
	bool		good = true;

	for (int i = 0; i < output->nroots; i++)
	{
		if (!open_archive(output, i))
			return false;
	}
	sink = tar_sink_create(output);
	for (uint32 i = 0; good && i < plan->ndirectories; i++)
	{
		TarMember  *member = &sink->member;
		const char *rest;
		int			root = output_root(output, plan->directories[i], &rest);
		TarWriter  *writer = writer_of(&sink->parts[root]);

		memset(member, 0, sizeof(*member));
		member->type = TAR_DIRECTORY;
		strlcpy(member->name, rest, sizeof(member->name));
		member->mode = output->dir_mode;
		member->modified = time(NULL);
		good = (tar_member(writer, member) && tar_member_end(writer)) ||
			member_fail(sink);
	}
	good = good && tar_sink_commit(sink);
	tar_sink_free(sink);
	return good;
}

static bool
write_end(void *arg, const char *bytes, size_t length)
{
	return write_all(((OutputRoot *) arg)->fd, bytes, length);
}

bool
tar_output_finish(Output *output)
{
	output->bytes = 0;
	for (int i = 0; i < output->nroots; i++)
	{
		OutputRoot *root = &output->roots[i];
		struct stat st;

		if (!tar_finish(tar_create(write_end, root, output->options->level)) ||
			fstat(root->fd, &st) != 0 ||
			(output->options->sync && fsync(root->fd) != 0) ||
			close(root->fd) != 0)
		{
			run_fail("could not write file \"%s\": %m", root->path);
			return false;
		}
		output->bytes += st.st_size;
	}
	return true;
}
