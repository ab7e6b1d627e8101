# Reading a map while the logtail is trimmed under it, and what happens when an
# object is missing or damaged, or when the reader is canceled or killed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use CkpxHistory;
use CkpxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('map_reading');
$node->start;
$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION ckpx;
	CREATE TABLE t (a int, b text) WITH (fillfactor = 100);
	ALTER TABLE t ALTER b SET STORAGE PLAIN;
	INSERT INTO t SELECT i, repeat('x', 5000) FROM generate_series(1, 40) i;
	VACUUM t;
	SELECT ckpx_checkpoint();
});

sub main_blocks
{
	my ($start) = @_;
	return "SELECT blocks, limit_block FROM ckpx_changed_blocks('$start', NULL, 't') WHERE fork = 'main'";
}

# -- the segments that a reader holds outlive their range's checkpoint
my $start = wal_position($node);
$node->safe_psql('postgres', "SELECT ckpx_wait_collected('$start')");
$node->safe_psql('postgres', "UPDATE t SET b = repeat('y', 5000) WHERE a = 8");
my $expected = $node->safe_psql('postgres', main_blocks($start));
like($expected, qr/\[7,8\)/, 'the changed block');

add_fault($node, 'map-chosen', 'wait');
my $reader = start_query($node, main_blocks($start));
await_held($node, 'map-chosen');
$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
wait_for_sql($node,
	q{SELECT count(*) FROM ckpx_dirty_tree() WHERE relfilenode = pg_relation_filenode('t')}, '0');
remove_fault($node, 'map-chosen');
$reader->{handle}->finish;
is(${ $reader->{out} }, "$expected\n", 'the same answer from trimmed segments');
is(${ $reader->{err} }, '', 'the reader gets no error');

# -- a reader that goes away leaves nothing behind
for my $how (qw(pg_cancel_backend pg_terminate_backend))
{
	$node->safe_psql('postgres', "UPDATE t SET b = repeat('z', 5000)");
	add_fault($node, 'map-chosen', 'wait');
	$reader = start_query($node, main_blocks($start));
	await_held($node, 'map-chosen');
	$node->safe_psql(
		'postgres', qq{
		SELECT $how(pid) FROM pg_stat_activity
		WHERE query LIKE '%ckpx_changed_blocks%' AND pid <> pg_backend_pid()});
	$reader->{handle}->finish;
	like(${ $reader->{err} }, qr/(canceling statement|terminating connection)/,
		"$how ends a reader");
	# A process that ends tells its client before it gives up what it holds.
	sql_becomes($node, q{SELECT waiting FROM ckpx_fault_list() WHERE name = 'map-chosen'},
		'0', 'it does not count as waiting');
	remove_fault($node, 'map-chosen');
	$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
	sql_becomes($node, 'SELECT logtail_bytes = 0 FROM ckpx_runner',
		't', "$how: its segments are freed");
}

# -- an object that is missing, or damaged
my ($folder) = glob($node->data_dir . '/ckpx/*-*');

sub object_of
{
	my ($lsn) = @_;
	return $node->safe_psql(
		'postgres', qq{
		SELECT location FROM ckpx_checkpoints
		WHERE state = 'finished' AND kind = 'incremental'
			AND start_lsn <= '$lsn' AND end_lsn > '$lsn'});
}

my $name = object_of($start);
ok(-e "$folder/$name", 'the object is where it should be');

rename "$folder/$name", "$folder/$name.away" or die;
my ($status, $stdout, $stderr) =
  $node->psql('postgres', "\\set VERBOSITY verbose\n" . main_blocks($start));
like($stderr, qr/ERROR:  (58P01|XX001|55000): .*/, 'a missing object is an error');
like($stderr, qr/\Q$name\E/, 'the error names the object');
lose_patience($node);
wait_for_sql($node,
	"SELECT count(*) = 1 FROM ckpx_gaps WHERE reason = 'object $name is missing or damaged'");
($status, $stdout, $stderr) =
  $node->psql('postgres', "\\set VERBOSITY verbose\n" . main_blocks($start));
like($stderr, qr/ERROR:  55000: .*\nDETAIL:  The first missing LSN is.*\nHINT:  .*\Q$name\E/,
	'then the hint of the gap names the object');

# Change one byte in the middle.
$start = wal_position($node);
$node->safe_psql('postgres',
	"UPDATE t SET b = repeat('w', 5000); SELECT ckpx_checkpoint()");
$name = object_of($start);
my $size = -s "$folder/$name";
my $byte;
open(my $file, '+<:raw', "$folder/$name") or die;
seek($file, int($size / 2), 0);
read($file, $byte, 1);
seek($file, int($size / 2), 0);
print $file chr(ord($byte) ^ 0xFF);
close($file);
($status, $stdout, $stderr) =
  $node->psql('postgres', "\\set VERBOSITY verbose\nSELECT count(*) FROM ckpx_changed_blocks('$start')");
like($stderr, qr/ERROR:  XX001: .*/, 'damage is an error');
like($stderr, qr/\Q$name\E/, 'the error names the file');

$node->stop;
done_testing();
