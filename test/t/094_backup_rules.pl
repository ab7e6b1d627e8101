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

# ---- B12: a stopped program does not hold up DROP DATABASE

$node->safe_psql('postgres', 'CREATE DATABASE dropped');
$take = start_take($node, 'stopped', '-r', '4M');
await_copied('stopped');
kill 'STOP', $take->{pid};
my $drop = start_query($node, 'DROP DATABASE dropped');
kill 'CONT', $take->{pid};
$drop->{handle}->finish;
is(${ $drop->{err} }, '', 'B12: DROP DATABASE goes on with the program');
is(end_of($take), 0, 'and the backup, too');
verify_ok('stopped');

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
	'-X', 'none', '--archive-timeout', 1);
change_settings($node, archive_command => 'true');
remove_tree(partial('archive'));
take_ok($node, 'archive', '-X', 'none');

# ---- pages with wrong checksums are in 095; a tar that is cut in 093

$node->stop;
done_testing();
