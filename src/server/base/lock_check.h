/*-------------------------------------------------------------------------
 *
 * lock_check.h
 *		Builds with assertions: what may not happen while a lock of ours is
 *		held.
 *
 * shared_state.h includes this, so every file that takes our locks does it by
 * these functions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CKPX_LOCK_CHECK_H
#define CKPX_LOCK_CHECK_H

#include "storage/lwlock.h"

#ifdef USE_ASSERT_CHECKING
extern int	ckpx_lock_tranche;	/* of the locks that are ours; 0: not known */

extern bool ckpx_lock_acquire(LWLock *lock, LWLockMode mode);
extern void ckpx_lock_release(LWLock *lock);

#define LWLockAcquire(lock, mode)	ckpx_lock_acquire(lock, mode)
#define LWLockRelease(lock)			ckpx_lock_release(lock)
#endif

#endif							/* CKPX_LOCK_CHECK_H */
