/*-------------------------------------------------------------------------
 *
 * test_bin_manifest.c
 *		backup_manifest: read as PostgreSQL writes it, damage, looked up,
 *		written and read again.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/common/manifest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "lib/stringinfo.h"
#include "test_random.h"

#define HEAD1	"{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n"
#define HEAD2	"{ \"PostgreSQL-Backup-Manifest-Version\": 2,\n" \
	"\"System-Identifier\": 18446744073709551615,\n"
#define FILES(list)	"\"Files\": [\n" list "\n],\n"
#define SIZE	"\"Size\": 7, \"Last-Modified\": \"2026-01-02 03:04:05 GMT\""
#define FILE_A	"{ \"Path\": \"base/5/a\", " SIZE ", " \
	"\"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"0123abCD\" }"
#define FILE_B	"{ \"Encoded-Path\": \"ff2f62\", " SIZE " }"
#define RANGES(list)	"\"WAL-Ranges\": [\n" list "\n],\n"
#define RANGE	"{ \"Timeline\": 2, \"Start-LSN\": \"1A/2000028\", " \
	"\"End-LSN\": \"1A/20000f8\" }"
#define GOOD1	HEAD1 FILES(FILE_A ",\n" FILE_B) RANGES(RANGE)

/* The text with its checksum line, in memory of exactly its length. */
static char *
sealed(const char *text, size_t *length)
{
	pg_cryptohash_ctx *sha256 = pg_cryptohash_create(PG_SHA256);
	uint8		checksum[PG_SHA256_DIGEST_LENGTH];
	StringInfoData whole;
	char	   *copy;

	pg_cryptohash_init(sha256);
	pg_cryptohash_update(sha256, (const uint8 *) text, strlen(text));
	pg_cryptohash_final(sha256, checksum, sizeof(checksum));
	pg_cryptohash_free(sha256);
	initStringInfo(&whole);
	appendStringInfo(&whole, "%s\"Manifest-Checksum\": \"", text);
	for (int i = 0; i < sizeof(checksum); i++)
		appendStringInfo(&whole, "%02x", checksum[i]);
	appendStringInfoString(&whole, "\"}\n");
	*length = whole.len;
	copy = test_exact_copy(whole.data, whole.len);
	pg_free(whole.data);
	return copy;
}

static Manifest *
parse(const char *text, char **problem)
{
	size_t		length;
	char	   *copy = sealed(text, &length);
	Manifest   *manifest = manifest_parse(copy, length, problem);

	free(copy);
	return manifest;
}

static void
expect_problem(const char *text, const char *expected)
{
	char	   *problem;

	if (parse(text, &problem) != NULL)
		fail_msg("accepted: %s", text);
	if (strcmp(problem, expected) != 0)
		fail_msg("\"%s\", not \"%s\": %s", problem, expected, text);
	pg_free(problem);
}

static void
reading(void **state)
{
	static const uint8 checksum[] = {0x01, 0x23, 0xAB, 0xCD};
	char	   *problem;
	Manifest   *manifest = parse(GOOD1, &problem);
	ManifestFile *file;

	assert_non_null(manifest);
	assert_int_equal(manifest->version, 1);
	assert_true(manifest->system_identifier == 0);
	assert_int_equal(manifest->nfiles, 2);
	file = manifest_find(manifest, "base/5/a");
	assert_string_equal(file->path, "base/5/a");
	assert_int_equal(file->size, 7);
	assert_true(file->modified == 1767323045);
	assert_int_equal(file->checksum_type, CHECKSUM_TYPE_CRC32C);
	assert_int_equal(file->checksum_length, 4);
	assert_memory_equal(file->checksum, checksum, 4);
	file = manifest_find(manifest, "\xFF/b");
	assert_int_equal(file->checksum_type, CHECKSUM_TYPE_NONE);
	assert_int_equal(file->checksum_length, 0);
	assert_null(manifest_find(manifest, "base/5"));
	assert_int_equal(manifest->nranges, 1);
	assert_int_equal(manifest->ranges[0].timeline, 2);
	assert_true(manifest->ranges[0].start_lsn == UINT64CONST(0x1A02000028));
	assert_true(manifest->ranges[0].end_lsn == UINT64CONST(0x1A020000F8));
	manifest_free(manifest);

	manifest = parse(HEAD2 FILES("") RANGES(""), &problem);
	assert_int_equal(manifest->version, 2);
	assert_true(manifest->system_identifier == PG_UINT64_MAX);
	assert_int_equal(manifest->nfiles, 0);
	assert_int_equal(manifest->nranges, 0);
	manifest_free(manifest);
}

static void
checksum_line(void **state)
{
	size_t		length;
	char	   *text = sealed(GOOD1, &length);
	char	   *problem;

	for (size_t i = 0; i < length; i++)
	{
		text[i] ^= 1;
		if (manifest_parse(text, length, &problem) != NULL)
			fail_msg("accepted, byte %zu changed", i);
		pg_free(problem);
		text[i] ^= 1;
	}
	for (size_t cut = 0; cut < length; cut++)
	{
		char	   *copy = test_exact_copy(text, cut);

		assert_null(manifest_parse(copy, cut, &problem));
		pg_free(problem);
		free(copy);
	}
	free(text);
}

static void
wrong_structure(void **state)
{
#define NOT_JSON	"manifest is not valid JSON"
#define LACKS	"manifest lacks a field"

	expect_problem("\n", "value where none belongs");
	expect_problem(HEAD1 "\n", LACKS);
	expect_problem("{\n", LACKS);
	expect_problem("[\n", "list where none belongs");
	expect_problem(HEAD1 FILES(FILE_A) "\n", LACKS);
	expect_problem(HEAD1 RANGES(RANGE), LACKS);
	expect_problem("{" FILES(FILE_A) RANGES(RANGE), LACKS);
	expect_problem("{ \"PostgreSQL-Backup-Manifest-Version\": 2,\n"
				   FILES(FILE_A) RANGES(RANGE), LACKS);
	expect_problem("{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n"
				   "\"System-Identifier\": 1,\n" FILES(FILE_A) RANGES(RANGE),
				   "manifest has a field of another version");
	expect_problem(GOOD1 "\"Else\": 1,\n", "unknown field");
	expect_problem(GOOD1 "\"Path\": \"x\",\n", "unknown field");
	expect_problem(GOOD1 RANGES(RANGE), "field occurs twice");
	expect_problem(HEAD1 "\"Files\": {},\n" RANGES(RANGE),
				   "object where none belongs");
	expect_problem(HEAD1 "\"Files\": 1,\n" RANGES(RANGE),
				   "wrong value of field \"Files\"");
	expect_problem(HEAD1 FILES("1") RANGES(RANGE),
				   "value where none belongs");
	expect_problem(HEAD1 FILES("[]") RANGES(RANGE),
				   "list where none belongs");
	expect_problem(HEAD1 FILES("{ \"Path\": [] }") RANGES(RANGE),
				   "manifest is nested too deeply");
	expect_problem("[[[[\n", "manifest is nested too deeply");
	expect_problem(HEAD1 FILES("{}") RANGES(RANGE),
				   "file without a path, or with two");
	expect_problem(HEAD1 FILES(FILE_A ",") RANGES(RANGE), NOT_JSON);
	expect_problem("{ \"PostgreSQL-Backup-Manifest-Version\": 3,\n"
				   FILES(FILE_A) RANGES(RANGE),
				   "wrong value of field"
				   " \"PostgreSQL-Backup-Manifest-Version\"");
	expect_problem("{ \"PostgreSQL-Backup-Manifest-Version\": \"1\",\n"
				   FILES(FILE_A) RANGES(RANGE),
				   "wrong value of field"
				   " \"PostgreSQL-Backup-Manifest-Version\"");
	expect_problem("{ \"PostgreSQL-Backup-Manifest-Version\": null,\n"
				   FILES(FILE_A) RANGES(RANGE),
				   "wrong value of field"
				   " \"PostgreSQL-Backup-Manifest-Version\"");
	expect_problem("{ \"PostgreSQL-Backup-Manifest-Version\": [],\n"
				   FILES(FILE_A) RANGES(RANGE), "list where none belongs");
}

static void
wrong_files(void **state)
{
#define BAD_FILE(fields, text) \
	expect_problem(HEAD1 FILES("{ " fields " }") RANGES(RANGE), text)
#define BAD_PATH(path, text) \
	BAD_FILE("\"Path\": \"" path "\", " SIZE, text)
#define WITH(field)	"\"Path\": \"a\", " SIZE ", " field

	BAD_PATH("", "file \"\": name is empty");
	BAD_PATH("/etc/passwd", "file \"/etc/passwd\": name is absolute");
	BAD_PATH("a/../../b", "file \"a/../../b\": "
			 "name has a component \".\" or \"..\"");
	BAD_PATH("a\\nb", "file \"a?b\": name has a control character");
	BAD_PATH("a\\u0000b", NOT_JSON);
	BAD_FILE("\"Encoded-Path\": \"2e2e\", " SIZE,
			 "file \"..\": name has a component \".\" or \"..\"");
	BAD_FILE("\"Encoded-Path\": \"6100\", " SIZE,
			 "wrong value of field \"Encoded-Path\"");
	BAD_FILE("\"Encoded-Path\": \"6\", " SIZE,
			 "wrong value of field \"Encoded-Path\"");
	BAD_FILE("\"Encoded-Path\": \"6g\", " SIZE,
			 "wrong value of field \"Encoded-Path\"");
	BAD_FILE("\"Path\": \"a\", \"Encoded-Path\": \"61\", " SIZE,
			 "file without a path, or with two");
	BAD_FILE(SIZE, "file without a path, or with two");
	BAD_FILE("\"Path\": \"a\"", "file \"a\": size is missing");
	BAD_FILE("\"Path\": \"a\", \"Size\": -1", "wrong value of field \"Size\"");
	BAD_FILE("\"Path\": \"a\", \"Size\": 1.5", "wrong value of field \"Size\"");
	BAD_FILE("\"Path\": \"a\", \"Size\": 9223372036854775808",
			 "wrong value of field \"Size\"");
	BAD_FILE("\"Path\": \"a\", \"Size\": \"1\"",
			 "wrong value of field \"Size\"");
	BAD_FILE(WITH("\"Path\": \"b\""), "field occurs twice");
	BAD_FILE(WITH("\"Timeline\": 1"), "unknown field");
	BAD_FILE(WITH("\"Checksum\": \"01234567\""),
			 "file \"a\": checksum does not agree with its algorithm");
	BAD_FILE(WITH("\"Checksum-Algorithm\": \"SHA256\""),
			 "file \"a\": checksum does not agree with its algorithm");
	BAD_FILE(WITH("\"Checksum-Algorithm\": \"SHA256\", "
				  "\"Checksum\": \"01234567\""),
			 "file \"a\": checksum does not agree with its algorithm");
	BAD_FILE(WITH("\"Checksum-Algorithm\": \"MD5\""),
			 "wrong value of field \"Checksum-Algorithm\"");
	BAD_FILE(WITH("\"Checksum-Algorithm\": \"NONE\""),
			 "wrong value of field \"Checksum-Algorithm\"");
	BAD_FILE(WITH("\"Checksum\": \"\""), "wrong value of field \"Checksum\"");
	BAD_FILE(WITH("\"Checksum\": \"0\""), "wrong value of field \"Checksum\"");
	expect_problem(HEAD1 FILES(FILE_A ", " FILE_A) RANGES(RANGE),
				   "file \"base/5/a\": occurs twice");
	expect_problem(HEAD1 FILES("{ \"Path\": \"a\", " SIZE " }, "
							   "{ \"Encoded-Path\": \"61\", " SIZE " }")
				   RANGES(RANGE), "file \"a\": occurs twice");
}

static void
long_fields(void **state)
{
	StringInfoData text;
	char	   *problem;

	for (int i = 0; i < 2; i++)
	{
		initStringInfo(&text);
		appendStringInfo(&text, HEAD1 "\"Files\": [ { \"%sPath\": \"",
						 i == 0 ? "" : "Encoded-");
		for (int j = 0; j < 100000; j++)
			appendStringInfoString(&text, "61");
		appendStringInfoString(&text, "\"," SIZE " } ],\n" RANGES(RANGE));
		assert_null(parse(text.data, &problem));
		assert_string_equal(problem, i == 0 ? "wrong value of field \"Path\"" :
							"wrong value of field \"Encoded-Path\"");
		pg_free(problem);
		pg_free(text.data);
	}
}

static void
wrong_ranges(void **state)
{
#define BAD_RANGE(fields, text) \
	expect_problem(HEAD1 FILES(FILE_A) RANGES("{ " fields " }"), text)
#define RANGE_OF(timeline, start, end) \
	"\"Timeline\": " timeline ", \"Start-LSN\": \"" start "\", " \
	"\"End-LSN\": \"" end "\""

	BAD_RANGE("", "WAL range lacks a field");
	BAD_RANGE("\"Timeline\": 1, \"Start-LSN\": \"0/1\"",
			  "WAL range lacks a field");
	BAD_RANGE("\"Timeline\": 1, \"End-LSN\": \"0/1\"",
			  "WAL range lacks a field");
	BAD_RANGE("\"Start-LSN\": \"0/1\", \"End-LSN\": \"0/1\"",
			  "WAL range lacks a field");
	BAD_RANGE(RANGE_OF("1", "1/0", "0/FFFFFFFF"),
			  "WAL range ends before it starts");
	BAD_RANGE(RANGE_OF("0", "0/1", "0/2"), "wrong value of field \"Timeline\"");
	BAD_RANGE(RANGE_OF("4294967296", "0/1", "0/2"),
			  "wrong value of field \"Timeline\"");
	BAD_RANGE(RANGE_OF("1", "01", "0/2"), "wrong value of field \"Start-LSN\"");
	BAD_RANGE(RANGE_OF("1", "/1", "0/2"), "wrong value of field \"Start-LSN\"");
	BAD_RANGE(RANGE_OF("1", "0/1", "0/"), "wrong value of field \"End-LSN\"");
	BAD_RANGE(RANGE_OF("1", "0/1", "0/2 "), "wrong value of field \"End-LSN\"");
	BAD_RANGE(RANGE_OF("1", "0/1", "0/2/3"), "wrong value of field \"End-LSN\"");
	BAD_RANGE(RANGE_OF("1", "0/1", "123456789/2"),
			  "wrong value of field \"End-LSN\"");
	BAD_RANGE(SIZE, "unknown field");
}

static void
times(void **state)
{
	static const struct
	{
		const char *text;
		int64		seconds;
	}			good[] = {
		{"1970-01-01 00:00:00 GMT", 0},
		{"1969-12-31 23:59:59 GMT", -1},
		{"2000-02-29 12:00:00 GMT", 951825600},
		{"2000-03-01 00:00:00 GMT", 951868800},
		{"1900-03-01 00:00:00 GMT", INT64CONST(-2203891200)},
		{"2100-12-31 00:00:00 GMT", INT64CONST(4133894400)},
		{"12345-06-07 08:09:10 GMT", INT64CONST(327416976550)},
	};
	static const char *const bad[] = {
		"", "2026-01-02", "2026-01-02 03:04:05", "2026-01-02 03:04:05 CET",
		"2026-13-02 03:04:05 GMT", "2026-00-02 03:04:05 GMT",
		"2026-01-32 03:04:05 GMT", "2026-01-02 24:04:05 GMT",
		"2026-01-02 03:60:05 GMT", "2026-01-02T03:04:05 GMT",
		"-2026-01-02 03:04:05 GMT", "2026-01-02 03:04:05 GMT ",
		"1234567-01-02 03:04:05 GMT"
	};
	char	   *problem;

	for (int i = 0; i < lengthof(good); i++)
	{
		char	   *text = psprintf(HEAD1 "\"Files\": [ { \"Path\": \"a\", "
									"\"Size\": 0, \"Last-Modified\": \"%s\" } ],"
									RANGES(RANGE), good[i].text);
		Manifest   *manifest = parse(text, &problem);

		if (manifest_find(manifest, "a")->modified != good[i].seconds)
			fail_msg("%s: " INT64_FORMAT, good[i].text,
					 manifest_find(manifest, "a")->modified);
		manifest_free(manifest);
		pg_free(text);
	}
	for (int i = 0; i < lengthof(bad); i++)
	{
		char	   *text = psprintf(HEAD1 "\"Files\": [ { \"Path\": \"a\", "
									"\"Size\": 0, \"Last-Modified\": \"%s\" } ],\n"
									RANGES(RANGE), bad[i]);

		expect_problem(text, "wrong value of field \"Last-Modified\"");
		pg_free(text);
	}
}

/* What was written to a file, in new memory. */
static char *
written(const Manifest *manifest, size_t *length)
{
	FILE	   *out = tmpfile();
	struct stat st;
	char	   *text;

	assert_true(manifest_write(manifest, fileno(out)));
	assert_int_equal(fstat(fileno(out), &st), 0);
	text = malloc(st.st_size);
	assert_int_equal(pread(fileno(out), text, st.st_size, 0), st.st_size);
	fclose(out);
	*length = st.st_size;
	return text;
}

static void
bytes(void **state)
{
	static const char expected[] =
		"{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n"
		"\"Files\": [\n"
		"{ \"Path\": \"a \\\"\\\\\xC3\xA4\", \"Size\": 9223372036854775807, "
		"\"Last-Modified\": \"2000-02-29 12:00:00 GMT\" },\n"
		"{ \"Path\": \"b\", \"Size\": 0, \"Last-Modified\": "
		"\"1969-12-31 23:59:59 GMT\", \"Checksum-Algorithm\": \"CRC32C\", "
		"\"Checksum\": \"00ff1080\" },\n"
		"{ \"Encoded-Path\": \"ffc3\", \"Size\": 1, "
		"\"Last-Modified\": \"1970-01-01 00:00:00 GMT\" }\n"
		"],\n"
		"\"WAL-Ranges\": [\n"
		"{ \"Timeline\": 1, \"Start-LSN\": \"0/28\", \"End-LSN\": \"0/FF\" },\n"
		"{ \"Timeline\": 2, \"Start-LSN\": \"0/FF\", \"End-LSN\": \"1A/B\" }\n"
		"],\n";
	Manifest   *manifest = manifest_create(1, 0);
	ManifestFile file = {.path = "b",.modified = -1,
		.checksum_type = CHECKSUM_TYPE_CRC32C,.checksum_length = 4,
		.checksum = {0, 0xFF, 0x10, 0x80}
	};
	size_t		length;
	size_t		sealed_length;
	char	   *text;
	char	   *whole;

	assert_true(manifest_add(manifest, &file));
	file = (ManifestFile) {.path = "a \"\\\xC3\xA4",.size = PG_INT64_MAX,
		.modified = 951825600
	};
	assert_true(manifest_add(manifest, &file));
	file = (ManifestFile) {.path = "\xFF\xC3",.size = 1};
	assert_true(manifest_add(manifest, &file));
	manifest_add_range(manifest, 1, 0x28, 0xFF);
	manifest_add_range(manifest, 2, 0xFF, UINT64CONST(0x1A0000000B));
	text = written(manifest, &length);
	whole = sealed(expected, &sealed_length);
	assert_int_equal(length, sealed_length);
	assert_memory_equal(text, whole, length);
	free(text);
	free(whole);
	manifest_free(manifest);
}

/* Many files, added, removed and found, against a plain array. */
static void
many(void **state)
{
	enum
	{
		N = 20000
	};
	bool	   *there = pg_malloc0(N * sizeof(bool));
	ManifestFile **pointers = pg_malloc0(N * sizeof(ManifestFile *));
	Manifest   *manifest = manifest_create(2, 42);
	Manifest   *again;
	ManifestFile **sorted;
	char	   *problem;
	char	   *text;
	size_t		length;
	uint32		n = 0;

	for (int round = 0; round < 3 * N; round++)
	{
		int			i = next_random() % N;
		char	   *path = psprintf("base/%d/%d", i % 7, i);
		ManifestFile file = {.path = path,.size = i,.modified = i};

		if (next_random() % 4 == 0)
		{
			manifest_remove(manifest, path);
			n -= there[i];
			there[i] = false;
		}
		else
		{
			assert_true(manifest_add(manifest, &file) == !there[i]);
			if (!there[i])
				pointers[i] = manifest_find(manifest, path);
			n += !there[i];
			there[i] = true;
		}
		pg_free(path);
		assert_int_equal(manifest->nfiles, n);
	}

	text = written(manifest, &length);
	again = manifest_parse(text, length, &problem);
	assert_non_null(again);
	assert_int_equal(again->nfiles, n);
	assert_true(again->system_identifier == 42);
	for (int i = 0; i < N; i++)
	{
		char	   *path = psprintf("base/%d/%d", i % 7, i);
		ManifestFile *file = manifest_find(again, path);

		assert_true((file != NULL) == there[i]);
		if (file != NULL)
		{
			assert_int_equal(file->size, i);
			assert_true(manifest_find(manifest, path) == pointers[i]);
		}
		pg_free(path);
	}
	sorted = manifest_sorted(again);
	for (uint32 i = 1; i < n; i++)
		assert_true(strcmp(sorted[i - 1]->path, sorted[i]->path) < 0);
	pg_free(sorted);
	free(text);
	manifest_free(again);
	manifest_free(manifest);
	pg_free(there);
	pg_free(pointers);
}

static void
no_room(void **state)
{
	Manifest   *manifest = manifest_create(1, 0);
	FILE	   *full = fopen("/dev/full", "w");

	assert_false(manifest_write(manifest, fileno(full)));
	assert_int_equal(errno, ENOSPC);
	fclose(full);
	manifest_free(manifest);
}

static void
checksum_lengths(void **state)
{
	static const int lengths[] = {0, 4, 28, 32, 48, 64};

	for (int type = CHECKSUM_TYPE_NONE; type <= CHECKSUM_TYPE_SHA512; type++)
		assert_int_equal(manifest_checksum_length(type), lengths[type]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reading),
		cmocka_unit_test(checksum_line),
		cmocka_unit_test(wrong_structure),
		cmocka_unit_test(wrong_files),
		cmocka_unit_test(long_fields),
		cmocka_unit_test(wrong_ranges),
		cmocka_unit_test(times),
		cmocka_unit_test(bytes),
		cmocka_unit_test(many),
		cmocka_unit_test(no_room),
		cmocka_unit_test(checksum_lengths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
