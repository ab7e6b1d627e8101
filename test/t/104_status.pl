# ckpx_status: each row in each of its statuses, as a state of the server makes
# it; read by the roles that may, on a standby, while ckpx starts, and after it
# was uninstalled.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use CkpxHistory;
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

chomp(my $libraries = `pg_config --pkglibdir`);
foreach my $library (qw(wallclock ckpx_observer))
{
	plan skip_all => "the library $library is not installed" if !-e "$libraries/$library.so";
}

my $clock = PostgreSQL::Test::Utils::tempdir() . '/clock';
append_to_file($clock, pack('q', 0));

# The server's wall clock is so many hours ahead of the machine's.
sub set_clock
{
	my $hours = shift;

	open(my $file, '+<:raw', $clock) or die "could not open \"$clock\": $!";
	syswrite($file, pack('q', $hours * 3600)) == 8 or die "could not write: $!";
	close($file);
	return;
}

my $node = new_node('main', preload => 'ckpx_observer, ckpx', on_demand => 1, quick_restart => 1, conf => <<'EOC');
ckpx.max_retained_wal = '64MB'
ckpx.commit_wait = '1h'
EOC
{
	local %ENV = (
		%ENV,
		LD_PRELOAD => join(' ', grep { $_ } $ENV{LD_PRELOAD}, "$libraries/wallclock.so"),
		WALLCLOCK_FILE => $clock);
	$node->start;
}
sql(<<'EOS');
CREATE EXTENSION ckpx;
CREATE EXTENSION ckpx_observer;
CREATE TABLE t (i int);
CREATE ROLE watcher IN ROLE pg_monitor;
CREATE ROLE operator IN ROLE pg_checkpoint;
EOS
await_tracking($node);
sql('SELECT ckpx_checkpoint()');

# What a row says: its status, detail and hint.
my $view = 'SET ROLE watcher; SELECT status, detail, hint FROM ckpx_status WHERE item =';

sub becomes
{
	my ($item, $expected, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	return sql_becomes($node, "$view '$item'", $expected, "$item: $name");
}

# Everything but these is as it should be.
sub only
{
	my ($expected, $name, $server) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	return sql_becomes($server // $node, q{
			SELECT coalesce(string_agg(item || '=' || status, ' ' ORDER BY item), '')
			FROM ckpx_status WHERE status <> 'ok' OR hint IS NOT NULL OR detail IS NULL},
		$expected, $name);
}

sub write_wal
{
	my $mb = shift;

	sql("SELECT pg_logical_emit_message(false, 'filler', repeat('x', 1048576)) FROM generate_series(1, $mb)");
	return;
}

sub checkpoint
{
	return sql('INSERT INTO t VALUES (1); SELECT ckpx_checkpoint()');
}

# ---- settings: a new server has one warning

only('settings=warning', 'a new server');
my %settings = (
	'-1' => qr/^warning\|max_slot_wal_keep_size is -1: .*\|Set max_slot_wal_keep_size somewhat above/,
	'32MB' => qr/^warning\|max_slot_wal_keep_size is smaller .* at 16 MB instead of 64 MB\|Raise/);
foreach my $value (sort keys %settings)
{
	change_settings($node, max_slot_wal_keep_size => $value);
	becomes('settings', $settings{$value}, "max_slot_wal_keep_size = $value");
}
change_settings($node, max_slot_wal_keep_size => '128MB');
becomes('settings', qr/^ok\|they go together\|$/, 'as the hint says');
change_settings($node, max_parallel_workers_per_gather => 4);
becomes('settings', qr/^warning\|max_worker_processes is 8: .* leave 3 for parallel queries.*\|Raise max_worker_processes by 4/,
	'no room for parallel queries');
change_settings($node, max_parallel_workers_per_gather => 2);
only('', 'all is well');

# ---- tracking

sql('SELECT ckpx_disable()');
becomes('tracking', qr/^warning\|ckpx makes no checkpoints\|Set ckpx.enabled, or call/, 'disabled');
sql('SELECT ckpx_enable()');
becomes('tracking', qr/^ok\|epoch 1, timeline 1, checkpoints reach \S+\|$/, 'enabled');

# ---- collecting and wal: a runner that does not go on

sql(q{SELECT pg_create_physical_replication_slot('other', true)});
write_wal(1);
sql('CHECKPOINT');
checkpoint();
becomes('wal', qr/^ok\|ckpx holds .* of at most 64 MB; the slot other holds more, from /, 'another slot');
sql(q{SELECT pg_drop_replication_slot('other')});
add_fault($node, 'cut-before', 'wait');
sql('INSERT INTO t VALUES (1)');
await_held($node, 'cut-before');
write_wal(8);
becomes('collecting', qr/^warning\|8.* of WAL are not decoded yet\|If this grows/, 'a tenth');
write_wal(28);
becomes('collecting', qr/^error\|/, 'a half');
becomes('wal', qr/^warning\|ckpx holds 3\d MB of at most 64 MB\|At the limit/, 'a half');
write_wal(18);
becomes('wal', qr/^error\|/, 'nearly all');
remove_fault($node, 'cut-before');
checkpoint();
becomes('collecting', qr/^ok\|.*\|$/, 'it has gone on');
becomes('wal', qr/^ok\|.*\|$/, 'it has gone on');

# ---- workers: one that fails, again and again

add_fault($node, 'worker-back-off', 'value', undef, '0');
add_fault($node, 'cut-before', 'error', undef, '53100');
$node->psql('postgres', 'INSERT INTO t VALUES (1)');
becomes('tracking', qr/^error\|.*runner has failed.*\|The server log says more/, 'a problem');
becomes('workers', qr/^(warning|error)\|/, 'a worker that fails');
remove_fault($node, 'cut-before');
becomes('tracking', qr/^ok\|/, 'the problem is over');
becomes('workers', qr/^warning\|failed within an hour: runner \(.*cut-before.*\)\|The workers go on/,
	'it failed a moment ago');
set_clock(2);
becomes('workers', qr/^ok\|all run\|$/, 'it failed long ago');

# ---- checkpoints: one that fails, one that waits for long

# Each second attempt, from now on and from when it is said again, is held.
sub hold_second_attempt { add_fault($node, 'job-start', 'wait', '2:2'); return; }

add_fault($node, 'object-write', 'error', undef, 'enospc');
hold_second_attempt();
my $wait = background('INSERT INTO t VALUES (1); SELECT ckpx_checkpoint()');
becomes('checkpoints', qr/^warning\|incremental from \S+, since .*, failed 1 times \(write: .*\)\|ckpx tries again/,
	'one attempt failed');
await_held($node, 'job-start');
hold_second_attempt();
becomes('checkpoints', qr/^error\|.*, failed 3 times /, 'three attempts failed');
remove_fault($node, 'object-write');
remove_fault($node, 'job-start');
like($wait->(), qr{^\w+/\w+$}m, 'the call comes to its end');
becomes('checkpoints', qr/^ok\|none is unfinished\|$/, 'it was finished');
my $writer = session($node);
ask($writer, 'BEGIN; INSERT INTO t VALUES (1)');
$wait = background('SELECT ckpx_checkpoint()');
becomes('checkpoints', qr/^ok\|incremental from \S+, since .*, waits for .*\|$/, 'one waits');
set_clock(3);
becomes('checkpoints', qr/^warning\|.*, waits for .*\|It goes on when that is over/, 'it waits for long');
ask($writer, 'COMMIT');
end_session($writer);
$wait->();
becomes('checkpoints', qr/^ok\|none is unfinished\|$/, 'the transaction has ended');

# ---- post_command

change_settings($node, 'ckpx.post_checkpoint_command' => 'exit 1');
checkpoint();
becomes('post_command', qr/^warning\|failed for \d checkpoints, .*exit code 1\|Each is tried again/, 'it fails');
becomes('workers', qr/^ok\|all run\|$/, 'that is told once');
set_clock(5);
becomes('post_command', qr/^error\|/, 'it fails for long');
change_settings($node, 'ckpx.post_checkpoint_command' => '');
becomes('post_command', qr/^ok\|none has failed\|$/, 'no command');

# ---- disk and pins

my $low = sql('SELECT ckpx_low_water_mark()');
sql("SELECT ckpx_pin('old one', '$low')");
checkpoint() foreach 1 .. 5;
sql('SELECT ckpx_global_checkpoint()');
becomes('pins', qr{^ok\|1 in all; "old one", from \Q$low\E, made .*, keeps 0 bytes that would go otherwise\|$}, 'a new one');
set_clock(48);
my $kb = sql('SELECT directory_bytes / 1024 + 1 FROM ckpx_runner');
change_settings($node, 'ckpx.max_directory_size' => int($kb * 1.1) . 'kB');
becomes('disk', qr/^warning\|.*\|Raise ckpx.max_directory_size/, 'nearly full');
change_settings($node, 'ckpx.max_directory_size' => '1kB');
becomes('pins', qr/^warning\|.*keeps \d+ \w+ that would go otherwise\|Remove a pin/, 'one that keeps much');
becomes('disk', qr/^error\|.*\|Raise ckpx.max_directory_size/, 'full');
change_settings($node, 'ckpx.max_directory_size' => '0');
becomes('disk', qr/^ok\|.* in files of ckpx, \d+ of at most 10000 checkpoints: \d+ incremental, 1 global, 0 backup\|$/,
	'no limit');
becomes('pins', qr/^ok\|/, 'what it keeps is little');
set_clock(24 * 31);
becomes('pins', qr/^warning\|/, 'one without an end that is old');
sql("SELECT ckpx_unpin('old one')");
becomes('pins', qr/^ok\|none\|$/, 'none');

# ---- resource_managers, gaps, backups

sub record_backup
{
	my ($id, $start) = @_;

	sql("SELECT ckpx_record_backup(repeat('$id', 32), NULL, 1, '$start', '$start', 1000)");
	return;
}

becomes('backups', qr/^ok\|none is recorded\|$/, 'none');
record_backup('a', $low);
becomes('backups', qr/^ok\|newest from \Q$low\E, finished .*, 1000 bytes\|$/, 'one');

# Damage up to so many bytes behind a global, as if it had lost an input.
sub pretend_damage
{
	my $behind = shift;

	sql('CREATE OR REPLACE VIEW ckpx_gaps AS SELECT * FROM ckpx_get_gaps()'
		  . (defined $behind ? " UNION ALL SELECT epoch, timeline, start_lsn, end_lsn + $behind, 'damaged', now()"
				. " FROM ckpx_checkpoints WHERE kind = 'global'" : ''));
	return;
}
pretend_damage(0);
becomes('gaps', qr/^ok\|none is known\|$/, 'damage that a global covers');
becomes('backups', qr/^ok\|/, 'damage that a global covers');
pretend_damage(1);
becomes('gaps', qr/^error\|.*: damaged, found/, 'damage that it does not cover');
becomes('backups', qr/^warning\|/, 'damage that it does not cover');
pretend_damage();
sql("SELECT ckpx_observer_write('undeclared')");
becomes('resource_managers', qr/^warning\|records of resource managers without a decoder: 129\|Blocks that only/,
	'one without a decoder');
sql("SELECT ckpx_observer_write('special undeclared', 1663, 5, 77777, 3)");
becomes('gaps', qr/^error\|changes before \S+ are not known: unknown record .*\|What was copied/, 'a new one');
becomes('backups', qr/^warning\|newest from .*\|The map does not reach back to it/, 'one from before the gap');
await_tracking($node);
is(sql('SELECT max(to_lsn) FROM ckpx_gaps JOIN ckpx_runner USING (epoch)'),
	sql('SELECT ckpx_checkpoint() IS NULL; SELECT ckpx_low_water_mark()') =~ s/^f\n//r,
	'the map reaches back to the gap');
becomes('resource_managers', qr/^ok\|all records are understood\|$/, 'a new epoch');
set_clock(24 * 33);
becomes('gaps', qr/^warning\|.*\|What was copied/, 'two days old');
record_backup('b', wal_position($node));
becomes('gaps', qr/^ok\|changes before .*\|$/, 'a backup was taken since');
becomes('backups', qr/^ok\|newest from .*\|$/, 'one from behind the gap');
set_clock(24 * 40);
only('', 'all is well again');

# ---- who may read it

my $all = 'SELECT count(*), count(DISTINCT item) FROM ckpx_status';
is(sql("SET ROLE $_; $all"), '12|12', "all of it: $_") foreach qw(watcher operator);
like(error_of("CREATE ROLE nobody; SET ROLE nobody; $all"), qr/42501: permission denied for view ckpx_status/,
	'nobody else');

# ---- a standby

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
sql_becomes($standby, 'SELECT status FROM ckpx_status WHERE item = \'tracking\'', 'ok', 'tracking: a standby');
only('', 'a standby', $standby);
$standby->stop;

# ---- a start that is not over

add_fault($node, 'boot-start', 'wait');
end_worker($node, 'runner');
await_held($node, 'boot-start');
is(sql("SET statement_timeout = '20s'; $all"), '12|12', 'ckpx starts: there is an answer');
becomes('tracking', qr/^warning\|ckpx starts\|If this lasts/, 'ckpx starts');
remove_fault($node, 'boot-start');
await_tracking($node);

# ---- the end

sql('SELECT ckpx_uninstall(true)');
becomes('tracking', qr/^error\|ckpx was uninstalled; to use it again, remove the file/, 'uninstalled');
becomes('workers', qr/^error\|not running: checkpointer, flusher, observer, runner\|See the server log/, 'all have ended');
is(sql($all), '12|12', 'uninstalled: there is an answer');

$node->stop;
done_testing();
