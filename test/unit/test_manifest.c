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

#include "port/pg_crc32c.h"
#include "test_random.h"

static void
any_text(char *text, Size room)
{
	Size		length = next_random() % room;

	for (Size i = 0; i < length; i++)
		text[i] = (char) (1 + next_random() % 255);
	text[length] = '\0';
}

static void
any_entry(CkpxEntry *entry, uint32 epochs)
{
	memset(entry, 0, sizeof(*entry));
	entry->kind = (CkpxEntryKind) (CKPX_KIND_INCREMENTAL + next_random() % 4);
	entry->state = CKPX_ENTRY_FINISHED;
	entry->range.epoch = 1 + next_random() % epochs;
	entry->range.timeline = 1 + (uint32) any_number() / 2;
	entry->range.start_lsn = any_number() / 2;
	entry->range.end_lsn = entry->range.start_lsn + 1 + any_number() / 4;
	entry->range.last_record.start = any_number();
	entry->range.last_record.length = (uint32) any_number();
	entry->range.last_record.crc = (uint32) any_number();
	entry->range.last_record.run_start = any_number();
	entry->range.last_record.run_hash = (uint32) any_number();
	entry->nrelations = (uint32) any_number();
	entry->nblocks = any_number();
	entry->range.nxacts = any_number();
	entry->range.wal_bytes = any_number();
	entry->range.last_change_lsn = any_number();
	for (int i = 0; i < CKPX_RMGR_BITMAP_BYTES; i++)
		entry->range.custom_rmgrs[i] = (uint8) next_random();
	entry->version = 1 + (uint32) any_number() / 2;
	entry->nparts = 1 + (uint32) any_number() / 2;
	entry->size_bytes = any_number();
	entry->open_xacts = (uint32) any_number();
	entry->undurable = (uint32) any_number();
	entry->range.created_at = (int64) any_number();
	entry->finished_at = (int64) any_number();
	entry->pending_ms = (int64) any_number();
	entry->write_ms = (int64) any_number();
	entry->post_pending = (any_number() & 1) != 0;
}

static void
any_id(char *id)
{
	snprintf(id, CKPX_BACKUP_ID_DIGITS + 1, "%016llx%016llx",
			 (unsigned long long) next_random(),
			 (unsigned long long) next_random());
}

static CkpxManifest *
any_manifest(uint32 nentries, uint32 ngaps, uint32 npins, uint32 nbackups)
{
	CkpxManifest *m = palloc0(sizeof(*m));

	m->version = CKPX_MANIFEST_VERSION;
	m->sequence = any_number();
	m->identity.system_identifier = any_number();
	m->identity.node_id = any_number();
	m->identity.pg_major = 15;
	m->identity.block_size = BLCKSZ;
	m->identity.segment_blocks = RELSEG_SIZE;
	m->identity.wal_segment_size = (uint32) any_number();
	m->identity.checksum_version = next_random() % 2;
	m->written_at = (int64) any_number();
	m->epoch = 1 + next_random() % 9;
	m->timeline = (uint32) any_number();
	m->epoch_start = any_number();
	m->known_xid = any_number();
	m->global_version_interval_s = (uint32) any_number();

	m->nentries = nentries;
	m->entries = palloc0((nentries + 1) * sizeof(CkpxEntry));
	for (uint32 i = 0; i < nentries; i++)
		any_entry(&m->entries[i], m->epoch);

	m->ngaps = ngaps;
	m->gaps = palloc0((ngaps + 1) * sizeof(CkpxGap));
	for (uint32 i = 0; i < ngaps; i++)
	{
		CkpxGap    *gap = &m->gaps[i];

		gap->epoch = 1 + next_random() % m->epoch;
		gap->timeline = (uint32) any_number();
		gap->from_lsn = any_number();
		gap->to_lsn = any_number();
		gap->damaged = gap->from_lsn < gap->to_lsn && next_random() % 2;
		gap->detected_at = (int64) any_number();
		any_text(gap->reason, sizeof(gap->reason));
	}

	m->npins = npins;
	m->pins = palloc0((npins + 1) * sizeof(CkpxPin));
	for (uint32 i = 0; i < npins; i++)
	{
		CkpxPin    *pin = &m->pins[i];

		any_text(pin->name, sizeof(pin->name));
		pin->lsn = any_number();
		pin->epoch = (uint32) any_number();
		pin->global_lsn = any_number();
		pin->created_at = (int64) any_number();
		pin->expires_at = (int64) any_number();
	}

	m->nbackups = nbackups;
	m->backups = palloc0((nbackups + 1) * sizeof(CkpxBackupRecord));
	for (uint32 i = 0; i < nbackups; i++)
	{
		CkpxBackupRecord *backup = &m->backups[i];

		any_id(backup->id);
		if (next_random() % 2)
			any_id(backup->parent);
		backup->timeline = (uint32) any_number();
		backup->start_lsn = any_number();
		backup->stop_lsn = any_number();
		backup->bytes = any_number();
		backup->finished_at = (int64) any_number();
	}
	return m;
}

static void
free_manifest(CkpxManifest *m)
{
	ckpx_manifest_free(m);
	pfree(m);
}

static void
assert_same(const CkpxManifest *a, const CkpxManifest *b)
{
	assert_int_equal(a->version, b->version);
	assert_true(a->sequence == b->sequence);
	assert_memory_equal(&a->identity, &b->identity, sizeof(a->identity));
	assert_true(a->written_at == b->written_at);
	assert_int_equal(a->epoch, b->epoch);
	assert_int_equal(a->timeline, b->timeline);
	assert_true(a->epoch_start == b->epoch_start);
	assert_true(a->known_xid == b->known_xid);
	assert_int_equal(a->global_version_interval_s,
					 b->global_version_interval_s);
	assert_int_equal(a->nentries, b->nentries);
	assert_int_equal(a->ngaps, b->ngaps);
	assert_int_equal(a->npins, b->npins);
	assert_int_equal(a->nbackups, b->nbackups);
	for (uint32 i = 0; i < a->nentries; i++)
		assert_memory_equal(&a->entries[i], &b->entries[i], sizeof(CkpxEntry));
	for (uint32 i = 0; i < a->ngaps; i++)
	{
		const CkpxGap *x = &a->gaps[i];
		const CkpxGap *y = &b->gaps[i];

		assert_true(x->epoch == y->epoch && x->timeline == y->timeline &&
					x->from_lsn == y->from_lsn && x->to_lsn == y->to_lsn &&
					x->detected_at == y->detected_at &&
					x->damaged == y->damaged);
		assert_string_equal(x->reason, y->reason);
	}
	for (uint32 i = 0; i < a->npins; i++)
	{
		const CkpxPin *x = &a->pins[i];
		const CkpxPin *y = &b->pins[i];

		assert_true(x->lsn == y->lsn && x->epoch == y->epoch &&
					x->global_lsn == y->global_lsn &&
					x->created_at == y->created_at &&
					x->expires_at == y->expires_at);
		assert_string_equal(x->name, y->name);
	}
	for (uint32 i = 0; i < a->nbackups; i++)
		assert_memory_equal(&a->backups[i], &b->backups[i],
							sizeof(CkpxBackupRecord));
}

/* Decode a copy without a byte to spare, so that a read too far is seen. */
static const char *
decode_problem(const char *text, Size length, CkpxManifest *m)
{
	char	   *copy = malloc(length > 0 ? length : 1);
	const char *problem = "unset";
	bool		ok;

	memcpy(copy, text, length);
	ok = ckpx_manifest_decode(m, copy, length, &problem);
	free(copy);
	if (ok)
	{
		assert_null(problem);
		return NULL;
	}
	assert_non_null(problem);
	assert_true(m->nentries == 0 && m->entries == NULL && m->gaps == NULL &&
				m->pins == NULL && m->backups == NULL);
	return problem;
}

static void
expect_problem(const char *text, Size length, const char *expected)
{
	CkpxManifest m;
	const char *problem = decode_problem(text, length, &m);

	if (problem == NULL)
		fail_msg("accepted, expected \"%s\"", expected);
	assert_string_equal(problem, expected);
}

/*
 * Replace the first 'from' by 'to', put the right checksum under it, and
 * expect 'expected' (NULL: accepted).
 */
static void
expect_edit(const char *text, const char *from, const char *to,
			const char *expected)
{
	StringInfoData edited;
	const char *place = strstr(text, from);
	const char *last = strstr(text, "\"Manifest-Checksum\"");
	pg_crc32c	crc;
	CkpxManifest m;
	const char *problem;

	if (place == NULL || place > last)
		fail_msg("nothing to replace: \"%s\"", from);
	initStringInfo(&edited);
	appendBinaryStringInfo(&edited, text, (int) (place - text));
	appendStringInfoString(&edited, to);
	appendBinaryStringInfo(&edited, place + strlen(from),
						   (int) (last - place - strlen(from)));
	INIT_CRC32C(crc);
	COMP_CRC32C(crc, edited.data, edited.len);
	FIN_CRC32C(crc);
	appendStringInfo(&edited, "\"Manifest-Checksum\": \"%08X\"}\n", crc);

	problem = decode_problem(edited.data, edited.len, &m);
	if (expected == NULL)
	{
		if (problem != NULL)
			fail_msg("\"%s\" -> \"%s\": %s", from, to, problem);
		ckpx_manifest_free(&m);
	}
	else if (problem == NULL)
		fail_msg("accepted \"%s\" -> \"%s\"", from, to);
	else
		assert_string_equal(problem, expected);
	pfree(edited.data);
}

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
	e->range.created_at = e->finished_at = PG_INT64_MIN;
	e->pending_ms = e->write_ms = PG_INT64_MIN;

	initStringInfo(&text);
	ckpx_manifest_encode(&text, in);
	assert_null(decode_problem(text.data, text.len, &out));
	assert_same(in, &out);
	ckpx_manifest_free(&out);

	/* a full list of the longest entries must still be readable */
	{
		const char *start = strstr(text.data, "\"entries\": [\n") + 13;
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

/* The layout is part of the format: this very text. */
static const char fixed_text[] =
"{ \"ckpx_manifest_version\": 2,\n"
"\"sequence\": 7,\n"
"\"written_at\": 750000000000000,\n"
"\"system_identifier\": \"7300000000000000001\",\n"
"\"node_id\": \"00000000DEADBEEF\",\n"
"\"pg_major\": 15,\n"
"\"block_size\": 8192,\n"
"\"segment_blocks\": 131072,\n"
"\"wal_segment_size\": 16777216,\n"
"\"checksum_version\": 1,\n"
"\"epoch\": 2,\n"
"\"timeline\": 1,\n"
"\"epoch_start\": \"0/1000028\",\n"
"\"known_xid\": 731,\n"
"\"global_version_interval_s\": 3600,\n"
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

static char *
fixed_manifest(Size *length)
{
	static char text[sizeof(fixed_text) + 64];
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, fixed_text, sizeof(fixed_text) - 1);
	FIN_CRC32C(crc);
	snprintf(text, sizeof(text), "%s\"Manifest-Checksum\": \"%08X\"}\n",
			 fixed_text, crc);
	*length = strlen(text);
	return text;
}

static void
fixed_layout(void **state)
{
	Size		length;
	char	   *text = fixed_manifest(&length);
	CkpxManifest m;
	StringInfoData again;

	assert_null(decode_problem(text, length, &m));
	assert_true(m.sequence == 7);
	assert_true(m.identity.system_identifier ==
				UINT64CONST(7300000000000000001));
	assert_true(m.identity.node_id == 0xDEADBEEF);
	assert_int_equal(m.nentries, 1);
	assert_int_equal(m.entries[0].kind, CKPX_KIND_INCREMENTAL);
	assert_true(m.entries[0].range.end_lsn == 0x2000028);
	assert_true(m.entries[0].range.last_record.crc == 0x12345678);
	assert_true(m.entries[0].range.last_record.run_start == 0x1FFF000);
	assert_true(m.entries[0].range.last_record.run_hash == 0x87654321);
	assert_true(m.entries[0].post_pending);
	assert_int_equal(m.entries[0].range.custom_rmgrs[0], 1);
	assert_int_equal(m.entries[0].range.custom_rmgrs[31], 0x80);
	assert_int_equal(m.ngaps, 1);
	assert_string_equal(m.gaps[0].reason, "tracking \"began\"\t");
	assert_int_equal(m.npins, 1);
	assert_string_equal(m.pins[0].name, "nightly");
	assert_int_equal(m.pins[0].epoch, 2);
	assert_true(m.pins[0].global_lsn == UINT64CONST(0x2000028));
	assert_int_equal(m.nbackups, 1);
	assert_string_equal(m.backups[0].id, "0123456789abcdef0123456789abcdef");
	assert_string_equal(m.backups[0].parent, "");
	assert_true(m.backups[0].stop_lsn == 0x1000100);
	assert_true(m.backups[0].bytes == 123456789);

	initStringInfo(&again);
	ckpx_manifest_encode(&again, &m);
	assert_string_equal(again.data, text);
	pfree(again.data);
	ckpx_manifest_free(&m);
}

/* FORMAT.md's formula, worked out by hand. */
static void
fixed_run_hash(void **state)
{
	assert_true(ckpx_run_hash(0x9ABCDEF0, 0x12345678) == 0x1CEE1D1D);
}

static void
truncated_anywhere(void **state)
{
	Size		length;
	char	   *text = fixed_manifest(&length);
	CkpxManifest m;

	for (Size cut = 0; cut < length; cut++)
		assert_non_null(decode_problem(text, cut, &m));
}

static void
every_bit_flipped(void **state)
{
	Size		length;
	char	   *text = fixed_manifest(&length);
	CkpxManifest m;

	for (Size i = 0; i < length * 8; i++)
	{
		text[i / 8] ^= (char) (1 << (i % 8));
		if (decode_problem(text, length, &m) == NULL)
			fail_msg("flip of bit %d of byte %d was accepted",
					 (int) (i % 8), (int) (i / 8));
		text[i / 8] ^= (char) (1 << (i % 8));
	}
	assert_null(decode_problem(text, length, &m));
	ckpx_manifest_free(&m);
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
}

/*
 * Damage that carries a right checksum.  Never a crash: each byte of the JSON
 * replaced by bytes that mean something to a parser.
 */
static void
damage_with_checksum(void **state)
{
	Size		length;
	char	   *text = fixed_manifest(&length);
	char	   *edited = malloc(length);
	Size		body = sizeof(fixed_text) - 1;
	static const char bytes[] = "{}[]\",:\\0-9eE.+ntfu/ \n\x01\x7f\x80\xff";

	for (Size i = 0; i < body; i++)
	{
		for (Size b = 0; b < sizeof(bytes); b++)
		{
			pg_crc32c	crc;
			char		line[64];
			CkpxManifest m;

			memcpy(edited, text, length);
			edited[i] = bytes[b];
			INIT_CRC32C(crc);
			COMP_CRC32C(crc, edited, body);
			FIN_CRC32C(crc);
			snprintf(line, sizeof(line), "\"Manifest-Checksum\": \"%08X\"}\n",
					 crc);
			memcpy(edited + body, line, strlen(line));
			if (decode_problem(edited, length, &m) == NULL)
				ckpx_manifest_free(&m);
		}
	}
	free(edited);
}

static void
fields_checked(void **state)
{
	Size		length;
	char	   *text = fixed_manifest(&length);
	const char *value = "manifest has a value that its field does not allow";
	const char *lacks = "manifest lacks a field";
	const char *item = "manifest has a list item that lacks a field";
	const char *twice = "manifest has a field twice";
	const char *unknown = "manifest has an unknown field";
	const char *json = "manifest is not valid JSON";
	const char *placed = "manifest has a value where none belongs";
	const char *escape = "manifest has an escape that it must not have";
	const char *id = "manifest has a backup with an impossible id";

	/* the harness itself */
	expect_edit(text, "\"sequence\": 7", "\"sequence\": 8", NULL);
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

	/* numbers */
	expect_edit(text, "\"sequence\": 7", "\"sequence\": 18446744073709551615",
				NULL);
	expect_edit(text, "\"sequence\": 7", "\"sequence\": 18446744073709551616",
				value);
	expect_edit(text, "\"sequence\": 7",
				"\"sequence\": 99999999999999999999999999", value);
	expect_edit(text, "\"sequence\": 7", "\"sequence\": -7", value);
	expect_edit(text, "\"sequence\": 7", "\"sequence\": 7.0", value);
	expect_edit(text, "\"sequence\": 7", "\"sequence\": 7e0", value);
	expect_edit(text, "\"sequence\": 7", "\"sequence\": \"7\"", value);
	expect_edit(text, "\"sequence\": 7", "\"sequence\": null", value);
	expect_edit(text, "\"sequence\": 7", "\"sequence\": true", value);
	expect_edit(text, "\"sequence\": 7", "\"sequence\": 07", json);
	expect_edit(text, "\"sequence\": 7", "\"sequence\": +7", json);
	expect_edit(text, "\"epoch\": 2,\n", "\"epoch\": 4294967295,\n", NULL);
	expect_edit(text, "\"epoch\": 2,\n", "\"epoch\": 4294967296,\n", value);
	expect_edit(text, "\"pending_ms\": 12", "\"pending_ms\": -12", NULL);
	expect_edit(text, "\"pending_ms\": 12", "\"pending_ms\": -0", value);
	expect_edit(text, "\"pending_ms\": 12",
				"\"pending_ms\": -9223372036854775808", NULL);
	expect_edit(text, "\"pending_ms\": 12",
				"\"pending_ms\": -9223372036854775809", value);
	expect_edit(text, "\"pending_ms\": 12",
				"\"pending_ms\": 9223372036854775808", value);

	/* strings */
	expect_edit(text, "7300000000000000001", "", value);
	expect_edit(text, "7300000000000000001", " 73", value);
	expect_edit(text, "7300000000000000001", "073", value);
	expect_edit(text, "7300000000000000001", "00", value);
	expect_edit(text, "7300000000000000001", "0", NULL);
	expect_edit(text, "7300000000000000001", "-73", value);
	expect_edit(text, "7300000000000000001", "73000000000000000010", value);
	expect_edit(text, "00000000DEADBEEF", "DEADBEEF", value);
	expect_edit(text, "00000000DEADBEEF", "00000000deadbeef", value);
	expect_edit(text, "00000000DEADBEEF", "000000000DEADBEEF", value);
	expect_edit(text, "0/1000028", "0/01000028", value);
	expect_edit(text, "0/1000028", "0/1000028 ", value);
	expect_edit(text, "\"0/1000028\"", "16777256", value);
	expect_edit(text, "incremental", "Incremental", value);
	expect_edit(text, "incremental", "", value);
	expect_edit(text, "incremental", "none", value);
	expect_edit(text, "incremental", "backup", NULL);
	expect_edit(text, "0000000080\"", "000000008\"", value);
	expect_edit(text, "0000000080\"", "000000008g\"", value);
	expect_edit(text, "false", "\"false\"", value);
	expect_edit(text, "false", "0", value);
	expect_edit(text, "nightly",
				"123456789012345678901234567890123456789012345678901234567890123",
				NULL);
	expect_edit(text, "nightly",
				"1234567890123456789012345678901234567890123456789012345678901234",
				value);
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

	/* meaning */
	expect_edit(text, "\"end_lsn\": \"0/2000028\"",
				"\"end_lsn\": \"0/1000028\"",
				"manifest has an entry whose range is empty");
	expect_edit(text, "\"incremental\", \"epoch\": 2",
				"\"incremental\", \"epoch\": 3",
				"manifest has an entry of an epoch that did not begin");
	expect_edit(text, "\"incremental\", \"epoch\": 2",
				"\"incremental\", \"epoch\": 0",
				"manifest has an entry of an epoch that did not begin");
	expect_edit(text, "\"epoch\": 2, \"timeline\": 1, \"start_lsn\"",
				"\"epoch\": 2, \"timeline\": 0, \"start_lsn\"",
				"manifest has an entry without a timeline");
	expect_edit(text, "\"nparts\": 1", "\"nparts\": 0",
				"manifest has an entry without an object");
	expect_edit(text, "\"version\": 1", "\"version\": 0",
				"manifest has an entry without an object");
	expect_edit(text, "{ \"epoch\": 2", "{ \"epoch\": 3",
				"manifest has a gap of an epoch that did not begin");
	expect_edit(text, "false, \"reason\"", "true, \"reason\"", NULL);
	expect_edit(text, "\"to_lsn\": \"0/1000028\"", "\"to_lsn\": \"0/0\"",
				NULL);
	expect_edit(text, "\"to_lsn\": \"0/1000028\", \"detected_at\": "
				"749999999000000, \"damaged\": false",
				"\"to_lsn\": \"0/0\", \"detected_at\": 0, \"damaged\": true",
				"manifest has a damaged range that is empty");
	expect_edit(text, "\"parent\": \"\"",
				"\"parent\": \"00000000000000000000000000000000\"", NULL);
	expect_edit(text, "\"parent\": \"\"", "\"parent\": \"0\"", id);
	expect_edit(text, "\"0123456789abcdef0", "\"0123456789abcdeF0", id);
	expect_edit(text, "\"0123456789abcdef0", "\"0123456789abcdef", id);
	expect_edit(text, "\"0123456789abcdef0", "\"0123456789abcdef00", value);
}

static void
versions(void **state)
{
	Size		length;
	char	   *text = fixed_manifest(&length);
	const char *begin = "manifest does not begin as one";
	const char *newer = "manifest is of a newer version than this one can read";
	const char *v = "{ \"ckpx_manifest_version\": 2,";

	/* Version 1 is this without backups; see test_samples.c, too. */
	expect_edit(text, v, "{ \"ckpx_manifest_version\": 1,",
				"manifest has an unknown field");
	expect_edit(text, "\"pins\"", "\"x\"", "manifest has an unknown field");
	expect_edit(text, v, "{ \"ckpx_manifest_version\": 3, \"new\": [[[[1]]]],",
				newer);
	expect_edit(text, v, "{ \"ckpx_manifest_version\": 4294967295,", newer);
	expect_edit(text, v, "{ \"ckpx_manifest_version\": 0,", begin);
	expect_edit(text, v, "{ \"ckpx_manifest_version\": 4294967296,", begin);
	expect_edit(text, v, "{ \"ckpx_manifest_version\": 99999999999,", begin);
	expect_edit(text, v, "{ \"ckpx_manifest_version\": -1,", begin);
	expect_edit(text, v, "{ \"ckpx_manifest_version\": ,", begin);
	expect_edit(text, v, "{ \"PostgreSQL-Backup-Manifest-Version\": 1,", begin);
	expect_edit(text, v, "[ \"ckpx_manifest_version\": 1,", begin);
	expect_problem("", 0, "manifest is too short");
}

static void
nesting(void **state)
{
	Size		length;
	char	   *text = fixed_manifest(&length);
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
		cmocka_unit_test(fixed_layout),
		cmocka_unit_test(fixed_run_hash),
		cmocka_unit_test(truncated_anywhere),
		cmocka_unit_test(every_bit_flipped),
		cmocka_unit_test(trailing_bytes),
		cmocka_unit_test(damage_with_checksum),
		cmocka_unit_test(fields_checked),
		cmocka_unit_test(versions),
		cmocka_unit_test(nesting),
		cmocka_unit_test(long_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
