/*-------------------------------------------------------------------------
 *
 * writeback.c
 *		Have the kernel write changed files back before they are synced.
 *
 * On a busy server backends that need buffers write most pages.  These stay in
 * the kernel's cache until PostgreSQL's checkpoint syncs the files, after it
 * has written its own pages.  In the last SWEEP_MS before that the flusher
 * sweeps all files with changes that are not durable: it asks the kernel, once
 * for each part of them, to begin writing what is dirty there, from any
 * process.  The sync is then left with the work of a few seconds, not of the
 * cycle.
 *
 * A sweep is spread evenly, because it shares the disk with WAL; all files at
 * once costs throughput.  One in a cycle is enough: sweeping all the time
 * makes the kernel write the same pages again, and in smaller pieces.
 *
 * This is a hint.  Nothing is proven by it, so a file that is gone, or cannot
 * be opened, is left out.  Nor does it hide a failed write from the process
 * that syncs the file: the kernel tells that to a process that waits for the
 * write, not to one that asks for it to begin.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "miscadmin.h"
#include "server/base/fault.h"
#include "server/base/options.h"
#include "server/base/worker_status.h"
#include "server/flush/cycle.h"
#include "server/flush/durable.h"
#include "server/flush/writeback.h"
#include "server/logtail/logtail.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#define SWEEP_MS		12000
#define STEP_MS			1000
#define CALL_BYTES		(16 * 1024 * 1024)

/* One segment of a fork, as long as it was when the sweep began. */
typedef struct SweptFile
{
	CkpxRelKey	key;
	uint32		segment;
	off_t		length;
} SweptFile;

/* The sweep under way; the files are in its context. */
static MemoryContext sweep_context = NULL;
static SweptFile *files;
static uint32 nfiles;
static uint32 max_files;
static uint64 total_bytes;
static uint64 begun_ms;
static int64 window_ms;			/* how long it is to take */
static XLogRecPtr swept_redo = InvalidXLogRecPtr;	/* in which cycle */
static uint64 last_step_ms = 0;

/* How far it has come. */
static uint32 next_file;
static off_t next_offset;		/* in that file */
static uint64 done_bytes;

static void
file_path(char *path, const CkpxRelKey *key, uint32 segment)
{
	char	   *base = ckpx_relation_path(key->tablespace, key->database,
										  key->relation,
										  (ForkNumber) key->fork);

	if (segment == 0)
		strlcpy(path, base, MAXPGPATH);
	else
		snprintf(path, MAXPGPATH, "%s.%u", base, segment);
	pfree(base);
}

/* Add all segments of a fork that are there. */
static void
add_fork(const CkpxRelKey *key)
{
	char		path[MAXPGPATH];
	struct stat status;

	for (uint32 segment = 0;; segment++)
	{
		SweptFile  *file;

		CHECK_FOR_INTERRUPTS();
		file_path(path, key, segment);
		if (stat(path, &status) != 0)
			return;
		if (nfiles == max_files)
		{
			max_files = Max(64, max_files * 2);
			files = files == NULL ? palloc(sizeof(SweptFile) * max_files) :
				repalloc_huge(files, sizeof(SweptFile) * max_files);
		}
		file = &files[nfiles++];
		file->key = *key;
		file->segment = segment;
		file->length = status.st_size;
		total_bytes += (uint64) status.st_size;
	}
}

/*
 * List the forks that the logtail in memory has changes of, from 'start' on.
 * What was spilled is left to the kernel.
 */
static CkpxDirtyTree *
changed_forks(XLogRecPtr start)
{
	CkpxDirtyTree *tree = ckpx_dirty_tree_create(CurrentMemoryContext);
	CkpxSegmentRef *refs;
	uint32		nrefs;

	refs = ckpx_logtail_pin(start, PG_UINT64_MAX, &nrefs);
	PG_TRY();
	{
		for (uint32 i = 0; i < nrefs; i++)
		{
			CkpxRelationView view;
			Size		offset = 0;
			const char *problem;

			CHECK_FOR_INTERRUPTS();
			while (refs[i].bytes != NULL &&
				   ckpx_relation_view_next(refs[i].bytes, refs[i].info.bytes,
										   &offset, &view, &problem))
			{
				if (view.key.relation != CKPX_DATABASE_WIDE &&
					(view.flags & CKPX_REL_DROPPED) == 0)
					(void) ckpx_dirty_tree_get(tree, &view.key);
			}
		}
	}
	PG_FINALLY();
	{
		ckpx_logtail_unpin(refs, nrefs);
	}
	PG_END_TRY();
	return tree;
}

static void
begin_sweep(void)
{
	MemoryContext oldcontext;
	CkpxDirtyTree *tree;
	CkpxRelation **relations;
	uint32		nrelations;

	if (sweep_context == NULL)
		sweep_context = AllocSetContextCreate(TopMemoryContext,
											  "ckpx writeback sweep",
											  ALLOCSET_DEFAULT_SIZES);
	files = NULL;
	nfiles = max_files = next_file = 0;
	total_bytes = done_bytes = 0;
	next_offset = 0;
	MemoryContextReset(sweep_context);

	oldcontext = MemoryContextSwitchTo(sweep_context);
	tree = changed_forks(ckpx_durable_lsn());
	relations = ckpx_dirty_tree_sorted(tree, &nrelations);
	for (uint32 i = 0; i < nrelations; i++)
		add_fork(&relations[i]->key);
	ckpx_dirty_tree_free(tree);
	MemoryContextSwitchTo(oldcontext);
}

/* Go on in the present file until 'due' bytes are done, or the file is. */
static void
sweep_file(uint64 due)
{
	const SweptFile *file = &files[next_file];
	char		path[MAXPGPATH];
	int			fd;

	file_path(path, &file->key, file->segment);
	fd = OpenTransientFile(path, O_RDWR | PG_BINARY);
	while (next_offset < file->length && done_bytes < due)
	{
		off_t		length = Min(CALL_BYTES, file->length - next_offset);

		if (fd >= 0)
			pg_flush_data(fd, next_offset, length);
		next_offset += length;
		done_bytes += (uint64) length;
	}
	if (fd >= 0)
		(void) CloseTransientFile(fd);
	if (next_offset >= file->length)
	{
		next_file++;
		next_offset = 0;
	}
}

void
ckpx_writeback_step(void)
{
	uint64		now = ckpx_clock_ms();
	uint64		due;

	if (ckpx_flush_mode != CKPX_FLUSH_MODE_ON)
	{
		next_file = nfiles = 0;
		return;
	}
	if (now < last_step_ms + STEP_MS)
		return;
	last_step_ms = now;

	if (next_file == nfiles)
	{
		XLogRecPtr	redo;
		int64		left_ms = ckpx_cycle_sync_ms(&redo);

		if (redo == swept_redo || left_ms == 0 || left_ms > SWEEP_MS)
			return;
		begin_sweep();
		begun_ms = now;
		window_ms = left_ms;
		if (nfiles > 0)
			swept_redo = redo;
	}
	due = (uint64) ((double) total_bytes *
					Min(1.0, (double) (now - begun_ms + STEP_MS) / window_ms));
	while (next_file < nfiles &&
		   (done_bytes < due || files[next_file].length == 0))
	{
		/* A barrier that closes all descriptors waits for one file only. */
		ckpx_worker_interrupts();
		CKPX_FAULT("flush-writeback");
		sweep_file(due);
	}
}
