/*-------------------------------------------------------------------------
 *
 * test_folder.h
 *		A folder for each unit test: set up, torn down, opened.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_TEST_FOLDER_H
#define CKPX_TEST_FOLDER_H

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* Its path becomes *state. */
static int
make_root(void **state)
{
	char	   *path = strdup("/tmp/ckpx-unit-XXXXXX");

	*state = path;
	return mkdtemp(path) == NULL;
}

static int
remove_root(void **state)
{
	char		command[MAXPGPATH];

	snprintf(command, sizeof(command), "rm -rf '%s'", (char *) *state);
	free(*state);
	return system(command);
}

static inline int
open_root(void **state)
{
	int			root = open(*state, O_RDONLY | O_DIRECTORY);

	assert_true(root >= 0);
	return root;
}

#endif							/* CKPX_TEST_FOLDER_H */
