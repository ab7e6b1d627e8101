# ckpx_combinebackup: chains of each form become data directories with the
# bytes of a full backup of the same moment, and servers start on them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use CkpxChain;
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

program_help_ok('ckpx_combinebackup');
program_version_ok('ckpx_combinebackup');
program_options_handling_ok('ckpx_combinebackup');

my $node = new_node('main', extra => ['--data-checksums'], preload => '');
$node->start;
my $dir = $node->basedir . '/backups';
mkdir $dir or die "could not create \"$dir\": $!";

sub combine
{
	return run_command([ 'ckpx_combinebackup', '--no-sync', @_ ]);
}

sub combines
{
	my ($name, @arguments) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($out, $err) = combine(@arguments);

	return is($err, '', $name);
}

# What may differ: the manifest, whose form is ours, and the label's lines of
# an increment, which is compared by itself.
my @except = (qr{^/backup_manifest$}, qr{^/tablespace_map$});

sub same_as
{
	my ($output, $full, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	is_deeply([ differences($output, $full, @except) ], [], "$name: the bytes of a full");
	my ($out, $err) = run_command([ 'pg_verifybackup', '--exit-on-error', $output ]);
	is($err, '', "$name: pg_verifybackup");
	return;
}

# ---- a chain of four

sql('CREATE TABLE kept (i int, filler text)');
sql('CREATE TABLE cut (i int, filler text)');
sql('CREATE TABLE dropped (i int)');
sql("INSERT INTO $_ SELECT i, repeat('x', 100) FROM generate_series(1, 20000) i")
  foreach qw(kept cut);
sql('INSERT INTO dropped VALUES (1)');
sql('CREATE INDEX ON kept (i)');
full_backup($node, "$dir.f0");

sql("UPDATE kept SET filler = 'y' WHERE i % 1000 = 0");
sql('DELETE FROM cut WHERE i > 5000');
sql('VACUUM cut');
sql('DROP TABLE dropped');
sql('CHECKPOINT');
full_backup($node, "$dir.f1", parent => label_lines("$dir.f0")->{id});

sql("INSERT INTO cut SELECT i, 'z' FROM generate_series(1, 3000) i");
sql('CREATE TABLE made AS SELECT generate_series(1, 1000) i');
sql('CREATE DATABASE other');
full_backup($node, "$dir.f2", parent => label_lines("$dir.f1")->{id});

sql('DELETE FROM kept WHERE i > 3');
sql('VACUUM kept');
sql('VACUUM FULL cut');
full_backup($node, "$dir.f3", parent => label_lines("$dir.f2")->{id});

copy_tree("$dir.f0", "$dir/full");
make_increment("$dir.f" . ($_ - 1), "$dir.f$_", "$dir/i$_") foreach 1 .. 3;

combines('a chain found beside the backup', "$dir/i3", '-o', "$dir.o1");
same_as("$dir.o1", "$dir.f3", 'plain');
unlike(slurp_file("$dir.o1/backup_label"), qr/INCREMENTAL/, 'its label is a full\'s');
combines('the same with one worker', "$dir/i3", '-o', "$dir.o2", '-j', 1);
same_as("$dir.o2", "$dir.f3", 'one worker');
combines('part of a chain', "$dir/i1", '-o', "$dir.o3", '--copy-file-range');
same_as("$dir.o3", "$dir.f1", 'copy_file_range');
combines('a list', (map { "$dir/$_" } qw(full i1 i2)), '-o', "$dir.o4", '--manifest-checksums=SHA512');
same_as("$dir.o4", "$dir.f2", 'SHA512');
combines('a full alone', "$dir/full", '-o', "$dir.o5", '--no-manifest');
ok(!-e "$dir.o5/backup_manifest", 'no manifest was asked for');
is_deeply([ differences("$dir.o5", "$dir.f0", @except) ], [], 'a full alone: the same bytes');
my ($progress) = (run_command([ 'ckpx_combinebackup', '-N', '-P', "$dir/i1", '-o', "$dir.o9" ]))[1];
like($progress, qr{^ *(\d+)/\1 kB \(100%\)$}m, 'progress is shown');
combines('an output that is the parent of another chain', "$dir.o1", '-o', "$dir.o6");
same_as("$dir.o6", "$dir.f3", 'a combined one, combined');

# A server starts on it, and its pages are right.
my $restored = PostgreSQL::Test::Cluster->new('restored');
mkdir $restored->basedir;
rename "$dir.o2", $restored->data_dir or die "could not rename: $!";
open my $conf, '>>', $restored->data_dir . '/postgresql.conf';
print $conf "port = " . $restored->port . "\nunix_socket_directories = '" . $restored->host . "'\n";
close $conf;
$restored->start;
is( $restored->safe_psql('postgres', 'SELECT count(*) FROM kept'), '3', 'a server starts on it');
is( $restored->safe_psql('postgres', 'SELECT count(*), sum(i) FROM cut'),
	$node->safe_psql('postgres', 'SELECT count(*), sum(i) FROM cut'),
	'and has the rows');
$restored->stop;
my ($checked) = run_command([ 'pg_checksums', '--check', '-D', $restored->data_dir ]);
like($checked, qr/Bad checksums:  0/, 'and its pages are right');

# ---- tar

foreach my $i (1 .. 3)
{
	pack_tar("$dir/i$i", "$dir.tars/i$i", zstd => $i != 2);
}
copy_tree("$dir.f0", "$dir.tars/full");
combines('increments in tar files', "$dir.tars/i3", '-o', "$dir.o7");
same_as("$dir.o7", "$dir.f3", 'tar');
pack_tar("$dir/full", "$dir.alltars/full", zstd => 1);
copy_tree("$dir.tars/i$_", "$dir.alltars/i$_") foreach 1, 3;
copy_tree("$dir/i2", "$dir.alltars/i2");
combines('a full in a tar file, a plain increment', "$dir.alltars/i3", '-o', "$dir.o8");
same_as("$dir.o8", "$dir.f3", 'a full in a tar file');

# ---- the order, and what is missing

sub fails_like
{
	my ($pattern, $name, @arguments) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($out, $err) = combine(@arguments);

	like($err, $pattern, $name);
	ok(!-e "$dir.bad", "$name: nothing is left") or system_or_bail('rm', '-rf', "$dir.bad");
	return;
}

fails_like(qr/does not go on from.*\n.*hint: .*in the order/, 'a missing increment',
	(map { "$dir/$_" } qw(full i2)), '-o', "$dir.bad");
fails_like(qr/the first must be a full/, 'an increment first',
	(map { "$dir/$_" } qw(i1 full)), '-o', "$dir.bad");
fails_like(qr/only the first may be one/, 'two fulls', ("$dir/full") x 2, '-o', "$dir.bad");
copy_tree("$dir/$_", "$dir.hole/$_") foreach map { mkdir "$dir.hole"; $_ } qw(full i1 i3);
fails_like(qr/error: .*\bi3"?/, 'a missing increment in the middle', "$dir.hole/i3", '-o', "$dir.bad");
fails_like(qr/exists and is not empty\n.*hint/, 'an output that is there', "$dir/i1", '-o', $dir);
fails_like(qr/lies inside of/, 'an output inside of a backup', "$dir/i1", '-o', "$dir/full/out");
ok(!-e "$dir/full/out", 'which is not there');
mkdir "$dir.empty" or die;
combines('an empty directory', "$dir/i1", '-o', "$dir.empty", '-n');
is_deeply([ glob "$dir.empty/*" ], [], 'a dry run writes nothing');
combines('an empty directory', "$dir/i1", '-o', "$dir.empty");
same_as("$dir.empty", "$dir.f1", 'an empty directory');

# ---- damage

sub damaged
{
	my ($name, $pattern, $change) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	system_or_bail('rm', '-rf', "$dir.damaged");
	mkdir "$dir.damaged";
	copy_tree("$dir/full", "$dir.damaged/full");
	copy_tree("$dir.tars/i1", "$dir.damaged/i1");
	copy_tree("$dir/i2", "$dir.damaged/i2");
	$change->("$dir.damaged");
	my ($out, $err) = run_command([ 'ckpx_combinebackup', '--verify', "$dir.damaged/i2" ]);
	like($err, $pattern, "$name: --verify");
	fails_like($pattern, "$name: -o", "$dir.damaged/i2", '-o', "$dir.bad");
	return;
}

my ($verified, $err) = run_command([ 'ckpx_combinebackup', '--verify', "$dir/i3" ]);
is($err, '', 'a right chain is right');
like($verified, qr/(?:.*as it was written.*\n){4}Only a test restore/, 'and says what was checked');

damaged('a byte of the full', qr{checksum of "base/1/1247" in ".*full" is not that},
	sub { change_byte("$_[0]/full/base/1/1247", 9000) });
damaged('a byte of a stub', qr{checksum of "[^"]*INCREMENTAL[^"]*" in "},
	sub {
		my ($stub) = grep { -s > 8192 } glob "$_[0]/i2/base/*/INCREMENTAL.*";
		change_byte($stub, 9000);
	});
damaged('an edited manifest', qr{manifest},
	sub { change_byte("$_[0]/i1/backup_manifest", 200) });
damaged('a file that is missing', qr{could not open ".*full/base/1/1247"},
	sub { unlink "$_[0]/full/base/1/1247" });
damaged('a tar that is missing', qr{i1},
	sub { unlink "$_[0]/i1/base.tar.zst" });
my $tar_size = -s "$dir.tars/i1/base.tar.zst";
foreach my $cut (1, 100, int($tar_size / 2), $tar_size - 5, $tar_size - 1)
{
	damaged("a tar cut to $cut bytes", qr{i1},
		sub { truncate "$_[0]/i1/base.tar.zst", $cut });
}

# ---- damage that no checksum of a manifest tells, by pages and WAL records

copy_tree("$dir/$_", "$dir.quiet/$_") foreach map { mkdir "$dir.quiet"; $_ } qw(full i1 i2);
change_byte("$dir.quiet/full/base/1/1247", 9000);
rewrite_entry("$dir.quiet/full", 'base/1/1247');
my ($quiet) = map { substr $_, length "$dir.quiet/i2/" } grep { -s > 16384 } glob "$dir.quiet/i2/base/*/INCREMENTAL.*";
my $quiet_block = parse_stub(slurp_file("$dir.quiet/i2/$quiet"))->{blocks}[0];
my $quiet_bytes = slurp_file("$dir.quiet/i2/$quiet");
# Older than the backup, so that no replay brings it.
substr($quiet_bytes, 8192, 8) = pack 'L2', 0, 1;
spew("$dir.quiet/i2/$quiet", $quiet_bytes);
rewrite_entry("$dir.quiet/i2", $quiet);
my $begin = label_lines("$dir/i2")->{start};
my $offset = hex(($begin =~ m{/(\w+)})[0]) % (16 * 1024 * 1024);
my ($segment) = label_lines("$dir/i2")->{text} =~ /^START WAL LOCATION: .* \(file (\w+)\)/m;
# A byte of the checksum itself; behind it the record may be shorter than it seems.
change_byte("$dir.quiet/i2/pg_wal/$segment", $offset + 20);
my ($none, $found) = run_command([ 'ckpx_combinebackup', '--verify', "$dir.quiet/i2" ]);
like($found, qr{"base/1/1247" in ".*full" has 1 pages with wrong checksums, the first is block 1}, 'a page of a full: --verify');
like($found, qr{"\Q$quiet\E" in ".*i2" has 1 pages with wrong checksums, the first is block $quiet_block}, 'a page of an increment: --verify');
like($found, qr{"pg_wal/$segment" in ".*i2": the record at \Q$begin\E has a wrong checksum}, 'a record of WAL: --verify');
fails_like(qr{"pg_wal/$segment" in "[^"]*bad": the record at \Q$begin\E has a wrong checksum}, 'a record of WAL: -o',
	"$dir.quiet/i2", '-o', "$dir.bad");
unlink glob "$dir.quiet/i2/pg_wal/0*";
combines('without its WAL, which an archive may have', "$dir.quiet/i2", '-o', "$dir.no_wal", '-N');

# ---- a stock tar, whose WAL was streamed into one of its own

$node->command_ok(
	[ 'pg_basebackup', '-D', "$dir.stream", '-Ft', '-X', 'stream', '-c', 'fast', '--no-sync' ],
	'a stock tar with pg_wal.tar');
combines('its data directory', "$dir.stream", '-o', "$dir.streamed");
command_ok([ 'pg_verifybackup', "$dir.streamed" ], 'it has its WAL: pg_verifybackup');
my ($sound, $complaints) = combine('--verify', "$dir.stream");
is($complaints, '', 'it is verified with its WAL');

# ---- recovery settings

combines('recovery settings', "$dir/i2", '-o', "$dir.pitr",
	'--target-lsn', '0/1234', '--target-action', 'promote',
	'--restore-command', q{cp '/a b/%f' "%p"});
ok(-e "$dir.pitr/recovery.signal", 'recovery.signal is there');
my $auto = slurp_file("$dir.pitr/postgresql.auto.conf");
like($auto, qr/^recovery_target_lsn = '0\/1234'$/m, 'the target');
like($auto, qr/^recovery_target_time = ''$/m, 'no other one');
like($auto, qr/^recovery_target_action = 'promote'$/m, 'the action');
like($auto, qr/^restore_command = 'cp ''\/a b\/%f'' "%p"'$/m, 'the command, quoted');
my ($out, $err2) = run_command([ 'pg_verifybackup', "$dir.pitr" ]);
is($err2, '', 'recovery settings: pg_verifybackup');
fails_like(qr/only one of --target/, 'two targets', "$dir/i2", '-o', "$dir.bad",
	'--target-lsn', '0/1', '--target-name', 'x');

$node->stop;
done_testing();
