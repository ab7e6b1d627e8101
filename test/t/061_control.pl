# Driving ckpx by hand: disable and enable, cancelling, uninstalling, each
# against jobs that run, fail or wait.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use CkpxTest;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', quick_restart => 1, conf => "ckpx.min_incremental_interval = '1h'");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION ckpx; CREATE TABLE t (i int)');
$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');

# Run SQL in a session of its own; finish() it for its output, errors too.
sub in_session
{
	my ($sql) = @_;
	my $out = '';
	my $handle = IPC::Run::start(
		[
			'psql', '-XAtq', '-d', $node->connstr('postgres'),
			map { ('-c', $_) } split /;\s*/, $sql
		],
		'<', '/dev/null', '>', \$out, '2>', \$out, IPC::Run::timeout(120));
	return { handle => $handle, out => \$out };
}

sub finish
{
	my ($session) = @_;
	$session->{handle}->finish;
	chomp(my $out = ${ $session->{out} });
	return $out;
}

sub objects { return scalar(my @f = glob($node->data_dir . '/ckpx/*/*.ckpx*')); }

# disable() waits for the running job, and starts none.
sql("INSERT INTO t VALUES (1); SELECT ckpx_fault_add('job-start', 'wait')");
my $force = in_session('SELECT ckpx_checkpoint() IS NOT NULL');
await_held($node, 'job-start');
my @disable = map { in_session("SELECT 'disabled' FROM ckpx_disable()") } 1 .. 3;
wait_for_sql($node, 'SELECT NOT enabled FROM ckpx_runner');
wait_for_sql($node,
	"SELECT count(*) = 3 FROM pg_stat_activity WHERE query LIKE '%FROM ckpx_disable()' AND state = 'active' AND pid <> pg_backend_pid()");
sql("SELECT ckpx_fault_remove('job-start')");
is(finish($_), 'disabled', 'disable returns') foreach @disable;
is(sql("SELECT count(*) FROM ckpx_checkpoints WHERE state = 'running'"),
	0, 'when the job has ended');
like(finish($force), qr/^t$|disabled/, 'a call that waits for a checkpoint learns of it');
my ($ret, $out, $err) = $node->psql('postgres', 'SELECT ckpx_checkpoint()');
like($err, qr/checkpoints of ckpx are disabled/, 'disabled: ckpx_checkpoint() is refused');
($ret, $out, $err) =
  $node->psql('postgres', 'SELECT ckpx_backup_checkpoint()');
like($err, qr/checkpoints of ckpx are disabled/, 'disabled: ckpx_backup_checkpoint() is refused');
sql('SELECT ckpx_enable()');
sql('INSERT INTO t VALUES (1); SELECT ckpx_checkpoint()');

# A job that fails and waits for its next attempt: disable() need not wait, and
# no attempt is made until enable().
sql("INSERT INTO t VALUES (1); SELECT ckpx_fault_add('object-fsync', 'error', NULL, 'enospc')");
$force = in_session('SELECT ckpx_checkpoint() IS NOT NULL');
wait_for_sql($node,
	"SELECT attempts > 0 FROM ckpx_checkpoints WHERE state = 'running'");
sql('SELECT ckpx_disable()');
like(finish($force), qr/disabled/, 'the call ends');
my $attempts =
  sql("SELECT attempts FROM ckpx_checkpoints WHERE state = 'running'");
sql("SELECT ckpx_fault_remove('object-fsync')");
my $handled = sql("SELECT incrementals_done FROM ckpx_stat");
sql("SELECT pg_logical_emit_message(true, 'a', 'b')");
sql("SELECT ckpx_wait_collected(pg_current_wal_lsn())");
is( sql("SELECT attempts, state FROM ckpx_checkpoints WHERE attempts > 0"),
	"$attempts|running",
	'no attempt while disabled');
my $nobjects = objects();

# Cancel it: entry and files are gone.
is(sql('SELECT ckpx_cancel_pending()'), 1, 'a failing entry is canceled');
is(sql("SELECT count(*) FROM ckpx_checkpoints WHERE state <> 'finished'"),
	0, 'and gone');
is(objects(), sql('SELECT count(*) FROM ckpx_checkpoints'),
	'no object is left');
is(sql('SELECT ckpx_cancel_pending()'), 0, 'nothing to cancel');
sql('SELECT ckpx_enable()');

# Cancel a running job at a safe point, from several sessions at once.
sql("SELECT ckpx_fault_add('object-renamed', 'wait')");
$force = in_session("INSERT INTO t VALUES (2); SELECT ckpx_checkpoint()");
await_held($node, 'object-renamed');
my @cancel = map { in_session('SELECT ckpx_cancel_pending()') } 1 .. 4;
wait_for_sql($node,
	"SELECT count(*) = 4 FROM pg_stat_activity WHERE query LIKE '%ckpx_cancel_pending()%' AND state = 'active' AND pid <> pg_backend_pid()");
sql("SELECT ckpx_fault_remove('object-renamed')");
my $total = 0;
$total += finish($_) foreach @cancel;
is($total, 1, 'one running entry, counted once');
like(finish($force), qr/checkpoint of ckpx was canceled/,
	'a call that waits for it fails');
comes_true(sub { objects() == sql('SELECT count(*) FROM ckpx_checkpoints') },
	'no object is left behind');

# One that is past its last safe point finishes.
sql("SELECT ckpx_fault_add('job-published', 'wait')");
$force = in_session('INSERT INTO t VALUES (3); SELECT ckpx_checkpoint() IS NOT NULL');
await_held($node, 'job-published');
my $late = in_session('SELECT ckpx_cancel_pending()');
wait_for_sql($node,
	"SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%ckpx_cancel_pending()%' AND state = 'active' AND pid <> pg_backend_pid()");
sql("SELECT ckpx_fault_remove('job-published')");
is(finish($late), 0, 'too late to cancel');
finish($force);

# A pending entry
sql("SELECT ckpx_fault_add('entry-created', 'wait')");
$force = in_session('INSERT INTO t VALUES (4); SELECT ckpx_checkpoint()');
await_held($node, 'entry-created');
is(sql('SELECT ckpx_cancel_pending()'), 1, 'a pending entry goes at once');
sql("SELECT ckpx_fault_remove('entry-created')");
like(finish($force), qr/canceled/, 'the call that asked for it ends');

# The checkpointer dies while a cancel waits.
sql("SELECT ckpx_fault_add('object-write', 'wait')");
$force = in_session('INSERT INTO t VALUES (5); SELECT ckpx_checkpoint()');
await_held($node, 'object-write');
$late = in_session('SELECT ckpx_cancel_pending()');
wait_for_sql($node,
	"SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%ckpx_cancel_pending()%' AND state = 'active' AND pid <> pg_backend_pid()");
sql("SELECT pg_terminate_backend(pid) FROM ckpx_workers WHERE name = 'checkpointer'");
sql("SELECT ckpx_fault_remove('object-write')");
is(finish($late), 1, 'the next checkpointer takes the entry away');
finish($force);
is(sql('SELECT ckpx_checkpoint() IS NOT NULL'), 't', 'the next checkpointer makes checkpoints');

# Uninstall, from several sessions, while a job runs.
sql("SELECT ckpx_fault_add('object-write', 'sleep', NULL, '200')");
$force = in_session('INSERT INTO t VALUES (6); SELECT ckpx_checkpoint()');
my ($store) = glob($node->data_dir . '/ckpx/*-*');
append_to_file(
	"$store/inc_00000001_00000001_0000000000000001_0000000000000002.ckpx.damaged", 'x');
my @uninstall = map { in_session("SELECT left(ckpx_uninstall(true), 16)") } 1 .. 3;
is(finish($_), 'ckpx has dropped', 'uninstall returns') foreach @uninstall;
like(finish($force), qr/uninstalled|canceled|failed|not loaded/,
	'a waiting call fails');
is(sql('SELECT count(*) FROM pg_replication_slots'), 0, 'no slot');
ok(!-e $node->data_dir . '/ckpx', 'no folder');
ok(!-e $node->data_dir . '/ckpx_node', 'no identity');
is(join(' ', glob($node->data_dir . '/ckpx*')),
	$node->data_dir . '/ckpx_uninstalled', 'the marker, and nothing else');
sql_becomes($node, 'SELECT count(pid) = 0 FROM ckpx_workers', 't', 'no worker');
($ret, $out, $err) = $node->psql('postgres', 'SELECT ckpx_checkpoint()');
like($err, qr/ckpx was uninstalled/, 'a checkpoint says so');
($ret, $out, $err) = $node->psql('postgres', 'SELECT ckpx_enable()');
like($err, qr/remove the file "ckpx_uninstalled"/, 'enable says what to do');

# Preloaded again: nothing is made anew.
$node->restart;
sql("SELECT pg_switch_wal()");
is(sql('SELECT count(*) FROM pg_replication_slots'), 0,
	'no slot after a restart');
wait_for_sql($node, 'SELECT count(pid) = 0 FROM ckpx_workers');
is(sql('SELECT left(ckpx_uninstall(true), 16)'),
	'ckpx has dropped', 'uninstalling again is no error');

# Interrupted: the next start goes on.
unlink $node->data_dir . '/ckpx_uninstalled';
$node->restart;
wait_for_sql($node, 'SELECT problem IS NULL AND epoch = 1 FROM ckpx_runner');
sql('SELECT ckpx_checkpoint()');
sql("SELECT ckpx_fault_add('uninstall-files', 'wait')");
$late = in_session('SELECT ckpx_uninstall(true)');
await_held($node, 'uninstall-files');
crash_and_restart($node);
eval { finish($late) };
wait_for_sql($node, 'SELECT problem FROM ckpx_runner', qr/uninstalled/);
wait_for_sql($node, 'SELECT count(pid) = 0 FROM ckpx_workers');
ok(!-e $node->data_dir . '/ckpx', 'a start after a crash removes the rest');
is(sql('SELECT count(*) FROM pg_replication_slots'), 0, 'slot too');

$node->stop;
done_testing();
