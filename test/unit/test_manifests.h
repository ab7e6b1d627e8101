/*-------------------------------------------------------------------------
 *
 * test_manifests.h
 *		What the tests of manifests of every version share: manifests of any
 *		content, one of known content, and texts that are changed.
 *
 * Included behind cmocka.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_TEST_MANIFESTS_H
#define CKPX_TEST_MANIFESTS_H

#include "core/format/manifest.h"
#include "port/pg_crc32c.h"
#include "test_random.h"

static inline void
any_text(char *text, Size room)
{
	Size		length = next_random() % room;

	for (Size i = 0; i < length; i++)
		text[i] = (char) (1 + next_random() % 255);
	text[length] = '\0';
}

static inline void
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

static inline void
any_id(char *id)
{
	snprintf(id, CKPX_BACKUP_ID_DIGITS + 1, "%016llx%016llx",
			 (unsigned long long) next_random(),
			 (unsigned long long) next_random());
}

static inline CkpxManifest *
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

static inline void
free_manifest(CkpxManifest *m)
{
	ckpx_manifest_free(m);
	pfree(m);
}

static inline void
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

/* What decoding made of a text, and how many entries were visited. */
typedef struct Visits
{
	const CkpxManifest *decoded;
	uint32		count;
} Visits;

static inline void
compare_visited(void *arg, const CkpxEntry *entry)
{
	Visits	   *visits = arg;

	if (visits->count < visits->decoded->nentries)
		assert_memory_equal(entry, &visits->decoded->entries[visits->count],
							sizeof(CkpxEntry));
	visits->count++;
}

/* A visit must see the same entries, and refuse what is refused. */
static inline void
assert_visited(const char *text, Size length, const CkpxManifest *m, bool ok)
{
	Visits		visits = {m, 0};
	const char *problem = "unset";

	assert_int_equal(ckpx_manifest_visit(text, length, compare_visited,
										 &visits, &problem), ok);
	assert_int_equal(problem == NULL, ok);
	if (ok)
		assert_int_equal(visits.count, m->nentries);
}

/* Decode a copy without a byte to spare, so that a read too far is seen. */
static inline const char *
decode_problem(const char *text, Size length, CkpxManifest *m)
{
	char	   *copy = malloc(length > 0 ? length : 1);
	const char *problem = "unset";
	bool		ok;

	memcpy(copy, text, length);
	ok = ckpx_manifest_decode(m, copy, length, &problem);
	assert_visited(copy, length, m, ok);
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

static inline void
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
static inline void
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

/* A text with its checksum line; the caller frees it. */
static inline char *
with_checksum(const char *text, Size *length)
{
	StringInfoData all;
	pg_crc32c	crc;

	initStringInfo(&all);
	appendStringInfoString(&all, text);
	INIT_CRC32C(crc);
	COMP_CRC32C(crc, all.data, all.len);
	FIN_CRC32C(crc);
	appendStringInfo(&all, "\"Manifest-Checksum\": \"%08X\"}\n", crc);
	*length = all.len;
	return all.data;
}

/* The fields in front of the lists in the fixed text of a version. */
#define FIXED_HEAD(version) \
"{ \"ckpx_manifest_version\": " version ",\n" \
"\"sequence\": 7,\n" \
"\"written_at\": 750000000000000,\n" \
"\"system_identifier\": \"7300000000000000001\",\n" \
"\"node_id\": \"00000000DEADBEEF\",\n" \
"\"pg_major\": 15,\n" \
"\"block_size\": 8192,\n" \
"\"segment_blocks\": 131072,\n" \
"\"wal_segment_size\": 16777216,\n" \
"\"checksum_version\": 1,\n" \
"\"epoch\": 2,\n" \
"\"timeline\": 1,\n" \
"\"epoch_start\": \"0/1000028\",\n" \
"\"known_xid\": 731,\n" \
"\"global_version_interval_s\": 3600,\n"

/* What the fixed text of every version says. */
static inline void
assert_fixed(const CkpxManifest *m)
{
	assert_true(m->sequence == 7);
	assert_true(m->identity.system_identifier ==
				UINT64CONST(7300000000000000001));
	assert_true(m->identity.node_id == 0xDEADBEEF);
	assert_int_equal(m->nentries, 1);
	assert_int_equal(m->entries[0].kind, CKPX_KIND_INCREMENTAL);
	assert_true(m->entries[0].range.end_lsn == 0x2000028);
	assert_true(m->entries[0].range.last_record.crc == 0x12345678);
	assert_true(m->entries[0].range.last_record.run_start == 0x1FFF000);
	assert_true(m->entries[0].range.last_record.run_hash == 0x87654321);
	assert_true(m->entries[0].post_pending);
	assert_int_equal(m->entries[0].range.custom_rmgrs[0], 1);
	assert_int_equal(m->entries[0].range.custom_rmgrs[31], 0x80);
	assert_int_equal(m->ngaps, 1);
	assert_string_equal(m->gaps[0].reason, "tracking \"began\"\t");
	assert_int_equal(m->npins, 1);
	assert_string_equal(m->pins[0].name, "nightly");
	assert_int_equal(m->pins[0].epoch, 2);
	assert_true(m->pins[0].global_lsn == UINT64CONST(0x2000028));
	assert_int_equal(m->nbackups, 1);
	assert_string_equal(m->backups[0].id, "0123456789abcdef0123456789abcdef");
	assert_string_equal(m->backups[0].parent, "");
	assert_true(m->backups[0].stop_lsn == 0x1000100);
	assert_true(m->backups[0].bytes == 123456789);
}

static inline void
truncate_anywhere(const char *text, Size length)
{
	CkpxManifest m;

	for (Size cut = 0; cut < length; cut++)
		assert_non_null(decode_problem(text, cut, &m));
}

static inline void
flip_every_bit(char *text, Size length)
{
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

/* Of the present version there is one text for what a manifest says. */
static inline void
assert_only_text(const char *text, Size length, const CkpxManifest *m)
{
	StringInfoData again;

	if (m->version != CKPX_MANIFEST_VERSION)
		return;
	initStringInfo(&again);
	ckpx_manifest_encode(&again, m);
	if (again.len != length || memcmp(again.data, text, length) != 0)
		fail_msg("accepted, but not as it is written:\n%s", text);
	pfree(again.data);
}

/*
 * Damage that carries a right checksum.  Never a crash: each byte of 'text',
 * which is without one, replaced by bytes that mean something to a parser.
 */
static inline void
damage_every_byte(const char *text)
{
	static const char bytes[] = "{}[]\",:\\0-9eE.+ntfu/ \n\x01\x7f\x80\xff";
	char	   *edited = strdup(text);

	for (Size i = 0; edited[i] != '\0'; i++)
	{
		for (Size b = 0; b < sizeof(bytes) - 1; b++)
		{
			Size		length;
			char	   *whole;
			CkpxManifest m;

			edited[i] = bytes[b];
			whole = with_checksum(edited, &length);
			if (decode_problem(whole, length, &m) == NULL)
			{
				assert_only_text(whole, length, &m);
				ckpx_manifest_free(&m);
			}
			pfree(whole);
		}
		edited[i] = text[i];
	}
	free(edited);
}

/* Values that every version reads or refuses alike, in its fixed text. */
static inline void
check_values(const char *text)
{
	const char *value = "manifest has a value that its field does not allow";
	const char *id = "manifest has a backup with an impossible id";

	expect_edit(text, "\"sequence\": 7", "\"sequence\": 8", NULL);
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
	expect_edit(text, "\"epoch\": 2,\n", "\"epoch\": 4294967295,\n", NULL);
	expect_edit(text, "\"epoch\": 2,\n", "\"epoch\": 4294967296,\n", value);
	expect_edit(text, "750000000000000", "-12", NULL);
	expect_edit(text, "750000000000000", "-0", value);
	expect_edit(text, "750000000000000", "-9223372036854775808", NULL);
	expect_edit(text, "750000000000000", "-9223372036854775809", value);
	expect_edit(text, "750000000000000", "9223372036854775808", value);

	expect_edit(text, "7300000000000000001", "", value);
	expect_edit(text, "7300000000000000001", " 73", value);
	expect_edit(text, "7300000000000000001", "073", value);
	expect_edit(text, "7300000000000000001", "00", value);
	expect_edit(text, "7300000000000000001", "0", NULL);
	expect_edit(text, "7300000000000000001", "-73", value);
	expect_edit(text, "7300000000000000001", "73000000000000000010", value);
	expect_edit(text, "\"7300000000000000001\"", "7300000000000000001", value);
	expect_edit(text, "00000000DEADBEEF", "DEADBEEF", value);
	expect_edit(text, "00000000DEADBEEF", "00000000deadbeef", value);
	expect_edit(text, "00000000DEADBEEF", "000000000DEADBEEF", value);
	expect_edit(text, "00000000DEADBEEF", "0000000000DEADBEEF", value);
	expect_edit(text, "0/1000028", "0/01000028", value);
	expect_edit(text, "0/1000028", "0/1000028 ", value);
	expect_edit(text, "\"0/1000028\"", "16777256", value);
	expect_edit(text, "incremental", "Incremental", value);
	expect_edit(text, "incremental", "", value);
	expect_edit(text, "incremental", "none", value);
	expect_edit(text, "incremental", "backup", NULL);
	expect_edit(text, "0000000080\"", "000000008\"", value);
	expect_edit(text, "0000000080\"", "000000008g\"", value);
	expect_edit(text, "0000000080\"", "000000008080\"", value);
	expect_edit(text, "false", "\"false\"", value);
	expect_edit(text, "false", "0", value);
	expect_edit(text, "nightly",
				"123456789012345678901234567890123456789012345678901234567890123",
				NULL);
	expect_edit(text, "nightly",
				"1234567890123456789012345678901234567890123456789012345678901234",
				value);
	expect_edit(text, "nightly",
				"123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890",
				value);
	expect_edit(text, "\"0123456789abcdef0", "\"0123456789abcdeF0", id);
	expect_edit(text, "\"0123456789abcdef0", "\"0123456789abcdef", id);
	expect_edit(text, "\"0123456789abcdef0", "\"0123456789abcdef00", value);
}

#endif							/* CKPX_TEST_MANIFESTS_H */
