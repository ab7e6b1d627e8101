/*-------------------------------------------------------------------------
 *
 * ckpx_headers.c
 *		The flusher's walks over the buffer headers, callable, so that a
 *		benchmark can take their time.
 *
 * Nothing is written.  The functions are found in the preloaded library, so
 * this works where a library's symbols are visible to others: up to 15.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "fmgr.h"
#include "server/flush/buffers.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(ckpx_headers_count);
PG_FUNCTION_INFO_V1(ckpx_headers_find);

Datum
ckpx_headers_count(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64((int64) ckpx_dirty_buffers_count(NULL, 0));
}

static bool
want_all(void *arg, const CkpxRelKey *key, BlockNumber block)
{
	return true;
}

Datum
ckpx_headers_find(PG_FUNCTION_ARGS)
{
	CkpxDirtyBuffers found;

	ckpx_dirty_buffers_find(&found, want_all, NULL);
	PG_RETURN_INT64(found.count);
}
