/*-------------------------------------------------------------------------
 *
 * wal_check.c
 *		Is the WAL that a backup needs in it?
 *
 *-------------------------------------------------------------------------
 */
#include "bin/combinebackup/wal_check.h"

#include <fcntl.h>
#include <unistd.h>

#include "access/xlog_internal.h"

/* A backup that needs more is not believed. */
#define MAX_SEGMENTS 1000000

/*
 * List the segments.
 */
char *
wal_check_begin(WalCheck *check, const Backup *backup)
{
	const Manifest *manifest = backup->manifest;
	uint32		size = backup->control.xlog_seg_size;

	memset(check, 0, sizeof(*check));
	check->backup = backup;
	if (!IsValidWalSegSize(size))
		return psprintf("pg_control of \"%s\" has a WAL segment size of %u bytes",
						backup->path, size);
	for (uint32 i = 0; i < manifest->nranges; i++)
	{
		const ManifestWalRange *range = &manifest->ranges[i];
		XLogSegNo	first;
		XLogSegNo	last;

		if (range->end_lsn <= range->start_lsn)
			return psprintf("the manifest of \"%s\" has a WAL range from %X/%X to %X/%X",
							backup->path, LSN_FORMAT_ARGS(range->start_lsn),
							LSN_FORMAT_ARGS(range->end_lsn));
		XLByteToSeg(range->start_lsn, first, size);
		XLByteToPrevSeg(range->end_lsn, last, size);
		if (last - first >= MAX_SEGMENTS - check->nsegments)
			return psprintf("the manifest of \"%s\" has WAL ranges of more than %d segments",
							backup->path, MAX_SEGMENTS);
		check->segments =
			pg_realloc(check->segments, sizeof(WalSegment) *
					   (check->nsegments + (last - first) + 1));
		for (XLogSegNo number = first; number <= last; number++)
		{
			WalSegment *segment = &check->segments[check->nsegments++];
			char		name[MAXFNAMELEN];

			XLogFileName(name, range->timeline, number, size);
			snprintf(segment->path, sizeof(segment->path), "pg_wal/%s", name);
			segment->start = number * size;
			segment->end = Min(segment->start + size, range->end_lsn);
			segment->range_start = range->start_lsn;
			segment->range_end = range->end_lsn;
			segment->seen = false;

			/* Where a timeline ended, its successor has a copy. */
			segment->optional = number == last &&
				range->end_lsn != backup->end_lsn;
		}
	}
	return NULL;
}

/*
 * The segment of this name.
 */
WalSegment *
wal_check_find(const WalCheck *check, const char *path)
{
	if (strncmp(path, "pg_wal/", strlen("pg_wal/")) != 0)
		return NULL;
	for (int i = 0; i < check->nsegments; i++)
		if (strcmp(check->segments[i].path, path) == 0)
			return &check->segments[i];
	return NULL;
}

/* Look at the header of one page. */
static char *
check_page(const WalCheck *check, Stream *stream, const char *page,
		   XLogRecPtr address)
{
	const XLogPageHeaderData *header = (const XLogPageHeaderData *) page;
	const XLogLongPageHeaderData *first =
		(const XLogLongPageHeaderData *) page;
	const char *what = NULL;

	if (header->xlp_magic != XLOG_PAGE_MAGIC)
		what = "magic number";
	else if (header->xlp_pageaddr != address)
		what = "address";
	else if (address % check->backup->control.xlog_seg_size == 0 &&
			 ((header->xlp_info & XLP_LONG_HEADER) == 0 ||
			  first->xlp_sysid != check->backup->system_identifier ||
			  first->xlp_seg_size != check->backup->control.xlog_seg_size))
		what = "system identifier or segment size";
	if (what == NULL)
		return NULL;
	return psprintf("\"%s\" in \"%s\": the page at %X/%X has a wrong %s",
					stream->path, stream->place, LSN_FORMAT_ARGS(address),
					what);
}

static char *
record_problem(const Stream *stream, XLogRecPtr lsn, const char *what)
{
	return psprintf("\"%s\" in \"%s\": the record at %X/%X %s\n"
					"The segment is damaged; take it from a WAL archive, or the backup from another copy.",
					stream->path, stream->place, LSN_FORMAT_ARGS(lsn), what);
}

/* Does the segment go on where the one before ended? */
static bool
follows(const WalSegment *segment, const WalSegment *last)
{
	return last != NULL && segment == last + 1 &&
		segment->range_start == last->range_start &&
		segment->range_end == last->range_end;
}

/* Look at the records of one page. */
static char *
check_records(WalReader *reader, Stream *stream, const char *page,
			  XLogRecPtr address)
{
	XLogRecPtr	lsn;
	const char *what = wal_records_page(&reader->records, page, address, &lsn);

	return what == NULL ? NULL : record_problem(stream, lsn, what);
}

/*
 * Read a needed segment.
 */
char *
wal_check_read(const WalCheck *check, WalSegment *segment, Stream *stream,
			   WalReader *reader)
{
	char	   *page = pg_malloc(XLOG_BLCKSZ);
	char	   *problem = NULL;
	XLogRecPtr	lsn;

	segment->seen = true;
	if (!follows(segment, reader->last))
		wal_records_begin(&reader->records,
						  check->backup->control.xlog_seg_size,
						  Max(segment->start, segment->range_start),
						  segment->range_end);
	reader->last = NULL;
	if (stream->size != check->backup->control.xlog_seg_size)
		problem = psprintf("\"%s\" in \"%s\" has %llu bytes, but WAL segments have %u",
						   stream->path, stream->place,
						   (unsigned long long) stream->size,
						   check->backup->control.xlog_seg_size);
	for (XLogRecPtr address = segment->start;
		 problem == NULL && address < segment->end; address += XLOG_BLCKSZ)
	{
		problem = stream_read(stream, page, XLOG_BLCKSZ);

		/* A standby may not have got what is behind a switch of segments. */
		if (problem == NULL && (address == segment->start ||
								wal_records_need(&reader->records, address)))
			problem = check_page(check, stream, page, address);
		if (problem == NULL)
			problem = check_records(reader, stream, page, address);
	}
	pg_free(page);
	if (problem == NULL && segment->end == check->backup->end_lsn &&
		wal_records_incomplete(&reader->records, &lsn))
		problem = record_problem(stream, lsn, "does not end in the backup");
	if (problem == NULL)
		reader->last = segment;
	return problem ? problem : stream_finish(stream);
}

/*
 * Read a needed segment of a tree.
 */
char *
wal_check_file(const WalCheck *check, WalSegment *segment, const Tree *tree,
			   const ManifestFile *entry, WalReader *reader)
{
	Stream		stream;
	char	   *problem;
	int			fd = tree_open(tree, segment->path, O_RDONLY);

	if (fd < 0 && errno == ENOENT && entry == NULL)
		return NULL;
	if (fd >= 0)
		close(fd);
	problem = stream_open_file(&stream, tree, segment->path, entry);
	if (problem != NULL)
		return problem;
	problem = wal_check_read(check, segment, &stream, reader);
	stream_close(&stream);
	return problem;
}

/*
 * What is missing?
 */
char *
wal_check_end(WalCheck *check, bool *none)
{
	const char *missing = NULL;
	int			nseen = 0;

	for (int i = 0; i < check->nsegments; i++)
	{
		const WalSegment *segment = &check->segments[i];

		if (segment->seen)
			nseen++;
		else if (missing == NULL && !segment->optional)
			missing = segment->path;
	}
	*none = nseen == 0;
	if (nseen == 0 || missing == NULL)
		return NULL;
	return psprintf("\"%s\" is missing in \"%s\", which needs it to become consistent\n"
					"Take it from a WAL archive, or the backup from another copy.",
					missing, check->backup->path);
}

/*
 * Give the list back.
 */
void
wal_check_free(WalCheck *check)
{
	pg_free(check->segments);
	check->segments = NULL;
	check->nsegments = 0;
}
