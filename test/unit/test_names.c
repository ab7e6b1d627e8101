/*-------------------------------------------------------------------------
 *
 * test_names.c
 *		File and folder names: what is built is parsed, nothing else is.
 *
 *-------------------------------------------------------------------------
 */
#include "core/format/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "test_random.h"

static void
expect_foreign(const char *name)
{
	CkpxName	parsed;
	CkpxName	empty;

	memset(&parsed, 0xAA, sizeof(parsed));
	memset(&empty, 0, sizeof(empty));
	ckpx_parse_name(name, &parsed);
	if (parsed.type != CKPX_NAME_UNKNOWN)
		fail_msg("accepted \"%s\"", name);
	assert_memory_equal(&parsed, &empty, sizeof(empty));
}

static void
object_names(void **state)
{
	char		name[CKPX_NAME_MAX];
	CkpxName	parsed;
	int			length;

	length = ckpx_object_name(name, CKPX_KIND_GLOBAL, 1, 0xAB, 0x1A2B3C8,
							  UINT64CONST(0xFFFFFFFF00000028), 12);
	assert_string_equal(name, "glo_00000001_000000AB_0000000001A2B3C8"
						"_FFFFFFFF00000028.ckpx.12");
	assert_int_equal(length, strlen(name));
	ckpx_parse_name(name, &parsed);
	assert_int_equal(parsed.type, CKPX_NAME_OBJECT);
	assert_int_equal(parsed.kind, CKPX_KIND_GLOBAL);
	assert_int_equal(parsed.epoch, 1);
	assert_int_equal(parsed.timeline, 0xAB);
	assert_true(parsed.start_lsn == 0x1A2B3C8);
	assert_true(parsed.end_lsn == UINT64CONST(0xFFFFFFFF00000028));
	assert_int_equal(parsed.part, 12);

	ckpx_temporary_name(name);
	ckpx_parse_name(name, &parsed);
	assert_int_equal(parsed.type, CKPX_NAME_TEMPORARY);
	assert_int_equal(parsed.kind, CKPX_KIND_GLOBAL);
	assert_int_equal(parsed.part, 12);

	/* Only what was published is kept. */
	ckpx_damaged_name(name);
	ckpx_parse_name(name, &parsed);
	assert_int_equal(parsed.type, CKPX_NAME_UNKNOWN);
}

static void
manifest_names(void **state)
{
	char		name[CKPX_NAME_MAX];
	CkpxName	parsed;

	assert_int_equal(ckpx_manifest_name(name, 7, 0x28, 0x1000028), 60);
	assert_string_equal(name, "meta_0000000000000007_0000000000000028"
						"_0000000001000028.json");
	ckpx_parse_name(name, &parsed);
	assert_int_equal(parsed.type, CKPX_NAME_MANIFEST);
	assert_int_equal(parsed.kind, CKPX_KIND_NONE);
	assert_true(parsed.sequence == 7);
	assert_true(parsed.start_lsn == 0x28);
	assert_true(parsed.end_lsn == 0x1000028);

	ckpx_temporary_name(name);
	ckpx_parse_name(name, &parsed);
	assert_int_equal(parsed.type, CKPX_NAME_TEMPORARY);
	assert_int_equal(parsed.kind, CKPX_KIND_NONE);
	assert_true(parsed.sequence == 7);
}

/* The longest names fit, with what is appended and the zero byte. */
static void
longest_names(void **state)
{
	char		name[CKPX_NAME_MAX];
	CkpxName	parsed;

	ckpx_object_name(name, CKPX_KIND_SEGMENT, PG_UINT32_MAX, PG_UINT32_MAX,
					 PG_UINT64_MAX, PG_UINT64_MAX, PG_UINT32_MAX);
	ckpx_damaged_name(name);
	assert_true(strlen(name) < CKPX_NAME_MAX);
	ckpx_parse_name(name, &parsed);
	assert_int_equal(parsed.type, CKPX_NAME_DAMAGED);
	assert_true(parsed.part == PG_UINT32_MAX);
	assert_true(parsed.end_lsn == PG_UINT64_MAX);
}

static void
random_round_trips(void **state)
{
	for (int i = 0; i < 20000; i++)
	{
		char		name[CKPX_NAME_MAX];
		CkpxName	in;
		CkpxName	out;
		int			length;

		memset(&in, 0, sizeof(in));
		in.start_lsn = any_number();
		in.end_lsn = any_number();
		if (i % 4 == 0)
		{
			in.type = CKPX_NAME_MANIFEST;
			in.sequence = any_number();
			length = ckpx_manifest_name(name, in.sequence, in.start_lsn,
										in.end_lsn);
		}
		else
		{
			in.type = CKPX_NAME_OBJECT;
			in.kind = (CkpxEntryKind) (CKPX_KIND_INCREMENTAL +
									   next_random() % 4);
			in.epoch = (uint32) any_number();
			in.timeline = (uint32) any_number();
			in.part = (uint32) any_number();
			length = ckpx_object_name(name, in.kind, in.epoch, in.timeline,
									  in.start_lsn, in.end_lsn, in.part);
		}
		assert_int_equal(length, strlen(name));
		if (next_random() % 2)
		{
			ckpx_temporary_name(name);
			in.type = CKPX_NAME_TEMPORARY;
		}
		else if (in.type == CKPX_NAME_OBJECT && next_random() % 2)
		{
			ckpx_damaged_name(name);
			in.type = CKPX_NAME_DAMAGED;
		}
		ckpx_parse_name(name, &out);
		assert_memory_equal(&in, &out, sizeof(in));
	}
}

/*
 * Change each byte of a good name to every other value, cut it everywhere,
 * insert a byte everywhere: what is still accepted must build the very same
 * text.
 */
static void
expect_canonical(const char *name)
{
	char		again[CKPX_NAME_MAX];
	CkpxName	parsed;

	ckpx_parse_name(name, &parsed);
	if (parsed.type == CKPX_NAME_UNKNOWN)
		return;
	if (parsed.type == CKPX_NAME_MANIFEST || parsed.kind == CKPX_KIND_NONE)
		ckpx_manifest_name(again, parsed.sequence, parsed.start_lsn,
						   parsed.end_lsn);
	else
		ckpx_object_name(again, parsed.kind, parsed.epoch, parsed.timeline,
						 parsed.start_lsn, parsed.end_lsn, parsed.part);
	if (parsed.type == CKPX_NAME_TEMPORARY)
		ckpx_temporary_name(again);
	else if (parsed.type == CKPX_NAME_DAMAGED)
		ckpx_damaged_name(again);
	assert_string_equal(name, again);
	assert_null(strchr(name, '/'));
}

static void
mutated_names(void **state)
{
	for (int form = 0; form < 6; form++)
	{
		char		name[CKPX_NAME_MAX];
		char		bad[CKPX_NAME_MAX + 8];
		int			length;

		if (form % 3 == 2)
			ckpx_manifest_name(name, 0xABCDEF, 0x28, 0x1000028);
		else
			ckpx_object_name(name, CKPX_KIND_BACKUP, 0xA, 1, 0x28,
							 0x1000028, form % 3 == 0 ? 0 : 105);
		if (form >= 3)
			ckpx_temporary_name(name);
		length = (int) strlen(name);

		for (int at = 0; at <= length; at++)
		{
			/* cut: only parts and ".tmp" may be missing */
			memcpy(bad, name, at);
			bad[at] = '\0';
			expect_canonical(bad);

			for (int c = 0; c < 256; c++)
			{
				memcpy(bad, name, length + 1);
				bad[at] = (char) c;
				bad[length + 1] = '\0';
				expect_canonical(bad);

				memcpy(bad, name, at);
				bad[at] = (char) c;
				memcpy(bad + at + 1, name + at, length - at + 1);
				expect_canonical(bad);
			}
		}
	}
}

#define GOOD "inc_00000001_00000002_0000000000000028_0000000001000028.ckpx"

static void
foreign_names(void **state)
{
	char		longer[4096];
	CkpxName	parsed;

	ckpx_parse_name(GOOD, &parsed);
	assert_int_equal(parsed.type, CKPX_NAME_OBJECT);

	expect_foreign("");
	expect_foreign(".");
	expect_foreign("..");
	expect_foreign("../x");
	expect_foreign("../" GOOD);
	expect_foreign("/" GOOD);
	expect_foreign(GOOD "/");
	expect_foreign(GOOD "/..");
	expect_foreign(GOOD " ");
	expect_foreign(GOOD "\n");
	expect_foreign(" " GOOD);
	expect_foreign(GOOD ".");
	expect_foreign(GOOD ".0");
	expect_foreign(GOOD ".01");
	expect_foreign(GOOD ".+1");
	expect_foreign(GOOD ".1 ");
	expect_foreign(GOOD ".1.2");
	expect_foreign(GOOD ".4294967296");
	expect_foreign(GOOD ".42949672950");
	expect_foreign(GOOD ".99999999999999999999999");
	expect_foreign(GOOD ".tmp.1");
	expect_foreign(GOOD ".tmp.tmp");
	expect_foreign(GOOD ".TMP");
	expect_foreign(GOOD "x");
	expect_foreign("inc_0000000a_00000002_0000000000000028_0000000001000028.ckpx");
	expect_foreign("inc_1_00000002_0000000000000028_0000000001000028.ckpx");
	expect_foreign("inc_000000001_00000002_0000000000000028_0000000001000028.ckpx");
	expect_foreign("inc_0x000001_00000002_0000000000000028_0000000001000028.ckpx");
	expect_foreign("INC_00000001_00000002_0000000000000028_0000000001000028.ckpx");
	expect_foreign("xyz_00000001_00000002_0000000000000028_0000000001000028.ckpx");
	expect_foreign("inc_00000001_00000002_0000000000000028_0000000001000028");
	expect_foreign("inc_00000001_00000002_0000000000000028.ckpx");
	expect_foreign("meta_0000000000000007_0000000000000028_0000000001000028.json.1");
	expect_foreign("meta_7_0000000000000028_0000000001000028.json");
	expect_foreign("meta_0000000000000007_0000000000000028_0000000001000028.ckpx");
	expect_foreign("meta_");
	expect_foreign("inc_");

	memset(longer, 'A', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	expect_foreign(longer);
	memcpy(longer, "inc_", 4);
	expect_foreign(longer);
	memcpy(longer, "meta_", 5);
	expect_foreign(longer);
	memcpy(longer, GOOD ".", sizeof(GOOD));
	memset(longer + sizeof(GOOD), '1', sizeof(longer) - sizeof(GOOD) - 1);
	expect_foreign(longer);
}

static void
folder_names(void **state)
{
	char		name[CKPX_NAME_MAX];
	uint64		system = 1;
	uint64		node = 2;

	assert_int_equal(ckpx_folder_name(name, UINT64CONST(0x65AB00000000000F),
									  0xBEEF), 33);
	assert_string_equal(name, "65AB00000000000F-000000000000BEEF");
	assert_true(ckpx_parse_folder_name(name, &system, &node));
	assert_true(system == UINT64CONST(0x65AB00000000000F));
	assert_true(node == 0xBEEF);

	assert_false(ckpx_parse_folder_name("", &system, &node));
	assert_false(ckpx_parse_folder_name("..", &system, &node));
	assert_false(ckpx_parse_folder_name("65AB00000000000F", &system, &node));
	assert_false(ckpx_parse_folder_name("65AB00000000000F-", &system, &node));
	assert_false(ckpx_parse_folder_name("65AB00000000000F-BEEF", &system,
										&node));
	assert_false(ckpx_parse_folder_name("65ab00000000000f-000000000000BEEF",
										&system, &node));
	assert_false(ckpx_parse_folder_name("65AB00000000000F-000000000000BEEF/",
										&system, &node));
	assert_false(ckpx_parse_folder_name("65AB00000000000F-000000000000BEEF0",
										&system, &node));
	/* untouched by refusals */
	assert_true(node == 0xBEEF);

	for (int i = 0; i < 1000; i++)
	{
		uint64		a = any_number();
		uint64		b = any_number();

		ckpx_folder_name(name, a, b);
		assert_true(ckpx_parse_folder_name(name, &system, &node));
		assert_true(system == a && node == b);
	}
}

static void
lsn_texts(void **state)
{
	char		text[CKPX_LSN_TEXT_MAX];
	char		expected[CKPX_LSN_TEXT_MAX];
	XLogRecPtr	lsn = 77;
	static const char *const bad[] = {
		"", "/", "0", "0/", "/0", "00/0", "0/00", "0/01", "0/a", "+1/0",
		" 1/0", "1/0 ", "1/0/0", "123456789/0", "0/123456789", "0x1/0",
		"-1/0", "1\\0"
	};

	ckpx_lsn_text(text, 0);
	assert_string_equal(text, "0/0");
	ckpx_lsn_text(text, PG_UINT64_MAX);
	assert_string_equal(text, "FFFFFFFF/FFFFFFFF");
	for (int i = 0; i < 10000; i++)
	{
		XLogRecPtr	in = any_number();

		snprintf(expected, sizeof(expected), "%X/%X", LSN_FORMAT_ARGS(in));
		assert_int_equal(ckpx_lsn_text(text, in), strlen(expected));
		assert_string_equal(text, expected);
		assert_true(ckpx_parse_lsn(text, &lsn));
		assert_true(lsn == in);
	}
	lsn = 77;
	for (int i = 0; i < lengthof(bad); i++)
	{
		if (ckpx_parse_lsn(bad[i], &lsn))
			fail_msg("accepted \"%s\"", bad[i]);
	}
	assert_true(lsn == 77);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(object_names),
		cmocka_unit_test(manifest_names),
		cmocka_unit_test(longest_names),
		cmocka_unit_test(random_round_trips),
		cmocka_unit_test(mutated_names),
		cmocka_unit_test(foreign_names),
		cmocka_unit_test(folder_names),
		cmocka_unit_test(lsn_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
