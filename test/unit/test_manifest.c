/*-------------------------------------------------------------------------
 *
 * test_manifest.c
 *		The metadata file: round trips, and every kind of damage.
 *
 *-------------------------------------------------------------------------
 */
#include "core/format/manifest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "test_manifests.h"

static void
round_trips(void **state)
{
	for (int i = 0; i < 300; i++)
	{
		CkpxManifest *in = any_manifest(next_random() % 40, next_random() % 9,
										next_random() % 9,
										next_random() % 9);
		CkpxManifest out;
		StringInfoData text;
		StringInfoData again;

		initStringInfo(&text);
		ckpx_manifest_encode(&text, in);
		if (decode_problem(text.data, text.len, &out) != NULL)
			fail_msg("%s:\n%s", decode_problem(text.data, text.len, &out),
					 text.data);
		assert_same(in, &out);

		initStringInfo(&again);
		ckpx_manifest_encode(&again, &out);
		assert_int_equal(text.len, again.len);
		assert_memory_equal(text.data, again.data, text.len);
		ckpx_manifest_free(&out);
		free_manifest(in);
		pfree(text.data);
		pfree(again.data);
	}
}

/* The text is appended: what stands before it is not in the checksum. */
static void
appended(void **state)
{
	CkpxManifest *in = any_manifest(3, 1, 1, 1);
	CkpxManifest out;
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfoString(&text, "something");
	ckpx_manifest_encode(&text, in);
	assert_null(decode_problem(text.data + 9, text.len - 9, &out));
	assert_same(in, &out);
	ckpx_manifest_free(&out);
	free_manifest(in);
	pfree(text.data);
}

static void
empty_and_extreme(void **state)
{
	CkpxManifest *in = any_manifest(1, 1, 1, 1);
	CkpxManifest out;
	StringInfoData text;
	CkpxEntry  *e = &in->entries[0];

	memset(in->gaps[0].reason, 0x01, CKPX_GAP_REASON_MAX - 1);
	memset(in->pins[0].name, '"', CKPX_PIN_NAME_MAX - 1);
	in->sequence = PG_UINT64_MAX;
	in->written_at = PG_INT64_MIN;
	in->identity.system_identifier = PG_UINT64_MAX;
	e->kind = CKPX_KIND_INCREMENTAL;
	e->range.epoch = in->epoch;
	e->range.timeline = PG_UINT32_MAX;
	e->range.start_lsn = PG_UINT64_MAX - 1;
	e->range.end_lsn = PG_UINT64_MAX;
	e->range.last_record.start = e->range.last_change_lsn = PG_UINT64_MAX;
	e->range.last_record.length = e->range.last_record.crc = PG_UINT32_MAX;
	e->range.last_record.run_start = PG_UINT64_MAX;
	e->range.last_record.run_hash = PG_UINT32_MAX;
	e->nrelations = e->version = e->nparts = PG_UINT32_MAX;
	e->open_xacts = e->undurable = PG_UINT32_MAX;
	e->nblocks = e->range.nxacts = e->range.wal_bytes = e->size_bytes =
		PG_UINT64_MAX;
	memset(e->range.custom_rmgrs, 0xFF, CKPX_RMGR_BITMAP_BYTES);
	e->range.created_at = e->finished_at = PG_INT64_MIN;
	e->pending_ms = e->write_ms = PG_INT64_MIN;

	initStringInfo(&text);
	ckpx_manifest_encode(&text, in);
	assert_null(decode_problem(text.data, text.len, &out));
	assert_same(in, &out);
	ckpx_manifest_free(&out);

	/* a full list of the longest entries must still be readable */
	{
		const char *start = strstr(text.data, "\n[\"incremental\"") + 1;
		Size		line = strchr(start, '\n') + 1 - start;

		assert_true((line + 16) * (uint64) CKPX_MANIFEST_MAX_ENTRIES <
					CKPX_MANIFEST_MAX_BYTES);
	}
	free_manifest(in);

	in = any_manifest(0, 0, 0, 0);
	resetStringInfo(&text);
	ckpx_manifest_encode(&text, in);
	assert_null(decode_problem(text.data, text.len, &out));
	assert_same(in, &out);
	assert_null(out.entries);
	assert_null(out.gaps);
	assert_null(out.pins);
	assert_null(out.backups);
	ckpx_manifest_free(&out);
	free_manifest(in);
	pfree(text.data);
}

static void
unfinished_left_out(void **state)
{
	CkpxManifest *in = any_manifest(9, 0, 0, 0);
	CkpxManifest out;
	StringInfoData text;

	for (int i = 0; i < 9; i++)
	{
		in->entries[i].range.nxacts = i;
		if (i % 2 == 0)
			in->entries[i].state = i % 4 ? CKPX_ENTRY_PENDING :
				CKPX_ENTRY_RUNNING;
	}
	initStringInfo(&text);
	ckpx_manifest_encode(&text, in);
	assert_null(decode_problem(text.data, text.len, &out));
	assert_int_equal(out.nentries, 4);
	for (int i = 0; i < 4; i++)
	{
		assert_true(out.entries[i].range.nxacts == 2 * i + 1);
		assert_int_equal(out.entries[i].state, CKPX_ENTRY_FINISHED);
	}
	ckpx_manifest_free(&out);
	free_manifest(in);
	pfree(text.data);
}

typedef struct Pieces
{
	StringInfoData text;
	Size		last;			/* length of the piece before */
} Pieces;

static void
gather_piece(void *arg, const char *bytes, Size length)
{
	Pieces	   *pieces = arg;

	/* only the last one is short */
	assert_true(length <= CKPX_MANIFEST_PIECE_BYTES);
	assert_true(pieces->last == 0 ||
				pieces->last > CKPX_MANIFEST_PIECE_BYTES - 1024);
	pieces->last = length;
	appendBinaryStringInfo(&pieces->text, bytes, (int) length);
}

/* A writer that gets its entries bit by bit makes the same of them. */
static void
in_pieces(void **state)
{
	CkpxManifest *in = any_manifest(5000, 20, 20, 20);
	CkpxManifest out;
	StringInfoData whole;
	Pieces		pieces = {0};
	CkpxManifestWriter *writer;

	initStringInfo(&whole);
	ckpx_manifest_encode(&whole, in);
	assert_true(whole.len > 3 * CKPX_MANIFEST_PIECE_BYTES);

	initStringInfo(&pieces.text);
	writer = ckpx_manifest_begin(in, gather_piece, &pieces);
	for (uint32 i = 0; i < in->nentries;)
	{
		uint32		n = (uint32) (next_random() % 100);

		n = Min(n, in->nentries - i);
		ckpx_manifest_add(writer, &in->entries[i], n);
		i += n;
	}
	ckpx_manifest_end(writer);

	assert_int_equal(pieces.text.len, whole.len);
	assert_memory_equal(pieces.text.data, whole.data, whole.len);
	assert_null(decode_problem(pieces.text.data, pieces.text.len, &out));
	assert_same(in, &out);
	ckpx_manifest_free(&out);
	free_manifest(in);
	pfree(whole.data);
	pfree(pieces.text.data);
}

/* Numbers are what snprintf() makes of them. */
static void
check_number(uint64 number)
{
	CkpxManifest *in = any_manifest(0, 0, 0, 0);
	StringInfoData text;
	char		expected[64];

	in->sequence = number;
	in->written_at = (int64) number;
	in->epoch_start = number;
	initStringInfo(&text);
	ckpx_manifest_encode(&text, in);
	snprintf(expected, sizeof(expected), "\"sequence\": " UINT64_FORMAT ",\n",
			 number);
	assert_non_null(strstr(text.data, expected));
	snprintf(expected, sizeof(expected), "\"written_at\": " INT64_FORMAT ",\n",
			 (int64) number);
	assert_non_null(strstr(text.data, expected));
	snprintf(expected, sizeof(expected), "\"epoch_start\": \"%X/%X\",\n",
			 LSN_FORMAT_ARGS(number));
	assert_non_null(strstr(text.data, expected));
	free_manifest(in);
	pfree(text.data);
}

static void
numbers(void **state)
{
	for (uint64 power = 1; power <= UINT64CONST(10000000000000000000);
		 power *= 10)
	{
		for (uint64 digit = 1; digit <= 9; digit++)
		{
			check_number(power * digit - 1);
			check_number(power * digit);
			check_number(power * digit + 1);
		}
		if (power == UINT64CONST(10000000000000000000))
			break;
	}
	for (int bit = 0; bit < 64; bit++)
	{
		check_number(UINT64CONST(1) << bit);
		check_number((UINT64CONST(1) << bit) - 1);
	}
	check_number(PG_UINT64_MAX);
	for (int i = 0; i < 2000; i++)
		check_number(any_number());
}

#define NAMES_OF_ENTRIES \
"[\"kind\",\"epoch\",\"timeline\",\"start_lsn\",\"end_lsn\"," \
"\"last_record_start\",\"last_record_length\",\"last_record_crc\"," \
"\"run_start\",\"run_hash\",\"nrelations\",\"nblocks\",\"nxacts\"," \
"\"wal_bytes\",\"last_change_lsn\",\"custom_rmgrs\",\"version\",\"nparts\"," \
"\"size_bytes\",\"open_xacts\",\"undurable\",\"created_at\"," \
"\"finished_at\",\"pending_ms\",\"write_ms\",\"post_pending\"]"

/* The layout is part of the format: this very text. */
static const char fixed_text[] =
FIXED_HEAD("3")
"\"entries\": [\n"
NAMES_OF_ENTRIES ",\n"
"[\"incremental\",2,1,\"0/1000028\",\"0/2000028\",\"0/1FFFFF0\",56,305419896,"
"\"0/1FFF000\",2271560481,3,17,5,16777216,\"0/1FFFF00\","
"\"0100000000000000000000000000000000000000000000000000000000000080\","
"1,1,900,0,0,749999999000000,750000000000000,12,3,true]\n"
"],\n"
"\"gaps\": [\n"
"[\"epoch\",\"timeline\",\"from_lsn\",\"to_lsn\",\"detected_at\",\"damaged\","
"\"reason\"],\n"
"[2,1,\"0/0\",\"0/1000028\",749999999000000,false,"
"\"tracking \\\"began\\\"\\u0009\"]\n"
"],\n"
"\"pins\": [\n"
"[\"name\",\"lsn\",\"epoch\",\"global_lsn\",\"created_at\",\"expires_at\"],\n"
"[\"nightly\",\"0/1000028\",2,\"0/2000028\",749999999000000,0]\n"
"],\n"
"\"backups\": [\n"
"[\"id\",\"parent\",\"timeline\",\"start_lsn\",\"stop_lsn\",\"bytes\","
"\"finished_at\"],\n"
"[\"0123456789abcdef0123456789abcdef\",\"\",1,\"0/1000028\",\"0/1000100\","
"123456789,750000000000000]\n"
"],\n";

static char *
fixed_manifest(Size *length)
{
	return with_checksum(fixed_text, length);
}

static void
fixed_layout(void **state)
{
	Size		length;
	char	   *text = fixed_manifest(&length);
	CkpxManifest m;
	StringInfoData again;

	assert_null(decode_problem(text, length, &m));
	assert_fixed(&m);

	initStringInfo(&again);
	ckpx_manifest_encode(&again, &m);
	assert_string_equal(again.data, text);
	pfree(again.data);
	pfree(text);
	ckpx_manifest_free(&m);
}

/* FORMAT.md's formula, worked out by hand. */
static void
fixed_run_hash(void **state)
{
	assert_true(ckpx_run_hash(0x9ABCDEF0, 0x12345678) == 0x1CEE1D1D);
}

static void
damage(void **state)
{
	Size		length;
	char	   *text = fixed_manifest(&length);

	truncate_anywhere(text, length);
	flip_every_bit(text, length);
	damage_every_byte(fixed_text);
	pfree(text);
}

static void
trailing_bytes(void **state)
{
	Size		length;
	char	   *text = fixed_manifest(&length);
	char		longer[sizeof(fixed_text) + 128];

	memcpy(longer, text, length);
	longer[length] = '\n';
	expect_problem(longer, length + 1,
				   "manifest does not end with its checksum line");
	memcpy(longer + length, text, 32);
	expect_problem(longer, length + 32,
				   "manifest does not end with its checksum line");
	pfree(text);
}

static const char *const layout = "manifest does not have the layout of its version";
static const char *const value = "manifest has a value that its field does not allow";

static void
layout_checked(void **state)
{
	Size		length;
	char	   *text = fixed_manifest(&length);

	/* fields of the file and lists: missing, unknown, twice, elsewhere */
	expect_edit(text, "\"sequence\": 7,\n", "", layout);
	expect_edit(text, "\"sequence\": 7,\n", "\"sequence\":7,\n", layout);
	expect_edit(text, "\"sequence\": 7,\n", "\"sequence\": 7,\n\n", layout);
	expect_edit(text, "\"sequence\": 7,\n",
				"\"sequence\": 7,\n\"sequence\": 7,\n", layout);
	expect_edit(text, "\"sequence\": 7,\n", "\"x\": 7,\n", layout);
	expect_edit(text, "\"sequence\": 7,\n", "\"sequence\": 7\n", value);
	expect_edit(text, "\"pins\": [", "\"gaps\": [", layout);
	expect_edit(text, "],\n\"gaps\"", "]\n\"gaps\"", layout);
	expect_edit(text, "\"entries\": [\n", "\"entries\": [\n\n", layout);
	expect_edit(text, "\n],\n\"gaps\"", "],\n\"gaps\"", layout);
	expect_edit(text, "750000000000000]\n],\n", "750000000000000]\n],\n\n",
				layout);
	expect_edit(text, "750000000000000]\n],\n",
				"750000000000000]\n],\n\"x\": [\n],\n", layout);

	/* names */
	expect_edit(text, "\"nxacts\",", "", layout);
	expect_edit(text, "\"nxacts\",", "\"NXACTS\",", layout);
	expect_edit(text, "\"nxacts\",", "\"nxacts\",\"x\",", layout);
	expect_edit(text, "\"nblocks\",\"nxacts\"", "\"nxacts\",\"nblocks\"",
				layout);
	expect_edit(text, "\"post_pending\"]", "\"post_pending\",\"x\"]", layout);
	expect_edit(text, NAMES_OF_ENTRIES ",\n", "", layout);
	expect_edit(text, NAMES_OF_ENTRIES ",\n", NAMES_OF_ENTRIES "\n", layout);

	/* values of an item */
	expect_edit(text, ",12,3,true]", ",12,true]", value);
	expect_edit(text, ",12,3,true]", ",12,3]", layout);
	expect_edit(text, ",12,3,true]", ",12,3,true,1]", layout);
	expect_edit(text, ",12,3,true]", ",12, 3,true]", value);
	expect_edit(text, ",12,3,true]", ",12,3,true],", layout);
	expect_edit(text, ",12,3,true]\n", ",12,3,true]\n\n", layout);
	expect_edit(text, ",12,3,true]\n", ",12,3,true],\n[]\n", value);
	expect_edit(text, ",12,3,true]\n", ",12,3,true],\n\n", layout);
	expect_edit(text, ",12,3,true]", ",12,3,[true]]", value);
	pfree(text);
}

static void
values_checked(void **state)
{
	Size		length;
	char	   *text = fixed_manifest(&length);
	const char *rmgrs = "\"0100000000000000000000000000000000000000000000000000000000000080\"";

	check_values(text);

	/* numbers */
	expect_edit(text, "\"sequence\": 7", "\"sequence\": ", value);
	expect_edit(text, "\"sequence\": 7", "\"sequence\": []", value);
	expect_edit(text, "\"sequence\": 7", "\"sequence\": {}", value);
	expect_edit(text, "\"sequence\": 7", "\"sequence\": 07", value);
	expect_edit(text, "\"sequence\": 7", "\"sequence\": +7", value);
	expect_edit(text, ",12,3,", ",-,3,", value);
	expect_edit(text, ",12,3,", ",,3,", value);
	expect_edit(text, ",true]", ",TRUE]", value);
	expect_edit(text, ",true]", ",1]", value);

	/* strings */
	expect_edit(text, rmgrs, "\"\"", NULL);
	expect_edit(text, rmgrs, "\"01\"", NULL);
	expect_edit(text, rmgrs, "\"0001\"", NULL);
	expect_edit(text, rmgrs, "\"0100\"", value);
	expect_edit(text, rmgrs, "\"00\"", value);
	expect_edit(text, rmgrs, "\"0\"", value);
	expect_edit(text, rmgrs, "\"010\"", value);
	expect_edit(text, rmgrs, "\"0g\"", value);
	expect_edit(text, "nightly", "n\xC3\xA9\\\"\\\\\\u001B", NULL);
	expect_edit(text, "nightly", "n\\u00E9", value);
	expect_edit(text, "nightly", "n\\u007F", NULL);
	expect_edit(text, "nightly", "n\x7F", value);
	expect_edit(text, "nightly", "n\\u0069ghtly", value);
	expect_edit(text, "nightly", "n\\u0020", value);
	expect_edit(text, "nightly", "n\\u0022", value);
	expect_edit(text, "nightly", "n\\u0000", value);
	expect_edit(text, "nightly", "n\\u001b", value);
	expect_edit(text, "nightly", "n\\u00", value);
	expect_edit(text, "nightly", "n\\uD83D\\uDE00", value);
	expect_edit(text, "nightly", "n\\n", value);
	expect_edit(text, "nightly", "n\n", value);
	expect_edit(text, "\"nightly\"", "\"nightly", layout);
	expect_edit(text, "\"nightly\"", "nightly", value);
	pfree(text);
}

static void
meaning_checked(void **state)
{
	Size		length;
	char	   *text = fixed_manifest(&length);
	const char *epoch = "manifest has an entry of an epoch that did not begin";
	const char *object = "manifest has an entry without an object";
	const char *id = "manifest has a backup with an impossible id";

	expect_edit(text, "\"0/1000028\",\"0/2000028\"",
				"\"0/1000028\",\"0/1000028\"",
				"manifest has an entry whose range is empty");
	expect_edit(text, "\"incremental\",2,", "\"incremental\",3,", epoch);
	expect_edit(text, "\"incremental\",2,", "\"incremental\",0,", epoch);
	expect_edit(text, "\"incremental\",2,1,", "\"incremental\",2,0,",
				"manifest has an entry without a timeline");
	expect_edit(text, ",1,1,900,", ",1,0,900,", object);
	expect_edit(text, ",1,1,900,", ",0,1,900,", object);
	expect_edit(text, "[2,1,\"0/0\"", "[3,1,\"0/0\"",
				"manifest has a gap of an epoch that did not begin");
	expect_edit(text, ",false,\"tracking", ",true,\"tracking", NULL);
	expect_edit(text, "\"0/0\",\"0/1000028\"", "\"0/0\",\"0/0\"", NULL);
	expect_edit(text, "\"0/0\",\"0/1000028\",749999999000000,false",
				"\"0/0\",\"0/0\",0,true",
				"manifest has a damaged range that is empty");
	expect_edit(text, "def\",\"\"",
				"def\",\"00000000000000000000000000000000\"", NULL);
	expect_edit(text, "def\",\"\"", "def\",\"0\"", id);
	pfree(text);
}

static void
versions(void **state)
{
	Size		length;
	char	   *text = fixed_manifest(&length);
	const char *begin = "manifest does not begin as one";
	const char *newer = "manifest is of a newer version than this one can read";
	const char *v = "{ \"ckpx_manifest_version\": 3,";

	/* The text of one version under the number of another. */
	expect_edit(text, v, "{ \"ckpx_manifest_version\": 2,",
				"manifest has a list where none belongs");
	expect_edit(text, v, "{ \"ckpx_manifest_version\": 1,",
				"manifest has a list where none belongs");
	expect_edit(text, v, "{ \"ckpx_manifest_version\": 4, \"new\": [[[[1]]]],",
				newer);
	expect_edit(text, v, "{ \"ckpx_manifest_version\": 4294967295,", newer);
	expect_edit(text, v, "{ \"ckpx_manifest_version\": 0,", begin);
	expect_edit(text, v, "{ \"ckpx_manifest_version\": 03,", begin);
	expect_edit(text, v, "{ \"ckpx_manifest_version\": 4294967296,", begin);
	expect_edit(text, v, "{ \"ckpx_manifest_version\": 99999999999,", begin);
	expect_edit(text, v, "{ \"ckpx_manifest_version\": -1,", begin);
	expect_edit(text, v, "{ \"ckpx_manifest_version\": ,", begin);
	expect_edit(text, v, "{ \"PostgreSQL-Backup-Manifest-Version\": 1,", begin);
	expect_edit(text, v, "[ \"ckpx_manifest_version\": 1,", begin);
	expect_problem("", 0, "manifest is too short");
	pfree(text);
}

static void
long_lists(void **state)
{
	CkpxManifest *in = any_manifest(20000, CKPX_MAX_GAPS,
									CKPX_MANIFEST_MAX_PINS,
									CKPX_MAX_BACKUPS);
	CkpxManifest out;
	StringInfoData text;

	initStringInfo(&text);
	ckpx_manifest_encode(&text, in);
	assert_null(decode_problem(text.data, text.len, &out));
	assert_same(in, &out);
	ckpx_manifest_free(&out);
	free_manifest(in);

	in = any_manifest(0, CKPX_MAX_GAPS + 1, 0, 0);
	resetStringInfo(&text);
	ckpx_manifest_encode(&text, in);
	expect_problem(text.data, text.len, "manifest has a list that is too long");
	free_manifest(in);

	in = any_manifest(0, 0, CKPX_MANIFEST_MAX_PINS + 1, 0);
	resetStringInfo(&text);
	ckpx_manifest_encode(&text, in);
	expect_problem(text.data, text.len, "manifest has a list that is too long");
	free_manifest(in);

	in = any_manifest(0, 0, 0, CKPX_MAX_BACKUPS + 1);
	resetStringInfo(&text);
	ckpx_manifest_encode(&text, in);
	expect_problem(text.data, text.len, "manifest has a list that is too long");
	free_manifest(in);
	pfree(text.data);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trips),
		cmocka_unit_test(appended),
		cmocka_unit_test(empty_and_extreme),
		cmocka_unit_test(unfinished_left_out),
		cmocka_unit_test(in_pieces),
		cmocka_unit_test(numbers),
		cmocka_unit_test(fixed_layout),
		cmocka_unit_test(fixed_run_hash),
		cmocka_unit_test(damage),
		cmocka_unit_test(trailing_bytes),
		cmocka_unit_test(layout_checked),
		cmocka_unit_test(values_checked),
		cmocka_unit_test(meaning_checked),
		cmocka_unit_test(versions),
		cmocka_unit_test(long_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
