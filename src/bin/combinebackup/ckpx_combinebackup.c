/*-------------------------------------------------------------------------
 *
 * ckpx_combinebackup.c
 *		Make a full backup or a data directory out of incremental backups.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <limits.h>
#include <time.h>

#include "bin/combinebackup/choose.h"
#include "bin/combinebackup/combine.h"
#include "bin/combinebackup/into.h"
#include "bin/combinebackup/list.h"
#include "bin/combinebackup/recovery.h"
#include "bin/combinebackup/verify.h"
#include "bin/combinebackup/workers.h"
#include "common/logging.h"
#include "fe_utils/option_utils.h"
#include "getopt_long.h"

#define MAX_WORKERS 64

typedef struct Options
{
	CombineOptions combine;
	RecoveryOptions recovery;
	const char *output;
	const char *into;
	const char *list;
	const char *expire;
	const char *verify;
	int			keep;			/* -1: not given */
	int			keep_days;		/* the same */
} Options;

enum
{
	OPT_CLONE = 256,
	OPT_COPY,
	OPT_COPY_FILE_RANGE,
	OPT_MANIFEST_CHECKSUMS,
	OPT_NO_MANIFEST,
	OPT_INTO,
	OPT_LIST,
	OPT_EXPIRE,
	OPT_KEEP,
	OPT_KEEP_DAYS,
	OPT_VERIFY,
	OPT_TARGET_TIME,
	OPT_TARGET_LSN,
	OPT_TARGET_NAME,
	OPT_TARGET_XID,
	OPT_TARGET_ACTION,
	OPT_RESTORE_COMMAND
};

static const struct option long_options[] = {
	{"debug", no_argument, NULL, 'd'},
	{"jobs", required_argument, NULL, 'j'},
	{"dry-run", no_argument, NULL, 'n'},
	{"no-sync", no_argument, NULL, 'N'},
	{"output", required_argument, NULL, 'o'},
	{"progress", no_argument, NULL, 'P'},
	{"tablespace-mapping", required_argument, NULL, 'T'},
	{"clone", no_argument, NULL, OPT_CLONE},
	{"copy", no_argument, NULL, OPT_COPY},
	{"copy-file-range", no_argument, NULL, OPT_COPY_FILE_RANGE},
	{"manifest-checksums", required_argument, NULL, OPT_MANIFEST_CHECKSUMS},
	{"no-manifest", no_argument, NULL, OPT_NO_MANIFEST},
	{"into", required_argument, NULL, OPT_INTO},
	{"list", required_argument, NULL, OPT_LIST},
	{"expire", required_argument, NULL, OPT_EXPIRE},
	{"keep", required_argument, NULL, OPT_KEEP},
	{"keep-days", required_argument, NULL, OPT_KEEP_DAYS},
	{"verify", required_argument, NULL, OPT_VERIFY},
	{"target-time", required_argument, NULL, OPT_TARGET_TIME},
	{"target-lsn", required_argument, NULL, OPT_TARGET_LSN},
	{"target-name", required_argument, NULL, OPT_TARGET_NAME},
	{"target-xid", required_argument, NULL, OPT_TARGET_XID},
	{"target-action", required_argument, NULL, OPT_TARGET_ACTION},
	{"restore-command", required_argument, NULL, OPT_RESTORE_COMMAND},
	{NULL, 0, NULL, 0}
};

static void
help(const char *progname)
{
	printf("%s makes a full backup or a data directory out of incremental backups.\n\n", progname);
	printf("Usage:\n");
	printf("  %s [OPTION]... BACKUP -o OUTPUT       data directory as of BACKUP\n", progname);
	printf("  %s [OPTION]... FULL INCREMENT... -o OUTPUT\n", progname);
	printf("  %s [OPTION]... BACKUP --into=FULL     FULL becomes a full as of BACKUP\n", progname);
	printf("  %s --list=DIRECTORY\n", progname);
	printf("  %s --expire=DIRECTORY --keep=N [-n]\n", progname);
	printf("  %s --verify=BACKUP\n\n", progname);
	printf("A backup's ancestors are looked for in the directory that it is in.\n");
	printf("\nOptions:\n");
	printf("  -d, --debug                 show a lot of debugging output\n");
	printf("  -j, --jobs=NUM              use this many threads (default: 2)\n");
	printf("  -n, --dry-run               do not change anything\n");
	printf("  -N, --no-sync               do not wait for changes to be written safely to disk\n");
	printf("  -o, --output=DIRECTORY      make a data directory\n");
	printf("  -P, --progress              show progress\n");
	printf("  -T, --tablespace-mapping=OLDDIR=NEWDIR\n"
		   "                              put the tablespace in OLDDIR into NEWDIR\n");
	printf("  --clone                     clone files of the backups instead of copying them\n");
	printf("  --copy                      copy files of the backups (default)\n");
	printf("  --copy-file-range           let the kernel copy files of the backups\n");
	printf("  --expire=DIRECTORY          remove chains of backups that are not kept\n");
	printf("  --into=FULL                 roll FULL forward; the backups in between go\n");
	printf("  --keep=NUM                  with --expire: keep the newest NUM chains\n");
	printf("  --keep-days=DAYS            with --expire: keep what any moment of so many days needs\n");
	printf("  --list=DIRECTORY            show the backups in a directory\n");
	printf("  --manifest-checksums=SHA{224,256,384,512}|CRC32C|NONE\n"
		   "                              algorithm of the manifest's checksums\n");
	printf("  --no-manifest               do not make a backup manifest\n");
	printf("  --restore-command=COMMAND   with -o: set restore_command, start archive recovery\n");
	printf("  --target-action=ACTION      pause, promote or shutdown at the target\n");
	printf("  --target-lsn=LSN            with -o: recover to this LSN\n");
	printf("  --target-name=NAME          with -o: recover to this restore point\n");
	printf("  --target-time=TIME          with -o: recover to this time; BACKUP may be a directory\n"
		   "                              of backups, of which the newest that had ended is taken\n");
	printf("  --target-xid=XID            with -o: recover to this transaction\n");
	printf("  --verify=BACKUP             check a backup and all that it needs, without a server\n");
	printf("  -V, --version               output version information, then exit\n");
	printf("  -?, --help                  show this help, then exit\n");
}

/* Report a problem, with the hint behind its first newline. */
static void
report(char *problem)
{
	char	   *hint = strchr(problem, '\n');

	if (hint != NULL)
		*hint++ = '\0';
	pg_log_error("%s", problem);
	if (hint != NULL)
		pg_log_error_hint("%s", hint);
}

static void
fail(char *problem)
{
	if (problem == NULL)
		return;
	report(problem);
	exit(1);
}

static void
usage_error(const char *problem)
{
	pg_log_error("%s", problem);
	pg_log_error_hint("Try \"%s --help\" for more information.",
					  "ckpx_combinebackup");
	exit(1);
}

/* An option that takes a number. */
static int
number(const char *name, const char *value, int min, int max)
{
	int			result;

	if (!option_parse_int(value, name, min, max, &result))
		exit(1);
	return result;
}

static void
parse_checksums(CombineOptions *combine, char *name)
{
	if (!pg_checksum_parse_type(name, &combine->checksum_type))
		pg_fatal("unrecognized checksum algorithm: \"%s\"", name);
}

/* Options that change how files are combined; false: it is another one. */
static bool
parse_combine_option(CombineOptions *combine, int c)
{
	switch (c)
	{
		case 'd':
			pg_logging_increase_verbosity();
			break;
		case 'j':
			combine->nworkers = number("-j/--jobs", optarg, 1, MAX_WORKERS);
			break;
		case 'n':
			combine->dry_run = true;
			break;
		case 'N':
			combine->sync = false;
			break;
		case 'P':
			combine->progress = true;
			break;
		case 'T':
			fail(mapping_add(&combine->mappings, optarg));
			break;
		case OPT_CLONE:
			combine->method = COPY_METHOD_CLONE;
			break;
		case OPT_COPY:
			combine->method = COPY_METHOD_READ;
			break;
		case OPT_COPY_FILE_RANGE:
			combine->method = COPY_METHOD_RANGE;
			break;
		case OPT_MANIFEST_CHECKSUMS:
			parse_checksums(combine, optarg);
			break;
		case OPT_NO_MANIFEST:
			combine->manifest = false;
			break;
		default:
			return false;
	}
	return true;
}

static void
parse_option(Options *options, int c)
{
	switch (c)
	{
		case 'o':
			options->output = optarg;
			break;
		case OPT_INTO:
			options->into = optarg;
			break;
		case OPT_LIST:
			options->list = optarg;
			break;
		case OPT_EXPIRE:
			options->expire = optarg;
			break;
		case OPT_KEEP:
			options->keep = number("--keep", optarg, 1, INT_MAX);
			break;
		case OPT_KEEP_DAYS:
			options->keep_days = number("--keep-days", optarg, 0, 36500);
			break;
		case OPT_VERIFY:
			options->verify = optarg;
			break;
		case OPT_TARGET_TIME:
			options->recovery.time = optarg;
			break;
		case OPT_TARGET_LSN:
			options->recovery.lsn = optarg;
			break;
		case OPT_TARGET_NAME:
			options->recovery.name = optarg;
			break;
		case OPT_TARGET_XID:
			options->recovery.xid = optarg;
			break;
		case OPT_TARGET_ACTION:
			options->recovery.action = optarg;
			break;
		case OPT_RESTORE_COMMAND:
			options->recovery.restore_command = optarg;
			break;
		default:
			usage_error("invalid option");
	}
}

/* Make a data directory. */
static void
run_combine(Options *options, char **paths, int npaths)
{
	CombineOptions *combine_options = &options->combine;
	const char *why;
	Backup	  **chain;
	int			nbackups;

	combine_options->recovery = recovery_lines(&options->recovery, &why);
	if (why != NULL)
		usage_error(why);
	if (npaths == 1 && options->recovery.time != NULL &&
		!choose_is_backup(paths[0]))
	{
		int64		when;

		if (!recovery_parse_time(options->recovery.time, &when))
			pg_fatal("--target-time must be like \"2030-12-31 23:59:59+01\" where a backup is to be chosen by it");
		fail(choose_before(paths[0], when, &paths[0]));
		pg_log_info("taking backup \"%s\"", paths[0]);
	}
	fail(choose_chain(paths, npaths, &chain, &nbackups));
	fail(combine(chain, nbackups, options->output, combine_options));
}

/* Check a backup and its ancestors. */
static void
run_verify(Options *options)
{
	char	   *path = (char *) options->verify;
	Backup	  **chain;
	int			nbackups;

	fail(choose_chain(&path, 1, &chain, &nbackups));
	if (!verify_chain(chain, nbackups, options->combine.nworkers,
					  options->combine.progress))
		exit(1);
}

static void
check_options(const Options *options, int npaths)
{
	int			nmodes = (options->output != NULL) +
		(options->into != NULL) + (options->list != NULL) +
		(options->expire != NULL) + (options->verify != NULL);
	bool		recovery = options->recovery.time || options->recovery.lsn ||
		options->recovery.name || options->recovery.xid ||
		options->recovery.action || options->recovery.restore_command;

	if (nmodes == 0)
		usage_error("no output directory specified");
	if (nmodes > 1)
		usage_error("only one of -o, --into, --list, --expire and --verify may be given");
	if (options->output != NULL && npaths == 0)
		usage_error("no input directories specified");
	if (options->into != NULL && npaths != 1)
		usage_error("--into needs one backup");
	if (options->output == NULL && options->into == NULL && npaths > 0)
		usage_error("too many command-line arguments");
	if (recovery && options->output == NULL)
		usage_error("recovery settings need -o");
	if (options->combine.mappings != NULL && options->output == NULL &&
		options->into == NULL)
		usage_error("-T needs -o or --into");
	if (options->into != NULL && !options->combine.manifest)
		usage_error("a full backup needs its manifest");
	if ((options->keep >= 0) + (options->keep_days >= 0) !=
		(options->expire != NULL ? 1 : 0))
		usage_error(options->expire ?
					"--expire needs one of --keep and --keep-days" :
					"--keep and --keep-days need --expire");
}

int
main(int argc, char **argv)
{
	const char *progname = get_progname(argv[0]);
	Options		options;
	int			c;

	pg_logging_init(argv[0]);
	set_pglocale_pgservice(argv[0], PG_TEXTDOMAIN("ckpx_combinebackup"));
	handle_help_version_opts(argc, argv, progname, help);

	memset(&options, 0, sizeof(options));
	options.keep = options.keep_days = -1;
	options.combine.nworkers = 2;
	options.combine.sync = options.combine.manifest = true;
	options.combine.method = COPY_METHOD_READ;
	options.combine.checksum_type = CHECKSUM_TYPE_CRC32C;
	while ((c = getopt_long(argc, argv, "dj:nNo:PT:", long_options,
							NULL)) != -1)
		if (!parse_combine_option(&options.combine, c))
			parse_option(&options, c);
	argv += optind;
	argc -= optind;
	check_options(&options, argc);
	workers_catch_signals();

	if (options.output != NULL)
		run_combine(&options, argv, argc);
	else if (options.into != NULL)
		fail(roll_into(argv[0], options.into, &options.combine));
	else if (options.list != NULL)
		fail(list_backups(options.list));
	else if (options.expire != NULL)
		fail(expire_backups(options.expire, options.keep, options.keep_days,
							time(NULL), options.combine.dry_run));
	else
		run_verify(&options);
	return 0;
}
