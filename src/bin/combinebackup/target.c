/*-------------------------------------------------------------------------
 *
 * target.c
 *		One file of the output, made while its sources are read.
 *
 * Blocks that no source has are holes, which read as zeros.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/combinebackup/target.h"

#include <fcntl.h>
#include <unistd.h>

#define BUFFER_BLOCKS (STREAM_BUFFER / BLCKSZ)

static char *
write_problem(const Target *target, const TargetSettings *settings)
{
	return psprintf("could not write \"%s/%s\": %m", settings->tree->path,
					target->path);
}

/* Open the file, or make it. */
static char *
open_target(Target *target, const TargetSettings *settings, int *fd)
{
	*fd = tree_open(settings->tree, target->path,
					O_RDWR | (target->created ? 0 : O_CREAT | O_EXCL));
	if (*fd < 0)
		return psprintf("could not create \"%s/%s\": %m",
						settings->tree->path, target->path);
	target->created = true;
	return NULL;
}

/* Close a file that was written: late errors of the file system come here. */
static char *
close_target(const Target *target, const TargetSettings *settings, int fd,
			 char *problem)
{
	if (close(fd) != 0 && problem == NULL)
		problem = write_problem(target, settings);
	return problem;
}

/*
 * Read the blocks of an increment and write those that no newer one has.  Runs
 * of neighbours are written at once.
 */
static char *
apply_blocks(Target *target, const TargetSettings *settings, Stream *stream,
			 const Increment *increment, int fd, char *buffer)
{
	for (uint32 first = 0; first < increment->nblocks; first += BUFFER_BLOCKS)
	{
		uint32		n = Min(BUFFER_BLOCKS, increment->nblocks - first);
		char	   *problem = stream_read(stream, buffer, n * BLCKSZ);

		if (problem != NULL)
			return problem;
		for (uint32 i = 0; i < n;)
		{
			const BlockNumber *blocks = increment->blocks + first;
			uint32		begin = i++;

			if (!blocks_take(&target->blocks, blocks[begin]))
				continue;
			while (i < n && blocks[i] == blocks[i - 1] + 1 &&
				   blocks_take(&target->blocks, blocks[i]))
				i++;
			if (!pwrite_all(fd, buffer + (size_t) begin * BLCKSZ,
							(size_t) (i - begin) * BLCKSZ,
							(uint64) blocks[begin] * BLCKSZ))
				return write_problem(target, settings);
		}
	}
	return NULL;
}

/*
 * Apply an INCREMENTAL file.
 */
char *
target_apply(Target *target, const TargetSettings *settings, Stream *stream)
{
	Increment	increment;
	char	   *problem = stream_read_increment(stream, &increment);

	if (problem != NULL)
		return problem;
	blocks_begin_source(&target->blocks, &increment);
	if (increment.nblocks > 0)
	{
		int			fd;

		problem = open_target(target, settings, &fd);
		if (problem == NULL)
		{
			char	   *buffer = pg_malloc(STREAM_BUFFER);

			problem = apply_blocks(target, settings, stream, &increment, fd,
								   buffer);
			pg_free(buffer);
			problem = close_target(target, settings, fd, problem);
		}
	}
	blocks_end_source(&target->blocks, &increment);
	increment_free(&increment);
	return problem ? problem : stream_finish(stream);
}

/* Make one part of the result out of a part of the whole file, in 'buffer'. */
static char *
merge_part(Target *target, const TargetSettings *settings, Stream *stream,
		   int fd, uint64 offset, size_t length, char *buffer)
{
	BlockNumber base_length = stream->size / BLCKSZ;
	BlockNumber end = (offset + length) / BLCKSZ;
	BlockNumber next;

	for (BlockNumber block = offset / BLCKSZ; block < end; block = next)
	{
		uint64		at = (uint64) block * BLCKSZ;
		char	   *bytes = buffer + (at - offset);
		size_t		n;
		BlockSource source;

		next = end;
		source = blocks_source(&target->blocks, block, base_length, &next);
		n = (size_t) (next - block) * BLCKSZ;
		if (source == BLOCK_ZERO)
			memset(bytes, 0, n);
		else if (source == BLOCK_WRITTEN)
		{
			if (settings->manifest && pg_pread(fd, bytes, n, at) != n)
				return psprintf("could not read \"%s/%s\": %m",
								settings->tree->path, target->path);
		}
		else if (settings->method == COPY_METHOD_READ || stream->fd < 0
				 ? !pwrite_all(fd, bytes, n, at)
				 : !copy_bytes(stream->fd, fd, at, n, COPY_METHOD_RANGE))
			return write_problem(target, settings);
	}
	return NULL;
}

/*
 * Read the whole file and make the result of it.
 */
static char *
merge(Target *target, const TargetSettings *settings, Stream *stream, int fd)
{
	ManifestFile *result = &target->result;
	uint64		length = stream->size;
	pg_checksum_context checksum;
	char	   *buffer = pg_malloc(STREAM_BUFFER);
	char	   *problem = NULL;

	if (target->blocks.started)
		length = (uint64) target->blocks.length * BLCKSZ;
	pg_checksum_init(&checksum, result->checksum_type);
	for (uint64 offset = 0;
		 problem == NULL && offset < Max(length, stream->size);
		 offset += STREAM_BUFFER)
	{
		size_t		n = offset < length ?
			Min(STREAM_BUFFER, length - offset) : 0;

		if (stream->left > 0)
			problem = stream_read(stream, buffer,
								  Min(STREAM_BUFFER, stream->left));
		if (problem != NULL || n == 0)
			continue;
		if (target->blocks.started)
			problem = merge_part(target, settings, stream, fd, offset, n,
								 buffer);
		else if (!pwrite_all(fd, buffer, n, offset))
			problem = write_problem(target, settings);
		pg_checksum_update(&checksum, (uint8 *) buffer, n);
	}
	pg_free(buffer);
	if (problem == NULL && ftruncate(fd, length) != 0)
		problem = write_problem(target, settings);
	result->size = length;
	result->checksum_length = pg_checksum_final(&checksum, result->checksum);
	return problem ? problem : stream_finish(stream);
}

/* Take a file as it is: a hard link, a clone, or a copy by the kernel. */
static char *
take_over(Target *target, const TargetSettings *settings, Stream *stream)
{
	int			fd;
	char	   *problem;

	if (settings->link)
	{
		target->created = target->linked = true;
		if (tree_link(settings->tree, target->path, stream->tree,
					  stream->path) != 0)
			return psprintf("could not link \"%s/%s\" to \"%s/%s\": %m",
							stream->place, stream->path, settings->tree->path,
							target->path);
		return NULL;
	}
	problem = open_target(target, settings, &fd);
	if (problem != NULL)
		return problem;
	if (!copy_file(stream->fd, fd, settings->method))
		problem = psprintf("could not %s \"%s/%s\" to \"%s/%s\": %m\n"
						   "If the file system cannot do this, leave the option out.",
						   settings->method == COPY_METHOD_CLONE ? "clone" :
						   "copy",
						   stream->place, stream->path, settings->tree->path,
						   target->path);
	return close_target(target, settings, fd, problem);
}

/*
 * Complete the file from the whole one.
 */
char *
target_finish(Target *target, const TargetSettings *settings, Stream *stream)
{
	ManifestFile *result = &target->result;
	bool		unchanged = !target->blocks.started ||
		(stream->size % BLCKSZ == 0 &&
		 blocks_equal_base(&target->blocks, stream->size / BLCKSZ));
	char	   *problem;
	int			fd;

	result->path = target->path;
	result->modified = target->newest ? target->newest->modified : 0;
	result->checksum_type = settings->manifest ? settings->checksum_type :
		CHECKSUM_TYPE_NONE;

	if (unchanged && stream->fd >= 0 &&
		(settings->link || settings->method != COPY_METHOD_READ))
	{
		const ManifestFile *entry = stream->entry;

		problem = take_over(target, settings, stream);
		if (problem == NULL && result->checksum_type != CHECKSUM_TYPE_NONE &&
			(entry == NULL || entry->checksum_type != result->checksum_type))
			problem = target_checksum(target, settings);
		else if (problem == NULL)
		{
			result->size = stream->size;
			if (result->checksum_type != CHECKSUM_TYPE_NONE)
			{
				result->checksum_length = entry->checksum_length;
				memcpy(result->checksum, entry->checksum,
					   entry->checksum_length);
			}
		}
	}
	else
	{
		problem = open_target(target, settings, &fd);
		if (problem == NULL)
			problem = close_target(target, settings, fd,
								   merge(target, settings, stream, fd));
	}
	blocks_free(&target->blocks);
	target->finished = problem == NULL;
	return problem;
}

/*
 * Size and checksum of the file as it is.
 */
char *
target_checksum(Target *target, const TargetSettings *settings)
{
	ManifestFile *result = &target->result;
	pg_checksum_context checksum;
	char	   *buffer;
	ssize_t		n;
	int			fd = tree_open(settings->tree, target->path, O_RDONLY);

	if (fd < 0)
		return psprintf("could not open \"%s/%s\": %m", settings->tree->path,
						target->path);
	buffer = pg_malloc(STREAM_BUFFER);
	pg_checksum_init(&checksum, result->checksum_type);
	result->size = 0;
	while ((n = read(fd, buffer, STREAM_BUFFER)) > 0)
	{
		pg_checksum_update(&checksum, (uint8 *) buffer, n);
		result->size += n;
	}
	result->checksum_length = pg_checksum_final(&checksum, result->checksum);
	pg_free(buffer);
	close(fd);
	if (n < 0)
		return psprintf("could not read \"%s/%s\": %m", settings->tree->path,
						target->path);
	return NULL;
}
