/*-------------------------------------------------------------------------
 *
 * node_record.h
 *		The file that says which node a data directory is, and whether it is
 *		still that directory.
 *
 * The idea: the file is copied along with the directory, so it also holds what
 * a copy does not take over: the directory's inode, and when it was born.  The
 * inode alone is not enough, since the root of a file system has the same one
 * everywhere.  The device number tells nothing: it changes when disks are
 * found in another order, and with each mount of NFS and of anonymous devices.
 *
 * A copy of whole devices (a snapshot, an image) has the same inodes and times
 * of birth.  There, and where a file system knows no time of birth, the
 * folder's lock and the chain's last record decide.  The device is noted for
 * that case alone: should another server have the lock, a device that is not
 * the one noted says that this directory is the copy.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_NODE_RECORD_H
#define CKPX_NODE_RECORD_H

#include "core/types.h"

#define CKPX_NODE_RECORD_MAX	256

typedef struct CkpxNodeRecord
{
	uint64		node_id;		/* not 0 */
	uint64		inode;
	int64		birth_ns;		/* since 1970; 0: not known */
	uint64		device;
} CkpxNodeRecord;

/* Write the text of the file to 'text'; returns its length. */
extern int	ckpx_node_record_encode(char *text, const CkpxNodeRecord *record);

/* Read what _encode wrote; false for anything else. */
extern bool ckpx_node_record_decode(CkpxNodeRecord *record, const char *text);

/*
 * Is the directory that was seen as 'seen' the one of the record?  Also where
 * that is not certain: where the inode is the same, and no time of birth says
 * that it is another directory.
 */
extern bool ckpx_node_record_fits(const CkpxNodeRecord *record,
								  const CkpxNodeRecord *seen);

#endif							/* CKPX_NODE_RECORD_H */
