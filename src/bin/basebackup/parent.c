/*-------------------------------------------------------------------------
 *
 * parent.c
 *		The backup that an increment goes on from.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/basebackup/parent.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bin/basebackup/mark.h"
#include "bin/basebackup/run.h"
#include "bin/common/increment.h"
#include "bin/common/paths.h"
#include "bin/common/tar.h"
#include "common/string.h"

struct ParentLength
{
	char	   *path;			/* without INCREMENTAL. */
	BlockNumber length;
};

static int
compare_lengths(const void *a, const void *b)
{
	return strcmp(((const ParentLength *) a)->path,
				  ((const ParentLength *) b)->path);
}

static void
add_length(Parent *parent, const char *name, BlockNumber length)
{
	char		path[MAXPGPATH];

	path_incremental(name, path);
	if ((parent->nlengths & (parent->nlengths + 1)) == 0)
		parent->lengths = pg_realloc(parent->lengths, sizeof(ParentLength) *
									 2 * (parent->nlengths + 1));
	parent->lengths[parent->nlengths].path = pg_strdup(path);
	parent->lengths[parent->nlengths++].length = length;
}

/* The truncation length out of the first bytes of an increment. */
static bool
header_length(const char *header, size_t length, BlockNumber *blocks)
{
	uint32		words[3];

	if (length < sizeof(words))
		return false;
	memcpy(words, header, sizeof(words));
	*blocks = words[2];
	return words[0] == INCREMENT_MAGIC && words[2] <= RELSEG_SIZE;
}

static bool
read_plain_lengths(Parent *parent)
{
	ManifestFile **files = manifest_sorted(parent->backup->manifest);
	bool		good = true;

	for (uint32 i = 0; good && i < parent->backup->manifest->nfiles; i++)
	{
		PathParts	parts;
		char		header[12];
		BlockNumber blocks;
		int			fd;

		path_parse(files[i]->path, &parts);
		if (!parts.incremental)
			continue;
		fd = path_open(parent->backup->dir, files[i]->path, O_RDONLY, 0, 0);
		/* in a tablespace: below a link of the backup's own */
		if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
			fd = openat(parent->backup->dir, files[i]->path, O_RDONLY);
		good = fd >= 0 && read(fd, header, sizeof(header)) == sizeof(header) &&
			header_length(header, sizeof(header), &blocks);
		if (good)
			add_length(parent, files[i]->path, blocks);
		else
			run_fail("could not read file \"%s/%s\" of the parent",
					 parent->backup->path, files[i]->path);
		if (fd >= 0)
			close(fd);
	}
	pfree(files);
	return good;
}

static ssize_t
read_fd(void *arg, char *buffer, size_t length)
{
	return read(*(int *) arg, buffer, length);
}

/* The headers of all increments in one archive. */
static bool
read_tar_lengths(Parent *parent, const char *archive, Oid tablespace)
{
	int			fd = openat(parent->backup->dir, archive, O_RDONLY);
	TarReader  *reader = tar_open(read_fd, &fd, parent->backup->compressed);
	TarMember	member;
	char	   *problem = NULL;

	while (fd >= 0 && problem == NULL &&
		   tar_next(reader, &member, &problem))
	{
		char		name[MAXPGPATH * 2];
		PathParts	parts;
		char		header[12];
		BlockNumber blocks;

		if (tablespace == InvalidOid)
			strlcpy(name, member.name, sizeof(name));
		else
			snprintf(name, sizeof(name), "pg_tblspc/%u/%s", tablespace,
					 member.name);
		if (member.type != TAR_FILE || strlen(name) >= MAXPGPATH)
			continue;
		path_parse(name, &parts);
		if (!parts.incremental)
			continue;
		if (tar_read(reader, header, sizeof(header), &problem) !=
			sizeof(header) || !header_length(header, sizeof(header), &blocks))
		{
			if (problem == NULL)
				problem = psprintf("member \"%s\" is no increment", name);
			break;
		}
		add_length(parent, name, blocks);
	}
	tar_close(reader);
	if (fd < 0)
		problem = pg_strdup(strerror(errno));
	else
		close(fd);
	if (problem != NULL)
		run_fail("could not read file \"%s/%s\" of the parent: %s",
				 parent->backup->path, archive, problem);
	return problem == NULL;
}

/* Lengths of the parent's increments: not in its manifest, but in them. */
static bool
read_lengths(Parent *parent)
{
	bool		good = true;

	if (parent->backup->label.incremental_lsn == InvalidXLogRecPtr)
		return true;
	if (!parent->backup->tar)
		good = read_plain_lengths(parent);
	else
	{
		DIR		   *dir = fdopendir(openat(parent->backup->dir, ".",
										   O_RDONLY | O_DIRECTORY));
		struct dirent *entry;
		Oid			tablespace;

		while (good && dir && (entry = readdir(dir)) != NULL)
		{
			if (backup_tar_name(entry->d_name, &tablespace))
				good = read_tar_lengths(parent, entry->d_name, tablespace);
		}
		if (dir)
			closedir(dir);
	}
	if (parent->nlengths > 0)
		qsort(parent->lengths, parent->nlengths, sizeof(ParentLength),
			  compare_lengths);
	return good;
}

bool
parent_length(const Parent *parent, const char *path, BlockNumber *length)
{
	ManifestFile *file = manifest_find(parent->backup->manifest, path);
	ParentLength key = {.path = unconstify(char *, path)};
	ParentLength *found;

	if (file != NULL)
	{
		*length = Min(file->size / BLCKSZ, RELSEG_SIZE);
		return true;
	}
	if (parent->nlengths == 0)
		return false;
	found = bsearch(&key, parent->lengths, parent->nlengths,
					sizeof(ParentLength), compare_lengths);
	if (found != NULL)
		*length = found->length;
	return found != NULL;
}

bool
parent_has_same(const Parent *parent, const char *path, uint64 size,
				uint32 crc)
{
	char		stub[MAXPGPATH];

	path_incremental(path, stub);
	for (int i = parent->chain_length - 1; i >= 0; i--)
	{
		const Manifest *manifest = parent->maps[i];
		ManifestFile *file = manifest_find(manifest, path);

		if (file != NULL)
			return file->size == size &&
				file->checksum_type == CHECKSUM_TYPE_CRC32C &&
				file->checksum_length == sizeof(crc) &&
				memcmp(file->checksum, &crc, sizeof(crc)) == 0;
		/* an increment with blocks changes what the older ones have */
		file = manifest_find(manifest, stub);
		if (file == NULL || file->size != increment_file_length(0))
			return false;
	}
	return false;
}

/* Does a backup fit this server as it is built? */
static char *
check_same_cluster(const Backup *backup, const ControlFileData *control)
{
	const ControlFileData *other = &backup->control;

	if (backup->system_identifier != control->system_identifier)
		return psprintf("its system identifier is %llu, the server's is %llu",
						(unsigned long long) backup->system_identifier,
						(unsigned long long) control->system_identifier);
	if (other->pg_control_version != control->pg_control_version ||
		other->catalog_version_no != control->catalog_version_no)
		return pg_strdup("it comes from another version of PostgreSQL");
	if (other->blcksz != control->blcksz ||
		other->relseg_size != control->relseg_size ||
		other->xlog_seg_size != control->xlog_seg_size)
		return pg_strdup("its sizes of blocks, segments or WAL segments are other ones");
	if (other->data_checksum_version != control->data_checksum_version)
		return pg_strdup("data checksums have been switched since");
	return NULL;
}

/* The directory that holds a backup, in new memory. */
static char *
directory_of(const char *path)
{
	char	   *directory = pg_strdup(path);

	get_parent_directory(directory);
	if (directory[0] == '\0')
		strcpy(directory, is_absolute_path(path) ? "/" : ".");
	return directory;
}

/* What parent_has_same() needs of a manifest. */
static Manifest *
free_space_maps(const Manifest *manifest)
{
	Manifest   *maps = manifest_create(manifest->version,
									   manifest->system_identifier);
	ManifestFile **files = manifest_sorted(manifest);

	for (uint32 i = 0; i < manifest->nfiles; i++)
	{
		PathParts	parts;

		path_parse(files[i]->path, &parts);
		if (parts.kind == PATH_FSM)
			(void) manifest_add(maps, files[i]);
	}
	pg_free(files);
	return maps;
}

/* Look into the manifests of the chain; only the parent's stays in memory. */
static bool
read_maps(Parent *parent)
{
	char	   *problem;

	parent->maps = pg_malloc0(sizeof(Manifest *) * parent->chain_length);
	for (int i = 0; i < parent->chain_length; i++)
	{
		Backup	   *backup = parent->chain[i];

		if (!backup_load(backup, &problem))
		{
			pg_log_warning("skipped: %s", problem);
			pg_free(problem);
			return false;
		}
		parent->maps[i] = free_space_maps(backup->manifest);
		if (backup != parent->backup)
			backup_unload(backup);
	}
	return true;
}

/* Find the chain of the parent, which free space maps and --reread need. */
static void
find_chain(Parent *parent, Backup **siblings, int nsiblings)
{
	char	   *problem = NULL;

	parent->chain = pg_malloc(sizeof(Backup *) * (nsiblings + 2));
	parent->chain_length = backup_chain(parent->backup, siblings, nsiblings,
										parent->chain, &problem);
	if (parent->chain_length == 0)
		pg_log_debug("chain of the parent: %s", problem ? problem : "");
	else if (!read_maps(parent))
		parent->chain_length = 0;
	pg_free(problem);
}

static Parent *
parent_create(Backup *backup, Backup **siblings, int nsiblings)
{
	Parent	   *parent = pg_malloc0(sizeof(Parent));
	char	   *problem = NULL;

	parent->backup = backup;
	if (!backup_mark(backup, &parent->mark, &problem))
	{
		run_fail("no checkpoint record of backup \"%s\": %s", backup->path,
				 problem ? problem : "not found");
		return NULL;
	}
	find_chain(parent, siblings, nsiblings);
	return parent;
}

/* Newest first. */
static int
compare_backups(const void *a, const void *b)
{
	const Backup *first = *(Backup *const *) a;
	const Backup *second = *(Backup *const *) b;

	if (first->label.start_lsn != second->label.start_lsn)
		return first->label.start_lsn > second->label.start_lsn ? -1 : 1;
	if (first->end_lsn != second->end_lsn)
		return first->end_lsn > second->end_lsn ? -1 : 1;
	return strcmp(first->path, second->path);
}

/* May "auto" take it?  An increment of nothing, and one with bad pages, not. */
static bool
is_candidate(const Backup *backup, const ControlFileData *control)
{
	char	   *problem = check_same_cluster(backup, control);

	if (problem == NULL &&
		backup->label.incremental_lsn == backup->label.start_lsn)
		problem = pg_strdup("it has nothing that its parent lacks");
	if (problem == NULL && strstr(backup->label_text, BAD_CHECKSUMS_LINE))
		problem = pg_strdup("it has pages with wrong checksums");
	if (problem != NULL)
		pg_log_info("not taking \"%s\" as parent: %s", backup->path, problem);
	free(problem);
	return backup->label.incremental_lsn != backup->label.start_lsn &&
		problem == NULL;
}

/* Try one candidate; NULL where it is not of this history. */
static Parent *
try_candidate(Session *session, Backup *backup, Backup **siblings,
			  int nsiblings, const ControlFileData *control)
{
	Parent	   *parent;
	Timelines  *timelines;
	char	   *gap = NULL;

	if (!is_candidate(backup, control))
		return NULL;
	if (!backup_load(backup, &gap))
	{
		pg_log_warning("skipped: %s", gap);
		return NULL;
	}
	parent = parent_create(backup, siblings, nsiblings);
	if (parent == NULL)
	{
		run_forget_failure();
		return NULL;
	}
	if (parent->chain_length == 0)
	{
		pg_log_info("not taking \"%s\" as parent: its chain is not complete",
					backup->path);
		return NULL;
	}
	for (int i = 0; i < parent->chain_length; i++)
	{
		/* the candidate itself was looked at before */
		if (strstr(parent->chain[i]->label_text, BAD_CHECKSUMS_LINE) == NULL)
			continue;
		pg_log_info("not taking \"%s\" as parent: \"%s\", which it builds on, has pages with wrong checksums",
					backup->path, parent->chain[i]->path);
		return NULL;
	}
	timelines = timelines_read(session,
							   control->checkPointCopy.ThisTimeLineID);
	if (timelines && parent_prove(parent, session, timelines, &gap))
		return parent;
	if (gap != NULL)
		pg_log_info("not taking \"%s\" as parent: %s", backup->path, gap);
	return NULL;
}

/*
 * Of backups that start at the same place, as a standby's can, the newest is
 * the one that ends last, which the manifests say.
 */
static void
load_alike(Backup **backups, int count)
{
	for (int i = 0; i < count; i++)
	{
		char	   *problem = NULL;
		bool		alike = false;

		for (int j = 0; j < count; j++)
			alike |= j != i && backups[j]->label.start_lsn ==
				backups[i]->label.start_lsn;
		if (!alike)
			continue;
		(void) backup_load(backups[i], &problem);
		pg_free(problem);
		backup_unload(backups[i]);
	}
}

static Parent *
choose_auto(Session *session, const char *directory,
			const ControlFileData *control, Backup **siblings, int count,
			char **gap)
{
	Backup	  **sorted = pg_malloc(sizeof(Backup *) * (count + 1));
	Parent	   *parent = NULL;

	if (count > 0)
		memcpy(sorted, siblings, sizeof(Backup *) * count);
	load_alike(sorted, count);
	qsort(sorted, count, sizeof(Backup *), compare_backups);
	for (int i = 0; parent == NULL && i < count && !run_stopping(); i++)
	{
		parent = try_candidate(session, sorted[i], siblings, count, control);
		if (parent == NULL)
			backup_unload(sorted[i]);
	}
	if (parent == NULL && !run_stopping())
		*gap = psprintf("none of the %d backups in directory \"%s\" can be a parent",
						count, directory);
	pg_free(sorted);
	return parent;
}

/* The one that was named. */
static Backup *
open_wanted(const char *wanted, const ControlFileData *control)
{
	char	   *problem = NULL;
	Backup	   *backup = backup_open(wanted, &problem);

	if (backup == NULL)
	{
		run_fail("could not use \"%s\" as parent: %s", wanted, problem);
		return NULL;
	}
	problem = check_same_cluster(backup, control);
	if (problem == NULL)
		return backup;
	run_fail("backup \"%s\" cannot be the parent: %s", wanted, problem);
	return NULL;
}

/* Close the backups beside the parent that are not of its chain. */
static void
close_others(const Parent *parent, Backup **siblings, int count)
{
	for (int i = 0; i < count; i++)
	{
		bool		needed = siblings[i] == parent->backup;

		for (int j = 0; j < parent->chain_length; j++)
			needed |= siblings[i] == parent->chain[j];
		if (!needed)
			backup_close(siblings[i]);
	}
	pg_free(siblings);
}

Parent *
parent_choose(Session *session, const char *wanted, const char *directory,
			  const ControlFileData *control, char **gap)
{
	bool		choose = strcmp(wanted, "auto") == 0;
	char	   *beside = directory_of(choose ? directory : wanted);
	Backup	   *backup = NULL;
	Backup	  **siblings = NULL;
	int			count = 0;
	Parent	   *parent;

	if (!choose && (backup = open_wanted(wanted, control)) == NULL)
		return NULL;

	/* a full needs no other */
	if (choose || backup->label.incremental_lsn != InvalidXLogRecPtr)
		siblings = backup_siblings(beside, &count);
	parent = choose ?
		choose_auto(session, beside, control, siblings, count, gap) :
		parent_create(backup, siblings, count);
	if (parent != NULL)
		close_others(parent, siblings, count);
	pg_free(beside);
	return parent != NULL && read_lengths(parent) ? parent : NULL;
}

bool
parent_prove(Parent *parent, Session *session, const Timelines *timelines,
			 char **gap)
{
	const Manifest *manifest = parent->backup->manifest;

	for (uint32 i = 0; i < manifest->nranges; i++)
	{
		if (!timelines_contain(timelines, manifest->ranges[i].timeline,
							   manifest->ranges[i].start_lsn,
							   manifest->ranges[i].end_lsn, gap))
			return false;
	}
	return mark_prove(session, &parent->mark, gap);
}
