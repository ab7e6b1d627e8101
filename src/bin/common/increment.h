/*-------------------------------------------------------------------------
 *
 * increment.h
 *		The file INCREMENTAL.<name>: some blocks of a relation's segment.
 *
 * PostgreSQL 17's format, in the byte order of the machine: magic, number of
 * blocks, truncation length, the block numbers ascending, zeros up to a
 * multiple of BLCKSZ where there are blocks, the blocks.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_BIN_INCREMENT_H
#define CKPX_BIN_INCREMENT_H

#include "postgres_fe.h"

#include "storage/block.h"

#define INCREMENT_MAGIC		0xd3ae1f0d

typedef struct Increment
{
	uint32		nblocks;		/* at most RELSEG_SIZE */
	uint32		truncation_length;	/* at most RELSEG_SIZE: no older backup
									 * has a block from here on */
	BlockNumber *blocks;		/* ascending; each below RELSEG_SIZE */
} Increment;

/* Bytes before the first block, and of the whole file. */
extern size_t increment_header_length(uint32 nblocks);
extern uint64 increment_file_length(uint32 nblocks);

/* Fill 'header', of increment_header_length() bytes. */
extern void increment_encode(const Increment *increment, char *header);

/*
 * Take a header apart.  'bytes' are the first 'length' bytes of a file of
 * 'file_length' bytes.  Returns false with *problem (static text) where
 * anything is wrong, with *problem NULL and *needed where more bytes must be
 * given.  Bounds are checked before anything is allocated.
 */
extern bool increment_decode(Increment *increment, const char *bytes,
							 size_t length, uint64 file_length,
							 size_t *needed, const char **problem);
extern void increment_free(Increment *increment);

#endif							/* CKPX_BIN_INCREMENT_H */
