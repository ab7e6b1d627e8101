# Whatever breaks the chain of WAL begins a new epoch with its reason, no
# answer crosses it, what was known stays known, and tracking goes on.

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
	'main', conf => <<'EOC');
ckpx.global_min_count = 10000
checkpoint_timeout = '1h'
EOC

# Break the chain; then all that a new epoch must fulfil.
sub breaks_with
{
	my ($reason, $name, $break) = @_;

	run_load($node, 10);
	$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
	my $epoch = $node->safe_psql('postgres', 'SELECT epoch FROM ckpx_runner');
	my ($from, $to) = finished_range($node);
	my $before = answer($node, $from, $to);
	my $offset = -s $node->logfile;

	$break->();
	await_tracking($node);
	my $start = wal_position($node);
	run_load($node, 10);

	my @gap = split /\|/,
	  $node->safe_psql('postgres', q{
		SELECT epoch, from_lsn, to_lsn, reason FROM ckpx_gaps
		ORDER BY epoch DESC LIMIT 1});
	is($gap[0], $epoch + 1, "$name: one new epoch");
	like($gap[3], $reason, "$name: the gap has its reason");
	like(
		log_since($node, $offset),
		qr/WARNING:  ckpx lost track of changes; epoch $gap[0] begins at \Q$gap[2]\E/,
		"$name: a warning says so");
	is(answer($node, $from, $to), $before, "$name: what was known is known");

	# The end of what is known may lie a little behind the last checkpoint.
	my $missing =
	  has_no_answer($node, $from, $start, "$name: no answer across the gap");
	is($missing, $gap[1], "$name: missing is what follows the known");
	covers_all_oracles($node, $start, wal_position($node),
		"$name: in the new epoch");
	$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
	is( $node->safe_psql(
			'postgres',
			"SELECT complete FROM ckpx_collect_range('$gap[2]', (SELECT checkpointed_lsn FROM ckpx_runner))"),
		't',
		"$name: the new epoch has checkpoints");
}

my $slot_folder = $node->data_dir . '/pg_replslot/ckpx';

# ---- the slot is dropped while ckpx is not there

breaks_with(
	qr/^replication slot is missing$/,
	'slot dropped',
	sub {
		$node->stop('fast');
		system_or_bail('rm', '-r', $slot_folder);
		$node->start;
	});

# ---- the server invalidates the slot of a busy runner: its checkpoint is
# not held up, wherever the runner is

foreach my $place ('cut-before', 'wal-read')
{
	breaks_with(
		qr/^replication slot was invalidated$/,
		"slot invalidated at $place",
		sub {
			my $runner = worker_pid($node, 'runner');
			my $timed_out;

			$node->safe_psql(
				'postgres', q{
				ALTER SYSTEM SET wal_keep_size = 0;
				ALTER SYSTEM SET max_slot_wal_keep_size = '16MB';
				SELECT pg_reload_conf()});
			add_fault($node, $place, 'wait');

			# The next runner touches nothing before the slot was looked at.
			add_fault($node, 'worker-back-off', 'wait');
			run_load($node, 1);
			wait_for_sql($node,
				"SELECT waiting = 1 FROM ckpx_fault_list() WHERE name = '$place'"
			);
			$node->safe_psql('postgres',
				'CREATE TABLE fill (n int); DROP TABLE fill; SELECT pg_switch_wal()'
			) foreach 1 .. 4;
			$node->psql(
				'postgres', 'CHECKPOINT',
				timeout => $CkpxTest::timeout_default,
				timed_out => \$timed_out);

			# It gives up the slot a little before it is gone.
			my $gone = eval {
				wait_until(sub { !kill(0, $runner) }, 'the runner is gone');
			};
			ok(!$timed_out && $gone,
				"slot invalidated at $place: CHECKPOINT went on, the runner went");
			is( $node->safe_psql(
					'postgres',
					"SELECT wal_status FROM pg_replication_slots WHERE slot_name = 'ckpx'"
				),
				'lost',
				"slot invalidated at $place: by the server");
			remove_fault($node, $place);
			remove_fault($node, 'worker-back-off');
			$node->safe_psql(
				'postgres', q{
				ALTER SYSTEM RESET wal_keep_size;
				ALTER SYSTEM RESET max_slot_wal_keep_size;
				SELECT pg_reload_conf()});
		});
}

# ---- the server invalidates slots that are idle: that of a runner is not, but
# one that waits for its runner is

SKIP:
{
	skip 'slots do not become idle before PostgreSQL 18', 9 if $node->pg_version < 18;
	my $idles = sub {
		my $name = shift;
		return sub {
			$node->safe_psql('postgres', "CHECKPOINT; SELECT invalidation_reason FROM pg_replication_slots WHERE slot_name = '$name'") eq
			  'idle_timeout';
		};
	};
	$node->safe_psql('postgres', "SELECT pg_create_physical_replication_slot('unused', true)");
	$node->append_conf('postgresql.conf', 'idle_replication_slot_timeout = 1s');
	$node->reload;
	wait_until($idles->('unused'), 'a slot that nothing uses is invalidated');
	$node->safe_psql('postgres', "SELECT pg_drop_replication_slot('unused')");
	is($node->safe_psql('postgres', "SELECT invalidation_reason IS NULL AND active FROM pg_replication_slots WHERE slot_name = 'ckpx'"),
		't', 'a slot that is in use is kept, idle or not');
	breaks_with(
		qr/^replication slot was invalidated$/,
		'slot idle',
		sub {
			$node->stop('fast');
			$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
			$node->start;
			wait_until($idles->('ckpx'), 'the slot is invalidated');
			$node->append_conf('postgresql.conf', "shared_preload_libraries = 'ckpx'\nidle_replication_slot_timeout = 0");
			$node->restart;
		});
}

# ---- checkpoints do not go on, and more WAL would be held than allowed

my $offset = -s $node->logfile;
breaks_with(
	qr/^more WAL would have been held than "ckpx.max_retained_wal" allows$/,
	'too much WAL held',
	sub {
		my $next = 1 + $node->safe_psql('postgres', 'SELECT epoch FROM ckpx_runner');
		add_fault($node, 'object-create', 'error', undef, 'enospc');
		$node->safe_psql(
			'postgres', q{
			ALTER SYSTEM SET ckpx.max_retained_wal = '8MB';
			SELECT pg_reload_conf()});
		# A segment cannot be written either: the disk is full.
		add_fault($node, 'segment-create', 'error', undef, 'enospc');
		$node->safe_psql(
			'postgres', q{
			SELECT pg_logical_emit_message(false, 'ckpx', repeat('x', 1024 * 1024))
			FROM generate_series(1, 10)});
		wait_for_sql($node, "SELECT epoch = $next FROM ckpx_runner");
		is( $node->safe_psql(
				'postgres', q{
				SELECT retained_bytes < 8 * 1024 * 1024 FROM ckpx_runner}),
			't',
			'too much WAL held: it is released');
		remove_fault($node, 'object-create');
		remove_fault($node, 'segment-create');
		$node->safe_psql(
			'postgres', q{
			ALTER SYSTEM RESET ckpx.max_retained_wal;
			SELECT pg_reload_conf()});
	});
like(log_since($node, $offset), qr/WARNING:  ckpx gives up history: its slot/,
	'too much WAL held: a warning says so');

# ---- a file of WAL is gone

breaks_with(
	qr/^WAL file ".*" is missing$/,
	'WAL removed by hand',
	sub {
		$node->safe_psql('postgres', 'SELECT ckpx_disable()');
		my ($file) = $node->safe_psql('postgres', q{
			SELECT pg_walfile_name(checkpointed_lsn) FROM ckpx_runner});
		$node->safe_psql('postgres', 'SELECT pg_switch_wal()');
		$node->safe_psql('postgres', 'CHECKPOINT; SELECT pg_switch_wal()')
		  foreach 1 .. 2;
		$node->stop('fast');
		unlink $node->data_dir . "/pg_wal/$file" or die "could not remove $file: $!";
		$node->start;
	});

# ---- checksums rewrite every page without WAL

breaks_with(
	qr/^data checksums were switched on or off/,
	'checksums enabled',
	sub {
		$node->stop('fast');
		command_ok([ 'pg_checksums', '--enable', '-D', $node->data_dir ],
			'checksums enabled');
		$node->start;
	});

# ---- wal_level = minimal

breaks_with(
	qr/^replication slot is missing$/,
	'wal_level was minimal',
	sub {
		$node->stop('fast');
		$node->append_conf('postgresql.conf',
			"wal_level = minimal\nmax_wal_senders = 0");
		ok(!$node->start(fail_ok => 1),
			'wal_level minimal: the slot keeps the server from starting');
		system_or_bail('rm', '-r', $slot_folder);
		$node->start;
		like(
			wait_for_sql($node, 'SELECT problem FROM ckpx_runner', qr/./),
			qr/wal_level/,
			'wal_level minimal: the runner says why it idles');
		my $stderr;
		$node->psql('postgres', "SELECT ckpx_checkpoint(NULL, '5s')",
			stderr => \$stderr);
		like($stderr, qr/ERROR:.*wal_level/s,
			'wal_level minimal: a waiting call fails');
		run_load($node, 5);
		$node->append_conf('postgresql.conf',
			"wal_level = logical\nmax_wal_senders = 10");
		$node->restart;
	});

# ---- somebody else has the slot's name, or all slots

breaks_with(
	qr/^replication slot is missing$/,
	'slot name taken',
	sub {
		$node->stop('fast');
		system_or_bail('rm', '-r', $slot_folder);
		$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
		$node->start;
		$node->safe_psql('postgres',
			"SELECT pg_create_logical_replication_slot('ckpx', 'pgoutput')");
		$node->append_conf('postgresql.conf',
			"shared_preload_libraries = 'ckpx'\nmax_replication_slots = 1");
		$node->restart;
		like(
			wait_for_sql($node, 'SELECT problem FROM ckpx_runner', qr/./),
			qr/replication slot named "ckpx" is logical/,
			'slot name taken: the runner says why it idles');
		$node->safe_psql(
			'postgres', q{
			SELECT pg_drop_replication_slot('ckpx');
			SELECT pg_create_physical_replication_slot('other')});
		like(
			wait_for_sql(
				$node, 'SELECT problem FROM ckpx_runner', qr/slots are in use/),
			qr/max_replication_slots/,
			'no slot free: the runner says why it idles');
		$node->safe_psql('postgres',
			"SELECT pg_drop_replication_slot('other')");
	});

$node->restart;
await_tracking($node);
store_is_sound($node, 'in the end', 1);
$node->stop('fast');
done_testing();
