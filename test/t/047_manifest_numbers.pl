# A manifest that got its name although publishing it failed: its number is not
# used again, however the next attempt ends.  And a server whose manifests are
# of an earlier version.

use strict;
use warnings;

use File::Basename;
use FindBin;
use lib "$FindBin::RealBin/../lib";

use CkpxHistory;
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = loaded_node('main', on_demand => 1);

sub numbers
{
	return map { m{/meta_([0-9A-F]{16})_} ? hex($1) : () } manifests($node);
}

# Each try of a checkpoint gets another end, as it is canceled in between.
my $start = sql('SELECT ckpx_checkpoint()');
my ($newest) = numbers();
foreach my $point ('manifest-renamed', 'publish-memory')
{
	add_fault($node, $point, 'error', undef, 'eio');
	run_load($node, 3);
	isnt($node->psql('postgres', "SELECT ckpx_checkpoint(NULL, '500ms')"),
		0, "error at $point: a waiting call fails");
	wait_for_sql($node, "SELECT fired > 0 FROM ckpx_fault_list() WHERE name = '$point'");
	is(sql('SELECT ckpx_cancel_pending()'), 1, "error at $point: the entry is canceled");
	remove_fault($node, $point);

	my @failed = numbers();
	cmp_ok($failed[0], '>', $newest, "error at $point: the manifest has its name");
	run_load($node, 3);
	my $end = sql('SELECT ckpx_checkpoint()');
	my %seen;
	$seen{$_}++ foreach numbers();
	is_deeply([ grep { $seen{$_} > 1 } keys %seen ], [], "error at $point: no two of one number");
	($newest) = numbers();
	cmp_ok($newest, '>', $failed[0], "error at $point: the next has a higher one");
	store_is_sound($node, "error at $point");

	my $answer = answer($node, $start, $end);
	$node->restart;
	await_tracking($node);
	is(sql('SELECT checkpointed_lsn FROM ckpx_runner'), $end, "error at $point: a start finds the last");
	is(answer($node, $start, $end), $answer, "error at $point: with the same answer");
}

# An attempt that did not come so far leaves a number out; two are kept.
add_fault($node, 'manifest-rename', 'error', '1:1', 'eio');
run_load($node, 3);
sql('SELECT ckpx_checkpoint()');
my @numbers = numbers();
is(scalar @numbers, 2, 'two manifests are kept');
is($numbers[0] - $numbers[1], 2, 'with a number between them that no manifest has');
store_is_sound($node, 'a number left out');

# After such a failure, attempts that come less far do not remove what the
# manifest names: a start believes it.
add_fault($node, 'manifest-renamed', 'error', '1:1', 'eio');
add_fault($node, 'object-create', 'error', '2:1000', 'enospc');
run_load($node, 3);
$node->psql('postgres', "SELECT ckpx_checkpoint(NULL, '100ms')");
wait_for_sql($node, "SELECT fired > 2 FROM ckpx_fault_list() WHERE name = 'object-create'");
is(sql("SELECT state FROM ckpx_checkpoints ORDER BY end_lsn DESC LIMIT 1"),
	'running', 'a checkpoint that is named but not published is tried again');
my ($path) = manifests($node);
my @gone = grep { !-e dirname($path) . "/$_" } @{ read_manifest($path)->{objects} };
is("@gone", '', 'the newest manifest names files that are there');
crash_and_restart($node);
await_tracking($node);
store_is_sound($node, 'named but not published');
covers_all_oracles($node, $start, sql('SELECT ckpx_checkpoint()'), 'in the end');

# A manifest with a checkpoint that is not finished in memory, and then one
# without it: WAL stays for the one that knows less.
my $before = sql('SELECT ckpx_checkpoint()');
add_fault($node, 'job-published', 'wait');
add_fault($node, 'object-create', 'error', '2:1000', 'enospc');
run_load($node, 3);
$node->psql('postgres', "SELECT ckpx_checkpoint(NULL, '100ms')");
await_held($node, 'job-published');
sql("SELECT pg_terminate_backend(pid) FROM ckpx_workers WHERE name = 'checkpointer'");
remove_fault($node, 'job-published');
wait_for_sql($node, "SELECT fired > 0 FROM ckpx_fault_list() WHERE name = 'object-create'");
sql("SELECT ckpx_pin('later', '$before')");
for (1 .. 2)
{
	run_load($node, 1);
	sql('SELECT ckpx_wait_collected(pg_current_wal_insert_lsn())');
}
crash_and_restart($node);
await_tracking($node);
is(sql('SELECT epoch FROM ckpx_runner'), 1, 'a start goes on where the newest manifest ends');
covers_all_oracles($node, $start, sql('SELECT ckpx_checkpoint()'), 'after it');

# Make the text of a manifest in $_ that of version 2.
sub to_version_2
{
	my @names;
	my $out = '';

	s/(?<=version": )3/2/;
	foreach my $line (split /\n/)
	{
		if ($line !~ s/^\[(.*)\](,?)$/$1/)
		{
			$out .= "$line\n";
			@names = ();
			next;
		}
		my $comma = $2;
		my @values = $line =~ /\G("(?:[^"\\]|\\.)*"|[^,]+),?/g;
		if (!@names)
		{
			@names = @values;
			next;
		}
		my %value;
		@value{@names} = @values;
		my @order = @names;
		if (exists $value{'"undurable"'})
		{
			@order = map { $_ eq '"undurable"' ? ($_, '"truncate_lsn"') : $_ } @order;
			$value{'"truncate_lsn"'} = $value{'"last_record_start"'};
			$value{'"custom_rmgrs"'} = sprintf '"%s"', $value{'"custom_rmgrs"'} =~ tr/"//dr . '0' x (66 - length $value{'"custom_rmgrs"'});
		}
		$out .= '{ ' . join(', ', map { "$_: $value{$_}" } @order) . " }$comma\n";
	}
	$_ = $out;
	return;
}

$before = sql('SELECT ckpx_checkpoint()');
sql("SELECT ckpx_record_backup(md5('1'), NULL, 1, '0/28', '$before', 10)");
my $known = sub {
	return join "\n", answer($node, $start, $before), map { sql("SELECT json_agg(x ORDER BY x::text) FROM $_ x") }
	  "(SELECT * FROM ckpx_checkpoints WHERE end_lsn <= '$before')", qw(ckpx_gaps ckpx_pins ckpx_backups);
};
my $was = $known->();
$node->stop('fast');
change_manifest($_, \&to_version_2) foreach manifests($node);
unlike(slurp_file((manifests($node))[0]), qr/^\[/m, 'manifests of version 2');
my $log_start = -s $node->logfile;
$node->start;
await_tracking($node);
unlike(log_since($node, $log_start), qr/cannot be used/, '... are read');
is($known->(), $was, '... to the same');
foreach (1, 2)
{
	run_load($node, 1);
	sql('SELECT ckpx_checkpoint()');
}
like(slurp_file($_), qr/version": 3,/, '... and followed by one of version 3') foreach manifests($node);
store_is_sound($node, 'manifests of two versions', 0);

$node->stop('fast');
done_testing();
