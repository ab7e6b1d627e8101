# Without preloading: the extension can be installed, every function says what
# is missing, and nothing is left behind.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use CkpxTest;
use Test::More;

my $node = new_node('no_preload', preload => '');
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION ckpx');

# Every function, called with NULLs; those that are strict need a value.
my %arguments = (
	ckpx_checkpoints_after => "'0/1', 1",
	ckpx_fault_remove => "'x'",
	ckpx_fault_wakeup => "'x'");
my @functions = split /\n/, $node->safe_psql(
	'postgres', q{
	SELECT p.proname, p.pronargs
	FROM pg_proc p
	     JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
	     JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'ckpx'
	ORDER BY 1});
cmp_ok(scalar @functions, '>', 20, 'the functions are there');

for my $function (@functions)
{
	my ($name, $nargs) = split /\|/, $function;
	my $list = $arguments{$name} // join ', ', ('NULL') x $nargs;
	my ($status, $stdout, $stderr) =
	  $node->psql('postgres', "\\set VERBOSITY verbose\nSELECT $name($list)");

	like($stderr,
		qr/ERROR:  55000: ckpx must be loaded via "shared_preload_libraries"/,
		"$name: error");
	like($stderr, qr/HINT:  .*shared_preload_libraries.*restart/, "$name: hint");
}

is($node->safe_psql('postgres',
		q{SELECT count(*) FROM pg_settings WHERE name LIKE 'ckpx.%'}),
	'0', 'no setting is defined');
is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_replication_slots'),
	'0', 'no slot is made');
ok(!-e $node->data_dir . '/ckpx', 'no folder is made');

# Loading it by hand changes nothing: shared memory cannot be had any more.
like(
	($node->psql('postgres', q{LOAD 'ckpx'; SELECT * FROM ckpx_runner}))[2],
	qr/must be loaded via "shared_preload_libraries"/,
	'LOAD is not enough');

# Placeholders of the configuration file survive the loading by hand.
$node->append_conf('postgresql.conf', "ckpx.min_count = 5\n");
$node->reload;
is($node->safe_psql('postgres', q{LOAD 'ckpx'; SELECT current_setting('ckpx.min_count')}),
	'5', 'a setting in the file is left alone');

# Preloaded it works with the same database.
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'ckpx'\n");
$node->restart;
sql_becomes($node, 'SELECT collected_lsn IS NOT NULL AND problem IS NULL FROM ckpx_runner',
	't', 'it starts once it is preloaded');

$node->safe_psql('postgres', 'DROP EXTENSION ckpx');
$node->stop;

done_testing();
