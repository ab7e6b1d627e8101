# Ten thousand relations, two hundred databases, tablespaces, and the settings
# that change what WAL looks like.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use IPC::Run;

use CkpxHistory;
use CkpxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = history_node(
	'many', conf => <<'EOC');
checkpoint_timeout = '1h'
max_wal_size = '8GB'
shared_buffers = '256MB'
max_slot_wal_keep_size = '4GB'
ckpx.max_retained_wal = '3GB'
ckpx.collect_interval = '1s'
EOC
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION ckpx');
await_tracking($node);
my $start = wal_position($node);

# Databases are copied as files, but for a few, which WAL has block by block.
my ($out, $err) = ('', '');
my $databases = IPC::Run::start(
	[ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres') ],
	'<', \join('', map {
		my $strategy = $_ % 40 == 0 ? 'wal_log' : 'file_copy';
		"CREATE DATABASE d$_ TEMPLATE template0 STRATEGY $strategy;\n"
	} 1 .. 200),
	'>', \$out, '2>', \$err);
$node->safe_psql('postgres', q{DO $$
	BEGIN
		FOR i IN 1 .. 10000 LOOP
			EXECUTE format('CREATE TABLE many%s (id int); INSERT INTO many%s VALUES (1)', i, i);
			IF i % 50 = 0 THEN
				COMMIT;
			END IF;
		END LOOP;
	END $$});
$databases->finish;
is($err, '', 'two hundred databases');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_class WHERE relname ~ '^many'"),
	10000, 'ten thousand tables');

# Everybody's first change.
my $middle = wal_position($node);
foreach my $i (map { $_ * 20 } 1 .. 10)
{
	$node->safe_psql("d$i", 'CREATE TABLE here AS SELECT generate_series(1, 5000) AS id');
}
my $lines = $node->safe_psql('postgres', q{
	SELECT (SELECT oid FROM pg_database WHERE datname = 'd' || i * 20) FROM generate_series(1, 10) i});

# Reading every file of every database would take minutes: a sample of them.
my $sample = $node->basedir . '/sample';
mkdir $_ foreach $sample, "$sample/base", "$sample/pg_tblspc";
symlink $node->data_dir . '/global', "$sample/global";
symlink $node->data_dir . "/base/$_", "$sample/base/$_"
  foreach split(/\n/, $lines),
	$node->safe_psql('postgres', "SELECT oid FROM pg_database WHERE datname = 'postgres'");

sub sample_is_covered
{
	my ($from, $to, $name) = @_;

	$node->safe_psql('postgres', 'CHECKPOINT');
	my ($missing, $stats) = CkpxOracle::page_lsn_oracle($sample, $from, $to,
		changed_blocks($node, $from, $to));
	is_covered($missing, $stats, "$name: every page of the sample is in the map");
	return $stats->{checked};
}

my $end = wal_position($node);
cmp_ok(sample_is_covered($start, $end, 'from the logtail'), '>', 10000, 'it is a large sample');
sample_is_covered($middle, $end, 'the last changes');
is($node->safe_psql('postgres', 'SELECT ckpx_checkpoint() IS NOT NULL'), 't', 'a checkpoint of it all');
cmp_ok($node->safe_psql('postgres', 'SELECT nrelations FROM ckpx_checkpoints ORDER BY nrelations DESC LIMIT 1'),
	'>', 10000, 'it names them all');
sample_is_covered($start, $end, 'from an object');
$node->safe_psql('postgres', 'SELECT ckpx_global_checkpoint(); SELECT ckpx_gc()');
sample_is_covered($start, $end, 'from a global');
is( $node->safe_psql('postgres', qq{
		SELECT count(*) FROM ckpx_changed_blocks('$start', '$end', 'many777')
		WHERE fork = 'main' AND relfilenode = pg_relation_filenode('many777')}),
	1, 'one of them can be asked for');
is($node->safe_psql('postgres', "SELECT flushed FROM ckpx_flush()"), 't', 'all of it can be flushed');
$middle = wal_position($node);
$node->safe_psql('postgres', "DROP DATABASE d$_") foreach 1 .. 10;
$node->restart;
await_tracking($node);
is_one_epoch($node, 'after a restart');
sample_is_covered($start, wal_position($node), 'after a restart');
cmp_ok($node->safe_psql('postgres', "SELECT count(*) FROM ckpx_changed_blocks('$middle') WHERE relfilenode = 0"),
	'>=', 10, 'dropped databases are in the map');
$node->stop('fast');

# ---- what changes the look of WAL

sub one_way
{
	my ($name, %options) = @_;
	my $node = history_node($name, extra => $options{extra},
		conf => "full_page_writes = on\ncheckpoint_timeout = '1h'\n" . ($options{conf} // ''));
	my $folder = $node->basedir . '/space';

	mkdir $folder;
	$node->start;
	create_load($node);
	await_tracking($node);
	$node->safe_psql('postgres', "CREATE TABLESPACE space LOCATION '$folder'");
	foreach my $compression (@{ $options{compression} // ['off'] })
	{
		my $start = wal_position($node);

		# Each full page image is of a page that has something to compress.
		$node->safe_psql('postgres', qq{
			SET wal_compression = '$compression';
			DROP TABLE IF EXISTS squeezed;
			CREATE TABLE squeezed (id int PRIMARY KEY, t text) TABLESPACE space;
			INSERT INTO squeezed SELECT g, repeat('x', 500) FROM generate_series(1, 3000) g;
			CHECKPOINT;
			UPDATE squeezed SET t = 'y' WHERE id % 7 = 0;
			CHECKPOINT;
			SELECT count(*) FROM squeezed;
			VACUUM squeezed;
			ALTER TABLE squeezed SET TABLESPACE pg_default;
			CHECKPOINT;
			DELETE FROM squeezed WHERE id % 3 = 0;
			ALTER INDEX squeezed_pkey SET TABLESPACE space;
			CREATE INDEX ON squeezed USING gin (to_tsvector('simple', t));
			VACUUM FULL squeezed});
		run_load($node, 20);
		covers_all_oracles($node, $start, wal_position($node),
			"$name, wal_compression $compression");
		$node->safe_psql('postgres', 'SELECT ckpx_checkpoint()');
		covers_all_oracles($node, $start, wal_position($node),
			"$name, wal_compression $compression, from an object");
	}
	$node->stop('fast');
	return;
}

# "on" is pglz; which others there are depends on how the server was built.

my @built = grep {
	my $method = $_;
	system("postgres -C wal_compression -c wal_compression=$method -D "
		  . $node->data_dir . ' >/dev/null 2>&1') == 0
} qw(pglz lz4 zstd);
note("wal_compression: @built");
one_way('plain', compression => [ 'off', @built ]);
one_way('checksums', extra => ['--data-checksums']);
one_way('hints', conf => "wal_log_hints = on\n");

done_testing();
