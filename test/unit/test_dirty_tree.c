/*-------------------------------------------------------------------------
 *
 * test_dirty_tree.c
 *		Dirty trees against two models.
 *
 * One model says what the map must be: a byte for each block, the limit and
 * the flags, step by step over the whole history.  The other one knows nothing
 * of limits and lists: it keeps the files themselves and asks, at the end,
 * whether a copy made before the history and patched by the map would be
 * right.
 *
 *-------------------------------------------------------------------------
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/map/dirty_tree.h"
#include "test_maps.h"
#include "test_random.h"

static CkpxRelKey
make_key(Oid tablespace, Oid database, Oid relation, uint32 fork)
{
	CkpxRelKey	key = {tablespace, database, relation, fork};

	return key;
}

static void
encode(const CkpxDirtyTree *tree, StringInfo buf)
{
	initStringInfo(buf);
	test_tree_encode(buf, tree);
}

/* Append 'later' to 'tree' by way of its bytes. */
static void
merge_encoded(CkpxDirtyTree *tree, const CkpxDirtyTree *later)
{
	StringInfoData buf;
	char	   *exact;
	const char *problem = "unset";

	encode(later, &buf);
	exact = test_exact_copy(buf.data, buf.len);
	assert_true(ckpx_dirty_tree_merge_bytes(tree, exact, buf.len, &problem));
	assert_null(problem);
	free(exact);
	pfree(buf.data);
}

/* Assert that both trees have the same bytes. */
static void
assert_same_trees(const CkpxDirtyTree *a, const CkpxDirtyTree *b)
{
	StringInfoData abuf;
	StringInfoData bbuf;

	encode(a, &abuf);
	encode(b, &bbuf);
	assert_int_equal(abuf.len, bbuf.len);
	assert_memory_equal(abuf.data, bbuf.data, abuf.len);
	pfree(abuf.data);
	pfree(bbuf.data);
}

/*
 * Finding relations
 */

static void
empty_tree(void **state)
{
	CkpxDirtyTree *tree = ckpx_dirty_tree_create(NULL);
	CkpxRelKey	key = make_key(1663, 5, 16384, MAIN_FORKNUM);
	CkpxRelation **sorted;
	uint32		count = 99;
	StringInfoData buf;

	assert_int_equal(test_tree_nrelations(tree), 0);
	assert_int_equal(test_tree_nblocks(tree), 0);
	assert_null(ckpx_dirty_tree_find(tree, &key));
	sorted = ckpx_dirty_tree_sorted(tree, &count);
	assert_int_equal(count, 0);
	pfree(sorted);
	encode(tree, &buf);
	assert_int_equal(buf.len, 0);
	pfree(buf.data);
	ckpx_dirty_tree_free(tree);
}

static void
new_relation_is_blank(void **state)
{
	CkpxDirtyTree *tree = ckpx_dirty_tree_create(NULL);
	CkpxRelKey	key = make_key(1663, 5, 16384, INIT_FORKNUM);
	CkpxRelation *relation = ckpx_dirty_tree_get(tree, &key);

	assert_true(ckpx_rel_key_equal(&relation->key, &key));
	assert_int_equal(relation->flags, 0);
	assert_int_equal(relation->last_vm_block, InvalidBlockNumber);
	assert_int_equal(relation->counters.records, 0);
	assert_int_equal(relation->blocks.limit_block, InvalidBlockNumber);
	assert_ptr_equal(ckpx_dirty_tree_get(tree, &key), relation);
	assert_ptr_equal(ckpx_dirty_tree_find(tree, &key), relation);
	ckpx_dirty_tree_free(tree);
}

/* Each part of the key matters. */
static void
keys_are_told_apart(void **state)
{
	CkpxRelKey	keys[5] = {
		{1663, 5, 16384, MAIN_FORKNUM},
		{1663, 5, 16384, VISIBILITYMAP_FORKNUM},
		{1663, 5, 16385, MAIN_FORKNUM},
		{1663, 6, 16384, MAIN_FORKNUM},
		{1664, 5, 16384, MAIN_FORKNUM},
	};
	CkpxDirtyTree *tree = ckpx_dirty_tree_create(NULL);
	int			i;
	int			j;

	for (i = 0; i < 5; i++)
		(void) ckpx_dirty_tree_mark(tree, &keys[i], 100 + i);
	assert_int_equal(test_tree_nrelations(tree), 5);
	for (i = 0; i < 5; i++)
	{
		CkpxRelation *relation = ckpx_dirty_tree_find(tree, &keys[i]);

		for (j = 0; j < 5; j++)
			assert_int_equal(ckpx_block_set_contains(&relation->blocks,
													 100 + j), i == j);
	}
	ckpx_dirty_tree_free(tree);
}

static void
pointers_are_stable(void **state)
{
	enum
	{
		N = 20000
	};
	static CkpxRelation *seen[N];
	CkpxDirtyTree *tree = ckpx_dirty_tree_create(NULL);
	CkpxRelKey	key = make_key(1663, 5, 0, MAIN_FORKNUM);
	CkpxRelation **sorted;
	uint32		count;
	int			i;

	for (i = 0; i < N; i++)
	{
		key.relation = 1 + (uint32) i * 7919 % N;
		seen[i] = ckpx_dirty_tree_mark(tree, &key, i);
	}
	for (i = 0; i < N; i++)
	{
		key.relation = 1 + (uint32) i * 7919 % N;
		assert_ptr_equal(ckpx_dirty_tree_find(tree, &key), seen[i]);
		assert_true(ckpx_block_set_contains(&seen[i]->blocks, i));
	}
	assert_int_equal(test_tree_nrelations(tree), N);
	assert_int_equal(test_tree_nblocks(tree), N);

	sorted = ckpx_dirty_tree_sorted(tree, &count);
	assert_int_equal(count, N);
	for (i = 1; i < N; i++)
		assert_true(ckpx_rel_key_compare(&sorted[i - 1]->key,
										 &sorted[i]->key) < 0);
	pfree(sorted);
	ckpx_dirty_tree_free(tree);
}

/*
 * Create, truncate, drop within one tree
 */

typedef struct Case
{
	CkpxDirtyTree *tree;
	CkpxRelKey	key;
	CkpxRelation *relation;
} Case;

static Case
start_case(void)
{
	Case		c;

	c.tree = ckpx_dirty_tree_create(NULL);
	c.key = make_key(1663, 5, 16384, MAIN_FORKNUM);
	c.relation = ckpx_dirty_tree_get(c.tree, &c.key);
	return c;
}

static void
create_then_blocks(void **state)
{
	Case		c = start_case();

	ckpx_dirty_tree_create_fork(c.tree, &c.key);
	ckpx_dirty_tree_mark(c.tree, &c.key, 3);
	assert_int_equal(c.relation->flags, CKPX_REL_CREATED);
	assert_int_equal(c.relation->blocks.limit_block, 0);
	assert_true(ckpx_block_set_contains(&c.relation->blocks, 3));
	ckpx_dirty_tree_free(c.tree);
}

static void
drop_leaves_a_tombstone(void **state)
{
	Case		c = start_case();

	ckpx_dirty_tree_mark(c.tree, &c.key, 3);
	ckpx_dirty_tree_drop_fork(c.tree, &c.key);
	assert_int_equal(c.relation->flags, CKPX_REL_DROPPED);
	assert_int_equal(c.relation->blocks.limit_block, 0);
	assert_int_equal(ckpx_block_set_count(&c.relation->blocks), 0);
	ckpx_dirty_tree_free(c.tree);
}

static void
create_blocks_drop(void **state)
{
	Case		c = start_case();

	ckpx_dirty_tree_create_fork(c.tree, &c.key);
	ckpx_dirty_tree_mark(c.tree, &c.key, 3);
	ckpx_dirty_tree_drop_fork(c.tree, &c.key);
	assert_int_equal(c.relation->flags, CKPX_REL_CREATED | CKPX_REL_DROPPED);
	assert_int_equal(ckpx_block_set_count(&c.relation->blocks), 0);
	ckpx_dirty_tree_free(c.tree);
}

static void
drop_then_create(void **state)
{
	Case		c = start_case();

	ckpx_dirty_tree_drop_fork(c.tree, &c.key);
	ckpx_dirty_tree_create_fork(c.tree, &c.key);
	ckpx_dirty_tree_mark(c.tree, &c.key, 1);
	assert_int_equal(c.relation->flags, CKPX_REL_CREATED);
	assert_int_equal(c.relation->blocks.limit_block, 0);
	assert_true(ckpx_block_set_changed(&c.relation->blocks, 1000));
	ckpx_dirty_tree_free(c.tree);
}

static void
block_after_drop_clears_dropped(void **state)
{
	Case		c = start_case();
	CkpxDirtyTree *copy = ckpx_dirty_tree_create(NULL);

	ckpx_dirty_tree_drop_fork(c.tree, &c.key);
	ckpx_dirty_tree_mark(c.tree, &c.key, 7);
	assert_int_equal(c.relation->flags, 0);

	/* past mark(): the flag goes when the relation is encoded or merged */
	ckpx_dirty_tree_drop_fork(c.tree, &c.key);
	ckpx_block_set_add(&c.relation->blocks, 8);
	merge_encoded(copy, c.tree);
	assert_int_equal(ckpx_dirty_tree_find(copy, &c.key)->flags, 0);
	ckpx_dirty_tree_free(copy);
	copy = ckpx_dirty_tree_create(NULL);
	test_tree_merge(copy, c.tree);
	assert_int_equal(ckpx_dirty_tree_find(copy, &c.key)->flags, 0);
	ckpx_dirty_tree_free(copy);
	ckpx_dirty_tree_free(c.tree);
}

static void
truncate_forgets_and_keeps(void **state)
{
	Case		c = start_case();

	ckpx_dirty_tree_mark(c.tree, &c.key, 3);
	ckpx_dirty_tree_mark(c.tree, &c.key, 30);
	ckpx_dirty_tree_truncate_fork(c.tree, &c.key, 10);
	assert_int_equal(c.relation->flags, 0);
	assert_int_equal(c.relation->blocks.limit_block, 10);
	assert_true(ckpx_block_set_contains(&c.relation->blocks, 3));
	assert_false(ckpx_block_set_contains(&c.relation->blocks, 30));
	assert_true(ckpx_block_set_changed(&c.relation->blocks, 30));
	ckpx_dirty_tree_free(c.tree);
}

static void
forget_the_marked_vm_block(void **state)
{
	Case		c = start_case();

	c.relation->last_vm_block = 5;
	ckpx_dirty_tree_truncate_fork(c.tree, &c.key, 10);
	assert_int_equal(c.relation->last_vm_block, InvalidBlockNumber);
	c.relation->last_vm_block = 5;
	ckpx_dirty_tree_drop_fork(c.tree, &c.key);
	assert_int_equal(c.relation->last_vm_block, InvalidBlockNumber);
	c.relation->last_vm_block = 5;
	ckpx_dirty_tree_create_fork(c.tree, &c.key);
	assert_int_equal(c.relation->last_vm_block, InvalidBlockNumber);
	ckpx_dirty_tree_free(c.tree);
}

/*
 * Attributes of two ranges
 */

typedef struct Two
{
	CkpxDirtyTree *older;
	CkpxDirtyTree *later;
	CkpxRelKey	key;
} Two;

static Two
start_two(void)
{
	Two			t;

	t.older = ckpx_dirty_tree_create(NULL);
	t.later = ckpx_dirty_tree_create(NULL);
	t.key = make_key(1663, 5, 16384, MAIN_FORKNUM);
	return t;
}

/* Merge directly and by bytes, compare, and return a copy of the flags. */
static uint32
merged_flags(Two *t)
{
	CkpxDirtyTree *direct = ckpx_dirty_tree_create(NULL);
	CkpxDirtyTree *encoded = ckpx_dirty_tree_create(NULL);
	uint32		flags;

	test_tree_merge(direct, t->older);
	test_tree_merge(direct, t->later);
	merge_encoded(encoded, t->older);
	merge_encoded(encoded, t->later);
	assert_same_trees(direct, encoded);
	flags = ckpx_dirty_tree_find(direct, &t->key)->flags;
	ckpx_dirty_tree_free(direct);
	ckpx_dirty_tree_free(encoded);
	ckpx_dirty_tree_free(t->older);
	ckpx_dirty_tree_free(t->later);
	return flags;
}

static void
dropped_then_created(void **state)
{
	Two			t = start_two();

	ckpx_dirty_tree_drop_fork(t.older, &t.key);
	ckpx_dirty_tree_create_fork(t.later, &t.key);
	assert_int_equal(merged_flags(&t), CKPX_REL_CREATED);
}

static void
dropped_then_blocks_only(void **state)
{
	Two			t = start_two();

	ckpx_dirty_tree_drop_fork(t.older, &t.key);
	ckpx_dirty_tree_mark(t.later, &t.key, 4);
	assert_int_equal(merged_flags(&t), 0);
}

static void
dropped_then_truncated(void **state)
{
	Two			t = start_two();

	ckpx_dirty_tree_drop_fork(t.older, &t.key);
	ckpx_dirty_tree_truncate_fork(t.later, &t.key, 4);
	assert_int_equal(merged_flags(&t), 0);
}

static void
dropped_then_touched_only(void **state)
{
	Two			t = start_two();

	ckpx_dirty_tree_drop_fork(t.older, &t.key);
	ckpx_dirty_tree_get(t.later, &t.key)->counters.records = 1;
	assert_int_equal(merged_flags(&t), CKPX_REL_DROPPED);
}

static void
written_then_dropped(void **state)
{
	Two			t = start_two();

	ckpx_dirty_tree_mark(t.older, &t.key, 4);
	ckpx_dirty_tree_drop_fork(t.later, &t.key);
	assert_int_equal(merged_flags(&t), CKPX_REL_DROPPED);
}

static void
created_then_dropped(void **state)
{
	Two			t = start_two();

	ckpx_dirty_tree_create_fork(t.older, &t.key);
	ckpx_dirty_tree_mark(t.older, &t.key, 4);
	ckpx_dirty_tree_drop_fork(t.later, &t.key);
	assert_int_equal(merged_flags(&t), CKPX_REL_CREATED | CKPX_REL_DROPPED);
}

static void
sequence_flag_of_later_row_wins(void **state)
{
	Two			t = start_two();

	ckpx_dirty_tree_get(t.older, &t.key)->flags = CKPX_REL_SEQUENCE;
	ckpx_dirty_tree_mark(t.later, &t.key, 0);
	assert_int_equal(merged_flags(&t), 0);

	t = start_two();
	ckpx_dirty_tree_mark(t.older, &t.key, 0);
	ckpx_dirty_tree_get(t.later, &t.key)->flags = CKPX_REL_SEQUENCE;
	assert_int_equal(merged_flags(&t), CKPX_REL_SEQUENCE);

	/* no later row: the older one's stays */
	t = start_two();
	ckpx_dirty_tree_get(t.older, &t.key)->flags = CKPX_REL_SEQUENCE;
	assert_int_equal(merged_flags(&t), CKPX_REL_SEQUENCE);
}

static void
undurable_is_kept(void **state)
{
	Two			t = start_two();

	ckpx_dirty_tree_get(t.older, &t.key)->flags = CKPX_REL_UNDURABLE;
	ckpx_dirty_tree_mark(t.later, &t.key, 0);
	assert_int_equal(merged_flags(&t), CKPX_REL_UNDURABLE);
}

static void
counters_add_and_saturate(void **state)
{
	CkpxRelCounters more = {1, 2, 3, 4, PG_UINT64_MAX};
	Two			t = start_two();
	CkpxRelation *older = ckpx_dirty_tree_get(t.older, &t.key);

	ckpx_dirty_tree_get(t.later, &t.key)->counters = more;
	merge_encoded(t.older, t.later);
	test_tree_merge(t.older, t.later);
	assert_int_equal(older->counters.records, 2);
	assert_int_equal(older->counters.wal_bytes, 4);
	assert_int_equal(older->counters.fpi, 6);
	assert_int_equal(older->counters.tuples_inserted, 8);
	assert_true(older->counters.tuples_deleted == PG_UINT64_MAX);
	ckpx_dirty_tree_free(t.older);
	ckpx_dirty_tree_free(t.later);
}

/* Truncated to 10 and then 50 written: the wrong order loses block 50. */
static void
merge_in_wrong_order_loses_a_block(void **state)
{
	Two			t = start_two();
	CkpxDirtyTree *right = ckpx_dirty_tree_create(NULL);
	CkpxDirtyTree *wrong = ckpx_dirty_tree_create(NULL);
	CkpxRelation *relation;

	ckpx_dirty_tree_truncate_fork(t.older, &t.key, 10);
	ckpx_dirty_tree_mark(t.later, &t.key, 50);
	merge_encoded(right, t.older);
	merge_encoded(right, t.later);
	merge_encoded(wrong, t.later);
	merge_encoded(wrong, t.older);
	relation = ckpx_dirty_tree_find(right, &t.key);
	assert_true(ckpx_block_set_contains(&relation->blocks, 50));
	relation = ckpx_dirty_tree_find(wrong, &t.key);
	assert_false(ckpx_block_set_contains(&relation->blocks, 50));
	ckpx_dirty_tree_free(right);
	ckpx_dirty_tree_free(wrong);
	ckpx_dirty_tree_free(t.older);
	ckpx_dirty_tree_free(t.later);
}

static void
merge_leaves_later_as_it_is(void **state)
{
	Two			t = start_two();
	StringInfoData before;
	StringInfoData after;

	ckpx_dirty_tree_mark(t.older, &t.key, 1);
	ckpx_dirty_tree_drop_fork(t.later, &t.key);
	ckpx_dirty_tree_create_fork(t.later, &t.key);
	ckpx_dirty_tree_mark(t.later, &t.key, 2);
	encode(t.later, &before);
	test_tree_merge(t.older, t.later);
	ckpx_dirty_tree_mark(t.older, &t.key, 3);
	encode(t.later, &after);
	assert_int_equal(before.len, after.len);
	assert_memory_equal(before.data, after.data, before.len);
	pfree(before.data);
	pfree(after.data);
	ckpx_dirty_tree_free(t.older);
	ckpx_dirty_tree_free(t.later);
}

/*
 * Random histories
 */

#define NKEYS			5
#define NBLOCKS			40
#define SPREAD			1700	/* so that blocks lie in two chunks */
#define MAX_RANGES		8

static const CkpxRelKey history_keys[NKEYS] = {
	{1663, 5, 16384, MAIN_FORKNUM},
	{1663, 5, 16384, VISIBILITYMAP_FORKNUM},
	{1663, 5, 16385, MAIN_FORKNUM},
	{1664, 0, 1260, MAIN_FORKNUM},
	{1663, 5, CKPX_DATABASE_WIDE, MAIN_FORKNUM},
};

/* What the map of one key must be. */
typedef struct ModelRow
{
	bool		present;
	bool		listed[NBLOCKS];
	uint32		limit;			/* NBLOCKS: none */
	uint32		flags;
	uint64		records;
	int			range;			/* that touched the row last */
} ModelRow;

/* The file itself: 0 is a block of zeroes. */
typedef struct ModelFile
{
	bool		exists;
	uint32		length;
	uint32		content[NBLOCKS];
} ModelFile;

typedef struct History
{
	TestRandom	r;
	ModelRow	rows[NKEYS];
	ModelFile	before[NKEYS];
	ModelFile	files[NKEYS];
	CkpxDirtyTree *ranges[MAX_RANGES];
	int			nranges;
	uint32		version;
} History;

static BlockNumber
limit_of(uint32 limit)
{
	return limit == NBLOCKS ? InvalidBlockNumber : limit * SPREAD;
}

/* A row of the present range: SEQUENCE speaks of the last range only. */
static ModelRow *
touch(History *h, int k)
{
	ModelRow   *row = &h->rows[k];

	if (!row->present || row->range != h->nranges - 1)
		row->flags &= ~CKPX_REL_SEQUENCE;
	row->present = true;
	row->range = h->nranges - 1;
	return row;
}

static void
lower_limit(ModelRow *row, uint32 limit)
{
	uint32		i;

	if (limit > row->limit)
		return;
	row->limit = limit;
	for (i = limit; i < NBLOCKS; i++)
		row->listed[i] = false;
}

/* One step of the history, in the tree of the present range and the models. */
static void
step(History *h)
{
	CkpxDirtyTree *tree = h->ranges[h->nranges - 1];
	int			k = test_random_below(&h->r, NKEYS);
	const CkpxRelKey *key = &history_keys[k];
	ModelFile  *file = &h->files[k];
	uint32		what = test_random_below(&h->r, 16);
	uint32		n = test_random_below(&h->r, NBLOCKS);
	ModelRow   *row;
	CkpxRelation *relation;
	uint32		i;

	if (what == 0)
	{
		/* a new length without WAL: blocks of zeroes */
		if (file->exists && n > file->length)
			file->length = n;
		return;
	}

	row = touch(h, k);
	if (what == 1)
	{
		ckpx_dirty_tree_drop_fork(tree, key);
		lower_limit(row, 0);
		row->flags |= CKPX_REL_DROPPED;
		memset(file, 0, sizeof(*file));
	}
	else if (what == 2)
	{
		ckpx_dirty_tree_create_fork(tree, key);
		lower_limit(row, 0);
		row->flags &= ~CKPX_REL_DROPPED;
		row->flags |= CKPX_REL_CREATED;
		memset(file, 0, sizeof(*file));
		file->exists = true;
	}
	else if (what == 3)
	{
		ckpx_dirty_tree_truncate_fork(tree, key, n * SPREAD);
		lower_limit(row, n);
		row->flags &= ~CKPX_REL_DROPPED;
		file->exists = true;
		for (i = n; i < NBLOCKS; i++)
			file->content[i] = 0;
		file->length = Min(file->length, n);
	}
	else if (what == 4)
	{
		ckpx_dirty_tree_get(tree, key)->flags |= CKPX_REL_SEQUENCE;
		row->flags |= CKPX_REL_SEQUENCE;
	}
	else if (what == 5)
	{
		relation = ckpx_dirty_tree_get(tree, key);
		relation->flags |= CKPX_REL_UNDURABLE;
		row->flags |= CKPX_REL_UNDURABLE;
	}
	else
	{
		relation = ckpx_dirty_tree_mark(tree, key, n * SPREAD);
		relation->counters.records++;
		row->records++;
		row->listed[n] = true;
		row->flags &= ~CKPX_REL_DROPPED;
		file->exists = true;
		file->content[n] = ++h->version;
		file->length = Max(file->length, n + 1);
	}
}

static void
make_history(History *h, uint64 seed)
{
	int			steps;
	int			k;
	uint32		i;

	memset(h, 0, sizeof(*h));
	test_random_seed(&h->r, seed);
	for (k = 0; k < NKEYS; k++)
	{
		h->rows[k].limit = NBLOCKS;
		h->files[k].exists = test_random_below(&h->r, 2);
		if (h->files[k].exists)
			h->files[k].length = test_random_below(&h->r, NBLOCKS);
		for (i = 0; i < h->files[k].length; i++)
			h->files[k].content[i] = ++h->version;
		h->before[k] = h->files[k];
	}

	steps = 1 + test_random_below(&h->r, 120);
	while (steps-- > 0)
	{
		if (h->nranges == 0 ||
			(h->nranges < MAX_RANGES && test_random_below(&h->r, 15) == 0))
			h->ranges[h->nranges++] = ckpx_dirty_tree_create(NULL);
		step(h);
	}
}

static void
free_history(History *h)
{
	int			i;

	for (i = 0; i < h->nranges; i++)
		ckpx_dirty_tree_free(h->ranges[i]);
}

static void
assert_matches(const CkpxDirtyTree *tree, const History *h)
{
	uint32		present = 0;
	int			k;
	uint32		i;

	for (k = 0; k < NKEYS; k++)
	{
		const ModelRow *row = &h->rows[k];
		const ModelFile *before = &h->before[k];
		const ModelFile *file = &h->files[k];
		CkpxRelation *relation = ckpx_dirty_tree_find(tree, &history_keys[k]);

		assert_int_equal(relation != NULL, row->present);
		if (relation == NULL)
			continue;
		present++;
		assert_int_equal(relation->flags, row->flags);
		assert_int_equal(relation->blocks.limit_block, limit_of(row->limit));
		assert_int_equal(relation->counters.records, row->records);
		for (i = 0; i < NBLOCKS; i++)
		{
			bool		changed = ckpx_block_set_changed(&relation->blocks,
														 i * SPREAD);

			assert_int_equal(changed, row->listed[i] || i >= row->limit);

			/* The promise: what differs is in the map. */
			if (i < file->length && file->content[i] !=
				(i < before->length ? before->content[i] : 0))
				assert_true(changed);
		}
		/* Listed blocks below the limit: no more than were written. */
		for (i = 0; i < row->limit && i < NBLOCKS; i++)
			assert_int_equal(ckpx_block_set_contains(&relation->blocks,
													 i * SPREAD),
							 row->listed[i]);

		/* A tombstone where the file went, none where it is. */
		if (before->exists && !file->exists)
			assert_true(relation->flags & CKPX_REL_DROPPED);
		if (file->exists && (relation->flags & CKPX_REL_DROPPED))
			fail_msg("an existing file is marked as dropped");
	}
	assert_int_equal(test_tree_nrelations(tree), present);
}

typedef void (*Merger) (CkpxDirtyTree *tree, const CkpxDirtyTree *later);

static void
check_histories(uint64 seed, Merger merge)
{
	uint64		round;

	for (round = 0; round < 1500; round++)
	{
		History		h;
		CkpxDirtyTree *tree = ckpx_dirty_tree_create(NULL);
		int			i;

		make_history(&h, seed * 100000 + round);
		for (i = 0; i < h.nranges; i++)
			merge(tree, h.ranges[i]);
		assert_matches(tree, &h);
		ckpx_dirty_tree_free(tree);
		free_history(&h);
	}
}

static void
histories_merged_directly(void **state)
{
	check_histories(1, test_tree_merge);
}

static void
histories_merged_by_bytes(void **state)
{
	check_histories(2, merge_encoded);
}

/* Neighbouring ranges are merged first, in random groups, as objects are. */
static void
histories_merged_in_groups(void **state)
{
	uint64		round;

	for (round = 0; round < 1500; round++)
	{
		History		h;

		make_history(&h, 300000 + round);
		while (h.nranges > 1)
		{
			int			i = test_random_below(&h.r, h.nranges - 1);

			if (test_random_below(&h.r, 2))
				test_tree_merge(h.ranges[i], h.ranges[i + 1]);
			else
				merge_encoded(h.ranges[i], h.ranges[i + 1]);
			ckpx_dirty_tree_free(h.ranges[i + 1]);
			h.nranges--;
			memmove(&h.ranges[i + 1], &h.ranges[i + 2],
					(h.nranges - i - 1) * sizeof(CkpxDirtyTree *));
		}
		assert_matches(h.ranges[0], &h);
		free_history(&h);
	}
}

/* Both ways to merge end with the same bytes, and so does a copy. */
static void
direct_and_encoded_are_the_same(void **state)
{
	uint64		round;

	for (round = 0; round < 500; round++)
	{
		History		h;
		CkpxDirtyTree *direct = ckpx_dirty_tree_create(NULL);
		CkpxDirtyTree *encoded = ckpx_dirty_tree_create(NULL);
		CkpxDirtyTree *copy = ckpx_dirty_tree_create(NULL);
		int			i;

		make_history(&h, 400000 + round);
		for (i = 0; i < h.nranges; i++)
		{
			test_tree_merge(direct, h.ranges[i]);
			merge_encoded(encoded, h.ranges[i]);
			assert_same_trees(direct, encoded);
		}
		merge_encoded(copy, direct);
		assert_same_trees(direct, copy);
		ckpx_dirty_tree_free(direct);
		ckpx_dirty_tree_free(encoded);
		ckpx_dirty_tree_free(copy);
		free_history(&h);
	}
}

/* The histories are able to find the wrong order. */
static void
wrong_order_is_found_by_histories(void **state)
{
	uint64		round;
	int			lost = 0;

	for (round = 0; round < 300; round++)
	{
		History		h;
		CkpxDirtyTree *right = ckpx_dirty_tree_create(NULL);
		CkpxDirtyTree *wrong = ckpx_dirty_tree_create(NULL);
		int			i;
		int			k;

		make_history(&h, 500000 + round);
		for (i = 0; i < h.nranges; i++)
		{
			test_tree_merge(right, h.ranges[i]);
			test_tree_merge(wrong, h.ranges[h.nranges - 1 - i]);
		}
		for (k = 0; k < NKEYS; k++)
		{
			CkpxRelation *r = ckpx_dirty_tree_find(right, &history_keys[k]);
			CkpxRelation *w = ckpx_dirty_tree_find(wrong, &history_keys[k]);

			if (r == NULL)
				continue;
			ckpx_block_set_subtract(&r->blocks, &w->blocks);
			lost += ckpx_block_set_count(&r->blocks) > 0;
		}
		ckpx_dirty_tree_free(right);
		ckpx_dirty_tree_free(wrong);
		free_history(&h);
	}
	assert_true(lost > 100);
}

/*
 * The byte form
 */

static void
encoded_bytes_are_fixed(void **state)
{
	static const char expected[] =
	"\x64\0\0\0"				/* length 100 */
	"\x7f\6\0\0" "\5\0\0\0" "\x04\x03\x02\x01" "\2\0\0\0"	/* key */
	"\2\0\0\0"					/* flags: created */
	"\0\0\0\0" "\xff\xff\xff\xff"	/* limit, length hint */
	"\x08\x07\x06\x05\x04\x03\x02\x01" "\2\0\0\0\0\0\0\0"
	"\3\0\0\0\0\0\0\0" "\4\0\0\0\0\0\0\0" "\5\0\0\0\0\0\0\0"
	"\2\0\0\0\0\0\0\0"			/* blocks */
	"\x3a\x30\0\0\1\0\0\0" "\0\0\1\0" "\x10\0\0\0" "\1\0\2\1";
	CkpxRelKey	key = make_key(1663, 5, 0x01020304, VISIBILITYMAP_FORKNUM);
	CkpxRelCounters counters = {UINT64CONST(0x0102030405060708), 2, 3, 4, 5};
	CkpxDirtyTree *tree = ckpx_dirty_tree_create(NULL);
	CkpxRelation *relation;
	CkpxRelationView view;
	StringInfoData buf;
	Size		offset = 0;
	const char *problem;

	ckpx_dirty_tree_create_fork(tree, &key);
	ckpx_dirty_tree_mark(tree, &key, 0x0102);
	relation = ckpx_dirty_tree_mark(tree, &key, 1);
	relation->counters = counters;
	relation->last_vm_block = 9;

	encode(tree, &buf);
	assert_int_equal(buf.len, sizeof(expected) - 1);
	assert_int_equal(buf.len, ckpx_relation_encoded_size(relation));
	assert_memory_equal(buf.data, expected, buf.len);
	assert_int_equal(buf.data[buf.len], 0);

	assert_true(ckpx_relation_view_next(buf.data, buf.len, &offset, &view,
										&problem));
	assert_true(ckpx_rel_key_equal(&view.key, &key));
	assert_int_equal(view.flags, CKPX_REL_CREATED);
	assert_int_equal(view.limit_block, 0);
	assert_memory_equal(&view.counters, &counters, sizeof(counters));
	assert_int_equal(view.nblocks, 2);
	assert_int_equal(view.roaring_length, 20);
	assert_ptr_equal(view.roaring, buf.data + CKPX_RELATION_HEADER_BYTES);
	assert_int_equal(offset, buf.len);
	assert_false(ckpx_relation_view_next(buf.data, buf.len, &offset, &view,
										 &problem));
	assert_null(problem);
	pfree(buf.data);
	ckpx_dirty_tree_free(tree);
}

static void
records_are_in_key_order(void **state)
{
	CkpxDirtyTree *tree = ckpx_dirty_tree_create(NULL);
	CkpxRelKey	before = make_key(0, 0, 0, 0);
	CkpxRelationView view;
	StringInfoData buf;
	Size		offset = 0;
	const char *problem;
	TestRandom	r;
	int			n = 0;

	test_random_seed(&r, 1);
	for (n = 0; n < 1000; n++)
	{
		CkpxRelKey	key = make_key(1663 + test_random_below(&r, 2),
								   test_random_below(&r, 4),
								   1 + test_random_below(&r, 1000),
								   test_random_below(&r, 4));

		ckpx_dirty_tree_mark(tree, &key, n);
	}
	encode(tree, &buf);
	n = 0;
	while (ckpx_relation_view_next(buf.data, buf.len, &offset, &view,
								   &problem))
	{
		assert_true(ckpx_rel_key_compare(&before, &view.key) < 0);
		before = view.key;
		n++;
	}
	assert_null(problem);
	assert_int_equal(n, test_tree_nrelations(tree));
	pfree(buf.data);
	ckpx_dirty_tree_free(tree);
}

/* A tree with every kind of record, small enough for each bit's flip. */
static CkpxDirtyTree *
make_tree(void)
{
	CkpxDirtyTree *tree = ckpx_dirty_tree_create(NULL);
	CkpxRelKey	key = make_key(1663, 5, 16384, MAIN_FORKNUM);

	ckpx_dirty_tree_mark(tree, &key, 1);
	ckpx_dirty_tree_mark(tree, &key, 70000);
	key.relation++;
	ckpx_dirty_tree_drop_fork(tree, &key);
	key.relation++;
	ckpx_dirty_tree_create_fork(tree, &key);
	test_add_range(&ckpx_dirty_tree_get(tree, &key)->blocks, 5, 99);
	key.relation = CKPX_DATABASE_WIDE;
	ckpx_dirty_tree_create_fork(tree, &key);
	return tree;
}

/* Read damaged bytes; true if they were accepted. */
static bool
try_bytes(const char *bytes, Size length)
{
	char	   *exact = test_exact_copy(bytes, length);
	CkpxDirtyTree *tree = ckpx_dirty_tree_create(NULL);
	CkpxDirtyTree *copy = ckpx_dirty_tree_create(NULL);
	const char *problem = "unset";
	bool		ok;

	ok = ckpx_dirty_tree_merge_bytes(tree, exact, length, &problem);
	assert_int_equal(ok, problem == NULL);
	if (ok)
	{
		merge_encoded(copy, tree);
		assert_same_trees(tree, copy);
	}
	ckpx_dirty_tree_free(tree);
	ckpx_dirty_tree_free(copy);
	free(exact);
	return ok;
}

static void
truncated_at_each_byte(void **state)
{
	CkpxDirtyTree *tree = make_tree();
	StringInfoData buf;
	CkpxRelationView view;
	const char *problem;
	Size		offset = 0;
	Size		i;

	encode(tree, &buf);
	for (i = 0; i <= buf.len; i++)
	{
		/* whole records are whole trees */
		if (i == offset)
		{
			assert_true(try_bytes(buf.data, i));
			(void) ckpx_relation_view_next(buf.data, buf.len, &offset, &view,
										   &problem);
		}
		else
			assert_false(try_bytes(buf.data, i));
	}
	pfree(buf.data);
	ckpx_dirty_tree_free(tree);
}

static void
each_bit_flipped(void **state)
{
	CkpxDirtyTree *tree = make_tree();
	StringInfoData buf;
	int			i;

	encode(tree, &buf);
	for (i = 0; i < buf.len * 8; i++)
	{
		buf.data[i / 8] ^= (char) (1 << (i % 8));
		(void) try_bytes(buf.data, buf.len);
		buf.data[i / 8] ^= (char) (1 << (i % 8));
	}
	pfree(buf.data);
	ckpx_dirty_tree_free(tree);
}

/* Put 'value' at 'offset' of the first record; the bytes must be refused. */
static void
assert_field_refused(int offset, uint32 value)
{
	CkpxDirtyTree *tree = make_tree();
	StringInfoData buf;
	int			i;

	encode(tree, &buf);
	assert_true(try_bytes(buf.data, buf.len));
	for (i = 0; i < 4; i++)
		buf.data[offset + i] = (char) (value >> (8 * i) & 0xff);
	assert_false(try_bytes(buf.data, buf.len));
	pfree(buf.data);
	ckpx_dirty_tree_free(tree);
}

static void
bad_fields_are_refused(void **state)
{
	assert_field_refused(0, 0); /* record length */
	assert_field_refused(0, 79);
	assert_field_refused(0, 87);
	assert_field_refused(0, 0xffffffff);
	assert_field_refused(0, 0x7fffffff);
	assert_field_refused(16, 4);	/* fork */
	assert_field_refused(16, 0xffffffff);
	assert_field_refused(16, 1);	/* first record is database-wide */
	assert_field_refused(20, 0x10); /* flags */
	assert_field_refused(20, 0x80000000);
	assert_field_refused(72, 1);	/* number of blocks */
	assert_field_refused(76, 1);
}

static void
damaged_view_leaves_relation_as_it_is(void **state)
{
	Two			t = start_two();
	CkpxRelation *older = ckpx_dirty_tree_mark(t.older, &t.key, 5);
	StringInfoData buf;
	CkpxRelationView view;
	const char *problem = NULL;
	Size		offset = 0;

	ckpx_dirty_tree_drop_fork(t.later, &t.key);
	ckpx_dirty_tree_mark(t.later, &t.key, 6);
	encode(t.later, &buf);
	assert_true(ckpx_relation_view_next(buf.data, buf.len, &offset, &view,
										&problem));
	view.nblocks++;
	assert_false(ckpx_relation_merge_view(older, &view, &problem));
	assert_non_null(problem);
	view.nblocks--;
	view.roaring_length--;
	assert_false(ckpx_relation_merge_view(older, &view, &problem));
	assert_non_null(problem);
	assert_int_equal(older->blocks.limit_block, InvalidBlockNumber);
	assert_int_equal(ckpx_block_set_count(&older->blocks), 1);
	view.roaring_length++;
	assert_true(ckpx_relation_merge_view(older, &view, &problem));
	assert_int_equal(older->blocks.limit_block, 0);
	assert_false(ckpx_block_set_contains(&older->blocks, 5));
	assert_true(ckpx_block_set_contains(&older->blocks, 6));
	pfree(buf.data);
	ckpx_dirty_tree_free(t.older);
	ckpx_dirty_tree_free(t.later);
}

/*
 * Two ranges' rows, each packed or not, with limits anywhere at the edges of
 * chunks and block numbers: appended, and put before each other.
 */
static void
both_forms_and_limits(void **state)
{
	static const BlockNumber edges[] = {0, 1, 65535, 65536, 0x7fffffff,
		0x80000000, 0xfffeffff, 0xffff0000, 0xfffffffd, 0xfffffffe,
	InvalidBlockNumber};
	const uint32 nedges = lengthof(edges) - 1;	/* the last is no block */
	CkpxRelKey	key = make_key(1663, 5, 16384, MAIN_FORKNUM);

	for (uint32 round = 0; round < 4 * lengthof(edges) * lengthof(edges);
		 round++)
	{
		BlockNumber limits[2] = {edges[round / 4 % lengthof(edges)],
		edges[round / 4 / lengthof(edges)]};
		CkpxRelation rows[2];
		CkpxRelation sums[2];
		StringInfoData bytes[2];
		CkpxRelationView views[2];
		const char *problem = NULL;

		ckpx_relation_init(&sums[0], &key, NULL);
		ckpx_relation_init(&sums[1], &key, NULL);
		for (uint32 i = 0; i < 2; i++)
		{
			CkpxBlockSet *blocks = &rows[i].blocks;
			Size		offset = 0;

			ckpx_relation_init(&rows[i], &key, NULL);
			ckpx_block_set_set_limit(blocks, limits[i]);
			for (uint32 j = i; j < nedges; j += 2)
				ckpx_block_set_add(blocks, edges[j]);
			for (uint32 j = 0; j < 16; j++)
				test_add_range(blocks, 1000 + j * 10, 1001 + j * 10 + i * 4);
			initStringInfo(&bytes[i]);
			ckpx_relation_encode(&bytes[i], &rows[i], 0, (round >> i) & 1);
			assert_true(ckpx_relation_view_next(bytes[i].data, bytes[i].len,
												&offset, &views[i],
												&problem));
		}
		for (uint32 i = 0; i < 2; i++)
		{
			assert_true(ckpx_relation_merge_view(&sums[0], &views[i],
												 &problem));
			assert_true(ckpx_relation_prepend_view(&sums[1], &views[1 - i],
												   &problem));
		}
		for (uint32 j = 0; j < nedges + 64; j++)
		{
			BlockNumber block = j < nedges ? edges[j] : 990 + j * 3;
			bool		changed = ckpx_block_set_changed(&rows[0].blocks, block) ||
				ckpx_block_set_changed(&rows[1].blocks, block);

			assert_int_equal(ckpx_block_set_changed(&sums[0].blocks, block),
							 changed);
			assert_int_equal(ckpx_block_set_changed(&sums[1].blocks, block),
							 changed);
		}
		for (uint32 i = 0; i < 2; i++)
		{
			assert_int_equal(sums[i].blocks.limit_block,
							 Min(limits[0], limits[1]));
			ckpx_block_set_reset(&rows[i].blocks);
			ckpx_block_set_reset(&sums[i].blocks);
			pfree(bytes[i].data);
		}
	}
}

static void
offset_behind_the_end(void **state)
{
	CkpxRelationView view;
	const char *problem = NULL;
	Size		offset = 1;

	assert_false(ckpx_relation_view_next("", 0, &offset, &view, &problem));
	assert_non_null(problem);
}

/* One relation alone collects the views of many ranges. */
static void
free_standing_relation(void **state)
{
	CkpxRelKey	key = make_key(1663, 5, 16384, MAIN_FORKNUM);
	CkpxRelation relation;
	BlockNumber block;

	ckpx_relation_init(&relation, &key, NULL);
	for (block = 0; block < 50; block++)
	{
		CkpxDirtyTree *tree = ckpx_dirty_tree_create(NULL);
		StringInfoData buf;
		CkpxRelationView view;
		const char *problem;
		Size		offset = 0;

		ckpx_dirty_tree_mark(tree, &key, block * 3000)->counters.records = 1;
		encode(tree, &buf);
		assert_true(ckpx_relation_view_next(buf.data, buf.len, &offset,
											&view, &problem));
		assert_true(ckpx_relation_merge_view(&relation, &view, &problem));
		pfree(buf.data);
		ckpx_dirty_tree_free(tree);
	}
	assert_int_equal(ckpx_block_set_count(&relation.blocks), 50);
	assert_int_equal(relation.counters.records, 50);
	for (block = 0; block < 50; block++)
		assert_true(ckpx_block_set_contains(&relation.blocks, block * 3000));
	ckpx_block_set_reset(&relation.blocks);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_tree),
		cmocka_unit_test(new_relation_is_blank),
		cmocka_unit_test(keys_are_told_apart),
		cmocka_unit_test(pointers_are_stable),
		cmocka_unit_test(create_then_blocks),
		cmocka_unit_test(drop_leaves_a_tombstone),
		cmocka_unit_test(create_blocks_drop),
		cmocka_unit_test(drop_then_create),
		cmocka_unit_test(block_after_drop_clears_dropped),
		cmocka_unit_test(truncate_forgets_and_keeps),
		cmocka_unit_test(forget_the_marked_vm_block),
		cmocka_unit_test(dropped_then_created),
		cmocka_unit_test(dropped_then_blocks_only),
		cmocka_unit_test(dropped_then_truncated),
		cmocka_unit_test(dropped_then_touched_only),
		cmocka_unit_test(written_then_dropped),
		cmocka_unit_test(created_then_dropped),
		cmocka_unit_test(sequence_flag_of_later_row_wins),
		cmocka_unit_test(undurable_is_kept),
		cmocka_unit_test(counters_add_and_saturate),
		cmocka_unit_test(merge_in_wrong_order_loses_a_block),
		cmocka_unit_test(merge_leaves_later_as_it_is),
		cmocka_unit_test(histories_merged_directly),
		cmocka_unit_test(histories_merged_by_bytes),
		cmocka_unit_test(histories_merged_in_groups),
		cmocka_unit_test(direct_and_encoded_are_the_same),
		cmocka_unit_test(wrong_order_is_found_by_histories),
		cmocka_unit_test(encoded_bytes_are_fixed),
		cmocka_unit_test(records_are_in_key_order),
		cmocka_unit_test(truncated_at_each_byte),
		cmocka_unit_test(each_bit_flipped),
		cmocka_unit_test(bad_fields_are_refused),
		cmocka_unit_test(damaged_view_leaves_relation_as_it_is),
		cmocka_unit_test(both_forms_and_limits),
		cmocka_unit_test(offset_behind_the_end),
		cmocka_unit_test(free_standing_relation),
	};

	return cmocka_run_group_tests_name("dirty_tree", tests, NULL, NULL);
}
