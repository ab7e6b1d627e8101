/*-------------------------------------------------------------------------
 *
 * made_up.h
 *		Records that are made up, right ones or with one thing wrong.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MADE_UP_H
#define MADE_UP_H

#include "access/xlogrecord.h"
#include "common/pg_prng.h"

/* What is wrong.  PostgreSQL's reader takes a record only without mistake. */
typedef enum Mistake
{
	MISTAKE_NONE = 0,
	MISTAKE_BLOCK_TWICE,
	MISTAKE_UNKNOWN_ID,
	MISTAKE_LENGTH,
	MISTAKE_TOO_SHORT,
	MISTAKE_UNKNOWN_MANAGER,
	MISTAKE_LINK,						/* to the record before */
	MISTAKE_SOME_BIT,					/* or perhaps nothing is wrong */
	MISTAKE_NO_RELATION,				/* that the first block could share */
	MISTAKE_DATA_WITHOUT_FLAG,
	MISTAKE_FLAG_WITHOUT_DATA,
	MISTAKE_HOLE_AT_START,				/* the first of those in an image */
	MISTAKE_HOLE_EMPTY,
	MISTAKE_OFFSET_WITHOUT_HOLE,
	MISTAKE_IMAGE_SHORT,
	MISTAKE_IMAGE_FULL,					/* though it is compressed */
	MISTAKE_COUNT
} Mistake;

/*
 * Make up the record that 'record' is, of 'length' bytes, keeping only its
 * length, its xid, its link and what its payload happens to be; its checksum
 * is right.  False: it is not long enough.
 */
extern bool ckpx_made_up_record(pg_prng_state *random, XLogRecord *record,
						   uint32 length, Mistake mistake);

/* A number below 'bound'. */
static inline uint64
random_below(pg_prng_state *random, uint64 bound)
{
	return pg_prng_uint64(random) % bound;
}

#endif							/* MADE_UP_H */
