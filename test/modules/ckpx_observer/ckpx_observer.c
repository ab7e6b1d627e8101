/*-------------------------------------------------------------------------
 *
 * ckpx_observer.c
 *		Example of ckpx.h: an observer, a resource manager with a decoder, and
 *		the map without SPI.
 *
 * The observer appends a line for each event to the file ckpx_observer.log in
 * the data directory, and raises an error while ckpx_observer.fail is there.
 *
 * The resource manager's records name a block that they do not register, so
 * only the decoder knows what they change.  Replaying them does nothing.  A
 * second resource manager has no decoder: the way that most are.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/stat.h>

#include "access/relation.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xloginsert.h"
#include "ckpx.h"
#include "lib/stringinfo.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/rel.h"
#include "utils/relcache.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

PG_FUNCTION_INFO_V1(ckpx_observer_map);
PG_FUNCTION_INFO_V1(ckpx_observer_write);

/*
 * The observer
 */

static const char *const event_names[] = {
	[CKPX_CHECKPOINT_FINISHED] = "finished",
	[CKPX_CHECKPOINT_PENDING] = "pending",
	[CKPX_CHECKPOINT_RUNNING] = "running",
	[CKPX_CHECKPOINT_FAILED] = "failed",
	[CKPX_CHECKPOINT_REMOVED] = "removed"
};

static const char *const kind_names[] = {
	[CKPX_CHECKPOINT_INCREMENTAL] = "incremental",
	[CKPX_CHECKPOINT_GLOBAL] = "global",
	[CKPX_CHECKPOINT_BACKUP] = "backup"
};

static void
on_event(const CkpxEvent *event, void *arg)
{
	struct stat st;
	FILE	   *file;

	if (stat("ckpx_observer.fail", &st) == 0)
		ereport(ERROR,
				(errmsg("told to fail")));

	file = AllocateFile("ckpx_observer.log", "a");
	if (file == NULL)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open file \"ckpx_observer.log\": %m")));
	fprintf(file, "%s %s %X/%X %X/%X %s\n", kind_names[event->kind],
			event_names[event->type], LSN_FORMAT_ARGS(event->start_lsn),
			LSN_FORMAT_ARGS(event->end_lsn),
			stat(event->path, &st) == 0 ? "there" : "absent");
	FreeFile(file);
}

static CkpxObserver observer = {
	.api_version = CKPX_API_VERSION,
	.name = "ckpx_observer",
	.on_event = on_event
};

/*
 * The resource manager
 */

#define OBSERVER_RMID		RM_EXPERIMENTAL_ID
#define UNDECLARED_RMID		(RM_EXPERIMENTAL_ID + 1)

#define RECORD_HARMLESS		0x10
#define RECORD_BLOCK		0x20
#define RECORD_TRUNCATE		0x30
#define RECORD_CREATE		0x40
#define RECORD_DROP			0x50
#define RECORD_SPECIAL		0x60
#define RECORD_UNKNOWN		0x70
#define RECORD_POISON		0x80

typedef struct RecordBody
{
	CkpxFork	fork;
	BlockNumber block;
} RecordBody;

static void
rmgr_redo(XLogReaderState *record)
{
}

static void
rmgr_desc(StringInfo buf, XLogReaderState *record)
{
}

static const char *
rmgr_identify(uint8 info)
{
	return "TEST";
}

static RmgrData rmgr = {
	.rm_name = "ckpx_observer",
	.rm_redo = rmgr_redo,
	.rm_desc = rmgr_desc,
	.rm_identify = rmgr_identify
};

static RmgrData undeclared_rmgr = {
	.rm_name = "ckpx_observer_undeclared",
	.rm_redo = rmgr_redo,
	.rm_desc = rmgr_desc,
	.rm_identify = rmgr_identify
};

static CkpxRecordVerdict
decode(XLogReaderState *record, CkpxBlockSink *sink, void *arg)
{
	RecordBody	body;

	memcpy(&body, XLogRecGetData(record), sizeof(body));
	switch (XLogRecGetInfo(record) & ~XLR_INFO_MASK)
	{
		case RECORD_HARMLESS:
		case RECORD_SPECIAL:
			return CKPX_RECORD_COVERED;
		case RECORD_BLOCK:
			sink->block(sink, &body.fork, body.block);
			return CKPX_RECORD_COVERED;
		case RECORD_TRUNCATE:
			sink->truncate(sink, &body.fork, body.block);
			return CKPX_RECORD_COVERED;
		case RECORD_CREATE:
			sink->create(sink, &body.fork);
			return CKPX_RECORD_COVERED;
		case RECORD_DROP:
			sink->drop(sink, &body.fork);
			return CKPX_RECORD_COVERED;
		case RECORD_POISON:
			elog(ERROR, "cannot decode record of type poison");
	}
	return CKPX_RECORD_UNKNOWN;
}

static CkpxDecoder decoder = {
	.api_version = CKPX_API_VERSION,
	.rmid = OBSERVER_RMID,
	.decode = decode
};

Datum
ckpx_observer_write(PG_FUNCTION_ARGS)
{
	char	   *what = text_to_cstring(PG_GETARG_TEXT_PP(0));
	RecordBody	body = {0};
	RmgrId		rmid = OBSERVER_RMID;
	uint8		info = RECORD_UNKNOWN;
	XLogRecPtr	end;

	body.fork.tablespace = PG_GETARG_OID(1);
	body.fork.database = PG_GETARG_OID(2);
	body.fork.relation = PG_GETARG_OID(3);
	body.fork.fork = MAIN_FORKNUM;
	body.block = (BlockNumber) PG_GETARG_INT64(4);

	if (strcmp(what, "harmless") == 0)
		info = RECORD_HARMLESS;
	else if (strcmp(what, "block") == 0)
		info = RECORD_BLOCK;
	else if (strcmp(what, "truncate") == 0)
		info = RECORD_TRUNCATE;
	else if (strcmp(what, "create") == 0)
		info = RECORD_CREATE;
	else if (strcmp(what, "drop") == 0)
		info = RECORD_DROP;
	else if (strcmp(what, "special") == 0)
		info = RECORD_SPECIAL | XLR_SPECIAL_REL_UPDATE;
	else if (strcmp(what, "special unknown") == 0)
		info = RECORD_UNKNOWN | XLR_SPECIAL_REL_UPDATE;
	else if (strcmp(what, "poison") == 0)
		info = RECORD_POISON;
	else if (strcmp(what, "undeclared") == 0)
		rmid = UNDECLARED_RMID;
	else if (strcmp(what, "special undeclared") == 0)
	{
		rmid = UNDECLARED_RMID;
		info = RECORD_SPECIAL | XLR_SPECIAL_REL_UPDATE;
	}

	(void) GetCurrentTransactionId();
	XLogBeginInsert();
	XLogRegisterData((char *) &body, sizeof(body));
	end = XLogInsert(rmid, info);
	PG_RETURN_LSN(end);
}

/*
 * The map
 */

static bool
tell_row(const CkpxMapRow *row, void *arg)
{
	appendStringInfo((StringInfo) arg, "%s%u/%d", ((StringInfo) arg)->len > 0 ? " " : "",
					 row->fork.relation, (int) row->fork.fork);
	if (row->limit_block != InvalidBlockNumber)
		appendStringInfo((StringInfo) arg, ">=%u", row->limit_block);
	return true;
}

static void
tell_run(const CkpxMapRow *row, BlockNumber from, BlockNumber to, void *arg)
{
	appendStringInfo((StringInfo) arg, ":%u-%u", from, to);
}

Datum
ckpx_observer_map(PG_FUNCTION_ARGS)
{
	static const CkpxMapReader reader = {tell_row, tell_run};
	const CkpxApi *api = ckpx_get_api();
	StringInfoData text;
	CkpxFork	fork = {0};

	if (api == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("ckpx is not preloaded")));
	if (!PG_ARGISNULL(2))
	{
		Relation	rel = relation_open(PG_GETARG_OID(2), AccessShareLock);

#if PG_VERSION_NUM >= 160000
		fork.tablespace = rel->rd_locator.spcOid;
		fork.database = rel->rd_locator.dbOid;
		fork.relation = rel->rd_locator.relNumber;
#else
		fork.tablespace = rel->rd_node.spcNode;
		fork.database = rel->rd_node.dbNode;
		fork.relation = rel->rd_node.relNode;
#endif
		relation_close(rel, AccessShareLock);
	}

	initStringInfo(&text);
	(void) api->read_map(PG_GETARG_LSN(0),
						 PG_ARGISNULL(1) ? InvalidXLogRecPtr : PG_GETARG_LSN(1),
						 PG_ARGISNULL(2) ? NULL : &fork, &reader, &text);
	PG_RETURN_TEXT_P(cstring_to_text(text.data));
}

void
_PG_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	RegisterCustomRmgr(OBSERVER_RMID, &rmgr);
	RegisterCustomRmgr(UNDECLARED_RMID, &undeclared_rmgr);
	ckpx_register_observer(&observer);
	ckpx_register_decoder(&decoder);
}
