/*-------------------------------------------------------------------------
 *
 * options.c
 *		The command line of ckpx_basebackup.
 *
 *-------------------------------------------------------------------------
 */
#include "bin/basebackup/options.h"

#include <limits.h>

#include "common/logging.h"
#include "fe_utils/option_utils.h"
#include "getopt_long.h"

#define RATE_MIN_KB		32
#define RATE_MAX_KB		(1024 * 1024)
#define MAX_JOBS		64
#define MAX_LEVEL		19

enum
{
	OPTION_ON_GAP = 256,
	OPTION_REREAD,
	OPTION_PIN,
	OPTION_PIN_TTL,
	OPTION_NO_PIN,
	OPTION_RESUME,
	OPTION_JSON,
	OPTION_CHECKSUMS,
	OPTION_NO_VERIFY,
	OPTION_ARCHIVE_TIMEOUT
};

static const struct option long_options[] = {
	{"pgdata", required_argument, NULL, 'D'},
	{"incremental", required_argument, NULL, 'i'},
	{"on-gap", required_argument, NULL, OPTION_ON_GAP},
	{"format", required_argument, NULL, 'F'},
	{"compress", required_argument, NULL, 'Z'},
	{"wal-method", required_argument, NULL, 'X'},
	{"tablespace-mapping", required_argument, NULL, 'T'},
	{"write-recovery-conf", no_argument, NULL, 'R'},
	{"reread", required_argument, NULL, OPTION_REREAD},
	{"resume", no_argument, NULL, OPTION_RESUME},
	{"dry-run", no_argument, NULL, 'n'},
	{"jobs", required_argument, NULL, 'j'},
	{"checkpoint", required_argument, NULL, 'c'},
	{"max-rate", required_argument, NULL, 'r'},
	{"archive-timeout", required_argument, NULL, OPTION_ARCHIVE_TIMEOUT},
	{"no-sync", no_argument, NULL, 'N'},
	{"manifest-checksums", required_argument, NULL, OPTION_CHECKSUMS},
	{"no-verify-checksums", no_argument, NULL, OPTION_NO_VERIFY},
	{"pin", required_argument, NULL, OPTION_PIN},
	{"pin-ttl", required_argument, NULL, OPTION_PIN_TTL},
	{"no-pin", no_argument, NULL, OPTION_NO_PIN},
	{"dbname", required_argument, NULL, 'd'},
	{"host", required_argument, NULL, 'h'},
	{"port", required_argument, NULL, 'p'},
	{"username", required_argument, NULL, 'U'},
	{"no-password", no_argument, NULL, 'w'},
	{"password", no_argument, NULL, 'W'},
	{"progress", no_argument, NULL, 'P'},
	{"verbose", no_argument, NULL, 'v'},
	{"json", no_argument, NULL, OPTION_JSON},
	{NULL, 0, NULL, 0}
};

/* What was chosen, and not left to options_settle(). */
static bool format_chosen;
static bool compression_chosen;

static void
help(const char *progname)
{
	printf("%s takes a full or incremental backup of a PostgreSQL server that runs ckpx.\n\n"
		   "Usage:\n  %s -D DIRECTORY [-i PARENT|auto] [OPTION]...\n", progname, progname);
	printf("\nWhat is backed up, and where to:\n"
		   "  -D, --pgdata=DIRECTORY     directory of the backup\n"
		   "  -i, --incremental=PARENT   only what changed since PARENT; auto: the newest beside\n"
		   "      --on-gap=error|full    what to do if that is not known (default error)\n"
		   "  -F, --format=p|t           plain or tar (default plain, an increment tar)\n"
		   "  -Z, --compress=zstd[:LEVEL]|none\n"
		   "                             compression of tar (default zstd:3)\n"
		   "  -X, --wal-method=fetch|none\n"
		   "                             include WAL (default), or leave it to an archive\n"
		   "  -T, --tablespace-mapping=OLDDIR=NEWDIR\n"
		   "                             put the tablespace of OLDDIR into NEWDIR\n"
		   "  -R, --write-recovery-conf  write settings for a standby\n"
		   "      --reread=1/N           copy 1/N of the segment files whole, others each time\n"
		   "      --resume               go on with DIRECTORY.partial\n"
		   "  -n, --dry-run              say what would be copied; write nothing\n");
	printf("\nHow:\n"
		   "  -j, --jobs=N               connections that copy (default 2)\n"
		   "  -c, --checkpoint=fast|spread\n"
		   "                             kind of checkpoint (default spread)\n"
		   "  -r, --max-rate=RATE        in kB/s, or with the suffix M in MB/s\n"
		   "      --archive-timeout=SECONDS\n"
		   "                             wait so long for the archive (default 600)\n"
		   "  -N, --no-sync              do not wait until the files are on disk\n"
		   "      --manifest-checksums=SHA{224,256,384,512}|CRC32C|NONE\n"
		   "      --no-verify-checksums  do not verify the checksums of pages\n"
		   "      --pin=NAME             pin to move to this backup (default \"backup\")\n"
		   "      --pin-ttl=DAYS         the pin ends by itself after (default 30)\n"
		   "      --no-pin               leave the pin where it is\n");
	printf("\nConnection:\n"
		   "  -d, --dbname=CONNSTR       connection string (default database \"postgres\")\n"
		   "  -h, --host=HOSTNAME        host name or directory of the socket\n"
		   "  -p, --port=PORT            port number\n"
		   "  -U, --username=NAME        user name\n"
		   "  -w, --no-password          never ask for a password\n"
		   "  -W, --password             ask for a password\n"
		   "\nOutput:\n"
		   "  -P, --progress             show the progress\n"
		   "  -v, --verbose              say more\n"
		   "      --json                 print the result as one line of JSON\n"
		   "  -V, --version              output version information, then exit\n"
		   "  -?, --help                 show this help, then exit\n");
}

static void
bad_value(const char *option, const char *value)
{
	pg_fatal("invalid value \"%s\" for option %s", value, option);
}

/* Which of two words is it? */
static bool
choice(const char *option, const char *value, const char *no, const char *yes)
{
	if (strcmp(value, no) == 0)
		return false;
	if (strcmp(value, yes) != 0)
		bad_value(option, value);
	return true;
}

static void
parse_compression(Options *options, const char *value)
{
	compression_chosen = true;
	if (strcmp(value, "none") == 0)
		options->level = 0;
	else if (strcmp(value, "zstd") == 0)
		options->level = 3;
	else if (strncmp(value, "zstd:", 5) != 0 ||
			 !option_parse_int(value + 5, "-Z/--compress", 1, MAX_LEVEL,
							   &options->level))
		bad_value("-Z/--compress", value);
}

static void
parse_rate(Options *options, const char *value)
{
	char	   *end;
	double		rate = strtod(value, &end);

	if (end != value && strcmp(end, "M") == 0)
		rate *= 1024;
	else if (end == value || (*end != '\0' && strcmp(end, "k") != 0))
		bad_value("-r/--max-rate", value);
	if (!(rate >= RATE_MIN_KB && rate <= RATE_MAX_KB))
		pg_fatal("transfer rate \"%s\" is not between %d kB/s and %d kB/s",
				 value, RATE_MIN_KB, RATE_MAX_KB);
	options->rate = (uint64) (rate * 1024);
}

/* OLDDIR=NEWDIR; a backslash takes a '=' for a part of the name. */
static void
parse_mapping(Options *options, const char *value)
{
	TablespaceMapping *mapping = pg_malloc0(sizeof(TablespaceMapping));
	char	   *to = mapping->old_dir;
	size_t		length = 0;

	for (const char *c = value; *c; c++)
	{
		if (length >= MAXPGPATH - 1)
			pg_fatal("directory name too long");
		if (*c == '\\' && c[1] == '=')
			continue;
		if (*c == '=' && (c == value || c[-1] != '\\'))
		{
			if (to == mapping->new_dir)
				pg_fatal("multiple \"=\" signs in tablespace mapping");
			to = mapping->new_dir;
			length = 0;
			continue;
		}
		to[length++] = *c;
	}
	if (mapping->old_dir[0] == '\0' || mapping->new_dir[0] == '\0')
		pg_fatal("invalid tablespace mapping \"%s\", must be \"OLDDIR=NEWDIR\"",
				 value);
	if (!is_absolute_path(mapping->old_dir) ||
		!is_absolute_path(mapping->new_dir))
		pg_fatal("directories in tablespace mapping \"%s\" must be absolute",
				 value);
	canonicalize_path(mapping->old_dir);
	canonicalize_path(mapping->new_dir);
	mapping->next = options->mappings;
	options->mappings = mapping;
}

/* Options that the server does not see: where to, and what. */
static bool
parse_what(Options *options, int option, char *value)
{
	switch (option)
	{
		case 'D':
			options->directory = pg_strdup(value);
			return true;
		case 'i':
			options->parent = pg_strdup(value);
			return true;
		case OPTION_ON_GAP:
			options->full_on_gap = choice("--on-gap", value, "error", "full");
			return true;
		case 'F':
			format_chosen = true;
			options->tar = value[0] == 't' &&
				(value[1] == '\0' || strcmp(value, "tar") == 0);
			if (!options->tar && strcmp(value, "p") != 0 &&
				strcmp(value, "plain") != 0)
				bad_value("-F/--format", value);
			return true;
		case 'Z':
			parse_compression(options, value);
			return true;
		case 'X':
			options->fetch_wal = choice("-X/--wal-method", value, "none", "fetch");
			return true;
		case 'T':
			parse_mapping(options, value);
			return true;
		case 'R':
			options->write_recovery = true;
			return true;
		case OPTION_REREAD:
			if (strncmp(value, "1/", 2) != 0 ||
				!option_parse_int(value + 2, "--reread", 1, 10000,
								  &options->reread))
				bad_value("--reread", value);
			return true;
		case OPTION_RESUME:
			options->resume = true;
			return true;
		case 'n':
			options->dry_run = true;
			return true;
	}
	return false;
}

static bool
parse_how(Options *options, int option, char *value)
{
	switch (option)
	{
		case 'j':
			if (!option_parse_int(value, "-j/--jobs", 1, MAX_JOBS, &options->jobs))
				exit(1);
			return true;
		case 'c':
			options->fast_checkpoint = choice("-c/--checkpoint", value,
											  "spread", "fast");
			return true;
		case 'r':
			parse_rate(options, value);
			return true;
		case OPTION_ARCHIVE_TIMEOUT:
			if (!option_parse_int(value, "--archive-timeout", 0, INT_MAX / 1000,
								  &options->archive_timeout_s))
				exit(1);
			return true;
		case 'N':
			options->sync = false;
			return true;
		case OPTION_CHECKSUMS:
			if (!pg_checksum_parse_type(value, &options->checksum_type))
				bad_value("--manifest-checksums", value);
			return true;
		case OPTION_NO_VERIFY:
			options->verify_checksums = false;
			return true;
		case OPTION_PIN:
			options->pin = pg_strdup(value);
			return true;
		case OPTION_PIN_TTL:
			if (!option_parse_int(value, "--pin-ttl", 1, 36500, &options->pin_days))
				exit(1);
			return true;
		case OPTION_NO_PIN:
			options->pin = NULL;
			return true;
	}
	return false;
}

static bool
parse_connection(Options *options, int option, char *value)
{
	switch (option)
	{
		case 'd':
			options->connstr = pg_strdup(value);
			return true;
		case 'h':
			options->host = pg_strdup(value);
			return true;
		case 'p':
			options->port = pg_strdup(value);
			return true;
		case 'U':
			options->user = pg_strdup(value);
			return true;
		case 'w':
			options->ask_password = -1;
			return true;
		case 'W':
			options->ask_password = 1;
			return true;
		case 'P':
			options->progress = true;
			return true;
		case 'v':
			options->verbose = true;
			pg_logging_increase_verbosity();
			return true;
		case OPTION_JSON:
			options->json = true;
			return true;
	}
	return false;
}

void
options_parse(Options *options, int argc, char **argv)
{
	int			option;

	memset(options, 0, sizeof(*options));
	options->progname = get_progname(argv[0]);
	options->level = 3;
	options->jobs = 2;
	options->fetch_wal = true;
	options->pin = pg_strdup("backup");
	options->pin_days = 30;
	options->sync = true;
	options->checksum_type = CHECKSUM_TYPE_CRC32C;
	options->verify_checksums = true;
	options->archive_timeout_s = 600;

	handle_help_version_opts(argc, argv, options->progname, help);
	while ((option = getopt_long(argc, argv,
								 "D:i:F:Z:X:T:Rnj:c:r:Nd:h:p:U:wWPv",
								 long_options, NULL)) != -1)
	{
		if (!parse_what(options, option, optarg) &&
			!parse_how(options, option, optarg) &&
			!parse_connection(options, option, optarg))
		{
			pg_log_error_hint("Try \"%s --help\" for more information.",
							  options->progname);
			exit(1);
		}
	}
	if (optind < argc)
		pg_fatal("too many command-line arguments (first is \"%s\")",
				 argv[optind]);
	if (options->directory == NULL || options->directory[0] == '\0')
	{
		pg_log_error("no directory for the backup was given");
		pg_log_error_hint("Try \"%s --help\" for more information.",
						  options->progname);
		exit(1);
	}
	canonicalize_path(options->directory);
	if (options->parent == NULL && options->full_on_gap)
		pg_fatal("--on-gap needs -i");
	if (options->parent == NULL && options->reread > 0)
		pg_fatal("--reread needs -i: a full backup copies every file");
}

void
options_settle(Options *options, bool incremental)
{
	if (!format_chosen)
		options->tar = incremental && !options->resume &&
			options->mappings == NULL;
	if (options->tar && options->resume)
		pg_fatal("--resume works with the plain format only");
	/* mappings may be meant for the full that stands in for an increment */
	if (options->tar && options->mappings != NULL &&
		!(incremental && options->full_on_gap))
		pg_fatal("-T works with the plain format only");
	if (!options->tar && compression_chosen && options->level > 0)
		pg_fatal("-Z works with the tar format only");
}
