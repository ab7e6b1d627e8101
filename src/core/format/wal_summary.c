/*-------------------------------------------------------------------------
 *
 * wal_summary.c
 *		Writes a map in the form of PostgreSQL's WAL summary files.
 *
 * A fork's blocks are visited twice: the first time to count those of each
 * chunk, for the counts stand before all chunks.
 *
 *-------------------------------------------------------------------------
 */
#include "core/format/wal_summary.h"

#define SUMMARY_MAGIC		0x652b137b
#define BITMAP_FIELDS		4096	/* of 16 bits: a bitmap of a chunk */

/* What stands before the chunks of a fork; all zero: no fork follows. */
typedef struct ForkHeader
{
	uint32		tablespace;
	uint32		database;
	uint32		relation;
	uint32		fork;
	uint32		limit_block;
	uint32		nchunks;
} ForkHeader;

static void
put(CkpxWalSummary *summary, const void *bytes, Size length)
{
	COMP_CRC32C(summary->crc, bytes, length);
	summary->write(summary->arg, bytes, length);
}

void
ckpx_wal_summary_begin(CkpxWalSummary *summary, CkpxSummaryWrite write,
					   void *arg)
{
	uint32		magic = SUMMARY_MAGIC;

	summary->write = write;
	summary->arg = arg;
	INIT_CRC32C(summary->crc);
	put(summary, &magic, sizeof(magic));
}

/* Count the fields of each chunk; returns how many chunks there are. */
static uint32
count_fields(const CkpxBlockSet *blocks, uint16 *nfields)
{
	CkpxBlockSetIterator it;
	BlockNumber block;
	uint32		nchunks = 0;

	ckpx_block_set_iterate(&it, blocks, 0);
	while (ckpx_block_set_next(&it, &block))
	{
		uint32		chunk = block / CKPX_CHUNK_BLOCKS;

		while (nchunks <= chunk)
			nfields[nchunks++] = 0;
		if (nfields[chunk] < BITMAP_FIELDS)
			nfields[chunk]++;
	}
	return nchunks;
}

static void
put_chunks(CkpxWalSummary *summary, const CkpxBlockSet *blocks,
		   const uint16 *nfields, uint32 nchunks)
{
	uint16		fields[BITMAP_FIELDS];
	CkpxBlockSetIterator it;
	BlockNumber block;
	bool		more;

	ckpx_block_set_iterate(&it, blocks, 0);
	more = ckpx_block_set_next(&it, &block);
	for (uint32 chunk = 0; chunk < nchunks; chunk++)
	{
		bool		is_bitmap = nfields[chunk] == BITMAP_FIELDS;
		uint32		n = 0;

		if (is_bitmap)
			memset(fields, 0, sizeof(fields));
		for (; more && block / CKPX_CHUNK_BLOCKS == chunk;
			 more = ckpx_block_set_next(&it, &block))
		{
			uint32		offset = block % CKPX_CHUNK_BLOCKS;

			if (is_bitmap)
				fields[offset / 16] |= 1 << (offset % 16);
			else
				fields[n++] = (uint16) offset;
		}
		put(summary, fields, nfields[chunk] * sizeof(uint16));
	}
}

void
ckpx_wal_summary_add(CkpxWalSummary *summary, const CkpxRelation *relation)
{
	const CkpxBlockSet *blocks = &relation->blocks;
	ForkHeader	header;
	uint16	   *nfields;

	nfields = ckpx_alloc(blocks->mem, sizeof(uint16) * CKPX_CHUNK_BLOCKS);
	header.tablespace = relation->key.tablespace;
	header.database = relation->key.database;
	header.relation = relation->key.relation;
	header.fork = relation->key.fork;
	header.limit_block = blocks->limit_block;
	header.nchunks = count_fields(blocks, nfields);
	if (header.nchunks > 0 || header.limit_block != InvalidBlockNumber)
	{
		put(summary, &header, sizeof(header));
		put(summary, nfields, header.nchunks * sizeof(uint16));
		put_chunks(summary, blocks, nfields, header.nchunks);
	}
	pfree(nfields);
}

void
ckpx_wal_summary_end(CkpxWalSummary *summary)
{
	ForkHeader	none = {0};
	pg_crc32c	crc;

	put(summary, &none, sizeof(none));
	crc = summary->crc;
	FIN_CRC32C(crc);
	summary->write(summary->arg, (const char *) &crc, sizeof(crc));
}

void
ckpx_wal_summary_name(char *name, TimeLineID timeline, XLogRecPtr start_lsn,
					  XLogRecPtr end_lsn)
{
	snprintf(name, CKPX_WAL_SUMMARY_NAME, "%08X%08X%08X%08X%08X.summary",
			 timeline, LSN_FORMAT_ARGS(start_lsn), LSN_FORMAT_ARGS(end_lsn));
}
