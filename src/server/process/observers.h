/*-------------------------------------------------------------------------
 *
 * observers.h
 *		The ckpx observer: the post queue, callbacks, the post command.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_OBSERVERS_H
#define CKPX_OBSERVERS_H

/* One step of the observer, see workers.h. */
extern long ckpx_observer_step(void);

#endif							/* CKPX_OBSERVERS_H */
