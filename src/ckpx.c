/*-------------------------------------------------------------------------
 *
 * ckpx.c
 *		Module entry: settings, shared memory hooks, workers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "api/c_api.h"
#include "api/extension.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "server/base/fault.h"
#include "server/base/options.h"
#include "server/base/shared_state.h"
#include "server/base/wait_event.h"
#include "server/flush/shared.h"
#include "server/logtail/logtail.h"
#include "server/process/workers.h"
#include "server/store/uninstall_mark.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

static shmem_request_hook_type previous_shmem_request_hook = NULL;
static shmem_startup_hook_type previous_shmem_startup_hook = NULL;

/* What makes up the shared memory, in the order in which it is set up. */
typedef struct CkpxSharedPart
{
	const char *name;
	Size		(*size) (void);
	void		(*init) (void *place, bool found);
} CkpxSharedPart;

static const CkpxSharedPart parts[] = {
	{"ckpx", ckpx_shared_state_size, ckpx_shared_state_init},
	{"ckpx queues", ckpx_queues_size, ckpx_queues_init},
	{"ckpx entries", ckpx_entries_size, ckpx_entries_init},
	{"ckpx xids", ckpx_xids_size, ckpx_xids_init},
	{"ckpx waiting xids", ckpx_waiting_xids_size, ckpx_waiting_xids_init},
	{"ckpx logtail", ckpx_logtail_shmem_size, ckpx_logtail_shmem_init},
	{"ckpx flush", ckpx_flush_shmem_size, ckpx_flush_shmem_init},
	{"ckpx faults", ckpx_fault_shmem_size, ckpx_fault_shmem_init},
};

static void
ckpx_shmem_request(void)
{
	if (previous_shmem_request_hook)
		previous_shmem_request_hook();
	for (int i = 0; i < (int) lengthof(parts); i++)
		RequestAddinShmemSpace(CACHELINEALIGN(parts[i].size()));
	RequestNamedLWLockTranche(CKPX_TRANCHE, CKPX_NLOCKS);
}

static void
ckpx_shmem_startup(void)
{
	bool		found = false;

	if (previous_shmem_startup_hook)
		previous_shmem_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	for (int i = 0; i < (int) lengthof(parts); i++)
	{
		void	   *place = ShmemInitStruct(parts[i].name, parts[i].size(),
											&found);

		parts[i].init(place, found);
	}
	if (!found)
		ckpx_uninstall_startup();
	LWLockRelease(AddinShmemInitLock);
	ckpx_wait_events_startup();
	ckpx_workers_startup();
}

void
_PG_init(void)
{
	/*
	 * Loaded on demand by a backend: the functions exist and say what is
	 * missing.  Under pg_upgrade and in a single-user server nothing may be
	 * started.
	 */
	if (!process_shared_preload_libraries_in_progress ||
		IsBinaryUpgrade || !IsPostmasterEnvironment)
		return;

	ckpx_options_define();

	previous_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = ckpx_shmem_request;
	previous_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = ckpx_shmem_startup;

	ckpx_c_api_publish();
	ckpx_extension_watch_drop();
	ckpx_workers_register();
}
