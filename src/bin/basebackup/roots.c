/*-------------------------------------------------------------------------
 *
 * roots.c
 *		The directories or archives that a backup consists of.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/basebackup/roots.h"

int
output_root(const Output *output, const char *path, const char **rest)
{
	for (int i = 1; i < output->nroots; i++)
	{
		const OutputRoot *root = &output->roots[i];

		if (strncmp(path, root->prefix, root->prefix_length) == 0)
		{
			*rest = path + root->prefix_length;
			return i;
		}
	}
	*rest = path;
	return 0;
}
