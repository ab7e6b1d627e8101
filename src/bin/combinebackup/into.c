/*-------------------------------------------------------------------------
 *
 * into.c
 *		A full backup moves forward without reading the server.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/combinebackup/into.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bin/combinebackup/choose.h"
#include "bin/combinebackup/family.h"
#include "bin/common/files.h"
#include "common/file_utils.h"
#include "common/logging.h"

typedef struct Roll
{
	char		directory[MAXPGPATH];	/* of the backups */
	char		full_path[MAXPGPATH];
	const char *name;			/* of the full, in it */
	char		forward[MAXPGPATH];
	char		previous[MAXPGPATH];
	Family		family;
	int			full;			/* member */
	int			nchain;
	int		   *chain;			/* members, BACKUP first */
} Roll;

/* Which member is this path?  -1: none. */
static int
find_member(const Family *family, const char *path)
{
	struct stat st;
	struct stat other;

	for (int i = 0; stat(path, &st) == 0 && i < family->nmembers; i++)
		if (fstat(family->members[i].backup->dir, &other) == 0 &&
			other.st_dev == st.st_dev && other.st_ino == st.st_ino)
			return i;
	return -1;
}

static bool
in_chain(const Roll *roll, int member)
{
	for (int i = 0; i < roll->nchain; i++)
		if (roll->chain[i] == member)
			return true;
	return false;
}

/* Names, and the rest of a swap that was cut off in the middle. */
static char *
prepare(Roll *roll, const char *full)
{
	char	   *real;

	strlcpy(roll->full_path, full, sizeof(roll->full_path));
	canonicalize_path(roll->full_path);
	snprintf(roll->previous, sizeof(roll->previous), "%s" SUFFIX_PREVIOUS,
			 roll->full_path);
	if (access(roll->full_path, F_OK) != 0 && errno == ENOENT &&
		access(roll->previous, F_OK) == 0)
	{
		if (rename(roll->previous, roll->full_path) != 0)
			return psprintf("could not rename \"%s\" to \"%s\": %m",
							roll->previous, roll->full_path);
		pg_log_info("\"%s\" is \"%s\" again", roll->previous, roll->full_path);
	}
	real = realpath(roll->full_path, NULL);
	if (real == NULL)
		return psprintf("could not find \"%s\": %m", roll->full_path);
	strlcpy(roll->full_path, real, sizeof(roll->full_path));
	free(real);
	strlcpy(roll->directory, roll->full_path, sizeof(roll->directory));
	get_parent_directory(roll->directory);
	roll->name = family_name(roll->full_path);
	snprintf(roll->forward, sizeof(roll->forward), "%s" SUFFIX_FORWARD,
			 roll->full_path);
	snprintf(roll->previous, sizeof(roll->previous), "%s" SUFFIX_PREVIOUS,
			 roll->full_path);
	return NULL;
}

/* The members from BACKUP back to, but without, the full. */
static char *
find_chain(Roll *roll, const char *backup)
{
	Family	   *family = &roll->family;
	char	   *problem = family_read(family, roll->directory);
	int			member;

	if (problem != NULL)
		return problem;
	roll->full = find_member(family, roll->full_path);
	member = find_member(family, backup);
	if (roll->full < 0)
		return psprintf("\"%s\" is no complete backup", roll->full_path);
	if (member < 0)
		return psprintf("\"%s\" is no complete backup in \"%s\"", backup,
						roll->directory);
	if (family->members[roll->full].backup->tar)
		return psprintf("\"%s\" is in tar files, which cannot be rolled forward\n"
						"Make a data directory with -o instead.",
						roll->full_path);
	roll->chain = pg_malloc(sizeof(int) * family->nmembers);
	for (; member >= 0 && member != roll->full &&
		 roll->nchain < family->nmembers;
		 member = family->members[member].parent)
		roll->chain[roll->nchain++] = member;
	return NULL;
}

/* Is FULL what BACKUP is, by an earlier call that was killed? */
static bool
is_done(const Roll *roll)
{
	const Member *members = roll->family.members;
	const BackupLabel *full = &members[roll->full].backup->label;
	const BackupLabel *backup;

	if (roll->nchain == 0)
		return false;
	backup = &members[roll->chain[0]].backup->label;
	return full->incremental_lsn == InvalidXLogRecPtr &&
		full->start_lsn == backup->start_lsn &&
		full->start_tli == backup->start_tli &&
		strcmp(full->id, backup->id) == 0;
}

/* Are both of one cluster? */
static char *
check_cluster(const Roll *roll)
{
	const Member *members = roll->family.members;
	const Backup *full = members[roll->full].backup;
	const Backup *backup = members[roll->chain[0]].backup;

	if (backup->system_identifier == full->system_identifier)
		return NULL;
	return choose_other_cluster(backup, full);
}

/* Which other backups need what is to go? */
static char *
check_others(const Roll *roll)
{
	const Family *family = &roll->family;

	for (int i = 0; i < family->nmembers; i++)
	{
		int			parent = family->members[i].parent;

		if (parent < 0 || in_chain(roll, i) || parent == roll->chain[0])
			continue;
		if (parent == roll->full || in_chain(roll, parent))
			return psprintf("backup \"%s\" goes on from \"%s\", which would go\n"
							"Choose a BACKUP that all later ones go on from, or make a data directory with -o.",
							family->members[i].backup->path,
							family->members[parent].backup->path);
	}
	for (int i = 0; i < family->nunfinished; i++)
	{
		const Unfinished *unfinished = &family->unfinished[i];

		for (int j = -1; j < roll->nchain; j++)
			if (family_goes_on(unfinished,
							   family->members[j < 0 ? roll->full :
											   roll->chain[j]].backup))
				return psprintf("unfinished backup \"%s/%s\" goes on from this chain\n"
								"Wait for its end; if it was abandoned, remove it.",
								family->directory, unfinished->name);
	}
	return NULL;
}

/* FULL must be as it was written. */
static char *
check_full(const Roll *roll)
{
	Backup	   *full = roll->family.members[roll->full].backup;
	char	   *problem;

	if (faccessat(full->dir, "postmaster.pid", F_OK,
				  AT_SYMLINK_NOFOLLOW) == 0)
		return psprintf("\"%s\" has a postmaster.pid: a server was started on it\n"
						"It is no backup any more; make a data directory with -o from another full.",
						full->path);
	if (backup_load(full, &problem))
		problem = combine_check_control(full);
	return problem;
}

/* Take the names, then remove what is not needed any more. */
static char *
swap(const Roll *roll)
{
	if (rename(roll->full_path, roll->previous) != 0)
		return psprintf("could not rename \"%s\" to \"%s\": %m",
						roll->full_path, roll->previous);
	if (rename(roll->forward, roll->full_path) != 0)
		return psprintf("could not rename \"%s\" to \"%s\": %m",
						roll->forward, roll->full_path);
	if (fsync_parent_path(roll->full_path) != 0)
		return psprintf("could not sync directory \"%s\": %m",
						roll->directory);
	return NULL;
}

/* The oldest first: what is left always shows what is missing. */
static char *
remove_old(const Roll *roll)
{
	char	   *problem = NULL;

	if (access(roll->previous, F_OK) == 0)
		problem = family_remove(roll->directory, family_name(roll->previous));
	for (int i = roll->nchain - 1; problem == NULL && i >= 0; i--)
	{
		const Member *member = &roll->family.members[roll->chain[i]];

		problem = family_remove(roll->directory,
								family_name(member->backup->path));
	}
	return problem;
}

static char *
forward(Roll *roll, const CombineOptions *options)
{
	Family	   *family = &roll->family;
	CombineOptions into = *options;
	Backup	  **chain;
	char	   *problem;
	int			lock;

	if (!lock_file(family->members[roll->full].backup->dir,
				   "backup_manifest", 0, &lock))
		return errno == EAGAIN ?
			psprintf("another process is rolling \"%s\" forward",
					 roll->full_path) :
			psprintf("could not lock \"%s/backup_manifest\": %m",
					 roll->full_path);
	if (!options->dry_run && access(roll->forward, F_OK) == 0)
	{
		problem = family_remove(roll->directory, family_name(roll->forward));
		if (problem != NULL)
			return problem;
	}

	chain = pg_malloc(sizeof(Backup *) * (roll->nchain + 1));
	chain[0] = family->members[roll->full].backup;
	for (int i = 0; i < roll->nchain; i++)
		chain[roll->nchain - i] = family->members[roll->chain[i]].backup;
	into.link = options->method != COPY_METHOD_CLONE;
	into.sync = true;
	into.verify = true;
	problem = combine(chain, roll->nchain + 1, roll->forward, &into);
	pg_free(chain);
	if (problem == NULL && !options->dry_run)
		problem = swap(roll);
	return problem;
}

/*
 * Roll a full forward.
 */
char *
roll_into(const char *backup, const char *full,
		  const CombineOptions *options)
{
	Roll		roll;
	char	   *problem;
	bool		done;

	memset(&roll, 0, sizeof(roll));
	problem = prepare(&roll, full);
	if (problem == NULL)
		problem = find_chain(&roll, backup);
	if (problem != NULL)
		return problem;
	if (roll.nchain == 0)
		return psprintf("\"%s\" is as of \"%s\" already", full, backup);
	done = is_done(&roll);
	if (!done)
		problem = check_cluster(&roll);
	if (problem != NULL)
		return problem;
	if (!done && roll.family.members[roll.chain[0]].root != roll.full)
		return psprintf("\"%s\" does not go back to \"%s\"\n"
						"Look at the chains with --list %s.", backup, full,
						roll.directory);
	if (!done)
		problem = check_others(&roll);
	if (problem == NULL && !done)
		problem = check_full(&roll);
	if (problem == NULL && !done)
		problem = forward(&roll, options);
	if (problem == NULL && !options->dry_run)
		problem = remove_old(&roll);
	return problem;
}
