/*-------------------------------------------------------------------------
 *
 * options.c
 *		Defines the settings, ckpx.*
 *
 * One statement defines one setting: its sentence, its special values in the
 * long description, its unit and its bounds, which are the macros below.  A
 * check hook judges only what a bound cannot say, and never looks at another
 * setting: on a reload the settings arrive one by one, so a rule about two of
 * them would depend on their order.  Such rules are the runner's: it sees all
 * settings together and takes the smaller value.
 *
 * Names, units and bounds are printed by a regression test, so that the
 * documentation cannot drift from them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "core/format/names.h"
#include "core/format/object_format.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "server/base/options.h"
#include "utils/guc.h"

/* Times, in milliseconds. */
#define SECOND_MS				1000
#define MINUTE_MS				(60 * SECOND_MS)
#define HOUR_MS					(60 * MINUTE_MS)
#define DAY_MS					(24 * HOUR_MS)

#define MIN_COLLECT_INTERVAL	10
#define MAX_COLLECT_INTERVAL	HOUR_MS
#define MAX_COLLECT_LAG			HOUR_MS
#define MIN_FLUSH_INTERVAL		100
#define MAX_FLUSH_INTERVAL		DAY_MS
#define MAX_MIN_INTERVAL		DAY_MS
#define MAX_MAX_INTERVAL		INT_MAX
#define MAX_VERSION_INTERVAL	INT_MAX
#define MAX_COMMIT_WAIT			HOUR_MS
#define MIN_FORCE_TIMEOUT		100
#define MAX_FORCE_TIMEOUT		DAY_MS
#define MIN_FORCE_CHECK			10
#define MAX_FORCE_CHECK			MINUTE_MS

/* Times, in seconds. */
#define DEFAULT_GC_KEEP_TIME	86400
#define MAX_GC_KEEP_TIME		(INT_MAX / 1000)

/* Sizes, in kilobytes. */
#define KB_MB					1024
#define KB_GB					(1024 * KB_MB)
#define MIN_FLUSH_MEMORY_CAP	KB_MB
#define MIN_TABLE_CAPACITY		64
#define MIN_CHECKPOINT_SIZE		64
#define MAX_CHECKPOINT_SIZE		(1024 * KB_GB)
#define MIN_RETAINED_WAL		(2 * KB_MB)
#define MIN_LOGTAIL_MEMORY		KB_MB
#define MAX_LOGTAIL_MEMORY		(64 * KB_GB)

/* Numbers of things. */
#define MIN_MIN_COUNT			1
#define MIN_GLOBAL_MIN_COUNT	1
#define MAX_GLOBAL_MIN_COUNT	10000
#define MIN_DIRTY_QUEUE			100
#define MIN_OTHER_QUEUE			1000
#define MAX_QUEUE				1000000
#define MIN_BLOCK_ROWS			1
#define MAX_BLOCK_ROWS			1000000
#define MIN_ENTRIES				100
#define MAX_ENTRIES				100000

/* Longest folder setting: the folder's and a file's name must still fit. */
#define MAX_DIRECTORY_LENGTH	(MAXPGPATH - 2 * CKPX_NAME_MAX)

bool		ckpx_enabled = true;
int			ckpx_collect_interval = 5 * SECOND_MS;
int			ckpx_collect_lag = 0;
int			ckpx_flush_mode = CKPX_FLUSH_MODE_DEMAND;
int			ckpx_max_flush_interval = MINUTE_MS;
int			ckpx_flush_memory_cap = -1;
int			ckpx_table_flush_capacity = -1;
int			ckpx_flush_rate_limit = 0;
int			ckpx_min_incremental_interval = MINUTE_MS;
int			ckpx_min_count = 10000;
int			ckpx_max_incremental_interval = 10 * MINUTE_MS;
int			ckpx_max_incremental_wal = KB_GB;
int			ckpx_global_min_count = 10;
int			ckpx_global_version_interval = HOUR_MS;
int			ckpx_gc_keep_time = DEFAULT_GC_KEEP_TIME;
int			ckpx_commit_wait = 10 * SECOND_MS;
int			ckpx_force_flush_timeout = 90 * SECOND_MS;
int			ckpx_force_flush_check_interval = 400;
int			ckpx_dirty_queue_size = 10000;
int			ckpx_wait_queue_size = 1000;
int			ckpx_checkpoint_queue_size = 1000;
int			ckpx_checkpoint_block_rows = 10000;
int			ckpx_checkpoint_size = 512 * KB_MB;
int			ckpx_reserved_wal = 0;
int			ckpx_max_retained_wal = 10 * KB_GB;
int			ckpx_logtail_memory = 64 * KB_MB;
int			ckpx_max_entries = 10000;
char	   *ckpx_directory = NULL;
int			ckpx_max_directory_size = 0;
int			ckpx_compression = CKPX_COMPRESSION_NONE;
bool		ckpx_log_checkpoints = true;
char	   *ckpx_post_checkpoint_command = NULL;

#ifdef USE_ZSTD
#define DEFAULT_COMPRESSION		CKPX_COMPRESSION_ZSTD
#define HIDE_ZSTD				false
#else
#define DEFAULT_COMPRESSION		CKPX_COMPRESSION_NONE
#define HIDE_ZSTD				true
#endif

static const struct config_enum_entry compression_options[] = {
	{"none", CKPX_COMPRESSION_NONE, false},
	{"zstd", CKPX_COMPRESSION_ZSTD, HIDE_ZSTD},
	{NULL, 0, false}
};

static const struct config_enum_entry flush_options[] = {
	{"off", CKPX_FLUSH_MODE_OFF, false},
	{"demand", CKPX_FLUSH_MODE_DEMAND, false},
	{"on", CKPX_FLUSH_MODE_ON, false},
	{"false", CKPX_FLUSH_MODE_OFF, true},
	{"true", CKPX_FLUSH_MODE_ON, true},
	{"no", CKPX_FLUSH_MODE_OFF, true},
	{"yes", CKPX_FLUSH_MODE_ON, true},
	{"0", CKPX_FLUSH_MODE_OFF, true},
	{"1", CKPX_FLUSH_MODE_ON, true},
	{NULL, 0, false}
};

/* Every setting, in the order in which ckpx_options_log() prints them. */
static const char *const option_names[] = {
	"ckpx.enabled",
	"ckpx.collect_interval",
	"ckpx.collect_lag",
	"ckpx.flush",
	"ckpx.max_flush_interval",
	"ckpx.flush_memory_cap",
	"ckpx.table_flush_capacity",
	"ckpx.flush_rate_limit",
	"ckpx.min_incremental_interval",
	"ckpx.min_count",
	"ckpx.max_incremental_interval",
	"ckpx.max_incremental_wal",
	"ckpx.global_min_count",
	"ckpx.global_version_interval",
	"ckpx.gc_keep_time",
	"ckpx.commit_wait",
	"ckpx.force_flush_timeout",
	"ckpx.force_flush_check_interval",
	"ckpx.dirty_queue_size",
	"ckpx.wait_queue_size",
	"ckpx.checkpoint_queue_size",
	"ckpx.checkpoint_block_rows",
	"ckpx.checkpoint_size",
	"ckpx.reserved_wal",
	"ckpx.max_retained_wal",
	"ckpx.logtail_memory",
	"ckpx.max_entries",
	"ckpx.directory",
	"ckpx.max_directory_size",
	"ckpx.compression",
	"ckpx.log_checkpoints",
	"ckpx.post_checkpoint_command"
};

/*
 * Is 'path', relative to the data directory and canonical, PostgreSQL's own
 * ground?  A folder there would be taken for a database, copied as WAL, or
 * emptied at the next start.
 */
static bool
is_server_folder(const char *path)
{
	Size		length = strcspn(path, "/");

	return strncmp(path, "pg_", 3) == 0 ||
		(length == 4 && strncmp(path, "base", 4) == 0) ||
		(length == 6 && strncmp(path, "global", 6) == 0);
}

static bool
check_directory(char **newval, void **extra, GucSource source)
{
	char		path[MAXPGPATH];
	const char *inside = NULL;

	if (**newval == '\0')
	{
		GUC_check_errdetail("\"%s\" must not be empty.", "ckpx.directory");
		return false;
	}
	if (strlen(*newval) >= MAX_DIRECTORY_LENGTH)
	{
		GUC_check_errdetail("\"%s\" must be shorter than %d bytes.",
							"ckpx.directory", (int) MAX_DIRECTORY_LENGTH);
		return false;
	}

	strlcpy(path, *newval, sizeof(path));
	canonicalize_path(path);
	if (path_contains_parent_reference(path))
	{
		GUC_check_errdetail("\"%s\" must not lead to a parent directory (\"..\").",
							"ckpx.directory");
		return false;
	}

	if (!is_absolute_path(path))
		inside = path;
	else if (DataDir != NULL && path_is_prefix_of_path(DataDir, path))
	{
		inside = path + strlen(DataDir);
		while (*inside == '/')
			inside++;
	}
	if (inside == NULL)
		return true;

	if (*inside == '\0' || strcmp(inside, ".") == 0)
	{
		GUC_check_errdetail("\"%s\" must not be the data directory itself.",
							"ckpx.directory");
		return false;
	}
	if (is_server_folder(inside))
	{
		GUC_check_errdetail("\"%s\" must not lie in a directory that belongs to PostgreSQL.",
							"ckpx.directory");
		return false;
	}
	return true;
}

/* Is 'value' -1, or at least 'min' kilobytes? */
static bool
check_size(const char *name, int value, int min)
{
	if (value == -1 || value >= min)
		return true;
	GUC_check_errdetail("\"%s\" must be -1 or at least %d kB.", name, min);
	return false;
}

static bool
check_flush_memory_cap(int *newval, void **extra, GucSource source)
{
	return check_size("ckpx.flush_memory_cap", *newval, MIN_FLUSH_MEMORY_CAP);
}

static bool
check_table_flush_capacity(int *newval, void **extra, GucSource source)
{
	return check_size("ckpx.table_flush_capacity", *newval,
					  MIN_TABLE_CAPACITY);
}

static bool
check_compression(int *newval, void **extra, GucSource source)
{
#ifndef USE_ZSTD
	if (*newval == CKPX_COMPRESSION_ZSTD)
	{
		GUC_check_errdetail("This build does not support compression with %s.",
							"zstd");
		return false;
	}
#endif
	return true;
}

static void
define_collecting(void)
{
	DefineCustomBoolVariable("ckpx.enabled",
							 "Makes incremental and global checkpoints.",
							 "When off, WAL is still followed and flushing goes on, "
							 "but no new checkpoint begins.",
							 &ckpx_enabled, true,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("ckpx.collect_interval",
							"Sets the time between two rounds of the runner.",
							"In each round it reads the WAL that was written since, "
							"cuts a piece of the map and looks for work.",
							&ckpx_collect_interval, 5 * SECOND_MS,
							MIN_COLLECT_INTERVAL, MAX_COLLECT_INTERVAL,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("ckpx.collect_lag",
							"Sets how far behind the end of WAL the runner stays.",
							"Zero follows at once. Calls that wait for a position "
							"ignore this setting.",
							&ckpx_collect_lag, 0, 0, MAX_COLLECT_LAG,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("ckpx.reserved_wal",
							"Sets how much WAL is kept beyond what ckpx needs itself.",
							"Zero keeps none.",
							&ckpx_reserved_wal, 0, 0, MAX_KILOBYTES,
							PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("ckpx.max_retained_wal",
							"Sets how much WAL ckpx may hold back at most.",
							"Beyond it ckpx gives up its history and begins anew. "
							"Where max_slot_wal_keep_size is smaller, the smaller "
							"one counts.",
							&ckpx_max_retained_wal, 10 * KB_GB,
							MIN_RETAINED_WAL, MAX_KILOBYTES,
							PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);
}

static void
define_flushing(void)
{
	DefineCustomEnumVariable("ckpx.flush",
							 "Sets when dirty buffers of changed relations are written.",
							 "\"demand\" writes what a checkpoint of ckpx needs to be "
							 "durable; \"on\" also writes ahead of PostgreSQL's "
							 "checkpoints; when \"off\", a checkpoint of ckpx waits "
							 "for one of PostgreSQL.",
							 &ckpx_flush_mode, CKPX_FLUSH_MODE_DEMAND,
							 flush_options,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("ckpx.max_flush_interval",
							"Sets the interval from which a relation's flush deadline follows.",
							"The deadline is five times as long, spread by a tenth.",
							&ckpx_max_flush_interval, MINUTE_MS,
							MIN_FLUSH_INTERVAL, MAX_FLUSH_INTERVAL,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("ckpx.flush_memory_cap",
							"Sets the amount of dirty buffers at which the pressure to flush is full.",
							"-1 means all of shared_buffers: what is written early "
							"is often written again.",
							&ckpx_flush_memory_cap, -1, -1, MAX_KILOBYTES,
							PGC_SIGHUP, GUC_UNIT_KB,
							check_flush_memory_cap, NULL, NULL);
	DefineCustomIntVariable("ckpx.table_flush_capacity",
							"Sets the amount of dirty buffers at which one relation is flushed.",
							"-1 means an eighth of shared_buffers.",
							&ckpx_table_flush_capacity, -1, -1, MAX_KILOBYTES,
							PGC_SIGHUP, GUC_UNIT_KB,
							check_table_flush_capacity, NULL, NULL);
	DefineCustomIntVariable("ckpx.flush_rate_limit",
							"Sets how many kilobytes per second the flusher writes at most.",
							"Zero means no limit.",
							&ckpx_flush_rate_limit, 0, 0, MAX_KILOBYTES,
							PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("ckpx.force_flush_timeout",
							"Sets how long a forced flush is waited for.",
							"Used where a call names no timeout of its own.",
							&ckpx_force_flush_timeout, 90 * SECOND_MS,
							MIN_FORCE_TIMEOUT, MAX_FORCE_TIMEOUT,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("ckpx.force_flush_check_interval",
							"Sets the time between two looks at a forced flush.",
							NULL,
							&ckpx_force_flush_check_interval, 400,
							MIN_FORCE_CHECK, MAX_FORCE_CHECK,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
}

static void
define_checkpoints(void)
{
	DefineCustomIntVariable("ckpx.min_incremental_interval",
							"Sets the shortest time between two incremental checkpoints.",
							"The first one of an epoch needs none.",
							&ckpx_min_incremental_interval, MINUTE_MS,
							0, MAX_MIN_INTERVAL,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("ckpx.min_count",
							"Sets how many transactions must have ended before an incremental checkpoint.",
							NULL,
							&ckpx_min_count, 10000, MIN_MIN_COUNT, INT_MAX,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("ckpx.max_incremental_interval",
							"Sets the longest time between two incremental checkpoints while anything changes.",
							"Zero turns this rule off.",
							&ckpx_max_incremental_interval, 10 * MINUTE_MS,
							0, MAX_MAX_INTERVAL,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("ckpx.max_incremental_wal",
							"Sets the amount of WAL after which an incremental checkpoint is made.",
							"Zero turns this rule off.",
							&ckpx_max_incremental_wal, KB_GB, 0, MAX_KILOBYTES,
							PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("ckpx.global_min_count",
							"Sets how many new incremental checkpoints make a global one.",
							NULL,
							&ckpx_global_min_count, 10,
							MIN_GLOBAL_MIN_COUNT, MAX_GLOBAL_MIN_COUNT,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("ckpx.global_version_interval",
							"Sets for how long a global checkpoint tells incremental ones apart.",
							"Older changes are kept in exponentially coarser steps.",
							&ckpx_global_version_interval, HOUR_MS,
							0, MAX_VERSION_INTERVAL,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("ckpx.gc_keep_time",
							"Sets how long checkpoints are kept that a global one covers.",
							"Zero removes them at the next round.",
							&ckpx_gc_keep_time, DEFAULT_GC_KEEP_TIME,
							0, MAX_GC_KEEP_TIME,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("ckpx.commit_wait",
							"Sets how long a checkpoint waits for the transactions of its range to end.",
							"Zero does not wait. Transactions still open are listed in "
							"the checkpoint.",
							&ckpx_commit_wait, 10 * SECOND_MS,
							0, MAX_COMMIT_WAIT,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomBoolVariable("ckpx.log_checkpoints",
							 "Logs each finished checkpoint.",
							 "Also logs what a checkpoint that takes long waits for.",
							 &ckpx_log_checkpoints, true,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("ckpx.post_checkpoint_command",
							   "Sets the shell command that is run after each finished checkpoint.",
							   "An empty string runs none.",
							   &ckpx_post_checkpoint_command, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY,
							   NULL, NULL, NULL);
}

static void
define_files(void)
{
	DefineCustomStringVariable("ckpx.directory",
							   "Sets the directory in which ckpx keeps its files.",
							   "A relative path starts at the data directory. What lies in "
							   "the data directory is copied by pg_basebackup and replaced "
							   "by pg_rewind.",
							   &ckpx_directory, CKPX_DEFAULT_DIRECTORY,
							   PGC_POSTMASTER, GUC_SUPERUSER_ONLY,
							   check_directory, NULL, NULL);
	DefineCustomIntVariable("ckpx.max_directory_size",
							"Sets how large the files of ckpx may become together.",
							"Zero means no limit.",
							&ckpx_max_directory_size, 0, 0, MAX_KILOBYTES,
							PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("ckpx.checkpoint_block_rows",
							"Sets how many relation forks go into one section of a checkpoint object.",
							NULL,
							&ckpx_checkpoint_block_rows, 10000,
							MIN_BLOCK_ROWS, MAX_BLOCK_ROWS,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("ckpx.checkpoint_size",
							"Sets the size over which a checkpoint object is split into parts.",
							NULL,
							&ckpx_checkpoint_size, 512 * KB_MB,
							MIN_CHECKPOINT_SIZE, MAX_CHECKPOINT_SIZE,
							PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomEnumVariable("ckpx.compression",
							 "Sets the compression of checkpoint objects.",
							 NULL,
							 &ckpx_compression, DEFAULT_COMPRESSION,
							 compression_options,
							 PGC_SIGHUP, 0, check_compression, NULL, NULL);
}

static void
define_memory(void)
{
	DefineCustomIntVariable("ckpx.logtail_memory",
							"Sets the shared memory for the part of the map that is in no checkpoint yet.",
							"When it is full, pieces are merged and then written to disk.",
							&ckpx_logtail_memory, 64 * KB_MB,
							MIN_LOGTAIL_MEMORY, MAX_LOGTAIL_MEMORY,
							PGC_POSTMASTER, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("ckpx.max_entries",
							"Sets how many checkpoints can be known at a time.",
							"Each takes half a kilobyte of shared memory, and as much "
							"in each manifest: one is written with every checkpoint, "
							"and with every pin.",
							&ckpx_max_entries, 10000, MIN_ENTRIES, MAX_ENTRIES,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("ckpx.dirty_queue_size",
							"Sets how many requests to flush a relation can wait.",
							NULL,
							&ckpx_dirty_queue_size, 10000,
							MIN_DIRTY_QUEUE, MAX_QUEUE,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("ckpx.wait_queue_size",
							"Sets how many requests to release WAL can wait.",
							NULL,
							&ckpx_wait_queue_size, 1000,
							MIN_OTHER_QUEUE, MAX_QUEUE,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("ckpx.checkpoint_queue_size",
							"Sets how many requests for a checkpoint can wait.",
							NULL,
							&ckpx_checkpoint_queue_size, 1000,
							MIN_OTHER_QUEUE, MAX_QUEUE,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
}

/*
 * Define every setting.  To be called only while shared_preload_libraries are
 * loaded: a setting that needs a restart cannot be defined later, and a
 * session that merely loads the library must not lose what the configuration
 * file says.
 */
void
ckpx_options_define(void)
{
	define_collecting();
	define_flushing();
	define_checkpoints();
	define_files();
	define_memory();
	MarkGUCPrefixReserved("ckpx");
}

/*
 * Log every setting, in its base unit.  Not by the function that SHOW uses:
 * that one looks into the catalogs, and the runner has no database.  Of the
 * post command only whether there is one: it may hold a password.
 */
void
ckpx_options_log(void)
{
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 0; i < (int) lengthof(option_names); i++)
	{
		const char *value = GetConfigOption(option_names[i], false, false);

		if (strcmp(option_names[i], "ckpx.post_checkpoint_command") == 0 &&
			value[0] != '\0')
			value = "(set)";
		appendStringInfo(&text, "%s%s = '%s'", i == 0 ? "" : ", ",
						 option_names[i] + strlen("ckpx."), value);
	}
	ereport(LOG,
			(errmsg("ckpx settings: %s", text.data)));
	pfree(text.data);
}

/*
 * Is there a command that has to succeed before a checkpoint's object may go?
 */
bool
ckpx_post_command_is_set(void)
{
	return ckpx_post_checkpoint_command != NULL &&
		ckpx_post_checkpoint_command[0] != '\0';
}
