/*-------------------------------------------------------------------------
 *
 * test_bin_files.c
 *		Copying, locking, removing and syncing of files.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/common/files.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "test_folder.h"
#include "test_random.h"

static int
make_file(int dir, const char *name, const char *bytes, size_t length)
{
	int			fd = openat(dir, name, O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_true(write_all(fd, bytes, length));
	return fd;
}

static void
touch(int dir, const char *name)
{
	close(make_file(dir, name, "", 0));
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
copies(void **state)
{
	enum
	{
		LENGTH = 3 * 1024 * 1024 + 5
	};
	int			root = open_root(state);
	char	   *bytes = malloc(LENGTH);
	int			from;

	for (int i = 0; i < LENGTH; i++)
		bytes[i] = (char) next_random();
	from = make_file(root, "from", bytes, LENGTH);

	for (int method = COPY_METHOD_READ; method <= COPY_METHOD_CLONE; method++)
	{
		int			to = make_file(root, "to", "", 0);
		size_t		length;
		char	   *copy;

		if (method == COPY_METHOD_CLONE && !copy_file(from, to, method))
		{
			/* most file systems cannot; then nothing may have been copied */
			assert_true(errno == EOPNOTSUPP || errno == EINVAL ||
						errno == ENOTTY || errno == EXDEV);
			assert_int_equal(lseek(to, 0, SEEK_END), 0);
			assert_false(copy_bytes(from, to, 0, LENGTH, method));
			assert_int_equal(lseek(to, 0, SEEK_END), 0);
			close(to);
			continue;
		}
		assert_true(copy_file(from, to, method));
		copy = read_whole_file(to, LENGTH, &length);
		assert_int_equal(length, LENGTH);
		assert_memory_equal(copy, bytes, LENGTH);
		pg_free(copy);

		/* a part, to the same place */
		assert_int_equal(ftruncate(to, 0), 0);
		if (method != COPY_METHOD_CLONE)
		{
			assert_true(copy_bytes(from, to, 8192, 1500000, method));
			copy = read_whole_file(to, LENGTH, &length);
			assert_int_equal(length, 8192 + 1500000);
			assert_memory_equal(copy + 8192, bytes + 8192, 1500000);
			pg_free(copy);
			assert_true(copy_bytes(from, to, LENGTH, 0, method));
			assert_false(copy_bytes(from, to, LENGTH - 10, 11, method));
			assert_int_equal(errno, ENODATA);
		}
		close(to);
	}
	close(from);
	free(bytes);
	close(root);
}

static void
reading(void **state)
{
	int			root = open_root(state);
	int			fd = make_file(root, "file", "12345", 5);
	size_t		length;
	char	   *bytes;

	assert_null(read_whole_file(fd, 4, &length));
	assert_int_equal(errno, EFBIG);
	bytes = read_whole_file(fd, 5, &length);
	assert_int_equal(length, 5);
	assert_string_equal(bytes, "12345");
	pg_free(bytes);
	assert_true(pwrite_all(fd, "ab", 2, 7));
	bytes = read_whole_file(fd, 100, &length);
	assert_int_equal(length, 9);
	assert_memory_equal(bytes, "12345\0\0ab", 10);
	pg_free(bytes);
	close(fd);
	close(root);
}

static void
no_room(void **state)
{
	int			full = open("/dev/full", O_WRONLY);

	assert_false(write_all(full, "x", 1));
	assert_int_equal(errno, ENOSPC);
	assert_true(write_all(full, "x", 0));
	close(full);
	assert_false(pwrite_all(-1, "x", 1, 0));
	assert_int_equal(errno, EBADF);
}

static void
locking(void **state)
{
	int			root = open_root(state);
	int			fd;
	int			status;
	pid_t		child;

	assert_false(lock_file(root, "lock", 0, &fd));
	assert_int_equal(errno, ENOENT);
	assert_true(lock_file(root, "lock", O_CREAT, &fd));

	/* the end of another descriptor does not end the lock */
	close(openat(root, "lock", O_RDONLY));
	child = fork();
	if (child == 0)
	{
		int			other;

		_exit(lock_file(root, "lock", O_CREAT, &other) ? 1 :
			  errno != EAGAIN ? 2 : other != -1 ? 3 : 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	close(fd);
	assert_true(lock_file(root, "lock", O_CREAT, &fd));
	close(fd);

	assert_int_equal(symlinkat("lock", root, "link"), 0);
	assert_false(lock_file(root, "link", O_CREAT, &fd));
	close(root);
}

static void
removing(void **state)
{
	int			root = open_root(state);
	int			before;

	assert_int_equal(mkdirat(root, "kept", 0700), 0);
	touch(root, "kept/file");
	assert_int_equal(mkdirat(root, "tree", 0700), 0);
	assert_int_equal(mkdirat(root, "tree/a", 0700), 0);
	assert_int_equal(mkdirat(root, "tree/a/b", 0700), 0);
	touch(root, "tree/a/b/file");
	touch(root, "tree/.hidden");
	assert_int_equal(mkfifoat(root, "tree/fifo", 0600), 0);
	assert_int_equal(symlinkat("../kept", root, "tree/link"), 0);
	assert_int_equal(symlinkat("kept", root, "link"), 0);

	before = count_open();
	assert_true(sync_tree(root));
	assert_true(remove_tree(root, "tree"));
	assert_true(remove_tree(root, "link"));
	assert_int_equal(count_open(), before);
	assert_int_equal(faccessat(root, "tree", F_OK, 0), -1);
	assert_int_equal(faccessat(root, "link", F_OK, 0), -1);
	assert_int_equal(faccessat(root, "kept/file", F_OK, 0), 0);
	assert_false(remove_tree(root, "tree"));
	assert_int_equal(errno, ENOENT);
	assert_false(sync_tree(-1));
	close(root);
}

static void
room(void **state)
{
	int			root = open_root(state);
	uint64		bytes = 0;

	assert_true(free_space(root, &bytes));
	assert_true(bytes > 0);
	assert_false(free_space(-1, &bytes));
	close(root);
}

static void
live_clusters(void **state)
{
	int			root = open_root(state);

	assert_false(is_live_cluster(root));
	touch(root, "base.tar.zst");
	assert_false(is_live_cluster(root));
	touch(root, "PG_VERSION");
	assert_true(is_live_cluster(root));
	touch(root, "backup_label");
	assert_false(is_live_cluster(root));
	touch(root, "postmaster.pid");
	assert_true(is_live_cluster(root));
	assert_int_equal(unlinkat(root, "postmaster.pid", 0), 0);
	assert_int_equal(unlinkat(root, "PG_VERSION", 0), 0);
	assert_int_equal(unlinkat(root, "backup_label", 0), 0);
	assert_int_equal(mkdirat(root, "global", 0700), 0);
	assert_false(is_live_cluster(root));
	touch(root, "global/pg_control");
	assert_true(is_live_cluster(root));
	close(root);
}

#define WITH_ROOT(test) \
	cmocka_unit_test_setup_teardown(test, make_root, remove_root)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_ROOT(copies),
		WITH_ROOT(reading),
		cmocka_unit_test(no_room),
		WITH_ROOT(locking),
		WITH_ROOT(removing),
		WITH_ROOT(room),
		WITH_ROOT(live_clusters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
