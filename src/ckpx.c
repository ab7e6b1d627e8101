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
#include "server/base/options.h"
#include "server/base/shared_state.h"
#include "server/process/workers.h"
#include "storage/ipc.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

static shmem_request_hook_type previous_shmem_request_hook = NULL;
static shmem_startup_hook_type previous_shmem_startup_hook = NULL;

static void
ckpx_shmem_request(void)
{
	if (previous_shmem_request_hook)
		previous_shmem_request_hook();
	ckpx_shared_state_request();
}

static void
ckpx_shmem_startup(void)
{
	if (previous_shmem_startup_hook)
		previous_shmem_startup_hook();
	ckpx_shared_state_startup();
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
