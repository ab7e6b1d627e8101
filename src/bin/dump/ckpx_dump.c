/*-------------------------------------------------------------------------
 *
 * ckpx_dump.c
 *		Read the files of ckpx without a server.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include "bin/dump/blocks.h"
#include "bin/dump/diff.h"
#include "bin/dump/list.h"
#include "bin/dump/show.h"
#include "bin/dump/verify.h"
#include "common/logging.h"
#include "fe_utils/option_utils.h"
#include "getopt_long.h"

enum
{
	OPT_ALL = 256,
	OPT_BACKUPS,
	OPT_BLOCKS,
	OPT_GAPS,
	OPT_HELP,
	OPT_JSON,
	OPT_MARKS,
	OPT_PINS,
	OPT_RELATIONS,
	OPT_TO_WAL_SUMMARY
};

static const struct option long_options[] = {
	{"all", no_argument, NULL, OPT_ALL},
	{"backups", no_argument, NULL, OPT_BACKUPS},
	{"blocks", no_argument, NULL, OPT_BLOCKS},
	{"end", required_argument, NULL, 'e'},
	{"gaps", no_argument, NULL, OPT_GAPS},
	{"help", no_argument, NULL, OPT_HELP},
	{"json", no_argument, NULL, OPT_JSON},
	{"marks", no_argument, NULL, OPT_MARKS},
	{"pins", no_argument, NULL, OPT_PINS},
	{"relation", required_argument, NULL, 'r'},
	{"relations", no_argument, NULL, OPT_RELATIONS},
	{"start", required_argument, NULL, 's'},
	{"to-wal-summary", required_argument, NULL, OPT_TO_WAL_SUMMARY},
	{NULL, 0, NULL, 0}
};

/* A command, what it takes, and the options that mean something to it. */
typedef struct Command
{
	const char *name;
	int			min_paths;
	int			max_paths;		/* 0: any number */
	const char *options;		/* besides --json, separated by spaces */
} Command;

static const Command commands[] = {
	{"list", 1, 1, " all backups gaps marks pins "},
	{"show", 1, 1, " blocks marks relations "},
	{"blocks", 1, 0, " end relation start to-wal-summary "},
	{"verify", 1, 0, " "},
	{"diff", 2, 2, " "},
};

static void
help(const char *progname)
{
	printf("%s reads the files of ckpx without a server.\n\n", progname);
	printf("Usage:\n");
	printf("  %s list DIRECTORY [OPTION]...        what a store holds\n", progname);
	printf("  %s show FILE [OPTION]...             what is in an object or a manifest\n", progname);
	printf("  %s blocks DIRECTORY [OPTION]...      the blocks that changed in a range\n", progname);
	printf("  %s blocks OBJECT... [OPTION]...\n", progname);
	printf("  %s verify {DIRECTORY|FILE}...        read everything, say what is damaged\n", progname);
	printf("  %s diff {DIRECTORY|FILE} {DIRECTORY|FILE}\n\n", progname);
	printf("Options of list:\n");
	printf("  --all                       also files that the manifest does not name\n");
	printf("  --backups                   also recorded backups\n");
	printf("  --gaps                      also gaps\n");
	printf("  --marks                     also checkpoint records of PostgreSQL\n");
	printf("  --pins                      also pins\n");
	printf("\nOptions of show:\n");
	printf("  --blocks                    also the records, with their blocks\n");
	printf("  --marks                     also checkpoint records of PostgreSQL\n");
	printf("  --relations                 also the records of relations\n");
	printf("\nOptions of blocks:\n");
	printf("  -e, --end=LSN               end of the range (default: all that is known)\n");
	printf("  -r, --relation=SPC/DB/REL[.FORK]\n"
		   "                              only this relation, and changes of its whole database\n");
	printf("  -s, --start=LSN             start of the range (default: all that is known)\n");
	printf("  --to-wal-summary=PATH       write a WAL summary file of PostgreSQL 17 instead\n");
	printf("\nOther options:\n");
	printf("  --json                      print JSON\n");
	printf("  -V, --version               output version information, then exit\n");
	printf("  -?, --help                  show this help, then exit\n");
}

static void
usage_error(const char *problem)
{
	pg_log_error("%s", problem);
	pg_log_error_hint("Try \"%s --help\" for more information.", "ckpx_dump");
	exit(EXIT_USAGE);
}

static XLogRecPtr
lsn_option(const char *name, const char *value)
{
	XLogRecPtr	lsn;

	if (!parse_lsn(value, &lsn) || lsn == InvalidXLogRecPtr)
		usage_error(psprintf("invalid value \"%s\" for option %s", value,
							 name));
	return lsn;
}

/* Take an option that has a value. */
static void
parse_value(Options *options, int c)
{
	switch (c)
	{
		case 'e':
			options->end_lsn = lsn_option("-e/--end", optarg);
			break;
		case 's':
			options->start_lsn = lsn_option("-s/--start", optarg);
			break;
		case 'r':
			if (!parse_relation(optarg, options))
				usage_error(psprintf("invalid value \"%s\" for option %s",
									 optarg, "-r/--relation"));
			break;
		case OPT_TO_WAL_SUMMARY:
			options->to_wal_summary = optarg;
			break;
		default:
			pg_log_error_hint("Try \"%s --help\" for more information.",
							  "ckpx_dump");
			exit(EXIT_USAGE);
	}
}

static void
parse_option(Options *options, int c)
{
	switch (c)
	{
		case OPT_ALL:
			options->all = true;
			break;
		case OPT_BACKUPS:
			options->backups = true;
			break;
		case OPT_BLOCKS:
			options->blocks = true;
			break;
		case OPT_GAPS:
			options->gaps = true;
			break;
		case OPT_HELP:
			help("ckpx_dump");
			exit(0);
		case OPT_JSON:
			options->json = true;
			break;
		case OPT_MARKS:
			options->marks = true;
			break;
		case OPT_PINS:
			options->pins = true;
			break;
		case OPT_RELATIONS:
			options->relations = true;
			break;
		default:
			parse_value(options, c);
	}
}

/* Was an option given that means nothing to the command? */
static void
check_option(const Command *command, const bool *given)
{
	for (int i = 0; long_options[i].name != NULL; i++)
	{
		const char *name = long_options[i].name;

		if (given[i] && long_options[i].val != OPT_JSON &&
			strstr(command->options, psprintf(" %s ", name)) == NULL)
			usage_error(psprintf("option --%s cannot be used with \"%s\"",
								 name, command->name));
	}
}

static const Command *
find_command(int argc, char **argv, const bool *given)
{
	if (argc == 0)
		usage_error("no command specified");
	for (int i = 0; i < (int) lengthof(commands); i++)
	{
		const Command *command = &commands[i];

		if (strcmp(argv[0], command->name) != 0)
			continue;
		check_option(command, given);
		if (argc - 1 < command->min_paths)
			usage_error("no file or directory specified");
		if (command->max_paths > 0 && argc - 1 > command->max_paths)
			usage_error("too many command-line arguments");
		return command;
	}
	usage_error(psprintf("unrecognized command \"%s\"", argv[0]));
	return NULL;
}

static int
run(const char *command, const Options *options, char **paths, int npaths)
{
	if (strcmp(command, "list") == 0)
		return list_run(options, paths[0]);
	if (strcmp(command, "show") == 0)
		return show_run(options, paths[0]);
	if (strcmp(command, "blocks") == 0)
		return blocks_run(options, paths, npaths);
	if (strcmp(command, "verify") == 0)
		return verify_run(options, paths, npaths);
	return diff_run(options, paths[0], paths[1]);
}

int
main(int argc, char **argv)
{
	bool		given[lengthof(long_options)] = {false};
	Options		options = {0};
	const Command *command;
	int			c;

	pg_logging_init(argv[0]);
	set_pglocale_pgservice(argv[0], PG_TEXTDOMAIN("ckpx_dump"));
	handle_help_version_opts(argc, argv, get_progname(argv[0]), help);

	while ((c = getopt_long(argc, argv, "e:r:s:", long_options, NULL)) != -1)
	{
		parse_option(&options, c);
		for (int i = 0; long_options[i].name != NULL; i++)
			given[i] = given[i] || long_options[i].val == c;
	}
	argv += optind;
	argc -= optind;
	command = find_command(argc, argv, given);
	if (options.to_wal_summary != NULL && options.one_relation)
		usage_error("a WAL summary cannot be of one relation");
	return run(command->name, &options, argv + 1, argc - 1);
}
