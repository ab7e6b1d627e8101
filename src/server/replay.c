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
 * Each object's header, size and footer are checked.  A damaged newest range
 * is simply forgotten: WAL was released only up to what the manifest before
 * it knew, so it is decoded again.  A damaged range further back becomes a
 * gap inside its epoch; what lies on both sides stays.
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

/*
 * Add the objects that the manifest does not name and whose headers say what
 * they are.  Only those that continue a chain will find a place in it.
 */
static void
adopt_objects(CkpxManifest *manifest, bool from_nothing)
{
	CkpxNameList list;
	CkpxEntry  *found;
	uint32		nfound = 0;
	uint32		nadopted = 0;

	list_names(&list, CKPX_NAME_OBJECT);
	if (list.n == 0)
		return;
	found = MemoryContextAllocHuge(CurrentMemoryContext,
								   sizeof(CkpxEntry) * ((Size) list.n + manifest->nentries));
	for (uint32 i = 0; i < list.n; i++)
	{
		char		name[CKPX_NAME_MAX];
		char	   *problem;

		CHECK_FOR_INTERRUPTS();
		if (list.names[i].part != 0 ||
			(list.names[i].kind != CKPX_KIND_INCREMENTAL &&
			 list.names[i].kind != CKPX_KIND_SEGMENT) ||
			entry_is_listed(manifest->entries, manifest->nentries,
							&list.names[i]))
			continue;
		ckpx_object_name(name, list.names[i].kind, list.names[i].epoch,
						 list.names[i].timeline, list.names[i].start_lsn,
						 list.names[i].end_lsn, 0);
		memset(&found[nfound], 0, sizeof(CkpxEntry));
		if (ckpx_object_file_probe(name, &found[nfound], &problem))
		{
			found[nfound].state = CKPX_ENTRY_FINISHED;
			nfound++;
		}
		else
			ereport(WARNING,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("ckpx object cannot be adopted"),
					 errdetail("%s", problem)));
	}
	qsort(found, nfound, sizeof(CkpxEntry), compare_entries);

	if (from_nothing)
	{
		/* The newest epoch is the only one whose end needs no proof. */
		manifest->epoch = nfound > 0 ? found[nfound - 1].epoch : 0;
		manifest->ngaps = 0;
		for (uint32 i = 0; i < nfound; i++)
		{
			if (found[i].epoch == manifest->epoch &&
				(found[i].kind == CKPX_KIND_INCREMENTAL ||
				 found[i].kind == CKPX_KIND_GLOBAL))
			{
				manifest->epoch_start = found[i].start_lsn;
				manifest->timeline = found[i].timeline;
				break;
			}
		}
		if (manifest->epoch_start == InvalidXLogRecPtr)
			manifest->epoch = 0;
	}

	/* Entries of the manifest first, so that the chain is known. */
	for (uint32 i = 0; i < nfound; i++)
	{
		XLogRecPtr	end_lsn = manifest->epoch_start;

		if (manifest->epoch == 0 || found[i].epoch != manifest->epoch)
			continue;
		for (uint32 j = 0; j < manifest->nentries; j++)
		{
			const CkpxEntry *entry = &manifest->entries[j];

			if (entry->epoch == manifest->epoch &&
				(entry->kind == CKPX_KIND_INCREMENTAL ||
				 entry->kind == found[i].kind))
				end_lsn = Max(end_lsn, entry->end_lsn);
		}
		if (found[i].start_lsn != end_lsn)
			continue;
		{
			CkpxEntry  *entries;

			entries = MemoryContextAllocHuge(CurrentMemoryContext,
											 sizeof(CkpxEntry) * ((Size) manifest->nentries + 1));
			if (manifest->nentries > 0)
				memcpy(entries, manifest->entries,
					   sizeof(CkpxEntry) * manifest->nentries);
			entries[manifest->nentries++] = found[i];
			manifest->entries = entries;
			manifest->timeline = found[i].timeline;
			nadopted++;
		}
	}
	if (nadopted > 0)
		ereport(LOG,
				(errmsg("ckpx adopted %u objects that no readable manifest names",
						nadopted)));
}

/*
 * Find the manifest to start from.  False: there is no history at all.
 */
static bool
find_manifest(CkpxManifest *manifest)
{
	CkpxNameList list;
	bool		found = false;
	uint64		newest_sequence = 0;
	XLogRecPtr	older_release = InvalidXLogRecPtr;

	memset(manifest, 0, sizeof(*manifest));
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
	}
	if (CkpxShared->keep_files)
		adopt_objects(manifest, !found);

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	CkpxShared->manifest_sequence = Max(newest_sequence, manifest->sequence);
	CkpxShared->manifest_release[0] = found ?
		ckpx_release_point(manifest) : InvalidXLogRecPtr;
	CkpxShared->manifest_release[1] = CkpxShared->keep_files ?
		InvalidXLogRecPtr : older_release;
	LWLockRelease(CkpxShared->lock);

	return manifest->epoch != 0;
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

void
ckpx_replay_load(CkpxBoot *boot)
{
	CkpxManifest manifest;
	CkpxEntryStore *store = CkpxShared->store;
	XLogRecPtr	chain_end = InvalidXLogRecPtr;
	uint32		nincrementals = 0;
	uint32		nsegments = 0;
	bool	   *damaged;
	uint32		last_good = 0;
	bool		have_good = false;
	TimestampTz now = GetCurrentTimestamp();

	CKPX_FAULT("boot-start");
	boot->have_history = find_manifest(&manifest);

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
		CkpxEntry  *entry = &manifest.entries[i];
		char	   *problem;

		CHECK_FOR_INTERRUPTS();
		if (!ckpx_object_file_check(entry, &problem))
		{
			damaged[i] = true;
			ereport(WARNING,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("ckpx checkpoint object is missing or damaged"),
					 errdetail("%s", problem)));
		}
		else if (entry->kind == CKPX_KIND_INCREMENTAL &&
				 entry->epoch == manifest.epoch)
		{
			last_good = i;
			have_good = true;
		}
	}

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	for (uint32 i = 0; i < manifest.nentries; i++)
	{
		CkpxEntry  *entry = &manifest.entries[i];

		if (damaged[i])
		{
			/*
			 * The newest range, or ranges, are decoded again; a hole further
			 * back is a gap.
			 */
			if (entry->kind == CKPX_KIND_INCREMENTAL &&
				(entry->epoch != manifest.epoch ||
				 (have_good && i < last_good)))
				ckpx_entry_store_add_damage(store, entry->epoch,
											entry->timeline, entry->start_lsn,
											entry->end_lsn, now,
											"object is missing or damaged");
			continue;
		}
		if (entry->kind == CKPX_KIND_SEGMENT)
			continue;
		if (ckpx_entry_store_load(store, entry) == CKPX_STORE_OK &&
			entry->kind == CKPX_KIND_INCREMENTAL)
			nincrementals++;
	}
	chain_end = ckpx_entry_store_checkpointed(store);
	boot->known_end = chain_end;
	boot->timeline = store->timeline;
	if (have_good && manifest.entries[last_good].end_lsn == chain_end)
	{
		boot->have_entry = true;
		boot->last = manifest.entries[last_good];
		boot->timeline = boot->last.timeline;
	}
	else
	{
		CkpxEntry  *global = ckpx_entry_store_newest(store, CKPX_KIND_GLOBAL,
													 true);

		if (global != NULL && global->end_lsn == chain_end)
		{
			boot->have_entry = true;
			boot->last = *global;
			boot->timeline = global->timeline;
		}
	}
	LWLockRelease(CkpxShared->lock);

	if (boot->copied)
		load_backup(boot, chain_end);

	/* Spilled segments that continue the chain are part of the logtail. */
	for (uint32 i = 0; i < manifest.nentries; i++)
	{
		CkpxEntry  *entry = &manifest.entries[i];
		CkpxSegmentInfo info;

		if (entry->kind != CKPX_KIND_SEGMENT || damaged[i] ||
			entry->epoch != manifest.epoch ||
			entry->start_lsn != boot->known_end)
			continue;
		segment_info_of_entry(&info, entry);
		if (!ckpx_logtail_add_spilled(&info))
			break;
		LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
		(void) ckpx_entry_store_load(store, entry);
		LWLockRelease(CkpxShared->lock);
		boot->known_end = entry->end_lsn;
		boot->timeline = entry->timeline;
		boot->last = *entry;
		boot->have_entry = true;
		nsegments++;
	}

	ereport(LOG,
			(errmsg("ckpx loaded manifest " UINT64_FORMAT ": epoch %u from %X/%X, %u incrementals up to %X/%X, %u spilled segments up to %X/%X",
					manifest.sequence, manifest.epoch,
					LSN_FORMAT_ARGS(manifest.epoch_start), nincrementals,
					LSN_FORMAT_ARGS(chain_end), nsegments,
					LSN_FORMAT_ARGS(boot->known_end))));
	CKPX_FAULT("boot-loaded");
}
