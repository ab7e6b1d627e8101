/*-------------------------------------------------------------------------
 *
 * replay.c
 *		Boot: from the files on disk to the history in shared memory.
 *
 * The newest manifest that verifies is the truth.  Where it is not the newest
 * one there is, the objects whose own headers continue its chain are adopted:
 * an object is durable before a manifest names it, so whatever a damaged
 * manifest knew is still there.  Nothing is removed in such a boot.
 *
 * Where no manifest can be read, the objects of the newest epoch are all there
 * is.  They carry its number, so each of them is true of one and the same
 * history, and what none of them holds between them is a gap.  Older epochs
 * are not adopted: how much of them later ones have left true only the
 * manifest knew.  Nor are pins.
 *
 * Each object's header, size and footer are checked; the one at the end of the
 * chain, and spilled segments, to their last byte, since reading WAL goes on
 * with what they say.  A damaged newest range is simply forgotten: WAL was
 * released only up to what the manifest before it knew, so it is decoded
 * again, and where that is not possible a new epoch begins.  Of a damaged
 * object further back, what nothing else holds becomes a gap inside its epoch;
 * what lies on both sides stays.
 *
 * In a copy of the data directory a backup that continues the last
 * incremental is the end of what is known.  Its WAL positions are forgotten:
 * the chain never goes on from a backup, a new epoch begins.
 *
 * Nothing here writes to the store, so a boot can be repeated at will.
 *
 *-------------------------------------------------------------------------
 */
#include "server/compat.h"

#include "access/transam.h"
#include "access/xlog.h"
#include "catalog/pg_control.h"
#include "common/controldata_utils.h"
#include "miscadmin.h"
#include "server/fault.h"
#include "server/files.h"
#include "server/logtail.h"
#include "server/node.h"
#include "server/object_file.h"
#include "server/options.h"
#include "server/publish.h"
#include "server/replay.h"
#include "server/shared_state.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define REASON_NO_MANIFEST	"no manifest could be read"

/* All names of one kind that the folder holds. */
typedef struct CkpxNameList
{
	CkpxNameType type;
	uint32		n;
	uint32		max;
	CkpxName   *names;
} CkpxNameList;

static void
collect_name(const char *file, void *arg)
{
	CkpxNameList *list = arg;
	CkpxName	name;

	ckpx_parse_name(file, &name);
	if (name.type != list->type)
		return;
	if (list->n == list->max)
	{
		list->max *= 2;
		list->names = repalloc_huge(list->names,
									sizeof(CkpxName) * (Size) list->max);
	}
	list->names[list->n++] = name;
}

static void
list_names(CkpxNameList *list, CkpxNameType type)
{
	list->type = type;
	list->n = 0;
	list->max = 64;
	list->names = palloc(sizeof(CkpxName) * list->max);
	ckpx_list_files(collect_name, list);
}

static int
compare_manifests(const void *a, const void *b)
{
	const CkpxName *left = a;
	const CkpxName *right = b;

	/* newest first */
	if (left->sequence != right->sequence)
		return left->sequence > right->sequence ? -1 : 1;
	return 0;
}

static int
compare_entries(const void *a, const void *b)
{
	const CkpxEntry *left = a;
	const CkpxEntry *right = b;

	if (left->epoch != right->epoch)
		return left->epoch < right->epoch ? -1 : 1;
	if (left->start_lsn != right->start_lsn)
		return left->start_lsn < right->start_lsn ? -1 : 1;
	if (left->end_lsn != right->end_lsn)
		return left->end_lsn < right->end_lsn ? -1 : 1;
	return (int) left->kind - (int) right->kind;
}

void
ckpx_replay_identify(CkpxBoot *boot)
{
	CkpxIdentity identity;
	ControlFileData *control;
	bool		crc_ok;
	char		name[CKPX_NAME_MAX];
	char		folder[MAXPGPATH];

	memset(&identity, 0, sizeof(identity));
	identity.system_identifier = GetSystemIdentifier();
	identity.pg_major = PG_VERSION_NUM / 10000;
	identity.block_size = BLCKSZ;
	identity.segment_blocks = RELSEG_SIZE;
	identity.wal_segment_size = wal_segment_size;
	control = get_controlfile(DataDir, &crc_ok);
	if (!crc_ok)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("control file is being written or damaged")));
	identity.checksum_version = control->data_checksum_version;
	pfree(control);

	identity.node_id = ckpx_node_identity(&boot->copied);
	boot->inside = !is_absolute_path(ckpx_directory);

	ckpx_folder_name(name, identity.system_identifier, identity.node_id);
	snprintf(folder, sizeof(folder), "%s/%s", ckpx_directory, name);

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	CkpxShared->identity = identity;
	strlcpy(CkpxShared->folder, folder, sizeof(CkpxShared->folder));
	LWLockRelease(CkpxShared->lock);

	ckpx_folder_create();
	if (!ckpx_folder_lock())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("folder \"%s\" is in use by another server", folder),
				 errhint("Give each server its own ckpx.directory.")));
}

/*
 * Read one manifest; false with a WARNING when it cannot be used.
 */
static bool
read_manifest(const CkpxName *manifest_name, CkpxManifest *manifest)
{
	char		name[CKPX_NAME_MAX];
	char	   *text;
	Size		length;
	const char *problem = "file is missing";

	ckpx_manifest_name(name, manifest_name->sequence,
					   manifest_name->start_lsn, manifest_name->end_lsn);
	text = ckpx_read_file(name, CKPX_MANIFEST_MAX_BYTES, &length);
	if (text != NULL &&
		ckpx_manifest_decode(manifest, text, length, &problem))
	{
		pfree(text);
		if (manifest->identity.system_identifier ==
			CkpxShared->identity.system_identifier &&
			manifest->sequence == manifest_name->sequence)
			return true;
		problem = "it belongs to another cluster";
	}
	ereport(WARNING,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("ckpx manifest \"%s/%s\" cannot be used",
					CkpxShared->folder, name),
			 errdetail("%s", problem),
			 errhint("The manifest before it and the objects themselves are used instead.")));
	return false;
}

static bool
entry_is_listed(const CkpxEntry *entries, uint32 n, const CkpxName *name)
{
	for (uint32 i = 0; i < n; i++)
	{
		if (entries[i].kind == name->kind && entries[i].epoch == name->epoch &&
			entries[i].start_lsn == name->start_lsn &&
			entries[i].end_lsn == name->end_lsn)
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

static int
compare_found(const void *a, const void *b)
{
	return compare_entries(&((const CkpxFound *) a)->entry,
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
	CkpxNameList list;
	CkpxFound  *found;
	uint32		nfound = 0;

	list_names(&list, CKPX_NAME_OBJECT);
	found = MemoryContextAllocHuge(CurrentMemoryContext,
								   sizeof(CkpxFound) * ((Size) list.n + 1));
	for (uint32 i = 0; i < list.n; i++)
	{
		char		name[CKPX_NAME_MAX];
		char	   *problem;

		CHECK_FOR_INTERRUPTS();
		if (list.names[i].epoch < PG_INT32_MAX)
			*epoch = Max(*epoch, list.names[i].epoch);
		if (list.names[i].part != 0 ||
			list.names[i].kind == CKPX_KIND_BACKUP ||
			entry_is_listed(manifest->entries, manifest->nentries,
							&list.names[i]))
			continue;
		ckpx_object_name(name, list.names[i].kind, list.names[i].epoch,
						 list.names[i].timeline, list.names[i].start_lsn,
						 list.names[i].end_lsn, 0);
		memset(&found[nfound], 0, sizeof(CkpxFound));
		if (ckpx_object_file_probe(name, &found[nfound].entry,
								   &found[nfound].identity, &problem))
			nfound++;
		else
			ereport(WARNING,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("ckpx object cannot be adopted"),
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

		if (entry->epoch != manifest->epoch)
			continue;
		if (entry->kind == CKPX_KIND_INCREMENTAL ||
			entry->kind == CKPX_KIND_GLOBAL)
			end_lsn = Max(end_lsn, entry->end_lsn);
		if (entry->kind == CKPX_KIND_GLOBAL)
			global_end = Max(global_end, entry->end_lsn);
	}
	for (uint32 i = 0; i < nfound; i++)
	{
		if (found[i].entry.epoch != manifest->epoch ||
			found[i].entry.kind != CKPX_KIND_INCREMENTAL ||
			found[i].entry.start_lsn != end_lsn)
			continue;
		found[i].adopted = true;
		end_lsn = found[i].entry.end_lsn;
	}

	segment_end = end_lsn;
	for (uint32 i = 0; i < manifest->nentries; i++)
	{
		if (manifest->entries[i].epoch == manifest->epoch &&
			manifest->entries[i].kind == CKPX_KIND_SEGMENT)
			segment_end = Max(segment_end, manifest->entries[i].end_lsn);
	}
	for (uint32 i = 0; i < nfound; i++)
	{
		CkpxFound  *object = &found[i];

		if (object->entry.epoch != manifest->epoch)
			continue;
		if (object->entry.kind == CKPX_KIND_SEGMENT &&
			object->entry.start_lsn == segment_end)
		{
			object->adopted = true;
			segment_end = object->entry.end_lsn;
		}
		if (object->entry.kind == CKPX_KIND_GLOBAL &&
			object->entry.start_lsn >= manifest->epoch_start &&
			object->entry.end_lsn > global_end &&
			object->entry.end_lsn <= end_lsn)
			object->adopted = true;
	}
}

/* Latest end first; of the same end, the shortest first. */
static int
compare_ends(const void *a, const void *b)
{
	const CkpxEntry *left = &(*(CkpxFound *const *) a)->entry;
	const CkpxEntry *right = &(*(CkpxFound *const *) b)->entry;

	if (left->end_lsn != right->end_lsn)
		return left->end_lsn > right->end_lsn ? -1 : 1;
	if (left->start_lsn != right->start_lsn)
		return left->start_lsn > right->start_lsn ? -1 : 1;
	return 0;
}

/* Does a global, which ends where an incremental does, end within 'entry'? */
static bool
is_cut_by_global(CkpxFound **objects, uint32 n, const CkpxEntry *entry)
{
	for (uint32 i = 0; i < n; i++)
	{
		const CkpxEntry *other = &objects[i]->entry;

		if (other->end_lsn <= entry->start_lsn)
			break;
		if (other->kind == CKPX_KIND_GLOBAL && other->end_lsn < entry->end_lsn)
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
									 sizeof(CkpxFound *) * ((Size) nfound + 1));
	for (uint32 i = 0; i < nfound; i++)
	{
		if (found[i].entry.epoch == epoch)
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
			if (entry->end_lsn > limit || is_cut_by_global(objects, n, entry))
				continue;
			limit = entry->start_lsn;
		}
		object->adopted = true;
		if (manifest->epoch_start == InvalidXLogRecPtr)
		{
			manifest->timeline = entry->timeline;
			manifest->identity = object->identity;
			manifest->epoch_start = entry->start_lsn;
		}
		manifest->epoch_start = Min(manifest->epoch_start, entry->start_lsn);
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
	strlcpy(gap->reason, REASON_NO_MANIFEST, sizeof(gap->reason));
	manifest->ngaps = 1;
	manifest->gaps = gap;
}

/*
 * Add the objects that no readable manifest names and that continue what is
 * known, or, 'from_nothing', are all that is.
 */
static void
adopt_objects(CkpxManifest *manifest, bool from_nothing)
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
			manifest->timeline = found[i].entry.timeline;
		nadopted++;
	}
	pfree(found);
	if (nadopted > 0)
		ereport(LOG,
				(errmsg("ckpx adopted %u objects that no readable manifest names",
						nadopted)));
}

/*
 * Find the manifest to start from, or make one of what there is ('from_nothing').
 * False: there is no history at all; manifest->epoch is higher than 0 where
 * that number was in use.
 */
static bool
find_manifest(CkpxManifest *manifest, bool *from_nothing)
{
	CkpxNameList list;
	bool		found = false;
	uint64		newest_sequence = 0;
	XLogRecPtr	older_release = InvalidXLogRecPtr;

	memset(manifest, 0, sizeof(*manifest));
	*from_nothing = false;
	list_names(&list, CKPX_NAME_MANIFEST);
	qsort(list.names, list.n, sizeof(CkpxName), compare_manifests);
	if (list.n > 0)
		newest_sequence = list.names[0].sequence;

	CkpxShared->keep_files = false;
	for (uint32 i = 0; i < list.n; i++)
	{
		if (!found)
		{
			found = read_manifest(&list.names[i], manifest);
			if (found && i > 0)
				CkpxShared->keep_files = true;
		}
		else
		{
			CkpxManifest older;

			/* Only to learn up to where WAL may be released. */
			if (read_manifest(&list.names[i], &older))
			{
				older_release = older.epoch == manifest->epoch ?
					ckpx_release_point(&older) : InvalidXLogRecPtr;
				ckpx_manifest_free(&older);
				break;
			}
		}
	}

	if (!found)
	{
		CkpxNameList objects;

		list_names(&objects, CKPX_NAME_OBJECT);
		if (list.n == 0 && objects.n == 0)
			return false;
		CkpxShared->keep_files = true;
		memset(manifest, 0, sizeof(*manifest));
		manifest->identity = CkpxShared->identity;
		*from_nothing = true;
		ereport(WARNING,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("ckpx finds no manifest that can be read in \"%s\"",
						CkpxShared->folder),
				 errdetail("Pins, and the history before the newest epoch, are lost; of that epoch remains what its objects tell.")));
	}
	if (CkpxShared->keep_files)
		adopt_objects(manifest, !found);

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	CkpxShared->manifest_sequence = Max(newest_sequence, manifest->sequence);
	CkpxShared->keep_sequence = CkpxShared->keep_files ?
		CkpxShared->manifest_sequence : 0;
	CkpxShared->manifest_release[0] = found ?
		ckpx_release_point(manifest) : InvalidXLogRecPtr;
	CkpxShared->manifest_release[1] = CkpxShared->keep_files ?
		InvalidXLogRecPtr : older_release;
	LWLockRelease(CkpxShared->lock);

	return manifest->epoch_start != InvalidXLogRecPtr;
}

/*
 * Does this cluster still write what the manifest's cluster wrote?
 */
static void
compare_identity(CkpxBoot *boot, const CkpxIdentity *theirs)
{
	const CkpxIdentity *ours = &CkpxShared->identity;

	if (theirs->pg_major != ours->pg_major)
		snprintf(boot->break_reason, sizeof(boot->break_reason),
				 "PostgreSQL major version changed from %u to %u",
				 theirs->pg_major, ours->pg_major);
	else if (theirs->block_size != ours->block_size ||
			 theirs->segment_blocks != ours->segment_blocks ||
			 theirs->wal_segment_size != ours->wal_segment_size)
		strlcpy(boot->break_reason, "block or segment size changed",
				sizeof(boot->break_reason));
	else if (theirs->checksum_version != ours->checksum_version)
		strlcpy(boot->break_reason,
				"data checksums were switched on or off, which rewrites every page without WAL",
				sizeof(boot->break_reason));
}

static void
segment_info_of_entry(CkpxSegmentInfo *info, const CkpxEntry *entry)
{
	memset(info, 0, sizeof(*info));
	info->epoch = entry->epoch;
	info->timeline = entry->timeline;
	info->start_lsn = entry->start_lsn;
	info->end_lsn = entry->end_lsn;
	info->last_record = entry->last_record;
	info->last_change_lsn = entry->last_change_lsn;
	info->nrelations = entry->nrelations;
	info->nblocks = entry->nblocks;
	info->nxacts = entry->nxacts;
	info->wal_bytes = entry->wal_bytes;
	memcpy(info->custom_rmgrs, entry->custom_rmgrs, CKPX_RMGR_BITMAP_BYTES);
	info->next_xid = XidFromFullTransactionId(ReadNextFullTransactionId());
	info->created_at = entry->created_at;
	info->clock_ms = ckpx_clock_ms();
	info->spilled = true;
	info->nparts = entry->nparts;
}

/*
 * Let what is known end where the longest backup behind the chain does.
 */
static void
load_backup(CkpxBoot *boot, XLogRecPtr chain_end)
{
	CkpxEntryStore *store = CkpxShared->store;
	bool		found = false;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	for (uint32 i = 0; i < store->nentries; i++)
	{
		CkpxEntry  *entry = &store->entries[i];

		if (entry->kind != CKPX_KIND_BACKUP || entry->epoch != store->epoch ||
			entry->start_lsn != chain_end)
			continue;
		memset(&entry->last_record, 0, sizeof(entry->last_record));
		entry->truncate_lsn = InvalidXLogRecPtr;
		boot->known_end = Max(boot->known_end, entry->end_lsn);
		boot->have_entry = false;
		found = true;
	}
	LWLockRelease(CkpxShared->lock);

	if (found && boot->break_reason[0] == '\0')
		strlcpy(boot->break_reason, "data directory is a copy",
				sizeof(boot->break_reason));
}

/*
 * An object cannot be used.  Of what nothing else holds of it, the part
 * behind all that is known is decoded again; the rest is a gap.
 */
static void
lose(CkpxBoot *boot, const CkpxEntry *entry)
{
	CkpxEntryStore *store = CkpxShared->store;
	CkpxEntry	lost = *entry;
	char		reason[CKPX_GAP_REASON_MAX];

	if (lost.epoch == store->epoch)
	{
		boot->lost_end = boot->lost_end ||
			(lost.kind != CKPX_KIND_BACKUP && lost.end_lsn > boot->known_end);
		lost.end_lsn = Min(lost.end_lsn, boot->known_end);
		if (lost.start_lsn >= lost.end_lsn)
			return;
	}
	ckpx_object_file_loss(reason, entry);
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	(void) ckpx_entry_store_lose(store, &lost, GetCurrentTimestamp(), reason);
	LWLockRelease(CkpxShared->lock);
}

/*
 * What none of the objects that are left holds of their epoch is missing.
 * Without an object at its end nothing tells where WAL could be read on from.
 */
static void
note_holes(CkpxBoot *boot)
{
	CkpxEntryStore *store = CkpxShared->store;
	CkpxEntry	all = {0};

	if (!boot->have_entry && boot->break_reason[0] == '\0')
		strlcpy(boot->break_reason, REASON_NO_MANIFEST,
				sizeof(boot->break_reason));
	if (!boot->have_entry)
		return;
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	all.kind = CKPX_KIND_GLOBAL;
	all.epoch = store->epoch;
	all.timeline = store->timeline;
	all.start_lsn = store->epoch_start;
	all.end_lsn = boot->known_end;

	/* A global of just that range leaves no hole. */
	if (ckpx_entry_store_find(store, all.kind, all.epoch, all.start_lsn,
							  all.end_lsn) == NULL)
		(void) ckpx_entry_store_lose(store, &all, GetCurrentTimestamp(),
									 REASON_NO_MANIFEST ", and no object has this range");
	LWLockRelease(CkpxShared->lock);
}

static void
warn_damaged(const char *problem)
{
	ereport(WARNING,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("ckpx checkpoint object is missing or damaged"),
			 errdetail("%s", problem)));
}

/*
 * Find the end of the chain: an object that can be read to its last byte, for
 * it says which sequences and transactions the reading of WAL has to know of.
 * Those that cannot leave the store and are marked in 'damaged'.
 */
static void
find_end(CkpxBoot *boot, const CkpxManifest *manifest, bool *damaged)
{
	CkpxEntryStore *store = CkpxShared->store;

	for (;;)
	{
		const CkpxEntry *entry;
		char	   *problem;

		LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
		ckpx_entry_store_forget_tail(store);
		boot->known_end = ckpx_entry_store_checkpointed(store);
		boot->timeline = store->timeline;
		entry = ckpx_entry_store_newest(store, CKPX_KIND_INCREMENTAL, true);
		if (entry == NULL || entry->end_lsn != boot->known_end)
			entry = ckpx_entry_store_newest(store, CKPX_KIND_GLOBAL, true);
		if (entry != NULL)
			boot->last = *entry;
		LWLockRelease(CkpxShared->lock);

		boot->have_entry = entry != NULL;
		if (entry == NULL)
			return;
		if (ckpx_object_file_verify(&boot->last, &problem))
		{
			boot->timeline = boot->last.timeline;
			return;
		}
		warn_damaged(problem);
		LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
		(void) ckpx_entry_store_remove(store, boot->last.kind,
									   boot->last.epoch, boot->last.start_lsn,
									   boot->last.end_lsn);
		LWLockRelease(CkpxShared->lock);
		for (uint32 i = 0; i < manifest->nentries; i++)
		{
			if (compare_entries(&manifest->entries[i], &boot->last) == 0)
				damaged[i] = true;
		}
	}
}

/*
 * Spilled segments that continue the chain are part of the logtail; returns
 * how many there are.
 */
static uint32
load_segments(CkpxBoot *boot, const CkpxManifest *manifest,
			  const bool *damaged)
{
	uint32		nsegments = 0;

	for (uint32 i = 0; i < manifest->nentries; i++)
	{
		const CkpxEntry *entry = &manifest->entries[i];
		CkpxSegmentInfo info;
		char	   *problem;

		if (entry->kind != CKPX_KIND_SEGMENT || damaged[i] ||
			entry->epoch != manifest->epoch ||
			entry->start_lsn != boot->known_end)
			continue;
		if (!ckpx_object_file_verify(entry, &problem))
		{
			warn_damaged(problem);
			boot->lost_end = true;
			break;
		}
		segment_info_of_entry(&info, entry);
		if (!ckpx_logtail_add_spilled(&info))
			break;
		LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
		(void) ckpx_entry_store_load(CkpxShared->store, entry);
		LWLockRelease(CkpxShared->lock);
		boot->known_end = entry->end_lsn;
		boot->timeline = entry->timeline;
		boot->last = *entry;
		boot->have_entry = true;
		nsegments++;
	}
	return nsegments;
}

void
ckpx_replay_load(CkpxBoot *boot)
{
	CkpxManifest manifest;
	CkpxEntryStore *store = CkpxShared->store;
	XLogRecPtr	chain_end;
	uint32		nincrementals = 0;
	uint32		nsegments;
	bool	   *damaged;
	bool		from_nothing;

	CKPX_FAULT("boot-start");
	boot->have_history = find_manifest(&manifest, &from_nothing);

	ckpx_logtail_clear();
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	ckpx_entry_store_init(store, ckpx_max_entries);
	if (boot->have_history)
	{
		ckpx_entry_store_restore(store, manifest.epoch, manifest.timeline,
								 manifest.epoch_start, manifest.gaps,
								 manifest.ngaps);
		CkpxShared->npins = Min(manifest.npins, CKPX_MAX_PINS);
		if (CkpxShared->npins > 0)
			memcpy(CkpxShared->pins, manifest.pins,
				   sizeof(CkpxPin) * CkpxShared->npins);
	}
	else
		store->epoch = manifest.epoch;	/* the next one has another number */
	LWLockRelease(CkpxShared->lock);
	if (!boot->have_history)
		return;

	if (boot->break_reason[0] == '\0')
		compare_identity(boot, &manifest.identity);

	/* Look at every object's header, size and footer. */
	if (manifest.nentries > 0)
		qsort(manifest.entries, manifest.nentries, sizeof(CkpxEntry),
			  compare_entries);
	damaged = palloc0(Max(manifest.nentries, 1));
	for (uint32 i = 0; i < manifest.nentries; i++)
	{
		char	   *problem;

		CHECK_FOR_INTERRUPTS();
		damaged[i] = !ckpx_object_file_check(&manifest.entries[i], &problem);
		if (damaged[i])
			warn_damaged(problem);
	}

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	for (uint32 i = 0; i < manifest.nentries; i++)
	{
		const CkpxEntry *entry = &manifest.entries[i];

		if (!damaged[i] && entry->kind != CKPX_KIND_SEGMENT &&
			ckpx_entry_store_load(store, entry) == CKPX_STORE_OK &&
			entry->kind == CKPX_KIND_INCREMENTAL)
			nincrementals++;
	}
	LWLockRelease(CkpxShared->lock);

	find_end(boot, &manifest, damaged);
	chain_end = boot->known_end;
	for (uint32 i = 0; i < manifest.nentries; i++)
	{
		if (damaged[i])
			lose(boot, &manifest.entries[i]);
	}
	if (from_nothing)
		note_holes(boot);

	if (boot->copied)
		load_backup(boot, chain_end);
	nsegments = load_segments(boot, &manifest, damaged);

	/* The manifests on disk would release what has to be decoded again. */
	if (boot->lost_end)
	{
		LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
		CkpxShared->manifest_release[0] = InvalidXLogRecPtr;
		CkpxShared->manifest_release[1] = InvalidXLogRecPtr;
		LWLockRelease(CkpxShared->lock);
	}

	ereport(LOG,
			(errmsg("ckpx loaded manifest " UINT64_FORMAT ": epoch %u from %X/%X, %u incrementals up to %X/%X, %u spilled segments up to %X/%X",
					manifest.sequence, manifest.epoch,
					LSN_FORMAT_ARGS(manifest.epoch_start), nincrementals,
					LSN_FORMAT_ARGS(chain_end), nsegments,
					LSN_FORMAT_ARGS(boot->known_end))));
	CKPX_FAULT("boot-loaded");
}
