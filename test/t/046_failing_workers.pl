# Workers that fail again and again, that were never started, or that get
# SIGINT: limits hold, waiting calls fail, the rest goes on.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use CkpxHistory;
use CkpxTest;
use PostgreSQL::Test::Utils;
use Test::More;

# ---- pg_cancel_backend() means nothing to a worker

my $node = new_node(
	'main',
	preload => 'ckpx_observer, ckpx',
	quick_restart => 1,
	conf => "ckpx.max_retained_wal = '64MB'");
$node->start;
$node->safe_psql('postgres',
	'CREATE EXTENSION ckpx; CREATE EXTENSION ckpx_observer');
wait_for_sql($node, 'SELECT count(pid) = 4 FROM ckpx_workers');
await_tracking($node);
my $pids = $node->safe_psql('postgres',
	'SELECT string_agg(pid::text, \',\' ORDER BY name) FROM ckpx_workers');
is( kill('INT', split(/,/, $pids)), 4, 'SIGINT, as pg_cancel_backend() sends it');
$node->safe_psql('postgres',
	'CREATE TABLE t (i int); SELECT ckpx_global_checkpoint(), ckpx_flush()');
is( $node->safe_psql(
		'postgres',
		'SELECT string_agg(pid::text, \',\' ORDER BY name) FROM ckpx_workers'),
	$pids,
	'and go on as the same processes');

# ---- the runner fails at the same place for ever: the slot's limit holds

sub retained
{
	return $node->safe_psql('postgres',
		q{SELECT coalesce(pg_current_wal_lsn() - restart_lsn, 0)::bigint
		  FROM (VALUES (1)) AS one
		       LEFT JOIN pg_replication_slots ON slot_name = 'ckpx'});
}

sub write_wal
{
	my $mb = shift;

	$node->safe_psql('postgres',
		"SELECT pg_logical_emit_message(false, 'filler', repeat('x', 1048576)) FROM generate_series(1, $mb)"
	);
}

# An error of the surroundings: it is only the limit that ends it.
add_fault($node, 'cut-before', 'error', undef, '53100');
$node->psql('postgres', 'INSERT INTO t VALUES (1)');
wait_for_sql($node,
	q{SELECT problem ~ 'runner has failed [0-9]+ times in a row' FROM ckpx_runner}
);
my ($ret, $out, $err) = $node->psql('postgres', 'SELECT ckpx_checkpoint()');
like(
	$err,
	qr/ckpx cannot go on.*runner has failed \d+ times/s,
	'a call fails and says so');
write_wal(80);
wait_until(sub { retained() < 64 * 1024 * 1024 },
	'the runner, failing, gives up its slot');
cmp_ok(retained(), '<', 64 * 1024 * 1024,
	'no more WAL is held than allowed');
remove_fault($node, 'cut-before');
wait_for_sql($node, 'SELECT problem IS NULL FROM ckpx_runner');
await_tracking($node);
like(gap_reasons($node), qr/than "ckpx.max_retained_wal" allows$/,
	'the gap says why');

# ---- a record that a decoder cannot read: the chain breaks there, and what
# lies before it is known

add_fault($node, 'worker-back-off', 'value', undef, '0');
my $epoch = $node->safe_psql('postgres', 'SELECT epoch FROM ckpx_runner');
my $start = wal_position($node);
$node->safe_psql('postgres', 'INSERT INTO t VALUES (2)');
my $before = wal_position($node);
$node->safe_psql('postgres', "SELECT ckpx_observer_write('poison', 0, 0, 0, 0)");
wait_for_sql($node,
	"SELECT epoch = $epoch + 1 AND problem IS NULL FROM ckpx_runner");
like(
	gap_reasons($node),
	qr/; reading WAL at \S+ failed 5 times: cannot decode record of type poison$/,
	'a new epoch names place, number and error');
covers_all_oracles($node, $start, $before, 'before the record');
has_no_answer($node, $start, wal_position($node),
	'no answer across the record');
$start = wal_position($node);
$node->safe_psql('postgres', 'INSERT INTO t VALUES (2)');
covers_all_oracles($node, $start, wal_position($node), 'in the new epoch');

# ---- an error that does not even let what lies before it be cut

$epoch++;
$start = $node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
add_fault($node, 'cut-before', 'error', '1:6');
$node->safe_psql('postgres', 'INSERT INTO t VALUES (3)');
wait_until(
	sub {
		$node->safe_psql('postgres',
			q{SELECT fired >= 6 FROM ckpx_fault_list() WHERE name = 'cut-before'}
		) eq 't';
	},
	'the runner has failed six times');
remove_fault($node, 'cut-before');
wait_for_sql($node,
	"SELECT epoch > $epoch AND problem IS NULL FROM ckpx_runner");
like(gap_reasons($node), qr/; reading WAL at \S+ failed 6 times: .*cut-before/,
	'a new epoch begins all the same');
is( $node->safe_psql(
		'postgres', "SELECT complete FROM ckpx_collect_range('$start', '$start')"),
	't',
	'what was finished before still answers');
$node->safe_psql('postgres', 'INSERT INTO t VALUES (4)');
is($node->safe_psql('postgres', 'SELECT ckpx_checkpoint() IS NOT NULL'),
	't', 'checkpoints go on');

# ---- an error that comes back in one part of the checkpointer's round does
# not keep it from the others

$node->safe_psql('postgres',
	'INSERT INTO t VALUES (5); SELECT ckpx_global_checkpoint()');
add_fault($node, 'job-start', 'error');
$node->psql('postgres', 'INSERT INTO t VALUES (6); SELECT ckpx_checkpoint()');
my $served = '';
wait_until(
	sub {
		($ret, $served) = $node->psql('postgres', 'SELECT ckpx_gc()');
		return $ret == 0;
	},
	'garbage is collected all the same');
cmp_ok($served, '>', 0, 'ckpx_gc() is served while incrementals fail');
remove_fault($node, 'job-start');
wait_for_sql($node, 'SELECT problem IS NULL FROM ckpx_runner');
is($node->safe_psql('postgres', 'SELECT ckpx_checkpoint() IS NOT NULL'),
	't', 'and incrementals are made when the error is gone');

# ---- max_worker_processes without room

foreach my $case ([ 1, 'runner' ], [ 3, 'checkpointer' ], [ 4, 'observer' ])
{
	my ($number, $missing) = @$case;

	$node->append_conf('postgresql.conf', "max_worker_processes = $number");
	$node->restart;
	wait_for_sql($node,
		'SELECT problem IS NOT NULL FROM ckpx_runner');
	like(
		$node->safe_psql('postgres', 'SELECT problem FROM ckpx_runner'),
		qr/^"max_worker_processes" is $number, which leaves no room for the ckpx $missing; it must be at least 5$/,
		"$number: the view names setting and number");
	($ret, $out, $err) = $node->psql('postgres', 'SELECT ckpx_checkpoint()');
	if ($missing eq 'observer')
	{
		is($ret, 0, "$number: checkpoints go on");
		next;
	}
	like(
		$err,
		qr/ckpx cannot go on.*HINT:  Set "max_worker_processes" to 5 or more/s,
		"$number: a caller gets the hint");
}
$node->append_conf('postgresql.conf', 'max_worker_processes = 5');
$node->restart;
await_tracking($node);
is($node->safe_psql('postgres', 'SELECT ckpx_checkpoint() IS NOT NULL'),
	't', 'five are enough');
is($node->safe_psql('postgres', 'SELECT problem FROM ckpx_runner'),
	'', 'and no problem is shown');

$node->stop;
done_testing();
