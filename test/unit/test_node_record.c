/*-------------------------------------------------------------------------
 *
 * test_node_record.c
 *		The node file's text, and what makes a directory another one.
 *
 *-------------------------------------------------------------------------
 */
#include "core/format/node_record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static const CkpxNodeRecord usual = {
	.node_id = UINT64CONST(0xDEADBEEF01234567),
	.inode = 256,
	.birth_ns = INT64CONST(1795770851123456789),
	.device = 0xFE00
};

static void
test_text(void **arg)
{
	char		text[CKPX_NODE_RECORD_MAX];
	int			length = ckpx_node_record_encode(text, &usual);

	assert_int_equal(length, strlen(text));
	assert_string_equal(text,
						"ckpx node 1\n"
						"id DEADBEEF01234567\n"
						"inode 0000000000000100\n"
						"birth 18EBDC131F36EB15\n"
						"device 000000000000FE00\n"
						"crc D2499C38\n");
}

static void
test_round_trip(void **arg)
{
	const CkpxNodeRecord records[] = {
		usual,
		{1, 0, 0, 0},
		{PG_UINT64_MAX, PG_UINT64_MAX, PG_INT64_MIN, PG_UINT64_MAX},
		{1, 1, -1, 1}
	};

	for (int i = 0; i < lengthof(records); i++)
	{
		char		text[CKPX_NODE_RECORD_MAX];
		CkpxNodeRecord record;

		assert_true(ckpx_node_record_encode(text, &records[i]) <
					CKPX_NODE_RECORD_MAX);
		assert_true(ckpx_node_record_decode(&record, text));
		assert_memory_equal(&record, &records[i], sizeof(record));
	}
}

static void
test_damage(void **arg)
{
	char		text[CKPX_NODE_RECORD_MAX];
	CkpxNodeRecord record = usual;
	int			length = ckpx_node_record_encode(text, &usual);

	for (int i = 0; i < length; i++)
	{
		char		kept = text[i];

		text[i] ^= 1;
		assert_false(ckpx_node_record_decode(&record, text));
		text[i] = '\0';
		assert_false(ckpx_node_record_decode(&record, text));
		text[i] = kept;
	}
	assert_true(ckpx_node_record_decode(&record, text));
	strcat(text, "\n");
	assert_false(ckpx_node_record_decode(&record, text));

	record.node_id = 0;
	(void) ckpx_node_record_encode(text, &record);
	assert_false(ckpx_node_record_decode(&record, text));
}

static bool
fits(uint64 inode, int64 birth_ns, uint64 device)
{
	CkpxNodeRecord seen = {0, inode, birth_ns, device};

	return ckpx_node_record_fits(&usual, &seen);
}

static void
test_fits(void **arg)
{
	CkpxNodeRecord unknown = usual;
	CkpxNodeRecord seen = usual;

	assert_true(fits(usual.inode, usual.birth_ns, usual.device));

	/* found on another device, as after a boot */
	assert_true(fits(usual.inode, usual.birth_ns, usual.device + 1));

	/* a copy: beside it, on another file system, as the root of one */
	assert_false(fits(usual.inode + 1, usual.birth_ns + 1, usual.device));
	assert_false(fits(usual.inode + 1, usual.birth_ns, usual.device + 1));
	assert_false(fits(usual.inode, usual.birth_ns + 1, usual.device + 1));
	assert_false(fits(usual.inode, usual.birth_ns + 1, usual.device));

	/* no time of birth, now, then, or both */
	assert_true(fits(usual.inode, 0, usual.device));
	assert_true(fits(usual.inode, 0, usual.device + 1));
	assert_false(fits(usual.inode + 1, 0, usual.device));
	unknown.birth_ns = 0;
	assert_true(ckpx_node_record_fits(&unknown, &seen));
	seen.birth_ns = 0;
	assert_true(ckpx_node_record_fits(&unknown, &seen));
	seen.inode++;
	assert_false(ckpx_node_record_fits(&unknown, &seen));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
