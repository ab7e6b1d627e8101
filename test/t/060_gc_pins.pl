# Pins and garbage collection: bad input, restarts, expiry, closed epochs, and
# failures of the removal.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use CkpxHistory qw(await_gc_round);
use CkpxTest;
use Test::More;

my $node = new_node('main', quick_restart => 1,
	conf => "ckpx.min_incremental_interval = '1h'\nckpx.gc_keep_time = '1h'");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION ckpx; CREATE TABLE t (i int)');

sub objects { return scalar(my @f = glob($node->data_dir . '/ckpx/*/*.ckpx')); }

sql('INSERT INTO t VALUES (1)');
my $first = sql('SELECT ckpx_checkpoint()');
sql('INSERT INTO t VALUES (2)');
sql('SELECT ckpx_checkpoint()');

# Bad input
like(error_of("SELECT ckpx_pin(NULL, '$first')"), qr/22004/, 'no name');
like(error_of("SELECT ckpx_pin('a', NULL)"), qr/22004/, 'no LSN');
like(error_of("SELECT ckpx_pin('', '$first')"), qr/22023/, 'empty name');
like(error_of("SELECT ckpx_pin(repeat('x', 64), '$first')"),
	qr/42622.*63 are allowed/s, 'long name');
like(error_of("SELECT ckpx_pin('a', '0/1')"),
	qr/22023.*lies in the past.*HINT/s, 'a pin in the past');
like(error_of("SELECT ckpx_pin('a', 'FFFFFFFF/0')"),
	qr/22023.*lies in the future/s, 'a pin in the future');
like(error_of("SELECT ckpx_pin('a', '$first', '0')"),
	qr/22023.*ttl must be greater than zero/s, 'ttl zero');
like(error_of("SELECT ckpx_pin('a', '$first', '-1 s')"),
	qr/22023.*ttl must be greater than zero/s, 'negative ttl');
like(error_of("SELECT ckpx_unpin('a')"), qr/42704/, 'no such pin');
like(error_of("SELECT ckpx_gc('FFFFFFFF/0')"),
	qr/22023.*future/s, 'collection up to the future');

sql("SELECT ckpx_pin('a', '$first')");
like(error_of("SELECT ckpx_pin('a', '$first')"), qr/42710/, 'duplicate');
sql(q{SELECT ckpx_pin('with "quotes" and \ äö', ckpx_low_water_mark(), '1 day')});
is(sql('SELECT count(*), count(expires_at) FROM ckpx_pins'), '2|1', 'two pins');

# A pin is durable when the call returns, and an error means no pin.
crash_and_restart($node);
wait_for_sql($node, 'SELECT problem IS NULL AND epoch = 1 FROM ckpx_runner');
is( sql('SELECT name, lsn, expires_at IS NULL FROM ckpx_pins ORDER BY name'),
	"a|$first|t\n"
	  . 'with "quotes" and \ äö|' . sql('SELECT ckpx_low_water_mark()') . '|f',
	'pins survive a crash');
sql("SELECT ckpx_fault_add('manifest-fsync', 'error', NULL, 'enospc')");
like(error_of("SELECT ckpx_pin('b', '$first')"),
	qr/could not write a manifest/, 'a pin that cannot be made durable');
like(error_of("SELECT ckpx_unpin('a')"),
	qr/could not write a manifest/, 'nor taken away');
sql("SELECT ckpx_fault_remove('manifest-fsync')");
is(sql("SELECT string_agg(left(name, 4), ',' ORDER BY name) FROM ckpx_pins"),
	'a,with', 'the pins are as before');

# Expiry
sql("SELECT ckpx_pin('short', '$first', '200 ms')");
wait_for_sql($node,
	"SELECT count(*) = 0 FROM ckpx_pins WHERE name = 'short'");
sql("SELECT ckpx_pin('short', '$first')");
sql("SELECT ckpx_unpin('short')");

# There can be so many.
sql("SELECT ckpx_pin('p' || i, '$first') FROM generate_series(1, 62) i");
like(error_of("SELECT ckpx_pin('x', '$first')"),
	qr/54000.*too many pins/s, 'too many');
sql("SELECT ckpx_unpin('p' || i) FROM generate_series(1, 62) i");
sql("SELECT ckpx_unpin(name) FROM ckpx_pins WHERE name <> 'a'");

# A manifest that cannot be removed when it is replaced goes later, although
# no other one is written.
sub manifests { return scalar(my @f = glob($node->data_dir . '/ckpx/*/meta_*.json')); }

sql("SELECT ckpx_fault_add('remove-file', 'error', '1:1', 'eio')");
sql("SELECT ckpx_pin('b', '$first')");
wait_for_sql($node, "SELECT fired = 1 FROM ckpx_fault_list() WHERE name = 'remove-file'");
comes_true(sub { manifests() == 2 }, 'a manifest that could not be removed goes later')
  or diag(manifests() . ' manifests are there');
sql("SELECT ckpx_fault_remove('remove-file')");
sql("SELECT ckpx_unpin('b')");

# What no global covers stays, whatever is asked.
is(sql('SELECT ckpx_gc()'), 0, 'nothing is covered');

# A closed epoch goes when its time is over, but not what is pinned; and a
# failure in the middle is repeated.
my $slot = sub { $node->stop; system('rm', '-rf', $node->data_dir . '/pg_replslot/ckpx'); $node->start; };
$slot->();
wait_for_sql($node, 'SELECT problem IS NULL AND epoch = 2 FROM ckpx_runner');
my $old = sql('SELECT count(*) FROM ckpx_checkpoints WHERE epoch = 1');
cmp_ok($old, '>=', 2, 'the closed epoch has checkpoints');
await_gc_round($node);
change_settings($node, 'ckpx.gc_keep_time' => '0');
my $unpinned =
  sql("SELECT count(*) FROM ckpx_checkpoints WHERE epoch = 1 AND end_lsn <= '$first'");
is(sql('SELECT ckpx_gc(dry_run => true)'), $unpinned, 'dry run');
is(sql('SELECT count(*) FROM ckpx_checkpoints WHERE epoch = 1'),
	$old, 'removes nothing');
sql("SELECT ckpx_fault_add('gc-published', 'exit', '1:1')");
$node->psql('postgres', 'SELECT ckpx_gc()');
wait_for_sql($node,
	"SELECT restarts > 0 AND pid IS NOT NULL FROM ckpx_workers WHERE name = 'checkpointer'");
sql("SELECT ckpx_fault_remove('gc-published')");
sql('SELECT ckpx_gc()');
is( sql("SELECT count(*) FROM ckpx_checkpoints WHERE epoch = 1 AND end_lsn <= '$first'"),
	0, 'what is not pinned goes');
is(sql('SELECT count(*) FROM ckpx_checkpoints WHERE epoch = 1'),
	$old - $unpinned, 'what is pinned stays');
await_gc_round($node);
sql("SELECT ckpx_unpin('a')");
is(sql('SELECT ckpx_gc()'), $old - $unpinned, 'the rest goes with the pin');
is(objects(), sql("SELECT count(*) FROM ckpx_checkpoints WHERE state = 'finished'"),
	'files go with the entries');
is(sql('SELECT min(epoch) FROM ckpx_gaps'), 2, 'and the gap rows');

# A removal that fails after the entries are gone: their files go all the
# same, although no later round has anything to choose.
change_settings($node, 'ckpx.gc_keep_time' => '1d');
sql('INSERT INTO t VALUES (3); SELECT ckpx_checkpoint()');
sql('SELECT ckpx_global_checkpoint()');
sql("SELECT ckpx_fault_add('remove-file', 'error', '2:2', 'eio')");
like(error_of('SELECT ckpx_gc()'), qr/58030/, 'a file cannot be removed');
is(sql('SELECT ckpx_gc(dry_run => true)'), 0, 'nothing is left to be chosen');
comes_true(sub { objects() == sql('SELECT count(*) FROM ckpx_checkpoints') },
	'the files go all the same');
sql("SELECT ckpx_fault_remove('remove-file')");

# Still so after a crash.
crash_and_restart($node);
wait_for_sql($node, 'SELECT problem IS NULL AND epoch = 2 FROM ckpx_runner');
is(sql('SELECT count(*) FROM ckpx_checkpoints WHERE epoch = 1'),
	0, 'nothing comes back');
$node->stop;
done_testing();
