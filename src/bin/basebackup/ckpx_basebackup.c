/*-------------------------------------------------------------------------
 *
 * ckpx_basebackup.c
 *		Make a full or incremental backup of a PostgreSQL server.
 *
 * The phases, each of which hands over to the next in a Job:
 *
 * 1. look: the server, the parent, DIRECTORY.partial
 * 2. hold: a slot, and backup mode
 * 3. list: what there is, and what has changed
 * 4. copy: with several connections; one more fetches WAL
 * 5. stop: pg_control, the end of backup mode
 * 6. WAL: the rest of it
 * 7. publish: label, manifest, sync, rename, the server's row, the pin
 *
 * If the program dies in between, the server leaves backup mode by itself, and
 * DIRECTORY.partial remains.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <sys/stat.h>
#include <unistd.h>

#include "bin/basebackup/compat.h"
#include "bin/basebackup/hold.h"
#include "bin/basebackup/job.h"
#include "bin/basebackup/publish.h"
#include "bin/basebackup/resume.h"
#include "bin/basebackup/run.h"
#include "bin/common/files.h"
#include "common/file_perm.h"

/* The map does not vouch for an increment: what to do about it. */
static bool
handle_gap(Job *job, const char *reason)
{
	char	   *message;
	char	   *detail;
	unsigned long long megabytes;

	if (job->options->full_on_gap)
	{
		run_warning("taking a full backup: %s", reason);
		job->parent = NULL;
		return true;
	}
	run_forget_failure();
	message = psprintf("no increment is possible: %s", reason);
	megabytes = hold_cluster_size(job) / (1024 * 1024);
	detail = psprintf("A full backup would have %llu MB.", megabytes);
	run_fail_with(message, detail,
				  "Take a full backup, or use --on-gap=full.");
	return false;
}

/* Phase 1, up to the parent. */
static bool
choose_parent(Job *job)
{
	Timelines  *timelines;
	char	   *gap = NULL;
	uint64		position;

	if (job->options->parent == NULL)
		return true;
	job->parent = parent_choose(job->holder, job->options->parent,
								job->options->directory, &job->control, &gap);
	if (job->parent == NULL)
		return gap != NULL && handle_gap(job, gap);
	timelines = timelines_read(job->holder,
							   job->control.checkPointCopy.ThisTimeLineID);
	if (timelines == NULL)
		return false;
	if (!parent_prove(job->parent, job->holder, timelines, &gap))
		return gap != NULL && handle_gap(job, gap);
	if (job->options->reread > 0 && job->parent->chain_length == 0)
	{
		run_fail("--reread needs the chain of backup \"%s\", which is not complete beside it",
				 job->parent->backup->path);
		return false;
	}
	if (!hold_position(job, &position))
		return false;
	if (position < job->parent->backup->end_lsn)
	{
		run_fail("the server has come to %X/%X, but backup \"%s\" needs WAL up to %X/%X",
				 LSN_FORMAT_ARGS(position), job->parent->backup->path,
				 LSN_FORMAT_ARGS(job->parent->backup->end_lsn));
		return false;
	}
	pg_log_info("parent: \"%s\"", job->parent->backup->path);
	return true;
}

static bool
look(Job *job)
{
	run_phase("looking at the server");
	if (!hold_look(job) || !choose_parent(job))
		return false;
	options_settle(job->options, job->parent != NULL);
	umask(job->dir_mode == 0750 ? PG_MODE_MASK_GROUP : PG_MODE_MASK_OWNER);
	label_make_id(job->id);
	return job->options->dry_run || partial_open(job);
}

/* START must not lie before the parent's. */
static bool
check_start(Job *job)
{
	const Backup *parent = job->parent ? job->parent->backup : NULL;
	char	   *gap = NULL;
	char	   *message;

	if (parent == NULL)
		return true;
	if (!parent_prove(job->parent, job->holder, job->timelines, &gap))
		return gap != NULL && handle_gap(job, gap);
	if (job->start_lsn >= parent->label.start_lsn)
		return true;
	message = psprintf("this backup would start at %X/%X, before its parent \"%s\", which started at %X/%X",
					   LSN_FORMAT_ARGS(job->start_lsn), parent->path,
					   LSN_FORMAT_ARGS(parent->label.start_lsn));
	run_fail_with(message, NULL,
				  "Wait for the standby's next restartpoint, or take the backup from the primary.");
	return false;
}

/* Phases 2 and 3; again without a parent where the map does not vouch. */
static bool
hold_and_list(Job *job)
{
	Parent	   *parent = job->parent;

	run_phase("starting the backup");
	if (!(job->options->dry_run ? hold_token(job) : partial_describe(job) &&
		  hold_start(job)) || !check_start(job))
		return false;
	run_phase("listing files");
	if (job->parent == parent)
	{
		job->plan = plan_list(job->holder, job->slot, job->start_lsn,
							  job->parent, job->options->reread);
		if (job->plan != NULL)
			return true;
		if (run_stopping())
			return false;
		if (parent == NULL || strcmp(job->holder->sqlstate, "55000") != 0)
		{
			session_fail(job->holder, NULL);
			return false;
		}
		if (!handle_gap(job, session_problem(job->holder)))
			return false;
	}

	/* the label that was begun names a parent: begin another one */
	session_close(job->holder);
	job->holder = session_open(job->options);
	options_settle(job->options, false);
	return job->holder != NULL && hold_and_list(job);
}

/* A summary of what would be or was done, for people. */
static void
print_plan(Job *job)
{
	uint32		whole = 0;

	for (uint32 i = 0; i < job->plan->nfiles; i++)
		whole += !job->plan->files[i].incremental;
	printf("%s backup from %X/%X: %u files, %u of them whole, %llu blocks in the others, %llu kB\n",
		   job->parent ? "incremental" : "full",
		   LSN_FORMAT_ARGS(job->parent ?
						   job->parent->backup->label.start_lsn :
						   job->start_lsn),
		   job->plan->nfiles, whole, (unsigned long long) job->plan->blocks,
		   (unsigned long long) job->plan->bytes / 1024);
}

/* Is there room for 'needed' bytes in the file system of 'dir'? */
static bool
check_room_in(int dir, const char *path, uint64 needed)
{
	uint64		room;

	if (needed == 0 || !free_space(dir, &room) || room >= needed)
		return true;
	run_fail("not enough room in \"%s\": the backup needs %llu MB, %llu MB are free",
			 path, (unsigned long long) needed / (1024 * 1024),
			 (unsigned long long) room / (1024 * 1024));
	return false;
}

/*
 * Plain files need the room that the list says; of zstd nobody knows.  Roots
 * in one file system share its room.
 */
static bool
check_room(Job *job)
{
	Output	   *output = job->output;
	uint64	   *needed;
	bool		enough = true;

	if (job->options->tar && job->options->level > 0)
		return true;
	needed = pg_malloc0(sizeof(uint64) * output->nroots);
	for (uint32 i = 0; i < job->plan->nfiles; i++)
	{
		const PlanFile *file = &job->plan->files[i];
		const char *rest;

		if (file->state == PLAN_TO_COPY)
			needed[output_root(output, file->path, &rest)] += file->expected;
	}
	for (int i = 0; enough && i < output->nroots; i++)
	{
		uint64		sum = needed[i];

		for (int j = i + 1; j < output->nroots; j++)
		{
			if (!same_file_system(output->roots[i].fd, output->roots[j].fd))
				continue;
			sum += needed[j];
			needed[j] = 0;
		}
		enough = check_room_in(output->roots[i].fd, i == 0 ? job->partial :
							   output->roots[i].path, sum);
	}
	pg_free(needed);
	return enough;
}

static void
print_progress(Job *job, uint64 received, bool end)
{
	if (!job->options->progress)
		return;
	fprintf(stderr, "%llu/%llu kB (%d%%)%c",
			(unsigned long long) received / 1024,
			(unsigned long long) job->plan->bytes / 1024,
			(int) (job->plan->bytes == 0 ? 100 :
				   Min(100, received * 100 / job->plan->bytes)),
			end || !isatty(fileno(stderr)) ? '\n' : '\r');
}

/* The main thread, while others copy. */
static bool
watch(Job *job, CopyStart *start, Wal *wal)
{
	XLogRecPtr	released = InvalidXLogRecPtr;
	XLogRecPtr	fetched;
	bool		finished = false;

	while (!finished)
	{
		FileList   *done = lists_await(start->lists, 500, &finished);
		bool		good = job->options->tar || progress_note(job, done);

		while (done != NULL)
		{
			FileList   *next = done->next;

			file_list_free(done);
			done = next;
		}
		if (!good || run_stopping())
			return false;
		fetched = wal ? wal_fetched(wal) : InvalidXLogRecPtr;
		if (fetched > released + job->control.xlog_seg_size)
		{
			released = fetched;
			if (released > job->start_lsn && !hold_advance_slot(job, released))
				return false;
		}
		print_progress(job, __atomic_load_n(&start->bytes, __ATOMIC_RELAXED),
					   finished);
	}
	return true;
}

/* Phases 4 to 6. */
static bool
copy(Job *job)
{
	CopyStart	start = {
		.options = job->options,
		.slot = job->slot,
		.holder_pid = job->holder->pid,
		.start_lsn = job->start_lsn,
		.parent = job->parent,
		.output = job->output,
		.recovery_conf = job->recovery_conf,
	};
	Copiers    *copiers;
	Wal		   *wal = NULL;
	bool		good;

	run_phase("copying files");
	start.lists = lists_create(job->plan, job->options->jobs);
	if (job->options->fetch_wal)
		wal = wal_begin(&start, job->timeline, &job->control, job->standby);
	copiers = copy_begin(&start);
	good = watch(job, &start, wal);
	good = copy_end(copiers) && good;
	job->bad_checksums = start.bad_checksums;

	if (good)
	{
		run_phase("stopping the backup");
		good = hold_stop(job);
	}
	if (good)
		run_phase("fetching WAL");
	if (wal != NULL && good)
		good = wal_end(wal, job->timelines, job->stop_lsn);
	else
		wal_abandon(wal);
	if (good && wal == NULL)
		good = hold_await_archive(job);
	return good;
}

/* What was copied must reach beyond the parent. */
static bool
check_stop(Job *job)
{
	const Backup *parent = job->parent ? job->parent->backup : NULL;
	char	   *gap = NULL;

	if (job->label.start_tli != job->timeline &&
		!timelines_contain(job->timelines, job->label.start_tli,
						   job->start_lsn, job->start_lsn, &gap))
	{
		run_fail("the backup cannot be used: %s", gap);
		return false;
	}
	if (parent == NULL)
		return true;
	if (!parent_prove(job->parent, job->holder, job->timelines, &gap))
	{
		if (gap)
			run_fail("no increment is possible: %s", gap);
		return false;
	}
	if (job->stop_lsn >= parent->end_lsn &&
		job->plan->covered_to >= job->start_lsn)
		return true;
	run_fail("the backup ends at %X/%X, before the end of its parent \"%s\" at %X/%X",
			 LSN_FORMAT_ARGS(job->stop_lsn), parent->path,
			 LSN_FORMAT_ARGS(parent->end_lsn));
	return false;
}

static void
print_json(Job *job, int status, int64 ms)
{
	printf("{\"status\": \"%s\", \"id\": \"%s\", \"parent\": %s%s%s, "
		   "\"timeline\": %u, \"start_lsn\": \"%X/%X\", \"stop_lsn\": \"%X/%X\", "
		   "\"files\": %llu, \"kept\": %u, \"blocks\": %llu, \"bytes\": %llu, "
		   "\"wrong_checksums\": %llu, \"seconds\": %.3f}\n",
		   status == 0 ? "complete" : status == 2 ? "wrong checksums" : "not recorded",
		   job->id, job->parent ? "\"" : "",
		   job->parent ? job->parent->backup->label.id : "null",
		   job->parent ? "\"" : "", job->label.start_tli,
		   LSN_FORMAT_ARGS(job->start_lsn), LSN_FORMAT_ARGS(job->stop_lsn),
		   (unsigned long long) job->files, job->kept,
		   (unsigned long long) job->plan->blocks,
		   (unsigned long long) job->output->bytes,
		   (unsigned long long) job->bad_checksums, ms / 1000.0);
}

/* Phase 7, and the last line. */
static bool
publish(Job *job, int *status)
{
	bool		recorded;
	int64		ms;

	run_phase("publishing the backup");
	if (!check_stop(job) || !publish_control_files(job) || run_stopping() ||
		!publish_backup(job))
		return false;
	run_phase("recording the backup");
	recorded = publish_record(job);
	*status = !recorded ? 1 : job->bad_checksums > 0 ? 2 : 0;
	ms = run_clock_ms() - job->begin_ms;
	printf("%s backup \"%s\": %llu files, ",
		   job->parent ? "incremental" : "full", job->options->directory,
		   (unsigned long long) job->files);
	if (job->parent)
		printf("%llu changed blocks, ", (unsigned long long) job->plan->blocks);
	printf("%llu kB, %X/%X to %X/%X, %.1f s\n",
		   (unsigned long long) job->output->bytes / 1024,
		   LSN_FORMAT_ARGS(job->start_lsn), LSN_FORMAT_ARGS(job->stop_lsn),
		   ms / 1000.0);
	if (job->options->json)
		print_json(job, *status, ms);
	return recorded;
}

static bool
take_backup(Job *job, int *status)
{
	if (!look(job) || !hold_and_list(job) ||
		(job->options->tar && !plan_check_tar(job->plan)))
		return false;
	if (job->options->dry_run)
	{
		print_plan(job);
		*status = 0;
		return true;
	}
	job->output = output_create(job->options, job->dir, job->partial,
								job->dir_mode, job->parent != NULL, job->plan);
	if (job->output == NULL)
		return false;
	if (!(job->options->resume ? resume_keep(job) :
		  job->options->tar || progress_begin(job)) || !check_room(job))
		return false;
	if (job->options->write_recovery)
		job->recovery_conf = recovery_settings(job->holder->conn)->data;
	return copy(job) && publish(job, status);
}

/*
 * The backup has ended on the server.  PostgreSQL does not tell why: a slot
 * that holds too much WAL ends its session as pg_terminate_backend() does.
 */
static void
print_lost(Job *job, const char *reason, const char *message)
{
	pg_log_error("the session that held the backup has ended: %s", reason);
	if (strstr(message, reason) == NULL)
		pg_log_error_detail("%s", message);
	if (job->options->fetch_wal)
		pg_log_error_hint("If its slot held more WAL than max_slot_wal_keep_size allows, raise max_slot_wal_keep_size, or use -X none with a WAL archive.");
}

/* What failed, in which phase, and what remains. */
static void
report_failure(Job *job, int status)
{
	const char *message;
	const char *detail;
	const char *hint;
	const char *phase;
	char	   *reason;

	if (!run_failure(&message, &detail, &hint, &phase))
		return;
	if (job->output == NULL)
		partial_remove(job);
	if (status < 0 && !run_signaled() && hold_lost(job, &reason))
	{
		print_lost(job, reason, message);
		detail = hint = NULL;
	}
	else
		pg_log_error("%s", message);
	if (detail)
		pg_log_error_detail("%s", detail);
	pg_log_error_detail("This happened while %s.", phase);
	if (hint)
		pg_log_error_hint("%s", hint);
	if (status >= 0)
		pg_log_error_detail("The backup is complete, but the server does not know it, or its pin was not moved.");
	else if (job->output != NULL)
		pg_log_error_hint("Directory \"%s\" remains; %s.", job->partial,
						  job->options->tar ? "remove it" :
						  "use --resume to go on with it, or remove it");
	if (job->options->json && status < 0)
	{
		printf("{\"status\": \"failed\", \"phase\": \"%s\"}\n", phase);
	}
}

int
main(int argc, char **argv)
{
	Options		options;
	Job			job = {.options = &options,.dir = -1,.progress_fd = -1};
	int			status = -1;

	pg_logging_init(argv[0]);
	set_pglocale_pgservice(argv[0], PG_TEXTDOMAIN("ckpx_basebackup"));
	options_parse(&options, argc, argv);
	run_begin();
	job.begin_ms = run_clock_ms();
	if (!take_backup(&job, &status))
		report_failure(&job, status);
	if (job.holder != NULL)
		session_close(job.holder);
	return status < 0 ? 1 : status;
}
