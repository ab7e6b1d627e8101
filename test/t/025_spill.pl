# A logtail that is too small for what is in no checkpoint yet: segments are
# merged, then written to disk, WAL goes although nothing is finished, and
# the map stays whole, also over a restart.

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
ckpx.logtail_memory = '1MB'
ckpx.global_min_count = 10000
max_slot_wal_keep_size = '2GB'
checkpoint_timeout = '1h'
max_wal_size = '2GB'
shared_buffers = '64MB'
max_locks_per_transaction = 256
EOC
my $start = wal_position($node);
$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');

sub runner
{
	return $node->safe_psql('postgres', "SELECT $_[0] FROM ckpx_runner");
}

# ---- merging: thousands of cuts, but few segments

$node->safe_psql(
	'postgres', q{
	ALTER SYSTEM SET ckpx.collect_interval = '10ms';
	SELECT pg_reload_conf();
	SELECT ckpx_disable()});
my $checkpointed = runner('checkpointed_lsn');
my $released = runner('released_lsn');
$node->safe_psql(
	'postgres', q{
	DO $$
	BEGIN
		FOR i IN 1 .. 700 LOOP
			UPDATE load_row SET n = n + 1 WHERE id = i;
			PERFORM ckpx_wait_collected(pg_current_wal_insert_lsn());
		END LOOP;
	END $$});
cmp_ok(runner('segments'), '<', 512, 'cuts are merged');

# ---- spilling: more relations than the memory holds

$node->safe_psql(
	'postgres', qq{
	DO \$\$
	BEGIN
		FOR i IN 1 .. 400 LOOP
			EXECUTE format('CREATE TABLE spill_%s_%s (id int PRIMARY KEY, t text)', $_, i);
			EXECUTE format('INSERT INTO spill_%s_%s VALUES (1, ''x'')', $_, i);
		END LOOP;
	END \$\$})
  foreach 1 .. 6;
await_tracking($node);
wait_for_sql($node, "SELECT segments_spilled > 0 FROM ckpx_stat");
cmp_ok(runner('logtail_bytes'), '<=', 1024 * 1024, 'the memory is bounded');
my @segments = store_files($node, qr/^seg_/);
cmp_ok(scalar(@segments), '>', 0, 'there are spilled segments');
is(runner('checkpointed_lsn'), $checkpointed, 'no checkpoint was finished');
is( $node->safe_psql('postgres', 'SELECT count(*) FROM ckpx_gaps'),
	1, 'no history was given up');
covers_all_oracles($node, $start, wal_position($node),
	'with spilled segments');

# WAL goes although no entry is finished: two more manifests are enough.
$node->safe_psql(
	'postgres', q{
	ALTER SYSTEM SET ckpx.max_retained_wal = '64MB';
	SELECT pg_reload_conf()});
# Always below the limit, but above 80 % of it, from which on it is spilled.
foreach my $round (1 .. 20)
{
	$node->safe_psql(
		'postgres', q{
		UPDATE load_row SET n = n + 1 WHERE id < 100;
		SELECT pg_logical_emit_message(false, 'ckpx', repeat('x', 1024 * 1024))
		FROM generate_series(1, 8)});
	wait_for_sql($node,
		'SELECT retained_bytes < 52 * 1024 * 1024 FROM ckpx_runner');
}
is( $node->safe_psql('postgres', 'SELECT count(*) FROM ckpx_gaps'),
	1, 'WAL of more than twice the limit, and no history was given up');
is(runner("released_lsn > '$released'"), 't', 'WAL was released');
is(runner('checkpointed_lsn'), $checkpointed, 'still no checkpoint');

# ---- boot: what was released is known from the segments

crash_and_restart($node);
await_tracking($node);
is_one_epoch($node, 'after a crash');
like(
	slurp_file($node->logfile),
	qr/ckpx loaded manifest .* [1-9]\d* spilled segments up to/,
	'the boot loads spilled segments');
my $end = wal_position($node);
sub covers_pages
{
	is_covered(
		missing_by_page_lsn(
			$node, $start, $end, changed_blocks($node, $start, $end)),
		"$_[0]: every page with an LSN of the range is in the map");
}
covers_pages('after a crash');

# ---- and in the end they become a checkpoint

$node->safe_psql(
	'postgres', q{
	ALTER SYSTEM RESET ckpx.max_retained_wal;
	SELECT pg_reload_conf();
	SELECT ckpx_checkpoint()});
covers_pages('after a checkpoint');
$node->restart;
await_tracking($node);
store_is_sound($node, 'in the end', 1);
is_one_epoch($node, 'in the end');
is(join(' ', store_files($node, qr/^seg_/)), '', 'no segment is left');
covers_pages('after a restart');

# ---- a spilled segment is damaged: there is no way on without it

$node->safe_psql('postgres', 'SELECT ckpx_disable()');
my $spilled = $node->safe_psql('postgres', 'SELECT segments_spilled FROM ckpx_stat');
foreach my $round (7 .. 12)
{
	$node->safe_psql(
		'postgres', qq{
		DO \$\$
		BEGIN
			FOR i IN 1 .. 400 LOOP
				EXECUTE format('CREATE TABLE spill_%s_%s (id int PRIMARY KEY, t text)', $round, i);
				EXECUTE format('INSERT INTO spill_%s_%s VALUES (1, ''x'')', $round, i);
			END LOOP;
		END \$\$});
}
await_tracking($node);
wait_for_sql($node, "SELECT segments_spilled > $spilled FROM ckpx_stat");
my $from = runner('checkpointed_lsn');
my $to = wal_position($node);
foreach my $segment (store_files($node, qr/^seg_/))
{
	my $path = store_dir($node) . "/$segment";
	open(my $file, '+<:raw', $path) or die "could not open \"$path\": $!";
	seek($file, int((-s $path) * 0.4), 0);
	print $file "\x01\xfe\x01\xfe";
	close($file);
}
my $offset = -s $node->logfile;
$node->safe_psql('postgres', 'SELECT ckpx_enable()');
$node->psql('postgres', "SELECT ckpx_checkpoint(NULL, '60s')");
comes_true(
	sub {
		log_since($node, $offset) =~ /WARNING:  ckpx checkpoint object "seg_[^"]+" is missing or damaged\n.*\n.*HINT:  Its WAL is read again/;
	},
	'a damaged segment: a warning names it');
wait_for_sql($node,
	"SELECT problem IS NULL AND ckpx_wait_collected('$to') FROM ckpx_runner");
$start = runner('epoch') == 1 ? $from : $to;
if (runner('epoch') > 1)
{
	has_no_answer($node, $from, $to, 'its WAL is gone: no answer in its range');
	$start = $node->safe_psql('postgres',
		'SELECT to_lsn FROM ckpx_gaps ORDER BY epoch DESC LIMIT 1');
}
$node->safe_psql('postgres', 'UPDATE load_row SET n = n + 1 WHERE id < 100');
$end = wal_position($node);
covers_pages('a damaged segment');
$node->restart;
await_tracking($node);
store_is_sound($node, 'after a damaged segment', 1);

$node->stop('fast');
done_testing();
