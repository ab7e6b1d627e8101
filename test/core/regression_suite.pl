# PostgreSQL's own regression tests as the workload: nearly every statement
# that the server knows, from twenty sessions at a time.
#
# They run twice, without ckpx and with it, and must come out alike.  What the
# second run wrote is then held against all oracles.  ckpx works with intervals
# so short that the map is made of hundreds of cuts and dozens of checkpoints.
# It is judged twice: as the incrementals tell it, and as the layers of a global
# tell it when garbage collection has taken these.
#
# Needs CKPX_PG_SOURCE, a source tree of the server's major; 'make test-core'
# sees to that.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use CkpxCore;
use CkpxOracle;
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# ---- the two servers

my ($major) = `pg_config --version` =~ /(\d+)/;
my $summarizes = $major >= 17;
my $summarize = $summarizes ? "summarize_wal = on\n" : '';

# The record of a stopped server's shutdown: what lies before it is in the
# files, and no later query prunes a page behind the test's back.
sub shutdown_lsn
{
	my ($stdout) = run_command([ 'pg_controldata', $_[0]->data_dir ]);
	return $stdout =~ /^Latest checkpoint location:\s+(\S+)$/m ? $1 : die $stdout;
}

my $plain = core_node('plain', preload => '', conf => $summarize);
$plain->start;
my ($expected, $expected_dir) = run_schedule($plain);
cmp_ok(scalar(keys %$expected), '>', 150, 'the regression tests run without ckpx');
$plain->stop;

my $node = core_node(
	'ckpx', conf => $summarize . <<'EOC');
ckpx.collect_interval = '100ms'
ckpx.min_incremental_interval = '1s'
ckpx.min_count = 1
ckpx.commit_wait = '500ms'
ckpx.global_min_count = 4
ckpx.max_retained_wal = '4GB'
EOC
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION ckpx; CREATE EXTENSION ckpx_decode');
wait_for_sql($node, 'SELECT epoch IS NOT NULL AND collected_lsn IS NOT NULL FROM ckpx_runner');
$node->stop;
my $copies = PostgreSQL::Test::Utils::tempdir;
cold_copy($node, "$copies/before");
my $first = shutdown_lsn($node);
$node->start;

# The marks are beginnings of ranges in the midst of everything.
my @marks;
my ($outcome, $dir) = run_schedule($node, meanwhile => sub { push @marks, wal_position($node) });
is_deeply($outcome, $expected, 'the tests come out as without ckpx')
  or diag map { -e $_ ? slurp_file($_) : '' } "$dir/regression.diffs";

# Where the source is not of the server's very minor release, some tests fail
# both times: in the same way, then.
sub printed
{
	my ($folder, $name) = @_;
	my $file = "$folder/results/$name.out";

	return -e $file ? slurp_file($file) =~ s/\Q$folder\E//gr : '';
}
is( join(
		' ',
		grep {
			$expected->{$_} ne 'ok' && printed($dir, $_) ne printed($expected_dir, $_)
		} sort keys %$expected),
	'',
	'tests that fail without ckpx print the same with it');

is($node->safe_psql('postgres', 'SELECT count(*) FROM ckpx_gaps'),
	1, 'all of it is one epoch');
my $done = $node->safe_psql('postgres',
	'SELECT incrementals_done, globals_done FROM ckpx_stat');
cmp_ok($_, '>', 1, 'incrementals, and globals, were made') foreach split /\|/, $done;

$node->stop;
cold_copy($node, "$copies/after");
my $end = shutdown_lsn($node);
$node->start;
wait_for_sql($node, "SELECT ckpx_wait_collected('$end')");
my $map = changed_blocks($node, $first, $end);
note sprintf '%.0f MB of WAL; incrementals and globals: %s',
  (lsn_to_int($end) - lsn_to_int($first)) / 1048576, $done;

# ---- the oracles

sub report
{
	my ($oracle, $stats) = @_;
	note sprintf '%s: %d blocks of %d relations compared', $oracle,
	  $stats->{checked}, $stats->{relations};
	return;
}

my ($missing, $stats) = page_lsn_oracle("$copies/after", $first, $end, $map);
is_covered($missing, $stats, 'every page with an LSN of the range is in the map');
report('page LSNs', $stats);

($missing, $stats) = missing_by_waldump($node, $first, $end, $map);
is_covered($missing, $stats, 'every block reference of pg_waldump is in the map');
report('pg_waldump', $stats);
note sprintf '%d records; listed blocks by referenced blocks: %.3f',
  $stats->{records}, $stats->{ratio};
my $unnamed = $stats->{unnamed};

($missing, $stats) = missing_by_cold_copies("$copies/before", "$copies/after", $map);
is_covered($missing, $stats,
	'every block that differs between two cold copies is in the map');
report('cold copies', $stats);
note "$stats->{pages} pages read, $stats->{masked} differ in hints only";

# Ranges that begin in the midst of it.
sub covers_since_marks
{
	my ($whose, $until) = @_;
	my $step = @marks > 10 ? @marks / 10 : 1;

	for (my $i = 0; $i < @marks; $i += $step)
	{
		my $mark = $marks[ int $i ];
		my ($missing, $stats) = page_lsn_oracle("$copies/after", $mark, $end,
			changed_blocks($node, $mark, $until));
		is_covered($missing, $stats,
			"every page with an LSN since $mark is in the map of $whose");
		report("page LSNs since $mark", $stats);
	}
	return;
}
covers_since_marks('incrementals', $end);

# The same WAL with the walk and by PostgreSQL's reader alone.
my ($nrecords, $walked, $changed, $broken) = split /\|/,
  $node->safe_psql('postgres', "SELECT * FROM ckpx_compare_readers('$first', '$end', 20000, 1)");
cmp_ok($walked, '>', 0.95 * $nrecords, 'nearly all records are read without the reader');
note "$nrecords records, $walked walked; $changed bytes changed, $broken stretches broke off";

# What PostgreSQL makes of the same WAL.
if ($summarizes)
{
	my @summaries = wal_summaries($node, $first, $end);
	my %sum = (checked => 0, listed => 0, extra => 0);

	is($summaries[0][1], $first, 'summaries begin where the map does');
	is($summaries[-1][2], $end, '... and reach its end');
	foreach my $summary (@summaries)
	{
		my (undef, $from, $to) = @$summary;
		my ($missing, $found) = missing_by_summary($node, $summary,
			decoded_blocks($node, $from, $to), $unnamed);

		is_deeply($missing, [], "[$from, $to): the summary is in the decoder's map");
		cmp_ok($found->{ratio}, '<=', 1.02, '... which is at most 2 % larger');
		is(join(', ', @{ $found->{lower} }), '', '... and has no lower limit');
		report('summary', $found);
		$sum{$_} += $found->{$_} foreach keys %sum;

		($missing, $found) = missing_by_summary($node, $summary,
			changed_blocks($node, $from, $to), $unnamed);
		is_deeply($missing, [], '... and in the map that is made of cuts');
	}
	cmp_ok($sum{checked}, '>', 0, 'the summaries are not empty');
	note "all summaries: $sum{checked} blocks and limits; the decoder lists"
	  . " $sum{listed} blocks, $sum{extra} more than they do";
}

# ---- the same from a global's layers, the oldest of them coarse

$node->safe_psql('postgres',
	"ALTER SYSTEM SET ckpx.global_version_interval = '20s'; SELECT pg_reload_conf()");
wait_for_sql($node, "SELECT current_setting('ckpx.global_version_interval') = '20s'");
$node->safe_psql('postgres', 'SELECT ckpx_global_checkpoint(); SELECT ckpx_gc()');
is( $node->safe_psql(
		'postgres', "SELECT count(*) FROM ckpx_checkpoints WHERE kind = 'incremental' AND start_lsn < '$end'"),
	'0', 'the incrementals are gone');

# Layers that forget what was dropped long ago answer for the present only.
my $now = wal_position($node);
my $layers = changed_blocks($node, $first, $now);
($missing, $stats) = page_lsn_oracle("$copies/after", $first, $end, $layers);
is_covered($missing, $stats,
	'every page with an LSN of the range is in the map of layers');
($missing, $stats) =
  missing_by_waldump($node, $first, $end, $layers, without_dropped => 1);
is_covered($missing, $stats,
	'every block reference of relations that are left is in the map of layers');
report('pg_waldump, without what was dropped', $stats);
covers_since_marks('layers', $now);

# The layers have forgotten what was dropped.
($missing, $stats) = missing_by_cold_copies("$copies/before", "$copies/after", $layers);
is_covered([ grep { !/its file disappeared/ } @$missing ], $stats,
	'every block that differs in files that are left is in the map of layers');

# ---- and as a server that was started anew tells it

$node->restart;
$now = wal_position($node);
wait_for_sql($node, "SELECT ckpx_wait_collected('$now')");
($missing, $stats) = page_lsn_oracle("$copies/after", $first, $end,
	changed_blocks($node, $first, $now));
is_covered($missing, $stats, 'the same after a restart');

$node->stop;
done_testing();
