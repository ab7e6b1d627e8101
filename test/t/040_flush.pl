# Flushing: what a durable pass leaves on disk, in what order it works, and
# what it does when the ground moves under it.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# No checkpoint of PostgreSQL may help: what is durable, the flusher made so.
my $node = new_node('main', quick_restart => 1, conf => <<'EOC');
shared_buffers = '32MB'
checkpoint_timeout = '1h'
max_wal_size = '4GB'
bgwriter_lru_maxpages = 0
ckpx.commit_wait = '1s'
ckpx.min_count = 1000000
ckpx.max_incremental_interval = 0
EOC
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION ckpx; CREATE EXTENSION pg_buffercache');

# The newest checkpoint of PostgreSQL; the counts of views come later.
sub last_checkpoint { return sql('SELECT checkpoint_lsn FROM pg_control_checkpoint()'); }

my $last_checkpoint = last_checkpoint();

# ---- one relation, all its files

sql(q{CREATE TABLE t (id int PRIMARY KEY, v text, big text);
	ALTER TABLE t ALTER big SET STORAGE EXTERNAL;
	INSERT INTO t SELECT g, 'x', repeat('y', 5000) FROM generate_series(1, 1000) g});
my $toast = sql(q{SELECT reltoastrelid::regclass FROM pg_class WHERE relname = 't'});
ok(dirty('t') > 0, 'the table is dirty');
ok(dirty($toast) > 0, 'its TOAST table is dirty');
like(sql(q{SELECT flushed, blocks_written > 500, blocks_remaining FROM ckpx_flush_table('t')}),
	qr/^t\|t\|0$/, 'flushing a table');
is(dirty('t'), 0, 'no dirty buffer is left');
is(dirty('t_pkey'), 0, 'its index is clean');
is(dirty($toast), 0, 'its TOAST table is clean');
is(sql(q{SELECT flushed, blocks_written FROM ckpx_flush_table('t')}), 't|0',
	'flushing it again writes nothing');

sql(q{CREATE SEQUENCE s; SELECT nextval('s'); CREATE MATERIALIZED VIEW m AS SELECT * FROM t;
	CREATE INDEX m_v ON m (v)});
foreach my $rel ('s', 'm', 'm_v', 'pg_class', 'pg_database')
{
	is(sql("SELECT flushed FROM ckpx_flush_table('$rel')"), 't', "flushing $rel");
	is(dirty($rel), 0, "$rel is clean");
}

sql(q{CREATE TABLE p (id int) PARTITION BY RANGE (id);
	CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (1000);
	CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (1000) TO (2000);
	CREATE INDEX p_id ON p (id);
	INSERT INTO p SELECT generate_series(0, 1999)});
is(sql(q{SELECT flushed FROM ckpx_flush_table('p')}), 't', 'flushing a partitioned table');
is(dirty('p1') + dirty('p2') + dirty('p2_id_idx'), 0, 'its partitions and their indexes are clean');

sql(q{CREATE UNLOGGED TABLE u (id int); CREATE VIEW v AS SELECT 1;
	CREATE FOREIGN DATA WRAPPER w; CREATE SERVER sv FOREIGN DATA WRAPPER w;
	CREATE FOREIGN TABLE f (id int) SERVER sv});
foreach my $case (
	[ 'u', qr/Unlogged relations do not outlive a crash/ ],
	[ 'v', qr/It has no files/ ],
	[ 'f', qr/A foreign table has no files here/ ])
{
	my ($ret, $out, $err) = $node->psql('postgres', "SELECT ckpx_flush_table('$case->[0]')");
	like($err, $case->[1], "a clear answer for $case->[0]");
}
my ($ret, $out, $err) = $node->psql('postgres',
	q{CREATE TEMP TABLE tt (id int); SELECT ckpx_flush_table('tt')});
like($err, qr/Temporary relations/, 'a clear answer for a temporary table');
($ret, $out, $err) = $node->psql('postgres',
	q{SELECT ckpx_flush_table('t', pg_current_wal_insert_lsn() + 1000000)});
like($err, qr/lies in the future/, 'no flush up to the future');

# ---- a lock is waited for, but not longer than the timeout says

my $locker = session($node);
foreach my $case (
	[ 't', 'LOCK TABLE t' ],
	[ 't', 'REINDEX INDEX t_pkey' ],
	[ 'p', 'LOCK TABLE p2' ],
	[ 'p_id', 'REINDEX INDEX p2_id_idx' ])
{
	my ($rel, $statement) = @$case;

	# So that there is something dirty of each.
	sql(q{UPDATE t SET v = 'y'; UPDATE p SET id = id});
	ask($locker, 'BEGIN');
	ask($locker, $statement);
	($ret, $out, $err) = $node->psql('postgres', "SET statement_timeout = '20s';
		SELECT flushed, blocks_remaining > 0 FROM ckpx_flush_table('$rel', NULL, '200ms')");
	is($out, 'f|t', "$statement: when the time is up, $rel is not flushed and what remains is told");
	like($err, qr/could not flush in time: relation "\w+" is locked/, 'and why');
	ask($locker, 'ROLLBACK');
	is(sql("SELECT flushed, blocks_remaining FROM ckpx_flush_table('$rel')"), 't|0',
		'without the lock it is flushed');
}
end_session($locker);

# ---- ranges

my $start = wal_position($node);
sql(q{UPDATE t SET v = 'z'});
my $end = wal_position($node);
is(sql("SELECT ckpx_is_flushed('$start', '$end')"), 'f', 'a new range is not flushed');
is(sql(q{SELECT flushed, blocks_remaining FROM ckpx_flush()}), 't|0', 'flushing everything');
is(sql("SELECT ckpx_is_flushed('$start', '$end')"), 't', 'now it is flushed');
is(sql("SELECT durable_lsn >= '$end' FROM ckpx_runner"), 't', 'durable_lsn has passed it');
is(dirty('t'), 0, 'no changed block is dirty');

sql(q{UPDATE t SET v = 'a'});
sql('SELECT ckpx_checkpoint()');
is(dirty('t'), 0, 'a checkpoint of ckpx flushed its range');
is(last_checkpoint(), $last_checkpoint, 'without a checkpoint of PostgreSQL');

# ---- a sequence changes its page without WAL, in ranges that do not name it

sub sequence_is_on_disk
{
	return sql(q{SELECT get_raw_page('q', 0) = pg_read_binary_file(pg_relation_filepath('q'))});
}

# Values without a record, and a record that changes no block behind them.
sub next_values
{
	$start = wal_position($node);
	my @values = map { sql(q{SELECT nextval('q')}) } 1 .. 3;
	$end = wal_position($node);
	return $values[-1];
}

sql(q{CREATE EXTENSION pageinspect; CREATE SEQUENCE q; SELECT nextval('q')});
sql('SELECT ckpx_checkpoint()');
is(sequence_is_on_disk(), 't', 'a sequence is on disk');

# The second time the range has no other change: catalogs are pruned when they
# are first read.
foreach my $round (1 .. 2)
{
	is(next_values(), 3 * $round + 1, 'a sequence goes on without WAL');
	is(sequence_is_on_disk(), 'f', 'in its buffer only');
	sql("SELECT ckpx_wait_collected('$end')");
	is(sql("SELECT ckpx_is_flushed('$start', '$end')"), 'f', 'which is not flushed');
	sql('SELECT ckpx_checkpoint()');
	is(sql("SELECT blocks @> 0::bigint FROM ckpx_changed_blocks('$start', '$end', 'q')"), 't',
		'a finished entry names it');
	is(sequence_is_on_disk(), 't', 'and it is on disk');
	is(sql("SELECT ckpx_is_flushed('$start', '$end')"), 't', 'which is flushed');
}
next_values();
is(sql('SELECT flushed FROM ckpx_flush()'), 't', 'flushing such a range');
is(sequence_is_on_disk(), 't', 'leaves it on disk');
is(last_checkpoint(), $last_checkpoint, 'without a checkpoint of PostgreSQL');

# ---- sync comes before the claim

sql(q{UPDATE t SET v = 'b'});
$end = wal_position($node);
sql(q{SELECT ckpx_fault_add('flush-written', 'wait')});
my $flush = background("SELECT flushed FROM ckpx_flush('$end')");
await_held($node, 'flush-written');
is(dirty('t'), 0, 'everything is written');
is(sql("SELECT durable_lsn < '$end' FROM ckpx_runner"), 't', 'durable_lsn does not claim it yet');
is(sql("SELECT ckpx_is_flushed('$start', '$end')"), 'f', 'the range is not claimed to be flushed');
is(sql(q{SELECT job, phase FROM ckpx_progress}), 'flush (checkpoint)|writing blocks',
	'progress is shown');
sql(q{SELECT ckpx_fault_remove('flush-written')});
is($flush->(), "t\n", 'after the sync it is flushed');

SKIP:
{
	my $trace = "$PostgreSQL::Test::Utils::tmp_check/strace";
	my $strace = start_strace($node, 'fsync,pwrite64,futex', $trace);
	skip 'strace cannot attach', 2 if !$strace;
	sql(q{ALTER SYSTEM SET fsync = on});
	$node->reload;
	wait_for_sql($node, 'SHOW fsync', 'on');
	my $path = sql(q{SELECT pg_relation_filepath('t')});
	$node->safe_psql('postgres', q{UPDATE t SET v = 'c'});
	sql(q{SELECT ckpx_flush_table('t')});
	$strace->signal('INT');
	$strace->finish;
	sql(q{ALTER SYSTEM RESET fsync});
	$node->reload;
	my @calls = grep { m{/\Q$path\E>} } split /\n/, slurp_file($trace);
	my ($last_write) = grep { $calls[$_] =~ /pwrite64/ } reverse 0 .. $#calls;
	my ($last_fsync) = grep { $calls[$_] =~ /fsync/ } reverse 0 .. $#calls;
	ok(defined $last_write, 'strace saw writes of the table');
	ok(defined $last_fsync && $last_fsync > $last_write, 'and an fsync after the last one');
}

# ---- errors: tried again, no claim, nothing lost

sql(q{UPDATE t SET v = 'd'});
$end = wal_position($node);
sql(q{SELECT ckpx_fault_add('flush-fsync', 'error', NULL, 'eio')});
my $claimed = '';

# A busy flusher may not come to it within the second of a call.
comes_true(
	sub {
		($ret, $out, $err) = $node->psql('postgres',
			q{SELECT flushed FROM ckpx_flush_table('t', NULL, '1s')});
		$claimed .= $out;
		return $err =~ /could not flush in time: ./;
	},
	'with fsync failing a call tells the reason');
unlike($claimed, qr/t/, 'and no flush is claimed');
is(sql(q{SELECT last_error IS NOT NULL FROM ckpx_dirty_tables WHERE relation = 't'::regclass}),
	't', 'and shown');
sql(q{SELECT ckpx_fault_remove('flush-fsync')});
is(sql(q{SELECT flushed FROM ckpx_flush_table('t')}), 't', 'it works again afterwards');

sql(q{UPDATE t SET v = 'e'});
sql(q{SELECT ckpx_fault_add('flush-write', 'error', '1:2', 'enospc')});
is(sql(q{SELECT flushed, blocks_remaining FROM ckpx_flush_table('t', NULL, '60s')}), 't|0',
	'a flush is tried again after an error');
sql(q{SELECT ckpx_fault_remove('flush-write')});
is(dirty('t'), 0, 'and then complete');

# A range that fails falls back on PostgreSQL's checkpoint.
sql(q{UPDATE t SET v = 'f'});
sql(q{SELECT ckpx_fault_add('flush-fsync', 'error', NULL, 'eio')});
sql('SELECT ckpx_checkpoint()');
isnt(last_checkpoint(), $last_checkpoint, 'where the flusher cannot, PostgreSQL does');
sql(q{SELECT ckpx_fault_remove('flush-fsync')});

# With this one nothing is left that another was asked for.
sql('CHECKPOINT');
$last_checkpoint = last_checkpoint();

# ---- an error between pin and unpin leaves no pin

sql(q{CREATE TABLE pinned AS SELECT generate_series(1, 10000) AS id});
sql(q{SELECT ckpx_fault_add('flush-pin', 'error', '1:1')});
sql(q{SELECT flushed FROM ckpx_flush_table('pinned', NULL, '100ms')});
wait_for_sql($node, q{SELECT fired > 0 FROM ckpx_fault_list() WHERE name = 'flush-pin'});
is(error_of(q{SET statement_timeout = '20s'; DROP TABLE pinned}), '', 'the table can be dropped');
sql(q{SELECT ckpx_fault_remove('flush-pin')});
wait_for_sql($node, q{SELECT pid IS NOT NULL FROM ckpx_workers WHERE name = 'flusher'});

# ---- killing the flusher in the middle of a pass loses nothing

sql(q{SELECT ckpx_flush()});
sql(q{UPDATE t SET v = 'g'});
$end = wal_position($node);
sql(q{SELECT ckpx_fault_add('flush-written', 'wait')});
$flush = background("SELECT flushed FROM ckpx_flush('$end')");
await_held($node, 'flush-written');
my $flusher = sql(q{SELECT pid FROM ckpx_workers WHERE name = 'flusher'});
sql("SELECT pg_terminate_backend($flusher)");
sql_becomes($node, "SELECT count(*) = 0 FROM ckpx_workers WHERE pid = $flusher",
	't', 'it ends although it is held');
is(sql("SELECT durable_lsn < '$end' FROM ckpx_runner"), 't', 'durable_lsn does not claim it');
sql(q{SELECT ckpx_fault_remove('flush-written')});
is($flush->(), "t\n", 'the next flusher does it');

sql(q{UPDATE t SET v = 'h'});
sql(q{SELECT ckpx_fault_add('flush-write', 'exit', '50:50')});
is(sql(q{SELECT flushed FROM ckpx_flush_table('t', NULL, '60s')}), 't',
	'a table is flushed although the flusher died in between');
is(dirty('t'), 0, 'no buffer of it is dirty');
sql(q{SELECT ckpx_fault_remove('flush-write')});

# ---- a hot row and an open transaction hold nothing up

my $pgbench_file = "$PostgreSQL::Test::Utils::tmp_check/hot.sql";
append_to_file($pgbench_file, "UPDATE t SET v = 'hot' WHERE id = 1;\n");
my ($bin, $bout) = ('', '');
my $pgbench = IPC::Run::start(
	[ 'pgbench', '-n', '-T', '300', '-f', $pgbench_file, $node->connstr('postgres') ],
	'<', \$bin, '>&', \$bout);
my $open = $node->background_psql('postgres');
$open->query_safe(q{BEGIN; INSERT INTO p VALUES (5)});
# Each returns while both are there, and with less than the default patience.
foreach my $i (1 .. 3)
{
	like(sql(q{SELECT ckpx_checkpoint(NULL, '60s')}), qr{^[0-9A-F]+/[0-9A-F]+$},
		"checkpoint $i with a hot row and an open transaction");
	is(sql(q{SELECT flushed FROM ckpx_flush_table('t', NULL, '60s')}), 't', 'the table can be flushed');
}
ok($pgbench->pumpable, 'the row is still hot');
$open->query_safe('ROLLBACK');
$open->quit;
$pgbench->kill_kill;
is(last_checkpoint(), $last_checkpoint, 'still without a checkpoint of PostgreSQL');

# ---- the ground moves: files change between the writes and the syncs

my $tablespace = PostgreSQL::Test::Utils::tempdir;
sql("CREATE TABLESPACE ts LOCATION '$tablespace'");
foreach my $case (
	[ 'DROP TABLE', 'DROP TABLE x' ],
	[ 'TRUNCATE', 'TRUNCATE x' ],
	[ 'truncation by VACUUM', 'DELETE FROM x WHERE id > 10; VACUUM x' ],
	[ 'rewrite', 'VACUUM FULL x' ],
	[ 'move to another tablespace', 'ALTER TABLE x SET TABLESPACE ts' ])
{
	my ($name, $statement) = @$case;
	foreach my $fault ('flush-scan', 'flush-written')
	{
		sql(q{DROP TABLE IF EXISTS x; SELECT ckpx_flush();
			CREATE TABLE x AS SELECT generate_series(1, 20000) AS id});
		$end = wal_position($node);
		sql("SELECT ckpx_fault_add('$fault', 'wait')");
		my $range = background("SELECT flushed FROM ckpx_flush('$end')");
		await_held($node, $fault);
		foreach my $part (split /; /, $statement)
		{
			sql($part);
		}
		# The checkpoint removes the first segments of dropped files.
		sql('CHECKPOINT');
		sql("SELECT ckpx_fault_remove('$fault')");
		is($range->(), "t\n", "$name during a pass ($fault)");
	}
}

# A single table that gets other files is followed.
sql(q{DROP TABLE IF EXISTS x; CREATE TABLE x AS SELECT generate_series(1, 20000) AS id;
	SELECT ckpx_fault_add('flush-written', 'wait')});
my $table = background(q{SELECT flushed FROM ckpx_flush_table('x')});
await_held($node, 'flush-written');
sql('VACUUM FULL x');
sql('UPDATE x SET id = id');
sql('CHECKPOINT');
sql('UPDATE x SET id = id');
sql(q{SELECT ckpx_fault_remove('flush-written')});
is($table->(), "t\n", 'a rewritten table is flushed');
is(dirty('x'), 0, 'in its new file');

# ---- databases and tablespaces

sql('CREATE DATABASE d');
$node->safe_psql('d', 'CREATE TABLE x AS SELECT generate_series(1, 20000) AS id');
$end = wal_position($node);
sql(q{SELECT ckpx_fault_add('flush-written', 'wait')});
my $range = background("SELECT flushed FROM ckpx_flush('$end')");
await_held($node, 'flush-written');
is(error_of(q{SET statement_timeout = '20s'; DROP DATABASE d}), '', 'a database is dropped while a pass waits');
sql(q{SELECT ckpx_fault_remove('flush-written')});
is($range->(), "t\n", 'and the pass goes on without it');

sql('DROP TABLE x; SELECT ckpx_flush()');
sql(q{CREATE TABLE x TABLESPACE ts AS SELECT generate_series(1, 20000) AS id});
$end = wal_position($node);
sql(q{SELECT ckpx_fault_add('flush-write', 'wait')});
$range = background("SELECT flushed FROM ckpx_flush('$end')");
await_held($node, 'flush-write');
sql('DROP TABLE x');
is(error_of(q{SET statement_timeout = '20s'; DROP TABLESPACE ts}), '', 'a tablespace is dropped while a pass waits');
sql(q{SELECT ckpx_fault_remove('flush-write')});
is($range->(), "t\n", 'and the pass goes on without it, too');

# ---- files under construction

sql('CREATE TABLE base AS SELECT generate_series(1, 50000) AS id; SELECT ckpx_flush()');
$start = wal_position($node);
my $build = $node->background_psql('postgres');
$build->query_safe('BEGIN; CREATE INDEX base_id ON base (id)');
$end = wal_position($node);
is(sql("SELECT flushed FROM ckpx_flush('$end')"), 'f', 'an open transaction builds an index: not flushed');
is(sql("SELECT ckpx_is_flushed('$start', '$end')"), 'f', 'and the range is not flushed');
$build->query_safe('COMMIT');
$build->quit;
is(sql('SELECT flushed FROM ckpx_flush()'), 't', 'after its end everything is flushed');
is(sql("SELECT ckpx_is_flushed('$start', '$end')"), 't', 'after its end the range is flushed');

# ---- ckpx.flush = off

$node->append_conf('postgresql.conf', 'ckpx.flush = off');
$node->reload;
wait_for_sql($node, 'SHOW ckpx.flush', 'off');
$last_checkpoint = last_checkpoint();
sql(q{UPDATE t SET v = 'i'});
sql('SELECT ckpx_checkpoint()');
isnt(last_checkpoint(), $last_checkpoint, 'with ckpx.flush off a checkpoint of PostgreSQL is asked for');
sql(q{UPDATE t SET v = 'j'});
is(sql(q{SELECT flushed FROM ckpx_flush_table('t')}), 't', 'with ckpx.flush off ckpx_flush_table() still flushes');

# Only the first checkpoint finds a sequence that may change without WAL.
sql(q{SELECT setval('q', 100); SELECT nextval('q')});
next_values();
$last_checkpoint = last_checkpoint();
sql('SELECT ckpx_checkpoint()');
is(sequence_is_on_disk(), 't', 'a sequence that changed without WAL is on disk');
isnt(last_checkpoint(), $last_checkpoint, 'PostgreSQL made a checkpoint for it');
$last_checkpoint = last_checkpoint();
wal_position($node);
sql('SELECT ckpx_checkpoint()') for 1 .. 3;
is(last_checkpoint(), $last_checkpoint, 'no further checkpoint is needed');

# ---- a crash right after the claim

sql(q{UPDATE t SET v = 'k'});
sql(q{SELECT ckpx_flush()});
my $expected = sql(q{SELECT count(*) FROM t WHERE v = 'k'});
crash_and_restart($node);
is(sql(q{SELECT count(*) FROM t WHERE v = 'k'}), $expected, 'nothing is lost in a crash');

$node->stop;
done_testing();
