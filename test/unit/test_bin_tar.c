/*-------------------------------------------------------------------------
 *
 * test_bin_tar.c
 *		Streams of tar members: written and read, plain and with zstd; frames;
 *		archives that are cut, changed, or made to do harm.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/common/tar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/resource.h>
#include <zstd.h>
#include <cmocka.h>

#include "lib/stringinfo.h"
#include "pgtar.h"
#include "test_random.h"

/* An archive in memory, given out in pieces of at most 'step' bytes. */
typedef struct Archive
{
	StringInfoData bytes;
	size_t		at;
	size_t		step;
	int			error;			/* errno of what comes after 'error_at' */
	size_t		error_at;
} Archive;

static void
archive_init(Archive *archive)
{
	memset(archive, 0, sizeof(*archive));
	initStringInfo(&archive->bytes);
	archive->step = 1 << 30;
	archive->error_at = SIZE_MAX;
}

static bool
put(void *arg, const char *bytes, size_t length)
{
	Archive    *archive = arg;

	if (archive->bytes.len >= archive->error_at)
	{
		errno = archive->error;
		return false;
	}
	appendBinaryStringInfo(&archive->bytes, bytes, (int) length);
	return true;
}

static ssize_t
get(void *arg, char *buffer, size_t length)
{
	Archive    *archive = arg;
	size_t		n = Min(Min(length, archive->step),
						archive->bytes.len - archive->at);

	if (archive->at >= archive->error_at)
	{
		errno = archive->error;
		return -1;
	}
	memcpy(buffer, archive->bytes.data + archive->at, n);
	archive->at += n;
	return n;
}

static TarMember
member_of(TarType type, const char *name, uint64 size)
{
	TarMember	member = {.type = type,.size = size,.mode = 0640,
		.modified = 1767323045
	};

	strlcpy(member.name, name, sizeof(member.name));
	return member;
}

/* The byte of a file at a place. */
static char
content(const char *name, uint64 at)
{
	return (char) ((at * 2654435761u >> 13) + at / 4096 + name[0]);
}

static void
write_file(TarWriter *writer, const char *name, uint64 size)
{
	TarMember	member = member_of(TAR_FILE, name, size);
	char		piece[1000];

	assert_true(tar_member(writer, &member));
	for (uint64 at = 0; at < size;)
	{
		size_t		n = Min(size - at, sizeof(piece));

		for (size_t i = 0; i < n; i++)
			piece[i] = content(name, at + i);
		assert_true(tar_write(writer, piece, n));
		at += n;
	}
	assert_true(tar_member_end(writer));
}

static void
expect_member(TarReader *reader, TarType type, const char *name, uint64 size)
{
	TarMember	member;
	char	   *problem;

	if (!tar_next(reader, &member, &problem))
		fail_msg("\"%s\": %s", name, problem ? problem : "end");
	assert_string_equal(member.name, name);
	assert_int_equal(member.type, type);
	assert_int_equal(member.size, size);
	assert_int_equal(member.mode, 0640);
	assert_true(member.modified == 1767323045);
	if (type == TAR_SYMLINK)
		assert_string_equal(member.link, "/some/where");
}

static void
expect_content(TarReader *reader, const char *name, uint64 size)
{
	char		piece[777];
	char	   *problem;
	uint64		at = 0;
	ssize_t		n;

	while ((n = tar_read(reader, piece, sizeof(piece), &problem)) > 0)
	{
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal(piece[i], content(name, at + i));
		at += n;
	}
	assert_int_equal(n, 0);
	assert_int_equal(at, size);
}

static void
expect_end(TarReader *reader)
{
	TarMember	member;
	char	   *problem;

	assert_false(tar_next(reader, &member, &problem));
	if (problem != NULL)
		fail_msg("%s", problem);
	assert_false(tar_next(reader, &member, &problem));
	assert_null(problem);
}

static const uint64 sizes[] = {
	0, 1, 511, 512, 513, 8192, 1000000, TAR_FRAME_BYTES - 512,
	TAR_FRAME_BYTES - 511, TAR_FRAME_BYTES, 9 * 1024 * 1024 + 3, 5
};

static void
write_sample(Archive *archive, int level)
{
	TarWriter  *writer = tar_create(put, archive, level);
	TarMember	member;

	member = member_of(TAR_DIRECTORY, "pg_wal", 0);
	assert_true(tar_member(writer, &member));
	assert_true(tar_member_end(writer));
	member = member_of(TAR_SYMLINK, "pg_tblspc/16385", 0);
	strcpy(member.link, "/some/where");
	assert_true(tar_member(writer, &member));
	assert_true(tar_member_end(writer));
	for (int i = 0; i < lengthof(sizes); i++)
	{
		char	   *name = psprintf("%c/file.%d", 'a' + i, i);

		write_file(writer, name, sizes[i]);
		pg_free(name);
	}
	assert_true(tar_finish(writer));
}

static void
round_trip(void **state)
{
	static const size_t steps[] = {1 << 30, 4099, 100};

	for (int level = 0; level <= 3; level += 3)
	{
		Archive		archive;

		archive_init(&archive);
		write_sample(&archive, level);
		if (level == 0)
			assert_int_equal(archive.bytes.len % 512, 0);
		for (int i = 0; i < lengthof(steps); i++)
		{
			TarReader  *reader = tar_open(get, &archive, level != 0);

			archive.at = 0;
			archive.step = steps[i];
			expect_member(reader, TAR_DIRECTORY, "pg_wal", 0);
			expect_member(reader, TAR_SYMLINK, "pg_tblspc/16385", 0);
			for (int j = 0; j < lengthof(sizes); j++)
			{
				char	   *name = psprintf("%c/file.%d", 'a' + j, j);

				expect_member(reader, TAR_FILE, name, sizes[j]);

				/* some are skipped */
				if ((i + j) % 3 != 0)
					expect_content(reader, name, sizes[j]);
				pg_free(name);
			}
			expect_end(reader);
			tar_close(reader);
		}
		pg_free(archive.bytes.data);
	}
}

/* Each frame is at most 4 MB and begins at a member or goes on with one. */
static void
frames(void **state)
{
	Archive		archive;
	char	   *bytes = malloc(TAR_FRAME_BYTES);
	uint64		left = 0;
	int			nframes = 0;
	size_t		at = 0;

	archive_init(&archive);
	write_sample(&archive, 1);
	while (at < archive.bytes.len)
	{
		size_t		length = ZSTD_findFrameCompressedSize(archive.bytes.data + at,
														  archive.bytes.len - at);
		size_t		n;
		size_t		place = 0;

		assert_false(ZSTD_isError(length));
		n = ZSTD_decompress(bytes, TAR_FRAME_BYTES, archive.bytes.data + at, length);
		assert_false(ZSTD_isError(n));
		at += length;
		nframes++;

		/* a member that began in this frame with others ends in it */
		if (left > 0)
		{
			place = Min(left, n);
			left -= place;
			if (left > 0)
				continue;
		}
		while (place < n)
		{
			uint64		size;

			if (bytes[place] == '\0')
			{
				assert_int_equal(n - place, 1024);
				break;
			}
			assert_memory_equal(bytes + place + 257, "ustar", 5);
			size = strtoull(bytes + place + 124, NULL, 8);
			size = TYPEALIGN64(512, size) + 512;
			if (place + size > n)
			{
				assert_int_equal(place, 0);
				left = size - n;
				size = n;
			}
			place += size;
		}
	}
	assert_int_equal(left, 0);
	assert_in_range(nframes, 7, 12);
	free(bytes);
	pg_free(archive.bytes.data);
}

/* Read an archive to its end; what was wrong, in new memory, or NULL. */
static char *
read_all(Archive *archive, bool compressed)
{
	TarReader  *reader = tar_open(get, archive, compressed);
	TarMember	member;
	char		piece[700];
	char	   *problem = NULL;
	char	   *again;

	archive->at = 0;
	while (problem == NULL && tar_next(reader, &member, &problem))
	{
		while (tar_read(reader, piece, sizeof(piece), &problem) > 0)
			 /* nothing */ ;
	}
	if (problem != NULL)
	{
		/* and it goes no further */
		assert_int_equal(tar_read(reader, piece, 1, &again), -1);
		assert_string_equal(again, "reading failed before");
		pg_free(again);
		assert_false(tar_next(reader, &member, &again));
		assert_string_equal(again, "reading failed before");
		pg_free(again);
	}
	tar_close(reader);
	return problem;
}

static void
expect_problem(Archive *archive, bool compressed, const char *expected)
{
	char	   *problem = read_all(archive, compressed);

	if (problem == NULL || strcmp(problem, expected) != 0)
		fail_msg("\"%s\", not \"%s\"", problem ? problem : "none", expected);
	pg_free(problem);
}

static void
small_sample(Archive *archive, int level)
{
	TarWriter  *writer;

	archive_init(archive);
	writer = tar_create(put, archive, level);
	write_file(writer, "a", 700);
	write_file(writer, "b", 0);
	assert_true(tar_finish(writer));
}

static void
cut(void **state)
{
	for (int level = 0; level <= 1; level++)
	{
		Archive		archive;
		int			length;

		small_sample(&archive, level);
		length = archive.bytes.len;
		for (int n = 0; n < length; n++)
		{
			char	   *problem;

			archive.bytes.len = n;
			problem = read_all(&archive, level != 0);
			if (problem == NULL)
				fail_msg("level %d, cut at %d of %d", level, n, length);
			pg_free(problem);
		}
		archive.bytes.len = length;
		assert_null(read_all(&archive, level != 0));

		/* between bytes that are whole */
		if (level == 0)
		{
			archive.bytes.len = length - 512;
			expect_problem(&archive, false, "end of the archive is missing");
			archive.bytes.len = length - 1024;
			expect_problem(&archive, false, "end of the archive is missing");
			archive.bytes.len = 1000;
			expect_problem(&archive, false, "archive ends within a member");
			archive.bytes.len = 1535;
			expect_problem(&archive, false, "archive ends within a member");
		}
		else
		{
			archive.bytes.len = length - 1;
			expect_problem(&archive, true,
						   "compressed data ends within a frame");
			archive.bytes.len = 0;
			expect_problem(&archive, true, "end of the archive is missing");
		}
		pg_free(archive.bytes.data);
	}
}

static void
changed_bytes(void **state)
{
	Archive		archive;
	char	   *problem;
	int			accepted = 0;

	/* each byte of a header, but not those of a file */
	small_sample(&archive, 0);
	for (int i = 0; i < archive.bytes.len; i++)
	{
		if (i >= 512 && i < 1536)
			continue;
		archive.bytes.data[i] ^= 0x55;
		problem = read_all(&archive, false);
		if (problem == NULL)
			fail_msg("byte %d", i);
		pg_free(problem);
		archive.bytes.data[i] ^= 0x55;
	}
	pg_free(archive.bytes.data);

	/* a frame has a checksum: what is accepted reads the same */
	small_sample(&archive, 1);
	for (int i = 0; i < archive.bytes.len; i++)
	{
		archive.bytes.data[i] ^= 0x04;
		problem = read_all(&archive, true);
		if (problem == NULL)
		{
			TarReader  *reader = tar_open(get, &archive, true);

			archive.at = 0;
			expect_member(reader, TAR_FILE, "a", 700);
			expect_content(reader, "a", 700);
			expect_member(reader, TAR_FILE, "b", 0);
			expect_end(reader);
			tar_close(reader);
			accepted++;
		}
		pg_free(problem);
		archive.bytes.data[i] ^= 0x04;
	}
	assert_in_range(accepted, 0, 5);
	pg_free(archive.bytes.data);
}

/* Change the first header and make its checksum right again. */
static void
forge(Archive *archive, int offset, const char *bytes, int length)
{
	char	   *header = archive->bytes.data;

	memcpy(header + offset, bytes, length);
	snprintf(header + 148, 8, "%06o", tarChecksum(header));
}

static void
expect_forged(int offset, const char *bytes, int length, const char *expected)
{
	Archive		archive;

	small_sample(&archive, 0);
	forge(&archive, offset, bytes, length);
	expect_problem(&archive, false, expected);
	pg_free(archive.bytes.data);
}

static void
forged_headers(void **state)
{
	static const char *const types = "13467xgLKSDVM";
	char		huge[12] = {(char) 0x80, 0, 0, 0, 0x7F, -1, -1, -1, -1, -1, -1, -1};
	char		negative[12];

	memset(negative, 0xFF, sizeof(negative));
	expect_forged(0, "/a", 2, "member \"/a\": name is absolute");
	expect_forged(0, "../a", 4, "member \"../a\": "
				  "name has a component \".\" or \"..\"");
	expect_forged(0, "././a", 5, "member \"./a\": "
				  "name has a component \".\" or \"..\"");
	expect_forged(0, "a\nb", 3, "member \"a?b\": name has a control character");
	expect_forged(0, "a/", 2, "member \"a/\": name has an empty component");
	expect_forged(0, "\0", 1, "member \"\": name is empty");
	expect_forged(0, "b", 1, "member \"b\": name occurs twice");
	expect_forged(0, "./b", 3, "member \"b\": name occurs twice");
	expect_forged(345, "..", 2, "member \"../a\": "
				  "name has a component \".\" or \"..\"");
	for (const char *type = types; *type != '\0'; type++)
		expect_forged(156, type, 1, "member \"\": "
					  "member is neither file, directory nor symbolic link");
	expect_forged(156, "5", 1, "member \"a\": wrong size in a header");
	expect_forged(156, "2", 1, "member \"a\": wrong size in a header");
	expect_forged(124, "00000000000", 12,
				  "member \"\": wrong checksum of a header");
	expect_forged(124, "0000000x000", 12,
				  "member \"a\": wrong number in a header");
	expect_forged(124, "77777777777", 12, "archive ends within a member");
	expect_forged(124, huge, 12, "member \"a\": wrong size in a header");
	expect_forged(124, negative, 12, "member \"a\": wrong size in a header");
	expect_forged(257, "tar  ", 5,
				  "member \"\": header is not of the format ustar");
}

static void
forged_links(void **state)
{
	Archive		archive;

	small_sample(&archive, 0);
	memmove(archive.bytes.data + 512, archive.bytes.data + 1536,
			archive.bytes.len - 1536);
	archive.bytes.len -= 1024;
	forge(&archive, 124, "00000000000", 12);
	assert_null(read_all(&archive, false));
	forge(&archive, 156, "2", 1);
	expect_problem(&archive, false,
				   "member \"a\": symbolic link without a target");
	forge(&archive, 157, "/x\ny", 4);
	expect_problem(&archive, false, "member \"a\": "
				   "target of a symbolic link has a control character");
	memset(archive.bytes.data + 157, 'y', 100);
	forge(&archive, 157, "/", 1);
	assert_null(read_all(&archive, false));
	pg_free(archive.bytes.data);
}

/* What other archivers write differently. */
static void
other_writers(void **state)
{
	Archive		archive;
	TarReader  *reader;
	TarMember	member;
	char	   *problem;

	/* GNU's magic: no prefix there */
	small_sample(&archive, 0);
	forge(&archive, 257, "ustar  \0", 8);
	forge(&archive, 345, "..", 2);
	assert_null(read_all(&archive, false));

	/* a prefix, spaces before and behind numbers, type 0, a leading "./" */
	forge(&archive, 257, "ustar\0" "00", 8);
	forge(&archive, 345, "x/y", 4);
	forge(&archive, 124, "       1274 ", 12);
	forge(&archive, 156, "\0", 1);
	reader = tar_open(get, &archive, false);
	archive.at = 0;
	assert_true(tar_next(reader, &member, &problem));
	assert_string_equal(member.name, "x/y/a");
	assert_int_equal(member.type, TAR_FILE);
	assert_int_equal(member.size, 700);
	tar_close(reader);

	/* a record of 10 kB is filled up with zeros, and with nothing else */
	enlargeStringInfo(&archive.bytes, 10240);
	memset(archive.bytes.data + archive.bytes.len, 0, 10240);
	archive.bytes.len += 10240;
	assert_null(read_all(&archive, false));
	archive.bytes.data[archive.bytes.len - 1] = 'x';
	expect_problem(&archive, false, "data behind the end of the archive");
	pg_free(archive.bytes.data);
}

/* A size that octal digits cannot hold. */
static void
large_sizes(void **state)
{
	const uint64 size = UINT64CONST(20) * 1024 * 1024 * 1024;
	TarMember	member = member_of(TAR_FILE, "large", size);
	Archive		archive;
	TarWriter  *writer;
	TarReader  *reader;
	char	   *problem;

	archive_init(&archive);
	writer = tar_create(put, &archive, 0);
	assert_true(tar_member(writer, &member));
	assert_false(tar_member_end(writer));
	assert_int_equal(errno, EINVAL);
	tar_finish(writer);
	reader = tar_open(get, &archive, false);
	assert_true(tar_next(reader, &member, &problem));
	assert_true(member.size == size);
	assert_false(tar_next(reader, &member, &problem));
	assert_string_equal(problem, "archive ends within a member");
	pg_free(problem);
	tar_close(reader);
	pg_free(archive.bytes.data);
}

static void
refused_by_writer(void **state)
{
	Archive		archive;
	TarWriter  *writer;
	TarMember	member;
	char		name[101];

	memset(name, 'n', sizeof(name));
	name[100] = '\0';
	archive_init(&archive);
	writer = tar_create(put, &archive, 0);
	member = member_of(TAR_FILE, name, 0);
	assert_false(tar_member(writer, &member));
	assert_int_equal(errno, ENAMETOOLONG);
	member = member_of(TAR_SYMLINK, "link", 0);
	strcpy(member.link, name);
	assert_false(tar_member(writer, &member));
	assert_int_equal(errno, ENAMETOOLONG);
	assert_int_equal(archive.bytes.len, 0);

	name[99] = '\0';
	member = member_of(TAR_DIRECTORY, name, 0);
	assert_true(tar_member(writer, &member));
	assert_true(tar_member_end(writer));
	member = member_of(TAR_FILE, "file", 3);
	assert_true(tar_member(writer, &member));
	assert_false(tar_write(writer, "1234", 4));
	assert_int_equal(errno, EFBIG);
	assert_true(tar_write(writer, "123", 3));
	assert_true(tar_member_end(writer));
	assert_true(tar_finish(writer));
	assert_null(read_all(&archive, false));
	pg_free(archive.bytes.data);
}

static void
failing_streams(void **state)
{
	for (int level = 0; level <= 1; level++)
	{
		Archive		archive;
		TarWriter  *writer;
		TarMember	member = member_of(TAR_FILE, "a", 1);

		archive_init(&archive);
		archive.error = ENOSPC;
		archive.error_at = 0;
		writer = tar_create(put, &archive, level);
		errno = 0;
		assert_false(tar_member(writer, &member) &&
					 tar_write(writer, "x", 1) && tar_member_end(writer) &&
					 tar_finish(writer));
		if (level == 0)
			tar_finish(writer);
		assert_int_equal(errno, ENOSPC);
		pg_free(archive.bytes.data);

		small_sample(&archive, level);
		archive.error = EIO;
		archive.error_at = 100;
		archive.step = 50;
		expect_problem(&archive, level != 0,
					   "could not read: Input/output error");
		pg_free(archive.bytes.data);
	}
}

/* Not zstd, and a frame that goes on and on. */
static void
strange_frames(void **state)
{
	Archive		archive;
	char	   *problem;
	char	   *zeros = calloc(1, 1 << 20);
	ZSTD_CCtx  *zstd = ZSTD_createCCtx();
	char		out_bytes[65536];
	struct rusage before;
	struct rusage after;

	small_sample(&archive, 0);
	problem = read_all(&archive, true);
	assert_int_equal(strncmp(problem, "could not decompress: ", 22), 0);
	pg_free(problem);
	pg_free(archive.bytes.data);

	/* a file of 1 GB in some ten kB */
	archive_init(&archive);
	for (int i = -1; i <= 1024; i++)
	{
		ZSTD_inBuffer in = {zeros, 1 << 20, 0};
		char		header[512];
		ZSTD_outBuffer out = {out_bytes, sizeof(out_bytes), 0};

		if (i < 0)
		{
			tarCreateHeader(header, "bomb", NULL, INT64CONST(1) << 40,
							S_IFREG | 0600, 0, 0, 0);
			in.src = header;
			in.size = sizeof(header);
		}
		ZSTD_compressStream2(zstd, &out, &in,
							 i < 1024 ? ZSTD_e_continue : ZSTD_e_end);
		assert_int_equal(in.pos, in.size);
		appendBinaryStringInfo(&archive.bytes, out_bytes, (int) out.pos);
	}
	assert_true(archive.bytes.len < 200000);
	getrusage(RUSAGE_SELF, &before);
	expect_problem(&archive, true, "archive ends within a member");
	getrusage(RUSAGE_SELF, &after);
	assert_true(after.ru_maxrss - before.ru_maxrss < 100 * 1024);
	pg_free(archive.bytes.data);

	/* one that has only zeros behind its end */
	archive_init(&archive);
	{
		size_t		n = ZSTD_compress(out_bytes, sizeof(out_bytes), zeros,
									  1 << 20, 1);

		for (int i = 0; i < 1000; i++)
			appendBinaryStringInfo(&archive.bytes, out_bytes, (int) n);
	}
	expect_problem(&archive, true, "data behind the end of the archive");
	assert_true(archive.at < archive.bytes.len ||
				archive.bytes.len < 128 * 1024);
	pg_free(archive.bytes.data);
	ZSTD_freeCCtx(zstd);
	free(zeros);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(frames),
		cmocka_unit_test(cut),
		cmocka_unit_test(changed_bytes),
		cmocka_unit_test(forged_headers),
		cmocka_unit_test(forged_links),
		cmocka_unit_test(other_writers),
		cmocka_unit_test(large_sizes),
		cmocka_unit_test(refused_by_writer),
		cmocka_unit_test(failing_streams),
		cmocka_unit_test(strange_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
