# A chain of increments under load, judged at random points of it: what
# ckpx_combinebackup makes of it, and what --into makes of its full, answers as
# a stock full backup that was recovered to the same restore point.
#
# CKPX_BACKUP_INCREMENTS sets the length; make test-backup takes a hundred, with
# a table of more than one segment.  Between the increments: pgbench, DDL of all
# kinds, tablespaces, databases made both ways, crashes, and one promotion.

use strict;
use warnings;

use File::Path qw(make_path remove_tree);
use FindBin;
use lib "$FindBin::RealBin/../lib";

use CkpxBackup qw(settle restore_point recover dump_of same_dump sequences sequences_reach is_sound);
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $increments = $ENV{CKPX_BACKUP_INCREMENTS} || 6;
my $long = $increments > 20;
my $seed = $ENV{CKPX_RANDOM_SEED} || time();
srand($seed);
note "CKPX_RANDOM_SEED=$seed CKPX_BACKUP_INCREMENTS=$increments";

my $work = PostgreSQL::Test::Utils::tempdir;
my ($chain, $archive, $spaces) = map { "$work/$_" } qw(chain archive spaces);
make_path($chain, $archive, "$spaces/live", "$spaces/standby", "$spaces/oracle");

# Options that put the tablespace elsewhere.
sub space { return ('-T', "$spaces/live=$spaces/" . shift); }

# ---- the cluster, a stock full, a standby, our full

my $settings = <<"EOC";
archive_mode = always
archive_command = 'test -f $archive/%f || (cp %p $archive/%f.\$\$ && mv $archive/%f.\$\$ $archive/%f)'
allow_in_place_tablespaces = on
max_wal_size = 4GB
wal_keep_size = 256MB
ckpx.global_min_count = 5
ckpx.gc_keep_time = '1s'
EOC
my $primary = new_node('primary', extra => ['--data-checksums'], conf => $settings);
$primary->start;
$primary->safe_psql(
	'postgres', qq{
	CREATE EXTENSION ckpx;
	CREATE EXTENSION amcheck;
	\\connect template1
	CREATE EXTENSION amcheck;
	\\connect postgres
	CREATE TABLESPACE live LOCATION '$spaces/live';
	CREATE TABLESPACE inside LOCATION '';
	CREATE TABLE t (a int PRIMARY KEY, b text);
	INSERT INTO t SELECT g, repeat('x', 100) FROM generate_series(1, 20000) g;
	CREATE TABLE in_live TABLESPACE live AS SELECT * FROM t;
	CREATE INDEX ON in_live (a) TABLESPACE inside;
	CREATE UNLOGGED TABLE unlogged (a int PRIMARY KEY, b text);
	CREATE TABLE shrinks AS SELECT * FROM t;
	CREATE SEQUENCE s;
	CREATE ROLE backup LOGIN REPLICATION;
	GRANT pg_monitor, pg_checkpoint, pg_read_server_files TO backup;
	GRANT EXECUTE ON FUNCTION pg_backup_start, pg_backup_stop TO backup;
});
$primary->safe_psql('postgres',
	q{CREATE TABLE big AS SELECT g AS a, repeat('b', 1000) AS b FROM generate_series(1, 1150000) g})
  if $long;
$primary->command_ok([ 'pgbench', '-i', '-q', '-s', $long ? 10 : 1, 'postgres' ], 'pgbench -i');

# A second node from a stock base backup, with its own place for the tablespace.
sub stock_node
{
	my ($name) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$primary->command_ok(
		[ 'pg_basebackup', '-D', $node->data_dir, '-c', 'fast', '--no-sync', space($name) ],
		"a stock base backup for $name");
	settle($node);
	return $node;
}

my $oracle = stock_node('oracle');
my $standby = stock_node('standby');
$standby->append_conf('postgresql.conf',
	"primary_conninfo = '" . $primary->connstr . "'");
$standby->set_standby_mode;
$standby->start;
wait_for_sql($standby, q{SELECT epoch > 0 FROM ckpx_runner});

sub take
{
	my ($node, $name, @options) = @_;

	return command_ok(
		[ 'ckpx_basebackup', '-h', $node->host, '-p', $node->port, '-U', 'backup',
			'-D', "$chain/$name", '-c', 'fast', '--no-sync', @options ],
		"backup $name");
}

# Where the full's tablespace is: rolled forward, the full has another place.
my $full_space = 'full';
take($primary, '000', space($full_space));

# ---- work between two increments

my $live = $primary;
my @ddl = (
	q{VACUUM FULL shrinks},
	q{CREATE TABLE new_%d AS SELECT * FROM t WHERE a < 2000; CREATE INDEX ON new_%d (a)},
	q{DELETE FROM shrinks WHERE a > 3000; VACUUM shrinks;
		INSERT INTO shrinks SELECT g, 'again' FROM generate_series(30000, 36000) g},
	q{TRUNCATE in_live; INSERT INTO in_live SELECT * FROM t},
	q{DROP TABLE IF EXISTS moved; CREATE TABLE moved TABLESPACE live AS SELECT * FROM t;
		ALTER TABLE moved SET TABLESPACE inside},
	q{INSERT INTO unlogged SELECT g, 'u' FROM generate_series(1, 1000) g ON CONFLICT DO NOTHING;
		ALTER TABLE unlogged SET LOGGED; ALTER TABLE unlogged SET UNLOGGED},
	q{CREATE DATABASE wal_%d STRATEGY wal_log},
	q{CREATE DATABASE copy_%d STRATEGY file_copy},
	q{CLUSTER t USING t_pkey; REINDEX TABLE t},
	q{SELECT count(nextval('s')) FROM generate_series(1, 50)},
	q{BEGIN; CREATE TABLE gone (a int); INSERT INTO gone SELECT generate_series(1, 5000); ROLLBACK},
	q{BEGIN; UPDATE t SET b = 'prepared' WHERE a %% 100 = 0; PREPARE TRANSACTION 'p%d'},
	q{REINDEX SYSTEM postgres},
	q{ALTER TABLE t ADD c%d int DEFAULT random() * 10; ALTER TABLE t DROP c%d;
		ALTER TABLE shrinks ALTER a TYPE bigint; ALTER TABLE shrinks ALTER a TYPE int},
	q{CREATE TABLE parted_%d (a int) PARTITION BY RANGE (a);
		CREATE TABLE part_%d PARTITION OF parted_%d FOR VALUES FROM (0) TO (1000);
		INSERT INTO parted_%d SELECT generate_series(0, 999);
		CREATE MATERIALIZED VIEW mv_%d AS SELECT * FROM parted_%d; REFRESH MATERIALIZED VIEW mv_%d},
	q{CREATE INDEX ON t USING hash (a); CREATE INDEX ON t USING brin (a);
		CREATE INDEX ON t USING gin ((ARRAY[a])); CREATE INDEX ON t USING gist (int4range(a, a + 1));
		CREATE INDEX ON t USING spgist (b)},
	q{CREATE TABLESPACE new_%d LOCATION ''; CREATE TABLE in_new_%d TABLESPACE new_%d AS SELECT * FROM t;
		DROP TABLE in_new_%d; DROP TABLESPACE new_%d},
	q{SELECT format('ALTER DATABASE %%I SET TABLESPACE live', datname) FROM pg_database
		WHERE datname LIKE 'copy\_%%' \gexec},
	q{SELECT format('DROP DATABASE %%I', datname) FROM pg_database
		WHERE datname ~ '^(copy|wal)_' \gexec},
	q{SELECT format('DROP TABLE %%I', relname) FROM pg_class
		WHERE relname LIKE 'new\_%%' AND relkind = 'r' \gexec},
	q{SELECT format('DROP INDEX %%I', relname) FROM pg_class
		WHERE relname LIKE 't\_%%\_idx%%' AND relkind = 'i' \gexec});

my %prepared;

sub work
{
	my ($number) = @_;

	$live->safe_psql('postgres', "COMMIT PREPARED '$_'") foreach keys %prepared;
	%prepared = ();
	$live->command_ok(
		[ 'pgbench', '-n', '-c', 2, '-t', 200, 'postgres' ],
		"$number: pgbench");
	my $ddl = $ddl[ ($number - 1) % @ddl ];
	my $text = $ddl =~ s/%d/$number/gr =~ s/%%/%/gr;
	$live->safe_psql('postgres', $text);
	$prepared{"p$number"} = 1 if $ddl =~ /PREPARE/;
	$live->safe_psql('postgres', "UPDATE big SET a = a + 1 WHERE a % 5000 = $number") if $long;
	return;
}

sub promote
{
	$live->wait_for_catchup($standby, 'replay', $live->lsn('flush'));
	$live->stop;
	$standby->promote;
	$live = $standby;
	wait_for_sql($live, 'SELECT NOT pg_is_in_recovery()');
	return;
}

# ---- judging a data directory

sub judge
{
	my ($out, $expected, $sequences, $point, $what) = @_;

	command_ok([ 'pg_verifybackup', '-n', $out->data_dir ], "$what: pg_verifybackup");
	settle($out);
	recover($out, $point, $archive);
	same_dump($expected, dump_of($out, $work), "$what: the dump is that of the stock full at $point");
	sequences_reach($out, 'postgres', $sequences, $what);
	is_sound($out, $what);
	return;
}

my $ncombined = 0;

sub combine
{
	my ($from, $point, $expected, $sequences, $what) = @_;
	my $name = 'combined' . ++$ncombined;
	my $out = PostgreSQL::Test::Cluster->new($name);

	command_ok(
		[ 'ckpx_combinebackup', "$chain/$from", '-o', $out->data_dir, '--no-sync',
			map { ('-T', "$spaces/$_=$spaces/$name") } 'live', 'standby', $full_space ],
		"$what: combined");
	judge($out, $expected, $sequences, $point, $what);
	$out->clean_node;
	remove_tree("$spaces/$name");
	return;
}

# ---- the chain

my %combined_at = ($increments => 1);
$combined_at{ 1 + int(rand($increments)) } = 1 while keys %combined_at < ($long ? 10 : 3);
my $promoted_at = int($increments / 2);

foreach my $number (1 .. $increments)
{
	my $name = sprintf('%03d', $number);
	my $point = "point_$number";

	work($number);
	crash_and_restart($live) if $number % 7 == 3;
	take($live, $name, '-i', 'auto', $number % 3 == 0 ? ('-F', 'p') : ());
	my $segment = restore_point($live, $point);
	my $sequences = sequences($live, 'postgres');
	promote() if $number == $promoted_at;
	next if !$combined_at{$number};

	wait_until(sub { -e "$archive/$segment" }, "$segment is archived");
	recover($oracle, $point, $archive);
	my $expected = dump_of($oracle, $work);
	$oracle->stop;
	combine($name, $point, $expected, $sequences, "increments up to $name");
	command_ok(
		[ 'ckpx_combinebackup', '--no-sync', "$chain/$name", '--into', "$chain/000",
			map { ('-T', "$spaces/$_=$spaces/full$number") } 'live', 'standby', $full_space ],
		"$name: rolled forward");
	$full_space = "full$number";
	combine('000', $point, $expected, $sequences, "the full moved to $name");
}
$live->stop;
done_testing();
