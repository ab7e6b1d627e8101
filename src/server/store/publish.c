/*-------------------------------------------------------------------------
 *
 * publish.c
 *		The manifest: writing it, and removing what no manifest names.
 *
 * The two newest manifests are kept.  An object may go only when neither of
 * them names it, because the older one is what a start falls back to when
 * the newest is damaged; for the same reason WAL is released only up to what
 * both know.
 *
 * A manifest is written while the entries are walked through, a turn of them
 * at a time in a copy, so that a long history costs little memory; and the
 * lock is not held while text is made or written.
 *
 * Each attempt to write a manifest has a sequence number of its own.  One that
 * fails after its rename leaves a manifest of that number, and the next
 * attempt may publish another end.
 *
 * If we die after the new manifest's rename and before memory has learnt of
 * it, the next start reads it and finds the entry finished.  If we die
 * before the rename, the next start finds the old state and an orphaned
 * object, which is removed.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include <unistd.h>

#include "miscadmin.h"
#include "server/base/entry_walk.h"
#include "server/base/fault.h"
#include "server/base/options.h"
#include "server/base/shared_state.h"
#include "server/store/files.h"
#include "server/store/publish.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/*
 * Files may lie there that no manifest names, or soon will not: what is to be
 * removed may still be in either of the two manifests that are kept, so it is
 * looked at now and once each of these has been replaced.
 */
static bool global_in_work = false; /* see ckpx_sweep_spare_global() */
static bool sweep_wanted = false;
static int	sweeps_left = 0;	/* manifests after which to look again */
static uint64 swept_at = 0;		/* sequence of a manifest */

/*
 * The manifests in the folder, the older one first, where 'nknown' is 2 and
 * nothing happened since that could have left others; what would be found by
 * reading a folder of very many files.
 */
static char known_manifests[2][CKPX_NAME_MAX];
static int	nknown = 0;

/* Manifests say nothing of what comes behind this in an entry. */
#define PUBLISHED_BYTES		offsetof(CkpxEntry, cancelled)

/* How far WAL may be released, as entries come in the order of their ends. */
typedef struct ReleasePoint
{
	XLogRecPtr	end_lsn;		/* what is known ends here */
	XLogRecPtr	release_lsn;
} ReleasePoint;

/* What differs from the store in a manifest, and how far its writing got. */
typedef struct Delta
{
	const CkpxEntry *added;		/* NULL: none, or it is written */
	const CkpxEntrySpan *removed;
	uint32		nremoved;
	uint32		next_removed;
	ReleasePoint release;
} Delta;

/*
 * Copy what a manifest holds but its entries under one hold of the lock, and
 * find the end of the open epoch's entries, which is part of its name.
 */
static void
gather_head(CkpxManifest *manifest, XLogRecPtr *end_lsn)
{
	const CkpxEntryStore *store = CkpxShared->store;

	memset(manifest, 0, sizeof(*manifest));
	manifest->version = CKPX_MANIFEST_VERSION;
	manifest->written_at = GetCurrentTimestamp();
	manifest->global_version_interval_s = ckpx_global_version_interval / 1000;
	manifest->gaps = palloc(sizeof(CkpxGap) * CKPX_MAX_GAPS);
	manifest->pins = palloc(sizeof(CkpxPin) * CKPX_MAX_PINS);
	manifest->backups = palloc(sizeof(CkpxBackupRecord) * CKPX_MAX_BACKUPS);

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	manifest->sequence = ++CkpxShared->manifest_used;
	manifest->identity = CkpxShared->identity;
	manifest->epoch = store->epoch;
	manifest->timeline = store->timeline;
	manifest->epoch_start = store->epoch_start;
	manifest->known_xid = CkpxShared->known_xid;
	manifest->ngaps = store->ngaps;
	memcpy(manifest->gaps, store->gaps, sizeof(CkpxGap) * store->ngaps);
	manifest->npins = CkpxShared->npins;
	memcpy(manifest->pins, CkpxShared->pins,
		   sizeof(CkpxPin) * CkpxShared->npins);
	manifest->nbackups = CkpxShared->nbackups;
	memcpy(manifest->backups, CkpxShared->backups,
		   sizeof(CkpxBackupRecord) * CkpxShared->nbackups);

	*end_lsn = store->epoch_start;
	for (uint32 i = store->nentries; i-- > 0;)
	{
		CkpxEntrySpan span = ckpx_entry_store_span(store, i);

		if (span.epoch != store->epoch)
			break;
		if (!span.finished)
			continue;
		*end_lsn = Max(span.end_lsn, store->epoch_start);
		break;
	}
	LWLockRelease(CkpxShared->lock);
}

/*
 * Is this entry of the store part of the manifest?
 */
static bool
is_published(Delta *delta, const CkpxEntry *entry)
{
	const CkpxEntry *added = delta->added;

	if (entry->state != CKPX_ENTRY_FINISHED)
		return false;

	/* Both lists are in the same order. */
	if (delta->next_removed < delta->nremoved)
	{
		const CkpxEntrySpan *removed =
			&delta->removed[delta->next_removed];

		if (entry->kind == removed->kind &&
			entry->range.epoch == removed->epoch &&
			entry->range.start_lsn == removed->start_lsn &&
			entry->range.end_lsn == removed->end_lsn)
		{
			delta->next_removed++;
			return false;
		}
	}
	return added == NULL || added->kind != CKPX_KIND_INCREMENTAL ||
		entry->kind != CKPX_KIND_SEGMENT ||
		entry->range.epoch != added->range.epoch ||
		entry->range.end_lsn > added->range.end_lsn;
}

/*
 * Let an entry move the release point; false where it does not.
 */
static bool
move_release(ReleasePoint *release, uint32 epoch, const CkpxEntry *entry)
{
	if (entry->range.epoch != epoch ||
		entry->range.end_lsn <= release->end_lsn)
		return false;
	if (entry->kind != CKPX_KIND_INCREMENTAL &&
		entry->kind != CKPX_KIND_GLOBAL &&
		entry->kind != CKPX_KIND_SEGMENT)
		return false;
	if (entry->range.last_record.start == InvalidXLogRecPtr)
		return false;

	/* Where a segment is missing a boot goes on before the next. */
	if (entry->kind == CKPX_KIND_SEGMENT &&
		entry->range.start_lsn > release->end_lsn)
		return false;
	release->end_lsn = entry->range.end_lsn;
	release->release_lsn = entry->range.last_record.start;
	return true;
}

/*
 * Write entries and note what they say of the release point.
 */
static void
write_entries(CkpxManifestWriter *writer, const CkpxManifest *manifest,
			  ReleasePoint *release, const CkpxEntry *entries, uint32 nentries)
{
	for (uint32 i = 0; i < nentries; i++)
		(void) move_release(release, manifest->epoch, &entries[i]);
	ckpx_manifest_add(writer, entries, nentries);
}

/*
 * Write the manifest's text, with the entries that are in the store.
 *
 * These are copied in turns: a manifest is written within a job, and meanwhile
 * epoch, gaps and finished entries are the job's own.  Only a cut that the
 * runner spills may come in; its manifest is asked for after that.
 */
static void
write_manifest(CkpxOutput *output, const CkpxManifest *manifest,
			   Delta *delta)
{
	CkpxManifestWriter *writer;
	CkpxEntry  *turn = palloc(sizeof(CkpxEntry) * (CKPX_ENTRIES_PER_TURN + 1));
	const CkpxEntry *added = delta->added;
	CkpxEntryWalk walk = {0};

	writer = ckpx_manifest_begin(manifest, ckpx_output_write, output);
	while (ckpx_entry_walk_next(&walk, LW_SHARED))
	{
		uint32		n = 0;

		for (uint32 i = walk.begin; i < walk.end; i++)
		{
			const CkpxEntry *entry = ckpx_entry_store_at(CkpxShared->store,
														 i);

			if (!is_published(delta, entry))
				continue;

			/* So that the ends of the epoch's entries ascend. */
			if (added != NULL && entry->range.epoch == added->range.epoch &&
				entry->range.end_lsn > added->range.end_lsn)
			{
				turn[n++] = *added;
				added = NULL;
			}
			memcpy(&turn[n++], entry, PUBLISHED_BYTES);
		}
		ckpx_entry_walk_pause(&walk);
		write_entries(writer, manifest, &delta->release, turn, n);
	}
	if (delta->next_removed != delta->nremoved)
		elog(ERROR, "entry to be removed is not in the store");
	if (added != NULL)
		write_entries(writer, manifest, &delta->release, added, 1);
	ckpx_manifest_end(writer);
	pfree(turn);
}

XLogRecPtr
ckpx_release_point(const CkpxManifest *manifest)
{
	ReleasePoint release = {manifest->epoch_start, manifest->epoch_start};
	bool		moved;

	/* Again, for the entries of a file may be in any order. */
	do
	{
		moved = false;
		for (uint32 i = 0; i < manifest->nentries; i++)
			moved |= move_release(&release, manifest->epoch,
								  &manifest->entries[i]);
	} while (moved);
	return release.release_lsn;
}

/* Note the names of an entry's files, which a manifest keeps. */
static void
keep_object(void *arg, const CkpxEntry *entry)
{
	HTAB	   *kept = arg;

	for (uint32 part = 0; part < Max(entry->nparts, 1); part++)
	{
		char		name[CKPX_NAME_MAX];

		ckpx_entry_object_name(name, entry, part);
		(void) hash_search(kept, name, HASH_ENTER, NULL);
	}
}

/*
 * Is the file being written, or does it wait to be named by a manifest?  A
 * global may be in work beside a sweep, as no other job of the checkpointer
 * is; a cut that the runner spills itself has an entry, but no manifest yet.
 */
static bool
is_in_work(const CkpxName *name)
{
	const CkpxEntry *entry;
	bool		in_work;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	entry = ckpx_entry_store_find(CkpxShared->store, name->kind, name->epoch,
								  name->start_lsn, name->end_lsn);
	if (name->kind == CKPX_KIND_SEGMENT)
		in_work = entry != NULL ||
			(name->epoch == CkpxShared->store->epoch &&
			 name->end_lsn == CkpxShared->cut_in_work_end);
	else
		in_work = global_in_work && name->kind == CKPX_KIND_GLOBAL &&
			entry != NULL && entry->state == CKPX_ENTRY_RUNNING;
	LWLockRelease(CkpxShared->lock);
	return in_work;
}

static void
remove_one(const char *name)
{
	CKPX_FAULT("remove-file");
	ckpx_remove_file(name, ERROR);
	CHECK_FOR_INTERRUPTS();
}

/*
 * Remove the manifests but the two newest and those up to keep_sequence.
 */
static void
remove_old_manifests(void)
{
	List	   *manifests = ckpx_list_files(CKPX_NAME_MANIFEST);
	int			nnewest = Min(list_length(manifests), 2);
	int			nold = list_length(manifests) - nnewest;

	nknown = 0;
	for (int i = 0; i < nold; i++)
	{
		const CkpxStoreFile *manifest = list_nth(manifests, i);

		if (manifest->name.sequence > CkpxShared->keep_sequence)
			remove_one(manifest->file);
	}
	if (CkpxShared->keep_sequence == 0)
	{
		for (int i = 0; i < nnewest; i++)
			strlcpy(known_manifests[i],
					((CkpxStoreFile *) list_nth(manifests, nold + i))->file,
					CKPX_NAME_MAX);
		nknown = nnewest;
	}
	list_free_deep(manifests);
}

/*
 * The same, after 'newest' was published where 'known' were known before that.
 */
static void
remove_replaced_manifest(const char *newest, int known)
{
	char		path[MAXPGPATH];

	if (known == 2 && CkpxShared->keep_sequence == 0)
	{
		/* The one that is to stay must not have been taken away by others. */
		ckpx_store_path(path, known_manifests[1]);
		if (access(path, F_OK) == 0)
		{
			remove_one(known_manifests[0]);
			strlcpy(known_manifests[0], known_manifests[1], CKPX_NAME_MAX);
			strlcpy(known_manifests[1], newest, CKPX_NAME_MAX);
			nknown = 2;
			return;
		}
	}
	remove_old_manifests();
}

/*
 * List the files that neither of the two newest manifests names and that are
 * not in work; false where there is no manifest, or one that cannot be read.
 */
static bool
list_orphans(List **orphans)
{
	List	   *manifests = ckpx_list_files(CKPX_NAME_MANIFEST);
	HASHCTL		control;
	HTAB	   *kept;
	ListCell   *cell;

	if (manifests == NIL)
		return false;

	control.keysize = CKPX_NAME_MAX;
	control.entrysize = CKPX_NAME_MAX;
	control.hcxt = CurrentMemoryContext;
	kept = hash_create("ckpx kept objects", 1024, &control,
					   HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	for (int i = Max(list_length(manifests) - 2, 0);
		 i < list_length(manifests); i++)
	{
		const CkpxStoreFile *file = list_nth(manifests, i);
		char	   *text;
		Size		length;
		const char *problem;

		text = ckpx_read_file(file->file, CKPX_MANIFEST_MAX_BYTES, &length);
		if (text == NULL ||
			!ckpx_manifest_visit(text, length, keep_object, kept, &problem))
			return false;
		pfree(text);
	}

	*orphans = NIL;
	foreach(cell, ckpx_list_files(CKPX_NAME_UNKNOWN))
	{
		CkpxStoreFile *file = lfirst(cell);

		if ((file->name.type == CKPX_NAME_OBJECT ||
			 file->name.type == CKPX_NAME_TEMPORARY) &&
			hash_search(kept, file->file, HASH_FIND, NULL) == NULL &&
			!is_in_work(&file->name))
			*orphans = lappend(*orphans, file);
	}
	hash_destroy(kept);
	return true;
}

/*
 * Remove the files that neither of the two newest manifests names.
 */
void
ckpx_sweep(void)
{
	List	   *orphans;
	ListCell   *cell;

	if (CkpxShared->keep_files || !list_orphans(&orphans))
		return;
	remove_old_manifests();
	ckpx_progress_phase(CKPX_JOB_PHASE_REMOVE, list_length(orphans));
	foreach(cell, orphans)
	{
		remove_one(((CkpxStoreFile *) lfirst(cell))->file);
		ckpx_progress_done(foreach_current_index(cell) + 1);
	}
}

/*
 * Is a global in work, so that a sweep is to spare its files?
 */
void
ckpx_sweep_spare_global(bool in_work)
{
	global_in_work = in_work;
}

/*
 * Have the files removed that no manifest names, as soon as the checkpointer's
 * other work is done.
 */
void
ckpx_sweep_want(void)
{
	sweep_wanted = true;
	sweeps_left = 2;
}

/*
 * Is a sweep wanted, by ckpx_sweep_want() or by a manifest that came after?
 */
bool
ckpx_sweep_is_due(void)
{
	uint64		sequence;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	sequence = CkpxShared->manifest_sequence;
	LWLockRelease(CkpxShared->lock);
	return sweep_wanted || (sweeps_left > 0 && sequence != swept_at);
}

/*
 * The sweep for which ckpx_sweep_is_due() asks.
 */
void
ckpx_sweep_when_due(void)
{
	uint64		sequence;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	sequence = CkpxShared->manifest_sequence;
	LWLockRelease(CkpxShared->lock);
	ckpx_sweep();
	if (!sweep_wanted)
		sweeps_left--;
	sweep_wanted = false;
	swept_at = sequence;
}

void
ckpx_remove_object(const CkpxEntrySpan *span, uint32 nparts)
{
	for (uint32 part = Max(nparts, 1); part-- > 0;)
	{
		char		name[CKPX_NAME_MAX];

		ckpx_object_name(name, (CkpxEntryKind) span->kind, span->epoch,
						 span->timeline, span->start_lsn, span->end_lsn, part);
		remove_one(name);
	}
}

/*
 * Write the next manifest, with 'added' and without 'removed', and let memory
 * know of it.
 */
static void
publish(const CkpxEntry *added, const CkpxEntrySpan *removed,
		uint32 nremoved)
{
	Delta		delta = {added, removed, nremoved, 0, {0, 0}};
	CkpxManifest manifest;
	CkpxOutput *output;
	char		name[CKPX_NAME_MAX];
	char		path[MAXPGPATH];
	XLogRecPtr	end_lsn;
	uint64		requested;
	int			known = nknown;

	/* Until this one is published, an error may leave any. */
	nknown = 0;

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	requested = CkpxShared->publish_requested;
	LWLockRelease(CkpxShared->lock);

	gather_head(&manifest, &end_lsn);
	if (added != NULL && added->range.epoch == manifest.epoch)
		end_lsn = Max(end_lsn, added->range.end_lsn);
	delta.release.end_lsn = manifest.epoch_start;
	delta.release.release_lsn = manifest.epoch_start;
	ckpx_manifest_name(name, manifest.sequence, manifest.epoch_start, end_lsn);
	ckpx_store_path(path, name);

	output = ckpx_output_create(path, "manifest");
	PG_TRY();
	{
		write_manifest(output, &manifest, &delta);
		ckpx_output_publish(output);
	}
	PG_CATCH();
	{
		ckpx_output_abort(output, false);
		PG_RE_THROW();
	}
	PG_END_TRY();

	CKPX_FAULT("publish-memory");
	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	CkpxShared->manifest_sequence = manifest.sequence;
	CkpxShared->manifest_release[1] = CkpxShared->manifest_release[0];
	CkpxShared->manifest_release[0] = delta.release.release_lsn;
	CkpxShared->publish_done = Max(CkpxShared->publish_done, requested);
	LWLockRelease(CkpxShared->lock);
	ConditionVariableBroadcast(&CkpxShared->progress);

	remove_replaced_manifest(name, known);
}

void
ckpx_publish(const CkpxEntry *added)
{
	publish(added, NULL, 0);
}

void
ckpx_publish_without(const CkpxEntrySpan *removed, uint32 nremoved)
{
	publish(NULL, removed, nremoved);
}
