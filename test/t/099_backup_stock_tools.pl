# Backups together with PostgreSQL's own tools, which take and combine
# increments since 17: increments of ckpx_basebackup on a full of pg_basebackup
# and the other way round, and each chain combined by both pg_combinebackup and
# ckpx_combinebackup.  What comes out must be the files of a full that
# pg_basebackup took at the same moment.

use strict;
use warnings;

use File::Path qw(make_path);
use FindBin;
use IPC::Run;
use lib "$FindBin::RealBin/../lib";

use CkpxBackup;
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($major) = `pg_config --version` =~ /(\d+)/;
plan skip_all => "PostgreSQL $major has no increments of its own" if $major < 17;

# With checksums no page changes without WAL, so fulls and chains can be
# compared byte by byte.
my $node = backup_node(
	'main',
	extra => ['--data-checksums'],
	conf => <<'EOC');
summarize_wal = on
checkpoint_timeout = '1h'
max_wal_size = '4GB'
allow_in_place_tablespaces = on
shared_buffers = '32MB'
wal_buffers = '16MB'
wal_writer_delay = '10s'
EOC
my $spaces = PostgreSQL::Test::Utils::tempdir;
make_path("$spaces/live");
$node->safe_psql('postgres', $_) foreach (
	"CREATE TABLESPACE outside LOCATION '$spaces/live'",
	"CREATE TABLESPACE inside LOCATION ''",
	q{CREATE TABLE t (a int PRIMARY KEY, b text)},
	q{INSERT INTO t SELECT g, repeat('x', 200) FROM generate_series(1, 20000) g},
	q{CREATE TABLE out_t TABLESPACE outside AS SELECT * FROM t WHERE a <= 5000},
	q{CREATE TABLE in_t TABLESPACE inside AS SELECT * FROM t WHERE a <= 5000},
	q{CREATE TABLE shrinks AS SELECT * FROM t},
	q{CREATE TABLE goes AS SELECT * FROM t WHERE a <= 1000},
	q{CREATE TABLE rewritten AS SELECT * FROM t WHERE a <= 1000},
	q{CREATE TABLE still AS SELECT * FROM t},
	q{CREATE UNLOGGED TABLE unlogged AS SELECT * FROM t WHERE a <= 100},
	q{CREATE SEQUENCE s},
	q{CREATE TABLE cut_first (a int, b text)},
	q{CREATE TABLE cut_later (a int, b text)},
	q{INSERT INTO cut_first SELECT g, repeat('x', 1000) FROM generate_series(1, 700) g},
	q{INSERT INTO cut_later SELECT * FROM cut_first},
	q{CREATE DATABASE goes},
	q{VACUUM FREEZE});

my $nspaces = 0;

sub space { return '-T', "$spaces/live=$spaces/copy" . ++$nspaces; }

# ---- the tools

sub stock
{
	my ($name, $parent, @options) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	push @options, '-i', backup_dir($parent) . '/backup_manifest' if $parent;
	push @options, space() if !grep { /^-F?t$/ } @options;
	return $node->command_ok(
		[ 'pg_basebackup', '-D', backup_dir($name), '-c', 'fast', '--no-sync', @options ],
		"pg_basebackup $name");
}

sub ours
{
	my ($name, $parent, @options) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	push @options, '-i', backup_dir($parent) if $parent;
	push @options, '-F', 'p', space() if !grep { $_ eq 't' } @options;
	return take_ok($node, $name, '--no-pin', @options);
}

# Where the tablespace of backups goes to: it is a link in a plain one, and the
# server's directory in tar.
sub mapped
{
	my ($to, @dirs) = @_;
	my @links = grep { -l } map { glob("$_/pg_tblspc/*") } @dirs;

	return map { ('-T', "$_=$to") } "$spaces/live", map { readlink } @links;
}

# ckpx_combinebackup follows a link only if it is mapped, of each backup.
sub combine
{
	my ($tool, $out, @chain) = @_;
	my @dirs = map { backup_dir($_) } @chain;
	my @mapped = $tool =~ /^ckpx/ ? @dirs : $dirs[-1];

	return ($tool, '--no-sync', '-o', backup_dir($out),
		mapped("$spaces/copy" . ++$nspaces, @mapped), @dirs);
}

# Paths at which two directories differ; links are followed.
sub differences
{
	my ($one, $other) = map { backup_dir($_) } @_;
	my ($out, $err) = ('', '');

	IPC::Run::run([ 'diff', '-rq', $one, $other ], '>', \$out, '2>', \$err);
	die $err if $err ne '';
	return sort map {
		my ($path) = /^Files \Q$one\E\/(.*) and .* differ$/;
		$path = "$1/$2" if /^Only in (.*): (.*)$/;
		$path =~ s/^\Q$_\E\/// foreach $one, $other;
		$path;
	} split /\n/, $out;
}

sub label
{
	my $text = slurp_file(backup_dir(shift) . '/backup_label');

	$text =~ s/^INCREMENTAL FROM .*\n//mg;
	return $text;
}

# ---- a table that was cut, and grew again by pages that are not in WAL
#
# A file grows at once, the rows are in WAL later.  A crash in between leaves
# pages of zeros that no record names; the full has rows there that were deleted.

sub cut
{
	my $table = shift;

	$node->safe_psql('postgres', $_)
	  foreach ("DELETE FROM $table WHERE a > 35", "VACUUM $table");
	is($node->safe_psql('postgres', "SELECT pg_relation_size('$table') / 8192"),
		5, "$table is cut");
	return;
}

sub zero_pages
{
	my $table = shift;
	my $path = $node->safe_psql('postgres', "SELECT pg_relation_filepath('$table')");
	my @pages = unpack '(a8192)*', slurp_file($node->data_dir . "/$path");

	return scalar grep { !/[^\0]/ } @pages[ 5 .. $#pages ];
}

sub grow
{
	my @tables = @_;

	$node->safe_psql('postgres', 'CHECKPOINT');
	my $session = session($node);
	ask($session, 'BEGIN');
	ask($session, "INSERT INTO $_ SELECT g, repeat('z', 1000) FROM generate_series(1001, 1200) g RETURNING 1")
	  foreach @tables;
	crash_and_restart($node);
	end_session($session);
	cmp_ok(zero_pages($_), '>', 0, "$_ has grown by pages of zeros") foreach @tables;
	return;
}

# ---- three moments of one server; nothing changes while backups are taken

stock('S0');
ours('O0');
$node->safe_psql('postgres', $_) foreach (
	q{UPDATE t SET b = 'changed' WHERE a % 1001 = 0},
	q{UPDATE out_t SET b = 'changed' WHERE a % 401 = 0},
	q{UPDATE in_t SET b = 'changed' WHERE a % 401 = 0},
	q{DELETE FROM shrinks WHERE a > 10000},
	q{VACUUM shrinks},
	q{DROP TABLE goes},
	q{DROP DATABASE goes},
	q{VACUUM FULL rewritten},
	q{CREATE TABLE made TABLESPACE outside AS SELECT * FROM t WHERE a <= 1000},
	q{CREATE DATABASE made STRATEGY file_copy},
	q{CREATE DATABASE logged STRATEGY wal_log},
	q{SELECT count(nextval('s')) FROM generate_series(1, 50)});
cut('cut_first');
stock('S1', 'S0');
ours('A1', 'S0');
stock('B1', 'O0');
ours('C1', 'O0');
$node->safe_psql('postgres', $_) foreach (
	q{UPDATE t SET b = 'changed again' WHERE a % 701 = 0},
	q{UPDATE made SET b = 'changed again' WHERE a % 101 = 0},
	q{TRUNCATE in_t},
	q{INSERT INTO shrinks SELECT g, repeat('y', 200) FROM generate_series(1, 5000) g},
	q{REINDEX TABLE t},
	q{SELECT count(nextval('s')) FROM generate_series(1, 50)});
cut('cut_later');
grow('cut_first', 'cut_later');
$node->safe_psql('postgres', $_) foreach (
	# Hint bits now, and not while backups are taken.
	q{SELECT count(*) FROM cut_first}, q{SELECT count(*) FROM cut_later},
	q{SELECT count(*) FROM shrinks});
stock('S2', 'S1');
stock('A2', 'A1');
ours('B2', 'B1');
ours('C2', 'C1');
stock('U2', 'S1', '-Ft', '-X', 'fetch');
ours('T2', 'C1', '-F', 't');
stock('full');

foreach (qw(S0 S1 S2 O0 A1 A2 B1 B2 C1 C2 T2 full))
{
	verify_ok($_);
}

# ---- each chain, combined by both

# What is not the server's data and so may differ from the full of the same
# moment: the label, the manifest, pg_control and WAL belong to each backup's own
# checkpoint; ckpx writes files of its own after each, which ckpx_basebackup
# leaves out.
my $own = qr{^(?:backup_label$|backup_manifest$|global/pg_control$|pg_wal/|ckpx/|ckpx$|ckpx_node$)};
my $cut_first = $node->safe_psql('postgres', q{SELECT pg_relation_filepath('cut_first')});
my $cut_later = $node->safe_psql('postgres', q{SELECT pg_relation_filepath('cut_later')});

sub same_files
{
	my ($out, $newest, @except) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my %except = map { $_ => 1 } @except;

	is(join(' ', grep { !/$own/ && !$except{$_} } differences($out, 'full')),
		'', "$out: the files of the full");
	is(label($out), label($newest), "$out: the label of $newest, as of a full");
	foreach my $file (qw(global/pg_control pg_wal))
	{
		is(join(' ', differences(map { backup_dir($_) . "/$file" } $out, $newest)),
			'', "$out: $file of $newest");
	}
	return verify_ok($out);
}

# An increment of pg_basebackup does not say what was cut off within its own
# range: cut_later.  pg_combinebackup takes the newest length only: cut_first,
# unless the newest increment is of ckpx_basebackup, which has all blocks beyond
# its parent's length.
my %chains = (
	stock => [qw(S0 S1 S2)],
	full_stock => [qw(S0 A1 A2)],
	full_ours => [qw(O0 B1 B2)],
	ours => [qw(O0 C1 C2)]);
foreach my $name (sort keys %chains)
{
	my @chain = @{ $chains{$name} };
	my $by_stock = $chain[-1] =~ /^[SA]/;

	command_ok([ combine('pg_combinebackup', "$name.theirs", @chain) ],
		"pg_combinebackup @chain");
	command_ok([ combine('ckpx_combinebackup', "$name.ours", @chain) ],
		"ckpx_combinebackup @chain");
	same_files("$name.theirs", $chain[-1], $by_stock ? ($cut_first, $cut_later) : ());
	same_files("$name.ours", $chain[-1], $by_stock ? $cut_later : ());
	is( join(' ', grep { !($by_stock && $_ eq $cut_first) }
			differences("$name.theirs", "$name.ours")),
		'backup_manifest', "$name: both tools make the same of it");
}

# ---- tar

foreach ([qw(tar_ours O0 C1 T2)], [qw(tar_stock S0 S1 U2)])
{
	my ($out, @chain) = @$_;

	command_fails([ combine('pg_combinebackup', "$out.theirs", @chain) ],
		"pg_combinebackup does not take @chain");
	command_ok([ combine('ckpx_combinebackup', $out, @chain) ],
		"ckpx_combinebackup @chain");
	is(join(' ', grep { !/$own/ && !($out eq 'tar_stock' && $_ eq $cut_later) }
			differences($out, 'full')), '', "$out: the files of the full");
	verify_ok($out);
}

# ---- what servers on them have

my $expected = dump_text($node);
foreach my $name (qw(stock.theirs stock.ours full_ours.ours ours.theirs ours.ours tar_ours))
{
	my $restored = start_restored($name, backup_dir($name));
	my $same = dump_text($restored) eq $expected;
	my @back = map {
		$restored->safe_psql('postgres',
			"SELECT count(*) FROM $_ WHERE a > 35 AND a < 1000")
	} qw(cut_first cut_later);

	if ($name =~ /^stock/)
	{
		note "$name: deleted rows that are back: @back";
		is($back[0], 0, "$name: no deleted row of cut_first is back")
		  if $name eq 'stock.ours';
	}
	else
	{
		ok($same, "$name: the dump is the server's");
		is("@back", '0 0', "$name: no deleted row is back");
	}
	$restored->stop;
}

$node->stop;
done_testing();
