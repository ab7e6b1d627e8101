/*
 * Any bytes as backup_label: rejected with a reason, or it is the same without
 * the lines of an increment but for what they said.
 */
#include "bin/common/label.h"

int			LLVMFuzzerTestOneInput(const uint8 *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8 *data, size_t size)
{
	char	   *copy = malloc(size + 1);
	BackupLabel label;
	BackupLabel again;
	const char *problem = NULL;

	memcpy(copy, data, size);
	copy[size] = '\0';
	if (label_parse(&label, copy, size, &problem))
	{
		char	   *text = label_without_increment(copy);

		if (!label_parse(&again, text, strlen(text), &problem) ||
			again.incremental_lsn != InvalidXLogRecPtr)
			abort();
		again.incremental_lsn = label.incremental_lsn;
		again.incremental_tli = label.incremental_tli;
		if (memcmp(&label, &again, sizeof(label)) != 0)
			abort();
		free(text);
		text = label_format(copy, InvalidXLogRecPtr, 0, NULL);
		if (strcmp(text, copy) != 0)
			abort();
		free(text);
	}
	else if (problem == NULL)
		abort();
	free(copy);
	return 0;
}
