/*-------------------------------------------------------------------------
 *
 * object_parts.c
 *		A checkpoint object read through all its parts as one.
 *
 * Within a part its reader sees to the order of keys, to totals, and to all
 * else that one file can be judged by.
 *
 *-------------------------------------------------------------------------
 */
#include "core/format/object_parts.h"

#define FIRST_PARTS			4

void
ckpx_object_parts_init(CkpxObjectParts *parts, CkpxMemory mem)
{
	memset(parts, 0, sizeof(CkpxObjectParts));
	parts->mem = mem;
	parts->readers = ckpx_alloc(mem, sizeof(CkpxObjectReader *) * FIRST_PARTS);
}

/* Does a part's header say what is expected?  NULL, or what is wrong. */
static const char *
header_problem(const CkpxObjectHeader *header, const CkpxEntry *expected,
			   uint32 part)
{
	if (header->kind != expected->kind)
		return "it is an object of another kind";
	if (header->range.epoch != expected->range.epoch)
		return "it is of another epoch";
	if (header->range.timeline != expected->range.timeline)
		return "it is of another timeline";
	if (header->range.start_lsn != expected->range.start_lsn ||
		header->range.end_lsn != expected->range.end_lsn)
		return "it is of another range";
	if (header->part != part)
		return "it is another part";
	if (expected->version != 0 && header->version != expected->version)
		return "it has another format version than its entry";
	return NULL;
}

/* Every header but its part number comes from one writing. */
static const char *
siblings_problem(const CkpxObjectHeader *a, const CkpxObjectHeader *b)
{
	if (a->written_at != b->written_at ||
		a->range.created_at != b->range.created_at ||
		a->identity.node_id != b->identity.node_id ||
		a->range.last_record.start != b->range.last_record.start ||
		a->range.last_record.crc != b->range.last_record.crc ||
		a->range.last_change_lsn != b->range.last_change_lsn)
		return "it was not written together with the first part";
	return NULL;
}

bool
ckpx_object_parts_add(CkpxObjectParts *parts, CkpxObjectReader *reader,
					  uint64 size, const CkpxEntry *expected,
					  const char **problem)
{
	const CkpxObjectHeader *header = ckpx_object_header(reader);
	uint32		part = parts->nparts;

	/* Room is doubled where the number of parts is a power of two. */
	if (part >= FIRST_PARTS && (part & (part - 1)) == 0)
		parts->readers = repalloc(parts->readers,
								  sizeof(CkpxObjectReader *) * part * 2);
	parts->readers[parts->nparts++] = reader;
	parts->size_bytes += size;
	parts->last = part;

	*problem = header_problem(header, expected, part);
	if (*problem == NULL && part > 0)
		*problem = siblings_problem(ckpx_object_header(parts->readers[0]),
									header);
	return *problem == NULL;
}

const char *
ckpx_identity_problem(const CkpxIdentity *found, const CkpxIdentity *own)
{
	if (found->system_identifier != own->system_identifier)
		return "it belongs to another cluster";
	if (found->pg_major != own->pg_major)
		return "it belongs to another major version of PostgreSQL";
	if (found->block_size != own->block_size ||
		found->segment_blocks != own->segment_blocks)
		return "it was written with another block or segment size";
	return NULL;
}

const CkpxObjectHeader *
ckpx_object_parts_header(const CkpxObjectParts *parts)
{
	return ckpx_object_header(parts->readers[0]);
}

XLogRecPtr
ckpx_object_parts_tombstones_from(const CkpxObjectParts *parts)
{
	XLogRecPtr	lsn = InvalidXLogRecPtr;

	for (uint32 i = 0; i < parts->nparts; i++)
		lsn = Max(lsn, ckpx_object_totals(parts->readers[i])->tombstones_from);
	return lsn;
}

void
ckpx_object_parts_describe(const CkpxObjectParts *parts, CkpxEntry *entry)
{
	const CkpxObjectHeader *header = ckpx_object_parts_header(parts);

	memset(entry, 0, sizeof(CkpxEntry));
	entry->kind = header->kind;
	entry->state = CKPX_ENTRY_FINISHED;
	entry->range = header->range;
	entry->version = header->version;
	entry->open_xacts = header->nopen_xacts;
	entry->finished_at = header->written_at;
	entry->nparts = parts->nparts;
	entry->size_bytes = parts->size_bytes;
	for (uint32 i = 0; i < parts->nparts; i++)
	{
		const CkpxObjectTotals *totals = ckpx_object_totals(parts->readers[i]);

		entry->nrelations += totals->nrelations;
		entry->nblocks += totals->nblocks;
		entry->undurable += totals->undurable;
	}
	entry->tombstones_from = ckpx_object_parts_tombstones_from(parts);
}

static void
go_to_next_part(CkpxObjectParts *parts)
{
	parts->current++;
	parts->part_begun = false;
}

bool
ckpx_object_parts_next(CkpxObjectParts *parts, CkpxRelationView *view,
					   const char **problem)
{
	*problem = NULL;
	while (parts->current < parts->nparts)
	{
		parts->last = parts->current;
		if (ckpx_object_next(parts->readers[parts->current], view, problem))
		{
			if (!parts->part_begun && parts->any_key &&
				ckpx_rel_key_compare(&parts->last_key, &view->key) >= 0)
				return ckpx_damaged(problem, "its relations do not continue those of the part before it");
			parts->part_begun = true;
			parts->any_key = true;
			parts->last_key = view->key;
			return true;
		}
		if (*problem != NULL)
			return false;
		go_to_next_part(parts);
	}
	return false;
}

/*
 * At the end of a part _next is asked all the same: that is where its totals
 * are verified.
 */
bool
ckpx_object_parts_peek(CkpxObjectParts *parts, CkpxRelKey *key,
					   const char **problem)
{
	*problem = NULL;
	while (parts->current < parts->nparts)
	{
		CkpxObjectReader *reader = parts->readers[parts->current];
		CkpxRelationView view;

		parts->last = parts->current;
		if (ckpx_object_peek(reader, key))
			return true;
		if (ckpx_object_next(reader, &view, problem))
			*problem = "a record came from nowhere";
		if (*problem != NULL)
			return false;
		go_to_next_part(parts);
	}
	return false;
}

/*
 * Every part is asked: that costs no reading where the key lies outside it,
 * and nothing can be missed.
 */
bool
ckpx_object_parts_find(CkpxObjectParts *parts, const CkpxRelKey *key,
					   XLogRecPtr lsn, CkpxRelation *relation, bool *found,
					   const char **problem)
{
	*found = false;
	for (uint32 i = 0; i < parts->nparts; i++)
	{
		bool		here = false;

		parts->last = i;
		if (!ckpx_object_find(parts->readers[i], key, lsn, relation, &here,
							  problem))
			return false;
		*found = *found || here;
	}
	return true;
}

bool
ckpx_object_parts_append(const CkpxObjectParts *parts,
						 const CkpxRelationView *view, XLogRecPtr lsn,
						 CkpxDirtyTree *tree, const char **problem)
{
	const CkpxObjectHeader *header = ckpx_object_parts_header(parts);

	if (header->nlayers == 0)
		return ckpx_dirty_tree_merge_view(tree, view, problem);
	if (view->layer >= ckpx_layers_since(header->layers, header->nlayers, lsn))
		return true;
	return ckpx_dirty_tree_prepend_view(tree, view, problem);
}

void
ckpx_object_parts_close(CkpxObjectParts *parts)
{
	for (uint32 i = 0; i < parts->nparts; i++)
		ckpx_object_close(parts->readers[i]);
	pfree(parts->readers);
	parts->nparts = 0;
}
