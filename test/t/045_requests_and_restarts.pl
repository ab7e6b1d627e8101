# Everything that SQL can ask of the workers, while a worker ends and starts
# anew: a call that succeeds has told the truth, one that cannot be served gets
# an error, and none hangs.
#
# At each stage a worker is held at a fault point, with one call of each kind
# waiting.  Then the worker that is held is ended, or the runner, which loads
# the history again while the other goes on.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use CkpxHistory;
use CkpxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node(
	'main', quick_restart => 1, conf => q{
ckpx.min_incremental_interval = '1h'
ckpx.global_min_count = 10000
checkpoint_timeout = '1h'
max_connections = 30
});
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION ckpx; CREATE TABLE t (i int)');
await_tracking($node);

# Its result, or undef after an error, which must be one that tells something.
sub end_call
{
	my ($call, $name) = @_;

	$call->{handle}->finish;
	chomp(my $out = ${ $call->{out} });
	return $out if $call->{handle}->result(0) == 0;
	like(
		${ $call->{err} },
		qr/^(?:WARNING.*\n)*ERROR:  (?:ckpx \w+ failed|ckpx cannot go on|ckpx could not write a manifest)/,
		"$name: the error says what happened");
	return undef;
}

# All calls either wait or have ended.
sub await_calls
{
	wait_for_sql($node,
		q{SELECT count(*) = 0 FROM pg_stat_activity
		  WHERE query LIKE '%/* call */%' AND state = 'active'
		    AND wait_event_type IS DISTINCT FROM 'Extension'
		    AND pid <> pg_backend_pid()});
	return;
}

sub files_exist
{
	my @names = @_;
	return !grep { !-e $_ }
	  map { glob($node->data_dir . "/ckpx/*/$_") } @names;
}

my $round = 0;
my $nbackups = 0;

sub play
{
	my ($point, $holder, $victim) = @_;
	my $name = "$point, $victim";
	$round++;

	# Something to collect, and a pin to remove.
	sql("INSERT INTO t VALUES ($round); SELECT ckpx_global_checkpoint()");
	sql("SELECT ckpx_pin('old$round', pg_current_wal_lsn())");
	my $removable = sql(
		q{SELECT string_agg(location, ',') FROM ckpx_checkpoints
		  WHERE kind = 'incremental' AND end_lsn <=
		        (SELECT max(end_lsn) FROM ckpx_checkpoints WHERE kind = 'global')
		    AND end_lsn <= (SELECT min(lsn) FROM ckpx_pins)});
	my $start = wal_position($node);
	sql("INSERT INTO t VALUES ($round)");
	my $lsn = wal_position($node);

	my $id = sprintf '%032x', $round;

	add_fault($node, $point, 'wait');
	my %sql = (
		checkpoint => 'SELECT ckpx_checkpoint()',
		global => 'SELECT ckpx_global_checkpoint()',
		backup => 'SELECT ckpx_backup_checkpoint()',
		pin => "SELECT ckpx_pin('new$round', '$lsn')",
		unpin => "SELECT ckpx_unpin('old$round')",
		record_backup => "SELECT ckpx_record_backup('$id', NULL, 1, '0/1', '0/2', $round)",
		gc => 'SELECT ckpx_gc()',
		flush_table => "SELECT flushed FROM ckpx_flush_table('t')",
		flush => 'SELECT flushed FROM ckpx_flush()',
		wait => "SELECT ckpx_wait('$lsn')",
		wait_collected => "SELECT ckpx_wait_collected('$lsn')");
	# A backup has a tail only if WAL was written behind its incremental.
	add_fault($node, 'backup-incremental', 'wait') if $point =~ /^backup-/;
	my %call = map { $_ => start_query($node, "$sql{$_} /* call */") } sort keys %sql;
	if ($point =~ /^backup-/)
	{
		await_held($node, 'backup-incremental');
		sql("INSERT INTO t VALUES ($round)");
		remove_fault($node, 'backup-incremental');
	}
	await_held($node, $point);
	await_calls();
	end_worker($node, $victim);
	remove_fault($node, $point);
	end_worker($node, $holder) if $victim ne $holder && $round % 2;

	my %result = map { $_ => end_call($call{$_}, "$name: $_") } sort keys %call;
	wait_for_sql($node, 'SELECT count(pid) = 4 FROM ckpx_workers');
	await_tracking($node);

	foreach my $kind ('checkpoint', 'global')
	{
		next if !defined $result{$kind};
		# A global may have replaced the incremental already.
		my $what = $kind eq 'global' ? "'global'" : "'incremental', 'global'";
		is( sql(
				"SELECT '$result{$kind}' >= '$lsn' AND max(end_lsn) >= '$result{$kind}' FROM ckpx_checkpoints WHERE kind IN ($what) AND state = 'finished'"
			),
			't',
			"$name: the $kind is there");
	}
	if (defined $result{backup})
	{
		my ($base, $tail) = (split /:/, $result{backup})[ 0, 3 ];
		ok(files_exist(grep { $_ ne '' } $base, $tail),
			"$name: the backup's files are there");
	}
	if (defined $result{gc})
	{
		my $gone = !grep { sql("SELECT count(*) FROM ckpx_checkpoints WHERE location = '$_'") }
		  split /,/, $removable;
		ok($gone, "$name: what could be collected is");
	}
	my $manifest = slurp_file((manifests($node))[0]);
	my $has_pin = sql("SELECT count(*) FROM ckpx_pins WHERE name = 'new$round'");
	is($has_pin, defined $result{pin} ? 1 : 0, "$name: the pin");
	my $has_old = sql("SELECT count(*) FROM ckpx_pins WHERE name = 'old$round'");
	is($has_old, defined $result{unpin} ? 0 : 1, "$name: the pin removed");
	ok($manifest =~ /"new$round"/, "$name: the manifest has the pin")
	  if defined $result{pin};
	ok($manifest !~ /"old$round"/, "$name: the manifest does not have the pin removed")
	  if defined $result{unpin};
	my $has_backup = sql("SELECT count(*) FROM ckpx_backups WHERE id = '$id'");
	is($has_backup, defined $result{record_backup} ? 1 : 0, "$name: the backup");
	$nbackups += $has_backup;
	ok($manifest =~ /^\["$id",/m, "$name: the manifest has the backup")
	  if defined $result{record_backup};
	is(sql("SELECT ckpx_is_flushed('$start', '$lsn')"),
		't', "$name: flushed")
	  if ($result{flush} // '') eq 't';
	foreach my $kind (qw(flush flush_table wait wait_collected))
	{
		like($result{$kind}, qr/^[tf]$/, "$name: $kind") if defined $result{$kind};
	}
	is(sql("SELECT max(end_lsn) >= '$lsn' FROM ckpx_checkpoints WHERE kind = 'incremental' AND state = 'finished' OR kind = 'global' AND state = 'finished'"),
		't', "$name: what was waited for is there")
	  if ($result{wait} // '') eq 't';

	sql("SELECT count(ckpx_unpin(name)) FROM ckpx_pins WHERE name <> 'keep'");
	return;
}

my @stages = (
	[ 'cut-before', 'runner' ],
	[ 'entry-created', 'runner' ],
	[ 'entry-started', 'runner' ],
	[ 'release-ticket', 'runner' ],
	[ 'flush-scan', 'flusher' ],
	[ 'flush-written', 'flusher' ],
	[ 'job-start', 'checkpointer' ],
	[ 'object-rename', 'checkpointer' ],
	[ 'manifest-rename', 'checkpointer' ],
	[ 'publish-memory', 'checkpointer' ],
	[ 'job-published', 'checkpointer' ],
	[ 'backup-start', 'checkpointer' ],
	[ 'backup-published', 'checkpointer' ],
	[ 'global-relation', 'checkpointer' ],
	[ 'global-published', 'checkpointer' ],
	[ 'gc-chosen', 'checkpointer' ],
	[ 'gc-published', 'checkpointer' ],
	[ 'gc-forgotten', 'checkpointer' ]);

foreach my $stage (@stages)
{
	my ($point, $holder) = @$stage;

	play($point, $holder, $holder);
	play($point, $holder, $holder eq 'runner' ? 'checkpointer' : 'runner');
}

# ---- the observer: nothing waits for it

end_worker($node, 'observer');
is(sql("SELECT ckpx_pin('keep', pg_current_wal_lsn()) IS NOT NULL"),
	't', 'a pin without the observer');

# ---- disable and cancel, a job being held

foreach my $victim ('runner', 'checkpointer')
{
	wait_for_sql($node, 'SELECT count(pid) = 4 FROM ckpx_workers');
	await_tracking($node);
	sql('INSERT INTO t VALUES (0)');
	add_fault($node, 'object-write', 'wait');
	my $checkpoint = start_query($node, 'SELECT ckpx_checkpoint()');
	await_held($node, 'object-write');
	my $disable = start_query($node, 'SELECT ckpx_disable() /* call */');
	my $cancel = start_query($node, 'SELECT ckpx_cancel_pending() /* call */');
	await_calls();
	end_worker($node, $victim);
	remove_fault($node, 'object-write');
	$checkpoint->{handle}->finish;
	like(
		${ $checkpoint->{err} },
		qr/checkpoints of ckpx are disabled|checkpoint of ckpx was canceled/,
		"$victim ended: the checkpoint's caller is told");
	is(end_call($disable, 'disable'), '', "$victim ended: disable() returns");
	like(end_call($cancel, 'cancel'), qr/^[01]$/, "$victim ended: cancel returns");
	is( sql(
			"SELECT enabled OR EXISTS (SELECT FROM ckpx_checkpoints WHERE state <> 'finished') FROM ckpx_runner"
		),
		'f',
		"$victim ended: disabled, and nothing is unfinished");
	sql('SELECT ckpx_enable()');
	wait_for_sql($node, 'SELECT count(pid) = 4 FROM ckpx_workers');
	await_tracking($node);
	is(sql('SELECT ckpx_checkpoint() IS NOT NULL'),
		't', "$victim ended: enabled again");
}

# ---- what was promised outlives a crash

crash_and_restart($node);
await_tracking($node);
is(sql('SELECT string_agg(name, \',\') FROM ckpx_pins'),
	'keep', 'pins after a crash');
is(sql('SELECT count(*) FROM ckpx_backups'), $nbackups, 'backups after a crash');
store_is_sound($node, 'in the end', 1);
is_one_epoch($node, 'in the end');

# ---- uninstalling

add_fault($node, 'uninstall-files', 'wait');
my $uninstall = start_query($node, 'SELECT ckpx_uninstall(true) IS NOT NULL');
await_held($node, 'uninstall-files');
end_worker($node, 'runner');
remove_fault($node, 'uninstall-files');
is(end_call($uninstall, 'uninstall'),
	't', 'uninstalling goes on when the runner ends in the middle');
ok(!-e $node->data_dir . '/ckpx', 'and comes to its end');

$node->stop;
done_testing();
