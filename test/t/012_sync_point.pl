# ckpx_sync_point(): a consumer copies a table under a snapshot and goes on
# from the LSN it got.  Whatever the snapshot did not see must be in the map
# from there on, although the transactions that wrote it began before.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use CkpxTest;
use File::Path 'rmtree';
use Test::More;

my $node = new_node('sync_point', quick_restart => 1,
	conf => "max_prepared_transactions = 20\n");
$node->start;
$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION ckpx;
	CREATE TABLE t (a int, b text) WITH (fillfactor = 100);
	ALTER TABLE t ALTER b SET STORAGE PLAIN;
	INSERT INTO t SELECT i, repeat('x', 5000) FROM generate_series(1, 40) i;
	VACUUM t;
});

# Is the block of row $a, as the map tells it, changed from $start on?
sub is_changed
{
	my ($start, $a) = @_;
	my $block = $a - 1;
	return $node->safe_psql(
		'postgres', qq{
		SELECT coalesce(bool_or(blocks @> ${block}::bigint OR limit_block <= $block), false)
		FROM ckpx_changed_blocks('$start', NULL, 't') WHERE fork = 'main'});
}

# What a consumer does: its snapshot, the sync point, and the position that a
# naive consumer would take instead.
sub consume
{
	return split /\|/, $node->safe_psql(
		'postgres', q{
		BEGIN ISOLATION LEVEL REPEATABLE READ;
		SELECT ckpx_sync_point(), pg_current_wal_insert_lsn();
		COMMIT;});
}

# -- a transaction that is open when the snapshot is taken
my $begin = wal_position($node);
$node->safe_psql('postgres',
	q{BEGIN; DELETE FROM t WHERE a = 5; PREPARE TRANSACTION 'p5'});
# until the change is collected and lies behind the collected position
$node->safe_psql('postgres', q{SELECT ckpx_wait_collected(pg_current_wal_insert_lsn())});
my ($sync, $naive) = consume();
$node->safe_psql('postgres', q{COMMIT PREPARED 'p5'});
is(is_changed($sync, 5), 't', 'an open transaction\'s change is after the sync point');
is(is_changed($naive, 5), 'f', 'and before the position of that moment');
cmp_ok($node->safe_psql('postgres', "SELECT '$sync'::pg_lsn >= '$begin'"),
	'eq', 't', 'the sync point does not lie before that transaction');

# -- with subtransactions, whose xids are their own
$node->safe_psql(
	'postgres', q{
	BEGIN;
	SAVEPOINT s; DELETE FROM t WHERE a = 7; RELEASE s;
	SAVEPOINT s; DELETE FROM t WHERE a = 9;
	PREPARE TRANSACTION 'p7';
	SELECT ckpx_wait_collected(pg_current_wal_insert_lsn());
});
($sync, $naive) = consume();
$node->safe_psql('postgres', q{COMMIT PREPARED 'p7'});
is(is_changed($sync, $_), 't', "row $_ of a subtransaction is after the sync point")
  for 7, 9;
is(is_changed($naive, 7), 'f', 'and before the position of that moment');

# -- a transaction that ended before leaves the sync point where it was
$node->safe_psql('postgres',
	q{DELETE FROM t WHERE a = 11; SELECT ckpx_wait_collected(pg_current_wal_insert_lsn())});
my ($later) = consume();
cmp_ok($node->safe_psql('postgres', "SELECT '$later'::pg_lsn > '$sync'"),
	'eq', 't', 'it moves on when the transactions have ended');

# -- a snapshot that is older than transactions which ended meanwhile
my $psql = qq{psql -X -q -d postgres -h @{[ $node->host ]} -p @{[ $node->port ]}};
my $answer = $node->safe_psql(
	'postgres', qq{
	BEGIN ISOLATION LEVEL REPEATABLE READ;
	SELECT 1;
	\\! $psql -c "DELETE FROM t WHERE a = 13"
	\\! $psql -Atc "SELECT ckpx_wait_collected(pg_current_wal_insert_lsn())" >/dev/null
	\\! $psql -c "DELETE FROM t WHERE a = 14"
	\\! $psql -Atc "SELECT ckpx_wait_collected(pg_current_wal_insert_lsn())" >/dev/null
	SELECT ckpx_sync_point();
	COMMIT;});
($sync) = $answer =~ m{([0-9A-F]+/[0-9A-F]+)};
is(is_changed($sync, 13), 't', 'a change that an old snapshot does not see');

# -- open across a restart and a crash: told from the map, or refused
$node->safe_psql('postgres',
	q{BEGIN; DELETE FROM t WHERE a = 15; PREPARE TRANSACTION 'p15';
	  SELECT ckpx_wait_collected(pg_current_wal_insert_lsn())});
for my $how (qw(restart crash))
{
	$how eq 'restart' ? $node->restart : crash_and_restart($node);
	wait_for_sql($node, 'SELECT collected_lsn IS NOT NULL FROM ckpx_runner');
	$node->safe_psql('postgres', 'SELECT ckpx_wait_collected(pg_current_wal_insert_lsn())');
	my ($status, $stdout, $stderr) = $node->psql('postgres', 'SELECT ckpx_sync_point()');
	if ($status == 0)
	{
		is(is_changed($stdout, 15), 't', "after a $how: the sync point goes back");
	}
	else
	{
		like($stderr, qr/no sync point is known/, "after a $how: refused");
	}
}
$node->safe_psql('postgres', q{COMMIT PREPARED 'p15'});
sql_becomes($node, 'SELECT ckpx_sync_point() IS NOT NULL',
	't', 'once it has ended there is an answer again');

# -- one that has its xid, and no record, when the runner begins to read
change_settings($node, 'ckpx.commit_wait' => '0');
my $writer = session($node);
ask($writer, 'BEGIN');
ask($writer, 'SELECT pg_current_xact_id()');
$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
my $runner = $node->safe_psql('postgres',
	q{SELECT pid FROM ckpx_workers WHERE name = 'runner' AND pg_terminate_backend(pid)});
wait_for_sql($node, "SELECT pid <> $runner FROM ckpx_workers WHERE name = 'runner'");
$node->safe_psql('postgres',
	'CHECKPOINT; SELECT ckpx_wait_collected(pg_current_wal_insert_lsn())');
ask($writer, 'DELETE FROM t WHERE a = 21');
$node->safe_psql('postgres', 'SELECT ckpx_wait_collected(pg_current_wal_insert_lsn())');
($sync) = consume();
ask($writer, 'COMMIT');
end_session($writer);
is(is_changed($sync, 21), 't', 'a transaction that the runner heard of before its first record');

# -- from before tracking began, known by name or not at all, and a restart:
# it can have changed what no map tells of
for my $how (qw(named unnamed))
{
	my $a = $how eq 'named' ? 23 : 25;

	$node->safe_psql('postgres',
		"BEGIN; DELETE FROM t WHERE a = $a; PREPARE TRANSACTION 'before'");
	$node->stop;
	rmtree($node->data_dir . '/pg_replslot/ckpx');
	$node->start;
	wait_for_sql($node, "SELECT reason ~ 'slot' FROM ckpx_gaps ORDER BY epoch DESC LIMIT 1");
	$node->safe_psql('postgres', 'CHECKPOINT') if $how eq 'named';
	$node->safe_psql('postgres', 'SELECT ckpx_wait_collected(pg_current_wal_insert_lsn())');
	$node->safe_psql('postgres', "DELETE FROM t WHERE a = $a + 1; SELECT ckpx_checkpoint()");
	$node->restart;
	wait_for_sql($node, 'SELECT ckpx_wait_collected(pg_current_wal_insert_lsn())');
	like(($node->psql('postgres', 'SELECT ckpx_sync_point()'))[2],
		qr/no sync point is known/, "a transaction from before tracking, $how: refused");
	$node->safe_psql('postgres', q{COMMIT PREPARED 'before'});
	sql_becomes($node, 'SELECT ckpx_sync_point() IS NOT NULL',
		't', "a transaction from before tracking, $how: until it has ended");
}

$node->stop;
done_testing();
