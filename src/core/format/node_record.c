/*-------------------------------------------------------------------------
 *
 * node_record.c
 *		The text of the node file, and the comparison of directories.
 *
 * A few lines that a person can read, closed by a checksum.  Reading accepts
 * just what writing writes: the numbers are taken out, and the text made of
 * them must be the same.
 *
 *-------------------------------------------------------------------------
 */
#include "core/format/node_record.h"

#include "core/bytes.h"

#define NODE_RECORD_FORMAT \
	"ckpx node 1\nid %016llX\ninode %016llX\nbirth %016llX\ndevice %016llX\n"
#define NODE_RECORD_SCAN \
	"ckpx node 1\nid %16llX\ninode %16llX\nbirth %16llX\ndevice %16llX\n"

int
ckpx_node_record_encode(char *text, const CkpxNodeRecord *record)
{
	int			length;

	length = snprintf(text, CKPX_NODE_RECORD_MAX, NODE_RECORD_FORMAT,
					  (unsigned long long) record->node_id,
					  (unsigned long long) record->inode,
					  (unsigned long long) record->birth_ns,
					  (unsigned long long) record->device);
	return length + snprintf(text + length, CKPX_NODE_RECORD_MAX - length,
							 "crc %08X\n", ckpx_crc(text, length));
}

bool
ckpx_node_record_decode(CkpxNodeRecord *record, const char *text)
{
	char		rebuilt[CKPX_NODE_RECORD_MAX];
	unsigned long long numbers[4];

	if (sscanf(text, NODE_RECORD_SCAN, &numbers[0], &numbers[1], &numbers[2],
			   &numbers[3]) != 4)
		return false;
	record->node_id = numbers[0];
	record->inode = numbers[1];
	record->birth_ns = (int64) numbers[2];
	record->device = numbers[3];
	(void) ckpx_node_record_encode(rebuilt, record);
	return strcmp(text, rebuilt) == 0 && record->node_id != 0;
}

bool
ckpx_node_record_fits(const CkpxNodeRecord *record, const CkpxNodeRecord *seen)
{
	if (record->inode != seen->inode)
		return false;
	return record->birth_ns == seen->birth_ns ||
		record->birth_ns == 0 || seen->birth_ns == 0;
}
