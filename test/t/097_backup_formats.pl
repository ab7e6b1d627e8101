# What the backup programs read and write, against PostgreSQL's own tools, GNU
# tar and zstd: manifests, archives, labels and marks of real backups.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use CkpxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $tool = 'ckpx_backup_formats';
my $node = new_node('main', conf => $ENV{PGMAJOR} && $ENV{PGMAJOR} >= 17 ? "summarize_wal = on\n" : '');
$node->start;
my $major = int($node->safe_psql('postgres', 'SHOW server_version_num') / 10000);
my $space = PostgreSQL::Test::Utils::tempdir_short;
$node->safe_psql('postgres', <<'EOS');
CREATE TABLE t AS SELECT g, repeat('x', 200) AS text FROM generate_series(1, 60000) g;
VACUUM t;
EOS
$node->safe_psql('postgres', "CREATE TABLESPACE space LOCATION '$space'");
$node->safe_psql('postgres', 'CREATE TABLE in_space TABLESPACE space AS SELECT 1 AS a');

my $dir = PostgreSQL::Test::Utils::tempdir;
my $mapped = PostgreSQL::Test::Utils::tempdir;

sub backup
{
	my ($name, @options) = @_;
	$node->command_ok([ 'pg_basebackup', '-D', "$dir/$name", '-c', 'fast', '--no-sync', @options ],
		"pg_basebackup $name");
	return;
}
sub output
{
	my ($out, $err);
	my $ok = IPC::Run::run [@_], '>', \$out, '2>', \$err;
	return $ok ? $out : "failed: $err";
}
my $mapping = 0;
sub mapping
{
	$mapping++;
	return "--tablespace-mapping=$space=$mapped/$mapping";
}
backup('plain', '-X', 'fetch', mapping());
backup('tar', '-Ft', '-X', 'fetch');
backup('stream', '-Ft', '-X', 'stream');
backup('zstd', '-Ft', '-X', 'fetch', '--compress=client-zstd');
backup('gzip', '-Ft', '-X', 'fetch', '--gzip');
backup('nowal', '-X', 'none', mapping());

# ---- label, pg_control, manifest, mark

my $control = output('pg_controldata', "$dir/plain");
my ($system) = $control =~ /system identifier:\s+(\d+)/;
foreach my $name (qw(plain tar stream zstd nowal))
{
	my $said = output($tool, 'open', "$dir/$name");
	my $version = $major >= 17 ? 2 : 1;
	my ($tar, $zstd) = ($name =~ /plain|nowal/ ? 0 : 1, $name eq 'zstd' ? 1 : 0);
	like($said, qr/^tar=$tar compressed=$zstd version=$version system=$system /, "$name: opened");
	my ($start, $checkpoint) = $said =~ m{ start=(\S+) tli=1 checkpoint=(\S+)};
	like($said, qr/^mark=\S+ redo=\S+ has_crc=@{[$name eq 'nowal' ? 0 : 1]} /m, "$name: a mark");
	like($said, qr/^mark=$checkpoint redo=$start /m, "$name: of the label's checkpoint")
	  unless $name eq 'nowal';
	if ($name eq 'plain')
	{
		my $line = output('pg_waldump', '-p', "$dir/plain/pg_wal", '-s', $checkpoint, '-n', 1);
		like($line, qr/CHECKPOINT_ONLINE redo \Q$start\E/, 'where pg_waldump sees it');
	}
}
like(output($tool, 'open', "$dir/gzip"),
	qr/base\.tar\.gz is compressed with gzip; only zstd can be read/, 'gzip is refused');

# ---- a manifest that is written again

foreach my $name (qw(plain tar))
{
	my $old = slurp_file("$dir/$name/backup_manifest");
	command_ok([ $tool, 'manifest', "$dir/$name/backup_manifest", "$dir/$name.manifest" ],
		"$name: manifest read and written");
	my $new = slurp_file("$dir/$name.manifest");
	my @lines = map { [ sort map { s/,$//r } grep { !/Manifest-Checksum/ } split /\n/ ] } $old, $new;
	is_deeply($lines[1], $lines[0], 'the same lines');
}
command_ok([ 'pg_verifybackup', '-m', "$dir/plain.manifest", "$dir/plain" ],
	'pg_verifybackup takes it');

# ---- archives of pg_basebackup

sub same_trees
{
	my ($first, $second, $what) = @_;
	is(output('diff', '-r', '--no-dereference', $first, $second), '', $what);
	return;
}
foreach my $archive (glob("$dir/{tar,zstd,stream}/*.tar*"))
{
	my ($name) = $archive =~ m{([^/]+/[^/]+)$};
	my ($ours, $theirs) = map { PostgreSQL::Test::Utils::tempdir } 1 .. 2;
	command_ok([ $tool, 'extract', $archive, $ours ], "$name: extracted");
	my @gnu = $archive =~ /zst$/ ? ('--zstd') : ();
	command_ok([ 'tar', '-C', $theirs, @gnu, '-xf', $archive ], "$name: by GNU tar");
	same_trees($ours, $theirs, "$name: the same");
}

# ---- archives of ours

my @names = grep { !m{^$|^pg_tblspc/} } map { s{^\./}{}r } split /\n/,
  output('sh', '-c', "cd $dir/plain && find . -type d -o -type f | sed 's/^\\.\$//' | LC_ALL=C sort");
ok(@names > 500, 'files to pack');
foreach my $archive ("$dir/ours.tar", "$dir/ours.tar.zst")
{
	my ($name) = $archive =~ m{([^/]+)$};
	my ($ours, $theirs) = map { PostgreSQL::Test::Utils::tempdir } 1 .. 2;
	IPC::Run::run([ $tool, 'pack', "$dir/plain", $archive ], '<', \join("\n", @names, ''))
	  or die 'could not pack';
	if ($archive =~ /zst$/)
	{
		command_ok([ 'zstd', '-q', '-t', $archive ], "$name: zstd takes it");
		my ($frames) = output('zstd', '-l', $archive) =~ /^\s*(\d+)\s+\d/m;
		cmp_ok($frames, '>', 5, 'many frames');
	}
	my @gnu = $archive =~ /zst$/ ? ('--zstd') : ();
	command_ok([ 'tar', '-C', $theirs, @gnu, '-xf', $archive ], "$name: GNU tar takes it");
	same_trees("$theirs", "$dir/plain", "$name: all is there")
	  if !-e "$dir/plain/pg_tblspc" || (rename("$dir/plain/pg_tblspc", "$dir/pg_tblspc")
		&& rmdir("$theirs/pg_tblspc"));
	rename "$dir/pg_tblspc", "$dir/plain/pg_tblspc" or die "pg_tblspc: $!";
	command_ok([ $tool, 'extract', $archive, $ours ], "$name: extracted");
	rmdir "$ours/pg_tblspc";
	same_trees($ours, $theirs, "$name: the same by GNU tar");
}

# ---- increments of PostgreSQL's own

SKIP:
{
	skip 'no increments before PostgreSQL 17', 1 if $major < 17;
	$node->safe_psql('postgres', 'UPDATE t SET g = g + 1 WHERE g % 100 = 0');
	backup('increment', '-X', 'fetch', mapping(), '-i', "$dir/plain/backup_manifest");
	my @stubs = split /\n/, output('find', "$dir/increment", '-name', 'INCREMENTAL.*', '-type', 'f');
	my $blocks = 0;
	my @wrong;
	foreach my $stub (@stubs)
	{
		my $said = output($tool, 'increment', $stub);
		if ($said =~ /^(\d+) \d+$/) { $blocks += $1 }
		else { push @wrong, $said }
	}
	is("@wrong", '', 'all stubs are read');
	cmp_ok($blocks, '>', 10, 'with blocks');
	is(output($tool, 'chain', $dir, "$dir/increment"), "$dir/plain\n$dir/increment\n", 'its chain');
}

done_testing();
