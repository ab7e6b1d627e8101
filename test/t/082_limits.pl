# Limits: descriptors, connections, shared memory for the map; and the race
# between merging in the logtail and a checkpoint that finishes.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use CkpxHistory;
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# ---- few descriptors, many connections

my $node = loaded_node(
	'descriptors', conf => <<'EOC');
max_files_per_process = 64
max_connections = 1500
ckpx.global_min_count = 10000
max_slot_wal_keep_size = '2GB'
EOC
my $start = wal_position($node);
create_tables('f%s', 150);
sql(join '', map { "UPDATE load_row SET n = n + 1 WHERE id = $_;\nSELECT ckpx_checkpoint();\n" } 1 .. 40);
cmp_ok(sql('SELECT ckpx_pending_count()'), '>=', 40, 'more objects than descriptors');
is(sql('SELECT flushed FROM ckpx_flush()'), 't', 'few descriptors: many files are flushed');
covers_all_oracles($node, $start, wal_position($node), 'few descriptors');

# A global merges as many as it can at a time.
my $rounds = 0;
while (sql('SELECT ckpx_pending_count()') > 0 && $rounds++ < 60)
{
	sql('SELECT ckpx_global_checkpoint()');
}
is(sql('SELECT ckpx_pending_count()'), 0, 'few descriptors: globals hold everything in the end');
cmp_ok(sql("SELECT count(*) FROM ckpx_checkpoints WHERE kind = 'global'"),
	'>', 1, 'few descriptors: it takes several');
sql('SELECT ckpx_gc()');
covers_all_oracles($node, $start, wal_position($node), 'few descriptors, from globals');

# ---- none at all

SKIP:
{
	skip 'no prlimit', 8 if system('prlimit --pid $$ >/dev/null 2>&1') != 0;

	my $checkpointer = worker_pid($node, 'checkpointer');
	my ($limit) = slurp_file("/proc/$checkpointer/limits") =~ /^Max open files\s+(\d+)/m;

	system_or_bail('prlimit', '--pid', $checkpointer, '--nofile=4:');
	my $position = wal_position($node);
	run_load($node, 20);
	isnt($node->psql('postgres', "SELECT ckpx_checkpoint(NULL, '2s')"),
		0, 'no descriptors: a call that waits for a checkpoint fails');
	like(
		wait_for_sql(
			$node,
			q{SELECT last_error, attempts > 0 FROM ckpx_checkpoints WHERE state = 'running'},
			qr/\|t$/),
		qr/^could not .*: Too many open files.*\|t$/,
		'no descriptors: the checkpoint says why it does not go on');
	covers_all_oracles($node, $position, wal_position($node), 'no descriptors');
	is(worker_pid($node, 'checkpointer'),
		$checkpointer, 'no descriptors: the process has not changed');
	system_or_bail('prlimit', '--pid', $checkpointer, "--nofile=$limit:");
	is(sql("SELECT ckpx_checkpoint(NULL, '90s') IS NOT NULL"),
		't', 'descriptors again: it goes on by itself');

	# Whatever needs one and does not get it ends; the next process has some.
	foreach my $worker (qw(runner flusher))
	{
		system_or_bail('prlimit', '--pid', worker_pid($node, $worker), '--nofile=4:');
	}
	run_load($node, 20);
	sql('SELECT pg_switch_wal()');
	run_load($node, 20);
	is(sql("SELECT ckpx_checkpoint(NULL, '120s') IS NOT NULL"),
		't', 'no descriptors for runner and flusher: they recover');
	is_one_epoch($node, 'no descriptors for runner and flusher');
	covers_all_oracles($node, $position, wal_position($node),
		'no descriptors for runner and flusher');
}
$node->stop('fast');

# ---- a small logtail

$node = loaded_node(
	'memory', conf => <<'EOC');
ckpx.logtail_memory = '1MB'
ckpx.collect_interval = '10ms'
ckpx.global_min_count = 10000
max_slot_wal_keep_size = '2GB'
max_locks_per_transaction = 2048
checkpoint_timeout = '1h'
max_wal_size = '4GB'
EOC
use_server($node);
$start = wal_position($node);

# A checkpoint finishes between the moment at which the runner looks up what
# must not be joined and the one at which it merges.
sql('CREATE SCHEMA race; SELECT ckpx_checkpoint(); SELECT ckpx_disable()');
create_tables('race.t%s', 600, 'id int PRIMARY KEY, t text');
await_tracking($node);
add_fault($node, 'job-start', 'wait');
sql('SELECT ckpx_enable()');
my $checkpoint = background('SELECT ckpx_checkpoint() IS NOT NULL');
await_held($node, 'job-start');
my $end = sql("SELECT end_lsn FROM ckpx_checkpoints WHERE state = 'running'");
sql('CREATE SCHEMA after');
create_tables('after.t%s', 500, 'id int PRIMARY KEY, t text');
await_tracking($node);

# In the step that publishes a cut, not the one that only forgets.
add_fault($node, 'cut-before', 'wait');
sql('UPDATE load_row SET n = n + 1');
await_held($node, 'cut-before');
add_fault($node, 'logtail-trim', 'wait');
remove_fault($node, 'cut-before');
await_held($node, 'logtail-trim');
remove_fault($node, 'job-start');
wait_for_sql($node, "SELECT checkpointed_lsn = '$end' FROM ckpx_runner");
remove_fault($node, 'logtail-trim');
is($checkpoint->(), "t\n", 'a checkpoint finishes while a cut is published');
my $restarts = sql("SELECT restarts FROM ckpx_workers WHERE name = 'checkpointer'");
sql('UPDATE load_row SET n = n + 1');
is(sql("SELECT ckpx_checkpoint(NULL, '60s') IS NOT NULL"),
	't', 'the next one finds its range as it must be');
is(sql("SELECT restarts FROM ckpx_workers WHERE name = 'checkpointer'"),
	$restarts, 'without an error');
is(sql("SELECT count(*) FROM ckpx_checkpoints WHERE start_lsn = '$end' AND kind = 'incremental'"),
	1, 'and begins where the other ended');
covers_all_oracles($node, $start, wal_position($node), 'merging beside a checkpoint');

# One record, the commit of a transaction that drops thousands of files, names
# more than the whole logtail can hold.
sql('CREATE SCHEMA huge');
create_tables('huge.t%s', 1200, 'id int PRIMARY KEY, t text');

# Nor can the flusher be told of so many new files at once: PostgreSQL's own
# checkpoint makes them durable, and is asked for.
is(sql("SELECT ckpx_checkpoint(NULL, '120s') IS NOT NULL"),
	't', 'thousands of new files: a checkpoint does not wait for an hour');
sql('DELETE FROM huge.t1');
is(sql('SELECT flushed FROM ckpx_flush()'), 't', 'thousands of new files: they can be flushed');
sql('SELECT ckpx_disable()');
# Where the next incremental will begin: its answer goes back to no other place.
my $begin = sql('SELECT checkpointed_lsn FROM ckpx_runner');
my $position = wal_position($node);
sql('DROP SCHEMA huge CASCADE');
sql('UPDATE load_row SET n = n + 1');
is( sql("SELECT ckpx_wait_collected(pg_current_wal_insert_lsn(), '60s')"),
	't', 'one record for more than the logtail holds: following WAL goes on');
cmp_ok(sql('SELECT logtail_bytes FROM ckpx_runner'),
	'<=', 1024 * 1024, 'one record for more than the logtail holds: memory is bounded');
is_one_epoch($node, 'one record for more than the logtail holds');
covers_all_oracles($node, $position, wal_position($node),
	'one record for more than the logtail holds');
$end = wal_position($node);
my $answer = answer($node, $begin, $end);
crash_and_restart($node);
await_tracking($node);
is_one_epoch($node, 'after a crash');
is(answer($node, $begin, $end), $answer, 'after a crash the same is known');
sql('SELECT ckpx_checkpoint()');
# Its range ends later, so it may name more blocks; but the same forks are gone.
my @gone = grep { /\|0\|0\|\{\}\|/ } split /\n/, $answer;
cmp_ok(scalar @gone, '>', 3 * 1200, 'one record drops thousands of forks');
is_deeply([ grep { /\|0\|0\|\{\}\|/ } split /\n/, answer($node, $begin, $end) ],
	\@gone, 'and when it is a checkpoint');
$node->restart;
await_tracking($node);
store_is_sound($node, 'in the end', 1);
is(join(' ', store_files($node, qr/^seg_/)), '', 'no segment is left');

$node->stop('fast');
done_testing();
