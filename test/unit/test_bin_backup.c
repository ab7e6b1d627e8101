/*-------------------------------------------------------------------------
 *
 * test_bin_backup.c
 *		Backups in directories, plain and tar: opened, refused, put into
 *		chains; the mark of their checkpoint.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/common/backup.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "test_folder.h"

#include "access/xlog_internal.h"
#include "access/rmgr.h"
#include "access/xlogrecord.h"
#include "bin/common/files.h"
#include "bin/common/paths.h"
#include "bin/common/tar.h"
#include "port/pg_crc32c.h"

#define SEGMENT_SIZE	(1024 * 1024)
#define SYSTEM			UINT64CONST(7000000000000000001)

/* A backup as a test wants it, and what is to be wrong with it. */
typedef struct Made
{
	const char *name;			/* of the directory */
	int			layout;			/* 0 plain, 1 tar, 2 tar.zst */
	int			version;		/* of the manifest, 0: 2 */
	XLogRecPtr	start;
	XLogRecPtr	incremental;	/* from there */
	const char *id;				/* one digit, repeated; NULL: not ours */
	const char *parent;
	uint64		system;			/* of pg_control, 0: SYSTEM */
	bool		mark;
	bool		wal;			/* with the checkpoint's segment */
	uint32		bad_block_size;
	bool		bad_crc;
	bool		bad_range;
	const char *left_out;		/* file that is not written */
	const char *changed;		/* file that the manifest has otherwise */
} Made;

static char *
id_of(const char *digit)
{
	static char ids[2][BACKUP_ID_LENGTH + 1];
	static int	next;
	char	   *id = ids[next++ % 2];

	memset(id, digit[0], BACKUP_ID_LENGTH);
	id[BACKUP_ID_LENGTH] = '\0';
	return id;
}

static char *
make_label(const Made *made)
{
	CheckpointMark mark = {.lsn = made->start + 0x38,.has_crc = true,
		.crc = 0xABCD,.time = 1767323045
	};
	char	   *argument = made->id == NULL ? pg_strdup("base") :
		label_argument(id_of(made->id),
					   made->parent ? id_of(made->parent) : NULL);
	char	   *stopped = psprintf("START WAL LOCATION: %X/%X (file %08X%08X%08X)\n"
								   "CHECKPOINT LOCATION: %X/%X\nLABEL: %s\n"
								   "START TIMELINE: 1\n",
								   LSN_FORMAT_ARGS(made->start), 1,
								   (uint32) (made->start >> 32), 0,
								   LSN_FORMAT_ARGS(made->start + 0x38),
								   argument);
	char	   *label = label_format(stopped, made->incremental, 1,
									 made->mark ? &mark : NULL);

	pg_free(argument);
	pg_free(stopped);
	return label;
}

static char *
make_control(const Made *made)
{
	char	   *bytes = pg_malloc0(PG_CONTROL_FILE_SIZE);
	ControlFileData control;

	memset(&control, 0, sizeof(control));
	control.system_identifier = made->system ? made->system : SYSTEM;
	control.pg_control_version = PG_CONTROL_VERSION;
	control.blcksz = made->bad_block_size ? made->bad_block_size : BLCKSZ;
	control.relseg_size = RELSEG_SIZE;
	control.xlog_seg_size = SEGMENT_SIZE;
	control.checkPoint = made->start + 0x100;
	control.checkPointCopy.redo = made->start + 0x90;
	control.checkPointCopy.time = 12345;
	INIT_CRC32C(control.crc);
	COMP_CRC32C(control.crc, &control, offsetof(ControlFileData, crc));
	FIN_CRC32C(control.crc);
	if (made->bad_crc)
		control.crc++;
	memcpy(bytes, &control, sizeof(control));
	return bytes;
}

/* A segment with the checkpoint's record, over the end of a page if need be. */
static char *
make_segment(const Made *made)
{
	char	   *segment = pg_malloc0(SEGMENT_SIZE);
	char		record[SizeOfXLogRecord + 2 + sizeof(CheckPoint)] = {0};
	XLogRecord *header = (XLogRecord *) record;
	CheckPoint	checkpoint;
	size_t		at = (made->start + 0x38) % SEGMENT_SIZE;

	memset(&checkpoint, 0, sizeof(checkpoint));
	checkpoint.redo = made->start;
	checkpoint.time = 54321;
	header->xl_tot_len = sizeof(record);
	header->xl_rmid = RM_XLOG_ID;
	header->xl_info = XLOG_CHECKPOINT_ONLINE;
	record[SizeOfXLogRecord] = (char) 255;
	record[SizeOfXLogRecord + 1] = sizeof(CheckPoint);
	memcpy(record + SizeOfXLogRecord + 2, &checkpoint, sizeof(checkpoint));
	INIT_CRC32C(header->xl_crc);
	COMP_CRC32C(header->xl_crc, record + SizeOfXLogRecord,
				sizeof(record) - SizeOfXLogRecord);
	COMP_CRC32C(header->xl_crc, record, offsetof(XLogRecord, xl_crc));
	FIN_CRC32C(header->xl_crc);
	if (made->bad_crc)
		header->xl_crc++;
	for (size_t i = 0; i < sizeof(record); i++)
	{
		if (at % XLOG_BLCKSZ == 0)
			at += SizeOfXLogShortPHD;
		segment[at++] = record[i];
	}
	return segment;
}

static bool
put(void *arg, const char *bytes, size_t length)
{
	return write_all(*(int *) arg, bytes, length);
}

/* Where files go: a directory, or a tar in it. */
typedef struct Place
{
	const Made *made;
	int			dir;
	TarWriter  *tar;
	Manifest   *manifest;
} Place;

static void
add_file(Place *place, const char *name, const char *bytes, size_t length)
{
	ManifestFile file = {.path = unconstify(char *, name),.size = length,
		.checksum_type = CHECKSUM_TYPE_CRC32C,.checksum_length = 4
	};
	pg_checksum_context context;

	pg_checksum_init(&context, CHECKSUM_TYPE_CRC32C);
	pg_checksum_update(&context, (const uint8 *) bytes, length);
	pg_checksum_final(&context, file.checksum);
	if (place->made->changed && strcmp(place->made->changed, name) == 0)
		file.checksum[0]++;
	assert_true(manifest_add(place->manifest, &file));
	if (place->made->left_out && strcmp(place->made->left_out, name) == 0)
		return;
	if (place->tar != NULL)
	{
		TarMember	member = {.type = TAR_FILE,.size = length,.mode = 0600};

		strlcpy(member.name, name, sizeof(member.name));
		assert_true(tar_member(place->tar, &member));
		assert_true(tar_write(place->tar, bytes, length));
		assert_true(tar_member_end(place->tar));
	}
	else
	{
		int			fd = path_open(place->dir, name, O_WRONLY | O_CREAT, 0600,
								   0700);

		assert_true(write_all(fd, bytes, length));
		close(fd);
	}
}

static void
make_backup(const char *root, Made made)
{
	static const char *const archives[] = {NULL, "base.tar", "base.tar.zst"};
	char	   *path = psprintf("%s/%s", root, made.name);
	Place		place = {.made = &made};
	int			version = made.version ? made.version : 2;
	char	   *text;
	int			fd = -1;

	assert_int_equal(mkdir(path, 0700), 0);
	place.dir = open(path, O_RDONLY | O_DIRECTORY);
	place.manifest = manifest_create(version, SYSTEM);
	manifest_add_range(place.manifest, 1, made.start + (made.bad_range ? 8 : 0),
					   made.start + 0x500);
	if (made.layout != 0)
	{
		fd = openat(place.dir, archives[made.layout], O_WRONLY | O_CREAT, 0600);
		place.tar = tar_create(put, &fd, made.layout == 2 ? 1 : 0);
	}
	text = make_label(&made);
	add_file(&place, "backup_label", text, strlen(text));
	pg_free(text);
	add_file(&place, "PG_VERSION", PG_MAJORVERSION "\n", 3);
	text = make_control(&made);
	add_file(&place, "global/pg_control", text, PG_CONTROL_FILE_SIZE);
	pg_free(text);
	if (made.wal)
	{
		char	   *name = psprintf("pg_wal/00000001%08X%08X",
									(uint32) (made.start >> 32),
									(uint32) made.start / SEGMENT_SIZE);

		text = make_segment(&made);
		add_file(&place, name, text, SEGMENT_SIZE);
		pg_free(text);
		pg_free(name);
	}
	if (place.tar != NULL)
	{
		assert_true(tar_finish(place.tar));
		close(fd);
	}
	if (made.left_out == NULL || strcmp(made.left_out, "backup_manifest") != 0)
	{
		fd = openat(place.dir, "backup_manifest", O_WRONLY | O_CREAT, 0600);
		assert_true(manifest_write(place.manifest, fd));
		close(fd);
	}
	manifest_free(place.manifest);
	close(place.dir);
	pg_free(path);
}

static Backup *
open_made(const char *root, const char *name)
{
	char	   *path = psprintf("%s/%s", root, name);
	char	   *problem;
	Backup	   *backup = backup_open(path, &problem);

	if (backup == NULL)
		fail_msg("%s", problem);
	pg_free(path);
	return backup;
}

static void
opening(void **state)
{
	for (int layout = 0; layout <= 2; layout++)
		for (int version = 1; version <= 2; version++)
		{
			char	   *name = psprintf("%d.%d", layout, version);
			Backup	   *backup;

			make_backup(*state, (Made) {.name = name,.layout = layout,
						.version = version,.start = 0x2000028,
						.incremental = 0x1000028,.id = "1",.parent = "2",.mark = true
			});
			backup = open_made(*state, name);
			assert_int_equal(backup->tar, layout != 0);
			assert_int_equal(backup->compressed, layout == 2);
			assert_true(backup->system_identifier == SYSTEM);
			assert_true(backup->label.start_lsn == 0x2000028);
			assert_true(backup->label.incremental_lsn == 0x1000028);
			assert_string_equal(backup->label.parent, id_of("2"));
			assert_int_equal(strncmp(backup->label_text, "INCREMENTAL", 11), 0);
			assert_int_equal(backup->manifest->nfiles, 3);
			assert_true(backup->end_lsn == 0x2000528);
			assert_int_equal(backup->end_tli, 1);
			assert_int_equal(backup->control.xlog_seg_size, SEGMENT_SIZE);
			backup_close(backup);
			pg_free(name);
		}
}

static void
expect_refused(const char *root, Made made, const char *expected)
{
	char	   *path = psprintf("%s/%s", root, made.name);
	char	   *whole = psprintf("backup \"%s\": %s", path, expected);
	char	   *problem;

	if (made.start != 0)
		make_backup(root, made);
	if (backup_open(path, &problem) != NULL)
		fail_msg("opened, not: %s", whole);
	assert_string_equal(problem, whole);
	pg_free(problem);
	pg_free(whole);
	pg_free(path);
}

static void
refused(void **state)
{
	char	   *problem;
	char	   *path;

#define REFUSED(text, ...) \
	expect_refused(*state, (Made) {.start = 0x2000028, __VA_ARGS__}, text)

	REFUSED("file \"backup_manifest\" is missing: it is no complete backup",
			.name = "a",.left_out = "backup_manifest");
	REFUSED("could not read file \"backup_label\": No such file or directory",
			.name = "b",.left_out = "backup_label");
	REFUSED("could not read file \"global/pg_control\":"
			" No such file or directory",
			.name = "c",.left_out = "global/pg_control");
	REFUSED("archive \"base.tar.zst\" has no file \"backup_label\"",
			.name = "d",.layout = 2,.left_out = "backup_label");
	REFUSED("archive \"base.tar\" has no file \"global/pg_control\"",
			.name = "e",.layout = 1,.left_out = "global/pg_control");
	REFUSED("file \"backup_label\" is not the one that the manifest lists",
			.name = "f",.changed = "backup_label");
	REFUSED("file \"global/pg_control\" is not the one that the manifest"
			" lists",.name = "g",.layout = 2,.changed = "global/pg_control");
	REFUSED("file \"global/pg_control\": wrong checksum",
			.name = "h",.bad_crc = true);
	REFUSED("file \"global/pg_control\": it has other sizes of blocks or"
			" segments than this program",.name = "i",
			.bad_block_size = 2 * BLCKSZ);
	REFUSED("file \"global/pg_control\": it has another system identifier"
			" than the manifest",.name = "j",.system = 5);
	REFUSED("file \"backup_label\": the manifest has no WAL range that starts"
			" where the label says",.name = "k",.bad_range = true);
	REFUSED("file \"backup_label\": start of an increment precedes the backup"
			" that it needs",.name = "l",.incremental = 0x3000000);
	REFUSED("it has neither PG_VERSION nor base.tar or base.tar.zst",
			.name = "m",.left_out = "PG_VERSION");

	/* tars that others made, a cut one, a link in the place of a file */
	path = psprintf("%s/m/base.tar.gz", (char *) *state);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	expect_refused(*state, (Made) {.name = "m"},
				   "base.tar.gz is compressed with gzip; only zstd can be"
				   " read");
	assert_int_equal(unlink(path), 0);
	pg_free(path);
	path = psprintf("%s/m/base.tar.lz4", (char *) *state);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	expect_refused(*state, (Made) {.name = "m"},
				   "base.tar.lz4 is compressed with LZ4; only zstd can be"
				   " read");
	pg_free(path);
	path = psprintf("%s/d/base.tar", (char *) *state);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	expect_refused(*state, (Made) {.name = "d"},
				   "it has both base.tar and base.tar.zst");
	pg_free(path);
	path = psprintf("%s/e/base.tar", (char *) *state);
	assert_int_equal(truncate(path, 600), 0);
	expect_refused(*state, (Made) {.name = "e"},
				   "archive \"base.tar\": archive ends within a member");
	pg_free(path);
	path = psprintf("%s/b/backup_label", (char *) *state);
	assert_int_equal(symlink("PG_VERSION", path), 0);
	expect_refused(*state, (Made) {.name = "b"}, "could not read file"
				   " \"backup_label\": Too many levels of symbolic links");
	pg_free(path);

	assert_null(backup_open("/nonexistent", &problem));
	assert_string_equal(problem, "could not open directory \"/nonexistent\":"
						" No such file or directory");
	pg_free(problem);
}

static void
tar_names(void **state)
{
	static const char *const bad[] = {
		"", "base", "base.tar.gz", "base.tar.zst.tmp", "base.ta", "xbase.tar",
		"16385", "016385.tar", "0.tar", "4294967295.tar", "pg_wal",
		"99999999999.tar", "base1.tar", "16385.tar.lz4"
	};
	Oid			oid = 7;

	for (int i = 0; i < lengthof(bad); i++)
		if (backup_tar_name(bad[i], &oid))
			fail_msg("accepted \"%s\"", bad[i]);
	assert_true(backup_tar_name("base.tar", &oid));
	assert_int_equal(oid, 0);
	assert_true(backup_tar_name("16385.tar.zst", &oid));
	assert_int_equal(oid, 16385);
	assert_true(backup_tar_name("4294967294.tar", &oid));
	assert_true(oid == PG_UINT32_MAX - 1);
	assert_true(backup_tar_name("pg_wal.tar", &oid));
	assert_true(oid == BACKUP_WAL_TAR);
	assert_true(backup_tar_name("base.tar.zst", &oid));
	assert_int_equal(oid, 0);
}

static void
close_all(Backup **backups, int n)
{
	for (int i = 0; i < n; i++)
		backup_close(backups[i]);
	pg_free(backups);
}

/* Siblings come without their manifests, which say what is wrong later. */
static void
loading(void **state)
{
	int			n;
	Backup	  **siblings;
	char	   *problem;

	for (int layout = 0; layout <= 2; layout++)
	{
		char	   *name = psprintf("%d", layout);

		make_backup(*state, (Made) {.name = name,.layout = layout,
					.start = 0x2000028,.changed = layout == 1 ?
					"backup_label" : NULL
		});
		pg_free(name);
	}
	siblings = backup_siblings(*state, &n);
	assert_int_equal(n, 3);
	for (int i = 0; i < n; i++)
	{
		assert_null(siblings[i]->manifest);
		assert_true(siblings[i]->label.start_lsn == 0x2000028);
		assert_true(siblings[i]->end_lsn == 0);
		assert_int_equal(backup_load(siblings[i], &problem), i != 1);
		if (i == 1)
		{
			assert_non_null(strstr(problem, "/1\": file \"backup_label\" is not"
								   " the one that the manifest lists"));
			assert_null(siblings[i]->manifest);
			pg_free(problem);
			continue;
		}
		assert_null(problem);
		assert_int_equal(siblings[i]->manifest->nfiles, 3);
		assert_true(backup_load(siblings[i], &problem));
		backup_unload(siblings[i]);
		assert_null(siblings[i]->manifest);
		assert_true(siblings[i]->end_lsn == 0x2000528);
		assert_true(backup_load(siblings[i], &problem));
	}
	close_all(siblings, n);
}

/* What the chain that ends with a backup is, as the names' first letters. */
static void
expect_chain(const char *root, const char *name, const char *expected,
			 const char *in_problem)
{
	int			n;
	Backup	  **siblings = backup_siblings(root, &n);
	Backup	  **chain = pg_malloc((n + 1) * sizeof(Backup *));
	Backup	   *backup = open_made(root, name);
	char	   *problem;
	char		letters[20] = "";
	int			length = backup_chain(backup, siblings, n, chain, &problem);

	for (int i = 0; i < length; i++)
		letters[i] = strrchr(chain[i]->path, '/')[1];
	assert_string_equal(letters, expected);
	if (in_problem == NULL)
	{
		assert_null(problem);
		assert_ptr_equal(chain[length - 1], backup);
	}
	else if (problem == NULL || strstr(problem, in_problem) == NULL)
		fail_msg("\"%s\" lacks \"%s\"", problem ? problem : "", in_problem);
	pg_free(problem);
	pg_free(chain);
	backup_close(backup);
	close_all(siblings, n);
}

static void
chains(void **state)
{
	char	   *path = psprintf("%s/link", (char *) *state);
	int			n;
	Backup	  **siblings;

#define MAKE(...) make_backup(*state, (Made) {__VA_ARGS__})

	MAKE(.name = "full",.start = 0x1000028,.id = "1");
	MAKE(.name = "one",.layout = 2,.start = 0x2000028,
		 .incremental = 0x1000028,.id = "2",.parent = "1");
	MAKE(.name = "two",.start = 0x3000028,
		 .incremental = 0x2000028,.id = "3",.parent = "2");
	MAKE(.name = "x.partial",.start = 0x4000028);
	MAKE(.name = "y",.start = 0x4000028,.left_out = "backup_manifest");
	assert_int_equal(symlink("one", path), 0);
	siblings = backup_siblings(*state, &n);
	assert_int_equal(n, 3);
	close_all(siblings, n);
	expect_chain(*state, "full", "f", NULL);
	expect_chain(*state, "one", "fo", NULL);
	expect_chain(*state, "two", "fot", NULL);

	/* the same place, another id: on a standby two backups can share START */
	MAKE(.name = "alike",.start = 0x2000028,
		 .incremental = 0x1000028,.id = "4",.parent = "1");
	expect_chain(*state, "two", "fot", NULL);

	/* a full that stands for an increment comes before it */
	MAKE(.name = "put",.start = 0x2000028,.id = "2",.parent = "1");
	expect_chain(*state, "two", "pt", NULL);
	expect_chain(*state, "put", "p", NULL);
	MAKE(.name = "again",.start = 0x2000028,.id = "2",.parent = "1");
	expect_chain(*state, "two", "", "again\" and ");

	/* an id that nobody has; another cluster's */
	MAKE(.name = "lost",.start = 0x5000028,
		 .incremental = 0x2000028,.id = "5",.parent = "6");
	expect_chain(*state, "lost", "",
				 "is missing: it starts at 0/2000028 on timeline 1, id 6666");
	MAKE(.name = "zero",.version = 1,.system = 4,.start = 0x5000028,
		 .incremental = 0x1000028,.id = "7",.parent = "1");
	expect_chain(*state, "zero", "",
				 "is 7000000000000000001, not 4: it is of another cluster");

	/* without ids by place */
	MAKE(.name = "by place",.start = 0x6000028,.incremental = 0x1000028);
	expect_chain(*state, "by place", "fb", NULL);
	MAKE(.name = "child",.start = 0x7000028,.incremental = 0x6000028);
	expect_chain(*state, "child", "fbc", NULL);

	/* with ids and without: an id names the parent, or says that it has none */
	MAKE(.name = "stock",.start = 0x9000028);
	MAKE(.name = "named",.start = 0x9000028,.id = "8");
	MAKE(.name = "of stock",.start = 0xA000028,
		 .incremental = 0x9000028,.id = "9");
	expect_chain(*state, "of stock", "so", NULL);
	MAKE(.name = "bynamed",.start = 0xA000028,
		 .incremental = 0x9000028,.id = "a",.parent = "8");
	expect_chain(*state, "bynamed", "nb", NULL);

	/* START as its own: it does not need itself */
	MAKE(.name = "self",.start = 0x8000028,.incremental = 0x8000028);
	expect_chain(*state, "self", "", "is missing");
	pg_free(path);
}

static void
expect_mark(const char *root, Made made, XLogRecPtr lsn, XLogRecPtr redo,
			bool has_crc, int64 time)
{
	CheckpointMark mark;
	Backup	   *backup;
	char	   *problem;

	make_backup(root, made);
	backup = open_made(root, made.name);
	assert_true(backup_mark(backup, &mark, &problem));
	assert_null(problem);
	assert_true(mark.lsn == lsn);
	assert_true(mark.redo == redo);
	assert_int_equal(mark.has_crc, has_crc);
	assert_true(mark.time == time);
	if (!has_crc)
		assert_int_equal(mark.crc, 0);
	backup_close(backup);
}

static void
marks(void **state)
{
#define MARK(lsn, redo, has_crc, time, ...) \
	expect_mark(*state, (Made) {__VA_ARGS__}, lsn, redo, has_crc, time)

	MARK(0x2000060, 0x2000028, true, 1767323045,
		 .name = "label",.start = 0x2000028,.mark = true);
	for (int layout = 0; layout <= 2; layout++)
	{
		char	   *name = psprintf("wal%d", layout);

		MARK(0x2000060, 0x2000028, true, 54321,
			 .name = name,.layout = layout,.start = 0x2000028,.wal = true);
		pg_free(name);
	}
	MARK(0x2000128, 0x20000B8, false, 12345,
		 .name = "control",.start = 0x2000028);

	/* the record at each place around the end of a page */
	for (int i = 0; i < 20; i++)
	{
		char	   *name = psprintf("page%d", i);
		XLogRecPtr	start = 0x2004000 - 0x38 - 8 * (i + 1);

		MARK(start + 0x38, start, true, 54321,
			 .name = name,.start = start,.wal = true);
		pg_free(name);
	}

	/* what is in its place is no such record */
	make_backup(*state, (Made) {.name = "zeros",.start = 0x2000028,.wal = true});
	{
		char	   *path = psprintf("%s/zeros/pg_wal/000000010000000000000020",
									(char *) *state);
		Backup	   *backup = open_made(*state, "zeros");
		CheckpointMark mark;
		char	   *problem;

		for (off_t length = SEGMENT_SIZE; length >= 0; length -= SEGMENT_SIZE / 2)
		{
			assert_int_equal(truncate(path, 0x60 + 10), 0);
			assert_int_equal(truncate(path, length), 0);
			assert_true(backup_mark(backup, &mark, &problem));
			assert_false(mark.has_crc);
			assert_true(mark.lsn == 0x2000128);
		}
		backup_close(backup);
		pg_free(path);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(opening, make_root, remove_root),
		cmocka_unit_test_setup_teardown(refused, make_root, remove_root),
		cmocka_unit_test(tar_names),
		cmocka_unit_test_setup_teardown(loading, make_root, remove_root),
		cmocka_unit_test_setup_teardown(chains, make_root, remove_root),
		cmocka_unit_test_setup_teardown(marks, make_root, remove_root),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
