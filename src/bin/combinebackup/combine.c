/*-------------------------------------------------------------------------
 *
 * combine.c
 *		A data directory out of a chain of backups.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/combinebackup/combine.h"

#include <sys/stat.h>
#include <unistd.h>

#include "bin/combinebackup/plan.h"
#include "bin/combinebackup/wal_check.h"
#include "bin/combinebackup/workers.h"
#include "bin/common/paths.h"
#include "common/file_perm.h"
#include "common/logging.h"

/* The reading of one backup, which several workers share. */
typedef struct Stage
{
	Plan	   *plan;
	TargetSettings settings;
	int			number;			/* of the backup, newest first */
	int			nfiles;			/* plain: what is to be read */
	Target	  **files;
	int			narchives;		/* tar */
	char	  **archives;
} Stage;

/* Read one file of this stage's backup into its target. */
static char *
read_source(Stage *stage, Target *target, Stream *stream)
{
	target->seen_in = stage->number;
	return target->base > stage->number ?
		target_apply(target, &stage->settings, stream) :
		target_finish(target, &stage->settings, stream);
}

/* The manifest's entry of a target in this stage's backup. */
static ManifestFile *
entry_of(const Stage *stage, const Target *target, char *path)
{
	if (target->base > stage->number)
		path_incremental(target->path, path);
	else
		strlcpy(path, target->path, MAXPGPATH);
	return plan_may_differ(path) ? NULL :
		manifest_find(stage->plan->backups[stage->number]->manifest, path);
}

static char *
read_plain_file(void *arg, int item)
{
	Stage	   *stage = arg;
	Target	   *target = stage->files[item];
	char		path[MAXPGPATH];
	ManifestFile *entry = entry_of(stage, target, path);
	Stream		stream;
	char	   *problem;

	problem = stream_open_file(&stream, &stage->plan->trees[stage->number],
							   path, entry);
	if (problem != NULL)
		return problem;
	problem = read_source(stage, target, &stream);
	stream_close(&stream);
	return problem;
}

/*
 * A member of the newest backup that its manifest does not name.  Only one
 * worker comes here: such files are in the base tar.
 */
static char *
read_unlisted(Stage *stage, Archive *archive, const TarMember *member)
{
	Target		target;
	Stream		stream;
	char	   *problem;

	problem = plan_unlisted(stage->plan, member->name, member->size);
	if (problem != NULL ||
		(stage->plan->recovery && strcmp(member->name, "standby.signal") == 0))
		return problem;
	memset(&target, 0, sizeof(target));
	target.path = pg_strdup(member->name);
	problem = stream_open_member(&stream, archive, member, NULL);
	if (problem == NULL)
		problem = target_finish(&target, &stage->settings, &stream);
	pg_free(target.path);
	return problem;
}

/* Is the name below a tablespace that has a tar of its own? */
static bool
is_in_other_archive(const Stage *stage, const Archive *archive,
					const char *path)
{
	const Tree *tree = &stage->plan->trees[stage->number];

	if (archive->tablespace != InvalidOid ||
		strncmp(path, "pg_tblspc/", strlen("pg_tblspc/")) != 0)
		return false;
	for (int i = 0; i < tree->nspaces; i++)
		if (tree->spaces[i].oid == atooid(path + strlen("pg_tblspc/")))
			return true;
	return false;
}

/*
 * A member of an older backup that the newest one has not, or has whole.  What
 * the manifest does not name could be of any length.
 */
static char *
pass_over(const Stage *stage, const Archive *archive, const TarMember *member)
{
	const Backup *backup = stage->plan->backups[stage->number];
	const ManifestFile *entry = manifest_find(backup->manifest, member->name);
	PathParts	parts;

	path_parse(member->name, &parts);
	if (entry != NULL ? entry->size == member->size :
		parts.kind == PATH_WAL ?
		member->size <= backup->control.xlog_seg_size : member->size == 0)
		return NULL;
	if (plan_may_differ(member->name))
		return NULL;
	return psprintf("file \"%s\" in \"%s\" is not as in the manifest\n"
					"Take the backup from another copy.",
					member->name, archive->name);
}

static char *
read_member_file(Stage *stage, Archive *archive, const TarMember *member)
{
	PathParts	parts;
	Target	   *target;
	ManifestFile *entry;
	char		path[MAXPGPATH];
	Stream		stream;
	char	   *problem;

	path_parse(member->name, &parts);
	if (plan_is_special(member->name))
		return NULL;
	if (is_in_other_archive(stage, archive, member->name))
		return psprintf("file \"%s\" does not belong into \"%s\"",
						member->name, archive->name);
	target = plan_find(stage->plan, parts.incremental ? parts.name :
					   member->name);
	if (target == NULL || target->base < stage->number)
		return stage->number > 0 ? pass_over(stage, archive, member) :
			read_unlisted(stage, archive, member);

	entry = entry_of(stage, target, path);
	if (strcmp(path, member->name) != 0)
		return psprintf("file \"%s\" in \"%s\" is not in the manifest",
						member->name, archive->name);
	if (target->seen_in == stage->number)
		return psprintf("\"%s\" has \"%s\" twice",
						stage->plan->backups[stage->number]->path,
						member->name);
	problem = stream_open_member(&stream, archive, member, entry);
	return problem ? problem : read_source(stage, target, &stream);
}

static char *
read_archive(void *arg, int item)
{
	Stage	   *stage = arg;
	Archive		archive;
	TarMember	member;
	char	   *problem;

	problem = archive_open(&archive,
						   stage->plan->backups[stage->number],
						   stage->archives[item]);
	while (problem == NULL && archive_next(&archive, &member, &problem))
	{
		if (workers_stopped())
			problem = pg_strdup("stopped");
		else if (member.type == TAR_FILE)
			problem = read_member_file(stage, &archive, &member);
		else if (member.type == TAR_DIRECTORY && stage->number == 0)
		{
			if (tree_mkdir(stage->settings.tree, member.name) != 0)
				problem = psprintf("could not create directory \"%s/%s\": %m",
								   stage->settings.tree->path, member.name);
		}
		else if (member.type == TAR_SYMLINK &&
				 strncmp(member.name, "pg_tblspc/", 10) != 0)
			problem = psprintf("\"%s\" in \"%s\" is a link",
							   member.name, archive.name);
	}
	archive_close(&archive);
	return problem;
}

/* Larger files first, so that no worker is left with one at the end. */
static int
compare_sizes(const void *a, const void *b)
{
	const Target *left = *(Target *const *) a;
	const Target *right = *(Target *const *) b;
	uint64		left_size = left->newest ? left->newest->size : 0;
	uint64		right_size = right->newest ? right->newest->size : 0;

	return left_size > right_size ? -1 : left_size < right_size;
}

/* Read one backup. */
static char *
run_stage(Stage *stage, int nworkers)
{
	Plan	   *plan = stage->plan;
	Backup	   *backup = plan->backups[stage->number];
	char	   *problem = NULL;

	stage->nfiles = 0;
	for (int i = 0; i < plan->ntargets; i++)
		if (plan->targets[i].base >= stage->number)
			stage->files[stage->nfiles++] = &plan->targets[i];
	if (stage->nfiles == 0)
		return NULL;
	pg_log_debug("reading %d files of \"%s\"", stage->nfiles, backup->path);
	if (!backup->tar)
	{
		qsort(stage->files, stage->nfiles, sizeof(Target *), compare_sizes);
		return workers_run(nworkers, stage->nfiles, read_plain_file, stage);
	}

	stage->archives = archive_names(backup, &stage->narchives, &problem);
	if (problem == NULL)
		problem = workers_run(nworkers, stage->narchives, read_archive, stage);
	for (int i = 0; problem == NULL && i < stage->nfiles; i++)
		if (stage->files[i]->seen_in != stage->number)
			problem = psprintf("\"%s\" of the manifest is in no tar file of \"%s\"\n"
							   "Take the backup from another copy.",
							   stage->files[i]->path, backup->path);
	for (int i = 0; i < stage->narchives; i++)
		pg_free(stage->archives[i]);
	pg_free(stage->archives);
	return problem;
}

/* Append the lines to postgresql.auto.conf and make recovery.signal. */
static char *
write_recovery(Plan *plan, const TargetSettings *settings, Output *output,
			   const char *lines, Manifest *manifest)
{
	Target		signal_file = {"recovery.signal"};
	Target	   *conf = plan_find(plan, "postgresql.auto.conf");
	int			fd;
	bool		ok;
	char	   *problem = NULL;

	if (conf == NULL)
		return psprintf("\"%s\" has no postgresql.auto.conf",
						plan->backups[0]->path);
	fd = tree_open(settings->tree, conf->path, O_WRONLY | O_APPEND);
	ok = fd >= 0 && write_all(fd, lines, strlen(lines));
	if (fd >= 0 && close(fd) != 0)
		ok = false;
	if (!ok)
		return psprintf("could not write \"%s/%s\": %m", settings->tree->path,
						conf->path);
	if (plan_find(plan, signal_file.path) != NULL)
		return target_checksum(conf, settings);
	problem = output_write(output, signal_file.path, "", 0);
	signal_file.result = conf->result;
	signal_file.result.path = signal_file.path;
	if (problem == NULL)
		problem = target_checksum(conf, settings);
	if (problem == NULL)
		problem = target_checksum(&signal_file, settings);
	if (problem == NULL && manifest != NULL)
		(void) manifest_add(manifest, &signal_file.result);
	return problem;
}

/* Add a file that has these bytes. */
static void
add_bytes(Manifest *manifest, const TargetSettings *settings,
		  const char *path, int64 modified, const char *bytes, size_t length)
{
	ManifestFile file = {(char *) path};
	pg_checksum_context checksum;

	file.size = length;
	file.modified = modified;
	file.checksum_type = settings->checksum_type;
	pg_checksum_init(&checksum, file.checksum_type);
	pg_checksum_update(&checksum, (const uint8 *) bytes, length);
	file.checksum_length = pg_checksum_final(&checksum, file.checksum);
	(void) manifest_add(manifest, &file);
}

/* The 8 kB of pg_control; the same bytes as read, since zeros follow. */
static char *
control_bytes(const Backup *backup)
{
	char	   *bytes = pg_malloc0(PG_CONTROL_FILE_SIZE);

	memcpy(bytes, &backup->control, sizeof(ControlFileData));
	return bytes;
}

/*
 * Is pg_control of the backup's time?  Every valid pg_control ends with its
 * own CRC-32C, so that of the whole file, which the manifest has, is always
 * the same.  Its checkpoint differs.
 */
char *
combine_check_control(const Backup *backup)
{
	if (backup->control.checkPoint >= backup->label.checkpoint_lsn &&
		backup->control.checkPoint < backup->end_lsn)
		return NULL;
	return psprintf("\"global/pg_control\" in \"%s\" has a checkpoint at %X/%X, which is not of this backup's time\n"
					"Was a server started on this backup?  Take another copy.",
					backup->path,
					LSN_FORMAT_ARGS(backup->control.checkPoint));
}

/* Read again what was written, from the file system. */
static char *
verify_target(void *arg, int item)
{
	Stage	   *stage = arg;
	Target	   *target = &stage->plan->targets[item];
	Target		again = *target;
	char	   *problem;

	if (target->linked)
		return NULL;
	problem = target_checksum(&again, &stage->settings);
	if (problem == NULL &&
		(again.result.size != target->result.size ||
		 memcmp(again.result.checksum, target->result.checksum,
				target->result.checksum_length) != 0))
		problem = psprintf("\"%s/%s\" reads back differently from what was written",
						   stage->settings.tree->path, target->path);
	return problem;
}

/*
 * No manifest has checksums of WAL, but its records have.  What is not there
 * may come from an archive; but where a part is, the rest was probably lost,
 * and then the backups that the output replaces ('last') are needed.
 */
static char *
check_wal(const Backup *newest, const Tree *output, bool last)
{
	WalCheck	check;
	WalReader	reader = {0};
	char	   *missing;
	bool		none;
	char	   *problem = wal_check_begin(&check, newest);

	for (int i = 0; problem == NULL && i < check.nsegments; i++)
	{
		problem = wal_check_file(&check, &check.segments[i], output, NULL,
								 &reader);
		if (workers_stopped())
			problem = pg_strdup("canceled by a signal");
	}
	missing = problem == NULL ? wal_check_end(&check, &none) : NULL;
	if (missing != NULL && last)
		problem = missing;
	else if (missing != NULL)
		pg_log_warning("%.*s", (int) strcspn(missing, "\n"), missing);
	wal_check_free(&check);
	return problem;
}

/* The end: recovery settings, manifest, pg_control, label. */
static char *
complete(Plan *plan, Output *output, const TargetSettings *settings,
		 const CombineOptions *options)
{
	Backup	   *newest = plan->backups[0];
	char	   *label = label_without_increment(newest->label_text);
	char	   *control = control_bytes(newest);
	Manifest   *manifest = NULL;
	char	   *problem = NULL;

	if (options->manifest)
	{
		ManifestFile *entry;

		manifest = manifest_create(newest->manifest->version,
								   newest->manifest->system_identifier);
		for (uint32 i = 0; i < newest->manifest->nranges; i++)
		{
			ManifestWalRange *range = &newest->manifest->ranges[i];

			manifest_add_range(manifest, range->timeline, range->start_lsn,
							   range->end_lsn);
		}
		entry = manifest_find(newest->manifest, "global/pg_control");
		add_bytes(manifest, settings, entry->path, entry->modified, control,
				  PG_CONTROL_FILE_SIZE);
		entry = manifest_find(newest->manifest, "backup_label");
		add_bytes(manifest, settings, entry->path, entry->modified, label,
				  strlen(label));
	}
	if (options->recovery != NULL)
		problem = write_recovery(plan, settings, output, options->recovery,
								 manifest);
	for (int i = 0; manifest != NULL && i < plan->ntargets; i++)
		if (plan->targets[i].newest != NULL ||
			plan_may_differ(plan->targets[i].path))
			(void) manifest_add(manifest, &plan->targets[i].result);
	if (problem == NULL)
		problem = output_publish(output, manifest, control, label);
	if (manifest != NULL)
		manifest_free(manifest);
	pg_free(label);
	pg_free(control);
	return problem;
}

/* Group access as the newest backup's directory has it. */
static char *
take_modes(const Backup *newest)
{
	struct stat st;

	if (fstat(newest->dir, &st) != 0)
		return psprintf("could not stat \"%s\": %m", newest->path);
	SetDataDirectoryCreatePerm(st.st_mode);
	umask(pg_mode_mask);
	return NULL;
}

/*
 * Is there room?  'shared': what is as in the full takes none.
 */
static char *
check_space(const Plan *plan, const Output *output, bool shared)
{
	uint64	   *needed = pg_malloc0(sizeof(uint64) *
									(output->tree.nspaces + 1));
	char	   *problem;

	for (int i = 0; i < plan->ntargets; i++)
	{
		const Target *target = &plan->targets[i];

		if (target->changed || !shared)
			needed[tree_find_space(&output->tree, target->path) + 1] +=
				target->room;
	}
	problem = output_check_space(output, needed);
	pg_free(needed);
	return problem;
}

static char *
run(Plan *plan, Output *output, const CombineOptions *options)
{
	Stage		stage;
	char	   *problem;

	problem = combine_check_control(plan->backups[0]);
	if (problem == NULL)
		problem = take_modes(plan->backups[0]);
	if (problem == NULL)
		problem = check_space(plan, output, options->link ||
							  options->method == COPY_METHOD_CLONE);
	if (problem != NULL || options->dry_run)
		return problem;

	problem = output_create(output);
	for (int i = 0; problem == NULL && i < plan->ndirectories; i++)
		if (tree_mkdir(&output->tree, plan->directories[i]) != 0)
			problem = psprintf("could not create directory \"%s/%s\": %m",
							   output->tree.path, plan->directories[i]);

	memset(&stage, 0, sizeof(stage));
	stage.plan = plan;
	stage.files = pg_malloc(sizeof(Target *) * (plan->ntargets + 1));
	stage.settings.tree = &output->tree;
	stage.settings.manifest = options->manifest;
	stage.settings.checksum_type = options->checksum_type;
	stage.settings.method = options->method;
	progress_begin(options->progress, plan->read_bytes);
	for (int i = 0; problem == NULL && i < plan->nbackups; i++)
	{
		stage.number = i;

		/* Only the full's files may be shared with the output. */
		stage.settings.link = options->link && i == plan->nbackups - 1;
		problem = run_stage(&stage, options->nworkers);
	}
	if (problem == NULL)
		problem = check_wal(plan->backups[0], &output->tree, options->verify);
	progress_end();
	if (problem == NULL && options->verify)
		problem = workers_run(options->nworkers, plan->ntargets,
							  verify_target, &stage);
	if (problem == NULL)
		problem = complete(plan, output, &stage.settings, options);
	return problem;
}

/*
 * Make a data directory out of a chain.
 */
char *
combine(Backup **chain, int nbackups, const char *path,
		const CombineOptions *options)
{
	Plan		plan;
	Output		output;
	char	   *problem;

	for (int i = 0; i < nbackups; i++)
		if (!backup_load(chain[i], &problem))
			return problem;
	memset(&output, 0, sizeof(output));
	output.sync = options->sync;
	problem = plan_make(&plan, chain, nbackups, options->mappings,
						options->recovery != NULL);
	if (problem == NULL)
		problem = output_plan(&output, path, &plan.trees[0],
							  options->mappings);
	if (problem == NULL)
		problem = run(&plan, &output, options);
	for (int i = 0; i < nbackups; i++)
		tree_close(&plan.trees[i]);
	return problem;
}
