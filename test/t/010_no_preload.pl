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
my ($ret, $out, $err) = $node->psql('postgres', 'CREATE EXTENSION ckpx');
is($ret, 0, 'the extension can be created');
like($err, qr/WARNING:  ckpx is not loaded via "shared_preload_libraries" and tracks no changes
HINT:  Add "ckpx" to "shared_preload_libraries" and restart the server/,
	'CREATE EXTENSION warns');
is( $node->safe_psql('postgres',
		"SELECT count(*) FROM pg_proc WHERE proname = 'ckpx_check_preload'"),
	'0', 'the function that warned is gone');

# Every function, called with NULLs; those that are strict need a value.
my %arguments = (
	ckpx_changed_rows => "NULL::pg_class, '0/1'",
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

like(($node->psql('postgres', 'SELECT * FROM ckpx_status'))[2],
	qr/ERROR:  ckpx must be loaded via "shared_preload_libraries"/, 'ckpx_status: error');

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


# Taken out again before ckpx was uninstalled: ckpx_uninstall() cannot work, but
# its hint can be followed, wherever the files are.
foreach my $directory ('ckpx', PostgreSQL::Test::Utils::tempdir() . '/store')
{
	my $data = $node->data_dir;

	$node->append_conf('postgresql.conf', "ckpx.directory = '$directory'");
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'ckpx'");
	$node->restart;
	wait_for_sql($node, 'SELECT checkpointed_lsn IS NOT NULL FROM ckpx_runner')
	  if $node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
	my $folder = $node->safe_psql('postgres', 'SELECT ckpx_uninstall()') =~
	  /in directory "(.*?)"/ ? $1 : '';
	$folder = "$data/$folder" if $folder !~ /^\//;
	ok(-d $folder, "$directory: there is a store");

	$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
	$node->restart;
	foreach my $really ('false', 'true')
	{
		($ret, $out, $err) =
		  $node->psql('postgres', "SELECT ckpx_uninstall($really)");
		like($err, qr/ERROR:  ckpx must be loaded via "shared_preload_libraries"/,
			"$directory: ckpx_uninstall($really) cannot work");
	}
	my ($call, $remove, $file) = $err =~
	  /HINT:  Add "ckpx" .* restart the server\.  Or call (pg_drop_replication_slot\('ckpx'\)), and remove the directory "(.*?)" and the file "(.*?)"\./;
	ok(defined $file, "$directory: it says what to remove")
	  or die "no files are named: $err";
	is($remove, $directory eq 'ckpx' ? "$data/ckpx" : $folder,
		"$directory: the whole of it inside, one folder of it outside");
	$node->safe_psql('postgres', "SELECT $call");
	PostgreSQL::Test::Utils::system_or_bail('rm', '-r', $remove, $file);
	is(join(' ', glob("$data/ckpx*"), glob("$folder/*")), '',
		"$directory: nothing is left");
	($ret, $out, $err) = $node->psql('postgres', "SELECT ckpx_uninstall(true)");
	like($err, qr/pg_drop_replication_slot/, "$directory: asked again");
}
unlike($err, qr/remove the directory/,
	'outside, a folder that is not known to be this server\'s is not named');

$node->safe_psql('postgres', 'DROP EXTENSION ckpx');
$node->stop;

done_testing();
