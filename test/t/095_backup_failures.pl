# A backup that fails: the program killed, canceled, its connection cut, the
# server gone, in each phase of its life.  What is left is no backup, and the
# same command with --resume makes one.  Stopped and continued, it goes on.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use CkpxBackup;
use CkpxProxy;
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# In its long form, each phase meets each fate.
my $long = $ENV{CKPX_BACKUP_INCREMENTS};

# With one database and small WAL files, so that a backup is small.
my $node = backup_node(
	'main',
	extra => ['--wal-segsize=1'],
	conf => "ckpx.global_min_count = 10000\n");
$node->safe_psql('postgres', $_) foreach (
	q{UPDATE pg_database SET datistemplate = false},
	q{DROP DATABASE template0},
	q{DROP DATABASE template1},
	q{CREATE TABLE t AS SELECT g a, repeat('x', 200) b FROM generate_series(1, 5000) g});
take_ok($node, 'b000');

my $number = 0;
my $newest = 'b000';

sub partial { return backup_dir(shift) . '.partial'; }

sub id_of
{
	return (label_lines(shift) =~ /ckpx id (\w+)/)[0];
}

# What the next backup has to bring; its name.  One new table is large enough
# for a resumed backup to keep it.
sub next_name
{
	$node->safe_psql('postgres', $_) foreach (
		q{UPDATE t SET b = md5(b) WHERE a % 500 = 0},
		q{DROP TABLE IF EXISTS made},
		q{CREATE TABLE made AS SELECT g a, repeat('y', 200) b FROM generate_series(1, 1500) g});
	return sprintf 'b%03d', ++$number;
}

my @options = ('-i', 'auto', '-F', 'p', '--no-pin');

sub start_through
{
	my ($proxy, $name, @more) = @_;

	return start_take($node, $name, @options, '-h', $proxy->{host}, '-p', $proxy->{port}, @more);
}

# The status with which it ends; undefined if a signal ended it.
sub end_of
{
	my $take = shift;

	$take->{handle}->finish;
	my $result = $take->{handle}->full_result(0);
	return $result & 127 ? undef : $result >> 8;
}

# It goes on from the newest, and is the newest now.
sub is_good
{
	my ($name, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	like(label_lines($name), qr/ parent @{[ id_of($newest) ]}$/m, "$what: goes on from the newest");
	verify_ok($name);
	command_ok([ 'ckpx_combinebackup', '--verify', backup_dir($name) ], "$what: it is whole");
	$newest = $name;
	return;
}

sub nothing_is_left_on_the_server
{
	my $what = shift;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	return sql_becomes($node,
		q{SELECT count(*) + (SELECT count(*) FROM pg_stat_activity WHERE usename = 'backup')
			FROM pg_replication_slots WHERE temporary},
		0, "$what: backup mode and slot are gone");
}

# ---- each phase, at a statement that belongs to it

my $read_mark = qr/ckpx_checkpoint_mark/;
my @phases = (
	# name, phase in messages, statement, which one
	[ 'look', 'looking at the server', qr/ckpx_read_control/, 1 ],
	[ 'prove', 'looking at the server', $read_mark, 1 ],
	[ 'slot', 'starting the backup', qr/pg_create_physical_replication_slot/, 1 ],
	[ 'hold', 'starting the backup', qr/^SELECT pg_backup_start/, 1 ],
	[ 'prove again', 'starting the backup', $read_mark, 4 ],
	[ 'list', 'listing files', qr/ckpx_backup_files/, 1 ],
	[ 'connect', 'copying files', qr/active_pid/, 1 ],
	[ 'give a list', 'copying files', qr/ckpx_read_list/, 1 ],
	[ 'copy', 'copying files', qr/^COPY/, 2 ],
	[ 'control', 'stopping the backup', qr/ckpx_read_control/, 3 ],
	[ 'stop', 'stopping the backup', qr/pg_backup_stop\(/, 2 ],
	[ 'mark', 'stopping the backup', $read_mark, 5 ],
	[ 'WAL', 'fetching WAL', qr/ckpx_read_wal/, 1 ],
	[ 'publish', 'publishing the backup', $read_mark, 6 ],
	[ 'record', 'recording the backup', qr/ckpx_record_backup/, 1 ]);

# What happens at it; each returns what is to be in the program's message.
my %fates = (
	killed => sub {
		my ($proxy, $take) = @_;

		kill 'KILL', $take->{pid};
		return;
	},
	canceled => sub {
		my ($proxy, $take) = @_;

		kill 'INT', $take->{pid};
		release($proxy);
		return qr/canceled by signal 2/;
	},
	cut => sub { return qr/server closed the connection unexpectedly/; },
	down => sub {
		my ($proxy) = @_;

		$node->stop('immediate');
		release($proxy);

		# A connection that is made meanwhile is refused.
		return qr/server closed the connection unexpectedly|no connection to the server|the database system is shutting down/;
	});

sub fails
{
	my ($phase, $fate) = @_;
	my ($step, $message, $match, $nth) = @$phase;
	my $what = "$step, $fate";
	my $complete = $step eq 'record';
	my $name = next_name();
	my $proxy = start_proxy($node, match => $match, nth => $nth,
		then => $fate eq 'cut' ? 'cut' : 'hold');
	my $take = start_through($proxy, $name);

	await_met($proxy);
	my $error = $fates{$fate}->($proxy, $take);
	my $status = end_of($take);
	end_proxy($proxy);
	$node->start if $fate eq 'down';
	is($status, $error ? 1 : undef, "$what: status");
	like(${ $take->{err} }, qr/$error.*detail: This happened while $message\./s, "$what: message") if $error;
	is(-e backup_dir($name) ? 1 : 0, $complete ? 1 : 0, "$what: has its name only if it is complete");
	nothing_is_left_on_the_server($what);
	if ($complete)
	{
		like(${ $take->{err} }, qr/The backup is complete, but the server does not know it/, "$what: told") if $error;
		is_good($name, $what);
		return;
	}

	# While it remains, nothing takes it for a backup.
	if (-e partial($name))
	{
		my ($list) = run_command([ 'ckpx_combinebackup', '--list', backup_dir($newest) . '/..' ]);
		like($list, qr/^$name\.partial +unfinished$/m, "$what: --list");
		unlike($list, qr/^ *$name /m, "$what: no backup for --list");
		command_fails_like(
			[ 'ckpx_combinebackup', partial($name), '-o', backup_dir('out') ],
			qr/is no complete backup/, "$what: nothing to combine");
	}
	my ($again, $out, $err) = take($node, $name, @options, '--resume', '--json');
	is($again, 0, "$what: resumed") or diag $err;
	like($out, qr/"kept": [1-9]/, "$what: what was copied is kept") if $message =~ /stopping|WAL|publish/;
	is_good($name, $what);
	return;
}

my @fates = sort keys %fates;
if ($long)
{
	foreach my $phase (@phases)
	{
		fails($phase, $_) foreach @fates;
	}
}
else
{
	my %short = (look => 'cut', hold => 'canceled', list => 'down', copy => 'killed', 'give a list' => 'cut',
		stop => 'cut', WAL => 'killed', publish => 'killed', record => 'cut');
	fails($_, $short{ $_->[0] }) foreach grep { $short{ $_->[0] } } @phases;
}

# ---- stopped and continued

sub goes_on
{
	my ($step, undef, $match, $nth) = @{ $_[0] };
	my $name = next_name();
	my $proxy = start_proxy($node, match => $match, nth => $nth, then => 'hold');
	my $take = start_through($proxy, $name);

	await_met($proxy);
	kill 'STOP', $take->{pid};
	release($proxy);
	$node->safe_psql('postgres', $_) foreach
	  q{UPDATE t SET b = md5(b) WHERE a % 100 = 0}, 'CHECKPOINT', 'SELECT pg_switch_wal()';
	kill 'CONT', $take->{pid};
	is(end_of($take), 0, "$step, stopped: goes on") or diag ${ $take->{err} };
	end_proxy($proxy);
	is_good($name, "$step, stopped");
	return;
}
foreach my $phase (@phases)
{
	goes_on($phase) if $long || $phase->[0] eq 'copy';
}

# ---- a COPY is cut off, at any of its bytes

sub cut_off
{
	my ($what, @where) = @_;
	my $name = next_name();
	my $proxy = start_proxy($node, match => qr/^COPY/, nth => 2, then => 'cut', @where);
	my $take = start_through($proxy, $name);

	is(end_of($take), 1, "$what: status");
	end_proxy($proxy);
	like(${ $take->{err} }, qr/server closed the connection unexpectedly.*while copying files\./s,
		"$what: message");
	ok(!-e backup_dir($name), "$what: no backup");
	my ($status, $out, $err) = take($node, $name, @options, '--resume');
	is($status, 0, "$what: resumed") or diag $err;
	is_good($name, $what);
	return;
}

# CopyOutResponse has 10 bytes, the header 24, a row at least 21.
cut_off("cut at byte $_", bytes => $_)
  foreach $long ? (0, 1, 9, 10, 12, 33, 34, 38, 50, 1000, 100_000) : (1000);
cut_off('cut before the trailer', before => qr/d\0\0\0\x06\xff\xff/) if $long;
cut_off('cut before the end', before => qr/C\0\0\0.COPY /) if $long;

# ---- a server that does not answer

sub unanswered
{
	my ($name, @signals) = @_;
	my $proxy = start_proxy($node, match => $read_mark, nth => 4, then => 'hold');
	my $take = start_through($proxy, $name);

	await_met($proxy);
	kill $_, $take->{pid} foreach @signals;
	my $status = end_of($take);
	end_proxy($proxy);
	return ($status, ${ $take->{err} });
}
my $name = next_name();
is((unanswered($name, 'INT', 'TERM'))[0], undef, 'no answer: a second signal ends the program');
if ($long)
{
	my ($status, $err) = unanswered($name, 'INT');

	is($status, 1, 'no answer: a signal ends it later');
	like($err, qr/canceled by signal 2\n.*while starting the backup\./, 'no answer: message');
}
nothing_is_left_on_the_server('no answer');

# ---- two programs, one directory

SKIP:
{
	skip 'no strace, or it may not trace', 1 if system('strace -o /dev/null true 2>/dev/null') != 0;
	my ($out, $err) = ('', '');
	my @command = grep { $_ ne '--no-sync' } backup_command($node, 'two', @options);

	# The first is about to give the directory its name.
	my $program = IPC::Run::start(
		[ 'strace', '-D', '-f', '-o', '/dev/null', '-e', 'trace=rename',
			'-e', 'inject=rename:delay_enter=900000000', @command ],
		'<', \undef, '>', \$out, '2>', \$err,
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	wait_until(
		sub { -e partial('two') . '/backup_manifest' && !-e partial('two') . '/progress' },
		'a backup has all but its name');
	foreach my $more ([], ['--resume'])
	{
		my ($status, undef, $error) = take($node, 'two', @options, @$more);

		ok($status == 1 && $error =~ /another process is making ".*two\.partial"/, "refused: @$more")
		  or diag $error;
	}
	my ($tracer) = slurp_file("/proc/$program->{KIDS}[0]{PID}/status") =~ /^TracerPid:\s+(\d+)/m;
	kill 'KILL', $tracer;
	$program->finish;
	is($program->result(0), 0, 'the first one succeeds');
	is_good('two', 'two programs');
}

# ---- what all of them together restore

my $last = next_name();
take_ok($node, $last, @options);
is_good($last, 'one more');
my $expected = table_sums($node);
my $restored = backup_dir('restored');
combine_ok($newest, $restored);
my $server = start_restored('restored', $restored);
same_tables($server, $expected, 'the chain of all that were resumed has all rows');
$server->stop;

$node->stop;
done_testing();
