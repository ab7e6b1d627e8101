/*-------------------------------------------------------------------------
 *
 * tar.c
 *		Writing streams of tar members, plain or in zstd frames.
 *
 * A frame is ended before a member that would make it too long, and where it
 * has become so within a member.  Each frame carries a checksum of its own.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/common/tar.h"

#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "common/logging.h"
#include "pgtar.h"

struct TarWriter
{
	TarOutput	output;
	void	   *arg;
	ZSTD_CCtx  *zstd;			/* NULL: not compressed */
	char	   *buffer;			/* what is compressed */
	size_t		buffer_size;
	size_t		frame_bytes;	/* in the present frame, not compressed */
	uint64		size;			/* of the present member */
	uint64		left;			/* of it, not yet given */
};

/* Can a header hold the name? */
bool
tar_holds_name(const char *name)
{
	char		header[TAR_BLOCK_SIZE];

	return tarCreateHeader(header, name, NULL, 0, S_IFREG | 0600, 0, 0,
						   0) == TAR_OK;
}

/* Begin an archive. */
TarWriter *
tar_create(TarOutput output, void *arg, int level)
{
	TarWriter  *writer = pg_malloc0(sizeof(TarWriter));

	writer->output = output;
	writer->arg = arg;
	if (level != 0)
	{
		writer->buffer_size = ZSTD_CStreamOutSize();
		writer->buffer = pg_malloc(writer->buffer_size);
		writer->zstd = ZSTD_createCCtx();
		if (writer->zstd == NULL)
			pg_fatal("out of memory");
		ZSTD_CCtx_setParameter(writer->zstd, ZSTD_c_compressionLevel, level);
		ZSTD_CCtx_setParameter(writer->zstd, ZSTD_c_checksumFlag, 1);
	}
	return writer;
}

static void
free_writer(TarWriter *writer)
{
	ZSTD_freeCCtx(writer->zstd);
	pg_free(writer->buffer);
	pg_free(writer);
}

/* Compress bytes, and end the frame if 'end'. */
static bool
compress_bytes(TarWriter *writer, const char *bytes, size_t length, bool end)
{
	ZSTD_EndDirective directive = end ? ZSTD_e_end : ZSTD_e_continue;
	ZSTD_inBuffer in = {bytes, length, 0};
	size_t		left;

	do
	{
		ZSTD_outBuffer out = {writer->buffer, writer->buffer_size, 0};

		left = ZSTD_compressStream2(writer->zstd, &out, &in, directive);
		if (ZSTD_isError(left))
		{
			errno = ENOMEM;
			return false;
		}
		if (out.pos > 0 &&
			!writer->output(writer->arg, writer->buffer, out.pos))
			return false;
	} while (end ? left > 0 : in.pos < in.size);
	return true;
}

static bool
end_frame(TarWriter *writer)
{
	if (writer->frame_bytes == 0)
		return true;
	writer->frame_bytes = 0;
	return compress_bytes(writer, NULL, 0, true);
}

/* Bytes of the archive. */
static bool
put_bytes(TarWriter *writer, const char *bytes, size_t length)
{
	if (writer->zstd == NULL)
		return length == 0 || writer->output(writer->arg, bytes, length);
	while (length > 0)
	{
		size_t		n = Min(length, TAR_FRAME_BYTES - writer->frame_bytes);

		writer->frame_bytes += n;
		if (!compress_bytes(writer, bytes, n, false))
			return false;
		if (writer->frame_bytes == TAR_FRAME_BYTES && !end_frame(writer))
			return false;
		bytes += n;
		length -= n;
	}
	return true;
}

/* Begin a member. */
bool
tar_member(TarWriter *writer, const TarMember *member)
{
	static const mode_t types[] = {
		[TAR_FILE] = S_IFREG,[TAR_DIRECTORY] = S_IFDIR,[TAR_SYMLINK] = S_IFLNK
	};
	char		header[TAR_BLOCK_SIZE];
	uint64		size = member->type == TAR_FILE ? member->size : 0;

	if (tarCreateHeader(header, member->name,
						member->type == TAR_SYMLINK ? member->link : NULL,
						(pgoff_t) size, types[member->type] | member->mode,
						geteuid(), getegid(), member->modified) != TAR_OK)
	{
		errno = ENAMETOOLONG;
		return false;
	}
	writer->size = writer->left = size;
	if (writer->zstd != NULL &&
		TAR_BLOCK_SIZE + size + tarPaddingBytesRequired(size) >
		TAR_FRAME_BYTES - writer->frame_bytes && !end_frame(writer))
		return false;
	return put_bytes(writer, header, sizeof(header));
}

/* Bytes of the member; EFBIG where it was said to have fewer. */
bool
tar_write(TarWriter *writer, const char *bytes, size_t length)
{
	if (length > writer->left)
	{
		errno = EFBIG;
		return false;
	}
	writer->left -= length;
	return put_bytes(writer, bytes, length);
}

/* End the member; EINVAL where bytes are missing. */
bool
tar_member_end(TarWriter *writer)
{
	static const char zeros[TAR_BLOCK_SIZE];

	if (writer->left != 0)
	{
		errno = EINVAL;
		return false;
	}
	return put_bytes(writer, zeros, tarPaddingBytesRequired(writer->size));
}

/* End the frame. */
bool
tar_flush(TarWriter *writer)
{
	return writer->zstd == NULL || end_frame(writer);
}

/* End the archive. */
bool
tar_finish(TarWriter *writer)
{
	static const char zeros[2 * TAR_BLOCK_SIZE];
	bool		ok = put_bytes(writer, zeros, sizeof(zeros)) &&
		end_frame(writer);
	int			save_errno = errno;

	free_writer(writer);
	errno = save_errno;
	return ok;
}
