# contrib/ptrack_shim: what pg_probackup asks of an extension ptrack, in its
# order and with its search_path, answered from the map.  The bitmaps are
# compared with ckpx_changed_blocks(), both ways, and with the LSNs of pages.

use strict;
use warnings;

use File::Path qw(make_path);
use FindBin;
use lib "$FindBin::RealBin/../lib";
use CkpxOracle;
use CkpxTest;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'installs into the server of test/private.sh'
  unless $ENV{CKPX_ROOT};

# ---- built and installed by hand, not over another ptrack

delete @ENV{qw(MAKEFLAGS MAKELEVEL MFLAGS MAKEOVERRIDES)};
my @pgxs = ('make', '--no-print-directory', '-s',
	"PG_CONFIG=$ENV{CKPX_BUILD_PG_CONFIG}", "DESTDIR=$ENV{CKPX_ROOT}");
my @make = (@pgxs, '-C', "$FindBin::RealBin/../../contrib/ptrack_shim");
chomp(my $control = `$ENV{PG_CONFIG} --sharedir`);
$control .= '/extension/ptrack.control';

unlink $control;
append_to_file($control, "default_version = '2.4'\n");
command_fails_like([ @make, $_ ],
	qr/\Q$control\E belongs to another extension "ptrack"/,
	"make $_ refuses where another ptrack is installed")
  foreach qw(install uninstall);
is(slurp_file($control), "default_version = '2.4'\n", 'which stays as it is');
unlink $control;
command_ok([ @make, 'install' ], 'it is installed');
command_ok([ @make, 'install' ], 'and again over itself');

# ---- a server with a heap of two segments

my $node = new_node(
	'main',
	on_demand => 1,
	preload => 'ckpx_observer, ckpx',
	conf => "ptrack.map_size = '1MB'\n");
$node->start;
my $data = $node->data_dir;
my $spaces = PostgreSQL::Test::Utils::tempdir;
make_path("$spaces/one");

like(
	error_of('CREATE EXTENSION ptrack'),
	qr/required extension "ckpx" is not installed/,
	'ptrack needs ckpx');
sql(q{
	CREATE SCHEMA "the map";
	CREATE EXTENSION ckpx SCHEMA "the map";
	CREATE EXTENSION ckpx_observer;
	ALTER DATABASE postgres SET search_path = public, "the map";
	CREATE SCHEMA "Ptrack";
	CREATE EXTENSION ptrack SCHEMA "Ptrack";
});
sql("CREATE TABLESPACE one LOCATION '$spaces/one'");
sql(q{
	CREATE ROLE backup LOGIN;
	CREATE ROLE nobody LOGIN;
	GRANT pg_monitor TO backup;
	GRANT USAGE ON SCHEMA "the map", "Ptrack" TO backup;
	GRANT EXECUTE ON FUNCTION pg_backup_start, pg_backup_stop TO backup, nobody;
	GRANT USAGE ON SCHEMA "the map", "Ptrack" TO nobody;
	CREATE TABLE large AS SELECT 1 a, repeat('x', 1000) b;
	CREATE TABLE t AS SELECT g a, repeat('x', 200) b FROM generate_series(1, 20000) g;
	CREATE TABLE still AS SELECT * FROM t;
	CREATE TABLE shrinks AS SELECT * FROM t;
	CREATE TABLE goes AS SELECT * FROM t;
	CREATE TABLE spaced TABLESPACE one AS SELECT * FROM t;
	CREATE UNLOGGED TABLE unlogged AS SELECT * FROM t;
	CREATE DATABASE goes_too;
	CREATE DATABASE moves;
});
my $large = sql("SELECT pg_relation_filepath('large')");
my $still = sql("SELECT pg_relation_filepath('still')");
my $goes = sql("SELECT oid FROM pg_database WHERE datname = 'goes_too'");

# The rest of the first segment are pages of zeros, which heaps may have.
$node->stop;
truncate("$data/$large", 131072 * 8192) or die "truncate: $!";
$node->start;

# What pg_probackup asks.  Returns its answers up to the map, and by path the
# number of pages and the bits of each bitmap.
sub probackup
{
	my ($parent, $role) = @_;
	my ($ret, $out, $err) = $node->psql(
		'postgres', qq{
		SELECT pg_catalog.set_config('search_path', '', false) \\gset
		SELECT e.extnamespace::pg_catalog.regnamespace AS schema, e.extversion AS version
		FROM pg_catalog.pg_extension e WHERE e.extname = 'ptrack' \\gset
		\\echo :version
		SHOW ptrack.map_size;
		SELECT pg_catalog.pg_backup_start('test', true) IS NOT NULL AS started \\gset
		SELECT :schema.ptrack_init_lsn();
		PREPARE maps AS SELECT path, pagemap, pagecount FROM :schema.ptrack_get_pagemapset(\$1) ORDER BY 1;
		EXECUTE maps($parent);
		SELECT count(*) AS stopped FROM pg_catalog.pg_backup_stop(false) \\gset
		},
		extra_params => [ '-U', $role // 'backup' ]);
	my ($version, $size, $init, @rows) = split /\n/, $out;
	my %maps;

	foreach my $row (@rows)
	{
		my ($path, $bytes, $count) = split /\|/, $row;
		$maps{$path}++ and ok(0, "$path has two bitmaps");
		$maps{$path} = { count => $count, bits => unpack('b*', pack('H*', substr($bytes, 2))) };
	}
	return { version => $version, size => $size, init => $init, maps => \%maps, error => $err };
}

# Compare the bitmaps with the map, which knows neither files nor their lengths:
# no block less than the map had before, none more than it has afterwards.
sub judge
{
	my ($parent, $name) = @_;
	my $end = wal_position($node);
	my $before = changed_blocks($node, $parent, $end);
	my $answer = probackup("'$parent'");
	my $after = changed_blocks($node, $parent, wal_position($node));
	my $again = CkpxOracle::Map->new;
	my %maps = %{ $answer->{maps} };
	my ($wrong, $nfiles, $nblocks) = ('', 0, 0);

	is($answer->{error}, '', "$name: answered");
	foreach my $file (grep { $_->{fork} eq 'main' } CkpxOracle::relation_files($data))
	{
		my $path = $file->{path} =~ s{^\Q$data\E/}{}r;
		my @fork = @$file{qw(spc db rel fork)};
		my $first = $file->{segment} * 131072;
		my $size = (-s $file->{path}) / 8192;
		my $found = delete $maps{$path} // { bits => '', count => 0 };
		my $bits = substr($found->{bits} . '0' x $size, 0, $size);
		my $count = ($bits =~ tr/1//);
		my ($least, $most) = map {
			my $map = $_;
			join '', map { $map->has(@fork, $first + $_) } 0 .. $size - 1
		} $before, $after;

		# of '0' and '1', character by character
		$wrong .= " $path"
		  if ($least & $bits) ne $least || ($bits & $most) ne $bits
		  || $count != $found->{count};
		$nfiles += $count > 0;
		$nblocks += $count;
		while ($bits =~ /1+/g)
		{
			$again->add(@fork, '', '{[' . ($first + $-[0]) . ',' . ($first + $+[0]) . ')}');
		}
	}
	is($wrong, '', "$name: the bitmaps of $nfiles files are what the map has");
	is(join(' ', keys %maps), '', "$name: no other file");
	cmp_ok($nblocks, '>', 1000, "$name: $nblocks blocks");
	is_covered(missing_by_page_lsn($node, $parent, $end, $again),
		"$name: every page with an LSN of the range is in a bitmap");
	return $answer;
}

sql('SELECT ckpx_checkpoint()');
my $parent = wal_position($node);

# ---- everything that can happen to a file

sql("INSERT INTO large SELECT g, repeat('y', 1000) FROM generate_series(1, 100) g");
sql("UPDATE t SET b = 'changed' WHERE a % 977 = 0");
sql('DELETE FROM shrinks WHERE a > 5000; DROP TABLE goes');
sql('VACUUM shrinks');
sql('INSERT INTO shrinks SELECT * FROM still');
sql('UPDATE spaced SET b = b WHERE a % 977 = 0');
sql('DROP DATABASE goes_too');
sql("CREATE DATABASE $_") foreach 'copied STRATEGY file_copy', 'logged STRATEGY wal_log',
  'in_one TABLESPACE one STRATEGY file_copy';
sql('ALTER DATABASE moves SET TABLESPACE one');
$node->safe_psql('copied', 'CREATE TABLE t AS SELECT generate_series(1, 10000) a');
sql('SELECT ckpx_checkpoint()');

my $answer = judge($parent, 'a day');
is($answer->{version}, '2.4', 'the version');
is(sql('SELECT "Ptrack".ptrack_version()'), '2.4', 'and asked by its function');
is($answer->{size}, '1MB', 'the setting says that it is on');
is($answer->{init}, sql('SELECT ckpx_low_water_mark()'), 'tracked since the low-water mark');
is(join(' ', map { $answer->{maps}{$_}{bits} =~ s/^(0*)(1+)0*$/length($1) . ':' . length($2)/er }
		$large, "$large.1"),
	'131071:1 0:14', 'a heap grows into a new segment');
is($answer->{maps}{$still}, undef, 'what did not change has no bitmap');
is(join(' ', grep { m{^base/$goes/} } keys %{ $answer->{maps} }), '', 'nor has a dropped database');

# The limit lies in the first segment, whatever comes behind it has changed.
$parent = wal_position($node);
my $database = sql("SELECT oid FROM pg_database WHERE datname = 'postgres'");
my $relation = $large =~ s{.*/}{}r;
sql("SELECT ckpx_observer_write('truncate', 1663, $database, $relation, 130000)");
sql('ALTER EXTENSION ckpx SET SCHEMA public');
$answer = judge($parent, 'a limit');
is($answer->{maps}{$large}{count}, 1072, 'the rest of a segment');

# ---- never a short answer

sub refused
{
	my ($lsn, $role) = @_;
	my $said = probackup($lsn, $role);

	is(join(' ', keys %{ $said->{maps} }), '', "no row: $lsn");
	return $said->{error};
}

like(refused("'0/1000028'"), qr/no block map for .*first missing LSN/s, 'a gap');
like(refused('NULL'), qr/start_lsn must not be null/, 'NULL');
like(refused("'$parent'", 'nobody'), qr/permission denied for function ptrack_init_lsn/, 'no privilege');
sql('GRANT EXECUTE ON FUNCTION "Ptrack".ptrack_init_lsn, "Ptrack".ptrack_get_pagemapset TO nobody');
like(refused("'$parent'", 'nobody'), qr/permission denied for function ckpx_low_water_mark/, 'nor by a grant on the shim alone');
is( sql(q{
	DO $$BEGIN PERFORM "Ptrack".ptrack_get_pagemapset('0/1000028');
	EXCEPTION WHEN object_not_in_prerequisite_state THEN SET application_name = '55000'; END$$;
	SHOW application_name}), '55000', 'the code of a gap');

sql("SELECT ckpx_observer_write('undeclared', 1663, $database, $relation, 1)");
like(refused("'$parent'"), qr/may lack changes of custom resource managers \{129\}/, 'a resource manager without a decoder');

# ---- not beside the real library

my $real = "$spaces/real";
make_path($real);
append_to_file("$real/Makefile", <<'EOC');
MODULES = other_ptrack
override with_llvm = no
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)
EOC
append_to_file("$real/other_ptrack.c", <<'EOC');
#include "postgres.h"
#include "fmgr.h"
#include "utils/guc.h"
PG_MODULE_MAGIC;
extern PGDLLEXPORT void _PG_init(void);
static int size;
void
_PG_init(void)
{
	DefineCustomIntVariable("ptrack.map_size", "", NULL, &size, 0, 0, 1024,
							PGC_POSTMASTER, GUC_UNIT_MB, NULL, NULL, NULL);
}
EOC
command_ok([ @pgxs, '-C', $real, 'install' ], 'another library');
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'ckpx_observer, ckpx, other_ptrack'");
$node->restart;
my $other = qr/another library that defines "ptrack.map_size" is loaded/;
like(error_of('SELECT "Ptrack".ptrack_init_lsn()'), $other, 'beside another library nothing is answered');
sql('DROP EXTENSION ptrack');
like(error_of('CREATE EXTENSION ptrack'), $other, 'and nothing is created');

done_testing();
