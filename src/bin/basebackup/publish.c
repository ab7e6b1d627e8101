/*-------------------------------------------------------------------------
 *
 * publish.c
 *		From all files copied to a backup with its name.
 *
 * Until the rename there is only DIRECTORY.partial, which gets its manifest
 * when all else is on disk.  That is before the rename, and the rename before
 * the success is told.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/basebackup/publish.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bin/basebackup/compat.h"
#include "bin/basebackup/run.h"
#include "bin/common/files.h"
#include "catalog/pg_control.h"
#include "common/file_utils.h"

#define MANIFEST_FILE	"backup_manifest"

/* A file of the main thread, that is in the manifest like the others. */
static bool
put_own(Job *job, Sink *sink, const char *path, const char *bytes,
		size_t length)
{
	PlanFile	file = {.kind = PLAN_FILE,.state = PLAN_COPIED};
	Plan	   *plan = job->plan;

	file.path = pg_strdup(path);
	file.modified = time(NULL);
	if (!sink_put(sink, path, bytes, length, file.modified, &file))
		return false;
	if (plan->nfiles == plan->files_allocated)
	{
		plan->files_allocated = Max(16, plan->files_allocated * 2);
		plan->files = pg_realloc(plan->files, sizeof(PlanFile) *
								 plan->files_allocated);
	}
	plan->files[plan->nfiles++] = file;
	return true;
}

/* PostgreSQL's text with our lines. */
static char *
make_label(Job *job)
{
	Backup	   *parent = job->parent ? job->parent->backup : NULL;
	char	   *text = job->label_text;

	if (job->bad_checksums > 0)
		text = psprintf("%s" BAD_CHECKSUMS_LINE "%llu\n", text,
						(unsigned long long) job->bad_checksums);
	return label_format(text,
						parent ? parent->label.start_lsn : InvalidXLogRecPtr,
						parent ? parent->label.start_tli : 0, &job->mark);
}

bool
publish_control_files(Job *job)
{
	Sink	   *sink = sink_create(job->output);
	char	   *label = make_label(job);
	bool		good;

	good = put_own(job, sink, "backup_label", label, strlen(label));
	if (good && job->options->tar && job->tablespace_map[0] != '\0')
		good = put_own(job, sink, "tablespace_map", job->tablespace_map,
					   strlen(job->tablespace_map));
	if (good && job->options->write_recovery)
		good = put_own(job, sink, "standby.signal", "", 0);
	good = good && put_own(job, sink, "global/pg_control", job->control_bytes,
						   PG_CONTROL_FILE_SIZE) && sink_commit(sink);
	pfree(label);
	sink_free(sink);
	return good;
}

static int
compare_paths(const void *a, const void *b)
{
	return strcmp((*(PlanFile *const *) a)->path,
				  (*(PlanFile *const *) b)->path);
}

/* What the backup has, sorted; NULL after run_fail(). */
static PlanFile **
files_of(Job *job)
{
	PlanFile  **files = pg_malloc(sizeof(PlanFile *) *
								  (job->plan->nfiles + 1));

	job->files = 0;
	for (uint32 i = 0; i < job->plan->nfiles; i++)
	{
		PlanFile   *file = &job->plan->files[i];

		if (file->state == PLAN_COPIED || file->state == PLAN_KEPT)
			files[job->files++] = file;
	}
	qsort(files, job->files, sizeof(PlanFile *), compare_paths);
	for (uint32 i = 1; i < job->files; i++)
	{
		if (compare_paths(&files[i - 1], &files[i]) != 0)
			continue;
		run_fail("the server listed file \"%s\" twice", files[i]->path);
		pg_free(files);
		return NULL;
	}
	return files;
}

static void
put_file(Job *job, ManifestOutput *manifest, const PlanFile *file)
{
	char		name[MAXPGPATH];
	ManifestFile entry = {.path = name};

	plan_name(file, name);
	entry.size = file->stored;
	entry.modified = file->modified;
	entry.checksum_type = file->checksum_length > 0 ?
		job->options->checksum_type : CHECKSUM_TYPE_NONE;
	entry.checksum_length = file->checksum_length;
	if (file->checksum_length > 0)
		memcpy(entry.checksum, file->checksum, file->checksum_length);
	manifest_output_file(manifest, &entry);
}

/* The manifest's text comes out of the plan: there may be many files. */
static bool
put_manifest(Job *job, PlanFile **files, int fd)
{
	ManifestOutput *manifest;
	ManifestWalRange *ranges = pg_malloc(sizeof(ManifestWalRange) *
										 job->timelines->count);
	uint32		nranges = 0;
	bool		good;

	manifest = manifest_output_begin(fd, MANIFEST_VERSION,
									 job->control.system_identifier);
	for (uint32 i = 0; i < job->files; i++)
		put_file(job, manifest, files[i]);
	for (int i = 0; i < job->timelines->count; i++)
	{
		const TimelinePart *part = &job->timelines->parts[i];
		ManifestWalRange *range = &ranges[nranges];

		range->timeline = part->timeline;
		range->start_lsn = Max(part->begin, job->start_lsn);
		range->end_lsn = Min(part->end, job->stop_lsn);
		nranges += range->start_lsn < range->end_lsn;
	}
	good = manifest_output_end(manifest, ranges, nranges);
	pg_free(ranges);
	return good;
}

/* It stays open: its lock is the directory's, when the progress is gone. */
static bool
write_manifest(Job *job)
{
	PlanFile  **files = files_of(job);
	int			fd;
	bool		good;

	if (files == NULL)
		return false;
	fd = openat(job->dir, MANIFEST_FILE, O_WRONLY | O_CREAT | O_EXCL,
				job->dir_mode & 0666);
	good = fd >= 0 && lock_descriptor(fd) && put_manifest(job, files, fd) &&
		(!job->options->sync || fsync(fd) == 0);
	if (!good)
		run_fail("could not write file \"%s/%s\": %m", job->partial,
				 MANIFEST_FILE);
	pg_free(files);
	return good;
}

bool
publish_backup(Job *job)
{
	const char *directory = job->options->directory;

	/* what has a manifest is whole, and on disk */
	if (!output_finish(job->output) || !write_manifest(job))
		return false;

	/* in a tar, the label is a member */
	if ((job->options->tar && unlinkat(job->dir, "backup_label", 0) != 0) ||
		unlinkat(job->dir, "progress", 0) != 0 ||
		(job->options->sync && fsync(job->dir) != 0))
	{
		run_fail("could not finish directory \"%s\": %m", job->partial);
		return false;
	}
	if (rename(job->partial, directory) != 0)
	{
		run_fail("could not rename \"%s\" to \"%s\": %m", job->partial,
				 directory);
		return false;
	}
	if (job->options->sync && fsync_parent_path(directory) != 0)
	{
		run_fail("could not sync the directory of \"%s\"", directory);
		return false;
	}
	return true;
}

static bool
record(Job *job)
{
	char		timeline[16];
	char		start[32];
	char		stop[32];
	char		bytes[32];
	const char *parent = job->parent && job->parent->backup->label.id[0] ?
		job->parent->backup->label.id : NULL;
	const char *params[6] = {job->id, parent, timeline, start, stop, bytes};
	PGresult   *result;

	snprintf(timeline, sizeof(timeline), "%u", job->label.start_tli);
	snprintf(start, sizeof(start), "%X/%X", LSN_FORMAT_ARGS(job->start_lsn));
	snprintf(stop, sizeof(stop), "%X/%X", LSN_FORMAT_ARGS(job->stop_lsn));
	snprintf(bytes, sizeof(bytes), UINT64_FORMAT, job->output->bytes);
	result = session_query(job->holder,
						   "SELECT %s.ckpx_record_backup($1, $2, $3::int,"
						   " $4::pg_lsn, $5::pg_lsn, $6::bigint)", 6, params, false);
	PQclear(result);
	return result != NULL;
}

static bool
call_pin(Job *job, const char *query, int nparams)
{
	char		start[32];
	char		ttl[32];
	const char *params[3] = {job->options->pin, start, ttl};
	PGresult   *result;

	snprintf(start, sizeof(start), "%X/%X", LSN_FORMAT_ARGS(job->start_lsn));
	snprintf(ttl, sizeof(ttl), "%d days", job->options->pin_days);
	result = session_query(job->holder, query, nparams, params, false);
	PQclear(result);
	return result != NULL;
}

/*
 * A pin cannot be changed.  Without it for a moment, nothing is lost: it only
 * keeps exact what is known since the parent.
 */
static bool
move_pin(Job *job)
{
	return call_pin(job, "SELECT %s.ckpx_unpin(name) FROM %s.ckpx_pins"
					" WHERE name = $1", 1) &&
		call_pin(job, "SELECT %s.ckpx_pin($1, $2::pg_lsn, $3::interval)", 3);
}

bool
publish_record(Job *job)
{
	if (!record(job))
		return false;
	return job->options->pin == NULL || job->bad_checksums > 0 ||
		move_pin(job);
}
