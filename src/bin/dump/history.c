/*-------------------------------------------------------------------------
 *
 * history.c
 *		The history that a store or some objects have, and the map of a range
 *		in it.
 *
 * A spilled segment continues the chain of its epoch as an incremental does;
 * in the server it is a part of the logtail.  Here it is loaded as one.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/dump/history.h"

#include "bin/dump/output.h"
#include "common/logging.h"

static History *
history_create(uint32 max_entries, const CkpxIdentity *identity)
{
	History    *history = palloc0(sizeof(History));

	history->entries = palloc(ckpx_entry_store_size(max_entries));
	ckpx_entry_store_init(history->entries, max_entries);
	history->identity = *identity;
	return history;
}

/* Find the object of an entry of the history. */
static char *
find_object(const History *history, const CkpxEntry *entry,
			CkpxEntry *expected)
{
	for (uint32 i = 0; i < history->nsources; i++)
	{
		const Source *source = &history->sources[i];

		if (source->kind == entry->kind &&
			source->entry.range.epoch == entry->range.epoch &&
			source->entry.range.start_lsn == entry->range.start_lsn &&
			source->entry.range.end_lsn == entry->range.end_lsn)
		{
			*expected = source->entry;
			return pstrdup(source->path);
		}
	}
	*expected = *entry;
	return store_object_path(history->store, entry);
}

/* An object cannot be used: the history goes on without it. */
static void
lose_object(History *history, const CkpxEntry *entry, const Problem *problem)
{
	char		reason[CKPX_GAP_REASON_MAX];
	char		name[CKPX_NAME_MAX];

	problem_warn(problem);
	ckpx_entry_object_name(name, entry, 0);
	snprintf(reason, sizeof(reason), "object %s is missing or damaged", name);
	(void) ckpx_entry_store_lose(history->entries, entry, 0, reason);
}

/* What of the range of a global it answers, only its object tells. */
static void
load_tombstones(History *history)
{
	CkpxEntryStore *entries = history->entries;

	for (uint32 i = 0; i < entries->nentries;)
	{
		CkpxEntry  *entry = ckpx_entry_store_at(entries, i);
		CkpxEntry	expected;
		Problem		problem;
		Object	   *object;
		char	   *path;

		i++;
		if (entry->kind != CKPX_KIND_GLOBAL)
			continue;
		path = find_object(history, entry, &expected);
		object = object_open(path, &expected, &history->identity, &problem);
		pfree(path);
		if (object != NULL)
		{
			entry->tombstones_from =
				ckpx_object_parts_tombstones_from(&object->parts);
			object_close(object);
			continue;
		}
		lose_object(history, entry, &problem);
		i--;
	}
}

/* Take a spilled segment, or an object of another kind, into the chain. */
static void
load_as(History *history, const CkpxEntry *entry, const char *path)
{
	Source	   *source;
	CkpxEntry	as = *entry;

	if (as.kind != CKPX_KIND_GLOBAL)
		as.kind = CKPX_KIND_INCREMENTAL;
	if (ckpx_entry_store_load(history->entries, &as) != CKPX_STORE_OK)
		return;
	source = &history->sources[history->nsources++];
	source->entry = *entry;
	source->kind = as.kind;
	source->path = pstrdup(path);
}

static void
load_segments(History *history, const CkpxManifest *manifest)
{
	bool		moved;

	history->sources = palloc(sizeof(Source) *
							  ((Size) manifest->nentries + 1));
	do
	{
		XLogRecPtr	end_lsn = history_end(history);

		moved = false;
		for (uint32 i = 0; i < manifest->nentries && !moved; i++)
		{
			const CkpxEntry *entry = &manifest->entries[i];

			if (entry->kind != CKPX_KIND_SEGMENT ||
				entry->range.epoch != manifest->epoch ||
				entry->range.start_lsn != end_lsn)
				continue;
			load_as(history, entry, store_object_path(history->store, entry));
			moved = history_end(history) != end_lsn;
		}
	} while (moved);
}

History *
history_of_store(const Store *store)
{
	const CkpxManifest *manifest;
	History    *history;

	if (store->used == NULL)
	{
		pg_log_error("directory \"%s\" has no manifest that can be read",
					 store->path);
		pg_log_error_hint("Name the objects themselves.");
		exit(1);
	}
	manifest = &store->used->manifest;
	history = history_create(manifest->nentries + 1, &manifest->identity);
	history->store = store;
	ckpx_entry_store_restore(history->entries, manifest->epoch,
							 manifest->timeline, manifest->epoch_start,
							 manifest->gaps, manifest->ngaps);
	for (uint32 i = 0; i < manifest->nentries; i++)
	{
		if (manifest->entries[i].kind != CKPX_KIND_SEGMENT)
			(void) ckpx_entry_store_load(history->entries,
										 &manifest->entries[i]);
	}
	load_segments(history, manifest);
	load_tombstones(history);
	return history;
}

History *
history_of_files(char **paths, int npaths)
{
	CkpxEntry  *entries = palloc(sizeof(CkpxEntry) * npaths);
	XLogRecPtr	epoch_start = PG_UINT64_MAX;
	CkpxIdentity identity;
	TimeLineID	timeline = 0;
	History    *history;

	for (int i = 0; i < npaths; i++)
	{
		Problem		problem;
		Object	   *object = object_open(paths[i], NULL,
										 i > 0 ? &identity : NULL, &problem);

		if (object == NULL)
		{
			problem_report(&problem);
			exit(1);
		}
		if (i == 0)
			identity = ckpx_object_parts_header(&object->parts)->identity;
		ckpx_object_parts_describe(&object->parts, &entries[i]);
		object_close(object);
		if (entries[i].range.epoch != entries[0].range.epoch)
			pg_fatal("files \"%s\" and \"%s\" are of different epochs",
					 paths[0], paths[i]);
		epoch_start = Min(epoch_start, entries[i].range.start_lsn);
		timeline = Max(timeline, entries[i].range.timeline);
	}
	history = history_create(npaths, &identity);
	history->sources = palloc(sizeof(Source) * npaths);
	ckpx_entry_store_restore(history->entries, entries[0].range.epoch,
							 timeline, epoch_start, NULL, 0);
	for (int i = 0; i < npaths; i++)
		load_as(history, &entries[i], paths[i]);
	pfree(entries);
	return history;
}

XLogRecPtr
history_begin(const History *history)
{
	return history->store == NULL ? history->entries->epoch_start :
		ckpx_entry_store_stretch_start(history->entries);
}

XLogRecPtr
history_end(const History *history)
{
	return ckpx_entry_store_checkpointed(history->entries);
}

/*-------------------------------------------------------------------------
 * The map of a range
 *-------------------------------------------------------------------------
 */

static void
report_hole(const History *history, XLogRecPtr start_lsn, XLogRecPtr end_lsn,
			XLogRecPtr missing)
{
	const CkpxGap *gap = ckpx_entry_store_gap_at(history->entries, missing);

	pg_log_error("no block map for %X/%X - %X/%X",
				 LSN_FORMAT_ARGS(start_lsn), LSN_FORMAT_ARGS(end_lsn));
	pg_log_error_detail("The first missing LSN is %X/%X.",
						LSN_FORMAT_ARGS(missing));
	if (gap != NULL && gap->from_lsn == InvalidXLogRecPtr)
		pg_log_error_hint("Tracking began at %X/%X.",
						  LSN_FORMAT_ARGS(gap->to_lsn));
	else if (gap != NULL)
		pg_log_error_hint("Changes were not tracked between %X/%X and %X/%X: %s.",
						  LSN_FORMAT_ARGS(gap->from_lsn),
						  LSN_FORMAT_ARGS(gap->to_lsn),
						  output_printable(pstrdup(gap->reason)));
	exit(1);
}

static void
report_stale(XLogRecPtr start_lsn, XLogRecPtr end_lsn, XLogRecPtr oldest_end)
{
	pg_log_error("no block map for %X/%X - %X/%X",
				 LSN_FORMAT_ARGS(start_lsn), LSN_FORMAT_ARGS(end_lsn));
	pg_log_error_detail("What is left answers only ranges that end at %X/%X or later.",
						LSN_FORMAT_ARGS(oldest_end));
	exit(1);
}

/* Append an object to the map; false with *problem. */
static bool
append_object(CkpxRangeMap *map, Object *object, Problem *problem)
{
	CkpxObjectParts *parts = &object->parts;
	const char *text = NULL;
	CkpxRelationView view;

	if (!ckpx_range_map_enter(map, parts))
		report_stale(map->start_lsn, map->end_lsn,
					 ckpx_object_parts_tombstones_from(parts));
	if (map->one_relation)
	{
		uint32		nforks;
		CkpxRelation **forks = ckpx_dirty_tree_sorted(map->tree, &nforks);
		bool		found;

		for (uint32 i = 0; i < nforks && text == NULL; i++)
			(void) ckpx_object_parts_find(parts, &forks[i]->key,
										  map->start_lsn, forks[i], &found,
										  &text);
		pfree(forks);
	}
	else
	{
		while (ckpx_object_parts_next(parts, &view, &text) &&
			   ckpx_object_parts_append(parts, &view, map->start_lsn,
										map->tree, &text))
			;
	}
	if (text != NULL)
		object_problem(object, text, problem);
	return text == NULL;
}

/* All changes of a history of another timeline have a mark of it. */
static void
note_timeline(History *history, const CkpxObjectHeader *header, bool first)
{
	TimeLineID	timeline = header->range.timeline;

	if (first)
		history->timeline = timeline;
	for (uint32 i = 0; i < header->nmarks; i++)
	{
		if (header->marks[i].timeline != timeline)
			timeline = 0;
	}
	if (timeline != history->timeline)
		history->timeline = 0;
}

/* Fill the map from what was chosen; false where an object was lost. */
static bool
fill_map(History *history, CkpxRangeMap *map, const uint32 *chosen,
		 uint32 nchosen)
{
	for (uint32 i = 0; i < nchosen; i++)
	{
		const CkpxEntry *entry = ckpx_entry_store_at(history->entries,
													 chosen[i]);
		CkpxEntry	expected;
		char	   *path = find_object(history, entry, &expected);
		Problem		problem;
		Object	   *object = object_open(path, &expected, &history->identity,
										 &problem);
		bool		good = false;

		pfree(path);
		if (object != NULL)
		{
			note_timeline(history, ckpx_object_parts_header(&object->parts),
						  i == 0);
			good = append_object(map, object, &problem);
			object_close(object);
		}
		if (!good)
		{
			lose_object(history, entry, &problem);
			return false;
		}
	}
	return true;
}

void
history_map(History *history, XLogRecPtr start_lsn, XLogRecPtr end_lsn,
			const CkpxRelKey *relation, CkpxRangeMap *map)
{
	CkpxEntryStore *entries = history->entries;
	uint32	   *chosen = palloc(sizeof(uint32) * (entries->max_entries + 1));

	for (;;)
	{
		CkpxCollectResult result;

		ckpx_entry_store_collect(entries, start_lsn, end_lsn, true, chosen,
								 &result);
		if (result.oldest_end != InvalidXLogRecPtr)
			report_stale(start_lsn, end_lsn, result.oldest_end);
		if (result.nchosen == 0 && start_lsn < end_lsn)
			report_hole(history, start_lsn, end_lsn, start_lsn);
		if (result.nchosen > 0 && result.checkpointed < end_lsn)
			report_hole(history, start_lsn, end_lsn, result.checkpointed);

		ckpx_range_map_begin(map, NULL, start_lsn, end_lsn, relation);
		if (fill_map(history, map, chosen, result.nchosen))
			break;
		ckpx_dirty_tree_free(map->tree);
	}
	pfree(chosen);
}
