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

# The range since 'lsn' names the page of row 'a'.
sub names_row
{
	my ($lsn, $a) = @_;
	return $node->safe_psql(
		'postgres', qq{
		SELECT coalesce(bool_or(c.blocks @> (split_part(trim(t.ctid::text, '()'), ',', 1))::bigint
			OR (split_part(trim(t.ctid::text, '()'), ',', 1))::bigint >= c.limit_block), false)
		FROM t, ckpx_changed_blocks('$lsn', NULL, 't') c
		WHERE t.a = $a AND c.fork = 'main'});
}

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

is(names_row($present, 500), 'f', 'since the present position no record names the row');
is(names_row($sync, 500), 't', 'since the sync point one does');

# With nothing open, the sync point is as far as WAL is collected.
my $position = wal_position($node);
$node->safe_psql('postgres', "SELECT ckpx_wait_collected('$position', '1min')");
is($node->safe_psql('postgres', "SELECT ckpx_sync_point() >= '$position'"),
	't', 'nothing is open: the sync point is the collected position');

# A prepared transaction stays invisible over a restart.
end_session($writer);
end_session($consumer);
{
	my $before = wal_position($node);
	$node->safe_psql('postgres',
		"BEGIN; UPDATE t SET b = 3 WHERE a = 700; PREPARE TRANSACTION 'p'");
	$node->safe_psql('postgres', "SELECT ckpx_wait_collected(pg_current_wal_insert_lsn(), '1min')");
	my $first = $node->safe_psql('postgres', 'SELECT ckpx_sync_point()');
	is($node->safe_psql('postgres', "SELECT '$first'::pg_lsn BETWEEN '$before' AND '$before'::pg_lsn + 1000000"),
		't', 'a prepared transaction holds the sync point');
	$node->safe_psql('postgres', 'ALTER SYSTEM SET ckpx.commit_wait = 0; SELECT pg_reload_conf()');
	$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
	crash_and_restart($node);
	wait_for_sql($node, 'SELECT collected_lsn IS NOT NULL FROM ckpx_runner', 't');
	my $after = $node->safe_psql('postgres', 'SELECT ckpx_sync_point()');
	$node->safe_psql('postgres', "COMMIT PREPARED 'p'");
	is(names_row($after, 700), 't', '... also after a crash');
}

$node->stop;
done_testing();
