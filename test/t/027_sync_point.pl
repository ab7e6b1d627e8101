# A commit touches no block.  Rows that were written before a consumer's
# position by a transaction which its snapshot did not see yet are found only
# by going back to that transaction's first record: ckpx_sync_point().

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use CkpxTest;
use Test::More;

my $node = new_node('main');
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION ckpx');
$node->safe_psql('postgres',
	'CREATE TABLE t (a int PRIMARY KEY, b int); INSERT INTO t SELECT g, 0 FROM generate_series(1, 1000) g');

my $writer = session($node);
my $consumer = session($node);

# T1 updates and stays open; T2 notes positions and copies; T1 commits.
ask($writer, 'BEGIN');
ask($writer, 'UPDATE t SET b = 1 WHERE a = 500');

# Much goes by, so that the update is long collected and checkpointed.
$node->safe_psql('postgres', 'UPDATE t SET b = 2 WHERE a < 3');
$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');

ask($consumer, 'BEGIN ISOLATION LEVEL REPEATABLE READ');
is(ask($consumer, 'SELECT b FROM t WHERE a = 500'), 0, 'the snapshot does not see the row');
my $sync = ask($consumer, 'SELECT ckpx_sync_point()');
my $present = wal_position($node);
ask($writer, 'COMMIT');

# Later snapshots of the same transaction still need the same point, also when
# the writer has long ended.
$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
is( $node->safe_psql('postgres', "SELECT '" . ask($consumer, 'SELECT ckpx_sync_point()') . "'::pg_lsn <= '$sync'"),
	't',
	'a snapshot keeps its sync point');
ask($consumer, 'COMMIT');

is(names_row($node, $present, 'a = 500'), 'f', 'since the present position no record names the row');
is(names_row($node, $sync, 'a = 500'), 't', 'since the sync point one does');

# With nothing open, the sync point is as far as WAL is collected.
my $position = wal_position($node);
$node->safe_psql('postgres', "SELECT ckpx_wait_collected('$position', '1min')");
is($node->safe_psql('postgres', "SELECT ckpx_sync_point() >= '$position'"),
	't', 'nothing is open: the sync point is the collected position');

sub sync_point { return $node->safe_psql('postgres', 'SELECT ckpx_sync_point()'); }

sub await_collected
{
	return $node->safe_psql('postgres',
		"SELECT ckpx_wait_collected(pg_current_wal_insert_lsn(), '1min')");
}

# A prepared transaction stays invisible over a restart.  The newest object
# tells of it, whether that is an incremental or, when those were collected, a
# global.
end_session($writer);
end_session($consumer);
change_settings($node, 'ckpx.commit_wait' => '0');
foreach my $kind (qw(incremental global))
{
	my $before = wal_position($node);
	my $row = $kind eq 'global' ? 600 : 700;
	$node->safe_psql('postgres',
		"BEGIN; UPDATE t SET b = 3 WHERE a = $row; PREPARE TRANSACTION 'p'");
	await_collected();
	my $first = sync_point();
	is($node->safe_psql('postgres', "SELECT '$first'::pg_lsn BETWEEN '$before' AND '$before'::pg_lsn + 1000000"),
		't', 'a prepared transaction holds the sync point');
	$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
	$node->safe_psql('postgres', 'SELECT ckpx_global_checkpoint(), ckpx_gc()')
	  if $kind eq 'global';
	is($node->safe_psql('postgres', q{SELECT kind FROM ckpx_checkpoints ORDER BY end_lsn DESC, start_lsn DESC LIMIT 1}),
		$kind, "the newest object is of an $kind checkpoint");
	crash_and_restart($node);

	# No wait for the runner here: the call does that.
	wait_for_sql($node, 'SELECT 1', '1');
	my ($status, $out, $err) = $node->psql('postgres', 'SELECT ckpx_sync_point()');
	is($err, '', "... also after a crash, from an $kind checkpoint");
	$node->safe_psql('postgres', "COMMIT PREPARED 'p'");
	is(names_row($node, $out, "a = $row"), 't', '... and it goes back far enough') if $status == 0;
}

# While the runner starts again a caller waits.  Open meanwhile: a transaction
# that has an xid and no record yet, so that no object tells of it.
$node->safe_psql('postgres', 'CREATE TABLE other (i int)');
$writer = session($node);
ask($writer, 'BEGIN');
ask($writer, 'SELECT pg_current_xact_id()');
$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
$node->safe_psql('postgres', "SELECT ckpx_fault_add('boot-loaded', 'wait')");
my $pid = $node->safe_psql('postgres', "SELECT pid FROM ckpx_workers WHERE name = 'runner'");
kill 'TERM', $pid;
await_held($node, 'boot-loaded');
$consumer = session($node);
$consumer->{in} .= "SELECT ckpx_sync_point() IS NOT NULL;\n\\echo done\n";
wait_until(
	sub {
		$consumer->{handle}->pump_nb;
		return $consumer->{out} =~ /done/
		  || $node->safe_psql('postgres',
			"SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT ckpx_sync_point%' AND wait_event_type = 'Extension'"
		  ) eq '1';
	},
	'the call waits or returns');
$node->safe_psql('postgres', "SELECT ckpx_fault_remove('boot-loaded')");
wait_until(sub { $consumer->{handle}->pump_nb; $consumer->{out} =~ /done/ }, 'the call returns');
is($consumer->{out}, "t\ndone\n", 'while the runner starts again the call waits');

# The runner learns of that transaction from PostgreSQL's list of those that
# are running; its first record, which comes later, counts all the same.
$node->safe_psql('postgres', 'CHECKPOINT');
await_collected();
ask($writer, 'INSERT INTO other VALUES (1)');
await_collected();
$node->safe_psql('postgres', 'UPDATE t SET b = 2 WHERE a < 3');
await_collected();
$sync = sync_point();
ask($writer, 'COMMIT');
is( $node->safe_psql('postgres',
		"SELECT nblocks FROM ckpx_changed_blocks('$sync', NULL, 'other') WHERE fork = 'main'"),
	1, 'a transaction that got its xid long before its first record');

# What began before the epoch did is not known, and stays so over a restart.
sub no_sync_point
{
	my ($name) = @_;
	my ($status, $out, $err) = $node->psql('postgres', 'SELECT ckpx_sync_point()');
	return like($err, qr/no sync point is known/, $name);
}

$node->safe_psql('postgres',
	"BEGIN; UPDATE t SET b = 7 WHERE a = 900; PREPARE TRANSACTION 'old'");
end_session($_) foreach $writer, $consumer;
$node->stop;
system('rm', '-rf', $node->data_dir . '/pg_replslot/ckpx');
$node->start;
wait_for_sql($node, 'SELECT epoch = 2 AND collected_lsn IS NOT NULL FROM ckpx_runner');
await_collected();
no_sync_point('a transaction from before the epoch');
$node->safe_psql('postgres', 'UPDATE t SET b = 2 WHERE a < 3');
foreach my $listed (0, 1)
{
	$node->safe_psql('postgres', 'CHECKPOINT') if $listed;
	$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
	crash_and_restart($node);
	wait_for_sql($node, 'SELECT collected_lsn IS NOT NULL FROM ckpx_runner');
	no_sync_point('... nor after a crash' . ($listed ? ', once it was listed' : ''));
}
$node->safe_psql('postgres', "COMMIT PREPARED 'old'");
sql_becomes($node, 'SELECT ckpx_sync_point() IS NOT NULL', 't', 'when it has ended there is one');

$node->stop;
done_testing();
