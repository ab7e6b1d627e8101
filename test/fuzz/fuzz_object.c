/*
 * Any bytes as an object file: rejected, or read to its end, and then the key
 * that was seen last is found again, with the same blocks.
 */
#include "core/format/object_format.h"

int			LLVMFuzzerTestOneInput(const uint8 *data, size_t size);

typedef struct Input
{
	const uint8 *data;
	size_t		size;
} Input;

static bool
read_input(void *arg, uint64 offset, char *bytes, Size length)
{
	Input	   *input = arg;

	if (offset > input->size || length > input->size - offset)
		return false;
	memcpy(bytes, input->data + offset, length);
	return true;
}

/* Are limit and blocks the same?  Takes the blocks of 'a'. */
static bool
same_blocks(CkpxBlockSet *a, const CkpxBlockSet *b)
{
	if (a->limit_block != b->limit_block ||
		ckpx_block_set_count(a) != ckpx_block_set_count(b))
		return false;
	ckpx_block_set_subtract(a, b);
	return ckpx_block_set_count(a) == 0;
}

int
LLVMFuzzerTestOneInput(const uint8 *data, size_t size)
{
	Input		input = {data, size};
	CkpxObjectReader *reader;
	const CkpxObjectHeader *header;
	CkpxRelationView view;
	CkpxRelation last = {0};
	bool		any = false;
	bool		broken = false;
	const char *problem = NULL;

	reader = ckpx_object_open(CKPX_CURRENT_MEMORY, read_input, &input, size,
							  &problem);
	if (reader == NULL)
	{
		if (problem == NULL)
			abort();
		return 0;
	}
	header = ckpx_object_header(reader);
	for (uint32 i = 0; i < header->nmarks; i++)
	{
		if (ckpx_marks_find(header->marks, header->nmarks,
							header->marks[i].lsn) != i)
			abort();
	}
	while (ckpx_object_next(reader, &view, &problem))
	{
		if (!any || !ckpx_rel_key_equal(&last.key, &view.key))
		{
			if (any)
				ckpx_block_set_reset(&last.blocks);
			ckpx_relation_init(&last, &view.key, CKPX_CURRENT_MEMORY);
			any = true;
		}
		if (!ckpx_relation_prepend_view(&last, &view, &problem))
			broken = true;
	}
	if (any)
	{
		CkpxRelation relation;
		bool		found = false;

		broken |= problem != NULL;
		ckpx_relation_init(&relation, &last.key, CKPX_CURRENT_MEMORY);
		if (ckpx_object_find(reader, &last.key, InvalidXLogRecPtr, &relation,
							 &found, &problem))
		{
			if (!found || (!broken && !same_blocks(&relation.blocks,
												   &last.blocks)))
				abort();
		}
		else if (!broken)
			abort();
		ckpx_block_set_reset(&relation.blocks);
		ckpx_block_set_reset(&last.blocks);
	}
	ckpx_object_close(reader);
	return 0;
}
