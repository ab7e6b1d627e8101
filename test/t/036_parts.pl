# Objects of more parts than a process may have files open: they are written,
# read, merged, and found again by a start.

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
max_files_per_process = 64
ckpx.checkpoint_size = '64kB'
ckpx.checkpoint_block_rows = 1
ckpx.compression = 'none'
max_slot_wal_keep_size = '2GB'
EOC

# Each TRUNCATE of a table leaves rows of files that are gone: the objects
# become large without much data.
create_tables('part%s', 50);
my $truncate = 'TRUNCATE ' . join(', ', map { "part$_" } 1 .. 50) . ";\n";

sub large_incremental
{
	my $from = sql('SELECT ckpx_checkpoint()');

	sql($truncate x 40);
	run_load($node, 5);
	return ($from, sql('SELECT ckpx_checkpoint()'));
}

sub nparts
{
	my ($location) = @_;
	my @parts = store_files($node, qr/^\Q$location\E(?:\.\d+)?$/);
	return scalar @parts;
}

sub location
{
	my ($kind, $end) = @_;
	return sql("SELECT location FROM ckpx_checkpoints WHERE kind = '$kind' AND end_lsn = '$end'");
}

my ($a, $b) = large_incremental();
cmp_ok(nparts(location('incremental', $b)),
	'>', 16, 'an incremental has more parts than there are descriptors');
my (undef, $c) = large_incremental();
my $answer = answer($node, $a, $c);
my $one = "SELECT * FROM ckpx_changed_blocks('$a', '$c', 'load_row')";
my $row = sql($one);
isnt($row, '', 'one relation is found in it');
my @rows = grep { /\|main\|/ } split /\n/, $answer;
cmp_ok(scalar @rows, '>', 8000, 'the whole of it is read');
covers_all_oracles($node, $a, wal_position($node), 'many parts');

$node->restart;
await_tracking($node);
is(sql('SELECT epoch, problem FROM ckpx_runner'), '1|', 'a start finds them');
is(answer($node, $a, $c), $answer, 'and gives the same answer');
is(sql($one), $row, 'the same answer for one relation');

# The parts of an object go while it is read: the choice is made again.
my $global = sql('SELECT ckpx_global_checkpoint()');
$global = sql('SELECT ckpx_global_checkpoint()') while sql('SELECT ckpx_pending_count()') > 0;
cmp_ok(nparts(location('global', $global)), '>', 16, 'a global of many parts');
add_fault($node, 'object-read', 'wait', '20:20');
my $reader = background("SELECT count(*) FROM ckpx_changed_blocks('$a', '$c')");
await_held($node, 'object-read');
cmp_ok(sql('SELECT ckpx_gc()'), '>', 1, 'its incrementals go while one is read');
remove_fault($node, 'object-read');
like($reader->(), qr/^\d+$/, 'the reader does with what is left');
is(sql("SELECT count(*) FROM ckpx_gaps WHERE reason ~ 'damaged'"), 0, 'nothing is in doubt');

# What a global had written when an attempt failed does not wait for the next.
my (undef, $d) = large_incremental();
my @before = store_files($node, qr/^glo_/);
add_fault($node, 'global-create', 'error', '5:1000', 'enospc');
$node->psql('postgres', "SELECT ckpx_global_checkpoint('1s')");
wait_for_sql($node, "SELECT fired > 0 FROM ckpx_fault_list() WHERE name = 'global-create'");
comes_true(sub { "@{[ store_files($node, qr/^glo_/) ]}" eq "@before" },
	'the parts of a global that failed go, although it is to be tried again');
is(sql("SELECT count(*) FROM ckpx_checkpoints WHERE kind = 'global' AND state = 'running'"),
	1, 'as it still is');
remove_fault($node, 'global-create');
$global = sql('SELECT ckpx_global_checkpoint()');
is($global, $d, 'a global of a global and an incremental, both of many parts');
sql('SELECT ckpx_gc()');
is(sql("SELECT count(*) FROM ckpx_checkpoints WHERE kind = 'incremental'"), 0, 'only the global is left');
covers_all_oracles($node, $a, wal_position($node), 'from a global of many parts');
$node->restart;
await_tracking($node);
covers_all_oracles($node, $a, wal_position($node), 'the same after a restart');
is_one_epoch($node, 'many parts');
store_is_sound($node, 'many parts', 1);

$node->stop('fast');
done_testing();
