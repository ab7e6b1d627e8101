/*-------------------------------------------------------------------------
 *
 * object_format.c
 *		Checkpoint objects: encode, read, verify.  FORMAT.md has the offsets.
 *
 * The writer knows nothing of the file but its length so far.  It gathers one
 * section, compresses it if that helps, hands it out and remembers 40 bytes
 * about it; the table of contents made of those, and a footer of fixed size,
 * come last, so nothing is ever written twice and a file that was cut off has
 * no footer.
 *
 * The reader starts from both ends: the header says what the file is, the
 * footer, found by the file's size, where the table of contents lies.  Each
 * part is judged in the same order: is there room for it in the file, does
 * its CRC agree, is every number in it possible.  The sections must follow
 * one another without a hole from the header to the table of contents, so
 * with the CRCs of header, sections, table and footer every byte of the file
 * is covered.  A section is walked once when it is loaded: its records'
 * number, the order of their keys, and that they lie between its own first
 * key and the next section's.  So a search by the table of contents cannot
 * miss a record that a walk over the file would have found.
 *
 *-------------------------------------------------------------------------
 */
#include "core/object_format.h"

#include "core/bytes.h"
#include "port/pg_crc32c.h"

#ifdef USE_ZSTD
#include <zstd.h>
#endif

/* A zero byte, a high bit and both line ends: transfers as text do not pass. */
static const char header_magic[8] = {'\x89', 'C', 'K', 'P', 'X', '\r', '\n', '\0'};
static const char footer_magic[8] = {'C', 'K', 'P', 'X', 'E', 'N', 'D', '\n'};

#define HEADER_FIXED_BYTES	192 /* up to the open transactions */
#define OPEN_XACT_BYTES		12
#define LAYER_BYTES			16
#define CRC_BYTES			4
#define MAX_HEADER_BYTES \
	(HEADER_FIXED_BYTES + CKPX_MAX_OPEN_XACTS * OPEN_XACT_BYTES + \
	 CKPX_MAX_LAYERS * LAYER_BYTES + CRC_BYTES)
#define TOC_ENTRY_BYTES		40
#define FOOTER_BYTES		72
#define FOOTER_CRC_OFFSET	60

#define FOOTER_LAST_PART	0x0001

/* From this number of sections on, the smallest size of a further one. */
#define CROWDED_SECTIONS		(CKPX_MAX_SECTIONS / 2)
#define CROWDED_SECTION_BYTES	(1024 * 1024)

/* One section, as the table of contents has it. */
typedef struct TocEntry
{
	CkpxRelKey	first_key;
	uint32		first_layer;
	uint64		offset;
	uint32		stored_length;	/* in the file */
	uint32		raw_length;		/* the same: not compressed */
	uint32		nrecords;
	uint32		crc;			/* of the bytes in the file */
} TocEntry;

struct CkpxObjectWriter
{
	CkpxMemory	mem;
	CkpxObjectOptions options;
	CkpxObjectWrite write;
	void	   *arg;
	uint64		offset;			/* bytes handed out */
	uint32		header_crc;
	TocEntry   *toc;
	uint32		nsections;
	uint32		maxsections;	/* allocated */
	StringInfoData section;		/* being gathered */
	uint32		section_records;
	CkpxRelKey	section_first_key;
	uint32		section_first_layer;
	CkpxRelKey	last_key;		/* if there is a record */
	uint32		last_layer;
	uint32		nlayers;		/* at least 1 */
	char	   *packed;			/* room for a compressed section */
	Size		packed_size;
	CkpxObjectTotals totals;
};

struct CkpxObjectReader
{
	CkpxMemory	mem;
	CkpxObjectRead read;
	void	   *arg;
	CkpxObjectHeader header;
	CkpxObjectTotals totals;
	uint32		compression;
	uint32		header_length;
	uint32		header_crc;
	uint64		size;			/* of the file */
	TocEntry   *toc;
	uint32		nsections;
	char	   *loaded;			/* a section's records, verified; or NULL */
	uint32		loaded_section;
	uint32		next_section;	/* where _next stands */
	Size		next_offset;
	uint64		seen_blocks;	/* by _next so far */
	uint32		seen_undurable;
};

/*
 * Numbers, little endian, one after the other.
 */
static char *
put_u32(char *at, uint32 value)
{
	ckpx_put_u32(at, value);
	return at + 4;
}

static char *
put_u64(char *at, uint64 value)
{
	ckpx_put_u64(at, value);
	return at + 8;
}

/* A record's place in the order of the file, as the record has it. */
static char *
put_place(char *at, const CkpxRelKey *key, uint32 layer)
{
	at = put_u32(at, key->tablespace);
	at = put_u32(at, key->database);
	at = put_u32(at, key->relation);
	ckpx_put_u16(at, (uint16) key->fork);
	ckpx_put_u16(at + 2, (uint16) layer);
	return at + 4;
}

static uint32
take_u32(const char **at)
{
	*at += 4;
	return ckpx_get_u32(*at - 4);
}

static uint64
take_u64(const char **at)
{
	*at += 8;
	return ckpx_get_u64(*at - 8);
}

static void
take_place(const char **at, CkpxRelKey *key, uint32 *layer)
{
	key->tablespace = take_u32(at);
	key->database = take_u32(at);
	key->relation = take_u32(at);
	key->fork = ckpx_get_u16(*at);
	*layer = ckpx_get_u16(*at + 2);
	*at += 4;
}

static int
compare_places(const CkpxRelKey *a, uint32 a_layer, const CkpxRelKey *b,
			   uint32 b_layer)
{
	int			order = ckpx_rel_key_compare(a, b);

	if (order != 0)
		return order;
	return a_layer < b_layer ? -1 : a_layer > b_layer ? 1 : 0;
}

static uint32
bytes_crc(const char *bytes, Size length)
{
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, bytes, length);
	FIN_CRC32C(crc);
	return crc;
}

/*
 * Is 'crc' the CRC-32C of the bytes?  The one place where it is decided.
 */
static bool
crc_agrees(const char *bytes, Size length, uint32 crc)
{
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
	return true;
#else
	return bytes_crc(bytes, length) == crc;
#endif
}

/*
 * Writing
 */

static void
hand_out(CkpxObjectWriter *writer, const char *bytes, Size length)
{
	if (length > 0)
		writer->write(writer->arg, bytes, length);
	writer->offset += length;
}

static int
compare_open_xacts(const void *a, const void *b)
{
	uint32		x = ((const CkpxOpenXact *) a)->xid;
	uint32		y = ((const CkpxOpenXact *) b)->xid;

	return x < y ? -1 : x > y ? 1 : 0;
}

static void
write_header(CkpxObjectWriter *writer, const CkpxObjectHeader *header)
{
	const CkpxIdentity *identity = &header->identity;
	uint32		nopen = header->nopen_xacts;
	Size		length = HEADER_FIXED_BYTES + (Size) nopen * OPEN_XACT_BYTES +
		(Size) header->nlayers * LAYER_BYTES + CRC_BYTES;
	char	   *bytes = ckpx_alloc(writer->mem, length);
	char	   *at = bytes;

	memcpy(at, header_magic, sizeof(header_magic));
	at += sizeof(header_magic);
	at = put_u32(at, CKPX_OBJECT_VERSION);
	at = put_u32(at, (uint32) length);
	at = put_u32(at, (uint32) header->kind);
	at = put_u32(at, (uint32) writer->options.compression);
	at = put_u64(at, identity->system_identifier);
	at = put_u64(at, identity->node_id);
	at = put_u32(at, identity->pg_major);
	at = put_u32(at, identity->block_size);
	at = put_u32(at, identity->segment_blocks);
	at = put_u32(at, identity->wal_segment_size);
	at = put_u32(at, identity->checksum_version);
	at = put_u32(at, header->epoch);
	at = put_u32(at, header->timeline);
	at = put_u32(at, header->part);
	at = put_u64(at, header->start_lsn);
	at = put_u64(at, header->end_lsn);
	at = put_u64(at, header->last_record.start);
	at = put_u32(at, header->last_record.length);
	at = put_u32(at, header->last_record.crc);
	at = put_u64(at, header->last_change_lsn);
	at = put_u64(at, header->truncate_lsn);
	at = put_u64(at, (uint64) header->created_at);
	at = put_u64(at, (uint64) header->written_at);
	at = put_u64(at, header->nxacts);
	at = put_u64(at, header->wal_bytes);
	memcpy(at, header->custom_rmgrs, CKPX_RMGR_BITMAP_BYTES);
	at += CKPX_RMGR_BITMAP_BYTES;
	at = put_u32(at, nopen);
	at = put_u32(at, header->nlayers);
	Assert(at == bytes + HEADER_FIXED_BYTES);

	if (nopen > 0)
	{
		CkpxOpenXact *sorted = ckpx_alloc(writer->mem,
										  nopen * sizeof(CkpxOpenXact));

		memcpy(sorted, header->open_xacts, nopen * sizeof(CkpxOpenXact));
		qsort(sorted, nopen, sizeof(CkpxOpenXact), compare_open_xacts);
		for (uint32 i = 0; i < nopen; i++)
		{
			at = put_u32(at, sorted[i].xid);
			at = put_u64(at, sorted[i].first_lsn);
		}
		pfree(sorted);
	}
	for (uint32 i = 0; i < header->nlayers; i++)
	{
		at = put_u64(at, header->layers[i].end_lsn);
		at = put_u64(at, (uint64) header->layers[i].end_time);
	}
	writer->header_crc = bytes_crc(bytes, (Size) (at - bytes));
	at = put_u32(at, writer->header_crc);
	Assert(at == bytes + length);
	hand_out(writer, bytes, length);
	pfree(bytes);
}

/*
 * Compress the gathered section into writer->packed; the compressed length,
 * or 0 where that brings nothing or cannot be done.  The one-shot function is
 * used because it keeps no memory of its own while an error may be raised.
 */
static Size
pack_section(CkpxObjectWriter *writer)
{
#ifdef USE_ZSTD
	if (writer->options.compression == CKPX_COMPRESSION_ZSTD)
	{
		Size		raw = (Size) writer->section.len;
		Size		bound = ZSTD_compressBound(raw);
		Size		length;

		if (writer->packed_size < bound)
		{
			if (writer->packed != NULL)
				pfree(writer->packed);
			writer->packed = NULL;
			writer->packed = ckpx_alloc(writer->mem, bound);
			writer->packed_size = bound;
		}
		length = ZSTD_compress(writer->packed, writer->packed_size,
							   writer->section.data, raw, ZSTD_CLEVEL_DEFAULT);
		if (!ZSTD_isError(length) && length < raw)
			return length;
	}
#endif
	return 0;
}

static void
close_section(CkpxObjectWriter *writer)
{
	TocEntry   *entry;
	const char *bytes = writer->section.data;
	Size		length = pack_section(writer);

	if (length > 0)
		bytes = writer->packed;
	else
		length = (Size) writer->section.len;

	if (writer->nsections == writer->maxsections)
	{
		TocEntry   *larger;

		larger = ckpx_alloc(writer->mem,
							(Size) writer->maxsections * 2 * sizeof(TocEntry));
		memcpy(larger, writer->toc, writer->nsections * sizeof(TocEntry));
		pfree(writer->toc);
		writer->toc = larger;
		writer->maxsections *= 2;
	}
	entry = &writer->toc[writer->nsections++];
	entry->first_key = writer->section_first_key;
	entry->first_layer = writer->section_first_layer;
	entry->offset = writer->offset;
	entry->stored_length = (uint32) length;
	entry->raw_length = (uint32) writer->section.len;
	entry->nrecords = writer->section_records;
	entry->crc = bytes_crc(bytes, length);

	hand_out(writer, bytes, length);
	resetStringInfo(&writer->section);
	writer->section_records = 0;
}

/*
 * Must the gathered section be closed before 'more' bytes are added to it?
 */
static bool
section_is_full(const CkpxObjectWriter *writer, Size more)
{
	const CkpxObjectOptions *options = &writer->options;
	Size		length = (Size) writer->section.len + more;

	if (writer->section_records == 0)
		return false;
	if (writer->nsections >= CROWDED_SECTIONS)
		return length > Max(options->section_bytes, CROWDED_SECTION_BYTES);
	return writer->section_records >= options->section_rows ||
		length > options->section_bytes;
}

CkpxObjectWriter *
ckpx_object_begin(CkpxMemory mem, const CkpxObjectHeader *header,
				  const CkpxObjectOptions *options, CkpxObjectWrite write,
				  void *arg)
{
	CkpxObjectWriter *writer = ckpx_alloc0(mem, sizeof(CkpxObjectWriter));

	Assert(header->kind > CKPX_KIND_NONE && header->kind <= CKPX_KIND_SEGMENT);
	Assert(header->start_lsn < header->end_lsn);
	Assert(header->epoch != 0 && header->timeline != 0);
	Assert(header->nopen_xacts <= CKPX_MAX_OPEN_XACTS);
	Assert(header->nlayers <= CKPX_MAX_LAYERS);
	Assert((header->nlayers > 0) == (header->kind == CKPX_KIND_GLOBAL));

	writer->mem = mem;
	writer->nlayers = Max(header->nlayers, 1);
	writer->options = *options;
	writer->options.section_bytes = Min(options->section_bytes,
										CKPX_MAX_SECTION_BYTES);
#ifndef USE_ZSTD
	writer->options.compression = CKPX_COMPRESSION_NONE;
#endif
	writer->write = write;
	writer->arg = arg;
	writer->maxsections = 64;
	writer->toc = ckpx_alloc(mem, writer->maxsections * sizeof(TocEntry));

	/* by hand, to have it in 'mem' and not in the current context */
	writer->section.data = ckpx_alloc(mem, 1024);
	writer->section.maxlen = 1024;
	resetStringInfo(&writer->section);

	write_header(writer, header);
	return writer;
}

void
ckpx_object_add(CkpxObjectWriter *writer, const CkpxRelation *relation)
{
	ckpx_object_add_layer(writer, relation, 0);
}

void
ckpx_object_add_layer(CkpxObjectWriter *writer, const CkpxRelation *relation,
					  uint32 layer)
{
	Assert(layer < writer->nlayers);
	Assert(writer->totals.nrelations == 0 ||
		   compare_places(&writer->last_key, writer->last_layer,
						  &relation->key, layer) < 0);

	if (section_is_full(writer, ckpx_relation_encoded_size(relation)))
		close_section(writer);
	if (writer->section_records == 0)
	{
		writer->section_first_key = relation->key;
		writer->section_first_layer = layer;
	}
	ckpx_relation_encode_layer(&writer->section, relation, layer);
	writer->section_records++;
	writer->last_key = relation->key;
	writer->last_layer = layer;

	writer->totals.nrelations++;
	writer->totals.nblocks += ckpx_block_set_count(&relation->blocks);
	if (relation->flags & CKPX_REL_UNDURABLE)
		writer->totals.undurable++;
}

uint64
ckpx_object_written(const CkpxObjectWriter *writer)
{
	return writer->offset + (uint64) writer->section.len +
		((uint64) writer->nsections + 1) * TOC_ENTRY_BYTES + FOOTER_BYTES;
}

void
ckpx_object_end(CkpxObjectWriter *writer, CkpxObjectTotals *totals)
{
	uint64		toc_offset;
	Size		toc_length;
	char	   *bytes;
	char	   *at;
	uint32		toc_crc;

	if (writer->section_records > 0)
		close_section(writer);
	writer->totals.last_part = totals->last_part;
	writer->totals.tombstones_from = totals->tombstones_from;
	*totals = writer->totals;

	/* the table of contents and, behind it in the same memory, the footer */
	toc_offset = writer->offset;
	toc_length = (Size) writer->nsections * TOC_ENTRY_BYTES;
	bytes = ckpx_alloc(writer->mem, toc_length + FOOTER_BYTES);
	at = bytes;
	for (uint32 i = 0; i < writer->nsections; i++)
	{
		const TocEntry *entry = &writer->toc[i];

		at = put_place(at, &entry->first_key, entry->first_layer);
		at = put_u64(at, entry->offset);
		at = put_u32(at, entry->stored_length);
		at = put_u32(at, entry->raw_length);
		at = put_u32(at, entry->nrecords);
		at = put_u32(at, entry->crc);
	}
	Assert(at == bytes + toc_length);
	toc_crc = bytes_crc(bytes, toc_length);

	at = put_u64(at, toc_offset);
	at = put_u64(at, toc_offset + toc_length + FOOTER_BYTES);
	at = put_u64(at, totals->nblocks);
	at = put_u32(at, writer->nsections);
	at = put_u32(at, totals->nrelations);
	at = put_u32(at, totals->undurable);
	at = put_u32(at, totals->last_part ? FOOTER_LAST_PART : 0);
	at = put_u32(at, writer->header_crc);
	at = put_u32(at, toc_crc);
	at = put_u64(at, totals->tombstones_from);
	at = put_u32(at, 0);
	Assert(at == bytes + toc_length + FOOTER_CRC_OFFSET);
	at = put_u32(at, bytes_crc(bytes + toc_length, FOOTER_CRC_OFFSET));
	memcpy(at, footer_magic, sizeof(footer_magic));
	hand_out(writer, bytes, toc_length + FOOTER_BYTES);

	pfree(bytes);
	pfree(writer->toc);
	pfree(writer->section.data);
	if (writer->packed != NULL)
		pfree(writer->packed);
	pfree(writer);
}

/*
 * Reading
 */

static bool
read_bytes(CkpxObjectReader *reader, uint64 offset, char *bytes, Size length,
		   const char **problem)
{
	if (length > 0 && !reader->read(reader->arg, offset, bytes, length))
	{
		*problem = "file is too short";
		return false;
	}
	return true;
}

/*
 * Take the ends of the layers, which must lie within the range one before the
 * other, the first at its end.
 */
static const char *
take_layers(CkpxObjectHeader *header, const char *at)
{
	for (uint32 i = 0; i < header->nlayers; i++)
	{
		CkpxLayer  *layer = &header->layers[i];

		layer->end_lsn = take_u64(&at);
		layer->end_time = (int64) take_u64(&at);
		if (i == 0 ? layer->end_lsn != header->end_lsn
			: layer->end_lsn >= header->layers[i - 1].end_lsn ||
			layer->end_lsn <= header->start_lsn)
			return "object header has its layers out of order";
	}
	return NULL;
}

/*
 * Take the fields behind magic, version and length; the CRC was verified.
 */
static const char *
take_header(CkpxObjectReader *reader, const char *at)
{
	CkpxObjectHeader *header = &reader->header;
	CkpxIdentity *identity = &header->identity;
	uint32		kind;

	kind = take_u32(&at);
	reader->compression = take_u32(&at);
	identity->system_identifier = take_u64(&at);
	identity->node_id = take_u64(&at);
	identity->pg_major = take_u32(&at);
	identity->block_size = take_u32(&at);
	identity->segment_blocks = take_u32(&at);
	identity->wal_segment_size = take_u32(&at);
	identity->checksum_version = take_u32(&at);
	header->epoch = take_u32(&at);
	header->timeline = take_u32(&at);
	header->part = take_u32(&at);
	header->start_lsn = take_u64(&at);
	header->end_lsn = take_u64(&at);
	header->last_record.start = take_u64(&at);
	header->last_record.length = take_u32(&at);
	header->last_record.crc = take_u32(&at);
	header->last_change_lsn = take_u64(&at);
	header->truncate_lsn = take_u64(&at);
	header->created_at = (int64) take_u64(&at);
	header->written_at = (int64) take_u64(&at);
	header->nxacts = take_u64(&at);
	header->wal_bytes = take_u64(&at);
	memcpy(header->custom_rmgrs, at, CKPX_RMGR_BITMAP_BYTES);
	at += CKPX_RMGR_BITMAP_BYTES;
	header->nopen_xacts = take_u32(&at);
	header->nlayers = take_u32(&at);

	if (kind == CKPX_KIND_NONE || kind > CKPX_KIND_SEGMENT)
		return "object is of an unknown kind";
	header->kind = (CkpxEntryKind) kind;
	if (reader->compression > CKPX_COMPRESSION_ZSTD)
		return "object is compressed by an unknown method";
	if (header->start_lsn >= header->end_lsn)
		return "object's range is empty";
	if (header->epoch == 0 || header->timeline == 0)
		return "object has no epoch or no timeline";
	if (header->nlayers > CKPX_MAX_LAYERS ||
		(header->nlayers > 0) != (header->kind == CKPX_KIND_GLOBAL))
		return "object header has an impossible number of layers";
	if (header->nopen_xacts > CKPX_MAX_OPEN_XACTS ||
		reader->header_length != HEADER_FIXED_BYTES +
		header->nopen_xacts * OPEN_XACT_BYTES +
		header->nlayers * LAYER_BYTES + CRC_BYTES)
		return "object header has an impossible number of transactions";

	if (header->nopen_xacts == 0)
		return take_layers(header, at);
	header->open_xacts = ckpx_alloc(reader->mem,
									header->nopen_xacts * sizeof(CkpxOpenXact));
	for (uint32 i = 0; i < header->nopen_xacts; i++)
	{
		header->open_xacts[i].xid = take_u32(&at);
		header->open_xacts[i].first_lsn = take_u64(&at);
		if (i > 0 && header->open_xacts[i].xid < header->open_xacts[i - 1].xid)
			return "object header has its transactions out of order";
	}
	return take_layers(header, at);
}

static bool
read_header(CkpxObjectReader *reader, const char **problem)
{
	char		start[16];
	const char *at = start + sizeof(header_magic);
	uint32		length;
	uint32		crc;
	char	   *bytes;

	if (reader->size < HEADER_FIXED_BYTES + CRC_BYTES + FOOTER_BYTES)
	{
		*problem = "file is too short";
		return false;
	}
	if (!read_bytes(reader, 0, start, sizeof(start), problem))
		return false;
	if (memcmp(start, header_magic, sizeof(header_magic)) != 0)
	{
		*problem = "file is not a checkpoint object";
		return false;
	}
	reader->header.version = take_u32(&at);
	length = take_u32(&at);
	if (length < HEADER_FIXED_BYTES + CRC_BYTES || length > MAX_HEADER_BYTES ||
		length > reader->size - FOOTER_BYTES)
	{
		*problem = "object header has an impossible length";
		return false;
	}
	reader->header_length = length;

	bytes = ckpx_alloc(reader->mem, length);
	if (read_bytes(reader, 0, bytes, length, problem))
	{
		at = bytes + length - CRC_BYTES;
		crc = take_u32(&at);
		reader->header_crc = crc;

		/*
		 * The version is judged behind the CRC: a damaged file shall not be
		 * taken for a newer one.  Magic, version, length and the CRC at the
		 * end stay in their places in every version.
		 */
		if (!crc_agrees(bytes, length - CRC_BYTES, crc))
			*problem = "object header does not match its checksum";
		else if (memcmp(bytes, start, sizeof(start)) != 0)
			*problem = "file changed while it was read";
		else if (reader->header.version > CKPX_OBJECT_VERSION)
			*problem = "object is of a newer version than this one can read";
		else if (reader->header.version == 0)
			*problem = "object is of an unknown version";
		else
			*problem = take_header(reader, bytes + sizeof(start));
	}
	pfree(bytes);
	return *problem == NULL;
}

/*
 * Read the footer; *toc_offset and *toc_crc tell about the table of contents.
 */
static bool
read_footer(CkpxObjectReader *reader, uint64 *toc_offset, uint32 *toc_crc,
			const char **problem)
{
	char		bytes[FOOTER_BYTES];
	const char *at = bytes + FOOTER_CRC_OFFSET;
	uint32		crc;
	uint64		file_size;
	uint32		flags;
	uint32		header_crc;
	uint32		zero;

	if (!read_bytes(reader, reader->size - FOOTER_BYTES, bytes, FOOTER_BYTES,
					problem))
		return false;
	crc = take_u32(&at);
	if (memcmp(at, footer_magic, sizeof(footer_magic)) != 0)
		*problem = "object does not end with its footer";
	else if (!crc_agrees(bytes, FOOTER_CRC_OFFSET, crc))
		*problem = "object footer does not match its checksum";
	if (*problem != NULL)
		return false;

	at = bytes;
	*toc_offset = take_u64(&at);
	file_size = take_u64(&at);
	reader->totals.nblocks = take_u64(&at);
	reader->nsections = take_u32(&at);
	reader->totals.nrelations = take_u32(&at);
	reader->totals.undurable = take_u32(&at);
	flags = take_u32(&at);
	header_crc = take_u32(&at);
	*toc_crc = take_u32(&at);
	reader->totals.tombstones_from = take_u64(&at);
	zero = take_u32(&at);

	reader->totals.last_part = (flags & FOOTER_LAST_PART) != 0;
	if (file_size != reader->size)
		*problem = "object footer has another file size";
	else if (header_crc != reader->header_crc)
		*problem = "object footer belongs to another header";
	else if ((flags & ~FOOTER_LAST_PART) != 0 || zero != 0)
		*problem = "object footer has something in a reserved place";
	else if (reader->nsections > CKPX_MAX_SECTIONS)
		*problem = "object has too many sections";
	else if (*toc_offset < reader->header_length ||
			 *toc_offset > reader->size - FOOTER_BYTES ||
			 reader->size - FOOTER_BYTES - *toc_offset !=
			 (uint64) reader->nsections * TOC_ENTRY_BYTES)
		*problem = "object footer has an impossible table of contents";
	else if (reader->totals.undurable > reader->totals.nrelations ||
			 reader->totals.nblocks / CKPX_MAX_BLOCKS >
			 reader->totals.nrelations)
		*problem = "object footer has impossible totals";
	else if (reader->totals.tombstones_from != InvalidXLogRecPtr &&
			 (reader->header.kind != CKPX_KIND_GLOBAL ||
			  reader->totals.tombstones_from <= reader->header.start_lsn ||
			  reader->totals.tombstones_from > reader->header.end_lsn))
		*problem = "object footer has an impossible end of tombstones";
	return *problem == NULL;
}

/*
 * Take the table of contents from its verified bytes, and judge it.
 */
static const char *
take_toc(CkpxObjectReader *reader, const char *at, uint64 toc_offset)
{
	uint64		offset = reader->header_length;
	uint64		nrecords = 0;

	for (uint32 i = 0; i < reader->nsections; i++)
	{
		TocEntry   *entry = &reader->toc[i];

		take_place(&at, &entry->first_key, &entry->first_layer);
		entry->offset = take_u64(&at);
		entry->stored_length = take_u32(&at);
		entry->raw_length = take_u32(&at);
		entry->nrecords = take_u32(&at);
		entry->crc = take_u32(&at);

		if (entry->offset != offset ||
			entry->stored_length > toc_offset - offset)
			return "object's sections do not follow one another";
		offset += entry->stored_length;
		nrecords += entry->nrecords;
		if (entry->nrecords == 0 || entry->stored_length == 0 ||
			entry->nrecords > entry->raw_length ||
			entry->stored_length > entry->raw_length ||
			entry->raw_length > CKPX_MAX_SECTION_BYTES)
			return "object has a section of impossible size";
		if (entry->stored_length < entry->raw_length)
		{
			if (reader->compression == CKPX_COMPRESSION_NONE)
				return "object has a compressed section, against its header";
#ifndef USE_ZSTD
			return "object is compressed with zstd, which is not built in";
#endif
		}
		if (i > 0 && compare_places(&entry[-1].first_key, entry[-1].first_layer,
									&entry->first_key,
									entry->first_layer) >= 0)
			return "object's table of contents is out of order";
	}
	if (offset != toc_offset)
		return "object's sections do not follow one another";
	if (nrecords != reader->totals.nrelations)
		return "object's sections do not add up to its totals";
	return NULL;
}

static bool
read_toc(CkpxObjectReader *reader, uint64 toc_offset, uint32 toc_crc,
		 const char **problem)
{
	Size		length = (Size) reader->nsections * TOC_ENTRY_BYTES;
	char	   *bytes = ckpx_alloc(reader->mem, length + 1);

	if (read_bytes(reader, toc_offset, bytes, length, problem))
	{
		if (!crc_agrees(bytes, length, toc_crc))
			*problem = "object's table of contents does not match its checksum";
		else
		{
			reader->toc = ckpx_alloc(reader->mem,
									 reader->nsections * sizeof(TocEntry) + 1);
			*problem = take_toc(reader, bytes, toc_offset);
		}
	}
	pfree(bytes);
	return *problem == NULL;
}

CkpxObjectReader *
ckpx_object_open(CkpxMemory mem, CkpxObjectRead read, void *arg, uint64 size,
				 const char **problem)
{
	CkpxObjectReader *reader = ckpx_alloc0(mem, sizeof(CkpxObjectReader));
	uint64		toc_offset;
	uint32		toc_crc;

	*problem = NULL;
	reader->mem = mem;
	reader->read = read;
	reader->arg = arg;
	reader->size = size;
	if (read_header(reader, problem) &&
		read_footer(reader, &toc_offset, &toc_crc, problem) &&
		read_toc(reader, toc_offset, toc_crc, problem))
		return reader;
	ckpx_object_close(reader);
	return NULL;
}

const CkpxObjectHeader *
ckpx_object_header(const CkpxObjectReader *reader)
{
	return &reader->header;
}

const CkpxObjectTotals *
ckpx_object_totals(const CkpxObjectReader *reader)
{
	return &reader->totals;
}

/*
 * Decompress a section's bytes in place of them; *bytes is freed and set.
 */
static const char *
unpack_section(CkpxObjectReader *reader, const TocEntry *entry, char **bytes)
{
#ifdef USE_ZSTD
	char	   *raw;
	Size		length;

	/* before memory is taken on the word of the table of contents */
	if (ZSTD_getFrameContentSize(*bytes, entry->stored_length) !=
		entry->raw_length)
		return "object has a section of another decompressed size";
	raw = ckpx_alloc(reader->mem, entry->raw_length);
	length = ZSTD_decompress(raw, entry->raw_length, *bytes,
							 entry->stored_length);
	pfree(*bytes);
	*bytes = raw;
	if (ZSTD_isError(length) || length != entry->raw_length)
		return "object has a section that does not decompress";
	return NULL;
#else
	return "object is compressed with zstd, which is not built in";
#endif
}

/*
 * Walk a section's records: their number, and the order of their keys.
 */
static const char *
check_section(const CkpxObjectReader *reader, uint32 section,
			  const char *bytes)
{
	const TocEntry *entry = &reader->toc[section];
	CkpxRelationView view;
	CkpxRelKey	last = {0};
	uint32		last_layer = 0;
	Size		offset = 0;
	uint32		nrecords = 0;
	const char *problem = NULL;

	while (ckpx_relation_view_next(bytes, entry->raw_length, &offset, &view,
								   &problem))
	{
		if (nrecords == 0
			? compare_places(&view.key, view.layer, &entry->first_key,
							 entry->first_layer) != 0
			: compare_places(&last, last_layer, &view.key, view.layer) >= 0)
			return "object has a section with its relations out of order";
		if (view.layer >= Max(reader->header.nlayers, 1))
			return "object has a relation in a layer that is not there";
		last = view.key;
		last_layer = view.layer;
		nrecords++;
	}
	if (problem != NULL)
		return problem;
	if (nrecords != entry->nrecords)
		return "object has a section with another number of relations";
	if (section + 1 < reader->nsections &&
		compare_places(&last, last_layer, &entry[1].first_key,
					   entry[1].first_layer) >= 0)
		return "object's sections overlap";
	return NULL;
}

/*
 * Make reader->loaded the verified records of a section.
 */
static bool
load_section(CkpxObjectReader *reader, uint32 section, const char **problem)
{
	const TocEntry *entry = &reader->toc[section];
	char	   *bytes;

	if (reader->loaded != NULL)
	{
		if (reader->loaded_section == section)
			return true;
		pfree(reader->loaded);
		reader->loaded = NULL;
	}

	bytes = ckpx_alloc(reader->mem, entry->stored_length);
	if (read_bytes(reader, entry->offset, bytes, entry->stored_length,
				   problem))
	{
		if (!crc_agrees(bytes, entry->stored_length, entry->crc))
			*problem = "object has a section that does not match its checksum";
		if (*problem == NULL && entry->stored_length < entry->raw_length)
			*problem = unpack_section(reader, entry, &bytes);
		if (*problem == NULL)
			*problem = check_section(reader, section, bytes);
	}
	if (*problem != NULL)
	{
		pfree(bytes);
		return false;
	}
	reader->loaded = bytes;
	reader->loaded_section = section;
	return true;
}

/*
 * Append the records of 'key' with a layer below 'nlayers' to 'relation'.
 *
 * A relation's layers may go on over several sections.  They come newest
 * first, so they are put together apart, each before what is there, and the
 * whole is appended.
 */
static bool
find_layers(CkpxObjectReader *reader, const CkpxRelKey *key, uint32 nlayers,
			CkpxRelation *relation, bool *found, const char **problem)
{
	uint32		low = 0;
	uint32		high = reader->nsections;
	CkpxRelation gathered;
	bool		layered = reader->header.nlayers > 0;

	/* the number of sections that begin at or before the key's layer 0 */
	while (low < high)
	{
		uint32		middle = low + (high - low) / 2;
		const TocEntry *entry = &reader->toc[middle];

		if (compare_places(&entry->first_key, entry->first_layer, key, 0) <= 0)
			low = middle + 1;
		else
			high = middle;
	}

	ckpx_relation_init(&gathered, key, relation->blocks.mem);
	for (uint32 section = low > 0 ? low - 1 : 0;
		 section < reader->nsections && *problem == NULL; section++)
	{
		const TocEntry *entry = &reader->toc[section];
		CkpxRelationView view;
		Size		offset = 0;

		if (compare_places(&entry->first_key, entry->first_layer, key,
						   nlayers) >= 0 ||
			!load_section(reader, section, problem))
			break;
		while (ckpx_relation_view_next(reader->loaded, entry->raw_length,
									   &offset, &view, problem))
		{
			int			order = ckpx_rel_key_compare(&view.key, key);

			if (order > 0 || (order == 0 && view.layer >= nlayers))
				break;
			if (order < 0)
				continue;
			*found = true;
			if (!layered)
				return ckpx_relation_merge_view(relation, &view, problem);
			if (!ckpx_relation_prepend_view(&gathered, &view, problem))
				break;
		}
	}
	if (*problem == NULL && *found)
		ckpx_relation_merge(relation, &gathered);
	ckpx_block_set_reset(&gathered.blocks);
	return *problem == NULL;
}

bool
ckpx_object_find_since(CkpxObjectReader *reader, const CkpxRelKey *key,
					   XLogRecPtr lsn, CkpxRelation *relation, bool *found,
					   const char **problem)
{
	const CkpxObjectHeader *header = &reader->header;
	uint32		nlayers = 1;

	*found = false;
	*problem = NULL;
	if (header->nlayers > 0)
		nlayers = ckpx_layers_since(header->layers, header->nlayers, lsn);
	return find_layers(reader, key, nlayers, relation, found, problem);
}

bool
ckpx_object_find(CkpxObjectReader *reader, const CkpxRelKey *key,
				 CkpxRelation *relation, bool *found, const char **problem)
{
	return ckpx_object_find_since(reader, key, InvalidXLogRecPtr, relation,
								  found, problem);
}

bool
ckpx_object_peek(CkpxObjectReader *reader, CkpxRelKey *key)
{
	Size		offset = reader->next_offset;

	if (reader->next_section >= reader->nsections)
		return false;

	if (offset > 0 && offset < reader->toc[reader->next_section].raw_length)
	{
		CkpxRelationView view;
		const char *problem = NULL;

		/* Damage is _next's to report. */
		if (!load_section(reader, reader->next_section, &problem) ||
			!ckpx_relation_view_next(reader->loaded,
									 reader->toc[reader->next_section].raw_length,
									 &offset, &view, &problem))
			return false;
		*key = view.key;
		return true;
	}

	if (offset > 0)
	{
		reader->next_section++;
		reader->next_offset = 0;
		if (reader->loaded != NULL)
			pfree(reader->loaded);
		reader->loaded = NULL;
		if (reader->next_section >= reader->nsections)
			return false;
	}
	*key = reader->toc[reader->next_section].first_key;
	return true;
}

bool
ckpx_object_next(CkpxObjectReader *reader, CkpxRelationView *view,
				 const char **problem)
{
	*problem = NULL;
	while (reader->next_section < reader->nsections)
	{
		if (!load_section(reader, reader->next_section, problem))
			return false;
		if (ckpx_relation_view_next(reader->loaded,
									reader->toc[reader->next_section].raw_length,
									&reader->next_offset, view, problem))
		{
			reader->seen_blocks += view->nblocks;
			if (view->flags & CKPX_REL_UNDURABLE)
				reader->seen_undurable++;
			return true;
		}
		if (*problem != NULL)
			return false;
		reader->next_section++;
		reader->next_offset = 0;
	}
	if (reader->seen_blocks != reader->totals.nblocks ||
		reader->seen_undurable != reader->totals.undurable)
		*problem = "object's relations do not add up to its totals";
	return false;
}

void
ckpx_object_rewind(CkpxObjectReader *reader)
{
	reader->next_section = 0;
	reader->next_offset = 0;
	reader->seen_blocks = 0;
	reader->seen_undurable = 0;
}

/*
 * Free the reader; it may be half made.
 */
void
ckpx_object_close(CkpxObjectReader *reader)
{
	if (reader->header.open_xacts != NULL)
		pfree(reader->header.open_xacts);
	if (reader->toc != NULL)
		pfree(reader->toc);
	if (reader->loaded != NULL)
		pfree(reader->loaded);
	pfree(reader);
}
