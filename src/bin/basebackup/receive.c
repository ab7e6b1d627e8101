/*-------------------------------------------------------------------------
 *
 * receive.c
 *		From the rows of one list to files in a sink.
 *
 * A file's size is known before its first byte is written, as tar wants it:
 * an increment's from the blocks that were asked for, a whole file's from the
 * list.  What the server does not have any more is zeros, what it has more is
 * left out; both come from changes after START, which replay repeats.  Small
 * files, which may be replaced as a whole at any time, are kept until they
 * end, and stored as they were found.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/basebackup/receive.h"

#include "bin/basebackup/run.h"
#include "bin/common/increment.h"
#include "port/pg_bswap.h"
#include "port/pg_crc32c.h"

#define COPY_SIGNATURE			"PGCOPY\n\377\r\n"
#define COPY_SIGNATURE_LENGTH	11
#define COPY_HEADER_LENGTH		(COPY_SIGNATURE_LENGTH + 8)
#define ROW_HEADER_LENGTH		5	/* file, type */
#define MAX_ROW_BYTES			(16 * BLCKSZ)

/* Listed sizes up to which a file is kept until it ends. */
#define SMALL_BYTES				(1024 * 1024)
#define SMALL_FSM_BYTES			(8 * 1024 * 1024)

struct Receiver
{
	Sink	   *sink;
	const Parent *parent;
	const char *recovery_conf;
	FileList   *list;
	uint32		index;			/* of the file in work, or next */
	bool		header_seen;
	bool		trailer_seen;
	bool		begun;			/* a row of that file was seen */
	bool		in_sink;		/* sink_begin() was called for it */
	bool		small;			/* it is kept in 'kept' */

	/* increment: the block that must come next, and the end of its run */
	BlockNumber block;
	BlockNumber end;

	/* whole: bytes so far */
	uint64		offset;

	char	   *kept;
	size_t		kept_length;
	size_t		kept_allocated;
	uint64		bad_checksums;
};

Receiver *
receive_create(Sink *sink, const Parent *parent,
			   const char *recovery_conf)
{
	Receiver   *receiver = pg_malloc0(sizeof(Receiver));

	receiver->sink = sink;
	receiver->parent = parent;
	receiver->recovery_conf = recovery_conf;
	return receiver;
}

static void
next_file(Receiver *receiver)
{
	receiver->begun = false;
	receiver->in_sink = false;
	receiver->block = 0;
	receiver->end = 0;
	receiver->offset = 0;
	receiver->kept_length = 0;
}

void
receive_begin(Receiver *receiver, FileList *list)
{
	receiver->list = list;
	receiver->index = 0;
	receiver->header_seen = false;
	receiver->trailer_seen = false;
	next_file(receiver);
}

static bool
protocol_error(Receiver *receiver, const char *what)
{
	PlanFile   *file = receiver->index < receiver->list->nfiles ?
		receiver->list->files[receiver->index] : NULL;

	run_fail("the server sent %s%s%s", what, file ? " for file " : "",
			 file ? file->path : "");
	return false;
}

static bool
begin_increment(Receiver *receiver, const PlanFile *file, const char *name)
{
	size_t		length = increment_header_length(file->nblocks);
	char	   *header = pg_malloc(length);
	Increment	increment = {
		.nblocks = file->nblocks,
		.truncation_length = file->size / BLCKSZ,
	};
	BlockNumber block;
	BlockNumber end = 0;
	uint32		n = 0;
	bool		good;

	increment.blocks = pg_malloc(sizeof(BlockNumber) * (file->nblocks + 1));
	while (plan_next_run(file, &block, &end))
	{
		while (block < end)
			increment.blocks[n++] = block++;
	}
	increment_encode(&increment, header);
	good = sink_begin(receiver->sink, name,
					  increment_file_length(file->nblocks), file->modified) &&
		sink_write(receiver->sink, header, length);
	pfree(increment.blocks);
	pfree(header);
	return good;
}

/* The first row of a file. */
static bool
begin_file(Receiver *receiver, PlanFile *file)
{
	char		name[MAXPGPATH];

	receiver->begun = true;
	receiver->small = !file->incremental &&
		file->size <= (file->kind == PLAN_FSM ? SMALL_FSM_BYTES : SMALL_BYTES);
	if (receiver->small)
		return true;
	receiver->in_sink = true;
	plan_name(file, name);
	if (file->incremental)
	{
		plan_next_run(file, &receiver->block, &receiver->end);
		return begin_increment(receiver, file, name);
	}
	return sink_begin(receiver->sink, name, file->size, file->modified);
}

static bool
keep(Receiver *receiver, const PlanFile *file, const char *bytes,
	 size_t length)
{
	size_t		most = file->size + SMALL_FSM_BYTES;

	length = Min(length, most - receiver->kept_length);
	if (receiver->kept_length + length > receiver->kept_allocated)
	{
		receiver->kept_allocated = Max(receiver->kept_length + length,
									   receiver->kept_allocated * 2);
		receiver->kept = pg_realloc(receiver->kept, receiver->kept_allocated);
	}
	memcpy(receiver->kept + receiver->kept_length, bytes, length);
	receiver->kept_length += length;
	return true;
}

/* Blocks of an increment: they must be those that were asked for, in order. */
static bool
take_blocks(Receiver *receiver, const PlanFile *file, uint64 offset,
			const char *bytes, size_t length)
{
	/* a file that is growing may end within a block; it is zeros to us */
	length -= length % BLCKSZ;
	while (length > 0)
	{
		size_t		now;

		if (receiver->block == receiver->end ||
			offset != (uint64) receiver->block * BLCKSZ)
			return protocol_error(receiver, "blocks that were not asked for");
		now = Min(length, (size_t) (receiver->end - receiver->block) * BLCKSZ);
		if (!sink_write(receiver->sink, bytes, now))
			return false;
		bytes += now;
		offset += now;
		length -= now;
		receiver->block += now / BLCKSZ;
		if (receiver->block == receiver->end)
			plan_next_run(file, &receiver->block, &receiver->end);
	}
	return true;
}

static bool
take_data(Receiver *receiver, const PlanFile *file, const char *bytes,
		  size_t length)
{
	uint64		offset;

	if (length < sizeof(offset) || length - sizeof(offset) > MAX_ROW_BYTES)
		return protocol_error(receiver, "a row of wrong length");
	memcpy(&offset, bytes, sizeof(offset));
	offset = pg_ntoh64(offset);
	bytes += sizeof(offset);
	length -= sizeof(offset);
	if (file->incremental)
		return take_blocks(receiver, file, offset, bytes, length);
	if (offset != receiver->offset)
		return protocol_error(receiver, "bytes at a wrong offset");
	receiver->offset += length;
	if (receiver->small)
		return keep(receiver, file, bytes, length);
	if (offset >= file->size)
		return true;
	return sink_write(receiver->sink, bytes, Min(length, file->size - offset));
}

/* An increment without blocks. */
static bool
put_empty(Receiver *receiver, PlanFile *file, BlockNumber length)
{
	char		name[MAXPGPATH];
	char		header[64];
	Increment	increment = {.truncation_length = length};

	increment_encode(&increment, header);
	plan_name(file, name);
	return sink_put(receiver->sink, name, header, increment_header_length(0),
					file->modified, file);
}

/* A free space map that is what the chain has becomes an empty increment. */
static bool
put_small(Receiver *receiver, PlanFile *file)
{
	char		name[MAXPGPATH];
	const char *bytes = receiver->kept;
	size_t		length = receiver->kept_length;

	if (receiver->recovery_conf && strcmp(file->path, "postgresql.auto.conf") == 0)
	{
		keep(receiver, file, receiver->recovery_conf,
			 strlen(receiver->recovery_conf));
		bytes = receiver->kept;
		length = receiver->kept_length;
	}
	if (file->kind == PLAN_FSM && receiver->parent && length % BLCKSZ == 0)
	{
		pg_crc32c	crc;

		INIT_CRC32C(crc);
		COMP_CRC32C(crc, receiver->kept, length);
		FIN_CRC32C(crc);
		if (parent_has_same(receiver->parent, file->path, length, crc))
		{
			file->incremental = true;
			return put_empty(receiver, file, length / BLCKSZ);
		}
	}
	plan_name(file, name);
	return sink_put(receiver->sink, name, bytes, length, file->modified, file);
}

static bool
end_file(Receiver *receiver, PlanFile *file)
{
	uint8		checksum[PG_CHECKSUM_MAX_LENGTH];
	int			length;

	if (receiver->small)
	{
		if (!put_small(receiver, file))
			return false;
	}
	else
	{
		if (!sink_end(receiver->sink, checksum, &length))
			return false;
		file->stored = file->incremental ?
			increment_file_length(file->nblocks) : file->size;
		file->checksum_length = length;
		file->checksum = pg_malloc(Max(1, length));
		memcpy(file->checksum, checksum, length);
	}
	file->state = PLAN_COPIED;
	receiver->index++;
	next_file(receiver);
	return true;
}

static bool
take_row(Receiver *receiver, const char *row, size_t length)
{
	uint32		index;
	PlanFile   *file;

	if (length < ROW_HEADER_LENGTH)
		return protocol_error(receiver, "a row of wrong length");
	memcpy(&index, row, sizeof(index));
	if (pg_ntoh32(index) != receiver->index ||
		receiver->index >= receiver->list->nfiles)
		return protocol_error(receiver, "a row of another file");
	file = receiver->list->files[receiver->index];
	if (row[4] == 'V')
	{
		if (receiver->begun)
			return protocol_error(receiver, "no end");
		file->state = PLAN_VANISHED;
		receiver->index++;
		next_file(receiver);
		return true;
	}
	if (!receiver->begun && !begin_file(receiver, file))
		return false;
	switch (row[4])
	{
		case 'D':
			return take_data(receiver, file, row + ROW_HEADER_LENGTH,
							 length - ROW_HEADER_LENGTH);
		case 'E':
			return end_file(receiver, file);
		case 'C':
			receiver->bad_checksums++;
			return true;
	}
	return protocol_error(receiver, "a row of unknown type");
}

bool
receive_message(Receiver *receiver, const char *bytes, size_t length)
{
	uint16		fields;
	uint32		value;

	if (!receiver->header_seen)
	{
		if (length < COPY_HEADER_LENGTH ||
			memcmp(bytes, COPY_SIGNATURE, COPY_SIGNATURE_LENGTH) != 0)
			return protocol_error(receiver, "no binary COPY");
		receiver->header_seen = true;
		bytes += COPY_HEADER_LENGTH;
		length -= COPY_HEADER_LENGTH;
		if (length == 0)
			return true;
	}
	if (length < sizeof(fields) || receiver->trailer_seen)
		return protocol_error(receiver, "a message of wrong length");
	memcpy(&fields, bytes, sizeof(fields));
	if (fields == 0xFFFF && length == sizeof(fields))
	{
		receiver->trailer_seen = true;
		return true;
	}
	if (pg_ntoh16(fields) != 1 || length < sizeof(fields) + sizeof(value))
		return protocol_error(receiver, "a row with other columns");
	memcpy(&value, bytes + sizeof(fields), sizeof(value));
	bytes += sizeof(fields) + sizeof(value);
	length -= sizeof(fields) + sizeof(value);
	if (pg_ntoh32(value) != length)
		return protocol_error(receiver, "a row of wrong length");
	return take_row(receiver, bytes, length);
}

bool
receive_end(Receiver *receiver)
{
	if (receiver->trailer_seen && receiver->index == receiver->list->nfiles)
		return true;
	return protocol_error(receiver, "no end");
}

bool
receive_abort(Receiver *receiver)
{
	bool		in_sink = receiver->in_sink;

	next_file(receiver);
	return !in_sink || sink_abort(receiver->sink);
}

bool
receive_unchanged(Receiver *receiver, FileList *list)
{
	for (uint32 i = 0; i < list->nfiles; i++)
	{
		PlanFile   *file = list->files[i];

		if (run_stopping() ||
			!put_empty(receiver, file, file->size / BLCKSZ))
			return false;
		file->state = PLAN_COPIED;
	}
	return true;
}

uint64
receive_bad_checksums(const Receiver *receiver)
{
	return receiver->bad_checksums;
}
