/*-------------------------------------------------------------------------
 *
 * page_check.c
 *		Check the pages in a file of a backup.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/combinebackup/page_check.h"

#include "bin/combinebackup/target.h"
#include "bin/common/increment.h"
#include "bin/common/paths.h"
#include "storage/bufpage.h"
#include "storage/checksum.h"
#include "storage/checksum_impl.h"

typedef union AlignedPage
{
	char		bytes[BLCKSZ];
	double		force_align;
} AlignedPage;

/* Is the page new, old enough not to be torn, and wrong? */
static bool
is_wrong(AlignedPage *page, BlockNumber block, XLogRecPtr start)
{
	PageHeader	header = (PageHeader) page->bytes;

	if (PageIsNew((Page) page->bytes))
		return false;
	return PageXLogRecPtrGet(header->pd_lsn) < start &&
		header->pd_checksum != pg_checksum_page(page->bytes, block);
}

/* Check the blocks of a file, which are at its end or are all of it. */
static char *
check_blocks(const Backup *backup, Stream *stream, const PathParts *parts,
			 const Increment *increment)
{
	AlignedPage *page = pg_malloc(sizeof(AlignedPage));
	BlockNumber first = parts->segment * RELSEG_SIZE;
	BlockNumber nblocks = increment ? increment->nblocks :
		stream->size / BLCKSZ;
	uint32		nwrong = 0;
	BlockNumber first_wrong = 0;
	char	   *problem = NULL;

	for (BlockNumber i = 0; problem == NULL && i < nblocks; i++)
	{
		BlockNumber block = first + (increment ? increment->blocks[i] : i);

		problem = stream_read(stream, page->bytes, BLCKSZ);
		if (problem == NULL &&
			is_wrong(page, block, backup->label.start_lsn) && nwrong++ == 0)
			first_wrong = block;
	}
	pg_free(page);
	if (problem == NULL)
		problem = stream_finish(stream);
	if (problem == NULL && nwrong > 0)
		problem = psprintf("\"%s\" in \"%s\" has %u pages with wrong checksums, the first is block %u\n"
						   "They were so in the cluster when the backup was made.",
						   stream->path, stream->place, nwrong, first_wrong);
	return problem;
}

/*
 * Read a file to its end.
 */
char *
page_check(const Backup *backup, Stream *stream)
{
	bool		checksums = backup->control.data_checksum_version != 0;
	PathParts	parts;
	Increment	increment;
	char	   *problem;

	path_parse(stream->path, &parts);
	if (!parts.incremental)
		return checksums && (parts.kind == PATH_RELATION ||
							 parts.kind == PATH_FSM) ?
			check_blocks(backup, stream, &parts, NULL) :
			stream_finish(stream);
	problem = stream_read_increment(stream, &increment);
	if (problem != NULL)
		return problem;
	problem = checksums ? check_blocks(backup, stream, &parts, &increment) :
		stream_finish(stream);
	increment_free(&increment);
	return problem;
}
