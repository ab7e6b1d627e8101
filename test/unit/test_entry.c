/*-------------------------------------------------------------------------
 *
 * test_entry.c
 *		The life of an entry: every event in every state, the back-off, and
 *		the texts.
 *
 *-------------------------------------------------------------------------
 */
#include "core/history/entry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define NSTATES		4
#define NEVENTS		5

/* state after the event; -1: refused */
static const int expected[NSTATES][NEVENTS] = {
	/* CREATE START FAIL ABANDON FINISH */
	[CKPX_ENTRY_NONE] = {CKPX_ENTRY_PENDING, -1, -1, -1, -1},
	[CKPX_ENTRY_PENDING] = {-1, CKPX_ENTRY_RUNNING, -1, -1, -1},
	[CKPX_ENTRY_RUNNING] = {-1, -1, CKPX_ENTRY_RUNNING, CKPX_ENTRY_PENDING,
	CKPX_ENTRY_FINISHED},
	[CKPX_ENTRY_FINISHED] = {-1, -1, -1, -1, -1},
};

/* Each event in each state; nothing but state and attempts may change. */
static void
test_every_transition(void **arg)
{
	for (int state = 0; state < NSTATES; state++)
	{
		for (int event = 0; event < NEVENTS; event++)
		{
			CkpxEntry	entry;
			CkpxEntry	want;
			bool		allowed = expected[state][event] >= 0;

			memset(&entry, 0x5a, sizeof(entry));
			entry.state = (CkpxEntryState) state;
			entry.attempts = 7;
			want = entry;
			if (allowed)
				want.state = (CkpxEntryState) expected[state][event];
			if (allowed && event == CKPX_EVENT_FAIL)
				want.attempts = 8;

			assert_int_equal(ckpx_entry_transition(&entry,
												   (CkpxEntryEvent) event),
							 allowed);
			assert_memory_equal(&entry, &want, sizeof(entry));
		}
	}
}

static void
test_whole_life(void **arg)
{
	CkpxEntry	entry = {0};

	assert_true(ckpx_entry_transition(&entry, CKPX_EVENT_CREATE));
	assert_true(ckpx_entry_transition(&entry, CKPX_EVENT_START));
	assert_true(ckpx_entry_transition(&entry, CKPX_EVENT_FAIL));
	assert_true(ckpx_entry_transition(&entry, CKPX_EVENT_FAIL));
	assert_int_equal(entry.attempts, 2);
	assert_true(ckpx_entry_transition(&entry, CKPX_EVENT_ABANDON));
	assert_int_equal(entry.attempts, 2);
	assert_true(ckpx_entry_transition(&entry, CKPX_EVENT_START));
	assert_true(ckpx_entry_transition(&entry, CKPX_EVENT_FINISH));
	assert_int_equal(entry.state, CKPX_ENTRY_FINISHED);
}

static void
test_unknown_event(void **arg)
{
	CkpxEntry	entry = {.state = CKPX_ENTRY_PENDING};

	assert_false(ckpx_entry_transition(&entry, (CkpxEntryEvent) 77));
	assert_int_equal(entry.state, CKPX_ENTRY_PENDING);
}

static void
test_attempts_do_not_wrap(void **arg)
{
	CkpxEntry	entry = {.state = CKPX_ENTRY_RUNNING,.attempts = PG_UINT32_MAX};

	assert_true(ckpx_entry_transition(&entry, CKPX_EVENT_FAIL));
	assert_int_equal(entry.attempts, PG_UINT32_MAX);
}

static void
test_backoff(void **arg)
{
	static const uint64 want[] = {0, 1000, 2000, 4000, 8000, 16000, 32000,
	60000, 60000};

	for (int i = 0; i < lengthof(want); i++)
		assert_int_equal(ckpx_entry_backoff_ms(i), want[i]);
	assert_int_equal(ckpx_entry_backoff_ms(64), 60000);
	assert_int_equal(ckpx_entry_backoff_ms(PG_UINT32_MAX), 60000);
}

static void
test_text(void **arg)
{
	char		text[CKPX_ENTRY_TEXT_MAX];
	CkpxEntry	entry = {.kind = CKPX_KIND_INCREMENTAL,
		.state = CKPX_ENTRY_FINISHED,
		.range.start_lsn = UINT64CONST(0x1A2B3C8),
	.range.end_lsn = UINT64CONST(0x2000028)};

	assert_ptr_equal(ckpx_entry_text(&entry, text), text);
	assert_string_equal(text, "incremental[finished] 0/1A2B3C8-0/2000028");

	entry.kind = CKPX_KIND_BACKUP;
	entry.state = CKPX_ENTRY_RUNNING;
	entry.range.start_lsn = UINT64CONST(0xABCDEF0112345678);
	entry.range.end_lsn = PG_UINT64_MAX;
	ckpx_entry_text(&entry, text);
	assert_string_equal(text,
						"backup[running] ABCDEF01/12345678-FFFFFFFF/FFFFFFFF");
}

static void
test_pending_bucket(void **arg)
{
	uint64		bound = 10;

	assert_int_equal(ckpx_entry_pending_bucket(0), 0);
	for (uint32 i = 0; i < CKPX_PENDING_BUCKETS - 1; i++)
	{
		assert_int_equal(ckpx_entry_pending_bucket(bound - 1), i);
		assert_int_equal(ckpx_entry_pending_bucket(bound), i + 1);
		bound *= 10;
	}
	assert_int_equal(bound, 10000000);
	assert_int_equal(ckpx_entry_pending_bucket(PG_UINT64_MAX),
					 CKPX_PENDING_BUCKETS - 1);
}

static void
test_names(void **arg)
{
	assert_string_equal(ckpx_kind_name(CKPX_KIND_NONE), "none");
	assert_string_equal(ckpx_kind_name(CKPX_KIND_INCREMENTAL), "incremental");
	assert_string_equal(ckpx_kind_name(CKPX_KIND_GLOBAL), "global");
	assert_string_equal(ckpx_kind_name(CKPX_KIND_BACKUP), "backup");
	assert_string_equal(ckpx_kind_name(CKPX_KIND_SEGMENT), "segment");
	assert_string_equal(ckpx_kind_name((CkpxEntryKind) 99), "unknown");
	assert_string_equal(ckpx_state_name(CKPX_ENTRY_NONE), "none");
	assert_string_equal(ckpx_state_name(CKPX_ENTRY_PENDING), "pending");
	assert_string_equal(ckpx_state_name(CKPX_ENTRY_RUNNING), "running");
	assert_string_equal(ckpx_state_name(CKPX_ENTRY_FINISHED), "finished");
	assert_string_equal(ckpx_state_name((CkpxEntryState) 99), "unknown");
	assert_string_equal(ckpx_phase_name(CKPX_PHASE_NONE), "none");
	assert_string_equal(ckpx_phase_name(CKPX_PHASE_COLLECT), "collect");
	assert_string_equal(ckpx_phase_name(CKPX_PHASE_WRITE), "write");
	assert_string_equal(ckpx_phase_name(CKPX_PHASE_PUBLISH), "publish");
	assert_string_equal(ckpx_phase_name(CKPX_PHASE_COMMAND), "command");
	assert_string_equal(ckpx_phase_name((CkpxPhase) 99), "unknown");
}

/* Each field that both files have makes a difference, and no other does. */
static void
test_difference(void **arg)
{
	CkpxEntry	a;
	CkpxEntry	b;

	memset(&a, 0, sizeof(a));
	a.range.last_record.start = 7;
#define DIFFERS(field, name) \
	b = a; \
	b.field++; \
	assert_string_equal(ckpx_entry_difference(&a, &b), name)
	DIFFERS(kind, "kind");
	DIFFERS(range.epoch, "epoch");
	DIFFERS(range.timeline, "timeline");
	DIFFERS(range.start_lsn, "start_lsn");
	DIFFERS(range.end_lsn, "end_lsn");
	DIFFERS(nrelations, "nrelations");
	DIFFERS(nblocks, "nblocks");
	DIFFERS(version, "version");
	DIFFERS(nparts, "nparts");
	DIFFERS(size_bytes, "size_bytes");
	DIFFERS(open_xacts, "open_xacts");
	DIFFERS(undurable, "undurable");
	DIFFERS(range.last_record.start, "last_record_start");
	DIFFERS(range.last_record.length, "last_record_length");
	DIFFERS(range.last_record.crc, "last_record_crc");
	DIFFERS(range.last_record.run_start, "run_start");
	DIFFERS(range.last_record.run_hash, "run_hash");
	DIFFERS(range.last_change_lsn, "last_change_lsn");
	DIFFERS(range.nxacts, "nxacts");
	DIFFERS(range.wal_bytes, "wal_bytes");
	DIFFERS(range.custom_rmgrs[31], "custom_rmgrs");
	DIFFERS(range.created_at, "created_at");
#undef DIFFERS

	b = a;
	b.state = CKPX_ENTRY_FINISHED;
	b.finished_at = b.write_ms = b.range.clock_ms = 1;
	b.post_pending = true;
	memset(&b.range.last_record, 0, sizeof(b.range.last_record));
	assert_null(ckpx_entry_difference(&a, &b));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_transition),
		cmocka_unit_test(test_whole_life),
		cmocka_unit_test(test_unknown_event),
		cmocka_unit_test(test_attempts_do_not_wrap),
		cmocka_unit_test(test_backoff),
		cmocka_unit_test(test_pending_bucket),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_difference),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
