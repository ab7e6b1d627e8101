# What others in the server do meanwhile: shutdowns, databases that move,
# settings that change.  Nothing of it waits for ckpx, and the map stays whole.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use CkpxHistory;
use CkpxTest;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = loaded_node(
	'main', conf => <<'EOC');
ckpx.global_min_count = 3
checkpoint_timeout = '1h'
shared_buffers = '64MB'
EOC
my $start = wal_position($node);

# ---- a database changes its tablespace under load

my $tablespace = PostgreSQL::Test::Utils::tempdir();
$node->safe_psql('postgres', "CREATE TABLESPACE elsewhere LOCATION '$tablespace'");
$node->safe_psql('postgres', 'CREATE DATABASE moving');
$node->safe_psql(
	'moving', q{
	CREATE TABLE t (id int PRIMARY KEY, x text);
	INSERT INTO t SELECT g, md5(g::text) FROM generate_series(1, 5000) g});
my $load = start_load($node, 300);
foreach my $to ('elsewhere', 'pg_default')
{
	my $before = wal_position($node);

	$node->safe_psql('moving', 'UPDATE t SET x = x || x WHERE id % 3 = 0');
	$node->safe_psql('postgres', "ALTER DATABASE moving SET TABLESPACE $to");
	$node->safe_psql('moving', 'DELETE FROM t WHERE id % 7 = 0');
	my $after = wal_position($node);
	is( $node->safe_psql(
			'postgres', qq{
			SELECT count(*) FROM ckpx_changed_blocks('$before', '$after') c
				JOIN pg_tablespace s ON s.oid = c.tablespace AND s.spcname = '$to'
				JOIN pg_database d ON d.oid = c.database AND d.datname = 'moving'
			WHERE relfilenode = 0}),
		'1',
		"moved to $to: every relation of the database has changed");
	covers_all_oracles($node, $before, $after, "moved to $to");
	$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
}
stop_load($load);
covers_all_oracles($node, $start, wal_position($node), 'moved there and back');
is_one_epoch($node, 'moved there and back');

# ---- shutdowns: every worker has something to do that takes long

sub occupy_workers
{
	my $node = shift;
	my @calls;

	# A command that runs for long.
	$node->safe_psql(
		'postgres', q{
		ALTER SYSTEM SET ckpx.post_checkpoint_command = 'sleep 1000';
		SELECT pg_reload_conf();
		UPDATE load_row SET n = n + 1;
		SELECT ckpx_checkpoint()});
	wait_for_sql($node,
		"SELECT activity = 'post command' FROM ckpx_workers WHERE name = 'observer'");

	# A checkpoint that is being written.
	add_fault($node, 'object-rename', 'wait');
	push @calls, start_query($node, "SELECT ckpx_checkpoint(NULL, '1h')");
	await_held($node, 'object-rename');

	# A flush that writes a page in eight seconds.
	$node->safe_psql(
		'postgres', q{
		ALTER SYSTEM SET ckpx.flush_rate_limit = 1;
		SELECT pg_reload_conf();
		UPDATE load_row SET n = n + 1});
	push @calls, start_query($node, "SELECT ckpx_flush(NULL, '1h')");
	wait_for_sql($node, q{
		SELECT count(*) = 1 FROM ckpx_progress
		WHERE job ~ 'flush' AND phase ~ 'writ' AND total > 50});

	# WAL that is being read.
	add_fault($node, 'wal-read', 'wait');
	$node->safe_psql('postgres',
		"SELECT pg_logical_emit_message(false, 'ckpx', repeat('x', 1024 * 1024))");
	await_held($node, 'wal-read');

	# By now the flusher has to wait a minute for what it has written.
	wait_for_sql($node,
		"SELECT clock_timestamp() - started_at > '9s' FROM ckpx_progress WHERE job ~ 'flush'");
	return @calls;
}

foreach my $mode ('fast', 'immediate')
{
	$load = start_load($node, 300);
	my @calls = occupy_workers($node);

	# False where pg_ctl loses patience.
	ok($node->stop($mode, fail_ok => 1), "shutdown $mode: nothing holds it up");
	stop_load($load);
	foreach my $call (@calls)
	{
		eval { $call->{handle}->finish };
		isnt($call->{handle}->result, 0, "shutdown $mode: a waiting call fails");
	}
	if ($mode eq 'fast')
	{
		my ($control) =
		  run_command([ 'pg_controldata', $node->data_dir ]);
		like($control, qr/state: +shut down\n/, 'shutdown fast: it is clean');
	}
	$node->append_conf('postgresql.auto.conf',
		"ckpx.flush_rate_limit = 0\nckpx.post_checkpoint_command = ''");
	$node->start;
	await_tracking($node);
	is_one_epoch($node, "shutdown $mode");
	store_is_sound($node, "shutdown $mode");
}
covers_after_crashes($node, $start, wal_position($node), 'after the shutdowns');

# A smart shutdown waits for sessions, and they can still do all.
my $session = session($node);
ask($session, 'SELECT 1');
my $offset = -s $node->logfile;
my $stop = IPC::Run::start(
	[ 'pg_ctl', '-s', '-w', '-m', 'smart', '-D', $node->data_dir, 'stop' ],
	'<', \undef, '>', \my $stop_out, '2>&1');
$node->wait_for_log(qr/received smart shutdown request/, $offset);
like(ask($session, 'UPDATE load_row SET n = n + 1; SELECT ckpx_checkpoint()'),
	qr{^[0-9A-F]+/[0-9A-F]+$}, 'shutdown smart: a session gets its checkpoint');
end_session($session);
ok($stop->finish, 'shutdown smart: over with the last session')
  or diag($stop_out);
$node->_update_pid(0);
$node->start;
await_tracking($node);
is_one_epoch($node, 'shutdown smart');

# ---- every setting that a reload changes, to both its ends and back

# What history may be given up for; it comes last.
my $risky = 'ckpx.max_retained_wal';
my @settings = map { [ split /\|/, $_, -1 ] } split /\n/, $node->safe_psql(
	'postgres', qq{
	SELECT name, v
	FROM pg_settings,
		unnest(CASE vartype WHEN 'enum' THEN enumvals WHEN 'bool' THEN '{off,on}'
			WHEN 'string' THEN '{"true %p","exit 1"}'
			ELSE ARRAY[min_val, max_val] END) v
	WHERE name LIKE 'ckpx.%' AND context = 'sighup'
	ORDER BY name = '$risky', name, v});
cmp_ok(@settings, '>', 40, 'settings have values');
my %left = map { $_ => 1 } split /\n/, $node->safe_psql('postgres',
	"SELECT name FROM pg_settings WHERE name LIKE 'ckpx.%' AND context = 'sighup'");
delete $left{ $_->[0] } foreach @settings;
is(join(' ', keys %left), '', 'every setting has');

# The oracles, but for relations that are gone: where a global answers and is
# to keep no versions, it has forgotten these.
sub covers_what_exists
{
	my ($node, $start, $end, $name) = @_;
	my $map = changed_blocks($node, $start, $end);
	my ($missing, $stats) = missing_by_waldump($node, $start, $end, $map);
	my %exists;

	is_covered(missing_by_page_lsn($node, $start, $end, $map),
		"$name: every page with an LSN of the range is in the map");
	is_covered(
		[
			grep {
				my ($spc, $rel) = m{^(\d+)/\d+/(\d+) };
				$exists{"$spc/$rel"} //= $node->safe_psql('postgres',
					"SELECT pg_filenode_relation($spc, $rel) IS NOT NULL");
				$exists{"$spc/$rel"} eq 't'
			} @$missing
		],
		$stats,
		"$name: every block reference of pg_waldump is in the map");
}

# A call that the setting turns off says so.
my %refusal = ('ckpx.enabled=off' => qr/ERROR:  .*disabled/);

$start = wal_position($node);
$load = start_load($node, 600, 100);
my @problems;
foreach my $pair (@settings)
{
	my ($name, $value) = @$pair;
	my $stderr = '';

	if ($name eq $risky && $load)
	{
		# Up to here not a block may be missing.
		stop_load($load);
		$load = undef;
		is_one_epoch($node, 'settings changed');
		covers_what_exists($node, $start, wal_position($node),
			'settings changed');
	}
	$node->safe_psql('postgres',
		"ALTER SYSTEM SET $name = '$value'; SELECT pg_reload_conf()");
	wait_for_sql($node,
		"SELECT setting FROM pg_settings WHERE name = '$name'", $value);

	# The limit must be met, not only seen.
	run_load($node, $name eq $risky ? 500 : 2);
	my $status = $node->psql('postgres', "SELECT ckpx_checkpoint(NULL, '100s')",
		stderr => \$stderr);
	my $expected = $refusal{"$name=$value"};
	push @problems, "$name = $value: $stderr"
	  if $status != 0 && !($expected && $stderr =~ $expected);
	$node->safe_psql('postgres',
		"ALTER SYSTEM RESET $name; SELECT pg_reload_conf()");
}
is(join("\n", @problems), '', 'checkpoints go on with every value');
await_tracking($node);
my $position = wal_position($node);
run_load($node, 20);
$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
covers_all_oracles($node, $position, wal_position($node),
	'after all settings');
is( $node->safe_psql('postgres',
		"SELECT string_agg(name || ': ' || last_error, '; ') FROM ckpx_workers WHERE name <> 'observer'"),
	'', 'settings changed: no worker has failed');
store_is_sound($node, 'settings changed');
$node->stop('fast');
done_testing();
