# PostgreSQL's own tools that rewrite what ckpx follows: pg_resetwal and
# pg_upgrade.  pg_checksums is in 024, pg_rewind in 031.

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

# ---- pg_resetwal: what lay between is gone

sub resetwal
{
	my ($reason, $name, $immediate, @options) = @_;

	run_load($node, 10);
	$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
	my $epoch = $node->safe_psql('postgres', 'SELECT epoch FROM ckpx_runner');
	my ($from, $to) = finished_range($node);
	my $before = answer($node, $from, $to);

	# What a crash loses must not be the catalogs.
	if ($immediate)
	{
		$node->safe_psql('postgres', 'CHECKPOINT');
		$node->safe_psql('postgres',
			'UPDATE load_row SET n = n + 1; SELECT ckpx_checkpoint()');
		$node->stop('immediate');
	}
	else
	{
		$node->stop('fast');
	}
	command_ok([ 'pg_resetwal', @options, '-D', $node->data_dir ],
		"$name: pg_resetwal");
	$node->start;
	await_tracking($node);
	my $start = wal_position($node);

	my ($new, $known, $begin, $why) = split /\|/,
	  $node->safe_psql('postgres', q{
		SELECT epoch, from_lsn, to_lsn, reason FROM ckpx_gaps
		ORDER BY epoch DESC LIMIT 1});
	is($new, $epoch + 1, "$name: one new epoch");
	like($why, $reason, "$name: the gap has its reason");
	is(answer($node, $from, $to), $before, "$name: what was known is known");
	is(has_no_answer($node, $from, $start, "$name: no answer across the gap"),
		$known, "$name: missing is what follows the known");

	run_load($node, 10);
	$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
	covers_all_oracles($node, $start, wal_position($node),
		"$name: in the new epoch");
	return;
}

my $segment = $node->safe_psql('postgres',
	'SELECT pg_walfile_name(pg_current_wal_insert_lsn())');
(my $further = $segment) =~ s/(.{8})$/sprintf('%08X', hex($1) + 40)/e;

resetwal(qr/^WAL file ".*" is missing$/, 'WAL reset', 0);
resetwal(qr/^WAL file ".*" is missing$/, 'WAL reset further on', 0,
	'-l', $further);
is( $node->safe_psql('postgres',
		"SELECT pg_walfile_name(to_lsn + 1) >= '$further' FROM ckpx_gaps ORDER BY epoch DESC LIMIT 1"
	),
	't',
	'WAL reset further on: the epoch begins there');
resetwal(qr/^WAL file ".*" is missing$/, 'WAL reset after a crash', 1, '-f');
resetwal(qr/^block or segment size changed$/, 'another WAL segment size', 0,
	'--wal-segsize=4');
store_is_sound($node, 'WAL reset');
$node->stop('fast');

# ---- pg_upgrade: the new cluster is another one, whatever it took over

my $outside = PostgreSQL::Test::Utils::tempdir();
my $conf = <<"EOC";
ckpx.directory = '$outside'
ckpx.global_min_count = 10000
EOC
my $new = history_node('new', conf => $conf);
my $old = loaded_node('old', conf => $conf);

run_load($old, 10);
$old->safe_psql('postgres',
	'GRANT EXECUTE ON FUNCTION ckpx_gc TO pg_monitor; SELECT ckpx_checkpoint()');
my ($from, $to) = finished_range($old);
my $rows = $old->safe_psql('postgres', 'SELECT count(*) FROM load_row');
$old->stop('fast');

# Every file of a server that ckpx could touch, with its contents.
sub files_of_ckpx
{
	my $node = shift;

	return join "\n", map { "$_ " . unpack('H*', slurp_file($_)) }
	  sort grep { -f $_ } glob("$outside/*/*"), $node->data_dir . '/ckpx_node',
	  glob($node->data_dir . '/pg_replslot/*/*');
}
my $before = files_of_ckpx($old);

# It writes its logs and scripts to the current folder, or below the new data.
chdir PostgreSQL::Test::Utils::tempdir();
my $bindir = $new->config_data('--bindir');
command_ok(
	[
		'pg_upgrade', '--no-sync', '--retain',
		'-d', $old->data_dir, '-D', $new->data_dir,
		'-b', $bindir, '-B', $bindir,
		'-s', $new->host, '-p', $old->port, '-P', $new->port
	],
	'pg_upgrade');
my @logs = grep { -f $_ } glob($new->data_dir . '/pg_upgrade_output.d/*/log/*');
cmp_ok(scalar(@logs), '>', 1, 'pg_upgrade: it has left its logs');
is(join(' ', grep { slurp_file($_) =~ /LOG:  ckpx|ckpx (runner|checkpointer)"/ } @logs),
	'', 'pg_upgrade: nothing of ckpx has started in either server');
is(files_of_ckpx($old), $before, 'pg_upgrade: no file of ckpx was touched');
ok(!-e $new->data_dir . '/ckpx_node' && !glob($new->data_dir . '/pg_replslot/*'),
	'pg_upgrade: there is no identity and no slot in the new cluster');

$new->start;
await_tracking($new);
is($new->safe_psql('postgres', 'SELECT count(*) FROM load_row'),
	$rows, 'pg_upgrade: the tables are there');
is( $new->safe_psql('postgres',
		'SELECT epoch, reason, from_lsn FROM ckpx_gaps'),
	'1|tracking begins|', 'pg_upgrade: the new cluster begins its first epoch');
is(scalar(() = glob("$outside/*-*")),
	2, 'pg_upgrade: in a folder of its own');
has_no_answer($new, $from, wal_position($new),
	'pg_upgrade: what the old cluster knew is not its history');
is( $new->safe_psql(
		'postgres', q{
		SELECT has_function_privilege('pg_monitor', 'ckpx_gc(pg_lsn, boolean)', 'EXECUTE'),
			has_function_privilege('pg_monitor', 'ckpx_checkpoint(pg_lsn, interval)', 'EXECUTE'),
			has_table_privilege('pg_monitor', 'ckpx_gaps', 'SELECT')}),
	't|f|t',
	'pg_upgrade: privileges are those of the old cluster');
my $start = wal_position($new);
run_load($new, 10);
$new->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
covers_all_oracles($new, $start, wal_position($new), 'pg_upgrade');
is($new->safe_psql('postgres',
		"SELECT count(*) FROM ckpx_workers WHERE last_error IS NOT NULL"),
	'0', 'pg_upgrade: no worker has failed');
$new->stop('fast');
done_testing();
