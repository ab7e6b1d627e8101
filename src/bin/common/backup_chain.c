/*-------------------------------------------------------------------------
 *
 * backup_chain.c
 *		Which backup goes on from which.
 *
 * A full that was made of a chain has the label, and so the id, of the
 * increment that it stands for.  While both are there, what goes on from them
 * is taken to go on from the full.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/common/backup.h"

#include <sys/stat.h>

/*
 * Is 'parent' what the child's label names?  A backup of ckpx_basebackup names
 * its parent's id, or goes on from one that has none.  Where a data directory
 * was put back, two backups can share their place, and only one has the id.
 */
static bool
label_fits(const BackupLabel *label, const BackupLabel *parent)
{
	if (label->incremental_lsn == InvalidXLogRecPtr)
		return false;
	if (label->id[0] != '\0' && strcmp(label->parent, parent->id) != 0)
		return false;
	return label->incremental_tli == parent->start_tli &&
		label->incremental_lsn == parent->start_lsn;
}

/* Does 'child' go on from 'parent'? */
bool
backup_is_child(const Backup *child, const Backup *parent)
{
	return child->system_identifier == parent->system_identifier &&
		label_fits(&child->label, &parent->label);
}

/* Would it, if both were of one cluster? */
static bool
is_foreign_parent(const Backup *child, const Backup *candidate)
{
	return child->system_identifier != candidate->system_identifier &&
		label_fits(&child->label, &candidate->label);
}

/* The same directory, whatever its name? */
static bool
is_same(const Backup *a, const Backup *b)
{
	struct stat st_a;
	struct stat st_b;

	return a == b ||
		(fstat(a->dir, &st_a) == 0 && fstat(b->dir, &st_b) == 0 &&
		 st_a.st_dev == st_b.st_dev && st_a.st_ino == st_b.st_ino);
}

static bool
is_full(const Backup *backup)
{
	return backup->label.incremental_lsn == InvalidXLogRecPtr;
}

static bool
is_among(const Backup *backup, Backup **chain, int length)
{
	for (int i = 0; i < length; i++)
		if (is_same(backup, chain[i]))
			return true;
	return false;
}

/*
 * The parent of the last backup in 'chain', not one of those in it; NULL with
 * a problem.
 */
static Backup *
find_parent(Backup **chain, int length, Backup **candidates, int ncandidates,
			char **problem)
{
	Backup	   *child = chain[length - 1];
	Backup	   *found = NULL;
	Backup	   *other = NULL;
	Backup	   *foreign = NULL;

	for (int i = 0; i < ncandidates; i++)
	{
		Backup	   *candidate = candidates[i];

		if (is_foreign_parent(child, candidate))
			foreign = candidate;
		if (!backup_is_child(child, candidate) ||
			is_among(candidate, chain, length) ||
			(found != NULL && is_same(candidate, found)))
			continue;
		if (found == NULL || (is_full(candidate) && !is_full(found)))
		{
			found = candidate;
			other = NULL;
		}
		else if (is_full(candidate) == is_full(found))
			other = candidate;
	}
	if (found == NULL && foreign != NULL)
		*problem = psprintf("\"%s\" starts where \"%s\" goes on, but its system"
							" identifier is %llu, not %llu: it is of another"
							" cluster",
							foreign->path, child->path,
							(unsigned long long) foreign->system_identifier,
							(unsigned long long) child->system_identifier);
	else if (found == NULL)
		*problem = psprintf("the backup that \"%s\" goes on from is missing:"
							" it starts at %X/%X on timeline %u%s%s",
							child->path,
							LSN_FORMAT_ARGS(child->label.incremental_lsn),
							child->label.incremental_tli,
							child->label.parent[0] != '\0' ? ", id " : "",
							child->label.parent);
	else if (other != NULL)
		*problem = psprintf("both \"%s\" and \"%s\" are what \"%s\" goes on"
							" from", found->path, other->path, child->path);
	return other == NULL ? found : NULL;
}

/* The chain that ends with 'backup', from the full on. */
int
backup_chain(Backup *backup, Backup **candidates, int ncandidates,
			 Backup **chain, char **problem)
{
	int			length = 0;

	*problem = NULL;
	chain[length++] = backup;
	while (!is_full(chain[length - 1]))
	{
		Backup	   *parent = find_parent(chain, length, candidates,
										 ncandidates, problem);

		if (parent == NULL)
			return 0;
		chain[length++] = parent;
	}
	for (int i = 0; i < length / 2; i++)
	{
		Backup	   *swap = chain[i];

		chain[i] = chain[length - 1 - i];
		chain[length - 1 - i] = swap;
	}
	return length;
}
