# The views about what is done and was done: ckpx_history, ckpx_progress,
# ckpx_stat.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use CkpxHistory;
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => <<'EOC');
ckpx.min_incremental_interval = '1h'
ckpx.gc_keep_time = '1d'
checkpoint_timeout = '1h'
wal_keep_size = '1GB'
EOC
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION ckpx; CREATE TABLE t (i int)');
await_tracking($node);

# ---- history: PostgreSQL's checkpoints are those that pg_waldump shows

sub dumped_checkpoints
{
	my ($node, $start, $end) = @_;
	my ($stdout, $stderr);

	run_command_ok(
		[ waldump_command($node, $start, $end, 1, '-r', 'XLOG') ],
		\$stdout, \$stderr);
	return join "\n",
	  map {
		m{lsn: ([0-9A-F/]+), .* desc: CHECKPOINT_(ONLINE|SHUTDOWN) redo ([0-9A-F/]+);}
		  ? sprintf('%s %s %s', lc $2, short($3), short($1))
		  : ()
	  } split /\n/, $stdout;
}

sub run_command_ok
{
	my ($command, $stdout, $stderr) = @_;

	IPC::Run::run($command, '>', $stdout, '2>', $stderr)
	  or die "@$command failed: $$stderr";
	return;
}

# pg_waldump writes leading zeros.
sub short { return join '/', map { sprintf '%X', hex } split m{/}, $_[0]; }

my $start = wal_position($node);
sql('CHECKPOINT; CHECKPOINT');
sql('INSERT INTO t VALUES (1); SELECT ckpx_checkpoint()');
$node->stop;
$node->start;
await_tracking($node);
sql('INSERT INTO t VALUES (2)');
sql('CHECKPOINT');
my $end = wal_position($node);
await_tracking($node);

# A restart empties the list, but WAL behind the last checkpoint of ckpx is
# read again: the shutdown's record is in it.
my $known = sql("SELECT max(end_lsn) FROM ckpx_checkpoints WHERE kind = 'incremental' AND state = 'finished'");
my $in_history = qq{
	SELECT kind || ' ' || redo_lsn || ' ' || checkpoint_lsn FROM ckpx_history
	WHERE source = 'postgresql' ORDER BY checkpoint_lsn};
my $dumped = dumped_checkpoints($node, $known, $end);
is(sql($in_history), $dumped, 'checkpoints of PostgreSQL');
is(scalar(() = $dumped =~ /^online/mg), 1, 'there is one');
is(scalar(() = $dumped =~ /^shutdown/mg), 1, 'and that of the shutdown');
is( sql("SELECT bool_and(timeline = 1 AND seen_at >= started_at AND epoch IS NULL AND start_lsn IS NULL AND size_bytes IS NULL) FROM ckpx_history WHERE source = 'postgresql'"),
	't', 'their columns');

# What the runner reads again after its own restart is not added again.
end_worker($node, 'runner');
sql("SELECT pg_switch_wal()");
wait_for_sql($node,
	"SELECT pid IS NOT NULL AND restarts > 0 FROM ckpx_workers WHERE name = 'runner'");
await_tracking($node);
is(sql($in_history), $dumped, 'read again, they are still there once');

# ---- history: ckpx's own

sql('INSERT INTO t VALUES (3); SELECT ckpx_checkpoint()');
sql('SELECT ckpx_global_checkpoint()');
sql("SELECT ckpx_fault_add('backup-incremental', 'wait')");
my $backup = session($node);
$backup->{in} .= "SELECT ckpx_backup_checkpoint();\n";
IPC::Run::pump_nb($backup->{handle});
await_held($node, 'backup-incremental');
sql('INSERT INTO t VALUES (4)');
sql("SELECT ckpx_fault_remove('backup-incremental')");
end_session($backup);
my $own = q{
	SELECT kind, timeline, epoch, start_lsn, end_lsn, size_bytes, created_at,
		finished_at
	FROM ckpx_checkpoints WHERE state = 'finished' AND finished_at > %s
	ORDER BY finished_at, kind};
my $since = sql("SELECT quote_literal(min(seen_at)) FROM ckpx_history");
my $history = q{
	SELECT kind, timeline, epoch, start_lsn, end_lsn, size_bytes, started_at,
		seen_at
	FROM ckpx_history WHERE source = 'ckpx' ORDER BY seen_at, kind};
is(sql($history), sql(sprintf $own, $since), 'checkpoints of ckpx');
is(sql("SELECT string_agg(DISTINCT kind, ' ' ORDER BY kind) FROM ckpx_history WHERE source = 'ckpx'"),
	'backup global incremental', 'of every kind');

# What was collected is still known to have been.
my $before = sql($history);
cmp_ok(sql('SELECT ckpx_gc()'), '>', 0, 'something is collected');
is(sql($history), $before, 'history tells of it');

# All of the incrementals are gone: the next one still waits for its interval.
is(sql("SELECT count(*) FROM ckpx_checkpoints WHERE kind = 'incremental' AND start_lsn >= (SELECT max(end_lsn) FROM ckpx_checkpoints WHERE kind = 'global')"),
	1, 'an incremental is in no global');
sql('SELECT ckpx_global_checkpoint()');
sql('SELECT ckpx_gc()');
is(sql("SELECT count(*) FROM ckpx_checkpoints WHERE kind = 'incremental'"),
	0, 'no incremental is left');

# Each cut is followed by the scheduler's look.
foreach (1 .. 3)
{
	sql('INSERT INTO t VALUES (5)');
	await_tracking($node);
}
is(sql("SELECT count(*) FROM ckpx_checkpoints WHERE kind = 'incremental'"),
	0, 'no incremental before its time');

# ---- history: the newest 1000, newest first

is(sql('SELECT count(*) FROM ckpx_history WHERE seen_at > (SELECT seen_at FROM ckpx_history LIMIT 1)'),
	0, 'the newest comes first');
my $path = $node->basedir . '/many.sql';
append_to_file($path, "CHECKPOINT;\n" x 1010);
$node->command_ok([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-f', $path ],
	'many checkpoints');
await_tracking($node);
is(sql('SELECT count(*), count(DISTINCT checkpoint_lsn) FROM ckpx_history'),
	'1000|1000', 'the oldest are lost');
is( sql('SELECT checkpoint_lsn FROM ckpx_history LIMIT 1'),
	sql('SELECT checkpoint_lsn FROM pg_control_checkpoint()'),
	'the newest are not');

# ---- progress: each job at a known place

my $progress = 'SELECT job, phase, done, total > 0, started_at <= clock_timestamp(), pid = (SELECT pid FROM ckpx_workers WHERE name = $$checkpointer$$) FROM ckpx_progress';

sub shows
{
	my ($point, $call, $expected, $name) = @_;

	sql("INSERT INTO t VALUES (6)");
	sql("SELECT ckpx_fault_add('$point', 'wait')");
	my $session = session($node);
	$session->{in} .= "$call;\n";
	IPC::Run::pump_nb($session->{handle});
	await_held($node, $point);
	like(sql($progress), $expected, $name);
	sql("SELECT ckpx_fault_remove('$point')");
	end_session($session);
	wait_for_sql($node, 'SELECT count(*) = 0 FROM ckpx_progress');
	return;
}

shows('job-start', 'SELECT ckpx_checkpoint()',
	qr/\Aincremental\|starting\|0\|f\|t\|t\z/, 'an incremental begins');
shows('object-create', 'SELECT ckpx_checkpoint()',
	qr/\Aincremental\|writing relations\|0\|t\|t\|t\z/, 'it is to be written');
shows('object-fsync', 'SELECT ckpx_checkpoint()',
	qr/\Aincremental\|writing relations\|[1-9]\d*\|t\|t\|t\z/, 'it is written');
shows('manifest-create', 'SELECT ckpx_checkpoint()',
	qr/\Aincremental\|publishing\|0\|t\|t\|t\z/, 'it is published');
shows('global-start', 'SELECT ckpx_global_checkpoint()',
	qr/\Aglobal\|starting\|0\|f\|t\|t\z/, 'a global begins');
sql('SELECT ckpx_checkpoint()');
shows('global-relation', 'SELECT ckpx_global_checkpoint()',
	qr/\Aglobal\|merging relations\|0\|t\|t\|t\z/, 'it is merged');
shows('gc-chosen', 'SELECT ckpx_gc()',
	qr/\Agc\|publishing\|0\|t\|t\|t\z/, 'garbage collection');
sql('INSERT INTO t VALUES (7); SELECT ckpx_checkpoint()');
sql('SELECT ckpx_global_checkpoint()');
sql("SELECT ckpx_fault_add('gc-forgotten', 'wait')");
my $gc = session($node);
$gc->{in} .= "SELECT ckpx_gc();\n";
IPC::Run::pump_nb($gc->{handle});
await_held($node, 'gc-forgotten');
sql("SELECT ckpx_fault_add('remove-file', 'wait')");
sql("SELECT ckpx_fault_remove('gc-forgotten')");
await_held($node, 'remove-file');
like(sql($progress), qr/\Agc\|removing files\|0\|t\|t\|t\z/, 'its files');
sql("SELECT ckpx_fault_remove('remove-file')");
end_session($gc);

# A global goes on while an incremental is written.
sql('INSERT INTO t VALUES (8); SELECT ckpx_checkpoint()');
sql("SELECT ckpx_fault_add('global-relation', 'sleep', NULL, '500')");
my $global = session($node);
$global->{in} .= "SELECT ckpx_global_checkpoint();\n";
IPC::Run::pump_nb($global->{handle});
wait_for_sql($node, "SELECT job FROM ckpx_progress", 'global');
sql("INSERT INTO t VALUES (9); SELECT ckpx_fault_add('job-start', 'wait')");
my $force = session($node);
$force->{in} .= "SELECT ckpx_checkpoint();\n";
IPC::Run::pump_nb($force->{handle});
await_held($node, 'job-start');
is(sql("SELECT string_agg(job, ' ' ORDER BY job) FROM ckpx_progress"),
	'global incremental', 'two jobs are in work');

# A worker that dies leaves none.
add_fault($node, 'worker-back-off', 'wait');
end_worker($node, 'checkpointer');
is(sql('SELECT count(*) FROM ckpx_progress'), 0, 'none without a worker');
sql("SELECT ckpx_fault_remove(name) FROM ckpx_fault_list() WHERE action IS NOT NULL");
end_session($_) foreach $global, $force;
wait_for_sql($node, "SELECT count(*) = 0 FROM ckpx_checkpoints WHERE state <> 'finished'");

# ---- stat

is( sql('SELECT (SELECT sum(n) FROM unnest(pending_ms_histogram) n) = incrementals_done AND cardinality(pending_ms_histogram) = 7 FROM ckpx_stat'),
	't', 'every incremental is in the histogram');
is( sql(q{
	SELECT max(i) = length((greatest(pending_ms_max, 1) / 10 * 10)::text)
		OR max(i) = greatest(length(pending_ms_max::text), 1)
	FROM ckpx_stat, unnest(pending_ms_histogram) WITH ORDINALITY h (n, i)
	WHERE n > 0 GROUP BY pending_ms_max}),
	't', 'the longest wait is in the last bucket used');
my $zero = q{
	SELECT string_agg(key, ' ' ORDER BY key) FROM ckpx_stat s,
		jsonb_each(to_jsonb(s)) WHERE key <> 'stats_reset'
		AND value::text !~ '^(0|\[0(, 0)*\])$'};
sql('SELECT ckpx_flush()');
like(sql($zero), qr/blocks_written .*globals_done .*incrementals_done .*incrementals_removed .*pending_ms_histogram .*records_read .*wal_bytes_read/,
	'counters count');
sql('SELECT ckpx_disable()');
await_tracking($node);
# What the server does by itself may come in between.
comes_true(sub { sql("SELECT ckpx_stat_reset(); $zero") eq "\n" }, 'all are zero after a reset');
is(sql('SELECT sum(passes + blocks_written + fsyncs + failures) FROM ckpx_flush_stat'),
	0, 'those of the flusher, too');
sql('SELECT ckpx_enable()');

# ---- wait events, by name where the server has names for them

sql_becomes($node, q{
	SELECT string_agg(DISTINCT wait_event_type || ' ' || wait_event, ', ') FROM pg_stat_activity
	WHERE backend_type IN ('ckpx flusher', 'ckpx observer')},
	$node->pg_version >= 17 ? 'Extension CkpxWorkerIdle' : 'Extension Extension', 'what idle workers wait for');
my $lister = $node->pg_version >= 17 ? "SELECT string_agg(name, ' ' ORDER BY name) FROM pg_wait_events WHERE type = 'Extension' AND name <> 'Extension'" : "SELECT ''";
is(sql($lister), $node->pg_version >= 17 ?
	  'CkpxFault CkpxFileRead CkpxFileSync CkpxFileWrite CkpxFlushRetry CkpxProgress CkpxWorkerIdle' : '',
	'all that there are');

# ---- a standby has restartpoints, and sees the primary's checkpoints

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
wait_for_sql($standby,
	'SELECT collected_lsn IS NOT NULL AND problem IS NULL FROM ckpx_runner');
sql('INSERT INTO t VALUES (10)');
sql('CHECKPOINT');
$node->wait_for_catchup($standby);
await_tracking($standby);
$standby->safe_psql('postgres', 'CHECKPOINT');
wait_for_sql($standby,
	"SELECT count(*) = 1 FROM ckpx_history WHERE kind = 'restartpoint'");
is( $standby->safe_psql(
		'postgres', q{
		SELECT r.redo_lsn = c.redo_lsn, r.checkpoint_lsn = c.checkpoint_lsn, r.timeline
		FROM ckpx_history r, pg_control_checkpoint() c WHERE r.kind = 'restartpoint'}),
	't|t|1', 'a restartpoint');
is( $standby->safe_psql('postgres', q{
		SELECT count(*) FROM ckpx_history o JOIN ckpx_history r USING (checkpoint_lsn)
		WHERE o.kind = 'online' AND r.kind = 'restartpoint'}),
	'1', 'and the checkpoint of the primary');
$standby->promote;
sql_becomes($standby,
	"SELECT count(*) = 1 FROM ckpx_history WHERE kind = 'end of recovery' AND timeline = 2 AND redo_lsn IS NULL AND checkpoint_lsn IS NOT NULL",
	't', 'the end of recovery');

$standby->stop;
$node->stop;
done_testing();
