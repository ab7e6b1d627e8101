/*-------------------------------------------------------------------------
 *
 * diff.c
 *		The command "diff": what one names and the other does not.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/dump/diff.h"

#include "bin/dump/output.h"
#include "bin/dump/print.h"
#include "bin/dump/store.h"
#include "common/logging.h"

/* What a row says of: only the first has it, only the second, both. */
static const char *const only_in[] = {"first", "second", "both"};

/*-------------------------------------------------------------------------
 * Manifests
 *-------------------------------------------------------------------------
 */

static const CkpxManifest *
load_manifest(const char *path, FileKind kind)
{
	CkpxManifest *manifest;
	Problem		problem;
	Store	   *store;

	if (kind == FILE_MANIFEST)
	{
		manifest = palloc(sizeof(CkpxManifest));
		if (manifest_read(path, manifest, &problem))
			return manifest;
		problem_report(&problem);
		exit(EXIT_DAMAGE);
	}
	store = store_read(path);
	(void) store_warn(store);
	if (store->used == NULL)
		pg_fatal("directory \"%s\" has no manifest that can be read", path);
	return &store->used->manifest;
}

static void
print_entry_row(int in, const CkpxEntry *entry, const char *field)
{
	output_text("in", only_in[in]);
	if (field != NULL)
		output_text("differs", field);
	else
		output_null("differs");
	print_entry(entry);
	output_row();
}

static CkpxEntry *
sorted_entries(const CkpxManifest *manifest)
{
	CkpxEntry  *entries = palloc(sizeof(CkpxEntry) *
								 ((Size) manifest->nentries + 1));

	if (manifest->nentries > 0)
		memcpy(entries, manifest->entries,
			   sizeof(CkpxEntry) * manifest->nentries);
	qsort(entries, manifest->nentries, sizeof(CkpxEntry),
		  (int (*) (const void *, const void *)) entry_compare);
	return entries;
}

static void
diff_entries(const CkpxManifest *a, const CkpxManifest *b)
{
	CkpxEntry  *left = sorted_entries(a);
	CkpxEntry  *right = sorted_entries(b);
	uint32		i = 0;
	uint32		j = 0;

	output_many("entries");
	while (i < a->nentries || j < b->nentries)
	{
		int			order = i == a->nentries ? 1 : j == b->nentries ? -1 :
			entry_compare(&left[i], &right[j]);
		const char *field;

		if (order < 0)
			print_entry_row(0, &left[i], NULL);
		else if (order > 0)
			print_entry_row(1, &right[j], NULL);
		else if ((field = ckpx_entry_difference(&left[i],
												&right[j])) != NULL)
			print_entry_row(2, &left[i], field);
		i += order <= 0 ? 1 : 0;
		j += order >= 0 ? 1 : 0;
	}
	pfree(left);
	pfree(right);
}

static bool
same_gap(const CkpxGap *a, const CkpxGap *b)
{
	return a->epoch == b->epoch && a->from_lsn == b->from_lsn &&
		a->to_lsn == b->to_lsn && a->damaged == b->damaged &&
		strcmp(a->reason, b->reason) == 0;
}

static bool
same_pin(const CkpxPin *a, const CkpxPin *b)
{
	return strcmp(a->name, b->name) == 0 && a->lsn == b->lsn &&
		a->epoch == b->epoch && a->global_lsn == b->global_lsn &&
		a->expires_at == b->expires_at;
}

static bool
same_backup(const CkpxBackupRecord *a, const CkpxBackupRecord *b)
{
	return strcmp(a->id, b->id) == 0;
}

/*
 * Lists of a few hundred at most, in no common order: print the members of one
 * list that the other does not have.
 */
#define DIFF_LIST(in, list, nlist, other, nother, same, print) \
	for (uint32 i = 0; i < (nlist); i++) \
	{ \
		uint32		j = 0; \
\
		while (j < (nother) && !same(&(list)[i], &(other)[j])) \
			j++; \
		if (j < (nother)) \
			continue; \
		output_text("in", only_in[in]); \
		print(&(list)[i]); \
		output_row(); \
	}

static void
diff_manifests(const CkpxManifest *a, const CkpxManifest *b)
{
	diff_entries(a, b);
	output_many("gaps");
	DIFF_LIST(0, a->gaps, a->ngaps, b->gaps, b->ngaps, same_gap, print_gap);
	DIFF_LIST(1, b->gaps, b->ngaps, a->gaps, a->ngaps, same_gap, print_gap);
	output_many("pins");
	DIFF_LIST(0, a->pins, a->npins, b->pins, b->npins, same_pin, print_pin);
	DIFF_LIST(1, b->pins, b->npins, a->pins, a->npins, same_pin, print_pin);
	output_many("backups");
	DIFF_LIST(0, a->backups, a->nbackups, b->backups, b->nbackups,
			  same_backup, print_backup);
	DIFF_LIST(1, b->backups, b->nbackups, a->backups, a->nbackups,
			  same_backup, print_backup);
}

/*-------------------------------------------------------------------------
 * Objects
 *-------------------------------------------------------------------------
 */

/* All that an object says, of a global all its layers. */
static CkpxDirtyTree *
load_object(const char *path)
{
	CkpxDirtyTree *tree = ckpx_dirty_tree_create(NULL);
	Problem		problem;
	Object	   *object = object_open(path, NULL, NULL, &problem);
	CkpxRelationView view;
	const char *text = NULL;

	if (object != NULL)
	{
		while (ckpx_object_parts_next(&object->parts, &view, &text) &&
			   ckpx_object_parts_append(&object->parts, &view,
										InvalidXLogRecPtr, tree, &text))
			;
		if (text != NULL)
			object_problem(object, text, &problem);
	}
	if (object == NULL || text != NULL)
	{
		problem_report(&problem);
		exit(EXIT_DAMAGE);
	}
	object_close(object);
	return tree;
}

/*
 * Print the blocks of 'relation' that 'other' (NULL: it is not there) does not
 * list, and its limit where the other has not the same.
 */
static void
print_difference(int in, const CkpxRelation *relation,
				 const CkpxRelation *other)
{
	bool		differs = other == NULL ||
		other->blocks.limit_block != relation->blocks.limit_block;
	CkpxBlockSet only;
	CkpxBlockSetIterator it;
	bool		more;

	ckpx_block_set_init(&only, NULL);
	ckpx_block_set_union(&only, &relation->blocks);
	if (other != NULL)
		ckpx_block_set_subtract(&only, &other->blocks);
	more = differs || ckpx_block_set_count(&only) > 0;
	ckpx_block_set_iterate(&it, &only, 0);
	while (more)
	{
		output_text("in", only_in[in]);
		print_key(&relation->key);
		if (differs && relation->blocks.limit_block != InvalidBlockNumber)
			output_number("limit_block", relation->blocks.limit_block);
		else
			output_null("limit_block");
		more = !output_ranges("blocks", &it);
		output_row();
	}
	ckpx_block_set_reset(&only);
}

static void
diff_objects(const char *a, const char *b)
{
	CkpxDirtyTree *trees[2] = {load_object(a), load_object(b)};
	CkpxRelation **relations[2];
	uint32		count[2];
	uint32		at[2] = {0, 0};

	for (int i = 0; i < 2; i++)
		relations[i] = ckpx_dirty_tree_sorted(trees[i], &count[i]);
	output_many("relations");
	while (at[0] < count[0] || at[1] < count[1])
	{
		const CkpxRelation *left = at[0] < count[0] ?
			relations[0][at[0]] : NULL;
		const CkpxRelation *right = at[1] < count[1] ?
			relations[1][at[1]] : NULL;
		int			order = left == NULL ? 1 : right == NULL ? -1 :
			ckpx_rel_key_compare(&left->key, &right->key);

		if (order <= 0)
			print_difference(0, left, order == 0 ? right : NULL);
		if (order >= 0)
			print_difference(1, right, order == 0 ? left : NULL);
		at[0] += order <= 0 ? 1 : 0;
		at[1] += order >= 0 ? 1 : 0;
	}
}

int
diff_run(const Options *options, const char *a, const char *b)
{
	FileKind	kind_a = file_kind(a);
	FileKind	kind_b = file_kind(b);

	if ((kind_a == FILE_OBJECT) != (kind_b == FILE_OBJECT))
		pg_fatal("\"%s\" and \"%s\" are not of the same kind", a, b);
	if (kind_a == FILE_OBJECT)
	{
		output_begin(options->json);
		diff_objects(a, b);
	}
	else
	{
		const CkpxManifest *left = load_manifest(a, kind_a);
		const CkpxManifest *right = load_manifest(b, kind_b);

		output_begin(options->json);
		diff_manifests(left, right);
	}
	output_end();
	return 0;
}
