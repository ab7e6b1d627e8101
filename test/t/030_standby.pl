# The workers on a hot standby: they follow replay and go through promotion in
# one epoch.  That they hold nobody up is in 034.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use CkpxHistory;
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = loaded_node(
	'primary', conf => <<'EOC');
ckpx.global_min_count = 10000
max_slot_wal_keep_size = '2GB'
EOC
$primary->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
$primary->backup('base');

my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

# A standby that hangs on the standby, with its own slot and history.
my $cascade = PostgreSQL::Test::Cluster->new('cascade');
$standby->backup('base');
$cascade->init_from_backup($standby, 'base', has_streaming => 1);
$cascade->start;

sub catch_up
{
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
	$standby->wait_for_catchup($cascade, 'replay', $standby->lsn('replay'));
}

my $load = start_load($primary, 300);
await_tracking($standby);
await_tracking($cascade);
foreach my $node ($standby, $cascade)
{
	is( $node->safe_psql(
			'postgres',
			"SELECT reason FROM ckpx_gaps ORDER BY epoch DESC LIMIT 1"),
		'data directory is a copy',
		$node->name . ': the copy has an epoch of its own');
	is( $node->safe_psql(
			'postgres',
			"SELECT active FROM pg_replication_slots WHERE slot_name = 'ckpx'"),
		't',
		$node->name . ': it has a slot of its own');
}
my $epochs = $standby->safe_psql('postgres', 'SELECT count(*) FROM ckpx_gaps');

# ---- collecting and checkpoints follow replay

my $start = wal_position($standby);
run_load($primary, 30);
catch_up();

# What a standby has made durable, its restart points tell, and those come
# with the primary's checkpoints.
comes_true(
	sub {
		$primary->safe_psql('postgres', 'CHECKPOINT');
		catch_up();
		$standby->safe_psql('postgres', 'CHECKPOINT');
		return $standby->safe_psql('postgres',
			"SELECT checkpointed_lsn > '$start' FROM ckpx_runner") eq 't';
	},
	'the standby finishes checkpoints');

# ---- a restart in the middle of replay: one history

$standby->stop('immediate');
$standby->start;
await_tracking($standby);
is($standby->safe_psql('postgres', 'SELECT count(*) FROM ckpx_gaps'),
	$epochs, 'after a crash of the standby: no epoch is lost');
$standby->restart;
await_tracking($standby);
is($standby->safe_psql('postgres', 'SELECT count(*) FROM ckpx_gaps'),
	$epochs, 'after a restart of the standby: no epoch is lost');

# ---- promotion under load

$primary->safe_psql('postgres', 'SELECT pg_switch_wal()');
run_load($primary, 30);
catch_up();
stop_load($load);

# No cut from here on but at the switch, or when somebody asks.
$standby->safe_psql(
	'postgres', q{
	SELECT ckpx_disable();
	ALTER SYSTEM SET ckpx.collect_interval = '1h';
	SELECT pg_reload_conf()});
wait_for_sql($standby,
	"SELECT next_tick_in > '10min' FROM ckpx_runner");
run_load($primary, 10);
catch_up();
$primary->stop('immediate');
$standby->promote;
my $first = $standby->safe_psql('postgres',
	"CREATE TABLE after_switch AS SELECT 1 AS a; SELECT pg_relation_filenode('after_switch')");
run_load($standby, 50);
await_tracking($standby);

is($standby->safe_psql('postgres', 'SELECT count(*) FROM ckpx_gaps'),
	$epochs, 'after promotion: no epoch is lost');
is($standby->safe_psql('postgres', 'SELECT timeline FROM ckpx_runner'),
	2, 'after promotion: on the new timeline');
my ($switch) =
  slurp_file($standby->data_dir . '/pg_wal/00000002.history') =~
  m{^1\t([0-9A-F]+/[0-9A-F]+)}m;
is( $standby->safe_psql(
		'postgres', qq{
		SELECT (SELECT count(*) > 0 FROM ckpx_changed_blocks('$start', '$switch')
				WHERE relfilenode = $first),
			(SELECT count(*) > 0 FROM ckpx_changed_blocks('$switch')
				WHERE relfilenode = $first)}),
	'f|t',
	'after promotion: WAL was cut at the switch');
$standby->safe_psql(
	'postgres', q{
	ALTER SYSTEM RESET ckpx.collect_interval;
	SELECT pg_reload_conf();
	SELECT ckpx_enable();
	SELECT ckpx_checkpoint()});
is( $standby->safe_psql(
		'postgres', qq{
		SELECT count(*) FROM ckpx_checkpoints
		WHERE timeline = 1 AND end_lsn > '$switch'
			OR timeline = 2 AND end_lsn <= '$switch'}),
	0,
	'after promotion: what was cut before the switch is of the old timeline');

my $end = wal_position($standby);
my $map = changed_blocks($standby, $start, $end);
is_covered(missing_by_page_lsn($standby, $start, $end, $map),
	'over the promotion: every page with an LSN of the range is in the map');
is_covered(missing_by_waldump($standby, $start, $switch, $map, timeline => 1),
	'over the promotion: every block reference before the switch');
is_covered(missing_by_waldump($standby, $switch, $end, $map, timeline => 2),
	'over the promotion: every block reference after the switch');

# Reading most records without PostgreSQL's reader tells the same, over a file
# that was switched and over the promotion.
$standby->safe_psql('postgres', 'CREATE EXTENSION ckpx_decode');
$standby->safe_psql('postgres',
	"SELECT * FROM ckpx_compare_readers('$start', '$end', 200, 1)");

# ---- the cascading standby goes along

$standby->wait_for_catchup($cascade, 'replay', $standby->lsn('insert'));
await_tracking($cascade);
is( $cascade->safe_psql(
		'postgres',
		'SELECT count(*) = (SELECT max(epoch) FROM ckpx_gaps), max(timeline) FROM ckpx_gaps'
	),
	't|1',
	'cascading standby: no epoch is lost');
is($cascade->safe_psql('postgres', 'SELECT timeline FROM ckpx_runner'),
	2, 'cascading standby: on the new timeline');
my $copy = changed_blocks($cascade, $switch, $end);
is_covered(missing_by_waldump($standby, $switch, $end, $copy, timeline => 2),
	'cascading standby: every block reference after the switch');

$cascade->stop('fast');
$standby->restart;
await_tracking($standby);
is($standby->safe_psql('postgres', 'SELECT count(*) FROM ckpx_gaps'),
	$epochs, 'after a restart on the new timeline: no epoch is lost');
$standby->stop('fast');
done_testing();
