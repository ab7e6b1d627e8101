/*
 * Any bytes as the beginning of an incremental file, given as a stream would:
 * rejected, or written again to the same bytes.
 */
#include "bin/common/increment.h"

int			LLVMFuzzerTestOneInput(const uint8 *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8 *data, size_t size)
{
	Increment	increment;
	const char *problem;
	size_t		needed = 0;
	uint64		file_length;
	uint32		nblocks;
	char	   *again;

	/* a length that agrees is not found by chance */
	if (size < 13)
		return 0;
	memcpy(&nblocks, data + 5, sizeof(nblocks));
	file_length = data[0] == 0 ? size - 1 : increment_file_length(nblocks);
	data++;
	size--;
	for (int step = 0; step < 4; step++)
	{
		char	   *copy = malloc(Max(needed, 1));
		bool		ok;

		memcpy(copy, data, needed);
		ok = increment_decode(&increment, copy, needed, file_length, &needed,
							  &problem);
		free(copy);
		if (ok)
			break;
		if (problem != NULL || needed > size)
			return 0;
		if (step == 3)
			abort();
	}
	again = malloc(needed);
	increment_encode(&increment, again);
	if (memcmp(again, data, 12 + 4 * increment.nblocks) != 0 ||
		increment.nblocks > RELSEG_SIZE)
		abort();
	for (uint32 i = 0; i < increment.nblocks; i++)
		if (increment.blocks[i] >= RELSEG_SIZE)
			abort();
	free(again);
	increment_free(&increment);
	return 0;
}
