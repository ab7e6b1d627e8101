# When an incremental checkpoint is made, what it waits for, and what it says;
# with PostgreSQL's own checkpoints as the only source of durability.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use CkpxTest;
use Test::More;

my $node = new_node('main');
$node->append_conf(
	'postgresql.conf', q{
ckpx.min_count = 1000000
ckpx.min_incremental_interval = '1h'
ckpx.max_incremental_interval = 0
ckpx.max_incremental_wal = 0
ckpx.commit_wait = '1h'
ckpx.flush = off
checkpoint_timeout = '1h'
});
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION ckpx');
$node->safe_psql('postgres', 'CREATE TABLE t (a int, b text)');

sub set
{
	my %settings = @_;
	change_settings($node, map { ("ckpx.$_" => $settings{$_}) } keys %settings);
	return;
}

sub finished
{
	return $node->safe_psql('postgres',
		"SELECT count(*) FROM ckpx_checkpoints WHERE state = 'finished'");
}

# Everything is collected, and the runner has looked at it since: two ticks.
sub let_the_runner_look
{
	for (1 .. 2)
	{
		$node->safe_psql('postgres', 'INSERT INTO t VALUES (0)');
		my $lsn = wal_position($node);
		$node->safe_psql('postgres', "SELECT ckpx_wait_collected('$lsn', '1min')");
	}
	return;
}

let_the_runner_look();
is($node->safe_psql('postgres', 'SELECT count(*) FROM ckpx_checkpoints'),
	0, 'nothing is due: no entry');

# Count: enough transactions make the first one at once, without an interval.
set(min_count => 5);
$node->safe_psql('postgres', "INSERT INTO t VALUES ($_)") foreach 1 .. 6;
sql_becomes($node, 'SELECT count(*) FROM ckpx_checkpoints', 1,
	'enough transactions: an entry');

# It waits for PostgreSQL's checkpoint, and says so.
sql_becomes($node,
		"SELECT waiting_for LIKE 'a checkpoint of PostgreSQL%' FROM ckpx_checkpoints", 't',
	'a pending entry says that it waits for durability');
$node->safe_psql('postgres', 'CHECKPOINT');
sql_becomes($node,
		"SELECT count(*) FROM ckpx_checkpoints WHERE state = 'finished'", 1,
	'durable: finished');
like(
	$node->safe_psql('postgres',
		'SELECT location, version, nxacts >= 5, nblocks > 0, open_xacts, undurable FROM ckpx_checkpoints'),
	qr/^inc_00000001_00000001_[0-9A-F]{16}_[0-9A-F]{16}\.ckpx\|3\|t\|t\|0\|0$/,
	'what a finished entry shows');

# The next one needs the interval as well.
$node->safe_psql('postgres', "INSERT INTO t VALUES ($_)") foreach 1 .. 10;
let_the_runner_look();
is($node->safe_psql('postgres', 'SELECT count(*) FROM ckpx_checkpoints'),
	1, 'the interval has not passed: no second entry');
set(min_incremental_interval => '10ms');
sql_becomes($node, 'SELECT count(*) > 1 FROM ckpx_checkpoints', 't',
	'the interval has passed: a second entry');

# It ends where PostgreSQL's checkpoint began; the rest is due as well.
wait_for_sql($node, 'SELECT count(*) FROM ckpx_checkpoints', 3);
$node->safe_psql('postgres', 'CHECKPOINT');
wait_for_sql($node, "SELECT count(*) FROM ckpx_checkpoints WHERE state = 'finished'", 3);

# Time: something changed, and max_incremental_interval has passed.
set(min_count => 1000000, max_incremental_interval => '1s');
$node->safe_psql('postgres', 'INSERT INTO t VALUES (1)');
sql_becomes($node, 'SELECT count(*) > 3 FROM ckpx_checkpoints', 't',
	'max_incremental_interval makes an entry');
set(max_incremental_interval => 0);
$node->safe_psql('postgres', 'CHECKPOINT');
is(wait_for_sql($node, "SELECT count(*) FROM ckpx_checkpoints WHERE state <> 'finished'", 0),
	0, '... that finishes');

# WAL: enough of it.
my $before = finished();
set(max_incremental_wal => '1MB');
$node->safe_psql('postgres',
	"INSERT INTO t SELECT g, repeat('x', 500) FROM generate_series(1, 5000) g");
sql_becomes($node, "SELECT count(*) > $before FROM ckpx_checkpoints", 't',
	'max_incremental_wal makes an entry');
set(max_incremental_wal => 0);
$node->safe_psql('postgres', 'CHECKPOINT');
wait_for_sql($node, "SELECT count(*) FROM ckpx_checkpoints WHERE state <> 'finished'", 0);

# Committed: an open transaction that wrote in the range holds the entry, and
# its xid stands there.
my $writer = session($node);
ask($writer, 'BEGIN');
ask($writer, "INSERT INTO t VALUES (7, 'open')");
my $xid = ask($writer, 'SELECT pg_current_xact_id()::xid');

my $request = session($node);
$request->{in} .= "SELECT ckpx_checkpoint();\n\\echo done\n";
$request->{handle}->pump_nb;
sql_becomes($node,
		"SELECT waiting_for FROM ckpx_checkpoints WHERE state = 'pending'",
		"transaction $xid",
	'a pending entry names the transaction that it waits for');
ask($writer, 'COMMIT');
IPC::Run::pump($request->{handle}) until $request->{out} =~ /done\n/;
is($node->safe_psql('postgres',
		"SELECT open_xacts FROM ckpx_checkpoints ORDER BY end_lsn DESC LIMIT 1"),
	0, 'ended: the entry is transaction-consistent');

# It does not wait for a transaction that waits for it, however many there are;
# such a one is open nevertheless.
my @waiters = map { session($node) } 1 .. 2;
foreach my $i (0, 1)
{
	ask($waiters[$i], 'BEGIN');
	ask($waiters[$i], "INSERT INTO t VALUES ($i, 'waits')");
	ask($waiters[$i], 'SAVEPOINT a');
	ask($waiters[$i], "INSERT INTO t VALUES ($i, 'waits, too')");
}
my @xids = map { ask($_, 'SELECT pg_current_xact_id()::xid') } @waiters;
foreach my $i (0, 1)
{
	$waiters[$i]->{out} = '';
	$waiters[$i]->{in} .=
	  "SET LOCAL statement_timeout = '60s';\n"
	  . ($i == 0 ? 'SELECT ckpx_checkpoint()' : 'SELECT ckpx_wait(max(end_lsn)) FROM ckpx_checkpoints')
	  . ";\n\\echo done\n";
	$waiters[$i]->{handle}->pump_nb;
	wait_for_sql($node,
		"SELECT waiting_for FROM ckpx_checkpoints WHERE state = 'pending'", "transaction $xids[1]")
	  if $i == 0;
}
foreach my $i (0, 1)
{
	IPC::Run::pump($waiters[$i]->{handle}) until $waiters[$i]->{out} =~ /done\n/;
}
is($node->safe_psql('postgres',
		"SELECT open_xacts FROM ckpx_checkpoints ORDER BY end_lsn DESC LIMIT 1"),
	4, 'transactions that wait for a checkpoint do not hold it up, and are counted');

# Where the wait was given up, the transaction is waited for like any other.
ask($waiters[1], 'ROLLBACK');
ask($waiters[1], 'BEGIN');
ask($waiters[1], "INSERT INTO t VALUES (2, 'open')");
ask($waiters[0], 'SAVEPOINT b');
ask($waiters[0], "SELECT ckpx_checkpoint(timeout => '100ms')");
ask($waiters[0], 'ROLLBACK TO b');
ask($waiters[1], 'ROLLBACK');
ok( wait_for_sql($node,
		"SELECT waiting_for FROM ckpx_checkpoints WHERE state = 'pending'",
		"transaction $xids[0]"),
	'a transaction that does not wait any more holds up the checkpoint');
ask($waiters[0], 'ROLLBACK');
$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
end_session($_) foreach @waiters;

# commit_wait bounds the wait; the entry then says how many are open.
set(commit_wait => '100ms');
ask($writer, 'BEGIN');
ask($writer, "INSERT INTO t VALUES (8, 'open')");
ask($writer, 'SAVEPOINT a');
ask($writer, "INSERT INTO t VALUES (9, 'open')");
$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
is($node->safe_psql('postgres',
		"SELECT open_xacts FROM ckpx_checkpoints ORDER BY end_lsn DESC LIMIT 1"),
	2, 'commit_wait is over: the entry counts transaction and subtransaction');
ask($writer, 'COMMIT');

# A prepared transaction is an open one, also after a restart.
$node->safe_psql('postgres',
	"BEGIN; INSERT INTO t VALUES (10, 'prepared'); PREPARE TRANSACTION 'p'");
$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
is($node->safe_psql('postgres',
		"SELECT open_xacts FROM ckpx_checkpoints ORDER BY end_lsn DESC LIMIT 1"),
	1, 'a prepared transaction is counted');
end_session($_) foreach $writer, $request;
$node->restart;
wait_for_sql($node, 'SELECT collected_lsn IS NOT NULL FROM ckpx_runner', 't');
$node->safe_psql('postgres', 'INSERT INTO t VALUES (11)');
$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
is($node->safe_psql('postgres',
		"SELECT open_xacts FROM ckpx_checkpoints ORDER BY end_lsn DESC LIMIT 1"),
	1, '... also after a restart');
$node->safe_psql('postgres', "COMMIT PREPARED 'p'");
$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
is($node->safe_psql('postgres',
		"SELECT open_xacts FROM ckpx_checkpoints ORDER BY end_lsn DESC LIMIT 1"),
	0, '... until it is committed');

# An end that is covered already returns at once; a timeout is an error.
my $reached = $node->safe_psql('postgres', 'SELECT checkpointed_lsn FROM ckpx_runner');
is($node->safe_psql('postgres', "SELECT ckpx_checkpoint('$reached') = '$reached'"),
	't', 'an end that is covered returns at once');
is($node->safe_psql('postgres', "SELECT ckpx_wait('$reached', '1min')"), 't',
	'ckpx_wait: reached');
is( $node->safe_psql('postgres',
		"SELECT ckpx_wait(pg_current_wal_insert_lsn() + 1000000, '10ms')"),
	'f', 'ckpx_wait: not reached in time');

# Disabled: collecting goes on, checkpoints do not, and asking for one says so.
$node->safe_psql('postgres', 'SELECT ckpx_disable()');
$node->safe_psql('postgres', "INSERT INTO t VALUES (11)");
my ($ret, $stdout, $stderr) = $node->psql('postgres', 'SELECT ckpx_checkpoint()');
like($stderr, qr/checkpoints of ckpx are disabled/, 'a disabled ckpx refuses a checkpoint');
$node->safe_psql('postgres', "INSERT INTO t VALUES (12)");
my $committed = wal_position($node);
is($node->safe_psql('postgres', "SELECT ckpx_wait_collected('$committed', '1min')"),
	't', '... but collects');
$node->safe_psql('postgres', 'SELECT ckpx_enable()');
is($node->safe_psql('postgres', "SELECT ckpx_checkpoint() >= '$committed'"),
	't', 'enabled again');

# WAL is released behind finished incrementals, and reserved_wal holds it back.
$node->safe_psql('postgres', 'SELECT ckpx_checkpoint(); ');
my $slot = q{SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = 'ckpx'};
my $old = $node->safe_psql('postgres', $slot);
for (1 .. 3)
{
	$node->safe_psql('postgres', "INSERT INTO t VALUES ($_)");
	$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
}
sql_becomes($node, "SELECT restart_lsn > '$old' FROM pg_replication_slots WHERE slot_name = 'ckpx'", 't',
	'the slot moves on');
sql_becomes($node, q{
	SELECT s.restart_lsn = c.truncate_lsn FROM pg_replication_slots s,
		(SELECT truncate_lsn FROM ckpx_checkpoints WHERE state = 'finished'
			ORDER BY end_lsn DESC OFFSET 1 LIMIT 1) c
	WHERE slot_name = 'ckpx'}, 't',
	'... to the last record of what the older of the two manifests knows');
set(reserved_wal => '1GB');
$old = $node->safe_psql('postgres', $slot);
for (1 .. 3)
{
	$node->safe_psql('postgres', "INSERT INTO t VALUES ($_)");
	$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
}
is($node->safe_psql('postgres', $slot), $old, 'reserved_wal holds it back');

$node->stop;
done_testing();
