/*-------------------------------------------------------------------------
 *
 * spaces.h
 *		Where the tablespaces of a backup are.
 *
 * A plain backup has links in pg_tblspc, a tar the file tablespace_map.  A
 * link is believed only where this call mapped it (-T) or where it leads to a
 * place inside the backup: otherwise combining could read from, and write to,
 * the tablespaces of a live cluster.
 *
 * Problems as in workers.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BIN_SPACES_H
#define CKPX_BIN_SPACES_H

#include "postgres_fe.h"

#include "bin/combinebackup/tree.h"
#include "bin/common/backup.h"

typedef struct Mapping
{
	struct Mapping *next;
	char	   *from;
	char	   *to;
	bool		used;
} Mapping;

/* Parse OLD=NEW, "\=" being a "=", and put it first in the list. */
extern char *mapping_add(Mapping **list, const char *argument);
extern Mapping *mapping_find(Mapping *list, const char *from);

/*
 * The tree of a backup with its tablespaces.  Of an older backup than the
 * newest, whose manifest is 'newest', only those that the newest one has files
 * in: nothing is read from the others.
 */
extern char *tree_of_backup(Tree *tree, Backup *backup, Mapping *mappings,
							const Manifest *newest);

/* The same, of one that is only read: links may lead anywhere. */
extern char *tree_of_backup_anywhere(Tree *tree, Backup *backup);

#endif							/* CKPX_BIN_SPACES_H */
