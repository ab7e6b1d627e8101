# One data directory, two histories: WAL that was tracked is taken back and
# written anew, by recovery to an earlier point, by pg_rewind, or by a cold
# copy whose new WAL has its records at the very same places.  The store lies
# outside the data directory and knows the first history, or came along with
# the other one's files.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use CkpxHistory;
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $outside = PostgreSQL::Test::Utils::tempdir();
my $saved = PostgreSQL::Test::Utils::tempdir();

# Let WAL go beyond a position of another history.
sub pass_position
{
	my ($node, $lsn) = @_;

	$node->safe_psql('postgres',
		"SELECT pg_logical_emit_message(true, 'ckpx', repeat('x', 1024 * 1024))")
	  while $node->safe_psql('postgres',
		"SELECT pg_current_wal_insert_lsn() <= '$lsn'") eq 't';
}

# The names and contents of the objects in all folders.
sub objects
{
	my %objects;

	foreach my $path (glob("$outside/*/*.ckpx*"))
	{
		$objects{$path} = slurp_file($path);
	}
	return \%objects;
}

sub objects_survive
{
	my ($before, $name) = @_;
	my $now = objects();

	cmp_ok(scalar(keys %$before), '>', 0, "$name: there were objects");
	is( join(' ',
			grep { !exists $now->{$_} || $now->{$_} ne $before->{$_} }
			  sort keys %$before),
		'',
		"$name: all of them are there, as they were");
}

my $node = history_node(
	'main', conf => <<"EOC");
ckpx.global_min_count = 10000
ckpx.directory = '$outside'
max_slot_wal_keep_size = '2GB'
archive_mode = on
EOC
$node->enable_archiving;
$node->start;
create_load($node);
await_tracking($node);

# ---- the same places, lengths and links, but other records: only what the
# last known record holds tells the two apart

my $name = 'other record at the same place';

# Records of one length each, in a segment of their own.
sub write_messages
{
	my ($node, $letter) = @_;

	$node->safe_psql(
		'postgres', qq{
		SELECT pg_switch_wal();
		SELECT pg_logical_emit_message(false, 'ckpx', repeat('$letter', 100))
		FROM generate_series(1, 20)});
}

some_history($node);
$node->stop('fast');
replace_data($node->data_dir, "$saved/cold");

$node->start;
await_tracking($node);
my $let_write = hold_background_writer($node);
write_messages($node, 'a');
my $known = $node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
my ($from) = finished_range($node);
$node->safe_psql('postgres', 'SELECT ckpx_disable()');
$let_write->();
$node->stop('immediate');

# The last record that the manifest knows, and what pg_waldump finds there.
my ($folder) = glob("$outside/*-*");
my ($manifest) = reverse sort glob("$folder/meta_*.json");
my ($last) = grep { $_->{end_lsn} eq $known } manifest_entries($manifest);
my ($start, $length) = @$last{qw(last_record_start last_record_length)};

sub known_record
{
	my ($place, $payload) = split /desc: .*: /,
	  `pg_waldump -p @{[ $node->data_dir ]}/pg_wal -s $start -n 1`;

	return ($place, substr($payload, 0, 8));
}
my ($place, $payload) = known_record();
my $at = sprintf '%X/%08X', map { hex } split m{/}, $start;
like($place, qr{len .*/ *$length, .*lsn: $at, prev },
	"$name: it is a whole record");
is($payload, '61 61 61', "$name: of the first history");
my $before = objects();

replace_data("$saved/cold", $node->data_dir);
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->start;
$let_write = hold_background_writer($node);
write_messages($node, 'b');
$let_write->();
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'ckpx'");
$node->restart;
my ($new_place, $new_payload) = known_record();
is($new_place, $place, "$name: place, length and link are the same");
is($new_payload, '62 62 62', "$name: what it holds is not");
await_tracking($node);
my $gap = newest_gap($node);
is($gap->{epoch}, 2, "$name: a new epoch");
is($gap->{reason},
	"the record at $start is not the one that was read before",
	"$name: for this reason");
has_no_answer($node, $from, $known,
	"$name: what was tracked is not the WAL of this history");
goes_on($node, $name);
objects_survive($before, $name);

# ---- the slot is gone, the WAL is not: it shows that what was known is right

$name = 'slot dropped';
($from, $known) = finished_range($node);
my $answer = answer($node, $from, $known);
$node->stop('fast');
system_or_bail('rm', '-r', $node->data_dir . '/pg_replslot/ckpx');
$node->start;
await_tracking($node);
$gap = newest_gap($node);
is("$gap->{epoch} $gap->{reason}", '3 replication slot is missing',
	"$name: a new epoch");
is(answer($node, $from, $known), $answer, "$name: what was known is known");
has_no_answer($node, $from, wal_position($node), "$name: no answer beyond");

# ---- recovery to an earlier point, on a new timeline

$name = 'earlier point';
$node->stop('fast');
replace_data($node->data_dir, "$saved/earlier");
$node->start;
await_tracking($node);
($from) = finished_range($node);
some_history($node);
my $target = $node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
my $common = answer($node, $from, $target);
run_load($node, 10);
some_history($node);
my ($old_from, $old_to) = finished_range($node);
my $after = wal_position($node);
$node->safe_psql('postgres', 'SELECT pg_switch_wal()');
$node->poll_query_until('postgres',
	"SELECT last_archived_wal >= pg_walfile_name('$after') FROM pg_stat_archiver")
  or die 'WAL is not archived';
$node->stop('fast');
$before = objects();

replace_data("$saved/earlier", $node->data_dir);
my $archive = $node->archive_dir;
$node->append_conf(
	'postgresql.conf', <<"EOC");
restore_command = 'cp "$archive/%f" "%p"'
recovery_target_lsn = '$target'
recovery_target_inclusive = off
recovery_target_action = promote
EOC
append_to_file($node->data_dir . '/recovery.signal', '');
$node->start;
wait_for_sql($node, 'SELECT NOT pg_is_in_recovery()');
await_tracking($node);
$gap = newest_gap($node);
is($gap->{epoch}, 4, "$name: a new epoch");
like($gap->{reason}, qr/^timeline 1 was left at .*, before /,
	"$name: what was known is not in this history up to its end");
is($node->safe_psql('postgres', 'SELECT timeline FROM ckpx_runner'),
	2, "$name: on the new timeline");
is($gap->{from}, $target, "$name: known is what both histories share");
is(answer($node, $from, $target), $common, "$name: which is answered as before");
goes_on($node, $name);
pass_position($node, $old_to);
is( has_no_answer(
		$node, $old_from, $old_to, "$name: no answer across the switch"),
	$target,
	"$name: not even where nothing is missing between the two");
covers_all_oracles($node, $target, wal_position($node),
	"$name: LSNs that exist again are those of this history",
	timeline => 2);
objects_survive($before, $name);
$node->append_conf('postgresql.conf', "recovery_target_lsn = ''");

# ---- pg_rewind: a former primary follows the promoted standby

$node->append_conf('postgresql.conf', "archive_mode = off\nwal_log_hints = on");
foreach my $directory ($outside, 'ckpx')
{
	$name = $directory eq 'ckpx' ? 'pg_rewind, inside' : 'pg_rewind, outside';

	$node->append_conf('postgresql.conf', "ckpx.directory = '$directory'");
	$node->restart;
	lose_patience($node);
	await_tracking($node);
	$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
	my $backup = $directory eq 'ckpx' ? 'inside' : 'outside';
	$node->backup($backup);

	my $standby = PostgreSQL::Test::Cluster->new($backup);
	$standby->init_from_backup($node, $backup, has_streaming => 1);
	$standby->start;
	some_history($node);
	$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
	await_tracking($standby);
	$standby->promote;
	await_tracking($standby);

	# Both go on by themselves, each with its own history.
	some_history($node);
	some_history($standby);
	my @ours = finished_range($node);
	$node->stop('fast');
	pass_position($standby, $ours[1]);
	$standby->safe_psql('postgres', 'CHECKPOINT');
	$before = objects();

	my $conf = slurp_file($node->data_dir . '/postgresql.conf');
	system_or_bail('pg_rewind', '--target-pgdata', $node->data_dir,
		'--source-server', $standby->connstr('postgres'));
	ok(!-e $node->data_dir . '/pg_replslot/ckpx', "$name: the slot is gone");
	unlink $node->data_dir . '/postgresql.conf';
	append_to_file($node->data_dir . '/postgresql.conf', $conf);
	append_to_file($node->data_dir . '/standby.signal', '');
	$node->append_conf('postgresql.conf',
		"primary_conninfo = '" . $standby->connstr . "'\nrecovery_target_timeline = latest");
	$node->start;
	$standby->wait_for_catchup($node, 'replay', $standby->lsn('insert'));
	await_tracking($node);

	$gap = newest_gap($node);
	if ($directory eq 'ckpx')
	{
		# The store is the standby's now, and so is what it knows.
		is($gap->{reason}, 'data directory is a copy',
			"$name: a new epoch, for it is the standby's copy now");
		my $timeline = $standby->safe_psql('postgres',
			'SELECT timeline FROM ckpx_runner');
		my ($switch) = reverse slurp_file($standby->data_dir
			  . sprintf('/pg_wal/%08X.history', $timeline)) =~
		  m{^\d+\t(\S+)}mg;
		is_covered(
			missing_by_waldump(
				$standby, $switch, $gap->{from},
				changed_blocks($node, $switch, $gap->{from}),
				timeline => $timeline),
			"$name: what the other server knew is known");
	}
	else
	{
		is("$gap->{epoch} $gap->{reason}", '1 data directory is a copy',
			"$name: a store of its own, for the data directory is a copy now");
		objects_survive($before, $name);
	}
	has_no_answer($node, $ours[0], $ours[1],
		"$name: what was tracked before is not this history");
	my $start = wal_position($node);
	run_load($standby, 20);
	$standby->wait_for_catchup($node, 'replay', $standby->lsn('insert'));
	await_tracking($node);
	my $end = wal_position($node);
	is_covered(
		missing_by_waldump(
			$node, $start, $end,
			changed_blocks($node, $start, $end),
			timeline => $node->safe_psql('postgres',
				'SELECT timeline FROM ckpx_runner')),
		"$name: every block reference of the new epoch is in its map");

	# Back to a primary, for the next round.
	$standby->stop('fast');
	$node->promote;
	await_tracking($node);
	goes_on($node, $name);
}
$node->stop('fast');
done_testing();
