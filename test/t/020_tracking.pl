# The map of real WAL, held against oracles that do not know ckpx: the LSNs in
# the pages, what pg_waldump prints, and two cold copies compared byte by byte.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use CkpxTest;
use CkpxWorkload;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main');
$node->append_conf('postgresql.conf', "allow_in_place_tablespaces = on\nwal_keep_size = 1GB\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION ckpx; CREATE EXTENSION ckpx_decode');
$node->safe_psql('postgres', 'CREATE EXTENSION bloom')
  if $node->safe_psql('postgres',
	"SELECT count(*) FROM pg_available_extensions WHERE name = 'bloom'");

# Each step is one range; the oracles look at each, and at all together.
my @steps = workload_steps();

my $copies = PostgreSQL::Test::Utils::tempdir;

# A cold copy to compare with: stopped, so that all is on disk.  The first sessions
# after the start may prune pages, so the whole begins before it.
my $first = $node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
$node->stop;
cold_copy($node, "$copies/before");
$node->start;
wait_for_sql($node, 'SELECT epoch IS NOT NULL AND collected_lsn IS NOT NULL FROM ckpx_runner', 't');

# What may be a little larger than the records at most begins with a checkpoint of
# ckpx: one that a slow runner makes across a beginning is read whole.
my $exact = 'tablespaces and databases';
my $start = $first;
my %ratio;
foreach my $step (@steps)
{
	my ($name, $sql) = @$step;

	if ($name eq $exact)
	{
		$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
		$start = wal_position($node);
	}
	$node->safe_psql('postgres', $sql);
	my $end = wal_position($node);
	my $stats = covers_all_oracles($node, $start, $end, $name, from => $first);
	$ratio{$name} = $stats->{ratio};
	note "$name: " . join(', ', map { "$_ $stats->{$_}" } sort keys %$stats);
	$start = $end;
}
my $end = $start;

# The whole, from finished incrementals and the logtail together.
$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
my $whole = covers_all_oracles($node, $first, $end, 'everything');
note 'everything: ' . join(', ', map { "$_ $whole->{$_}" } sort keys %$whole);
cmp_ok($whole->{ratio}, '<=', 1.10,
	'the map is at most a tenth larger than what the records name');

# Cuts, objects and merging lose nothing of what the decoder finds at one go.
my $decoded = decoded_blocks($node, $first, $end);
cmp_ok(scalar(my @forks = $decoded->forks), '>', 100, 'the decoder finds changes');
is(join(', ', changed_blocks($node, $first, $end)->lacking($decoded)),
	'', '... and the map has all of them');

# Reading most records without PostgreSQL's reader tells what that one tells, of
# whole WAL and of WAL that is cut off or damaged anywhere.
my ($nrecords, $walked, $changed, $broken) = split /\|/,
  $node->safe_psql('postgres', "SELECT * FROM ckpx_compare_readers('$first', '$end', 1000, 1)");
cmp_ok($walked, '>', 0.95 * $nrecords, 'nearly all records are read without the reader');
cmp_ok($broken, '>', 100, 'damaged WAL is noticed');
note "$nrecords records, $walked walked; $changed bytes changed, $broken stretches broke off";

# Drops make the whole's ratio small.  These two steps drop nothing.
cmp_ok($ratio{$_}, '<=', 1.10, "... and for $_ alone") foreach ($steps[0][0], $exact);

is( $node->safe_psql('postgres', 'SELECT count(*) FROM ckpx_gaps'),
	1, 'all of it is one epoch');
is( $node->safe_psql(
		'postgres', "SELECT complete FROM ckpx_collect_range('$first', '$end')"),
	't', 'finished incrementals cover the range');

# Sequences hand out numbers without WAL between their records: a copy rolled
# forward by a map cut anywhere must still have the page.
my $before_nextval = wal_position($node);
$node->safe_psql('postgres', "SELECT nextval('s') FROM generate_series(1, 5)");
my $after_nextval = wal_position($node);
is( $node->safe_psql(
		'postgres', qq{
		SELECT blocks FROM ckpx_changed_blocks('$before_nextval', '$after_nextval', 's')
		WHERE fork = 'main'}),
	'{[0,1)}',
	'a sequence that changed without WAL is in the map');

# After a checkpoint its next change is logged again, so it need not stay.
$node->safe_psql('postgres', 'CHECKPOINT; SELECT ckpx_checkpoint()');
my $after_redo = wal_position($node);
$node->safe_psql('postgres', 'INSERT INTO t(id) VALUES (1000001)');
my $later = wal_position($node);
is( $node->safe_psql(
		'postgres', qq{
		SELECT count(*) FROM ckpx_changed_blocks('$after_redo', '$later', 's')
		WHERE fork = 'main'}),
	'0',
	'a sequence is left out once a checkpoint has passed it');

# A relation read alone is answered as it is among all.
is( $node->safe_psql(
		'postgres', qq{
		SELECT count(*) FROM (
			SELECT fork, limit_block, blocks FROM ckpx_changed_blocks('$first', '$later', 't')
			WHERE relfilenode = pg_relation_filenode('t')
			EXCEPT
			SELECT fork, limit_block, blocks FROM ckpx_changed_blocks('$first', '$later')
			WHERE relfilenode = pg_relation_filenode('t')) x}),
	'0',
	'one relation is answered as among all');

# Cold copies, with the answer taken before the server stops and WAL of the
# shutdown after it: only the shutdown checkpoint's record.
my $last = wal_position($node);
my $map = changed_blocks($node, $first, $last);
$node->stop;
cold_copy($node, "$copies/after");
is_covered(missing_by_cold_copies("$copies/before", "$copies/after", $map),
	'every block that differs between two cold copies is in the map');

done_testing();
