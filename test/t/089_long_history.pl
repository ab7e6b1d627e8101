# A history longer than what is looked at under one hold of the lock: nothing is
# left out, or seen twice, where one turn ends and the next begins.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use CkpxHistory;
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# One and a bit more than CKPX_ENTRIES_PER_TURN.
my $count = 1010;

my $node = history_node('main', conf => <<'EOC');
ckpx.collect_interval = '1h'
ckpx.min_incremental_interval = '1h'
ckpx.max_incremental_interval = 0
ckpx.global_min_count = 10000
EOC
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION ckpx; CREATE TABLE one (i int)');
$node->safe_psql('postgres', 'INSERT INTO one VALUES (1); SELECT ckpx_checkpoint()');
my $start = $node->safe_psql('postgres', 'SELECT ckpx_low_water_mark()');
my $more = $count - $node->safe_psql('postgres', 'SELECT count(*) FROM ckpx_checkpoints');
$node->safe_psql('postgres', qq{DO \$\$ BEGIN
	FOR i IN 1..$more LOOP
		PERFORM pg_logical_emit_message(false, 'test', i::text);
		PERFORM ckpx_checkpoint();
	END LOOP; END \$\$});

# Entries, how many different ones, whether each begins where the one before it
# ends, and where the first one begins.
sub shape_of
{
	my $query = $_[0];

	return $node->safe_psql('postgres', qq{
		SELECT count(*), count(DISTINCT end_lsn),
			bool_and(previous IS NULL OR previous = start_lsn), min(start_lsn)
		FROM (SELECT start_lsn, end_lsn,
				lag(end_lsn) OVER (ORDER BY end_lsn) AS previous
			FROM $query WHERE kind = 'incremental') x});
}

my $whole = "$count|$count|t|$start";
is(shape_of('ckpx_checkpoints'), $whole, 'the view shows each entry once');
is(shape_of("ckpx_checkpoints_after('$start', 100000)"), $whole,
	'ckpx_checkpoints_after() gives them all');
is(shape_of("ckpx_checkpoints_after('$start', 1005)"), "1005|1005|t|$start",
	'or as many as are asked for');

is(scalar @{ read_manifest((manifests($node))[0])->{objects} },
	$count, 'the manifest names all');
$node->restart;
is(shape_of('ckpx_checkpoints'), $whole, 'so do they all come back');
is( $node->safe_psql('postgres',
		"SELECT count(*) FROM ckpx_changed_blocks('$start', NULL, 'one') WHERE fork = 'main'"),
	1, 'the map is read from all of them');

# Two readers have seen a part of it while entries go.
my $changed = "SELECT count(*), min(covered_to) > '$start' FROM ckpx_changed_blocks('$start', NULL, 'one') WHERE fork = 'main'";
my $objects = "SELECT count(*), count(DISTINCT end_lsn), max(end_lsn) FROM ckpx_collect_objects('$start', '"
  . $node->safe_psql('postgres', 'SELECT checkpointed_lsn FROM ckpx_runner') . "')";
add_fault($node, 'chosen-turn', 'wait');
my @readers = map { start_query($node, $_) } $changed, $objects;
sql_becomes($node, q{SELECT waiting FROM ckpx_fault_list() WHERE name = 'chosen-turn'}, 2,
	'two readers have copied a part');

# A global takes what it may, and a hundred entries go; a pin holds one of them.
$node->safe_psql('postgres', 'SELECT ckpx_global_checkpoint()');
my ($covered, $end) = split /\|/,
  $node->safe_psql('postgres', q{
	SELECT (SELECT count(*) FROM ckpx_checkpoints i
		WHERE i.kind = 'incremental' AND i.end_lsn <= g.end_lsn), g.end_lsn
	FROM ckpx_checkpoints g WHERE g.kind = 'global'
	ORDER BY g.end_lsn DESC LIMIT 1});
cmp_ok($covered, '>', 90, 'a global covers what it could take');
my $pinned = $node->safe_psql('postgres', qq{
	SELECT ckpx_pin('late', start_lsn) FROM ckpx_checkpoints
	WHERE kind = 'incremental' AND end_lsn = '$end'});
my $globals = $node->safe_psql('postgres', "SELECT count(*) - 1 FROM ckpx_checkpoints WHERE kind = 'global'");
is($node->safe_psql('postgres', 'SELECT ckpx_gc(dry_run => true)'), $covered - 1 + $globals,
	'all that is covered may go, but what a pin holds');
is($node->safe_psql('postgres', 'SELECT ckpx_gc()'), $covered - 1 + $globals, 'and goes');
is($node->safe_psql('postgres', q{SELECT count(*) FROM ckpx_checkpoints WHERE kind = 'incremental'}),
	$count - $covered + 1, 'the others stay');
remove_fault($node, 'chosen-turn');
$_->{handle}->finish foreach @readers;
is(${ $readers[0]{out} } . ${ $readers[0]{err} }, "1|t\n", 'the map is the same');
is(${ $readers[1]{out} } . ${ $readers[1]{err} }, $node->safe_psql('postgres', $objects) . "\n",
	'the objects are those that there are now');
$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
sql_becomes($node, 'SELECT logtail_bytes = 0 FROM ckpx_runner', 't', 'the first choice holds no segment any more');
my $incrementals = q{SELECT count(*) FROM ckpx_checkpoints WHERE kind = 'incremental'};
my $left = $node->safe_psql('postgres', $incrementals);
$node->restart;
is($node->safe_psql('postgres', $incrementals), $left, 'also over a restart');

$node->stop('fast');
done_testing();
