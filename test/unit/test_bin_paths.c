/*-------------------------------------------------------------------------
 *
 * test_bin_paths.c
 *		Names in a backup: what is refused, what they stand for, and that no
 *		link on the way is followed.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/common/paths.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "test_folder.h"

#define TABLESPACE	"pg_tblspc/16385/" TABLESPACE_VERSION_DIRECTORY

static void
accepted_names(void **state)
{
	char		longest[MAXPGPATH + 1];

	assert_null(path_check("base/5/16384"));
	assert_null(path_check("PG_VERSION"));
	assert_null(path_check("..."));
	assert_null(path_check("a/..b/c.."));
	assert_null(path_check(".a/b"));
	assert_null(path_check("\xC3\xA4\xFF \\"));

	memset(longest, 'x', sizeof(longest));
	longest[MAXPGPATH - 1 - PATH_INCREMENTAL_LENGTH] = '\0';
	assert_null(path_check(longest));
	memcpy(longest, PATH_INCREMENTAL, PATH_INCREMENTAL_LENGTH);
	longest[MAXPGPATH - 1 - PATH_INCREMENTAL_LENGTH] = 'x';
	longest[MAXPGPATH - 1] = '\0';
	assert_null(path_check(longest));
}

static void
refused_names(void **state)
{
	static const char *const bad[] = {
		"", "/", "/etc/passwd", "base//1", "base/", ".", "..", "../x", "x/..",
		"a/./b", "a/../b", "./a", "a/.", "a\nb", "a\tb", "\x01", "a\x7f", "a/\x1f"
	};
	char		longest[MAXPGPATH + 1];

	for (int i = 0; i < lengthof(bad); i++)
		if (path_check(bad[i]) == NULL)
			fail_msg("accepted \"%s\"", bad[i]);

	memset(longest, 'x', sizeof(longest));
	longest[MAXPGPATH - PATH_INCREMENTAL_LENGTH] = '\0';
	assert_string_equal(path_check(longest), "name is too long");
	memcpy(longest, PATH_INCREMENTAL, PATH_INCREMENTAL_LENGTH);
	longest[MAXPGPATH - PATH_INCREMENTAL_LENGTH] = 'x';
	longest[MAXPGPATH] = '\0';
	assert_string_equal(path_check(longest), "name is too long");
	assert_string_equal(path_check("/a"), "name is absolute");
	assert_string_equal(path_check("a/.."),
						"name has a component \".\" or \"..\"");
	assert_string_equal(path_check("a//b"), "name has an empty component");
	assert_string_equal(path_check("a\rb"), "name has a control character");
}

static void
expect_parts(const char *path, PathKind kind, ForkNumber fork,
			 uint32 segment, const char *name)
{
	PathParts	parts;

	memset(&parts, 0xAA, sizeof(parts));
	path_parse(path, &parts);
	if (parts.kind != kind || parts.fork != fork ||
		parts.segment != segment ||
		parts.incremental != (strcmp(path, name) != 0) ||
		strcmp(parts.name, name) != 0)
		fail_msg("\"%s\": kind %d fork %d segment %u incremental %d name \"%s\"",
				 path, parts.kind, parts.fork, parts.segment,
				 parts.incremental, parts.name);
}

static void
relation_files(void **state)
{
#define RELATION(path, fork, segment) \
	expect_parts(path, PATH_RELATION, fork, segment, path)

	RELATION("base/5/16384", MAIN_FORKNUM, 0);
	RELATION("base/5/16384.1", MAIN_FORKNUM, 1);
	RELATION("base/4294967295/4294967295.32767", MAIN_FORKNUM, 32767);
	RELATION("base/5/16384_vm", VISIBILITYMAP_FORKNUM, 0);
	RELATION("base/5/16384_init.3", INIT_FORKNUM, 3);
	RELATION("global/1262", MAIN_FORKNUM, 0);
	RELATION(TABLESPACE "/5/16384_vm.10", VISIBILITYMAP_FORKNUM, 10);
	expect_parts("base/5/16384_fsm", PATH_FSM, FSM_FORKNUM, 0,
				 "base/5/16384_fsm");
	expect_parts("base/5/INCREMENTAL.16384.2", PATH_RELATION, MAIN_FORKNUM, 2,
				 "base/5/16384.2");
	expect_parts("global/INCREMENTAL.1262_fsm", PATH_FSM, FSM_FORKNUM, 0,
				 "global/1262_fsm");
	expect_parts(TABLESPACE "/5/INCREMENTAL.7_vm", PATH_RELATION,
				 VISIBILITYMAP_FORKNUM, 0, TABLESPACE "/5/7_vm");
}

static void
other_files(void **state)
{
	static const char *const other[] = {
		"PG_VERSION", "16384", "base/16384", "base/5/PG_VERSION",
		"base/5/pg_filenode.map", "base/5/t3_16384", "base/5/016384",
		"base/5/0", "base/5/4294967296", "base/05/16384", "base/5/16384.0",
		"base/5/16384.01", "base/5/16384.32768", "base/5/16384_", "base/5/.1",
		"base/5/16384_main", "base/5/16384_vmx", "base/5/16384_vm.",
		"base/5/16384.1.1", "base/5/6/16384", "global/5/16384", "base/5",
		"pg_tblspc/16385/5/16384", "pg_tblspc/16385/PG_9_1/5/16384",
		TABLESPACE "/16384", TABLESPACE "/5/6/7", "pg_tblspc/0/x/5/16384",
		"INCREMENTAL.x", "base/5/INCREMENTAL.PG_VERSION",
		"base/INCREMENTAL.5/6", "global/INCREMENTAL.pg_control",
		"global/pg_control.old", "pg_wal", "xbase/5/16384", "pg_xact/0000",
		"global/INCREMENTAL.INCREMENTAL.1262", "base/5/18446744073709567999"
	};

	for (int i = 0; i < lengthof(other); i++)
		expect_parts(other[i], PATH_OTHER, MAIN_FORKNUM, 0, other[i]);
	expect_parts("global/pg_control", PATH_CONTROL, MAIN_FORKNUM, 0,
				 "global/pg_control");
	expect_parts("pg_wal/000000010000000000000001", PATH_WAL, MAIN_FORKNUM, 0,
				 "pg_wal/000000010000000000000001");
	expect_parts("pg_wal/archive_status/x", PATH_WAL, MAIN_FORKNUM, 0,
				 "pg_wal/archive_status/x");
}

static void
incremental_names(void **state)
{
	char		result[MAXPGPATH];
	char		back[MAXPGPATH];
	char		longest[MAXPGPATH];

	path_incremental("base/5/16384", result);
	assert_string_equal(result, "base/5/INCREMENTAL.16384");
	path_incremental(result, result + 100);
	assert_string_equal(result + 100, "base/5/16384");
	path_incremental("x", result);
	assert_string_equal(result, "INCREMENTAL.x");

	memset(longest, 'x', sizeof(longest));
	longest[MAXPGPATH - 1 - PATH_INCREMENTAL_LENGTH] = '\0';
	path_incremental(longest, result);
	path_incremental(result, back);
	assert_string_equal(longest, back);
}

static void
expect_refused(int root, const char *path, int flags, int expected_errno)
{
	int			fd = path_open(root, path, flags, 0600, 0700);

	if (fd >= 0)
		fail_msg("opened \"%s\"", path);
	if (errno != expected_errno)
		fail_msg("\"%s\": %s", path, strerror(errno));
}

static int
count_open(void)
{
	int			n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void
opening(void **state)
{
	int			root = open_root(state);
	int			before = count_open();
	char		byte;
	struct stat st;
	int			fd;

	/* nothing is made but with O_CREAT */
	expect_refused(root, "a/b/c", O_RDONLY, ENOENT);
	expect_refused(root, "a/b/c", O_WRONLY, ENOENT);
	assert_int_equal(faccessat(root, "a", F_OK, 0), -1);

	fd = path_open(root, "a/b/c", O_WRONLY | O_CREAT | O_EXCL, 0600, 0750);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "x", 1), 1);
	assert_int_equal(fstatat(root, "a/b", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0750);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	close(fd);
	expect_refused(root, "a/b/c", O_WRONLY | O_CREAT | O_EXCL, EEXIST);

	fd = path_open(root, "a/b/c", O_RDONLY, 0, 0);
	assert_int_equal(read(fd, &byte, 1), 1);
	close(fd);
	fd = path_open(root, "a/b", O_RDONLY | O_DIRECTORY, 0, 0);
	assert_true(fd >= 0);
	close(fd);

	/* what is neither */
	expect_refused(root, "a/b", O_RDONLY, EISDIR);
	expect_refused(root, "a/b/c", O_RDONLY | O_DIRECTORY, ENOTDIR);
	expect_refused(root, "a/b/c/d", O_RDONLY, ENOTDIR);
	expect_refused(root, "a/b/c/d", O_WRONLY | O_CREAT, ENOTDIR);
	assert_int_equal(mkfifoat(root, "fifo", 0600), 0);
	expect_refused(root, "fifo", O_RDONLY, EINVAL);
	expect_refused(root, "fifo", O_WRONLY, ENXIO);
	assert_int_equal(count_open(), before);
	close(root);
}

static void
links(void **state)
{
	int			root = open_root(state);
	int			before = count_open();
	const char *last;
	int			fd;

	fd = path_open(root, "real/file", O_WRONLY | O_CREAT, 0600, 0700);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(symlinkat("real", root, "link"), 0);
	assert_int_equal(symlinkat("file", root, "real/other"), 0);

	expect_refused(root, "real/other", O_RDONLY, ELOOP);
	expect_refused(root, "real/other", O_WRONLY | O_CREAT, ELOOP);
	expect_refused(root, "link/file", O_RDONLY, ENOTDIR);
	expect_refused(root, "link/new", O_WRONLY | O_CREAT, ENOTDIR);
	expect_refused(root, "link", O_RDONLY | O_DIRECTORY, ENOTDIR);
	assert_int_equal(path_mkdir(root, "link/dir", 0700), -1);
	assert_int_equal(path_unlink(root, "link/file"), -1);
	assert_int_equal(path_open_parent(root, "link/file", 0700, &last), -1);
	assert_int_equal(faccessat(root, "real/file", F_OK, 0), 0);
	assert_int_equal(faccessat(root, "real/new", F_OK, 0), -1);
	assert_int_equal(faccessat(root, "real/dir", F_OK, 0), -1);

	/* the link itself can be removed */
	assert_int_equal(path_unlink(root, "real/other"), 0);
	assert_int_equal(faccessat(root, "real/file", F_OK, 0), 0);
	assert_int_equal(count_open(), before);
	close(root);
}

static void
making_and_removing(void **state)
{
	int			root = open_root(state);
	int			before = count_open();
	const char *last;
	int			fd;

	assert_int_equal(path_mkdir(root, "a/b/c", 0700), 0);
	assert_int_equal(path_mkdir(root, "a/b/c", 0700), 0);
	assert_int_equal(path_mkdir(root, "a", 0700), 0);
	fd = path_open(root, "a/b/file", O_WRONLY | O_CREAT, 0600, 0700);
	close(fd);
	assert_int_equal(path_mkdir(root, "a/b/file", 0700), -1);
	assert_int_equal(errno, ENOTDIR);
	assert_int_equal(path_unlink(root, "a/b/c"), -1);
	assert_int_equal(path_unlink(root, "a/b/file"), 0);
	assert_int_equal(path_unlink(root, "a/b/file"), -1);
	assert_int_equal(errno, ENOENT);

	fd = path_open_parent(root, "a/b/name", 0, &last);
	assert_true(fd >= 0);
	assert_string_equal(last, "name");
	assert_int_equal(symlinkat("/", fd, last), 0);
	close(fd);
	fd = path_open_parent(root, "x/y", 0, &last);
	assert_int_equal(fd, -1);
	fd = path_open_parent(root, "x/y", 0700, &last);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(count_open(), before);
	close(root);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepted_names),
		cmocka_unit_test(refused_names),
		cmocka_unit_test(relation_files),
		cmocka_unit_test(other_files),
		cmocka_unit_test(incremental_names),
		cmocka_unit_test_setup_teardown(opening, make_root, remove_root),
		cmocka_unit_test_setup_teardown(links, make_root, remove_root),
		cmocka_unit_test_setup_teardown(making_and_removing, make_root,
										remove_root),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
