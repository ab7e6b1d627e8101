# Rules that a backup must keep, each broken once: what a parent must be, what a
# connection must see, what a stopped program may not hold up, what is written
# down where.

use strict;
use warnings;

use File::Path qw(remove_tree);
use FindBin;
use lib "$FindBin::RealBin/../lib";
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX ();

use CkpxBackup;
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Timeouts that would end the holder's session, and a log of all statements.
my $node = backup_node('main', conf => <<'EOC');
log_statement = all
log_min_duration_statement = 0
log_parameter_max_length = 0
wal_keep_size = 256MB
EOC
$node->safe_psql('postgres', $_) foreach (
	q{ALTER ROLE backup SET idle_session_timeout = '300ms'},
	q{ALTER ROLE backup SET idle_in_transaction_session_timeout = '300ms'},
	q{ALTER ROLE backup SET statement_timeout = '300ms'},
	q{ALTER ROLE backup SET search_path = 'elsewhere'},
	q{CREATE TABLE t (a int PRIMARY KEY, b text)},
	q{INSERT INTO t SELECT g, repeat('x', 200) FROM generate_series(1, 60000) g});

sub partial { return backup_dir(shift) . '.partial'; }

sub progress
{
	my $file = partial(shift) . '/progress';

	return -e $file ? slurp_file($file) : '';
}

# Some of the files are copied and known to be, others are not.
sub await_copied
{
	my ($name) = @_;

	return wait_until(sub { progress($name) =~ /^at /m }, "$name is half copied");
}

sub end_of
{
	my ($take) = @_;

	$take->{handle}->finish;
	return $take->{handle}->result(0);
}

# ---- B14: no timeout reaches the backup; B13: nothing tells its lists

my $log_offset = -s $node->logfile;
take_ok($node, 'full', '-r', '16M');
verify_ok('full');
my $log = substr(slurp_file($node->logfile), $log_offset);
my $path = $node->safe_psql('postgres', q{SELECT pg_relation_filepath('t')});
(my $hex = $path) =~ s/(.)/sprintf '%02x', ord $1/ge;
like($log, qr/COPY \(SELECT public\.ckpx_read_files\(\)\) TO STDOUT \(FORMAT binary\)/,
	'B13: the statement of the copy is in the log');
unlike($log, qr/\Q$path\E|$hex/, 'B13: no name of a file is');

# ---- killed while it copies, and resumed; B2, B17

my $take = start_take($node, 'killed', '-r', '4M');
await_copied('killed');
kill 'STOP', $take->{pid};
like(slurp_file(partial('killed') . '/backup_label'), qr/^LABEL: ckpx id \w{32} parent none$/m,
	'B17: a backup that is being made says what it is');
my ($status, $out, $err) = take($node, 'killed', '--resume');
ok($status == 1 && $err =~ /another process is making/, 'only one process makes it');
kill 'KILL', $take->{pid};
end_of($take);
sql_becomes($node, q{SELECT count(*) FROM pg_replication_slots WHERE temporary}, 0,
	'the server has left backup mode');
ok(!-e backup_dir('killed'), 'a backup that was killed does not have its name');
take_fails($node, 'killed', qr/of an earlier backup exists.*\n.*\n.*--resume/);
$node->safe_psql('postgres', 'CREATE TABLE later AS SELECT * FROM t LIMIT 1000');
$out = take_ok($node, 'killed', '--resume', '--json');
my ($kept) = $out =~ /"kept": (\d+)/;
cmp_ok($kept, '>', 0, "B2: $kept files were kept");
verify_ok('killed');
my $expected = table_sums($node);
my $restored = start_restored('resumed', backup_dir('killed'));
same_tables($restored, $expected, 'a server on it has all rows');
$restored->stop;

# What changed since is not kept.
$take = start_take($node, 'changed', '-r', '4M');
await_copied('changed');
kill 'KILL', $take->{pid};
end_of($take);
my ($noted) = map { /^file .*- (.*)$/ ? $1 : () } split /\n/, progress('changed');
ok($noted, "known to be on disk: $noted");
$node->safe_psql('postgres', q{UPDATE t SET b = 'changed'});
$out = take_ok($node, 'changed', '--resume', '--json');
verify_ok('changed');
$expected = table_sums($node);
$restored = start_restored('changed', backup_dir('changed'));
same_tables($restored, $expected, 'B2: changes between the two runs are in it');
$restored->stop;

# The LSN of the first run is not reached: nothing is kept.
$take = start_take($node, 'ahead', '-r', '4M');
await_copied('ahead');
kill 'KILL', $take->{pid};
end_of($take);
my $progress = partial('ahead') . '/progress';
my $text = slurp_file($progress) =~ s{^at \S+}{at FF/0}gmr;
open my $fh, '>', $progress or die $!;
print $fh $text;
close $fh;
($status, $out, $err) = take($node, 'ahead', '--resume', '--json');
ok($status == 0 && $out =~ /"kept": 0,/ && $err =~ /nothing of the earlier backup is kept: the server was at FF/,
	'B2: of a run that was further nothing is kept');
verify_ok('ahead');

# A tablespace that an increment keeps inside, of which nothing was copied yet.
my $space = PostgreSQL::Test::Utils::tempdir_short();
$node->safe_psql('postgres', "CREATE TABLESPACE empty LOCATION '$space'");
$node->safe_psql('postgres', q{UPDATE t SET b = 'once more'});
my @increment = ('-i', backup_dir('ahead'), '-F', 'p');
$take = start_take($node, 'within', @increment, '-r', '4M');
await_copied('within');
kill 'KILL', $take->{pid};
end_of($take);
take_ok($node, 'within', @increment, '--resume');
verify_ok('within');
$node->safe_psql('postgres', 'DROP TABLESPACE empty');

# ---- SIGTERM

foreach my $signal ('INT', 'TERM')
{
	$take = start_take($node, "sig$signal", '-r', '4M');
	await_copied("sig$signal");
	kill $signal, $take->{pid};
	is(end_of($take), 1, "SIG$signal ends it with status 1");
	like(${ $take->{err} }, qr/canceled by signal.*while copying files.*remains/s,
		'and a message that names the phase');
	ok(-e partial("sig$signal"), 'what was copied remains');
}

# ---- a program that was stopped goes on; B15: pg_control is read last

$take = start_take($node, 'stopped', '-r', '4M');
await_copied('stopped');
kill 'STOP', $take->{pid};
$node->safe_psql('postgres', 'CHECKPOINT');
my $checkpoint = $node->safe_psql('postgres', 'SELECT checkpoint_lsn FROM pg_control_checkpoint()');
kill 'CONT', $take->{pid};
is(end_of($take), 0, 'a backup goes on after the program was stopped');
verify_ok('stopped');
my ($controldata) = run_command([ 'pg_controldata', backup_dir('stopped') ]);
my ($copied) = $controldata =~ /^Latest checkpoint location: +(\S+)$/m;
is($node->safe_psql('postgres', "SELECT '$copied'::pg_lsn >= '$checkpoint'"), 't',
	'B15: its pg_control is newer than a checkpoint made meanwhile');

# ---- B6: all connections must lead to the server of the first

# Forward the first connection to one server, later ones to another.
sub start_proxy
{
	my (@targets) = @_;
	my $listen = IO::Socket::INET->new(Listen => 10, LocalAddr => '127.0.0.1')
	  or die $!;
	my $pid = fork // die $!;

	return ($pid, $listen->sockport) if $pid;
	local $SIG{CHLD} = 'IGNORE';

	# Cluster's handler would stop the servers.
	local $SIG{TERM} = 'DEFAULT';
	while (my $client = $listen->accept)
	{
		my $target = @targets > 1 ? shift @targets : $targets[0];

		next if fork;
		my $server = IO::Socket::UNIX->new(Peer => $target->host . '/.s.PGSQL.' . $target->port)
		  or die $!;
		my $select = IO::Select->new($client, $server);
		while (my @ready = $select->can_read)
		{
			foreach my $from (@ready)
			{
				sysread($from, my $bytes, 65536) or POSIX::_exit(0);
				syswrite($from == $client ? $server : $client, $bytes);
			}
		}
	}
	return POSIX::_exit(0);
}

my $other = backup_node('other');
my ($proxy, $port) = start_proxy($node, $other);
take_fails($node, 'elsewhere', qr/it leads to another server, or the backup has ended/,
	'-h', '127.0.0.1', '-p', $port);
kill 'TERM', $proxy;
waitpid $proxy, 0;
ok(-e partial('elsewhere'), 'B6: nothing is taken from another server');

# ---- a server that sends what it should not: nothing of it is believed

sub replaced
{
	my ($function, $body) = @_;
	my $definition = $other->safe_psql('postgres',
		"SELECT pg_get_functiondef(oid) FROM pg_proc WHERE proname = '$function'");
	my ($head) = $definition =~ /^(CREATE .*?RETURNS [^\n]*\n)/s;

	$other->safe_psql('postgres', "$head LANGUAGE sql AS \$evil\$ $body \$evil\$");
	return sub { $other->safe_psql('postgres', $definition); return };
}

# One row more before those of the real list, whose function is at hand.
sub evil_list
{
	my ($name, $error, $row) = @_;
	my $undo = replaced('ckpx_backup_files', "SELECT $row, now(), NULL::int8multirange, NULL::pg_lsn");

	take_fails($other, $name, $error);
	$undo->();
	remove_tree(partial($name));
	return;
}
evil_list('up', qr/listed a file "\.\.\/x"/, q{'../x'::bytea, 'file', NULL::bytea, 1::bigint});
evil_list('root', qr/listed a file "\/etc\/x"/, q{'/etc/x'::bytea, 'file', NULL::bytea, 1::bigint});
evil_list('dot', qr/listed a file "base\/\.\/x"/, q{'base/./x'::bytea, 'file', NULL::bytea, 1::bigint});
evil_list('control', qr/listed a file "a\nb"/, q{'a\012b'::bytea, 'file', NULL::bytea, 1::bigint});
evil_list('kind', qr/listed a file of kind "device"/, q{'x'::bytea, 'device', NULL::bytea, 1::bigint});
evil_list('less', qr/sent "-1" for a number/, q{'x'::bytea, 'file', NULL::bytea, -1::bigint});
evil_list('large', qr/listed 99999999999 bytes/, q{'base/1/1'::bytea, 'relation', NULL::bytea, 99999999999});
evil_list('link', qr/listed a tablespace "pg_tblspc\/x"/, q{'pg_tblspc/x'::bytea, 'tablespace', '/tmp'::bytea, NULL::bigint});

sub evil_rows
{
	my ($name, $error, @rows) = @_;
	my $undo = replaced('ckpx_read_files', "VALUES " . join(', ', map { "('\\x$_'::bytea)" } @rows));

	take_fails($other, $name, $error, '-j', 1);
	$undo->();
	remove_tree(partial($name));
	return;
}
evil_rows('short', qr/a row of wrong length/, '00');
evil_rows('index', qr/a row of another file/, '00000005' . '45' . '0000000000000000');
evil_rows('type', qr/a row of unknown type/, '00000000' . '5a');
evil_rows('offset', qr/bytes at a wrong offset/, '00000000' . '44' . '00000000ffffffff' . '00');
evil_rows('end', qr/sent no end/, '00000000' . '45' . '0000000000000000');

my $control = slurp_file($other->data_dir . '/global/pg_control');
substr($control, 50, 1) ^= "\1";
my $undo = replaced('ckpx_read_control', "SELECT '\\x" . unpack('H*', $control) . "'::bytea");
take_fails($other, 'control', qr/sent a pg_control that is wrong/);
$undo->();
$other->stop;

# ---- B1, B4: parents of other histories

take_ok($node, 'base');
$node->stop;
my $snapshot = $node->data_dir . '.snapshot';
copy_tree($node->data_dir, $snapshot);
$node->start;
$node->safe_psql('postgres', q{UPDATE t SET b = 'abandoned' WHERE a <= 100});
take_ok($node, 'abandoned', '-i', backup_dir('base'));
$node->stop;
remove_tree($node->data_dir);
rename $snapshot, $node->data_dir or die $!;
$node->start;

# The same LSNs again, with other records.
$node->safe_psql('postgres', q{UPDATE t SET b = 'the other way' WHERE a <= 5000});
$node->safe_psql('postgres', 'CHECKPOINT');
my ($end) = slurp_file(backup_dir('abandoned') . '/backup_manifest') =~ /"End-LSN": "([^"]+)"/;
$node->safe_psql('postgres', 'SELECT pg_switch_wal(); CREATE TABLE more AS SELECT * FROM t')
  while $node->safe_psql('postgres', "SELECT pg_current_wal_flush_lsn() < '$end'") eq 't';
$err = take_fails($node, 'wrong', qr/no increment is possible: .*checkpoint record at/,
	'-i', backup_dir('abandoned'));
take_ok($node, 'right', '-i', 'auto');
my ($base_id) = label_lines('base') =~ /ckpx id (\w+)/;
like(label_lines('right'), qr/ parent $base_id$/m,
	'B4: -i auto takes the newest parent of this history');
verify_ok('right');

# ---- B10: ids tell which backup is the parent

isnt($base_id, (label_lines('right') =~ /ckpx id (\w+)/)[0], 'B10: each backup has an id of its own');

# ---- B15: pg_control is whole

is(-s unpacked('right') . '/global/pg_control', 8192, 'B15: pg_control has its size');
command_like([ 'pg_controldata', unpacked('right') ], qr/^pg_control version number/,
	'and its checksum');

# ---- B19: the wait for the archive ends

change_settings($node, archive_command => 'false');
$node->append_conf('postgresql.conf', 'archive_mode = on');
$node->restart;
$err = take_fails($node, 'archive',
	qr/has not archived WAL file "[0-9A-F]{24}" within 1 s/,
	'-X', 'none', '--archive-timeout', 1, '-i', 'auto', '-F', 'p');
my ($right_id) = label_lines('right') =~ /ckpx id (\w+)/;
like(slurp_file(partial('archive') . '/backup_label'),
	qr/\AINCREMENTAL FROM LSN: \S+\nINCREMENTAL FROM TLI: 1\nLABEL: ckpx id \w{32} parent $right_id\n/,
	'B17: an increment that is being made says what it needs');
change_settings($node, archive_command => 'true');
remove_tree(partial('archive'));
take_ok($node, 'archive', '-X', 'none');

# ---- a standby

take_ok($node, 'seed', '-R');
my $standby = start_restored('standby', backup_dir('seed'));
wait_for_sql($standby, 'SELECT epoch > 0 FROM ckpx_runner');

# ---- B10: ids tell which of two backups with one START is the parent

take_ok($standby, $_) foreach qw(twin1 twin2);
my %begin = map { label_lines($_) =~ /^START WAL LOCATION: (\S+)/m ? ($_ => $1) : () } qw(twin1 twin2);
is($begin{twin1}, $begin{twin2}, 'two backups of a standby begin with one checkpoint');
take_ok($standby, 'child', '-i', backup_dir('twin2'));
my $output = PostgreSQL::Test::Utils::tempdir;
combine_ok('child', "$output/child");
rename backup_dir('twin2'), "$output/twin2" or die $!;
command_fails_like([ 'ckpx_combinebackup', backup_dir('child'), '-o', "$output/orphan" ],
	qr/goes on from is missing/, 'B10: the other one is not taken for the parent');

# ---- B1: the parent's WAL, its end included, lies on this server's history

$take = start_take($node, 'across', '-r', '8M');
await_copied('across');
kill 'STOP', $take->{pid};
my $fork = wal_position($node);
wait_for_sql($standby, "SELECT pg_last_wal_replay_lsn() >= '$fork'");
$standby->safe_psql('postgres', "SELECT ckpx_wait_collected('$fork')");
change_settings($standby, primary_conninfo => '');
wait_for_sql($standby, 'SELECT count(*) FROM pg_stat_wal_receiver', 0);
kill 'CONT', $take->{pid};
is(end_of($take), 0, 'a backup whose end the standby does not get');
take_fails($standby, 'behind',
	qr/the server has come to \S+, but backup ".*across" needs WAL up to/,
	'-i', backup_dir('across'));
$standby->promote;
take_fails($standby, 'promoted',
	qr/no increment is possible: it needs WAL of timeline 1 up to \S+, but this server left that timeline at/,
	'-i', backup_dir('across'));
take_ok($standby, 'promoted', '-i', backup_dir('seed'));
like(label_lines('promoted'), qr/^INCREMENTAL FROM TLI: 1\n.*^START TIMELINE: 2$/ms,
	'B1: one that ended before is a parent on the new timeline');
$standby->stop;
$node->stop;

# ---- B3: an increment has every block that lies at or beyond the parent's length

my $checked = backup_node(
	'checked',
	extra => ['--data-checksums'],
	conf => "ckpx.global_min_count = 10000\n");
$checked->safe_psql('postgres', $_) foreach (
	q{CREATE TABLE still AS SELECT g a, repeat('x', 200) b FROM generate_series(1, 20000) g},
	q{CREATE TABLE grows AS SELECT * FROM still},
	q{CREATE TABLE gaps AS SELECT * FROM still},
	q{DELETE FROM gaps WHERE a % 2 = 0},
	q{VACUUM FREEZE});
my %live = map {
	$_ => $checked->safe_psql('postgres', "SELECT pg_relation_filepath('$_')")
} qw(still grows gaps);

sub while_stopped
{
	my ($work) = @_;

	$checked->stop;
	$work->();
	$checked->start;
	return;
}

# Make a file longer by blocks of zeros, of which no WAL tells.
sub extend
{
	my ($file, $blocks) = @_;

	return while_stopped(sub {
		append_to_file($checked->data_dir . "/$file", "\0" x ($blocks * 8192)); });
}

sub blocks_of
{
	return (-s $checked->data_dir . '/' . shift) / 8192;
}

# The truncation length and the blocks in a backup's increment of a file; nothing
# if the file is whole.
sub increment
{
	my ($name, $file) = @_;
	my $path = unpacked($name) . '/' . ($file =~ s{([^/]+)$}{INCREMENTAL.$1}r);

	return if !-e $path;
	my (undef, $count, $length, @blocks) = unpack 'L*', slurp_file($path);

	return ($length, @blocks[ 0 .. $count - 1 ]);
}

# The map knows exactly what is older than such a backup.
sub take_exact
{
	my ($name, @options) = @_;

	$checked->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
	return take_ok($checked, $name, @options);
}

take_exact('whole');
$checked->safe_psql('postgres', $_) foreach (
	q{DELETE FROM grows WHERE a > 10000},
	q{VACUUM grows});
my $cut = $checked->safe_psql('postgres', q{SELECT pg_relation_size('grows') / 8192});
cmp_ok($cut, '<', 400, "a table was truncated to $cut blocks");
$checked->safe_psql('postgres', q{INSERT INTO grows SELECT g, repeat('y', 200) FROM generate_series(1, 300) g});
extend($live{grows}, 20);
take_exact('regrown', '-i', 'auto');
my ($length, @blocks) = increment('regrown', $live{grows});
$length //= 0;
is($length, blocks_of($live{grows}), 'B3: an increment tells how long the table is');
is_deeply([ grep { $_ >= $cut } @blocks ], [ $cut .. $length - 1 ],
	'and has all blocks behind its shortest length');
extend($live{grows}, 20);
take_exact('extended', '-i', 'auto');
is_deeply([ increment('extended', $live{grows}) ], [ $length + 20, $length .. $length + 19 ],
	'B3: and all blocks behind the length that the parent has');
$expected = table_sums($checked);
combine_ok('extended', "$output/extended");
$restored = start_restored('extended', "$output/extended");
same_tables($restored, $expected, 'B3: deleted rows do not come back');
$restored->stop;

# ---- B18: a free space map is a stub where all the chain has the same

my $fsm = "$live{gaps}_fsm";

sub is_stub
{
	my ($name, $file) = @_;
	my $there = manifest_files($name);

	return is_deeply(
		[ $there->{$file}, increment($name, $file) ],
		[ undef, blocks_of($file) ],
		"B18: in $name, a free space map that is the chain's is a stub");
}

sub is_whole
{
	my ($name, $file, $why) = @_;
	my $path = unpacked($name) . "/$file";

	return ok(-e $path && slurp_file($path) eq slurp_file($checked->data_dir . "/$file"),
		"B18: in $name, a free space map is whole: $why");
}

is_stub($_, $fsm) foreach qw(regrown extended);
is_whole('regrown', "$live{grows}_fsm", 'it has changed');
my $first_fsm;
while_stopped(sub { $first_fsm = slurp_file($checked->data_dir . "/$fsm"); });
$checked->safe_psql('postgres', $_) foreach (
	q{DELETE FROM gaps WHERE a % 3 = 0}, q{VACUUM gaps}, q{CHECKPOINT});
take_exact('other_map', '-i', 'auto');
is_whole('other_map', $fsm, 'it has changed');

sub put_first_fsm
{
	my $file = $checked->data_dir . "/$fsm";

	unlink $file or die $!;
	return append_to_file($file, $first_fsm);
}
while_stopped(\&put_first_fsm);
take_exact('first_map', '-i', 'auto');
is_whole('first_map', $fsm, 'it is as in the full, but not as in the parent');
take_exact('same_map', '-i', 'auto');
is_stub('same_map', $fsm);

# ---- a page with a wrong checksum: complete, but told

my $pin = q{SELECT lsn FROM ckpx_pins WHERE name = 'backup'};
my $pinned = $checked->safe_psql('postgres', $pin);
my $damage = sub { change_byte($checked->data_dir . "/$live{still}", 5 * 8192 + 4000); };
while_stopped($damage);
($status, $out, $err) = take($checked, 'damaged', '--json');
is($status, 2, 'a backup with a damaged page ends with status 2');
like($err, qr/warning: .*block 5 of file "\Q$live{still}\E" has a wrong checksum/i,
	'and a warning that names the block');
like($out, qr/"status": "wrong checksums",.* "wrong_checksums": 1,/, 'and tells it in JSON');
verify_ok('damaged');
is($checked->safe_psql('postgres', $pin), $pinned, 'the pin has not moved');
take_ok($checked, 'on_damaged', '-i', backup_dir('damaged'), '--no-pin');
take_ok($checked, 'after', '-i', 'auto');
my ($good_id) = label_lines('same_map') =~ /ckpx id (\w+)/;
like(label_lines('after'), qr/ parent $good_id$/m, '-i auto takes neither the damaged backup nor one that builds on it');
isnt($checked->safe_psql('postgres', $pin), $pinned, 'the pin moves with the next good one');
while_stopped($damage);

# ---- B12: a local write that does not end does not hold up DROP DATABASE

SKIP:
{
	skip 'no strace, or it may not trace', 5
	  if system('strace -o /dev/null true 2>/dev/null') != 0;
	$checked->safe_psql('postgres', $_) foreach (
		q{CREATE TABLE large AS SELECT g a, repeat('x', 500) b FROM generate_series(1, 80000) g},
		q{CREATE DATABASE dropped});
	my $large = $checked->safe_psql('postgres', q{SELECT pg_relation_filepath('large')});
	my $copied = partial('stalled') . "/$large";
	my ($stdout, $stderr) = ('', '');

	$log_offset = -s $checked->logfile;

	# The tracer is a process beside the program, and every write to this one
	# file waits until it is gone.
	my $program = IPC::Run::start(
		[ 'strace', '-D', '-f', '-o', '/dev/null', '-P', $copied, '-e', 'trace=write',
			'-e', 'inject=write:delay_enter=900000000',
			backup_command($checked, 'stalled', '-j', 1) ],
		'<', \undef, '>', \$stdout, '2>', \$stderr,
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	# Not for a moment: it waits for the program.
	my $waits = 0;
	my $waiting = q{SELECT count(*) FROM pg_stat_activity
		WHERE query LIKE 'COPY (SELECT %ckpx_read_files%' AND wait_event = 'ClientWrite'};
	wait_until(sub {
			$waits = $checked->safe_psql('postgres', $waiting) ? $waits + 1 : 0;
			return $waits == 5;
		}, 'the copy waits for the program');
	my $drop = start_query($checked, 'DROP DATABASE dropped');
	$drop->{handle}->finish;
	is(${ $drop->{err} }, '', 'B12: DROP DATABASE ends');
	is(-s $copied, 0, 'although nothing could be written all the time');
	my $statements = substr(slurp_file($checked->logfile), $log_offset);
	is(() = $statements =~ /statement: COPY \(SELECT public\.ckpx_read_files/g, 1,
		'and no other list was begun');
	my ($tracer) = slurp_file("/proc/$program->{KIDS}[0]{PID}/status") =~ /^TracerPid:\s+(\d+)/m;
	kill 'KILL', $tracer;
	$program->finish;
	is($program->result(0), 0, 'the backup goes on when writes do');
	verify_ok('stalled');
}

$checked->stop;
done_testing();
