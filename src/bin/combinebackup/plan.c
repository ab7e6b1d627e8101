/*-------------------------------------------------------------------------
 *
 * plan.c
 *		What the output consists of, and where each file comes from.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/combinebackup/plan.h"

#include "bin/common/increment.h"
#include "bin/common/paths.h"

/* WAL segments and history files beyond those that a backup needs. */
#define WAL_MORE_SEGMENTS 64

/*
 * Is it made at the end, or left out?
 */
bool
plan_is_special(const char *path)
{
	return strcmp(path, "backup_label") == 0 ||
		strcmp(path, "tablespace_map") == 0 ||
		strcmp(path, "backup_manifest") == 0 ||
		strcmp(path, "global/pg_control") == 0;
}

/*
 * May it differ from the manifest?  pg_basebackup -R writes these afterwards,
 * and pg_verifybackup ignores them.
 */
bool
plan_may_differ(const char *path)
{
	return strcmp(path, "postgresql.auto.conf") == 0 ||
		strcmp(path, "standby.signal") == 0 ||
		strcmp(path, "recovery.signal") == 0;
}

static int
compare_targets(const void *a, const void *b)
{
	return strcmp(((const Target *) a)->path, ((const Target *) b)->path);
}

/*
 * The target of this name.
 */
Target *
plan_find(const Plan *plan, const char *path)
{
	Target		key = {(char *) path};

	return bsearch(&key, plan->targets, plan->ntargets, sizeof(Target),
				   compare_targets);
}

static Target *
add_target(Plan *plan, const char *path, const ManifestFile *newest)
{
	Target	   *target = &plan->targets[plan->ntargets++];

	memset(target, 0, sizeof(*target));
	target->path = pg_strdup(path);
	target->newest = newest;
	target->seen_in = -1;
	return target;
}

/* Find the backup that has the file whole. */
static char *
find_base(Plan *plan, Target *target)
{
	char		stub[MAXPGPATH];
	bool		changed = false;

	path_incremental(target->path, stub);
	for (int i = 0; i < plan->nbackups; i++)
	{
		Backup	   *backup = plan->backups[i];
		ManifestFile *whole = manifest_find(backup->manifest, target->path);
		ManifestFile *part = manifest_find(backup->manifest, stub);

		if (whole != NULL && part != NULL)
			return psprintf("backup \"%s\" has both \"%s\" and \"%s\"",
							backup->path, target->path, stub);
		if (whole == NULL && part == NULL)
			return psprintf("backup \"%s\" has neither \"%s\" nor \"%s\", which a newer one builds on\n"
							"Is a backup missing between this one and the next?",
							backup->path, target->path, stub);
		plan->read_bytes += whole ? whole->size : part->size;
		if (part != NULL && part->size > increment_file_length(0))
			changed = true;
		if (whole != NULL)
		{
			target->base = i;
			target->room = whole->size;
			target->changed = changed || i < plan->nbackups - 1;
			return NULL;
		}
	}
	return psprintf("no backup of the chain has \"%s\" whole", target->path);
}

/* Targets from the newest manifest. */
static char *
plan_files(Plan *plan)
{
	Manifest   *newest = plan->backups[0]->manifest;
	ManifestFile **files = manifest_sorted(newest);
	char	   *problem = NULL;

	plan->targets = pg_malloc(sizeof(Target) * (newest->nfiles + 1));
	for (uint32 i = 0; problem == NULL && i < newest->nfiles; i++)
	{
		PathParts	parts;
		Target	   *target;

		if (plan_is_special(files[i]->path) ||
			(plan->recovery && strcmp(files[i]->path, "standby.signal") == 0))
			continue;
		path_parse(files[i]->path, &parts);
		target = add_target(plan, parts.incremental ? parts.name :
							files[i]->path, files[i]);
		if (parts.incremental)
			problem = find_base(plan, target);
		else
		{
			plan->read_bytes += files[i]->size;
			target->room = files[i]->size;
			target->changed = true;
		}
	}
	pg_free(files);
	if (problem != NULL)
		return problem;
	qsort(plan->targets, plan->ntargets, sizeof(Target), compare_targets);
	for (int i = 1; i < plan->ntargets; i++)
		if (compare_targets(&plan->targets[i - 1], &plan->targets[i]) == 0)
			return psprintf("backup \"%s\" has \"%s\" both whole and as increment",
							plan->backups[0]->path, plan->targets[i].path);
	return NULL;
}

/*
 * Judge a file that the newest manifest does not name.
 */
char *
plan_unlisted(Plan *plan, const char *path, uint64 size)
{
	Backup	   *backup = plan->backups[0];
	uint64		segment = backup->control.xlog_seg_size;
	uint64		limit = WAL_MORE_SEGMENTS * segment;
	PathParts	parts;

	path_parse(path, &parts);
	if (parts.kind != PATH_WAL && !plan_may_differ(path))
		return psprintf("file \"%s\" in \"%s\" is not in the manifest\n"
						"If it does not belong to the backup, remove it.",
						path, backup->path);
	for (uint32 i = 0; i < backup->manifest->nranges; i++)
		limit += backup->manifest->ranges[i].end_lsn -
			backup->manifest->ranges[i].start_lsn;
	plan->unlisted_bytes += size;
	if (size > segment || plan->unlisted_bytes > limit)
		return psprintf("file \"%s\" in \"%s\": there is more WAL than the backup needs\n"
						"Remove from pg_wal what does not belong to the backup.",
						path, backup->path);
	return NULL;
}

typedef struct Look
{
	Plan	   *plan;
	int			capacity;		/* of the targets */
} Look;

/* A file of a plain newest backup that the manifest does not name. */
static char *
add_unlisted(Look *look, const char *path, uint64 size, int64 modified)
{
	Plan	   *plan = look->plan;
	char	   *problem = plan_unlisted(plan, path, size);
	Target	   *target;

	if (problem != NULL ||
		(plan->recovery && strcmp(path, "standby.signal") == 0))
		return problem;
	if (plan->ntargets == look->capacity)
	{
		look->capacity = look->capacity * 2 + 16;
		plan->targets = pg_realloc(plan->targets,
								   sizeof(Target) * look->capacity);
	}
	target = add_target(plan, path, NULL);
	target->result.modified = modified;
	target->room = size;
	target->changed = true;
	plan->read_bytes += size;
	return NULL;
}

static char *
look_at_entry(void *arg, const char *path, bool directory, uint64 size,
			  int64 modified)
{
	Look	   *look = arg;
	Plan	   *plan = look->plan;

	if (directory)
	{
		if ((plan->ndirectories & (plan->ndirectories - 1)) == 0)
			plan->directories =
				pg_realloc(plan->directories, sizeof(char *) *
						   Max(plan->ndirectories * 2, 1));
		plan->directories[plan->ndirectories++] = pg_strdup(path);
		return NULL;
	}
	if (plan_is_special(path) ||
		manifest_find(plan->backups[0]->manifest, path) != NULL)
		return NULL;
	return add_unlisted(look, path, size, modified);
}

/*
 * Make the plan.
 */
char *
plan_make(Plan *plan, Backup **chain, int nbackups, Mapping *mappings,
		  bool recovery)
{
	char	   *problem = NULL;

	memset(plan, 0, sizeof(*plan));
	plan->nbackups = nbackups;
	plan->recovery = recovery;
	plan->backups = pg_malloc(sizeof(Backup *) * nbackups);
	plan->trees = pg_malloc0(sizeof(Tree) * nbackups);
	for (int i = 0; problem == NULL && i < nbackups; i++)
	{
		plan->backups[i] = chain[nbackups - 1 - i];
		problem = tree_of_backup(&plan->trees[i], plan->backups[i], mappings,
								 i == 0 ? NULL : plan->backups[0]->manifest);
	}
	if (problem == NULL)
		problem = plan_files(plan);
	if (problem == NULL && !plan->backups[0]->tar)
	{
		Look		look = {plan, plan->ntargets + 1};

		problem = tree_walk(&plan->trees[0], look_at_entry, &look);
		qsort(plan->targets, plan->ntargets, sizeof(Target), compare_targets);
	}
	return problem;
}
