/*-------------------------------------------------------------------------
 *
 * node.h
 *		Whose store it is: the folder of this data directory, its lock, and the
 *		node identifier.
 *
 * The idea: CKPX_NODE_FILE identifies the data directory, and the
 * store's folder is named after that.  The runner calls these when it starts,
 * ckpx_uninstall() when it takes everything away; neither holds a lock.  File
 * trouble raises errors with errcode_for_file_access() and the path.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_NODE_H
#define CKPX_NODE_H

#include "postgres.h"

/* Its identifier, in the data directory; the lock, in the store's folder. */
#define CKPX_NODE_FILE		"ckpx_node"
#define CKPX_LOCK_FILE		"lock"

/*
 * Is CkpxShared->folder, which must be set and lie in ckpx.directory, there?
 * Where ckpx.directory lies in the data directory and holds the folder of the
 * data directory that this one is a copy of, that folder is taken over: its
 * history is ours as well.
 */
extern bool ckpx_folder_find(void);

/* Make ckpx.directory and the folder, where they are not there yet. */
extern void ckpx_folder_create(void);

/*
 * Take the folder for this process until it ends; true also if it has it
 * already.  False, with errno, while another process has it.
 */
extern bool ckpx_folder_lock(void);

/*
 * Is the folder, with its lock file, where it was?  It may lie on a file
 * system that was taken away for a while.
 */
extern bool ckpx_folder_is_there(void);

typedef enum CkpxNodeKind
{
	CKPX_NODE_KNOWN = 0,		/* as before, or the first time */
	CKPX_NODE_MOVED,			/* it seems so; but the device is another, or
								 * a time of birth is not known: if its folder
								 * is locked, this is a copy */
	CKPX_NODE_COPY				/* certainly, or the file is damaged */
} CkpxNodeKind;

/*
 * The identifier of this data directory, from CKPX_NODE_FILE in it.  Where
 * there is none, a new one is made; also where the file is damaged or is of
 * another directory, as it is in a copy.  Durable when it returns.
 */
extern uint64 ckpx_node_identity(CkpxNodeKind *kind);

/*
 * Write CKPX_NODE_FILE with a new identifier and return that; or with the
 * identifier that it has, and the directory as it is found now.
 */
extern uint64 ckpx_node_renew(void);
extern void ckpx_node_confirm(uint64 node_id);

/* The same where it is known already, else 0.  Raises no error. */
extern uint64 ckpx_node_known_id(void);

/*
 * Write a file that tells this data directory from a copy of it; durable when
 * it returns.  _is_foreign_stamp, which any process may call and which raises
 * no error: was 'path' copied here with another data directory?  A file that
 * does not say so, and one that cannot be read, is not foreign.
 */
extern void ckpx_node_stamp(const char *path);
extern bool ckpx_node_is_foreign_stamp(const char *path);

#endif							/* CKPX_NODE_H */
