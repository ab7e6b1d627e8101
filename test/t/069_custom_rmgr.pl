# Records of a custom resource manager that change relation files in a way of
# their own.  Where no decoder vouches for such a record nothing is known any
# more: a new epoch begins, with its reason.  A decoder decides, not the
# library that wrote the record.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use CkpxHistory;
use CkpxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = history_node(
	'main',
	preload => 'ckpx_observer, ckpx',
	conf => "ckpx.global_min_count = 10000\ncheckpoint_timeout = '1h'\n");
$node->start;
create_load($node);
$node->safe_psql('postgres', 'CREATE EXTENSION ckpx_observer');
$node->safe_psql('postgres', q{
	CREATE ACCESS METHOD unusual TYPE TABLE HANDLER heap_tableam_handler;
	CREATE TABLE unusual (a int) USING unusual});
await_tracking($node);

# Write a record; returns its end.
sub write_record
{
	my ($what, @block) = @_;

	return $node->safe_psql('postgres',
		'SELECT ckpx_observer_write(' . join(', ', "'$what'", @block) . ')');
}

sub row_of
{
	my ($start, $end, $relation) = @_;

	return $node->safe_psql(
		'postgres', qq{
		SELECT limit_block, blocks FROM ckpx_changed_blocks('$start', '$end')
		WHERE relfilenode = $relation});
}

# ---- a decoder vouches for it

my $start = wal_position($node);
run_load($node, 10);
write_record($_, 1663, 5, 77777, 3) foreach qw(special create block block);
write_record('block', 1663, 5, 77778, 9);
write_record('drop', 1663, 5, 77778);
write_record('truncate', 1663, 5, 77779, 4);
write_record('block', 1663, 5, 77779, 2);
run_load($node, 10);
my $end = wal_position($node);
covers_all_oracles($node, $start, $end, 'with a decoder');
is_one_epoch($node, 'with a decoder');
is(row_of($start, $end, 77777), '0|{[3,4)}', 'a fork created, then a block');
is(row_of($start, $end, 77778), '0|{}', 'a fork dropped');
is(row_of($start, $end, 77779), '4|{[2,3)}', 'a fork truncated');
is($node->safe_psql('postgres', 'SELECT custom_rmgrs FROM ckpx_runner'),
	'{}', 'the decoder covers all of it');
$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
is(row_of($start, $end, 77779), '4|{[2,3)}', 'the same from a checkpoint');

# A database-wide row stands for all of its relations.
my $wide = wal_position($node);
write_record('create', 1663, 77, 0);
my $wide_end = wal_position($node);
is(row_of($wide, $wide_end, 0), '0|{}', 'a database created');

# ---- nobody does

sub breaks
{
	my ($what, $rmid, $name) = @_;
	my $epoch = $node->safe_psql('postgres', 'SELECT epoch FROM ckpx_runner');

	run_load($node, 10);
	$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
	my $before = wal_position($node);
	my $offset = -s $node->logfile;
	run_load($node, 10);
	my $record_end = write_record($what, 1663, 5, 77777, 3);
	wait_for_sql($node, "SELECT epoch > $epoch FROM ckpx_runner");
	await_tracking($node);
	my $after = wal_position($node);
	run_load($node, 10);
	my $now = wal_position($node);

	my @gap = split /\|/,
	  $node->safe_psql(
		'postgres', q{
		SELECT epoch, to_lsn, reason FROM ckpx_gaps ORDER BY epoch DESC LIMIT 1});
	is($gap[0], $epoch + 1, "$name: one new epoch");
	is($node->safe_psql('postgres', "SELECT '$gap[1]'::pg_lsn >= '$record_end'"),
		't', "$name: it begins behind the record");
	like($gap[2],
		qr/^unknown record changes relation files: resource manager $rmid, info /,
		"$name: the gap has its reason");
	like(
		log_since($node, $offset),
		qr/WARNING:  ckpx lost track of changes; epoch $gap[0] begins at \Q$gap[1]\E/,
		"$name: a warning says so");
	has_no_answer($node, $before, $now, "$name: no answer across the record");
	covers_all_oracles($node, $after, $now, "$name: in the new epoch");
	return;
}

breaks('special unknown', 128, 'a record that the decoder does not know');
breaks('special undeclared', 129, 'a resource manager without a decoder');

# ---- an ordinary record: the blocks that it registers are known, and whether
# it changes others is not

my $epoch = $node->safe_psql('postgres', 'SELECT epoch FROM ckpx_runner');
my $parent = wal_position($node);
write_record('undeclared');
await_tracking($node);
my $after = wal_position($node);
is($node->safe_psql('postgres', 'SELECT epoch FROM ckpx_runner'),
	$epoch, 'an ordinary record of an unknown resource manager breaks nothing');
is($node->safe_psql('postgres', 'SELECT custom_rmgrs FROM ckpx_runner'),
	'{129}', 'the resource manager is listed');

# Of the tables only one of another access method may have changed.
my $unknown = qr/ERROR:  55000: block map up to \S+ does not tell all changes of custom resource manager 129/;
like(error_of("SELECT * FROM ckpx_changed_rows(NULL::unusual, '$parent')"), $unknown,
	'no rows of a table of another access method');
is(error_of("SELECT * FROM ckpx_changed_rows(NULL::load_row, '$parent')"), '', 'but of a heap');

# A backup cannot go on from before such a record: whether the map lies in the
# logtail or in checkpoints, and after a restart, when the runner has not seen it.
sub backup_since
{
	my ($since, $name) = @_;
	my $holder = session($node);

	ask($holder, q{SELECT pg_create_physical_replication_slot('held', false, true)});
	my $lsn = ask($holder, q{SELECT pg_backup_start('test', true)});
	my $error = error_of("SELECT count(*) FROM ckpx_backup_files('held', '$lsn', $since)");

	end_session($holder);
	wait_for_sql($node, q{SELECT count(*) = 0 FROM pg_replication_slots WHERE slot_name = 'held'});
	return $error;
}
like(backup_since("'$parent'"), $unknown, 'no increment across the record');
is(backup_since('NULL'), '', 'a full backup');
$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
like(backup_since("'$parent'"), $unknown, 'none from a checkpoint');
$node->restart;
await_tracking($node);
is($node->safe_psql('postgres', 'SELECT custom_rmgrs FROM ckpx_runner'),
	'{}', 'after a restart the runner has not seen it');
like(backup_since("'$parent'"), $unknown, 'no increment after a restart');
$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
my $behind = wal_position($node);
is(backup_since("'$behind'"), '', 'one from behind the record');

# ---- what a decoder vouched for is unknown to a server without it: the record
# is in no checkpoint yet, and is read again

$node->safe_psql('postgres', 'SELECT ckpx_checkpoint(), ckpx_disable()');
write_record('special', 1663, 5, 77777, 3);
await_tracking($node);
is($node->safe_psql('postgres', 'SELECT epoch FROM ckpx_runner'),
	$epoch, 'with the decoder it is known');

# Recovery would need the resource manager, a clean start does not.
$node->stop('fast');
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'ckpx'");
$node->start;
wait_for_sql($node, "SELECT epoch > $epoch FROM ckpx_runner");
await_tracking($node);
like(
	gap_reasons($node),
	qr/; unknown record changes relation files: resource manager 128, info \w+$/,
	'without the decoder it is not');
$start = wal_position($node);
run_load($node, 10);
covers_all_oracles($node, $start, wal_position($node), 'without the library');

$node->stop('fast');
done_testing();
