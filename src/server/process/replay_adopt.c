/*-------------------------------------------------------------------------
 *
 * replay_adopt.c
 *		Boot: objects that no readable manifest names.
 *
 * Where the newest manifest cannot be read, the objects whose own headers
 * continue the chain of the one before it are adopted: an object is durable
 * before a manifest names it, so whatever a damaged manifest knew is still
 * there.
 *
 * Where no manifest can be read, the objects of the newest epoch are all there
 * is.  They carry its number, so each of them is true of one and the same
 * history, and what none of them holds between them is a gap.  Older epochs
 * are not adopted: how much of them later ones have left true only the
 * manifest knew.  Nor are pins.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "miscadmin.h"
#include "server/process/replay_adopt.h"
#include "server/process/replay_identify.h"
#include "server/store/files.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

static bool
entry_is_listed(const CkpxEntry *entries, uint32 n, const CkpxName *name)
{
	for (uint32 i = 0; i < n; i++)
	{
		if (entries[i].kind == name->kind &&
			entries[i].range.epoch == name->epoch &&
			entries[i].range.start_lsn == name->start_lsn &&
			entries[i].range.end_lsn == name->end_lsn)
			return true;
	}
	return false;
}

/* An object that no readable manifest names. */
typedef struct CkpxFound
{
	CkpxEntry	entry;
	CkpxIdentity identity;
	bool		adopted;
} CkpxFound;

/*
 * The order of a history: by epoch, range and kind.
 */
int
ckpx_replay_compare_entries(const void *a, const void *b)
{
	const CkpxEntry *left = a;
	const CkpxEntry *right = b;

	if (left->range.epoch != right->range.epoch)
		return left->range.epoch < right->range.epoch ? -1 : 1;
	if (left->range.start_lsn != right->range.start_lsn)
		return left->range.start_lsn < right->range.start_lsn ? -1 : 1;
	if (left->range.end_lsn != right->range.end_lsn)
		return left->range.end_lsn < right->range.end_lsn ? -1 : 1;
	return (int) left->kind - (int) right->kind;
}

static int
compare_found(const void *a, const void *b)
{
	return ckpx_replay_compare_entries(&((const CkpxFound *) a)->entry,
									   &((const CkpxFound *) b)->entry);
}

/*
 * Look at the objects in the folder that the manifest does not name; returns
 * their number.  Backups are nobody's chain.  *epoch becomes the highest epoch
 * in their names, also of those that cannot be read.
 */
static uint32
find_objects(const CkpxManifest *manifest, CkpxFound **objects, uint32 *epoch)
{
	List	   *files = ckpx_list_files(CKPX_NAME_OBJECT);
	ListCell   *cell;
	CkpxFound  *found;
	uint32		nfound = 0;

	found = MemoryContextAllocHuge(CurrentMemoryContext,
								   sizeof(CkpxFound) *
								   ((Size) list_length(files) + 1));
	foreach(cell, files)
	{
		const CkpxStoreFile *file = lfirst(cell);
		CkpxObjectState state;
		char	   *problem;

		CHECK_FOR_INTERRUPTS();
		if (file->name.epoch < PG_INT32_MAX)
			*epoch = Max(*epoch, file->name.epoch);
		if (file->name.part != 0 || file->name.kind == CKPX_KIND_BACKUP ||
			entry_is_listed(manifest->entries, manifest->nentries,
							&file->name))
			continue;
		memset(&found[nfound], 0, sizeof(CkpxFound));
		state = ckpx_object_file_probe(&file->name, &found[nfound].entry,
									   &found[nfound].identity, &problem);
		ckpx_replay_await(state, problem);
		if (state == CKPX_OBJECT_GOOD)
			nfound++;
		else
			ereport(WARNING,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("ckpx checkpoint object cannot be adopted"),
					 errdetail("%s", problem)));
	}
	qsort(found, nfound, sizeof(CkpxFound), compare_found);
	*objects = found;
	return nfound;
}

/*
 * Choose what continues the chain of a manifest, and the globals that end at
 * an end of it.
 */
static void
continue_chain(CkpxManifest *manifest, CkpxFound *found, uint32 nfound)
{
	XLogRecPtr	end_lsn = manifest->epoch_start;
	XLogRecPtr	global_end = InvalidXLogRecPtr;
	XLogRecPtr	segment_end;

	for (uint32 i = 0; i < manifest->nentries; i++)
	{
		const CkpxEntry *entry = &manifest->entries[i];

		if (entry->range.epoch != manifest->epoch)
			continue;
		if (entry->kind == CKPX_KIND_INCREMENTAL ||
			entry->kind == CKPX_KIND_GLOBAL)
			end_lsn = Max(end_lsn, entry->range.end_lsn);
		if (entry->kind == CKPX_KIND_GLOBAL)
			global_end = Max(global_end, entry->range.end_lsn);
	}
	for (uint32 i = 0; i < nfound; i++)
	{
		if (found[i].entry.range.epoch != manifest->epoch ||
			found[i].entry.kind != CKPX_KIND_INCREMENTAL ||
			found[i].entry.range.start_lsn != end_lsn)
			continue;
		found[i].adopted = true;
		end_lsn = found[i].entry.range.end_lsn;
	}

	segment_end = end_lsn;
	for (uint32 i = 0; i < manifest->nentries; i++)
	{
		if (manifest->entries[i].range.epoch == manifest->epoch &&
			manifest->entries[i].kind == CKPX_KIND_SEGMENT)
			segment_end = Max(segment_end, manifest->entries[i].range.end_lsn);
	}
	for (uint32 i = 0; i < nfound; i++)
	{
		CkpxFound  *object = &found[i];

		if (object->entry.range.epoch != manifest->epoch)
			continue;
		if (object->entry.kind == CKPX_KIND_SEGMENT &&
			object->entry.range.start_lsn == segment_end)
		{
			object->adopted = true;
			segment_end = object->entry.range.end_lsn;
		}
		if (object->entry.kind == CKPX_KIND_GLOBAL &&
			object->entry.range.start_lsn >= manifest->epoch_start &&
			object->entry.range.end_lsn > global_end &&
			object->entry.range.end_lsn <= end_lsn)
			object->adopted = true;
	}
}

/* Latest end first; of the same end, the shortest first. */
static int
compare_ends(const void *a, const void *b)
{
	const CkpxEntry *left = &(*(CkpxFound *const *) a)->entry;
	const CkpxEntry *right = &(*(CkpxFound *const *) b)->entry;

	if (left->range.end_lsn != right->range.end_lsn)
		return left->range.end_lsn > right->range.end_lsn ? -1 : 1;
	if (left->range.start_lsn != right->range.start_lsn)
		return left->range.start_lsn > right->range.start_lsn ? -1 : 1;
	return 0;
}

/* Does a global, which ends where an incremental does, end within 'entry'? */
static bool
is_cut_by_global(CkpxFound **objects, uint32 n, const CkpxEntry *entry)
{
	for (uint32 i = 0; i < n; i++)
	{
		const CkpxEntry *other = &objects[i]->entry;

		if (other->range.end_lsn <= entry->range.start_lsn)
			break;
		if (other->kind == CKPX_KIND_GLOBAL &&
			other->range.end_lsn < entry->range.end_lsn)
			return true;
	}
	return false;
}

/*
 * Choose the objects of 'epoch' that can lie in one chain, of which nothing
 * else is known, and make the manifest that knows no more than they do.  A
 * failed attempt may have left an object that overlaps another: going back
 * from the newest, what adjoins comes first.
 */
static void
rebuild_chain(CkpxManifest *manifest, CkpxFound *found, uint32 nfound,
			  uint32 epoch)
{
	CkpxFound **objects;
	uint32		n = 0;
	XLogRecPtr	limit = PG_UINT64_MAX;
	CkpxGap    *gap;

	manifest->epoch = epoch;
	objects = MemoryContextAllocHuge(CurrentMemoryContext,
									 sizeof(CkpxFound *) *
									 ((Size) nfound + 1));
	for (uint32 i = 0; i < nfound; i++)
	{
		if (found[i].entry.range.epoch == epoch)
			objects[n++] = &found[i];
	}
	qsort(objects, n, sizeof(CkpxFound *), compare_ends);

	for (uint32 i = 0; i < n; i++)
	{
		CkpxFound  *object = objects[i];
		const CkpxEntry *entry = &object->entry;

		CHECK_FOR_INTERRUPTS();
		if (entry->kind == CKPX_KIND_INCREMENTAL)
		{
			if (entry->range.end_lsn > limit ||
				is_cut_by_global(objects, n, entry))
				continue;
			limit = entry->range.start_lsn;
		}
		object->adopted = true;
		if (manifest->epoch_start == InvalidXLogRecPtr)
		{
			manifest->timeline = entry->range.timeline;
			manifest->identity = object->identity;
			manifest->epoch_start = entry->range.start_lsn;
		}
		manifest->epoch_start = Min(manifest->epoch_start,
									entry->range.start_lsn);
	}
	pfree(objects);
	if (manifest->epoch_start == InvalidXLogRecPtr)
		return;

	/* Nothing older answers. */
	gap = palloc0(sizeof(CkpxGap));
	gap->epoch = epoch;
	gap->timeline = manifest->timeline;
	gap->to_lsn = manifest->epoch_start;
	gap->detected_at = GetCurrentTimestamp();
	strlcpy(gap->reason, CKPX_REASON_NO_MANIFEST, sizeof(gap->reason));
	manifest->ngaps = 1;
	manifest->gaps = gap;
}

void
ckpx_replay_adopt(CkpxManifest *manifest, bool from_nothing)
{
	CkpxFound  *found;
	CkpxEntry  *entries;
	uint32		nfound;
	uint32		nadopted = 0;
	uint32		epoch = 0;

	nfound = find_objects(manifest, &found, &epoch);
	if (from_nothing)
		rebuild_chain(manifest, found, nfound, epoch);
	else
		continue_chain(manifest, found, nfound);

	entries = MemoryContextAllocHuge(CurrentMemoryContext,
									 sizeof(CkpxEntry) *
									 ((Size) manifest->nentries + nfound + 1));
	if (manifest->nentries > 0)
		memcpy(entries, manifest->entries,
			   sizeof(CkpxEntry) * manifest->nentries);
	manifest->entries = entries;
	for (uint32 i = 0; i < nfound; i++)
	{
		if (!found[i].adopted)
			continue;
		entries[manifest->nentries++] = found[i].entry;
		if (!from_nothing && found[i].entry.kind != CKPX_KIND_GLOBAL)
			manifest->timeline = found[i].entry.range.timeline;
		nadopted++;
	}
	pfree(found);
	if (nadopted > 0)
		ereport(LOG,
				(errmsg_plural("ckpx adopted %u checkpoint object that no readable manifest names",
							   "ckpx adopted %u checkpoint objects that no readable manifest names",
							   nadopted, nadopted)));
}
