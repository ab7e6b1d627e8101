# The map, held against the summaries of WAL that PostgreSQL itself keeps.
#
# A summary covers the WAL from one redo point to the next.  What the decoder
# makes of exactly that WAL must contain it, and hold little else; and so must
# what ckpx_changed_blocks() answers, which is made of cuts.  There is nothing
# to compare before PostgreSQL 17.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use CkpxTest;
use CkpxWorkload;
use PostgreSQL::Test::Utils;
use Test::More;

my ($major) = `pg_config --version` =~ /(\d+)/;
plan skip_all => "PostgreSQL $major keeps no WAL summaries" if $major < 17;

my $node = new_node(
	'main', conf => <<'EOC');
summarize_wal = on
wal_keep_size = '1GB'
checkpoint_timeout = '1h'
max_wal_size = '2GB'
allow_in_place_tablespaces = on
EOC
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION ckpx; CREATE EXTENSION ckpx_decode');

# Nothing else is going on, so between the cut that ckpx_checkpoint() makes and
# the redo point no block changes.  Making a database writes checkpoints that
# fall into a cut.
sub redo_point
{
	$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
	$node->safe_psql('postgres', 'CHECKPOINT');
	return $node->safe_psql('postgres', 'SELECT redo_lsn FROM pg_control_checkpoint()');
}

my $first = redo_point();
my $last = $first;
my $nsteps = 0;
my %at_cut = ($first => 1);
foreach my $step (workload_steps())
{
	$node->safe_psql('postgres', $step->[1]);
	$last = redo_point();
	$at_cut{$last} = 1;
	$nsteps++;
}

my @summaries = wal_summaries($node, $first, $last);
cmp_ok(scalar(@summaries), '>=', $nsteps, 'there are summaries');
is($summaries[0][1], $first, 'they begin at the first redo point');
is($summaries[-1][2], $last, 'they end at the last one');
is( scalar(grep { $summaries[$_][1] ne $summaries[ $_ - 1 ][2] } 1 .. $#summaries),
	0, 'they are contiguous');

# The relations that change without being named, by what the records are of.
my $whole = changed_blocks($node, $first, $last);
my ($missing, $stats) = missing_by_waldump($node, $first, $last, $whole);
is_covered($missing, $stats, 'every block reference of pg_waldump is in the map');

my %sum = (checked => 0, listed => 0, extra => 0);
foreach my $summary (@summaries)
{
	my (undef, $start, $end) = @$summary;

	foreach my $judged (
		[ 'decoder', decoded_blocks($node, $start, $end) ],
		[ 'map', changed_blocks($node, $start, $end) ])
	{
		my ($what, $map) = @$judged;
		my ($missing, $found) =
		  missing_by_summary($node, $summary, $map, $stats->{unnamed});

		# Nothing may have happened between two checkpoints.
		if ($found->{checked} > 0)
		{
			is_covered($missing, $found,
				"[$start, $end): the summary is in the $what");
		}
		cmp_ok($found->{ratio}, '<=', 1.02,
			"[$start, $end): the $what is at most 2 % larger")
		  if $what eq 'decoder' || $at_cut{$start} && $at_cut{$end};
		is(join(', ', @{ $found->{lower} }), '', '... and has no lower limit')
		  if $what eq 'decoder';
		note "$what: " . join ', ',
		  map { "$_ $found->{$_}" } qw(checked relations listed extra);
		next if $what ne 'decoder';
		$sum{$_} += $found->{$_} foreach keys %sum;
	}
}
note "all summaries: $sum{checked} blocks and limits, all in the decoder's map;"
  . " it lists $sum{listed} blocks, $sum{extra} more than the summaries";

cmp_ok($sum{checked}, '>', $stats->{checked} / 2, 'the summaries are not empty');

# The map of the whole is merged from many cuts.
my $nmissing = 0;
foreach my $summary (@summaries)
{
	my ($missing) = missing_by_summary($node, $summary, $whole, {});
	$nmissing += @$missing;
}
is($nmissing, 0, 'every summary is in the map of the whole range');

$node->stop;
done_testing();
