/*-------------------------------------------------------------------------
 *
 * verify.c
 *		Check backups without a server.
 *
 * The first damage does not end the check: a repair needs to know all of it.
 * So the workers report and count problems, and stop only for a signal.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/combinebackup/verify.h"

#include <fcntl.h>
#include <pthread.h>

#include "bin/combinebackup/archive.h"
#include "bin/combinebackup/combine.h"
#include "bin/combinebackup/page_check.h"
#include "bin/combinebackup/plan.h"
#include "bin/combinebackup/stream.h"
#include "bin/combinebackup/spaces.h"
#include "bin/combinebackup/wal_check.h"
#include "bin/combinebackup/workers.h"
#include "bin/common/paths.h"
#include "common/logging.h"

#define MAX_REPORTED 100		/* of a backup */

typedef struct Verify
{
	Backup	   *backup;
	Tree		tree;
	WalCheck	wal;
	ManifestFile **files;		/* sorted */
	bool	   *seen;			/* tar: the same */
	char	  **archives;
	pthread_mutex_t mutex;		/* guards what follows, and the log */
	int			nproblems;
	uint64		bytes;
} Verify;

/* Report a problem, with its hint; the text is freed. */
static void
report(Verify *verify, char *problem)
{
	char	   *hint;

	if (problem == NULL || workers_stopped())
		return;
	hint = strchr(problem, '\n');
	if (hint != NULL)
		*hint++ = '\0';
	pthread_mutex_lock(&verify->mutex);
	if (verify->nproblems++ < MAX_REPORTED)
	{
		pg_log_error("%s", problem);
		if (hint != NULL)
			pg_log_error_hint("%s", hint);
	}
	pthread_mutex_unlock(&verify->mutex);
	pg_free(problem);
}

/* Read a file by what it is. */
static char *
read_file(Verify *verify, Stream *stream, WalReader *reader)
{
	WalSegment *segment = reader == NULL ? NULL :
		wal_check_find(&verify->wal, stream->path);
	char	   *problem;

	if (segment != NULL)
		problem = wal_check_read(&verify->wal, segment, stream, reader);
	else
		problem = page_check(verify->backup, stream);
	pthread_mutex_lock(&verify->mutex);
	verify->bytes += stream->size;
	pthread_mutex_unlock(&verify->mutex);
	return problem;
}

static char *
verify_file(void *arg, int item)
{
	Verify	   *verify = arg;
	ManifestFile *entry = verify->files[item];
	Stream		stream;
	char	   *problem;

	if (strcmp(entry->path, "backup_manifest") == 0 ||
		wal_check_find(&verify->wal, entry->path) != NULL)
		return NULL;
	problem = stream_open_file(&stream, &verify->tree, entry->path,
							   plan_may_differ(entry->path) ? NULL : entry);
	if (problem == NULL)
	{
		problem = read_file(verify, &stream, NULL);
		stream_close(&stream);
	}
	report(verify, problem);
	return NULL;
}

static int
compare_paths(const void *a, const void *b)
{
	return strcmp((*(ManifestFile *const *) a)->path,
				  (*(ManifestFile *const *) b)->path);
}

/* A member of a tar, or a file that the manifest does not name. */
static char *
verify_member(Verify *verify, Archive *archive, const TarMember *member,
			  WalReader *reader)
{
	ManifestFile key = {(char *) member->name};
	ManifestFile *key_pointer = &key;
	ManifestFile **entry = bsearch(&key_pointer, verify->files,
								   verify->backup->manifest->nfiles,
								   sizeof(ManifestFile *), compare_paths);
	PathParts	parts;
	Stream		stream;
	char	   *problem;

	if (entry != NULL)
		verify->seen[entry - verify->files] = true;
	path_parse(member->name, &parts);
	if (entry == NULL && parts.kind != PATH_WAL &&
		!plan_may_differ(member->name))
		return psprintf("file \"%s\" in \"%s\" is not in the manifest",
						member->name, archive->name);
	problem = stream_open_member(&stream, archive, member,
								 entry && !plan_may_differ(member->name) ?
								 *entry : NULL);
	return problem ? problem : read_file(verify, &stream, reader);
}

static char *
verify_archive(void *arg, int item)
{
	Verify	   *verify = arg;
	Archive		archive;
	TarMember	member;
	WalReader	reader = {0};
	char	   *problem = archive_open(&archive, verify->backup,
									   verify->archives[item]);

	while (problem == NULL && !workers_stopped() &&
		   archive_next(&archive, &member, &problem))
		if (member.type == TAR_FILE)
			report(verify, verify_member(verify, &archive, &member, &reader));
	archive_close(&archive);
	report(verify, problem);
	return NULL;
}

/* The WAL of a plain backup, one segment after the other. */
static void
verify_wal(Verify *verify)
{
	WalReader	reader = {0};

	for (int i = 0; i < verify->wal.nsegments && !workers_stopped(); i++)
	{
		WalSegment *segment = &verify->wal.segments[i];

		report(verify, wal_check_file(&verify->wal, segment, &verify->tree,
									  manifest_find(verify->backup->manifest,
													segment->path),
									  &reader));
		if (segment->seen)
			verify->bytes += verify->backup->control.xlog_seg_size;
	}
}

/* A file of a plain backup: is it in the manifest, or WAL? */
static char *
verify_entry(void *arg, const char *path, bool directory, uint64 size,
			 int64 modified)
{
	Verify	   *verify = arg;
	PathParts	parts;
	Stream		stream;
	char	   *problem;

	if (directory || strcmp(path, "backup_manifest") == 0 ||
		wal_check_find(&verify->wal, path) != NULL ||
		manifest_find(verify->backup->manifest, path) != NULL)
		return NULL;
	path_parse(path, &parts);
	if (parts.kind == PATH_WAL)
	{
		problem = stream_open_file(&stream, &verify->tree, path, NULL);
		if (problem == NULL)
		{
			problem = read_file(verify, &stream, NULL);
			stream_close(&stream);
		}
		report(verify, problem);
	}
	else if (!plan_may_differ(path))
		report(verify, psprintf("file \"%s\" in \"%s\" is not in the manifest",
								path, verify->backup->path));
	return NULL;
}

static void
verify_files(Verify *verify, int nworkers)
{
	Backup	   *backup = verify->backup;
	char	   *problem = NULL;
	int			narchives;

	if (!backup->tar)
	{
		report(verify, tree_walk(&verify->tree, verify_entry, verify));
		problem = workers_run(nworkers, backup->manifest->nfiles, verify_file,
							  verify);
		report(verify, problem);
		verify_wal(verify);
		return;
	}
	verify->seen = pg_malloc0(backup->manifest->nfiles + 1);
	verify->archives = archive_names(backup, &narchives, &problem);
	if (problem == NULL)
		problem = workers_run(nworkers, narchives, verify_archive, verify);
	report(verify, problem);
	for (uint32 i = 0; i < backup->manifest->nfiles; i++)
		if (!verify->seen[i])
			report(verify, psprintf("\"%s\" of the manifest is in no tar file of \"%s\"",
									verify->files[i]->path, backup->path));
	pg_free(verify->seen);
}

/* Check one backup; true if it is right. */
static bool
verify_backup(Backup *backup, int nworkers)
{
	Verify		verify;
	bool		no_wal = false;

	memset(&verify, 0, sizeof(verify));
	verify.backup = backup;
	pthread_mutex_init(&verify.mutex, NULL);
	verify.files = manifest_sorted(backup->manifest);
	report(&verify, combine_check_control(backup));
	report(&verify, wal_check_begin(&verify.wal, backup));
	report(&verify, tree_of_backup_anywhere(&verify.tree, backup));
	if (verify.nproblems == 0)
	{
		verify_files(&verify, nworkers);
		report(&verify, wal_check_end(&verify.wal, &no_wal));
	}
	wal_check_free(&verify.wal);
	tree_close(&verify.tree);
	pg_free(verify.files);
	pthread_mutex_destroy(&verify.mutex);
	if (workers_stopped())
	{
		pg_log_error("canceled by a signal");
		return false;
	}
	if (verify.nproblems > MAX_REPORTED)
		pg_log_error("%d more problems in \"%s\"",
					 verify.nproblems - MAX_REPORTED, backup->path);
	printf("%s: %s, %u files, %.1f MB%s\n", backup->path,
		   verify.nproblems > 0 ? "DAMAGED" : "as it was written",
		   backup->manifest->nfiles, verify.bytes / (1024.0 * 1024.0),
		   backup->control.data_checksum_version == 0 ?
		   ", pages without checksums" : "");
	if (no_wal)
		printf("%s: has no WAL; an archive must have it from %X/%X to %X/%X\n",
			   backup->path, LSN_FORMAT_ARGS(backup->label.start_lsn),
			   LSN_FORMAT_ARGS(backup->end_lsn));
	fflush(stdout);
	return verify.nproblems == 0;
}

/* What the manifest says that a backup has. */
static uint64
bytes_of(const Backup *backup)
{
	ManifestFile **files = manifest_sorted(backup->manifest);
	uint64		bytes = 0;

	for (uint32 i = 0; i < backup->manifest->nfiles; i++)
		bytes += files[i]->size;
	pg_free(files);
	return bytes;
}

/* Load a backup; false after a problem was reported. */
static bool
load(Backup *backup)
{
	char	   *problem;

	if (backup_load(backup, &problem))
		return true;
	pg_log_error("%s", problem);
	pg_free(problem);
	return false;
}

/*
 * Check each backup of a chain, of which only one is loaded at a time.
 */
bool
verify_chain(Backup **chain, int nbackups, int nworkers, bool progress)
{
	uint64		total = 0;
	bool		right = true;

	for (int i = 0; i < nbackups && progress; i++)
	{
		char	   *problem = NULL;

		if (backup_load(chain[i], &problem))
			total += bytes_of(chain[i]);
		pg_free(problem);
		backup_unload(chain[i]);
	}
	progress_begin(progress, total);
	for (int i = 0; i < nbackups && !workers_stopped(); i++)
	{
		right = load(chain[i]) && verify_backup(chain[i], nworkers) && right;
		backup_unload(chain[i]);
	}
	progress_end();
	if (right)
		printf("Only a test restore proves that a backup can be restored.\n");
	return right;
}
