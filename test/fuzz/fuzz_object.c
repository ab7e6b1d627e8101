/*
 * Any bytes as an object file: rejected, or read to its end, and then every
 * key that was seen is found again.
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

int
LLVMFuzzerTestOneInput(const uint8 *data, size_t size)
{
	Input		input = {data, size};
	CkpxObjectReader *reader;
	const CkpxObjectHeader *header;
	CkpxRelationView view;
	CkpxRelKey	last = {0};
	bool		any = false;
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
		CkpxRelation relation;

		ckpx_relation_init(&relation, &view.key, CKPX_CURRENT_MEMORY);
		(void) ckpx_relation_merge_view(&relation, &view, &problem);
		ckpx_block_set_reset(&relation.blocks);
		problem = NULL;
		last = view.key;
		any = true;
	}
	if (any)
	{
		CkpxRelation relation;
		bool		found = false;

		ckpx_relation_init(&relation, &last, CKPX_CURRENT_MEMORY);
		if (ckpx_object_find(reader, &last, InvalidXLogRecPtr, &relation, &found, &problem) &&
			!found)
			abort();
		ckpx_block_set_reset(&relation.blocks);
	}
	ckpx_object_close(reader);
	return 0;
}
