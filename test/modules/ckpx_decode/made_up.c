/*-------------------------------------------------------------------------
 *
 * made_up.c
 *		Records that are made up, right ones or with one thing wrong.
 *
 * A mistake is the only one of its record: the lengths that the headers tell
 * add up to the record's, and the checksum is right.  So a reader that does
 * not look for just this mistake takes the record.
 *
 * Resource managers are those of which wal/decode.c does not look at the main
 * data.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/rmgr.h"
#include "access/xlogreader.h"
#include "common/relpath.h"
#include "made_up.h"
#include "port/pg_crc32c.h"

/* The headers of a record's parts, being written. */
typedef struct Parts
{
	char	   *at;
	char	   *upto;			/* the record's end */
	uint32		payload;		/* bytes that they announce */
} Parts;

/* Add a field; one that has no room is not written. */
static void
put(Parts *parts, const void *field, uint32 size)
{
	if (parts->at + size <= parts->upto)
		memcpy(parts->at, field, size);
	parts->at += size;
}

static void
put_byte(Parts *parts, uint8 byte)
{
	put(parts, &byte, sizeof(byte));
}

static void
put_image(pg_prng_state *random, Parts *parts, Mistake mistake)
{
	bool		hole = random_below(random, 2) == 0;
	bool		compressed = random_below(random, 2) == 0;
	uint16		length = 1 + random_below(random, 40);
	uint16		offset;
	uint16		hole_length = 1 + random_below(random, 500);
	uint8		info = random_below(random, 2) == 0 ? BKPIMAGE_APPLY : 0;

	if (mistake == MISTAKE_HOLE_AT_START || mistake == MISTAKE_HOLE_EMPTY)
		hole = true;
	else if (mistake == MISTAKE_OFFSET_WITHOUT_HOLE || mistake == MISTAKE_IMAGE_SHORT)
		hole = false;
	if (mistake == MISTAKE_HOLE_EMPTY || mistake == MISTAKE_OFFSET_WITHOUT_HOLE ||
		mistake == MISTAKE_IMAGE_FULL)
		compressed = true;
	else if (mistake == MISTAKE_IMAGE_SHORT)
		compressed = false;

	if (mistake == MISTAKE_IMAGE_FULL ||
		(!hole && !compressed && mistake != MISTAKE_IMAGE_SHORT))
		length = BLCKSZ;
	offset = hole != (mistake == MISTAKE_HOLE_AT_START ||
					  mistake == MISTAKE_OFFSET_WITHOUT_HOLE) ?
		1 + random_below(random, 500) : 0;
	if (mistake == MISTAKE_HOLE_EMPTY)
		hole_length = 0;
	if (hole)
		info |= BKPIMAGE_HAS_HOLE;
	if (compressed)
		info |= BKPIMAGE_COMPRESS_PGLZ;

	put(parts, &length, sizeof(length));
	put(parts, &offset, sizeof(offset));
	put(parts, &info, sizeof(info));
	if (hole && compressed)
		put(parts, &hole_length, sizeof(hole_length));
	parts->payload += length;
}

static void
put_block(pg_prng_state *random, Parts *parts, uint8 id, bool same_relation,
		  Mistake mistake)
{
	bool		image = mistake >= MISTAKE_HOLE_AT_START ||
		random_below(random, 3) == 0;
	bool		data = mistake == MISTAKE_DATA_WITHOUT_FLAG ||
		random_below(random, 2) == 0;
	uint16		length = data && mistake != MISTAKE_FLAG_WITHOUT_DATA ?
		1 + random_below(random, 20) : 0;
	uint8		flags = random_below(random, MAX_FORKNUM + 1);
	uint32		block = (uint32) random_below(random, 1000);

	if (mistake != MISTAKE_DATA_WITHOUT_FLAG &&
		(length > 0 || mistake == MISTAKE_FLAG_WITHOUT_DATA))
		flags |= BKPBLOCK_HAS_DATA;
	if (image)
		flags |= BKPBLOCK_HAS_IMAGE;
	if (same_relation)
		flags |= BKPBLOCK_SAME_REL;
	put_byte(parts, id);
	put_byte(parts, flags);
	put(parts, &length, sizeof(length));
	parts->payload += length;
	if (image)
		put_image(random, parts, mistake);
	for (int i = 0; i < 3 && !same_relation; i++)
	{
		Oid			oid = 1663 + random_below(random, 3);

		put(parts, &oid, sizeof(oid));
	}
	put(parts, &block, sizeof(block));
}

/*
 * Make up what a record says of its parts; the bytes behind stay.  False: it
 * is not long enough.
 */
static bool
make_parts(pg_prng_state *random, char *record, uint32 length,
		   Mistake mistake)
{
	Parts		parts = {record + SizeOfXLogRecord, record + length, 0};
	int			nblocks = (int) random_below(random, 4);
	uint8		id = (uint8) random_below(random, 3);
	uint32		number = (uint32) pg_prng_uint64(random);
	int64		rest;
	bool		is_long;

	if (mistake == MISTAKE_BLOCK_TWICE)
		nblocks = 2;
	else if (mistake >= MISTAKE_NO_RELATION)
		nblocks = Max(nblocks, 1);
	for (int i = 0; i < nblocks; i++)
	{
		bool		same_relation = mistake == MISTAKE_NO_RELATION ||
			(i > 0 && random_below(random, 2) == 0);

		put_block(random, &parts, id, same_relation,
				  i == 0 ? mistake : MISTAKE_NONE);
		if (mistake != MISTAKE_BLOCK_TWICE)
			id += 1 + random_below(random, 3);
	}
	if (mistake == MISTAKE_UNKNOWN_ID)
		put_byte(&parts, XLR_MAX_BLOCK_ID + 1);
	if (random_below(random, 3) == 0)
	{
		put_byte(&parts, XLR_BLOCK_ID_ORIGIN);
		put(&parts, &number, sizeof(RepOriginId));
	}
	if (random_below(random, 3) == 0)
	{
		put_byte(&parts, XLR_BLOCK_ID_TOPLEVEL_XID);
		put(&parts, &number, sizeof(TransactionId));
	}

	/* The rest is main data. */
	rest = parts.upto - parts.at - (int64) parts.payload - 2;
	is_long = rest > PG_UINT8_MAX;
	if (is_long)
		rest -= 3;
	if (rest < 0)
		return false;
	number = (uint32) rest;
	if (mistake == MISTAKE_LENGTH)
		number += random_below(random, 2) == 0 ? 1 : -1;
	put_byte(&parts, is_long ? XLR_BLOCK_ID_DATA_LONG :
			 XLR_BLOCK_ID_DATA_SHORT);
	if (is_long)
		put(&parts, &number, sizeof(number));
	else
		put_byte(&parts, (uint8) number);
	return true;
}

bool
ckpx_made_up_record(pg_prng_state *random, XLogRecord *record, uint32 length,
			   Mistake mistake)
{
	char	   *bytes = (char *) record;
	pg_crc32c	crc;

	if (!make_parts(random, bytes, length, mistake))
		return false;
	record->xl_rmid = RM_HEAP_ID +
		random_below(random, RM_MAX_BUILTIN_ID - RM_HEAP_ID + 1);
	record->xl_info = random_below(random, 256) & ~XLR_SPECIAL_REL_UPDATE;
	if (mistake == MISTAKE_TOO_SHORT)
		record->xl_tot_len = (uint32) random_below(random, SizeOfXLogRecord);
	else if (mistake == MISTAKE_UNKNOWN_MANAGER)
		record->xl_rmid = RM_MAX_BUILTIN_ID + 1 +
			random_below(random, RM_MIN_CUSTOM_ID - RM_MAX_BUILTIN_ID - 1);
	else if (mistake == MISTAKE_LINK)
		record->xl_prev ^= UINT64CONST(1) << random_below(random, 64);
	else if (mistake == MISTAKE_SOME_BIT)
	{
		uint32		at = SizeOfXLogRecord + (uint32) random_below(random, 40);

		bytes[Min(at, length - 1)] ^= 1 << random_below(random, 8);
	}

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, bytes + SizeOfXLogRecord, length - SizeOfXLogRecord);
	COMP_CRC32C(crc, bytes, offsetof(XLogRecord, xl_crc));
	FIN_CRC32C(crc);
	record->xl_crc = crc;
	return true;
}
