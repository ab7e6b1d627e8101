/*-------------------------------------------------------------------------
 *
 * tar_read.c
 *		Reading streams of tar members, plain or in zstd frames.
 *
 * However long an archive turns out to be, what is kept of it is a buffer of
 * input, zstd's window, and the names of its members.  A file's bytes go from
 * the decompressor straight to the caller.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/common/tar.h"

#include <zstd.h>

#include "bin/common/paths.h"
#include "common/hashfn.h"
#include "common/logging.h"
#include "pgtar.h"

#define INPUT_BYTES		(128 * 1024)
#define SKIP_BYTES		(64 * 1024)

/* Names are kept to see one that comes twice, so their number is bounded. */
#define MAX_MEMBERS		(16 * 1024 * 1024)

/* Archivers fill up the last record with zeros. */
#define MAX_TRAILER		(1024 * 1024)

/* Fields of a header: offset and length. */
#define NAME_AT			0, 100
#define MODE_AT			100, 8
#define SIZE_AT			124, 12
#define MODIFIED_AT		136, 12
#define CHECKSUM_AT		148, 8
#define TYPE_AT			156
#define LINK_AT			157, 100
#define MAGIC_AT		257
#define PREFIX_AT		345, 155

typedef struct NameSlot
{
	char	   *name;
	uint32		hash;
	char		status;
} NameSlot;

#define SH_PREFIX tar_names
#define SH_ELEMENT_TYPE NameSlot
#define SH_KEY_TYPE char *
#define SH_KEY name
#define SH_HASH_KEY(table, key) \
	hash_bytes((const unsigned char *) (key), strlen(key))
#define SH_EQUAL(table, a, b) (strcmp(a, b) == 0)
#define SH_STORE_HASH
#define SH_GET_HASH(table, slot) ((slot)->hash)
#define SH_SCOPE static inline
#define SH_RAW_ALLOCATOR pg_malloc0
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

struct TarReader
{
	TarInput	input;
	void	   *arg;
	ZSTD_DCtx  *zstd;			/* NULL: not compressed */
	char	   *buffer;			/* input, unread from 'at' to 'end' */
	size_t		at;
	size_t		end;
	bool		in_frame;		/* the frame's end was not seen yet */
	bool		finished;		/* the archive's end was */
	bool		failed;			/* with a problem */
	uint64		left;			/* bytes of the member not yet read */
	size_t		padding;		/* and behind them */
	tar_names_hash *names;
};

/* Begin to read an archive. */
TarReader *
tar_open(TarInput input, void *arg, bool compressed)
{
	TarReader  *reader = pg_malloc0(sizeof(TarReader));

	reader->input = input;
	reader->arg = arg;
	reader->buffer = pg_malloc(INPUT_BYTES);
	reader->names = tar_names_create(64, NULL);
	if (compressed)
	{
		reader->zstd = ZSTD_createDCtx();
		if (reader->zstd == NULL)
			pg_fatal("out of memory");
	}
	return reader;
}

void
tar_close(TarReader *reader)
{
	tar_names_iterator iterator;
	NameSlot   *slot;

	tar_names_start_iterate(reader->names, &iterator);
	while ((slot = tar_names_iterate(reader->names, &iterator)) != NULL)
		pg_free(slot->name);
	tar_names_destroy(reader->names);
	ZSTD_freeDCtx(reader->zstd);
	pg_free(reader->buffer);
	pg_free(reader);
}

/* Note what is wrong; nothing more is read. */
static bool
failed(TarReader *reader, char **problem, char *text)
{
	reader->failed = true;
	*problem = text;
	return false;
}

/* Have input in the buffer; 0 at its end, -1 with a problem. */
static int
fill_buffer(TarReader *reader, char **problem)
{
	ssize_t		n;

	if (reader->at < reader->end)
		return 1;
	n = reader->input(reader->arg, reader->buffer, INPUT_BYTES);
	if (n < 0)
	{
		failed(reader, problem, psprintf("could not read: %m"));
		return -1;
	}
	reader->at = 0;
	reader->end = n;
	return n > 0;
}

/*
 * Take bytes of the archive, fewer than 'length' only at the end of the input;
 * -1 with a problem.
 */
static ssize_t
take_bytes(TarReader *reader, char *bytes, size_t length, char **problem)
{
	size_t		done = 0;

	while (done < length)
	{
		int			more = fill_buffer(reader, problem);

		if (more < 0)
			return -1;

		/* what zstd holds back may come without further input */
		if (more == 0 && (reader->zstd == NULL || !reader->in_frame))
			break;
		if (reader->zstd == NULL)
		{
			size_t		n = Min(length - done, reader->end - reader->at);

			memcpy(bytes + done, reader->buffer + reader->at, n);
			reader->at += n;
			done += n;
		}
		else
		{
			ZSTD_inBuffer in = {reader->buffer, reader->end, reader->at};
			ZSTD_outBuffer out = {bytes, length, done};
			size_t		result;

			result = ZSTD_decompressStream(reader->zstd, &out, &in);
			if (ZSTD_isError(result))
			{
				failed(reader, problem, psprintf("could not decompress: %s",
												 ZSTD_getErrorName(result)));
				return -1;
			}
			if (more == 0 && out.pos == done && result != 0)
			{
				failed(reader, problem,
					   pstrdup("compressed data ends within a frame"));
				return -1;
			}
			reader->in_frame = result != 0;
			reader->at = in.pos;
			done = out.pos;
		}
	}
	return done;
}

/*
 * Read a field: octal digits with spaces before and a space or zero byte
 * behind them, or a binary number.  False where it is neither.
 */
static bool
get_number(const char *header, int offset, int length, uint64 *number)
{
	const uint8 *at = (const uint8 *) header + offset;
	const uint8 *end = at + length;

	*number = 0;
	if (*at == 0x80 || *at == 0xFF)
	{
		bool		negative = *at == 0xFF;

		for (at++; at < end; at++)
		{
			/* all but the last eight bytes repeat the sign */
			if (end - at > 8 && *at != (negative ? 0xFF : 0))
				return false;
			*number = *number << 8 | *at;
		}
		return true;
	}
	while (at < end && *at == ' ')
		at++;
	for (; at < end && *at >= '0' && *at <= '7'; at++)
		*number = *number << 3 | (*at - '0');
	return at == end || *at == ' ' || *at == '\0';
}

/* Copy a field's text, which may fill it. */
static size_t
get_text(const char *header, int offset, int length, char *text)
{
	size_t		n = strnlen(header + offset, length);

	memcpy(text, header + offset, n);
	text[n] = '\0';
	return n;
}

/* The member's name, as path_check() wants it. */
static void
get_name(const char *header, TarMember *member)
{
	char	   *name = member->name;
	size_t		length = 0;

	/* GNU's own headers have other things where ustar has the prefix */
	if (header[MAGIC_AT + 5] == '\0')
		length = get_text(header, PREFIX_AT, name);
	if (length > 0)
		name[length++] = '/';
	length += get_text(header, NAME_AT, name + length);
	/* PostgreSQL has one behind links, too */
	if (member->type != TAR_FILE && length > 1 && name[length - 1] == '/')
		name[length - 1] = '\0';
	if (strncmp(name, "./", 2) == 0)
		memmove(name, name + 2, strlen(name + 2) + 1);
}

/* What the caller may print. */
static char *
printable(char *text)
{
	for (char *c = text; *c != '\0'; c++)
		if ((unsigned char) *c < ' ' || *c == 0x7F)
			*c = '?';
	return text;
}

/* What is wrong with a header, or NULL. */
static const char *
parse_header(const char *header, TarMember *member)
{
	uint64		number;
	uint64		modified;

	if (!get_number(header, CHECKSUM_AT, &number) ||
		number != (uint64) tarChecksum(unconstify(char *, header)))
		return "wrong checksum of a header";
	if (memcmp(header + MAGIC_AT, "ustar", 5) != 0)
		return "header is not of the format ustar";
	switch (header[TYPE_AT])
	{
		case '0':
		case '\0':
			member->type = TAR_FILE;
			break;
		case '2':
			member->type = TAR_SYMLINK;
			break;
		case '5':
			member->type = TAR_DIRECTORY;
			break;
		default:
			return "member is neither file, directory nor symbolic link";
	}
	get_name(header, member);
	if (!get_number(header, SIZE_AT, &member->size) ||
		!get_number(header, MODE_AT, &number) ||
		!get_number(header, MODIFIED_AT, &modified))
		return "wrong number in a header";
	member->mode = (mode_t) (number & 07777);
	member->modified = (int64) modified;
	if (member->size > PG_INT64_MAX - TAR_BLOCK_SIZE ||
		(member->size > 0 && member->type != TAR_FILE))
		return "wrong size in a header";
	if (member->type == TAR_SYMLINK &&
		get_text(header, LINK_AT, member->link) == 0)
		return "symbolic link without a target";
	for (const char *c = member->link; *c != '\0'; c++)
		if ((unsigned char) *c < ' ' || *c == 0x7F)
			return "target of a symbolic link has a control character";
	return path_check(member->name);
}

/* Keep the name; NULL, or what is wrong. */
static const char *
keep_name(TarReader *reader, const char *name)
{
	NameSlot   *slot;
	bool		found;

	if (reader->names->members >= MAX_MEMBERS)
		return "archive has too many members";
	slot = tar_names_insert(reader->names, unconstify(char *, name), &found);
	if (found)
		return "name occurs twice";
	slot->name = pg_strdup(name);
	return NULL;
}

/* Read over what is left of the member; false with a problem. */
static bool
skip_member(TarReader *reader, char **problem)
{
	char	   *scratch;
	uint64		left = reader->left + reader->padding;
	ssize_t		n = 0;

	if (left == 0)
		return true;
	scratch = pg_malloc(SKIP_BYTES);
	while (left > 0 &&
		   (n = take_bytes(reader, scratch, Min(left, SKIP_BYTES),
						   problem)) > 0)
		left -= n;
	pg_free(scratch);
	reader->left = 0;
	reader->padding = 0;
	if (n == 0)
		failed(reader, problem, pstrdup("archive ends within a member"));
	return left == 0;
}

static bool
all_zero(const char *bytes, size_t length)
{
	return bytes[0] == '\0' && memcmp(bytes, bytes + 1, length - 1) == 0;
}

/* A block of zeros was read: at least one more must follow, and only zeros. */
static bool
read_trailer(TarReader *reader, char **problem)
{
	char		block[TAR_BLOCK_SIZE];
	size_t		total = 0;
	ssize_t		n;

	while ((n = take_bytes(reader, block, sizeof(block), problem)) > 0)
	{
		total += n;
		if (!all_zero(block, n) || total > MAX_TRAILER)
			return failed(reader, problem,
						  pstrdup("data behind the end of the archive"));
	}
	if (n < 0)
		return false;
	if (total < TAR_BLOCK_SIZE)
		return failed(reader, problem, pstrdup("end of the archive is missing"));
	reader->finished = true;
	return true;
}

/* Go to the next member. */
bool
tar_next(TarReader *reader, TarMember *member, char **problem)
{
	char		header[TAR_BLOCK_SIZE];
	const char *reason;
	ssize_t		n;

	*problem = NULL;
	memset(member, 0, sizeof(*member));
	if (reader->failed)
		return failed(reader, problem, pstrdup("reading failed before"));
	if (reader->finished || !skip_member(reader, problem))
		return false;
	n = take_bytes(reader, header, sizeof(header), problem);
	if (n < 0)
		return false;
	if (n < sizeof(header))
		return failed(reader, problem, pstrdup("end of the archive is missing"));
	if (all_zero(header, sizeof(header)))
	{
		read_trailer(reader, problem);
		return false;
	}
	reason = parse_header(header, member);
	if (reason == NULL)
		reason = keep_name(reader, member->name);
	if (reason != NULL)
		return failed(reader, problem,
					  psprintf("member \"%s\": %s", printable(member->name),
							   reason));
	reader->left = member->size;
	reader->padding = tarPaddingBytesRequired(member->size);
	return true;
}

/* Read bytes of the member. */
ssize_t
tar_read(TarReader *reader, char *buffer, size_t length, char **problem)
{
	ssize_t		n;

	*problem = NULL;
	if (reader->failed)
	{
		failed(reader, problem, pstrdup("reading failed before"));
		return -1;
	}
	length = Min(length, reader->left);
	n = take_bytes(reader, buffer, length, problem);
	if (n < 0)
		return -1;
	reader->left -= n;
	if (n < length)
	{
		failed(reader, problem, pstrdup("archive ends within a member"));
		return -1;
	}
	return n;
}
