# The caps on entries and on the size of the folder: what goes before its time
# and in which order, what does not go, and that the chain never breaks for it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use CkpxHistory;
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = loaded_node(
	'main', on_demand => 1, conf => <<'EOC');
ckpx.gc_keep_time = '1d'
ckpx.max_entries = 100
max_slot_wal_keep_size = '2GB'
EOC

# Many small checkpoints, one after the other; returns the end of the last.
sub checkpoints
{
	my ($count) = @_;
	my $script = join "\n",
	  map { "UPDATE load_row SET n = n + 1 WHERE id = $_;\nSELECT ckpx_checkpoint();" }
	  1 .. $count;
	my $out = sql($script);
	return (split /\n/, $out)[-1];
}

sub entries
{
	my ($where) = @_;
	return sql("SELECT count(*) FROM ckpx_checkpoints WHERE $where");
}

sub is_whole
{
	my ($from, $to, $epoch, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	is( sql("SELECT complete, missing_from IS NULL FROM ckpx_collect_range('$from', '$to')"),
		't|t', "$name: the range is whole");
	is(sql('SELECT epoch, problem FROM ckpx_runner'),
		"$epoch|", "$name: the epoch goes on");
}

# ---- ckpx.max_entries: a global, and what it covers goes

my $start = sql('SELECT ckpx_low_water_mark()');
my $first = wal_position($node);
my $offset = -s $node->logfile;
my $end = checkpoints(130);
cmp_ok(entries('true'), '<', 100, 'entries: fewer than the cap');
cmp_ok(sql('SELECT globals_done FROM ckpx_stat'), '>', 0, 'a global was made');
cmp_ok(sql('SELECT caps_reached FROM ckpx_stat'), '>', 0, 'it is counted');
like(log_since($node, $offset),
	qr/WARNING:  ckpx reaches "ckpx.max_entries" and removes what it can do without/,
	'and logged');
is_whole($start, $end, 1, 'entries');
covers_all_oracles($node, $first, wal_position($node), 'entries');

# ---- pins hold against it

sql("SELECT ckpx_pin('hold', '$end')");
$offset = -s $node->logfile;
my $stderr = '';
$node->psql(
	'postgres',
	join("\n",
		'\set ON_ERROR_STOP on',
		map { "UPDATE load_row SET n = n + 1 WHERE id = $_;\nSELECT ckpx_checkpoint(NULL, '20s');" } 1 .. 130),
	stderr => \$stderr);
like($stderr, qr/the history holds "ckpx.max_entries" entries and none can be removed; remove pins/,
	'pins: a waiting call fails');
sql_becomes($node, 'SELECT problem FROM ckpx_runner',
	qr/remove pins/, 'the runner shows it');
like(sql("SELECT status, detail, hint FROM ckpx_status WHERE item = 'disk'"),
	qr/^error\|.*, 9[89] of at most 100 checkpoints: .*\|Raise ckpx.max_entries/, 'and so does ckpx_status');
like(log_since($node, $offset),
	qr/WARNING:  ckpx cannot keep to "ckpx.max_entries": nothing more can be removed\n.*DETAIL:  1 pin holds checkpoints/,
	'and so does the log');
my $pinned = entries("kind = 'incremental' AND end_lsn > '$end'");
cmp_ok($pinned, '>', 80, 'what is pinned stays');
is( sql("SELECT count(*) FROM ckpx_checkpoints_after('$end', 1000)"),
	$pinned, 'without a hole');
my $collected = wal_position($node);
covers_all_oracles($node, $end, $collected, 'pins');
sql("SELECT ckpx_unpin('hold')");
wait_for_sql($node, 'SELECT problem IS NULL FROM ckpx_runner');
$end = sql('SELECT ckpx_checkpoint()');
is_whole($start, $end, 1, 'pins removed');
cmp_ok(entries('true'), '<', 100, 'pins removed: room again');

# ---- a post command that never succeeds does not

change_settings($node, 'ckpx.post_checkpoint_command' => 'false');
$offset = -s $node->logfile;
$end = checkpoints(130);
wait_for_sql($node, 'SELECT commands_overridden > 0 FROM ckpx_stat');
like(log_since($node, $offset),
	qr/WARNING:  ckpx removes \d+ checkpoints? whose post command has not succeeded/,
	'command: the log tells what was removed');
is_whole($start, $end, 1, 'command');
sql('ALTER SYSTEM RESET ckpx.post_checkpoint_command');
$node->reload;
wait_for_sql($node, "SELECT current_setting('ckpx.post_checkpoint_command') = ''");

# ---- ckpx.max_directory_size

wait_for_sql($node, 'SELECT ckpx_gc() = 0');
$end = checkpoints(20);
sql("SELECT ckpx_pin('hold', '$start')");
my $reached = sql('SELECT caps_reached FROM ckpx_stat');
$offset = -s $node->logfile;
my $kept = store_dir($node)
  . '/inc_00000001_00000001_0000000000000001_0000000000000002.ckpx.damaged';
append_to_file($kept, 'x' x 1000000);
cmp_ok(sql('SELECT directory_bytes FROM ckpx_runner'),
	'>', 1000000, 'size: what is kept of damaged objects counts');
change_settings($node, 'ckpx.max_directory_size' => '900kB');
sql('SELECT ckpx_checkpoint()') if run_load($node, 1) || 1;
wait_until(sub { !-e $kept }, 'size: it goes first');
is(sql('SELECT caps_reached FROM ckpx_stat'), $reached, 'size: and alone');
change_settings($node, 'ckpx.max_directory_size' => '32kB');
wait_for_sql($node, 'SELECT ckpx_checkpoint() IS NOT NULL');
wait_for_sql($node, "SELECT caps_reached > $reached FROM ckpx_stat");
wait_until(
	sub {
		log_since($node, $offset) =~ /WARNING:  ckpx cannot keep to "ckpx.max_directory_size": nothing more can be removed/;
	},
	'the log tells that pins hold more than the folder may have');
is(sql('SELECT problem FROM ckpx_runner'), '', 'size: checkpoints go on');
cmp_ok(entries("kind = 'incremental'"), '>=', 20, 'size: what is pinned stays');
sql("SELECT ckpx_unpin('hold')");
sql_becomes($node, "SELECT count(*) < 3 FROM ckpx_checkpoints WHERE kind = 'incremental'",
	't', 'size: without the pin it goes');
is_whole($start, sql('SELECT ckpx_checkpoint()'), 1, 'size');
sql('ALTER SYSTEM RESET ckpx.max_directory_size');
$node->reload;
wait_for_sql($node, "SELECT current_setting('ckpx.max_directory_size') = '0'");

# ---- garbage collection while a global is in work

wait_for_sql($node, 'SELECT ckpx_gc() >= 0');
my $from = sql('SELECT checkpointed_lsn FROM ckpx_runner');
run_load($node, 40);
$end = checkpoints(5);
my $answer = answer($node, $from, $end);
add_fault($node, 'global-relation', 'sleep', undef, '500');
my $force = background('SELECT ckpx_global_checkpoint()');
wait_for_sql($node,
	"SELECT count(*) = 1 FROM ckpx_checkpoints WHERE kind = 'global' AND state = 'running'");
sql('SELECT ckpx_gc()') for 1 .. 3;
is(entries("kind = 'global' AND state = 'running'"),
	1, 'a global in work: garbage collection does not disturb it');
cmp_ok(entries("kind = 'incremental' AND end_lsn > '$from'"),
	'>', 0, 'nor takes away what it reads');
remove_fault($node, 'global-relation');
is($force->(), "$end\n", 'it ends where it was to end');
sql('SELECT ckpx_gc()');
is(entries("kind = 'incremental' AND state = 'finished'"), 0, 'then they go');
is(answer($node, $from, $end), $answer, 'and the answer is the same');

# ---- a closed epoch goes before the open one breaks

$end = checkpoints(60);
$node->stop;
system_or_bail('rm', '-rf', $node->data_dir . '/pg_replslot/ckpx');
$node->start;
wait_for_sql($node, 'SELECT problem IS NULL AND epoch = 2 FROM ckpx_runner');
cmp_ok(entries('epoch = 1'), '>=', 60, 'a closed epoch has entries that nothing covers');
$offset = -s $node->logfile;
my $begin = sql('SELECT to_lsn FROM ckpx_gaps WHERE epoch = 2');

# No global could cover enough: what would be covered is pinned.
sql("SELECT ckpx_checkpoint(); SELECT ckpx_pin('hold', ckpx_low_water_mark())");
$end = checkpoints(60);
is(entries('epoch = 1'), 0, 'closed epoch: it goes');
like(log_since($node, $offset),
	qr/WARNING:  ckpx removes \d+ checkpoints? of (?:a range|ranges) that nothing else answers/,
	'closed epoch: the log says so');
is_whole($begin, $end, 2, 'closed epoch');
store_is_sound($node, 'in the end');

$node->stop('fast');
done_testing();
