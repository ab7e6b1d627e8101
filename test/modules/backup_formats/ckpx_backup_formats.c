/*
 * What the library of the client programs makes of real files.
 *
 *	open BACKUP				a line that says what was found
 *	chain DIRECTORY BACKUP	the backups of its chain, from the full on
 *	manifest IN OUT			read and write again
 *	increment FILE			number of blocks, truncation length
 *	extract TAR DIRECTORY
 *	pack DIRECTORY TAR		of the names on standard input
 */
#include "postgres_fe.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bin/common/backup.h"
#include "bin/common/files.h"
#include "bin/common/increment.h"
#include "bin/common/paths.h"
#include "bin/common/tar.h"
#include "common/logging.h"

static int
open_or_die(const char *path, int flags)
{
	int			fd = open(path, flags, 0600);

	if (fd < 0)
		pg_fatal("could not open \"%s\": %m", path);
	return fd;
}

static void
do_open(const char *path)
{
	char	   *problem;
	Backup	   *backup = backup_open(path, &problem);
	CheckpointMark mark;

	if (backup == NULL)
		pg_fatal("%s", problem);
	if (!backup_mark(backup, &mark, &problem))
		pg_fatal("%s", problem);
	printf("tar=%d compressed=%d version=%d system=" UINT64_FORMAT
		   " start=%X/%X tli=%u checkpoint=%X/%X end=%X/%X\n"
		   "mark=%X/%X redo=%X/%X has_crc=%d crc=%08x time=" INT64_FORMAT "\n",
		   backup->tar, backup->compressed, backup->manifest->version,
		   backup->system_identifier, LSN_FORMAT_ARGS(backup->label.start_lsn),
		   backup->label.start_tli,
		   LSN_FORMAT_ARGS(backup->label.checkpoint_lsn),
		   LSN_FORMAT_ARGS(backup->end_lsn), LSN_FORMAT_ARGS(mark.lsn),
		   LSN_FORMAT_ARGS(mark.redo), mark.has_crc, mark.crc, mark.time);
	backup_close(backup);
}

static void
do_chain(const char *directory, const char *path)
{
	int			n;
	Backup	  **siblings = backup_siblings(directory, &n);
	Backup	  **chain = pg_malloc((n + 1) * sizeof(Backup *));
	char	   *problem;
	Backup	   *backup = backup_open(path, &problem);

	if (backup == NULL)
		pg_fatal("%s", problem);
	n = backup_chain(backup, siblings, n, chain, &problem);
	if (n == 0)
		pg_fatal("%s", problem);
	for (int i = 0; i < n; i++)
		printf("%s\n", chain[i]->path);
}

static void
do_manifest(const char *in, const char *out)
{
	size_t		length;
	char	   *text = read_whole_file(open_or_die(in, O_RDONLY),
									   PG_INT32_MAX, &length);
	char	   *problem;
	Manifest   *manifest = manifest_parse(text, length, &problem);

	if (manifest == NULL)
		pg_fatal("%s", problem);
	if (!manifest_write(manifest,
						open_or_die(out, O_WRONLY | O_CREAT | O_TRUNC)))
		pg_fatal("could not write \"%s\": %m", out);
}

static void
do_increment(const char *path)
{
	size_t		length;
	char	   *bytes = read_whole_file(open_or_die(path, O_RDONLY),
										PG_INT32_MAX, &length);
	size_t		needed;
	const char *problem;
	Increment	increment;

	if (!increment_decode(&increment, bytes, length, length, &needed,
						  &problem))
		pg_fatal("%s: %s", path, problem);
	printf("%u %u\n", increment.nblocks, increment.truncation_length);
}

static ssize_t
read_input(void *arg, char *buffer, size_t length)
{
	return read(*(int *) arg, buffer, length);
}

static bool
write_output(void *arg, const char *bytes, size_t length)
{
	return write_all(*(int *) arg, bytes, length);
}

static bool
is_compressed(const char *name)
{
	return strstr(name, ".zst") != NULL;
}

static void
do_extract(const char *tar, const char *directory)
{
	int			in = open_or_die(tar, O_RDONLY);
	int			root = open_or_die(directory, O_RDONLY | O_DIRECTORY);
	TarReader  *reader = tar_open(read_input, &in, is_compressed(tar));
	TarMember	member;
	char	   *problem;
	char		piece[100000];
	ssize_t		n;

	while (tar_next(reader, &member, &problem))
	{
		int			fd;

		if (member.type == TAR_DIRECTORY)
		{
			if (path_mkdir(root, member.name, 0700) != 0)
				pg_fatal("\"%s\": %m", member.name);
			continue;
		}
		if (member.type == TAR_SYMLINK)
		{
			const char *last;
			int			dir = path_open_parent(root, member.name, 0700, &last);

			if (symlinkat(member.link, dir, last) != 0)
				pg_fatal("\"%s\": %m", member.name);
			close(dir);
			continue;
		}
		fd = path_open(root, member.name, O_WRONLY | O_CREAT | O_EXCL, 0600,
					   0700);
		while ((n = tar_read(reader, piece, sizeof(piece), &problem)) > 0)
			if (fd < 0 || !write_all(fd, piece, n))
				pg_fatal("\"%s\": %m", member.name);
		if (n < 0)
			pg_fatal("\"%s\": %s", member.name, problem);
		close(fd);
	}
	if (problem != NULL)
		pg_fatal("%s", problem);
	tar_close(reader);
}

static void
pack_member(TarWriter *writer, int root, const char *name)
{
	TarMember	member = {0};
	struct stat st;
	size_t		length = 0;
	char	   *bytes = NULL;

	if (path_check(name) != NULL || fstatat(root, name, &st, 0) != 0)
		pg_fatal("\"%s\" cannot be packed", name);
	strlcpy(member.name, name, sizeof(member.name));
	member.type = S_ISDIR(st.st_mode) ? TAR_DIRECTORY : TAR_FILE;
	member.mode = st.st_mode & 0777;
	member.modified = st.st_mtime;
	if (member.type == TAR_FILE)
	{
		int			fd = path_open(root, name, O_RDONLY, 0, 0);

		bytes = read_whole_file(fd, PG_INT32_MAX, &length);
		close(fd);
		member.size = length;
	}
	if (!tar_member(writer, &member) || !tar_write(writer, bytes, length) ||
		!tar_member_end(writer))
		pg_fatal("could not write \"%s\": %m", name);
	pg_free(bytes);
}

static void
do_pack(const char *directory, const char *tar)
{
	int			out = open_or_die(tar, O_WRONLY | O_CREAT | O_TRUNC);
	int			root = open_or_die(directory, O_RDONLY | O_DIRECTORY);
	TarWriter  *writer = tar_create(write_output, &out,
									is_compressed(tar) ? 3 : 0);
	char		name[MAXPGPATH];

	while (fgets(name, sizeof(name), stdin) != NULL)
	{
		name[strcspn(name, "\n")] = '\0';
		pack_member(writer, root, name);
	}
	if (!tar_finish(writer))
		pg_fatal("could not write \"%s\": %m", tar);
}

int
main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	pg_logging_init(argv[0]);
	if (strcmp(what, "open") == 0 && argc == 3)
		do_open(argv[2]);
	else if (strcmp(what, "chain") == 0 && argc == 4)
		do_chain(argv[2], argv[3]);
	else if (strcmp(what, "manifest") == 0 && argc == 4)
		do_manifest(argv[2], argv[3]);
	else if (strcmp(what, "increment") == 0 && argc == 3)
		do_increment(argv[2]);
	else if (strcmp(what, "extract") == 0 && argc == 4)
		do_extract(argv[2], argv[3]);
	else if (strcmp(what, "pack") == 0 && argc == 4)
		do_pack(argv[2], argv[3]);
	else
		pg_fatal("wrong arguments");
	return 0;
}
