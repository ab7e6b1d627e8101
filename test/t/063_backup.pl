# ckpx_backup_checkpoint(): its answer, what a failure leaves, and what becomes
# of it in a restored copy.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use CkpxTest;
use PostgreSQL::Test::Cluster;
use Test::More;

my $node = new_node('main', conf => "ckpx.min_incremental_interval = '1h'");
$node->start;
$node->safe_psql('postgres',
	'CREATE EXTENSION ckpx; CREATE TABLE t (i int, filler text);');

my $before = wal_position($node);
$node->safe_psql('postgres',
	"INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, 1000) i");
my $answer = $node->safe_psql('postgres', 'SELECT ckpx_backup_checkpoint()');
my ($location, $version, $end, $tail, $start) = split /:/, $answer, -1;
is(scalar(split /:/, $answer, -1), 5, 'five parts');
is($version, 3, 'format version');
is( $node->safe_psql(
		'postgres',
		"SELECT kind, end_lsn FROM ckpx_checkpoints WHERE location = '$location'"
	),
	"incremental|$start",
	'the tail begins where the incremental ends');

# Call the function in a session of its own, with WAL between the incremental
# and the tail; returns what psql wrote.
sub backup_with_tail
{
	my ($sql) = @_;

	add_fault($node, 'backup-incremental', 'wait');
	my $backup = background('SELECT ckpx_backup_checkpoint()');
	await_held($node, 'backup-incremental');
	$node->safe_psql('postgres', $sql);
	remove_fault($node, 'backup-incremental');
	chomp(my $out = $backup->());
	return $out;
}

sub map_of
{
	my ($server, $from, $to) = @_;
	return $server->safe_psql('postgres',
		"SELECT * FROM ckpx_changed_blocks('$from', '$to') ORDER BY 1, 2, 3, 4");
}

# A tail that holds something
($location, $version, $end, $tail, $start) =
  split /:/, backup_with_tail("INSERT INTO t VALUES (1, 'tail')"), -1;
isnt($tail, '', 'a tail with WAL in it has an object');
is( $node->safe_psql(
		'postgres',
		"SELECT kind, start_lsn, end_lsn FROM ckpx_checkpoints WHERE location = '$tail'"
	),
	"backup|$start|$end",
	'and an entry');
ok( (glob($node->data_dir . "/ckpx/*/$tail"))[0], 'and a file');

# It is no part of the chain: ranges go over it as if it were not there.
is( $node->safe_psql('postgres',
		"SELECT checkpointed FROM ckpx_collect_range('$before', '$end')"),
	$start,
	'no answer is made of it where it was made');

# A failure leaves nothing behind.
$node->safe_psql('postgres',
	"SELECT ckpx_fault_add('backup-fsync', 'error', NULL, 'enospc')");
like(backup_with_tail("INSERT INTO t VALUES (2, 'x')"),
	qr/No space left/, 'the call fails');
$node->safe_psql('postgres', "SELECT ckpx_fault_remove('backup-fsync')");
is( $node->safe_psql('postgres',
		"SELECT count(*) FROM ckpx_checkpoints WHERE kind = 'backup' AND state <> 'finished'"
	),
	'0',
	'no entry is left');
is( $node->safe_psql(
		'postgres',
		"SELECT count(*) FROM ckpx_checkpoints WHERE kind = 'backup'"),
	scalar(my @files = glob($node->data_dir . '/ckpx/*/bak_*')),
	'no file is left');

# A tail that ends while a transaction is open says so.
change_settings($node, 'ckpx.commit_wait' => '0');
my $session = session($node);
ask($session, "BEGIN; INSERT INTO t VALUES (3, 'open')");
($location, $version, $end, $tail, $start) =
  split /:/, backup_with_tail("INSERT INTO t VALUES (4, 'x')"), -1;
is( $node->safe_psql('postgres',
		"SELECT open_xacts FROM ckpx_checkpoints WHERE location = '$tail'"),
	'1',
	'it counts the open transaction');
ask($session, 'COMMIT');
end_session($session);
($location, $version, $end, $tail, $start) =
  split /:/, backup_with_tail("INSERT INTO t VALUES (5, 'x')"), -1;
is( $node->safe_psql('postgres',
		"SELECT open_xacts FROM ckpx_checkpoints WHERE location = '$tail'"),
	'0',
	'and none when there is none');

# A restored copy: the backup is the end of the old epoch, then a gap.
my $inside = $node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
$node->safe_psql('postgres', "INSERT INTO t VALUES (6, 'x')");
$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
$node->safe_psql('postgres', 'SELECT ckpx_global_checkpoint()');
($location, $version, $end, $tail, $start) =
  split /:/, backup_with_tail("INSERT INTO t SELECT i, 'y' FROM generate_series(1, 1000) i"), -1;
my $wanted = map_of($node, $inside, $end);
$node->backup('copy');
my $copy = PostgreSQL::Test::Cluster->new('copy');
$copy->init_from_backup($node, 'copy', has_streaming => 0);
$copy->append_conf('postgresql.conf', "archive_mode = off\n");
$copy->start;
wait_for_sql($copy, 'SELECT epoch > 1 AND problem IS NULL FROM ckpx_runner');
is( $copy->safe_psql('postgres',
		"SELECT from_lsn >= '$end', to_lsn >= '$end', reason FROM ckpx_gaps ORDER BY epoch DESC LIMIT 1"
	),
	't|t|data directory is a copy',
	'the gap begins behind the backup and says why');
like(
	$copy->safe_psql('postgres',
		"SELECT locations FROM ckpx_collect_range('$before', '$end')"),
	qr/\Q$tail\E/,
	'the backup is the last range of the old epoch');
is( $copy->safe_psql('postgres',
		"SELECT complete, checkpointed FROM ckpx_collect_range('$before', '$end')"
	),
	"t|$end",
	'which reaches its end');
is( $copy->safe_psql('postgres',
		"SELECT count(*) > 0 FROM ckpx_changed_blocks('$before', '$end') WHERE relfilenode = pg_relation_filenode('t')"
	),
	't',
	'and answers');
is(map_of($copy, $inside, $end), $wanted,
	'as the original does, with a global before the backup');
$copy->safe_psql('postgres', 'SELECT ckpx_gc()');
is( $copy->safe_psql('postgres',
		"SELECT count(*) FROM ckpx_checkpoints WHERE kind = 'incremental'"
		  . " AND end_lsn <= (SELECT max(end_lsn) FROM ckpx_checkpoints WHERE kind = 'global')"),
	'0',
	'also when the incrementals before it are gone');
is(map_of($copy, $inside, $end), $wanted, 'the same');
my ($ret, $stdout, $stderr) = $copy->psql('postgres',
	"SELECT * FROM ckpx_changed_blocks('$start')");
like($stderr, qr/first missing LSN/, 'but not over the gap');
$copy->stop;
$node->stop;
done_testing();
