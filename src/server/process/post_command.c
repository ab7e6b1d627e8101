/*-------------------------------------------------------------------------
 *
 * post_command.c
 *		ckpx.post_checkpoint_command, run by the ckpx observer.
 *
 * A finished entry whose 'post_pending' is set waits for its command.  The
 * flag is set when the entry finishes while a command is configured, it is in
 * the manifest, and until it is cleared garbage collection keeps the object
 * (up to the caps).  Commands run one after the other in the order of the
 * history, by epoch and end; one that fails is repeated after a growing pause,
 * and those behind it wait, as with archive_command.  The cleared flag gets
 * to disk with the next manifest, so after a crash a command may run again
 * for the same object: it must be able to.
 *
 * Like archive_command it runs with the rights of the server: a role that may
 * set it is a superuser in all but name.
 *
 * system() would neither hear SIGTERM nor leave the latch usable, so the
 * shell is started by hand, in a process group of its own, and polled.  The
 * group is ended when this process has to exit, whatever the reason.
 *
 *-------------------------------------------------------------------------
 */
#include "server/base/compat.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

#include "core/format/names.h"
#include "lib/stringinfo.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "server/base/entry_walk.h"
#include "server/base/fault.h"
#include "server/base/options.h"
#include "server/base/worker_status.h"
#include "server/process/post_command.h"
#include "storage/ipc.h"
#include "utils/memutils.h"

#define CKPX_OBSERVER_IDLE_MS	10000
#define CKPX_COMMAND_POLL_MS	1000	/* if SIGCHLD should get lost */
#define CKPX_KILL_AFTER_MS		1000

/* The process group that runs at present; 0: none. */
static volatile pid_t command_group = 0;

/* The command that failed last, how often, and when to try again. */
static char *failed_command = NULL;
static uint32 attempts = 0;
static uint64 retry_clock_ms = 0;

static void
handle_sigchld(SIGNAL_ARGS)
{
	int			save_errno = errno;

	SetLatch(MyLatch);
	errno = save_errno;
}

/*
 * End the command: politely, then not.  Called at exit, so nothing in here
 * may raise an error.
 */
static void
kill_command(void)
{
	pid_t		group = command_group;
	uint64		until = ckpx_clock_ms() + CKPX_KILL_AFTER_MS;

	if (group == 0)
		return;
	(void) kill(-group, SIGTERM);
	while (waitpid(group, NULL, WNOHANG) == 0)
	{
		if (ckpx_clock_ms() >= until)
		{
			(void) kill(-group, SIGKILL);
			(void) waitpid(group, NULL, 0);
			break;
		}
		pg_usleep(10000L);
	}

	/* The shell is gone; what it started may ignore SIGTERM. */
	(void) kill(-group, SIGKILL);
	command_group = 0;
}

static void
kill_command_at_exit(int code, Datum arg)
{
	kill_command();
}

/*
 * Put the placeholders in.  %k kind, %p path, %f file name, %s start, %e end,
 * %% a percent sign; anything else stays as it is.
 */
static char *
build_command(const char *format, const CkpxEntry *entry, const char *path,
			  const char *file)
{
	StringInfoData command;

	initStringInfo(&command);
	for (const char *c = format; *c != '\0'; c++)
	{
		if (*c != '%' || c[1] == '\0')
		{
			appendStringInfoChar(&command, *c);
			continue;
		}
		c++;
		switch (*c)
		{
			case 'k':
				appendStringInfoString(&command, ckpx_kind_name(entry->kind));
				break;
			case 'p':
				appendStringInfoString(&command, path);
				break;
			case 'f':
				appendStringInfoString(&command, file);
				break;
			case 's':
				appendStringInfo(&command, "%X/%X",
								 LSN_FORMAT_ARGS(entry->range.start_lsn));
				break;
			case 'e':
				appendStringInfo(&command, "%X/%X",
								 LSN_FORMAT_ARGS(entry->range.end_lsn));
				break;
			case '%':
				appendStringInfoChar(&command, '%');
				break;
			default:
				appendStringInfoChar(&command, '%');
				appendStringInfoChar(&command, *c);
				break;
		}
	}
	return command.data;
}

/*
 * In the child: become the shell.  Nothing of the server may leak into it.
 */
static void
exec_command(const char *command)
{
	int			null_fd;

	(void) setpgid(0, 0);
#ifdef __linux__
	/* A server that is killed cannot end the command. */
	(void) prctl(PR_SET_PDEATHSIG, SIGTERM);
#endif
	for (int signo = 1; signo < 32; signo++)
	{
		if (signo != SIGKILL && signo != SIGSTOP)
			(void) signal(signo, SIG_DFL);
	}
	(void) sigprocmask(SIG_SETMASK, &UnBlockSig, NULL);

	null_fd = open("/dev/null", O_RDONLY);
	if (null_fd > 0)
		(void) dup2(null_fd, 0);
#if defined(__linux__) && defined(SYS_close_range)
	if (syscall(SYS_close_range, 3, ~0U, 0) != 0)
#endif
	{
		for (int fd = 3; fd < 1024; fd++)
			(void) close(fd);
	}
	execl("/bin/sh", "sh", "-c", command, (char *) NULL);
	_exit(127);
}

/*
 * Run a command to its end; its wait status.
 */
static int
run_command(const char *command)
{
	static bool prepared = false;
	pid_t		pid;
	int			status = 0;

	if (!prepared)
	{
		prepared = true;
		pqsignal(SIGCHLD, handle_sigchld);
		before_shmem_exit(kill_command_at_exit, (Datum) 0);
	}

	/* A signal for this process must not run our handlers in the child. */
	fflush(stdout);
	fflush(stderr);
	(void) sigprocmask(SIG_SETMASK, &BlockSig, NULL);
	pid = fork();
	if (pid != 0)
	{
		int			save_errno = errno;

		(void) sigprocmask(SIG_SETMASK, &UnBlockSig, NULL);
		errno = save_errno;
	}
	if (pid < 0)
		ereport(ERROR,
				(errcode(ERRCODE_SYSTEM_ERROR),
				 errmsg("could not fork the post command: %m")));
	if (pid == 0)
		exec_command(command);

	/* Both sides do it, so the group is there when either goes on. */
	(void) setpgid(pid, pid);
	command_group = pid;
	CKPX_FAULT("command-started");
	for (;;)
	{
		pid_t		done = waitpid(pid, &status, WNOHANG);

		if (done == pid)
			break;
		if (done < 0 && errno != EINTR)
		{
			command_group = 0;
			ereport(ERROR,
					(errcode(ERRCODE_SYSTEM_ERROR),
					 errmsg("could not wait for the post command: %m")));
		}
		ckpx_worker_wait(CKPX_COMMAND_POLL_MS);
	}
	command_group = 0;
	return status;
}

/*
 * Say in words how a command ended; NULL: well.
 */
static char *
describe_status(int status)
{
	if (WIFEXITED(status))
		return WEXITSTATUS(status) == 0 ? NULL :
			psprintf("post command failed with exit code %d",
					 WEXITSTATUS(status));
	if (WIFSIGNALED(status))
		return psprintf("post command was terminated by signal %d",
						WTERMSIG(status));
	return psprintf("post command ended with status %d", status);
}

/*
 * Find the entry whose turn it is: the first one in the history.
 */
static bool
next_entry(CkpxEntry *entry)
{
	CkpxEntryWalk walk = {0};
	bool		found = false;

	while (!found && ckpx_entry_walk_next(&walk, LW_SHARED))
	{
		for (uint32 i = walk.begin; i < walk.end && !found; i++)
		{
			const CkpxEntry *candidate = ckpx_entry_store_at(CkpxShared->store,
															 i);

			found = CkpxShared->booted &&
				candidate->state == CKPX_ENTRY_FINISHED &&
				candidate->post_pending;
			if (found)
				*entry = *candidate;
		}
	}
	ckpx_entry_walk_pause(&walk);
	return found;
}

/*
 * Write the result on the entry, if it is still there.
 */
static void
note_result(const CkpxEntry *entry, const char *problem)
{
	CkpxEntry  *found;

	LWLockAcquire(CkpxShared->lock, LW_EXCLUSIVE);
	found = ckpx_shared_entry(entry);
	if (problem == NULL)
		CkpxShared->stat.commands_done++;
	else
		CkpxShared->stat.commands_failed++;
	if (found != NULL && problem == NULL)
	{
		found->post_pending = false;
		found->failed_phase = CKPX_PHASE_NONE;
		found->last_error[0] = '\0';
	}
	else if (found != NULL)
	{
		found->attempts++;
		found->failed_phase = CKPX_PHASE_COMMAND;
		strlcpy(found->last_error, problem, sizeof(found->last_error));
	}
	LWLockRelease(CkpxShared->lock);
	ConditionVariableBroadcast(&CkpxShared->progress);
}

/*
 * Without a command nothing waits for one, and no failure of one matters.
 */
static void
wait_for_nothing(void)
{
	CkpxEntryWalk walk = {0};

	while (ckpx_entry_walk_next(&walk, LW_EXCLUSIVE))
	{
		for (uint32 i = walk.begin; i < walk.end; i++)
		{
			CkpxEntry  *entry = ckpx_entry_store_at(CkpxShared->store, i);

			if (entry->post_pending &&
				entry->failed_phase == CKPX_PHASE_COMMAND)
			{
				entry->failed_phase = CKPX_PHASE_NONE;
				entry->last_error[0] = '\0';
			}
			entry->post_pending = false;
		}
	}
}

/*
 * Run the command for each file of the entry's object; NULL, or what went
 * wrong.
 */
static char *
run_for_entry(const CkpxEntry *entry, const char *command)
{
	char	   *problem = NULL;
	char		folder[MAXPGPATH];

	LWLockAcquire(CkpxShared->lock, LW_SHARED);
	strlcpy(folder, CkpxShared->folder, sizeof(folder));
	LWLockRelease(CkpxShared->lock);

	for (uint32 part = 0;
		 part < Max(entry->nparts, 1) && problem == NULL;
		 part++)
	{
		char		file[CKPX_NAME_MAX];
		char	   *path;

		ckpx_entry_object_name(file, entry, part);
		path = is_absolute_path(folder) ?
			psprintf("%s/%s", folder, file) :
			psprintf("%s/%s/%s", DataDir, folder, file);
		problem = describe_status(run_command(build_command(command, entry,
															path, file)));
	}
	return problem;
}

/* Start again with the attempts: it went well, or it is another command. */
static void
forget_failure(void)
{
	attempts = 0;
	retry_clock_ms = 0;
	if (failed_command != NULL)
		pfree(failed_command);
	failed_command = NULL;
}

/* 'command' is the one that ran, even if the setting has changed since. */
static void
note_failed_command(const char *command)
{
	if (failed_command != NULL && strcmp(failed_command, command) != 0)
		forget_failure();
	if (failed_command == NULL)
		failed_command = MemoryContextStrdup(TopMemoryContext, command);
	attempts++;
	retry_clock_ms = ckpx_clock_ms() + ckpx_entry_backoff_ms(attempts);
}

long
ckpx_post_command_step(void)
{
	CkpxEntry	entry;
	uint64		now = ckpx_clock_ms();

	if (failed_command != NULL &&
		strcmp(failed_command, ckpx_post_checkpoint_command) != 0)
		forget_failure();
	if (!ckpx_post_command_is_set())
	{
		if (next_entry(&entry))
			wait_for_nothing();
		ckpx_worker_report(CKPX_WORKER_OBSERVER, CKPX_WORKER_IDLE, "");
		return CKPX_OBSERVER_IDLE_MS;
	}
	if (now < retry_clock_ms)
		return (long) (retry_clock_ms - now);

	if (next_entry(&entry))
	{
		char	   *problem;
		char	   *command = pstrdup(ckpx_post_checkpoint_command);
		char		text[CKPX_ENTRY_TEXT_MAX];

		ckpx_worker_report(CKPX_WORKER_OBSERVER, CKPX_WORKER_BUSY,
						   "post command");
		problem = run_for_entry(&entry, command);
		note_result(&entry, problem);
		if (problem == NULL)
		{
			forget_failure();
			return 0;
		}

		note_failed_command(command);
		ckpx_worker_note(CKPX_WORKER_OBSERVER, problem);
		ckpx_worker_report(CKPX_WORKER_OBSERVER, CKPX_WORKER_BACKING_OFF,
						   "post command");
		if (attempts == 1)
			ereport(WARNING,
					(errcode(ERRCODE_EXTERNAL_ROUTINE_INVOCATION_EXCEPTION),
					 errmsg("ckpx %s", problem),
					 errdetail("It ran for %s and will be tried again.",
							   ckpx_entry_text(&entry, text)),
					 errhint("Until it succeeds the checkpoint's files are kept, as far as \"ckpx.max_entries\" and \"ckpx.max_directory_size\" allow.")));
		return (long) ckpx_entry_backoff_ms(attempts);
	}
	ckpx_worker_report(CKPX_WORKER_OBSERVER, CKPX_WORKER_IDLE, "");
	return CKPX_OBSERVER_IDLE_MS;
}
