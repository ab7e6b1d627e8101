# However the server or a worker ends, the history goes on where it was: one
# epoch, no block missing, and old ranges answered as before.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use Time::HiRes qw(time);

use CkpxHistory;
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{CKPX_TEST_SEED} // int(time);
srand($seed);
note("CKPX_TEST_SEED=$seed");

my $node = loaded_node('main');

my $start = wal_position($node);
run_load($node, 200);
$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
my ($old_start, $old_end) = finished_range($node);
my $old = answer($node, $old_start, $old_end);

# A random moment under load; what is waited for is load itself.
sub some_load
{
	my $until = $node->safe_psql('postgres',
		'SELECT pg_current_wal_insert_lsn() + ' . int(rand(500_000)));
	wait_for_sql($node, "SELECT pg_current_wal_insert_lsn() >= '$until'");
}

sub still_whole
{
	my $name = shift;
	await_tracking($node);
	is_one_epoch($node, $name);
	is(answer($node, $old_start, $old_end), $old,
		"$name: an old range has the same answer");
}

# ---- the whole server

my $load = start_load($node);
some_load();
$node->stop('fast');
stop_load($load);
$node->start;
still_whole('after a fast stop');

$load = start_load($node);
some_load();
$node->stop('immediate');
stop_load($load);
$node->start;
still_whole('after an immediate stop');

foreach my $round (1 .. 3)
{
	$load = start_load($node);
	some_load();
	crash_and_restart($node);
	stop_load($load);
	still_whole("after kill -9 of the postmaster, round $round");
}

# ---- each worker with SIGKILL: all processes start anew

foreach my $worker (qw(runner checkpointer flusher observer))
{
	$load = start_load($node);
	some_load();
	crash_worker($node, $worker);
	stop_load($load);
	still_whole("after kill -9 of the $worker");
}

# ---- all workers with SIGTERM, at once and one after the other: they come
# back by themselves, after the postmaster's fixed 5 s, and the load goes on

$load = start_load($node, 300);
some_load();
my %before =
  map { $_ => worker_pid($node, $_) } qw(runner checkpointer flusher observer);
kill('TERM', values %before) == 4 or die "could not signal the workers: $!";
foreach my $worker (sort keys %before)
{
	wait_for_sql($node,
		"SELECT pid <> $before{$worker} FROM ckpx_workers WHERE name = '$worker'"
	);
}
still_whole('after SIGTERM to all workers');

# The checkpointer in the middle of a job, and the runner while it is away.
add_fault($node, 'object-rename', 'wait');
wait_for_sql($node,
	"CHECKPOINT; SELECT coalesce(sum(waiting), 0) > 0 FROM ckpx_fault_list()");
end_worker($node, 'checkpointer');
end_worker($node, 'runner');
remove_fault($node, 'object-rename');
some_load();
wait_for_sql($node,
	"SELECT count(pid) = 4 FROM ckpx_workers");
is( $node->safe_psql(
		'postgres',
		"SELECT count(*) FROM pg_stat_activity WHERE application_name = 'load'"
	),
	2,
	'the load did not notice');
stop_load($load);
still_whole('after SIGTERM to the checkpointer in a job and to the runner');
is($node->safe_psql('postgres', 'SELECT ckpx_checkpoint() IS NOT NULL'),
	't', 'checkpoints go on');

# ---- the whole of it

my $end = wal_position($node);
covers_after_crashes($node, $start, $end, 'from before all that');
$node->restart;
store_is_sound($node, 'in the end', 1);

$node->stop('fast');
done_testing();
