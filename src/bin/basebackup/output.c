/*-------------------------------------------------------------------------
 *
 * output.c
 *		Where a backup is written to: roots, checksums, and the choice.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/basebackup/output.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bin/basebackup/output_plain.h"
#include "bin/basebackup/output_tar.h"
#include "bin/basebackup/run.h"
#include "bin/common/files.h"
#include "bin/common/paths.h"

struct Sink
{
	Output	   *output;
	PlainSink  *plain;			/* one of these two */
	TarSink    *tar;
	pg_checksum_context checksum;
	uint64		size;			/* of the file that was begun */
	uint64		written;
};

Output *
output_create(const Options *options, int dir, const char *partial,
			  mode_t dir_mode, bool incremental, const Plan *plan)
{
	Output	   *output = pg_malloc0(sizeof(Output));

	output->options = options;
	output->dir = dir;
	output->partial = partial;
	output->dir_mode = dir_mode;
	output->file_mode = dir_mode & 0666;
	output->incremental = incremental;
	output->nroots = 1 + plan->nlinks;
	output->roots = pg_malloc0(sizeof(OutputRoot) * output->nroots);
	for (int i = 0; i < output->nroots; i++)
	{
		OutputRoot *root = &output->roots[i];

		root->fd = -1;
		pthread_mutex_init(&root->lock, NULL);
		root->prefix = i == 0 ? pg_strdup("") :
			psprintf("%s/", plan->links[i - 1].path);
		root->prefix_length = strlen(root->prefix);
		root->link = i == 0 ? NULL : pg_strdup(plan->links[i - 1].target);
	}
	if (options->tar ? tar_output_create(output, plan) :
		plain_output_create(output, plan))
		return output;
	return NULL;
}

bool
output_directories(Output *output, const Plan *plan)
{
	return plain_output_directories(output, plan);
}

bool
output_finish(Output *output)
{
	return output->options->tar ? tar_output_finish(output) :
		plain_output_finish(output);
}

Sink *
sink_create(Output *output)
{
	Sink	   *sink = pg_malloc0(sizeof(Sink));

	sink->output = output;
	if (output->options->tar)
		sink->tar = tar_sink_create(output);
	else
		sink->plain = plain_sink_create(output);
	return sink;
}

bool
sink_begin(Sink *sink, const char *path, uint64 size, int64 modified)
{
	sink->size = size;
	sink->written = 0;
	if (pg_checksum_init(&sink->checksum,
						 sink->output->options->checksum_type) < 0)
	{
		run_fail("could not initialize a checksum of file \"%s\"", path);
		return false;
	}
	return sink->tar ? tar_sink_begin(sink->tar, path, size, modified) :
		plain_sink_begin(sink->plain, path);
}

bool
sink_write(Sink *sink, const char *bytes, size_t length)
{
	Assert(sink->written + length <= sink->size);
	sink->written += length;
	if (pg_checksum_update(&sink->checksum, (const uint8 *) bytes, length) < 0)
	{
		run_fail("could not compute a checksum");
		return false;
	}
	return sink->tar ? tar_sink_write(sink->tar, bytes, length) :
		plain_sink_write(sink->plain, bytes, length);
}

bool
sink_fill(Sink *sink, uint64 end)
{
	static const char zeros[64 * 1024];

	while (sink->written < end)
	{
		if (!sink_write(sink, zeros, Min(sizeof(zeros), end - sink->written)))
			return false;
	}
	return true;
}

bool
sink_end(Sink *sink, uint8 *checksum, int *length)
{
	if (!sink_fill(sink, sink->size))
		return false;
	*length = pg_checksum_final(&sink->checksum, checksum);
	if (*length < 0)
	{
		run_fail("could not compute a checksum");
		return false;
	}
	__atomic_fetch_add(&sink->output->bytes, sink->size, __ATOMIC_RELAXED);
	return sink->tar ? tar_sink_end(sink->tar) : plain_sink_end(sink->plain);
}

bool
sink_abort(Sink *sink)
{
	uint8		ignored[PG_CHECKSUM_MAX_LENGTH];

	/* also frees what it holds */
	(void) pg_checksum_final(&sink->checksum, ignored);
	return sink->tar ? tar_sink_abort(sink->tar) :
		plain_sink_abort(sink->plain);
}

bool
sink_commit(Sink *sink)
{
	return sink->tar ? tar_sink_commit(sink->tar) : true;
}

void
sink_free(Sink *sink)
{
	if (sink == NULL)
		return;
	tar_sink_free(sink->tar);
	plain_sink_free(sink->plain);
	free(sink);
}

bool
sink_put(Sink *sink, const char *path, const char *bytes, size_t length,
		 int64 modified, PlanFile *file)
{
	uint8		checksum[PG_CHECKSUM_MAX_LENGTH];
	int			checksum_length;

	if (!sink_begin(sink, path, length, modified) ||
		!sink_write(sink, bytes, length) ||
		!sink_end(sink, checksum, &checksum_length))
		return false;
	if (file != NULL)
	{
		file->stored = length;
		file->checksum_length = checksum_length;
		file->checksum = pg_malloc(Max(1, checksum_length));
		memcpy(file->checksum, checksum, checksum_length);
	}
	return true;
}
