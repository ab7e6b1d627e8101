/*-------------------------------------------------------------------------
 *
 * extension.c
 *		What is said when the extension is created or dropped.
 *
 * CREATE EXTENSION and DROP EXTENSION make and remove SQL objects of one
 * database.  Slot, files and workers belong to the server; they come with the
 * preloaded library and go with ckpx_uninstall().  Either command alone does
 * half of what its name promises, and says so.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include "api/extension.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "server/base/shared_state.h"

PG_FUNCTION_INFO_V1(ckpx_check_preload);

static object_access_hook_type previous_object_access_hook = NULL;

/*
 * The install script makes this function, calls it and drops it again.  A
 * single-user server never starts anything, whatever its configuration says.
 */
Datum
ckpx_check_preload(PG_FUNCTION_ARGS)
{
	if (CkpxShared == NULL && IsPostmasterEnvironment)
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("ckpx is not loaded via \"shared_preload_libraries\" and tracks no changes"),
				 errhint(CKPX_PRELOAD_HINT)));
	else if (CkpxShared != NULL && ckpx_is_uninstalled())
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("ckpx was uninstalled and tracks no changes"),
				 errhint(CKPX_UNINSTALLED_HINT)));
	PG_RETURN_VOID();
}

/*
 * No event trigger could do this: DROP EXTENSION removes the extension's own
 * before it could fire.
 */
static void
tell_what_stays(Oid extension)
{
	char	   *name = get_extension_name(extension);

	if (name == NULL || strcmp(name, "ckpx") != 0 || ckpx_is_uninstalled())
		return;
	ereport(NOTICE,
			(errmsg("background workers and replication slot \"%s\" of ckpx remain",
					CKPX_SLOT_NAME),
			 errdetail("DROP EXTENSION removes the SQL objects of one database; changes are tracked for the whole server."),
			 errhint("To end that, call ckpx_uninstall(really => true) in a database with the extension.")));
}

static void
object_access(ObjectAccessType access, Oid class_id, Oid object_id,
			  int sub_id, void *arg)
{
	if (previous_object_access_hook)
		previous_object_access_hook(access, class_id, object_id, sub_id, arg);
	if (access == OAT_DROP && class_id == ExtensionRelationId)
		tell_what_stays(object_id);
}

void
ckpx_extension_watch_drop(void)
{
	previous_object_access_hook = object_access_hook;
	object_access_hook = object_access;
}
