/*-------------------------------------------------------------------------
 *
 * ckpx_combinebackup.c
 *		Make a full backup or a data directory out of incremental backups.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include "common/logging.h"
#include "fe_utils/option_utils.h"

static void
help(const char *progname)
{
	printf("%s makes a full backup or a data directory out of incremental backups.\n\n", progname);
	printf("Usage:\n  %s [OPTION]...\n\nOptions:\n", progname);
	printf("  -V, --version   output version information, then exit\n");
	printf("  -?, --help      show this help, then exit\n");
}

int
main(int argc, char **argv)
{
	const char *progname = get_progname(argv[0]);

	pg_logging_init(argv[0]);
	set_pglocale_pgservice(argv[0], PG_TEXTDOMAIN("ckpx_combinebackup"));
	handle_help_version_opts(argc, argv, progname, help);
	pg_log_error("no options given");
	pg_log_error_hint("Try \"%s --help\" for more information.", progname);
	return 1;
}
