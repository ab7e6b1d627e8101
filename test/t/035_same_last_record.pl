# Two histories whose last known record is the same in place, length, link and
# content: the same work was done again on a data directory that was put back.
# Only records before it tell the two apart.

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
my $node = history_node(
	'main', conf => <<"EOC");
ckpx.global_min_count = 10000
ckpx.directory = '$outside'
ckpx.commit_wait = 0
max_slot_wal_keep_size = '2GB'
EOC

sub wal_from
{
	my ($lsn, @options) = @_;
	my ($out, $err) = run_command([ waldump_command($node, $lsn, undef, 1, @options) ]);

	die $err if $err ne '';
	return $out;
}

# A change that is not the same in both histories, then one that is: the last
# record is an insert, of a transaction that stays open.
my %change = (
	'in a transaction' => "INSERT INTO pair VALUES (repeat('%s', 100))",
	'without any' =>
	  "SELECT pg_logical_emit_message(false, 'ckpx', repeat('%s', 100))");

sub write_both
{
	my ($change, $letter) = @_;
	my $session = session($node);

	ask($session, sprintf($change{$change}, $letter));
	ask($session,
		"BEGIN; INSERT INTO pair VALUES ('1'); INSERT INTO pair VALUES ('2')");
	return $session;
}

# The entry that ends at an LSN, in the newest manifest.
sub known_marks
{
	my ($end) = @_;
	my ($manifest) = reverse sort glob("$outside/*-*/meta_*.json");
	my ($entry) = grep { $_->{end_lsn} eq $end } manifest_entries($manifest);
	my %mark = map { $_ => $entry->{$_} }
	  grep { /^(?:last_record|run)_/ } keys %$entry;

	return \%mark;
}

sub segment_of
{
	return $node->safe_psql('postgres', "SELECT pg_walfile_name('$_[0]')");
}

$node->start;
$node->safe_psql('postgres',
	"CREATE EXTENSION ckpx; CREATE TABLE pair (t text); INSERT INTO pair VALUES ('x')");
await_tracking($node);
$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
$node->stop('fast');
replace_data($node->data_dir, "$saved/data");
replace_data($outside, "$saved/store");

foreach my $name (sort keys %change)
{
	replace_data("$saved/data", $node->data_dir);
	replace_data("$saved/store", $outside);

	$node->start;
	await_tracking($node);
	my $let_write = hold_background_writer($node);
	my $session = write_both($name, 'a');
	my $known = $node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
	my ($from) = finished_range($node);
	$node->safe_psql('postgres', 'SELECT ckpx_disable()');
	$let_write->();
	$node->stop('immediate');
	end_session($session);
	my $mark = known_marks($known);
	my $last = wal_from($mark->{last_record_start}, '-n', 1);
	my $first = wal_from($mark->{run_start}, '-n', 1);
	like($last, qr{^rmgr: Heap +len .*/ *$mark->{last_record_length}, .*desc: INSERT},
		"$name: the last known record is one that both make");

	replace_data("$saved/data", $node->data_dir);
	$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
	$node->start;
	$let_write = hold_background_writer($node);
	$session = write_both($name, 'b');
	$let_write->();
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'ckpx'");
	$node->restart;
	end_session($session);
	is(wal_from($mark->{last_record_start}, '-n', 1),
		$last, "$name: it is there again");

	my $again = wal_from($mark->{run_start}, '-n', 1);
	if ($name eq 'in a transaction')
	{
		like($first, qr/COMMIT/, "$name: the run begins with the commit");
		isnt($again, $first, "$name: which is another one now");
	}
	else
	{
		like($first, qr/CHECKPOINT_SHUTDOWN/,
			"$name: the run begins with a checkpoint");
		is($again, $first, "$name: which is before the difference");
	}

	await_tracking($node);
	is( $node->safe_psql('postgres',
			'SELECT epoch, reason FROM ckpx_gaps ORDER BY epoch DESC LIMIT 1'),
		"2|the WAL from $mark->{run_start} to $known is not what was read before",
		"$name: a new epoch");
	has_no_answer($node, $from, $known,
		"$name: what was tracked is not the WAL of this history");
	$node->stop('fast');
}

# ---- where the run's WAL is gone, the last record has to do

replace_data("$saved/data", $node->data_dir);
replace_data("$saved/store", $outside);
$node->start;
await_tracking($node);
$node->safe_psql('postgres',
	"INSERT INTO pair VALUES ('y'); SELECT pg_logical_emit_message(false, 'ckpx', repeat('z', 1024 * 1024)) FROM generate_series(1, 20)"
);
my $known = $node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
my ($from) = finished_range($node);
my $answer = answer($node, $from, $known);
$node->safe_psql('postgres', 'SELECT ckpx_disable()');
my $mark = known_marks($known);
my $segment = segment_of($mark->{run_start});
isnt($segment, segment_of($mark->{last_record_start}),
	'long run: it begins in another WAL file');
$node->stop('fast');
unlink $node->data_dir . "/pg_wal/$segment" or die "could not remove: $!";
$node->start;
await_tracking($node);
is_one_epoch($node, 'long run: its beginning is gone');
is(answer($node, $from, $known), $answer, 'long run: the answer is the same');
$node->stop('fast');
done_testing();
