# Flushing at its limits: a full queue, and data files whose fsync fails, for
# which PostgreSQL has a rule of its own.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use CkpxHistory;
use CkpxPower;
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = history_node(
	'main', conf => <<'EOC');
checkpoint_timeout = '1h'
max_wal_size = '4GB'
bgwriter_lru_maxpages = 0
ckpx.dirty_queue_size = 100
ckpx.min_count = 1000000
ckpx.max_incremental_interval = 0
EOC

sub queue
{
	return sql("SELECT $_[0] FROM ckpx_queues WHERE name = 'dirty'");
}

# ---- the queue is full

my $power = power_library() ? power_begin($node, "base") : undef;
$power ? start_powered($power) : $node->start;
sql(q{CREATE EXTENSION ckpx;
	CREATE TABLE t (id int);
	INSERT INTO t SELECT generate_series(1, 1000);
	CREATE TABLE p (id int) PARTITION BY RANGE (id);
	DO $$
	BEGIN
		FOR i IN 0 .. 99 LOOP
			EXECUTE format('CREATE TABLE p%s PARTITION OF p FOR VALUES FROM (%s) TO (%s)', i, i * 10, i * 10 + 10);
		END LOOP;
	END $$;
	INSERT INTO p SELECT generate_series(0, 999)});
await_tracking($node);

add_fault($node, 'flush-begin', 'wait');
my $first = background(q{SELECT flushed FROM ckpx_flush_table('t')});
await_held($node, 'flush-begin');
my $second = background(q{SELECT flushed FROM ckpx_flush_table('p')});
wait_for_sql($node,
	"SELECT depth = capacity AND capacity = 100 FROM ckpx_queues WHERE name = 'dirty'");
my $rejected = queue('rejected');
my $stderr;
$node->psql(
	'postgres',
	"\\set VERBOSITY verbose\nSELECT ckpx_flush_table('t')",
	stderr => \$stderr);
like(
	$stderr,
	qr/ERROR:  53400: the queue of relations to be flushed is full\nHINT:  Try again later, or raise "ckpx.dirty_queue_size"/,
	'a full queue is an error with a hint');
is(queue('rejected'), $rejected + 1, 'the refusal is counted');
is(queue('depth'), 100, 'a refused request takes no place in the queue');
remove_fault($node, 'flush-begin');
is($first->(), "t\n", 'the flush that was under way is done');
is($second->(), "t\n", 'so is the one that filled the queue');
is(sql(q{SELECT flushed FROM ckpx_flush_table('t')}), 't', 'and then there is room again');
is(queue('depth'), 0, 'the queue is empty');

# The runner asks for ranges without the queue: a full one delays nobody else.
add_fault($node, 'flush-begin', 'wait');
sql('INSERT INTO p SELECT generate_series(0, 999)');
$first = background(q{SELECT flushed FROM ckpx_flush_table('t')});
await_held($node, 'flush-begin');
$second = background(q{SELECT flushed FROM ckpx_flush_table('p')});
wait_for_sql($node,
	"SELECT depth = capacity FROM ckpx_queues WHERE name = 'dirty'");
my $third = background('SELECT ckpx_checkpoint() IS NOT NULL');
remove_fault($node, 'flush-begin');
is($third->(), "t\n", 'a checkpoint that is asked for meanwhile is made');
$first->();
$second->();

# ---- fsync of a data file fails

SKIP:
{
	skip 'the library powerloss is not installed', 12 if !$power;

	my $file = sql("SELECT pg_relation_filepath('t')");
	my $start = wal_position($node);

	# As it is by default: nobody may go on.
	sql('UPDATE t SET id = id + 1');
	my $end = wal_position($node);
	my $offset = -s $node->logfile;
	my $before = sql(
		"SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'");
	fail_fsync($power, $file);
	isnt($node->psql('postgres', "SELECT ckpx_flush_table('t')"),
		0, 'fsync fails: the flush is not claimed');
	ok(fsync_has_failed($power), 'fsync fails: it was told once');
	await_restart($node, $before);
	like(
		log_since($node, $offset),
		qr/PANIC:  could not fsync file "\Q$file\E": Input\/output error/,
		'fsync fails: PANIC, so that WAL repeats what was written');
	is(sql('SELECT count(*), min(id) FROM t'), '1000|2',
		'fsync fails: nothing is lost');
	await_tracking($node);
	is(gap_reasons($node), 'tracking begins', 'fsync fails: nor is history');
	is(sql(q{SELECT flushed FROM ckpx_flush_table('t')}),
		't', 'fsync fails: after the restart it works');

	# With data_sync_retry it is an ordinary error.
	$node->append_conf('postgresql.conf',
		"data_sync_retry = on\nckpx.max_flush_interval = '60s'\nckpx.flush = on\nckpx.collect_interval = '100ms'");
	$node->stop('fast');
	start_powered($power);
	await_tracking($node);
	sql('UPDATE t SET id = id + 1');
	await_tracking($node);

	# The one that is drawn before the change is collected does not stay.
	my @deadlines;
	my $deadline = wait_until(
		sub {
			push @deadlines, sql("SELECT date_trunc('second', deadline + interval '0.5 s') FROM ckpx_dirty_tables WHERE relation = 't'::regclass");
			return if @deadlines < 10 || $deadlines[-1] eq '';
			return (grep { $_ ne $deadlines[-1] } @deadlines[-10 .. -2]) ? undef : $deadlines[-1];
		},
		'the deadline stands');
	my $failures =
	  sql("SELECT sum(failures) FROM ckpx_flush_stat");
	$start = $end;
	$end = wal_position($node);
	fail_fsync($power, "*$file");
	my $claimed = '';

	# A busy flusher may not come to it within the second of a call.
	comes_true(
		sub {
			$node->psql(
				'postgres',
				"SELECT flushed FROM ckpx_flush_table('t', NULL, '1s')",
				stdout => \my $flushed,
				stderr => \$stderr);
			$claimed .= $flushed;
			return $stderr =~ /could not flush in time: could not fsync file "\Q$file\E"/;
		},
		'fsync fails with data_sync_retry: the reason is told');
	unlike($claimed, qr/t/, 'fsync fails with data_sync_retry: no claim');
	is(sql("SELECT ckpx_is_flushed('$start', '$end')"),
		'f', 'fsync fails with data_sync_retry: the range is not claimed to be flushed');
	cmp_ok(sql('SELECT sum(failures) FROM ckpx_flush_stat'),
		'>', $failures, 'fsync fails with data_sync_retry: it is counted');
	like(
		wait_for_sql(
			$node,
			"SELECT abs(extract(epoch FROM deadline - '$deadline')) < 2, last_error FROM ckpx_dirty_tables WHERE relation = 't'::regclass AND last_error <> ''",
			qr/./),
		qr/^t\|could not fsync file/,
		'fsync fails with data_sync_retry: the deadline stays, and the error stands there');
	end_failing($power);
	is(sql(q{SELECT flushed FROM ckpx_flush_table('t')}),
		't', 'when it works again so does the flush');

	# What is claimed is on disk: every page, as it is in the file, was synced.
	sql('UPDATE t SET id = id + 1; SELECT flushed FROM ckpx_flush_table(\'t\')');
	is(durable_contents($power, $node->data_dir . "/$file"),
		slurp_file($node->data_dir . "/$file"),
		'a flush that is claimed has synced every page');
}

$node->stop('fast');
done_testing();
