/*-------------------------------------------------------------------------
 *
 * tree.h
 *		A data directory with its tablespaces, read or made.
 *
 * A file's name is that in the manifest.  Below pg_tblspc/OID it is looked for
 * in the directory of that tablespace, which is opened once; no other link is
 * followed.
 *
 * Problems as in workers.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BIN_TREE_H
#define CKPX_BIN_TREE_H

#include "postgres_fe.h"

#include <sys/stat.h>

typedef struct TreeSpace
{
	Oid			oid;
	char	   *path;			/* as the link or the map says; NULL: a
								 * directory within pg_tblspc */
	int			dir;			/* open; -1: it is in a tar, or in place */
} TreeSpace;

typedef struct Tree
{
	const char *path;
	int			root;			/* open */
	int			nspaces;
	TreeSpace  *spaces;
} Tree;

/* Add a tablespace; the path, in memory, becomes the tree's. */
extern void tree_add_space(Tree *tree, Oid oid, char *path, int dir);
extern void tree_close(Tree *tree);

/* The space with a place of its own that a file is in; -1: none. */
extern int	tree_find_space(const Tree *tree, const char *path);

/* As path_open(), with the modes of this data directory. */
extern int	tree_open(const Tree *tree, const char *path, int flags);
extern int	tree_mkdir(const Tree *tree, const char *path);
extern int	tree_unlink(const Tree *tree, const char *path);

/* Make 'path' a hard link to a file of another tree. */
extern int	tree_link(const Tree *tree, const char *path, const Tree *from,
					  const char *from_path);

/* fsync the directory that 'path' is in. */
extern int	tree_sync_parent(const Tree *tree, const char *path);

/*
 * Call 'found' for each file and directory; not for pg_tblspc's links.  What
 * is neither is a problem, and so is a name that path_check() refuses.
 */
typedef char *(*TreeFunction) (void *arg, const char *path, bool directory,
							   uint64 size, int64 modified);
extern char *tree_walk(const Tree *tree, TreeFunction found, void *arg);

#endif							/* CKPX_BIN_TREE_H */
