/*-------------------------------------------------------------------------
 *
 * backup.c
 *		A backup in a directory, plain or tar.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/common/backup.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bin/common/files.h"
#include "bin/common/paths.h"
#include "common/logging.h"
#include "port/pg_crc32c.h"

#define LABEL_FILE		"backup_label"
#define CONTROL_FILE	"global/pg_control"
#define MANIFEST_FILE	"backup_manifest"

/* Is this a tar of the backup? */
bool
backup_tar_name(const char *name, Oid *tablespace)
{
	size_t		digits = strspn(name, "0123456789");
	const char *suffix = name + digits;
	uint64		oid = 0;

	if (digits == 0 && strncmp(name, "base", 4) == 0)
		suffix = name + 4;
	else if (digits == 0 && strncmp(name, "pg_wal", 6) == 0)
	{
		suffix = name + 6;
		oid = BACKUP_WAL_TAR;
	}
	else if (digits == 0 || digits > 10 || name[0] == '0')
		return false;
	else if ((oid = strtoull(name, NULL, 10)) >= BACKUP_WAL_TAR)
		return false;
	if (strcmp(suffix, ".tar") != 0 && strcmp(suffix, ".tar.zst") != 0)
		return false;
	*tablespace = (Oid) oid;
	return true;
}

static bool
exists(int dir, const char *name)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Plain or tar, compressed or not; NULL, or what is wrong. */
static const char *
find_layout(Backup *backup)
{
	bool		plain = exists(backup->dir, "PG_VERSION");
	bool		tar = exists(backup->dir, "base.tar");
	bool		zstd = exists(backup->dir, "base.tar.zst");

	backup->tar = !plain && (tar || zstd);
	backup->compressed = !plain && zstd;
	if (plain)
		return NULL;
	if (tar && zstd)
		return "it has both base.tar and base.tar.zst";
	if (tar || zstd)
		return NULL;
	if (exists(backup->dir, "base.tar.gz"))
		return "base.tar.gz is compressed with gzip; only zstd can be read";
	if (exists(backup->dir, "base.tar.lz4"))
		return "base.tar.lz4 is compressed with LZ4; only zstd can be read";
	return "it has neither PG_VERSION nor base.tar or base.tar.zst";
}

/* Read a file of a directory; NULL with a problem. */
static char *
read_file(int dir, const char *name, size_t max, size_t *length,
		  char **problem)
{
	int			fd = path_open(dir, name, O_RDONLY, 0, 0);
	char	   *bytes = fd < 0 ? NULL : read_whole_file(fd, max, length);

	if (bytes == NULL)
		*problem = psprintf("could not read file \"%s\": %m", name);
	if (fd >= 0)
		close(fd);
	return bytes;
}

/* Does a file agree with the manifest? */
static bool
agrees_with_manifest(const Manifest *manifest, const TarWanted *wanted)
{
	ManifestFile *file = manifest_find(manifest, wanted->name);
	pg_checksum_context context;
	uint8		checksum[PG_CHECKSUM_MAX_LENGTH];

	if (file == NULL || file->size != wanted->length)
		return false;
	if (file->checksum_type == CHECKSUM_TYPE_NONE)
		return true;
	if (pg_checksum_init(&context, file->checksum_type) < 0 ||
		pg_checksum_update(&context, (const uint8 *) wanted->bytes,
						   wanted->length) < 0 ||
		pg_checksum_final(&context, checksum) < 0)
		pg_fatal("could not compute checksum of file \"%s\"", wanted->name);
	return memcmp(checksum, file->checksum, file->checksum_length) == 0;
}

/* Read the manifest and find where the backup's WAL ends. */
static bool
read_manifest(Backup *backup, char **problem)
{
	size_t		length;
	char	   *text;
	char	   *reason;

	text = read_file(backup->dir, MANIFEST_FILE, PG_INT32_MAX, &length,
					 problem);
	if (text == NULL)
		return false;
	backup->manifest = manifest_parse(text, length, &reason);
	pg_free(text);
	if (backup->manifest == NULL)
	{
		*problem = psprintf("file \"" MANIFEST_FILE "\": %s", reason);
		pg_free(reason);
		return false;
	}
	for (uint32 i = 0; i < backup->manifest->nranges; i++)
	{
		const ManifestWalRange *range = &backup->manifest->ranges[i];

		if (range->end_lsn < backup->end_lsn)
			continue;
		backup->end_lsn = range->end_lsn;
		backup->end_tli = range->timeline;
	}
	return true;
}

/* Get the label's text and the bytes of pg_control. */
static bool
read_files(Backup *backup, char **problem)
{
	const char *archive = backup->compressed ? "base.tar.zst" : "base.tar";
	TarWanted  *files[] = {&backup->label_file, &backup->control_file};
	TarWanted	wanted[lengthof(files)] = {
		{LABEL_FILE, LABEL_MAX_BYTES}, {CONTROL_FILE, PG_CONTROL_FILE_SIZE}
	};
	bool		ok = true;

	if (backup->tar)
		ok = tar_fetch(backup->dir, archive, wanted, lengthof(wanted),
					   problem);
	for (int i = 0; i < lengthof(wanted); i++)
	{
		if (ok && !backup->tar)
			wanted[i].bytes = read_file(backup->dir, wanted[i].name,
										wanted[i].max, &wanted[i].length,
										problem);
		else if (ok && wanted[i].bytes == NULL)
			*problem = psprintf("archive \"%s\" has no file \"%s\"", archive,
								wanted[i].name);
		ok = ok && wanted[i].bytes != NULL;
		*files[i] = wanted[i];
	}
	return ok;
}

/* NULL, or what is wrong with pg_control. */
static const char *
take_control(Backup *backup)
{
	const TarWanted *wanted = &backup->control_file;
	ControlFileData *control = &backup->control;
	pg_crc32c	crc;

	if (wanted->length != PG_CONTROL_FILE_SIZE)
		return "wrong length";
	memcpy(control, wanted->bytes, sizeof(*control));
	if (control->pg_control_version != PG_CONTROL_VERSION)
		return "it is of another major version of PostgreSQL than this"
			" program";
	INIT_CRC32C(crc);
	COMP_CRC32C(crc, control, offsetof(ControlFileData, crc));
	FIN_CRC32C(crc);
	if (!EQ_CRC32C(crc, control->crc))
		return "wrong checksum";
	if (control->blcksz != BLCKSZ || control->relseg_size != RELSEG_SIZE)
		return "it has other sizes of blocks or segments than this program";
	if (control->xlog_seg_size < 1024 * 1024 ||
		(control->xlog_seg_size & (control->xlog_seg_size - 1)) != 0)
		return "wrong size of WAL segments";
	backup->system_identifier = control->system_identifier;
	return NULL;
}

/* Read and compare all but the manifest. */
static bool
read_backup(Backup *backup, char **problem)
{
	const char *reason;
	const char *file = NULL;

	if (!exists(backup->dir, MANIFEST_FILE))
	{
		*problem = pstrdup("file \"" MANIFEST_FILE "\" is missing:"
						   " it is no complete backup");
		return false;
	}
	reason = find_layout(backup);
	if (reason == NULL)
	{
		if (!read_files(backup, problem))
			return false;
		file = CONTROL_FILE;
		reason = take_control(backup);
	}
	if (reason == NULL)
	{
		file = LABEL_FILE;
		backup->label_text = backup->label_file.bytes;
		(void) label_parse(&backup->label, backup->label_text,
						   backup->label_file.length, &reason);
	}
	if (reason != NULL)
		*problem = file == NULL ? pstrdup(reason) :
			psprintf("file \"%s\": %s", file, reason);
	return reason == NULL;
}

static bool
has_range_of_label(const Backup *backup)
{
	const Manifest *manifest = backup->manifest;

	for (uint32 i = 0; i < manifest->nranges; i++)
		if (manifest->ranges[i].timeline == backup->label.start_tli &&
			manifest->ranges[i].start_lsn == backup->label.start_lsn)
			return true;
	return false;
}

/* Compare the manifest with what was read before. */
static char *
check_manifest(const Backup *backup)
{
	const TarWanted *files[] = {&backup->label_file, &backup->control_file};

	for (int i = 0; i < lengthof(files); i++)
		if (!agrees_with_manifest(backup->manifest, files[i]))
			return psprintf("file \"%s\" is not the one that the manifest"
							" lists", files[i]->name);
	if (backup->manifest->version >= 2 &&
		backup->manifest->system_identifier != backup->system_identifier)
		return pstrdup("file \"" CONTROL_FILE "\": it has another system"
					   " identifier than the manifest");
	if (!has_range_of_label(backup))
		return pstrdup("file \"" LABEL_FILE "\": the manifest has no WAL range"
					   " that starts where the label says");
	return NULL;
}

/* Read the manifest, unless it was. */
bool
backup_load(Backup *backup, char **problem)
{
	char	   *reason = NULL;

	*problem = NULL;
	if (backup->manifest != NULL)
		return true;
	if (read_manifest(backup, &reason))
		reason = check_manifest(backup);
	if (reason == NULL)
		return true;
	backup_unload(backup);
	*problem = psprintf("backup \"%s\": %s", backup->path, reason);
	pg_free(reason);
	return false;
}

void
backup_unload(Backup *backup)
{
	if (backup->manifest != NULL)
		manifest_free(backup->manifest);
	backup->manifest = NULL;
}

/* Open a directory, without its manifest. */
static Backup *
open_unloaded(const char *path, char **problem)
{
	Backup	   *backup = pg_malloc0(sizeof(Backup));
	char	   *reason = NULL;

	*problem = NULL;
	backup->path = pg_strdup(path);
	backup->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (backup->dir < 0)
		*problem = psprintf("could not open directory \"%s\": %m", path);
	else if (!read_backup(backup, &reason))
	{
		*problem = psprintf("backup \"%s\": %s", path, reason);
		pg_free(reason);
	}
	if (*problem == NULL)
		return backup;
	backup_close(backup);
	return NULL;
}

/* Open a directory as a backup. */
Backup *
backup_open(const char *path, char **problem)
{
	Backup	   *backup = open_unloaded(path, problem);

	if (backup == NULL || backup_load(backup, problem))
		return backup;
	backup_close(backup);
	return NULL;
}

void
backup_close(Backup *backup)
{
	if (backup->dir >= 0)
		close(backup->dir);
	backup_unload(backup);
	pg_free(backup->label_file.bytes);
	pg_free(backup->control_file.bytes);
	pg_free(backup->path);
	pg_free(backup);
}

static int
compare_backups(const void *a, const void *b)
{
	return strcmp((*(Backup *const *) a)->path, (*(Backup *const *) b)->path);
}

/* Does a name end with this? */
bool
backup_has_suffix(const char *name, const char *suffix)
{
	size_t		length = strlen(name);

	return length >= strlen(suffix) &&
		strcmp(name + length - strlen(suffix), suffix) == 0;
}

/* May a directory's entry be a backup?  A link is another name of one. */
static bool
may_be_backup(int dir, const char *name)
{
	static const char *const suffixes[] = {SUFFIX_PARTIAL, SUFFIX_FORWARD,
	SUFFIX_PREVIOUS, SUFFIX_REMOVED};
	char		manifest[MAXPGPATH];
	struct stat st;

	for (int i = 0; i < lengthof(suffixes); i++)
		if (backup_has_suffix(name, suffixes[i]))
			return false;
	if (name[0] == '.')
		return false;
	snprintf(manifest, sizeof(manifest), "%s/" MANIFEST_FILE, name);
	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		S_ISDIR(st.st_mode) && exists(dir, manifest);
}

/* All complete backups in a directory, sorted by name, in new memory. */
Backup	  **
backup_siblings(const char *directory, int *count)
{
	DIR		   *list = opendir(directory);
	Backup	  **backups = pg_malloc(sizeof(Backup *));
	struct dirent *entry;

	*count = 0;
	if (list == NULL)
	{
		pg_log_warning("could not open directory \"%s\": %m", directory);
		return backups;
	}
	while (errno = 0, (entry = readdir(list)) != NULL)
	{
		char	   *path;
		char	   *problem;
		Backup	   *backup;

		if (!may_be_backup(dirfd(list), entry->d_name))
			continue;
		path = psprintf("%s/%s", directory, entry->d_name);
		backup = open_unloaded(path, &problem);
		pg_free(path);
		if (backup == NULL)
		{
			pg_log_warning("skipped: %s", problem);
			pg_free(problem);
			continue;
		}
		backups = pg_realloc(backups, (*count + 1) * sizeof(Backup *));
		backups[(*count)++] = backup;
	}
	if (errno != 0)
		pg_log_warning("could not read directory \"%s\": %m", directory);
	closedir(list);
	qsort(backups, *count, sizeof(Backup *), compare_backups);
	return backups;
}
