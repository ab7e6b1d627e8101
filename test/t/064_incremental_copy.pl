# The recipe of docs/incremental-copy.md, end to end: a base copy, then only
# the blocks that the map names, then WAL.  The result must be the live
# cluster, byte for byte (hint bits and free space maps aside).
#
# The copy lies on the host of the live cluster, with tablespaces of its own:
# nothing that it does once started may reach a file of the live cluster.

use strict;
use warnings;

use Digest::SHA;
use File::Basename qw(basename dirname);
use File::Copy qw(copy);
use File::Find;
use File::Path qw(make_path remove_tree);
use FindBin;
use lib "$FindBin::RealBin/../lib";
use CkpxOracle;
use CkpxTest;
use PostgreSQL::Test::Utils;
use Test::More;

# Checkpoints of ckpx are made when they are asked for, at first.
my $node = new_node('main', conf => <<'EOC');
wal_keep_size = 1GB
allow_in_place_tablespaces = on
ckpx.min_incremental_interval = '1h'
ckpx.max_incremental_interval = 0
EOC
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION ckpx');

# Where the tablespaces of the live cluster are, and those of the copy.
my $spaces = PostgreSQL::Test::Utils::tempdir;
make_path(map { ("$spaces/live/$_", "$spaces/copy/$_") } qw(stays goes made empty));

sub make_tablespace
{
	my ($name, $location) = @_;

	$node->safe_psql('postgres', "CREATE TABLESPACE $name LOCATION '$location'");
	return;
}

make_tablespace('stays', "$spaces/live/stays");
make_tablespace('goes', "$spaces/live/goes");
make_tablespace('inside', '');
make_tablespace('inside_goes', '');
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
	CREATE TABLE in_stays TABLESPACE stays AS SELECT * FROM t;
	CREATE INDEX in_stays_a ON in_stays (a) TABLESPACE stays;
	CREATE UNLOGGED TABLE unlogged TABLESPACE stays AS SELECT * FROM t;
	CREATE TABLE leaves TABLESPACE goes AS SELECT * FROM t WHERE a < 3000;
	CREATE TABLE goes_too TABLESPACE goes AS SELECT * FROM t WHERE a < 3000;
	CREATE TABLE enters AS SELECT * FROM t WHERE a < 3000;
	CREATE TABLE in_inside TABLESPACE inside AS SELECT * FROM t;
	CREATE DATABASE moves;
	VACUUM;
});

# Within the live cluster's own directories pg_basebackup writes nothing.
my $restored = PostgreSQL::Test::Cluster->new('restored');
my $copy = $restored->data_dir;
my @base_copy = ('pg_basebackup', '-D', $copy, '-h', $node->host, '-p', $node->port,
	'-c', 'fast', '--no-sync');
command_fails_like(
	\@base_copy,
	qr{directory "\Q$spaces\E/live/\w+" exists but is not empty},
	'no base copy on the same host without a place for the tablespaces');

# The base copy; the range starts where its WAL starts, at its redo point.  Of
# a checkpoint of ckpx that this point lies in, all blocks would be named.
remove_tree($copy);
$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
command_ok(
	[ @base_copy, map { ('-T', "$spaces/live/$_=$spaces/copy/$_") } qw(stays goes) ],
	'a base copy with places for the tablespaces');
my $label = slurp_file("$copy/backup_label");
my ($from) = $label =~ /^START WAL LOCATION: ([0-9A-F]+\/[0-9A-F]+)/m;
ok($from, "the base copy starts at $from");

# A few rows later, of a table that was loaded shortly before: the blocks of
# their old and new versions.
$node->safe_psql(
	'postgres', q{
	UPDATE t SET b = 'one of ten' WHERE a <= 10;
	SELECT ckpx_checkpoint();
});
my $nblocks = $node->safe_psql(
	'postgres', qq{
	SELECT coalesce(sum(upper(range) - lower(range)), pg_relation_size('t') / 8192)
	FROM ckpx_changed_files('$from'), unnest(blocks) range
	WHERE path = pg_relation_filepath('t')});
ok($nblocks >= 1 && $nblocks <= 20, "the first increment has $nblocks blocks for ten rows");
$node->safe_psql(
	'postgres', q{
	ALTER SYSTEM SET ckpx.min_incremental_interval = '100ms';
	SELECT pg_reload_conf();
});

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

# And to a tablespace: one is made where another one was.
make_tablespace('made', "$spaces/live/made");
make_tablespace('made_inside', '');
make_tablespace('empty', "$spaces/live/empty");
$node->safe_psql(
	'postgres', q{
	UPDATE in_stays SET b = 'changed' WHERE a % 97 = 0;
	UPDATE in_inside SET b = 'changed' WHERE a % 97 = 0;
	CREATE TABLE in_made TABLESPACE made AS SELECT * FROM t WHERE a < 2000;
	CREATE TABLE in_made_inside TABLESPACE made_inside AS SELECT * FROM t WHERE a < 2000;
	CREATE UNLOGGED TABLE unlogged_made TABLESPACE made AS SELECT * FROM t WHERE a < 2000;
	ALTER TABLE enters SET TABLESPACE made;
	ALTER TABLE leaves SET TABLESPACE pg_default;
	ALTER DATABASE moves SET TABLESPACE stays;
	DROP TABLE goes_too;
	DROP TABLESPACE goes;
	DROP TABLESPACE inside_goes;
});
make_tablespace('reused', "$spaces/live/goes");
$node->safe_psql('postgres', 'CREATE TABLE in_reused TABLESPACE reused AS SELECT * FROM t WHERE a < 2000');
$node->safe_psql('moves', 'CREATE TABLE moved AS SELECT generate_series(1, 1000) a');

# The copy of what changed, between pg_backup_start and pg_backup_stop so that
# torn pages have their images in WAL; work goes on meanwhile.
my $session = session($node);
ask($session, 'SELECT ckpx_checkpoint()');
ask($session, "SELECT pg_backup_start('incremental', true)");
my @files = split /\n/, ask($session, qq{
	SELECT path, whole, coalesce(blocks::text, ''), coalesce(link_target, 'none')
	FROM ckpx_changed_files('$from')});
$node->safe_psql(
	'postgres', q{
	UPDATE t SET b = b || 1 WHERE a % 501 = 0;
	UPDATE in_stays SET b = b || 1 WHERE a % 501 = 0;
	INSERT INTO in_made SELECT * FROM t WHERE a % 501 = 0;
});

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
	copy("$live/$path", "$copy/$path") or die "could not copy $path: $!";
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

# The tablespaces first.  One that has no row is gone, with what is in it; one
# that is new gets a place of its own, which is never that of the live one.
sub remove_tablespace
{
	my ($path) = @_;

	remove_tree(-l $path ? glob(readlink($path) . '/PG_*') : $path);
	unlink $path;
	return;
}

sub copy_tablespace
{
	my ($path, $target) = @_;
	my ($version) = map { basename($_) } glob("$live/$path/PG_*");

	if ($target ne '' && !-l "$copy/$path")
	{
		(my $place = $target) =~ s{^\Q$spaces\E/live/}{$spaces/copy/}
		  or die "no place for $target";
		symlink($place, "$copy/$path") or die "could not link $copy/$path: $!";
	}
	make_path("$copy/$path/$version");
	return;
}

my %tablespaces = map { (split /\|/, $_, -1)[ 0, 3 ] } @files;
delete @tablespaces{ grep { $tablespaces{$_} eq 'none' } keys %tablespaces };
is(scalar(keys %tablespaces), 6, 'each tablespace has a row');
my @gone = grep { !exists $tablespaces{"pg_tblspc/$_"} } map { basename($_) } glob("$copy/pg_tblspc/*");
is(scalar(@gone), 2, 'none for what was dropped');
remove_tablespace("$copy/pg_tblspc/$_") foreach @gone;

my %seen;
foreach (@files)
{
	my ($path, $whole, $blocks, $link_target) = split /\|/, $_, -1;
	my ($tablespace) = $path =~ m{^(pg_tblspc/\d+)};

	# Nothing lies below a tablespace that is not there.
	next if $tablespace && !exists $tablespaces{$tablespace};
	$seen{$path} = 1;
	die "$path comes before its tablespace" if $tablespace && !$seen{$tablespace};
	if ($link_target ne 'none')
	{
		copy_tablespace($path, $link_target);
	}
	elsif ($path =~ /\*/)
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

is( join(' ', grep { !m{^\Q$spaces\E/copy/} } map { readlink $_ || () } glob("$copy/pg_tblspc/*")),
	'', 'no tablespace of the copy is elsewhere');

# The metapage of an SP-GiST index is a cache of pages with free space, kept
# without WAL: work that went on after it was copied is not replayed into it.
my $spgist = $node->safe_psql('postgres', "SELECT pg_relation_filenode('t_sp')");

# What the copy starts from is this copy's label; its WAL comes behind.
my $stop = ask($session, 'SELECT labelfile FROM pg_backup_stop(false)');
end_session($session);
append_to_file("$copy/new_label", "$stop\n");
rename("$copy/new_label", "$copy/backup_label") or die "could not rename: $!";
unlink map { "$copy/$_" } qw(postmaster.pid postmaster.opts tablespace_map backup_manifest);
unlike(slurp_file("$copy/postgresql.auto.conf"),
	qr/min_incremental_interval/, 'the settings of the copy are its own');

# Stop, so that there is an end to compare at, and hand over all WAL.
$node->safe_psql('postgres', 'SELECT pg_switch_wal()');
$node->stop;
remove_tree("$copy/pg_wal");
system_or_bail('cp', '-a', "$live/pg_wal", "$copy/pg_wal");

# Replay links a tablespace that it makes to the place of the live one.
sub tablespaces_made
{
	my ($wal, $start) = @_;

	# It ends with an error where WAL does.
	my ($records) = run_command([ 'pg_waldump', '-p', $wal, '-s', $start, '-r', 'Tablespace' ]);
	return scalar(() = $records =~ /desc: CREATE /g);
}

my ($start) = $stop =~ /^START WAL LOCATION: ([0-9A-F]+\/[0-9A-F]+)/m;
is(tablespaces_made("$live/pg_wal", $from), 4, 'the range makes tablespaces');
is(tablespaces_made("$copy/pg_wal", $start), 0, 'what is replayed makes none');

foreach my $f (CkpxOracle::relation_files($live))
{
	$bytes_live += -s $f->{path};
}
cmp_ok($bytes_copied, '<', $bytes_live / 2,
	"a small part was copied: $bytes_copied of $bytes_live bytes");

# The contents of all files below these directories.
sub digest
{
	my $sha = Digest::SHA->new(256);

	find(
		{
			preprocess => sub { sort @_ },
			wanted => sub {
				$sha->add("$File::Find::name\0", -l $_ ? readlink $_ : '');
				$sha->addfile($_, 'b') if -f $_;
			},
		},
		@_);
	return $sha->hexdigest;
}

# Replay, and compare with the live cluster.
my $live_digest = digest($live, "$spaces/live");
$restored->append_conf('postgresql.conf', 'port = ' . $restored->port);
$restored->append_conf('postgresql.conf', "shared_preload_libraries = ''");
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

# Write to each tablespace.  An unlogged table begins empty.
$restored->safe_psql(
	'postgres', q{
	INSERT INTO in_stays SELECT * FROM t;
	INSERT INTO unlogged SELECT * FROM t;
	INSERT INTO unlogged_made SELECT * FROM t;
	INSERT INTO in_inside SELECT * FROM t;
	INSERT INTO in_made SELECT * FROM t;
	INSERT INTO in_made_inside SELECT * FROM t;
	INSERT INTO enters SELECT * FROM t;
	INSERT INTO in_reused SELECT * FROM t;
	CREATE TABLE in_empty TABLESPACE empty AS SELECT * FROM t;
	CHECKPOINT;
});
is( $restored->safe_psql('postgres', q{
		SELECT count(*), (SELECT count(*) FROM unlogged), (SELECT count(*) FROM unlogged_made)
		FROM in_empty}),
	'20001|20001|20001', 'the copy writes to its tablespaces');
is($restored->psql('moves', 'DELETE FROM moved'), 0, 'and in a database that moved');
$restored->stop;
is(digest($live, "$spaces/live"), $live_digest,
	'and to none of the live cluster');

done_testing();
