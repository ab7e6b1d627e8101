/*-------------------------------------------------------------------------
 *
 * choose.c
 *		Which backups a call means.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/combinebackup/choose.h"

#include <unistd.h>

#include "common/logging.h"

/* The chain of one backup, found beside it. */
static char *
chain_beside(Backup *backup, Backup ***chain, int *nbackups)
{
	char		directory[MAXPGPATH];
	char	   *real = realpath(backup->path, NULL);
	Backup	  **siblings;
	int			nsiblings;
	char	   *problem = NULL;

	strlcpy(directory, real ? real : backup->path, sizeof(directory));
	free(real);
	get_parent_directory(directory);
	siblings = backup_siblings(directory, &nsiblings);
	*chain = pg_malloc(sizeof(Backup *) * (nsiblings + 1));
	*nbackups = backup_chain(backup, siblings, nsiblings, *chain, &problem);
	return problem;
}

/*
 * Two backups that cannot be of one chain.
 */
char *
choose_other_cluster(const Backup *backup, const Backup *other)
{
	return psprintf("backup \"%s\" has system identifier %llu, but \"%s\" has %llu\n"
					"They are of different clusters; name the backups of one.",
					backup->path,
					(unsigned long long) backup->system_identifier,
					other->path,
					(unsigned long long) other->system_identifier);
}

/*
 * The chain that is to be combined.
 */
char *
choose_chain(char *const *paths, int npaths, Backup ***chain, int *nbackups)
{
	Backup	  **backups = pg_malloc(sizeof(Backup *) * npaths);
	char	   *problem = NULL;

	for (int i = 0; i < npaths; i++)
	{
		backups[i] = backup_open(paths[i], &problem);
		if (backups[i] == NULL)
			return problem;
	}
	if (npaths == 1 && backups[0]->label.incremental_lsn != InvalidXLogRecPtr)
		return chain_beside(backups[0], chain, nbackups);

	*chain = backups;
	*nbackups = npaths;
	if (backups[0]->label.incremental_lsn != InvalidXLogRecPtr)
		return psprintf("backup \"%s\" is an increment, and the first must be a full\n"
						"Name the backups in the order in which they were made.",
						paths[0]);
	for (int i = 1; i < npaths; i++)
	{
		XLogRecPtr	from = backups[i]->label.incremental_lsn;

		if (backups[i]->label.incremental_lsn == InvalidXLogRecPtr)
			return psprintf("backup \"%s\" is a full, and only the first may be one\n"
							"A full needs no other backup.", paths[i]);
		if (backups[i]->system_identifier != backups[i - 1]->system_identifier)
			return choose_other_cluster(backups[i], backups[i - 1]);
		if (!backup_is_child(backups[i], backups[i - 1]))
			return psprintf("backup \"%s\" does not go on from \"%s\", but from the one that starts at %X/%X\n"
							"Name all backups of the chain in the order in which they were made.",
							paths[i], paths[i - 1],
							LSN_FORMAT_ARGS(from));
	}
	return NULL;
}

/*
 * Is there a backup in this directory?
 */
bool
choose_is_backup(const char *path)
{
	char		name[MAXPGPATH];

	snprintf(name, sizeof(name), "%s/backup_manifest", path);
	return access(name, F_OK) == 0;
}

/*
 * Load a backup among others; false with a warning if that is not possible.
 */
bool
choose_load(Backup *backup)
{
	char	   *problem;

	if (backup_load(backup, &problem))
		return true;
	pg_log_warning("skipped: %s", problem);
	pg_free(problem);
	return false;
}

/*
 * When a backup had ended.
 */
int64
backup_end_time(const Backup *backup)
{
	ManifestFile **files = manifest_sorted(backup->manifest);
	int64		end = 0;

	for (uint32 i = 0; i < backup->manifest->nfiles; i++)
		end = Max(end, files[i]->modified);
	pg_free(files);
	return end;
}

/*
 * The newest backup that had ended.
 */
char *
choose_before(const char *directory, int64 when, char **path)
{
	int			nsiblings;
	Backup	  **siblings = backup_siblings(directory, &nsiblings);
	int64		newest = 0;

	*path = NULL;
	for (int i = 0; i < nsiblings; i++)
	{
		bool		loaded = choose_load(siblings[i]);
		int64		end = loaded ? backup_end_time(siblings[i]) : 0;

		if (loaded && end <= when && (*path == NULL || end > newest))
		{
			newest = end;
			*path = pg_strdup(siblings[i]->path);
		}
		backup_close(siblings[i]);
	}
	if (*path == NULL)
		return psprintf("no backup in \"%s\" had ended before the target time\n"
						"Choose a later time, or look with --list %s.",
						directory, directory);
	return NULL;
}
