# Transaction ids go beyond 2^32, where their 32-bit form begins anew, while
# there is load, and transactions from before that are still open after it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use CkpxHistory;
use CkpxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $wrap = 2**32;
my $before_wrap = 1300;

my $node = history_node(
	'main', conf => <<'EOC');
ckpx.min_count = 1000000
ckpx.max_incremental_interval = 0
ckpx.commit_wait = '1h'
EOC

# ---- a server whose transaction ids are nearly used up

$node->start;
$node->command_ok([ 'vacuumdb', '--all', '--freeze', '--quiet' ], 'nothing is left to be frozen');
$node->stop;
$node->command_ok([ 'pg_resetwal', '-x', $wrap - $before_wrap, $node->data_dir ],
	'transaction ids go on shortly before 2^32');
append_to_file($node->data_dir . '/pg_xact/0FFF', "\0" x 262144);

$node->start;
create_load($node);
$node->safe_psql('postgres', q{
	CREATE TABLE t (id int PRIMARY KEY, n int) WITH (fillfactor = 50);
	INSERT INTO t SELECT g, 0 FROM generate_series(1, 1000) g});

# Its record of running transactions tells that no other one is open.
$node->safe_psql('postgres', 'CHECKPOINT');
await_tracking($node);
my $gaps = gap_reasons($node);

# As 64 bits.
sub next_xid
{
	return sql('SELECT pg_snapshot_xmax(pg_current_snapshot())');
}

sub newest_entry
{
	my ($columns) = @_;
	return sql("SELECT $columns FROM ckpx_checkpoints WHERE kind = 'incremental' ORDER BY end_lsn DESC LIMIT 1");
}

# ---- over 2^32, with open transactions

my $start = wal_position($node);
my $open = session($node);
ask($open, 'BEGIN');
my $xid = ask($open, 'SELECT pg_current_xact_id()');
ask($open, 'UPDATE t SET n = 1 WHERE id = 100');
ask($open, 'SAVEPOINT s');
ask($open, 'UPDATE t SET n = 1 WHERE id = 900');
sql(q{BEGIN; UPDATE t SET n = 2 WHERE id = 500; PREPARE TRANSACTION 'p'});
my $open_from = wal_position($node);
sql("SELECT ckpx_wait_collected('$open_from')");
cmp_ok($xid, '<', $wrap, 'a transaction begins before 2^32');

# A snapshot from before sees neither.
my $reader = session($node);
ask($reader, 'BEGIN ISOLATION LEVEL REPEATABLE READ');
my $sync = ask($reader, 'SELECT ckpx_sync_point()');

# What is never behind the first change that a snapshot does not see, and not
# far before it.
my (@wrong, %seen);
my $load = start_load($node, 300);
wait_until(
	sub {
		my ($next, $point, $right) = split /\|/, sql(qq{
			SELECT pg_snapshot_xmax(pg_current_snapshot()), s, s BETWEEN '$start' AND '$open_from'
			FROM ckpx_sync_point() s});
		$seen{ $next < $wrap ? 'before' : 'after' }++;
		push @wrong, "$point at $next" if $right ne 't';
		return $next > $wrap + $before_wrap;
	},
	'transaction ids are beyond 2^32');
is(join(' ', sort keys %seen), 'after before', 'transaction ids went beyond 2^32');
is(join(', ', @wrong), '', 'the sync point is that of the oldest open transaction all the way');
is(ask($reader, 'SELECT ckpx_sync_point()'), $sync, 'a snapshot from before keeps its sync point');
ask($reader, 'COMMIT');

# An entry waits for a transaction from before, although its xid is a larger
# number than those of its range.
my $request = background('SELECT ckpx_checkpoint()');
sql_becomes($node, "SELECT waiting_for FROM ckpx_checkpoints WHERE state = 'pending'",
	"transaction $xid", 'an entry from after 2^32 waits for a transaction from before');
ask($open, 'COMMIT');
end_session($open);
change_settings($node, 'ckpx.commit_wait' => '100ms');
like($request->(), qr{^[0-9A-F]+/[0-9A-F]+$}m, 'and is made once that has ended');
stop_load($load);
sql('SELECT ckpx_checkpoint()');
is(newest_entry('open_xacts'), 1, 'the prepared transaction is the only open one');
my $end = wal_position($node);
covers_all_oracles($node, $start, $end, 'over 2^32');
is(names_row($node, $sync, "id = $_"), 't', "row $_ is in the map from the sync point on")
  foreach 100, 900;

# ---- restarts with a prepared transaction from before

my $answer = answer($node, $start, newest_entry('end_lsn'));
foreach my $how ('restart', 'crash')
{
	$how eq 'restart' ? $node->restart : crash_and_restart($node);
	await_tracking($node);
	is(answer($node, $start, newest_entry('end_lsn')), $answer, "$how: the same answer");
	run_load($node, 20);
	await_tracking($node);
	is(sql("SELECT ckpx_sync_point() BETWEEN '$start' AND '$open_from'"),
		't', "$how: the sync point goes back to the prepared transaction");
	sql('SELECT ckpx_checkpoint()');
	is(newest_entry('open_xacts'), 1, "$how: it is listed");
	$answer = answer($node, $start, newest_entry('end_lsn'));
}

my $prepared = sql('SELECT ckpx_sync_point()');
sql(q{COMMIT PREPARED 'p'});
sql('SELECT ckpx_checkpoint()');
is(newest_entry('open_xacts'), 0, 'once it has ended nothing is open');
is(names_row($node, $prepared, 'id = 500'), 't', 'its row is in the map from the sync point on');
my $position = wal_position($node);
sql("SELECT ckpx_wait_collected('$position')");
is(sql("SELECT ckpx_sync_point() >= '$position'"), 't', 'and the sync point is at the present');

# ---- no xid of before is left

run_load($node, 50);
covers_after_crashes($node, $start, wal_position($node), 'in the end');
is(gap_reasons($node), $gaps, 'one epoch all the time');
store_is_sound($node, 'in the end');
is(sql("SELECT string_agg(last_error, '; ') FROM ckpx_workers"), '', 'no worker has failed');
$node->stop('fast');
done_testing();
