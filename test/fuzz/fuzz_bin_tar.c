/*
 * Any bytes as an archive, plain or zstd by the first byte, given out in
 * pieces: every member has a name that can be used, and its size in bytes.
 */
#include "bin/common/paths.h"
#include "bin/common/tar.h"

int			LLVMFuzzerTestOneInput(const uint8 *data, size_t size);

typedef struct Input
{
	const uint8 *data;
	size_t		left;
	size_t		step;
} Input;

static ssize_t
give(void *arg, char *buffer, size_t length)
{
	Input	   *input = arg;
	size_t		n = Min(Min(length, input->step), input->left);

	memcpy(buffer, input->data, n);
	input->data += n;
	input->left -= n;
	return n;
}

int
LLVMFuzzerTestOneInput(const uint8 *data, size_t size)
{
	Input		input;
	TarReader  *reader;
	TarMember	member;
	char	   *problem = NULL;
	char		piece[1024];
	uint64		total = 0;

	if (size == 0)
		return 0;
	input.data = data + 1;
	input.left = size - 1;
	input.step = 1 + (data[0] >> 1) * 7;
	reader = tar_open(give, &input, (data[0] & 1) != 0);
	while (problem == NULL && total < 64 * 1024 * 1024 &&
		   tar_next(reader, &member, &problem))
	{
		uint64		left = member.size;
		ssize_t		n;

		if (path_check(member.name) != NULL ||
			(member.type != TAR_FILE && member.size != 0) ||
			(member.type == TAR_SYMLINK) != (member.link[0] != '\0'))
			abort();
		while (total < 64 * 1024 * 1024 &&
			   (n = tar_read(reader, piece, sizeof(piece), &problem)) > 0)
		{
			left -= n;
			total += n;
		}
		if (problem == NULL && left != 0 && total < 64 * 1024 * 1024)
			abort();
	}
	free(problem);
	tar_close(reader);
	return 0;
}
