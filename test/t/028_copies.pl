# Data directories that are copies, or that were rolled back: their WAL is not
# the WAL that was tracked, and no answer may pretend that it is.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use CkpxHistory;
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = history_node(
	'main', conf => <<'EOC');
ckpx.global_min_count = 10000
max_slot_wal_keep_size = '2GB'
archive_mode = on
EOC
$node->enable_archiving;
$node->start;
create_load($node);
await_tracking($node);
my $start = wal_position($node);

some_history($node);

# ---- a base backup, started on its own

$node->backup('base');
my ($from, $to) = finished_range($node);
my $before = answer($node, $from, $to);
my $copy = PostgreSQL::Test::Cluster->new('copy');
$copy->init_from_backup($node, 'base');
$copy->append_conf('postgresql.conf', 'archive_mode = off');

# Its first start cannot make a slot; what the next one says is not changed.
chmod 0500, $copy->data_dir . '/pg_replslot';
$copy->start;
wait_for_sql($copy, 'SELECT problem FROM ckpx_runner', qr/could not create directory/);
chmod 0700, $copy->data_dir . '/pg_replslot';
$copy->restart;
await_tracking($copy);
my $gap = newest_gap($copy);
is("$gap->{epoch} $gap->{reason}", '2 data directory is a copy',
	'base backup: an epoch of its own');
my ($copy_from) = split /\|/, $copy->safe_psql('postgres',
	'SELECT min(start_lsn) FROM ckpx_checkpoints WHERE epoch = 1');
is($copy_from, $from, 'base backup: it brought its history along');
is(answer($copy, $from, $gap->{from}), answer($node, $from, $gap->{from}),
	'base backup: which it answers');
is(has_no_answer($copy, $from, wal_position($copy),
		'base backup: no answer over the gap'),
	$gap->{from},
	'base backup: missing is what follows');
goes_on($copy, 'base backup');
$copy->stop('fast');
is_one_epoch($node, 'base backup: the original');

# ---- the same to an earlier point, on a new timeline

run_load($node, 20);
my $target = wal_position($node);
some_history($node);
my $after = wal_position($node);
$node->safe_psql('postgres', 'SELECT pg_switch_wal()');
$node->poll_query_until('postgres',
	"SELECT last_archived_wal >= pg_walfile_name('$after') FROM pg_stat_archiver")
  or die 'WAL is not archived';

my $earlier = PostgreSQL::Test::Cluster->new('earlier');
$earlier->init_from_backup($node, 'base', has_restoring => 1, standby => 0);
$earlier->append_conf('postgresql.conf', <<"EOC");
archive_mode = off
recovery_target_lsn = '$target'
recovery_target_action = promote
EOC
$earlier->start;
wait_for_sql($earlier, 'SELECT NOT pg_is_in_recovery()');
await_tracking($earlier);
$gap = newest_gap($earlier);
is("$gap->{epoch} $gap->{reason}", '2 data directory is a copy',
	'earlier point: an epoch of its own');
is($earlier->safe_psql('postgres', 'SELECT timeline FROM ckpx_runner'),
	2, 'earlier point: on the new timeline');
has_no_answer($earlier, $from, wal_position($earlier),
	'earlier point: no answer over the gap');
goes_on($earlier, 'earlier point');
$earlier->stop('fast');

# ---- two servers with one directory outside: a cold copy

my $outside = PostgreSQL::Test::Utils::tempdir();
$node->stop('fast');
$node->append_conf('postgresql.conf', "ckpx.directory = '$outside'");
$node->start;
like(
	wait_for_sql($node, 'SELECT problem FROM ckpx_runner', qr/./),
	qr/^ckpx waits up to 5 minutes .*Directory "\Q$outside\E.*" is not there/,
	'another directory: perhaps it is away for a moment');
lose_patience($node);
await_tracking($node);
is(newest_gap($node)->{epoch}, 1, 'another directory');
is(newest_gap($node)->{reason}, 'tracking begins',
	'another directory: nothing is known there');
$start = wal_position($node);
some_history($node);
($from, $to) = finished_range($node);
$before = answer($node, $from, $to);
$node->stop('fast');

sub copy_data
{
	my ($from, $to) = @_;
	mkdir $to, 0700;

	# The contents only: the directory itself stays the one that it was.
	system_or_bail('find', $to, '-mindepth', 1, '-delete');
	system_or_bail('cp', '-a', "$from/.", $to);
}

my $twin = PostgreSQL::Test::Cluster->new('twin');
mkdir $twin->basedir;
copy_data($node->data_dir, $twin->data_dir);
$twin->append_conf(
	'postgresql.conf',
	join("\n",
		'port = ' . $twin->port,
		"unix_socket_directories = '" . $twin->host . "'",
		'archive_mode = off'));
$node->start;
$twin->start;
await_tracking($_) foreach $node, $twin;
is(scalar(() = glob("$outside/*-*")),
	2, 'one directory: each server has its own folder');
is(newest_gap($twin)->{reason}, 'data directory is a copy',
	'one directory: the copy begins anew');
is(newest_gap($node)->{epoch}, 1, 'one directory: the original goes on');
has_no_answer($twin, $from, wal_position($twin),
	'one directory: what the original knew is not the copy\'s');
some_history($_) foreach $node, $twin;
is(answer($node, $from, $to), $before,
	'one directory: the original\'s old range has the same answer');
$_->restart foreach $node, $twin;
await_tracking($_) foreach $node, $twin;
foreach my $server ($node, $twin)
{
	my $begin = $server == $node ? $start : newest_gap($server)->{to};
	covers_all_oracles($server, $begin, wal_position($server),
		'one directory, ' . $server->name);
}
is(newest_gap($node)->{epoch} . newest_gap($twin)->{epoch},
	'11', 'one directory: the two do not disturb each other');
$twin->stop('fast');

# ---- a cold copy put back over the data directory: first WAL is shorter than
# what is known, then it goes another way

my $cold = PostgreSQL::Test::Utils::tempdir();
$node->stop('fast');
copy_data($node->data_dir, "$cold/data");
$node->start;
some_history($node);
my ($old_from, $old_to) = finished_range($node);
$node->stop('fast');

copy_data("$cold/data", $node->data_dir);
$node->start;
await_tracking($node);
$gap = newest_gap($node);
is($gap->{epoch}, 2, 'cold copy put back: a new epoch');
like($gap->{reason}, qr/^WAL ends at .*, before /, 'cold copy put back: WAL is short');
goes_on($node, 'cold copy put back');
$node->safe_psql('postgres',
	"SELECT pg_logical_emit_message(false, 'ckpx', repeat('x', 1024 * 1024))");
has_no_answer($node, $old_from, $old_to,
	'cold copy put back: what was tracked is not the WAL of this history');
($old_from, $old_to) = finished_range($node);
$node->stop('fast');

copy_data("$cold/data", $node->data_dir);
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->start;
$node->safe_psql(
	'postgres', qq{
	CREATE TABLE another AS SELECT g FROM generate_series(1, 100000) g;
	SELECT pg_current_wal_insert_lsn() > '$old_to'}) =~ /t\z/
  or die 'too little WAL';
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'ckpx'");
$node->restart;
await_tracking($node);
$gap = newest_gap($node);
is($gap->{epoch}, 3, 'cold copy, another way: a new epoch');
has_no_answer($node, $old_from, $old_to,
	'cold copy, another way: what was tracked is not the WAL of this history');
goes_on($node, 'cold copy, another way');

$node->stop('fast');
done_testing();
