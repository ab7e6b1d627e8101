# Which dirty blocks count as appended and which as deleted from: told by what
# WAL did to each block, against ctid and pg_buffercache.  Only with ckpx.flush
# on is that known.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => <<'EOC');
shared_buffers = '32MB'
checkpoint_timeout = '1h'
max_wal_size = '4GB'
autovacuum = off
bgwriter_lru_maxpages = 0
ckpx.collect_interval = '100ms'
ckpx.logtail_memory = '1MB'
ckpx.flush = on
ckpx.max_flush_interval = '1h'
ckpx.min_count = 1000000
ckpx.max_incremental_interval = 0
EOC
$node->start;

sub wait_collected
{
	sql('SELECT ckpx_wait_collected(pg_current_wal_insert_lsn())');
	return;
}

# Wait until the dirty blocks of the table's main fork are told apart so; those of
# its visibility map and free space map count as appended.
sub are_told_apart
{
	my ($table, $appended, $thinned, $name) = @_;
	my $dirty = "SELECT count(*) FROM pg_buffercache
		WHERE isdirty AND relfilenode = pg_relation_filenode('$table')";

	wait_collected();
	wait_for_sql($node, "SELECT append_bytes / 8192 - ($dirty AND relforknumber <> 0), delete_bytes / 8192
		FROM ckpx_dirty_tables WHERE relation = '$table'::regclass", "$appended|$thinned");
	is(sql("$dirty AND relforknumber = 0"), $appended + $thinned, $name);
	return;
}

# Blocks of rows that the condition holds for.
sub blocks
{
	my ($table, $condition) = @_;
	return split /\n/,
	  sql("SELECT DISTINCT (ctid::text::point)[0] FROM $table WHERE $condition");
}

# A table whose 30 blocks are clean, durable, frozen and full.
sub create_table
{
	my ($table) = @_;

	sql(qq{CREATE TABLE $table (id int, pad text) WITH (fillfactor = 100);
		INSERT INTO $table SELECT i, repeat('x', 700) FROM generate_series(1, 330) i});
	sql("VACUUM (FREEZE) $table");
	wait_collected();
	is(sql("SELECT flushed FROM ckpx_flush_table('$table')"), 't', "$table is flushed");
	return;
}

sql('CREATE EXTENSION ckpx; CREATE EXTENSION pg_buffercache');

# ---- all at once

create_table('mixed');
sql(q{DELETE FROM mixed WHERE ctid < '(10,0)';
	SELECT count(*) FROM (SELECT FROM mixed
		WHERE ctid > '(10,0)' AND ctid < '(15,0)' FOR UPDATE) t});
are_told_apart('mixed', 0, 15, 'deleting and locking rows only thins blocks');

sql(q{INSERT INTO mixed SELECT i, repeat('y', 700) FROM generate_series(1, 100) i;
	UPDATE mixed SET pad = repeat('z', 700) WHERE ctid > '(20,0)' AND ctid < '(22,0)'});
my %grown = map { $_ => 1 } blocks('mixed', q{pad NOT LIKE 'x%'});
my @thinned = grep { !$grown{$_} } 0 .. 14, 20, 21;
ok(keys %grown >= 10 && @thinned >= 15,
	'rows were put into ' . keys(%grown) . ' blocks, and ' . @thinned . ' lost rows');
are_told_apart('mixed', scalar keys %grown, scalar @thinned,
	'an update thins the block of its old row');

sql('VACUUM mixed');
sql(q{INSERT INTO mixed SELECT i, repeat('w', 700) FROM generate_series(1, 50) i});
%grown = map { $_ => 1 } blocks('mixed', q{pad NOT LIKE 'x%'});
cmp_ok(scalar(grep { $grown{$_} } 0 .. 9), '>', 1, 'blocks that lost rows got some');
are_told_apart('mixed', scalar keys %grown,
	scalar(grep { !$grown{$_} } 0 .. 14, 20, 21), 'and are not only thinned any more');

sql('CREATE INDEX ON mixed (id)');
sql(q{SELECT ckpx_flush_table('mixed'); DELETE FROM mixed WHERE id = 1; VACUUM mixed});
wait_collected();
sql_becomes($node, q{SELECT count(*), sum(delete_bytes) FROM ckpx_dirty_tables
	WHERE relation = 'mixed_id_idx'::regclass},
	'1|0', 'blocks of an index count as appended');

# ---- what was flushed does not count

create_table('flushed');
sql(q{INSERT INTO flushed SELECT i, repeat('y', 700) FROM generate_series(1, 100) i});
@thinned = blocks('flushed', q{pad LIKE 'y%'});
wait_collected();
sql(q{SELECT ckpx_flush_table('flushed'); DELETE FROM flushed WHERE pad LIKE 'y%'});
are_told_apart('flushed', 0, scalar @thinned,
	'what got rows before the flush and lost them after it');

# ---- many cuts, which the logtail merges; what it has merged counts as a whole,
# so it is to begin here

create_table('often');
sql('SELECT ckpx_checkpoint()');
sql(q{DO $$
	BEGIN
		FOR block IN 0 .. 24 LOOP
			FOR line IN 1 .. 11 LOOP
				PERFORM FROM often WHERE ctid = format('(%s,%s)', block, line)::tid FOR UPDATE;
				COMMIT;
				PERFORM ckpx_wait_collected(pg_current_wal_insert_lsn());
				DELETE FROM often WHERE ctid = format('(%s,%s)', block, line)::tid;
				COMMIT;
				PERFORM ckpx_wait_collected(pg_current_wal_insert_lsn());
			END LOOP;
			IF block % 5 = 4 THEN
				INSERT INTO often SELECT i, repeat('y', 700) FROM generate_series(1, 11) i;
				COMMIT;
			END IF;
		END LOOP;
	END $$});
%grown = map { $_ => 1 } blocks('often', q{pad LIKE 'y%'});
@thinned = grep { !$grown{$_} } 0 .. 24;
are_told_apart('often', scalar keys %grown, scalar @thinned, 'the same over 550 cuts');
cmp_ok(sql('SELECT segments FROM ckpx_runner'), '<', 25 * 11, 'which were merged');

# ---- with ckpx.flush = demand, and back

sub set_flush
{
	my ($mode) = @_;
	sql("ALTER SYSTEM SET ckpx.flush = $mode");
	$node->reload;
	wait_for_sql($node, 'SELECT pressure IS NOT NULL FROM ckpx_runner', $mode eq 'on' ? 't' : 'f');
	return;
}

create_table('before');
create_table('probe');
set_flush('demand');

# The cut under way still knows; the next one but one does not.
foreach (1, 2)
{
	sql(q{SELECT pg_logical_emit_message(false, '', '')});
	wait_collected();
}

# The buffers are counted at once, whatever the flusher does.
my $of_before = q{FROM ckpx_dirty_tables WHERE relation = 'before'::regclass};
add_fault($node, 'flush-begin', 'wait');
my $held = background(q{SELECT flushed FROM ckpx_flush_table('probe')});
wait_for_sql($node, q{SELECT waiting > 0 FROM ckpx_fault_list() WHERE name = 'flush-begin'});
sql(q{UPDATE before SET id = -id WHERE ctid < '(10,0)'});
is(sql("SELECT dirty_blocks $of_before"),
	sql(q{SELECT count(*) FROM pg_buffercache WHERE isdirty AND relfilenode = pg_relation_filenode('before')}),
	'with ckpx.flush = demand dirty blocks are counted by the query');
is(sql("SELECT append_bytes, delete_bytes, deadline, ready, reason $of_before"),
	'|||f|', 'and nothing else is claimed');
remove_fault($node, 'flush-begin');
is($held->(), "t\n", 'the flusher was held');
wait_collected();

# The setting reaches the runner, and then its next cut.
set_flush('on');
my $block = 0;
comes_true(
	sub {
		return 0 if $block == 30;
		sql("DELETE FROM probe WHERE (ctid::text::point)[0] = $block");
		$block++;
		wait_collected();
		eval {
			wait_until(sub { sql(q{SELECT delete_bytes > 0 FROM ckpx_dirty_tables
				WHERE relation = 'probe'::regclass}) eq 't' }, 'some are thinned', 1);
		};
	},
	'with ckpx.flush = on they are told apart again');
%grown = map { $_ => 1 } blocks('before', 'id < 0');
sql(q{DELETE FROM before WHERE ctid < '(12,0)' OR id < 0});
are_told_apart('before', scalar(keys %grown) + 10, 2,
	'of what changed without it nothing is known but that it changed');

$node->stop;
done_testing();
