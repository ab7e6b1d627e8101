# A crash at every fault point, under load.
#
# The points are those that ckpx_fault_list() shows.  What makes the server
# pass a point is found out first: all are set to a fault that does nothing
# but count, and each way to provoke them is tried once.  A point that none of
# the ways reaches fails the test.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use CkpxHistory;
use CkpxMatrix;
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# ---- the nodes: all work is done on the first, runners start on the others

my $node = matrix_node('main');
my @starters = map { { node => matrix_node($_), epochs => 1 } } qw(start1 start2);
my $start = wal_position($node);
run_load($node, 50);
$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
my ($old_start, $old_end) = finished_range($node);
$node->safe_psql('postgres',
	"CREATE TABLE old_answer AS SELECT * FROM ckpx_changed_blocks('$old_start', '$old_end')"
);

# ---- which way leads to which point

my %start_way = (start => $starters[0], fresh => $starters[1]);
foreach my $way (sort keys %start_way)
{
	begin_counting($start_way{$way}{node});
	restart_runner($start_way{$way}{node}, $way);
}
$starters[1]{epochs}++;

my @points = fault_points($node);
my %way;
foreach my $way (qw(work spill cancel cycle))
{
	my @left = grep { !$way{$_} } @points;
	while (my @some = splice @left, 0, 120)
	{
		$way{$_} //= $way foreach count_passed($node, $way, @some);
	}
}
foreach my $way (qw(start fresh))
{
	my $starter = $start_way{$way}{node};

	wait_for_sql($starter,
		"SELECT passed > 0 FROM ckpx_fault_list() WHERE name = 'boot-loaded'");
	await_tracking($starter);
	$way{$_} //= $way foreach end_counting($starter);
}

# The end of ckpx comes at the end; without globals nothing is collected.
$way{$_} //= 'uninstall' foreach grep { /^uninstall-/ } @points;
if (!$node->safe_psql('postgres',
		"SELECT count(*) FROM pg_proc WHERE proname = 'ckpx_global_checkpoint'"))
{
	$way{$_} //= 'not possible' foreach grep { /^gc-/ } @points;
}

# What did not come in the time that it had comes now.
foreach my $way (qw(work spill cancel cycle))
{
	my @left = grep { !$way{$_} } @points or last;

	$way{$_} //= $way foreach count_passed($node, $way, @left);
}

my %points_of;
push @{ $points_of{ $way{$_} // 'none' } }, $_ foreach @points;
note("$_: @{ $points_of{$_} }") foreach sort keys %points_of;
is("@{ $points_of{none} // [] }", '', 'every fault point is reached');

# ---- starts go on beside everything else

my @queue =
  map { my $way = $_; map { [ $_, $way ] } @{ $points_of{$way} // [] } }
  qw(start fresh);

sub poll_starter
{
	my $starter = shift;
	my $node = $starter->{node};

	if (!defined $starter->{point})
	{
		my $next = shift @queue or return;
		my ($point, $way) = @$next;

		@$starter{ 'point', 'way' } = @$next;
		$starter->{before} = server_start($node);
		$starter->{deadline} = time + 60;
		$starter->{epochs}++ if $way eq 'fresh';
		add_fault($node, $point, 'crash');
		restart_runner($node, $way);
		return;
	}
	my $now = eval { server_start($node) } // $starter->{before};
	if ($now ne $starter->{before})
	{
		# A slot that was made, but not the epoch that it is for, may still
		# hold all that the old epoch needs.
		await_tracking($node);
		$starter->{epochs} = epochs($node)
		  if $starter->{way} eq 'fresh'
		  && epochs($node) == $starter->{epochs} - 1;
		is_whole($node, "crash at $starter->{point}", $starter->{epochs});
	}
	else
	{
		return if time < $starter->{deadline};
		fail("crash at $starter->{point}: it was passed");
	}
	delete $starter->{point};
}

sub is_whole
{
	my ($node, $name, $epochs) = @_;

	await_tracking($node);
	is(epochs($node), $epochs, "$name: no epoch is lost");
	store_is_sound($node, $name);
}

# ---- the matrix

foreach my $way (qw(work spill cancel cycle))
{
	foreach my $point (@{ $points_of{$way} // [] })
	{
		my $before = server_start($node);
		my $load = start_load($node);

		add_fault($node, $point, 'crash');
		my $crashed = provoke_until(
			$node, $way,
			sub {
				my $now = eval { server_start($node) } // $before;
				return $now ne $before;
			});
		stop_load($load);
		settle($node);
		ok($crashed, "crash at $point: it was passed");
		is_whole($node, "crash at $point", 1);
		poll_starter($_) foreach @starters;
	}
}

# By now a global may answer, by whole layers: then there is more, never less.
is( $node->safe_psql(
		'postgres', qq{
		SELECT count(*) FROM old_answer o LEFT JOIN
			ckpx_changed_blocks('$old_start', '$old_end') n
			USING (tablespace, database, relfilenode, fork)
		WHERE o.relfilenode IS NOT NULL AND
			(n.covered_to IS NULL OR
			 coalesce(o.limit_block, 4294967295) < coalesce(n.limit_block, 4294967295) OR
			 NOT o.blocks <@ n.blocks +
				int8multirange(int8range(coalesce(n.limit_block, 4294967295), NULL)))}),
	'0',
	'the answer of the old range lacks nothing after all these crashes');
run_load($node, 20);
covers_after_crashes($node, $start, wal_position($node),
	'after all these crashes');

while (@queue || grep { defined $_->{point} } @starters)
{
	poll_starter($_) foreach @starters;
	select(undef, undef, undef, 0.1);
}
foreach my $starter (@starters)
{
	my $start = wal_position($starter->{node});

	run_load($starter->{node}, 20);
	covers_after_crashes($starter->{node}, $start,
		wal_position($starter->{node}),
		$starter->{node}->name . ' in the end');
}
foreach my $last ($node, map { $_->{node} } @starters)
{
	$last->restart;
	await_tracking($last);
	store_is_sound($last, $last->name . ' in the end', 1);
}

# ---- a crash in the middle of uninstalling: a start brings it to its end

my @last = ($node, map { $_->{node} } @starters);
foreach my $point (@{ $points_of{uninstall} // [] })
{
	my $last = shift @last or die 'too few nodes';
	my $before = server_start($last);

	add_fault($last, $point, 'crash');
	isnt($last->psql('postgres', 'SELECT ckpx_uninstall(true)'),
		0, "crash at $point: it was passed");
	await_restart($last, $before);
	wait_for_sql($last,
		"SELECT problem FROM ckpx_runner", qr/uninstalled/);
	wait_for_sql($last,
		"SELECT count(*) = 0 FROM pg_replication_slots WHERE slot_name = 'ckpx'");
	comes_true(sub { !(() = glob($last->data_dir . '/ckpx/*-*/*')) },
		"crash at $point: it comes to its end");
}

$_->stop('fast') foreach $node, map { $_->{node} } @starters;
done_testing();
