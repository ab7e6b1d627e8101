/*-------------------------------------------------------------------------
 *
 * list.c
 *		What a directory of backups holds, and what of it may go.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/combinebackup/list.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "bin/combinebackup/family.h"
#include "bin/common/files.h"
#include "common/logging.h"

static void
format_time(int64 seconds, char *text, size_t size)
{
	time_t		when = (time_t) seconds;
	struct tm	broken;

	if (seconds <= 0 || gmtime_r(&when, &broken) == NULL ||
		strftime(text, size, "%Y-%m-%d %H:%M:%SZ", &broken) == 0)
		strlcpy(text, "-", size);
}

/* One line of the list. */
static void
print_member(const Family *family, int number, int depth)
{
	const Member *member = &family->members[number];
	const Backup *backup = member->backup;
	char		start[32];
	char		end[32];
	char		ended[32];
	const Backup *parent = member->parent < 0 ? NULL :
		family->members[member->parent].backup;
	char	   *name;
	char	   *needs;

	name = psprintf("%*s%s", depth * 2, "", family_name(backup->path));
	snprintf(start, sizeof(start), "%X/%X",
			 LSN_FORMAT_ARGS(backup->label.start_lsn));
	snprintf(end, sizeof(end), "%X/%X", LSN_FORMAT_ARGS(backup->end_lsn));
	format_time(member->end_time, ended, sizeof(ended));
	if (backup->label.incremental_lsn == InvalidXLogRecPtr)
		needs = pg_strdup("");
	else if (parent == NULL)
		needs = psprintf("  needs the backup that starts at %X/%X, which is missing",
						 LSN_FORMAT_ARGS(backup->label.incremental_lsn));
	else
		needs = psprintf("  needs %s", family_name(parent->path));
	printf("%-28s %-9s %-5s %3u %12s %12s %10.1f MB  %s%s\n", name,
		   backup->label.incremental_lsn == InvalidXLogRecPtr ? "full" :
		   "increment", backup->tar ? "tar" : "plain",
		   backup->label.start_tli, start, end,
		   member->bytes / (1024.0 * 1024.0), ended, needs);
	pg_free(name);
	pg_free(needs);
}

static void
print_children(const Family *family, int parent, int depth)
{
	for (int i = 0; i < family->nmembers && depth <= family->nmembers; i++)
		if (family->members[i].parent == parent)
		{
			print_member(family, i, depth);
			print_children(family, i, depth + 1);
		}
}

/*
 * Print what is there.
 */
char *
list_backups(const char *directory)
{
	Family		family;
	char	   *problem = family_read(&family, directory);

	if (problem != NULL)
		return problem;
	printf("%-28s %-9s %-5s %3s %12s %12s %13s  %s\n", "name", "kind",
		   "form", "tli", "start", "end", "size", "ended");
	for (int i = 0; i < family.nmembers; i++)
		if (family.members[i].parent < 0)
		{
			print_member(&family, i, 0);
			print_children(&family, i, 1);
		}
	for (int i = 0; i < family.nunfinished; i++)
		printf("%-28s unfinished\n", family.unfinished[i].name);
	for (int i = 0; i < family.nremains; i++)
		printf("%-28s left by a call that was killed; --expire removes it\n",
			   family.remains[i]);
	if (fflush(stdout) != 0)
		return psprintf("could not write to the standard output: %m");
	return NULL;
}

/* The newest end in the chain of a full. */
static int64
newest_end(const Family *family, int root)
{
	int64		newest = 0;

	for (int i = 0; i < family->nmembers; i++)
		if (family->members[i].root == root)
			newest = Max(newest, family->members[i].end_time);
	return newest;
}

/* Mark the newest 'keep' chains. */
static void
keep_newest(const Family *family, int keep, bool *kept)
{
	while (keep-- > 0)
	{
		int			newest = -1;

		for (int i = 0; i < family->nmembers; i++)
			if (family->members[i].root == i && !kept[i] &&
				(newest < 0 || newest_end(family, i) >=
				 newest_end(family, newest)))
				newest = i;
		if (newest < 0)
			return;
		kept[newest] = true;
	}
}

/* Mark what the time since 'since' needs. */
static void
keep_since(const Family *family, int64 since, bool *kept)
{
	int			before = -1;

	for (int i = 0; i < family->nmembers; i++)
	{
		const Member *member = &family->members[i];

		if (member->root < 0)
			continue;
		if (member->end_time > since)
			kept[member->root] = true;
		else if (before < 0 ||
				 member->end_time >= family->members[before].end_time)
			before = i;
	}
	if (before >= 0)
		kept[family->members[before].root] = true;
}

/* Mark chains that unfinished backups go on from. */
static void
keep_unfinished(const Family *family, bool *kept)
{
	for (int i = 0; i < family->nmembers; i++)
	{
		int			root = family->members[i].root;

		for (int j = 0; root >= 0 && j < family->nunfinished; j++)
			if (!kept[root] && family_goes_on(&family->unfinished[j],
											  family->members[i].backup))
			{
				kept[root] = true;
				pg_log_warning("keeping the chain of \"%s\": unfinished backup \"%s\" goes on from it",
							   family->members[root].backup->path,
							   family->unfinished[j].name);
			}
	}
}

static char *
remove_one(const Family *family, const char *name, bool dry_run)
{
	printf("%s %s/%s\n", dry_run ? "would remove" : "removing",
		   family->directory, name);
	fflush(stdout);
	return dry_run ? NULL : family_remove(family->directory, name);
}

/*
 * Is it needed by a call of --into, at work or killed between its two last
 * steps, when the full has no name of its own?
 */
static bool
is_needed(const Family *family, const char *name)
{
	char	   *full = psprintf("%s/%.*s", family->directory,
								(int) (strrchr(name, '.') - name), name);
	int			dir = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int			lock = -1;
	bool		needed = false;

	if (strcmp(strrchr(name, '.'), SUFFIX_REMOVED) != 0)
		needed = dir < 0 || !lock_file(dir, "backup_manifest", 0, &lock);
	if (lock >= 0)
		close(lock);
	if (dir >= 0)
		close(dir);
	pg_free(full);
	return needed;
}

/*
 * Remove what is not kept, the newest of a chain first: what is left of a
 * chain can be restored.
 */
char *
expire_backups(const char *directory, int keep, int keep_days, int64 now,
			   bool dry_run)
{
	Family		family;
	bool	   *kept;
	char	   *problem = family_read(&family, directory);

	if (problem != NULL)
		return problem;
	kept = pg_malloc0(family.nmembers + 1);
	if (keep >= 0)
		keep_newest(&family, keep, kept);
	else
		keep_since(&family, now - (int64) keep_days * 24 * 60 * 60, kept);
	keep_unfinished(&family, kept);

	for (int i = 0; problem == NULL && i < family.nremains; i++)
		if (is_needed(&family, family.remains[i]))
			pg_log_warning("keeping \"%s/%s\": call --into again",
						   directory, family.remains[i]);
		else
			problem = remove_one(&family, family.remains[i], dry_run);
	for (int i = family.nmembers - 1; problem == NULL && i >= 0; i--)
	{
		const Member *member = &family.members[i];

		if (member->root < 0)
			pg_log_warning("keeping \"%s\": its full is not here",
						   member->backup->path);
		else if (!kept[member->root])
			problem = remove_one(&family, family_name(member->backup->path),
								 dry_run);
	}
	pg_free(kept);
	return problem;
}
