# What ckpx_combinebackup must never do, with handmade backups: bring back what
# was cut off, follow a foreign link, look whole when it is not, write into a
# backup, believe a name or a size, remove what another backup needs.

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

use FindBin;
use lib "$FindBin::RealBin/../lib";

use CkpxChain;
use CkpxTest;
use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Small segments, so that more WAL than allowed is not much.
my $node = new_node('main', preload => '', extra => ['--wal-segsize=1']);
$node->start;
my $top = $node->basedir . '/b';
mkdir $top or die "could not create \"$top\": $!";

sub run_tool
{
	my ($out, $err) = run_command([ 'ckpx_combinebackup', @_ ]);
	return ($out, $err);
}

sub succeeds
{
	my ($name, @arguments) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($out, $err) = run_tool(@arguments);

	unlike($err, qr/error:|warning:/, $name);
	return $out;
}

# It fails, with a message, and leaves no output.
sub refuses
{
	my ($pattern, $name, @arguments) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($out, $err) = run_tool(@arguments, '-o', "$top/out");

	like($err, $pattern, $name);
	ok(!-e "$top/out", "$name: no output") or system_or_bail('rm', '-rf', "$top/out");
	return;
}

sub same_as
{
	my ($dir, $full, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	is_deeply([ differences($dir, $full, qr{^/backup_manifest$}) ], [], "$name: the bytes");
	my ($out, $err) = run_command([ 'pg_verifybackup', '--exit-on-error', '-n', $dir ]);
	is($err, '', "$name: pg_verifybackup");
	return;
}

# A directory of its own with a chain in it: names of backups below $top/made,
# whose plain files are hard links.  In the end they must be as they were.
sub fresh
{
	my ($name, @backups) = @_;

	system_or_bail('rm', '-rf', "$top/$name");
	mkdir "$top/$name" or die "could not create \"$top/$name\": $!";
	system_or_bail('cp', /^t/ ? '-a' : '-al', "$top/made/$_", "$top/$name/$_") foreach @backups;
	return "$top/$name";
}

# ---- a table of ten blocks, three fulls, and the increments between them

sql("CREATE TABLE t AS SELECT i, repeat('x', 1000) FROM generate_series(1, 70) i");
my $path = sql("SELECT pg_relation_filepath('t')");
my $stub = dirname($path) . '/INCREMENTAL.' . basename($path);
mkdir "$top/made";
my @ids = map { new_id() } 0 .. 2;
full_backup($node, "$top/f0", id => $ids[0]);
sql('CREATE TABLE more AS SELECT generate_series(1, 1000) i');
full_backup($node, "$top/f1", id => $ids[1], parent => $ids[0]);
sql("UPDATE t SET repeat = 'y' WHERE i = 1");
full_backup($node, "$top/f2", id => $ids[2], parent => $ids[1]);
$node->stop;

# Their WAL is not looked at here.
unlink glob "$top/f$_/pg_wal/0*" foreach 0 .. 2;
copy_tree("$top/f0", "$top/made/full");
make_increment("$top/f0", "$top/f1", "$top/made/i1");
make_increment("$top/f1", "$top/f2", "$top/made/i2");
pack_tar("$top/made/i1", "$top/made/t1");

# ---- B3: what was cut off in between stays cut off

my $block = join '', map { chr(65 + $_ % 26) } 1 .. 8192;
my $dir = fresh('b3', qw(full i1 i2));
spew("$dir/i1/$stub", make_stub(5, {}));
spew("$dir/i2/$stub", make_stub(10, { 7 => $block }));
rewrite_entry("$dir/i$_", $stub) foreach 1, 2;
my $whole = slurp_file("$dir/full/$path");
cmp_ok(length $whole, '>=', 10 * 8192, 'the full has ten blocks');
succeeds('a file that was cut and grew', "$dir/i2", '-o', "$top/o3");
ok(slurp_file("$top/o3/$path") eq substr($whole, 0, 5 * 8192)
	  . "\0" x (2 * 8192) . $block . "\0" x (2 * 8192),
	'what was cut off is zero, what is newer is there');

# ---- B5: links

mkdir "$top/live" or die;
spew("$top/live/PG_VERSION", "15\n");
$dir = fresh('b5', qw(full i1));
my ($database) = dirname($path);
system_or_bail('mv', "$dir/i1/$database", "$top/live/moved");
symlink "$top/live/moved", "$dir/i1/$database" or die;
refuses(qr{i1/base/\d+" is neither a file nor a directory\n.*hint:}, 'a link to a directory', "$dir/i1");
$dir = fresh('b5', qw(full i1));
rename "$dir/full/$path", "$top/live/file" or die;
symlink "$top/live/file", "$dir/full/$path" or die;
refuses(qr{could not open "[^"]*full/\Q$path\E"}, 'a link to a file', "$dir/i1");
$dir = fresh('b5', qw(full i1));
symlink "$top/live", "$dir/i1/pg_tblspc/16999" or die;
refuses(qr{leads to "[^"]*live", outside of the backup\n.*hint:.*-T}, 'a tablespace that is not mapped', "$dir/i1");
is(slurp_file("$top/live/PG_VERSION"), "15\n", 'what the link led to is as it was');
mkdir "$top/space" or die;
unlink "$dir/i1/pg_tblspc/16999";
symlink "$top/space", "$dir/i1/pg_tblspc/16999" or die;
refuses(qr{exists and is not empty}, 'a tablespace mapped to a place that is in use', "$dir/i1",
	'-T', "$top/space=$top/live");
refuses(qr{lies inside of "[^"]*live"}, 'a tablespace mapped into a data directory', "$dir/i1",
	'-T', "$top/space=$top/live/new");
succeeds('a tablespace mapped to a new place', "$dir/i1", '-T', "$top/space=$top/new_space", '-o', "$top/o4");
is(readlink "$top/o4/pg_tblspc/16999", "$top/new_space", 'the output has the link');
$dir = fresh('b5', qw(full i1));
mkdir "$dir/i1/pg_tblspc/16999" or die;
spew("$dir/i1/tablespace_map", "16999 $top/live\n");
rewrite_entry("$dir/i1", 'tablespace_map');
succeeds('a backup with a tablespace_map', "$dir/i1", '-o', "$top/o5");
ok(!-e "$top/o5/tablespace_map", 'the output has none');
ok(-d "$top/o5/pg_tblspc/16999", 'but the directory');
$dir = fresh('b5', qw(full));
copy_tree("$top/made/i1", "$dir/plain");
mkdir "$dir/plain/pg_tblspc/16999";
spew("$dir/plain/pg_tblspc/16999/PG_15/x", '');
pack_tar("$dir/plain", "$dir/t1", targets => { 16999 => "$top/live" });
system_or_bail('rm', '-rf', "$dir/plain");
refuses(qr{tablespace 16999 was in "[^"]*live", and where it is to go is not said\n.*hint:.*-T},
	'a tablespace in a tar', "$dir/t1");

# ---- B7: killed at any moment, it does not look whole

sub strace_works
{
	my ($out, $err) = eval { run_command([ 'strace', '-o', '/dev/null', 'true' ]) };
	return defined $err && $err eq '';
}

sub killed_at
{
	my ($calls, $number, $signal, @command) = @_;
	my ($out, $err) = run_command(
		[
			'strace', '-f', '-qq', '-o', '/dev/null', '-e', "trace=$calls", '-e',
			"inject=$calls:signal=$signal:when=$number", 'ckpx_combinebackup', @command
		]);
	return $err;
}

$dir = fresh('b7', qw(full i1 i2));
SKIP:
{
	skip 'strace does not work', 1 if !strace_works();
	foreach my $number (1 .. 3)
	{
		system_or_bail('rm', '-rf', "$top/out");
		killed_at('renameat', $number, 'KILL', "$dir/i2", '-o', "$top/out");
		my $label = -e "$top/out/backup_label" ? slurp_file("$top/out/backup_label") : '';

		is(-e "$top/out/global/pg_control" ? 1 : 0, $number == 3 ? 1 : 0,
			"killed at rename $number: pg_control comes last but one");
		like($label, $number == 1 ? qr/^$/ : qr/^INCREMENTAL FROM/, 'the label is not the real one');
		next if $number < 3;
		my $log = "$top/refused.log";
		system('pg_ctl', '-D', "$top/out", '-l', $log, '-w', 'start');
		isnt($?, 0, 'no server starts on it');
		like(slurp_file($log), qr/FATAL: +(?:invalid data in file "backup_label"|this is an incremental backup)/,
			'because of the label');
	}
	foreach my $number (1, 200)
	{
		system_or_bail('rm', '-rf', "$top/out");
		my $err = killed_at('pwrite64', $number, 'INT', "$dir/i2", '-o', "$top/out");
		like($err, qr/canceled by a signal/, "SIGINT at write $number");
		ok(!-e "$top/out", 'leaves nothing');
	}
}

# ---- B8: a full moves forward, its files are never written

$dir = fresh('b8', qw(full i1 i2));
my $inode = (stat "$dir/full/base/1/1247")[1];
succeeds('a dry run', "$dir/i2", "--into=$dir/full", '-n');
is_deeply([ map { basename($_) } sort glob "$dir/*" ], [qw(full i1 i2)], 'changes nothing');
succeeds('a full rolled forward', "$dir/i2", "--into=$dir/full");
same_as("$dir/full", "$top/f2", 'rolled forward');
is_deeply([ map { basename($_) } sort glob "$dir/*" ], ['full'], 'what it was made of is gone');
is((stat "$dir/full/base/1/1247")[1], $inode, 'an unchanged file is a hard link');
is(label_lines("$dir/full")->{id}, $ids[2], 'it has the id of the newest increment');

# The chain goes on from it; partly rolled forward, too.
$dir = fresh('b8', qw(full i1 i2));
succeeds('part of a chain', "$dir/i1", "--into=$dir/full");
same_as("$dir/full", "$top/f1", 'part of a chain');
succeeds('the rest', "$dir/i2", "--into=$dir/full", '-j', 1);
same_as("$dir/full", "$top/f2", 'the rest');
$dir = fresh('b8', qw(full t1));
succeeds('a tar', "$dir/t1", "--into=$dir/full");
same_as("$dir/full", "$top/f1", 'a tar');

sub refuses_into
{
	my ($pattern, $name, $change) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	$dir = fresh('b8', qw(full i1 i2));
	$change->();
	my ($out, $err) = run_tool("$dir/i1", "--into=$dir/full");
	like($err, $pattern, $name);
	ok(-e "$dir/full/backup_manifest" && -e "$dir/i1/backup_manifest", "$name: nothing is removed");
	return;
}
refuses_into(qr/has a postmaster.pid/, 'a full that was started',
	sub { spew("$dir/full/postmaster.pid", "1\n"); });
refuses_into(qr/"global\/pg_control" in .*not of this backup's time/, 'another pg_control',
	sub { system_or_bail('cp', '--remove-destination', "$top/f2/global/pg_control", "$dir/full/global/pg_control"); });
refuses_into(qr/backup_label/, 'another label',
	sub { system_or_bail('cp', '--remove-destination', "$top/f1/backup_label", "$dir/full/backup_label"); });
refuses_into(qr/is no complete backup/, 'a full without a label', sub { unlink "$dir/full/backup_label"; });

# ---- B17: what others need stays

refuses_into(qr/unfinished backup ".*new.partial" goes on from this chain/, 'a backup in the making', sub {
	spew("$dir/new.partial/backup_label",
		"INCREMENTAL FROM LSN: " . label_lines("$dir/full")->{start} . "\nINCREMENTAL FROM TLI: 1\n");
});
refuses_into(qr/unfinished backup ".*new.partial" goes on from this chain/, 'one that goes on from the newest', sub {
	spew("$dir/new.partial/backup_label",
		"INCREMENTAL FROM LSN: 0/1\nINCREMENTAL FROM TLI: 1\nLABEL: ckpx id 00 parent $ids[1]\n");
});
$dir = fresh('b8', qw(full i1 i2));
copy_tree("$dir/i1", "$dir/second");
my $other = slurp_file("$dir/second/backup_label") =~ s/ id \w+/ id 0123456789abcdef0123456789abcdef/r;
spew("$dir/second/backup_label", $other);
rewrite_entry("$dir/second", 'backup_label');
my ($out, $err) = run_tool("$dir/i1", "--into=$dir/full");
like($err, qr/backup ".*second" goes on from ".*full", which would go\n.*hint:/, 'a second child');
ok(-e "$dir/i1/backup_manifest", 'a second child: nothing is removed');

# ---- killed at any moment, the same call finishes it

SKIP:
{
	skip 'strace does not work', 1 if !strace_works();
	my %points = (
		linkat => [ 1, 300 ],
		renameat => [ 1 .. 4 ],
		rename => [ 1, 2 ],
		unlinkat => [ 1, 2, 400, 1500 ]);
	foreach my $call (sort keys %points)
	{
		foreach my $number (@{ $points{$call} })
		{
			my $what = "killed at $call $number";

			$dir = fresh('killed', qw(full i1 i2));
			killed_at($call, $number, 'KILL', "$dir/i2", "--into=$dir/full");
			my ($old) = grep { -e "$_/backup_manifest" } "$dir/full", "$dir/full.previous";
			my ($out, $err) = run_command([ 'pg_verifybackup', '--exit-on-error', '-n', $old ]);
			is($err, '', "$what: a full is whole");
			next if !-e "$dir/i2/backup_manifest";
			succeeds("$what: the same call", "$dir/i2", "--into=$dir/full");
			same_as("$dir/full", "$top/f2", $what);
			succeeds("$what: --expire", '--expire', $dir, '--keep', 1);
			is_deeply([ map { basename($_) } sort glob "$dir/*" ], ['full'], "$what: nothing else is left");
		}
	}
}

# ---- B9: names occur once, and no stock server starts on an increment

$dir = fresh('b9', qw(full t1));
system_or_bail('tar', '--format=ustar', '-C', "$top/made/i1", '-rf', "$dir/t1/base.tar", 'PG_VERSION');
refuses(qr/t1/, 'a name twice in a tar', "$dir/t1");
$dir = fresh('b9', qw(full i1));
copy_tree("$dir/full/$path", "$dir/i1/$path");
rewrite_entry("$dir/i1", $path);
refuses(qr/both/, 'a file whole and as increment', "$dir/i1");

# ---- B16: names and sizes are not believed

sub hostile_manifest
{
	my ($name, $pattern, $change) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	$dir = fresh('b16', qw(full i1));
	my $manifest = read_manifest("$dir/i1");
	my ($entry) = grep { $_->{Path} eq $stub } @{ $manifest->{Files} };
	$change->($entry, $manifest->{Files});
	write_manifest("$dir/i1", $manifest);
	refuses($pattern, $name, "$dir/i1");
	return;
}
foreach my $bad ('../evil', '/tmp/evil', 'base/../../evil', 'base//x', './x', "a\nb", '', 'x' x 2000)
{
	hostile_manifest("the name \"" . substr($bad =~ s/\n/\\n/r, 0, 20) . '"', qr/manifest/,
		sub { $_[0]{Path} = $bad });
}
hostile_manifest('a size that is not the file\'s', qr/bytes/, sub { $_[0]{Size} = 10**15 });
hostile_manifest('a negative size', qr/manifest/, sub { $_[0]{Size} = -1 });
hostile_manifest('a name twice', qr/manifest/, sub { push @{ $_[1] }, $_[0] });

sub hostile_stub
{
	my ($name, $bytes) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	$dir = fresh('b16', qw(full i1));
	spew("$dir/i1/$stub", $bytes);
	rewrite_entry("$dir/i1", $stub);
	refuses(qr/\Q$stub\E/, "an increment with $name", "$dir/i1");
	return;
}
hostile_stub('another magic', pack('L3', 1, 0, 10));
hostile_stub('four billion blocks', pack('L3', 0xd3ae1f0d, 0xffffffff, 10));
hostile_stub('a block beyond the segment', make_stub(10, { 131072 => $block }));
hostile_stub('a length beyond the segment', make_stub(131073, {}));
hostile_stub('blocks that are not there', substr(make_stub(10, { 1 => $block, 2 => $block }), 0, 3 * 8192 - 1));
hostile_stub('more than its blocks', make_stub(10, { 1 => $block }) . 'x');
hostile_stub('blocks in another order',
	make_stub(10, { 1 => $block, 2 => $block }) =~ s/^(.{12})(.{4})(.{4})/$1$3$2/sr);
hostile_stub('nothing', '');

# Tars are made with names that they must not have.
sub hostile_tar
{
	my ($name, $pattern, @arguments) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	$dir = fresh('b16', qw(full t1));
	system_or_bail('tar', '--format=ustar', '-P', '-rf', "$dir/t1/base.tar", @arguments);
	refuses($pattern, "a tar with $name", "$dir/t1");
	ok(!-e "$top/evil" && !-e "$dir/evil", "$name: nothing is written elsewhere");
	return;
}
spew("$top/source/evil", 'evil');
hostile_tar('..', qr/t1/, '-C', "$top/source", '--transform', 's,^evil,../evil,', 'evil');
hostile_tar('an absolute name', qr/t1/, "$top/source/evil");
hostile_tar('a file that is not in the manifest', qr/"evil" in .* is not in the manifest/,
	'-C', "$top/source", 'evil');
symlink "$top/source", "$top/source/base" or die;
hostile_tar('a link', qr/t1/, '-C', "$top/source", 'base');
my @wal = map { sprintf 'pg_wal/0000000100000000000000%02X', $_ } 100 .. 170;
foreach my $file (map { "$top/source/$_" } @wal)
{
	spew($file, '');
	truncate $file, 1024 * 1024;
}
hostile_tar('more WAL than it needs', qr/more WAL than the backup needs/, '-C', "$top/source", @wal);

# ---- a full disk

SKIP:
{
	skip "no file system can be mounted here: $why_not", 1 if $why_not;
	$dir = fresh('full_disk', qw(full i1 i2));
	mkdir "$top/small";
	system_or_bail('mount', '-t', 'tmpfs', '-o', 'size=8m,mode=700', 'ckpx', "$top/small");
	my ($out, $err) = run_tool("$dir/i2", '-o', "$top/small/out");
	like($err, qr/needs about \d+ MB, but \d+ MB are free there\n.*hint/, 'no room is seen before');
	ok(!-e "$top/small/out", 'no room: nothing is made');
	system_or_bail('umount', "$top/small");
	system_or_bail('mount', '-t', 'tmpfs', '-o', 'size=1g,nr_inodes=300,mode=700', 'ckpx', "$top/small");
	($out, $err) = run_tool("$dir/i2", '-o', "$top/small/out");
	like($err, qr/could not create "[^"]*small\/out.*No space left on device/, 'no room is met on the way');
	ok(!-e "$top/small/out", 'met on the way: what was made is removed');
	system_or_bail('umount', "$top/small");
}

# ---- lists, and what expires

sub age
{
	my ($backup, $time) = @_;
	my $manifest = read_manifest($backup);

	$_->{'Last-Modified'} = $time foreach @{ $manifest->{Files} };
	write_manifest($backup, $manifest);
	return;
}
$dir = fresh('list', qw(full i1 i2));
copy_tree("$top/f2", "$dir/next");
spew("$dir/next/backup_label",
	slurp_file("$dir/next/backup_label") =~ s/ id \w+/ id 00000000000000000000000000000001/r);
rewrite_entry("$dir/next", 'backup_label');
age("$dir/full", '2021-01-01 10:00:00 GMT');
age("$dir/i1", '2021-01-02 10:00:00 GMT');
age("$dir/i2", '2021-01-03 10:00:00 GMT');
age("$dir/next", '2021-01-05 10:00:00 GMT');
mkdir "$dir/rest.removed";
spew("$dir/new.partial/backup_label", "x\n");
my $list = succeeds('--list', '--list', $dir);
like($list, qr/^full +full +plain.*2021-01-01 10:00:00Z\n  i1 +increment.*needs full\n    i2 +increment.*needs i1\n/m,
	'a chain is indented');
like($list, qr/^new.partial +unfinished\nrest.removed +left by a call/m, 'the rest is named');

foreach (
	[ '2021-01-02 09:59:59Z', 'full' ],
	[ '2021-01-02 11:00:00+01', 'i1' ],
	[ '2021-01-03 12:00:00Z', 'i2' ])
{
	my ($time, $backup) = @$_;
	succeeds("the newest before $time", $dir, '--target-time', $time, '-o', "$top/$backup.by_time", '-N');
	is( label_lines("$top/$backup.by_time")->{start}, label_lines("$dir/$backup")->{start},
		"is $backup");
}
refuses(qr/no backup in .* had ended before/, 'a time before all', $dir, '--target-time', '2020-12-31 00:00:00Z');
refuses(qr/--target-time must be like/, 'a time without a zone', $dir, '--target-time', '2022-12-31 00:00:00');

$list = succeeds('--expire, dry', '--expire', $dir, '--keep', 1, '-n');
is($list, join("\n", map { "would remove $dir/$_" } qw(rest.removed i2 i1 full)), 'says what would go');
ok(-e "$dir/full" && -e "$dir/rest.removed", 'and removes nothing');
is(succeeds('--keep=2', '--expire', $dir, '--keep', 2), "removing $dir/rest.removed", 'two chains are kept');
my $days = int((time() - 1609675200) / 86400);    # since 2021-01-03 12:00:00Z
is(succeeds('--keep-days', '--expire', $dir, '--keep-days', $days), '',
	'the newest before the time is kept, with its chain');
spew("$dir/new.partial/backup_label", "INCREMENTAL FROM LSN: 0/1\nLABEL: ckpx id 00 parent $ids[1]\n");
($out, $err) = run_tool('--expire', $dir, '--keep', 1);
like($err, qr/keeping the chain of .*full": unfinished backup "new.partial"/, 'an unfinished one keeps a chain');
ok(-e "$dir/i2/backup_manifest", 'which is there');
spew("$dir/new.partial/backup_label", "x\n");
succeeds('--keep=1', '--expire', $dir, '--keep', 1);
is_deeply([ map { basename($_) } sort glob "$dir/*" ], [qw(new.partial next)], 'one chain is kept');

is_deeply([ differences("$top/made/full", "$top/f0") ], [], 'no file of a backup was ever written');

done_testing();
