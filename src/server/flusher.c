/*-------------------------------------------------------------------------
 *
 * flusher.c
 *		The step of the ckpx flusher.
 *
 * PostgreSQL's own checkpoints are the source of durability so far, so the
 * dirty queue has no producer and there is nothing to write.
 *
 *-------------------------------------------------------------------------
 */
#include "server/compat.h"

#include "server/workers.h"

#define CKPX_FLUSHER_IDLE_MS	60000

long
ckpx_flusher_step(void)
{
	ckpx_worker_healthy(CKPX_WORKER_FLUSHER);
	return CKPX_FLUSHER_IDLE_MS;
}
