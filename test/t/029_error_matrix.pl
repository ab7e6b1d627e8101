# A full disk at every fault point, under load: nothing is lost, everything
# goes on by itself, and the views tell why it did not for a while.
#
# An error in a job is retried by the job after a second; an error elsewhere
# ends the worker, whose next process waits for a second.  As that is mostly
# waiting, several servers share the points.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use Time::HiRes qw(time);

use CkpxHistory;
use CkpxMatrix;
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my @nodes = map { { node => matrix_node("node$_"), epochs => 1 } } 1 .. 5;
foreach my $state (@nodes)
{
	$state->{start} = wal_position($state->{node});
	$state->{load} = start_load($state->{node}, 600, 150);
}

# ---- a disk that stays full: what is seen, and that it is tried less and less

my $node = $nodes[0]{node};
add_fault($node, 'object-write', 'error', undef, 'enospc');
$node->psql('postgres', "SELECT ckpx_checkpoint(NULL, '500ms')");
like(
	wait_for_sql(
		$node,
		q{SELECT failed_phase, last_error FROM ckpx_checkpoints WHERE attempts > 1},
		qr/./),
	qr/^write\|fault "object-write" was triggered: No space left on device$/,
	'full disk: the checkpoint says why it does not go on');
is( $node->safe_psql(
		'postgres',
		q{SELECT attempts < 2 + extract(epoch FROM clock_timestamp() - created_at),
			(SELECT jobs_failed > 1 FROM ckpx_stat)
		FROM ckpx_checkpoints WHERE attempts > 0}
	),
	't|t',
	'full disk: it is tried again, but not all the time');
is($node->safe_psql('postgres', 'SELECT problem FROM ckpx_runner'),
	'', 'full disk: following WAL goes on');
remove_fault($node, 'object-write');
is($node->safe_psql('postgres', 'SELECT ckpx_checkpoint() IS NOT NULL'),
	't', 'room again: it goes on by itself');

# ---- every point once

my %likely = (
	boot => 'start',
	identity => 'start',
	epoch => 'fresh',
	segment => 'spill',
	spill => 'spill',
	cancel => 'cancel',
	worker => 'start');
my $globals = $node->safe_psql('postgres',
	"SELECT count(*) FROM pg_proc WHERE proname = 'ckpx_global_checkpoint'");
my @queue =
  grep { !/^uninstall-/ && ($globals || !/^gc-/) } fault_points($node);

sub first_way
{
	my $point = shift;
	return 'fresh' if $point =~ /^slot-create/;
	return 'cycle' if $point eq 'flush-writeback';
	return $likely{ $point =~ s/-.*//r } // 'work';
}

sub has_fired
{
	my ($node, $point) = @_;
	my $fired = '';
	$node->psql('postgres',
		"SELECT fired > 0 FROM ckpx_fault_list() WHERE name = '$point'",
		stdout => \$fired);
	return $fired eq 't';
}

sub begin_point
{
	my $state = shift;
	my $node = $state->{node};
	my $point = $state->{point} = shift @queue;

	return unless defined $point;
	my $way = $state->{way} = first_way($point);
	$state->{offset} = -s $node->logfile;
	$state->{deadline} = time + 60;
	$state->{pushes} = 0;
	$state->{epochs}++ if $way eq 'fresh';
	add_fault($node, $point, 'error', '1:1', 'enospc');
	restart_runner($node, $way) if $way eq 'start' || $way eq 'fresh';
	return;
}

# Give the point one push, or find that it was passed and all is well.
sub push_point
{
	my $state = shift;
	my ($node, $point, $way) = @$state{qw(node point way)};

	if (!$state->{settled} && !has_fired($node, $point))
	{
		# On a busy machine a minute holds few pushes, and not each one leads to
		# every point.
		if (++$state->{pushes} > 20 && time > $state->{deadline})
		{
			fail("error at $point: it was passed");
			remove_fault($node, $point);
			settle($node);
			delete $state->{point};
		}
		elsif ($way =~ /^(?:work|spill|cancel|cycle)$/)
		{
			provoke($node, $way);
		}
		return;
	}
	if (!$state->{settled})
	{
		$state->{settled} = 1;
		remove_fault($node, $point);
		settle($node);
	}

	# All workers back, everything collected?
	return
	  if $node->psql('postgres',
		"SELECT 1 / (count(pid) = 4)::int FROM ckpx_workers;
		SELECT 1 / ckpx_wait_collected(pg_current_wal_insert_lsn(), '100ms')::int"
	  ) != 0
	  && time < $state->{deadline};
	delete @$state{qw(point settled)};

	like(log_since($node, $state->{offset}),
		qr/fault "$point" was triggered/, "error at $point: the log has it");

	# A slot that was made may still hold what the old epoch needs.
	$state->{epochs} = epochs($node)
	  if $way eq 'fresh' && epochs($node) == $state->{epochs} - 1;
	is(epochs($node), $state->{epochs}, "error at $point: no epoch is lost");
	return;
}

my $left = 1;
while ($left)
{
	$left = 0;
	foreach my $state (@nodes)
	{
		begin_point($state) if !defined $state->{point};
		next if !defined $state->{point};
		push_point($state);
		$left++;
	}
}

# ---- in the end all is there

foreach my $state (@nodes)
{
	my $node = $state->{node};
	my $name = $node->name;

	stop_load($state->{load});
	await_tracking($node);
	is($node->safe_psql('postgres', 'SELECT ckpx_checkpoint() IS NOT NULL'),
		't', "$name: checkpoints go on");
	my $start = $state->{epochs} == 1
	  ? $state->{start}
	  : $node->safe_psql('postgres',
		'SELECT to_lsn FROM ckpx_gaps ORDER BY epoch DESC LIMIT 1');
	my $end = wal_position($node);
	covers_pages_after_crashes($node, $start, $end, $name);
	$node->restart;
	await_tracking($node);
	store_is_sound($node, $name, 1);
	$node->stop('fast');
}

done_testing();
