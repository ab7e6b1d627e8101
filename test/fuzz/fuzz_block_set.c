/*
 * Any bytes as a block set: rejected, or a set that serializes to the same
 * blocks again, packed or not, whatever is done to it in between.
 */
#include "core/map/block_set.h"

int			LLVMFuzzerTestOneInput(const uint8 *data, size_t size);

/* Do the bytes hold exactly the blocks of 'set'? */
static void
check_bytes(const CkpxBlockSet *set, const char *bytes, Size length)
{
	CkpxBlockSet again;
	const char *problem = NULL;

	ckpx_block_set_init(&again, CKPX_CURRENT_MEMORY);
	if (!ckpx_block_set_deserialize(&again, bytes, length, &problem) ||
		ckpx_block_set_count(&again) != ckpx_block_set_count(set))
		abort();
	ckpx_block_set_subtract(&again, set);
	if (ckpx_block_set_count(&again) != 0)
		abort();
	ckpx_block_set_reset(&again);
}

int
LLVMFuzzerTestOneInput(const uint8 *data, size_t size)
{
	CkpxBlockSet set;
	CkpxBlockSetIterator it;
	const char *problem = NULL;
	uint64		count = 0;
	BlockNumber start;
	BlockNumber end;

	ckpx_block_set_init(&set, CKPX_CURRENT_MEMORY);
	if (ckpx_block_set_deserialize(&set, (const char *) data, size, &problem))
	{
		Size		length = ckpx_block_set_serialized_size(&set);
		char	   *bytes = palloc(length);

		ckpx_block_set_iterate(&it, &set, 0);
		while (ckpx_block_set_next_range(&it, &start, &end))
		{
			if (start >= end)
				abort();
			count += end - start;
		}
		if (count != ckpx_block_set_count(&set))
			abort();
		if (ckpx_block_set_serialize(&set, bytes) != length)
			abort();
		check_bytes(&set, bytes, length);
		if (ckpx_block_set_pack(&set, bytes) > length)
			abort();
		check_bytes(&set, bytes, ckpx_block_set_pack(&set, bytes));
		pfree(bytes);

		/* Truncating to any length forgets what lies behind it. */
		if (size > 4)
		{
			memcpy(&start, data + size - 4, 4);
			ckpx_block_set_set_limit(&set, start);
			ckpx_block_set_iterate(&it, &set, start);
			if (start != InvalidBlockNumber &&
				ckpx_block_set_next(&it, &end))
				abort();
		}
	}
	else if (problem == NULL)
		abort();
	ckpx_block_set_reset(&set);
	return 0;
}
