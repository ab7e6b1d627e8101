# A backup in trouble that comes from outside: no power, no room on the disk, a
# slot that is invalidated, a standby whose primary stops writing full pages, one
# that is promoted.  What is published is whole, and what is not can be resumed.

use strict;
use warnings;

my $why_not;

BEGIN
{
	my @own = ('unshare', '--map-current-user', '--mount', '--keep-caps');

	# Only the full disk needs a mount.
	if (!$ENV{CKPX_OWN_MOUNTS})
	{
		$why_not = `@own mount -t tmpfs none /tmp 2>&1`;
		$why_not = $? == 0 ? '' : $why_not || 'unshare does not work';
		if ($why_not eq '')
		{
			$ENV{CKPX_OWN_MOUNTS} = 1;
			exec @own, $^X, (map { "-I$_" } @INC), $0, @ARGV;
		}
	}
}

use Cwd 'abs_path';
use File::Path qw(remove_tree);
use FindBin;
use lib "$FindBin::RealBin/../lib";

use CkpxBackup;
use CkpxPower;
use CkpxProxy;
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $long = $ENV{CKPX_BACKUP_INCREMENTS};
my $node = backup_node(
	'main',
	extra => ['--wal-segsize=1'],
	quick_restart => 1,
	conf => "ckpx.global_min_count = 10000\n");
$node->safe_psql('postgres', $_) foreach (
	q{UPDATE pg_database SET datistemplate = false},
	q{DROP DATABASE template0},
	q{DROP DATABASE template1},
	q{CREATE TABLE t AS SELECT g a, repeat('x', 200) b FROM generate_series(1, 5000) g});

sub work
{
	$node->safe_psql('postgres', q{UPDATE t SET b = md5(b) WHERE a % 500 = 0});
	return;
}

sub partial { return backup_dir(shift) . '.partial'; }

sub whole_ok
{
	my ($name, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	return command_ok([ 'ckpx_combinebackup', '--verify', backup_dir($name) ], $what);
}

sub start_through
{
	my ($proxy, $server, $name, @options) = @_;

	return start_take($server, $name, '--no-pin', '-h', $proxy->{host}, '-p', $proxy->{port}, @options);
}

# It fails, and has not got its name.
sub end_fails
{
	my ($take, $name, $error, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	$take->{handle}->finish;
	ok($take->{handle}->result(0) == 1 && ${ $take->{err} } =~ $error && !-e backup_dir($name), "$what: fails")
	  or diag ${ $take->{err} };
	return;
}

sub resumed_ok
{
	my ($server, $name, @options) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	take_ok($server, $name, '--no-pin', '--resume', @options);
	verify_ok($name);
	return whole_ok($name, "$name is whole");
}

# ---- the power is lost, or the program killed, at each step of publishing

my $folder = abs_path(PostgreSQL::Test::Utils::tempdir) . '/b';

sub powered
{
	my ($power, $name, $options, %more) = @_;
	my @command = grep { $_ ne '--no-sync' } backup_command($node, "$folder/$name", '--no-pin', @$options);

	work();
	return run_powered($power, \@command, %more);
}

# The calls that publish a backup.
sub steps
{
	my ($log, $name) = @_;
	my @steps = map { s/\Q$folder\E\///r } split /\n/, slurp_file($log);

	shift @steps while @steps && $steps[0] !~ m{^sync \Q$name\E.partial/(?:base\.tar|base/|backup_manifest)};
	return @steps;
}

sub dies_at
{
	my ($power, $step, $name, $options, $seed) = @_;
	my $what = $step =~ s/NAME/$name/r;
	my $kill = $step =~ s/ NAME/ $folder\/$name/r;
	$kill = "sync $folder" if $step eq 'sync ';

	is(powered($power, $name, $options, POWERLOSS_KILL => $kill) & 127, 9, "killed at $what");
	lose_power($power, $seed) if defined $seed;
	if (-e "$folder/$name")
	{
		whole_ok("$folder/$name", "$what: a whole backup");
		return;
	}
	my $is_tar = grep { $_ eq 't' } @$options;
	remove_tree("$folder/$name.partial") if $is_tar;
	is(powered($power, $name, [ @$options, $is_tar ? () : '--resume' ]), 0, "$what: again");
	lose_power($power) if defined $seed;
	whole_ok("$folder/$name", "$what: again, and the power lost: a whole backup");
	return;
}

SKIP:
{
	skip 'the library powerloss is not installed', 1 if !power_library();
	mkdir $folder or die;
	take_ok($node, "$folder/full", '--no-pin', '-F', 't');
	my $power = power_for(abs_path(PostgreSQL::Test::Utils::tempdir) . '/power', $folder);
	my $log = PostgreSQL::Test::Utils::tempdir . '/calls';

	foreach my $format ('t', 'p')
	{
		my @options = ('-i', "$folder/full", '-F', $format);
		my $n = 0;

		unlink $log;
		is(powered($power, "probe_$format", \@options, POWERLOSS_LOG => $log), 0, "format $format");
		lose_power($power);
		whole_ok("$folder/probe_$format", "format $format: after success no loss of power damages it");
		next if $format eq 'p' && !$long;

		# Of plain files not all: the first ones, and what comes last.
		my @steps = map { s/probe_$format/NAME/r } steps($log, "probe_$format");
		@steps = @steps[ 0, $#steps / 2, -6 .. -1 ] if @steps > 20;
		foreach my $step (@steps)
		{
			$n++;
			dies_at($power, $step, "${format}_killed_$n", \@options) if $long;
			dies_at($power, $step, "${format}_lost_$n", \@options, $n);
		}
	}
	remove_tree($folder);
}

# ---- no room

SKIP:
{
	skip "no file system can be mounted here: $why_not", 1 if $why_not;
	my $small = PostgreSQL::Test::Utils::tempdir . '/small';

	take_ok($node, 'full', '--no-pin');
	mkdir $small or die;
	system_or_bail('mount', '-t', 'tmpfs', '-o', 'size=2m,mode=700', 'ckpx', $small);
	take_fails($node, "$small/full", qr/not enough room in ".*full\.partial": the backup needs \d+ MB, \d+ MB are free/);
	system_or_bail('mount', '-o', 'remount,size=60m', $small);
	resumed_ok($node, "$small/full");
	foreach (
		[ 'copying files', qr/^COPY/, 2 ],
		[ 'fetching WAL', qr/ckpx_read_wal/, 1 ],
		[ 'publishing the backup', qr/ckpx_checkpoint_mark/, 5 ])
	{
		my ($phase, $match, $nth) = @$_;
		my $name = "$small/" . $phase =~ s/.* //r;
		my $proxy = start_proxy($node, match => $match, nth => $nth, then => 'hold');

		work();
		$node->safe_psql('postgres', 'DROP TABLE IF EXISTS new; CREATE TABLE new AS SELECT * FROM t');
		my $take = start_through($proxy, $node, $name, '-i', "$small/full", '-F', 'p');
		await_met($proxy);
		system("cat /dev/zero > $small/filler 2>/dev/null");
		release($proxy);
		end_fails($take, $name, qr/could not write file "\Q$name\E\.partial.*: No space left on device.*while $phase\./s,
			"no room, $phase");
		end_proxy($proxy);
		unlink "$small/filler";
		resumed_ok($node, $name, '-i', "$small/full", '-F', 'p');
	}
	system_or_bail('umount', $small);
}

# ---- a standby: its primary stops writing full pages, it is promoted

take_ok($node, 'seed', '-R', '--no-pin');
my $standby = start_restored('standby', backup_dir('seed'));
wait_for_sql($standby, 'SELECT epoch > 0 FROM ckpx_runner');

sub replayed
{
	my $lsn = wal_position($node);

	wait_for_sql($standby, "SELECT pg_last_wal_replay_lsn() >= '$lsn'");
	return;
}

sub held_at_stop
{
	my ($name, $meanwhile, $error) = @_;
	my $proxy = start_proxy($standby, match => qr/pg_backup_stop\(/, nth => 2, then => 'hold');
	my $take = start_through($proxy, $standby, $name);

	await_met($proxy);
	$meanwhile->();
	release($proxy);
	end_fails($take, $name, qr/$error.*while stopping the backup\./s, $name);
	end_proxy($proxy);
	return;
}
held_at_stop('no_full_pages', sub {
		change_settings($node, full_page_writes => 'off');
		$node->safe_psql('postgres', 'CHECKPOINT');
		replayed();
	}, qr/WAL generated with "?full_page_writes=off"? was replayed/);
change_settings($node, full_page_writes => 'on');
$node->safe_psql('postgres', 'CHECKPOINT');
replayed();
$standby->safe_psql('postgres', 'CHECKPOINT');
resumed_ok($standby, 'no_full_pages');
held_at_stop('promoted', sub { $standby->promote; },
	qr/the standby was promoted during online backup/);
resumed_ok($standby, 'promoted');
$standby->stop;

# ---- the slot is invalidated while files are copied

# A session that copies, one that connects, the one that fetches WAL or the one
# that held the slot finds it out first; what is told is the same.
my $slots = q{SELECT count(*) FROM pg_replication_slots WHERE temporary};

sub slot_lost
{
	my ($name, $match) = @_;
	my $proxy = start_proxy($node, match => $match, nth => 1, then => 'hold');
	my $take = start_through($proxy, $node, $name, '-j', 1);

	await_met($proxy);
	kill 'STOP', $take->{pid};
	release($proxy);
	is($node->safe_psql('postgres', $slots), 1, "$name: the slot holds WAL");
	change_settings($node, max_slot_wal_keep_size => '1MB');
	$node->safe_psql('postgres', 'SELECT pg_switch_wal(); INSERT INTO t SELECT a FROM t WHERE a < 10') foreach 1 .. 6;
	$node->safe_psql('postgres', 'CHECKPOINT');
	wait_for_sql($node, $slots, 0);
	kill 'CONT', $take->{pid};
	end_fails($take, $name,
		qr/the session that held the backup has ended: .*terminating connection.*raise max_slot_wal_keep_size, or use -X none.*while copying files/s,
		$name);
	end_proxy($proxy);
	change_settings($node, max_slot_wal_keep_size => '-1');
	return resumed_ok($node, $name);
}
slot_lost('slot_lost_copying', qr/^COPY/);
slot_lost('slot_lost_connecting', qr/active_pid/);

$node->stop;
done_testing();
