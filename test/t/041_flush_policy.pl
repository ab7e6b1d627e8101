# What the flusher does by itself, and on a standby.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => <<'EOC');
shared_buffers = '32MB'
checkpoint_timeout = '1h'
max_wal_size = '4GB'
bgwriter_lru_maxpages = 0
ckpx.min_count = 1000000
ckpx.max_incremental_interval = 0
ckpx.table_flush_capacity = '2MB'
ckpx.flush = on
EOC
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION ckpx; CREATE EXTENSION pg_buffercache');

sub flushed_by
{
	my ($reason) = @_;
	return sql("SELECT blocks_written FROM ckpx_flush_stat WHERE reason = '$reason'");
}

# ---- what is shown, and why

my $of = 'FROM ckpx_dirty_tables WHERE relation = ';
my $made = sql('SELECT now()');
sql(q{CREATE TABLE small AS SELECT 1 AS id; CREATE TABLE large AS SELECT generate_series(1, 200000) AS id});
wait_for_sql($node, "SELECT ready, reason $of 'large'::regclass", 't|capacity');
is(sql("SELECT ready, reason IS NULL, dirty_blocks > 0, append_bytes = dirty_blocks * 8192,
		deadline BETWEEN timestamptz '$made' + interval '4 min' AND now() + '6 min' $of 'small'::regclass"),
	'f|t|t|t|t', 'a small table is not ready');
ok(dirty('large') > 0, 'early in the cycle policy writes nothing');
sql_becomes($node, q{SELECT pressure > 0 AND abs(pressure -
	(SELECT sum(dirty_blocks) FROM ckpx_dirty_tables) / setting::float8) < 0.02
	FROM ckpx_runner, pg_settings WHERE name = 'shared_buffers'},
	't', 'pressure is the dirty part of shared_buffers');

sql(q{SELECT ckpx_flush(); DELETE FROM large});
sql_becomes($node, "SELECT delete_bytes > append_bytes $of 'large'::regclass",
	't', 'deletes are told apart');

# ---- late in the cycle, policy writes; once, and without claims

my $fsyncs = sql('SELECT fsyncs FROM ckpx_stat');
# The cycle's WAL is nearly used up: the checkpoint would come soon.
change_settings($node, 'max_wal_size' => '48MB');
sql(q{INSERT INTO large SELECT generate_series(1, 300000)});
wait_for_sql($node, q{SELECT sum(blocks_written) > 0 FROM ckpx_flush_stat WHERE reason IN ('capacity', 'deletes', 'pressure')});
is(sql('SELECT fsyncs FROM ckpx_stat'), $fsyncs, 'policy writes and does not sync');
change_settings($node, 'max_wal_size' => '4GB');

# ---- a flush that a call waits for overtakes policy's writes

sql(q{CHECKPOINT; INSERT INTO large SELECT generate_series(1, 500000); CREATE TABLE urgent AS SELECT 1 AS id});
change_settings($node, 'ckpx.flush_rate_limit' => '64kB');
change_settings($node, 'max_wal_size' => '32MB');
# 64 kB are eight blocks.
my $paced = wait_for_sql($node, q{SELECT (total - done) / 8 FROM ckpx_progress
	WHERE phase = 'writing blocks' AND total > 1000 AND done < total / 2}, qr/./);
is(sql("SELECT flushed FROM ckpx_flush_table('urgent', NULL, '" . int($paced / 2) . "s')"), 't',
	"a forced flush need not wait for $paced s of paced writes");
change_settings($node, 'ckpx.flush_rate_limit' => 0);
change_settings($node, 'max_wal_size' => '4GB');

# ---- pressure

sql('SELECT ckpx_flush()');
change_settings($node, 'ckpx.table_flush_capacity' => '1GB');
change_settings($node, 'ckpx.flush_memory_cap' => '2MB');
my $before = flushed_by('pressure');
sql(q{CREATE TABLE heavy AS SELECT generate_series(1, 300000) AS id});
sql_becomes($node, "SELECT blocks_written > $before FROM ckpx_flush_stat WHERE reason = 'pressure'",
	't', 'under pressure the largest is written');
change_settings($node, 'ckpx.flush_memory_cap' => '-1');

# ---- a deadline is a durable pass, and only success resets it

sql('SELECT ckpx_flush()');
sql(q{SELECT ckpx_fault_add('flush-fsync', 'error', NULL, 'eio')});
change_settings($node, 'ckpx.max_flush_interval' => '100ms');
sql('UPDATE small SET id = 2');
sql_becomes($node, "SELECT reason = 'deadline' AND last_error IS NOT NULL $of 'small'::regclass",
	't', 'a deadline that passed with an error stays passed');
sql_becomes($node, q{SELECT failures > 0 FROM ckpx_flush_stat WHERE reason = 'deadline'}, 't',
	'the failure is counted');
sql(q{SELECT ckpx_fault_remove('flush-fsync')});
wait_for_sql($node, "SELECT passes > failures FROM ckpx_flush_stat WHERE reason = 'deadline'");
wait_until(sub { dirty('small') == 0 }, 'the deadline is kept');
sql_becomes($node, "SELECT coalesce(max(last_error), '') $of 'small'::regclass",
	'', 'success clears the error');

# ---- an entry that nobody waits for is flushed when it has stalled

change_settings($node, 'ckpx.min_count' => 1);
sql('UPDATE heavy SET id = id WHERE id < 1000');
my $lsn = wal_position($node);
is(sql("SELECT ckpx_wait('$lsn', '60s')"), 't', 'a stalled entry is flushed');

# ---- the rate limit

change_settings($node, 'ckpx.max_flush_interval' => '1h');
change_settings($node, 'ckpx.min_count' => 1000000);
change_settings($node, 'ckpx.flush_rate_limit' => '64kB');
sql(q{CREATE TABLE slow AS SELECT generate_series(1, 100000) AS id});
is(sql(q{SELECT flushed, blocks_remaining > 0 FROM ckpx_flush_table('slow', NULL, '500ms')}), 'f|t',
	'a flush that does not come to its end in time says what is left');
change_settings($node, 'ckpx.flush_rate_limit' => 0);
is(sql(q{SELECT flushed FROM ckpx_flush_table('slow')}), 't', 'without the rate limit it comes to its end');

# ---- the kernel is asked to write changed files back

# Twelve seconds from the begin of each cycle; a sweep is once in each.
change_settings($node, 'checkpoint_timeout' => '30s');
change_settings($node, 'checkpoint_completion_target' => 0.4);
my $change = q{CHECKPOINT; UPDATE slow SET id = id WHERE id = 1;
	SELECT ckpx_wait_collected(pg_current_wal_insert_lsn())};
my $asked = q{SELECT coalesce(sum(passed), 0) FROM ckpx_fault_list() WHERE name = 'flush-writeback'};
sql(q{SELECT ckpx_fault_add('flush-writeback', 'sleep', NULL, '0')});
comes_true(sub { sql($change); sql($asked) > 0 }, 'files with changes are swept');

SKIP:
{
	my $trace = "$PostgreSQL::Test::Utils::tmp_check/strace";
	my $strace = start_strace($node, 'sync_file_range', $trace);
	skip 'strace cannot attach', 1 if !$strace;
	my $path = sql(q{SELECT pg_relation_filepath('slow')});
	my $length = sql(q{SELECT pg_relation_size('slow')});

	# Of one changed block, and not of that block alone.
	change_settings($node, 'fsync' => 'on');
	comes_true(
		sub {
			sql($change);
			slurp_file($trace) =~
			  m{sync_file_range\(\d+<[^>]*/\Q$path\E>, 0, (\d+), SYNC_FILE_RANGE_WRITE\)}
			  && $1 >= $length;
		},
		'a whole file is written back');
	$strace->signal('INT');
	$strace->finish;
	change_settings($node, 'fsync' => 'off');
}

# The begin of another cycle, and a pass of some seconds, in which sweeps go on.
# That there was something to sweep is seen afterwards, if the cycle's time is
# not over by then; otherwise in the next try.
my $swept = 0;
change_settings($node, 'ckpx.flush_rate_limit' => '2MB');
comes_true(
	sub {
		change_settings($node, 'ckpx.flush' => 'demand');
		sql(q{UPDATE slow SET id = id; SELECT ckpx_flush_table('small')});
		sql(q{SELECT ckpx_fault_remove('flush-writeback'), ckpx_fault_add('flush-writeback', 'sleep', NULL, '0')});
		sql($change);
		sql(q{UPDATE slow SET id = id WHERE id < 50000});
		return 0 if sql(q{SELECT flushed FROM ckpx_flush_table('slow')}) ne 't';
		sql(q{UPDATE slow SET id = id WHERE id = 1; SELECT ckpx_wait_collected(pg_current_wal_insert_lsn())});
		$swept += sql($asked);
		change_settings($node, 'ckpx.flush' => 'on');
		return eval { wait_until(sub { sql($asked) > 0 }, 'files are swept', 5) };
	},
	'with ckpx.flush = on files are swept in the same cycle');
is($swept, 0, 'with ckpx.flush = demand no file is swept');
sql(q{SELECT ckpx_fault_remove('flush-writeback')});
change_settings($node, 'ckpx.flush_rate_limit' => 0);
change_settings($node, 'checkpoint_completion_target' => 0.9);
change_settings($node, 'checkpoint_timeout' => '1h');

# ---- a standby

$node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
$standby->append_conf('postgresql.conf', "ckpx.max_flush_interval = '1h'\nckpx.flush = on");
$standby->start;
wait_for_sql($standby, 'SELECT collected_lsn IS NOT NULL FROM ckpx_runner');
sql(q{UPDATE small SET id = 3; UPDATE slow SET id = id});
$lsn = wal_position($node);
$node->wait_for_catchup($standby, 'replay', $lsn);
my $restartpoints = $standby->safe_psql('postgres', 'SELECT redo_lsn FROM pg_control_checkpoint()');
is( $standby->safe_psql(
		'postgres', q{SELECT flushed, blocks_written > 100 FROM ckpx_flush_table('slow')}),
	't|t',
	'a table can be flushed on a standby');
is( $standby->safe_psql('postgres', "SELECT ckpx_checkpoint() >= '$lsn'"),
	't', 'and a checkpoint made there');
is($standby->safe_psql('postgres', 'SELECT redo_lsn FROM pg_control_checkpoint()'),
	$restartpoints, 'without a restartpoint');
is( $standby->safe_psql('postgres', "SELECT count(*) FROM pg_buffercache
		WHERE isdirty AND relfilenode = pg_relation_filenode('slow')"),
	0, 'its blocks are clean there');
$standby->stop('immediate');
$standby->start;
is($standby->safe_psql('postgres', 'SELECT id FROM small'), 3, 'nothing is lost in a crash of the standby');
$standby->stop;

$node->stop;
done_testing();
