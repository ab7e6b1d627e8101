/*-------------------------------------------------------------------------
 *
 * dirty_tree.c
 *		Which blocks of which relation forks changed in one range of WAL, how
 *		often, and the flat byte form of such a map.
 *
 * A hash table finds a relation by its key.  Its elements hold the key and a
 * pointer, and relations are allocated one by one, so growing the table moves
 * no relation.  WAL names the same relation many times in a row, so the
 * relation that was asked for last is remembered and looked at first.
 *
 * The DROPPED flag is the answer to "was the last thing that happened to the
 * fork, if anything did, that it was dropped?".  For that to survive merging,
 * a range's row must show whether anything happened: creating, truncating and
 * dropping all leave a limit, writing leaves blocks.  A row without either
 * has nothing to say and leaves an older flag alone.
 *
 *-------------------------------------------------------------------------
 */
#include "core/map/dirty_tree.h"

#include "core/bytes.h"
#ifdef FRONTEND
#include "common/logging.h"		/* simplehash.h reports through it */
#endif

/* Offsets in a relation record; the table in the header has them all. */
#define OFF_LENGTH			0
#define OFF_TABLESPACE		4
#define OFF_DATABASE		8
#define OFF_RELATION		12
#define OFF_FORK			16
#define OFF_LAYER			18
#define OFF_FLAGS			20
#define OFF_LIMIT			24
#define OFF_RESERVED		28
#define OFF_RECORDS			32
#define OFF_WAL_BYTES		40
#define OFF_FPI				48
#define OFF_INSERTED		56
#define OFF_DELETED			64
#define OFF_NBLOCKS			72

#define SMALLEST_ROARING	8
#define FIRST_RELATIONS		64

typedef struct RelationSlot
{
	CkpxRelKey	key;
	CkpxRelation *relation;
	uint32		hash;
	char		status;			/* for simplehash */
} RelationSlot;

/* Mix all bits of the key into the low ones, which choose the bucket. */
static inline uint32
hash_key(CkpxRelKey key)
{
	uint64		h;

	h = ((uint64) key.fork << 32 | key.relation) *
		UINT64CONST(0x9E3779B97F4A7C15);
	h ^= h >> 32;
	h ^= (uint64) key.tablespace << 32 | key.database;
	h *= UINT64CONST(0xD6E8FEB86659FD93);
	h ^= h >> 32;
	h *= UINT64CONST(0xD6E8FEB86659FD93);
	return (uint32) (h >> 32);
}

#define SH_PREFIX			relhash
#define SH_ELEMENT_TYPE		RelationSlot
#define SH_KEY_TYPE			CkpxRelKey
#define SH_KEY				key
#define SH_HASH_KEY(tb, k)	hash_key(k)
#define SH_EQUAL(tb, a, b)	ckpx_rel_key_equal(&(a), &(b))
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a)	(a)->hash
#define SH_SCOPE			static inline
#ifdef FRONTEND
#define SH_RAW_ALLOCATOR	palloc0
#endif
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

struct CkpxDirtyTree
{
	CkpxMemory	mem;
	relhash_hash *relations;
	CkpxRelation *last;			/* asked for last, or NULL */
};

/*
 * The tree
 */

CkpxDirtyTree *
ckpx_dirty_tree_create(CkpxMemory mem)
{
	CkpxDirtyTree *tree = ckpx_alloc0(mem, sizeof(CkpxDirtyTree));

	tree->mem = mem;
#ifdef FRONTEND
	tree->relations = relhash_create(FIRST_RELATIONS, NULL);
#else
	tree->relations = relhash_create(mem, FIRST_RELATIONS, NULL);
#endif
	return tree;
}

void
ckpx_dirty_tree_free(CkpxDirtyTree *tree)
{
	relhash_iterator it;
	RelationSlot *slot;

	relhash_start_iterate(tree->relations, &it);
	while ((slot = relhash_iterate(tree->relations, &it)) != NULL)
	{
		ckpx_block_set_reset(&slot->relation->blocks);
		pfree(slot->relation);
	}
	relhash_destroy(tree->relations);
	pfree(tree);
}

void
ckpx_relation_init(CkpxRelation *relation, const CkpxRelKey *key,
				   CkpxMemory mem)
{
	memset(relation, 0, sizeof(CkpxRelation));
	relation->key = *key;
	relation->last_vm_block = InvalidBlockNumber;
	ckpx_block_set_init(&relation->blocks, mem);
}

CkpxRelation *
ckpx_dirty_tree_get(CkpxDirtyTree *tree, const CkpxRelKey *key)
{
	RelationSlot *slot;
	CkpxRelation *relation;
	bool		found;

	if (tree->last != NULL && ckpx_rel_key_equal(&tree->last->key, key))
		return tree->last;

	slot = relhash_lookup(tree->relations, *key);
	if (slot != NULL)
		relation = slot->relation;
	else
	{
		/* Allocate first: a slot without a relation must never be seen. */
		relation = ckpx_alloc(tree->mem, sizeof(CkpxRelation));
		ckpx_relation_init(relation, key, tree->mem);
		slot = relhash_insert(tree->relations, *key, &found);
		Assert(!found);
		slot->relation = relation;
	}

	tree->last = relation;
	return relation;
}

CkpxRelation *
ckpx_dirty_tree_find(const CkpxDirtyTree *tree, const CkpxRelKey *key)
{
	RelationSlot *slot;

	if (tree->last != NULL && ckpx_rel_key_equal(&tree->last->key, key))
		return tree->last;
	slot = relhash_lookup(tree->relations, *key);
	return slot != NULL ? slot->relation : NULL;
}

CkpxRelation *
ckpx_dirty_tree_mark(CkpxDirtyTree *tree, const CkpxRelKey *key,
					 BlockNumber block)
{
	CkpxRelation *relation = ckpx_dirty_tree_get(tree, key);

	relation->flags &= ~CKPX_REL_DROPPED;
	(void) ckpx_block_set_add(&relation->blocks, block);
	return relation;
}

void
ckpx_dirty_tree_create_fork(CkpxDirtyTree *tree, const CkpxRelKey *key)
{
	CkpxRelation *relation = ckpx_dirty_tree_get(tree, key);

	relation->flags &= ~CKPX_REL_DROPPED;
	relation->flags |= CKPX_REL_CREATED;
	ckpx_block_set_set_limit(&relation->blocks, 0);
	relation->last_vm_block = InvalidBlockNumber;
}

void
ckpx_dirty_tree_truncate_fork(CkpxDirtyTree *tree, const CkpxRelKey *key,
							  BlockNumber length)
{
	CkpxRelation *relation = ckpx_dirty_tree_get(tree, key);

	relation->flags &= ~CKPX_REL_DROPPED;
	ckpx_block_set_set_limit(&relation->blocks, length);
	relation->last_vm_block = InvalidBlockNumber;
}

void
ckpx_dirty_tree_drop_fork(CkpxDirtyTree *tree, const CkpxRelKey *key)
{
	CkpxRelation *relation = ckpx_dirty_tree_get(tree, key);

	relation->flags |= CKPX_REL_DROPPED;
	ckpx_block_set_set_limit(&relation->blocks, 0);
	relation->last_vm_block = InvalidBlockNumber;
}

static int
compare_relations(const void *a, const void *b)
{
	return ckpx_rel_key_compare(&(*(CkpxRelation *const *) a)->key,
								&(*(CkpxRelation *const *) b)->key);
}

CkpxRelation **
ckpx_dirty_tree_sorted(const CkpxDirtyTree *tree, uint32 *count)
{
	uint32		n = tree->relations->members;
	CkpxRelation **sorted;
	relhash_iterator it;
	RelationSlot *slot;
	uint32		i = 0;

	sorted = ckpx_alloc(tree->mem, Max(n, 1) * sizeof(CkpxRelation *));
	relhash_start_iterate(tree->relations, &it);
	while ((slot = relhash_iterate(tree->relations, &it)) != NULL)
		sorted[i++] = slot->relation;
	Assert(i == n);
	qsort(sorted, n, sizeof(CkpxRelation *), compare_relations);

	*count = n;
	return sorted;
}

/*
 * Merging
 */

static uint64
add_saturated(uint64 a, uint64 b)
{
	return a > PG_UINT64_MAX - b ? PG_UINT64_MAX : a + b;
}

/* A relation that lists blocks exists, whatever the flag says. */
static uint32
honest_flags(uint32 flags, bool has_blocks)
{
	return has_blocks ? flags & ~CKPX_REL_DROPPED : flags;
}

/*
 * Append everything but the blocks and the limit of a later range's row.
 * 'later_exists' tells whether that row has a limit or blocks.
 */
static void
merge_attributes(CkpxRelation *relation, uint32 later_flags,
				 bool later_exists, const CkpxRelCounters *later)
{
	CkpxRelCounters *counters = &relation->counters;

	if (later_flags & CKPX_REL_DROPPED)
		relation->flags |= CKPX_REL_DROPPED;
	else if (later_exists || (later_flags & CKPX_REL_CREATED))
		relation->flags &= ~CKPX_REL_DROPPED;

	relation->flags &= ~CKPX_REL_SEQUENCE;
	relation->flags |= later_flags & (CKPX_REL_SEQUENCE | CKPX_REL_CREATED |
									  CKPX_REL_UNDURABLE);

	counters->records = add_saturated(counters->records, later->records);
	counters->wal_bytes = add_saturated(counters->wal_bytes,
										later->wal_bytes);
	counters->fpi = add_saturated(counters->fpi, later->fpi);
	counters->tuples_inserted = add_saturated(counters->tuples_inserted,
											  later->tuples_inserted);
	counters->tuples_deleted = add_saturated(counters->tuples_deleted,
											 later->tuples_deleted);

	/* The shortcut speaks of a set that is about to change. */
	relation->last_vm_block = InvalidBlockNumber;
}

void
ckpx_relation_merge(CkpxRelation *relation, const CkpxRelation *later)
{
	bool		has_blocks = later->blocks.nchunks > 0;
	bool		has_limit = later->blocks.limit_block != InvalidBlockNumber;

	Assert(relation != later);

	/* A block of ours that was marked after a drop outlives the flag. */
	relation->flags = honest_flags(relation->flags,
								   relation->blocks.nchunks > 0);
	merge_attributes(relation, honest_flags(later->flags, has_blocks),
					 has_blocks || has_limit, &later->counters);
	ckpx_block_set_merge(&relation->blocks, &later->blocks);
}

bool
ckpx_relation_merge_view(CkpxRelation *relation, const CkpxRelationView *view,
						 const char **problem)
{
	CkpxBlockSet later;
	bool		has_blocks;
	bool		has_limit = view->limit_block != InvalidBlockNumber;

	/* Read the blocks apart, so that damage leaves the relation as it is. */
	ckpx_block_set_init(&later, relation->blocks.mem);
	if (!ckpx_block_set_deserialize(&later, view->roaring,
									view->roaring_length, problem))
	{
		ckpx_block_set_reset(&later);
		return false;
	}
	if (ckpx_block_set_count(&later) != view->nblocks)
	{
		ckpx_block_set_reset(&later);
		*problem = "relation record has a wrong number of blocks";
		return false;
	}

	has_blocks = later.nchunks > 0;
	relation->flags = honest_flags(relation->flags,
								   relation->blocks.nchunks > 0);
	merge_attributes(relation, honest_flags(view->flags, has_blocks),
					 has_blocks || has_limit, &view->counters);

	/* The limit first, see ckpx_block_set_merge(). */
	ckpx_block_set_set_limit(&relation->blocks, view->limit_block);
	if (relation->blocks.nchunks == 0)
	{
		later.limit_block = relation->blocks.limit_block;
		ckpx_block_set_reset(&relation->blocks);
		relation->blocks = later;
	}
	else
	{
		ckpx_block_set_union(&relation->blocks, &later);
		ckpx_block_set_reset(&later);
	}
	return true;
}

bool
ckpx_dirty_tree_merge_view(CkpxDirtyTree *tree, const CkpxRelationView *view,
						   const char **problem)
{
	return ckpx_relation_merge_view(ckpx_dirty_tree_get(tree, &view->key),
									view, problem);
}

bool
ckpx_relation_is_blank(const CkpxRelation *relation)
{
	const CkpxRelCounters *counters = &relation->counters;

	return relation->blocks.nchunks == 0 &&
		relation->blocks.limit_block == InvalidBlockNumber &&
		relation->flags == 0 && counters->records == 0 &&
		counters->wal_bytes == 0 && counters->fpi == 0 &&
		counters->tuples_inserted == 0 && counters->tuples_deleted == 0;
}

bool
ckpx_relation_prepend_view(CkpxRelation *relation,
						   const CkpxRelationView *view, const char **problem)
{
	CkpxRelation earlier;
	BlockNumber limit;
	bool		has_blocks = relation->blocks.nchunks > 0;
	bool		has_limit = relation->blocks.limit_block != InvalidBlockNumber;

	ckpx_relation_init(&earlier, &relation->key, relation->blocks.mem);
	if (!ckpx_relation_merge_view(&earlier, view, problem))
		return false;

	if (!ckpx_relation_is_blank(relation))
		merge_attributes(&earlier, honest_flags(relation->flags, has_blocks),
						 has_blocks || has_limit, &relation->counters);
	relation->flags = earlier.flags;
	relation->counters = earlier.counters;
	relation->last_vm_block = InvalidBlockNumber;

	/*
	 * Our limit forgets earlier blocks; an earlier limit forgets none of
	 * ours, so it must not be set in the ordinary way.
	 */
	limit = Min(earlier.blocks.limit_block, relation->blocks.limit_block);
	ckpx_block_set_set_limit(&earlier.blocks, relation->blocks.limit_block);
	if (has_blocks)
	{
		ckpx_block_set_union(&relation->blocks, &earlier.blocks);
		ckpx_block_set_reset(&earlier.blocks);
	}
	else
	{
		ckpx_block_set_reset(&relation->blocks);
		relation->blocks = earlier.blocks;
	}
	relation->blocks.limit_block = limit;
	return true;
}

bool
ckpx_dirty_tree_prepend_view(CkpxDirtyTree *tree,
							 const CkpxRelationView *view,
							 const char **problem)
{
	return ckpx_relation_prepend_view(ckpx_dirty_tree_get(tree, &view->key),
									  view, problem);
}

bool
ckpx_dirty_tree_merge_bytes(CkpxDirtyTree *tree, const char *bytes,
							Size length, const char **problem)
{
	Size		offset = 0;
	CkpxRelationView view;

	while (ckpx_relation_view_next(bytes, length, &offset, &view, problem))
	{
		if (!ckpx_dirty_tree_merge_view(tree, &view, problem))
			return false;
	}
	return *problem == NULL;
}

/*
 * The byte form
 */

Size
ckpx_relation_encoded_size(const CkpxRelation *relation)
{
	return CKPX_RELATION_HEADER_BYTES +
		ckpx_block_set_serialized_size(&relation->blocks);
}

void
ckpx_relation_encode(StringInfo buf, const CkpxRelation *relation,
					 uint32 layer, bool packed)
{
	Size		size = ckpx_relation_encoded_size(relation);
	uint32		flags = honest_flags(relation->flags,
									 relation->blocks.nchunks > 0);
	char	   *record;

	enlargeStringInfo(buf, (int) size);
	record = buf->data + buf->len;

	ckpx_put_u32(record + OFF_TABLESPACE, relation->key.tablespace);
	ckpx_put_u32(record + OFF_DATABASE, relation->key.database);
	ckpx_put_u32(record + OFF_RELATION, relation->key.relation);
	ckpx_put_u16(record + OFF_FORK, (uint16) relation->key.fork);
	ckpx_put_u16(record + OFF_LAYER, (uint16) layer);
	ckpx_put_u32(record + OFF_FLAGS, flags);
	ckpx_put_u32(record + OFF_LIMIT, relation->blocks.limit_block);
	ckpx_put_u32(record + OFF_RESERVED, PG_UINT32_MAX);
	ckpx_put_u64(record + OFF_RECORDS, relation->counters.records);
	ckpx_put_u64(record + OFF_WAL_BYTES, relation->counters.wal_bytes);
	ckpx_put_u64(record + OFF_FPI, relation->counters.fpi);
	ckpx_put_u64(record + OFF_INSERTED, relation->counters.tuples_inserted);
	ckpx_put_u64(record + OFF_DELETED, relation->counters.tuples_deleted);
	ckpx_put_u64(record + OFF_NBLOCKS,
				 ckpx_block_set_count(&relation->blocks));

	size = CKPX_RELATION_HEADER_BYTES;
	if (packed)
		size += ckpx_block_set_pack(&relation->blocks, record + size);
	else
		size += ckpx_block_set_serialize(&relation->blocks, record + size);
	ckpx_put_u32(record + OFF_LENGTH, (uint32) size);

	buf->len += (int) size;
	buf->data[buf->len] = '\0'; /* as every StringInfo ends */
}

bool
ckpx_relation_view_next(const char *bytes, Size length, Size *offset,
						CkpxRelationView *view, const char **problem)
{
	const char *record;
	uint32		size;

	*problem = NULL;
	if (*offset == length)
		return false;
	if (*offset > length || length - *offset < CKPX_RELATION_HEADER_BYTES)
		return ckpx_damaged(problem, "relation record is truncated");

	record = bytes + *offset;
	size = ckpx_get_u32(record + OFF_LENGTH);
	if (size < CKPX_RELATION_HEADER_BYTES + SMALLEST_ROARING)
		return ckpx_damaged(problem, "relation record is too short");
	if (size > length - *offset)
		return ckpx_damaged(problem, "relation record is truncated");

	view->key.tablespace = ckpx_get_u32(record + OFF_TABLESPACE);
	view->key.database = ckpx_get_u32(record + OFF_DATABASE);
	view->key.relation = ckpx_get_u32(record + OFF_RELATION);
	view->key.fork = ckpx_get_u16(record + OFF_FORK);
	view->layer = ckpx_get_u16(record + OFF_LAYER);
	view->flags = ckpx_get_u32(record + OFF_FLAGS);
	view->limit_block = ckpx_get_u32(record + OFF_LIMIT);
	view->counters.records = ckpx_get_u64(record + OFF_RECORDS);
	view->counters.wal_bytes = ckpx_get_u64(record + OFF_WAL_BYTES);
	view->counters.fpi = ckpx_get_u64(record + OFF_FPI);
	view->counters.tuples_inserted = ckpx_get_u64(record + OFF_INSERTED);
	view->counters.tuples_deleted = ckpx_get_u64(record + OFF_DELETED);
	view->nblocks = ckpx_get_u64(record + OFF_NBLOCKS);
	view->roaring = record + CKPX_RELATION_HEADER_BYTES;
	view->roaring_length = size - CKPX_RELATION_HEADER_BYTES;

	if (view->key.fork > (uint32) INIT_FORKNUM)
		return ckpx_damaged(problem, "relation record has an unknown fork");
	if (view->key.relation == CKPX_DATABASE_WIDE &&
		view->key.fork != (uint32) MAIN_FORKNUM)
		return ckpx_damaged(problem, "database-wide record has a fork");
	if (view->flags & ~(uint32) CKPX_REL_FLAGS_KNOWN)
		return ckpx_damaged(problem, "relation record has unknown flags");
	if (view->nblocks > CKPX_MAX_BLOCKS)
		return ckpx_damaged(problem, "relation record has too many blocks");

	*offset += size;
	return true;
}
