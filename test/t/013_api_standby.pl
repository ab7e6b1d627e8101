# The SQL functions on a hot standby: positions are replayed ones, nothing is
# written to WAL, and checkpoints follow the primary's.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use CkpxTest;
use PostgreSQL::Test::Cluster;
use Test::More;

my $primary = new_node('primary');
$primary->start;
$primary->safe_psql('postgres',
	'CREATE EXTENSION ckpx; CREATE TABLE t AS SELECT generate_series(1, 1000) AS a');
$primary->backup('base');

my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
$primary->wait_for_catchup($standby);
wait_for_sql($standby, 'SELECT collected_lsn IS NOT NULL FROM ckpx_runner');

my $start = $standby->safe_psql('postgres', 'SELECT pg_last_wal_replay_lsn()');
$standby->safe_psql('postgres', "SELECT ckpx_wait_collected('$start')");
$primary->safe_psql('postgres', 'UPDATE t SET a = -a WHERE a = 500');
$primary->wait_for_catchup($standby);

is( $standby->safe_psql(
		'postgres', "SELECT count(*) FROM ckpx_changed_blocks('$start', NULL, 't') WHERE fork = 'main' AND nblocks > 0"),
	'1', 'the map on the standby');
is( $standby->safe_psql(
		'postgres', "SELECT count(*) FROM ckpx_changed_files('$start') WHERE path = pg_relation_filepath('t')"),
	'1', 'the files on the standby');
is($standby->safe_psql('postgres', "SELECT covered_to <= pg_last_wal_replay_lsn() FROM ckpx_changed_blocks('$start') LIMIT 1"),
	't', 'covered up to what is replayed');

my (undef, undef, $stderr) =
  $standby->psql('postgres', "SELECT ckpx_changed_blocks('$start', 'FFFF/0')");
like($stderr, qr/lies in the future/, 'an LSN that is not replayed yet is refused');
like($stderr, qr/WAL is replayed up to/, 'and the detail says why');

is($standby->safe_psql('postgres', "SELECT ckpx_wait_collected('FFFF/0', '10ms')"),
	'f', 'waiting can time out');
is($standby->safe_psql('postgres', 'SELECT ckpx_sync_point() <= pg_last_wal_replay_lsn()'),
	't', 'a sync point');

# A checkpoint here needs a restart point, which needs the primary's checkpoint.
my $target = $standby->safe_psql('postgres', 'SELECT pg_last_wal_replay_lsn()');
$primary->safe_psql('postgres', 'CHECKPOINT');
$primary->wait_for_catchup($standby);
$standby->safe_psql('postgres', 'CHECKPOINT');
is( $standby->safe_psql(
		'postgres', "SELECT ckpx_checkpoint('$target', '60s') >= '$target'"),
	't', 'a checkpoint on the standby');
is( $standby->safe_psql(
		'postgres', "SELECT count(*) FROM ckpx_changed_blocks('$start', '$target', 't') WHERE fork = 'main' AND nblocks > 0"),
	'1', 'the map from its object');

# Promotion: the same calls go on.
$standby->promote;
$standby->safe_psql('postgres', 'UPDATE t SET a = -a WHERE a = 600');
is( $standby->safe_psql(
		'postgres', "SELECT count(*) FROM ckpx_changed_blocks('$start', NULL, 't') WHERE fork = 'main' AND nblocks > 0"),
	'1', 'the map across a promotion');
is($standby->safe_psql('postgres', "SELECT ckpx_checkpoint(NULL, '60s') IS NOT NULL"),
	't', 'a checkpoint after the promotion');

$standby->stop;
$primary->stop;
done_testing();
