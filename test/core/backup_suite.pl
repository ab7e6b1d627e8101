# Increments between parts of PostgreSQL's own regression tests: nearly every
# statement that the server knows.  The tests run in five parts.  After each the
# server is killed, and then an increment is taken.  What ckpx_combinebackup makes
# of the chain up to it, recovered to a restore point, must be what a stock full
# backup is that was recovered to the same point.

use strict;
use warnings;

use File::Path qw(make_path);
use FindBin;
use lib "$FindBin::RealBin/../lib";

use CkpxBackup;
use CkpxCore;
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $parts = 5;
my $work = PostgreSQL::Test::Utils::tempdir;
my $archive = "$work/archive";
make_path($archive);

my $node = core_node(
	'main',
	extra => ['--data-checksums'],
	conf => <<"EOC");
autovacuum = on
allow_in_place_tablespaces = on
archive_mode = on
archive_command = 'test -f $archive/%f || (cp %p $archive/%f.new && mv $archive/%f.new $archive/%f)'
ckpx.global_min_count = 5
ckpx.gc_keep_time = '1s'
ckpx.max_retained_wal = '4GB'
EOC
$node->start;
$node->safe_psql(
	'template1', q{
	CREATE EXTENSION amcheck;
	\connect postgres
	CREATE EXTENSION amcheck;
	CREATE EXTENSION ckpx});
backup_role($node);

my $oracle = PostgreSQL::Test::Cluster->new('oracle');
$node->command_ok([ 'pg_basebackup', '-D', $oracle->data_dir, '-c', 'fast', '--no-sync' ],
	'a stock full');
settle($oracle);
take_ok($node, 'full');

# The groups of tests, as many in each part.
my @schedule = core_schedule();
my @groups = map { [] } 1 .. $parts;
push @{ $groups[ int($_ * $parts / @schedule) ] }, $schedule[$_] foreach 0 .. $#schedule;

my ($ntests, $nfailed) = (0, 0);

foreach my $part (1 .. $parts)
{
	my $point = "point_$part";
	my $what = "part $part";

	append_to_file("$work/schedule_$part", join '', @{ $groups[ $part - 1 ] });
	my ($outcome) = run_schedule($node, schedule => "$work/schedule_$part", goes_on => $part > 1);
	$ntests += keys %$outcome;
	$nfailed += grep { $_ ne 'ok' } values %$outcome;
	crash_and_restart($node);
	$node->safe_psql('regression',
		'CREATE SCHEMA for_amcheck; CREATE EXTENSION amcheck SCHEMA for_amcheck')
	  if $part == 1;
	take_ok($node, "increment_$part", '-i', 'auto', $part % 2 ? () : ('-F', 'p'));
	verify_ok("increment_$part");
	my $segment = restore_point($node, $point);
	my $sequences = sequences($node, 'regression');
	wait_until(sub { -e "$archive/$segment" }, "$segment is archived");

	recover($oracle, $point, $archive);
	my $expected = dump_of($oracle, $work);
	is_sound($oracle, "$what: the stock full");

	my $out = PostgreSQL::Test::Cluster->new("combined_$part");
	combine_ok("increment_$part", $out->data_dir);
	settle($out);
	recover($out, $point, $archive);
	same_dump($expected, dump_of($out, $work),
		"$what: the dump is that of the stock full");
	sequences_reach($out, 'regression', $sequences, "$what: combined");
	is_sound($out, "$what: combined");
	note(sprintf '%s: %d kB dumped, increment of %d kB', $what, (-s $expected) / 1024,
		`du -sk @{[ backup_dir("increment_$part") ]}` =~ /^(\d+)/);
	$out->clean_node;
}

cmp_ok($ntests, '>', 150, "$ntests tests ran");
cmp_ok($nfailed, '<', 20, "$nfailed of them failed");
$node->stop;
done_testing();
