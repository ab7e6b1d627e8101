# A wall clock that is set forward and back, while the server runs and over
# restarts: nothing waits for the clock to catch up, nothing goes early.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use CkpxHistory;
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

chomp(my $library = `pg_config --pkglibdir`);
$library .= '/wallclock.so';
plan skip_all => 'the library wallclock is not installed' if !-e $library;

# PostgreSQL's own checkpointer computes how long to wait from the wall clock.
plan skip_all => 'a server with assertions stops when its clock is set back'
  if `pg_config --configure` =~ /--enable-cassert/;

my $year = 365 * 24 * 3600;
my $clock = PostgreSQL::Test::Utils::tempdir() . '/clock';
append_to_file($clock, pack('q', 0));

my $node = history_node(
	'main', conf => <<'EOC');
ckpx.min_incremental_interval = '1h'
ckpx.max_incremental_interval = '0'
ckpx.max_flush_interval = '1s'
ckpx.global_min_count = 10000
ckpx.gc_keep_time = '1d'
EOC

# The server's wall clock is ahead of the machine's by so much.
sub set_clock
{
	my $seconds = shift;

	open(my $file, '+<:raw', $clock) or die "could not open \"$clock\": $!";
	syswrite($file, pack('q', $seconds)) == 8 or die "could not write: $!";
	close($file);
	return;
}

sub start
{
	local %ENV = (
		%ENV,
		LD_PRELOAD => join(' ', grep { $_ } $ENV{LD_PRELOAD}, $library),
		WALLCLOCK_FILE => $clock);

	$node->start;
	return;
}

sub restart
{
	$node->stop('fast');
	set_clock($_[0]) if defined $_[0];
	start();
	await_tracking($node);
	return;
}

sub checkpoint
{
	sql('UPDATE load_row SET n = n + 1');
	return sql('SELECT ckpx_checkpoint()');
}

sub global
{
	checkpoint();
	return sql('SELECT ckpx_global_checkpoint()');
}

# How many finished checkpoints of a kind end in these places.
sub there
{
	my ($kind, @ends) = @_;

	return sql("SELECT count(*) FROM ckpx_checkpoints WHERE kind = '$kind' AND state = 'finished' AND end_lsn IN ("
		  . join(', ', map { "'$_'" } @ends) . ')');
}

sub pins { return sql('SELECT string_agg(name, \' \' ORDER BY name) FROM ckpx_pins'); }

start();
create_load($node);
await_tracking($node);
my $start = wal_position($node);

# The library does what it is for.
set_clock($year);
is(sql("SELECT now() > to_timestamp(@{[ time() ]}) + interval '360 days'"),
	't', 'the clock is ahead');

# ---- checkpoints: the newest one is dated in the future

my $ahead = checkpoint();
restart(0);
is( sql("SELECT created_at > now() + interval '360 days' FROM ckpx_checkpoints WHERE end_lsn = '$ahead'"),
	't', 'the newest checkpoint is dated in the future');
change_settings($node, 'ckpx.max_incremental_interval' => '2h');
sql('UPDATE load_row SET n = n + 1');
wait_for_sql($node,
	"SELECT count(*) > 0 FROM ckpx_checkpoints WHERE kind = 'incremental' AND state = 'finished' AND start_lsn = '$ahead'");
is( sql("SELECT created_at < now() + interval '1 day' FROM ckpx_checkpoints WHERE start_lsn = '$ahead'"),
	't', 'the next one does not wait for its date');

# Of one that is dated right the age is known, also over a restart.
my $right = checkpoint();
restart();
sql('UPDATE load_row SET n = n + 1');
sql('SELECT ckpx_wait_collected(pg_current_wal_flush_lsn())');
is(sql("SELECT count(*) FROM ckpx_checkpoints WHERE start_lsn >= '$right'"),
	0, 'one that is not old yet is waited for');

# Set back while the server runs: intervals go on.
change_settings($node, 'ckpx.max_incremental_interval' => '100ms');
wait_for_sql($node,
	"SELECT count(*) > 0 FROM ckpx_checkpoints WHERE kind = 'incremental' AND start_lsn >= '$right'");
set_clock(-$year);
$right = wal_position($node);
sql('UPDATE load_row SET n = n + 1');
wait_for_sql($node,
	"SELECT count(*) > 0 FROM ckpx_checkpoints WHERE kind = 'incremental' AND state = 'finished' AND end_lsn > '$right'");
change_settings($node, 'ckpx.max_incremental_interval' => '0');
is(sql('SELECT count(*) FROM ckpx_checkpoints WHERE pending_ms < 0 OR write_ms < 0'),
	0, 'no duration is negative');

# What is told of the next tick does not depend on it either.
change_settings($node, 'ckpx.collect_interval' => '30min');
sql('SELECT ckpx_wait_collected(pg_current_wal_flush_lsn())');
set_clock(-2 * $year);
is(sql("SELECT next_tick_in BETWEEN '0' AND '30min' FROM ckpx_runner"),
	't', 'the next tick is not a year away');
change_settings($node, 'ckpx.collect_interval' => '50ms');
restart(0);

# ---- pins

my $low = sql('SELECT ckpx_low_water_mark()');

# Set forward: what is pinned for a day stays, over a restart and back, too.
sql("SELECT ckpx_pin('day', '$low', '1 day')");
my @old = (checkpoint(), checkpoint());
my $first_global = global();
set_clock($year);
is(pins(), 'day', 'clock set forward: a pin does not expire early');
sql('SELECT ckpx_gc()');
is(there('incremental', @old), 2, 'clock set forward: a pin still holds its entries');
set_clock(0);
restart();
is(pins(), 'day', 'clock put right, restart: the pin is there');
sql('SELECT ckpx_gc()');
is(there('incremental', @old), 2, 'clock put right, restart: the pin still holds its entries');
sql("SELECT ckpx_unpin('day')");

# Set back: what is pinned for a second does not stay for a year.
sql("SELECT ckpx_pin('second', '$low', '1 second')");
set_clock(-$year);
wait_for_sql($node, "SELECT count(*) = 0 FROM ckpx_pins");

# Made while the clock was ahead, and a restart with the right one: it lasts as
# long as it was to last, no shorter and no longer.
set_clock($year);
sql("SELECT ckpx_pin('day', '$low', '1 day'), ckpx_pin('second', '$low', '2 seconds')");
restart(0);
wait_for_sql($node, "SELECT string_agg(name, ' ') FROM ckpx_pins", 'day');
sql('SELECT ckpx_gc()');
is(there('incremental', @old), 2, 'clock was ahead: a pin of that time holds');
sql("SELECT ckpx_unpin('day')");

# ---- pins and globals: which of them were there is no matter of the clock

set_clock($year);
my $before = global();
set_clock(0);
sql("SELECT ckpx_pin('p', '$low')");
my $after = global();
my $newest = global();
sql('SELECT ckpx_gc()');
is(there('global', $before), 1,
	'clock set back: a pin holds the global that was there');
is(there('global', $after), 0, 'and no global that was made later');
sql("SELECT ckpx_unpin('p')");

set_clock($year);
sql("SELECT ckpx_pin('p', '$low')");
set_clock(0);
$after = global();
global();
sql('SELECT ckpx_gc()');
is(there('global', $newest), 1,
	'a pin from a clock that was ahead holds the global that was there');
is(there('global', $after), 0, 'and no global that was made later');
restart();
sql('SELECT ckpx_gc()');
is(there('global', $newest), 1, 'the same after a restart');
sql("SELECT ckpx_unpin('p')");

# ---- garbage collection by age

# What was made while the clock was ahead gets old like everything else.
set_clock($year);
my @covered = (checkpoint(), checkpoint());
global();
restart(0);
is(there('incremental', @covered), 2, 'what is not old yet stays');
change_settings($node, 'ckpx.gc_keep_time' => '1s');
wait_until(
	sub { global(); return there('incremental', @covered) == 0; },
	'what is dated in the future gets old', 60);
change_settings($node, 'ckpx.gc_keep_time' => '1d');

# Set forward, what is covered stays for its day.
@covered = (checkpoint(), checkpoint());
global();
set_clock($year);
global();

cmp_ok(sql('SELECT ckpx_gc(dry_run => true)'), '>=', 2, 'they could go');
await_gc_round($node);
is(there('incremental', @covered), 2, 'clock set forward: what is covered does not go early');
set_clock(0);

# ---- a closed epoch, of which nothing else answers

$node->stop('fast');
system_or_bail('rm', '-rf', $node->data_dir . '/pg_replslot/ckpx');
start();
await_tracking($node);
is(sql('SELECT epoch FROM ckpx_runner'), 2, 'an epoch is closed');
sql('SELECT ckpx_gc()');
my $closed = sql('SELECT count(*) FROM ckpx_checkpoints WHERE epoch = 1');
cmp_ok($closed, '>', 0, 'the closed epoch has checkpoints');
$start = wal_position($node);

set_clock($year);
sql('SELECT ckpx_gc()');
is(sql('SELECT count(*) FROM ckpx_checkpoints WHERE epoch = 1'),
	$closed, 'clock set forward: it does not go early');
is(sql('SELECT count(*) FROM ckpx_gaps'), 2, 'clock set forward: gaps do not go early');

# Dated in the future it counts from the restart.
set_clock(0);
$node->stop('fast');
system_or_bail('rm', '-rf', $node->data_dir . '/pg_replslot/ckpx');
set_clock($year);
start();
await_tracking($node);
restart(0);
is( sql("SELECT detected_at > now() + interval '360 days' FROM ckpx_gaps WHERE epoch = 3"),
	't', 'an epoch ended in the future');
$start = wal_position($node);
change_settings($node, 'ckpx.gc_keep_time' => '1s');
wait_until(
	sub {
		sql('SELECT ckpx_gc()');
		return sql('SELECT count(*) FROM ckpx_checkpoints WHERE epoch < 3') == 0;
	},
	'what is left of it goes', 60);
change_settings($node, 'ckpx.gc_keep_time' => '1d');

# ---- post commands

my $out = PostgreSQL::Test::Utils::tempdir();
change_settings($node, 'ckpx.post_checkpoint_command' => "test -e $out/allow && echo %e >> $out/said");
set_clock($year);
my @ends = (checkpoint());
wait_for_sql($node, 'SELECT commands_failed > 0 FROM ckpx_stat');
set_clock(0);
push @ends, checkpoint();
append_to_file("$out/allow", '');
wait_for_sql($node, 'SELECT commands_done >= 2 FROM ckpx_stat');
is(slurp_file("$out/said"), join('', map { "$_\n" } @ends),
	'commands run in the order of the history');

# ---- and the map is whole

set_clock($year);
global();
set_clock(-$year);
global();
covers_all_oracles($node, $start, wal_position($node), 'in the end');
restart(0);
store_is_sound($node, 'in the end');

$node->stop;
done_testing();
