/*-------------------------------------------------------------------------
 *
 * object_writer.c
 *		Writing checkpoint objects.
 *
 * The writer knows nothing of the file but its length so far.  It gathers one
 * section, compresses it if that helps, hands it out and remembers 40 bytes
 * about it; the table of contents made of those, and a footer of fixed size,
 * come last, so nothing is ever written twice and a file that was cut off has
 * no footer.
 *
 *-------------------------------------------------------------------------
 */
#include "core/format/object_format_internal.h"

#ifdef USE_ZSTD
#include <zstd.h>
#endif

/* From this number of sections on, the smallest size of a further one. */
#define CROWDED_SECTIONS		(CKPX_MAX_SECTIONS / 2)
#define CROWDED_SECTION_BYTES	(1024 * 1024)

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

/* The header's lists. */
static char *
put_lists(CkpxObjectWriter *writer, char *at, const CkpxObjectHeader *header)
{
	uint32		nopen = header->nopen_xacts;

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
	for (uint32 i = 0; i < header->nmarks; i++)
	{
		at = put_u64(at, header->marks[i].lsn);
		at = put_u64(at, header->marks[i].redo);
		at = put_u32(at, header->marks[i].timeline);
		at = put_u32(at, header->marks[i].crc);
		at = put_u64(at, (uint64) header->marks[i].time);
	}
	return at;
}

static void
write_header(CkpxObjectWriter *writer, const CkpxObjectHeader *header)
{
	const CkpxIdentity *identity = &header->identity;
	const CkpxRange *range = &header->range;
	uint32		nopen = header->nopen_xacts;
	Size		length = HEADER_FIXED_BYTES + (Size) nopen * OPEN_XACT_BYTES +
		(Size) header->nlayers * LAYER_BYTES +
		(Size) header->nmarks * MARK_BYTES + CRC_BYTES;
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
	at = put_u32(at, range->epoch);
	at = put_u32(at, range->timeline);
	at = put_u32(at, header->part);
	at = put_u64(at, range->start_lsn);
	at = put_u64(at, range->end_lsn);
	at = put_u64(at, range->last_record.start);
	at = put_u32(at, range->last_record.length);
	at = put_u32(at, range->last_record.crc);
	at = put_u64(at, range->last_record.run_start);
	at = put_u32(at, range->last_record.run_hash);
	at = put_u64(at, range->last_change_lsn);
	at = put_u64(at, ckpx_range_truncate_lsn(range, header->kind));
	at = put_u64(at, (uint64) range->created_at);
	at = put_u64(at, (uint64) header->written_at);
	at = put_u64(at, range->nxacts);
	at = put_u64(at, range->wal_bytes);
	memcpy(at, range->custom_rmgrs, CKPX_RMGR_BITMAP_BYTES);
	at += CKPX_RMGR_BITMAP_BYTES;
	at = put_u32(at, nopen);
	at = put_u32(at, header->nlayers);
	at = put_u32(at, header->nmarks);
	Assert(at == bytes + HEADER_FIXED_BYTES);

	at = put_lists(writer, at, header);
	writer->header_crc = ckpx_crc(bytes, (Size) (at - bytes));
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
	entry->crc = ckpx_crc(bytes, length);

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
	Assert(header->range.start_lsn < header->range.end_lsn);
	Assert(header->range.epoch != 0 && header->range.timeline != 0);
	Assert(header->nopen_xacts <= CKPX_MAX_OPEN_XACTS);
	Assert(header->nlayers <= CKPX_MAX_LAYERS);
	Assert(header->nmarks <= CKPX_MAX_MARKS);
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
ckpx_object_add(CkpxObjectWriter *writer, const CkpxRelation *relation,
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
	ckpx_relation_encode(&writer->section, relation, layer,
						 writer->options.compression == CKPX_COMPRESSION_ZSTD);
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
	toc_crc = ckpx_crc(bytes, toc_length);

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
	at = put_u32(at, ckpx_crc(bytes + toc_length, FOOTER_CRC_OFFSET));
	memcpy(at, footer_magic, sizeof(footer_magic));
	hand_out(writer, bytes, toc_length + FOOTER_BYTES);

	pfree(bytes);
	pfree(writer->toc);
	pfree(writer->section.data);
	if (writer->packed != NULL)
		pfree(writer->packed);
	pfree(writer);
}
