# The WAL of a base backup starts at a redo point.  What changed since then is
# told exactly, without anybody having asked ckpx for anything before.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => <<'EOC');
shared_buffers = '64MB'
max_wal_size = '4GB'
checkpoint_timeout = '1h'
ckpx.min_count = 1000000
ckpx.max_incremental_interval = 0
EOC
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION ckpx');

my $size = 20000;
my $ids = 0;

# Fill a table, one row in a block.
sub load
{
	$node->safe_psql('postgres', "DROP TABLE IF EXISTS t; CREATE TABLE t (id int, v text)
		WITH (fillfactor = 10); ALTER TABLE t ALTER v SET STORAGE PLAIN;
		INSERT INTO t SELECT g, repeat('x', 700) FROM generate_series(1, $size) g");
	return;
}

# Where the WAL of a new base backup starts.
sub backup
{
	my ($name) = @_;

	$node->backup($name, backup_options => [ '-c', 'fast' ]);
	my ($start) = slurp_file($node->backup_dir . "/$name/backup_label") =~
	  m{^START WAL LOCATION: ([0-9A-F]+/[0-9A-F]+)}m;
	return $start;
}

sub update_rows
{
	$node->safe_psql('postgres', 'UPDATE t SET v = v WHERE id % 2000 = 0');
	return;
}

# Blocks that changed since then; none that did may be missing.
sub nchanged
{
	my ($start, $name) = @_;
	my $end = wal_position($node);

	is_covered(missing_by_page_lsn($node, $start, $end, changed_blocks($node, $start, $end)),
		"$name: no block is missing");
	return $node->safe_psql('postgres', "SELECT coalesce(sum(nblocks), 0)
		FROM ckpx_changed_blocks('$start', '$end')");
}

# Catalogs and their indexes change as well.
my $few = 200;
my @ways = (
	[ 'the logtail', sub { } ],
	[ 'a checkpoint', sub { $node->safe_psql('postgres', 'SELECT ckpx_checkpoint()') } ],
	[ 'a global', sub { $node->safe_psql('postgres', 'SELECT ckpx_global_checkpoint(); SELECT ckpx_gc()') } ],
	[ 'a restart', sub { $node->restart } ]);

foreach my $case (
	[ 'right after the load', sub { } ],
	[ 'when all is collected', sub {
			$node->safe_psql('postgres', 'SELECT ckpx_wait_collected(pg_current_wal_insert_lsn())')
		} ],
	[ 'with ckpx.collect_lag', sub {
			change_settings($node, 'ckpx.collect_lag' => '2s');
		} ])
{
	my ($name, $prepare) = @$case;

	load();
	$prepare->();
	my $start = backup('backup' . ++$ids);
	update_rows();
	foreach my $way (@ways)
	{
		$way->[1]->();
		cmp_ok(nchanged($start, "$name, from $way->[0]"), '<', $few,
			"$name, from $way->[0]: what was changed, and little more");
	}
}

# Checkpoints of PostgreSQL in quick succession make one more entry in all.
change_settings($node, 'ckpx.min_incremental_interval' => '1h');
my $count = q{SELECT count(*) FROM ckpx_checkpoints WHERE kind = 'incremental'};
$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
my $before = $node->safe_psql('postgres', $count);
foreach my $i (1 .. 10)
{
	update_rows();
	$node->safe_psql('postgres', 'CHECKPOINT');
}
update_rows();
$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
is($node->safe_psql('postgres', $count), $before + 2,
	'ten checkpoints of PostgreSQL, two entries');

$node->stop;
done_testing();
