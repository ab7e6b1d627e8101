# A record that a crash has cut off at the end of a page, and then nothing goes
# on: ckpx comes to the end of WAL, past the record that overwrites it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', on_demand => 1);
$node->start;
sql('CREATE EXTENSION ckpx');

# Nothing is left to be pruned, which would write WAL by and by.
sql('VACUUM (FREEZE)');
sql('CHECKPOINT');
my $epoch = sql('SELECT epoch FROM ckpx_runner');
my $collected = sql('SELECT ckpx_checkpoint()');

# While ckpx does not look: a record of more than a page, of which the next
# page is lost.
$node->stop;
$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', "''");
$node->start;
my ($segment, $offset) = split / /,
  sql(q{SELECT file_name || ' ' || file_offset FROM pg_walfile_name_offset(pg_current_wal_insert_lsn())});
sql("SELECT pg_logical_emit_message(false, 'cut', repeat('x', 20000))");
sql('CREATE TABLE t (a int)');
crash($node);
my $page = ($offset - $offset % 8192) + 8192;
open my $file, '+<:raw', $node->data_dir . "/pg_wal/$segment" or die "$segment: $!";
seek $file, $page, 0;
print $file "\0" x (16 * 1024 * 1024 - $page);
close $file;
$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', "'ckpx'");
$node->start;

sql_becomes($node, q{SELECT ckpx_wait_collected(pg_current_wal_insert_lsn(), '10s')},
	't', 'all WAL is collected', 30);
is(sql('SELECT epoch FROM ckpx_runner'), $epoch, 'in the same epoch');
my ($records) = run_command(
	[ 'pg_waldump', '-p', $node->data_dir . '/pg_wal', '-t', 1, '-s', $collected, '-r', 'XLOG' ]);
like($records, qr/OVERWRITE_CONTRECORD/, 'a record was cut off');

# What comes behind it, on the same page, is read as it comes.
sql('CREATE TABLE later AS SELECT 1 AS a');
ok(sql("SELECT count(*) > 0 FROM ckpx_changed_blocks('$collected', NULL, 'later') WHERE nblocks > 0 OR limit_block = 0"),
	'later changes are in the map');

# The walk leaves such a record to PostgreSQL's reader, and goes on behind it.
sql('CREATE EXTENSION ckpx_decode');
my $end = wal_position($node);
my ($nrecords, $walked) = split /\|/,
  sql("SELECT * FROM ckpx_compare_readers('$collected', '$end', 200, 1)");
cmp_ok($walked, '>', 0.5 * $nrecords, 'and nearly all without the reader');
$node->stop;
done_testing();
