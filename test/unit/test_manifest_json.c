/*-------------------------------------------------------------------------
 *
 * test_manifest_json.c
 *		Manifests of versions 1 and 2: what writers of them made, and every
 *		kind of damage.
 *
 *-------------------------------------------------------------------------
 */
#include "core/format/manifest.h"
#include "core/format/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "test_manifests.h"

/* As a writer of version 2 made it. */
static const char fixed_text[] =
FIXED_HEAD("2")
"\"entries\": [\n"
"{ \"kind\": \"incremental\", \"epoch\": 2, \"timeline\": 1, "
"\"start_lsn\": \"0/1000028\", \"end_lsn\": \"0/2000028\", "
"\"last_record_start\": \"0/1FFFFF0\", \"last_record_length\": 56, "
"\"last_record_crc\": 305419896, \"run_start\": \"0/1FFF000\", "
"\"run_hash\": 2271560481, \"nrelations\": 3, \"nblocks\": 17, "
"\"nxacts\": 5, \"wal_bytes\": 16777216, "
"\"last_change_lsn\": \"0/1FFFF00\", \"custom_rmgrs\": "
"\"0100000000000000000000000000000000000000000000000000000000000080\", "
"\"version\": 1, \"nparts\": 1, \"size_bytes\": 900, \"open_xacts\": 0, "
"\"undurable\": 0, \"truncate_lsn\": \"0/1FFFFF0\", "
"\"created_at\": 749999999000000, \"finished_at\": 750000000000000, "
"\"pending_ms\": 12, \"write_ms\": 3, \"post_pending\": true }\n"
"],\n"
"\"gaps\": [\n"
"{ \"epoch\": 2, \"timeline\": 1, \"from_lsn\": \"0/0\", "
"\"to_lsn\": \"0/1000028\", \"detected_at\": 749999999000000, "
"\"damaged\": false, \"reason\": \"tracking \\\"began\\\"\\u0009\" }\n"
"],\n"
"\"pins\": [\n"
"{ \"name\": \"nightly\", \"lsn\": \"0/1000028\", "
"\"epoch\": 2, \"global_lsn\": \"0/2000028\", "
"\"created_at\": 749999999000000, \"expires_at\": 0 }\n"
"],\n"
"\"backups\": [\n"
"{ \"id\": \"0123456789abcdef0123456789abcdef\", "
"\"parent\": \"\", \"timeline\": 1, \"start_lsn\": \"0/1000028\", "
"\"stop_lsn\": \"0/1000100\", \"bytes\": 123456789, "
"\"finished_at\": 750000000000000 }\n"
"],\n";

static void
append_lsn(StringInfo text, const char *name, XLogRecPtr lsn)
{
	appendStringInfo(text, ", \"%s\": \"%X/%X\"", name,
					 LSN_FORMAT_ARGS(lsn));
}

static void
append_string(StringInfo text, const char *name, const char *value)
{
	appendStringInfo(text, "\"%s\": \"", name);
	for (; *value != '\0'; value++)
	{
		unsigned char c = (unsigned char) *value;

		if (c == '"' || c == '\\')
			appendStringInfo(text, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			appendStringInfo(text, "\\u%04X", c);
		else
			appendStringInfoChar(text, (char) c);
	}
	appendStringInfoChar(text, '"');
}

static void
append_entry(StringInfo text, const CkpxEntry *e)
{
	static const char *const kinds[] = {
		"none", "incremental", "global", "backup", "segment"
	};
	const CkpxRecordMark *last = &e->range.last_record;

	appendStringInfo(text, "{ \"kind\": \"%s\", \"epoch\": %u, \"timeline\": %u",
					 kinds[e->kind], e->range.epoch, e->range.timeline);
	append_lsn(text, "start_lsn", e->range.start_lsn);
	append_lsn(text, "end_lsn", e->range.end_lsn);
	append_lsn(text, "last_record_start", last->start);
	appendStringInfo(text, ", \"last_record_length\": %u, \"last_record_crc\": %u",
					 last->length, last->crc);
	append_lsn(text, "run_start", last->run_start);
	appendStringInfo(text, ", \"run_hash\": %u, \"nrelations\": %u, \"nblocks\": "
					 UINT64_FORMAT ", \"nxacts\": " UINT64_FORMAT
					 ", \"wal_bytes\": " UINT64_FORMAT,
					 last->run_hash, e->nrelations, e->nblocks,
					 e->range.nxacts, e->range.wal_bytes);
	append_lsn(text, "last_change_lsn", e->range.last_change_lsn);
	appendStringInfoString(text, ", \"custom_rmgrs\": \"");
	for (int i = 0; i < CKPX_RMGR_BITMAP_BYTES; i++)
		appendStringInfo(text, "%02X", e->range.custom_rmgrs[i]);
	appendStringInfo(text, "\", \"version\": %u, \"nparts\": %u, \"size_bytes\": "
					 UINT64_FORMAT ", \"open_xacts\": %u, \"undurable\": %u",
					 e->version, e->nparts, e->size_bytes, e->open_xacts,
					 e->undurable);
	append_lsn(text, "truncate_lsn", last->start);
	appendStringInfo(text, ", \"created_at\": " INT64_FORMAT ", \"finished_at\": "
					 INT64_FORMAT ", \"pending_ms\": " INT64_FORMAT
					 ", \"write_ms\": " INT64_FORMAT ", \"post_pending\": %s }",
					 e->range.created_at, e->finished_at, e->pending_ms,
					 e->write_ms, e->post_pending ? "true" : "false");
}

static void
append_gap(StringInfo text, const CkpxGap *gap)
{
	appendStringInfo(text, "{ \"epoch\": %u, \"timeline\": %u", gap->epoch,
					 gap->timeline);
	append_lsn(text, "from_lsn", gap->from_lsn);
	append_lsn(text, "to_lsn", gap->to_lsn);
	appendStringInfo(text, ", \"detected_at\": " INT64_FORMAT
					 ", \"damaged\": %s, ", gap->detected_at,
					 gap->damaged ? "true" : "false");
	append_string(text, "reason", gap->reason);
	appendStringInfoString(text, " }");
}

static void
append_pin(StringInfo text, const CkpxPin *pin)
{
	appendStringInfoString(text, "{ ");
	append_string(text, "name", pin->name);
	append_lsn(text, "lsn", pin->lsn);
	appendStringInfo(text, ", \"epoch\": %u", pin->epoch);
	append_lsn(text, "global_lsn", pin->global_lsn);
	appendStringInfo(text, ", \"created_at\": " INT64_FORMAT
					 ", \"expires_at\": " INT64_FORMAT " }", pin->created_at,
					 pin->expires_at);
}

static void
append_backup(StringInfo text, const CkpxBackupRecord *backup)
{
	appendStringInfo(text, "{ \"id\": \"%s\", \"parent\": \"%s\", \"timeline\": %u",
					 backup->id, backup->parent, backup->timeline);
	append_lsn(text, "start_lsn", backup->start_lsn);
	append_lsn(text, "stop_lsn", backup->stop_lsn);
	appendStringInfo(text, ", \"bytes\": " UINT64_FORMAT ", \"finished_at\": "
					 INT64_FORMAT " }", backup->bytes, backup->finished_at);
}

#define APPEND_LIST(text, name, count, append, items) \
	do { \
		appendStringInfoString(text, "\"" name "\": [\n"); \
		for (uint32 i_ = 0; i_ < (count); i_++) \
		{ \
			append(text, &(items)[i_]); \
			appendStringInfoString(text, i_ + 1 < (count) ? ",\n" : "\n"); \
		} \
		appendStringInfoString(text, "],\n"); \
	} while (0)

/* The text that a writer of an old version made of 'm'. */
static char *
old_text(const CkpxManifest *m, uint32 version, Size *length)
{
	StringInfoData text;
	char	   *whole;

	initStringInfo(&text);
	appendStringInfo(&text, "{ \"ckpx_manifest_version\": %u,\n\"sequence\": "
					 UINT64_FORMAT ",\n\"written_at\": " INT64_FORMAT
					 ",\n\"system_identifier\": \"" UINT64_FORMAT
					 "\",\n\"node_id\": \"%08X%08X\",\n", version, m->sequence,
					 m->written_at, m->identity.system_identifier,
					 LSN_FORMAT_ARGS(m->identity.node_id));
	appendStringInfo(&text, "\"pg_major\": %u,\n\"block_size\": %u,\n"
					 "\"segment_blocks\": %u,\n\"wal_segment_size\": %u,\n"
					 "\"checksum_version\": %u,\n\"epoch\": %u,\n"
					 "\"timeline\": %u,\n\"epoch_start\": \"%X/%X\",\n"
					 "\"known_xid\": " UINT64_FORMAT
					 ",\n\"global_version_interval_s\": %u,\n",
					 m->identity.pg_major, m->identity.block_size,
					 m->identity.segment_blocks, m->identity.wal_segment_size,
					 m->identity.checksum_version, m->epoch, m->timeline,
					 LSN_FORMAT_ARGS(m->epoch_start), m->known_xid,
					 m->global_version_interval_s);
	APPEND_LIST(&text, "entries", m->nentries, append_entry, m->entries);
	APPEND_LIST(&text, "gaps", m->ngaps, append_gap, m->gaps);
	APPEND_LIST(&text, "pins", m->npins, append_pin, m->pins);
	if (version > 1)
		APPEND_LIST(&text, "backups", m->nbackups, append_backup, m->backups);
	whole = with_checksum(text.data, length);
	pfree(text.data);
	return whole;
}

static void
old_texts_are_read(void **state)
{
	for (int i = 0; i < 300; i++)
	{
		uint32		version = 1 + i % 2;
		CkpxManifest *in = any_manifest(next_random() % 40, next_random() % 9,
										next_random() % 9,
										version == 1 ? 0 : next_random() % 9);
		CkpxManifest out;
		Size		length;
		char	   *text = old_text(in, version, &length);
		const char *problem = decode_problem(text, length, &out);

		if (problem != NULL)
			fail_msg("%s:\n%s", problem, text);
		in->version = version;
		assert_same(in, &out);
		ckpx_manifest_free(&out);
		free_manifest(in);
		pfree(text);
	}
}

static void
fixed_is_read(void **state)
{
	Size		length;
	char	   *text = with_checksum(fixed_text, &length);
	CkpxManifest m;
	char	   *again;

	assert_null(decode_problem(text, length, &m));
	assert_int_equal(m.version, 2);
	assert_fixed(&m);

	/* so what old_text() makes is what was written then */
	again = old_text(&m, 2, &length);
	assert_string_equal(again, text);
	ckpx_manifest_free(&m);
	pfree(text);
	pfree(again);
}

static void
damage(void **state)
{
	Size		length;
	char	   *text = with_checksum(fixed_text, &length);

	truncate_anywhere(text, length);
	flip_every_bit(text, length);
	damage_every_byte(fixed_text);
	pfree(text);
}

static void
fields_checked(void **state)
{
	Size		length;
	char	   *text = with_checksum(fixed_text, &length);
	const char *value = "manifest has a value that its field does not allow";
	const char *lacks = "manifest lacks a field";
	const char *item = "manifest has a list item that lacks a field";
	const char *twice = "manifest has a field twice";
	const char *unknown = "manifest has an unknown field";
	const char *json = "manifest is not valid JSON";
	const char *placed = "manifest has a value where none belongs";
	const char *escape = "manifest has an escape that it must not have";
	const char *id = "manifest has a backup with an impossible id";

	check_values(text);
	expect_edit(text, "\"sequence\": 7,\n", "\"sequence\":7 , ", NULL);

	/* missing, unknown, twice */
	expect_edit(text, "\"sequence\": 7,\n", "", lacks);
	expect_edit(text, "\"pins\": [", "\"gaps\": [", twice);
	expect_edit(text, "\"nxacts\": 5, ", "", item);
	expect_edit(text, "\"expires_at\": 0 }", "\"created_at\": 0 }", twice);
	expect_edit(text, "\"sequence\": 7,", "\"sequence\": 7, \"sequence\": 7,",
				twice);
	expect_edit(text, "\"sequence\": 7,", "\"sequence\": 7, \"x\": 7,",
				unknown);
	expect_edit(text, "\"nxacts\": 5", "\"nxacts\": 5, \"x\": 1", unknown);
	expect_edit(text, "\"nxacts\"", "\"NXACTS\"", unknown);

	/* numbers and strings */
	expect_edit(text, "\"sequence\": 7", "\"sequence\": 07", json);
	expect_edit(text, "\"sequence\": 7", "\"sequence\": +7", json);
	expect_edit(text, "\"pending_ms\": 12", "\"pending_ms\": -0", value);
	expect_edit(text, "nightly", "n\\u0069ghtly", NULL);
	expect_edit(text, "nightly", "n\\u00e9", escape);
	expect_edit(text, "nightly", "n\\uD83D\\uDE00", escape);
	expect_edit(text, "nightly", "n\\u00", escape);
	expect_edit(text, "nightly", "n\\u0000", json);
	expect_edit(text, "nightly", "n\\x", json);
	expect_edit(text, "nightly", "n\n", json);

	/* shape */
	expect_edit(text, "\"sequence\": 7", "\"sequence\": []",
				"manifest has a list where none belongs");
	expect_edit(text, "\"sequence\": 7", "\"sequence\": {}",
				"manifest has an object where none belongs");
	expect_edit(text, "\"entries\": [\n", "\"entries\": [ 1,\n", placed);
	expect_edit(text, "\"gaps\": [\n", "\"gaps\": [ [],\n",
				"manifest has a list where none belongs");
	expect_edit(text, "\"nxacts\": 5", "\"nxacts\": [5]",
				"manifest is nested too deeply");
	expect_edit(text, "],\n\"gaps\"", "]\n\"gaps\"", json);
	expect_edit(text, "750000000000000 }", "750000000000000", json);
	expect_edit(text, "\"pins\": [\n", "\"pins\": [ {}, \n", item);
	expect_edit(text, "\"pins\": [", "\"pins\": 5, \"x\": [", placed);

	/* meaning, of which test_manifest has the rest */
	expect_edit(text, "\"end_lsn\": \"0/2000028\"",
				"\"end_lsn\": \"0/1000028\"",
				"manifest has an entry whose range is empty");
	expect_edit(text, "{ \"epoch\": 2", "{ \"epoch\": 3",
				"manifest has a gap of an epoch that did not begin");
	expect_edit(text, "\"parent\": \"\"", "\"parent\": \"0\"", id);
	pfree(text);
}

static void
version_1(void **state)
{
	Size		length;
	char	   *text = with_checksum(fixed_text, &length);

	/* It is this without backups. */
	expect_edit(text, "{ \"ckpx_manifest_version\": 2,",
				"{ \"ckpx_manifest_version\": 1,",
				"manifest has an unknown field");
	expect_edit(text, "\"pins\"", "\"x\"", "manifest has an unknown field");
	pfree(text);
}

static void
nesting(void **state)
{
	Size		length;
	char	   *text = with_checksum(fixed_text, &length);
	Size		n = 1000000;
	char	   *deep = malloc(n + 1);

	memset(deep, '[', n);
	deep[n] = '\0';
	expect_edit(text, "7,\n", deep, "manifest is nested too deeply");
	free(deep);
}

static void
long_lists(void **state)
{
	CkpxManifest *in = any_manifest(20000, CKPX_MAX_GAPS,
									CKPX_MANIFEST_MAX_PINS,
									CKPX_MAX_BACKUPS);
	CkpxManifest out;
	Size		length;
	char	   *text = old_text(in, 2, &length);

	assert_null(decode_problem(text, length, &out));
	in->version = 2;
	assert_same(in, &out);
	ckpx_manifest_free(&out);
	free_manifest(in);
	pfree(text);

	in = any_manifest(0, 0, CKPX_MANIFEST_MAX_PINS + 1, 0);
	text = old_text(in, 2, &length);
	expect_problem(text, length, "manifest has a list that is too long");
	free_manifest(in);
	pfree(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(old_texts_are_read),
		cmocka_unit_test(fixed_is_read),
		cmocka_unit_test(damage),
		cmocka_unit_test(fields_checked),
		cmocka_unit_test(version_1),
		cmocka_unit_test(nesting),
		cmocka_unit_test(long_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
