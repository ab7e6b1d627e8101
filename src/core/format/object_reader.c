/*-------------------------------------------------------------------------
 *
 * object_reader.c
 *		Reading checkpoint objects, and judging every byte of them.
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
#include "core/format/object_format_internal.h"

#ifdef USE_ZSTD
#include <zstd.h>
#endif

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

static bool
read_bytes(CkpxObjectReader *reader, uint64 offset, char *bytes, Size length,
		   const char **problem)
{
	if (length > 0 && !reader->read(reader->arg, offset, bytes, length))
		return ckpx_damaged(problem, "file is too short");
	return true;
}

/*
 * Take the header's lists.  The ends of the layers must lie within the range
 * one before the other, the first at its end; the marks one behind the other.
 */
static const char *
take_lists(CkpxObjectReader *reader, const char *at)
{
	CkpxObjectHeader *header = &reader->header;

	header->open_xacts = ckpx_alloc(reader->mem,
									header->nopen_xacts *
									sizeof(CkpxOpenXact) + 1);
	for (uint32 i = 0; i < header->nopen_xacts; i++)
	{
		header->open_xacts[i].xid = take_u32(&at);
		header->open_xacts[i].first_lsn = take_u64(&at);
		if (i > 0 && header->open_xacts[i].xid < header->open_xacts[i - 1].xid)
			return "object header has its transactions out of order";
	}
	for (uint32 i = 0; i < header->nlayers; i++)
	{
		CkpxLayer  *layer = &header->layers[i];

		layer->end_lsn = take_u64(&at);
		layer->end_time = (int64) take_u64(&at);
		if (i == 0 ? layer->end_lsn != header->range.end_lsn
			: layer->end_lsn >= header->layers[i - 1].end_lsn ||
			layer->end_lsn <= header->range.start_lsn)
			return "object header has its layers out of order";
	}

	header->marks = ckpx_alloc(reader->mem,
							   header->nmarks * sizeof(CkpxMark) + 1);
	for (uint32 i = 0; i < header->nmarks; i++)
	{
		CkpxMark   *mark = &header->marks[i];

		mark->lsn = take_u64(&at);
		mark->redo = take_u64(&at);
		mark->timeline = take_u32(&at);
		mark->crc = take_u32(&at);
		mark->time = (int64) take_u64(&at);
		if (mark->lsn < header->range.start_lsn ||
			mark->lsn >= header->range.end_lsn ||
			(i > 0 && mark->lsn <= mark[-1].lsn))
			return "object header has its marks out of order";
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
	CkpxRange  *range = &header->range;
	uint32		fixed = header->version == 1 ? HEADER_FIXED_BYTES_1 :
		HEADER_FIXED_BYTES;
	uint32		kind;

	if (reader->header_length < fixed + CRC_BYTES)
		return "object header has an impossible length";
	kind = take_u32(&at);
	reader->compression = take_u32(&at);
	identity->system_identifier = take_u64(&at);
	identity->node_id = take_u64(&at);
	identity->pg_major = take_u32(&at);
	identity->block_size = take_u32(&at);
	identity->segment_blocks = take_u32(&at);
	identity->wal_segment_size = take_u32(&at);
	identity->checksum_version = take_u32(&at);
	range->epoch = take_u32(&at);
	range->timeline = take_u32(&at);
	header->part = take_u32(&at);
	range->start_lsn = take_u64(&at);
	range->end_lsn = take_u64(&at);
	range->last_record.start = take_u64(&at);
	range->last_record.length = take_u32(&at);
	range->last_record.crc = take_u32(&at);
	range->last_record.run_start = take_u64(&at);
	range->last_record.run_hash = take_u32(&at);
	range->last_change_lsn = take_u64(&at);
	(void) take_u64(&at);		/* follows from the range, see the writer */
	range->created_at = (int64) take_u64(&at);
	header->written_at = (int64) take_u64(&at);
	range->nxacts = take_u64(&at);
	range->wal_bytes = take_u64(&at);
	memcpy(range->custom_rmgrs, at, CKPX_RMGR_BITMAP_BYTES);
	at += CKPX_RMGR_BITMAP_BYTES;
	header->nopen_xacts = take_u32(&at);
	header->nlayers = take_u32(&at);
	if (header->version > 1)
		header->nmarks = take_u32(&at);

	if (kind == CKPX_KIND_NONE || kind > CKPX_KIND_SEGMENT)
		return "object is of an unknown kind";
	header->kind = (CkpxEntryKind) kind;
	if (reader->compression > CKPX_COMPRESSION_ZSTD)
		return "object is compressed by an unknown method";
	if (range->start_lsn >= range->end_lsn)
		return "object's range is empty";
	if (range->epoch == 0 || range->timeline == 0)
		return "object has no epoch or no timeline";
	if (header->nlayers > CKPX_MAX_LAYERS ||
		(header->nlayers > 0) != (header->kind == CKPX_KIND_GLOBAL))
		return "object header has an impossible number of layers";
	if (header->nmarks > CKPX_MAX_MARKS)
		return "object header has an impossible number of marks";
	if (header->nopen_xacts > CKPX_MAX_OPEN_XACTS ||
		reader->header_length != fixed +
		header->nopen_xacts * OPEN_XACT_BYTES +
		header->nlayers * LAYER_BYTES + header->nmarks * MARK_BYTES +
		CRC_BYTES)
		return "object header has an impossible number of transactions";
	return take_lists(reader, at);
}

static bool
read_header(CkpxObjectReader *reader, const char **problem)
{
	char		start[16];
	const char *at = start + sizeof(header_magic);
	uint32		length;
	uint32		crc;
	char	   *bytes;

	if (reader->size < HEADER_FIXED_BYTES_1 + CRC_BYTES + FOOTER_BYTES)
		return ckpx_damaged(problem, "file is too short");
	if (!read_bytes(reader, 0, start, sizeof(start), problem))
		return false;
	if (memcmp(start, header_magic, sizeof(header_magic)) != 0)
		return ckpx_damaged(problem, "file is not a checkpoint object");
	reader->header.version = take_u32(&at);
	length = take_u32(&at);
	if (length < HEADER_FIXED_BYTES_1 + CRC_BYTES ||
		length > MAX_HEADER_BYTES ||
		length > reader->size - FOOTER_BYTES)
		return ckpx_damaged(problem, "object header has an impossible length");
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
			  reader->totals.tombstones_from <=
			  reader->header.range.start_lsn ||
			  reader->totals.tombstones_from > reader->header.range.end_lsn))
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
		if (i > 0 &&
			compare_places(&entry[-1].first_key, entry[-1].first_layer,
						   &entry->first_key, entry->first_layer) >= 0)
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
 * A relation's layers may go on over several sections.  They come newest
 * first, so they are put together apart, each before what is there, and the
 * whole is appended.
 */
bool
ckpx_object_find(CkpxObjectReader *reader, const CkpxRelKey *key,
				 XLogRecPtr lsn, CkpxRelation *relation, bool *found,
				 const char **problem)
{
	const CkpxObjectHeader *header = &reader->header;
	bool		layered = header->nlayers > 0;
	uint32		nlayers = 1;
	uint32		low = 0;
	uint32		high = reader->nsections;
	CkpxRelation gathered;

	*found = false;
	*problem = NULL;
	if (layered)
		nlayers = ckpx_layers_since(header->layers, header->nlayers, lsn);

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
ckpx_object_peek(CkpxObjectReader *reader, CkpxRelKey *key)
{
	Size		offset = reader->next_offset;
	uint32		length;

	if (reader->next_section >= reader->nsections)
		return false;

	length = reader->toc[reader->next_section].raw_length;
	if (offset > 0 && offset < length)
	{
		CkpxRelationView view;
		const char *problem = NULL;

		/* Damage is _next's to report. */
		if (!load_section(reader, reader->next_section, &problem) ||
			!ckpx_relation_view_next(reader->loaded, length, &offset, &view,
									 &problem))
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
		uint32		length = reader->toc[reader->next_section].raw_length;

		if (!load_section(reader, reader->next_section, problem))
			return false;
		if (ckpx_relation_view_next(reader->loaded, length,
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

/*
 * Free the reader; it may be half made.
 */
void
ckpx_object_close(CkpxObjectReader *reader)
{
	if (reader->header.open_xacts != NULL)
		pfree(reader->header.open_xacts);
	if (reader->header.marks != NULL)
		pfree(reader->header.marks);
	if (reader->toc != NULL)
		pfree(reader->toc);
	if (reader->loaded != NULL)
		pfree(reader->loaded);
	pfree(reader);
}
