/*-------------------------------------------------------------------------
 *
 * replay.c
 *		Boot: from the files on disk to the history in shared memory.
 *
 * The newest manifest that verifies is the truth.  Where it is not the newest
 * one there is, objects that it does not name are adopted (replay_adopt.c),
 * and nothing is removed in such a boot.
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
 * An object that is absent, as jobs/damage.c understands it, may be back in a
 * moment, and so may the folder of a data directory that has a slot, and thus
 * had a folder.  Then the boot fails and is tried again, for minutes, before
 * it goes on without what is absent.
 *
 * Nothing here changes the files of the store, so a boot can be repeated at
 * will.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "access/transam.h"
#include "miscadmin.h"
#include "server/base/fault.h"
#include "server/base/options.h"
#include "server/base/shared_state.h"
#include "server/logtail/logtail.h"
#include "server/process/replay.h"
#include "server/process/replay_adopt.h"
#include "server/process/replay_identify.h"
#include "server/store/files.h"
#include "server/store/object_file.h"
#include "server/store/publish.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/*
 * Read one manifest; false with a WARNING when it cannot be used.
 */
static bool
read_manifest(const CkpxStoreFile *file, CkpxManifest *manifest)
{
	char	   *text;
	Size		length;
	const char *problem = "file is missing";

	text = ckpx_read_file(file->file, CKPX_MANIFEST_MAX_BYTES, &length);
	if (text != NULL &&
		ckpx_manifest_decode(manifest, text, length, &problem))
	{
		pfree(text);
		if (manifest->identity.system_identifier ==
			CkpxShared->identity.system_identifier &&
			manifest->sequence == file->name.sequence)
			return true;
		problem = "it belongs to another cluster";
	}
	ereport(WARNING,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("ckpx manifest \"%s/%s\" cannot be used: %s",
					CkpxShared->folder, file->file, problem),
			 errhint("The manifest before it and the objects themselves are used instead.")));
	return false;
}

/*
 * Find the manifest to start from, or make one of what there is; then
 * *from_nothing is set.  False: there is no history at all; manifest->epoch is
 * higher than 0 where that number was in use.
 */
static bool
find_manifest(CkpxManifest *manifest, bool *from_nothing)
{
	List	   *manifests = ckpx_list_files(CKPX_NAME_MANIFEST);
	int			nmanifests = list_length(manifests);
	bool		found = false;
	uint64		newest_sequence = 0;
	XLogRecPtr	release;
	XLogRecPtr	older_release = InvalidXLogRecPtr;

	memset(manifest, 0, sizeof(*manifest));
	*from_nothing = false;
	if (nmanifests > 0)
		newest_sequence = ((CkpxStoreFile *) llast(manifests))->name.sequence;

	CkpxShared->keep_files = false;
	for (int i = nmanifests; i-- > 0;)
	{
		const CkpxStoreFile *file = list_nth(manifests, i);

		if (!found)
		{
			found = read_manifest(file, manifest);
			if (found && i < nmanifests - 1)
				CkpxShared->keep_files = true;
		}
		else
		{
			CkpxManifest older;

			/* Only to learn up to where WAL may be released. */
			if (read_manifest(file, &older))
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
		if (nmanifests == 0 && ckpx_list_files(CKPX_NAME_OBJECT) == NIL)
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
		ckpx_replay_adopt(manifest, !found);

	release = found ? ckpx_release_point(manifest) : InvalidXLogRecPtr;
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	CkpxShared->manifest_sequence = Max(newest_sequence, manifest->sequence);
	CkpxShared->manifest_used = Max(CkpxShared->manifest_used,
									CkpxShared->manifest_sequence);
	CkpxShared->keep_sequence = CkpxShared->keep_files ?
		CkpxShared->manifest_sequence : 0;
	CkpxShared->manifest_release[0] = release;
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
	info->range = entry->range;
	info->range.next_xid =
		XidFromFullTransactionId(ReadNextFullTransactionId());
	info->range.clock_ms = ckpx_clock_ms();
	info->nrelations = entry->nrelations;
	info->nblocks = entry->nblocks;
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
	for (uint32 i = ckpx_entry_store_ending_after(store, store->epoch,
												  chain_end);
		 i < store->nentries; i++)
	{
		CkpxEntry  *entry = ckpx_entry_store_at(store, i);

		if (entry->kind != CKPX_KIND_BACKUP ||
			entry->range.start_lsn != chain_end)
			continue;
		memset(&entry->range.last_record, 0, sizeof(entry->range.last_record));
		boot->known_end = Max(boot->known_end, entry->range.end_lsn);
		boot->have_entry = false;
		found = true;
	}
	LWLockRelease(CkpxShared->lock);

	if (found && boot->break_reason[0] == '\0')
		strlcpy(boot->break_reason, CKPX_REASON_COPY,
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

	ckpx_object_file_keep(entry);
	if (lost.range.epoch == store->epoch)
	{
		boot->lost_end = boot->lost_end ||
			(lost.kind != CKPX_KIND_BACKUP &&
			 lost.range.end_lsn > boot->known_end);
		lost.range.end_lsn = Min(lost.range.end_lsn, boot->known_end);
		if (lost.range.start_lsn >= lost.range.end_lsn)
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
		strlcpy(boot->break_reason, CKPX_REASON_NO_MANIFEST,
				sizeof(boot->break_reason));
	if (!boot->have_entry)
		return;
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	all.kind = CKPX_KIND_GLOBAL;
	all.range.epoch = store->epoch;
	all.range.timeline = store->timeline;
	all.range.start_lsn = store->epoch_start;
	all.range.end_lsn = boot->known_end;

	/* A global of just that range leaves no hole. */
	if (ckpx_shared_entry(&all) == NULL)
		(void) ckpx_entry_store_lose(store, &all, GetCurrentTimestamp(),
									 CKPX_REASON_NO_MANIFEST ", and no object has this range");
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
		CkpxObjectState state;
		char	   *problem;

		LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
		ckpx_entry_store_forget_tail(store);
		boot->known_end = ckpx_entry_store_checkpointed(store);
		boot->timeline = store->timeline;
		entry = ckpx_entry_store_newest(store, CKPX_KIND_INCREMENTAL, true);
		if (entry == NULL || entry->range.end_lsn != boot->known_end)
			entry = ckpx_entry_store_newest(store, CKPX_KIND_GLOBAL, true);
		if (entry != NULL)
			boot->last = *entry;
		LWLockRelease(CkpxShared->lock);

		boot->have_entry = entry != NULL;
		if (entry == NULL)
			return;
		state = ckpx_object_file_verify(&boot->last, true, &problem);
		ckpx_replay_await(state, problem);
		if (state == CKPX_OBJECT_GOOD)
		{
			boot->timeline = boot->last.range.timeline;
			return;
		}
		warn_damaged(problem);
		LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
		(void) ckpx_entry_store_remove(store, &boot->last);
		LWLockRelease(CkpxShared->lock);
		for (uint32 i = 0; i < manifest->nentries; i++)
		{
			if (ckpx_replay_compare_entries(&manifest->entries[i],
											&boot->last) == 0)
				damaged[i] = true;
		}
	}
}

/* The logtail has the marks of its segments, of spilled ones too. */
static void
load_marks(const CkpxEntry *segment)
{
	CkpxMark   *marks;
	uint32		nmarks;

	(void) ckpx_object_file_marks(segment, false, &marks, &nmarks);
	ckpx_logtail_add_marks(marks, nmarks);
	pfree(marks);
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
		CkpxEntry  *entry = &manifest->entries[i];
		CkpxSegmentInfo info;
		CkpxObjectState state;
		char	   *problem;

		if (entry->kind != CKPX_KIND_SEGMENT || damaged[i] ||
			entry->range.epoch != manifest->epoch ||
			entry->range.start_lsn != boot->known_end)
			continue;
		state = ckpx_object_file_verify(entry, true, &problem);
		ckpx_replay_await(state, problem);
		if (state != CKPX_OBJECT_GOOD)
		{
			warn_damaged(problem);
			ckpx_object_file_keep(entry);
			boot->lost_end = true;
			break;
		}
		segment_info_of_entry(&info, entry);
		load_marks(entry);
		if (!ckpx_logtail_add_spilled(&info))
			break;
		LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
		(void) ckpx_entry_store_load(CkpxShared->store, entry);
		LWLockRelease(CkpxShared->lock);
		boot->known_end = entry->range.end_lsn;
		boot->timeline = entry->range.timeline;
		boot->last = *entry;
		boot->have_entry = true;
		nsegments++;
	}
	return nsegments;
}

/*
 * Only the first boot of a server takes pins and recorded backups from a
 * manifest.  Later ones are starts of the runner alone: memory has those of
 * the newest manifest and what is not in one yet, and lacks what was removed
 * since.  A copy of a data directory is another server, which has no backup.
 * Caller holds the lock.
 */
static void
load_pins(const CkpxManifest *manifest, const CkpxNow *now)
{
	if (CkpxShared->pins_loaded)
		return;
	CkpxShared->loaded_ms = now->clock_ms;
	CkpxShared->npins = Min(manifest->npins, CKPX_MAX_PINS);
	if (CkpxShared->npins > 0)
		memcpy(CkpxShared->pins, manifest->pins,
			   sizeof(CkpxPin) * CkpxShared->npins);
	if (manifest->identity.node_id == CkpxShared->identity.node_id)
		CkpxShared->nbackups = manifest->nbackups;
	if (CkpxShared->nbackups > 0)
		memcpy(CkpxShared->backups, manifest->backups,
			   sizeof(CkpxBackupRecord) * CkpxShared->nbackups);
	CkpxShared->pins_loaded = true;
}

/*
 * Only now the wall clock tells how old all this is, see core/history/age.h.
 * A gap that lies in the future counts from the first round of garbage
 * collection.
 */
static void
date_manifest(CkpxManifest *manifest, const CkpxNow *now)
{
	for (uint32 i = 0; i < manifest->nentries; i++)
		manifest->entries[i].range.clock_ms =
			ckpx_age_begin(now, manifest->entries[i].range.created_at);
	for (uint32 i = 0; i < manifest->ngaps; i++)
		manifest->gaps[i].clock_ms =
			ckpx_age_begin(now, manifest->gaps[i].detected_at);
	for (uint32 i = 0; i < manifest->npins; i++)
		manifest->pins[i].expires_clock_ms =
			ckpx_age_end(now, manifest->pins[i].created_at,
						 manifest->pins[i].expires_at);
}

/*
 * Where the runner alone starts anew, memory knows some of it better than the
 * manifest: which post commands have succeeded since it was written, and
 * times by the monotonic clock.  Nothing but pending entries leaves the store
 * while the history is not loaded, so it is looked at entry by entry.
 */
static void
keep_what_memory_knows(CkpxManifest *manifest)
{
	for (uint32 i = 0; i < manifest->nentries; i++)
	{
		CkpxEntry  *entry = &manifest->entries[i];
		const CkpxEntry *known;

		CHECK_FOR_INTERRUPTS();
		LWLockAcquire(CkpxShared->lock, LW_SHARED);
		known = ckpx_shared_entry(entry);
		if (known != NULL && known->state == CKPX_ENTRY_FINISHED)
		{
			entry->range.clock_ms = known->range.clock_ms;
			entry->post_pending = entry->post_pending && known->post_pending;
		}
		LWLockRelease(CkpxShared->lock);
	}

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	for (uint32 i = 0; i < manifest->ngaps; i++)
	{
		for (uint32 k = 0; k < CkpxShared->store->ngaps; k++)
		{
			const CkpxGap *known = &CkpxShared->store->gaps[k];
			CkpxGap    *gap = &manifest->gaps[i];

			if (known->epoch == gap->epoch &&
				known->from_lsn == gap->from_lsn &&
				known->to_lsn == gap->to_lsn)
				gap->clock_ms = known->clock_ms;
		}
	}
	LWLockRelease(CkpxShared->lock);
}

/*
 * Look at every object's header, size and footer; returns which are lost.
 */
static bool *
check_objects(CkpxManifest *manifest)
{
	bool	   *damaged = palloc0(Max(manifest->nentries, 1));

	for (uint32 i = 0; i < manifest->nentries; i++)
	{
		CkpxObjectState state;
		char	   *problem;

		CHECK_FOR_INTERRUPTS();
		state = ckpx_object_file_verify(&manifest->entries[i], false,
										&problem);
		ckpx_replay_await(state, problem);
		damaged[i] = state != CKPX_OBJECT_GOOD;
		if (damaged[i])
			warn_damaged(problem);
	}
	return damaged;
}

/*
 * Empty the history in memory and take over what the manifest says of it as a
 * whole.
 */
static void
begin_load(const CkpxManifest *manifest, bool have_history,
		   const CkpxNow *now)
{
	CkpxEntryStore *store = CkpxShared->store;

	ckpx_logtail_clear();
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	ckpx_entry_store_init(store, ckpx_max_entries);
	if (have_history)
		ckpx_entry_store_restore(store, manifest->epoch, manifest->timeline,
								 manifest->epoch_start, manifest->gaps,
								 manifest->ngaps);
	else
		store->epoch = manifest->epoch; /* the next one has another number */

	/* Adopted objects may know less than the manifest before them. */
	CkpxShared->known_xid = CkpxShared->keep_files ? 0 : manifest->known_xid;
	load_pins(manifest, now);
	LWLockRelease(CkpxShared->lock);
}

/*
 * Load the entries but for segments and what is damaged; returns how many
 * incrementals there are.  Not in one go: others wait for the lock, if not for
 * the history.
 */
static uint32
load_entries(const CkpxManifest *manifest, const bool *damaged)
{
	uint32		nincrementals = 0;

	for (uint32 i = 0; i < manifest->nentries; i++)
	{
		const CkpxEntry *entry = &manifest->entries[i];

		if (damaged[i] || entry->kind == CKPX_KIND_SEGMENT)
			continue;
		LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
		if (ckpx_entry_store_load(CkpxShared->store, entry) == CKPX_STORE_OK &&
			entry->kind == CKPX_KIND_INCREMENTAL)
			nincrementals++;
		LWLockRelease(CkpxShared->lock);
	}
	return nincrementals;
}

/*
 * Load manifest and objects into the entry store and the logtail.
 */
void
ckpx_replay_load(CkpxBoot *boot)
{
	CkpxManifest manifest;
	XLogRecPtr	chain_end;
	uint32		nincrementals;
	uint32		nsegments;
	bool	   *damaged;
	bool		from_nothing;
	CkpxNow		now;

	CKPX_FAULT("boot-start");
	boot->have_history = find_manifest(&manifest, &from_nothing);
	now = ckpx_now();
	date_manifest(&manifest, &now);
	keep_what_memory_knows(&manifest);

	/* Before the store is emptied, which this may not come to. */
	if (manifest.nentries > 0)
		qsort(manifest.entries, manifest.nentries, sizeof(CkpxEntry),
			  ckpx_replay_compare_entries);
	damaged = check_objects(&manifest);

	begin_load(&manifest, boot->have_history, &now);
	if (!boot->have_history)
		return;

	/* An earlier start of the copy may not have come to a manifest. */
	if (manifest.identity.node_id != CkpxShared->identity.node_id)
		boot->copied = true;
	if (boot->break_reason[0] == '\0')
		compare_identity(boot, &manifest.identity);

	nincrementals = load_entries(&manifest, damaged);
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
