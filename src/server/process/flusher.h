/*-------------------------------------------------------------------------
 *
 * flusher.h
 *		The ckpx flusher, which joins what is in flush/.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_FLUSHER_H
#define CKPX_FLUSHER_H

/* One step of the flusher, see workers.h. */
extern long ckpx_flusher_step(void);

#endif							/* CKPX_FLUSHER_H */
