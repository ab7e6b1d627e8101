# After ckpx_uninstall(): every call says what helps.  A data directory copied
# from there is not uninstalled.  CREATE EXTENSION and DROP EXTENSION say what
# they do not do.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use CkpxHistory;
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = loaded_node('main');
$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');

sub errors_of
{
	my ($sql, $node_asked) = @_;
	my ($stdout, $stderr);

	($node_asked // $node)->psql('postgres', "\\set VERBOSITY verbose\n$sql",
		stdout => \$stdout, stderr => \$stderr);
	return $stderr;
}

# ---- DROP EXTENSION leaves what belongs to the server

my $notice =
  qr/NOTICE:  00000: background workers and replication slot "ckpx" of ckpx remain\n.*HINT:  .*ckpx_uninstall\(really => true\)/s;
like(errors_of('BEGIN; DROP EXTENSION ckpx; ROLLBACK'), $notice, 'DROP EXTENSION says so');
like(errors_of('BEGIN; CREATE SCHEMA s; ALTER EXTENSION ckpx SET SCHEMA s; DROP SCHEMA s CASCADE; ROLLBACK'),
	$notice, 'also when its schema is dropped');
unlike(errors_of('BEGIN; DROP EXTENSION plpgsql CASCADE; ROLLBACK'),
	qr/ckpx/, 'not for another extension');
is(errors_of('CREATE DATABASE other; CREATE DATABASE third'), '', 'more databases');
is($node->psql('other', 'CREATE EXTENSION ckpx', stderr => \my $stderr), 0,
	'in another database, too');
is($stderr, '', 'without a warning, for the library is loaded');

# ---- uninstalled, while a session waits for something

my $hint = qr/HINT:  To use it again, remove the file "ckpx_uninstalled" from the data directory and restart the server; otherwise take "ckpx" out of "shared_preload_libraries"\./;
my $error = qr/ERROR:  55000: ckpx was uninstalled\n$hint/;

my $err = '';
my $waiter = IPC::Run::start(
	[ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-d', $node->connstr('postgres'),
		'-c', "SELECT ckpx_wait('FFFF/0')" ],
	'<', \undef, '2>', \$err, IPC::Run::timeout($CkpxTest::timeout_default));
wait_for_sql($node, q{
	SELECT count(*) = 1 FROM pg_stat_activity
	WHERE query LIKE 'SELECT ckpx_wait(%' AND wait_event_type = 'Extension'});
like($node->safe_psql('postgres', 'SELECT ckpx_uninstall(really => true)'),
	qr/^ckpx has dropped .*DROP EXTENSION ckpx .*"shared_preload_libraries" .*ckpx_uninstalled/,
	'ckpx_uninstall() says what is left to do');
$waiter->finish;
like($err, $error, 'a session that waited is told what helps');

sub is_uninstalled
{
	my $when = shift;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my %arguments = (
		ckpx_checkpoints_after => "'0/1', 1",
		ckpx_changed_rows => "NULL::pg_class, '0/1'");

	my @functions = split /\n/, $node->safe_psql('postgres', q{
		SELECT p.proname, p.pronargs, p.proname ~ '^ckpx_(get_|fault_|stat_reset|timeline|uninstall)'
		FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass
				AND d.objid = p.oid AND d.deptype = 'e'
			JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'ckpx'
		ORDER BY 1});
	my (@wrong, $nrefused);
	foreach (@functions)
	{
		my ($name, $nargs, $shows) = split /\|/;
		my $list = $arguments{$name} // join ', ', ('NULL') x $nargs;

		next if $shows eq 't';
		$nrefused++;
		push @wrong, $name if errors_of("SELECT $name($list)") !~ $error;
	}
	cmp_ok($nrefused, '>', 20, "$when: functions that answer or act");
	is("@wrong", '', "$when: each says what helps");
	my @views = split /\n/, $node->safe_psql('postgres',
		q{SELECT viewname FROM pg_views WHERE viewname ~ '^ckpx_'});
	is(join('', map { errors_of("SELECT * FROM $_") } @views, 'ckpx_timeline()', 'ckpx_timeline_svg()'),
		'', "$when: views and pictures still show what there is");
	sql_becomes($node, 'SELECT problem FROM ckpx_runner',
		qr/remove the file "ckpx_uninstalled"/, "$when: ckpx_runner says it, too");
	like($node->safe_psql('postgres', 'SELECT ckpx_uninstall()'),
		qr/^ckpx was uninstalled\. Now call DROP EXTENSION/,
		"$when: ckpx_uninstall() repeats what is left to do");
}
is_uninstalled('uninstalled');

is($node->psql('third', 'CREATE EXTENSION ckpx', stderr => \$stderr), 0,
	'the extension can still be created');
like($stderr, qr/WARNING:  ckpx was uninstalled and tracks no changes\n$hint/,
	'which warns');
$node->psql('third', 'DROP EXTENSION ckpx', stderr => \$stderr);
is($stderr, '', 'nothing is left behind that DROP EXTENSION had to mention');

# ---- copies: a base backup, and a cold copy

$node->backup('base');
ok(-e $node->backup_dir . '/base/ckpx_uninstalled', 'a base backup has the marker');
$node->restart;
is_uninstalled('after a restart');
my $marker = slurp_file($node->data_dir . '/ckpx_uninstalled');
$node->stop;
$node->backup_fs_cold('cold');

foreach my $backup ('base', 'cold')
{
	my $copy = PostgreSQL::Test::Cluster->new("copy_$backup");

	$copy->init_from_backup($node, $backup);
	$copy->start;
	await_tracking($copy);
	ok(!-e $copy->data_dir . '/ckpx_uninstalled', "$backup: the copy has no marker");
	like(slurp_file($copy->logfile),
		qr/LOG:  data directory is a copy of one from which ckpx was uninstalled/,
		"$backup: it says why");
	my $start = wal_position($copy);
	run_load($copy, 5);
	$copy->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
	covers_all_oracles($copy, $start, wal_position($copy), "$backup: tracked again");
	is_one_epoch($copy, $backup);

	# A marker that is not whole, or made by hand, counts.
	$copy->stop;
	append_to_file($copy->data_dir . '/ckpx_uninstalled',
		$backup eq 'base' ? substr($marker, 0, -10) : '');
	$copy->start;
	wait_for_sql($copy, 'SELECT count(*) = 0 FROM pg_replication_slots');
	like(errors_of('SELECT ckpx_checkpoint()', $copy), $error,
		"$backup: uninstalled by a file");
	$copy->stop;
}

# ---- used again, as the hint says

$node->start;
is_uninstalled('beside its copies');
unlink $node->data_dir . '/ckpx_uninstalled';
$node->restart;
await_tracking($node);
is_one_epoch($node, 'used again');
$node->stop;
done_testing();
