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
use File::Path qw(make_path);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Small segments, so that more WAL than allowed is not much.
my $node = new_node('main', preload => '', extra => ['--wal-segsize=1']);
$node->start;
my $top = $node->basedir . '/b';
mkdir $top or die "could not create \"$top\": $!";

# Before the command: in the part about what is not believed, a limit of memory.
my @limits;

sub run_tool
{
	my ($out, $err) = run_command([ @limits, 'ckpx_combinebackup', @_ ]);
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

# Their WAL is looked at only in the small chain.
system_or_bail('cp', '-a', "$top/f2/pg_wal", "$top/wal");
unlink glob "$top/f$_/pg_wal/0*" foreach 0 .. 2;
copy_tree("$top/f0", "$top/made/full");
make_increment("$top/f0", "$top/f1", "$top/made/i1");
make_increment("$top/f1", "$top/f2", "$top/made/i2");
pack_tar("$top/made/i1", "$top/made/t1");

# ---- the same with few files, for what is done many times; the newest has WAL

my @few = (qw(PG_VERSION backup_label global/pg_control postgresql.auto.conf pg_xact/0000 base/1/1247 base/1/1249), $path);

# pg_attribute, of which some blocks are changed.
my $partly = dirname($path) . '/1249';
push @few, $partly;

sub make_small
{
	my ($name) = @_;
	my ($from, $to) = ("$top/made/$name", "$top/small/$name");
	my $manifest = read_manifest($from);
	my %wanted = map { $_ => 1, dirname($_) . '/INCREMENTAL.' . basename($_) => 1 } @few;

	@{ $manifest->{Files} } = grep { $wanted{ $_->{Path} } } @{ $manifest->{Files} };
	make_path(map { "$to/$_" } qw(pg_tblspc pg_wal pg_stat));
	spew("$to/$_", slurp_file("$from/$_")) foreach map { $_->{Path} } @{ $manifest->{Files} };
	write_manifest($to, $manifest);
	chmod 0700, $to;
	return;
}
make_small($_) foreach qw(full i1 i2);
system_or_bail('cp', '-a', glob("$top/wal/0*"), "$top/small/i2/pg_wal");
pack_tar("$top/small/i1", "$top/small/t1");

sub small
{
	my (@backups) = @_;

	system_or_bail('rm', '-rf', "$top/work");
	mkdir "$top/work" or die "could not create \"$top/work\": $!";
	system_or_bail('cp', '-al', (map { "$top/small/$_" } @backups), "$top/work");
	return "$top/work";
}

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
rename "$dir/full/$database", "$top/live/database" or die;
symlink "$top/live/database", "$dir/full/$database" or die;
refuses(qr{could not open "[^"]*full/base/\d+/\d+}, 'a link to a directory in an older backup', "$dir/i1");
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

# A tablespace that the newest backup does not have any more.
$dir = fresh('b5', qw(full i1));
symlink "$top/live", "$dir/full/pg_tblspc/16998" or die;
succeeds('a tablespace that only the full has', "$dir/i1", '-o', "$top/o6");
ok(!-e "$top/o6/pg_tblspc/16998", 'is not in the output');
my $in_space = 'pg_tblspc/16998/PG_15_202209061/5/16400';
make_path(dirname("$dir/i1/$in_space"));
spew("$dir/i1/$in_space", 'x' x 8192);
rewrite_entry("$dir/i1", $in_space);
refuses(qr{full/pg_tblspc/16998" leads to "[^"]*live", outside of the backup\n.*hint:.*-T}, 'one that both have', "$dir/i1");

# ---- another cluster's backups

sub crc32c
{
	my $crc = 0xFFFFFFFF;

	foreach my $byte (unpack 'C*', $_[0])
	{
		$crc ^= $byte;
		$crc = $crc & 1 ? $crc >> 1 ^ 0x82F63B78 : $crc >> 1 foreach 1 .. 8;
	}
	return $crc ^ 0xFFFFFFFF;
}

# Give a backup another system identifier.
sub make_foreign
{
	my ($backup) = @_;
	my $control = slurp_file("$backup/global/pg_control");
	my ($at) = grep { unpack('V', substr $control, $_, 4) == crc32c(substr $control, 0, $_) } map { $_ * 4 } 50 .. 120;
	my $manifest = read_manifest($backup);

	substr($control, 0, 1) ^= "\1";
	substr($control, $at, 4) = pack 'V', crc32c(substr $control, 0, $at);
	spew("$backup/global/pg_control", $control);
	$manifest->{'System-Identifier'} = unpack 'Q', $control if exists $manifest->{'System-Identifier'};
	write_manifest($backup, $manifest);
	rewrite_entry($backup, 'global/pg_control');
	return;
}
$dir = fresh('foreign', qw(full i1));
make_foreign("$dir/i1");
my $two_ids = qr/system identifier (?:is )?\d{19}, (?:but "[^"]*" has|not) \d{19}/;
refuses(qr/"[^"]*i1" has $two_ids\n.*hint:/, 'an increment of another cluster', "$dir/full", "$dir/i1");
refuses(qr/"[^"]*full" starts where "[^"]*i1" goes on, but its $two_ids/, 'the same, alone', "$dir/i1");
{
	my ($out, $err) = run_tool("$dir/i1", "--into=$dir/full");
	like($err, qr/"[^"]*i1" has $two_ids\n.*hint:/, 'the same with --into');
	ok(-e "$dir/full/backup_manifest" && -e "$dir/i1/backup_manifest", 'nothing is removed');
}

# ---- clones

$dir = fresh('clone', qw(full i1 i2));
if (system("cp --reflink=always $dir/full/PG_VERSION $top/reflink 2>/dev/null") == 0)
{
	succeeds('--clone', "$dir/i2", '-o', "$top/cloned", '--clone');
	same_as("$top/cloned", "$top/f2", '--clone');
	succeeds('--clone with --into', "$dir/i2", "--into=$dir/full", '--clone');
	same_as("$dir/full", "$top/f2", '--clone with --into');
}
else
{
	refuses(qr/could not clone "[^"]*" to "[^"]*": .*\n.*hint:.*leave the option out/, '--clone where it cannot',
		"$dir/i2", '--clone');
	my ($out, $err) = run_tool("$dir/i2", "--into=$dir/full", '--clone');
	like($err, qr/could not clone/, '--clone with --into where it cannot');
	is_deeply([ map { basename($_) } sort glob "$dir/*" ], [qw(full i1 i2)], 'leaves all as it was');
}

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
refuses_into(qr/full": file "backup_label" is not the one that the manifest lists/, 'a label with another time', sub {
	my $label = slurp_file("$dir/full/backup_label") =~ s/^(START TIME: )\d{4}/${1}1999/mr;
	unlink "$dir/full/backup_label";
	spew("$dir/full/backup_label", $label);
});
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

# ---- killed before each of its file-system calls

# The number of times that a command makes each call that changes something.
sub count_calls
{
	my (@command) = @_;
	my %count;

	system_or_bail('strace', '-f', '-qq', '-o', "$top/trace", '-e',
		'trace=mkdirat,mkdir,linkat,link,pwrite64,ftruncate,fsync,renameat,rename,unlinkat,unlink,rmdir,chmod',
		'ckpx_combinebackup', '-j', 1, @command);
	$count{$_}++ foreach slurp_file("$top/trace") =~ /^\d+ +(\w+)\(/mg;
	return map { my $call = $_; map { [ $call, $_ ] } 1 .. $count{$call} } sort keys %count;
}

SKIP:
{
	skip 'strace does not work', 1 if !strace_works();
	$dir = small(qw(full i1 i2));
	succeeds('a small chain', "$dir/i2", '-o', "$top/expected");
	my @points = count_calls("$dir/i2", "--into=$dir/full");
	cmp_ok(scalar @points, '>=', 60, scalar @points . ' calls of --into');
	is_deeply([ differences("$dir/full", "$top/expected") ], [], '--into makes what -o makes');

	# Of calls that are made for each file, a third does.
	foreach (grep { $_->[1] <= 10 || $_->[1] % 3 == 0 } @points)
	{
		my ($call, $number) = @$_;
		my $what = "--into killed before $call $number";

		$dir = small(qw(full i1 i2));
		killed_at($call, $number, 'KILL', '-j', 1, "$dir/i2", "--into=$dir/full");
		my ($whole) = grep { -e "$_/backup_manifest" && -e "$_/backup_label" } "$dir/full", "$dir/full.previous";
		my ($old, $new) = map { join ' ', differences($whole // "$dir/none", $_) } "$top/small/full", "$top/expected";
		my @wrong = $old ne '' && $new ne '' ? "no full is whole: $old, $new" : ();
		if (-e "$dir/i2/backup_manifest")
		{
			my ($out, $err) = run_tool("$dir/i2", "--into=$dir/full");
			push @wrong, "the same call: $err" if $err =~ /error:/;
		}
		run_tool('--expire', $dir, '--keep', 1);
		my @left = map { basename($_) } sort glob "$dir/*";
		push @wrong, "left: @left" if "@left" ne 'full';
		push @wrong, "differs: $_" foreach differences("$dir/full", "$top/expected");
		is("@wrong", '', $what);
	}

	# Of an output that is not complete, label and pg_control tell.
	$dir = small(qw(full i1 i2));
	@points = count_calls("$dir/i2", '-o', "$top/out");
	cmp_ok(scalar @points, '>=', 40, scalar @points . ' calls of -o');
	my $label = slurp_file("$top/expected/backup_label");
	my @looks_whole;
	foreach (@points)
	{
		my ($call, $number) = @$_;

		system_or_bail('rm', '-rf', "$top/out");
		killed_at($call, $number, 'KILL', '-j', 1, "$dir/i2", '-o', "$top/out");
		push @looks_whole, "$call $number"
		  if -e "$top/out/backup_label" && slurp_file("$top/out/backup_label") eq $label
		  && join('', differences("$top/out", "$top/expected")) ne '';
		push @looks_whole, "$call $number: no label"
		  if -e "$top/out/PG_VERSION" && !-e "$top/out/backup_label";
	}
	is("@looks_whole", '', '-o killed: no half output looks whole');

	# Everything is synced before pg_control, and each of the last steps.
	system_or_bail('rm', '-rf', "$top/out");
	system_or_bail('strace', '-f', '-qq', '-y', '-o', "$top/trace", '-e', 'trace=fsync,renameat,pwrite64,write',
		'ckpx_combinebackup', '-j', 1, "$dir/i2", '-o', "$top/out");
	my @steps = map {
		/(fsync|pwrite64|write)\(\d+<\Q$top\E\/out([^>]*)>/ ? "$1 $2"
		  : /renameat\(.*"([^"]+)"\)? / ? "rename $1" : ()
	} split /\n/, slurp_file("$top/trace");
	my ($last) = grep { $steps[$_] =~ /^p?write.* (?!.*(?:pg_control|backup_label))/ } reverse 0 .. $#steps;
	my %synced = map { $_ => 1 } @steps[ $last + 1 .. $#steps ];
	is(join(' ', grep { !$synced{"fsync /$_"} } @few[ 0, 3 .. $#few ], 'base/1', 'global', 'backup_manifest'), '',
		'each file and directory is synced after the last write');
	is(join(', ', map { s/64//r } @steps[ -8 .. -1 ]),
		'write /global/pg_control.tmp, fsync /global/pg_control.tmp, rename global/pg_control, fsync /global, '
		  . 'write /backup_label.tmp, fsync /backup_label.tmp, rename backup_label, fsync ',
		'pg_control, then the label, each synced before and behind its rename');

	# B8: what was written is read again before the old full goes.  The last
	# write to the file, of blocks that come from the full, is lost.
	my @traced = ('strace', '-f', '-qq', '-P', "$dir/full.forward/$partly", '-e', 'trace=pwrite64');
	my @into = ('ckpx_combinebackup', '-j', 1, "$dir/i2", "--into=$dir/full");
	$dir = small(qw(full i1 i2));
	system_or_bail(@traced, '-o', "$top/trace", @into);
	my @written = slurp_file("$top/trace") =~ / = (\d+)$/mg;
	my $number = @written;
	cmp_ok($number, '>=', 2, 'a file is written in parts');
	$dir = small(qw(full i1 i2));
	my ($out, $err) = run_command([ @traced, '-o', '/dev/null', '-e', "inject=pwrite64:retval=$written[-1]:when=$number", @into ]);
	like($err, qr/reads back differently from what was written/, 'a write that was lost is seen');
	is_deeply([ differences("$dir/full", "$top/small/full") ], [], 'and the old full is there');
}

system_or_bail('rm', '-rf', "$top/out");

# ---- a tar that was cut

# Each member of the tar in a frame of its own.
my $packed = small(qw(full t1)) . '/t1/base.tar';
my $tar = slurp_file($packed);
my @frames;
my @headers;
for (my $at = 0; $at < length $tar;)
{
	my $size = oct(substr($tar, $at + 124, 11) =~ s/\0.*//sr || 0);
	my $length = substr($tar, $at, 512) =~ /^\0*$/ ? length($tar) - $at : 512 + 512 * int(($size + 511) / 512);

	spew("$top/part", substr($tar, $at, $length));
	system_or_bail('zstd', '-q', '-f', '--rm', "$top/part");
	push @frames, slurp_file("$top/part.zst");
	# Settings may be others than when the backup was made.
	push @headers, $at, $size > 0 && substr($tar, $at, 20) ne 'postgresql.auto.conf' ? $at + 512 : ();
	$at += $length;
}
cmp_ok(scalar @frames, '>=', 10, scalar @frames . ' frames');

# Both --verify and -o tell the file; nothing is left.
sub told
{
	my ($pattern, $backup) = @_;
	my @silent;

	foreach my $command ([ '--verify', $backup ], [ $backup, '-o', "$top/out" ])
	{
		my ($out, $err) = ('', '');
		IPC::Run::run([ 'ckpx_combinebackup', @$command ], '>', \$out, '2>', \$err);
		push @silent, "@$command: " . ($? >> 8) . " $err" if $? >> 8 != 1 || $err !~ /(?:error|warning):.*$pattern/;
	}
	push @silent, 'an output is left' if -e "$top/out";
	system_or_bail('rm', '-rf', "$top/out");
	return join "\n", @silent;
}

my $at = 0;
foreach my $number (0 .. $#frames)
{
	my @silent;

	foreach my $cut (0, 3, 4, 6, int(length($frames[$number]) / 2), length($frames[$number]) - 4, length($frames[$number]) - 1)
	{
		$dir = small(qw(full t1));
		unlink "$dir/t1/base.tar";
		spew("$dir/t1/base.tar.zst", substr(join('', @frames), 0, $at + $cut));
		push @silent, told(qr/base\.tar\.zst/, "$dir/t1");
	}
	is(join('', @silent), '', "a tar cut in and before frame $number is told");
	$at += length $frames[$number];
}
$dir = small(qw(full t1));
unlink "$dir/t1/base.tar";
spew("$dir/t1/base.tar.zst", join '', @frames);
succeeds('the whole tar of many frames', '--verify', "$dir/t1");
my @silent;
my $content = length($tar =~ s/\0+\z//r);	# an archive ends with zeros
foreach my $cut (grep { $_ < $content } map { 40 * $_ } map { ($_ * 512, $_ * 512 + 100) } 0 .. length($tar) / 512 / 40)
{
	$dir = small(qw(full t1));
	spew("$dir/t1/base.tar", substr($tar, 0, $cut));
	push @silent, told(qr/base\.tar/, "$dir/t1");
}
is(join('', @silent), '', 'a tar that is not compressed, cut, is told');

# ---- one bit that is another one

sub flip
{
	my ($file, $bit) = @_;
	my $bytes = slurp_file($file);

	vec($bytes, $bit, 1) ^= 1;
	return spew($file, $bytes);
}

sub flips_are_told
{
	my ($file, $pattern, @bits) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($name) = $file =~ m{^([^/]+)};
	my @backups = $name eq 't1' ? qw(full t1) : qw(full i1 i2);
	my @silent;

	foreach my $bit (@bits)
	{
		$dir = small(@backups);
		flip("$dir/$file", $bit);
		push @silent, map { "bit $bit: $_" } grep { $_ } told($pattern, "$dir/$backups[-1]");
	}
	return is(join("\n", @silent), '', "bits of $file: " . scalar @bits);
}
my @size = map { 8 * $_ } map { -s "$top/small/$_" } "full/$path", "i2/$stub", 'full/backup_manifest', 't1/base.tar';
flips_are_told("full/$path", qr/\Q$path\E/, 0, int($size[0] / 2), $size[0] - 1);
flips_are_told("i2/$stub", qr/\Q$stub\E/, 0, 33, 65, 97, 8 * 8191, $size[1] - 1);
flips_are_told('i2/pg_xact/0000', qr/pg_xact\/0000/, 0, 8 * 5000);
flips_are_told("$_/backup_manifest", qr/$_": file "backup_manifest"/, 8, int($size[2] / 2) + 3, $size[2] / 2 + 700) foreach qw(i1 i2);
flips_are_told("$_/backup_label", qr/$_": file "backup_label"/, 3, 500) foreach qw(i1 i2);
flips_are_told("$_/global/pg_control", qr/$_": file "global\/pg_control"/, 3, 64, 8 * 200, 8 * 4000) foreach qw(i1 i2);
flips_are_told('t1/base.tar', qr/t1(?:\/|.*)base\.tar|in no tar|t1\": file/, map { 8 * $_ + 1 } @headers);
my ($needed) = map { basename($_) } sort glob "$top/small/i2/pg_wal/0*";
my $start = hex((label_lines("$top/small/i2")->{start} =~ m{/([0-9A-F]+)})[0]) % 2**20;
flips_are_told("i2/pg_wal/$needed", qr/pg_wal\/$needed" in "[^"]*": the (?:record|page) at 0\/[0-9A-F]+ /,
	map { 8 * ($start + $_) + $_ % 8 } 0, 4, 8, 16, 17, 20, 23, 24, 29, 60, 110);

# A standby has of a segment that was switched only what comes before.
$dir = small(qw(full i1 i2));
my $switched = read_manifest("$dir/i2");
my ($stop) = map { hex((split m{/}, $_->{'End-LSN'})[1]) } @{ $switched->{'WAL-Ranges'} };
my $bytes = slurp_file("$dir/i2/pg_wal/$needed");
my $behind = (int(($stop % 2**20 + 200) / 8192) + 1) * 8192;
substr($bytes, $behind) = "\0" x (2**20 - $behind);
spew("$dir/i2/pg_wal/$needed", $bytes);
$switched->{'WAL-Ranges'}[0]{'End-LSN'} = sprintf '0/%X', ($stop | 2**20 - 1) + 1;
write_manifest("$dir/i2", $switched);
succeeds('zeros behind a switch of segments: --verify', '--verify', "$dir/i2");
succeeds('zeros behind a switch of segments: -o', "$dir/i2", '-o', "$top/out");
system_or_bail('rm', '-rf', "$top/out");

$dir = fresh('map', qw(full));
copy_tree("$top/made/i1", "$dir/plain");
mkdir "$dir/plain/pg_tblspc/16999";
spew("$dir/plain/pg_tblspc/16999/PG_15/x", '');
pack_tar("$dir/plain", "$dir/t1", targets => { 16999 => "$top/nowhere" });
my $map_tar = slurp_file("$dir/t1/base.tar");
my $map_at = index $map_tar, "16999 $top";
flip("$dir/t1/base.tar", 8 * ($map_at + 8) + 1);
($out, $err) = run_tool('--verify', "$dir/t1");
like($err, qr/checksum of "tablespace_map" in "[^"]*t1\/base\.tar"/, 'a bit of tablespace_map: --verify');

# ---- B9: names occur once, and no stock server starts on an increment

$dir = fresh('b9', qw(full t1));
system_or_bail('tar', '--format=ustar', '-C', "$top/made/i1", '-rf', "$dir/t1/base.tar", 'PG_VERSION');
refuses(qr/t1/, 'a name twice in a tar', "$dir/t1");
$dir = fresh('b9', qw(full i1));
copy_tree("$dir/full/$path", "$dir/i1/$path");
rewrite_entry("$dir/i1", $path);
refuses(qr/both/, 'a file whole and as increment', "$dir/i1");

$dir = fresh('b9', qw(full i1 i2));
copy_tree("$dir/full/$path", "$dir/i1/$path");
rewrite_entry("$dir/i1", $path);
refuses(qr/"[^"]*i1" has both/, 'the same in an older backup', "$dir/i2");

# ---- B16: names and sizes are not believed, and nothing is allocated for them

@limits = ('sh', '-c', 'ulimit -v 600000; exec "$@"', 'sh');

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
foreach (
	[ '../evil', qr/a component "\." or "\.\."/ ],
	[ 'base/../../evil', qr/a component "\." or "\.\."/ ],
	[ './x', qr/a component "\." or "\.\."/ ],
	[ '/tmp/evil', qr/name is absolute/ ],
	[ 'base//x', qr/an empty component/ ],
	[ '', qr/name is empty/ ],
	[ "a\nb", qr/a control character/ ],
	[ 'x' x 1020, qr/name is too long/ ],
	[ 'x' x 2000, qr/wrong value of field "Path"/ ])
{
	my ($bad, $pattern) = @$_;
	hostile_manifest("the name \"" . substr($bad =~ s/\n/\\n/r, 0, 20) . '"', $pattern, sub { $_[0]{Path} = $bad });
}
hostile_manifest('a size that is not the file\'s', qr/has \d+ bytes, but 1000000000000000 in the manifest/,
	sub { $_[0]{Size} = 10**15 });
hostile_manifest('a negative size', qr/wrong value of field "Size"/, sub { $_[0]{Size} = -1 });
hostile_manifest('a size beyond all', qr/wrong value of field "Size"/, sub { $_[0]{Size} = 2**63 });
hostile_manifest('a name twice', qr/occurs twice/, sub { push @{ $_[1] }, $_[0] });

sub hostile_stub
{
	my ($name, $why, $bytes) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	$dir = fresh('b16', qw(full i1));
	spew("$dir/i1/$stub", $bytes);
	rewrite_entry("$dir/i1", $stub);
	refuses(qr/"\Q$stub\E" in "[^"]*i1": $why/, "an increment with $name", "$dir/i1");
	return;
}
hostile_stub('another magic', 'wrong magic', pack('L3', 1, 0, 10));
hostile_stub('four billion blocks', 'number of blocks is larger', pack('L3', 0xd3ae1f0d, 0xffffffff, 10));
hostile_stub('a block beyond the segment', 'block number is out of', make_stub(10, { 131072 => $block }));
hostile_stub('a length beyond the segment', 'truncation length is larger', make_stub(131073, {}));
hostile_stub('blocks that are not there', 'length of file does not agree', substr(make_stub(10, { 1 => $block, 2 => $block }), 0, 3 * 8192 - 1));
hostile_stub('more than its blocks', 'length of file does not agree', make_stub(10, { 1 => $block }) . 'x');
hostile_stub('blocks in another order', 'block numbers do not ascend',
	make_stub(10, { 1 => $block, 2 => $block }) =~ s/^(.{12})(.{4})(.{4})/$1$3$2/sr);
hostile_stub('nothing', 'file is too short', '');

# Ranges of WAL that the backup cannot have.
sub hostile_ranges
{
	my ($name, $pattern, $count, $end) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	$dir = small(qw(full i1));
	my $manifest = read_manifest("$dir/i1");
	my $first = $manifest->{'WAL-Ranges'}[0];
	push @{ $manifest->{'WAL-Ranges'} }, ({ %$first, 'End-LSN' => $end }) x $count;
	write_manifest("$dir/i1", $manifest);
	my ($out, $err) = run_tool('--verify', "$dir/i1");
	like($err, $pattern, "$name: --verify");
	refuses($pattern, $name, "$dir/i1");
	return;
}
hostile_ranges('WAL up to the end of the world', qr/more than 1000000 segments/, 1, 'FFFFFFFF/FFFFFFFF');
hostile_ranges('much WAL many times', qr/more than 1000000 segments/, 30, '20/0');

# Tars with members that they must not have, in front of the others.
sub tar_member
{
	my ($name, $bytes, %fields) = @_;
	my $header = pack('a100a8a8a8a12a12a8aa100a6a2a32a32a8a8a155x12',
		$name, '0000600', '0000000', '0000000', sprintf('%011o', $fields{size} // length $bytes),
		'00000000000', ' ' x 8, $fields{type} // '0', $fields{link} // '', "ustar\0", '00',
		'', '', '', '', $fields{prefix} // '');

	substr($header, 124, 12) = "\x80" . "\0" x 3 . pack('Q>', $fields{binary}) if $fields{binary};
	substr($header, 148, 8) = sprintf("%06o\0 ", unpack('%32C*', $header));
	return $header . $bytes . "\0" x (-length($bytes) % 512);
}

sub hostile_tar
{
	my ($name, $pattern, $member) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	$dir = small(qw(full t1));
	spew("$dir/t1/base.tar", $member . slurp_file("$dir/t1/base.tar"));
	my ($out, $err) = run_tool('--verify', "$dir/t1");
	like($err, qr{t1(?:/|.*: archive ")base\.tar"}, "a tar with $name: --verify names it");
	like($err, $pattern, "a tar with $name: --verify");
	refuses($pattern, "a tar with $name", "$dir/t1");
	ok(!-e "$top/evil" && !-e "$dir/evil" && !-e '/tmp/ckpx_evil', "$name: nothing is written elsewhere");
	return;
}
hostile_tar('..', qr/a component "\." or "\.\."/, tar_member('../evil', 'evil'));
hostile_tar('.. further behind', qr/a component "\." or "\.\."/, tar_member('base/../../evil', 'evil'));
hostile_tar('.. in the prefix', qr/a component "\." or "\.\."/, tar_member('evil', 'evil', prefix => '..'));
hostile_tar('an absolute name', qr/name is absolute/, tar_member('/tmp/ckpx_evil', 'evil'));
hostile_tar('a control character', qr/evil\?": name has a control character/, tar_member("evil\n", 'evil'));
hostile_tar('no name', qr/name is empty/, tar_member('', 'evil'));
hostile_tar('a name twice', qr/name occurs twice/, tar_member('PG_VERSION', "15\n"));
hostile_tar('a hard link', qr/neither file, directory nor/, tar_member('evil', '', type => '1', link => 'PG_VERSION'));
hostile_tar('a device', qr/neither file, directory nor/, tar_member('evil', '', type => $_)) foreach 3, 4, 6;
hostile_tar('a longer name\'s header', qr/neither file, directory nor/, tar_member('././@LongLink', 'x' x 600, type => 'L'));
hostile_tar('a link with bytes', qr/wrong size in a header/, tar_member('evil', 'evil', type => '2', link => 'x'));
hostile_tar('a size beyond all', qr/wrong size in a header/, tar_member('evil', '', binary => 2**63 - 1));
hostile_tar('a size of an exabyte', qr/is not in the manifest|ends within a member/, tar_member('evil', '', binary => 2**60));
hostile_tar('a label of a gigabyte', qr/too large|occurs twice/, tar_member('backup_label', '', binary => 2**30));
hostile_tar('a checksum that is wrong', qr/wrong checksum of a header/, "x" . substr(tar_member('evil', ''), 1));

sub refuses_member
{
	my ($name, $pattern, $member) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	$dir = small(qw(full t1));
	spew("$dir/t1/base.tar", $member . slurp_file("$dir/t1/base.tar"));
	refuses($pattern, "a tar with $name", "$dir/t1");
	ok(-l "$top/made" || !-e "$top/evil", "$name: nothing is written elsewhere");
	return;
}
refuses_member('a link', qr/"pg_stat\/x" in .* is a link/, tar_member('pg_stat/x', '', type => '2', link => $top));
refuses_member('a file that is not in the manifest', qr/"evil" in .* is not in the manifest/, tar_member('evil', 'evil'));
refuses_member('more WAL than it needs', qr/more WAL than the backup needs/,
	join '', map { tar_member(sprintf('pg_wal/0000000100000000000000%02X', $_), "\0" x 2**20) } 100 .. 170);

# The same in an older backup, of which only some members are needed.
$dir = small(qw(full i1 i2));
pack_tar("$dir/full", "$dir/t");
system_or_bail('rm', '-rf', "$dir/full");
rename "$dir/t", "$dir/full" or die;
my $full_tar = slurp_file("$dir/full/base.tar");
spew("$dir/full/base.tar", tar_member('base/1/99999', 'x' x 8192) . $full_tar);
refuses(qr/"base\/1\/99999" in .*full\/base\.tar" is not as in the manifest/, 'a stranger in an older tar', "$dir/i2");

# Frames of zstd: 4 GB of zeros in 128 kB.
sub bomb
{
	my ($byte) = @_;
	my $block = substr(pack('V', 131072 << 3 | 1 << 1), 0, 3) . $byte;

	return pack('VCC', 0xFD2FB528, 0, 7 << 3) . $block x 32768 . "\1\0\0";
}

sub hostile_zstd
{
	my ($name, $pattern, $before, $after) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	$dir = small(qw(full t1));
	system_or_bail('zstd', '-q', '--rm', "$dir/t1/base.tar");
	spew("$dir/t1/head", $before);
	system_or_bail('zstd', '-q', '--rm', "$dir/t1/head");
	spew("$dir/t1/base.tar.zst",
		($before ne '' ? slurp_file("$dir/t1/head.zst") : '') . $after . slurp_file("$dir/t1/base.tar.zst"))
	  if $name !~ /behind/;
	append_to_file("$dir/t1/base.tar.zst", $after) if $name =~ /behind/;
	unlink "$dir/t1/head.zst";
	my ($out, $err) = run_tool('--verify', "$dir/t1");
	like($err, $pattern, "$name: --verify");
	refuses($pattern, $name, "$dir/t1");
	return;
}
hostile_zstd('a file of 4 GB', qr/"base\/1\/99999" in .* is not in the manifest|has 4294967296 bytes/,
	tar_member('base/1/99999', '', binary => 2**32), bomb('x'));
hostile_zstd('a member larger than announced', qr/not of the format|wrong checksum of a header/,
	tar_member('pg_stat/x', '', size => 512), bomb('x'));
hostile_zstd('zeros behind the end', qr/data behind the end of the archive/, '', bomb("\0"));
hostile_zstd('a window of 2 GB', qr/could not decompress: .*memory/, '', pack('VCC', 0xFD2FB528, 0, 21 << 3) . "\1\0\0");
hostile_zstd('bytes that are no frame', qr/could not decompress/, '', 'evil' x 100);

# A plain backup with a file that is none.
$dir = small(qw(full i1));
unlink "$dir/i1/$stub";
system_or_bail('mkfifo', "$dir/i1/$stub");
refuses(qr/"[^"]*i1\/\Q$stub\E" is neither a file nor a directory/, 'a FIFO', "$dir/i1");
$dir = small(qw(full i1));
unlink "$dir/full/$path";
system_or_bail('mkfifo', "$dir/full/$path");
refuses(qr/could not open "[^"]*full\/\Q$path\E"/, 'a FIFO in an older backup', "$dir/i1");
@limits = ();

# ---- a full disk

SKIP:
{
	skip "no file system can be mounted here: $why_not", 1 if $why_not;
	$dir = fresh('full_disk', qw(full i1 i2));
	mkdir "$top/tmpfs";
	system_or_bail('mount', '-t', 'tmpfs', '-o', 'size=8m,mode=700', 'ckpx', "$top/tmpfs");
	my ($out, $err) = run_tool("$dir/i2", '-o', "$top/tmpfs/out");
	like($err, qr/needs about \d+ MB, but \d+ MB are free there\n.*hint/, 'no room is seen before');
	ok(!-e "$top/tmpfs/out", 'no room: nothing is made');
	$dir = fresh('full_disk', qw(full i1));
	mkdir "$top/large_space" or die;
	symlink "$top/large_space", "$dir/i1/pg_tblspc/16999" or die;
	my $large = 'pg_tblspc/16999/PG_15_202209061/5/16400';
	make_path(dirname("$dir/i1/$large"));
	spew("$dir/i1/$large", 'x' x (10 * 1024 * 1024));
	rewrite_entry("$dir/i1", $large);
	($out, $err) = run_tool("$dir/i1", '-o', "$top/small_space", '-T', "$top/large_space=$top/tmpfs/space");
	like($err, qr/"[^"]*tmpfs\/space" needs about 11 MB, but \d+ MB are free there\n.*hint/, 'no room for a tablespace is seen before');
	ok(!-e "$top/small_space" && !-e "$top/tmpfs/space", 'no room for a tablespace: nothing is made');
	$dir = fresh('full_disk', qw(full i1 i2));
	system_or_bail('umount', "$top/tmpfs");
	system_or_bail('mount', '-t', 'tmpfs', '-o', 'size=1g,nr_inodes=300,mode=700', 'ckpx', "$top/tmpfs");
	($out, $err) = run_tool("$dir/i2", '-o', "$top/tmpfs/out");
	like($err, qr/could not create "[^"]*tmpfs\/out.*No space left on device/, 'no room is met on the way');
	ok(!-e "$top/tmpfs/out", 'met on the way: what was made is removed');
	system_or_bail('umount', "$top/tmpfs");
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
