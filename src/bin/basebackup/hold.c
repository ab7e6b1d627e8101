/*-------------------------------------------------------------------------
 *
 * hold.c
 *		The session that holds the server in backup mode.
 *
 * Backup mode and the temporary slot end with this session, however it ends.
 * The slot reserves WAL before the backup begins, so that its place precedes
 * START; without WAL in the backup it only is the token by which the other
 * connections know the server.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/basebackup/hold.h"

#include "access/xlog_internal.h"
#include "bin/basebackup/mark.h"
#include "bin/basebackup/run.h"
#include "port/pg_crc32c.h"

#define ARCHIVE_LOOK_US		200000

/* What a role must be able to do; in the order of role_query's columns. */
static const char *const needed_rights[] = {
	"REPLICATION",
	"pg_monitor",
	"pg_read_server_files",
	"pg_checkpoint",
	"EXECUTE on pg_backup_start",
	"EXECUTE on pg_backup_stop"
};

static const char *const role_query =
"SELECT rolsuper OR rolreplication,"
" pg_has_role('pg_monitor', 'USAGE'),"
" pg_has_role('pg_read_server_files', 'USAGE'),"
" pg_has_role('pg_checkpoint', 'USAGE'),"
" has_function_privilege('pg_backup_start(text, boolean)', 'EXECUTE'),"
" has_function_privilege('pg_backup_stop(boolean)', 'EXECUTE')"
" FROM pg_roles WHERE rolname = current_user";

static bool
check_role(Job *job)
{
	PGresult   *result;
	char		missing[512] = "";

	result = session_query(job->holder, role_query, 0, NULL, false);
	if (result == NULL)
		return false;
	for (int i = 0; i < lengthof(needed_rights); i++)
	{
		if (PQntuples(result) == 1 && PQgetvalue(result, 0, i)[0] == 't')
			continue;
		snprintf(missing + strlen(missing), sizeof(missing) - strlen(missing),
				 "%s%s", missing[0] ? ", " : "", needed_rights[i]);
	}
	PQclear(result);
	if (missing[0])
		run_fail("role \"%s\" lacks: %s", PQuser(job->holder->conn), missing);
	return missing[0] == '\0';
}

/* pg_control as the server has it, its CRC checked. */
static bool
read_control(Job *job, ControlFileData *control, char **bytes)
{
	PGresult   *result = session_query(job->holder,
									   "SELECT %s.ckpx_read_control()", 0, NULL, true);
	pg_crc32c	crc;
	size_t		length;

	if (result == NULL)
		return false;
	length = PQntuples(result) == 1 ? PQgetlength(result, 0, 0) : 0;
	if (length >= sizeof(*control) && length <= PG_CONTROL_FILE_SIZE)
	{
		memcpy(control, PQgetvalue(result, 0, 0), sizeof(*control));
		INIT_CRC32C(crc);
		COMP_CRC32C(crc, control, offsetof(ControlFileData, crc));
		FIN_CRC32C(crc);
		if (!EQ_CRC32C(crc, control->crc))
			length = 0;
	}
	else
		length = 0;
	if (length == 0)
		run_fail("the server sent a pg_control that is wrong");
	else if (bytes)
	{
		*bytes = pg_malloc0(PG_CONTROL_FILE_SIZE);
		memcpy(*bytes, PQgetvalue(result, 0, 0), length);
	}
	PQclear(result);
	return length > 0;
}

static bool
check_server(Job *job)
{
	int			major = PQserverVersion(job->holder->conn) / 10000;
	char	   *problem;

	if (major != PG_MAJORVERSION_NUM)
	{
		run_fail("this program serves PostgreSQL %d, but the server is %d",
				 PG_MAJORVERSION_NUM, major);
		return false;
	}
	if (!check_role(job) || !read_control(job, &job->control, NULL))
		return false;
	if (job->control.blcksz != BLCKSZ ||
		job->control.relseg_size != RELSEG_SIZE ||
		!IsValidWalSegSize(job->control.xlog_seg_size) ||
		job->control.pg_control_version != PG_CONTROL_VERSION)
	{
		run_fail("the server was built with other sizes of blocks or segments than this program");
		return false;
	}
	problem = session_value(job->holder,
							"SELECT problem FROM %s.ckpx_runner", 0, NULL);
	if (problem != NULL)
		run_warning("ckpx on the server: %s", problem);
	free(problem);
	return !run_stopping();
}

bool
hold_look(Job *job)
{
	PGresult   *result;
	const char *mode;

	job->holder = session_open(job->options);
	if (job->holder == NULL || !check_server(job))
		return false;
	result = session_query(job->holder,
						   "SELECT pg_is_in_recovery(), current_setting('data_directory_mode')",
						   0, NULL, false);
	if (result == NULL)
		return false;
	job->standby = strcmp(PQgetvalue(result, 0, 0), "t") == 0;
	mode = PQgetvalue(result, 0, 1);
	job->dir_mode = strtol(mode, NULL, 8) & 0050 ? 0750 : 0700;
	PQclear(result);
	return true;
}

static bool
make_slot(Job *job, bool reserve)
{
	const char *params[2] = {job->slot, reserve ? "true" : "false"};
	char		random[BACKUP_ID_LENGTH + 1];
	PGresult   *result;

	label_make_id(random);
	snprintf(job->slot, sizeof(job->slot), "ckpx_basebackup_%.8s", random);
	result = session_query(job->holder,
						   "SELECT pg_create_physical_replication_slot($1, $2::boolean, true)",
						   2, params, false);
	PQclear(result);
	return result != NULL;
}

bool
hold_position(Job *job, uint64 *lsn)
{
	char	   *text = session_value(job->holder, job->standby ?
									 "SELECT pg_last_wal_replay_lsn()" :
									 "SELECT pg_current_wal_flush_lsn()", 0, NULL);
	bool		good = !run_stopping() && session_lsn(text, lsn);

	free(text);
	return good;
}

bool
hold_token(Job *job)
{
	if (!make_slot(job, false) || !hold_position(job, &job->start_lsn))
		return false;
	job->timeline = job->control.checkPointCopy.ThisTimeLineID;
	job->timelines = timelines_read(job->holder, job->timeline);
	return job->timelines != NULL;
}

/* Wait until ckpx has decoded WAL up to an LSN. */
static bool
await_collected(Job *job, XLogRecPtr lsn)
{
	char		lsn_text[32];
	const char *params[1] = {lsn_text};
	char	   *collected;

	snprintf(lsn_text, sizeof(lsn_text), "%X/%X", LSN_FORMAT_ARGS(lsn));
	collected = session_value(job->holder,
							  "SELECT %s.ckpx_wait_collected($1::pg_lsn)", 1, params);
	if (!run_stopping() && (collected == NULL || strcmp(collected, "t") != 0))
		run_fail("ckpx on the server has not come to %s", lsn_text);
	free(collected);
	return !run_stopping();
}

/*
 * The mark of the checkpoint that the backup begins with, if pg_control still
 * has that one: what is needed to resume.
 */
static bool
read_first_mark(Job *job, const ControlFileData *control)
{
	if (job->options->tar || control->checkPointCopy.redo != job->start_lsn)
		return true;
	return await_collected(job, control->checkPoint + 1) &&
		mark_read(job->holder, control->checkPoint, &job->mark);
}

bool
hold_start(Job *job)
{
	char	   *label;
	const char *params[2];
	char	   *start;
	ControlFileData control;

	if (!make_slot(job, job->options->fetch_wal))
		return false;
	label = label_argument(job->id, job->parent &&
						   job->parent->backup->label.id[0] ?
						   job->parent->backup->label.id : NULL);
	params[0] = label;
	params[1] = job->options->fast_checkpoint ? "true" : "false";
	start = session_value(job->holder,
						  "SELECT pg_backup_start($1, $2::boolean)", 2, params);
	pfree(label);
	if (run_stopping() || !session_lsn(start, &job->start_lsn))
		return false;
	free(start);

	/* on a standby that of a later restartpoint; the label tells at STOP */
	if (!read_control(job, &control, NULL))
		return false;
	job->timeline = control.checkPointCopy.ThisTimeLineID;
	job->timelines = timelines_read(job->holder, job->timeline);
	return job->timelines != NULL && read_first_mark(job, &control);
}

bool
hold_advance_slot(Job *job, XLogRecPtr lsn)
{
	char		lsn_text[32];
	const char *params[2] = {job->slot, lsn_text};
	PGresult   *result;

	snprintf(lsn_text, sizeof(lsn_text), "%X/%X", LSN_FORMAT_ARGS(lsn));
	result = session_query(job->holder,
						   "SELECT pg_replication_slot_advance($1, $2::pg_lsn)",
						   2, params, false);
	PQclear(result);
	return result != NULL;
}

/* STOP and the label, as PostgreSQL gives them. */
static bool
stop_backup(Job *job)
{
	PGresult   *result = session_query(job->holder,
									   "SELECT lsn, labelfile, spcmapfile FROM pg_backup_stop(false)",
									   0, NULL, false);
	const char *problem = NULL;
	bool		good;

	if (result == NULL)
		return false;
	good = PQntuples(result) == 1 &&
		session_lsn(PQgetvalue(result, 0, 0), &job->stop_lsn);
	if (good)
	{
		job->label_text = pg_strdup(PQgetvalue(result, 0, 1));
		job->tablespace_map = pg_strdup(PQgetvalue(result, 0, 2));
	}
	PQclear(result);
	if (!good)
		return false;
	if (!label_parse(&job->label, job->label_text, strlen(job->label_text),
					 &problem) ||
		job->label.start_lsn != job->start_lsn)
	{
		run_fail("the server sent a wrong backup label: %s",
				 problem ? problem : "it has another start");
		return false;
	}
	return true;
}

/*
 * A standby is consistent at the minimum recovery point of the pg_control in
 * the backup; what was copied before is not newer.
 */
bool
hold_stop(Job *job)
{
	const ControlFileData *copied = &job->copied_control;

	if (!read_control(job, &job->copied_control, &job->control_bytes) ||
		!stop_backup(job))
		return false;
	job->stop_tli = job->timeline;
	if (job->standby)
	{
		if (copied->minRecoveryPoint >= job->start_lsn)
		{
			job->stop_lsn = copied->minRecoveryPoint;
			job->stop_tli = copied->minRecoveryPointTLI;
		}
		if (job->stop_tli != job->timeline)
		{
			job->timelines = timelines_read(job->holder, job->stop_tli);
			if (job->timelines == NULL)
				return false;
		}
	}
	if (!await_collected(job, job->stop_lsn) ||
		!mark_read(job->holder, job->label.checkpoint_lsn, &job->mark))
		return false;
	if (job->mark.lsn == InvalidXLogRecPtr)
		run_warning("ckpx on the server does not know checkpoint record %X/%X of this backup",
					LSN_FORMAT_ARGS(job->label.checkpoint_lsn));
	return true;
}

static void
fail_archive(const char *name, int seconds)
{
	char	   *message = psprintf("the server has not archived WAL file \"%s\" within %d s",
								   name, seconds);

	run_fail_with(message, NULL,
				  "Look at pg_stat_archiver and the server's log, or raise --archive-timeout.");
	pfree(message);
}

bool
hold_await_archive(Job *job)
{
	int64		timeout_ms = (int64) job->options->archive_timeout_s * 1000;
	char		name[MAXFNAMELEN];
	char	   *mode = session_value(job->holder,
									 "SELECT current_setting('archive_mode')", 0, NULL);
	int64		begin = run_clock_ms();
	bool		archived = false;

	if (run_stopping())
		return false;
	if (mode == NULL || strcmp(mode, "off") == 0 ||
		(job->standby && strcmp(mode, "always") != 0))
	{
		pg_log_warning("WAL archiving is not enabled on the server; all required WAL segments must be copied by other means");
		return true;
	}
	XLogFileName(name, job->stop_tli,
				 (job->stop_lsn - 1) / job->control.xlog_seg_size,
				 job->control.xlog_seg_size);
	while (!archived)
	{
		char	   *last = session_value(job->holder,
										 "SELECT last_archived_wal FROM pg_stat_archiver",
										 0, NULL);

		if (run_stopping())
			return false;
		archived = last && strspn(last, "0123456789ABCDEF") == 24 &&
			strncmp(last, name, 24) >= 0;
		free(last);
		if (archived)
			break;
		if (run_clock_ms() - begin >= timeout_ms)
		{
			fail_archive(name, job->options->archive_timeout_s);
			return false;
		}
		pg_usleep(ARCHIVE_LOOK_US);
	}
	return true;
}

uint64
hold_cluster_size(Job *job)
{
	char	   *text = session_value(job->holder,
									 "SELECT sum(pg_database_size(oid)) FROM pg_database",
									 0, NULL);
	uint64		size = text ? strtoull(text, NULL, 10) : 0;

	free(text);
	return size;
}

bool
hold_lost(Job *job, char **reason)
{
	Session    *session = job->holder;

	if (session == NULL || job->slot[0] == '\0')
		return false;
	if (PQstatus(session->conn) == CONNECTION_OK)
		PQclear(session_try(session, "SELECT 1", 0, NULL, false));
	if (PQstatus(session->conn) == CONNECTION_OK)
		return false;
	*reason = pg_strdup(session->message);
	return true;
}
