/*-------------------------------------------------------------------------
 *
 * lock_check.c
 *		Builds with assertions: what may not happen while a lock of ours is
 *		held.
 *
 * Nothing is reported, since an error would leave changes half made, and a
 * message is I/O: the callback that stands on error_context_stack while a lock
 * is held is called for each message, also for an error that is to be caught.
 * And no memory is asked of the kernel, which may take long or fail: anything
 * larger than a page is, and a smaller piece when its context has no room.  So
 * what the contexts hold together does not grow.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "server/base/lock_check.h"

#ifdef USE_ASSERT_CHECKING

#include "utils/memutils.h"

#undef LWLockAcquire
#undef LWLockRelease

int			ckpx_lock_tranche = 0;

static int	nheld;
static Size allocated;

static void
fail_on_message(void *arg)
{
	Assert(nheld == 0);
}

static ErrorContextCallback callback = {NULL, fail_on_message, NULL};

bool
ckpx_lock_acquire(LWLock *lock, LWLockMode mode)
{
	bool		at_once = LWLockAcquire(lock, mode);

	if (lock->tranche == ckpx_lock_tranche && nheld++ == 0)
	{
		callback.previous = error_context_stack;
		error_context_stack = &callback;
		allocated = MemoryContextMemAllocated(TopMemoryContext, true);
	}
	return at_once;
}

void
ckpx_lock_release(LWLock *lock)
{
	if (lock->tranche == ckpx_lock_tranche && --nheld == 0)
	{
		Assert(MemoryContextMemAllocated(TopMemoryContext, true) <= allocated);
		Assert(error_context_stack == &callback);
		error_context_stack = callback.previous;
	}
	LWLockRelease(lock);
}

#endif
