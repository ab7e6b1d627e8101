# What is told about checkpoints: the post command with its retries and its hold
# on garbage collection, the callbacks of ckpx.h, decoders of custom resource
# managers, and the map without SPI.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use CkpxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $have_module = -e substr(`pg_config --pkglibdir`, 0, -1) . '/ckpx_observer.so';
my $node = new_node('main',
	preload => $have_module ? 'ckpx_observer, ckpx' : 'ckpx');
my $out = PostgreSQL::Test::Utils::tempdir();
$node->start;
$node->safe_psql('postgres',
	'CREATE EXTENSION ckpx; CREATE TABLE t (i int);');

sub lines
{
	my ($file) = @_;
	return () if !-e $file;
	return split /\n/, slurp_file($file);
}

sub set_command
{
	change_settings($node, 'ckpx.post_checkpoint_command' => $_[0]);
	return;
}

sub change_and_checkpoint
{
	return $node->safe_psql('postgres',
		'INSERT INTO t VALUES (1); SELECT ckpx_checkpoint()');
}

# What a finished incremental says about its command.
sub stat_column
{
	my ($column) = @_;
	return $node->safe_psql('postgres', "SELECT $column FROM ckpx_stat");
}

# Placeholders
set_command("printf '%%s|' %k '%p' %f %s %e %x >> '$out/said'; echo >> '$out/said'");
wait_for_sql($node,
	"SELECT current_setting('ckpx.post_checkpoint_command') LIKE 'printf%'");
my $end = change_and_checkpoint();
wait_until(sub { grep { /\Q$end\E/ } lines("$out/said") },
	'the command has run');
my ($said) = grep { /\Q$end\E/ } lines("$out/said");
my ($start, $location) = split /\|/,
  $node->safe_psql('postgres',
	"SELECT start_lsn, location FROM ckpx_checkpoints WHERE end_lsn = '$end' AND kind = 'incremental'"
  );
my ($folder) = glob($node->data_dir . '/ckpx/*-*');
is($said, "incremental|$folder/$location|$location|$start|$end|%x|",
	'placeholders, and what is none');
ok(-e "$folder/$location", 'the path leads to the object');

# A command that fails: visible, repeated, and the object is not collected.
set_command("echo %f >> '$out/tried'; while test -e '$out/hold'; do sleep 0.1; done; test -e '$out/allow'");
wait_for_sql($node,
	"SELECT current_setting('ckpx.post_checkpoint_command') LIKE 'echo%'");
my $done = stat_column('commands_done');
$end = change_and_checkpoint();
wait_for_sql($node,
	"SELECT last_error ~ 'exit code 1' FROM ckpx_workers WHERE name = 'observer'");
wait_for_sql($node, 'SELECT commands_failed > 1 FROM ckpx_stat');
is( $node->safe_psql(
		'postgres',
		"SELECT failed_phase, attempts > 0, last_error FROM ckpx_checkpoints WHERE end_lsn = '$end' AND kind = 'incremental'"
	),
	'command|t|post command failed with exit code 1',
	'the failure stands on the checkpoint');
like(slurp_file($node->logfile),
	qr/WARNING:  ckpx post command failed with exit code 1/,
	'and in the log');

# What is announced while the command runs does not wait for the pause of 16 s
# that comes when it fails.
wait_for_sql($node,
	"SELECT attempts >= 4 FROM ckpx_checkpoints WHERE end_lsn = '$end' AND kind = 'incremental'");
SKIP:
{
	skip 'module ckpx_observer is not installed', 1 if !$have_module;
	my $attempts =
	  "SELECT attempts FROM ckpx_checkpoints WHERE end_lsn = '$end' AND kind = 'incremental'";
	my $before = $node->safe_psql('postgres', $attempts);
	my $ran = lines("$out/tried");

	append_to_file("$out/hold", '');
	wait_until(sub { lines("$out/tried") > $ran }, 'the command runs again');
	my $meanwhile = change_and_checkpoint();
	unlink "$out/hold";
	wait_for_sql($node, $attempts, $before + 1);
	wait_until(
		sub {
			grep { /^incremental finished \S+ \Q$meanwhile\E / }
			  lines($node->data_dir . '/ckpx_observer.log');
		},
		'an announcement that came while a command ran arrives');
	is($node->safe_psql('postgres', $attempts), $before + 1,
		'an announcement does not wait for the next attempt');
}

# A changed command does not wait for the pause, of 16 s, of the one that failed.
my $failing = $node->safe_psql('postgres',
	"SELECT current_setting('ckpx.post_checkpoint_command')");
set_command("echo %f >> '$out/changed'; false");
comes_true(sub { lines("$out/changed") > 0 },
	'a changed command runs at once', 12);
set_command($failing);
wait_for_sql($node,
	"SELECT current_setting('ckpx.post_checkpoint_command') LIKE '%tried%'");

# A restart keeps what waits.
$node->restart;
my $tried = scalar lines("$out/tried");
wait_until(sub { lines("$out/tried") > $tried },
	'the command is tried again after a restart');

# Later checkpoints wait behind it, in order.
my $second = change_and_checkpoint();
append_to_file("$out/allow", '');
wait_for_sql($node,
	"SELECT count(*) = 0 FROM ckpx_checkpoints WHERE failed_phase = 'command'");
my ($first_file, $second_file) = map {
	$node->safe_psql('postgres',
		"SELECT location FROM ckpx_checkpoints WHERE end_lsn = '$_' AND kind = 'incremental'")
} ($end, $second);
my @order;
wait_until(
	sub { @order = lines("$out/tried"); grep { $_ eq $second_file } @order },
	'the second one is tried');
my ($first_last) = grep { $order[$_] eq $first_file } reverse 0 .. $#order;
my ($second_first) = grep { $order[$_] eq $second_file } 0 .. $#order;
cmp_ok($first_last, '<', $second_first, 'one after the other');

# Killed with the worker: the command's whole process group goes.
set_command("echo \$\$ > '$out/pid'; sleep 600 & wait");
wait_for_sql($node,
	"SELECT current_setting('ckpx.post_checkpoint_command') LIKE '%sleep%'");
change_and_checkpoint();
wait_until(sub { -s "$out/pid" }, 'the command runs');
chomp(my $pid = slurp_file("$out/pid"));
my $observer = $node->safe_psql('postgres',
	"SELECT pid FROM ckpx_workers WHERE name = 'observer' AND activity = 'post command'");
ok($observer, 'ckpx_workers shows what the observer does');
comes_true(sub { processes(group => $pid) == 2 }, 'a command and its child run');
kill 'TERM', $observer;
comes_true(
	sub { kill(0, $pid) == 0 && !processes(group => $pid) },
	'SIGTERM ends the command and its children');
wait_for_sql($node,
	"SELECT pid <> $observer FROM ckpx_workers WHERE name = 'observer'");

# So does a shutdown, and without a command nothing waits any more.
wait_until(sub { -s "$out/pid" && slurp_file("$out/pid") ne "$pid\n" },
	'the next observer runs the command');
chomp($pid = slurp_file("$out/pid"));
$node->safe_psql('postgres',
	'ALTER SYSTEM RESET ckpx.post_checkpoint_command');
$node->restart;
comes_true(sub { !processes(group => $pid) },
	'shutdown ends a running command');
change_and_checkpoint();

SKIP:
{
	skip 'module ckpx_observer is not installed', 1 if !$have_module;
	my $log = $node->data_dir . '/ckpx_observer.log';

	$node->safe_psql('postgres', 'CREATE EXTENSION ckpx_observer');

	# Every change is announced, forced ones too, and a backup.
	my $here = change_and_checkpoint();
	wait_until(
		sub { grep { /^incremental finished \S+ \Q$here\E there/ } lines($log) },
		'the end is announced');
	is_deeply(
		[
			map { (split / /)[1] }
			grep { /^incremental \w+ \S+ \Q$here\E / } lines($log)
		],
		[qw(pending running finished)],
		'what an observer sees of an incremental');
	my $backup = $node->safe_psql('postgres',
		q{SELECT ckpx_backup_checkpoint() FROM (SELECT pg_logical_emit_message(true, 'a', 'b')) x});
	wait_until(sub { grep { /^backup finished / } lines($log) },
		'a backup is announced') if $backup =~ /bak_/;

	# A failing callback harms nobody.
	append_to_file($node->data_dir . '/ckpx_observer.fail', '');
	$observer = $node->safe_psql('postgres',
		"SELECT pid FROM ckpx_workers WHERE name = 'observer'");
	change_and_checkpoint();
	wait_for_sql($node,
		"SELECT last_error LIKE '%told to fail' FROM ckpx_workers WHERE name = 'observer'");
	unlink $node->data_dir . '/ckpx_observer.fail';
	my $after = change_and_checkpoint();
	wait_until(
		sub { grep { /^incremental finished \S+ \Q$after\E / } lines($log) },
		'it is called again');
	is( $node->safe_psql('postgres',
			"SELECT pid FROM ckpx_workers WHERE name = 'observer'"),
		$observer,
		'an ERROR in a callback does not end the observer');

	# Decoders
	my $from = wal_position($node);
	$node->safe_psql('postgres', $_) foreach (
		"SELECT ckpx_observer_write('harmless')",
		"SELECT ckpx_observer_write('special')",
		"SELECT ckpx_observer_write('block', 1663, 5, 77777, 4711)",
		"SELECT ckpx_observer_write('block', 1663, 5, 77777, 4712)",
		"SELECT ckpx_observer_write('truncate', 1663, 5, 77778, 12)",
		"SELECT ckpx_observer_write('create', 1663, 5, 77779)");
	my $to = wal_position($node);
	is( $node->safe_psql(
			'postgres', qq{
			SELECT string_agg(concat_ws(' ', relfilenode, blocks, limit_block), '; ' ORDER BY relfilenode)
			FROM ckpx_changed_blocks('$from', '$to') WHERE relfilenode >= 77777}
		),
		'77777 {[4711,4713)}; 77778 {} 12; 77779 {} 0',
		'blocks that a decoder hands over');
	is($node->safe_psql('postgres', 'SELECT epoch, custom_rmgrs FROM ckpx_runner'),
		'1|{}', 'records that a decoder covers are no reason to doubt');
	like(
		$node->safe_psql('postgres',
			"SELECT ckpx_observer_map('$from', '$to')"),
		qr{77777/0:4711-4713 77778/0>=12 77779/0>=0},
		'the map in C');
	$from = wal_position($node);
	change_and_checkpoint();
	my $filenode = $node->safe_psql('postgres',
		"SELECT pg_relation_filenode('t')");
	like(
		$node->safe_psql('postgres',
			"SELECT ckpx_observer_map('$from', NULL, 't')"),
		qr{^$filenode/0:0-1( \S+)*$},
		'of one relation');
	$node->safe_psql('postgres', "SELECT ckpx_observer_write('unknown')");
	$to = wal_position($node);
	$node->safe_psql('postgres', "SELECT ckpx_wait_collected('$to')");
	is($node->safe_psql('postgres', 'SELECT custom_rmgrs FROM ckpx_runner'),
		'{128}', 'a record that it does not know is listed');
}

$node->stop;
done_testing();
