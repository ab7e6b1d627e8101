# Nothing happens for long: the workers wake up once per tick and grow by
# nothing.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use POSIX ();
use Time::HiRes qw(time);

use CkpxHistory;
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'no /proc' if !-e "/proc/$$/status";

my $tick = 0.010;
my $node = history_node('main',
	conf => "ckpx.collect_interval = '10ms'\ncheckpoint_timeout = '1h'\n");
$node->start;
create_load($node);
run_load($node, 50);
await_tracking($node);
$node->safe_psql('postgres',
	'SELECT ckpx_checkpoint(); SELECT ckpx_global_checkpoint(); CHECKPOINT');

my @workers = qw(runner flusher checkpointer observer);
my %pid = map { $_ => worker_pid($node, $_) } @workers;

# What a process has used: times it slept, processor seconds, memory in kB.
sub usage
{
	my $pid = $_[0];
	my $status = slurp_file("/proc/$pid/status");
	my @stat = split / /, slurp_file("/proc/$pid/stat") =~ s/.*\) //sr;
	my ($sleeps) = $status =~ /^voluntary_ctxt_switches:\s+(\d+)/m;

	# Shared memory that is touched for the first time is no growth.
	my ($private) = $status =~ /^RssAnon:\s+(\d+)/m;
	return { sleeps => $sleeps, cpu => ($stat[11] + $stat[12]) / 100, memory => $private };
}

# A process that does what the workers must not, with what it has used before.
sub spin
{
	my $parent = $$;
	my $child = fork // die "could not fork: $!";

	return $child if $child;
	1 while getppid == $parent;
	POSIX::_exit(0);
}

# Let the runner's own wakings be the clock.
sub pass_ticks
{
	my $goal = usage($pid{runner})->{sleeps} + $_[0];

	wait_until(sub { usage($pid{runner})->{sleeps} >= $goal }, 'the runner has ticked');
	return;
}

pass_ticks(100);
my $spinner = spin();
my $began = time();
my %before = map { $_ => usage($pid{$_}) } @workers;
my $spent = usage($spinner)->{cpu};
my %growth;
foreach (1 .. 5)
{
	my %memory = map { $_ => usage($pid{$_})->{memory} } @workers;

	pass_ticks(100);
	push @{ $growth{$_} }, usage($pid{$_})->{memory} - $memory{$_} foreach @workers;
}
my %after = map { $_ => usage($pid{$_}) } @workers;
my $seconds = time() - $began;
$spent = usage($spinner)->{cpu} - $spent;
kill 'KILL', $spinner;
waitpid $spinner, 0;

foreach my $worker (@workers)
{
	my %used = map { $_ => $after{$worker}{$_} - $before{$worker}{$_} } qw(sleeps cpu);

	note(sprintf '%s: %d sleeps and %.2f s of processor in %.1f s, %s kB more',
		$worker, @used{qw(sleeps cpu)}, $seconds, join(' + ', @{ $growth{$worker} }));
	cmp_ok($used{sleeps}, '<', 2 * $seconds / $tick + 20,
		"the $worker wakes up no more often than it ticks");
	cmp_ok($used{cpu}, '<', $spent / 3, "the $worker does not spin");
  SKIP:
	{
		skip 'a sanitizer keeps what was freed', 1 if $ENV{ASAN_OPTIONS};
		ok((grep { $_ <= 0 } @{ $growth{$worker} }), "the $worker does not grow all the time");
	}
	is(worker_pid($node, $worker), $pid{$worker}, "the $worker has not changed");
}

$node->stop('fast');
done_testing();
