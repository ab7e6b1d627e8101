# The recipe of docs/incremental-copy.md, end to end: a base copy, then only
# the blocks that the map names, then WAL.  The result must be the live
# cluster, byte for byte (hint bits and free space maps aside).

use strict;
use warnings;

use File::Basename qw(dirname);
use File::Path qw(make_path remove_tree);
use FindBin;
use lib "$FindBin::RealBin/../lib";
use CkpxOracle;
use CkpxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main');
$node->append_conf('postgresql.conf', "wal_keep_size = 1GB\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION ckpx');
$node->safe_psql(
	'postgres', q{
	CREATE TABLE t (a int PRIMARY KEY, b text);
	INSERT INTO t SELECT g, repeat('x', 200) FROM generate_series(1, 20000) g;
	CREATE INDEX t_sp ON t USING spgist (b);
	CREATE TABLE shrinks AS SELECT * FROM t;
	CREATE TABLE goes AS SELECT * FROM t WHERE a < 3000;
	CREATE TABLE still AS SELECT * FROM t;
	CREATE SEQUENCE s;
	CREATE DATABASE dropped;
	VACUUM;
});

# The base copy; the range starts where its WAL starts, at its redo point.
$node->backup('base', backup_options => [ '-c', 'fast' ]);
my $copy = $node->backup_dir . '/base';
my $label = slurp_file("$copy/backup_label");
my ($from) = $label =~ /^START WAL LOCATION: ([0-9A-F]+\/[0-9A-F]+)/m;
ok($from, "the base copy starts at $from");

# Everything that can happen to a file in between.
$node->safe_psql(
	'postgres', q{
	UPDATE t SET b = 'changed' WHERE a % 97 = 0;
	DELETE FROM shrinks WHERE a > 5000;
	VACUUM shrinks;
	INSERT INTO shrinks SELECT g, 'again' FROM generate_series(30001, 34000) g;
	DROP TABLE goes;
	CREATE TABLE comes AS SELECT * FROM t WHERE a < 2000;
	SELECT count(nextval('s')) FROM generate_series(1, 50);
	ALTER TABLE comes ADD PRIMARY KEY (a);
	VACUUM FULL pg_class;
	DROP DATABASE dropped;
	CREATE DATABASE made STRATEGY file_copy;
	VACUUM (FREEZE) t;
	BEGIN; INSERT INTO t VALUES (50001, 'prepared'); PREPARE TRANSACTION 'p';
});

# The copy of what changed, between pg_backup_start and pg_backup_stop so that
# torn pages have their images in WAL; work goes on meanwhile.
my $session = session($node);
ask($session, "SELECT pg_backup_start('incremental', true)");
my @files = split /\n/, ask($session, qq{
	SELECT path, whole, coalesce(blocks::text, '') FROM ckpx_changed_files('$from')});
$node->safe_psql('postgres', 'UPDATE t SET b = b || 1 WHERE a % 501 = 0');

my $live = $node->data_dir;
my ($bytes_copied, $bytes_live) = (0, 0);

sub slurp_at
{
	my ($path, $at, $length) = @_;
	my $data = '';
	open(my $fh, '<:raw', $path) or return;
	seek($fh, $at, 0) or die "could not seek: $!";
	read($fh, $data, $length);
	close($fh);
	return $data;
}

sub copy_whole
{
	my ($path) = @_;

	# A name that ends in '/' is a folder: what is gone in it goes here too.
	if ($path =~ s{/$}{})
	{
		remove_tree("$copy/$path");
		return if !-d "$live/$path";
		make_path(dirname("$copy/$path"));
		system_or_bail('cp', '-a', "$live/$path", "$copy/$path");
		return;
	}
	unlink "$copy/$path";
	return if !-e "$live/$path";
	make_path(dirname("$copy/$path"));
	system_or_bail('cp', '-a', "$live/$path", "$copy/$path");
	$bytes_copied += -s "$copy/$path";
	return;
}

sub copy_blocks
{
	my ($path, $ranges) = @_;
	my $length = -s "$live/$path";

	return copy_whole($path) if !defined $length || !-e "$copy/$path";
	open(my $to, '+<:raw', "$copy/$path") or die "could not open $copy/$path: $!";
	truncate($to, $length) or die "could not truncate: $!";
	while ($ranges =~ /\[(\d+),(\d*)\)/g)
	{
		my ($first, $end) = ($1, $2);
		my $data = slurp_at("$live/$path", $first * 8192,
			$end eq '' ? $length : ($end - $first) * 8192);
		next if !defined $data || $data eq '';
		seek($to, $first * 8192, 0) or die "could not seek: $!";
		print $to $data;
		$bytes_copied += length $data;
	}
	close($to) or die "could not close: $!";
	return;
}

foreach (@files)
{
	my ($path, $whole, $blocks) = split /\|/, $_, -1;

	if ($path =~ /\*/)
	{
		# A pattern stands for the files on both sides.
		my %names = map { $_ => 1 }
		  map { my $root = $_; map { substr($_, length($root) + 1) } glob("$root/$path") } ($live, $copy);
		copy_whole($_) foreach sort keys %names;
	}
	elsif ($whole eq 't')
	{
		copy_whole($path);
	}
	else
	{
		copy_blocks($path, $blocks);
	}
}

# The metapage of an SP-GiST index is a cache of pages with free space, kept
# without WAL: work that went on after it was copied is not replayed into it.
my $spgist = $node->safe_psql('postgres', "SELECT pg_relation_filenode('t_sp')");

# What the copy starts from is this copy's label; its WAL comes behind.
my $stop = ask($session, 'SELECT labelfile FROM pg_backup_stop(false)');
end_session($session);
append_to_file("$copy/new_label", "$stop\n");
rename("$copy/new_label", "$copy/backup_label") or die "could not rename: $!";
unlink "$copy/postmaster.pid", "$copy/backup_manifest";

# Stop, so that there is an end to compare at, and hand over all WAL.
$node->safe_psql('postgres', 'SELECT pg_switch_wal()');
$node->stop;
remove_tree("$copy/pg_wal");
system_or_bail('cp', '-a', "$live/pg_wal", "$copy/pg_wal");

foreach my $f (CkpxOracle::relation_files($live))
{
	$bytes_live += -s $f->{path};
}
cmp_ok($bytes_copied, '<', $bytes_live / 2,
	"a small part was copied: $bytes_copied of $bytes_live bytes");

# Replay, and compare with the live cluster.
my $restored = PostgreSQL::Test::Cluster->new('restored');
$restored->init_from_backup($node, 'base');
$restored->append_conf('postgresql.conf', "shared_preload_libraries = ''\n");
$restored->start;
$restored->stop;

# Before any query: reading prunes pages.
my $copies = PostgreSQL::Test::Utils::tempdir;
cold_copy($node, "$copies/live");
cold_copy($restored, "$copies/restored");
my ($different, $stats) = missing_by_cold_copies("$copies/live",
	"$copies/restored", CkpxOracle::Map->new);
is(join('|', grep { !m{/$spgist main block 0 } } @$different),
	'', 'no page differs');
cmp_ok($stats->{pages}, '>', 3000, "$stats->{pages} pages were compared");

$restored->start;
is( $restored->safe_psql('postgres',
		'SELECT count(*), sum(a), count(*) FILTER (WHERE b LIKE $$%1$$) FROM t'),
	'20000|200010000|39', 'rows as they were');
is($restored->safe_psql('postgres', "SELECT nextval('s')"), 51,
	'a sequence goes on where it was');
$restored->safe_psql('postgres', "COMMIT PREPARED 'p'");
is($restored->safe_psql('postgres', 'SELECT b FROM t WHERE a = 50001'),
	'prepared', 'a prepared transaction came along');
$restored->stop;

done_testing();
