/*-------------------------------------------------------------------------
 *
 * test_bin_label.c
 *		backup_label: PostgreSQL's lines and ours, and damage to each.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/common/label.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "test_random.h"

#define ID		"0123456789abcdef0123456789abcdef"
#define PARENT	"fedcba9876543210fedcba9876543210"

#define START	"START WAL LOCATION: 1A/2000028 (file 000000030000001A00000002)\n"
#define CHECKPOINT "CHECKPOINT LOCATION: 1A/2000060\n"
#define METHOD	"BACKUP METHOD: streamed\n"
#define FROM	"BACKUP FROM: primary\n"
#define TIME	"START TIME: 2026-01-02 03:04:05 UTC\n"
#define LABEL	"LABEL: ckpx id " ID " parent " PARENT "\n"
#define TIMELINE "START TIMELINE: 3\n"
#define STOPPED	START CHECKPOINT METHOD FROM TIME LABEL TIMELINE
#define LSN_FROM "INCREMENTAL FROM LSN: 19/FF000028\n"
#define TLI_FROM "INCREMENTAL FROM TLI: 2\n"
#define MARK	"CKPX CHECKPOINT: 1A/2000060 CRC 00C0FFEE TIME 1767323045\n"

#define A(high, low)	((uint64) (high) << 32 | (low))

static bool
parse(BackupLabel *label, const char *text, const char **problem)
{
	size_t		length = strlen(text);
	char	   *copy = test_exact_copy(text, length);
	bool		ok;

	memset(label, 0xAA, sizeof(*label));
	ok = label_parse(label, copy, length, problem);
	free(copy);
	return ok;
}

static void
expect_problem(const char *text, const char *expected)
{
	BackupLabel label;
	const char *problem;

	if (parse(&label, text, &problem))
		fail_msg("accepted: %s", text);
	if (strcmp(problem, expected) != 0)
		fail_msg("\"%s\", not \"%s\": %s", problem, expected, text);
}

static void
full(void **state)
{
	BackupLabel label;
	const char *problem;

	assert_true(parse(&label, STOPPED, &problem));
	assert_true(label.start_lsn == A(0x1A, 0x2000028));
	assert_int_equal(label.start_tli, 3);
	assert_true(label.checkpoint_lsn == A(0x1A, 0x2000060));
	assert_true(label.incremental_lsn == InvalidXLogRecPtr);
	assert_int_equal(label.incremental_tli, 0);
	assert_false(label.from_standby);
	assert_string_equal(label.start_time, "2026-01-02 03:04:05 UTC");
	assert_string_equal(label.id, ID);
	assert_string_equal(label.parent, PARENT);
	assert_true(label.mark.lsn == InvalidXLogRecPtr);
	assert_false(label.mark.has_crc);

	assert_true(parse(&label, START CHECKPOINT TIMELINE, &problem));
	assert_string_equal(label.id, "");
	assert_string_equal(label.start_time, "");
	assert_true(parse(&label, START CHECKPOINT "BACKUP FROM: standby\n"
					  "LABEL: ckpx id " ID " parent none\n" TIMELINE,
					  &problem));
	assert_true(label.from_standby);
	assert_string_equal(label.id, ID);
	assert_string_equal(label.parent, "");
}

static void
increment(void **state)
{
	BackupLabel label;
	const char *problem;
	CheckpointMark mark = {.lsn = A(0x1A, 0x2000060),.has_crc = true,
		.crc = 0xC0FFEE,.time = 1767323045
	};
	char	   *text;

	/* ours: the lines of an increment first */
	text = label_format(STOPPED, A(0x19, 0xFF000028), 2, &mark);
	assert_string_equal(text, LSN_FROM TLI_FROM STOPPED MARK);
	assert_true(parse(&label, text, &problem));
	assert_true(label.incremental_lsn == A(0x19, 0xFF000028));
	assert_int_equal(label.incremental_tli, 2);
	assert_true(label.mark.lsn == mark.lsn);
	assert_true(label.mark.redo == label.start_lsn);
	assert_true(label.mark.has_crc);
	assert_int_equal(label.mark.crc, mark.crc);
	assert_true(label.mark.time == mark.time);
	pg_free(text);

	/* PostgreSQL 17's: last */
	assert_true(parse(&label, STOPPED LSN_FROM TLI_FROM, &problem));
	assert_true(label.incremental_lsn == A(0x19, 0xFF000028));

	/* on a standby the checkpoint may be the parent's */
	assert_true(parse(&label, STOPPED "INCREMENTAL FROM LSN: 1A/2000028\n"
					  "INCREMENTAL FROM TLI: 3\n", &problem));
}

static void
formats(void **state)
{
	CheckpointMark none = {.lsn = A(1, 2),.time = 5};
	char	   *text;

	text = label_format(STOPPED, InvalidXLogRecPtr, 0, NULL);
	assert_string_equal(text, STOPPED);
	pg_free(text);
	text = label_format("x", InvalidXLogRecPtr, 0, &none);
	assert_string_equal(text, "x\n");
	pg_free(text);
	text = label_without_increment(LSN_FROM TLI_FROM STOPPED MARK);
	assert_string_equal(text, STOPPED MARK);
	pg_free(text);
	text = label_without_increment(STOPPED LSN_FROM TLI_FROM);
	assert_string_equal(text, STOPPED);
	pg_free(text);
	text = label_without_increment("");
	assert_string_equal(text, "");
	pg_free(text);
	text = label_without_increment("a\n" LSN_FROM "b");
	assert_string_equal(text, "a\nb");
	pg_free(text);
	text = label_argument(ID, PARENT);
	assert_string_equal(text, "ckpx id " ID " parent " PARENT);
	pg_free(text);
	text = label_argument(ID, "");
	assert_string_equal(text, "ckpx id " ID " parent none");
	pg_free(text);
	text = label_argument(ID, NULL);
	assert_string_equal(text, "ckpx id " ID " parent none");
	pg_free(text);
}

/* What is nearly ours is somebody else's, not wrong. */
static void
foreign_labels(void **state)
{
	static const char *const foreign[] = {
		"pg_basebackup base backup", "", "ckpx id " ID,
		"ckpx id " ID " parent", "ckpx id " ID " parent nonex",
		"ckpx id " ID "0 parent none", "ckpx id 0123 parent none",
		"ckpx id " ID " parent " PARENT "0", " ckpx id " ID " parent none",
		"ckpx id 0123456789ABCDEF0123456789abcdef parent none"
	};

	for (int i = 0; i < lengthof(foreign); i++)
	{
		char	   *text = psprintf(START CHECKPOINT "LABEL: %s\n" TIMELINE,
									foreign[i]);
		BackupLabel label;
		const char *problem;

		assert_true(parse(&label, text, &problem));
		if (label.id[0] != '\0' || label.parent[0] != '\0')
			fail_msg("taken for ours: %s", foreign[i]);
		pg_free(text);
	}
}

static void
wrong_lines(void **state)
{
#define BAD_START(line) \
	expect_problem("START WAL LOCATION: " line "\n" CHECKPOINT TIMELINE, \
				   "wrong line START WAL LOCATION")
#define BAD_CHECKPOINT(line) \
	expect_problem(START "CHECKPOINT LOCATION: " line "\n" TIMELINE, \
				   "wrong line CHECKPOINT LOCATION")
#define BAD_TIMELINE(line) \
	expect_problem(START CHECKPOINT "START TIMELINE: " line "\n", \
				   "wrong line START TIMELINE")
#define BAD_MARK(line) \
	expect_problem(STOPPED "CKPX CHECKPOINT: " line "\n", \
				   "wrong line CKPX CHECKPOINT")

	BAD_START("");
	BAD_START("1A/2000028");
	BAD_START("0/0 (file 000000030000001A00000002)");
	BAD_START("123456789/0 (file 000000030000001A00000002)");
	BAD_START("1A/2000028 (file 00000003000001A00000002)");
	BAD_START("1A/2000028 (file 000000000000001A00000002)");
	BAD_START("1A/2000028 (file 000000030000001A00000002) ");
	BAD_START("1A/2000028 (file 000000030000001A00000002");
	BAD_START("1A/2000028 (file 000000030000001A00000002)\r");
	BAD_START("/2000028 (file 000000030000001A00000002)");
	BAD_START("1A/ (file 000000030000001A00000002)");
	BAD_CHECKPOINT("");
	BAD_CHECKPOINT("0/0");
	BAD_CHECKPOINT("1A/2000060 ");
	BAD_CHECKPOINT("1A-2000060");
	BAD_TIMELINE("4");
	BAD_TIMELINE("0");
	BAD_TIMELINE("3 ");
	BAD_TIMELINE("4294967299");
	BAD_TIMELINE("");
	BAD_MARK("1A/2000060");
	BAD_MARK("1A/2000060 CRC 0C0FFEE TIME 1");
	BAD_MARK("1A/2000060 CRC 000C0FFEE TIME 1");
	BAD_MARK("1A/2000060 CRC 00C0FFEE TIME ");
	BAD_MARK("1A/2000060 CRC 00C0FFEE TIME -1");
	BAD_MARK("1A/2000060 CRC 00C0FFEE TIME 9223372036854775808");
	BAD_MARK("1A/2000060 CRC 00C0FFEE TIME 1 ");
	expect_problem(STOPPED TLI_FROM "INCREMENTAL FROM LSN: 0/0\n",
				   "wrong line INCREMENTAL FROM LSN");
	expect_problem(STOPPED LSN_FROM "INCREMENTAL FROM TLI: 0\n",
				   "wrong line INCREMENTAL FROM TLI");
	expect_problem(START CHECKPOINT "BACKUP FROM: nowhere\n" TIMELINE,
				   "wrong line BACKUP FROM");

	/* what a label with line ends in it could bring */
	expect_problem(STOPPED START, "wrong line START WAL LOCATION");
	expect_problem(STOPPED CHECKPOINT, "wrong line CHECKPOINT LOCATION");
	expect_problem(STOPPED LABEL, "wrong line LABEL");
	expect_problem(STOPPED TIMELINE, "wrong line START TIMELINE");
	expect_problem(STOPPED FROM, "wrong line BACKUP FROM");
	expect_problem(STOPPED TIME, "wrong line START TIME");
	expect_problem(LSN_FROM TLI_FROM STOPPED LSN_FROM,
				   "wrong line INCREMENTAL FROM LSN");
	expect_problem(LSN_FROM TLI_FROM STOPPED TLI_FROM,
				   "wrong line INCREMENTAL FROM TLI");
	expect_problem(STOPPED MARK MARK, "wrong line CKPX CHECKPOINT");
}

static void
together(void **state)
{
	expect_problem(CHECKPOINT TIMELINE, "line START WAL LOCATION is missing");
	expect_problem(START TIMELINE, "line CHECKPOINT LOCATION is missing");
	expect_problem(START CHECKPOINT, "line START TIMELINE is missing");
	expect_problem(STOPPED LSN_FROM,
				   "one of the lines INCREMENTAL FROM is missing");
	expect_problem(TLI_FROM STOPPED,
				   "one of the lines INCREMENTAL FROM is missing");
	expect_problem(STOPPED TLI_FROM "INCREMENTAL FROM LSN: 1A/2000029\n",
				   "start of an increment precedes the backup that it needs");
	expect_problem(START "CHECKPOINT LOCATION: 1A/2000027\n" TIMELINE,
				   "checkpoint precedes its redo point");
	expect_problem(STOPPED
				   "CKPX CHECKPOINT: 1A/2000061 CRC 00C0FFEE TIME 1\n",
				   "line CKPX CHECKPOINT is of another checkpoint");
}

static void
frame(void **state)
{
	BackupLabel label;
	const char *problem;
	char	   *text;

	expect_problem("", "label does not end with a line");
	expect_problem(START CHECKPOINT "START TIMELINE: 3",
				   "label does not end with a line");
	assert_false(label_parse(&label, STOPPED "\0\n", strlen(STOPPED) + 2,
							 &problem));
	assert_string_equal(problem, "label is not text");

	text = pg_malloc(LABEL_MAX_BYTES + 1);
	memset(text, 'x', LABEL_MAX_BYTES + 1);
	memcpy(text, STOPPED, strlen(STOPPED));
	text[LABEL_MAX_BYTES - 1] = '\n';
	text[LABEL_MAX_BYTES] = '\n';
	assert_true(label_parse(&label, text, LABEL_MAX_BYTES, &problem));
	assert_false(label_parse(&label, text, LABEL_MAX_BYTES + 1, &problem));
	assert_string_equal(problem, "label is too long");
	pg_free(text);

	/* a time that is longer than its place */
	text = psprintf(START CHECKPOINT TIMELINE "START TIME: %0200d\n", 7);
	assert_true(parse(&label, text, &problem));
	assert_int_equal(strlen(label.start_time), sizeof(label.start_time) - 1);
	pg_free(text);
}

/* Cut anywhere and with any byte changed it is read within its bounds. */
static void
any_damage(void **state)
{
	const char *text = LSN_FROM TLI_FROM STOPPED MARK;
	size_t		length = strlen(text);
	BackupLabel label;
	const char *problem;

	for (size_t cut = 0; cut < length; cut++)
	{
		char	   *copy = test_exact_copy(text, cut);

		/* only our own last line can be lost whole */
		if (label_parse(&label, copy, cut, &problem) &&
			cut != length - strlen(MARK))
			fail_msg("accepted, cut at %zu", cut);
		free(copy);
	}
	for (int round = 0; round < 20000; round++)
	{
		char	   *copy = test_exact_copy(text, length);

		copy[next_random() % length] = (char) next_random();
		if (!label_parse(&label, copy, length, &problem))
			assert_non_null(problem);
		free(copy);
	}
}

static void
ids(void **state)
{
	char		id[BACKUP_ID_LENGTH + 1];
	char		other[BACKUP_ID_LENGTH + 1];

	label_make_id(id);
	label_make_id(other);
	assert_int_equal(strspn(id, "0123456789abcdef"), BACKUP_ID_LENGTH);
	assert_int_equal(strlen(id), BACKUP_ID_LENGTH);
	assert_string_not_equal(id, other);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(full),
		cmocka_unit_test(increment),
		cmocka_unit_test(formats),
		cmocka_unit_test(foreign_labels),
		cmocka_unit_test(wrong_lines),
		cmocka_unit_test(together),
		cmocka_unit_test(frame),
		cmocka_unit_test(any_damage),
		cmocka_unit_test(ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
