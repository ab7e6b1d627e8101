/*-------------------------------------------------------------------------
 *
 * stream.c
 *		One file of a backup, read once from its beginning to its end.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/combinebackup/stream.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bin/combinebackup/workers.h"

static char *
begin(Stream *stream, const ManifestFile *entry, uint64 size)
{
	stream->entry = entry;
	stream->size = stream->left = size;
	if (entry != NULL && entry->size != size)
		return psprintf("\"%s\" in \"%s\" has %llu bytes, but %llu in the manifest\n"
						"Take the backup from another copy.",
						stream->path, stream->place,
						(unsigned long long) size,
						(unsigned long long) entry->size);
	if (pg_checksum_init(&stream->checksum,
						 entry ? entry->checksum_type :
						 CHECKSUM_TYPE_NONE) < 0)
		return psprintf("could not initialize the checksum of \"%s\"",
						stream->path);
	return NULL;
}

/*
 * Begin to read a file of a plain backup.
 */
char *
stream_open_file(Stream *stream, const Tree *tree, const char *path,
				 const ManifestFile *entry)
{
	struct stat st;
	char	   *problem;

	memset(stream, 0, sizeof(*stream));
	stream->place = tree->path;
	stream->path = path;
	stream->tree = tree;
	stream->fd = tree_open(tree, path, O_RDONLY);
	if (stream->fd < 0)
		return psprintf("could not open \"%s/%s\": %m", tree->path, path);
	if (fstat(stream->fd, &st) != 0)
		problem = psprintf("could not stat \"%s/%s\": %m", tree->path, path);
	else
		problem = begin(stream, entry, st.st_size);
	if (problem != NULL)
		close(stream->fd);
	return problem;
}

/*
 * Begin to read a member of a tar.
 */
char *
stream_open_member(Stream *stream, Archive *archive, const TarMember *member,
				   const ManifestFile *entry)
{
	memset(stream, 0, sizeof(*stream));
	stream->place = archive->name;
	stream->path = member->name;
	stream->fd = -1;
	stream->archive = archive;
	return begin(stream, entry, member->size);
}

/*
 * Read exactly so many bytes.
 */
char *
stream_read(Stream *stream, char *buffer, size_t length)
{
	size_t		done = 0;

	Assert(length <= stream->left);
	while (done < length)
	{
		char	   *problem = NULL;
		ssize_t		got;

		if (workers_stopped())
			return pg_strdup("stopped");
		if (stream->fd >= 0)
			got = read(stream->fd, buffer + done, length - done);
		else
			got = tar_read(stream->archive->reader, buffer + done,
						   length - done, &problem);
		if (got < 0 && problem == NULL && errno == EINTR)
			continue;
		if (got < 0)
			return problem ?
				psprintf("\"%s\" in \"%s\": %s", stream->path, stream->place,
						 problem) :
				psprintf("could not read \"%s/%s\": %m", stream->place,
						 stream->path);
		if (got == 0)
			return psprintf("\"%s\" in \"%s\" became shorter",
							stream->path, stream->place);
		done += got;
	}
	stream->left -= length;
	if (pg_checksum_update(&stream->checksum, (uint8 *) buffer, length) < 0)
		return psprintf("could not update the checksum of \"%s\"",
						stream->path);
	progress_add(length);
	return NULL;
}

/*
 * Read the header of an increment.
 */
char *
stream_read_increment(Stream *stream, Increment *increment)
{
	char	   *header = NULL;
	size_t		have = 0;
	size_t		needed = 0;
	const char *why = NULL;
	char	   *problem;

	while (!increment_decode(increment, header, have, stream->size, &needed,
							 &why))
	{
		if (why == NULL && needed - have > stream->left)
			why = "the file is too short";
		if (why != NULL)
			return psprintf("\"%s\" in \"%s\": %s", stream->path,
							stream->place, why);
		header = pg_realloc(header, needed);
		problem = stream_read(stream, header + have, needed - have);
		if (problem != NULL)
			return problem;
		have = needed;
	}
	pg_free(header);
	return NULL;
}

/*
 * Read what is left and compare the checksum.
 */
char *
stream_finish(Stream *stream)
{
	uint8		checksum[PG_CHECKSUM_MAX_LENGTH];
	char	   *buffer = NULL;
	char	   *problem = NULL;
	int			length;

	while (problem == NULL && stream->left > 0)
	{
		if (buffer == NULL)
			buffer = pg_malloc(STREAM_BUFFER);
		problem = stream_read(stream, buffer,
							  Min(stream->left, STREAM_BUFFER));
	}
	pg_free(buffer);
	if (problem != NULL || stream->entry == NULL)
		return problem;
	length = pg_checksum_final(&stream->checksum, checksum);
	if (length != stream->entry->checksum_length ||
		memcmp(checksum, stream->entry->checksum, length) != 0)
		return psprintf("checksum of \"%s\" in \"%s\" is not that of the manifest\n"
						"The file is damaged; take the backup from another copy.",
						stream->path, stream->place);
	return NULL;
}

/*
 * Close it.
 */
void
stream_close(Stream *stream)
{
	if (stream->fd >= 0)
		close(stream->fd);
}
