# Load of every kind for long: what workers and sessions hold stays the same.
#
# Rounds of load, each with a quiet moment behind it, in which the memory of the
# workers is read.  How long all of it takes, CKPX_SOAK_MINUTES says; without it
# some seconds, for a leak of a few bytes per tick.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use CkpxHistory;
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'no /proc' if !-e "/proc/$$/statm";

my $minutes = $ENV{CKPX_SOAK_MINUTES} || 0;
my $seconds = $minutes ? 30 : 4;
my $rounds = $minutes ? int($minutes * 60 / $seconds) : 5;
my $warm = $minutes ? int($rounds / 4) + 1 : 2;

# A leak must be more than this to be found.  What contexts hold is the same
# after each round, nearly.  What the process has besides is what malloc keeps of
# its largest moment, which may come late; the observer has no such moments.
my $slack_kb = 16;
my %slack_rss_kb = (runner => 8192, flusher => 8192, checkpointer => 8192, observer => 1024);

my $node = history_node('main', conf => <<'EOC');
fsync = on
shared_buffers = 32MB
wal_keep_size = '64MB'
max_connections = 30
ckpx.collect_interval = '10ms'
ckpx.flush = on
ckpx.max_flush_interval = '1s'
ckpx.min_incremental_interval = '100ms'
ckpx.min_count = 1
ckpx.global_min_count = 4
ckpx.gc_keep_time = '1s'
ckpx.logtail_memory = '8MB'
ckpx.post_checkpoint_command = 'true'
EOC
$node->start;
create_load($node);
$node->safe_psql('postgres', 'CREATE TABLE soak_table AS SELECT g FROM generate_series(1, 2000) g');
await_tracking($node);

# Everything that can be asked for; a range may be gone by the time.
my %ask = (
	read => q{
		PERFORM count(*) FROM ckpx_changed_blocks(ckpx_low_water_mark());
		PERFORM count(*) FROM ckpx_changed_blocks(ckpx_low_water_mark(), NULL, 'load_row');
		PERFORM count(*) FROM ckpx_changed_files(ckpx_low_water_mark());
		PERFORM count(*) FROM ckpx_dirty_tree();
		PERFORM * FROM ckpx_collect_range();
		PERFORM count(*) FROM ckpx_checkpoints_after('0/0', 1000);
		PERFORM ckpx_is_flushed(ckpx_low_water_mark(), pg_current_wal_flush_lsn());
		PERFORM ckpx_sync_point();},
	look => q{
		PERFORM count(*) FROM ckpx_checkpoints;
		PERFORM count(*) FROM ckpx_queues;
		PERFORM count(*) FROM ckpx_workers;
		PERFORM count(*) FROM ckpx_runner;
		PERFORM count(*) FROM ckpx_dirty_tables;
		PERFORM count(*) FROM ckpx_progress;
		PERFORM count(*) FROM ckpx_history;
		PERFORM count(*) FROM ckpx_stat;},
	make => q{
		PERFORM ckpx_checkpoint();
		PERFORM ckpx_global_checkpoint();
		PERFORM ckpx_backup_checkpoint();
		PERFORM ckpx_cancel_pending();},
	hold => q{
		PERFORM ckpx_pin('soak', ckpx_low_water_mark());
		PERFORM ckpx_gc();
		PERFORM ckpx_unpin('soak');},
	flush => q{
		PERFORM ckpx_flush_table('load_row');
		PERFORM ckpx_flush_table('soak_table');
		PERFORM ckpx_flush();});

sub asking
{
	# A checkpoint that another client cancels is no failure of the test.
	return "DO \$\$ BEGIN $_[0] EXCEPTION WHEN OTHERS OR query_canceled THEN NULL; END \$\$;";
}

my @asking = ('pgbench', '-n', '-h', $node->host, '-p', $node->port, '-c', 3, '-R', 30, '-T', $seconds);
foreach my $kind (sort keys %ask)
{
	my $file = $node->basedir . "/soak_$kind.sql";

	append_to_file($file, asking($ask{$kind} =~ s/\n\s*/ /gr) . "\n");
	push @asking, '-f', $file;
}
push @asking, 'postgres';

sub load_round
{
	my $load = start_load($node, $seconds, 200);
	my ($output, $errors);

	# A file that goes before its blocks are synced: its absence is explained.
	$node->safe_psql('postgres', 'DROP TABLE IF EXISTS soak_gone');
	$node->safe_psql('postgres', 'CREATE TABLE soak_gone AS SELECT g FROM generate_series(1, 2000) g');
	IPC::Run::run(\@asking, '<', \undef, '>', \$output, '2>', \$errors)
	  or diag("pgbench: $errors");
	stop_load($load);
	$node->safe_psql('postgres', 'DELETE FROM load_log; VACUUM load_log, load_row; CHECKPOINT');
	$node->safe_psql('postgres',
		'SELECT ckpx_checkpoint(); SELECT ckpx_global_checkpoint(); SELECT ckpx_gc(); CHECKPOINT; SELECT ckpx_flush()');
	return;
}

my @workers = qw(runner flusher checkpointer observer);
my %pid = map { $_ => worker_pid($node, $_) } @workers;

my %samples = map { $_ => [] } @workers;

# kB that a process's memory contexts hold; only connected ones tell.
sub contexts
{
	my $pid = $_[0];
	my $offset = -s $node->logfile;
	my $used;

	$node->safe_psql('postgres', "SELECT pg_log_backend_memory_contexts($pid)");
	wait_until(
		sub {
			($used) = slurp_file($node->logfile, $offset) =~ /\[$pid\] .*Grand total: .* (\d+) used/;
			return defined $used;
		},
		"process $pid says what it holds");
	return $used / 1024;
}

# It may be at work at a moment; the least of some looks is what it keeps.
sub sample
{
	my $worker = $_[0];
	my ($private) = slurp_file("/proc/$pid{$worker}/status") =~ /^RssAnon:\s+(\d+)/m;
	my %sample = (rss => $private);

	if ($worker ne 'observer')
	{
		my @looks = sort { $a <=> $b } map { contexts($pid{$worker}) } 1 .. 5;
		$sample{used} = $looks[0];
	}
	return \%sample;
}

sub describe
{
	my $sample = $samples{ $_[0] }[-1];

	return sprintf '%s %s%d kB RSS', $_[0],
	  defined $sample->{used} ? sprintf('%.1f kB, ', $sample->{used}) : '',
	  $sample->{rss};
}

# The table stands in build/test after the run.
sub report
{
	note($_[0]);
	append_to_file("$ENV{CKPX_OUT}/soak.txt", "$_[0]\n") if $ENV{CKPX_OUT};
	return;
}

foreach my $round (1 .. $rounds)
{
	load_round();
	foreach my $worker (@workers)
	{
		push @{ $samples{$worker} }, sample($worker);
	}
	report("round $round: " . join ', ', map { describe($_) } @workers);
}

# The least that was seen in the first rounds that count, and in the last ones.
sub grown
{
	my ($worker, $what) = @_;
	my @values = map { $_->{$what} } @{ $samples{$worker} };
	my @late = splice @values, @values - $warm;
	my ($early) = sort { $a <=> $b } @values[ ($minutes ? $warm : 1) .. $#values ];
	my ($last) = sort { $a <=> $b } @late;

	return $last - $early;
}

foreach my $worker (@workers)
{
	is(worker_pid($node, $worker), $pid{$worker}, "the $worker has not changed");
	cmp_ok(grown($worker, 'used'), '<=', $slack_kb, "memory contexts of the $worker do not grow")
	  if $worker ne 'observer';
  SKIP:
	{
		skip 'a sanitizer keeps what was freed', 1 if $ENV{ASAN_OPTIONS};
		cmp_ok(grown($worker, 'rss'), '<=', $slack_rss_kb{$worker}, "the $worker does not grow");
	}
}

# One session that asks again and again keeps nothing.
my $calls = $minutes ? 200 : 20;
foreach my $kind (sort keys %ask)
{
	my $one = asking($ask{$kind});
	my $held = 'SELECT sum(used_bytes) FROM pg_backend_memory_contexts;';
	my @held = split /\n/,
	  $node->safe_psql('postgres', ($one x 5) . $held . ($one x $calls) . $held);

	cmp_ok(($held[1] - $held[0]) / 1024, '<=', 16, "a session that asks ($kind) does not grow");
}

my ($done) = $node->safe_psql('postgres',
	"SELECT incrementals_done, globals_done, incrementals_removed FROM ckpx_stat");
note("incrementals, globals, removed: $done");
unlike($done, qr/\b0\b/, 'each worker had something to do');
like($node->safe_psql('postgres', 'SELECT count(DISTINCT epoch), max(epoch) FROM ckpx_checkpoints'),
	qr/^1\|1$/, 'one epoch');

$node->stop('fast');
done_testing();
